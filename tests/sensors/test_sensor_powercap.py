# SPDX-License-Identifier: Apache-2.0
"""RAPL zones: which are found, what is dropped, and how a failing one reads."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from submeter.records import DeviceKind, Missing
from submeter.sensors.findings import Finding
from submeter.sensors.powercap import RaplSensor, discover_zones, find_zones
from submeter.testing import FakeMachine, constant
from tests.sensors.kernel_tree import Tree

XEON = {"cpu_vendor": "GenuineIntel", "cpu_model": "Intel(R) Xeon(R) Platinum 8358"}
EPYC = {"cpu_vendor": "AuthenticAMD", "cpu_model": "AMD EPYC 7763 64-Core Processor"}


def never(_: float) -> None:
    pytest.fail("nothing was to be waited for")


def ids(sensors: list[RaplSensor]) -> list[str]:
    return [s.device.id for s in sensors]


def two_sockets(tree: Tree) -> None:
    for n in (0, 1):
        tree.zone(f"intel-rapl:{n}", f"package-{n}", energy_uj=5_000_000 * (n + 1), limit_w=270)
        tree.zone(f"intel-rapl:{n}:0", "core")
        tree.zone(f"intel-rapl:{n}:1", "uncore")
        tree.zone(f"intel-rapl:{n}:2", "dram", energy_uj=7_000_000)


def test_every_joule_of_two_sockets_has_one_sensor(tree: Tree) -> None:
    two_sockets(tree)
    tree.zone("intel-rapl:2", "psys")
    tree.zone("intel-rapl-mmio:0", "package-0")
    devices, sensors, findings = discover_zones(tree.sys, machine=XEON, host="here", pause=never)
    assert ids(sensors) == ["cpu:0", "dram:0", "cpu:1", "dram:1", "node:psys"]
    assert [d.kind for d in devices] == [
        DeviceKind.CPU,
        DeviceKind.DRAM,
        DeviceKind.CPU,
        DeviceKind.DRAM,
        DeviceKind.NODE,
    ]
    assert [f.state for f in findings] == ["measured"] * 3
    assert [list(s.read()) for s in sensors] == [
        [5_000_000],
        [7_000_000],
        [10_000_000],
        [7_000_000],
        [5_000_000],
    ]


def test_a_nested_tree_without_links_is_found_too(tree: Tree) -> None:
    tree.zone("intel-rapl/intel-rapl:0", "package-0")
    tree.zone("intel-rapl/intel-rapl:0/intel-rapl:0:0", "dram")
    assert [z.key for z in find_zones(tree.sys)] == ["intel-rapl:0", "intel-rapl:0:0"]


def test_a_linked_tree_gives_each_zone_once(tree: Tree) -> None:
    real = tree.zone("intel-rapl/intel-rapl:0", "package-0")
    tree.zone("intel-rapl/intel-rapl:0/intel-rapl:0:0", "dram")
    top = tree.sys / "class/powercap"
    (top / "intel-rapl:0").symlink_to(real)
    (top / "intel-rapl:0:0").symlink_to(real / "intel-rapl:0:0")
    assert [z.name for z in find_zones(tree.sys)] == ["package-0", "dram"]


def test_an_mmio_zone_alone_is_used(tree: Tree) -> None:
    tree.zone("intel-rapl-mmio:0", "package-0")
    assert [z.key for z in find_zones(tree.sys)] == ["intel-rapl-mmio:0"]


def test_channel_of_an_intel_server(tree: Tree) -> None:
    tree.zone("intel-rapl:0", "package-0", limit_w=270)
    (device,), (sensor,), _ = discover_zones(tree.sys, machine=XEON, host="here")
    (channel,) = sensor.channels
    assert device.peak_w == 270
    assert channel.peak_w == pytest.approx(405)
    assert channel.modulus == 262_143_328_851
    assert channel.scale == pytest.approx(1e-6)
    assert channel.terms[0].source_key == "rapl-package"
    assert channel.terms[0].relative_sd == 0.03


def test_channel_of_an_amd_server_wraps_at_65_kilojoules(tree: Tree) -> None:
    tree.zone("intel-rapl:0", "package-0", range_uj=65_532_610_987)
    tree.zone("intel-rapl:0:0", "core")
    _, (sensor,), _ = discover_zones(tree.sys, machine=EPYC, host="here")
    (channel,) = sensor.channels
    assert channel.modulus == 65_532_610_988
    assert channel.terms[0].relative_sd == 0.10
    assert channel.peak_w == 1000  # no limit is known, yet 9 kW is refused


@pytest.mark.parametrize("text", ["0", "", "never"])
def test_a03_a_range_that_is_no_range_gives_no_modulus(tree: Tree, text: str) -> None:
    zone = tree.zone("intel-rapl:0", "package-0")
    (zone / "max_energy_range_uj").write_text(text)
    _, (sensor,), _ = discover_zones(tree.sys, machine=XEON, host="here")
    assert sensor.channels[0].modulus == 0


def test_a03_a_range_file_that_is_missing_gives_no_modulus(tree: Tree) -> None:
    tree.zone("intel-rapl:0", "package-0", range_uj=None)
    _, (sensor,), _ = discover_zones(tree.sys, machine=XEON, host="here")
    assert sensor.channels[0].modulus == 0


def test_a_limit_that_firmware_invents_is_not_believed(tree: Tree) -> None:
    tree.zone("intel-rapl:0", "package-0", limit_w=4095.9)
    (device,), _, _ = discover_zones(tree.sys, machine=XEON, host="here")
    assert device.peak_w is None


# -- dies ------------------------------------------------------------------------------------


def dies(tree: Tree, *, second_uj: int) -> list[Path]:
    return [
        tree.zone("intel-rapl:0", "package-0-die-0", energy_uj=9_000_000),
        tree.zone("intel-rapl:1", "package-0-die-1", energy_uj=second_uj),
    ]


def moving(zones: list[Path], *, step_uj: tuple[int, ...]) -> Callable[[float], None]:
    def pause(_: float) -> None:
        for zone, step in zip(zones, step_uj, strict=True):
            file = zone / "energy_uj"
            file.write_text(f"{int(file.read_text()) + step}\n")

    return pause


def test_dies_with_counters_of_their_own_are_both_kept(tree: Tree) -> None:
    dies(tree, second_uj=400_000_000)
    devices, sensors, _ = discover_zones(tree.sys, machine=EPYC, host="here", pause=never)
    assert ids(sensors) == ["cpu:0.0", "cpu:0.1"]
    assert [d.id for d in devices] == ["cpu:0.0", "cpu:0.1"]


def test_a_die_that_mirrors_its_package_is_dropped(tree: Tree) -> None:
    zones = dies(tree, second_uj=9_000_000)
    _, sensors, findings = discover_zones(
        tree.sys, machine=EPYC, host="here", pause=moving(zones, step_uj=(40_000, 40_000))
    )
    assert [(s.device.id, s.zone.name) for s in sensors] == [("cpu:0", "package-0-die-0")]
    assert "package-0-die-1 shows the same counter" in findings[0].text


def test_dies_that_are_equal_by_chance_are_both_kept(tree: Tree) -> None:
    zones = dies(tree, second_uj=9_000_000)
    _, sensors, _ = discover_zones(
        tree.sys, machine=EPYC, host="here", pause=moving(zones, step_uj=(40_000, 39_000))
    )
    assert len(sensors) == 2


def test_counters_that_stand_still_prove_no_mirror(tree: Tree) -> None:
    dies(tree, second_uj=9_000_000)
    _, sensors, _ = discover_zones(tree.sys, machine=EPYC, host="here", pause=lambda _: None)
    assert len(sensors) == 2


def test_equal_counters_of_two_sockets_are_no_mirror(tree: Tree) -> None:
    zones = [tree.zone(f"intel-rapl:{n}", f"package-{n}") for n in (0, 1)]
    _, sensors, _ = discover_zones(
        tree.sys, machine=EPYC, host="here", pause=moving(zones, step_uj=(1000, 1000))
    )
    assert ids(sensors) == ["cpu:0", "cpu:1"]


def test_a_dead_counter_of_a_guest_is_absent(tree: Tree) -> None:
    tree.zone("intel-rapl:0", "package-0", energy_uj=0)
    guest = {**XEON, "virtualisation": "KVM"}
    _, sensors, findings = discover_zones(
        tree.sys, machine=guest, host="here", pause=lambda _: None
    )
    assert sensors == []
    assert findings[0].state == "absent"
    assert "stands at zero" in findings[0].text


# -- faults ----------------------------------------------------------------------------------


class Hand:
    """A clock that is moved by hand."""

    now_ns = 0

    def __call__(self) -> int:
        return self.now_ns

    def forward(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


def one_sensor(tree: Tree, clock: Hand) -> RaplSensor:
    (zone,) = find_zones(tree.sys)
    _, (made,), _ = discover_zones(tree.sys, machine=XEON, host="here")
    return RaplSensor(zone, made.device, made.channels[0], now_ns=clock)


def test_a11_a_counter_of_root_only_is_refused_with_the_command(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        # Root may read everything, so that the child looks as somebody else.
        folder = Path(f"/tmp/submeter-a11-{os.getpid()}")  # noqa: S108 - reachable for nobody
        folder.mkdir(mode=0o755)
    else:
        folder = tmp_path
    tree = Tree(folder / "machine")
    try:
        (tree.zone("intel-rapl:0", "package-0") / "energy_uj").chmod(0o400)
        if os.geteuid() != 0:
            (tree.sys / "class/powercap/intel-rapl:0/energy_uj").chmod(0o000)
        said = subprocess.run(
            [sys.executable, "-c", LOOK, str(tree.sys)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": ":".join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
        ).stdout.splitlines()
    finally:
        if folder != tmp_path:
            subprocess.run(["rm", "-r", str(folder)], check=True)
    assert said == [
        "0 sensors",
        "CPU refused",
        f"{tree.sys}/class/powercap/intel-rapl:0/energy_uj is readable by root only",
        "submeter doctor --fix rapl",
    ]


LOOK = """
import os, sys
from pathlib import Path
from submeter.sensors.powercap import discover_zones
discover_zones(Path("/nowhere"), machine={}, host="here")  # whatever it imports late
if os.geteuid() == 0:
    os.setgroups([])
    os.seteuid(65534)
_, sensors, (f,) = discover_zones(Path(sys.argv[1]), machine={}, host="here")
print(len(sensors), "sensors")
print(f.part, f.state)
print(f.text)
print(f.remedy)
"""


def test_a13_a_failing_read_is_missing_and_tried_again_with_growing_pauses(tree: Tree) -> None:
    zone = tree.zone("intel-rapl:0", "package-0")
    clock = Hand()
    sensor = one_sensor(tree, clock)
    assert sensor.read() == (5_000_000,)
    (zone / "energy_uj").unlink()
    (zone / "energy_uj").mkdir()  # a folder can be opened, and reading it fails: EISDIR
    sensor.close()
    reasons, waits = [], []
    last = 0.0
    for _ in range(200):
        (value,) = sensor.read()
        assert isinstance(value, Missing)
        reasons.append(value.why)
        if sensor._retry_ns > clock.now_ns and sensor._retry_ns != last:
            waits.append((sensor._retry_ns - clock.now_ns) / 1e9)
            last = sensor._retry_ns
        clock.forward(0.1)
    assert set(reasons) == {"intel-rapl:0: Is a directory"}
    assert waits[:3] == [0.1, 0.2, 0.4]
    assert max(waits) == 5.0
    (zone / "energy_uj").rmdir()
    (zone / "energy_uj").write_text("6000000\n")
    clock.forward(5)
    assert sensor.read() == (6_000_000,)


def test_a13_a_file_without_a_number_is_missing(tree: Tree) -> None:
    zone = tree.zone("intel-rapl:0", "package-0")
    sensor = one_sensor(tree, Hand())
    sensor.read()
    (zone / "energy_uj").write_text("")
    assert sensor.read() == (Missing("intel-rapl:0: no number in it"),)


def test_a14_a_zone_that_goes_and_comes_back_is_read_again(tree: Tree) -> None:
    tree.zone("intel-rapl:0", "package-0", energy_uj=5_000_000)
    clock = Hand()
    sensor = one_sensor(tree, clock)
    assert sensor.read() == (5_000_000,)
    tree.remove("intel-rapl:0")
    assert sensor.read() == (Missing("intel-rapl:0: No such file or directory"),)
    tree.zone("intel-rapl:0", "package-0", energy_uj=1_000)
    clock.forward(0.1)
    assert sensor.read() == (1_000,)


def test_a14_a_zone_replaced_between_two_reads_is_not_read_from_its_grave(tree: Tree) -> None:
    tree.zone("intel-rapl:0", "package-0", energy_uj=5_000_000)
    sensor = one_sensor(tree, Hand())
    assert sensor.read() == (5_000_000,)
    tree.remove("intel-rapl:0")
    tree.zone("intel-rapl:0", "package-0", energy_uj=70)
    assert sensor.read() == (70,)


def test_a18_a_pipe_in_place_of_the_counter_does_not_hold_us(tree: Tree) -> None:
    zone = tree.zone("intel-rapl:0", "package-0")
    (zone / "energy_uj").unlink()
    os.mkfifo(zone / "energy_uj")
    _, (sensor,), _ = discover_zones(tree.sys, machine=XEON, host="here", pause=never)
    (value,) = sensor.read()
    assert isinstance(value, Missing)


def test_no_tree_at_all_finds_nothing_and_says_nothing(tmp_path: Path) -> None:
    nothing: tuple[list[object], list[object], list[Finding]] = ([], [], [])
    assert discover_zones(tmp_path / "no", machine={}, host="here") == nothing


def test_the_memory_of_a_mirrored_die_is_dropped_with_it(tree: Tree) -> None:
    zones = dies(tree, second_uj=9_000_000)
    zones += [tree.zone(f"intel-rapl:{n}:0", "dram", energy_uj=77_000) for n in (0, 1)]

    def pause(_: float) -> None:
        moving(zones, step_uj=(40_000, 40_000, 900, 900))(0)

    _, sensors, _ = discover_zones(tree.sys, machine=EPYC, host="here", pause=pause)
    assert ids(sensors) == ["cpu:0", "dram:0"]


def test_a_mirror_of_a_running_machine_is_found_and_dies_of_their_own_are_not(
    tmp_path: Path,
) -> None:
    machine = FakeMachine(tmp_path)
    first = machine.add_package(constant(100.0), socket=0, die=0)
    machine.add_mirrored_die(first, socket=0, die=1)
    machine.add_package(constant(100.0), socket=1, die=0)
    machine.add_package(constant(100.0), socket=1, die=1, start_uj=99_000_000)
    try:
        with machine.live():
            _, sensors, _ = discover_zones(machine.sys, machine=EPYC, host="here")
    finally:
        machine.close()
    assert ids(sensors) == ["cpu:0", "cpu:1.0", "cpu:1.1"]
