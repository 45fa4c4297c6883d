# SPDX-License-Identifier: Apache-2.0
"""The catalog's grid and zone tables; all that Electricity Maps publishes stays apart (ODbL)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from benchmarks.catalog_fuels import HYDRO_FLOOR, MIX_G_PER_KWH
from benchmarks.catalog_rules import (
    Fact,
    Row,
    by_rule,
    fact,
    number,
    read,
    source_key,
    spanning,
    write_attributes,
    write_facts,
)

LIFECYCLE = "average_lifecycle_production_g_per_kwh"
CONSUMED = "average_lifecycle_consumption_g_per_kwh"
DIRECT = "average_direct_g_per_kwh"
MARGIN = "operating_margin_g_per_kwh"
RESIDUAL = "residual_mix_g_per_kwh"

SOURCES = (
    ("carbon_intensity_elec", "owid+ember"),
    ("Our World in Data energy data", "owid"),
    ("AIB production mix", "aib+ember"),
    ("Ember yearly", "ember"),
    ("EEA greenhouse", "eea"),
    ("DCCEEW", "nga2025"),
    ("MEE/NBS China", "mee2023"),
    ("UK DESNZ", "desnz2025"),
    ("DESNZ", "desnz2026"),
    ("CEA CO2", "cea-v20"),
    ("MfE", "mfe2026"),
    ("EMA Singapore", "ema2024"),
    ("eGRID2023", "egrid2023"),
    ("AIB European Residual", "aib2024"),
    ("Green-e", "green-e2025"),
    ("IFI TWG", "ifi2021"),
    ("(2023), via africa-api.com", "wdi-loss"),
    ("World Bank WDI", "wdi-loss"),
    ("US EIA FAQ 105", "eia-faq105"),
    ("Announcement 2025 No. 47", "mee2023"),
    ("Announcement 2024 No. 12", "mee2021"),
    ("Environment and Climate Change Canada", "eccc2025"),
    ("Canada provincial generation mix", "cer2023"),
    ("Electricity Maps zone configuration", "emaps-contrib"),
    ("Electricity Maps yearly", "emaps"),
)
SHARES = {
    "coal": "coal",
    "gas": "gas",
    "oil_other_fossil": "oil",
    "nuclear": "nuclear",
    "hydro": "hydro",
    "wind": "wind",
    "solar": "solar",
    "bioenergy": "bioenergy",
    "geothermal_other_renewable": "geothermal",
    "storage_discharge": "storage",
    "unknown": "unknown",
}
# The compiled mix has no gas here and a large "other fossil", which is mostly gas: one share.
ONE_FOSSIL = {"IT": "mostly gas", "HR": "mostly gas", "EE": "mostly oil shale"}
AGGREGATES = {"WORLD", "EU27", "AFRICA", "ASIA", "EUROPE", "NAMERICA", "OCEANIA", "LATAM"}
EU27 = frozenset(
    {
        "AT", "BE", "BG", "HR", "CY", "CZ", "DK", "EE", "FI", "FR", "DE", "GR", "HU", "IE",
        "IT", "LV", "LT", "LU", "MT", "NL", "PL", "PT", "RO", "SK", "SI", "ES", "SE",
    }
)  # fmt: skip
TINY_TWH = 0.1  # totals below are rounded to two or three digits
LEAST_SHARE_DOUBT = 0.01
MADE_TWICE = frozenset({"carbon_free_ratio", "renewable_ratio"})


def make(data: Path, out: Path) -> None:
    countries = read(data / "grid_countries.csv")
    regions = read(data / "grid_subregions.csv")
    clouds = read(data / "cloud_regions.csv")
    zones = [r for r in regions if r["kind"] == "em_zone"]
    others = [r for r in regions if r["kind"] != "em_zone"]
    marginal = other_marginals(clouds)
    grid = [f for r in countries for f in country_facts(r, marginal)]
    grid += defaults(grid)
    grid += [f for r in others for f in region_facts(r)]
    history = read(data / "grid_zone_history.csv")
    write_facts(out / "grid.csv", grid)
    write_facts(out / "grid_odbl.csv", holding_both(zone_facts(history, zones), grid))
    fields = ["code", "name", "kind", "country", "alpha3", "parents", "latitude", "longitude",
              "timezone", "system", "source", "verified"]  # fmt: skip
    write_attributes(out / "zones.csv", fields, [*map(country, countries), *map(region, others)])
    known = {r["region_code"] for r in zones}
    alpha3 = {r["country_alpha2"]: r["country_alpha3"] for r in countries}
    write_attributes(out / "zones_odbl.csv", fields, [zone(r, known, alpha3) for r in zones])


# --- Countries ------------------------------------------------------------------------------


def country_facts(row: Row, marginal: dict[str, list[float]]) -> list[Fact]:
    code = row["country_alpha2"]
    found = [lifecycle(row), *share_facts(code, row, row["share_source"])]
    direct = row["carbon_intensity_direct_gco2e_per_kwh"]
    if direct:
        found.append(direct_fact(row, float(direct)))
    residual = row["residual_mix_gco2_per_kwh"]
    if residual and float(residual) > 0:
        source = source_key(row["residual_mix_source"], SOURCES)
        year = row["residual_mix_year"] or 2024
        found.append(
            by_rule(code, RESIDUAL, year, residual, "residual mix", source, note="CO2 only")
        )
    if row["operating_margin_2021_gco2_per_kwh"]:
        found.append(margin(row, marginal.get(code, [])))
    if row["td_loss_pct"]:
        found.append(loss(row))
    if row["generation_twh"]:
        source = source_key(row["share_source"], SOURCES)
        found.append(
            by_rule(
                code, "generation_twh", row["share_year"], row["generation_twh"], "generation",
                source, zero_high=0.005,
            )
        )  # fmt: skip
    return [f for f in found if f is not None]


def lifecycle(row: Row) -> Fact | None:
    """The production intensity, widened where the country's own mix says something else."""
    text, code = row["carbon_intensity_gco2e_per_kwh"], row["country_alpha2"]
    if not text or code in AGGREGATES:
        return aggregate(row) if text else None
    source = source_key(row["carbon_intensity_source"], SOURCES)
    year = int(row["year"])
    if float(text) <= HYDRO_FLOOR[1]:
        note = "published as 0, which no lifecycle figure is: hydropower's own factor stands in"
        return fact(code, LIFECYCLE, year, HYDRO_FLOOR, f"{source}+ipcc-ar5", note=note,
                    verified="derived")  # fmt: skip
    made = by_rule(code, LIFECYCLE, year, text, "country annual", source)
    mix = mix_g_per_kwh(row)
    if mix is not None and not 0.75 <= made.value / mix <= 4 / 3:
        tiny = row["generation_twh"] and float(row["generation_twh"]) < TINY_TWH
        why = f"its own mix times factors by fuel gives {mix:.0f}"
        made = spanning(made, mix, note=f"{why}{'; totals are rounded' if tiny else ''}")
    elif code == "TH" and mix is not None:
        made = spanning(made, mix, note=f"its own mix times factors by fuel gives {mix:.0f}")
    direct = row["carbon_intensity_direct_gco2e_per_kwh"]
    if direct and float(direct) > made.value:
        said = f"the official direct figure {float(direct):.0f} ({row['direct_year']}) exceeds it"
        made = spanning(made, float(direct), note=said)
    return made


def aggregate(row: Row) -> Fact:
    source = source_key(row["carbon_intensity_source"], SOURCES)
    return by_rule(
        row["country_alpha2"], LIFECYCLE, row["year"], row["carbon_intensity_gco2e_per_kwh"],
        "region of many grids", source, note="as the default of a place within, not as a mean",
    )  # fmt: skip


def mix_g_per_kwh(row: Row) -> float | None:
    """Lifecycle intensity that the generation shares give with the factors by fuel."""
    shares = {SHARES[k]: float(row.get(f"share_{k}_pct") or 0) for k in SHARES}
    if row["country_alpha2"] in ONE_FOSSIL:
        shares["other_fossil"] = shares.pop("oil")
    total = sum(shares.values())
    if total <= 0:
        return None
    return sum(MIX_G_PER_KWH[fuel] * share for fuel, share in shares.items()) / total


def direct_fact(row: Row, value: float) -> Fact:
    made = by_rule(
        row["country_alpha2"], DIRECT, row["direct_year"], value, "official direct",
        source_key(row["direct_source"], SOURCES), verified=row["direct_verified"],
    )  # fmt: skip
    lifecycle_text = row["carbon_intensity_gco2e_per_kwh"]
    if lifecycle_text and value > float(lifecycle_text):
        year = row["year"]
        note = f"exceeds the lifecycle figure {float(lifecycle_text):.0f} of {year}"
        return spanning(made, float(lifecycle_text), note=note)
    return made


def margin(row: Row, others: list[float]) -> Fact:
    code, value = row["country_alpha2"], float(row["operating_margin_2021_gco2_per_kwh"])
    source, note = "ifi2021", "operating margin, direct CO2"
    if value <= 0:
        note = "published as 0: hydropower's own lifecycle factor stands in"
        source = "ifi2021+ipcc-ar5"
        made = fact(code, MARGIN, 2021, HYDRO_FLOOR, source, verified="derived", note=note)
    else:
        made = by_rule(code, MARGIN, 2021, value, "marginal", source, note=note)
    if others:
        said = f"another maker, of another kind, says {min(others):.0f} to {max(others):.0f}"
        made = spanning(replace(made, source=f"{made.source}+watttime-gsf"), *others, note=said)
    return made


def other_marginals(clouds: list[Row]) -> dict[str, list[float]]:
    """Marginal intensities of another maker (WattTime), by country of the cloud region."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in clouds:
        if row["grid_ci_marginal_gco2e_per_kwh"]:
            found[row["country_alpha2"]].append(float(row["grid_ci_marginal_gco2e_per_kwh"]))
    return found


def loss(row: Row) -> Fact:
    year = 2014
    for digits in (2023, 2026, 2021):
        if str(digits) in row["td_loss_source"] and "(2014)" not in row["td_loss_source"]:
            year = digits
    made = by_rule(
        row["country_alpha2"], "td_loss_ratio", year, float(row["td_loss_pct"]) / 100, "loss",
        source_key(row["td_loss_source"], SOURCES), verified=row["td_loss_verified"],
    )  # fmt: skip
    if row["country_alpha2"] == "IN":
        return spanning(made, 0.16, note="CEA reports about 16 to 17 % in 2022-23")
    return made


def share_facts(code: str, row: Row, source_text: str) -> list[Fact]:
    """Shares of generation as ratios that sum to 1; none where none are known."""
    known = {k: float(row.get(f"share_{k}_pct") or 0) for k in SHARES if row.get("share_coal_pct")}
    total = sum(known.values())
    if not total:
        return []
    source, year = source_key(source_text, SOURCES), row["share_year"]
    ratios = {SHARES[k]: v / total for k, v in known.items()}
    if "share_storage_discharge_pct" not in row:
        del ratios["storage"], ratios["unknown"]
    notes = {"oil": "oil and other fossil", "geothermal": "geothermal and other renewable"}
    if code in ONE_FOSSIL:
        merged = ratios.pop("oil") + (ratios.pop("gas") if code != "EE" else 0)
        ratios["other_fossil"] = merged
        notes["other_fossil"] = f"gas and other fossil as one: {ONE_FOSSIL[code]}"
    found = []
    for fuel, ratio in ratios.items():
        made = by_rule(
            code, f"share_{fuel}_ratio", year, round(ratio, 5), "share", source,
            note=notes.get(fuel, ""), zero_high=LEAST_SHARE_DOUBT, most=1.0,
        )  # fmt: skip
        found.append(made)
    clean = ("nuclear", "hydro", "wind", "solar", "bioenergy", "geothermal")
    if "storage" not in ratios:
        for name, fuels in (("carbon_free", clean), ("renewable", clean[1:])):
            total_ratio = round(sum(ratios[f] for f in fuels), 5)
            found.append(
                by_rule(
                    code, f"{name}_ratio", year, total_ratio, "share", source,
                    verified="derived", note="sum of shares", zero_high=LEAST_SHARE_DOUBT,
                    most=1.0,
                )
            )  # fmt: skip
    return found


def holding_both(zones: list[Fact], countries: list[Fact]) -> list[Fact]:
    """Rows of *zones*, whose carbon-free and renewable shares reach to Ember's of *countries*.

    Where both makers publish a share of the same place and year and Ember's lies outside the
    interval, both stay and the interval holds both. Only in this direction: what Electricity
    Maps says must not enter a table that is not under its licence (ODbL).
    """
    known = {(f.key, f.quantity, f.year): f for f in countries if f.quantity in MADE_TWICE}
    found = []
    for row in zones:
        other = known.get((row.key, row.quantity, row.year))
        if other is None or row.low <= other.value <= row.high:
            found.append(row)
            continue
        note = f"another maker ({other.source}) says {number(other.value)}: interval widened"
        both = spanning(row, other.value, note=note)
        found.append(replace(both, source=f"{row.source}+{other.source}"))
    return found


# --- Defaults of unknown places -------------------------------------------------------------


def defaults(facts: list[Fact]) -> list[Fact]:
    """World (and EU) shares from the countries, and the loss of an unknown grid."""
    by_code: dict[str, dict[str, Fact]] = defaultdict(dict)
    for row in facts:
        by_code[row.key][row.quantity] = row
    everywhere = [c for c in by_code if c not in AGGREGATES and "generation_twh" in by_code[c]]
    found = [
        f
        for code, members in (
            ("WORLD", everywhere),
            ("EU27", [c for c in everywhere if c in EU27]),
        )
        for f in pooled(code, [by_code[c] for c in members])
    ]
    losses = sorted(c["td_loss_ratio"].value for c in by_code.values() if "td_loss_ratio" in c)
    note = (f"of an unknown grid: world mean; interval from the least to the most of "
            f"{len(losses)} countries ({losses[0]:.3f} to {losses[-1]:.3f})")  # fmt: skip
    found.append(
        fact("WORLD", "td_loss_ratio", 2014, (0.082, losses[0], losses[-1]), "wdi-loss",
             verified="recall", note=note)
    )  # fmt: skip
    return found


def pooled(code: str, members: list[dict[str, Fact]]) -> list[Fact]:
    total = sum(m["generation_twh"].value for m in members)
    found = [
        by_rule(code, "generation_twh", 2024, round(total, 1), "generation", "derived-grid",
                verified="derived", note=f"sum over {len(members)} countries, latest year of each")
    ]  # fmt: skip
    fuels = sorted({q for m in members for q in m if q.startswith("share_")})
    for quantity in [*fuels, "carbon_free_ratio", "renewable_ratio"]:
        parts = [(m["generation_twh"].value, m[quantity].value if quantity in m else 0.0)
                 for m in members]  # fmt: skip
        mean = sum(w * v for w, v in parts) / total
        found.append(
            by_rule(code, quantity, 2024, round(mean, 5), "region of many grids", "derived-grid",
                    verified="derived", note="weighted by generation", most=1.0,
                    zero_high=LEAST_SHARE_DOUBT)
        )  # fmt: skip
    return found


# --- Sub-regions ----------------------------------------------------------------------------


def region_facts(row: Row) -> list[Fact]:
    code, source = row["region_code"], source_key(row["source"], SOURCES)
    found = list(share_facts(code, row, row["share_source"]) if row["share_source"] else [])
    found = [f for f in found if f.quantity not in {"share_storage_ratio", "share_unknown_ratio"}]
    text = row["carbon_intensity_gco2e_per_kwh"]
    if text:
        found.append(
            by_rule(code, DIRECT, row["year"], text, "official direct", source,
                    verified=row["verified"], note=row["carbon_intensity_basis"], zero_high=2.0)
        )  # fmt: skip
    if row["residual_mix_gco2e_per_kwh"]:
        found.append(
            by_rule(code, RESIDUAL, 2023, row["residual_mix_gco2e_per_kwh"], "residual mix",
                    source_key(row["residual_mix_source"], SOURCES))
        )  # fmt: skip
    mix = mix_g_per_kwh(row) if row["share_source"] else None
    if mix is not None:
        source = f"{source_key(row['share_source'], SOURCES)}+ipcc-ar5"
        note = "generation shares times lifecycle factors by fuel"
        made = by_rule(
            code, LIFECYCLE, row["share_year"], round(mix, 1), "country annual", source,
            verified="derived", note=note,
        )  # fmt: skip
        if text and float(text) > mix:
            said = f"the official direct figure {text} exceeds it"
            made = spanning(made, float(text), note=said)
        found.append(made)
    return found


def zone_facts(history: list[Row], zones: list[Row]) -> list[Fact]:
    """Electricity Maps: annual means by zone and year, and the mix of its configuration."""
    codes = {r["zone"] for r in history}
    divided = {c.split("-")[0] for c in codes if "-" in c}
    found: list[Fact] = []
    for row in history:
        code, year = row["zone"], row["year"]
        rule = "country annual" if code in divided else "zone annual"
        value = float(row["carbon_intensity_gco2e_per_kwh"])
        found.append(
            by_rule(code, CONSUMED, year, value, rule, "emaps")
            if value > 0
            else fact(code, CONSUMED, year, HYDRO_FLOOR, "emaps+ipcc-ar5", verified="derived",
                      note="published as 0: hydropower's own factor stands in")
        )  # fmt: skip
        for name in ("carbon_free", "renewable"):
            if row[f"{name}_pct"]:
                ratio = float(row[f"{name}_pct"]) / 100
                found.append(
                    by_rule(code, f"{name}_ratio", year, ratio, "share", "emaps", most=1.0,
                            zero_high=LEAST_SHARE_DOUBT)
                )  # fmt: skip
    for row in zones:
        if row["share_source"]:
            found += share_facts(row["region_code"], row, row["share_source"])
    return found


# --- Zones ----------------------------------------------------------------------------------


def country(row: Row) -> Row:
    code = row["country_alpha2"]
    kind = "world" if code == "WORLD" else "aggregate" if code in AGGREGATES else "country"
    return {
        "code": code,
        "name": row["country_name"],
        "kind": kind,
        "country": code if kind == "country" else "",
        "alpha3": row["country_alpha3"] if kind == "country" else "",
        "parents": "" if kind == "world" else "WORLD",
        "system": "iso3166" if kind == "country" else "ember",
        "source": "iso3166" if kind == "country" else "ember",
        "verified": "copy",
    }


SYSTEMS = {
    "us_egrid_subregion": ("egrid", "egrid2023"),
    "us_state": ("us state", "egrid2023"),
    "ca_province": ("province of Canada", "eccc2025"),
    "au_state": ("state of Australia", "nga2025"),
    "cn_province": ("province of China", "mee2023"),
    "cn_regional_grid": ("regional grid of China", "mee2021"),
}


def region(row: Row) -> Row:
    system, source = SYSTEMS[row["kind"]]
    return {
        "code": row["region_code"],
        "name": row["region_name"],
        "kind": "subregion",
        "country": row["country_alpha2"],
        "parents": f"{row['country_alpha2']};WORLD",
        "latitude": row["latitude"],
        "longitude": row["longitude"],
        "timezone": row["timezone"],
        "system": system,
        "source": source,
        "verified": row["verified"],
    }


def zone(row: Row, known: set[str], alpha3: dict[str, str]) -> Row:
    """A zone of Electricity Maps, with the zones that it lies in, the nearest first."""
    code, own = row["region_code"], row["country_alpha2"]
    words = code.split("-")
    above = ["-".join(words[:n]) for n in range(len(words) - 1, 0, -1)]
    parents = [c for c in above if c in known or c == own]
    if code != own and own not in parents:
        parents.append(own)
    whole = code == own
    return {
        "code": code,
        "name": row["region_name"],
        "kind": "country" if whole else "subregion",
        "country": own,
        "alpha3": alpha3.get(own, "") if whole else "",
        "parents": ";".join([*parents, "WORLD"]),
        "latitude": row["latitude"],
        "longitude": row["longitude"],
        "timezone": row["timezone"],
        "system": "electricity maps",
        "source": "emaps-contrib",
        "verified": row["verified"],
    }
