# SPDX-License-Identifier: Apache-2.0
"""Published runs against their own tonnes: docs/published.md.

Run with ``python -m benchmarks.published``; ``--data DIR`` checks that each open row of
``open_runs.csv`` there (or in the folder ``truth`` beside it) that prints energy, PUE, intensity
and tonnes stands in ``benchmarks/data/published_runs.csv``, with the same figures.
"""

import argparse
import csv
import itertools
import sys
from pathlib import Path
from typing import Final, NamedTuple, cast

from submeter.accounting.published import Scope, as_published, published_run
from submeter.records.amounts import Amount
from submeter.units import G_PER_T

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "benchmarks" / "data" / "published_runs.csv"
PAGE = ROOT / "docs" / "published.md"
TOLERANCE: Final = 1e-9
HOLDS_PUE: Final = ("facility", "device x pue")
NEEDED: Final = {
    "energy_kwh": "energy_kwh",
    "pue": "pue",
    "carbon_intensity_g_per_kwh": "intensity_g_per_kwh",
    "tco2e": "emissions_t",
}
HEAD: Final = """# Published runs, from their energy to their tonnes

Made by `make figures` from `benchmarks/data/published_runs.csv`, which has the sources.

Each run prints an energy, a PUE, an intensity and tonnes.
submeter reckons the tonnes from the first three, at each corner of the rounding of their digits.
The PUE goes only onto an energy that does not hold it (scopes `device`, `node` and `it`);
`device x pue` and `facility` hold it.
The last column says whether the printed tonnes would show a PUE used the other way round; where
they would not, they have too few digits to tell.

| run | MWh | scope | PUE | g/kWh | printed t | reckoned t | reproduced | wrong PUE shows |
| --- | ---: | --- | ---: | ---: | ---: | ---: | --- | --- |
"""
TAIL: Final = """
\\* some of these figures are recalled; `published_runs.csv` says which.

That the product fits says nothing of whether the energy was metered:
where a run took boards × TDP, the product is as exact and the input is not.
"""


class Published(NamedTuple):
    """A published run, and the step of the last digit of each printed figure."""

    key: str
    model: str
    energy_kwh: float
    energy_step_kwh: float
    scope: Scope
    pue: float
    pue_step_ratio: float
    intensity_g_per_kwh: float
    intensity_step_g_per_kwh: float
    emissions_t: float
    emissions_step_t: float
    recalled: str
    source: str

    @property
    def printed_t(self) -> tuple[float, float]:
        """What the printed tonnes may have been rounded from [t]."""
        return _ends(self.emissions_t, self.emissions_step_t)


class Ends(NamedTuple):
    """Lowest and highest reckoned tonnes over all corners [t]."""

    low_t: float
    high_t: float

    def meets(self, other: tuple[float, float]) -> bool:
        """Whether the two intervals have a point in common."""
        slack = TOLERANCE * max(self.high_t, other[1])
        return self.low_t <= other[1] + slack and other[0] <= self.high_t + slack


def published() -> tuple[Published, ...]:
    """Rows of the table."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(_row(row) for row in csv.DictReader(file))


def reckoned_t(row: Published, scope: Scope | None = None) -> Ends:
    """Tonnes from energy, PUE and intensity, at all corners of their roundings.

    The product rises with each of them, so that its ends lie at corners. *scope* other than that
    of the row is a mistake on purpose.
    """
    taken = row.scope if scope is None else scope
    energies = _ends(row.energy_kwh, row.energy_step_kwh)
    pues = [max(1.0, end) for end in _ends(row.pue, row.pue_step_ratio)]
    intensities = _ends(row.intensity_g_per_kwh, row.intensity_step_g_per_kwh)
    found = [
        _tonnes(row.key, energy_kwh, taken, pue, g_per_kwh)
        for energy_kwh, pue, g_per_kwh in itertools.product(energies, pues, intensities)
    ]
    return Ends(min(found), max(found))


def misread(row: Published) -> Scope:
    """Scope of somebody who uses the PUE where it is in the energy, and not where it is not."""
    return "it" if row.scope in HOLDS_PUE else "facility"


def not_in_table(folder: Path) -> list[str]:
    """What the open runs of *folder* print and the table lacks or tells otherwise."""
    known = {row.key: row for row in published()}
    with _open_runs(folder).open(encoding="utf-8", newline="") as file:
        whole = [row for row in csv.DictReader(file) if all(row[name] for name in NEEDED)]
    lost = []
    for row in whole:
        own = known.get(row["id"])
        if own is None:
            lost.append(f"{row['id']}: not in {TABLE.name}")
            continue
        lost += [
            f"{row['id']}: {name} is {row[name]} there, {getattr(own, ours):g} here"
            for name, ours in NEEDED.items()
            if abs(float(row[name]) - getattr(own, ours)) > TOLERANCE * abs(getattr(own, ours))
        ]
    return lost


def has_open_runs(folder: Path) -> bool:
    """Whether there is a list of open runs in or beside *folder*."""
    return _open_runs(folder).is_file()


def page() -> str:
    """The page, from the table."""
    return HEAD + "".join(_line(row) for row in published()) + TAIL


def _line(row: Published) -> str:
    ends, wrong = reckoned_t(row), reckoned_t(row, misread(row))
    star = " \\*" if row.recalled else ""
    cells = (
        f"{row.model}{star}",
        f"{row.energy_kwh / 1000:.7g}",
        f"`{row.scope}`",
        f"{row.pue:g}",
        f"{row.intensity_g_per_kwh:g}",
        f"{row.emissions_t:g}",
        "0" if ends.high_t <= 0 else f"{ends.low_t:.4g} – {ends.high_t:.4g}",
        "yes" if ends.meets(row.printed_t) else "**no**",
        "no" if wrong.meets(row.printed_t) else "yes",
    )
    return f"| {' | '.join(cells)} |\n"


def _tonnes(name: str, energy_kwh: float, scope: Scope, pue: float, g_per_kwh: float) -> float:
    """Tonnes of one corner [t]; the energy is taken as it is, with no PUE divided out."""
    holds = scope in HOLDS_PUE
    run = published_run(name=name, energy_kwh=energy_kwh, scope=scope, pue=None if holds else pue)
    location = as_published(run, intensity_g_per_kwh=g_per_kwh).carbon.location
    if not isinstance(location, Amount):
        raise TypeError(f"{name}: {location}")
    return location.value / G_PER_T


def _ends(value: float, step: float) -> tuple[float, float]:
    return value - step / 2, value + step / 2


def _row(row: dict[str, str]) -> Published:
    numbers = {
        name: float(row[name]) for name, kind in Published.__annotations__.items() if kind is float
    }
    return Published(
        key=row["key"],
        model=row["model"],
        scope=cast("Scope", row["energy_scope"]),
        recalled=row["recalled"],
        source=row["source"],
        **numbers,
    )


def _open_runs(folder: Path) -> Path:
    name = "open_runs.csv"
    places = (folder / name, folder / "truth" / name, folder.parent / "truth" / name)
    return next((place for place in places if place.is_file()), places[0])


def main() -> int:
    parser = argparse.ArgumentParser(description="Published runs against their own tonnes.")
    parser.add_argument("--data", type=Path, help="folder with (or beside) open_runs.csv")
    options = parser.parse_args()
    lost = []
    if options.data is not None:
        if has_open_runs(options.data):
            lost = not_in_table(options.data)
        else:
            print(f"no open_runs.csv in or beside {options.data}: the table stands for itself")
    PAGE.write_text(page(), encoding="utf-8")
    bad = [row.key for row in published() if not reckoned_t(row).meets(row.printed_t)]
    print(page().partition("\n\n|")[2])
    for words in (*lost, *(f"{key}: not reproduced" for key in bad)):
        print(words)
    return 1 if lost or bad else 0


if __name__ == "__main__":
    sys.exit(main())
