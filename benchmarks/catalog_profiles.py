# SPDX-License-Identifier: Apache-2.0
"""The catalog's month-by-hour profiles: relative, so that no hourly series is passed on.

A profile is the mean of each month and UTC hour over the annual mean: 288 numbers with three
digits, January 00h first, hours running fastest.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from benchmarks.catalog_rules import Row, read, write_attributes

FIELDS = ["profile_id", "zone", "is_default", "year", "signal", "scope", "flow", "method",
          "timezone", "source", "verified", "note", "values"]  # fmt: skip
SOURCES = {
    "lwa": "wiesner2021",
    "eia": "eia930-hp",
    "em_2024": "emaps-hp",
    "em_2022": "emaps-umass",
}
NOTES = {
    "lwa": "IPCC SRREN medians by fuel, with imports",
    "eia": "factors by fuel of one pipeline, of generation",
    "em": "",
}
FLOWS = {"lwa": "consumption", "eia": "production", "em": "consumption"}


def make(data: Path, out: Path) -> None:
    by_profile: dict[str, list[Row]] = defaultdict(list)
    for row in read(data / "profiles.csv"):
        by_profile[row["profile_id"]].append(row)
    made = [profile(name, rows) for name, rows in by_profile.items()]
    for file, wanted in (("profiles_odbl.csv", True), ("profiles.csv", False)):
        rows = [r for r in made if r["profile_id"].startswith("em_") == wanted]
        write_attributes(out / file, FIELDS, rows)


def profile(name: str, rows: list[Row]) -> Row:
    ordered = sorted(rows, key=lambda r: (int(r["month"]), int(r["hour"])))
    if [(int(r["month"]), int(r["hour"])) for r in ordered] != [
        (month, hour) for month in range(1, 13) for hour in range(24)
    ]:
        raise ValueError(f"{name} has not 12 × 24 values")
    first, maker = ordered[0], name.partition("_")[0]
    source = SOURCES.get(maker) or SOURCES[f"{maker}_{first['year']}"]
    return {
        "profile_id": name,
        "zone": first["zone"],
        "is_default": first["is_default"],
        "year": first["year"],
        "signal": "average",
        "scope": "lifecycle",
        "flow": FLOWS[maker],
        "method": "location",
        "timezone": first["timezone"],
        "source": source,
        "verified": "derived",
        "note": NOTES[maker],
        "values": " ".join(f"{float(r['relative_ci_utc']):.3f}" for r in ordered),
    }
