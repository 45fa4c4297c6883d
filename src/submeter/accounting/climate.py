# SPDX-License-Identifier: Apache-2.0
"""PUE and WUE by the weather: wet-bulb temperature, economisers, cooling towers.

Free and evaporative cooling end where the air is both warm and moist: the wet-bulb temperature
says when. Given a weather series or twelve monthly figures, and when the energy was drawn, a site
gets the PUE and WUE of its own hours instead of those of a year.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Final

import msgspec

from submeter.errors import CoverageError, UsageError
from submeter.records.factors import Factor
from submeter.records.traces import Load

# Validity of the wet-bulb formula, Stull (2011), abstract and section 2.
DRY_BULB_C: Final = (-20.0, 50.0)
RELATIVE_HUMIDITY_RATIO: Final = (0.05, 0.99)
# Wet-bulb temperatures that models here are asked for: no place on Earth exceeds 35 for long.
WET_BULB_C: Final = (-30.0, 35.0)
LEAST_TOWER_L_PER_KWH: Final = 0.05  # humidification in the cold, Li et al. (2023), their code
_DAY_S: Final = 86_400
_MONTHS: Final = 12
_FEBRUARY: Final = 2
_DAYS_OF_MONTHS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_DAYS_IN_400_YEARS: Final = 146_097


class Ramp(msgspec.Struct, frozen=True):
    """A factor that follows the wet-bulb temperature, linear from *cold* at *cold_c* upwards.

    Below ``cold_c`` it stays at ``cold``; beyond ``hot_c`` it goes on with the same slope.
    ``hot`` is nowhere below ``cold``, so that it never falls when it gets warmer.
    """

    cold: Factor
    hot: Factor
    cold_c: float
    hot_c: float

    def __post_init__(self) -> None:
        rises = all(a <= b for a, b in zip(_ends(self.cold), _ends(self.hot), strict=True))
        if not rises or not self.cold_c < self.hot_c:
            raise UsageError(
                f"{self.cold.key} to {self.hot.key} does not rise with temperature",
                remedy="mend the two rows, cold end first",
            )

    def at(self, wet_bulb_c: float) -> Factor:
        """Give the factor at a wet-bulb temperature [C], in the unit of its ends.

        Raises
        ------
        CoverageError
            Outside of -30 to 35 C.
        """
        _check_wet_bulb(wet_bulb_c)
        place = max(0.0, (wet_bulb_c - self.cold_c) / (self.hot_c - self.cold_c))

        low, value, high = (
            a + (b - a) * place for a, b in zip(_ends(self.cold), _ends(self.hot), strict=True)
        )
        return msgspec.structs.replace(
            self.hot,
            low=low,
            value=value,
            high=high,
            note=f"at a wet-bulb temperature of {wet_bulb_c:.1f} C",
        )


class Weather(msgspec.Struct, frozen=True):
    """Wet-bulb temperatures of a place [C]: a series in equal slots, or the twelve months.

    With ``monthly`` the values are means of January to December, of any year; else they hold
    from ``start_utc_s + i * step_s`` on. None is a gap.
    """

    wet_bulb_c: tuple[float | None, ...]
    start_utc_s: float = 0.0
    step_s: float = 3600.0
    monthly: bool = False
    source: str = ""

    def at(self, utc_s: float) -> float:
        """Wet-bulb temperature at an instant [C].

        Raises
        ------
        CoverageError
            Where the series does not reach, or has a gap.
        """
        if self.monthly:
            whole = len(self.wet_bulb_c) == _MONTHS
            found = self.wet_bulb_c[month(utc_s) - 1] if whole else None
        else:
            i = math.floor((utc_s - self.start_utc_s) / self.step_s)
            found = self.wet_bulb_c[i] if 0 <= i < len(self.wet_bulb_c) else None
        if found is None:
            raise CoverageError(
                "the weather given does not cover the whole run",
                remedy="give twelve monthly figures, or a series without gaps over the run",
            )
        return found


def wet_bulb_c(dry_bulb_c: float, relative_humidity_ratio: float) -> float:
    """Wet-bulb temperature of air at sea level [C].

    Parameters
    ----------
    dry_bulb_c
        Temperature of the air, -20 to 50 [C].
    relative_humidity_ratio
        Relative humidity, 0.05 to 0.99.

    Raises
    ------
    CoverageError
        Outside of that range.

    Notes
    -----
    With ``T`` in C and ``h`` in per cent: ``T atan(0.151977 sqrt(h + 8.313659)) + atan(T + h) -
    atan(h - 1.676331) + 0.00391838 h^1.5 atan(0.023101 h) - 4.686035``. Error -1 to +0.65 K, mean
    below 0.3 K, except in air both cold and dry, where it may be a few kelvin. Pressure is
    ignored: at 1500 m the wet bulb is up to 1.5 K lower in dry heat.

    References
    ----------
    .. [1] R. Stull 2011, J. Appl. Meteorol. Climatol. 50, 2267, equation 1.
    """
    low_c, high_c = DRY_BULB_C
    least_ratio, most_ratio = RELATIVE_HUMIDITY_RATIO
    if not (
        low_c <= dry_bulb_c <= high_c and least_ratio <= relative_humidity_ratio <= most_ratio
    ):
        raise CoverageError(
            f"no wet-bulb temperature of {dry_bulb_c:g} C at {relative_humidity_ratio:g} relative "
            f"humidity: the formula holds from {low_c:g} to {high_c:g} C and from {least_ratio:g} "
            f"to {most_ratio:g}",
            remedy="give a wet-bulb temperature itself, or leave the weather out",
        )
    h = 100 * relative_humidity_ratio
    return (
        dry_bulb_c * math.atan(0.151977 * math.sqrt(h + 8.313659))
        + math.atan(dry_bulb_c + h)
        - math.atan(h - 1.676331)
        + 0.00391838 * math.pow(h, 1.5) * math.atan(0.023101 * h)
        - 4.686035
    )


def tower_curve_l_per_kwh(wet_bulb_c: float, cycles: float) -> float:
    """Make-up water of a cooling tower per kWh of IT [L/kWh], as published.

    Parameters
    ----------
    wet_bulb_c
        Wet-bulb temperature, -30 to 35 [C].
    cycles
        Cycles of concentration ``c``, above 1.

    Notes
    -----
    ``c / (c - 1) (6e-5 T^3 - 0.01 T^2 + 0.61 T - 10.4)`` with ``T`` in degrees Fahrenheit, at
    least 0.05. Above some 5 C it is more than the heat can evaporate: see `tower_wue`.

    References
    ----------
    .. [1] Li, Yang, Islam, Ren 2023, arXiv:2304.03271, and the code with it.
    """
    _check_wet_bulb(wet_bulb_c)
    if not cycles > 1:
        raise UsageError(
            f"cycles of concentration are above 1, not {cycles:g}",
            remedy="give the cycles of the water treatment, usually 3 to 8",
        )
    t = 1.8 * wet_bulb_c + 32
    curve = 6e-5 * t**3 - 0.01 * t**2 + 0.61 * t - 10.4
    return max(LEAST_TOWER_L_PER_KWH, cycles / (cycles - 1) * curve)


def tower_wue(
    wet_bulb_c: float, *, cycles: float, heat_ratio: float, evaporated: Factor
) -> Factor:
    """Make-up water of a cooling tower per kWh of IT, within what its heat allows [L/kWh].

    Parameters
    ----------
    wet_bulb_c
        Wet-bulb temperature [C].
    cycles
        Cycles of concentration.
    heat_ratio
        Heat that the tower gives off, per energy of IT: IT and what cools it, above 1.
    evaporated
        Most water that one kWh of heat evaporates: 1 over its latent heat [L/kWh].

    Notes
    -----
    The published curve exceeds ``heat_ratio * evaporated * c / (c - 1)`` in all but cold air,
    which no tower can. The value is the lesser of both; the higher stays the upper end. The
    lower end is half of the value: dry operation, and heat given off without evaporation.
    """
    curve = tower_curve_l_per_kwh(wet_bulb_c, cycles)
    most = heat_ratio * evaporated.value * cycles / (cycles - 1)
    value = min(curve, most)
    return Factor(
        key="facility/curve/cooling_tower/wue_l_per_kwh",
        value=value,
        low=value / 2,
        high=max(curve, most),
        unit="L/kWh",
        source="Li et al. 2023 (arXiv:2304.03271), within the latent heat of the load",
        year=2023,
        verified="derived",
        note=f"make-up water at a wet-bulb temperature of {wet_bulb_c:.1f} C",
    )


def mean_over(load: Load, weather: Weather, model: Callable[[float], Factor]) -> Factor:
    """Mean of a *model* of wet-bulb temperature over the hours of a load, by energy.

    Parameters
    ----------
    load
        When the energy was drawn.
    weather
        Wet-bulb temperatures that cover it.
    model
        Factor at a wet-bulb temperature [C], such as `Ramp.at`.

    Raises
    ------
    CoverageError
        Where the weather does not cover the load, or the model the weather.
    UsageError
        Of a load without energy.

    Notes
    -----
    ``sum_i E_i f(T_i) / sum_i E_i``, with ``T_i`` at the middle of slot ``i``; so are both ends.
    """
    drawn = [(i, energy_j) for i, energy_j in enumerate(load.energies_j) if energy_j > 0]
    whole_j = math.fsum(energy_j for _i, energy_j in drawn)
    if not whole_j > 0:
        raise UsageError(
            "a load without energy has no mean weather",
            remedy="give a run that drew energy, or leave the weather out",
        )
    shares: dict[float, float] = {}
    for i, energy_j in drawn:
        here_c = weather.at(load.start_utc_s + (i + 0.5) * load.slot_s)
        shares[here_c] = shares.get(here_c, 0.0) + energy_j / whole_j
    known = [(model(here_c), share) for here_c, share in shares.items()]
    low, value, high = (
        math.fsum(_ends(factor)[end] * share for factor, share in known) for end in range(3)
    )
    first = known[0][0]
    return msgspec.structs.replace(
        first,
        value=value,
        low=min(low, value),  # equal ends may differ in the last digit
        high=max(high, value),
        note="; ".join(
            n for n in ("by the wet-bulb temperature of the run's hours", weather.source) if n
        ),
    )


def month(utc_s: float) -> int:
    """Month of an instant in UTC, 1 to 12, in the Gregorian calendar."""
    return _month_of_day(math.floor(utc_s) // _DAY_S % _DAYS_IN_400_YEARS)


@cache
def _month_of_day(day: int) -> int:
    """Month of a day since 1970, which repeats every 400 years."""
    year = 1970
    while day >= (length := 365 + _leap(year)):
        day -= length
        year += 1
    for number, length in enumerate(_DAYS_OF_MONTHS, start=1):
        days = length + (_leap(year) if number == _FEBRUARY else 0)
        if day < days:
            return number
        day -= days
    return _MONTHS  # not reached: the months make up the year


def _leap(year: int) -> int:
    return int(year % 4 == 0 and (year % 100 != 0 or year % 400 == 0))


def _ends(factor: Factor) -> tuple[float, float, float]:
    return factor.low, factor.value, factor.high


def _check_wet_bulb(wet_bulb_c: float) -> None:
    low_c, high_c = WET_BULB_C
    if not low_c <= wet_bulb_c <= high_c:
        raise CoverageError(
            f"no site is modelled at a wet-bulb temperature of {wet_bulb_c:g} C "
            f"({low_c:g} to {high_c:g} C)",
            remedy="leave the weather out for the cooling's yearly figure",
        )
