# SPDX-License-Identifier: Apache-2.0
"""A load over a trace: one factor, weighted by when the energy was drawn. Pure."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from submeter.errors import CoverageError, UsageError
from submeter.records.factors import NORMAL_95, Factor
from submeter.records.traces import Kind, Load, Trace

_NEGLIGIBLE: Final = 1e-9  # of the energy: rounding of instants, nothing that was drawn
_MOST_MISSING_RATIO: Final = 0.5


def weighted(load: Load, trace: Trace) -> Factor:
    """Mean of *trace*, weighted by the energy of *load* in each of its slots.

    Parameters
    ----------
    load
        Energy is taken as evenly drawn within a slot. A load without energy weighs by time.
    trace
        Its slots need not match those of the load.

    Returns
    -------
    Factor
        In the unit of *trace*, with its source, its interval and the key of its doubt.

    Raises
    ------
    CoverageError
        If energy was drawn before, after or in a gap of *trace*. Gaps are not filled here.

    Notes
    -----
    ``sum_j E_j v_j / sum_j E_j`` with ``E_j`` the energy drawn in slot j. The sum of each slot is
    exact before rounding (`math.fsum`), so a day of seconds costs one pass.
    """
    whole = _checked(load)
    drawn = load if whole > 0 else msgspec.structs.replace(load, energies_j=_even(load))
    whole = whole or math.fsum(drawn.energies_j)
    parts: list[tuple[float, float]] = []
    for i, value in enumerate(trace.values):
        begin_s = trace.start_utc_s + i * trace.step_s
        energy_j = _between_j(drawn, begin_s, begin_s + trace.step_s)
        if energy_j <= 0:
            continue
        if value is None and energy_j > _NEGLIGIBLE * whole:
            raise _hole(trace, f"has a gap at {_instant(begin_s)}")
        if value is not None:
            parts.append((energy_j, value))
    seen = math.fsum(energy_j for energy_j, _ in parts)
    if not parts or whole - seen > _NEGLIGIBLE * whole:
        raise _hole(trace, _beyond(load, trace))
    mean = math.fsum(e * v for e, v in parts) / seen
    values = [v for _, v in parts]
    return _factor(trace, min(max(mean, min(values)), max(values)))  # rounding stays inside


def mix(parts: Sequence[tuple[Trace, float]]) -> Trace:
    """Blend traces by their *parts* of the energy, such as two sites of one run.

    Returns
    -------
    Trace
        On the slots of the parts, which have to be the same. The doubts are taken as going the
        same way, which is the widest that they can be.

    Raises
    ------
    UsageError
        If the traces differ in kind, unit or slots, or no part is above zero.
    """
    traces = [t for t, part in parts if part > 0]
    whole = math.fsum(part for _, part in parts)
    if not traces or any(part < 0 for _, part in parts):
        raise UsageError("a mix needs parts, and none below zero", remedy="give their energy")
    first = traces[0]
    require_same_kind(t.kind for t in traces)
    for other in traces[1:]:
        if other.unit != first.unit:
            raise UsageError(
                f"{first.unit} and {other.unit} cannot be mixed",
                remedy="bring both to one unit first",
            )
        if _slots(other) != _slots(first):
            raise UsageError("traces of a mix need the same slots", remedy="ask for one span")
    weights = [part / whole for _, part in parts if part > 0]
    values = tuple(_blend(row, weights) for row in zip(*(t.values for t in traces), strict=True))
    level = [w * _level(t) for t, w in zip(traces, weights, strict=True)]
    total = math.fsum(level)
    low = math.fsum(x * t.low_ratio for x, t in zip(level, traces, strict=True))
    high = math.fsum(x * t.high_ratio for x, t in zip(level, traces, strict=True))
    return msgspec.structs.replace(
        first,
        key=" + ".join(dict.fromkeys(t.key for t in traces)),
        zone=" + ".join(dict.fromkeys(t.zone for t in traces)),
        values=values,
        low_ratio=low / total if total > 0 else min(t.low_ratio for t in traces),
        high_ratio=high / total if total > 0 else max(t.high_ratio for t in traces),
        source="; ".join(dict.fromkeys(t.source for t in traces if t.source)),
        year=min(t.year for t in traces),
        notes=tuple(dict.fromkeys(n for t in traces for n in t.notes)),
    )


def require_same_kind(kinds: Iterable[Kind | None]) -> Kind | None:
    """Give the one kind that all *kinds* are.

    Raises
    ------
    UsageError
        If they differ; it says in what, and why such figures have no sum.
    """
    different = list(dict.fromkeys(kinds))
    for one, other in pairwise(different):
        raise UsageError(_why_not(one, other), remedy="reckon each by itself, side by side")
    return different[0] if different else None


def repair(trace: Trace) -> Trace:
    """Fill the gaps of *trace*, say so, and widen its interval.

    Returns
    -------
    Trace
        Without gaps: straight lines between neighbours, at the ends the next known value. A trace
        without gaps comes back as it is.

    Raises
    ------
    CoverageError
        If more than half of it is missing, or nothing is known of the hours around.

    Notes
    -----
    Slots count seconds of UTC, so the local days of 23 and 25 hours have no gap and no double
    hour. A filled value is at most half the longest gap away from a known one, so it is off by
    what the trace itself moves within that time: the root mean square of ``ln v[i+h] - ln v[i]``
    with h half the gap. That is added in quadrature to the doubt of the level.
    """
    gaps = [i for i, v in enumerate(trace.values) if v is None]
    if not gaps:
        return trace
    missing = len(gaps) / len(trace.values)
    if missing > _MOST_MISSING_RATIO:
        raise _hole(trace, f"lacks {missing:.0%} of its values")
    longest = max(map(len, "".join("x" if v is None else " " for v in trace.values).split()))
    sd = _movement_sd(trace.values, (longest + 1) // 2)
    words = (
        f"{len(gaps)} of {len(trace.values)} values were missing, at most"
        f" {longest * trace.step_s / 3600:g} h in a row: interpolated, interval widened"
    )
    filled = msgspec.structs.replace(
        trace, values=_filled(trace.values), notes=(*trace.notes, words)
    )
    return widened(filled, sd)


def widened(trace: Trace, sd: float) -> Trace:
    """Add a doubt of standard deviation *sd* (of the logarithm) to *trace*, in quadrature."""
    low, high = widened_ratios(trace.low_ratio, trace.high_ratio, sd)
    return msgspec.structs.replace(trace, low_ratio=low, high_ratio=high)


def widened_ratios(low_ratio: float, high_ratio: float, *sds: float) -> tuple[float, float]:
    """Add independent doubts *sds* to a 95 % interval, each side by itself, in quadrature."""
    more = [NORMAL_95 * sd for sd in sds]
    down = math.hypot(math.log(low_ratio), *more) if low_ratio > 0 else math.inf
    return math.exp(-down), math.exp(math.hypot(math.log(high_ratio), *more))


def _checked(load: Load) -> float:
    """Energy of the whole load [J]."""
    if not load.energies_j or load.slot_s <= 0:
        raise UsageError("a load without a slot has no time", remedy="give the time of the run")
    whole = math.fsum(load.energies_j)
    if not math.isfinite(whole) or min(load.energies_j) < 0:
        raise UsageError(
            "a load holds energies that are finite and not below zero",
            remedy="give the load of a finished run",
        )
    return whole


def _even(load: Load) -> tuple[float, ...]:
    return (1.0,) * len(load.energies_j)


def _between_j(load: Load, begin_s: float, end_s: float) -> float:
    """Energy drawn from *begin_s* to *end_s*, taken as even within a slot."""
    n = len(load.energies_j)
    first = min(max((begin_s - load.start_utc_s) / load.slot_s, 0.0), n)
    last = min(max((end_s - load.start_utc_s) / load.slot_s, 0.0), n)
    if last <= first:
        return 0.0
    a, b = math.floor(first), min(math.floor(last), n - 1)
    if a == b:
        return load.energies_j[a] * (last - first)
    inner = load.energies_j[a + 1 : b]
    edges = (load.energies_j[a] * (a + 1 - first), load.energies_j[b] * (last - b))
    return math.fsum((*inner, *edges))


def _factor(trace: Trace, value: float) -> Factor:
    words = [str(trace.kind)] if trace.kind else []
    return Factor(
        key=trace.key,
        value=value,
        low=value * trace.low_ratio,
        high=value * trace.high_ratio,
        unit=trace.unit,
        source=trace.source,
        year=trace.year,
        licence=trace.licence,
        verified=trace.verified,
        note="; ".join([*words, f"shape: {trace.shape}", *trace.notes]),
    )


def _blend(row: Sequence[float | None], weights: Sequence[float]) -> float | None:
    known = [v for v in row if v is not None]
    if len(known) < len(row):
        return None
    return math.fsum(v * w for v, w in zip(known, weights, strict=True))


def _level(trace: Trace) -> float:
    known = [v for v in trace.values if v is not None]
    return math.fsum(known) / len(known) if known else 0.0


def _slots(trace: Trace) -> tuple[float, float, int]:
    return trace.start_utc_s, trace.step_s, len(trace.values)


_WHY: Final = (
    (
        "method",
        (
            "what contracts claim replaces the grid's figure, so both together count twice and"
            " neither is a part of the other"
        ),
    ),
    (
        "signal",
        (
            "an average shares out what is emitted anyway, a marginal one tells what one more"
            " kilowatt-hour adds"
        ),
    ),
    ("scope", "a lifecycle figure already holds the direct emissions"),
    ("flow", "what is generated in a zone and what is consumed there differ by its trade"),
)


def _why_not(one: Kind | None, other: Kind | None) -> str:
    if one is None or other is None:
        return "an intensity and a trace that is none cannot be mixed"
    for field, why in _WHY:
        a, b = getattr(one, field), getattr(other, field)
        if a != b:
            return f"{a} and {b} figures cannot be mixed: {why}"
    raise AssertionError(one)


def _movement_sd(values: Sequence[float | None], reach: int) -> float:
    """Root mean square of the change of the logarithm over *reach* slots."""
    for lag in range(reach, 0, -1):
        moves = [
            math.log(b / a)
            for a, b in zip(values, values[lag:], strict=False)
            if a is not None and b is not None and a > 0 and b > 0
        ]
        if moves:
            return math.sqrt(math.fsum(m * m for m in moves) / len(moves))
    known = [v for v in values if v is not None]
    if len(set(known)) > 1:
        return math.log(max(known) / min(known)) if min(known) > 0 else math.inf
    return 0.0


def _filled(values: Sequence[float | None]) -> tuple[float, ...]:
    known = [(i, v) for i, v in enumerate(values) if v is not None]
    made = [known[0][1]] * known[0][0]
    for (i, a), (j, b) in pairwise(known):
        made += [a + (b - a) * k / (j - i) for k in range(j - i)]
    return (*made, *[known[-1][1]] * (len(values) - known[-1][0]))


def _beyond(load: Load, trace: Trace) -> str:
    end_s = trace.start_utc_s + trace.step_s * len(trace.values)
    load_end_s = load.start_utc_s + load.slot_s * len(load.energies_j)
    return (
        f"runs from {_instant(trace.start_utc_s)} to {_instant(end_s)}, but energy was drawn from"
        f" {_instant(load.start_utc_s)} to {_instant(load_end_s)}"
    )


def _hole(trace: Trace, what: str) -> CoverageError:
    return CoverageError(
        f"the trace {trace.key} {what}", remedy="ask for the whole span, or repair the trace"
    )


def _instant(at_utc_s: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at_utc_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
