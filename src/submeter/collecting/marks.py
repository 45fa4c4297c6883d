# SPDX-License-Identifier: Apache-2.0
"""What a metered process logs, in a small journal of its own.

Every call is in the file when it returns, so a killed process loses nothing. Yet the file stays
small: of points that follow each other closely only the last one stays, by writing each over
the one before it until enough time has passed to keep one.
"""

import errno
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from submeter.records.frames import Event, Metric, Process
from submeter.storing.descriptors import Held
from submeter.storing.framing import encode
from submeter.units import NS_PER_S

__all__ = ["MarksWriter"]

SHORTEST_GAP_NS: Final = NS_PER_S // 10  # at most ten points a second are kept ...
KEPT_PER_AGE: Final = 5000  # ... and later one for each 1/5000 of the time since the start
USUAL_FRAME_BYTES: Final = 128  # a longer point has to wait longer
MAX_KEY_SETS: Final = 64
MAX_KEYS: Final = 256
MAX_TEXT: Final = 1000  # characters


class MarksWriter:
    """Writes ``marks.<pid>``.

    Parameters
    ----------
    path
        The file, new or this process's own of an earlier run of the same image.
    process
        Who writes; the first frame.
    now_ns
        Monotonic clock.

    Raises
    ------
    OSError
        If the file cannot be made. Later failures are kept in `trouble` and the next call tries
        again.

    Notes
    -----
    A point is kept if none with the same names was kept within ``max(0.1 s, age / 5000)``, times
    its size where that is unusual; the number of points so grows with the logarithm of time:
    5 000 in the first 500 s, 26 000 in the first day. Points between are merged into the last one.
    """

    def __init__(
        self,
        path: Path,
        process: Process,
        *,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        self._path = path
        self._held = Held(os.open(path, flags, 0o600))
        self._open = True
        self.trouble: OSError | None = None
        self._now_ns = now_ns
        self._lock = threading.RLock()
        self._end = os.fstat(self._held.fd).st_size  # behind the last frame that stays
        self._tail = self._end  # behind the last frame
        self._start_ns = process.t_ns
        self._kept_ns: dict[frozenset[str], int] = {}
        self._loose: Metric | None = None  # the point that the next one may take the place of
        self._work: dict[str, float] = {}
        self._bad: set[str] = set()
        self._put(encode(process), keep=True)

    def log(
        self,
        values: Mapping[str, object],
        *,
        step: int | None = None,
        work: Mapping[str, float] | None = None,
    ) -> None:
        """Add a point: metrics by name, the present step, and work done since the last call."""
        t_ns = self._now_ns()
        numbers: dict[str, float] = {}
        words: dict[str, str] = {}
        for name, value in list(values.items())[:MAX_KEYS]:
            if isinstance(value, str):
                words[name] = value[:MAX_TEXT]
            else:
                self._sort(name, value, numbers, words)
        with self._lock:
            for name, amount in (work or {}).items():
                done = _number(amount)
                if done is not None and math.isfinite(done) and done >= 0:
                    self._work[name] = self._work.get(name, 0.0) + done
                else:
                    self._note(name, amount)
            self._add(Metric(t_ns, numbers, step, dict(self._work), words))

    def note(self, text: str) -> None:
        """Add a sentence for the reader of the result."""
        with self._lock:
            self.event(Event(self._now_ns(), "note", text[:MAX_TEXT]))

    def event(self, event: Event) -> None:
        """Add something that happened, such as a pause."""
        with self._lock:
            self._put(encode(event), keep=True)
            if self._loose is not None:  # its place is taken
                self._put(encode(self._loose), keep=False)

    def close(self) -> None:
        """Close the file; all is in it already."""
        with self._lock:
            self._open = False
            self._held.close()

    def forget(self) -> None:
        """In a forked child: let go of the parent's file."""
        self._lock = threading.RLock()  # its holder may not exist here
        self.close()

    def _sort(
        self,
        name: str,
        value: object,
        numbers: dict[str, float],
        words: dict[str, str],
    ) -> None:
        number = _number(value)
        if number is None:
            words[name] = str(value)[:MAX_TEXT]
        elif math.isfinite(number):
            numbers[name] = number
        else:
            self._note(name, value)

    def _note(self, name: str, value: object) -> None:
        """Say once for each name that a value of it was left out."""
        if name in self._bad or len(self._bad) >= MAX_KEYS:
            return
        self._bad.add(name)
        shown = f"{name[:MAX_KEYS]} was {str(value)[:40]}"
        self.note(f"{shown} at least once; such values are left out")

    def _add(self, point: Metric) -> None:
        keys = frozenset((*point.values, *point.text))
        if keys not in self._kept_ns and len(self._kept_ns) >= MAX_KEY_SETS:
            keys = frozenset()
        loose = self._loose
        if loose is not None:
            point = msgspec.structs.replace(
                point,
                values=loose.values | point.values,
                text=loose.text | point.text,
                step=loose.step if point.step is None else point.step,
            )
        raw = encode(point)
        gap_ns = max(SHORTEST_GAP_NS, (point.t_ns - self._start_ns) // KEPT_PER_AGE)
        gap_ns = gap_ns * max(1, len(raw) // USUAL_FRAME_BYTES)
        last_ns = self._kept_ns.get(keys)
        keep = last_ns is None or point.t_ns - last_ns >= gap_ns
        if keep:
            self._kept_ns[keys] = point.t_ns
        self._loose = None if keep else point
        self._put(raw, keep=keep)

    def _put(self, raw: bytes, *, keep: bool) -> None:
        """Write *raw* behind the last frame that stays."""
        if not self._open:
            return
        fd = self._held.fd
        if fd < 0 and self._held.reopen(self._path):  # closed by the program; its own is there now
            fd = self._held.fd
        if fd < 0:
            self.trouble = OSError(errno.EBADF, "the program closed its file")
            return
        try:
            done = os.pwrite(fd, raw, self._end)
            while done < len(raw):
                done += os.pwrite(fd, raw[done:], self._end + done)
            if self._end + len(raw) < self._tail:
                os.ftruncate(fd, self._end + len(raw))
        except OSError as exc:
            self.trouble = exc
            return
        self._tail = self._end + len(raw)
        self.trouble = None
        if keep:
            self._end = self._tail


def _number(value: object) -> float | None:
    """*value* as a number, if it is one or holds exactly one."""
    if isinstance(value, (bool, int, float)):
        return _float(value)
    item = getattr(value, "item", None)
    if callable(item):
        try:
            held = item()
        except Exception:  # noqa: BLE001  # a tensor of many numbers; the type is not ours
            return None
        return _float(held) if isinstance(held, (bool, int, float)) else None
    return _float(value) if hasattr(type(value), "__float__") else None


def _float(value: object) -> float | None:
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        return None
