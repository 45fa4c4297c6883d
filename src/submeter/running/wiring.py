# SPDX-License-Identifier: Apache-2.0
"""A device's channels, from the readings of its frames to a course in slots."""

import math
from collections.abc import Callable, Sequence
from typing import Final

from submeter.records.devices import Channel, Device, Measures
from submeter.records.observations import DeviceCourse
from submeter.records.observations import Series as Course
from submeter.running.grains import Counted, Flags, Grid, Level
from submeter.running.meetings import Picture
from submeter.units import NS_PER_S, ns_to_s

# Bits of the driver (nvml.h, nvmlClocksEventReason*): software power cap; thermal, by software
# and by hardware; power brake.
CAUSES: Final = {"power": 0x4, "thermal": 0x60, "brake": 0x80}
ENERGIES: Final = (Measures.ENERGY, Measures.POWER, Measures.MEAN_POWER)
TIMES: Final = frozenset({Measures.BUSY_TIME, Measures.RUN_TIME})
_LEVELS: Final = frozenset({
    Measures.POWER, Measures.MEAN_POWER, Measures.UTILISATION, Measures.CLOCK,
    Measures.TEMPERATURE, Measures.CAP,
})  # fmt: skip


Sink = Callable[[int, int, list[int | None], int], None]


class Wire:
    """Where the readings of a device go."""

    def __init__(self, grid: Grid, device: Device) -> None:
        self.device = device
        self._grid = grid
        self.counted: dict[Measures, Counted] = {}
        self.levels: dict[Measures, Level] = {}
        self.flags: Flags | None = None

    def add(self, channel: Channel) -> None:
        """Follow a channel too."""
        if channel.measures in {Measures.ENERGY, *TIMES}:
            ceiling = self.device.peak_w if channel.measures is Measures.ENERGY else None
            self.counted.setdefault(channel.measures, Counted(self._grid, channel, ceiling))
        elif channel.measures in _LEVELS:
            self.levels.setdefault(channel.measures, Level(self._grid, channel))
        elif channel.measures is Measures.THROTTLE and self.flags is None:
            self.flags = Flags(self._grid, CAUSES)

    def take(
        self,
        measures: Measures,
        times: Sequence[int],
        values: Sequence[int | None],
        gap_ns: int,
    ) -> None:
        """Take the readings of one channel in one frame."""
        if measures in self.counted:
            self.counted[measures].take(times, values, gap_ns)
        elif measures in self.levels:
            self.levels[measures].take(times, values, gap_ns)
        elif measures is Measures.THROTTLE and self.flags is not None:
            self.flags.take(times, values)

    def sink(self, channel: Channel) -> Sink | None:
        """What takes the coded readings of a channel of a long run; None if nobody does."""
        found: Counted | Level | Flags | None = self.counted.get(channel.measures)
        found = found or self.levels.get(channel.measures)
        if found is None and channel.measures is Measures.THROTTLE:
            found = self.flags
        return None if found is None else found.take_coded

    def joules(self) -> tuple[list[float], list[float]]:
        """Energy [J] and seconds that it covers, of each grain; by the best that tells."""
        grid = self._grid
        energy, seconds = [0.0] * grid.n, [0.0] * grid.n
        counter = self.counted.get(Measures.ENERGY)
        levels = [self.levels[m].held() for m in ENERGIES if m in self.levels]
        for place in range(grid.n):
            if counter is not None and counter.covered_ns[place] > 0:
                energy[place] = counter.amount[place]
                seconds[place] = ns_to_s(int(counter.covered_ns[place]))
                continue
            for level in levels:
                mean_w = level[place]
                if mean_w is not None:
                    seconds[place] = grid.length_s(place)
                    energy[place] = mean_w * seconds[place]
                    break
        return energy, seconds


def course_of(wire: Wire, picture: Picture, slots: Grid, factor: int) -> DeviceCourse:
    """A device in slots of *factor* grains."""
    energy, seconds = folded(picture.energy_j, factor), folded(picture.seconds, factor)
    mean = [energy[i] / seconds[i] if seconds[i] > 0 else None for i in range(slots.n)]
    power = next((wire.levels[m] for m in ENERGIES if m in wire.levels), None)
    counter = wire.counted.get(Measures.ENERGY)
    highs, lows = [list[float](), list[float]()], [list[float](), list[float]()]
    if counter is not None:
        highs[0] = [h * NS_PER_S for h in _extreme(counter.high, factor, max)]
        lows[0] = [low * NS_PER_S for low in _extreme(counter.low, factor, min)]
    if power is not None:
        highs[1] = _extreme(power.high, factor, max)
        lows[1] = _extreme(power.low, factor, min)
    device = wire.device
    return DeviceCourse(
        device_id=device.id,
        kind=device.kind,
        name=device.name,
        idle_w=device.idle_w,
        peak_power_w=device.peak_w,
        mean_w=tuple(mean),
        peak_w=_bounded(mean, [row for row in highs if row], max),
        low_w=_bounded(mean, [row for row in lows if row], min),
        utilisation_ratio=_levels(wire.levels.get(Measures.UTILISATION), factor),
        clock_hz=_levels(wire.levels.get(Measures.CLOCK), factor),
        temperature_c=_levels(wire.levels.get(Measures.TEMPERATURE), factor),
        cap_w=_levels(wire.levels.get(Measures.CAP), factor),
        throttled_ratio=_flags(wire.flags, factor),
    )


def folded(row: Sequence[float], factor: int) -> list[float]:
    """Sums of each *factor* entries."""
    if factor == 1:
        return list(row)
    return [math.fsum(row[i : i + factor]) for i in range(0, len(row), factor)]


def _extreme(row: Sequence[float], factor: int, best: Callable[..., float]) -> list[float]:
    return [best(row[i : i + factor]) for i in range(0, len(row), factor)]


def _bounded(
    mean: Sequence[float | None],
    rows: Sequence[Sequence[float]],
    best: Callable[..., float],
) -> Course:
    """Highest (lowest) of the readings of a slot, never on the wrong side of its mean."""
    found: list[float | None] = []
    for i, middle in enumerate(mean):
        if middle is None:
            found.append(None)
            continue
        seen = [row[i] for row in rows if math.isfinite(row[i]) and row[i] >= 0]
        found.append(best([middle, *seen]))
    return tuple(found)


def _levels(level: Level | None, factor: int) -> Course:
    if level is None or not any(level.count):
        return ()
    whole, count = folded(level.whole, factor), folded(level.count, factor)
    return tuple(w / c if c else None for w, c in zip(whole, count, strict=True))


def _flags(flags: Flags | None, factor: int) -> dict[str, Course]:
    if flags is None or not any(flags.count):
        return {}
    count = folded(flags.count, factor)
    return {
        cause: tuple(h / c if c else None for h, c in zip(folded(row, factor), count, strict=True))
        for cause, row in flags.by_cause.items()
    }
