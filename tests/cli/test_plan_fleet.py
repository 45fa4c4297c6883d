# SPDX-License-Identifier: Apache-2.0
"""``submeter plan --fleet`` and ``--solar``: files and options that people write."""

import pytest

from tests.cli.stage import Stage, stage

__all__ = ["stage"]

SITES = """
start = "2026-01-12 00:00"
end = "2026-01-13 00:00"
[[site]]
name = "berlin"
carbon = 300
power = "10 kW"
[[site]]
name = "lulea"
carbon = 40
power = "4 kW"
[[site.limit]]
start = "2026-01-12 00:00"
end = "2026-01-12 06:00"
shed = "2 kW"
"""
HEAD = "job,duration,deadline,power,interruptible,sites\n"
JOBS = HEAD + (
    "tune,6h,2026-01-12 20:00,3kW,yes,\npretrain,20h,2026-01-12 23:00,5.6kW,no,berlin\n"
)


def files(stage: Stage, jobs: str = JOBS, sites: str = SITES) -> tuple[str, ...]:
    (stage.path / "jobs.csv").write_text(jobs, encoding="utf-8")
    (stage.path / "sites.toml").write_text(sites, encoding="utf-8")
    return ("plan", "--fleet", "jobs.csv", "--sites", "sites.toml")


def test_a_fleet_is_planned_from_two_files(stage: Stage) -> None:
    called = stage.call(*files(stage), "--json")
    assert called.code == 0, called.err
    jobs = {row["job"]: row for row in called.document["jobs"]}
    assert jobs["tune"]["site"] == "lulea"
    assert jobs["tune"]["slices"][0]["start_utc"] >= "2026-01-12T06"
    assert called.document["cost"] == pytest.approx(6 * 3 * 40 + 20 * 5.6 * 300)
    assert called.document["gap_ratio"] <= 0.02
    shown = stage.call(*files(stage))
    assert "2 jobs on 2 sites" in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80
    limited = stage.call(*files(stage), "--json", "--time-limit", "2min").document
    assert (limited["cost"], limited["late"]) == (called.document["cost"], False)
    alone = stage.call("plan", "--duration", "1h", "--deadline", "in 9h", "--time-limit", "1min")
    assert (alone.code, "--time-limit is of planning a fleet" in alone.err) == (2, True)


WRONG = [
    ("an unknown site",
     HEAD + "a,1h,2026-01-12 09:00,1kW,no,mars\n", SITES, 2, "names the site mars"),
    ("a missing column", "job,duration\na,1h\n", SITES, 2, "has no column deadline"),
    ("an odd column",
     HEAD.replace("sites", "place") + "a,1h,x,1kW,no,\n", SITES, 2, "means nothing"),
    ("a bad duration", HEAD + "a,long,2026-01-12 09:00,1kW,no,\n", SITES, 2, "line 2: “long”"),
    ("a maybe", HEAD + "a,1h,2026-01-12 09:00,1kW,maybe,\n", SITES, 2, "interruptible is 'maybe'"),
    ("a site without carbon",
     JOBS, SITES.replace("carbon = 40", ""), 2, "says nothing of its carbon"),
    ("an odd word", JOBS, SITES.replace("carbon = 40", "colour = 1"), 2, "colour"),
    ("no time", JOBS, SITES.replace("2026-01-13", "2026-01-12"), 2, "which is 0 slots"),
    ("too short a step",
     JOBS, 'step = "1s"\n' + SITES.replace("2026-01-13", "2026-01-15"), 2, "longer step"),
    ("no job", HEAD, SITES, 2, "has no job"),
    ("too near a deadline", HEAD + "a,9h,2026-01-12 05:00,1kW,no,\n", SITES, 7,
     "job a needs 9 h, and its deadline leaves 5 h"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("jobs", "sites", "code", "words"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG]
)
def test_what_is_wrong_in_a_file_gets_one_clear_error(
    stage: Stage, jobs: str, sites: str, code: int, words: str
) -> None:
    called = stage.call(*files(stage, jobs, sites))
    assert called.code == code
    assert words in called.err
    assert called.err.count("\n") == 2


ONE = (
    "plan", "--at", "2026-06-10 06:00", "--duration", "3h", "--deadline", "2026-06-10 20:00",
    "--zone", "52.5,13.4", "--power", "3kW", "--solar", "10kW", "--battery", "20kWh",
)  # fmt: skip


def test_a_job_goes_where_the_sun_is(stage: Stage) -> None:
    called = stage.call(*ONE, "--json")
    assert called.code == 0, called.err
    planned, at_once = called.document["planned"], called.document["at_once"]
    assert planned["load_kwh"] == pytest.approx(9.0)
    assert planned["carbon_g"] <= at_once["carbon_g"] + 1e-6
    assert "own use of the sun" in stage.call(*ONE).out


def test_without_a_price_no_cost_is_told(stage: Stage) -> None:
    called = stage.call(*ONE, "--json")
    assert called.document["planned"]["cost"] == {"missing": "no price was given"}
    words = stage.call(*ONE).out
    assert "cost is not known" in words
    assert "  cost " not in words
    assert "  cost " in stage.call(*ONE, "--price", "0.31").out
    refused = stage.call(*ONE, "--objective", "cost")
    assert (refused.code, refused.out) == (2, "")
    assert "--price" in refused.err


def test_what_is_not_there_has_no_line(stage: Stage) -> None:
    words = stage.call(*ONE[:-2]).out
    assert "battery  " not in words
    assert "wear" not in words
    assert "sun  " not in stage.call(*ONE[:-4], "--battery", "5kWh").out


def test_a_window_to_shed_that_cannot_be_met_says_by_how_much(stage: Stage) -> None:
    bare = (*ONE[:-4], "--battery", "1kWh", "--shed", "9kW 07:00-08:00")
    called = stage.call(*bare)
    assert called.code == 7
    assert "shedding 9 kW cannot be met" in called.err
