# SPDX-License-Identifier: Apache-2.0
"""Made-up signals with the habits of grids: days, weeks, and weather that lasts."""

from datetime import UTC, datetime

import numpy as np

from submeter.forecasting.series import Floats, Series

MONDAY_UTC_S = datetime(2023, 1, 2, tzinfo=UTC).timestamp()


def grid(
    days: int = 60,
    *,
    step_s: float = 3600.0,
    seed: int = 0,
    timezone: str = "UTC",
    start_utc_s: float = MONDAY_UTC_S,
    weather: float = 40.0,
) -> Series:
    """A mean of 300, a swing over the day, cleaner weekends, and weather with a memory of 30 h."""
    per_day = round(86400 / step_s)
    slots = np.arange(days * per_day)
    hour = slots / per_day * 24 % 24
    weekday = slots // per_day % 7
    keep = np.exp(-step_s / 3600 / 30)
    noise = np.random.default_rng(seed).normal(0, weather * np.sqrt(1 - keep**2), len(slots))
    drift = np.zeros(len(slots))
    for slot in range(1, len(slots)):
        drift[slot] = keep * drift[slot - 1] + noise[slot]
    values = 300 + 50 * np.cos(2 * np.pi * (hour - 19) / 24) - 40 * (weekday >= 5) + drift
    return Series(start_utc_s, step_s, np.maximum(values, 5.0), zone="XX", timezone=timezone)


def with_gaps(series: Series, first: int, count: int) -> Series:
    """The same with *count* readings missing from slot *first* on."""
    values: Floats = series.values.copy()
    values[first : first + count] = np.nan
    return series.with_values(values)
