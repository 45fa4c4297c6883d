# SPDX-License-Identifier: Apache-2.0
"""A project's runs by stage, and the share of the model that came out."""

import math
from typing import Any

import pytest

from submeter.accounting.boundaries import footprint
from submeter.explaining.dividing import sums
from submeter.explaining.lifecycle import final_of, life_cycle, stage_of
from submeter.records.amounts import Amount
from submeter.records.devices import Device, DeviceKind
from submeter.records.figures import Basis, Missing, Quantity
from submeter.records.runs import DeviceEnergy, Run


def run_of(ident: str, energy_j: float | None = 10.0, **more: Any) -> Run:
    share: Quantity | Missing = Missing("not read")
    if energy_j is not None:
        share = Quantity.of(energy_j, basis=Basis.MEASURED)
    device = DeviceEnergy(Device("cpu:0", DeviceKind.CPU, "", "h"), share, share)
    fields: dict[str, Any] = {"status": "finished", "devices": (device,), **more}
    return Run(
        id=ident, origin="measured", started_utc=f"2026-01-{ident:0>2}T00:00:00Z", duration_s=1.0,
        **fields,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("more", "stage"),
    [
        ({"tags": {"stage": "tuning"}}, "tuning trials"),
        ({"tags": {"stage": "distillation"}}, "distillation"),
        ({"tags": {"search": "x"}, "name": "train"}, "tuning trials"),
        ({"tags": {"proof": "x"}}, "model selection"),
        ({"name": "prepare-data"}, "data preparation"),
        ({"name": "baseline"}, "model selection"),
        ({"name": "sweep 3"}, "tuning trials"),
        ({"name": "eval-large"}, "evaluation"),
        ({"command": ("python", "preprocess.py")}, "data preparation"),
        ({"command": ("python", "main.py")}, "training"),
        ({"status": "failed", "tags": {"stage": "training"}}, "failed"),
        ({"status": "killed"}, "failed"),
        ({"status": "stopped"}, "training"),
    ],
)
def test_stage_of(more: dict[str, Any], stage: str) -> None:
    assert stage_of(run_of("1", **more)) == stage


def test_the_whole_cycle_sums_and_names_the_final_model() -> None:
    runs = [
        run_of("1", 5.0, name="prepare"),
        *(run_of(str(i), 10.0, tags={"search": "s"}) for i in range(2, 6)),
        run_of("6", 20.0, name="train", status="failed"),
        run_of("7", 30.0, name="train"),
        run_of("8", 5.0, name="evaluate"),
        run_of("9", None, name="train"),
    ]
    found = life_cycle("thesis", [(r, footprint(r, 1.1)) for r in reversed(runs)])
    assert sums(found.tree)
    stages = {b.name: b.energy.value for b in found.tree.children if isinstance(b.energy, Amount)}
    assert list(stages) == [
        "data preparation", "tuning trials", "training", "evaluation", "failed",
    ]  # fmt: skip
    assert stages == pytest.approx(
        {"data preparation": 5.5, "tuning trials": 44, "training": 33, "evaluation": 5.5,
         "failed": 22}
    )  # fmt: skip
    assert "final" not in found.tree.detail  # the latest has no energy


def test_share_of_the_final_model_is_by_its_tag() -> None:
    runs = [
        run_of("1", 30.0, tags={"final": "yes"}, name="train"),
        run_of("2", 70.0, name="train"),
    ]
    found = life_cycle("p", [(r, footprint(r, 1.0)) for r in runs])
    assert found.tree.detail["final"] == "1"
    share = found.tree.detail["final_share_ratio"]
    assert isinstance(share, float)
    assert math.isclose(share, 0.3)
    assert "30 %" in found.notes[0]
    assert "3.3 ×" in found.notes[0]


def test_the_latest_training_that_finished_is_final_where_no_tag_says_so() -> None:
    runs = [run_of("1"), run_of("3", status="failed"), run_of("2"), run_of("4", name="eval")]
    final = final_of(runs)
    assert final is not None
    assert final.id == "2"
    assert final_of([run_of("1", status="killed")]) is None


def test_a_project_of_which_nothing_is_known() -> None:
    run = run_of("1", None)
    assert isinstance(life_cycle("p", [(run, footprint(run, 1.0))]).tree.energy, Missing)
