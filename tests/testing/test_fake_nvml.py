# SPDX-License-Identifier: Apache-2.0
"""The fake driver library, asked through the real bindings."""

import importlib
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.errors import SubmeterError
from submeter.testing import Board, BoardProcess, FakeDriver, board_of, constant, square
from submeter.testing.compiling import compile_library, find_compiler
from submeter.testing.nvml import PROFILES, STATE_VARIABLE
from submeter.testing.waveforms import Waveform

pynvml: Any = importlib.import_module("pynvml")  # untyped

pytestmark = pytest.mark.skipif(
    find_compiler() is None, reason="the fake driver needs a C compiler: apt install gcc libc6-dev"
)


@contextmanager
def running(path: Path, *boards: Board, **quirks: Any) -> Iterator[FakeDriver]:
    """A driver with *boards* in this process, initialised through the bindings."""
    driver = FakeDriver(path / f"state-{time.monotonic_ns()}", boards, **quirks)
    with driver.installed():
        pynvml.nvmlInit()
        yield driver
        pynvml.nvmlShutdown()
    driver.close()


def energy_mj(index: int = 0) -> int:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    return int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))


def power_mw(index: int = 0) -> int:
    return int(pynvml.nvmlDeviceGetPowerUsage(pynvml.nvmlDeviceGetHandleByIndex(index)))


def field(field_id: int, index: int = 0) -> Any:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    (value,) = pynvml.nvmlDeviceGetFieldValues(handle, [field_id])
    return value


def test_the_bindings_find_all_that_a_meter_asks(tmp_path: Path) -> None:
    with running(tmp_path, board_of("H100", constant(200), temperature_c=61)):
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        assert pynvml.nvmlSystemGetDriverVersion() == "550.54.15"
        assert pynvml.nvmlSystemGetNVMLVersion() == "12.550.54.15"
        assert pynvml.nvmlSystemGetCudaDriverVersion() == 12040
        assert pynvml.nvmlDeviceGetCount() == 1
        assert pynvml.nvmlDeviceGetName(handle) == "NVIDIA H100 PCIe"
        assert pynvml.nvmlDeviceGetIndex(handle) == pynvml.nvmlDeviceGetMinorNumber(handle) == 0
        assert pynvml.nvmlDeviceGetPciInfo(handle).busId == "00000000:10:00.0"
        assert pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU) == 61
        assert pynvml.nvmlDeviceGetTemperatureV(handle, pynvml.NVML_TEMPERATURE_GPU) == 61
        assert pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM) == 1410
        assert pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_MEM) == 1593
        assert pynvml.nvmlDeviceGetCurrentClocksEventReasons(handle) == 0
        assert pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle) == 0
        assert pynvml.nvmlDeviceGetPerformanceState(handle) == 0
        assert pynvml.nvmlDeviceGetEnforcedPowerLimit(handle) == 350_000
        assert pynvml.nvmlDeviceGetPowerManagementDefaultLimit(handle) == 350_000
        assert pynvml.nvmlDeviceGetPowerManagementLimitConstraints(handle) == [100_000, 350_000]
        assert pynvml.nvmlDeviceGetCudaComputeCapability(handle) == (9, 0)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        assert (memory.total, memory.used) == (80 * 2**30, 0)
        newer = pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2)
        assert newer.total == newer.free == memory.free
        # (200 - 45) W of the (350 - 45) W between idle and limit
        assert pynvml.nvmlDeviceGetUtilizationRates(handle).gpu == 51


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_answers(tmp_path: Path, profile: str) -> None:
    with running(tmp_path, board_of(profile, constant(150))) as driver:
        driver.at(10)
        assert power_mw() == 150_000
        assert field(186).value.uiVal == 150_000
        if PROFILES[profile].get("energy_code"):
            with pytest.raises(pynvml.NVMLError_NotSupported):
                energy_mj()
        else:
            assert energy_mj() == pytest.approx(123_456_789 + 1_500_000, abs=1)


waves = st.lists(
    st.one_of(
        st.builds(constant, st.floats(0, 400)),
        st.builds(
            square, st.floats(0.05, 3), st.floats(0, 300), st.floats(0, 700),
            duty_ratio=st.floats(0, 1),
        ),
    ),
    min_size=1, max_size=4,
).map(lambda found: Waveform(tuple(part for wave in found for part in wave.parts)))  # fmt: skip


@settings(deadline=None)  # the first may compile the library
@given(wave=waves, t_s=st.floats(0, 1e5), gain=st.floats(0.9, 1.1), shift_s=st.floats(-2, 2))
def test_c_and_python_agree_on_the_closed_form(
    tmp_path_factory: pytest.TempPathFactory,
    wave: Waveform,
    t_s: float,
    gain: float,
    shift_s: float,
) -> None:
    wave = wave.shifted(shift_s)
    board = Board(wave, gain=gain, counter_update_s=0, power_update_s=0, start_j=10.0)
    with running(tmp_path_factory.mktemp("nvml"), board) as driver:
        driver.at(t_s)
        t_s = round(t_s * 1e9) / 1e9
        expected_j = 10 + gain * wave.energy_j(0, t_s)
        assert energy_mj() / 1e3 == pytest.approx(expected_j, abs=1.1e-3, rel=1e-12)
        mean_w = gain * wave.energy_j(t_s - 0.025, t_s) / 0.025
        assert power_mw() / 1e3 == pytest.approx(mean_w, abs=2e-3)


def test_the_counter_steps_with_its_update_period(tmp_path: Path) -> None:
    with running(tmp_path, Board(constant(100), counter_update_s=0.1)) as driver:
        seen = []
        for t_ms in range(0, 301, 10):
            driver.at(t_ms / 1e3)
            seen.append(energy_mj())
        assert len(set(seen)) == 4
        assert seen[9] == seen[0]
        assert seen[10] - seen[0] == 10_000


def test_power_is_the_mean_of_the_boards_own_window(tmp_path: Path) -> None:
    wave = square(1, 100, 300)  # high in the first half of each second
    a100, h100 = board_of("A100", wave), board_of("H100", wave)
    with running(tmp_path, a100, h100) as driver:
        driver.at(10.555)  # 55 ms after an edge: both were refreshed at 10.5, when all was high
        assert power_mw(0) == 300_000
        driver.at(10.61)  # refreshed at 10.6: the last 25 ms were low
        assert power_mw(0) == 100_000
        assert power_mw(1) == pytest.approx(200_000, abs=1)  # mean of a whole second
        assert field(185, 1).value.uiVal == power_mw(1)
        assert field(186, 1).value.uiVal == 100_000


def test_no_energy_counter_before_volta(tmp_path: Path) -> None:
    with running(tmp_path, board_of("P100", constant(90))):
        with pytest.raises(pynvml.NVMLError_NotSupported):
            energy_mj()
        assert field(83).nvmlReturn == pynvml.NVML_ERROR_NOT_SUPPORTED
        assert power_mw() == 90_000


def test_a_lost_board_answers_15_and_others_go_on(tmp_path: Path) -> None:
    boards = (Board(lost_at_s=5, lost_until_s=8), Board(lost_at_s=6, lost_code=16))
    with running(tmp_path, *boards) as driver:
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        driver.at(5)
        with pytest.raises(pynvml.NVMLError_GpuIsLost):
            pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        with pytest.raises(pynvml.NVMLError_GpuIsLost):
            pynvml.nvmlDeviceGetHandleByIndex(0)
        assert energy_mj(1) == 123_456_789 + 500_000
        driver.at(8)
        assert pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) == 123_456_789 + 800_000
        with pytest.raises(pynvml.NVMLError_ResetRequired):
            energy_mj(1)


def test_after_a_driver_reload_only_a_new_init_helps(tmp_path: Path) -> None:
    with running(tmp_path, Board(constant(100), reload_at_s=10)) as driver:
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        driver.at(9.9)
        assert energy_mj() == 123_456_789 + 990_000
        driver.at(12)
        with pytest.raises(pynvml.NVMLError_ResetRequired):
            pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        with pytest.raises(pynvml.NVMLError_ResetRequired):  # a new handle of the old session
            energy_mj()
        pynvml.nvmlShutdown()
        pynvml.nvmlInit()
        with pytest.raises(pynvml.NVMLError_ResetRequired):  # the old handle in the new session
            pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        assert energy_mj() == 200_000


@pytest.mark.parametrize(
    ("code", "error"),
    [(9, pynvml.NVMLError_DriverNotLoaded), (18, pynvml.NVMLError_LibRmVersionMismatch)],
)
def test_init_fails_as_told(tmp_path: Path, code: int, error: type[Exception]) -> None:
    driver = FakeDriver(tmp_path / "state", [Board()], init_code=code)
    with driver.installed():
        with pytest.raises(error):
            pynvml.nvmlInit()
        with pytest.raises(pynvml.NVMLError_Uninitialized):
            pynvml.nvmlDeviceGetCount()
        driver.set_init_code(0)
        pynvml.nvmlInit()
        assert pynvml.nvmlDeviceGetCount() == 1


def test_without_a_state_file_the_library_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeDriver(tmp_path / "state", []).installed():
        monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "nothing"))
        with pytest.raises(pynvml.NVMLError_LibraryNotFound):
            pynvml.nvmlInit()


def test_a_state_file_of_another_layout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state"
    driver = FakeDriver(path, [Board()])
    path.write_bytes(path.read_bytes().replace(b"SMFNVML1", b"SMFNVML0"))
    with driver.installed(), pytest.raises(pynvml.NVMLError_Unknown):
        pynvml.nvmlInit()


def test_boards_are_found_by_uuid_whatever_their_order(tmp_path: Path) -> None:
    boards = [Board(pci_bus=0x80 - i) for i in range(8)]
    with running(tmp_path, *boards):
        buses = [
            pynvml.nvmlDeviceGetPciInfo(pynvml.nvmlDeviceGetHandleByIndex(i)).bus for i in range(8)
        ]
        assert buses == sorted(buses, reverse=True)
        assert len({board.uuid for board in boards}) == 8
        for index, board in enumerate(boards):
            handle = pynvml.nvmlDeviceGetHandleByUUID(board.uuid)
            assert pynvml.nvmlDeviceGetIndex(handle) == index
            assert pynvml.nvmlDeviceGetUUID(handle) == board.uuid
        with pytest.raises(pynvml.NVMLError_NotFound):
            pynvml.nvmlDeviceGetHandleByUUID("GPU-00000000-0000-0000-0000-000000000000")
        with pytest.raises(pynvml.NVMLError_InvalidArgument):
            pynvml.nvmlDeviceGetHandleByIndex(8)


def test_mig_has_instances_and_no_process_utilisation(tmp_path: Path) -> None:
    processes = [BoardProcess(7, mig=0), BoardProcess(8, mig=2)]
    board = Board(mig_instances=3, processes=processes)
    with running(tmp_path, board, Board()):
        whole = pynvml.nvmlDeviceGetHandleByIndex(0)
        assert pynvml.nvmlDeviceGetMigMode(whole) == [1, 1]
        assert pynvml.nvmlDeviceGetMaxMigDeviceCount(whole) == 7
        with pytest.raises(pynvml.NVMLError_NotSupported):
            pynvml.nvmlDeviceGetProcessUtilization(whole, 0)
        with pytest.raises(pynvml.NVMLError_NotSupported):
            pynvml.nvmlDeviceGetUtilizationRates(whole)
        part = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(whole, 2)
        assert pynvml.nvmlDeviceGetUUID(part) == board.mig_uuids[2]
        assert pynvml.nvmlDeviceIsMigDeviceHandle(part).value == 1
        assert pynvml.nvmlDeviceGetGpuInstanceId(part) == 2
        parent = pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(part)
        assert pynvml.nvmlDeviceGetUUID(parent) == board.uuid
        assert [p.pid for p in pynvml.nvmlDeviceGetComputeRunningProcesses(part)] == [8]
        assert [p.pid for p in pynvml.nvmlDeviceGetComputeRunningProcesses(whole)] == [7, 8]
        by_uuid = pynvml.nvmlDeviceGetHandleByUUID(board.mig_uuids[1])
        assert pynvml.nvmlDeviceGetUUID(by_uuid) == board.mig_uuids[1]
        with pytest.raises(pynvml.NVMLError_NotSupported):
            pynvml.nvmlDeviceGetTotalEnergyConsumption(part)
        with pytest.raises(pynvml.NVMLError_NotFound):
            pynvml.nvmlDeviceGetMigDeviceHandleByIndex(whole, 3)
        with pytest.raises(pynvml.NVMLError_NotSupported):
            pynvml.nvmlDeviceGetMigMode(pynvml.nvmlDeviceGetHandleByIndex(1))


def test_processes_come_and_go(tmp_path: Path) -> None:
    processes = [
        BoardProcess(41, sm_ratio=0.25, memory_bytes=5 * 2**30, to_s=20),
        BoardProcess(42, sm_ratio=0.75, from_s=10),
        BoardProcess(43, graphics=True),
    ]
    with running(tmp_path, Board(processes=processes), Board()) as driver:
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)

        def pids() -> list[int]:
            return [p.pid for p in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)]

        assert pids() == [41]
        driver.at(15)
        assert pids() == [41, 42]
        samples = pynvml.nvmlDeviceGetProcessUtilization(handle, 0)
        assert {s.pid: s.smUtil for s in samples} == {41: 25, 42: 75, 43: 100}
        with pytest.raises(pynvml.NVMLError_NotFound):  # nothing new since then
            pynvml.nvmlDeviceGetProcessUtilization(handle, samples[0].timeStamp)
        driver.at(20)
        assert pids() == [42]
        graphics = pynvml.nvmlDeviceGetGraphicsRunningProcesses(handle)
        assert [p.pid for p in graphics] == [43]
        empty = pynvml.nvmlDeviceGetHandleByIndex(1)
        assert pynvml.nvmlDeviceGetComputeRunningProcesses(empty) == []
        with pytest.raises(pynvml.NVMLError_NotFound):
            pynvml.nvmlDeviceGetProcessUtilization(empty, 0)


def test_a_power_limit_that_was_set_is_seen_outside(tmp_path: Path) -> None:
    with running(tmp_path, Board(limit_w=400), Board(limit_code=4)) as driver:
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        pynvml.nvmlDeviceSetPowerManagementLimit(handle, 250_000)
        assert (driver.limit_w(0), driver.limit_sets(0)) == (250, 1)
        driver.update()
        assert pynvml.nvmlDeviceGetPowerManagementLimit(handle) == 250_000
        with pytest.raises(pynvml.NVMLError_InvalidArgument):
            pynvml.nvmlDeviceSetPowerManagementLimit(handle, 500_000)
        other = pynvml.nvmlDeviceGetHandleByIndex(1)
        with pytest.raises(pynvml.NVMLError_NoPermission):
            pynvml.nvmlDeviceSetPowerManagementLimit(other, 250_000)
        assert (driver.limit_w(1), driver.limit_sets(1)) == (400, 0)


def test_a_counter_freezes_and_jumps(tmp_path: Path) -> None:
    boards = (
        Board(constant(100), frozen_at_s=5, frozen_until_s=9),
        Board(constant(100), jump_at_s=5, jump_until_s=6, jump_j=1e12),
    )
    with running(tmp_path, *boards) as driver:
        driver.at(5)
        frozen, jumped = energy_mj(0), energy_mj(1)
        assert jumped - frozen == pytest.approx(1e15, abs=1)
        driver.at(8.9)
        assert energy_mj(0) == frozen
        assert power_mw(0) == 100_000
        driver.at(9)
        assert energy_mj(0) == energy_mj(1) == 123_456_789 + 900_000


def test_slow_calls_take_their_time(tmp_path: Path) -> None:
    with running(tmp_path, Board(call_s=0.05), Board()):
        slow, quick = (pynvml.nvmlDeviceGetHandleByIndex(i) for i in (0, 1))
        began_s = time.monotonic()
        pynvml.nvmlDeviceGetPowerUsage(slow)
        assert time.monotonic() - began_s >= 0.05
        assert pynvml.nvmlDeviceGetPowerUsage(quick) == 100_000


def test_a_hanging_call_returns_when_its_time_is_over(tmp_path: Path) -> None:
    with running(tmp_path, Board(constant(70), hang_at_s=5, hang_until_s=6), Board()) as driver:
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        driver.at(5)
        answers: list[int] = []
        thread = threading.Thread(
            target=lambda: answers.append(pynvml.nvmlDeviceGetPowerUsage(handle)), daemon=True
        )
        thread.start()
        assert power_mw(1) == 100_000  # the interpreter is not held meanwhile
        thread.join(0.05)
        assert thread.is_alive()
        driver.at(6)
        thread.join(60)
        assert answers == [70_000]


def test_a_hang_does_not_outlive_its_driver(tmp_path: Path) -> None:
    errors: list[Exception] = []

    def call(handle: Any) -> None:
        try:
            pynvml.nvmlDeviceGetPowerUsage(handle)
        except pynvml.NVMLError as error:
            errors.append(error)

    driver = FakeDriver(tmp_path / "state", [Board(hang_at_s=5)])
    with driver.installed():
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        driver.at(5)
        thread = threading.Thread(target=call, args=(handle,), daemon=True)
        thread.start()
        while driver.calls()[os.getpid()].calls < 2:
            thread.join(0.01)
    thread.join(60)
    assert [type(e) for e in errors] == [pynvml.NVMLError_Timeout]


def test_machines_do_not_see_each_other(tmp_path: Path) -> None:
    with running(tmp_path, Board(constant(10))) as first:
        assert power_mw() == 10_000
    with running(tmp_path, Board(constant(20)), Board(constant(30))) as second:
        assert pynvml.nvmlDeviceGetCount() == 2
        assert power_mw(1) == 30_000
        assert second.calls()[os.getpid()].inits == 1
    assert first.boards[0].uuid == second.boards[0].uuid  # names hold from run to run


def test_an_unclean_end_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    with FakeDriver(tmp_path / "a", [Board()]).installed():
        pynvml.nvmlInit()  # and no shutdown
    with FakeDriver(tmp_path / "b", []).installed():
        with pytest.raises(pynvml.NVMLError_Uninitialized):
            pynvml.nvmlDeviceGetCount()
        pynvml.nvmlInit()
        assert pynvml.nvmlDeviceGetCount() == 0


def test_live_boards_follow_the_monotonic_clock(tmp_path: Path) -> None:
    with running(tmp_path, Board(constant(100), counter_update_s=0, start_j=0)) as driver:
        epoch_ns = time.monotonic_ns() - 1_000_000_000
        driver.go_live(epoch_ns)
        before_ns = time.monotonic_ns() - epoch_ns
        seen_mj = energy_mj()
        after_ns = time.monotonic_ns() - epoch_ns
        assert before_ns * 100 / 1e6 - 1 <= seen_mj <= after_ns * 100 / 1e6 + 1
        driver.at(2)
        assert energy_mj() == 200_000


CHILD = """
import os, pynvml
pynvml.nvmlInit()
handle = pynvml.nvmlDeviceGetHandleByIndex(0)
print(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle), flush=True)
pid = os.fork()
if pid == 0:
    try:
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError_Uninitialized:
        pynvml.nvmlInit()
        print(os.getpid(), pynvml.nvmlDeviceGetTotalEnergyConsumption(handle), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
print(os.getpid(), flush=True)
"""


def test_child_processes_have_their_own_init(tmp_path: Path) -> None:
    driver = FakeDriver(tmp_path / "state", [Board(constant(100))])
    driver.at(3)
    done = subprocess.run(
        [sys.executable, "-c", CHILD], env={**os.environ, **driver.env()}, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    first_mj, fork_pid, again_mj, pid = map(int, done.stdout.split())
    assert first_mj == again_mj == 123_456_789 + 300_000
    calls = driver.calls()
    assert set(calls) == {fork_pid, pid}
    assert calls[pid].inits == calls[fork_pid].inits == 1
    assert calls[pid].calls == 2  # a handle and a counter


def test_a_missing_compiler_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(SubmeterError, match="no C compiler") as caught:
        compile_library(tmp_path / "cache")
    assert "apt install gcc" in (caught.value.remedy or "")


def test_a_compiler_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\necho stdint.h: no such file >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    with pytest.raises(SubmeterError, match=r"stdint\.h: no such file"):
        compile_library(tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.so*"))


def test_the_library_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = compile_library(tmp_path)
    monkeypatch.setenv("CC", "/bin/false")
    assert compile_library(tmp_path) == first
    assert first.name == "libnvidia-ml.so.1"


def test_too_much_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at most 16 boards"):
        FakeDriver(tmp_path / "state", [Board() for _ in range(17)])
    many = Board(processes=[BoardProcess(i) for i in range(17)])
    with pytest.raises(ValueError, match="at most 16"):
        FakeDriver(tmp_path / "state", [many])
    with pytest.raises(ValueError, match="MIG"):
        FakeDriver(tmp_path / "state", [Board(mig_instances=8)])


def test_a_gain_multiplies_what_is_read(tmp_path: Path) -> None:
    board = Board(constant(100), gain=1.05, start_j=0)
    with running(tmp_path, board) as driver:
        driver.at(100)
        assert energy_mj() == 10_500_000
        assert power_mw() == 105_000
    assert math.isclose(board.waveform.energy_j(0, 100), 10_000)
