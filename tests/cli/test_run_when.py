# SPDX-License-Identifier: Apache-2.0
"""``submeter run --when``: words, keys, the line that counts down, and what is said afterwards."""

import contextlib
import io
import math
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from submeter.errors import SubmeterError, UsageError
from submeter.grid.place import resolve_place
from submeter.interfaces.cli.countdown import Countdown, line_of, waiting_line
from submeter.interfaces.cli.run_when import replan_of, signal_name, signs_of
from submeter.interfaces.planning import clock_for, clock_here
from submeter.records.figures import Basis, Figure, Missing
from submeter.records.plans import Plan
from submeter.records.runs import Pause, Run, Series
from submeter.reporting.carried import carried_words
from submeter.running.carried import carried_out, stretches_of
from submeter.running.conducting import Conductor, Replanner
from submeter.running.following import Do, Next
from submeter.running.planned import Silent, wait_for_start
from submeter.running.reckoning import reckoned
from submeter.storing import plans
from submeter.storing.ledger import open_ledger
from submeter.storing.waits import State, WaitFile, open_waits, read_wait
from submeter.testing.clock import VirtualClock
from submeter.units import s_to_ns
from tests.cli.stage import Stage, stage
from tests.reporting.examples import digits
from tests.running.hours import Hours
from tests.running.plans import T0, H, order_of, plan_of
from tests.running.scripts import begun, environment, finish, settled, until

__all__ = ["stage"]

RUN = [sys.executable, "-m", "submeter", "run"]


@pytest.mark.parametrize(
    ("args", "code", "what"),
    [
        (["--when", "22:75"], 2, "is no time"),
        (["--when", "2020-01-01 10:00"], 2, "is in the past"),
        (["--when", "last-plan"], 6, "no plan"),
        (["--when", "plan-20200101-000000-0000"], 6, "no plan"),
        (["--when", "cleanest, done by 08:00"], 2, "how long the command works"),
        (["--when", "cleanest", "--duration", "2h"], 2, "until when is not said"),
        (["--when", "cheapest by noonish", "--duration", "2h"], 2, "is no time"),
        (["--when", "in 2h", "--duration", "long"], 2, "is no duration"),
        (["--when", "in 2h", "--pause-signal", "KILL"], 2, "cannot ask for a checkpoint"),
        (["--when", "in 2h", "--pause-signal", "NONE"], 2, "there is no signal"),
        (["--when", "in 2h", "--interruptible"], 2, "has no effect: a time was given"),
        (["--duration", "2h"], 2, "there is no --when"),
        (["--resume-plan"], 6, "there is no plan to go on with"),
        (["--resume-plan", "plan-x"], 6, "no plan “plan-x” waits"),
    ],
)
def test_words_that_make_no_sense_get_one_clear_error(
    stage: Stage, args: list[str], code: int, what: str
) -> None:
    done = stage.call("run", *args, "--", "true")
    assert done.code == code, done.err
    first, second, *rest = [x for x in done.err.splitlines() if not x.startswith("submeter:")]
    assert first.startswith("error: ")
    assert what in first
    assert second.startswith("try:   ")
    assert rest == []
    assert not (stage.home / "runs").exists()


@pytest.mark.parametrize(
    ("said", "name"), [("USR1", "SIGUSR1"), ("sigterm", "SIGTERM"), ("12", "SIGUSR2")]
)
def test_signals_are_understood(said: str, name: str) -> None:
    assert signal_name(said) == name


@contextlib.contextmanager
def conducted(home: Path, plan: Plan, state: State | None = None) -> Iterator[Conductor]:
    with WaitFile(home, plan.id) as file:
        clock = VirtualClock(utc_ns=s_to_ns(T0))
        conductor = Conductor(order_of(plan), clock, file, Replanner(None))
        if state is not None:
            conductor.state = state
        yield conductor


def test_the_line_says_until_when_and_why(tmp_path: Path) -> None:
    saving = Figure(0.234, 0.1, 0.3, "ratio", basis_shares={Basis.MODELLED: 1.0})
    plan = structs.replace(plan_of([(5 * H, 13 * H)]), expected_saving=saving)
    with conducted(tmp_path, plan) as conductor:
        step = Next(Do.WAIT, T0 + 5 * H)
        assert waiting_line(conductor, step, "UTC", keys=True) == (
            "waits until 19:13 (in 5 h) · −23 % carbon expected · Enter starts now, q cancels"
        )
        conductor.state = structs.replace(conductor.state, status="paused", worked_s=2 * H)
        assert waiting_line(conductor, step, "UTC", keys=False) == (
            "paused until 19:13 (in 5 h) · 2 h of 8 h done"
        )


@pytest.mark.parametrize("ratio", [0.0, 0.004, -0.004])
def test_a_saving_of_nothing_is_not_counted_down_to(ratio: float, tmp_path: Path) -> None:
    saving = Figure(ratio, ratio, ratio, "ratio", basis_shares={Basis.MODELLED: 1.0})
    plan = structs.replace(plan_of([(5 * H, 13 * H)]), expected_saving=saving)
    with conducted(tmp_path, plan) as conductor:
        line = waiting_line(conductor, Next(Do.WAIT, T0 + 5 * H), "UTC", keys=False)
        assert line == "waits until 19:13 (in 5 h)"


@pytest.mark.parametrize(
    ("ahead_h", "words"), [(1, "15:13"), (20, "Tue 10:13"), (24 * 9, "2026-09-30 14:13")]
)
def test_b07_times_are_told_with_their_day(ahead_h: float, words: str) -> None:
    assert line_of(T0 + ahead_h * H, T0, "UTC") == words
    assert line_of(1_792_891_800, 1_792_880_000, "Europe/Berlin") == "02:30"  # of the long night


def test_a_log_gets_a_line_now_and_then(tmp_path: Path) -> None:
    said, now = io.StringIO(), [0.0]
    teller = Countdown("UTC", error=said, keys=io.StringIO(), now_s=lambda: now[0])
    with conducted(tmp_path, plan_of([(5 * H, 6 * H)])) as conductor:
        for second in range(0, 3600, 30):
            now[0] = float(second)
            teller.tell(conductor, Next(Do.WAIT, T0 + 5 * H))
            assert teller.key() == ""
    lines = said.getvalue().splitlines()
    assert len(lines) == 6
    assert all(line.startswith("submeter: waits until 19:13") for line in lines)
    assert "\x1b" not in said.getvalue()


class Terminal:
    """A program at a terminal of its own."""

    def __init__(self, home: Path, *argv: str) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:  # pragma: no cover  # another process
            os.execvpe(argv[0], list(argv), {**environment(home), "COLUMNS": "100"})
        self.said = ""

    def until(self, words: str) -> str:
        """Read on until *words* came."""
        end_s = time.monotonic() + 30
        while words not in self.said and time.monotonic() < end_s:
            if select.select([self.fd], [], [], 1)[0]:
                try:
                    self.said += os.read(self.fd, 65536).decode()
                except OSError:
                    break
        assert words in self.said, self.said
        return self.said

    def press(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def end(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


def test_enter_starts_at_once_and_the_program_has_the_terminal(tmp_path: Path) -> None:
    code = "import sys; print(sys.stdin.isatty(), input('name? ')); sys.exit(4)"
    shown = Terminal(tmp_path, *RUN, "-q", "--when", "in 5h", "--", sys.executable, "-c", code)
    shown.until("Enter starts now, q cancels")
    assert re.search(r"waits until .*\(in 5 h\)|\(in 4 h 59 min\)", shown.said)
    shown.press("x\r")
    shown.until("name? ")
    shown.press("Ada\n")
    shown.until("True Ada")
    assert "Ada\r\n" in shown.said  # the terminal echoes again
    assert shown.end() == 4


@pytest.mark.parametrize(("keys", "code"), [("q", 130), ("\x03", -signal.SIGINT)])
def test_q_and_ctrl_c_give_it_up(tmp_path: Path, keys: str, code: int) -> None:
    shown = Terminal(tmp_path, *RUN, "--when", "in 5h", "--", "true")
    shown.until("q cancels")
    shown.press(keys)
    shown.until("cancelled: nothing was started")
    assert shown.end() == code
    assert open_waits(tmp_path) == []
    assert not (tmp_path / "runs").exists()


def test_a_closed_terminal_leaves_a_plan_to_go_on_with(tmp_path: Path) -> None:
    shown = Terminal(tmp_path, *RUN, "--when", "in 5h", "--", "true")
    shown.until("q cancels")
    os.close(shown.fd)
    _, status = os.waitpid(shown.pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGHUP
    (wait,) = open_waits(tmp_path)
    assert (wait.state.status, wait.locked) == ("waiting", False)


def test_under_nohup_a_closed_terminal_is_nothing(tmp_path: Path) -> None:
    words = " ".join([*RUN, "-q", "--when", "'in 5h'", "--", "true"])
    with begun(["sh", "-c", f"trap '' HUP; exec {words}"], tmp_path) as process:
        until(lambda: next((w for w in open_waits(tmp_path) if w.locked), None))
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGUSR1)
        assert process.wait(30) == 0


def test_a_waiting_plan_is_listed_resumed_and_then_over(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    home, work = tmp_path / "home", tmp_path / "work"
    where = "import os; open('here', 'w').write(os.getcwd())"
    argv = [*RUN, "--name", "later", "--tag", "a=b", "--when", "in 5h", "--"]
    argv += [sys.executable, "-c", where]
    with subprocess.Popen(
        argv, env=environment(home), cwd=work, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as process:
        wait = until(lambda: next(iter(open_waits(home)), None))
        listed = finish([sys.executable, "-m", "submeter", "list", "--json"], home).stdout
        (row,) = msgspec.json.decode(listed)["runs"]
        assert row["run"] | {"started_utc": ""} == row["run"] | {
            "id": wait.plan_id, "name": "later", "status": "waiting", "tags": {"a": "b"},
            "started_utc": "",
        }  # fmt: skip
        process.kill()
    table = finish([sys.executable, "-m", "submeter", "list"], home)
    assert b"waiting" in table.stdout
    assert f"submeter run --resume-plan {wait.plan_id}" in table.stderr.decode()
    wrong = finish([*RUN, "--resume-plan", "--", "false"], home)
    assert wrong.returncode == 2
    assert b"begun with another command" in wrong.stderr
    with begun([*RUN, "-q", "--resume-plan"], home) as again:
        until(lambda: next((w for w in open_waits(home) if w.locked), None))
        again.send_signal(signal.SIGUSR1)  # at once, please
        assert again.wait(30) == 0
    assert (work / "here").read_text() == str(work)
    run = settled(home)
    assert (run.name, run.plan, run.tags) == ("later", wait.plan_id, {"a": "b"})
    assert open_waits(home) == []


def test_a_kept_plan_is_carried_out_by_its_name(tmp_path: Path) -> None:
    plan = plan_of([(-H, -1)], base_s=time.time(), ident=plans.new_plan_id(time.time()))
    plans.keep(plan, tmp_path)
    wrong = finish([*RUN, "--when", "last-plan", "--duration", "2h", "--", "true"], tmp_path)
    assert wrong.returncode == 2
    assert b"says that already" in wrong.stderr
    done = finish([*RUN, "-q", "--when", "last-plan", "--", "true"], tmp_path)
    assert done.returncode == 0, done.stderr
    kept = read_wait(tmp_path / "waits" / f"{plan.id}.wait")
    assert kept is not None
    assert kept.state.status == "ended"
    assert settled(tmp_path).plan == plan.id


def test_the_cleanest_time_is_planned_and_kept(tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    words = ["--zone", "DE", "--when", "cleanest, done within 30h", "--duration", "3h"]
    with begun([*RUN, "-q", *words, "--", "true"], tmp_path) as process:
        (ident,) = until(lambda: plans.plan_ids(tmp_path))
        until(lambda: read_wait(tmp_path / "waits" / f"{ident}.wait"))
        if plans.find(ident, tmp_path).slices[0].start_s > time.time() + 60:
            process.send_signal(signal.SIGUSR1)  # not at hours at which it starts at once
        assert process.wait(30) == 0
    plan = plans.find(ident, tmp_path)
    assert (plan.zone, plan.objective, plan.job.duration_s) == ("DE", "carbon", 3 * H)
    assert plan.job.deadline_s - plan.made_s == pytest.approx(30 * H, abs=60)


def hourly(path: Path, until_s: float, days: int = 40, shift_h: int = 0) -> None:
    """A series with a clean hour at noon UTC, or *shift_h* before, until *until_s*."""
    first_s = (until_s // H - 24 * days) * H
    rows = []
    for i in range(24 * days):
        at = datetime.fromtimestamp(first_s + i * H, UTC)
        value = 300 + 200 * math.cos((at.hour + shift_h) / 24 * math.tau)
        rows.append(f"{at:%Y-%m-%dT%H:%M:%SZ},{value:.1f}")
    head = ["# kind: average, lifecycle, consumption", "timestamp,value"]
    path.write_text("\n".join([*head, *rows]) + "\n")


def test_a_plan_is_made_anew_from_the_latest_readings(stage: Stage) -> None:
    pytest.importorskip("numpy")
    now_s = 1_795_392_000.0  # 2026-11-23 00:00
    series = stage.path / "series.csv"
    hourly(series, now_s)
    assert stage.call("config", "set", "provider", f"csv:{series}").code == 0
    plan = plan_of([(0, 3 * H)], base_s=now_s, duration_s=3 * H, interruptible=False)
    assert replan_of(plan, live=False) is None
    replan = replan_of(plan, live=True)
    assert replan is not None
    remaining = structs.replace(plan.job, deadline_s=now_s + 24 * H)
    made = replan(now_s, remaining)
    (piece,) = made.slices
    assert now_s + 9 * H <= piece.start_s <= now_s + 12 * H  # around noon
    assert piece.end_s - piece.start_s == pytest.approx(3 * H)
    series.write_text("nonsense\n")
    with pytest.raises(SubmeterError):
        replan(now_s + 900, remaining)


def test_a_plan_from_a_file_is_made_anew_from_that_file(stage: Stage) -> None:
    pytest.importorskip("numpy")
    now_s = 1_795_392_000.0  # 2026-11-23 00:00
    series = stage.path / "series.csv"
    hourly(series, now_s)
    args = ["--zone", "DE", "--duration", "2h", "--power", "1kW", "--off-peak", "11:00-23:00"]
    args += ["--at", "2026-11-23T00:00Z", "--deadline", "2026-11-24T00:00Z"]
    args += ["--price", "0.30"]
    assert stage.call("plan", *args, "--series", str(series)).code == 0
    plan = plans.find("last-plan", stage.home)
    assert (plan.series, plan.hours, plan.price) == ((str(series),), "11:00-23:00", "0.30")
    replan = replan_of(plan, live=False)
    assert replan is not None
    hourly(series, now_s + 6 * H)
    remaining = structs.replace(plan.job, earliest_s=now_s + 6 * H)
    made = replan(now_s + 6 * H, remaining)
    assert made.source.startswith("own forecast")
    assert made.slices[0].start_s >= now_s + 10 * H  # of the hours that were asked for
    assert (made.series, made.hours, made.price) == (plan.series, plan.hours, plan.price)
    series.write_text(series.read_text().replace("average", "marginal"))
    with pytest.raises(SubmeterError, match="nothing new is told of the average"):
        replan(now_s + 6 * H, remaining)  # by a profile it would be worse than it is
    series.unlink()
    with pytest.raises(SubmeterError, match="cannot be read"):
        replan(now_s + 6 * H, remaining)


def test_a_file_that_grows_moves_the_start(stage: Stage) -> None:
    """a virtual clock: the clean hours come four hours earlier than the first plan knew."""
    pytest.importorskip("numpy")
    now_s = 1_795_392_000.0  # 2026-11-23 00:00
    series = stage.path / "series.csv"
    hourly(series, now_s)
    args = ["--zone", "DE", "--duration", "2h", "--deadline", "2026-11-24T00:00Z"]
    args += ["--at", "2026-11-23T00:00Z", "--series", str(series)]
    assert stage.call("plan", *args).code == 0
    plan = plans.find("last-plan", stage.home)
    order = order_of(plan)
    clock, before_s = VirtualClock(utc_ns=s_to_ns(now_s)), plan.slices[0].start_s

    def grows() -> None:
        hourly(series, now_s + 3 * H, shift_h=4)

    replanner = Replanner(replan_of(plan, live=False), aside=False, signs=signs_of(order))
    with WaitFile(stage.home, plan.id) as file:
        conductor = Conductor(order, clock, file, replanner)
        assert wait_for_start(conductor, Silent(), Hours(clock, {3 * H: grows})) is None
    assert conductor.notes == []
    assert conductor.now_s == pytest.approx(conductor.plan.slices[0].start_s, abs=1)
    assert before_s - 5 * H <= conductor.now_s <= before_s - 3 * H


def test_a_provider_s_kept_answers_make_the_plan_anew_and_nobody_is_asked(stage: Stage) -> None:
    pytest.importorskip("numpy")
    now_s = 1_795_392_000.0
    series = stage.path / "series.csv"
    hourly(series, now_s)
    args = ["--zone", "DE", "--duration", "2h", "--deadline", "2026-11-24T00:00Z"]
    args += ["--at", "2026-11-23T00:00Z", "--provider", f"csv:{series}"]
    assert stage.call("plan", *args).code == 0
    plan = plans.find("last-plan", stage.home)
    assert plan.provider == f"csv:{series}"
    replan = replan_of(plan, live=False)
    assert replan is not None
    hourly(series, now_s + 3 * H, shift_h=4)
    remaining = structs.replace(plan.job, earliest_s=now_s + 3 * H)
    made = replan(now_s + 3 * H, remaining)
    assert made.slices[0].start_s <= plan.slices[0].start_s - 3 * H
    assert made.provider == plan.provider
    other = structs.replace(plan, provider="electricity-maps")  # which wants a key
    anew = replan_of(other, live=False)
    assert anew is not None
    with pytest.raises(SubmeterError, match="no answer of electricity-maps is kept"):
        anew(now_s + 3 * H, remaining)


def test_a_series_is_named_with_the_command(stage: Stage) -> None:
    done = stage.call("run", "--when", "22:30", "--series", "x.csv", "--", "true")
    assert (done.code, "--series has no effect" in done.err) == (2, True)


@pytest.mark.usefixtures("stage")
def test_live_plans_need_a_provider() -> None:
    with pytest.raises(UsageError, match="no provider is set"):
        replan_of(plan_of([(0, 1)]), live=True)


# --- afterwards ---------------------------------------------------------------------------------


def paused() -> Run:
    """Digits, run by a plan: 10 s of work, 20 s of a pause, 10 s of work."""
    row = [5.0] * 10 + [1.0] * 20 + [5.0] * 10
    return structs.replace(
        digits(),
        duration_s=40.0,
        series=Series(1.0, {"cpu:0": row}),
        plan="plan-20260921-000000-beef",
        asked_utc="2026-11-23T00:00:00Z",
        started_utc="2026-11-23T02:00:00Z",
        pauses=(Pause(10.0, 20.0, restart_s=2.0),),
    )


def test_what_is_drawn_in_a_pause_is_on_the_account(tmp_path: Path) -> None:
    run = paused()
    footprint = reckoned(run, home=tmp_path)
    carried = carried_out(run, footprint, tmp_path)
    assert carried is not None
    assert (carried.waited_s, carried.paused_s, carried.pauses) == (7200.0, 20.0, 1)
    assert isinstance(carried.paused_energy, Figure)
    assert not isinstance(footprint.facility, Missing)
    whole = footprint.facility.figure("J")
    assert carried.paused_energy.value == pytest.approx(whole.value * 20 / 120)
    assert carried.paused_energy.high == pytest.approx(whole.high * 20 / 120)
    assert isinstance(carried.saving, Missing)  # never what was forecast
    lines = carried_words(carried, 80)
    assert lines[0] == "plan"
    assert "waited 2 h · paused once, 20 s in all" in lines[1]
    assert any("drawn while paused, and counted" in line for line in lines)
    assert any("saving not known" in line for line in lines)


def test_a_run_without_a_plan_says_nothing_of_one(stage: Stage) -> None:
    assert carried_out(digits(), reckoned(digits()), stage.home) is None
    with open_ledger(stage.home / "ledger.db") as ledger:
        ledger.put(digits())
    assert "plan" not in stage.call("show", "--json").document


def test_show_tells_what_was_realised(stage: Stage) -> None:
    run = paused()
    with open_ledger(stage.home / "ledger.db") as ledger:
        ledger.put(run)
    start_s = 1_795_392_000.0  # 2026-11-23 00:00
    plan = plan_of(
        [(2 * H, 2 * H + 10), (2 * H + 30, 2 * H + 40)],
        base_s=start_s, duration_s=20, checkpoint_s=0, restart_s=0,
    )  # fmt: skip
    with WaitFile(stage.home, plan.id) as file:
        file.write(order_of(plan), State(at_s=start_s, status="ended"))
    series = stage.path / "series.csv"
    rows = [f"2026-11-23T{h:02}:00:00Z,{400 if h < 2 else 100}" for h in range(5)]
    series.write_text(
        "\n".join(["# kind: average, lifecycle, consumption", "timestamp,value", *rows]) + "\n"
    )
    assert stage.call("config", "set", "provider", f"csv:{series}").code == 0
    done = stage.call("show", "--live", "--json")
    assert done.code == 0, done.err
    told = done.document["plan"]
    assert told["pauses"] == [{"start_s": 10.0, "duration_s": 20.0}]
    # 120 J at 100 against the 100 J at work at 400
    assert told["realised_saving"]["value"] == pytest.approx(1 - 120 * 100 / (100 * 400), abs=0.01)
    shown = stage.call("show", "--live").out
    assert "−70.0 % carbon" in shown
    assert "against starting at once" in shown
    assert "saving not known" in stage.call("show").out


def test_a_stretch_ends_with_its_checkpoint() -> None:
    plan = plan_of([(0, 10), (30, 40)], checkpoint_s=3)
    run = structs.replace(paused(), pauses=(Pause(10, 20), Pause(35, 5, over=False)))
    spans = [(s.start_s - T0, s.end_s - T0) for s in stretches_of(run, plan, T0)]
    assert spans == [(0, 13), (30, 38)]


def test_silence_when_stderr_is_gone(tmp_path: Path) -> None:
    closed = io.StringIO()
    closed.close()
    teller = Countdown("UTC", error=closed, keys=closed)
    with conducted(tmp_path, plan_of([(5 * H, 6 * H)])) as conductor:
        teller.tell(conductor, Next(Do.WAIT, T0 + 5 * H))
        assert teller.key() == ""
        teller.leave()


def test_times_are_meant_by_the_same_clock_as_in_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    tokyo = resolve_place(argument="JP")
    for machine in ("Europe/Paris", "UTC"):
        monkeypatch.setenv("TZ", machine)
        assert clock_for("JP") == clock_here(tokyo)
    monkeypatch.setenv("TZ", "Europe/Paris")
    assert (clock_for("JP"), clock_for(None)) == ("Europe/Paris", "Europe/Paris")
