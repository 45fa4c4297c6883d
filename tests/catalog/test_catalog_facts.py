# SPDX-License-Identifier: Apache-2.0
"""Facts are found by table, key, quantity and year; nothing is read before it is asked for."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from submeter.catalog import facts as room
from submeter.catalog import tables
from submeter.catalog.facts import attributes, cited, fact, facts, has, history, keys
from submeter.errors import CoverageError

LIFECYCLE = "average_lifecycle_production_g_per_kwh"
CONSUMED = "average_lifecycle_consumption_g_per_kwh"
SRC = str(Path(tables.__file__).parents[2])


def read(name: str) -> list[dict[str, str]]:
    with (tables.DATA / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def fact_tables() -> list[str]:
    return [
        path.stem
        for path in sorted(tables.DATA.glob("*.csv"))
        if path.read_text(encoding="utf-8").startswith("key,quantity,year,value,")
    ]


def test_a_fact_has_all_that_a_factor_needs() -> None:
    found = fact("grid", "DE", LIFECYCLE)
    assert found.key == f"grid/DE/{LIFECYCLE}"
    assert (found.value, found.unit, found.year, found.verified) == (342.06, "g/kWh", 2024, "copy")
    assert found.low < found.value < found.high
    assert "Ember" in found.source
    assert found.licence == "CC BY 4.0"
    assert found.level == 0.95


def test_the_latest_year_is_meant_and_an_earlier_one_has_a_key_of_its_own() -> None:
    latest = fact("grid_odbl", "DE", CONSUMED)
    assert latest.key == f"grid_odbl/DE/{CONSUMED}"
    assert fact("grid_odbl", "DE", CONSUMED, year=latest.year) == latest
    before = fact("grid_odbl", "DE", CONSUMED, year=latest.year - 1)
    assert before.key == f"grid_odbl/DE/{CONSUMED}@{latest.year - 1}"
    years = [one.year for one in history("grid_odbl", "DE", CONSUMED)]
    assert years == sorted(years)
    assert years == [2021, 2022, 2023, 2024, 2025]
    assert history("grid_odbl", "DE", CONSUMED)[-1] == latest


def test_a_year_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(CoverageError, match="2021, 2022, 2023, 2024, 2025, not for 1999"):
        fact("grid_odbl", "DE", CONSUMED, year=1999)


@pytest.mark.parametrize("table", fact_tables())
def test_each_row_of_a_table_is_found_as_the_csv_reader_finds_it(table: str) -> None:
    rows = read(table)
    for row in rows[:: max(1, len(rows) // 60)] + rows[-1:]:
        found = fact(table, row["key"], row["quantity"], year=int(row["year"]))
        assert (found.value, found.low, found.high) == tuple(
            float(row[c]) for c in ("value", "low", "high")
        )
        assert (found.unit, found.note, found.verified) == (
            row["unit"], row["note"], row["verified"],
        )  # fmt: skip
        assert has(table, row["key"], row["quantity"])


@pytest.mark.parametrize("table", ["grid", "generation", "cloud", "accelerator_facts"])
def test_all_facts_of_a_key_are_what_the_table_holds(table: str) -> None:
    rows = read(table)
    for key in {row["key"] for row in rows[::50]}:
        wanted = {row["quantity"] for row in rows if row["key"] == key}
        found = facts(table, key)
        assert {one.key.rpartition("/")[2] for one in found} == wanted
        assert all("@" not in one.key for one in found)


def test_keys_come_each_once_and_in_order() -> None:
    for table in fact_tables():
        assert list(keys(table)) == sorted({row["key"] for row in read(table)})
    assert "DE" in keys("zones")


def test_attributes_are_a_row_or_nothing() -> None:
    germany = attributes("zones", "DE")
    assert germany is not None
    assert (germany["alpha3"], germany["parents"]) == ("DEU", "WORLD")
    assert attributes("zones", "Germany") is None
    oregon = attributes("cloud_regions", "aws/us-west-2")
    assert oregon is not None
    assert (oregon["grid_zone"], oregon["em_zone"]) == ("US-OR", "US-NW-PACW")


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        (("grid", "de", LIFECYCLE), "DE"),
        (("grid", "DE", "average_lifecycle"), LIFECYCLE),
        (("cloud", "us-east-1", "pue"), "aws/us-east-1"),
        (("accelerator_facts", "h100", "tdp_w"), "nvidia-h100-sxm5-80gb"),
        (("generation", "caol", "lifecycle_g_per_kwh"), "coal"),
        (("grd", "DE", LIFECYCLE), "grid"),
    ],
)
def test_what_is_not_found_names_what_is_near(asked: tuple[str, str, str], near: str) -> None:
    with pytest.raises(CoverageError) as caught:
        fact(*asked)
    assert near in str(caught.value.remedy)


@pytest.mark.parametrize("key", ["", "D", "DE,", 'D"E', "DE\n", "key", "nowhere"])
def test_odd_keys_are_not_there(key: str) -> None:
    assert not has("grid", key, LIFECYCLE)
    assert facts("grid", key) == ()
    assert history("grid", key, LIFECYCLE) == ()
    with pytest.raises(CoverageError):
        fact("grid", key, LIFECYCLE)


def test_a_table_that_is_not_there_is_an_error_whatever_is_asked() -> None:
    for ask in (lambda: keys("nothing"), lambda: attributes("nothing", "DE")):
        with pytest.raises(CoverageError, match="no table 'nothing'"):
            ask()


def test_several_sources_are_named_together() -> None:
    title, licence = cited("ipcc-ar5+nrel2021")
    assert "IPCC AR5" in title
    assert "NREL" in title
    assert licence == "IPCC, citation; public domain (US)"


def run_alone(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {SRC!r})\n{code}"],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


WATCHED = """
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
{code}
print([path for path in opened if path.endswith((".csv", ".md"))])
"""


def test_importing_the_room_reads_no_table() -> None:
    code = "import submeter.catalog, submeter.catalog.facts"
    assert run_alone(WATCHED.format(code=code)) == "[]"


def test_one_fact_reads_its_table_and_the_sources_only() -> None:
    code = f"from submeter.catalog.facts import fact; fact('grid', 'DE', {LIFECYCLE!r})"
    opened = run_alone(WATCHED.format(code=code))
    assert opened.count(".csv") == 2
    assert "grid.csv" in opened
    assert "sources.csv" in opened


COLD = """
import time
from submeter.catalog.facts import fact
start = time.process_time()
fact("grid_odbl", "ZW", "average_lifecycle_consumption_g_per_kwh")
print(time.process_time() - start)
"""


def test_a_cold_lookup_in_the_largest_table_costs_a_few_ms_of_cpu() -> None:
    largest = max(fact_tables(), key=lambda name: (tables.DATA / f"{name}.csv").stat().st_size)
    assert largest == "grid_odbl"
    assert min(float(run_alone(COLD)) for _ in range(5)) <= 0.02


def test_a_lookup_parses_no_rows_but_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    read_rows: list[str] = []
    reader = csv.reader

    def watched(lines: list[str]) -> object:
        read_rows.extend(lines)
        return reader(lines)

    monkeypatch.setattr(csv, "reader", watched)
    fact("grid_odbl", "DE", CONSUMED)
    assert 1 <= len(read_rows) <= 5
    assert all(row.startswith(f"DE,{CONSUMED},") for row in read_rows)


def test_the_room_offers_no_table_by_accident() -> None:
    assert set(room.names()) == {path.stem for path in tables.DATA.glob("*.csv")}
