# SPDX-License-Identifier: Apache-2.0
"""Series of others: repaired and told where that is safe, refused with a remedy where not."""

import gzip
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from submeter.errors import UsageError
from submeter.forecasting.reading import read_series

HEAD = "timestamp_utc,ci_gco2e_per_kwh\n"
HOURS = [f"2024-01-{day:02d}T{hour:02d}:00:00Z" for day in (1, 2) for hour in range(24)]


def _lines(value: float = 300.0) -> list[str]:
    return [f"{at},{value + place}" for place, at in enumerate(HOURS)]


def _file(folder: Path, lines: list[str], head: str = HEAD) -> Path:
    path = folder / "series.csv"
    path.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_clean_series_needs_no_note(tmp_path: Path) -> None:
    read = read_series(_file(tmp_path, _lines()), timezone="Europe/Berlin")
    assert read.notes == ()
    assert read.series.start_utc_s == datetime(2024, 1, 1, tzinfo=UTC).timestamp()
    assert (read.series.step_s, read.series.timezone) == (3600, "Europe/Berlin")
    np.testing.assert_array_equal(read.series.values, 300 + np.arange(48))


def test_gzip_and_a_byte_order_mark(tmp_path: Path) -> None:
    plain = _file(tmp_path, _lines())
    packed = tmp_path / "packed.gz"
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + plain.read_bytes()))
    np.testing.assert_array_equal(
        read_series(packed).series.values, read_series(plain).series.values
    )


def test_repairs_are_told(tmp_path: Path) -> None:
    lines = _lines()
    lines[5] = f"{HOURS[5]},"
    del lines[9]
    lines += [f"{HOURS[20]},340"]  # doubled, and out of order
    read = read_series(_file(tmp_path, lines))
    assert np.isnan(read.series.values[[5, 9]]).all()
    assert read.series.values[20] == 330
    told = " ".join(read.notes)
    for words in ("2 of 48 slots", "1 instants came again", "out of order"):
        assert words in told


def test_offsets_and_the_night_of_two_same_hours(tmp_path: Path) -> None:
    local = [
        f"2024-10-27T0{h}:00:00+0{o}:00,{100 + h}" for h, o in ((1, 2), (2, 2), (2, 1), (3, 1))
    ]
    series = read_series(_file(tmp_path, local)).series
    np.testing.assert_array_equal(series.values, [101, 102, 102, 103])


def test_the_zone_of_the_table(tmp_path: Path) -> None:
    lines = [f"{line},DE" for line in _lines()]
    path = _file(tmp_path, lines, "timestamp_utc,ci_gco2e_per_kwh,zone\n")
    assert read_series(path).series.zone == "DE"
    assert read_series(path, zone="FR").series.zone == "FR"


@pytest.mark.parametrize(
    ("lines", "head", "said"),
    [
        (_lines(), "time,ci\n", "no column timestamp_utc and no ci_gco2e_per_kwh"),
        (_lines(), "timestamp_utc,price\n", "no column ci_gco2e_per_kwh"),
        ([], HEAD, "no two readings"),
        (_lines()[:1], HEAD, "no two readings"),
        (["yesterday,3", *_lines()], HEAD, "line 2: “yesterday” is no instant"),
        ([*_lines(), "2024-01-03T00:00:00Z,lots"], HEAD, "line 50: “lots” is no number"),
        ([*_lines(), "2024-01-03T00:00:00Z,-3"], HEAD, "-3 gCO2e/kWh is negative"),
        (_lines(300_000), HEAD, "which no grid emits"),
        ([f"{at},0.31" for at in HOURS], HEAD, "seems to be kgCO2e/kWh"),
        ([f"{at}," for at in HOURS], HEAD, "holds no reading"),
        ([f"2024-01-{d:02d},300" for d in range(1, 28)], HEAD, "a reading each 24 h"),
        (_lines()[:30] + [f"2024-09-{d:02d}T00:00Z,9" for d in (1, 2)], HEAD, "only"),
        ([f"2024-01-01T{h:02d}:{m:02d}Z,9" for h in range(24) for m in (0, 7, 30)], HEAD, "each"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
def test_error_of_a_series(tmp_path: Path, lines: list[str], head: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        read_series(_file(tmp_path, lines, head))
    assert caught.value.remedy


@pytest.mark.parametrize("content", [None, b"\x1f\x8b damaged", b"\xff\xfe\x00\x00"])
def test_error_of_no_table(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "odd.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_series(path)
    assert caught.value.remedy
