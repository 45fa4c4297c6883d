# SPDX-License-Identifier: Apache-2.0
"""Objectives, their units, hours of tariffs, and moves that both signals agree on."""

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.errors import InfeasibleError, UsageError
from submeter.planning.cautious import best_by_both
from submeter.planning.costs import Costs
from submeter.planning.objectives import Hours, Objective, compose, only_in, tariff
from submeter.planning.single import best
from submeter.records.plans import Job
from submeter.records.traces import Kind
from tests.planning import oracles

H = 3600.0
BERLIN = ZoneInfo("Europe/Berlin")


def hourly(*per_kwh: float, start: float = 0.0, unit: str = "g/kWh") -> Costs:
    return Costs(start, H, np.array(per_kwh, dtype=float), unit)


@pytest.mark.parametrize(
    ("text", "weights", "again"),
    [
        ("carbon", (("carbon", 1.0),), "carbon"),
        (" Water ", (("water", 1.0),), "water"),
        ("0.7*carbon+0.3*cost", (("carbon", 0.7), ("cost", 0.3)), "0.7*carbon+0.3*cost"),
        ("cost + 2 * water", (("cost", 1.0), ("water", 2.0)), "1*cost+2*water"),
    ],
)
def test_objectives_are_read_and_said_again(
    text: str, weights: tuple[tuple[str, float], ...], again: str
) -> None:
    assert Objective.of(text).weights == weights
    assert str(Objective.of(text)) == again


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("joy", "'joy'"),
        ("", "''"),
        ("carbon-cost", "'carbon-cost'"),
        ("0*carbon+cost", "carbon with a weight of zero"),
        ("carbon+carbon", "carbon twice"),
        ("-1*carbon", "'-1*carbon'"),
        ("carbon*0.7", "'carbon*0.7'"),
    ],
)
def test_what_is_no_objective_is_named(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told.replace("*", r"\*")) as caught:
        Objective.of(text)
    assert caught.value.remedy


def test_one_aspect_keeps_its_unit_and_a_sum_is_told_in_shares_of_starting_at_once() -> None:
    job = Job(H, 0, 3 * H, 2000.0)
    by = {"carbon": hourly(300, 200, 100), "cost": hourly(0.1, 0.2, 0.4, unit="EUR/kWh")}
    assert compose(Objective.of("cost"), by, job).costs.unit == "EUR/kWh"  # type: ignore[arg-type]
    both = compose(Objective.of("3*carbon+1*cost"), by, job)  # type: ignore[arg-type]
    assert both.scales == {"carbon": pytest.approx(600), "cost": pytest.approx(0.2)}
    assert both.costs.unit == "1/kWh"
    found = best(both.costs, job)
    assert found.at_once == pytest.approx(1.0)
    assert found.objective == pytest.approx(min(0.75 * 2 / 3 + 0.25 * 2, 0.75 / 3 + 0.25 * 4, 1.0))
    assert "75% carbon" in both.said


def test_what_cannot_be_weighed_is_refused() -> None:
    job = Job(H, 0, 2 * H, 1000.0)
    carbon, free = hourly(300, 200), hourly(0, 1, unit="EUR/kWh")
    with pytest.raises(UsageError, match="no water per kilowatt-hour"):
        compose(Objective.of("water"), {"carbon": carbon}, job)
    with pytest.raises(UsageError, match="brings no cost"):
        compose(Objective.of("carbon+cost"), {"carbon": carbon, "cost": free}, job)
    late = hourly(1, 2, start=H)
    with pytest.raises(UsageError, match="not in the same slots"):
        compose(Objective.of("carbon+cost"), {"carbon": carbon, "cost": late}, job)
    kinds = (Kind(), Kind(method="market"))
    with pytest.raises(UsageError, match="market-based"):
        compose(Objective.of("carbon"), {"carbon": carbon}, job, kinds=kinds)


@pytest.mark.parametrize("text", ["22-6", "25:00-26:00", "07:00-07:00", "22:60-06:00", "night"])
def test_what_is_no_stretch_of_a_day_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no stretch of a day"):
        Hours.of(text)


@pytest.mark.parametrize(
    ("night", "hours"),
    [("2026-03-28", 7), ("2026-03-27", 8), ("2026-10-24", 9)],
    ids=["clocks go forward", "an ordinary night", "clocks go back"],
)
def test_off_peak_hours_are_those_on_the_wall_when_clocks_change(night: str, hours: int) -> None:
    noon = dt.datetime.fromisoformat(f"{night}T12:00").replace(tzinfo=BERLIN)
    costs = hourly(*[1.0] * 24, start=noon.timestamp())
    fine, marks = Hours.of("22:00-06:00").marks(costs, BERLIN)
    assert marks.sum() * fine.step_s == hours * H
    first = dt.datetime.fromtimestamp(
        fine.start_utc_s + int(np.argmax(marks)) * fine.step_s, BERLIN
    )
    assert first.hour == 22


def test_hours_that_cut_slots_make_them_finer_and_work_stays_within() -> None:
    costs = only_in(hourly(9, 1, 1, 2, 9), Hours.of("01:30-03:15"), dt.UTC)
    assert costs.step_s == 900
    found = best(costs, Job(1.5 * H, 0, 5 * H, 1000.0))
    assert (found.slices[0].start_s, found.slices[0].end_s) == (1.5 * H, 3 * H)
    with pytest.raises(InfeasibleError, match="hours that are allowed before"):
        best(costs, Job(2 * H, 0, 5 * H, 1000.0, interruptible=True))


def test_pauses_bridge_hours_in_which_nothing_may_run() -> None:
    costs = hourly(1, 1, 1, 1, 1).allowing(np.array([True, True, False, True, True]))
    job = Job(3 * H, 0, 5 * H, 1000.0, interruptible=True, checkpoint_s=0, restart_s=60)
    with pytest.raises(InfeasibleError):
        best(costs, Job(3 * H, 0, 5 * H, 1000.0, interruptible=True, restart_s=2 * H))
    found = best(costs.finer(60), job)
    assert found.pauses == 1
    assert all(s.end_s <= 2 * H or s.start_s >= 3 * H for s in found.slices)


def test_a_tariff_of_two_prices_is_cheaper_by_night() -> None:
    prices = tariff(
        hourly(*[0.0] * 24),
        Hours.of("22:00-06:00"),
        dt.UTC,
        within=0.1,
        outside=0.3,
        unit="EUR/kWh",
    )
    assert prices.per_kwh.tolist() == [0.1] * 6 + [0.3] * 16 + [0.1] * 2


signal = st.lists(st.integers(0, 9).map(float), min_size=6, max_size=6)


@settings(max_examples=80, deadline=None)
@given(signal, signal, st.integers(1, 5 * 60))
def test_a_start_that_both_signals_allow_is_the_best_of_all_tried(
    average: list[float], marginal: list[float], minutes: int
) -> None:
    job = Job(minutes * 60.0, 0, 6 * H, 1000.0)
    ours, theirs = hourly(*average), hourly(*marginal)
    found = best_by_both(ours, theirs, job)
    limit = oracles.cost_of(theirs, job, [(0, job.duration_s)])
    tried = [
        oracles.cost_of(ours, job, work)
        for start in np.arange(0, 6 * H - job.duration_s + 1, 300)
        if oracles.cost_of(theirs, job, work := [(start, start + job.duration_s)]) <= limit + 1e-9
    ]
    assert found.by_marginal.objective <= found.by_marginal.at_once + 1e-7
    assert found.by_average.objective <= min(tried) + 1e-9
    assert found.gap == 0
    assert found.forgone == pytest.approx(found.by_average.objective - found.unbound.objective)


@settings(max_examples=25, deadline=None)
@given(signal, signal, st.sampled_from([0.0, 300.0]))
def test_a_cautious_plan_with_pauses_is_worse_by_neither_signal_and_its_gap_holds(
    average: list[float], marginal: list[float], restart_s: float
) -> None:
    job = Job(2 * H, 0, 6 * H, 1000.0, interruptible=True, restart_s=restart_s)
    ours, theirs = hourly(*average), hourly(*marginal)
    found = best_by_both(ours, theirs, job)
    for by in (found.by_average, found.by_marginal):
        assert by.objective <= by.at_once + 1e-7
    allowed = [
        oracles.cost_of(ours, job, work)
        for a in range(6)
        for b in range(a + 1, 6)
        if oracles.cost_of(theirs, job, work := _two_hours(a, b)) <= found.by_marginal.at_once
        and (b > a + 1 or restart_s == 0)
    ]
    assert found.by_average.objective - found.gap <= min(allowed, default=np.inf) + 1e-7
    assert found.forgone >= 0


def _two_hours(a: int, b: int) -> list[tuple[float, float]]:
    if b == a + 1:
        return [(a * H, (a + 2) * H)]
    return [(a * H, (a + 1) * H), (b * H, (b + 1) * H)]
