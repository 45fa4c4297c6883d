# SPDX-License-Identifier: Apache-2.0
"""Part of this process in a run: the phases that it opens and the values that it logs.

A process joins the run that ``SUBMETER_RUN`` names when it first opens a phase or logs a value,
never at import. Without a run everything here does nothing. A forked child is a process of its
own: it leaves its parent's files alone and joins with files of its own, if ever.
"""

import os
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final

from submeter.errors import JoinWarning

if TYPE_CHECKING:
    from collections.abc import Callable

    from submeter.collecting.marks import MarksWriter
    from submeter.records.frames import Process
    from submeter.running.tracker import Tracker

__all__ = ["RUN_VARIABLE", "Member", "current", "join", "leave", "once"]

RUN_VARIABLE: Final = "SUBMETER_RUN"
CHECK_NS: Final = 500_000_000
_NEXT_NUMBER: Final = 1 << 22  # most process ids that Linux has; keeps numbers apart
_RANKS: Final = (
    ("RANK", "LOCAL_RANK", "WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "MPI_LOCALRANKID", "PMI_SIZE"),
)


class Member:
    """The part of one process in the run of *folder*.

    What cannot be written is left out, and that is said once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_id = folder.name
        self.pid = os.getpid()
        self.tracker: Tracker | None = None
        self.marks: MarksWriter | None = None
        self.check: Callable[[], None] | None = None  # of who owns the collector
        self.check_at_ns = 0
        try:
            self._open()
        except (OSError, ValueError) as exc:
            once(f"phases and logged values of process {self.pid} are not kept: {exc}")

    def check_now_and_then(self) -> None:
        """Let the owner of the collector see whether it lives; mostly does nothing."""
        if time.monotonic_ns() >= self.check_at_ns and self.check is not None:
            self.check_at_ns = time.monotonic_ns() + CHECK_NS
            self.check()

    def log(
        self,
        values: dict[str, object],
        step: int | None = None,
        work: dict[str, float] | None = None,
    ) -> None:
        """Keep a point of the learning curve and the work done since the last one."""
        if self.check is not None:
            self.check_now_and_then()
        if self.marks is None:
            return
        self.marks.log(values, step=step, work=work)
        if self.marks.trouble is not None:
            once(f"logged values cannot be kept just now: {self.marks.trouble}")

    def _open(self) -> None:
        from submeter.collecting.marks import MarksWriter
        from submeter.collecting.phases import PhaseFile
        from submeter.running.tracker import Tracker

        number = self.pid
        while (self.folder / f"phases.{number}").exists():
            # the same number in another container, or before this process replaced its program
            number += _NEXT_NUMBER
        self.tracker = Tracker(PhaseFile.create(self.folder / f"phases.{number}"))
        self.marks = MarksWriter(self.folder / f"marks.{number}", _process(number))


class _Here:
    """What this process knows of its run."""

    def __init__(self) -> None:
        self.member: Member | None = None
        self.looked = False  # for a run to join
        self.looking = False  # just now; a signal's handler may come in between
        self.forks = False  # are being watched
        self.said: set[str] = set()
        self.lock = threading.RLock()
        self.in_child: list[Callable[[], None]] = []  # to be called in a forked child


_here: Final = _Here()


def state() -> _Here:
    """What this process knows of its run; for callers that cannot afford a call."""
    return _here


def current() -> Member | None:
    """Give this process's membership; it joins now if the environment names a run."""
    if _here.looked:
        return _here.member
    return _look()


def _look() -> Member | None:
    with _here.lock:
        if _here.looked or _here.looking:
            return _here.member
        _here.looking = True
        try:
            folder = os.environ.get(RUN_VARIABLE)
            member = None
            if folder and is_open(Path(folder)):
                member = join(Path(folder))
            _here.looked = True
            return member
        finally:
            _here.looking = False


def is_open(folder: Path) -> bool:
    """Whether the run in *folder* can still be joined."""
    try:
        if not (folder / "order.json").is_file():
            return False
        from submeter.running.recovery import is_over

        return not is_over(folder)
    except Exception as exc:  # noqa: BLE001  # the user's program must go on whatever this is
        once(f"the run in {folder} cannot be joined: {exc}")
        return False


def join(folder: Path) -> Member:
    """Make this process a member of the run in *folder*, with files of its own."""
    with _here.lock:
        if not _here.forks and hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_in_forked_child)
            _here.forks = True
        _here.member = Member(folder)
        _here.looked = True
        return _here.member


def leave() -> None:
    """End this process's membership: its run is over."""
    with _here.lock:
        member, _here.member = _here.member, None
        _here.looked = False
        if member is not None and member.marks is not None:
            member.marks.close()


def forget_when_forked(forget: "Callable[[], None]") -> None:
    """Have *forget* called in every child that is forked from now on."""
    _here.in_child.append(forget)


def forget_no_more(forget: "Callable[[], None]") -> None:
    """Undo `forget_when_forked`."""
    if forget in _here.in_child:
        _here.in_child.remove(forget)


def once(text: str) -> None:
    """Warn of *text*, the first time in this process."""
    if text not in _here.said:
        _here.said.add(text)
        warnings.warn(JoinWarning(text), stacklevel=3)


def _in_forked_child() -> None:
    _here.lock = threading.RLock()  # its holder may not exist here
    forget, _here.in_child = _here.in_child, []
    for call in forget:
        call()
    member, _here.member = _here.member, None
    _here.looked = _here.looking = False
    if member is not None and member.marks is not None:
        member.marks.forget()


def _process(pid: int) -> "Process":
    from submeter.records.frames import Process

    for names in _RANKS:
        rank, local_rank, size = (_whole(os.environ.get(n)) for n in names)
        if rank is not None:
            return Process(pid, time.monotonic_ns(), rank, local_rank, size)
    return Process(pid, time.monotonic_ns())


def _whole(word: str | None) -> int | None:
    try:
        return None if word is None else int(word)
    except ValueError:
        return None
