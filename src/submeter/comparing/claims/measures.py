# SPDX-License-Identifier: Apache-2.0
"""Units of numbers in claims: what they come to in SI, and of which kind they are.

``kWh``, ``g/kWh``, ``kg/car`` are read as products and quotients. A word that is no unit of
measurement, such as ``car``, is a kind of its own: cars and households never add up.
"""

from functools import cache
from typing import Final, NamedTuple

from submeter.errors import UsageError
from submeter.units import G_PER_KG, G_PER_T, H_PER_YEAR, J_PER_KWH, J_PER_WH, S_PER_H

Kind = tuple[tuple[str, int], ...]  # base and its power, in order
NUMBER: Final[Kind] = ()

_J: Final[Kind] = (("J", 1),)
_G: Final[Kind] = (("g", 1),)
_L: Final[Kind] = (("L", 1),)
_S: Final[Kind] = (("s", 1),)
_W: Final[Kind] = (("J", 1), ("s", -1))
_M: Final[Kind] = (("m", 1),)
_KNOWN: Final[dict[str, tuple[float, Kind]]] = {
    "1": (1.0, NUMBER), "%": (0.01, NUMBER),
    "uJ": (1e-6, _J), "mJ": (1e-3, _J), "J": (1.0, _J), "kJ": (1e3, _J), "MJ": (1e6, _J),
    "GJ": (1e9, _J), "mWh": (1e-3 * J_PER_WH, _J), "Wh": (J_PER_WH, _J), "kWh": (J_PER_KWH, _J),
    "MWh": (1e3 * J_PER_KWH, _J), "GWh": (1e6 * J_PER_KWH, _J), "TWh": (1e9 * J_PER_KWH, _J),
    "mW": (1e-3, _W), "W": (1.0, _W), "kW": (1e3, _W), "MW": (1e6, _W), "GW": (1e9, _W),
    "mg": (1e-3, _G), "g": (1.0, _G), "kg": (G_PER_KG, _G), "t": (G_PER_T, _G),
    "kt": (1e3 * G_PER_T, _G), "Mt": (1e6 * G_PER_T, _G),
    "mL": (1e-3, _L), "L": (1.0, _L), "m3": (1e3, _L), "ML": (1e6, _L),
    "s": (1.0, _S), "min": (60.0, _S), "h": (S_PER_H, _S), "d": (24.0 * S_PER_H, _S),
    "a": (1.0 * H_PER_YEAR * S_PER_H, _S),
    "m": (1.0, _M), "km": (1e3, _M),
}  # fmt: skip


class Measure(NamedTuple):
    """A unit: how much one of it is in SI, and its kind."""

    size: float
    kind: Kind


@cache
def measure(unit: str) -> Measure:
    """Read *unit*, such as ``kWh``, ``g/kWh`` or ``L*a/car``.

    Raises
    ------
    UsageError
        If it is no product or quotient of words.
    """
    size, powers = 1.0, dict[str, int]()
    above = True
    for part in unit.replace("*", " * ").replace("/", " / ").split():
        if part in {"*", "/"}:
            above = part == "*"
            continue
        if not (part in _KNOWN or part.replace("-", "").replace("_", "").isalpha()):
            raise UsageError(f"“{unit}” is no unit", remedy="write it as kWh, g/kWh or kg/car")
        one, kind = _KNOWN.get(part, (1.0, ((part, 1),)))
        size = size * one if above else size / one
        for name, power in kind:
            powers[name] = powers.get(name, 0) + (power if above else -power)
        above = True
    if not unit.strip():
        raise UsageError("a unit is empty", remedy="write 1 for a plain number")
    return Measure(size, settled(powers))


def settled(powers: dict[str, int]) -> Kind:
    """Kind of these powers: those of nothing left out, in order."""
    return tuple(sorted((name, power) for name, power in powers.items() if power))


def times(a: Kind, b: Kind, *, sign: int = 1) -> Kind:
    """Kind of a product, or of a quotient for a *sign* of -1."""
    powers = dict(a)
    for name, power in b:
        powers[name] = powers.get(name, 0) + sign * power
    return settled(powers)


def words(kind: Kind) -> str:
    """A kind in words: ``J/car``."""
    above = [_repeated(n, p) for n, p in kind if p > 0]
    below = [_repeated(n, -p) for n, p in kind if p < 0]
    return ("*".join(above) or "1") + "".join(f"/{b}" for b in below)


def _repeated(name: str, times_over: int) -> str:
    return "*".join([name] * times_over)
