# SPDX-License-Identifier: Apache-2.0
"""The end of ``show``: notes of this run, the factors and who says them, the method."""

import pytest
from msgspec import structs

from submeter.accounting.published import published_run
from submeter.circumstances.reckoning import reckon
from submeter.records.footprints import Footprint
from submeter.records.runs import Run
from submeter.reporting.notes import METHOD, method_words, own_notes
from submeter.reporting.tables import details
from submeter.reporting.text import columns
from tests.reporting.examples import digits, eight_boards

GERMAN = structs.replace(digits(), place={"zone": "DE", "zone_from": "argument"})
RENTED = structs.replace(eight_boards(), place={"cloud": "aws/us-west-2"}, duration_s=36_000.0)
PUBLISHED = published_run(
    name="a", energy_kwh=5000, scope="it", zone="FR", hours=100.0, device="A100", devices=64.0
)
RUNS = {"digits": GERMAN, "boards": RENTED, "published": PUBLISHED}


def all_notes(made: Footprint) -> set[str]:
    return {*made.notes, *made.carbon.notes, *made.water.notes}


def test_what_holds_for_every_run_is_method() -> None:
    common = set.intersection(*(all_notes(reckon(run)) for run in RUNS.values()))
    assert len(common) > 4
    assert common <= METHOD


def test_each_note_of_the_method_is_said_of_some_run() -> None:
    said = set.union(*(all_notes(reckon(run)) for run in RUNS.values()))
    unsaid = {n for n in METHOD - said if "residual mix counts greenhouse gases" not in n}
    assert not unsaid


@pytest.mark.parametrize("name", RUNS)
def test_every_note_is_told_once_here_or_there(name: str) -> None:
    made = reckon(RUNS[name])
    own, method = own_notes(made), method_words(made).lower()
    for note in all_notes(made):
        if note in METHOD:
            assert note.lower() in method
            assert note not in own
        else:
            who, _, what = note.partition(": ")
            assert [x for x in own if x == note or (":" in who and x.endswith(f": {what}"))]
    assert len(set(own)) == len(own)
    assert not METHOD & set(own)


def test_a_note_of_eight_boards_is_said_once() -> None:
    own = own_notes(reckon(RENTED))
    (boards,) = (note for note in own if "no figure of its own" in note)
    assert boards.startswith("gpu:GPU-0 and 7 more: ")


@pytest.mark.parametrize("width", [60, 80, 100])
def test_notes_of_the_run_stand_before_the_method_which_is_the_end(width: int) -> None:
    text = details(GERMAN, reckon(GERMAN), width=width)
    lines = text.splitlines()
    assert lines.index("method") > max(i for i, x in enumerate(lines) if x.startswith("note "))
    paragraph = lines[lines.index("method") + 1 :]
    assert all(x.startswith("  ") for x in paragraph)
    assert max(map(columns, paragraph)) <= width
    joined = " ".join(" ".join(paragraph).split())
    assert joined == method_words(reckon(GERMAN))


def told(run: Run, made: Footprint, width: int) -> dict[str, str]:
    """Last word of the row of each factor in the list."""
    rows = details(run, made, width=width).splitlines()
    rows = rows[next(i for i, x in enumerate(rows) if x.startswith("factors ")) + 1 :]
    found: dict[str, str] = {}
    key = ""
    for row in rows[: rows.index("method")]:
        words = row.split()
        key = key if row.startswith("      ") else words[0]
        found[key] = words[-1]
    return found


@pytest.mark.parametrize("width", [80, 100])
def test_declared_and_live_factors_are_told_from_published_ones(width: int) -> None:
    declared = structs.replace(GERMAN, place=GERMAN.place | {"pue": "1.3"})
    made = reckon(declared)
    live = next(f for f in made.factors if "lifecycle" in f.key)
    made = structs.replace(
        made,
        factors=tuple(
            structs.replace(f, verified="live") if f == live else f for f in made.factors
        ),
    )
    words = told(declared, made, width)
    assert set(words) == {f.key for f in made.factors}  # not one key is cut
    for factor in made.factors:
        marked = factor.verified in {"declared", "live"}
        assert words[factor.key] == (factor.verified if marked else str(factor.year))
    assert {"declared", "live"} <= set(words.values())
