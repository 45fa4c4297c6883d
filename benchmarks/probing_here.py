# SPDX-License-Identifier: Apache-2.0
"""Real trainings of examples/language_model.py under the meter, scored in CPU time."""

import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.probing import PROBE_S, ROOT, TENTH, Score, Seen, scored
from submeter.estimating.courses import Course, Mark, Stretch
from submeter.records.devices import Channel, Measures
from submeter.records.frames import Head, Ticks, delta_decode, gappy_delta_decode
from submeter.running.progress import Following
from submeter.storing.journal import read_frames
from submeter.units import ns_to_s

CPU_TIME: Final = "CPU time"
TEN: Final = ("--params", "0.8M", "--batch", "16", "--context", "128", "--threads", "1",
              "--evaluate-every", "250", "--checkpoint-every", "500")  # fmt: skip


class Training(NamedTuple):
    """A finished training: what it logged, and CPU time and modelled energy over its time."""

    marks: list[Mark]
    stretches: list[Stretch]
    steps: float
    courses: dict[str, Course]

    def seen(self, job: str, horizon: str, until_s: float, quantity: str) -> Seen:
        """What somebody knew of it after *until_s*."""
        course = self.courses[quantity]
        known = [(t, u) for t, u in zip(course.t_s, course.totals, strict=True) if t <= until_s]
        t_s, totals = zip(*known, strict=True)
        return Seen(
            job, horizon, until_s, [m for m in self.marks if m.t_s <= until_s],
            Course(t_s, totals),
            [s._replace(end_s=min(s.end_s, until_s)) for s in self.stretches
             if s.start_s < until_s],
            self.steps, course.totals[-1],
        )  # fmt: skip


def trained(options: Sequence[str], *, patience_s: float = 3600) -> Training:
    """Run the language model with *options* under the meter, to its end."""
    with tempfile.TemporaryDirectory(prefix="probing-") as folder:
        home = Path(folder)
        command = [sys.executable, str(ROOT / "examples" / "language_model.py"), *options,
                   "--checkpoint", str(home / "checkpoint")]  # fmt: skip
        run = [sys.executable, "-m", "submeter", "run", "--quiet", "--zone", "WORLD", "--"]
        env = {**os.environ, "SUBMETER_HOME": str(home / "kept"), "OMP_NUM_THREADS": "1",
               "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}  # fmt: skip
        subprocess.run([*run, *command], env=env, check=True, timeout=patience_s,
                       stdout=subprocess.DEVNULL)  # fmt: skip
        (where,) = (home / "kept" / "runs").iterdir()
        return _read(where)


def _read(folder: Path) -> Training:
    progress = Following(folder)
    progress.look()
    assert progress.total is not None
    courses = {CPU_TIME: cpu_course(folder), "modelled energy": progress.energy()}
    return Training(progress.marks(), progress.stretches(), progress.total, courses)


def cpu_course(folder: Path) -> Course:
    """CPU time of the run's processes since it began."""
    frames = read_frames(folder / "journal").frames
    channels: list[tuple[int, int, Channel]] = []
    start_ns = 0
    points: list[tuple[float, float]] = []
    for frame in frames:
        if isinstance(frame, Head):
            channels = [
                (s, c, channel)
                for s, sensor in enumerate(frame.sensors)
                for c, channel in enumerate(sensor.channels)
                if channel.measures is Measures.RUN_TIME
            ]
            start_ns = start_ns or frame.t_ns
        if not isinstance(frame, Ticks):
            continue
        for sensor, column, channel in channels:
            if sensor == frame.sensor:
                raws = gappy_delta_decode(frame.values[column])
                points += [
                    (ns_to_s(t - start_ns), raw * channel.scale)
                    for t, raw in zip(delta_decode(frame.t_ns), raws, strict=True)
                    if raw is not None
                ]
    points = sorted(set(points))
    first = points[0][1]
    return Course([t for t, _ in points], [used - first for _, used in points])


def ten_minutes() -> list[Score]:
    """The ten-minute training, foretold by a probe of another start of it and by its own tenth."""
    probe_first = trained((*TEN, "--steps", "150"))
    per_step_s = (probe_first.marks[-1].t_s - probe_first.marks[9].t_s) / (
        probe_first.marks[-1].done - probe_first.marks[9].done
    )
    steps = max(1000, round(600 / per_step_s))
    whole = trained((*TEN, "--steps", str(steps)))
    name = f"ten minutes, {steps} steps"
    found = _both(name, whole)
    for quantity, course in whole.courses.items():
        other = probe_first._replace(steps=steps).seen(
            f"{name}, a probe of its own", "probe", PROBE_S, quantity
        )
        found += scored([other._replace(truth=course.totals[-1])], quantity)
    return found


def varied_training(number: int) -> list[Score]:
    """A training of about a minute, varied by *number*; its tenth foretells it.

    A tenth of less than five seconds holds too few readings at one a second.
    """
    rng = random.Random(number)  # noqa: S311  # no secret
    batch, context = rng.choice((4, 8, 16)), rng.choice((32, 64, 128))
    params = rng.choice(("0.1M", "0.2M", "0.4M"))
    work = float(params[:-1]) * batch * context
    steps = max(300, round(60 / (2.5e-4 * work + 4e-3)))
    every = max(2, round(steps / rng.choice((5, 10, 20, 40))))
    options = ("--params", params, "--batch", str(batch), "--context", str(context),
               "--threads", "1", "--steps", str(steps), "--seed", str(number),
               "--evaluate-every", str(every), "--checkpoint-every", str(2 * every))  # fmt: skip
    name = re.sub(r"--(params|batch|context|steps) ", "", " ".join(options[:6]))
    return _both(f"training {number}, {name} × {steps}", trained(options), only="tenth")


def _both(job: str, training: Training, only: str = "") -> list[Score]:
    first = next(m.t_s for m in training.marks if m.done >= TENTH * training.steps)
    horizons = {"probe": PROBE_S, "tenth": first}
    return [
        score
        for horizon, until_s in horizons.items()
        if horizon == only or not only
        for quantity in training.courses
        for score in scored([training.seen(job, horizon, until_s, quantity)], quantity)
    ]
