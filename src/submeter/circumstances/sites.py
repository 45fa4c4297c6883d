# SPDX-License-Identifier: Apache-2.0
"""Facilities, plants and their water by name: what the catalog knows, put into the models.

The only file here that looks into the catalog; `facility`, `cooling`, `climate` and `water` take
what they need as arguments.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from submeter.accounting.climate import Ramp, Weather, mean_over, tower_wue
from submeter.accounting.cooling import (
    COOLING,
    DISTRIBUTION,
    OTHER,
    Plant,
    at_site_of,
    plant,
    switch,
    unknown_plant,
    without_fans,
)
from submeter.accounting.facility import (
    Category,
    Facility,
    balanced,
    choose_facility,
    counted,
)
from submeter.accounting.water import NO_COUNTRY
from submeter.catalog.factors import cooling as coefficient
from submeter.catalog.factors import pue_prior
from submeter.catalog.facts import fact, has
from submeter.catalog.names import near
from submeter.errors import CoverageError, UsageError
from submeter.records.amounts import Amount
from submeter.records.factors import Factor
from submeter.records.figures import Basis, Missing
from submeter.records.traces import Load

TABLE: Final = "facility"
PUE: Final = "pue"
WUE: Final = "wue_l_per_kwh"
AT_HOME: Final = "home"


class Technology(msgspec.Struct, frozen=True):
    """How a technology of cooling is built: which fans, which pumped loops, is it wet."""

    key: str
    name: str
    fans: str
    loops: tuple[str, ...] = ()
    wet: bool = False
    aliases: tuple[str, ...] = ()


_LOOP: Final = "facility_water"
_TOWER: Final = (_LOOP, "tower")
TECHNOLOGIES: Final[dict[str, Technology]] = {
    t.key: t
    for t in (
        Technology("free_air", "free air", "air", aliases=("free cooling", "outside air")),
        Technology("crac_air_dx", "direct expansion (CRAC)", "air", aliases=("crac", "dx")),
        Technology(
            "air_cooled_chiller", "air-cooled chiller", "air", (_LOOP,), aliases=("chiller",)
        ),
        Technology(
            "chilled_water_tower", "chilled water with cooling tower", "air", _TOWER, wet=True,
            aliases=("chilled water", "cooling tower", "water-cooled chiller"),
        ),
        Technology(
            "waterside_economizer_tower", "cooling tower with waterside economiser", "air",
            _TOWER, wet=True, aliases=("waterside economiser", "waterside economizer"),
        ),
        Technology(
            "adiabatic_evaporative", "evaporative (adiabatic)", "air", wet=True,
            aliases=("evaporative", "adiabatic"),
        ),
        Technology(
            "rear_door_heat_exchanger", "rear-door heat exchanger", "air", (_LOOP,), wet=True,
            aliases=("rear door",),
        ),
        Technology(
            "direct_to_chip_dry_cooler", "direct-to-chip, dry cooler", "cold_plate",
            (_LOOP, "cold_plate"), aliases=("direct to chip", "cold plate", "liquid", "dlc"),
        ),
        Technology(
            "direct_to_chip_tower", "direct-to-chip, cooling tower", "cold_plate",
            (*_TOWER, "cold_plate"), wet=True,
        ),
        Technology(
            "immersion_single_phase", "single-phase immersion", "immersion", (_LOOP, "tank"),
            aliases=("immersion", "single phase"),
        ),
        Technology(
            "immersion_two_phase", "two-phase immersion", "immersion", (_LOOP,),
            aliases=("two phase",),
        ),
        Technology(
            "closed_loop_zero_water", "closed loop without evaporation", "cold_plate",
            (_LOOP, "cold_plate"), aliases=("closed loop", "zero water"),
        ),
    )
}  # fmt: skip

_FLEETS: Final = {
    "aws": ("aws_fleet", "aws_fleet"),
    "azure": ("microsoft_fleet", "microsoft_fleet"),
    "gcp": ("google_fleet", "google_fleet_wue"),
    "meta": ("meta_fleet", "meta_fleet"),
    "equinix": ("equinix_fleet", "equinix_fleet"),
    "ovhcloud": ("ovhcloud_fleet", "ovhcloud_fleet"),
}
# Which economiser follows the weather of a technology: rows of cooling.csv.
_ECONOMISERS: Final = {
    "free_air": "airside",
    "adiabatic_evaporative": "airside",
    "waterside_economizer_tower": "waterside",
}


def technology(word: str) -> Technology:
    """Find the technology of cooling that *word* means.

    Raises
    ------
    CoverageError
        If there is none; the message lists what there is.
    """
    plain = word.strip().lower().replace("-", " ").replace("_", " ")
    for found in TECHNOLOGIES.values():
        names = (found.key.replace("_", " "), found.name.lower().replace("-", " "))
        if plain in names or plain in (a.replace("-", " ") for a in found.aliases):
            return found
    known = {
        a: t.key for t in TECHNOLOGIES.values() for a in (t.key.replace("_", " "), *t.aliases)
    }
    alike = near(plain, known, most=1)
    raise CoverageError(
        f"there is no cooling {word[:60]!r}",
        remedy=f"did you mean {known[alike[0]]}?"
        if alike
        else f"one of {', '.join(TECHNOLOGIES)}",
    )


def plant_of(word: str) -> Plant:
    """Component model of the technology of cooling that *word* means."""
    found = technology(word)
    key = f"cooling/{found.key}"
    return plant(
        found.key,
        found.name,
        pue=fact(TABLE, key, PUE),
        cooling_share=fact(TABLE, key, "cooling_share_ratio"),
        fans=coefficient(f"{found.fans}/server_fans_ratio"),
        pumps=_pumps(found.loops),
        distribution=coefficient("site/distribution_ratio"),
        other=coefficient("site/other_ratio"),
        evaporation=fact(TABLE, key, WUE),
        cycles=coefficient("tower/cycles_ratio") if found.wet else None,
    )


def facility_for(
    *,
    pue: Factor | float | None = None,
    wue: Factor | float | None = None,
    cloud: str = "",
    cooling: str = "",
    arrangement: str = "",
    facility: str = "",
    category: Category = "",
    year: int = 0,
) -> Facility:
    """Choose the facility of a run from what its user says and what the catalog knows.

    Parameters
    ----------
    pue, wue
        What the site declares: ratio, and L per kWh of IT.
    cloud
        Key of a cloud region (``aws/us-west-2``). Where the operator publishes nothing for the
        region, the figure of its whole fleet stands in.
    cooling
        A technology, such as ``immersion`` or ``free air``.
    arrangement, facility
        Either ``home``: no data centre.
    category, year
        Of a declared PUE: PUE1, PUE2 or PUE3 of ISO/IEC 30134-2.

    Raises
    ------
    UsageError, CoverageError
        For figures out of range, and names that nobody knows.
    """
    region_pue, whose = _of_cloud(cloud, PUE, 0)
    region_wue, _whose = _of_cloud(cloud, WUE, 1)
    at_home = AT_HOME in (arrangement, facility)
    return choose_facility(
        prior=pue_prior(),
        prior_wue=coefficient("industry/wue_l_per_kwh"),
        home=coefficient("home/pue_ratio"),
        arrangement=AT_HOME if at_home else arrangement,
        declared=pue,
        declared_wue=wue,
        cloud=whose,
        cloud_pue=region_pue,
        cloud_wue=region_wue,
        cooling=plant_of(cooling) if cooling else None,
        category=category,
        year=year,
    )


def plant_for(facility: Facility) -> Plant:
    """Component model to begin a what-if from: the facility's own, else a rule-of-thumb split.

    Raises
    ------
    UsageError
        Of a workstation at home, which has no plant.
    """
    if facility.plant is not None:
        return facility.plant
    if facility.kind == AT_HOME or facility.pue is None:
        raise UsageError(
            "there is no cooling plant at home to exchange",
            remedy="name the data centre: --zone REGION, --pue or --cooling",
        )
    nothing = Factor("wue-unknown", 0.0, 0.0, 0.0, "L/kWh")
    return unknown_plant(
        balanced(facility.pue),
        shares={
            COOLING: coefficient("overhead/cooling_share_ratio"),
            DISTRIBUTION: coefficient("overhead/distribution_share_ratio"),
            OTHER: coefficient("overhead/other_share_ratio"),
        },
        fans=coefficient("air/server_fans_ratio"),
        evaporation=facility.wue or nothing,
        cycles=facility.cycles,
    )


def recooled(here: Facility, word: str) -> tuple[Facility, Factor | None]:
    """Give the same site another cooling, and say what that leaves of the energy of IT.

    Parameters
    ----------
    here
        Facility as it is.
    word
        Technology that is to cool it, such as ``immersion``.

    Returns
    -------
    tuple
        The facility with that technology's cooling, pumps and water, and its own distribution
        and lights; and the ratio by which IT falls or rises with its fans, None where it stays.

    Raises
    ------
    UsageError, CoverageError
        Of a home, and of a technology that nobody knows.
    """
    before, to = plant_for(here), plant_of(word)
    after = at_site_of(before, to)
    change = switch(Amount.exact(1.0, Basis.MEASURED), before, to)
    made = msgspec.structs.replace(
        here,
        kind="cooling",
        name=to.name,
        pue=None,
        plant=after,
        wue=after.evaporation,
        wue_is=counted(after),
        cycles=after.cycles,
        category="",
        notes=(
            *before.notes,
            f"as if cooled by {to.name}, on the site of {here.name}",
            f"of the change: {change.claim}; server fans {change.it_cut_ratio:.0%} of IT",
        ),
    )
    return made, without_fans(before, to)


def fans_left(here: Facility, word: str) -> Factor | None:
    """What another cooling leaves of the energy of IT, as it takes or brings server fans.

    None where they stay, and for a workstation, whose fans nobody knows.
    """
    return None if here.kind == AT_HOME else without_fans(plant_for(here), plant_of(word))


def by_weather(facility: Facility, cooling: str, load: Load, weather: Weather) -> Facility:
    """Give *facility* the PUE and WUE of the hours of *load* instead of a year's.

    Parameters
    ----------
    facility
        What nobody declared or published for it follows the weather; such figures are kept.
    cooling
        Technology that cools it; free air, evaporative, cooling tower.
    load, weather
        When energy was drawn, and the wet-bulb temperatures then.

    Raises
    ------
    CoverageError
        For a technology that no wet-bulb temperature governs, or weather that does not cover.
    """
    found = technology(cooling)
    models = weather_models(found)
    if not models:
        raise CoverageError(
            f"no model of the weather for {found.name}",
            remedy=f"weather governs {', '.join((*_ECONOMISERS, 'chilled_water_tower'))}",
        )
    if facility.kind not in ("cooling", "industry"):
        kept = "PUE and WUE are those of the site or region, whatever the weather"
        return msgspec.structs.replace(facility, notes=(*facility.notes, kept))
    if PUE in models:
        pue = mean_over(load, weather, models[PUE])
        facility = msgspec.structs.replace(facility, kind="cooling", pue=pue, plant=None)
    stated = facility.wue is not None and facility.wue.verified == "declared"
    if WUE in models and not stated:
        wue = mean_over(load, weather, models[WUE])
        facility = msgspec.structs.replace(
            facility, wue=wue, wue_is="withdrawal", cycles=coefficient("tower/cycles_ratio")
        )
    notes = (*facility.notes, f"weather: {weather.source or 'given'}; pressure ignored")
    name = found.name if facility.kind == "cooling" else facility.name
    return msgspec.structs.replace(facility, name=name, notes=notes)


def stress(country: str) -> str | Missing:
    """Baseline water stress of a *country* (ISO alpha-2), in the words of WRI Aqueduct 4.0."""
    if not country:
        return NO_COUNTRY
    if not has("water", country, "stress_category"):
        return Missing(f"no water stress of {country} is known")
    row = fact("water", country, "stress_category")
    return f"{row.note.removeprefix('baseline water stress: ')}, Aqueduct 4.0 baseline"


def _of_cloud(cloud: str, quantity: str, place: int) -> tuple[Factor | None, str]:
    """Figure of a cloud region, else of its provider's fleet, and whose it is."""
    if not cloud:
        return None, ""
    if has("cloud", cloud, quantity):
        return fact("cloud", cloud, quantity), cloud
    provider = cloud.partition("/")[0]
    fleet = f"fleet/{_FLEETS[provider][place]}" if provider in _FLEETS else ""
    if fleet and has(TABLE, fleet, quantity):
        return fact(TABLE, fleet, quantity), f"{cloud}, by the fleet of {provider}"
    return None, cloud


def _pumps(loops: tuple[str, ...]) -> Factor:
    """Energy of the pumps of all *loops*, per energy of IT [ratio]."""
    rows = [coefficient(f"loop/{name}_pumps_ratio") for name in loops]
    if not rows:
        return Factor("cooling/loop/none", 0.0, 0.0, 0.0, "ratio", verified="derived")
    return msgspec.structs.replace(
        rows[0],
        key=f"cooling/loop/{'+'.join(loops)}",
        value=sum(row.value for row in rows),
        low=sum(row.low for row in rows),
        high=sum(row.high for row in rows),
        source="; ".join(dict.fromkeys(row.source for row in rows)),
        verified="recall" if any(row.verified == "recall" for row in rows) else rows[0].verified,
        note="",
    )


def weather_models(found: Technology) -> dict[str, Callable[[float], Factor]]:
    """Models of PUE and WUE by wet-bulb temperature, as far as there are any."""
    cold_c = coefficient("climate/cold_wet_bulb_c").value
    hot_c = coefficient("climate/hot_wet_bulb_c").value

    def ramp(name: str) -> Callable[[float], Factor]:
        ends = name.split("*")
        cold, hot = (coefficient(end.join(ends)) for end in ("cold", "hot"))
        return Ramp(cold, hot, cold_c, hot_c).at

    models: dict[str, Callable[[float], Factor]] = {}
    economiser = _ECONOMISERS.get(found.key)
    if economiser is not None:
        models[PUE] = ramp(f"{economiser}/pue_*_ratio")
    if found.key == "adiabatic_evaporative":
        models[WUE] = ramp("airside/wue_*_l_per_kwh")
    if "tower" in found.loops:
        cycles = coefficient("tower/cycles_ratio").value
        heat = 1 + plant_of(found.key).cooling.value
        evaporated = coefficient("water/evaporated_l_per_kwh")
        models[WUE] = lambda wet_bulb_c: tower_wue(
            wet_bulb_c, cycles=cycles, heat_ratio=heat, evaporated=evaporated
        )
    return models
