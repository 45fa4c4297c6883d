# SPDX-License-Identifier: Apache-2.0
"""What a bar is, and the bars that tests clear: for benchmarks/bars.py and its parts."""

import importlib.util
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


class Options(NamedTuple):
    """What the caller allows and gives."""

    data: Path
    clone: bool


class Outcome(NamedTuple):
    """What was found; *cleared* is None where it could not be measured."""

    figure: str
    cleared: bool | None


class Bar(NamedTuple):
    """One line of the list of what has to be true."""

    text: str
    take: Callable[[Options], Outcome]


class Tally(NamedTuple):
    """How a run of pytest ended; nothing was collected where *total* is zero."""

    total: int
    failed: int
    skipped: int

    @property
    def passed(self) -> int:
        return self.total - self.failed - self.skipped

    @property
    def outcome(self) -> Outcome:
        figure = f"{self.passed} tests passed, {self.failed} failed, {self.skipped} skipped"
        return Outcome(figure, self.failed == 0 and self.passed > 0)


def absent(what: str) -> Outcome:
    return Outcome(f"not measured: {what}", None)


def have(*modules: str) -> bool:
    return all(importlib.util.find_spec(name) for name in modules)


def run_tests(arguments: Sequence[str], *, under: Sequence[str] = ()) -> Tally | None:
    """Run pytest with *arguments*, by the command *under* if given; None if it wrote no report."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [*under, sys.executable, "-m", "pytest", "-q", *arguments]
        command.append(f"--junitxml={report}")
        subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
        if not report.is_file():
            return None
        suite = ET.parse(report).getroot().find("testsuite")  # noqa: S314  # pytest wrote it
    if suite is None:
        return Tally(0, 0, 0)
    return Tally(
        int(suite.get("tests", 0)),
        int(suite.get("failures", 0)) + int(suite.get("errors", 0)),
        int(suite.get("skipped", 0)),
    )


def tests(words: str) -> Callable[[Options], Outcome]:
    """A bar that is cleared by tests whose names hold one of *words* (pytest's -k)."""

    def take(options: Options) -> Outcome:
        del options
        found = run_tests(["-k", words])
        if found is None:
            return Outcome("the tests could not be collected", False)
        return found.outcome if found.total else absent(f"no test is named after it ({words})")

    return take
