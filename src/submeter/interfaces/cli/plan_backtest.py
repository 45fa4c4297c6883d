# SPDX-License-Identifier: Apache-2.0
"""``submeter plan --backtest SERIES.csv``: what waiting would have saved on a series."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

import click

from submeter.errors import SubmeterError


def backtest(
    series_path: Path, scenario: str = "", *, as_json: bool = False, zone: str | None = None
) -> None:
    """Replay *scenario* on the series in *series_path*, and print what waiting brings.

    Parameters
    ----------
    scenario
        ``semi-weekly``, ``next-workday``, ``nightly`` or a table of jobs; the first and the third
        if left out.
    zone
        Whose clock days and weeks go by; that of the column ``zone`` if left out, else UTC.

    Raises
    ------
    UsageError, CoverageError, InfeasibleError
        If series or jobs cannot be used; each says what to do.
    """
    try:
        from submeter.forecasting.benchmarking import benchmark
        from submeter.forecasting.reading import read_series
    except ModuleNotFoundError as exc:
        if exc.name != "numpy":
            raise
        raise SubmeterError(
            "back-tests need numpy, which is not installed",
            remedy="pip install 'submeter[plan]'",
        ) from exc
    from submeter.reporting.backtests import backtest_document, backtest_text
    from submeter.reporting.words import to_json

    read = read_series(series_path, zone=zone or "")
    timezone, notes = _clock(read.series.zone, asked=zone is not None)
    series = read_series(series_path, zone=zone or "", timezone=timezone).series
    with _Bar() as bar:
        report = benchmark(series, scenario, progress=bar)
    notes = (*read.notes, *notes)
    if as_json:
        click.echo(to_json(backtest_document(report, series_path.name, notes)))
        return
    click.echo(backtest_text(report, series_path.name, notes))


def _clock(zone: str, *, asked: bool) -> tuple[str, tuple[str, ...]]:
    """Time zone of *zone*, and what is to be said of it."""
    from submeter.grid.place import resolve_place

    if not zone:
        return "UTC", ("days and weeks go by UTC; --zone names a place whose clock counts",)
    try:
        found = resolve_place(argument=zone)
    except SubmeterError:
        if asked:
            raise
        return "UTC", (f"the zone {zone} is not known; days and weeks go by UTC",)
    return found.timezone or "UTC", ()


class _Bar:
    """A bar on stderr, where that is a terminal."""

    def __init__(self) -> None:
        self._say: Callable[[str], object] | None = (
            sys.stderr.write if sys.stderr.isatty() else None
        )
        self._told = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._say is not None:
            self._say("\r\x1b[K")
            sys.stderr.flush()

    def __call__(self, share: float) -> None:
        from submeter.reporting.backtests import progress_bar

        hundredths = int(share * 100)
        if self._say is not None and hundredths != self._told:
            self._told = hundredths
            self._say("\r" + progress_bar(share))
            sys.stderr.flush()
