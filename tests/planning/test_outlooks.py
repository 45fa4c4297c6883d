# SPDX-License-Identifier: Apache-2.0
"""Outlooks: what profiles tell of the hours ahead, and how far real hours are from that."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from submeter.errors import CoverageError, UsageError
from submeter.grid.place import resolve_place
from submeter.grid.scatter import Scatter, scatter
from submeter.grid.traces import intensity
from submeter.planning.outlooks import PATHS, Outlook, components, even, mean_variance, offline
from submeter.records.factors import Factor
from submeter.records.traces import Trace

NOW = 1_795_000_000.0


def outlook(values: list[float], step_s: float = 3600.0) -> Outlook:
    mean = np.array(values, dtype=np.float64)
    return Outlook("DE", "g/kWh", 0.0, step_s, mean, np.stack([mean, 2 * mean]))


@given(
    arrays(np.float64, st.integers(2, 30), elements=st.floats(0, 1000)),
    st.floats(0, 1),
    st.integers(1, 20),
)
@settings(max_examples=50, deadline=None)
def test_slots_of_another_length_keep_the_sum(values: np.ndarray, part: float, count: int) -> None:
    whole = outlook(values.tolist())
    start = part * 1800
    step = (whole.end_utc_s - start) / count
    seen = whole.on(start, step, count)
    hours = np.arange(len(values))
    inside = np.clip(np.minimum(hours * 3600 + 3600, whole.end_utc_s) - np.maximum(
        hours * 3600, start), 0, None)  # fmt: skip
    assert seen.mean.sum() * step == pytest.approx(float(inside @ values), abs=1e-6, rel=1e-9)
    np.testing.assert_allclose(seen.paths[1], 2 * seen.mean, atol=1e-9)


def test_slots_that_begin_beside_the_hour_are_known_in_part() -> None:
    known = outlook([1.0, 4.0])
    seen = known.on(-1800.0, 3600.0, 3)
    assert seen.mean.tolist() == pytest.approx([1.0, 2.5, 4.0])
    for start_s in (-3600.0, 7200.0):
        with pytest.raises(CoverageError, match="does not reach"):
            known.on(start_s, 3600.0, 2 if start_s < 0 else 1)


def test_it_does_not_reach_further_than_it_does() -> None:
    with pytest.raises(CoverageError, match="does not reach"):
        outlook([1.0, 2.0]).on(0.0, 3600.0, 3)


@pytest.mark.parametrize("memory", [3.0, 12.0, 48.0])
def test_the_variance_of_a_mean_is_that_of_its_sum(memory: float) -> None:
    for hours in (1, 2, 7, 24):
        lags = np.abs(np.subtract.outer(np.arange(hours), np.arange(hours)))
        direct = float(np.exp(-lags / memory).mean())
        assert mean_variance(memory, hours) == pytest.approx(direct, rel=1e-12)


@pytest.mark.parametrize("zone", ["DE", "GB", "US-CAL-CISO", "ZA", "PL"])
def test_memories_reproduce_what_windows_scatter_by(zone: str) -> None:
    around = scatter(resolve_place(argument=zone), NOW)
    made = components(around.windows)
    assert made
    assert all(variance >= 0 for variance in made.values())
    for hours, sd in around.windows:
        if hours <= 168:
            total = sum(v * mean_variance(m, hours) for m, v in made.items())
            assert math.sqrt(total) == pytest.approx(sd, rel=0.12), hours


def test_paths_have_the_mean_and_the_scatter_that_is_told() -> None:
    zone = resolve_place(argument="DE")
    trace = intensity(zone, NOW, NOW + 10 * 86_400)
    around = scatter(zone, NOW)
    made = offline(trace, around)
    np.testing.assert_allclose(made.paths.mean(axis=0), made.mean, rtol=1e-12)
    logs = np.log(made.paths / made.mean)
    wanted = math.hypot(dict(around.windows)[1], around.shape_sd)
    assert float(logs.std(axis=0).mean()) == pytest.approx(wanted, rel=0.12)
    day = logs[:, :240].reshape(PATHS, 10, 24).mean(axis=2).std()
    assert float(day) == pytest.approx(dict(around.windows)[24], rel=0.15)
    again = offline(trace, around)
    assert np.array_equal(again.paths, made.paths)


def test_the_level_is_the_same_at_every_hour_of_a_path() -> None:
    zone = resolve_place(argument="DE")
    trace = intensity(zone, NOW, NOW + 86_400)
    made = offline(trace, Scatter((), 0.0, profiled=True), (0.5, 2.0))
    ratios = made.paths / made.mean
    np.testing.assert_allclose(ratios, np.repeat(ratios[:, :1], ratios.shape[1], axis=1))
    low, high = np.quantile(ratios[:, 0], (0.025, 0.975))
    assert math.log(high / low) == pytest.approx(math.log(4.0), rel=0.15)


def test_what_is_the_same_at_every_hour_tells_none_apart() -> None:
    factor = Factor("k", 100.0, 50.0, 200.0, "g/kWh", source="s", year=2024)
    made = even("DE", "g/kWh", factor, (NOW, NOW + 7200))
    assert not made.informed
    assert made.mean.min() == made.mean.max() == 100.0
    assert made.paths.mean() == pytest.approx(100.0)
    assert made.paths.std() > 10


def test_a_series_with_holes_is_refused() -> None:
    trace = Trace("k", "DE", "g/kWh", 0.0, 3600.0, (1.0, None, 3.0), 0.9, 1.1)
    with pytest.raises(UsageError, match="1 of 3 slots of DE have no value"):
        offline(trace, Scatter((), 0.0, profiled=True))


def test_a_zone_without_a_profile_is_not_said_to_have_one() -> None:
    assert not scatter(resolve_place(argument="SE"), NOW).profiled
    assert scatter(resolve_place(argument="DE"), NOW).shape_sd > 0
