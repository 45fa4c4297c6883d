# SPDX-License-Identifier: Apache-2.0
"""The head of a journal, and what a restarted collector has to know of the life before it."""

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from submeter.collecting.clock import Stamp
from submeter.collecting.order import Order
from submeter.records.devices import Device, Sensor
from submeter.records.frames import (
    FRAME_SCHEMA,
    Head,
    Occupancy,
    PathName,
    Process,
    SensorHead,
    Started,
)
from submeter.storing.framing import Scan, decode, kind_of
from submeter.storing.journal import boot_id

_NEEDED = frozenset({b"head", b"path", b"occ", b"started", b"proc"})


class Machine(Protocol):
    """What this needs of `submeter.sensors.Discovery`."""

    @property
    def devices(self) -> tuple[Device, ...]: ...

    @property
    def sensors(self) -> Sequence[Sensor]: ...

    @property
    def machine(self) -> Mapping[str, str]: ...

    @property
    def cpu_allocation_ratio(self) -> float: ...

    @property
    def memory_allocation_ratio(self) -> float: ...

    def close(self) -> None: ...


class Past(msgspec.Struct):
    """What an existing journal holds that its next writer goes on from."""

    head: Head | None = None  # the last one
    started: Started | None = None
    names: dict[tuple[int, str], int] = {}  # process and path: index
    seen: dict[int, tuple[int, int, int]] = {}  # index: time, CPU time, entries so far
    pids: set[int] = set()


def read_past(path: Path) -> Past:
    """Read the journal at *path*, if there is one; it is not decoded but for what is needed."""
    past = Past()
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return past
    try:
        for payload in Scan(fd):
            if kind_of(payload) in _NEEDED:
                _take(past, payload)
    finally:
        os.close(fd)
    return past


def _take(past: Past, payload: bytes) -> None:
    match decode(payload):
        case Head() as head:
            past.head = head
        case Started() as started:
            past.started = started
        case Process() as process:
            past.pids.add(process.pid)
        case PathName() as name:
            past.names[name.pid, name.path] = name.index
        case Occupancy() as window:
            for row in window.rows:
                wall_ns, cpu_ns, count = past.seen.get(row.path, (0, 0, 0))
                past.seen[row.path] = (
                    wall_ns + row.wall_ns,
                    cpu_ns + row.cpu_ns,
                    count + row.count,
                )
        case _:
            pass


def place_sensors(
    before: Sequence[SensorHead], sensors: Sequence[Sensor]
) -> tuple[tuple[SensorHead, ...], list[int]]:
    """Give sensors the places they had before, and new ones places behind all others.

    Returns
    -------
    heads : tuple of SensorHead
        For the head of the journal.
    places : list of int
        Place of each of *sensors*.
    """
    heads = list(before)
    free = dict.fromkeys(range(len(heads)))
    places: list[int] = []
    for sensor in sensors:
        here = SensorHead(sensor.device.id, tuple(sensor.channels))
        place = next((p for p in free if _same(heads[p], here)), None)
        if place is None:
            heads.append(here)
            place = len(heads) - 1
        else:
            # the channels' order gives the values their meaning, so the old words stand
            del free[place]
        places.append(place)
    return tuple(heads), places


def _same(one: SensorHead, other: SensorHead) -> bool:
    """Whether values of both mean the same."""
    return one.device_id == other.device_id and [
        (c.device_id, c.measures, c.scale, c.modulus) for c in one.channels
    ] == [(c.device_id, c.measures, c.scale, c.modulus) for c in other.channels]


def make_head(
    order: Order, machine: Machine, past: Past, now: Stamp, heads: tuple[SensorHead, ...]
) -> Head:
    """Head of this collector's life."""
    known = {d.id for d in machine.devices}
    gone = [d for d in past.head.devices if d.id not in known] if past.head else []
    return Head(
        schema=FRAME_SCHEMA,
        run_id=order.run_id,
        generation=past.head.generation + 1 if past.head else 0,
        host=platform.node(),
        boot_id=boot_id(Path(order.proc_root)),
        collector_pid=os.getpid(),
        leader_pid=order.leader_pid,
        utc_ns=now.utc_ns,
        t_ns=now.monotonic_ns,
        interval_s=order.interval_s,
        name=order.name,
        command=order.command,
        tags=order.tags,
        user=order.user,
        project=order.project,
        parent=order.parent,
        attempt=order.attempt,
        place=order.place,
        machine=dict(machine.machine),
        code=order.code,
        cpu_allocation_ratio=machine.cpu_allocation_ratio,
        memory_allocation_ratio=machine.memory_allocation_ratio,
        gpu_mask=getattr(machine, "gpu_mask", None),
        devices=(*machine.devices, *gone),
        sensors=heads,
    )
