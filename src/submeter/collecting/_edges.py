# SPDX-License-Identifier: Apache-2.0
"""Both ends of a run are read closely where a counter moves so seldom that it hides them.

A board's counter moves every 100 ms. What it holds at an instant between two moves is known far
better if it is known when it moved, so such sensors are read every few milliseconds until they
have moved once: from the start on, and behind the end.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from submeter.records.devices import Measures, Reading, Sensor
from submeter.units import NS_PER_MS, NS_PER_S, s_to_ns

EDGE_STEP_NS: Final = 2 * NS_PER_MS
SELDOM_NS: Final = 10 * NS_PER_MS  # counters that move oftener need no closer look
LONGEST_NS: Final = NS_PER_S // 4
START_NS: Final = 20 * NS_PER_MS  # until what is metered has begun, once we are ready


def edge_watch_ns(sensors: Sequence[Sensor]) -> int:
    """How long to look closely at an end: until each counter has moved once [ns]."""
    updates_ns = [u for u in map(_update_ns, sensors) if u > SELDOM_NS]
    return min(LONGEST_NS, max(updates_ns) + 2 * EDGE_STEP_NS) if updates_ns else 0


def _update_ns(sensor: Sensor) -> int:
    return max(
        (s_to_ns(c.update_s) for c in sensor.channels if c.measures is Measures.ENERGY), default=0
    )


class EdgeWatch:
    """Says when which sensors are to be read closely.

    Parameters
    ----------
    sensors
        All sensors, in the order in which readings name them.
    """

    def __init__(self, sensors: Sequence[Sensor]) -> None:
        self.length_ns = edge_watch_ns(sensors)
        self.indexes = [i for i, s in enumerate(sensors) if _update_ns(s) > SELDOM_NS]
        self._energy = {
            i: next(n for n, c in enumerate(sensors[i].channels) if c.measures is Measures.ENERGY)
            for i in self.indexes
        }
        self._until_ns = 0
        self._before: dict[int, object] = {}
        self._still: set[int] = set()

    def begin(self, now_ns: int, *, wait_ns: int = 0) -> None:
        """Look closely from now on; what is looked for may begin as late as in *wait_ns*."""
        self._until_ns = now_ns + wait_ns + self.length_ns if self.indexes else 0
        self._before = {}
        self._still = set(self.indexes)

    def active(self, now_ns: int) -> bool:
        """Whether to look closely at *now_ns*."""
        return now_ns < self._until_ns

    def all_moved(self, rows: Iterable[tuple[int, Reading]]) -> bool:
        """Whether each counter has moved since `begin`, by these readings and those before."""
        for index, reading in rows:
            if index in self._still:
                value = reading.values[self._energy[index]]
                if self._before.setdefault(index, value) != value:
                    self._still.discard(index)
        return not self._still
