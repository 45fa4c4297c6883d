# SPDX-License-Identifier: Apache-2.0
"""A command line with a home, a machine and a terminal of its own."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from submeter.interfaces.cli import main
from submeter.testing import FakeMachine, constant


class Called(NamedTuple):
    """What a call left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The JSON that was written, strictly read."""
        return json.loads(self.out, parse_constant=_refuse)


def _refuse(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")


class Stage:
    """Calls ``submeter`` in a home of its own."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self.home = path / "home"
        self._capsys = capsys

    def call(self, *args: str) -> Called:
        self._capsys.readouterr()
        code = main(args)
        out, err = self._capsys.readouterr()
        return Called(code, out, err)

    def roots(self, machine: FakeMachine) -> list[str]:
        roots = machine.roots()
        return ["--no-gpu", "--sys-root", str(roots.sys), "--proc-root", str(roots.proc)]


@pytest.fixture
def stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Stage:
    monkeypatch.chdir(tmp_path)
    for name in ("SUBMETER_RUN", "SUBMETER_PUE", "SUBMETER_ZONE", "SUBMETER_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SUBMETER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    return Stage(tmp_path, capsys)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[FakeMachine]:
    """Two sockets with counters, the first with memory too."""
    made = FakeMachine(tmp_path / "machine")
    package = made.add_package(constant(60.0), start_uj=0)
    made.add_dram(package, constant(6.0), start_uj=0)
    made.at(1.0)
    yield made
    made.close()
