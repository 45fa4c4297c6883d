# SPDX-License-Identifier: Apache-2.0
"""``submeter compare``: what it says, what it refuses, and what it draws."""

import xml.etree.ElementTree as ET
from typing import Any

import msgspec
import pytest
from syrupy.assertion import SnapshotAssertion

from submeter.records.figures import Quantity
from submeter.records.runs import DeviceEnergy, Host, MetricPoint, Run, Series
from submeter.storing.ledger import open_ledger
from tests.cli.stage import Stage, stage
from tests.reporting.examples import digits, eight_boards, modelled, phase

__all__ = ["stage"]


def times(row: DeviceEnergy, ratio: float) -> DeviceEnergy:
    assert isinstance(row.share, Quantity)
    share = row.share.scaled(ratio)
    return msgspec.structs.replace(row, share=share, drawn=share)


def larger(**changes: Any) -> Run:
    """The run of the tour with a batch twice as large, and what that did."""
    old = digits()
    devices = tuple(times(row, 0.7) for row in old.devices)
    run = msgspec.structs.replace(
        old,
        id="20261123-170000-cd34",
        name="larger-batch",
        started_utc="2026-11-23T17:00:00Z",
        duration_s=50.0,
        command=("python", "examples/digits.py", "--batch", "256"),
        code={"commit": "b" * 40, "dirty": "no"},
        devices=devices,
        phases=(phase("train", modelled(900)),),
        metrics={"loss": 0.0021, "accuracy": 0.9733},
    )
    return msgspec.structs.replace(run, **changes)


def first() -> Run:
    return msgspec.structs.replace(
        digits(),
        command=("python", "examples/digits.py", "--batch", "128"),
        code={"commit": "a" * 40, "dirty": "no"},
        place={"zone": "DE", "zone_from": "argument", "electricity_price": "0.31"},
    )


def second() -> Run:
    return larger(place=first().place)


def keep(stage: Stage, *runs: Run) -> None:
    with open_ledger(stage.home / "ledger.db") as ledger:
        for run in runs:
            ledger.put(run)


def curves() -> tuple[Run, Run]:
    """One training on a processor and on boards, with learning curves."""
    cpu = msgspec.structs.replace(
        first(),
        name="on-cpu",
        metric_history=tuple(MetricPoint(18.0 * i, {"accuracy": a}, i)
                             for i, a in enumerate((0.6, 0.9, 0.97, 0.98, 0.978))),
        series=Series(18.0, {"cpu:0": [144.0] * 4}),
        tags={"data": "digits"},
    )  # fmt: skip
    gpu = msgspec.structs.replace(
        eight_boards(),
        id="20261123-170100-cd35",
        name="on-gpu",
        hosts=(Host("rack"),),
        duration_s=20.0,
        metric_history=tuple(MetricPoint(5.0 * i, {"accuracy": a}, i)
                             for i, a in enumerate((0.7, 0.95, 0.985, 0.984))),
        metrics={"accuracy": 0.984},
        series=Series(5.0, {"gpu:GPU-0": [4e5, 3e5, 3e5, 2e5]}),
        work={"samples": 17970.0},
        tags={"data": "digits"},
        place=first().place,
    )  # fmt: skip
    return cpu, gpu


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_two_runs_beside_each_other(
    stage: Stage, snapshot: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    keep(stage, first(), second())
    done = stage.call("compare", "digits", "larger-batch")
    assert done.code == 0, done.err
    assert max(len(line) for line in done.out.splitlines()) <= columns
    assert done.out == snapshot


def test_a_run_beside_itself_says_so(stage: Stage, snapshot: SnapshotAssertion) -> None:
    keep(stage, first())
    done = stage.call("compare", "digits", "digits")
    assert done.code == 0, done.err
    assert "not distinguishable" not in done.out
    assert done.out == snapshot


def test_many_runs_have_a_row_each(stage: Stage, snapshot: SnapshotAssertion) -> None:
    many = [
        larger(
            id=f"20261123-18000{i}-000{i}",
            name=f"batch{2**i}",
            command=("python", "examples/digits.py", "--batch", str(2**i)),
            place=first().place,
        )
        for i in range(4)
    ]
    keep(stage, first(), *many)
    done = stage.call("compare", "digits", *(run.name for run in many))
    assert done.code == 0, done.err
    assert max(len(line) for line in done.out.splitlines()) <= 80
    assert done.out == snapshot


def test_by_phase_and_device(stage: Stage, snapshot: SnapshotAssertion) -> None:
    keep(stage, first(), second())
    assert stage.call("compare", "digits", "larger-batch", "--by", "phase,device").out == snapshot


def test_runs_that_say_the_same_are_repetitions(stage: Stage, snapshot: SnapshotAssertion) -> None:
    runs = [
        msgspec.structs.replace(
            base,
            id=f"20261123-19000{i}-{n}{i}00",
            devices=tuple(times(row, 1 + 0.01 * i) for row in base.devices),
            metrics={"accuracy": 0.97 + 0.01 * n + 0.001 * i},
        )
        for n, base in enumerate((first(), second()))
        for i in range(3)
    ]
    keep(stage, *runs)
    done = stage.call("compare", *(run.id for run in runs), "--by", "batch")
    assert done.code == 0, done.err
    assert "batch=128 ×3" in done.out
    assert done.out == snapshot


def test_the_same_work_on_two_machines(stage: Stage, snapshot: SnapshotAssertion) -> None:
    keep(stage, *curves())
    done = stage.call("compare", "on-cpu", "on-gpu", "--same-work")
    assert done.code == 0, done.err
    assert done.out == snapshot
    told = stage.call("compare", "on-cpu", "on-gpu", "--same-work", "--json").document
    assert told["same_work"]["reached"]["metric"] == "accuracy"
    assert told["same_work"]["refused"] == []


def test_beside_a_published_training(stage: Stage, snapshot: SnapshotAssertion) -> None:
    keep(stage, first())
    done = stage.call("compare", "digits", "--published", "BLOOM")
    assert done.code == 0, done.err
    assert "not published" in done.out
    assert done.out == snapshot


def test_two_published_trainings(stage: Stage) -> None:
    done = stage.call("compare", "--published", "LLaMA-7B", "--published", "bloom", "--json")
    assert done.code == 0, done.err
    assert [column["origin"] for column in done.document["columns"]] == ["published"] * 2


def test_the_words_of_the_json(stage: Stage, snapshot: SnapshotAssertion) -> None:
    keep(stage, first(), second())
    made = stage.call("compare", "digits", "larger-batch", "--json").document
    assert made["schema"] == 1
    energy = next(row for row in made["rows"] if row["key"] == "energy")
    assert energy["changes"][0]["same"]
    assert energy["changes"][1]["distinguishable"]
    assert energy["changes"][1]["ratio"]["value"] == pytest.approx(0.7)
    assert made["changed"] == snapshot
    assert {word: sorted(made[word][0]) for word in ("columns", "rows", "quality")} == snapshot


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("compare",), "nothing beside it"),
        (("compare", "digits"), "nothing beside it"),
        (("compare", "digits", "larger-batch", "--by", "depth"), "no run says “depth”"),
        (("compare", "digits", "larger-batch", "--by", "zone"), "all of them say the same"),
        (("compare", "digits", "--published", "nothing-like-it"), "no published energy"),
        (("compare", "digits", "--published", "olmo"), "fits"),
        (("compare", "digits", "larger-batch", "--metric", "f1"), "same work"),
        (("compare", "digits", "larger-batch", "--chart", "a.png"), "no drawing"),
        (("compare", "digits", "--models"), "asks about no run"),
        (("compare", "--models", "--everyday"), "two tables"),
        (("compare", "digits", "larger-batch", "--same-work", "--to", "nan"), "no value to reach"),
        (("compare", "--hardware", "h100"), "no work is named"),
        (("compare", "--work", "params=7B tokens=1T"), "no hardware is named"),
        (("compare", "--hardware", "h100", "--work", "digits"), "how much work"),
    ],
)
def test_what_makes_no_sense_is_refused_in_two_lines(
    stage: Stage, words: tuple[str, ...], said: str
) -> None:
    keep(stage, first(), second())
    done = stage.call(*words)
    assert done.code in {2, 4}
    assert said in done.err
    assert "try:" in done.err
    assert not done.out


@pytest.mark.parametrize("name", ["made.svg", "made.html"])
def test_drawings_hold_their_words_and_load_nothing(stage: Stage, name: str) -> None:
    evil = "<script>alert(1)</script>"
    keep(stage, first(), larger(name=evil, place=first().place))
    done = stage.call("compare", "digits", evil, "--chart", name)
    assert done.code == 0, done.err
    text = (stage.path / name).read_text()
    assert "<script" not in text
    assert "at the wall" in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    if name.endswith(".svg"):
        root = ET.fromstring(text)  # noqa: S314  # our own
        assert root.tag.endswith("svg")


def test_the_same_work_over_hardware(stage: Stage) -> None:
    done = stage.call(
        "compare", "--hardware", "v100,h100,cpu,neuromorphic",
        "--work", "params=7B tokens=2T zone=SE",
    )  # fmt: skip
    assert done.code == 0, done.err
    for words in ("v100", "h100", "cpu", "outlook: neuromorphic", "submeter estimate --vary"):
        assert words in " ".join(done.out.split())
    assert max(len(line) for line in done.out.splitlines()) <= 80


def test_the_work_of_a_predicted_run_is_taken_from_it(stage: Stage) -> None:
    kept = stage.call(
        "estimate", "--params", "7B", "--tokens", "2T", "--hardware", "h100:16", "--zone", "SE",
        "--save", "planned",
    )  # fmt: skip
    assert kept.code == 0, kept.err
    done = stage.call("compare", "--hardware", "h100,a100", "--work", "planned", "--json")
    assert done.code == 0, done.err
    first_point = done.document["points"][0]
    told = stage.call("show", "planned", "--json").document
    ratio = first_point["energy"]["value"] / told["energy"]["facility"]["value"]
    assert ratio == pytest.approx(1, rel=0.05)
