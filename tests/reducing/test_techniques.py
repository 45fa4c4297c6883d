# SPDX-License-Identifier: Apache-2.0
"""The registry and the protocol: what each technique says, and of which device."""

import csv
import sys
from pathlib import Path

import pytest

import submeter
from submeter.catalog.tables import DATA
from submeter.errors import UsageError
from submeter.reducing.techniques import NAMES, Applied, Fit, Machine, Technique, technique
from submeter.reducing.techniques.libraries import library
from submeter.reducing.techniques.machine import here
from submeter.reducing.techniques.protocol import no_gain
from submeter.reducing.techniques.registry import ALIASES
from tests.reducing.models import AMPERE, HOPPER, NEW_CPU, OLD_CPU, PASCAL, TURING


@pytest.mark.parametrize("name", NAMES)
def test_each_technique_says_what_it_is(name: str) -> None:
    found = technique(name)
    assert isinstance(found, Technique)
    assert found.name == name
    assert getattr(submeter.reduce, name) is found
    for words in (found.what, found.why, found.price, found.when_it_does_not_help):
        assert words.endswith(".")
        assert len(words) > 30
    expected = found.expected
    if expected is not None:
        assert expected.low_ratio <= expected.high_ratio <= 1
        assert expected.scope
        assert expected.source


def test_the_table_of_expectations_names_each_technique_once() -> None:
    with (DATA / "techniques.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["technique"] for row in rows] == list(NAMES) or sorted(
        row["technique"] for row in rows
    ) == sorted(NAMES)
    for row in rows:
        assert row["source"], row
        assert row["scope"], row
        assert row["verified"] in {"copy", "derived", "recall"}, row
        assert bool(row["expected_low"]) == bool(row["expected_high"]) == bool(row["unit"]), row


@pytest.mark.parametrize(
    ("name", "machine", "gains", "word"),
    [
        ("mixed_precision", OLD_CPU, False, "16-bit"),
        ("mixed_precision", NEW_CPU, True, ""),
        ("mixed_precision", PASCAL, False, "16-bit"),
        ("mixed_precision", TURING, True, ""),
        ("float8", NEW_CPU, False, "float8 kernels need"),
        ("float8", AMPERE, False, "compute capability 8.0"),
        ("float8", HOPPER, True, ""),
        ("quantise", OLD_CPU, False, "8-bit"),
        ("quantise", NEW_CPU, True, ""),
        ("quantise", TURING, True, ""),
        ("prune_masks", HOPPER, False, "saves nothing"),
        ("sparsity_2_4", NEW_CPU, False, "2:4 kernels need CUDA"),
        ("sparsity_2_4", TURING, False, "compute capability 8.0"),
        ("sparsity_2_4", AMPERE, True, ""),
        ("gradient_compression", NEW_CPU, False, "one process"),
        ("gradient_compression", HOPPER, True, ""),
        ("local_sgd", AMPERE, False, "one process"),
    ],
)
def test_it_says_whether_a_device_gains(
    name: str,
    machine: Machine,
    gains: bool,  # noqa: FBT001  # a column of the table
    word: str,
) -> None:
    fit = technique(name).applies_to(None, machine)
    assert fit.gains is gains
    assert word in fit.words
    if not gains:
        assert "no gain on this device" in fit.words


def test_what_a_technique_works_with_is_named_when_it_is_absent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(UsageError, match="torch-pruning") as caught:
        library("torch_pruning")
    assert caught.value.remedy == "pip install 'submeter[reduce]'"


def test_a_name_is_understood_as_people_write_it() -> None:
    assert technique("Mixed-Precision").name == "mixed_precision"
    assert technique("2:4 sparsity".replace("2:4 sparsity", "sparsity 2:4")).name == "sparsity_2_4"
    assert {technique(alias).name for alias in ALIASES} <= set(NAMES)
    with pytest.raises(UsageError) as caught:
        technique("quantisse")
    assert caught.value.remedy == "submeter techniques quantise"
    with pytest.raises(AttributeError, match="no technique"):
        _ = submeter.reduce.nothing
    assert dir(submeter.reduce) == sorted(NAMES)


def test_the_machine_is_read_from_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor : 0\nflags\t\t: fpu avx512_vnni avx512_bf16\n")
    found = here(tmp_path)
    if found.kind == "cpu":
        assert found.low_precision
        assert found.low_integers
    (tmp_path / "cpuinfo").write_text("Features : fp asimd\n")
    assert here(tmp_path).flags == {"fp", "asimd"}
    assert here(tmp_path / "none").flags == frozenset()
    assert found.processors >= 1


def test_what_brings_no_gain_says_so_beside_what_was_done() -> None:
    undone = []
    with Applied("one", 1, fit=no_gain("why"), back=lambda: undone.append(1)) as applied:
        assert applied.notes == ("no gain on this device: why",)
        assert "no gain" in repr(applied)
    applied.undo()
    assert undone == [1]
    assert Fit(applies=True, gains=True).words == "applies"
