# SPDX-License-Identifier: Apache-2.0
"""Writes the journal in a thread, so that a slow disk does not delay a tick."""

import contextlib
import errno
import threading
from _queue import Empty, SimpleQueue
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from submeter.collecting.clock import Clock
from submeter.errors import LedgerError
from submeter.records.frames import Event, Frame
from submeter.storing.journal import JournalWriter
from submeter.units import ns_to_s, s_to_ns

MOST_BATCHES: Final = 600  # ten minutes before a disk that answers nothing at all
LOOK_S: Final = 1.5  # a batch waits no longer, should whoever wakes the thread hang
MOVE_AFTER_S: Final = 2.0
MOVED: Final = "journal.moved"  # what is left where a journal was
_NO_WAY: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR})
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class JournalThread:
    """Hands frames to a `JournalWriter` and tells what became of them.

    Parameters
    ----------
    writer
        The journal; nobody else touches it from now on.
    clock
        Where the time of events comes from.
    elsewhere
        Gives another path for the journal when this one cannot be written any more; None if
        there is none.
    """

    def __init__(
        self,
        writer: JournalWriter,
        clock: Clock,
        *,
        elsewhere: Callable[[], Path | None] = lambda: None,
    ) -> None:
        self.writer = writer
        self._clock = clock
        self._elsewhere = elsewhere
        self._batches: deque[tuple[Frame, ...]] = deque()
        self._wakes: SimpleQueue[bool] = SimpleQueue()  # False: the last one
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._lost = 0
        self._trouble_ns: int | None = None
        self._done = threading.Event()
        self._thread: threading.Thread | None = threading.Thread(
            target=self._work, name="submeter-journal", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError:  # no thread to be had
            self._thread = None

    @property
    def size_bytes(self) -> int:
        """Size of the journal."""
        return self.writer.size_bytes

    @property
    def path(self) -> Path:
        """Where the journal is by now."""
        return self.writer.path

    def put(self, frames: Sequence[Frame], *, wake: bool = True) -> None:
        """Have *frames* written and synced soon, or else at the next `wake`."""
        if self._thread is None:
            self._write(tuple(frames))
        elif len(self._batches) < MOST_BATCHES:
            self._batches.append(tuple(frames))
            if wake:
                self.wake()
        else:
            self._lost += len(frames)

    def wake(self) -> None:
        """Have what was put written now; also from another thread."""
        self._wakes.put(True)

    def take_events(self) -> list[Event]:
        """Return what happened to the journal since the last call."""
        events: list[Event] = []
        while not self._events.empty():
            events.append(self._events.get())
        if self._lost and len(self._batches) < MOST_BATCHES:
            events.append(self._event("frames-lost", "the disk did not answer", self._lost))
            self._lost = 0
        return events

    def close(self, timeout_s: float) -> bool:
        """Write what is left and let go of the journal; False if the disk does not answer."""
        if self._thread is None:
            self._end()
            return True
        self._wakes.put(False)
        return self._done.wait(timeout_s)

    def _work(self) -> None:
        going = True
        while going:
            with contextlib.suppress(Empty):
                going = self._wakes.get(timeout=LOOK_S)
            while self._batches:
                self._write(self._batches.popleft())
        self._end()
        self._done.set()

    def _end(self) -> None:
        """Write what is left: nobody comes back to it, so that now is the last time to move."""
        if not self.writer.append(sync=True) and self._cannot_stay():
            self._move()
        self.writer.close()

    def _write(self, batch: tuple[Frame, ...]) -> None:
        try:
            kept = self.writer.append(*batch, sync=True)
        except MemoryError:
            self._lost += len(batch)
            return
        if kept:
            self._trouble_ns = None
            return
        now_ns = self._clock.monotonic_ns()
        if self._trouble_ns is None:
            self._trouble_ns = now_ns
            self._events.put(self._event("note", f"the journal waits: {self.writer.trouble}"))
        code = getattr(self.writer.trouble, "errno", None)
        lasts = now_ns - self._trouble_ns > s_to_ns(MOVE_AFTER_S)
        if code == errno.EROFS or (lasts and self._cannot_stay()):
            self._move()

    def _cannot_stay(self) -> bool:
        code = getattr(self.writer.trouble, "errno", None)
        return code in _NO_WAY or code in _FULL or code is None

    def _move(self) -> None:
        path, left = self._elsewhere(), self.writer.path
        if path is None or path == left:
            return
        try:
            self.writer.move(path)
        except (OSError, LedgerError):
            return  # tried again with the next batch
        with contextlib.suppress(OSError):  # else it would be settled a second time, in part
            left.rename(left.with_name(MOVED))
        waited_s = ns_to_s(self._clock.monotonic_ns() - (self._trouble_ns or 0))
        self._events.put(self._event("journal-moved", str(path), waited_s))
        self.writer.append(sync=True)

    def _event(self, kind: str, text: str, number: float | None = None) -> Event:
        return Event(t_ns=self._clock.monotonic_ns(), kind=kind, text=text, number=number)
