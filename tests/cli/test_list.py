# SPDX-License-Identifier: Apache-2.0
"""``submeter list``: the runs, the latest first, for people and for programs."""

import json
import time
from pathlib import Path

import pytest

from submeter.interfaces.cli import main
from submeter.interfaces.cli.list import elsewhere
from submeter.records import Basis, Device, DeviceKind, ErrorTerm, Missing, Quantity, Run
from submeter.records.runs import DeviceEnergy
from submeter.storing.ledger import open_ledger


def some(energy_j: float, basis: Basis) -> Quantity:
    return Quantity.of(energy_j, basis=basis, terms=[ErrorTerm("gain", 0.05)])


def run_of(second: int, energy: Quantity | Missing, **more: object) -> Run:
    cpu = Device("cpu:0", DeviceKind.CPU, "a processor", "here")
    lost = DeviceEnergy(cpu, Missing("lost"), Missing("lost"))
    parts = (DeviceEnergy(cpu, energy, energy), *([lost] if more.pop("lost", False) else []))
    given: dict[str, object] = {
        "id": f"20261123-1200{second:02}-00{second:02}",
        "origin": "measured",
        "status": "finished",
        "started_utc": f"2026-11-23T12:00:{second:02}Z",
        "duration_s": 72.0,
        "name": "digits",
        "devices": parts,
    }
    return Run(**(given | more))  # type: ignore[arg-type]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SUBMETER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    runs = [
        run_of(1, some(1944.0, Basis.MEASURED), tags={"lr": "0.1"}),
        run_of(2, some(1944.0, Basis.MODELLED), status="killed", name=""),
        run_of(3, some(3.6e6, Basis.ASSUMED), origin="predicted", project="p"),
        run_of(4, Missing("no counter"), name="\x1b[31mred\u202e" + "x" * 60),
        run_of(5, some(3600.0, Basis.MEASURED), lost=True),
    ]
    with open_ledger(tmp_path / "home" / "ledger.db") as ledger:
        for run in runs:
            ledger.put(run)
    return tmp_path / "home"


@pytest.mark.usefixtures("home")
def test_a_line_each_with_marks_for_what_is_not_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["list"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    heads = ["started", "(local)", "name", "status", "time", "node", "energy", "id"]
    assert head.split() == heads
    assert lines[4] == (
        "2026-11-23 13:00  digits                finished   1 min 12 s  0.54 Wh      "
        "20261123-120001-0001"
    )
    assert "0.54 Wh ~" in lines[3]
    assert " killed " in lines[3]
    assert "1 kWh ?" in lines[2].replace("1.00", "1")
    assert " predicted " in lines[2]
    assert " — " in lines[1]
    assert "red" in lines[1]
    assert "\x1b" not in lines[1]
    assert "\u202e" not in lines[1]
    assert "≥ 1" in lines[0]
    assert max(map(len, lines)) <= 100


@pytest.mark.usefixtures("home")
def test_json_has_the_words_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", "--json", "--tag", "lr=0.1"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    (row,) = document["runs"]
    assert row["run"] == {
        "id": "20261123-120001-0001",
        "name": "digits",
        "origin": "measured",
        "status": "finished",
        "exit_code": None,
        "started_utc": "2026-11-23T12:00:01Z",
        "duration_s": 72.0,
        "tags": {"lr": "0.1"},
        "project": "",
        "user": "",
    }
    assert row["energy"]["node"]["value"] == 1944.0
    assert row["energy"]["node"]["unit"] == "J"
    assert row["energy"]["node"]["basis"] == "measured"
    wall = row["energy"]["facility"]
    assert row["energy"]["node"]["value"] < wall["value"]
    assert wall["low"] < wall["value"] < wall["high"]


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        (["-n", "2"], [5, 4]),
        (["--status", "killed"], [2]),
        (["--origin", "predicted"], [3]),
        (["--project", "p"], [3]),
        (["--name", "digits", "--all"], [5, 3, 1]),
        (["--tag", "lr=0.2"], []),
        (["-n", "0"], []),
    ],
)
def test_filters(capsys: pytest.CaptureFixture[str], words: list[str], seconds: list[int]) -> None:
    assert main(["list", "--json", *words]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [int(r["run"]["id"][-4:]) for r in runs] == seconds


def test_without_any_run_it_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SUBMETER_HOME", str(tmp_path / "none"))
    assert main(["list"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "submeter run" in captured.err
    assert main(["list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"schema": 1, "runs": []}
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "words", [["--tag", "lr"], ["-n", "-1"], ["--status", "done"], ["-n", "x"], ["--tag", "=x"]]
)
def test_wrong_words_are_two_lines_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert main(["list", *words]) == 2
    said = capsys.readouterr().err.splitlines()
    assert [line[:6] for line in said] == ["error:", "try:  "]


def test_runs_that_went_to_a_place_of_need_are_pointed_at(home: Path, tmp_path: Path) -> None:
    assert elsewhere(home) == f"5 more in {home}: SUBMETER_HOME={home} submeter list\n"
    assert elsewhere(home, since="2026-11-23T12:00:04Z") != ""
    assert elsewhere(home, since="2026-11-23T12:00:05Z") == ""  # ours are later: all is well
    assert elsewhere(tmp_path / "nothing") == ""


def test_when_all_are_removed_it_is_as_before_the_first(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list", "--name", "nobody"]) == 0
    assert "no run fits" in capsys.readouterr().err
    with open_ledger(home / "ledger.db") as ledger:
        for row in ledger.list():
            ledger.remove(row.id)
    assert main(["list"]) == 0
    assert "submeter run" in capsys.readouterr().err


def test_a_damaged_ledger_is_explained(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "ledger.db").write_bytes(b"no database" * 1000)
    assert main(["list"]) == 6
    said = capsys.readouterr().err
    assert "damaged" in said
    assert "submeter doctor --rebuild" in said


@pytest.mark.usefixtures("home")
def test_a_list_that_is_cut_says_how_many_more_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["list", "-n", "2"]) == 0
    assert capsys.readouterr().err.startswith("… 3 more: submeter list --all\n")


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("words", [["--name"], ["--project"], ["--tag"]])
def test_words_that_are_no_utf_8_find_nothing(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    odd = "\udcff=\udcff" if words == ["--tag"] else "\udcff"
    assert main(["list", *words, odd]) == 0
    assert capsys.readouterr().err.startswith("no run fits\n")
