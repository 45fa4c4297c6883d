# SPDX-License-Identifier: Apache-2.0
"""Everyday computing beside a training, in words and as JSON."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from submeter.comparing import elsewhere
from submeter.comparing.everyday import (
    IDLE,
    WAYS,
    WORDS,
    Added,
    Cost,
    Paced,
    Training,
    added,
    costs,
    equal,
    paced,
    quiet_words,
    ratio_of,
)
from submeter.comparing.loads import LoadStats, Scaling
from submeter.records.everyday import Everyday
from submeter.records.factors import Factor
from submeter.records.figures import Basis, Figure, Missing
from submeter.reporting.numbers import (
    MISSING,
    interval,
    mark,
    write,
    write_count,
    write_duration,
    write_instant,
)
from submeter.reporting.text import fill, fitted, plain

PAIRS: Final = (("prediction", "without", "with"), ("report", "efficient", "naive"))
_SOURCES: Final = "  sources: submeter factors KEY (keys in a wide terminal, and in --json)"
_SYMBOLS: Final = frozenset({"s", "MB"})
_SPARKS: Final = "▁▂▃▄▅▆▇█"
_MOST_SPARKS: Final = 32
_NAME: Final = 38
_HEAD: Final = ("task", "energy", "95 %", "power", "CPU time")
_LOADS: Final = ("its load", "use", "rounds", "varies", "next", "peak", "parallel")
_RIGHT: Final = (1, 2, 3, 4, 5, 6)


def everyday_words(found: Everyday, training: Training | None = None, width: int = 100) -> str:
    """Tables of everyday tasks, of the training beside them, and of what is published."""
    rows = costs(found)
    blocks = [
        _head(found, width),
        _tasks(rows, width),
        _loads(rows, paced(found), width),
        *([_beside(found, training, rows, width)] if training is not None else []),
        _ways(found, width),
        _published(training, width),
        _rooms(width),
        _notes(found, rows, width),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def everyday_document(found: Everyday, training: Training | None = None) -> dict[str, Any]:
    """The same in the words of the JSON."""
    rows = costs(found)
    quiet = quiet_words(rows)
    made: dict[str, Any] = {
        "run": found.run_id,
        "made_utc": found.made_utc,
        "machine": found.machine,
        "processors": found.processors,
        "quick": found.quick,
        "quiet": all(c.is_quiet for c in rows),
        "notes": [quiet] if quiet else [],
        "tasks": [_cost_words(c) for c in rows],
        "missing": found.missing,
        "versions": found.told,
        "paced": [_paced_words(p) for p in paced(found)],
        "added": [_added_words(a) for a in _pairs(found)],
        "published": [_thing_words(t, training) for t in elsewhere.things()],
        "rooms": [
            {"name": r.words, "kind": r.kind, "pue": r.pue.value, "low": r.pue.low,
             "high": r.pue.high, "source": r.pue.source, "year": r.pue.year, "key": r.pue.key}
            for r in elsewhere.rooms()
        ],
        "consolidated": _consolidated_words(),
    }  # fmt: skip
    if training is not None:
        made["training"] = _training_words(found, training, rows)
    return made


def arithmetic(found: Everyday) -> Iterator[str]:
    """Each figure as a sum that can be checked by hand."""
    for cost in costs(found):
        if isinstance(cost.each, Missing):
            continue
        rounds = found.of(cost.task, cost.way, "idle" if cost.task == IDLE else "one")
        parts = " + ".join(_joules(r.energy) for r in rounds)
        whole = f"{parts} = {cost.energy_j:.4g} J" if len(rounds) > 1 else parts
        per = f" × {write_count(cost.per)}" if cost.per != 1 else ""
        yield (
            f"{cost.words}: ({whole}) ÷ {_units(cost.units)} "
            f"{_several(cost.unit, cost.units)}{per} = "
            f"{write(cost.each.value, 'J', joules=True)}; "
            f"{cost.energy_j:.4g} J ÷ {cost.wall_s:.2f} s = {cost.power_w:.3g} W"
        )
        if isinstance(cost.scaling, Scaling):
            s = cost.scaling
            yield (
                f"{cost.words}: {s.speed_up:.3g} times the rate with {s.workers} workers, "
                f"p = (1 − 1 ÷ {s.speed_up:.3g}) ÷ (1 − 1 ÷ {s.workers}) = "
                f"{100 * s.parallel_ratio:.0f} % parallel"
            )
    for pair in _pairs(found):
        if isinstance(pair.added, Figure) and isinstance(pair.base.each, Figure):
            yield f"{WORDS[pair.task]}, added: {_difference(pair)}"
    for row in paced(found):
        if isinstance(row.each, Figure) and isinstance(row.full.each, Figure):
            yield (
                f"{row.full.words} at {100 * row.use_ratio:.0f} % of full load: "
                f"{write(row.each.value, 'J', joules=True)} ÷ "
                f"{write(row.full.each.value, 'J', joules=True)} = {row.more_ratio:.3g} times"
            )


def sparks(power_w: Sequence[float], highest_w: float) -> str:
    """Power over time as a line of blocks, a block's height its part of *highest_w*."""
    if not power_w or highest_w <= 0:
        return ""
    size = max(1, -(-len(power_w) // _MOST_SPARKS))
    means = [sum(power_w[i : i + size]) / len(power_w[i : i + size])
             for i in range(0, len(power_w), size)]  # fmt: skip
    top = len(_SPARKS) - 1
    return "".join(_SPARKS[min(top, max(0, round(top * m / highest_w)))] for m in means)


# --- inside -------------------------------------------------------------------------------------


def _head(found: Everyday, width: int) -> list[str]:
    quick = ", a quick look" if found.quick else ""
    words = (
        f"everyday computing on {plain(found.machine)}, {found.processors} processors, "
        f"{write_instant(found.made_utc)}{quick}: energy of the node for one of each"
    )
    return fill(words.split(), width)


def _tasks(rows: Sequence[Cost], width: int) -> list[str]:
    lines, _ = fitted([_HEAD, *(_line(c) for c in rows)], width, right=_RIGHT, spare=(4,))
    return lines


def _line(cost: Cost) -> tuple[str, ...]:
    return (
        plain(cost.words, width=_NAME),
        _energy(cost.each),
        interval(cost.each, joules=True),
        write(cost.power_w, "W", digits=2),
        MISSING if cost.task == IDLE else write(cost.cpu_s_each, "s", digits=2),
    )


def _loads(rows: Sequence[Cost], served: Sequence[Paced], width: int) -> list[str]:
    table = [_LOADS, *(_load_line(c) for c in rows), *(_paced_line(p) for p in served)]
    lines, _ = fitted(table, width, right=_RIGHT, spare=(5, 1))
    return lines


def _load_line(cost: Cost) -> tuple[str, ...]:
    return (
        plain(cost.words, width=_NAME),
        _percent(cost.use_ratio),
        _percent(cost.spread_ratio),
        *_load_cells(cost.load),
        _percent(cost.scaling.parallel_ratio) if isinstance(cost.scaling, Scaling) else MISSING,
    )


def _paced_line(row: Paced) -> tuple[str, ...]:
    words = f"{row.full.words}, as they come"
    own = row.full.use_ratio * row.use_ratio
    return (plain(words, width=_NAME), _percent(own), MISSING, *_load_cells(row.load), MISSING)


def _load_cells(load: LoadStats | Missing) -> tuple[str, str, str]:
    """How it varies, how much a slot is like the one before, and its peak."""
    if isinstance(load, Missing):
        return MISSING, MISSING, MISSING
    same = load.autocorrelation
    return (
        _percent(load.variation_ratio),
        MISSING if same is None else f"{same:+.1f}".replace("-", "−"),
        f"{load.peak_ratio:.2f}",
    )


def _beside(found: Everyday, training: Training, rows: Sequence[Cost], width: int) -> list[str]:
    head = f"the run {plain(training.name)}: {_energy(training.node)} at the node"
    if isinstance(training.node, Missing):
        return [head, f"  {training.node.why}"]
    load = training.load
    told = [f"{write_duration(training.duration_s)}"]
    if training.use_ratio is not None:
        told.append(f"{_percent(training.use_ratio)} in use")
    if isinstance(load, LoadStats):
        next_ratio = load.autocorrelation
        told += [
            f"{write(load.mean, 'W', digits=2)} on average",
            f"varies by {_percent(load.variation_ratio)}",
            f"peak {load.peak_ratio:.2f} times the mean",
        ]
        if next_ratio is not None:
            told.append(f"next slot alike {next_ratio:+.1f}".replace("-", "−"))
    lines = [*fill(f"{head}, {', '.join(told)}".split(), width), "as much as"]
    counted = [(c, equal(found, training, c)) for c in rows]
    known = [(c, n) for c, n in counted if isinstance(n, Figure)]
    counts = [(f"  {_count(n)}", "×", plain(c.words), interval(n)) for c, n in known]
    body, _ = fitted(counts, width, right=(0,), spare=(3,))
    profile = sparks(training.power_w, max(training.power_w, default=0.0))
    return [*lines, *body, *([f"  power {profile}"] if profile else [])]


def _ways(found: Everyday, width: int) -> list[str]:
    lines: list[str] = []
    for pair in _pairs(found):
        lines += fill(_pair_words(found, pair).split(), width)
    for row in paced(found):
        if isinstance(row.each, Figure):
            words = (
                f"{row.full.words} at {_percent(row.use_ratio)} of full load: "
                f"{_energy(row.each)}, {row.more_ratio:.2g} times as much as at full load: "
                "an idle machine is paid for by what it does"
            )
            lines += fill(words.split(), width)
    c = elsewhere.consolidated()
    words = (
        f"{c.machines} servers at {_percent(c.load_ratio)} of full load → {c.left}: "
        f"{_percent(c.saved_ratio)} less energy ({c.before_ratio:.2f} → {c.after_ratio:.2f} "
        f"servers' full power; idle {_percent(c.idle.value)} of it: {c.idle.source}, "
        f"{c.idle.year})"
    )
    return [*lines, *fill(words.split(), width)]


def _pair_words(found: Everyday, pair: Added) -> str:
    if isinstance(pair.added, Missing):
        return f"{WORDS[pair.task]}: {pair.added.why}"
    what = WORDS[pair.task]
    if pair.task == "prediction":
        rows = float(found.told.get("prediction", {}).get("rows", 0) or 0)
        each = f", {write(pair.added.value / rows, 'J', joules=True)} a row" if rows else ""
        return (
            f"{what}: a prediction for each row adds {_energy(pair.added)} "
            f"{interval(pair.added, joules=True)}{each}, {pair.ratio:.3g} times the query alone"
        )
    return (
        f"{what}: {WAYS[pair.more.way]} use {pair.ratio:.3g} times the energy of "
        f"{WAYS[pair.base.way]} that tells the same"
    )


def _published(training: Training | None, width: int) -> list[str]:
    whole = training.facility if training is not None else Missing("no run")
    lines: list[tuple[str, ...]] = []
    for thing in elsewhere.things():
        each = Figure(thing.each.value, thing.each.low, thing.each.high, "J",
                      basis_shares={Basis.DERIVED: 1.0})  # fmt: skip
        count = f"{_count(ratio_of(whole, each))} ×" if _known(whole) and isinstance(
            whole, Figure) else ""  # fmt: skip
        lines.append((f"  {count}", thing.words, write(each), interval(each), _key(thing.each)))
    body, _ = fitted(lines, width, right=(0, 2), spare=(4,))
    what = "the run at the wall is as much as" if _known(whole) else "published, for comparison"
    return [what, *body, _SOURCES]


def _key(row: Factor) -> str:
    """Year and key of a row, by which ``submeter factors`` tells its source."""
    return f"{row.year}  {row.key}"


def _known(figure: Figure | Missing) -> bool:
    return isinstance(figure, Figure) and figure.value > 0 and figure.low > 0


def _rooms(width: int) -> list[str]:
    rows = [
        (f"  {r.kind}", r.words, f"{r.pue.value:.2f}", f"({r.pue.low:.2f} – {r.pue.high:.2f})",
         _key(r.pue))
        for r in elsewhere.rooms()
    ]  # fmt: skip
    body, _ = fitted(rows, width, right=(2,), spare=(4,))
    words = (
        f"Often claimed: “{elsewhere.ROOMS_CLAIM}” The figures above say so of a room that nobody "
        "cools, and of no other  → submeter claim " + elsewhere.ROOMS_ID
    )
    head = "energy of the facility over that of its machines (PUE)"
    return [head, *body, _SOURCES, *fill(words.split(), width)]


def _notes(found: Everyday, rows: Sequence[Cost], width: int) -> list[str]:
    lines = [f"not run: {WORDS.get(key, key)}: {plain(why)}" for key, why in found.missing.items()]
    quiet = quiet_words(rows)
    if quiet:
        lines.append(quiet)
    words = (
        "rounds: highest less lowest joules over their mean; use: processors in use, of all; its "
        "load in slots of a quarter of a second: varies: standard deviation over mean; next: how "
        "much a slot is like the one before (+1 just like it); peak: over mean; parallel: part "
        "of the work that workers share (Amdahl)"
    )
    return [out for line in (*lines, words) for out in fill(line.split(), width)]


def _pairs(found: Everyday) -> list[Added]:
    made = (added(found, *pair) for pair in PAIRS)
    return [row for row in made if row is not None]


def _difference(pair: Added) -> str:
    more, base = pair.more.each, pair.base.each
    if isinstance(more, Missing) or isinstance(base, Missing) or isinstance(pair.added, Missing):
        return MISSING
    a, b, c = (write(f.value, "J", joules=True) for f in (more, base, pair.added))
    return f"{a} − {b} = {c} a {pair.more.unit}, {pair.ratio:.3g} times"


def _energy(figure: Figure | Missing) -> str:
    return f"{write(figure, joules=True)}{mark(figure)}"


def _count(number: Figure) -> str:
    value = number.value
    return write_count(float(f"{value:.2g}")) if value >= 1 else f"{value:.2g}"


def _percent(ratio: float | None) -> str:
    if ratio is None or ratio != ratio:  # noqa: PLR0124  # no number
        return MISSING
    percent = 100 * ratio
    return f"{percent:.0f} %" if percent >= 1 or percent == 0 else f"{percent:.1g} %"


def _units(units: float) -> str:
    return write_count(units) if units == round(units) else f"{units:.4g}"


def _several(unit: str, units: float) -> str:
    if units == 1 or unit in _SYMBOLS:
        return unit
    return f"{unit[:-1]}ies" if unit.endswith("y") else f"{unit}s"


def _joules(energy: object) -> str:
    value = getattr(energy, "value", None)
    return MISSING if value is None else f"{value:.4g} J"


def _figure_words(figure: Figure | Missing) -> dict[str, Any]:
    return {"missing": figure.why} if isinstance(figure, Missing) else figure.to_dict()


def _load_words(load: LoadStats | Missing, of: str = "processors") -> dict[str, Any]:
    if isinstance(load, Missing):
        return {"missing": load.why}
    same: float | dict[str, str] = {"missing": "a constant load"}
    if load.autocorrelation is not None:
        same = load.autocorrelation
    return {
        "of": of, "mean": load.mean, "variation_ratio": load.variation_ratio,
        "autocorrelation": same, "peak_ratio": load.peak_ratio, "slot_s": load.slot_s,
        "slots": load.slots,
    }  # fmt: skip


def _cost_words(cost: Cost) -> dict[str, Any]:
    scaled: dict[str, Any] = (
        {"missing": cost.scaling.why} if isinstance(cost.scaling, Missing)
        else {"workers": cost.scaling.workers, "speed_up": cost.scaling.speed_up,
              "parallel_ratio": cost.scaling.parallel_ratio}
    )  # fmt: skip
    rounds: Any = cost.spread_ratio
    if rounds is None:
        rounds = {"missing": "one round only"}
    return {
        "task": cost.task, "way": cost.way, "name": cost.words, "unit": cost.unit,
        "units": cost.units, "told_per": cost.per, "energy": _figure_words(cost.each),
        "rounds_j": list(cost.rounds_j), "spread_ratio": rounds, "power_w": cost.power_w,
        "use_ratio": cost.use_ratio, "cpu_s": cost.cpu_s_each, "wall_s": cost.wall_s,
        "others_ratio": cost.others_ratio, "stolen_ratio": cost.stolen_ratio,
        "quiet": cost.is_quiet, "load": _load_words(cost.load), "scaling": scaled,
    }  # fmt: skip


def _paced_words(row: Paced) -> dict[str, Any]:
    return {
        "task": row.task, "use_ratio": row.use_ratio, "energy": _figure_words(row.each),
        "more_ratio": row.more_ratio, "load": _load_words(row.load),
    }  # fmt: skip


def _added_words(row: Added) -> dict[str, Any]:
    return {
        "task": row.task, "base": row.base.way, "more": row.more.way,
        "energy": _figure_words(row.added), "ratio": row.ratio,
    }  # fmt: skip


def _thing_words(thing: elsewhere.Thing, training: Training | None) -> dict[str, Any]:
    each = thing.each
    made: dict[str, Any] = {
        "name": thing.words, "energy_j": each.value, "low_j": each.low, "high_j": each.high,
        "source": each.source, "year": each.year, "verified": each.verified, "key": each.key,
    }  # fmt: skip
    if (
        training is not None
        and _known(training.facility)
        and isinstance(training.facility, Figure)
    ):
        one = Figure(each.value, each.low, each.high, "J", basis_shares={Basis.DERIVED: 1.0})
        made["of_run"] = ratio_of(training.facility, one).to_dict()
    return made


def _consolidated_words() -> dict[str, Any]:
    c = elsewhere.consolidated()
    return {
        "machines": c.machines, "load_ratio": c.load_ratio, "left": c.left,
        "before_ratio": c.before_ratio, "after_ratio": c.after_ratio,
        "saved_ratio": c.saved_ratio, "source": c.idle.source, "key": c.idle.key,
    }  # fmt: skip


def _training_words(found: Everyday, training: Training, rows: Sequence[Cost]) -> dict[str, Any]:
    equals = [
        {"task": c.task, "way": c.way, "count": _figure_words(equal(found, training, c))}
        for c in rows
    ]
    return {
        "name": training.name, "energy_node": _figure_words(training.node),
        "energy_facility": _figure_words(training.facility), "duration_s": training.duration_s,
        "load": _load_words(training.load, "power_w"), "equals": equals,
    }  # fmt: skip
