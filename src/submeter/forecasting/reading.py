# SPDX-License-Identifier: Apache-2.0
"""Series from files of others: comma-separated, gzipped or not, with their usual faults."""

import csv
import gzip
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from submeter.errors import UsageError
from submeter.forecasting.series import HOUR_S, Series

TIME: Final = "timestamp_utc"
INTENSITY: Final = "ci_gco2e_per_kwh"
HIGHEST_G_PER_KWH: Final = 3_000.0  # no grid emits more: oil shale in old plants stays below 2000
_STEPS_S: Final = (300, 600, 900, 1200, 1800, 3600)
_OFF_GRID: Final = 0.02  # share of instants that may lie beside the slots
_GAPS: Final = 0.5  # share of slots that may be empty
_GAPS_TOLD: Final = 0.001
_REMEDY: Final = f"give columns {TIME} (2026-01-31T00:00:00Z) and {INTENSITY}"


@dataclass(frozen=True, eq=False)
class Reading:
    """A series, and in words what had to be repaired in it."""

    series: Series
    notes: tuple[str, ...] = ()


def read_series(path: Path, *, timezone: str = "UTC", zone: str = "") -> Reading:
    """Read *path*, a table with columns ``timestamp_utc`` and ``ci_gco2e_per_kwh``.

    Rows may be unsorted and readings missing; an instant given more than once, as by a clock that
    was set back, counts with the mean of its readings. Each such repair is told.

    Raises
    ------
    UsageError
        If there is no such file or table, an instant or a number cannot be read, or readings are
        negative or so large that their unit must be another.
    """
    found: dict[float, list[float]] = {}
    unsorted = doubled = 0
    before, last = -math.inf, ""
    for number, line in _lines(path):
        at = _instant(line[TIME], path, number)
        value = _value(line[INTENSITY], path, number)
        last = line.get("zone") or last
        unsorted += at < before
        before = at
        if at in found:
            doubled += 1
        found.setdefault(at, []).append(value)
    if len(found) < 2:  # noqa: PLR2004
        raise UsageError(f"{path.name} holds no two readings", remedy=_REMEDY)
    instants = np.array(sorted(found))
    means = np.array([_mean(found[at]) for at in instants.tolist()])
    _check_unit(means, path)
    step_s = _step_s(instants, path)
    places = np.rint((instants - instants[0]) / step_s).astype(np.int64)
    values = np.full(int(places[-1]) + 1, np.nan)
    values[places] = means
    notes = _notes(values, unsorted=unsorted, doubled=doubled, path=path)
    series = Series(float(instants[0]), step_s, values, zone=zone or last, timezone=timezone)
    return Reading(series, notes)


def _lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UsageError(f"{path} is no file", remedy="give a file of readings, not a pipe")
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        opened = gzip.open if packed else open
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            missing = [c for c in (TIME, INTENSITY) if c not in (table.fieldnames or ())]
            if missing:
                raise UsageError(
                    f"{path.name} has no column {' and no '.join(missing)}", remedy=_REMEDY
                )
            for line in table:
                yield table.line_num, line
    except (OSError, EOFError, zlib.error) as exc:
        why = getattr(exc, "strerror", None) or "it is damaged"
        raise UsageError(f"{path} cannot be read: {why}", remedy="check path and file") from exc
    except (UnicodeDecodeError, csv.Error) as exc:
        raise UsageError(f"{path.name} is no table of text", remedy=_REMEDY) from exc


def _instant(words: str | None, path: Path, number: int) -> float:
    try:
        at = datetime.fromisoformat((words or "").strip())
    except ValueError as exc:
        raise UsageError(
            f"{path.name}, line {number}: “{(words or '')[:40]}” is no instant", remedy=_REMEDY
        ) from exc
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _value(words: str | None, path: Path, number: int) -> float:
    said = (words or "").strip()
    if said.lower() in {"", "nan", "na", "null", "none", "-"}:
        return math.nan
    try:
        value = float(said)
    except ValueError as exc:
        raise UsageError(
            f"{path.name}, line {number}: “{said[:40]}” is no number", remedy=_REMEDY
        ) from exc
    if value < 0:
        raise UsageError(
            f"{path.name}, line {number}: {said[:40]} gCO2e/kWh is negative",
            remedy=f"check that {INTENSITY} holds intensities, not prices or changes",
        )
    return value if math.isfinite(value) else math.nan


def _mean(readings: list[float]) -> float:
    known = [value for value in readings if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


def _check_unit(values: np.ndarray, path: Path) -> None:
    known = values[np.isfinite(values)]
    if not len(known):
        raise UsageError(f"{path.name} holds no reading", remedy=_REMEDY)
    middle = float(np.median(known))
    if middle > HIGHEST_G_PER_KWH:
        raise UsageError(
            f"{path.name} has {middle:.3g} in the middle, which no grid emits in gCO2e/kWh",
            remedy="give gCO2e/kWh: g/MWh divided by 1000, lb/MWh by 2.205, kg/MWh as they are",
        )
    if 0 < middle < 1 and float(known.max()) < 3:  # noqa: PLR2004
        raise UsageError(
            f"{path.name} has {middle:.3g} in the middle, which seems to be kgCO2e/kWh",
            remedy="multiply by 1000: the column is in grams",
        )


def _step_s(instants: np.ndarray, path: Path) -> float:
    gaps = np.diff(instants)
    step_s = float(np.median(gaps))
    if step_s not in _STEPS_S:
        raise UsageError(
            f"{path.name} has a reading each {step_s / HOUR_S:.3g} h",
            remedy="give one each hour, or each 5, 10, 15, 20 or 30 minutes",
        )
    off = np.abs((instants - instants[0]) / step_s % 1)
    beside = float(np.mean(np.minimum(off, 1 - off) > 0.01))  # noqa: PLR2004
    slots = (instants[-1] - instants[0]) / step_s + 1
    if beside > _OFF_GRID:
        raise UsageError(
            f"{path.name} has {beside:.0%} of its readings beside slots of {step_s / 60:g} min",
            remedy="give readings in equal steps",
        )
    if 1 - len(instants) / slots > _GAPS:
        raise UsageError(
            f"{path.name} has readings for only {len(instants) / slots:.0%} of its time",
            remedy="give a series with fewer gaps",
        )
    return step_s


def _notes(values: np.ndarray, *, unsorted: int, doubled: int, path: Path) -> tuple[str, ...]:
    notes = []
    gaps = int(np.isnan(values).sum())
    if gaps:
        share = gaps / len(values)
        told = f" ({share:.1%})" if share >= _GAPS_TOLD else ""
        notes.append(f"{path.name}: {gaps} of {len(values)} slots{told} have no reading")
    if doubled:
        notes.append(f"{path.name}: {doubled} instants came again; their means count")
    if unsorted:
        notes.append(f"{path.name}: rows were out of order, and were sorted")
    return tuple(notes)
