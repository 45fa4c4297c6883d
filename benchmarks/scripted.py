# SPDX-License-Identifier: Apache-2.0
"""A training whose energy is known phase by phase, metered on a `FakeMachine` into a journal.

Each cycle of the job runs through its phases; each device draws a known power in each. Sensors,
journal and settlement are real, time is virtual.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.scripting import START_S, UTC_NS, at_ns, flushed, read
from submeter.metering.settle import settle_folder
from submeter.records.frames import (
    End,
    Frame,
    Head,
    Occupancy,
    Occupied,
    PathName,
    SensorHead,
    Started,
    Use,
)
from submeter.records.runs import Run
from submeter.sensors import Discovery, Roots, discover
from submeter.storing.journal import JournalWriter
from submeter.testing import FakeMachine
from submeter.testing.waveforms import PULSES, Part, Waveform, constant
from submeter.units import s_to_ns

PID: Final = 7
IDLE_W: Final = 80.0  # of the board, which tells no utilisation below it


class Phase(NamedTuple):
    """A part of each cycle, and what the devices draw in it [W]."""

    path: str  # empty: in no phase
    length_s: float
    gpu_w: float
    cpu_w: float


LONG: Final = (
    Phase("train/data", 2.187, 70.0, 120.0),
    Phase("train/forward", 3.067, 290.0, 60.0),
    Phase("train/backward", 5.107, 350.0, 62.0),
    Phase("train/optimiser", 2.013, 220.0, 70.0),
    Phase("save checkpoint", 2.649, 75.0, 95.0),
    Phase("", 1.083, 62.0, 50.0),
)
SHORT: Final = tuple(p._replace(length_s=p.length_s / 50) for p in LONG)


class Job(NamedTuple):
    """What was metered, and what is true: energy by device and path [J]."""

    run: Run
    folder: Path
    truth_j: Mapping[tuple[str, str], float]


def scripted(
    folder: Path,
    phases: Sequence[Phase] = LONG,
    *,
    length_s: float = 120.0,
    interval_s: float = 0.1,
) -> Job:
    """Meter *length_s* of a job made of *phases* over and over, its journal in *folder*."""
    machine = FakeMachine(folder / "machine")
    machine.add_package(_wave(phases, "cpu_w"), start_uj=0)
    machine.add_board(_wave(phases, "gpu_w"), start_j=0.0, idle_w=IDLE_W)
    run_folder = folder / "run"
    run_folder.mkdir()
    try:
        with machine.installed():
            _meter(machine, run_folder, phases, length_s, interval_s)
    finally:
        machine.close()
    run = settle_folder(run_folder)
    return Job(run, run_folder, _truth(run, phases, length_s))


def _period_s(phases: Sequence[Phase]) -> float:
    return math.fsum(p.length_s for p in phases)


def _wave(phases: Sequence[Phase], field: str) -> Waveform:
    period_s = _period_s(phases)
    base_w = min(getattr(p, field) for p in phases)
    parts, at_s = list(constant(base_w).parts), 0.0
    for phase in phases:
        more_w = getattr(phase, field) - base_w
        parts.append(Part(PULSES, at_s, period_s, phase.length_s, 0.0, more_w))
        at_s += phase.length_s
    return Waveform(tuple(parts))


def _overlap_s(phases: Sequence[Phase], place: int, begin_s: float, end_s: float) -> float:
    """Time of one phase of the cycle within a span of the machine's time [s]."""
    period_s = _period_s(phases)
    shift_s = math.fsum(p.length_s for p in phases[:place])
    length_s = phases[place].length_s

    def until(t_s: float) -> float:
        whole, part = divmod(t_s - shift_s, period_s)
        return whole * length_s + min(part, length_s)

    return until(end_s) - until(begin_s)


def _entries(phases: Sequence[Phase], place: int, begin_s: float, end_s: float) -> int:
    period_s = _period_s(phases)
    shift_s = math.fsum(p.length_s for p in phases[:place])
    return math.floor((end_s - shift_s) / period_s) - math.floor((begin_s - shift_s) / period_s)


def _truth(run: Run, phases: Sequence[Phase], length_s: float) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = {}
    for row in run.devices:
        field = {"gpu": "gpu_w", "cpu": "cpu_w"}.get(row.device.id.partition(":")[0])
        if field is None:
            continue
        for place, phase in enumerate(phases):
            seconds = _overlap_s(phases, place, START_S, START_S + length_s)
            key = row.device.id, phase.path
            found[key] = found.get(key, 0.0) + seconds * getattr(phase, field)
    return found


def _meter(
    machine: FakeMachine, folder: Path, phases: Sequence[Phase], length_s: float, interval_s: float
) -> None:
    machine.at(START_S)
    roots = Roots(sys=machine.sys, proc=machine.proc, nvml=True)
    found = discover(roots, now_ns=lambda: at_ns(machine.t_s))
    journal = JournalWriter(folder / "journal")
    try:
        journal.append(*_frames(machine, found, phases, length_s, interval_s), sync=True)
    finally:
        journal.close()
        found.close()


def _frames(
    machine: FakeMachine,
    found: Discovery,
    phases: Sequence[Phase],
    length_s: float,
    interval_s: float,
) -> list[Frame]:
    frames: list[Frame] = [_head(found, interval_s)]
    paths = [p.path for p in phases]
    frames += [PathName(i, PID, path) for i, path in enumerate(paths) if path]
    columns = _columns(found)
    read(found, columns)
    frames += flushed(columns, [START_S])
    frames.append(Started(at_ns(START_S)))
    before_s, second = START_S, list[float]()
    for i in range(1, round(length_s / interval_s) + 1):
        now_s = START_S + min(length_s, i * interval_s)
        machine.at(now_s)
        read(found, columns)
        second.append(now_s)
        rows = []
        for place, phase in enumerate(phases):
            wall_ns = s_to_ns(_overlap_s(phases, place, before_s, now_s))
            count = _entries(phases, place, before_s, now_s)
            if phase.path and (wall_ns > 0 or count):
                rows.append(Occupied(place, wall_ns, wall_ns, count))
        frames.append(Occupancy(at_ns(now_s), rows))
        before_s = now_s
        if now_s - second[0] > 1 - 1.5 * interval_s or i == round(length_s / interval_s):
            frames += flushed(columns, second)
            frames.append(Use(at_ns(now_s)))
            second = []
    # the boards' counters move within a tenth of a second: the collector awaits that, too
    for i in range(1, 61):
        machine.at(START_S + length_s + 0.002 * i)
        read(found, columns)
        second.append(START_S + length_s + 0.002 * i)
    frames += flushed(columns, second)
    frames.append(End(at_ns(START_S + length_s), "finished", 0))
    return frames


def _columns(found: Discovery) -> list[list[list[int | None]]]:
    return [[[] for _ in s.channels] for s in found.sensors]


def _head(found: Discovery, interval_s: float) -> Head:
    return Head(
        schema=1, run_id="20261124-000000-0000", generation=0, host="fake", boot_id="fake",
        collector_pid=1, leader_pid=2, utc_ns=UTC_NS, t_ns=at_ns(START_S), interval_s=interval_s,
        devices=found.devices,
        sensors=tuple(SensorHead(s.device.id, tuple(s.channels)) for s in found.sensors),
    )  # fmt: skip
