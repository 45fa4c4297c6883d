# SPDX-License-Identifier: Apache-2.0
"""What became of a plan: how long it had the run wait and stand still, and what that saved."""

from pathlib import Path

import msgspec

from submeter.errors import CoverageError, SubmeterError
from submeter.grid.loads import load_of
from submeter.grid.place import place_of
from submeter.records.amounts import Amount
from submeter.records.figures import Figure, Missing
from submeter.records.footprints import Footprint
from submeter.records.plans import Plan, Slice
from submeter.records.runs import Run
from submeter.records.traces import Load

__all__ = ["Carried", "carried_out", "paused_energy", "stretches_of"]


class Carried(msgspec.Struct, frozen=True):
    """A plan beside what was made of it.

    Attributes
    ----------
    waited_s
        From when it could have been started to when it was [s].
    paused_s
        Time in pauses [s].
    paused_energy
        What was drawn in them, at the wall [J]; part of the run's energy.
    saving
        Share of carbon saved against starting at once, on what the grid did [ratio].
    """

    plan: str
    asked_utc: str
    waited_s: float
    paused_s: float
    pauses: int
    paused_energy: Figure | Missing
    saving: Figure | Missing


def carried_out(run: Run, footprint: Footprint, home: Path, provider: str = "") -> Carried | None:
    """What became of the plan of *run*; None if it was run without one.

    Parameters
    ----------
    footprint
        What *run* amounts to.
    home
        Folder of the ledger, in which the plan is kept, and the answers of providers.
    provider
        Who is asked what the grid did in those hours ("": nobody, then no saving is known).
    """
    if not run.plan:
        return None
    load = _load(run)
    asked_s = load.start_utc_s if isinstance(load, Load) else 0.0
    if run.asked_utc:
        from datetime import datetime

        asked_s = datetime.fromisoformat(run.asked_utc).timestamp()
    began_s = load.start_utc_s if isinstance(load, Load) else asked_s
    return Carried(
        plan=run.plan,
        asked_utc=run.asked_utc,
        waited_s=max(0.0, began_s - asked_s),
        paused_s=sum(p.duration_s for p in run.pauses),
        pauses=len(run.pauses),
        paused_energy=paused_energy(run, footprint, load),
        saving=_saving(run, load, home, provider),
    )


def paused_energy(run: Run, footprint: Footprint, load: Load | Missing) -> Figure | Missing:
    """Energy at the wall that was drawn in the pauses of *run* [J].

    Notes
    -----
    The facility's energy by the shares that the pauses have in the devices' energy over time;
    a slot that is paused in part counts by its time.
    """
    facility = footprint.facility
    if not isinstance(facility, Amount):
        return Missing("the energy at the wall is not known")
    whole = facility.figure("J")
    if not run.pauses:
        return msgspec.structs.replace(whole, value=0.0, low=0.0, high=0.0)
    if isinstance(load, Missing):
        return load
    total_j = sum(load.energies_j)
    if len(load.energies_j) < 2 or total_j <= 0:  # noqa: PLR2004  # one slot has no course
        return Missing("no course of its power was kept")
    share = sum(_within(load, p.start_s, p.duration_s) for p in run.pauses) / total_j
    return msgspec.structs.replace(
        whole, value=whole.value * share, low=whole.low * share, high=whole.high * share
    )


def stretches_of(run: Run, plan: Plan, start_utc_s: float) -> list[Slice]:
    """When *run* was at work, from its pauses; each checkpoint still belongs to its stretch."""
    made, at_s = [], 0.0
    for pause in run.pauses:
        written_s = min(plan.job.checkpoint_s, pause.duration_s)
        made.append(Slice(start_utc_s + at_s, start_utc_s + pause.start_s + written_s))
        at_s = pause.start_s + pause.duration_s
    if not run.pauses or run.pauses[-1].over:
        made.append(Slice(start_utc_s + at_s, start_utc_s + max(at_s, run.duration_s)))
    return made


def _load(run: Run) -> Load | Missing:
    try:
        return load_of(run)
    except CoverageError as exc:
        return Missing(str(exc))


def _within(load: Load, start_s: float, length_s: float) -> float:
    """Energy of *load* from *start_s* after its start on, for *length_s* [J]."""
    found_j = 0.0
    for i, energy_j in enumerate(load.energies_j):
        begin_s = i * load.slot_s
        inside_s = min(begin_s + load.slot_s, start_s + length_s) - max(begin_s, start_s)
        found_j += energy_j * max(0.0, inside_s) / load.slot_s
    return found_j


def _saving(run: Run, load: Load | Missing, home: Path, provider: str) -> Figure | Missing:
    if isinstance(load, Missing):
        return load
    if run.status in {"waiting", "running", "paused"}:
        return Missing("it is not over")
    if not provider:
        return Missing("what the grid did in those hours was not asked for: submeter show --live")
    plan = _plan(run.plan, home)
    if plan is None:
        return Missing("its plan is not kept any more")
    from submeter.planning.realised import hours_needed, realised
    from submeter.running.reckoning import live

    try:
        trace = live(provider, home)(place_of(run.place), *hours_needed(plan, run))
        return realised(plan, run, trace, stretches=stretches_of(run, plan, load.start_utc_s))
    except SubmeterError as exc:
        return Missing(str(exc))


def _plan(ident: str, home: Path) -> Plan | None:
    from submeter.storing.plans import find
    from submeter.storing.waits import FOLDER, read_wait

    wait = read_wait(home / FOLDER / f"{ident}.wait")
    if wait is not None:
        return wait.order.plan
    try:
        return find(ident, home)
    except SubmeterError:
        return None
