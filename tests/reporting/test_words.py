# SPDX-License-Identifier: Apache-2.0
"""The JSON says what docs/json.md says, strictly, and unknown is never a number."""

import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from submeter.records.figures import Basis, ErrorTerm, Missing, Quantity
from submeter.records.runs import MetricPoint, PhaseEnergy, RankEnergy, Run
from submeter.reporting.words import JSON_SCHEMA, energy_figure, run_document, to_json
from tests.reporting.examples import amount, digits, eight_boards, modelled, nothing, phase

DOCUMENT = Path(__file__).parents[2] / "docs" / "json.md"

# Schema 1 as architecture.md has it: these words may gain company, none may go.
WORDS = {
    "": "schema run energy devices phases ranks outside_phases unattributed carbon water cost "
    "equivalents metrics work notes",
    "run": "id name origin status exit_code started_utc duration_s command tags hosts",
    "energy": "devices node it facility",
    "devices": "id kind name energy drawn_energy",
    "phases": "path count duration_s energy",
    "ranks": "rank host energy",
    "carbon": "location market marginal embodied",
    "water": "onsite offsite stress",
}
FIGURE = {"value", "low", "high", "level", "unit", "basis", "basis_shares", "source"}


def strict(text: str) -> object:
    def refuse(word: str) -> object:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def document(run: Run) -> dict[str, object]:
    made = strict(to_json(run_document(run, amount(run))))
    assert isinstance(made, dict)
    return made


def ranked() -> Run:
    share = Quantity.of(5.0, basis=Basis.MEASURED)
    return structs.replace(digits(), ranks=(RankEnergy(0, "box", share),))


def test_every_word_of_schema_1_is_there() -> None:
    made = document(ranked())
    for part, words in WORDS.items():
        held = made[part] if part else made
        rows = held if isinstance(held, list) else [held]
        assert rows
        for row in rows:
            assert isinstance(row, dict)
            assert set(words.split()) <= set(row), part
    assert made["schema"] == JSON_SCHEMA == 1


def test_every_word_is_documented() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    told = set(re.findall(r"`([a-z_]+)`", text))

    def keys(held: object, *, free: bool = False) -> set[str]:
        if isinstance(held, list):
            return set().union(*(keys(x) for x in held)) if held else set()
        if not isinstance(held, dict):
            return set()
        found = set() if free else set(held)
        for name, value in held.items():
            # Names of these maps are the user's or the machine's.
            mine = name in {"tags", "metrics", "values", "work", "parameters", "machine", "code"}
            mine = mine or name in {"flags", "means", "basis_shares", "scopes", "market_scopes"}
            mine = mine or (name == "place" and isinstance(value, dict))
            mine = mine or (
                name == "devices" and isinstance(value, dict) and "missing" not in value
            )
            mine = mine and not (isinstance(value, dict) and "value" in value)
            found |= keys(value, free=mine)
        return found

    point = MetricPoint(1.0, {"loss": 0.5}, 3)
    assert keys(document(structs.replace(ranked(), metric_history=(point,)))) - told == set()


def test_a_figure_says_all_about_itself() -> None:
    made = document(digits())
    energy = made["energy"]
    assert isinstance(energy, dict)
    assert set(energy["facility"]) >= FIGURE
    assert energy["facility"]["unit"] == "J"
    assert energy["devices"]["value"] == 1080
    assert energy["facility"]["basis"] == "assumed"


def test_what_is_unknown_says_why_and_is_no_zero() -> None:
    made = document(nothing())
    why = {"missing": "no device of this run could be read or modelled"}
    energy = made["energy"]
    assert isinstance(energy, dict)
    assert energy["facility"] == energy["node"] == energy["devices"] == why
    assert made["outside_phases"] == {"missing": "not computed"}
    for figure in ("location", "market", "marginal", "embodied"):
        carbon = made["carbon"]
        assert isinstance(carbon, dict)
        assert set(carbon[figure]) == {"missing"}


def test_a_lower_bound_names_what_it_lacks() -> None:
    energy = document(eight_boards(lost=True))["energy"]
    assert isinstance(energy, dict)
    assert energy["unknown"] == ["gpu:GPU-7: lost before its first reading"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_f10_a_metric_that_is_no_number_becomes_missing(value: float) -> None:
    run = structs.replace(
        digits(),
        metrics={"loss": value},
        work={"samples": value},
        metric_history=(MetricPoint(1.0, {"loss": value}),),
    )
    made = document(run)
    metrics = made["metrics"]
    assert isinstance(metrics, dict)
    assert set(metrics["loss"]) == {"missing"}


def test_f10_a_quantity_that_is_no_number_becomes_missing() -> None:
    assert energy_figure(Quantity(math.inf)) == {"missing": "not a finite number"}
    assert energy_figure(Missing("")) == {"missing": "not known"}


@given(name=st.text(st.characters(codec=None)), path=st.text(st.characters(codec=None)))
def test_f21_any_name_is_ascii_and_comes_back_as_it_was(name: str, path: str) -> None:
    phases = (PhaseEnergy(path, 1, 1.0, Missing("x")),)
    run = structs.replace(digits(), name=name, phases=phases, tags={name: path})
    text = to_json(run_document(run, amount(run)))
    assert text.isascii()
    assert "\x1b" not in text
    made = strict(text)
    assert isinstance(made, dict)
    assert made["run"]["name"] == name
    assert made["phases"][0]["path"] == path


def test_rows_of_phases_and_outside_sum_to_the_node() -> None:
    made = document(digits())
    rows = made["phases"]
    assert isinstance(rows, list)
    outside, energy = made["outside_phases"], made["energy"]
    assert isinstance(outside, dict)
    assert isinstance(energy, dict)
    whole = sum(row["energy"]["value"] for row in rows) + outside["value"]
    assert whole == pytest.approx(energy["node"]["value"], rel=1e-3)


def test_phases_that_cannot_be_told_apart_share_one_figure() -> None:
    rows = (
        phase("a", modelled(10), joint_with=("b",)),
        phase("b", modelled(10).with_terms((ErrorTerm("x", 0.5),)), joint_with=("a",)),
    )
    run = structs.replace(digits(), phases=rows)
    made = json.loads(to_json(run_document(run, amount(run))))
    first, second = (row["energy"] for row in made["phases"])
    assert first == second
