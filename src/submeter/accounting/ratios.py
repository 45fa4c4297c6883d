# SPDX-License-Identifier: Apache-2.0
"""New factors from given ones: inverses, spans over sources, what a line loses."""

import math
from collections.abc import Sequence

import msgspec

from submeter.errors import UsageError
from submeter.records.amounts import Amount
from submeter.records.factors import NORMAL_95, Factor, Verified
from submeter.units import J_PER_KWH

_TRUST: tuple[Verified, ...] = ("live", "copy", "declared", "derived", "recall", "assumed")


def inverse(factor: Factor, unit: str) -> Factor:
    """``1 / factor``, with the same doubt: charges per kWh from kWh per charge.

    Raises
    ------
    UsageError
        If the factor is not above zero.
    """
    if factor.value <= 0:
        raise UsageError(
            f"{factor.key} is {factor.value:g} {factor.unit}: nothing divides by it",
            remedy="give a factor above zero",
        )
    lowest = factor.low if factor.low > 0 else factor.value**2 / factor.high
    return msgspec.structs.replace(
        factor,
        value=1 / factor.value,
        low=1 / factor.high,
        high=1 / lowest,
        unit=unit,
    )


def spanning(key: str, factors: Sequence[Factor], *, wider: float = 1.0) -> Factor:
    """One factor whose interval holds all of *factors*: sources that disagree are both kept.

    The value is the geometric middle of the interval. *wider* >= 1 stretches both ends, for a
    family that stands in for a device that nobody has looked at.

    Raises
    ------
    UsageError
        If there is none, one is zero, or they have different units.
    """
    if not factors or any(f.low <= 0 for f in factors):
        raise UsageError(
            f"{key}: a span needs factors above zero", remedy="give factors above zero"
        )
    units = sorted({f.unit for f in factors})
    if len(units) > 1:
        raise UsageError(
            f"{key}: factors in {' and '.join(units)} have no common span",
            remedy="give all of them in one unit",
        )
    low = min(f.low for f in factors) / wider
    high = max(f.high for f in factors) * wider
    return Factor(
        key=key,
        value=math.sqrt(low * high),
        low=low,
        high=high,
        unit=units[0],
        source="; ".join(dict.fromkeys(f.source for f in factors if f.source)),
        year=max(f.year for f in factors),
        licence="; ".join(dict.fromkeys(f.licence for f in factors if f.licence)),
        verified="assumed" if wider > 1 else max((f.verified for f in factors), key=_TRUST.index),
        note=f"span of {len(factors)} sources",
    )


def exactly(key: str, value: float, unit: str, source: str) -> Factor:
    """A number that somebody stated and that is taken as it is, such as a tariff."""
    return Factor(key, value, value, value, unit, source=source, verified="declared")


def lost_per_used(loss: Factor) -> Factor:
    """Energy lost in the lines for each unit that arrives: ``loss / (1 - loss)`` [ratio].

    *loss* is the part of what is generated that does not arrive, as statistics give it.

    Raises
    ------
    UsageError
        If it is not a ratio below one.
    """
    if not 0 <= loss.low <= loss.value <= loss.high < 1:
        raise UsageError(
            f"a loss of {loss.value:g} ({loss.low:g} – {loss.high:g}) is no ratio",
            remedy="give a share that the lines lose, from 0 to below 1",
        )
    low, value, high = (r / (1 - r) for r in (loss.low, loss.value, loss.high))
    return msgspec.structs.replace(loss, low=low, value=value, high=high)


def per_kwh(energy: Amount, factor: Factor) -> Amount:
    """*energy* [J] times a *factor* per kilowatt-hour."""
    return energy.times(factor.scaled(1 / J_PER_KWH))


def log_interval(factor: Factor) -> tuple[float, float]:
    """Ends of the interval relative to the value, as the arithmetic of amounts takes them."""
    reach = math.exp(NORMAL_95 * factor.log_sd)
    return 1 / reach, reach
