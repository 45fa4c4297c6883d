# SPDX-License-Identifier: Apache-2.0
"""What a journal holds: only what sensors and processes said, never what we made of it.

A run's folder has one ``journal`` (written by the collector), and per joined process a
``phases.<pid>`` (fixed-size, memory-mapped) and a ``marks.<pid>`` (a small journal of logged
metrics). Settling them into a `Run` is a pure function of these frames.

Series inside a frame are delta-coded: the first entry is absolute, each further one is the
difference to the entry before (`delta_encode`, `delta_decode`).
"""

from collections.abc import Iterable, Sequence

import msgspec

from submeter.records.devices import Channel, Device

FRAME_SCHEMA = 1
TOTAL_STEPS = "total_steps"  # word among a point's text that says how many there will be
OTHER_PHASES = "(other phases)"  # paths and tasks beyond what a phase file holds


class SensorHead(msgspec.Struct, frozen=True):
    """A sensor of this journal; frames name it by its place in `Head.sensors`."""

    device_id: str
    channels: tuple[Channel, ...]


class Head(msgspec.Struct, frozen=True, tag="head"):
    """First frame of a collector's life; a restarted collector writes another one.

    Sensors keep their place over restarts; new ones are appended.
    """

    schema: int
    run_id: str
    generation: int  # 0 for the first collector of the run, +1 each restart
    host: str
    boot_id: str
    collector_pid: int
    leader_pid: int  # the metered command or the measuring process
    utc_ns: int  # the one anchor: this wall-clock instant ...
    t_ns: int  # ... was this monotonic instant
    interval_s: float
    name: str = ""
    command: tuple[str, ...] = ()
    tags: dict[str, str] = {}
    user: str = ""
    project: str = ""
    parent: str = ""
    attempt: int = 1
    place: dict[str, str] = {}
    machine: dict[str, str] = {}  # cpu model, vcpus, memory, kernel, virtualisation, ...
    code: dict[str, str] = {}  # commit, dirty, versions
    cpu_allocation_ratio: float = 1.0  # part of the machine's CPUs allotted to this run
    memory_allocation_ratio: float = 1.0
    gpu_mask: tuple[str, ...] | None = None  # device ids the run may use; None: no mask
    devices: tuple[Device, ...] = ()
    sensors: tuple[SensorHead, ...] = ()


class Ticks(msgspec.Struct, frozen=True, tag="ticks"):
    """About a second of readings of one sensor: ``n`` instants, ``channels x n`` raw counts."""

    sensor: int
    t_ns: list[int]
    half_ns: int  # widest read among them
    values: list[list[int | None]]  # per channel; None: missing, see the events for why


class Occupied(msgspec.Struct, frozen=True, array_like=True):
    """How long a path was the innermost open phase of a process within one window."""

    path: int  # index given by a PathName frame
    wall_ns: int
    cpu_ns: int
    count: int  # entries into the phase


class Occupancy(msgspec.Struct, frozen=True, tag="occ"):
    """Occupancy of one window (from the previous window's end to ``t_ns``), all processes."""

    t_ns: int
    rows: list[Occupied]


class PathName(msgspec.Struct, frozen=True, tag="path"):
    """Introduces a phase path of a process; ``index`` counts up over the whole journal."""

    index: int
    pid: int
    path: str


class Process(msgspec.Struct, frozen=True, tag="proc"):
    """A process that joined the run, or in which a rank was recognised."""

    pid: int
    t_ns: int
    rank: int | None = None
    local_rank: int | None = None
    world_size: int | None = None


class Use(msgspec.Struct, frozen=True, tag="use"):
    """Once a second: who used what. Cumulative CPU time by rank, and the tenancy of devices."""

    t_ns: int
    rank_cpu_ns: dict[int, int] = {}
    share_ppm: dict[str, int | None] = {}  # device id -> run's part; None: unknown
    rank_devices: dict[str, list[int]] = {}  # device id -> ranks that hold it
    how: dict[str, str] = {}  # device id -> how the part was found


class Event(msgspec.Struct, frozen=True, tag="event"):
    """Something that a reader of the result should know.

    ``kind`` is one of: ``sensor-missing``, ``sensor-back``, ``sensor-slow``, ``clock-stepped``,
    ``suspended``, ``rate-changed``, ``journal-moved``, ``frames-lost``, ``start``, ``note``; of a
    run that a plan starts and pauses, ``plan`` (its id; ``number``: when it could have begun
    [s since 1970 UTC]), ``paused`` and ``resumed`` (``number``: time to be back at work,
    as declared [s]).
    """

    t_ns: int
    kind: str
    text: str = ""
    sensor: int | None = None
    number: float | None = None


class Metric(msgspec.Struct, frozen=True, tag="metric"):
    """One call of ``submeter.log``; ``work`` holds running totals of this process."""

    t_ns: int
    values: dict[str, float] = {}
    step: int | None = None
    work: dict[str, float] = {}
    text: dict[str, str] = {}  # parameters given as words


class Started(msgspec.Struct, frozen=True, tag="started"):
    """The metered work begins: command spawned, or ``measure`` entered."""

    t_ns: int


class End(msgspec.Struct, frozen=True, tag="end"):
    """The metered work ended. Absent if everything was killed at once."""

    t_ns: int
    status: str  # finished | failed | killed | stopped
    exit_code: int | None = None
    reason: str = ""


Frame = Head | Ticks | Occupancy | PathName | Process | Use | Event | Metric | Started | End


def delta_encode(series: Sequence[int]) -> list[int]:
    """First entry, then differences."""
    return [b - a for a, b in zip((0, *series), series, strict=False)]


def delta_decode(coded: Iterable[int]) -> list[int]:
    """Undo `delta_encode`."""
    out: list[int] = []
    now = 0
    for d in coded:
        now += d
        out.append(now)
    return out


def gappy_delta_encode(series: Sequence[int | None]) -> list[int | None]:
    """Like `delta_encode`; None stays None and differences bridge it."""
    out: list[int | None] = []
    last = 0
    for v in series:
        out.append(None if v is None else v - last)
        last = last if v is None else v
    return out


def gappy_delta_decode(coded: Iterable[int | None]) -> list[int | None]:
    """Undo `gappy_delta_encode`."""
    out: list[int | None] = []
    last = 0
    for d in coded:
        if d is None:
            out.append(None)
        else:
            last += d
            out.append(last)
    return out
