# SPDX-License-Identifier: Apache-2.0
"""Published runs reproduce their own tonnes, and show where a PUE is used the wrong way."""

import csv
from pathlib import Path
from typing import Any

import pytest

from benchmarks import published as bench
from benchmarks.published import Published, misread, not_in_table, published, reckoned_t

ROWS = published()
# Printed with one digit, or at an intensity of zero: nothing in it tells how the PUE was used.
TOO_COARSE = {"olmo-150m", "olmo-7b-lumi"}


def named(row: Published) -> str:
    return row.key


def test_the_table_has_its_rows() -> None:
    assert len(ROWS) >= 17
    assert len({row.key for row in ROWS}) == len(ROWS)
    assert {row.scope for row in ROWS} >= {"it", "facility", "device x pue"}
    assert all(row.source for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=named)
def test_the_printed_tonnes_follow_from_the_printed_figures(row: Published) -> None:
    assert reckoned_t(row).meets(row.printed_t), f"{reckoned_t(row)} against {row.printed_t}"


@pytest.mark.parametrize("row", ROWS, ids=named)
def test_a_pue_used_the_wrong_way_does_not(row: Published) -> None:
    wrong = reckoned_t(row, misread(row))
    assert wrong.meets(row.printed_t) == (row.key in TOO_COARSE)


@pytest.mark.parametrize("row", ROWS, ids=named)
def test_corners_are_the_ends(row: Published) -> None:
    ends = reckoned_t(row)
    exact = row._replace(energy_step_kwh=0, pue_step_ratio=0, intensity_step_g_per_kwh=0)
    middle = reckoned_t(exact)
    assert middle.low_t == middle.high_t
    assert ends.low_t <= middle.low_t <= ends.high_t


def test_steps_are_those_of_printed_digits() -> None:
    for row in ROWS:
        for value, step in (
            (row.energy_kwh, row.energy_step_kwh),
            (row.pue, row.pue_step_ratio),
            (row.intensity_g_per_kwh, row.intensity_step_g_per_kwh),
        ):
            assert 0 <= step <= 0.1 * value, f"{row.key}: a step of {step:g} for {value:g}"


def open_runs(folder: Path, **changed: str) -> Path:
    row = {"id": "patterson21-meena", "energy_kwh": "232000", "pue": "1.09",
           "carbon_intensity_g_per_kwh": "415", "tco2e": "96.4"} | changed  # fmt: skip
    with (folder / "open_runs.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow(row)
    return folder


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, []),
        ({"id": "nobody-knows"}, ["nobody-knows: not in published_runs.csv"]),
        ({"id": "nobody-knows", "pue": ""}, []),
        ({"pue": "1.2"}, ["patterson21-meena: pue is 1.2 there, 1.09 here"]),
    ],
)
def test_the_table_against_open_runs(
    tmp_path: Path, changed: dict[str, str], found: list[str]
) -> None:
    assert not_in_table(open_runs(tmp_path, **changed)) == found


def test_the_page_is_the_tables() -> None:
    assert bench.PAGE.read_text(encoding="utf-8") == bench.page()


def test_a_run_that_contradicts_itself_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                               capsys: Any) -> None:  # fmt: skip
    text = bench.TABLE.read_text(encoding="utf-8")
    (tmp_path / "table.csv").write_text(text.replace(",96.4,", ",105,"), encoding="utf-8")
    monkeypatch.setattr(bench, "TABLE", tmp_path / "table.csv")
    monkeypatch.setattr(bench, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr("sys.argv", ["published"])
    assert bench.main() == 1
    assert "patterson21-meena: not reproduced" in capsys.readouterr().out
