# SPDX-License-Identifier: Apache-2.0
"""How far each plan has been carried out, kept so that who carries it out may be killed.

One file for each plan, in the folder ``waits`` beside the ledger: a line for each thing that
happened, with a checksum, synced before it is acted on. The last whole line counts; a torn one
is passed over. Who carries a plan out holds a lock on its file, which ends with its process.
"""

import contextlib
import os
from pathlib import Path
from typing import Final, Literal, Self

import msgspec

from submeter.errors import LedgerError, LedgerLockedError
from submeter.records.plans import Plan
from submeter.storing.lines import decoded, encoded
from submeter.storing.places import PRIVATE_FILE, PRIVATE_FOLDER
from submeter.storing.wording import safe_text

__all__ = ["FOLDER", "Order", "State", "Wait", "WaitFile", "open_waits", "read_wait"]

FOLDER: Final = "waits"
MOST_BYTES: Final = 16 << 20
MOST_ENDED: Final = 1000  # files of plans that are over are kept up to so many
_LONG_BYTES: Final = 1 << 18  # beyond it a file is written anew when it is next opened

Status = Literal["waiting", "running", "paused", "ended", "cancelled"]
ENDED: Final = frozenset({"ended", "cancelled"})


class Order(msgspec.Struct, frozen=True, kw_only=True, tag="order"):
    """What was asked for: enough to go on without whoever asked."""

    plan: Plan
    command: tuple[str, ...]
    folder: str  # the command's working folder
    asked_s: float  # when it could have been started at once [s since 1970 UTC]
    words: str = ""  # of --when
    live: bool = False  # whether a provider is asked while it waits
    name: str = ""
    tags: dict[str, str] = {}
    project: str | None = None
    zone: str | None = None
    interval_s: float | None = None
    pause_by: str = "signal"
    pause_signal: str = "SIGUSR1"
    pause_within_s: float = 300.0


class State(msgspec.Struct, frozen=True, kw_only=True, tag="state"):
    """How far it is.

    Attributes
    ----------
    at_s
        When this was written, by the wall clock [s since 1970 UTC].
    worked_s
        Work done until then [s].
    saved_s
        Work that the program's last checkpoint holds [s]: what is left should it be gone.
    planner_pid
        Who carries the plan out.
    pid, pid_start
        The program while there is one, and the tick of the clock at which it began, which tells
        it from a later process of the same number.
    boot_id
        Of the machine's life in which these numbers mean something.
    frozen
        Whether the program was stopped by a signal that it cannot refuse.
    resumes
        How often it was resumed.
    run_ids
        The runs in the ledger that it became: more than one if its planner died in between.
    """

    at_s: float
    status: Status
    worked_s: float = 0.0
    saved_s: float = 0.0
    planner_pid: int = 0
    pid: int = 0
    pid_start: int = 0
    boot_id: str = ""
    frozen: bool = False
    resumes: int = 0
    run_ids: tuple[str, ...] = ()


class Wait(msgspec.Struct, frozen=True):
    """A plan that is or was being carried out."""

    order: Order
    state: State
    path: Path
    locked: bool = False  # somebody carries it out now

    @property
    def plan_id(self) -> str:
        """Id of its plan."""
        return self.order.plan.id

    @property
    def unfinished(self) -> bool:
        """Whether there is something left to carry out."""
        return self.state.status not in ENDED


_Line = Order | State
_decoder = msgspec.json.Decoder(_Line)


class WaitFile:
    """The file of one plan, held by who carries it out.

    What cannot be written (a full disk) is kept in `trouble` and written with the next state:
    the plan goes on meanwhile.

    Parameters
    ----------
    home
        The folder of the ledger.
    plan_id
        Whose file.

    Raises
    ------
    LedgerLockedError
        If another process carries this plan out.
    LedgerError
        If the file cannot be made.
    """

    def __init__(self, home: Path, plan_id: str) -> None:
        self.path = _path(home, plan_id)
        self.trouble: OSError | None = None
        self._unwritten: list[bytes] = []
        self._fd = -1
        fd = self._opened()
        try:
            import fcntl

            while True:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _same_file(fd, self.path):
                    break
                os.close(fd)  # it was written anew meanwhile
                fd = self._opened()
        except OSError as exc:
            other = read_wait(self.path)
            os.close(fd)
            who = f" by process {other.state.planner_pid}" if other is not None else ""
            raise LedgerLockedError(
                f"the plan {plan_id} is being carried out already{who}",
                remedy="submeter list shows it; end that process, or make another plan",
            ) from exc
        self._fd = fd
        self.wait = read_wait(self.path)
        self._mend()
        forget_old(home)

    def _opened(self) -> int:
        try:
            self.path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            return os.open(self.path, flags, PRIVATE_FILE)
        except OSError as exc:
            raise LedgerError(
                f"{safe_text(str(self.path))} cannot be written: {exc.strerror or exc}",
                remedy="set SUBMETER_HOME to a folder of your own",
            ) from exc

    def write(self, *lines: _Line) -> None:
        """Add *lines* and sync them."""
        self._unwritten += [encoded(line) for line in lines]
        if self._fd < 0:
            return
        begin = 0
        try:
            begin = os.lseek(self._fd, 0, os.SEEK_END)
            raw = b"".join(self._unwritten)
            done = os.write(self._fd, raw)
            while done < len(raw):
                done += os.write(self._fd, raw[done:])
            os.fsync(self._fd)
        except OSError as exc:
            self.trouble = exc
            with contextlib.suppress(OSError):  # no half line stays before the next try
                os.ftruncate(self._fd, begin)
            # only what is needed to go on: who it is for, and how far it is
            orders = [x for x in self._unwritten if b'"type":"order"' in x[:40]]
            states = [x for x in self._unwritten if x not in orders]
            self._unwritten = [*orders[-1:], *states[-1:]]
            return
        self.trouble = None
        self._unwritten = []

    def close(self) -> None:
        """Let go of the file, and of the lock."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _mend(self) -> None:
        """End a torn tail, and make a long file short."""
        with contextlib.suppress(OSError):
            size = os.fstat(self._fd).st_size
            if size and os.pread(self._fd, 1, size - 1) != b"\n":
                os.lseek(self._fd, 0, os.SEEK_END)
                os.write(self._fd, b"\n")
        if self.wait is None:
            return
        with contextlib.suppress(OSError):
            if os.fstat(self._fd).st_size > _LONG_BYTES:
                self._shorten(self.wait)

    def _shorten(self, wait: Wait) -> None:
        """Write a new file with the present state; the lock moves to it before it is in place."""
        short = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(short, flags, PRIVATE_FILE)
        try:
            import fcntl

            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            raw = encoded(wait.order) + encoded(wait.state)
            whole = os.write(fd, raw) == len(raw)
            os.fsync(fd)
            if whole:
                short.replace(self.path)
        except OSError:
            os.close(fd)
            short.unlink(missing_ok=True)
            raise
        if not whole:
            os.close(fd)
            short.unlink(missing_ok=True)
            return
        os.close(self._fd)
        self._fd = fd


def read_wait(path: Path) -> Wait | None:
    """What *path* says, damaged lines passed over; None if it says nothing whole."""
    order: Order | None = None
    state: State | None = None
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES)
    except OSError:
        return None
    for row in raw.split(b"\n"):
        line = decoded(row, _decoder)
        if isinstance(line, Order):
            order = line
        elif isinstance(line, State):
            state = line
    if order is None:
        return None
    return Wait(order, state or State(at_s=order.asked_s, status="waiting"), path)


def open_waits(home: Path) -> list[Wait]:
    """Plans under *home* that are not carried out to their end, the earliest first."""
    found = []
    try:
        paths = sorted((home / FOLDER).glob("*.wait"))
    except OSError:
        return []
    for path in paths:
        wait = read_wait(path)
        if wait is not None and wait.unfinished:
            found.append(msgspec.structs.replace(wait, locked=_is_locked(path)))
    return sorted(found, key=lambda w: (w.order.asked_s, w.plan_id))


def forget_old(home: Path, *, most: int = MOST_ENDED) -> None:
    """Remove the files of plans that are over, beyond the *most* that were last written.

    They are needed no more but for what a run's plan was, which the kept plans tell as well.
    """
    paths = list((home / FOLDER).glob("*.wait"))
    if len(paths) <= most:
        return
    by_age = []
    for path in paths:
        with contextlib.suppress(OSError):
            by_age.append((path.stat().st_mtime, path))
    for _, path in sorted(by_age, reverse=True)[most:]:
        wait = read_wait(path)
        if wait is not None and not wait.unfinished and not _is_locked(path):
            with contextlib.suppress(OSError):
                path.unlink()


def _is_locked(path: Path) -> bool:
    import fcntl

    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def _path(home: Path, plan_id: str) -> Path:
    if not plan_id or safe_text(plan_id) != plan_id or "/" in plan_id or plan_id.startswith("."):
        raise LedgerError(
            f"“{safe_text(plan_id, most=60)}” is no id of a plan", remedy="submeter plan --list"
        )
    return home / FOLDER / f"{plan_id}.wait"


def _same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except OSError:
        return False
