# SPDX-License-Identifier: Apache-2.0
"""Phases that took more than the work needs: the loader, checkpoints, evaluations."""

import math
from typing import Final

from submeter.explaining.use import quality_of
from submeter.explaining.waste_book import Claim, Silence
from submeter.explaining.waste_case import Case, percent, rule
from submeter.records.devices import DeviceKind
from submeter.records.explanations import State
from submeter.units import S_PER_H

_EPOCHS: Final = ("epoch", "epochs")
_TWICE: Final = 2.0  # as often as needed, before it is called too often
_OFTEN: Final = 3.0


def loader(case: Case) -> Claim | Silence:
    """Time in which the step waited for its data.

    The joules of the devices while they waited are wasted; what the processor drew beyond its
    mean at work is taken for the loader's own, which has to be done in any case.
    """
    key: str = "loader"
    state: State = "waiting for data"
    waited_s, busy_s = case.seconds(state), case.seconds("busy")
    if waited_s <= 0:
        return Silence(key, "no phase is named for loading data")
    if busy_s <= 0:
        return Silence(key, "loading data was all its work")
    ratio = waited_s / max(case.run.duration_s, 1e-9)
    if ratio < rule("loader-ratio").value:
        return Silence(key, f"waits for data took {percent(ratio)} of the time")
    joules = _waiting_joules(case, state, waited_s, busy_s)
    most_j, claimed_j = math.fsum(case.joules(state).values()), math.fsum(joules.values())
    return Claim(
        key=key, name="loader", cells=case.state_cells(state, 1.0, joules),
        why=f"the step waited for its data for {waited_s:.0f} s, {percent(ratio)} of the time",
        detail={"waiting_s": waited_s, "waiting_ratio": ratio},
        places=tuple(dict.fromkeys(p.path for p in case.phases(state))),
        high_ratio=max(1.0, most_j / claimed_j) if claimed_j > 0 else 1.0,
    )  # fmt: skip


def _waiting_joules(case: Case, state: State, waited_s: float, busy_s: float) -> dict[str, float]:
    """Energy at the wall of each device while the step waited, the loader's own work apart [J]."""
    joules = case.joules(state)
    parts = [t / n for t, n in zip(case.wall_s(state), case.lengths_s, strict=True)]
    for board in case.boards:
        name = board.device.id
        power_w = case.waiting_w(name, parts, state)
        if power_w is not None:
            joules[name] = min(joules[name], power_w * waited_s * case.to_wall)
    for device, energy_j in case.joules("busy").items():
        if case.run_kind(device) in {DeviceKind.CPU, DeviceKind.DRAM}:
            joules[device] = min(joules[device], energy_j / busy_s * waited_s)
    return joules


def checkpoints(case: Case) -> Claim | Silence:
    """Checkpoints beyond those that failures call for.

    References
    ----------
    .. [1] J. W. Young, A first order approximation to the optimum checkpoint interval, CACM 17
       (1974) 530: ``sqrt(2 C M)`` of the time ``C`` for one and the time ``M`` between failures.
    .. [2] J. T. Daly, A higher order estimate, Future Generation Computer Systems 22 (2006) 303.
    """
    key: str = "checkpoints"
    state: State = "checkpoint"
    joules = case.joules(state)
    n, seconds = case.entries(state), case.seconds(state)
    if n < 1 or seconds <= 0:
        return Silence(key, "no phase is named for writing checkpoints")
    share = math.fsum(joules.values()) / case.whole_j
    mtbf = rule("checkpoint-mtbf-h")
    best_s = math.sqrt(2 * seconds / n * mtbf.value * S_PER_H)
    needed = 1 + math.floor(case.run.duration_s / best_s)
    if share < rule("checkpoint-ratio").value or n < _TWICE * needed + 1:
        return Silence(key, f"{n:.0f} checkpoints took {percent(share)} of the energy")
    return Claim(
        key=key, name="checkpoint storm", cells=case.state_cells(state, 1 - needed / n, joules),
        why=f"{n:.0f} checkpoints of {seconds / n:.1f} s took {percent(share)} of the energy; one "
        f"in {best_s:.0f} s, {needed} in all, is enough at a failure in {mtbf.value:.0f} h",
        detail={"checkpoints": n, "needed": float(needed), "interval_s": best_s,
                "share_ratio": share},
        places=tuple(dict.fromkeys(p.path for p in case.phases(state))), source=mtbf.source,
    )  # fmt: skip


def evaluations(case: Case) -> Claim | Silence:
    """Evaluations beyond one an epoch, or beyond what draws a learning curve."""
    key: str = "evaluation"
    state: State = "evaluation"
    joules = case.joules(state)
    n = case.entries(state)
    if n < 1:
        return Silence(key, "no phase is named for evaluating")
    if case.seconds("busy") <= 0:
        return Silence(key, "evaluating was all its work")
    share = math.fsum(joules.values()) / case.whole_j
    epochs = _epochs(case)
    enough = rule("evaluations")
    needed = max(enough.low, epochs) if epochs else enough.value
    if share < rule("evaluation-ratio").value or n < _OFTEN * needed:
        return Silence(key, f"{n:.0f} evaluations took {percent(share)} of the energy")
    metric, _ = quality_of(case.run)
    return Claim(
        key=key, name="evaluation too often",
        cells=case.state_cells(state, 1 - needed / n, joules),
        why=f"{n:.0f} evaluations took {percent(share)} of the energy; {needed:.0f} "
        + ("are one an epoch" if epochs and needed == epochs else "draw the learning curve")
        + (f" of {metric}" if metric and not epochs else ""),
        detail={"evaluations": n, "needed": needed, "share_ratio": share},
        places=tuple(dict.fromkeys(p.path for p in case.phases(state))),
        low_ratio=(1 - min(1.0, enough.high / n)) / (1 - needed / n),
        high_ratio=(1 - 1 / n) / (1 - needed / n),
    )  # fmt: skip


def _epochs(case: Case) -> float:
    """Epochs that were logged; 0 if none."""
    seen = {p.values[e] for p in case.run.metric_history for e in _EPOCHS if e in p.values}
    return float(len(seen)) if len(seen) > 1 else 0.0
