# SPDX-License-Identifier: Apache-2.0
"""``submeter compare --models`` on runs that this machine is said to have metered before."""

import importlib.util
import io
import platform
import sys
import xml.etree.ElementTree as ET

import msgspec
import pytest
from syrupy.assertion import SnapshotAssertion

from benchmarks.comparing import kept
from submeter.comparing.families import FAMILIES, FULL
from submeter.interfaces.cli.compare_models import Teller
from submeter.records.runs import Host, Run
from submeter.sensors.discovery import Roots, describe_machine
from submeter.storing.ledger import open_ledger
from tests.cli.stage import Stage, stage

__all__ = ["stage"]


def keep(stage: Stage, *, host: str = "", without: str = "") -> None:
    """Put the kept runs into the ledger, as if they had been metered here."""
    here = platform.node()
    machine = Host(host or here, describe_machine(Roots(), here))
    with open_ledger(stage.home / "ledger.db") as ledger:
        for run in kept():
            if run.name != without:
                ledger.put(msgspec.structs.replace(run, hosts=(machine,)))


def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "sklearn" else found(name)
    )


def test_what_was_metered_here_is_read_and_not_trained_again(
    stage: Stage, snapshot: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_library(monkeypatch)
    keep(stage)
    done = stage.call("compare", "--models", "--chart", "front.svg")
    assert done.code == 0, done.err
    assert max(map(len, done.out.splitlines())) <= 80
    assert done.out == snapshot
    for data in ("digits", "cancer"):
        root = ET.fromstring((stage.path / f"front-{data}.svg").read_text())  # noqa: S314  # our own
        said = "".join(root.itertext())
        assert all(family.words in said for family in FAMILIES.values())


def test_the_json_has_every_family_with_its_energies(stage: Stage) -> None:
    keep(stage)
    told = stage.call("compare", "--models", "--json").document
    assert told["protocol"]["settings"] == FULL.settings
    assert len(told["models"]) == 2 * len(FAMILIES)
    for row in told["models"]:
        assert row["selection"]["value"] > row["prediction"]["value"] > 0
        low, value, high = (row["accuracy"][word] for word in ("low", "value", "high"))
        assert low < value < high
    for data in ("digits", "cancer"):
        assert any(row["pareto"] for row in told["models"] if row["data"] == data)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"host": "another-machine"}, ("compare", "--models")),
        ({"without": "cancer-trees"}, ("compare", "--models")),
        ({}, ("compare", "--models", "--quick")),
        ({}, ("compare", "--models", "--again")),
    ],
)
def test_what_is_not_known_of_here_takes_scikit_learn_which_is_named(
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, str],
    words: tuple[str, ...],
) -> None:
    no_library(monkeypatch)
    keep(stage, **changes)
    done = stage.call(*words)
    assert done.code == 2
    assert "pip install 'submeter[demo]'" in done.err
    assert not done.out


def test_a_run_that_failed_is_not_taken(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    no_library(monkeypatch)
    keep(stage, without="cancer-trees")
    failed: Run = next(run for run in kept() if run.name == "cancer-trees")
    with open_ledger(stage.home / "ledger.db") as ledger:
        ledger.put(msgspec.structs.replace(failed, status="failed"))
    assert stage.call("compare", "--models").code == 2


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("kind", [Terminal, io.StringIO])
def test_a_terminal_sees_a_bar_and_a_log_lines(
    monkeypatch: pytest.MonkeyPatch, kind: type[io.StringIO]
) -> None:
    stream = kind()
    bar = stream.isatty()
    monkeypatch.setattr(sys, "stderr", stream)
    teller = Teller(2, hidden=False)
    teller.started("digits", "trees")
    teller.started("digits", "linear")
    teller.end()
    said = stream.getvalue()
    assert "2 of 2" in said
    assert ("━" in said) is bar
    assert said.endswith("\r\x1b[K") is bar
    assert said.count("\n") == (0 if bar else 2)
