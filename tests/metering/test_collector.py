# SPDX-License-Identifier: Apache-2.0
"""The collector's loop, its words, deaths and restarts, on a machine made of files."""

import os
import select
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from submeter.metering._head import Past, read_past
from submeter.metering._settling import LiveSettling
from submeter.metering._writer import JournalThread
from submeter.metering.clock import SystemClock
from submeter.metering.collector import Collector
from submeter.metering.journal import JournalWriter, paced_interval_s, read_frames
from submeter.metering.order import Order
from submeter.metering.phases import PhaseFile, ThreadClock
from submeter.records import Channel, Device, DeviceKind, Measures, Missing
from submeter.records.devices import Sensor
from submeter.records.frames import (
    End,
    Event,
    Frame,
    Head,
    Occupancy,
    PathName,
    Process,
    Started,
    Ticks,
    Use,
    delta_decode,
)
from submeter.units import NS_PER_MS, NS_PER_S

HOUR_NS = 3600 * NS_PER_S
TICK_NS = NS_PER_S // 10
YEAR_2026_NS = 1_780_000_000 * NS_PER_S


class HandClock(SystemClock):
    """Time that passes only by waiting, and jumps as told."""

    def __init__(self) -> None:
        self.now_ns = 5_000 * NS_PER_S
        self.wall_offset_ns = YEAR_2026_NS
        self.asleep_ns = 0
        self.late_ns: Iterator[int] = iter(())

    def monotonic_ns(self) -> int:
        return self.now_ns

    def boottime_ns(self) -> int:
        return self.now_ns + self.asleep_ns

    def utc_ns(self) -> int:
        return self.now_ns + self.asleep_ns + self.wall_offset_ns

    def wait_until(self, t_ns: int, fds: Sequence[int] = ()) -> list[int]:
        ready = select.select(fds, [], [], 0)[0] if fds else []
        if not ready:
            self.now_ns = max(self.now_ns, t_ns) + next(self.late_ns, 0)
        return ready


class CounterFile:
    """A counter of energy in a file, as a RAPL zone is."""

    def __init__(self, path: Path, device_id: str) -> None:
        self.path = path
        self.device = Device(device_id, DeviceKind.CPU, path.name, "here", peak_w=500.0)
        self.channels = (Channel(device_id, Measures.ENERGY, 1e-6, update_s=0.001),)

    def read(self) -> Sequence[int | Missing]:
        try:
            return (int(self.path.read_text()),)
        except OSError as exc:
            return (Missing(exc.strerror or "?"),)

    def close(self) -> None:
        pass


class FileMachine:
    """What `discover` would bring, of counters in a folder."""

    def __init__(self, folder: Path, names: Sequence[str] = ("cpu:0", "dram:0")) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        for name in names:
            if not (folder / name).exists():
                (folder / name).write_text("1000000\n")
        self.sensors: list[Sensor] = [CounterFile(folder / name, name) for name in names]
        self.devices = tuple(s.device for s in self.sensors)
        self.machine = {"cpu": "of files"}
        self.cpu_allocation_ratio = 1.0
        self.memory_allocation_ratio = 1.0

    def close(self) -> None:
        pass


class Rig:
    """A collector in this process, with the owner's end of its pipe."""

    def __init__(self, folder: Path, machine: FileMachine | None = None, **kwargs: Any) -> None:
        self.run = folder / "run"
        self.run.mkdir(exist_ok=True)
        self.clock = HandClock()
        self.said: list[str] = []
        owner_fd, self.owner = os.pipe()
        self.order = Order(
            run_id="20260101-000000-abcd",
            folder=str(self.run),
            ledger=str(folder / "ledger.db"),
            leader_pid=kwargs.pop("leader_pid", 0),
            owner_pid=kwargs.pop("owner_pid", os.getpid()),
            interval_s=kwargs.pop("interval_s", 0.1),
            utc_ns=self.clock.utc_ns(),
            t_ns=self.clock.monotonic_ns(),
            name="test",
        )
        past = read_past(self.run / "journal")
        self.journal = JournalThread(JournalWriter(self.run / "journal"), self.clock)
        self.settling = LiveSettling(self.run, live=past.head is None)
        self.collector = Collector(
            self.order,
            machine or FileMachine(folder / "machine"),
            self.clock,
            self.journal,
            settling=self.settling,
            past=past,
            owner_fd=owner_fd,
            reply=self.said.append,
            **kwargs,
        )
        self._owner_fd = owner_fd
        self.begin()

    def begin(self) -> None:
        self.collector.begin()
        self.settling.load()

    def ticks(self, number: int) -> None:
        for _ in range(number):
            self.collector.step()

    def say(self, line: str) -> None:
        os.write(self.owner, line.encode() + b"\n")

    def stop(self, status: str = "finished") -> list[Frame]:
        end = End(self.clock.monotonic_ns(), status, 0)
        self.say(f"stop {msgspec.json.encode(end).decode()}")
        return self.finish()

    def finish(self) -> list[Frame]:
        self.collector.run()
        self.said.append(self.collector.settle())
        self.collector.close()
        os.close(self._owner_fd)
        os.close(self.owner)
        return read_frames(self.run / "journal").frames

    def events(self, frames: list[Frame]) -> list[Event]:
        return [f for f in frames if isinstance(f, Event)]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def instants(frames: list[Frame], sensor: int = 0) -> list[int]:
    return [
        t
        for f in frames
        if isinstance(f, Ticks) and f.sensor == sensor
        for t in delta_decode(f.t_ns)
    ]


# -- the loop ---------------------------------------------------------------------------------


def test_a_run_from_its_head_to_its_end_and_into_the_ledger(rig: Rig) -> None:
    start_ns = rig.clock.now_ns
    assert rig.said == [f"ready {start_ns}"]
    rig.say(f"started {start_ns} 0")
    for _ in range(3):
        rig.ticks(11)
        for name in ("cpu:0", "dram:0"):
            path = rig.run.parent / "machine" / name
            path.write_text(f"{int(path.read_text()) + 10_000_000}\n")
    frames = rig.stop()
    assert isinstance(frames[0], Head)
    assert frames[0].generation == 0
    assert [s.device_id for s in frames[0].sensors] == ["cpu:0", "dram:0"]
    assert isinstance(frames[-1], End)
    assert [f.t_ns for f in frames if isinstance(f, Started)] == [start_ns]
    # one step of each batch of eleven hears the owner, the last readings are extra
    assert instants(frames)[:31] == [start_ns + i * TICK_NS for i in range(31)]
    assert instants(frames, 1) == instants(frames)
    uses = [f for f in frames if isinstance(f, Use)]
    assert 4 <= len(uses) <= 6
    assert rig.said[-1] == "settled finished"
    from submeter.storing.ledger import open_ledger

    with open_ledger(Path(rig.order.ledger)) as ledger:
        run = ledger.get(rig.order.run_id)
    assert run.status == "finished"
    assert {d.device.id for d in run.devices} >= {"cpu:0", "dram:0"}


def test_b06_a_starved_collector_keeps_real_instants_and_its_beat(rig: Rig) -> None:
    start_ns = rig.clock.now_ns
    rig.clock.late_ns = iter([0, 406 * NS_PER_MS, 3 * NS_PER_MS, 0, 0])
    rig.ticks(5)
    frames = rig.stop()
    offsets = [t - start_ns for t in instants(frames)]
    assert offsets[:6] == [
        0,
        100 * NS_PER_MS,
        606 * NS_PER_MS,
        703 * NS_PER_MS,
        *(n * NS_PER_MS for n in (800, 900)),
    ]


def test_b02_a_wall_clock_set_back_an_hour_is_told_and_no_instant_moves(rig: Rig) -> None:
    rig.ticks(3)
    rig.clock.wall_offset_ns -= HOUR_NS
    rig.ticks(3)
    frames = rig.stop()
    (event,) = rig.events(frames)
    assert (event.kind, event.number) == ("clock-stepped", float(YEAR_2026_NS - HOUR_NS))
    times = instants(frames)
    assert times == sorted(times)
    assert times[5] - times[0] == 5 * TICK_NS


def test_b08_a_clock_that_starts_in_1970_is_re_dated_once_it_is_sane(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    head = rig.collector.head
    rig.collector._clocks._before = rig.collector._clocks._anchor
    true_offset_ns = rig.clock.wall_offset_ns + 56 * 365 * 24 * HOUR_NS
    rig.ticks(1)
    rig.clock.wall_offset_ns = true_offset_ns
    rig.ticks(1)
    (event,) = rig.events(rig.stop())
    assert event.number is not None
    assert abs(head.t_ns + event.number - (head.t_ns + true_offset_ns)) < NS_PER_MS


def test_b03_slewing_is_no_event(rig: Rig) -> None:
    for _ in range(100):
        rig.clock.wall_offset_ns += 50_000  # 500 ppm of a tick
        rig.ticks(1)
    assert rig.events(rig.stop()) == []


def test_b04_eight_hours_of_suspend_are_told_and_not_metered(rig: Rig) -> None:
    start_ns = rig.clock.now_ns
    rig.ticks(5)
    rig.clock.asleep_ns += 8 * HOUR_NS
    rig.ticks(5)
    frames = rig.stop()
    (event,) = rig.events(frames)
    assert (event.kind, event.number) == ("suspended", float(8 * HOUR_NS))
    assert instants(frames)[10] - start_ns == 10 * TICK_NS


def test_b04_a_step_after_a_suspend_dates_the_start_right(rig: Rig) -> None:
    rig.clock.asleep_ns += 8 * HOUR_NS
    rig.ticks(1)
    rig.clock.wall_offset_ns += HOUR_NS
    rig.ticks(1)
    (_, step) = rig.events(rig.stop())
    # the head was written before the sleep: its instant plus the offset is its UTC
    assert step.number == float(YEAR_2026_NS + HOUR_NS)


def test_a_fault_in_the_loop_is_counted_told_once_a_minute_and_survived(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_now_ns: int) -> list[Frame]:
        raise RuntimeError("a bug")

    monkeypatch.setattr(rig.collector._phases, "look", fail)
    end_ns = rig.clock.now_ns + 61 * NS_PER_S
    wait_until = rig.clock.wait_until

    def wait(t_ns: int, fds: Sequence[int] = ()) -> list[int]:
        if t_ns >= end_ns and rig.collector.end is None:
            monkeypatch.undo()
            rig.collector.end = End(t_ns, "finished", 0)
        return wait_until(t_ns, fds)

    monkeypatch.setattr(rig.clock, "wait_until", wait)
    frames = rig.finish()
    assert rig.collector.faults > 600
    notes = [e for e in rig.events(frames) if e.kind == "note"]
    assert [e.text for e in notes] == ["RuntimeError: a bug"] * 2
    assert len(instants(frames)) > 600
    assert rig.said[-1] == "settled finished"


def test_e15_without_memory_history_is_dropped_and_totals_come_from_the_journal(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.ticks(15)

    def fail(_frame: Frame) -> None:
        raise MemoryError

    monkeypatch.setattr(rig.settling._settler, "feed", fail)
    rig.ticks(15)
    assert not rig.settling.live
    frames = rig.stop()
    assert rig.said[-1] == "settled finished"
    assert len(instants(frames)) >= 30


def test_d20_memory_stays_flat_and_the_rate_falls_as_the_journal_grows(tmp_path: Path) -> None:
    def pace(base_s: float, size_bytes: int) -> float:
        return paced_interval_s(base_s, size_bytes, first_step_bytes=16_384)

    rig = Rig(tmp_path, pace=pace)
    rig.settling.drop("only the collector's own memory is looked at")

    def compressed(ticks: int) -> None:
        for _ in range(ticks // 100):
            rig.ticks(100)
            while rig.journal._batches.qsize():  # the disk's time is not compressed
                select.select([], [], [], 0.001)

    tracemalloc.start()
    compressed(1000)
    before_bytes = tracemalloc.get_traced_memory()[0]
    compressed(3000)
    after_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after_bytes - before_bytes < 200_000
    elapsed_days = (rig.clock.now_ns - rig.order.t_ns) / NS_PER_S / 86_400
    frames = rig.stop()
    changes = [e.number for e in rig.events(frames) if e.kind == "rate-changed"]
    assert changes == [0.2, 0.5, 1.0, 2.0, 5.0, 10.0][: len(changes)]
    assert len(changes) >= 3
    assert elapsed_days > 0.01


# -- words and deaths -------------------------------------------------------------------------


def test_stop_is_heard_before_the_next_tick(rig: Rig) -> None:
    rig.ticks(1)
    now_ns = rig.clock.now_ns
    rig.stop()
    assert rig.clock.now_ns == now_ns


def test_words_may_come_in_pieces(rig: Rig) -> None:
    os.write(rig.owner, b"start")
    rig.ticks(1)
    os.write(rig.owner, b"ed 77 0\nsto")
    rig.ticks(1)
    os.write(rig.owner, b'p {"type":"end","t_ns":99,"status":"failed","exit_code":3}\n')
    frames = rig.finish()
    assert Started(77) in frames
    assert frames[-1] == End(99, "failed", 3)


def test_rubbish_from_the_owner_is_survived(rig: Rig) -> None:
    rig.say("started not-a-number")
    rig.say("\x00\xff")
    rig.say("stop {")
    frames = rig.stop()
    assert isinstance(frames[-1], End)
    assert frames[-1].status == "finished"


@pytest.fixture
def sleeper() -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    processes: list[subprocess.Popen[bytes]] = []

    def start() -> "subprocess.Popen[bytes]":
        processes.append(subprocess.Popen(["sleep", "1000"]))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize("pidfd", [True, False])
def test_c01_a_killed_trainer_is_settled_as_killed_at_its_death(
    tmp_path: Path,
    sleeper: Callable[[], "subprocess.Popen[bytes]"],
    monkeypatch: pytest.MonkeyPatch,
    pidfd: bool,  # noqa: FBT001
) -> None:
    if not pidfd:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    trainer = sleeper()
    rig = Rig(tmp_path, leader_pid=trainer.pid, owner_pid=trainer.pid)
    rig.ticks(12)
    assert rig.collector.end is None
    trainer.kill()
    trainer.wait()
    died_ns = rig.clock.now_ns
    frames = rig.finish()
    assert isinstance(frames[-1], End)
    assert frames[-1].status == "killed"
    assert 0 <= frames[-1].t_ns - died_ns <= TICK_NS
    assert rig.said[-1] == "settled killed"


def test_c01_a_dead_owner_does_not_end_the_run_of_a_living_trainer(
    tmp_path: Path, sleeper: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    trainer = sleeper()
    rig = Rig(tmp_path)
    rig.say(f"started {rig.clock.now_ns} {trainer.pid}")
    rig.ticks(2)
    owner = os.dup(rig.owner)
    os.close(rig.owner)
    rig.owner = os.open(os.devnull, os.O_WRONLY)
    os.close(owner)
    rig.ticks(30)
    assert rig.collector.end is None
    trainer.kill()
    trainer.wait()
    frames = rig.finish()
    assert len(instants(frames)) > 30
    assert rig.said[-1] == "settled killed"


def test_a_dead_trainer_waits_for_its_launchers_word(
    tmp_path: Path, sleeper: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    trainer = sleeper()
    rig = Rig(tmp_path)
    rig.say(f"started {rig.clock.now_ns} {trainer.pid}")
    rig.ticks(2)
    trainer.kill()
    trainer.wait()
    rig.ticks(20)
    assert rig.collector.end is None
    end = rig.stop("failed")[-1]
    assert isinstance(end, End)
    assert end.status == "failed"


def test_the_last_word_of_an_owner_that_died_is_still_heard(
    tmp_path: Path, sleeper: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    trainer = sleeper()
    rig = Rig(tmp_path, leader_pid=trainer.pid, owner_pid=trainer.pid)
    rig.ticks(2)
    trainer.kill()
    trainer.wait()
    frames = rig.stop("finished")
    end = frames[-1]
    assert isinstance(end, End)
    assert end.status == "finished"


# -- phases -----------------------------------------------------------------------------------


class HandPhases:
    """A phase file of a process, its times set by hand."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, int, int, int]] = []

    def read(self, _now_ns: int) -> list[tuple[str, int, int, int]]:
        return list(self.rows)


def phase_rig(tmp_path: Path, readers: dict[int, HandPhases], past: Past | None = None) -> Any:
    from submeter.metering._windows import PhaseWatch

    folder = tmp_path / "phases"
    folder.mkdir(exist_ok=True)
    for pid in readers:
        (folder / f"phases.{pid}").touch()
    past = past or Past()
    return PhaseWatch(
        folder,
        names=past.names,
        seen=past.seen,
        open_reader=lambda path: readers[int(path.suffix[1:])],
    )


def test_windows_hold_what_happened_within_them(tmp_path: Path) -> None:
    phases = HandPhases()
    watch = phase_rig(tmp_path, {7: phases})
    assert watch.look(0) == []
    phases.rows = [("train", 60, 50, 3), ("load", 40, 1, 3)]
    first = watch.look(100)
    assert [f for f in first if isinstance(f, PathName)] == [
        PathName(0, 7, "train"),
        PathName(1, 7, "load"),
    ]
    empty, window = (f for f in first if isinstance(f, Occupancy))
    assert (empty.t_ns, empty.rows) == (0, [])
    assert window.t_ns == 100
    assert [
        tuple(getattr(r, n) for n in ("path", "wall_ns", "cpu_ns", "count")) for r in window.rows
    ] == [
        (0, 60, 50, 3),
        (1, 40, 1, 3),
    ]
    assert watch.take_new_pids() == [7]
    assert watch.take_new_pids() == []


def test_a_path_open_throughout_makes_one_window_a_flush(tmp_path: Path) -> None:
    phases = HandPhases()
    watch = phase_rig(tmp_path, {7: phases})
    phases.rows = [("train", 0, 0, 1)]
    windows = [f for f in watch.look(0) if isinstance(f, Occupancy)]
    for tick in range(1, 11):
        phases.rows = [("train", tick * 100, tick * 90, 1)]
        windows += watch.look(tick * 100)
    windows += watch.flush()
    assert [w.t_ns for w in windows] == [0, 1000]
    assert (windows[1].rows[0].wall_ns, windows[1].rows[0].cpu_ns) == (1000, 900)
    for tick in range(11, 21):  # nothing happens: nothing is written
        assert watch.look(tick * 100) == []
        assert watch.flush() == []
    assert [w.t_ns for w in watch.finish()] == [2000]


def test_occupancy_sums_to_what_the_file_says_however_it_is_cut(tmp_path: Path) -> None:
    import random

    order = random.Random(5)  # noqa: S311
    phases = HandPhases()
    watch = phase_rig(tmp_path, {7: phases})
    sums = {"a": [0, 0, 0], "b": [0, 0, 0], "c": [0, 0, 0]}
    frames: list[Frame] = []
    now = 0
    for _ in range(500):
        length = order.choice([100, 100, 100, 250])
        now += length
        path = order.choice(["a", "a", "b", "c"])
        wall = order.choice([length, length, length // 2])
        for i, more in enumerate((wall, wall // 2, order.choice([0, 0, 1]))):
            sums[path][i] += more
        phases.rows = [(p, *s) for p, s in sums.items()]  # type: ignore[misc]
        frames += watch.look(now)
        if order.random() < 0.1:
            frames += watch.flush()
    frames += watch.finish()
    names = {f.index: f.path for f in frames if isinstance(f, PathName)}
    got = {p: [0, 0, 0] for p in sums}
    ends = [f.t_ns for f in frames if isinstance(f, Occupancy)]
    for frame in frames:
        if isinstance(frame, Occupancy):
            for row in frame.rows:
                for i, more in enumerate((row.wall_ns, row.cpu_ns, row.count)):
                    got[names[row.path]][i] += more
    assert got == sums
    assert ends == sorted(set(ends))
    assert ends[-1] == now


def test_a_torn_phase_file_never_takes_back_what_was_counted(tmp_path: Path) -> None:
    phases = HandPhases()
    watch = phase_rig(tmp_path, {7: phases})
    phases.rows = [("a", 50, 5, 1)]
    watch.look(100)
    phases.rows = [("a", 30, 9, 1)]
    (window,) = watch.look(200)
    assert [(r.wall_ns, r.cpu_ns, r.count) for r in window.rows] == [(0, 4, 0)]


def test_phases_of_a_real_file_are_read_and_end_with_their_process(
    tmp_path: Path, sleeper: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    rig = Rig(tmp_path)
    rig.clock.now_ns = SystemClock().monotonic_ns()
    rig.ticks(2)
    worker = sleeper()
    file = PhaseFile.create(rig.run / f"phases.{worker.pid}")
    lane = file.new_lane(ThreadClock())
    assert lane is not None
    lane.move_to(file.node(file.root, "train").index)
    rig.clock.now_ns = SystemClock().monotonic_ns() + TICK_NS
    rig.ticks(12)
    worker.kill()
    worker.wait()
    rig.ticks(1)
    died_ns = rig.clock.now_ns
    rig.ticks(30)
    frames = rig.stop()
    assert [f.pid for f in frames if isinstance(f, Process)] == [worker.pid]
    assert [(f.pid, f.path) for f in frames if isinstance(f, PathName)] == [(worker.pid, "train")]
    rows = [(f.t_ns, r) for f in frames if isinstance(f, Occupancy) for r in f.rows]
    assert sum(r.count for _, r in rows) == 1
    assert sum(r.wall_ns for _, r in rows) > NS_PER_S
    assert max(t for t, _ in rows) <= died_ns  # a phase that its process left open has ended


# -- a process of its own ---------------------------------------------------------------------

PROGRAM = """
import sys
from pathlib import Path
sys.path[:0] = [{here!r}]
from test_collector import FileMachine
from submeter.metering.collector import main
main(sys.argv[1], discover=lambda order: FileMachine(Path(sys.argv[2]), sys.argv[3:]))
"""


class Child:
    """A real collector process."""

    def __init__(self, folder: Path, *names: str, leader_pid: int | None = None) -> None:
        run = folder / "run"
        run.mkdir(exist_ok=True)
        clock = SystemClock()
        pid = os.getpid() if leader_pid is None else leader_pid
        order = Order(
            run_id="20260101-000000-abcd",
            folder=str(run),
            ledger=str(folder / "ledger.db"),
            leader_pid=pid,
            owner_pid=pid,
            interval_s=0.02,
            utc_ns=clock.utc_ns(),
            t_ns=clock.monotonic_ns(),
        )
        self.journal = run / "journal"
        (run / "order.json").write_bytes(msgspec.json.encode(order))
        program = PROGRAM.format(here=str(Path(__file__).parent))
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, str(run / "order.json"), str(folder / "m"), *names],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.ready = self.line()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def wait_for(self, size_bytes: int) -> None:
        """Wait until the journal is larger."""
        while self.journal.stat().st_size <= size_bytes:
            assert self.process.poll() is None
            select.select([], [], [], 0.001)

    def stop(self) -> str:
        assert self.process.stdin is not None
        end = End(SystemClock().monotonic_ns(), "finished", 0)
        self.process.stdin.write(f"stop {msgspec.json.encode(end).decode()}\n")
        self.process.stdin.flush()
        said = self.line()
        self.close()
        return said

    def close(self) -> None:
        self.process.communicate()


def test_c02_c03_a_collector_killed_at_any_moment_is_resumed(tmp_path: Path) -> None:
    import random

    order = random.Random(11)  # noqa: S311
    size_bytes = 0
    for generation in range(4):
        child = Child(tmp_path, "cpu:0", "dram:0")
        assert child.ready.startswith("ready ")
        child.wait_for(size_bytes)
        for _ in range(order.randrange(3)):
            child.wait_for(child.journal.stat().st_size)
        child.process.kill()
        child.close()
        content = read_frames(child.journal)
        assert content.lost_bytes == 0
        heads = [f for f in content.frames if isinstance(f, Head)]
        assert [h.generation for h in heads] == list(range(generation + 1))
        size_bytes = child.journal.stat().st_size
    child = Child(tmp_path, "gpu:GPU-1", "dram:0", "cpu:0")  # another machine answers first
    assert child.stop() == "settled finished"
    frames = read_frames(child.journal).frames
    heads = [f for f in frames if isinstance(f, Head)]
    assert heads[-1].generation == 4
    assert [s.device_id for s in heads[-1].sensors] == ["cpu:0", "dram:0", "gpu:GPU-1"]
    times = instants(frames)
    assert times == sorted(times)


def test_d16_a_second_collector_of_a_run_is_refused(tmp_path: Path) -> None:
    first = Child(tmp_path, "cpu:0")
    second = Child(tmp_path, "cpu:0")
    assert second.ready.startswith("unsettled ")
    assert "another process" in second.ready
    second.close()
    assert second.process.returncode == 0
    assert first.stop() == "settled finished"


def test_c01_the_process_of_a_killed_trainer_settles_and_ends(
    tmp_path: Path, sleeper: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    trainer = sleeper()
    child = Child(tmp_path, "cpu:0", leader_pid=trainer.pid)
    assert child.ready.startswith("ready ")
    trainer.kill()
    trainer.wait()
    assert child.line() == "settled killed"
    child.close()
    assert child.process.returncode == 0


def test_a18_a_sensor_that_hangs_delays_neither_ready_nor_the_end(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    os.mkfifo(tmp_path / "m" / "cpu:1")
    child = Child(tmp_path, "cpu:0", "cpu:1")
    assert child.ready.startswith("ready ")
    assert child.stop() == "settled finished"
    frames = read_frames(child.journal).frames
    assert instants(frames, 0)
    assert instants(frames, 1) == []
    missing = [f for f in frames if isinstance(f, Event) and f.kind == "sensor-missing"]
    assert [e.sensor for e in missing] == [1]
