# SPDX-License-Identifier: Apache-2.0
"""What is left of a training that has begun: from its logged steps to the whole, with an interval.

Pure arithmetic on three things: instants at which steps were logged, a cumulative amount over
time (seconds, joules, CPU seconds), and stretches of time spent in phases. The same functions
serve a probe, which saw the first half minute, and a forecast inside a running job.

A training is taken to be a start, steps whose cost settles and then drifts slowly, and pauses
that come back (evaluation, checkpoints): ``whole = start + steps x cost + pauses x cost``.
"""

import bisect
import math
import statistics
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from submeter.estimating.courses import Course, Interval, Mark, Stretch, intervals, taken
from submeter.estimating.steady import FEW_RATIO, LEAST_INTERVALS, Steady
from submeter.records.figures import Missing

# Deviation of the cost of a step by a drift while the number of steps grows by e, and of the
# drift itself from then on: fitted and checked by benchmarks/probing.py, see docs/probing.md.
DRIFT_RATIO: Final = 0.015
CHANGE_RATIO: Final = 0.007
# Deviation of the mean cost of what is to come, on processors that others share unseen: fitted by
# `python -m benchmarks.probing --fit-here` on real trainings.
NEIGHBOURS_RATIO: Final = 0.08
# Evaluation and checkpoints that no one has seen yet: the priors of `overheads`, a hundredth of
# the steps each and five times as much or as little; most trainings pause ten times or more.
UNSEEN_RATIO: Final = 0.01
UNSEEN_LOG_SD: Final = math.log(5) / 1.96
USUAL_KINDS: Final = 2
SEEN_BY: Final = 0.1
# What a program does behind its last step over what it did before its first one: an assumption.
END_RATIO: Final = 0.2
_EVEN: Final = 0.25  # gaps that differ by less than this part are a period
_RARE: Final = 0.5  # of the intervals; a phase in more of them belongs to the step
_STALL_MADS: Final = 8.0
_MAD_TO_SD: Final = 1.4826
STALL: Final = "stall"  # a pause without a name
_NORMAL_95: Final = 1.645


class Pause(msgspec.Struct, frozen=True):
    """Something that comes back between the steps, such as an evaluation.

    ``every`` is the number of steps from one to the next, None if there is no such rhythm;
    ``cost`` what one takes beyond the steps around it; ``left`` how many are still to come.
    """

    name: str
    seen: int
    every: float | None
    cost: float
    left: float


class Outlook(msgspec.Struct, frozen=True):
    """What a training will have used at its end, in the unit of its course.

    ``value`` is the whole, of which ``spent`` is known. ``sds`` are standard deviations of the
    rest by source: ``steps``, ``drift``, ``pauses``, ``unseen``, ``end``. ``per_step`` is the
    steady cost, ``trend_ratio`` its change while the steps double, ``settled_after`` the steps
    that were left out as a warm-up.
    """

    value: float
    spent: float
    done: float
    total: float
    per_step: float
    sds: dict[str, float]
    trend_ratio: float = 0.0
    settled_after: float = 0.0
    pauses: tuple[Pause, ...] = ()

    @property
    def left(self) -> float:
        """What is still to come."""
        return self.value - self.spent

    @property
    def sd(self) -> float:
        """Standard deviation of what is still to come."""
        return math.hypot(*self.sds.values())

    def interval(self, places: float = _NORMAL_95) -> tuple[float, float]:
        """Ends of the whole, *places* deviations away in the log domain of what is left.

        Notes
        -----
        ``spent + left * exp(-+ places * s)`` with ``s^2 = ln(1 + (sd / left)^2)``: never below
        what is spent.
        """
        if self.left <= 0:
            return self.value, self.value
        log_sd = math.sqrt(math.log1p((self.sd / self.left) ** 2))
        far = math.exp(places * log_sd)
        return self.spent + self.left / far, self.spent + self.left * far


def outlook(
    marks: Sequence[Mark],
    course: Course,
    total: float,
    stretches: Iterable[Stretch] = (),
    *,
    drift_ratio: float = DRIFT_RATIO,
    change_ratio: float = CHANGE_RATIO,
    neighbours_ratio: float = 0.0,
) -> Outlook | Missing:
    """Whole amount of a training of *total* steps that was seen as far as *course* reaches.

    Parameters
    ----------
    marks
        Logged steps in order of time.
    course
        What was used over time.
    stretches
        Time in phases; those that steps do not enter are pauses.
    drift_ratio, change_ratio
        Spread of drifts, and of what becomes of them; for fitting both.
    neighbours_ratio
        Deviation of the mean cost of what is to come by neighbours on the same processors, who
        come and go unseen: `NEIGHBOURS_RATIO` in a virtual machine that has no board of its own.

    Returns
    -------
    Outlook or Missing
        Missing with the reason where the steps do not suffice.

    Notes
    -----
    The warm-up is cut off where the marginal standard error of the rest is least [1]_. What a
    step costs is a line in the logarithm of the number of steps, ``y = a + b ln n``, whose slope
    has a normal prior with the spread of drifts, and may change from now on; so a drift that was
    seen goes on ever more slowly, and one that was not has its place in the interval. Pauses go
    on in their rhythm, or as often as before if they have none.

    References
    ----------
    .. [1] White (1997), An effective truncation heuristic for bias reduction in simulation
       output. Simulation 69(6), 323-334.
    """
    known = [mark for mark in marks if mark.t_s <= course.end_s]
    parts = intervals(known)
    if len(parts) < LEAST_INTERVALS:
        return Missing(f"{len(known)} logged steps are too few to tell a steady one")
    last = known[-1]
    spent = course.totals[-1]
    ahead = max(0.0, total - last.done)
    parts = with_pauses(parts, list(stretches))
    steady = Steady(parts, course, drift_ratio, change_ratio)
    pauses, pauses_sd = _pauses(parts, course, steady, total)
    unseen = ahead * steady.rate * _unseen_ratio(len(pauses), last.done / max(total, last.done))
    end = END_RATIO * max(0.0, course.at(known[0].t_s) - steady.rate * known[0].done)
    rest = ahead * steady.ahead(last.done, total) + sum(p.left * p.cost for p in pauses)
    # what happened since the last logged step is part of the steps and pauses that are to come
    value = max(course.at(last.t_s) + rest + unseen + end, spent)
    sds = {
        "steps": ahead * steady.noise_sd(ahead),
        "drift": ahead * steady.drift_sd(last.done, total),
        "pauses": pauses_sd,
        "unseen": unseen * math.sqrt(math.expm1(UNSEEN_LOG_SD**2)),
        "end": end,
    }
    if neighbours_ratio > 0:
        sds["neighbours"] = neighbours_ratio * ahead * steady.rate
    return Outlook(
        value=value,
        spent=spent,
        done=last.done,
        total=total,
        per_step=steady.rate,
        sds=sds,
        trend_ratio=steady.slope * math.log(2) / steady.rate if steady.rate > 0 else 0.0,
        settled_after=steady.settled_after,
        pauses=pauses,
    )


# --- pauses -------------------------------------------------------------------------------------


def with_pauses(parts: Sequence[Interval], stretches: Sequence[Stretch]) -> list[Interval]:
    """*parts* with the pause that each holds: a phase that is rare, or a stall without a name."""
    named = _by_phase(parts, stretches)
    rest = [part for part, kind in zip(parts, named, strict=True) if not kind]
    stalled = _stalled(rest)
    return [
        part._replace(kind=kind or (STALL if part in stalled else ""))
        for part, kind in zip(parts, named, strict=True)
    ]


def _by_phase(parts: Sequence[Interval], stretches: Sequence[Stretch]) -> list[str]:
    """Name of the rare phase that took most of each part's time, "" where there is none."""
    starts = [part.start_s for part in parts]
    often: dict[str, set[int]] = {}
    mostly: list[tuple[str, int, float]] = []  # each stretch in the part that holds most of it
    for path, start_s, end_s in stretches:
        i = max(0, bisect.bisect_right(starts, start_s) - 1)
        lengths: dict[int, float] = {}
        while i < len(parts) and parts[i].start_s < end_s:
            length_s = min(end_s, parts[i].end_s) - max(start_s, parts[i].start_s)
            if length_s > 0:
                lengths[i] = length_s
            i += 1
        often.setdefault(path, set()).update(lengths)
        if lengths:
            most = max(lengths, key=lengths.__getitem__)
            mostly.append((path, most, lengths[most]))
    usual = {path for path, found in often.items() if len(found) > _RARE * len(parts)}
    sums: list[dict[str, float]] = [{} for _ in parts]
    for path, i, length_s in mostly if usual else ():  # else none belongs to the steps
        if path not in usual:
            name = _apart(path, usual)
            sums[i][name] = sums[i].get(name, 0.0) + length_s
    return [max(row, key=row.__getitem__, default="") for row in sums]


def _apart(path: str, usual: set[str]) -> str:
    """Shortest beginning of *path* that no usual path is or lies below."""
    names = path.split("/")
    for n in range(1, len(names)):
        head = "/".join(names[:n])
        if not any(u == head or u.startswith(f"{head}/") for u in usual):
            return head
    return path


def _stalled(parts: Sequence[Interval]) -> set[Interval]:
    """Those of *parts* that took far longer than their steps usually do."""
    if len(parts) < LEAST_INTERVALS:
        return set()
    usual_s = statistics.median((p.end_s - p.start_s) / p.steps for p in parts)
    beyond_s = [p.end_s - p.start_s - usual_s * p.steps for p in parts]
    middle_s = statistics.median(beyond_s)
    spread_s = _MAD_TO_SD * statistics.median(abs(b - middle_s) for b in beyond_s)
    found = {
        p
        for p, beyond in zip(parts, beyond_s, strict=True)
        if beyond > max(_STALL_MADS * spread_s, 2 * usual_s * min(1.0, p.steps))
    }
    return found if len(found) < _RARE * len(parts) else set()


def _pauses(
    parts: Sequence[Interval], course: Course, steady: "Steady", total: float
) -> tuple[tuple[Pause, ...], float]:
    """Each kind of pause with what is left of it, and the deviation of what all will take."""
    found: list[Pause] = []
    variance = 0.0
    first, last = parts[0].done - parts[0].steps, parts[-1].done
    for kind in dict.fromkeys(p.kind for p in parts if p.kind):
        rows = [p for p in parts if p.kind == kind]
        costs = [max(0.0, taken(p, course) - steady.rate * p.steps) for p in rows]
        places = [p.done for p in rows if p.done > 1.5]  # noqa: PLR2004  # at step 1: a start
        every, left, left_sd = _rhythm(places, first, last, total, named=kind != STALL)
        cost = statistics.fmean(costs)
        spread = statistics.stdev(costs) if len(costs) > 1 else FEW_RATIO * cost
        found.append(Pause(kind, len(rows), every, cost, left))
        variance += (left * spread) ** 2 / len(rows) + left * spread**2 + (left_sd * cost) ** 2
    return tuple(found), math.sqrt(variance)


def _rhythm(
    places: Sequence[float], first: float, last: float, total: float, *, named: bool
) -> tuple[float | None, float, float]:
    """Period of pauses that were seen after so many steps, how many are left, its deviation.

    Without a rhythm they go on as often as they were seen; what has no name and did not come
    again in time was part of the start.
    """
    if not places or total <= last:
        return None, 0.0, 0.0
    gaps = [b - a for a, b in pairwise(places)]
    reach = places[0] - (first if first > 1 else 0.0)  # it goes on from a checkpoint
    even = statistics.median(gaps) if gaps else reach
    off = [abs(gap - even) for gap in gaps]
    if len(gaps) == 1:  # two kinds without names may look like one: both are told by the first
        off = [abs(gaps[0] - reach)]
    silent = last - places[-1] > (1 + 2 * _EVEN) * max(even, *gaps, 0.0) + 1
    early = places[-1] - first <= _RARE * (last - first)
    if silent and early and not named:
        return None, 0.0, 0.0
    if not silent and not gaps:
        left = (total - last) / even
        return even, left, FEW_RATIO * left
    if not silent and max(off) <= _EVEN * even:
        return even, math.floor((total - places[-1]) / even + 1e-6), 0.5
    rate = len(places) / (last - first)
    left = rate * (total - last)
    return None, left, math.sqrt(left) + left / math.sqrt(len(places))


def _unseen_ratio(kinds: int, part: float) -> float:
    """What pauses that nobody has seen yet are taken to add to the steps."""
    return UNSEEN_RATIO * max(0, USUAL_KINDS - kinds) * math.exp(-part / SEEN_BY)


def unseen_of(found: Outlook) -> float:
    """What *found* holds for pauses that nobody has seen, in its unit."""
    return found.sds.get("unseen", 0.0) / math.sqrt(math.expm1(UNSEEN_LOG_SD**2))
