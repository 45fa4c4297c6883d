# SPDX-License-Identifier: Apache-2.0
"""A declared PUE wins over the prior, and the prior is a cited row."""

import pytest
from msgspec import structs

from submeter.accounting.overhead import pue_for, pue_of
from submeter.catalog import pue_prior
from submeter.records.runs import Run
from submeter.settings import Settings


def test_a_declared_pue_wins() -> None:
    assert pue_for(structs.replace(Settings(), pue=1.12)) == 1.12


def test_without_one_the_prior_is_cited_and_valid() -> None:
    row = pue_for(Settings())
    assert not isinstance(row, int | float)
    assert 1 <= row.low <= row.value <= row.high
    assert row.source


def a_run(place: dict[str, str]) -> Run:
    return Run("a", "measured", "finished", "2026-11-23T12:00:00Z", 1.0, place=place)


def test_a_run_keeps_the_pue_that_was_declared_when_it_began() -> None:
    assert pue_of(a_run({"pue": "1.2"})) == 1.2


@pytest.mark.parametrize("word", ["", "nan", "inf", "0.5", "1e300", "much"])
def test_a_record_that_is_no_pue_counts_as_none(word: str) -> None:
    assert pue_of(a_run({"pue": word})) == pue_of(a_run({})) == pue_prior()
