# SPDX-License-Identifier: Apache-2.0
"""How often to look: so that what the hooks cost stays below a share of the training's time.

Pure: it is told how long steps took and says how many to let pass. What a sampled step takes more
is the median of its time less that of its plain neighbours, and never less than what the hooks
themselves took by their own clock.
"""

import math
import random
import statistics
from collections import deque
from typing import Final, Literal

from submeter.records.layers import BUDGET_RATIO, Steps

__all__ = ["Pace"]

AIM: Final = 0.4  # of the budget, so that it holds where the estimate is off
ONCE: Final = 0.8  # of the budget, for what is done but once
PAIRS: Final = 15  # sampled steps whose extra time tells more than the hooks' own clock
OWN_TIMES: Final = 3.0
LEAST_GAP: Final = 4  # plain steps between two sampled ones
LONGEST_GAP: Final = 20_000
ENOUGH: Final = 240  # sampled steps, after which a tenth as often is enough
LATER: Final = 10.0
WARM: Final = 3  # steps whose times are not those of the rest
JITTER: Final = 0.3
_NEIGHBOURS: Final = 9
_EXTRAS: Final = 41

Kind = Literal["plain", "sampled", "counted"]


class Pace:
    """Decides after each step what the next one is.

    Parameters
    ----------
    budget_ratio
        Most that looking may cost, of the time of the steps [1].
    seed
        Of the random lengths of gaps: a loop whose steps alternate must not be met in step.
    """

    def __init__(self, budget_ratio: float = BUDGET_RATIO, seed: int = 1) -> None:
        self.budget_ratio = budget_ratio
        self._random = random.Random(seed)  # noqa: S311  # no secret
        self._plain: deque[tuple[float, float]] = deque(maxlen=_NEIGHBOURS)
        self._extras: deque[float] = deque(maxlen=_EXTRAS)
        self._hooks: deque[float] = deque(maxlen=_EXTRAS)
        self.seen = self.sampled = self.counted = 0
        self._plain_sum = [0.0, 0.0]
        self._plain_count = 0
        self.total_s = self.spent_s = self.hooks_s = 0.0
        self._left = WARM  # plain steps before the next sampled one

    @property
    def extra_s(self) -> float:
        """What a sampled step takes more [s].

        Of few pairs the scatter of steps says more than the hooks do: until there are enough, it
        is no more than a few times what the hooks took by their own clock.
        """
        told = statistics.median(self._extras) if self._extras else 0.0
        own = statistics.median(self._hooks) if self._hooks else 0.0
        if own > 0 and len(self._extras) < PAIRS:
            told = min(told, OWN_TIMES * own)
        return max(told, own)

    @property
    def step_s(self) -> float:
        """Mean time of a plain step [s]."""
        return self._plain_sum[1] / self._plain_count if self._plain_count else 0.0

    def done(
        self, kind: Kind, wall_s: float, busy_s: float, hooks_s: float = 0.0, part: float = 1.0
    ) -> None:
        """Take note of a step.

        Parameters
        ----------
        kind
            What it was.
        wall_s
            Elapsed time [s].
        busy_s
            Time by which cost is judged [s].
        hooks_s
            Of that in hooks [s].
        part
            Of the step that was looked at: less than one where hooks were taken off early.
        """
        self.seen += 1
        self.total_s += busy_s
        if kind == "plain":
            if self.seen > WARM:
                self._plain.append((wall_s, busy_s))
                self._plain_sum[0] += wall_s
                self._plain_sum[1] += busy_s
                self._plain_count += 1
            self._left -= 1
            return
        usual_s = statistics.median(row[1] for row in self._plain) if self._plain else busy_s
        if kind == "counted":
            self.counted += 1
            self.spent_s += max(hooks_s, busy_s - usual_s, 0.0)
        else:
            self.sampled += 1
            self._hooks.append(hooks_s)
            if part >= 1.0:
                self._extras.append(busy_s - usual_s)
            self.spent_s += self.extra_s
        self.hooks_s += hooks_s
        self._left = self._gap()

    def due(self) -> bool:
        """Whether the next step is to be sampled."""
        return self._left <= 0

    def affords(self, cost_s: float) -> bool:
        """Whether something that costs *cost_s* [s], once, fits what may be spent by now."""
        return self.spent_s + cost_s <= ONCE * self.budget_ratio * self.total_s

    def steps(self) -> Steps:
        """Sums, for the record."""
        n = max(1, self._plain_count)
        return Steps(
            seen=self.seen,
            sampled=self.sampled,
            counted=self.counted,
            wall_s=self._plain_sum[0] / n,
            busy_s=self._plain_sum[1] / n,
            extra_s=self.extra_s,
            total_s=self.total_s,
            hooks_s=self.hooks_s,
            spent_s=self.spent_s,
        )

    def _gap(self) -> int:
        """Plain steps to let pass, so that what was and will be spent fits."""
        step_s = self.step_s
        if step_s <= 0:
            return LEAST_GAP
        aim = AIM * self.budget_ratio * step_s
        share = self.extra_s / aim
        owed = (self.spent_s - AIM * self.budget_ratio * self.total_s) / aim
        gap = max(float(LEAST_GAP), share, owed)
        if self.sampled >= ENOUGH:
            gap *= LATER
        gap *= 1.0 + JITTER * (2.0 * self._random.random() - 1.0)
        return min(LONGEST_GAP, max(LEAST_GAP, math.ceil(gap)))
