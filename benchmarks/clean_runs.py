# SPDX-License-Identifier: Apache-2.0
"""Trainings that waste nothing worth telling, of twenty kinds: what must raise no alarm."""

from collections.abc import Callable
from typing import Final

from benchmarks.wasteful_runs import Maker, Runs, Shape, plain

CLEAN: Final = range(60, 80)
CLEAN_TUNING: Final = range(500, 520)


def clean(seed: int) -> Runs:
    """A training that wastes nothing worth telling, one of twenty kinds by *seed*."""
    kind = seed % 20
    if kind in SPECIAL:
        return SPECIAL[kind](seed)
    s = Shape.of(seed)
    if kind == 4:
        s.ranks = 2
    m = Maker(s, seed)
    if kind in {1, 11}:
        m.script.phases = False
    elif kind == 2:  # on processors alone
        m.script.profile = None
        s.cpu_w, s.cores = s.rng.uniform(120, 200), 8.0
    elif kind == 3:  # in fp32 on a board without bf16
        s.words["precision"] = "fp32"
        m.script.profile = "V100"
        s.train_w = s.rng.uniform(180, 280)
    elif kind == 5:
        del s.words["precision"]
        s.load_ratio = s.rng.uniform(0.04, 0.08)
    elif kind == 7:
        s.evaluate_s, s.start_s = 1.4 * s.evaluate_s, s.rng.uniform(20, 45)
    elif kind == 8:
        s.epochs, s.steps = s.epochs * 3, max(8, s.steps // 3)
        s.save_s, s.evaluate_s = s.save_s / 3, s.evaluate_s / 3
    elif kind == 9:
        s.train_w = s.rng.uniform(190, 230)  # a model that moves more than it multiplies
    elif kind == 12:
        m.script.capped, s.train_w = True, s.rng.uniform(190, 260)
    elif kind == 16:
        s.save_s = s.rng.uniform(0.02, 0.035) * s.steps * s.step_s
    elif kind == 17:  # one sample a step, and each fills the board
        s.batch, s.step_s, s.steps = 1, 2 * s.step_s, max(6, s.steps // 2)
        s.words["batch_size"] = "1"
    return [plain(s, seed, m).finish()]


def _other_seed(seed: int) -> Runs:
    kin = Shape.of(seed + 7000)
    kin.words["seed"] = "9"
    return [plain(kin, seed + 1000).finish(), plain(Shape.of(seed), seed).finish()]


def _worse_kin(seed: int) -> Runs:
    s, kin = Shape.of(seed), Shape.of(seed)
    s.words |= {"parameters": "9000000"}
    kin.words |= {"parameters": "3000000", "seed": "77"}
    kin.step_s, kin.top = 0.4 * kin.step_s, s.top - 0.05
    return [plain(kin, seed + 1000).finish(), plain(s, seed).finish()]


def _silent(seed: int) -> Runs:
    """A program that logs and names nothing."""
    script = plain(Shape.of(seed), seed).finish()
    script.said, script.phases = [], False
    return [script]


def _reward(seed: int) -> Runs:
    """A quality that scatters much and rises to the end."""
    s = Shape.of(seed)
    s.epochs, s.steps = 3 * s.epochs, max(8, s.steps // 3)
    m = Maker(s, seed)
    m.quality = lambda epoch: m.said(  # type: ignore[method-assign]
        0, {"eval_reward": 10.0 * epoch / s.epochs + s.rng.gauss(0, 1.0), "epoch": epoch}
    )
    return [plain(s, seed, m).finish()]


def _in_step(seed: int) -> Runs:
    """Ranks that wait for each other a little, each as long as the others."""
    s = Shape.of(seed)
    s.ranks = 3
    m = Maker(s, seed)
    m.begin()
    for epoch in range(1, s.epochs + 1):
        for _ in range(s.steps):
            own_s = [s.step_s * max(0.7, s.rng.gauss(1, 0.02)) for _ in range(s.ranks)]
            end_s = max(own_s) + 0.006
            m.joint_step(own_s, end_s, 150.0)
        m.evaluate()
        m.quality(epoch)
        m.save()
    return [m.finish()]


def _evaluation(seed: int) -> Runs:
    """A trained model on a test set: evaluating is all its work."""
    s = Shape.of(seed)
    m = Maker(s, seed)
    m.begin()
    for _ in range(200):
        m.add("load", 0.03, s.wait_w, s.cpu_w, s.cores)
        m.evaluate()
        m.said(0, {}, work={"samples": float(s.batch)})
    m.said(0, {"test_accuracy": s.top})
    return [m.finish()]


def _attempt(seed: int) -> Runs:
    """A run that went on where one of the project had failed."""
    s = Shape.of(seed)
    lost = plain(Shape.of(seed), seed + 1000).finish()
    lost.status, lost.length_s = "failed", 0.4 * lost.length_s
    lost.pieces = [[p for p in row if p.end_s <= lost.length_s] for row in lost.pieces]
    lost.said = [x for x in lost.said if x.at_s <= lost.length_s]
    return [lost, plain(s, seed).finish()]


SPECIAL: Final[dict[int, Callable[[int], Runs]]] = {
    0: _other_seed, 6: _worse_kin, 10: _silent, 13: _reward, 14: _in_step, 18: _evaluation,
    19: _attempt,
}  # fmt: skip
