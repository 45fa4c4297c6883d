# SPDX-License-Identifier: Apache-2.0
"""How a count of a model is said: where the operations are, what is done twice, what escaped."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from submeter.estimating.asking import Question
from submeter.reporting.numbers import write_ratio
from submeter.reporting.text import cut, fill, fitted, plain
from submeter.workloads.models import ModelSource
from submeter.workloads.tallies import Cost, Counted, summed
from submeter.workloads.unseen import MOST_SPREAD_RATIO, Unseen, spread_ratio_of, unseen

By = Literal["module", "operator", "phase", "kind"]
_SHOWN: Final = 3  # modules and operators that a summary names
_MOST_ROWS: Final = 40
_DEEPEST: Final = 6
_SCALES: Final = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_HAIR: Final = 0.01
_TWICE: Final = 2.0
_LEGEND: Final = (
    "operations of one step [FLOP], an addition and a multiplication two; executed: useful, and "
    "what is done again; share: of what is executed"
)


def count_words(question: Question, width: int, *, by: By | None = None) -> str:
    """What is said of a count below an estimate; "" where nothing was counted."""
    counted = counted_of(question)
    if counted is None:
        return ""
    said = counted_words(counted, width)
    return f"{said}\n\n{by_words(counted, by, width)}" if by else said


def with_count(question: Question, document: Mapping[str, Any]) -> dict[str, Any]:
    """*document* of a prediction with the count of its model, if there is one."""
    counted = counted_of(question)
    if counted is None:
        return dict(document)
    prediction = {**document["prediction"], "counted": counted_document(counted)}
    return {**document, "prediction": prediction}


def counted_of(question: Question) -> Counted | None:
    """One step of the model that *question* is about; None where one was described."""
    source = question.source
    return source.counted(question.model) if isinstance(source, ModelSource) else None


def counted_words(counted: Counted, width: int) -> str:
    """A few lines below an estimate: useful and executed operations, and what escaped."""
    whole = counted.total()
    lines = _row("counted", [_step(whole)], width)
    lines += _row("most in", [_most(m, whole) for m in most(counted)[:_SHOWN]], width)
    hidden = unseen(counted)
    if not hidden:
        lines += _row("", ["every operator was counted"], width)
    else:
        said = [escaped_words(u) for u in hidden[:_SHOWN]]
        if len(hidden) > _SHOWN:
            said.append(f"and {len(hidden) - _SHOWN} more")
        said.append(f"{widened(counted)}, and the interval holds that")
        lines += _row("uncounted", said, width)
    return "\n".join(cut(line, width) for line in lines)


def widened(counted: Counted) -> str:
    """How many more operations there may be than were counted, in words."""
    spread = spread_ratio_of(counted)
    if spread >= MOST_SPREAD_RATIO:
        return "most of it could not be counted: there may be ten times the operations, or more"
    if spread < 1 + _HAIR:
        return "less than 1 % more operations than were counted"
    more = f"{100 * (spread - 1):.0f} %" if spread < _TWICE else f"{spread - 1:.2g} times"
    return f"up to {more} more operations than were counted"


def escaped_words(found: Unseen) -> str:
    """What one operator is, where, and how much of the time it takes."""
    where = (
        plain(found.modules[0], width=40) if found.modules and found.modules[0] else "the model"
    )
    low, high = write_ratio(found.low_ratio), write_ratio(found.high_ratio)
    share = high if low == high else f"{low} – {high}"
    partly = "seen in part, " if found.partly else ""
    return f"{plain(found.operator, width=50)} in {where}: {partly}{share} of the time {found.how}"


class Alike(NamedTuple):
    """Modules whose names differ in numbers alone, such as ``blocks.0`` to ``blocks.79``."""

    name: str
    number: int
    cost: Cost


def most(counted: Counted) -> list[Alike]:
    """Modules by what they compute themselves, without their children; most first."""
    found = _alike(counted.by("module").items())
    return sorted(found, key=lambda m: -m.cost.executed_flop)


def by_words(counted: Counted, by: By, width: int) -> str:
    """Table of operations by *by*, most first; modules with all that is inside them."""
    whole = counted.total()
    cells = [[by, "", "useful", "executed", "share", "element-wise", "bytes"]]
    found = _tree(counted) if by == "module" else _plainly(counted, by)
    for row in found[:_MOST_ROWS]:
        times = f"× {row.number}" if row.number > 1 else ""
        cells.append([_named(by, row.name), times, *_cells(row.cost, whole)])
    if by != "module":
        cells.append(["all", "", *_cells(whole, whole)])
    lines, _ = fitted(cells, width, right=range(1, 7), spare=(5, 6))
    if len(found) > _MOST_ROWS:
        lines.append(f"and {len(found) - _MOST_ROWS} more (--json has all)")
    lines += fill(_LEGEND.split(" "), width)
    return "\n".join(cut(line, width) for line in lines)


def counted_document(counted: Counted) -> dict[str, Any]:
    """Words of the JSON: one step, by module, phase, operator and kind; what escaped."""
    return {
        "device": counted.device,
        "params": counted.params,
        "trainable_params": counted.trainable_params,
        "work_per_step": dict(counted.work),
        "step": _document(counted.total()),
        "by_module": {name: _document(cost) for name, cost in counted.tree().items()},
        **{
            f"by_{by}": {name: _document(cost) for name, cost in counted.by(by).items()}
            for by in ("phase", "operator", "kind")
        },
        "complete": counted.complete,
        "spread_ratio": spread_ratio_of(counted),
        "not_counted": [
            {
                "operator": u.operator,
                "modules": list(u.modules),
                "calls": u.calls,
                "why": u.why,
                "partly": u.partly,
                "time_share": {"low_ratio": u.low_ratio, "high_ratio": u.high_ratio, "how": u.how},
            }
            for u in unseen(counted)
        ],
        "notes": list(counted.notes),
    }


def _plainly(counted: Counted, by: Literal["operator", "phase", "kind"]) -> list[Alike]:
    return [Alike(name, 1, cost) for name, cost in counted.by(by).items()]


def _alike(rows: Iterable[tuple[str, Cost]]) -> list[Alike]:
    """Rows whose names differ in numbers alone as one."""
    groups: dict[str, list[Cost]] = {}
    for name, cost in rows:
        starred = ".".join("*" if part.isdigit() else part for part in name.split("."))
        groups.setdefault(starred, []).append(cost)
    return [Alike(name, len(costs), summed(costs)) for name, costs in groups.items()]


def _tree(counted: Counted) -> list[Alike]:
    """Modules below those that hold them, most first; as deep as the table has room."""
    rows = _alike(counted.tree().items())
    while len(rows) > _MOST_ROWS:
        deepest = max(row.name.count(".") for row in rows)
        if not deepest:
            break
        rows = [row for row in rows if row.name.count(".") < deepest]
    size = {row.name: row.cost.executed_flop for row in rows}

    def place(row: Alike) -> list[tuple[float, str]]:
        parts = row.name.split(".") if row.name else []
        above = [".".join(parts[: n + 1]) for n in range(len(parts))]
        return [(-size.get(name, 0.0), name) for name in above]

    return sorted(rows, key=place)


def _cells(cost: Cost, whole: Cost) -> list[str]:
    return [
        flop(cost.flop),
        flop(cost.executed_flop),
        write_ratio(_part(cost.executed_flop, whole.executed_flop)),
        flop(cost.pointwise_flop),
        f"{flop(cost.bytes_moved)}B",
    ]


def _most(found: Alike, whole: Cost) -> str:
    share = write_ratio(_part(found.cost.executed_flop, whole.executed_flop))
    return f"{plain(found.name or 'the model itself', width=40)} {share}"


def _step(whole: Cost) -> str:
    again = _part(whole.recomputed_flop, whole.flop)
    more = f" ({write_ratio(again)} done again)" if again >= 5e-4 else ""  # noqa: PLR2004  # 0.1 %
    return f"{flop(whole.flop)}FLOP useful a step, {flop(whole.executed_flop)}FLOP executed{more}"


def flop(value: float) -> str:
    """A count with three digits and its prefix.

    Examples
    --------
    >>> flop(9.114e9), flop(0), flop(512)
    ('9.11 G', '0 ', '512 ')
    """
    for size, prefix in _SCALES:
        if value >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g} "


def _named(by: By, name: str) -> str:
    if not name:
        return "the model"
    dots = name.count(".") if by == "module" else 0
    return "  " * min(dots, _DEEPEST) + plain(name, width=48)


def _part(one: float, whole: float) -> float:
    return one / whole if whole > 0 else 0.0


def _document(cost: Cost) -> dict[str, float]:
    return {
        "useful_flop": cost.flop,
        "recomputed_flop": cost.recomputed_flop,
        "executed_flop": cost.executed_flop,
        "maskable_flop": cost.maskable_flop,
        "elementwise_flop": cost.pointwise_flop,
        "bytes_moved": cost.bytes_moved,
    }


def _row(label: str, pieces: Sequence[str], width: int) -> list[str]:
    indent = f"  {label:<11}"
    words = " · ".join(pieces).split(" ")
    body = fill(words, width - 13)
    return [(indent if i == 0 else " " * 13) + line for i, line in enumerate(body)]
