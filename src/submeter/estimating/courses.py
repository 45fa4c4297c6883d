# SPDX-License-Identifier: Apache-2.0
"""What is seen of a training under way: logged steps, an amount over time, stretches of phases."""

import bisect
from collections.abc import Sequence
from typing import NamedTuple


class Mark(NamedTuple):
    """So many steps (samples, tokens) were done at this time [s since the run began]."""

    t_s: float
    done: float


class Stretch(NamedTuple):
    """Time spent in a phase [s since the run began]."""

    path: str
    start_s: float
    end_s: float


class Course:
    """A cumulative amount over time, straight between its points.

    Parameters
    ----------
    t_s, totals
        Instants in order [s] and what had been used by then, in any unit; never less.
    """

    def __init__(self, t_s: Sequence[float], totals: Sequence[float]) -> None:
        if len(t_s) != len(totals) or not t_s:
            msg = f"{len(t_s)} instants and {len(totals)} amounts make no course"
            raise ValueError(msg)
        self.t_s, self.totals = t_s, totals

    @classmethod
    def of_time(cls, end_s: float) -> "Course":
        """Time itself, for forecasting how long it takes."""
        return cls((0.0, max(end_s, 1e-9)), (0.0, max(end_s, 1e-9)))

    @property
    def end_s(self) -> float:
        """Until when it is known [s]."""
        return self.t_s[-1]

    def at(self, t_s: float) -> float:
        """Amount used by *t_s*; beyond its ends it stays."""
        i = bisect.bisect_right(self.t_s, t_s)
        if i == 0:
            return self.totals[0]
        if i == len(self.t_s):
            return self.totals[-1]
        (t0, t1), (a, b) = self.t_s[i - 1 : i + 1], self.totals[i - 1 : i + 1]
        return a + (b - a) * (t_s - t0) / (t1 - t0)


class Interval(NamedTuple):
    """From one logged step to the next."""

    start_s: float
    end_s: float
    steps: float
    done: float  # at its end
    kind: str = ""  # of the pause in it


def intervals(marks: Sequence[Mark]) -> list[Interval]:
    """Stretches between marks in which steps were done; a step that was logged twice is one."""
    found: list[Interval] = []
    before: Mark | None = None
    for mark in marks:
        if before is None or mark.done < before.done:  # began again from an older checkpoint
            before = mark
        elif mark.done > before.done:
            found.append(Interval(before.t_s, mark.t_s, mark.done - before.done, mark.done))
            before = mark
    return found


def taken(part: Interval, course: Course) -> float:
    """Amount of *course* that *part* took, in its unit."""
    return course.at(part.end_s) - course.at(part.start_s)
