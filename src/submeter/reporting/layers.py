# SPDX-License-Identifier: Apache-2.0
"""Layers in words: which took how much of a step, and what it rests on."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

from submeter.explaining.layers import ASSUMED, LayerShare, LayerShares, is_surer
from submeter.records.layers import BUDGET_RATIO, LayerCalibration
from submeter.reporting.numbers import write, write_count, write_duration, write_ratio
from submeter.reporting.text import cut, fill, fitted, plain

__all__ = ["calibration_words", "layer_rows", "layer_words", "shares_document"]

MOST_ROWS: Final = 24
_WIDEST: Final = 40


class _Line:
    """One module of the table, its parts together."""

    def __init__(self, first: LayerShare) -> None:
        self.module = first.module
        self.kind = first.kind
        self.ratio = self.busy_s = self.flop = 0.0
        self.parts: dict[str, float] = {}
        self.operators: dict[str, float] = {}

    def add(self, share: LayerShare) -> None:
        """Add a part of it."""
        self.ratio += share.ratio
        self.busy_s += share.busy_s
        self.flop += share.flop
        self.parts[share.part] = self.parts.get(share.part, 0.0) + share.ratio
        self.operators[share.operators] = self.operators.get(share.operators, 0.0) + share.ratio

    @property
    def bound(self) -> str:
        """Its largest class of operators."""
        return max(self.operators, key=lambda name: self.operators[name])


def layer_words(found: LayerShares, width: int = 80, *, most: int = MOST_ROWS) -> str:
    """Table of layers, the largest first, and the classes of operators under it."""
    if not found.shares:
        return "no layers: " + (plain(found.notes[0]) if found.notes else "no step was sampled")
    lines = layer_lines(found.shares)
    rows = [("layer", "kind", "share", "forward", "backward", "bound by", "a step")]
    rows += [
        (
            plain(line.module, width=_WIDEST) or plain(found.model) or "(model)",
            plain(line.kind, width=24),
            write_ratio(line.ratio),
            _part(line, "forward"),
            _part(line, "backward", "recomputation"),
            line.bound,
            write_duration(line.busy_s),
        )
        for line in lines[:most]
    ]
    table, _ = fitted(rows, width, right=(2, 3, 4, 6), spare=(6, 1, 4))
    said = [*table]
    if len(lines) > most:
        rest = sum(line.ratio for line in lines[most:])
        said.append(f"{len(lines) - most} more: {write_ratio(rest)}")
    classes = ", ".join(f"{name} {write_ratio(r)}" for name, r in found.classes().items())
    said += ["", f"by class: {classes}", *how_words(found)]
    return "\n".join(cut(line, width) for line in said)


def _part(line: _Line, *parts: str) -> str:
    ratio = sum(line.parts.get(part, 0.0) for part in parts)
    return write_ratio(ratio) if ratio > 0 else ""


def layer_lines(shares: Iterable[LayerShare]) -> list[_Line]:
    """One line for each module, the largest first."""
    found: dict[str, _Line] = {}
    for share in shares:
        found.setdefault(share.module, _Line(share)).add(share)
    return sorted(found.values(), key=lambda line: -line.ratio)


def layer_rows(shares: Iterable[LayerShare]) -> list[tuple[str, str, float]]:
    """Module, its class, and its share, the largest first."""
    return [(line.module, line.kind, line.ratio) for line in layer_lines(shares)]


def how_words(found: LayerShares) -> list[str]:
    """What the shares rest on."""
    many = "" if found.processes == 1 else f" of {found.processes} processes"
    seen = f"{write_count(found.sampled)} of {write_count(found.seen)} steps{many} were looked at"
    words = [f"{seen}; that cost {write_ratio(found.overhead_ratio)} of their time"]
    if found.overhead_ratio > BUDGET_RATIO:
        enough = math.ceil(found.seen * found.overhead_ratio / BUDGET_RATIO)
        words.append(
            f"so few steps cannot carry a look: over {write_count(enough)} of them it would be "
            f"{write_ratio(BUDGET_RATIO)}"
        )
    powers = found.powers.values()
    if powers and all(p.source == ASSUMED for p in powers):
        words.append("power by class is assumed: submeter explain --calibrate-layers measures it")
    words += [plain(note) for note in found.notes]
    return words


def shares_document(found: LayerShares) -> dict[str, Any]:
    """Words of the JSON (schema 1) for layers."""
    return {
        "model": found.model,
        "phase": found.phase,
        "clock": found.clock,
        "device": found.device,
        "processes": found.processes,
        "steps": found.seen,
        "sampled": found.sampled,
        "overhead_ratio": found.overhead_ratio,
        "classes": dict(found.classes()),
        "powers": [
            {"operators": p.operators, "power_w": p.power_w, "sd_ratio": p.sd_ratio,
             "layers": p.layers, "source": p.source}
            for p in found.powers.values()
        ],
        "rows": [_row(s) for s in found.shares],
        "evaluations": [_row(s) for s in found.evaluations],
        "notes": list(found.notes),
    }  # fmt: skip


def _row(share: LayerShare) -> dict[str, Any]:
    return {
        "module": share.module,
        "kind": share.kind,
        "part": share.part,
        "operators": share.operators,
        "share_ratio": share.ratio,
        "sd_ratio": share.sd_ratio,
        "busy_s": share.busy_s,
        "calls": share.calls,
        "flop": share.flop,
        "bytes_moved": share.bytes_moved,
    }


def calibration_words(made: LayerCalibration, width: int = 80) -> str:
    """What repeating layers told: power by class, then each layer."""
    head = f"layers repeated on {plain(made.machine)}, {plain(made.device)}: {plain(made.how)}"
    rows: list[Sequence[str]] = [("class", "power", "doubt", "layers")]
    rows += [
        (p.operators, write(p.power_w, "W"), f"±{write_ratio(1.96 * p.sd_ratio)}", str(p.layers))
        for p in made.powers
    ]
    table, _ = fitted(rows, width, right=(1, 2, 3), spare=())
    unsure = ", ".join(p.operators for p in made.powers if not is_surer(p, made.clock))
    said = f"not used, as it scatters more than what is assumed: {unsure}; repeat it when idle"
    lines = [cut(head, width), *table]
    return "\n".join([*lines, *(fill(said.split(" "), width) if unsure else [])])
