# SPDX-License-Identifier: Apache-2.0
"""What the CPU models are fitted to, reduced from DIR to the columns that a fit needs, cited.

Two sets that are never pooled: power of CPU packages (by RAPL, under a known load) and power of
whole servers at the wall (SPECpower_ssj2008, idle and full load).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from submeter.catalog.names import normal_cpu

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "benchmarks" / "data"
CATALOG = ROOT / "src" / "submeter" / "catalog" / "data"
PACKAGE_FIELDS = [
    "machine", "group", "series", "load_ratio", "power_w", "column_w", "tdp_w", "use",
    "source", "licence", "verified",
]  # fmt: skip
WALL_FIELDS = [
    "cpu", "family", "year", "tdp_w", "chips", "memory_gb", "front_side_bus", "memory_buffers",
    "amd", "full_w", "idle_w", "source", "licence", "verified",
]  # fmt: skip
J_PER_KWH = 3.6e6

Row = dict[str, str]


def read(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, fields: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, fields, lineterminator="\n")
        out.writeheader()
        out.writerows(rows)


def found(folder: Path, name: str) -> Path:
    """The table *name* in *folder*, in its ``data`` or ``truth/traces``, or in those beside it."""
    places = [
        folder,
        folder / "data",
        folder / "truth" / "traces",
        folder.parent / "truth" / "traces",
    ]
    return next((p / name for p in places if (p / name).exists()), folder / name)


# --- Packages -------------------------------------------------------------------------------

# cpu_dir of the trace -> machine, group that is held out together, TDP of all its packages [W].
# AMD's and Intel's data sheets; the E5-2620 v3 machine has two packages (24 threads of 12).
TRACED = {
    "AMD_EPYC_8024P_8C": ("EPYC 8024P", "EPYC 8024P", 90.0),
    "AMD_Threadripper": ("Threadripper 1950X", "Threadripper 1950X", 180.0),
    "E3-1240": ("Xeon E3-1240 v2", "Xeon E3-1240 v2", 69.0),
    "E5-1240": ("Xeon E3-1240 v2, second campaign", "Xeon E3-1240 v2", 69.0),
    "E5-2620": ("2 x Xeon E5-2620 v3", "2 x Xeon E5-2620 v3", 170.0),
}
DOUBLE_COUNTED = {"E5-1240"}  # 97 W held for 30 s by a part of 69 W: package and core summed
TURBOSTRESSED = {  # subject in gpu_measured.csv -> machine, group, TDP of both packages [W]
    "Xeon 8124M platform (72 vCPU)": ("2 x Xeon 8124M", "Xeon Skylake-SP", 480.0),
    "Xeon 8175M platform (96 vCPU)": ("2 x Xeon 8175M", "Xeon Skylake-SP", 480.0),
    "Xeon 8259CL platform (96 vCPU)": ("2 x Xeon 8259CL", "Xeon Cascade Lake", 420.0),
    "Xeon 8275CL platform (96 vCPU)": ("2 x Xeon 8275CL", "Xeon Cascade Lake", 480.0),
}
TURBOSTRESS_LOADS = {
    "cpu_package_idle_w": 0.0,
    "cpu_package_w_at_10pct": 0.1,
    "cpu_package_w_at_50pct": 0.5,
    "cpu_package_w_at_100pct": 1.0,
}


def package_rows(folder: Path) -> list[dict[str, Any]]:
    """Load and package power of every machine, as rows for `HERE`."""
    trace = read(found(folder, "codecarbon_cpu_load_vs_rapl.csv"))
    rows = [traced_row(row, first) for row, first in with_first(trace)]
    for row in read(found(folder, "gpu_measured.csv")):
        if row["subject"] in TURBOSTRESSED and row["metric"] in TURBOSTRESS_LOADS:
            machine, group, tdp_w = TURBOSTRESSED[row["subject"]]
            rows.append({
                "machine": machine, "group": group, "series": "turbostress",
                "load_ratio": TURBOSTRESS_LOADS[row["metric"]], "power_w": row["value"],
                "column_w": "", "tdp_w": tdp_w, "use": "fit",
                "source": "teads", "licence": "Apache-2.0", "verified": row["verified"],
            })  # fmt: skip
    return rows


def with_first(trace: list[Row]) -> Iterable[tuple[Row, bool]]:
    """Each row and whether it opens its series."""
    before = ("", "")
    for row in trace:
        series = (row["cpu_dir"], row["load_type"])
        yield row, series != before
        before = series


def traced_row(row: Row, first: bool) -> dict[str, Any]:  # noqa: FBT001
    """One row of the trace; its power is its energy over its duration.

    The column ``rapl_power`` lags by one row: it holds what ``rapl_energy`` of the row *before*
    divided by its duration gives (to a few per cent, see test_catalog_fit.py). In the first
    row of a series there is no row before, and the column holds a warm-up value of 0.2 to 1.4 W
    where the machine idles at 5 to 43 W. These ten rows are the warm-up rows and are not used.
    """
    machine, group, tdp_w = TRACED[row["cpu_dir"]]
    use = "double-counted" if row["cpu_dir"] in DOUBLE_COUNTED else "fit"
    return {
        "machine": machine,
        "group": group,
        "series": row["load_type"],
        "load_ratio": f"{float(row['cpu_load']) / 100:.4g}",
        "power_w": f"{float(row['rapl_energy']) * J_PER_KWH / float(row['duration']):.5g}",
        "column_w": row["rapl_power"],
        "tdp_w": tdp_w,
        "use": "warm-up" if first else use,
        "source": "codecarbon-trace",
        "licence": "MIT",
        "verified": "copy",
    }


# --- Servers --------------------------------------------------------------------------------

FIRST_YEAR, LAST_YEAR = 2004, 2026
FAMILIES = (  # pattern of the normal name -> family; the first that fits wins
    (r"(?:platinum|gold|silver|bronze) \d(\d)", "Xeon Scalable {}"),
    (r"e([357])-\S+(?: (v\d))?", "Xeon E{} {}"),
    (r"epyc \d\S\S?(\d)", "EPYC {}"),
    (r"opteron (\d)(\d)\d\d", "Opteron {}{}00"),
    (r"xeon e-(\d)\d\d\d", "Xeon E-{}000"),
    (r"xeon [a-z]?(\d)(\d)\d\d", "Xeon {}{}00"),
    (r"core i\d", "Core"),
)
FRONT_SIDE_BUS = {  # memory controller outside of the processor
    "Xeon 3000", "Xeon 3100", "Xeon 3200", "Xeon 3300", "Xeon 5100", "Xeon 5200", "Xeon 5300",
    "Xeon 5400", "Xeon 7000", "Xeon 7100", "Xeon 7300",
}  # fmt: skip
MEMORY_BUFFERS = {"Xeon 7500", "Xeon E7"}  # scalable memory buffers between processor and DRAM


def family_of(name: str) -> str:
    """Family of a normalised processor name, the unit that is held out; "" if unknown."""
    for pattern, family in FAMILIES:
        found = re.search(pattern, name)
        if found:
            return family.format(*(g or "" for g in found.groups())).strip()
    return ""


def server_cpu(name: str) -> str:
    """A processor as SPEC's submitters write it, in the form of the catalog's keys."""
    text = re.sub(r"^[\d.]+ ?ghz,? ?", "", normal_cpu(name))
    text = re.sub(r"[\d.]+ ?ghz.*$", "", text).strip(" ,(")
    if text.startswith(("xeon", "core")):
        return "intel " + text
    return "amd " + text if text.startswith(("opteron", "epyc")) else text


def wall_rows(folder: Path) -> list[dict[str, Any]]:
    """Servers whose processor, TDP and year are known, as rows for `HERE`."""
    tdp_w = {row["key"]: row["tdp_w"] for row in read(CATALOG / "cpus.csv")}
    rows = []
    for row in read(found(folder, "specpower_servers.csv")):
        cpu = server_cpu(row["cpu"])
        family = family_of(cpu)
        year = int(row["date_submitted"][-4:] or 0)
        if cpu not in tdp_w or not family or not FIRST_YEAR <= year <= LAST_YEAR:
            continue
        rows.append({
            "cpu": cpu, "family": family, "year": year, "tdp_w": tdp_w[cpu],
            "chips": row["chips"], "memory_gb": row["memory_gb"],
            "front_side_bus": int(family in FRONT_SIDE_BUS),
            "memory_buffers": int(family in MEMORY_BUFFERS), "amd": int("amd" in cpu),
            "full_w": row["watts_100pct"], "idle_w": row["watts_idle"],
            "source": "specpower", "licence": "facts; attribution to SPEC",
            "verified": row["verified"],
        })  # fmt: skip
    return rows


def collect(folder: Path) -> None:
    """Reduce the tables of *folder* to the two files under benchmarks/data."""
    write(HERE / "cpu_package_power.csv", PACKAGE_FIELDS, package_rows(folder))
    write(HERE / "server_wall_power.csv", WALL_FIELDS, wall_rows(folder))
