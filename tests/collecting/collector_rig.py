# SPDX-License-Identifier: Apache-2.0
"""A collector in the test's own process, on a machine made of files and a clock moved by hand."""

import os
import select
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from submeter.collecting._head import read_past
from submeter.collecting._settling import LiveSettling
from submeter.collecting._writer import JournalThread
from submeter.collecting.clock import SystemClock
from submeter.collecting.collector import Collector
from submeter.collecting.order import Order
from submeter.records import Channel, Device, DeviceKind, Measures, Missing
from submeter.records.devices import Sensor
from submeter.records.frames import (
    End,
    Event,
    Frame,
    Ticks,
    delta_decode,
)
from submeter.storing.journal import JournalWriter, read_frames
from submeter.units import NS_PER_S

HOUR_NS = 3600 * NS_PER_S
TICK_NS = NS_PER_S // 10
YEAR_2026_NS = 1_780_000_000 * NS_PER_S


class HandClock(SystemClock):
    """Time that passes only by waiting, and jumps as told."""

    def __init__(self) -> None:
        self.now_ns = 5_000 * NS_PER_S
        self.wall_offset_ns = YEAR_2026_NS
        self.asleep_ns = 0
        self.late_ns: Iterator[int] = iter(())

    def monotonic_ns(self) -> int:
        return self.now_ns

    def boottime_ns(self) -> int:
        return self.now_ns + self.asleep_ns

    def utc_ns(self) -> int:
        return self.now_ns + self.asleep_ns + self.wall_offset_ns

    def wait_until(self, t_ns: int, fds: Sequence[int] = ()) -> list[int]:
        ready = select.select(fds, [], [], 0)[0] if fds else []
        if not ready:
            self.now_ns = max(self.now_ns, t_ns) + next(self.late_ns, 0)
        return ready


class CounterFile:
    """A counter of energy in a file, as a RAPL zone is."""

    def __init__(self, path: Path, device_id: str) -> None:
        self.path = path
        self.device = Device(device_id, DeviceKind.CPU, path.name, "here", peak_w=500.0)
        self.channels = (Channel(device_id, Measures.ENERGY, 1e-6, update_s=0.001),)

    def read(self) -> Sequence[int | Missing]:
        try:
            return (int(self.path.read_text()),)
        except OSError as exc:
            return (Missing(exc.strerror or "?"),)

    def close(self) -> None:
        pass


class FileMachine:
    """What `discover` would bring, of counters in a folder."""

    def __init__(self, folder: Path, names: Sequence[str] = ("cpu:0", "dram:0")) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        for name in names:
            if not (folder / name).exists():
                (folder / name).write_text("1000000\n")
        self.sensors: list[Sensor] = [CounterFile(folder / name, name) for name in names]
        self.devices = tuple(s.device for s in self.sensors)
        self.machine = {"cpu": "of files"}
        self.cpu_allocation_ratio = 1.0
        self.memory_allocation_ratio = 1.0

    def close(self) -> None:
        pass


class Rig:
    """A collector in this process, with the owner's end of its pipe."""

    def __init__(self, folder: Path, machine: FileMachine | None = None, **kwargs: Any) -> None:
        self.run = folder / "run"
        self.run.mkdir(exist_ok=True)
        self.clock = HandClock()
        self.said: list[str] = []
        owner_fd, self.owner = os.pipe()
        self.order = Order(
            run_id="20260101-000000-abcd",
            folder=str(self.run),
            ledger=str(folder / "ledger.db"),
            leader_pid=kwargs.pop("leader_pid", 0),
            owner_pid=kwargs.pop("owner_pid", os.getpid()),
            interval_s=kwargs.pop("interval_s", 0.1),
            utc_ns=self.clock.utc_ns(),
            t_ns=self.clock.monotonic_ns(),
            name="test",
            patient=kwargs.pop("patient", False),
        )
        past = read_past(self.run / "journal")
        self.journal = JournalThread(JournalWriter(self.run / "journal"), self.clock)
        self.settling = LiveSettling(self.run, live=past.head is None)
        self.collector = Collector(
            self.order,
            machine or FileMachine(folder / "machine"),
            self.clock,
            self.journal,
            settling=self.settling,
            past=past,
            owner_fd=owner_fd,
            reply=self.said.append,
            **kwargs,
        )
        self._owner_fd = owner_fd
        self.begin()

    def begin(self) -> None:
        self.collector.begin()
        self.settling.load()

    def ticks(self, number: int) -> None:
        for _ in range(number):
            self.collector.step()

    def say(self, line: str) -> None:
        os.write(self.owner, line.encode() + b"\n")

    def stop(self, status: str = "finished") -> list[Frame]:
        end = End(self.clock.monotonic_ns(), status, 0)
        self.say(f"stop {msgspec.json.encode(end).decode()}")
        return self.finish()

    def finish(self) -> list[Frame]:
        self.collector.run()
        self.said.append(self.collector.settle())
        self.collector.close()
        os.close(self._owner_fd)
        os.close(self.owner)
        return read_frames(self.run / "journal").frames

    def events(self, frames: list[Frame]) -> list[Event]:
        return [f for f in frames if isinstance(f, Event)]


def instants(frames: list[Frame], sensor: int = 0) -> list[int]:
    return [
        t
        for f in frames
        if isinstance(f, Ticks) and f.sensor == sensor
        for t in delta_decode(f.t_ns)
    ]
