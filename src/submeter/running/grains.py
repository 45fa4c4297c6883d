# SPDX-License-Identifier: Apache-2.0
"""Readings over time in equal grains: what grew, how high it stood, how long each phase was open.

A grain is as short as the readings of a short run, and twenty seconds of a day, so that no
length of run costs more than a second to look through.
"""

import math
from array import array
from collections.abc import Sequence

from submeter.records.devices import Channel
from submeter.records.frames import gappy_delta_decode
from submeter.units import NS_PER_S, ns_to_s, s_to_ns

MOST_GRAINS = 4096
FINE_S = 1024.0  # a run up to this is read reading by reading, a longer one by the second
_MOVES = 5  # a counter is taken after so many of its moves, or power would seem to jump
_ABSURD = 1.5  # times the ceiling of a device


class Grid:
    """Equal grains from the start of a run to its end."""

    __slots__ = ("coarse", "end_ns", "grain_ns", "n", "start_ns")

    def __init__(self, start_ns: int, end_ns: int, grain_ns: int, *, coarse: bool = False) -> None:
        self.start_ns, self.end_ns = start_ns, max(end_ns, start_ns + 1)
        self.grain_ns = max(1, grain_ns)
        self.n = max(1, -(-(self.end_ns - start_ns) // self.grain_ns))
        self.coarse = coarse

    @classmethod
    def of(cls, start_ns: int, duration_s: float, interval_s: float) -> "Grid":
        """Grid of a run that was read every *interval_s*."""
        coarse = duration_s > FINE_S
        grain_s = max(interval_s, 1e-3, duration_s / MOST_GRAINS, 1.0 if coarse else 0.0)
        end_ns = start_ns + s_to_ns(duration_s)
        return cls(start_ns, end_ns, s_to_ns(grain_s), coarse=coarse)

    def by(self, factor: int) -> "Grid":
        """The same span in grains *factor* times as long."""
        return Grid(self.start_ns, self.end_ns, self.grain_ns * factor, coarse=self.coarse)

    def zeros(self) -> "array[float]":
        """Nothing, in every grain."""
        return array("d", bytes(8 * self.n))

    def place(self, t_ns: int) -> int:
        """Grain of an instant; -1 if it lies outside the run."""
        if not self.start_ns <= t_ns <= self.end_ns:
            return -1
        return min((t_ns - self.start_ns) // self.grain_ns, self.n - 1)

    def length_s(self, place: int) -> float:
        """Length of a grain; the last may be shorter [s]."""
        begin_ns = self.start_ns + place * self.grain_ns
        return ns_to_s(min(self.grain_ns, self.end_ns - begin_ns))

    def at_s(self, place: int) -> float:
        """Where a grain begins [s], or, for the one behind the last, where the run ends."""
        return ns_to_s(min(place * self.grain_ns, self.end_ns - self.start_ns))

    def spread(self, into: "array[float]", t0_ns: int, t1_ns: int, amount: float) -> None:
        """Add *amount*, even over the time between two instants; what lies outside is left."""
        if t1_ns <= t0_ns:
            return
        start_ns, grain_ns = self.start_ns, self.grain_ns
        first, last = (t0_ns - start_ns) // grain_ns, (t1_ns - 1 - start_ns) // grain_ns
        if first == last and t0_ns >= start_ns and t1_ns <= self.end_ns:
            into[first] += amount
            return
        rate = amount / (t1_ns - t0_ns)
        for place in range(max(first, 0), min(last, self.n - 1) + 1):
            begin_ns = start_ns + place * grain_ns
            low = max(t0_ns, begin_ns)
            high = min(t1_ns, begin_ns + grain_ns, self.end_ns)
            if high > low:
                into[place] += rate * (high - low)


class Counted:
    """What a counter grew by, in grains."""

    def __init__(self, grid: Grid, channel: Channel, peak_w: float | None = None) -> None:
        self._grid, self._channel = grid, channel
        self._ceiling = math.inf if peak_w is None else _ABSURD * peak_w / NS_PER_S
        updates_ns = s_to_ns(_MOVES * channel.update_s)
        self._step_ns = max(updates_ns, grid.grain_ns // 4) if not grid.coarse else updates_ns
        self.amount = grid.zeros()
        self.covered_ns = grid.zeros()
        self.high = array("d", [-1.0]) * grid.n  # mean rates between two readings, per ns
        self.low = array("d", [math.inf]) * grid.n
        self.last: tuple[int, int] | None = None
        self.gaps: list[tuple[int, int]] = []

    def take(self, times: Sequence[int], values: Sequence[int | None], gap_ns: int) -> None:
        """Take the readings of a frame."""
        for t_ns, raw in zip(times, values, strict=True):
            due = self.last is None or t_ns - self.last[0] >= self._step_ns
            if raw is not None and due:
                self._move(t_ns, raw, gap_ns)

    def take_coded(self, t_ns: int, place: int, coded: list[int | None], gap_ns: int) -> None:
        """Take the last reading of a frame, of a long run."""
        del place
        if None not in coded:
            self._move(t_ns, sum(coded), gap_ns)  # type: ignore[arg-type]  # differences
        elif coded[-1] is not None:
            self._move(t_ns, sum(c for c in coded if c is not None), gap_ns)

    def _move(self, t_ns: int, raw: int, gap_ns: int) -> None:
        before, self.last = self.last, (t_ns, raw)
        if before is None:
            return
        length_ns, grown = t_ns - before[0], raw - before[1]
        if grown < 0 and self._channel.modulus:
            grown += self._channel.modulus
        if length_ns <= 0 or grown < 0:
            return
        rate = grown * self._channel.scale / length_ns
        if rate > self._ceiling:
            return
        grid = self._grid
        grid.spread(self.amount, before[0], t_ns, grown * self._channel.scale)
        grid.spread(self.covered_ns, before[0], t_ns, float(length_ns))
        if length_ns > gap_ns:
            self.gaps.append((before[0], t_ns))
        place = grid.place(t_ns)
        if place >= 0:
            self.high[place] = max(self.high[place], rate)
            self.low[place] = min(self.low[place], rate)


class Level:
    """How high something stood, in grains: mean, highest and lowest of its readings."""

    def __init__(self, grid: Grid, channel: Channel) -> None:
        self._grid, self._scale = grid, channel.scale
        self.whole = grid.zeros()
        self.count = grid.zeros()
        self.high = array("d", [-math.inf]) * grid.n
        self.low = array("d", [math.inf]) * grid.n
        self.last_ns: int | None = None
        self.gaps: list[tuple[int, int]] = []

    def take(self, times: Sequence[int], values: Sequence[int | None], gap_ns: int) -> None:
        """Take the readings of a frame."""
        known = [(t, v) for t, v in zip(times, values, strict=True) if v is not None]
        if not known:
            return
        if self.last_ns is not None and known[0][0] - self.last_ns > gap_ns:
            self.gaps.append((self.last_ns, known[0][0]))
        self.last_ns = known[-1][0]
        for t_ns, raw in known:
            self._put(self._grid.place(t_ns), raw)

    def take_coded(self, t_ns: int, place: int, coded: list[int | None], gap_ns: int) -> None:
        """Take the readings of a frame, of a long run: they count at its end."""
        if len(coded) > 1:
            for raw in gappy_delta_decode(coded):
                if raw is not None:
                    self._put(place, raw)
        elif coded and coded[0] is not None:
            self._put(place, coded[0])
        if self.last_ns is not None and t_ns - self.last_ns > gap_ns:
            self.gaps.append((self.last_ns, t_ns))
        self.last_ns = t_ns

    def _put(self, place: int, raw: int) -> None:
        if place < 0:
            return
        value = raw * self._scale
        self.whole[place] += value
        self.count[place] += 1.0
        if value > self.high[place]:  # noqa: PLR1730  # half a million times
            self.high[place] = value
        if value < self.low[place]:  # noqa: PLR1730
            self.low[place] = value

    def mean(self, place: int) -> float | None:
        """Mean of the readings in a grain, None if there was none."""
        count = self.count[place]
        return self.whole[place] / count if count else None

    def held(self) -> list[float | None]:
        """Means of all grains; between two readings the earlier holds, unless a gap lies there."""
        grid, last = self._grid, None
        found = [self.mean(place) for place in range(grid.n)]
        end = -1 if self.last_ns is None else grid.place(min(self.last_ns, grid.end_ns))
        empty = {
            place
            for begin_ns, end_ns in self.gaps
            for place in range(
                max(0, (begin_ns - grid.start_ns) // grid.grain_ns + 1),
                min(grid.n, (end_ns - grid.start_ns) // grid.grain_ns),
            )
        }
        for place, mean in enumerate(found[: end + 1]):
            if mean is None and place not in empty:
                found[place] = last
            last = found[place]
        return found


class Flags:
    """Why a board held its clocks back, in grains: part of its readings by cause."""

    def __init__(self, grid: Grid, causes: dict[str, int]) -> None:
        self._grid, self._causes = grid, causes
        self.count = grid.zeros()
        self.by_cause: dict[str, array[float]] = {}

    def take(self, times: Sequence[int], values: Sequence[int | None]) -> None:
        """Take the readings of a frame."""
        for t_ns, bits in zip(times, values, strict=True):
            if bits is not None:
                self._put(self._grid.place(t_ns), bits)

    def take_coded(self, t_ns: int, place: int, coded: list[int | None], gap_ns: int) -> None:
        """Take the readings of a frame, of a long run: they count at its end."""
        del t_ns, gap_ns
        for bits in gappy_delta_decode(coded):
            if bits is not None:
                self._put(place, bits)

    def _put(self, place: int, bits: int) -> None:
        if place < 0:
            return
        self.count[place] += 1
        if not bits:
            return
        for cause, mask in self._causes.items():
            if bits & mask:
                self.by_cause.setdefault(cause, self._grid.zeros())[place] += 1
