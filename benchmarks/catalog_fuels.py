# SPDX-License-Identifier: Apache-2.0
"""The catalog's table of what a kilowatt-hour of each fuel brings along: carbon and water.

A plain key (``coal``) is the row to use. Its value is the one of the source that is named first;
its interval spans the central values of all sources and technologies without capture, and 10 %
(standard) beyond. Keys of detail (``coal:subcritical:tower:macknick2012``) are what one source
says of one technology. Factors of Electricity Maps' configuration stand in a file of their own.
"""

from __future__ import annotations

import math
from pathlib import Path

from benchmarks.catalog_rules import (
    NORMAL_95,
    Fact,
    Row,
    by_range,
    fact,
    read,
    slug,
    source_key,
    write_facts,
)

SOURCES = (
    ("IPCC AR5", "ipcc-ar5"),
    ("IPCC SRREN", "ipcc-srren"),
    ("UNECE", "unece2021"),
    ("NREL Life Cycle", "nrel2021"),
    ("Macknick", "macknick2012"),
    ("Electricity Maps defaults", "emaps-contrib"),
)
HYDRO_FLOOR = (24.0, 3.3, 182.0)  # value, low, high of `hydro` below [g/kWh]
MIX_G_PER_KWH = {  # lifecycle factors with which a mix is checked: IPCC AR5 medians, oil NREL
    "coal": 820.0, "gas": 490.0, "oil": 840.0, "nuclear": 12.0, "hydro": 24.0, "wind": 11.0,
    "solar": 48.0, "bioenergy": 230.0, "geothermal": 38.0, "storage": 380.0, "unknown": 650.0,
    "other_fossil": 640.0,
}  # fmt: skip
BEYOND = math.exp(NORMAL_95 * 0.10)

# Oil's direct factor from the carbon in the fuel: 74.1 (diesel) to 77.4 (residual fuel oil) kg
# CO2/GJ (IPCC 2006, volume 2, table 2.2) at 38 to 42 % efficiency. A figure of 406 that goes
# about would need 65 %.
OIL_DIRECT = (700.0, 635.0, 735.0)
LIFECYCLE_FIRST = {  # fuel -> technology and source of its value
    "coal": ("pulverised coal", "ipcc-ar5"),
    "gas": ("combined cycle", "ipcc-ar5"),
    "oil": ("oil", "nrel2021"),
    "nuclear": ("nuclear", "ipcc-ar5"),
    "hydro": ("hydropower", "ipcc-ar5"),
    "wind": ("onshore", "ipcc-ar5"),
    "solar": ("PV utility", "ipcc-ar5"),
    "bioenergy": ("dedicated biomass", "ipcc-ar5"),
    "geothermal": ("geothermal", "ipcc-ar5"),
    "ocean": ("tidal and wave", "ipcc-ar5"),
}
OWN_RANGE_TOO = {"bioenergy", "geothermal", "gas"}  # whose first source's range is not extremes
# Water: value, low, high [L/kWh] of the plain keys. Value: the median over tower, once-through
# and pond of Macknick's generic (gas: combined cycle) medians; interval: his least to his most
# central value over cooling systems, dry ones apart. Oil burns in steam plants as gas does.
LI_OIL_L_PER_KWH = 1.3249  # 350 gal/MWh, Li et al. 2023
WATER = {
    "coal": ((2.063, 0.3785, 4.164), (46.28, 1.8927, 189.27)),
    "gas": ((0.776, 0.0757, 3.1268), (22.52, 0.5678, 132.49)),
    "oil": ((LI_OIL_L_PER_KWH, 0.3596, 4.4289), (24.6, 3.5961, 227.12)),
    "nuclear": ((2.3091, 0.3785, 3.1987), (26.69, 1.8927, 227.12)),
    "bioenergy": ((1.4763, 0.8896, 3.6529), (3.3236, 1.1356, 189.27)),
    "geothermal": ((1.0221, 0.0189, 1.9116), (1.0221, 0.0189, 1.9116)),
    "wind": ((0.0, 0.0, 0.0038), (0.0, 0.0, 0.0038)),
    "solar": ((0.0038, 0.0, 0.0984), (0.0038, 0.0, 0.0984)),
    "other_fossil": ((1.3249, 0.0757, 4.4289), (24.6, 0.5678, 227.12)),
}
HYDRO_L_PER_KWH = (17.0003, 5.3942, 68.1374)
CONSUMPTION, WITHDRAWAL = "water_consumption_l_per_kwh", "water_withdrawal_l_per_kwh"


def make(data: Path, out: Path) -> None:
    rows = read(data / "emission_factors.csv")
    own = [r for r in rows if "Electricity Maps" not in r["source"]]
    theirs = [r for r in rows if "Electricity Maps" in r["source"]]
    water = read(data / "water.csv")
    facts = [f for r in own for f in detail(r)] + [f for r in water for f in li_detail(r)]
    facts += plain_carbon(own) + plain_water()
    write_facts(out / "generation.csv", facts)
    write_facts(out / "generation_odbl.csv", [f for r in theirs for f in detail(r)])


def detail(row: Row) -> list[Fact]:
    """What one source says of one technology."""
    source = source_key(row["source"], SOURCES)
    words = [row["fuel"].replace(" ", "_"), slug(row["technology"].replace(",", " "))]
    if row["cooling"] != "n/a":
        words.append(row["cooling"])
    if row["ccs"] == "yes":
        words.append("capture")
    key = ":".join([*words, source])
    found = []
    for word, quantity in (
        ("lifecycle", "lifecycle_g_per_kwh"),
        ("direct", "direct_g_per_kwh"),
        ("water_consumption", CONSUMPTION),
        ("water_withdrawal", WITHDRAWAL),
    ):
        unit = "l_per_kwh" if word.startswith("water") else "gco2e_per_kwh"
        low, value, high = (row[f"{word}_{end}_{unit}"] for end in ("low", "median", "high"))
        if word == "direct" and "oil" in words[0] and value == "406.0":
            continue  # stands corrected in the plain row: it would need 65 % efficiency
        found.append(
            by_range(
                key, quantity, row["year"], (value, low, high), "factor", source,
                verified=row["verified"], range_verified=row["range_verified"],
                note=row["note"], zero_high=5.0 if word == "direct" else 0.01,
            )
        )  # fmt: skip
    return [f for f in found if f is not None]


def li_detail(row: Row) -> list[Fact]:
    """Water by fuel as one paper on AI uses it, with hydropower's evaporation left out."""
    if row["quantity"] != "ewif_consumption_by_fuel":
        return []
    made = by_range(
        f"{row['region_code']}:li2023", CONSUMPTION, row["year"], (row["value"], "", ""), "water",
        "li2023", verified=row["verified"], note=f"{row['label']}; hydropower set to zero there",
        zero_high=0.1 if row["region_code"] != "hydro" else HYDRO_L_PER_KWH[0],
    )  # fmt: skip
    return [made] if made else []


def plain_carbon(rows: list[Row]) -> list[Fact]:
    found = []
    for fuel, (technology, first) in LIFECYCLE_FIRST.items():
        members = [
            (source_key(r["source"], SOURCES), r["technology"], r)
            for r in rows
            if r["fuel"] == fuel and r["ccs"] == "no" and r["lifecycle_median_gco2e_per_kwh"]
            and r["technology"] != "biomass co-firing"  # which is mostly coal
        ]  # fmt: skip
        central = [float(r["lifecycle_median_gco2e_per_kwh"]) for _, _, r in members]
        chosen = next(r for s, t, r in members if (s, t) == (first, technology))
        value = float(chosen["lifecycle_median_gco2e_per_kwh"])
        ends = min(central) / BEYOND, max(central) * BEYOND
        source = "+".join(dict.fromkeys([first, *sorted(s for s, _, _ in members)]))
        note = f"spans {len(central)} central values, {min(central):g} to {max(central):g}"
        if fuel == "oil":
            ends = 650 / BEYOND, ends[1] * 1.2
            note += "; 650 (UK POST) and steam plants of less efficiency within"
        if fuel in OWN_RANGE_TOO:
            low, high = (
                float(chosen[f"lifecycle_{end}_gco2e_per_kwh"]) for end in ("low", "high")
            )
            ends = min(low, ends[0]), max(high, ends[1])
        if fuel == "hydro":
            note += "; single reservoirs with much biogenic methane reach 2200"
            ends = HYDRO_FLOOR[1:]
        found.append(
            fact(fuel, "lifecycle_g_per_kwh", chosen["year"], (value, *ends), source, note=note)
        )
        found.append(direct(fuel, chosen))
    note = "gas, oil, shale and waste that a table does not tell apart: from gas to coal"
    found.append(
        fact("other_fossil", "lifecycle_g_per_kwh", 2014, (640.0, 410.0, 1001.0),
             "ipcc-ar5+nrel2021", verified="derived", note=note)
    )  # fmt: skip
    found.append(
        fact("other_fossil", "direct_g_per_kwh", 2014, (520.0, 350.0, 870.0), "ipcc-ar5",
             verified="derived", note=note)
    )  # fmt: skip
    return found


def direct(fuel: str, row: Row) -> Fact:
    """Stack emissions: the source's own where it burns, zero where it does not."""
    quantity = "direct_g_per_kwh"
    if fuel == "oil":
        note = "carbon in the fuel over 38 to 42 % efficiency; not 406, which would need 65 %"
        return fact("oil", quantity, 2006, OIL_DIRECT, "ipcc2006", verified="derived", note=note)
    if fuel in {"coal", "gas"}:
        low, value, high = (
            float(row[f"direct_{end}_gco2e_per_kwh"]) for end in ("low", "median", "high")
        )
        return fact(fuel, quantity, row["year"], (value, low, high), "ipcc-ar5")
    note = "biogenic CO2 is not counted" if fuel == "bioenergy" else "nothing burns"
    if fuel == "geothermal":
        note = "closed plants emit nothing; open ones some of the field's CO2"
    high = {"bioenergy": 40.0, "geothermal": 60.0}.get(fuel, 1.0)
    return fact(fuel, quantity, row["year"], (0.0, 0.0, high), "ipcc-ar5", note=note)


def plain_water() -> list[Fact]:
    found = []
    for fuel, (consumed, withdrawn) in WATER.items():
        source = "macknick2012+li2023" if "oil" in fuel or "fossil" in fuel else "macknick2012"
        note = "median over cooling systems; interval over their central values, dry ones apart"
        if fuel in {"other_fossil", "oil"}:
            note = "as steam plants burning gas"
        for quantity, numbers in ((CONSUMPTION, consumed), (WITHDRAWAL, withdrawn)):
            found.append(
                fact(fuel, quantity, 2012, numbers, source, verified="derived", note=note)
            )
    note = "gross evaporation of reservoirs, all of it put on hydropower, which is contested"
    found.append(fact("hydro", CONSUMPTION, 2012, HYDRO_L_PER_KWH, "macknick2012", note=note))
    found.append(
        fact("hydro", WITHDRAWAL, 2012, (0.0, 0.0, 0.1), "macknick2012", verified="derived",
             note="water that stays in the stream is not withdrawn")
    )  # fmt: skip
    found.append(
        fact("hydro:without-reservoirs", CONSUMPTION, 2012, (0.0, 0.0, 0.1), "macknick2012",
             verified="derived", note="in the stream, evaporation of reservoirs left out")
    )  # fmt: skip
    return found
