# SPDX-License-Identifier: Apache-2.0
"""Workers of the everyday tasks: processes that were there before the first task began."""

import contextlib
import multiprocessing
import random
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from submeter.running.everyday.tasks import Batched, Joint, Task, task_class

ANSWER_S: Final = 60.0  # longest that a worker may be silent beyond what it was asked for
_SEED: Final = 20263
_GRACE_S: Final = 2.0


class WorkerError(RuntimeError):
    """A worker failed, or hangs; its words are the message."""


class Crew:
    """So many worker processes, each with a pipe.

    They are forked before this process has threads or a part in a run, so they have neither.
    """

    def __init__(self, count: int) -> None:
        self.broken = False  # a worker ended or hangs: nothing more can be asked
        context = multiprocessing.get_context("fork")
        self._pipes: list[Connection] = []
        self._workers = []
        for number in range(count):
            ours, theirs = context.Pipe()
            worker = context.Process(target=_work, args=(theirs, number, count), daemon=True)
            worker.start()
            theirs.close()
            self._pipes.append(ours)
            self._workers.append(worker)

    def __len__(self) -> int:
        return len(self._pipes)

    def all(self, active: int, command: str, *words: object, within_s: float = 0.0) -> list[Any]:
        """Give the first *active* workers a command; their answers.

        Raises
        ------
        WorkerError
            If one failed, or did not answer within *within_s* and a grace.
        """
        if self.broken:
            raise WorkerError("workers are lost")
        for pipe in self._pipes[:active]:
            self._send(pipe, (command, *words))
        answers = [self._answer(pipe, within_s) for pipe in self._pipes[:active]]
        for failed, answer in answers:  # all were heard, so that the next command is answered
            if failed:
                raise WorkerError(str(answer))
        return [answer for _, answer in answers]

    def end(self) -> None:
        """End all workers."""
        for pipe in self._pipes:
            with contextlib.suppress(OSError, ValueError):
                pipe.send(("end",))
                pipe.close()
        for worker in self._workers:
            worker.join(0.0 if self.broken else _GRACE_S)
            if worker.is_alive():
                worker.kill()
                worker.join()

    def _send(self, pipe: Connection, words: tuple[object, ...]) -> None:
        try:
            pipe.send(words)
        except OSError as exc:
            self.broken = True
            raise WorkerError("a worker has ended") from exc

    def _answer(self, pipe: Connection, within_s: float) -> tuple[bool, Any]:
        try:
            if not pipe.poll(within_s + ANSWER_S):
                self.broken = True
                raise WorkerError(f"a worker did not answer within {within_s + ANSWER_S:.0f} s")
            failed, answer = pipe.recv()
        except (EOFError, OSError) as exc:
            self.broken = True
            raise WorkerError("a worker has ended") from exc
        return failed, answer


def _work(pipe: Connection, number: int, count: int) -> None:
    """Body of a worker: commands in, answers out, until told to end."""
    task: Task | None = None
    while True:
        try:
            command, *words = pipe.recv()
        except (EOFError, OSError):
            return
        if command == "end":
            return
        try:
            if command == "open":
                key, folder = words
                task = task_class(key)(Path(folder), count)
                task.open(number)
                answer: object = None
            elif task is None:
                answer = None
            else:
                answer = _done(task, command, number, words)
        except Exception as exc:  # noqa: BLE001  # told to who asked; the next task may do
            pipe.send((True, f"{type(exc).__name__}: {exc}"))
        else:
            pipe.send((False, answer))


def _done(task: Task, command: str, number: int, words: list[Any]) -> object:
    match task, command, words:
        case Batched(), "run", [way, seconds]:
            return _full(task, way, seconds)
        case Batched(), "paced", [seconds, units_per_s]:
            return _paced(task, seconds, units_per_s, number)
        case Joint(), "part", [way, active]:
            task.part(way, number, active)
            return None
        case Joint(), "merge", [way, active]:
            return task.merge(way, active)
        case _, "close", []:
            task.close()
            return None
        case _:
            msg = f"no such command: {command}"
            raise ValueError(msg)


def _full(task: Batched, way: str, seconds: float) -> float:
    """Batches, one after the other, for so long; units done."""
    end_s, units = time.monotonic() + seconds, 0.0
    while time.monotonic() < end_s:
        done = task.batch(way)
        if done <= 0:
            msg = "the work came to nothing"
            raise RuntimeError(msg)
        units += done
    return units


def _paced(task: Batched, seconds: float, units_per_s: float, number: int) -> float:
    """Serve units as they arrive, independently of each other; those that wait come at once.

    Gaps between arrivals are exponential (a Poisson process), always the same ones.
    """
    chance = random.Random(_SEED + number)  # noqa: S311  # arrivals, no secrets
    begin_s = time.monotonic()
    arrival_s, units = chance.expovariate(units_per_s), 0.0
    while arrival_s < seconds:
        wait_s = begin_s + arrival_s - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        units += task.batch("paced")
        arrival_s += chance.expovariate(units_per_s)
    left_s = begin_s + seconds - time.monotonic()
    if left_s > 0:
        time.sleep(left_s)
    return units
