# SPDX-License-Identifier: Apache-2.0
"""``submeter explain --layers``: the table, the icicle, the chart, and where there is none."""

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from submeter.records.layers import ClassPower, LayerCalibration, LayerProfile, LayerTime, Steps
from submeter.storing import layers as kept
from submeter.storing.exchange import export_runs, import_runs
from submeter.storing.ledger import open_ledger
from submeter.storing.places import run_folder
from tests.cli.stage import Stage, stage
from tests.reporting.examples import digits

__all__ = ["stage"]

PROFILE = LayerProfile(
    pid=7,
    model="Net",
    phase="train",
    steps=Steps(seen=1000, sampled=20, total_s=50.0, spent_s=0.25),
    times=(
        LayerTime("up", "forward", "Linear", 20, 2.0, 2.0, 0.01),
        LayerTime("up", "backward", "Linear", 0, 4.0, 4.0, 0.01),
        LayerTime("norm", "forward", "LayerNorm", 20, 1.0, 1.0, 0.01),
        LayerTime("(optimiser)", "step", "", 0, 1.0, 1.0, 0.01),
    ),
)


@pytest.fixture
def folder(stage: Stage) -> Path:
    """Folder of a run, with the layers of its process."""
    phases = tuple(
        msgspec.structs.replace(p, devices={"cpu:0": 500.0, "dram:0": 400.0})
        if p.path == "train" else p
        for p in digits().phases
    )  # fmt: skip
    run = msgspec.structs.replace(digits(), phases=phases)
    with open_ledger(stage.home / "ledger.db") as ledger:
        ledger.put(run)
    made = run_folder(stage.home, run.id)
    made.mkdir(parents=True, exist_ok=True)
    kept.keep(made, PROFILE)
    return made


@pytest.mark.usefixtures("folder")
def test_the_table_names_layers_classes_and_what_it_cost(stage: Stage) -> None:
    done = stage.call("explain", "last", "--layers")
    assert done.code == 0, done.err
    assert "at the wall 100 %" in done.out
    (line,) = [row for row in done.out.splitlines() if row.startswith("up ")]
    assert " ".join(line.split()) == "up Linear 75 % 25 % 50 % compute 0.30 s"
    assert "steps were looked at; that cost < 1 % of their time" in done.out
    assert "by class: compute 75 %, memory 25 %" in done.out


@pytest.mark.usefixtures("folder")
def test_the_tree_goes_down_to_the_layer_and_still_sums(stage: Stage) -> None:
    tree = stage.call("explain", "last", "--json").document["tree"]
    names: set[str] = set()

    def check(branch: dict[str, Any]) -> None:
        names.add(branch["name"])
        values = [c["energy"]["value"] for c in branch["children"] if "value" in c["energy"]]
        if values:
            assert math.fsum(values) == branch["energy"]["value"]
        for child in branch["children"]:
            check(child)

    check(tree)
    assert {"Net", "up", "norm", "(optimiser)"} <= names


@pytest.mark.usefixtures("folder")
def test_json_has_a_row_for_each_part_and_they_sum_to_one(stage: Stage) -> None:
    found = stage.call("explain", "last", "--layers", "--json").document["layers"]
    assert math.fsum(row["share_ratio"] for row in found["rows"]) == pytest.approx(1.0)
    assert found["classes"] == pytest.approx({"compute": 0.75, "memory": 0.25})


@pytest.mark.usefixtures("folder")
def test_power_that_was_fitted_on_this_machine_moves_the_shares(stage: Stage) -> None:
    powers = (ClassPower("compute", 100.0, 0.02, 3, "layers repeated alone"),
              ClassPower("memory", 50.0, 0.02, 3, "layers repeated alone"))  # fmt: skip
    made = LayerCalibration(
        machine="box", device="cpu",
        made_utc="2026-11-24T00:00:00Z", powers=powers,
    )  # fmt: skip
    kept.keep_calibration(made, stage.home)
    found = stage.call("explain", "last", "--layers", "--json").document["layers"]
    assert found["classes"]["compute"] == pytest.approx(600 / 700)


@pytest.mark.parametrize(
    ("name", "begins"), [("j.html", "<!doctype html>"), ("j.svg", "<svg"), ("j.json", "{")]
)
@pytest.mark.usefixtures("folder")
def test_the_icicle_is_written_in_the_form_that_is_named(
    stage: Stage, tmp_path: Path, name: str, begins: str
) -> None:
    done = stage.call("explain", "last", "--layers", "--chart", str(tmp_path / name))
    assert done.code == 0, done.err
    assert (tmp_path / name).read_text().startswith(begins)


def test_a_run_without_layers_says_why_and_what_to_do(stage: Stage, folder: Path) -> None:
    (folder / "layers.7").unlink()
    done = stage.call("explain", "last", "--layers")
    assert done.code == 4
    assert "they were not asked for" in done.err
    assert "submeter run --layers" in done.err
    kept.say_why(folder, 7, "the program compiles its model")
    assert "the program compiles its model" in stage.call("explain", "last", "--layers").err


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("journals", [True, False])
def test_layers_travel_with_their_run(stage: Stage, tmp_path: Path, *, journals: bool) -> None:
    archive = tmp_path / "run.tar.gz"
    with open_ledger(stage.home / "ledger.db") as ledger:
        export_runs(["last"], archive, ledger=ledger, journals=journals)
    other = tmp_path / "other"
    other.mkdir()
    with open_ledger(other / "ledger.db") as ledger:
        (run,) = import_runs(archive, ledger=ledger)
    assert kept.profiles(run_folder(other, run.id)) == [PROFILE]
