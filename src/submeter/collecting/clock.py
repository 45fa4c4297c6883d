# SPDX-License-Identifier: Apache-2.0
"""Time as the collector sees it: a clock that can be swapped, and what is wrong with a real one.

Lengths come from the monotonic clock only. The wall clock gives one anchor, and is compared with
the boot clock from then on: a difference between monotonic and boot clock is sleep, one between
boot and wall clock is a step (by hand, by NTP, a leap second). Slewing changes all of them alike
and is no event.
"""

import select
import time
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from submeter.records.frames import Event
from submeter.units import NS_PER_MS, NS_PER_S, ns_to_s

STEP_NS: Final = NS_PER_S // 2  # smaller steps of the wall clock do not matter to anybody
SUSPEND_NS: Final = NS_PER_S // 5  # boot and monotonic clock otherwise agree to microseconds
_READ_NS: Final = 20 * NS_PER_MS  # clocks read within this belong together
_LONGEST_MS: Final = 1 << 30  # poll() takes no more
_BOOTTIME: Final = getattr(time, "CLOCK_BOOTTIME", None)


class Clock(Protocol):
    """Three clocks and a way to wait that other things may cut short."""

    def monotonic_ns(self) -> int:
        """Nanoseconds that never step and stand still while the machine sleeps."""
        ...

    def utc_ns(self) -> int:
        """Nanoseconds since 1970, as far as the machine knows."""
        ...

    def boottime_ns(self) -> int:
        """Like `monotonic_ns`, sleep included."""
        ...

    def wait_until(self, t_ns: int, fds: Sequence[int] = ()) -> list[int]:
        """Wait for the monotonic instant *t_ns* or until one of *fds* can be read.

        Returns
        -------
        list of int
            Descriptors that can be read (or were hung up); empty when the time has come.
        """
        ...


class SystemClock:
    """The clocks of this machine."""

    def monotonic_ns(self) -> int:
        """Nanoseconds of CLOCK_MONOTONIC."""
        return time.monotonic_ns()

    def utc_ns(self) -> int:
        """Nanoseconds of CLOCK_REALTIME."""
        return time.time_ns()

    def boottime_ns(self) -> int:
        """Nanoseconds of CLOCK_BOOTTIME; elsewhere than on Linux the monotonic clock."""
        return time.monotonic_ns() if _BOOTTIME is None else time.clock_gettime_ns(_BOOTTIME)

    def wait_until(self, t_ns: int, fds: Sequence[int] = ()) -> list[int]:
        """Wait for *t_ns*, or up to a millisecond longer, or for one of *fds*."""
        poll = select.poll()
        for fd in fds:
            poll.register(fd, select.POLLIN)
        while True:
            # rounded up: one waking, a little late, costs less than two
            left_ms = -((time.monotonic_ns() - t_ns) // NS_PER_MS)
            ready = poll.poll(max(0, min(left_ms, _LONGEST_MS)))
            if ready:
                return [fd for fd, _ in ready]
            if time.monotonic_ns() >= t_ns:
                return []


class Stamp(msgspec.Struct, frozen=True, gc=False):
    """The three clocks at one instant."""

    monotonic_ns: int
    utc_ns: int
    boottime_ns: int


def stamp(clock: Clock) -> Stamp | None:
    """Read the three clocks together; None if this process was held up between them."""
    for _ in range(3):
        before_ns = clock.monotonic_ns()
        utc_ns, boottime_ns = clock.utc_ns(), clock.boottime_ns()
        after_ns = clock.monotonic_ns()
        if after_ns - before_ns < _READ_NS:
            return Stamp((before_ns + after_ns) // 2, utc_ns, boottime_ns)
    return None


def suspended_ns(before: Stamp, after: Stamp) -> int:
    """How long the machine slept between two stamps [ns]; 0 if it did not."""
    slept_ns = (after.boottime_ns - after.monotonic_ns) - (
        before.boottime_ns - before.monotonic_ns
    )
    return slept_ns if slept_ns >= SUSPEND_NS else 0


def stepped_ns(before: Stamp, after: Stamp) -> int:
    """By how much the wall clock was set between two stamps [ns], negative if back; 0 if not."""
    step_ns = (after.utc_ns - after.boottime_ns) - (before.utc_ns - before.boottime_ns)
    return step_ns if abs(step_ns) > STEP_NS else 0


def clock_events(anchor: Stamp, before: Stamp, after: Stamp) -> list[Event]:
    """Say what happened to the clocks between *before* and *after*.

    Parameters
    ----------
    anchor
        Clocks when the head of the journal was written.
    before, after
        Two stamps, in this order. *before* is the last one at which an event was reported (or
        the anchor), so that a slow drift of the wall clock is noticed too.

    Returns
    -------
    list of Event
        ``suspended``: ``number`` is the time asleep [ns]. ``clock-stepped``: ``number`` is the
        offset [ns] that turns a monotonic instant of the time of *anchor* into UTC by the new
        clock; an instant after a suspend is later by the time asleep.
    """
    events: list[Event] = []
    if slept_ns := suspended_ns(before, after):
        text = f"the machine slept for {ns_to_s(slept_ns):.1f} s"
        events.append(
            Event(t_ns=after.monotonic_ns, kind="suspended", text=text, number=float(slept_ns))
        )
    if step_ns := stepped_ns(before, after):
        asleep_ns = (after.boottime_ns - after.monotonic_ns) - (
            anchor.boottime_ns - anchor.monotonic_ns
        )
        offset_ns = after.utc_ns - after.monotonic_ns - asleep_ns
        text = f"the wall clock was set by {ns_to_s(step_ns):+.3f} s"
        events.append(
            Event(
                t_ns=after.monotonic_ns, kind="clock-stepped", text=text, number=float(offset_ns)
            )
        )
    return events


class ClockWatch:
    """Compares the clocks at every tick with those of the last event."""

    def __init__(self, clock: Clock, anchor: Stamp) -> None:
        self._clock = clock
        self._anchor = anchor
        self._before = anchor

    def check(self) -> list[Event]:
        """Events since the last call."""
        after = stamp(self._clock)
        if after is None:
            return []
        events = clock_events(self._anchor, self._before, after)
        if events:
            self._before = after
        return events
