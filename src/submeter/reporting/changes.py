# SPDX-License-Identifier: Apache-2.0
"""How changes of a model and outlooks on other hardware are said, apart from predictions."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from submeter.estimating.changes import Saving
from submeter.estimating.outlook import Outlook
from submeter.records.amounts import Amount
from submeter.records.figures import Missing
from submeter.reporting.numbers import write
from submeter.reporting.text import cut, fill, fitted, plain

UNVERIFIED: Final = "expected, not verified: meter one run before and one after"
_NO_RANGE: Final = 0.005


def changes_words(savings: Sequence[Saving], width: int) -> str:
    """Table of changes: operations, bytes, and the range for the energy, with what it rests on."""
    cells = [["change", "operations", "bytes", "energy (range)"]]
    cells += [
        [plain(s.words, width=24), _percent(s.executed_ratio), _percent(s.bytes_ratio), _range(s)]
        for s in savings
    ]
    lines, _ = fitted(cells, width, right=range(1, 3), spare=(2,))
    lines += fill(f"energy: {UNVERIFIED}".split(" "), width)
    for s in savings:
        said = f"  {s.words}: {'; '.join((s.why, *s.notes[:1]))}"
        lines += [f"  {line}" for line in fill(plain(said).split(" "), width - 2)]
    return "\n".join(cut(line, width) for line in lines)


def changes_document(savings: Sequence[Saving]) -> list[dict[str, Any]]:
    """Words of the JSON."""
    return [
        {
            "change": s.words,
            "name": s.name,
            "useful_flop_ratio": s.useful_ratio,
            "executed_flop_ratio": s.executed_ratio,
            "bytes_ratio": s.bytes_ratio,
            "params_ratio": s.params_ratio,
            "energy_ratio": {"low": s.low_ratio, "high": s.high_ratio},
            "verified": False,
            "why": s.why,
            "notes": list(s.notes),
        }
        for s in savings
    ]


def outlook_words(found: Outlook, here: Amount | Missing, width: int) -> str:
    """What a spiking version would need, and what that might take: never a prediction."""
    sop = f"{found.operations_low:.1e} – {found.operations_high:.1e}".replace("e+", "e")
    joules = f"{write(found.energy_low_j, 'J')} – {write(found.energy_high_j, 'J')}"
    pj = [1e12 * j for j in (found.energy_per_operation_low_j, found.energy_per_operation_high_j)]
    said = [
        "technology outlook, no prediction: no neuromorphic chip trains such a model today",
        f"{sop} synaptic operations for {found.products:.1e} products".replace("e+", "e"),
        f"{joules} on the chips alone, at {pj[0]:.2g} – {pj[1]:.4g} pJ each",
    ]
    if isinstance(here, Amount):
        said.append(f"the devices of this prediction: {write(here.figure('J'))}")
    lines = ["outlook: neuromorphic"]
    for words in (*said, *found.notes):
        body = fill(words.split(" "), width - 4)
        lines += [f"  {'· ' if i == 0 else '  '}{line}" for i, line in enumerate(body)]
    return "\n".join(cut(line, width) for line in lines)


def outlook_document(found: Outlook) -> dict[str, Any]:
    """Words of the JSON."""
    return {"is": "technology outlook, no prediction", **msgspec.to_builtins(found)}


def _percent(ratio: float) -> str:
    if abs(ratio - 1) < _NO_RANGE:
        return "the same"
    return f"{'−' if ratio < 1 else '+'}{abs(100 * (ratio - 1)):.3g} %"


def _range(saving: Saving) -> str:
    low, high = saving.low_ratio, saving.high_ratio
    if abs(high - low) < _NO_RANGE:
        return _percent(low)
    ends = [_signed(100 * (ratio - 1)) for ratio in (low, high)]
    return f"{ends[0]} … {ends[1]} %"


def _signed(percent: float) -> str:
    value = float(f"{percent:.2g}")
    return "0" if abs(percent) < 100 * _NO_RANGE else f"{'−' if value < 0 else '+'}{abs(value):g}"
