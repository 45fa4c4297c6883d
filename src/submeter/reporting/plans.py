# SPDX-License-Identifier: Apache-2.0
"""A plan as a person reads it: the answer, its doubt, the hours drawn, and the next step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec

from submeter.grid.loads import started_at
from submeter.planning.words import clock_of, full_instant
from submeter.records.figures import Figure, Missing
from submeter.records.plans import Job, Plan, Slice
from submeter.reporting.footprint_words import missing
from submeter.reporting.numbers import write, write_duration, write_power, write_ratio
from submeter.reporting.series import blocks
from submeter.reporting.text import columns, fill, plain

if TYPE_CHECKING:  # kept plans are told without numpy
    from submeter.planning.deciding import Decision
    from submeter.planning.outlooks import Outlook
    from submeter.planning.weighing import Choice

PLAN_SCHEMA: Final = 1
_DRAWN: Final = 48  # columns of the hours, at most
_BESIDE: Final = 24  # columns for the range beside them, and spaces
_DAY_S: Final = 86_400
_RUNNING: Final = "■"
_LEAST_SHARE: Final = 0.25  # of a column that is run in, for it to be marked
_MOST_SLICES: Final = 4  # that the answer names
_CALLED: Final = {
    "carbon_g": "carbon",
    "carbon_marginal_g": "marginal carbon",
    "cost": "cost",
    "water_l": "water",
}


class Told(msgspec.Struct, frozen=True):
    """What was understood of what was typed, to be repeated back in full."""

    clock: str
    place: str
    work: str = ""
    notes: tuple[str, ...] = ()


def plan_text(made: Decision, told: Told, width: int = 80) -> str:
    """Lines about a plan that was just made, none wider than *width*."""
    plan = made.plan
    lines = fill(_answer(made, told).split(), width)
    lines[1:] = [f"  {line}" for line in fill(" ".join(lines[1:]).split(), width - 2)]
    lines += _chart(made, told, width)
    lines += _wrapped(_doubt(made), width)
    for choice in made.others:
        lines += _wrapped(_other(choice, told), width)
    lines += _labelled("brings", _amounts(plan), width)
    lines += _labelled("understood", understood(plan.job, told), width)
    lines += _labelled("from", plan.source.partition(";")[0], width)
    for note in dict.fromkeys((*told.notes, *plan.notes)):
        lines += _labelled("note", note, width)
    return "\n".join([*lines, *_next(plan)])


def kept_text(plan: Plan, clock: str, width: int = 80) -> str:
    """Lines about a plan that was kept: what was planned, not how the hours looked then."""
    lines = [f"{plan.id}, made {full_instant(plan.made_s, clock)}"]
    told = Told(clock, plan.zone)
    runs = ", ".join(_span(s, plan.made_s, clock) for s in plan.slices)
    lines += _labelled("runs", f"{runs} in {plan.zone}", width)
    if isinstance(plan.expected_saving, Figure):
        words = f"{change(plan.expected_saving)} {plan.objective} against starting at once"
        lines += _labelled("expected", words, width)
    lines += _labelled("brings", _amounts(plan), width)
    lines += _labelled("understood", understood(plan.job, told), width)
    for words in plan.instead:
        lines += _labelled("", words, width)
    lines += _labelled("from", plan.source, width)
    return "\n".join(lines)


def plans_text(plans: Sequence[Plan], clocks: Sequence[str]) -> str:
    """One line for each kept plan by its clock of *clocks*, the latest first."""
    rows = []
    for plan, clock in reversed(list(zip(plans, clocks, strict=True))):
        saving = plan.expected_saving
        words = change(saving) if isinstance(saving, Figure) else "—"
        first = plan.slices[0].start_s if plan.slices else plan.made_s
        rows.append(f"{plan.id}  {full_instant(first, clock)}  {plan.zone}  {words}")
    return "\n".join(rows) if rows else "no plan is kept"


def change(saving: Figure) -> str:
    """Change for the better or worse with its interval: ``−23 % (−33 … −11)``."""
    value, low, high = (-100 * v for v in (saving.value, saving.high, saving.low))
    if low == high:
        return f"{_signed(value)} %"
    return f"{_signed(value)} % ({_signed(low)} … {_signed(high)})"


def understood(job: Job, told: Told) -> str:
    """What was typed, in full."""
    power = ""
    if job.power_course_w:
        mean = sum(job.power_course_w) / len(job.power_course_w)
        power = f" at {write_power(mean)} on average, by its measured course"
    elif job.power_w is not None:
        power = f" at {write_power(job.power_w)}"
    pieces = [
        f"{write_duration(job.duration_s)} of work{power}{told.work}",
        f"from {full_instant(job.earliest_s, told.clock)}",
        f"done by {full_instant(job.deadline_s, told.clock)}",
        told.place,
    ]
    if job.interruptible:
        costs = [
            f"{name} {write_duration(length_s)}"
            for name, length_s in (
                ("slices of at least", job.min_slice_s),
                ("checkpoint", job.checkpoint_s),
                ("restart", job.restart_s),
            )
            if length_s > 0
        ]
        pieces.append(f"may pause ({', '.join(costs)})" if costs else "may pause")
    return " · ".join(pieces)


# --- inside -------------------------------------------------------------------------------------


def _answer(made: Decision, told: Told) -> str:
    """When, and what it saves against what."""
    plan, clock = made.plan, told.clock
    now = f"{_time(plan.job.earliest_s, plan.made_s, clock)}"
    first, last = plan.slices[0], plan.slices[-1]
    done = _time(last.end_s, first.start_s, clock)
    if not plan.worthwhile:
        start = f"Start now, {now}, done {done}." if _now(plan) else f"Start {now}, done {done}."
        return " ".join((start, *plan.instead))
    where = "" if plan.zone == made.at_once.site.zone else f"Run in {plan.zone}: "
    if len(plan.slices) > 1 or first.workers > 1:
        spans = [_span(s, plan.made_s, clock) for s in plan.slices[:_MOST_SLICES]]
        more = len(plan.slices) - len(spans)
        times = "time" if more == 1 else "times"
        words = f"run {', '.join(spans)}" + (f" and {more} more {times}" if more else "")
    else:
        words = f"start {_time(first.start_s, plan.made_s, clock)}, done {done}"
    words = f"{where}{words}"
    saving = plan.expected_saving
    told_saving = change(saving) if isinstance(saving, Figure) else "—"
    percent, _, interval = f"{told_saving} ".partition(" % ")  # sure ones have no interval
    quantity = plan.objective if "*" not in plan.objective else f"by {plan.objective}"
    return (
        f"{words[0].upper()}{words[1:]}: {percent} % {quantity} {interval.strip()}".rstrip()
        + f" against starting {'now' if _now(plan) else 'at once'}, {now}."
    )


def _chart(made: Decision, told: Told, width: int) -> list[str]:
    """Signal over the window, and marks beneath it where the job runs."""
    plan, clock = made.plan, told.clock
    begin, end = plan.job.earliest_s, plan.job.deadline_s
    days = end - begin > _DAY_S or _local(begin, clock).date() != _local(end, clock).date()
    form = "%a %H:%M" if days else "%H:%M"
    first, last = f"{_local(begin, clock):{form}}", f"{_local(end, clock):{form}}"
    room = width - columns(first) - columns(last) - _BESIDE
    count = max(8, min(_DRAWN, room))
    drawn = _columns(made.chart, begin, end, count)
    step_s = (end - begin) / count
    marks = "".join(
        _RUNNING if _share(plan.slices, begin + i * step_s, step_s) >= _LEAST_SHARE else " "
        for i in range(count)
    )
    low, high = f"{min(drawn):.3g}", f"{max(drawn):.3g}"
    if low == high:  # what differs by less than is written is drawn flat
        drawn = [drawn[0]] * count
    unit = made.chart.unit
    span = f"{low} – {high} {unit}"
    indent = " " * (2 + columns(first) + 1)
    line = f"  {first} {blocks(drawn, count)} {last}"
    return [
        *([f"{line}  {span}"] if columns(line) + 2 + columns(span) <= width
          else [line, f"{indent}{span}"]),
        f"{indent}{marks.rstrip()}",
        f"{indent}{_RUNNING} running {', '.join(_span(s, begin, clock) for s in plan.slices[:2])}"
        + (" …" if len(plan.slices) > 2 else ""),  # noqa: PLR2004  # so many fit
    ]  # fmt: skip


def _columns(chart: Outlook, begin_s: float, end_s: float, count: int) -> list[float]:
    seen = chart.on(begin_s, (end_s - begin_s) / count, count)
    return [float(value) for value in seen.mean]


def _share(slices: Sequence[Slice], begin_s: float, length_s: float) -> float:
    inside = sum(
        max(0.0, min(s.end_s, begin_s + length_s) - max(s.start_s, begin_s)) for s in slices
    )
    return inside / length_s


def _doubt(made: Decision) -> str:
    """Chance of doing worse, the marginal side, and what caution costs."""
    plan = made.plan
    words = []
    if plan.worthwhile and plan.chance_worse is not None:
        if plan.job.interruptible and len(plan.slices) == 1:
            words.append("No pause pays here.")
        words.append(f"Chance of doing worse than now: {write_ratio(plan.chance_worse)}.")
    if made.caution_ratio is not None:
        words.append(
            f"Heeding marginal intensity too gives up {100 * made.caution_ratio:.1f} % of saving."
        )
    if isinstance(made.marginal_ratio, Missing):
        if plan.worthwhile:
            words.append(f"By marginal intensity: not known ({made.marginal_ratio.why}).")
    elif plan.worthwhile:
        words.append(f"By marginal intensity: {change(made.marginal_ratio)}.")
    return "  ".join(words)


def _other(choice: Choice, told: Told) -> str:
    first, last = choice.slices[0], choice.slices[-1]
    when = f"{_time(first.start_s, 0.0, told.clock)} – {_time(last.end_s, 0.0, told.clock)}"
    queue = f", after {write_duration(choice.site.queue_s)} in the queue" * bool(
        choice.site.queue_s
    )
    moving = choice.site.moving.get("average", 0.0)
    data = f", {write(moving, 'gCO2e')} of it to bring the data" * bool(moving)
    percent = _signed(-100 * choice.saving_ratio)
    return f"In {choice.site.zone}: {percent} %, {when}{queue}{data}."


def _amounts(plan: Plan) -> str:
    pieces = []
    for name, figure in plan.expected.items():
        before = plan.at_once.get(name)
        if not isinstance(figure, Figure) or not isinstance(before, Figure):
            continue
        unit = "gCO2e" if figure.unit == "g" else figure.unit
        now, then = (write(f.value, unit) for f in (before, figure))
        called = _CALLED.get(name, name)
        if now != then:
            pieces.append(f"{called} {then} instead of {now}")
        elif called in plan.objective or called == "cost":
            pieces.append(f"{called} {now}")
    return " · ".join(pieces)


def _next(plan: Plan) -> list[str]:
    command = "python train.py"
    if plan.command:
        import shlex

        command = plain(shlex.join(plan.command), width=30)
    if not plan.worthwhile:
        return [f"  → submeter run -- {command}"]
    if len({piece.workers for piece in plan.slices}) > 1:
        return ["  → sizes are changed by hand: submeter plan --show last-plan"]
    return [f"  → submeter run --when last-plan -- {command}     → --emit slurm"]


def _now(plan: Plan) -> bool:
    return plan.job.earliest_s <= plan.made_s


def _local(at_utc_s: float, clock: str) -> datetime:
    return datetime.fromtimestamp(at_utc_s, clock_of(clock))


def _time(at_utc_s: float, beside_s: float, clock: str) -> str:
    """Time of day; with its day where that is another than that of an instant beside it."""
    at, beside = _local(at_utc_s, clock), _local(beside_s, clock)
    if at.date() == beside.date():
        return f"{at:%H:%M}"
    near = abs((at.date() - beside.date()).days) < 6  # noqa: PLR2004  # a weekday names one day
    return f"{at:%a %H:%M}" if near or beside_s == 0 else f"{at:%a %d %b %H:%M}"


def _span(piece: Slice, beside_s: float, clock: str) -> str:
    begin = _time(piece.start_s, beside_s, clock)
    size = f" on {piece.workers}" if piece.workers > 1 else ""
    return f"{begin} – {_time(piece.end_s, piece.start_s, clock)}{size}"


def _signed(percent: float) -> str:
    size = f"{abs(percent):.0f}" if abs(percent) >= 9.5 else f"{abs(percent):.1f}"  # noqa: PLR2004
    if float(size) == 0:
        return "0"
    return f"−{size}" if percent < 0 else f"+{size}"


def _wrapped(words: str, width: int) -> list[str]:
    return [f"  {line}" for line in fill(words.split(), width - 2)] if words else []


def _labelled(label: str, words: str, width: int) -> list[str]:
    if not words:
        return []
    room = width - 13
    first, *others = fill(plain(words).split(), room)
    return [f"  {label:10} {first}", *(f"{'':13}{more}" for more in others)]


# --- JSON ---------------------------------------------------------------------------------------


def plan_document(made: Decision) -> dict[str, object]:
    """Words of the JSON of a plan that was just made."""
    chart = made.chart
    return {
        **kept_document(made.plan),
        "marginal_saving": _figure(made.marginal_ratio),
        "caution_ratio": made.caution_ratio,
        "chart": {
            "start_utc": started_at(chart.start_utc_s),
            "step_s": chart.step_s,
            "unit": chart.unit,
            "values": [float(value) for value in chart.mean],
        },
        "others": [
            {
                "zone": choice.site.zone,
                "saving_ratio": choice.saving_ratio,
                "chance_worse": choice.chance_worse,
                "slices": [_slice(s) for s in choice.slices],
            }
            for choice in made.others
        ],
    }


def kept_document(plan: Plan) -> dict[str, object]:
    """Words of the JSON of a kept plan."""
    return {"schema": PLAN_SCHEMA, "plan": plan_words(plan)}


def plan_words(plan: Plan) -> dict[str, object]:
    """A plan in the words of the JSON."""
    job = msgspec.structs.asdict(plan.job)
    job["earliest_utc"] = started_at(job.pop("earliest_s"))
    job["deadline_utc"] = started_at(job.pop("deadline_s"))
    job["power_course_w"] = list(plan.job.power_course_w)
    return {
        "id": plan.id,
        "made_utc": started_at(plan.made_s),
        "zone": plan.zone,
        "signal": plan.signal,
        "objective": plan.objective,
        "worthwhile": plan.worthwhile,
        "instead": list(plan.instead),
        "slices": [_slice(s) for s in plan.slices],
        "expected_saving": _figure(plan.expected_saving),
        "chance_worse": plan.chance_worse,
        "expected": _figures(plan.expected),
        "at_once": _figures(plan.at_once),
        "job": job,
        "command": list(plan.command),
        "source": plan.source,
        "notes": list(plan.notes),
    }


def _slice(piece: Slice) -> dict[str, object]:
    return {
        "start_utc": started_at(piece.start_s),
        "end_utc": started_at(piece.end_s),
        "zone": piece.zone,
        "workers": piece.workers,
    }


def _figures(figures: Mapping[str, Figure | Missing]) -> dict[str, object]:
    return {name: _figure(figure) for name, figure in figures.items()}


def _figure(figure: Figure | Missing) -> dict[str, object]:
    return missing(figure.why) if isinstance(figure, Missing) else figure.to_dict()
