# SPDX-License-Identifier: Apache-2.0
"""Back-tests of whole scenarios on one series: what ``submeter plan --backtest`` tells."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from submeter.errors import CoverageError, UsageError
from submeter.forecasting.backtesting import Errors, Outcome, Progress, Way, backtest
from submeter.forecasting.forecaster import LEAST_S, LONGEST_S, Forecaster
from submeter.forecasting.guarding import guarded
from submeter.forecasting.scenarios import (
    NIGHT_WINDOWS_H,
    Jobs,
    given_jobs,
    next_workday,
    nightly,
    semi_weekly,
)
from submeter.forecasting.series import DAY_S, FINEST_S, Series

CHECKPOINT_S: Final = 90.0  # of the ways in which pauses cost
_SCENARIOS: Final[dict[str, Callable[[Series], Jobs]]] = {
    "semi-weekly": semi_weekly,
    "next-workday": next_workday,
}
NAMES: Final = (*_SCENARIOS, "nightly")
_WAYS: Final = (
    ("free pauses", Way()),
    (f"pauses of {CHECKPOINT_S:.0f} s", Way(checkpoint_s=CHECKPOINT_S)),
    ("no pauses", Way(interruptible=False)),
)


@dataclass(frozen=True, eq=False)
class Row:
    """A scenario in one way of running: with the guard (what is done), and without it."""

    scenario: str
    way: str
    jobs: int
    outcome: Outcome
    unguarded: Outcome

    @property
    def held_back(self) -> bool:
        """Whether the guard held any job back."""
        return bool(np.any(self.outcome.realised_g != self.unguarded.realised_g))


@dataclass(frozen=True, eq=False)
class Report:
    """Rows of all scenarios, and errors of the forecasts by lead (see `Errors.means`)."""

    series: Series
    rows: tuple[Row, ...]
    errors: dict[int, tuple[float, float, float]]

    @property
    def mean(self) -> float:
        """Mean of the series, in its unit."""
        return float(np.nanmean(self.series.values))


def benchmark(
    series: Series, scenario: str = "", *, forecaster: Forecaster | None = None,
    progress: Progress | None = None,
    since_utc_s: float = -math.inf, before_utc_s: float = math.inf,
) -> Report:  # fmt: skip
    """Replay scenarios on *series* with forecasts of its own past alone, and the regret guard.

    Parameters
    ----------
    scenario
        One of `NAMES`, or the path of a table of jobs; all named ones if left out.
    since_utc_s, before_utc_s
        Jobs whose earliest start lies elsewhere are left out; their time still counts as past.

    Raises
    ------
    UsageError
        If the scenario is unknown, or none of its jobs lies in the series.
    CoverageError
        If the series is too short.
    """
    series = series.coarser(FINEST_S)
    if len(series.values) * series.step_s < 2 * LEAST_S:
        raise CoverageError(
            f"the series spans only {len(series.values) * series.step_s / DAY_S:.3g} days",
            remedy="give some weeks at least; a year tells most",
        )
    tests = _tests(series, scenario)
    first, last = ((t - series.start_utc_s) / series.step_s for t in (since_utc_s, before_utc_s))
    tests = [
        (name, way, jobs.taken((jobs.earliest >= first) & (jobs.earliest < last)), how)
        for name, way, jobs, how in tests
    ]
    tests = [test for test in tests if len(test[2])]
    if not tests:
        raise UsageError(
            "no job of the scenario lies within the series",
            remedy="give a longer series, or jobs of its time",
        )
    errors = Errors(series)
    outcomes = backtest(
        series, [(jobs, how) for _, _, jobs, how in tests],
        forecaster=forecaster, errors=errors, progress=progress,
    )  # fmt: skip
    rows = tuple(
        Row(name, way, len(jobs), guarded(series, jobs, outcome), outcome)
        for (name, way, jobs, _), outcome in zip(tests, outcomes, strict=True)
    )
    return Report(series, rows, errors.means())


def _tests(series: Series, scenario: str) -> list[tuple[str, str, Jobs, Way]]:
    named = [scenario] if scenario else [name for name in NAMES if name != "next-workday"]
    tests: list[tuple[str, str, Jobs, Way]] = []
    for name in named:
        if name == "nightly":
            windows = [(f"± {hours} h", nightly(series, hours)) for hours in NIGHT_WINDOWS_H]
            tests += [(name, window, jobs, Way()) for window, jobs in windows]
        elif name in _SCENARIOS:
            tests += [(name, way, _SCENARIOS[name](series), how) for way, how in _WAYS]
        elif name.endswith(".csv"):
            jobs = given_jobs(Path(name), series)
            _check_length(jobs, series, name)
            tests += [(Path(name).name, way, jobs, how) for way, how in _WAYS]
        else:
            raise UsageError(
                f"“{name}” is no scenario", remedy=f"give {', '.join(NAMES)} or JOBS.csv"
            )
    return tests


def _check_length(jobs: Jobs, series: Series, name: str) -> None:
    longest_s = float((jobs.deadline - jobs.earliest).max()) * series.step_s
    if longest_s > LONGEST_S:
        raise UsageError(
            f"{Path(name).name} has a job with {longest_s / DAY_S:.3g} days until its deadline",
            remedy=f"forecasts reach {LONGEST_S / DAY_S:.0f} days",
        )
