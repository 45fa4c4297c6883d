# SPDX-License-Identifier: Apache-2.0
"""Forecasts: from the past alone, the same one by one as in bulk, better than habit."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.errors import CoverageError, SubmeterError, UsageError
from submeter.forecasting.forecaster import Forecaster
from submeter.forecasting.regression import anchors, pool, weights
from submeter.forecasting.series import Series
from submeter.records.traces import Trace
from tests.forecasting.signals import MONDAY_UTC_S, grid, with_gaps

SIXTY = grid(60)
H = 3600.0


def _bulk(series: Series, first: int, last: int, leads: int = 48) -> np.ndarray:
    return np.concatenate(list(Forecaster().days(series, first, last, leads)))


@settings(max_examples=4, deadline=None)
@given(st.integers(15 * 24, 20 * 24), st.integers(0, 10_000))
def test_what_comes_later_changes_no_forecast(made: int, seed: int) -> None:
    other = SIXTY.values.copy()
    other[made:] = np.random.default_rng(seed).uniform(5, 900, len(other) - made)
    one = _bulk(SIXTY, made - 30, made + 1)
    two = _bulk(SIXTY.with_values(other), made - 30, made + 1)
    np.testing.assert_array_equal(one[-1], two[-1])


@pytest.mark.parametrize("timezone", ["UTC", "Europe/Berlin", "Australia/Lord_Howe"])
def test_one_by_one_is_as_in_bulk(timezone: str) -> None:
    series = grid(100, timezone=timezone)  # holds the night of 26 March, and one of 2 April
    first, last = 80 * 24 + 7, 92 * 24
    bulk = _bulk(series, first, last)
    forecaster = Forecaster().fit(series.with_values(series.values[:first]))
    for row, made in enumerate(range(first, last)):
        forecaster.update(series.with_values(series.values[:made]))
        if row % 23 == 0:
            one = forecaster.forecast(series.start_utc_s + made * H, 48 * H, paths=0)
            np.testing.assert_allclose(one.mean, bulk[row], rtol=1e-4)


@settings(max_examples=3, deadline=None)
@given(st.floats(0.05, 20))
def test_the_unit_does_not_matter(factor: float) -> None:
    series = grid(30)
    now = series.end_utc_s
    one = Forecaster().fit(series).forecast(now, 72 * H)
    other = Forecaster().fit(series.with_values(series.values * factor)).forecast(now, 72 * H)
    np.testing.assert_allclose(other.mean, one.mean * factor, rtol=1e-5)


def test_it_is_better_than_habit() -> None:
    series = grid(120, seed=3)
    first, last = 60 * 24, 112 * 24
    made = _bulk(series, first, last, 72)
    for lead in (0, 5, 23, 47, 71):
        at = np.arange(first, last) + lead
        truth = series.values[at]
        own = np.abs(made[:, lead] - truth).mean()
        yesterday = np.abs(series.values[at - 24 * (lead // 24 + 1)] - truth).mean()
        last_week = np.abs(series.values[at - 168] - truth).mean()
        assert own < 0.9 * min(yesterday, last_week), lead


def test_weekends_are_learnt_by_the_clock_of_the_zone() -> None:
    offset_s = 11 * H  # of Sydney in its summer
    series = grid(
        56, weather=0.5, start_utc_s=MONDAY_UTC_S - offset_s, timezone="Australia/Sydney"
    )
    known = (7 * 7 + 5) * 24  # until Saturday 0:00 there
    truth = series.values[known : known + 24]
    errors = {}
    for clock in ("Australia/Sydney", "America/New_York"):
        past = Series(series.start_utc_s, H, series.values[:known], timezone=clock)
        told = Forecaster().fit(past).forecast(past.end_utc_s, 24 * H).mean
        errors[clock] = np.abs(told - truth).mean()
    assert errors["Australia/Sydney"] < 0.8 * errors["America/New_York"]


@pytest.mark.parametrize(("first", "count"), [(30 * 24, 3), (35 * 24, 90), (59 * 24, 20), (0, 40)])
def test_gaps_are_survived(first: int, count: int) -> None:
    series = with_gaps(SIXTY, first, count)
    made = Forecaster().fit(series).forecast(series.end_utc_s, 96 * H)
    assert np.isfinite(made.mean).all()
    whole = Forecaster().fit(SIXTY).forecast(series.end_utc_s, 96 * H)
    assert np.abs(made.mean - whole.mean).mean() < 60


def test_a_flat_series_stays_flat() -> None:
    flat = SIXTY.with_values(np.full(len(SIXTY.values), 120.0))
    made = Forecaster().fit(flat).forecast(flat.end_utc_s, 7 * 86400.0)
    np.testing.assert_allclose(made.mean, 120.0, rtol=0.05)


def test_prices_may_be_negative_and_intensities_not() -> None:
    prices = SIXTY.with_values(SIXTY.values - 300)
    assert Forecaster().fit(prices).forecast(prices.end_utc_s, 48 * H).paths.min() < 0
    low = SIXTY.with_values(np.maximum(SIXTY.values - 300, 0.0))
    assert Forecaster().fit(low).forecast(low.end_utc_s, 48 * H).paths.min() >= 0


def test_quantiles_and_paths_agree() -> None:
    made = Forecaster().fit(SIXTY).forecast(SIXTY.end_utc_s, 96 * H, paths=2000)
    levels = list(made.quantiles)
    for low, high in itertools.pairwise(levels):
        assert (made.quantiles[low] <= made.quantiles[high]).all()
    np.testing.assert_allclose(made.paths.mean(axis=0), made.mean, rtol=1e-6)
    inside = (made.paths >= made.quantiles[0.1]) & (made.paths <= made.quantiles[0.9])
    assert inside.mean() == pytest.approx(0.8, abs=0.03)
    errors = made.paths - made.mean
    near = np.corrcoef(errors[:, 40], errors[:, 42])[0, 1]
    far = np.corrcoef(errors[:, 10], errors[:, 90])[0, 1]
    assert near > 0.85
    assert abs(far) < 0.2


def test_intervals_hold_what_comes() -> None:
    series = grid(120, seed=5)
    forecaster, inside = Forecaster(), []
    for day in range(60, 110, 2):
        past = series.with_values(series.values[: day * 24])
        made = forecaster.update(past).forecast(past.end_utc_s, 96 * H, paths=0)
        truth = series.values[day * 24 : day * 24 + 96]
        inside.append((truth >= made.quantiles[0.1]) & (truth <= made.quantiles[0.9]))
    assert 0.65 < np.mean(inside) < 0.95


def test_finer_readings_give_finer_forecasts() -> None:
    fine = grid(20, step_s=300.0)
    made = Forecaster().fit(fine).forecast(fine.end_utc_s, 24 * H)
    assert made.step_s == 300
    assert made.mean.shape == (288,)
    half = Forecaster().fit(fine.coarser()).forecast(fine.end_utc_s, 24 * H)
    np.testing.assert_allclose(made.mean[::6], half.mean)


def test_late_readings_and_the_slot_that_is_told_early() -> None:
    forecaster = Forecaster().fit(SIXTY)
    late = forecaster.forecast(SIXTY.end_utc_s + 3.5 * H, 24 * H)
    assert late.start_utc_s == SIXTY.end_utc_s + 3 * H
    assert len(late.mean) == 25
    on_time = forecaster.forecast(SIXTY.end_utc_s, 28 * H)
    np.testing.assert_allclose(late.mean, on_time.mean[3:])
    early = forecaster.forecast(SIXTY.end_utc_s - 1800, 24 * H)
    assert early.mean[0] == early.quantiles[0.025][0] == SIXTY.values[-1]


def _asked(now_h: float, horizon_s: float, days: int = 60) -> None:
    series = SIXTY.with_values(SIXTY.values[: days * 24])
    Forecaster().fit(series).forecast(series.end_utc_s + now_h * H, horizon_s)


@pytest.mark.parametrize(
    ("now_h", "horizon_s", "days", "error"),
    [
        (0, 9 * 86400, 60, UsageError),
        (0, 0, 60, UsageError),
        (-2, 86400, 60, CoverageError),
        (25, 86400, 60, CoverageError),
        (0, 86400, 1, CoverageError),
    ],
)
def test_error_of_what_cannot_be_told(
    now_h: float, horizon_s: float, days: int, error: type[SubmeterError]
) -> None:
    with pytest.raises(error) as caught:
        _asked(now_h, horizon_s, days)
    assert caught.value.remedy


def test_error_before_anything_is_learnt() -> None:
    with pytest.raises(CoverageError):
        Forecaster().forecast(0.0, H)
    with pytest.raises(CoverageError):
        Forecaster().fit(SIXTY.with_values(np.full(99, np.nan)))


def test_another_or_a_shorter_series_begins_anew() -> None:
    forecaster = Forecaster().fit(SIXTY)
    other = grid(40, seed=9, timezone="Europe/Paris")
    one = forecaster.update(other).forecast(other.end_utc_s, 24 * H)
    np.testing.assert_array_equal(
        one.mean, Forecaster().fit(other).forecast(other.end_utc_s, 24 * H).mean
    )
    shorter = other.with_values(other.values[: 30 * 24])
    two = forecaster.update(shorter).forecast(shorter.end_utc_s, 24 * H)
    np.testing.assert_array_equal(
        two.mean, Forecaster().fit(shorter).forecast(shorter.end_utc_s, 24 * H).mean
    )


def test_an_update_is_quick() -> None:
    series = grid(200, step_s=1800.0)
    count = len(series.values)
    forecaster = Forecaster().fit(series.with_values(series.values[: count - 60]))
    took = []
    for known in range(count - 59, count + 1):
        past = series.with_values(series.values[:known])
        begin = time.process_time()
        forecaster.update(past).forecast(past.end_utc_s, 7 * 86400.0)
        took.append(time.process_time() - begin)
    assert np.median(took) < 0.15  # the bar is 50 ms: benchmarks/backtests.py


def test_a_trace_becomes_a_series() -> None:
    trace = Trace("k", "DE", "gCO2e/kWh", 7200.0, 900.0, (1.0, None, 3.0, 5.0), 0.9, 1.1)
    series = Series.of(trace, "Europe/Berlin")
    assert np.isnan(series.values[1])
    half = series.coarser()
    np.testing.assert_array_equal(half.values, [1.0, 4.0])
    assert (half.start_utc_s, half.end_utc_s, half.zone) == (7200, 10800, "DE")
    np.testing.assert_array_equal(series.until(7200 + 1799).values, [1.0])


@pytest.mark.parametrize("step_s", [7200.0, 700.0, 0.0, -3600.0])
def test_error_of_odd_slots(step_s: float) -> None:
    with pytest.raises(UsageError):
        Series(0.0, step_s, np.ones(5))


@pytest.mark.parametrize("per_hour", [1, 2])
def test_leads_are_blends_of_anchors_of_their_day(per_hour: int) -> None:
    share = weights(per_hour, 192 * per_hour)
    np.testing.assert_allclose(share.sum(axis=1), 1.0)
    fitted = anchors(per_hour)
    day = 24 * per_hour
    for lead in range(7 * day):
        used = fitted[share[lead] > 0]
        assert (used // day == lead // day).all(), lead


def test_the_pool_holds_no_zone_that_is_scored() -> None:
    zones = {name.split("_")[1] for name in pool().zones}
    assert len(zones) > 10
    assert not zones & {"DE", "GB", "FR"}
