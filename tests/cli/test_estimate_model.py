# SPDX-License-Identifier: Apache-2.0
"""``estimate module:function``: a model that is counted, what is said of it, what is refused."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import submeter
from tests.cli.stage import Stage, stage

torch = pytest.importorskip("torch")

__all__ = ["stage"]

NETS = """
import sys
import torch
from torch import nn

print("a module may print")


class Net(nn.Module):
    def __init__(self, layers=2, width=64, odd=False):
        super().__init__()
        self.words = nn.Embedding(100, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.head = nn.Linear(width, 100)
        self.odd = odd

    def forward(self, x):
        y = self.words(x)
        for block in self.blocks:
            y = block(y)
        if self.odd:
            y = torch.fft.fft(y).real
        return self.head(y)


TOKENS = torch.zeros(4, 64, dtype=torch.long)
def waiting():
    import threading
    threading.Thread(target=threading.Event().wait, name="loader").start()
    return pair()
def alone(layers=2): return Net(layers)
def pair(layers=2, odd=False): return Net(layers, odd=odd), TOKENS
def told(): return {"model": Net(), "batch": TOKENS, "steps": 500, "optimiser": "sgd"}
def strange(): return {"model": Net(), "bach": TOKENS}
def nothing(): return None
def failing(): raise ValueError("no good")
def needing(): import absent_library
def leaving(): sys.exit(3)
def shapeless(): return Net(), torch.zeros(4, 64)
def frozen():
    net = Net()
    for p in net.parameters(): p.requires_grad_(False)
    return net, TOKENS
model = Net()
"""
ON = ("--hardware", "a100-sxm4-80gb:8", "--zone", "SE")
ONE = 2 * 4 * 64 * (2 * 64 * 64 + 64 * 100)  # forward of a batch: two layers and the head [FLOP]
TRAINED = 3 * ONE  # the first layer's input is learnt, so that its gradient is needed


@pytest.fixture(autouse=True)
def nets(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (stage.path / "nets.py").write_text(NETS, encoding="utf-8")
    (stage.path / "broken.py").write_text("raise RuntimeError('bad day')\n", encoding="utf-8")
    (stage.path / "quitting.py").write_text("raise SystemExit(0)\n", encoding="utf-8")
    (stage.path / "lacking.py").write_text("import absent_library\n", encoding="utf-8")
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in ("nets", "broken", "quitting", "lacking"):
        sys.modules.pop(name, None)


def told(stage: Stage, *args: str) -> dict[str, Any]:
    done = stage.call("estimate", *args, *ON, "--json")
    assert done.code == 0, done.err
    found: dict[str, Any] = done.document
    return found


def test_a_model_is_counted_and_its_training_predicted(stage: Stage) -> None:
    document = told(stage, "nets:pair", "--steps", "1000")
    operations = document["prediction"]["operations"]
    assert operations["useful_flop"] == pytest.approx(1000 * TRAINED)
    assert operations["parts"]["matmul"] == pytest.approx(1000 * TRAINED)
    assert document["work"] == {"samples": 4000, "tokens": 256_000}
    counted = document["prediction"]["counted"]
    assert counted["complete"]
    assert counted["step"]["useful_flop"] == pytest.approx(TRAINED)
    assert counted["by_module"]["head"]["useful_flop"] == pytest.approx(3 * 2 * 256 * 64 * 100)
    whole = counted["step"]["executed_flop"]
    for by in ("by_phase", "by_operator", "by_kind"):
        assert sum(c["executed_flop"] for c in counted[by].values()) == pytest.approx(whole), by
    assert document["energy"]["facility"]["value"] > 0


def test_a_file_and_a_module_are_the_same(stage: Stage) -> None:
    by_module = told(stage, "nets:pair", "--steps", "10")
    by_path = told(stage, f"{stage.path / 'nets.py'}:pair", "--steps", "10")
    assert by_module["prediction"]["counted"] == by_path["prediction"]["counted"]


def test_what_a_module_prints_is_kept_from_the_answer(stage: Stage) -> None:
    done = stage.call("estimate", "nets:pair", "--steps", "10", *ON)
    assert "a module may print" in done.err
    assert done.out.startswith("About ")


def test_the_answer_names_what_takes_most_and_what_was_done_twice(stage: Stage) -> None:
    done = stage.call("estimate", "nets:pair", "--steps", "1e4", "--by", "module", *ON)
    out = done.out
    assert "most in    blocks.*" in out
    assert "every operator was counted" in out
    assert "FLOP useful a step" in out
    assert "× 2" in out  # two blocks in one row
    assert "10 000 steps" in out
    assert max(map(len, out.splitlines())) <= 80


def test_what_could_not_be_counted_is_listed_and_widens_the_interval(stage: Stage) -> None:
    plain = told(stage, "nets:pair", "--steps", "10")
    odd = told(stage, "nets:pair", "--steps", "10", "--set", "odd=true")
    counted = odd["prediction"]["counted"]
    assert not counted["complete"]
    row = counted["not_counted"][0]
    assert "fft" in row["operator"]
    share = row["time_share"]
    assert 0 < share["low_ratio"] < share["high_ratio"] <= 1
    assert "bytes" in share["how"]
    assert counted["spread_ratio"] > 1

    def width(document: dict[str, Any]) -> float:
        figure = document["prediction"]["duration"]
        ratio: float = figure["high"] / figure["low"]
        return ratio

    assert width(odd) > width(plain)
    out = stage.call("estimate", "nets:pair", "--steps", "10", "--set", "odd=true", *ON).out
    assert "uncounted  " in out
    assert "of the time" in out


def test_a_real_device_tells_the_share_by_its_clock(stage: Stage) -> None:
    done = told(stage, "nets:pair", "--steps", "5", "--set", "odd=true", "--count-on", "cpu",
                "--set", "layers=1")  # fmt: skip
    share = done["prediction"]["counted"]["not_counted"][0]["time_share"]
    assert share["low_ratio"] == share["high_ratio"] > 0
    assert share["how"] == "by its clock on cpu"


def test_a_mapping_brings_its_steps_and_optimiser(stage: Stage) -> None:
    own = told(stage, "nets:told")
    assert own["work"]["samples"] == 2000
    other = told(stage, "nets:told", "--steps", "1000", "--optimiser", "adamw")
    assert other["work"]["samples"] == 4000
    steps = [d["prediction"]["counted"]["by_phase"]["optimiser"] for d in (own, other)]
    assert steps[0]["elementwise_flop"] < steps[1]["elementwise_flop"]


@pytest.mark.parametrize(
    ("args", "samples"),
    [
        (("--samples", "4K"), 4000),
        (("--samples", "4K", "--epochs", "3"), 12_000),
        (("--images", "4K"), 4000),
        (("--tokens", "256K"), 4000),
        (("--steps", "1K", "--batch", "8"), 8000),
        (("--tokens", "256K", "--batch", "2"), 4000),
    ],
)
def test_its_length_is_told_in_steps_or_work(
    args: tuple[str, ...], samples: float, stage: Stage
) -> None:
    assert told(stage, "nets:pair", *args)["work"]["samples"] == pytest.approx(samples)


def test_a_batch_of_a_shape_stands_for_one_that_nobody_gives(stage: Stage) -> None:
    shaped = told(stage, "nets:alone", "--input", "4x64:tokens", "--steps", "10")
    given = told(stage, "nets:pair", "--steps", "10")
    assert (
        shaped["prediction"]["counted"]["by_module"] == given["prediction"]["counted"]["by_module"]
    )


def test_arguments_of_the_function_are_varied_like_all_else(stage: Stage) -> None:
    done = told(stage, "nets:pair", "--steps", "1e6", "--vary", "layers=2,4 precision=fp32,bf16")
    points = {tuple(p["set"].values()): p["energy"]["value"] for p in done["points"]}
    assert points["4", "bf16"] > points["2", "bf16"]
    assert points["2", "fp32"] > points["2", "bf16"]


@pytest.mark.parametrize(
    ("args", "said", "remedy"),
    [
        (("nets:pair",), "nobody says how long it trains", "--steps"),
        (("nets:pair", "--steps", "5", "--tokens", "1B"), "steps and tokens are both", "keep one"),
        (("nets:pair", "--steps=-5"), "-5", "7e9"),
        (("nets:pair", "--steps", "7 TB"), "7 TB", "7e9"),
        (("nets:pair", "--steps", "5", "--batch", "0.5"), "batch of 0.5", "--batch 32"),
        (("nets:pair", "--steps", "5", "--params", "7B"), "no argument 'params'", "it takes"),
        (("nets:pair", "--steps", "5", "--set", "layer=3"), "failed: TypeError", "on its own"),
        (("nets:pair", "--steps", "5", "--set", "layers"), "sets nothing", "--set layers=80"),
        (("nets:pair", "--steps", "5", "--count-on", "abacus"), "no device here", "cpu"),
        (("nets:alone", "--steps", "5"), "no example batch", "--input"),
        (("nets:alone", "--steps", "5", "--input", "4xx"), "is no shape", "8x3x224x224"),
        (("nets:nothing", "--steps", "5"), "returned a NoneType", "return the model"),
        (("nets:strange", "--steps", "5"), "unknown 'bach'", "batch"),
        (("nets:failing", "--steps", "5"), "failing failed: ValueError: no good", "on its own"),
        (("nets:needing", "--steps", "5"), "needs 'absent_library'", "install absent_library"),
        (("nets:leaving", "--steps", "5"), "ended the program", "sys.exit"),
        (("nets:shapeless", "--steps", "5"), "forward pass failed", "one step"),
        (("nets:frozen", "--steps", "5"), "nothing can be trained", "gradients"),
        (("nets:pairs", "--steps", "5"), "has no 'pairs'", "it has pair"),
        (("absent_module:pair", "--steps", "5"), "no module named", "spelling"),
        (("nowhere.py:pair", "--steps", "5"), "there is no file nowhere.py", "check the path"),
        (("nets.py", "--steps", "5"), "names no function", "nets.py:build_model"),
        (("broken:pair", "--steps", "5"), "importing broken failed: RuntimeError", "work first"),
        (("quitting:pair", "--steps", "5"), "importing quitting ended", "__main__"),
        (("lacking:pair", "--steps", "5"), "lacking needs 'absent_library'", "install"),
        (("--params", "7B", "--tokens", "1B", "--steps", "5"), "none is named", "build_model"),
        (("--params", "7B", "--tokens", "1B", "--by", "module"), "none is named", "build_model"),
    ],
)
def test_nonsense_is_one_error_with_one_remedy(
    args: tuple[str, ...], said: str, remedy: str, stage: Stage
) -> None:
    done = stage.call("estimate", *args, *ON)
    lines = [line for line in done.err.splitlines() if line != "a module may print"]
    assert (done.code, done.out, len(lines)) == (2, "", 2), done.err
    assert lines[0].startswith("error: ")
    assert said in lines[0]
    assert lines[1].startswith("try:   ")
    assert remedy in lines[1]


def test_without_torch_it_says_what_to_install(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    done = stage.call("estimate", "nets:pair", "--steps", "5", *ON)
    assert done.code == 2
    assert "needs torch" in done.err
    assert "submeter[torch]" in done.err


def test_a_model_that_stands_in_a_module_is_counted(stage: Stage) -> None:
    done = told(stage, "nets:model", "--input", "4x64:tokens", "--steps", "10")
    assert done["prediction"]["operations"]["useful_flop"] == pytest.approx(10 * TRAINED)


# --- in a program -------------------------------------------------------------------------------


def linear() -> Any:
    return torch.nn.Linear(64, 32)


def test_a_program_gives_its_model_and_a_batch(stage: Stage) -> None:
    del stage
    model, batch = linear(), torch.randn(16, 64)
    before = model.weight.detach().clone()
    made = submeter.estimate(model, batch, steps=1000, hardware="a100-sxm4-80gb", zone="SE")
    assert isinstance(made, submeter.Prediction)
    assert made.run.work == {"samples": 16_000}
    assert made.answer.workload is not None
    assert made.answer.workload.operations.useful_flop == 1000 * 2 * 2 * 16 * 64 * 32
    assert torch.equal(model.weight, before)
    assert str(made).startswith("About ")
    assert "every operator was counted" in str(made)
    assert made.counted is not None
    assert made.counted.total().flop == 2 * 2 * 16 * 64 * 32
    document = made.to_dict()["prediction"]
    assert isinstance(document, dict)
    assert document["counted"]["by_module"][""]["useful_flop"] == made.counted.total().flop


def test_several_hardware_make_several_predictions_and_one_table(stage: Stage) -> None:
    del stage
    names = ["a100-sxm4-80gb:8", "h100-sxm:8", "cpu"]
    made = submeter.estimate(
        linear, torch.zeros(16, 64), steps=1e6, hardware=names, zone="SE", optimiser="sgd"
    )
    assert isinstance(made, submeter.Predictions)
    assert len(made) == len(list(made)) == 3
    for one, point in zip(made, made.table.points, strict=True):
        found = point.figure("duration")
        assert isinstance(found, submeter.Figure)
        assert found.value == pytest.approx(one.duration.value)
    assert all(name in str(made) for name in names)
    points = made.to_dict()["points"]
    assert isinstance(points, list)
    assert [p["set"]["hardware"] for p in points] == names


def test_loss_optimiser_and_arguments_are_those_given(stage: Stage) -> None:
    del stage

    def build(width: int) -> Any:
        return torch.nn.Linear(width, width), torch.zeros(4, width)

    made = submeter.estimate(
        build, arguments={"width": 128}, steps=10, hardware="v100", zone="SE",
        loss=lambda out: out.square().mean(), optimiser=torch.optim.SGD,
    )  # fmt: skip
    assert made.answer.workload is not None
    assert made.answer.workload.params == 128 * 129
    with pytest.raises(submeter.errors.UsageError, match="no argument 'depth'"):
        submeter.estimate(build, depth=3, steps=10, hardware="v100", zone="SE")
    with pytest.raises(submeter.errors.UsageError, match="neither a model"):
        submeter.estimate(7, steps=10, hardware="v100", zone="SE")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"example_batch": 3, "params": "7B", "tokens": "2T", "hardware": "v100"},
            "none is given",
        ),
        ({"params": "7B", "tokens": "2T", "steps": 5, "hardware": "v100"}, "steps says nothing"),
        ({"params": "7B", "tokens": "2T", "hardware": []}, "no hardware is named"),
        ({"params": "7B", "tokens": "2T", "hardware": 5}, "“5” is no name"),
        ({"params": "7B", "tokens": "2T", "hardware": ["v100", 5]}, "is no name"),
        ({"params": "7B", "tokens": "2T", "hardware": ["v100", "abacus"]}, "abacus"),
    ],
)
def test_nonsense_in_a_program_is_refused(given: dict[str, Any], said: str, stage: Stage) -> None:
    del stage
    with pytest.raises(submeter.errors.UsageError, match=said):
        submeter.estimate(**given)


def test_a_repeated_name_is_one_prediction(stage: Stage) -> None:
    del stage
    made = submeter.estimate(params="7B", tokens="2T", hardware=("v100", "v100"), zone="SE")
    assert len(made) == 1


def test_steps_that_are_shorter_than_their_launch_are_told(stage: Stage) -> None:
    words = " ".join(stage.call("estimate", "nets:pair", "--steps", "1000", *ON).out.split())
    assert "starting its kernels takes longer" in words


def test_a_thread_that_a_model_left_is_not_waited_for(stage: Stage) -> None:
    command = [sys.executable, "-m", "submeter", "estimate", "nets:waiting", "--steps", "5", *ON]
    done = subprocess.run(
        command, cwd=stage.path, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout[:6]) == (0, "About "), done.stderr
    assert "a thread of the model still runs, loader" in done.stderr
