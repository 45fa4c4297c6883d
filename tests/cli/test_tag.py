# SPDX-License-Identifier: Apache-2.0
"""``submeter tag``: words on a run, and the way back."""

import json
import shlex
from pathlib import Path

import pytest

from submeter.interfaces.cli import main
from submeter.records import Run
from submeter.storing.ledger import open_ledger

RUN = "20261123-120001-0001"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SUBMETER_HOME", str(tmp_path))
    with open_ledger(tmp_path / "ledger.db") as ledger:
        ledger.put(
            Run(RUN, "measured", "finished", "2026-11-23T12:00:01Z", 1.0, name="it's",
                tags={"lr": "0.1", "old": "a b"})
        )  # fmt: skip
    return tmp_path


def tags(home: Path) -> dict[str, str]:
    with open_ledger(home / "ledger.db") as ledger:
        return ledger.get(RUN).tags


def test_tags_are_added_and_removed_and_the_undo_works(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tags(home)
    assert main(["tag", "last", "lr=0.2", "new=x=y", "-r", "old", "--name", "other"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"other ({RUN})  lr=0.2  new=x=y\n"
    assert tags(home) == {"lr": "0.2", "new": "x=y"}
    label, command = captured.err.strip().split(": ", 1)
    assert label == "undo"
    program, *words = shlex.split(command)
    assert program == "submeter"
    assert main(words) == 0
    assert tags(home) == before
    assert capsys.readouterr().out.startswith(f"it's ({RUN})")


def test_without_changes_tags_are_shown(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tag", RUN]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"it's ({RUN})  lr=0.1  old=a b\n"
    assert captured.err == ""
    assert main(["tag", RUN, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == {"schema": 1, "run": {"id": RUN, "name": "it's", "tags": tags(home)}}


@pytest.mark.parametrize(
    ("words", "code"),
    [(["nothing", "a=b"], 6), (["last", "novalue"], 2), (["last", "k=\x1b[2J"], 2), ([], 2),
     (["last", "=v"], 2)],
)  # fmt: skip
def test_wrong_words_change_nothing(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int
) -> None:
    before = tags(home)
    assert main(["tag", *words]) == code
    said = capsys.readouterr().err.splitlines()
    assert [line[:6] for line in said] == ["error:", "try:  "]
    assert "\x1b" not in "".join(said)
    assert tags(home) == before


def test_where_no_run_was_ever_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SUBMETER_HOME", str(tmp_path / "none"))
    assert main(["tag", "last", "a=b"]) == 6
    assert "submeter run" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_tag_that_is_not_there_is_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tags(home)
    assert main(["tag", "last", "--remove", "nokey"]) == 0
    assert capsys.readouterr().err == "there is no tag nokey to remove\n"
    assert tags(home) == before


@pytest.mark.parametrize("name", ["last", "last~1", "\udcff"])
def test_a_name_that_finds_another_run_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    for words in (["tag", RUN, "--name", name], ["run", "--name", name, "--", "true"]):
        assert main(words) == 2
        assert [x[:6] for x in capsys.readouterr().err.splitlines()] == ["error:", "try:  "]
    assert home.exists()
