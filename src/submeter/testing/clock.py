# SPDX-License-Identifier: Apache-2.0
"""A clock that goes on only when it is told to."""

import select
import threading
from collections.abc import Callable, Sequence
from typing import Final

from submeter.units import NS_PER_S, s_to_ns

START_UTC_NS: Final = 1_790_000_000 * NS_PER_S  # 2026-09-21, an ordinary day


class VirtualClock:
    """Monotonic, boot and wall time for tests, moved by hand.

    Waiting is a jump: `wait_until` sets the clock to that instant and returns at once, so an hour
    at 10 Hz passes in seconds. What must keep up with the clock, such as a
    `submeter.testing.FakeMachine`, follows it with `on_move`.

    Parameters
    ----------
    start_ns
        Monotonic time at the start [ns].
    utc_ns
        Wall time at the start [ns since 1970].
    asleep_ns
        Time that the machine has slept before the start [ns]; boot time is ahead by it.
    """

    def __init__(
        self,
        start_ns: int = 1_000 * NS_PER_S,
        *,
        utc_ns: int = START_UTC_NS,
        asleep_ns: int = 0,
    ) -> None:
        self.start_ns = start_ns
        self._now_ns = start_ns
        self._asleep_ns = asleep_ns
        self._utc_ahead_ns = utc_ns - start_ns
        self._drift_ratio = 0.0
        self._lock = threading.RLock()
        self._followers: list[Callable[[int], None]] = []

    def monotonic_ns(self) -> int:
        """Time that never goes back and stands still in suspend [ns]."""
        return self._now_ns

    def boottime_ns(self) -> int:
        """Time since boot, suspend counted [ns]."""
        with self._lock:
            return self._now_ns + self._asleep_ns

    def utc_ns(self) -> int:
        """Wall time [ns since 1970]; steps and drifts as told."""
        with self._lock:
            return self._now_ns + self._utc_ahead_ns

    def wait_until(self, t_ns: int, fds: Sequence[int] = ()) -> list[int]:
        """Jump to the monotonic instant *t_ns* [ns]; nothing happens if it is past.

        Returns
        -------
        list of int
            Those of *fds* that can be read now. If there are any, no time passes.
        """
        if fds and (readable := select.select(fds, (), (), 0)[0]):
            return list(readable)
        self._move_to(t_ns)
        return []

    def _move_to(self, t_ns: int) -> None:
        with self._lock:
            passed_ns = t_ns - self._now_ns
            if passed_ns <= 0:
                return
            self._now_ns = t_ns
            self._utc_ahead_ns += round(passed_ns * self._drift_ratio)
            for follower in self._followers:
                follower(t_ns)

    def advance(self, by_s: float) -> None:
        """Let *by_s* pass [s]."""
        if by_s < 0:
            raise ValueError(f"a monotonic clock does not go back, got {by_s} s")
        self._move_to(self._now_ns + s_to_ns(by_s))

    def suspend(self, for_s: float) -> None:
        """Sleep for *for_s* [s]: boot and wall time go on, monotonic time does not."""
        if for_s < 0:
            raise ValueError(f"a machine cannot sleep for {for_s} s")
        with self._lock:
            self._asleep_ns += s_to_ns(for_s)
            self._utc_ahead_ns += s_to_ns(for_s)

    def step_wall(self, by_s: float) -> None:
        """Set the wall clock forward by *by_s* [s], or back if negative."""
        with self._lock:
            self._utc_ahead_ns += s_to_ns(by_s)

    def drift_wall(self, ratio: float) -> None:
        """From now on let the wall clock run faster by *ratio*; 1e-4 is 100 ppm."""
        with self._lock:
            self._drift_ratio = ratio

    def on_move(self, follower: Callable[[int], None]) -> None:
        """Call *follower* with the new monotonic time [ns] after each move of it."""
        with self._lock:
            self._followers.append(follower)
