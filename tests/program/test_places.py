# SPDX-License-Identifier: Apache-2.0
"""What is said of a place: checked where it is said, and never silently another one."""

from pathlib import Path

import pytest

import submeter
from submeter.errors import SubmeterError, UsageError
from submeter.records.footprints import Footprint
from tests.reporting.examples import digits


def test_a_zone_that_is_no_place_is_told_and_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SUBMETER_HOME", str(tmp_path))
    measurement = submeter.measure("walled", zone="narnia")
    with pytest.warns(UserWarning, match="no place called .narnia."), measurement as run:
        pass
    assert "zone" not in run.to_dict()["run"]["place"]  # type: ignore[index]


def test_a_strict_measurement_refuses_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SUBMETER_HOME", str(tmp_path))
    with (
        pytest.raises(SubmeterError, match="narnia"),
        submeter.measure("walled", zone="narnia", strict=True),
    ):
        pass


def test_footprint_and_compare_take_what_measure_gave(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SUBMETER_HOME", str(tmp_path))
    with submeter.measure("here", zone="DE") as run:
        with pytest.raises(UsageError, match="nothing to reckon with"):
            submeter.footprint(run)
        sum(range(100_000))
    made = submeter.footprint(run, zone="SE")
    assert isinstance(made, Footprint)
    words = submeter.compare(as_it_was=run, sweden=made, recorded=digits())
    assert "as it was" in words
    assert max(map(len, words.splitlines())) <= 80
