# SPDX-License-Identifier: Apache-2.0
"""Waiting, back-tested on all whole years of intensity at hand: docs/backtests.md.

`python -m benchmarks.backtests --data DATA`, where DATA holds the folder ``traces``. Each zone is
forecast from its own past and from a pool of other zones, in which no year of it is, nor of
Germany, Great Britain and France. Jobs are those of the year; what a file holds before is past.
"""

import argparse
import sys
import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from benchmarks import lets_wait_awhile
from benchmarks.fit_forecast import SCORED, Held, pool_of, series_of, whole_years
from submeter.forecasting.backtesting import Outcome
from submeter.forecasting.benchmarking import Report, Row, benchmark
from submeter.forecasting.forecaster import Forecaster
from submeter.forecasting.series import DAY_S, Series

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "backtests.md"
SMALL: Final = 0.05  # perfect savings under which a zone is called flat
SCORED_NAMES: Final = tuple(f"lwa_{zone}_2020_30min" for zone in SCORED)
_UPDATES: Final = 200
_MARK: Final = "¹"


class Scored(NamedTuple):
    """Reports of a trace on the jobs of its year."""

    held: Held
    report: Report

    def row(self, scenario: str, way: str) -> Row:
        """Row of *scenario* in one way of running."""
        return next(r for r in self.report.rows if (r.scenario, r.way) == (scenario, way))

    @property
    def free(self) -> Outcome:
        """Semi-weekly with free pauses."""
        return self.row("semi-weekly", "free pauses").outcome


@cache
def scored(data: Path) -> tuple[Scored, ...]:
    """All whole years of *data*, the published ones first."""
    years = whole_years(data / "traces")
    made = []
    for held in sorted(years, key=lambda h: h.name not in SCORED_NAMES):
        prior = pool_of(years, without={*SCORED, held.zone})
        begin_utc_s = datetime(held.year, 1, 1, tzinfo=UTC).timestamp()
        series = series_of(held)
        report = benchmark(
            series, forecaster=Forecaster(prior), since_utc_s=begin_utc_s,
            before_utc_s=datetime(held.year + 1, 1, 1, tzinfo=UTC).timestamp(),
        )  # fmt: skip
        made.append(Scored(held, report))
        print(f"  {held.name}: captured {made[-1].free.capture_ratio:.3f}", flush=True)
    return tuple(made)


class Speed(NamedTuple):
    """Processor times [s]: of learning a year, and of an update with a forecast of 7 days."""

    fit_s: float
    update_s: float
    slowest_update_s: float


@cache
def speed(data: Path) -> Speed:
    """Processor times on a year of half hours; updates over several days, with their refits."""
    held = next(h for h in whole_years(data / "traces") if h.name == SCORED_NAMES[0])
    series = series_of(held)
    known = len(series.values) - _UPDATES
    forecaster = Forecaster()
    begin = time.process_time()
    forecaster.fit(_first(series, known))
    fit_s = time.process_time() - begin
    took = []
    for count in range(known + 1, len(series.values) + 1):
        past = _first(series, count)
        begin = time.process_time()
        forecaster.update(past).forecast(past.end_utc_s, 7 * DAY_S)
        took.append(time.process_time() - begin)
    return Speed(fit_s, float(np.median(took)), max(took))


def _first(series: Series, count: int) -> Series:
    return series.with_values(series.values[:count])


def page(data: Path) -> str:
    """Text of docs/backtests.md."""
    found = scored(data)
    main = [s for s in found if s.held.name in SCORED_NAMES]
    steep = [s for s in found if s.free.perfect_saving_ratio > SMALL]
    flat = [s for s in found if s.free.perfect_saving_ratio <= SMALL]
    captures = [s.free.capture_ratio for s in main]
    under = [s.held.name for s in steep if s.free.capture_ratio < 0.7]
    took = speed(data)
    parts = [
        _HEAD,
        _reproduction(data),
        _SCENARIO,
        _semi_weekly(main),
        f"Mean capture {np.mean(captures):.3f}, lowest {min(captures):.3f}.\n",
        _ALL,
        _zones(found),
        f"Where over {100 * SMALL:.0f} % could be saved ({len(steep)} years of zones), the mean "
        f"capture is {np.mean([s.free.capture_ratio for s in steep]):.2f}, the lowest "
        f"{min(s.free.capture_ratio for s in steep):.2f}; "
        + (f"under 0.70 are {', '.join(under)}. " if under else "none is under 0.70. ")
        + f"In the other {len(flat)}, the lowest saving is "
        f"{_percent(min(s.free.saving_ratio for s in flat))}.\n",
        _ERRORS,
        _errors(found),
        _SPEED.format(
            fit=took.fit_s, update=1e3 * took.update_s, slowest=1e3 * took.slowest_update_s
        ),
    ]
    return "\n".join(parts)


_HEAD: Final = """# Waiting, back-tested

Made by `make figures` (`benchmarks/backtests.py`, `benchmarks/lets_wait_awhile.py`) from whole
years of carbon intensity that are not shipped; your own series is judged the same way by
`submeter plan --backtest SERIES.csv`.

## What others published, reproduced

Savings of 3387 trainings of 4 to 90 h in 2020, asked for in working hours, that may end by the
next workday at 9:00; forecasts are the truth and white noise of 5 % of the mean, ten draws.
Published by Wiesner et al. 2021, *Let's Wait Awhile* (doi:10.1145/3464298.3493399).
"""
_SCENARIO: Final = """
White noise on the truth hardly hurts, since it cancels out over hours. Nobody has such a forecast.

## With forecasts from the past alone

Same jobs, looked at on Mondays and Thursdays at 9:00 (*semi-weekly*). Forecasts know only slots
that have ended; plans are made anew with each reading. *could save* is at the best times there
were, *saved* is realised, *captured* is saved of what could be, *worse* are jobs that emitted over
1 % more than if started at once. The regret guard is on. *pauses of 90 s* are held against what
free pauses could save. Every parameter was chosen on other
zones: no year of DE, GB or FR is in the pool that forecasts are shrunk towards.
"""
_ALL: Final = """
## All zones at hand

Semi-weekly with free pauses, with pauses of 90 s (held against what free pauses could save), and
a short job at 1:00 each night that may be moved by 2, 4 or 8 h both ways. Each zone is forecast
with a pool that holds no year of it. Files named `em_` and `eia_` begin with the year, so that
January is forecast from hardly any past. Features and the weight of the pool were chosen on years
marked ¹, the readiness to run (`python -m benchmarks.fit_forecast --choose`) on all but those of
DE, GB and FR: only figures of these three are a test of unseen zones.
"""
_ERRORS: Final = """
## Errors of the forecasts

Mean absolute error over the mean of the year, for the hour that ends so many hours ahead, beside
"as at that time yesterday" (the latest day that is known) and "as last week".
"""
_SPEED: Final = """
## Speed

On one core, with a year of half hours: learning {fit:.1f} s; taking a reading in and forecasting
7 days with 200 paths {update:.0f} ms, at most {slowest:.0f} ms, when it refits, once a day
(processor time).
"""
# Zones by which features and PRIOR_H were chosen.
CHOSEN_ON: Final = (
    "em_ES_2022_1h", "em_AU-VIC_2024_1h", "em_AU-NSW_2024_1h", "eia_US-TEX-ERCO_2022_1h",
    "eia_US-MIDW-MISO_2022_1h", "eia_US-NW-BPAT_2022_1h", "em_US-CAL-CISO_2024_1h",
    "em_NO_2022_1h", "em_BR-CS_2024_1h",
)  # fmt: skip


def _reproduction(data: Path) -> str:
    told = sorted(
        lets_wait_awhile.rows(data),
        key=lambda row: (lets_wait_awhile.ZONES.index(row.zone), row.interruptible),
    )
    lines = ["| zone | pauses | published | ours | apart |", "| --- | --- | ---: | ---: | ---: |"]
    lines += [
        f"| {row.zone} | {'yes' if row.interruptible else 'no'} | {row.published:.2f} % | "
        f"{row.ours:.2f} % | {row.ours - row.published:+.2f} |".replace("| -", "| −")
        for row in told
    ]
    lines += [
        "",
        "Semi-weekly, planned once on a perfect forecast and on noisy ones:",
        "",
        "| zone | no pauses | pauses | 5 % noise | 10 % noise |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {zone} | " + " | ".join(f"{figure:.2f} %" for figure in figures) + " |"
        for zone, *figures in lets_wait_awhile.semi_weekly_rows(data)
    ]
    return "\n".join(lines)


def _semi_weekly(found: list[Scored]) -> str:
    lines = [
        "| zone | pauses | could save | saved | captured | worse | pauses a job |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for item in found:
        for way in ("free pauses", "pauses of 90 s", "no pauses"):
            o = item.row("semi-weekly", way).outcome
            lines.append(
                f"| {item.held.zone} | {way} | {_percent(o.perfect_saving_ratio)} | "
                f"{_percent(o.saving_ratio)} | {o.capture_ratio:.3f} | "
                f"{_percent(o.worse_share)} | {o.mean_pauses:.1f} |"
            )
    return "\n".join(lines) + "\n"


def _zones(found: tuple[Scored, ...]) -> str:
    lines = [
        "| trace | could save | saved | captured | worse | with 90 s | ± 2 h | ± 4 h | ± 8 h |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for item in sorted(found, key=lambda s: -s.free.perfect_saving_ratio):
        o = item.free
        paid = item.row("semi-weekly", "pauses of 90 s").outcome
        nights = [item.row("nightly", f"± {h} h").outcome.saving_ratio for h in (2, 4, 8)]
        mark = _MARK if item.held.name in CHOSEN_ON else ""
        lines.append(
            f"| {item.held.name}{mark} | {_percent(o.perfect_saving_ratio)} | "
            f"{_percent(o.saving_ratio)} | {o.capture_ratio:.2f} | {_percent(o.worse_share)} | "
            f"{paid.capture_ratio:.2f} | " + " | ".join(map(_percent, nights)) + " |"
        )
    return "\n".join(lines) + "\n"


def _errors(found: tuple[Scored, ...]) -> str:
    leads = (1, 6, 24, 48, 96)
    lines = [
        "| trace | " + " | ".join(f"{lead} h" for lead in leads) + " |",
        "| --- |" + " ---: |" * len(leads),
    ]
    for item in found:
        cells = [" / ".join(f"{100 * e:.1f}" for e in item.report.errors[lead]) for lead in leads]
        lines.append(f"| {item.held.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n\nIn %: own / yesterday / last week.\n"


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.1f} %".replace("-", "−")


def main() -> int:
    parser = argparse.ArgumentParser(description="Back-test waiting on all traces at hand.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    data = parser.parse_args().data.resolve()
    if not (data / "traces").is_dir():
        print(f"{PAGE.name} is left as it is: there is no {data / 'traces'}")
        return 0
    scored(data)
    PAGE.write_text(page(data), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
