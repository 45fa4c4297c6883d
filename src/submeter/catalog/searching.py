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
from submeter.catalog.quantities import foremost, plain_words
from submeter.catalog.regions import gazetteer
from submeter.catalog.tables import line, rows, text
from submeter.errors import CoverageError
from submeter.records.factors import Factor

FACT_COLUMNS: Final = (
    "key", "quantity", "year", "value", "low", "high", "unit", "source", "verified", "note",
)  # fmt: skip
SOURCES: Final = "sources"
WORLD: Final = "world"  # folded name of the key that all others lie in
_YEAR: Final = re.compile(r"(19|20)\d\d")
_WHOLE_WORD: Final = 3  # letters up to which a word must be a word of the row, not its beginning


class Hit(NamedTuple):
    """A row that fits: a factor under its full id, or a source under ``sources/key``."""

    ident: str
    factor: Factor | None
    source: Source | None = None


class _Line(NamedTuple):
    """What is searched of a row; its words are folded, with a space at both ends."""

    ident: str
    year: str
    name: str  # words of the id, of what its key is called, and of its quantity
    others: str  # words of unit, note, source
    names: tuple[str, ...] = ()  # folded: each of them means exactly the key
    quantity: str = ""
    called: str = ""  # words of the quantity


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
    """Find the ids of all rows that hold each of *words*.

    They may stand in its id, in what its place, device or quantity is called by people, in its
    unit, note or source. A word of up to three letters must be a whole word of the row, a longer
    one the beginning of one; case, accents and punctuation do not matter. Of several years the
    latest counts, unless a year is asked for. Rows of exactly the place or device asked for come
    first, then those that hold all words in their id or their names; among them what people mean
    most often, and sources last.
    """
    asked = [fold(word) for word in words if fold(word)]
    if not asked:
        return []
    patterns = [_pattern(word) for word in asked]
    years = {word for word in asked if _YEAR.fullmatch(word)}
    latest: dict[str, tuple[str, _Line]] = {}
    found: list[_Line] = []
    for one in _lines():
        if not all(pattern in one.name or pattern in one.others for pattern in patterns):
            continue
        if years & {one.year}:
            found.append(one)
        elif not years:
            bare = one.ident.partition("@")[0]
            if one.year >= latest.get(bare, ("", one))[0]:
                latest[bare] = (one.year, one)
    found += [one for _, one in latest.values()]
    meant = [word for word in asked if word not in years]
    return [one.ident for one in sorted(found, key=lambda one: _rank(one, meant))]


def _pattern(word: str) -> str:
    return f" {word} " if len(word) <= _WHOLE_WORD else f" {word}"


def _rank(row: _Line, asked: Sequence[str]) -> tuple[bool, bool, bool, bool, int, int, str]:
    """Order of what was found: see `search`."""
    left = [word for word in asked if _pattern(word) not in row.called]
    exact = " ".join(left) in row.names
    return (
        not exact and row.ident.startswith(f"{SOURCES}/"),
        not exact and bool(left),
        not all(_pattern(word) in row.name for word in asked),
        not left and WORLD not in row.names,
        foremost(row.quantity),
        len(row.ident),
        row.ident,
    )


def nearby(words: Sequence[str]) -> tuple[str, ...]:
    """Keys, quantities and places near the words that found nothing."""
    known = {part for one in _lines() for part in one.ident.partition("@")[0].split("/")}
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
            others = _folded(row["unit"], row["source"], row["note"], row["year"])
            yield _Line(ident, row["year"], _folded(ident), others, (_fold(row["key"]),))
    for row in rows(SOURCES):
        ident = f"{SOURCES}/{row['key']}"
        others = _folded(row["title"], row["licence"], row["url"], row["year"])
        yield _Line(ident, row["year"], _folded(ident), others, (_fold(row["key"]),))


def _facts(table: str) -> Iterator[_Line]:
    """Lines of a fact table; a year before the latest stands in the id, as in `fact`."""
    own = rows(table)
    for number, row in enumerate(own):
        key, quantity, year = row["key"], row["quantity"], row["year"]
        after = own[number + 1] if number + 1 < len(own) else None
        same = after and (after["key"], after["quantity"]) == (key, quantity)
        names = _names(key)
        called = _called(quantity)
        yield _Line(
            ident=f"{table}/{key}/{quantity}" + (f"@{year}" if same else ""),
            year=year,
            name=f" {_fold(table)} {' '.join(names)}{called}{_country(key)}",
            others=f" {_fold(row['note'])} {year} {row['verified']}"
            f"{_folded(row['unit'], row['source'], *cited(row['source']))}",
            names=names,
            quantity=quantity,
            called=called,
        )


@cache
def _called(quantity: str) -> str:
    """Words of a quantity: its own, and those of people."""
    return _folded(quantity, plain_words(quantity))


@cache
def _names(key: str) -> tuple[str, ...]:
    """All that a place or device with this *key* is called, the key first."""
    return tuple(
        dict.fromkeys(_fold(word) for word in (key, *_listed_names().get(key, ())) if word)
    )


@cache
def _listed_names() -> dict[str, list[str]]:
    """Names of places, cloud regions and accelerators by their keys."""
    found: dict[str, list[str]] = {}
    for table in ("zones", "zones_odbl"):
        for row in rows(table):
            found.setdefault(row["code"], []).append(row["name"])
    for table in ("place_names", "accelerators"):
        for row in rows(table):
            names = (row.get("alpha3", ""), row["name"], *row["aliases"].split(";"))
            found.setdefault(row["key"], []).extend(names)
    for row in rows("cloud_regions"):
        town = row["location"].rpartition("(")[2].strip(") ")
        names = (row["region"], row["location"], town, *row["aliases"].split(";"))
        found.setdefault(row["key"], []).extend(names)
    return found


@cache
def _country(key: str) -> str:
    """Names of the country that a cloud region lies in."""
    row = line("cloud_regions", key) if "/" in key else None
    return f" {' '.join(_names(row['country']))} " if row and row["country"] else " "


@cache
def _folded(*words: str) -> str:
    return f" {' '.join(_fold(word) for word in words if word)} "


@cache
def _fold(word: str) -> str:
    return fold(word)
