# SPDX-License-Identifier: Apache-2.0
"""Figures that are known to look wrong are corrected from a source, blank, or wide."""

import csv
import math

import pytest

from submeter.catalog.facts import attributes, fact, facts, has, keys
from submeter.catalog.tables import DATA
from submeter.records.factors import Factor

LIFECYCLE = "average_lifecycle_production_g_per_kwh"
CONSUMED = "average_lifecycle_consumption_g_per_kwh"
DIRECT = "average_direct_g_per_kwh"
MARGIN = "operating_margin_g_per_kwh"


def holds(factor: Factor, *values: float) -> bool:
    return all(factor.low <= value <= factor.high for value in values)


@pytest.mark.parametrize(
    "country", ["AU", "BE", "BG", "CY", "CZ", "ES", "EE", "FR", "IN", "NL", "PT"]
)
def test_mixed_bases_direct_above_lifecycle_span_each_other(country: str) -> None:
    life, direct = fact("grid", country, LIFECYCLE), fact("grid", country, DIRECT)
    assert direct.value > life.value  # the two figures stay as published
    assert holds(life, direct.value)
    assert holds(direct, life.value)
    assert "exceeds" in life.note
    assert "exceeds" in direct.note


def test_no_direct_figure_exceeds_a_lifecycle_interval_anywhere() -> None:
    compared = 0
    for key in keys("grid"):
        if has("grid", key, DIRECT) and has("grid", key, LIFECYCLE):
            assert fact("grid", key, LIFECYCLE).high >= fact("grid", key, DIRECT).value, key
            compared += 1
    assert compared > 30


def test_estonia_oil_shale_is_other_fossil_not_oil() -> None:
    assert not has("grid", "EE", "share_oil_ratio")
    assert "shale" in fact("grid", "EE", "share_other_fossil_ratio").note


@pytest.mark.parametrize(("country", "other"), [("TM", 490.0), ("UZ", 472.0)])
def test_turkmenistan_and_uzbekistan_keep_both_figures_and_span_them(
    country: str, other: float
) -> None:
    made = fact("grid", country, LIFECYCLE)
    assert made.value > 2 * other
    assert holds(made, 1.02 * other)
    assert "its own mix" in made.note
    assert fact("grid_odbl", country, CONSUMED, year=2024).value == pytest.approx(other, rel=0.05)


def test_thailand_spans_what_its_own_mix_gives() -> None:
    made = fact("grid", "TH", LIFECYCLE)
    assert holds(made, 490.0, 555.0)
    assert "492" in made.note


def test_a_country_whose_mix_says_something_else_is_widened_over_it() -> None:
    seen = 0
    for key in keys("grid"):
        if has("grid", key, LIFECYCLE):
            made = fact("grid", key, LIFECYCLE)
            _, found, number = made.note.partition("factors by fuel gives ")
            if found:
                assert holds(made, float(number.split(";")[0])), key
                seen += 1
    assert seen >= 20


def test_central_african_republic_is_not_zero_but_hydropower() -> None:
    made, hydro = fact("grid", "CF", LIFECYCLE), fact("generation", "hydro", "lifecycle_g_per_kwh")
    assert (made.value, made.low, made.high) == (hydro.value, hydro.low, hydro.high)
    assert made.verified == "derived"
    assert "published as 0" in made.note


def test_no_lifecycle_figure_and_no_margin_is_zero() -> None:
    for table in ("grid", "grid_odbl"):
        for key in keys(table):
            for one in facts(table, key):
                if any(q in one.key for q in (LIFECYCLE, CONSUMED, MARGIN)):
                    assert one.value > 0, one.key
                    assert one.low > 0, one.key


@pytest.mark.parametrize("country", ["NP", "AL", "BT", "CD", "ET", "IS", "LS", "PY", "SZ"])
def test_nepal_and_others_margin_zero_has_hydropower_as_its_floor(country: str) -> None:
    made = fact("grid", country, MARGIN)
    assert made.value == 24
    assert "published as 0" in made.note


def test_nepal_production_and_consumption_are_two_facts() -> None:
    assert fact("grid", "NP", LIFECYCLE).value == 23.36
    assert fact("grid_odbl", "NP", CONSUMED, year=2024).value == 112


@pytest.mark.parametrize(("country", "share"), [("IT", 0.51), ("HR", 0.21)])
def test_italy_and_croatia_have_one_fossil_share(country: str, share: float) -> None:
    assert not has("grid", country, "share_gas_ratio")
    assert not has("grid", country, "share_oil_ratio")
    made = fact("grid", country, "share_other_fossil_ratio")
    assert made.value == pytest.approx(share, abs=0.01)
    fossil = fact("generation", "other_fossil", "lifecycle_g_per_kwh")
    assert holds(fossil, 490, 840)


def test_cook_islands_span_what_half_diesel_gives() -> None:
    made = fact("grid", "CK", LIFECYCLE)
    assert holds(made, 250, 375, 420)
    assert "rounded" in made.note


def test_oil_direct_is_650_to_750_and_not_406() -> None:
    made = fact("generation", "oil", "direct_g_per_kwh")
    assert 650 <= made.value <= 750
    assert made.low > 600
    assert made.value < fact("generation", "oil", "lifecycle_g_per_kwh").value
    for table in ("generation", "generation_odbl"):
        for key in keys(table):
            if key.startswith("oil") and has(table, key, "direct_g_per_kwh"):
                assert fact(table, key, "direct_g_per_kwh").value != 406


def test_swedens_margin_spans_both_makers_and_says_that_they_differ() -> None:
    made = fact("grid", "SE", MARGIN)
    assert made.value == 68
    assert holds(made, 68, 791)
    assert "of another kind" in made.note
    assert fact("cloud", "aws/eu-north-1", "marginal_g_per_kwh").value == 791.26


def test_a_market_intensity_of_zero_is_a_claim_and_no_factor() -> None:
    zeros: dict[str, int] = {}
    for key in keys("cloud"):
        found = {one.key.rpartition("/")[2]: one for one in facts("cloud", key)}
        assert not [q for q in found if "market" in q or "residual" in q]
        claim = found.get("matching_claim_g_per_kwh")
        if claim is not None:
            assert "claim" in claim.note
            assert "no factor" in claim.note
            if claim.value == 0:
                provider = key.partition("/")[0]
                zeros[provider] = zeros.get(provider, 0) + 1
    assert zeros["gcp"] == 36
    assert zeros["aws"] == 20  # 21 in the table, of which eu-south-2 is doubted


def test_azure_westus_has_no_values_of_another_region() -> None:
    for quantity in ("pue", "wue_l_per_kwh", "cfe_annual_ratio", "marginal_g_per_kwh"):
        assert not has("cloud", "azure/westus", quantity)
    moved = fact("cloud", "azure/westus2", "wue_l_per_kwh")
    assert moved.value == 1.09
    assert moved.verified == "recall"
    assert holds(fact("cloud", "azure/westus2", "pue"), 1.15, 1.156)


def test_aws_eu_south_2_has_no_claim() -> None:
    assert not has("cloud", "aws/eu-south-2", "matching_claim_g_per_kwh")
    assert has("cloud", "aws/eu-south-2", "pue")


def test_a_region_spelt_wrong_is_an_alias_and_a_misplaced_name_is_put_right() -> None:
    assert attributes("cloud_regions", "gcp/me-cenrtal1") is None
    doha = attributes("cloud_regions", "gcp/me-central1")
    dublin = attributes("cloud_regions", "azure/northeurope")
    assert doha is not None
    assert dublin is not None
    assert "me-cenrtal1" in doha["aliases"]
    assert (dublin["country"], "Ireland" in dublin["location"]) == ("IE", True)


def test_a100x_interconnect_is_wide() -> None:
    made = fact("accelerator_facts", "nvidia-a100x", "interconnect_gb_per_s")
    assert holds(made, 32, 64, 600)
    row = attributes("accelerators", "nvidia-a100x")
    assert row is not None
    assert row["interconnect"] == ""


@pytest.mark.parametrize("quantity", ["fp64_tflop_per_s", "fp32_tflop_per_s", "fp16_tflop_per_s"])
def test_gv100_rates_are_wide(quantity: str) -> None:
    made = fact("accelerator_facts", "nvidia-gv100", quantity)
    assert holds(made, 0.86 * made.value, 1.14 * made.value)
    assert "mixed" in made.note


def test_rtx_4000_ada_tensor_rate_is_derived_and_spans_82() -> None:
    made = fact("accelerator_facts", "nvidia-rtx-4000-ada", "fp16_tflop_per_s")
    assert made.verified == "derived"
    assert holds(made, 82, 106.9)


def test_mi308x_has_no_fp32_and_a_wide_fp64() -> None:
    assert not has("accelerator_facts", "amd-mi308x", "fp32_tflop_per_s")
    assert fact("accelerator_facts", "amd-mi308x", "fp64_tflop_per_s").low < 81.72 / 3


def test_mtia_v1_memory_is_recalled_and_wide() -> None:
    made = fact("accelerator_facts", "meta-mtia-v1", "memory_gb")
    assert made.verified == "recall"
    assert holds(made, 32, 64, 128)


def test_embodied_per_accelerator_hour_spans_the_sources() -> None:
    made = fact("embodied", "accelerator-hour", "embodied_kg_per_h")
    assert (made.low, made.high) == (0.0047, 0.0286)
    assert made.value == pytest.approx(math.sqrt(made.low * made.high), rel=0.01)
    assert "boundaries" in made.note


@pytest.mark.parametrize(
    ("device", "sources"),
    [
        ("nvidia-h100-sxm5-80gb", (164, 225, 273)),
        ("nvidia-a100-sxm4-40gb", (127.6, 150, 181)),
        ("nvidia-a100-pcie-40gb", (127.6, 181)),
    ],
)
def test_embodied_of_a_board_spans_its_sources(device: str, sources: tuple[float, ...]) -> None:
    assert holds(fact("accelerator_facts", device, "embodied_kg"), *sources)


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("syn-truenorth", (2.5, 26)),
        ("syn-truenorth-merolla", (2.5, 26)),
        ("syn-spinnaker", (45, 8000)),
        ("syn-spinnaker-board", (45, 8000)),
    ],
)
def test_synaptic_events_span_marginal_and_whole_chip_accounts(
    key: str, values: tuple[float, float]
) -> None:
    made = fact("energy_per_op", key, "energy_pj_per_sop")
    assert holds(made, *values)
    assert "counted otherwise" in made.note


def test_ssd_embodied_spans_both_schools() -> None:
    assert holds(fact("embodied", "ssd", "embodied_kg_per_gb"), 0.004, 0.031, 0.16)


def test_smartphone_charge_and_kettle_span_both_values() -> None:
    charge = fact("equivalents", "smartphone_charge_energy", "energy_kwh")
    kettle = fact("equivalents", "kettle_litre_boil", "energy_kwh")
    assert holds(charge, 0.012, 0.019)
    assert holds(kettle, 0.1, 0.11)
    assert "0.019" in charge.note
    assert holds(fact("workloads", "phone-charge", "energy_kwh"), 0.012, 0.019)
    assert holds(fact("workloads", "kettle", "energy_kwh"), 0.1, 0.11)


def test_hydropower_evaporation_says_which_it_is() -> None:
    quantity = "water_consumption_l_per_kwh"
    gross = fact("generation", "hydro", quantity)
    without = fact("generation", "hydro:without-reservoirs", quantity)
    assert gross.value == pytest.approx(17)
    assert "reservoirs" in gross.note
    assert without.value == 0
    assert without.high < 1
    assert "set to zero" in fact("generation", "hydro:li2023", quantity).note
    for key in keys("water"):
        if has("water", key, "ewif_l_per_kwh") and len(key) == 2:
            assert "reservoirs" in fact("water", key, "ewif_l_per_kwh").note


def test_util_google_2007_carries_its_own_year() -> None:
    assert fact("workloads", "util-google-2007", "level_ratio").year == 2007


def test_fleet_and_cooling_ranges_that_are_recalled_say_so() -> None:
    recalled = [
        one
        for key in keys("facility")
        for one in facts("facility", key)
        if key.startswith("cooling/") and one.key.endswith("/pue")
    ]
    assert len(recalled) == 12
    assert all(one.verified == "recall" and "widened" in one.note for one in recalled)
    assert fact("facility", "cooling/free_air", "pue").high > 1.2  # what the range itself says


def test_ordinary_against_ai_rooms_is_left_open() -> None:
    made = fact("facility", "industry/uptime_average_largest_site", "pue", year=2024)
    assert "is open" in made.note
    assert holds(made, 1.1, 1.6)


def test_a_known_error_of_80_times_is_marked() -> None:
    assert "never use" in fact("workloads", "stream-hour-shift", "energy_wh_per_h").note


def test_secondary_prices_are_wider_than_official_ones() -> None:
    secondary = fact("prices", "BR", "price_usd_per_kwh")
    official = fact("prices", "DE", "price_usd_per_kwh")
    assert "secondary" in secondary.note
    assert secondary.log_sd > 3 * official.log_sd


def test_austria_and_switzerland_have_no_residual_mix_rather_than_zero() -> None:
    for country in ("AT", "CH"):
        assert not has("grid", country, "residual_mix_g_per_kwh")


def test_an_unknown_grid_has_a_wide_loss_and_a_wide_intensity() -> None:
    loss = fact("grid", "WORLD", "td_loss_ratio")
    assert loss.verified == "recall"
    assert holds(loss, 0.03, 0.082, 0.2)
    assert fact("grid", "WORLD", LIFECYCLE).log_sd >= 0.49


def test_namibia_is_not_taken_for_a_gap() -> None:
    row = attributes("zones", "NA")
    assert row is not None
    assert row["name"] == "Namibia"
    assert has("grid", "NA", LIFECYCLE)
    with (DATA / "zones.csv").open(encoding="utf-8") as file:
        assert sum(row["code"] == "NA" for row in csv.DictReader(file)) == 1
