# SPDX-License-Identifier: Apache-2.0
"""Techniques that change a model: they do what they say, and undo it bit for bit."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from submeter import reduce
from submeter.errors import UsageError
from submeter.reducing.techniques import Applied, technique
from submeter.reducing.techniques.efficient_attention import windowed
from submeter.reducing.techniques.libraries import quietly
from tests.reducing.models import convolutions, images, network, same, state

CHANGES: list[tuple[str, Callable[[], nn.Module], dict[str, Any]]] = [
    ("mixed_precision", network, {}),
    ("mixed_precision", network, {"dtype": "fp16"}),
    ("quantise", network, {"kind": "int8"}),
    ("quantise", network, {"kind": "int8_weights"}),
    ("quantise", network, {"kind": "int4_weights"}),
    ("quantisation_aware", network, {}),
    ("prune_channels", convolutions, {"example": images(), "ratio": 0.5}),
    ("prune_masks", network, {"ratio": 0.8}),
    ("sparsity_2_4", network, {}),
    ("depthwise_separable", convolutions, {}),
    ("efficient_attention", network, {"window": 4}),
    ("freeze", network, {"share": 0.8}),
    ("compile", network, {}),
    ("channels_last", convolutions, {}),
]


@pytest.mark.parametrize(("name", "make", "options"), CHANGES)
def test_undo_brings_back_every_bit(
    name: str, make: Callable[[], nn.Module], options: dict[str, Any]
) -> None:
    model = make().train()
    x = images() if make is convolutions else torch.randn(3, 64)
    before = state(model)
    said = model.eval()(x).detach()
    model.train()
    applied = technique(name).apply(model, **options)
    if name != "compile":  # its compiler is another test's
        applied.target(x)  # it works on what it was made for
    with torch.no_grad():  # whatever training does to it meanwhile
        for p in model.parameters():
            if p.is_floating_point() and p.requires_grad and name not in {"quantise", "freeze"}:
                p.data = p.data.clone()
    assert technique(name).undo(applied) is model
    assert same(before, state(model))
    assert torch.equal(model.eval()(x), said)
    assert applied.undo() is model  # a second time does nothing


def test_undo_brings_back_weights_that_were_trained_since() -> None:
    model = network()
    before = state(model)
    with reduce.prune_masks(model, ratio=0.5) as applied:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        model(torch.randn(8, 64)).square().mean().backward()
        optimizer.step()
        assert applied.found["zeros"] > 0
    assert same(before, state(model))


@pytest.mark.parametrize(("dtype", "inside"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_products_run_in_16_bits_and_answers_come_back_in_32(
    dtype: str, inside: torch.dtype
) -> None:
    model, seen = network(), []
    model[0].register_forward_hook(lambda *given: seen.append(given[2].dtype))
    applied = reduce.mixed_precision(model, dtype=dtype)
    made = model(torch.randn(2, 64))
    assert seen == [inside]
    assert made.dtype == torch.float32
    assert (applied.also["scaler"] is not None) == (dtype == "fp16")
    made.sum().backward()
    assert model[0].weight.grad.dtype == torch.float32


def test_what_a_model_gives_is_widened_wherever_it_stands() -> None:
    from transformers.modeling_outputs import SequenceClassifierOutput

    class Gives(nn.Module):  # type: ignore[misc]  # torch has no types where they are checked
        def forward(self, x: torch.Tensor) -> Any:
            y = x @ x.t()
            return {"a": (y, [y])}, SequenceClassifierOutput(logits=y), "word"

    model = Gives()
    reduce.mixed_precision(model)
    parts, output, word = model(torch.randn(4, 4))
    assert parts["a"][0].dtype == parts["a"][1][0].dtype == output.logits.dtype == torch.float32
    assert isinstance(output, SequenceClassifierOutput)
    assert word == "word"


@pytest.mark.parametrize(
    ("kind", "most"), [("int8", 0.35), ("int8_weights", 0.35), ("int4_weights", 0.5)]
)
def test_quantised_weights_take_fewer_bytes_and_answer_nearly_the_same(
    kind: str, most: float
) -> None:
    model = network(256)
    x = torch.randn(64, 256)
    said = model(x)
    found = reduce.quantise(model, kind=kind).found
    assert found["bytes_after"] < most * found["bytes_before"]
    error = (model(x) - said).norm() / said.norm()
    assert 0 < error < (0.25 if kind == "int4_weights" else 0.03)


def test_quantisation_aware_training_rounds_while_it_trains_then_converts() -> None:
    model = network()
    x = torch.randn(32, 64)
    said = model(x).detach()
    applied = reduce.quantisation_aware(model)
    rounded = model(x)
    assert not torch.equal(rounded, said)
    rounded.square().mean().backward()  # it still learns
    assert any(p.grad is not None for p in model.parameters())
    applied.also["convert"]()
    assert applied.found["bytes_after"] < applied.found["bytes_before"]
    assert torch.allclose(model(x), rounded, atol=0.05)


def test_pruned_channels_are_gone_and_masked_weights_are_not() -> None:
    model = convolutions()
    found = reduce.prune_channels(model, example=images(), ratio=0.5).found
    assert (model[0].out_channels, model[3].in_channels, model[3].out_channels) == (8, 8, 16)
    assert (model[1].num_features, model[7].in_features, model[7].out_features) == (8, 16, 10)
    assert found["parameters_after"] < 0.5 * found["parameters_before"]
    assert model(images()).shape == (4, 10)

    masked = network()
    size = sum(p.numel() for p in masked.parameters())
    applied = reduce.prune_masks(masked, ratio=0.9)
    assert sum(p.numel() for p in masked.parameters()) == size
    assert applied.found["zeros"] == pytest.approx(0.9 * applied.found["weights"], abs=1)
    assert "saves nothing" in applied.notes[-1]
    applied.also["make_permanent"]()
    assert (masked[0].weight == 0).float().mean() > 0.8


def test_two_of_each_four_weights_are_zero() -> None:
    model = network()
    applied = reduce.sparsity_2_4(model)
    for layer in (model[0], model[2]):
        assert ((layer.weight.reshape(-1, 4) == 0).sum(1) == 2).all()
    assert applied.notes[-1].startswith("no gain on this device: 2:4 kernels need CUDA")


def test_separated_convolutions_answer_as_nearly_as_they_can() -> None:
    model = convolutions()
    with torch.no_grad():  # a kernel that is separable already has to come back exactly
        plane, across = torch.randn(16, 1, 3, 3), torch.randn(32, 16, 1, 1)
        model[3].weight.copy_(across * plane.squeeze(1)[None])
    said = model.eval()(images())
    found = reduce.depthwise_separable(model, least_channels=16).found
    assert found["replaced"] == 1
    assert torch.allclose(model(images()), said, atol=1e-4)
    assert found["parameters_after"] < 0.5 * found["parameters_before"]


@pytest.mark.parametrize("length", [64, 50])
def test_a_window_is_what_flex_attention_makes_of_it(length: int) -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, length, 16) for _ in range(3))

    def near(b: Any, h: Any, row: Any, column: Any) -> Any:
        del b, h
        return (column <= row) & (row - column < 8)

    mask = create_block_mask(near, None, None, length, length, device="cpu")
    with quietly():
        expected = flex_attention(q, k, v, block_mask=mask)
    assert torch.allclose(windowed(q, k, v, 8), expected, atol=1e-5)


def test_a_window_in_a_language_model_leaves_short_rows_alone_and_learns() -> None:
    path = Path(__file__).parents[2] / "examples" / "language_model.py"
    spec = importlib.util.spec_from_file_location("language_model_example", path)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    torch.manual_seed(0)
    model = example.LanguageModel(2, 32, 64).eval()
    x = torch.randint(0, 256, (2, 64))
    said, short = model(x), model(x[:, :8])
    with reduce.efficient_attention(model, window=8) as applied:
        bounded = model(x)
        assert torch.equal(model(x[:, :8]), short)
        assert torch.allclose(bounded[:, :8], said[:, :8], atol=1e-5)
        assert not torch.allclose(bounded[:, 40:], said[:, 40:], atol=1e-5)
        assert applied.found["calls"] == 2
        bounded.sum().backward()
    assert torch.equal(model(x), said)


@pytest.mark.parametrize("kind", ["lsh", "nystrom"])
def test_models_of_other_attention_are_built_by_their_shape(kind: str) -> None:
    shape = {"layers": 2, "width": 32, "heads": 2, "vocabulary": 64, "context": 64}
    applied = reduce.efficient_attention(shape, kind=kind, window=16)
    made = applied.target.eval()(torch.randint(0, 64, (1, 64))).logits
    assert made.shape == (1, 64, 64)


def test_frozen_layers_get_no_gradient() -> None:
    model = network()
    applied = reduce.freeze(model, share=0.8)
    model(torch.randn(2, 64)).sum().backward()
    assert [p.grad is None for p in model.parameters()] == [True, True, False, False]
    assert applied.found["frozen"] == 64 * 64 + 64
    applied.undo()
    assert reduce.freeze(model, names=r"bias$").found["frozen"] == 64 + 16


def test_channels_lie_last_in_weights_and_inputs() -> None:
    model, seen = convolutions(), []
    model[0].register_forward_hook(
        lambda *given: seen.append(given[2].is_contiguous(memory_format=torch.channels_last))
    )
    reduce.channels_last(model)
    model(images())
    assert seen == [True]
    assert model[3].weight.is_contiguous(memory_format=torch.channels_last)


def test_a_family_grows_with_one_number() -> None:
    small, large = (reduce.compound_scaling(phi, labels=10) for phi in (-8, -4))
    assert small.found["parameters"] < large.found["parameters"]
    assert small.found["image_size"] == 72
    x = torch.randn(1, 3, 72, 72)
    assert small.target.eval()(x).logits.shape == (1, 10)


def test_a_student_nears_its_teacher_and_the_teacher_s_work_is_counted() -> None:
    torch.manual_seed(0)
    teacher, student = network(), nn.Linear(64, 16)
    applied: Applied = reduce.distil(student, teacher=teacher, softness=2.0, weight=1.0)
    optimizer = torch.optim.Adam(student.parameters(), lr=0.02)
    losses = []
    for _ in range(30):
        x = torch.randn(32, 64)
        loss = applied.target(student(x), x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    assert applied.target.calls == 30
    assert applied.target.teacher_cpu_s > 0
    assert all(p.grad is None for p in teacher.parameters())
    assert applied.target.uses_until_paid(900.0, 100.0, 2.0) == 500
    applied.undo()
    assert teacher.training
    assert all(p.requires_grad for p in teacher.parameters())


@pytest.mark.parametrize(
    ("name", "target", "options"),
    [
        ("mixed_precision", network, {"dtype": "int3"}),
        ("mixed_precision", network, {"wrong": 1}),
        ("quantise", network, {"kind": "int1"}),
        ("quantise", nn.Identity, {}),
        ("float8", network, {}),
        ("prune_channels", convolutions, {}),
        ("prune_masks", network, {"ratio": 1.0}),
        ("prune_masks", nn.Identity, {}),
        ("depthwise_separable", network, {}),
        ("efficient_attention", network, {"kind": "none"}),
        ("efficient_attention", dict, {"kind": "lsh"}),
        ("freeze", network, {"share": 2}),
        ("channels_last", network, {}),
        ("distil", network, {}),
        ("compound_scaling", str, {}),
        ("gradient_compression", network, {}),
        ("local_sgd", network, {}),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_remedy(
    name: str, target: Callable[[], Any], options: dict[str, Any]
) -> None:
    with pytest.raises(UsageError) as caught:
        technique(name).apply(target(), **options)
    assert caught.value.remedy
