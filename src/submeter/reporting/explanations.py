# SPDX-License-Identifier: Apache-2.0
"""Why a run used what it used, for people: its tree, what was wasted, what to try."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from submeter.explaining.gathering import gathered
from submeter.records.amounts import Amount, sum_amounts
from submeter.records.explanations import Action, Branch, Explanation, Stall, Use, Waste
from submeter.records.figures import Figure, Missing
from submeter.reporting.counted import flop
from submeter.reporting.numbers import (
    MISSING,
    below_resolution,
    interval,
    mark,
    shared_unit,
    write,
    write_duration,
    write_limit,
    write_ratio,
)
from submeter.reporting.summary import figure_of, metric_words
from submeter.reporting.text import columns, cut, fill, pad, plain

DEPTH: Final = (
    6  # levels below the wall that are drawn: to the state, layers on a line of their own
)
MOST_ACTIONS: Final = 5
SMALLEST: Final = 0.005  # of the whole: what is less is told together
_NAME: Final = 24  # columns that a label has at least
_BESIDE: Final = 14  # share, mark and what lies between the columns
_LISTED: Final = frozenset({"class", "layer"})
_MOST_LISTED: Final = 6
_FEW: Final = 3  # modules: so few say little, those inside them more
_MOST_ROWS: Final = 12  # of one level
_MOST_STALLS: Final = 5
_MOST_POINTS: Final = 4  # qualities
_SHORT_STALL: Final = 0.005  # of the run: what is shorter is told by --all and in the JSON
_SMALLEST_RATIO: Final = 0.01
_WAITING: Final = "waiting"  # of the states, those that a name may not say
_TOP: Final = "at the wall"


def explained_words(
    found: Explanation, width: int = 80, *, depth: int = DEPTH, everything: bool = False
) -> str:
    """The tree of *found*, its waste and its advice, no line wider than *width*.

    Parameters
    ----------
    depth
        Levels below the wall.
    everything
        Small branches, each device for itself, stalls and actions without limit; and why an
        action is not advised.
    """
    width = max(60, width)
    tree = found.tree if everything else gathered(found.tree)
    blocks = [
        [plain(found.name)],
        _tree(tree, width, depth, smallest=0.0 if everything else SMALLEST),
        _use(found.use, width),
        _stalls(found.stalls, found.tree, width, everything=everything),
        waste_words(found.waste, found.tree, width),
        advice_words(found, width, everything=everything),
        _notes((*found.notes, *(found.use.notes if everything else ())), width),
    ]
    return "\n".join(cut(line, width) for block in blocks for line in block)


# -- the tree ------------------------------------------------------------------------------


class _Row:
    """A line of the tree."""

    def __init__(self, stem: str, branch: Branch, share: float, below: Sequence[str]) -> None:
        self.stem, self.branch, self.share = stem, branch, share
        self.below = below  # words on lines of their own, under it
        self.figure = figure_of(branch.energy)


def _tree(tree: Branch, width: int, depth: int, *, smallest: float) -> list[str]:
    figure = figure_of(tree.energy)
    if isinstance(figure, Missing):
        return [f"{MISSING} {_TOP}: {plain(figure.why)}"]
    head = f"{_value(figure)} {_TOP}  {interval(figure)}{mark(figure)}"
    rows: list[_Row] = []
    _grow(rows, tree, "", tree.energy, depth, smallest)
    like = shared_unit(
        r.figure.value for r in rows if isinstance(r.figure, Figure) and r.figure.low > 0
    )
    values = [_value(r.figure, like) for r in rows]
    ends = [interval(r.figure, like=like) if isinstance(r.figure, Figure) else "" for r in rows]
    value_room = max(map(columns, values), default=0)
    left = width - value_room - max(map(columns, ends), default=0) - _BESIDE
    labels = [_label(r, max(_NAME, left)) for r in rows]
    room = max((columns(label) for label in labels), default=0)
    lines = [head.rstrip()]
    for row, label, value, end in zip(rows, labels, values, ends, strict=True):
        share = "" if isinstance(row.figure, Missing) else write_ratio(row.share)
        line = f"{pad(label, room)}  {pad(value, value_room, right=True)}"
        line += f"  {pad(share, 6, right=True)}{pad(mark(row.figure), 2)}"
        lines.append(f"{line}  {end}".rstrip())
        stem = _under(row.stem)
        lines += [stem + x for x in fill(row.below, width - columns(stem), between=" · ")]
    return lines


def _value(figure: Figure | Missing, like: float | None = None) -> str:
    if isinstance(figure, Missing):
        return MISSING
    if figure.value <= 0 and figure.high <= 0:
        return write(0.0, "J", like=like)
    return write_limit(figure) if below_resolution(figure) else write(figure, like=like)


def _label(row: _Row, most: int) -> str:
    name = plain(row.branch.name)
    state = str(row.branch.detail.get("state", ""))
    if row.branch.kind == "phase" and state.startswith(_WAITING):
        name = f"{name}: {state}"
    note = f" ({plain(row.branch.note)})" if row.branch.note and row.branch.kind == "phase" else ""
    return cut(f"{row.stem}{name}{note}", max(most, columns(row.stem) + 12))


def _under(stem: str) -> str:
    """Stem of what stands under a line, but is no branch of it."""
    return stem.replace("├─ ", "│  ").replace("└─ ", "   ") + "   "


def _grow(
    rows: list[_Row],
    branch: Branch,
    stem: str,
    whole: Amount | Missing,
    depth: int,
    smallest: float,
) -> None:
    if depth <= 0:
        return
    shown, rest = _level(branch, whole, smallest)
    for i, child in enumerate(shown):
        last = i == len(shown) - 1 and not rest
        here = stem + ("└─ " if last else "├─ ")
        listed = [c for c in child.children if c.kind in _LISTED]
        below = _listed(listed) if listed and depth <= DEPTH else []
        rows.append(_Row(here, child, _part(child, whole), below))
        if not listed or depth > DEPTH:
            _grow(rows, child, _under(here)[:-3], whole, depth - 1, smallest)
    if rest:
        named = f"{len(rest)} smaller" if len(rest) > 1 else rest[0].name
        energy = _within(sum_of(rest), branch.energy)
        made = Branch(named, "unattributed" if len(rest) > 1 else rest[0].kind, energy)
        rows.append(_Row(stem + "└─ ", made, _part(made, whole), ()))


def _level(
    branch: Branch, whole: Amount | Missing, smallest: float
) -> tuple[list[Branch], list[Branch]]:
    """Children to be drawn, the largest first, overhead before all; and those told together."""
    order = sorted(
        branch.children, key=lambda b: (b.kind != "overhead" or branch.kind != "wall", -_joules(b))
    )
    missing = [b for b in order if isinstance(b.energy, Missing)]
    known = [b for b in order if not isinstance(b.energy, Missing)]
    if smallest <= 0:
        return [*known, *missing], []
    large = [b for b in known if _part(b, whole) >= smallest][:_MOST_ROWS]
    small = [b for b in known if b not in large and _joules(b) > 0]
    return [*large, *missing], small


def sum_of(branches: Iterable[Branch]) -> Amount | Missing:
    """Energy of *branches* together."""
    known = [b.energy for b in branches if isinstance(b.energy, Amount)]
    return sum_amounts(known) if known else Missing("not known")


def _within(part: Amount | Missing, whole: Amount | Missing) -> Amount | Missing:
    """*part* with hard bounds that reach no further than *whole*: those of many parts add up."""
    if isinstance(part, Missing) or isinstance(whole, Missing):
        return part
    beyond = part.figure("J").high - whole.figure("J").high
    return msgspec.structs.replace(part, bound_high=max(0.0, part.bound_high - max(0.0, beyond)))


def _joules(branch: Branch) -> float:
    return branch.energy.value if isinstance(branch.energy, Amount) else 0.0


def _part(branch: Branch, whole: Amount | Missing) -> float:
    if isinstance(whole, Missing) or whole.value <= 0:
        return 0.0
    return _joules(branch) / whole.value


def _inside(branch: Branch) -> list[Branch]:
    return [c for c in branch.children if c.kind in _LISTED]


def _prefix(prefix: str, branch: Branch) -> str:
    """Path of the modules within *branch*; that of the model itself is empty."""
    return f"{prefix}{branch.name}." if prefix or branch.name.islower() else ""


def _listed(branches: Sequence[Branch]) -> list[str]:
    """Layers and classes in a few words each, the largest first."""
    rows = [("", b) for b in branches]
    while len(rows) <= _FEW and any(_inside(b) for _, b in rows):  # a model, its blocks, ...
        rows = [
            row
            for prefix, b in rows
            for row in ([(_prefix(prefix, b), c) for c in _inside(b)] or [(prefix, b)])
        ]
    order = sorted(rows, key=lambda row: -_joules(row[1]))
    shown = order[:_MOST_LISTED]
    unit = shared_unit(_joules(b) for _, b in shown if _joules(b) > 0)
    pieces = [
        f"{plain(prefix + b.name)} {write(_joules(b), 'J', digits=2, like=unit)}"
        for prefix, b in shown
    ]
    return pieces + (["…"] if len(order) > len(shown) else [])


# -- what stands under it ------------------------------------------------------------------


def _use(use: Use, width: int) -> list[str]:
    """Model FLOP utilisation, energy per unit of work, and of the last of the quality."""
    words = []
    if isinstance(use.utilisation, Figure):
        words.append(f"model FLOP utilisation {_ratio(use.utilisation)}")
    if isinstance(use.possible, Figure):
        words.append(f"{_ratio(use.possible)} of what the roofline allows")
    for unit, figure in use.per.items():
        if unit == "FLOP" and figure.value > 0:
            words.append(f"{flop(1 / figure.value)}FLOP per J")
        else:
            words.append(write(figure))
    for name, figure in list(use.per_point.items())[:_MOST_POINTS]:
        words.append(f"{write(figure)} of {plain(name, width=20)}")
    lines = _row("use", words, width)
    if isinstance(use.last_percent, Figure) and isinstance(use.last_percent_ratio, float):
        values = [p.value for p in use.curve]
        best = max(values, default=0.0) if use.higher_is_better else min(values, default=0.0)
        told = (
            f"the last 1 % of the way to {plain(use.metric, width=20)} {metric_words(best)} took"
        )
        told += (
            f" {write(use.last_percent.value, 'J')}, {write_ratio(use.last_percent_ratio)} of all"
        )
        lines += _row("" if lines else "use", [told], width)
    return lines


def _ratio(figure: Figure) -> str:
    if figure.value < _SMALLEST_RATIO:
        return f"< {_SMALLEST_RATIO}{mark(figure)}"
    low, high = (f"{x:.2f}" for x in (figure.low, figure.high))
    ends = f" ({low} – {high})" if low != high else ""
    return f"{figure.value:.2f}{ends}{mark(figure)}"


def _stalls(stalls: Sequence[Stall], tree: Branch, width: int, *, everything: bool) -> list[str]:
    """Where it stood still, by cause: how long together, how often, and when first."""
    whole_s = tree.detail.get("duration_s", 0.0)
    least_s = 0.0 if everything or isinstance(whole_s, str) else _SHORT_STALL * whole_s
    causes: dict[str, list[Stall]] = {}
    for stall in stalls:
        causes.setdefault(stall.cause, []).append(stall)
    rows = []
    for cause, of in causes.items():
        seconds = sum(s.end_s - s.start_s for s in of)
        times = (
            f" in {len(of)} stretches" if len(of) > 1 else f" at {write_duration(of[0].start_s)}"
        )
        if seconds >= least_s:
            rows.append((seconds, f"{cause} {write_duration(seconds)}{times}"))
    rows.sort(key=lambda row: -row[0])
    shown = rows if everything else rows[:_MOST_STALLS]
    return _row("stalls", [words for _, words in shown], width)


def waste_words(waste: Sequence[Waste], tree: Branch, width: int = 80) -> list[str]:
    """``Waste 0.78 kWh at the wall (22 %): loader 0.59 · idle tail 0.19``."""
    known = [(w, w.energy) for w in waste if isinstance(w.energy, Amount) and w.energy.value > 0]
    if not known:
        return []
    whole = sum_amounts(energy for _, energy in known)
    figure = whole.figure("J")
    share = ""
    if isinstance(tree.energy, Amount) and tree.energy.value > 0:
        share = f" ({write_ratio(whole.value / tree.energy.value)})"
    order = sorted(known, key=lambda row: -row[1].value)
    pieces = [
        f"{plain(w.name, width=28)} {write(e.value, 'J', digits=2, like=figure.value)}"
        for w, e in order
    ]
    head = f"Waste {write(figure)} {_TOP}{share}: "
    lines = fill([head.rstrip(), *_between(pieces)], width)
    for w, _ in order:
        told = fill(f"{plain(w.name, width=28)}: {plain(w.why)}".split(" "), width - 4)
        lines += [("  " if i == 0 else "    ") + line for i, line in enumerate(told)]
    return lines


def advice_words(found: Explanation, width: int = 80, *, everything: bool = False) -> list[str]:
    """``Worth trying: 1 loader workers 4 → 12, −14 % (−8 … −17)  → submeter prove …``."""
    lines: list[str] = []
    actions = found.advice if everything else found.advice[:MOST_ACTIONS]
    for i, action in enumerate(actions, 1):
        head = "Worth trying: " if i == 1 else " " * 14
        told = fill(f"{head}{i} {plain(action.text)}{saving_words(action)}".split(" "), width - 2)
        if i > 1:
            told[0] = " " * 14 + told[0].lstrip()
        lines += [told[0], *(" " * 16 + line for line in told[1:])]
        if action.price:
            lines += [
                " " * 16 + x for x in fill(f"price: {plain(action.price)}".split(" "), width - 16)
            ]
        if action.prove:
            lines += [
                " " * 16 + x for x in fill(f"→ {plain(action.prove)}".split(" "), width - 16)
            ]
    if everything and found.withheld:
        lines.append("Not advised here:")
        for row in found.withheld:
            words = f"{plain(row.text)}: {plain(row.why)}".split(" ")
            lines += [
                ("  " if i == 0 else "    ") + x for i, x in enumerate(fill(words, width - 4))
            ]
    return lines


def saving_words(action: Action) -> str:
    """``, −14 % (−8 … −17), 0.5 kWh``."""
    if isinstance(action.saving_ratio, Missing):
        return ""
    low, value, high = (
        100 * x
        for x in (action.saving_ratio.low, action.saving_ratio.value, action.saving_ratio.high)
    )
    words = f", −{value:.0f} % (−{low:.0f} … −{high:.0f})"
    if isinstance(action.saving, Figure):
        words += f", {write(action.saving.value, 'J', digits=2)}"
    return words


def _notes(notes: Sequence[str], width: int) -> list[str]:
    lines: list[str] = []
    for note in dict.fromkeys(notes):
        lines += _row("note", [" ".join(plain(note).split())], width, between=" ", split=True)
    return lines


def _row(
    label: str, pieces: Sequence[str], width: int, *, between: str = " · ", split: bool = False
) -> list[str]:
    """Lines of *pieces* behind a label."""
    words = [w for p in pieces for w in p.split(" ")] if split else list(pieces)
    lines = fill(words, width - 8, between=between)
    return [f"{label if i == 0 else '':6}  {line}" for i, line in enumerate(lines)]


def _between(pieces: Sequence[str]) -> list[str]:
    return [p if i == len(pieces) - 1 else f"{p} ·" for i, p in enumerate(pieces)]
