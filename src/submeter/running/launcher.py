# SPDX-License-Identifier: Apache-2.0
"""Run a command as if we were not there, and meter it.

The command shares our terminal, process group, files and environment. All signals are taken one
by one, without a handler: they are blocked here (not in the command) and waited for, together
with the ends of our children. So nothing happens between two steps of ours.
"""

import contextlib
import ctypes
import errno
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from submeter.collecting.order import Order
from submeter.errors import SubmeterError
from submeter.records.frames import End
from submeter.running.attending import Attendance, Attendant
from submeter.running.collectors import CollectorHandle, Warm, write_order
from submeter.running.joined import RUN_VARIABLE, is_open
from submeter.running.orders import code_state, new_order
from submeter.running.pausing import stop_like
from submeter.units import ns_to_s, s_to_ns

__all__ = [
    "ASKED_TO_STOP", "NOT_EXECUTABLE", "NOT_FOUND", "WAITED_FOR", "Launch", "Outcome", "become",
    "die_like", "find_command", "run_command",
]  # fmt: skip

NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126
READY_S: Final = 10.0
SETTLE_S: Final = 30.0
_PR_SET_CHILD_SUBREAPER: Final = 36


def _signals(*names: str) -> "set[signal.Signals]":
    """Signals of these *names* that there are on this system."""
    return {signal.Signals[n] for n in names if n in signal.Signals.__members__}


_FORWARDED: Final = _signals("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
# The terminal sends these to the command as well; only what a process sends us goes on to it.
_OF_TERMINAL: Final = _signals("SIGINT", "SIGQUIT", "SIGWINCH")
_JOB_CONTROL: Final = _signals("SIGTSTP", "SIGTTIN", "SIGTTOU")
WAITED_FOR: Final = _signals("SIGCHLD", "SIGCONT") | _FORWARDED | _OF_TERMINAL | _JOB_CONTROL
ASKED_TO_STOP: Final = _signals("SIGINT", "SIGTERM", "SIGHUP")
_IGNORED_BY_PYTHON: Final = _signals("SIGPIPE", "SIGXFSZ")
_USER_SENT: Final = 0  # si_code of kill(2) and below; the kernel's own are above


class Outcome(msgspec.Struct, frozen=True):
    """What became of the command, and of its run."""

    exit_code: int  # as a shell says it: 128 + n after signal n
    signal: int = 0  # that ended the command
    run_id: str = ""
    folder: Path | None = None
    ledger: Path | None = None
    order: Order | None = None
    end: End | None = None
    settled: str = ""  # status of the run in the ledger, "" if it is not there
    notes: tuple[str, ...] = ()


def find_command(name: str) -> int:
    """0 if there is a command *name*, else what a shell would exit with."""
    if not name:
        return NOT_FOUND
    if os.sep in name:
        places = [Path(name)]
    else:
        places = [Path(p or ".") / name for p in os.environ.get("PATH", os.defpath).split(":")]
    code = NOT_FOUND
    for place in places:
        try:
            if place.is_file() and os.access(place, os.X_OK):
                return 0
            if place.exists():
                code = NOT_EXECUTABLE
        except (OSError, ValueError):
            continue
    return code


def run_command(
    argv: Sequence[str],
    *,
    name: str = "",
    tags: Mapping[str, str] | None = None,
    interval_s: float | None = None,
    project: str | None = None,
    zone: str | None = None,
    attendant: Attendant | None = None,
) -> Outcome:
    """Run *argv*, meter it as one run, and wait until that is settled.

    Within a run the command just takes the place of this process, and this does not return.

    Parameters
    ----------
    argv
        The command and its arguments.
    name, tags, project
        How the run is called and found.
    zone
        Where its electricity comes from; what is configured if None.
    interval_s
        Time between two readings [s]; what is configured if None.
    attendant
        Who watches the run while it goes on.
    """
    missing = find_command(argv[0])
    if missing:
        return Outcome(missing)
    outer = os.environ.get(RUN_VARIABLE)
    if outer and is_open(Path(outer)):
        become(argv)
    if not hasattr(signal, "sigtimedwait"):
        return _unmetered(argv)
    launch = Launch(argv)
    launch.attendance.attendant = attendant
    launch.prepare(name=name, tags=tags, interval_s=interval_s, project=project, zone=zone)
    return launch.run()


def die_like(outcome: Outcome) -> None:
    """End this process as the command ended: by the same signal, or with its exit code.

    Does not return.
    """
    if outcome.signal and os.getpid() != 1:  # number 1 cannot die by a signal of its own
        import resource

        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the command has left its core
        if outcome.signal not in (signal.SIGKILL, signal.SIGSTOP):
            with contextlib.suppress(OSError, ValueError):
                signal.signal(outcome.signal, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [outcome.signal])
        os.kill(os.getpid(), outcome.signal)
    sys.exit(outcome.exit_code)


class Launch:
    """One command, from its start to its end."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.argv = list(argv)
        self.notes: list[str] = []
        self.collector: CollectorHandle | None = None
        self.pid = 0
        self.attendance = Attendance()
        self.status: int | None = None  # wait status of the command
        self.ended_ns = 0
        self._folder: Path | None = None
        self._mask: set[int | signal.Signals] = set()
        self._restart_at_ns: int | None = None
        self._pause_s = 0.0

    # --- before -----------------------------------------------------------------------------

    def prepare(
        self,
        *,
        name: str,
        tags: Mapping[str, str] | None,
        interval_s: float | None,
        project: str | None,
        zone: str | None,
    ) -> None:
        """Start the collector; whatever fails is a note, and the command runs all the same.

        Who asks us to leave is heard while we wait for the collector, and again by `run`: at any
        other step an interrupt would leave a folder behind that nobody knows of.
        """
        self._mask = _hold()
        try:
            self._make_ready(name, tags, interval_s, project, zone)
        except Exception as exc:  # noqa: BLE001  # the command runs, whatever this is
            ours = isinstance(exc, (SubmeterError, OSError))
            self.notes.append(f"not metered: {exc if ours else repr(exc)}")
            self._discard()
        except BaseException:  # asked to leave before anything ran
            _hold()
            self._discard()
            self._let_in()
            raise

    def _make_ready(
        self,
        name: str,
        tags: Mapping[str, str] | None,
        interval_s: float | None,
        project: str | None,
        zone: str | None,
    ) -> None:
        warm: Warm | None = Warm()  # first of all: it takes longest
        try:
            code = code_state()
            order = new_order(
                name=name or Path(self.argv[0]).name,
                command=self.argv,
                tags=tags,
                interval_s=interval_s,
                project=project,
                zone=zone,
                leader_pid=os.getpid(),
                code=code.known,
            )
            self._folder = Path(order.folder)
            # the command is over then, and nobody works on while we wait
            order = msgspec.structs.replace(order, patient=True)
            self.notes += order.notes
            warm, made = None, warm
            self.collector = CollectorHandle(order, made)
        finally:
            if warm is not None:
                warm.drop()
        try:
            self._let_in()
            self.collector.begin(READY_S)
        finally:
            _hold()

    def _let_in(self) -> None:
        """Take the signals that waited, as this process would have taken them without us."""
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _discard(self) -> None:
        """End the collector and forget the run, which has not begun; signals are held."""
        from submeter.storing.folders import discard

        collector, self.collector = self.collector, None
        if collector is not None:
            collector.kill()
        if self._folder is not None:
            discard(self._folder)

    def run(self) -> Outcome:
        """Start the command, stay with it to its end, settle its run."""
        _adopt_orphans()
        if _asked_to_stop():
            self._discard()
            self._let_in()
        signal.pthread_sigmask(signal.SIG_BLOCK, WAITED_FOR)
        try:
            try:
                self._start()
            except OSError as exc:
                return self._did_not_start(exc)
            self.attendance.begin(self._folder, lambda: self.pid if self.status is None else 0)
            while self.status is None:
                self._step()
        finally:
            self.attendance.end()
            self._drain()
            self._let_in()
        return self._settle()

    def _start(self) -> None:
        started_ns = time.monotonic_ns()
        collector = self.collector
        if collector is not None:  # before it begins: else a run could begin that we die too soon
            collector.started(started_ns, 0)  # to speak of
        self._begin(started_ns)

    def _begin(self, started_ns: int) -> None:
        """Start the command's process, and tell the collector of it."""
        self.pid = _spawn(self.argv, self._environment(), self._mask)
        collector = self.collector
        if collector is not None:
            collector.started(started_ns, self.pid)
            collector.order = msgspec.structs.replace(collector.order, leader_pid=self.pid)
            with contextlib.suppress(OSError):
                write_order(collector.order)

    def _environment(self) -> dict[str, str]:
        environment = {k: v for k, v in os.environ.items() if k != RUN_VARIABLE}
        if self.collector is not None:
            environment[RUN_VARIABLE] = self.collector.order.folder
        return environment

    def _did_not_start(self, exc: OSError) -> Outcome:
        self._discard()
        missing = exc.errno in {errno.ENOENT, errno.ENOTDIR}
        return Outcome(NOT_FOUND if missing else NOT_EXECUTABLE, notes=(str(exc.strerror),))

    # --- while it lives -----------------------------------------------------------------------

    def _step(self) -> None:
        """Take the next signal, or start the collector again when its time has come."""
        info = self._wait(None)
        if info is not None:
            self._hear(info)

    def _wait(self, most_s: float | None) -> "signal.struct_siginfo | None":
        """Wait for a signal, *most_s* at the most; the collector is started again meanwhile."""
        if self._restart_at_ns is None and most_s is None:
            return signal.sigwaitinfo(WAITED_FOR)
        waits_s = [] if most_s is None else [max(0.0, most_s)]
        if self._restart_at_ns is not None:
            waits_s.append(max(0.0, ns_to_s(self._restart_at_ns - time.monotonic_ns())))
        info = signal.sigtimedwait(WAITED_FOR, min(waits_s))
        due = self._restart_at_ns is not None and time.monotonic_ns() >= self._restart_at_ns
        if info is None and due:
            self._restart()
        return info

    def _hear(self, info: "signal.struct_siginfo") -> None:
        number = info.si_signo
        if number == signal.SIGCHLD:
            self._reap()
        elif number in _FORWARDED or (number in _OF_TERMINAL and info.si_code <= _USER_SENT):
            self._pass_on(number)
        # SIGCONT has done its work; what the terminal sends to stop us comes from the command

    def _pass_on(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def _reap(self) -> None:
        """Take note of all children that ended or stopped, orphans of the command among them."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.pid:
                self._changed(status)
            elif os.WIFSTOPPED(status):
                continue
            elif self._is_collector(pid):
                self._collector_died()
            else:
                self._other_ended(pid)

    def _other_ended(self, pid: int) -> None:
        """Take note that an orphan of the command, or a process of ours, has ended."""

    def _is_collector(self, pid: int) -> bool:
        return self.collector is not None and pid == self.collector.pid

    def _changed(self, status: int) -> None:
        """Take note that the command ended, or stopped."""
        while os.WIFSTOPPED(status):
            if os.WSTOPSIG(status) not in _JOB_CONTROL:
                return  # somebody stopped the command alone, and will continue it alone
            stop_like(os.WSTOPSIG(status))
            pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            if pid == 0:  # who continued us meant only us
                self._pass_on(signal.SIGCONT)
                return
        if not os.WIFCONTINUED(status):
            self.status, self.ended_ns = status, time.monotonic_ns()

    def _collector_died(self) -> None:
        collector = self.collector
        if collector is None:
            return
        collector.reaped()
        # at once the first time, then ever more slowly
        self._restart_at_ns = time.monotonic_ns() + s_to_ns(self._pause_s)
        self._pause_s = min(60.0, max(0.5, 2 * self._pause_s))

    def _restart(self) -> None:
        self._restart_at_ns = None
        if self.collector is None:
            return
        try:
            self.collector.restart()
        except (SubmeterError, OSError):
            self._restart_at_ns = time.monotonic_ns() + s_to_ns(max(1.0, self._pause_s))

    # --- after --------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Drop what still waits: meant for a command that is no more."""
        while signal.sigtimedwait(WAITED_FOR, 0) is not None:
            pass

    def _settle(self) -> Outcome:
        assert self.status is not None  # noqa: S101
        killed_by = os.WTERMSIG(self.status) if os.WIFSIGNALED(self.status) else 0
        code = 128 + killed_by if killed_by else os.waitstatus_to_exitcode(self.status)
        collector = self.collector
        notes = (*self.notes, *self.attendance.notes)
        outcome = Outcome(code, killed_by, notes=notes)
        if collector is None:
            return outcome
        outcome = msgspec.structs.replace(
            outcome,
            run_id=collector.order.run_id,
            folder=Path(collector.order.folder),
            ledger=Path(collector.order.ledger),
            order=collector.order,
            end=self._end(killed_by, code),
        )
        assert outcome.end is not None  # noqa: S101
        try:
            settled = collector.finish(outcome.end, SETTLE_S)
        except KeyboardInterrupt:
            # asked to leave now: the collector goes on, and ends the run by itself
            return outcome
        finally:
            collector.close()
        return msgspec.structs.replace(outcome, settled=settled)

    def _end(self, killed_by: int, code: int) -> End:
        why = self.attendance.stopped_because  # however it took the signal
        status = "stopped" if why else _status(killed_by, code)
        return End(self.ended_ns, status, None if killed_by else code, why or _why(killed_by))


def _hold() -> "set[int | signal.Signals]":
    """Have those wait who ask us to stop; the mask before that."""
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, ASKED_TO_STOP))


def _asked_to_stop() -> bool:
    """Whether a signal waits that asks us to stop; one that is ignored may wait, and does not."""
    waiting = signal.sigpending() & ASKED_TO_STOP
    return any(signal.getsignal(number) is not signal.SIG_IGN for number in waiting)


def _status(killed_by: int, code: int) -> str:
    if killed_by:
        return "stopped" if killed_by in ASKED_TO_STOP else "killed"
    return "failed" if code else "finished"


def _why(killed_by: int) -> str:
    if not killed_by:
        return ""
    try:
        return signal.Signals(killed_by).name
    except ValueError:
        return f"signal {killed_by}"


def _spawn(
    argv: Sequence[str], environment: Mapping[str, str], mask: "set[int | signal.Signals]"
) -> int:
    """Start *argv* with everything of ours that it would have without us; its process id."""
    unignored = [s for s in _IGNORED_BY_PYTHON if signal.getsignal(s) is signal.SIG_IGN]
    try:
        return os.posix_spawnp(
            argv[0], list(argv), environment, setsigmask=mask, setsigdef=unignored
        )
    except OSError as exc:
        if exc.errno != errno.ENOEXEC:
            raise
    # a script without a first line that names its interpreter: what a shell does
    script = argv[0] if os.sep in argv[0] else _on_path(argv[0])
    return os.posix_spawn(
        "/bin/sh",
        ["/bin/sh", script, *argv[1:]],
        environment,
        setsigmask=mask,
        setsigdef=unignored,
    )


def _on_path(name: str) -> str:
    import shutil

    return shutil.which(name) or name


def become(argv: Sequence[str]) -> None:
    """Give this process to the command; the run that we are in goes on."""
    for number in _IGNORED_BY_PYTHON:
        signal.signal(number, signal.SIG_DFL)
    with contextlib.suppress(OSError):
        os.execvp(argv[0], list(argv))
    sys.exit(NOT_EXECUTABLE)


def _unmetered(argv: Sequence[str]) -> Outcome:
    """Run *argv* on a system where nothing can be metered."""
    import subprocess

    code = subprocess.call(list(argv))
    note = f"not metered: runs are metered on Linux only, and this is {sys.platform}"
    return Outcome(code if code >= 0 else 128 - code, max(0, -code), notes=(note,))


def _adopt_orphans() -> None:
    """Be the parent of processes that the command leaves behind, so that they stay in its tree."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
