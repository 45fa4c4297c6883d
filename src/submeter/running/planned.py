# SPDX-License-Identifier: Apache-2.0
"""Run a command when its plan says, and pause and resume it as the plan asks.

The command is metered as one run from its first start to its end, pauses included: what its
machine draws while it stands still is on its account. The plan's state is written before each
step (``storing/waits.py``), so that whoever is started again after a ``kill -9`` goes on.
"""

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from submeter.collecting.clock import Clock, SystemClock
from submeter.errors import UsageError
from submeter.records.frames import Event, Process
from submeter.running.adopting import follow_adopted
from submeter.running.attending import Attendant
from submeter.running.conducting import Conductor, Replanner
from submeter.running.following import Do, Next
from submeter.running.joined import RUN_VARIABLE, is_open
from submeter.running.launcher import (
    NOT_FOUND,
    Launch,
    Outcome,
    become,
    find_command,
)
from submeter.running.pausing import (
    PAUSE_VARIABLE,
    PAUSED_EXIT,
    Guard,
    catching,
    freeze,
    is_stopped,
    lives,
    program_of,
    send,
    state_of,
    stop_like,
    thaw,
)
from submeter.running.signals import Signals, SignalSource, ignored, signals_held
from submeter.storing.waits import Order, WaitFile
from submeter.units import ns_to_s

__all__ = ["Silent", "Teller", "run_planned", "signals_held", "wait_for_start"]

LONGEST_WAIT_S: Final = 30.0  # a clock that was set, or a machine that woke, is noticed so late
ASKED_EVERY_S: Final = 0.2  # whether a program that was asked to pause has done so
_HURRY: Final = {signal.SIGUSR1}
_LEAVE: Final = {signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT}


class Teller(Protocol):
    """Who tells a person how far it is, and hears a key."""

    tick_s: float  # how often to be called while nothing happens [s]

    def tell(self, conductor: Conductor, step: Next) -> None:
        """Show what is waited for."""
        ...

    def key(self) -> str:
        """Give ``start``, ``cancel``, or "" if nobody pressed such a key."""
        ...

    def leave(self) -> None:
        """Give the terminal back: the program runs, or we stop or end."""
        ...


class Silent:
    """Tells nobody."""

    tick_s = LONGEST_WAIT_S

    def tell(self, conductor: Conductor, step: Next) -> None:
        del conductor, step

    def key(self) -> str:
        return ""

    def leave(self) -> None:
        pass


def run_planned(
    order: Order,
    home: Path,
    *,
    replanner: Replanner,
    teller: Teller | None = None,
    clock: Clock | None = None,
    attendant: Attendant | None = None,
) -> Outcome:
    """Carry *order* out, and meter its command; returns when that has ended.

    Within a run of another command it only waits, and then takes the place of this process.

    Parameters
    ----------
    order
        The plan, the command and how it may be paused. If this plan was begun before, its state
        is taken over.
    home
        Folder of the ledger.
    replanner, teller, clock, attendant
        Who makes the plan anew, who talks to a person, the clocks, and who watches the run.

    Raises
    ------
    UsageError
        If the plan cannot be carried out here.
    LedgerError
        If it is being carried out already, or cannot be kept.
    """
    if not hasattr(signal, "sigtimedwait"):
        raise UsageError(
            "commands can be held back on Linux only",
            remedy="submeter plan --emit writes a job for a scheduler",
        )
    missing = find_command(order.command[0])
    if missing:
        return Outcome(missing)
    teller = teller or Silent()
    with contextlib.ExitStack() as stack:
        hurry: set[Any] = set()
        with signals_held() as mask:  # from when others can see that we wait
            file = stack.enter_context(WaitFile(home, order.plan.id))
            conductor = Conductor(order, clock or SystemClock(), file, replanner)
            there = lives(conductor.state.pid, conductor.state.pid_start)
            ended = None if there else wait_for_start(conductor, teller, Signals())
            if not there and ended is None:
                hurry = _HURRY - mask  # who asks to start while it starts has what they want
                mask.update(hurry)
        if there:
            follow_adopted(conductor)
            return Outcome(0, notes=tuple(conductor.notes))
        if ended is not None:
            return msgspec.structs.replace(ended, notes=tuple(conductor.notes))
        outer = os.environ.get(RUN_VARIABLE)
        if outer and is_open(Path(outer)):
            conductor.over()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, hurry)
            become(order.command)
        launch = PlannedLaunch(conductor, teller, hurry)
        launch.attendance.attendant = attendant
        launch.prepare(
            name=order.name,
            tags=order.tags,
            interval_s=order.interval_s,
            project=order.project,
            zone=order.zone,
        )
        return launch.run()


def wait_for_start(conductor: Conductor, teller: Teller, signals: SignalSource) -> Outcome | None:
    """Wait until the plan wants the program to work: None; else how the waiting ended.

    Ctrl-C or the key to cancel give the plan up; a terminal that is closed and ``SIGTERM`` only
    end the waiting, which may be taken up again. ``SIGUSR1`` starts at once, like the key.
    """
    mask = signals.hold()
    try:
        while True:
            step = conductor.look()
            if step.do is Do.WORK:
                return None
            teller.tell(conductor, step)
            number = signals.take(_most_s(conductor, step, teller.tick_s))
            key = teller.key()
            if key == "start" or number == signal.SIGUSR1:
                conductor.start_now()
            elif key == "cancel" or number in {signal.SIGINT, signal.SIGQUIT}:
                conductor.over(cancelled=True)
                conductor.note("cancelled: nothing was started")
                return Outcome(128 + (number or signal.SIGINT), number)
            elif number in {signal.SIGTERM, signal.SIGHUP}:
                conductor.note(f"to go on: submeter run --resume-plan {conductor.plan.id}")
                return Outcome(128 + number, number)
            elif number == signal.SIGTSTP:
                teller.leave()
                stop_like(number)
    finally:
        teller.leave()
        signals.let_in(mask)


def _most_s(conductor: Conductor, step: Next, tick_s: float) -> float:
    """How long nothing needs to be done [s]."""
    most_s = min(tick_s, LONGEST_WAIT_S)
    if step.until_s is not None:
        most_s = min(most_s, max(0.001, step.until_s - conductor.now_s))
    return most_s


class PlannedLaunch(Launch):
    """A command that is paused and resumed.

    ``mode`` is ``working``, ``asked`` (to pause, by signal), ``stopped`` (its processes are) or
    ``gone`` (it left its checkpoint and ended).
    """

    def __init__(self, conductor: Conductor, teller: Teller, hurry: set[Any]) -> None:
        super().__init__(conductor.order.command)
        self._hurry = hurry  # held so far by us, and not to be by the program
        self.mode = "working"
        self._conductor = conductor
        self._teller = teller
        self._guard: Guard | None = None
        self._frozen: list[int] = []
        self._asked: list[int] = []
        self._asked_ns = 0
        self._marks: Any = None
        self._kept = False  # the plan is to be taken up again, though this ends

    # --- from start to end ----------------------------------------------------------------------

    def _start(self) -> None:
        conductor = self._conductor
        self._mask = self._mask - self._hurry
        while self._hurry and signal.sigtimedwait(self._hurry, 0) is not None:
            pass  # it asked us to start
        if self.collector is not None:
            conductor.set_run(self.collector.order.run_id)
            self._open_marks(Path(self.collector.order.folder))
        super()._start()
        conductor.working_now(self.pid, resumed=conductor.state.worked_s > 0)

    def _did_not_start(self, exc: OSError) -> Outcome:
        self._conductor.over()
        return super()._did_not_start(exc)

    def _environment(self) -> dict[str, str]:
        environment = super()._environment()
        order = self._conductor.order
        if order.plan.job.interruptible and order.pause_by == "signal":
            environment[PAUSE_VARIABLE] = order.pause_signal
        return environment

    def _settle(self) -> Outcome:
        self._dismiss_guard()
        self._teller.leave()
        conductor = self._conductor
        if not self._kept:
            conductor.over()
        if self._marks is not None:
            for note in conductor.notes:
                self._marks.note(note)
            self._marks.close()
        else:
            self.notes += conductor.notes
        if self._kept:
            self.notes.append(f"to go on: submeter run --resume-plan {conductor.plan.id}")
        return super()._settle()

    # --- while it lives -------------------------------------------------------------------------

    def _step(self) -> None:
        if self.mode == "asked":
            self._see_whether_it_paused()
            most_s = ASKED_EVERY_S
        else:
            step = self._conductor.look()
            self._follow(step)
            paused = self.mode in {"stopped", "gone"}
            tick_s = self._teller.tick_s if paused else LONGEST_WAIT_S
            most_s = ASKED_EVERY_S
            if self.mode != "asked":
                most_s = _most_s(self._conductor, step, tick_s)
        if self.status is not None:
            return
        info = self._wait(most_s)
        if info is not None:
            self._hear(info)
        else:
            self._reap()  # should a thread of somebody else's have taken the signal

    def _follow(self, step: Next) -> None:
        """Do what the plan asks for."""
        if self.mode == "working":
            if step.do is Do.PAUSE:
                self._pause()
            return
        key = self._teller.key()
        if key == "start":
            self._conductor.start_now()
            self._resume()
        elif key == "cancel":
            self._leave(signal.SIGINT)
        elif step.do is Do.WORK:
            self._resume()
        else:
            self._refreeze()
            self._teller.tell(self._conductor, step)

    def _hear(self, info: "signal.struct_siginfo") -> None:
        number = info.si_signo
        if self.mode in {"working", "asked"} or number in {signal.SIGCHLD, signal.SIGCONT}:
            super()._hear(info)
        elif number in _LEAVE and not ignored(number):
            self._leave(number)
        elif number == signal.SIGTSTP:
            self._teller.leave()
            stop_like(number)
            self._refreeze()  # who continues us continues the program as well
        elif number == signal.SIGUSR1:
            self._conductor.start_now()

    def _changed(self, status: int) -> None:
        """Take note that the command ended, or stopped; that may be the pause we asked for."""
        if self.mode == "asked":
            if os.WIFEXITED(status) and os.WEXITSTATUS(status) == PAUSED_EXIT:
                self._paused("gone")
                return
            if os.WIFSTOPPED(status):
                return  # seen by the next look
        if self.mode == "stopped" and os.WIFSTOPPED(status):
            return
        super()._changed(status)
        if self.status is not None and self.mode == "stopped":
            self._conductor.note("the program ended while it was paused")

    def _other_ended(self, pid: int) -> None:
        """A guard that somebody killed is replaced: there is a frozen program to be kept."""
        if self._guard is not None and pid == self._guard.pid:
            self._guard.dismiss()
            with contextlib.suppress(OSError):
                self._guard = Guard()
                for frozen in self._frozen:
                    self._guard.tell(frozen)

    # --- pausing --------------------------------------------------------------------------------

    def _spared(self) -> list[int]:
        pids = [0 if self.collector is None else self.collector.pid]
        return [*pids, 0 if self._guard is None else self._guard.pid]

    def _pause(self) -> None:
        conductor, order = self._conductor, self._conductor.order
        self._asked_ns = time.monotonic_ns()
        if order.pause_by == "stop":
            self._freeze()
            return
        number = signal.Signals[order.pause_signal]
        self._asked = catching(program_of(self.pid, spared=self._spared()), number)
        if not self._asked:
            conductor.refuses(f"the program has no handler for {order.pause_signal}")
            return
        conductor.pausing_now()
        self.mode = "asked"
        send(self._asked, number)

    def _freeze(self) -> None:
        """Stop the program where it is, once there is somebody who would continue it."""
        try:
            self._guard = Guard()
        except OSError as exc:
            self._conductor.refuses(f"no guard for it can be started ({exc.strerror})")
            return
        saved = self._conductor.order.pause_by == "signal"
        self._conductor.pausing_now(frozen=True, saved=saved)
        self._frozen = freeze(self.pid, self._guard, spared=self._spared())
        self._paused("stopped")

    def _see_whether_it_paused(self) -> None:
        """A program that stays waiting has stopped itself; one that does neither is let go on."""
        conductor = self._conductor
        there = [pid for pid in self._asked if not _gone(pid)]
        if there and all(is_stopped(pid) for pid in there):
            self._freeze()
            return
        waited_s = ns_to_s(time.monotonic_ns() - self._asked_ns)
        if waited_s >= conductor.order.pause_within_s:
            self.mode = "working"
            self._resume_account(resumed=False)
            conductor.refuses(
                f"the program did not pause within {conductor.order.pause_within_s:g} s of "
                f"{conductor.order.pause_signal}"
            )

    def _paused(self, mode: str) -> None:
        self.mode = mode
        self._mark("paused", self._asked_ns)
        if mode == "gone":
            self.pid = 0
            self._conductor.ended_for_now()

    def _refreeze(self) -> None:
        """Stop again what somebody continued, such as the shell that continued us."""
        if self.mode == "stopped" and self._guard is not None and not is_stopped(self.pid):
            self._frozen = freeze(self.pid, self._guard, spared=self._spared())

    def _resume(self) -> None:
        self._teller.leave()
        if self.mode == "stopped":
            thaw(self.pid, self._frozen, spared=self._spared())
            self._dismiss_guard()
        else:
            try:
                self._begin(time.monotonic_ns())
            except OSError as exc:
                self._conductor.note(f"it could not be started again: {exc.strerror}")
                self.status, self.ended_ns = NOT_FOUND << 8, time.monotonic_ns()
                return
        self.mode = "working"
        self._mark("resumed", time.monotonic_ns(), self._conductor.plan.job.restart_s)
        self._resume_account(resumed=True)

    def _resume_account(self, *, resumed: bool) -> None:
        self._conductor.working_now(self.pid, resumed=resumed)

    def _leave(self, number: int) -> None:
        """Somebody ends us while the program is paused: it ends, too, and the plan may go on."""
        ends_for_good = number in {signal.SIGINT, signal.SIGQUIT}
        if self.mode == "stopped":
            by_signal = self._conductor.order.pause_by == "signal"  # then there is a checkpoint
            self._kept = by_signal and not ends_for_good
            send([self.pid], signal.SIGTERM if ends_for_good else number)
            thaw(self.pid, self._frozen, spared=self._spared())
            self._dismiss_guard()
            self.mode = "working"
            return
        self._kept = not ends_for_good
        self.status, self.ended_ns = int(number), time.monotonic_ns()

    def _dismiss_guard(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.dismiss()

    # --- the record -----------------------------------------------------------------------------

    def _open_marks(self, folder: Path) -> None:
        from submeter.collecting.marks import MarksWriter

        now_ns, pid = time.monotonic_ns(), os.getpid()
        with contextlib.suppress(OSError):
            self._marks = MarksWriter(folder / f"marks.{pid}", Process(pid, now_ns))
            order = self._conductor.order
            self._marks.event(Event(now_ns, "plan", order.plan.id, number=order.asked_s))

    def _mark(self, kind: str, t_ns: int, number: float | None = None) -> None:
        if self._marks is not None:
            self._marks.event(Event(t_ns, kind, number=number))


def _gone(pid: int) -> bool:
    return state_of(pid) in {"", "Z", "X"}
