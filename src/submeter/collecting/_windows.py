# SPDX-License-Identifier: Apache-2.0
"""From the phase files of a run's processes to windows of occupancy, one a tick or fewer."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from submeter.records.frames import Frame, Occupancy, Occupied, PathName
from submeter.units import NS_PER_S

FULL_RATIO: Final = 0.98  # a path open so long of a tick was open throughout
_RESCAN_NS: Final = NS_PER_S
_RELIST_NS: Final = 5 * NS_PER_S  # two changes within a tick of the folder's clock look as one
_SETTLED_NS: Final = 10 * NS_PER_S  # most processes join soon

Row = tuple[str, int, int, int]  # path, time, CPU time, entries; since the file was made


class Reader(Protocol):
    """What this needs of `submeter.collecting.phases.PhaseReader`."""

    def read(self, now_ns: int) -> list[Row]:
        """Rows since the file was made."""
        ...


def open_phase_file(path: Path) -> Reader:
    """Open the real reader of *path*."""
    from submeter.collecting.phases import PhaseReader

    return PhaseReader(path)


class PhaseWatch:
    """All phase files of a run.

    Parameters
    ----------
    folder
        The run's folder.
    names, seen
        Paths that the journal has introduced, by process and path, and what it holds of each:
        a restarted collector goes on from there, and so bridges the time it was dead.
    open_reader
        Opens one phase file.
    """

    def __init__(
        self,
        folder: Path,
        *,
        names: dict[tuple[int, str], int] | None = None,
        seen: dict[int, tuple[int, int, int]] | None = None,
        open_reader: Callable[[Path], Reader] = open_phase_file,
    ) -> None:
        self.new_pids: list[int] = []  # since `take_new_pids`
        self._folder = folder
        self._open_reader = open_reader
        self._names = dict(names or {})
        self._next_index = max(self._names.values(), default=-1) + 1
        self._seen = dict(seen or {})
        self._readers: dict[int, Reader] = {}
        self._done: set[int] = set()
        self._folder_ns = -1
        self._scanned_ns = 0
        self._listed_ns = 0
        self._first_ns = 0
        self._last_ns: int | None = None  # end of the last window written or held
        self._held: Occupancy | None = None  # may still grow

    def look(self, now_ns: int) -> list[Frame]:
        """Frames of the window that ends now; none while it may grow."""
        self._scan(now_ns)
        if not self._readers and self._held is not None and not self._held.rows:
            self._last_ns = now_ns
            self._held = Occupancy(now_ns, [])
            return []
        frames: list[Frame] = []
        rows: list[Occupied] = []
        for pid, reader in self._readers.items():
            try:
                found = reader.read(now_ns)
            except (OSError, ValueError):  # cut or overwritten under us
                self._done.add(pid)
                continue
            self._difference(pid, found, frames, rows)
        for pid in self._done & self._readers.keys():
            del self._readers[pid]
        frames += self._window(now_ns, rows)
        return frames

    def flush(self) -> list[Frame]:
        """Close a window that was held to grow; one in which nothing happened is held on."""
        held = self._held
        if held is None or not held.rows:
            return []
        self._held = None
        return [held]

    def finish(self) -> list[Frame]:
        """Close the last window."""
        held, self._held = self._held, None
        return [] if held is None else [held]

    def take_new_pids(self) -> list[int]:
        """Return the processes whose files were found since the last call."""
        pids, self.new_pids = self.new_pids, []
        return pids

    def leave(self, pid: int) -> None:
        """Read no further a dead process's file: what was open in it has ended."""
        self._done.add(pid)
        self._readers.pop(pid, None)

    def _scan(self, now_ns: int) -> None:
        """Find new files; the folder's own time tells when, but only to a clock tick."""
        self._first_ns = self._first_ns or now_ns
        if now_ns - self._first_ns > _SETTLED_NS and now_ns - self._scanned_ns < _RESCAN_NS:
            return  # who joins late is found within a second
        try:
            folder_ns = self._folder.stat().st_mtime_ns
            if folder_ns == self._folder_ns and now_ns - self._listed_ns < _RELIST_NS:
                self._scanned_ns = now_ns
                return
            names = os.listdir(self._folder)  # noqa: PTH208 - no object per file, ten times a second
        except OSError:
            return
        self._folder_ns = folder_ns
        self._scanned_ns = self._listed_ns = now_ns
        for name in names:
            kind, _, number = name.partition(".")
            if kind != "phases" or not number.isdecimal():
                continue
            pid = int(number)
            if pid in self._readers or pid in self._done:
                continue
            try:
                self._readers[pid] = self._open_reader(self._folder / name)
            except (OSError, ValueError):  # not finished yet, or no such file: the next scan
                self._folder_ns = -1
                continue
            self.new_pids.append(pid)

    def _difference(
        self, pid: int, found: list[Row], frames: list[Frame], rows: list[Occupied]
    ) -> None:
        for path, *sums in found:
            index = self._names.get((pid, path))
            if index is None:
                index = self._names[pid, path] = self._next_index
                self._next_index += 1
                frames.append(PathName(index, pid, path))
            before = self._seen.get(index, (0, 0, 0))
            # a torn read may step back; what was counted stays counted
            after = tuple(max(a, b) for a, b in zip(sums, before, strict=True))
            if after != before:
                wall_ns, cpu_ns, count = (a - b for a, b in zip(after, before, strict=True))
                rows.append(Occupied(index, wall_ns, cpu_ns, count))
                self._seen[index] = (after[0], after[1], after[2])

    def _window(self, now_ns: int, rows: list[Occupied]) -> list[Frame]:
        """Add this tick to the held window if it is more of the same, else begin another."""
        length_ns = now_ns - (self._last_ns if self._last_ns is not None else now_ns)
        self._last_ns = now_ns
        held, frames = self._held, list[Frame]()
        if held is not None:
            if [r.path for r in held.rows] == [r.path for r in rows] and _full(rows, length_ns):
                merged = [
                    Occupied(a.path, a.wall_ns + b.wall_ns, a.cpu_ns + b.cpu_ns, a.count)
                    for a, b in zip(held.rows, rows, strict=True)
                ]
                self._held = Occupancy(now_ns, merged)
                return frames
            frames.append(held)
        window = Occupancy(now_ns, rows)
        if _full(rows, length_ns):
            self._held = window
        else:
            self._held = None
            frames.append(window)
        return frames


def _full(rows: list[Occupied], length_ns: int) -> bool:
    """Whether each of *rows* was open throughout, and none was entered."""
    return all(r.wall_ns >= FULL_RATIO * length_ns and r.count == 0 for r in rows)
