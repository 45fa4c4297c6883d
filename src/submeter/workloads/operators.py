# SPDX-License-Identifier: Apache-2.0
"""What is known of one of torch's operators: its class, its formula, and the bytes it moves.

Ours first, then torch's own formulas and those a user registered there. Import it late: it needs
torch.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import flop_registry

from submeter.workloads import formulas
from submeter.workloads.tallies import Class, Cost

WITH_ALPHA = 2  # more arguments than the two terms: the second is scaled


class Entry(NamedTuple):
    """What is known of an operator, looked up once."""

    name: str
    plain: str  # without what marks an in-place or a many-tensor form
    kind: Class
    formula: formulas.Formula | None
    dissolves: bool  # made of other operators, and so left to them


def tensors_of(tree: Any) -> Iterator[Any]:
    """Tensors of arguments or results, lists of them opened."""
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, tuple | list):
        for item in tree:
            yield from tensors_of(item)


def size_bytes(tensor: Any) -> float:
    """Bytes a kernel has to touch for *tensor*: axes repeated by stride 0 are there once."""
    if tensor.layout is not torch.strided:
        return float(tensor.numel() * tensor.element_size())
    count = 1
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        count *= size if stride or not size else 1
    return float(count * tensor.element_size())


def look_up(func: Any) -> Entry:
    """Class and formula of *func*: ours, then torch's and the user's own, then what it must be."""
    schema = getattr(func, "_schema", None)
    if schema is None:  # a higher-order operator
        registered = flop_registry.get(func)
        known = registered is not None
        kind: Class = "attention" if known else "unknown"
        return Entry(
            str(func), str(func), kind, from_registry(registered) if known else None, False
        )
    space, _, name = schema.name.partition("::")
    shown = f"{space}.{name}"
    bare = name.removesuffix("_") if not name.startswith("__") else name
    bare = bare.removeprefix("_foreach_")
    if space == "aten" and name in formulas.ATEN:
        known_kind, formula = formulas.ATEN[name]
        return Entry(shown, bare, known_kind, formula, dissolves=False)
    registered = flop_registry.get(func.overloadpacket)
    if registered is not None:
        kind = "attention" if "attention" in name else "matmul"
        return Entry(shown, bare, kind, from_registry(registered), dissolves=False)
    if space == "profiler":  # marks of torch's own profiler
        return Entry(shown, bare, "view", None, dissolves=False)
    if space in ("aten", "prims", "prim"):
        kind = class_of(func, name, bare)
        return Entry(shown, bare, kind, None, dissolves=kind == "unknown" and composite(func))
    return Entry(shown, bare, "unknown", None, dissolves=composite(func))


def class_of(func: Any, name: str, bare: str) -> Class:
    """Class of an operator that makes no products."""
    if getattr(func, "is_view", False) or bare in formulas.VIEWS:
        return "view"
    if bare in formulas.MOVES:
        return "move"
    if name in formulas.CREATIONS or bare in formulas.CREATIONS:
        return "creation"
    if bare in formulas.REDUCTIONS or name.startswith("_foreach_norm"):
        return "reduction"
    if torch.Tag.pointwise in func.tags or bare in formulas.POINTWISE or "_foreach_" in name:
        return "pointwise"
    return "unknown"


def composite(func: Any) -> bool:
    """Whether torch defines *func* by other operators (seen so only in inference mode)."""
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    return bool(has(func.name(), "CompositeImplicitAutograd"))


def from_registry(formula: Any) -> formulas.Formula:
    """Wrap a formula of torch.utils.flop_counter, or one the user registered there."""

    def wrapped(args: Any, kwargs: dict[str, Any], out: Any) -> Cost:
        return Cost(flop=float(formula(*args, **kwargs, out_val=out)))

    def padded_backward(args: Any, kwargs: dict[str, Any], out: Any) -> Cost:
        whole = wrapped(args, kwargs, out).flop
        q, v = args[1].shape[-1], args[3].shape[-1]
        again = whole * q / (3 * q + 2 * v)  # Q Kᵀ once more, out of five products
        return Cost(flop=whole - again, recomputed_flop=again)

    name = getattr(formula, "__name__", "")
    if "backward" in name and "att" in name and name.startswith("_"):
        return padded_backward
    return wrapped


def moved_bytes(entry: Entry, args: Any, kwargs: dict[str, Any], out: Any) -> float:
    """Bytes of inputs and outputs; of tables that are only picked from, what is picked."""
    if entry.kind == "view" or entry.plain in formulas.EMPTY:
        return 0.0
    written = sum(map(size_bytes, tensors_of(out)))
    if entry.kind == "creation":
        return written
    if entry.plain in formulas.PICKING:
        indices = sum(map(size_bytes, tensors_of(args[1:])))
        return 2.0 * written + indices
    if entry.plain in ("fill", "zero"):
        return written
    read = sum(map(size_bytes, tensors_of(args)))
    return read + written + sum(map(size_bytes, tensors_of(list(kwargs.values()))))


def pointwise(entry: Entry, args: Any, kwargs: dict[str, Any], out: Any) -> float:
    """One operation per element made (or, in a reduction, per element taken), or a few."""
    if entry.kind == "pointwise":
        first = next(tensors_of(out), None)
        if first is None:  # forms that work in place on lists give nothing back
            made = sum(t.numel() for t in tensors_of(args[:1]))
        else:
            made = first.numel() if not isinstance(out, list) else sum(t.numel() for t in out)
        each = formulas.POINTWISE_FLOP.get(entry.plain, 1)
        scaled = entry.plain in ("add", "sub") and ("alpha" in kwargs or len(args) > WITH_ALPHA)
        return float(made * (each + scaled))
    if entry.kind == "reduction":
        return float(max((t.numel() for t in tensors_of(args)), default=0))
    return 0.0
