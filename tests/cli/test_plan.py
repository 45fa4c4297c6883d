# SPDX-License-Identifier: Apache-2.0
"""``plan``: what is said, what is kept, what is handed over, and what is refused."""

import math
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from syrupy.assertion import SnapshotAssertion

from benchmarks.planning_page import PAGE, commands, executed
from submeter.errors import UsageError
from submeter.interfaces.planning import allowed_hours, course_of, weights_of
from submeter.planning.costs import Costs
from submeter.records.places import Zone
from submeter.records.runs import Series
from submeter.storing.ledger import open_ledger
from tests.cli.stage import Stage, stage
from tests.storing.runs import make_run

__all__ = ["stage"]

NOW = "2026-11-23T21:17Z"
NIGHT = ("--duration", "8h", "--deadline", "tomorrow 18:00", "--at", NOW)
SUMMER = ("--duration", "8h", "--deadline", "tomorrow 18:00", "--at", "2026-06-23T20:17Z")
POWER = ("--power", "3.2kW")
DE = ("--zone", "DE")
DEAR = ("--checkpoint-cost", "5min", "--restart-cost", "5min", "--idle-power", "200W")


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")


def same(text: str) -> str:
    """*text* with the digits of chance in ids set alike."""
    return re.sub(r"(plan-\d{8}-\d{6}-)[0-9a-f]{4}", r"\g<1>abcd", text)


def told(stage: Stage, *args: str) -> dict[str, Any]:
    done = stage.call("plan", *args, "--json")
    assert (done.code, done.err) == (0, "")
    found: dict[str, Any] = done.document
    return found


def hourly(path: Path, days: int = 21, *, end: str = NOW, **head: str) -> Path:
    """File of a past until *end*: clean at noon, dirty at night."""
    stop = datetime.fromisoformat(end).timestamp() // 3600 * 3600
    rows = []
    for i in range(days * 24, 0, -1):
        at = stop - i * 3600
        value = 300 - 150 * math.sin(math.pi * ((at / 3600) % 24 - 6) / 12)
        rows.append((f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}", f"{value:.3f}"))
    if head:
        lines = [f"# {name}: {words}" for name, words in head.items()]
        lines += ["timestamp,value", *(f"{at},{value}" for at, value in rows)]
    else:
        lines = ["timestamp_utc,ci_gco2e_per_kwh", *(f"{at},{value}" for at, value in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


# --- the answer ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    [
        (*SUMMER, *DE, *POWER),
        (*NIGHT, *DE, *POWER),
        (*NIGHT, "--zone", "ZA", "--interruptible", "--min-slice", "30m", "--checkpoint-cost",
         "90s"),
        (*NIGHT, "--zone", "SE"),
        (*NIGHT, *POWER, "--where", "DE,SE,FR", "--data", "200GB", "--queue", "FR=2h"),
        (*NIGHT, *DE, "--objective", "cost", "--price", "22:00-06:00=0.18,else=0.31"),
        ("--duration", "16h", "--deadline", "2026-11-29 18:00", "--at", NOW, *DE,
         "--interruptible", "--off-peak", "10:00-16:00"),
        ("--duration", "12h", "--deadline", "tomorrow 18:00", "--at", "2026-06-23T20:17Z", *DE,
         *POWER, "--scale", "1,2,4", "--scaling", "amdahl:0.95"),
    ],
    ids=["summer", "night", "pauses", "flat", "places", "cost", "week", "sizes"],
)  # fmt: skip
def test_the_answer_as_it_is_read(
    args: tuple[str, ...], stage: Stage, snapshot: SnapshotAssertion
) -> None:
    done = stage.call("plan", *args)
    assert (done.code, done.err) == (0, "")
    assert max(map(len, done.out.splitlines())) <= 80
    assert "\x1b" not in done.out
    assert same(done.out) == snapshot


def test_what_was_typed_is_repeated_back_in_full(stage: Stage) -> None:
    out = " ".join(stage.call("plan", *NIGHT, *DE, *POWER).out.split())
    for words in (
        "8 h of work at 3.2 kW", "from Mon 2026-11-23 22:17 CET",
        "done by Tue 2026-11-24 18:00 CET", "Germany",
    ):  # fmt: skip
        assert words in out


def test_the_json_has_the_slices_and_the_doubt(stage: Stage) -> None:
    document = told(stage, *SUMMER, *DE, *POWER)
    plan = document["plan"]
    assert plan["made_utc"] == "2026-06-23T20:17:00.000Z"
    (part,) = plan["slices"]
    length = datetime.fromisoformat(part["end_utc"]) - datetime.fromisoformat(part["start_utc"])
    assert length.total_seconds() == pytest.approx(8 * 3600)
    saving = plan["expected_saving"]
    assert saving["low"] <= saving["value"] <= saving["high"]
    assert 0 < plan["chance_worse"] < 0.5
    assert plan["expected"]["carbon_g"]["unit"] == "g"
    assert plan["job"]["power_w"] == 3200.0
    assert "missing" in document["marginal_saving"]
    assert len(document["chart"]["values"]) == 20


@pytest.mark.parametrize("zone", ["DE", "Germany", "aws/eu-central-1"])
def test_zones_have_many_names(stage: Stage, zone: str) -> None:
    assert told(stage, *NIGHT, "--zone", zone)["plan"]["zone"].startswith("DE")


# --- the job ------------------------------------------------------------------------------------


def kept_run(stage: Stage, **more: Any) -> str:
    run = make_run(duration_s=7200.0, **more)
    with open_ledger(stage.home / "ledger.db") as ledger:
        ledger.put(run)
    return run.id


def test_a_kept_run_gives_its_length_and_its_course_of_power(stage: Stage) -> None:
    course = [1.0] * 60 + [9.0] * 60
    kept_run(stage, series=Series(slot_s=60.0, devices={"cpu0": course}))
    job = told(stage, "--run", "last", "--deadline", "in 20h", "--at", NOW, *DE)["plan"]["job"]
    assert job["duration_s"] == 7200.0
    powers = job["power_course_w"]
    assert len(powers) == 120
    assert powers[-1] == pytest.approx(9 * powers[0])
    assert sum(powers) / len(powers) == pytest.approx(job["power_w"])


def test_the_course_keeps_the_energy_whatever_its_steps(stage: Stage) -> None:
    del stage
    for slots in (8, 239, 240, 241, 700):
        run = make_run(
            duration_s=7200.0,
            series=Series(slot_s=7200 / slots, devices={"cpu0": list(map(float, range(slots)))}),
        )
        course, mean = course_of(run)
        assert mean is not None
        assert sum(course) / len(course) == pytest.approx(mean, rel=1e-9)
        assert list(course) == sorted(course)


def test_an_estimate_gives_length_and_power(stage: Stage) -> None:
    (stage.path / "spec.toml").write_text(
        'gpu_hours = 64\n\n[machine]\nhardware = "a100:8"\n'.replace("gpu_hours = 64\n\n", "")
        + "gpu_hours = 64\n"
    )
    job = told(stage, "--estimate", "spec.toml", "--deadline", "in 2 days", "--at", NOW, *DE)
    assert job["plan"]["job"]["duration_s"] == pytest.approx(8 * 3600, rel=0.2)
    assert 3000 < job["plan"]["job"]["power_w"] < 12_000


@pytest.mark.parametrize(
    ("words", "weights"),
    [("carbon", {"carbon": 1.0}), ("0.7*carbon+0.3*cost", {"carbon": 0.7, "cost": 0.3}),
     ("2*carbon + 2*water", {"carbon": 0.5, "water": 0.5}), ("Cost", {"cost": 1.0})],
)  # fmt: skip
def test_objectives(words: str, weights: dict[str, float]) -> None:
    assert weights_of(words) == pytest.approx(weights)


def test_hours_of_the_day_are_those_of_the_place_in_dst_nights_too() -> None:
    berlin = Zone("DE", "Germany", "country", "argument", timezone="Europe/Berlin")
    midnight = datetime(2026, 10, 24, 22, tzinfo=UTC).timestamp()  # 00:00 CEST, a 25 h day
    made = allowed_hours("22:00-06:00", berlin)(Costs(midnight, 3600.0, np.ones(25)))
    assert (~made.forbidden).tolist() == [True] * 7 + [False] * 16 + [True] * 2


def test_a_measured_profile_says_how_a_job_scales(stage: Stage) -> None:
    file = stage.path / "profile.csv"
    file.write_text("workers,throughput,power_w\n1,100,1000\n2,190,2000\n4,210,4000\n")
    args = (
        "--duration",
        "24h",
        "--deadline",
        "tomorrow 18:00",
        "--at",
        NOW,
        *DE,
        "--power",
        "1kW",
    )
    sizes = ("--scale", "1,2,4", "--scaling", str(file))
    plan = told(stage, *args, *sizes)["plan"]
    assert {s["workers"] for s in plan["slices"]} <= {1, 2, 4}
    rate = {1: 1.0, 2: 1.9, 4: 2.1}
    done = sum(
        rate[s["workers"]]
        * (
            datetime.fromisoformat(s["end_utc"]) - datetime.fromisoformat(s["start_utc"])
        ).total_seconds()
        for s in plan["slices"]
    )
    assert done == pytest.approx(24 * 3600, rel=1e-6)  # more than fits on one
    refused = stage.call("plan", *args)
    assert (refused.code, "do not fit" in refused.err) == (7, True)


# --- series -------------------------------------------------------------------------------------


def test_a_past_series_is_forecast_from(stage: Stage) -> None:
    file = hourly(stage.path / "past.csv")
    document = told(stage, *NIGHT, *DE, "--series", str(file))
    plan = document["plan"]
    assert plan["worthwhile"]
    start = datetime.fromisoformat(plan["slices"][0]["start_utc"])
    assert 7 <= start.hour + start.minute / 60 <= 9  # clean from 6 to 18 UTC, done by 17
    assert plan["expected_saving"]["value"] > 0.2
    assert plan["source"].startswith("own forecast")


@pytest.mark.parametrize("beside", ["2026-11-23T21:00:17Z", "2026-11-23T21:16:40Z"])
def test_readings_need_not_be_on_the_hour(beside: str, stage: Stage) -> None:
    file = hourly(stage.path / "past.csv")
    moved = file.read_text().replace(":00:00Z", beside[13:])
    file.write_text(moved)
    plan = told(stage, *NIGHT, *DE, "--series", str(file))["plan"]
    assert plan["expected_saving"]["value"] > 0.2


def test_what_a_series_knows_of_the_future_is_not_looked_at(stage: Stage) -> None:
    past = hourly(stage.path / "past.csv")
    more = past.read_text()
    stop = datetime.fromisoformat(NOW).timestamp() // 3600 * 3600
    later = [f"{datetime.fromtimestamp(stop + i * 3600, UTC):%Y-%m-%dT%H:%M:%SZ},1.0"
             for i in range(48)]  # fmt: skip
    whole = stage.path / "whole.csv"
    whole.write_text(more + "\n".join(later) + "\n")
    one, other = (
        told(stage, *NIGHT, *DE, "--series", str(file))["plan"] for file in (past, whole)
    )
    assert one["slices"] == other["slices"]
    assert one["expected_saving"] == other["expected_saving"]


def test_a_back_test_is_handed_on(stage: Stage) -> None:
    file = hourly(stage.path / "past.csv", days=60)
    done = stage.call("plan", "--backtest", str(file), "--scenario", "nightly", "--json")
    assert done.code == 0, done.err
    assert done.document
    refused = stage.call("plan", "--scenario", "nightly")
    assert (refused.code, "is of a back-test" in refused.err) == (2, True)


def test_a_marginal_series_is_heeded_too(stage: Stage) -> None:
    average = hourly(stage.path / "average.csv")
    marginal = hourly(stage.path / "marginal.csv", kind="marginal, direct, production")
    files = ("--series", str(average), "--series", str(marginal))
    document = told(stage, *NIGHT, *DE, *files, "--signal", "both")
    assert document["marginal_saving"]["value"] > 0.2
    assert document["caution_ratio"] == pytest.approx(0.0, abs=1e-6)


def test_prices_may_be_a_series(stage: Stage) -> None:
    file = hourly(stage.path / "price.csv", unit="EUR/kWh")
    plan = told(stage, *NIGHT, *DE, "--series", str(file), "--objective", "cost")["plan"]
    assert plan["expected"]["cost"]["unit"].startswith("EUR")
    assert plan["expected_saving"]["value"] > 0.2


def test_a_provider_is_asked_for_the_past_and_for_what_it_forecasts(stage: Stage) -> None:
    """a file stands for a provider: readings until now, then its own forecast."""
    now = time.time() // 3600 * 3600
    head = ["# kind: average, lifecycle, consumption", "timestamp,value,forecast"]
    rows = [
        f"{datetime.fromtimestamp(now + i * 3600, UTC):%Y-%m-%dT%H:%M:%SZ},"
        + (f"{300 + 20 * math.sin(i / 24 * 2 * math.pi):.1f}," if i < 0
           else f",{50.0 if 10 <= i < 14 else 300.0}")
        for i in range(-24 * 41, 24)
    ]  # fmt: skip
    (stage.path / "live.csv").write_text("\n".join([*head, *rows]) + "\n")
    args = ("--duration", "3h", "--deadline", "in 20h", *DE, "--provider", "csv:live.csv")
    plan = told(stage, *args)["plan"]
    assert plan["source"].startswith("forecast of the series itself")
    start = datetime.fromisoformat(plan["slices"][0]["start_utc"]).timestamp()
    assert now + 10 * 3600 <= start <= now + 11.1 * 3600
    assert plan["expected_saving"]["value"] > 0.7


def test_where_a_provider_fails_the_profile_stands_in_and_says_so(stage: Stage) -> None:
    file = hourly(stage.path / "live.csv", kind="average, lifecycle, consumption")
    file.write_text("\n".join(file.read_text().splitlines()[:30]) + "\n")  # a day, long ago
    plan = told(stage, *NIGHT, *DE, "--provider", f"csv:{file}")["plan"]
    assert any("offline figures, because" in note for note in plan["notes"])
    assert plan["source"].startswith("profile of a mean day")


# --- kept and handed over -----------------------------------------------------------------------


def test_plans_are_kept_listed_shown_and_forgotten(stage: Stage) -> None:
    first = told(stage, *NIGHT, *DE)["plan"]
    last = told(stage, *NIGHT, "--zone", "ZA")["plan"]
    listed = stage.call("plan", "--list", "--json").document["plans"]
    assert {p["id"] for p in listed} == {first["id"], last["id"]}
    shown = stage.call("plan", "--show", first["id"], "--json").document["plan"]
    assert shown == first
    shown_text = stage.call("plan", "--show", first["id"]).out
    assert first["id"] in shown_text
    assert "22:17 CET" in shown_text  # by the clock that the plan was told by
    assert "CET" in stage.call("plan", "--list").out
    assert stage.call("plan", "--rm", first["id"]).code == 0
    assert [p["id"] for p in stage.call("plan", "--list", "--json").document["plans"]] == [
        last["id"]
    ]
    gone = stage.call("plan", "--show", first["id"])
    assert (gone.code, gone.err.startswith("error: there is no plan")) == (6, True)


def test_without_numpy_kept_plans_are_told_and_the_extra_is_named(stage: Stage) -> None:
    ident = told(stage, *NIGHT, *DE)["plan"]["id"]
    bare = (
        "import sys; sys.modules['numpy'] = None\n"
        "from submeter.interfaces.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )

    def call(*args: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-c", bare, "plan", *args]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    assert ident in call("--list").stdout
    assert ident in call("--show", "last-plan").stdout
    refused = call(*NIGHT, *DE)
    assert refused.returncode == 2
    assert "try:   pip install 'submeter[plan]'" in refused.stderr


def test_without_plans_there_is_nothing_to_list(stage: Stage) -> None:
    assert stage.call("plan", "--list").out == "no plan is kept\n"


@pytest.mark.parametrize("kind", ["slurm", "kubernetes", "at", "systemd"])
def test_a_job_is_handed_over_and_nothing_else_is_written(kind: str, stage: Stage) -> None:
    done = stage.call(
        "plan", *NIGHT, "--zone", "ZA", "--emit", kind, "--image", "ml:1", "--", "python",
        "train.py", "--json",
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert "train.py" in done.out
    assert "# plan-" in done.out
    kept = stage.call("plan", "--show", "last-plan", "--json").document["plan"]
    assert kept["command"] == ["python", "train.py", "--json"]


def test_the_page_says_what_its_commands_print() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert len(commands(page)) >= 4
    assert executed(page) == page, "python -m benchmarks.planning_page writes what they print now"


# --- refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        ((*DE,), 2, "how long the work takes is not said"),
        (("--duration", "8h", *DE), 2, "no deadline is said"),
        (("--duration", "8h", "--deadline", "2026-11-23 20:00", "--at", NOW, *DE), 2,
         "the deadline Mon 2026-11-23 20:00 CET is past: it is Mon 2026-11-23 22:17 CET"),
        (("--duration", "21h", "--deadline", "tomorrow 18:00", "--at", NOW, *DE), 7,
         "21 h of work do not fit into the 19.72 h until the deadline"),
        ((*NIGHT, "--zone", "Atlantis"), 4, "Atlantis"),
        (("--duration", "8", "--deadline", "08:00", *DE), 2, "“8” is no duration"),
        (("--duration", "8h", "--deadline", "someday", *DE), 2, "“someday” is no time"),
        ((*NIGHT, *DE, "--power", "3 kWh"), 2, "is no power"),
        ((*NIGHT, *DE, "--objective", "carbon+carbon"), 2, "the objective has carbon twice"),
        ((*NIGHT, *DE, "--objective", "0*carbon"), 2, "a weight of zero"),
        ((*NIGHT, *DE, "--objective", "speed"), 2, "not something that can be made small"),
        ((*NIGHT, *DE, "--signal", "both"), 2, "no marginal intensity of Germany"),
        ((*NIGHT, *DE, "--signal", "both", "--objective", "cost"), 2, "is of carbon"),
        ((*NIGHT, *DE, "--off-peak", "22-6"), 2, "no stretch of a day"),
        ((*NIGHT, *DE, "--off-peak", "22:00-22:30"), 7, "do not fit into the hours"),
        ((*NIGHT, *DE, "--queue", "SE=2h"), 2, "SE has a queue and is not among the places"),
        ((*NIGHT, *DE, "--queue", "SE"), 2, "is no queue"),
        ((*NIGHT, "--where", "DE,SE", "--data", "200GB"), 2, "power is not known"),
        ((*NIGHT, "--where", "DE,SE", *POWER, "--data", "200"), 2, "no amount of data"),
        ((*NIGHT, *DE, "--live"), 2, "no provider is set"),
        ((*NIGHT, *DE, "--run", "last", "--estimate", "x.toml"), 2, "two jobs"),
        ((*NIGHT, *DE, "--emit", "slurm"), 2, "no command to hand over"),
        ((*NIGHT, *DE, "--emit", "slurm", "--json", "--", "x"), 2, "a job and no JSON"),
        ((*NIGHT, *DE, "--emit", "kubernetes", "--", "x"), 2, "no image is named"),
        ((*NIGHT, *DE, "--price", "cheap"), 2, "cheap"),
        ((*NIGHT, *DE, *POWER, "--scale", "1,2"), 2, "by how it scales"),
        ((*NIGHT, *DE, "--scale", "1,2", "--scaling", "amdahl:0.9"), 2, "power of the job is not"),
        ((*NIGHT, *DE, *POWER, "--scale", "2,1", "--scaling", "amdahl:0.9"), 2, "unlike 2,1"),
        ((*NIGHT, *DE, *POWER, "--scale", "a", "--scaling", "amdahl:0.9"), 2, "no numbers of"),
        ((*NIGHT, *DE, *POWER, "--scale", "1,2", "--scaling", "amdahl:x"), 2, "no share"),
        ((*NIGHT, *DE, *POWER, "--scale", "1,2", "--scaling", "amdahl:2"), 2, "parallel share"),
        ((*NIGHT, *DE, *POWER, "--scale", "1,2", "--scaling", "none.csv"), 2, "none.csv"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_error(
    args: tuple[str, ...], code: int, words: str, stage: Stage
) -> None:
    done = stage.call("plan", *args)
    assert done.code == code, done.err
    assert done.out == ""
    what, how = done.err.splitlines()
    assert what.startswith("error: ")
    assert words in what
    assert how.startswith("try:   ")
    assert stage.call("plan", "--list").out == "no plan is kept\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("timestamp_utc,ci_gco2e_per_kwh\n2026-11-23T20:00:00Z,x\n", "is no number"),
        ("timestamp_utc,ci_gco2e_per_kwh\n2026-11-23T20:00:00Z,1\n", "no two readings"),
        ("hour,value\n1,2\n", "has no column timestamp_utc"),
        ("# unit: MW\ntimestamp,value\n2026-11-23T20:00:00Z,1\n", "nothing that is planned by"),
        ("# unit: EUR/MWh\ntimestamp,value\n2026-11-23T20:00:00Z,1\n", "planned by"),
        ("timestamp,value\n2026-11-23T20:00:00Z,1\n", "which kind of intensity"),
        ("", "has no column"),
    ],
)
def test_a_series_that_cannot_be_read_is_one_clear_error(
    text: str, words: str, stage: Stage
) -> None:
    file = stage.path / "bad.csv"
    file.write_text(text)
    done = stage.call("plan", *NIGHT, *DE, "--series", str(file))
    assert done.code == 2, done.err
    assert words in done.err
    assert len(done.err.splitlines()) == 2


def test_d20_a_series_with_holes_or_in_another_unit_is_one_clear_error(stage: Stage) -> None:
    file = hourly(stage.path / "past.csv")
    lines = file.read_text().splitlines()
    holed = [f"{x.split(',')[0]}," if i % 3 == 1 else x for i, x in enumerate(lines[1:])]
    file.write_text("\n".join([lines[0], *holed]) + "\n")
    done = stage.call("plan", *NIGHT, *DE, "--series", str(file))
    assert (done.code, "past.csv has holes: 168 of 504 slots" in done.err) == (2, True)
    lines[1:] = [f"{x.split(',')[0]},{float(x.split(',')[1]) / 1000}" for x in lines[1:]]
    file.write_text("\n".join(lines) + "\n")
    done = stage.call("plan", *NIGHT, *DE, "--series", str(file))
    assert (done.code, "seems to be kgCO2e/kWh" in done.err) == (2, True)


def test_a_pipe_is_no_series_and_nobody_waits_for_it(stage: Stage) -> None:
    os.mkfifo(stage.path / "pipe")
    for args in ([*NIGHT, *DE, "--series", "pipe"], ["--backtest", "pipe"]):
        done = stage.call("plan", *args)
        assert (done.code, "pipe is no file" in done.err) == (2, True)


def test_a_plan_that_cannot_be_kept_is_told_all_the_same(stage: Stage) -> None:
    (stage.home).mkdir(parents=True, exist_ok=True)
    (stage.home / "plans").write_text("in the way")
    done = stage.call("plan", *NIGHT, *DE, "--json")
    assert done.code == 0
    assert done.document["plan"]["zone"] == "DE"
    assert "the plan is not kept" in done.err


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--off-peak", "22:00-06:00"), "--off-peak has no effect"),
        (("--series", "past.csv"), "--series has no effect"),
        (("--where", "SE"), "--where has no effect"),
        (("--signal", "marginal"), "--signal has no effect"),
        (("--emit", "at"), "--emit has no effect"),
        (("--objective", "cost"), "what a kilowatt-hour costs is not said"),
        (("--shed", "2kW 18:00-19:00"), "come after the deadline"),
    ],
)
def test_what_a_battery_s_plan_does_not_heed_is_refused(
    option: tuple[str, ...], said: str, stage: Stage
) -> None:
    pytest.importorskip("highspy")
    args = ["--duration", "1h", "--power", "1kW", "--battery", "5kWh", "--deadline", "in 4h"]
    done = stage.call("plan", *args, *DE, "--at", "2026-11-20T06:00Z", *option)
    assert (done.code, said in done.err) == (2, True), done.err


def test_what_sizes_do_not_heed_is_refused(stage: Stage) -> None:
    sizes = ("--scale", "1,2", "--scaling", "amdahl:0.9", "--power", "1kW")
    done = stage.call("plan", *NIGHT, *DE, *sizes, "--min-slice", "30m")
    assert (done.code, "--min-slice has no effect with --scale" in done.err) == (2, True)


def test_changing_the_size_costs(stage: Stage) -> None:
    sizes = ("--scale", "1,2,4", "--scaling", "amdahl:0.95", "--power", "1kW")
    file = hourly(stage.path / "past.csv")
    args = (*NIGHT, *DE, *sizes, "--series", str(file))
    free, dear = (told(stage, *args, *more)["plan"] for more in ((), DEAR))
    assert dear["expected_saving"]["value"] <= free["expected_saving"]["value"] + 1e-9
    assert {s["workers"] for s in dear["slices"]} <= {1, 2, 4}


@pytest.mark.parametrize(
    ("start", "words", "slots"),
    [
        ("2026-10-25T01:30Z", "2kW 22:00-06:00", (0, 14)),  # half past two, for the second time
        ("2026-10-24T21:00Z", "2kW 02:00-04:00", (12, 24)),  # three hours long in that night
        ("2026-03-29T00:30Z", "2kW 04:00-05:00", (6, 10)),  # after the hour that is left out
        ("2026-11-20T12:00Z", "2kW 17:00-19:00", (16, 24)),
        ("2026-11-20T17:30Z", "2kW 17:00-19:00", (0, 2)),
    ],
)
def test_b07_hours_to_shed_are_the_next_ones_on_the_wall(
    start: str, words: str, slots: tuple[int, int]
) -> None:
    np = pytest.importorskip("numpy")
    from submeter.interfaces.cli.plan_microgrid import _shed
    from submeter.planning.microgrids import Supply

    row = np.zeros(4 * 20)
    begin_s = datetime.fromisoformat(start).timestamp()
    found = _shed(words, Supply(begin_s, 900.0, row, row, row, row, row), "Europe/Berlin")
    assert (found.first, found.last) == slots


def test_a_sure_saving_has_one_percent_sign_and_begins_with_the_cheap_hours(stage: Stage) -> None:
    tariff = ("--objective", "cost", "--price", "22:30-06:00=0.18,else=0.31")
    done = stage.call("plan", *NIGHT, *DE, *POWER, *tariff, "--duration", "4h")
    assert "Start 22:30, done Tue 02:30: −3.8 % cost against starting now, 22:17." in done.out


def test_what_differs_by_less_than_is_written_is_drawn_flat(stage: Stage) -> None:
    file = hourly(stage.path / "past.csv")
    file.write_text(re.sub(r",\d+\.\d+$", ",300", file.read_text(), flags=re.MULTILINE))
    chart = stage.call("plan", *NIGHT, *DE, "--series", str(file)).out
    assert re.search(r"Mon 22:17 (\S)\1+ Tue 18:00  300 – 300 g/kWh", chart)


def test_a_grid_that_emits_nothing_is_flat(stage: Stage) -> None:
    path = hourly(stage.path / "past.csv")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *(line.split(",")[0] + ",0" for line in lines[1:])]))
    document = told(stage, *NIGHT, *DE, "--series", str(path))
    assert document["plan"]["expected_saving"]["value"] == 0.0
    assert document["plan"]["expected"]["carbon_g"]["value"] == 0.0
    assert "the grid is flat" in document["plan"]["instead"][0]


def test_a_series_that_ends_long_ago_names_the_way_to_look_back(stage: Stage) -> None:
    file = hourly(stage.path / "past.csv", end="2026-11-01T00:00Z")
    done = stage.call("plan", *NIGHT, *DE, "--series", str(file))
    assert done.code == 4
    assert "ends 2026-11-01 00:00 UTC, and now is 2026-11-23 21:17 UTC" in done.err
    assert "--at '2026-11-01T00:00Z'" in done.err


def test_e13_a_provider_that_wants_a_key_says_which(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ENTSOE_TOKEN", raising=False)
    done = stage.call("plan", *NIGHT, *DE, "--provider", "entsoe")
    assert done.code == 5
    assert "wants a key" in done.err


def test_what_is_no_objective_names_those_that_are() -> None:
    with pytest.raises(UsageError) as caught:
        weights_of("speed")
    assert "0.7*carbon+0.3*cost" in str(caught.value.remedy)
