# SPDX-License-Identifier: Apache-2.0
"""A plan under way: clocks that jump, nights of 23 and 25 hours, providers that fail."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from submeter.errors import ProviderDownError
from submeter.planning.words import instant_utc_s
from submeter.records.plans import Job, Plan
from submeter.running.conducting import (
    NEWS_EVERY_S,
    REPLAN_EVERY_S,
    Conductor,
    Replan,
    Replanner,
    Signs,
)
from submeter.running.following import Do, Next
from submeter.running.launcher import WAITED_FOR
from submeter.running.planned import Silent, signals_held, wait_for_start
from submeter.storing.waits import WaitFile, read_wait
from submeter.testing.clock import VirtualClock
from submeter.units import s_to_ns
from tests.running.hours import Hours
from tests.running.plans import T0, H, order_of, plan_of


class Keys(Silent):
    def __init__(self, keys: dict[int, str] | None = None) -> None:
        self.keys = keys or {}
        self.told: list[Next] = []
        self.left = 0

    def tell(self, conductor: Conductor, step: Next) -> None:
        del conductor
        self.told.append(step)

    def key(self) -> str:
        return self.keys.get(len(self.told), "")

    def leave(self) -> None:
        self.left += 1


@contextmanager
def conducted(
    home: Path,
    plan: Plan,
    clock: VirtualClock,
    replan: Replan | None = None,
    signs: Signs | None = None,
    **order: Any,
) -> Iterator[Conductor]:
    replanner = Replanner(replan, aside=False, signs=signs)
    with WaitFile(home, plan.id) as file:
        yield Conductor(order_of(plan, **order), clock, file, replanner)


def clock_at(at_s: float) -> VirtualClock:
    return VirtualClock(utc_ns=s_to_ns(at_s))


def test_it_waits_for_its_slice_and_no_longer(tmp_path: Path) -> None:
    clock, plan = clock_at(T0), plan_of([(5 * H, 6 * H)])
    with conducted(tmp_path, plan, clock) as conductor:
        hours, keys = Hours(clock, {}), Keys()
        assert wait_for_start(conductor, keys, hours) is None
        assert conductor.now_s == pytest.approx(T0 + 5 * H, abs=0.01)
        assert keys.left == 1
        assert hours.held == 0
        assert {step.until_s for step in keys.told} == {T0 + 5 * H}


@pytest.mark.parametrize("by_s", [-H, -60, 60, H, 4 * H])
def test_b02_a_clock_that_is_set_moves_the_start_with_it(tmp_path: Path, by_s: float) -> None:
    clock, plan = clock_at(T0), plan_of([(5 * H, 6 * H)])
    with conducted(tmp_path, plan, clock) as conductor:
        hours = Hours(clock, {1 * H: lambda: clock.step_wall(by_s)})
        assert wait_for_start(conductor, Keys(), hours) is None
        assert conductor.now_s == pytest.approx(T0 + 5 * H, abs=0.01)
        assert any("the wall clock was set" in note for note in conductor.notes)


@pytest.mark.parametrize(("asleep_h", "late_s"), [(2, 30), (8, 30)])
def test_b04_who_slept_starts_when_it_wakes_or_at_its_time(
    tmp_path: Path, asleep_h: float, late_s: float
) -> None:
    clock, plan = clock_at(T0), plan_of([(5 * H, 6 * H)])
    with conducted(tmp_path, plan, clock) as conductor:
        hours = Hours(clock, {1 * H: lambda: clock.suspend(asleep_h * H)})
        assert wait_for_start(conductor, Keys(), hours) is None
        due_s = T0 + max(5 * H, H + asleep_h * H)
        assert due_s - 0.01 <= conductor.now_s <= due_s + late_s
        assert any("slept" in note for note in conductor.notes)


@pytest.mark.parametrize(
    ("evening", "words", "hours_between"),
    [
        ("2026-03-28 22:00", "05:00", 6.0),  # the night of 23 hours
        ("2026-10-24 22:00", "05:00", 8.0),  # and that of 25
        ("2026-10-24 22:00", "in 7h", 7.0),  # a length is a length
        ("2026-06-01 22:00", "05:00", 7.0),
    ],
)
def test_b07_nights_of_23_and_25_hours(
    tmp_path: Path, evening: str, words: str, hours_between: float
) -> None:
    zone = "Europe/Berlin"
    now_s = datetime.fromisoformat(evening).replace(tzinfo=ZoneInfo(zone)).timestamp()
    at_s = instant_utc_s(words, now_s, zone)
    plan = plan_of([(at_s - now_s, at_s - now_s + H)], base_s=now_s)
    clock = clock_at(now_s)
    with conducted(tmp_path, plan, clock) as conductor:
        began_ns = clock.monotonic_ns()
        assert wait_for_start(conductor, Keys(), Hours(clock, {})) is None
        waited_h = (clock.monotonic_ns() - began_ns) / 1e9 / H
        assert waited_h == pytest.approx(hours_between, abs=0.001)


def test_work_is_counted_by_a_clock_that_nobody_sets(tmp_path: Path) -> None:
    clock, plan = clock_at(T0), plan_of([(0, 8 * H)])
    with conducted(tmp_path, plan, clock) as conductor:
        conductor.working_now(1, resumed=False)
        clock.advance(H)
        clock.step_wall(-5 * H)
        conductor.look()
        clock.suspend(3 * H)
        clock.advance(H)
        assert conductor.worked_s == pytest.approx(2 * H)
        conductor.pausing_now()
        clock.advance(9 * H)
        assert conductor.worked_s == pytest.approx(2 * H)
        assert conductor.remaining.duration_s == pytest.approx(6 * H)


def test_being_back_at_work_is_no_work(tmp_path: Path) -> None:
    clock = clock_at(T0)
    with conducted(tmp_path, plan_of([(0, 8 * H)], restart_s=120), clock) as conductor:
        conductor.working_now(1, resumed=True)
        clock.advance(50)
        assert conductor.worked_s == 0
        conductor.look()
        clock.advance(100)
        conductor.look()
        clock.advance(30)
        assert conductor.worked_s == pytest.approx(60)


def moved_to(start_h: float) -> Replan:
    def replan(now_s: float, remaining: Job) -> Plan:
        begin_s = max(now_s, T0 + start_h * H) - T0
        return plan_of([(begin_s, begin_s + remaining.duration_s)], ident="plan-other")

    return replan


def test_a_newer_plan_is_followed_and_kept_under_the_first_name(tmp_path: Path) -> None:
    clock, plan = clock_at(T0), plan_of([(5 * H, 6 * H)])
    with conducted(tmp_path, plan, clock, moved_to(3)) as conductor:
        assert wait_for_start(conductor, Keys(), Hours(clock, {})) is None
        assert conductor.now_s == pytest.approx(T0 + 3 * H, abs=0.01)
        kept = read_wait(conductor._file.path)
        assert kept is not None
        assert kept.order.plan.id == plan.id
        assert kept.order.plan.slices[0].start_s == T0 + 3 * H


@pytest.mark.parametrize(
    "failure",
    [
        ProviderDownError("the provider does not answer"),
        OSError("no route"),
        ZeroDivisionError("0/0"),
        RuntimeError("a fault of ours"),
    ],
)
def test_e12_e13_a_provider_that_is_out_leaves_the_plan_as_it_is(
    tmp_path: Path, failure: Exception
) -> None:
    asked: list[float] = []

    def replan(now_s: float, remaining: Job) -> Plan:
        del remaining
        asked.append(now_s)
        raise failure

    clock, plan = clock_at(T0), plan_of([(5 * H, 6 * H)])
    with conducted(tmp_path, plan, clock, replan) as conductor:
        assert wait_for_start(conductor, Keys(), Hours(clock, {})) is None
        assert conductor.now_s == pytest.approx(T0 + 5 * H, abs=0.01)
        assert len(asked) == pytest.approx(5 * H / REPLAN_EVERY_S, abs=1)
        assert [n for n in conductor.notes if "the plan stands" in n and str(failure) in n]


def test_a_provider_that_hangs_holds_nothing_up(tmp_path: Path) -> None:
    import threading

    forever = threading.Event()

    def replan(now_s: float, remaining: Job) -> Plan:
        del now_s, remaining
        forever.wait()
        raise OSError("at last")

    clock, plan = clock_at(T0), plan_of([(5 * H, 6 * H)])
    try:
        with WaitFile(tmp_path, plan.id) as file:
            conductor = Conductor(order_of(plan), clock, file, Replanner(replan))
            assert wait_for_start(conductor, Keys(), Hours(clock, {})) is None
            assert conductor.now_s == pytest.approx(T0 + 5 * H, abs=0.01)
    finally:
        forever.set()


def test_a_new_plan_that_cannot_be_carried_out_is_not_taken(tmp_path: Path) -> None:
    clock, plan = clock_at(T0), plan_of([(5 * H, 6 * H)])
    empty = plan_of([])
    with conducted(tmp_path, plan, clock, lambda *_: empty) as conductor:
        assert wait_for_start(conductor, Keys(), Hours(clock, {})) is None
        assert conductor.now_s == pytest.approx(T0 + 5 * H, abs=0.01)


def test_a_jump_of_the_clock_makes_the_plan_anew_at_once(tmp_path: Path) -> None:
    asked: list[float] = []

    def replan(now_s: float, remaining: Job) -> Plan:
        asked.append(now_s)
        return moved_to(5)(now_s, remaining)

    clock = clock_at(T0)
    with conducted(tmp_path, plan_of([(5 * H, 6 * H)]), clock, replan) as conductor:
        conductor.look()
        clock.step_wall(2 * H)
        conductor.look()
        assert asked == [pytest.approx(T0 + 2 * H, abs=1)]


def test_new_readings_make_the_plan_anew_within_a_minute(tmp_path: Path) -> None:
    clock, readings, asked = clock_at(T0), [1], list[float]()

    def replan(now_s: float, remaining: Job) -> Plan:
        asked.append(now_s - T0)
        return moved_to(3)(now_s, remaining)

    plan = plan_of([(5 * H, 6 * H)])
    with conducted(tmp_path, plan, clock, replan, lambda: len(readings)) as conductor:
        hours = Hours(clock, {100: lambda: readings.append(2)})
        assert wait_for_start(conductor, Keys(), hours) is None
        assert conductor.now_s == pytest.approx(T0 + 3 * H, abs=0.01)
    assert 100 < asked[0] <= 160
    assert asked[1] - asked[0] == pytest.approx(REPLAN_EVERY_S, abs=60)


def test_a_file_that_is_being_written_is_left_alone_until_it_rests(tmp_path: Path) -> None:
    clock, size, asked = clock_at(T0), [0], list[float]()

    def replan(now_s: float, remaining: Job) -> Plan:
        asked.append(now_s - T0)
        return moved_to(5)(now_s, remaining)

    plan = plan_of([(5 * H, 6 * H)])
    with conducted(tmp_path, plan, clock, replan, lambda: size[0]) as conductor:
        for _ in range(20):
            size[0] += 1
            clock.advance(NEWS_EVERY_S)
            conductor.look()
        assert asked == []
        for _ in range(5):
            clock.advance(NEWS_EVERY_S)
            conductor.look()
        assert asked == [pytest.approx(21 * NEWS_EVERY_S)]


@pytest.mark.parametrize(("key", "number"), [("start", 0), ("", signal.SIGUSR1)])
def test_a_key_or_a_signal_starts_at_once(tmp_path: Path, key: str, number: int) -> None:
    clock = clock_at(T0)
    with conducted(tmp_path, plan_of([(5 * H, 6 * H)]), clock) as conductor:
        keys = Keys({3: key})
        hours = Hours(clock, {60: number} if number else {})
        assert wait_for_start(conductor, keys, hours) is None
        assert conductor.now_s < T0 + 300
        conductor.working_now(1, resumed=False)
        clock.advance(2 * H)
        assert conductor.look().do is Do.WORK  # asked for now, it is not paused later


@pytest.mark.parametrize(
    ("key", "number", "code", "status"),
    [
        ("cancel", 0, 130, "cancelled"),
        ("", signal.SIGINT, 130, "cancelled"),
        ("", signal.SIGTERM, 143, "waiting"),
        ("", signal.SIGHUP, 129, "waiting"),  # the terminal was closed
    ],
)
def test_c05_a_waiting_that_is_ended_is_cancelled_or_can_be_taken_up_again(
    tmp_path: Path, key: str, number: int, code: int, status: str
) -> None:
    clock = clock_at(T0)
    plan = plan_of([(5 * H, 6 * H)])
    with conducted(tmp_path, plan, clock) as conductor:
        hours = Hours(clock, {60: number} if number else {})
        ended = wait_for_start(conductor, Keys({2: key}), hours)
        assert ended is not None
        assert (ended.exit_code, ended.signal) == (code, number)
        assert conductor.notes
    kept = read_wait(tmp_path / "waits" / f"{plan.id}.wait")
    assert kept is not None
    assert kept.state.status == status


def test_d01_a_full_disk_holds_nothing_up_and_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    clock, plan = clock_at(T0), plan_of([(0, 2 * H), (5 * H, 6 * H)])
    path = tmp_path / "waits" / f"{plan.id}.wait"
    with conducted(tmp_path, plan, clock) as conductor:
        conductor.working_now(1, resumed=False)
        written = os.write

        def full(fd: int, data: bytes) -> int:
            if written(fd, data[: len(data) // 2]):  # part of it fits
                raise OSError(28, "No space left on device")
            return 0

        monkeypatch.setattr(os, "write", full)
        clock.advance(2 * H)
        conductor.pausing_now(saved=True)
        assert conductor.look().do is Do.WAIT
        assert any("cannot be kept" in note for note in conductor.notes)
        before = read_wait(path)
        assert before is not None
        assert before.state.status == "running"  # the old state stands, whole
        monkeypatch.setattr(os, "write", written)
        conductor.look()
        after = read_wait(path)
        assert after is not None
        assert after.state.status == "paused"
        assert after.state.saved_s == pytest.approx(2 * H)


def test_a_killed_planner_is_followed_by_one_that_knows_all(tmp_path: Path) -> None:
    clock, plan = clock_at(T0), plan_of([(0, 2 * H), (5 * H, 8 * H)])
    with conducted(tmp_path, plan, clock) as conductor:
        conductor.working_now(0x7FFFFFFF, resumed=False)
        clock.advance(2 * H)
        conductor.pausing_now(saved=True)
        conductor.ended_for_now()
    # nothing was closed properly: only what had been written is known
    clock.advance(H)
    with conducted(tmp_path, plan, clock) as again:
        assert again.state.status == "paused"
        assert again.worked_s == pytest.approx(2 * H)
        assert again.look() == Next(Do.WAIT, T0 + 5 * H)
        assert again.remaining.duration_s == pytest.approx(3 * H)


def test_work_that_no_checkpoint_held_is_gone_with_its_program(tmp_path: Path) -> None:
    clock, plan = clock_at(T0), plan_of([(0, 2 * H), (5 * H, 8 * H)])
    with conducted(tmp_path, plan, clock) as conductor:
        conductor.working_now(0x7FFFFFFF, resumed=False)
        clock.advance(2 * H)
        conductor.pausing_now(frozen=True)
    with conducted(tmp_path, plan, clock) as again:
        assert again.state.status == "waiting"
        assert again.worked_s == 0
        assert again.look().do is Do.WORK  # five hours no longer fit into what is left


def test_running_work_is_kept_every_minute(tmp_path: Path) -> None:
    clock, plan = clock_at(T0), plan_of([(0, 8 * H)])
    with conducted(tmp_path, plan, clock) as conductor:
        conductor.working_now(1, resumed=False)
        for _ in range(10):
            clock.advance(30)
            conductor.look()
        kept = read_wait(conductor._file.path)
        assert kept is not None
        assert 240 <= kept.state.worked_s <= 300


def test_an_ended_plan_can_be_begun_anew(tmp_path: Path) -> None:
    clock, plan = clock_at(T0), plan_of([(0, 2 * H)])
    with conducted(tmp_path, plan, clock) as conductor:
        conductor.working_now(1, resumed=False)
        clock.advance(H)
        conductor.over()
    with conducted(tmp_path, plan, clock) as again:
        assert again.state.status == "waiting"
        assert again.worked_s == 0
        assert msgspec.structs.asdict(again.state)["pid"] == 0


def test_threads_of_others_leave_our_signals_to_us() -> None:
    """A library's thread that does not hold them would take, and lose, the end of the program."""
    import threading

    held: list[set[Any]] = []
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with signals_held():
        thread = threading.Thread(
            target=lambda: held.append(set(signal.pthread_sigmask(signal.SIG_BLOCK, [])))
        )
        thread.start()
        thread.join()
    assert held[0] >= WAITED_FOR
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
