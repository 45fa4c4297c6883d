# SPDX-License-Identifier: Apache-2.0
"""``estimate``: what is said, what is kept, what is compared, and what is refused."""

import json
import math
from pathlib import Path
from typing import Any

import click
import pytest

import submeter
import submeter.errors
from submeter.interfaces.cli.estimate import estimate
from submeter.storing.ledger import open_ledger
from submeter.workloads.shapes import known_shape
from tests.cli.stage import Stage, stage

__all__ = ["stage"]

LLAMA = ("--params", "7B", "--tokens", "2T", "--hardware", "h100-sxm:512")
OREGON = (*LLAMA, "--region", "us-west-2")


def told(stage: Stage, *args: str) -> dict[str, Any]:
    done = stage.call("estimate", *args, "--json")
    assert (done.code, done.err) == (0, "")
    found: dict[str, Any] = done.document
    return found


def energy(document: dict[str, Any], boundary: str = "facility") -> dict[str, float]:
    figure: dict[str, float] = document["energy"][boundary]
    return figure


def width(figure: dict[str, float]) -> float:
    return figure["high"] / figure["low"]


def test_the_answer_comes_first_with_its_doubt_and_the_next_step_last(stage: Stage) -> None:
    done = stage.call("estimate", *OREGON)
    lines = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert lines[0].startswith("About ")
    assert lines[0].endswith("9 in 10.")
    assert " days (" in lines[0]
    assert "Wh (" in lines[0]
    for word in ("carbon ", "water ", "embodied ", "electricity $", "driven by", "understood"):
        assert word in done.out, word
    assert lines[-1].startswith("  → ")
    assert max(map(len, lines)) <= 80


def test_what_was_typed_is_repeated_back_in_full(stage: Stage) -> None:
    out = stage.call("estimate", *OREGON).out
    for words in (
        "7B parameters = 7 000 000 000",
        "2T tokens = 2 000 000 000 000",
        "512 × NVIDIA H100 SXM5 80GB in 64 nodes",
        "US West (Oregon)",
    ):
        assert words in out, words


def test_the_json_is_that_of_a_run_with_a_prediction(stage: Stage) -> None:
    document = told(stage, *OREGON)
    assert document["schema"] == 1
    assert document["run"]["origin"] == "predicted"
    assert document["work"] == {"tokens": 2e12}
    prediction = document["prediction"]
    assert prediction["duration"]["value"] == pytest.approx(document["run"]["duration_s"])
    assert prediction["duration"]["level"] == 0.95
    nine = prediction["nine_in_ten"]
    assert nine["energy"]["level"] == 0.9
    assert energy(document)["low"] < nine["energy"]["low"] < nine["energy"]["value"]
    assert sum(d["share_ratio"] for d in prediction["drivers"]) == pytest.approx(1)
    assert prediction["taken"]["mean power over TDP"]["source"]
    assert prediction["operations"]["useful_flop"] == pytest.approx(8.6e22, rel=0.15)
    assert prediction["understood"]["place"] == "US West (Oregon)"
    order = ("devices", "node", "it", "facility")
    values = [energy(document, name)["value"] for name in order]
    assert values == sorted(values)
    assert sum(row["energy"]["value"] for row in document["devices"]) == pytest.approx(values[2])
    assert sum(row["energy"]["value"] for row in document["phases"]) == pytest.approx(values[1])


def test_a_kept_prediction_can_be_shown_listed_and_replayed(stage: Stage) -> None:
    done = stage.call("estimate", *OREGON, "--save", "planned")
    kept, undo = done.err.splitlines()
    run_id = kept.removeprefix("kept as ")
    assert undo == f"undo: submeter rm {run_id}"
    shown = stage.call("show", "planned")
    assert shown.out.splitlines()[0].startswith("planned · predicted to take ")
    assert run_id in stage.call("list", "--origin", "predicted").out
    replayed = stage.call("replay", "planned", "--zone", "SE", "--json").document
    there = replayed["there"][0]
    assert there["carbon"]["location"]["value"] < replayed["here"]["carbon"]["location"]["value"]
    assert there["carbon"]["embodied"] == replayed["here"]["carbon"]["embodied"]
    assert stage.call(*undo.removeprefix("undo: submeter ").split(), "--yes").code in {0, 2}


def test_a_kept_prediction_is_what_was_shown(stage: Stage) -> None:
    document = told_kept(stage)
    with open_ledger(stage.home / "ledger.db") as ledger:
        run = ledger.get(document["run"]["id"])
    assert run.origin == "predicted"
    again = stage.call("show", "planned", "--json").document
    assert energy(again) == energy(document)


def told_kept(stage: Stage) -> dict[str, Any]:
    done = stage.call("estimate", *OREGON, "--save", "planned", "--json")
    assert done.code == 0
    document: dict[str, Any] = done.document
    return document


def test_more_told_makes_it_narrower(stage: Stage) -> None:
    free = told(stage, *OREGON)
    hours = str(free["run"]["duration_s"] * 512 / 3600)
    by_hours = told(stage, *OREGON, "--gpu-hours", hours)
    by_both = told(stage, *OREGON, "--gpu-hours", hours, "--power", "0.7")
    assert width(energy(free)) > width(energy(by_hours)) > width(energy(by_both))
    assert by_hours["prediction"]["bound"] == "as given"
    by_mfu = told(stage, *OREGON, "--mfu", "0.3-0.4")
    assert width(energy(by_mfu, "devices")) < width(energy(free, "devices"))


def test_hours_alone_are_enough(stage: Stage) -> None:
    document = told(stage, "--gpu-hours", "184320", "--hardware", "h100-sxm:512", "--zone", "SE")
    assert document["run"]["duration_s"] == pytest.approx(184320 * 3600 / 512)
    assert document["prediction"]["operations"] == {"missing": "hours were given, no model"}


def test_power_in_watts_is_that_power(stage: Stage) -> None:
    document = told(
        stage, "--gpu-hours", "1000", "--hardware", "h100-sxm:8", "--zone", "SE", "--power", "560W"
    )
    assert energy(document, "devices")["value"] == pytest.approx(1000 * 3600 * 560)


def test_a_facility_that_is_told_is_used(stage: Stage) -> None:
    document = told(stage, *LLAMA, "--zone", "SE", "--pue", "1.1", "--price", "0.10")
    assert energy(document)["value"] == pytest.approx(1.1 * energy(document, "it")["value"])
    assert document["cost"]["value"] == pytest.approx(
        0.10 * energy(document)["value"] / 3.6e6, rel=1e-6
    )


def test_a_description_and_a_configuration_are_read(stage: Stage) -> None:
    path = stage.path / "training.toml"
    path.write_text(
        'name = "mine"\n[model]\nparams = "7B"\n[data]\ntokens = "2T"\n'
        '[machine]\nhardware = "h100-sxm:512"\n[place]\nregion = "us-west-2"\n'
        "[overheads]\nrestarts = 0.1\n"
    )
    described = told(stage, str(path))
    same = told(stage, *OREGON, "--restarts", "0.1")
    assert energy(described)["value"] == pytest.approx(energy(same)["value"])
    assert told(stage, str(path), "--zone", "SE")["zone"]["code"].startswith("SE")
    wide = told(stage, str(path), "--precision", "fp8")
    assert wide["run"]["duration_s"] < described["run"]["duration_s"]
    config = stage.path / "config.json"
    config.write_text(
        json.dumps(
            {
                "model_type": "llama",
                "hidden_size": 4096,
                "num_hidden_layers": 32,
                "num_attention_heads": 32,
                "intermediate_size": 11008,
                "vocab_size": 32000,
                "max_position_embeddings": 4096,
            }
        )
    )
    known = told(stage, "--config", str(config), *LLAMA[2:], "--zone", "SE")
    assert known["prediction"]["operations"]["spread_ratio"] == 1
    assert known["prediction"]["operations"]["params"] == pytest.approx(6.74e9, rel=0.01)


def test_varying_gives_every_combination_beside_the_first(stage: Stage) -> None:
    axes = "hardware=a100-sxm4-80gb,h100-sxm precision=bf16,fp32 region=DE,SE"
    document = told(stage, *LLAMA, "--vary", axes)
    points = document["points"]
    assert len(points) == 8
    assert {p["set"]["hardware"] for p in points} == {"a100-sxm4-80gb", "h100-sxm"}
    assert points[0]["energy_against_first"]["value"] == 0
    assert any(p["pareto"] for p in points)
    best = min(points, key=lambda p: p["carbon"]["value"])
    assert best["pareto"]
    for point in points:
        change = point["energy_against_first"]
        assert change["distinguishable"] == (change["low"] > 0 or change["high"] < 0)
        for name in ("duration", "energy", "carbon", "embodied", "water", "cost"):
            assert point[name]["low"] < point[name]["value"] < point[name]["high"], name
    out = stage.call("estimate", *LLAMA, "--vary", axes).out
    assert max(map(len, out.splitlines())) <= 80
    assert out.count("*") >= 2


def test_a_point_is_the_prediction_that_it_stands_for(stage: Stage) -> None:
    (point,) = told(stage, *LLAMA, "--vary", "region=us-west-2")["points"]
    alone = told(stage, *OREGON)
    assert point["duration"]["value"] == pytest.approx(alone["prediction"]["duration"]["value"])
    assert point["energy"]["value"] == pytest.approx(energy(alone)["value"])
    assert point["carbon"]["value"] == pytest.approx(
        alone["carbon"]["location"]["value"], rel=1e-3
    )
    carbon = alone["carbon"]
    assert point["embodied"]["value"] == pytest.approx(carbon["embodied"]["value"], rel=1e-3)
    assert point["cost"]["value"] == pytest.approx(alone["cost"]["value"])
    for end in ("low", "high"):  # sums of doubts to first order
        ratio = point["energy"][end] / energy(alone)[end]
        assert abs(math.log(ratio)) < 0.35 * math.log(width(energy(alone))) / 2, end


def test_the_same_hardware_elsewhere_draws_the_same_beyond_doubt(stage: Stage) -> None:
    document = told(stage, *LLAMA, "--pue", "1.2", "--vary", "zone=DE,SE")
    change = document["points"][1]["energy_against_first"]
    assert change == {"value": 0, "low": 0, "high": 0, "distinguishable": False}


def test_a_curve_is_drawn_and_told(stage: Stage) -> None:
    document = told(stage, *LLAMA, "--zone", "DE", "--sweep", "params=1e8..1e11:7")
    sizes = [float(p["set"]["params"]) for p in document["points"]]
    energies = [p["energy"]["value"] for p in document["points"]]
    assert sizes[0] == pytest.approx(1e8)
    assert sizes[-1] == pytest.approx(1e11)
    assert energies == sorted(energies)
    out = stage.call("estimate", *LLAMA, "--zone", "DE", "--sweep", "params=1e8..1e11:7").out
    assert out.count("●") >= 7
    assert "to the power of" in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        ((), 2, "no hardware"),
        (("--hardware", "h100-sxm:8"), 2, "neither a model nor hours"),
        (("--params", "7B", "--hardware", "h100-sxm:8"), 2, "tokens"),
        ((*LLAMA[:2], "--tokens=-2T", *LLAMA[4:]), 2, "-2T"),
        ((*LLAMA[:2], "--tokens", "2TB", *LLAMA[4:]), 2, "2TB"),
        ((*LLAMA[:4], "--hardware", "nonsense:8"), 2, "nonsense"),
        ((*LLAMA[:4], "--hardware", "h100-sxm:0"), 2, "h100-sxm:0"),
        ((*LLAMA, "--mfu", "1.4"), 2, "mfu"),
        ((*LLAMA, "--mfu", "much"), 2, "mfu"),
        ((*LLAMA, "--mfu", "0.5-0.3"), 2, "interval"),
        ((*LLAMA, "--power", "7000W"), 2, "TDP"),
        ((*LLAMA, "--precision", "bf17"), 2, "bf17"),
        ((*LLAMA, "--pue", "0.5"), 2, "pue"),
        ((*LLAMA, "--cooling", "ice"), 4, "ice"),
        ((*LLAMA, "--zone", "Atlantis"), 4, "Atlantis"),
        ((*LLAMA, "--at", "tomorrow"), 2, "tomorrow"),
        ((*LLAMA, "--restarts", "many"), 2, "restarts"),
        ((*LLAMA, "--gpu-hours", "5"), 2, "too few"),
        ((*LLAMA, "--vary", "nothing"), 2, "nothing"),
        ((*LLAMA, "--vary", "params=1,2 params=3"), 2, "twice"),
        ((*LLAMA, "--vary", "zone=SE,Atlantis"), 4, "Atlantis"),
        ((*LLAMA, "--vary", "cooling=lava"), 4, "lava"),
        ((*LLAMA, "--vary", "pue=1.2,0.5"), 2, "pue"),
        ((*LLAMA, "--vary", "arrangement=moon"), 2, "moon"),
        ((*LLAMA, "--vary", "price=0.2,much"), 2, "no tariff"),
        ((*LLAMA, "--price", "much"), 2, "no tariff"),
        ((*LLAMA, "--vary", "price=0.2USD,0.3EUR"), 2, "EUR and USD"),
        ((*LLAMA, "--sweep", "params=1e8..1e11 tokens=1,2"), 2, "one axis"),
        ((*LLAMA, "--sweep", "params=1e11..1e8"), 2, "no span"),
        ((*LLAMA, "--sweep", "params=1..9", "--vary", "zone=DE"), 2, "one axis"),
        ((*LLAMA, "--save", "a", "--vary", "zone=DE,SE"), 2, "no one run"),
        ((*LLAMA, "--vary", "tokens=1B,2 T"), 2, "“T” is nothing to vary"),
        ((*LLAMA, "--vary", "evaluation=0,much"), 2, "evaluation “much” is no number"),
        ((*LLAMA, "--vary", "evaluation=-1"), 2, "evaluation: -1"),
        ((*LLAMA, "--sweep", "hardware=1..4"), 2, "hardware has names"),
        ((*LLAMA, "--sweep", "tokens=-1..4"), 2, "tokens “-1”"),
        (("--gpu-hours", "0", "--hardware", "h100-sxm:8"), 2, "gpu-hours “0”"),
        (("--gpu-hours", "1e-20", "--hardware", "h100-sxm:8"), 2, "no time for a training"),
        (("no-such.toml",), 2, "no-such.toml"),
        (("--config", "no-such.json", *LLAMA[2:]), 2, "no-such.json"),
        (("--validate", "no-such.csv"), 2, "no-such.csv"),
    ],
)
def test_nonsense_is_one_error_with_one_remedy(
    args: tuple[str, ...], code: int, words: str, stage: Stage
) -> None:
    done = stage.call("estimate", *args)
    first, second = done.err.splitlines()
    assert (done.code, done.out) == (code, "")
    assert first.startswith("error: ")
    assert words in first
    assert second.startswith("try:   ")


@pytest.mark.parametrize("name", ["deep.toml", "deep.json"])
def test_what_is_nested_too_deep_is_one_error(name: str, stage: Stage) -> None:
    Path(name).write_text(("a=" if name == "deep.toml" else "") + "[" * 100_000)
    told = (name,) if name == "deep.toml" else ("--config", name)
    done = stage.call("estimate", *told, *LLAMA[2:])
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[0] == f"error: {name} is nested too deep"


@pytest.mark.parametrize("words", [("7B",), ("--params", "7", "B")])
def test_a_count_that_stands_alone_is_shown_its_place(
    words: tuple[str, ...], stage: Stage
) -> None:
    done = stage.call("estimate", *words, *LLAMA[2:])
    assert (done.code, done.err.splitlines()[1][:25]) == (2, "try:   a count stands beh")


def test_no_time_for_evaluation_is_a_point(stage: Stage) -> None:
    document = told(stage, *OREGON, "--vary", "evaluation=0,0.5")
    none, half = (point["duration"]["value"] for point in document["points"])
    assert half / none == pytest.approx(1.5, rel=0.02)


def test_published_runs_are_scored(stage: Stage) -> None:
    path = Path("runs.csv")
    path.write_text(
        "id,model,year,source,params,active_params,dataset_tokens_or_samples,hardware,n_devices,"
        "device_hours,precision,energy_kwh,energy_scope,energy_basis,architecture,usable_for\n"
        "one,M,2023,Lab A,7000000000,,2e12 tokens,NVIDIA A100 SXM4 80GB,512,180000,bf16,60000,"
        'device,measured,dense-transformer,"time, energy"\n'
    )
    done = stage.call("estimate", "--validate", str(path), "--json")
    assert done.code == 0, done.err
    for row in done.document["scored"]:
        assert row["low"] <= row["predicted"] <= row["high"]
        assert row["id"] == "one"
    assert stage.call("estimate", "--validate", str(path)).code == 0


def test_tables_as_spreadsheets_write_them_are_read(stage: Stage) -> None:
    path = Path("runs.csv")
    path.write_text(
        "\ufeffId;Hardware ;Params;Dataset_tokens_or_samples;Device_hours;n_devices\n"
        "one;H100 SXM;7B;2T tokens;80,000;512;one;cell too many\n\ntwo;frobnicator\n",
        encoding="utf-8",
    )
    done = stage.call("estimate", "--validate", str(path), "--json")
    assert done.code == 0, done.err
    assert [(row["id"], row["quantity"]) for row in done.document["scored"]] == [
        ("one", "device-hours")
    ]
    assert any("frobnicator" in row["reason"] for row in done.document["excluded"])


@pytest.mark.parametrize(
    "content", [b"", b"a,b\n1,2\n", b"\xff\xfe\x00", b"id\n" + b"a" * 200_000]
)
def test_what_is_no_table_of_runs_is_one_error(content: bytes, stage: Stage) -> None:
    path = Path("odd.csv")
    path.write_bytes(content)
    done = stage.call("estimate", "--validate", str(path))
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 2)


def test_a_program_asks_the_same(stage: Stage) -> None:
    made = submeter.estimate(
        params="7B", tokens="2T", hardware="h100-sxm:512", zone="us-west-2", at="2026-01-10"
    )
    document = told(stage, *OREGON, "--at", "2026-01-10")
    assert isinstance(made, submeter.Prediction)
    assert made.run.origin == "predicted"
    for figure, wanted in (
        (made.energy, energy(document)),
        (made.carbon, document["carbon"]["location"]),
        (made.duration, document["prediction"]["duration"]),
        (made.cost, document["cost"]),
        (made.water, document["water"]["offsite"]),
    ):
        assert isinstance(figure, submeter.Figure)
        assert figure.value == pytest.approx(wanted["value"])
    assert str(made).splitlines()[0] == stage.call("estimate", *OREGON).out.splitlines()[0]
    assert made.to_dict()["prediction"]["understood"] == document["prediction"]["understood"]  # type: ignore[index]


def test_a_program_may_give_numbers(stage: Stage) -> None:
    del stage
    words = submeter.estimate(params="7B", tokens="2T", hardware="h100-sxm:512", zone="SE")
    numbers = submeter.estimate(params=7e9, tokens=2e12, hardware="h100-sxm:512", zone="SE")
    assert words.duration.value == numbers.duration.value
    with pytest.raises(submeter.errors.UsageError):
        submeter.estimate(params=7e9, tokens=-1, hardware="h100-sxm:512")


def test_the_model_that_the_help_names_is_known() -> None:
    (option,) = (p for p in estimate.params if isinstance(p, click.Option) and p.name == "model")
    named = str(option.help).rpartition(" ")[2].rstrip(".")
    assert known_shape(named).key == named
