# SPDX-License-Identifier: Apache-2.0
"""All facts and sources by their words, and exactly by id."""

import subprocess
import sys
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.catalog.facts import fact, history, keys
from submeter.catalog.facts import names as tables
from submeter.catalog.names import fold
from submeter.catalog.quantities import foremost, plain_words
from submeter.catalog.searching import (
    exactly,
    is_fact_table,
    nearby,
    past_of,
    search,
    sizes,
    sources_of,
)
from submeter.catalog.tables import rows

STATES = [row for row in rows("zones") if row["kind"] != "country"]
FACT_TABLES = [name for name in tables() if is_fact_table(name)]
LOSS = "grid/DE/td_loss_ratio"


def test_fact_tables_are_told_from_others() -> None:
    assert {"grid", "grid_odbl", "cloud", "generation", "water"} <= set(FACT_TABLES)
    assert not {"zones", "cpus", "sources", "place_names", "factors"} & set(FACT_TABLES)
    assert not is_fact_table("no-such-table")


@pytest.mark.parametrize(
    ("words", "ident"),
    [
        (["germany", "loss"], LOSS),
        (["DE", "td_loss_ratio"], LOSS),
        (["SE", "td_loss_ratio"], None),
        (["oregon", "pue"], "cloud/aws/us-west-2/pue"),
        (["us-west-2", "pue"], "cloud/aws/us-west-2/pue"),
        (["pue-prior"], "factors/pue-prior"),
        (["H100", "tdp_w"], "accelerator_facts/nvidia-h100-pcie-80gb/tdp_w"),
        (["ember", "CC BY"], "sources/ember"),
    ],
)
def test_words_are_anded_over_id_place_note_and_source(
    words: list[str], ident: str | None
) -> None:
    found = search(words)
    assert ident in found if ident else LOSS not in found


def test_more_words_find_no_more_rows() -> None:
    wide, narrow = search(["germany"]), search(["germany", "ratio"])
    assert set(narrow) < set(wide)


def test_a_short_word_is_a_whole_word() -> None:
    assert search(["de", "td_loss_ratio"]) == [LOSS]  # and none that cites a "Destatis"


def test_what_holds_the_words_in_its_id_comes_first() -> None:
    found = search(["epoch"])
    assert found[0] == "sources/epoch"


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("carbon intensity germany", ["grid_odbl/DE/average_lifecycle_consumption_g_per_kwh",
                                      "grid/DE/average_lifecycle_production_g_per_kwh",
                                      "grid/DE/residual_mix_g_per_kwh"]),
        ("emissions Deutschland", ["grid_odbl/DE/average_lifecycle_consumption_g_per_kwh"]),
        ("US carbon", ["grid_odbl/US/average_lifecycle_consumption_g_per_kwh",
                       "grid/US/average_lifecycle_production_g_per_kwh"]),
        ("carbon intensity ERCOT", ["grid_odbl/US-TEX-ERCO/"]),
        ("carbon intensity west denmark", ["grid_odbl/DK-DK1/"]),
        ("CO2 DEU", ["grid_odbl/DE/"]),
        ("carbon intensity", ["grid/WORLD/", "grid_odbl/"]),
        ("price france", ["prices/FR/price_usd_per_kwh"]),
        ("electricity cost UK", ["prices/GB/price_usd_per_kwh"]),
        ("water germany", ["water/DE/ewif_l_per_kwh"]),
        ("water usage effectiveness us-west-2", ["cloud/aws/us-west-2/wue_l_per_kwh"]),
        ("germany pue", ["cloud/"]),
        ("us-west-2 pue", ["cloud/aws/us-west-2/pue"]),
        ("power usage effectiveness frankfurt", ["cloud/aws/eu-central-1/pue"]),
        ("thermal design power H100 SXM5 80GB", ["accelerator_facts/nvidia-h100-sxm5-80gb/tdp_w"]),
        ("line losses germany", [LOSS]),
        ("embodied carbon a100", ["embodied/nvidia-a100"]),
    ],
)  # fmt: skip
def test_words_of_people_find_what_they_mean_first(words: str, first: list[str]) -> None:
    found = search(words.split())
    assert len(found) >= len(first)
    for ident, start in zip(found, first, strict=False):
        assert ident.startswith(start)


def test_a_board_begins_with_the_power_of_its_variants_and_ends_with_sources() -> None:
    found = search(["h100"])
    variants = [key for key in keys("accelerator_facts") if "-h100-" in key]
    assert len(variants) > 2
    assert {f"accelerator_facts/{key}/tdp_w" for key in variants} == set(found[: len(variants)])
    listed = [ident.startswith("sources/") for ident in found]
    assert any(listed)
    assert listed == sorted(listed)


@given(st.sampled_from([row for row in rows("place_names") if len(row["name"]) > 3]))
def test_the_name_of_a_place_finds_its_own_rows_first(row: Mapping[str, str]) -> None:
    own = f"/{row['key']}/"
    found = search(["carbon intensity", row["name"]])
    asked = [ident for ident in found if own in ident]
    names = [fold(r["name"]) for r in rows("place_names")] + [fold(r["name"]) for r in STATES]
    if asked and names.count(fold(row["name"])) == 1:
        assert own in found[0], found[:3]


def test_every_quantity_that_comes_first_is_one_of_the_catalog() -> None:
    known = {row["quantity"] for table in FACT_TABLES for row in rows(table)}
    first = {quantity for quantity in known if foremost(quantity) < foremost("no such quantity")}
    assert len(first) == foremost("no such quantity")
    assert all(plain_words(q) == fold(plain_words(q)) for q in known)
    assert plain_words("no such quantity") == ""


def test_of_several_years_the_latest_is_found_unless_one_is_asked_for() -> None:
    quantity = "average_lifecycle_consumption_g_per_kwh"
    years = [one.year for one in history("grid_odbl", "FR", quantity)]
    assert len(years) > 2
    ident = f"grid_odbl/FR/{quantity}"
    plain = [i for i in search(["FR", quantity]) if i.startswith(ident)]
    assert plain == [ident]
    dated = [i for i in search(["FR", quantity, str(years[0])]) if i.startswith(ident)]
    assert dated == [f"{ident}@{years[0]}"]


def test_nothing_but_space_finds_nothing() -> None:
    assert search([]) == search(["", " ", "--"]) == []


@pytest.mark.parametrize("table", FACT_TABLES)
def test_every_fact_is_found_exactly_by_its_id(table: str) -> None:
    for row in rows(table)[:: max(1, len(rows(table)) // 40)]:
        ident = f"{table}/{row['key']}/{row['quantity']}@{row['year']}"
        hit = exactly(ident)
        assert hit is not None, ident
        assert hit.factor is not None
        assert hit.factor.value == float(row["value"])
        assert {one.key for one in sources_of(ident)} == set(row["source"].split("+"))


def test_exact_ids_of_other_tables() -> None:
    prior, source = exactly("factors/pue-prior"), exactly("sources/ember")
    assert prior is not None
    assert prior.factor is not None
    assert exactly("pue-prior") == prior
    assert source is not None
    assert source.source is not None
    assert source.source.licence
    assert past_of(LOSS)[-1] == fact("grid", "DE", "td_loss_ratio")
    assert past_of("factors/pue-prior") == ()
    assert sources_of("factors/pue-prior") == ()


@given(st.text(max_size=40))
def test_any_words_are_an_id_or_none(ident: str) -> None:
    for word in (
        ident,
        f"grid/{ident}",
        f"grid/DE/{ident}",
        f"{LOSS}@{ident}",
        f"sources/{ident}",
    ):
        hit = exactly(word)
        assert hit is None or hit.factor is not None or hit.source is not None


def test_near_words_are_keys_quantities_and_places() -> None:
    assert "Germany" in nearby(["germny"])
    assert any("td_loss_ratio" in word for word in nearby(["td_los_ratio"]))
    assert nearby(["qqqqqqqq"]) == ()


def test_sizes_count_the_rows() -> None:
    counted = dict(sizes())
    assert counted["grid"] == len(rows("grid")) > len(keys("grid"))
    assert counted["sources"] == len(rows("sources"))


def test_importing_the_room_reads_no_table() -> None:
    code = (
        "import submeter.catalog.regions, submeter.catalog.accelerators"
        ", submeter.catalog.instances, submeter.catalog.searching, submeter.catalog.declaring\n"
        "from submeter.catalog.tables import rows, text\n"
        "import sys\n"
        "assert rows.cache_info().currsize == text.cache_info().currsize == 0\n"
        "assert 'difflib' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
