# SPDX-License-Identifier: Apache-2.0
"""Zones of the fake powercap tree, read as a sensor would read them."""

import errno
import math
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.testing import FakeMachine, burst, constant, square
from submeter.testing.cells import EACCES_SOURCE
from submeter.testing.waveforms import ramp
from submeter.testing.zones import AMD_RANGE_UJ, AMD_UNIT_NJ, INTEL_RANGE_UJ


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[FakeMachine]:
    machine = FakeMachine(tmp_path / "machine")
    yield machine
    machine.close()


def counter(machine: FakeMachine, name: str = "intel-rapl:0") -> Path:
    return machine.sys / "class/powercap" / name / "energy_uj"


def read_uj(machine: FakeMachine, name: str = "intel-rapl:0") -> int:
    return int(counter(machine, name).read_text())


def modulus_uj(machine: FakeMachine, name: str = "intel-rapl:0") -> int:
    return int((counter(machine, name).parent / "max_energy_range_uj").read_text()) + 1


def test_the_tree_is_laid_out_as_linux_does(machine: FakeMachine) -> None:
    package = machine.add_package(constant(50), socket=0, die=0)
    machine.add_dram(package, constant(5))
    machine.add_part(package, "core", constant(30))
    machine.add_package(constant(50), socket=1, die=0)
    machine.add_psys(constant(200))
    machine.add_mmio_twin(package)
    folder = machine.sys / "class/powercap"
    names = {path.name: (path / "name").read_text().strip() for path in folder.glob("*:*")}
    assert names == {
        "intel-rapl:0": "package-0-die-0",
        "intel-rapl:0:0": "dram",
        "intel-rapl:0:1": "core",
        "intel-rapl:1": "package-1-die-0",
        "intel-rapl:2": "psys",
        "intel-rapl-mmio:0": "package-0-die-0",
    }
    assert (folder / "intel-rapl:0/intel-rapl:0:0").resolve() == (
        folder / "intel-rapl:0:0"
    ).resolve()
    assert (folder / "intel-rapl").is_dir()
    assert machine.device_ids() == ["cpu:0", "dram:0", "cpu:1", "node:psys"]


def test_two_readings_give_the_energy_to_one_count(machine: FakeMachine) -> None:
    machine.add_package(square(0.3, 25, 240))
    for t_s in (0.0, 0.1, 7.25, 3600.0):
        machine.at(t_s)
        before_uj = read_uj(machine)
        machine.at(t_s + 12.5)
        used_j = (read_uj(machine) - before_uj) / 1e6
        assert used_j == pytest.approx(machine.truth_j("cpu:0", t_s, t_s + 12.5), abs=2e-3)


@settings(deadline=None, max_examples=40)
@given(
    wave=st.one_of(
        st.builds(constant, st.floats(1, 500)),
        st.builds(square, st.floats(0.1, 3), st.floats(1, 90), st.floats(90, 500)),
        st.builds(burst, st.floats(1, 90), st.floats(90, 500)),
        st.builds(lambda a, b: ramp(3, 9, a, b), st.floats(1, 500), st.floats(1, 500)),
    ),
    start_uj=st.integers(0, INTEL_RANGE_UJ),
    range_uj=st.sampled_from([200_000_000, AMD_RANGE_UJ, INTEL_RANGE_UJ]),
    ticks=st.integers(1, 60),
)
def test_wrapping_counters_lose_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    wave: object,
    start_uj: int,
    range_uj: int,
    ticks: int,
) -> None:
    machine = FakeMachine(tmp_path_factory.mktemp("zones") / "machine")
    machine.add_package(wave, start_uj=start_uj, range_uj=range_uj, unit_nj=1000)  # type: ignore[arg-type]
    machine.at(0)
    total_uj, last_uj = 0, read_uj(machine)
    for tick in range(1, ticks + 1):
        machine.at(tick / 5)
        now_uj = read_uj(machine)
        assert 0 <= now_uj <= range_uj
        total_uj += (now_uj - last_uj) % modulus_uj(machine)
        last_uj = now_uj
    machine.close()
    # one count, and what the last millisecond may hide
    assert total_uj / 1e6 == pytest.approx(machine.truth_j("cpu:0", 0, ticks / 5), abs=2e-6)


def test_starting_near_the_end_it_wraps_at_once(machine: FakeMachine) -> None:
    machine.add_package(constant(50), start_uj=INTEL_RANGE_UJ - 1_000_000)
    before_uj = read_uj(machine)
    machine.at(0.1)
    assert read_uj(machine) < 5_000_000 < before_uj
    assert (read_uj(machine) - before_uj) % modulus_uj(machine) == pytest.approx(
        5_000_000, abs=200
    )


def test_amd_counts_in_smaller_steps_and_wraps_sooner(machine: FakeMachine) -> None:
    machine.add_package(constant(100), range_uj=AMD_RANGE_UJ, unit_nj=AMD_UNIT_NJ, start_uj=0)
    machine.at(655)
    assert read_uj(machine) == pytest.approx(65_500_000_000, abs=16)
    machine.at(656)
    assert read_uj(machine) == pytest.approx(65_600_000_000 - AMD_RANGE_UJ, abs=32)


def test_the_counter_is_refreshed_at_its_period(machine: FakeMachine) -> None:
    machine.add_package(constant(100), update_s=0.05, unit_nj=1000, start_uj=0)
    seen = []
    for t_ms in range(0, 101, 10):
        machine.at(t_ms / 1e3)
        seen.append(read_uj(machine))
    assert seen == [0] * 5 + [5_000_000] * 5 + [10_000_000]


def test_a_mirrored_die_shows_the_same_counter_and_counts_once(machine: FakeMachine) -> None:
    package = machine.add_package(square(0.3, 20, 90), die=0)
    machine.add_mirrored_die(package)
    machine.add_mmio_twin(package)
    for t_s in (0.0, 0.123, 1.7):
        machine.at(t_s)
        assert read_uj(machine) == read_uj(machine, "intel-rapl:1")
    assert read_uj(machine, "intel-rapl-mmio:0") == read_uj(machine)
    assert machine.truth_j("cpu:0", 0, 3) == pytest.approx(package.truth_j(0, 3))


def test_dies_of_a_socket_are_one_device(machine: FakeMachine) -> None:
    for die in range(2):
        machine.add_package(constant(40), socket=1, die=die)
    assert machine.truth_j("cpu:1", 0, 10) == 800
    with pytest.raises(KeyError, match="cpu:0"):
        machine.truth_j("cpu:0", 0, 10)


@pytest.mark.parametrize("text", ["0", "", "none"])
def test_the_range_file_reads_nonsense(machine: FakeMachine, text: str) -> None:
    machine.add_package(constant(40)).show_range(text)
    assert (counter(machine).parent / "max_energy_range_uj").read_text() == f"{text}\n"


def test_the_range_file_cannot_be_read(machine: FakeMachine) -> None:
    machine.add_package(constant(40)).show_range(None)
    with pytest.raises(OSError, match="Input/output") as caught:
        (counter(machine).parent / "max_energy_range_uj").read_text()
    assert caught.value.errno == errno.EIO


def test_a_reset_starts_from_nothing(machine: FakeMachine) -> None:
    package = machine.add_package(constant(40), unit_nj=1000)
    package.reset(5)
    package.reset(20)
    machine.at(4.999)
    assert read_uj(machine) == 1_234_567_890 + 4.999 * 40e6
    machine.at(5)
    assert read_uj(machine) == 0
    machine.at(6)
    assert read_uj(machine) == 40_000_000
    machine.at(21)
    assert read_uj(machine) == 40_000_000


def test_a_step_back_stays(machine: FakeMachine) -> None:
    package = machine.add_package(constant(40), unit_nj=1000, start_uj=10_000_000)
    package.step_back(5, 700)
    machine.at(5)
    assert read_uj(machine) == 210_000_000 - 700
    machine.at(6)
    assert read_uj(machine) == 250_000_000 - 700


def test_a_frozen_counter_catches_up_when_it_thaws(machine: FakeMachine) -> None:
    package = machine.add_package(constant(40), unit_nj=1000, start_uj=0)
    package.freeze(5, until_s=8)
    for t_s in (5, 6, 7.99):
        machine.at(t_s)
        assert read_uj(machine) == 200_000_000
    machine.at(8)
    assert read_uj(machine) == 320_000_000


def test_an_absurd_jump_lasts_as_long_as_told(machine: FakeMachine) -> None:
    package = machine.add_package(constant(40), unit_nj=1000, start_uj=0)
    package.jump(5, 9e10, until_s=5.1)
    machine.at(5)
    assert read_uj(machine) == 200_000_000 + 90_000_000_000
    machine.at(5.1)
    assert read_uj(machine) == 204_000_000


@pytest.mark.skipif(
    os.geteuid() == 0 and not Path(EACCES_SOURCE).exists(), reason="root is refused nothing here"
)
def test_a_refused_counter_refuses_even_root(machine: FakeMachine) -> None:
    package = machine.add_package(constant(40))
    package.refuse(until_s=3)
    machine.at(1)
    with pytest.raises(PermissionError):
        counter(machine).read_text()
    machine.at(3)
    assert read_uj(machine) == package.value_uj(3)


def test_a_failing_counter_answers_eio_and_recovers(machine: FakeMachine) -> None:
    package = machine.add_package(constant(40))
    package.fail(1, until_s=2)
    machine.at(1)
    with pytest.raises(OSError, match="Input/output") as caught:
        counter(machine).read_text()
    assert caught.value.errno == errno.EIO
    machine.at(2)
    assert read_uj(machine) == package.value_uj(2)


def test_an_empty_counter_reads_nothing(machine: FakeMachine) -> None:
    package = machine.add_package(constant(40))
    package.empty(1, until_s=2)
    machine.at(1)
    assert counter(machine).read_bytes() == b""
    machine.at(2)
    assert read_uj(machine) == package.value_uj(2)


def test_a_zone_vanishes_with_those_below_and_returns(machine: FakeMachine) -> None:
    package = machine.add_package(constant(40))
    dram = machine.add_dram(package, constant(4))
    machine.add_package(constant(40), socket=1)
    package.vanish(1, until_s=2)
    package.vanish(5, until_s=6)
    links = machine.sys / "class/powercap"
    held = [(links / name / "energy_uj").open() for name in ("intel-rapl:0", "intel-rapl:0:0")]
    for away_s, back_s in ((1, 2), (5.5, 6)):
        machine.at(away_s)
        assert [path.name for path in links.glob("*:*")] == ["intel-rapl:1"]
        assert not package.folder.exists()
        machine.at(back_s)
        assert read_uj(machine) == package.value_uj(back_s)
        assert read_uj(machine, "intel-rapl:0:0") == dram.value_uj(back_s)
    for file in held:  # as after a module was unloaded, an old descriptor gives nothing
        assert file.read() == ""
        file.close()


def test_a_fifo_hangs_the_reader_until_it_is_over(machine: FakeMachine) -> None:
    package = machine.add_package(constant(40))
    package.hang(1, until_s=2)
    machine.at(1)
    got: list[str] = []
    thread = threading.Thread(target=lambda: got.append(counter(machine).read_text()), daemon=True)
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    machine.at(2)
    thread.join(60)
    assert got == [""]
    assert read_uj(machine) == package.value_uj(2)


def test_closing_the_machine_frees_who_hangs(machine: FakeMachine) -> None:
    machine.add_package(constant(40)).hang(1)
    machine.at(1)
    opened = threading.Event()
    path = counter(machine)

    def read() -> None:
        opened.set()
        path.read_text()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    opened.wait()
    while thread.is_alive():  # it may not have come to the opening yet
        machine.close()
        thread.join(0.01)


def test_a_file_held_open_sees_each_value(machine: FakeMachine) -> None:
    package = machine.add_package(constant(40))
    fd = os.open(counter(machine), os.O_RDONLY)
    for t_s in (0.5, 1, 100_000):
        machine.at(t_s)
        raw = os.pread(fd, 64, 0)
        assert int(raw) == package.value_uj(t_s)
        assert len(raw) == 21
    os.close(fd)


def test_a_gain_is_on_the_counter_and_not_on_the_truth(machine: FakeMachine) -> None:
    machine.add_package(constant(100), gain=0.9, unit_nj=1000, start_uj=0)
    machine.at(10)
    assert read_uj(machine) == 900_000_000
    assert machine.truth_j("cpu:0", 0, 10) == 1000


def test_time_may_go_back_for_a_second_look(machine: FakeMachine) -> None:
    package = machine.add_package(ramp(0, 10, 0, 100))
    package.vanish(4, until_s=5)
    machine.at(8)
    later_uj = read_uj(machine)
    machine.at(4.5)
    assert not counter(machine).exists()
    machine.at(8)
    assert read_uj(machine) == later_uj
    assert math.isclose(machine.truth_j("cpu:0", 0, 10), 500)


def test_a_zone_says_its_limit(machine: FakeMachine) -> None:
    zone = machine.add_package(constant(40), limit_w=225)
    assert (zone.folder / "constraint_0_max_power_uw").read_text() == "225000000\n"


def test_a_counter_for_its_owner_only_stays_so(machine: FakeMachine) -> None:
    package = machine.add_package(constant(40), mode=0o400)
    package.vanish(1, until_s=2)
    package.fail(3, until_s=4)
    for t_s in (0.5, 2.5, 4.5):
        machine.at(t_s - 1)
        machine.at(t_s)
        assert counter(machine).stat().st_mode & 0o777 == 0o400
        package.adopt(t_s)  # as the writer of a live machine finds it
        machine.at(t_s + 0.1)
        assert counter(machine).stat().st_mode & 0o777 == 0o400
        if os.geteuid():
            counter(machine).chmod(0o444)
        assert read_uj(machine) == package.value_uj(t_s + 0.1)
