# SPDX-License-Identifier: Apache-2.0
"""The journal of a run: what was said, kept so that no crash, cut or flipped bit takes it all.

One process writes a journal and holds its lock while it lives; anybody may read it at any time.
A frame counts as kept once it is written and, where asked for, synced; until then it waits in
memory, and what does not fit there is counted and reported by a ``frames-lost`` event.
"""

import contextlib
import errno
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from submeter.errors import LedgerError
from submeter.records.frames import Event, Frame, Head, PathName, Process, Started
from submeter.storing._files import (
    HELD,
    Disk,
    boot_id,
    lock_file,
    open_or_make,
    refuse_traps,
    write_all,
)
from submeter.storing.framing import Scan, decode, encode

__all__ = [
    "JournalContent",
    "JournalWriter",
    "boot_id",
    "is_live",
    "paced_interval_s",
    "read_frames",
]

RING_BYTES: Final = 4 << 20  # waits in memory at most; a small machine writes this in an hour
_WRITTEN_BYTES: Final = 256 << 10  # kept of what is in the file without the disk's promise
_GROUP_BYTES: Final = 64 << 10  # goes into one write, so that a full disk takes what it can
FIRST_STEP_BYTES: Final = 32 << 20
_PACES_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # 10 s: no RAPL counter wraps twice
_HEARTBEAT_S: Final = 15.0  # a journal without locks is live this long after its last frame
_LASTING: Final = (Head, PathName, Process, Started)  # without them the others mean nothing


class JournalContent(msgspec.Struct, frozen=True):
    """What a journal holds, and what of it was damaged."""

    frames: list[Frame]
    lost_bytes: int = 0  # between good frames
    torn_tail_bytes: int = 0  # after the last good frame
    unknown_frames: int = 0  # whole, but of a kind that this version does not know


def read_frames(path: Path) -> JournalContent:
    """Read all good frames of the journal at *path*, also while it is being written.

    Damage is counted, never raised.

    Raises
    ------
    OSError
        If the file cannot be opened or read at all.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        scan = Scan(fd)
        frames = [decode(payload) for payload in scan]
    finally:
        os.close(fd)
    known = [f for f in frames if f is not None]
    return JournalContent(
        known, scan.lost_bytes, scan.torn_tail_bytes, unknown_frames=len(frames) - len(known)
    )


def stream_frames(path: Path) -> Iterator[Frame]:
    """Good frames of the journal at *path* one by one, for journals larger than memory."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for payload in Scan(fd):
            frame = decode(payload)
            if frame is not None:
                yield frame
    finally:
        os.close(fd)


def paced_interval_s(
    base_interval_s: float, size_bytes: int, *, first_step_bytes: int = FIRST_STEP_BYTES
) -> float:
    """Return the sampling interval that keeps a long run's journal bounded [s].

    Parameters
    ----------
    base_interval_s
        What was asked for [s]; never gone below.
    size_bytes
        Present size of the journal.
    first_step_bytes
        Size of the first step; each further one is twice as large.

    Notes
    -----
    Each time that the size passes a step the interval goes to the next of 0.1, 0.2, 0.5, 1, 2, 5
    and 10 s. A step twice as large at half the rate lasts four times as long, so the size grows
    with the square root of time.
    """
    steps = (size_bytes // first_step_bytes).bit_length()
    slower = [p for p in _PACES_S if p > base_interval_s]
    return ([base_interval_s, *slower])[min(steps, len(slower))]


def is_live(path: Path) -> bool:
    """Whether some process is writing the journal at *path*.

    Notes
    -----
    The lock decides. It may not reach over a network, so a journal begun on another machine, or
    one on a file system without locks, counts as live until it was left alone for 15 s.
    """
    try:
        import fcntl
    except ImportError:  # not everywhere, and where it is not no run is metered
        return False
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fresh = time.time() - os.fstat(fd).st_mtime < _HEARTBEAT_S
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as exc:
            return exc.errno in HELD or fresh
        return fresh and _from_elsewhere(fd)
    finally:
        os.close(fd)


def _from_elsewhere(fd: int) -> bool:
    head = next((f for f in map(decode, Scan(fd)) if isinstance(f, Head)), None)
    here = boot_id()
    return head is not None and bool(head.boot_id and here) and head.boot_id != here


def _refuse_content(fd: int, path: Path) -> None:
    if os.fstat(fd).st_size:
        raise LedgerError(f"{path} holds another journal", remedy="choose another folder")


class _Entry(msgspec.Struct, gc=False):
    data: bytes
    lasting: bool
    written: bool = False


class JournalWriter:
    """Appends frames to one journal; the only writer that it has.

    Parameters
    ----------
    path
        The journal. A torn tail of an existing one is cut off first.
    lock
        Hold its lock. It goes with this process, whatever happens to it.
    ring_bytes
        How much may wait in memory while the disk does not take it.
    disk, now_ns
        Border to the operating system.

    Raises
    ------
    LedgerLockedError
        If another process writes this journal.
    LedgerError
        If *path* is not a file of ours (a link, a device).
    OSError
        If it cannot be opened or made.
    """

    def __init__(
        self,
        path: Path,
        *,
        lock: bool = True,
        ring_bytes: int = RING_BYTES,
        disk: Disk | None = None,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.path = Path(path)
        self.trouble: OSError | LedgerError | None = None  # why the last frames still wait
        self.lost_frames = 0  # not yet reported
        self._lock = lock
        self._ring_bytes = ring_bytes
        self._disk = disk or Disk()
        self._now_ns = now_ns
        self._pid = os.getpid()
        self._turn = threading.Lock()
        self._ring: deque[_Entry] = deque()  # first those in the file, then those that wait
        self._ring_size_bytes = 0
        self._lasting: list[bytes] = []
        self._fd = self._open(self.path)
        try:
            self._end = self._cut_torn_tail()  # where the next frame goes
        except OSError:
            os.close(self._fd)
            raise
        self._unkept_from = self._end  # from here on the ring holds what is in the file
        self._unsure = False  # a sync failed: what the disk did not promise may be gone

    @property
    def size_bytes(self) -> int:
        """Bytes of whole frames in the file."""
        return self._end

    @property
    def waiting_bytes(self) -> int:
        """Bytes that are not in the file yet."""
        return sum(len(e.data) for e in self._ring if not e.written)

    def append(self, *frames: Frame, sync: bool = False) -> bool:
        """Add *frames*, behind all that still wait.

        A disk that is full, broken or read-only raises nothing: the frames wait for the next
        call and `trouble` says why. A process forked from the writer's adds nothing.

        Returns
        -------
        bool
            Whether all frames so far are in the file (with *sync*: on the disk).
        """
        if os.getpid() != self._pid or self._fd < 0:
            return False
        with self._turn:
            for frame in frames:
                self._remember(frame)
            try:
                self._heal()
                self._write_waiting()
                if sync:
                    self._sync()
                self.trouble = None
            except (OSError, LedgerError) as exc:
                self.trouble = exc
            self._shrink()
            return self.trouble is None

    def beat(self) -> None:
        """Say that this journal is live although nothing is added."""
        with contextlib.suppress(OSError):
            os.utime(self._fd)

    def move(self, path: Path) -> None:
        """Go on in a new journal at *path*, with all that this one holds, as far as readable.

        Raises
        ------
        LedgerError, OSError
            If that cannot be done; nothing has changed then.
        """
        with self._turn:
            self._replace_file(Path(path))

    def close(self) -> None:
        """Try once more to write what waits, then let go of the file and its lock."""
        if self._fd < 0:
            return
        self.append(sync=True)
        # no LOCK_UN: a forked child that closes must not unlock its parent's journal
        os.close(self._fd)
        self._fd = -1

    # -- memory ------------------------------------------------------------------------------

    def _remember(self, frame: Frame) -> None:
        try:
            data = encode(frame)
        except ValueError:  # larger than a frame may be
            self.lost_frames += 1
            return
        lasting = isinstance(frame, _LASTING)
        if lasting:
            self._lasting.append(data)
        self._ring.append(_Entry(data, lasting))
        self._ring_size_bytes += len(data)

    def _shrink(self) -> None:
        """Keep the memory bounded: forget what is in the file first, then the oldest frames."""
        while self._ring and self._ring[0].written and self._ring_size_bytes > _WRITTEN_BYTES:
            size_bytes = len(self._ring.popleft().data)
            self._ring_size_bytes -= size_bytes
            self._unkept_from += size_bytes
        if self._ring_size_bytes <= self._ring_bytes:
            return
        kept: deque[_Entry] = deque()
        for entry in self._ring:
            too_much = self._ring_size_bytes > self._ring_bytes
            if too_much and not entry.lasting and not entry.written:
                self._ring_size_bytes -= len(entry.data)
                self.lost_frames += 1
            else:
                kept.append(entry)
        self._ring = kept

    def _all_wait(self) -> None:
        """Treat frames of the ring as not in the file."""
        for entry in self._ring:
            entry.written = False

    def _restore_lasting(self) -> None:
        """Frames that give the others their meaning go first in a file that lost them."""
        waiting = {id(e.data) for e in self._ring}
        again = [_Entry(d, lasting=True) for d in self._lasting if id(d) not in waiting]
        self._ring.extendleft(reversed(again))
        self._ring_size_bytes += sum(len(e.data) for e in again)

    # -- file --------------------------------------------------------------------------------

    def _open(self, path: Path, *, lock: bool | None = None) -> int:
        fd, ours = open_or_make(path)
        try:
            refuse_traps(fd, path, ours=ours)
            if self._lock if lock is None else lock:
                lock_file(fd, path)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _cut_torn_tail(self) -> int:
        scan = Scan(self._fd)
        for _ in scan:
            pass
        if scan.torn_tail_bytes:
            self._disk.truncate(self._fd, scan.good_end)
        return scan.good_end

    def _heal(self) -> None:
        """Undo what an earlier call left behind: lost file, torn frame, broken promise."""
        size_bytes = self._present_size_bytes()
        if size_bytes is None:
            self._replace_file(self.path)
        elif self._unsure:
            # the kernel marks pages clean when a sync fails, so only writing them again helps
            fd = self._open(self.path, lock=False)
            os.close(self._fd)
            self._fd = fd
            if self._lock:
                lock_file(fd, self.path)
            self._rewrite_from(min(self._unkept_from, size_bytes))
            self._unsure = False
        elif size_bytes < self._end:  # somebody cut it
            self._rewrite_from(min(self._unkept_from, self._cut_torn_tail()))
            self._restore_lasting()
        elif size_bytes > self._end:  # a torn frame of ours
            self._disk.truncate(self._fd, self._end)

    def _rewrite_from(self, end: int) -> None:
        self._disk.truncate(self._fd, end)
        self._end = self._unkept_from = end
        self._all_wait()

    def _present_size_bytes(self) -> int | None:
        """Size of our file; None if it is no longer what its path names."""
        mine = os.fstat(self._fd)
        if mine.st_nlink == 0:
            return None
        try:
            named = self.path.lstat()
        except FileNotFoundError:
            return None
        same = (named.st_dev, named.st_ino) == (mine.st_dev, mine.st_ino)
        return mine.st_size if same else None

    def _replace_file(self, path: Path) -> None:
        """Open *path* anew and give it what the present file, still open, holds."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = self._open(path)
        try:
            if path != self.path:
                _refuse_content(fd, path)
            self._disk.truncate(fd, 0)  # what lies there is a copy of ours at best
            copied = self._copy_frames(fd)
        except BaseException:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd, self.path = fd, path
        self._unsure = False
        if copied:
            self._unkept_from = min(self._unkept_from, self._end)
        else:
            self._end = self._unkept_from = 0
            self._all_wait()
            self._restore_lasting()

    def _copy_frames(self, fd: int) -> bool:
        """Whether the old file could be read as far as we had written it."""
        at = 0
        try:
            while at < self._end:
                chunk = os.pread(self._fd, min(1 << 18, self._end - at), at)
                if not chunk:
                    break
                at += len(chunk)
                write_all(self._disk, fd, chunk)
        except OSError as exc:
            if exc.errno not in {errno.EIO, errno.ESTALE}:
                raise  # the new place is no better
            at = -1
        if at < self._end:
            self._disk.truncate(fd, 0)
            return False
        return True

    def _write_waiting(self) -> None:
        """Write entries not yet written, in order; on failure the file ends in a whole frame."""
        self._write_groups()
        if self.lost_frames:
            self._report_loss()
            self._write_groups()

    def _write_groups(self) -> None:
        group: list[_Entry] = []
        size_bytes = 0
        for entry in [e for e in self._ring if not e.written]:
            group.append(entry)
            size_bytes += len(entry.data)
            if size_bytes >= _GROUP_BYTES:
                self._write_group(group)
                group, size_bytes = [], 0
        if group:
            self._write_group(group)

    def _write_group(self, group: list[_Entry]) -> None:
        try:
            write_all(self._disk, self._fd, b"".join(e.data for e in group))
        except OSError:
            with contextlib.suppress(OSError):  # else the next call heals it
                self._disk.truncate(self._fd, self._end)
            raise
        for entry in group:
            entry.written = True
            self._end += len(entry.data)

    def _report_loss(self) -> None:
        event = Event(
            t_ns=self._now_ns(),
            kind="frames-lost",
            text=f"{self.lost_frames} frames were lost while the journal could not be written",
            number=float(self.lost_frames),
        )
        data = encode(event)
        self._ring.append(_Entry(data, lasting=True))
        self._ring_size_bytes += len(data)
        self.lost_frames = 0

    def _sync(self) -> None:
        try:
            self._disk.fsync(self._fd)
        except OSError:
            self._unsure = True
            self._all_wait()  # none of them is acknowledged any more
            raise
        self._unkept_from = self._end
        self._ring.clear()
        self._ring_size_bytes = 0
