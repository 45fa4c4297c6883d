# SPDX-License-Identifier: Apache-2.0
"""Signals and events at set times of a virtual clock."""

from collections.abc import Callable
from typing import Any

from submeter.testing.clock import VirtualClock


class Hours:
    """Signals that come at set times of a clock that goes on only while it is waited."""

    def __init__(self, clock: VirtualClock, events: dict[float, int | Callable[[], None]]) -> None:
        self.clock = clock
        self.events = dict(sorted(events.items()))  # by monotonic seconds since now
        self.began_ns = clock.monotonic_ns()
        self.held = 0

    def hold(self) -> Any:
        self.held += 1
        return self.held

    def let_in(self, mask: Any) -> None:
        assert mask == self.held
        self.held -= 1

    def take(self, most_s: float) -> int:
        assert most_s > 0
        passed_s = (self.clock.monotonic_ns() - self.began_ns) / 1e9
        for at_s, event in self.events.items():
            if at_s <= passed_s + most_s:
                self.clock.advance(max(0.0, at_s - passed_s))
                del self.events[at_s]
                if callable(event):
                    event()
                    return 0
                return event
        self.clock.advance(most_s)
        return 0
