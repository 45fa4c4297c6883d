# SPDX-License-Identifier: Apache-2.0
"""Time of each module, forward and backward, to the nanosecond on a clock that layers move."""

import copy
import gc
import io
import threading
import weakref
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.records.layers import DATA, GRADIENTS, LOSS, OPTIMISER

torch = pytest.importorskip("torch")

from torch import autograd, nn  # noqa: E402
from torch.nn.modules import module as torch_module  # noqa: E402
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop  # noqa: E402

from submeter.interfaces.frameworks.naming import Names  # noqa: E402
from submeter.interfaces.frameworks.windows import Window  # noqa: E402


class Hand:
    """A clock that only work moves."""

    kind: Final = "processor"

    def __init__(self) -> None:
        self.ns = 0

    def now(self) -> Any:
        return self.ns

    def again(self, reading: Any) -> Any:
        return reading

    def ready(self, _: Any) -> bool:
        return True

    def span_s(self, begin: Any, end: Any) -> tuple[float, float]:
        return end - begin, end - begin

    def free(self, readings: list[Any]) -> None:
        pass


CLOCK = Hand()


class Work(autograd.Function):  # type: ignore[misc]
    """Takes so long forward, so long backward."""

    @staticmethod
    def forward(ctx: Any, x: Any, forward: int, backward: int) -> Any:
        ctx.backward_ns = backward
        CLOCK.ns += forward
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        CLOCK.ns += ctx.backward_ns
        return grad, None, None


class Layer(nn.Module):  # type: ignore[misc]
    def __init__(self, forward: int, backward: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.times = forward, backward

    def forward(self, x: Any) -> Any:
        return Work.apply(x * self.weight, *self.times)


class Block(nn.Module):  # type: ignore[misc]
    """Two layers, work of its own between and behind them, and a way around all."""

    def __init__(self, first: int = 3, second: int = 5) -> None:
        super().__init__()
        self.a, self.b = Layer(first, 10 * first), Layer(second, 10 * second)

    def forward(self, x: Any) -> Any:
        inner = Work.apply(self.a(x), 7, 70)
        return x + Work.apply(self.b(inner), 11, 110)


class Net(nn.Module):  # type: ignore[misc]
    def __init__(self, blocks: int = 2) -> None:
        super().__init__()
        self.blocks = torch.nn.ModuleList(Block() for _ in range(blocks))
        self.head = Layer(13, 130)

    def forward(self, x: Any) -> Any:
        for block in self.blocks:
            x = block(x)
        return self.head(x)


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    CLOCK.ns = 0
    yield
    assert not torch_module._global_forward_hooks
    assert not torch_module._global_forward_pre_hooks


def window_for(model: Any, trained: set[int] | None = None) -> Window:
    def fail(exc: BaseException) -> None:
        raise AssertionError from exc

    return Window(Names(model), CLOCK, fail, trained or set())


def sums(window: Window) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for owner, begin, end in window.spans():
        if end > begin:
            key = owner[0], owner[2]
            found[key] = found.get(key, 0) + end - begin
    return found


def step(model: Any, *, window: Window, inputs: int = 1) -> dict[tuple[str, str], int]:
    """Data 1, forward, loss 2 and 20, backward, gradients 17, optimiser 19."""
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    handle = optimiser.register_step_pre_hook(lambda *_: window.optimising())
    window.begin()
    for _ in range(inputs):
        CLOCK.ns += 1
        loss = Work.apply(model(torch.ones(2)), 2, 20).sum()
        loss.backward()
    CLOCK.ns += 17
    optimiser.register_step_post_hook(lambda *_: setattr(CLOCK, "ns", CLOCK.ns + 19))
    optimiser.step()
    window.end()
    handle.remove()
    return sums(window)


BRACKETS: Final = {
    (DATA, "step"): 1, (LOSS, "step"): 22, (GRADIENTS, "step"): 17, (OPTIMISER, "step"): 19,
}  # fmt: skip


def of_block(name: str) -> dict[tuple[str, str], int]:
    return {
        (f"{name}.a", "forward"): 3, (f"{name}.a", "backward"): 30,
        (f"{name}.b", "forward"): 5, (f"{name}.b", "backward"): 50,
        (name, "forward"): 18, (name, "backward"): 180,
    }  # fmt: skip


HEAD: Final = {("head", "forward"): 13, ("head", "backward"): 130}


def test_each_nanosecond_belongs_to_the_innermost_module() -> None:
    model = Net()
    found = step(model, window=window_for(model))
    assert found == {**BRACKETS, **of_block("blocks.0"), **of_block("blocks.1"), **HEAD}
    assert sum(found.values()) == CLOCK.ns


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6))
def test_all_spans_together_are_the_step_whatever_the_layers_take(
    times: list[tuple[int, int]],
) -> None:
    CLOCK.ns = 0
    model = torch.nn.Sequential(*(Layer(*t) for t in times))
    found = step(model, window=window_for(model))
    assert sum(found.values()) == CLOCK.ns
    for number, (forward, backward) in enumerate(times):
        assert found.get((str(number), "forward"), 0) == forward
        assert found.get((str(number), "backward"), 0) == backward


def test_a_shared_module_has_the_sum_of_its_calls() -> None:
    model = torch.nn.Sequential(Layer(2, 20), Layer(3, 30))
    model.append(model[0])
    window = window_for(model)
    found = step(model, window=window)
    assert found["0", "forward"] == 4
    assert found["0", "backward"] == 40
    assert window.calls()["0", "Layer", "forward"] == 2


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpointed_block_is_recomputed_in_the_backward_pass(*, reentrant: bool) -> None:
    class Kept(Net):
        def forward(self, x: Any) -> Any:
            for block in self.blocks:
                x = checkpoint(block, x, use_reentrant=reentrant)
            return self.head(x)

    model = Kept(1)
    window = window_for(model)
    window.begin()
    with set_checkpoint_early_stop(False):  # else it stops where nothing more is needed
        loss = model(torch.ones(2, requires_grad=True)).sum()  # which reentrant ones ask for
        loss.backward()
    window.end()
    found = sums(window)
    assert found["blocks.0.a", "forward"] == 3
    assert found["blocks.0.a", "recomputation"] == 3
    assert found["blocks.0.a", "backward"] == 30
    assert found["blocks.0.b", "recomputation"] == 5
    assert found["blocks.0", "backward"] == 180
    assert found["head", "backward"] == 130


def test_an_exception_inside_a_forward_leaves_nothing_open() -> None:
    class Breaks(nn.Module):  # type: ignore[misc]
        def forward(self, _: Any) -> Any:
            CLOCK.ns += 5
            raise ValueError("no")

    class Tries(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.bad, self.good = Breaks(), Layer(2, 20)

        def forward(self, x: Any) -> Any:
            try:
                return self.bad(x)
            except ValueError:
                return self.good(x)

    model = Tries()
    found = step(model, window=window_for(model))
    assert found["bad", "forward"] == 5
    assert found["good", "forward"] == 2
    assert found["good", "backward"] == 20
    window = window_for(torch.nn.Sequential(Breaks()))
    window.begin()
    with pytest.raises(ValueError, match="no"):
        torch.nn.Sequential(Breaks())(torch.ones(1))
    assert not next(iter(window.lanes.values())).stack
    window.end()


def test_batches_that_are_accumulated_wait_for_data_between() -> None:
    model = Net(1)
    found = step(model, window=window_for(model), inputs=3)
    assert found[DATA, "step"] == 3
    assert found[GRADIENTS, "step"] == 17
    assert found["head", "backward"] == 390


def test_an_evaluation_between_two_steps_stands_apart_and_a_long_one_ends_the_window() -> None:
    model = Net(1)
    window = window_for(model, {id(model)})
    window.begin()
    with torch.no_grad():
        for number in range(8):
            model(torch.ones(2))
            assert window.open == (number < 4)
    assert window.cut
    found = sums(window)
    assert found["head", "evaluation"] == 5 * 13
    assert not any(part in ("forward", "backward") for _, part in found)


def test_a_teacher_without_gradients_is_part_of_the_training() -> None:
    teacher, model = Net(1), Net(1)
    window = window_for(model, {id(model)})
    window.begin()
    with torch.no_grad():
        wanted = teacher(torch.ones(2))
    (model(torch.ones(2)) - wanted).sum().backward()
    window.end()
    found = sums(window)
    assert found["Net.head", "forward"] == 13
    assert found["head", "backward"] == 130
    assert not window.cut


def test_a_gradient_of_a_gradient_is_booked() -> None:
    model = torch.nn.Sequential(Layer(2, 20), torch.nn.Tanh(), Layer(3, 30))
    window = window_for(model)
    window.begin()
    x = torch.ones(2, requires_grad=True)
    (grad,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
    (grad.square().sum() + model(x).sum()).backward()
    window.end()
    found = sums(window)
    assert found["0", "forward"] == 4
    assert sum(found.values()) == CLOCK.ns


def test_nothing_is_attached_to_the_model_which_may_be_copied_and_saved_meanwhile() -> None:
    model = Net(1)
    window = window_for(model)
    window.begin()
    loss = model(torch.ones(2)).sum()
    twin = copy.deepcopy(model)
    torch.save(model.state_dict(), io.BytesIO())
    for module in (*model.modules(), *twin.modules()):
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
    window.end()
    before = len(list(window.spans()))
    loss.backward()  # after the window: marks are gone
    twin(torch.ones(2)).sum().backward()
    assert len(list(window.spans())) == before


def test_a_window_keeps_neither_model_nor_graph_alive() -> None:
    model = Net(1)
    window = window_for(model)
    step(model, window=window)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_another_thread_is_not_looked_at() -> None:
    model, other = Net(1), Net(1)
    window = window_for(model)
    window.begin()
    beside = threading.Thread(target=lambda: other(torch.ones(2)).sum().backward())
    beside.start()
    beside.join()
    window.end()
    assert not any(part == "forward" for _, part in sums(window))


def test_wrappers_do_not_change_names() -> None:
    model = Net(1)
    wrapped = torch.nn.DataParallel(model)
    window = window_for(wrapped)
    found = step(wrapped, window=window)
    assert found["blocks.0.a", "forward"] == 3
    assert found["head", "backward"] == 130


def test_an_error_of_ours_is_told_and_never_raised() -> None:
    class Broken(Hand):
        broken = False

        def now(self) -> Any:
            if self.broken:
                raise OSError("the clock is gone")
            return 0

    clock, errors = Broken(), list[BaseException]()
    model = Net(1)
    window = Window(Names(model), clock, errors.append, set())
    window.begin()
    clock.broken = True
    model(torch.ones(2)).sum().backward()
    clock.broken = False
    window.end()
    assert errors
    assert all(isinstance(e, OSError) for e in errors)
