# SPDX-License-Identifier: Apache-2.0
"""How a job scales: work in a second and power on several counts of workers."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Self

from submeter.errors import InfeasibleError, UsageError


class Size(NamedTuple):
    """A count of workers: work in a second on it, in any unit, and the power of all [W]."""

    workers: int
    throughput: float
    power_w: float

    def time_s(self, work: float) -> float:
        """Time of so much work [s]."""
        return work / self.throughput

    def energy_j(self, work: float) -> float:
        """Energy of so much work [J]."""
        return self.power_w * self.time_s(work)


@dataclass(frozen=True, slots=True)
class Scaling:
    """How fast a job runs on several counts of workers, and what it draws there.

    Attributes
    ----------
    workers
        Counts that may be used, rising.
    throughput
        Work in a second on each count, in any unit; only ratios matter for when to run.
    power_w
        Power at the wall on each count [W].
    """

    workers: tuple[int, ...]
    throughput: tuple[float, ...]
    power_w: tuple[float, ...]

    def __post_init__(self) -> None:
        sizes = {len(self.workers), len(self.throughput), len(self.power_w)}
        if len(sizes) != 1 or not self.workers:
            raise UsageError(
                "a scaling profile needs a throughput and a power for each count of workers",
                remedy="give as many of each",
            )
        rising = all(a < b for a, b in pairwise(self.workers)) and self.workers[0] > 0
        amounts = (*self.throughput, *self.power_w)
        if not rising or not all(0 < amount < math.inf for amount in amounts):
            raise UsageError(
                "counts of workers have to rise, throughput and power to be above zero",
                remedy="sort the counts, and leave out those that do not run",
            )

    @classmethod
    def amdahl(
        cls,
        workers: tuple[int, ...],
        *,
        parallel_ratio: float,
        worker_w: float,
        fixed_w: float = 0.0,
    ) -> Self:
        """Profile by Amdahl's law [1]_: a given profile, not a measured one.

        Parameters
        ----------
        parallel_ratio
            Share of the work on one worker that more of them divide, 0 to 1.
        worker_w, fixed_w
            Power of each worker, and of what runs once [W].

        References
        ----------
        .. [1] G. M. Amdahl, Validity of the single processor approach to achieving large scale
           computing capabilities, AFIPS 1967.
        """
        if not 0 <= parallel_ratio <= 1:
            raise UsageError(
                f"a parallel share of {parallel_ratio:g} is none", remedy="give 0 to 1"
            )
        speed = tuple(1 / (1 - parallel_ratio + parallel_ratio / n) for n in workers)
        return cls(workers, speed, tuple(fixed_w + n * worker_w for n in workers))

    @property
    def sizes(self) -> tuple[Size, ...]:
        """The counts one by one, rising."""
        return tuple(map(Size, self.workers, self.throughput, self.power_w))

    def least(self, work: float, *, deadline_s: float = math.inf) -> Size:
        """The size of least energy for so much *work* within the time; the fastest of equals.

        Raises
        ------
        InfeasibleError
            If none is fast enough.
        """
        fitting = [size for size in self.sizes if size.time_s(work) <= deadline_s]
        if not fitting:
            fastest_s = min(size.time_s(work) for size in self.sizes)
            raise InfeasibleError(
                f"no count of nodes ends within {deadline_s:.0f} s; the fastest takes"
                f" {fastest_s:.0f} s",
                remedy="a later deadline, or measure more nodes",
            )
        return min(fitting, key=lambda size: (size.energy_j(1.0), size.time_s(1.0)))

    def front(self) -> list[Size]:
        """Sizes that no other beats in both energy and time."""
        costs = {size: (size.energy_j(1.0), size.time_s(1.0)) for size in self.sizes}
        return [
            size
            for size, (energy, time) in costs.items()
            if not any(
                (e, t) != (energy, time) and e <= energy and t <= time for e, t in costs.values()
            )
        ]
