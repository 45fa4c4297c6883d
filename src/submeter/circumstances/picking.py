# SPDX-License-Identifier: Apache-2.0
"""Which facts of the catalog the accounting of carbon and everyday words takes.

This file and ``owning.py`` pick; the others here take factors and amounts as arguments.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from submeter.accounting.carbon import Intensity
from submeter.accounting.equivalents import MOST_PIECES, ONE, Dimension, Everyday
from submeter.accounting.market import Backed, matching_claim
from submeter.accounting.ratios import spanning
from submeter.catalog import facts as catalog
from submeter.errors import CoverageError, UsageError
from submeter.grid.factors import RESIDUAL_KIND
from submeter.records.claims import Allocation
from submeter.records.factors import Factor
from submeter.records.figures import Missing
from submeter.records.traces import Kind
from submeter.storing.wording import safe_text
from submeter.units import G_PER_KG, J_PER_KWH

DAYS_PER_YEAR: Final = 365
_MIX: Final = ("wind", "solar", "hydro", "nuclear")
_RENEWABLE: Final = "renewable"
_ALSO_CALLED: Final = {
    "biomass": "bioenergy", "biogas": "bioenergy", "photovoltaic": "solar", "pv": "solar",
    "hydropower": "hydro", "lignite": "coal", "natural_gas": "gas", "tidal": "ocean",
}  # fmt: skip
_LIFECYCLE: Final = Kind()
_DIRECT: Final = Kind(scope="direct")


# --- electricity and claims on it ---------------------------------------------------------------


def generated_by(source: str) -> tuple[Intensity, Intensity]:
    """Lifecycle and direct intensity of a *source* of power, or of a ``mix`` without fire.

    Raises
    ------
    UsageError
        If the catalog has no such source.
    """
    names = _MIX if source == "mix" else (source,)
    try:
        found = [_generation(name) for name in names]
    except CoverageError as exc:
        known = sorted({k for k in catalog.keys("generation") if ":" not in k} | {"mix"})
        raise UsageError(
            f"no source of power is called {source!r}", remedy=f"one of {', '.join(known)}"
        ) from exc
    if len(found) == 1:
        return found[0]
    lifecycle = spanning("generation/mix/lifecycle_g_per_kwh", [row.factor for row, _ in found])
    direct = found[0][1].factor
    zero = msgspec.structs.replace(
        direct,
        key="generation/mix/direct_g_per_kwh",
        value=0.0,
        low=0.0,
        high=max(row.factor.high for _, row in found),
    )
    return Intensity(lifecycle, _LIFECYCLE), Intensity(zero, _DIRECT)


def _generation(name: str) -> tuple[Intensity, Intensity]:
    lifecycle = catalog.fact("generation", name, "lifecycle_g_per_kwh")
    direct = catalog.fact("generation", name, "direct_g_per_kwh")
    return Intensity(lifecycle, _LIFECYCLE), Intensity(direct, _DIRECT)


def fuel_named(word: str) -> str:
    """Name of a source that a claim may be of, as the catalog has it.

    Raises
    ------
    UsageError
        If the catalog has no such source: a claim on it could not be reckoned.
    """
    asked = word.strip().lower().replace(" ", "_")
    name = _ALSO_CALLED.get(asked, asked)
    known = {k for k in catalog.keys("generation") if ":" not in k} | {_RENEWABLE}
    if name not in known:
        raise UsageError(
            f"no source of power is called {safe_text(word)!r}",
            remedy=f"one of {', '.join(sorted(known))}; leave --fuel out if it is not told",
        )
    return name


def backed(allocations: Iterable[Allocation]) -> tuple[Backed, ...]:
    """Allocations with the intensities of their sources.

    One whose source is not told or not known claims nothing better than what is left of its
    market: the residual mix of its zone, where one is published.
    """
    made = []
    for allocation in allocations:
        fuel = allocation.claim.fuel
        try:
            source = fuel_named(fuel) if fuel else ""
            lifecycle, direct = generated_by("mix" if source == _RENEWABLE else source)
        except UsageError:
            why = Missing(f"its source {safe_text(fuel)!r} is not known" if fuel
                          else "its source is not told")  # fmt: skip
            made.append(Backed(allocation, why, why, _residual(allocation.claim.zone)))
        else:
            made.append(Backed(allocation, direct, lifecycle))
    return tuple(made)


def _residual(zone: str) -> Intensity | Missing:
    country, quantity = zone.partition("-")[0].upper(), "residual_mix_g_per_kwh"
    if not catalog.has("grid", country, quantity):
        return Missing(f"no residual mix is published for {country}")
    return Intensity(catalog.fact("grid", country, quantity), RESIDUAL_KIND)


def provider_claim(cloud: str) -> tuple[str, ...]:
    """Put the annual matching claim of a cloud region beside its hourly carbon-free share."""
    annual, hourly = (
        catalog.fact("cloud", cloud, name)
        if cloud and catalog.has("cloud", cloud, name)
        else Missing("not published")
        for name in ("cfe_annual_ratio", "cfe_hourly_ratio")
    )
    provider, _, region = cloud.partition("/")
    said = list(matching_claim(f"{provider} in {region}", annual, hourly))
    if cloud and catalog.has("cloud", cloud, "matching_claim_g_per_kwh"):
        own = catalog.fact("cloud", cloud, "matching_claim_g_per_kwh")
        said.append(
            f"{provider} reports {own.value:.4g} g/kWh for {region} after its annual matching "
            f"({own.year}): a claim, no factor"
        )
    return tuple(said)


# --- everyday words -----------------------------------------------------------------------------

_EUROPEAN: Final = frozenset({
    "AT", "BE", "BG", "CH", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GB", "GR", "HR", "HU",
    "IE", "IS", "IT", "LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK",
})  # fmt: skip
_HOUSEHOLD: Final = "household_electricity_year_"


def everyday(country: str = "") -> tuple[Everyday, ...]:
    """What people of *country* (ISO 3166-1 alpha-2) know, and what one of it amounts to.

    A household is one of the country, else of Europe for a European country; elsewhere none is
    made up.
    """
    home = next((c for c in (country, "EU" if country in _EUROPEAN else "") if _has_home(c)), "")
    driven = "car_km_eu_green_algorithms" if country in _EUROPEAN else "car_km_gasoline_us"
    road = "in Europe" if country in _EUROPEAN else "in the US"
    flight = _fact("flight_ny_sf_green_algorithms", "carbon_kg")
    flown = spanning(
        "equivalents/flight_ny_sf/carbon_kg",
        [flight, _fact("flight_ny_sf_one_passenger", "carbon_kg")],
    )
    made = [
        _of("car_lifetime", "car_lifetime_incl_fuel", "carbon", "a car's lifetime including fuel",
            "car lifetimes including fuel", least=0.001),
        Everyday("flight_ny_sf", "carbon", flown.scaled(G_PER_KG, "g"),
                 "a passenger's flight from New York to San Francisco",
                 "passengers' flights from New York to San Francisco", least=0.01),
        _of("km_driven", driven, "carbon", f"a km driven in a petrol car {road}",
            f"km driven in a petrol car {road}"),
        _of("phone_charge", "smartphone_charge_energy", "energy", "a phone charge",
            "phone charges", least=0.01),
        _of("kettle_litre", "kettle_litre_boil", "energy", "a litre of water boiled",
            "litres of water boiled", most=100),
        _of("shower", "shower", "water", "a shower", "showers"),
        _of("bottle", "bottle_of_water", "water", "a half-litre bottle of water",
            "half-litre bottles of water", most=100),
    ]  # fmt: skip
    if home:
        year = _fact(f"{_HOUSEHOLD}{home}", "energy_kwh")
        day = year.scaled(J_PER_KWH / DAYS_PER_YEAR, "J")
        where = "Europe" if home == "EU" else _country(home)
        words = (f"a household's electricity of a day ({where})",
                 f"days of a household's electricity ({where})")  # fmt: skip
        made.insert(3, Everyday("household_day", "energy", day, *words, most=365))
    return tuple(made)


def _has_home(country: str) -> bool:
    return bool(country) and catalog.has("equivalents", f"{_HOUSEHOLD}{country}", "energy_kwh")


def _country(code: str) -> str:
    row = catalog.attributes("zones", code)
    return row["name"] if row else code


def _fact(key: str, quantity: str) -> Factor:
    return catalog.fact("equivalents", key, quantity)


def _of(
    key: str, row: str, dimension: Dimension, one: str, many: str, *,
    least: float = ONE, most: float = MOST_PIECES,
) -> Everyday:  # fmt: skip
    quantity, ratio, unit = {
        "carbon": ("carbon_kg", float(G_PER_KG), "g"),
        "energy": ("energy_kwh", J_PER_KWH, "J"),
        "water": ("water_l", 1.0, "L"),
    }[dimension]
    return Everyday(
        key, dimension, _fact(row, quantity).scaled(ratio, unit), one, many, least, most
    )
