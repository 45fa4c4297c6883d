# SPDX-License-Identifier: Apache-2.0
"""The program that runs everyday tasks under the meter: each round of each task is a phase.

Started as ``python -m submeter.running.everyday.program ORDER`` by ``bench.py``; it says one line
of JSON for each round, and one for each task that could not run.
"""

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from submeter.records.everyday import phase_name
from submeter.running import joined
from submeter.running.everyday.crew import Crew, WorkerError
from submeter.running.everyday.load import SLOT_S, Busy, used
from submeter.running.everyday.tasks import IDLE, Batched, Task, task_class

WARM_RATIO: Final = 0.15  # of a round, before the first one; not counted
PACE_RATIO: Final = 0.25  # part of full load at which paced tasks are served


class Order(msgspec.Struct, frozen=True):
    """What is to be run, and for how long."""

    tasks: tuple[str, ...]
    rounds: int
    round_s: float
    many_s: float
    paced_s: float
    idle_s: float
    workers: int

    @property
    def planned_s(self) -> float:
        """Length of all rounds together; preparing comes on top."""
        whole = 0.0
        for key in self.tasks:
            if key == IDLE:
                whole += self.idle_s
                continue
            task = task_class(key)
            if task.why_not():
                continue
            each_s = self.rounds * self.round_s + (WARM_RATIO * self.round_s)
            whole += len(task.ways) * each_s
            if self.workers > 1 and len(task.ways) == 1:
                whole += self.many_s
            whole += self.paced_s * task.paced
        return whole


class Program:
    """Runs the tasks of an order, one after the other."""

    def __init__(self, order: Order, crew: Crew, folder: Path, say: Callable[..., None]) -> None:
        self.order, self.crew, self.folder, self._say = order, crew, folder, say

    def run(self) -> None:
        """Run all; a task that fails is told, and the next one runs."""
        for key in self.order.tasks:
            self._say(task=key, begins=True)
            if key == IDLE:
                self._idle()
                continue
            why = "workers are lost" if self.crew.broken else task_class(key).why_not()
            if why:
                self._say(task=key, missing=why)
                continue
            try:
                self._task(key)
            except Exception as exc:  # noqa: BLE001  # of whatever tool a task uses
                self._say(task=key, missing=f"it failed: {exc}")

    def _idle(self) -> None:
        self._round(IDLE, "idle", "idle", 1, 0, lambda: _slept(self.order.idle_s))

    def _task(self, key: str) -> None:
        order, crew = self.order, self.crew
        folder = Path(tempfile.mkdtemp(prefix=f"{key}-", dir=self.folder))
        task = task_class(key)(folder, len(crew))
        with ExitStack() as ends:
            ends.callback(task.finish)
            told = task.prepare()
            self._say(task=key, unit=task.unit, told=told)
            crew.all(len(crew), "open", key, str(folder))
            ends.callback(self._close)
            for way in task.ways:
                self._work(task, way, 1, order.round_s * WARM_RATIO)
            rate = 0.0
            for number in range(1, order.rounds + 1):
                for way in task.ways:
                    rate = self._timed(task, way, "one", number, 1, order.round_s)
            if len(crew) > 1 and len(task.ways) == 1:
                self._timed(task, task.ways[0], "many", 1, len(crew), order.many_s)
            if task.paced and order.paced_s > 0:
                self._paced(key, rate * PACE_RATIO)

    def _close(self) -> None:
        """Let the workers close the task; a worker that is lost has nothing to close."""
        with suppress(WorkerError):
            self.crew.all(len(self.crew), "close")

    def _paced(self, key: str, units_per_s: float) -> None:
        """Serve what arrives at a part of the rate that was just reached."""
        for_s = self.order.paced_s
        self._round(
            key, "work", "paced", 1, 1,
            lambda: sum(self.crew.all(1, "paced", for_s, units_per_s, within_s=for_s)),
        )  # fmt: skip

    def _timed(
        self, task: Task, way: str, kind: str, number: int, workers: int, for_s: float
    ) -> float:
        def work() -> float:
            return self._work(task, way, workers, for_s)

        return self._round(task.key, way, kind, number, workers, work)

    def _work(self, task: Task, way: str, workers: int, for_s: float) -> float:
        if isinstance(task, Batched):
            return float(sum(self.crew.all(workers, "run", way, for_s, within_s=for_s)))
        end_s, units = time.monotonic() + for_s, 0.0
        while time.monotonic() < end_s:
            self.crew.all(workers, "part", way, workers)
            units += sum(self.crew.all(1, "merge", way, workers))
        return units

    def _round(
        self, task: str, way: str, kind: str, number: int, workers: int, work: Callable[[], float]
    ) -> float:
        """Do *work* as a phase and say what it took; units a second."""
        root = os.getpid()
        before = used(root)
        begin_s, begin_utc_s = time.monotonic(), time.time()
        with _Phase(phase_name(task, way, kind, number)), Busy(root) as busy:
            units = work()
        wall_s = time.monotonic() - begin_s
        took = used(root).since(before)
        self._say(
            task=task, way=way, kind=kind, number=number, workers=workers, units=units,
            wall_s=wall_s, cpu_s=took.own_s, others_s=took.others_s, stolen_s=took.stolen_s,
            begin_utc_s=begin_utc_s, busy=[round(x, 4) for x in busy.slots],
            busy_slot_s=SLOT_S,
        )  # fmt: skip
        return units / wall_s


class _Phase:
    """A phase of this process in the run that it belongs to, if any."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        member = joined.current()
        if member is not None and member.tracker is not None:
            member.tracker.enter(self._name, self)

    def __exit__(self, *_: object) -> None:
        member = joined.current()
        if member is not None and member.tracker is not None:
            member.tracker.leave_by(self)


def _slept(for_s: float) -> float:
    time.sleep(for_s)
    return for_s


def _say(**words: Any) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def main(argv: list[str]) -> int:
    """Run the order given as JSON."""
    order = msgspec.json.decode(argv[0], type=Order)
    crew = Crew(order.workers)

    def ended(number: int, _frame: object) -> None:
        crew.broken = True
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, ended)  # a server of ours must not outlive us
    signal.signal(signal.SIGINT, ended)
    try:
        with tempfile.TemporaryDirectory(prefix="submeter-everyday-") as folder:
            Program(order, crew, Path(folder), _say).run()
    finally:
        crew.end()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
