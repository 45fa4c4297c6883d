# SPDX-License-Identifier: Apache-2.0
"""Make catalog/data/grid_spread.csv: how far an hour, a year, a place may be from its figure.

    python -m benchmarks.grid_spread --data FOLDER

Every doubt that `submeter.grid` adds to an annual figure is measured here, on hourly traces and
on the yearly history of zones. All are standard deviations of the logarithm.
"""

import argparse
import csv
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.grid_traces import Hourly, read_traces
from submeter.catalog.facts import fact, has
from submeter.catalog.tables import rows as catalog_rows
from submeter.grid.factors import CONSUMED, DIRECT, LIFECYCLE, WORLD, mix_of

OUT = Path(__file__).parents[1] / "src" / "submeter" / "catalog" / "data" / "grid_spread.csv"
WINDOWS_H = (1, 6, 24, 168, 730)
FIELDS = ("key", "value", "low", "high", "unit", "level", "source", "year", "licence",
          "verified", "note")  # fmt: skip
TRACES = ("hourly traces of 2020 to 2024: ENTSO-E by Wiesner et al. 2021, EIA-930 by SustainDC,"
          " Electricity Maps by SustainCluster and Sukprasert et al. 2024")  # fmt: skip
HISTORY = "Electricity Maps yearly zone data 2021 to 2025, as republished in CO2.js"
# Two years of one zone: profile of the first, hours of the second.
PAIRS = (
    ("em_US-CAL-CISO_2022_1h", "em_US-CAL-CISO_2024_1h"),
    ("lwa_DE_2020_30min", "em_DE_2024_1h"),
    ("lwa_GB_2020_30min", "em_GB_2024_1h"),
    ("eia_US-MIDA-PJM_2022_1h", "em_US-MIDA-PJM_2024_1h"),
    ("eia_US-NY-NYIS_2022_1h", "em_US-NY-NYIS_2024_1h"),
)
PRODUCTION_PAIRS = (("eia_US-CAL-CISO_2022_1h", "em_US-CAL-CISO_2022_1h"),)

Floats = NDArray[np.float64]


def rms(values: Iterable[float]) -> float:
    found = [v for v in values if math.isfinite(v)]
    return math.sqrt(sum(v * v for v in found) / len(found))


def robust_sd(values: Iterable[float]) -> float:
    return float(1.4826 * np.median(np.abs(np.array(list(values)))))


def window_sds(values: Floats, expected: Floats) -> list[float]:
    """How far the mean of a window is from the expected one, by length of the window."""
    found = []
    for hours in WINDOWS_H:
        n = len(values) // hours
        shape = (n, hours)
        real = np.nanmean(values[: n * hours].reshape(shape), axis=1)
        told = np.nanmean(expected[: n * hours].reshape(shape), axis=1)
        found.append(rms(np.log(real / told).tolist()))
    return found


def of_profiles(traces: Mapping[str, Hourly]) -> list[dict[str, object]]:
    """Each zone's hours around its own profile, and what a profile loses from year to year."""
    rows = []
    own = {}
    for name, t in traces.items():
        own[name] = window_sds(t.values, t.mean * t.profile[t.months, t.hours])
        for hours, sd in zip(WINDOWS_H, own[name], strict=True):
            note = f"mean of {hours} h against annual mean x month-by-hour profile, same year"
            rows.append(row(f"profile/{name}/{hours}h", sd, note))
    ratios = []
    for first, second in [*PAIRS, *((b, a) for a, b in PAIRS)]:
        a, b = traces[first], traces[second]
        told = b.mean * a.profile[b.months, b.hours]
        for sd, of_own in zip(window_sds(b.values, told), own[second], strict=True):
            ratios.append(math.sqrt(max(0.0, sd**2 - of_own**2)) / own[first][0])
    note = (
        f"doubt of the shape in another year / hourly doubt of the profile, {len(PAIRS)} zones of"
        " two years, both ways, all windows"
    )
    rows.append(row("profile-other-year", rms(ratios), note, "ratio"))
    for hours in WINDOWS_H:
        at = WINDOWS_H.index(hours)
        high = float(np.quantile([sds[at] for sds in own.values()], 0.9))
        rows.append(row(f"profile/other/{hours}h", high, "90 % quantile over the profiles"))
    return rows


def of_flat_years(
    traces: Mapping[str, Hourly], shares: Mapping[str, tuple[float, float]]
) -> list[dict[str, object]]:
    """Hours around the year alone, by shares: sd2 = a2 clean2 + b2 variable2, times a margin."""
    sds = {n: window_sds(t.values, np.full_like(t.values, t.mean)) for n, t in traces.items()}
    known = [n for n, t in traces.items() if t.zone in shares]
    design = np.array([[shares[traces[n].zone][0] ** 2, shares[traces[n].zone][1] ** 2]
                       for n in known])  # fmt: skip
    target = np.array([sds[n][0] ** 2 for n in known])
    weight = 1 / target  # relative errors count alike
    solved, *_ = np.linalg.lstsq(design * weight[:, None], target * weight, rcond=None)
    if min(solved) < 0:
        best = int(np.argmax(solved))
        alone = float((design[:, best] * target * weight**2).sum()
                      / (design[:, best] ** 2 * weight**2).sum())  # fmt: skip
        solved = np.array([alone if i == best else 0.0 for i in range(2)])
    fitted = np.sqrt(design @ solved)
    margin = float(np.quantile(np.sqrt(target) / fitted, 0.9))
    a, b = (margin * math.sqrt(v) for v in solved)
    note = f"fitted on {len(known)} zone-years, then raised x {margin:.2f} to hold 90 % of them"
    rows = [
        row("flat-carbon-free", a, f"per share of carbon-free generation; {note}"),
        row("flat-variable", b, f"per share of wind and solar; {note}"),
    ]
    for at, hours in enumerate(WINDOWS_H):
        part = float(np.median([s[at] / s[0] for s in sds.values()]))
        text = "doubt of a window / of an hour, median of the zone-years"
        rows.append(row(f"flat-window/{hours}h", part, text, "ratio"))
    return rows


def of_years(data: Path) -> list[dict[str, object]]:
    """Prior of a zone's yearly change: the smallest that holds the last change of 95 %.

    A zone with changes d_1 .. d_n has sd2 = (2 prior2 + sum d2) / (2 + n).
    """
    history: dict[str, dict[int, float]] = defaultdict(dict)
    for line in table(data / "grid_zone_history.csv"):
        value = float(line["carbon_intensity_gco2e_per_kwh"] or 0)
        if value > 0:
            history[line["zone"]][int(line["year"])] = value
    steps = [
        [math.log(zone[y + 1] / zone[y]) for y in sorted(zone) if y + 1 in zone]
        for zone in history.values()
    ]
    tests = [(s[:-1], s[-1]) for s in steps if len(s) > 1]

    def held(prior: float) -> float:
        sds = [math.sqrt((2 * prior**2 + sum(d * d for d in s)) / (2 + len(s))) for s, _ in tests]
        return sum(abs(d) <= 1.96 * sd for (_, d), sd in zip(tests, sds, strict=True)) / len(tests)

    prior = next(p / 1000 for p in range(1, 1000) if held(p / 1000) >= 0.95)
    by_lag = [
        rms(math.log(z[y + lag] / z[y]) for z in history.values() for y in z if y + lag in z)
        for lag in range(1, 5)
    ]
    lags = ", ".join(f"{sd:.3f}" for sd in by_lag)
    every = f"{sum(map(len, steps))} yearly changes of {len(steps)} zones"
    walk = f"over 1 to 4 years {lags}: grows with the square root of the years"
    return [
        row("drift-prior", prior, f"weighs as two changes; holds the last change of 95 % of"
            f" {len(tests)} zones", source=HISTORY),
        row("drift-any", by_lag[0], f"root mean square of {every}; {walk}", source=HISTORY),
    ]  # fmt: skip


def of_places(data: Path) -> list[dict[str, object]]:
    """Zones around their country, countries around the world, makers and kinds around another."""
    countries = {line["country_alpha2"]: line for line in table(data / "grid_countries.csv")}
    inside: dict[str, list[float]] = defaultdict(list)  # ES: islands off a whole mainland
    for line in table(data / "grid_zone_history.csv"):
        zone, code = line["zone"], line["country_alpha2"]
        whole = number(countries.get(code, {}), "consumption_ci_lifecycle_2024_gco2e_per_kwh")
        value = float(line["carbon_intensity_gco2e_per_kwh"] or 0)
        if code not in {zone, "ES"} and line["year"] == "2024" and whole and value:
            inside[code].append(math.log(value / whole))
    many = {code: found for code, found in sorted(inside.items()) if len(found) >= 4}
    rows = [
        row(f"country/{code}", robust_sd(found), f"{len(found)} zones around their country",
            source=HISTORY)
        for code, found in many.items()
    ]  # fmt: skip
    middle = float(np.median([robust_sd(found) for found in many.values()]))
    rows.append(row("country/other", middle, "median of the countries with four zones or more",
                    source=HISTORY))  # fmt: skip
    world = number(countries["WORLD"], "carbon_intensity_gco2e_per_kwh")
    far, weights = [], []
    for code, line in countries.items():
        value = number(line, "carbon_intensity_gco2e_per_kwh")
        twh = number(line, "generation_twh")
        if len(code) == 2 and value and twh:
            far.append(math.log(value / world))
            weights.append(twh)
    square = float(np.average(np.square(far), weights=weights))
    note = f"{len(far)} countries around the world, by generation"
    rows.append(row("world", math.sqrt(square), note, source="Ember yearly electricity data"))
    return [*rows, *around_world()]


def around_world() -> list[dict[str, object]]:
    """Single places around the world's mean, each counted once: nobody knows where a run is.

    Places are the zones of Electricity Maps that have no parts, and the countries without any.
    A generation-weighted spread would leave out the small clean grids in which machines stand.
    """
    zones = [
        line for line in catalog_rows("zones_odbl") if has("grid_odbl", line["code"], CONSUMED)
    ]
    whole = {parent for line in zones for parent in line["parents"].split(";")}
    covered = {line["country"] for line in zones}
    others = [line["code"] for line in catalog_rows("zones")
              if line["kind"] == "country" and line["code"] not in covered
              and has("grid", line["code"], LIFECYCLE)]  # fmt: skip
    parts = [line["code"] for line in zones if line["code"] not in whole]
    far = [fact("grid_odbl", code, CONSUMED, year=2024).value for code in parts]
    far += [fact("grid", code, LIFECYCLE).value for code in others]
    low, high = np.quantile(far, [0.025, 0.975]) / fact("grid", WORLD, LIFECYCLE).value
    countries = [*others, *sorted(covered)]
    stacks = [one for one in map(from_stacks, countries) if one is not None]
    world = from_stacks(WORLD) or math.nan
    least = float(np.quantile(stacks, 0.05)) / world
    each = f"{len(far)} places, each counted once, over the world's mean"
    both = f"{HISTORY}; Ember yearly electricity data"
    return [
        row("world-low", float(low), f"2.5 % quantile of {each}", "ratio", both),
        row("world-high", float(high), f"97.5 % quantile of {each}", "ratio", both),
        row("world-direct-low", least, f"5 % quantile of the direct figures of {len(stacks)}"
            " countries over the world's; 2.5 % of them have no stack at all", "ratio",
            "Ember yearly electricity data"),
    ]  # fmt: skip


def from_stacks(code: str) -> float | None:
    """Direct figure of the row *code* itself: official, else its mix times factors by fuel."""
    if has("grid", code, DIRECT):
        return fact("grid", code, DIRECT).value
    mixed = mix_of(code, "direct_g_per_kwh")
    return None if mixed is None else mixed.value


def of_kinds(traces: Mapping[str, Hourly]) -> list[dict[str, object]]:
    """Profiles of one zone-year in two kinds, and of two zones of one country."""
    direct = [
        rms(np.log(t.direct_profile / t.profile).ravel().tolist())
        for t in traces.values()
        if t.direct_profile is not None
    ]
    flow = [rms(np.log(traces[a].profile / traces[b].profile).ravel().tolist())
            for a, b in PRODUCTION_PAIRS]  # fmt: skip
    near = []
    newest = {t.zone: t for t in sorted(traces.values(), key=lambda t: t.year)}
    zones = sorted(newest)
    for i, one in enumerate(zones):
        for other in zones[i + 1 :]:
            if one[:2] == other[:2]:
                ratio = np.log(newest[one].profile / newest[other].profile)
                near.append(rms(ratio.ravel().tolist()))
    return [
        row("proxy-scope", rms(direct), f"direct against lifecycle, {len(direct)} zone-years"),
        row("proxy-flow", rms(flow), "production against consumption, one zone-year"),
        row("proxy-place", rms(near), f"{len(near)} pairs of zones of one country"),
    ]


def row(
    key: str, value: float, note: str, unit: str = "log sd", source: str = TRACES
) -> dict[str, object]:
    shown = f"{value:.4g}"
    return dict(zip(FIELDS, (key, shown, shown, shown, unit, "0.68", source, 2024,
                             "statistics derived from ODbL and CC BY data", "derived", note),
                    strict=True))  # fmt: skip


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def number(line: Mapping[str, str], field: str) -> float:
    return float(line.get(field) or 0)


def zone_shares(data: Path) -> dict[str, tuple[float, float]]:
    """Carbon-free share, and that of wind and solar, of each zone with a mix."""
    found = {}
    lines: Sequence[Mapping[str, str]] = table(data / "grid_subregions.csv")
    lines = [line for line in lines if line["kind"] == "em_zone"]
    for line in lines:
        wind, solar = number(line, "share_wind_pct"), number(line, "share_solar_pct")
        clean = wind + solar + sum(number(line, f"share_{fuel}_pct")
                                   for fuel in ("nuclear", "hydro"))  # fmt: skip
        clean += number(line, "share_geothermal_other_renewable_pct")
        if clean or number(line, "share_gas_pct") or number(line, "share_coal_pct"):
            found[line["region_code"]] = (clean / 100, (wind + solar) / 100)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    traces = read_traces(data / "traces")
    rows = [
        *of_profiles(traces),
        *of_flat_years(traces, zone_shares(data)),
        *of_years(data),
        *of_places(data),
        *of_kinds(traces),
    ]
    with OUT.open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, FIELDS, lineterminator="\n")
        out.writeheader()
        out.writerows(sorted(rows, key=lambda r: str(r["key"])))
    print(f"{len(rows)} rows to {OUT}")


if __name__ == "__main__":
    main()
