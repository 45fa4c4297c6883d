# SPDX-License-Identifier: Apache-2.0
"""What a run reserved: by the names that drivers give, with the host that goes with it."""

import pytest
from msgspec import structs

from submeter.accounting.embodied import Hardware, embodied_by_hours
from submeter.accounting.scopes import Arrangement
from submeter.catalog import facts
from submeter.circumstances.owning import (
    accelerator_hardware,
    accelerator_hour,
    hardware_of,
    server_hardware,
)
from submeter.records.devices import Device, DeviceKind
from submeter.records.figures import Missing
from submeter.records.runs import DeviceEnergy, Host, Run
from tests.accounting.figures import known

H100 = "nvidia-h100-sxm5-80gb"
UNREAD = Missing("unread")


def per_hour(hardware: Hardware) -> tuple[float, float, float]:
    shown = known(embodied_by_hours([hardware], 3600.0).total).figure("g")
    return shown.low, shown.value, shown.high


def run(*boards: str, host: str = "box") -> Run:
    devices = [Device("cpu:0", DeviceKind.CPU, "Xeon", host)]
    devices += [Device(f"gpu:{n}", DeviceKind.GPU, b, host) for n, b in enumerate(boards)]
    return Run(
        "r", "measured", "finished", "2026-11-23T12:00:00Z", 3600.0, hosts=(Host(host),),
        devices=tuple(DeviceEnergy(d, UNREAD, UNREAD) for d in devices),
    )  # fmt: skip


def test_an_h100_hour_lies_in_the_published_range() -> None:
    span = accelerator_hour()
    low, value, high = per_hour(accelerator_hardware(H100, 1))
    assert 1000 * span.low < value < 1000 * span.high
    assert low < value < high
    assert per_hour(accelerator_hardware("NVIDIA H100 80GB HBM3", 1)) == (low, value, high)


def test_relatives_and_strangers_are_said_and_assumed() -> None:
    own = accelerator_hardware(H100, 1)
    kin = accelerator_hardware("nvidia-h100-pcie-80gb", 1)
    stranger = accelerator_hardware("", 1)
    assert own.notes == ()
    assert "no figure of its own" in kin.notes[0]
    assert "all published figures" in stranger.notes[0]
    alone = accelerator_hardware("NVIDIA GeForce RTX 4090", 1)
    assert "nor one of a relative" in alone.notes[0]
    assert alone.accelerator is not None
    assert alone.accelerator.high / alone.accelerator.low > 10
    assert kin.accelerator is not None
    assert kin.accelerator.verified == "assumed"
    low, _, high = per_hour(stranger)
    assert high / low > 10
    shown = known(embodied_by_hours([stranger], 3600.0).total).figure("g")
    assert shown.basis == "assumed"


def test_hosts_by_their_number_of_accelerators_by_name_and_by_instance() -> None:
    eight, one = (accelerator_hardware(H100, 1, in_host=n) for n in (8, 1))
    assert (eight.host_ratio, one.host_ratio) == (0.125, 1.0)
    assert eight.host != one.host
    desk = accelerator_hardware(H100, 1, in_host=1, host="ademe-desktop")
    assert desk.host is not None
    assert "ademe-desktop" in desk.host.key
    name = next(k for k in facts.keys("instance_facts")
                if facts.has("instance_facts", k, "host_embodied_kg"))  # fmt: skip
    leased = accelerator_hardware(H100, 8, instance=name)
    assert leased.host is not None
    assert name in leased.host.key


def test_a_server_goes_by_its_processors_and_a_life_may_be_declared() -> None:
    quarter, whole = (per_hour(server_hardware(r))[1] for r in (0.25, 1.0))
    assert whole == pytest.approx(4 * quarter)
    longer = per_hour(server_hardware(1.0, life_years=10))[1]
    assert longer == pytest.approx(whole * 5 / 10)


@pytest.mark.parametrize(
    ("boards", "expected"),
    [
        (["NVIDIA H100 80GB HBM3"] * 8, [(8, 1.0)]),
        (["NVIDIA H100 80GB HBM3"] * 2, [(2, 0.25)]),
        (["NVIDIA GeForce RTX 4090"], [(1, 1.0)]),
        (["NVIDIA GeForce RTX 4090"] * 2, [(2, 1.0)]),
        (["NVIDIA GeForce RTX 4090", "NVIDIA GeForce RTX 3090"], [(1, 0.5), (1, 0.5)]),
    ],
)
def test_boards_of_a_run_and_their_part_of_the_host(
    boards: list[str], expected: list[tuple[int, float]]
) -> None:
    found = hardware_of(run(*boards))
    assert [(h.accelerators, h.host_ratio) for h in found] == expected
    assert isinstance(embodied_by_hours(found, 3600.0).total.value, float)  # type: ignore[union-attr]


def test_each_host_brings_its_own_share() -> None:
    one, two = (run(*["NVIDIA H100 80GB HBM3"] * 8, host=h) for h in ("a", "b"))
    both = structs.replace(
        one, hosts=(*one.hosts, *two.hosts), devices=(*one.devices, *two.devices)
    )
    single = known(embodied_by_hours(hardware_of(one), 3600.0).total).value
    assert known(embodied_by_hours(hardware_of(both), 3600.0).total).value == pytest.approx(
        2 * single
    )


def test_a_machine_without_boards_goes_by_processors_or_whole_and_said() -> None:
    (whole,) = hardware_of(run())
    assert whole.host_ratio == 1.0
    assert "whole machine" in whole.notes[0]
    (part,) = hardware_of(run(), cpu_ratio=0.25)
    assert (part.host_ratio, part.notes) == (0.25, ())


def test_at_home_the_host_is_a_desktop() -> None:
    found = hardware_of(run("NVIDIA GeForce RTX 4090"), arrangement=Arrangement.HOME)
    bare = hardware_of(run(), arrangement=Arrangement.HOME)
    for row in (*found, *bare):
        assert row.host is not None
        assert "desktop" in row.host.key


def test_a_run_without_devices_has_no_hardware() -> None:
    empty = structs.replace(run(), devices=(), hosts=(Host("box"),))
    assert hardware_of(empty) == ()
    assert isinstance(embodied_by_hours(hardware_of(empty), 1.0).total, Missing)


def test_a_leased_instance_tells_how_many_boards_its_host_has() -> None:
    key = next(
        k for k in facts.keys("instances")
        if (row := facts.attributes("instances", k)) and row["accelerator_count"] == "8"
    )  # fmt: skip
    (found,) = hardware_of(run("NVIDIA GeForce RTX 4090"), instance=key)
    assert found.host_ratio == 0.125
