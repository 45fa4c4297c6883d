# SPDX-License-Identifier: Apache-2.0
"""What a run amounts to, in words: carbon, water, hardware, money, and everyday things."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from submeter.records.amounts import Amount
from submeter.records.figures import Figure, Missing
from submeter.records.footprints import NOT_RECKONED, Footprint
from submeter.records.places import Zone
from submeter.reporting.numbers import (
    MISSING,
    below_resolution,
    interval,
    mark,
    shared_unit,
    with_interval,
    write,
    write_limit,
    write_ratio,
)
from submeter.reporting.text import columns as columns_of
from submeter.reporting.text import cut, fill, fitted, pad, plain, table

GRAMS: Final = "gCO2e"
LITRES: Final = "L"
_INDENT: Final = "  "
_AND: Final = " ·"
_LABEL: Final = 16  # columns before what it is in everyday words
_FIRST: Final = 20  # columns of the names of rows
_NARROWEST: Final = 10  # of a column of figures
_COLUMN: Final = 24  # of the name of a place or what-if
_HUNDREDTH: Final = 0.01
_ROUNDING: Final = 1e-9  # two ways to the same number
_HOW: Final = {
    "argument": "as asked",
    "configuration": "",
    "environment": "",
    "cloud region": "",
    "time zone": "guessed from the time zone",
    "world": "as the place is not known",
}


def carbon_words(footprint: Footprint) -> list[str]:
    """Location-based carbon with its interval, and of which grid: the line of a summary."""
    location = _figure(footprint.carbon.location, GRAMS)
    if location is None:
        return []
    if isinstance(location, Missing):
        return [f"{MISSING} {plain(location.why)}"]
    said = [with_interval(location) + mark(location)]
    if footprint.zone is not None:
        said.append(place_words(footprint.zone))
    return said


def water_words(footprint: Footprint) -> list[str]:
    """Water on the site and at the generators: the line of a summary."""
    found = []
    for name, amount in (
        ("on-site", footprint.water.onsite),
        ("off-site", footprint.water.offsite),
        ("without reservoirs", footprint.water.offsite_dry),
    ):
        figure = _figure(amount, LITRES)
        if isinstance(figure, Figure):
            found.append(f"{write(figure)}{mark(figure)} {name}")
    return found


def cost_words(footprint: Footprint) -> list[str]:
    """What the electricity costs: the line of a summary."""
    figure = _figure(footprint.money.electricity, footprint.money.currency)
    return [with_interval(figure) + mark(figure)] if isinstance(figure, Figure) else []


def equivalent_words(footprint: Footprint) -> list[str]:
    """The same in the words of everyday life."""
    return [plain(row.text) for row in footprint.equivalents]


def place_words(zone: Zone) -> str:
    """Name of *zone*, whose cloud it is, and how that is known if nobody said so.

    ``Germany, guessed from the time zone``; ``Berlin (gcp/europe-west10)``.
    """
    name, how = plain(zone.name, width=40), _HOW[zone.how]
    if zone.cloud and zone.cloud != name:
        name += f" ({plain(zone.cloud, width=40)})"
    return f"{name}, {how}" if how else name


def impacts(footprint: Footprint, width: int) -> list[str]:
    """Lines of all that the energy amounts to; none where nothing was reckoned."""
    carbon, water, money = footprint.carbon, footprint.water, footprint.money
    lines: list[str] = []
    zone = "" if footprint.zone is None else place_words(footprint.zone)
    lines += _block(
        ("carbon", zone),
        [
            ("location-based", carbon.location, GRAMS, _parts_words(footprint)),
            ("market-based", carbon.market, GRAMS, plain(carbon.market_how)),
            ("marginal", carbon.marginal, GRAMS, _others(carbon.marginal_others)),
            ("embodied", carbon.embodied, GRAMS, "hardware, its share of this time"),
        ],
        width,
    )
    for name, grams in (("by location", carbon.scopes), ("by market", carbon.market_scopes)):
        words = [f"{scope} {write(amount.figure(GRAMS))}" for scope, amount in grams.items()]
        lines += _said(f"scopes {name}", words, width)
    for label, claimed in (("claim", carbon.claims), ("offset", carbon.offsets)):
        for claim in claimed:
            lines += _said(f"{label}, not subtracted", [plain(claim)], width)
    stress = "" if isinstance(water.stress, Missing) else f"water stress {plain(water.stress)}"
    lines += _block(
        ("water", stress),
        [
            ("on-site", water.onsite, LITRES, ""),
            ("off-site, with reservoirs", water.offsite, LITRES, ""),
            ("off-site, without", water.offsite_dry, LITRES, ""),
        ],
        width,
    )
    lines += _block(
        ("cost", ""),
        [
            ("electricity", money.electricity, money.currency, ""),
            *(
                [("carbon", money.carbon, money.currency, "at the price set")]
                if isinstance(money.carbon, Amount)
                else []
            ),
        ],
        width,
    )
    same = [
        x for said in equivalent_words(footprint) for x in fill(said.split(" "), width - _LABEL)
    ]
    lines += [pad("" if i else "that is", _LABEL) + line for i, line in enumerate(same)]
    hangs = [f"{plain(d.name)} {write_ratio(d.share_ratio)}" for d in footprint.doubts]
    lines += _said("the carbon's interval hangs on", hangs, width)
    cures = dict.fromkeys(d.remedy for d in footprint.doubts if d.remedy)
    lines += _said("narrower", [plain(c) for c in cures][:1], width)
    return lines


class Row(NamedTuple):
    """One line of a comparison: its name, its unit, where its amount stands."""

    name: str
    unit: str
    amounts: tuple[Amount | Missing, ...]


def side_by_side(
    columns: Sequence[tuple[str, Footprint]], width: int, *, signs: Sequence[str] = ()
) -> list[str]:
    """*columns* of a name and a footprint as one table, the first is what the others change.

    Two columns have their intervals and the change at the end; more have their values only, in
    several tables if one would be too wide: each begins with the first column, and no figure is
    cut. *signs* are warnings, such as a saving whose sign differs between average and marginal.
    Of the notes those are told that the first column has not.
    """
    names, prints = [plain(name) for name, _ in columns], [f for _, f in columns]
    rows = _rows(prints)
    if len(columns) > 2:  # noqa: PLR2004  # here and there
        lines = _in_tables(names, [_values(row) for row in rows], width)
    else:
        lines = _here_and_there(names, [_compared(row) for row in rows], width)
    own = set(_notes(prints[0]))
    for name, made in columns[1:]:
        words = "; ".join(n for n in _notes(made) if n not in own)
        lines += fill(f"{plain(name, width=_COLUMN)}: {words}".split(" "), width) if words else []
    for sign in signs:
        lines += fill(plain(sign).split(" "), width)
    return lines


def _here_and_there(names: Sequence[str], body: Sequence[list[str]], width: int) -> list[str]:
    """Two columns with interval and change; where it is narrow the intervals go, no figure."""
    heads = (
        ["", *(word for name in names for word in (cut(name, room), "")), "change"]
        for room in (_COLUMN, _NARROWEST)
    )
    wide, narrow = (
        fitted([head, *body], width, right=(1, 3, 5), spare=(4, 2))[0] for head in heads
    )
    return wide if _fits(wide, width) else narrow


def _in_tables(names: Sequence[str], body: Sequence[list[str]], width: int) -> list[str]:
    """Columns of values in as few tables as fit."""
    count = 1
    while True:
        most = -(-(len(names) - 1) // count)  # beside the first column
        tables = _with_first(names, body, most, width)
        if most == 1 or all(_fits(lines, width) for lines in tables):
            return [line for lines in tables for line in ("", *lines)][1:]
        count += 1


def _with_first(
    names: Sequence[str], body: Sequence[list[str]], most: int, width: int
) -> list[list[str]]:
    """Tables of the first column and at most *most* others."""
    room = max(_NARROWEST, (width - _FIRST) // (most + 1) - 2)
    picks = [(0, *range(len(names))[at : at + most]) for at in range(1, len(names), most)]
    return [
        table(
            [
                ["", *(cut(names[i], room) for i in picked)],
                *([row[0], *(row[i + 1] for i in picked)] for row in body),
            ],
            right=range(1, len(picked) + 1),
        )
        for picked in picks
    ]


def _fits(lines: Sequence[str], width: int) -> bool:
    return max(map(columns_of, lines), default=0) <= width


def _notes(footprint: Footprint) -> list[str]:
    return [plain(n) for n in dict.fromkeys(footprint.notes)]


def _rows(prints: Sequence[Footprint]) -> list[Row]:
    currency = next((f.money.currency for f in prints if f.money.currency), "")
    same = all(f.money.currency in {currency, ""} for f in prints)
    picked = [
        Row("energy, facility", "J", tuple(f.facility for f in prints)),
        Row("carbon, location", "g", tuple(f.carbon.location for f in prints)),
        Row("carbon, marginal", "g", tuple(f.carbon.marginal for f in prints)),
        Row("carbon, market", "g", tuple(f.carbon.market for f in prints)),
        Row("carbon, embodied", "g", tuple(f.carbon.embodied for f in prints)),
        Row("water, on-site", LITRES, tuple(f.water.onsite for f in prints)),
        Row("water, off-site", LITRES, tuple(f.water.offsite for f in prints)),
        Row("  without reservoirs", LITRES, tuple(f.water.offsite_dry for f in prints)),
    ]
    if same:
        picked.append(Row("cost", currency, tuple(f.money.electricity for f in prints)))
    return [r for r in picked if any(isinstance(a, Amount) for a in r.amounts)]


def _values(row: Row) -> list[str]:
    """Value of each column, in one unit where that can be."""
    figures = [_figure(a, row.unit) for a in row.amounts]
    like = shared_unit(f.value for f in figures if isinstance(f, Figure))
    return [row.name, *(_value(f, like) for f in figures)]


def _compared(row: Row) -> list[str]:
    """Value and interval here, there, and the change."""
    here, there = (_figure(a, row.unit) for a in row.amounts)
    cells = [w for f in (here, there) for w in (_value(f, None), _ends(f))]
    return [row.name, *cells, _change(here, there)]


def _value(figure: Figure | Missing | None, like: float | None) -> str:
    if not isinstance(figure, Figure):
        return MISSING
    if below_resolution(figure):
        return write_limit(figure)
    return f"{write(figure, like=like)}{mark(figure)}"


def _ends(figure: Figure | Missing | None) -> str:
    return interval(figure) if isinstance(figure, Figure) else ""


def _change(before: Figure | Missing | None, after: Figure | Missing | None) -> str:
    if not isinstance(before, Figure) or not isinstance(after, Figure) or before.value <= 0:
        return ""
    change_ratio = after.value / before.value - 1
    if abs(change_ratio) < _ROUNDING:
        return "0 %"
    sign = "−" if change_ratio < 0 else "+"
    if abs(change_ratio) < _HUNDREDTH:
        return f"< {sign}1 %"
    return f"{sign}{write_ratio(abs(change_ratio))}"


def _block(
    head: tuple[str, str], rows: Sequence[tuple[str, Amount | Missing, str, str]], width: int
) -> list[str]:
    """A heading and its rows of name, value, interval, with a remark below each.

    Nothing if none was reckoned. Where it is narrow, the interval goes to a line of its own.
    """
    shown = [(name, _figure(a, unit), remark) for name, a, unit, remark in rows]
    lines = _lines(shown, width, beside=True)
    if not _fits(lines, width):
        lines = _lines(shown, width, beside=False)
    first, words = head
    told = fill(words.split(" "), width - columns_of(first) - 2) if words else [""]
    top = [f"{first if not i else pad('', columns_of(first))}  {x}" for i, x in enumerate(told)]
    return [*(x.rstrip() for x in top), *lines] if lines else []


def _lines(
    rows: Sequence[tuple[str, Figure | Missing | None, str]], width: int, *, beside: bool
) -> list[str]:
    """Rows of a block, their intervals *beside* the values or below them."""
    cells: list[list[str]] = []
    for name, figure, remark in rows:
        if figure is None:
            continue
        why = plain(figure.why) if isinstance(figure, Missing) else remark
        below = fill(why.split(" "), width - columns_of(_INDENT * 3))
        cells.append([f"{_INDENT}{name}", _value(figure, None), _ends(figure) if beside else ""])
        cells += [[f"{_INDENT * 3}{x}"] for x in ("" if beside else _ends(figure), *below) if x]
    return table(cells, right=(1,))


def _said(label: str, pieces: Sequence[str], width: int) -> list[str]:
    """*pieces* behind their *label*, wrapped; nothing if there are none."""
    if not pieces:
        return []
    room = width - columns_of(_INDENT * 2)
    words = [f"{label}:"]
    for n, piece in enumerate(pieces):
        whole = columns_of(piece) <= room // 2  # a number stays with its name
        own = [piece] if whole else piece.split(" ")
        words += [*own[:-1], own[-1] + ("" if n == len(pieces) - 1 else _AND)]
    lines = [line.removesuffix(_AND) for line in fill(words, room)]
    return [_INDENT + lines[0], *(f"{_INDENT * 2}{x}" for x in lines[1:])]


def _parts_words(footprint: Footprint) -> str:
    parts = (
        ("direct", footprint.carbon.direct),
        ("upstream", footprint.carbon.upstream),
        ("grid loss", footprint.carbon.loss),
    )
    known = [(name, a) for name, a in parts if isinstance(a, Amount) and a.value > 0]
    whole = sum(a.value for _, a in known)
    return " · ".join(f"{name} {write_ratio(a.value / whole)}" for name, a in known)


def _others(amounts: Sequence[Amount]) -> str:
    values = [write(a.figure(GRAMS)) for a in amounts]
    return f"another maker says {', '.join(values)}" if values else ""


def _figure(amount: Amount | Missing, unit: str) -> Figure | Missing | None:
    """*amount* as a person is shown it; None where nobody asked for it."""
    if amount is NOT_RECKONED or amount == NOT_RECKONED:
        return None
    return amount if isinstance(amount, Missing) else amount.figure(unit)
