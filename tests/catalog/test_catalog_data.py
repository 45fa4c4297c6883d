# SPDX-License-Identifier: Apache-2.0
"""Every row of the fact tables is complete, cited and within its interval."""

import csv
import math
import re
from collections import defaultdict
from functools import cache

import pytest

from submeter.catalog import tables
from submeter.catalog.facts import fact
from submeter.units import J_PER_KWH

DATA = tables.DATA
HEAD = ["key", "quantity", "year", "value", "low", "high", "unit", "source", "verified", "note"]
UNITS = {
    "_g_per_kwh": "g/kWh", "_l_per_kwh": "L/kWh", "_ratio": "1", "_twh": "TWh", "pue": "1",
    "_w": "W", "_usd_per_kwh": "USD/kWh", "_eur_per_kwh": "EUR/kWh", "_usd_per_h": "USD/h",
    "_kg": "kg", "_kwh": "kWh", "_l": "L", "_gb": "GB", "_tflop_per_s": "TFLOP/s",
    "_gb_per_s": "GB/s", "_nm": "nm", "_years": "a", "_category": "1",
}  # fmt: skip
KNOWN_UNITS = {
    *UNITS.values(), "kg/GB", "kg/cm2", "g/cm2", "kg/mm2", "kg/m2", "kg/h", "kWh/cm2", "g/EFLOP",
    "mm2/GB", "mm2", "kg/kg", "t", "TOP/s", "h", "MWh", "W/GB", "W/TB", "kWh/GB", "W/(Tb/s)",
    "Wh/h", "Wh",
    "kWh/a", "TWh/a", "kJ", "uJ", "1/J", "1/W", "g", "g/km", "g/mile", "kg/a", "pJ", "pJ/bit",
    "pJ/FLOP", "pJ/SOP", "pJ/bit/mm",
}  # fmt: skip
LISTED = ["cloud_regions", "zones", "zones_odbl", "accelerators", "instances", "published_runs"]
PROFILES = ["profiles", "profiles_odbl"]
VERIFIED = {"copy", "recall", "derived"}


@cache
def read(name: str) -> tuple[dict[str, str], ...]:
    with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def heads() -> dict[str, list[str]]:
    return {
        path.stem: path.read_text(encoding="utf-8").split("\n", 1)[0].split(",")
        for path in sorted(DATA.glob("*.csv"))
    }


FACTS = [name for name, head in heads().items() if head == HEAD]
SOURCES = {row["key"]: row for row in read("sources")}


def test_the_tables_that_others_rely_on_are_there() -> None:
    wanted = {
        "grid", "grid_odbl", "generation", "generation_odbl", "cloud", "facility", "water",
        "prices", "equivalents", "workloads", "embodied", "accelerator_facts", "energy_per_op",
        "gpu_measured", "instance_facts", "published",
    }  # fmt: skip
    assert set(FACTS) == wanted
    assert {*LISTED, *PROFILES} <= set(heads())


@pytest.mark.parametrize("name", FACTS)
def test_each_row_is_complete_finite_and_within_its_interval(name: str) -> None:
    for row in read(name):
        where = (row["key"], row["quantity"], row["year"])
        assert all(row[column] for column in HEAD if column != "note"), where
        assert re.fullmatch(r"(19|20)\d\d", row["year"]), where
        low, value, high = (float(row[c]) for c in ("low", "value", "high"))
        assert all(math.isfinite(n) for n in (low, value, high)), where
        assert low <= value <= high, where
        assert low >= 0, where
        assert row["verified"] in VERIFIED, where


@pytest.mark.parametrize("name", FACTS)
def test_each_row_names_sources_with_title_year_and_licence(name: str) -> None:
    for row in read(name):
        for key in row["source"].split("+"):
            assert key in SOURCES, (row["key"], key)


def test_sources_are_complete_and_each_is_used_or_listed_for_processors() -> None:
    for row in SOURCES.values():
        assert len(row["title"]) > 2, row
        assert row["licence"], row
        assert re.fullmatch(r"(19|20)\d\d", row["year"]), row


@pytest.mark.parametrize("name", FACTS)
def test_units_are_known_and_those_that_the_name_says(name: str) -> None:
    for row in read(name):
        assert row["unit"] in KNOWN_UNITS, (row["key"], row["quantity"], row["unit"])
        per = "_per_" in row["quantity"]
        ends = [e for e in UNITS if row["quantity"].endswith(e) and ("_per_" in e or not per)]
        if ends:
            assert row["unit"] == UNITS[max(ends, key=len)], (row["key"], row["quantity"])


@pytest.mark.parametrize("name", FACTS)
def test_a_key_has_a_quantity_once_a_year_and_rows_are_sorted(name: str) -> None:
    places = [(row["key"], row["quantity"], int(row["year"])) for row in read(name)]
    assert places == sorted(set(places))
    assert not [p for p in places if set(p[0] + p[1]) & set(',"\n')]


@pytest.mark.parametrize("name", LISTED)
def test_lists_have_plain_unique_sorted_keys_and_sources(name: str) -> None:
    rows = read(name)
    first = next(iter(rows[0]))
    keys = [row[first] for row in rows]
    assert keys == sorted(set(keys))
    for row in rows:
        assert row["verified"] in VERIFIED
        assert set(row["source"].split("+")) <= set(SOURCES), row


@pytest.mark.parametrize("name", FACTS)
def test_a_ratio_lies_between_nothing_and_all(name: str) -> None:
    for row in read(name):
        if row["quantity"].startswith(("share_", "cfe_", "carbon_free", "renewable", "td_loss")):
            assert float(row["high"]) <= 1, row
        if row["quantity"] == "pue":
            assert float(row["low"]) >= 1, row


def test_recalled_rows_say_so_and_are_wider_than_copied_ones() -> None:
    spread: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for name in FACTS:
        for row in read(name):
            value, high = float(row["value"]), float(row["high"])
            if row["verified"] == "recall":
                assert "recalled" in row["note"], (name, row["key"], row["quantity"])
                assert high > value, (name, row["key"], row["quantity"])
            if value > 0 and not row["note"].count("says"):
                spread[name, row["quantity"], row["verified"]].append(math.log(high / value))
    compared = 0
    for (name, quantity, verified), recalled in spread.items():
        copied = spread.get((name, quantity, "copy"))
        if name == "accelerator_facts" and verified == "recall" and copied:
            assert sum(recalled) / len(recalled) > sum(copied) / len(copied), quantity
            compared += 1
    assert compared > 5


@pytest.mark.parametrize("name", ["grid", "grid_odbl"])
def test_generation_shares_sum_to_one(name: str) -> None:
    sums: dict[str, float] = defaultdict(float)
    for row in read(name):
        if row["quantity"].startswith("share_"):
            sums[row["key"]] += float(row["value"])
    assert len(sums) > 200
    for key, total in sums.items():
        assert total == pytest.approx(1, abs=0.002), key


def test_a_country_without_shares_has_no_share_rows_rather_than_zeros() -> None:
    found = {row["key"] for row in read("grid") if row["quantity"].startswith("share_")}
    everything = {row["code"] for row in read("zones") if row["kind"] == "country"}
    assert everything - found >= {"CW", "FM", "YT", "PW"}
    assert {"DE", "US", "WORLD", "EU27"} <= found


def test_every_country_and_zone_of_the_grid_is_listed_as_a_zone() -> None:
    zones = {row["code"] for name in ("zones", "zones_odbl") for row in read(name)}
    for name in ("grid", "grid_odbl"):
        assert {row["key"] for row in read(name)} <= zones
    for name in ("zones", "zones_odbl"):
        for row in read(name):
            assert set(filter(None, row["parents"].split(";"))) <= zones, row


def test_cloud_regions_point_at_zones_that_are_there() -> None:
    rows = read("cloud_regions")
    zones = {row["code"] for name in ("zones", "zones_odbl") for row in read(name)}
    assert len(rows) >= 140
    for row in rows:
        assert row["grid_zone"] in zones, row["key"]
        assert not row["em_zone"] or row["em_zone"] in zones, row["key"]
    assert {row["key"] for row in read("cloud")} <= {row["key"] for row in rows}


def test_three_hundred_accelerators_have_facts_and_instances_name_them() -> None:
    keys = {row["key"] for row in read("accelerators")}
    assert len(keys) >= 300
    assert {row["key"] for row in read("accelerator_facts")} <= keys
    for row in read("instances"):
        assert not row["accelerator"] or row["accelerator"] in keys, row["key"]


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_has_12_by_24_relative_values_around_one(name: str) -> None:
    default: set[str] = set()
    for row in read(name):
        values = [float(v) for v in row["values"].split(" ")]
        assert len(values) == 288
        assert sum(values) / 288 == pytest.approx(1, abs=0.01)
        assert all(re.fullmatch(r"\d\.\d{3}", v) for v in row["values"].split(" "))
        assert row["source"] in SOURCES
        if row["is_default"] == "1":
            assert row["zone"] not in default
            default.add(row["zone"])


def test_share_alike_data_stand_apart_with_their_notice() -> None:
    bound = {key for key, row in SOURCES.items() if "ODbL" in row["licence"]}
    assert bound == {"emaps", "emaps-hp", "emaps-umass"}
    seen = set()
    for name, head in heads().items():
        if "source" not in head:
            continue
        for row in read(name):
            if set(row["source"].split("+")) & bound:
                assert name.endswith("_odbl"), (name, row)
                seen.add(name)
    assert seen == {"grid_odbl", "profiles_odbl"}
    for name, head in heads().items():  # tables whose rows carry their licence themselves
        for row in read(name) if "licence" in head and name != "sources" else ():
            statistic = row["licence"].startswith("statistics derived from ODbL")
            assert "ODbL" not in row["licence"] or (name, statistic) == ("grid_spread", True)
    notice = (DATA / "NOTICE-ODbL.md").read_text(encoding="utf-8")
    assert "Contains information from Electricity Maps" in notice
    for path in DATA.glob("*_odbl.csv"):
        assert path.name in notice


def test_licences_of_originals_are_named() -> None:
    assert SOURCES["emaps-contrib"]["licence"].startswith("AGPL-3.0")
    assert SOURCES["boavizta-factors"]["licence"].startswith("AGPL-3.0")
    assert SOURCES["ember"]["licence"] == "CC BY 4.0"
    assert SOURCES["egrid2023"]["licence"] == "public domain (US)"


def test_no_hourly_series_is_passed_on() -> None:
    texts = [path.read_text(encoding="utf-8") for path in DATA.glob("*.csv")]
    longest = max(len(line) for text in texts for line in text.splitlines())
    assert longest < 2500  # a profile; a year of hours would take 17 times as much


def test_the_data_take_no_more_than_4_mb() -> None:
    assert sum(path.stat().st_size for path in DATA.iterdir()) <= 4_000_000


def test_a_plain_fuel_spans_what_its_sources_say() -> None:
    rows = {(r["key"], r["quantity"]): r for r in read("generation")}
    quantity = "lifecycle_g_per_kwh"
    for fuel in ("coal", "gas", "oil", "nuclear", "hydro", "wind", "solar", "geothermal"):
        low, high = (float(rows[fuel, quantity][c]) for c in ("low", "high"))
        own = [
            float(r["value"])
            for (key, q), r in rows.items()
            if q == quantity and key.startswith(f"{fuel}:") and "capture" not in key
        ]
        assert own
        assert low <= min(own), fuel
        assert high >= max(own), fuel


def test_direct_emissions_are_less_than_lifecycle_ones() -> None:
    rows = {(r["key"], r["quantity"]): float(r["value"]) for r in read("generation")}
    compared = 0
    for (key, quantity), value in rows.items():
        if quantity == "direct_g_per_kwh" and (key, "lifecycle_g_per_kwh") in rows:
            assert value < rows[key, "lifecycle_g_per_kwh"], key
            compared += 1
    assert compared > 10


def test_a_kilowatt_hour_of_each_fuel_has_carbon_and_water() -> None:
    assert J_PER_KWH == 3.6e6
    have = {(r["key"], r["quantity"]) for r in read("generation")}
    fuels = (
        "coal", "gas", "oil", "nuclear", "hydro", "wind", "solar", "bioenergy", "geothermal",
        "other_fossil",
    )  # fmt: skip
    for fuel in fuels:
        for quantity in (
            "lifecycle_g_per_kwh", "direct_g_per_kwh",
            "water_consumption_l_per_kwh", "water_withdrawal_l_per_kwh",
        ):  # fmt: skip
            assert (fuel, quantity) in have


def test_where_two_makers_of_shares_disagree_the_interval_holds_both() -> None:
    shares = {"carbon_free_ratio", "renewable_ratio"}
    embers = {
        (row["key"], row["quantity"], row["year"]): float(row["value"])
        for row in tables.rows("grid")
        if row["quantity"] in shares
    }
    found = 0
    for row in tables.rows("grid_odbl"):
        ember = embers.get((row["key"], row["quantity"], row["year"]))
        if ember is None:
            continue
        found += 1
        low, high = float(row["low"]), float(row["high"])
        assert low <= ember <= high, row
    assert found > 100
    assert fact("grid_odbl", "PR", "carbon_free_ratio", year=2024).low < 0.06
