# SPDX-License-Identifier: Apache-2.0
"""What joules were turned into: operations, samples, points of quality."""

import math

import pytest

from submeter.accounting.boundaries import footprint
from submeter.explaining.use import Work, quality_of, spent_until, use_of
from submeter.records.devices import Device, DeviceKind
from submeter.records.figures import Basis, Figure, Missing, Quantity
from submeter.records.runs import DeviceEnergy, MetricPoint, Run, Series

A100_BF16 = 312e12


def run_of(**more: object) -> Run:
    energy = Quantity.of(1000.0, basis=Basis.MEASURED)
    device = Device("gpu:0", DeviceKind.GPU, "NVIDIA A100-SXM4-80GB", "h")
    fields: dict[str, object] = {
        "devices": (DeviceEnergy(device, energy, energy),),
        "work": {"samples": 50.0, "steps": 5.0},
        "series": Series(1.0, {"gpu:0": [50.0] * 5 + [150.0] * 5}),
    }
    return Run("r", "measured", "finished", "2026-01-01T00:00:00Z", 10.0, **(fields | more))  # type: ignore[arg-type]


def curve(*values: float, name: str = "val_accuracy") -> tuple[MetricPoint, ...]:
    return tuple(MetricPoint(2.0 * i, {name: v}, i) for i, v in enumerate(values))


@pytest.mark.parametrize(
    ("more", "flop"),
    [
        ({"metrics": {"flop_per_sample": 2e13}}, 1e15),
        ({"metrics": {"flops_per_step": 2e14}}, 1e15),
        ({"parameters": {"total_flop": "1e15"}}, 1e15),
        ({"metrics": {"flop_per_token": 1.0}}, None),
        ({}, None),
    ],
)
def test_operations_are_those_that_were_logged(
    more: dict[str, object], flop: float | None
) -> None:
    run = run_of(**more)
    found = use_of(run, footprint(run, 1.0))
    if flop is None:
        assert isinstance(found.operations, Missing)
        assert isinstance(found.utilisation, Missing)
        assert "FLOP" not in found.per
    else:
        assert found.operations == pytest.approx(flop)
        assert found.per["FLOP"].value == pytest.approx(1000.0 / flop)


def test_utilisation_is_operations_over_what_the_board_can_do() -> None:
    run = run_of(parameters={"precision": "bfloat16"})
    found = use_of(run, footprint(run, 1.0), Work(flop_per={"sample": 2e13}))
    assert isinstance(found.utilisation, Figure)
    assert found.achieved_flop_per_s == pytest.approx(1e14)
    assert found.utilisation.value == pytest.approx(1e14 / A100_BF16)
    assert not any("precision" in note for note in found.notes)


def test_the_roofline_counts_the_memory_where_it_is_the_lower() -> None:
    run = run_of(parameters={"precision": "bf16"})
    work = Work(flop_per={"sample": 2e13}, bytes_per={"sample": 2e11})
    found = use_of(run, footprint(run, 1.0), work)
    assert isinstance(found.possible, Figure)
    assert isinstance(found.utilisation, Figure)
    bandwidth = 2.039e12
    assert found.possible.value == pytest.approx(1e14 / (bandwidth * 100), rel=0.05)
    assert found.possible.value > found.utilisation.value


def test_a_precision_that_nobody_logged_is_said() -> None:
    run = run_of(metrics={"flop_per_sample": 2e13})
    assert any("precision" in n for n in use_of(run, footprint(run, 1.0)).notes)


def test_energy_per_sample_and_per_point_of_each_quality() -> None:
    metrics = {"accuracy": 0.8, "precision": 0.5, "recall": 50.0, "f1": 0.4, "loss": 2.0}
    run = run_of(metrics=metrics)
    found = use_of(run, footprint(run, 1.2))
    assert found.per["sample"].value == pytest.approx(1200 / 50)
    assert {n: f.value for n, f in found.per_point.items()} == pytest.approx(
        {"accuracy": 15.0, "precision": 24.0, "recall": 24.0, "f1": 30.0}
    )


def test_the_curve_runs_over_the_energy_that_was_spent() -> None:
    run = run_of(metric_history=curve(0.1, 0.5, 0.7, 0.79, 0.8))
    found = use_of(run, footprint(run, 2.0))
    assert [p.energy_j for p in found.curve] == pytest.approx([0, 200, 400, 800, 1400])
    assert found.metric == "val_accuracy"


@pytest.mark.parametrize(
    ("points", "name", "share"),
    [
        ((0.0, 0.99, 1.0, 1.0), "accuracy", 0.1),  # 2 s at 50 W of 1000 J
        ((10.0, 1.0, 0.0, 3.0), "loss", 0.1 * 0.1),  # from 0.1 on, a tenth of the step
        ((0.0, 1.0), "accuracy", 0.1 * 0.01),
    ],
)
def test_what_the_last_hundredth_of_the_way_took(
    points: tuple[float, ...], name: str, share: float
) -> None:
    run = run_of(metric_history=curve(*points, name=name))
    found = use_of(run, footprint(run, 1.5))
    assert isinstance(found.last_percent, Figure)
    assert found.last_percent_ratio == pytest.approx(share, rel=1e-6)
    assert found.last_percent.value == pytest.approx(1500 * share, rel=1e-6)


@pytest.mark.parametrize("points", [(), (0.5,), (0.5, 0.5, 0.5)])
def test_without_a_way_nothing_is_said_of_its_last_part(points: tuple[float, ...]) -> None:
    run = run_of(metric_history=curve(*points))
    assert isinstance(use_of(run, footprint(run, 1.5)).last_percent, Missing)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["loss", "accuracy"], ("accuracy", True)),
        (["train_acc", "val_acc"], ("val_acc", True)),
        (["loss", "val_loss"], ("val_loss", False)),
        (["lr", "step_time"], ("", True)),
        (["perplexity"], ("perplexity", False)),
        (["bleu", "val_loss"], ("bleu", True)),
    ],
)
def test_which_metric_is_the_quality(names: list[str], chosen: tuple[str, bool]) -> None:
    points = tuple(MetricPoint(float(i), dict.fromkeys(names, 1.0)) for i in range(3))
    assert quality_of(run_of(metric_history=points)) == chosen


def test_spending_ends_with_the_whole() -> None:
    run = run_of()
    spent = spent_until(run, [0.0, 3.3, 10.0, 99.0], 7.0)
    assert spent == sorted(spent)
    assert (spent[0], spent[-1]) == pytest.approx((0.0, 7.0))
    assert math.isclose(spent[2], 7.0)
