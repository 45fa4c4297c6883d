# SPDX-License-Identifier: Apache-2.0
"""Counts as people type them: 7B, 2 T, 1.3b, 350M, 2×10^12, 7 000 000 000."""

import math
import re
from typing import Final

from submeter.errors import UsageError

MOST: Final = 1e30  # of anything that is counted: operations of all trainings so far are 1e28
_SCALES: Final = {
    "": 1.0, "k": 1e3, "thousand": 1e3, "m": 1e6, "mio": 1e6, "mn": 1e6, "million": 1e6,
    "millions": 1e6, "g": 1e9, "b": 1e9, "bn": 1e9, "billion": 1e9, "billions": 1e9,
    "t": 1e12, "tn": 1e12, "trillion": 1e12, "trillions": 1e12, "p": 1e15, "q": 1e15,
    "quadrillion": 1e15,
}  # fmt: skip
_UNITS: Final = {
    "parameters", "parameter", "params", "param", "tokens", "token", "tok", "images", "image",
    "samples", "sample", "sequences", "examples", "steps",
}  # fmt: skip
_SPACES: Final = re.compile(r"[\s\u00a0\u2009\u202f']")
_GROUPED: Final = re.compile(
    r"\d{1,3}(?:([\s\u00a0\u2009\u202f',_])\d{3})(?:\1\d{3})*(?:\.\d+)?", re.ASCII
)
_PLAIN: Final = re.compile(r"\d+(?:\.\d*)?|\.\d+", re.ASCII)
_POWER: Final = re.compile(
    r"(?:(?P<mantissa>[\d.]+)\s*[×x*·⋅]\s*)?10\s*(?:(?:\^|\*\*)\s*\{?\+?(?P<plain>\d{1,2})\}?"
    r"|(?P<raised>[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,2}))",
    re.ASCII,
)
_RAISED: Final = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_PARTS: Final = re.compile(r"(?P<number>.*?)\s*(?P<words>[a-zA-Zµ][a-zA-Zµ\s]*)?", re.DOTALL)
_REMEDY: Final = "write it as 7e9, 7B, 7 billion, 2×10^12 or 7 000 000 000"


def parse_count(text: str | float, *, what: str = "count") -> float:
    """Read a count above 0 as people type it.

    Parameters
    ----------
    text
        ``7B``, ``7e9``, ``2 T``, ``1.3b``, ``350M``, ``2×10^12``, ``7 000 000 000``,
        ``2,000,000``, with or without its unit behind it (``2T tokens``). A number is given back.
    what
        What is counted, for the message.

    Raises
    ------
    UsageError
        For anything else, and for zero, negative, infinite and absurd counts. ``1,5B`` and
        ``7,000`` are refused: a comma may be a decimal point or set thousands apart.

    Examples
    --------
    >>> parse_count("7B"), parse_count("2 T"), parse_count("1.3b"), parse_count("2×10^12")
    (7000000000.0, 2000000000000.0, 1300000000.0, 2000000000000.0)
    """
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise _refused(text, what, "is no number")
    value = _read(text.strip(), what) if isinstance(text, str) else _as_float(text, what)
    if math.isnan(value) or math.isinf(value):
        raise _refused(text, what, "is not finite")
    if value <= 0:
        raise _refused(text, what, "is not above zero")
    if value > MOST:
        raise _refused(text, what, f"is more than {MOST:g}, which nothing reaches")
    return value


def spelt(value: float) -> str:
    """A count with every digit that matters, its thousands set apart.

    Examples
    --------
    >>> spelt(7e9), spelt(1.3e9), spelt(2e12), spelt(1.5), spelt(3.14e23)
    ('7 000 000 000', '1 300 000 000', '2 000 000 000 000', '1.5', '3.14e+23')
    """
    if value >= 1e16:  # noqa: PLR2004  # beyond what a float holds exactly
        return f"{value:.6g}"
    return f"{value:,.0f}".replace(",", " ") if value == round(value) else f"{value:,.6g}"


def understood(text: str | float, value: float, what: str) -> str:
    """What was read from *text*, in words.

    Examples
    --------
    >>> understood("7B", 7e9, "parameters")
    '7B parameters = 7 000 000 000'
    """
    said = str(text).strip()
    number = spelt(value)
    if not isinstance(text, str) or said == number:
        return f"{number} {what}"
    return f"{said} = {number}" if what in said else f"{said} {what} = {number}"


def _read(text: str, what: str) -> float:
    said = text.replace("−", "-").removeprefix("+")
    match = _PARTS.fullmatch(said)
    number, words = (match["number"], match["words"] or "") if match else ("", "")
    scales = [w for w in words.lower().split() if w not in _UNITS]
    if len(scales) > 1 or (scales and scales[0] not in _SCALES):
        lower = said.lower()
        if lower.lstrip("-") in ("nan", "inf", "infinity", "infinite"):
            raise _refused(text, what, "is not finite")
        raise _refused(text, what, "has a unit that no count has")
    return _number(number.strip(), text, what) * _SCALES[scales[0] if scales else ""]


def _number(number: str, text: str, what: str) -> float:
    if number.startswith("-"):
        raise _refused(text, what, "is not above zero")
    power = _POWER.fullmatch(number)
    if power:
        exponent = power["plain"] or power["raised"].translate(_RAISED)
        mantissa = power["mantissa"] or "1"
        if _PLAIN.fullmatch(mantissa):
            return float(mantissa) * 10.0 ** int(exponent)
    scientific = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)[eE]\+?(-?\d{1,4})", number, re.ASCII)
    if scientific:
        return float(f"{scientific[1]}e{scientific[2]}")
    if number.count(",") == 1 and not _SPACES.search(number):
        raise _refused(text, what, "is ambiguous: a comma may be a decimal point or not")
    if _GROUPED.fullmatch(number):
        return float(re.sub(r"[\s\u00a0\u2009\u202f',_]", "", number))
    if _PLAIN.fullmatch(number):
        return float(number)
    raise _refused(text, what, "is no number")


def _as_float(number: float, what: str) -> float:
    try:
        return float(number)
    except OverflowError:
        raise _refused("a huge integer", what, f"is more than {MOST:g}") from None


def _refused(text: object, what: str, why: str) -> UsageError:
    return UsageError(f"{what} “{str(text)[:40]}” {why}", remedy=_REMEDY)
