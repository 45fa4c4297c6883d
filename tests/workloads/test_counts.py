# SPDX-License-Identifier: Apache-2.0
"""Counts as people type them: read rightly, or refused in one sentence."""

import contextlib
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.errors import UsageError
from submeter.workloads.counts import MOST, parse_count, spelt, understood


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7B", 7e9),
        ("7b", 7e9),
        ("7 B", 7e9),
        ("7e9", 7e9),
        ("7E+9", 7e9),
        ("2 T", 2e12),
        ("2t", 2e12),
        ("1.3b", 1.3e9),
        ("350M", 350e6),
        ("350 million", 350e6),
        ("7 billion parameters", 7e9),
        ("2T tokens", 2e12),
        ("300bn tokens", 300e9),
        ("512 tokens", 512),
        ("2×10^12", 2e12),
        ("2x10^12", 2e12),
        ("2 * 10**12", 2e12),
        ("3.5·10¹²", 3.5e12),
        ("10^9", 1e9),
        ("7 000 000 000", 7e9),
        ("7\u202f000\u202f000", 7e6),
        ("7_000_000", 7e6),
        ("2,000,000", 2e6),
        ("1'281'167", 1281167),
        ("1281167", 1281167),
        (".5B", 5e8),
        ("64k", 64e3),
        ("+7B", 7e9),
        (7_000_000_000, 7e9),
        (1.5, 1.5),
    ],
)
def test_what_people_type_is_read(text: str | float, value: float) -> None:
    assert parse_count(text) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no number"),
        ("B", "no number"),
        ("seven", "unit"),
        ("7 dogs", "unit"),
        ("7BB", "unit"),
        ("7B T", "unit"),
        ("7 kWh", "unit"),
        ("1,5B", "ambiguous"),
        ("7,000", "ambiguous"),
        ("7 00 000", "no number"),
        ("1.2.3B", "no number"),
        ("-7B", "above zero"),
        ("−2T", "above zero"),
        ("0", "above zero"),
        ("0B", "above zero"),
        ("nan", "finite"),
        ("inf", "finite"),
        ("-inf", "finite"),
        ("1e999", "finite"),
        ("1e40", "more than"),
        (10**400, "more than"),
        (math.nan, "finite"),
        (math.inf, "finite"),
        (-1, "above zero"),
        (0, "above zero"),
        (True, "no number"),
        (None, "no number"),
        ([7], "no number"),
        ("0x10", "no number"),
        ("٧", "no number"),
    ],
)
def test_nonsense_is_one_error_with_a_remedy(text: object, why: str) -> None:
    with pytest.raises(UsageError, match=re.escape(why)) as caught:
        parse_count(text, what="params")  # type: ignore[arg-type]
    assert "params" in str(caught.value)
    assert "7e9" in (caught.value.remedy or "")


@settings(deadline=None)
@given(st.floats(1e-3, MOST, allow_nan=False))
def test_a_number_and_its_own_text_are_the_same(value: float) -> None:
    assert parse_count(value) == value
    assert parse_count(repr(value)) == pytest.approx(value, rel=1e-12)


@settings(deadline=None)
@given(st.integers(1, 10**15))
def test_what_is_said_back_reads_the_same(value: int) -> None:
    assert parse_count(spelt(value)) == value


@settings(deadline=None)
@given(st.text(max_size=30))
def test_any_text_is_read_as_a_positive_number_or_refused(text: str) -> None:
    value = None
    with contextlib.suppress(UsageError):
        value = parse_count(text)
    assert value is None or 0 < value <= MOST


def test_what_was_understood_is_said() -> None:
    assert understood("7B", 7e9, "parameters") == "7B parameters = 7 000 000 000"
    assert understood(" 2T tokens ", 2e12, "tokens") == "2T tokens = 2 000 000 000 000"
    assert understood(7e9, 7e9, "parameters") == "7 000 000 000 parameters"
