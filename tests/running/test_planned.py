# SPDX-License-Identifier: Apache-2.0
"""Real programs, waited for, paused, resumed and killed; the tests move the planner's clock."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from submeter.records.plans import Plan
from submeter.records.runs import Run
from submeter.running.adopting import release
from submeter.running.pausing import is_stopped, start_tick, state_of
from submeter.storing.waits import State, WaitFile, open_waits, read_wait
from tests.running.plans import T0, H, order_of, plan_of
from tests.running.scripts import (
    environment,
    finish,
    has_gone,
    line_of,
    python_file,
    settled,
    until,
)

PLANNER = Path(__file__).with_name("planner.py")
GAP = [(0.0, 2 * H), (5 * H, 8 * H)]  # works from hour 0 and from hour 5

# Counts lines of its input, so that a test decides when it works on and when it ends.
COUNTS = """
import os, signal, sys
print("began", os.getpid(), flush=True)
for line in sys.stdin:
    print("got", line.strip(), flush=True)
    if line.strip().isdigit():
        sys.exit(int(line))
"""
# The contract by hand: a checkpoint on the signal, exit code 75, and where it was when started
# again; CHECKPOINT says how it pauses.
KEEPS = """
import os, signal, sys
how, state = sys.argv[1], "state.txt"
def pause(number, frame):
    open(state, "w").write("5")
    if how == "exits":
        os._exit(75)
    if how == "waits":
        print("stopping", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
        print("continued", flush=True)
    if how == "ignores":
        print("ignored", flush=True)
    if how == "fails":
        os._exit(9)
signal.signal(signal.SIGUSR1, pause)
at = open(state).read() if os.path.exists(state) else "0"
print("began", os.getpid(), at, os.environ.get("SUBMETER_PAUSE_SIGNAL"), flush=True)
for line in sys.stdin:
    sys.exit(int(line))
"""


class Stage:
    """A planner under test, its program's words, and its clock."""

    def __init__(self, home: Path, process: "subprocess.Popen[bytes]", clock: Path) -> None:
        self.home = home
        self.process = process
        self.clock = clock
        self.path = home / "waits" / "plan-20260921-000000-beef.wait"

    def at(self, hour: float) -> None:
        """Set the planner's clock, and have it look."""
        _set(self.clock, hour)
        os.kill(self.process.pid, signal.SIGCONT)

    def line(self) -> list[str]:
        return line_of(self.process.stdout).split()

    def say(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def state(self) -> State:
        wait = read_wait(self.path)
        return State(at_s=0, status="ended") if wait is None else wait.state

    def until(self, status: str) -> State:
        """Wait until the plan is kept as *status*; every change is written at once."""
        return until(
            lambda: state if (state := self.state()).status == status else None, f"not {status}"
        )

    def end(self) -> int:
        return self.process.wait(30)


def _set(clock: Path, hour: float) -> None:
    fresh = clock.with_suffix(".new")
    fresh.write_text(f"{T0 + hour * H}")
    fresh.replace(clock)


@contextlib.contextmanager
def staged(
    tmp_path: Path,
    plan: Plan,
    *command: str,
    hour: float = 0.0,
    own_group: bool = False,
    beside: bool = False,  # in a group of its own that job control may stop
    **order: Any,
) -> Iterator[Stage]:
    home, clock, file = tmp_path / "home", tmp_path / "clock", tmp_path / "order.json"
    _set(clock, hour)
    file.write_bytes(msgspec.json.encode(order_of(plan, *command, **order)))
    with subprocess.Popen(
        [sys.executable, str(PLANNER), str(home), str(file), str(clock)],
        env=environment(home),
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=own_group,
        process_group=0 if beside else None,
    ) as process:
        try:
            yield Stage(home, process, clock)
        finally:
            process.kill()


@contextlib.contextmanager
def ended_with(*pids: int) -> Iterator[None]:
    """Programs that outlive their planner end with the block."""
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def paused_run(home: Path) -> Run:
    run = settled(home)
    assert run.plan == "plan-20260921-000000-beef"
    assert run.asked_utc.startswith("2026-09-21T")
    (pause,) = run.pauses
    assert pause.over
    assert 0 <= pause.start_s <= pause.start_s + pause.duration_s <= run.duration_s + 0.01
    return run


def test_it_waits_starts_and_passes_everything_through(tmp_path: Path) -> None:
    program = python_file(tmp_path, COUNTS)
    with staged(tmp_path, plan_of([(2 * H, 9 * H)]), sys.executable, program) as stage:
        stage.until("waiting")
        assert not (stage.home / "runs").exists()  # nothing is metered before it begins
        stage.at(2)
        assert stage.line()[0] == "began"
        stage.say("words")
        assert stage.line() == ["got", "words"]
        stage.say("7")
        assert stage.end() == 7
        assert stage.state().status == "ended"
    run = settled(stage.home)
    assert (run.status, run.exit_code, run.pauses) == ("failed", 7, ())
    assert run.plan


def test_a_stopped_program_goes_on_where_it_was(tmp_path: Path) -> None:
    program = python_file(tmp_path, COUNTS)
    plan = plan_of(GAP, duration_s=2 * H)
    with staged(tmp_path, plan, sys.executable, program, pause_by="stop") as stage:
        pid = int(stage.line()[1])
        stage.until("running")
        stage.at(2.5)
        assert stage.until("paused").frozen
        until(lambda: is_stopped(pid))
        stage.say("words")  # nobody reads them now
        stage.at(5)
        assert stage.line() == ["got", "words"]
        stage.until("running")
        stage.say("0")
        assert stage.end() == 0
    run = paused_run(stage.home)
    assert run.status == "finished"


def test_its_children_are_stopped_with_it(tmp_path: Path) -> None:
    program = python_file(
        tmp_path,
        "import os, subprocess, sys\n"
        "child = subprocess.Popen(['sleep', '1000'])\n"
        "own = subprocess.Popen(['sleep', '1000'], start_new_session=True)\n"
        "print(child.pid, own.pid, flush=True)\n"
        "sys.stdin.readline()\nchild.kill()\nown.kill()\n",
    )
    with staged(
        tmp_path, plan_of(GAP, duration_s=2 * H), sys.executable, program, pause_by="stop"
    ) as stage:
        pids = [int(word) for word in stage.line()]
        with ended_with(*pids):
            stage.until("running")
            stage.at(3)
            until(lambda: all(is_stopped(pid) for pid in pids))
            stage.at(5)
            until(lambda: not any(is_stopped(pid) for pid in pids))
            stage.say("")
            assert stage.end() == 0


@pytest.mark.parametrize("how", ["exits", "waits"])
def test_a_program_keeps_the_contract_of_checkpoints(tmp_path: Path, how: str) -> None:
    program = python_file(tmp_path, KEEPS)
    with staged(tmp_path, plan_of(GAP, duration_s=2 * H), sys.executable, program, how) as stage:
        _, first, at, name = stage.line()
        assert (at, name) == ("0", "SIGUSR1")
        stage.until("running")
        stage.at(2.5)
        stage.until("paused")
        if how == "exits":
            until(lambda: has_gone(int(first)))
            until(lambda: stage.state().saved_s > 0)
            stage.at(5)
            _, second, at, _ = stage.line()
            assert at == "5"
            assert second != first
        else:
            assert stage.line() == ["stopping"]
            until(lambda: stage.state().frozen)
            stage.at(5)
            assert stage.line() == ["continued"]
        assert stage.until("running").resumes == 1
        stage.say("0")
        assert stage.end() == 0
    assert paused_run(stage.home).status == "finished"


def test_a_program_that_ignores_the_signal_goes_on(tmp_path: Path) -> None:
    program = python_file(tmp_path, KEEPS)
    order: dict[str, Any] = {"pause_within_s": 0.2}
    with staged(
        tmp_path, plan_of(GAP, duration_s=2 * H), sys.executable, program, "ignores", **order
    ) as stage:
        stage.line()
        stage.until("running")
        stage.at(2.5)
        assert stage.line() == ["ignored"]
        stage.until("running")
        stage.say("0")
        assert stage.end() == 0
    run = settled(stage.home)
    assert run.pauses == ()
    assert any("did not pause within 0.2 s of SIGUSR1" in note for note in run.notes)


def test_a_program_without_a_handler_is_not_killed_by_the_signal(tmp_path: Path) -> None:
    program = python_file(tmp_path, COUNTS)
    with staged(tmp_path, plan_of(GAP, duration_s=2 * H), sys.executable, program) as stage:
        stage.line()
        stage.until("running")
        stage.at(2.5)
        stage.say("words")
        assert stage.line() == ["got", "words"]
        stage.say("0")
        assert stage.end() == 0
    assert any("no handler for SIGUSR1" in note for note in settled(stage.home).notes)


def test_a_checkpoint_that_fails_is_the_end_of_the_program(tmp_path: Path) -> None:
    program = python_file(tmp_path, KEEPS)
    with staged(
        tmp_path, plan_of(GAP, duration_s=2 * H), sys.executable, program, "fails"
    ) as stage:
        stage.line()
        stage.until("running")
        stage.at(2.5)
        assert stage.end() == 9
    assert settled(stage.home).status == "failed"


def test_a_program_that_dies_while_it_is_paused(tmp_path: Path) -> None:
    program = python_file(tmp_path, COUNTS)
    with staged(
        tmp_path, plan_of(GAP, duration_s=2 * H), sys.executable, program, pause_by="stop"
    ) as stage:
        pid = int(stage.line()[1])
        stage.until("running")
        stage.at(2.5)
        until(lambda: is_stopped(pid))
        os.kill(pid, signal.SIGKILL)
        assert stage.end() == -signal.SIGKILL
        assert stage.state().status == "ended"
    run = settled(stage.home)
    assert run.status == "killed"
    assert any("while it was paused" in note for note in run.notes)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_who_ends_a_paused_plan_leaves_nothing_frozen(
    tmp_path: Path, number: signal.Signals
) -> None:
    program = python_file(tmp_path, COUNTS)
    with staged(
        tmp_path, plan_of(GAP, duration_s=2 * H), sys.executable, program, pause_by="stop"
    ) as stage:
        pid = int(stage.line()[1])
        stage.until("running")
        stage.at(2.5)
        until(lambda: is_stopped(pid))
        stage.process.send_signal(number)
        assert stage.end() < 0
        assert has_gone(pid)
        assert stage.state().status == "ended"  # there is no checkpoint to go on from
    assert settled(stage.home).status == "stopped"


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, "paused"), (signal.SIGINT, "ended")],
)
def test_a_plan_with_a_checkpoint_can_be_gone_on_with(
    tmp_path: Path, number: signal.Signals, status: str
) -> None:
    program = python_file(tmp_path, KEEPS)
    plan = plan_of(GAP, duration_s=2 * H)
    with staged(tmp_path, plan, sys.executable, program, "exits") as stage:
        first = int(stage.line()[1])
        stage.until("running")
        stage.at(2.5)
        until(lambda: has_gone(first) and stage.state().saved_s)
        stage.process.send_signal(number)
        assert stage.end() == -number
        assert stage.state().status == status
    if status == "ended":
        assert open_waits(stage.home) == []
        return
    with staged(tmp_path, plan, sys.executable, program, "exits", hour=5) as stage:
        assert stage.line()[2] == "5"
        state = stage.until("running")
        assert len(state.run_ids) == 2
        stage.say("0")
        assert stage.end() == 0


def test_kill_9_of_a_waiting_planner_loses_nothing(tmp_path: Path) -> None:
    program = python_file(tmp_path, COUNTS)
    plan = plan_of([(2 * H, 9 * H)])
    with staged(tmp_path, plan, sys.executable, program) as stage:
        stage.until("waiting")
        stage.process.kill()
        stage.process.wait()
    (wait,) = open_waits(stage.home)
    assert (wait.plan_id, wait.locked, wait.order.command) == (
        plan.id, False, (sys.executable, program),
    )  # fmt: skip
    with staged(tmp_path, plan, sys.executable, program, hour=2) as stage:
        assert stage.line()[0] == "began"
        stage.say("0")
        assert stage.end() == 0
    assert open_waits(stage.home) == []


def test_kill_9_while_the_program_has_left_its_checkpoint(tmp_path: Path) -> None:
    program = python_file(tmp_path, KEEPS)
    plan = plan_of(GAP, duration_s=2 * H)
    with staged(tmp_path, plan, sys.executable, program, "exits") as stage:
        stage.line()
        stage.until("running")
        stage.at(2.5)
        until(lambda: stage.state().saved_s > 0)
        stage.process.kill()
        stage.process.wait()
    with staged(tmp_path, plan, sys.executable, program, "exits", hour=3) as stage:
        assert stage.until("paused").worked_s > 0
        stage.at(5)
        assert stage.line()[2] == "5"
        stage.say("0")
        assert stage.end() == 0


def test_a_frozen_program_is_continued_when_its_planner_is_killed(tmp_path: Path) -> None:
    program = python_file(tmp_path, COUNTS)
    plan = plan_of(GAP, duration_s=2 * H)
    with staged(tmp_path, plan, sys.executable, program, pause_by="stop") as stage:
        pid = int(stage.line()[1])
        with ended_with(pid):
            stage.until("running")
            stage.at(2.5)
            until(lambda: is_stopped(pid))
            stage.process.kill()
            stage.process.wait()
            until(lambda: not is_stopped(pid))  # by its guard
            stage.say("words")
            assert stage.line() == ["got", "words"]


def test_in_a_session_of_its_own_the_kernel_does_not_hang_it_up(tmp_path: Path) -> None:
    """Its group has lost its last parent in the session; stopped, it would get SIGHUP."""
    program = python_file(tmp_path, COUNTS)
    keeps = (
        "import os, subprocess, sys\n"
        "planner = subprocess.Popen(sys.argv[1:], process_group=0)\n"
        "print(planner.pid, flush=True)\n"
        "planner.wait()\nprint('gone', flush=True)\nsys.stdin.read()\n"
    )
    home, clock, file = tmp_path / "home", tmp_path / "clock", tmp_path / "order.json"
    _set(clock, 0)
    order = order_of(plan_of(GAP, duration_s=2 * H), sys.executable, program, pause_by="stop")
    file.write_bytes(msgspec.json.encode(order))
    planner = [sys.executable, str(PLANNER), str(home), str(file), str(clock)]
    with subprocess.Popen(
        [sys.executable, "-c", keeps, *planner],
        env=environment(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as shell:
        stage = Stage(home, shell, clock)
        planner_pid = int(stage.line()[0])
        pid = int(stage.line()[1])
        with ended_with(pid, planner_pid, shell.pid):
            stage.until("running")
            _set(clock, 2.5)
            os.kill(planner_pid, signal.SIGCONT)
            until(lambda: is_stopped(pid))
            os.kill(planner_pid, signal.SIGKILL)
            assert stage.line() == ["gone"]
            until(lambda: not is_stopped(pid))
            assert state_of(pid) in {"S", "R"}


def test_who_killed_the_guard_too_is_made_up_for_at_the_next_start(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "1000"]) as frozen:
        try:
            os.kill(frozen.pid, signal.SIGSTOP)
            until(lambda: is_stopped(frozen.pid))
            plan = plan_of(GAP, duration_s=2 * H)
            with WaitFile(tmp_path, plan.id) as file:
                state = State(
                    at_s=T0, status="paused", pid=frozen.pid, pid_start=start_tick(frozen.pid),
                    frozen=True,
                )  # fmt: skip
                file.write(order_of(plan), state)
                assert release(tmp_path) == []  # its planner lives
                assert is_stopped(frozen.pid)
            (said,) = release(tmp_path)
            assert str(frozen.pid) in said
            until(lambda: not is_stopped(frozen.pid))
            assert release(tmp_path) == []
        finally:
            frozen.kill()


def test_a_planner_started_again_follows_the_program_that_lives(tmp_path: Path) -> None:
    program = python_file(tmp_path, COUNTS)
    plan = plan_of(GAP, duration_s=2 * H)
    with staged(tmp_path, plan, sys.executable, program, pause_by="stop") as stage:
        pid = int(stage.line()[1])
        with ended_with(pid):
            stage.until("running")
            stage.process.kill()
            stage.process.wait()
            assert not is_stopped(pid)
            again = staged(tmp_path, plan, sys.executable, program, pause_by="stop", hour=2.5)
            with again as second:
                until(lambda: is_stopped(pid))  # no second program: the first is paused
                second.at(5)
                until(lambda: not is_stopped(pid))
                stage.say("0")
                assert second.end() == 0
                assert second.state().status == "ended"


def test_two_planners_of_one_plan_are_one_too_many(tmp_path: Path) -> None:
    plan = plan_of([(2 * H, 9 * H)])
    with staged(tmp_path, plan) as stage:
        stage.until("waiting")
        with staged(tmp_path, plan) as second:
            assert second.end() == 1
            assert second.process.stderr is not None
            said = second.process.stderr.read().decode()
        assert f"being carried out already by process {stage.process.pid}" in said


def test_what_somebody_continued_is_stopped_again(tmp_path: Path) -> None:
    """As after Ctrl-Z and fg, which continue the whole process group."""
    program = python_file(tmp_path, COUNTS)
    with staged(
        tmp_path, plan_of(GAP, duration_s=2 * H), sys.executable, program, pause_by="stop"
    ) as stage:
        pid = int(stage.line()[1])
        stage.until("running")
        stage.at(2.5)
        until(lambda: is_stopped(pid))
        stage.process.send_signal(signal.SIGTSTP)
        until(lambda: is_stopped(stage.process.pid))
        os.kill(pid, signal.SIGCONT)
        until(lambda: not is_stopped(pid))
        stage.process.send_signal(signal.SIGCONT)
        until(lambda: is_stopped(pid))
        stage.at(5)
        stage.say("0")
        assert stage.end() == 0


def test_a_waiting_planner_can_be_stopped_and_continued(tmp_path: Path) -> None:
    with staged(tmp_path, plan_of([(2 * H, 9 * H)]), "true", beside=True) as stage:
        stage.until("waiting")
        stage.process.send_signal(signal.SIGTSTP)
        until(lambda: is_stopped(stage.process.pid))
        stage.at(3)
        assert stage.end() == 0


def test_a_missing_command_is_said_at_once_and_not_after_the_wait(tmp_path: Path) -> None:
    with staged(tmp_path, plan_of([(2 * H, 9 * H)]), "no-such-command") as stage:
        assert stage.end() == 127
    assert not (stage.home / "waits").exists()


HURRIED = """
import os, signal, sys, time
from pathlib import Path
from submeter.running.conducting import Replanner
from submeter.running.planned import Silent, run_planned
sys.path.insert(0, sys.argv[2])
from plans import order_of, plan_of

class Impatient(Silent):
    asked = False
    def leave(self):  # first when the wait is over, and the program has not begun
        if not self.asked:
            self.asked = True
            os.kill(os.getpid(), signal.SIGUSR1)

plan = plan_of([(0.0, 60.0)], base_s=time.time())
order = order_of(plan, sys.executable, "-c", "print('ran', flush=True)")
outcome = run_planned(order, Path(sys.argv[1]), replanner=Replanner(None), teller=Impatient())
print("ended", outcome.exit_code, outcome.signal, flush=True)
mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
print("held", signal.SIGUSR1 in mask, flush=True)
"""


def test_who_asks_to_start_while_it_starts_ends_nothing(tmp_path: Path) -> None:
    script, home = python_file(tmp_path, HURRIED), tmp_path / "home"
    done = finish([sys.executable, script, str(home), str(PLANNER.parent)], home)
    assert done.stdout.decode().split("\n")[:3] == ["ran", "ended 0 0", "held False"], done
