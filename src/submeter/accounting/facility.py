# SPDX-License-Identifier: Apache-2.0
"""The facility around a run: what it is known to add to IT, and how that is known.

Order of knowledge: what the site declares, its cloud region, the technology that cools it, the
average of the industry. A workstation at home or in an office is no data centre: none of these
holds there, and it says so.
"""

from typing import Final, Literal

import msgspec

from submeter.accounting.boundaries import declared_pue, with_overhead
from submeter.accounting.cooling import COOLING, DISTRIBUTION, OTHER, PUMPS, Plant, under
from submeter.errors import UsageError
from submeter.records.amounts import Amount, sum_amounts
from submeter.records.factors import Factor

FacilityKind = Literal["site", "cloud region", "cooling", "industry", "home"]
Category = Literal["PUE1", "PUE2", "PUE3", ""]
WueKind = Literal["consumption", "withdrawal"]

CATEGORIES: Final[dict[str, str]] = {
    "PUE1": "IT metered at the UPS output: losses behind it count as IT, so overhead is a little "
    "more than PUE - 1",
    "PUE2": "IT metered at the PDU output",
    "PUE3": "IT metered at the input of the machines, as here",
    "": "category not stated",
}
NOT_ANNUAL: Final = "PUE is a figure of a year, applied here to the hours of one run"
# Assumed: no figure of the months of a site is published; water swings more than energy does.
DECLARED_WUE_SPREAD: Final = 1.5
HOME: Final = (
    "a workstation at home or in an office is no data centre: no PUE applies; room "
    "air-conditioning 0 to the upper end, heat that saves heating not counted"
)


class Facility(msgspec.Struct, frozen=True):
    """What stands around IT, and how well it is known.

    ``pue`` holds where no component model is known, ``plant`` where one is. ``wue`` is litres
    per kWh of *IT*; ``wue_is`` says whether its operator counts what is consumed or what is
    taken in, and ``cycles`` (of concentration) leads from one to the other.
    """

    kind: FacilityKind
    name: str
    pue: Factor | None = None
    plant: Plant | None = None
    wue: Factor | None = None
    wue_is: WueKind = "consumption"
    cycles: Factor | None = None
    category: Category = ""
    year: int = 0
    notes: tuple[str, ...] = ()

    @property
    def pue_ratio(self) -> float:
        """Power usage effectiveness at best estimate, of a component model too [ratio]."""
        if self.plant is not None:
            return self.plant.pue
        if self.pue is None:
            raise UsageError(f"neither PUE nor cooling of {self.name} is known")
        return self.pue.value


def choose_facility(
    *,
    prior: Factor,
    prior_wue: Factor | None = None,
    home: Factor | None = None,
    arrangement: str = "",
    declared: Factor | float | None = None,
    declared_wue: Factor | float | None = None,
    cloud: str = "",
    cloud_pue: Factor | None = None,
    cloud_wue: Factor | None = None,
    cooling: Plant | None = None,
    cycles: Factor | None = None,
    category: Category = "",
    year: int = 0,
) -> Facility:
    """Choose the facility from what is known, best first.

    Parameters
    ----------
    prior, prior_wue
        PUE of any data centre [ratio] and water of one [L/kWh of IT], for want of better.
    home
        What a room adds, as a PUE: 1 with an upper end.
    arrangement
        ``home`` chooses *home*; a declared PUE still wins.
    declared, declared_wue
        What the site says of itself.
    cloud, cloud_pue, cloud_wue
        Cloud region by name, and what its operator publishes.
    cooling
        Component model of the technology that is known to cool the site.
    cycles
        Cycles of concentration, where the site blows water down.
    category, year
        Category of ISO/IEC 30134-2 and year of a declared PUE.

    Notes
    -----
    Energy and water are chosen apart, each in the order site > cloud region > cooling technology
    > industry: a region with a PUE and no WUE still takes the water of its cooling.

    Raises
    ------
    UsageError
        For an arrangement ``home`` without a factor for it, or a negative WUE.
    """
    if category not in CATEGORIES:
        raise UsageError(f"a PUE has category PUE1, PUE2 or PUE3, not {category!r}")
    at_home = arrangement == "home"
    if at_home and home is None:
        raise UsageError("nothing is known of rooms: give the factor of a home")
    site = declared_pue(declared) if isinstance(declared, int | float) else declared
    kind, name, pue, plant = _energy(
        site, cloud, cloud_pue, cooling, home if at_home else None, prior
    )
    if pue is not None and kind in ("cloud region", "industry"):
        pue = balanced(pue)
    chosen = pue.year if pue is not None and not at_home else 0
    notes = [] if kind in ("home", "cooling") else [NOT_ANNUAL]
    if kind == "site":
        notes.append(f"{category}: {CATEGORIES[category]}" if category else CATEGORIES[""])
    if kind == "home":
        notes.append(HOME)
    if kind == "industry":
        notes.append("nothing is known of the place: average of the industry, wide")
    wue, how = (
        (_declared_wue(declared_wue), "declared")
        if declared_wue is not None
        else _water(cloud_wue, cooling, prior_wue, at_home=at_home)
    )
    if how:
        notes.append(f"on-site water: {how}")
    return Facility(
        kind=kind,
        name=name,
        pue=pue,
        plant=plant,
        wue=wue,
        wue_is=counted(cooling) if cooling and wue is cooling.evaporation else "consumption",
        cycles=cycles if cycles is not None else (cooling.cycles if cooling else None),
        category=category if kind == "site" else "",
        year=year or chosen,
        notes=(*notes, *(cooling.notes if cooling and plant else ())),
    )


def facility_energy(it: Amount, facility: Facility) -> dict[str, Amount]:
    """What *facility* adds to the energy *it* [J], by part; with *it* they sum to the whole.

    Returns
    -------
    dict
        ``cooling`` (with its pumps), ``distribution`` and ``other`` of a component model;
        ``overhead`` where only a PUE is known; empty where that is 1 without doubt.

    Raises
    ------
    UsageError
        If nothing is known, or the PUE lies below 1.
    """
    if facility.plant is not None:
        parts = under(it, facility.plant).parts
        return {
            COOLING: sum_amounts((parts[COOLING], parts[PUMPS])),
            DISTRIBUTION: parts[DISTRIBUTION],
            OTHER: parts[OTHER],
        }
    if facility.pue is None:
        raise UsageError(f"neither PUE nor cooling of {facility.name} is known")
    return with_overhead(it, facility.pue)


def facility_total(it: Amount, facility: Facility) -> Amount:
    """Energy of the facility for the energy *it* of IT [J]."""
    return sum_amounts((it, *facility_energy(it, facility).values()))


def counted(plant: Plant) -> WueKind:
    """What the water of *plant* counts: where nothing is blown down, all taken in is gone."""
    return "consumption" if plant.cycles is not None else "withdrawal"


def balanced(pue: Factor) -> Factor:
    """Give *pue* with a lower side no wider than its upper one, in the logarithm of ``PUE - 1``.

    Notes
    -----
    An interval that ends just above 1 would say, on that scale, that the overhead may be a
    thousandth: then its upper end, which somebody looked at, tells how wide the doubt is.
    """
    if not pue.low <= pue.value <= pue.high or not pue.value > 1:
        return pue
    above = pue.value - 1
    least = 1 + above * above / (pue.high - 1)
    return msgspec.structs.replace(pue, low=min(pue.value, max(pue.low, least)))


def _energy(
    site: Factor | None,
    cloud: str,
    cloud_pue: Factor | None,
    cooling: Plant | None,
    home: Factor | None,
    prior: Factor,
) -> tuple[FacilityKind, str, Factor | None, Plant | None]:
    """First of what is known, with its kind and name."""
    if site is not None:
        return "site", "the site", site, None
    if home is not None:
        return "home", "home or office", home, None
    if cloud_pue is not None:
        return "cloud region", cloud, cloud_pue, None
    if cooling is not None:
        return "cooling", cooling.name, None, cooling
    return "industry", "average of the industry", prior, None


def _water(
    cloud: Factor | None, cooling: Plant | None, prior: Factor | None, *, at_home: bool
) -> tuple[Factor | None, str]:
    """First of what is known of the water, and whose figure it is."""
    if at_home:
        return Factor("wue-home", 0.0, 0.0, 0.0, "L/kWh", verified="derived"), "none at home"
    if cloud is not None:
        return cloud, "as its operator publishes"
    if cooling is not None:
        return cooling.evaporation, f"of {cooling.name}"
    return prior, "average of the industry, wide" if prior is not None else ""


def _declared_wue(wue: Factor | float) -> Factor:
    """WUE that somebody stated for the place [L/kWh of IT]."""
    if isinstance(wue, Factor):
        return wue
    if not 0 <= wue < float("inf"):
        raise UsageError(f"a WUE is 0 L/kWh or more, not {wue}")
    value = float(wue)
    source = f"WUE {value:g} L/kWh, declared"
    spread = DECLARED_WUE_SPREAD  # an annual figure, applied to some hours
    return Factor(
        "wue", value, value / spread, value * spread, "L/kWh", source=source, verified="declared"
    )
