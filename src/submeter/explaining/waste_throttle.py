# SPDX-License-Identifier: Apache-2.0
"""Boards that hold their clocks back for heat: the same work at more joules a step."""

import math
from itertools import pairwise
from typing import Final

from submeter.explaining.waste_book import Claim, Silence
from submeter.explaining.waste_case import Case, percent, rule

_CAUSES: Final = ("thermal", "brake")  # a power limit is somebody's choice, and mostly saves
_HELD: Final = 0.5  # of a slot
_FEW: Final = 5  # slots on either side that can be compared
_PLAIN: Final = ("waiting for data", "checkpoint", "evaluation", "compile")


def throttled(case: Case) -> Claim | Silence:
    """What steps took more while a board was held back than they did before or after."""
    key = "throttle"
    held = [False for _ in case.slots]
    power, told = False, False
    for board in case.boards:
        course = case.course(board.device.id)
        rows = {} if course is None else course.throttled_ratio
        told = told or bool(course and (rows or course.clock_hz))
        power = power or any(r and r >= _HELD for r in rows.get("power", ()))
        for cause in _CAUSES:
            for i, r in enumerate(rows.get(cause, ())):
                held[i] = held[i] or (r is not None and r >= _HELD)
    if not told:
        return Silence(key, "no board says whether it holds its clocks back")
    held = _spread(case, held)
    ratio = math.fsum(n for n, h in zip(case.lengths_s, held, strict=True) if h)
    ratio /= max(case.run.duration_s, 1e-9)
    if ratio < rule("throttle-ratio").value:
        words = (
            "a power limit held its clocks back, which is no waste"
            if power
            else ("its boards were not held back by heat")
        )
        return Silence(key, words)
    more = _more_per_step(case, held)
    if more is None:
        return Silence(key, f"held back for {percent(ratio)} of the time, but nothing to compare")
    if more <= 0:
        return Silence(key, "held back by heat, it took no more joules a step")
    return Claim(
        key=key, name="throttled", cells=case.part([more if h else 0.0 for h in held]),
        why=f"boards held their clocks back for heat in {percent(ratio)} of the time; a step took "
        f"{percent(1 / (1 - more) - 1)} more energy than before",
        detail={"throttled_ratio": ratio, "more_per_step_ratio": 1 / (1 - more) - 1},
        places=tuple(b.device.id for b in case.boards),
    )  # fmt: skip


def _spread(case: Case, held: list[bool]) -> list[bool]:
    """*held*, between two readings that say so also where none was made."""
    known = [
        i for i in case.slots
        if any((c := case.course(b.device.id)) and any(
            i < len(r) and r[i] is not None for r in c.throttled_ratio.values())
            for b in case.boards)
    ]  # fmt: skip
    out, last, place = list(held), False, 0
    seen = set(known)
    for place in case.slots:
        if place in seen:
            last = held[place]
        out[place] = last
    return out


def _more_per_step(case: Case, held: list[bool]) -> float | None:
    """Part of the energy of held slots that their steps would not have taken else [1]."""
    steps = _steps(case)
    energy = [math.fsum(row[i] for row in case.cells.values()) for i in case.slots]
    plain = [math.fsum(case.wall_s(s)[i] for s in _PLAIN) for i in case.slots] if steps else []
    ends: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for i in case.slots:
        if steps and steps[i] > 0 and plain[i] <= 0.1 * case.lengths_s[i]:
            ends[held[i]].append((energy[i], steps[i]))
    if min(len(ends[True]), len(ends[False])) >= _FEW:
        each = {
            h: math.fsum(e for e, _ in r) / math.fsum(s for _, s in r) for h, r in ends.items()
        }
        return 1 - each[False] / each[True]
    return _by_clocks(case, held, energy)


def _by_clocks(case: Case, held: list[bool], energy: list[float]) -> float | None:
    """The same by clocks, where no steps were logged: work goes with the clock."""
    rates: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for board in case.boards:
        course = case.course(board.device.id)
        for i, hz in enumerate(() if course is None else course.clock_hz):
            if hz:
                rates[held[i]].append((energy[i] / case.lengths_s[i], hz))
    if not rates[True] or not rates[False]:
        return None
    power = {h: math.fsum(p for p, _ in r) / len(r) for h, r in rates.items()}
    clock = {h: math.fsum(c for _, c in r) / len(r) for h, r in rates.items()}
    return 1 - power[False] / power[True] * clock[True] / clock[False]


def _steps(case: Case) -> list[float]:
    """Work done in each slot, straight between the points at which it was logged."""
    points = [(p.elapsed_s, p.totals) for p in case.seen.work if p.totals]
    unit = next((u for u in ("steps", "samples", "tokens") if points and u in points[-1][1]), "")
    rows = [(t, totals.get(unit, 0.0)) for t, totals in points]
    if not unit:
        rows = [(p.elapsed_s, float(p.step)) for p in case.seen.metrics if p.step is not None]
    if len(rows) < _FEW:
        return []
    out = [0.0 for _ in case.slots]
    for (a_s, a), (b_s, b) in pairwise(rows):
        if b_s <= a_s or b <= a:
            continue
        slot_s = case.seen.slot_s
        for i in range(int(a_s / slot_s), min(len(out) - 1, int(b_s / slot_s)) + 1):
            inside = min(b_s, (i + 1) * slot_s) - max(a_s, i * slot_s)
            out[i] += (b - a) * max(0.0, inside) / (b_s - a_s)
    return out
