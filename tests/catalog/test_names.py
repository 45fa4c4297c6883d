# SPDX-License-Identifier: Apache-2.0
"""One form for each sort of name, which is its own form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.catalog.names import fold, near, normal_board, normal_cpu
from submeter.catalog.tables import rows

texts = st.text(max_size=60)
PARTS = (
    "NVIDIA Tesla A100-SXM4-80GB H100 (TM) [X] 16 GB / - _ AMD Instinct MI250X CPU @ 2GHz"
    " Intel(R) Xeon(R) Processor 8-Core 12th Gen é ß İ ﬀ"
)
words = st.lists(st.sampled_from(PARTS.split()), max_size=8).map(" ".join)


@given(texts | words)
def test_a_form_is_its_own_form(word: str) -> None:
    for form in (fold, normal_cpu, normal_board):
        assert form(form(word)) == form(word)


@given(texts)
def test_case_and_space_around_do_not_matter(word: str) -> None:
    assert fold(f"  {word}\t") == fold(word)
    assert fold(fold(word).upper()) == fold(word)


@pytest.mark.parametrize(
    ("word", "folded"),
    [
        ("Türkiye", "turkiye"),
        ("Åland Islands", "aland islands"),
        ("Łódź", "lodz"),
        ("Straße", "strasse"),
        ("São Tomé and Príncipe", "sao tome and principe"),
        ("D.C.", "dc"),
        ("aws/us-west-2", "aws us west 2"),
        ("---", ""),
    ],
)
def test_accents_and_marks_go(word: str, folded: str) -> None:
    assert fold(word) == folded


def test_boards_stand_in_their_table_as_they_are_looked_up() -> None:
    for row in rows("boards"):
        assert normal_board(row["key"]) == row["key"]


def test_what_holds_a_word_comes_before_what_looks_like_it() -> None:
    assert near("h100", ["h10", "nvidia h100 pcie", "h200"])[0] == "nvidia h100 pcie"
    assert near("germny", ["Germany", "France"]) == ("Germany",)
    assert near("", ["a"]) == ()
