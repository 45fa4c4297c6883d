# SPDX-License-Identifier: Apache-2.0
"""What the carbon of two runs owes to their hours."""

import math
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from submeter.comparing.differences import Change
from submeter.comparing.hours import hour_log_sds
from submeter.comparing.runs import Column, compare_columns
from submeter.grid.scatter import scatter
from submeter.records.footprints import Footprint
from submeter.records.runs import Run
from submeter.running.reckoning import reckoned
from tests.comparing.runs import a_run

START = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def nobodys_home(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("SUBMETER_HOME", f"{tmp_path}/home")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def at(hours: float, zone: str = "DE", *, duration_s: float = 600.0) -> tuple[Run, Footprint]:
    started = (START + timedelta(hours=hours)).isoformat().replace("+00:00", "Z")
    run = a_run(
        place={"zone": zone, "zone_from": "argument"}, started_utc=started, duration_s=duration_s
    )
    return run, reckoned(run)


def test_the_same_hour_has_no_doubt_and_it_grows_with_the_time_between() -> None:
    sds = hour_log_sds([at(h) for h in (0, 0, 1, 6, 24, 24 * 30)])
    assert sds[:2] == [0.0, 0.0]
    assert sds == sorted(sds)
    assert sds[2] > 0
    made = at(0)[1]
    assert made.zone is not None
    whole = scatter(made.zone, START.timestamp()).windows[0][1]
    assert sds[-1] <= math.sqrt(2) * whole
    assert sds[-1] == pytest.approx(math.sqrt(2) * whole, rel=0.01)


def test_before_and_after_are_alike() -> None:
    one, other = at(0), at(5)
    assert hour_log_sds([one, other])[1] == pytest.approx(hour_log_sds([other, one])[1])


def test_a_long_run_owes_less_to_its_hours() -> None:
    short = hour_log_sds([at(0), at(24 * 30)])[1]
    long = hour_log_sds([at(0, duration_s=7 * 86400), at(24 * 30, duration_s=7 * 86400)])[1]
    assert long < short


def test_rows_of_two_grids_are_doubtful_by_themselves() -> None:
    assert hour_log_sds([at(0), at(5, "SE")])[1] == 0


def test_a_grid_that_was_reckoned_by_its_hours_has_none() -> None:
    run, made = at(5)
    live = tuple(msgspec.structs.replace(f, verified="live") for f in made.factors)
    assert hour_log_sds([at(0), (run, msgspec.structs.replace(made, factors=live))])[1] == 0


def test_the_carbon_of_equal_energies_on_two_days_is_not_distinguishable() -> None:
    (one, made), (other, other_made) = at(0), at(30)
    more = msgspec.structs.replace(other, id="other")
    columns = [Column("a", (one,), (made,)), Column("b", (more,), (other_made,))]
    rows = {row.key: row.changes[1] for row in compare_columns(columns).rows}
    carbon, energy = rows["carbon"], rows["energy"]
    assert isinstance(carbon, Change)
    assert isinstance(energy, Change)
    assert energy.same
    assert not carbon.distinguishable
    assert carbon.ratio_high / carbon.ratio_low > 1.5
