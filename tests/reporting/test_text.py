# SPDX-License-Identifier: Apache-2.0
"""Names from elsewhere cannot move, colour or turn a terminal's text."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.reporting.text import columns, cut, fill, pad, plain, table

texts = st.text(st.characters(codec=None), max_size=60)


@given(texts)
def test_f21_nothing_that_a_terminal_acts_on_survives(words: str) -> None:
    clean = plain(words)
    joined = clean.replace("\u200c", "").replace("\u200d", "")  # hold scripts together, harmless
    assert not any(unicodedata.category(c)[0] == "C" for c in joined)
    assert "\n" not in clean
    assert clean == clean.strip()
    assert plain(clean) == clean


@pytest.mark.parametrize(
    ("evil", "clean"),
    [
        ("a\x1b[31mred\x1b[0m", "ared"),
        ("a\x1b]0;title\x07b", "ab"),
        ("a\x1b]8;;http://x\x1b\\link", "alink"),
        ("a\x9b2Jb", "ab"),
        ("a\r\nb\tc", "a b c"),
        ("gnp\u202egpj.exe", "gnpgpj.exe"),
        ("a\u2066b\u2069", "ab"),
        ("bell\x07\x00", "bell"),
        ("\ud800half", "\ufffdhalf"),
        ("Grüße, 数字 №1", "Grüße, 数字 №1"),
    ],
)
def test_f21_known_tricks(evil: str, clean: str) -> None:
    assert plain(evil) == clean


@given(texts, st.integers(1, 40))
def test_a_cut_line_fits(words: str, width: int) -> None:
    line = plain(words)
    assert columns(cut(line, width)) <= width
    if columns(line) <= width:
        assert cut(line, width) == line


@given(st.lists(st.text("ab数", min_size=1, max_size=12), max_size=12), st.integers(4, 40))
def test_filled_lines_fit_and_keep_every_piece_in_order(pieces: list[str], width: int) -> None:
    lines = fill(pieces, width, between=" ")
    assert all(columns(line) <= width for line in lines)
    if all(columns(p) <= width for p in pieces):
        assert " ".join(lines).split(" ") == list(pieces) or not pieces


def test_wide_characters_take_two_columns_and_marks_none() -> None:
    assert columns("数字") == 4
    assert columns("e\u0301") == 1
    assert pad("数", 4) == "数  "
    assert pad("7", 3, right=True) == "  7"


def test_a_table_lines_up_and_a_single_cell_spans_it() -> None:
    rows = [["a long heading of its own"], ["x", "1"], ["yy", "12"]]
    assert table(rows, right=(1,)) == ["a long heading of its own", "x    1", "yy  12"]
    assert table([]) == []
