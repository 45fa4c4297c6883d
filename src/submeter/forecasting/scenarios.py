# SPDX-License-Identifier: Apache-2.0
"""Jobs that back-tests replay: those of the published benchmark, of every night, and given ones.

``semi_weekly`` and ``next_workday`` are the second scenario, ``nightly`` is the first one of
Wiesner et al. 2021, *Let's Wait Awhile* (Middleware 2021, doi:10.1145/3464298.3493399): 3387
trainings of 4 to 90 h that are asked for in working hours, and a short job at 1:00 each night.
Their clock is that of the data, which is UTC.
"""

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from submeter.errors import InfeasibleError, UsageError
from submeter.forecasting.series import DAY_S, HOUR_S, Floats, Ints, Series

TRAININGS: Final = 3387  # a year, of one research project
_LENGTHS_MIN: Final = range(4 * 60, 90 * 60, 30)
_ASKED_MIN: Final = range(9 * 60, 17 * 60, 30)  # of a workday
_DAY_MIN: Final = 24 * 60
_NINE_H, _FIVE_H = 9, 17
_SATURDAY, _SUNDAY, _THURSDAY = 5, 6, 3
NIGHT_WINDOWS_H: Final = (2, 4, 8)
_SEED: Final = 0
_JOB_COLUMNS: Final = ("earliest_utc", "duration_h", "deadline_utc")


@dataclass(frozen=True, eq=False)
class Jobs:
    """Jobs in slots of a series, each array of shape (n,).

    Attributes
    ----------
    earliest
        First slot that each may run in.
    slots
        How many it takes.
    deadline
        Slot before whose begin it has ended.
    at_once
        First slot of it without any waiting.
    """

    earliest: Ints
    slots: Ints
    deadline: Ints
    at_once: Ints

    def __len__(self) -> int:
        return len(self.slots)

    def taken(self, which: np.ndarray) -> "Jobs":
        """Those that *which* names, by number or truth."""
        return Jobs(
            self.earliest[which], self.slots[which], self.deadline[which], self.at_once[which]
        )

    def within(self, series: Series) -> "Jobs":
        """Those that lie wholly in *series*, behind its first slot, by their earliest start."""
        fits = (self.earliest >= 1) & (self.deadline <= len(series.values))
        order = np.argsort(self.earliest[fits], kind="stable")
        return self.taken(np.flatnonzero(fits)[order])


def semi_weekly(series: Series, seed: int = _SEED) -> Jobs:
    """Trainings whose results are looked at on Mondays and Thursdays at 9:00."""
    return _trainings(series, _monday_or_thursday, seed)


def next_workday(series: Series, seed: int = _SEED) -> Jobs:
    """Trainings that may end, if not in working hours, by 9:00 of the next workday."""
    return _trainings(series, _next_workday, seed)


def nightly(series: Series, window_h: float = 8) -> Jobs:
    """A short job at 1:00 each day, that may be moved by *window_h* in both directions."""
    per_hour = round(HOUR_S / series.step_s)
    begins = series.start_utc_s + series.step_s * np.arange(len(series.values))
    ones = np.flatnonzero(np.abs(begins % DAY_S - HOUR_S) < series.step_s / 2)
    reach = round(window_h * per_hour)
    one = np.ones(len(ones), dtype=np.int64)
    return Jobs(ones - reach, one, ones + reach + 1, ones).within(series)


def given_jobs(path: Path, series: Series) -> Jobs:
    """Jobs of the table *path* with columns ``earliest_utc``, ``duration_h``, ``deadline_utc``.

    Raises
    ------
    UsageError
        If it cannot be read, or no job lies in the series.
    InfeasibleError
        If a job does not fit before its deadline.
    """
    remedy = f"give columns {', '.join(_JOB_COLUMNS)}"
    rows: list[tuple[float, float, float]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            missing = [c for c in _JOB_COLUMNS if c not in (table.fieldnames or ())]
            if missing:
                raise UsageError(f"{path.name} has no column {missing[0]}", remedy=remedy)
            rows.extend(_job(line, path, table.line_num) for line in table)
    except OSError as exc:
        raise UsageError(
            f"{path} cannot be read: {exc.strerror}", remedy="check the path"
        ) from exc
    except (UnicodeDecodeError, csv.Error) as exc:
        raise UsageError(f"{path.name} is no table of text", remedy=remedy) from exc
    if not rows:
        raise UsageError(f"{path.name} holds no job", remedy=remedy)
    earliest_s, length_s, deadline_s = np.array(rows).T
    step_s = series.step_s
    earliest = np.ceil((earliest_s - series.start_utc_s) / step_s - 1e-9).astype(np.int64)
    slots = np.maximum(np.ceil(length_s / step_s - 1e-9), 1).astype(np.int64)
    deadline = np.floor((deadline_s - series.start_utc_s) / step_s + 1e-9).astype(np.int64)
    late = np.flatnonzero(earliest + slots > deadline)
    if len(late):
        raise InfeasibleError(
            f"{path.name}: job {late[0] + 1} takes {length_s[late[0]] / HOUR_S:g} h, which does "
            "not fit between its earliest start and its deadline in whole slots",
            remedy="give a later deadline",
        )
    jobs = Jobs(earliest, slots, deadline, earliest).within(series)
    if not len(jobs):
        raise UsageError(
            f"no job of {path.name} lies within the series", remedy="give jobs of its time"
        )
    return jobs


def _job(line: dict[str, str], path: Path, number: int) -> tuple[float, float, float]:
    try:
        earliest, deadline = (
            (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
            for at in (datetime.fromisoformat(line[c].strip()) for c in _JOB_COLUMNS[::2])
        )
        hours = float(line["duration_h"])
    except (ValueError, AttributeError, TypeError) as exc:
        raise UsageError(
            f"{path.name}, line {number}: no job can be read there",
            remedy="write 2026-01-31T09:00Z,8,2026-02-01T18:00Z",
        ) from exc
    if not 0 < hours < math.inf:
        raise UsageError(
            f"{path.name}, line {number}: a job of {hours:g} h", remedy="give hours above 0"
        )
    return earliest, hours * HOUR_S, deadline


def _trainings(series: Series, ending: Callable[[Floats, Ints], Floats], seed: int) -> Jobs:
    """Trainings of each calendar year that the series touches, with the deadlines of *ending*."""
    years = range(
        datetime.fromtimestamp(series.start_utc_s, UTC).year,
        datetime.fromtimestamp(series.end_utc_s - 1, UTC).year + 1,
    )
    step_min = series.step_s / 60
    parts = []
    for year in years:
        asked_min, lengths_min = _asked(year, seed)
        end_min = asked_min + lengths_min
        weekdays = (date(year, 1, 1).weekday() + end_min // _DAY_MIN) % 7
        deadline_min = ending(end_min.astype(np.float64), weekdays)
        begin_s = datetime(year, 1, 1, tzinfo=UTC).timestamp() - series.start_utc_s
        begin = begin_s / series.step_s
        earliest = np.ceil(begin + asked_min / step_min).astype(np.int64)
        slots = np.maximum(lengths_min // step_min, 1).astype(np.int64)
        deadline = np.floor(begin + deadline_min / step_min).astype(np.int64)
        deadline = np.maximum(deadline, earliest + slots)
        parts.append((earliest, slots, deadline))
    earliest, slots, deadline = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Jobs(earliest, slots, deadline, earliest).within(series)


def _asked(year: int, seed: int) -> tuple[Ints, Ints]:
    """Minute of the year at which each training is asked for, and its length [min].

    Trainings fall evenly on workdays and on half hours from 9:00 to 16:30. Draws come in the
    order of the published benchmark, so that the same seed gives the same jobs.
    """
    rng = np.random.default_rng(seed)
    first = date(year, 1, 1)
    days = (date(year + 1, 1, 1) - first).days
    workdays = [d for d in range(days) if (first + timedelta(d)).weekday() < _SATURDAY]
    counts = rng.multinomial(TRAININGS, [1 / len(workdays)] * len(workdays))
    asked = [
        day * _DAY_MIN + np.sort(rng.choice(np.array(_ASKED_MIN), size=count))
        for day, count in zip(workdays, counts.tolist(), strict=True)
    ]
    lengths = rng.choice(np.array(_LENGTHS_MIN), size=TRAININGS)
    return np.concatenate(asked).astype(np.int64), lengths.astype(np.int64)


def _clock_h(end_min: Floats) -> tuple[Floats, Floats]:
    """Midnight before each end [min], and its hour of the day [h]."""
    midnight = end_min // _DAY_MIN * _DAY_MIN
    return midnight, (end_min - midnight) / 60


def _monday_or_thursday(end_min: Floats, weekdays: Ints) -> Floats:
    midnight, hour = _clock_h(end_min)
    late = hour > _NINE_H
    # Days to Thursday from Monday 9:00 to Thursday 9:00, else to Monday.
    to_thursday = np.where(weekdays == 0, late, weekdays < _THURSDAY)
    to_thursday |= (weekdays == _THURSDAY) & ~late
    days = np.where(to_thursday, (_THURSDAY - weekdays) % 7, (-weekdays) % 7)
    return np.asarray(midnight + days * _DAY_MIN + _NINE_H * 60)


def _next_workday(end_min: Floats, weekdays: Ints) -> Floats:
    midnight, hour = _clock_h(end_min)
    nine = midnight + _NINE_H * 60
    evening = (weekdays == _SUNDAY) | (hour > _FIVE_H)
    return np.select(
        [weekdays == _SATURDAY, evening, hour < _NINE_H],
        [nine + 2 * _DAY_MIN, nine + _DAY_MIN, nine],
        default=end_min,
    )
