# SPDX-License-Identifier: Apache-2.0
"""A series of the user's own, as a CSV file: columns ``timestamp,value`` and maybe ``forecast``.

Lines that begin with ``#`` may say ``unit``, ``kind``, ``zone``, ``step_s``, ``source``,
``licence``, ``low_ratio`` and ``high_ratio``. The kind of an intensity must be said: nothing is
guessed of it, nor of time zones, nor of the order of day and month. Intensities may be in grams,
kilograms or tonnes per kWh or MWh; a file that does not say how far it may be off is taken to be
as doubtful as other measured series.
"""

import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final, get_args

import msgspec

from submeter.errors import CoverageError, UsageError
from submeter.providers.asking import HOUR_S, Ask, Getter, Scope
from submeter.providers.places import candidates
from submeter.providers.series import (
    GRAMS,
    MOST_G_PER_KWH,
    Point,
    instant_utc_s,
    interval,
    number,
    regular,
    utc,
)
from submeter.records.places import Zone
from submeter.records.traces import Kind, Trace

NAME: Final = "csv"
LARGEST_FILE_BYTES: Final = 64 * 2**20
# Case counts: G would be giga, and mWh a milliwatt-hour.
_MASS_PER_ENERGY: Final = re.compile(
    r"(g|kg|t) ?(?:CO(?:2|₂)(?:-?eq?)?)? ?(?:/|per) ?([kM]Wh)", re.ASCII
)
_G: Final = {"g": 1.0, "kg": 1e3, "t": 1e6}
_KWH: Final = {"kWh": 1.0, "MWh": 1e3}
_MOST: Final = 1e6  # of prices and litres per kWh
_STAMP: Final = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:?\d\d)"
)
_SAID: Final = frozenset(
    {"unit", "kind", "zone", "step_s", "source", "licence", "low_ratio", "high_ratio"}
)


class CsvFile:
    """Intensities, prices or litres per kilowatt-hour out of a file of the user's own."""

    name = NAME
    requires: tuple[str, ...] = ()
    register = ""

    def __init__(self, path: Path) -> None:
        self._path = path

    def kind(self, scope: Scope | None) -> Kind:
        said = parse_kind(_head(self._text(), self._path).get("kind", ""), str(self._path))
        if scope not in {None, said.scope}:
            raise CoverageError(
                f"{self._path} has no {scope} intensities, only {said}",
                remedy="give a file of that kind",
            )
        return said

    def place(self, zone: Zone) -> str:
        said = _head(self._text(), self._path).get("zone", zone.code)
        if said not in candidates(zone) and said != zone.code:
            raise CoverageError(
                f"{self._path} is about {said}, not about {zone.code}",
                remedy="give the zone of the file, or a file of the zone",
            )
        return said

    def fetch(self, ask: Ask, get: Getter, keys: Mapping[str, str]) -> Trace:
        del get, keys
        self.kind(ask.scope)
        return parse(
            self._text(),
            zone=ask.zone.code,
            start_utc_s=ask.start_utc_s,
            end_utc_s=ask.end_utc_s,
            name=str(self._path),
        )

    def _text(self) -> str:
        try:
            with self._path.open("rb") as file:
                raw = file.read(LARGEST_FILE_BYTES + 1)
        except OSError as exc:
            raise UsageError(
                f"{self._path} cannot be read: {exc.strerror or exc}",
                remedy="check its path and rights",
            ) from exc
        if len(raw) > LARGEST_FILE_BYTES:
            raise UsageError(f"{self._path} is larger than 64 MiB", remedy="give a part of it")
        try:
            return raw.decode("utf-8-sig")
        except UnicodeDecodeError as exc:
            raise UsageError(f"{self._path} is not UTF-8 text", remedy="save it as UTF-8") from exc


def parse_kind(words: str, name: str) -> Kind:
    """Read a kind such as ``average, lifecycle, consumption, location-based``, in any order.

    Raises
    ------
    UsageError
        If it leaves signal, scope or flow open, or holds an unknown word.
    """
    given = {w.strip().removesuffix("-based") for w in words.lower().split(",")} - {""}
    found = {}
    for field in msgspec.structs.fields(Kind):
        choice = given & set(get_args(field.type))
        given -= choice
        if len(choice) == 1:
            (found[field.name],) = choice
    if given or not {"signal", "scope", "flow"} <= set(found):
        raise UsageError(
            f"{name} does not say which kind of intensity it holds",
            remedy='put "# kind: average, lifecycle, consumption" into its first line,'
            " or marginal, direct, production",
        )
    return msgspec.convert(found, Kind)


def parse(
    text: str,
    *,
    zone: str,
    start_utc_s: float = -math.inf,
    end_utc_s: float = math.inf,
    name: str = "the file",
    unit: str = GRAMS,
) -> Trace:
    """Trace in the CSV *text*, cut to the time asked for.

    Parameters
    ----------
    unit
        What is wanted: intensities, which are brought to g/kWh, or exactly this other unit, such
        as EUR/kWh.

    Raises
    ------
    UsageError
        If a line is not understood, which it names, or the file is in another unit.
    CoverageError
        If the file holds nothing of that time.
    """
    head = _head(text, name)
    ratio = _unit_ratio(head.get("unit", unit), unit, name)
    kind = parse_kind(head.get("kind", ""), str(name)) if unit == GRAMS else None
    rows = list(_rows(text, name, unit, ratio))
    if not rows:
        raise CoverageError(f"{name} has no rows", remedy="give a file with values")
    points = _points(rows, _ratio(head, "step_s", name))
    first = min(p.start_utc_s for p in points)
    last = max(p.start_utc_s + p.length_s for p in points)
    series = regular(
        points,
        name=str(name),
        start_utc_s=max(first, start_utc_s),
        end_utc_s=min(last, end_utc_s),
    )
    low, high, doubt = _level(head, series.relative_sd, name)
    return Trace(
        key=f"live/csv/{name}/{zone}",
        zone=zone,
        unit=unit,
        start_utc_s=series.start_utc_s,
        step_s=series.step_s,
        values=series.values,
        low_ratio=low,
        high_ratio=high,
        kind=kind,
        shape=series.shape,
        source=head.get("source", str(name)),
        year=int(utc(series.start_utc_s, "%Y")),
        licence=head.get("licence", ""),
        verified="declared",
        notes=(*series.notes, *doubt),
    )


def render(trace: Trace) -> str:
    """Write *trace* as such a file; `parse` gives the same slots back."""
    out = io.StringIO()
    said = {
        "zone": trace.zone,
        "unit": trace.unit,
        "kind": str(trace.kind) if trace.kind is not None else "",
        "step_s": f"{trace.step_s:.0f}",
        "source": " ".join(trace.source.split()),
        "licence": " ".join(trace.licence.split()),
        "low_ratio": repr(trace.low_ratio),
        "high_ratio": repr(trace.high_ratio),
    }
    for word, words in said.items():
        if words:
            out.write(f"# {word}: {words}\n")
    ahead = trace.shape == "forecast"
    out.write("timestamp,value,forecast\n" if ahead else "timestamp,value\n")
    for i, value in enumerate(trace.values):
        stamp = utc(trace.start_utc_s + i * trace.step_s, "%Y-%m-%dT%H:%M:%SZ")
        shown = "" if value is None else repr(value)
        out.write(f"{stamp},,{shown}\n" if ahead else f"{stamp},{shown}\n")
    return out.getvalue()


def _head(text: str, name: object) -> dict[str, str]:
    """What the comment lines at the top say."""
    said = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        word, colon, value = line[1:].partition(":")
        if colon and word.strip().lower() in _SAID and value.strip():
            if word.strip().lower() in said:
                raise UsageError(f"{name} says its {word.strip()} twice", remedy="once is enough")
            said[word.strip().lower()] = value.strip()
    return said


def _ratio(head: Mapping[str, str], word: str, name: object) -> float | None:
    if word not in head:
        return None
    value = number(head[word], most=1e9)
    if isinstance(value, str) or value <= 0:
        raise UsageError(f"{word} of {name} is {head[word]!r}", remedy="give a number above 0")
    return value


def _unit_ratio(said: str, wanted: str, name: object) -> float:
    """What brings a value in the unit that a file *said* to the one that is *wanted*."""
    if said == wanted:
        return 1.0
    found = _MASS_PER_ENERGY.fullmatch(said) if wanted == GRAMS else None
    if found is None:
        known = "g/kWh, kg/kWh, kg/MWh or t/MWh" if wanted == GRAMS else wanted
        raise UsageError(
            f"{name} is in {said[:40]!r}, and {wanted} is wanted",
            remedy=f'convert it, and say "# unit: …" with {known}',
        )
    return _G[found[1]] / _KWH[found[2]]


def _level(
    head: Mapping[str, str], relative_sd: float, name: object
) -> tuple[float, float, tuple[str, ...]]:
    """95 % interval of the level as a file says it, else of any measured series, and a note."""
    low, high = _ratio(head, "low_ratio", name), _ratio(head, "high_ratio", name)
    for word, wrong in (("low_ratio", (low or 0) > 1), ("high_ratio", (high or 1) < 1)):
        if wrong:
            raise UsageError(
                f"{word} of {name} is {head[word]}: the values would lie outside their interval",
                remedy="give a low_ratio up to 1 and a high_ratio from 1 on, such as 0.9 and 1.1",
            )
    least, most = interval(relative_sd)
    notes = []
    for word, given, taken in (("low_ratio", low, least), ("high_ratio", high, most)):
        if given is None:
            notes.append(f"{name} says no {word}: {taken:.2f} is taken, as of measured series")
    return (least if low is None else low), (most if high is None else high), tuple(notes)


def _rows(
    text: str, name: object, unit: str, ratio: float
) -> Iterator[tuple[float, float | str, bool]]:
    """Instant, value or what is wrong with it, and whether it is a forecast, of each row.

    Values are brought to *unit* by *ratio*.
    """
    lines = [(n, row) for n, row in enumerate(text.splitlines(), 1) if not row.startswith("#")]
    columns = [c.lower() for c in _cells(lines[0][1], lines[0][0], name)] if lines else []
    if columns[:2] != ["timestamp", "value"] or columns[2:] not in ([], ["forecast"]):
        raise UsageError(
            f"{name} has the columns {','.join(columns)[:80]!r}",
            remedy="its first line must be timestamp,value or timestamp,value,forecast",
        )
    least, most = (0.0, MOST_G_PER_KWH / ratio) if unit == GRAMS else (-_MOST, _MOST)
    for n, line in lines[1:]:
        cells = _cells(line, n, name)
        if not cells:
            continue
        if len(cells) > len(columns) or not _STAMP.fullmatch(cells[0]):
            raise UsageError(
                f"line {n} of {name} begins with {cells[0][:40]!r}, which is no such instant",
                remedy="write 2026-11-23T14:00:00Z, or with an offset such as +01:00",
            )
        try:
            start = instant_utc_s(cells[0])
        except ValueError:
            raise UsageError(
                f"line {n} of {name} names an instant that does not exist", remedy="mend it"
            ) from None
        given = (*cells[1:], "", "")[:2]
        value = number(given[0], least=least, most=most)
        ahead = value == "missing" and given[1] != ""
        value = number(given[1], least=least, most=most) if ahead else value
        yield start, value if isinstance(value, str) else value * ratio, ahead


def _cells(line: str, n: int, name: object) -> list[str]:
    """Cells of one *line*, each by itself: no quoted cell goes on in the next line."""
    import csv

    try:
        return [cell.strip() for cell in next(csv.reader([line], strict=True), [])]
    except csv.Error as exc:
        raise UsageError(f"line {n} of {name} is no CSV: {exc}", remedy="mend it") from None


def _points(rows: Iterable[tuple[float, float | str, bool]], step_s: float | None) -> list[Point]:
    """Points whose length is the shorter way to a neighbour: a wider way on one side is a gap."""
    found = list(rows)
    starts = sorted({start for start, _, _ in found})
    ways = [b - a for a, b in pairwise(starts)]
    lengths = dict(
        zip(
            starts,
            (
                min(before, after)
                for before, after in zip([math.inf, *ways], [*ways, math.inf], strict=True)
            ),
            strict=True,
        )
    )
    points = []
    for start, value, ahead in found:
        length_s = step_s or (lengths[start] if math.isfinite(lengths[start]) else HOUR_S)
        usable = None if isinstance(value, str) else value
        points.append(
            Point(start, length_s, usable, value if isinstance(value, str) else "", ahead)
        )
    return points
