# SPDX-License-Identifier: Apache-2.0
"""``submeter report`` from the command line."""

from pathlib import Path

import pytest

from submeter.storing.ledger import open_ledger
from tests.cli.stage import Stage, stage
from tests.reporting.test_report import run_of

__all__ = ["stage"]


@pytest.fixture(autouse=True)
def ledger(stage: Stage) -> None:
    with open_ledger(stage.home / "ledger.db") as ledger:
        ledger.put(run_of("../../etc/passwd"))


@pytest.mark.parametrize(
    ("kind", "begins"),
    [
        ("html", b"<!doctype html>"), ("md", b"# "), ("json", b"{"), ("pdf", b"%PDF"),
        ("svg", b"<svg"), ("vega", b"{"),
    ],
)  # fmt: skip
def test_each_format_is_written_to_the_file_that_is_named(
    stage: Stage, tmp_path: Path, kind: str, begins: bytes
) -> None:
    path = tmp_path / "out"
    done = stage.call("report", "last", "--format", kind, "-o", str(path))
    assert done.code == 0, done.err
    assert path.read_bytes().startswith(begins)
    assert "kB" in done.err


def test_the_name_of_the_file_says_the_format_and_a_name_leads_nowhere_else(
    stage: Stage, tmp_path: Path
) -> None:
    assert stage.call("report", "last", "-o", "one.md").code == 0
    assert (tmp_path / "one.md").read_text().startswith("# ")
    assert stage.call("report", "last", "--format", "pdf").code == 0
    (made,) = tmp_path.glob("*.pdf")
    assert made.name == "etc-passwd.pdf"


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["nobody"], "nobody"),
        (["last", "-o", "a.docx"], "no report in"),
        (["last", "-o", "no/such/folder/a.md"], "cannot be written"),
    ],
)
def test_what_cannot_be_written_is_one_error(stage: Stage, words: list[str], what: str) -> None:
    done = stage.call("report", *words)
    assert done.code != 0
    assert what in done.err
    assert done.err.count("\n") == 2
