# SPDX-License-Identifier: Apache-2.0
"""Slots by the clock on the wall: which weekday one lies in, and which one was a day before it."""

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from submeter.errors import UsageError
from submeter.forecasting.series import DAY_S, HOUR_S, Floats, Ints

_THURSDAY: Final = 3  # the weekday of 1 January 1970, Monday being 0
SATURDAY: Final = 5
_QUARTER_S: Final = 900  # offsets of all zones change at such instants


class WallClock:
    """Offsets and weekdays of numbered slots, slot 0 beginning at *start_utc_s*.

    The hour that is skipped in spring has no equal on the day before, nor the doubled one of
    autumn a single one: the nearest slot stands in.
    """

    def __init__(self, start_utc_s: float, step_s: float, timezone: str) -> None:
        self.start_utc_s, self.step_s, self.timezone = start_utc_s, step_s, timezone
        self._day = round(DAY_S / step_s)
        try:
            self._zone = ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
            raise UsageError(
                f"“{timezone}” is no time zone", remedy="give one like Europe/Berlin, or UTC"
            ) from exc
        self._first = -10 * self._day
        self._offsets: Floats = np.empty(0)
        self.weekdays: Ints = np.empty(0, dtype=np.int64)

    def reach(self, slots: int) -> None:
        """Know all slots before *slots*."""
        if self._first + len(self._offsets) >= slots:
            return
        until = slots + 40 * self._day
        begins = self.start_utc_s + self.step_s * np.arange(self._first, until)
        quarters = np.floor(begins / _QUARTER_S).astype(np.int64)
        hours, place = np.unique(quarters // 4, return_inverse=True)
        edges = [self._offset_s(hour * HOUR_S) for hour in hours]
        known = np.array(edges)
        self._offsets = known[place]
        odd = np.flatnonzero(np.diff(known) != 0)  # a change within an hour, where that happens
        for at in odd:
            for slot in np.flatnonzero(place == at):
                self._offsets[slot] = self._offset_s(float(begins[slot]))
        self.weekdays = (
            np.floor((begins + self._offsets) / DAY_S).astype(np.int64) + _THURSDAY
        ) % 7

    def weekday(self, slots: Ints) -> Ints:
        """Weekdays of *slots*, Monday 0 to Sunday 6."""
        return self.weekdays[slots - self._first]

    def earlier(self, slots: Ints, days: Ints | int) -> Ints:
        """Slots that showed the same time of day *days* before *slots*."""
        plain = slots - days * self._day
        there = np.maximum(plain, self._first)
        shift = self._offsets[slots - self._first] - self._offsets[there - self._first]
        return np.asarray(plain + np.rint(shift / self.step_s).astype(np.int64))

    def _offset_s(self, utc_s: float) -> float:
        offset = datetime.fromtimestamp(utc_s, self._zone).utcoffset()
        return offset.total_seconds() if offset else 0.0
