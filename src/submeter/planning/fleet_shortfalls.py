# SPDX-License-Identifier: Apache-2.0
"""Why a fleet cannot be planned: which job alone, or which capacity when and by how much."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np

from submeter.planning.fleet_moves import Board
from submeter.planning.fleet_prices import Prices, cheapest
from submeter.planning.fleets import Fleet, Floats, LeftS, Task, endless

_ROUNDS: Final = 30
_LACKS: Final = 1e-6


def impossible(fleet: Fleet, tasks: Sequence[Task]) -> list[str]:
    """One sentence for each task that could not run even if it were alone."""
    board = Board.of(fleet)
    why = []
    for task in tasks:
        open_ = max(0, task.last - task.first)
        if open_ < task.work:
            why.append(
                f"job {task.name} needs {_hours(task.work, fleet)}, and its deadline leaves"
                f" {_hours(open_, fleet)} from {_time(fleet, task.first)} on"
            )
            continue
        window = slice(task.first, task.last)
        power_kw = float(board.power_kw[task.sites, window].max())
        gpus = float(board.gpus[task.sites, window].max())
        named = ", ".join(fleet.sites[i].name for i in task.sites)
        if task.power_kw.max() > power_kw:
            why.append(
                f"job {task.name} draws {task.power_kw.max():.4g} kW, and {named} never has"
                f" more than {power_kw:.4g} kW in its time"
            )
        elif task.gpus > gpus:
            why.append(
                f"job {task.name} holds {task.gpus:g} GPUs, and {named} never has more than"
                f" {gpus:g} in its time"
            )
        elif cheapest(0, task, _free(fleet), _free(fleet).energy, board.closed(task)) is None:
            why.append(f"job {task.name} finds no stretch on {named} before its deadline")
    return why


def reasons(
    fleet: Fleet, tasks: Sequence[Task], unplaced: Sequence[str], left_s: LeftS = endless
) -> list[str]:
    """What stands in the way of all *tasks* together: the least capacity to be added.

    If even parts of schedules do not fit, that is proved by a linear programme in which capacity
    may be exceeded at a price. If parts fit and whole schedules were not found, that is said.
    """
    from submeter.planning.fleet_programme import Master

    able = [
        task
        for task in tasks
        if cheapest(0, task, _free(fleet), _free(fleet).energy, Board.of(fleet).closed(task))
    ]
    dearest = 1e3 * max((float(t.power_kw.max()) + t.gpus) * t.work for t in able) + 1e3
    master = Master(np.full(len(able), dearest), Board.of(fleet), elastic=True)
    keys: set[tuple[int, int, int, bytes]] = set()
    prices = _free(fleet)
    some = ", ".join(unplaced[:3]) + (" and others" if len(unplaced) > 3 else "")  # noqa: PLR2004
    for _ in range(_ROUNDS):
        if left_s() <= 0:
            return [f"no place was found for {some} in the time that planning may take"]
        new = []
        for i, task in enumerate(able):
            found = cheapest(i, task, prices, _free(fleet).energy)
            if found and found[0].key not in keys:
                keys.add(found[0].key)
                new.append(found[0])
        if not new:
            break
        master.add(new)
        _, power, gpus = master.solve()
        prices = Prices(_free(fleet).energy, power, gpus)
    over_kw, over_gpus = master.over()
    told = _told(fleet, over_kw, "kW") + _told(fleet, over_gpus, "GPUs")
    if told:
        return told
    return [f"no place was found for {some}, though capacity would do if jobs could be split"]


def _told(fleet: Fleet, over: Floats, unit: str) -> list[str]:
    """One sentence for each stretch in which a site lacks capacity, the largest first."""
    found = []
    for i, site in enumerate(fleet.sites):
        lacking = over[i] > _LACKS
        edges = np.flatnonzero(np.diff(np.concatenate(([False], lacking, [False])).astype(int)))
        for begin, end in edges.reshape(-1, 2).tolist():
            most = float(over[i, begin:end].max())
            span = f"from {_time(fleet, begin)} to {_time(fleet, end)}"
            words = f"site {site.name} lacks up to {most:.3g} {unit} {span}"
            found.append((float(over[i, begin:end].sum()), words))
    return [words for _, words in sorted(found, key=lambda f: -f[0])]


def _free(fleet: Fleet) -> Prices:
    none = np.zeros((len(fleet.sites), fleet.slots))
    return Prices(none, none, none)


def _hours(slots: int, fleet: Fleet) -> str:
    return f"{slots * fleet.step_s / 3600:.3g} h"


def _time(fleet: Fleet, slot: int) -> str:
    return f"{datetime.fromtimestamp(fleet.start_s + slot * fleet.step_s, UTC):%Y-%m-%d %H:%M} UTC"
