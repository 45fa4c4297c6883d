# SPDX-License-Identifier: Apache-2.0
"""Jobs of the published benchmark have its statistics, and those of tables are checked."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from submeter.errors import InfeasibleError, SubmeterError, UsageError
from submeter.forecasting.scenarios import (
    TRAININGS,
    Jobs,
    given_jobs,
    next_workday,
    nightly,
    semi_weekly,
)
from submeter.forecasting.series import Series

START = datetime(2019, 12, 20, tzinfo=UTC).timestamp()
TWENTY = Series(START, 1800.0, np.ones(18_576))  # to 9 January 2021, as the published series


def _of_2020(jobs: Jobs) -> Jobs:
    begins = START + 1800 * jobs.earliest
    years = np.array([datetime.fromtimestamp(b, UTC).year for b in begins])
    return jobs.taken(years == 2020)


def _when(slots: np.ndarray, series: Series = TWENTY) -> list[datetime]:
    return [datetime.fromtimestamp(series.start_utc_s + series.step_s * s, UTC) for s in slots]


def test_trainings_are_as_published() -> None:
    jobs = _of_2020(semi_weekly(TWENTY))
    assert len(jobs) == TRAININGS == 3387
    hours = jobs.slots / 2
    assert (hours.min(), hours.max()) == (4, 89.5)
    assert hours.mean() == pytest.approx(46.75, rel=0.02)
    for asked in _when(jobs.earliest):
        assert asked.weekday() < 5
        assert 9 <= asked.hour < 17
    np.testing.assert_array_equal(jobs.earliest, jobs.at_once)


def test_trainings_end_by_the_next_monday_or_thursday_at_nine() -> None:
    jobs = semi_weekly(TWENTY)
    ends = _when(jobs.earliest + jobs.slots)
    for end, deadline in zip(ends, _when(jobs.deadline), strict=True):
        assert deadline.weekday() in {0, 3}
        assert (deadline.hour, deadline.minute) == (9, 0)
        assert 0 <= (deadline - end).total_seconds() <= 4 * 86400


def test_trainings_end_by_the_next_workday() -> None:
    jobs = next_workday(TWENTY)
    for end, deadline in zip(_when(jobs.earliest + jobs.slots), _when(jobs.deadline), strict=True):
        if deadline != end:
            assert deadline.weekday() < 6  # those of Friday evenings on Saturday, as published
            assert (deadline.hour, deadline.minute) == (9, 0)
        else:
            assert end.weekday() < 5
            assert 9 <= end.hour <= 17
        assert (deadline - end).total_seconds() <= 3 * 86400


@pytest.mark.parametrize("step_s", [300.0, 1800.0, 3600.0])
def test_the_same_jobs_in_slots_of_any_length(step_s: float) -> None:
    year = Series(START, step_s, np.ones(round(380 * 86400 / step_s)))
    jobs = semi_weekly(year)
    assert (jobs.deadline - jobs.earliest >= jobs.slots).all()
    half = semi_weekly(TWENTY)
    hours = jobs.slots * step_s / 3600
    assert hours.mean() == pytest.approx(half.slots.mean() / 2, rel=0.03)


def test_nights() -> None:
    jobs = nightly(TWENTY, 4)
    assert len(jobs) == pytest.approx(387, abs=1)
    assert {(w.hour, w.minute) for w in _when(jobs.at_once)} == {(1, 0)}
    assert {(w.hour, w.minute) for w in _when(jobs.earliest)} == {(21, 0)}
    np.testing.assert_array_equal(jobs.deadline - jobs.at_once, 9)


def _table(folder: Path, text: str) -> Path:
    path = folder / "jobs.csv"
    path.write_text("earliest_utc,duration_h,deadline_utc\n" + text, encoding="utf-8")
    return path


def test_a_table_of_jobs(tmp_path: Path) -> None:
    path = _table(
        tmp_path,
        "2020-02-01T09:10Z,3.2,2020-02-02T00:00Z\n2020-01-01T00:00:00,1,2020-01-01T01:00+00:00\n",
    )
    jobs = given_jobs(path, TWENTY)
    assert [str(w.replace(tzinfo=None)) for w in _when(jobs.earliest)] == [
        "2020-01-01 00:00:00", "2020-02-01 09:30:00",
    ]  # fmt: skip
    np.testing.assert_array_equal(jobs.slots, [2, 7])


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("", UsageError, "holds no job"),
        ("soon,3,2020-02-02\n", UsageError, "line 2"),
        ("2020-02-01,-3,2020-02-02\n", UsageError, "-3 h"),
        ("2020-02-01,nan,2020-02-02\n", UsageError, "nan"),
        ("2020-02-01,25,2020-02-02\n", InfeasibleError, "does not fit"),
        ("2022-02-01,2,2022-02-02\n", UsageError, "within the series"),
        ("2020-02-01,2\n", UsageError, "line 2"),
    ],
)
def test_error_of_a_table_of_jobs(
    tmp_path: Path, text: str, error: type[SubmeterError], said: str
) -> None:
    with pytest.raises(error, match=said) as caught:
        given_jobs(_table(tmp_path, text), TWENTY)
    assert caught.value.remedy


def test_error_of_no_table(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        given_jobs(tmp_path / "none.csv", TWENTY)
    (tmp_path / "odd.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError):
        given_jobs(tmp_path / "odd.csv", TWENTY)
