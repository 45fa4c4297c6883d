# SPDX-License-Identifier: Apache-2.0
"""On how many nodes a training takes least energy, by how it was measured to scale."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from submeter.errors import UsageError
from submeter.planning.scaling import Scaling
from submeter.reducing.techniques.machine import Machine
from submeter.reducing.techniques.protocol import YES, Applied, Fit, Method


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
        counts = sorted(target)
        scaling = Scaling(
            tuple(int(n) for n in counts),
            tuple(float(target[n][0]) for n in counts),
            tuple(float(target[n][1]) for n in counts),
        )
        best = scaling.least(work, deadline_s=deadline_s)
        fastest = min(scaling.sizes, key=lambda size: size.time_s(work))
        saving = 1 - best.energy_j(work) / fastest.energy_j(work)
        slower = best.time_s(work) / fastest.time_s(work) - 1
        words = f"{best.workers} nodes: {100 * saving:.0f} % less energy than the fastest"
        notes = (f"{words}, {100 * slower:.0f} % more time",)
        found = {f"energy_j_{size.workers}": size.energy_j(work) for size in scaling.sizes}
        return Applied(
            self.name, best.workers, notes=notes, found=found, also={"front": scaling.front()}
        )


TECHNIQUE = NodeCount()
