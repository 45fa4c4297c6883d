# SPDX-License-Identifier: Apache-2.0
"""What an actuator is about to do, kept before it does it, so that anybody can undo it.

One file for each that holds limits, in the folder ``limits`` beside the ledger: a line for each
step, with a checksum, synced before the device is touched. The file goes when all is put back.
Who holds limits, and who watches over that, holds a lock on it, which ends with both.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

from submeter.errors import ActuatorError
from submeter.reducing.actuators.protocol import Kind, LimitedBoard
from submeter.running.pausing import boot_id, start_tick
from submeter.storing.lines import decoded, encoded, sync_folder
from submeter.storing.places import PRIVATE_FILE, PRIVATE_FOLDER
from submeter.storing.wording import safe_text

__all__ = [
    "FOLDER",
    "Armed",
    "Intended",
    "IntentFile",
    "Kept",
    "Made",
    "intent_paths",
    "is_held",
    "read_kept",
    "remove",
    "taken_over",
]  # fmt: skip

FOLDER: Final = "limits"
_MOST_BYTES: Final = 1 << 20


class Before(msgspec.Struct, frozen=True):
    """A board and what was set on it."""

    uuid: str
    name: str
    value: float | None


class Armed(msgspec.Struct, frozen=True, kw_only=True, tag="armed"):
    """Who is about to set what on which boards, and what was there.

    Attributes
    ----------
    owner_pid, owner_tick, boot_id
        The process, when it began in ticks since boot, and of which life of the machine: they
        tell it from a later process of the same number.
    """

    kind: Kind
    boards: tuple[Before, ...]
    owner_pid: int
    owner_tick: int
    boot_id: str
    at_utc_s: float
    words: str = ""


class Intended(msgspec.Struct, frozen=True, tag="intended"):
    """What is about to be set, by board."""

    values: dict[str, float]
    state: Literal["armed", "profiling", "settled"]


class Made(msgspec.Struct, frozen=True, tag="made"):
    """What was intended last is set on all boards."""

    at_utc_s: float


_Line = Armed | Intended | Made
_decoder = msgspec.json.Decoder(_Line)


class Kept(msgspec.Struct, frozen=True):
    """What a file of intents says."""

    path: Path
    armed: Armed
    intended: tuple[Intended, ...]
    made: bool  # whether the last was carried out whole

    def ours(self, uuid: str) -> tuple[float, ...]:
        """Values on a board that can only be of who wrote this.

        The last one; and the one before it, if the change was cut short.
        """
        rows = self.intended[-1:] if self.made else self.intended[-2:]
        return tuple(row.values[uuid] for row in rows if uuid in row.values)

    @property
    def rebooted(self) -> bool:
        """Whether this was written in another life of this machine, or on another one."""
        now = boot_id()
        return bool(now and self.armed.boot_id and now != self.armed.boot_id)


class IntentFile:
    """The file of one who holds limits.

    Parameters
    ----------
    home
        The folder of the ledger.
    kind, boards, words
        What is going to be set, the boards as they are now, and for what.

    Raises
    ------
    ActuatorError
        If it cannot be kept: then nothing may be set.
    """

    def __init__(self, home: Path, kind: Kind, boards: list[LimitedBoard], words: str) -> None:
        tick = start_tick(os.getpid())
        self.armed = Armed(
            kind=kind,
            boards=tuple(Before(b.uuid, b.name, b.now) for b in boards),
            owner_pid=os.getpid(),
            owner_tick=tick,
            boot_id=boot_id(),
            at_utc_s=time.time(),
            words=safe_text(words, most=200),
        )
        name = f"{os.getpid()}-{tick}-{kind}-{os.urandom(3).hex()}.intents"
        self.path = home / FOLDER / name
        self._fd = -1
        fresh = self.path.with_name(f".{name}")
        try:
            self.path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            self._fd = os.open(fresh, flags, PRIVATE_FILE)
            _lock(self._fd)
            self._add(self.armed, sync=True)
            fresh.replace(self.path)  # a file that is seen says whose it is
            sync_folder(self.path.parent)
        except OSError as exc:
            self.close()
            for path in (fresh, self.path):
                with contextlib.suppress(OSError):
                    path.unlink()
            raise _not_kept(self.path, exc) from exc

    @property
    def fd(self) -> int:
        """The open file, whose lock says that somebody cares; for a child that shares it."""
        return self._fd

    def intend(self, intended: Intended) -> None:
        """Keep what is about to be set.

        Raises
        ------
        ActuatorError
            If it cannot be kept: then it may not be set.
        """
        try:
            self._add(intended, sync=True)
        except OSError as exc:
            raise _not_kept(self.path, exc) from exc

    def made(self) -> None:
        """Keep that it is set; without this line its undoing is only more careful."""
        with contextlib.suppress(OSError):
            self._add(Made(time.time()), sync=False)

    def _add(self, line: _Line, *, sync: bool) -> None:
        raw = encoded(line)
        begin = os.lseek(self._fd, 0, os.SEEK_END)
        try:
            done = 0
            while done < len(raw):
                done += os.write(self._fd, raw[done:])
            if sync:
                os.fsync(self._fd)
        except OSError:
            with contextlib.suppress(OSError):  # no half line stays before the next one
                os.ftruncate(self._fd, begin)
            raise

    def close(self) -> None:
        """Let go of the file, which stays."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def remove(self) -> None:
        """All is put back: nothing is left to undo."""
        self.close()
        remove(self.path)


def _lock(fd: int) -> None:
    """Lock for the life of this process, or raise `OSError` at once."""
    import fcntl  # not everywhere, and only who sets limits locks

    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def taken_over(path: Path) -> Iterator[bool]:
    """Hold the lock of *path*; whether it could be had, and the file is still there."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        yield False
        return
    try:
        _lock(fd)
        had = path.exists()
    except OSError:
        had = False
    try:
        yield had
    finally:
        os.close(fd)


def is_held(path: Path) -> bool:
    """Whether who wrote *path*, or who watches over it, still lives."""
    with taken_over(path) as had:
        return not had and path.exists()


def remove(path: Path) -> None:
    """Take a file of intents away."""
    with contextlib.suppress(OSError):
        path.unlink()
        sync_folder(path.parent)


def intent_paths(home: Path) -> list[Path]:
    """Files of intents under *home*; usually none, and then this costs one look."""
    try:
        names = sorted(os.listdir(home / FOLDER))  # noqa: PTH208  # no object for each file
    except OSError:
        return []
    return [home / FOLDER / n for n in names if n.endswith(".intents") and not n.startswith(".")]


def read_kept(path: Path) -> Kept | None:
    """What *path* says, damaged lines passed over; None if nobody is named in it."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES)
    except OSError:
        return None
    armed: Armed | None = None
    intended: list[Intended] = []
    made = False
    for row in raw.split(b"\n"):
        line = decoded(row, _decoder)
        if isinstance(line, Armed):
            armed = line
        elif isinstance(line, Intended):
            intended.append(line)
            made = False
        elif isinstance(line, Made):
            made = True
    return None if armed is None else Kept(path, armed, tuple(intended), made)


def _not_kept(path: Path, exc: OSError) -> ActuatorError:
    where = safe_text(str(path.parent))
    return ActuatorError(
        f"what would be set cannot be kept in {where} ({exc.strerror or exc}), so nothing is set",
        remedy="make room there, or set SUBMETER_HOME to a folder of your own",
    )
