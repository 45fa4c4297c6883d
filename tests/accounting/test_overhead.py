# SPDX-License-Identifier: Apache-2.0
"""A declared PUE wins over the prior, and the prior is a cited row."""

from msgspec import structs

from submeter.accounting.overhead import pue_for
from submeter.settings import Settings


def test_a_declared_pue_wins() -> None:
    assert pue_for(structs.replace(Settings(), pue=1.12)) == 1.12


def test_without_one_the_prior_is_cited_and_valid() -> None:
    row = pue_for(Settings())
    assert not isinstance(row, int | float)
    assert 1 <= row.low <= row.value <= row.high
    assert row.source
