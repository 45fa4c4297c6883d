# SPDX-License-Identifier: Apache-2.0
"""Energy of one device over time, from whichever channel tells it best.

A curve is fed with readings and asked for the energy between the instant of the last question
and now (`EnergyCurve.take`). Three kinds: counters, polled power, and mean power of a model.
"""

from collections import Counter, deque
from typing import Final, Protocol

import msgspec

from submeter.metering.counter import CounterTrack, Stretch
from submeter.records.devices import Channel, Measures
from submeter.units import NS_PER_S, ns_to_s, s_to_ns

HOLE_AFTER_S: Final = 2.5  # polled readings further apart than this leave a hole


class Piece(msgspec.Struct):
    """Energy between two instants, at even power; ``low_j``/``high_j`` are its hard bounds."""

    start_ns: int
    end_ns: int
    energy_j: float
    low_j: float
    high_j: float
    known: bool = True


class Taken(msgspec.Struct):
    """What `EnergyCurve.take` gives: energy, the interpolated part of it, and holes [s]."""

    energy_j: float = 0.0
    low_j: float = 0.0
    high_j: float = 0.0
    interpolated_j: float = 0.0
    hole_s: float = 0.0
    hole_low_j: float = 0.0
    hole_high_j: float = 0.0
    covered_s: float = 0.0

    def plus(self, other: "Taken") -> "Taken":
        """Both together."""
        rows = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return Taken(*(a + b for a, b in rows))

    def scaled(self, ratio: float) -> "Taken":
        """A part of it."""
        return Taken(*(a * ratio for a in msgspec.structs.astuple(self)))

    def without_holes(self) -> "Taken":
        """Only what was known."""
        return Taken(
            energy_j=self.energy_j - self.interpolated_j,
            low_j=self.low_j - self.hole_low_j,
            high_j=self.high_j - self.hole_high_j,
            covered_s=self.covered_s - self.hole_s,
        )


class EnergyCurve(Protocol):
    """Energy of a device as a function of time."""

    channel: Channel
    flags: Counter[str]

    def feed(self, t_ns: int, half_ns: int, raw: int | None) -> None: ...

    def break_here(self) -> None:
        """The collector was restarted: what is polled or modelled has a hole here."""

    def covers_ns(self) -> int | None:
        """Instant up to which the energy is settled."""

    def close(self) -> None: ...

    def take(self, until_ns: int) -> Taken: ...

    def edge_doubt_j(self, at_ns: int) -> tuple[float, float]:
        """How much more (first) or less (second) than ``take`` was drawn before *at_ns* [J]."""


class _Pieces:
    """Queue of pieces, holes filled by interpolation as soon as both sides are known."""

    def __init__(self) -> None:
        self._queue: deque[Piece] = deque()
        self._holes: list[Piece] = []
        self.power_w: float | None = None  # of the last known piece
        self.end_ns: int | None = None

    def add(self, piece: Piece) -> None:
        if piece.known:
            length_ns = piece.end_ns - piece.start_ns
            power_w = piece.energy_j * NS_PER_S / length_ns if length_ns > 0 else None
            if self._holes:
                self._fill(power_w)
            if power_w is not None:
                # a smoothed mean over the last second or so: one tick alone is too noisy
                self.power_w = (
                    power_w if self.power_w is None else 0.8 * self.power_w + 0.2 * power_w
                )
            self._queue.append(piece)
            self.end_ns = piece.end_ns
        else:
            self._holes.append(piece)

    def _fill(self, after_w: float | None) -> None:
        sides = [w for w in (self.power_w, after_w) if w is not None]
        mean_w = sum(sides) / len(sides) if sides else 0.0
        for hole in self._holes:
            guess_j = mean_w * ns_to_s(hole.end_ns - hole.start_ns)
            hole.energy_j = min(max(guess_j, hole.low_j), hole.high_j)
            if hole.high_j == float("inf"):  # no ceiling known: as much again
                hole.high_j = 2 * hole.energy_j
            self._queue.append(hole)
            self.end_ns = hole.end_ns
        self._holes.clear()

    def close(self) -> None:
        self._fill(None)

    def take(self, until_ns: int) -> Taken:
        out = Taken()
        queue = self._queue
        while queue and queue[0].start_ns < until_ns:
            piece = queue[0]
            if piece.end_ns <= until_ns:
                queue.popleft()
                part = 1.0
            else:
                part = (until_ns - piece.start_ns) / (piece.end_ns - piece.start_ns)
            energy_j = piece.energy_j * part
            out.energy_j += energy_j
            out.low_j += piece.low_j * part
            out.high_j += piece.high_j * part
            out.covered_s += ns_to_s(piece.end_ns - piece.start_ns) * part
            if not piece.known:
                out.interpolated_j += energy_j
                out.hole_low_j += piece.low_j * part
                out.hole_high_j += piece.high_j * part
                out.hole_s += ns_to_s(piece.end_ns - piece.start_ns) * part
            if part < 1.0:
                piece.start_ns = until_ns
                piece.energy_j -= energy_j
                piece.low_j *= 1 - part
                piece.high_j *= 1 - part
                break
        return out


class CounterCurve:
    """Curve of an energy counter (or a counter of CPU time, whose joules are then seconds)."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._track = CounterTrack(channel)
        self.flags = self._track.flags
        self._pieces = _Pieces()
        self._recent: deque[Stretch] = deque(maxlen=64)
        self._tail_j = 0.0

    def feed(self, t_ns: int, half_ns: int, raw: int | None) -> None:
        self._extend(self._track.feed(t_ns, half_ns, raw))

    def break_here(self) -> None:
        """Counters bridge a restart by themselves."""

    @property
    def last_reading_ns(self) -> int | None:
        """Instant of the last good reading."""
        return self._track.last_good_ns

    def covers_ns(self) -> int | None:
        return self._pieces.end_ns

    def close(self) -> None:
        """Carry the last power on to the last good reading, which the counter had not reached."""
        self._extend(self._track.close())
        self._pieces.close()
        anchor, last_ns = self._track.anchor, self._track.last_good_ns
        power_w = self._pieces.power_w
        if anchor is None or last_ns is None or power_w is None or last_ns <= anchor.t_ns:
            return
        self._tail_j = power_w * ns_to_s(last_ns - anchor.t_ns)
        self._pieces.add(Piece(anchor.t_ns, last_ns, self._tail_j, self._tail_j, self._tail_j))

    def take(self, until_ns: int) -> Taken:
        return self._pieces.take(until_ns)

    def _extend(self, stretches: list[Stretch]) -> None:
        for s in stretches:
            self._recent.append(s)
            end_ns = max(s.end.t_ns, s.start.t_ns + 1)
            self._pieces.add(
                Piece(s.start.t_ns, end_ns, s.energy_j, s.low_j, s.high_j, known=s.known)
            )

    def edge_doubt_j(self, at_ns: int) -> tuple[float, float]:
        """Doubt about the energy drawn before *at_ns*, from when the counter was seen to move.

        Notes
        -----
        Energy never falls and rises at most by the ceiling of power. An anchor seen at the
        latest at ``b`` with total ``E`` and the next one seen at the earliest at ``a`` with
        ``E'`` enclose the truth at ``t`` between ``max(E, E' - peak (b' - t))`` and
        ``min(E', E + peak (t - a))``; the curve's straight line is somewhere between.
        """
        before = after = None
        for s in self._recent:
            if s.start.t_ns <= at_ns:
                before = s
            if s.end.t_ns >= at_ns and after is None:
                after = s
        span = before if before is not None and before.end.t_ns >= at_ns else after
        if span is None or not span.known:
            return self._beyond_j(at_ns)
        start, end = span.start, span.end
        if at_ns < start.t_ns:
            return self._beyond_j(at_ns)
        part = (at_ns - start.t_ns) / max(1, end.t_ns - start.t_ns)
        line_j = span.energy_j * part
        peak_w = self.channel.peak_w
        slack_early_ns = max(0, start.late_ns - at_ns)
        slack_late_ns = max(0, at_ns - end.early_ns)
        low_j, high_j = 0.0, span.energy_j
        if peak_w is not None:
            low_j = max(low_j, span.energy_j - peak_w * ns_to_s(max(0, end.late_ns - at_ns)))
            high_j = min(high_j, peak_w * ns_to_s(max(0, at_ns - start.early_ns)))
            low_j -= peak_w * ns_to_s(slack_early_ns)
            high_j += peak_w * ns_to_s(slack_late_ns)
        return max(0.0, high_j - line_j), max(0.0, line_j - low_j)

    def _beyond_j(self, at_ns: int) -> tuple[float, float]:
        """Outside all readings: nothing is taken there, up to the ceiling may have been drawn."""
        peak_w = self.channel.peak_w
        if peak_w is None or not self._recent:
            return 0.0, 0.0
        first, last = self._recent[0].start, self._recent[-1].end
        if at_ns > last.t_ns:
            ceiling_j = peak_w * ns_to_s(at_ns - last.early_ns)
            return max(0.0, ceiling_j - self._tail_j), self._tail_j
        return 0.0, peak_w * ns_to_s(first.late_ns - at_ns)


class PolledCurve:
    """Curve of power that is read now and then: trapezoids between readings.

    Notes
    -----
    A reading at ``t`` is the mean over the window before the device's last refresh; it stands
    for ``t - (update_s + window_s) / 2``. If power moves one way between two readings, the
    trapezoid is off by at most half the step times their distance; the refresh adds half its
    period. Where the averaging sees only ``duty`` of the time, the unseen part of the step is
    doubtful too.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.flags: Counter[str] = Counter()
        self._pieces = _Pieces()
        self._lag_ns = s_to_ns((channel.update_s + channel.window_s) / 2)
        self._last: tuple[int, float] | None = None
        self._broken = False
        self._recent: deque[tuple[int, float]] = deque(maxlen=256)
        self.unseen_j = 0.0

    def feed(self, t_ns: int, half_ns: int, raw: int | None) -> None:  # noqa: ARG002
        if raw is None or raw < 0:
            self.flags["missing" if raw is None else "sentinel"] += 1
            return
        power_w = raw * self.channel.scale
        peak_w = self.channel.peak_w
        if peak_w is not None and power_w > peak_w:
            self.flags["absurd"] += 1
            return
        at_ns = t_ns - self._lag_ns
        if self._last is not None and at_ns <= self._last[0]:
            self.flags["out_of_order"] += 1
            return
        if self._last is not None:
            self._join(at_ns, power_w)
        self._last = (at_ns, power_w)
        self._recent.append(self._last)
        self._broken = False

    def _join(self, at_ns: int, power_w: float) -> None:
        assert self._last is not None  # noqa: S101
        start_ns, before_w = self._last
        length_s = ns_to_s(at_ns - start_ns)
        energy_j = (before_w + power_w) / 2 * length_s
        if self._broken or length_s > HOLE_AFTER_S:
            self.flags["hole"] += 1
            high_j = energy_j if self.channel.peak_w is None else self.channel.peak_w * length_s
            self._pieces.add(Piece(start_ns, at_ns, 0.0, 0.0, high_j, known=False))
            return
        step_w = abs(power_w - before_w)
        doubt_j = step_w / 2 * (length_s + self.channel.update_s)
        self.unseen_j += (1 - self.channel.duty) * step_w / 2 * length_s
        low_j, high_j = max(0.0, energy_j - doubt_j), energy_j + doubt_j
        self._pieces.add(Piece(start_ns, at_ns, energy_j, low_j, high_j))

    def break_here(self) -> None:
        self._broken = self._last is not None

    def covers_ns(self) -> int | None:
        return self._pieces.end_ns

    def close(self) -> None:
        """Hold the last power until the instant at which it was read."""
        if self._last is not None and self._lag_ns:
            at_ns, power_w = self._last
            energy_j = power_w * ns_to_s(self._lag_ns)
            peak_w = self.channel.peak_w
            high_j = energy_j if peak_w is None else peak_w * ns_to_s(self._lag_ns)
            end_ns = at_ns + self._lag_ns
            self._pieces.add(Piece(at_ns, end_ns, energy_j, 0.0, high_j))
        self._pieces.close()

    def take(self, until_ns: int) -> Taken:
        return self._pieces.take(until_ns)

    def edge_doubt_j(self, at_ns: int) -> tuple[float, float]:
        """Half the window times the largest step around the edge."""
        reach_ns = s_to_ns(self.channel.window_s + self.channel.update_s)
        near = [w for t, w in self._recent if abs(t - at_ns) <= reach_ns]
        if not near:
            return 0.0, 0.0
        doubt_j = (max(near) - min(near)) * ns_to_s(reach_ns) / 2
        return doubt_j, doubt_j


class MeanPowerCurve:
    """Curve of a model that gives the mean power since its previous reading."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.flags: Counter[str] = Counter()
        self._pieces = _Pieces()
        self._since_ns: int | None = None

    def feed(self, t_ns: int, half_ns: int, raw: int | None) -> None:  # noqa: ARG002
        since_ns = self._since_ns
        if since_ns is not None and t_ns <= since_ns:
            self.flags["out_of_order"] += 1
            return
        if raw is None or raw < 0:
            if since_ns is not None:
                self.flags["missing"] += 1
                self._hole(since_ns, t_ns)
        elif since_ns is not None:
            energy_j = raw * self.channel.scale * ns_to_s(t_ns - since_ns)
            self._pieces.add(Piece(since_ns, t_ns, energy_j, energy_j, energy_j))
        self._since_ns = t_ns

    def _hole(self, start_ns: int, end_ns: int) -> None:
        high_j = (self.channel.peak_w or float("inf")) * ns_to_s(end_ns - start_ns)
        self._pieces.add(Piece(start_ns, end_ns, 0.0, 0.0, high_j, known=False))

    def break_here(self) -> None:
        """The next reading is the first of a new model: it only sets the start."""

    def covers_ns(self) -> int | None:
        return self._pieces.end_ns

    def close(self) -> None:
        self._pieces.close()

    def take(self, until_ns: int) -> Taken:
        return self._pieces.take(until_ns)

    def edge_doubt_j(self, at_ns: int) -> tuple[float, float]:  # noqa: ARG002
        return 0.0, 0.0


def curve_of(channel: Channel) -> EnergyCurve:
    """The curve that turns this channel's readings into energy."""
    if channel.measures is Measures.POWER:
        return PolledCurve(channel)
    if channel.measures is Measures.MEAN_POWER:
        return MeanPowerCurve(channel)
    return CounterCurve(channel)
