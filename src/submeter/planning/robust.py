# SPDX-License-Identifier: Apache-2.0
"""What a schedule saves on each of many paths that the costs may take, and how often nothing."""

from dataclasses import dataclass

import numpy as np

from submeter.errors import UsageError
from submeter.planning.costs import Costs, Floats
from submeter.planning.courses import energies_kwh
from submeter.planning.single import at_once_slices
from submeter.records.plans import Job, Slice

_LEVEL = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Savings:
    """Savings of one schedule over joint paths of the costs.

    Attributes
    ----------
    saved, at_once
        ``(n,)``, saved against starting at once, and what starting at once costs, on each path,
        in the unit of the costs.
    """

    saved: Floats
    at_once: Floats

    @property
    def mean(self) -> float:
        """Mean saving, in the unit of the costs."""
        return float(self.saved.mean())

    @property
    def ratio(self) -> float:
        """Share saved over all paths: mean saving over mean cost of starting at once [1]."""
        return self.mean / abs(float(self.at_once.mean()))

    def interval(self, level: float = _LEVEL) -> tuple[float, float]:
        """Interval that holds the saving on a share *level* of the paths, equal tails."""
        low, high = np.quantile(self.saved, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    def ratio_interval(self, level: float = _LEVEL) -> tuple[float, float]:
        """Interval of the share saved, path by path [1]."""
        shares = self.saved / np.abs(self.at_once)
        low, high = np.quantile(shares, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    def chance_worse(self, by_ratio: float = 0.0) -> float:
        """Share of paths on which it does worse than at once, by more than *by_ratio* [1]."""
        return float((self.saved < -by_ratio * np.abs(self.at_once)).mean())


def evaluate(job: Job, slices: tuple[Slice, ...], costs: Costs, paths_per_kwh: Floats) -> Savings:
    """Savings of *slices* against starting at once, on each path.

    Parameters
    ----------
    costs
        Its slots are those of the paths; they cover the schedule and starting at once.
    paths_per_kwh
        ``(paths, slots)``, costs that may come, each path as a whole: the hours of one path
        belong together, which is what makes the probabilities right.

    Raises
    ------
    UsageError
        If the paths have another number of slots than the costs.
    CoverageError
        If the slots end before the schedule does.

    Notes
    -----
    Energies do not depend on the path, so all savings are one product:
    ``saved = paths @ (e_at_once - e_plan)``.
    """
    if paths_per_kwh.ndim != 2 or paths_per_kwh.shape[1] != costs.per_kwh.size:  # noqa: PLR2004
        raise UsageError(
            f"paths of shape {paths_per_kwh.shape} do not fit {costs.per_kwh.size} slots",
            remedy="give an array of shape (paths, slots)",
        )
    at_once = at_once_slices(job)
    costs.within(job.earliest_s, max(slices[-1].end_s, at_once[-1].end_s))
    planned_kwh = energies_kwh(job, slices, costs)
    at_once_kwh = energies_kwh(job, at_once, costs)
    used = (planned_kwh != 0) | (at_once_kwh != 0)  # slots in which nothing runs may be unknown
    paths = paths_per_kwh[:, used]
    return Savings(paths @ (at_once_kwh - planned_kwh)[used], paths @ at_once_kwh[used])
