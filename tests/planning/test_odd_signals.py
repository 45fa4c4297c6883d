# SPDX-License-Identifier: Apache-2.0
"""Prices below zero, grids that emit nothing, and forbidden hours: signs and shares stay right."""

import math
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.errors import InfeasibleError
from submeter.planning.cautious import best_by_both
from submeter.planning.costs import Costs
from submeter.planning.courses import energies_kwh
from submeter.planning.deciding import decide
from submeter.planning.objectives import Hours, only_in
from submeter.planning.outlooks import Outlook
from submeter.planning.weighing import Question, Site
from submeter.records.figures import Figure, Missing
from submeter.records.plans import Job

H = 3600.0
NOW = 1_795_474_800.0

values = st.lists(st.integers(-300, 300).map(float), min_size=8, max_size=8)


def outlook(mean: list[float], unit: str, paths: list[list[float]] | None = None) -> Outlook:
    row = np.array(mean)
    return Outlook("DE", unit, NOW, H, row, np.array(paths or [mean]), True, "told")


def question(hours: float, weights: dict[str, float]) -> Question:
    job = Job(hours * H, NOW, NOW + 8 * H, power_w=1000.0)
    return Question("plan-1", NOW, job, "cost", weights)


@settings(max_examples=60, deadline=None)
@given(values, st.integers(1, 6))
def test_of_prices_of_any_sign_the_cheapest_start_is_taken(price: list[float], hours: int) -> None:
    prices = [value / 1000 for value in price]
    made = decide(
        question(hours, {"cost": 1.0}),
        [Site("DE", "Germany", {"cost": outlook(prices, "EUR/kWh")})],
    )
    sums = [sum(prices[a : a + hours]) for a in range(9 - hours)]
    best = made.best_here.by_quantity["cost"][0]
    assert best == pytest.approx(min(sums), abs=1e-9)
    assert made.best_here.saving_ratio >= -1e-9
    if abs(sums[0]) > 1e-6:
        assert made.best_here.saving_ratio == pytest.approx((sums[0] - best) / abs(sums[0]))
    assert made.best_here.chance_worse == 0.0


@settings(max_examples=40, deadline=None)
@given(values, st.lists(st.integers(1, 600).map(float), min_size=8, max_size=8))
def test_a_negative_price_does_not_turn_an_objective_round(
    price: list[float], carbon: list[float]
) -> None:
    prices = [value / 1000 for value in price]
    told = {"average": outlook(carbon, "g/kWh"), "cost": outlook(prices, "EUR/kWh")}
    made = decide(question(1, {"carbon": 0.5, "cost": 0.5}), [Site("DE", "Germany", told)])
    start = round((made.best_here.slices[0].start_s - NOW) / H)
    dominated = [
        i
        for i in range(8)
        if carbon[i] < carbon[start] - 1e-6 and prices[i] < prices[start] - 1e-9
    ]
    assert not dominated


def test_the_chance_of_doing_worse_counts_paths_whatever_their_sign() -> None:
    paths = [[-0.1, -0.3], [-0.1, 0.2], [0.1, -0.1], [0.0, 0.1]]
    now, later = outlook([-0.1, -0.3], "EUR/kWh", paths), question(1, {"cost": 1.0})
    later = Question("p", NOW, Job(H, NOW, NOW + 2 * H, power_w=1e3), "cost", {"cost": 1.0})
    made = decide(later, [Site("DE", "Germany", {"cost": now})])
    assert made.best_here.chance_worse == 0.5  # the second and the fourth
    assert made.best_here.saving_ratio == pytest.approx(2.0)


def test_where_starting_at_once_emits_nothing_there_is_nothing_to_save() -> None:
    zero = Site("DE", "Germany", {"average": outlook([0.0] * 8, "g/kWh")})
    clean_now = Site(
        "DE", "Germany", {"average": outlook([0.0, 0, 100, 100, 0, 0, 9, 9], "g/kWh")}
    )
    dirty = Site("SE", "Sweden", {"average": outlook([50.0] * 8, "g/kWh")})
    decisions = [decide(question(2, {"carbon": 1.0}), [home, dirty]) for home in (zero, clean_now)]
    for made in decisions:
        assert made.plan.zone == "DE"
        assert made.plan.slices[0].start_s == NOW
        saved = made.plan.expected_saving
        assert isinstance(saved, Figure)
        assert saved.value == 0.0
        assert all(choice.saving_ratio <= 0 for choice in made.others)
        assert made.others[-1].saving_ratio < 0  # Sweden would emit where nothing is emitted now
        assert made.others[-1].chance_worse == 1.0


def test_a_marginal_signal_of_nothing_is_missing_and_no_division() -> None:
    told = {
        "average": outlook([400.0, 100, 100, 100, 100, 100, 100, 100], "g/kWh"),
        "marginal": outlook([0.0] + [50.0] * 7, "g/kWh"),
    }
    made = decide(question(1, {"carbon": 1.0}), [Site("DE", "Germany", told)])
    assert isinstance(made.marginal_ratio, Missing)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 9).map(float), min_size=8, max_size=8),
    st.lists(st.integers(0, 9).map(float), min_size=8, max_size=8),
    st.lists(st.booleans(), min_size=8, max_size=8),
    st.integers(1, 3),
    st.sampled_from(["at a stretch", "with pauses"]),
)
def test_caution_keeps_out_of_forbidden_hours(
    ours: list[float], theirs: list[float], open_: list[bool], hours: int, way: str
) -> None:
    average, marginal = (
        Costs(0.0, H, np.array(row), "", ~np.array(open_)) for row in (ours, theirs)
    )
    pauses = way == "with pauses"
    job = Job(hours * H, 0.0, 8 * H, power_w=1000.0, interruptible=pauses)
    try:
        found = best_by_both(average, marginal, job)
    except InfeasibleError:
        fits = (
            sum(open_) >= hours
            if pauses
            else any(all(open_[a : a + hours]) for a in range(9 - hours))
        )
        assert not fits
        return
    drawn = energies_kwh(job, found.by_average.slices, average)
    assert not np.any(drawn[~np.array(open_)] > 1e-9)
    whole = [a for a in range(9 - hours) if all(open_[a : a + hours])]
    limit = sum(theirs[:hours])
    tried = [sum(ours[a : a + hours]) for a in whole if sum(theirs[a : a + hours]) <= limit]
    if tried:
        assert found.by_marginal.objective <= limit + 1e-6
        assert found.by_average.objective - found.gap <= min(tried) + 1e-6


@pytest.mark.parametrize("hours", ["02:30-03:00", "02:00-03:00", "01:30-02:30", "22:00-06:00"])
@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_b07_hours_that_a_clock_leaves_out_do_not_turn_the_rest_of_the_day_round(
    hours: str, day: str
) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    noon = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=berlin).timestamp()
    costs = only_in(Costs(noon - 24 * H, H, np.ones(48)), Hours.of(hours), berlin)
    inside = ~costs.forbidden
    for k in range(costs.per_kwh.size):
        at = datetime.fromtimestamp(costs.start_utc_s + (k + 0.5) * costs.step_s, berlin)
        begin, end = hours.split("-")
        clock = f"{at:%H:%M}"
        wanted = begin <= clock < end if begin < end else clock >= begin or clock < end
        if f"{at:%Y-%m-%d}" == day and "01:" <= clock < "04:":
            continue  # the night itself, whose hours come twice or not at all
        assert inside[k] == wanted, at
    assert math.isfinite(replace(costs).per_kwh.sum())
