# SPDX-License-Identifier: Apache-2.0
"""Factors that users declare, in settings or in CSV files of their own: checked, then used.

Each problem is one line that says where it stands, what is wrong and what is allowed. A file with
a problem is not used in part.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from submeter.catalog.facts import fact, keys
from submeter.catalog.facts import names as tables
from submeter.catalog.names import near
from submeter.catalog.overlay import NONE, Overrides, use_overrides
from submeter.catalog.ranges import range_of
from submeter.catalog.searching import FACT_COLUMNS, is_fact_table, is_list, quantities, single
from submeter.errors import ConfigError, CoverageError
from submeter.records.factors import Factor
from submeter.settings import Declared

LARGEST_FILE_BYTES: Final = 4 * 2**20  # the whole catalog is no larger
MOST_ROWS: Final = 50_000
MOST_PROBLEMS: Final = 200  # of one place; to say what is near each takes its time
LONGEST_TEXT: Final = 2_000  # characters of one cell
_KNOWN: Final = frozenset({"id", "table", *FACT_COLUMNS})
_FIELDS: Final = ("value", "low", "high", "unit", "source", "year", "note")
_NUMBERS: Final = ("value", "low", "high")


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong: where (``file:line``), what, and what is allowed."""

    place: str
    what: str
    allowed: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.place}: {self.what}; {self.allowed}"


class Checked(msgspec.Struct, frozen=True):
    """What was found: good factors, and all that is wrong."""

    overrides: Overrides
    problems: tuple[Problem, ...]


class _Entry(msgspec.Struct, frozen=True):
    """One declared factor as it was written."""

    ident: str
    fields: Mapping[str, object]
    place: str


class _BadError(Exception):
    """What is wrong, what is allowed, and in which line if the place does not say it."""


def declared_overrides(declared: Iterable[Declared]) -> Overrides:
    """Make the overrides that settings declare; those of later ones go before.

    Raises
    ------
    ConfigError
        If anything is wrong with them: figures from half of a file would mislead.
    """
    found = check_declared(declared)
    if found.problems:
        first, *others = found.problems
        more = f", and {len(others)} more" if others else ""
        raise ConfigError(
            f"{first.place}: {first.what}{more}",
            remedy=f"{first.allowed}; submeter factors --check lists all",
        )
    return found.overrides


def check_declared(declared: Iterable[Declared]) -> Checked:
    """Check everything that settings declare, their files included."""
    factors: dict[str, Factor] = {}
    problems: list[Problem] = []
    for source in declared:
        entries = [
            _Entry(ident, _as_fields(given), source.place(ident))
            for ident, given in source.factors.items()
        ]
        for path in source.files:
            own, wrong = _entries(path)
            entries += own
            problems += wrong
        found, wrong = _checked(entries)
        factors |= found
        problems += wrong
    return Checked(Overrides(factors) if factors else NONE, tuple(problems))


def check_file(path: Path) -> Checked:
    """Check one CSV file of factors."""
    entries, unread = _entries(path)
    factors, problems = _checked(entries)
    return Checked(Overrides(factors), (*unread, *problems))


def _problem(place: str, exc: _BadError) -> Problem:
    what, allowed, *line = exc.args
    return Problem(f"{place}:{line[0]}" if line else place, what, allowed)


def _as_fields(given: object) -> Mapping[str, object]:
    return given if isinstance(given, dict) else {"value": given}


def _checked(entries: Iterable[_Entry]) -> tuple[dict[str, Factor], list[Problem]]:
    factors: dict[str, Factor] = {}
    places: dict[str, str] = {}
    problems: list[Problem] = []
    with use_overrides(NONE):  # what is replaced is the catalog's own
        for entry in entries:
            if len(problems) >= MOST_PROBLEMS:
                ended = f"not looked at, nor what is below: there are {MOST_PROBLEMS} problems"
                problems.append(Problem(entry.place, ended, "mend the first ones first"))
                break
            try:
                made = _factor(entry)
            except _BadError as exc:
                problems.append(_problem(entry.place, exc))
                continue
            if made.key in factors:
                twice = f"{entry.ident[:120]} is declared twice"
                first = f"it stands already in {places[made.key]}; keep one"
                problems.append(Problem(entry.place, twice, first))
                continue
            factors[made.key] = made
            places[made.key] = entry.place
    return factors, problems


def _factor(entry: _Entry) -> Factor:
    """Factor that *entry* declares, in place of the one that the catalog has."""
    catalogued = _catalogued(entry.ident)
    unknown = [name for name in entry.fields if name not in _FIELDS]
    if unknown:
        raise _BadError(
            f"{unknown[0][:80]!r} is no field of a factor", f"use {', '.join(_FIELDS)}"
        )
    numbers = {name: _number(name, entry.fields.get(name)) for name in _NUMBERS}
    value = numbers["value"]
    if value is None:
        raise _BadError(f"{entry.ident} has no value", "give value = a number")
    low, high = numbers["low"], numbers["high"]
    low, high = (value if low is None else low), (value if high is None else high)
    if not low <= value <= high:
        raise _BadError(
            f"{low:g}, {value:g}, {high:g} are not in order", "low ≤ value ≤ high must hold"
        )
    _in_range(catalogued, low, high)
    unit = _text("unit", entry.fields.get("unit"))
    if unit and unit != catalogued.unit:
        raise _BadError(f"the unit is {unit!r}", f"{catalogued.key} is in {catalogued.unit}")
    source = _text("source", entry.fields.get("source"))
    note = _text("note", entry.fields.get("note"))
    exact = "declared without an interval: taken as exact" if low == high else ""
    return Factor(
        key=catalogued.key,
        value=value,
        low=low,
        high=high,
        unit=catalogued.unit,
        source=f"{source} (declared in {entry.place})" if source else f"declared in {entry.place}",
        year=_year(entry.fields.get("year")) or catalogued.year,
        licence="the user's own",
        verified="declared",
        note="; ".join(filter(None, (note, exact))),
    )


def _catalogued(ident: str) -> Factor:
    """Give the catalog's factor of this id, or say what is near."""
    table, _, rest = ident.partition("/")
    key, _, quantity = rest.rpartition("/")
    quantity, at, year = quantity.partition("@")
    alone = single(ident)
    if alone is not None:
        return alone[1]
    try:
        if is_fact_table(table) and key and (not at or year.isdecimal()):
            return fact(table, key, quantity, year=int(year) if at else None)
    except CoverageError:
        pass
    raise _BadError(f"the catalog has no {ident[:120]!r}", _near_ids(table, key, quantity))


def _near_ids(table: str, key: str, quantity: str) -> str:
    """Say which ids are near one that does not exist."""
    known = [name for name in tables() if is_fact_table(name)]
    if is_list(table):
        known = [row if row.startswith(f"{table}/") else f"{table}/{row}" for row in keys(table)]
        return f"near it: {', '.join(near(f'{table}/{key}/{quantity}', known) or known[:4])}"
    if table not in known:
        alike = near(table, known) or known
        return f"an id is table/key/quantity, with a table such as {', '.join(alike[:6])}"
    if key not in keys(table):
        alike = near(key, keys(table))
        return f"keys near it in {table}: {', '.join(alike) or ', '.join(keys(table)[:4]) + ' …'}"
    own = quantities(table, key)
    return f"near it: {', '.join(f'{table}/{key}/{q}' for q in near(quantity, own) or own[:4])}"


def _number(name: str, given: object) -> float | None:
    if given is None or given == "":
        return None
    if isinstance(given, str):
        try:
            value = float(given)
        except ValueError:
            raise _BadError(
                f"{name} is {given[:40]!r}, which is no number", "write it like 0.35 or 1.2e3"
            ) from None
    elif isinstance(given, int | float) and not isinstance(given, bool):
        try:
            value = float(given)
        except OverflowError:
            value = math.inf
    else:
        raise _BadError(f"{name} is {str(given)[:40]}, which is no number", "write it like 0.35")
    if not math.isfinite(value):
        raise _BadError(f"{name} is {str(given)[:40]}", "only finite numbers are factors")
    return value


def _in_range(catalogued: Factor, low: float, high: float) -> None:
    """Refuse what no such factor can be; the value lies between *low* and *high*."""
    can = range_of(catalogued)
    if low < can.least:
        below = "below zero" if can.least == 0 else f"less than {can.least:g}"
        raise _BadError(f"{low:g} is {below}", can.why)
    if high > can.most:
        raise _BadError(f"{high:g} is more than {can.most:g}", can.why)


def _text(name: str, given: object) -> str:
    if given is None:
        return ""
    if not isinstance(given, str) or len(given) > LONGEST_TEXT or not _printable(given):
        raise _BadError(f"{name} is no plain text", f"at most {LONGEST_TEXT} printable characters")
    return given.strip()


def _printable(text: str) -> bool:
    return text == "" or text.isprintable()


def _year(given: object) -> int:
    if given is None or given == "":
        return 0
    word = str(given).strip()
    if not (word.isdecimal() and word.isascii() and len(word) == len("2026")):
        raise _BadError(f"year is {word[:40]!r}", "write it like 2024")
    return int(word)


def _entries(path: Path) -> tuple[list[_Entry], list[Problem]]:
    """Rows of the CSV file *path*, each with its line, and what cannot be read of it."""
    try:
        lines = _lines(path)
        head = _cells(lines[0])
        _check_head(head, path)
    except _BadError as exc:
        return [], [_problem(str(path), exc)]
    entries: list[_Entry] = []
    problems: list[Problem] = []
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            cells = _cells(line, len(head))
        except _BadError as exc:
            problems.append(_problem(place, exc))
            continue
        row = dict(zip(head, cells, strict=True))
        kept = {name: cell for name, cell in row.items() if name in _FIELDS and cell}
        entries.append(_Entry(_ident(row, path), kept, place))
    return entries, problems


def _cells(line: str, count: int | None = None) -> list[str]:
    """Cells of *line*, which must be *count* where that is given."""
    import csv

    try:
        cells = next(csv.reader([line], strict=True), [])
    except csv.Error as exc:
        raise _BadError(f"it is no line of a CSV file: {exc}", "mend its quotes") from exc
    if count is not None and len(cells) != count:
        raise _BadError(
            f"{len(cells)} cells below {count} columns", "quote cells that hold a comma"
        )
    return [cell.strip() for cell in cells]


def _ident(row: Mapping[str, str], path: Path) -> str:
    if row.get("id"):
        return row["id"]
    table = row.get("table") or path.stem
    return f"{table}/{row.get('key', '')}/{row.get('quantity', '')}"


def _check_head(head: Sequence[str], path: Path) -> None:
    allowed = f"columns are {', '.join(FACT_COLUMNS)}; table or id may stand for them"
    if len(set(head)) != len(head):
        raise _BadError("a column stands twice in the first line", allowed)
    foreign = [name for name in head if name not in _KNOWN]
    if foreign:
        raise _BadError(f"there is no column {foreign[0][:80]!r}", allowed)
    if "value" not in head:
        raise _BadError("there is no column value", allowed)
    if "id" not in head and not {"key", "quantity"} <= set(head):
        raise _BadError("nothing says which factor a row is", "give id, or key and quantity")
    if not {"id", "table"} & set(head) and not is_fact_table(path.stem):
        raise _BadError(
            "nothing says which table the rows belong to",
            "give a column table or id, or name the file after its table (grid.csv)",
        )


def _lines(path: Path) -> list[str]:
    """Lines of a text file that may be missing, huge, binary, or in another encoding."""
    if path.is_dir() or (path.exists() and not path.is_file()):
        raise _BadError("it is no file", "name a CSV file")
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_FILE_BYTES + 1)
    except OSError as exc:
        raise _BadError(
            f"it cannot be read: {exc.strerror or exc}", "check path and rights"
        ) from exc
    if len(raw) > LARGEST_FILE_BYTES:
        raise _BadError(
            f"it is larger than {LARGEST_FILE_BYTES // 2**20} MiB", "keep only what you declare"
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        number = raw[: exc.start].count(b"\n") + 1
        raise _BadError("it is not UTF-8 text", "save it as UTF-8", number) from exc
    lines = text.replace("\r\n", "\n").split("\n")
    if len(lines) > MOST_ROWS:
        raise _BadError(f"it has more than {MOST_ROWS} lines", "keep only what you declare")
    for n, line in enumerate(lines, 1):
        if not _printable(line.replace("\t", " ")):
            raise _BadError("it holds control characters", "only printable text is allowed", n)
    return lines
