# SPDX-License-Identifier: Apache-2.0
"""What the past of a series says of a slot ahead: levels, profiles of the day and of the week.

Every feature of a slot *u* that is forecast at the begin of slot *t* is made of slots before *t*
alone. Profiles are chains: the value of a slot is mixed with what its forerunner at the same time
of day held, so that the profile as it was known at any instant can be looked up later on.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from submeter.forecasting.series import HOUR_S, Floats, Ints, Series
from submeter.forecasting.wallclock import SATURDAY, WallClock

# Share that a new reading has in its profile: of the last days, weeks, a month, days of its kind.
_FAST, _MIDDLE, _SLOW, _WEEKLY, _WORKDAY, _WEEKEND = 0.4, 0.2, 0.06, 0.2, 0.15, 0.25
_FADING: Final = 0.98  # of a deviation, from slot to slot of a gap
_FLAT_RATIO: Final = 0.03  # least spread of a series over its level
FEATURES: Final = (
    "last", "3 h", "12 h", "24 h", "72 h", "7 d", "28 d",
    "same hour", "same hour, 3 h", "same hours, fast", "same hours", "24 h before same hour",
    "last week", "weeks", "24 h before last week", "an hour before last",
    "deviation of last", "deviation of 3 h",
    "Saturday", "Sunday", "Monday", "made on Saturday", "made on Sunday", "made on Monday",
    "spread",
    "days of its kind", "residual of last", "residual of 3 h", "residual of 12 h",
    "residual of 24 h", "residual of 72 h", "residual of 7 d", "residual of its kind",
    "residual of 24 h before its kind",
)  # fmt: skip
COUNT: Final = len(FEATURES)
_MEANS_H: Final = {"3": 3, "12": 12, "24": 24, "72": 72, "7d": 168, "28d": 672}


class Past:
    """Readings up to now, and their levels and profiles as they were known at each instant.

    Parameters
    ----------
    series
        Whose slots and clock these are; its values are taken in by `extend`.
    """

    def __init__(self, series: Series) -> None:
        self.per_hour = round(HOUR_S / series.step_s)
        self.day, self.week = 24 * self.per_hour, 168 * self.per_hour
        self.clock = WallClock(series.start_utc_s, series.step_s, series.timezone)
        self.count = 0
        self.known = np.empty(0, dtype=bool)
        self._one: dict[str, Floats] = {}
        for name in ("x", "fast", "middle", "slow", "weekly", "kind", "residual", "spread"):
            self._one[name] = np.empty(0)
        self._sums: dict[str, Floats] = {name: np.zeros(1) for name in ("x", "xx", "residual")}
        self._means: dict[str, Floats] = {}
        self._seen: dict[str, Floats] = {name: np.empty(0) for name in _CHAINS}
        self._kin = np.empty(0, dtype=np.int64)

    @property
    def values(self) -> Floats:
        """Readings so far, gaps filled from what was known before each, shape (count,)."""
        return self._one["x"][: self.count]

    def extend(self, values: Floats) -> None:
        """Take in the readings of the slots that follow; gaps (nan) are bridged."""
        if not len(values):
            return
        first, last = self.count, self.count + len(values)
        self._make_room(last)
        self.known[first:last] = np.isfinite(values)
        self._walk(first, values)
        self.count = last
        self._level(first, last)

    def _make_room(self, slots: int) -> None:
        self.clock.reach(slots + 2 * self.week)
        if len(self.known) >= slots:
            return
        room = max(slots + 7 * self.day, len(self.known) * 3 // 2)
        self.known = _grown(self.known, room)
        for group in (self._one, self._seen):
            for name, array in group.items():
                group[name] = _grown(array, room)
        for name, array in self._sums.items():
            self._sums[name] = _grown(array, room + 1)
        reach = room + 2 * self.week
        self.clock.reach(reach)
        self._kin = self._forerunners(np.arange(reach, dtype=np.int64))

    def _forerunners(self, slots: Ints) -> Ints:
        """Latest slot of the same time on a day of the same kind: workday, Saturday, Sunday."""
        weekday = self.clock.weekday(slots)
        days = np.where(weekday >= SATURDAY, 7, np.where(weekday == 0, 3, 1))
        return self.clock.earlier(slots, days)

    def _walk(self, first: int, values: Floats) -> None:
        """Fill gaps and lengthen the chains, slot by slot."""
        slots = np.arange(first, first + len(values), dtype=np.int64)
        forerunners = {
            "day": self.clock.earlier(slots, 1).tolist(),
            "week": self.clock.earlier(slots, 7).tolist(),
            "kind": self._kin[slots].tolist(),
        }
        weekends = (self.clock.weekday(slots) >= SATURDAY).tolist()
        x, residual = self._one["x"], self._one["residual"]
        for place, value in enumerate(values.tolist()):
            at = first + place
            kin = forerunners["kind"][place]
            day = forerunners["day"][place]
            usual = self._usual(at, kin, day)
            is_known = bool(self.known[at])
            if not is_known:
                value = usual + _FADING * (residual[at - 1] if at else 0.0)  # noqa: PLW2901
            x[at] = value
            residual[at] = value - usual
            for name, (weight, before) in _CHAINS.items():
                share = _WEEKEND if name == "kind" and weekends[place] else weight
                self._lengthen(name, at, forerunners[before][place], share, is_known)

    def _usual(self, at: int, kin: int, day: int) -> float:
        """What a slot holds by the profile known before it."""
        if kin >= 0:
            return float(self._one["kind"][kin])
        if day >= 0:
            return float(self._one["slow"][day])
        return float(self._mean_to("x", at - 1, 28 * self.day)) if at else 0.0

    def _lengthen(self, name: str, at: int, before: int, share: float, is_known: bool) -> None:  # noqa: FBT001
        chain, seen = self._one[name], self._seen[name]
        value = self._one["x"][at]
        if before < 0 or before >= at:
            chain[at], seen[at] = value, 1.0
        elif is_known:
            seen[at] = 1 + (1 - share) * seen[before]
            chain[at] = chain[before] + (value - chain[before]) / seen[at]
        else:
            chain[at], seen[at] = chain[before], seen[before]
        if name == _LAST_CHAIN:
            sums = self._sums["x"]
            sums[at + 1] = sums[at] + value

    def _mean_to(self, name: str, last: int, slots: int) -> float:
        first = max(0, last + 1 - slots)
        sums = self._sums[name]
        return float((sums[last + 1] - sums[first]) / (last + 1 - first))

    def _level(self, first: int, last: int) -> None:
        """Lengthen sums and spreads over slots *first* to *last*."""
        x = self._one["x"][first:last]
        squares, residuals = self._sums["xx"], self._sums["residual"]
        squares[first + 1 : last + 1] = squares[first] + np.cumsum(x * x)
        residuals[first + 1 : last + 1] = residuals[first] + np.cumsum(
            self._one["residual"][first:last]
        )
        slots = np.arange(first, last, dtype=np.int64)
        mean = self.mean_before("x", slots, 672)
        variance = self.mean_before("xx", slots, 672) - mean**2
        floor = _FLAT_RATIO * np.abs(mean) + 1e-6
        self._one["spread"][first:last] = np.maximum(np.sqrt(np.maximum(variance, 1e-9)), floor)

    def mean_before(self, name: str, slots: Ints, hours: int) -> Floats:
        """Mean over the *hours* that end with each of *slots*."""
        sums = self._sums[name]
        first = np.maximum(0, slots + 1 - hours * self.per_hour)
        return np.asarray((sums[slots + 1] - sums[first]) / (slots + 1 - first))

    def spread(self, made: Ints) -> Floats:
        """Standard deviation over the 28 days before each of *made*, in the unit of the series."""
        return self._one["spread"][made - 1]

    def look(self, made: Ints, ahead: Ints) -> tuple[Floats, Floats, Floats]:
        """Features of slots *ahead*, each as known at the begin of its slot in *made*.

        Parameters
        ----------
        made, ahead
            Slot numbers, shape (n,), ``1 <= made <= ahead``.

        Returns
        -------
        Features, shape (n, COUNT); the base that they and forecasts are differences from, and the
        spread of the series at *made*, shape (n,), all in the unit of the series.
        """
        self._make_room(int(ahead.max()) - self.week)
        one, last = self._one, made - 1
        day = self._latest(made, ahead, self.day, 1)
        week = self._latest(made, ahead, self.week, 7)
        kin = self._kin[ahead]
        while (late := kin >= made).any():
            kin = np.where(late, self._kin[np.maximum(kin, 0)], kin)
        has_day, has_week, has_kin = day >= 0, week >= 0, kin >= 0
        day, week, kin = (np.maximum(q, 0) for q in (day, week, kin))
        level = self.mean_before("x", last, 672)
        base = np.where(has_day, one["slow"][day], level)
        spread = one["spread"][last]
        yesterday = self.clock.earlier(last, 1)
        usual = np.where(yesterday >= 0, one["slow"][np.maximum(yesterday, 0)], level)
        means = {h: self.mean_before("x", last, h) for h in (3, 12, 24, 72, 168)}
        off = {h: self.mean_before("residual", last, h) for h in (3, 12, 24, 72, 168)}
        weekday, weekday_made = self.clock.weekday(ahead), self.clock.weekday(last)
        x = one["x"]
        columns = (
            x[last] - base, *(mean - base for mean in means.values()), level - base,
            has_day * (x[day] - base), has_day * (self.mean_before("x", day, 3) - base),
            has_day * (one["fast"][day] - base), has_day * (one["middle"][day] - base),
            has_day * (self.mean_before("x", day, 24) - base),
            has_week * (x[week] - base), has_week * (one["weekly"][week] - base),
            has_week * (self.mean_before("x", week, 24) - base),
            x[np.maximum(last - self.per_hour, 0)] - base,
            x[last] - usual, means[3] - usual,
            *(spread * (weekday == w) for w in (5, 6, 0)),
            *(spread * (weekday_made == w) for w in (5, 6, 0)), spread,
            has_kin * (one["kind"][kin] - base), one["residual"][last], *off.values(),
            has_kin * one["residual"][kin],
            has_kin * self.mean_before("residual", kin, 24),
        )  # fmt: skip
        return np.stack(columns, axis=-1), base, spread

    def _latest(self, made: Ints, ahead: Ints, cycle: int, days: int) -> Ints:
        """Latest slot before *made* that is whole cycles before *ahead* by the clock."""
        found = self.clock.earlier(ahead, days * ((ahead - made) // cycle + 1))
        return np.where(found >= made, found - self.day, found)


# Profiles: share of a new reading, and the slot before that it is mixed with.
_CHAINS: Final = {
    "fast": (_FAST, "day"), "middle": (_MIDDLE, "day"), "slow": (_SLOW, "day"),
    "weekly": (_WEEKLY, "week"), "kind": (_WORKDAY, "kind"),
}  # fmt: skip
_LAST_CHAIN: Final = "kind"


def _grown(array: NDArray[Any], room: int) -> NDArray[Any]:
    made = np.zeros(room, dtype=array.dtype)
    made[: len(array)] = array
    return made
