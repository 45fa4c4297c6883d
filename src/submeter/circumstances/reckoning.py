# SPDX-License-Identifier: Apache-2.0
"""What a run's electricity brought with it: picked from catalog and grid, by what is recorded.

What is set later changes nothing: place, facility and prices are those that were recorded when
the run began, unless a what-if (`Asked`) says otherwise.
"""

import contextlib
from collections.abc import Callable
from typing import Final

import msgspec

from submeter.accounting.carbon import Intensity
from submeter.accounting.climate import Weather
from submeter.accounting.embodied import embodied_by_hours, factors_of
from submeter.accounting.equivalents import equivalents
from submeter.accounting.facility import Facility
from submeter.accounting.footprints import Circumstances, amounts_to
from submeter.accounting.money import parse_tariff, tariff_price
from submeter.accounting.published import refuse_another, scope_notes, told_pue
from submeter.accounting.ratios import exactly
from submeter.accounting.scopes import Arrangement
from submeter.accounting.water import Generation
from submeter.circumstances import picking
from submeter.circumstances.owning import hardware_of, server_ratio
from submeter.circumstances.sites import (
    by_weather,
    facility_for,
    fans_left,
    recooled,
    stress,
    technology,
    weather_models,
)
from submeter.errors import CoverageError, UsageError
from submeter.grid import factors as grid
from submeter.grid.loads import load_of, started_at, utc_offset_s, year_of
from submeter.grid.microgrid import Microgrid, supplied
from submeter.grid.place import place_of
from submeter.grid.supply import Supply, supply
from submeter.grid.traces import intensity
from submeter.grid.weighting import weighted
from submeter.records.claims import Allocation, Claim
from submeter.records.factors import Factor
from submeter.records.figures import Missing
from submeter.records.footprints import Footprint
from submeter.records.places import Zone
from submeter.records.runs import Run
from submeter.records.traces import Kind, Load, Trace
from submeter.settings import Settings
from submeter.settings.recording import restored

TraceOf = Callable[[Zone, float, float], Trace]
_RESIDUAL: Final = Kind(scope="direct", method="market")
_MARGINAL: Final = Kind(signal="marginal", scope="direct")


class Asked(msgspec.Struct, frozen=True):
    """What a what-if changes; None leaves it as it was recorded."""

    zone: str | None = None
    at_utc_s: float | None = None
    pue: float | None = None
    cooling: str | None = None
    supply: str | None = None
    solar_kw: float | None = None
    battery_kwh: float | None = None
    arrangement: str | None = None
    price: str | None = None


class Known(msgspec.Struct, frozen=True):
    """What only files and providers know: intensity over time, and what the run may claim."""

    trace_of: TraceOf = intensity
    allocations: tuple[Allocation, ...] = ()
    offsets: tuple[Claim, ...] = ()


ASKED: Final = "asked_"  # begins what a replayed run was asked, beside what it recorded
AS_IT_WAS: Final = Asked()
OFFLINE: Final = Known()


def reckon(run: Run, asked: Asked = AS_IT_WAS, known: Known = OFFLINE) -> Footprint:
    """All that *run* amounts to where and when it was, or as *asked*.

    Raises
    ------
    UsageError, CoverageError
        If what is asked for makes no sense; what was recorded is never an error.
    """
    around = circumstances_of(run, asked, known)
    made = amounts_to(run, around)
    everyday = equivalents(
        {
            "carbon": made.carbon.location,
            "energy": made.facility,
            "water": made.water.offsite_dry,
        },
        picking.everyday(around.zone.country),
    )
    return msgspec.structs.replace(made, equivalents=everyday)


def circumstances_of(run: Run, asked: Asked = AS_IT_WAS, known: Known = OFFLINE) -> Circumstances:
    """Circumstances of *run*, or those *asked* for: see `reckon`."""
    refuse_another(run, asked.pue, asked.cooling)
    asked = _with_recorded(run, asked)
    recorded, lost = _recorded(run)
    zone = place_of(run.place, argument=asked.zone)
    settings = _with(recorded, asked, zone)
    load = _moved(load_of(run), asked)
    year = year_of(load)
    facility, it_ratio = _facility(run, zone, settings, asked)
    if asked.zone is None:  # weather was told of one place
        facility = _by_weather(facility, load, settings)
    drawn, grid_ratio, notes = _from_grid(load, zone, asked)
    brought = _grid(zone, drawn, year, asked, known)
    price, currency = _price(settings, zone, drawn, run)
    whose = arrangement_of(settings, zone)
    owned = hardware_of(
        run,
        arrangement=whose,
        cpu_ratio=1.0 if whose is Arrangement.HOME else server_ratio(run),
        life_years=settings.hardware_life_years,
    )
    hardware = embodied_by_hours(owned, run.duration_s)
    residual = grid.residual_factor(zone)
    return Circumstances(
        zone=zone,
        facility=facility,
        it_ratio=it_ratio,
        arrangement=whose,
        year=year,
        lifecycle=brought.lifecycle,
        direct=brought.direct,
        loss=_loss(zone),
        residual=residual if isinstance(residual, Missing) else Intensity(residual, _RESIDUAL),
        claims=picking.backed(known.allocations),
        offsets=known.offsets,
        matching=picking.provider_claim(zone.cloud),
        marginals=(
            *brought.marginals,
            *(Intensity(f, _MARGINAL) for f in grid.marginal(zone)),
        ),
        generation=brought.water,
        stress=stress(zone.country),
        embodied=hardware.total,
        hardware_factors=factors_of(owned),
        price=price,
        currency=currency,
        carbon_price=_carbon_price(settings, currency),
        grid_ratio=grid_ratio,
        notes=tuple(
            dict.fromkeys((*scope_notes(run), *lost, *notes, *brought.notes, *hardware.notes))
        ),
    )


def arrangement_of(settings: Settings, zone: Zone) -> Arrangement:
    """Whose machines they are: as said, else a cloud customer's where a region is named."""
    if settings.arrangement:
        return Arrangement(settings.arrangement)
    return Arrangement.CLOUD if zone.cloud else Arrangement.OWN_SITE


def replayed(run: Run, asked: Asked, *, run_id: str, name: str) -> Run:
    """*run* as a run of its own, moved to the place and time *asked* for.

    What was recorded stays recorded; what is asked is recorded beside it, so that the replayed run
    amounts to what the what-if does.

    Raises
    ------
    UsageError
        If nothing else can hold for *run*.
    """
    refuse_another(run, asked.pue, asked.cooling)
    told = msgspec.structs.asdict(msgspec.structs.replace(asked, at_utc_s=None))
    words = {f"{ASKED}{key}": str(value) for key, value in told.items() if value is not None}
    place = run.place | words
    return msgspec.structs.replace(
        run,
        id=run_id,
        name=name,
        origin="replayed",
        parent=run.id,
        place=place,
        started_utc=run.started_utc if asked.at_utc_s is None else started_at(asked.at_utc_s),
    )


# --- inside -------------------------------------------------------------------------------------


def _with_recorded(run: Run, asked: Asked) -> Asked:
    """*asked*, and what a replayed *run* was asked before."""
    before: dict[str, object] = {}
    for name, kind in Asked.__annotations__.items():
        word = run.place.get(f"{ASKED}{name}")
        if word is None:
            continue
        with contextlib.suppress(ValueError):
            before[name] = word if "str" in str(kind) else float(word)
    now = msgspec.structs.asdict(asked)
    return msgspec.convert(before | {n: v for n, v in now.items() if v is not None}, Asked)


def _recorded(run: Run) -> tuple[Settings, tuple[str, ...]]:
    """Settings as *run* recorded them, without words that mean nothing; those are noted."""
    settings = restored(run.place)
    notes: list[str] = []
    try:
        if settings.cooling:
            technology(settings.cooling)
    except CoverageError as exc:
        notes.append(f"{exc}: left out")
        settings = msgspec.structs.replace(settings, cooling=None)
    try:
        if settings.electricity_price:
            parse_tariff(settings.electricity_price, settings.currency)
    except UsageError as exc:
        notes.append(f"{exc}: left out")
        settings = msgspec.structs.replace(settings, electricity_price=None)
    return settings, tuple(notes)


def _with(settings: Settings, asked: Asked, zone: Zone) -> Settings:
    """*settings* with what is *asked* instead; another place or cooling brings its own figures."""
    changed: dict[str, object] = {}
    if asked.cooling is not None:
        changed |= {"cooling": asked.cooling, "pue": None, "wue_l_per_kwh": None}
    if asked.zone is not None:
        changed |= {"electricity_price": None}
        if asked.cooling is not None and settings.arrangement == Arrangement.HOME:
            changed |= {"arrangement": None}  # a data centre elsewhere
        if zone.cloud:  # a provider's region has a facility of its own, and is nobody's home
            changed |= {"pue": None, "wue_l_per_kwh": None, "cooling": asked.cooling}
            changed |= {"arrangement": None}
    for name, value in (
        ("pue", asked.pue),
        ("arrangement", asked.arrangement),
        ("electricity_price", asked.price),
    ):
        if value is not None:
            changed[name] = value
    return msgspec.structs.replace(settings, **changed)


def _facility(
    run: Run, zone: Zone, settings: Settings, asked: Asked
) -> tuple[Facility, Factor | None]:
    """What stands around *run*, and what a change of its cooling leaves of IT."""
    own, place = settings, zone
    if asked.cooling is not None:
        if settings.arrangement == Arrangement.HOME:
            raise UsageError(
                "there is no cooling plant at home to exchange",
                remedy="--arrangement 'own site' with it",
            )
        own, place = _recorded(run)[0], place_of(run.place)
        if asked.zone is None:  # the same site, on another account
            own = msgspec.structs.replace(own, arrangement=settings.arrangement)
    here = facility_for(
        pue=told_pue(run, own.pue),
        wue=own.wue_l_per_kwh,
        cloud=place.cloud,
        cooling=own.cooling or "",
        arrangement=own.arrangement or "",
    )
    if asked.cooling is None:
        return here, None
    if asked.zone is None and asked.pue is None:
        return recooled(here, asked.cooling)
    there = facility_for(pue=asked.pue, cooling=asked.cooling)
    return there, fans_left(here, asked.cooling)


def _by_weather(facility: Facility, load: Load, settings: Settings) -> Facility:
    """*facility* in the weather of its site, where that is told and governs its cooling."""
    cooling = settings.cooling or ""
    if not settings.wet_bulb_c or not cooling or not weather_models(technology(cooling)):
        return facility
    months = tuple(float(word) for word in settings.wet_bulb_c.split(","))
    told = Weather(months, monthly=True, source="monthly wet-bulb temperatures, declared")
    return by_weather(facility, cooling, load, told)


def _moved(load: Load, asked: Asked) -> Load:
    if asked.at_utc_s is None:
        return load
    return msgspec.structs.replace(load, start_utc_s=asked.at_utc_s)


def _from_grid(load: Load, zone: Zone, asked: Asked) -> tuple[Load, float, tuple[str, ...]]:
    """What the grid supplies of *load*, its part of the energy, and what to say of it."""
    if not asked.solar_kw and not asked.battery_kwh:
        return load, 1.0, ()
    if zone.latitude is None or zone.longitude is None:
        raise CoverageError(
            f"where {zone.name} lies under the sun is not known",
            remedy="give coordinates: --zone 52.5,13.4",
        )
    system = Microgrid(
        panel_kw=asked.solar_kw or 0.0,
        battery_kwh=asked.battery_kwh or 0.0,
        latitude=zone.latitude,
        longitude=zone.longitude,
    )
    found = supplied(load, system)
    whole, left = sum(load.energies_j), sum(found.grid.energies_j)
    ratio = left / whole if whole > 0 else 1.0
    words = (
        f"panels and battery supply {1 - ratio:.0%} of it under an average sky, sized against the "
        "devices' energy; what making them emitted is not counted"
    )
    return (found.grid if left > 0 else load), ratio, (words,)


class _Grid(msgspec.Struct, frozen=True):
    """What a kilowatt-hour brought with it then and there."""

    lifecycle: Intensity
    direct: Intensity
    water: Generation
    marginals: tuple[Intensity, ...] = ()
    notes: tuple[str, ...] = ()


def _grid(zone: Zone, load: Load, year: int, asked: Asked, known: Known) -> _Grid:
    """Carbon and water of a kilowatt-hour then and there.

    A provider that tells direct or marginal intensities tells no lifecycle: those come from the
    catalog then, and what it says stands where it belongs.
    """
    if asked.supply is not None:
        given = supply(asked.supply, zone)
        lifecycle, direct = _supplied(given)
        water = Generation(given.water, given.water_dry)
        return _Grid(lifecycle, direct, water, notes=(given.note,))
    end_utc_s = load.start_utc_s + load.slot_s * len(load.energies_j)
    told = known.trace_of(zone, load.start_utc_s, end_utc_s)
    kind = told.kind or Kind()
    whole = told
    if kind.signal != "average" or kind.scope != "lifecycle":
        whole = intensity(zone, load.start_utc_s, end_utc_s)
    lifecycle = Intensity(weighted(load, whole), whole.kind or Kind())
    stacks = msgspec.structs.replace(lifecycle.kind, scope="direct")
    if kind.signal == "average" and kind.scope == "direct":
        direct = Intensity(weighted(load, told), stacks)
    else:
        direct = Intensity(_stack_part(lifecycle.factor, zone, year), stacks)
    marginal = (Intensity(weighted(load, told), kind),) if kind.signal == "marginal" else ()
    water = Generation(
        consumption=grid.water_factor(zone, reservoirs=True),
        dry=grid.water_factor(zone, reservoirs=False),
        withdrawal=grid.withdrawal_factor(zone),
    )
    notes = tuple(dict.fromkeys((*told.notes, *whole.notes)))
    return _Grid(lifecycle, direct, water, marginal, notes)


def _supplied(given: Supply) -> tuple[Intensity, Intensity]:
    return Intensity(given.lifecycle, Kind()), Intensity(given.direct, Kind(scope="direct"))


def _stack_part(lifecycle: Factor, zone: Zone, year: int) -> Factor:
    """Part of a *lifecycle* intensity that left the stacks, by what generates in *zone*.

    Notes
    -----
    ``l * d / (d + u)`` with direct and upstream intensity of the generation there: what is
    imported is taken to have the same part.
    """
    direct, upstream = grid.direct_factor(zone, year=year), grid.upstream_factor(zone, year=year)
    whole = direct.value + upstream.value
    if direct.value <= 0 or whole <= 0:
        return msgspec.structs.replace(
            direct, value=0.0, low=0.0, high=min(direct.high, lifecycle.value)
        )
    value = lifecycle.value * direct.value / whole
    return msgspec.structs.replace(
        direct,
        key=f"{lifecycle.key}:direct",
        value=value,
        low=value * direct.low / direct.value,
        high=min(value * direct.high / direct.value, max(value, lifecycle.high)),
        source="; ".join(dict.fromkeys(f"{direct.source}; {upstream.source}".split("; "))),
        verified="derived" if lifecycle.verified != "assumed" else "assumed",
    )


def _loss(zone: Zone) -> Factor | Missing:
    try:
        return grid.loss_ratio(zone)
    except CoverageError as exc:
        return Missing(str(exc))


def _price(settings: Settings, zone: Zone, load: Load, run: Run) -> tuple[Factor | Missing, str]:
    """Price of a kilowatt-hour and its currency: as set, else of the place."""
    if settings.electricity_price:
        tariff = parse_tariff(settings.electricity_price, settings.currency)
        offset = utc_offset_s(zone.timezone or run.place.get("timezone", ""))
        return tariff_price(tariff, load, offset), tariff.currency
    found = grid.price_factor(zone, settings.currency)
    if isinstance(found, Factor):
        return found, settings.currency
    dollars = grid.price_factor(zone)
    return (found, settings.currency) if isinstance(dollars, Missing) else (dollars, "USD")


def _carbon_price(settings: Settings, currency: str) -> Factor | Missing:
    """Price of a tonne as it was set, if it is in the *currency* of the electricity."""
    price = settings.carbon_price_per_t
    if price is None:
        return Missing("no carbon price is set")
    if currency != settings.currency:
        return Missing(
            f"the price of carbon is in {settings.currency}, that of electricity in {currency}"
        )
    return exactly("carbon-price", price, f"{currency}/t", f"{price:g} {currency}/t, declared")
