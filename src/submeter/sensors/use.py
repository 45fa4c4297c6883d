# SPDX-License-Identifier: Apache-2.0
"""Who uses the processors: the machine, the hypervisor, the run."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from submeter.records import Channel, Device, DeviceKind, Measures, Missing
from submeter.sensors import cgroups
from submeter.sensors.kernel_files import KeptFile
from submeter.sensors.proc import ProcessTree, machine_times_in, ticks_per_s
from submeter.units import NS_PER_S

NOT_DUE: Final = Missing("not due yet")
SCAN_NS: Final = 2 * NS_PER_S  # how often to look for new processes
COST_RATIO: Final = 0.0001  # part of one processor that looking at the processes may take
LONGEST_NS: Final = 2 * NS_PER_S


class UseSensor:
    """Busy and stolen time of the machine, and CPU time of the run's processes.

    Looking at every process of a large run costs time, so this sensor looks as often as a small
    part of one processor allows, at least every two seconds; between, all values are `NOT_DUE`.

    Parameters
    ----------
    host
        Name of the machine.
    proc_root, sys_root
        Where the kernel's trees are mounted.
    tree
        The run's processes; None: only the machine is looked at.
    now_ns, cost_ns
        Clocks for the time, and for the CPU time of the reading thread [ns].
    """

    def __init__(
        self,
        host: str,
        *,
        proc_root: Path = Path("/proc"),
        sys_root: Path = Path("/sys"),
        tree: ProcessTree | None = None,
        now_ns: Callable[[], int] = time.monotonic_ns,
        cost_ns: Callable[[], int] = time.thread_time_ns,
    ) -> None:
        self._device = Device(f"use:{host}", DeviceKind.NODE, "processor time", host)
        self._proc_root = proc_root
        self._stat = KeptFile(f"{proc_root}/stat")
        self._sys_root = sys_root
        self.tree = tree
        self._now_ns = now_ns
        self._cost_ns = cost_ns
        self._due_ns = 0
        self._scan_ns = 0
        self._typical_ns = 0
        tick_s = 1 / ticks_per_s()
        self._tick_ns = NS_PER_S // ticks_per_s()
        self._channels = tuple(
            Channel(self._device.id, measures, tick_s, update_s=tick_s, source=source)
            for measures, source in (
                (Measures.BUSY_TIME, "/proc/stat"),
                (Measures.STEAL_TIME, "/proc/stat"),
                (Measures.RUN_TIME, "/proc/PID/stat"),
            )
        )

    @property
    def device(self) -> Device:
        """The machine; it draws nothing of its own."""
        return self._device

    @property
    def channels(self) -> Sequence[Channel]:
        """Busy time, stolen time, run time; all in ticks."""
        return self._channels

    def watch(self, tree: ProcessTree) -> None:
        """Take the run's processes from now on from *tree*."""
        self.tree = tree
        self._due_ns = self._scan_ns = 0

    def read(self) -> Sequence[int | Missing]:
        """Read the times so far, in ticks, or why they are missing."""
        now_ns = self._now_ns()
        if now_ns < self._due_ns:
            return (NOT_DUE, NOT_DUE, NOT_DUE)
        began_ns = self._cost_ns()
        times = machine_times_in(self._stat)
        scan = now_ns >= self._scan_ns
        run = self._run_ticks(scan=scan)
        spent_ns = max(0, self._cost_ns() - began_ns)
        # The lower of two looks: one that was interrupted says nothing about the next.
        expected_ns = min(spent_ns, self._typical_ns) if self._typical_ns else spent_ns
        self._typical_ns = spent_ns
        if scan:
            self._scan_ns = now_ns + SCAN_NS
        self._due_ns = now_ns + min(int(expected_ns / COST_RATIO), LONGEST_NS)
        if not isinstance(times, Missing):
            return (times.busy, times.steal, run)
        if self.tree is not None and self.tree.seen and not self.tree.pids:
            run = times  # whether they ended or are hidden cannot be told
        return (times, times, run)

    def _run_ticks(self, *, scan: bool) -> int | Missing:
        if self.tree is None:
            return Missing("no run is watched")
        used_ns: int | Missing = self.tree.update(newcomers=scan)
        if not self.tree.seen:
            used_ns = cgroups.run_time_ns(cgroups.find_groups(self._sys_root, self._proc_root))
        if isinstance(used_ns, Missing):
            return Missing("the run's processes cannot be seen")
        return used_ns // self._tick_ns

    def close(self) -> None:
        """Let go of all files; a later read opens them again."""
        self._stat.close()
        if self.tree is not None:
            self.tree.close()
