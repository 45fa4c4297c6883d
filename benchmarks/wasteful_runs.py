# SPDX-License-Identifier: Apache-2.0
"""Trainings with one planted waste each, by seed.

What is planted is known in joules of the devices, from the script alone. Thresholds of the rules
were looked at on `TUNING` seeds; `SCORED` ones are for docs/waste.md and the bars.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from benchmarks.wasteful_machine import DRAM_W, Piece, Said, Script

SCORED: Final = range(301, 306)
TUNING: Final = range(101, 104)
COMMIT: Final = "3f1c0de8a7"


class Part(NamedTuple):
    """A stretch of all ranks at once."""

    path: str
    length_s: float
    board_w: Sequence[float]
    cpu_w: float
    cores: float


@dataclass
class Shape:
    """A training before anything is wasted in it."""

    rng: random.Random
    step_s: float = 0.0
    epochs: int = 0
    steps: int = 0  # an epoch
    train_w: float = 0.0
    wait_w: float = 0.0
    cpu_w: float = 0.0
    cores: float = 1.0
    load_ratio: float = 0.0
    evaluate_s: float = 0.0
    save_s: float = 0.0
    start_s: float = 0.0
    end_s: float = 0.0
    batch: int = 64
    words: dict[str, object] = field(default_factory=dict)
    ranks: int = 1
    shift: list[float] = field(default_factory=lambda: [1.0])
    peak_ratio: float = 3.0  # of the epochs, where the quality is best
    top: float = 0.9

    @classmethod
    def of(cls, seed: int) -> "Shape":
        rng = random.Random(seed)  # noqa: S311  # no secret
        step_s = rng.uniform(0.18, 0.5)
        epochs = rng.randint(8, 13)
        epoch_s = rng.uniform(300, 450) / epochs
        shape = cls(rng, step_s, epochs, max(8, round(epoch_s / step_s)))
        shape.train_w, shape.wait_w = rng.uniform(250, 370), rng.uniform(75, 110)
        shape.cpu_w, shape.cores = rng.uniform(70, 120), rng.uniform(1.0, 4.0)
        shape.load_ratio = rng.uniform(0.01, 0.05)
        shape.evaluate_s = rng.uniform(0.02, 0.09) * epoch_s
        shape.save_s = rng.uniform(0.003, 0.02) * epoch_s
        shape.start_s, shape.end_s = rng.uniform(2, 15), rng.uniform(0.5, 4)
        shape.batch = rng.choice((32, 64, 128, 256))
        shape.top = rng.uniform(0.75, 0.97)
        shape.words = {
            "precision": "bf16", "batch_size": str(shape.batch), "lr": "0.001",
            "seed": str(seed), "model": "resnet",
        }  # fmt: skip
        return shape


class Maker:
    """Puts a script together, part by part."""

    def __init__(self, shape: Shape, number: int) -> None:
        self.shape, self.t_s = shape, 0.0
        n = shape.ranks
        self.script = Script([[] for _ in range(n)], [], [], 0.0, number=number)
        self.script.code = {"commit": COMMIT, "dirty": "no"}
        self.said(0, shape.words)
        self.planted_j = 0.0
        self.step = 0

    def said(self, rank: int, values: dict[str, object], **more: object) -> None:
        self.script.said.append(Said(self.t_s, rank, values, **more))  # type: ignore[arg-type]

    def add(self, path: str, length_s: float, board_w: float, cpu_w: float, cores: float) -> float:
        """All ranks in one phase; energy of all devices in it [J]."""
        for row in self.script.pieces:
            row.append(Piece(path, self.t_s, self.t_s + length_s, board_w))
        self.advance(length_s, cpu_w, cores)
        boards = len(self.script.pieces) if self.script.profile else 0
        return length_s * (boards * board_w + cpu_w + DRAM_W)

    def advance(self, length_s: float, cpu_w: float, cores: float) -> None:
        self.t_s += length_s
        self.script.cpu.append((self.t_s, cpu_w))
        self.script.cores.append((self.t_s, cores))

    def train_step(self, ratio: float = 1.0, power: float = 1.0, *, log: bool = True) -> float:
        """Load and train once; energy of the train phase [J]."""
        s = self.shape
        took_s = s.step_s * ratio * max(0.6, s.rng.gauss(1, 0.05))
        self.add("load", s.load_ratio * took_s, s.wait_w, s.cpu_w, s.cores)
        used_j = self.add(
            "train", (1 - s.load_ratio) * took_s, s.train_w * power, s.cpu_w, s.cores
        )
        self.step += 1
        if log:
            self.logged()
        return used_j

    def joint_step(self, own_s: Sequence[float], end_s: float, sync_w: float) -> None:
        """Train each rank for its own time, and let all wait until the last one is done."""
        s = self.shape
        for rank, row in enumerate(self.script.pieces):
            row.append(Piece("train", self.t_s, self.t_s + own_s[rank], s.train_w))
            row.append(Piece("sync", self.t_s + own_s[rank], self.t_s + end_s, sync_w))
        self.advance(end_s, s.cpu_w, s.cores * s.ranks)
        self.step += 1
        self.logged()

    def logged(self) -> None:
        loss = 2.5 * math.exp(-self.step / 400) + 0.1
        for rank in range(len(self.script.pieces)):
            self.said(rank, {"loss": loss} if rank == 0 else {}, step=self.step,
                      work={"samples": self.shape.batch, "steps": 1.0})  # fmt: skip

    def evaluate(self) -> float:
        s = self.shape
        return self.add("evaluate", s.evaluate_s * s.rng.uniform(0.9, 1.1), 0.85 * s.train_w,
                        s.cpu_w, s.cores)  # fmt: skip

    def save(self) -> float:
        s = self.shape
        return self.add("checkpoint", s.save_s * s.rng.uniform(0.9, 1.1), s.wait_w, s.cpu_w, 1.0)

    def quality(self, epoch: int) -> None:
        s = self.shape
        peak = s.peak_ratio * s.epochs
        value = s.top * (1 - math.exp(-3 * min(epoch, peak) / min(peak, s.epochs)))
        value -= 0.004 * max(0.0, epoch - peak)
        value += s.rng.gauss(0, 0.0015)
        self.said(0, {"val_accuracy": value, "epoch": epoch}, step=self.step)

    def finish(self, tail_s: float | None = None) -> Script:
        s = self.shape
        self.add("", s.end_s if tail_s is None else tail_s, self.script.idle_w, 48.0, 0.0)
        self.script.length_s, self.script.planted_j = self.t_s, self.planted_j
        return self.script

    def begin(self) -> None:
        self.add("", self.shape.start_s, 65.0, self.shape.cpu_w, 1.0)


def plain(shape: Shape, number: int, maker: Maker | None = None) -> Maker:
    """The training as it is, up to its end."""
    m = maker or Maker(shape, number)
    m.begin()
    for epoch in range(1, shape.epochs + 1):
        for _ in range(shape.steps):
            m.train_step()
        m.evaluate()
        m.quality(epoch)
        m.save()
    return m


Runs = list[Script]  # the last one is asked about, the others are of its project


def slow_loader(seed: int) -> Runs:
    s = Shape.of(seed)
    s.load_ratio = s.rng.uniform(0.3, 0.55)
    loader_w = s.rng.uniform(5, 40)
    m = Maker(s, seed)
    add = m.add

    def slow(path: str, length_s: float, board_w: float, cpu_w: float, cores: float) -> float:
        if path != "load":
            return add(path, length_s, board_w, cpu_w, cores)
        m.planted_j += length_s * (board_w + cpu_w + DRAM_W)
        return add(path, length_s, board_w, cpu_w + loader_w, cores + 1)

    m.add = slow  # type: ignore[method-assign]
    s.steps = max(8, round(s.steps * 0.7))
    return [plain(s, seed, m).finish()]


def tiny_batch(seed: int) -> Runs:
    s = Shape.of(seed)
    rng = s.rng
    idle_w, peak_w = rng.uniform(54, 67), 400.0
    use, full = rng.uniform(0.08, 0.25), rng.uniform(0.6, 0.85)
    s.batch, s.step_s = rng.choice((1, 2, 4)), rng.uniform(0.02, 0.05)
    s.words |= {"batch_size": str(s.batch)}
    s.train_w = idle_w + use * (peak_w - idle_w)
    s.load_ratio = 0.0
    m = Maker(s, seed)
    m.script.idle_w = idle_w
    m.begin()
    for epoch in range(1, s.epochs + 1):
        length_s = s.steps * Shape.of(seed).step_s
        n = round(length_s / s.step_s)
        m.add("train", length_s, s.train_w, s.cpu_w, s.cores)
        m.step += n
        m.planted_j += (idle_w + s.cpu_w + DRAM_W) * length_s * (1 - use / full)
        m.said(0, {"loss": 1.0 / epoch}, step=m.step,
               work={"samples": float(n * s.batch), "steps": float(n)})  # fmt: skip
        m.evaluate()
        m.quality(epoch)
        m.save()
    return [m.finish()]


def wide(seed: int) -> Runs:
    s = Shape.of(seed)
    saving = s.rng.uniform(0.1, 0.45)
    s.words |= {"precision": "fp32"}
    m = Maker(s, seed)
    step = m.train_step

    def counted(ratio: float = 1.0, power: float = 1.0, *, log: bool = True) -> float:
        used_j = step(ratio, power, log=log)
        m.planted_j += saving * used_j
        return used_j

    m.train_step = counted  # type: ignore[method-assign]
    return [plain(s, seed, m).finish()]


def evaluated_each_step(seed: int) -> Runs:
    s = Shape.of(seed)
    s.evaluate_s = s.step_s * s.rng.uniform(0.4, 1.2)
    m = Maker(s, seed)
    m.begin()
    for epoch in range(1, s.epochs + 1):
        for i in range(max(8, s.steps // 2)):
            m.train_step()
            used_j = m.evaluate()
            m.planted_j += used_j if i else 0.0
        m.quality(epoch)
        m.save()
    return [m.finish()]


def no_early_stop(seed: int) -> Runs:
    s = Shape.of(seed)
    s.epochs, s.steps = s.rng.randint(28, 45), max(8, s.steps // 3)
    s.peak_ratio = s.rng.uniform(0.35, 0.6)
    best, patience = round(s.peak_ratio * s.epochs), 3
    m = Maker(s, seed)
    m.begin()
    for epoch in range(1, s.epochs + 1):
        used_j = math.fsum(m.train_step() / (1 - s.load_ratio) for _ in range(s.steps))
        used_j += m.evaluate()
        m.quality(epoch)
        used_j += m.save()
        m.planted_j += used_j if epoch > best + patience else 0.0
    return [m.finish()]


def late_rank(seed: int) -> Runs:
    s = Shape.of(seed)
    s.ranks = s.rng.choice((2, 3, 4))
    late, ratio = s.rng.randrange(s.ranks), s.rng.uniform(1.2, 1.7)
    spin_w = s.rng.uniform(95, 180)
    m = Maker(s, seed)
    m.begin()
    for epoch in range(1, s.epochs + 1):
        for _ in range(s.steps):
            own_s = [s.step_s * max(0.7, s.rng.gauss(1, 0.02)) for _ in range(s.ranks)]
            own_s[late] *= ratio
            end_s = max(own_s) + 0.004
            others = [end_s - t for r, t in enumerate(own_s) if r != late]
            waited_s = math.fsum(others)
            m.planted_j += waited_s * spin_w + waited_s / len(others) * (s.cpu_w + DRAM_W)
            m.joint_step(own_s, end_s, spin_w)
        m.evaluate()
        m.quality(epoch)
        m.save()
    return [m.finish()]


def checkpoint_storm(seed: int) -> Runs:
    s = Shape.of(seed)
    s.save_s, every = s.rng.uniform(0.8, 2.5), s.rng.randint(8, 16)
    m = Maker(s, seed)
    m.begin()
    for epoch in range(1, s.epochs + 1):
        for _ in range(max(8, s.steps * 2 // 3)):
            m.train_step()
            if m.step % every == 0:
                m.planted_j += m.save()
        m.evaluate()
        m.quality(epoch)
    m.save()
    return [m.finish()]


def idle_tail(seed: int) -> Runs:
    s = Shape.of(seed)
    m = plain(s, seed)
    tail_s = s.rng.uniform(50, 200)
    m.planted_j = tail_s * (m.script.idle_w + 48.0 + DRAM_W)
    return [m.finish(tail_s)]


def throttled(seed: int) -> Runs:
    s = Shape.of(seed)
    slower, power = s.rng.uniform(1.35, 1.9), s.rng.uniform(0.82, 0.97)
    from_epoch = max(2, round(s.rng.uniform(0.35, 0.65) * s.epochs))
    m = Maker(s, seed)
    m.begin()
    plain_j, hot_j, steps, hot = 0.0, 0.0, 0, 0
    whole = 1 / (1 - s.load_ratio)
    begin_s = 0.0
    for epoch in range(1, s.epochs + 1):
        if epoch == from_epoch:
            begin_s = m.t_s
        for _ in range(s.steps):
            if epoch < from_epoch:
                plain_j += m.train_step() * whole
                steps += 1
            else:
                hot_j += m.train_step(slower, power) * whole
                hot += 1
        m.evaluate()
        m.quality(epoch)
        m.save()
    m.planted_j = hot_j - hot * plain_j / steps
    script = m.finish()
    script.heat = [(begin_s, 68, 1410), (script.length_s + 9, 92, round(1410 / slower))]
    return [script]


def run_twice(seed: int) -> Runs:
    first = plain(Shape.of(seed), seed).finish()
    again = plain(Shape.of(seed), seed + 1000).finish()
    again.planted_j = again.device_j
    return [first, again]


def oversized(seed: int) -> Runs:
    big, small = Shape.of(seed), Shape.of(seed)
    ratio = big.rng.uniform(0.2, 0.6)
    small.step_s *= ratio
    big.words |= {"parameters": "25600000"}
    small.words |= {"parameters": f"{25_600_000 * ratio:.0f}"}
    small.top = big.top + 0.003
    first, last = plain(small, seed).finish(), plain(big, seed + 1000).finish()
    last.planted_j = last.device_j - first.device_j
    return [first, last]


def fallback(seed: int) -> Runs:
    s = Shape.of(seed)
    m = Maker(s, seed)
    s.train_w = s.wait_w = m.script.idle_w
    s.cpu_w, s.cores, s.step_s = s.rng.uniform(130, 200), s.rng.uniform(6, 14), 2.5 * s.step_s
    s.steps = max(4, s.steps // 2)
    add = m.add

    def idle(path: str, length_s: float, board_w: float, cpu_w: float, cores: float) -> float:
        del board_w
        return add(path, length_s, m.script.idle_w, cpu_w, cores)

    m.add = idle  # type: ignore[method-assign]
    m = plain(s, seed, m)
    script = m.finish()
    script.planted_j = script.length_s * script.idle_w
    return [script]


PLANTED: Final[dict[str, tuple[str, Callable[[int], Runs]]]] = {
    "slow loader": ("loader", slow_loader),
    "tiny batch": ("tiny-batch", tiny_batch),
    "fp32 on a bf16 device": ("precision", wide),
    "evaluation every step": ("evaluation", evaluated_each_step),
    "no early stop": ("after-best", no_early_stop),
    "one rank late": ("late-rank", late_rank),
    "checkpoint storm": ("checkpoints", checkpoint_storm),
    "idle tail": ("idle-tail", idle_tail),
    "throttle": ("throttle", throttled),
    "twice-run trial": ("repeated", run_twice),
    "over-large model": ("oversized", oversized),
    "CPU fallback": ("cpu-fallback", fallback),
}
