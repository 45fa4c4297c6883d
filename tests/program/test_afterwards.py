# SPDX-License-Identifier: Apache-2.0
"""What a program asks of a run that is over: `submeter.footprint` and `submeter.compare`."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

import submeter
from submeter.circumstances.reckoning import Asked, reckon
from submeter.comparing.differences import Change
from submeter.errors import RunNotFoundError, SubmeterError, UsageError
from submeter.records.runs import Run


@pytest.fixture(autouse=True)
def nobodys_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SUBMETER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def a_run() -> Run:
    return submeter.published_run(
        name="a run", energy_kwh=5000, scope="it", pue=1.2, zone="DE", started="2023-05"
    )


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({}, Asked()),
        ({"zone": "SE"}, Asked(zone="SE")),
        ({"pue": 1.5}, Asked(pue=1.5)),
        ({"cooling": "immersion"}, Asked(cooling="immersion")),
        ({"supply": "wind"}, Asked(supply="wind")),
        ({"at": "2024-01-10 02:00"}, Asked(at_utc_s=1704852000.0)),
        ({"zone": "PL", "pue": 1.1, "price": "0.3"}, Asked(zone="PL", pue=1.1, price="0.3")),
    ],
    ids=str,
)
def test_a_program_gets_what_the_command_line_shows(given: dict[str, Any], asked: Asked) -> None:
    assert submeter.footprint(a_run(), **given) == reckon(a_run(), asked)


@pytest.mark.parametrize("wrong", [{"pue": 0.5}, {"at": "soon"}, {"zone": "Atlantis"}], ids=str)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SubmeterError):
        submeter.footprint(a_run(), **wrong)


def test_two_side_by_side_with_their_names_and_their_change() -> None:
    here, there = submeter.footprint(a_run()), submeter.footprint(a_run(), zone="SE")
    said = submeter.compare(as_it_was=here, in_Sweden=there).splitlines()
    assert "as it was" in said[0]
    assert "in Sweden" in said[0]
    assert "change" in said[0]
    energy = next(line for line in said if line.startswith("energy, facility"))
    carbon = next(line for line in said if line.startswith("carbon, location"))
    assert energy.endswith((" 0 %", "the same"))
    assert "−" in carbon
    assert all(line == line.rstrip() for line in said)


def test_three_side_by_side() -> None:
    made = submeter.footprint(a_run())
    said = submeter.compare(one=made, two=made, three=made)
    assert all(name in said.splitlines()[0] for name in ("one", "two", "three"))


def test_one_alone_is_nothing_to_compare() -> None:
    with pytest.raises(UsageError):
        submeter.compare(alone=submeter.footprint(a_run()))


def test_two_runs_given_by_place_are_compared_with_what_changed() -> None:
    before = msgspec.structs.replace(a_run(), duration_s=60.0)
    after = msgspec.structs.replace(
        before, id="20261123-170000-0002", name="after", duration_s=99.0
    )
    made = submeter.compare(before, after, by="phase")
    assert [column.label for column in made.comparison.columns][1] == "after"
    assert "what it did" in str(made)
    assert "after" in repr(made)
    told = made.to_dict()
    assert told["schema"] == 1
    rows = {row.key: row for row in made.comparison.rows}
    time = rows["time"].changes[1]
    assert isinstance(time, Change)
    assert time.distinguishable


def test_the_same_work_is_asked_for_by_name() -> None:
    before = msgspec.structs.replace(a_run(), work={"samples": 10.0})
    after = msgspec.structs.replace(before, id="20261123-170000-0002", work={"samples": 20.0})
    made = submeter.compare(before, after, same_work=True)
    assert made.same_work is not None
    change = made.same_work.per_unit[0].changes[1]
    assert isinstance(change, Change)
    assert change.ratio == pytest.approx(0.5)


def test_a_run_that_was_measured_here_or_is_told_by_name_is_explained_and_compared() -> None:
    with submeter.measure("first") as first:
        pass
    with submeter.measure("second") as second:
        pass
    assert submeter.explain(first).run_id == first.id
    assert submeter.explain("first").tree == submeter.explain(first).tree
    by_name = submeter.compare("first", second)
    assert [column.label for column in by_name.comparison.columns] == ["first", "second"]
    with pytest.raises(RunNotFoundError):
        submeter.compare("first", "nobody")


def test_one_run_given_by_place_has_nothing_beside_it() -> None:
    with pytest.raises(UsageError):
        submeter.compare(a_run())  # type: ignore[call-overload]
