# SPDX-License-Identifier: Apache-2.0
"""A provider's forecasts are kept, judged when they are over, and believed if they were better."""

from itertools import pairwise
from pathlib import Path

import pytest

np = pytest.importorskip("numpy")

from submeter.forecasting.providing import LEAST_FORECASTS  # noqa: E402
from submeter.forecasting.series import Series  # noqa: E402
from submeter.running.series import judged  # noqa: E402
from submeter.storing import forecasts  # noqa: E402
from tests.forecasting.signals import grid  # noqa: E402

H = 3600.0
DAY = 24 * H
TRUTH = grid(60, seed=7)
ABOUT = ("a/provider", "DE", "average")


def told(day: int, error: float) -> tuple[Series, float]:
    """What a provider says at the end of a day: six weeks of readings, two days of forecast."""
    at = day * 24
    values = TRUTH.values[at - 42 * 24 : at + 48].copy()
    values[42 * 24 :] += np.random.default_rng(day).normal(0, error, len(values) - 42 * 24)
    start = TRUTH.start_utc_s + (at - 42 * 24) * H
    return Series(start, H, np.maximum(values, 1.0)), TRUTH.start_utc_s + at * H


@pytest.mark.parametrize("error", [2.0, 400.0])
def test_a_provider_is_believed_once_it_has_told_the_cheap_hours_better(
    error: float, tmp_path: Path
) -> None:
    found = []
    for day in range(48, 57):
        series, now = told(day, error)
        found.append(judged(series, now, tmp_path, *ABOUT))
    assert not any(result.provider_wins for result in found[:LEAST_FORECASTS])
    assert found[-1].trials >= LEAST_FORECASTS
    assert found[-1].provider_wins is (error < 100)


def test_forecasts_are_kept_a_few_hours_apart_and_not_for_ever(tmp_path: Path) -> None:
    for quarter in range(4 * 24 * 8):
        made = forecasts.Given(quarter * 900.0, quarter * 900.0, H, (1.0, None))
        forecasts.keep(tmp_path, made, *ABOUT)
    kept = forecasts.given(tmp_path, *ABOUT)
    assert len(kept) == forecasts.MOST
    assert kept[-1].made_utc_s == (4 * 24 * 8 - 12) * 900.0
    apart = {b.made_utc_s - a.made_utc_s for a, b in pairwise(kept)}
    assert apart == {forecasts.EVERY_S}
    assert kept[-1].values == (1.0, None)
    assert forecasts.given(tmp_path, "another", "DE", "average") == []


@pytest.mark.parametrize("raw", [b"", b"[", b"{}", b"\xff\xfe", b'[{"made_utc_s":1}]'])
def test_d07_a_spoilt_file_is_as_good_as_none(raw: bytes, tmp_path: Path) -> None:
    forecasts.keep(tmp_path, forecasts.Given(0.0, 0.0, H, (1.0,)), *ABOUT)
    (path,) = (tmp_path / forecasts.FOLDER).iterdir()
    path.write_bytes(raw)
    assert forecasts.given(tmp_path, *ABOUT) == []
    forecasts.keep(tmp_path, forecasts.Given(DAY, DAY, H, (2.0,)), *ABOUT)
    assert [f.values for f in forecasts.given(tmp_path, *ABOUT)] == [(2.0,)]


def test_a_folder_that_cannot_be_written_is_nobody_s_trouble(tmp_path: Path) -> None:
    (tmp_path / forecasts.FOLDER).write_text("in the way")
    series, now = told(48, 1.0)
    assert judged(series, now, tmp_path, *ABOUT).trials == 0
