# SPDX-License-Identifier: Apache-2.0
"""What a job draws while it works, writes its state, comes back, and stands still."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from submeter.planning.costs import Costs, Floats
from submeter.records.plans import Job, Slice
from submeter.units import J_PER_KWH


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """Power over the work of a job, in steps of equal length.

    Attributes
    ----------
    edges_s
        ``(k + 1,)``, amounts of work at which the power changes [s].
    power_w
        ``(k,)``, power between them [W].
    energy_j
        ``(k + 1,)``, energy up to each of *edges_s* [J].
    """

    edges_s: Floats
    power_w: Floats
    energy_j: Floats

    @classmethod
    def of(cls, job: Job) -> Self:
        """Power course of *job*; of unknown power, so much that the work is one kilowatt-hour."""
        even_w = J_PER_KWH / job.duration_s if job.power_w is None else job.power_w
        power_w = np.asarray(job.power_course_w or (even_w,), dtype=np.float64)
        edges_s = np.linspace(0.0, job.duration_s, power_w.size + 1)
        energy_j = np.concatenate(([0.0], np.cumsum(power_w * np.diff(edges_s))))
        return cls(edges_s, power_w, energy_j)

    @property
    def even(self) -> bool:
        """Whether the power is the same all the time."""
        return bool(np.all(self.power_w == self.power_w[0]))

    def upto_j(self, work_s: Floats) -> Floats:
        """Energy of the first *work_s* seconds of work, of any shape [J]."""
        return np.interp(work_s, self.edges_s, self.energy_j)

    def at_w(self, work_s: float) -> float:
        """Power after *work_s* seconds of work [W]; what a pause there is drawn at."""
        index = np.searchsorted(self.edges_s, work_s * (1 + 1e-12), side="right") - 1
        return float(self.power_w[min(max(int(index), 0), self.power_w.size - 1)])


def energies_kwh(job: Job, slices: tuple[Slice, ...], costs: Costs) -> Floats:
    """Energy that *job* draws in each slot if it runs in *slices*, ``(n,)`` [kWh].

    Parameters
    ----------
    job
        A slice but the first begins with ``restart_s`` of coming back, a slice but the last ends
        with ``checkpoint_s`` of writing the state, both at the power of the work next to them;
        between slices it draws ``idle_w``.
    slices
        In time order; their lengths sum to the duration and what the pauses add.
    costs
        Only its slots are looked at.

    Notes
    -----
    Energy over time is piecewise linear, so each slot gets the difference of two exact values.
    """
    times_s, upto_j = _running_total(job, slices)
    edges_s = costs.edges_s() + (costs.start_utc_s - slices[0].start_s)
    return np.diff(np.interp(edges_s, times_s, upto_j)) / J_PER_KWH


def _running_total(job: Job, slices: tuple[Slice, ...]) -> tuple[Floats, Floats]:
    """Instants since the first start at which the power changes [s], and energy until then [J]."""
    course = Course.of(job)
    first_s = slices[0].start_s
    times_s, upto_j = [0.0], [0.0]
    done_s = 0.0
    for number, piece in enumerate(slices):
        back_s = job.restart_s if number else 0.0
        save_s = job.checkpoint_s if number + 1 < len(slices) else 0.0
        start_s, end_s = piece.start_s - first_s, piece.end_s - first_s
        until_s = done_s + (end_s - save_s) - (start_s + back_s)
        inner_s = course.edges_s[(course.edges_s > done_s) & (course.edges_s < until_s)]
        stops_s = np.concatenate(([done_s], inner_s, [until_s]))
        idle_j = (start_s - times_s[-1]) * job.idle_w
        back_j = course.at_w(done_s) * back_s
        work_j = course.upto_j(stops_s)
        upto_j.append(upto_j[-1] + idle_j)
        upto_j.extend((upto_j[-1] + back_j + work_j - work_j[0]).tolist())
        upto_j.append(upto_j[-1] + course.at_w(until_s) * save_s)
        times_s.append(start_s)
        times_s.extend((start_s + back_s + stops_s - done_s).tolist())
        times_s.append(end_s)
        done_s = until_s
    return np.array(times_s), np.array(upto_j)
