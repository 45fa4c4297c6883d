# SPDX-License-Identifier: Apache-2.0
"""The page on facilities says what the code does: its table, and what its example prints."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from submeter.circumstances import sites

PAGE = (Path(__file__).parents[2] / "docs" / "facility.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| ([^|]+) \| (\d\.\d+) \| ([\d.]+) \|$", re.MULTILINE)


def test_the_table_of_technologies_is_that_of_the_code() -> None:
    shown = {name: (float(pue), float(wue)) for name, pue, wue in ROW.findall(PAGE)}
    made = {t.name: sites.plant_of(key) for key, t in sites.TECHNOLOGIES.items()}
    assert set(shown) == set(made)
    for name, plant in made.items():
        assert shown[name] == (round(plant.pue, 2), round(plant.evaporation.value, 2)), name


def test_the_example_prints_what_it_says() -> None:
    found = re.search(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    said = re.findall(r"print\(.*\)  # (.+)$", found[1], re.MULTILINE)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(found[1], "facility.md", "exec"), {})  # noqa: S102  # our own page
    assert said
    assert out.getvalue().splitlines()[: len(said)] == said


@pytest.mark.parametrize("key", ["air/server_fans_ratio", "tower/cycles_ratio"])
def test_coefficients_that_the_page_names_are_those_of_the_catalog(key: str) -> None:
    from submeter.catalog.factors import cooling

    row = cooling(key)
    said = {
        "air/server_fans_ratio": "8 % (2 – 15)",
        "tower/cycles_ratio": "(6, from 3 to 15)",
    }[key]
    assert said in PAGE
    digits = [float(n) for n in re.findall(r"\d+", said)]
    scale = 100 if row.value < 1 else 1
    assert digits == pytest.approx([row.value * scale, row.low * scale, row.high * scale])
