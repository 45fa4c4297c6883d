# SPDX-License-Identifier: Apache-2.0
"""Full-text search over all facts and sources of the catalog."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final, NamedTuple

from submeter.catalog.factors import Source, listed, source
from submeter.catalog.facts import cited, fact, facts, history
from submeter.catalog.facts import names as tables
from submeter.catalog.names import fold, near
from submeter.catalog.regions import gazetteer
from submeter.catalog.tables import rows, text
from submeter.errors import CoverageError
from submeter.records.factors import Factor

FACT_COLUMNS: Final = (
    "key", "quantity", "year", "value", "low", "high", "unit", "source", "verified", "note",
)  # fmt: skip
SOURCES: Final = "sources"
_YEAR: Final = re.compile(r"(19|20)\d\d")
_WHOLE_WORD: Final = 3  # letters up to which a word must be a word of the row, not its beginning


class Hit(NamedTuple):
    """A row that fits: a factor under its full id, or a source under ``sources/key``."""

    ident: str
    factor: Factor | None
    source: Source | None = None


class _Line(NamedTuple):
    """What is searched of a row."""

    ident: str
    year: str
    words: str  # folded, a space at both ends


@cache
def is_fact_table(name: str) -> bool:
    """Whether the catalog has a fact table of this *name*."""
    return name in tables() and text(name).startswith(",".join(FACT_COLUMNS[:3]))


@cache
def is_list(name: str) -> bool:
    """Whether the catalog has a table of this *name* whose key is all the name of a factor."""
    return name in tables() and text(name).startswith("key,value,low,high,")


def quantities(table: str, key: str) -> tuple[str, ...]:
    """Quantities that a fact table knows of *key*."""
    return tuple(one.key.removeprefix(f"{table}/{key}/") for one in facts(table, key))


def exactly(ident: str) -> Hit | None:
    """Find the row of exactly this id, such as ``grid/DE/td_loss_ratio@2022``."""
    table, _, rest = ident.partition("/")
    try:
        if table == SOURCES and rest:
            known = {row["key"] for row in rows(SOURCES)}
            return Hit(ident, None, source(rest)[0]) if rest in known else None
        if is_list(table) or not rest:
            found = single(ident)
            return Hit(*found) if found else None
        key, _, quantity = rest.rpartition("/")
        quantity, _, year = quantity.partition("@")
        if not is_fact_table(table) or not key or (year and not year.isdecimal()):
            return None
        return Hit(ident, fact(table, key, quantity, year=int(year) if year else None))
    except CoverageError:
        return None


def search(words: Sequence[str]) -> list[str]:
    """Find the ids of all rows that hold each of *words* in id, place, unit, note or source.

    A word of up to three letters must be a whole word of the row, a longer one the beginning of
    one; case, accents and punctuation do not matter. Of several years the latest counts, unless a
    year is asked for. Rows whose id holds all the words come first, shorter ids before longer.
    """
    asked = [fold(word) for word in words if fold(word)]
    if not asked:
        return []
    patterns = [f" {word} " if len(word) <= _WHOLE_WORD else f" {word}" for word in asked]
    years = {word for word in asked if _YEAR.fullmatch(word)}
    latest: dict[str, tuple[str, _Line]] = {}
    found: list[_Line] = []
    for line in _lines():
        if not all(pattern in line.words for pattern in patterns):
            continue
        if years & {line.year}:
            found.append(line)
        elif not years:
            bare = line.ident.partition("@")[0]
            if line.year >= latest.get(bare, ("", line))[0]:
                latest[bare] = (line.year, line)
    found += [line for _, line in latest.values()]

    def rank(line: _Line) -> tuple[bool, int, str]:
        ident = f" {fold(line.ident)} "
        return not all(p in ident for p in patterns), len(line.ident), line.ident

    return [line.ident for line in sorted(found, key=rank)]


def nearby(words: Sequence[str]) -> tuple[str, ...]:
    """Keys, quantities and places near the words that found nothing."""
    known = {part for line in _lines() for part in line.ident.partition("@")[0].split("/")}
    spelled = (*sorted(known), *gazetteer().words)
    alike = [name for word in words for name in near(word, spelled)]
    return tuple(dict.fromkeys(alike))


def past_of(ident: str) -> tuple[Factor, ...]:
    """Give the quantity of the row *ident* in each year that is known."""
    table, _, rest = ident.partition("@")[0].partition("/")
    key, _, quantity = rest.rpartition("/")
    return history(table, key, quantity) if is_fact_table(table) else ()


def sizes() -> tuple[tuple[str, int], ...]:
    """Tables that can be searched, each with the number of its rows."""
    found = [name for name in tables() if is_fact_table(name) or is_list(name)]
    return tuple((name, len(rows(name))) for name in (*found, SOURCES))


def sources_of(ident: str) -> tuple[Source, ...]:
    """Sources that the row *ident* names, with licence and address."""
    table, _, rest = ident.partition("/")
    if not is_fact_table(table):
        return ()
    key, _, quantity = rest.rpartition("/")
    quantity, _, year = quantity.partition("@")
    fitting = [
        row
        for row in rows(table)
        if row["key"] == key and row["quantity"] == quantity and year in {"", row["year"]}
    ]
    known = {row["key"] for row in rows(SOURCES)}
    named = fitting[-1]["source"].split("+") if fitting else []
    return tuple(one for name in named if name in known for one in source(name))


def single(ident: str) -> tuple[str, Factor] | None:
    """Find a row of a list by its id, ``factors/pue-prior``, or by its key alone."""
    table, _, key = ident.partition("/")
    for name in filter(is_list, tables()):
        own = {row["key"] for row in rows(name)}
        if ident in own:
            return _listed_id(name, ident), listed(name, ident)
        if table == name and key in own:
            return _listed_id(name, key), listed(name, key)
    return None


def _listed_id(table: str, key: str) -> str:
    return key if key.startswith(f"{table}/") else f"{table}/{key}"


@cache
def _lines() -> tuple[_Line, ...]:
    return tuple(_all_lines())


def _all_lines() -> Iterator[_Line]:
    for table in tables():
        if is_fact_table(table):
            yield from _facts(table)
    for table in filter(is_list, tables()):
        for row in rows(table):
            ident = _listed_id(table, row["key"])
            yield _line(ident, row["year"], row["unit"], row["source"], row["note"])
    for row in rows(SOURCES):
        ident = f"{SOURCES}/{row['key']}"
        yield _line(ident, row["year"], row["title"], row["licence"], row["url"])


def _facts(table: str) -> Iterator[_Line]:
    """Lines of a fact table; a year before the latest stands in the id, as in `fact`."""
    own = rows(table)
    for number, row in enumerate(own):
        after = own[number + 1] if number + 1 < len(own) else None
        same = after and (after["key"], after["quantity"]) == (row["key"], row["quantity"])
        ident = f"{table}/{row['key']}/{row['quantity']}" + (f"@{row['year']}" if same else "")
        place = _named(row["key"])
        yield _line(
            ident, row["year"], place, row["unit"], row["note"], row["verified"],
            row["source"], *cited(row["source"]),
        )  # fmt: skip


@cache
def _named(key: str) -> str:
    """What people call the place with this *key*."""
    place = gazetteer().place(key)
    return place.name if place else ""


def _line(ident: str, year: str, *words: str) -> _Line:
    return _Line(ident, year, f" {fold(ident)} {_folded(*words)} {year} ")


def _folded(*words: str) -> str:
    return " ".join(fold(word) for word in words if word)
