# SPDX-License-Identifier: Apache-2.0
"""A project's whole life-cycle: what it took until there was a model, and the model's own part."""

import re
from collections.abc import Sequence
from typing import Final

from submeter.explaining.dividing import Draft, divided
from submeter.records.amounts import Amount, sum_amounts
from submeter.records.explanations import Branch, Explanation
from submeter.records.figures import Missing
from submeter.records.footprints import Footprint
from submeter.records.runs import Run

STAGES: Final = (
    "data preparation",
    "model selection",
    "tuning trials",
    "training",
    "evaluation",
    "failed",
)
STAGE_TAG: Final = "stage"  # --tag stage=tuning says it for good
FINAL_TAG: Final = "final"  # --tag final=yes: the run that made the model in use
_ENDED_BADLY: Final = frozenset({"failed", "killed"})
_SEARCH_TAGS: Final = frozenset({"search", "trial", "study", "sweep"})
_WORDS: Final = (
    ("data preparation", r"prepar|preproc|clean|tokeni[sz]|download|dataset|etl|features?\b"),
    ("tuning trials", r"tun(e|ing)|trial|sweep|search|hpo|grid"),
    ("model selection", r"select|compar|baseline|ablat|candidate|prototyp|screen"),
    ("evaluation", r"eval|valid|benchmark|\btest"),
    ("training", r"train|fit|final|pretrain|finetun"),
)


def stage_of(run: Run) -> str:
    """Stage of the life-cycle that *run* belongs to.

    Notes
    -----
    A run that ended badly is *failed* whatever it was for. Else the tag ``stage`` decides, then
    the tags that ``submeter tune`` and ``prove`` give, then words of name and command; what
    nothing tells is training.
    """
    if run.status in _ENDED_BADLY:
        return "failed"
    said = run.tags.get(STAGE_TAG, "").strip()
    if said:
        return _by_words(said) or said
    if _SEARCH_TAGS & run.tags.keys():
        return "tuning trials"
    if "proof" in run.tags:
        return "model selection"
    return _by_words(run.name) or _by_words(" ".join(run.command[:4])) or "training"


def _by_words(words: str) -> str:
    low = words.lower()
    if low in STAGES:
        return low
    return next((stage for stage, pattern in _WORDS if re.search(pattern, low)), "")


def final_of(runs: Sequence[Run]) -> Run | None:
    """The run that made the model in use: by its tag, else the latest finished training."""
    tagged = [r for r in runs if FINAL_TAG in r.tags and r.status not in _ENDED_BADLY]
    trained = [r for r in runs if r.status == "finished" and stage_of(r) == "training"]
    return max(tagged or trained, default=None, key=lambda r: r.started_utc)


def life_cycle(project: str, rows: Sequence[tuple[Run, Footprint]]) -> Explanation:
    """Energy of all runs of *project* at the wall, by stage and run.

    Parameters
    ----------
    project
        Its name.
    rows
        Each run with what it amounts to, in any order.

    Returns
    -------
    Explanation
        The tree's ``detail`` holds ``runs``, and of the final model ``final`` (its run's id) and
        ``final_share_ratio``.
    """
    ordered = sorted(rows, key=lambda row: row[0].started_utc)
    known = [f.facility for _, f in ordered if isinstance(f.facility, Amount)]
    name = f"project {project}"
    detail: dict[str, str | float] = {"project": project, "runs": float(len(ordered))}
    if not known:
        why = Missing("no energy is known of any of its runs")
        return Explanation(name=name, tree=Branch(name, "wall", why, detail=detail))
    whole = sum_amounts(known)
    stages: dict[str, list[tuple[Run, Footprint]]] = {}
    for run, footprint in ordered:
        stages.setdefault(stage_of(run), []).append((run, footprint))
    order = {stage: i for i, stage in enumerate(STAGES)}
    names = sorted(stages, key=lambda s: order.get(s, len(order) - 2.5))
    children = divided(whole, [_stage(stage, stages[stage]) for stage in names])
    notes = _final(ordered, whole, detail)
    tree = Branch(name, "wall", whole, children, detail)
    return Explanation(name=name, tree=tree, notes=notes)


def _stage(stage: str, rows: Sequence[tuple[Run, Footprint]]) -> Draft:
    known = [f.facility for _, f in rows if isinstance(f.facility, Amount)]
    energy = sum_amounts(known) if known else Missing("no energy is known of these runs")
    drafts = [
        Draft(
            run.name or run.id, "run", footprint.facility, None,
            {"run": run.id, "status": run.status, "duration_s": run.duration_s},
        )
        for run, footprint in rows
    ]  # fmt: skip
    return Draft(
        stage, "stage", energy, lambda whole: divided(whole, drafts), {"runs": float(len(rows))}
    )


def _final(
    rows: Sequence[tuple[Run, Footprint]], whole: Amount, detail: dict[str, str | float]
) -> tuple[str, ...]:
    final = final_of([run for run, _ in rows])
    energy = next(
        (f.facility for run, f in rows if final is not None and run.id == final.id), None
    )
    if final is None or not isinstance(energy, Amount) or whole.value <= 0:
        return ("which run made the final model is not known: submeter tag RUN final=yes",)
    share = energy.value / whole.value
    detail["final"] = final.id
    detail["final_share_ratio"] = share
    times = whole.value / energy.value if energy.value > 0 else 0.0
    how = "" if FINAL_TAG in final.tags else ", the latest training that finished"
    words = final.name or final.id
    return (f"the final model ({words}{how}) took {100 * share:.0f} %: all {times:.1f} × as much",)
