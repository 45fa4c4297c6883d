# SPDX-License-Identifier: Apache-2.0
"""A watch beside a run: what it says and when, and what it does to the command."""

import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.probing_jobs import UP_NS, Watched
from submeter.estimating.budgets import Budget, budget_of
from submeter.estimating.remaining import Outlook
from submeter.records.amounts import Amount
from submeter.records.figures import Missing
from submeter.reporting.remaining import forecast_document, forecast_line
from submeter.running.attending import Attendance, Command, Member
from submeter.running.progress import followed
from submeter.running.watching import Probe, Told, View, Watch, view_of
from submeter.units import ns_to_s
from tests.running.scripts import finish, python_file, run_arguments, settled
from tests.running.test_progress import Written, job

PYTHON = sys.executable
START_S = ns_to_s(UP_NS)


class Heard(Command):
    """A command that only notes what it is sent."""

    def __init__(self, *, handles: bool = True) -> None:
        super().__init__(lambda: 0)
        self.sent: list[int] = []
        self.handles = handles

    def send(self, number: int) -> bool:
        self.sent.append(number)
        return True

    def catches(self, number: int) -> bool:
        return self.handles and number > 0

    def below(self) -> list[Member]:
        return []


class Desk:
    """A job that is metered as far as it is told, and a watch that looks at it."""

    def __init__(self, folder: Path, watched: Watched, **options: Any) -> None:
        self.said: list[View | Told] = []
        self.watched = watched
        self.command = Heard(handles=options.pop("handles", True))
        self.watch = Watch(self.said.append, **options)
        self.watch.progress = _progress(folder)
        self.watch._command = self.command

    def at(self, t_s: float) -> list[str]:
        """Meter on and look; what is said in words."""
        before = len(self.said)
        self.watched.until(t_s)
        self.watch.look(START_S + t_s)
        return [s.words for s in self.said[before:] if isinstance(s, Told)]


def _progress(folder: Path) -> Any:
    from submeter.running.progress import Following

    return Following(folder)


def budget(kind: str, limit: float, folder: Path, t_s: float) -> Budget:
    """A budget that is used up when the job has come to *t_s*, scaled by *limit*."""
    view = view_of(followed(folder))
    assert isinstance(view.footprint.facility, Amount)
    ratio = view.footprint.facility.value / view.elapsed_s
    return budget_of(f"{limit * ratio * t_s:.6f}{kind}")


@pytest.fixture
def early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SUBMETER_HOME", str(tmp_path / "home"))
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def test_a_view_tells_the_whole_with_its_interval_and_its_end(early: Path) -> None:
    made = job()
    with Watched(made, progress=Written(early)) as watched:
        watched.until(20.0)
        view = view_of(followed(early))
    assert isinstance(view.ahead, type(view.footprint))
    assert isinstance(view.duration, Amount)
    assert view.duration.value == pytest.approx(made.duration_s, rel=0.1)
    assert isinstance(view.footprint.devices, Amount)
    assert isinstance(view.ahead.devices, Amount)
    assert isinstance(view.rest, type(view.footprint))
    assert isinstance(view.rest.devices, Amount)
    assert view.ahead.devices.value == pytest.approx(made.energy_j, rel=0.1)
    both = view.footprint.devices.value + view.rest.devices.value
    assert both == pytest.approx(view.ahead.devices.value, rel=0.01)
    figure = view.ahead.devices.figure("J")
    assert figure.low < made.energy_j < figure.high
    assert not isinstance(view.whole, Missing)
    assert view.whole.origin == "predicted"
    phases = {p.path: p.count for p in view.whole.phases}
    assert phases["steps"] == 60
    assert phases["evaluate"] in {5, 6}
    line = forecast_line(view, 120)
    assert line.startswith("step 28 of 60 (47 %)")
    assert len(line) <= 120
    document = forecast_document(view)
    assert document["total"] == 60
    assert document["whole"]["energy"]["unit"] == "J"
    assert document["left"]["duration"]["value"] == pytest.approx(view.duration.value - 20, abs=2)


def test_nothing_is_to_come_of_a_run_that_did_all_its_steps(early: Path) -> None:
    made = job()
    with Watched(made, progress=Written(early)) as watched:
        watched.until(made.duration_s)
        view = view_of(followed(early), over=True)
    assert view.done == view.total == 60
    assert isinstance(view.time, Outlook)
    assert view.time.left == 0
    assert view.time.interval() == (view.time.spent, view.time.spent)
    assert isinstance(view.footprint.devices, Amount)
    assert isinstance(view.ahead, type(view.footprint))
    assert isinstance(view.ahead.devices, Amount)
    assert view.ahead.devices.value == pytest.approx(view.footprint.devices.value)


def test_without_steps_a_view_says_what_is_missing(early: Path) -> None:
    with Watched(job(), progress=Written(early)) as watched:
        watched.until(2.2)
        view = view_of(followed(early))
    assert isinstance(view.ahead, Missing)
    assert "submeter.log(step=" in forecast_line(view)
    assert forecast_document(view)["whole"]["missing"]


def test_a_budget_warns_ahead_at_four_fifths_and_at_its_end_once_each(early: Path) -> None:
    with Watched(job(), progress=Written(early)) as watched:
        watched.until(15.0)
        desk = Desk(early, watched, budget=budget("J", 1.0, early, 26.0))
        (beyond,) = desk.at(16.0)
        assert "will not do" in beyond
        words = [w for t in range(17, 34) for w in desk.at(float(t))]
    assert len(words) == 2
    assert "of the budget" in words[0]
    assert words[0].startswith("8")
    assert "is used up" in words[1]
    assert desk.command.sent == []


def test_a_budget_that_will_do_says_nothing(early: Path) -> None:
    with Watched(job(), progress=Written(early)) as watched:
        watched.until(15.0)
        desk = Desk(early, watched, budget=budget("J", 3.0, early, 42.0))
        assert [w for t in range(16, 43) for w in desk.at(float(t))] == []


@pytest.mark.parametrize("handles", [True, False], ids=["caught", "not caught"])
def test_a_signal_goes_only_to_a_program_that_catches_it(early: Path, handles: bool) -> None:  # noqa: FBT001
    with Watched(job(), progress=Written(early)) as watched:
        watched.until(15.0)
        desk = Desk(
            early, watched, budget=budget("J", 1.0, early, 10.0), on_budget="signal",
            number=signal.SIGUSR1, handles=handles,
        )  # fmt: skip
        words = " ".join(desk.at(16.0) + desk.at(17.0))
    assert desk.command.sent == ([signal.SIGUSR1] if handles else [])
    assert ("SIGUSR1 was sent" if handles else "does not catch SIGUSR1") in words


def test_a_stop_waits_for_its_grace_and_then_asks_once(early: Path) -> None:
    with Watched(job(), progress=Written(early)) as watched:
        watched.until(15.0)
        desk = Desk(
            early, watched, budget=budget("J", 1.0, early, 10.0), on_budget="stop", grace_s=5.0
        )
        desk.at(16.0)
        desk.at(20.5)
        assert desk.command.sent == []
        assert any("without a checkpoint" in w for w in desk.at(21.5))
        desk.at(23.0)
    assert desk.command.sent == [signal.SIGTERM]
    assert "was used up" in desk.watch.leave()


class Stubborn(Heard):
    """A command that leaves a process behind that does not end."""

    def below(self) -> list[Member]:
        return [Member(4711, 1)]

    def signal_those(self, members: Iterable[Member], number: int) -> list[Member]:
        self.sent.append(number)
        return list(members)


@pytest.mark.parametrize("probe", [None, Probe(5.0)], ids=["budget", "probe"])
def test_only_a_probe_kills_what_is_left_behind(
    early: Path, probe: Probe | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("submeter.running.watching.KILL_S", 0.0)
    with Watched(job(), progress=Written(early)) as watched:
        watched.until(15.0)
        if probe is None:
            options: dict[str, Any] = {
                "budget": budget("J", 1.0, early, 10.0), "on_budget": "stop", "grace_s": 0.0,
            }  # fmt: skip
        else:
            options = {"probe": probe}
        desk = Desk(early, watched, **options)
        desk.command = desk.watch._command = Stubborn()
        desk.at(16.0)
    desk.watch.leave()
    assert desk.command.sent[0] == signal.SIGTERM
    assert (signal.SIGKILL in desk.command.sent) == (probe is not None)
    said = " ".join(s.words for s in desk.said if isinstance(s, Told))
    assert ("1 process that it had started did not end" in said) == (probe is None)


def test_a_stop_comes_right_behind_a_checkpoint(early: Path) -> None:
    made = job()
    pieces = [
        type(p)("save checkpoint" if p.path == "evaluate" else p.path, *[
            getattr(p, n) for n in ("start_s", "end_s", "power_w", "done")
        ])
        for p in made.pieces
    ]  # fmt: skip
    with Watched(type(made)(pieces, 60, with_phases=True), progress=Written(early)) as watched:
        watched.until(15.0)
        desk = Desk(
            early, watched, budget=budget("J", 1.0, early, 10.0), on_budget="stop", grace_s=600.0
        )
        for t in range(16, 23):  # the next one ends at 23 s
            desk.at(float(t))
        assert desk.command.sent == []
        for t in range(23, 27):
            desk.at(float(t))
    assert desk.command.sent == [signal.SIGTERM]


def test_prices_in_another_currency_are_said_and_nothing_is_done(early: Path) -> None:
    with Watched(job(), progress=Written(early)) as watched:
        watched.until(15.0)
        desk = Desk(early, watched, budget=budget_of("1EUR"), on_budget="stop")
        (words,) = desk.at(16.0)
        desk.at(30.0)
    assert "is not watched" in words
    assert desk.command.sent == []


def test_a_probe_waits_for_enough_steps_then_stops_and_at_last_kills(early: Path) -> None:
    with Watched(job(), progress=Written(early)) as watched:
        desk = Desk(early, watched, probe=Probe(5.0))
        assert any("too few" in w for w in desk.at(5.5))
        assert desk.command.sent == []
        desk.at(11.0)
        assert desk.command.sent == [signal.SIGTERM]
        desk.at(12.0)
        assert desk.command.sent == [signal.SIGTERM]
        assert any("was killed" in w for w in desk.at(27.0))
    assert desk.command.sent == [signal.SIGTERM, signal.SIGKILL]
    assert "probed for 11 s" in desk.watch.leave()


def test_an_attendant_that_fails_costs_a_note_and_no_more() -> None:
    class Broken:
        def attend(self, folder: Path, command: Command) -> None:
            raise RuntimeError(f"no {folder} {command}")

        def leave(self) -> str:
            raise RuntimeError("never")

    attendance = Attendance(Broken())
    attendance.begin(Path("/nowhere"), lambda: 1)
    attendance.end()
    assert attendance.stopped_because == ""
    assert len(attendance.notes) == 2


# --- with real programs -------------------------------------------------------------------------

STEPS = """
import signal, sys, time, submeter
{handler}
submeter.log(total_steps=100000)
for step in range({steps}):
    sum(range(200_000))
    submeter.log(step=step)
"""


def test_a_run_that_a_budget_stops_says_so_whatever_its_exit_code(tmp_path: Path) -> None:
    code = STEPS.format(handler="signal.signal(15, lambda *_: sys.exit(0))", steps=10**9)
    options = ("--budget", "1J", "--on-budget", "stop", "--grace", "1s", "--zone", "DE")
    done = finish(
        run_arguments(PYTHON, python_file(tmp_path, code), options=options), tmp_path / "home"
    )
    assert done.returncode == 0
    said = done.stderr.decode()
    assert "the budget of 1J" in said
    run = settled(tmp_path / "home")
    assert (run.status, run.exit_code) == ("stopped", 0)
    assert any("the budget of 1J was used up" in note for note in run.notes)


def test_a_program_that_would_die_of_the_signal_goes_on(tmp_path: Path) -> None:
    code = STEPS.format(handler="end = time.monotonic() + 5", steps=10**9).replace(
        "submeter.log(step=step)", "submeter.log(step=step)\n    if time.monotonic() > end: break"
    )
    options = ("--budget", "1J", "--on-budget", "signal", "--zone", "DE")
    done = finish(
        run_arguments(PYTHON, python_file(tmp_path, code), options=options), tmp_path / "home"
    )
    assert done.returncode == 0
    assert "does not catch SIGUSR1" in done.stderr.decode()
    assert settled(tmp_path / "home").status == "finished"
