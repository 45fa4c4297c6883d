# SPDX-License-Identifier: Apache-2.0
"""A fake /proc and its control groups: processors, memory, processes, what each has used."""

import os
import shutil
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Final, Literal

from submeter.testing.cells import Cell
from submeter.testing.waveforms import Waveform, constant

USER_HZ: Final = 100  # unit of the times in /proc, fixed in Linux's interface
UPTIME_S: Final = 40_000.0  # at the machine's time 0
BOOT_UTC_S: Final = 1_789_960_000
BOOT_ID: Final = "0d6c2f0e-51b7-4c8e-9a55-7a0f1f2b3c4d"
USER_PART: Final = 0.9  # of busy time; the rest is the kernel's

Cgroups = Literal["v2", "v1", "hybrid", "none"]
_V1: Final = {"cpu,cpuacct": 2, "cpuset": 3, "memory": 4}


@dataclass(frozen=True)
class Processors:
    """What /proc/cpuinfo and /proc/meminfo say."""

    model_name: str = "Intel(R) Xeon(R) Platinum 8358 CPU @ 2.60GHz"
    vendor: str = "GenuineIntel"
    family: int = 6
    model: int = 106
    stepping: int = 6
    sockets: int = 1
    cores_per_socket: int = 4
    threads_per_core: int = 1
    hypervisor: bool = False
    memory_bytes: int = 64 * 2**30

    @property
    def count(self) -> int:
        """Number of logical processors."""
        return self.sockets * self.cores_per_socket * self.threads_per_core


@dataclass
class FakeProcess:
    """A process; the watts of ``cores`` are read as processors kept busy.

    One that has ended is reaped by its parent, which then counts its time as that of children;
    with ``reaped`` false it stays as a zombie.
    """

    pid: int
    ppid: int = 1
    cores: Waveform = field(default_factory=lambda: constant(1.0))
    comm: str = "python"
    argv: tuple[str, ...] = ("python", "train.py")
    environ: dict[str, str] = field(default_factory=dict)
    cgroup: str = "/"
    start_s: float = 0.0
    end_s: float = inf
    reaped: bool = True
    threads: int = 1

    def cpu_s(self, t_s: float) -> float:
        """CPU time that it has used by *t_s* [s]."""
        end_s = min(max(t_s, self.start_s), self.end_s)
        return self.cores.energy_j(self.start_s, end_s)


@dataclass
class Cgroup:
    """A control group and its limits; None: no limit."""

    path: str
    quota_cores: float | None = None
    cpuset: str = ""
    memory_bytes: int | None = None


class FakeProc:
    """The tree of /proc and of /sys/fs/cgroup, driven by what the processes use.

    Parameters
    ----------
    proc, sys
        Roots of the two trees, existing.
    processors
        Hardware to show.
    cgroups
        Which versions of control groups there are.
    other_cores, steal_cores
        Processors kept busy by processes that are not shown, and taken by the hypervisor.
    """

    def __init__(
        self,
        proc: Path,
        sys: Path,
        processors: Processors,
        *,
        cgroups: Cgroups,
        other_cores: Waveform,
        steal_cores: Waveform,
        hostname: str,
    ) -> None:
        self.proc = proc
        self.sys = sys
        self.processors = processors
        self.cgroups = cgroups
        self.other_cores = other_cores
        self.steal_cores = steal_cores
        self.processes = [
            FakeProcess(1, 0, constant(0.0), "init", ("/sbin/init",), start_s=-UPTIME_S)
        ]
        self.groups = [Cgroup("/")]
        self.shown: set[int] = set()  # processes that have a folder now
        self._masked: set[str] = set()
        self._cells: dict[str, Cell] = {}  # by path, as strings: `at` has to be quick
        self._usage: dict[str, list[tuple[str, str]]] = {}  # controller and folder, by group
        self._write_fixed(hostname)
        self._write_group(self.groups[0])
        self.show_self("/")

    # ---- what never changes ----

    def _write_fixed(self, hostname: str) -> None:
        p = self.processors
        texts = {
            "cpuinfo": "\n".join(_cpuinfo(p)),
            "meminfo": f"MemTotal:       {p.memory_bytes // 1024} kB\n"
            f"MemFree:        {p.memory_bytes // 2048} kB\n"
            f"MemAvailable:   {p.memory_bytes // 2048} kB\n",
            "version": "Linux version 6.8.0-fake (submeter)\n",
            "sys/kernel/osrelease": "6.8.0-fake\n",
            "sys/kernel/hostname": f"{hostname}\n",
            "sys/kernel/random/boot_id": f"{BOOT_ID}\n",
        }
        for name, text in texts.items():
            _put(self.proc / name, text)
        cpus = self.sys / "devices/system/cpu"
        for name in ("online", "possible", "present"):
            _put(cpus / name, f"{_range(p.count)}\n")
        for cpu in range(p.count):
            socket, core = _place(p, cpu)
            _put(cpus / f"cpu{cpu}/topology/physical_package_id", f"{socket}\n")
            _put(cpus / f"cpu{cpu}/topology/core_id", f"{core}\n")
            _put(cpus / f"cpu{cpu}/topology/die_id", "0\n")
        _put(self.sys / "class/dmi/id/sys_vendor", "QEMU\n" if p.hypervisor else "Dell Inc.\n")

    def show_self(self, cgroup: str) -> None:
        """Let /proc/self be a process in *cgroup* that may use all processors."""
        me = self.proc / "self"
        _put(me / "cgroup", self._membership(cgroup))
        _put(me / "mountinfo", self._mounts())
        allowed = _range(self.processors.count)
        _put(me / "status", f"Name:\tpython\nPid:\t1\nCpus_allowed_list:\t{allowed}\n")

    # ---- control groups ----

    def add_group(self, group: Cgroup) -> None:
        """Make a control group and those above it."""
        parents = [str(p) for p in Path(group.path).parents if str(p) != "/"]
        known = {g.path for g in self.groups}
        for path in (*reversed(parents), group.path):
            if path not in known:
                self.groups.append(group if path == group.path else Cgroup(path))
                self._write_group(self.groups[-1])

    def _folders(self, path: str) -> dict[str, Path]:
        """Folders of group *path* by controller; "" is version 2."""
        root, below = self.sys / "fs/cgroup", path.strip("/")
        v1 = {name: root / name / below for name in _V1}
        return {
            "none": {},
            "v2": {"": root / below},
            "v1": v1,
            "hybrid": {**v1, "": root / "unified" / below},
        }[self.cgroups]

    def _write_group(self, group: Cgroup) -> None:
        quota = -1 if group.quota_cores is None else round(group.quota_cores * 100_000)
        cpus = group.cpuset or _range(self.processors.count)
        top = group.path == "/"
        folders = self._folders(group.path)
        self._usage[group.path] = [(name, str(folder)) for name, folder in folders.items()]
        for controller, folder in folders.items():
            kinds: dict[str, dict[str, int | str]] = {
                "cpu,cpuacct": {"cpu.cfs_quota_us": quota, "cpu.cfs_period_us": 100_000,
                                "cpu.shares": 1024},
                "cpuset": {"cpuset.cpus": cpus, "cpuset.effective_cpus": cpus},
                "memory": {"memory.limit_in_bytes": group.memory_bytes or 9223372036854771712},
                "": {"cgroup.controllers": "cpuset cpu memory"},
            }  # fmt: skip
            texts = kinds[controller]
            if controller == "" and self.cgroups == "hybrid":
                texts = {"cgroup.controllers": ""}  # version 1 has the controllers
            elif controller == "":
                texts |= {"cpuset.cpus.effective": cpus}
                if not top:
                    texts |= {"cpu.max": f"{'max' if quota < 0 else quota} 100000",
                              "cpuset.cpus": group.cpuset,
                              "memory.max": group.memory_bytes or "max"}  # fmt: skip
            for name, text in texts.items():
                _put(folder / name, f"{text}\n")
        if self.cgroups in ("v1", "hybrid") and top:
            for name in ("cpu", "cpuacct"):
                (self.sys / "fs/cgroup" / name).symlink_to("cpu,cpuacct")

    def _membership(self, path: str) -> str:
        v1 = "".join(f"{n}:{name}:{path}\n" for name, n in reversed(_V1.items()))
        v1 += f"1:name=systemd:{path}\n"
        return {"none": "", "v2": f"0::{path}\n", "v1": v1, "hybrid": f"{v1}0::{path}\n"}[
            self.cgroups
        ]

    def _mounts(self) -> str:
        lines = {"": "cgroup2 cgroup2 rw"} | {n: f"cgroup cgroup rw,{n}" for n in _V1}
        text = "22 1 0:20 / / rw - ext4 /dev/root rw\n"
        for n, controller in enumerate(self._folders("/")):
            below = "unified" if self.cgroups == "hybrid" and not controller else controller
            at = f"/sys/fs/cgroup/{below}".rstrip("/")
            text += f"{30 + n} 22 0:{28 + n} / {at} rw,relatime - {lines[controller]}\n"
        return text

    # ---- time ----

    def busy_s(self, t_s: float) -> float:
        """CPU time that the whole machine has used by *t_s* [s]; others count from time 0."""
        shown_s = sum(process.cpu_s(t_s) for process in self.processes)
        return shown_s + self.other_cores.energy_j(0.0, t_s)

    def group_s(self, path: str, t_s: float) -> float:
        """CPU time used by processes in group *path* and those below, by *t_s* [s]."""
        inside = path.rstrip("/") + "/"
        if path == "/":
            return self.busy_s(t_s)
        return sum(p.cpu_s(t_s) for p in self.processes if f"{p.cgroup}/".startswith(inside))

    def mask(self, name: str) -> None:
        """Let the file *name* of /proc be empty from now on, as a container's mask does."""
        self._masked.add(name)
        self._cell(f"{self.proc}/{name}").write(b"")

    def at(self, t_s: float) -> None:
        """Show everything as it is at *t_s*."""
        living = self._living(t_s)
        if living != self.shown:
            self._restructure(living)
        self._write_stat(t_s, living)
        for process in self.processes:
            if process.pid in living:
                self._cell(f"{self.proc}/{process.pid}/stat").write(self._line(process, t_s))
        for group in self.groups:
            self._write_usage(group, t_s)

    def adopt(self, t_s: float) -> None:
        """Take over from another process that has shown *t_s*."""
        self.shown = self._living(t_s)
        self.close()

    def _living(self, t_s: float) -> set[int]:
        return {p.pid for p in self.processes if p.start_s <= t_s and _remains(p, t_s)}

    def close(self) -> None:
        """Let go of the files."""
        for cell in self._cells.values():
            cell.drop()

    def _cell(self, path: str) -> Cell:
        cell = self._cells.get(path)
        if cell is None:
            cell = self._cells[path] = Cell(Path(path))
        return cell

    def _restructure(self, living: set[int]) -> None:
        for pid in self.shown - living:
            self._cell(f"{self.proc}/{pid}/stat").drop()
            del self._cells[f"{self.proc}/{pid}/stat"]
            shutil.rmtree(self.proc / str(pid))
        for process in self.processes:
            if process.pid in living - self.shown:
                self._make(process)
        for pid in living:
            below = [p.pid for p in self.processes if p.ppid == pid and p.pid in living]
            _put(self.proc / f"{pid}/task/{pid}/children", "".join(f"{n} " for n in below))
        self.shown = set(living)

    def _make(self, process: FakeProcess) -> None:
        folder = self.proc / str(process.pid)
        settings = "".join(f"{name}={value}\0" for name, value in process.environ.items())
        allowed = _range(self.processors.count)
        texts = {
            "comm": f"{process.comm}\n",
            "cmdline": "".join(f"{word}\0" for word in process.argv),
            "environ": settings,
            "cgroup": self._membership(process.cgroup),
            "mountinfo": self._mounts(),
            "status": f"Name:\t{process.comm}\nTgid:\t{process.pid}\nPid:\t{process.pid}\n"
            f"PPid:\t{process.ppid}\nUid:\t{os.getuid()}\t{os.getuid()}\t{os.getuid()}\t"
            f"{os.getuid()}\nThreads:\t{process.threads}\nCpus_allowed_list:\t{allowed}\n",
        }
        for name, text in texts.items():
            _put(folder / name, text)

    def _line(self, process: FakeProcess, t_s: float) -> bytes:
        user, kernel = _ticks(process.cpu_s(t_s))
        child_user, child_kernel = _ticks(self._reaped_s(process, t_s))
        orphan = any(p.pid == process.ppid and p.end_s <= t_s for p in self.processes)
        state = "Z" if t_s >= process.end_s else "R" if process.cores.power_w(t_s) > 0 else "S"
        started = round((UPTIME_S + process.start_s) * USER_HZ)
        return (
            f"{process.pid} ({process.comm}) {state} {1 if orphan else process.ppid} {process.pid}"
            f" {process.pid} 0 -1 4194304 0 0 0 0 {user:010d} {kernel:010d} {child_user:010d}"
            f" {child_kernel:010d} 20 0 {process.threads} 0 {started} 1073741824 65536"
            f" 18446744073709551615{' 0' * 12} 17 0{' 0' * 13}\n"
        ).encode()

    def _reaped_s(self, process: FakeProcess, t_s: float) -> float:
        """CPU time of children, and theirs, that *process* has reaped by *t_s*."""
        return sum(
            child.cpu_s(child.end_s) + self._reaped_s(child, child.end_s)
            for child in self.processes
            if child.ppid == process.pid and child.reaped
            and child.end_s <= min(t_s, process.end_s)
        )  # fmt: skip

    def _write_stat(self, t_s: float, living: set[int]) -> None:
        if "uptime" not in self._masked:
            self._cell(f"{self.proc}/uptime").write(b"%012.2f %012.2f\n" % (UPTIME_S + t_s, 0.0))
        if "stat" in self._masked:
            return
        n = self.processors.count
        busy_s, steal_s = self.busy_s(t_s), self.steal_cores.energy_j(0.0, t_s)
        whole = _cpu_line(b"cpu ", busy_s, steal_s, n * (UPTIME_S + t_s))
        each = _cpu_line(b"", busy_s / n, steal_s / n, UPTIME_S + t_s)
        lines = [whole, *(b"cpu%d%s" % (cpu, each) for cpu in range(n))]
        lines.append(b"intr 0\nctxt 0\nbtime %d\nprocesses %d\n" % (BOOT_UTC_S, 1 + len(living)))
        lines.append(b"procs_running 1\nprocs_blocked 0\n")
        self._cell(f"{self.proc}/stat").write(b"".join(lines))

    def _write_usage(self, group: Cgroup, t_s: float) -> None:
        used_s = self.group_s(group.path, t_s)
        for controller, folder in self._usage[group.path]:
            if controller == "":
                used_us = int(used_s * 1e6 + 0.5)
                user_us = int(used_us * USER_PART)
                self._cell(f"{folder}/cpu.stat").write(
                    b"usage_usec %015d\nuser_usec %015d\nsystem_usec %015d\n"
                    % (used_us, user_us, used_us - user_us)
                )
            elif controller == "cpu,cpuacct":
                self._cell(f"{folder}/cpuacct.usage").write(b"%018d\n" % int(used_s * 1e9 + 0.5))
                self._cell(f"{folder}/cpuacct.stat").write(
                    b"user %012d\nsystem %012d\n" % _ticks(used_s)
                )


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _range(n: int) -> str:
    return "0" if n == 1 else f"0-{n - 1}"


def _place(p: Processors, cpu: int) -> tuple[int, int]:
    """Socket and core of a logical processor; siblings come after all cores, as is usual."""
    core = cpu % (p.sockets * p.cores_per_socket)
    return core // p.cores_per_socket, core % p.cores_per_socket


def _cpuinfo(p: Processors) -> list[str]:
    flags = "fpu vme de pse tsc msr avx avx2" + (" hypervisor" if p.hypervisor else "")
    lines = []
    for cpu in range(p.count):
        socket, core = _place(p, cpu)
        lines += [
            f"processor\t: {cpu}", f"vendor_id\t: {p.vendor}", f"cpu family\t: {p.family}",
            f"model\t\t: {p.model}", f"model name\t: {p.model_name}",
            f"stepping\t: {p.stepping}", "cpu MHz\t\t: 2600.000", f"physical id\t: {socket}",
            f"siblings\t: {p.cores_per_socket * p.threads_per_core}", f"core id\t\t: {core}",
            f"cpu cores\t: {p.cores_per_socket}", f"flags\t\t: {flags}", "",
        ]  # fmt: skip
    return [*lines, ""]


def _remains(process: FakeProcess, t_s: float) -> bool:
    return t_s < process.end_s or not process.reaped


def _ticks(cpu_s: float) -> tuple[int, int]:
    """CPU time as ticks in user and in kernel mode."""
    all_of_it = int(cpu_s * USER_HZ + 1e-6)
    user = int(cpu_s * USER_PART * USER_HZ + 1e-6)
    return user, all_of_it - user


def _cpu_line(label: bytes, busy_s: float, steal_s: float, all_s: float) -> bytes:
    user, kernel = _ticks(busy_s)
    steal = int(steal_s * USER_HZ)
    idle = max(int(all_s * USER_HZ) - user - kernel - steal, 0)
    return b"%s %012d 0 %012d %012d 0 0 0 %012d 0 0\n" % (label, user, kernel, idle, steal)
