# SPDX-License-Identifier: Apache-2.0
"""How often what a grid really did lies in the interval that submeter gives offline.

    python -m benchmarks.grid_coverage --data FOLDER [--out docs/accuracy-grid.md]

For each hourly trace of the fact folder, spans of 1 h to 1 month begin at random; the mean of
the trace over the span is compared with `submeter.grid.intensity` of that zone and time. The
profiles were made from these traces, so a second table goes without, as for a grid whose hours
nobody has published. Above them stand the spreads that widen the intervals.
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.grid_traces import Hourly, read_traces
from submeter.catalog.tables import rows
from submeter.grid.annual import annual_of
from submeter.grid.place import resolve_place
from submeter.grid.spreads import flat_sd
from submeter.grid.traces import intensity, mix_shares
from submeter.grid.weighting import widened_ratios
from submeter.records.places import Zone

SPANS_H = (1, 24, 168, 730)
DRAWS = 200

Interval = tuple[float, float]  # [g/kWh]
Ask = Callable[[Zone, int, float, float], Interval]


def with_profile(zone: Zone, _year: int, start_s: float, end_s: float) -> Interval:
    made = intensity(zone, start_s, end_s)
    mean = math.fsum(v for v in made.values if v is not None) / len(made.values)
    return mean * made.low_ratio, mean * made.high_ratio


def flat(zone: Zone, year: int, start_s: float, end_s: float) -> Interval:
    annual = annual_of(zone, year)
    own = annual.factor
    sd = flat_sd(*mix_shares(annual.code), (end_s - start_s) / 3600)
    low, high = widened_ratios(own.low / own.value, own.high / own.value, sd)
    return own.value * low, own.value * high


def covered(name: str, real: Hourly, ask: Ask, hours: int) -> tuple[float, float]:
    """Part of the spans in the interval, and median width of it (high over low)."""
    rng = np.random.default_rng([int.from_bytes(name.encode(), "little") % 2**32, hours])
    zone = resolve_place(argument=real.zone)
    begin_s = np.datetime64(f"{real.year}-01-01", "s").astype(int)
    inside, widths = 0, []
    for first in rng.integers(0, len(real.values) - hours, DRAWS):
        seen = float(np.nanmean(real.values[first : first + hours]))
        start_s = float(begin_s + first * 3600)
        low, high = ask(zone, real.year, start_s, start_s + hours * 3600)
        inside += low <= seen <= high
        widths.append(high / low)
    return inside / DRAWS, float(np.median(widths))


def spreads() -> list[str]:
    """The rows of grid_spread.csv that are not of single profiles."""
    lines = ["| row | value | what it is |", "| --- | ---: | --- |"]
    lines += [
        f"| `{row['key']}` | {float(row['value']):.3f} | {row['note']} |"
        for row in rows("grid_spread")
        if not row["key"].startswith("profile/") or row["key"].startswith("profile/other")
    ]
    return lines


def page(data: Path) -> str:
    found = read_traces(data / "traces")
    lines = [
        "# Doubt of the grid, measured",
        "",
        "Made by `benchmarks/grid_coverage.py`; [grid.md](grid.md) says what it is for.",
        "",
        "## Spreads",
        "",
        "Standard deviations of the logarithm, made by `benchmarks/grid_spread.py`; `flat-window`"
        " and `profile-other-year` are ratios.",
        "",
        *spreads(),
        "",
        "## How often the grid was within the interval",
        "",
        f"{DRAWS} spans each, begun at random: part of them within the 95 % interval, and how wide"
        " that is (high over low).",
        "",
    ]
    for title, ask in (
        ("With the profile of the zone", with_profile),
        ("Without a profile: flat year", flat),
    ):
        lines += [f"### {title}", "", "| trace | " + " | ".join(f"{h} h" for h in SPANS_H) + " |",
                  "| --- |" + " ---: |" * len(SPANS_H)]  # fmt: skip
        every: dict[int, list[float]] = {h: [] for h in SPANS_H}
        for name, real in sorted(found.items()):
            cells = []
            for hours in SPANS_H:
                part, width = covered(name, real, ask, hours)
                every[hours].append(part)
                cells.append(f"{part:.0%} (×{width:.1f})")
            lines.append(f"| {name} | {' | '.join(cells)} |")
        means = [f"{np.mean(every[h]):.0%}" for h in SPANS_H]
        lines += [f"| **all** | {' | '.join(means)} |", ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    text = page(options.data)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
