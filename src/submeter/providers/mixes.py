# SPDX-License-Identifier: Apache-2.0
"""From who generated how much to grams per kilowatt-hour, through the catalog's generation table.

``intensity = sum_f E_f g_f / sum_f E_f`` over the fuels of which a factor is known. Storage that
discharges is left out: what it stores was generated, and counted, before.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from submeter.errors import CoverageError, ProviderReplyError
from submeter.providers.asking import ANNUAL, Ask, Provider, Scope
from submeter.providers.series import GRAMS, MEASURED_SD, Point, interval, point, regular, utc
from submeter.records.factors import Factor
from submeter.records.traces import Kind, Trace

FactorOf = Callable[[str, str], Factor]  # fuel and quantity; raises CoverageError
UNKNOWN: Final = ""  # a source of which no factor is known
STORAGE: Final = "storage"
# A fuel that makes at least this share of all generation must be there, or the hour is a gap.
MATTERS_RATIO: Final = 0.02


class Generated(msgspec.Struct, frozen=True):
    """What one fuel generated, in any unit that is the same for all [MW or MWh]."""

    start_utc_s: float
    length_s: float
    fuel: str
    amount: float


def of_catalog(fuel: str, quantity: str) -> Factor:
    """Factor of *fuel* in the catalog's generation table [g/kWh]."""
    from submeter.catalog.facts import fact

    return fact("generation", fuel, quantity)


def trace_of(
    mix: list[Generated],
    ask: Ask,
    provider: Provider,
    *,
    factor_of: FactorOf,
    source: str,
    licence: str,
    notes: tuple[str, ...] = (),
) -> Trace:
    """Intensity of generation from *mix*, of which hours with a fuel amiss become gaps.

    Raises
    ------
    ProviderReplyError
        If the mix holds nothing of which a factor is known.
    """
    kind = provider.kind(ask.scope)
    quantity = f"{kind.scope}_g_per_kwh"
    factors = _factors({g.fuel for g in mix}, quantity, factor_of)
    totals: dict[str, float] = defaultdict(float)
    for g in mix:
        if g.fuel != STORAGE:
            totals[g.fuel if g.fuel in factors else UNKNOWN] += max(0.0, g.amount) * g.length_s
    everything = sum(totals.values())
    counted = everything - totals[UNKNOWN]
    if counted <= 0:
        raise ProviderReplyError(
            f"{provider.name} gives no generation of which a factor is known", remedy=ANNUAL
        )
    points = _points(mix, factors, {f for f in totals if totals[f] > MATTERS_RATIO * everything})
    unknown_ratio = totals[UNKNOWN] / everything
    series = regular(
        points,
        name=provider.name,
        start_utc_s=ask.start_utc_s,
        end_utc_s=ask.end_utc_s,
        now_utc_s=ask.now_utc_s,
    )
    relative_sd = math.hypot(
        _factor_sd(totals, factors), MEASURED_SD, unknown_ratio / max(1e-9, 1 - unknown_ratio)
    )
    low, high = interval(relative_sd)
    if unknown_ratio > MEASURED_SD / 10:
        notes += (f"{unknown_ratio:.1%} of the generation is of unknown origin",)
    return Trace(
        key=f"live/{provider.name}/{ask.place}/{kind.scope}",
        zone=ask.zone.code,
        unit=GRAMS,
        start_utc_s=series.start_utc_s,
        step_s=series.step_s,
        values=series.values,
        low_ratio=low,
        high_ratio=high,
        kind=kind,
        shape=series.shape,
        source=source,
        year=int(utc(ask.start_utc_s, "%Y")),
        licence=licence,
        verified="live",
        notes=(*series.notes, *notes),
    )


def production(scope: Scope | None) -> Kind:
    """Kind of an intensity that was computed from generation."""
    return Kind("average", scope or "lifecycle", "production", "location")


def _factors(fuels: set[str], quantity: str, factor_of: FactorOf) -> dict[str, Factor]:
    found = {}
    for fuel in sorted(fuels - {UNKNOWN, STORAGE}):
        try:
            found[fuel] = factor_of(fuel, quantity)
        except CoverageError:
            continue  # counted as of unknown origin
    return found


def _points(mix: list[Generated], factors: Mapping[str, Factor], must: set[str]) -> list[Point]:
    """Make one point of each slot; where resolutions differ, coarser fuels fill finer slots."""
    slots: dict[tuple[float, float], dict[str, float]] = defaultdict(dict)
    finest = min(g.length_s for g in mix)
    for g in mix:
        for i in range(max(1, round(g.length_s / finest))):
            fuels = slots[g.start_utc_s + i * finest, finest]
            name = g.fuel if g.fuel in factors or g.fuel == STORAGE else UNKNOWN
            # Plants that stand still draw power: small negative generation is none.
            fuels[name] = fuels.get(name, 0.0) + max(0.0, g.amount)
    points = []
    for (start, length_s), fuels in sorted(slots.items()):
        known = {f: a for f, a in fuels.items() if f in factors}
        total = sum(known.values())
        if not must - {UNKNOWN} <= set(known):
            points.append(Point(start, length_s, None, "without a fuel that matters"))
        elif total <= 0:
            points.append(Point(start, length_s, None, "without generation"))
        else:
            grams = sum(factors[f].value * a for f, a in known.items())
            points.append(point(start, length_s, grams / total))
    return points


def _factor_sd(totals: Mapping[str, float], factors: Mapping[str, Factor]) -> float:
    """Relative standard uncertainty of the mean intensity that comes from the factors."""
    grams = {f: totals.get(f, 0.0) * factor.value for f, factor in factors.items()}
    whole = sum(grams.values())
    if whole <= 0:
        return 0.0
    return math.sqrt(sum((grams[f] * factors[f].log_sd) ** 2 for f in factors)) / whole
