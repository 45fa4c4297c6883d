# SPDX-License-Identifier: Apache-2.0
"""A budget of a run in words (``2kWh``, ``500g``, ``10L``, ``5EUR``), and what is used of it."""

import re
from typing import Final, Literal

import msgspec

from submeter.errors import UsageError
from submeter.records.amounts import Amount, sum_amounts
from submeter.records.figures import Missing
from submeter.records.footprints import Footprint
from submeter.units import G_PER_KG, G_PER_T, J_PER_KWH, J_PER_WH

__all__ = ["Budget", "budget_of", "spent_of"]

Kind = Literal["energy", "carbon", "water", "cost"]
_SIZES: Final[dict[str, tuple[Kind, float, str]]] = {
    "j": ("energy", 1.0, "J"),
    "kj": ("energy", 1e3, "J"),
    "mj": ("energy", 1e6, "J"),
    "wh": ("energy", J_PER_WH, "J"),
    "kwh": ("energy", J_PER_KWH, "J"),
    "mwh": ("energy", 1e3 * J_PER_KWH, "J"),
    "gj": ("energy", 1e9, "J"),
    "gwh": ("energy", 1e6 * J_PER_KWH, "J"),
    "g": ("carbon", 1.0, "gCO2e"),
    "mg": ("carbon", 1e-3, "gCO2e"),
    "kg": ("carbon", float(G_PER_KG), "gCO2e"),
    "t": ("carbon", float(G_PER_T), "gCO2e"),
    "ml": ("water", 1e-3, "L"),
    "l": ("water", 1.0, "L"),
    "m3": ("water", 1e3, "L"),
    "m³": ("water", 1e3, "L"),
}
_SIGNS: Final = {"€": "EUR", "$": "USD", "£": "GBP"}
_SPELT: Final = {  # singular; an s at the end is taken off
    "joule": "j", "wh": "wh", "watthour": "wh", "kilowatthour": "kwh", "megawatthour": "mwh",
    "gram": "g", "gramme": "g", "kilogram": "kg", "kilo": "kg", "tonne": "t", "ton": "t",
    "litre": "l", "liter": "l", "millilitre": "ml", "milliliter": "ml", "cubicmetre": "m3",
    "cubicmeter": "m3", "euro": "EUR", "dollar": "USD", "pound": "GBP",
}  # fmt: skip
# ISO 4217, currencies in use
_CURRENCY_WORDS: Final = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN
    BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL
    GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF
    KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN
    MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD
    SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH
    UGX USD UYU UZS VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG
"""
_CURRENCIES: Final = frozenset(_CURRENCY_WORDS.split())
_OF: Final = r"(?:\s*(?:of\s+)?(?:co2e?|co₂e?|water))?"
_WORDS: Final = re.compile(
    r"\s*(?P<before>[€$£]?)\s*(?P<number>\d[\d_ ]*(?:\.\d+)?(?:e[+-]?\d+)?)\s*"
    r"(?P<unit>[A-Za-z€$£³]+(?:[ -](?:hours?|met(?:re|er)s?))?3?)??" + _OF + r"\s*",
    re.IGNORECASE,
)
_TRY: Final = "--budget 2kWh, 500g, 10L or 5EUR"
_SAID: Final = {
    "energy": "energy at the wall",
    "carbon": "location-based emissions of the electricity",
    "water": "water consumed, on-site and at the generators",
    "cost": "cost of the electricity",
}


class Budget(msgspec.Struct, frozen=True):
    """So much and no more: ``limit`` in ``unit`` (J, gCO2e, L or a currency)."""

    kind: Kind
    limit: float
    unit: str
    words: str = ""

    @property
    def said(self) -> str:
        """What it counts, in words."""
        return _SAID[self.kind]


def budget_of(words: str) -> Budget:
    """Budget that *words* name.

    Raises
    ------
    UsageError
        If they name none.
    """
    found = _WORDS.fullmatch(words)
    if found is None:
        raise UsageError(f"“{words}” is no budget", remedy=_TRY)
    unit = _SIGNS.get(found["before"]) or found["unit"] or ""
    if found["before"] and found["unit"]:
        raise UsageError(f"“{words}” has two units", remedy=_TRY)
    value = float(found["number"].replace(" ", "").replace("_", ""))
    if value == float("inf"):
        raise UsageError(f"a budget of “{words}” limits nothing", remedy=_TRY)
    if value <= 0:
        raise UsageError(f"a budget of “{words}” allows nothing", remedy=_TRY)
    plain = unit.lower().replace(" ", "").replace("-", "")
    unit = _SPELT.get(plain) or _SPELT.get(plain.removesuffix("s")) or unit
    if unit.lower() in _SIZES:
        kind, size, base = _SIZES[unit.lower()]
        if unit in {"mJ", "mWh"}:  # nobody has a budget of millijoules
            mega = f"{value:g}{unit.replace('m', 'M')}"
            raise UsageError(f"“{words}” may be milli or mega", remedy=f"--budget {mega}")
        return Budget(kind, value * size, base, words.strip())
    unit = _SIGNS.get(unit, unit)
    if unit.upper() in _CURRENCIES:
        return Budget("cost", value, unit.upper(), words.strip())
    what = f"“{unit}” is no unit of a budget" if unit else f"“{words}” has no unit"
    raise UsageError(what, remedy=_TRY)


def spent_of(budget: Budget, footprint: Footprint) -> Amount | Missing:
    """What *footprint* holds of what *budget* counts, in the unit of the budget."""
    if budget.kind == "energy":
        return footprint.facility
    if budget.kind == "carbon":
        return footprint.carbon.location
    if budget.kind == "water":
        parts = (footprint.water.onsite, footprint.water.offsite)
        known = [part for part in parts if isinstance(part, Amount)]
        lost = [part for part in parts if isinstance(part, Missing)]
        return sum_amounts(known) if known else lost[0]
    money = footprint.money
    if isinstance(money.electricity, Amount) and money.currency != budget.unit:
        return Missing(f"prices here are in {money.currency}, the budget is in {budget.unit}")
    return money.electricity
