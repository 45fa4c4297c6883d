# SPDX-License-Identifier: Apache-2.0
"""Runs the everyday tasks as one metered run, and reads what each round of them used."""

import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from submeter.errors import SensorError
from submeter.records.everyday import Everyday, Round
from submeter.records.figures import Missing, Quantity
from submeter.records.runs import Run
from submeter.running.everyday.program import Order
from submeter.running.everyday.tasks import IDLE, KEYS, task_class
from submeter.running.trials import last_words, metered

NAME: Final = "everyday"
TAG: Final = "everyday"
MODULE: Final = "submeter.running.everyday.program"
MOST_WORKERS: Final = 16
OVERHEAD_S: Final = 2.0  # of starting and settling, and of preparing a task, as the bar has it
_LOOK_S: Final = 0.2

Tell = Callable[[str, float], None]  # what is done now, part of all that is done


def order_for(
    *, quick: bool, workers: int | None = None, tasks: Iterable[str] | None = None
) -> Order:
    """What is run: all tasks in about two and a half minutes, or short ones in 20 s."""
    count = min(MOST_WORKERS, len(os.sched_getaffinity(0))) if workers is None else workers
    if not quick:
        return Order(tuple(tasks or KEYS), 3, 2.0, 2.0, 4.0, 10.0, count)
    short = tuple(k for k in KEYS if k == IDLE or task_class(k).quick)
    return Order(tuple(tasks or short), 2, 0.4, 0.4, 1.0, 2.0, count)


def measured(order: Order, *, quick: bool, key: str, tell: Tell, folder: Path) -> Everyday:
    """Run the tasks of *order* under the meter.

    Parameters
    ----------
    key
        Tag by which the run is found again; no other run may have it.
    tell
        Called about five times a second.
    folder
        For what the program says.

    Raises
    ------
    SensorError
        If nothing was measured at all.
    """
    output = folder / "said"
    output.touch()
    over = threading.Event()
    teller = threading.Thread(target=_follow, args=(output, order, tell, over), daemon=True)
    teller.start()
    begun_s = time.monotonic()
    argv = [sys.executable, "-m", MODULE, msgspec.json.encode(order).decode()]
    try:
        trial = metered(argv, key=key, output=output, name=NAME, tags={TAG: "1"})
    finally:
        over.set()
        teller.join()
    if isinstance(trial.run, Missing):
        raise SensorError(
            f"the tasks were not metered: {trial.run.why}",
            remedy=last_words(output) or "submeter doctor",
        )
    rows = list(_rows(output))
    made = gathered(trial.run, rows, quick=quick)
    made = msgspec.structs.replace(made, wall_s=time.monotonic() - begun_s)
    if not made.rounds:
        raise SensorError("no task could be run", remedy=last_words(output) or "submeter doctor")
    return made


class Power(NamedTuple):
    """Power of all devices of a run that are read, the run's share, in slots from its start."""

    watts: tuple[float, ...]
    slot_s: float


def power_of(run: Run) -> Power | None:
    """Power of *run* by the slots of its record, a second each or longer; None if it has none."""
    series = run.series
    if series is None or series.slot_s <= 0 or not series.devices:
        return None
    length = max(map(len, series.devices.values()))
    joules = [
        math.fsum(row[i] for row in series.devices.values() if i < len(row)) for i in range(length)
    ]
    whole = joules[: max(1, int(run.duration_s / series.slot_s))]  # the last slot is not full
    watts = tuple(energy_j / series.slot_s for energy_j in whole)
    return Power(watts, series.slot_s)


def gathered(
    run: Run,
    rows: Iterable[Mapping[str, Any]],
    *,
    quick: bool,
) -> Everyday:
    """Join what the program said of its rounds with what the meter saw in their phases."""
    energies = {phase.path: phase.energy for phase in run.phases}
    rounds: list[Round] = []
    units: dict[str, str] = {IDLE: "s"}
    missing: dict[str, str] = {}
    told: dict[str, dict[str, str | float]] = {}
    for row in rows:
        task = str(row["task"])
        if "missing" in row:
            missing[task] = str(row["missing"])
        elif "unit" in row:
            units[task] = str(row["unit"])
            told[task] = dict(row.get("told", {}))
        elif "wall_s" in row:
            rounds.append(_round(row, energies))
    host = run.hosts[0] if run.hosts else None
    machine = host.machine if host else {}
    return Everyday(
        run_id=run.id,
        made_utc=run.started_utc,
        machine=machine.get("cpu_model", "") or "this machine",
        host=host,
        processors=os.cpu_count() or 1,
        quick=quick,
        rounds=tuple(rounds),
        units=units,
        missing=missing,
        told=told,
        notes=run.notes,
    )


def _round(row: Mapping[str, Any], energies: Mapping[str, Quantity | Missing]) -> Round:
    made = Round(
        task=row["task"], way=row["way"], kind=row["kind"], number=row["number"],
        workers=row["workers"], units=row["units"], wall_s=row["wall_s"], cpu_s=row["cpu_s"],
        others_s=row["others_s"], stolen_s=row["stolen_s"],
        energy=Missing("the meter saw no such phase"),
        busy=tuple(row["busy"]), busy_slot_s=row["busy_slot_s"],
    )  # fmt: skip
    return msgspec.structs.replace(made, energy=energies.get(made.phase, made.energy))


def _rows(output: Path) -> Iterable[dict[str, Any]]:
    """Lines of JSON among what the program said."""
    with output.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and "task" in row:
                yield row


def _follow(output: Path, order: Order, tell: Tell, over: threading.Event) -> None:
    """Tell how far the program is, from what it has said."""
    begun_s, now = time.monotonic(), ""
    planned_s = order.planned_s + OVERHEAD_S * len(order.tasks)
    while not over.wait(_LOOK_S):
        for row in _rows(output):
            now = str(row["task"])
        tell(now, min(0.99, (time.monotonic() - begun_s) / planned_s))
