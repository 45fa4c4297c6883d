# SPDX-License-Identifier: Apache-2.0
"""What ``submeter show`` prints: the answer, then one table per way to split it."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from submeter.accounting.doubts import doubts
from submeter.accounting.phases import PhaseNode, phase_tree
from submeter.records.amounts import Amount
from submeter.records.devices import DeviceKind
from submeter.records.figures import Figure, Missing, Quantity
from submeter.records.footprints import Footprint
from submeter.records.runs import DeviceEnergy, MetricPoint, Run
from submeter.reporting.impacts import impacts
from submeter.reporting.notes import method_words, own_notes
from submeter.reporting.numbers import (
    MISSING,
    below_resolution,
    interval,
    mark,
    shared_unit,
    write,
    write_count,
    write_duration,
    write_instant,
    write_limit,
    write_ratio,
)
from submeter.reporting.summary import (
    assumed_parts,
    basis_words,
    figure_of,
    metric_words,
    notes,
    per_work,
    state,
    title,
)
from submeter.reporting.text import columns, cut, fill, fitted, plain, table

WAYS: Final = ("device", "phase", "rank", "metric")
_INDENT: Final = "  "
_NAME: Final = 28  # most columns of a name
_DEVICE: Final = 24  # of the name of a device, beside five more columns
_LAST_POINTS: Final = 10  # of the learning curve, unless it is asked for
_TOLD: Final = frozenset({"declared", "live"})  # by the user, by a provider: of no year
_MARKS: Final = (("~", "modelled"), ("?", "assumed"))


def details(
    run: Run,
    footprint: Footprint,
    *,
    by: Sequence[str] = WAYS,
    width: int = 80,
    plan: Sequence[str] = (),
) -> str:
    """Everything that is known of *run*, split *by* the ways asked for.

    Parameters
    ----------
    run
        A run of any status.
    footprint
        Its energy at the boundaries.
    by
        Some of `WAYS`, in the order in which their tables come.
    width
        Most columns of a line.
    plan
        Lines about the plan that it was run by, if any.
    """
    writers: dict[str, Callable[[Run, Footprint], list[str]]] = {
        "device": lambda run, amount: _devices(run, amount, width, alone=not everything),
        "phase": lambda run, amount: _phases(run, amount, width),
        "rank": _ranks,
        "metric": lambda run, _: _metrics(run, most=_LAST_POINTS if everything else None),
    }
    everything = tuple(by) == WAYS
    energy = [*_energy(run, footprint, width), *_legend(run, footprint, width)]
    blocks = [_head(run, width), energy, list(plan) if everything else []]
    blocks += [writers[way](run, footprint) for way in by]
    if everything:
        blocks += [impacts(footprint, width), _rest(run, footprint, width)]
    return "\n\n".join("\n".join(cut(x, width) for x in block) for block in blocks if block)


def _head(run: Run, width: int) -> list[str]:
    facts = [plain(run.id), f"started {plain(write_instant(run.started_utc))}"]
    if run.origin != "measured":
        facts.append(run.origin)
    if run.exit_code is not None:
        facts.append(f"exit code {run.exit_code}")
    facts += [plain(f"{key}={value}", width=_NAME) for key, value in run.tags.items()]
    lines = [f"{title(run)} · {state(run)}", *fill(facts, width - 2, between=" · ")]
    if run.command:
        lines.append(f"$ {plain(' '.join(run.command))}")
    return [lines[0], *(_INDENT + line for line in lines[1:])]


def _energy(run: Run, footprint: Footprint, width: int) -> list[str]:
    rows = [
        (name, quantity)
        for name, quantity in (
            ("at the wall", footprint.facility),
            ("node", footprint.node),
            ("devices", footprint.devices),
        )
    ]
    least = "≥ " if footprint.unknown else ""
    like = _like(quantity for _, quantity in rows)
    cells = [[f"{_INDENT}{name}", *_amount(q, least, like=like)] for name, q in rows]
    lines = ["energy", *table(cells, right=(1,))]
    facility = figure_of(footprint.facility)
    if isinstance(facility, Figure):
        rests = basis_words(facility, assumed_parts(run, footprint))
        lines += [_INDENT + x for x in fill(rests, width - 2, between=" · ")]
        hangs = _hangs_on(footprint.facility)
        if hangs:
            lines += [
                _INDENT + x for x in fill(["what the interval hangs on:", *hangs], width - 2)
            ]
    return lines


def _legend(run: Run, footprint: Footprint, width: int) -> list[str]:
    """Explain the marks that stand in the tables."""
    amounts: list[Quantity | Amount | Missing] = [
        footprint.facility,
        footprint.node,
        footprint.devices,
        run.outside_phases,
    ]
    amounts += [row.share for row in run.devices] + [row.energy for row in run.phases]
    marks = {mark(figure_of(q)).strip() for q in amounts}
    words = [f"{sign} {word}" for sign, word in _MARKS if sign in marks]
    if not words:
        return []
    line = f"{', '.join(words)}: more than a fifth of the figure rests on that"
    return [_INDENT + x for x in fill(line.split(" "), width - 2)]


def _like(quantities: Iterable[Quantity | Amount | Missing]) -> float | None:
    """Value whose unit a whole column can have."""
    figures = (figure_of(q) for q in quantities)
    return shared_unit(f.value for f in figures if isinstance(f, Figure) and f.low > 0)


def _amount(
    quantity: Quantity | Amount | Missing, least: str = "", *, like: float | None = None
) -> list[str]:
    """Value and interval, or a dash and the reason."""
    figure = figure_of(quantity)
    if isinstance(figure, Missing):
        return [MISSING, plain(figure.why)]
    if below_resolution(figure):
        return [write_limit(figure), "below resolution"]
    return [f"{least}{write(figure, like=like)}{mark(figure)}", interval(figure, like=like)]


def _hangs_on(amount: Amount | Missing) -> list[str]:
    """Name sources of doubt by their part in the variance, largest first."""
    if isinstance(amount, Missing):
        return []
    told = [f"{plain(d.name, width=_NAME)} {write_ratio(d.share_ratio)}" for d in doubts(amount)]
    return [f"{words} ·" for words in told[:-1]] + told[-1:]


def _devices(run: Run, footprint: Footprint, width: int, *, alone: bool) -> list[str]:
    if not run.devices:
        return []
    whole_j = _value(footprint.node)
    rows = [["by device", "run's share", "", "", "drawn", "how"]]
    like = _like(q for row in run.devices for q in (row.share, row.drawn))
    hows = []
    for row in run.devices:
        aside = row.device.kind is DeviceKind.NODE
        how = plain(f"{row.method}, only compared" if aside else row.method)
        words = f"{plain(row.device.id)}: {how}".split(" ")
        hows += [_INDENT + line for line in fill(words, width - 2)]
        rows.append(
            [
                f"{_INDENT}{_device_name(row)}",
                *_amount(row.share, like=like),
                "" if aside else _part(row.share, whole_j),
                _amount(row.drawn, like=like)[0].rstrip(" ~?"),
                cut(how, _NAME),
            ]
        )
    flags = [
        f"{_INDENT}{plain(row.device.id)}: "
        + ", ".join(f"{count} {plain(kind)}" for kind, count in row.flags.items() if count)
        for row in run.devices
        if any(row.flags.values())
    ]
    lines, gone = fitted(rows, width, right=(1, 3, 4), spare=(5, 4))
    if gone and not alone:
        nodes = [d.device for d in run.devices if d.device.kind is DeviceKind.NODE]
        hows = [f"{_INDENT}{plain(d.id)}: only compared, never added" for d in nodes]
    return [*lines, *(hows if gone else []), *flags]


def _device_name(row: DeviceEnergy) -> str:
    ident, name = plain(row.device.id), plain(row.device.name)
    short = ident if columns(ident) <= _DEVICE // 2 else cut(ident, _DEVICE // 2)
    return cut(short if name in {"", ident} else f"{short} {name}", _DEVICE)


def _phases(run: Run, footprint: Footprint, width: int) -> list[str]:
    if not run.phases:
        return []
    whole_j = _value(footprint.node)
    rows = [["by phase", "with inner", "", "", "time", "entered"]]
    nodes = list(_walk(phase_tree(run.phases)))
    like = _like((*(node.energy for node, _ in nodes), run.outside_phases))
    for node, depth in nodes:
        joint = (
            f" (with {', '.join(plain(p) for p in node.joint_with)})" if node.joint_with else ""
        )
        rows.append(
            [
                _INDENT * (depth + 1) + cut(plain(node.name) + joint, _NAME),
                *_amount(node.energy, "≥ " if node.unknown else "", like=like),
                _part(node.energy, whole_j),
                write_duration(node.duration_s),
                "" if node.count is None else f"{node.count}×",
            ]
        )
    rows.append(
        [
            f"{_INDENT}outside phases",
            *_amount(run.outside_phases, like=like),
            _part(run.outside_phases, whole_j),
        ]
    )
    return fitted(rows, width, right=(1, 3, 4, 5), spare=(5, 3))[0]


def _walk(nodes: Iterable[PhaseNode], depth: int = 0) -> Iterable[tuple[PhaseNode, int]]:
    for node in nodes:
        yield node, depth
        yield from _walk(node.children, depth + 1)


def _ranks(run: Run, footprint: Footprint) -> list[str]:
    if not run.ranks:
        return []
    whole_j = _value(footprint.node)
    like = _like(row.energy for row in run.ranks)
    rows = [["by rank", "energy", "", "", "host"]]
    rows += [
        [
            f"{_INDENT}{row.rank}",
            *_amount(row.energy, like=like),
            _part(row.energy, whole_j),
            plain(row.host, width=_NAME),
        ]
        for row in run.ranks
    ]
    return table(rows, right=(1, 3))


def _metrics(run: Run, *, most: int | None = None) -> list[str]:
    joined = _by_step(run.metric_history)
    whole = len(joined)
    history = joined[-most:] if most else joined
    if not history:
        return []
    names = list(dict.fromkeys(name for point in history for name in point.values))
    head = "by metric" + ("" if len(history) == whole else f", last {len(history)} of {whole}")
    rows = [[head, "step", *(plain(name, width=_NAME) for name in names)]]
    for point in history:
        cells = [metric_words(point.values[n]) if n in point.values else "" for n in names]
        step = "" if point.step is None else str(point.step)
        rows.append([f"{_INDENT}{write_duration(point.elapsed_s)}", step, *cells])
    return table(rows, right=range(1, len(names) + 2))


def _by_step(history: Sequence[MetricPoint]) -> list[MetricPoint]:
    """Join points of one step, which were logged one after the other."""
    joined: list[MetricPoint] = []
    for point in history:
        last = joined[-1] if joined else None
        if last is not None and point.step is not None and last.step == point.step:
            values = {**last.values, **point.values}
            joined[-1] = MetricPoint(point.elapsed_s, values, point.step)
        elif point.values:
            joined.append(point)
    return joined


def _rest(run: Run, footprint: Footprint, width: int) -> list[str]:
    """Tell result, work, other tenants, notes, factors and method."""
    facts: list[tuple[str, list[str]]] = []
    result = [f"{plain(name)} {metric_words(value)}" for name, value in run.metrics.items()]
    facts.append(("result", result + per_work(run, footprint)))
    words = [f"{plain(k)} {plain(v, width=_NAME)}" for k, v in run.parameters.items()]
    facts.append(("parameters", words))
    facts.append(("work", [f"{write_count(v)} {plain(name)}" for name, v in run.work.items()]))
    others = figure_of(run.unattributed)
    if isinstance(others, Figure) and others.value > 0:
        facts.append(("others used", [f"{write(others)} {interval(others)}".rstrip()]))
    lines = []
    for label, words in facts:
        for i, line in enumerate(fill(words, width - 14, between=" · ")):
            lines.append(f"{'' if i else label:14}{line}")
    for note in dict.fromkeys((*notes(run, footprint), *own_notes(footprint))):
        for i, line in enumerate(fill(note.split(" "), width - 14)):
            lines.append(f"{'' if i else 'note':14}{line}")
    lines += _factors(footprint, width)
    method = method_words(footprint)
    if method:
        lines += ["method", *(_INDENT + line for line in fill(method.split(" "), width - 2))]
    return lines


def _factors(footprint: Footprint, width: int) -> list[str]:
    """Every factor used, by the key under which ``submeter factors`` tells its source."""
    if not footprint.factors:
        return []
    cells = [
        (
            f"{f.value:.4g} {plain(f.unit)}",
            f"({f.low:.3g} – {f.high:.3g})" if f.low < f.high else "",
            f.verified if f.verified in _TOLD else str(f.year or ""),
        )
        for f in footprint.factors
    ]
    keys = [f"{_INDENT}{plain(f.key)}" for f in footprint.factors]
    wide = table([[k, *row] for k, row in zip(keys, cells, strict=True)], right=(1,))
    if max(map(columns, wide)) > width:
        # The interval goes first, it stands with the source; then a long key has its own line.
        room = width - sum(max(columns(row[i]) for row in cells) + 2 for i in (0, 2))
        rows: list[list[str]] = []
        for key, (value, _, told) in zip(keys, cells, strict=True):
            fits = columns(key) <= room
            rows += [[key, value, told]] if fits else [[key], ["", value, told]]
        wide = table(rows, right=(1,))
    return ["factors  (submeter factors KEY; with a colon: derived)", *wide]


def _part(energy: Quantity | Amount | Missing, whole_j: float) -> str:
    if isinstance(energy, Missing) or whole_j <= 0:
        return ""
    return write_ratio(energy.value / whole_j)


def _value(quantity: Quantity | Amount | Missing) -> float:
    return 0.0 if isinstance(quantity, Missing) else quantity.value
