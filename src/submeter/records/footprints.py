# SPDX-License-Identifier: Apache-2.0
"""The Footprint: what a run amounts to, from the devices to the grid behind the wall."""

from typing import Final

import msgspec

from submeter.records.amounts import Amount
from submeter.records.factors import Factor
from submeter.records.figures import Missing
from submeter.records.places import Zone
from submeter.units import G_PER_KG, G_PER_T, J_PER_KWH, J_PER_WH

NOT_RECKONED = Missing("not reckoned")
_ENERGY: Final = ((J_PER_KWH, "kWh"), (J_PER_WH, "Wh"), (1.0, "J"))
_CARBON: Final = ((G_PER_T, "t CO2e"), (G_PER_KG, "kg CO2e"), (1.0, "g CO2e"))
_WATER: Final = ((1.0, "L"),)


class Carbon(msgspec.Struct, frozen=True):
    """Operational emissions of the electricity [gCO2e], by location, by market, by effect.

    ``location`` is the sum of ``direct`` (stacks of the generators), ``upstream`` (fuel, plant)
    and ``loss`` (transmission and distribution). ``scopes`` maps the same grams to the scopes of
    the reporter (``scope 2``, ``scope 3.3``, ...), by its arrangement. ``market`` is what
    contracts claim, never instead of ``location``. ``marginal`` is the effect of a decision, from
    one maker; ``marginal_others`` what other makers say. Offsets and matching claims are words:
    they are never subtracted.
    """

    location: Amount | Missing = NOT_RECKONED
    direct: Amount | Missing = NOT_RECKONED
    upstream: Amount | Missing = NOT_RECKONED
    loss: Amount | Missing = NOT_RECKONED
    market: Amount | Missing = NOT_RECKONED
    market_how: str = ""
    marginal: Amount | Missing = NOT_RECKONED
    marginal_others: tuple[Amount, ...] = ()
    embodied: Amount | Missing = NOT_RECKONED
    scopes: dict[str, Amount] = {}
    market_scopes: dict[str, Amount] = {}
    claims: tuple[str, ...] = ()
    offsets: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Water(msgspec.Struct, frozen=True):
    """Water consumed [L], on the site and at the generators; withdrawal beside it.

    ``offsite`` is with the evaporation of reservoirs, ``offsite_dry`` without: two headlines that
    are never mixed. ``stress`` is the baseline water stress of the country, in words.
    """

    onsite: Amount | Missing = NOT_RECKONED
    offsite: Amount | Missing = NOT_RECKONED
    offsite_dry: Amount | Missing = NOT_RECKONED
    onsite_withdrawal: Amount | Missing = NOT_RECKONED
    offsite_withdrawal: Amount | Missing = NOT_RECKONED
    potable: Amount | Missing = NOT_RECKONED
    discharge: Amount | Missing = NOT_RECKONED
    stress: str | Missing = NOT_RECKONED
    notes: tuple[str, ...] = ()


class Money(msgspec.Struct, frozen=True):
    """What the electricity costs, and what its carbon would at a price, in one currency.

    ``per`` is the cost of the electricity for each unit of work (``samples``) or of quality
    (``accuracy``).
    """

    electricity: Amount | Missing = NOT_RECKONED
    carbon: Amount | Missing = NOT_RECKONED
    currency: str = ""
    per: dict[str, Amount] = {}
    notes: tuple[str, ...] = ()


class Equivalent(msgspec.Struct, frozen=True):
    """The same amount in the words of everyday life."""

    key: str
    text: str  # "0.3 % of a car's lifetime including fuel"
    value: Amount
    source: str = ""


class Doubt(msgspec.Struct, frozen=True):
    """What part of the variance of a figure one source of doubt makes up, and its cure."""

    key: str
    name: str  # "PUE unknown"
    share_ratio: float
    remedy: str = ""  # the cheapest thing that narrows it


class Footprint(msgspec.Struct, frozen=True):
    """What a run amounts to.

    Energies at nested boundaries [J]; ``parts`` split what facility adds to it (``cooling``,
    ``distribution``, ``other``, or ``overhead`` where only PUE is known). The rest is
    `NOT_RECKONED` where nobody asked for it.
    """

    devices: Amount | Missing
    node: Amount | Missing
    it: Amount | Missing
    facility: Amount | Missing
    parts: dict[str, Amount] = {}
    zone: Zone | None = None
    arrangement: str = ""
    carbon: Carbon = Carbon()
    water: Water = Water()
    money: Money = Money()
    equivalents: tuple[Equivalent, ...] = ()
    doubts: tuple[Doubt, ...] = ()  # of the location-based carbon, or of the energy without it
    indicators: dict[
        str, Amount | Missing
    ] = {}  # interim ISO/IEC 30134 indicators of the run's slice
    factors: tuple[Factor, ...] = ()  # every factor used
    unknown: tuple[str, ...] = ()  # parts that no figure holds: the figures are lower bounds
    notes: tuple[str, ...] = ()  # what a reader should know about the boundaries

    def __repr__(self) -> str:
        """One line: energy, carbon and place; everything else is in the fields."""
        wall, carbon = _words(self.facility, _ENERGY), _words(self.carbon.location, _CARBON)
        place = f", {self.zone.name}" if self.zone else ""
        return f"<Footprint: {wall} at the wall, {carbon} by location{place}>"

    def __str__(self) -> str:
        """Each main amount with its interval, a line each; what was not reckoned is left out."""
        money = ((1.0, self.money.currency),)
        rows = (
            ("energy at the wall", self.facility, _ENERGY),
            ("carbon by location", self.carbon.location, _CARBON),
            ("carbon by market", self.carbon.market, _CARBON),
            ("carbon embodied", self.carbon.embodied, _CARBON),
            ("water on-site", self.water.onsite, _WATER),
            ("water off-site", self.water.offsite, _WATER),
            ("electricity", self.money.electricity, money),
        )
        head = f"Footprint of {self.zone.name}" if self.zone else "Footprint"
        if self.unknown:
            head += f", a lower bound: without {', '.join(self.unknown)}"
        told = (f"  {name:20}{_words(a, units)}" for name, a, units in rows if a != NOT_RECKONED)
        return "\n".join((head, *told))


def _words(amount: Amount | Missing, units: tuple[tuple[float, str], ...]) -> str:
    """*amount* in the largest of *units* that it reaches, or why it is missing."""
    if isinstance(amount, Missing):
        return f"— ({amount.why})"
    size, unit = next((u for u in units if amount.value >= u[0]), units[-1])
    value, _, ends = amount.written(size).partition(" ")
    return f"{value} {unit} {ends}".strip()
