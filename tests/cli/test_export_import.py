# SPDX-License-Identifier: Apache-2.0
"""``submeter export`` and ``import``: from the cluster to the laptop."""

import csv
import io
import json
from pathlib import Path

import pytest

from submeter.interfaces.cli import main
from submeter.records import Basis, Device, DeviceKind, Quantity, Run
from submeter.records.runs import DeviceEnergy
from submeter.storing.ledger import open_ledger

RUNS = [f"20261123-12000{n}-000{n}" for n in range(3)]


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    cluster, laptop = tmp_path / "cluster", tmp_path / "laptop"
    cpu = Device("cpu:0", DeviceKind.CPU, "a processor", "here")
    energy = Quantity.of(3600.0, basis=Basis.MEASURED)
    with open_ledger(cluster / "ledger.db") as ledger:
        for n, run_id in enumerate(RUNS):
            ledger.put(
                Run(run_id, "measured", "finished", f"2026-11-23T12:00:0{n}Z", 1.0, name=f"=r{n}",
                    tags={"n": str(n)}, devices=(DeviceEnergy(cpu, energy, energy),))
            )  # fmt: skip
    monkeypatch.setenv("SUBMETER_HOME", str(cluster))
    return cluster, laptop


def test_from_one_home_to_another_and_again(
    homes: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "last", "last~1"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "submeter-2-runs.tar.gz\n"
    assert "submeter import submeter-2-runs.tar.gz" in captured.err
    monkeypatch.setenv("SUBMETER_HOME", str(homes[1]))
    assert main(["import", "submeter-2-runs.tar.gz"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [f"imported =r{n} ({RUNS[n]})" for n in (2, 1)]
    assert main(["import", "submeter-2-runs.tar.gz"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "here already" in captured.err
    with open_ledger(homes[1] / "ledger.db") as ledger, open_ledger(homes[0] / "ledger.db") as src:
        assert [r.id for r in ledger.list()] == RUNS[:0:-1]
        assert ledger.get(RUNS[1]) == src.get(RUNS[1])


@pytest.mark.usefixtures("homes")
def test_totals_as_csv_hold_no_formula(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--all", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [r["id"] for r in rows] == RUNS[::-1]
    assert rows[0]["name"] == "'=r2"
    assert float(rows[0]["node_j"]) == 3600.0
    assert rows[0]["tags"] == "n=2"


@pytest.mark.usefixtures("homes")
def test_totals_as_json_into_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "t.json"
    assert main(["export", RUNS[0], RUNS[0], "-o", str(out)]) == 0
    document = json.loads(out.read_text())
    assert [r["run"]["id"] for r in document["runs"]] == RUNS[:1]
    assert main(["export", "last", "-o", str(out)]) == 2
    assert "--force" in capsys.readouterr().err
    assert main(["export", "last", "-o", str(out), "--force"]) == 0
    assert json.loads(out.read_text())["runs"][0]["run"]["id"] == RUNS[2]


@pytest.mark.usefixtures("homes")
@pytest.mark.parametrize(
    ("words", "code"),
    [(["export"], 2), (["export", "none"], 6), (["export", "last", "-o", "x.rar"], 2),
     (["import"], 2), (["import", "none.zip"], 6), (["import", "text.zip"], 6),
     (["export", "last", "-o", "no/such/x.zip"], 6), (["export", "last", "-o", "no/x.csv"], 6)],
)  # fmt: skip
def test_what_is_wrong_is_two_lines_and_leaves_nothing(
    capsys: pytest.CaptureFixture[str], words: list[str], code: int
) -> None:
    Path("text.zip").write_text("not an archive")
    assert main(words) == code
    captured = capsys.readouterr()
    assert [line[:6] for line in captured.err.splitlines()] == ["error:", "try:  "]
    assert captured.out == ""
    assert [p.name for p in Path().iterdir()] == ["text.zip"]


def test_a_conflict_is_resolved_as_asked(
    homes: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", RUNS[0], "-o", "r.zip"]) == 0
    monkeypatch.setenv("SUBMETER_HOME", str(homes[1]))
    with open_ledger(homes[1] / "ledger.db") as ledger:
        ledger.put(Run(RUNS[0], "measured", "failed", "2026-11-23T12:00:00Z", 5.0))
    capsys.readouterr()
    assert main(["import", "r.zip"]) == 6
    assert "--on-conflict" in capsys.readouterr().err
    assert main(["import", "r.zip", "--on-conflict", "keep"]) == 0
    assert "ours kept" in capsys.readouterr().err
    assert main(["import", "r.zip", "--on-conflict", "replace"]) == 0
    assert capsys.readouterr().out == f"replaced =r0 ({RUNS[0]})\n"
