# SPDX-License-Identifier: Apache-2.0
"""Counts of workers that cost something to change, against all ways tried and a plain model."""

import itertools
import math
from typing import Any

import highspy
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from submeter.errors import InfeasibleError, UsageError
from submeter.planning.costs import Costs
from submeter.planning.elastic import Allocation, elastic
from submeter.planning.scaling import Scaling
from submeter.planning.solver import highs
from submeter.planning.weighing import scaled_kwh
from submeter.records.plans import Job

H = 3600.0


def cheapest_of_all(costs: Costs, job: Job, scaling: Scaling) -> float:
    """Least cost of all sequences of counts, followed slot by slot; inf if none does the work."""
    rates = [0.0, *(x / scaling.throughput[0] for x in scaling.throughput)]
    tried = itertools.product(range(len(rates)), repeat=costs.per_kwh.size)
    return min(followed(costs, job, scaling, rates, way) for way in tried)


def followed(
    costs: Costs, job: Job, scaling: Scaling, rates: list[float], way: tuple[int, ...]
) -> float:
    """Cost of *way*, a count for each slot; inf if it may not be, or does not do the work."""
    power = [0.0, *scaling.power_w]
    both = job.checkpoint_s + job.restart_s
    begun, last, last_room, work, cost = False, 0, 0.0, 0.0, 0.0
    for t, count in enumerate(way):
        begin, end = max(t * H, job.earliest_s), min((t + 1) * H, job.deadline_s)
        shut = bool(costs.forbidden.size and costs.forbidden[t])
        room, price = (0.0 if shut else end - begin), costs.per_kwh[t] / 3.6e6
        lost = 0.0
        if begun and count != last:
            if last:
                if last_room < both - 1e-9:
                    return math.inf
                work -= rates[last] * job.checkpoint_s
            if count:
                lost = job.restart_s
                if room < both - 1e-9:
                    return math.inf
        if count:
            if room <= 0:
                return math.inf
            needed = (job.duration_s - work) / rates[count]
            if needed <= room - lost + 1e-6:
                return float(cost + price * power[count] * (lost + needed))
            work += rates[count] * (room - lost)
            cost += price * power[count] * room
            begun = True
        elif begun:
            cost += price * job.idle_w * (end - begin)
        last, last_room = count, room
    return math.inf


def modelled(costs: Costs, job: Job, scaling: Scaling) -> float:
    """Least cost by a mixed-integer programme: flows between counts, from slot to slot."""
    model: Any = highs()
    model.setOptionValue("mip_rel_gap", 1e-9)
    rates = [0.0, *(x / scaling.throughput[0] for x in scaling.throughput)]
    power = [0.0, *scaling.power_w]
    unbegun, n = len(rates), costs.per_kwh.size
    into: dict[tuple[int, int], list[Any]] = {}
    ends, work, cost = [], 0.0, 0.0
    for t, price in enumerate(costs.per_kwh / 3.6e6):
        for a in range(unbegun + 1):
            out = []
            for b in range(unbegun + 1):
                if (b == unbegun and a != b) or (a == unbegun and b == 0):
                    continue
                back = 0.0 if a in {b, unbegun} or not 0 < b < unbegun else job.restart_s
                left = rates[a] * job.checkpoint_s if 0 < a < unbegun and a != b else 0.0
                going = model.addBinary()
                out.append(going)
                into.setdefault((t + 1, b), []).append(going)
                if 0 < b < unbegun:
                    work += (rates[b] * (H - back) - left) * going
                    cost += price * power[b] * H * going
                    ending, used = model.addBinary(), model.addVariable(0, H - back)
                    model.addConstr(used <= (H - back) * ending)
                    out.append(ending)
                    ends.append(ending)
                    work += rates[b] * used - left * ending
                    cost += price * power[b] * (used + back * ending)
                else:
                    work += -left * going
                    cost += price * job.idle_w * H * (b == 0) * going
            if t == 0:
                model.addConstr(sum(out) == float(a == unbegun))
            else:
                model.addConstr(sum(out) == sum(into.get((t, a), [])))
    model.addConstr(sum(ends) == 1)
    model.addConstr(work == job.duration_s)
    assert n
    model.minimize(cost)
    assert model.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return float(model.getInfo().objective_function_value)


def is_as_told(found: Allocation, costs: Costs, job: Job, scaling: Scaling) -> None:
    """Work, cost, energy and bounds, from the slices alone."""
    speed = {s.workers: s.throughput / scaling.throughput[0] for s in scaling.sizes}
    last = len(found.slices) - 1
    done = sum(
        speed[s.workers]
        * (
            s.end_s - s.start_s
            - (job.restart_s if i else 0.0)
            - (job.checkpoint_s if i < last else 0.0)
        )
        for i, s in enumerate(found.slices)
    )  # fmt: skip
    assert done == pytest.approx(job.duration_s, abs=1e-4)
    drawn = scaled_kwh(scaling, found.slices, costs, job.idle_w)
    assert float(drawn @ costs.per_kwh) == pytest.approx(found.objective, rel=1e-6, abs=1e-9)
    assert float(drawn.sum()) == pytest.approx(found.energy_kwh, rel=1e-6)
    assert found.slices[0].start_s >= job.earliest_s - 1e-6
    assert found.slices[-1].end_s <= job.deadline_s + 1e-4
    assert all(a.end_s <= b.start_s + 1e-6 for a, b in itertools.pairwise(found.slices))


@st.composite
def questions(draw: st.DrawFn) -> tuple[Costs, Job, Scaling]:
    n = draw(st.integers(2, 6))
    low = draw(st.sampled_from([0, 0, -4]))
    values = draw(st.lists(st.integers(low, 9), min_size=n, max_size=n))
    shut = draw(st.lists(st.sampled_from([False] * 4 + [True]), min_size=n, max_size=n))
    gains = draw(st.lists(st.integers(1, 5), min_size=1, max_size=2 if n > 5 else 3))
    powers = draw(st.lists(st.integers(1, 9), min_size=len(gains), max_size=len(gains)))
    scaling = Scaling(
        tuple(range(1, len(gains) + 1)),
        tuple(float(x) for x in itertools.accumulate(gains)),
        tuple(100.0 * x for x in itertools.accumulate(powers)),
    )
    job = Job(
        draw(st.integers(1, 400)) * 60.0,
        draw(st.sampled_from([0.0, 900.0, 3570.0])),
        n * H - draw(st.sampled_from([0.0, 1200.0])),
        checkpoint_s=draw(st.sampled_from([0.0, 90.0, 900.0])),
        restart_s=draw(st.sampled_from([60.0, 600.0])),
        idle_w=draw(st.sampled_from([0.0, 50.0])),
    )
    return Costs(0.0, H, np.array(values, float), "g/kWh", np.array(shut)), job, scaling


@settings(max_examples=120, deadline=None)
@given(questions())
@example((Costs(0.0, H, np.array([5.0, 1, 5, 1])),
          Job(1.5 * H, 0, 4 * H, checkpoint_s=90, restart_s=60),
          Scaling((1, 2), (1.0, 1.8), (100.0, 200.0))))  # fmt: skip
def test_no_way_of_all_is_cheaper(asked: tuple[Costs, Job, Scaling]) -> None:
    costs, job, scaling = asked
    least = cheapest_of_all(costs, job, scaling)
    if math.isinf(least):
        with pytest.raises(InfeasibleError):
            elastic(costs, job, scaling)
        return
    found = elastic(costs, job, scaling)
    assert found.objective == pytest.approx(least, rel=1e-6, abs=1e-9)
    assert found.gap_ratio == 0
    is_as_told(found, costs, job, scaling)


@pytest.mark.parametrize("seed", range(3))
def test_a_plain_model_agrees_on_a_day(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hours = np.arange(14)
    costs = Costs(0.0, H, 300 + 150 * np.sin(hours / 3) + rng.normal(0, 40, hours.size))
    scaling = Scaling.amdahl((1, 2, 4), parallel_ratio=0.93, worker_w=350, fixed_w=80)
    job = Job(9 * H, 0, hours.size * H, checkpoint_s=180, restart_s=300, idle_w=30)
    found = elastic(costs, job, scaling)
    assert found.objective == pytest.approx(modelled(costs, job, scaling), rel=1e-6)
    assert found.gap_ratio == 0
    is_as_told(found, costs, job, scaling)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 9).map(float), min_size=8, max_size=30), st.integers(1, 8),
       st.sampled_from([30.0, 300.0]), st.sampled_from([0.0, 100.0]))  # fmt: skip
def test_costs_of_changing_lie_between_none_and_never(
    values: list[float], hours: int, change_s: float, idle_w: float
) -> None:
    costs = Costs(0.0, H, np.array(values))
    scaling = Scaling.amdahl((1, 2, 4), parallel_ratio=0.9, worker_w=300, fixed_w=100)
    plain = Job(hours * H, 0, len(values) * H)
    free = elastic(costs, plain, scaling)
    priced = [
        elastic(costs, Job(hours * H, 0, len(values) * H, checkpoint_s=c, restart_s=c,
                           idle_w=idle_w), scaling)
        for c in (change_s, 2 * change_s, 1000.0)
    ]  # fmt: skip
    steps = [free.objective, *(found.objective for found in priced), free.at_once]
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(steps))


def test_a_week_of_four_sizes_is_searched_to_the_end() -> None:
    rng = np.random.default_rng(5)
    hours = np.arange(168)
    carbon = 300 + 120 * np.sin(2 * np.pi * hours / 24) + np.cumsum(rng.normal(0, 8, hours.size))
    costs = Costs(0.0, H, np.clip(carbon, 30, None))
    scaling = Scaling.amdahl((1, 2, 4, 8), parallel_ratio=0.95, worker_w=700, fixed_w=200)
    job = Job(60 * H, 0, 168 * H, checkpoint_s=90, restart_s=120, idle_w=60)
    found = elastic(costs, job, scaling)
    assert found.gap_ratio == 0
    assert found.objective < found.at_once
    is_as_told(found, costs, job, scaling)


def test_lengths_below_zero_are_refused() -> None:
    scaling = Scaling((1,), (1.0,), (100.0,))
    with pytest.raises(UsageError):
        elastic(Costs(0.0, H, np.ones(3)), Job(H, 0, 3 * H, restart_s=-1), scaling)
