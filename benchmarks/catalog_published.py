# SPDX-License-Identifier: Apache-2.0
"""The catalog's table of trainings that others published, each figure with its interval.

Read from ``open_runs.csv`` in the folder of facts, or in the folder ``truth`` beside it; two runs
whose parts stand elsewhere in the catalog are added here, with their sources.

What was metered may be off by 5 % (whole systems) or 10 % (boards of one node, extrapolated).
Rated power times hours is a ceiling: boards in trainings drew from half of it to all of it, and
that is the interval. Other figures were printed, and get the interval of a statement.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import NamedTuple

from benchmarks.catalog_cited import Cited
from benchmarks.catalog_rules import (
    Fact,
    Row,
    by_rule,
    fact,
    write_attributes,
    write_facts,
)

FIELDS = [
    "key", "name", "year", "device", "devices", "scope", "basis", "how", "zone", "params",
    "source", "verified",
]  # fmt: skip
CEILING = 0.5  # of rated power: the least mean power of boards in published trainings
SCOPES = (  # words of the compilation -> what an energy holds; the first that fits
    (re.compile(r"x PUE \(no host\)"), "device x pue"),
    (re.compile(r"^facility"), "facility"),
    (re.compile(r"^IT \(whole node"), "node"),
    (re.compile(r"^IT"), "it"),
    (re.compile(r"^device"), "device"),
)
ZONES = (  # words of a location -> zone
    (re.compile(r"France"), "FR"),
    (re.compile(r"Finland"), "FI"),
    (re.compile(r"Taiwan"), "TW"),
    (re.compile(r"China"), "CN"),
    (re.compile(r"Spain"), "ES"),
    (re.compile(r"\bUS\b"), "US"),
)
SIMPLE = (  # quantity, column of the compilation, rule of its interval
    ("pue", "pue", "pue site"),
    ("reported_g_per_kwh", "carbon_intensity_g_per_kwh", "statement"),
    ("emissions_t", "tco2e", "statement"),
    ("water_l", "water_litres", "statement"),
    ("embodied_t", "embodied_tco2e", "statement"),
    ("device_hours", "device_hours", "statement"),
    ("wall_hours", "wall_hours", "statement"),
)
UNITS = {  # of quantities that the rules of fact tables do not know by their names
    "pue": "1", "emissions_t": "t", "water_l": "L", "embodied_t": "t", "device_hours": "h",
    "wall_hours": "h", "energy_kwh": "kWh",
}  # fmt: skip
ADDED: tuple[Row, ...] = (
    {
        "id": "bloom", "model": "BLOOM", "year": "2022", "params": "176247271424",
        "hardware": "NVIDIA A100-SXM4-80GB", "n_devices": "384", "device_hours": "1082990",
        "energy_kwh": "433196", "energy_scope": "device-only (TDP)",
        "energy_basis": "TDP x device-hours", "carbon_intensity_g_per_kwh": "57",
        "location": "Jean Zay, Orsay, France", "tco2e": "24.7", "embodied_tco2e": "11.2",
        "source": "Luccioni et al. 2022, Estimating the carbon footprint of BLOOM",
        "recalled_fields": "",
    },
    {
        "id": "gpt-3", "model": "GPT-3", "year": "2021", "params": "175000000000",
        "hardware": "NVIDIA V100", "n_devices": "10000", "wall_hours": "355.2",
        "energy_kwh": "1287000", "energy_scope": "facility (system power x PUE)",
        "energy_basis": "measured system average power x time", "pue": "1.1",
        "carbon_intensity_g_per_kwh": "429", "location": "US", "tco2e": "552.1",
        "source": "Patterson et al. 2021, Table 4",
        "recalled_fields": "all",
    },
)  # fmt: skip


class Kind(NamedTuple):
    """How an energy became known."""

    basis: str
    how: str
    u: str  # rule of its interval; "" for a ceiling


def make(data: Path, out: Path, cited: Cited) -> None:
    rows = [row for row in read_runs(data) if row.get("energy_kwh")]
    rows += [{column: row.get(column, "") for column in rows[0]} for row in ADDED]
    write_attributes(out / "published_runs.csv", FIELDS, (as_run(row, cited) for row in rows))
    write_facts(out / "published.csv", (f for row in rows for f in facts_of(row, cited)))


def read_runs(data: Path) -> list[Row]:
    name = "open_runs.csv"
    places = (data / name, data / "truth" / name, data.parent / "truth" / name)
    path = next((place for place in places if place.is_file()), places[0])
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def kind_of(row: Row) -> Kind:
    words = row["energy_basis"]
    if "TDP" in words:
        return Kind("modelled", words, "")
    if "one node" in words or "category-average" in words:
        return Kind("modelled", words, "measured")
    if words.startswith("measured") or words == "system power x time":
        boards = "GPU" in words and "node" not in words
        return Kind("measured", words, "measured" if boards else "statement")
    return Kind("assumed", words, "everyday")


def as_run(row: Row, cited: Cited) -> Row:
    recalled = recalled_of(row)
    return {
        "key": row["id"],
        "name": row["model"],
        "year": row["year"],
        "device": row["hardware"],
        "devices": row["n_devices"],
        "scope": next(scope for words, scope in SCOPES if words.search(row["energy_scope"])),
        "basis": kind_of(row).basis,
        "how": row["energy_basis"],
        "zone": next((code for words, code in ZONES if words.search(row["location"])), ""),
        "params": row["params"],
        "source": cited.key(row["source"], row["year"]),
        "verified": "recall" if recalled & {"all", "energy_kwh", "hardware"} else "copy",
    }


def facts_of(row: Row, cited: Cited) -> list[Fact]:
    source, recalled = cited.key(row["source"], row["year"]), recalled_of(row)
    found = [energy_of(row, source, recalled)]
    for quantity, column, rule in SIMPLE:
        if not row[column]:
            continue
        unit = UNITS.get(quantity, "")
        known = "recall" if recalled & {"all", column} else "copy"
        found.append(
            by_rule(
                row["id"], quantity, row["year"], row[column], rule, source, verified=known,
                unit=unit, zero_high=0.0 if quantity != "reported_g_per_kwh" else 5.0,
                least=1.0 if quantity == "pue" else 0.0,
            )
        )  # fmt: skip
    return found


def energy_of(row: Row, source: str, recalled: set[str]) -> Fact:
    kind, value = kind_of(row), float(row["energy_kwh"])
    known = "recall" if recalled & {"all", "energy_kwh"} else "copy"
    note = f"{row['model']}; {kind.how}; {row['energy_scope']}"
    if kind.u:
        return by_rule(
            row["id"], "energy_kwh", row["year"], value, kind.u, source, verified=known, note=note,
            unit=UNITS["energy_kwh"],
        )  # fmt: skip
    note += "; rated power is a ceiling: the interval reaches down to half of it"
    ends = (value, value * CEILING, value)
    return fact(
        row["id"], "energy_kwh", row["year"], ends, source, verified=known, note=note,
        unit=UNITS["energy_kwh"],
    )  # fmt: skip


def recalled_of(row: Row) -> set[str]:
    return {word.strip() for word in row["recalled_fields"].split(";") if word.strip()}
