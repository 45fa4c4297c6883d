# SPDX-License-Identifier: Apache-2.0
"""``submeter compare [RUN] --everyday``: what is kept of a machine, beside a run."""

import pytest

from submeter.records import Basis, Device, DeviceKind, Quantity, Run
from submeter.records.runs import DeviceEnergy, Series
from submeter.running.everyday import keeping
from submeter.storing.ledger import open_ledger
from tests.cli.stage import Stage
from tests.cli.stage import stage as bare_stage
from tests.comparing.looks import look

__all__ = ["bare_stage"]
RUN = "20261123-120001-0001"


@pytest.fixture
def stage(bare_stage: Stage) -> Stage:
    """A run of 1 kWh whose power goes up and down, and a look that was kept."""
    bare_stage.home.mkdir()
    energy = Quantity.of(3.6e6, basis=Basis.MEASURED)
    device = DeviceEnergy(Device("cpu:0", DeviceKind.CPU, "cpu", "here"), energy, energy)
    run = Run(RUN, "measured", "finished", "2026-11-23T12:00:01Z", 36.0, name="digits",
              devices=(device,), place={"zone": "DE", "pue": "1.5"},
              series=Series(1.0, {"cpu:0": [50_000.0, 150_000.0] * 18}))  # fmt: skip
    with open_ledger(bare_stage.home / "ledger.db") as ledger:
        ledger.put(run)
    keeping.keep(look(), bare_stage.home)
    return bare_stage


def test_tasks_alone(stage: Stage) -> None:
    told = stage.call("compare", "--everyday")
    assert told.code == 0
    assert "everyday computing on a machine" in told.out
    assert "the run" not in told.out.split("published")[0]
    assert not told.err


def test_a_run_beside_them(stage: Stage) -> None:
    told = stage.call("compare", "digits", "--everyday")
    assert told.code == 0
    assert "the run digits" in told.out
    assert "varies by 50 %" in " ".join(told.out.split())
    assert max(map(len, told.out.splitlines())) <= 80


def test_document(stage: Stage) -> None:
    made = stage.call("compare", "last", "--everyday", "--quick", "--json").document["everyday"]
    assert made["quick"] is False  # a longer look is better than a quick one
    assert made["quiet"] is True
    query = next(t for t in made["tasks"] if t["task"] == "sql-query")
    assert query["energy"]["value"] == pytest.approx(0.205)
    assert made["training"]["energy_node"]["value"] == pytest.approx(3.6e6)
    assert made["training"]["energy_facility"]["value"] == pytest.approx(1.5 * 3.6e6)
    counts = {t["task"]: t["count"]["value"] for t in made["training"]["equals"]}
    assert counts["sql-query"] == pytest.approx(3.6e6 / 0.205)
    assert made["training"]["load"]["peak_ratio"] == pytest.approx(1.5)
    assert made["training"]["load"]["autocorrelation"] == pytest.approx(-1.0)
    assert made["missing"]["page"]
    assert all(room["source"] and room["low"] <= room["pue"] for room in made["rooms"])


@pytest.mark.parametrize("name", ["power.svg", "power.html"])
def test_chart(stage: Stage, name: str) -> None:
    told = stage.call("compare", "last", "--everyday", "--chart", str(stage.path / name))
    assert told.code == 0
    drawn = (stage.path / name).read_text(encoding="utf-8")
    assert drawn.count("<polygon") == 9
    assert "the run digits" in drawn


def test_two_runs_are_refused_before_anything_is_measured(stage: Stage) -> None:
    told = stage.call("compare", "last", "last", "--everyday", "--again")
    assert told.code == 2
    assert "beside one run, and 2 are given" in told.err


def test_a_run_that_is_not_there_is_refused_before_anything_is_measured(stage: Stage) -> None:
    told = stage.call("compare", "nobody", "--everyday", "--again")
    assert told.code == 6
    assert "nobody" in told.err


def test_a_published_training_beside_them(stage: Stage) -> None:
    told = stage.call("compare", "--published", "BLOOM", "--everyday", "--json")
    assert told.code == 0
    made = told.document["everyday"]["training"]
    assert "BLOOM" in made["name"]
    assert made["energy_node"]["value"] > 1e12
    assert all(row["count"]["value"] > 1e6 for row in made["equals"])
    assert "missing" in made["load"]
    both = stage.call("compare", "last", "--published", "BLOOM", "--everyday")
    assert both.code == 2
