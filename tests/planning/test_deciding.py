# SPDX-License-Identifier: Apache-2.0
"""Decisions: what is advised, what is not, and what is said instead."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.errors import CoverageError, InfeasibleError, UsageError
from submeter.planning.costs import Costs
from submeter.planning.deciding import Decision, decide
from submeter.planning.outlooks import Outlook
from submeter.planning.weighing import Question, Site
from submeter.records.figures import Figure, Missing
from submeter.records.plans import Job, Slice

H = 3600.0
NOW = 1_795_474_800.0  # a full hour


def outlook(
    values: list[float], *, unit: str = "g/kWh", noise: float = 0.0, informed: bool = True
) -> Outlook:
    mean = np.array(values, dtype=np.float64)
    draws = np.random.default_rng(1).normal(0, noise, (200, len(mean))) if noise else 0.0
    return Outlook("DE", unit, NOW, H, mean, mean + np.zeros((200, 1)) + draws, informed, "told")


def site(zone: str = "DE", *, queue_s: float = 0.0, **outlooks: Any) -> Site:
    return Site(zone, {"DE": "Germany", "SE": "Sweden"}.get(zone, zone), outlooks, queue_s)


def question(hours: float = 2, window: float = 8, **more: Any) -> Question:
    job = more.pop("job", Job(hours * H, NOW, NOW + window * H, power_w=1000.0))
    fields: dict[str, Any] = {"objective": "carbon", "weights": {"carbon": 1.0}} | more
    return Question("plan-1", NOW, job, **fields)


VALLEY = [400.0, 400, 300, 200, 100, 100, 300, 400]


def saving(made: Decision) -> Figure:
    assert isinstance(made.plan.expected_saving, Figure)
    return made.plan.expected_saving


def amount(figures: Mapping[str, Figure | Missing], name: str) -> float:
    found = figures[name]
    assert isinstance(found, Figure)
    return found.value


def test_it_starts_in_the_valley_and_says_what_that_saves() -> None:
    made = decide(question(), [site(average=outlook(VALLEY))])
    assert made.plan.slices == (Slice(NOW + 4 * H, NOW + 6 * H, "DE"),)
    assert made.plan.worthwhile
    assert saving(made).value == pytest.approx(0.75)
    assert (saving(made).low, saving(made).high) == pytest.approx((0.75, 0.75))
    assert made.plan.chance_worse == 0.0
    assert amount(made.plan.expected, "carbon_g") == pytest.approx(200.0)
    assert amount(made.plan.at_once, "carbon_g") == pytest.approx(800.0)


def test_the_chance_of_doing_worse_is_that_of_the_paths() -> None:
    made = decide(
        question(window=4, guard=lambda _: (True, "")),
        [site(average=outlook([300.0, 300, 250, 250], noise=60.0))],
    )
    # difference of two means of two hours: sd 60, mean 50
    assert made.plan.chance_worse == pytest.approx(0.2, abs=0.08)
    assert saving(made).low < 0 < saving(made).high


@given(
    st.lists(st.floats(1, 1000), min_size=6, max_size=24),
    st.floats(0.25, 5.0),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_no_plan_is_expected_to_do_worse_than_starting_at_once(
    values: list[float],
    hours: float,
    pauses: bool,  # noqa: FBT001
) -> None:
    job = Job(hours * H, NOW, NOW + len(values) * H, interruptible=pauses, checkpoint_s=90.0)
    made = decide(question(job=job), [site(average=outlook(values, noise=5.0))])
    assert saving(made).value >= -1e-9
    assert saving(made).low <= saving(made).value <= saving(made).high
    assert made.best_here.saving_ratio >= saving(made).value - 1e-9
    end = made.plan.slices[-1].end_s
    assert end <= job.deadline_s + 1e-6
    worked = sum(s.end_s - s.start_s for s in made.plan.slices)
    assert worked == pytest.approx(job.duration_s + 90.0 * (len(made.plan.slices) - 1), abs=1e-3)


@pytest.mark.parametrize(
    ("values", "hours", "words"),
    [
        ([300.0, 301, 299, 300, 300, 300, 300, 300], 2, "the grid is flat"),
        ([300.0, 300, 300, 500, 500, 500, 400, 400], 7.5, "there is little slack"),
        ([100.0, 200, 300, 400, 400, 400, 400, 400], 2, "Waiting gains 0.0 % here."),
    ],
)
def test_where_waiting_does_not_help_it_says_why(
    values: list[float], hours: float, words: str
) -> None:
    made = decide(question(hours), [site(average=outlook(values))])
    assert not made.plan.worthwhile
    assert made.plan.slices[0].start_s == NOW
    assert words in made.plan.instead[0]
    assert saving(made).value == 0.0


def test_where_hours_are_not_told_apart_nothing_is_promised() -> None:
    made = decide(question(), [site(average=outlook([300.0] * 8, informed=False))])
    assert "only an annual figure" in made.plan.instead[0]
    assert not made.plan.worthwhile


def test_a_coin_toss_is_no_advice() -> None:
    made = decide(question(), [site(average=outlook([300.0] * 4 + [290.0] * 4, noise=100.0))])
    assert not made.plan.worthwhile
    assert "of 100 cases" in made.plan.instead[0]


def test_what_is_not_back_tested_has_to_be_surer() -> None:
    values = outlook([300.0] * 4 + [200.0] * 4, noise=110.0)  # worse in about a fifth to a third
    tested = decide(question(guard=lambda _: (True, "")), [site(average=values)])
    untested = decide(question(), [site(average=values)])
    assert (tested.plan.worthwhile, untested.plan.worthwhile) == (True, False)


def test_what_would_help_is_named_with_its_number() -> None:
    flat, clean = [300.0] * 8, [24.0] * 8
    made = decide(
        question(),
        [site(average=outlook(flat))],
        lambda: [site("SE", average=outlook(clean)), site("FR", average=outlook([60.0] * 8))],
    )
    assert made.plan.instead == (
        "Waiting gains 0.0 % here (the grid is flat).",
        "Running in SE would gain 92 %.",
    )


def test_a_place_in_other_units_is_not_compared() -> None:
    home = site(average=outlook([300.0] * 8), cost=outlook([0.3] * 8, unit="EUR/kWh"))
    away = site("SE", average=outlook([20.0] * 8), cost=outlook([0.1] * 8, unit="USD/kWh"))
    assert len(decide(question(), [home], lambda: [away]).plan.instead) == 1


def test_the_guard_holds_back_with_its_own_words() -> None:
    def guard(job: Job) -> tuple[bool, str]:
        assert job.duration_s == 2 * H
        return False, "Waiting for such jobs did worse in the last 60 days."

    made = decide(question(guard=guard), [site(average=outlook(VALLEY))])
    assert made.plan.instead[0].startswith("Waiting for such jobs")
    assert made.plan.slices[0].start_s == NOW
    assert made.best_here.saving_ratio == pytest.approx(0.75)


def test_another_place_with_its_queue_and_what_moving_brings() -> None:
    home = site(average=outlook(VALLEY))
    near = Site("SE", "Sweden", {"average": outlook([20.0] * 8)}, 3 * H, {"average": 30.0})
    made = decide(question(), [home, near])
    assert made.plan.zone == "SE"
    assert made.plan.slices == (Slice(NOW + 3 * H, NOW + 5 * H, "SE"),)
    assert amount(made.plan.expected, "carbon_g") == pytest.approx(70.0)
    assert [choice.site.zone for choice in made.others] == ["DE"]


@pytest.mark.parametrize("queue_h", [6.5, 20.0])
def test_a_place_whose_queue_is_too_long_is_left_out(queue_h: float) -> None:
    far = site("SE", average=outlook([1.0] * 8), queue_s=queue_h * H)
    made = decide(question(), [site(average=outlook(VALLEY)), far])
    assert made.plan.zone == "DE"
    assert made.others == ()
    assert f"left out SE: behind a queue of {queue_h:g} h" in made.plan.notes[0]


def test_heeding_both_gives_up_what_costs_marginal_carbon_and_says_how_much() -> None:
    average = [400.0, 400, 100, 100, 250, 250, 400, 400]
    marginal = [500.0, 500, 900, 900, 450, 450, 500, 500]
    home = site(average=outlook(average), marginal=outlook(marginal))
    alone = decide(question(), [home])
    assert alone.plan.slices[0].start_s == NOW + 2 * H
    assert isinstance(alone.marginal_ratio, Figure)
    assert alone.marginal_ratio.value == pytest.approx(-0.8)
    both = decide(question(signal="both"), [home])
    # between two hours, where by marginal intensity it is as at once: exact, not by the hour
    assert NOW + 3 * H < both.plan.slices[0].start_s < NOW + 4 * H
    assert isinstance(both.marginal_ratio, Figure)
    assert both.marginal_ratio.value == pytest.approx(0.0, abs=1e-9)
    assert both.caution_ratio == pytest.approx(0.75 - saving(both).value)
    assert 0.375 < saving(both).value < 0.75


@given(
    st.lists(st.tuples(st.floats(10, 900), st.floats(10, 900)), min_size=4, max_size=16),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_heeding_both_never_costs_either(values: list[tuple[float, float]], pauses: bool) -> None:  # noqa: FBT001
    average, marginal = ([float(v[i]) for v in values] for i in (0, 1))
    job = Job(2 * H, NOW, NOW + len(values) * H, power_w=500.0, interruptible=pauses)
    home = site(average=outlook(average), marginal=outlook(marginal))
    made = decide(question(job=job, signal="both"), [home])
    for name in ("carbon_g", "carbon_marginal_g"):
        then, now = (amount(f, name) for f in (made.plan.expected, made.plan.at_once))
        assert then <= now * (1 + 1e-9)
    assert made.caution_ratio is not None
    assert made.caution_ratio >= 0


@pytest.mark.parametrize("signal", ["marginal", "both"])
@pytest.mark.parametrize("known", [False, True])
def test_marginal_hours_that_nobody_knows_are_one_error(signal: str, known: bool) -> None:  # noqa: FBT001
    told: dict[str, Any] = {"marginal": outlook([700.0] * 8, informed=False)} if known else {}
    with pytest.raises(UsageError, match="no marginal intensity of Germany"):
        decide(question(signal=signal), [site(average=outlook(VALLEY), **told)])


def test_a_weighted_sum_keeps_its_units_apart() -> None:
    price = [0.10, 0.10, 0.40, 0.40, 0.40, 0.40, 0.20, 0.20]
    home = site(average=outlook(VALLEY), cost=outlook(price, unit="EUR/kWh"))
    made = decide(
        question(weights={"carbon": 0.5, "cost": 0.5}, objective="0.5*carbon+0.5*cost"), [home]
    )
    # by its parts of starting at once: 0.5 * (400/400) + 0.5 * (0.1/0.1) is the least here
    assert made.plan.slices[0].start_s == NOW
    carbon = decide(
        question(weights={"carbon": 0.9, "cost": 0.1}, objective="0.9*carbon+0.1*cost"), [home]
    )
    assert carbon.plan.slices[0].start_s == NOW + 4 * H
    assert saving(carbon).value == pytest.approx(0.9 * 0.75 + 0.1 * (1 - 4))
    found = carbon.plan.expected["cost"]
    assert isinstance(found, Figure)
    assert found.unit == "EUR"
    assert found.value == pytest.approx(0.8)


def test_work_stays_within_the_hours_that_are_allowed() -> None:
    def allowed(costs: Costs) -> Costs:
        return costs.allowing(costs.start_utc_s + costs.edges_s()[:-1] >= NOW + 6 * H)

    made = decide(question(allowed=allowed), [site(average=outlook(VALLEY))])
    assert made.plan.slices[0].start_s >= NOW + 6 * H
    assert made.plan.worthwhile  # starting at once is not allowed, whatever it would bring
    assert saving(made).value == pytest.approx(1 - 350 / 400)


def test_unknown_power_is_told_per_kilowatt_hour() -> None:
    job = Job(2 * H, NOW, NOW + 8 * H)
    made = decide(question(job=job), [site(average=outlook(VALLEY))])
    found = made.plan.expected["carbon_g"]
    assert isinstance(found, Figure)
    assert found.unit == "g/kWh"
    assert found.value == pytest.approx(100.0)


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (Job(2 * H, NOW, NOW - H), "the deadline is past"),
        (Job(9 * H, NOW, NOW + 8 * H), "9 h of work do not fit into the 8 h"),
    ],
)
def test_what_cannot_be_done_in_time_is_one_clear_error(job: Job, words: str) -> None:
    with pytest.raises(InfeasibleError, match=words):
        decide(question(job=job), [site(average=outlook(VALLEY))])


def test_a_deadline_beyond_what_is_known_is_one_clear_error() -> None:
    with pytest.raises(CoverageError, match="does not reach"):
        decide(question(window=9), [site(average=outlook(VALLEY))])


def test_an_objective_of_which_nothing_is_known_is_one_clear_error() -> None:
    with pytest.raises(UsageError, match="nothing is known of the water of Germany"):
        decide(
            question(weights={"water": 1.0}, objective="water"), [site(average=outlook(VALLEY))]
        )
