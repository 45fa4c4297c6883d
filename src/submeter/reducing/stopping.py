# SPDX-License-Identifier: Apache-2.0
"""When a trial has no prospect any more: judged on its curve of a metric over energy.

Trials are compared at equal *energy*, not at equal steps: what a setting reaches with the joules
that others spent. Two reasons end a trial:

- *dominated*: it has used as much as a finished trial that kept the quality and used the least;
  whatever it still reaches, it cannot use less. With two objectives that holds only if it has
  not reached more by then either.
- *behind*: at a rung (energies in a geometric row, as in successive halving) its metric is worse
  than that of all but the best ``1 / REDUCTION`` of the trials that came so far.

Source of the rungs: Li et al., "A System for Massively Parallel Hyperparameter Tuning" (ASHA),
MLSys 2020; there over steps, here over energy.
"""

import bisect
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

REDUCTION: Final = 3
FEWEST_AT_RUNG: Final = 3  # trials, before one is called behind
FIRST_RUNG_RATIO: Final = 1 / 9  # of the least energy that was enough

Reason = Literal["", "dominated", "behind", "too slow", "budget"]


class Point(msgspec.Struct, frozen=True):
    """So far: energy [J], time [s], and the metric, higher being better (None: not logged yet)."""

    energy_j: float
    time_s: float
    score: float | None


class Curve(msgspec.Struct):
    """What a trial reached with how much energy, in the order of time."""

    points: list[Point] = []
    finished: bool = False

    def best_at(self, energy_j: float) -> float | None:
        """Best score reached with at most *energy_j*."""
        at = bisect.bisect_right(self.points, energy_j, key=lambda p: p.energy_j)
        scores = [p.score for p in self.points[:at] if p.score is not None]
        return max(scores, default=None)

    @property
    def energy_j(self) -> float:
        """Energy so far [J]."""
        return self.points[-1].energy_j if self.points else 0.0

    @property
    def score(self) -> float | None:
        """Best score so far."""
        return self.best_at(float("inf"))


def rungs_j(least_j: float) -> tuple[float, ...]:
    """Energies at which trials are compared, up to the least that was enough [J]."""
    rungs, at = [], least_j * FIRST_RUNG_RATIO
    while at < least_j:
        rungs.append(at)
        at *= REDUCTION
    return tuple(rungs)


def prospect(
    trial: Curve,
    others: Sequence[Curve],
    *,
    least_j: float | None,
    enough: float | None,
    max_time_s: float | None = None,
    two_objectives: bool = False,
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
    two_objectives
        Whether more quality at more energy is wanted, too.
    """
    if not trial.points:
        return ""
    now = trial.points[-1]
    if max_time_s is not None and now.time_s > max_time_s:
        return "too slow"
    if least_j is None:
        return ""
    if now.energy_j >= least_j and (not two_objectives or _reached_less(trial, others)):
        return "dominated"
    if trial.score is None or (enough is not None and trial.score >= enough):
        return ""
    passed = [r for r in rungs_j(least_j) if now.energy_j >= r]
    if not passed:
        return ""
    mine = trial.best_at(passed[-1])
    rivals = [s for c in others if (s := _at_rung(c, passed[-1])) is not None]
    if mine is None or len(rivals) < FEWEST_AT_RUNG:
        return ""
    ahead = sum(s > mine for s in rivals)
    return "behind" if ahead >= max(1, (len(rivals) + 1) // REDUCTION) else ""


def _at_rung(curve: Curve, rung_j: float) -> float | None:
    """Score of a curve that came as far as a rung."""
    return curve.best_at(rung_j) if curve.energy_j >= rung_j else None


def _reached_less(trial: Curve, others: Sequence[Curve]) -> bool:
    """Whether some other reached at least as much with at most as much energy."""
    mine = trial.score
    if mine is None:
        return True
    return any(
        (s := c.best_at(trial.energy_j)) is not None and s >= mine for c in others if c.finished
    )
