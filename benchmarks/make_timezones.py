# SPDX-License-Identifier: Apache-2.0
"""Make catalog/data/timezones.csv: IANA time zones that lie in one country.

    python -m benchmarks.make_timezones [--data /usr/share/zoneinfo]

The tz database is in the public domain. ``zone.tab`` names the country of each zone that people
choose. Old names (Asia/Calcutta) are links; one is taken only where ``zone1970.tab`` has a single
country at its target, since many old names point to another country that kept the same time.
"""

import argparse
import csv
from pathlib import Path

OUT = Path(__file__).parents[1] / "src" / "submeter" / "catalog" / "data" / "timezones.csv"


def countries(data: Path) -> dict[str, str]:
    found = {cells[2]: cells[0] for cells in _table(data / "zone.tab")}
    alone = {cells[2]: cells[0] for cells in _table(data / "zone1970.tab") if "," not in cells[0]}
    for line in (data / "tzdata.zi").read_text(encoding="utf-8").splitlines():
        if line.startswith("L "):
            _, target, name = line.split()
            if target in alone and not target.startswith("Etc/"):
                found.setdefault(name, alone[target])
    return found


def _table(path: Path) -> list[list[str]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("#")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("/usr/share/zoneinfo"))
    data = parser.parse_args().data
    version = (data / "tzdata.zi").read_text(encoding="utf-8").split("\n", 1)[0]
    rows = sorted(countries(data).items())
    with OUT.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(("key", "country", "source", "verified"))
        out.writerows((*row, "tzdata", "copy") for row in rows)
    print(f"{len(rows)} time zones from {version}")


if __name__ == "__main__":
    main()
