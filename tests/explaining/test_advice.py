# SPDX-License-Identifier: Apache-2.0
"""Advice: ranked, bounded, in the run's own terms; what would not help says why."""

import shlex
from pathlib import Path

import msgspec
import pytest

from benchmarks import wasteful, wasteful_runs
from benchmarks.wasteful_machine import metered
from submeter.catalog.tables import rows
from submeter.explaining.advice import MOST, Advice, advise
from submeter.explaining.waste import KEYS, Found
from submeter.interfaces.explaining import explained_run
from submeter.records.amounts import Amount
from submeter.records.explanations import Waste
from submeter.records.figures import Basis, Figure
from submeter.records.footprints import Carbon, Footprint, Money
from submeter.records.runs import Run
from submeter.reducing.quality import parse_condition
from submeter.reducing.techniques.registry import NAMES
from submeter.reporting.explanations import explained_words
from submeter.storing.places import run_folder

WALL = Amount.exact(1000.0, Basis.MEASURED)


def footprint() -> Footprint:
    return Footprint(
        WALL, WALL, WALL, WALL, carbon=Carbon(location=WALL.scaled(0.1)),
        money=Money(electricity=WALL.scaled(0.002), currency="EUR"),
    )  # fmt: skip


def run_of(**about: object) -> Run:
    words: dict[str, object] = {"command": ("python", "train.py", "--batch-size", "2")}
    return Run(
        id="1", origin="measured", status="finished", started_utc="2026-11-24T00:00:00Z",
        duration_s=100.0, metrics={"val_accuracy": 0.9}, **{**words, **about},  # type: ignore[arg-type]
    )  # fmt: skip


def found_of(**shares: float) -> Found:
    wastes = tuple(
        Waste(key=k.replace("_", "-"), name=k, energy=WALL.scaled(s), share_ratio=s, why="")
        for k, s in shares.items()
    )
    told = {w.key for w in wastes}
    return Found(wastes, {k: f"no {k}" for k in KEYS if k not in told})


def test_each_technique_exists_and_each_row_says_where_it_is_from() -> None:
    keys = [row["key"] for row in rows("advice")]
    assert len(set(keys)) == len(keys)
    for row in rows("advice"):
        assert not row["technique"] or row["technique"] in NAMES, row["key"]
        assert set(filter(None, row["wastes"].split(";"))) <= set(KEYS), row["key"]
        assert row["wastes"] or row["when"], row["key"]
        assert 0 <= float(row["low"]) <= float(row["value"]) <= float(row["high"]) <= 1
        assert row["source"]
        assert row["verified"] in {"copy", "recall", "derived", "assumed"}


def test_each_waste_has_an_action() -> None:
    cured = {w for row in rows("advice") for w in row["wastes"].split(";")}
    assert set(KEYS) <= cured


def test_actions_are_ranked_and_say_kwh_grams_and_money() -> None:
    advice = advise(run_of(), footprint(), found_of(loader=0.2, tiny_batch=0.4))
    savings = [a.saving.value for a in advice.actions if isinstance(a.saving, Figure)]
    assert savings == sorted(savings, reverse=True)
    first = advice.actions[0]
    assert first.key == "larger-batch"
    assert first.technique == "batch_size"
    assert isinstance(first.saving_ratio, Figure)
    assert first.saving_ratio.value == pytest.approx(0.32)
    assert first.saving_ratio.low < 0.32 < first.saving_ratio.high <= 1
    for figure, scale, unit in (
        (first.saving, 1000.0, "J"), (first.carbon, 100.0, "gCO2e"), (first.money, 2.0, "EUR")
    ):  # fmt: skip
        assert isinstance(figure, Figure)
        assert figure.value == pytest.approx(0.32 * scale)
        assert figure.high <= scale
        assert figure.unit == unit


def test_at_most_five_and_the_best_of_each_waste_first() -> None:
    shares = dict.fromkeys(("loader", "tiny_batch", "evaluation", "checkpoints", "idle", "redone"))
    advice = advise(run_of(), footprint(), found_of(**dict.fromkeys(shares, 0.1)))
    assert len(advice.actions) == MOST
    assert len({a.wastes for a in advice.actions}) == MOST


def test_what_would_not_help_is_withheld_with_its_reason() -> None:
    advice = advise(run_of(), footprint(), found_of())
    assert advice.actions == ()
    assert {w.key for w in advice.withheld} == {row["key"] for row in rows("advice")}
    why = {w.key: w.why for w in advice.withheld}
    assert why["loader-workers"] == "no loader"
    assert why["resume"] == "no failed; no redone"
    assert why["power-limit"] == "no board was the run's"


def test_the_command_that_would_show_it_changes_what_the_run_was_given() -> None:
    advice = advise(run_of(), footprint(), found_of(tiny_batch=0.4))
    words = shlex.split(advice.actions[0].prove)
    assert words[:2] == ["submeter", "prove"]
    at, between = words.index("--"), words.index("---")
    assert words[at + 1 : between] == ["python", "train.py", "--batch-size", "2"]
    assert words[between + 1 :] == ["python", "train.py", "--batch-size", "16"]
    asked = parse_condition(words[words.index("--keep") + 1])
    assert (asked.metric, asked.margin, asked.higher_is_better) == ("val_accuracy", 0.01, True)


def test_what_no_option_does_is_compared_with_the_run_itself() -> None:
    advice = advise(run_of(), footprint(), found_of(idle_tail=0.4))
    assert advice.actions[0].prove == "submeter prove 1 vs last"


def test_no_saving_is_more_than_the_action_cures() -> None:
    advice = advise(run_of(), footprint(), found_of(late_rank=0.3))
    for action, high in zip(advice.actions, (0.3, 0.18), strict=True):
        assert isinstance(action.saving_ratio, Figure)
        assert action.saving_ratio.high == pytest.approx(high)


def test_a_doubt_of_the_rule_widens_the_saving() -> None:
    sure = advise(run_of(), footprint(), found_of(precision=0.2))
    found = msgspec.structs.replace(found_of(precision=0.2), doubts={"precision": (0.4, 2.5)})
    wide = advise(run_of(), footprint(), found)

    def width(advice: Advice) -> float:
        figure = advice.actions[0].saving_ratio
        assert isinstance(figure, Figure)
        return figure.high - figure.low

    assert width(wide) > width(sure)


def test_a_planted_waste_is_advised_against() -> None:
    row = wasteful.judged(wasteful_runs.slow_loader(wasteful_runs.TUNING[1]))
    advice = advise(row.metered.run, row.footprint, row.found)
    assert advice.actions[0].key == "loader-workers"
    assert advice.actions[0].technique == "loader"


def test_the_explanation_of_a_run_brings_its_waste_and_what_to_try(tmp_path: Path) -> None:
    script = wasteful_runs.idle_tail(wasteful_runs.TUNING[2])[0]
    run = metered(script, tmp_path / "job").run
    folder = run_folder(tmp_path / "home", run.id)
    folder.parent.mkdir(parents=True)
    (tmp_path / "job" / "run").rename(folder)
    found = explained_run(run, home=tmp_path / "home").explanation
    assert [w.key for w in found.waste] == ["idle-tail"]
    assert "end-with-work" in {a.key for a in found.advice}
    words = explained_words(found, 80, everything=True)
    assert "idle tail" in words
    assert "Worth trying" in words
    assert "Not advised here" in words
