# SPDX-License-Identifier: Apache-2.0
"""Families of models: equal protocol, what their runs tell, and the program that trains them."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.comparing.families import (
    FAMILIES,
    FULL,
    QUICK,
    Family,
    Protocol,
    Result,
    pareto,
    result_of,
    settings_of,
)
from submeter.interfaces import families as program
from submeter.records.amounts import Amount
from submeter.records.figures import Basis, Missing
from submeter.records.runs import PhaseEnergy, Run
from submeter.running.trials import metered as metered_run
from tests.comparing.runs import a_run, metered


def result(family: str, accuracy: float, energy_j: float) -> Result:
    half = Amount.exact(energy_j / 2, Basis.MEASURED)
    return Result("digits", family, (accuracy, accuracy), half, half, half)


def of_family(**changes: Any) -> Run:
    phases = tuple(
        PhaseEnergy(name, 5, 2.0, metered(energy_j))
        for name, energy_j in (("selection", 100.0), ("training", 20.0), ("prediction", 5.0))
    )
    metrics = {
        "accuracy_fold_1": 0.9, "accuracy_fold_2": 0.8, "accuracy_fold_10": 0.7,
        "selections": 5.0, "trainings": 10.0, "predictions": 1000.0, "accuracy": 0.8,
    }  # fmt: skip
    given = {"metrics": metrics, "tags": {"data": "digits", "family": "trees"}, "phases": phases}
    return a_run(parameters={"chosen": "C=1"}, **{**given, **changes})


@pytest.mark.parametrize("protocol", [FULL, QUICK])
def test_every_family_may_try_as_many_settings_as_every_other(protocol: Protocol) -> None:
    drawn = {name: settings_of(family, protocol) for name, family in FAMILIES.items()}
    assert {len(rows) for rows in drawn.values()} == {protocol.settings}
    for rows in drawn.values():
        assert len({str(row) for row in rows}) == len(rows)


@settings(max_examples=20)
@given(st.sampled_from(sorted(FAMILIES)), st.integers(1, 8), st.integers(0, 5))
def test_a_draw_of_settings_repeats_and_lies_in_the_grid(name: str, count: int, seed: int) -> None:
    family: Family = FAMILIES[name]
    protocol = Protocol(settings=count, seed=seed)
    rows = settings_of(family, protocol)
    assert rows == settings_of(family, protocol)
    assert all(row[key] in family.grid[key] for row in rows for key in row)


def test_a_metered_run_tells_energies_per_search_training_and_prediction() -> None:
    found = result_of(of_family())
    assert isinstance(found, Result)
    assert found.accuracies == (0.9, 0.8, 0.7)  # in the order of the folds, not of the words
    parts = [a.value for a in (found.selection, found.training, found.prediction)
             if isinstance(a, Amount)]  # fmt: skip
    assert parts == pytest.approx([20.0, 2.0, 0.005])
    assert isinstance(found.whole, Amount)
    assert found.whole.value == pytest.approx(22.0)
    assert found.chosen == "C=1"


@pytest.mark.parametrize("changes", [{"status": "failed"}, {"metrics": {}}])
def test_a_run_that_did_not_come_to_its_end_tells_nothing(changes: dict[str, Any]) -> None:
    assert isinstance(result_of(of_family(**changes)), Missing)


def test_a_phase_that_cannot_be_told_apart_is_missing_with_the_reason() -> None:
    joint = PhaseEnergy("training", 5, 2.0, metered(9.0), joint_with=("prediction",))
    found = result_of(of_family(phases=(joint,)))
    assert isinstance(found, Result)
    assert "not separable" in str(found.training)
    assert isinstance(found.whole, Missing)


def test_what_is_beaten_in_both_is_not_on_the_front() -> None:
    rows = [result("a", 0.9, 10), result("b", 0.8, 5), result("c", 0.8, 20), result("d", 0.9, 10)]
    assert pareto(rows) == [True, True, False, True]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1, max_size=12))
def test_somebody_is_on_the_front_and_whoever_is_not_is_beaten_by_one_of_it(
    points: list[tuple[int, int]],
) -> None:
    rows = [result(str(i), a / 10, float(e)) for i, (a, e) in enumerate(points)]
    kept = pareto(rows)
    assert any(kept)
    best = [p for p, k in zip(points, kept, strict=True) if k]
    for point, keep in zip(points, kept, strict=True):
        if not keep:
            assert any(b[0] >= point[0] and b[1] <= point[1] and b != point for b in best)


def test_the_program_trains_chooses_and_logs_by_fold_under_the_meter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sklearn")
    monkeypatch.setenv("SUBMETER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SUBMETER_RUN", raising=False)
    protocol = Protocol(folds=3, inner=2, settings=2, least_s=0.8)
    trial = metered_run(
        program.arguments_of("cancer", "linear", protocol),
        key="families",
        output=tmp_path / "output",
        tags={"data": "cancer", "family": "linear"},
    )
    assert trial.exit_code == 0, trial.output.read_text()
    assert isinstance(trial.run, Run)
    found = result_of(trial.run)
    assert isinstance(found, Result)
    assert len(found.accuracies) == 3
    assert all(0.9 < value <= 1 for value in found.accuracies)
    assert found.chosen.startswith("C=")
    assert trial.run.metrics["selections"] >= 3
    assert trial.run.metrics["predictions"] >= 569
    assert trial.run.parameters["sklearn"]
    for amount in (found.selection, found.training, found.prediction):
        assert isinstance(amount, Amount)
        assert amount.value > 0
