# SPDX-License-Identifier: Apache-2.0
"""The whole fake machine: its time, by hand and by itself, and the truth that it knows."""

import importlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from submeter.testing import FakeMachine, VirtualClock, burst, constant, square
from submeter.testing.compiling import find_compiler
from submeter.testing.waveforms import ramp

pynvml: Any = importlib.import_module("pynvml")  # untyped

needs_compiler = pytest.mark.skipif(
    find_compiler() is None, reason="the fake driver needs a C compiler: apt install gcc libc6-dev"
)
PATIENCE_S = 60.0  # how long to wait for another process before the test fails


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[FakeMachine]:
    machine = FakeMachine(tmp_path / "machine")
    yield machine
    machine.close()


def counter(machine: FakeMachine, name: str = "intel-rapl:0") -> Path:
    return machine.sys / "class/powercap" / name / "energy_uj"


def wait_for(holds: Any) -> None:
    """Wait until *holds()*; fail after a time that no healthy machine needs."""
    never = threading.Event()
    for _ in range(int(PATIENCE_S / 0.002)):
        if holds():
            return
        never.wait(0.002)
    pytest.fail("it did not happen")


def test_every_device_has_a_truth(machine: FakeMachine) -> None:
    package = machine.add_package(square(0.5, 50, 150))
    machine.add_dram(package, constant(8))
    machine.add_psys(constant(300))
    machine.set_truth("rest:fake", constant(70))
    assert machine.device_ids() == ["cpu:0", "dram:0", "node:psys", "rest:fake"]
    assert machine.truth_j("cpu:0", 0, 10) == pytest.approx(1000)
    assert machine.truth_j("dram:0", 5, 6) == 8
    assert machine.truth_j("rest:fake", 0, 2) == 140
    with pytest.raises(KeyError, match="gpu:7"):
        machine.truth_j("gpu:7", 0, 1)


def test_without_boards_no_driver_is_made(machine: FakeMachine) -> None:
    assert machine.env() == {}
    assert machine.roots() == (machine.sys, machine.proc, False)
    with machine.installed():
        machine.at(1)
    assert not (machine.path / "nvml.state").exists()


def test_a_machine_follows_a_clock(machine: FakeMachine) -> None:
    package = machine.add_package(constant(100))
    clock = VirtualClock()
    machine.follow(clock)
    clock.advance(2.5)
    assert machine.t_s == 2.5
    assert int(counter(machine).read_text()) == package.value_uj(2.5)
    clock.wait_until(clock.monotonic_ns() + 500_000_000)
    assert machine.t_s == 3


@needs_compiler
def test_eight_boards_share_the_machines_time(machine: FakeMachine) -> None:
    boards = [
        machine.add_board(constant(100 + i), profile="H100", counter_update_s=0) for i in range(8)
    ]
    with machine.installed():
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(8)]
        machine.at(10)
        before = [pynvml.nvmlDeviceGetTotalEnergyConsumption(h) for h in handles]
        machine.at(70)
        for board, handle, old_mj in zip(boards, handles, before, strict=True):
            used_mj = pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) - old_mj
            truth_j = machine.truth_j(f"gpu:{board.uuid}", 10, 70)
            assert used_mj / 1e3 == pytest.approx(truth_j, abs=2e-3)
        pynvml.nvmlShutdown()
    assert machine.roots().nvml
    with pytest.raises(RuntimeError, match="before the driver"):
        machine.add_board()
    with pytest.raises(RuntimeError, match="in use"):
        machine.driver(init_code=9)


@needs_compiler
def test_a_child_process_meets_the_whole_machine(machine: FakeMachine) -> None:
    machine.add_board(constant(250), start_j=0)
    machine.add_package(constant(50), start_uj=0, unit_nj=1000)
    machine.at(4)
    code = (
        "import pynvml, sys; pynvml.nvmlInit(); h = pynvml.nvmlDeviceGetHandleByIndex(0);"
        "print(pynvml.nvmlDeviceGetTotalEnergyConsumption(h), int(open(sys.argv[1]).read()))"
    )
    command = [sys.executable, "-c", code, str(counter(machine))]
    out = subprocess.check_output(command, env={**os.environ, **machine.env()}, text=True)
    assert out.split() == ["1000000", "200000000"]


@pytest.mark.slow
def test_an_hour_at_ten_hertz_takes_seconds(machine: FakeMachine) -> None:
    package = machine.add_package(square(0.3, 40, 200))
    machine.add_dram(package, burst(4, 12))
    machine.add_package(ramp(0, 3600, 40, 200), socket=1)
    before_s = time.process_time()
    for tick in range(36_001):
        machine.at(tick / 10)
    assert int(counter(machine).read_text()) == package.value_uj(3600)
    assert time.process_time() - before_s < 20  # of CPU time; it needs about one


def test_live_counters_move_by_themselves(machine: FakeMachine) -> None:
    package = machine.add_package(constant(100))
    machine.add_process(50, cores=constant(1))
    machine.at(5)
    with machine.live() as live:
        assert machine.t_s >= 5
        first_uj = int(counter(machine).read_text())
        assert first_uj >= package.value_uj(5)
        wait_for(lambda: int(counter(machine).read_text()) > first_uj + 2_000_000)
        seen_uj = int(counter(machine).read_text())
        assert seen_uj <= package.value_uj(live.t_s())  # never ahead of the truth
        ticks = (machine.proc / "50/stat").read_text()
        wait_for(lambda: (machine.proc / "50/stat").read_text() != ticks)
        with pytest.raises(RuntimeError, match="by itself"):
            machine.at(99)
        with pytest.raises(RuntimeError, match="by itself"), machine.live():
            pass
    stopped_s = machine.t_s
    assert int(counter(machine).read_text()) == package.value_uj(stopped_s)
    machine.at(stopped_s + 10)
    assert int(counter(machine).read_text()) == package.value_uj(stopped_s + 10)


def test_live_counters_keep_their_file(machine: FakeMachine) -> None:
    machine.add_package(constant(100))
    fd = os.open(counter(machine), os.O_RDONLY)
    with machine.live():
        first_uj = int(os.pread(fd, 64, 0))
        wait_for(lambda: int(os.pread(fd, 64, 0)) > first_uj)
    os.close(fd)


def test_a_fault_may_be_told_while_time_runs(machine: FakeMachine) -> None:
    package = machine.add_package(constant(100))
    machine.add_process(60)
    with machine.live() as live:
        package.vanish(live.t_s())
        machine.update()
        wait_for(lambda: not package.folder.exists())
        machine.add_process(61, ppid=60, start_s=live.t_s())
        wait_for((machine.proc / "61/stat").exists)
        machine.processes.processes.pop()  # its folder goes with the next script
        machine.update()
        wait_for(lambda: not (machine.proc / "61").exists())
    assert not package.folder.exists()
    machine.at(0)
    assert int(counter(machine).read_text()) == package.value_uj(0)


def test_a_scripted_fault_comes_in_its_time(machine: FakeMachine) -> None:
    package = machine.add_package(constant(100))
    package.vanish(0.05, until_s=0.3)
    with machine.live() as live:
        wait_for(lambda: live.t_s() > 0.3 and counter(machine).exists())
        wait_for(lambda: int(counter(machine).read_text()) > package.value_uj(0.3))


def test_the_writer_ends_with_its_block(machine: FakeMachine) -> None:
    machine.add_package(constant(100))
    with machine.live() as live:
        pid = live.pid
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(RuntimeError, match="does not run"):
        live.send([], machine.processes)


def test_a_killed_writer_leaves_a_machine_that_goes_on(machine: FakeMachine) -> None:
    package = machine.add_package(constant(100))
    with machine.live() as live:
        os.kill(live.pid, 9)
    assert int(counter(machine).read_text()) == package.value_uj(machine.t_s)


@needs_compiler
def test_live_boards_compute_when_asked(machine: FakeMachine) -> None:
    board = machine.add_board(constant(100), counter_update_s=0, start_j=0)
    with machine.installed():
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        with machine.live() as live:
            low_s = live.t_s()
            seen_j = pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3
            assert 100 * low_s - 1e-3 <= seen_j <= 100 * live.t_s() + 1e-3
            board.lost_at_s = 0.0
            machine.update()
            with pytest.raises(pynvml.NVMLError_GpuIsLost):
                pynvml.nvmlDeviceGetPowerUsage(handle)
        pynvml.nvmlShutdown()


def test_the_public_names_are_there() -> None:
    import submeter.testing

    for name in submeter.testing.__all__:
        assert hasattr(submeter.testing, name)


def test_importing_it_needs_no_pytest_and_no_vendor_library() -> None:
    code = (
        "import sys; import submeter.testing;"
        "print([m for m in ('pytest', 'pynvml', 'numpy') if m in sys.modules])"
    )
    command = [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"]
    assert subprocess.check_output(command, text=True) == "[]\n"


def test_the_examples_hold() -> None:
    import doctest

    import submeter.testing.machine

    assert doctest.testmod(submeter.testing.machine) == (0, 7)
