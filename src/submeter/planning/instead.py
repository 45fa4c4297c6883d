# SPDX-License-Identifier: Apache-2.0
"""Where waiting does not help: what would, with numbers."""

from dataclasses import dataclass
from typing import Final, Literal

from submeter.planning.costs import Costs
from submeter.planning.places import Ranking
from submeter.planning.single import Schedule

Way = Literal["elsewhere", "later", "capped", "smaller"]
WORTH_RATIO: Final = 0.02  # savings below this are lost in what a forecast does not know
_FLAT_RATIO: Final = 0.05


@dataclass(frozen=True, slots=True)
class Remedy:
    """Something else that would make less of the objective.

    Attributes
    ----------
    way
        Run ``elsewhere``, allow a ``later`` end, cap the power, or make the job ``smaller``.
    saving_ratio
        Share it would save against starting at once [1].
    what
        The zone, the deadline, the measure, in words.
    """

    way: Way
    saving_ratio: float
    what: str

    def __str__(self) -> str:
        return f"{self.what} would save {self.saving_ratio:.0%}"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Whether waiting helps, why not, and what would instead, the most first."""

    helps: bool
    why: str
    remedies: tuple[Remedy, ...]


def what_would(
    schedule: Schedule,
    costs: Costs,
    *,
    slack_s: float,
    later: tuple[tuple[float, Schedule], ...] = (),
    elsewhere: Ranking | None = None,
    measures: tuple[Remedy, ...] = (),
    worth_ratio: float = WORTH_RATIO,
) -> Waiting:
    """Whether *schedule* is worth the wait, and what would save more.

    Parameters
    ----------
    schedule
        The best time here.
    costs
        Of the window that was planned for: they tell whether the grid is flat.
    slack_s
        Time by which the job could be put off [s].
    later
        More slack [s] and the best schedule with it.
    elsewhere
        Places compared.
    measures
        A power limit, a smaller model or fewer steps, whose saving the caller knows (of a
        measurement or a pre-run estimate); taken over as they are.
    worth_ratio
        Savings below this are not worth a wait.

    Returns
    -------
    Waiting
        Remedies that save more than *worth_ratio* and more than the schedule, the most first.
    """
    here = schedule.saving_ratio
    found = list(measures)
    found += [Remedy("later", s.saving_ratio, f"{_time(more_s)} more time") for more_s, s in later]
    found += [
        Remedy("elsewhere", placed.saving_ratio, f"running in {placed.zone}")
        for placed in (elsewhere.places if elsewhere else ())
        if placed.sure
    ]
    better = [r for r in found if r.saving_ratio > max(here, worth_ratio)]
    better.sort(key=lambda remedy: -remedy.saving_ratio)
    helps = here >= worth_ratio
    return Waiting(helps, "" if helps else _why(here, costs, slack_s), tuple(better))


def _why(saving_ratio: float, costs: Costs, slack_s: float) -> str:
    """Why waiting brings so little."""
    values = costs.per_kwh
    mean = abs(float(values.mean()))
    spread = float(values.std()) / mean if mean else 0.0
    if slack_s < costs.step_s:
        reason = "there is no slack"
    elif spread < _FLAT_RATIO:
        reason = f"the grid is flat: hours differ by {spread:.1%} of their mean"
    else:
        reason = f"with {_time(slack_s)} of slack nothing much better comes"
    return f"waiting gains {max(saving_ratio, 0.0):.1%} here ({reason})"


def _time(duration_s: float) -> str:
    return f"{duration_s / 3600:.3g} h"
