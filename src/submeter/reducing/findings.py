# SPDX-License-Identifier: Apache-2.0
"""What a search found: settings worth having, the one that is recommended, what it cost.

Each setting ran once, and the best of many has been lucky, too: what is recommended here is to be
shown by ``submeter prove`` before anybody relies on it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from submeter.records.figures import Basis, Figure, Missing
from submeter.records.searches import SearchResult, SearchTrial, Value
from submeter.reducing.quality import Condition
from submeter.reducing.spaces import Dimension, command_of
from submeter.reducing.tuning import Task

SAME_TIME_RATIO: Final = 0.01  # of the default's time: no more than the clock of a machine wanders


def result(
    search_id: str,
    name: str,
    made_utc: str,
    command: Sequence[str],
    task: Task,
    trials: Sequence[SearchTrial],
    *,
    ended: str,
) -> SearchResult:
    """Put together what *trials* say."""
    best = recommended(trials)
    default = next((t for t in trials if t.default and t.state == "finished"), None)
    marked = tuple(
        msgspec.structs.replace(t, pareto=t.number in pareto(trials, task)) for t in trials
    )
    saving_ratio, saving_why = _saving(default, best)
    free, bought = _price(default, best, task.conditions, task.maximise)
    spent = _sum(trials)
    return SearchResult(
        id=search_id, name=name, made_utc=made_utc, command=tuple(command),
        space=tuple(map(str, task.space)),
        minimise="energy" + (f", maximise {task.maximise}" if task.maximise else ""),
        conditions=tuple(map(str, task.conditions)),
        trials=marked,
        best=None if best is None else best.number,
        best_command=() if best is None else command_of(command, best.settings),
        energy=spent,
        stopped_energy_j=math.fsum(t.energy_j for t in trials if t.state != "finished"),
        duration_s=math.fsum(t.duration_s for t in trials),
        saving_ratio=saving_ratio, saving_why=saving_why,
        payback_uses=payback(default, best, spent),
        free=free, bought_with=bought, budget_j=task.budget_j, ended=ended,
        notes=_notes(trials, best, default),
    )  # fmt: skip


def recommended(trials: Sequence[SearchTrial]) -> SearchTrial | None:
    """Least energy among those that kept what was asked for."""
    kept = [t for t in trials if t.kept and isinstance(t.energy, Figure)]
    return min(kept, key=lambda t: t.energy_j, default=None)


def pareto(trials: Sequence[SearchTrial], task: Task) -> frozenset[int]:
    """Numbers of finished trials that no other beats in energy, time and quality at once."""
    metric = task.maximise or (task.conditions[0].metric if task.conditions else "")
    higher = bool(task.maximise) or not task.conditions or task.conditions[0].higher_is_better
    points: dict[int, tuple[float, ...]] = {}
    for t in trials:
        if t.state != "finished" or not isinstance(t.energy, Figure):
            continue
        value = t.metrics.get(metric)
        if metric and (value is None or not math.isfinite(value)):
            continue
        quality = 0.0 if value is None else (-value if higher else value)
        points[t.number] = (t.energy_j, t.duration_s, quality)
    return frozenset(
        n
        for n, p in points.items()
        if not any(_dominates(q, p) for m, q in points.items() if m != n)
    )


def _dominates(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


def payback(
    default: SearchTrial | None, best: SearchTrial | None, spent: Figure | Missing
) -> float | None:
    """Runs of the best setting until the search is paid back; None if it never is."""
    if default is None or best is None or isinstance(spent, Missing):
        return None
    saved_j = default.energy_j - best.energy_j
    return spent.value / saved_j if saved_j > 0 else None


def _saving(default: SearchTrial | None, best: SearchTrial | None) -> tuple[float | None, str]:
    """Saving of one run against one of the default, or why there is none."""
    if default is None or default.energy_j <= 0:
        return None, "the default setting did not finish"
    if best is None or best.energy_j <= 0:
        return None, "no setting kept what was asked for"
    return 1 - best.energy_j / default.energy_j, ""


def _sum(trials: Sequence[SearchTrial]) -> Figure | Missing:
    known = [t.energy for t in trials if isinstance(t.energy, Figure)]
    if not known:
        return Missing("no trial was metered")
    total = math.fsum(f.value for f in known)
    told = str(len(known)) if len(known) == len(trials) else f"{len(known)} of {len(trials)}"
    shares: dict[Basis, float] = {}
    for f in known:
        for basis, share in f.basis_shares.items():
            shares[basis] = shares.get(basis, 0.0) + share * (f.value / total if total else 0.0)
    return Figure(
        total, math.fsum(f.low for f in known), math.fsum(f.high for f in known), "J",
        source=f"{told} trials, at the wall", basis_shares=shares,
    )  # fmt: skip


def _price(
    default: SearchTrial | None,
    best: SearchTrial | None,
    conditions: Sequence[Condition],
    maximise: str,
) -> tuple[bool | None, str]:
    """Whether the saving is free, and if not, what it is bought with."""
    if default is None or best is None or default.duration_s <= 0 or best is default:
        return None, ""
    bought = []
    longer = best.duration_s / default.duration_s - 1
    if longer > SAME_TIME_RATIO:
        bought.append(f"{100 * longer:.0f} % more time")
    watched = {c.metric: c.higher_is_better for c in conditions}
    if maximise:
        watched[maximise] = True
    for metric, higher in watched.items():
        before, after = default.metrics.get(metric), best.metrics.get(metric)
        if (
            before is not None
            and after is not None
            and (after < before) == higher != (after == before)
        ):
            bought.append(f"{metric} {before:.4g} → {after:.4g}")
    return not bought, " and ".join(bought)


def _notes(
    trials: Sequence[SearchTrial], best: SearchTrial | None, default: SearchTrial | None
) -> tuple[str, ...]:
    notes = []
    failed = [t for t in trials if t.state == "failed"]
    if failed:
        notes.append(f"{len(failed)} trials failed, the first: {failed[0].why}")
    unknown = sum(isinstance(t.energy, Missing) for t in trials)
    if 0 < unknown < len(trials):
        notes.append(f"what {unknown} of {len(trials)} trials used is not known, and not counted")
    if best is not None and best is default:
        notes.append("nothing was better than the default setting")
    if best is None and trials:
        notes.append("no setting kept what was asked for")
    return tuple(notes)


def told_apart(settings: Mapping[str, Value], space: Sequence[Dimension]) -> str:
    """``batch=64 amp=bf16``."""
    from submeter.reducing.spaces import written

    return " ".join(f"{d.name}={written(settings[d.name])}" for d in space if d.name in settings)
