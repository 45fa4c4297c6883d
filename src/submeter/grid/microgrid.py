# SPDX-License-Identifier: Apache-2.0
"""Panels and a battery before the meter: what the grid still has to supply. Pure.

A what-if under a sky of even cloudiness, not a forecast: no weather, no shade, panels that lie
flat. What making panels and battery emitted is not in any figure here.
"""

import math
from functools import lru_cache
from typing import Final

import msgspec

from submeter.errors import UsageError
from submeter.records.traces import Load
from submeter.units import kwh_to_joule

STEP_S: Final = 3600.0  # longest step; a load of longer slots is cut for the reckoning
_DAY_S: Final = 86400.0
_POLE: Final = 90.0
_DATE_LINE: Final = 180.0
_YEAR_DAYS: Final = 365.0
_TEST_W_PER_M2: Final = 1000.0  # irradiance at which peak power is rated, IEC 61215


class Microgrid(msgspec.Struct, frozen=True):
    """A photovoltaic system with a battery.

    ``efficiency_ratio`` is that of a whole cycle of the battery; half of the loss (in decibels)
    falls to charging. ``performance_ratio`` is what inverter, heat, dust and cables leave.
    ``clearness_ratio`` is irradiance over that of a clear sky: 0.81 follows from the mean cloud
    cover of the Earth, N = 0.67 (King et al. 2013, IEEE TGRS 51, MODIS), by
    ``1 - 0.75 N**3.4`` (Kasten and Czeplak 1980, Solar Energy 24).
    """

    panel_kw: float
    battery_kwh: float
    latitude: float
    longitude: float
    efficiency_ratio: float = 0.9  # lithium-ion with inverter: 0.85 to 0.92
    performance_ratio: float = 0.8  # 0.75 to 0.85 of systems in the field
    clearness_ratio: float = 0.81
    battery_kw: float = math.inf
    charged_ratio: float = 0.0  # at the start


class Supplied(msgspec.Struct, frozen=True):
    """Who supplied a load, on its slots [J]. ``grid`` and ``own`` add up to the load.

    ``solar_j = direct + into the battery + spilled_j`` and ``in = out + stored_j + lost_j``.
    ``charge_j`` is the battery's content at the end of each slot.
    """

    grid: Load
    own: Load
    charge_j: tuple[float, ...]
    solar_j: float
    spilled_j: float
    lost_j: float
    stored_j: float  # content at the end less that at the start


def clear_sky_w_per_m2(at_utc_s: float, latitude: float, longitude: float) -> float:
    """Irradiance of a horizontal plane under a clear sky.

    Notes
    -----
    ``1098 cos z exp(-0.059 / cos z)`` with the zenith angle z (Haurwitz 1945, J. Meteorology 2;
    in this form in Reno, Hansen, Stein 2012, SAND2012-2389). Declination after Cooper 1969,
    equation of time after Spencer 1971.
    """
    day = at_utc_s / _DAY_S
    of_year = _day_of_year(math.floor(day))
    turn = 2 * math.pi * (of_year - 1) / _YEAR_DAYS
    declination = math.radians(23.45) * math.sin(2 * math.pi * (283 + of_year) / _YEAR_DAYS)
    late_min = 229.18 * (
        0.0000075
        + 0.001868 * math.cos(turn)
        - 0.032077 * math.sin(turn)
        - 0.014615 * math.cos(2 * turn)
        - 0.040849 * math.sin(2 * turn)
    )
    solar_h = (day % 1.0) * 24 + longitude / 15 + late_min / 60
    angle = math.radians(15 * (solar_h - 12))
    place = math.radians(latitude)
    cosine = math.sin(place) * math.sin(declination)
    cosine += math.cos(place) * math.cos(declination) * math.cos(angle)
    return 1098.0 * cosine * math.exp(-0.059 / cosine) if cosine > 0 else 0.0


def supplied(load: Load, system: Microgrid) -> Supplied:
    """Who supplies *load*: panels first, then the battery, then the grid.

    The battery is charged by what the load leaves of the sun, never from the grid.

    Raises
    ------
    UsageError
        If *system* holds a size or ratio that cannot be.
    """
    _check(system)
    cuts = max(1, math.ceil(load.slot_s / STEP_S))
    step_s = load.slot_s / cuts
    one_way = math.sqrt(system.efficiency_ratio)
    full_j = kwh_to_joule(system.battery_kwh)
    most_j = system.battery_kw * 1e3 * step_s
    begin_j = held_j = full_j * system.charged_ratio
    grid: list[float] = []
    charge: list[float] = []
    solar: list[float] = []
    spilled: list[float] = []
    lost: list[float] = []
    for i, energy_j in enumerate(load.energies_j):
        from_grid = 0.0
        for k in range(cuts):
            wanted = energy_j / cuts
            sun = (
                _panel_w(system, load.start_utc_s + i * load.slot_s + (k + 0.5) * step_s) * step_s
            )
            direct = min(sun, wanted)
            into = min(sun - direct, most_j, (full_j - held_j) / one_way)
            out = min(wanted - direct, most_j, held_j * one_way)
            held_j = min(full_j, max(0.0, held_j + into * one_way - out / one_way))
            from_grid += max(0.0, wanted - direct - out)
            solar.append(sun)
            spilled.append(sun - direct - into)
            lost.append(into * (1 - one_way) + out * (1 / one_way - 1))
        grid.append(min(from_grid, energy_j))
        charge.append(held_j)
    own = tuple(e - g for e, g in zip(load.energies_j, grid, strict=True))
    return Supplied(
        grid=msgspec.structs.replace(load, energies_j=tuple(grid)),
        own=msgspec.structs.replace(load, energies_j=own),
        charge_j=tuple(charge),
        solar_j=math.fsum(solar),
        spilled_j=math.fsum(spilled),
        lost_j=math.fsum(lost),
        stored_j=held_j - begin_j,
    )


def _panel_w(system: Microgrid, at_utc_s: float) -> float:
    sky = clear_sky_w_per_m2(at_utc_s, system.latitude, system.longitude)
    ratio = system.clearness_ratio * system.performance_ratio / _TEST_W_PER_M2
    return system.panel_kw * 1e3 * sky * ratio


@lru_cache(maxsize=400)
def _day_of_year(day: int) -> int:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(day * _DAY_S, UTC).timetuple().tm_yday


def _check(system: Microgrid) -> None:
    sizes = (system.panel_kw, system.battery_kwh)
    ratios = (system.performance_ratio, system.clearness_ratio, system.charged_ratio)
    if not all(math.isfinite(s) and s >= 0 for s in sizes) or not system.battery_kw >= 0:
        raise UsageError(
            "panels and battery have sizes that are finite and not below zero",
            remedy="--solar 5 --battery 10, or 0 for none",
        )
    if not 0 < system.efficiency_ratio <= 1 or not all(0 <= r <= 1 for r in ratios):
        raise UsageError(
            "ratios of a microgrid lie between 0 and 1", remedy="give ratios from 0 to 1"
        )
    if not (abs(system.latitude) <= _POLE and abs(system.longitude) <= _DATE_LINE):
        raise UsageError(
            f"{system.latitude:g}, {system.longitude:g} is no place on Earth",
            remedy="give latitude and longitude in degrees",
        )
