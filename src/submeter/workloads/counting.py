# SPDX-License-Identifier: Apache-2.0
"""Counts the operations and bytes of one training step by running it where nothing is computed.

The model, or a copy of it, is put on torch's meta device, where tensors have shapes and no
content. Each operator of the forward pass, the backward pass and the optimiser is seen as it is
called, so nothing is guessed from the names of layers. What has no formula is listed with its
share. torch is imported when something is counted, not before.
"""

import copy
import inspect
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, NamedTuple

from submeter.errors import UsageError
from submeter.workloads.optimisers import optimiser_called
from submeter.workloads.tallies import PRODUCTS, Cost, Counted, Row, escaped, summed
from submeter.workloads.workloads import Kind, Operations, Workload

PRECISIONS = {"float64": "fp64", "float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}


# What an accelerator does in about a microsecond: to start an operator takes several.
SMALL_FLOP, SMALL_BYTES = 1e8, 1e6


class Fed(NamedTuple):
    """What the model and the loss are given."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    target: Any


def count(
    build: Any,
    example_batch: Any,
    *,
    loss: Callable[..., Any] | None = None,
    optimiser: Callable[[Any], Any] | str | None = None,
    train: bool = True,
    device: str = "meta",
) -> Counted:
    """Operations and bytes of one step, by module, phase and operator.

    Parameters
    ----------
    build
        A function that makes the model, called where tensors take no memory, or a model, of which
        a copy without content is counted; the model itself is not touched.
    example_batch
        One tensor, a tuple of arguments, a mapping of named arguments, or a function that makes
        one of these. If *loss* takes two arguments and this is a tuple, its last element is the
        target and not given to the model.
    loss
        Of the output, or of the output and the target. By default ``output.loss`` if there is
        one, otherwise the sum of what the model gives.
    optimiser
        A function of the parameters that makes a ``torch.optim.Optimizer``, or a name
        (``adamw``, ``sgd``, ``momentum``, … of `submeter.workloads.optimisers`); its second step
        is counted. By default none is.
    train
        Whether to go backward too. Decides between ``model.train()`` and ``model.eval()``.
    device
        ``meta``, or a real one such as ``cpu`` or ``cuda``, on which a full copy of the model is
        run twice, to see the operators it really uses there and the time they take.

    Raises
    ------
    UsageError
        If the model cannot be made, run, or trained; it names the module that failed.
    """
    torch = import_torch()
    from submeter.workloads.tracing import Tracer

    with undisturbed(torch, train=train):
        notes: list[str] = []
        model = prepared(torch, build, device, notes).train(train)
        fed = feed(torch, example_batch, loss, device)
        if device != "meta":  # the first call makes ready what later ones use
            step(torch, Tracer(model, timed=False), model, fed, loss, train=train, device=device)
        tracer = Tracer(model, timed=device != "meta")
        step(torch, tracer, model, fed, loss, train=train, device=device)
        if optimiser is not None and train:
            update(torch, tracer, model, optimiser)
        return gathered(torch, tracer, model, fed, train=train, device=device, notes=notes)


def workload_of_model(
    counted: Counted, *, steps: float, name: str = "model", precision: str | None = None
) -> Workload:
    """A training of *steps* such steps, as depth 1 would describe it.

    Parts are the classes of operators, and the optimiser; they sum to the whole.
    """
    if not steps > 0:
        raise UsageError(
            f"{steps} steps, but a training has a positive number of them",
            remedy="give the number of optimiser steps of the whole training",
        )
    groups: dict[str, list[Row]] = {}
    for row in counted.rows:
        groups.setdefault("optimiser" if row.phase == "optimiser" else row.kind, []).append(row)
    parts = {part: operations(rows).times(steps) for part, rows in groups.items()}
    notes = [*counted.notes, f"counted from the model itself, {steps:g} steps"]
    notes += [f"not counted: {item}" for item in counted.not_counted]
    notes += small_calls(counted)
    return Workload(
        name=name,
        kind=family(counted),
        params=max(counted.params, 1),
        active_params=max(counted.params, 1),
        work={unit: amount * steps for unit, amount in counted.work.items()},
        operations=operations(counted.rows).times(steps),
        precision=precision or counted.precision,
        notes=tuple(notes),
        parts=parts,
    )


def small_calls(counted: Counted) -> list[str]:
    """A note where operators are so small that to start them may take longer than to do them."""
    calls = sum(row.calls for row in counted.rows if row.kind != "view")
    whole = counted.total()
    if whole.executed_flop >= SMALL_FLOP * calls or whole.bytes_moved >= SMALL_BYTES * calls:
        return []
    return [
        (
            f"{calls} small operators a step: on an accelerator, starting them may take longer "
            "than what they compute, and is not reckoned"
        )
    ]


def operations(rows: list[Row] | tuple[Row, ...]) -> Operations:
    """Sum of rows in the words of a workload."""

    def of(*phases: str) -> Cost:
        return summed(row.cost for row in rows if row.phase in phases)

    whole, optimiser = summed(row.cost for row in rows), of("optimiser")
    return Operations(
        forward_flop=of("forward").flop,
        backward_flop=of("backward").flop,
        recomputed_flop=whole.recomputed_flop,
        optimiser_flop=optimiser.flop + optimiser.pointwise_flop,
        bytes_moved=whole.bytes_moved,
        elementwise_flop=whole.pointwise_flop - optimiser.pointwise_flop,
    )


def family(counted: Counted) -> Kind:
    """Family of layers that most operations belong to."""
    by_kind = {k: c.flop for k, c in counted.by("kind").items() if k in PRODUCTS}
    whole = sum(by_kind.values()) or 1.0
    if by_kind.get("convolution", 0.0) > whole / 2:
        return "cnn"
    if by_kind.get("recurrent", 0.0) > whole / 2 or (
        counted.recurrent and "attention" not in by_kind
    ):
        return "recurrent"
    return "transformer" if "attention" in by_kind else "other"


# --- making ready --------------------------------------------------------------------------------


def import_torch() -> Any:
    """Give torch, or say how to get it."""
    try:
        import torch
    except ImportError as error:
        raise UsageError(
            "counting a model's operations needs torch, which is not installed here",
            remedy="pip install 'submeter[torch]', or describe the model instead",
        ) from error
    return torch


@contextmanager
def undisturbed(torch: Any, *, train: bool) -> Iterator[None]:
    """Leave the state of random numbers and of recording gradients as it was."""
    numpy = sys.modules.get("numpy")
    state = random.getstate()
    array_state = numpy.random.get_state() if numpy is not None else None
    boards = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=list(boards)))
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.set_grad_enabled(train))
        try:
            yield
        finally:
            random.setstate(state)
            if numpy is not None and array_state is not None:
                numpy.random.set_state(array_state)


def prepared(torch: Any, build: Any, device: str, notes: list[str]) -> Any:
    """Give a model on *device* that is ours to run."""
    own = not isinstance(build, torch.nn.Module)
    model = built(torch, build, device, notes) if own else build
    wrappers = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)
    while isinstance(model, wrappers):
        model = model.module
    model = getattr(model, "_orig_mod", model)  # torch.compile's wrapper
    if device != "meta":
        return (model if own else copied(model, {})).to(device)
    tensors = {id(t): t for t in held(torch, model) if not t.is_meta}
    if own and not tensors:
        return model
    return copied(model, {key: without_content(torch, t) for key, t in tensors.items()})


def built(torch: Any, build: Callable[[], Any], device: str, notes: list[str]) -> Any:
    """Call *build*; where it needs real numbers, call it again with them."""
    if not callable(build):
        raise UsageError(
            f"a {type(build).__name__} is neither a model nor a function that makes one",
            remedy="give a torch.nn.Module, or a function without arguments that returns one",
        )
    try:
        with torch.device(device):
            model = build()
    except Exception as first:
        if device != "meta":
            raise failed(f"{named(build)} failed: {said(first)}", None) from first
        try:
            model = build()
        except Exception as error:
            raise failed(f"{named(build)} failed: {said(error)}", None) from error
        notes.append(f"{named(build)} does not work without memory, so its weights were made")
    if not isinstance(model, torch.nn.Module):
        raise UsageError(
            f"{named(build)} gave a {type(model).__name__}, not a torch.nn.Module",
            remedy="let it return the model",
        )
    return model


def copied(model: Any, memo: dict[int, Any]) -> Any:
    """Copy a model, with other tensors for those that *memo* names."""
    shared = {id(v): v for m in model.modules() for v in vars(m).values() if plain_callable(v)}
    try:
        return copy.deepcopy(model, shared | memo)
    except Exception as error:
        raise failed(f"{type(model).__name__} cannot be copied: {said(error)}", None) from error


def plain_callable(value: Any) -> bool:
    """Whether *value* is a function or an operator, which many cannot copy and nobody changes."""
    return callable(value) and not hasattr(value, "parameters") and not hasattr(value, "data_ptr")


def held(torch: Any, model: Any) -> Iterator[Any]:
    """All tensors a model holds: parameters, buffers, and what stands in plain attributes."""
    lazy = torch.nn.parameter.UninitializedTensorMixin
    for module in model.modules():
        for value in vars(module).values():
            for leaf in leaves_of(value):
                if isinstance(leaf, torch.Tensor) and not isinstance(leaf, lazy):
                    yield leaf


def without_content(torch: Any, tensor: Any) -> Any:
    """Give the same tensor without its numbers."""
    hollow = torch.empty_like(tensor.detach(), device="meta", requires_grad=False)
    if isinstance(tensor, torch.nn.Parameter):
        hollow = torch.nn.Parameter(hollow, requires_grad=tensor.requires_grad)
        vars(hollow).update(vars(tensor))
        return hollow
    return hollow.requires_grad_(tensor.requires_grad and tensor.is_leaf)


def feed(torch: Any, example_batch: Any, loss: Any, device: str) -> Fed:
    """Arguments of the model and target of the loss, on *device* and apart from the user's."""
    from torch.utils._pytree import tree_map

    batch = example_batch
    if callable(batch) and not isinstance(batch, torch.Tensor | Mapping):
        try:
            batch = batch()
        except Exception as error:
            raise failed(f"making the example batch failed: {said(error)}", None) from error

    def moved(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        if device == "meta":
            return value if value.is_meta else without_content(torch, value)
        if value.is_meta:  # an example of which only the shape was said
            return with_content(torch, value, device)
        return value.detach().clone().to(device).requires_grad_(value.requires_grad)

    if isinstance(batch, Mapping):
        named_inputs = {str(key): tree_map(moved, value) for key, value in batch.items()}
        return Fed((), named_inputs, named_inputs)
    batch = tree_map(moved, batch)
    if not isinstance(batch, tuple | list):
        return Fed((batch,), {}, batch)
    if loss is not None and wants_target(loss) and len(batch) > 1:
        return Fed(tuple(batch[:-1]), {}, batch[-1])
    return Fed(tuple(batch), {}, tuple(batch))


def with_content(torch: Any, tensor: Any, device: str) -> Any:
    """Numbers from 0 to 1 in the shape of *tensor*; the first index, where it holds indices."""
    if not tensor.is_floating_point():
        return torch.zeros(tensor.shape, dtype=tensor.dtype, device=device)
    found = torch.rand(tensor.shape, device=device).to(tensor.dtype)
    return found.requires_grad_(tensor.requires_grad)


def leaves_of(tree: Any) -> list[Any]:
    """Whatever stands in tuples, lists, mappings and other trees that torch knows."""
    from torch.utils._pytree import tree_leaves

    found: list[Any] = tree_leaves(tree)
    return found


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """Give *tree* with *function* of each leaf."""
    from torch.utils._pytree import tree_map

    return tree_map(function, tree)


def wants_target(loss: Callable[..., Any]) -> bool:
    """Whether *loss* takes the output and something to compare it with."""
    target = getattr(loss, "forward", loss)
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return True
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in kinds and p.default is p.empty for p in parameters) > 1


# --- running -------------------------------------------------------------------------------------


def step(
    torch: Any, tracer: Any, model: Any, fed: Fed, loss: Any, *, train: bool, device: str
) -> None:
    """Go forward and backward once under the tracer."""
    from submeter.workloads.tracing import FusedAttention

    doing: Literal["forward pass", "loss", "backward pass"] = "forward pass"
    model.zero_grad(set_to_none=True)
    try:
        with ExitStack() as stack:
            stack.enter_context(tracer.watching())
            if device == "meta":
                stack.enter_context(torch.device("meta"))
                stack.enter_context(FusedAttention())
            output = model(*fed.args, **fed.kwargs)
            if not train:
                return
            doing = "loss"
            with tracer.inside("(loss)"):
                value = worth(torch, output, fed, loss)
            doing = "backward pass"
            torch.autograd.backward(value)  # the tensor's own method would switch modes off
    except UsageError:
        raise
    except Exception as error:
        at = tracer.failure if tracer.error is error else None
        raise failed(trouble(model, doing, error, at), device) from error


def worth(torch: Any, output: Any, fed: Fed, loss: Any) -> Any:
    """Give the number whose gradient is taken."""
    if loss is not None:
        value = loss(output, fed.target) if wants_target(loss) else loss(output)
    else:
        value = getattr(output, "loss", None)
    if value is None:
        leaves = leaves_of(output)
        if not any(isinstance(leaf, torch.Tensor) for leaf in leaves):  # a record of its own kind
            leaves = leaves_of(getattr(output, "__dict__", {}))
        grown = [t for t in leaves if isinstance(t, torch.Tensor) and t.requires_grad]
        value = sum(t.sum() for t in grown) if grown else None
    if not isinstance(value, torch.Tensor) or not value.requires_grad:
        raise UsageError(
            "nothing can be trained: the loss does not depend on any trainable parameter",
            remedy="count with train=False, or let some parameters require gradients",
        )
    if value.numel() != 1:
        raise UsageError(
            f"the loss has {value.numel()} elements of shape {tuple(value.shape)}, not one",
            remedy="let the loss return one number, for instance its mean",
        )
    return value


def update(torch: Any, tracer: Any, model: Any, optimiser: Any) -> None:
    """Step the optimiser twice and count the second, for the first also makes its state."""
    params = [p for p in model.parameters() if p.requires_grad]
    if isinstance(optimiser, str):
        optimiser = optimiser_called(torch, optimiser)
    try:
        own = optimiser(params)
        own.step()
        tracer.owns(own)
        tracer.optimising = True
        with tracer.watching():
            own.step()
    except Exception as error:
        device = None if tracer.timed else "meta"
        raise failed(f"the optimiser failed: {said(error)}", device) from error
    finally:
        tracer.optimising = False


def gathered(
    torch: Any, tracer: Any, model: Any, fed: Fed, *, train: bool, device: str, notes: list[str]
) -> Counted:
    """Put what the tracer saw into a record."""
    rows = tracer.rows()
    sizes: dict[str, int] = {}
    for param in model.parameters():
        name = str(param.dtype).removeprefix("torch.")
        sizes[name] = sizes.get(name, 0) + param.numel()
    main = max(sizes, key=lambda name: sizes[name], default="float32")
    if tracer.autocast is not None:
        main = str(tracer.autocast).removeprefix("torch.")
        if device == "meta":
            notes.append("autocast was on: bytes are those of the weights' own precision")
    if tracer.assumed:
        where = ", ".join(name or "the model itself" for name in list(tracer.assumed)[:3])
        notes.append(
            f"{where} asked for the content of a tensor: masks were taken to hold everything, "
            "numbers to be finite, chance to be in the middle"
        )
    return Counted(
        rows=tuple(rows),
        not_counted=escaped(rows, tracer.own.rows(), tracer.why),
        params=sum(p.numel() for p in model.parameters()),
        trainable_params=sum(p.numel() for p in model.parameters() if p.requires_grad),
        device=device,
        train=train,
        precision=PRECISIONS.get(main, main),
        recurrent=bool(tracer.recurrent),
        work=done(torch, fed),
        notes=tuple(notes),
    )


def done(torch: Any, fed: Fed) -> dict[str, float]:
    """Samples by the first axis of the first tensor; tokens where it holds indices."""
    leaves = leaves_of((fed.args, list(fed.kwargs.values())))
    first = next((t for t in leaves if isinstance(t, torch.Tensor) and t.dim()), None)
    if first is None:
        return {}
    work = {"samples": float(first.shape[0])}
    if first.dim() > 1 and not first.is_floating_point():
        work["tokens"] = float(first.numel())
    return work


# --- words for what went wrong -------------------------------------------------------------------


def named(function: Any) -> str:
    """Give what to call *function*."""
    return str(getattr(function, "__qualname__", type(function).__name__))


def said(error: BaseException) -> str:
    """First line of an error, with its class."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"


def trouble(model: Any, doing: str, error: BaseException, at: Any) -> str:
    """One sentence that names module and operator."""
    where = ""
    if at is not None:
        modules = dict(model.named_modules())
        kind = type(modules[at.module]).__name__ if at.module in modules else ""
        name = at.module or "the model itself"
        where = f" in {name}" + (f" ({kind})" if kind else "")
        where += f" at operator {at.operator}" if at.operator else ""
    return f"the {doing} failed{where}: {said(error)}"


def failed(message: str, device: str | None) -> UsageError:
    """Give the error to raise, with what to do next."""
    remedy = "run one step of the model on its own to see the whole error"
    if device == "meta":
        remedy += "; if it needs the content of tensors, run it to count it: --count-on cpu"
        remedy += ", or device='cpu' from Python"
    return UsageError(message, remedy=remedy)
