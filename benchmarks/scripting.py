# SPDX-License-Identifier: Apache-2.0
"""What scripted runs on a fake machine have in common: their clock, and readings as frames."""

from collections.abc import Sequence
from typing import Final

from submeter.records.figures import Missing
from submeter.records.frames import Frame, Ticks, delta_encode, gappy_delta_encode
from submeter.sensors import Discovery
from submeter.units import NS_PER_S, s_to_ns

UP_NS: Final = 1000 * NS_PER_S
UTC_NS: Final = 1_795_000_000 * NS_PER_S
READ_NS: Final = 20_000
START_S: Final = 5.0373  # of no sensor's period a multiple

Columns = list[list[list[int | None]]]  # by sensor and channel


def read(found: Discovery, columns: Columns) -> None:
    """Read each sensor once, onto the end of *columns*."""
    for sensor, rows in zip(found.sensors, columns, strict=True):
        for row, value in zip(rows, sensor.read(), strict=True):
            row.append(None if isinstance(value, Missing) else value)


def flushed(columns: Columns, times: Sequence[float]) -> list[Frame]:
    """Frames of the readings at *times* [s]; *columns* are empty then."""
    coded = delta_encode([at_ns(t) for t in times])
    frames: list[Frame] = []
    for place, rows in enumerate(columns):
        frames.append(Ticks(place, list(coded), READ_NS, [gappy_delta_encode(r) for r in rows]))
        for row in rows:
            row.clear()
    return frames


def at_ns(t_s: float) -> int:
    """Monotonic instant [ns] of *t_s* on a script's clock."""
    return UP_NS + s_to_ns(t_s)
