# SPDX-License-Identifier: Apache-2.0
"""The programme of a microgrid: rows and columns for HiGHS, and what a solution means."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from submeter.errors import UsageError
from submeter.planning.microgrids import (
    Battery,
    Floats,
    Flows,
    Objective,
    Shed,
    Supply,
    keep_ratio,
    refuse,
    watts,
)
from submeter.planning.solver import highs
from submeter.records.plans import Job
from submeter.units import H_PER_YEAR, S_PER_H

Ints = npt.NDArray[np.int64]
_GAP: Final = 1e-6
_MEAN: Final = 1e3  # cost of a kilowatt-hour is brought to: ties lie above the solver's tolerance
_FREE: Final = 1e-9  # a cost per kWh that is none, in any unit
_TIE: Final = 1e-6  # of the mean cost: between equal plans, the one that moves less energy
_ELASTIC: Final = 1e4  # cost of a kilowatt-hour that breaks a limit, in means
_BROKEN_KW: Final = 1e-6
_EPSILON: Final = 1e-9


@dataclass
class _Model:
    """Columns and rows as they are added."""

    cost: list[float] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    whole: list[int] = field(default_factory=list)
    rows: list[tuple[list[int], list[float], float, float]] = field(default_factory=list)

    def columns(
        self,
        count: int,
        cost: Floats | float = 0.0,
        *,
        high: Floats | float = math.inf,
        whole: bool = False,
    ) -> Ints:
        """Numbers of *count* new columns, from zero up."""
        first = len(self.cost)
        self.cost += np.broadcast_to(np.asarray(cost, float), (count,)).tolist()
        self.high += np.broadcast_to(np.asarray(high, float), (count,)).tolist()
        self.low += [0.0] * count
        made = np.arange(first, first + count)
        self.whole += made.tolist() if whole else []
        return made

    def row(
        self, terms: Sequence[tuple[int, float]], low: float = -math.inf, high: float = math.inf
    ) -> None:
        """``low ≤ Σ value · column ≤ high``."""
        self.rows.append(([int(i) for i, _ in terms], [v for _, v in terms], low, high))

    def solved(self) -> tuple[Floats | None, float]:
        """Values of the columns and the least cost; None if nothing fits."""
        import highspy

        model: Any = highs()
        model.setOptionValue("mip_rel_gap", _GAP)
        count = len(self.cost)
        none, empty = np.zeros(0, dtype=np.int32), np.zeros(0)
        model.addCols(
            count, np.array(self.cost), np.array(self.low), np.array(self.high), 0,
            np.zeros(count, dtype=np.int32), none, empty,
        )  # fmt: skip
        sizes = [len(indices) for indices, _, _, _ in self.rows]
        starts = np.concatenate(([0], np.cumsum(sizes)[:-1])).astype(np.int32)
        model.addRows(
            len(self.rows),
            np.array([low for _, _, low, _ in self.rows]),
            np.array([high for _, _, _, high in self.rows]),
            int(sum(sizes)),
            starts,
            np.array([i for indices, _, _, _ in self.rows for i in indices], dtype=np.int32),
            np.array([v for _, values, _, _ in self.rows for v in values]),
        )
        if self.whole:
            kinds = np.full(len(self.whole), highspy.HighsVarType.kInteger.value, dtype=np.uint8)
            model.changeColsIntegrality(
                len(self.whole), np.array(self.whole, dtype=np.int32), kinds
            )
        model.run()
        if model.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None, math.inf
        return np.array(model.getSolution().col_value), float(
            model.getInfo().objective_function_value
        )


@dataclass
class _Parts:
    """Column numbers of each flow."""

    into: Ints
    out: Ints
    bought: Ints
    sold: Ints
    curtailed: Ints
    stored: Ints
    work: list[Ints]
    size_column: int | None
    over: Ints


def solve(
    supply: Supply,
    battery: Battery,
    jobs: tuple[Job, ...],
    objective: Objective,
    sheds: tuple[Shed, ...],
    baseline_kw: Floats,
    *,
    count_wear: bool,
    most_kwh: float | None = None,
    whole_life: bool = False,
) -> tuple[Flows, Floats, float]:
    """Flows, work of each job in each slot [1], and the battery's capacity [kWh].

    Parameters
    ----------
    most_kwh
        The capacity is a variable up to here, and its making counts.
    whole_life
        The making of the given capacity counts, by years or by cycles.

    Raises
    ------
    InfeasibleError
        As `submeter.planning.microgrids.dispatch`.
    """
    model = _Model()
    parts = _flows(
        model, supply, battery, objective, count_wear=count_wear and not (most_kwh or whole_life),
        most_kwh=most_kwh,
    )  # fmt: skip
    for job in jobs:
        parts.work.append(_job(model, supply, job))
    _balance(model, supply, parts, jobs)
    _limits(model, supply, parts, sheds, baseline_kw)
    if most_kwh or whole_life:
        _making(model, supply, battery, parts)
    values, _ = model.solved()
    if values is None:
        raise refuse(
            "jobs and battery cannot be planned together in this time",
            "give a later deadline, or plan for longer",
        )
    _raise_if_broken(values[parts.over], supply, sheds, baseline_kw)
    work = np.array([values[w] for w in parts.work]).reshape(len(jobs), supply.slots)
    load_kw = supply.load_kw + sum(
        (watts(job) / 1e3 * w for job, w in zip(jobs, work, strict=True)),
        start=np.zeros(supply.slots),
    )
    into, out, bought, sold, curtailed = (
        np.maximum(values[part], 0.0)
        for part in (parts.into, parts.out, parts.bought, parts.sold, parts.curtailed)
    )
    stored = values[parts.stored]
    flows = Flows(supply.solar_kw, load_kw, into, out, bought, sold, curtailed, stored)
    size = battery.capacity_kwh if parts.size_column is None else float(values[parts.size_column])
    return flows, work, size


def _flows(
    model: _Model,
    supply: Supply,
    battery: Battery,
    objective: Objective,
    *,
    count_wear: bool,
    most_kwh: float | None,
) -> _Parts:
    """Columns of the flows and rows of the battery's content."""
    n, h = supply.slots, supply.slot_h
    buy = supply.carbon_g_per_kwh if objective == "carbon" else supply.buy_per_kwh
    sell = np.zeros(n) if objective == "carbon" else supply.sell_per_kwh
    scale = _scale(buy)
    buy, sell, tie = scale * buy, scale * sell, _TIE * _MEAN
    wear = scale * battery.wear_g_per_kwh if count_wear and objective == "carbon" else 0.0
    power = battery.power_kw if most_kwh is None else math.inf
    full = battery.capacity_kwh if most_kwh is None else most_kwh
    over_cost = _ELASTIC * (float(np.abs(buy).max()) or 1.0)
    parts = _Parts(
        into=model.columns(n, tie * h, high=power),
        out=model.columns(n, (wear + tie) * h, high=power),
        bought=model.columns(n, (buy + tie) * h),
        sold=model.columns(n, (tie - sell) * h, high=supply.export_kw),
        curtailed=model.columns(n, high=supply.solar_kw),
        stored=model.columns(n, high=full),
        work=[],
        size_column=None if most_kwh is None else int(model.columns(1, high=most_kwh)[0]),
        over=model.columns(n, over_cost * h),
    )
    one_way, kept = math.sqrt(battery.efficiency_ratio), keep_ratio(battery, h)
    begin = battery.capacity_kwh * battery.charged_ratio if most_kwh is None else 0.0
    for t in range(n):
        terms = [
            (parts.stored[t], 1.0), (parts.into[t], -one_way * h), (parts.out[t], h / one_way),
        ]  # fmt: skip
        terms += [(parts.stored[t - 1], -kept)] if t else []
        held = kept * begin if t == 0 else 0.0
        model.row(terms, held, held)
        if not battery.from_grid:
            model.row([(parts.into[t], 1.0)], high=float(supply.solar_kw[t]))
    if (buy < 0).any():  # then losses would pay: what fills and empties at once burns energy
        _one_way_at_a_time(
            model, parts, min(power, full / one_way / h), min(power, full * one_way / h)
        )
    end = begin * keep_ratio(battery, n * h)  # no more than self-discharge may be missing
    model.row([(parts.stored[n - 1], 1.0)], low=end)
    return parts


def _scale(per_kwh: Floats) -> float:
    """Factor by which costs are brought to a mean that the solver's tolerances fit."""
    mean = float(np.abs(per_kwh).mean())
    return _MEAN / mean if mean > _FREE else 1.0


def _one_way_at_a_time(
    model: _Model, parts: _Parts, most_in_kw: float, most_out_kw: float
) -> None:
    """In each slot the battery is filled or emptied, not both."""
    filling = model.columns(len(parts.into), whole=True, high=1.0)
    for into, out, fills in zip(parts.into, parts.out, filling, strict=True):
        model.row([(into, 1.0), (fills, -most_in_kw)], high=0.0)
        model.row([(out, 1.0), (fills, most_out_kw)], high=most_out_kw)


def _making(model: _Model, supply: Supply, battery: Battery, parts: _Parts) -> None:
    """Embodied carbon of the time: by age or by cycles, whichever wears the battery out first."""
    n, h = supply.slots, supply.slot_h
    years = n * h / H_PER_YEAR
    made = int(model.columns(1, _scale(supply.carbon_g_per_kwh))[0])
    a_year_g = battery.embodied_g_per_kwh / battery.years * years
    if parts.size_column is None:
        model.row([(made, 1.0)], low=a_year_g * battery.capacity_kwh)
    else:
        model.row([(made, 1.0), (parts.size_column, -a_year_g)], low=0.0)
        c_rate = battery.power_kw / battery.capacity_kwh if battery.capacity_kwh else math.inf
        for t in range(n):
            model.row([(parts.stored[t], 1.0), (parts.size_column, -1.0)], high=0.0)
            if math.isfinite(c_rate):
                model.row([(parts.into[t], 1.0), (parts.size_column, -c_rate)], high=0.0)
                model.row([(parts.out[t], 1.0), (parts.size_column, -c_rate)], high=0.0)
    cycled = [(int(i), -battery.wear_g_per_kwh * h) for i in parts.out]
    model.row([(made, 1.0), *cycled], low=0.0)


def _balance(model: _Model, supply: Supply, parts: _Parts, jobs: tuple[Job, ...]) -> None:
    for t in range(supply.slots):
        terms = [
            (parts.out[t], 1.0), (parts.bought[t], 1.0), (parts.into[t], -1.0),
            (parts.sold[t], -1.0), (parts.curtailed[t], -1.0),
        ]  # fmt: skip
        terms += [(work[t], -watts(job) / 1e3) for job, work in zip(jobs, parts.work, strict=True)]
        net = float(supply.load_kw[t] - supply.solar_kw[t])
        model.row(terms, net, net)
        # what is sold and curtailed comes from the sun, not from the battery or the grid
        model.row(
            [(parts.sold[t], 1.0), (parts.curtailed[t], 1.0)], high=float(supply.solar_kw[t])
        )


def _limits(
    model: _Model, supply: Supply, parts: _Parts, sheds: tuple[Shed, ...], baseline_kw: Floats
) -> None:
    """Import no more than the connection carries and windows allow; ``over`` says by how much."""
    most_kw = np.full(supply.slots, supply.import_kw)
    for shed in sheds:
        span = slice(shed.first, shed.last)
        most_kw[span] = np.minimum(most_kw[span], baseline_kw[span] - shed.power_kw)
    for t in np.flatnonzero(np.isfinite(most_kw)).tolist():
        model.row([(parts.bought[t], 1.0), (parts.over[t], -1.0)], high=float(most_kw[t]))


def _raise_if_broken(
    over_kw: Floats, supply: Supply, sheds: tuple[Shed, ...], baseline_kw: Floats
) -> None:
    """Name the limit that cannot be met, and by how much."""
    worst = int(over_kw.argmax()) if len(over_kw) else 0
    if not len(over_kw) or over_kw[worst] <= _BROKEN_KW:
        return
    from datetime import UTC, datetime

    begin = datetime.fromtimestamp(supply.start_s + worst * supply.step_s, UTC)
    shed = next((s for s in sheds if s.first <= worst < s.last), None)
    what = f"shedding {shed.power_kw:g} kW" if shed else f"a grid limit of {supply.import_kw:g} kW"
    other = f", where {baseline_kw[worst]:.3g} kW would be imported otherwise" if shed else ""
    raise refuse(
        f"{what} cannot be met: {over_kw[worst]:.3g} kW too much at"
        f" {begin:%Y-%m-%d %H:%M} UTC{other}",
        "shed less, allow more import, a larger battery, or a later deadline",
    )


def _job(model: _Model, supply: Supply, job: Job) -> Ints:
    """Columns of the share of each slot that *job* works; rows that make it a job."""
    n, step_s = supply.slots, supply.step_s
    edges_s = supply.start_s + np.arange(n + 1) * step_s
    inside = np.clip(edges_s, job.earliest_s, max(job.earliest_s, job.deadline_s))
    usable = np.diff(inside) / step_s
    need = job.duration_s / step_s
    if need > usable.sum() + _EPSILON:
        raise refuse(
            f"{job.duration_s / S_PER_H:g} h of work do not fit into the"
            f" {usable.sum() * supply.slot_h:.3g} h until the deadline",
            "give a later deadline",
        )
    dear = job.checkpoint_s + job.restart_s > 0 or job.min_slice_s > step_s or job.idle_w > 0
    if job.interruptible and not dear:
        work = model.columns(n, high=usable)
        model.row([(i, 1.0) for i in work], need, need)
        return work
    open_ = (usable > 1 - _EPSILON).nonzero()[0]
    count = math.ceil(need - _EPSILON)
    if job.idle_w > 0:
        raise UsageError(
            "idle power of a pause is not known to a microgrid's plan",
            remedy="leave idle power out, or make the job run at a stretch",
        )
    work = model.columns(n, high=1.0)
    if not job.interruptible:
        _stretch(model, work, open_, count, need)
    else:
        _slices(model, supply, job, work, open_, need)
    return work


def _stretch(model: _Model, work: Ints, open_: Ints, count: int, need: float) -> None:
    """One start; the last slot is used in part."""
    n = len(work)
    starts = [t for t in open_.tolist() if t + count <= n and t + count - 1 <= open_[-1]]
    if not starts:
        raise refuse("the work does not fit before the deadline", "give a later deadline")
    begun = dict(
        zip(starts, model.columns(len(starts), whole=True, high=1.0).tolist(), strict=True)
    )
    model.row([(i, 1.0) for i in begun.values()], 1.0, 1.0)
    part = need - (count - 1)
    for t in range(n):
        terms = [(int(work[t]), 1.0)]
        terms += [
            (begun[t - k], -(part if k == count - 1 else 1.0))
            for k in range(count)
            if t - k in begun
        ]
        model.row(terms, 0.0, 0.0)


def _slices(model: _Model, supply: Supply, job: Job, work: Ints, open_: Ints, need: float) -> None:
    """Slots are on or off; each slice lasts, and each but the first adds the time of a pause."""
    n = supply.slots
    can = np.zeros(n)
    can[open_] = 1.0
    on = model.columns(n, whole=True, high=can)
    begun = model.columns(n, whole=True, high=1.0)
    part = model.columns(n, whole=True, high=1.0)  # the one slot that is not used whole
    model.row([(i, 1.0) for i in part], high=1.0)
    extra = (job.checkpoint_s + job.restart_s) / supply.step_s
    least = min(math.ceil(job.min_slice_s / supply.step_s - _EPSILON), math.ceil(need - _EPSILON))
    for t in range(n):
        model.row([(work[t], 1.0), (on[t], -1.0)], high=0.0)
        model.row([(work[t], 1.0), (on[t], -1.0), (part[t], 1.0)], low=0.0)
        if t + 1 < n:  # and a slice ends with it
            model.row([(part[t], 1.0), (on[t + 1], 1.0)], high=1.0)
        before = [(on[t - 1], 1.0)] if t else []
        model.row([(begun[t], 1.0), (on[t], -1.0), *before], low=0.0)
        if least > 1:
            recent = range(max(0, t - least + 1), t + 1)
            model.row([(on[t], 1.0), *((begun[k], -1.0) for k in recent)], low=0.0)
            if t + least > n:
                model.row([(begun[t], 1.0)], high=0.0)
    model.row(
        [*((i, 1.0) for i in work), *((i, -extra) for i in begun)], need - extra, need - extra
    )
