# SPDX-License-Identifier: Apache-2.0
"""What back-tests print: a table for people, a document for programs, no bar on a pipe."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from submeter.errors import SubmeterError
from submeter.forecasting.series import Series
from submeter.interfaces.cli.plan_backtest import backtest
from submeter.reporting.backtests import progress_bar
from tests.forecasting.signals import grid


def _file(folder: Path, series: Series, zone: str = "DE") -> Path:
    path = folder / "series.csv"
    rows = [
        f"{datetime.fromtimestamp(series.start_utc_s + series.step_s * i, UTC):%FT%TZ},{v},{zone}"
        for i, v in enumerate(series.values.round(3))
    ]
    head = "timestamp_utc,ci_gco2e_per_kwh,zone"
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def test_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backtest(_file(tmp_path, grid(45)))
    out, err = capsys.readouterr()
    assert err == ""
    assert "series.csv: 2023-01-02 to 2023-02-15, slots of 60 min" in " ".join(out.split())
    assert "clock of Europe/Berlin" in out
    for words in ("semi-weekly, free pauses", "pauses of 90 s", "nightly, ± 8 h", "same as last"):
        assert words in out
    assert max(map(len, out.splitlines())) <= 100


def test_a_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backtest(_file(tmp_path, grid(45)), "semi-weekly", as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == 1
    assert told["series"]["timezone"] == "Europe/Berlin"
    assert [row["pauses"] for row in told["scenarios"]] == [
        "free pauses", "pauses of 90 s", "no pauses",
    ]  # fmt: skip
    for row in told["scenarios"]:
        assert row["realised_saving_ratio"] <= row["perfect_saving_ratio"]
        assert row["capture_ratio"] == pytest.approx(
            row["realised_saving_ratio"] / row["perfect_saving_ratio"]
        )
        assert 0 <= row["worse_share_ratio"] <= 1
    leads = [row["lead_h"] for row in told["forecast_errors"]]
    assert leads == [1, 6, 24, 48, 96]


def test_a_table_of_jobs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = tmp_path / "jobs.csv"
    jobs.write_text(
        "earliest_utc,duration_h,deadline_utc\n2023-01-20T09:00Z,8,2023-01-22T09:00Z\n",
        encoding="utf-8",
    )
    backtest(_file(tmp_path, grid(45)), str(jobs))
    assert "jobs.csv, free pauses" in capsys.readouterr().out


@pytest.mark.parametrize(("zone", "said"), [("Atlantis-7", "Atlantis-7"), ("", "--zone")])
def test_a_zone_that_is_not_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], zone: str, said: str
) -> None:
    backtest(_file(tmp_path, grid(20), zone), "nightly")
    out = capsys.readouterr().out
    assert said in out
    assert "by UTC" in out


def test_error_of_a_zone_that_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(SubmeterError):
        backtest(_file(tmp_path, grid(20)), "nightly", zone="Atlantis-7")


@pytest.mark.parametrize(("share", "blocks"), [(0.0, 0), (0.5, 15), (1.0, 30), (1.2, 30)])
def test_the_bar(share: float, blocks: int) -> None:
    assert progress_bar(share).count("#") == blocks
