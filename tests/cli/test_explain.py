# SPDX-License-Identifier: Apache-2.0
"""``submeter explain`` from the command line, and ``submeter.explain`` in a program."""

import json
import math
import shutil
from pathlib import Path

import msgspec
import pytest

import submeter
from benchmarks.scripted import LONG, Job, scripted
from submeter.records.amounts import Amount
from submeter.storing.ledger import open_ledger
from submeter.storing.places import run_folder
from tests.cli.stage import Stage, stage

__all__ = ["stage"]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return scripted(tmp_path_factory.mktemp("job"), LONG, length_s=40.0)


@pytest.fixture
def kept(stage: Stage, job: Job) -> Stage:
    """A home that holds the job with its journal, and two runs of the same project without."""
    first = msgspec.structs.replace(job.run, name="train", project="thesis")
    tuned = msgspec.structs.replace(
        first, id="20261124-000000-0001", name="a trial", tags={"search": "x"}
    )
    failed = msgspec.structs.replace(first, id="20261124-000000-0002", status="failed")
    with open_ledger(stage.home / "ledger.db") as ledger:
        for run in (failed, tuned, first):
            ledger.put(run)
    folder = run_folder(stage.home, first.id)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(job.folder / "journal", folder / "journal")
    return stage


def test_it_tells_the_tree_and_what_it_stood_still_for(kept: Stage, job: Job) -> None:
    done = kept.call("explain", job.run.id)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].startswith("train · finished in 40 s")
    assert "at the wall" in lines[1]
    for words in ("facility overhead", "rest of the node", "data: waiting for data", "backward"):
        assert any(words in line for line in lines), words
    assert any(line.startswith("stalls") and "loader wait" in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_json_sums_at_each_level(kept: Stage, job: Job) -> None:
    document = kept.call("explain", job.run.id, "--json").document
    assert document["run"] == job.run.id
    queue = [document["tree"]]
    while queue:
        node = queue.pop()
        queue += node["children"]
        if node["children"]:
            parts = [c["energy"]["value"] for c in node["children"]]
            assert math.fsum(parts) == node["energy"]["value"]


def test_a_run_without_its_journal_is_told_from_what_is_kept(kept: Stage) -> None:
    done = kept.call("explain", "20261124-000000-0001")
    assert done.code == 0, done.err
    assert "data: waiting for data" in done.out
    assert "not kept any more" in done.out
    assert "stalls" not in done.out


def test_a_project_is_told_by_stage_with_the_share_of_the_final_model(kept: Stage) -> None:
    done = kept.call("explain", "--project", "thesis")
    assert done.code == 0, done.err
    assert "tuning trials" in done.out
    assert "failed" in done.out
    assert "the final model (train" in done.out
    assert "33 %" in done.out
    document = kept.call("explain", "--project", "thesis", "--json").document
    assert document["tree"]["detail"]["final_share_ratio"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("name", "begins"), [("a.svg", "<svg"), ("a.html", "<!doctype html>"), ("a.json", "{")]
)
@pytest.mark.parametrize("options", [[], ["--timeline"]], ids=["tree", "timeline"])
def test_charts_are_written(
    kept: Stage, tmp_path: Path, job: Job, name: str, begins: str, options: list[str]
) -> None:
    done = kept.call("explain", job.run.id, "--chart", name, *options)
    assert done.code == 0, done.err
    text = (tmp_path / name).read_text(encoding="utf-8")
    assert text.startswith(begins)
    assert "<script" not in text
    if name.endswith("json"):
        assert json.loads(text)["$schema"].startswith("https://vega.github.io")


def test_the_time_line_and_the_icicle_in_the_terminal(kept: Stage, job: Job) -> None:
    done = kept.call("explain", job.run.id, "--timeline", "--icicle")
    assert done.code == 0, done.err
    assert "peak 350 W" in done.out
    assert "▏at the wall" in done.out
    assert max(map(len, done.out.splitlines())) <= 80


def test_operations_give_the_utilisation(kept: Stage, job: Job) -> None:
    with open_ledger(kept.home / "ledger.db") as ledger:
        ledger.put(msgspec.structs.replace(job.run, id="20261124-000000-0009", work={"steps": 10}))
    done = kept.call("explain", "20261124-000000-0009", "--flop", "50T/step")
    assert done.code == 0, done.err
    assert "model FLOP utilisation 0.04" in done.out


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["nobody"], "nobody"),
        (["--project", "none"], "no run is of project"),
        (["--project", "thesis", "--timeline"], "no time line"),
        (["train", "--project", "thesis"], "of all its runs"),
        (["--project", "thesis", "--layers"], "no layers"),
        (["--chart", "a.docx"], "no chart in"),
        (["--chart", "no/such/folder/a.svg"], "cannot be written"),
        (["--flop", "much"], "says no operations"),
        (["--depth", "0"], "depth"),
    ],
)
def test_what_cannot_be_told_is_one_error(kept: Stage, words: list[str], what: str) -> None:
    done = kept.call("explain", *words)
    assert done.code != 0
    assert what in done.err
    assert done.err.count("\n") == 2


@pytest.mark.usefixtures("kept")
def test_in_a_program_it_is_data(job: Job) -> None:
    found = submeter.explain(job.run.id)
    assert found.run_id == job.run.id
    assert isinstance(found.tree.energy, Amount)
    children = [c.energy.value for c in found.tree.children if isinstance(c.energy, Amount)]
    assert math.fsum(children) == found.tree.energy.value
    assert submeter.explain(job.run).tree.name == found.tree.name
