# SPDX-License-Identifier: Apache-2.0
"""Limits of boards: set whole or not at all, and put back whatever happens."""

import errno
import importlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.errors import ActuatorError
from submeter.reducing.actuators import intents
from submeter.reducing.actuators.control import NEXT, Control, TakenError
from submeter.reducing.actuators.intents import intent_paths, read_kept
from submeter.reducing.actuators.keeping import limited
from submeter.reducing.actuators.nvml import ClockLocks, PowerLimits, rights
from submeter.reducing.actuators.restoring import held_now, restore_left
from submeter.testing import BoardProcess, FakeDriver
from submeter.testing.compiling import find_compiler
from tests.reducing.boards import board, driver_of, limits_w, program_environment

pytestmark = pytest.mark.skipif(
    find_compiler() is None, reason="the fake driver needs a C compiler: apt install gcc libc6-dev"
)
FIRST_W, LOW_W, LOWER_W = 400.0, 300.0, 250.0
NO_PERMISSION, NOT_SUPPORTED = 4, 3


@pytest.fixture
def two(tmp_path: Path) -> Iterator[FakeDriver]:
    with driver_of(tmp_path, board(), board()) as driver:
        yield driver


def control(home: Path, **about: Any) -> Control:
    return Control(PowerLimits(), home, guarded=False, **about)


# --- the way that it goes well ------------------------------------------------------------------


def test_limits_are_set_on_all_boards_and_put_back(two: FakeDriver, tmp_path: Path) -> None:
    held = control(tmp_path, words="train")
    assert [b.now for b in held.arm()] == [FIRST_W, FIRST_W]
    held.profile(LOW_W)
    assert limits_w(two) == [LOW_W, LOW_W]
    held.settle(LOWER_W)
    assert limits_w(two) == [LOWER_W, LOWER_W]
    ((kept, by),) = held_now(tmp_path)
    assert (kept.armed.words, kept.intended[-1].state) == ("train", "settled")
    assert kept.made
    assert by
    assert {row.how for row in held.restore()} == {"restored"}
    assert limits_w(two) == [FIRST_W, FIRST_W]
    assert intent_paths(tmp_path) == []
    assert held.restore() == held.outcome  # again is nothing new


@given(st.lists(st.sampled_from(["armed", "profiling", "settled", "restored"]), max_size=6))
def test_no_state_is_left_for_one_that_it_does_not_lead_to(way: list[Any]) -> None:
    held = Control(PowerLimits.__new__(PowerLimits), Path("/nowhere"))
    for state in way:
        if state in NEXT[held.state]:
            held._to(state)
            assert held.state == state
        else:
            before = held.state
            with pytest.raises(RuntimeError):
                held._to(state)
            assert held.state == before
        if held.state == "restored":
            assert NEXT[held.state] == {"restored"}


def test_a_block_of_a_program_holds_a_limit_and_no_longer(two: FakeDriver, tmp_path: Path) -> None:
    def interrupted() -> None:
        with limited(LOW_W, home=tmp_path):
            assert limits_w(two) == [LOW_W, LOW_W]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert limits_w(two) == [FIRST_W, FIRST_W]
    assert intent_paths(tmp_path) == []


def test_clocks_are_locked_and_let_go(two: FakeDriver, tmp_path: Path) -> None:
    held = Control(ClockLocks(), tmp_path, guarded=False)
    boards = held.arm()
    assert boards[0].now is None
    assert (boards[0].least, boards[0].most) == (210, 1410)
    held.settle(1200.0)
    assert two.locked_clock_mhz(1) == 1200
    held.restore()
    assert [two.locked_clock_mhz(i) for i in (0, 1)] == [0, 0]


# --- what refuses --------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [NO_PERMISSION, NOT_SUPPORTED, 999], ids="E{}".format)
def test_e02_a_second_board_that_refuses_leaves_the_first_as_it_was(
    tmp_path: Path, code: int
) -> None:
    with driver_of(tmp_path, board(), board(limit_code=code)) as driver:
        held = control(tmp_path)
        held.arm()
        with pytest.raises(ActuatorError) as caught:
            held.settle(LOW_W)
        assert limits_w(driver) == [FIRST_W, FIRST_W]
        assert driver.limit_sets(0) == 2  # there and back
        assert held.state == "restored"
        assert intent_paths(tmp_path) == []
    assert caught.value.exit_code == 8
    assert caught.value.remedy
    assert ("root" in caught.value.remedy) == (code == NO_PERMISSION)


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_e03_a_driver_that_fails_midway_is_put_back(tmp_path: Path, *, late: bool) -> None:
    """Also where it says that it failed and has set the limit all the same."""
    with driver_of(
        tmp_path,
        board(),
        board(limit_fails_after=1, limit_fail_code=999, limit_fails_late=late),
    ) as driver:
        held = control(tmp_path)
        held.arm()
        held.profile(LOW_W)
        with pytest.raises(ActuatorError):
            held.profile(LOWER_W)
        assert driver.limit_w(0) == FIRST_W
        if late:  # its restoring fails too, but is done
            assert driver.limit_w(1) == FIRST_W
        else:
            assert driver.limit_w(1) == LOW_W
            assert [row.how for row in held.outcome] == ["restored", "failed"]
            driver.boards[1].limit_fails_after = -1  # it answers again
            driver.update()
        assert intent_paths(tmp_path)  # so the next start knows
        restore_left(tmp_path)
        assert limits_w(driver) == [FIRST_W, FIRST_W]
        assert intent_paths(tmp_path) == []


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"range_code": NOT_SUPPORTED}, "not supported"),
        ({"mig_instances": 2}, "MIG"),
        ({"processes": [BoardProcess(pid=1)]}, "somebody else"),
        ({"processes": [BoardProcess(os.getpid()), BoardProcess(pid=1)]}, "somebody else"),
    ],
    ids=["not supported", "MIG", "others work", "others work too"],
)
def test_e04_a_board_that_may_not_be_set_is_not_touched(
    tmp_path: Path, about: dict[str, Any], said: str
) -> None:
    with driver_of(tmp_path, board(), board(**about)) as driver:
        with pytest.raises(ActuatorError, match=said):
            control(tmp_path).arm()
        assert [driver.limit_sets(i) for i in (0, 1)] == [0, 0]
        assert intent_paths(tmp_path) == []


def test_a_mask_leaves_the_other_boards_alone(
    two: FakeDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", two.boards[1].uuid)
    held = control(tmp_path)
    held.arm()
    held.settle(LOW_W)
    assert limits_w(two) == [FIRST_W, LOW_W]
    held.restore()


@pytest.mark.parametrize(
    "process",
    [BoardProcess(os.getpid()), BoardProcess(pid=1, graphics=True, sm_ratio=0.0)],
    ids=["ours", "a desktop's"],
)
def test_a_program_on_the_board_that_is_ours_or_a_desktop_is_no_hindrance(
    tmp_path: Path, process: BoardProcess
) -> None:
    with driver_of(tmp_path, board(processes=[process])) as driver:
        held = control(tmp_path)
        held.arm()
        held.settle(LOW_W)
        assert limits_w(driver) == [LOW_W]
        held.restore()


@pytest.mark.parametrize("limit_w", [99.0, 401.0])
def test_a_limit_out_of_range_is_refused(two: FakeDriver, tmp_path: Path, limit_w: float) -> None:
    held = control(tmp_path)
    held.arm()
    with pytest.raises(ActuatorError, match="allows 100 to 400 W"):
        held.settle(limit_w)
    assert two.limit_sets(0) == 0


def test_e05_without_a_board_there_is_nothing_to_set(tmp_path: Path) -> None:
    with driver_of(tmp_path), pytest.raises(ActuatorError, match="no board"):
        control(tmp_path).arm()


def test_e06_no_room_for_the_intent_and_nothing_is_set(
    two: FakeDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first line, and later when a limit is held already."""
    real, full = os.fsync, False

    def fsync(fd: int) -> None:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    full = True
    with pytest.raises(ActuatorError, match="No space left"):
        control(tmp_path).arm()
    assert two.limit_sets(0) == 0
    assert list((tmp_path / "limits").iterdir()) == []
    full = False
    held = control(tmp_path)
    held.arm()
    held.profile(LOW_W)
    full = True
    with pytest.raises(ActuatorError, match="No space left"):
        held.profile(LOWER_W)
    assert limits_w(two) == [FIRST_W, FIRST_W]


# --- others ------------------------------------------------------------------------------------


def test_e07_what_somebody_else_has_set_is_left_alone_and_said(
    two: FakeDriver, tmp_path: Path
) -> None:
    held = control(tmp_path)
    held.arm()
    held.profile(LOW_W)
    two.set_limit(0, 350.0)
    with pytest.raises(TakenError, match="350 W"):
        held.profile(LOWER_W)
    assert limits_w(two) == [350.0, FIRST_W]
    assert [row.how for row in held.outcome] == ["left alone", "restored"]
    assert "350 W" in held.outcome[0].words
    assert intent_paths(tmp_path) == []


def test_e08_two_at_once_do_not_set_the_same_board(two: FakeDriver, tmp_path: Path) -> None:
    """Whatever homes they use, and one can when the other is done."""
    first, second = control(tmp_path / "a"), control(tmp_path / "b")
    first.arm()
    first.settle(LOW_W)
    with pytest.raises(ActuatorError, match="another submeter"):
        second.arm()
    assert restore_left(tmp_path / "a") == []  # held, so not left
    assert limits_w(two) == [LOW_W, LOW_W]
    first.restore()
    third = control(tmp_path / "b")
    assert [b.now for b in third.arm()] == [FIRST_W, FIRST_W]
    third.restore()


# --- crashes -----------------------------------------------------------------------------------

# Writes, syncs, changes of a limit and the end of the file: what a crash may come between.
STEPS = 22


def crash(home: Path, at: int = 0, *, late: bool = False) -> int:
    """Go the whole way in a process that dies by SIGKILL before step *at*, or *late* behind it.

    Returns how many steps there were, if it lived.
    """
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(_whole_way(home, at, late=late))
        finally:
            os._exit(99)
    _, status = os.waitpid(pid, 0)
    if not at:
        return os.waitstatus_to_exitcode(status)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL
    return 0


def _whole_way(home: Path, at: int, *, late: bool) -> int:
    count = 0

    def deadly(call: Any) -> Any:
        def called(*args: Any, **more: Any) -> Any:
            nonlocal count
            count += 1
            if count == at and not late:
                os.kill(os.getpid(), signal.SIGKILL)
            answer = call(*args, **more)
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return called

    pynvml: Any = importlib.import_module("pynvml")
    changed: Any = os  # in this process, which is about to end
    changed.write, changed.fsync, changed.unlink = map(deadly, (os.write, os.fsync, os.unlink))
    pynvml.nvmlDeviceSetPowerManagementLimit = deadly(pynvml.nvmlDeviceSetPowerManagementLimit)
    held = control(home)
    held.arm()
    held.profile(LOW_W)
    held.profile(LOWER_W)
    held.settle(275.0)
    held.restore()
    return count


def test_the_steps_that_a_crash_may_come_between_are_all_tried(
    two: FakeDriver, tmp_path: Path
) -> None:
    assert crash(tmp_path) == STEPS
    assert limits_w(two) == [FIRST_W, FIRST_W]


@pytest.mark.parametrize(
    ("at", "late"), [*((at, False) for at in range(1, STEPS + 1)), (STEPS, True)]
)
def test_e01_killed_at_any_step_the_next_start_restores(
    two: FakeDriver, tmp_path: Path, at: int, *, late: bool
) -> None:
    crash(tmp_path, at, late=late)
    rows = restore_left(tmp_path)
    assert limits_w(two) == [FIRST_W, FIRST_W]
    assert all(row.done for row in rows)
    assert intent_paths(tmp_path) == []
    held = control(tmp_path)  # and nobody is in the way
    held.arm()
    held.restore()


def _left(driver: FakeDriver, home: Path) -> Path:
    """A file of one that died with 250 W set on both boards."""
    crash(home, 14, late=True)
    assert limits_w(driver) == [LOWER_W, LOWER_W]
    (path,) = intent_paths(home)
    return path


def test_e09_behind_a_crash_what_somebody_else_has_set_is_left_alone(
    two: FakeDriver, tmp_path: Path
) -> None:
    _left(two, tmp_path)
    two.set_limit(1, 350.0)
    rows = restore_left(tmp_path)
    assert [row.how for row in rows] == ["restored", "left alone"]
    assert limits_w(two) == [FIRST_W, 350.0]
    assert intent_paths(tmp_path) == []


def test_e10_behind_a_reboot_there_is_nothing_to_restore(
    two: FakeDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _left(two, tmp_path)
    monkeypatch.setattr(intents, "boot_id", lambda: "another life")
    sets = two.limit_sets(0)
    assert restore_left(tmp_path) == []
    assert two.limit_sets(0) == sets
    assert intent_paths(tmp_path) == []


def test_e11_what_another_machine_left_in_a_shared_home_is_not_ours(
    two: FakeDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _left(two, tmp_path)
    monkeypatch.setattr(intents, "boot_id", lambda: "another machine")
    with driver_of(tmp_path, board()):
        assert restore_left(tmp_path) == []
    assert intent_paths(tmp_path) == [path]


def test_e12_a_torn_line_is_passed_over(two: FakeDriver, tmp_path: Path) -> None:
    path = _left(two, tmp_path)
    with path.open("ab") as file:
        file.write(b'0badc0de {"type":"intended","values"')
    kept = read_kept(path)
    assert kept is not None
    assert LOWER_W in kept.ours(two.boards[0].uuid)
    restore_left(tmp_path)
    assert limits_w(two) == [FIRST_W, FIRST_W]


def test_e13_without_rights_what_was_left_stays_kept_and_is_said(
    two: FakeDriver, tmp_path: Path
) -> None:
    path = _left(two, tmp_path)
    for one in two.boards:
        one.limit_code = NO_PERMISSION
    two.update()
    rows = restore_left(tmp_path)
    assert {row.how for row in rows} == {"failed"}
    assert intent_paths(tmp_path) == [path]


def test_e17_clocks_of_one_that_was_killed_are_let_go(two: FakeDriver, tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            held = Control(ClockLocks(), tmp_path, guarded=False)
            held.arm()
            held.settle(1200.0)
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(99)
    os.waitpid(pid, 0)
    assert two.locked_clock_mhz(0) == 1200
    assert [row.how for row in restore_left(tmp_path)] == ["restored", "restored"]
    assert [two.locked_clock_mhz(i) for i in (0, 1)] == [0, 0]
    assert intent_paths(tmp_path) == []


GUARDED = """
import sys, time
from pathlib import Path
from submeter.reducing.actuators import control, nvml
held = control.Control(nvml.PowerLimits(), Path(sys.argv[1]))
held.arm()
held.settle(300.0)
print(held._guardian.pid, flush=True)
time.sleep(60)
"""


def test_e14_a_killed_one_is_cleaned_up_behind_at_once(two: FakeDriver, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", GUARDED, str(tmp_path)],
        env=program_environment(two, tmp_path), stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        guardian = os.pidfd_open(int(process.stdout.readline()))
        assert limits_w(two) == [LOW_W, LOW_W]
        process.kill()
    assert select.select([guardian], [], [], 20.0)[0]  # it has ended
    os.close(guardian)
    assert limits_w(two) == [FIRST_W, FIRST_W]
    assert intent_paths(tmp_path) == []


@pytest.mark.parametrize(
    ("status", "may"),
    [("CapEff:\t000001ffffffffff\n", True), ("CapEff:\t0000000000000000\n", False), ("", False)],
)
def test_rights_are_told_without_trying(status: str, *, may: bool) -> None:
    assert (rights(status) == "") == may
