# SPDX-License-Identifier: Apache-2.0
"""What a run amounts to, in words: nothing cut that a reader needs, each place named."""

import re

import pytest
from msgspec import structs

from submeter.accounting.published import published_run
from submeter.circumstances.reckoning import Asked, reckon
from submeter.grid.place import resolve_place
from submeter.records.footprints import Footprint
from submeter.records.runs import Run
from submeter.reporting.impacts import impacts, place_words, side_by_side
from submeter.reporting.replays import replay_words
from submeter.reporting.text import columns

PLACES = ("SE", "PL", "FR", "IN", "US-CAL-CISO", "us-west-2")


def small_run() -> Run:
    return published_run(
        name="small", energy_kwh=1e-5, scope="it", pue=1.2, zone="DE", started="2023-05"
    )


@pytest.fixture(scope="module")
def everywhere() -> list[tuple[str, Footprint]]:
    run = small_run()
    asked = [(place, reckon(run, Asked(zone=place))) for place in PLACES]
    return [("as it was", reckon(run)), *asked]


def figures_of(lines: list[str]) -> dict[tuple[str, str], str]:
    """Each figure of tables of values by its row and its column."""
    found: dict[tuple[str, str], str] = {}
    heads: list[str] = []
    for line in lines:
        cells = re.split(r"  +", line.strip())
        if line.startswith("    "):
            heads = cells
        elif line:
            found |= {(cells[0], head): c for head, c in zip(heads, cells[1:], strict=True)}
    return found


@pytest.mark.parametrize("count", range(3, 8))
@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_places_that_do_not_fit_beside_each_other_stand_below(
    everywhere: list[tuple[str, Footprint]], count: int, width: int
) -> None:
    shown = [(name, structs.replace(f, notes=())) for name, f in everywhere[:count]]
    lines = side_by_side(shown, width)
    assert max(map(columns, lines)) <= width
    assert "…" not in "\n".join(line for line in lines if line.startswith(("energy", "carbon")))
    wide = figures_of(side_by_side(shown, 1000))
    assert len(wide) == count * len({row for row, _ in wide})
    assert figures_of(lines) == {(row, cut_like(lines, col)): v for (row, col), v in wide.items()}


def cut_like(lines: list[str], name: str) -> str:
    """*name* as it stands in the heads: whole, or its end cut."""
    heads = {c for x in lines if x.startswith("    ") for c in re.split(r"  +", x.strip())}
    return next(h for h in heads if h == name or (h[-1] == "…" and name.startswith(h[:-1])))


def test_each_of_several_tables_begins_with_the_run_as_it_was(
    everywhere: list[tuple[str, Footprint]],
) -> None:
    shown = [(name, structs.replace(f, notes=())) for name, f in everywhere]
    text = "\n".join(side_by_side(shown, 60))
    tables = text.split("\n\n")
    assert len(tables) > 1
    assert all("as it was" in t.splitlines()[0] for t in tables)
    assert all(name in text for name in PLACES)


@pytest.mark.parametrize("width", [60, 70, 80, 100])
def test_two_columns_are_never_cut(everywhere: list[tuple[str, Footprint]], width: int) -> None:
    (_, here), (_, there) = everywhere[0], everywhere[-1]
    shown = [
        ("as it was (DE)", structs.replace(here, notes=())),
        ("us-west-2, PUE 1.1, 10 kW solar, 20 kWh battery", structs.replace(there, notes=())),
    ]
    lines = side_by_side(shown, width)
    assert max(map(columns, lines)) <= width
    assert all("…" not in line for line in lines[1:])
    carbon = next(line for line in lines if line.startswith("carbon, location"))
    assert re.search(r" [−+]\d+ %$", carbon)


@pytest.mark.parametrize("width", [60, 80])
def test_long_words_are_wrapped_and_none_is_cut(width: int) -> None:
    claim = "claims to match 100 % of a year's energy with certificates from elsewhere " * 3
    made = reckon(small_run())
    made = structs.replace(
        made,
        carbon=structs.replace(made.carbon, claims=(claim,), offsets=(f"{claim}retired",)),
        doubts=tuple(structs.replace(d, remedy=f"{claim}remedy") for d in made.doubts),
    )
    lines = impacts(made, width)
    assert max(map(columns, lines)) <= width
    text = " ".join(" ".join(lines).split())
    assert "…" not in text
    for label, end in (("claim", "elsewhere"), ("offset", "retired")):
        assert f"{label}, not subtracted: {claim}".strip() in text
        assert end in text
    assert f"narrower: {claim}remedy" in text


def test_everyday_words_are_not_cut() -> None:
    made = reckon(published_run(name="large", energy_kwh=5e4, scope="it", zone="DE"))
    long = tuple(structs.replace(row, text=f"{row.text} {'and more ' * 12}end")
                 for row in made.equivalents)  # fmt: skip
    assert long
    text = " ".join(" ".join(impacts(structs.replace(made, equivalents=long), 80)).split())
    assert text.count("and more end") == len(long)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("Berlin", "Berlin (gcp/europe-west10)"),
        ("us-west-2", "(aws/us-west-2)"),
        ("Germany North", "Germany North (azure/germanynorth)"),
        ("DE", "Germany"),
    ],
)
def test_a_cloud_region_names_its_provider(word: str, said: str) -> None:
    words = place_words(resolve_place(argument=word))
    assert words.startswith(said) or f" {said}" in words
    assert ("(" in words) == ("(" in said)


def test_a_guess_is_still_told_as_one() -> None:
    words = place_words(resolve_place(timezone="Europe/Berlin"))
    assert words == "Germany, guessed from the time zone"


def test_a_replay_names_the_cloud_that_a_town_was_taken_for() -> None:
    run = small_run()
    there = [(word, reckon(run, Asked(zone=word))) for word in ("Berlin", "us-west-2", "SE")]
    said = replay_words(run, reckon(run), there, 100).splitlines()
    assert "Berlin: gcp/europe-west10" in said
    assert not any("aws/" in line for line in said)
    moved = reckon(run, Asked(zone="Berlin"))
    assert "gcp/" not in replay_words(run, moved, [("PUE 1.1", moved)], 100)
