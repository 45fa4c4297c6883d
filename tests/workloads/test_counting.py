# SPDX-License-Identifier: Apache-2.0
"""Operations of models come to what a hand counts, and what escapes is listed."""

import itertools
import math
import random
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from submeter.errors import UsageError
from submeter.workloads.building import load_builder
from submeter.workloads.counting import count, workload_of_model
from submeter.workloads.layers import optimiser_of
from submeter.workloads.optimisers import OPTIMISERS
from submeter.workloads.tallies import Counted
from tests.workloads import hand_counts as hand

TWICE = [(name, device) for name, case in hand.CASES.items() for device in case.devices]


def close(found: float, wanted: float) -> bool:
    return abs(found - wanted) <= 0.01 * wanted


@pytest.mark.parametrize(("name", "device"), TWICE)
def test_a_model_comes_to_what_a_hand_counts(name: str, device: str) -> None:
    case = hand.CASES[name]
    build = case.build if device == "meta" else case.build()
    counted = count(build, case.batch, train=case.train, device=device)
    total = counted.total()
    assert close(counted.total("forward").flop, case.forward)
    assert close(counted.total("backward").flop, case.backward)
    assert close(total.recomputed_flop, case.again)
    assert counted.complete, counted.not_counted
    adds_up(counted)


def adds_up(counted: Counted) -> None:
    """Modules, phases, operators and classes sum to the total exactly; so do trees."""
    total = counted.total()
    for what in ("module", "phase", "operator", "kind"):
        parts = counted.by(what).values()
        assert sum(part.flop for part in parts) == total.flop
        assert sum(part.recomputed_flop for part in parts) == total.recomputed_flop
        assert sum(part.bytes_moved for part in parts) == total.bytes_moved
    tops = [cost for name, cost in counted.tree().items() if not name or name.startswith("(")]
    assert sum(cost.flop for cost in tops) == total.flop


def test_the_small_gpt_is_that_of_the_published_comparison() -> None:
    assert pytest.approx(9.114e9, rel=1e-4) == hand.GPT


@settings(max_examples=15, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=2, max_size=5),
    rows=st.integers(1, 30),
    grad=st.booleans(),
)
def test_any_stack_of_linear_layers_is_exact(sizes: list[int], rows: int, grad: bool) -> None:  # noqa: FBT001
    shapes = list(itertools.pairwise(sizes))
    counted = count(
        lambda: nn.Sequential(*(nn.Linear(a, b) for a, b in shapes)),
        torch.zeros(rows, sizes[0], requires_grad=grad),
        optimiser="sgd",
    )
    each = [2.0 * rows * a * b for a, b in shapes]
    assert counted.total("forward").flop == sum(each)
    assert counted.total("backward").flop == 2 * sum(each) - (0 if grad else each[0])
    assert counted.total("optimiser").pointwise_flop == 2 * counted.params  # p ← p − η g
    for index, one in enumerate(each):
        mine = counted.tree()[str(index)]
        assert mine.flop == one * (3 if index or grad else 2)
    adds_up(counted)


@settings(max_examples=15, deadline=None)
@given(
    groups=st.sampled_from([1, 2, 4]),
    wide=st.integers(1, 3),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    transposed=st.booleans(),
)
def test_any_convolution_takes_as_much_for_each_gradient(
    groups: int,
    wide: int,
    kernel: int,
    stride: int,
    transposed: bool,  # noqa: FBT001
) -> None:
    kind: Any = nn.ConvTranspose2d if transposed else nn.Conv2d
    layer = kind(4 * wide, 4, kernel, stride=stride, groups=groups)
    x = torch.zeros(3, 4 * wide, 9, 7, requires_grad=True)
    counted = count(layer, x)
    positions = (x if transposed else layer(x)).shape[2:].numel()
    assert counted.total("forward").flop == 2 * 3 * positions * layer.weight.numel()
    assert counted.total("backward").flop == 2 * counted.total("forward").flop


def test_adam_takes_fourteen_operations_a_weight_and_each_is_its_modules() -> None:
    counted = count(hand.Gpt, hand.TOKENS, optimiser="adamw")
    optimiser = counted.total("optimiser")
    # decay 1, first moment 3, second moment 1 + 3, root 1, quotient 1, ε 1, step 3
    assert optimiser.pointwise_flop == pytest.approx(14 * counted.params, rel=1e-4)
    rows = [row for row in counted.rows if row.phase == "optimiser"]
    for name, params in (("layers.0.up", 4 * hand.D**2 + 4 * hand.D), ("words", hand.V * hand.D)):
        own = sum(row.cost.pointwise_flop for row in rows if row.module == name)
        assert own == pytest.approx(14 * params, rel=1e-3)


def test_forms_for_many_tensors_come_to_the_same() -> None:
    def many(params: Any) -> Any:
        return torch.optim.AdamW(params, foreach=True)

    one, other = (
        count(hand.Gpt, hand.TOKENS, optimiser=made).total("optimiser").pointwise_flop
        for made in ("adamw", many)
    )
    assert other == pytest.approx(one, rel=0.08)  # some steps are written in another order


def test_backward_work_belongs_to_the_module_that_went_forward() -> None:
    tree = count(hand.Gpt, hand.TOKENS).tree()
    block = 24 * hand.B * hand.T * hand.D**2 + 4 * hand.B * hand.T**2 * hand.D
    assert {tree[f"layers.{n}"].flop for n in range(hand.L)} == {3.0 * block}
    assert tree["layers.2.up"].flop == 3 * 8.0 * hand.B * hand.T * hand.D**2
    assert tree["head"].flop == 3 * 2.0 * hand.B * hand.T * hand.D * hand.V


def test_a_causal_mask_makes_almost_half_of_attention_needless() -> None:
    case = hand.CASES["causal attention"]
    total = count(case.build, case.batch).total()
    assert total.maskable_flop == pytest.approx(total.executed_flop * (1 - 97 / 192))


def test_fused_attention_moves_no_scores_on_the_meta_device() -> None:
    plain, fused = (
        count(hand.CASES[name].build, hand.CASES[name].batch).total().bytes_moved
        for name in ("plain attention", "fused attention")
    )
    assert fused < plain / 2


def test_bytes_of_a_linear_layer_are_those_of_its_tensors() -> None:
    counted = count(lambda: nn.Linear(64, 128, bias=False), torch.zeros(32, 64), train=False)
    assert counted.total().bytes_moved == 4 * (32 * 64 + 64 * 128 + 32 * 128)
    half = count(
        lambda: nn.Linear(64, 128, bias=False, dtype=torch.bfloat16),
        torch.zeros(32, 64, dtype=torch.bfloat16),
        train=False,
    )
    assert half.total().bytes_moved == counted.total().bytes_moved / 2
    assert (half.precision, counted.precision) == ("bf16", "fp32")


def test_an_embedding_moves_what_it_picks_and_not_its_table() -> None:
    counted = count(lambda: nn.Embedding(10**6, 64), torch.zeros(8, dtype=torch.long), train=False)
    assert counted.total().bytes_moved == 2 * 8 * 64 * 4 + 8 * 8


# --- what escapes ------------------------------------------------------------------------------


class Elsewhere(torch.autograd.Function):  # type: ignore[misc,name-defined,unused-ignore]
    """Computes with another library than torch."""

    @staticmethod
    def forward(_ctx: Any, x: Any) -> Any:
        return torch.from_numpy(x.detach().numpy() ** 3)

    @staticmethod
    def backward(_ctx: Any, grad: Any) -> Any:
        return torch.from_numpy(grad.numpy() * 3.0)


class Visible(torch.autograd.Function):  # type: ignore[misc,name-defined,unused-ignore]
    """A product written with torch's own operators, and a checkpoint's forward."""

    @staticmethod
    def forward(ctx: Any, x: Any, w: Any) -> Any:
        ctx.save_for_backward(x, w)
        return x @ w

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        x, w = ctx.saved_tensors
        return grad @ w.mT, x.mT @ grad


def operator(name: str, function: Any) -> Any:
    """Make an operator of a library of its own, of which torch knows the shapes alone."""

    def run(x: torch.Tensor) -> torch.Tensor:  # type: ignore[name-defined,unused-ignore]
        return function(x)

    made = torch.library.custom_op(f"submeter_tests::{name}", run, mutates_args=())
    made.register_fake(torch.empty_like)
    made.register_autograd(lambda _ctx, grad: grad * 3.0)
    return made


cube = operator("cube", lambda x: x**3)


def escaping(function: Any) -> nn.Module:
    return nn.Sequential(nn.Linear(64, 64), hand.Fn(function), nn.Linear(64, 64))


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_a_custom_operator_is_listed_with_its_share(device: str) -> None:
    counted = count(escaping(cube), torch.randn(32, 64), device=device)
    (row,) = counted.not_counted
    assert (row.operator, row.modules, row.calls) == ("submeter_tests.cube", ("1",), 1)
    assert row.bytes_moved == 2 * 32 * 64 * 4
    assert 0 < row.bytes_ratio == row.bytes_moved / counted.total().bytes_moved < 1
    assert 0 < row.calls_ratio < 1
    assert (row.duration_ratio is None) == (device == "meta")
    assert "submeter_tests.cube" in str(row)
    assert not counted.complete
    assert counted.total("forward").flop == 2 * 2 * 32 * 64 * 64  # the rest is still counted


def test_a_function_that_computes_elsewhere_is_listed_both_ways() -> None:
    counted = count(escaping(Elsewhere.apply), torch.randn(32, 64), device="cpu")
    (row,) = counted.not_counted
    assert row.operator == "autograd.Function Elsewhere"
    assert (row.calls, row.partly, row.modules) == (2, False, ("1",))  # forward and backward
    assert row.bytes_moved >= 4 * 32 * 64 * 4
    assert row.duration_ratio is not None
    assert 0 < row.duration_ratio < 1


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_what_a_visible_function_does_is_counted_and_said(device: str) -> None:
    model = hand.Fn(Visible.apply, 64, 128)
    counted = count(model, torch.randn(32, 64, requires_grad=True), device=device)
    assert counted.total("forward").flop == hand.ONE
    assert counted.total("backward").flop == 2 * hand.ONE
    (row,) = counted.not_counted
    assert row.partly
    assert row.operator == "autograd.Function Visible"
    assert (row.calls_ratio, row.bytes_ratio) == (0.0, 0.0)


def test_an_operator_without_a_formula_is_listed() -> None:
    counted = count(hand.Fn(torch.linalg.inv), torch.eye(16), train=False)
    assert counted.not_counted[0].operator == "aten.linalg_inv_ex"
    assert counted.not_counted[0].bytes_ratio > 0.9


def test_a_formula_the_user_registered_is_used() -> None:
    from torch.utils import flop_counter

    known = operator("known", lambda x: x + 1)
    packet = torch.ops.submeter_tests.known
    flop_counter.register_flop_formula(packet)(lambda shape, **_: 7 * shape[0])
    try:
        counted = count(hand.Fn(known), torch.zeros(5), train=False)
    finally:
        del flop_counter.flop_registry[packet]
    assert counted.total().flop == 35
    assert counted.complete


# --- nothing is left behind --------------------------------------------------------------------


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_the_users_model_is_as_it_was(device: str) -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 8))
    model.eval()
    model[0].weight.grad = torch.ones(8, 8)
    model[3].weight.requires_grad_(requires_grad=False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batch = torch.randn(4, 8, requires_grad=True)
    torch.manual_seed(3)
    random.seed(3)
    wanted = (torch.rand(3).tolist(), random.random())  # noqa: S311
    torch.manual_seed(3)
    random.seed(3)
    plain = functional.scaled_dot_product_attention
    with torch.no_grad():
        count(model, (batch,), optimiser="adamw", device=device)
        assert not torch.is_grad_enabled()
    assert (torch.rand(3).tolist(), random.random()) == wanted  # noqa: S311
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert [p.device.type for p in model.parameters()] == ["cpu"] * 6
    assert torch.equal(model[0].weight.grad, torch.ones(8, 8))
    assert model[3].weight.grad is None
    assert batch.grad is None
    assert not any(module.training for module in model.modules())
    assert functional.scaled_dot_product_attention is plain
    assert sys.getprofile() is None
    hooks = torch.nn.modules.module
    assert not hooks._global_forward_hooks
    assert not hooks._global_forward_pre_hooks


def test_tied_weights_stay_tied_in_the_copy() -> None:
    counted = count(hand.Gpt(tied=True), hand.TOKENS)
    assert counted.params == count(hand.Gpt, hand.TOKENS).params - hand.V * hand.D


# --- ways to give things -----------------------------------------------------------------------


def test_losses_and_batches_are_given_as_training_loops_do() -> None:
    x, y = torch.randn(4, 8), torch.zeros(4, dtype=torch.long)
    one = 2.0 * 4 * 8 * 3
    for batch, loss in (
        ((x, y), nn.CrossEntropyLoss()),
        ((x, y), functional.cross_entropy),
        (lambda: (x, y), lambda out, target: (out.logsumexp(1) - out[:, target]).mean()),
        (x, lambda out: out.pow(2).mean()),
        ({"input": x}, None),
    ):
        counted = count(lambda: nn.Linear(8, 3), batch, loss=loss)
        assert counted.total().flop == 2 * one
        assert counted.work == {"samples": 4.0}


def test_a_counted_step_becomes_a_workload() -> None:
    counted = count(hand.Gpt, hand.TOKENS, optimiser="adamw")
    workload = workload_of_model(counted, steps=10)
    assert workload.kind == "transformer"
    assert workload.work == {"samples": 20.0, "tokens": 10.0 * hand.B * hand.T}
    assert workload.operations.forward_flop == 10 * counted.total("forward").flop
    assert workload.operations.recomputed_flop == 10.0 * hand.SCORES
    assert workload.operations.optimiser_flop == pytest.approx(140 * counted.params, rel=1e-4)
    parts = sum(part.executed_flop for part in workload.parts.values())
    assert parts == pytest.approx(workload.operations.executed_flop)
    with pytest.raises(UsageError, match="0 steps"):
        workload_of_model(counted, steps=0)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("depthwise", "cnn"), ("LSTM", "recurrent"), ("two linear layers", "other")],
)
def test_the_family_of_a_model_is_what_most_of_its_operations_are(name: str, kind: str) -> None:
    case = hand.CASES[name]
    assert workload_of_model(count(case.build, case.batch), steps=1).kind == kind


def test_a_builder_that_needs_real_numbers_gets_them() -> None:
    def build() -> nn.Module:
        return nn.Linear(8, int(torch.ones(3).sum().item()))

    counted = count(build, torch.zeros(4, 8))
    assert counted.total("forward").flop == 2 * 4 * 8 * 3
    assert "does not work without memory" in counted.notes[0]


# --- nonsense ----------------------------------------------------------------------------------


class Broken(nn.Module):  # type: ignore[misc]
    def forward(self, _: Any) -> Any:
        raise KeyError("no such layer")


def bad_shape() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.ReLU(), nn.Linear(9, 9)))


def reads_content() -> nn.Module:
    return hand.Fn(lambda x: x * x.sum().item())


def frozen() -> nn.Module:
    return nn.Linear(8, 8).requires_grad_(requires_grad=False)


X = torch.zeros(4, 8)


@pytest.mark.parametrize(
    ("build", "batch", "options", "said"),
    [
        (lambda: nn.Sequential(nn.Identity(), Broken()), X, {}, r"in 1 \(Broken\): KeyError"),
        (bad_shape, X, {}, r"in 1\.1 \(Linear\) at operator aten\.addmm"),
        (reads_content, X, {}, r"forward pass failed in the model itself \(Fn\)"),
        (frozen, X, {}, "nothing can be trained"),
        (lambda: 1 / 0, X, {}, "ZeroDivisionError"),
        (lambda: 7, X, {}, "gave a int, not a torch.nn.Module"),
        (7, X, {}, "neither a model nor a function"),
        (lambda: nn.Linear(8, 8), lambda: 1 / 0, {}, "making the example batch failed"),
        (lambda: nn.Linear(8, 8), X, {"loss": lambda out: out}, "the loss has 32 elements"),
        (lambda: nn.Linear(8, 8), X, {"loss": lambda out: out.nothing}, "the loss failed"),
        (lambda: nn.Linear(8, 8), X, {"optimiser": "adamx"}, "unknown optimiser 'adamx'"),
        (lambda: nn.Linear(8, 8), X, {"optimiser": lambda _: 3}, "the optimiser failed"),
    ],
)
def test_what_cannot_be_counted_gives_one_clear_error(
    build: Any, batch: Any, options: Any, said: str
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        count(build, batch, **options)
    assert caught.value.remedy


def asks(question: Any) -> Any:
    """A module that multiplies once more if the answer to *question* is no."""

    def forward(x: Any, weight: Any) -> Any:
        return x @ weight if bool(question(x)) else x @ weight @ weight

    return lambda: hand.Fn(forward, 8, 8)


@pytest.mark.parametrize(
    "question",
    [
        lambda x: (x < math.inf).all(),
        lambda x: (x < math.inf).sum() == x.numel(),
        lambda x: not torch.isnan(x).any(),
        lambda _: torch.rand([]) >= 0.1,
    ],
)
def test_what_programs_ask_of_content_has_the_usual_answer_and_is_noted(question: Any) -> None:
    counted = count(asks(question), X)
    assert counted.total("forward").flop == 2.0 * X.numel() * 8
    assert any("asked for the content of a tensor" in note for note in counted.notes)


def test_ragged_products_are_counted_in_any_precision() -> None:
    ends = torch.tensor([3, 8], dtype=torch.int32)
    made = [
        count(
            lambda dtype=dtype: hand.Fn(
                lambda x, w: torch._grouped_mm(x.to(w.dtype), w, offs=ends.to(x.device)), 2, 16, 24
            ).to(dtype),
            torch.zeros(8, 16),
        )
        for dtype in (torch.bfloat16, torch.float32)
    ]
    assert [c.total("forward").flop for c in made] == [2.0 * 8 * 16 * 24] * 2
    assert {c.total("backward").flop for c in made} == {2.0 * 8 * 16 * 24}


@pytest.mark.parametrize("name", sorted(OPTIMISERS))
def test_every_optimiser_named_is_there(name: str) -> None:
    spent = count(lambda: nn.Linear(8, 8), X, optimiser=name).total("optimiser")
    described = optimiser_of(name).flop if name != "radam" else 16
    assert spent.pointwise_flop == pytest.approx(described * 72, rel=0.35)  # other spellings


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
def test_an_example_of_which_only_the_shape_is_known_is_run_on_numbers(dtype: Any) -> None:
    def look(x: Any, weight: Any) -> Any:
        assert float(x.sum()) == float(x.sum())
        return x.to(weight.dtype) @ weight

    shape = torch.empty(4, 8, dtype=dtype, device="meta")
    counted = count(lambda: hand.Fn(look, 8, 8), shape, device="cpu")
    assert counted.total("forward").flop == 2.0 * 4 * 8 * 8


@pytest.mark.parametrize(("width", "noted"), [(8, True), (4096, False)])
def test_operators_too_small_to_be_worth_their_start_are_noted(width: int, noted: bool) -> None:  # noqa: FBT001
    counted = count(lambda: nn.Linear(width, width), torch.zeros(64, width))
    notes = workload_of_model(counted, steps=10).notes
    assert any("small operators a step" in note for note in notes) == noted


def test_what_reads_content_is_counted_on_the_processor() -> None:
    assert count(reads_content(), X, device="cpu", train=False).complete


def test_a_failure_in_the_backward_pass_says_so() -> None:
    model = nn.Linear(8, 8)

    def refuse(_: Any) -> None:
        raise ValueError("not today")

    def loss(out: Any) -> Any:
        out.register_hook(refuse)
        return out.sum()

    with pytest.raises(UsageError, match=r"backward pass failed.*not today"):
        count(model, X, loss=loss)


MODULE = """
import submeter.errors
class Nets:
    @staticmethod
    def small(): return 7
def build_model(): return Nets.small()
size = 3
"""


def test_a_builder_is_found_by_module_or_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "some_nets.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    assert load_builder("some_nets:build_model")() == 7
    assert load_builder("some_nets:Nets.small")() == 7
    assert load_builder(f"{tmp_path / 'some_nets.py'}:build_model")() == 7


@pytest.mark.parametrize(
    ("text", "said", "remedy"),
    [
        ("build_model", "does not name a function", "mymodel:build_model"),
        ("nowhere_at_all:build", "no module named 'nowhere_at_all'", "spelling"),
        ("some_nets:build_modl", "some_nets has no 'build_modl'", "it has build_model"),
        ("some_nets:size", "is a int, which cannot be called", "name a function"),
        ("needing:build", "needing needs 'absent_library'", "install absent_library"),
        ("breaking:build", "importing breaking failed: ValueError: bad day", "work first"),
        ("nothing.py:build", "there is no file nothing.py", "check the path"),
    ],
)
def test_a_builder_that_is_not_there_gives_one_clear_error(
    text: str, said: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "some_nets.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "needing.py").write_text("import absent_library\n", encoding="utf-8")
    (tmp_path / "breaking.py").write_text("raise ValueError('bad day')\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    with pytest.raises(UsageError) as caught:
        load_builder(text)
    assert said in str(caught.value)
    assert remedy in str(caught.value.remedy)


def test_torch_is_not_loaded_before_something_is_counted() -> None:
    code = """
        import sys
        import submeter.workloads.counting, submeter.workloads.building
        print("torch" in sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={"PYTHONPATH": str(Path(__file__).parents[2] / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"


@pytest.mark.slow
def test_seventy_billion_parameters_are_counted_in_one_gigabyte() -> None:
    from benchmarks.counting import seventy_billion

    found = seventy_billion()
    assert found.ratio == pytest.approx(1.0, abs=0.01)
    assert found.resident_bytes <= 1e9
    assert found.processor_s <= 60  # 15 s alone; other tests may share the machine
