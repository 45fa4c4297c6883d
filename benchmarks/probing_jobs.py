# SPDX-License-Identifier: Apache-2.0
"""Trainings that never were: varied jobs on the fake machine, whose hidden powers are known.

Each job has a start, a compilation, a warm-up, steps that differ and drift, a device that grows
hungrier as it warms up, evaluations and checkpoints. What is metered of it is what real sensors
read off the fake machine's counters; the truth is the integral of its power.
"""

import bisect
import math
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from submeter.records.figures import Missing
from submeter.records.frames import (
    TOTAL_STEPS,
    Frame,
    Head,
    Metric,
    Occupancy,
    Occupied,
    PathName,
    SensorHead,
    Started,
    Ticks,
    Use,
    delta_encode,
    gappy_delta_encode,
)
from submeter.running.progress import Progress
from submeter.sensors import Roots, discover
from submeter.testing import FakeMachine, constant
from submeter.units import NS_PER_S, s_to_ns

UP_NS: Final = 1000 * NS_PER_S
UTC_NS: Final = 1_795_000_000 * NS_PER_S
PROCESS: Final = 4242
LEAST_GAP_S: Final = 0.1
DRAM_W: Final = 8.0
WIDE: Final = math.log(5) / 1.96


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a job in one phase at one power; ``done`` steps are done at its end."""

    path: str
    start_s: float
    end_s: float
    power_w: float
    done: int


class Hidden:
    """Power of all pieces; what a zone of the fake machine needs of a waveform."""

    def __init__(self, pieces: list[Piece]) -> None:
        self.ends = [p.end_s for p in pieces]
        self.powers = [p.power_w for p in pieces]
        self.totals, total = [], 0.0
        for p in pieces:
            total += p.power_w * (p.end_s - p.start_s)
            self.totals.append(total)

    def power_w(self, t_s: float) -> float:
        return self.powers[min(bisect.bisect_right(self.ends, t_s), len(self.ends) - 1)]

    def integral_j(self, t_s: float) -> float:
        if t_s <= 0:
            return self.powers[0] * t_s
        i = bisect.bisect_left(self.ends, t_s)
        if i == len(self.ends):
            return self.totals[-1] + self.powers[-1] * (t_s - self.ends[-1])
        return self.totals[i] - self.powers[i] * (self.ends[i] - t_s)

    def energy_j(self, t0_s: float, t1_s: float) -> float:
        return self.integral_j(t1_s) - self.integral_j(t0_s)


@dataclass(frozen=True, slots=True)
class Job:
    """One training: its pieces, its number of steps, whether it names its phases."""

    pieces: list[Piece]
    steps: int
    with_phases: bool

    @property
    def duration_s(self) -> float:
        return self.pieces[-1].end_s

    @property
    def energy_j(self) -> float:
        return DRAM_W * self.duration_s + sum(
            p.power_w * (p.end_s - p.start_s) for p in self.pieces
        )

    def time_of(self, done: int) -> float:
        """When so many steps were done [s]."""
        return next(p.end_s for p in self.pieces if p.done >= done)


def varied(seed: int) -> Job:
    """A job of ten minutes to an hour, by *seed*."""
    rng = random.Random(seed)  # noqa: S311  # no secret
    step_s = math.exp(rng.uniform(math.log(0.05), math.log(1.5)))
    length_s = math.exp(rng.uniform(math.log(600), math.log(3600)))
    steps = max(60, round(length_s / step_s))
    power_w = rng.uniform(60, 350)
    noise, alike = rng.uniform(0.003, 0.05), rng.uniform(0, 0.7)
    slower = rng.gauss(0, 0.008)  # while the number of steps grows by e
    warms_ratio, warms_s = rng.uniform(0, 0.04), math.exp(rng.uniform(math.log(20), math.log(300)))
    warm_steps, warm_ratio = rng.uniform(0.3, 5.0), rng.uniform(0.0, 2.0)
    every = _every(rng, steps)
    pauses = [  # as long as the priors of `submeter.estimating.overheads` have it
        (
            name,
            n,
            rng.lognormvariate(math.log(0.01), WIDE) * n * step_s,
            power_w * rng.uniform(low, 1),
        )
        for (name, low), n in zip((("evaluate", 0.6), ("checkpoint", 0.2)), every, strict=True)
    ]
    pieces: list[Piece] = []
    t_s = off = 0.0

    def add(path: str, length_s: float, watts: float, done: int) -> None:
        nonlocal t_s
        hot = 1 + warms_ratio * (1 - math.exp(-t_s / warms_s))
        pieces.append(Piece(path, t_s, t_s + length_s, watts * hot, done))
        t_s += length_s

    add("load", rng.uniform(0.5, 6), 0.4 * power_w, 0)
    load_ratio = rng.uniform(0.02, 0.2)
    compile_s = rng.choice((0.0, rng.uniform(1, 8)))
    for done in range(1, steps + 1):
        off = alike * off + math.sqrt(1 - alike**2) * rng.gauss(0, noise)
        took_s = step_s * (1 + slower * math.log(done)) * max(0.3, 1 + off)
        took_s *= 1 + warm_ratio * math.exp(-(done - 1) / warm_steps)
        took_s += compile_s if done == 1 else 0.0
        add("load", load_ratio * took_s, 0.6 * power_w, done - 1)
        add("train", (1 - load_ratio) * took_s, power_w, done)
        for name, n, pause_s, watts in pauses:
            if n and done % n == 0:
                add(name, pause_s * rng.uniform(0.9, 1.15), watts, done)
    return Job(pieces, steps, rng.random() < 0.6)


def _every(rng: random.Random, steps: int) -> list[int]:
    """Steps between evaluations and between checkpoints; 0 for never."""
    return [
        0 if rng.random() < none else max(2, round(steps / math.exp(rng.uniform(1.6, 3.9))))
        for none in (0.2, 0.4)
    ]


class Watched:
    """A job on a fake machine, metered as far as somebody looked.

    A context manager: its folder goes with it.
    """

    def __init__(
        self, job: Job, *, interval_s: float = 0.25, progress: Progress | None = None
    ) -> None:
        self.job = job
        self.progress = Progress() if progress is None else progress
        self._interval_s = interval_s
        self._folder = tempfile.TemporaryDirectory(prefix="probing-")
        self._machine = FakeMachine(Path(self._folder.name) / "machine")
        hidden: Any = Hidden(job.pieces)
        package = self._machine.add_package(hidden, start_uj=0)
        self._machine.add_dram(package, constant(DRAM_W), start_uj=0)
        self._machine.at(0.0)
        roots = Roots(sys=self._machine.sys, proc=self._machine.proc, nvml=False)
        self._found = discover(roots, now_ns=lambda: UP_NS + s_to_ns(self._machine.t_s))
        self._t_s = 0.0
        self._piece = 0
        self._paths: dict[str, int] = {}
        self.progress.feed(self._head())
        self._read_until(0.0)
        self.progress.feed(Started(UP_NS))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._found.close()
        self._machine.close()
        self._folder.cleanup()

    def until(self, t_s: float) -> None:
        """Meter on until *t_s*, a second at a time as the collector does."""
        while self._t_s < min(t_s, self.job.duration_s):
            self._read_until(min(self._t_s + 1.0, t_s, self.job.duration_s))
            self._phases_and_steps()
            self.progress.feed(Use(UP_NS + s_to_ns(self._t_s)))

    def _head(self) -> Head:
        heads = tuple(SensorHead(s.device.id, tuple(s.channels)) for s in self._found.sensors)
        return Head(
            1, "20261123-000000-0000", 0, "fake", "fake", 1, PROCESS, UTC_NS, UP_NS,
            self._interval_s, devices=self._found.devices, sensors=heads,
        )  # fmt: skip

    def _read_until(self, t_s: float) -> None:
        """Read every sensor at each tick until *t_s*, and hand its readings over."""
        count = max(1, round((t_s - self._t_s) / self._interval_s))
        step_s = (t_s - self._t_s) / count
        instants = [self._t_s + step_s * (i + 1) for i in range(count)]
        rows: list[list[list[int | None]]] = [
            [[] for _ in s.channels] for s in self._found.sensors
        ]
        for at_s in instants:
            self._machine.at(at_s)
            for sensor, columns in zip(self._found.sensors, rows, strict=True):
                for column, value in zip(columns, sensor.read(), strict=True):
                    column.append(None if isinstance(value, Missing) else value)
        coded = delta_encode([UP_NS + s_to_ns(t) for t in instants])
        for place, columns in enumerate(rows):
            values = [gappy_delta_encode(column) for column in columns]
            self.progress.feed(Ticks(place, list(coded), 20_000, values))
        self._t_s = t_s

    def _phases_and_steps(self) -> None:
        """Windows of occupancy and logged steps of all pieces that ended by now."""
        marks: list[Frame] = []
        before = None
        while self._piece < len(self.job.pieces):
            piece = self.job.pieces[self._piece]
            if piece.end_s > self._t_s:
                break
            if self.job.with_phases:
                self._window(piece)
            if piece.path == "train":
                t_ns = UP_NS + s_to_ns(piece.end_s)
                text = {TOTAL_STEPS: str(self.job.steps)}
                if before is None or piece.end_s - before >= LEAST_GAP_S:  # as the marks' writer
                    marks.append(Metric(t_ns, {}, piece.done, {}, text))
                    before = piece.end_s
            self._piece += 1
        self.progress.feed_marks(PROCESS, marks)

    def _window(self, piece: Piece) -> None:
        if piece.path not in self._paths:
            self._paths[piece.path] = len(self._paths)
            self.progress.feed(PathName(self._paths[piece.path], PROCESS, piece.path))
        wall_ns = s_to_ns(piece.end_s - piece.start_s)
        row = Occupied(self._paths[piece.path], wall_ns, wall_ns, 1)
        self.progress.feed(Occupancy(UP_NS + s_to_ns(piece.end_s), [row]))
