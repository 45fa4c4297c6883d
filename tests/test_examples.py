# SPDX-License-Identifier: Apache-2.0
"""The worked examples of published runs: executed, linked, and no figure typed by hand."""

import math
import re
from pathlib import Path

import pytest

from benchmarks.examples import BLOCK, PAGES, ROOT, alone, executed, pages, text_of

LINES = 12  # of code in one block: a page is read, not studied
FIGURE = re.compile(
    r"(?<![\w.])(\d[\d   ]*(?:\.\d+)?) ?(MWh|GWh|kWh|L/kWh|g/kWh|lb|kg|t|m³|W|L|%)(?![\w/])"
)
NUMBER = re.compile(r"\d[\d_   ]*(?:\.\d+)?(?:e\d+)?")
SAME = 1e-12


def number(word: str) -> float:
    return float(re.sub(r"[_   ]", "", word))


def prose_figures(text: str) -> list[float]:
    """Figures with a unit outside of the code."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [number(found.group(1)) for found in FIGURE.finditer(re.sub(r"`[^`]*`", "", prose))]


def code_figures(text: str) -> set[float]:
    """Digits of every number in the code and in what it prints: 0.4 kW is 400 W."""
    return {
        mantissa(number(word)) for block in BLOCK.findall(text) for word in NUMBER.findall(block)
    }


def mantissa(value: float) -> float:
    return 0.0 if value == 0 else round(value / 10 ** math.floor(math.log10(value) + SAME), 9)


def test_there_are_five_of_them() -> None:
    assert {page.stem for page in pages()} >= {
        "transformer", "bloom", "llama", "gpt3-water", "olmo2",
    }  # fmt: skip


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_a_page_says_what_its_code_prints(page: Path) -> None:
    with alone():
        now = executed(text_of(page))
    assert now == text_of(page), "make figures writes what the code prints now"


def test_a_page_that_says_something_else_is_noticed() -> None:
    page = "```pycon\n>>> import submeter\n>>> 40 + 2\n41\n>>> print()\n```\n"
    assert executed(page) == page.replace("41", "42").replace(
        ">>> print()\n", ">>> print()\n<BLANKLINE>\n"
    )


def test_a_block_that_fails_is_no_page() -> None:
    with pytest.raises(ZeroDivisionError):
        executed("```pycon\n>>> 1 / 0\n```\n")


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_each_figure_of_the_text_is_in_its_code(page: Path) -> None:
    text = text_of(page)
    known = code_figures(text)
    lost = [value for value in prose_figures(text) if mantissa(value) not in known]
    assert prose_figures(text)
    assert not lost, f"{page.name}: no block takes or prints {lost}"


def test_a_figure_typed_by_hand_is_noticed() -> None:
    text = "It took 24.7 t and 31 t.\n\n```pycon\n>>> 24_700\n24700\n```\n"
    known = code_figures(text)
    assert [v for v in prose_figures(text) if mantissa(v) not in known] == [31]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_a_page_is_short_and_has_its_parts(page: Path) -> None:
    text = text_of(page)
    for heading in ("## What was published", "## With today's knowledge", "## What to learn"):
        assert heading in text, f"{page.name} lacks {heading!r}"
    assert "arxiv.org/abs/" in text
    blocks = BLOCK.findall(text)
    statements = [len(re.findall(r"^>>> ", block, re.MULTILINE)) for block in blocks]
    assert max(statements) <= LINES, f"{page.name}: {statements}"
    assert len(text.splitlines()) <= 120


def test_the_index_leads_to_each_page_and_readers_to_the_index() -> None:
    index = text_of(PAGES / "README.md")
    assert [page.name for page in pages() if f"({page.name})" not in index] == []
    assert "docs/examples/README.md" in text_of(ROOT / "README.md")
    assert "examples/README.md" in text_of(ROOT / "docs" / "tour.md")


def test_it_runs_without_anybodys_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("SUBMETER_PUE", "1.9")
    before = dict(os.environ), Path.cwd()
    with alone():
        assert "SUBMETER_PUE" not in os.environ
        assert list(Path.cwd().iterdir()) == []
    assert (dict(os.environ), Path.cwd()) == before
