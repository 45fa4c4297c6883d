# SPDX-License-Identifier: Apache-2.0
"""The summary at the end of a run: at most 15 lines, the answer first, the doubt beside it."""

import math
import re
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Final

from submeter.accounting.boundaries import SCOPE
from submeter.accounting.phases import PhaseNode, phase_tree, sum_phases
from submeter.records.amounts import Amount
from submeter.records.devices import DeviceKind
from submeter.records.figures import WEAK_SHARE, Basis, Figure, Missing, Quantity, total
from submeter.records.footprints import Footprint
from submeter.records.runs import DeviceEnergy, Run
from submeter.reporting.impacts import carbon_words, cost_words, water_words
from submeter.reporting.numbers import (
    MISSING,
    below_resolution,
    interval,
    mark,
    write,
    write_count,
    write_duration,
    write_ratio,
)
from submeter.reporting.text import columns, cut, fill, pad, plain

MOST_LINES: Final = 15
_LABEL: Final = 12  # columns before the text of a line
_BETWEEN: Final = " · "
_RIGHT: Final = 49  # column of what a figure rests on, if the figure leaves room
_NARROWEST: Final = 20  # columns that words beside a figure need
_BESIDE: Final = 3  # lines of them
_MOST_PHASES: Final = 6
_PHASE_LINES: Final = 2
_SMALL, _LARGE = 1e-4, 1e6  # metrics between them are written without an exponent
_MOST_METRICS: Final = 4
_OVERHEAD: Final = "overhead"
_FIRST: Final = re.compile(r"acc|f1|score|auc|bleu|perplex|reward|map|iou", re.IGNORECASE)
_SHELL_SAFE: Final = re.compile(r"[A-Za-z0-9][\w.+:@%-]{0,39}", re.ASCII)


def summary(run: Run, footprint: Footprint, width: int = 80) -> str:
    """Tell a person what *run* used, when it is over.

    Parameters
    ----------
    run
        A run of any status; what is not known is said, never zero.
    footprint
        Its energy at the boundaries.
    width
        Most columns of a line, 40 or more.

    Returns
    -------
    str
        At most 15 lines without a last line break; no control character of any name in it.
    """
    width = max(40, width)
    facility = figure_of(footprint.facility)
    node = figure_of(footprint.node)
    lines = [_headline(run, width)]
    lines += _energy(run, footprint, facility, width)
    lines += _row("by device", [device_words(g) for g in groups(run.devices)], width, most=2)
    lines += _row("by phase", _phases(run, node, width), width, most=_PHASE_LINES)
    lines += _row("carbon", carbon_words(footprint), width, most=2, between="   ")
    said = "; ".join(notes(run, footprint))
    last = [cut(f"  → {_next(run, facility)}", width)]
    result = _row("result", _result(run, footprint), width, most=2)
    room = MOST_LINES - len(lines) - len(result) - len(last) - bool(said)
    # What is said of the run itself goes before what it amounts to; all of it is in `show`.
    for label, words in (("water", water_words(footprint)), ("cost", cost_words(footprint))):
        row = _row(label, words, width, most=1) if room > 0 else []
        lines += row
        room -= len(row)
    lines += result
    lines += _prose("note", said, width, most=min(3, MOST_LINES - len(lines) - len(last)))
    return "\n".join(lines + last)


def figure_of(quantity: Quantity | Amount | Missing) -> Figure | Missing:
    """*quantity* as an energy that a person is shown."""
    return quantity if isinstance(quantity, Missing) else quantity.figure("J")


def title(run: Run) -> str:
    """Name of *run* for a person, its id if it has none."""
    return plain(run.name, width=40) or plain(run.id)


def state(run: Run) -> str:
    """How *run* ended and how long it took."""
    if SCOPE in run.place and not run.duration_s:
        return "published, duration not told"
    took = write_duration(run.duration_s)
    match run.status:
        case "finished":
            return f"finished in {took}"
        case "failed":
            code = "" if run.exit_code is None else f" with exit code {run.exit_code}"
            return f"failed{code} after {took}"
        case "killed" | "stopped":
            return f"{run.status} after {took}"
        case "running" | "paused":
            return f"{run.status}, {took} so far"
        case "waiting":
            return "waiting to start"


class Group:
    """Devices of one kind, told together."""

    def __init__(self, name: str, rows: Sequence[DeviceEnergy]) -> None:
        known = [r.share for r in rows if isinstance(r.share, Quantity)]
        lost = [r.share for r in rows if isinstance(r.share, Missing)]
        self.name = name
        self.energy: Quantity | Missing = total(known) if known else lost[0]
        self.missing = len(lost) if known else 0
        self.figure = figure_of(self.energy)


def groups(devices: Iterable[DeviceEnergy]) -> list[Group]:
    """*devices* by kind, those that used most first; several of a kind are numbered."""
    by_kind: dict[DeviceKind, list[DeviceEnergy]] = {}
    for row in devices:
        if row.device.kind is not DeviceKind.NODE:
            by_kind.setdefault(row.device.kind, []).append(row)
    found = [Group(_group_name(kind, len(rows)), rows) for kind, rows in by_kind.items()]
    order = {kind: i for i, kind in enumerate(by_kind)}
    rank = dict(zip((g.name for g in found), order.values(), strict=True))
    return sorted(found, key=lambda g: (g.name == "rest of node", -_value(g.energy), rank[g.name]))


def device_words(group: Group) -> str:
    """One group of devices: name, energy, mark of its basis."""
    if isinstance(group.figure, Missing):
        return f"{group.name} {MISSING} ({plain(group.figure.why, width=30)})"
    lost = f" ({group.missing} of them unknown)" if group.missing else ""
    return f"{group.name} {write(group.figure)}{mark(group.figure)}{lost}"


def basis_words(figure: Figure, assumed_parts: Sequence[str]) -> list[str]:
    """Say what *figure* rests on, assumptions first if they are more than a fifth."""
    shares = figure.basis_shares
    if not shares:
        return []
    solid = shares.get(Basis.MEASURED, 0.0) + shares.get(Basis.DERIVED, 0.0)
    words: list[str] = []
    for basis in Basis:
        share = shares.get(basis, 0.0)
        if not share:
            continue
        named = (
            f" ({', '.join(assumed_parts)})" if basis is Basis.ASSUMED and assumed_parts else ""
        )
        words.append(f"{write_ratio(share)} {basis}{named}")
    if shares.get(Basis.ASSUMED, 0.0) > WEAK_SHARE:
        words.insert(0, words.pop())
    if len(words) == 1 and solid:
        return [f"all {max(shares, key=lambda b: shares[b])}"]
    return words if solid else [*words, "nothing measured"]


def _headline(run: Run, width: int) -> str:
    return cut(f"{title(run)}{_BETWEEN}{state(run)}", width)


def _energy(run: Run, footprint: Footprint, facility: Figure | Missing, width: int) -> list[str]:
    label = pad("  energy", _LABEL)
    if isinstance(facility, Missing):
        return _prose("energy", f"{MISSING} {plain(facility.why)}", width, most=2)
    bound = "at least " if footprint.unknown else ""
    left = [f"{bound}{write(facility)} at the wall  {interval(facility)}".rstrip()]
    inner = [
        f"{write(figure_of(q))} {name}"
        for name, q in (("node", footprint.node), ("devices", footprint.devices))
        if isinstance(q, Amount)
    ]
    left.append(_BETWEEN.join(inner))
    pieces = basis_words(facility, assumed_parts(run, footprint))
    words = [w for i, p in enumerate(pieces) for w in _breakable(p, last=i == len(pieces) - 1)]
    start = max(_RIGHT, _LABEL + columns(left[0]) + 2)
    beside = fill(words, width - start) if width - start >= _NARROWEST else []
    if beside and len(beside) <= _BESIDE and _LABEL + columns(left[1]) + 2 <= start:
        heads = [label + left[0], " " * _LABEL + left[1], ""]
        rows = zip_longest(heads[: max(2, len(beside))], beside, fillvalue="")
        return [(pad(head, start) + side).rstrip() for head, side in rows]
    below = fill(words, width - _LABEL)[:2]
    # An interval is never cut: where the line is too short it goes to the next one, whole.
    above = [*fill(left[0].split("  "), width - _LABEL, between="  "),
             *fill(inner, width - _LABEL, between=_BETWEEN)]  # fmt: skip
    heads = [label, *[" " * _LABEL] * (len(above) + len(below))]
    return [cut(head + x, width) for head, x in zip(heads, [*above, *below], strict=False)]


def _breakable(piece: str, *, last: bool) -> list[str]:
    """Words of *piece*, a number and its unit kept together."""
    words = piece.replace(" %", "\xa0%").split(" ")
    return [w.replace("\xa0", " ") for w in (*words[:-1], words[-1] + ("" if last else ","))]


def assumed_parts(run: Run, footprint: Footprint) -> list[str]:
    """Names of what is mostly assumed in the headline."""
    names = [
        g.name
        for g in groups(run.devices)
        if isinstance(g.figure, Figure) and g.figure.basis is Basis.ASSUMED and g.figure.value > 0
    ]
    outer, inner = _assumed_j(footprint.facility), _assumed_j(footprint.it)
    grown = _value(footprint.facility) / _value(footprint.it) if _value(footprint.it) > 0 else 1.0
    return [*names, _OVERHEAD] if outer > inner * grown * (1 + 1e-9) else names


def _assumed_j(quantity: Quantity | Amount | Missing) -> float:
    return 0.0 if isinstance(quantity, Missing) else quantity.basis.get(Basis.ASSUMED, 0.0)


def _value(quantity: Quantity | Amount | Missing) -> float:
    return 0.0 if isinstance(quantity, Missing) else quantity.value


def _group_name(kind: DeviceKind, count: int) -> str:
    if kind is DeviceKind.REST:
        return "rest of node"
    if kind is DeviceKind.GPU:
        return f"GPU 0–{count - 1}" if count > 1 else "GPU"
    return str(kind) if count == 1 else f"{kind} 0–{count - 1}"


def _phases(run: Run, node: Figure | Missing, width: int) -> list[str]:
    """Shares of the phases that used most, the others together, and what was in none."""
    if not run.phases:
        return []
    roots = list(phase_tree(run.phases))
    if len(roots) == 1 and len(roots[0].children) > 1:
        roots = _inside(run, roots[0])
    ranked = sorted(roots, key=lambda n: -_value(n.energy))
    most = _MOST_PHASES
    while True:
        words = _phase_row(run, ranked, node, most)
        if most <= 1 or len(fill(words, width - _LABEL, between=_BETWEEN)) <= _PHASE_LINES:
            return words
        most -= 1


def _inside(run: Run, root: PhaseNode) -> list[PhaseNode]:
    """Children of the only *root*, and the root for the time in none of them."""
    own = phase_tree([p for p in run.phases if p.path == root.path])
    return [*root.children, *own]


def _phase_row(
    run: Run, ranked: Sequence[PhaseNode], node: Figure | Missing, most: int
) -> list[str]:
    whole = node.value if isinstance(node, Figure) else 0.0
    top, others = ranked[:most], ranked[most:]
    words: list[str] = []
    told: set[str] = set()
    for n in top:
        if n.path in told:
            continue
        told |= {n.path, *n.joint_with}
        name = " + ".join(plain(p.rpartition("/")[2], width=20) for p in (n.path, *n.joint_with))
        words.append(f"{cut(name, 32)} {_share(n.energy, whole)}")
    if len(others) == 1:
        words.append(f"{plain(others[0].name, width=20)} {_share(others[0].energy, whole)}")
    elif others:
        inside = {n.path for n in others}
        rows = [p for p in run.phases if any(_within(p.path, path) for path in inside)]
        words.append(f"{len(others)} others {_share(sum_phases(rows), whole)}")
    if isinstance(run.outside_phases, Missing) or run.outside_phases.value > 0:
        words.append(f"outside phases {_share(run.outside_phases, whole)}")
    return words


def _within(path: str, ancestor: str) -> bool:
    return path == ancestor or path.startswith(f"{ancestor}/")


def _share(energy: Quantity | Missing, whole_j: float) -> str:
    figure = figure_of(energy)
    if isinstance(figure, Missing):
        return MISSING
    if below_resolution(figure) or whole_j <= 0:
        return write(figure)
    return write_ratio(figure.value / whole_j)


def _result(run: Run, footprint: Footprint) -> list[str]:
    names = sorted(run.metrics, key=lambda n: _FIRST.search(n) is None)
    words = [f"{plain(n, width=24)} {metric_words(run.metrics[n])}" for n in names[:_MOST_METRICS]]
    return words + per_work(run, footprint)


def metric_words(value: float) -> str:
    """Write a logged value at three digits, a count in full."""
    if not math.isfinite(value):
        return str(value)
    if value == round(value) and abs(value) < _LARGE:
        return write_count(value)
    return write(value) if _SMALL <= abs(value) < _LARGE else f"{value:.3g}"


def per_work(run: Run, footprint: Footprint) -> list[str]:
    """Energy at the wall per sample, or per token, of the work that was logged."""
    if run.status in {"waiting", "running", "paused"}:
        return []  # work and energy are not known up to the same instant yet
    for key, name in (("samples", "sample"), ("tokens", "token")):
        if key not in run.work:
            continue
        done = run.work[key]
        if not (math.isfinite(done) and done >= 1):
            return [f"energy per {name} not defined ({write_count(done)} {key})"]
        if isinstance(footprint.facility, Missing):
            return [f"energy per {name} {MISSING}"]
        figure = footprint.facility.scaled(1 / done).figure(f"J per {name}")
        if below_resolution(figure):
            return [f"energy per {name} {write(figure)}"]
        return [f"{write(figure)}, at the wall"]
    return []


def notes(run: Run, footprint: Footprint) -> list[str]:
    """Say what a reader of the result should know, most important first."""
    words = [f"not counted: {plain(u)}" for u in footprint.unknown]
    if footprint.zone is not None and footprint.zone.guessed and run.place.get("zone"):
        words.append(plain(footprint.zone.note))  # what was said of the place means none
    if run.gaps_s > 0:
        part = write_ratio(run.gaps_s / run.duration_s) if run.duration_s > 0 else MISSING
        words.append(f"{write_duration(run.gaps_s)} bridged by interpolation ({part})")
    return words + [plain(n) for n in run.notes]


def _next(run: Run, facility: Figure | Missing) -> str:
    name = run.name if _SHELL_SAFE.fullmatch(run.name) else run.id
    words = f"submeter show {plain(name)}"
    soft = (
        isinstance(facility, Missing)
        or sum(facility.basis_shares.get(b, 0.0) for b in (Basis.MODELLED, Basis.ASSUMED))
        > WEAK_SHARE
    )
    return f"{words}{_BETWEEN}narrower: submeter doctor" if soft else words


def _row(
    label: str, pieces: Sequence[str], width: int, *, most: int, between: str = _BETWEEN
) -> list[str]:
    """Set *pieces* into a labelled line, wrapped between them, at most *most* times."""
    return _labelled(label, fill(pieces, width - _LABEL, between=between), width, most)


def _prose(label: str, words: str, width: int, *, most: int) -> list[str]:
    """Set a sentence into at most *most* labelled lines, wrapped between words."""
    return _labelled(label, fill(words.split(" "), width - _LABEL) if words else [], width, most)


def _labelled(label: str, lines: list[str], width: int, most: int) -> list[str]:
    if len(lines) > most:
        lines = [*lines[: most - 1], cut(f"{lines[most - 1]} …", width - _LABEL)][:most]
    heads = [f"  {label}", *[""] * len(lines)]
    return [pad(head, _LABEL) + line for head, line in zip(heads, lines, strict=False)]
