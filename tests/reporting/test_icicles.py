# SPDX-License-Identifier: Apache-2.0
"""Icicles: every box lies within the one above it, and nothing in a name is obeyed."""

import json
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.explaining.layer_tree import pieces
from submeter.records.amounts import Amount
from submeter.records.explanations import Branch
from submeter.records.figures import Basis, Missing
from submeter.reporting.icicles import boxes_of, html, svg, terminal, vega_lite
from submeter.reporting.text import columns


def branch(name: str, joules: float, *children: Branch, kind: str = "layer") -> Branch:
    return Branch(name, kind, Amount.exact(joules, Basis.MEASURED), children)  # type: ignore[arg-type]


def joules(of: Branch) -> float:
    assert isinstance(of.energy, Amount)
    return of.energy.value


def example() -> Branch:
    layers = (
        branch("up", 30.0),
        branch("norm", 10.0),
        branch("<script>alert(1)</script>\x1b[31m", 5.0),
    )
    train = branch("train", 60.0, branch("Net", 45.0, *layers), branch("(optimiser)", 15.0))
    cpu = branch("CPU", 80.0, train, branch("outside phases", 20.0, kind="phase"), kind="device")
    return branch("at the wall", 100.0, branch("facility overhead", 20.0), cpu, kind="wall")


trees = st.recursive(
    st.floats(0.01, 10.0).map(lambda j: branch("leaf", j)),
    lambda inner: st.lists(inner, min_size=1, max_size=4).map(
        lambda bs: branch("b", sum(map(joules, bs)), *bs)
    ),
    max_leaves=25,
)


@settings(max_examples=50, deadline=None)
@given(trees, st.integers(20, 200))
def test_boxes_lie_within_the_one_above_and_do_not_overlap(tree: Branch, width: int) -> None:
    boxes = boxes_of(tree)
    by_path = {b.path: b for b in boxes}
    for box in boxes:
        if box.path:
            above = by_path[box.path[:-1]]
            assert above.begin - 1e-9 <= box.begin <= box.end <= above.end + 1e-9
    for level in {b.level for b in boxes}:
        row = [b for b in boxes if b.level == level]
        assert all(a.end <= b.begin + 1e-9 for a, b in pairwise(row))
    assert all(columns(line) <= width for line in terminal(boxes, width).splitlines())


def test_the_terminal_shows_names_where_there_is_room() -> None:
    lines = terminal(boxes_of(example()), 80).splitlines()
    assert lines[0].startswith("▏at the wall 100 %")
    assert "CPU 80 %" in lines[1]
    assert "up" in lines[4]
    assert not any("\x1b" in line for line in lines)


def test_pictures_are_well_formed_and_hold_no_markup_of_names() -> None:
    drawn = svg(boxes_of(example()))
    root = ET.fromstring(drawn)  # noqa: S314  # we wrote it
    assert "script" not in {e.tag.rpartition("}")[2] for e in root.iter()}
    spec = vega_lite(boxes_of(example()))
    assert len(spec["data"]["values"]) == len(boxes_of(example()))
    json.dumps(spec, allow_nan=False)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.ids += [value for key, value in attrs if key == "id" and value]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_opens_boxes_without_anything_that_runs() -> None:
    page = html(example())
    tags = _Tags()
    tags.feed(page)
    assert not tags.open
    assert "script" not in tags.seen
    assert len(tags.ids) == len(set(tags.ids)) == len(boxes_of(example()))
    assert "http" not in page.replace("http-equiv", "")


def test_energy_that_is_missing_has_no_box() -> None:
    assert boxes_of(Branch("at the wall", "wall", Missing("no sensor"))) == []
    assert terminal([]) == ""
    tree = branch("a", 10.0, branch("b", 10.0), Branch("c", "layer", Missing("not told")))
    assert [b.name for b in boxes_of(tree)] == ["a", "b"]
    assert pytest.approx(1.0) == boxes_of(tree)[1].ratio


def test_a_tree_of_nothing_has_no_parts() -> None:
    from submeter.explaining.layers import LayerShares

    assert pieces(LayerShares(shares=())) == ()
