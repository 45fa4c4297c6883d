# SPDX-License-Identifier: Apache-2.0
"""The same work: per unit of it and to the same quality, and when that cannot be told."""

import math

import pytest

from submeter.comparing.differences import Change
from submeter.comparing.runs import Row
from submeter.comparing.work import SameWork, same_work
from submeter.records.amounts import Amount
from submeter.records.figures import Missing
from submeter.records.runs import Run
from tests.comparing.runs import a_run, column, learning


def done(*runs: Run, metric: str = "", target: float | None = None) -> SameWork:
    columns = [column(run, label=run.name) for run in runs]
    return same_work(columns, metric=metric, target=target)


def values(row: Row) -> list[float]:
    return [v.amount.value for v in row.values if isinstance(v.amount, Amount)]


def test_energy_and_time_are_divided_by_the_work_done() -> None:
    big = a_run(3000, number=1, work={"samples": 4000.0}, duration_s=120.0)
    made = done(a_run(1000), big)
    energy, time = made.per_unit
    assert energy.name == "energy per sample"
    assert values(energy) == pytest.approx([1.4 * 1.0, 1.4 * 0.75])
    assert isinstance(energy.changes[1], Change)
    assert energy.changes[1].ratio == pytest.approx(0.75)
    assert values(time) == pytest.approx([0.06, 0.03])


def test_samples_of_other_data_are_not_the_same_work() -> None:
    made = done(a_run(), a_run(number=1, tags={"data": "faces"}))
    assert "not the same work" in " ".join(made.refused)
    assert made.reached is None
    assert all(isinstance(row.changes[1], Missing) for row in made.per_unit)


def test_without_a_common_unit_it_says_what_each_logged() -> None:
    made = done(a_run(), a_run(number=1, work={"tokens": 5.0}))
    assert made.per_unit == ()
    assert "run0: samples; run1: tokens" in " ".join(made.refused)


@pytest.mark.parametrize(("batch", "rows"), [(10.0, 2), (20.0, 0)])
def test_steps_are_work_only_where_they_are_as_large(batch: float, rows: int) -> None:
    one = a_run(work={"steps": 100.0, "samples": 1000.0})
    other = a_run(number=1, work={"steps": 100.0, "images": 100 * batch})
    made = done(one, other)
    assert len(made.per_unit) == rows


def test_a_run_that_goes_on_has_no_energy_per_sample_yet() -> None:
    made = done(a_run(), a_run(number=1, status="running"))
    assert made.per_unit == ()
    assert "goes on" in " ".join(made.refused)


def test_energy_to_the_quality_that_all_reached_follows_the_power_over_time() -> None:
    slow = learning(a_run(1000), [0.5, 0.7, 0.8, 0.85], powers=[10, 10, 10, 10])
    fast = learning(a_run(1000, number=1), [0.8, 0.9, 0.92, 0.93], powers=[40, 20, 20, 20])
    reached = done(slow, fast).reached
    assert reached is not None
    assert reached.target == pytest.approx(0.85)
    assert values(reached.energy) == pytest.approx([1400.0, 1400 * 0.6])
    assert values(reached.time) == pytest.approx([60.0, 30.0])
    # somewhere between the first and the second point: 560 J to 840 J
    low = reached.energy.values[1].amount
    assert isinstance(low, Amount)
    assert low.bound_low == pytest.approx(1400 * 0.2)


def test_of_a_loss_less_is_better() -> None:
    one = learning(a_run(), [3.0, 2.0, 1.0], metric="loss")
    other = learning(a_run(number=1), [2.5, 1.5, 1.2], metric="loss")
    reached = done(one, other).reached
    assert reached is not None
    assert reached.target == pytest.approx(1.2)
    assert not reached.rising
    assert values(reached.time) == pytest.approx([60.0, 60.0])


def test_a_quality_that_one_never_reached_is_missing_there() -> None:
    one, other = learning(a_run(), [0.5, 0.6]), learning(a_run(number=1), [0.5, 0.9])
    reached = done(one, other, target=0.8).reached
    assert reached is not None
    assert "not reached" in str(reached.energy.values[0].amount)
    assert isinstance(reached.energy.changes[1], Missing)
    assert done(one, other, target=0.99).reached is None


def test_the_quality_may_be_named_and_one_that_is_not_logged_is_told() -> None:
    one, other = learning(a_run(), [0.5, 0.6]), learning(a_run(number=1), [0.5, 0.9])
    made = done(one, other, metric="f1")
    assert made.reached is None
    assert "“f1” is not logged over time by run0, run1" in " ".join(made.refused)


def test_without_power_over_time_even_power_is_told_as_such() -> None:
    one, other = learning(a_run(), [0.5, 0.6]), learning(a_run(number=1), [0.6, 0.9])
    made = done(one, other)
    assert "evenly" in " ".join(made.refused)
    assert made.reached is not None
    assert values(made.reached.energy) == pytest.approx([1400.0, 700.0])


def test_values_that_are_no_numbers_are_no_quality() -> None:
    one = learning(a_run(), [math.nan, 0.6])
    other = learning(a_run(number=1), [0.5, 0.7])
    reached = done(one, other).reached
    assert reached is not None
    assert reached.target == pytest.approx(0.6)


def test_the_reversed_order_gives_inverse_ratios() -> None:
    one = learning(a_run(1000), [0.5, 0.7, 0.8])
    other = learning(a_run(700, number=1, host="other"), [0.6, 0.7, 0.9])
    there, back = done(one, other).reached, done(other, one).reached
    assert there is not None
    assert back is not None
    a, b = there.energy.changes[1], back.energy.changes[1]
    assert isinstance(a, Change)
    assert isinstance(b, Change)
    assert a.ratio_low * b.ratio_high == pytest.approx(1)
