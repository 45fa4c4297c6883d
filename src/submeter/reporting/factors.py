# SPDX-License-Identifier: Apache-2.0
"""Factors and their sources told: where any number of the catalog comes from."""

from collections.abc import Iterable, Sequence
from typing import Final

from submeter.catalog.factors import Source
from submeter.catalog.searching import Hit
from submeter.records.factors import Factor
from submeter.reporting.numbers import write
from submeter.reporting.text import columns, cut, fill, fitted, plain

SCHEMA: Final = 1
_DIGITS: Final = 4
_LABEL: Final = 10
_INDENT: Final = "  "
_VERIFIED: Final = {
    "copy": "read in the source",
    "recall": "known from the source, not read again: its interval is wider",
    "derived": "computed from other rows",
    "assumed": "an assumption",
    "declared": "declared by you",
    "live": "from a provider, live",
}


def write_factor(factor: Factor) -> str:
    """Value, unit and interval: ``338.7 g/kWh (300.1 – 382.2)``."""
    unit = f" {_unit(factor)}".rstrip()
    ends = "exact" if factor.low == factor.high else f"{_n(factor.low)} – {_n(factor.high)}"
    return f"{_n(factor.value)}{unit} ({ends})"


def factor_blocks(hits: Iterable[Hit], width: int) -> str:
    """Each of *hits* in some lines: id, value, year, source, licence, note."""
    return "\n\n".join("\n".join(_block(hit, width)) for hit in hits)


def factor_table(hits: Sequence[Hit], width: int) -> str:
    """Table of *hits*, a line each; the least important columns go where it is narrow."""
    rows = [["id", "value", "low", "high", "unit", "year", "verified", "source"]]
    for hit in hits:
        if hit.factor is not None:
            one = hit.factor
            numbers = [_n(one.value), _n(one.low), _n(one.high), _unit(one), str(one.year)]
            rows.append([plain(hit.ident), *numbers, one.verified, cut(plain(one.source), 30)])
        elif hit.source is not None:
            own = hit.source
            rows.append(
                [plain(hit.ident), "", "", "", "", str(own.year), "", cut(plain(own.title), 30)]
            )
    lines, _gone = fitted(rows, width, right=(1, 2, 3), spare=(7, 6, 5, 4, 3, 2))
    return "\n".join(cut(line, width) for line in lines)


def factor_details(
    hit: Hit, sources: Sequence[Source], history: Sequence[Factor], width: int
) -> str:
    """Everything about one row: its number, how far to trust it, its sources, its past."""
    if hit.factor is None:
        return "\n".join(_source_lines(hit.source, width) if hit.source else [])
    one = hit.factor
    past = [f"{row.year}: {_n(row.value)}" for row in history]
    facts = [
        ("value", [write_factor(one)]),
        ("level", [f"the interval holds it with {one.level:.0%}"] if one.low != one.high else []),
        ("year", [str(one.year)]),
        ("verified", [f"{one.verified}: {_VERIFIED[one.verified]}"]),
        ("source", [] if sources else plain(one.source).split(" ")),
        ("licence", [] if sources else plain(one.licence).split(" ")),
        ("note", plain(one.note).split(" ") if one.note else []),
    ]
    lines = [plain(hit.ident)]
    for label, words in facts:
        lines += _labelled(label, words, width)
    for own in sources:
        lines += _labelled("source", _told(own), width)
    lines += _labelled("by year", past if len(past) > 1 else [], width, between=" · ")
    return "\n".join(lines)


def factors_document(
    hits: Iterable[Hit], sources: Sequence[Source] = (), *, more: int = 0
) -> dict[str, object]:
    """*hits* in the words of the JSON; *more* rows were found than are shown."""
    shown = list(hits)
    listed = {one.key: one for one in (*sources, *(h.source for h in shown if h.source))}
    return {
        "schema": SCHEMA,
        "factors": [_factor_words(h.ident, h.factor) for h in shown if h.factor is not None],
        "sources": [
            {"key": s.key, "title": s.title, "year": s.year, "licence": s.licence, "url": s.url}
            for s in listed.values()
        ],
        "more": more,
    }


def _factor_words(ident: str, factor: Factor) -> dict[str, object]:
    return {
        "id": ident,
        "value": factor.value,
        "low": factor.low,
        "high": factor.high,
        "level": factor.level,
        "unit": factor.unit,
        "year": factor.year,
        "source": factor.source,
        "licence": factor.licence,
        "verified": factor.verified,
        "note": factor.note,
    }


def _block(hit: Hit, width: int) -> list[str]:
    if hit.factor is None:
        return _source_lines(hit.source, width) if hit.source else []
    one = hit.factor
    words = [write_factor(one), str(one.year), one.verified]
    cited = f"{plain(one.source)} [{plain(one.licence)}]"
    told = [cited, *([plain(one.note)] if one.note else [])]
    lines = [plain(hit.ident), *(_INDENT + x for x in fill(words, width - 2, between=" · "))]
    for text in told:
        lines += [_INDENT + x for x in fill(text.split(" "), width - 2)]
    return lines


def _source_lines(source: Source, width: int) -> list[str]:
    return [f"sources/{source.key}", *_labelled("source", _told(source), width)]


def _told(source: Source) -> list[str]:
    address = f" {source.url}" if source.url else ""
    return f"{plain(source.title)} ({source.year}) [{plain(source.licence)}]{address}".split(" ")


def _labelled(label: str, words: Sequence[str], width: int, *, between: str = " ") -> list[str]:
    room = width - _LABEL - columns(_INDENT)
    return [
        f"{_INDENT}{'' if n else label:{_LABEL}}{line}"
        for n, line in enumerate(fill(_broken(words, room), room, between=between))
    ]


def _broken(words: Iterable[str], room: int) -> list[str]:
    """*words* with those that are too long for a line, such as paths, broken and not cut."""
    return [word[at : at + room] for word in words for at in range(0, len(word), room)]


def _unit(factor: Factor) -> str:
    """Unit as it is written behind a number; nothing behind a ratio."""
    return "" if factor.unit in {"1", "ratio"} else plain(factor.unit)


def _n(value: float) -> str:
    return write(value, digits=_DIGITS)
