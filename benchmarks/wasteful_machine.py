# SPDX-License-Identifier: Apache-2.0
"""Meters a scripted training of several pieces a second on a `FakeMachine`, in virtual time.

Sensors, journal, marks, settlement and observation are real; what is scripted is what the devices
draw and what the program says. A board of the fake driver knows few parts of a waveform, so it is
told those around the present instant, its counter going on from the true energy.
"""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.scripting import START_S, UTC_NS, at_ns, flushed, read
from submeter.collecting.marks import MarksWriter
from submeter.metering.settle import settle_folder
from submeter.records.devices import DeviceKind
from submeter.records.figures import Missing
from submeter.records.frames import (
    End,
    Frame,
    Head,
    Occupancy,
    Occupied,
    PathName,
    Process,
    SensorHead,
    Started,
    Use,
)  # fmt: skip
from submeter.records.observations import Observations
from submeter.records.runs import Run
from submeter.running.observing import observed
from submeter.sensors import Discovery, Roots, discover
from submeter.sensors.proc import ProcessTree
from submeter.storing.journal import JournalWriter
from submeter.testing import FakeMachine
from submeter.testing.nvml import Board, BoardProcess
from submeter.testing.waveforms import Waveform, constant, step
from submeter.units import NS_PER_S, PPM, s_to_ns

BEFORE_S: Final = 0.25  # how far a board's sensors look back
EDGES: Final = 15  # parts that a board can be told beside its level
DRAM_W: Final = 8.0
HOT: Final = 0x20  # nvmlClocksEventReasonSwThermalSlowdown
CAPPED: Final = 0x4  # nvmlClocksEventReasonSwPowerCap


class Piece(NamedTuple):
    """A stretch of one process in one phase, and what its board draws in it."""

    path: str
    start_s: float
    end_s: float
    board_w: float


class Level:
    """A course of power in pieces, with what a zone or process of the machine asks of it."""

    def __init__(self, rows: Sequence[tuple[float, float]], rest: float) -> None:
        self.ends = [end for end, _ in rows]
        self.values = [value for _, value in rows]
        self.rest, self.sums = rest, [0.0]
        begin = 0.0
        for end, value in rows:
            self.sums.append(self.sums[-1] + value * (end - begin))
            begin = end

    def power_w(self, t_s: float) -> float:
        i = bisect.bisect_right(self.ends, t_s)
        return self.rest if t_s < 0 or i >= len(self.values) else self.values[i]

    def integral_j(self, t_s: float) -> float:
        if t_s <= 0:
            return self.rest * t_s
        i = bisect.bisect_left(self.ends, t_s)
        if i >= len(self.ends):
            return self.sums[-1] + self.rest * (t_s - (self.ends[-1] if self.ends else 0.0))
        begin = self.ends[i - 1] if i else 0.0
        return self.sums[i] + self.values[i] * (t_s - begin)

    def energy_j(self, t0_s: float, t1_s: float) -> float:
        return self.integral_j(t1_s) - self.integral_j(t0_s)


_NONE: Final[dict[str, float]] = {}


class Said(NamedTuple):
    """What a process logs at an instant."""

    at_s: float
    rank: int
    values: dict[str, object]
    step: int | None = None
    work: dict[str, float] = _NONE


@dataclass
class Script:
    """A training: pieces by rank, power and load of the processor, what it says.

    ``profile`` is that of the boards; None: there are none. Instants count from the start of the
    run [s].
    """

    pieces: list[list[Piece]]
    cpu: list[tuple[float, float]]  # until, power [W]
    cores: list[tuple[float, float]]  # until, processors kept busy
    length_s: float
    said: list[Said] = field(default_factory=list)
    profile: str | None = "A100"
    idle_w: float = 60.0
    name: str = "train"
    command: tuple[str, ...] = ("python", "train.py")
    tags: dict[str, str] = field(default_factory=dict)
    code: dict[str, str] = field(default_factory=dict)
    status: str = "finished"
    phases: bool = True
    heat: list[tuple[float, int, int]] = field(default_factory=list)  # until, degrees, MHz
    hot_from: int = 90
    capped: bool = False  # by a power limit that somebody set
    number: int = 0
    planted_j: float = 0.0  # at the devices

    @property
    def device_j(self) -> float:
        """What all devices drew [J]."""
        boards = math.fsum(
            p.board_w * (p.end_s - p.start_s) for row in self.pieces for p in row
        ) if self.profile else 0.0  # fmt: skip
        cpu, begin = 0.0, 0.0
        for end, power_w in self.cpu:
            cpu += power_w * (end - begin)
            begin = end
        return boards + cpu + DRAM_W * self.length_s


class Metered(NamedTuple):
    """What the meter made of a script."""

    script: Script
    run: Run
    seen: Observations


def metered(script: Script, folder: Path, *, interval_s: float = 0.5) -> Metered:
    """Meter *script* on a machine in *folder*, its journal beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    machine = FakeMachine(folder / "machine")
    cpu: Any = Level(_later(script.cpu), 45.0)
    package = machine.add_package(cpu, start_uj=0)
    machine.add_dram(package, constant(DRAM_W), start_uj=0)
    boards = []
    for rank, row in enumerate(script.pieces if script.profile else ()):
        process = BoardProcess(100 + rank, from_s=START_S)
        board = machine.add_board(
            profile=script.profile or "", start_j=0.0, idle_w=script.idle_w, processes=[process]
        )
        boards.append((board, _board_level(row, script.idle_w)))
    cores: Any = Level(_later((t, c / len(script.pieces)) for t, c in script.cores), 0.0)
    for rank in range(len(script.pieces)):
        environ = {"RANK": str(rank), "WORLD_SIZE": str(len(script.pieces))}
        machine.add_process(
            100 + rank, comm="python", cores=cores, start_s=START_S - 1,
            environ=environ if len(script.pieces) > 1 else {},
        )  # fmt: skip
    run_folder = folder / "run"
    run_folder.mkdir()
    try:
        with machine.installed():
            _meter(machine, boards, run_folder, script, interval_s)
    finally:
        machine.close()
    run = settle_folder(run_folder)
    return Metered(script, run, observed(run, run_folder))


def _later(rows: Any) -> list[tuple[float, float]]:
    return [(START_S, 0.0), *((START_S + t, v) for t, v in rows)]


def _board_level(row: Sequence[Piece], idle_w: float) -> Level:
    rows, at_s = [(START_S, idle_w)], 0.0
    for piece in row:
        if piece.start_s > at_s + 1e-9:
            rows.append((START_S + piece.start_s, idle_w))
        rows.append((START_S + piece.end_s, piece.board_w))
        at_s = piece.end_s
    return Level(rows, idle_w)


def _show(machine: FakeMachine, boards: list[tuple[Board, Level]], t_s: float) -> None:
    """Move the machine to *t_s*, its boards told what they drew just before."""
    for board, level in boards:
        first = bisect.bisect_right(level.ends, t_s - BEFORE_S)
        last = bisect.bisect_left(level.ends, t_s)
        first = max(first, last - EDGES)
        begin_w = level.values[first] if first < len(level.values) else level.rest
        wave: Waveform = constant(begin_w)
        before = wave.power_w(0.0)
        for i in range(first, last):
            after = level.values[i + 1] if i + 1 < len(level.values) else level.rest
            wave = wave + step(level.ends[i], 0.0, after - before)
            before = after
        board.waveform = wave
        board.start_j = level.integral_j(t_s) - wave.energy_j(0.0, t_s)
    if boards:
        machine.driver().update()
    machine.at(t_s)


def _meter(
    machine: FakeMachine,
    boards: list[tuple[Board, Level]],
    folder: Path,
    script: Script,
    interval_s: float,
) -> None:
    _show(machine, boards, START_S)
    roots = Roots(sys=machine.sys, proc=machine.proc, nvml=bool(boards))
    found = discover(roots, now_ns=lambda: at_ns(machine.t_s))
    journal = JournalWriter(folder / "journal")
    try:
        journal.append(*_frames(machine, boards, found, script, interval_s), sync=True)
    finally:
        journal.close()
        found.close()
    _log(folder, script)


def _log(folder: Path, script: Script) -> None:
    now = [at_ns(START_S)]
    writers = {
        rank: MarksWriter(
            folder / f"marks.{100 + rank}", _process(rank, script), now_ns=lambda: now[0]
        )
        for rank in range(len(script.pieces))
    }
    for said in script.said:
        now[0] = at_ns(START_S + said.at_s)
        writers[said.rank].log(said.values, step=said.step, work=said.work)
    for writer in writers.values():
        writer.close()


def _process(rank: int, script: Script) -> Process:
    several = len(script.pieces) > 1
    return Process(
        100 + rank, at_ns(START_S), rank if several else None, rank if several else None,
        len(script.pieces) if several else None,
    )  # fmt: skip


class _Occupied:
    """How long each phase of one process was open until now."""

    def __init__(self, row: Sequence[Piece], paths: dict[str, int]) -> None:
        self.row, self.paths, self.place = row, paths, 0

    def until(self, before_s: float, now_s: float) -> list[Occupied]:
        found: dict[str, list[float]] = {}
        i = self.place
        while i < len(self.row) and self.row[i].start_s < now_s:
            piece = self.row[i]
            inside = min(piece.end_s, now_s) - max(piece.start_s, before_s)
            if inside > 0 and piece.path:
                held = found.setdefault(piece.path, [0.0, 0])
                held[0] += inside
                held[1] += piece.start_s >= before_s
            if piece.end_s > now_s:
                break
            i += 1
        self.place = i
        return [
            Occupied(self.paths[p], s_to_ns(t), s_to_ns(t), int(n)) for p, (t, n) in found.items()
        ]


def _frames(
    machine: FakeMachine,
    boards: list[tuple[Board, Level]],
    found: Discovery,
    script: Script,
    interval_s: float,
) -> list[Frame]:
    pids = [100 + rank for rank in range(len(script.pieces))]
    tree = ProcessTree(pids, machine.proc)
    for sensor in found.sensors:
        if hasattr(sensor, "watch"):
            sensor.watch(tree)
    frames: list[Frame] = [_head(found, script, interval_s)]
    frames += [_process(rank, script) for rank in range(len(pids))]
    lanes, index = [], 0
    for rank, row in enumerate(script.pieces):
        paths = list(dict.fromkeys(p.path for p in row if p.path)) if script.phases else []
        frames += [PathName(index + i, pids[rank], path) for i, path in enumerate(paths)]
        named = {path: index + i for i, path in enumerate(paths)}
        lanes.append(_Occupied([p for p in row if p.path in named], named))
        index += len(paths)
    columns: list[list[list[int | None]]] = [[[] for _ in s.channels] for s in found.sensors]
    read(found, columns)
    frames += [*flushed(columns, [START_S]), Started(at_ns(START_S))]
    before_s, second = 0.0, list[float]()
    count = math.ceil(script.length_s / interval_s)
    for i in range(1, count + 1):
        at_s = min(script.length_s, i * interval_s)
        _weather(boards, script, at_s)
        _show(machine, boards, START_S + at_s)
        read(found, columns)
        second.append(START_S + at_s)
        rows = [r for lane in lanes for r in lane.until(before_s, at_s)]
        frames.append(Occupancy(at_ns(START_S + at_s), rows))
        before_s = at_s
        if START_S + at_s - second[0] > 1 - 1.5 * interval_s or i == count:
            frames += flushed(columns, second)
            frames.append(_use(found, tree, pids, START_S + at_s))
            second = []
    for i in range(1, 13):  # the boards' counters move within a tenth of a second
        at_s = START_S + script.length_s + 0.01 * i
        _show(machine, boards, at_s)
        read(found, columns)
        second.append(at_s)
    code = 0 if script.status == "finished" else 1
    return [*frames, *flushed(columns, second),
            End(at_ns(START_S + script.length_s), script.status, code)]  # fmt: skip


def _weather(boards: list[tuple[Board, Level]], script: Script, at_s: float) -> None:
    for board, _ in boards if script.capped else ():
        board.throttle_bits = CAPPED
    for until_s, degrees, mhz in script.heat:
        if at_s <= until_s:
            for board, _ in boards:
                board.temperature_c, board.sm_clock_mhz = degrees, mhz
                board.throttle_bits = HOT if degrees >= script.hot_from else 0
            return


def _use(found: Discovery, tree: ProcessTree, pids: list[int], t_s: float) -> Use:
    shares: dict[str, int | None] = {}
    how: dict[str, str] = {}
    ranks: dict[str, list[int]] = {}
    for sensor in found.sensors:
        if sensor.device.kind is DeviceKind.GPU:
            tenancy = sensor.tenancy(pids)  # type: ignore[attr-defined]
            ratio = tenancy.run_share_ratio
            name = sensor.device.id
            shares[name] = None if isinstance(ratio, Missing) else round(ratio * PPM)
            how[name] = tenancy.how
            held = sorted({r for p in tenancy.pids if (r := tree.rank_of(p)) is not None})
            if held:
                ranks[name] = held
    return Use(at_ns(t_s), tree.rank_cpu_ns(), shares, ranks, how)


def _head(found: Discovery, script: Script, interval_s: float) -> Head:
    return Head(
        schema=1, run_id=f"20261124-{script.number:06d}-0000", generation=0, host="fake",
        boot_id="fake", collector_pid=1, leader_pid=100,
        utc_ns=UTC_NS + script.number * 3600 * NS_PER_S, t_ns=at_ns(START_S),
        interval_s=interval_s, name=script.name, command=script.command, tags=script.tags,
        code=script.code,
        machine=dict(found.machine), project="scripted", place={"pue": "1.2"},
        devices=found.devices,
        sensors=tuple(SensorHead(s.device.id, tuple(s.channels)) for s in found.sensors),
    )  # fmt: skip
