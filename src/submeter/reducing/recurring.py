# SPDX-License-Identifier: Apache-2.0
"""Which batch size a job that comes again and again should have, learnt from its own runs.

The energy to a target is epochs times energy per epoch, and over the logarithm of the batch size
it falls and rises once: small batches leave the device idle, large ones need more epochs. So we
walk outwards from the default, in each direction until it gets worse twice, and from then on draw
from what is known (Thompson sampling): the better a size looked, the oftener it is taken, and the
less is known of it, the oftener it gets its chance.

A first run that costs `TRY_RATIO` times the best is given up, and the job is done with the best
size; that costs both, and is counted. Beyond a size that had to be given up none is tried.

Source of the setting, and of the traces it is scored on: You et al., "Zeus: Understanding and
Optimizing GPU Energy Consumption of DNN Training", NSDI 2023.
"""

import math
import random
import statistics
from collections.abc import Sequence
from typing import Final

import msgspec

from submeter.errors import UsageError

TRY_RATIO: Final = 1.5  # a size whose first run costs more is not the best one
ABANDON_RATIO: Final = 2.0  # of its own mean: a run of a known size that went wrong
WORSE: Final = 2  # sizes in a row, in one direction, before it is left
USUAL_SD_RATIO: Final = 0.1  # of energy from run to run, before enough runs have said it
TRUSTED: Final = 8  # runs
ENOUGH: Final = 2  # runs, for a spread of their own


class Choice(msgspec.Struct, frozen=True):
    """Batch size of the next run, and the energy at which it is to be given up [J]."""

    batch: int
    abandon_at_j: float


class Recurring:
    """Chooses the batch size of each recurrence; `took` tells it what that cost.

    Parameters
    ----------
    batches
        Sizes that may be taken.
    default
        The one that is taken today.
    seed
        Of the draws, so that they can be repeated.
    """

    def __init__(self, batches: Sequence[int], default: int, *, seed: int = 0) -> None:
        if default not in batches:
            raise UsageError(
                f"{default} is not among the batch sizes", remedy="add it, or name one of them"
            )
        self._order = sorted(set(batches))
        self._default = default
        self._costs: dict[int, list[float]] = {b: [] for b in self._order}
        self._failed: set[int] = set()
        self._chance = random.Random(seed)  # noqa: S311  # to be repeated, not to be secret

    @property
    def best(self) -> int:
        """Size of least mean energy so far; the default before anything is known."""
        known = {b: statistics.fmean(c) for b, c in self._costs.items() if c}
        return min(known, key=lambda b: known[b], default=self._default)

    def next(self) -> Choice:
        """Size for the next recurrence."""
        batch = self._unexplored()
        if batch is None:
            batch = self._drawn()
        if self._costs[batch]:
            return Choice(batch, ABANDON_RATIO * statistics.fmean(self._costs[batch]))
        known = self._costs[self.best]
        return Choice(batch, TRY_RATIO * statistics.fmean(known) if known else math.inf)

    def took(self, batch: int, energy_j: float, *, reached: bool) -> None:
        """Take what a run cost; a size that had to be given up is not tried again.

        Only a size that has proven itself in `TRUSTED` runs may fail once.
        """
        if reached or (len(self._costs[batch]) >= TRUSTED and math.isfinite(energy_j)):
            self._costs[batch].append(energy_j)
        else:
            self._failed.add(batch)

    def _unexplored(self) -> int | None:
        """Next size of the walk outwards, smaller ones first; None when it is over."""
        if not self._costs[self._default]:
            return None if self._default in self._failed else self._default
        middle = self._order.index(self._default)
        for side in (self._order[:middle][::-1], self._order[middle + 1 :]):
            least, worse = statistics.fmean(self._costs[self._default]), 0
            for batch in side:
                if batch in self._failed:
                    break
                if not self._costs[batch]:
                    return batch
                mean = statistics.fmean(self._costs[batch])
                worse = worse + 1 if mean > least else 0
                least = min(least, mean)
                if worse >= WORSE:
                    break
        return None

    def _drawn(self) -> int:
        """Size whose mean, drawn from what is known of it, is least."""
        usable = {b: c for b, c in self._costs.items() if c and b not in self._failed}
        if not usable:
            return self._default
        drawn = {}
        for batch, costs in usable.items():
            mean = statistics.fmean(costs)
            sd = USUAL_SD_RATIO * mean
            if len(costs) > ENOUGH:
                sd = max(statistics.stdev(costs), 0.01 * mean)
            drawn[batch] = self._chance.gauss(mean, sd / math.sqrt(len(costs)))
        return min(drawn, key=lambda b: drawn[b])
