# SPDX-License-Identifier: Apache-2.0
"""``submeter rm``: asked for twice, gone for good; never a run that goes on."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from submeter.interfaces.cli import main
from submeter.records import Run
from submeter.storing.journal import JournalWriter
from submeter.storing.ledger import open_ledger

RUNS = [f"20261123-12000{n}-000{n}" for n in range(3)]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SUBMETER_HOME", str(tmp_path))
    with open_ledger(tmp_path / "ledger.db") as ledger:
        for n, run_id in enumerate(RUNS):
            ledger.put(Run(run_id, "measured", "finished", f"2026-11-23T12:00:0{n}Z", 1.0))
            (tmp_path / "runs" / run_id / "collector.log").write_bytes(bytes(5000))
    return tmp_path


def left(home: Path) -> list[str]:
    with open_ledger(home / "ledger.db") as ledger:
        ids = [row.id for row in ledger.list()]
    assert sorted(ids) == sorted(p.name for p in (home / "runs").iterdir() if p.name in RUNS)
    return ids[::-1]


def test_runs_go_with_their_folders(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rm", "last", "last~1", RUNS[2], "--yes"]) == 0
    assert left(home) == RUNS[:1]
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"removed {RUNS[2]}, 5.")
    assert first.endswith(" kB")
    assert RUNS[1] in second


def test_a_dry_run_removes_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rm", "last", "--dry-run"]) == 0
    assert f"would remove {RUNS[2]}" in capsys.readouterr().out
    assert left(home) == RUNS


def test_where_nobody_can_be_asked_nothing_goes(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ("import sys; from submeter.interfaces.cli import main; "
         "sys.exit(main(['rm', 'last']))")],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert left(home) == RUNS


@pytest.mark.parametrize(("answer", "remaining", "code"), [("y\n", 2, 0), ("\n", 3, 130)])
def test_a_person_is_asked(home: Path, answer: str, remaining: int, code: int) -> None:
    main_end, other_end = os.openpty()
    os.write(main_end, answer.encode())
    done = subprocess.run(
        [sys.executable, "-c", ("import sys; from submeter.interfaces.cli import main; "
         "sys.exit(main(['rm', 'last']))")],
        stdin=other_end, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    os.close(main_end)
    os.close(other_end)
    assert RUNS[2] in done.stderr
    assert done.returncode == code
    assert len(left(home)) == remaining


def test_one_unknown_run_and_none_goes(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rm", "last", "nothing", "--yes"]) == 6
    assert "error:" in capsys.readouterr().err
    assert left(home) == RUNS


@pytest.mark.parametrize("ref", ["..", ".", "../..", "/", "runs", ""])
def test_f02_no_path_is_removed(home: Path, ref: str) -> None:
    assert main(["rm", ref, "--yes"]) == 6
    assert left(home) == RUNS


def test_a_run_that_goes_on_is_not_removed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = home / "runs" / "20261123-130000-abcd"
    folder.mkdir()
    writer = JournalWriter(folder / "journal")
    try:
        assert main(["rm", folder.name, "--yes"]) == 6
        assert "still being metered" in capsys.readouterr().err
    finally:
        writer.close()
    assert folder.exists()
    with (folder / "journal").open("rb") as file:  # nobody holds it now
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert main(["rm", folder.name, "--yes"]) == 0  # nothing could be settled from it
    assert "not settled" in capsys.readouterr().out
    assert not folder.exists()
