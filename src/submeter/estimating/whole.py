# SPDX-License-Identifier: Apache-2.0
"""The predicted run of a whole training, from the run as far as it went and its outlooks.

What the devices will draw follows the outlook of the energy that was metered; all else that a run
tells (hosts, place, parameters) stays as it was recorded.
"""

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from submeter.estimating.remaining import Outlook
from submeter.records.amounts import Amount
from submeter.records.figures import Basis, Missing, Quantity, Spread, total
from submeter.records.runs import DeviceEnergy, PhaseEnergy, Run, Series

KEY: Final = "forecast"
NAMES: Final = {  # of what the interval hangs on
    f"{KEY}/steps": "steps that differ from each other",
    f"{KEY}/drift": "a step may become slower or hungrier",
    f"{KEY}/pauses": "evaluation and checkpoints differ",
    f"{KEY}/unseen": "evaluation or checkpoints not seen yet",
    f"{KEY}/end": "what comes behind the last step",
    f"{KEY}/neighbours": "others on the same processors",
}
_SLOTS: Final = 1200
_SLOT_S: Final = 60.0
STEPS: Final = "steps"


class Whole(msgspec.Struct, frozen=True):
    """A predicted run and how long it takes [s]."""

    run: Run
    duration: Amount


def whole_run(so_far: Run, energy: Outlook, time: Outlook, *, run_id: str, name: str) -> Whole:
    """Run of the whole training.

    Parameters
    ----------
    so_far
        The run as far as it is known.
    energy
        Outlook of what its devices draw [J].
    time
        Outlook of its time [s].
    run_id, name
        Of the predicted run.

    Notes
    -----
    Each device's energy grows in the ratio ``value / spent`` of the outlook. What is still to
    come is modelled, what was metered keeps its basis; the doubts of the outlook have equal keys
    for all devices and so add linearly.
    """
    ratio = energy.value / energy.spent if energy.spent > 0 else 0.0
    rows = tuple(_grown(row, energy, ratio) for row in so_far.devices)
    shares = [row.share for row in rows if isinstance(row.share, Quantity)]
    node = total(shares) if shares else Missing("no device was metered")
    run = msgspec.structs.replace(
        so_far,
        id=run_id,
        name=name,
        origin="predicted",
        status="finished",
        exit_code=None,
        parent=so_far.id,
        duration_s=time.value,
        devices=rows,
        phases=_phases(energy, time, node),
        outside_phases=Quantity(0.0),
        unattributed=Missing("not predicted"),
        ranks=(),
        metrics={},
        metric_history=(),
        work=_work(so_far.work, time),
        series=_series(rows, time.value),
        gaps_s=0.0,
    )
    return Whole(run, duration_of(time))


def rest_run(so_far: Run, energy: Outlook, time: Outlook, *, started_utc: str) -> Run:
    """Run of what is still to come, from *started_utc* on; arguments as of `whole_run`."""
    ratio = energy.left / energy.spent if energy.spent > 0 else 0.0
    rows = tuple(_to_come(row, energy, ratio) for row in so_far.devices)
    return msgspec.structs.replace(
        so_far,
        origin="predicted",
        status="finished",
        started_utc=started_utc,
        parent=so_far.id,
        duration_s=max(0.0, time.left),
        devices=rows,
        phases=(),
        outside_phases=Missing("not predicted"),
        unattributed=Missing("not predicted"),
        ranks=(),
        work={},
        metrics={},
        series=_series(rows, max(time.left, 1.0)),
    )


def left_of(found: Outlook) -> Amount:
    """What is still to come, in the unit of *found*, with its doubts."""
    left = max(0.0, found.left)
    basis = {Basis.MODELLED: left}
    return Amount.of(Quantity(left, spreads=_spreads(found, 1.0), basis=basis))


def duration_of(time: Outlook) -> Amount:
    """How long the whole takes [s], with its doubts."""
    return Amount.of(_quantity(time, "logged steps", {Basis.MEASURED: time.spent}))


def _to_come(row: DeviceEnergy, energy: Outlook, ratio: float) -> DeviceEnergy:
    if not isinstance(row.share, Quantity):
        return row
    part = row.share.value / energy.spent if energy.spent > 0 else 0.0
    left = row.share.scaled(ratio)
    made = msgspec.structs.replace(
        left,
        bound_low=0.0,
        bound_high=0.0,
        spreads=(*left.spreads, *_spreads(energy, part)),
        basis=_modelled(left.basis),
    )
    return msgspec.structs.replace(row, drawn=made, share=made, share_how="predicted", flags={})


def _modelled(basis: Mapping[Basis, float]) -> dict[Basis, float]:
    """Amounts by basis, none better than a model."""
    found: dict[Basis, float] = {}
    for known, amount in basis.items():
        to = max(known, Basis.MODELLED, key=list(Basis).index)
        found[to] = found.get(to, 0.0) + amount
    return found


def _quantity(found: Outlook, source: str, known: Mapping[Basis, float]) -> Quantity:
    basis = dict(known)
    more = found.value - math.fsum(known.values())
    basis[Basis.MODELLED] = basis.get(Basis.MODELLED, 0.0) + max(0.0, more)
    return Quantity(found.value, spreads=_spreads(found, 1.0), basis=basis, sources=(source,))


def _spreads(found: Outlook, ratio: float) -> tuple[Spread, ...]:
    return tuple(
        Spread(f"{KEY}/{name}", sd * ratio) for name, sd in found.sds.items() if sd * ratio > 0
    )


def _grown(row: DeviceEnergy, energy: Outlook, ratio: float) -> DeviceEnergy:
    """A device's row for the whole; the part of all that it draws stays as it was."""
    if not isinstance(row.share, Quantity):
        return row
    share, part = row.share, row.share.value / energy.spent if energy.spent > 0 else 0.0
    grown = share.scaled(ratio)
    spreads = (*grown.spreads, *_spreads(energy, part))
    more = grown.value - share.value
    basis = dict(share.basis)
    for known, amount in _modelled(share.scaled(max(0.0, ratio - 1)).basis).items():
        basis[known] = basis.get(known, 0.0) + amount
    made = msgspec.structs.replace(
        grown,
        spreads=spreads,
        bound_low=share.bound_low,
        bound_high=share.bound_high,
        basis=basis if more > 0 else share.basis,
        sources=(*share.sources, "extrapolated from logged steps"),
    )
    return msgspec.structs.replace(
        row,
        drawn=made,
        share=made,
        method=f"{row.method}, extrapolated" if row.method else "extrapolated",
        share_how="predicted",
        flags={},
    )


def _work(work: Mapping[str, float], time: Outlook) -> dict[str, float]:
    """Work of the whole: as much as before for each step; steps themselves as they were said."""
    ratio = time.total / time.done if time.done > 0 else 0.0
    return {name: amount * ratio for name, amount in work.items()}


def _series(rows: tuple[DeviceEnergy, ...], duration_s: float) -> Series:
    """Even power over the whole: what is to come is not known better."""
    count = max(1, min(_SLOTS, math.ceil(duration_s / _SLOT_S)))
    devices = {
        row.device.id: [row.share.value / count] * count
        for row in rows
        if isinstance(row.share, Quantity) and not row.device.id.startswith("rest:")
    }
    return Series(duration_s / count, devices)


def _phases(energy: Outlook, time: Outlook, node: Quantity | Missing) -> tuple[PhaseEnergy, ...]:
    """Steps and each kind of pause; what is neither (the start) belongs to the steps."""
    if not isinstance(node, Quantity) or energy.value <= 0:
        return ()
    times = {p.name: (p.seen + p.left) * p.cost for p in time.pauses}
    joules = {p.name: (p.seen + p.left) * p.cost for p in energy.pauses}
    counts = {p.name: round(p.seen + p.left) for p in energy.pauses}
    rows = [
        _phase(name, counts[name], times.get(name, 0.0), node.scaled(joule / energy.value))
        for name, joule in joules.items()
    ]
    rest = 1 - math.fsum(joules.values()) / energy.value
    steps_s = max(0.0, time.value - math.fsum(times.values()))
    first = _phase(STEPS, round(energy.total), steps_s, node.scaled(max(0.0, rest)))
    return (first, *rows)


def _phase(path: str, count: int, duration_s: float, energy: Quantity) -> PhaseEnergy:
    return PhaseEnergy(path=path, count=count, duration_s=duration_s, energy=energy)
