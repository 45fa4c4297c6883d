# SPDX-License-Identifier: Apache-2.0
"""From points to slots: gaps stay gaps, nothing is guessed, days have the hours they have."""

import math
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.errors import CoverageError, ProviderReplyError
from submeter.grid.weighting import repair
from submeter.providers.series import (
    GRAMS,
    Point,
    instant_utc_s,
    interval,
    number,
    point,
    regular,
)
from submeter.records.traces import Trace

H = 3600.0
T0 = 1_800_000_000.0 // H * H


def hours(*values: object, step_s: float = H, begin: float = T0) -> list[Point]:
    return [point(begin + i * step_s, step_s, v) for i, v in enumerate(values)]


def slots(points: list[Point], n_hours: float, **more: float) -> tuple[float | None, ...]:
    return regular(points, name="x", start_utc_s=T0, end_utc_s=T0 + n_hours * H, **more).values


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("given_value", "kept", "why"),
    [
        (300, 300.0, ""),
        ("300.5", 300.5, ""),
        (0, 0.0, ""),
        (None, None, "missing"),
        ("", None, "missing"),
        (-1, None, "negative"),
        (-0.001, None, "negative"),
        (NAN, None, "not finite"),
        ("NaN", None, "not finite"),
        (INF, None, "not finite"),
        ("1e400", None, "not finite"),
        (1e9, None, "beyond 3000"),
        (3001, None, "beyond 3000"),
        ("n/a", None, "not a number"),
        (True, None, "not a number"),
        ([300], None, "not a number"),
        ({"v": 300}, None, "not a number"),
        (10**400, None, "not a number"),
    ],
)
def test_e13_a_bad_value_is_a_gap_that_the_notes_count(
    given_value: object, kept: float | None, why: str
) -> None:
    series = regular(hours(100, given_value, 300), name="x", start_utc_s=T0, end_utc_s=T0 + 3 * H)
    assert series.values == (100.0, kept, 300.0)
    found = " ".join(series.notes)
    assert why in found
    assert ("1 of 3 slots have no value" in found) is (kept is None)


def test_e13_nothing_usable_is_an_error_that_says_what_was_wrong() -> None:
    with pytest.raises(ProviderReplyError, match="negative") as caught:
        slots(hours(-1, -2, None), 3)
    assert "annual" in (caught.value.remedy or "")


def test_g08_nothing_at_that_time_is_an_error() -> None:
    with pytest.raises(CoverageError, match="has nothing from"):
        slots(hours(1, 2, begin=T0 + 100 * H), 3)


def test_g08_holes_stay_holes_at_either_end_and_between() -> None:
    points = [point(T0 + i * H, H, 100 + i) for i in (1, 4)]
    assert slots(points, 6) == (None, 101, None, None, 104, None)


def test_g08_unsorted_and_twice_the_same() -> None:
    points = hours(1, 2, 3)
    assert slots([points[2], points[0], points[1], points[0]], 3) == (1, 2, 3)


def test_g08_said_twice_and_differently_the_later_holds_and_is_noted() -> None:
    series = regular(
        [*hours(1, 2), point(T0, H, 9)], name="x", start_utc_s=T0, end_utc_s=T0 + 2 * H
    )
    assert series.values == (9, 2)
    assert any("differently" in note for note in series.notes)


def test_g08_a_usable_value_goes_before_a_later_null() -> None:
    assert slots([*hours(1, 2), point(T0, H, None)], 2) == (1, 2)


def test_what_was_measured_goes_before_what_was_expected() -> None:
    expected = [point(T0, H, 7, forecast=True)]
    assert slots([*hours(1, 2), *expected], 2) == (1, 2)
    assert slots([*expected, *hours(1, 2)], 2) == (1, 2)


def test_g08_the_resolution_may_change_within_an_answer() -> None:
    points = [
        *hours(60, 61),
        *hours(30, 31, step_s=1800, begin=T0 + 2 * H),
        *hours(15, 16, 17, 18, step_s=900, begin=T0 + 3 * H),
    ]
    assert slots(points, 4) == (60,) * 4 + (61,) * 4 + (30,) * 2 + (31,) * 2 + (15, 16, 17, 18)


def test_the_window_is_covered_by_whole_slots() -> None:
    series = regular(hours(1, 2, 3, 4), name="x", start_utc_s=T0 + 0.5 * H, end_utc_s=T0 + 2.2 * H)
    assert (series.start_utc_s, series.step_s, series.values) == (T0, H, (1, 2, 3))


def test_e13_what_comes_from_the_future_and_is_no_forecast_is_left_out() -> None:
    series = regular(
        hours(1, 2, 3),
        name="x",
        start_utc_s=T0,
        end_utc_s=T0 + 3 * H,
        now_utc_s=T0 + 1.5 * H,
    )
    assert series.values == (1, 2, None)
    assert any("1 of 3 values of x were from the future" in note for note in series.notes)


@pytest.mark.parametrize("step_s", [0.0, 7.0, 59.0, 0.5])
def test_e13_points_without_a_step_are_refused(step_s: float) -> None:
    with pytest.raises(ProviderReplyError, match="no step"):
        slots([point(T0, H, 1), point(T0 + H + step_s, step_s, 2)], 3)


@pytest.mark.parametrize(
    ("day", "n"),
    [("2026-03-29", 23), ("2026-10-25", 25), ("2026-07-01", 24)],
)
def test_g08_a_day_has_23_24_or_25_hours(day: str, n: int) -> None:
    zone = ZoneInfo("Europe/Berlin")
    begin = datetime.fromisoformat(day).replace(tzinfo=zone)
    end = (begin.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=zone)
    start_s, end_s = begin.timestamp(), end.timestamp()
    texts = [
        datetime.fromtimestamp(start_s + i * H, zone).isoformat() for i in range(n)
    ]  # 02:30+02:00 and 02:30+01:00 are different instants
    points = [point(instant_utc_s(text), H, i) for i, text in enumerate(texts)]
    series = regular(points, name="x", start_utc_s=start_s, end_utc_s=end_s)
    assert series.values == tuple(float(i) for i in range(n))


@pytest.mark.parametrize("text", ["2026-03-29T02:30:00", "yesterday", "", None, 5, "2026-02-30"])
def test_g08_an_instant_without_time_zone_is_none(text: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        instant_utc_s(text)


@settings(deadline=None)
@given(
    values=st.lists(st.none() | st.floats(0, 2000), min_size=1, max_size=30),
    step_s=st.sampled_from([300.0, 900.0, 1800.0, H]),
    order=st.randoms(use_true_random=False),
)
def test_slots_are_what_was_given_in_any_order(
    values: list[float | None], step_s: float, order: st.DataObject
) -> None:
    if all(v is None for v in values):
        values = [*values, 1.0]
    points = hours(*values, step_s=step_s)
    order.shuffle(points)  # type: ignore[attr-defined]
    end = T0 + len(values) * step_s
    series = regular(points, name="x", start_utc_s=T0, end_utc_s=end)
    if len(values) > 1:
        assert series.step_s == step_s
    assert series.values == tuple(values)


@settings(deadline=None)
@given(sd=st.floats(0.001, 2), more=st.floats(0, 1))
def test_the_interval_lies_around_one_and_grows_with_the_doubt(sd: float, more: float) -> None:
    low, high = interval(sd)
    assert 0 < low < 1 < high
    assert low * high == pytest.approx(1)
    assert interval(sd + more)[1] >= high


def test_g08_gaps_are_for_the_caller_to_repair() -> None:
    """The next room over fills them, says so and widens."""
    series = regular(hours(1, None, 3), name="x", start_utc_s=T0, end_utc_s=T0 + 3 * H)
    low, high = interval(series.relative_sd)
    trace = Trace("k", "DE", GRAMS, T0, H, series.values, low, high)
    whole = repair(trace)
    assert whole.values == (1, 2, 3)
    assert whole.high_ratio > trace.high_ratio


def test_numbers_below_zero_pass_where_they_may() -> None:
    assert number(-5, least=-10) == -5
    assert number(-50, least=-10) == "below -10"
