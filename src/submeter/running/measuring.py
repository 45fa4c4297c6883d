# SPDX-License-Identifier: Apache-2.0
"""A run of this very process: start a collector beside it, end it, read what came of it."""

import atexit
import contextlib
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from submeter.errors import SubmeterError
from submeter.running import joined

if TYPE_CHECKING:
    from submeter.collecting.order import Order
    from submeter.records.figures import Missing
    from submeter.records.frames import End
    from submeter.records.runs import Run
    from submeter.running.collectors import CollectorHandle, Warm

__all__ = ["Session", "begin"]

STILL_RUNNING: Final = "still running"
JOINED_RUNS_ON: Final = "still running: settled when the whole run ends"
READY_S: Final = 10.0  # drivers may take seconds to wake up; usual is a tenth of one
SETTLE_S: Final = 5.0
_MOST_RESTARTS: Final = 20


class Session:
    """A process's part in a run that it started, or joined."""

    def __init__(self, name: str, tags: Mapping[str, str]) -> None:
        self.name = name
        self.tags = dict(tags)
        self.pid = os.getpid()
        self.folder: Path | None = None
        self.depth = 0
        self._order: Order | None = None
        self._end: End | None = None
        self._collector: CollectorHandle | None = None
        self._outer: str | None = None
        self._why = STILL_RUNNING  # there is no result
        self._result: Run | Missing | None = None
        self._checking = threading.Lock()

    @property
    def run_id(self) -> str:
        """Id of the run, "" if there is none."""
        return "" if self.folder is None else self.folder.name

    @property
    def owns(self) -> bool:
        """Whether this process started the run and so ends it."""
        return self._order is not None and self.pid == os.getpid()

    @property
    def belongs_here(self) -> bool:
        """Whether this process began it, and it is still open."""
        return self.pid == os.getpid() and self._why == STILL_RUNNING

    def result(self) -> "Run | Missing":
        """Give the settled run; `Missing` with the reason as long as there is none."""
        if self._result is not None:
            return self._result
        from submeter.records.figures import Missing

        if self._why == STILL_RUNNING or self._order is None or self._collector_lives():
            return Missing(self._why)
        self._result = _settled(self._order, self._end)
        return self._result

    def start(self, order: "Order", warm: "Warm", *, strict: bool) -> None:
        """Give *order* to the collector and become a member of its run."""
        from submeter.running.collectors import CollectorHandle

        self._order = order
        self.folder = Path(order.folder)
        self._collector = CollectorHandle(order, warm)
        try:
            joined.forget_when_forked(self._forget)
            member = joined.join(self.folder)
            self._collector.begin(READY_S)
        except BaseException:
            joined.leave()
            self._collector.kill()
            self._order = None
            from submeter.storing.folders import discard

            discard(self.folder)
            raise
        # not this process: with several ranks the run ends with whoever launched them
        self._collector.started(time.monotonic_ns(), order.leader_pid)
        member.check = self._check
        for note in order.notes:
            if not strict:
                joined.once(note)
        self._outer = os.environ.get(joined.RUN_VARIABLE)
        os.environ[joined.RUN_VARIABLE] = str(self.folder)
        atexit.register(self._at_exit)

    def enter(self, folder: Path) -> None:
        """Take part in the run in *folder*, which another process owns."""
        self.folder = folder
        member = joined.current()
        if member is None or member.folder != folder:
            joined.join(folder)

    def fail(self, why: str) -> None:
        """Go on without a run."""
        self._why = why

    def end(self, status: str, exit_code: int | None, reason: str = "") -> None:
        """End the run if this process owns it; a forked child's end is none."""
        collector = self._collector
        if not self.owns or self._why != STILL_RUNNING or collector is None:
            if self._why == STILL_RUNNING and self.pid == os.getpid():
                self._why = JOINED_RUNS_ON
            return
        from submeter.records.frames import End

        end = self._end = End(time.monotonic_ns(), status, exit_code, reason)
        self._why = "it is not settled yet"
        atexit.unregister(self._at_exit)
        joined.forget_no_more(self._forget)
        joined.leave()
        self._restore_environment()
        if collector.finish(end, SETTLE_S):
            self._collector = None
        collector.close()
        if self._collector is not None and not collector.alive():
            self.result()  # into the ledger with its true end, if nobody has done that

    def _restore_environment(self) -> None:
        if self._outer is None:
            os.environ.pop(joined.RUN_VARIABLE, None)
        else:
            os.environ[joined.RUN_VARIABLE] = self._outer

    def _collector_lives(self) -> bool:
        return self._collector is not None and self._collector.alive()

    def _check(self) -> None:
        """See that the collector lives; start it again if not."""
        collector = self._collector
        if collector is None or not self._checking.acquire(blocking=False):
            return
        try:
            if not collector.alive() and collector.restarts < _MOST_RESTARTS:
                with contextlib.suppress(SubmeterError, OSError):
                    collector.restart()
        finally:
            self._checking.release()

    def _forget(self) -> None:
        if self._collector is not None:
            self._collector.forget()

    def _at_exit(self) -> None:
        if self.pid == os.getpid():
            self.end("finished", None, "the program ended while it was measured")


def begin(
    name: str = "",
    *,
    tags: Mapping[str, str] | None = None,
    interval_s: float | None = None,
    project: str | None = None,
    zone: str | None = None,
    strict: bool = False,
) -> Session:
    """Start a run of this process, or join the one that it is in already.

    Raises
    ------
    SubmeterError, OSError
        If none can be started, only with *strict*; without, the session says why there is none.
    """
    session = Session(name, tags or {})
    try:
        member = joined.current()
        if member is not None:
            session.enter(member.folder)
        else:
            given = {"interval_s": interval_s, "project": project, "zone": zone}
            _start(session, given, strict=strict)
    except (SubmeterError, OSError, ValueError) as exc:
        if strict:
            raise
        session.fail(str(exc))
        joined.once(f"this program is not metered: {exc}")
    except Exception as exc:
        if strict:
            raise
        session.fail(f"{type(exc).__name__}: {exc}")
        joined.once(f"this program is not metered: {type(exc).__name__}: {exc}")
    return session


def _start(session: Session, given: Mapping[str, Any], *, strict: bool) -> None:
    from submeter.running import rendezvous
    from submeter.running.collectors import Warm

    key = rendezvous.launch_key(os.environ)
    if not key:
        warm = Warm()  # first of all: it takes longest
        session.start(_order(session, warm, given), warm, strict=strict)
        return
    from submeter.storing.places import writable_home

    with rendezvous.meet(writable_home()[0], key) as meeting:
        folder = meeting.folder
        if folder is not None and joined.is_open(folder):
            session.enter(folder)
            return
        warm = Warm()
        made = _order(session, warm, given, launched=True)
        session.start(made, warm, strict=strict)
        meeting.propose(Path(made.folder))


def _order(
    session: Session, warm: "Warm", given: Mapping[str, Any], *, launched: bool = False
) -> "Order":
    try:
        from submeter.running.orders import code_state, new_order, versions

        code = code_state()
        # a launcher outlives any one rank, and all ranks are below it
        parent = os.getppid() if launched else 0
        return new_order(
            name=session.name,
            command=_own_command(),
            tags=session.tags,
            **given,
            leader_pid=parent if parent > 1 else os.getpid(),
            code=lambda: {**code.known(), **versions()},
        )
    except BaseException:
        warm.drop()
        raise


def _own_command() -> tuple[str, ...]:
    import sys

    return tuple(sys.orig_argv)


def _settled(order: "Order", end: "End | None") -> "Run | Missing":
    """Read the run of *order* from a ledger, else from its journal."""
    from submeter.errors import LedgerError
    from submeter.records.figures import Missing
    from submeter.running.recovery import settled_run

    try:
        return settled_run(order, end)[0]
    except (LedgerError, OSError, ValueError) as exc:
        return Missing(f"its journal cannot be settled: {exc}")
