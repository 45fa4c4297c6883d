# SPDX-License-Identifier: Apache-2.0
"""Predictions: elementary laws of time and energy, parts that sum, doubts that narrow."""

import math
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from submeter.accounting.boundaries import FABRIC
from submeter.errors import UsageError
from submeter.estimating.overheads import CHECKPOINTS, TRAIN, TRIALS, overheads_of
from submeter.estimating.predicting import (
    AS_GIVEN,
    COMPUTE,
    MEMORY,
    Course,
    Product,
    course,
    plus,
    predict,
)
from submeter.estimating.rates import Rates
from submeter.records.amounts import Amount
from submeter.records.factors import Factor
from submeter.records.figures import Quantity
from submeter.workloads.workloads import Operations, Workload

SE = {"zone": "SE", "zone_from": "argument", "pue": "1.2"}


def factor(name: str, value: float, wide: float = 1.0, unit: str = "ratio") -> Factor:
    return Factor(name, value, value / wide, value * wide, unit, source=name)


def rates(count: int = 512, **changed: object) -> Rates:
    made = Rates(
        key="nvidia-h100-sxm5-80gb",
        name="NVIDIA H100 SXM5 80GB",
        count=count,
        per_node=8,
        peak_flop_per_s=factor("peak", 989e12, unit="FLOP/s"),
        tdp_w=factor("tdp", 700.0, unit="W"),
        utilisation=factor("estimate/utilisation/h100", 0.38, 1.5),
        power_ratio=factor("estimate/power/h100", 0.8, 1.2),
        node_ratio=factor("estimate/node/datacentre", 0.35, 1.5),
        memory_bytes_per_s=factor("memory", 3.35e12, unit="B/s"),
    )
    return structs.replace(made, **changed)


def training(tokens: float = 2e12, params: float = 7e9, **changed: object) -> Workload:
    flop = 6 * params * tokens
    made = Workload(
        "7B",
        "transformer",
        params,
        params,
        {"tokens": tokens},
        Operations(flop / 3, 2 * flop / 3, bytes_moved=flop / 1000),
    )
    return structs.replace(made, **changed)


def it_j(made: Course) -> float:
    return made.it.value


def test_the_arithmetic_is_that_of_an_envelope() -> None:
    made = course(training(), rates())
    seconds = 6 * 7e9 * 2e12 / (512 * 989e12 * 0.38)
    assert made.duration.value == pytest.approx(seconds)
    assert made.devices.value == pytest.approx(seconds * 512 * 0.8 * 700)
    assert made.rest.value == pytest.approx(0.35 * made.devices.value)
    assert made.bound == COMPUTE


@given(st.floats(1e6, 1e13), st.floats(1.01, 1e2))
def test_energy_and_time_are_linear_in_tokens_at_fixed_shape(tokens: float, more: float) -> None:
    few, many = course(training(tokens), rates()), course(training(tokens * more), rates())
    assert it_j(many) == pytest.approx(more * it_j(few))
    assert many.duration.value == pytest.approx(more * few.duration.value)
    assert many.it.log_sd == pytest.approx(few.it.log_sd)


@given(st.integers(1, 10_000), st.integers(1, 10_000))
def test_more_accelerators_take_less_time_and_the_same_device_energy(a: int, b: int) -> None:
    few, many = (course(training(), rates(n)) for n in sorted((a, b)))
    assert many.duration.value <= few.duration.value
    assert many.devices.value == pytest.approx(few.devices.value)


@given(st.floats(0.05, 0.9), st.floats(1.05, 3.0))
def test_a_given_utilisation_is_followed_and_narrows(mfu: float, wide: float) -> None:
    known = course(training(), rates(utilisation=factor("estimate/utilisation/h100", mfu)))
    wider = course(training(), rates(utilisation=factor("estimate/utilisation/h100", mfu, wide)))
    assert known.duration.value * mfu == pytest.approx(6 * 7e9 * 2e12 / (512 * 989e12))
    assert known.it.log_sd < wider.it.log_sd


def test_device_hours_given_leave_no_doubt_of_the_time_and_less_of_the_energy() -> None:
    free = course(training(), rates())
    hours = free.duration.value * 512 / 3600
    told = course(training(), rates(), device_hours=hours)
    assert told.bound == AS_GIVEN
    assert told.duration.log_sd == 0
    assert told.it.value == pytest.approx(free.it.value)
    assert told.it.log_sd < free.it.log_sd
    assert course(None, rates(), device_hours=hours).it.value == pytest.approx(told.it.value)


def test_power_that_follows_the_utilisation_makes_energy_less_doubtful_than_time() -> None:
    apart, along = course(training(), rates()), course(training(), rates(with_utilisation_sd=0.1))
    assert along.it.value == apart.it.value
    assert along.duration.log_sds == apart.duration.log_sds
    assert along.devices.log_sd == pytest.approx(math.hypot(0.1, rates().power_ratio.log_sd))
    assert along.it.log_sd < apart.it.log_sd


def test_what_moves_more_bytes_than_it_computes_hangs_on_the_memory() -> None:
    made = training(operations=Operations(1e15, 2e15, bytes_moved=1e15))
    slow = course(made, rates(8))
    assert slow.bound == MEMORY
    assert slow.duration.value == pytest.approx(1e15 / (8 * 3.35e12 * 0.8))
    assert "estimate/utilisation/h100" not in slow.duration.log_sds


@given(
    st.floats(0, 0.5),
    st.floats(0, 0.5),
    st.floats(0, 0.5),
    st.sampled_from([True, False]),
    st.floats(0, 3),
)
def test_phases_sum_to_the_nodes_and_to_the_time(
    checkpoints: float,
    evaluation: float,
    restarts: float,
    whole: Literal[True, False],
    trials: float,
) -> None:
    spent = overheads_of(
        512,
        checkpoints=checkpoints,
        evaluation=evaluation,
        restarts=restarts,
        failed_trials=trials,
    )
    made = course(training(), rates(whole_run=whole), overheads=spent)
    assert sum(made.time_ratios.values()) == pytest.approx(1)
    assert sum(made.energy_ratios.values()) == pytest.approx(1)
    usual = overheads_of(512)
    steps = course(training(), rates(), overheads=usual)
    ratio = made.duration.value / steps.duration.value
    stated = checkpoints + evaluation + restarts
    held = usual.checkpoints.value + usual.evaluation.value + usual.restarts.value
    longer = (1 + trials) * (1 + stated) / (1 + held) if whole else 1 + trials + stated
    assert ratio == pytest.approx(longer)
    if checkpoints > 1e-9:
        assert made.energy_ratios[CHECKPOINTS] < made.time_ratios[CHECKPOINTS]


def test_overheads_of_steps_are_added_and_those_of_whole_runs_are_within() -> None:
    whole, steps = course(training(), rates()), course(training(), rates(whole_run=False))
    assert steps.duration.value > whole.duration.value
    assert whole.time_ratios.keys() == steps.time_ratios.keys() > {TRAIN}
    assert TRIALS not in whole.time_ratios


def test_hours_hold_the_overheads_that_are_stated() -> None:
    stated = overheads_of(512, evaluation=2.0)
    hours = course(training(), rates(), device_hours=1e6, overheads=stated)
    assert hours.duration.value == pytest.approx(1e6 / 512 * 3600)
    assert hours.time_ratios["evaluation"] > 0.6
    longer = course(training(), rates(), overheads=stated)
    assert longer.duration.value > 2.9 * course(training(), rates()).duration.value
    assert longer.devices.value > 2.9 * course(training(), rates()).devices.value


def test_a_predicted_run_sums_to_its_footprint() -> None:
    made = predict(training(), rates(), place=SE)
    run, footprint = made.run, made.footprint
    shares = [row.share for row in run.devices if isinstance(row.share, Quantity)]
    assert (run.origin, len(shares)) == ("predicted", len(run.devices))
    assert isinstance(footprint.it, Amount)
    assert isinstance(footprint.node, Amount)
    assert isinstance(footprint.facility, Amount)
    assert footprint.it.value == pytest.approx(sum(share.value for share in shares))
    phases = [row.energy for row in run.phases if isinstance(row.energy, Quantity)]
    assert footprint.node.value == pytest.approx(sum(energy.value for energy in phases))
    inside = sum(
        row.share.value
        for row in run.devices
        if isinstance(row.share, Quantity) and row.device.host != FABRIC
    )
    assert footprint.node.value == pytest.approx(inside)
    assert footprint.node.value < footprint.it.value
    assert footprint.facility.value == pytest.approx(1.2 * footprint.it.value)
    assert footprint.unknown == ()
    assert sum(driver.share_ratio for driver in made.drivers) == pytest.approx(1)
    assert made.drivers[0].name == "model FLOP utilisation"


def test_the_hardware_that_is_held_is_all_of_it() -> None:
    few, many = (predict(training(), rates(n), place=SE).footprint for n in (64, 640))
    assert isinstance(few.carbon.embodied, Amount)
    assert isinstance(many.carbon.embodied, Amount)
    # the same device-hours: the same share of the same hardware
    assert many.carbon.embodied.value == pytest.approx(few.carbon.embodied.value)


def test_one_node_has_no_fabric() -> None:
    made = course(training(), rates(8))
    assert made.fabric.value == made.storage.value == 0
    assert {row.device.host for row in predict(training(), rates(8), place=SE).run.devices} == {
        "predicted"
    }


@given(
    st.lists(
        st.tuples(
            st.floats(0.1, 1e6),
            st.dictionaries(st.sampled_from("abcd"), st.floats(0.01, 0.4), max_size=3),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_sums_of_products_are_near_those_of_amounts(
    rows: list[tuple[float, dict[str, float]]],
) -> None:
    whole = plus(tuple(Product(value, sds) for value, sds in rows))
    exact = Amount(tuple(t for v, s in rows for t in Product(v, s).amount().terms)).figure("J")
    assert whole.value == pytest.approx(exact.value)
    assert whole.value * math.exp(1.96 * whole.log_sd) == pytest.approx(exact.high, rel=0.2)


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        (0.0, "device-hours are none"),
        (-3.0, "are none"),
        (math.inf, "are none"),
        (10.0, "too few"),
    ],
)
def test_hours_that_make_no_sense_are_one_error(hours: float, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        course(training(), rates(), device_hours=hours)
    assert caught.value.remedy


def test_a_question_without_work_is_an_error() -> None:
    with pytest.raises(UsageError, match="neither"):
        course(None, rates())


@pytest.mark.parametrize("ratio", [-0.1, math.nan, math.inf])
def test_an_overhead_is_a_ratio(ratio: float) -> None:
    with pytest.raises(UsageError, match="no part"):
        overheads_of(8, restarts=ratio)


def test_more_accelerators_fail_more_often() -> None:
    assert overheads_of(16_384).restarts.value == pytest.approx(0.097, rel=0.05)  # Llama 3: < 10 %
    assert overheads_of(64).restarts.value < overheads_of(16_384).restarts.value
