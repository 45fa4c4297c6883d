# SPDX-License-Identifier: Apache-2.0
"""What reference tasks of everyday computing used on a machine, as it is measured and kept."""

from typing import Literal

import msgspec

from submeter.records.figures import Missing, Quantity
from submeter.records.runs import Host

EVERYDAY_SCHEMA = 1

Kind = Literal["one", "many", "paced", "idle"]


class Round(msgspec.Struct, frozen=True):
    """One stretch of one task.

    ``one`` worker or ``many`` at full load, ``paced`` one worker at a part of it, or ``idle``.
    ``others_s`` is CPU time of everybody else on the machine, ``stolen_s`` what a hypervisor
    took, both over all processors. The energy is that of the node, the run's share.
    """

    task: str
    way: str
    kind: Kind
    number: int
    workers: int
    units: float
    wall_s: float
    cpu_s: float
    others_s: float
    stolen_s: float
    energy: Quantity | Missing
    busy: tuple[float, ...] = ()  # processors in use by the task, in slots
    busy_slot_s: float = 0.0

    @property
    def power_w(self) -> float | Missing:
        """Mean power of the node."""
        energy = self.energy
        return energy if isinstance(energy, Missing) else energy.value / self.wall_s

    @property
    def phase(self) -> str:
        """Name of its phase in the run."""
        return phase_name(self.task, self.way, self.kind, self.number)


class Everyday(msgspec.Struct, frozen=True):
    """All rounds of a look at this machine, and what they ran on."""

    run_id: str
    made_utc: str
    machine: str
    processors: int
    quick: bool
    rounds: tuple[Round, ...]
    units: dict[str, str]  # of each task
    missing: dict[str, str] = {}  # task -> why it did not run
    told: dict[str, dict[str, str | float]] = {}  # task -> versions and settings
    wall_s: float = 0.0
    host: Host | None = None
    notes: tuple[str, ...] = ()
    schema: int = EVERYDAY_SCHEMA

    def of(self, task: str, way: str = "", kind: Kind = "one") -> tuple[Round, ...]:
        """Rounds of a task, those of one *way* if given."""
        return tuple(
            r for r in self.rounds
            if r.task == task and r.kind == kind and (not way or r.way == way)
        )  # fmt: skip


def phase_name(task: str, way: str, kind: str, number: int) -> str:
    """Name of the phase of a round: ``http work one 2``."""
    return f"{task} {way} {kind} {number}"
