# SPDX-License-Identifier: Apache-2.0
"""Which phases were open while a device drew, and when it did nothing."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from submeter.records.devices import Device
from submeter.records.frames import Occupancy
from submeter.records.observations import (
    MOST_INTERVALS,
    OUTSIDE,
    Interval,
    Meeting,
    PhaseCourse,
    Stretch,
)
from submeter.running.grains import Grid
from submeter.units import NS_PER_S

IDLE_UTILISATION_RATIO: Final = 0.05  # of a board; a driver's own housekeeping shows as 1 to 3 %
IDLE_CORES: Final = 0.05  # processors that the run keeps busy: an interpreter that only waits
IDLE_POWER_RATIO: Final = 1.15  # of the power at rest
MOST_REST_RATIO: Final = 0.3  # of the ceiling: no board is known that rests above it
REST_UNDER_WORK_RATIO: Final = 0.5  # rest that no utilisation shows lies well below work
_LOW_PART: Final = 0.05  # of the grains, that the lowest power is taken from
_MOSTLY: Final = 0.5
_SHORTEST_S: Final = 1.0
_SHORTEST_GRAINS: Final = 2
_MOST_STRETCHES: Final = 256

Mix = list[tuple[str, float]]  # paths and their parts of a grain, which sum to one


class Picture(msgspec.Struct, frozen=True):
    """A device by the grain.

    Attributes
    ----------
    energy_j, seconds
        What it drew, and how long that is known for.
    busy
        Utilisation, where it tells one; read every five seconds, and held between.
    cores
        Processors that the run kept busy, for processors and memory.
    idle_below_w
        Power at which it does nothing (`idle_below`), for boards.
    pids
        Processes that hold it; empty: any may.
    """

    device: Device
    energy_j: Sequence[float]
    seconds: Sequence[float]
    busy: Sequence[float | None] | None = None
    cores: Sequence[float | None] | None = None
    idle_below_w: float | None = None
    pids: frozenset[int] = frozenset()

    def idle(self, place: int) -> bool:
        """Whether it did nothing in a grain."""
        if self.cores is not None:
            used = self.cores[place]
            return used is not None and used <= IDLE_CORES
        if self.idle_below_w is None or self.seconds[place] <= 0:
            return False
        return self.energy_j[place] / self.seconds[place] <= self.idle_below_w


def idle_below(
    device: Device, power_w: Sequence[float], busy: Sequence[float | None] | None
) -> float | None:
    """Power at or below which a board does nothing [W]; None if it cannot be told.

    Parameters
    ----------
    device
        Its idle power counts where it is known.
    power_w
        Of each grain in which it was read.
    busy
        Utilisation of the same grains.

    Notes
    -----
    A driver's utilisation is read every five seconds and says little of a wait of a tenth of
    one; power does. Rest is the lowest power that was seen, if the utilisation was ever that of a
    board at rest, or if that power lies well below both the board's ceiling and what it draws at
    work.
    """
    if device.idle_w is not None:
        return IDLE_POWER_RATIO * device.idle_w
    ordered = sorted(power_w)
    if not ordered:
        return None
    rest_w = ordered[int(_LOW_PART * (len(ordered) - 1))]
    if device.peak_w is not None and rest_w > MOST_REST_RATIO * device.peak_w:
        return None
    known = [] if busy is None else [b for b in busy if b is not None]
    if any(b <= IDLE_UTILISATION_RATIO for b in known):
        return IDLE_POWER_RATIO * rest_w
    mean_w = math.fsum(ordered) / len(ordered)
    under = device.peak_w is not None and rest_w <= REST_UNDER_WORK_RATIO * mean_w
    return IDLE_POWER_RATIO * rest_w if under else None


class _Rows(msgspec.Struct):
    """Time in a path of one process by grain [s], CPU time [s] and entries."""

    wall: dict[int, float] = {}
    cpu: dict[int, float] = {}
    count: dict[int, float] = {}


class Occupations:
    """How long each path of each process was open, by grain.

    Parameters
    ----------
    grid
        The grains.
    names
        Process and path of each index of the journal; may still grow.
    """

    def __init__(self, grid: Grid, names: dict[int, tuple[int, str]]) -> None:
        self._grid = grid
        self._names = names
        self._rows: dict[int, _Rows] = {}
        self._last_ns = grid.start_ns
        self._thinned = False
        self._mixes: dict[frozenset[int], list[Mix]] = {}

    def take(self, window: Occupancy, weight: int) -> None:
        """Take a window; one that stands for several fills the time since the last one."""
        begin_ns, self._last_ns = self._last_ns, max(self._last_ns, window.t_ns)
        if not window.rows or window.t_ns <= begin_ns:
            return
        self._thinned = self._thinned or weight > 1
        for place, part in self._parts(begin_ns, window.t_ns):
            share = part * weight
            for row in window.rows:
                rows = self._rows.get(row.path)
                if rows is None:
                    rows = self._rows[row.path] = _Rows()
                rows.wall[place] = rows.wall.get(place, 0.0) + row.wall_ns / NS_PER_S * share
                if row.cpu_ns:
                    rows.cpu[place] = rows.cpu.get(place, 0.0) + row.cpu_ns / NS_PER_S * share
                if row.count:
                    rows.count[place] = rows.count.get(place, 0.0) + row.count * share

    def _parts(self, begin_ns: int, end_ns: int) -> list[tuple[int, float]]:
        """Grains that a window lies in, and its part in each."""
        grid = self._grid
        first = max(0, (begin_ns - grid.start_ns) // grid.grain_ns)
        last = min(grid.n - 1, (end_ns - 1 - grid.start_ns) // grid.grain_ns)
        if first >= last:
            return [(last, 1.0)] if last >= 0 else []
        found = []
        for place in range(first, last + 1):
            low = grid.start_ns + place * grid.grain_ns
            inside_ns = min(end_ns, low + grid.grain_ns) - max(begin_ns, low)
            found.append((place, inside_ns / (end_ns - begin_ns)))
        return found

    def scale(self, known: Mapping[str, tuple[float, int]]) -> None:
        """Make thinned windows say what is known of each path: its time [s] and entries."""
        if not self._thinned:
            return
        wall: dict[str, float] = {}
        count: dict[str, float] = {}
        for index, rows in self._rows.items():
            path = self._path(index)
            wall[path] = wall.get(path, 0.0) + math.fsum(rows.wall.values())
            count[path] = count.get(path, 0.0) + math.fsum(rows.count.values())
        for index, rows in self._rows.items():
            path = self._path(index)
            true_s, entries = known.get(path, (0.0, 0))
            longer = true_s / wall[path] if wall[path] > 0 and true_s > 0 else 1.0
            more = entries / count[path] if count[path] > 0 and entries else 1.0
            rows.wall = {place: s * longer for place, s in rows.wall.items()}
            rows.cpu = {place: s * longer for place, s in rows.cpu.items()}
            rows.count = {place: n * more for place, n in rows.count.items()}

    def _path(self, index: int) -> str:
        return self._names.get(index, (0, OUTSIDE))[1]

    def courses(
        self, slots: Grid, factor: int, ranks: Mapping[int, int]
    ) -> tuple[PhaseCourse, ...]:
        """Each path of each process in slots of *factor* grains, the longest first."""
        found = []
        for index, rows in self._rows.items():
            pid, path = self._names.get(index, (0, OUTSIDE))
            if path == OUTSIDE:
                continue
            found.append(
                PhaseCourse(
                    path=path,
                    pid=pid,
                    rank=ranks.get(pid),
                    wall_s=_in_slots(rows.wall, slots.n, factor),
                    cpu_s=_in_slots(rows.cpu, slots.n, factor),
                    count=tuple(round(n) for n in _in_slots(rows.count, slots.n, factor)),
                )
            )
        return tuple(sorted(found, key=lambda course: -course.duration_s))

    def intervals(self, ranks: Mapping[int, int]) -> tuple[Interval, ...]:
        """Stretches in which one path filled most of each grain, by process.

        Where there would be too many, the grains are taken together.
        """
        by_pid: dict[int, list[tuple[str, dict[int, float]]]] = {}
        for index, rows in self._rows.items():
            pid, path = self._names.get(index, (0, OUTSIDE))
            if path != OUTSIDE:
                by_pid.setdefault(pid, []).append((path, rows.wall))
        most = max(64, MOST_INTERVALS // max(1, len(by_pid)))
        found: list[Interval] = []
        for pid, paths in list(by_pid.items())[:MOST_INTERVALS]:
            factor = 1
            while len(spans := self._spans(paths, factor)) > most:
                factor *= 2
            found += [Interval(pid, path, a, b, ranks.get(pid)) for path, a, b in spans]
        return tuple(sorted(found, key=lambda i: (i.pid, i.start_s)))

    def _spans(
        self, paths: Iterable[tuple[str, dict[int, float]]], factor: int
    ) -> list[tuple[str, float, float]]:
        grid = self._grid.by(factor)
        first: dict[int, tuple[float, str]] = {}
        for path, wall in paths:
            row: dict[int, float] = {}
            for place, seconds in wall.items():
                row[place // factor] = row.get(place // factor, 0.0) + seconds
            for place, seconds in row.items():
                mostly = seconds >= _MOSTLY * grid.length_s(place)
                if mostly and seconds > first.get(place, (0.0, ""))[0]:
                    first[place] = (seconds, path)
        spans: list[tuple[str, int, int]] = []
        for place in sorted(first):
            path = first[place][1]
            if spans and spans[-1][0] == path and spans[-1][2] == place:
                spans[-1] = (path, spans[-1][1], place + 1)
            else:
                spans.append((path, place, place + 1))
        return [(path, grid.at_s(a), grid.at_s(b)) for path, a, b in spans]

    def mixes(self, pids: frozenset[int]) -> list[Mix]:
        """What *pids* did in each grain, as parts that sum to one; of all processes if empty."""
        known = self._mixes.get(pids)
        if known is not None:
            return known
        grid = self._grid
        sums: list[dict[str, float]] = [{} for _ in range(grid.n)]
        seen = set()
        for index, rows in self._rows.items():
            pid, path = self._names.get(index, (0, OUTSIDE))
            if pids and pid not in pids:
                continue
            seen.add(pid)
            for place, seconds in rows.wall.items():
                sums[place][path] = sums[place].get(path, 0.0) + seconds
        if pids and not seen:  # who holds it marks no phases: then whoever does
            found = self.mixes(frozenset())
        else:
            found = [_mix(row, grid.length_s(i) * max(1, len(seen))) for i, row in enumerate(sums)]
        self._mixes[pids] = found
        return found

    def stretch(self, picture: Picture, begin: int, end: int) -> list[Stretch]:
        """The grains from *begin* to *end* as a stretch, if they are long enough to be one."""
        grid = self._grid
        start_s, end_s = grid.at_s(begin), grid.at_s(end)
        if end - begin < _SHORTEST_GRAINS or end_s - start_s < _SHORTEST_S:
            return []
        sums: dict[str, float] = {}
        for mix in self.mixes(picture.pids)[begin:end]:
            for path, part in mix:
                sums[path] = sums.get(path, 0.0) + part
        longest = max(sums, key=sums.__getitem__)
        energy_j = math.fsum(picture.energy_j[begin:end])
        return [Stretch(picture.device.id, start_s, end_s, energy_j, longest)]


def _mix(row: dict[str, float], span_s: float) -> Mix:
    whole_s = math.fsum(row.values())
    if whole_s < span_s:
        row[OUTSIDE] = row.get(OUTSIDE, 0.0) + span_s - whole_s
        whole_s = span_s
    return [(path, s / whole_s) for path, s in row.items()] if whole_s > 0 else [(OUTSIDE, 1.0)]


def _in_slots(row: Mapping[int, float], n: int, factor: int) -> tuple[float, ...]:
    found = [0.0] * n
    for place, amount in row.items():
        found[place // factor] += amount
    return tuple(found)


class _Sum(msgspec.Struct):
    seconds: float = 0.0
    energy_j: float = 0.0
    idle_s: float = 0.0
    idle_j: float = 0.0
    busy: float = 0.0  # utilisation times seconds
    busy_s: float = 0.0


def meetings_of(pictures: Iterable[Picture], occupied: Occupations) -> tuple[Meeting, ...]:
    """Each device while each path was open."""
    found = []
    for picture in pictures:
        sums: dict[str, _Sum] = {}
        mixes = occupied.mixes(picture.pids)
        for place, seconds in enumerate(picture.seconds):
            if seconds <= 0:
                continue
            idle = picture.idle(place)
            energy_j = picture.energy_j[place]
            busy = None if picture.busy is None else picture.busy[place]
            for path, part in mixes[place]:
                row = sums.setdefault(path, _Sum())
                row.seconds += part * seconds
                row.energy_j += part * energy_j
                if idle:
                    row.idle_s += part * seconds
                    row.idle_j += part * energy_j
                if busy is not None:
                    row.busy += part * seconds * busy
                    row.busy_s += part * seconds
        found += [
            Meeting(
                picture.device.id, path, row.seconds, row.energy_j, row.idle_s, row.idle_j,
                row.busy / row.busy_s if row.busy_s > 0 else None,
            )
            for path, row in sums.items()
        ]  # fmt: skip
    return tuple(found)


def stretches_of(pictures: Iterable[Picture], occupied: Occupations) -> tuple[Stretch, ...]:
    """Stretches in which a device did nothing; where there are many, those that cost most."""
    found: list[Stretch] = []
    for picture in pictures:
        begin: int | None = None
        n = len(picture.seconds)
        for place in range(n + 1):
            idle = place < n and picture.seconds[place] > 0 and picture.idle(place)
            if idle and begin is None:
                begin = place
            elif not idle and begin is not None:
                found += occupied.stretch(picture, begin, place)
                begin = None
    found.sort(key=lambda s: -s.energy_j)
    return tuple(sorted(found[:_MOST_STRETCHES], key=lambda s: (s.device_id, s.start_s)))
