# SPDX-License-Identifier: Apache-2.0
"""What others have named is safe on a terminal and in a spreadsheet."""

import csv
import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import settings as calmly
from hypothesis import strategies as st

from submeter.storing.wording import safe_cell, safe_text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain", "plain"),
        ("größe µ 日本語 👩‍🔬", "größe µ 日本語 👩‍🔬"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;aGk=", ""),
        ("\x9b2Jx", "x"),
        ("a\r\nb\tc", "a  b c"),
        ("exe.\u202egpj", "exe.gpj"),
        ("\u2066x\u2069\u200e\u200f\u061c\ufeff\u00ad", "x"),
        ("a\u2028b\u2029c\u00a0d", "a b c d"),
        ("a\x00\x07\x08\x7f\x85", "a "),
        ("caf\udce9", "caf\ufffd"),
        ("x" * 600, "x" * 499 + "…"),
    ],
)
def test_f21_names_are_stripped_on_output(name: str, shown: str) -> None:
    assert safe_text(name) == shown


@calmly(deadline=None)
@given(st.text())
def test_f21_nothing_that_moves_or_hides_is_left(text: str) -> None:
    safe = safe_text(text)
    safe.encode()
    left = {unicodedata.category(c) for c in safe.replace("\u200c", "").replace("\u200d", "")}
    assert not left & {"Cc", "Cs", "Cf", "Zl", "Zp"}
    assert safe_text(safe) == safe


@calmly(deadline=None)
@given(st.text(st.sampled_from("=+-@\t\r\n |A1\"',;\u202e＝"), max_size=8))
def test_no_cell_is_a_formula(text: str) -> None:
    file = io.StringIO()
    csv.writer(file).writerow([safe_cell(text), "x"])
    ((cell, _),) = csv.reader(io.StringIO(file.getvalue()))
    assert not cell.lstrip().startswith(("=", "+", "-", "@", "＝"))
    assert "\n" not in cell
