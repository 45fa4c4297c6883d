# SPDX-License-Identifier: Apache-2.0
"""A sensor that is slow, hangs, dies or lies never makes another one late."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from submeter.collecting.clock import SystemClock
from submeter.collecting.sampler import MOST_EVENTS, QUICK_READS, Sampler
from submeter.records import Channel, Device, DeviceKind, Measures, Missing
from submeter.records.devices import Reading
from submeter.units import NS_PER_MS, s_to_ns

INTERVAL_S = 0.5  # long enough that a busy machine makes no sensor look as if it hung


class ManualClock(SystemClock):
    """Monotonic time that passes only when a sensor takes some."""

    def __init__(self) -> None:
        self.now_ns = 1_000 * NS_PER_MS
        self.lock = threading.Lock()

    def monotonic_ns(self) -> int:
        return self.now_ns

    def take(self, duration_ns: int) -> None:
        with self.lock:
            self.now_ns += duration_ns


class FileSensor:
    """One counter in a file, as a RAPL zone is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.closed = False

    @property
    def device(self) -> Device:
        return Device(f"cpu:{self.path.name}", DeviceKind.CPU, "a file", "here")

    @property
    def channels(self) -> Sequence[Channel]:
        return (Channel(self.device.id, Measures.ENERGY, 1e-6),)

    def read(self) -> Sequence[int | Missing]:
        try:
            return (int(self.path.read_text()),)
        except OSError as exc:
            return (Missing(exc.strerror or "?"),)

    def close(self) -> None:
        self.closed = True


class ScriptedSensor(FileSensor):
    """Does at each read what the test says."""

    def __init__(self, name: str, act: Callable[[], Sequence[int | Missing]]) -> None:
        super().__init__(Path(name))
        self.act = act
        self.reads = 0

    def read(self) -> Sequence[int | Missing]:
        self.reads += 1
        return self.act()


@pytest.fixture
def closing() -> Iterator[list[Sampler]]:
    samplers: list[Sampler] = []
    yield samplers
    for sampler in samplers:
        sampler.close()


def good(tmp_path: Path, number: int) -> FileSensor:
    path = tmp_path / f"good{number}"
    path.write_text(f"{number}\n")
    return FileSensor(path)


def indexes(rows: list[tuple[int, Reading]]) -> list[int]:
    return [index for index, _ in rows]


def test_all_sensors_are_read_at_every_tick_in_their_order(
    tmp_path: Path, closing: list[Sampler]
) -> None:
    sensors = [good(tmp_path, i) for i in range(5)]
    sampler = Sampler(sensors, SystemClock(), INTERVAL_S)
    closing.append(sampler)
    for _ in range(3):
        rows = sampler.sample()
        assert [(i, r.values) for i, r in rows] == [(i, (i,)) for i in range(5)]
    assert sampler.take_events() == []
    sampler.close()
    assert all(s.closed for s in sensors)


def test_a18_a_read_that_hangs_for_ever_is_left_and_the_others_stay_on_time(
    tmp_path: Path, closing: list[Sampler]
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    sensors = [good(tmp_path, 0), FileSensor(pipe), good(tmp_path, 2)]
    sampler = Sampler(sensors, SystemClock(), INTERVAL_S)
    closing.append(sampler)
    assert indexes(sampler.sample()) == [0, 2]
    (event,) = sampler.take_events()
    assert (event.kind, event.sensor) == ("sensor-missing", 1)
    assert "no answer" in event.text
    for _ in range(3):
        assert indexes(sampler.sample()) == [0, 2]
    assert sampler.take_events() == []
    pipe.write_text("7\n")  # and it is back
    rows: list[tuple[int, Reading]] = []
    while 1 not in indexes(rows):
        pipe_reader_fed = os.open(pipe, os.O_RDWR)
        os.write(pipe_reader_fed, b"7\n")
        rows = sampler.sample(wait_s=1)
        os.close(pipe_reader_fed)
    assert "sensor-back" in [e.kind for e in sampler.take_events()]


def test_a18_a_sensor_that_hangs_after_many_good_reads_is_set_aside_within_the_tick(
    tmp_path: Path, closing: list[Sampler]
) -> None:
    answer, hanging = threading.Event(), threading.Event()
    answer.set()

    def act() -> Sequence[int]:
        if not answer.is_set():
            hanging.set()
        answer.wait()
        return (1,)

    sensors = [good(tmp_path, 0), ScriptedSensor("hangs", act), good(tmp_path, 2)]
    sampler = Sampler(sensors, SystemClock(), INTERVAL_S)
    closing.append(sampler)
    for _ in range(4):
        assert indexes(sampler.sample(wait_s=1)) == [0, 1, 2]
    answer.clear()
    assert indexes(sampler.sample()) == [0, 2]
    assert hanging.is_set()
    assert [(e.kind, e.sensor) for e in sampler.take_events()] == [("sensor-missing", 1)]
    for _ in range(3):
        assert indexes(sampler.sample()) == [0, 2]
    answer.set()
    while 1 not in indexes(sampler.sample()):
        pass
    assert [(e.kind, e.sensor) for e in sampler.take_events()] == [("sensor-back", 1)]
    rows = []
    for _ in range(QUICK_READS + 5):
        rows = sampler.sample(wait_s=5)
    assert indexes(rows) == [0, 1, 2]
    assert sampler._slow == {}  # it has earned its place among the quick ones


def test_a18_two_sensors_that_hang_at_once_both_leave(
    tmp_path: Path, closing: list[Sampler]
) -> None:
    answer = threading.Event()
    answer.set()

    def act() -> Sequence[int]:
        answer.wait()
        return (1,)

    sensors = [
        ScriptedSensor("a", act),
        good(tmp_path, 1),
        ScriptedSensor("b", act),
        good(tmp_path, 3),
    ]
    sampler = Sampler(sensors, SystemClock(), INTERVAL_S)
    closing.append(sampler)
    assert indexes(sampler.sample(wait_s=1)) == [0, 1, 2, 3]
    answer.clear()
    assert indexes(sampler.sample()) == [1, 3]
    assert {e.sensor for e in sampler.take_events()} == {0, 2}
    answer.set()


def test_a19_a_slow_read_has_its_real_instant_and_no_drift(
    closing: list[Sampler],
) -> None:
    clock = ManualClock()
    slow_ns = 300 * NS_PER_MS

    def act() -> Sequence[int]:
        clock.take(slow_ns)
        return (1,)

    slow = ScriptedSensor("slow", act)
    sampler = Sampler([slow], clock, INTERVAL_S)
    closing.append(sampler)
    before_ns = clock.now_ns
    ((_, reading),) = sampler.sample(wait_s=5)
    assert reading.t_ns == before_ns + slow_ns // 2
    assert reading.half_ns == slow_ns // 2
    sampler.sample(wait_s=5)
    sampler.sample(wait_s=5)
    (event,) = sampler.take_events()
    assert (event.kind, event.sensor, event.number) == ("sensor-slow", 0, 0.3)


def test_a33_eight_slow_boards_are_read_in_parallel_each_at_its_own_pace(
    tmp_path: Path, closing: list[Sampler]
) -> None:
    clock = ManualClock()
    together = threading.Barrier(8, timeout=20)

    def act() -> Sequence[int]:
        together.wait()  # passes only if all eight reads are under way at once
        clock.take(80 * NS_PER_MS)
        return (5,)

    boards = [ScriptedSensor(f"gpu{i}", act) for i in range(8)]
    sampler = Sampler([*boards, good(tmp_path, 8)], clock, 0.1)
    closing.append(sampler)
    for tick in range(1, 4):
        rows = sampler.sample(wait_s=20)
        assert indexes(rows) == list(range(9))
        assert [b.reads for b in boards] == [tick] * 8
        assert all(r.half_ns >= 40 * NS_PER_MS for i, r in rows if i < 8)
    slow = [e.sensor for e in sampler.take_events() if e.kind == "sensor-slow"]
    assert {s for s in slow if s is not None} >= set(range(8))


def test_a33_a_slow_board_is_not_asked_again_before_it_has_answered(
    tmp_path: Path, closing: list[Sampler]
) -> None:
    answer, begun = threading.Event(), threading.Event()

    def act() -> Sequence[int]:
        begun.set()
        answer.wait()
        return (1,)

    board = ScriptedSensor("gpu", act)
    sampler = Sampler([board, good(tmp_path, 1)], SystemClock(), INTERVAL_S)
    closing.append(sampler)
    for _ in range(5):
        assert indexes(sampler.sample()) == [1]
    assert begun.wait(5)
    assert board.reads == 1
    answer.set()
    # a board taken for silent by then is not waited for, and heard at one of the next ticks
    assert any(0 in indexes(sampler.sample(wait_s=0.1)) for _ in range(300))


def test_a_sensor_slow_twice_leaves_the_quick_ones_and_once_does_not(
    closing: list[Sampler],
) -> None:
    clock = ManualClock()
    takes = iter([0, 0, 400, 0, 400, 400, 400, 400])

    def act() -> Sequence[int]:
        clock.take(next(takes) * NS_PER_MS)
        return (1,)

    sampler = Sampler([ScriptedSensor("s", act)], clock, INTERVAL_S)
    closing.append(sampler)
    for _ in range(5):
        sampler.sample(wait_s=5)
    assert sampler._quick == [0]
    assert sampler.take_events() == []
    sampler.sample(wait_s=5)
    assert sampler._quick == []
    assert [e.kind for e in sampler.take_events()] == ["sensor-slow"]


def test_a13_missing_values_are_told_once_with_their_reason_and_when_they_are_back(
    closing: list[Sampler],
) -> None:
    values: list[int | Missing] = [
        1,
        Missing("EIO"),
        Missing("EIO"),
        Missing("ENODEV"),
        2,
        3,
    ]
    script = iter(values)
    sampler = Sampler([ScriptedSensor("s", lambda: (next(script),))], SystemClock(), INTERVAL_S)
    closing.append(sampler)
    seen: list[tuple[str, str]] = []
    for expected in values:
        ((_, reading),) = sampler.sample(wait_s=5)
        assert reading.values == (expected,)
        seen += [(e.kind, e.text) for e in sampler.take_events()]
    assert seen == [
        ("sensor-missing", "energy: EIO"),
        ("sensor-missing", "energy: ENODEV"),
        ("sensor-back", "energy"),
    ]


def test_a_sensor_that_comes_and_goes_for_a_month_stops_talking(closing: list[Sampler]) -> None:
    turns = iter(range(10**6))
    sampler = Sampler(
        [ScriptedSensor("s", lambda: (1 if next(turns) % 2 else Missing("gone"),))],
        SystemClock(),
        INTERVAL_S,
    )
    closing.append(sampler)
    events = 0
    for _ in range(3 * MOST_EVENTS):
        sampler.sample(wait_s=5)
        events += len(sampler.take_events())
    assert events == MOST_EVENTS


def test_a_sensor_that_raises_counts_as_missing(closing: list[Sampler]) -> None:
    def act() -> Sequence[int]:
        raise ZeroDivisionError("plug-in")

    sampler = Sampler([ScriptedSensor("s", act)], SystemClock(), INTERVAL_S)
    closing.append(sampler)
    ((_, reading),) = sampler.sample()
    assert reading.values == (Missing("ZeroDivisionError: plug-in"),)


def test_a_sensor_that_is_not_due_gives_no_reading_and_no_event(closing: list[Sampler]) -> None:
    sampler = Sampler(
        [ScriptedSensor("s", lambda: (Missing("not due yet"),))], SystemClock(), INTERVAL_S
    )
    closing.append(sampler)
    assert sampler.sample(wait_s=1) == []
    assert sampler.take_events() == []


def test_e15_without_threads_sensors_are_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)  # the border to the kernel
    sampler = Sampler([good(tmp_path, 0), good(tmp_path, 1)], SystemClock(), INTERVAL_S)
    assert indexes(sampler.sample()) == [0, 1]
    assert indexes(sampler.sample()) == [0, 1]
    sampler.close()


def test_a_read_that_hung_for_hours_says_nothing_about_any_instant(
    closing: list[Sampler],
) -> None:
    clock = ManualClock()
    takes = iter([s_to_ns(7200), 0, 0])

    def act() -> Sequence[int]:
        clock.take(next(takes))
        return (1,)

    sampler = Sampler([ScriptedSensor("s", act)], clock, INTERVAL_S)
    closing.append(sampler)
    assert sampler.sample(wait_s=5) == []
    ((_, reading),) = sampler.sample(wait_s=5)
    assert reading.half_ns == 0


def test_behind_a_call_gives_what_was_asked_for_ahead(
    tmp_path: Path, closing: list[Sampler]
) -> None:
    sensors = [good(tmp_path, i) for i in range(3)]
    sampler = Sampler(sensors, SystemClock(), INTERVAL_S)
    closing.append(sampler)
    before = indexes(sampler.sample())
    assert before == [0, 1, 2]
    assert sampler.sample(behind=True) == []
    for _ in range(20):
        assert sampler.ask_ahead()
        assert indexes(sampler.sample(behind=True)) == [0, 1, 2]
    assert sampler.ask_ahead()
    # a call that waits brings both what is outstanding and what it asked for
    assert indexes(sampler.sample(wait_s=5)) == [0, 1, 2] * 2
    assert sampler.take_events() == []


def test_a18_behind_a_sensor_that_hangs_is_set_aside_at_the_next_tick(
    tmp_path: Path, closing: list[Sampler]
) -> None:
    answer = threading.Event()
    answer.set()

    def act() -> Sequence[int]:
        answer.wait()
        return (1,)

    sensors = [good(tmp_path, 0), ScriptedSensor("hangs", act), good(tmp_path, 2)]
    sampler = Sampler(sensors, SystemClock(), INTERVAL_S)
    closing.append(sampler)
    assert indexes(sampler.sample()) == [0, 1, 2]
    answer.clear()
    after = threading.Event()
    assert sampler.ask_ahead(after.set)
    assert sorted(indexes(sampler.sample(behind=True))) == [0, 2]
    assert [(e.kind, e.sensor) for e in sampler.take_events()] == [("sensor-missing", 1)]
    assert not after.is_set()  # the thread that was to do it hangs
    assert sampler.ask_ahead(after.set)
    assert after.wait(30)
    assert sorted(indexes(sampler.sample(behind=True))) == [0, 2]
    answer.set()
