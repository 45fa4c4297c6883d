# SPDX-License-Identifier: Apache-2.0
"""What a model was found to compute: rows by module, phase and operator, and what escaped.

Everything is summed from the same rows, so that modules, phases and operators each add up to the
total. Products are matrix products, convolutions, attention and recurrent cells: the operations
that peak rates and utilisation speak of. Element-wise work stands beside them, never among them.
"""

from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

Phase = Literal["forward", "backward", "recomputation", "optimiser"]
Class = Literal[
    "matmul", "convolution", "attention", "recurrent",
    "pointwise", "reduction", "move", "creation", "view", "unknown",
]  # fmt: skip
UNKNOWN = "no formula is known for this operator"
UNSEEN = "what it does through torch was counted, anything else was not"
PRODUCTS: frozenset[Class] = frozenset({"matmul", "convolution", "attention", "recurrent"})


class Cost(msgspec.Struct, frozen=True):
    """Operations of one or many calls.

    Attributes
    ----------
    flop
        Useful operations of products, a fused multiply-add being two [FLOP].
    recomputed_flop
        Operations of products that are executed beyond the useful ones: done again because a
        result was not kept, or done although nobody uses it [FLOP].
    maskable_flop
        That part of ``flop`` and ``recomputed_flop`` together which a causal mask makes
        needless: a kernel that skips masked blocks does not execute it [FLOP].
    pointwise_flop
        Element-wise operations and reductions [FLOP].
    bytes_moved
        Read and written if each operator reads its inputs and writes its outputs once [B].
    """

    flop: float = 0.0
    recomputed_flop: float = 0.0
    maskable_flop: float = 0.0
    pointwise_flop: float = 0.0
    bytes_moved: float = 0.0

    @property
    def executed_flop(self) -> float:
        """Products executed, useful or not [FLOP]."""
        return self.flop + self.recomputed_flop

    def again(self) -> "Cost":
        """Give the same, done a second time: executed, not useful."""
        return msgspec.structs.replace(self, flop=0.0, recomputed_flop=self.executed_flop)


class Row(msgspec.Struct, frozen=True):
    """One operator in one phase of one module (its own work, without its children's).

    ``duration_s`` is what its calls took where a real device ran them, else None.
    """

    module: str
    phase: Phase
    operator: str
    kind: Class
    calls: int
    cost: Cost
    duration_s: float | None = None


class Escaped(msgspec.Struct, frozen=True):
    """Work that was seen to happen and whose operations nobody could count.

    Attributes
    ----------
    operator
        Operator or ``autograd.Function``.
    modules
        Where it was called.
    calls, bytes_moved
        How often, and what went in and out [B].
    calls_ratio, bytes_ratio, duration_ratio
        Its shares of all calls (views apart), of all bytes, and of the time of all operators
        where a real device ran them (else None).
    why
        In words.
    partly
        True if what it did through torch was counted (its shares are then 0), and only what it
        may have done elsewhere is missing.
    """

    operator: str
    modules: tuple[str, ...]
    calls: int
    bytes_moved: float
    calls_ratio: float
    bytes_ratio: float
    duration_ratio: float | None
    why: str
    partly: bool = False

    def __str__(self) -> str:
        shares = f"{self.calls_ratio:.1%} of calls, {self.bytes_ratio:.1%} of bytes"
        if self.duration_ratio is not None:
            shares += f", {self.duration_ratio:.1%} of time"
        where = ", ".join(name or "the model itself" for name in self.modules[:3])
        return f"{self.operator} in {where}: {self.calls} calls ({shares}); {self.why}"


class Counted(msgspec.Struct, frozen=True):
    """Operations and bytes of one step of a model.

    Attributes
    ----------
    rows
        By module, phase, operator. The empty module name is the model itself; names in brackets
        stand for what is outside of it, such as ``(loss)`` and ``(optimiser)``.
    not_counted
        What escaped, largest share first; empty if everything was counted.
    params, trainable_params
        Of the model; tied weights count once.
    device
        Where it was run: ``meta`` where nothing was computed.
    train
        Whether a backward pass was asked for.
    precision
        Of most parameters: ``fp32``, ``bf16``, ….
    recurrent
        Whether the model has recurrent layers.
    work
        Samples, and tokens where the inputs are sequences of indices, in this step.
    notes
        What was assumed, in words.
    """

    rows: tuple[Row, ...]
    not_counted: tuple[Escaped, ...]
    params: int
    trainable_params: int
    device: str
    train: bool
    precision: str = "fp32"
    recurrent: bool = False
    work: dict[str, float] = {}
    notes: tuple[str, ...] = ()

    def total(self, phase: Phase | None = None) -> Cost:
        """Sum of all rows, or of those of one *phase*."""
        return summed(r.cost for r in self.rows if phase is None or r.phase == phase)

    def by(self, what: Literal["module", "phase", "operator", "kind"]) -> dict[str, Cost]:
        """Sums by a column of the rows, most operations and bytes first; they add up to the total.

        Modules come with their own work only; `tree` adds that of their children.
        """
        return ordered(self.rows, lambda row: (getattr(row, what),))

    def tree(self, depth: int | None = None) -> dict[str, Cost]:
        """Sums by module with all that is inside it, down to *depth* dots."""
        found = ordered(self.rows, lambda row: ancestors(row.module))
        return {
            name: cost
            for name, cost in found.items()
            if depth is None or not name or name.count(".") < depth
        }

    @property
    def complete(self) -> bool:
        """Whether nothing escaped."""
        return not self.not_counted


def summed(costs: Iterable[Cost]) -> Cost:
    """Sum of *costs*."""
    columns = [0.0] * len(Cost.__struct_fields__)
    for cost in costs:
        for index, name in enumerate(Cost.__struct_fields__):
            columns[index] += getattr(cost, name)
    return Cost(*columns)


def ancestors(module: str) -> tuple[str, ...]:
    """Give *module* and all that hold it, the model itself last."""
    if module.startswith("("):
        return (module,)
    parts = module.split(".") if module else []
    return (*(".".join(parts[:n]) for n in range(len(parts), 0, -1)), "")


def ordered(rows: Iterable[Row], keys: Callable[[Row], tuple[str, ...]]) -> dict[str, Cost]:
    """Sums by key, most operations first; a row may count for several keys."""
    groups: dict[str, list[Cost]] = {}
    for row in rows:
        for key in keys(row):
            groups.setdefault(key, []).append(row.cost)
    sums = {key: summed(costs) for key, costs in groups.items()}
    return dict(
        sorted(sums.items(), key=lambda pair: (-pair[1].executed_flop, -pair[1].bytes_moved))
    )


def escaped(
    rows: Iterable[Row], partly: Iterable[Row], why: dict[str, str]
) -> tuple[Escaped, ...]:
    """Rows of unknown operators, gathered by operator, with their shares; then the partly seen."""
    rows = [row for row in rows if row.kind != "view"]
    calls = sum(row.calls for row in rows)
    moved = sum(row.cost.bytes_moved for row in rows)
    timed = all(row.duration_s is not None for row in rows) and bool(rows)
    took_s = sum(row.duration_s or 0.0 for row in rows)
    found = []
    for seen_partly, group in ((False, [r for r in rows if r.kind == "unknown"]), (True, partly)):
        names = dict.fromkeys(row.operator for row in group)
        for name in names:
            mine = [row for row in group if row.operator == name]
            its_bytes = sum(row.cost.bytes_moved for row in mine)
            its_calls = sum(row.calls for row in mine)
            its_s = sum(row.duration_s or 0.0 for row in mine)
            weight = 0.0 if seen_partly else 1.0
            found.append(
                Escaped(
                    operator=name,
                    modules=tuple(dict.fromkeys(row.module for row in mine)),
                    calls=its_calls,
                    bytes_moved=its_bytes,
                    calls_ratio=weight * its_calls / max(calls, 1),
                    bytes_ratio=weight * its_bytes / moved if moved else 0.0,
                    duration_ratio=(weight * its_s / took_s if timed and took_s else None),
                    why=why.get(name, UNSEEN if seen_partly else UNKNOWN),
                    partly=seen_partly,
                )
            )
    return tuple(sorted(found, key=lambda e: (e.partly, -(e.duration_ratio or 0), -e.bytes_ratio)))
