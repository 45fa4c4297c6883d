# SPDX-License-Identifier: Apache-2.0
"""Rows of the catalog's fact tables, and the rules by which each figure gets its interval.

Where a source gives a range, it is the interval. Elsewhere the standard uncertainty of the
logarithm below makes one: value · exp(±1.96 u). A figure that was recalled, not read in a copy of
its source, gets 1.5 times as much, and its note says so. A figure that is zero gets an upper end
that is named where the row is made.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

Row = dict[str, str]

NORMAL_95 = 1.959964
RECALL_WIDER = 1.5
RECALL_NOTE = "recalled, not re-read: interval widened 1.5 times"

# Standard uncertainties (of the logarithm), with what each rests on.
U = {
    # Carbon intensity: 15 % for the annual mean of a zone, 30 % for a whole country; the spread
    # between makers of such tables and between bases of the same year is of that order.
    "zone annual": 0.15,
    "country annual": 0.30,
    "region of many grids": 0.50,
    "official direct": 0.15,
    "residual mix": 0.15,
    "marginal": 0.50,  # makers differ in kind, see the note of each
    "share": 0.10,  # of a fuel's share, and of a carbon-free share
    "generation": 0.05,
    "loss": 0.15,  # from year to year
    "loss prior": 0.40,
    "pue site": 0.05,
    "pue fleet": 0.05,
    "pue default": 0.20,
    "wue site": 0.25,
    "wue fleet": 0.50,  # a fleet's value stands for many sites
    "water": 0.50,
    "water site": 0.25,
    "factor": 0.20,  # lifecycle or water factor of which only a median is known
    "price": 0.10,
    "price secondary": 0.40,  # press and tariff pages through one compiler
    "price wholesale": 0.05,
    "everyday": 0.20,
    "statement": 0.05,  # printed result of somebody's own count
    "datasheet": 0.03,
    "derived rate": 0.10,
    "idle": 0.20,
    "embodied": 0.35,
    "operation": 0.40,  # energy per operation: process, voltage, accounting
    "measured": 0.10,
    "workload": 0.50,
    "instance": 0.15,
    "host": 0.35,
}
UNITS = (  # what a quantity's name ends in -> unit
    ("_g_per_kwh", "g/kWh"),
    ("_l_per_kwh", "L/kWh"),
    ("_usd_per_kwh", "USD/kWh"),
    ("_eur_per_kwh", "EUR/kWh"),
    ("_twh", "TWh"),
    ("_ratio", "1"),
    ("pue", "1"),
    ("_category", "1"),
)
FIELDS = [
    "key", "quantity", "year", "value", "low", "high", "unit", "source", "verified", "note",
]  # fmt: skip


@dataclass(frozen=True)
class Fact:
    """A row of a fact table."""

    key: str
    quantity: str
    year: int
    value: float
    low: float
    high: float
    source: str
    verified: str = "copy"
    note: str = ""
    unit: str = ""


def by_rule(
    key: str,
    quantity: str,
    year: int | str,
    value: float | str,
    rule: str,
    source: str,
    *,
    verified: str = "copy",
    note: str = "",
    unit: str = "",
    zero_high: float | None = None,
    least: float = 0.0,
    most: float = math.inf,
) -> Fact:
    """A fact with the interval of *rule*, inside of *least* and *most*."""
    number = float(value)
    spread = U[rule] * (RECALL_WIDER if verified == "recall" else 1.0)
    ratio = math.exp(NORMAL_95 * spread)
    low, high = max(least, number / ratio), min(most, number * ratio)
    if number <= 0:
        if zero_high is None:
            raise ValueError(f"{key}/{quantity} is zero, and nothing says how far it may reach")
        low, high = 0.0, zero_high
    return fact(
        key, quantity, year, (number, min(low, number), max(high, number)), source,
        verified=verified, note=note, unit=unit,
    )  # fmt: skip


def fact(
    key: str,
    quantity: str,
    year: int | str,
    value_low_high: tuple[float, float, float],
    source: str,
    *,
    verified: str = "copy",
    note: str = "",
    unit: str = "",
) -> Fact:
    """A fact whose interval is stated."""
    value, low, high = value_low_high
    unit = unit or next((u for end, u in UNITS if quantity.endswith(end)), "")
    if verified == "recall":
        note = f"{note}; {RECALL_NOTE}" if note else RECALL_NOTE
    return Fact(key, quantity, int(year), value, low, high, source, verified, note, unit)


def by_range(
    key: str,
    quantity: str,
    year: int | str,
    value_low_high: tuple[str, str, str],
    rule: str,
    source: str,
    *,
    verified: str = "copy",
    range_verified: str = "",
    note: str = "",
    unit: str = "",
    zero_high: float | None = None,
) -> Fact | None:
    """A fact with the range of its source, or that of *rule* where there is none.

    None if there is no value. A recalled range is stretched about the value.
    """
    value, low, high = value_low_high
    if not value:
        return None
    made = by_rule(
        key, quantity, year, value, rule, source,
        verified=verified, note=note, unit=unit, zero_high=zero_high,
    )  # fmt: skip
    if not low or not high or float(low) == float(high):
        return made
    ends = float(low), float(high)
    if "recall" in {verified, range_verified}:
        ends = stretched(made.value, *ends)
        if made.value > 0 and verified == "recall":  # an end at the value is no end
            ends = (
                ends[0] if ends[0] < made.value else made.low,
                ends[1] if ends[1] > made.value else made.high,
            )
    return replace(made, low=min(ends[0], made.value), high=max(ends[1], made.value))


def stretched(value: float, low: float, high: float) -> tuple[float, float]:
    """An interval 1.5 times as wide: in logarithms, or plainly where it touches zero."""
    if low > 0:
        return value * (low / value) ** RECALL_WIDER, value * (high / value) ** RECALL_WIDER
    return 0.0, value + (high - value) * RECALL_WIDER


def spanning(row: Fact, *others: float, note: str = "") -> Fact:
    """*row*, its interval widened so that it holds *others* too."""
    said = f"{row.note}; {note}" if row.note and note else row.note or note
    ends = (row.low, *others, row.high)
    return replace(row, low=min(ends), high=max(ends), note=said)


def number(value: float) -> str:
    """*value* with at most five digits, without trailing zeros."""
    return f"{value:.5g}" if abs(value) < 1e5 else f"{value:.7g}"


def read(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, fields: Sequence[str], rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, fields, lineterminator="\n")
        out.writeheader()
        out.writerows(rows)


def write_facts(path: Path, facts: Iterable[Fact | None]) -> None:
    """Write a fact table, sorted; a key has a quantity once a year."""
    rows = sorted((f for f in facts if f is not None), key=lambda f: (f.key, f.quantity, f.year))
    seen: set[tuple[str, str, int]] = set()
    for row in rows:
        place = (row.key, row.quantity, row.year)
        if place in seen:
            raise ValueError(f"{path.name} has {place} twice")
        seen.add(place)
        check(row)
    write(path, FIELDS, (as_row(f) for f in rows))


def check(row: Fact) -> None:
    numbers = (row.low, row.value, row.high)
    if not all(math.isfinite(n) for n in numbers) or not row.low <= row.value <= row.high:
        raise ValueError(f"{row.key}/{row.quantity}: {numbers}")
    if not row.unit or not row.source or any(c in row.key + row.quantity for c in ',"\n'):
        raise ValueError(f"{row.key}/{row.quantity} is not complete")


def as_row(row: Fact) -> Row:
    return {
        "key": row.key,
        "quantity": row.quantity,
        "year": str(row.year),
        "value": number(row.value),
        "low": number(row.low),
        "high": number(row.high),
        "unit": row.unit,
        "source": row.source,
        "verified": row.verified,
        "note": row.note,
    }


def write_attributes(path: Path, fields: Sequence[str], rows: Iterable[Row]) -> None:
    """Write an attribute table, sorted by its first column, which is unique."""
    found = sorted(rows, key=lambda r: r[fields[0]])
    keys = [r[fields[0]] for r in found]
    if len(set(keys)) != len(keys) or any(c in k for k in keys for c in ',"\n'):
        raise ValueError(f"{path.name}: keys are not unique and plain")
    write(path, fields, found)


def source_key(text: str, table: Sequence[tuple[str, str]], *, every: bool = False) -> str:
    """The key of the first source whose words *text* has, or of *every*, joined by ``+``."""
    found = list(dict.fromkeys(key for words, key in table if words in text))
    if not found:
        raise ValueError(f"no source is known for {text!r}")
    return "+".join(found) if every else found[0]


def slug(text: str) -> str:
    """*text* as a part of a key: lower case, words joined by hyphens."""
    words = "".join(c if c.isalnum() or c in ".+" else " " for c in text.lower())
    return "-".join(words.split())
