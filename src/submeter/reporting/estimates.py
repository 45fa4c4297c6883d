# SPDX-License-Identifier: Apache-2.0
"""What ``submeter estimate`` says: the answer, its doubt, what it hangs on, what to do next."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from submeter.estimating.asking import Answer, Question, understood
from submeter.estimating.predicting import Product
from submeter.estimating.varying import (
    JUDGED,
    MEASURES,
    Axis,
    Change,
    Point,
    Table,
    change,
    pareto,
)
from submeter.records.amounts import Amount
from submeter.records.factors import Factor
from submeter.records.figures import Figure, Missing
from submeter.reporting.footprint_words import figure_words, missing
from submeter.reporting.impacts import GRAMS, LITRES
from submeter.reporting.numbers import (
    MISSING,
    interval,
    shared_unit,
    with_interval,
    write,
    write_ratio,
)
from submeter.reporting.text import cut, fill, fitted, plain
from submeter.reporting.words import JSON_SCHEMA, run_document

NINE_IN_TEN: Final = 0.90
_TIMES: Final = ((2 * 86400.0, 86400.0, "days"), (2 * 3600.0, 3600.0, "h"), (120.0, 60.0, "min"))
_UNDER: Final = {  # what a driver is called, and the factor whose value is told with it
    "model FLOP utilisation": "model FLOP utilisation",
    "mean power of the devices": "mean power over TDP",
    "rest of node": "rest of node over devices",
    "TDP of the device": "TDP",
    "peak of the device": "peak",
}
TITLES: Final = {
    "duration": "time", "energy": "energy", "carbon": "carbon", "embodied": "embodied",
    "water": "water", "cost": "cost",
}  # fmt: skip
_SHOWN: Final = ("duration", "energy", "carbon", "water", "cost")
_CHART: Final = 36  # columns of the axis of a curve
_MOST_ROWS: Final = 26
_MOST_POINTS: Final = 60  # of a table for people
SAME: Final = "not distinguishable"


# --- one prediction -----------------------------------------------------------------------------


def estimate_words(
    question: Question, found: Answer, width: int, *, beside: tuple[str, Change] | None = None
) -> str:
    """The answer for people, at most *width* columns wide.

    Parameters
    ----------
    beside
        Other hardware, and by what the energy differs on it.
    """
    made = found.prediction
    wall = made.footprint.facility
    time = in_time(made.duration.figure("s", level=NINE_IN_TEN))
    head = f"About {with_interval(time)}"
    if isinstance(wall, Amount):
        head += f" and {with_interval(wall.figure('J', level=NINE_IN_TEN))}"
    lines = [f"{head}, 9 in 10."]
    lines += _row("", _amounts(found), width)
    lines += _row("driven by", driven_by(found), width)
    read = [plain(words) for words in (*understood(question, found).values(), *made.notes)]
    lines += _row("understood", read, width)
    lines += _next(found, beside, width)
    return "\n".join(cut(line, width) for line in lines)


def in_time(duration: Figure) -> Figure:
    """*duration* in the unit that people would say."""
    for least_s, size_s, name in _TIMES:
        if duration.value >= least_s:
            return msgspec.structs.replace(
                duration,
                value=duration.value / size_s,
                low=duration.low / size_s,
                high=duration.high / size_s,
                unit=name,
            )
    return duration


def driven_by(found: Answer) -> list[str]:
    """What the interval hangs on, with the value that was taken for each."""
    made = found.prediction
    pue = next(
        (f for f in made.footprint.factors if f.key.endswith("pue") or "pue" in f.key), None
    )
    said: list[str] = []
    for driver in made.drivers:
        share = write_ratio(driver.share_ratio)
        name = _UNDER.get(driver.name, "")
        factor = pue if driver.name.startswith("PUE") else made.taken.get(name)
        value = f" {_factor(factor)}" if factor is not None and factor.value > 0 else ""
        said.append(f"{plain(driver.name)}{value}, {share}")
    return said


def _factor(factor: Factor) -> str:
    unit = "" if factor.unit in {"ratio", "1"} else f" {factor.unit}"
    ends = "" if factor.low == factor.high else f" ({_short(factor.low)} – {_short(factor.high)})"
    return f"{_short(factor.value)}{unit}{ends}"


def _short(value: float) -> str:
    return f"{value:.2g}" if value < 100 else f"{value:.3g}"  # noqa: PLR2004  # 0.38, 316


def _amounts(found: Answer) -> list[str]:
    """Carbon, water, hardware and money, in short."""
    whole = found.prediction.footprint
    rows = (
        ("carbon", whole.carbon.location, GRAMS, " location-based"),
        ("water", whole.water.offsite, LITRES, " at the generators"),
        ("embodied", whole.carbon.embodied, GRAMS, ""),
        ("electricity", whole.money.electricity, whole.money.currency, ""),
    )
    said = []
    for name, amount, unit, after in rows:
        if isinstance(amount, Amount):
            figure = amount.figure(unit, level=NINE_IN_TEN)
            said.append(f"{name} {write(figure)}{after} {interval(figure)}".rstrip())
    return said


def _next(found: Answer, beside: tuple[str, Change] | None, width: int) -> list[str]:
    cures = dict.fromkeys(d.remedy for d in found.prediction.drivers if d.remedy)
    lines = [f"  → narrower: {cure}" for cure in list(cures)[:1]]
    if beside is not None:
        lines.append(f"  → the same on {plain(beside[0])}: energy {change_words(beside[1])}")
    lines.append('  → elsewhere: submeter estimate … --vary "region=SE,DE,US"')
    return [cut(line, width) for line in lines]


def _row(label: str, pieces: Sequence[str], width: int) -> list[str]:
    if not pieces:
        return []
    indent = f"  {label:<11}" if label else "  "
    room = width - len(indent)
    cells = [cut(piece, room) if len(piece) <= room else piece for piece in pieces]
    body: list[str] = []
    for cell in cells:
        if len(cell) > room:
            body += fill(cell.split(" "), room)
        elif body and len(body[-1]) + 3 + len(cell) <= room:
            body[-1] += f" · {cell}"
        else:
            body.append(cell)
    return [(indent if i == 0 else " " * len(indent)) + line for i, line in enumerate(body)]


def estimate_document(question: Question, found: Answer) -> dict[str, object]:
    """Words of the JSON: those of a run, and ``prediction``."""
    made = found.prediction
    wall = made.footprint.facility
    return {
        **run_document(made.run, made.footprint),
        "prediction": {
            "duration": figure_words(made.duration, "s"),
            "nine_in_ten": {
                "duration": made.duration.figure("s", level=NINE_IN_TEN).to_dict(),
                "energy": wall.figure("J", level=NINE_IN_TEN).to_dict()
                if isinstance(wall, Amount)
                else missing(wall.why),
            },
            "bound": made.bound,
            "understood": dict(understood(question, found)),
            "drivers": [msgspec.structs.asdict(driver) for driver in made.drivers],
            "taken": {name: msgspec.structs.asdict(f) for name, f in made.taken.items()},
            "operations": _operations(found),
        },
    }


def _operations(found: Answer) -> dict[str, object]:
    if found.workload is None:
        return missing("hours were given, no model")
    of = found.workload.operations
    return {
        "useful_flop": of.useful_flop,
        "executed_flop": of.executed_flop,
        "forward_flop": of.forward_flop,
        "backward_flop": of.backward_flop,
        "bytes_moved": of.bytes_moved,
        "params": found.workload.params,
        "active_params": found.workload.active_params,
        "spread_ratio": found.workload.spread_ratio,
        "parts": {name: part.useful_flop for name, part in found.workload.parts.items()},
    }


# --- many ---------------------------------------------------------------------------------------


def change_words(found: Change) -> str:
    """By what something differs, or that nobody can tell: ``−37 % (−50 … −20)``."""
    if found.value == found.low == found.high == 0:
        return "the same"
    if not found.distinguishable:
        return f"{SAME} ({_percent(found.low)} … {_percent(found.high)} %)"
    return f"{_percent(found.value)} % ({_percent(found.low)} … {_percent(found.high)})"


def _percent(ratio: float) -> str:
    value = float(f"{100 * ratio:.2g}")
    return f"{'−' if value < 0 else '+'}{abs(value):g}"


def table_words(made: Table, width: int) -> str:
    """All points of *made* as one table, the Pareto ones marked, each against the first."""
    best = pareto(made.points)
    names = [axis.name for axis in made.axes]
    heads = ["", *names, *(TITLES[m] for m in _SHOWN), "energy, to first"]
    rows: list[list[str]] = [heads]
    shown = list(zip(made.points, best, strict=True))
    if len(shown) > _MOST_POINTS:  # nobody reads ten thousand rows
        shown = [shown[0], *(row for row in shown[1:] if row[1])][:_MOST_POINTS]
    likes = {m: _like([point for point, _ in shown], m, made.currency) for m in _SHOWN}
    for point, kept in shown:
        values = [_cell(point.figure(m, _unit(m, made.currency)), likes[m], m) for m in _SHOWN]
        words = [plain(point.words[name], width=24) for name in names]
        rows.append(["*" if kept else "", *words, *values, _against(made, point)])
        ends = [_ends(point.figure(m, _unit(m, made.currency)), likes[m], m) for m in _SHOWN]
        rows.append(["", *("" for _ in names), *ends, _against_ends(made, point)])
    n = len(names)
    # Places differ in carbon and cost, seldom in energy.
    last = n + 6 if "zone" in names else n + 3
    lines, gone = fitted(rows, width, right=range(n + 1, n + 6), spare=(n + 4, n + 5, last))
    said = (
        "* nothing else here is as good in time, energy, carbon and cost at once; 95 % intervals"
    )
    if n + 6 not in gone:
        said += f"; “{SAME}”: that of the change holds zero"
    lines += fill(said.split(" "), width)
    if len(shown) < len(made.points):
        lines.append(f"of {len(made.points)} points, the first and the marked (--json has all)")
    whys = dict.fromkeys(
        found.why for point, _ in shown if isinstance(found := point.amounts["energy"], Missing)
    )
    lines += [f"{MISSING} {plain(why)}" for why in whys]
    if gone:
        hidden = " · ".join(heads[i] for i in gone)
        left = f"left out for want of room: {hidden} (wider terminal, or --json)"
        lines += fill(left.split(" "), width)
    return "\n".join(cut(line, width) for line in lines)


def _cell(figure: Figure | Missing, like: float | None, measure: str) -> str:
    if isinstance(figure, Missing):
        return MISSING
    return write(in_time(figure)) if measure == "duration" else write(figure, like=like)


def _ends(figure: Figure | Missing, like: float | None, measure: str) -> str:
    if isinstance(figure, Missing):
        return ""
    return interval(in_time(figure)) if measure == "duration" else interval(figure, like=like)


def _like(points: Sequence[Point], measure: str, currency: str) -> float | None:
    figures = (point.figure(measure, _unit(measure, currency)) for point in points)
    return shared_unit(f.value for f in figures if isinstance(f, Figure))


def _against(made: Table, point: Point) -> str:
    found = _change(made, point)
    if point is made.points[0] or found is None:
        return ""
    if found.value == found.low == found.high == 0:
        return "the same"
    return f"{_percent(found.value)} %" if found.distinguishable else SAME


def _against_ends(made: Table, point: Point) -> str:
    found = _change(made, point)
    if point is made.points[0] or found is None or found.low == found.high:
        return ""
    return f"({_percent(found.low)} … {_percent(found.high)})"


def _change(made: Table, point: Point) -> Change | None:
    before, after = made.points[0].amounts["energy"], point.amounts["energy"]
    both = isinstance(before, Product) and isinstance(after, Product)
    return change(before, after) if both else None  # type: ignore[arg-type]


def table_document(made: Table) -> dict[str, object]:
    """Words of the JSON: every point with its figures, its Pareto mark, its change."""
    best = pareto(made.points)
    return {
        "schema": JSON_SCHEMA,
        "axes": {axis.name: list(axis.values) for axis in made.axes},
        "pareto_of": list(JUDGED),
        "points": [
            {
                "set": dict(point.words),
                **{m: _figure_words(point.figure(m, _unit(m, made.currency))) for m in MEASURES},
                "pareto": kept,
                "energy_against_first": _change_words(_change(made, point)),
            }
            for point, kept in zip(made.points, best, strict=True)
        ],
    }


def _unit(measure: str, currency: str) -> str:
    return currency if measure == "cost" else ""


def _figure_words(figure: Figure | Missing) -> dict[str, object]:
    return missing(figure.why) if isinstance(figure, Missing) else figure.to_dict()


def _change_words(found: Change | None) -> Mapping[str, object]:
    if found is None:
        return missing("one of both is not known")
    return {
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "distinguishable": found.distinguishable,
    }


def curve_words(made: Table, width: int) -> str:
    """Energy along one axis as a curve in characters, both axes logarithmic."""
    (axis,) = made.axes
    step = max(1, -(-len(made.points) // _MOST_ROWS))
    figures = [(p, p.figure("energy")) for p in made.points[::step]]
    known = [f for _, f in figures if isinstance(f, Figure)]
    if not known:
        return MISSING
    low, high = min(f.low for f in known), max(f.high for f in known)
    cells = [[axis.name, "energy", "", "time", "carbon"]]
    for point, figure in figures:
        drawn = bar(figure, low, high, _CHART) if isinstance(figure, Figure) else MISSING
        cells.append(
            [
                _value(axis, point),
                _cell(figure, None, "energy"),
                drawn,
                _cell(point.figure("duration"), None, "duration"),
                _cell(point.figure("carbon"), None, "carbon"),
            ]
        )
    lines, _ = fitted(cells, width, right=(0, 1, 3, 4), spare=(4, 3))
    ends = f"━ 95 % interval, ● best estimate; from {write(low, 'J')} to {write(high, 'J')}"
    slope = _slope(axis, made)
    lines += fill(f"{ends}, logarithmic{slope}".split(" "), width)
    return "\n".join(cut(line, width) for line in lines)


def _value(axis: Axis, point: Point) -> str:
    word = point.words[axis.name]
    try:
        return f"{float(word):.2e}".replace("e+", "e")
    except ValueError:
        return plain(word, width=24)


def bar(figure: Figure, low: float, high: float, columns: int) -> str:
    """Interval and best estimate between *low* and *high* on a logarithmic axis of *columns*."""
    span = math.log(high / low) or 1.0

    def column(value: float) -> int:
        place = math.log(max(value, low) / low) / span
        return min(columns - 1, max(0, round((columns - 1) * place)))

    marks = [" "] * columns
    for i in range(column(figure.low), column(figure.high) + 1):
        marks[i] = "━"
    marks[column(figure.value)] = "●"
    return "".join(marks)


def _slope(axis: Axis, made: Table) -> str:
    """How energy grows along the axis: its exponent between both ends."""
    first, last = (p.figure("energy") for p in (made.points[0], made.points[-1]))
    if not axis.numbers or not isinstance(first, Figure) or not isinstance(last, Figure):
        return ""
    power = math.log(last.value / first.value) / math.log(axis.numbers[-1] / axis.numbers[0])
    return f"; energy grows as {axis.name} to the power of {power:.2f}"
