# SPDX-License-Identifier: Apache-2.0
"""Replays: exact on a perfect forecast, never better than the best, every job done in time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.errors import SubmeterError, UsageError
from submeter.forecasting.backtesting import (
    Outcome,
    Replay,
    Way,
    at_once_g,
    backtest,
    noisy,
    planned_once_g,
)
from submeter.forecasting.benchmarking import benchmark
from submeter.forecasting.guarding import (
    LEAST_TRIALS,
    guard_on,
    guarded,
    judge,
    waiting_pays,
)
from submeter.forecasting.scenarios import Jobs
from submeter.forecasting.series import Series
from submeter.records.plans import Job
from tests.forecasting.signals import grid, with_gaps

SEEDS = st.integers(0, 10_000)


def _jobs(seed: int, slots: int, count: int = 40) -> Jobs:
    rng = np.random.default_rng(seed)
    work = rng.integers(1, 20, count)
    earliest = np.sort(rng.integers(1, slots - 60, count))
    return Jobs(earliest, work, earliest + work + rng.integers(0, 40, count), earliest)


def _carried_out(series: Series, jobs: Jobs, believed: np.ndarray, **how: float | bool) -> Replay:
    replay = Replay(series, jobs, **how)  # type: ignore[arg-type]
    for slot in range(int(jobs.earliest.min()), int(jobs.deadline.max())):
        replay.step(slot, believed[slot : slot + 64], 1.0)
    return replay


@settings(max_examples=12, deadline=None)
@given(seed=SEEDS, interruptible=st.booleans())
def test_on_a_perfect_forecast_replays_are_optimal(seed: int, *, interruptible: bool) -> None:
    series = Series(0.0, 3600.0, np.random.default_rng(seed).uniform(20, 600, 300))
    jobs = _jobs(seed, 300)
    replay = _carried_out(series, jobs, series.values, interruptible=interruptible, ready=0.0)
    best = planned_once_g(series, jobs, interruptible=interruptible)
    np.testing.assert_allclose(replay.realised_g, best)


@settings(max_examples=12, deadline=None)
@given(seed=SEEDS, interruptible=st.booleans(), checkpoint_s=st.sampled_from([0.0, 90.0, 600.0]))
def test_on_any_forecast_jobs_are_done_and_none_beats_the_best(
    seed: int, *, interruptible: bool, checkpoint_s: float
) -> None:
    rng = np.random.default_rng(seed)
    series = Series(0.0, 3600.0, rng.uniform(20, 600, 300))
    jobs = _jobs(seed, 300)
    how = {"interruptible": interruptible, "checkpoint_s": checkpoint_s}
    replay = _carried_out(series, jobs, rng.uniform(20, 600, 400), **how)
    best = planned_once_g(series, jobs, interruptible=interruptible)
    assert (replay.realised_g >= best - 1e-6).all()
    flat = series.with_values(np.full(300, 100.0))
    work = _carried_out(flat, jobs, rng.uniform(20, 600, 400), **how)
    hours = jobs.slots + work.pauses * checkpoint_s / 3600
    np.testing.assert_allclose(work.realised_g, 100.0 * hours)
    if not interruptible:
        assert not work.pauses.any()


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_dear_pauses_are_made_less_often(seed: int) -> None:
    rng = np.random.default_rng(seed)
    series = Series(0.0, 3600.0, rng.uniform(200, 300, 300))
    jobs = _jobs(seed, 300)
    free, dear = (
        _carried_out(series, jobs, series.values, checkpoint_s=s).pauses.sum() for s in (0, 1800)
    )
    assert dear <= free


def test_gaps_and_no_forecasts_start_at_once() -> None:
    series = with_gaps(grid(10), 30, 5)
    jobs = _jobs(1, 200)
    replay = Replay(series, jobs)
    for slot in range(240):
        replay.step(slot, None, 0.0)
    np.testing.assert_allclose(replay.realised_g, at_once_g(series, jobs))


def test_waiting_on_forecasts_of_the_past_saves() -> None:
    series = grid(90, seed=2)
    rng = np.random.default_rng(0)
    earliest = np.sort(rng.integers(30 * 24, 85 * 24, 200))
    work = rng.integers(4, 24, 200)
    jobs = Jobs(earliest, work, earliest + work + 24, earliest).within(series)
    free, whole = backtest(series, [(jobs, Way()), (jobs, Way(interruptible=False))])
    assert 0.6 < free.capture_ratio < 1
    assert 0.4 < whole.capture_ratio < 1
    assert free.perfect_saving_ratio > whole.perfect_saving_ratio > 0
    assert free.worse_share < 0.12


def test_noise_is_that_of_the_benchmark() -> None:
    series = grid(20)
    made = noisy(series, 0.05, 3, first=48) - series.values
    assert not made[:48].any()
    level = series.values[48:].mean()
    assert made[48:].std() == pytest.approx(0.05 * level, rel=0.15)


def _outcome(at_once: np.ndarray, realised: np.ndarray) -> Outcome:
    return Outcome(at_once, at_once * 0.8, realised, np.zeros(len(at_once), dtype=np.int64))


def test_figures_of_an_outcome() -> None:
    made = _outcome(np.array([100.0, 100.0, 200.0]), np.array([90.0, 102.0, 168.0]))
    assert made.saving_ratio == pytest.approx(0.1)
    assert made.perfect_saving_ratio == pytest.approx(0.2)
    assert made.capture_ratio == pytest.approx(0.5)
    assert made.worse_share == pytest.approx(1 / 3)


def _nights(count: int) -> tuple[Series, Jobs]:
    series = Series(0.0, 3600.0, np.ones(count * 24 + 48))
    at = 24 * np.arange(1, count + 1)
    return series, Jobs(at - 2, np.ones(count, dtype=np.int64), at + 3, at)


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.integers(40, 110))
def test_the_guard_knows_only_what_is_over(seed: int, known: int) -> None:
    series, jobs = _nights(120)
    rng = np.random.default_rng(seed)
    realised = rng.uniform(80, 125, 120)
    other = realised.copy()
    other[known:] = rng.uniform(20, 300, 120 - known)
    one = guarded(series, jobs, _outcome(np.full(120, 100.0), realised)).realised_g
    two = guarded(series, jobs, _outcome(np.full(120, 100.0), other)).realised_g
    waited = (one != 100)[: known + 1] == (two != 100)[: known + 1]
    assert waited[:known].all()
    assert waited[known] or 100.0 in {realised[known], other[known]}


def test_the_guard_stops_what_loses_and_lets_what_saves() -> None:
    series, jobs = _nights(200)
    noise = np.random.default_rng(1).normal(0, 2, 200)
    for loss, held in ((10.0, 200 - 32), (-10.0, 0)):
        made = guarded(series, jobs, _outcome(np.full(200, 100.0), 100 + loss + noise))
        assert (made.realised_g == 100).sum() == pytest.approx(held, abs=3)


@pytest.mark.parametrize(("saving", "pays"), [(0.1, True), (0.0, True), (-0.1, False)])
def test_verdicts(saving: float, *, pays: bool) -> None:
    at_once = np.linspace(80, 120, 40)
    verdict = judge(at_once, at_once * (1 - saving))
    assert verdict.pays is pays
    assert verdict.saving_ratio == pytest.approx(saving)
    assert "40 back-tests" in verdict.words
    few = judge(at_once[: LEAST_TRIALS - 1], at_once[: LEAST_TRIALS - 1] * 2)
    assert few.pays
    assert "too little" in few.words


def test_whether_waiting_pays_is_told_by_the_past() -> None:
    assert waiting_pays(grid(40), 8 * 3600, 24 * 3600).saving_ratio > 0.03
    assert waiting_pays(grid(40), 8 * 3600, 0).trials == 0
    assert waiting_pays(grid(40), 8 * 3600, 30 * 86400).trials == 0
    walk = np.random.default_rng(4).normal(0, 40, 40 * 24)
    erratic = grid(40).with_values(np.maximum(300 + walk, 5.0))
    verdict = waiting_pays(erratic, 8 * 3600, 6 * 3600, interruptible=False)
    assert abs(verdict.saving_ratio) < 0.03


def test_a_guard_of_plans() -> None:
    series = grid(40)
    job = Job(8 * 3600.0, series.end_utc_s, series.end_utc_s + 32 * 3600.0, interruptible=True)
    pays, words = guard_on(series)(job)
    assert pays
    assert words == waiting_pays(series, 8 * 3600, 24 * 3600).words
    assert "back-tests on the last weeks saved" in words


def test_benchmarks_of_scenarios() -> None:
    told: list[float] = []
    report = benchmark(grid(50), "nightly", progress=told.append)
    assert [row.way for row in report.rows] == ["± 2 h", "± 4 h", "± 8 h"]
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)
    for own, day, week in report.errors.values():
        assert 0 < own < min(day, week)


@pytest.mark.parametrize(
    ("days", "scenario", "said"),
    [(60, "weekly", "no scenario"), (3, "nightly", "days"), (60, "none.csv", "cannot be read")],
)
def test_error_of_a_benchmark(days: int, scenario: str, said: str) -> None:
    with pytest.raises(SubmeterError, match=said) as caught:
        benchmark(grid(days), scenario)
    assert caught.value.remedy


def test_error_when_no_job_lies_in_the_series() -> None:
    with pytest.raises(UsageError, match="no job"):
        benchmark(grid(20), "nightly", since_utc_s=4e9)
