# SPDX-License-Identifier: Apache-2.0
"""CPU time of this machine: by a process with all its descendants, by others, taken away."""

import os
import threading
import time
from pathlib import Path
from typing import Final, NamedTuple, Self

PROC: Final = Path("/proc")
SLOT_S: Final = 0.25
_WHOLE: Final = 0.6  # of a slot; a shorter last one is left out
_CPU_CLOCK: Final = 2  # CPUCLOCK_SCHED of a process (kernel, posix-timers)
_BUSY: Final = (0, 1, 2, 5, 6)  # user, nice, system, irq, softirq
_STOLEN: Final = 7
_OWN: Final = slice(11, 15)  # utime, stime, cutime, cstime, behind the name
_ENDED: Final = slice(13, 15)
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


class Busy:
    """Processors in use by a process with all its descendants, slot by slot, beside its work.

    Its own look takes a fraction of a millisecond and is part of what it sees.
    """

    def __init__(self, root_pid: int) -> None:
        self._root_pid = root_pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.slots: list[float] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        last_s, before_s = time.monotonic(), live_cpu_s(self._root_pid)
        over = False
        while not over:
            over = self._over.wait(max(0.0, last_s + SLOT_S - time.monotonic()))
            now_s, cpu_s = time.monotonic(), live_cpu_s(self._root_pid)
            length_s = now_s - last_s
            if length_s >= _WHOLE * SLOT_S:
                self.slots.append(max(0.0, cpu_s - before_s) / length_s)
            last_s, before_s = now_s, cpu_s


def live_cpu_s(root_pid: int, proc: Path = PROC) -> float:
    """CPU time of *root_pid* with its descendants and those of them that have ended [s].

    Finer than `used`: what lives is read from its clock, to the nanosecond.
    """
    cpu_s, waiting = 0.0, [root_pid]
    while waiting:
        pid = waiting.pop()
        try:
            words = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
            cpu_s += sum(map(int, words[_ENDED])) / _TICKS_PER_S
            cpu_s += time.clock_gettime((~pid << 3) | _CPU_CLOCK)
            for task in os.listdir(proc / str(pid) / "task"):  # noqa: PTH208
                children = (proc / str(pid) / "task" / task / "children").read_text()
                waiting += map(int, children.split())
        except (OSError, ValueError, IndexError):  # it has just ended
            continue
    return cpu_s


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
