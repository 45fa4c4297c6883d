# SPDX-License-Identifier: Apache-2.0
"""The catalog's tables of prices, equivalents and reference tasks."""

from __future__ import annotations

import statistics
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
    spanning,
    write_facts,
)

# --- Prices ---------------------------------------------------------------------------------

PRICE_RULE = {"secondary estimate": "price secondary", "fallback": "price secondary"}
PRICE_NOTES = {
    "industrial": "industrial customers",
    "non_household_large_excl_tax": "non-household, without taxes",
}


def make(data: Path, out: Path, cited: Cited) -> None:
    write_facts(out / "prices.csv", price_facts(read(data / "prices.csv"), cited))
    equal, tasks = read(data / "equivalents.csv"), read(data / "workloads.csv")
    write_facts(out / "equivalents.csv", equivalent_facts(equal, tasks, cited))
    write_facts(out / "workloads.csv", workload_facts(tasks, cited))


def price_facts(rows: list[Row], cited: Cited) -> list[Fact]:
    found = both_kept([f for r in rows for f in prices_of(r, cited)])
    spread = sorted(f.value for f in found if f.quantity == "price_usd_per_kwh")
    low, high = spread[len(spread) // 40], spread[-1 - len(spread) // 40]
    note = f"of an unknown place: median and 95 % range of {len(spread)} places"
    found.append(
        fact("WORLD", "price_usd_per_kwh", 2025, (statistics.median(spread), low, high),
             "derived-prices", verified="derived", note=note)
    )  # fmt: skip
    return found


def both_kept(rows: list[Fact]) -> list[Fact]:
    """Let the first of two sources of one mean span the second, which keeps a row of its own."""
    found: dict[tuple[str, str, int], Fact] = {}
    for row in rows:
        place = (row.key, row.quantity, row.year)
        first = found.get(place)
        if first is not None:
            said = f"another source says {row.value:g}"
            found[place] = spanning(first, row.value, note=said)
            place = (f"{row.key}:{row.source}", row.quantity, row.year)
        found[place] = replace(row, key=place[0])
    return list(found.values())


def prices_of(row: Row, cited: Cited) -> list[Fact]:
    """What large consumers pay (``price_…``), or the mean of the market (``wholesale_…``)."""
    wholesale = row["price_kind"].startswith("wholesale")
    name = "wholesale" if wholesale else "price"
    rule = "price wholesale" if wholesale else PRICE_RULE.get(row["band"], "price")
    note = row["note"] if wholesale else f"{PRICE_NOTES[row['price_kind']]}, band {row['band']}"
    if row["note"] and not wholesale:
        note += f"; {row['note']}"
    found = []
    for currency in ("usd", "eur"):
        text = row[f"price_{currency}_per_kwh"]
        if text:
            found.append(
                by_rule(row["region_code"], f"{name}_{currency}_per_kwh", row["year"], text, rule,
                        cited.key(row["source"], row["year"]), verified=row["verified"],
                        note=note)
            )  # fmt: skip
    return found


# --- Equivalents ----------------------------------------------------------------------------

AMOUNTS = {  # dimension -> quantity, unit
    "carbon": ("carbon_kg", "kg"),
    "energy": ("energy_kwh", "kWh"),
    "water": ("water_l", "L"),
}
SAME = (  # keys that mean one thing: the interval of each spans all
    ("flight_ny_sf_one_passenger", "flight_ny_sf_green_algorithms"),
    ("car_km_gasoline_us", "car_km_us_green_algorithms"),
    ("car_mile_gasoline", "car_mile_gasoline_2022_edition", "car_mile_epa_typical"),
    ("car_km_eu_green_algorithms", "car_km_eu_new_2024"),
    ("smartphone_charge", "smartphone_charge_2022_edition"),
    ("person_day_eu_domestic", "person_day_uk"),
)
ELSEWHERE = {  # key -> row of workloads.csv that says something else of the same thing
    "smartphone_charge_energy": "phone-charge",
    "kettle_litre_boil": "kettle",
    "household_electricity_year_US": "household-us-year",
    "household_electricity_year_EU": "household-eu-year",
}


def equivalent_facts(rows: list[Row], tasks: list[Row], cited: Cited) -> list[Fact]:
    found = {r["key"]: equivalent(r, cited) for r in rows}
    for group in SAME:
        values = [found[k].value for k in group]
        for key in group:
            said = f"sources say {min(values):g} to {max(values):g}"
            found[key] = spanning(found[key], *values, note=said)
    by_id = {r["id"]: r for r in tasks}
    for key, other in ELSEWHERE.items():
        task = by_id[other]
        own = replace(found[key], source=f"{found[key].source}+{cited.key(task['source'])}")
        ends = [float(task[c]) for c in ("value", "value_min", "value_max") if task[c]]
        said = f"another source says {task['value']}"
        found[key] = spanning(own, *ends, note=said)
    return list(found.values())


def equivalent(row: Row, cited: Cited) -> Fact:
    quantity, unit = AMOUNTS[row["dimension"]]
    per = row["unit"].partition("/")[2] or row["unit"].partition(" over ")[2]
    note = "; ".join(t for t in (f"per {per}" if per else "", row["note"]) if t)
    own_count = "Table 1" in row["source"] or "Table 4" in row["source"] or row["key"] in {
        "gasoline_gallon", "bottle_of_water",
    }  # fmt: skip
    return by_rule(
        row["key"], quantity, row["year"], row["value"], "statement" if own_count else "everyday",
        cited.key(row["source"], row["year"]), verified=row["verified"], note=note, unit=unit,
    )  # fmt: skip


# --- Reference tasks ------------------------------------------------------------------------

UNIT_NAMES = {  # unit -> quantity, unit as it is written
    "fraction": ("level_ratio", "1"),
    "ratio": ("level_ratio", "1"),
    "W": ("power_w", "W"),
    "W/GB": ("power_w_per_gb", "W/GB"),
    "Wh/h": ("energy_wh_per_h", "Wh/h"),
    "Wh/query": ("energy_wh", "Wh"),
    "Wh/view": ("energy_wh", "Wh"),
    "Wh/request": ("energy_wh", "Wh"),
    "Wh/prompt": ("energy_wh", "Wh"),
    "Wh/session": ("energy_wh", "Wh"),
    "Wh/image": ("energy_wh", "Wh"),
    "Wh/clip": ("energy_wh", "Wh"),
    "kWh": ("energy_kwh", "kWh"),
    "kWh/tx": ("energy_kwh", "kWh"),
    "kWh/1000": ("energy_kwh_per_1000", "kWh"),
    "kWh/GB": ("energy_kwh_per_gb", "kWh/GB"),
    "kWh/year": ("energy_kwh_per_year", "kWh/a"),
    "TWh/year": ("energy_twh_per_year", "TWh/a"),
    "kJ": ("energy_kj", "kJ"),
    "uJ/transaction": ("energy_uj", "uJ"),
    "records/J": ("records_per_j", "1/J"),
    "ssj_ops/W": ("ssj_ops_per_w", "1/W"),
    "gCO2": ("carbon_g", "g"),
    "gCO2e": ("carbon_g", "g"),
    "gCO2/km": ("carbon_g_per_km", "g/km"),
    "gCO2e/mile": ("carbon_g_per_mile", "g/mile"),
    "kgCO2e": ("carbon_kg", "kg"),
    "kgCO2/year": ("carbon_kg_per_year", "kg/a"),
}
MEASURED = {"sort", "server_efficiency", "server_proportionality"}
# Barroso and Hölzle's figure is of 2007; the table carries the year of the report that quotes it.
YEARS = {"util-google-2007": "2007"}
WARNED = {"stream-hour-shift": "known to be wrong, 80 times too high: never use"}


def workload_facts(rows: list[Row], cited: Cited) -> list[Fact]:
    found = []
    for row in rows:
        quantity, unit = UNIT_NAMES[row["unit"]]
        year = YEARS.get(row["id"]) or row["year"].strip() or str(year_of(row["source"]) or 2026)
        note = "; ".join(
            t for t in (row["task"], row["boundary"], row["notes"], WARNED.get(row["id"], "")) if t
        )
        found.append(
            by_range(
                row["id"], quantity, year, (row["value"], row["value_min"], row["value_max"]),
                "measured" if row["category"] in MEASURED else "workload",
                cited.key(row["source"], year), verified=row["verified"], note=note, unit=unit,
            )
        )  # fmt: skip
    values = {f.key: f for f in found if f}
    for key, other in (("phone-charge", 0.012), ("kettle", 0.1)):
        values[key] = spanning(values[key], other, note=f"another source says {other}")
    return list(values.values())
