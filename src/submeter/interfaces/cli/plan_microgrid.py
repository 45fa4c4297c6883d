# SPDX-License-Identifier: Apache-2.0
"""``submeter plan --solar 10kW --battery 20kWh``: one job, panels, a battery and the grid."""

import re
import time
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click

from submeter.errors import ConfigError, CoverageError, UsageError

if TYPE_CHECKING:
    from submeter.planning.microgrids import Supply
    from submeter.records.places import Zone

_SHED: Final = re.compile(r"\s*(\S+)\s+(\d{1,2}:\d\d\s*[-–]\s*\d{1,2}:\d\d)\s*")
_KWH: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(k|M)?Wh\s*")
_SHORT_SLOTS_S: Final = 2 * 86400.0
_LONGEST_S: Final = 14 * 86400.0


def microgrid_plan(given: Mapping[str, Any], *, as_json: bool = False) -> None:
    """Plan the job of *given* (the options of ``submeter plan``) with panels and a battery.

    Raises
    ------
    UsageError, CoverageError
        If an option makes no sense, or nobody knows where the place lies under the sun.
    InfeasibleError
        If the deadline, the grid limit or the window to shed cannot be met.
    ConfigError
        If highspy is not installed.
    """
    from importlib.util import find_spec

    if find_spec("numpy") is None or find_spec("highspy") is None:
        raise ConfigError(
            "planning with a battery needs highspy, which is not installed",
            remedy="pip install 'submeter[plan]'",
        )
    from submeter.grid.place import resolve_place
    from submeter.grid.timezone import machine_timezone
    from submeter.interfaces.planning import clock_here, job_of
    from submeter.planning.microgrids import Battery, dispatch
    from submeter.planning.words import instant_utc_s, power_w
    from submeter.settings import load

    loaded = load()
    zone = resolve_place(
        argument=given.get("zone"),
        configured=loaded.settings.zone,
        origin=loaded.origin["zone"],
        timezone="" if given.get("zone") or loaded.settings.zone else machine_timezone(),
    )
    clock = clock_here(zone)
    now = time.time()
    now = instant_utc_s(given["at"], now, clock) if given.get("at") else now
    job = job_of(given, now, clock, None)
    if given["objective"] not in {"carbon", "cost"}:
        raise UsageError("panels and battery are planned for one", remedy="carbon or cost")
    price = given.get("price") or loaded.settings.electricity_price or ""
    if given["objective"] == "cost" and not price:
        raise UsageError(
            "what a kilowatt-hour costs is not said", remedy="--price 22:00-06:00=0.18,else=0.31"
        )
    priced = bool(price)
    supply = _supply({**given, "price": price}, zone, clock, (now, job.deadline_s))
    power_kw = power_w(given["battery_power"]) / 1e3 if given.get("battery_power") else None
    capacity_kwh = energy_kwh(given["battery"]) if given.get("battery") else 0.0
    battery = Battery(capacity_kwh, capacity_kwh / 2 if power_kw is None else power_kw)
    sheds = tuple(_shed(words, supply, clock) for words in given.get("sheds") or ())
    made = dispatch(supply, battery, (job,), objective=given["objective"], sheds=sheds)
    if as_json:
        from submeter.reporting.microgrids import dispatch_document
        from submeter.reporting.words import to_json

        click.echo(to_json(dispatch_document(supply, made, priced=priced)))
        return
    from submeter.reporting.microgrids import dispatch_text

    place = zone.name or zone.code
    click.echo(dispatch_text(supply, made, clock, place, priced=priced))


def energy_kwh(words: str) -> float:
    """Energy such as ``20kWh`` [kWh].

    Raises
    ------
    UsageError
        If it is none.
    """
    found = _KWH.fullmatch(words)
    if found is None:
        raise UsageError(f"“{words[:40]}” is no energy", remedy="write it like 20kWh")
    return float(found[1]) * {"k": 1.0, "M": 1e3, None: 1e-3}[found[2]]


def _supply(
    given: Mapping[str, Any], zone: "Zone", clock: str, span: tuple[float, float]
) -> "Supply":
    """Sun, carbon and prices from now to the deadline."""
    import math

    from submeter.grid.traces import intensity
    from submeter.planning.microgrids import Supply
    from submeter.planning.slotted import constant, resampled, series
    from submeter.planning.sunshine import panels_kw
    from submeter.planning.words import power_w

    length_s = span[1] - span[0]
    if length_s > _LONGEST_S:
        raise UsageError("two weeks are the longest plan here", remedy="give a nearer deadline")
    step_s = 900.0 if length_s <= _SHORT_SLOTS_S else 3600.0
    slots = max(1, math.ceil(length_s / step_s))
    solar = constant(0.0, slots)
    if given.get("solar"):
        if zone.latitude is None or zone.longitude is None:
            raise CoverageError(
                f"where {zone.name} lies under the sun is not known",
                remedy="give coordinates: --zone 52.5,13.4",
            )
        place = (zone.latitude, zone.longitude)
        solar = panels_kw(power_w(given["solar"]) / 1e3, place, span[0], step_s, slots)
    trace = intensity(zone, span[0], span[0] + slots * step_s)
    grid = (span[0], step_s, slots)
    carbon = resampled(trace.values, trace.start_utc_s, trace.step_s, grid, zone.code)
    middles = [span[0] + (slot + 0.5) * step_s for slot in range(slots)]
    buy = series(_prices(given.get("price"), middles, clock))
    sell = constant(float(given.get("sell_price") or 0.0), slots)
    limit = power_w(given["grid_limit"]) / 1e3 if given.get("grid_limit") else math.inf
    return Supply(span[0], step_s, solar, carbon, buy, sell, constant(0.0, slots), import_kw=limit)


def _prices(words: str | None, instants_s: list[float], clock: str) -> list[float]:
    """Price in each slot by the local clock; zero if none is given [currency/kWh]."""
    from submeter.accounting.money import parse_tariff
    from submeter.planning.words import clock_of

    if not words:
        return [0.0] * len(instants_s)
    windows = parse_tariff(words, "").windows
    made = []
    for at in instants_s:
        local = datetime.fromtimestamp(at, clock_of(clock))
        of_day_s = local.hour * 3600 + local.minute * 60 + local.second
        made.append(next(w.price_per_kwh for w in windows if w.start_s <= of_day_s < w.end_s))
    return made


def _shed(words: str, supply: "Supply", clock: str) -> Any:
    """The next such hours by the local clock, as slots."""
    from submeter.planning.microgrids import Shed
    from submeter.planning.objectives import Hours
    from submeter.planning.words import clock_of, power_w

    found = _SHED.fullmatch(words)
    if found is None:
        raise UsageError(f"“{words[:40]}” is nothing to shed", remedy='--shed "2kW 17:00-19:00"')
    end_s = supply.start_s + supply.slots * supply.step_s
    stretches = Hours.of(found[2]).stretches(supply.start_s, end_s, clock_of(clock))
    # also those that have begun, such as 22:00-06:00 at two in the morning
    ahead = [(a, b) for a, b in stretches if b > supply.start_s and a < end_s]
    if not ahead:
        raise UsageError(
            f"the hours {found[2]} come after the deadline, and nothing is planned then",
            remedy="give a later deadline, or leave --shed out",
        )
    first = max(0, int((ahead[0][0] - supply.start_s) // supply.step_s))
    last = min(supply.slots, -int(-(ahead[0][1] - supply.start_s) // supply.step_s))
    return Shed(first, last, power_w(found[1]) / 1e3)
