# SPDX-License-Identifier: Apache-2.0
"""The words of the JSON, schema 1: what ``--json`` and ``to_dict()`` say of a run.

Documented in ``docs/json.md``. Words are added, never renamed without raising the number.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from submeter.records.amounts import Amount
from submeter.records.figures import Missing, Quantity
from submeter.records.footprints import Footprint
from submeter.records.runs import DeviceEnergy, PhaseEnergy, Run
from submeter.reporting.footprint_words import figure_words, footprint_words, missing

JSON_SCHEMA: Final = 1


def run_document(run: Run, footprint: Footprint) -> dict[str, object]:
    """*run* and its *footprint* in the words of the JSON, ready for `to_json`.

    Notes
    -----
    Rows of ``phases`` are exclusive: they and ``outside_phases`` sum to the run's energy at its
    node, except that rows naming each other in ``joint_with`` all carry their joint figure.
    """
    joint = _joint_energies(run.phases)
    return {
        "schema": JSON_SCHEMA,
        "run": run_words(run),
        "energy": {
            "devices": energy_figure(footprint.devices),
            "node": energy_figure(footprint.node),
            "it": energy_figure(footprint.it),
            "facility": energy_figure(footprint.facility),
            "unknown": list(footprint.unknown),
            "factors": [f.source for f in footprint.factors if "pue" in f.key],
        },
        "devices": [_device(row) for row in run.devices],
        "phases": [_phase(row, joint) for row in run.phases],
        "ranks": [
            {"rank": row.rank, "host": row.host, "energy": energy_figure(row.energy)}
            for row in run.ranks
        ],
        "outside_phases": energy_figure(run.outside_phases),
        "unattributed": energy_figure(run.unattributed),
        **footprint_words(footprint),
        "metrics": {name: number(value) for name, value in run.metrics.items()},
        "metric_history": [
            {
                "elapsed_s": number(point.elapsed_s),
                "step": point.step,
                "values": {name: number(value) for name, value in point.values.items()},
            }
            for point in run.metric_history
        ],
        "work": {name: number(value) for name, value in run.work.items()},
        "notes": [*run.notes, *footprint.notes],
    }


_WORDS_OF: Final = {
    "device": ("devices", "unattributed"),
    "phase": ("phases", "outside_phases"),
    "rank": ("ranks",),
    "metric": ("metrics", "metric_history"),
}


def only(document: Mapping[str, object], ways: Sequence[str]) -> dict[str, object]:
    """Keep of *document* its run, its energy and what belongs to these *ways* to split it."""
    kept = {"schema", "run", "energy", *(word for way in ways for word in _WORDS_OF[way])}
    return {word: value for word, value in document.items() if word in kept}


def to_json(document: object, *, indent: int | None = 2) -> str:
    """*document* as strict JSON in ASCII: no NaN, and nothing that a terminal acts on."""
    return json.dumps(document, allow_nan=False, ensure_ascii=True, indent=indent)


def energy_figure(quantity: Quantity | Amount | Missing) -> dict[str, object]:
    """*quantity* as a figure in J, or ``{"missing": why}``."""
    return figure_words(quantity, "J")


def number(value: float) -> float | dict[str, object]:
    """*value*, or ``{"missing": why}`` where JSON has no number for it."""
    return value if math.isfinite(value) else missing(f"logged as {value}")


def run_words(run: Run) -> dict[str, object]:
    """What a run is called, when and where it was, and how it ended."""
    return {
        "id": run.id,
        "name": run.name,
        "origin": run.origin,
        "status": run.status,
        "exit_code": run.exit_code,
        "started_utc": run.started_utc,
        "duration_s": number(run.duration_s),
        "command": list(run.command),
        "user": run.user,
        "project": run.project,
        "parent": run.parent,
        "attempt": run.attempt,
        "tags": dict(run.tags),
        "hosts": [{"name": host.name, "machine": dict(host.machine)} for host in run.hosts],
        "code": dict(run.code),
        "parameters": dict(run.parameters),
        "place": dict(run.place),
        "interval_s": number(run.interval_s),
        "gaps_s": number(run.gaps_s),
    }


def _device(row: DeviceEnergy) -> dict[str, object]:
    return {
        "id": row.device.id,
        "kind": str(row.device.kind),
        "name": row.device.name,
        "host": row.device.host,
        "energy": energy_figure(row.share),
        "drawn_energy": energy_figure(row.drawn),
        "method": row.method,
        "share_how": row.share_how,
        "flags": dict(row.flags),
        "means": {name: number(value) for name, value in row.means.items()},
    }


def _joint_energies(rows: Iterable[PhaseEnergy]) -> dict[frozenset[str], Quantity | Missing]:
    """Energy of each group of phases that cannot be told apart: one figure, the widest of them."""
    found: dict[frozenset[str], Quantity | Missing] = {}
    for row in rows:
        group = frozenset((row.path, *row.joint_with))
        if group not in found or _width(row.energy) > _width(found[group]):
            found[group] = row.energy
    return found


def _width(energy: Quantity | Missing) -> float:
    if isinstance(energy, Missing):
        return -1.0
    figure = energy.figure("J")
    return figure.high - figure.low


def _phase(
    row: PhaseEnergy, joint: Mapping[frozenset[str], Quantity | Missing]
) -> dict[str, object]:
    energy = joint[frozenset((row.path, *row.joint_with))]
    return {
        "path": row.path,
        "count": row.count,
        "duration_s": number(row.duration_s),
        "energy": energy_figure(energy),
        "devices": {name: number(energy_j) for name, energy_j in row.devices.items()},
        "joint_with": list(row.joint_with),
    }
