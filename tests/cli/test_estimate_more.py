# SPDX-License-Identifier: Apache-2.0
"""``estimate``: charts, changes of the model, outlooks, and people's ways of writing counts."""

import json
import xml.etree.ElementTree as ET

import pytest

from tests.cli.stage import Stage, stage

__all__ = ["stage"]

LLAMA = ("--params", "7B", "--tokens", "2T", "--hardware", "h100-sxm:512", "--zone", "SE")
VARIED = ("--vary", "hardware=v100,a100-sxm4-80gb,h100-sxm,tpu-v4,cpu")


def test_a_chart_has_a_bar_for_each_point_and_measure(stage: Stage) -> None:
    out = stage.call("estimate", *LLAMA, *VARIED, "--chart").out
    bars = [line for line in out.splitlines() if "●" in line and "━" in line][:-1]
    assert len(bars) == 5 * 3
    for title in ("time", "energy", "carbon"):
        assert f"\n{title}\n" in out
    points = stage.call("estimate", *LLAMA, *VARIED, "--json").document["points"]
    marked = [line.split()[1] for line in bars[:5] if line.startswith("*")]
    assert marked == [p["set"]["hardware"] for p in points if p["pareto"]]
    assert max(map(len, out.splitlines())) <= 80


def test_a_chart_as_a_specification_holds_the_figures_of_the_table(stage: Stage) -> None:
    done = stage.call("estimate", *LLAMA, *VARIED, "--chart", "what-if.json", "--json")
    assert "drawn in what-if.json" in done.err
    chart = json.loads((stage.path / "what-if.json").read_text(encoding="utf-8"))
    assert chart["$schema"].endswith("vega-lite/v5.json")
    rows = [r for r in chart["data"]["values"] if r["measure"] == "energy"]
    for row, point in zip(rows, done.document["points"], strict=True):
        assert row["point"] == point["set"]["hardware"]
        assert row["value"] == pytest.approx(point["energy"]["value"] / 3.6e6)
        assert row["low"] < row["value"] < row["high"]
        assert row["pareto"] == point["pareto"]
    assert {view["layer"][1]["mark"]["type"] for view in chart["hconcat"]} == {"point"}


def test_a_drawing_is_well_formed_and_has_its_points(stage: Stage) -> None:
    stage.call("estimate", *LLAMA, *VARIED, "--chart", "what-if.svg")
    drawing = ET.parse(stage.path / "what-if.svg").getroot()  # noqa: S314  # ours
    name = "{http://www.w3.org/2000/svg}"
    assert len(drawing.findall(f".//{name}circle")) == 5 * 3
    assert drawing.find(f"{name}title") is not None
    assert drawing.find(f"{name}desc") is not None
    width = float(drawing.attrib["viewBox"].split()[2])
    for circle in drawing.iter(f"{name}circle"):
        assert 0 < float(circle.attrib["cx"]) < width


def test_where_places_are_compared_carbon_is_the_last_to_go(stage: Stage) -> None:
    out = stage.call("estimate", *LLAMA, "--vary", "hardware=a100-sxm4-80gb,b200 region=DE,SE").out
    assert "carbon" in out.splitlines()[0]
    assert "left out for want of room: water · cost · energy, to first" in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 80


def test_a_chart_over_decades_has_short_labels_and_units_of_their_own(stage: Stage) -> None:
    out = stage.call("estimate", *LLAMA, "--sweep", "params=1e8..1e11:4", "--chart").out
    chart = out[out.index("\ntime\n") :]
    assert [line[2:6] for line in chart.splitlines()[2:6]] == ["1e8 ", "1e9 ", "1e10", "1e11"]
    energy = chart[chart.index("\nenergy\n") :].splitlines()[2:6]
    assert {line.split()[-1] for line in energy} == {"MWh", "GWh"}


def test_a_table_of_very_many_points_shows_the_marked_ones(stage: Stage) -> None:
    sizes = ",".join(f"{n}B" for n in range(1, 101))
    done = stage.call("estimate", *LLAMA, "--vary", f"params={sizes} region=SE,DE")
    assert len(done.out.splitlines()) < 140
    assert "of 200 points, the first and the marked" in done.out


def test_a_change_says_operations_bytes_and_a_range(stage: Stage) -> None:
    changes = (
        "--change",
        "prune=0.5:channels",
        "--change",
        "prune=0.9",
        "--change",
        "precision=fp8",
    )
    done = stage.call("estimate", *LLAMA, *changes)
    assert "energy (range)" in done.out
    assert "not verified" in done.out
    assert "… 0 %" in done.out
    document = stage.call("estimate", *LLAMA, *changes, "--json").document
    first, second, _ = document["changes"]
    assert first["energy_ratio"]["low"] < 1 == first["energy_ratio"]["high"]
    assert second["energy_ratio"] == {"low": 1, "high": 1}
    assert not any(c["verified"] for c in document["changes"])
    plain = stage.call("estimate", *LLAMA, "--json").document
    assert (
        document["energy"]["facility"] == plain["energy"]["facility"]
    )  # it changes no prediction


def test_an_outlook_says_that_it_is_one(stage: Stage) -> None:
    done = stage.call("estimate", *LLAMA, "--outlook", "neuromorphic")
    assert "outlook: neuromorphic" in done.out
    assert "technology outlook, no prediction" in done.out
    assert "no ranking" in " ".join(done.out.split())
    outlook = stage.call("estimate", *LLAMA, "--outlook", "neuromorphic", "--json").document[
        "outlook"
    ]
    assert outlook["is"] == "technology outlook, no prediction"
    assert outlook["energy_low_j"] < outlook["energy_high_j"]
    assert outlook["sources"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((*LLAMA, "--chart"), "several points"),
        ((*LLAMA, *VARIED, "--chart", "x.png"), "neither .svg nor .json"),
        ((*LLAMA, *VARIED, "--chart", "nowhere/x.svg"), "nowhere/x.svg"),
        ((*LLAMA, *VARIED, "--change", "prune=0.5"), "no table of points"),
        ((*LLAMA, *VARIED, "--outlook", "neuromorphic"), "no table of points"),
        ((*LLAMA, "--change", "prune=0.5:heads"), "no way of pruning"),
        ((*LLAMA, "--outlook", "quantum"), "quantum"),
        (("--gpu-hours", "1000", *LLAMA[4:], "--outlook", "neuromorphic"), "only hours"),
        (("--gpu-hours", "1000", *LLAMA[4:], "--change", "prune=0.5"), "only hours"),
        ((*LLAMA, "--vary", "hardware=h100-sxm,abacus"), "abacus"),
        ((*LLAMA, "--vary", "tokens=1T,-2T"), "-2T"),
        ((*LLAMA, "--sweep", "params=-1..5"), "-1"),
        ((*LLAMA, "--vary", "hardwre=a100"), "“hardwre” cannot be varied"),
        (("--params", "7", "--tokens", "2,5T", *LLAMA[4:]), "2,5T"),
        (("--params", "7BT", "--tokens", "2T", *LLAMA[4:]), "7BT"),
        (("--params", "7 GB", "--tokens", "2T", *LLAMA[4:]), "7 GB"),
        (("--params", "seven", "--tokens", "2T", *LLAMA[4:]), "seven"),
        (("--params", "7B", "--tokens", "nan", *LLAMA[4:]), "nan"),
        (("--params", "7B", "--tokens", "2T", "--batch=-1", *LLAMA[4:]), "-1"),
        (("--cnn", "resnet50", "--images=-3", *LLAMA[4:]), "-3"),
    ],
)
def test_nonsense_is_one_error_with_one_remedy(
    args: tuple[str, ...], said: str, stage: Stage
) -> None:
    done = stage.call("estimate", *args)
    first, second = done.err.splitlines()
    assert (done.code, done.out) == (2, "")
    assert first.startswith("error: ")
    assert said in first
    assert second.startswith("try:   ")


@pytest.mark.parametrize(
    ("params", "tokens", "read"),
    [
        ("7B", "2 T", "2 000 000 000 000"),
        ("7 billion", "2e12", "7 000 000 000"),
        ("7e9", "2×10^12 tokens", "2 000 000 000 000"),
        ("7_000_000_000", "2T", "7 000 000 000"),
        ("7000M", "2000B", "7 000 000 000"),
    ],
)
def test_mixed_ways_of_writing_are_read_and_said_back(
    params: str, tokens: str, read: str, stage: Stage
) -> None:
    done = stage.call("estimate", "--params", params, "--tokens", tokens, *LLAMA[4:])
    assert read in done.out
    plain = stage.call("estimate", *LLAMA).out
    assert done.out.splitlines()[0] == plain.splitlines()[0]
