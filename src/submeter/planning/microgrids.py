# SPDX-License-Identifier: Apache-2.0
"""Panels, a battery, a tariff and a grid: who supplies a site's load, and when a job runs there.

One programme decides on both, since the best hour for a job depends on what the battery holds and
the other way round. Energies are booked slot by slot; `submeter.grid.microgrid` is the rule of
thumb (sun, then battery, then grid) that the optimum is told against.
"""

import math
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from submeter.errors import InfeasibleError, UsageError
from submeter.records.plans import Job
from submeter.units import H_PER_YEAR, S_PER_H

Floats = npt.NDArray[np.float64]
Objective = Literal["carbon", "cost"]

# Making a kilowatt-hour of lithium-ion cells with nickel, manganese and cobalt: 61 to 106 kgCO2e
# (Emilsson and Dahllöf 2019, IVL report C 444; read in reports of it by electrive and Ekocentrum,
# not in the original; with less transparent data up to 146); the middle.
EMBODIED_G_PER_KWH: Final = 83_500.0
_CYCLES: Final = 5_000.0
_YEARS: Final = 15.0
_EPSILON: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Battery:
    """A battery between panels, load and grid.

    Attributes
    ----------
    capacity_kwh, power_kw
        Energy that it holds, and the most that goes in or out (at its terminals).
    efficiency_ratio
        Of a whole cycle; half of the loss (in decibels) falls to charging [1].
    self_discharge_ratio_per_day
        Share of its content that a day takes [1].
    charged_ratio
        At the start; the end may not be below it, so that nothing is had for nothing [1].
    embodied_g_per_kwh, cycles, years
        What making a kilowatt-hour of capacity emitted, how many full cycles and how many years
        it lasts.
    from_grid
        Whether the grid may charge it.
    """

    capacity_kwh: float
    power_kw: float = math.inf
    efficiency_ratio: float = 0.9
    self_discharge_ratio_per_day: float = 0.001
    charged_ratio: float = 0.0
    embodied_g_per_kwh: float = EMBODIED_G_PER_KWH
    cycles: float = _CYCLES
    years: float = _YEARS
    from_grid: bool = True

    @property
    def wear_g_per_kwh(self) -> float:
        """Embodied share of a kilowatt-hour that comes out of the battery [gCO2e/kWh]."""
        return self.embodied_g_per_kwh / self.cycles


@dataclass(frozen=True, slots=True)
class Shed:
    """A demand-response window: import *power_kw* less than otherwise in these slots.

    ``first`` and ``last`` are slots, half-open. "Otherwise" is what would have been imported with
    each job started at once and nothing but the rule of thumb.
    """

    first: int
    last: int
    power_kw: float


@dataclass(frozen=True, slots=True)
class Supply:
    """What a site has in each slot; arrays have the shape (slots,).

    Attributes
    ----------
    solar_kw
        Mean power that the panels could give.
    load_kw
        Mean power of what runs anyway.
    carbon_g_per_kwh, buy_per_kwh, sell_per_kwh
        Of the grid's energy. What is sold earns money and no carbon credit.
    import_kw, export_kw
        What the grid connection carries.
    """

    start_s: float
    step_s: float
    solar_kw: Floats
    carbon_g_per_kwh: Floats
    buy_per_kwh: Floats
    sell_per_kwh: Floats
    load_kw: Floats
    import_kw: float = math.inf
    export_kw: float = math.inf

    @property
    def slots(self) -> int:
        """How many slots there are."""
        return len(self.solar_kw)

    @property
    def slot_h(self) -> float:
        """Length of a slot [h]."""
        return self.step_s / S_PER_H


@dataclass(frozen=True, slots=True)
class Flows:
    """Mean power of each flow in each slot [kW], shapes (slots,), and the battery's content.

    ``stored_kwh`` is its content at the end of each slot. In each slot
    ``solar + out + bought = load + into + sold + curtailed``.
    """

    solar_kw: Floats
    load_kw: Floats
    into_kw: Floats
    out_kw: Floats
    bought_kw: Floats
    sold_kw: Floats
    curtailed_kw: Floats
    stored_kwh: Floats


@dataclass(frozen=True, slots=True)
class Account:
    """What flows amount to.

    Attributes
    ----------
    carbon_g, cost
        Of what was bought, less what was sold for the cost; without embodied carbon.
    wear_g
        Embodied share of what came out of the battery; not in ``carbon_g``.
    self_consumption_ratio
        Share of the sun's energy that was not curtailed and not sold; None without sun.
    self_sufficiency_ratio
        Share of the load that was not bought; None without load.
    """

    load_kwh: float
    solar_kwh: float
    bought_kwh: float
    sold_kwh: float
    curtailed_kwh: float
    lost_kwh: float
    carbon_g: float
    cost: float
    wear_g: float
    self_consumption_ratio: float | None
    self_sufficiency_ratio: float | None


@dataclass(frozen=True, slots=True)
class Dispatch:
    """The optimum: flows, the share of each slot that each job works, and what it amounts to.

    ``work`` has the shape (jobs, slots) [1]. ``at_once`` is the account of the jobs started at
    once under the rule of thumb. ``capacity_kwh`` is the battery's, as given or as sized.
    """

    flows: Flows
    work: Floats
    account: Account
    at_once: Account
    capacity_kwh: float


@dataclass(frozen=True, slots=True)
class Sizing:
    """How much battery pays for its own making.

    Attributes
    ----------
    capacity_kwh
        The best size: one more kilowatt-hour would save less than making it emitted.
    rows
        Of a sweep: capacity [kWh], carbon of the grid and embodied carbon, both per year [g].
    """

    capacity_kwh: float
    rows: tuple[tuple[float, float, float], ...] = field(default=())


def dispatch(
    supply: Supply,
    battery: Battery,
    jobs: tuple[Job, ...] = (),
    *,
    objective: Objective = "carbon",
    sheds: tuple[Shed, ...] = (),
    count_wear: bool = False,
) -> Dispatch:
    """Run *jobs* and the battery so that the *objective* is least.

    Parameters
    ----------
    count_wear
        Whether the battery's embodied share per cycle counts among the carbon. A battery that is
        there anyway does not emit anew by being used; one that is worn out sooner does.

    Raises
    ------
    UsageError
        If *supply* or *battery* makes no sense.
    InfeasibleError
        If a job, the grid connection or a shed cannot be met; it says which, and by how much.

    Notes
    -----
    A job whose pauses are free may use any part of a slot and is linear; one in one piece chooses
    a start, one with slices of a least length or dear pauses chooses slots, both by whole numbers.
    """
    from submeter.planning.microgrid_model import solve

    check(supply, battery)
    at_once = rule_of_thumb(supply, battery, at_once_kw(supply, jobs))
    baseline_kw = at_once.bought_kw
    for shed in sheds:
        if not 0 <= shed.first < shed.last <= supply.slots:
            raise UsageError(
                "the window to shed lies outside of the plan", remedy="plan for longer"
            )
    flows, work, capacity_kwh = solve(
        supply, battery, jobs, objective, sheds, baseline_kw, count_wear=count_wear
    )
    return Dispatch(
        flows,
        work,
        account(flows, supply, battery),
        account(at_once, supply, battery),
        capacity_kwh,
    )


def sized(supply: Supply, battery: Battery, *, most_kwh: float, sweep: int = 6) -> Sizing:
    """How large *battery* should be for the least carbon of grid and making, up to *most_kwh*.

    Its power grows with its capacity as it does in *battery*. Making is spread over ``years`` or
    over ``cycles``, whichever ends first. *supply* stands for a year.

    Notes
    -----
    Capacity is a variable of the linear programme; at its optimum the last kilowatt-hour saves
    just what making it emitted, per year of life.
    """
    from submeter.planning.microgrid_model import solve

    check(supply, battery)
    years = supply.slots * supply.slot_h / H_PER_YEAR
    _, _, best_kwh = solve(
        supply, battery, (), "carbon", (), np.zeros(supply.slots), count_wear=True,
        most_kwh=most_kwh,
    )  # fmt: skip
    rows = []
    for size_kwh in np.linspace(0.0, most_kwh, sweep).tolist():
        one = scaled(battery, size_kwh)
        flows, _, _ = solve(
            supply, one, (), "carbon", (), np.zeros(supply.slots), count_wear=True, whole_life=True
        )
        told = account(flows, supply, one)
        by_age = size_kwh * battery.embodied_g_per_kwh / battery.years
        rows.append((size_kwh, told.carbon_g / years, max(by_age, told.wear_g / years)))
    return Sizing(best_kwh, tuple(rows))


def scaled(battery: Battery, capacity_kwh: float) -> Battery:
    """*battery* at another capacity, its power in proportion."""
    from dataclasses import replace

    ratio = capacity_kwh / battery.capacity_kwh if battery.capacity_kwh else 0.0
    power_kw = battery.power_kw * ratio if math.isfinite(battery.power_kw) else math.inf
    return replace(battery, capacity_kwh=capacity_kwh, power_kw=power_kw)


def account(flows: Flows, supply: Supply, battery: Battery) -> Account:
    """What *flows* amount to."""
    h = supply.slot_h
    solar, load, bought, sold, curtailed = (
        float(series.sum() * h)
        for series in (
            flows.solar_kw, flows.load_kw, flows.bought_kw, flows.sold_kw, flows.curtailed_kw,
        )
    )  # fmt: skip
    begin_kwh = battery.capacity_kwh * battery.charged_ratio
    held_kwh = float(flows.stored_kwh[-1]) - begin_kwh if supply.slots else 0.0
    moved_kwh = float((flows.into_kw - flows.out_kw).sum() * h)
    cost = (flows.bought_kw @ supply.buy_per_kwh - flows.sold_kw @ supply.sell_per_kwh) * h
    return Account(
        load_kwh=load,
        solar_kwh=solar,
        bought_kwh=bought,
        sold_kwh=sold,
        curtailed_kwh=curtailed,
        lost_kwh=moved_kwh - held_kwh,
        carbon_g=float(flows.bought_kw @ supply.carbon_g_per_kwh * h),
        cost=float(cost),
        wear_g=float(flows.out_kw.sum() * h) * battery.wear_g_per_kwh,
        self_consumption_ratio=max(0.0, 1 - (curtailed + sold) / solar) if solar > 0 else None,
        self_sufficiency_ratio=max(0.0, 1 - bought / load) if load > 0 else None,
    )


def rule_of_thumb(supply: Supply, battery: Battery, load_kw: Floats) -> Flows:
    """Sun first, then the battery, then the grid; the battery takes what the sun leaves over.

    What neither takes is sold as far as the connection carries it, if selling earns anything.
    """
    one_way = math.sqrt(battery.efficiency_ratio)
    h = supply.slot_h
    kept = keep_ratio(battery, h)
    held = battery.capacity_kwh * battery.charged_ratio
    rows = np.zeros((6, supply.slots))
    for t in range(supply.slots):
        sun, load = float(supply.solar_kw[t]), float(load_kw[t])
        direct = min(sun, load)
        room = (battery.capacity_kwh - held * kept) / one_way / h
        into = max(0.0, min(sun - direct, battery.power_kw, room))
        out = max(0.0, min(load - direct, battery.power_kw, held * kept * one_way / h))
        held = held * kept + (into * one_way - out / one_way) * h
        held = min(max(held, 0.0), battery.capacity_kwh)
        spare = sun - direct - into
        sold = min(spare, supply.export_kw) if supply.sell_per_kwh[t] > 0 else 0.0
        rows[:, t] = into, out, load - direct - out, sold, spare - sold, held
    into_kw, out_kw, bought_kw, sold_kw, curtailed_kw, stored_kwh = rows
    return Flows(
        supply.solar_kw, load_kw, into_kw, out_kw, bought_kw, sold_kw, curtailed_kw, stored_kwh
    )


def at_once_kw(supply: Supply, jobs: tuple[Job, ...]) -> Floats:
    """Load with each of *jobs* started as early as it may [kW], shape (slots,)."""
    total = supply.load_kw.astype(np.float64).copy()
    edges_s = supply.start_s + np.arange(supply.slots + 1) * supply.step_s
    for job in jobs:
        begin_s = max(job.earliest_s, supply.start_s)
        inside = np.clip(edges_s, begin_s, begin_s + job.duration_s)
        total += watts(job) / 1e3 * np.diff(inside) / supply.step_s
    return total


def watts(job: Job) -> float:
    """Mean power of *job* [W].

    Raises
    ------
    UsageError
        If nobody said.
    """
    if job.power_course_w:
        return math.fsum(job.power_course_w) / len(job.power_course_w)
    if job.power_w is None or not job.power_w >= 0:
        raise UsageError("a job needs a power here", remedy="give --power 3.2kW")
    return job.power_w


def keep_ratio(battery: Battery, hours: float) -> float:
    """Share of the content that is left after *hours* of self-discharge [1]."""
    return float((1 - battery.self_discharge_ratio_per_day) ** (hours / 24))


def check(supply: Supply, battery: Battery) -> None:
    """Refuse what makes no sense.

    Raises
    ------
    UsageError
        If a series is too short, has a gap or sells dearer than it buys, or a size cannot be.
    """
    names = ("solar_kw", "carbon_g_per_kwh", "buy_per_kwh", "sell_per_kwh", "load_kw")
    for name in names:
        series = getattr(supply, name)
        if series.shape != (supply.slots,) or not np.isfinite(series).all():
            raise UsageError(
                f"{name} has gaps or another length than the others",
                remedy="give every series a number for every slot",
            )
    if (supply.solar_kw < 0).any() or (supply.load_kw < 0).any():
        raise UsageError("sun and load are not below zero", remedy="give both as powers ≥ 0")
    if (supply.sell_per_kwh > supply.buy_per_kwh + _EPSILON).any():
        raise UsageError(
            "selling earns more than buying costs, so that trade alone would pay without end",
            remedy="give a sell price no higher than the buy price in each slot",
        )
    ratios = (battery.charged_ratio, battery.self_discharge_ratio_per_day)
    sizes = (battery.capacity_kwh, battery.embodied_g_per_kwh)
    if not 0 < battery.efficiency_ratio <= 1 or not all(0 <= r <= 1 for r in ratios):
        raise UsageError("ratios of a battery lie between 0 and 1", remedy="give ratios in [0, 1]")
    if not all(math.isfinite(s) and s >= 0 for s in sizes) or not battery.power_kw >= 0:
        raise UsageError("a battery has sizes not below zero", remedy="--battery 20kWh")
    if not (battery.cycles > 0 and battery.years > 0):
        raise UsageError("a battery lasts some cycles and years", remedy="give them above zero")


def refuse(why: str, remedy: str) -> InfeasibleError:
    """The error that says *why* nothing can be planned."""
    return InfeasibleError(why, remedy=remedy)
