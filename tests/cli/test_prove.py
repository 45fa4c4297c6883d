# SPDX-License-Identifier: Apache-2.0
"""``submeter prove`` and ``submeter savings`` from the command line, with real programs."""

import json
import sys
from pathlib import Path

import pytest

from submeter.storing.ledger import open_ledger
from tests.cli.stage import Stage, stage
from tests.reducing.runs import run_of

__all__ = ["stage"]

PROGRAM = """
import submeter, sys, time
until = time.process_time() + float(sys.argv[1])
while time.process_time() < until:
    sum(range(1000))
submeter.log(accuracy=float(sys.argv[2]), samples=10)
print("Loss:", 1.5)
"""


@pytest.fixture
def program(tmp_path: Path) -> str:
    path = tmp_path / "work.py"
    path.write_text(PROGRAM)
    return str(path)


def stored(stage: Stage, a: list[float], b: list[float]) -> tuple[list[str], list[str]]:
    with open_ledger(stage.home / "ledger.db") as ledger:
        runs = [run_of(i, e, work={"samples": 10.0}) for i, e in enumerate((*a, *b))]
        for run in runs:
            ledger.put(run)
    return [r.id for r in runs[: len(a)]], [r.id for r in runs[len(a) :]]


def test_pairs_are_run_told_and_kept(stage: Stage, program: str) -> None:
    done = stage.call(
        "prove", "--repeat", "3", "--fixed", "--warm-up", "0", "--seed", "1",
        "--keep", "accuracy >= 0.9", "--read", "loss=Loss: ([0-9.]+)", "--json", "--",
        sys.executable, program, "0.4", "0.97", "---", sys.executable, program, "0.02", "0.97",
    )  # fmt: skip
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert document["pairs"] == 3
    assert document["saving_ratio"]["value"] > 0.2
    assert [q["metric"] for q in document["quality"]] == ["accuracy", "loss"]
    assert document["quality"][0]["verdict"] == "kept"
    assert document["quality"][1]["baseline"] == 1.5
    assert len(document["a"]["runs"]) == len(document["b"]["runs"]) == 3
    assert document["option"].startswith("A")
    listed = stage.call("savings", "--all", "--json").document["savings"]
    assert listed == [document]
    assert stage.call("list", "--tag", f"proof={document['id']}").out.count("prove-") == 6
    told = stage.call("savings", "last")
    assert "3 pairs, interleaved" in told.out


def test_stored_runs(stage: Stage) -> None:
    a, b = stored(stage, [100.0, 101.0, 99.5], [70.0, 70.5, 69.0])
    done = stage.call("prove", *a, "vs", *b)
    assert done.code == 0, done.err
    assert done.out.startswith("Shown: ")
    same = stage.call("prove", "--json", a[0], b[0], "vs", a[1], b[1]).document
    assert same["shown"] is False
    assert max(map(len, done.out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ([], "nothing to compare"),
        (["last"], "nothing to compare"),
        (["--", "true"], "nothing to compare"),
        (["--", "true", "---"], "two commands"),
        (["--", "no-such-program", "---", "true"], "not found"),
        (["--keep", "good", "--", "true", "---", "true"], "no condition"),
        (["--read", "loss", "--", "true", "---", "true"], "which number"),
        (["--read", "loss=(", "--", "true", "---", "true"], "cannot be searched"),
        (["x", "vs"], "each side"),
        (["nobody", "vs", "nothing"], "nobody"),
    ],
)
def test_what_makes_no_sense_is_one_error(stage: Stage, words: list[str], what: str) -> None:
    stored(stage, [1.0], [2.0])
    done = stage.call("prove", *words)
    assert done.code == 2 if "nobody" not in words else done.code
    assert what in done.err
    assert done.err.count("\n") == 2


def test_a_run_named_twice_is_refused(stage: Stage) -> None:
    a, b = stored(stage, [1.0], [2.0])
    done = stage.call("prove", *a, "vs", *a, *b)
    assert done.code == 2
    assert "twice" in done.err


def test_a_command_that_fails_ends_it_and_its_words_are_told(stage: Stage, tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("raise SystemExit('out of memory, it said')")
    done = stage.call("prove", "--", sys.executable, str(bad), "---", sys.executable, str(bad))
    assert done.code == 1
    assert "exit code 1" in done.err
    assert "out of memory" in done.err


def test_without_a_proof_savings_says_how(stage: Stage) -> None:
    done = stage.call("savings")
    assert done.code == 0
    assert "submeter prove" in done.err
