# SPDX-License-Identifier: Apache-2.0
"""The catalog's tables of accelerators, instances, embodied carbon and energy per operation."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

from benchmarks.catalog_cited import Cited, year_of
from benchmarks.catalog_rules import (
    Fact,
    Row,
    by_range,
    by_rule,
    fact,
    read,
    slug,
    spanning,
    write_attributes,
    write_facts,
)


def make(data: Path, out: Path, cited: Cited) -> None:
    boards, embodied = read(data / "accelerators.csv"), read(data / "embodied.csv")
    fields = ["key", "name", "vendor", "kind", "architecture", "year", "memory_type",
              "interconnect", "aliases", "sparsity_2_4", "source", "verified", "note"]  # fmt: skip
    rows = [accelerator(r, cited) for r in boards]
    write_attributes(out / "accelerators.csv", fields, rows)
    facts = [f for r in boards for f in accelerator_facts(r, cited)]
    write_facts(out / "accelerator_facts.csv", facts)
    write_facts(out / "embodied.csv", embodied_facts(embodied, cited))
    write_facts(
        out / "energy_per_op.csv", operation_facts(read(data / "energy_per_op.csv"), cited)
    )
    write_facts(out / "gpu_measured.csv", measured_facts(read(data / "gpu_measured.csv"), cited))
    machines = read(data / "instances.csv")
    fields = ["key", "provider", "instance", "accelerator", "accelerator_count", "vcpus",
              "memory_gb", "host_cpu", "source", "verified", "note"]  # fmt: skip
    write_attributes(out / "instances.csv", fields, [instance(r, cited) for r in machines])
    facts = [f for r in machines for f in instance_facts(r, cited)]
    write_facts(out / "instance_facts.csv", facts)


# --- Accelerators ---------------------------------------------------------------------------

COLUMNS = {  # column -> quantity, unit, rule
    "tdp_w": ("tdp_w", "W", "datasheet"),
    "idle_w": ("idle_w", "W", "idle"),
    "fp64_tflops": ("fp64_tflop_per_s", "TFLOP/s", "datasheet"),
    "fp32_tflops": ("fp32_tflop_per_s", "TFLOP/s", "datasheet"),
    "tf32_tflops": ("tf32_tflop_per_s", "TFLOP/s", "datasheet"),
    "fp16_tensor_tflops": ("fp16_tflop_per_s", "TFLOP/s", "datasheet"),
    "bf16_tensor_tflops": ("bf16_tflop_per_s", "TFLOP/s", "datasheet"),
    "fp16_tensor_fp16acc_tflops": ("fp16_fp16_sum_tflop_per_s", "TFLOP/s", "datasheet"),
    "fp8_tflops": ("fp8_tflop_per_s", "TFLOP/s", "datasheet"),
    "fp4_tflops": ("fp4_tflop_per_s", "TFLOP/s", "datasheet"),
    "int8_tops": ("int8_top_per_s", "TOP/s", "datasheet"),
    "memory_gb": ("memory_gb", "GB", "exact"),
    "mem_bandwidth_gb_s": ("memory_bandwidth_gb_per_s", "GB/s", "datasheet"),
    "interconnect_gb_s": ("interconnect_gb_per_s", "GB/s", "datasheet"),
    "process_nm": ("process_nm", "nm", "exact"),
    "die_area_mm2": ("die_area_mm2", "mm2", "datasheet"),
    "embodied_kgco2e": ("embodied_kg", "kg", "embodied"),
    "power_limit_min_w": ("power_limit_min_w", "W", "exact"),
    "power_limit_max_w": ("power_limit_max_w", "W", "exact"),
    "avg_measured_w": ("average_w", "W", "measured"),
}
OWN_SOURCE = {
    "idle_w": "idle_source",
    "embodied_kgco2e": "embodied_source",
    "avg_measured_w": "avg_measured_source",
}
# Doubts of single cells: device -> columns, ratios that the interval must hold, and why.
DOUBTS: dict[str, tuple[tuple[str, ...], tuple[float, float], str]] = {
    "nvidia-a100x": (
        ("interconnect_gb_s",), (1.0, 600 / 32),
        "printed as x8; likely x16 (64 GB/s) and a bridge (600 GB/s)",
    ),
    "amd-mi308x": (
        ("fp64_tflops",), (80 / 304, 1.0),
        "a cut-down MI300X (80 of its 304 units, from memory): the rate is that of the whole chip",
    ),
    "meta-mtia-v1": (("memory_gb",), (0.5, 2.0), "memory from memory"),
    "nvidia-a10g": (("tdp_w",), (1.0, 2.0), "tables say 150 W, the device reports 300 W"),
    "nvidia-gv100": (
        ("fp64_tflops", "fp32_tflops", "fp16_tensor_tflops"), (0.85, 1.15),
        "boost clock and data sheet are mixed in this row",
    ),
    "nvidia-rtx-4000-ada": (
        ("tf32_tflops", "fp16_tensor_tflops", "bf16_tensor_tflops", "fp8_tflops", "int8_tops"),
        (82 / 106.9, 1.0), "derived from the boost clock; half precision perhaps 82, not 106.9",
    ),
}  # fmt: skip
NO_DOUBT: tuple[tuple[str, ...], tuple[float, float], str] = ((), (1.0, 1.0), "")
EMBODIED_TOO = {  # device -> rows of embodied.csv on the same thing, boundaries aside
    "nvidia-h100-sxm5-80gb": (164.0, 225.0, 273.0),
    "nvidia-a100-sxm4-40gb": (127.6, 141.0, 150.0, 181.0),
    "nvidia-a100-pcie-40gb": (127.6, 181.0),
}


def accelerator(row: Row, cited: Cited) -> Row:
    kind = "" if row["id"] == "nvidia-a100x" else row["interconnect_type"]
    return {
        "key": row["id"],
        "name": row["name"],
        "vendor": row["vendor"],
        "kind": row["kind"],
        "architecture": row["architecture"],
        "year": row["release_year"],
        "memory_type": row["memory_type"],
        "interconnect": kind,
        "aliases": row["aliases"],
        "sparsity_2_4": row["sparsity_2_4"],
        "source": sources_of(row["source"], row["release_year"], cited),
        "verified": row["verified"],
        "note": row["notes"],
    }


def sources_of(text: str, year: str, cited: Cited) -> str:
    """Keys of sources that are set apart by semicolons; vendors' sheets count as one."""
    parts = [re.sub(r"\s*\(.*?\)", "", p).strip() for p in text.split(";")]
    return "+".join(dict.fromkeys(cited.key(p, year) for p in parts if p))


def accelerator_facts(row: Row, cited: Cited) -> list[Fact]:
    recalled = set(row["recall_fields"].split(";"))
    words = row["notes"].partition("ops/clk): ")[2]
    derived = set(re.split(r"[\s;,]+", words)) if words else set()
    found = []
    for column, (quantity, unit, rule) in COLUMNS.items():
        if not row[column]:
            continue
        verified = "recall" if column in recalled or row["verified"] == "recall" else "copy"
        own_rule = rule
        if column in derived:
            verified, own_rule = "derived", "derived rate"
        source_text = row[OWN_SOURCE[column]] if column in OWN_SOURCE else row["source"]
        year = row["release_year"] or str(COMPILED_YEAR)
        made = cell(row, column, (quantity, unit, own_rule), year, verified)
        made = replace(made, source=sources_of(source_text, year, cited))
        columns, ratios, why = DOUBTS.get(row["id"], NO_DOUBT)
        if column in columns:
            made = spanning(made, *(made.value * ratio for ratio in ratios), note=why)
        if column == "embodied_kgco2e":
            too = EMBODIED_TOO.get(row["id"], ())
            said = f"sources say {min(too):g} to {max(too):g}; " if too else ""
            made = spanning(made, *too, note=said + source_text)
        found.append(made)
    return found


COMPILED_YEAR = 2026


def cell(row: Row, column: str, what: tuple[str, str, str], year: str, verified: str) -> Fact:
    quantity, unit, rule = what
    value = float(row[column])
    if rule == "exact" and verified == "copy":
        return fact(row["id"], quantity, year, (value, value, value), "-", unit=unit)
    if column == "idle_w":
        seen = re.search(r"(\d+)-(\d+) W", row["idle_source"])
        if seen:
            low, high = float(seen[1]), float(seen[2])
            return fact(row["id"], quantity, year, (value, min(low, value), max(high, value)),
                        "-", verified=verified, note=row["idle_source"], unit=unit)  # fmt: skip
    return by_rule(
        row["id"], quantity, year, value, "datasheet" if rule == "exact" else rule, "-",
        verified=verified, unit=unit, zero_high=1.0,
    )  # fmt: skip


# --- Embodied carbon ------------------------------------------------------------------------

UNIT_NAMES = {  # unit -> quantity, unit as it is written
    "kgCO2e": ("embodied_kg", "kg"),
    "tCO2e": ("embodied_t", "t"),
    "kgCO2e/GB": ("embodied_kg_per_gb", "kg/GB"),
    "kgCO2e/cm2": ("embodied_kg_per_cm2", "kg/cm2"),
    "gCO2e/cm2": ("embodied_g_per_cm2", "g/cm2"),
    "kgCO2e/mm2": ("embodied_kg_per_mm2", "kg/mm2"),
    "kgCO2e/m2": ("embodied_kg_per_m2", "kg/m2"),
    "kgCO2e/kg": ("embodied_kg_per_kg", "kg/kg"),
    "kgCO2e/h": ("embodied_kg_per_h", "kg/h"),
    "kWh/cm2": ("fab_energy_kwh_per_cm2", "kWh/cm2"),
    "gCO2e/EFLOP": ("embodied_g_per_eflop", "g/EFLOP"),
    "gCO2e/kWh": ("embodied_g_per_kwh", "g/kWh"),
    "mm2/GB": ("area_mm2_per_gb", "mm2/GB"),
    "years": ("lifetime_years", "a"),
    "fraction": ("share_ratio", "1"),
    "ratio": ("growth_ratio", "1"),
    "L": ("water_l", "L"),
    "count": ("layers_count", "1"),
}
PLAIN = (  # keys to use where nothing more is known: value, low, high, quantity, source, note
    ("accelerator", "embodied_kg", "kg", (190.0, 60.0, 400.0),
     "A training card: 128 to 364 over makers and boundaries; a common card (EcoDiag) 60"),
    ("accelerator-hour", "embodied_kg_per_h", "kg/h", (0.0116, 0.0047, 0.0286),
     "geometric middle of sources with different boundaries (board; board and host; lifetime; "
     "utilisation)"),
    ("host-8-accelerators", "embodied_kg", "kg", (3900.0, 2500.0, 6000.0),
     "server around eight accelerators, without them: geometric middle of 2500, 5700 and 6000"),
    ("server", "embodied_kg", "kg", (2000.0, 1000.0, 3660.0),
     "two-socket server: from a rack server's base to a generic server's whole life"),
    ("dram", "embodied_kg_per_gb", "kg/GB", (0.4, 0.048, 1.3885),
     "ACT's processes to Dell's R740; HBM3 by NVIDIA's summary: 0.77 to 0.86"),
    ("ssd", "embodied_kg_per_gb", "kg/GB", (0.03, 0.004, 0.16),
     "ACT 0.004 to 0.031, vendors' own studies (Tannu and Nair) 0.16"),
    ("lifetime-accelerator", "lifetime_years", "a", (5.0, 3.0, 6.0),
     "books of clouds say 5 to 6, archetypes 3 to 4; a study of operation says 1 to 3"),
    ("lifetime-server", "lifetime_years", "a", (5.0, 4.0, 6.0),
     "books of clouds say 5.5 to 6, models 4"),
)  # fmt: skip


def embodied_facts(rows: list[Row], cited: Cited) -> list[Fact]:
    found = []
    for row in rows:
        quantity, unit = UNIT_NAMES[row["unit"]]
        year = row["year"] or str(year_of(row["source"]) or COMPILED_YEAR)
        note = "; ".join(t for t in (row["item"], row["boundary"], row["notes"]) if t)
        own = by_range(
            row["id"], quantity, year, (row["value"], row["value_min"], row["value_max"]),
            "embodied", cited.key(row["source"], year), verified=row["verified"], note=note,
            unit=unit,
        )  # fmt: skip
        if own is not None:
            most = 1.0 if quantity == "share_ratio" and own.value <= 1 else math.inf
            found.append(replace(own, high=min(own.high, most)))
    for key, quantity, unit, numbers, note in PLAIN:
        found.append(
            fact(key, quantity, COMPILED_YEAR, numbers, "derived-embodied", verified="derived",
                 note=note, unit=unit)
        )  # fmt: skip
    return found


# --- Energy per operation, measured behaviour -----------------------------------------------

OPERATIONS = {
    "pJ": "energy_pj",
    "pJ/FLOP": "energy_pj_per_flop",
    "pJ/bit": "energy_pj_per_bit",
    "kWh/GB": "energy_kwh_per_gb",
}


SAME_EVENT = {  # the part of one event against the whole chip or board over its events
    "syn-truenorth": 26.0,
    "syn-truenorth-merolla": 2.5,
    "syn-spinnaker": 8000.0,
    "syn-spinnaker-board": 45.0,
}


def operation_facts(rows: list[Row], cited: Cited) -> list[Fact]:
    found = []
    for row in rows:
        year = row["year"] or str(year_of(row["source"]) or COMPILED_YEAR)
        nm = f"{row['process_nm']} nm" if row["process_nm"] else ""
        note = "; ".join(t for t in (row["operation"], nm, row["context"], row["notes"]) if t)
        quantity = (
            OPERATIONS.get(row["unit"]) or f"energy_{slug(row['unit'].replace('/', ' per '))}"
        )
        made = by_range(
            row["id"], quantity.replace("-", "_").replace(".", ""), year,
            (row["value"], row["value_min"], row["value_max"]), "operation",
            cited.key(row["source"], year), verified=row["verified"], note=note,
            unit=row["unit"],
        )  # fmt: skip
        if made is not None:
            other = SAME_EVENT.get(row["id"])
            said = f"counted otherwise, another source says {other:g}" if other else ""
            found.append(spanning(made, other, note=said) if other else made)
    return found


COUNTED = {"gpu_hours", "node_rated_w", "rest_of_node_rated_w_per_gpu"}  # printed, not metered


def measured_name(metric: str) -> str:
    """Name of what was measured, its load as a ratio."""
    load = re.sub(r"(\d+)pct$", lambda found: f"load_{int(found[1]) / 100:g}", metric)
    return load.replace("_fraction", "_ratio")


MEASURED_UNITS = {"fraction": "1", "ratio": "1", "W per GPU": "W", "W per Tb/s": "W/(Tb/s)"}


def measured_facts(rows: list[Row], cited: Cited) -> list[Fact]:
    """What devices, nodes and runs were seen to draw.

    How sensors behave (the workbook of Yang et al.) is not repeated: ``architectures.csv`` and
    ``boards.csv`` hold what follows from it.
    """
    found = []
    for row in rows:
        if row["subject_type"] == "sensor" or row["unit"] in {"ms", "bool", "%"}:
            continue
        value, low, high = row["value"], row["value_min"], row["value_max"]
        note = "; ".join(t for t in (row["subject"], row["condition"], row["notes"]) if t)
        if not value:
            value = f"{(float(low) + float(high)) / 2:g}"
            note += "; only a range is known, its middle as value"
        year = str(year_of(row["year"]) or year_of(row["source"]) or COMPILED_YEAR)
        made = by_range(
            row["id"], measured_name(row["metric"]), year, (value, low, high),
            "statement" if row["metric"] in COUNTED else "measured",
            cited.key(row["source"], year), verified=row["verified"], note=note,
            unit=MEASURED_UNITS.get(row["unit"], row["unit"]),
        )  # fmt: skip
        if made is not None:
            most = 1.0 if row["unit"] == "fraction" and made.value <= 1 else math.inf
            found.append(replace(made, high=min(made.high, most)))
    return found


# --- Instances ------------------------------------------------------------------------------

INSTANCE = {
    "host_idle_w": ("host_idle_w", "W", "host"),
    "host_max_w": ("host_max_w", "W", "host"),
    "instance_idle_w": ("instance_idle_w", "W", "host"),
    "instance_max_w": ("instance_max_w", "W", "host"),
    "embodied_platform_host_kgco2e": ("host_embodied_kg", "kg", "embodied"),
    "usd_per_hour": ("price_usd_per_h", "USD/h", "instance"),
}


def instance_key(row: Row) -> str:
    return f"{row['provider']}/{row['instance']}"


def instance(row: Row, cited: Cited) -> Row:
    return {
        "key": instance_key(row),
        "provider": row["provider"],
        "instance": row["instance"],
        "accelerator": row["accelerator_id"],
        "accelerator_count": row["accelerator_count"],
        "vcpus": row["vcpus"],
        "memory_gb": row["memory_gb"],
        "host_cpu": row["host_cpu"],
        "source": sources_of(row["source"], row["price_year"], cited),
        "verified": row["verified"],
        "note": row["notes"],
    }


def instance_facts(row: Row, cited: Cited) -> list[Fact]:
    found = []
    for column, (quantity, unit, rule) in INSTANCE.items():
        if not row[column]:
            continue
        price = column == "usd_per_hour"
        year = row["price_year"] if price else "2021" if "_w" in column else "2025"
        text = row["power_basis"] if "_w" in column else row["source"]
        note = row["price_basis"] if price else ""
        if column == "embodied_platform_host_kgco2e":
            note = "whole host without accelerators: share it by accelerators used"
        found.append(
            by_rule(
                instance_key(row), quantity, year or COMPILED_YEAR, row[column], rule,
                sources_of(text, year, cited), verified=row["verified"], note=note, unit=unit,
                zero_high=1.0,
            )
        )  # fmt: skip
    return found
