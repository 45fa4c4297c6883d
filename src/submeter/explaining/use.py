# SPDX-License-Identifier: Apache-2.0
"""What a run's joules were turned into: operations, samples, points of quality.

Operations are those of the model (an addition and a multiplication are two), as logged or given;
the peak is the catalog's. What is not known stays missing.
"""

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from submeter.errors import SubmeterError
from submeter.estimating.machines import Machine, machine_of, precision_of
from submeter.records.amounts import Amount
from submeter.records.devices import DeviceKind
from submeter.records.explanations import CurvePoint, Use
from submeter.records.factors import Factor
from submeter.records.figures import Basis, Figure, Missing
from submeter.records.footprints import Footprint
from submeter.records.runs import MetricPoint, Run

UNITS: Final = {"samples": "sample", "tokens": "token", "steps": "step"}
LAST_PART: Final = 0.01  # of the way from the first value to the best
_TOTAL: Final = frozenset({"flop", "total_flop", "flops", "total_flops", "model_flop"})
_PER: Final = re.compile(r"(?:model_)?(flops?|bytes)_per_(sample|token|step)")
# Qualities that people log, the surest first: of data that were not trained on, then any.
_QUALITY: Final = re.compile(
    r"acc|f1|auc|bleu|rouge|score|map$|iou|recall|precision|reward|r2$", re.IGNORECASE
)
_LOSS: Final = re.compile(r"loss|error|err$|perplexity|ppl|mse|mae|rmse|cer$|wer$", re.IGNORECASE)
_HELD_OUT: Final = re.compile(r"val|test|eval|dev", re.IGNORECASE)
_POINTS: Final = re.compile(r"acc|precision|recall|f1|auc", re.IGNORECASE)
_PRECISIONS: Final = ("precision", "dtype", "amp", "mixed_precision")
_POINT: Final = 100.0  # points that make one


class Work(NamedTuple):
    """Operations and bytes of the model per unit of work, where somebody told them."""

    flop_per: Mapping[str, float] = {}  # per sample, token or step
    bytes_per: Mapping[str, float] = {}
    how: str = "given"


def use_of(run: Run, footprint: Footprint, work: Work | None = None) -> Use:
    """What *run* made of its energy.

    Parameters
    ----------
    run
        A settled run: its logged work, metrics and parameters.
    footprint
        Its energy at the boundaries.
    work
        Operations and bytes per unit of work; else what the run logged as ``flop_per_sample``,
        ``flop_per_token``, ``flop_per_step`` or ``flop`` (all of it) counts.

    References
    ----------
    .. [1] Chowdhery, A. et al. (2022), PaLM, appendix B: model FLOP utilisation.
    .. [2] Williams, S., Waterman, A. and Patterson, D. (2009), Roofline, CACM 52 (4).
    """
    notes: list[str] = []
    flop, how = _amount(run, "flop", work)
    machine, precision = _machine(run, notes)
    found = _rates(run, flop, how, machine, precision, _amount(run, "bytes", work)[0])
    whole = footprint.facility
    per, points = {}, {}
    if isinstance(whole, Amount):
        done = {UNITS[k]: v for k, v in run.work.items() if k in UNITS and v > 0}
        if isinstance(flop, float):
            done["FLOP"] = flop
        per = {unit: whole.scaled(1 / n).figure(f"J per {unit}") for unit, n in done.items()}
        points = {
            name: whole.scaled(1 / n).figure("J per point") for name, n in _points(run).items()
        }
    metric, higher = quality_of(run)
    curve = _curve(run, metric, whole)
    last, ratio = _last(curve, whole, higher=higher)
    return Use(
        operations=flop,
        operations_how=how,
        achieved_flop_per_s=found.achieved,
        peak=found.peak,
        utilisation=found.utilisation,
        possible=found.possible,
        per=per,
        metric=metric,
        higher_is_better=higher,
        curve=curve,
        last_percent=last,
        last_percent_ratio=ratio,
        per_point=points,
        notes=tuple(notes),
    )


# -- operations and rates ----------------------------------------------------------------------


def _amount(run: Run, what: str, work: Work | None) -> tuple[float | Missing, str]:
    """All operations (or bytes) of the run, and how they are known."""
    given: Mapping[str, float] = {}
    if work is not None:
        given = work.flop_per if what == "flop" else work.bytes_per
    for unit, each in given.items():
        done = run.work.get(f"{unit}s", 0.0)
        if done > 0:
            return each * done, f"{work.how if work else ''}, {each:.3g} per {unit}"
    logged = _numbers(run)
    for name, value in logged.items():
        match = _PER.fullmatch(name)
        if match is None or not match[1].startswith(what):
            continue
        done = run.work.get(f"{match[2]}s", 0.0)
        if done > 0 and value > 0:
            return value * done, f"logged, {value:.3g} per {match[2]}"
    if what == "flop":
        for name in _TOTAL & logged.keys():
            if logged[name] > 0:
                return logged[name], "logged"
    return Missing(f"no {what}_per_sample, _token or _step was logged"), ""


def _numbers(run: Run) -> dict[str, float]:
    found = dict(run.metrics)
    for name, words in run.parameters.items():
        try:
            found.setdefault(name, float(words))
        except ValueError:
            continue
    return {k: v for k, v in found.items() if math.isfinite(v)}


def _machine(run: Run, notes: list[str]) -> tuple[Machine | Missing, str]:
    """Boards of the run as the catalog knows them, and the precision that their peak is of."""
    kind = next(
        (
            k
            for k in (DeviceKind.GPU, DeviceKind.CPU)
            if any(d.device.kind is k for d in run.devices)
        ),
        None,
    )
    names = [d.device.name for d in run.devices if d.device.kind is kind]
    if kind is None or not names:
        return Missing("no board or processor is in the run"), ""
    if len(set(names)) > 1:
        return Missing("its boards are of several kinds"), ""
    words = names[0].replace(":", " ").replace(",", " ")
    if kind is DeviceKind.CPU:
        words = f"cpu {words}"
    try:
        machine = machine_of(f"{words}:{len(names)}")
        precision, logged = _precision(run, kind)
        taken = machine.runs_in(precision)
    except SubmeterError as exc:
        return Missing(str(exc)), ""
    if not logged:
        notes.append(f"no precision was logged: the peak is that in {taken}")
    notes.extend(machine.notes if kind is DeviceKind.GPU else ())
    return machine, precision


def _precision(run: Run, kind: DeviceKind) -> tuple[str, bool]:
    for name in _PRECISIONS:
        words = run.parameters.get(name, "").removeprefix("torch.")
        try:
            if words:
                return precision_of(words), True
        except SubmeterError:
            continue
    return ("bf16" if kind is DeviceKind.GPU else "fp32"), False


class _Rates(NamedTuple):
    achieved: float | Missing
    peak: Figure | Missing
    utilisation: Figure | Missing
    possible: Figure | Missing


def _rates(
    run: Run,
    flop: float | Missing,
    how: str,
    machine: Machine | Missing,
    precision: str,
    moved: float | Missing,
) -> _Rates:
    achieved: float | Missing = flop if isinstance(flop, Missing) else Missing("it took no time")
    if isinstance(flop, float) and run.duration_s > 0:
        achieved = flop / run.duration_s
    if isinstance(machine, Missing):
        return _Rates(achieved, machine, machine, machine)
    one = machine.peak_flop_per_s(precision)
    peak = one.scaled(machine.count, "FLOP/s")
    shown = _shown(peak)
    if isinstance(achieved, Missing):
        return _Rates(achieved, shown, achieved, achieved)
    utilisation = _part(achieved, peak, how)
    if isinstance(moved, Missing) or not isinstance(flop, float) or moved <= 0:
        why = moved if isinstance(moved, Missing) else Missing("no bytes were moved")
        return _Rates(achieved, shown, utilisation, why)
    memory = machine.memory_bandwidth.scaled(machine.count * flop / moved, "FLOP/s")
    roof = min(peak, memory, key=lambda f: f.value)
    return _Rates(achieved, shown, utilisation, _part(achieved, roof, how))


def _shown(factor: Factor) -> Figure:
    basis = Basis.ASSUMED if factor.verified == "assumed" else Basis.DERIVED
    return Figure(
        factor.value, factor.low, factor.high, factor.unit, source=factor.source,
        basis_shares={basis: 1.0},
    )  # fmt: skip


def _part(achieved: float, roof: Factor, how: str) -> Figure:
    """*achieved* over *roof*, with the doubt of the roof [1]."""
    shown = _shown(roof)
    return Figure(
        achieved / roof.value, achieved / roof.high, achieved / roof.low, "1",
        source="; ".join(filter(None, (how, roof.source))), basis_shares=shown.basis_shares,
    )  # fmt: skip


# -- quality -----------------------------------------------------------------------------------


def quality_of(run: Run) -> tuple[str, bool]:
    """Name of the metric that says how good the model was, and whether more of it is better.

    A quality of data that were not trained on goes before any other, a quality before a loss.
    """
    counts: dict[str, int] = {}
    for point in run.metric_history:
        for name in point.values:
            counts[name] = counts.get(name, 0) + 1
    for name in run.metrics:
        counts.setdefault(name, 1)
    ranked = []
    for name, count in counts.items():
        good, bad = bool(_QUALITY.search(name)), bool(_LOSS.search(name))
        if good or bad:
            ranked.append((not bad, bool(_HELD_OUT.search(name)), count > 1, name))
    if not ranked:
        return "", True
    ranked.sort(key=lambda row: (row[0], row[1], row[2]), reverse=True)
    return ranked[0][3], ranked[0][0]


def _points(run: Run) -> dict[str, float]:
    """Points of each quality at the end: hundredths, or the number itself where it is per cent."""
    found = {}
    for name, value in run.metrics.items():
        if _POINTS.search(name) and not _LOSS.search(name) and 0 < value <= _POINT:
            found[name] = value * _POINT if value <= 1 else value
    return found


def spent_until(run: Run, elapsed_s: Sequence[float], whole_j: float) -> list[float]:
    """Energy that was spent until each instant [J], of *whole_j* in all, by the run's own series.

    Without a series it is spent evenly.
    """
    series = run.series
    rows = [] if series is None else list(series.devices.values())
    length = max(map(len, rows), default=0)
    steps = [math.fsum(r[i] for r in rows if i < len(r)) for i in range(length)]
    if series is None or series.slot_s <= 0 or math.fsum(steps) <= 0:
        return [whole_j * min(1.0, max(0.0, t / max(run.duration_s, 1e-9))) for t in elapsed_s]
    sums = [0.0]
    for step in steps:
        sums.append(sums[-1] + step)
    ends = [min((i + 1) * series.slot_s, max(run.duration_s, i * series.slot_s))
            for i in range(length)]  # fmt: skip
    found = []
    for t in elapsed_s:
        place = min(int(max(t, 0.0) / series.slot_s), length - 1)
        span_s = max(ends[place] - place * series.slot_s, 1e-9)
        part = min(1.0, max(0.0, (t - place * series.slot_s) / span_s))
        found.append((sums[place] + part * steps[place]) / sums[-1] * whole_j)
    return found


def _curve(run: Run, metric: str, whole: Amount | Missing) -> tuple[CurvePoint, ...]:
    points: list[MetricPoint] = [p for p in run.metric_history if metric in p.values]
    if not points or isinstance(whole, Missing):
        return ()
    spent = spent_until(run, [p.elapsed_s for p in points], whole.value)
    return tuple(
        CurvePoint(p.elapsed_s, energy_j, p.values[metric], p.step)
        for p, energy_j in zip(points, spent, strict=True)
    )


def _last(
    curve: Sequence[CurvePoint], whole: Amount | Missing, *, higher: bool
) -> tuple[Figure | Missing, float | Missing]:
    """Energy of the last hundredth of the way from the first value to the best, and its part."""
    if isinstance(whole, Missing):
        return whole, whole
    if not curve:
        none = Missing("no quality was logged")
        return none, none
    best = (max if higher else min)(curve, key=lambda p: p.value)
    first = curve[0]
    way = best.value - first.value
    if len(curve) < 2 or way == 0:  # noqa: PLR2004  # a way has two ends
        flat = Missing("the quality that was logged did not get better")
        return flat, flat
    nearly = first.value + (1 - LAST_PART) * way
    begin_j = _reached(curve, nearly, higher=higher)
    ratio = max(0.0, best.energy_j - begin_j) / whole.value if whole.value > 0 else 0.0
    return whole.scaled(ratio).figure("J"), ratio


def _reached(curve: Sequence[CurvePoint], value: float, *, higher: bool) -> float:
    """Energy at which the curve first crosses *value*, straight between its points [J]."""
    for a, b in pairwise(curve):
        if (b.value >= value) if higher else (b.value <= value):
            part = (value - a.value) / (b.value - a.value) if b.value != a.value else 1.0
            return a.energy_j + min(1.0, max(0.0, part)) * (b.energy_j - a.energy_j)
    return curve[-1].energy_j
