# SPDX-License-Identifier: Apache-2.0
"""The regret guard: whether waiting has paid here, for such jobs, in what is already over.

Only jobs whose deadline lies before an instant count for a decision at that instant, so that a
guard can be back-tested like the forecasts it judges.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from submeter.forecasting.backtesting import Outcome, Way, backtest
from submeter.forecasting.forecaster import LEAST_S as LEAST_PAST_S
from submeter.forecasting.forecaster import LONGEST_S, Forecaster
from submeter.forecasting.scenarios import Jobs
from submeter.forecasting.series import DAY_S, FINEST_S, Floats, Series
from submeter.records.plans import Job

MEMORY_S: Final = 42 * DAY_S  # older outcomes tell of another season
LEAST_TRIALS: Final = 10
LEAST_S: Final = 28 * DAY_S  # that outcomes have to span: those of one week tell of its weather
# Standard errors under nought at which losses are more than luck: a guard that heeds each loss
# stops waiting after bad weeks, which tell little of the next ones.
LOSS_SDS: Final = 0.5
_TRIALS_EACH_S: Final = DAY_S // 2


@dataclass(frozen=True)
class Verdict:
    """Whether waiting pays, and what that rests on.

    Attributes
    ----------
    pays
        Whether to wait; as long as there are few trials it is believed of forecasts that hold
        in other zones.
    saving_ratio
        Share saved in the trials, nan if there were none [1].
    worse_share
        Share of them that emitted over 1 % more than if started at once [1].
    """

    pays: bool
    trials: int
    saving_ratio: float
    worse_share: float

    @property
    def words(self) -> str:
        """The verdict in one sentence."""
        if self.trials < LEAST_TRIALS:
            return "too little is known of this series to back-test waiting on it"
        told = f"{self.saving_ratio:+.1%}".replace("+", "").replace("-", "−")
        return (
            f"{self.trials} back-tests on the last weeks saved {told}, "
            f"{self.worse_share:.0%} of them did worse than starting at once"
        )


def judge(at_once_g: Floats, realised_g: Floats, independent: float = math.inf) -> Verdict:
    """Verdict on jobs that are over, each array of shape (n,) [g].

    *independent* is how many of them did not share their hours with others.
    """
    trials = len(at_once_g)
    if not trials or at_once_g.sum() <= 0:
        return Verdict(True, 0, float("nan"), 0.0)
    saving = 1 - float(realised_g.sum() / at_once_g.sum())
    outcome = Outcome(at_once_g, at_once_g, realised_g, np.zeros(trials, dtype=np.int64))
    saved = at_once_g - realised_g
    error = float(saved.std()) / math.sqrt(max(1.0, min(trials, independent)))
    pays = trials < LEAST_TRIALS or float(saved.mean()) >= -LOSS_SDS * error
    return Verdict(pays, trials, saving, outcome.worse_share)


def guarded(series: Series, jobs: Jobs, outcome: Outcome) -> Outcome:
    """*outcome* of *jobs*, had each waited only if jobs over before it did not tell against it."""
    order = np.argsort(jobs.deadline, kind="stable")
    ends = jobs.deadline[order]
    saved = ((outcome.at_once_g - outcome.realised_g) / jobs.slots)[order]
    room = (jobs.deadline - jobs.earliest)[order].astype(np.float64)
    # What may be moved to before its own time, as of nights, is decided when that is possible.
    last = np.searchsorted(ends, jobs.earliest, side="right")
    first = np.searchsorted(ends, jobs.earliest - round(MEMORY_S / series.step_s), side="right")
    count = np.maximum(last - first, 1)
    mean, square, rooms = (
        (total[last] - total[first]) / count
        for total in (np.append(0.0, np.cumsum(each)) for each in (saved, saved**2, room))
    )
    span = ends[np.maximum(last - 1, 0)] - ends[np.minimum(first, len(ends) - 1)]
    independent = np.maximum(np.minimum(count, span / np.maximum(rooms, 1.0)), 1.0)
    error = np.sqrt(np.maximum(square - mean**2, 0.0) / independent)
    few = (last - first < LEAST_TRIALS) | (span * series.step_s < LEAST_S)
    return outcome.only((mean >= -LOSS_SDS * error) | few)


def waiting_pays(
    past: Series, duration_s: float, slack_s: float, *, interruptible: bool = True,
    checkpoint_s: float = 0.0, forecaster: Forecaster | None = None,
) -> Verdict:  # fmt: skip
    """Back-test jobs like one on the last weeks of *past*, two a day, and judge by them.

    Parameters
    ----------
    past
        Readings until now; nothing later is looked at.
    duration_s, slack_s
        Length of the work, and how much later than at once it may end [s].
    """
    slots = past.coarser(FINEST_S)
    step_s = slots.step_s
    work = max(1, round(duration_s / step_s))
    room = work + max(0, int(slack_s // step_s))
    if room * step_s > LONGEST_S or room == work:
        return judge(np.empty(0), np.empty(0))
    last = len(slots.values) - room
    first = max(round(LEAST_PAST_S / step_s), last - round(MEMORY_S / step_s))
    earliest = np.arange(first, last + 1, round(_TRIALS_EACH_S / step_s), dtype=np.int64)
    known = np.isfinite(slots.values)
    earliest = earliest[[bool(known[at : at + room].any()) for at in earliest]]
    if not len(earliest):
        return judge(np.empty(0), np.empty(0))
    jobs = Jobs(earliest, np.full(len(earliest), work), earliest + room, earliest)
    way = Way(interruptible, checkpoint_s)
    outcome = backtest(slots, [(jobs, way)], forecaster=forecaster)[0]
    independent = (earliest[-1] - earliest[0]) / room + 1
    return judge(outcome.at_once_g, outcome.realised_g, float(independent))


def guard_on(past: Series) -> Callable[[Job], tuple[bool, str]]:
    """Guard of plans on readings until now: whether waiting pays for a job, and the words."""

    def guard(job: Job) -> tuple[bool, str]:
        verdict = waiting_pays(
            past, job.duration_s, job.deadline_s - job.earliest_s - job.duration_s,
            interruptible=job.interruptible, checkpoint_s=job.checkpoint_s + job.restart_s,
        )  # fmt: skip
        return verdict.pays, verdict.words

    return guard
