# SPDX-License-Identifier: Apache-2.0
"""``submeter claim TEXT|FILE``: public claims beside the account of certificates."""

import pytest

from submeter.records import Basis, Device, DeviceKind, Quantity, Run
from submeter.records.runs import DeviceEnergy
from submeter.storing.ledger import open_ledger
from tests.cli.stage import Stage, stage

__all__ = ["stage"]

RECORD = """
claim = "This training emitted less than a flight from Paris to London."
quantity = "carbon of the training, in flights of one passenger"
value = 1
unit = "flight"
relation = "at most"
[numbers.training]
run = "carbon"
unit = "kg"
[numbers.flight]
fact = "equivalents/flight_paris_london/carbon_kg"
unit = "kg/flight"
[[boundaries]]
name = "the electricity of the run is meant"
formula = "training / flight"
"""


@pytest.mark.parametrize(
    "words",
    [
        ("this training emitted as much as five cars",),
        ("this", "training", "emitted", "as", "much", "as", "5", "cars"),
        ("check", "five cars"),
        ("five-cars",),
    ],
)
def test_a_sentence_is_checked(stage: Stage, words: tuple[str, ...]) -> None:
    told = stage.call("claim", *words)
    assert told.code == 0
    assert "Holds only if a search over thousands of trainings is meant" in told.out
    assert "656 347 kWh × 432.7 g/kWh ÷ 57 153 kg/car = 4.97 (4.51 – 5.48) cars" in told.out
    assert max(map(len, told.out.splitlines())) <= 80


def test_answer(stage: Stage, snapshot: object) -> None:
    assert stage.call("claim", "immersion cuts cooling energy by 88 %").out == snapshot


@pytest.mark.parametrize("words", [("--json", "five cars"), ("five cars", "--json")])
def test_document(stage: Stage, words: tuple[str, ...]) -> None:
    made = stage.call("claim", *words).document
    assert made["schema"] == 1
    assert made["verdict"] == "holds only if"
    assert [row["meets"] for row in made["boundaries"]] == ["yes", "no", "no"]
    assert made["boundaries"][0]["value"] == pytest.approx(4.97, abs=0.01)
    assert all(row["source"] and row["year"] for row in made["numbers"].values())


def test_another_number_is_taken(stage: Stage) -> None:
    told = stage.call("claim", "this training emitted as much as 40 cars")
    assert "with your 40" in told.err
    assert "Cannot hold." in told.out


def test_a_number_that_is_not_understood_is_said(stage: Stage) -> None:
    told = stage.call("claim", "ChatGPT drinks 3 of these bottles of water")
    assert "yours was not understood" in told.err


def test_all_are_listed(stage: Stage) -> None:
    told = stage.call("claim", "--list")
    assert told.code == 0
    assert len(told.out.splitlines()) >= 30
    made = stage.call("claim", "--list", "--json").document["claims"]
    assert len(made) == len(told.out.splitlines())


def test_a_record_about_a_run(stage: Stage) -> None:
    stage.home.mkdir()
    energy = Quantity.of(3.6e6, basis=Basis.MEASURED)
    device = DeviceEnergy(Device("cpu:0", DeviceKind.CPU, "cpu", "here"), energy, energy)
    run = Run("20261123-120001-0001", "measured", "finished", "2026-11-23T12:00:01Z", 60.0,
              name="digits", devices=(device,), place={"zone": "DE", "pue": "1.0"})  # fmt: skip
    with open_ledger(stage.home / "ledger.db") as ledger:
        ledger.put(run)
    path = stage.path / "ours.toml"
    path.write_text(RECORD, encoding="utf-8")
    told = stage.call("claim", str(path), "--run", "last")
    assert told.code == 0
    assert "Holds" in told.out
    without = stage.call("claim", str(path))
    assert without.code == 2
    assert "--run last" in without.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("lst",), "claim has no verb “lst”"),
        (("retier", "last"), "claim has no verb “retier”"),
        (("check",), "there is no claim to check"),
        (("--json",), "there is no claim to check"),
        (("the sky is blue",), "is no claim that is known"),
        (("gone.toml",), "gone.toml cannot be read"),
    ],
)
def test_what_cannot_be_checked(stage: Stage, words: tuple[str, ...], said: str) -> None:
    told = stage.call("claim", *words)
    assert told.code == 2
    assert said in told.err
    assert told.err.count("\n") == 2


def test_the_account_keeps_its_verbs(stage: Stage) -> None:
    assert stage.call("claim", "list").err.startswith("no claim yet")
    said = stage.call("claim", "--help").out
    for verb in ("add", "check", "list", "release", "retire", "undo", "use"):
        assert f"\n  {verb} " in said
