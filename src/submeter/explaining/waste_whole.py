# SPDX-License-Identifier: Apache-2.0
"""Whole runs that brought nothing new: run twice, failed, redone, or too large for their task."""

import math
from typing import Final

from submeter.explaining.use import quality_of
from submeter.explaining.waste_book import Claim, Silence
from submeter.explaining.waste_case import Case, node_j, number, percent, rule, words_of
from submeter.records.runs import Run

MEANT: Final = (
    "proof",
    "pair",
    "trial",
    "search",
    "study",
    "repeat",
)  # tags of runs again on purpose
SIZES: Final = (
    "parameters", "n_parameters", "num_parameters", "model_parameters", "params", "n_params",
    "num_params", "model_params",
)  # fmt: skip
DATA: Final = ("data", "dataset", "data_set", "data_dir", "train_data")
SEEDS: Final = ("seed", "random_seed", "random_state", "manual_seed")
_EQUAL: Final = 1e-9
_ENDED_BADLY: Final = frozenset({"failed", "killed"})
_SAME_WORK: Final = 0.01
_REDONE: Final = 0.02  # of the steps: ranks that log out of step go back by less
_MOST_RETURNS: Final = 3  # more are no restarts: such a program counts steps anew each epoch
_FEW: Final = 3


def repeated(case: Case) -> Claim | Silence:
    """Whether an earlier run did the same: code, command, parameters and amount of work."""
    key, run = "repeated", case.run
    if run.status != "finished":
        return Silence(key, "it did not finish")
    commit = run.code.get("commit", "")
    if not commit or run.code.get("dirty") == "yes":
        why = "has changes that no commit holds" if commit else "is not known"
        return Silence(key, f"its code {why}")
    if any(tag in run.tags for tag in MEANT):
        return Silence(key, "it was repeated on purpose: its tags say so")
    twin = next((o for o in case.others if _same(o, run)), None)
    if twin is None:
        return Silence(key, "no earlier run of the project had its code, parameters and data")
    if not _same_chance(run, twin):
        return Silence(key, f"{twin.name or twin.id} may have had another seed: log seed=…")
    return Claim(
        key=key, name="run twice", cells=case.part([1.0] * len(case.slots)),
        why=f"{twin.name or twin.id} had done the same before: commit {commit[:10]}, command, "
        f"{len(run.parameters)} parameters and work are equal",
        detail={"parameters": float(len(run.parameters))}, places=(twin.id,),
    )  # fmt: skip


def _same(other: Run, run: Run) -> bool:
    alike = (
        other.status == "finished"
        and other.started_utc < run.started_utc
        and other.code.get("commit") == run.code.get("commit")
        and other.code.get("dirty") != "yes"
        and other.command == run.command
        and other.parameters == run.parameters
        and {k: v for k, v in other.tags.items() if k in DATA}
        == {k: v for k, v in run.tags.items() if k in DATA}
        and not any(tag in other.tags for tag in MEANT)
    )
    return (
        alike
        and other.work.keys() == run.work.keys()
        and all(math.isclose(other.work[k], run.work[k], rel_tol=_SAME_WORK) for k in run.work)
    )


def _same_chance(run: Run, twin: Run) -> bool:
    """Whether both had one seed: as both say, or as their results are equal to the last digit."""
    if any(name in words_of(run) for name in SEEDS):
        return True
    return (
        bool(run.metrics)
        and run.metrics.keys() == twin.metrics.keys()
        and all(math.isclose(v, twin.metrics[k], rel_tol=_EQUAL) for k, v in run.metrics.items())
    )


def failed(case: Case) -> Claim | Silence:
    """Work that a run lost by ending badly: behind its last checkpoint, or all of it."""
    key, run = "failed", case.run
    if run.status not in _ENDED_BADLY:
        return Silence(key, "it did not fail")
    resumed = any(
        o.parent == run.id or (o.name and o.name == run.name and o.attempt == run.attempt + 1)
        for o in case.others
    )
    saves = [c for c in case.courses("checkpoint") if any(c.wall_s)]
    last_s = 0.0
    if resumed and saves:
        last = max(max(i for i, t in enumerate(c.wall_s) if t > 0) for c in saves)
        last_s = (last + 1) * case.seen.slot_s
    words = f"it ended after {run.duration_s:.0f} s as {run.status}"
    words += f" (exit code {run.exit_code})" if run.exit_code else ""
    words += (
        f"; what came after its last checkpoint at {last_s:.0f} s was lost"
        if last_s
        else (", and nothing was left of it" if not saves else ", and nobody went on from it")
    )
    return Claim(
        key=key, name="failed work", cells=case.part(case.within(last_s, run.duration_s)),
        why=words, detail={"lost_s": run.duration_s - last_s},
    )  # fmt: skip


def redone(case: Case) -> Claim | Silence:
    """Steps that were done a second time, since the run went back to a checkpoint."""
    key = "redone"
    points = [(p.elapsed_s, p.step) for p in case.seen.metrics or case.run.metric_history
              if p.step is not None]  # fmt: skip
    if len(points) < _FEW:
        return Silence(key, "no steps were logged")
    most = max(step for _, step in points)
    spans: list[tuple[float, float]] = []
    reached, begun, before_s = -1, None, 0.0
    for at_s, step in points:
        if begun is None and reached - step > _REDONE * most:
            begun = before_s
        if begun is not None and step >= reached:
            spans.append((begun, at_s))
            begun = None
        reached, before_s = max(reached, step), at_s
    if begun is not None:
        spans.append((begun, case.run.duration_s))
    if not spans:
        return Silence(key, "no step was done twice")
    if len(spans) > _MOST_RETURNS:
        return Silence(key, "its steps are counted anew over and over")
    parts = [math.fsum(ps) for ps in zip(*(case.within(*s) for s in spans), strict=True)]
    lost_s = math.fsum(b - a for a, b in spans)
    return Claim(
        key=key, name="repeated work", cells=case.part(parts),
        why=f"steps went back {len(spans)} times: {lost_s:.0f} s of work were done again",
        detail={"redone_s": lost_s, "returns": float(len(spans))},
    )  # fmt: skip


def oversized(case: Case) -> Claim | Silence:
    """Whether a smaller model of the project reached the same quality with less energy."""
    key, run = "oversized", case.run
    size = number(case.words, SIZES)
    metric, higher = quality_of(run)
    if size is None:
        return Silence(key, "the size of its model is not known: log parameters=…")
    if not metric or run.status != "finished":
        return Silence(key, "no quality of a finished run was logged")
    here_j = node_j(run)
    mine = _reached(run, metric, higher=higher)
    found: list[tuple[float, Run, float, float]] = []
    for other in case.others:
        words = words_of(other)
        theirs, energy_j = number(words, SIZES), node_j(other)
        quality = _reached(other, metric, higher=higher)
        if None in (theirs, quality, mine) or other.status != "finished" or energy_j <= 0:
            continue
        assert theirs is not None and quality is not None and mine is not None  # noqa: S101, PT018
        if any(words.get(k) != case.words.get(k) for k in DATA):
            continue
        margin = rule("same-quality-ratio").value * abs(mine)
        good = quality >= mine - margin if higher else quality <= mine + margin
        smaller = theirs <= rule("smaller-model-ratio").value * size
        if good and smaller and energy_j <= rule("smaller-energy-ratio").value * here_j:
            found.append((energy_j, other, theirs, quality))
    if not found:
        return Silence(key, "no run of a smaller model in the project reached its quality")
    energy_j, other, theirs, quality = min(found, key=lambda row: row[0])
    saved = 1 - energy_j / here_j
    return Claim(
        key=key, name="over-large model", cells=case.part([saved] * len(case.slots)),
        why=f"{other.name or other.id} reached {metric} {quality:.4g} (here {mine:.4g}) with "
        f"{percent(theirs / size)} of the parameters and {percent(1 - saved)} of the energy",
        detail={"parameters": size, "smaller_parameters": theirs, "energy_ratio": 1 - saved},
        places=(other.id,),
    )  # fmt: skip


def _reached(run: Run, metric: str, *, higher: bool) -> float | None:
    """Best value that was logged of *metric*."""
    values = [p.values[metric] for p in run.metric_history if metric in p.values]
    values = values or ([run.metrics[metric]] if metric in run.metrics else [])
    return (max(values) if higher else min(values)) if values else None
