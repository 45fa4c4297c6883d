# SPDX-License-Identifier: Apache-2.0
"""What part of a machine's processors and memory this process is allotted.

Control groups of version 1, 2, both at once or none. A limit of any ancestor counts, so every
level between the process's own group and the root of what is mounted is looked at.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from submeter.records import Missing

CGROUP: Final = "fs/cgroup"
# A version 1 limit that is not set reads as the largest whole number of pages below 2^63.
NO_LIMIT: Final = 1 << 60
NS_PER_US: Final = 1000


class Limits(msgspec.Struct, frozen=True):
    """What control groups allow; None: no limit of that kind."""

    cpus: float | None = None  # quota over period, in processors
    cpuset: int | None = None  # number of processors that may be used at all
    memory_bytes: int | None = None
    version: str = "none"  # none | v1 | v2 | hybrid


class Groups(msgspec.Struct, frozen=True):
    """Folders of one process's control groups, its own first, then its ancestors."""

    unified: tuple[Path, ...] = ()
    cpu: tuple[Path, ...] = ()
    cpuset: tuple[Path, ...] = ()
    memory: tuple[Path, ...] = ()
    cpuacct: tuple[Path, ...] = ()

    @property
    def version(self) -> str:
        """Which hierarchies exist: none, v1, v2 or hybrid."""
        v1 = bool(self.cpu or self.cpuset or self.memory or self.cpuacct)
        if v1 and self.unified:
            return "hybrid"
        return "v1" if v1 else "v2" if self.unified else "none"


def find_groups(sys_root: Path, proc_root: Path, *, pid: int | None = None) -> Groups:
    """Control groups of *pid* (None: of this process), as far as they are mounted here."""
    try:
        told = proc_root / (str(pid) if pid else "self") / "cgroup"
        lines = told.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return Groups()
    root = sys_root / CGROUP
    found: dict[str, tuple[Path, ...]] = {}
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            mount = root if (root / "cgroup.controllers").exists() else root / "unified"
            found["unified"] = _levels(mount, path)
            continue
        for name in {"cpu", "cpuset", "memory", "cpuacct"}.intersection(controllers.split(",")):
            mounts = [root / controllers, root / name, root / ",".join(_other_way(controllers))]
            found[name] = next((f for m in mounts if (f := _levels(m, path))), ())
    return Groups(**found)


def _other_way(controllers: str) -> list[str]:
    return controllers.split(",")[::-1]


def _levels(mount: Path, path: str) -> tuple[Path, ...]:
    """Folders from the group up to *mount*.

    In a container the path is often that of the host, of which only the last part, or nothing,
    is mounted; the longest tail that exists is the group.
    """
    if not mount.is_dir():
        return ()
    parts = [p for p in path.split("/") if p and p != ".."]
    for skip in range(len(parts) + 1):
        tail = parts[skip:]
        group = mount.joinpath(*tail)
        if group.is_dir():
            return tuple(mount.joinpath(*tail[:n]) for n in range(len(tail), -1, -1))
    return ()


def limits(groups: Groups) -> Limits:
    """Tightest limits over all levels and both versions."""
    return Limits(
        cpus=min((*_quota_v2(groups.unified), *_quota_v1(groups.cpu)), default=None),
        cpuset=_cpuset(groups),
        memory_bytes=min((*_memory(groups),), default=None),
        version=groups.version,
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _quota_v2(levels: Sequence[Path]) -> Iterator[float]:
    for level in levels:
        quota, _, period = _text(level / "cpu.max").partition(" ")
        if quota.isdecimal() and period.isdecimal() and int(period) > 0 and int(quota) > 0:
            yield int(quota) / int(period)


def _quota_v1(levels: Sequence[Path]) -> Iterator[float]:
    for level in levels:
        quota, period = _text(level / "cpu.cfs_quota_us"), _text(level / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal() and int(period) > 0 and int(quota) > 0:
            yield int(quota) / int(period)


def _cpuset(groups: Groups) -> int | None:
    for levels, names in (
        (groups.unified, ("cpuset.cpus.effective", "cpuset.cpus")),
        (groups.cpuset, ("cpuset.effective_cpus", "cpuset.cpus")),
    ):
        for level in levels:
            for name in names:
                if n := count_cpus(_text(level / name)):
                    return n
    return None


def count_cpus(ranges: str) -> int:
    """Count the processors in a list such as ``0-3,8``; 0 if it is no such list."""
    total = 0
    for part in ranges.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            return 0
        total += int(last or first) - int(first) + 1
    return max(total, 0)


def _memory(groups: Groups) -> Iterator[int]:
    for levels, name in (
        (groups.unified, "memory.max"),
        (groups.memory, "memory.limit_in_bytes"),
    ):
        for level in levels:
            text = _text(level / name)
            if text.isdecimal() and 0 < int(text) < NO_LIMIT:
                yield int(text)


def cpu_allocation_ratio(allowed: Limits, *, vcpus: int, affinity: int | None = None) -> float:
    """Part of the machine's processors that may be used, in (0, 1]."""
    if vcpus <= 0:
        return 1.0
    usable = [float(vcpus)]
    usable += [float(n) for n in (allowed.cpuset, affinity, allowed.cpus) if n]
    return min(1.0, min(usable) / vcpus)


def memory_allocation_ratio(allowed: Limits, *, memory_bytes: int) -> float:
    """Part of the machine's memory that may be used, in (0, 1]."""
    if memory_bytes <= 0 or not allowed.memory_bytes:
        return 1.0
    return min(1.0, allowed.memory_bytes / memory_bytes)


def run_time_ns(groups: Groups) -> int | Missing:
    """CPU time that the process's own group used so far [ns].

    Missing in the root group, which holds the whole machine and no single run.
    """
    if len(groups.unified) > 1:
        for line in _text(groups.unified[0] / "cpu.stat").splitlines():
            key, _, value = line.partition(" ")
            if key == "usage_usec" and value.isdecimal():
                return int(value) * NS_PER_US
    if len(groups.cpuacct) > 1:
        text = _text(groups.cpuacct[0] / "cpuacct.usage")
        if text.isdecimal():
            return int(text)
    return Missing("no control group of its own")
