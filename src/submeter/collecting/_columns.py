# SPDX-License-Identifier: Apache-2.0
"""Readings of one sensor, gathered until they make a frame."""

from submeter.records.devices import Reading
from submeter.records.figures import Missing
from submeter.records.frames import Ticks, delta_encode, gappy_delta_encode


class Column:
    """Readings of one sensor since the last flush."""

    __slots__ = ("half_ns", "t_ns", "values")

    def __init__(self, channels: int) -> None:
        self.t_ns: list[int] = []
        self.half_ns = 0
        self.values: list[list[int | None]] = [[] for _ in range(channels)]

    def add(self, reading: Reading) -> None:
        """Add one reading."""
        self.t_ns.append(reading.t_ns)
        self.half_ns = max(self.half_ns, reading.half_ns)
        for series, value in zip(self.values, reading.values, strict=True):
            series.append(None if isinstance(value, Missing) else value)

    def take(self, place: int) -> Ticks | None:
        """Frame of these readings, which are forgotten; None if there are none."""
        if not self.t_ns:
            return None
        ticks = Ticks(
            sensor=place,
            t_ns=delta_encode(self.t_ns),
            half_ns=self.half_ns,
            values=[gappy_delta_encode(series) for series in self.values],
        )
        self.t_ns = []
        self.half_ns = 0
        self.values = [[] for _ in self.values]
        return ticks
