# SPDX-License-Identifier: Apache-2.0
"""On how many nodes a training takes least energy, by how it was measured to scale."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from submeter.errors import InfeasibleError, UsageError
from submeter.reducing.techniques.machine import Machine
from submeter.reducing.techniques.protocol import YES, Applied, Fit, Method


class Scale(NamedTuple):
    """A count of nodes, as measured: work in a second, and power of all its nodes."""

    nodes: int
    work_per_s: float
    power_w: float

    def energy_j(self, work: float) -> float:
        """Energy of so much work [J]."""
        return self.power_w * self.time_s(work)

    def time_s(self, work: float) -> float:
        """Time of so much work [s]."""
        return work / self.work_per_s


def choice(
    scales: Sequence[Scale], work: float, *, deadline_s: float = math.inf
) -> tuple[Scale, list[Scale]]:
    """The scale of least energy within the deadline, and those that nothing beats in both.

    Raises
    ------
    InfeasibleError
        If none is fast enough.
    """
    fitting = [s for s in scales if s.time_s(work) <= deadline_s]
    if not fitting:
        fastest = min(s.time_s(work) for s in scales)
        raise InfeasibleError(
            f"no count of nodes ends within {deadline_s:.0f} s; the fastest takes {fastest:.0f} s",
            remedy="a later deadline, or measure more nodes",
        )
    best = min(fitting, key=lambda s: (s.energy_j(work), s.time_s(work)))
    front = [
        s for s in scales
        if not any(
            (o.energy_j(work), o.time_s(work)) != (s.energy_j(work), s.time_s(work))
            and o.energy_j(work) <= s.energy_j(work)
            and o.time_s(work) <= s.time_s(work)
            for o in scales
        )
    ]  # fmt: skip
    return best, sorted(front)


def consolidated(loads: Sequence[float], room: float = 1.0) -> list[list[int]]:
    """Indices of *loads* put together onto as few nodes as first fit decreasing finds.

    Every node left empty can be switched off. First fit decreasing takes at most 11/9 of the
    least number and 6/9 of a node (Dósa 2007).

    Raises
    ------
    UsageError
        If a load is negative or larger than a node.
    """
    if any(not 0 <= load <= room for load in loads):
        raise UsageError("a load is from 0 to a node's capacity", remedy="split what is larger")
    nodes: list[list[int]] = []
    free: list[float] = []
    for i in sorted(range(len(loads)), key=lambda i: -loads[i]):
        at = next((n for n, left in enumerate(free) if loads[i] <= left + 1e-12), None)
        if at is None:
            nodes.append([i])
            free.append(room - loads[i])
        else:
            nodes[at].append(i)
            free[at] -= loads[i]
    return nodes


class NodeCount(Method):
    """Energy against time, by measured scaling."""

    name = "node_count"
    group = "many machines"
    what = "Chooses the number of nodes by measured scaling: energy against time."
    why = "Each further node brings less work than the one before, and draws as much."
    price = "Time, where fewer nodes are best; a short run on each count to measure."
    when_it_does_not_help = (
        "Work that scales in full, and nodes that draw as much empty as busy while they wait for "
        "you: then the fastest is best."
    )
    needs = ()
    takes = "measured scaling"

    def gains_on(self, machine: Machine) -> Fit:
        del machine
        return YES

    def apply(
        self, target: Any, *, work: float = 1.0, deadline_s: float = math.inf, **options: Any
    ) -> Applied:
        """Choose from *target*: ``{nodes: (work a second, power of all [W])}``.

        Parameters
        ----------
        work
            To be done, in the unit of the throughput.
        deadline_s
            Time that it may take [s].
        """
        self.no_more(options)
        if not isinstance(target, Mapping) or not target:
            raise UsageError(
                "a scaling is measured: work a second and watts for each count of nodes",
                remedy="submeter.reduce.node_count({1: (100, 400), 2: (180, 800)}, work=1e6)",
            )
        scales = [Scale(int(n), float(w), float(p)) for n, (w, p) in sorted(target.items())]
        if any(s.nodes < 1 or s.work_per_s <= 0 or s.power_w <= 0 for s in scales):
            raise UsageError("nodes, work and power are above zero", remedy="leave such rows out")
        best, front = choice(scales, work, deadline_s=deadline_s)
        fastest = min(scales, key=lambda s: s.time_s(work))
        saving = 1 - best.energy_j(work) / fastest.energy_j(work)
        slower = best.time_s(work) / fastest.time_s(work) - 1
        words = f"{best.nodes} nodes: {100 * saving:.0f} % less energy than the fastest"
        notes = (f"{words}, {100 * slower:.0f} % more time",)
        found = {f"energy_j_{s.nodes}": s.energy_j(work) for s in scales}
        return Applied(self.name, best.nodes, notes=notes, found=found, also={"front": front})


TECHNIQUE = NodeCount()
