# SPDX-License-Identifier: Apache-2.0
"""The catalog's tables of clouds, facilities and water."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from benchmarks.catalog_rules import (
    Fact,
    Row,
    by_range,
    by_rule,
    fact,
    read,
    source_key,
    spanning,
    write_attributes,
    write_facts,
)

SOURCES = (
    ("Green Software Foundation", "gsf-rtc"),
    ("Electricity Maps config/data_centers", "emaps-contrib"),
    ("codecarbon", "codecarbon-cloud"),
    ("Engineering range", "engineering-range"),
    ("AIGB", "aigb2026"),
    ("Uptime Institute", "uptime"),
    ("Google Data Centers", "google-env"),
    ("Google statements", "google-2009"),
    ("CNBC", "cnbc2022"),
    ("Elsworth", "elsworth2025"),
    ("Meta sustainability", "meta-env"),
    ("Microsoft", "microsoft-env"),
    ("DatacenterDynamics", "dcd2024"),
    ("AWS sustainability", "aws-env"),
    ("Equinix", "equinix-env"),
    ("OVHcloud", "ovh-env"),
    ("Making AI Less Thirsty code", "li2023"),
    ("Making AI Less Thirsty", "li2023"),
    ("Reig et al.", "wri-reig2020"),
    ("Aqueduct 4.0", "aqueduct4"),
    ("LBNL 2024", "lbnl2024"),
    ("LBNL 2016", "lbnl2016"),
)
# Values that stand in another region's row, or that nothing supports. azure/westus carries West
# US 2's PUE and WUE, which are those of Washington in Li et al.; aws/eu-south-2's market figure
# is of the same doubt.
BLANKED = {
    "azure/westus": ("pue", "wue_l_per_kwh", "cfe_annual_pct", "grid_ci_marginal_gco2e_per_kwh"),
    "aws/eu-south-2": ("market_ci_gco2e_per_kwh",),
}
CORRECTED = {("azure/westus2", "pue"): 1.156, ("azure/westus2", "wue_l_per_kwh"): 1.09}
LOCATIONS = {"azure/northeurope": "North Europe (Ireland)", "azure/westeurope":
             "West Europe (Netherlands)"}  # fmt: skip
TYPOS = {"gcp/me-cenrtal1": "gcp/me-central1"}
FLEET_VALUE = 3  # a figure that so many regions of a provider share is its fleet's
STATES = {  # region -> state whose row in `grid` holds it
    "aws/us-east-1": "US-VA", "aws/us-east-2": "US-OH", "aws/us-gov-east-1": "US-OH",
    "aws/us-gov-west-1": "US-OR", "aws/us-west-1": "US-CA", "aws/us-west-2": "US-OR",
    "azure/centralus": "US-IA", "azure/eastus": "US-VA", "azure/eastus2": "US-VA",
    "azure/eastus3": "US-GA", "azure/northcentralus": "US-IL", "azure/southcentralus": "US-TX",
    "azure/westcentralus": "US-WY", "azure/westus": "US-CA", "azure/westus2": "US-WA",
    "azure/westus3": "US-AZ", "gcp/us-central1": "US-IA", "gcp/us-east1": "US-SC",
    "gcp/us-east2": "US-GA", "gcp/us-east4": "US-VA", "gcp/us-east5": "US-OH",
    "gcp/us-south1": "US-TX", "gcp/us-west1": "US-OR", "gcp/us-west2": "US-CA",
    "gcp/us-west3": "US-UT", "gcp/us-west4": "US-NV", "ovhcloud/us-hillsboro": "US-OR",
    "ovhcloud/us-vint_hill": "US-VA", "aws/cn-north-1": "CN-BJ", "aws/cn-northwest-1": "CN-NX",
    "azure/chinaeast": "CN-SH", "azure/chinaeast2": "CN-SH", "azure/chinanorth": "CN-BJ",
    "azure/chinanorth2": "CN-BJ", "azure/chinanorth3": "CN-HE",
}  # fmt: skip
CLOUD = (  # column, year's column, quantity, rule, scale
    ("pue", "pue_year", "pue", "pue site", 1.0),
    ("wue_l_per_kwh", "wue_year", "wue_l_per_kwh", "wue site", 1.0),
    ("cfe_hourly_pct", "cfe_hourly_year", "cfe_hourly_ratio", "share", 0.01),
    ("cfe_annual_pct", "cfe_annual_year", "cfe_annual_ratio", "share", 0.01),
    ("provider_ci_gco2e_per_kwh", "provider_ci_year", "provider_g_per_kwh", "zone annual", 1.0),
    ("grid_ci_marginal_gco2e_per_kwh", "grid_ci_marginal_year", "marginal_g_per_kwh",
     "marginal", 1.0),
)  # fmt: skip
CLAIM = ("the provider's claim that it bought as much clean electricity over a year; no factor: "
         "never multiply with it")  # fmt: skip


def make(data: Path, out: Path) -> None:
    clouds = [corrected(r) for r in read(data / "cloud_regions.csv")]
    clouds = [r for r in clouds if region_key(r) not in TYPOS]
    write_facts(out / "cloud.csv", cloud_facts(clouds))
    fields = ["key", "provider", "region", "location", "country", "em_zone", "grid_zone",
              "latitude", "longitude", "aliases", "source", "verified"]  # fmt: skip
    subregions = read(data / "grid_subregions.csv")
    known = {r["region_code"] for r in subregions if r["kind"] != "em_zone"}
    write_attributes(out / "cloud_regions.csv", fields, [cloud_region(r, known) for r in clouds])
    write_facts(out / "facility.csv", facility_facts(read(data / "facilities.csv")))
    write_facts(out / "water.csv", water_facts(read(data / "water.csv")))


# --- Clouds ---------------------------------------------------------------------------------


def region_key(row: Row) -> str:
    return f"{row['provider']}/{row['region_id']}"


def corrected(row: Row) -> Row:
    key = region_key(row)
    made = dict(row) | dict.fromkeys(BLANKED.get(key, ()), "")
    made["location"] = LOCATIONS.get(key, row["location"])
    return made


def cloud_facts(rows: list[Row]) -> list[Fact]:
    shared = Counter(
        (r["provider"], column, r[column]) for r in rows for column, *_ in CLOUD if r[column]
    )
    found: list[Fact] = []
    for row in rows:
        key = region_key(row)
        for column, year, quantity, rule, scale in CLOUD:
            if not row[column]:
                continue
            source, note, own_rule = "gsf-rtc", "", rule
            if column == "grid_ci_marginal_gco2e_per_kwh":
                source, note = "watttime-gsf", "marginal, of another kind than an operating margin"
            fleet = shared[row["provider"], column, row[column]] >= FLEET_VALUE
            if column == "wue_l_per_kwh" and fleet:
                own_rule, note = "wue fleet", "several regions carry it: of a fleet or a design"
            most = 1.0 if quantity.endswith("_ratio") else float("inf")
            found.append(
                by_rule(
                    key, quantity, row[year] or row["year"], round(float(row[column]) * scale, 5),
                    own_rule, source, note=note, most=most, zero_high=0.05,
                    least=1.0 if quantity == "pue" else 0.0,
                )
            )  # fmt: skip
        if row["market_ci_gco2e_per_kwh"]:
            value = float(row["market_ci_gco2e_per_kwh"])
            found.append(
                fact(key, "matching_claim_g_per_kwh", row["market_ci_year"] or row["year"],
                     (value, value, value), "gsf-rtc", note=CLAIM)
            )  # fmt: skip
    for (key, quantity), value in CORRECTED.items():
        rule = "pue site" if quantity == "pue" else "wue site"
        note = "Washington; stood in the row of azure/westus"
        found.append(
            by_rule(key, quantity, 2023, value, rule, "li2023+gsf-rtc", verified="recall",
                    note=note, least=1.0 if quantity == "pue" else 0.0)
        )  # fmt: skip
    return found


def cloud_region(row: Row, known: set[str]) -> Row:
    key, em_zone = region_key(row), row["em_zone"]
    grid_zone = STATES.get(key) or (em_zone if em_zone in known else row["country_alpha2"])
    aliases = [row["location"], *(t.partition("/")[2] for t, k in TYPOS.items() if k == key)]
    return {
        "key": key,
        "provider": row["provider"],
        "region": row["region_id"],
        "location": row["location"],
        "country": row["country_alpha2"],
        "em_zone": em_zone,
        "grid_zone": grid_zone,
        "latitude": row["latitude"],
        "longitude": row["longitude"],
        "aliases": ";".join(dict.fromkeys(a for a in aliases if a)),
        "source": source_key(row["source"], SOURCES, every=True),
        "verified": row["verified"],
    }


# --- Facilities -----------------------------------------------------------------------------

KINDS = {
    "cooling": "cooling",
    "cooling_statement": "statement",
    "industry_average": "industry",
    "fleet": "fleet",
    "curve": "curve",
}
PUE_RULE = {"industry": "pue default", "fleet": "pue fleet", "statement": "pue default"}
ROOMS_NOTE = (
    "which of ordinary and AI rooms has the lower PUE is open: popular texts say ordinary, "
    "surveys (1.5 to 1.6 for all sites, 1.1 to 1.2 for the largest new ones) suggest AI"
)


def facility_facts(rows: list[Row]) -> list[Fact]:
    found: list[Fact | None] = []
    for row in rows:
        kind = KINDS[row["kind"]]
        if kind == "curve":
            continue  # a formula: it stands in the code that uses it; its floor is a fact
        key, verified = f"{kind}/{row['name']}", row["verified"]
        source = source_key(row["source"], SOURCES)
        note = row["note"]
        if kind == "statement":
            note = f"{note}; a range of a vendor, its middle as value"
        if kind == "industry":
            note = ROOMS_NOTE if row["year"] == "2024" else note
        partly = pue_was_read(row)
        found.append(
            by_range(
                key, "pue", row["year"], middle(row, "pue", ""), PUE_RULE.get(kind, "pue default"),
                source, verified="copy" if partly else verified, note=note,
            )
        )  # fmt: skip
        wue = by_range(
            key, "wue_l_per_kwh", row["year"], middle(row, "wue", "_l_per_kwh"), "wue fleet",
            source, verified=verified, note=note, zero_high=0.05,
        )  # fmt: skip
        found.append(wue)
        share = row["cooling_share_of_facility_energy_pct"]
        if share:
            found.append(
                by_rule(key, "cooling_share_ratio", row["year"], float(share) / 100,
                        "everyday", source, verified=verified, note="of facility energy")
            )  # fmt: skip
    found.append(
        fact("curve/cooling_tower", "wue_l_per_kwh", 2023, (0.05, 0.0, 0.1), "li2023",
             note="least of the curve; the curve itself is a formula of wet-bulb temperature")
    )  # fmt: skip
    return [at_least_one(f) for f in found if f is not None]


def pue_was_read(row: Row) -> bool:
    """Whether the PUE of a recalled row was read, as its note says."""
    return "PUE from a stored copy" in row["note"]


def middle(row: Row, what: str, unit: str) -> tuple[str, str, str]:
    low, typical, high = (row[f"{what}_{end}{unit}"] for end in ("low", "typical", "high"))
    if not typical and low and high:
        typical = f"{(float(low) + float(high)) / 2:.4g}"
    return typical, low, high


def at_least_one(row: Fact) -> Fact:
    """A PUE below 1 there is not."""
    if row.quantity != "pue" or row.low >= 1:
        return row
    return Fact(**{**row.__dict__, "low": 1.0})


# --- Water ----------------------------------------------------------------------------------

RESERVOIRS = "with evaporation of hydropower's reservoirs"


def water_facts(rows: list[Row]) -> list[Fact]:
    found: list[Fact | None] = []
    sites = {r["region_code"]: float(r["value"]) for r in rows
             if r["quantity"] == "ewif_consumption_site"}  # fmt: skip
    for row in rows:
        source, quantity = source_key(row["source"], SOURCES), row["quantity"]
        code, year, verified = row["region_code"], row["year"], row["verified"]
        if quantity == "baseline_water_stress_category":
            value = float(row["value"])
            found.append(
                fact(code, "stress_category", year, (value, value, value), source,
                     note=f"baseline water stress: {row['label']}")
            )  # fmt: skip
        elif quantity == "ewif_consumption":
            made = by_rule(code, "ewif_l_per_kwh", year, row["value"], "water", source,
                           verified=verified, note=RESERVOIRS, zero_high=0.1)  # fmt: skip
            others = [sites[code]] if code in sites else []
            if code == "US":
                others += [4.35]  # LBNL 2024, national grid average
            found.append(spanning(made, *others) if others else made)
        elif quantity in SITE:
            name, rule = SITE[quantity]
            found.append(
                by_rule(f"microsoft/{code}", name, year, row["value"], rule, source,
                        verified=verified, zero_high=0.05,
                        least=1.0 if name == "pue" else 0.0,
                        note=f"{row['label']} in {row['region_name']}"
                        + (f", {RESERVOIRS}" if name == "ewif_l_per_kwh" else ""))
            )  # fmt: skip
        elif quantity in US_CENTRES:
            key = "us-grid" if "national grid" in row["region_name"] else "us-datacentres"
            found.append(
                by_rule(key, US_CENTRES[quantity], year, row["value"], "water", source,
                        verified=verified, note=row["region_name"])
            )  # fmt: skip
        elif quantity != "ewif_consumption_by_fuel":  # which stands in generation.csv
            raise ValueError(quantity)
    return [f for f in found if f is not None]


SITE = {
    "site_pue": ("pue", "pue site"),
    "site_wue": ("wue_l_per_kwh", "wue site"),
    "ewif_consumption_site": ("ewif_l_per_kwh", "water"),
}
US_CENTRES = {
    "us_datacenter_indirect_water": "ewif_l_per_kwh",
    "us_datacenter_wue": "wue_l_per_kwh",
}
