# SPDX-License-Identifier: Apache-2.0
"""When a trial has no prospect any more: judged on its curve of a metric over energy.

Trials are compared at equal *energy*, not at equal steps: what a setting reaches with the joules
that others spent. Two reasons end a trial:

- *dominated*: it has used as much as a finished trial that kept the quality and used the least;
  whatever it still reaches, it cannot use less. With two objectives: it has used as much as the
  dearest of all and reached less.
- *behind*: were it to climb from now on as fast as the fastest trial has ever climbed from where
  it stands, and `SLACK_RATIO` as far, it would still not reach what is asked for before it is
  dominated. That a trial is slow at first does not end it; and one that is no worse than a
  trial that was good enough, at equal energy, is never behind.

Ranks at rungs, as of successive halving, end a share of the trials whatever they might still
reach, and so also those that start slowly; here a bound of what can be reached ends them.
"""

import bisect
import math
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

FEWEST: Final = 3  # finished trials, before one is called behind
WARM_UP_RATIO: Final = 1 / 9  # of the least energy that was enough: nobody is judged before
SLACK_RATIO: Final = 1.25  # so much more may be climbed than anybody has

Reason = Literal[
    "", "dominated", "behind", "too slow", "budget", "would use more", "would not reach"
]


class Point(NamedTuple):
    """So far: energy [J], time [s], the metric, higher being better, and the part that is done.

    None: not logged yet.
    """

    energy_j: float
    time_s: float
    score: float | None
    done_ratio: float | None = None


class Curve:
    """What a trial reached with how much energy, in the order of time."""

    def __init__(self, points: Iterable[Point] = (), *, finished: bool = False) -> None:
        self.finished = finished
        self.points: list[Point] = []
        self._at_j: list[float] = []  # of points with a score
        self._best: list[float] = []  # the best score by then
        self._way: list[tuple[float, float]] = []  # part that was done [1], energy by then [J]
        for point in points:
            self.add(point)

    def add(self, point: Point) -> None:
        """Take the next point."""
        self.points.append(point)
        if point.score is not None:
            self._at_j.append(point.energy_j)
            self._best.append(max(point.score, self._best[-1] if self._best else point.score))
        done = point.done_ratio
        if done is not None and 0 < done <= 1 and (not self._way or done > self._way[-1][0]):
            self._way.append((done, point.energy_j))

    def best_at(self, energy_j: float) -> float | None:
        """Best score reached with at most *energy_j*."""
        at = bisect.bisect_right(self._at_j, energy_j)
        return self._best[at - 1] if at else None

    def climbed(self, score: float, energy_j: float) -> float:
        """Best score *energy_j* after it had first passed *score*; *score* if it never did."""
        at = bisect.bisect_right(self._best, score)
        if at == len(self._best):
            return score
        best = self.best_at(self._at_j[at] + energy_j)
        return score if best is None else best

    def used_until_j(self, done_ratio: float) -> float | None:
        """Energy by when that part was done [J]; None if it never was."""
        at = bisect.bisect_left(self._way, (done_ratio, 0.0))
        return self._way[at][1] if at < len(self._way) else None

    def best_when(self, done_ratio: float) -> float | None:
        """Best score by when that part was done."""
        energy_j = self.used_until_j(done_ratio)
        return None if energy_j is None else self.best_at(energy_j)

    @property
    def done_ratio(self) -> float:
        """Part that is done [1]; 0 if that is not known."""
        return self._way[-1][0] if self._way else 0.0

    @property
    def begun_j(self) -> float | None:
        """Energy before its first step, by the rate of the others [J]; None before two are."""
        rate_j = self._rate_j(self.done_ratio)
        return None if rate_j is None else max(0.0, self._way[0][1] - rate_j * self._way[0][0])

    def ahead_j(self, done_ratio: float | None = None) -> float | None:
        """Energy at its end, at the rate by when *done_ratio* was done [J], or by now.

        The first step that was logged bears what is done once, and is left out.
        """
        done = self.done_ratio if done_ratio is None else done_ratio
        rate_j, so_far_j = self._rate_j(done), self.used_until_j(done)
        if rate_j is None or so_far_j is None:
            return None
        return so_far_j + rate_j * (1 - done)

    def _rate_j(self, done_ratio: float) -> float | None:
        """Energy of the whole way, after its first logged step, at the rate so far [J]."""
        at = bisect.bisect_right(self._way, (done_ratio, math.inf)) - 1
        if at < 1:
            return None
        (a, a_j), (b, b_j) = self._way[0], self._way[at]
        return (b_j - a_j) / (b - a)

    @property
    def energy_j(self) -> float:
        """Energy so far [J]."""
        return self.points[-1].energy_j if self.points else 0.0

    @property
    def score(self) -> float | None:
        """Best score so far."""
        return self._best[-1] if self._best else None


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """At most *most* of *points*, evenly, and the last one."""
    stride = max(1, -(-len(points) // max(1, most - 1)))
    return [*points[:-1:stride], *points[-1:]]


def reachable(trial: Curve, others: Sequence[Curve], until_j: float) -> float | None:
    """Highest score that *trial* may have by *until_j*, as fast as anybody ever was.

    None before so much is known that it can be said.
    """
    score = trial.score
    if score is None or sum(c.finished and c.score is not None for c in others) < FEWEST:
        return None
    left_j = SLACK_RATIO * max(0.0, until_j - trial.energy_j)
    return max(c.climbed(score, left_j) for c in others)


def prospect(
    trial: Curve,
    others: Sequence[Curve],
    *,
    least_j: float | None,
    enough: float | None,
    max_time_s: float | None = None,
) -> Reason:
    """Why *trial* should be stopped now, "" if it should not.

    Parameters
    ----------
    others
        Curves of the other trials, finished or stopped.
    least_j
        Least energy of a finished trial that kept the quality; None before there is one.
    enough
        Score that is asked for; a trial that has reached it is never called behind.
    max_time_s
        Longest time that a trial may take.
    """
    if not trial.points:
        return ""
    if _too_slow(trial, max_time_s):
        return "too slow"
    if least_j is None:
        return ""
    if trial.energy_j >= least_j:
        return "dominated"
    if enough is None or trial.energy_j < WARM_UP_RATIO * least_j:
        return ""
    best = reachable(trial, others, least_j)
    return "behind" if best is not None and best < enough else ""


def prospect_of_two(
    trial: Curve, others: Sequence[Curve], *, max_time_s: float | None = None
) -> Reason:
    """As `prospect`, where more of the metric at more energy is worth having as well.

    A trial is stopped if at no energy up to that of the dearest finished one it may still reach
    more than what others reached with as much.
    """
    if not trial.points:
        return ""
    if _too_slow(trial, max_time_s):
        return "too slow"
    ends = sorted((c.energy_j, c.score) for c in others if c.finished and c.score is not None)
    if not ends:
        return ""
    dearest_j, score = ends[-1][0], trial.score
    if trial.energy_j >= dearest_j:
        return "dominated" if score is not None and score <= max(s for _, s in ends) else ""
    if trial.energy_j < WARM_UP_RATIO * ends[0][0]:
        return ""
    for number, (end_j, _) in enumerate(ends):
        if end_j <= trial.energy_j:
            continue
        reached = max((s for _, s in ends[:number]), default=None)
        best = reachable(trial, others, end_j)
        if best is None or reached is None or best > reached:
            return ""
    if not _anyone_ahead(trial, others):  # nobody's curve tells how far it may still come
        return ""
    best = reachable(trial, others, dearest_j)
    return "behind" if best is not None and best <= max(s for _, s in ends) else ""


def _anyone_ahead(trial: Curve, others: Sequence[Curve]) -> bool:
    """Whether some other had reached more with as much energy."""
    mine = trial.score
    reached = (c.best_at(trial.energy_j) for c in others)
    return any(s is not None and (mine is None or s > mine) for s in reached)


def _too_slow(trial: Curve, max_time_s: float | None) -> bool:
    return max_time_s is not None and trial.points[-1].time_s > max_time_s
