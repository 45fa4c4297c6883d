# SPDX-License-Identifier: Apache-2.0
"""Changes of a model as words, what they do to its operations, and a range for the real saving.

``prune=0.5:channels``, ``prune=0.9``, ``prune=2:4``, ``precision=fp8``, ``distil=70B``,
``scale=2``. Fewer operations are not fewer joules: the range ends where the machine must at least
follow, and where others measured, not at the operations alone.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from submeter.catalog.facts import attributes
from submeter.errors import UsageError
from submeter.estimating.machines import Machine
from submeter.workloads.changing import (
    compound_scaled,
    distilled,
    pruned,
    quantised,
)
from submeter.workloads.counts import parse_count
from submeter.workloads.layers import precision_of
from submeter.workloads.workloads import Workload

WORDS: Final = "prune=0.5:channels, prune=0.9, prune=2:4, precision=fp8, distil=70B, scale=2"
# Whole trainings with 2:4 sparse products took 1/1.3 to 1/1.06 of the time; nobody metered energy.
SPARSE_TIMES: Final = (1 / 1.3, 1 / 1.06)
# LLM.int8 in inference took 17 to 33 % more energy on an RTX 4090D.
INT8_MOST: Final = 1.33


class Saving(msgspec.Struct, frozen=True):
    """A changed training beside the one it was made of.

    Attributes
    ----------
    words, name
        As it was asked, and what it makes.
    useful_ratio, executed_ratio, bytes_ratio, params_ratio
        Operations, bytes and parameters over those before.
    low_ratio, high_ratio
        Energy over that before: what may be expected, verified by nothing here.
    why
        What the range rests on.
    notes
        What the change does, and what it needs.
    """

    words: str
    name: str
    useful_ratio: float
    executed_ratio: float
    bytes_ratio: float
    params_ratio: float
    low_ratio: float
    high_ratio: float
    why: str
    notes: tuple[str, ...] = ()


class _Change(msgspec.Struct, frozen=True):
    made: Workload
    low_ratio: float
    high_ratio: float
    why: str


def saving_of(
    words: str, workload: Workload, machine: Machine, teacher: Callable[[str], Workload]
) -> Saving:
    """What the change in *words* does to *workload* on *machine*.

    Parameters
    ----------
    teacher
        Gives the workload of a teacher by its name or size, on the same data.

    Raises
    ------
    UsageError
        If it is no change, or none of this model.
    """
    kind, equals, value = words.partition("=")
    make = _MAKERS.get(kind.strip().lower())
    if make is None or not equals or not value.strip():
        raise UsageError(f"“{words[:40]}” is no change of a model", remedy=f"one of {WORDS}")
    found = make(value.strip(), workload, machine, teacher)
    one, other = workload.operations, found.made.operations
    return Saving(
        words=words,
        name=found.made.name,
        useful_ratio=other.useful_flop / one.useful_flop,
        executed_ratio=other.executed_flop / one.executed_flop,
        bytes_ratio=other.bytes_moved / one.bytes_moved if one.bytes_moved else 1.0,
        params_ratio=found.made.params / workload.params,
        low_ratio=found.low_ratio,
        high_ratio=found.high_ratio,
        why=found.why,
        notes=found.made.notes[len(workload.notes) :],
    )


def _pruned(value: str, before: Workload, machine: Machine, _: object) -> _Change:
    if value == "2:4":
        made = pruned(before, 0.5, "2:4")
        if not _sparse(machine):
            return _Change(made, 1.0, 1.0, f"{machine.accelerator.name} has no units for 2:4")
        return _Change(
            made, SPARSE_TIMES[0], 1.0,
            "whole trainings became 1.06 to 1.3 times as fast; nobody metered their energy",
        )  # fmt: skip
    share, _, how = value.partition(":")
    ratio = _share(share)
    if how in ("", "mask"):
        made = pruned(before, ratio, "mask")
        return _Change(made, 1.0, 1.0, "dense kernels multiply zeros as they do all else")
    if how != "channels":
        raise UsageError(f"“{how[:40]}” is no way of pruning", remedy=f"one of {WORDS}")
    made = pruned(before, ratio, "channels")
    return _Change(
        made, _ops(before, made), 1.0,
        "energy fell by less than operations in 180 pruned models (PruneEnergyAnalyzer 2025), and "
        "narrow layers may save nothing",
    )  # fmt: skip


def _quantised(value: str, before: Workload, machine: Machine, _: object) -> _Change:
    made = quantised(before, value)
    old, new = precision_of(before.precision), precision_of(value)
    rates = {p: machine.peak_flop_per_s(p).value for p in (old, new)}
    best = min(1.0, rates[old] / rates[new])
    name = machine.accelerator.name
    if machine.runs_in(new) != new:
        why = f"{name} lists no units for {new}: only bytes are saved"
        return _Change(made, min(1.0, _bytes(before, made)), 1.0, why)
    if new.startswith("int"):
        return _Change(
            made, best, INT8_MOST,
            f"from the peaks of {name} to 33 % more energy (LLM.int8, inference, RTX 4090D)",
        )  # fmt: skip
    why = f"from the peaks of {name} at equal power to nothing, where it waits for memory"
    return _Change(made, min(best, 1.0), max(1.0, rates[old] / rates[new]), why)


def _distilled(
    value: str, before: Workload, _: Machine, teacher: Callable[[str], Workload]
) -> _Change:
    made = distilled(before, teacher(value))
    return _Change(
        made, 1.0, _ops(before, made),
        "from answers that were kept to a forward pass of the teacher on all data; what is saved "
        "is saved later, in use",
    )  # fmt: skip


def _scaled(value: str, before: Workload, _: Machine, __: object) -> _Change:
    try:
        phi = float(value.replace("−", "-"))
    except ValueError:
        raise UsageError(f"“{value[:40]}” is no number of steps", remedy="scale=2") from None
    made = compound_scaled(before, phi)
    ends = (_ops(before, made), _bytes(before, made))
    return _Change(
        made, min(ends), max(ends), "from bytes to operations: which of them it waits for differs"
    )


_MAKERS: Final[Mapping[str, Callable[..., _Change]]] = {
    "prune": _pruned,
    "precision": _quantised,
    "quantise": _quantised,
    "quantize": _quantised,
    "distil": _distilled,
    "distill": _distilled,
    "scale": _scaled,
}


def _share(word: str) -> float:
    try:
        percent = word.rstrip().endswith("%")
        return float(word.strip().rstrip("%")) / (100.0 if percent else 1.0)
    except ValueError:
        raise UsageError(f"“{word[:40]}” is no share", remedy="prune=0.5:channels") from None


def _sparse(machine: Machine) -> bool:
    """Whether the catalog says that it has units for 2:4 sparse products."""
    rows = (attributes("accelerators", key) for key in machine.accelerator.members)
    return any(row is not None and row["sparsity_2_4"] == "yes" for row in rows)


def _ops(before: Workload, made: Workload) -> float:
    return made.operations.useful_flop / before.operations.useful_flop


def _bytes(before: Workload, made: Workload) -> float:
    moved = before.operations.bytes_moved
    return made.operations.bytes_moved / moved if moved else 1.0


def teacher_words(value: str, model: Mapping[str, Any]) -> dict[str, Any]:
    """Description of a teacher of so many parameters, or by its name, on the data of *model*."""
    data = {n: v for n, v in model.items() if n in ("tokens", "images", "context", "epochs")}
    if value[:1].isdigit():
        parse_count(value, what="parameters")
        return {**data, "params": value}
    return {**data, ("cnn" if "images" in data else "model"): value}
