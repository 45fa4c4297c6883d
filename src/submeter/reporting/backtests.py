# SPDX-License-Identifier: Apache-2.0
"""Back-tests of waiting, told: as a table for people, and as a document."""

import math
from datetime import UTC, datetime
from typing import Any

from submeter.forecasting.backtesting import Outcome
from submeter.forecasting.benchmarking import Report, Row
from submeter.reporting.footprint_words import missing
from submeter.reporting.words import JSON_SCHEMA

_HEAD = ("", "jobs", "could save", "saved", "captured", "worse")


def backtest_text(report: Report, name: str, notes: tuple[str, ...] = ()) -> str:
    """Table of *report* on the series of the file *name*."""
    series = report.series
    lines = [
        (
            f"{name}: {_day(series.start_utc_s)} to {_day(series.end_utc_s - 1)},\n"
            f"slots of {series.step_s / 60:.0f} min, mean {report.mean:.3g} {series.unit}, "
            f"clock of {series.timezone}"
        ),
        *(f"note: {note}" for note in notes),
        "",
        *_table([_HEAD, *(_cells(row) for row in report.rows)]),
        "",
        "could save: at the best times there were. saved: with forecasts from the past",
        "of the series alone, planned anew with each reading. captured: saved of what",
        "could be. worse: jobs that emitted over 1 % more than if started at once.",
        *_held_back(report.rows),
    ]
    if report.errors:
        head = ("error of forecasts", *(f"{lead} h" for lead in report.errors))
        means = list(report.errors.values())
        names = ("  own", "  same as yesterday", "  same as last week")
        rows = [(n, *(_percent(m[i]) for m in means)) for i, n in enumerate(names)]
        lines += ["", *_table([head, *rows])]
    return "\n".join(lines)


def backtest_document(report: Report, name: str, notes: tuple[str, ...] = ()) -> dict[str, Any]:
    """*report* as a document; words and units are in docs/json.md."""
    series = report.series
    return {
        "schema": JSON_SCHEMA,
        "series": {
            "file": name,
            "zone": series.zone,
            "timezone": series.timezone,
            "start_utc": _instant(series.start_utc_s),
            "end_utc": _instant(series.end_utc_s),
            "step_s": series.step_s,
            "mean_g_per_kwh": report.mean,
            "notes": list(notes),
        },
        "scenarios": [
            {
                "scenario": row.scenario,
                "pauses": row.way,
                "jobs": row.jobs,
                **_ratios(row.outcome),
                "unguarded": _ratios(row.unguarded),
            }
            for row in report.rows
        ],
        "forecast_errors": [
            {
                "lead_h": lead,
                "own_ratio": own,
                "same_as_yesterday_ratio": day,
                "same_as_last_week_ratio": week,
            }
            for lead, (own, day, week) in report.errors.items()
        ],
    }


def _ratios(outcome: Outcome) -> dict[str, object]:
    capture = outcome.capture_ratio
    return {
        "perfect_saving_ratio": outcome.perfect_saving_ratio,
        "realised_saving_ratio": outcome.saving_ratio,
        "capture_ratio": capture if math.isfinite(capture) else missing("nothing could be saved"),
        "worse_share_ratio": outcome.worse_share,
        "mean_pauses": outcome.mean_pauses,
    }


def _cells(row: Row) -> tuple[str, ...]:
    outcome = row.outcome
    capture = outcome.capture_ratio
    return (
        f"{row.scenario}, {row.way}",
        f"{row.jobs}",
        _percent(outcome.perfect_saving_ratio),
        _percent(outcome.saving_ratio),
        f"{capture:.2f}".replace("-", "−") if math.isfinite(capture) else "–",
        _percent(outcome.worse_share),
    )


def _held_back(rows: tuple[Row, ...]) -> list[str]:
    held = [row for row in rows if row.held_back]
    return [
        f"{row.scenario}, {row.way}: held back from waiting where it had not paid; "
        f"without that {_percent(row.unguarded.saving_ratio)}"
        for row in held
    ]


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.1f} %".replace("-", "−")


def _day(utc_s: float) -> str:
    return datetime.fromtimestamp(utc_s, UTC).strftime("%Y-%m-%d")


def _instant(utc_s: float) -> str:
    return datetime.fromtimestamp(utc_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def progress_bar(share: float, width: int = 30) -> str:
    """Bar of what is done, for a terminal."""
    filled = round(min(max(share, 0.0), 1.0) * width)
    return f"back-testing [{'#' * filled}{'.' * (width - filled)}] {share:4.0%}"
