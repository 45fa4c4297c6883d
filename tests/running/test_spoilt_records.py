# SPDX-License-Identifier: Apache-2.0
"""What was recorded of a run may spoil what it spoils, but never the run's energy."""

import contextlib
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.catalog.overlay import NONE
from submeter.circumstances.reckoning import Asked
from submeter.errors import UsageError
from submeter.grid.loads import load_of, year_of
from submeter.records.amounts import Amount
from submeter.records.figures import Missing
from submeter.records.runs import Host, Run, Series
from submeter.records.traces import Load
from submeter.reporting.summary import summary
from submeter.running.reckoning import reckoned
from tests.reporting.examples import digits

FACILITY = {"energy_scope": "facility"}


def spoilt(**changes: object) -> Run:
    return msgspec.structs.replace(digits(), **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"place": FACILITY},
        {"place": FACILITY, "hosts": (Host("h", {"accelerator": "H100"}),)},
        {"place": FACILITY, "hosts": (Host("h", {"accelerator": "H100", "accelerators": "x"}),)},
        {"place": FACILITY, "hosts": (Host("h", {"accelerator": "a", "accelerators": "nan"}),)},
        {"place": {"energy_scope": "garbage"}},
        {"series": Series(1e9, {"cpu:0": [1.0, 2.0]})},
        {"series": Series(1e-300, {"cpu:0": [1.0, 2.0]})},
        {"series": Series(1.0, {"cpu:0": [1.0, -2.0]})},
        {"series": Series(1.0, {"cpu:0": []})},
        {"started_utc": ""},
        {"started_utc": "garbage"},
        {"started_utc": "0000-01-01T00:00:00Z"},
        {"started_utc": "0001-01-01T00:00:00Z"},
        {"started_utc": "9999-12-31T23:59:59Z"},
        {"started_utc": "10000-01-01T00:00:00Z"},
        {"duration_s": math.nan},
        {"duration_s": math.inf},
        {"duration_s": 1e300},
        {"duration_s": -5.0},
    ],
)
def test_the_energy_is_told_whatever_else_was_recorded(changes: dict[str, object]) -> None:
    run = spoilt(**changes)
    amount = reckoned(run, overrides=NONE)
    assert isinstance(amount.facility, Amount)
    assert summary(run, amount)


def test_a_beginning_that_is_none_costs_the_carbon_and_says_why() -> None:
    amount = reckoned(spoilt(started_utc="garbage"), overrides=NONE)
    assert isinstance(amount.carbon.location, Missing)
    assert any("nothing but its energy" in note and "garbage" in note for note in amount.notes)


@pytest.mark.parametrize("slots", [[1.0, -2.0, 3.0], [math.nan], [math.inf, 1.0], [0.0]])
def test_a_time_line_that_cannot_be_is_an_even_one(slots: list[float]) -> None:
    run = spoilt(series=Series(1.0, {"cpu:0": slots}))
    assert load_of(run).energies_j == (1.0,)


@pytest.mark.parametrize("at_utc_s", [253402300799.0, 1e300, math.inf, math.nan, -62135596800.0])
def test_a_time_outside_the_years_is_a_mistake_with_a_remedy(at_utc_s: float) -> None:
    with pytest.raises(UsageError, match="years 1 to 9999") as caught:
        reckoned(digits(), Asked(at_utc_s=at_utc_s), overrides=NONE)
    assert "--at" in str(caught.value.remedy)


@given(start=st.floats(), slot=st.floats(0.001, 1e9))
def test_every_load_has_a_year_or_is_refused(start: float, slot: float) -> None:
    with contextlib.suppress(UsageError):
        assert 1 <= year_of(Load(start, slot, (1.0,))) <= 9999
