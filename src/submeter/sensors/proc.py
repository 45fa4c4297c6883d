# SPDX-License-Identifier: Apache-2.0
"""What the kernel says about the machine, its processors' time and the run's processes."""

import math
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

import msgspec

from submeter.records import Missing
from submeter.sensors.cgroups import count_cpus
from submeter.sensors.kernel_files import KeptFile
from submeter.units import NS_PER_S

RANKS: Final = (  # first that is set wins: the launcher nearest to the training comes first
    ("RANK", "LOCAL_RANK", "WORLD_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "MPI_LOCALRANKID", "PMI_SIZE"),
    ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS"),
    ("LOCAL_RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE"),
)
IDLE_FIELD: Final = 4  # of the first line of /proc/stat; later ones came with newer kernels
MOST_KEPT: Final = 256  # processes whose files stay open
LOOKS: Final = 3  # times that the environment of a process is read before it is believed
FORGET_AFTER: Final = 600  # scans after which process ids known as foreign are looked at again


def ticks_per_s() -> int:
    """Count of the unit of times in ``/proc`` that make a second."""
    try:
        ticks = os.sysconf("SC_CLK_TCK")
    except (AttributeError, ValueError, OSError):
        return 100
    return ticks if ticks > 0 and math.gcd(ticks, NS_PER_S) == ticks else 100


class MachineTimes(msgspec.Struct, frozen=True):
    """Time of all processors together since boot, in ticks."""

    busy: int  # working, for anyone, without what the hypervisor took
    steal: int
    idle: int  # idle and waiting for input or output


def machine_times(proc_root: str | Path) -> MachineTimes | Missing:
    """First line of ``/proc/stat``; `Missing` if it is masked, empty or malformed."""
    file = KeptFile(f"{proc_root}/stat")
    try:
        return machine_times_in(file)
    finally:
        file.close()


def machine_times_in(file: KeptFile) -> MachineTimes | Missing:
    """Read ``/proc/stat`` like `machine_times`, and keep it open."""
    try:
        head = file.read(512)  # one line of at most ten numbers, and some of the next
    except OSError as exc:
        return Missing(f"{file.path}: {exc.strerror}")
    words = head.partition(b"\n")[0].split()
    if not words:
        return Missing(f"{file.path} is empty")
    numbers = words[1:9]
    if words[0] != b"cpu" or len(words) <= IDLE_FIELD or not b"".join(numbers).isdigit():
        return Missing(f"{file.path} has no line of all processors")
    user, nice, system, idle, iowait, irq, softirq, steal = [int(w) for w in numbers] + [0] * (
        8 - len(numbers)
    )
    # Guests' time (fields 9 and 10) is part of user and nice already.
    return MachineTimes(user + nice + system + irq + softirq, steal, idle + iowait)


class ProcessStat(msgspec.Struct, frozen=True):
    """The fields of ``/proc/<pid>/stat`` that are used; times in ticks."""

    pid: int
    parent: int
    own: int  # CPU time of the process itself
    waited: int  # CPU time of its children that ended and were waited for, and of theirs
    start: int  # since boot; with the pid it names a process for ever
    state: str


def process_stat(proc_root: str, pid: int) -> ProcessStat | None:
    """One process; None if it is gone or may not be seen."""
    file = KeptFile(f"{proc_root}/{pid}/stat")
    try:
        return process_stat_in(file, pid)
    finally:
        file.close()


def process_stat_in(file: KeptFile, pid: int) -> ProcessStat | None:
    """Read one process like `process_stat`, and keep its file open."""
    try:
        line = file.read(1024)
    except OSError:
        return None
    # The name stands in brackets and may hold blanks and brackets itself.
    words = line[line.rfind(b")") + 1 :].split(None, 21)
    try:
        return ProcessStat(
            pid=pid,
            parent=int(words[1]),
            own=int(words[11]) + int(words[12]),
            waited=int(words[13]) + int(words[14]),
            start=int(words[19]),
            state=words[0].decode("ascii"),
        )
    except (IndexError, ValueError):
        return None


class Cpus(msgspec.Struct, frozen=True):
    """Processors as ``/proc/cpuinfo`` lists them."""

    model: str = ""
    vendor: str = ""
    family: str = ""
    stepping: str = ""
    vcpus: int = 0
    sockets: int = 0
    cores: int = 0
    hypervisor: bool = False


def cpus(proc_root: Path) -> Cpus:
    """Model, counts and the hypervisor flag; empty and 0 where nothing is said."""
    try:
        text = (proc_root / "cpuinfo").read_text(errors="replace")
    except OSError:
        return Cpus()
    first: dict[str, str] = {}
    vcpus = 0
    places: set[tuple[str, str]] = set()
    socket = ""
    for line in text.splitlines():
        key, _, value = (w.strip() for w in line.partition(":"))
        if key == "processor" and value.isdecimal():
            vcpus += 1
        elif key == "physical id":
            socket = value
        elif key == "core id":
            places.add((socket, value))
        first.setdefault(key, value)
    return Cpus(
        model=" ".join((first.get("model name") or first.get("Model") or "").split()),
        vendor=first.get("vendor_id", ""),
        family=f"{first.get('cpu family', '')}/{first.get('model', '')}".strip("/"),
        stepping=first.get("stepping", ""),
        vcpus=vcpus,
        sockets=len({s for s, _ in places}) or min(1, vcpus),
        cores=len(places) or vcpus,
        hypervisor="hypervisor" in first.get("flags", "").split(),
    )


def memory_bytes(proc_root: Path) -> int:
    """Memory of the machine [bytes]; 0 if it is not said."""
    try:
        with (proc_root / "meminfo").open() as lines:
            for line in lines:
                if line.startswith("MemTotal:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return 0


def allowed_cpus(proc_root: Path) -> int | None:
    """Processors that the scheduler may give to this process; None if it is not said."""
    try:
        text = (proc_root / "self" / "status").read_text(errors="replace")
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith("Cpus_allowed_list:"):
            return count_cpus(line.partition(":")[2].strip()) or None
    return None


class Place(msgspec.Struct, frozen=True):
    """Where a process stands in a distributed training."""

    rank: int
    local_rank: int | None = None
    world_size: int | None = None


def place_in(environ: Mapping[str, str]) -> Place | None:
    """Rank as the launcher of a distributed training left it in the environment.

    A scheduler's rank counts only if it started more than one task, since a single script in a
    batch job has a rank 0 of its own too.
    """
    for rank, local, world in RANKS:
        number = _whole(environ.get(rank))
        size = _whole(environ.get(world))
        if number is None or (rank != "RANK" and (size or 1) <= 1):
            continue
        return Place(number, _whole(environ.get(local)), size)
    return None


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


class _Member:
    """A process of the run, as last seen."""

    __slots__ = ("file", "looks", "own", "parent", "place", "start", "waited")

    def __init__(self, stat: ProcessStat, path: str) -> None:
        self.file = KeptFile(path)
        self.parent = stat.parent
        self.start = stat.start
        self.own = stat.own
        self.waited = stat.waited
        self.place: Place | None = None
        self.looks = 0


class _Inheritance:
    """What ended processes had used when last seen, by the nearest relative that lives on."""

    __slots__ = ("places", "ticks")

    def __init__(self) -> None:
        self.ticks = 0
        self.places: set[Place | None] = set()


class ProcessTree:
    """A run's processes and their CPU time, also of those that come and go unseen.

    Who was once a descendant of a root stays one, also when its parent ends and another adopts
    it. A process that ends takes its time along into its parent's time of waited-for children;
    what was seen of it before is not counted again.

    Parameters
    ----------
    root_pids
        Processes to begin with. Their time counts from now on.
    proc_root
        Where the kernel's process tree is mounted.
    exclude
        Processes that are no part of the run though they descend from it (the collector).
    """

    def __init__(
        self,
        root_pids: Collection[int],
        proc_root: Path = Path("/proc"),
        *,
        exclude: Collection[int] = (),
    ) -> None:
        self._proc_root = os.fspath(proc_root)
        self._exclude = frozenset(exclude)
        self._tick_ns = NS_PER_S // ticks_per_s()
        self._members: dict[int, _Member] = {}
        self.seen = False  # whether any process of the run could ever be looked at
        self._foreign: set[int] = set()
        self._load = KeptFile(f"{self._proc_root}/loadavg")
        self._newest = b""  # process id last given away, when new ones were last looked for
        self._scans = 0
        self._total_ticks = 0
        self._rank_ticks: dict[int, int] = {}
        for pid in root_pids:
            self.add(pid)

    def add(self, pid: int) -> bool:
        """Take a process and its descendants in; False if it is not there.

        The time that it used before does not count.
        """
        stat = process_stat(self._proc_root, pid)
        if stat is None or pid in self._exclude:
            return False
        if pid not in self._members:
            self.seen = True
            self._members[pid] = self._member(stat)
            self._foreign.clear()  # its descendants may have been seen as strangers
            self._newest = b""
            for child in self._newcomers():
                self._members[child.pid] = self._member(child)
        return True

    @property
    def pids(self) -> tuple[int, ...]:
        """Processes of the run at the last update."""
        return tuple(self._members)

    @property
    def cpu_ns(self) -> int:
        """CPU time of the run's processes at the last update, never falling [ns]."""
        return self._total_ticks * self._tick_ns

    def rank_cpu_ns(self) -> dict[int, int]:
        """CPU time at the last update of the processes that have a rank, by rank [ns]."""
        return {rank: ticks * self._tick_ns for rank, ticks in sorted(self._rank_ticks.items())}

    def update(self, *, newcomers: bool = True) -> int:
        """Look again; CPU time of the run's processes so far, never falling [ns].

        Parameters
        ----------
        newcomers
            Whether to look for processes that began since. It is the dear part, and what they
            use until they are found is not lost.
        """
        now: dict[int, ProcessStat] = {}
        gone: dict[int, _Member] = {}
        for pid, member in self._members.items():
            stat = process_stat_in(member.file, pid)
            if len(self._members) > MOST_KEPT:
                member.file.close()
            if stat is None or stat.start != member.start:
                gone[pid] = member
            else:
                now[pid] = stat
        inherited = self._inherited(gone)
        for pid, member in gone.items():
            member.file.close()
            del self._members[pid]
        for pid, stat in now.items():
            self._follow(pid, stat, inherited.get(pid))
        if newcomers:
            for stat in self._newcomers():
                self._members[stat.pid] = member = self._member(stat)
                self._count(stat.own + stat.waited, self._place(stat.pid, member))
        return self.cpu_ns

    def _inherited(self, gone: Mapping[int, _Member]) -> dict[int, _Inheritance]:
        """Last known times of the processes in *gone*, by the living relative that gets them."""
        heirs: dict[int, _Inheritance] = {}
        for pid, member in gone.items():
            heir = member.parent
            for _ in range(len(gone)):
                if heir not in gone:
                    break
                heir = gone[heir].parent
            if heir in self._members and heir not in gone:
                got = heirs.setdefault(heir, _Inheritance())
                got.ticks += member.own + member.waited
                got.places.add(self._place(pid, member))
        return heirs

    def _follow(self, pid: int, stat: ProcessStat, got: _Inheritance | None) -> None:
        """Count what a living process used since the last update."""
        member = self._members[pid]
        place = self._place(pid, member)
        self._count(max(0, stat.own - member.own), place)
        late = max(0, stat.waited - member.waited - (got.ticks if got else 0))
        # What waited-for children used after they were last seen belongs to their rank, if they
        # were of one; the parent may be a launcher without a rank.
        (only,) = got.places if got and len(got.places) == 1 else (None,)
        self._count(late, only or place)
        member.own = max(stat.own, member.own)
        member.waited = max(stat.waited, member.waited)
        member.parent = stat.parent

    def _count(self, ticks: int, place: Place | None) -> None:
        self._total_ticks += ticks
        if place is not None:
            self._rank_ticks[place.rank] = self._rank_ticks.get(place.rank, 0) + ticks

    def _newcomers(self) -> list[ProcessStat]:
        """Look for unseen processes that descend from a member, parents first."""
        self._scans += 1
        if self._scans % FORGET_AFTER == 0:
            self._foreign.clear()  # a process id may have been given away anew in between
            self._newest = b""
        before, self._newest = self._newest, self._newest_pid()
        if before and before == self._newest:
            return []
        try:
            names = os.listdir(self._proc_root)  # noqa: PTH208
        except OSError:
            return []
        listed = {int(n) for n in names if n.isdecimal()}
        self._foreign &= listed
        fresh: dict[int, list[ProcessStat]] = {}
        for pid in listed - self._foreign - self._members.keys():
            stat = process_stat(self._proc_root, pid)
            if stat is not None:
                self._foreign.add(pid)
                if pid not in self._exclude:
                    fresh.setdefault(stat.parent, []).append(stat)
        found: list[ProcessStat] = []
        parents = [p for p in fresh if p in self._members]
        while parents:
            for stat in fresh.pop(parents.pop(), ()):
                found.append(stat)
                self._foreign.discard(stat.pid)
                parents.append(stat.pid)
        return found

    def _newest_pid(self) -> bytes:
        """Process id that was given away last, as the kernel says it; empty if it does not."""
        try:
            return self._load.read(128).split()[4]
        except (OSError, IndexError):
            return b""

    def _member(self, stat: ProcessStat) -> _Member:
        return _Member(stat, f"{self._proc_root}/{stat.pid}/stat")

    def close(self) -> None:
        """Let go of all files; a later update opens them again."""
        self._load.close()
        for member in self._members.values():
            member.file.close()

    def environ_of(self, pid: int) -> dict[str, str]:
        """Environment that a process was started with; empty if it may not be seen."""
        try:
            raw = (Path(self._proc_root) / str(pid) / "environ").read_bytes()
        except OSError:
            return {}
        pairs = (entry.partition(b"=") for entry in raw.split(b"\0") if b"=" in entry)
        return {os.fsdecode(key): os.fsdecode(value) for key, _, value in pairs}

    def place_of(self, pid: int) -> Place | None:
        """Rank, local rank and world size of a process of the run, or of its nearest ancestor."""
        for _ in range(len(self._members) + 1):
            member = self._members.get(pid)
            if member is None:
                return None
            place = self._place(pid, member)
            if place is not None:
                return place
            pid = member.parent
        return None

    def rank_of(self, pid: int) -> int | None:
        """Rank of a process of the run, or of its nearest ancestor; None if there is none."""
        place = self.place_of(pid)
        return None if place is None else place.rank

    def _place(self, pid: int, member: _Member) -> Place | None:
        # A process may be seen between fork and exec, with the environment of its parent.
        if member.looks < LOOKS:
            member.looks += 1
            member.place = place_in(self.environ_of(pid)) or member.place
        return member.place
