# SPDX-License-Identifier: Apache-2.0
"""Prove a saving: run both ways in pairs, or compare runs that are stored.

Within a pair a coin decides who goes first, so that a machine that warms up or a neighbour that
comes and goes favours neither. In the mode ``always`` one looks after every pair and stops when it
is decided; in the mode ``fixed`` one runs all and looks once, which is narrower.
"""

import math
import random
import statistics
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from submeter.errors import SubmeterError, UsageError
from submeter.records.figures import Figure, Missing
from submeter.records.proofs import Proof, Quality
from submeter.records.runs import Run
from submeter.reducing import adjusting, evidence, quality, verdicts
from submeter.reducing.quality import Condition
from submeter.reducing.verdicts import Measured

Which = Literal["a", "b"]
FEWEST_LOOKS = 3  # pairs before the first decision: two agree by chance too easily


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be run, and when that is enough."""

    id: str
    made_utc: str
    commands: dict[str, tuple[str, ...]]  # of "a" and "b"
    labels: dict[str, str]
    pairs: int
    mode: evidence.Mode = "always"
    conditions: tuple[Condition, ...] = ()
    warm_up: int = 1
    seed: int = 0


class FailedTrialError(SubmeterError):
    """A command of an experiment failed, so that there is nothing to compare."""


def order(experiment: Experiment) -> list[tuple[Which, Which]]:
    """Who goes first in each pair; told by the seed, so that it can be repeated."""
    chance = random.Random(experiment.seed)  # noqa: S311  # to be repeated, not to be secret
    return [("a", "b") if chance.random() < 1 / 2 else ("b", "a") for _ in range(experiment.pairs)]


def carry_out(
    experiment: Experiment,
    run_one: Callable[[Which, int], Measured],
    looked: Callable[[Proof], None] = lambda _proof: None,
) -> Proof:
    """Run the pairs of *experiment* with *run_one*, until it is decided or all have run.

    Parameters
    ----------
    run_one
        Runs one side; its second argument is the number of the pair, 0 for warming up.
    looked
        Told what is known after each pair.

    Returns
    -------
    Proof
        An interrupt ends it with the pairs that are complete, if there are any.
    """
    runs: dict[str, list[Measured]] = {"a": [], "b": []}
    found: Proof | None = None
    try:
        for i in range(experiment.warm_up):
            run_one("a" if i % 2 == 0 else "b", 0)
        for number, pair in enumerate(order(experiment), 1):
            both = {which: run_one(which, number) for which in pair}
            for which, measured in both.items():
                runs[which].append(measured)
            found = look(experiment, runs["a"], runs["b"])
            looked(found)
            if decided(experiment, found):
                break
    except KeyboardInterrupt:
        if found is None or found.pairs < evidence.FEWEST_PAIRS:
            raise
        note = f"interrupted: {found.pairs} of {experiment.pairs} pairs were run"
        found = msgspec.structs.replace(found, notes=(*found.notes, note))
    if found is None:
        raise UsageError("no pair was run", remedy="submeter prove --repeat 6 -- A --- B")
    return found


def look(experiment: Experiment, a: Sequence[Measured], b: Sequence[Measured]) -> Proof:
    """What the pairs so far say."""
    of_a, of_b, per = verdicts.amounts(a, b)
    found = evidence.of_pairs(evidence.log_ratios(of_a, of_b), experiment.mode)
    judged = judged_quality(experiment.conditions, a, b, experiment.mode)
    side_a, side_b = (
        verdicts.side(experiment.labels[w], runs, experiment.commands[w])
        for w, runs in (("a", a), ("b", b))
    )
    proof = verdicts.proof(
        experiment.id,
        experiment.made_utc,
        side_a,
        side_b,
        found,
        (a, b),
        judged,
        verdicts.time_ratio(a, b, experiment.mode),
        mode=experiment.mode,
    )
    words = {
        **proof.baseline,
        "order": f"a coin in each pair, seed {experiment.seed}",
        "warming up": f"{experiment.warm_up} runs, not compared",
    }
    return msgspec.structs.replace(proof, per=per, baseline=words)


def decided(experiment: Experiment, found: Proof) -> bool:
    """Whether no further pair is needed; with one look only after the last."""
    if experiment.mode == "fixed" or found.pairs < FEWEST_LOOKS:
        return False
    if isinstance(found.saving_ratio, Missing):
        return False
    open_quality = any(q.verdict == "not shown" for q in found.quality)
    return found.saving_ratio.high < 0 or (found.saving_ratio.low > 0 and not open_quality)


def judged_quality(
    conditions: Sequence[Condition],
    a: Sequence[Measured],
    b: Sequence[Measured],
    mode: evidence.Mode,
) -> list[Quality]:
    """Each condition's verdict; metrics that nobody asked about stand beside, unjudged."""
    judged = [
        quality.judge(
            c, [m.metrics.get(c.metric) for m in a], [m.metrics.get(c.metric) for m in b], mode
        )
        for c in conditions
    ]
    asked = {c.metric for c in conditions}
    shared = set.intersection(*({*m.metrics} for m in (*a, *b))) if a and b else set()
    for metric in sorted(shared - asked):
        of_a = statistics.fmean(m.metrics[metric] for m in a)
        of_b = statistics.fmean(m.metrics[metric] for m in b)
        judged.append(Quality(metric, of_a, of_b, Missing("not asked"), "not asked"))
    return judged


def of_stored(
    proof_id: str,
    made_utc: str,
    a: Sequence[Measured],
    b: Sequence[Measured],
    conditions: Sequence[Condition] = (),
) -> Proof:
    """Compare stored runs: by the work done, adjusted for temperature and the load of others."""
    if min(len(a), len(b)) < 1:
        raise UsageError("each side needs a run", remedy="submeter prove A1 A2 vs B1 B2")
    of_a, of_b, per = verdicts.amounts(a, b)
    adjusted = adjusting.compare(of_a, of_b, surroundings(a, b))
    found = adjusted.evidence
    side_a = verdicts.side(a[0].run.name or "a", a)
    side_b = verdicts.side(b[0].run.name or "b", b)
    judged = judged_quality(conditions, a, b, "fixed")
    proof = verdicts.proof(
        proof_id,
        made_utc,
        side_a,
        side_b,
        found,
        (a, b),
        judged,
        _unpaired_time(a, b),
        mode="fixed",
    )
    fit = {"cv_rmse_ratio": adjusted.cv_rmse_ratio, "nmbe_ratio": adjusted.nmbe_ratio}
    fit |= {f"slope of {name}": value for name, value in adjusted.terms.items()}
    notes = [
        *proof.notes,
        "the runs were not interleaved: a machine that drifted is in the figure",
    ]
    notes += [f"not adjusted for {name}: {why}" for name, why in adjusted.left_out.items()]
    if per == "run" and verdicts.common_work(a, b) is None:
        notes.append("no work was logged on both sides: taken as equal")
    return msgspec.structs.replace(
        proof,
        mode="stored",
        per=per,
        minimum_detectable_ratio=None,
        pairs_for_it=None,
        fit={k: v for k, v in fit.items() if math.isfinite(v)},
        notes=tuple(notes),
    )


def _unpaired_time(a: Sequence[Measured], b: Sequence[Measured]) -> Figure | Missing:
    of_a, of_b = ([m.run.duration_s for m in runs] for runs in (a, b))
    if not all(t > 0 for t in (*of_a, *of_b)):
        return Missing("a run without a duration")
    found = adjusting.compare(of_a, of_b, {}).evidence
    if not math.isfinite(found.high):
        return Missing("too few runs for an interval")
    return Figure(
        found.ratio, math.exp(found.low), math.exp(found.high), "1", level=found.level,
        kind="calibrated", source=f"{len(a)} and {len(b)} runs",
    )  # fmt: skip


def surroundings(
    a: Sequence[Measured], b: Sequence[Measured]
) -> dict[str, tuple[list[float], list[float]]]:
    """What differed besides, by name, of both sides; not a number where a run does not tell."""
    return {
        "temperature_c": (
            [_mean_temperature_c(m.run) for m in a],
            [_mean_temperature_c(m.run) for m in b],
        ),
        "load of others": ([_others(m.run) for m in a], [_others(m.run) for m in b]),
    }


def _mean_temperature_c(run: Run) -> float:
    values = [d.means["temperature_c"] for d in run.devices if "temperature_c" in d.means]
    return statistics.fmean(values) if values else math.nan


def _others(run: Run) -> float:
    """Energy of other tenants over that of the run."""
    if isinstance(run.unattributed, Missing):
        return math.nan
    own = math.fsum(d.share.value for d in run.devices if not isinstance(d.share, Missing))
    return run.unattributed.value / own if own > 0 else math.nan
