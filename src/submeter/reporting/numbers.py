# SPDX-License-Identifier: Apache-2.0
"""One place writes numbers: units that fit, digits that the interval allows, doubt beside them.

Every number that a person is shown passes through `write`.
"""

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

from submeter.records.figures import Basis, Figure, Missing
from submeter.units import J_PER_WH

MISSING: Final = "—"
MARKS: Final = {Basis.MEASURED: "", Basis.DERIVED: "", Basis.MODELLED: " ~", Basis.ASSUMED: " ?"}
DIGITS: Final = 3  # of a number without an interval
_MOST_DIGITS: Final = 4
_ROUGH: Final = 0.05  # rounding that an end of an interval may suffer
_SHORT_S: Final = 10.0  # below it a duration has decimals
_LARGEST_COUNT: Final = 1e15
_HUNDREDTH: Final = 0.01
_FINER_BELOW: Final = 2.0  # 1.4 is rounded up to 1.4, not to 2
_STEPS_IN_HALF: Final = 4  # so rounding moves a value by an eighth of its doubt at most
_LOPSIDED: Final = 1.25  # sides of an interval that differ by more are told apart
_NARROW: Final = 5.0  # [%] below it they are not
_WIDEST_SPAN: Final = 1e4  # of numbers that can be read in one unit
_LEAST_DIGITS: Final = 2  # of the end of an interval
_APART_FROM: Final = 5  # digits before the point


class _Unit(NamedTuple):
    size: float
    name: str


# A unit serves from its size up to the next one's.
_JOULES: Final = (
    _Unit(1e9, "GJ"),
    _Unit(1e6, "MJ"),
    _Unit(1e3, "kJ"),
    _Unit(1.0, "J"),
    _Unit(1e-3, "mJ"),
    _Unit(1e-6, "µJ"),
    _Unit(1e-9, "nJ"),
)
_WATT_HOURS: Final = (
    _Unit(1e9 * J_PER_WH, "GWh"),
    _Unit(1e6 * J_PER_WH, "MWh"),
    _Unit(1e3 * J_PER_WH, "kWh"),
    _Unit(J_PER_WH, "Wh"),
    _Unit(1e-3 * J_PER_WH, "mWh"),
    *_JOULES[3:],
)
_GRAMS: Final = (
    _Unit(1e12, "Mt"),
    _Unit(1e9, "kt"),
    _Unit(1e6, "t"),
    _Unit(1e3, "kg"),
    _Unit(1.0, "g"),
    _Unit(1e-3, "mg"),
    _Unit(1e-6, "µg"),
    _Unit(1e-9, "ng"),
)
_LITRES: Final = (
    _Unit(1e6, "ML"),
    _Unit(1e3, "m³"),
    _Unit(1.0, "L"),
    _Unit(1e-3, "mL"),
    _Unit(1e-6, "µL"),
)
_CURRENCIES: Final = {"USD": "$", "EUR": "€", "GBP": "£"}
_PREFIXES: Final = (
    (1e12, "T"),
    (1e9, "G"),
    (1e6, "M"),
    (1e3, "k"),
    (1.0, ""),
    (1e-3, "m"),
    (1e-6, "µ"),
    (1e-9, "n"),
)
_WITH_PREFIX: Final = frozenset({"s", "W", "Hz"})
# These serve earlier, because they read better: 0.54 Wh, not 540 mWh; 0.09 J per sample.
# These serve later, for the same reason: 1900 L, not 1.9 m³; 20 000 m³.
_EARLY: Final = {"Wh": 0.1, "J": 0.01, "s": 0.1, "g": 0.1, "m³": 10.0, "ML": 100.0}


def write(
    value: Figure | Missing | float | None,
    unit: str = "",
    *,
    digits: int = DIGITS,
    joules: bool = False,
    like: float | None = None,
) -> str:
    """*value* with a unit that fits, at the digits that its interval allows.

    Parameters
    ----------
    value
        A figure, or a bare number in *unit*, written at *digits* significant digits.
    unit
        SI unit of a bare number; ``"J"`` is an energy. Ignored for a figure.
    joules
        Write an energy in J with its prefixes rather than in Wh.
    like
        Write it in the unit that this value would have, so that numbers can be compared.

    Returns
    -------
    str
        A dash for what is missing or no number; ``below resolution (≤ 0.3 J)`` for a figure whose
        interval reaches zero.
    """
    if value is None or isinstance(value, Missing):
        return MISSING
    if isinstance(value, Figure):
        return _figure(value, joules=joules, like=like)
    if not math.isfinite(value):
        return MISSING
    scale = _scale(_rounded(value, digits) if like is None else like, unit, joules=joules)
    return _with_unit(_decimal(value / scale.size, _decimals(value / scale.size, digits)), scale)


def write_power(power_w: float | None) -> str:
    """Power at two digits: ``120 W``, ``3.4 kW``."""
    return write(power_w, "W", digits=2)


def interval(
    figure: Figure | Missing | None, *, joules: bool = False, like: float | None = None
) -> str:
    """Interval of *figure* in the unit that `write` gives it, such as ``(0.30 – 0.95)``."""
    if not isinstance(figure, Figure) or not _finite(figure) or below_resolution(figure):
        return ""
    if figure.low == figure.high:
        return ""
    scale, places = _layout(figure, joules=joules, like=like)
    low, high = (
        _apart(_end(x / scale.size, places, figure.value / scale.size))
        for x in (figure.low, figure.high)
    )
    return f"({low} – {high})" if low != high else f"({write_doubt(figure)})"


def with_interval(figure: Figure | Missing | None, *, joules: bool = False) -> str:
    """Value and interval of *figure*, one space between."""
    return f"{write(figure, joules=joules)} {interval(figure, joules=joules)}".rstrip()


def mark(figure: Figure | Missing | None) -> str:
    """`` ~`` behind what is modelled, `` ?`` behind what is assumed, else nothing."""
    return MARKS[figure.basis] if isinstance(figure, Figure) and figure.basis_shares else ""


def below_resolution(figure: Figure) -> bool:
    """Whether the interval of *figure* reaches zero, so that only its upper end says something."""
    return figure.low <= 0 < figure.high


def write_limit(figure: Figure) -> str:
    """Upper end of *figure*, rounded up: what is below 0.34 J is not below 0.3 J."""
    return f"≤ {_up(figure.high, figure.unit)}"


def write_count(value: float) -> str:
    """Count in full, thousands apart: ``17 970``; with an exponent where it is no whole number."""
    if abs(value) < _LARGEST_COUNT and value == round(value):
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.4g}"


def write_duration(duration_s: float | None) -> str:
    """Duration in the two units that matter: ``1 min 12 s``, ``3 d 4 h``, ``0.25 s``."""
    if duration_s is None or not math.isfinite(duration_s) or duration_s < 0:
        return MISSING
    if round(duration_s, 1) < _SHORT_S:
        return write(duration_s, "s", digits=2)
    for size_s, name, inner_s, inner in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        whole, left = divmod(round(duration_s / inner_s), size_s // inner_s)
        if whole:
            return f"{whole} {name} {left} {inner}" if left else f"{whole} {name}"
    return f"{round(duration_s)} s"


def write_instant(started_utc: str, *, zone: bool = True) -> str:
    """Instant by the clock on the wall here, with its *zone*: ``2026-11-23 17:00 CET``."""
    try:
        local = datetime.fromisoformat(started_utc).astimezone()
    except (ValueError, OverflowError):
        return started_utc[:16].replace("T", " ")
    return f"{local:%Y-%m-%d %H:%M %Z}" if zone else f"{local:%Y-%m-%d %H:%M}"


def write_ratio(ratio: float | None) -> str:
    """Part of a whole in per cent, never rounded to all or nothing."""
    if ratio is None or not math.isfinite(ratio):
        return MISSING
    if 0 < ratio < _HUNDREDTH:
        return "< 1 %"
    if 1 - _HUNDREDTH < ratio < 1:
        return "> 99 %"
    return f"{100 * ratio:.0f} %"


def write_percent(ratio: float) -> str:
    """``27 %``, ``3.1 %``, ``0.6 %``."""
    size = abs(100 * ratio)
    digits = 0 if size >= 9.95 else 1  # noqa: PLR2004  # two significant digits
    return f"{100 * ratio:.{digits}f} %".replace("-", "−")


def write_signed_percent(ratio: float) -> str:
    """``+3.1 %``, ``−0.6 %``."""
    return write_percent(ratio) if ratio < 0 else f"+{write_percent(ratio)}"


def write_percent_interval(figure: Figure) -> str:
    """``23 – 31`` where both ends have one sign, ``−1.9 … +3.1`` where not."""
    low, high = (write_percent(x).removesuffix(" %") for x in (figure.low, figure.high))
    if figure.low > 0:
        return f"{low} – {high}"
    return f"{low} … {'+' if figure.high > 0 else ''}{high}"


def write_doubt(figure: Figure | Missing | None) -> str:
    """Ends of the interval beside the value: ``±38 %``, or ``−43 … +130 %`` where they differ."""
    if not isinstance(figure, Figure) or figure.value <= 0 or not _finite(figure):
        return MISSING
    down, up = (100 * abs(end / figure.value - 1) for end in (figure.low, figure.high))
    if max(down, up) > max(_LOPSIDED * min(down, up), _NARROW):
        return f"−{float(f'{down:.2g}'):g} … +{float(f'{up:.2g}'):g} %"
    return f"±{float(f'{(down + up) / 2:.2g}'):g} %"


def _figure(figure: Figure, *, joules: bool, like: float | None = None) -> str:
    if not _finite(figure):
        return MISSING
    if below_resolution(figure):
        return f"below resolution ({write_limit(figure)})"
    if figure.low == figure.high:
        return write(figure.value, figure.unit, joules=joules, like=like)
    scale, places = _layout(figure, joules=joules, like=like)
    return _with_unit(_decimal(figure.value / scale.size, places), scale)


def _layout(figure: Figure, *, joules: bool, like: float | None = None) -> tuple[_Unit, int]:
    """Choose unit and decimals for *figure*."""
    if like is not None:
        shared = _scale(like, figure.unit, joules=joules)
        return shared, _places(figure, shared)
    scale = _scale(figure.value, figure.unit, joules=joules)
    places = _places(figure, scale)
    shown = round(figure.value / scale.size, places) * scale.size
    larger = _scale(shown, figure.unit, joules=joules)  # 999.97 J is 1.000 kJ
    return larger, _places(figure, larger)


def shared_unit(values: Iterable[float]) -> float | None:
    """Value whose unit serves for all of *values*; None where they span too much for one."""
    sizes = [v for v in values if math.isfinite(v) and v > 0]
    return max(sizes) if sizes and max(sizes) < _WIDEST_SPAN * min(sizes) else None


def _finite(figure: Figure) -> bool:
    return all(math.isfinite(x) for x in (figure.value, figure.low, figure.high))


def _scale(value: float, unit: str, *, joules: bool = False) -> _Unit:
    """Choose the unit in which *value* has few digits on both sides of its point."""
    if unit == "J" or unit.startswith("J per "):
        plain_j = joules or unit != "J"
        for size, name in _JOULES if plain_j else _WATT_HOURS:
            if abs(value) >= size * _EARLY.get(name, 1.0):
                return _Unit(size, unit.replace("J", name, 1))
        return _Unit(1.0, unit) if not value else _Unit(1e-6, unit.replace("J", "µJ", 1))
    for base, ladder in (("gCO2e", _GRAMS), ("g", _GRAMS), ("L", _LITRES)):
        if unit == base or unit.startswith(f"{base} per "):
            return _step(value, ladder, base, unit)
    return _si(value, unit) if unit in _WITH_PREFIX else _Unit(1.0, unit)


def _step(value: float, ladder: tuple[_Unit, ...], base: str, unit: str) -> _Unit:
    """Unit of *ladder* for *value*, put in the place of *base* in *unit*: kg CO2e per token."""
    substance = " CO2e" if base == "gCO2e" else ""
    sizes = (u for u in ladder if abs(value) >= u.size * _EARLY.get(u.name, 1.0))
    found = next(sizes, ladder[-1] if value else _Unit(1.0, base[0]))
    return _Unit(found.size, unit.replace(base, found.name + substance, 1))


def _si(value: float, unit: str) -> _Unit:
    if not value:
        return _Unit(1.0, unit)
    for size, prefix in _PREFIXES:
        if abs(value) >= size * _EARLY.get(prefix + unit, 1.0):
            return _Unit(size, prefix + unit)
    return _Unit(_PREFIXES[-1][0], _PREFIXES[-1][1] + unit)


def _places(figure: Figure, scale: _Unit) -> int:
    """Decimals whose step is at most a quarter of the interval's narrower half, four digits."""
    half = min(figure.value - figure.low, figure.high - figure.value)
    half = half or max(figure.value - figure.low, figure.high - figure.value)
    value = figure.value / scale.size
    # A hair of tolerance, so that a half of 0.04 has steps of 0.01.
    places = -_magnitude(half / scale.size / _STEPS_IN_HALF * (1 + 1e-9))
    return max(_decimals(value, 1), min(_decimals(value, _MOST_DIGITS), places))


def _decimals(value: float, digits: int) -> int:
    """Decimals behind the point that give *value* this many significant digits."""
    return digits - 1 - _magnitude(_rounded(value, digits)) if value else 0


def _magnitude(value: float) -> int:
    return math.floor(math.log10(abs(value))) if value else 0


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits - 1}e}")


def _end(end: float, places: int, value: float) -> str:
    """One end of an interval: no more digits than the value beside it, two if it is far off."""
    if end:
        places = min(places, _decimals(end, _MOST_DIGITS if end < 10 * value else _LEAST_DIGITS))
        if abs(round(end, places) - end) > _ROUGH * end:
            places = max(places, _decimals(end, _LEAST_DIGITS))
    return _decimal(end, places)


def _decimal(value: float, places: int) -> str:
    if places < 0:
        return f"{round(value, places):.0f}"
    return f"{value:.{places}f}"


def _with_unit(number: str, scale: _Unit) -> str:
    code, _, per = scale.name.partition(" ")
    if code in _CURRENCIES:  # the sign stands before the amount: €0.31 per run
        return f"{_CURRENCIES[code]}{_apart(number)} {per}".rstrip()
    return f"{_apart(number)} {scale.name}".rstrip()


def _apart(number: str) -> str:
    """*number* with its thousands apart from five digits on: 20 000."""
    whole, point, fraction = number.partition(".")
    if len(whole) < _APART_FROM:
        return number
    return f"{int(whole):,}".replace(",", " ") + point + fraction


def _up(value: float, unit: str) -> str:
    """*value* rounded up to one or two digits."""
    scale = _scale(value, unit, joules=True)
    shown = value / scale.size
    leading = shown / 10 ** _magnitude(shown)
    step = 10.0 ** (_magnitude(shown) - (1 if leading < _FINER_BELOW else 0))
    # A hair of tolerance, so that 0.3 stays 0.3.
    up = math.ceil(shown / step - 1e-9) * step
    return _with_unit(_decimal(up, max(0, -_magnitude(step))), scale)
