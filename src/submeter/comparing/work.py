# SPDX-License-Identifier: Apache-2.0
"""The same work on another machine: energy and time for each unit of it, and to a quality.

Runs that did not do the same work are told apart, not divided: a sample of one data set is not a
sample of another, and a step is as large as its batch.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from submeter.comparing.changes import Differences
from submeter.comparing.quality import direction
from submeter.comparing.runs import (
    Boundary,
    Column,
    Comparison,
    Row,
    amounts_of,
    common_boundary,
    compare_columns,
    duration_of,
    load_log_sds,
    row_of,
)
from submeter.records.amounts import Amount
from submeter.records.figures import Missing
from submeter.records.footprints import Footprint
from submeter.records.runs import MetricPoint, Run

UNITS: Final = ("samples", "tokens", "images", "sequences", "examples")  # of equal size anywhere
STEPS: Final = "steps"
_SINGULAR: Final = {"samples": "sample", "tokens": "token", "images": "image", "steps": "step",
                    "sequences": "sequence", "examples": "example"}  # fmt: skip
_SAME_BATCH: Final = 0.01  # relative difference of samples per step that counts as none
_ENDED: Final = frozenset({"finished", "failed", "killed", "stopped"})
Pick = Callable[[Run, Footprint], Amount | Missing]


class Reached(NamedTuple):
    """A quality that all runs reached, and what it took."""

    metric: str
    target: float
    rising: bool
    energy: Row
    time: Row


class SameWork(msgspec.Struct, frozen=True):
    """What the same work takes in each column.

    Attributes
    ----------
    comparison
        The runs beside each other, as they were.
    per_unit
        Energy and time for each unit of work that all logged.
    reached
        Energy and time to the quality that all reached; None where there is none.
    refused
        Why some of it cannot be told.
    """

    comparison: Comparison
    per_unit: tuple[Row, ...]
    reached: Reached | None
    refused: tuple[str, ...] = ()


def same_work(
    columns: Sequence[Column], *, metric: str = "", target: float | None = None
) -> SameWork:
    """Normalise *columns* by the work that they did and by the quality that they reached.

    Parameters
    ----------
    columns
        Two or more.
    metric
        Which one says the quality; the first that all logged and whose direction is known if "".
    target
        Quality to reach; the best that the worst of them reached if None.

    Notes
    -----
    The energy up to a point of the learning curve is the energy of the run times the part of it
    that its devices had drawn by then. A quality is reached somewhere between two logged points:
    the later one counts, and what was used since the earlier one is a hard bound below it.
    """
    comparison = compare_columns(columns)
    boundary = common_boundary(columns)
    refused: list[str] = []
    other = _other_work(comparison.differences)
    per_unit = _per_unit(columns, boundary, other, refused)
    reached = None if other else _reached(columns, boundary, metric, target, refused)
    if other:
        refused.append(other)
    return SameWork(comparison, tuple(per_unit), reached, tuple(refused))


# --- inside -------------------------------------------------------------------------------------


def _other_work(found: Differences) -> str:
    """Why the runs did not do the same work, as far as they tell; "" if they may have."""
    for row in found.changed:
        if row.group == "data" and row.told:
            words = " and ".join(dict.fromkeys(v for v in row.values if v is not None))
            return (
                f"not the same work: they read other data ({row.name}: {words}), and neither a "
                "unit of it nor a quality on it is the same thing"
            )
    return ""


def _per_unit(
    columns: Sequence[Column], boundary: Boundary, other: str, refused: list[str]
) -> list[Row]:
    runs = [run for column in columns for run in column.runs]
    if any(run.status not in _ENDED for run in runs):
        refused.append("work and energy of a run that goes on are not known to the same instant")
        return []
    units = _units(runs)
    if not units:
        told = "; ".join(f"{c.label}: {', '.join(c.runs[0].work) or 'none'}" for c in columns)
        refused.append(f"no unit of work is logged by all of them ({told})")
        return []
    rows: list[Row] = []
    for unit in units:
        name = _SINGULAR.get(unit, unit)
        for key, picked, base in (
            ("energy", boundary.amount, "J"), ("time", duration_of, "s")
        ):  # fmt: skip
            values = amounts_of(columns, _divided(picked, unit), facility=False)
            sds = load_log_sds(columns) if key == "energy" else ()
            title, per = f"{key} per {name}", f"{base} per {name}"
            row = row_of(f"{key}_per/{unit}", title, per, values, sds)
            rows.append(_unchanged(row, other) if other else row)
    return rows


def _units(runs: Sequence[Run]) -> list[str]:
    """Units of work that all *runs* did and that are as large in each."""
    common = [
        unit
        for unit in runs[0].work
        if all(
            math.isfinite(run.work.get(unit, 0.0)) and run.work.get(unit, 0) > 0 for run in runs
        )
    ]
    fixed = [unit for unit in common if unit in UNITS]
    if fixed:
        return fixed
    batches = [
        run.work[unit] / run.work[STEPS]
        for run in runs
        for unit in UNITS
        if unit in run.work and run.work.get(STEPS, 0) > 0
    ]
    alike = not batches or max(batches) <= (1 + _SAME_BATCH) * min(batches)
    return [unit for unit in common if unit != STEPS or alike]


def _divided(pick: Pick, unit: str) -> Pick:
    def divided(run: Run, made: Footprint) -> Amount | Missing:
        found = pick(run, made)
        return found if isinstance(found, Missing) else found.scaled(1 / run.work[unit])

    return divided


def _unchanged(row: Row, why: str) -> Row:
    """*row* without the changes, which would compare what is not alike."""
    others = [Missing(why)] * (len(row.values) - 1)
    return msgspec.structs.replace(row, changes=(row.changes[0], *others))


def _reached(
    columns: Sequence[Column],
    boundary: Boundary,
    metric: str,
    target: float | None,
    refused: list[str],
) -> Reached | None:
    runs = [run for column in columns for run in column.runs]
    name = metric or _common_metric(runs)
    curves = [_curve(run, name) for run in runs]
    if not name or not all(curves):
        lacking = [c.label for c in columns if not all(_curve(run, name) for run in c.runs)]
        what = f"“{name}”" if name else "a quality whose direction its name tells"
        refused.append(f"{what} is not logged over time by {', '.join(lacking) or 'all of them'}")
        return None
    rising = direction(name) is not False
    best = [max(v for _, v in c) if rising else min(v for _, v in c) for c in curves]
    goal = (min(best) if rising else max(best)) if target is None else target
    places = {
        id(run): _first(curve, goal, rising) for run, curve in zip(runs, curves, strict=True)
    }
    if all(place is None for place in places.values()):
        refused.append(f"none of them reached {name} {goal:g}")
        return None
    energy = amounts_of(columns, _up_to(boundary.amount, places, name, goal), facility=False)
    time = amounts_of(
        columns, _up_to(duration_of, places, name, goal, by_time=True), facility=False
    )
    if any(run.series is None for run in runs):
        refused.append("a run without its power over time is taken to have drawn evenly")
    sign = "≥" if rising else "≤"
    title = f"to {name} {sign} {goal:.4g}"
    return Reached(
        name, goal, rising,
        row_of(f"energy_to/{name}", f"energy {title}", "J", energy, load_log_sds(columns)),
        row_of(f"time_to/{name}", f"time {title}", "s", time),
    )  # fmt: skip


def _common_metric(runs: Sequence[Run]) -> str:
    """First metric that all *runs* logged over time and whose direction is known; rising first."""
    names = [
        name
        for name in runs[0].metrics
        if direction(name) is not None and all(_curve(run, name) for run in runs)
    ]
    return next(iter(sorted(names, key=lambda n: not direction(n))), "")


def _curve(run: Run, name: str) -> list[tuple[float, float]]:
    """Instants [s] and values at which *name* was logged and is a number."""
    return [
        (point.elapsed_s, point.values[name])
        for point in sorted(run.metric_history, key=_instant)
        if name in point.values and math.isfinite(point.values[name])
    ]


def _instant(point: MetricPoint) -> float:
    return point.elapsed_s


def _first(
    curve: Sequence[tuple[float, float]],
    goal: float,
    rising: bool,  # noqa: FBT001  # of a metric
) -> tuple[float, float] | None:
    """Instants before and at which *curve* first is as good as *goal* [s]; None if never."""
    before_s = 0.0
    for at_s, value in curve:
        if value >= goal if rising else value <= goal:
            return before_s, at_s
        before_s = at_s
    return None


def _up_to(
    pick: Pick,
    places: dict[int, tuple[float, float] | None],
    name: str,
    goal: float,
    *,
    by_time: bool = False,
) -> Pick:
    """What of an amount had been used when the goal was reached."""

    def used(run: Run, made: Footprint) -> Amount | Missing:
        whole, place = pick(run, made), places[id(run)]
        if isinstance(whole, Missing):
            return whole
        if place is None:
            return Missing(f"{name} {goal:g} was not reached")
        earlier, later = (_part(run, at_s, by_time=by_time) for at_s in place)
        found = whole.scaled(later)
        slack = whole.value * (later - earlier)
        return msgspec.structs.replace(found, bound_low=found.bound_low + slack)

    return used


def _part(run: Run, at_s: float, *, by_time: bool) -> float:
    """Part of the energy (or of the time) of *run* that was used up to an instant."""
    even = min(1.0, at_s / run.duration_s) if run.duration_s > 0 else 1.0
    series = run.series
    if by_time or series is None or series.slot_s <= 0:
        return even
    rows = list(series.devices.values())
    whole = math.fsum(map(math.fsum, rows))
    if whole <= 0:
        return even
    slots = at_s / series.slot_s
    full, share = int(slots), slots - int(slots)
    used = math.fsum(
        math.fsum(row[:full]) + (share * row[full] if full < len(row) else 0.0) for row in rows
    )
    return min(1.0, used / whole)
