# SPDX-License-Identifier: Apache-2.0
"""The cheapest start of a job that runs through.

The cost of a start is piecewise linear in it: it bends only where a change of the job's power
meets a change of the grid. So the cheapest start is one of those, or the first or the last.
"""

import numpy as np

from submeter.planning.costs import Floats
from submeter.planning.courses import Course
from submeter.planning.rows import TINY, Ground
from submeter.units import J_PER_KWH


def starts(ground: Ground, course: Course, from_s: float, to_s: float) -> tuple[Floats, Floats]:
    """All starts that can be the cheapest, and what they cost.

    Parameters
    ----------
    from_s, to_s
        First and last start allowed [s since the first slot began].

    Returns
    -------
    tuple of (m,)
        Starts in time order [s since the first slot began], and cost of each; infinite where the
        job would run in a forbidden slot. Between neighbours the cost is linear.
    """
    step_s = ground.step_s
    offsets_s = np.unique(np.round((-course.edges_s) % step_s / TINY).astype(np.int64)) * TINY
    offsets_s = offsets_s[offsets_s < step_s - TINY]
    first, last = int(from_s // step_s), int(to_s // step_s) + 1
    grid_s = np.arange(first, last + 1) * step_s
    bends_s = (grid_s[:, None] + offsets_s[None, :]).ravel()
    inside = (bends_s > from_s + TINY) & (bends_s < to_s - TINY)
    cost = np.empty((grid_s.size, offsets_s.size))
    for column, offset_s in enumerate(offsets_s):
        cost[:, column] = _on_grid(ground, course, first, grid_s.size, float(offset_s))
    ends_s = np.array([from_s] if to_s - from_s < TINY else [from_s, to_s])
    at_ends = costs_of(ground, course, ends_s)
    return (
        np.concatenate((ends_s[:1], bends_s[inside], ends_s[1:])),
        np.concatenate((at_ends[:1], cost.ravel()[inside], at_ends[1:])),
    )


def _on_grid(ground: Ground, course: Course, first: int, count: int, offset_s: float) -> Floats:
    """Cost of running through from *count* edges of slots on, each so much later, ``(count,)``.

    The same as `costs_of`, but a change of power lies equally far into a slot for all of them, so
    the antiderivative is shifted instead of looked up.
    """
    changes_w = np.diff(course.power_w, prepend=0.0, append=0.0)
    cost = np.zeros(count)
    shut_s = np.zeros(count)
    for change_w, edge_s in zip(changes_w, course.edges_s, strict=True):
        if change_w:
            cost -= ground.shifted(first, count, offset_s + edge_s) * (change_w / J_PER_KWH)
    if ground.shut is not None:
        shut_s += ground.shifted(first, count, offset_s + course.edges_s[-1], shut=True)
        shut_s -= ground.shifted(first, count, offset_s, shut=True)
        cost[shut_s > TINY] = np.inf
    return cost


def costs_of(ground: Ground, course: Course, starts_s: Floats) -> Floats:
    """Cost of running through from each start, ``(m,)``."""
    cost = np.zeros(starts_s.size)
    for power_w, begin_s, end_s in zip(
        course.power_w, course.edges_s[:-1], course.edges_s[1:], strict=True
    ):
        cost += ground.work(starts_s + begin_s, starts_s + end_s) * (power_w / J_PER_KWH)
    return cost
