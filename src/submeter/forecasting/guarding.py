# SPDX-License-Identifier: Apache-2.0
"""The regret guard: whether waiting has paid here, for such jobs, in what is already over.

Only jobs whose deadline lies before an instant count for a decision at that instant, so that a
guard can be back-tested like the forecasts it judges.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from submeter.forecasting.backtesting import Outcome, Way, backtest
from submeter.forecasting.forecaster import LEAST_S as LEAST_PAST_S
from submeter.forecasting.forecaster import LONGEST_S, Forecaster
from submeter.forecasting.scenarios import Jobs
from submeter.forecasting.series import DAY_S, FINEST_S, Floats, Series

MEMORY_S: Final = 56 * DAY_S  # older outcomes tell of another season
LEAST_TRIALS: Final = 10
LEAST_S: Final = 28 * DAY_S  # that outcomes have to span: those of one week tell of its weather
LEAST_SAVING: Final = 0.0  # share that outcomes have to show
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


def judge(at_once_g: Floats, realised_g: Floats) -> Verdict:
    """Verdict on jobs that are over, each array of shape (n,) [g]."""
    trials = len(at_once_g)
    if not trials or at_once_g.sum() <= 0:
        return Verdict(True, 0, float("nan"), 0.0)
    saving = 1 - float(realised_g.sum() / at_once_g.sum())
    outcome = Outcome(at_once_g, at_once_g, realised_g, np.zeros(trials, dtype=np.int64))
    pays = trials < LEAST_TRIALS or saving >= LEAST_SAVING
    return Verdict(pays, trials, saving, outcome.worse_share)


def guarded(series: Series, jobs: Jobs, outcome: Outcome) -> Outcome:
    """*outcome* of *jobs*, had each waited only if jobs over before it showed that it pays."""
    reach = round(MEMORY_S / series.step_s)
    order = np.argsort(jobs.deadline, kind="stable")
    ends = jobs.deadline[order]
    sums = [np.append(0.0, np.cumsum(g[order])) for g in (outcome.at_once_g, outcome.realised_g)]
    # What is asked for before its earliest start, as of nights, is decided then as well.
    decided = np.minimum(jobs.earliest, jobs.at_once)
    last = np.searchsorted(ends, decided, side="right")
    first = np.searchsorted(ends, decided - reach, side="right")
    at_once, realised = (total[last] - total[first] for total in sums)
    pays = realised <= (1 - LEAST_SAVING) * at_once
    spans = ends[np.maximum(last - 1, 0)] - ends[np.minimum(first, len(ends) - 1)]
    few = (last - first < LEAST_TRIALS) | (spans * series.step_s < LEAST_S)
    return outcome.only(pays | few)


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
    return judge(outcome.at_once_g, outcome.realised_g)
