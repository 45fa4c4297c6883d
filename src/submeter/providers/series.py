# SPDX-License-Identifier: Apache-2.0
"""Points as providers give them, made into slots of equal length without guessing.

What is no number, is not finite, is negative or beyond what any power station emits becomes a
gap, and the notes say how many. Gaps stay gaps: `submeter.grid.weighting.repair` fills
them for who asks.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from submeter.errors import CoverageError, ProviderReplyError
from submeter.grid.weighting import widened_ratios
from submeter.records.traces import Shape

GRAMS: Final = "g/kWh"
# More than the dirtiest power station: lignite and oil shale stay below 2 000 g/kWh of lifecycle.
MOST_G_PER_KWH: Final = 3_000.0
SHORTEST_STEP_S: Final = 60
LONGEST_STEP_S: Final = 366 * 86_400
_LAST_UTC_S: Final = 7_258_118_400.0  # 2200-01-01
_JITTER_S: Final = 1e-3
MOST_SLOTS: Final = 200_000  # 22 years of hours, or two of five minutes
# Relative standard uncertainties of an hourly zone figure, and of one that its provider itself
# estimated or forecast: type B judgement in the sense of the GUM, no measurement.
MEASURED_SD: Final = 0.05
ESTIMATED_SD: Final = 0.15


class Point(msgspec.Struct, frozen=True):
    """A value that holds for *length_s* from *start_utc_s* on; None if there is no usable one.

    *why* says what was wrong with it; *forecast* and *estimated* are the provider's own words.
    """

    start_utc_s: float
    length_s: float
    value: float | None
    why: str = ""
    forecast: bool = False
    estimated: bool = False


class Series(msgspec.Struct, frozen=True):
    """Slots of one length that cover what was asked for, gaps as None."""

    start_utc_s: float
    step_s: float
    values: tuple[float | None, ...]
    forecast_ratio: float
    estimated_ratio: float
    notes: tuple[str, ...]

    @property
    def shape(self) -> Shape:
        """Forecast as soon as any of it lies ahead."""
        return "forecast" if self.forecast_ratio else "metered"

    @property
    def relative_sd(self) -> float:
        """Standard uncertainty of the level, between that of measured and of estimated hours."""
        doubtful = min(1.0, self.forecast_ratio + self.estimated_ratio)
        return MEASURED_SD + (ESTIMATED_SD - MEASURED_SD) * doubtful


def number(given: object, *, least: float = 0.0, most: float = MOST_G_PER_KWH) -> float | str:
    """*given* as a number, or the word for what is wrong with it. Numbers in quotes count."""
    if given is None or given == "":
        return "missing"
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        return "not a number"
    try:
        value = float(given)
    except (ValueError, OverflowError):
        return "not a number"
    if not math.isfinite(value):
        return "not finite"
    if value < least:
        return "negative" if least == 0 else f"below {least:g}"
    return f"beyond {most:g}" if value > most else value


def point(
    start_utc_s: float,
    length_s: float,
    given: object,
    *,
    ratio: float = 1.0,
    forecast: bool = False,
    estimated: bool = False,
) -> Point:
    """Make a point of what a provider gives as a value, times *ratio* to change its unit."""
    value = number(given, most=MOST_G_PER_KWH / ratio)
    if isinstance(value, str):
        return Point(start_utc_s, length_s, None, value, forecast, estimated)
    return Point(start_utc_s, length_s, value * ratio, "", forecast, estimated)


def instant_utc_s(text: object) -> float:
    """Instant of an ISO 8601 text with its offset from UTC [s since 1970].

    Raises
    ------
    ValueError
        If it is no such text, says nothing of its time zone, or lies before 1970 or after 2199.
    """
    if not isinstance(text, str):
        raise ValueError("no instant")  # noqa: TRY004  # one exception for "no instant"
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("an instant without a time zone")
    at_utc_s = moment.timestamp()
    if not 0 <= at_utc_s < _LAST_UTC_S:
        raise ValueError("an instant that no grid has")
    return at_utc_s


def utc(at_utc_s: float, form: str = "%Y-%m-%dT%H:%MZ") -> str:
    """Write an instant as providers like it."""
    return datetime.fromtimestamp(at_utc_s, UTC).strftime(form)


def regular(
    points: Sequence[Point],
    *,
    name: str,
    start_utc_s: float,
    end_utc_s: float,
    now_utc_s: float = math.inf,
) -> Series:
    """Slots from *start_utc_s* to *end_utc_s*, at the finest resolution that occurs.

    A coarser point fills all slots that it covers; where points overlap, the finer one holds, and
    of equal ones the later in the answer, which is the revision. A point that begins after
    *now_utc_s* and is not called a forecast cannot be true and is left out.

    Raises
    ------
    ProviderReplyError
        If no value is usable, or the points keep to no step.
    CoverageError
        If no point lies in the time asked for.
    """
    wrong = Counter[str]()
    early = [p for p in points if p.forecast or p.start_utc_s < now_utc_s]
    wrong["from the future"] = len(points) - len(early)
    inside = [
        p for p in early if p.start_utc_s < end_utc_s and p.start_utc_s + p.length_s > start_utc_s
    ]
    if not inside:
        raise CoverageError(
            f"{name} has nothing from {utc(start_utc_s)} to {utc(end_utc_s)}",
            remedy="ask for another time, or leave the provider out for the annual figure",
        )
    origin, step_s = _grid(inside, name)
    first = math.floor((start_utc_s - origin) / step_s)
    count = math.ceil((end_utc_s - origin) / step_s) - first
    if count > MOST_SLOTS:
        raise ProviderReplyError(
            f"{name} comes to more than {MOST_SLOTS} slots of {step_s:.0f} s",
            remedy="ask for less time; the annual figure is used instead",
        )
    slots: list[Point | None] = [None] * count
    for p in sorted(inside, key=lambda p: -p.length_s):  # stable: of equals the later wins
        begin = round((p.start_utc_s - origin) / step_s) - first
        for i in range(max(0, begin), min(count, begin + round(p.length_s / step_s))):
            slots[i] = _chosen(slots[i], p, wrong)
    for p in inside:
        if p.why:
            wrong[p.why] += 1
    found = [p for p in slots if p is not None and p.value is not None]
    if not found:
        whys = ", ".join(w for w, n in wrong.items() if n) or "no values"
        raise ProviderReplyError(
            f"{name} gives no usable value ({whys})", remedy="the annual figure is used instead"
        )
    return Series(
        origin + first * step_s,
        step_s,
        tuple(None if p is None else p.value for p in slots),
        sum(p.forecast for p in found) / len(found),
        sum(p.estimated and not p.forecast for p in found) / len(found),
        tuple(_notes(name, wrong, found, count, len(points))),
    )


def _grid(points: Iterable[Point], name: str) -> tuple[float, float]:
    """Instant and step of the coarsest grid on which all *points* begin and end [s]."""
    points = list(points)
    origin = min(p.start_utc_s for p in points)
    spans = [p.length_s for p in points] + [p.start_utc_s - origin for p in points]
    step_s = math.gcd(*(round(span) for span in spans))
    whole = all(p.length_s > 0 for p in points)
    fits = SHORTEST_STEP_S <= step_s <= LONGEST_STEP_S
    if not whole or not fits or any(abs(s - round(s)) > _JITTER_S for s in spans):
        raise ProviderReplyError(
            f"{name} keeps to no step in time", remedy="the annual figure is used instead"
        )
    return origin, float(step_s)


def _chosen(before: Point | None, now: Point, wrong: Counter[str]) -> Point:
    """Which of two points holds for a slot; a usable one goes before none."""
    if before is None or before.value is None:
        return now
    if now.value is None:
        return before
    if before.forecast != now.forecast:  # what was measured goes before what was expected
        return before if now.forecast else now
    if before.length_s == now.length_s and before.value != now.value:
        wrong["said twice and differently"] += 1
    return now


def _notes(
    name: str, wrong: Counter[str], found: Sequence[Point], count: int, given: int
) -> Iterable[str]:
    for why, n in sorted(wrong.items()):
        if n:
            yield f"{n} of {given} values of {name} were {why}"
    if len(found) < count:
        yield f"{count - len(found)} of {count} slots have no value"
    ahead = sum(p.forecast for p in found)
    if ahead:
        yield f"{ahead} of {count} slots are forecasts"
    guessed = sum(p.estimated and not p.forecast for p in found)
    if guessed:
        yield f"{guessed} of {count} slots were estimated by {name}"


def interval(relative_sd: float) -> tuple[float, float]:
    """95 % interval of a log-normal level around one, for a relative standard uncertainty."""
    return widened_ratios(1.0, 1.0, math.sqrt(math.log1p(relative_sd**2)))
