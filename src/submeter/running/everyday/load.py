# SPDX-License-Identifier: Apache-2.0
"""CPU time of this machine: by a process with all its descendants, by others, taken away."""

import os
from pathlib import Path
from typing import Final, NamedTuple

PROC: Final = Path("/proc")
_BUSY: Final = (0, 1, 2, 5, 6)  # user, nice, system, irq, softirq
_STOLEN: Final = 7
_OWN: Final = slice(11, 15)  # utime, stime, cutime, cstime, behind the name
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


class Used(NamedTuple):
    """CPU time since some instant [s]."""

    own_s: float
    busy_s: float  # of everybody, ourselves among them
    stolen_s: float

    def since(self, before: "Used") -> "Used":
        """What was used from *before* to here."""
        return Used(*(max(0.0, b - a) for a, b in zip(before, self, strict=True)))

    @property
    def others_s(self) -> float:
        """CPU time of everybody else."""
        return max(0.0, self.busy_s - self.own_s)


def used(root_pid: int, proc: Path = PROC) -> Used:
    """Look at the CPU time of *root_pid* with its descendants, and of the whole machine.

    Descendants that have ended count as soon as their parent took note of it.
    """
    fields = _fields(proc / "stat", 0)
    busy = sum(int(fields[i + 1]) for i in _BUSY if i + 1 < len(fields))
    stolen = int(fields[_STOLEN + 1]) if len(fields) > _STOLEN + 1 else 0
    own = _of_tree(root_pid, proc)
    return Used(own / _TICKS_PER_S, busy / _TICKS_PER_S, stolen / _TICKS_PER_S)


def _of_tree(root_pid: int, proc: Path) -> int:
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for name in os.listdir(proc):  # noqa: PTH208  # no object for each of many
        if not name.isdecimal():
            continue
        try:
            words = (proc / name / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        parents[int(name)] = int(words[1])
        ticks[int(name)] = sum(map(int, words[_OWN]))
    return sum(n for pid, n in ticks.items() if _below(pid, root_pid, parents))


def _below(pid: int, root_pid: int, parents: dict[int, int]) -> bool:
    seen = 0
    while pid and seen <= len(parents):
        if pid == root_pid:
            return True
        pid = parents.get(pid, 0)
        seen += 1
    return False


def _fields(path: Path, number: int) -> list[str]:
    try:
        return path.read_text().splitlines()[number].split()
    except (OSError, IndexError):
        return []
