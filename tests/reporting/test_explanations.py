# SPDX-License-Identifier: Apache-2.0
"""How an explanation is told: within eighty columns, the dearest first, nothing lost."""

import json
import math
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from benchmarks.scripted import LONG, Job, scripted
from submeter.accounting.boundaries import footprint
from submeter.explaining.timeline import stalls_of
from submeter.explaining.tree import explained
from submeter.explaining.use import Work, use_of
from submeter.records.amounts import Amount, Term
from submeter.records.explanations import Action, Branch, Explanation, Part, Waste, Withheld
from submeter.records.figures import Basis, Figure, Missing
from submeter.records.observations import Observations
from submeter.records.runs import MetricPoint
from submeter.reporting import timelines
from submeter.reporting.explanation_words import explanation_document
from submeter.reporting.explanations import explained_words
from submeter.reporting.text import columns
from submeter.reporting.words import to_json
from submeter.running.observing import observed

PROFILE = (
    Part("Net", "layer", 0.9, 0.1, tuple(Part(f"layer{i}", "layer", 0.2) for i in range(4))),
    Part("(loss)", "layer", 0.05),
)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    made = scripted(tmp_path_factory.mktemp("job"), LONG, length_s=60.0)
    history = tuple(MetricPoint(15.0 * i, {"accuracy": 1 - 0.5**i}, i) for i in range(4))
    run = msgspec.structs.replace(
        made.run, name="digits", work={"samples": 6400.0}, metric_history=history,
        metrics={"accuracy": 0.875}, parameters={"precision": "bf16"},
    )  # fmt: skip
    return made._replace(run=run)


@pytest.fixture(scope="module")
def seen(job: Job) -> Observations:
    return observed(job.run, job.folder)


def ratio(value: float, low: float, high: float) -> Figure:
    return Figure(value, low, high, "1", basis_shares={Basis.DERIVED: 1.0})


@pytest.fixture(scope="module")
def whole(job: Job, seen: Observations) -> Explanation:
    amount = footprint(job.run, 1.2)
    tree = explained(job.run, amount, seen, {"train/backward": PROFILE})
    facility = amount.facility
    assert isinstance(facility, Amount)
    return Explanation(
        name="digits · finished in 1 min",
        run_id=job.run.id,
        tree=tree,
        use=use_of(job.run, amount, Work(flop_per={"sample": 1e12})),
        stalls=stalls_of(seen),
        waste=(
            Waste(
                key="loader", name="loader", energy=facility.scaled(0.15), share_ratio=0.15,
                why="the loader holds the GPU 14 % of each step", detail={"wait_s": 8.0},
            ),
            Waste(
                key="idle-tail", name="idle tail", energy=facility.scaled(0.05), share_ratio=0.05,
                why="nothing ran in the last 3 s",
            ),
            Waste(
                key="late", name="late rank", energy=Missing("one rank only"),
                share_ratio=Missing("one rank only"), why="",
            ),
        ),
        advice=(
            Action(
                key="loader", text="loader workers 4 → 12",
                saving=facility.scaled(0.14).figure("J"),
                saving_ratio=ratio(0.14, 0.08, 0.17), price="more memory", wastes=("loader",),
                prove="submeter prove -- python train.py --- python train.py --workers 12",
            ),
        ),
        withheld=(Withheld("bf16", "train in bf16", "it trains in bf16 already"),),
        notes=("the place is not known",),
    )  # fmt: skip


@pytest.mark.parametrize("width", [80, 100, 60])
def test_every_line_fits(whole: Explanation, width: int) -> None:
    for everything in (False, True):
        said = explained_words(whole, width, everything=everything)
        assert max(map(columns, said.splitlines())) <= width


def test_a_whole_explanation(whole: Explanation, snapshot: SnapshotAssertion) -> None:
    assert explained_words(whole, 80) == snapshot


def test_all_of_it(whole: Explanation, snapshot: SnapshotAssertion) -> None:
    assert explained_words(whole, 80, everything=True) == snapshot


def test_waste_and_advice_are_said_in_the_runs_own_terms(whole: Explanation) -> None:
    said = explained_words(whole, 80)
    assert re.search(r"^Waste .* at the wall \(20 %\):", said, re.MULTILINE)
    assert "late rank" not in said
    assert re.search(r"Worth trying: 1 loader workers 4 → 12, −14 % \(−8 … −17\)", said)
    assert "→ submeter prove" in said
    assert "Not advised" not in said
    assert "it trains in bf16 already" in explained_words(whole, 80, everything=True)


@pytest.mark.parametrize("depth", [1, 2, 3, 9])
def test_depth_cuts_the_tree(whole: Explanation, depth: int) -> None:
    document = json.loads(to_json(explanation_document(whole, depth=depth)))

    def deepest(node: dict[str, Any]) -> int:
        return max((1 + deepest(c) for c in node["children"]), default=0)

    assert deepest(document["tree"]) == min(depth, 6)
    lines = explained_words(whole, 80, depth=depth).splitlines()
    stems = [re.match(r"[│├└─ ]*", line) for line in lines if re.match(r"[│ ]*[├└]─", line)]
    assert max(len(m[0]) for m in stems if m) <= 3 * depth


def test_many_small_branches_are_never_more_than_what_they_are_part_of() -> None:
    whole = Amount.exact(100.0, Basis.MEASURED)
    small = Amount(terms=(Term(0.05, Basis.MEASURED),), bound_low=0.05, bound_high=0.5)
    phases = tuple(Branch(f"p{i}", "phase", small) for i in range(1000))
    large = Branch("train", "phase", Amount.exact(50.0, Basis.MEASURED))
    tree = Branch("at the wall", "wall", whole, children=(large, *phases))
    said = explained_words(Explanation(name="many", run_id="", tree=tree), 80)
    assert re.search(r"1000 smaller +≤ 100 J +50 %", said), said


def test_the_document_sums_at_each_level(whole: Explanation) -> None:
    document = json.loads(to_json(explanation_document(whole)))
    assert document["schema"] == 1
    assert {"tree", "waste", "advice"} <= document.keys()

    def check(node: dict[str, Any]) -> None:
        if node["children"]:
            parts = [c["energy"]["value"] for c in node["children"]]
            assert math.fsum(parts) == node["energy"]["value"], node["name"]
        for child in node["children"]:
            check(child)

    check(document["tree"])
    assert document["tree"]["share_ratio"] == 1.0
    assert document["waste"][2]["energy"] == {"missing": "one rank only"}


def test_a_run_of_which_nothing_is_known_says_why() -> None:
    none = Explanation(name="x", tree=Branch("at the wall", "wall", Missing("no sensor")))
    assert "no sensor" in explained_words(none)
    assert json.loads(to_json(explanation_document(none)))["tree"]["energy"] == {
        "missing": "no sensor"
    }


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=60), st.text(max_size=40))
def test_names_of_others_are_shown_and_never_obeyed(name: str, note: str) -> None:
    branch = Branch(name, "phase", Amount.exact(4.0, Basis.MEASURED), note=note)
    root = Branch("at the wall", "wall", Amount.exact(4.0, Basis.MEASURED), (branch,))
    said = explained_words(Explanation(name=name, tree=root, notes=(note,)))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", said)
    assert all(columns(line) <= 80 for line in said.split("\n"))


# -- time line -----------------------------------------------------------------------------------


def test_the_time_line_in_characters(
    whole: Explanation, seen: Observations, snapshot: SnapshotAssertion
) -> None:
    said = timelines.timeline_words(seen, whole.stalls, 80)
    assert said == snapshot
    assert max(map(columns, said.splitlines())) <= 80


def test_the_time_line_as_a_drawing(whole: Explanation, seen: Observations) -> None:
    import xml.etree.ElementTree as ET

    svg = timelines.timeline_svg(seen, whole.stalls, "<script>alert(1)</script>")
    root = ET.fromstring(svg)  # noqa: S314  # our own
    assert not [e for e in root.iter() if e.tag.endswith(("script", "a", "image"))]
    titles = [e.text for e in root.iter() if e.tag.endswith("title")]
    assert any(t and t.startswith("train/backward") for t in titles)
    assert any(t and t.startswith("loader wait") for t in titles)
    assert len(svg) < 200_000
    page = timelines.page(svg, "x")
    assert page.startswith("<!doctype html>")
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


def test_the_time_line_as_a_specification(whole: Explanation, seen: Observations) -> None:
    spec = timelines.timeline_specification(seen, whole.stalls)
    power, phases, stalls = spec["vconcat"]
    board = [v["w"] for v in power["data"]["values"] if v["device"] == "GPU"]
    truth = next(d for d in seen.devices if d.kind == "gpu").mean_w
    assert board == pytest.approx([w for w in truth if w is not None], abs=1e-3)
    assert {v["phase"] for v in phases["data"]["values"]} == {p.path for p in LONG if p.path}
    assert {v["cause"] for v in stalls["data"]["values"]} == {s.cause for s in whole.stalls}
    assert json.loads(to_json(spec)) == spec


def test_a_drawing_is_drawn_by_vega(whole: Explanation, seen: Observations) -> None:
    vl_convert = pytest.importorskip("vl_convert")
    spec = timelines.timeline_specification(seen, whole.stalls)
    assert vl_convert.vegalite_to_svg(spec, vl_version="5.20").startswith("<svg")
