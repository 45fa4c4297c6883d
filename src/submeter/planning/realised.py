# SPDX-License-Identifier: Apache-2.0
"""What a plan brought, now that it is known what the grid did: never what was forecast."""

import math
from collections.abc import Sequence
from typing import Final

from submeter.errors import CoverageError, UsageError
from submeter.grid.loads import load_of
from submeter.grid.weighting import weighted
from submeter.records.factors import NORMAL_95
from submeter.records.figures import Basis, Figure, Missing
from submeter.records.plans import Plan, Slice
from submeter.records.runs import Run
from submeter.records.traces import Load, Trace

_NEVER_BELOW: Final = 1e-12


def realised(
    plan: Plan,
    run: Run,
    series: Trace,
    *,
    at_home: Trace | None = None,
    stretches: Sequence[Slice] = (),
) -> Figure | Missing:
    """Share saved by *run* against the same work started at once, on what the grid really did.

    Parameters
    ----------
    plan
        Its job says when the run could have begun, and what a pause added.
    run
        What was drawn, and when; pauses with what idled in them.
    series
        Metered values of the place and hours of the run, and, without *at_home*, of the hours in
        which it would have run.
    at_home
        Metered values of the place in which it would have begun at once, if that is another.
    stretches
        When it was at work, as it was carried out; the slices of the plan if none are told.

    Returns
    -------
    Figure
        Ratio, above zero where less was emitted; its interval is what the doubt of single values
        leaves, since the level is the same on both sides. Missing where a series is a profile or
        a forecast, or does not reach over both.

    Notes
    -----
    ``1 - sum E(t) c(t) / sum E'(t) c(t)``. ``E`` is the run as it was, idling included; ``E'`` is
    its energy at work without what pauses added, put end to end from the first instant on at
    which the job could begin. With ``s`` the sd of the logarithm of a value, and ``p``, ``q`` the
    shares that slots have in both sums, the sd of the logarithm of their ratio is taken as
    ``s * sqrt(2) * sum |p - q| / 2``: nothing if they share all slots, that of two independent
    values if none.
    """
    home = series if at_home is None else at_home
    for trace in (series, home):
        if trace.shape != "metered":
            return Missing(f"what the grid of {trace.zone} did in those hours is not known here")
    if (series.unit, series.kind) != (home.unit, home.kind):
        raise UsageError(
            f"{series.zone} and {home.zone} are told in different kinds of intensity",
            remedy="give series of one kind",
        )
    try:
        load = load_of(run)
        worked = at_work(load, stretches or plan.slices, plan)
        actual = weighted(load, series).value * math.fsum(load.energies_j)
        instead = weighted(worked, home).value * math.fsum(worked.energies_j)
    except CoverageError as exc:
        return Missing(str(exc))
    if instead <= _NEVER_BELOW:
        return Missing("started at once it would have brought nothing to save")
    ratio = actual / instead
    reach = NORMAL_95 * _log_sd(series) * math.sqrt(2) * _apart(load, worked, series, home)
    return Figure(
        value=1 - ratio,
        low=1 - ratio * math.exp(reach),
        high=1 - ratio * math.exp(-reach),
        unit="ratio",
        source=series.source,
        basis_shares={Basis.DERIVED: 1.0},
    )


def at_work(load: Load, stretches: Sequence[Slice], plan: Plan) -> Load:
    """Energy drawn at work, put end to end from the earliest start of *plan* on.

    What lies outside of *stretches* is idling. Of each stretch after a pause the restart is left
    out, of each before one the checkpoint: without pauses there would be neither.
    """
    parts: list[float] = []
    job, last = plan.job, len(stretches) - 1
    for number, piece in enumerate(stretches):
        begin_s = piece.start_s + (job.restart_s if number else 0.0)
        end_s = piece.end_s - (job.checkpoint_s if number < last else 0.0)
        if number == 0:
            begin_s = min(begin_s, load.start_utc_s)  # it may have begun a moment early
        if number == last:
            end_s = max(end_s, load.start_utc_s + load.slot_s * len(load.energies_j))
        parts += _between(load, begin_s, end_s)
    return Load(job.earliest_s, load.slot_s, tuple(parts) or (0.0,))


def _between(load: Load, begin_s: float, end_s: float) -> list[float]:
    """Energies of the slots from one instant to another, those at the ends in part."""
    made = []
    for number, energy_j in enumerate(load.energies_j):
        at_s = load.start_utc_s + number * load.slot_s
        inside_s = min(end_s, at_s + load.slot_s) - max(begin_s, at_s)
        if inside_s > 0:
            made.append(energy_j * inside_s / load.slot_s)
    return made


def _apart(one: Load, other: Load, here: Trace, home: Trace) -> float:
    """Half the sum of differences of the shares that slots have in both: 0 the same, 1 none."""
    if here.zone != home.zone or here.start_utc_s != home.start_utc_s:
        return 1.0
    first, second = (_shares(load, here) for load in (one, other))
    return sum(abs(p - q) for p, q in zip(first, second, strict=True)) / 2


def _shares(load: Load, trace: Trace) -> list[float]:
    made = [0.0] * len(trace.values)
    for number, energy_j in enumerate(load.energies_j):
        middle_s = load.start_utc_s + (number + 0.5) * load.slot_s
        slot = int((middle_s - trace.start_utc_s) // trace.step_s)
        if 0 <= slot < len(made):
            made[slot] += energy_j * (trace.values[slot] or 0.0)
    whole = math.fsum(made)
    return [part / whole for part in made] if whole > 0 else made


def _log_sd(trace: Trace) -> float:
    if trace.low_ratio <= 0 or trace.high_ratio <= trace.low_ratio:
        return 0.0
    return math.log(trace.high_ratio / trace.low_ratio) / (2 * NORMAL_95)


def hours_needed(plan: Plan, run: Run) -> tuple[float, float]:
    """Instants between which `realised` needs values: earliest start to the end of the run."""
    load = load_of(run)
    end = load.start_utc_s + load.slot_s * len(load.energies_j)
    return min(plan.job.earliest_s, load.start_utc_s), max(
        end, plan.job.earliest_s + plan.job.duration_s
    )


__all__ = ["at_work", "hours_needed", "realised"]
