# SPDX-License-Identifier: Apache-2.0
"""Somebody who watches a run while its command works, and may signal it.

Whatever fails in watching, the command goes on and the run is settled.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from submeter.running.joined import RUN_VARIABLE

__all__ = ["Attendance", "Attendant", "Command", "Member", "Together"]

_PROC: Final = Path("/proc")


class Member(NamedTuple):
    """A process, told from a later one with the same number by when it started."""

    pid: int
    start_tick: int


class Command:
    """The metered command, as far as one may speak to it.

    Parameters
    ----------
    pid_of
        Gives its process, 0 when it has ended.
    folder
        Of its run, as its environment names it: tells processes that were orphaned, and left to
        us, from our own.
    """

    def __init__(
        self, pid_of: Callable[[], int], *, folder: Path | None = None, proc: Path = _PROC
    ) -> None:
        self._pid_of = pid_of
        self._folder = folder
        self._proc = proc

    def send(self, number: int) -> bool:
        """Signal its first process; whether it was there to hear it."""
        pid = self._pid_of()
        if pid <= 0:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            return True
        return False

    def catches(self, number: int) -> bool:
        """Whether signal *number* would not end it: it has a handler for it, or ignores it."""
        try:
            path = self._proc / str(self._pid_of()) / "status"
            status = path.read_text(encoding="ascii", errors="replace")
        except OSError:
            return False
        masks = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        heard = int(masks.get("SigCgt", "0"), 16) | int(masks.get("SigIgn", "0"), 16)
        return bool(heard >> (number - 1) & 1)

    def below(self) -> list[Member]:
        """Processes that it has started, and those that these have, as of now."""
        children: dict[int, list[Member]] = {}
        for entry in _numbers(self._proc):
            found = _stat(self._proc, entry)
            if found is not None:
                parent, member = found
                children.setdefault(parent, []).append(member)
        first = self._pid_of()
        seen = [m for m in children.get(os.getpid(), []) if m.pid != first and self._left_us(m)]
        todo = [first, *(member.pid for member in seen)]
        while todo:
            for member in children.get(todo.pop(), []):
                seen.append(member)
                todo.append(member.pid)
        return seen

    def _left_us(self, child: Member) -> bool:
        """Whether a *child* of ours is one that the command started, an orphan by now."""
        if self._folder is None:
            return False
        mark = os.fsencode(f"{RUN_VARIABLE}={self._folder}")
        try:
            return mark in (self._proc / str(child.pid) / "environ").read_bytes().split(b"\0")
        except OSError:
            return False

    def signal_those(self, members: Iterable[Member], number: int) -> list[Member]:
        """Signal those of *members* that still live, and return them."""
        alive = []
        for member in members:
            found = _stat(self._proc, member.pid)
            if found is not None and found[1] == member:
                with contextlib.suppress(OSError):
                    os.kill(member.pid, number)
                    alive.append(member)
        return alive


def _numbers(proc: Path) -> list[int]:
    try:
        return [int(name) for name in os.listdir(proc) if name.isdecimal()]  # noqa: PTH208
    except OSError:
        return []


def _stat(proc: Path, pid: int) -> tuple[int, Member] | None:
    """Parent of a process that is no zombie, and the process itself."""
    try:
        # behind the name in brackets, which may hold anything: field 3 on
        fields = (proc / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
        if fields[0] in (b"Z", b"X"):
            return None
        return int(fields[1]), Member(pid, int(fields[19]))
    except (OSError, ValueError, IndexError):
        return None


class Attendant(Protocol):
    """What watches: told of the beginning and of the end, between them it works by itself."""

    def attend(self, folder: Path, command: Command) -> None:
        """Begin: the run in *folder* has started."""
        ...

    def leave(self) -> str:
        """End: the command is over; why it was stopped if that was our doing, else ""."""
        ...


class Together:
    """Several attendants of one run; each begins and ends whatever the others do.

    Parameters
    ----------
    attendants
        In the order of their beginning; the first that stopped the command says why.
    """

    def __init__(self, attendants: Sequence[Attendant]) -> None:
        self._attendants = list(attendants)

    def attend(self, folder: Path, command: Command) -> None:
        """Let all of them begin."""
        with contextlib.ExitStack() as failing:
            for one in reversed(self._attendants):
                failing.callback(one.attend, folder, command)

    def leave(self) -> str:
        """Let all of them end, the last that began first."""
        whys: list[str] = []

        def left(one: Attendant) -> None:
            whys.append(one.leave())

        with contextlib.ExitStack() as failing:
            for one in self._attendants:
                failing.callback(left, one)
        return next((why for why in reversed(whys) if why), "")


class Attendance:
    """An attendant at work, if there is one; what it fails at is a note."""

    def __init__(self, attendant: Attendant | None = None) -> None:
        self.attendant = attendant
        self.stopped_because = ""
        self.notes: list[str] = []

    def begin(self, folder: Path | None, pid_of: Callable[[], int]) -> None:
        """Let it begin; *pid_of* gives the command's process, 0 when it has ended."""
        if self.attendant is None or folder is None:
            return
        try:
            self.attendant.attend(folder, Command(pid_of, folder=folder))
        except Exception as exc:  # noqa: BLE001  # the command is what counts
            self.notes.append(f"nobody watches this run: {type(exc).__name__}: {exc}")

    def end(self) -> None:
        """Let it end."""
        if self.attendant is None:
            return
        try:
            self.stopped_because = self.attendant.leave()
        except Exception as exc:  # noqa: BLE001  # the run is settled whatever this is
            self.notes.append(f"watching this run failed: {type(exc).__name__}: {exc}")
