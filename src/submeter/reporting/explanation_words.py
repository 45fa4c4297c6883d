# SPDX-License-Identifier: Apache-2.0
"""The words of the JSON of an explanation, schema 1; documented in ``docs/json.md``."""

from typing import Final

from submeter.records.amounts import Amount
from submeter.records.explanations import (
    Action,
    Branch,
    Explanation,
    Stall,
    Use,
    Waste,
    Withheld,
)
from submeter.records.figures import Figure, Missing
from submeter.reporting.footprint_words import missing
from submeter.reporting.words import energy_figure, number

EXPLANATION_SCHEMA: Final = 1


def explanation_document(found: Explanation, *, depth: int | None = None) -> dict[str, object]:
    """*found* in the words of the JSON, its tree to *depth* levels below the wall.

    Each ``children`` sums to its parent's ``energy.value`` exactly, in the arithmetic of
    ``math.fsum``.
    """
    whole = found.tree.energy.value if isinstance(found.tree.energy, Amount) else 0.0
    return {
        "schema": EXPLANATION_SCHEMA,
        "name": found.name,
        "run": found.run_id or None,
        "tree": branch_words(found.tree, whole, depth),
        "waste": [_waste(w) for w in found.waste],
        "advice": [_action(a) for a in found.advice],
        "withheld": [_withheld(w) for w in found.withheld],
        "use": _use(found.use),
        "stalls": [_stall(s) for s in found.stalls],
        "notes": list(found.notes),
    }


def branches(tree: Branch) -> int:
    """How many branches *tree* has, itself included."""
    return 1 + sum(branches(child) for child in tree.children)


def branch_words(branch: Branch, whole_j: float, depth: int | None = None) -> dict[str, object]:
    """*branch* and what is below it; ``share_ratio`` is of *whole_j*."""
    share: object = missing("its energy is not known")
    if isinstance(branch.energy, Amount) and whole_j > 0:
        share = branch.energy.value / whole_j
    children = branch.children if depth is None or depth > 0 else ()
    deeper = None if depth is None else depth - 1
    return {
        "name": branch.name,
        "kind": branch.kind,
        "energy": energy_figure(branch.energy),
        "share_ratio": share,
        "detail": {k: number(v) if isinstance(v, float) else v for k, v in branch.detail.items()},
        "note": branch.note,
        "children": [branch_words(c, whole_j, deeper) for c in children],
    }


def _figure(figure: Figure | Missing) -> dict[str, object]:
    return missing(figure.why) if isinstance(figure, Missing) else figure.to_dict()


def _number(value: float | Missing) -> float | dict[str, object]:
    return missing(value.why) if isinstance(value, Missing) else number(value)


def _waste(waste: Waste) -> dict[str, object]:
    return {
        "key": waste.key,
        "name": waste.name,
        "energy": energy_figure(waste.energy),
        "share_ratio": _number(waste.share_ratio),
        "why": waste.why,
        "detail": {k: number(v) for k, v in waste.detail.items()},
        "places": list(waste.places),
        "source": waste.source,
    }


def _action(action: Action) -> dict[str, object]:
    return {
        "key": action.key,
        "text": action.text,
        "saving": _figure(action.saving),
        "saving_ratio": _figure(action.saving_ratio),
        "carbon": _figure(action.carbon),
        "money": _figure(action.money),
        "price": action.price,
        "technique": action.technique,
        "setting": action.setting,
        "prove": action.prove,
        "wastes": list(action.wastes),
        "source": action.source,
    }


def _withheld(row: Withheld) -> dict[str, object]:
    return {"key": row.key, "text": row.text, "why": row.why, "source": row.source}


def _use(use: Use) -> dict[str, object]:
    return {
        "operations_flop": _number(use.operations),
        "operations_how": use.operations_how,
        "achieved_flop_per_s": _number(use.achieved_flop_per_s),
        "peak": _figure(use.peak),
        "utilisation": _figure(use.utilisation),
        "possible": _figure(use.possible),
        "per": {unit: figure.to_dict() for unit, figure in use.per.items()},
        "metric": use.metric,
        "higher_is_better": use.higher_is_better,
        "curve": [
            {
                "elapsed_s": number(p.elapsed_s),
                "energy_j": number(p.energy_j),
                "value": number(p.value),
                "step": p.step,
            }
            for p in use.curve
        ],
        "last_percent": _figure(use.last_percent),
        "last_percent_ratio": _number(use.last_percent_ratio),
        "per_point": {name: figure.to_dict() for name, figure in use.per_point.items()},
        "notes": list(use.notes),
    }


def _stall(stall: Stall) -> dict[str, object]:
    energy: object = missing("not known")
    if stall.energy_j is not None:
        energy = number(stall.energy_j)
    return {
        "start_s": number(stall.start_s),
        "end_s": number(stall.end_s),
        "cause": stall.cause,
        "where": stall.where,
        "energy_j": energy,
    }
