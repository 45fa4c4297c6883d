# SPDX-License-Identifier: Apache-2.0
"""Trainings that others published, from the catalog: as runs, and what was not published."""

import re
from typing import Final, NamedTuple

import msgspec

from submeter.accounting.published import Scope, as_published, published_run
from submeter.catalog.facts import fact, has
from submeter.catalog.names import near
from submeter.catalog.tables import rows
from submeter.errors import CoverageError, UsageError
from submeter.records.factors import Factor
from submeter.records.footprints import Footprint
from submeter.records.runs import Run

RUNS: Final = "published_runs"
FACTS: Final = "published"
_TOLD: Final = (  # quantity, and what it is called where it is missing
    ("wall_hours", "how long it took"),
    ("pue", "PUE"),
    ("reported_g_per_kwh", "carbon intensity"),
    ("water_l", "water"),
    ("embodied_t", "embodied carbon"),
)
_NEAR: Final = 4
_SHOWN: Final = 6
_NEVER: Final = "quality and settings"


class Published(NamedTuple):
    """A published run.

    ``made`` is what it amounts to by its own factors; None where it printed no intensity.
    ``lacking`` says what was not published.
    """

    run: Run
    made: Footprint | None
    lacking: tuple[str, ...]


def published(words: str) -> Published:
    """The training that *words* name: ``BLOOM``, ``llama-7b``.

    Raises
    ------
    UsageError, CoverageError
        If none or several fit; the message names those.
    """
    row = _row(words)
    known = _facts(row["key"])
    energy = known["energy_kwh"]
    hours, count = _hours(known, row["devices"])
    pue, intensity = known.get("pue"), known.get("reported_g_per_kwh")
    lacking = tuple(
        name
        for quantity, name in _TOLD
        if quantity not in known and not (quantity == "wall_hours" and hours)
    )
    run = published_run(
        name=row["name"],
        energy_kwh=energy.value,
        scope=msgspec.convert(row["scope"], Scope),
        low_kwh=energy.low,
        high_kwh=energy.high,
        pue=None if pue is None else pue.value,
        started=row["year"],
        hours=hours,
        device=row["device"],
        devices=count if hours else 0.0,
        zone=row["zone"],
        basis=row["basis"],
        source=energy.source,
    )
    notes = (
        *run.notes,
        f"{run.name}: energy is {row['how']}",
        f"{run.name}: not published: {', '.join((*lacking, _NEVER))}",
    )
    parameters = {"params": row["params"]} if row["params"] else {}
    run = msgspec.structs.replace(run, notes=notes, parameters=parameters)
    made = None
    if intensity is not None:
        embodied = known.get("embodied_t")
        made = as_published(
            run,
            intensity_g_per_kwh=intensity.value,
            embodied_t=None if embodied is None else embodied.value,
        )
    return Published(run, made, (*lacking, _NEVER))


def names() -> tuple[str, ...]:
    """What the published runs of the catalog are called."""
    return tuple(row["name"] for row in rows(RUNS))


# --- inside -------------------------------------------------------------------------------------


def _row(words: str) -> dict[str, str]:
    asked = _plain(words)
    every = [dict(row) for row in rows(RUNS)]
    exact = [row for row in every if asked in {_plain(row["key"]), _plain(row["name"])}]
    within = [
        r for r in every if asked and (asked in _plain(r["key"]) or asked in _plain(r["name"]))
    ]
    found = exact or within
    if len(found) == 1:
        return found[0]
    if found:
        said = ", ".join(row["key"] for row in found[:_SHOWN])
        raise UsageError(
            f"“{words[:40]}” fits {len(found)} published runs: {said}", remedy="name one of them"
        )
    alike = near(words, [row["key"] for row in every], most=_NEAR)
    raise CoverageError(
        f"the catalog has no published energy of “{words[:40]}”",
        remedy=f"near it: {', '.join(alike)}" if alike else "submeter factors published",
    )


def _plain(words: str) -> str:
    return re.sub(r"[^a-z0-9]", "", words.lower())


def _facts(key: str) -> dict[str, Factor]:
    names_of = ("energy_kwh", "device_hours", "emissions_t", *(name for name, _ in _TOLD))
    return {name: fact(FACTS, key, name) for name in names_of if has(FACTS, key, name)}


def _hours(known: dict[str, Factor], devices: str) -> tuple[float, float]:
    """How long it took [h], and on how many devices; 0 where that does not follow."""
    count = float(devices) if devices else 0.0
    if "wall_hours" in known:
        return known["wall_hours"].value, count
    if "device_hours" in known and count:
        return known["device_hours"].value / count, count
    return 0.0, count
