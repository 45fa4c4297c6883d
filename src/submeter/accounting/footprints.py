# SPDX-License-Identifier: Apache-2.0
"""From a Run and its circumstances to a Footprint: every room's formula in its order. Pure."""

from typing import Final

import msgspec

from submeter.accounting.boundaries import footprint, refuse_twice
from submeter.accounting.carbon import (
    NOT_COVERED,
    Intensity,
    Located,
    location_based,
    marginal,
    portion,
)
from submeter.accounting.doubts import doubts
from submeter.accounting.facility import Facility, facility_energy
from submeter.accounting.indicators import INTERIM, indicators
from submeter.accounting.market import Backed, market_based, shown_apart
from submeter.accounting.money import cost, cost_of_work
from submeter.accounting.scopes import Arrangement, Contract, by_scope
from submeter.accounting.water import Generation, water
from submeter.records.amounts import Amount, sum_amounts
from submeter.records.claims import Claim
from submeter.records.factors import Factor
from submeter.records.figures import Missing
from submeter.records.footprints import Carbon, Footprint
from submeter.records.places import Zone
from submeter.records.runs import Run

NO_PRICE: Final = Missing("no price is known")
SLICE: Final = f"indicators: {INTERIM}"
LEFT_OUT: Final = f"not covered: {'; '.join(NOT_COVERED)}"


class Circumstances(msgspec.Struct, frozen=True):
    """Where, when and on whose account a run drew its energy: all that a footprint hangs on.

    Intensities and prices are already weighted by when the energy was drawn. ``embodied`` is the
    hardware's share [gCO2e]. ``matching`` are claims of a provider in words. ``grid_ratio`` is
    the part of the energy that the grid supplies, where there are panels before the meter.
    """

    zone: Zone
    facility: Facility
    it_ratio: Factor | None = None  # of a what-if that changes the fans inside IT
    arrangement: Arrangement = Arrangement.OWN_SITE
    contract: Contract = Contract()
    year: int = 0
    lifecycle: Intensity | Missing = Missing("no intensity is known")
    direct: Intensity | Missing = Missing("no direct intensity is known")
    loss: Factor | Missing = Missing("no loss of the lines is known")
    supplier: Intensity | Missing | None = None
    residual: Intensity | Missing | None = None
    claims: tuple[Backed, ...] = ()
    offsets: tuple[Claim, ...] = ()
    matching: tuple[str, ...] = ()
    marginals: tuple[Intensity, ...] = ()
    generation: Generation = Generation()
    recycled_ratio: float | None = None
    stress: str | Missing = Missing("no water stress of this place is known")
    embodied: Amount | Missing = Missing("the hardware is not known")
    hardware_factors: tuple[Factor, ...] = ()
    price: Factor | Missing = NO_PRICE  # per kWh
    currency: str = ""
    carbon_price: Factor | Missing = Missing("no carbon price is set")  # per tCO2e
    grid_ratio: float = 1.0
    notes: tuple[str, ...] = ()


def amounts_to(run: Run, around: Circumstances) -> Footprint:
    """All that *run* amounts to under the circumstances *around* it.

    Notes
    -----
    Energy at the wall is the sum of the devices' shares, the rest of the node and what the
    facility adds. All else is that energy (on-site water: the energy of IT) times one factor.
    Equivalents are added by `submeter.accounting.equivalents`.
    """
    inside = footprint(run, 1.0)
    it = inside.it
    if isinstance(it, Missing):
        return msgspec.structs.replace(
            inside,
            factors=(),
            zone=around.zone,
            arrangement=str(around.arrangement),
            carbon=_nothing_known(it),
            notes=(*inside.notes, *around.notes),
        )
    if around.it_ratio is not None:
        it = it.times(around.it_ratio)
    parts = facility_energy(it, around.facility)
    if parts:
        refuse_twice(run)
    wall = sum_amounts((it, *parts.values()))
    drawn = wall.scaled(around.grid_ratio)
    carbon, used = _carbon(it, parts, drawn, around)
    litres = water(
        it,
        drawn,
        around.facility,
        generation=around.generation,
        loss=_or_none(around.loss),
        recycled_ratio=around.recycled_ratio,
        stress=around.stress,
    )
    money = cost(drawn, around.price, carbon=carbon.location, carbon_price=around.carbon_price)
    hangs = carbon.location if isinstance(carbon.location, Amount) else wall
    intensity = None if isinstance(around.lifecycle, Missing) else around.lifecycle.factor
    slice_ = indicators(it, around.facility, intensity=intensity)
    return msgspec.structs.replace(
        inside,
        it=it,
        facility=wall,
        parts=parts,
        zone=around.zone,
        arrangement=str(around.arrangement),
        carbon=carbon,
        water=litres,
        money=msgspec.structs.replace(
            money,
            currency=money.currency or around.currency,
            per=cost_of_work(money.electricity, run.work, run.metrics),
        ),
        doubts=doubts(hangs, zone=around.zone, factors=[f for f in used if f]),
        indicators=slice_.values,
        factors=tuple(dict.fromkeys(f for f in (*_facility_factors(around), *used) if f)),
        notes=tuple(dict.fromkeys((*around.notes, *inside.notes, *around.facility.notes, SLICE))),
    )


def _carbon(
    it: Amount, parts: dict[str, Amount], drawn: Amount, around: Circumstances
) -> tuple[Carbon, tuple[Factor | None, ...]]:
    """Carbon of the energy *drawn* from the grid, and the factors that it took."""
    given = (around.lifecycle, around.direct, around.loss)
    whole = location_based(drawn, *given)
    machines = location_based(it.scaled(around.grid_ratio), *given)
    rest = sum_amounts(parts.values()).scaled(around.grid_ratio)
    overhead = location_based(rest, *given) if parts else None
    market = market_based(
        whole,
        around.claims,
        zone=around.zone.country or around.zone.code,
        year=around.year,
        supplier=around.supplier,
        residual=around.residual,
    )
    effect, others = marginal(drawn, around.marginals)
    carbon = Carbon(
        location=whole.total,
        direct=whole.direct,
        upstream=whole.upstream,
        loss=whole.loss,
        market=market.located.total,
        market_how=market.how,
        marginal=effect,
        marginal_others=others,
        embodied=around.embodied,
        scopes=by_scope(
            around.arrangement,
            machines,
            overhead,
            embodied=around.embodied,
            contract=around.contract,
        ),
        market_scopes=_market_scopes(machines, overhead, market.located, around),
        claims=(*around.matching, *market.refused),
        offsets=shown_apart(around.offsets),
        notes=tuple(dict.fromkeys((*whole.notes, *market.notes, LEFT_OUT))),
    )
    used = (*whole.factors, *market.located.factors, *(m.factor for m in around.marginals))
    return carbon, used


def _market_scopes(
    machines: Located,
    overhead: Located | None,
    market: Located,
    around: Circumstances,
) -> dict[str, Amount]:
    """Market-based emissions by scope: contracts cover machines and overhead alike."""
    if isinstance(machines.energy, Missing) or isinstance(market.energy, Missing):
        return {}
    if market.energy.value <= 0:
        return {}
    ratio = machines.energy.value / market.energy.value
    return by_scope(
        around.arrangement,
        portion(market, ratio),
        portion(market, 1 - ratio) if overhead is not None else None,
        embodied=around.embodied,
        contract=around.contract,
    )


def _facility_factors(around: Circumstances) -> tuple[Factor | None, ...]:
    """Factors of the facility, the grid's water and prices."""
    facility, generation = around.facility, around.generation
    plant = facility.plant
    return (
        facility.pue,
        *((*plant.overhead.values(), plant.fans) if plant is not None else ()),
        facility.wue,
        generation.consumption,
        generation.dry,
        generation.withdrawal,
        None if isinstance(around.price, Missing) else around.price,
        *around.hardware_factors,
    )


def _or_none(factor: Factor | Missing) -> Factor | None:
    return None if isinstance(factor, Missing) else factor


def _nothing_known(why: Missing) -> Carbon:
    return Carbon(location=why, direct=why, upstream=why, loss=why, market=why, marginal=why)
