# SPDX-License-Identifier: Apache-2.0
"""On how many workers, where, how sure, and what helps where waiting does not."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from submeter.errors import CoverageError, InfeasibleError, UsageError
from submeter.planning.costs import Costs
from submeter.planning.elastic import elastic
from submeter.planning.instead import Remedy, what_would
from submeter.planning.places import TRANSFER_KWH_PER_GB, Place, best_place
from submeter.planning.robust import evaluate
from submeter.planning.scaling import Scaling
from submeter.planning.single import Schedule, at_once_slices, best
from submeter.records.plans import Job, Slice

H = 3600.0


def hourly(*per_kwh: float, unit: str = "g/kWh") -> Costs:
    return Costs(0.0, H, np.array(per_kwh, dtype=float), unit)


def time_shares(costs: Costs, job: Job, scaling: Scaling) -> float:
    """Least cost over shares of each slot on each count, by a linear programme."""
    edges = costs.edges_s()
    room = np.minimum(edges[1:], job.deadline_s) - np.maximum(edges[:-1], job.earliest_s)
    slots, counts = room.size, len(scaling.workers)
    price = np.outer(costs.per_kwh, scaling.power_w).ravel() / 3.6e6
    done = linprog(
        price,
        A_ub=np.kron(np.eye(slots), np.ones(counts)),
        b_ub=room,
        A_eq=np.tile(np.array(scaling.throughput) / scaling.throughput[0], slots)[None, :],
        b_eq=[job.duration_s],
    )
    return float(done.fun) if done.success else np.inf


@st.composite
def profiles(draw: st.DrawFn) -> Scaling:
    gains = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    powers = draw(st.lists(st.integers(1, 9), min_size=len(gains), max_size=len(gains)))
    return Scaling(
        tuple(range(1, len(gains) + 1)),
        tuple(float(x) for x in itertools.accumulate(gains)),
        tuple(100.0 * x for x in itertools.accumulate(powers)),
    )


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(-3, 9).map(float), min_size=2, max_size=7),
    profiles(),
    st.integers(1, 500),
    st.integers(0, 50),
)
def test_workers_by_marginal_cost_equal_a_linear_programme_of_any_profile(
    values: list[float], scaling: Scaling, minutes: int, late: int
) -> None:
    costs = hourly(*values)
    job = Job(minutes * 60.0, late * 60.0, len(values) * H)
    least = time_shares(costs, job, scaling)
    if least == np.inf:
        with pytest.raises(InfeasibleError):
            elastic(costs, job, scaling)
        return
    found = elastic(costs, job, scaling)
    assert found.objective == pytest.approx(least, abs=1e-6)
    speed = dict(zip(scaling.workers, scaling.throughput, strict=True))
    work = sum((s.end_s - s.start_s) * speed[s.workers] for s in found.slices)
    assert work == pytest.approx(job.duration_s * scaling.throughput[0], rel=1e-6)
    assert all(a.end_s <= b.start_s + 1e-6 for a, b in itertools.pairwise(found.slices))


def test_whole_slots_on_whole_counts_are_never_better_than_marginal_allocation() -> None:
    costs, job = hourly(3, 1, 2, 5), Job(4 * H, 0, 4 * H)
    scaling = Scaling.amdahl((1, 2, 4), parallel_ratio=0.9, worker_w=300, fixed_w=100)
    counts = (0, *scaling.workers)
    speed = (0.0, *scaling.throughput)
    power = (0.0, *scaling.power_w)
    tried = [
        sum(power[k] * c for k, c in zip(choice, costs.per_kwh, strict=True)) / 1000
        for choice in itertools.product(range(len(counts)), repeat=4)
        if sum(speed[k] for k in choice) >= 4
    ]
    assert elastic(costs, job, scaling).objective <= min(tried) + 1e-9


def test_a_count_outside_the_hull_is_not_used_and_is_named() -> None:
    scaling = Scaling((1, 2, 4), (1.0, 1.1, 4.0), (100.0, 200.0, 400.0))
    found = elastic(hourly(3, 1, 2), Job(2 * H, 0, 3 * H), scaling)
    assert 2 in found.unused
    assert {s.workers for s in found.slices} <= {1, 4}


def test_amdahl_and_profiles_that_make_no_sense() -> None:
    law = Scaling.amdahl((1, 2, 8), parallel_ratio=0.5, worker_w=100)
    assert law.throughput == pytest.approx((1.0, 4 / 3, 16 / 9))
    for bad in (((), (), ()), ((2, 1), (1.0, 2.0), (1.0, 2.0)), ((1,), (0.0,), (1.0,))):
        with pytest.raises(UsageError):
            Scaling(*bad)
    with pytest.raises(UsageError, match="no 3 workers"):
        elastic(hourly(1, 1), Job(H, 0, 2 * H), law, base=3)


def test_place_and_time_are_chosen_together_and_the_transfer_counts() -> None:
    job = Job(2 * H, 0, 6 * H, 10_000.0)
    here = Place("DE", hourly(500, 500, 400, 300, 300, 500))
    north = Place("SE", hourly(*[20.0] * 6), queue_s=H, data_gb=450, bandwidth_gbit_per_s=1)
    far = Place("FR", hourly(*[60.0] * 6), queue_s=5 * H)
    ranking = best_place((here, north, far), job)
    assert [p.zone for p in ranking.places] == ["SE", "DE"]
    assert "FR" in ranking.refused
    first = ranking.places[0]
    assert first.ready_s == 2 * H
    assert first.schedule.slices[0].start_s >= 2 * H
    moved = 450 * TRANSFER_KWH_PER_GB[1] * (500 + 20) / 2
    assert first.total == pytest.approx(20 * 20 + moved)
    assert first.total_low < first.total < first.total_high
    assert first.saving_ratio == pytest.approx(1 - first.total / 10_000)
    assert ranking.places[1].schedule.at_once == pytest.approx(10_000)


def test_a_transfer_that_takes_more_than_it_brings_is_not_sure() -> None:
    job = Job(H, 0, 30 * H, 1000.0)
    there = Place("SE", hourly(*[450.0] * 30), data_gb=1000)
    ranking = best_place((Place("DE", hourly(*[500.0] * 30)), there), job)
    by_zone = {p.zone: p for p in ranking.places}
    assert ranking.places[0].zone == "DE"
    assert not by_zone["SE"].sure


def test_places_that_cannot_be_compared_or_reached_are_refused() -> None:
    job = Job(H, 0, 2 * H, 1000.0)
    a, b = Place("DE", hourly(1, 2)), Place("SE", hourly(1, 2, unit="EUR/kWh"))
    with pytest.raises(UsageError, match="EUR/kWh and g/kWh"):
        best_place((a, b), job)
    with pytest.raises(InfeasibleError, match="DE: "):
        best_place((Place("DE", hourly(1, 2), queue_s=2 * H),), job)
    with pytest.raises(UsageError, match="negative"):
        best_place((Place("DE", hourly(1, 2), queue_s=-1),), job)


def test_savings_over_paths_are_those_of_each_path_alone() -> None:
    rng = np.random.default_rng(5)
    paths = rng.uniform(0, 10, size=(50, 6))
    job = Job(1.5 * H, 600, 6 * H, 2000.0, interruptible=True, restart_s=60, idle_w=50)
    costs = hourly(*paths.mean(axis=0))
    plan = best(costs, job)
    found = evaluate(job, plan.slices, costs, paths)
    from submeter.planning.single import priced

    alone = [priced(hourly(*path), job, plan.slices) for path in paths]
    assert found.saved == pytest.approx([p.at_once - p.objective for p in alone])
    assert found.mean == pytest.approx(plan.at_once - plan.objective)
    worse = [p.objective > p.at_once for p in alone]
    assert found.chance_worse() == pytest.approx(np.mean(worse))
    low, high = found.interval()
    assert low <= found.mean <= high
    assert evaluate(job, at_once_slices(job), costs, paths).chance_worse() == 0


def test_paths_that_do_not_fit_and_plans_beyond_them_are_refused() -> None:
    job = Job(H, 0, 3 * H, 1000.0)
    with pytest.raises(UsageError, match="do not fit 3 slots"):
        evaluate(job, at_once_slices(job), hourly(1, 2, 3), np.ones((4, 2)))
    with pytest.raises(CoverageError):
        evaluate(job, (Slice(4 * H, 5 * H),), hourly(1, 2, 3), np.ones((4, 3)))


def test_where_waiting_does_not_help_it_says_why_and_what_would() -> None:
    flat = hourly(*[500.0, 501.0, 499.0] * 4)
    job = Job(3 * H, 0, 12 * H, 1000.0)
    plan = best(flat, job)
    ranking = best_place((Place("ZA", flat), Place("SE", hourly(*[40.0] * 12))), job)
    told = what_would(
        plan,
        flat,
        slack_s=9 * H,
        elsewhere=ranking,
        later=((24 * H, Schedule((), 480.0, 500.0, 1.0)), (6 * H, plan)),
        measures=(Remedy("capped", 0.09, "a power limit of 250 W"),),
    )
    assert not told.helps
    assert "the grid is flat" in told.why
    assert [r.way for r in told.remedies] == ["elsewhere", "capped", "later"]
    assert str(told.remedies[0]) == "running in SE would save 92%"
    helped = what_would(best(hourly(9, 1), Job(H, 0, 2 * H)), hourly(9, 1), slack_s=H)
    assert helped.helps
    assert not helped.why
