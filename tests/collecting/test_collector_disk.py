# SPDX-License-Identifier: Apache-2.0
"""A disk that is slow, full or read-only delays no tick and loses nothing unsaid."""

import errno
import os
import threading
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from submeter.collecting import _writer
from submeter.collecting._settling import put_into_ledger
from submeter.collecting._use import STALE_NS, UseWatch
from submeter.collecting._writer import JournalThread
from submeter.collecting.order import Order
from submeter.records import Missing
from submeter.records.devices import Sensor, Tenancy
from submeter.records.frames import Event, Frame
from submeter.records.runs import Run
from submeter.running.recovery import settled_run
from submeter.storing._files import Disk
from submeter.storing.journal import JournalWriter, read_frames
from submeter.storing.places import temporary_homes
from submeter.units import NS_PER_S, s_to_ns
from tests.collecting.collector_rig import CounterFile, HandClock, Rig, instants
from tests.running.scripts import shared_places_as_before


class StubbornDisk(Disk):
    """A disk whose syncs take as long as the test likes, or whose writes fail."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.answers.set()
        self.error = 0

    def write(self, fd: int, data: bytes) -> int:
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        return super().write(fd, data)

    def fsync(self, fd: int) -> None:
        self.answers.wait()
        super().fsync(fd)


def note(number: int) -> Event:
    return Event(number, "note", "n")


def wait_until(met: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(20_000):
        if met():
            return
        pause.wait(0.001)
    raise AssertionError


def thread_for(path: Path, disk: Disk, elsewhere: Path | None = None) -> JournalThread:
    return JournalThread(JournalWriter(path, disk=disk), HandClock(), elsewhere=lambda: elsewhere)


def test_d05_a_sync_that_hangs_stops_no_tick_and_what_overflows_is_told(tmp_path: Path) -> None:
    disk = StubbornDisk()
    thread = thread_for(tmp_path / "journal", disk)
    disk.answers.clear()
    for number in range(_writer.MOST_BATCHES + 50):
        thread.put([note(number)])  # returns at once, though nothing is on the disk
    assert thread.take_events() == []
    disk.answers.set()
    wait_until(lambda: not thread._batches)
    (lost,) = thread.take_events()
    assert lost.kind == "frames-lost"
    assert lost.number is not None
    thread.close(60)
    kept = read_frames(tmp_path / "journal").frames
    assert len(kept) + lost.number == _writer.MOST_BATCHES + 50
    assert kept == [note(n) for n in range(len(kept))]


def test_a_disk_that_never_answers_does_not_keep_the_collector(tmp_path: Path) -> None:
    disk = StubbornDisk()
    thread = thread_for(tmp_path / "journal", disk)
    disk.answers.clear()
    thread.put([note(1)])
    assert not thread.close(0.05)
    disk.answers.set()
    assert thread._done.wait(30)


def test_what_nobody_wakes_the_journal_for_is_written_all_the_same(tmp_path: Path) -> None:
    thread = thread_for(tmp_path / "journal", StubbornDisk())
    thread.put([note(1)], wake=False)  # a sensor hangs in the thread that was to wake it
    wait_until(lambda: thread.size_bytes > 0)
    thread.close(30)
    assert read_frames(tmp_path / "journal").frames == [note(1)]


def test_d03_a_read_only_disk_moves_the_journal_and_says_where(tmp_path: Path) -> None:
    disk = StubbornDisk()
    other = tmp_path / "other" / "journal"
    thread = thread_for(tmp_path / "journal", disk, other)
    thread.put([note(1)])
    wait_until(lambda: thread.size_bytes > 0)
    disk.error = errno.EROFS

    def moved_disk() -> Path:
        disk.error = 0
        return other

    thread._elsewhere = moved_disk
    thread.put([note(2)])
    wait_until(lambda: thread.path == other)
    thread.put([note(3)])
    thread.close(30)
    assert read_frames(other).frames == [note(1), note(2), note(3)]
    assert [(e.kind, e.text) for e in thread.take_events()][-1] == ("journal-moved", str(other))


def test_d01_a_full_disk_waits_where_it_is_and_says_so_once(tmp_path: Path) -> None:
    disk = StubbornDisk()
    thread = thread_for(tmp_path / "journal", disk, tmp_path / "other")
    disk.error = errno.ENOSPC
    for number in range(5):
        thread.put([note(number)])
    wait_until(lambda: not thread._batches and thread.writer.waiting_bytes > 0)
    disk.error = 0
    thread.put([note(5)])
    thread.close(30)
    assert [e.kind for e in thread.take_events()] == ["note"]
    frames: list[Frame] = [note(n) for n in range(6)]
    assert read_frames(tmp_path / "journal").frames == frames
    assert not (tmp_path / "other").exists()


def test_d15_a_journal_deleted_while_the_run_goes_on_is_whole_at_its_end(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.ticks(15)
    wait_until(lambda: not rig.journal._batches and rig.journal.size_bytes > 0)
    (rig.run / "journal").unlink()
    rig.ticks(15)
    frames = rig.stop()
    assert len(instants(frames)) >= 31
    assert rig.said[-1] == "settled finished"


class Board(CounterFile):
    """A board that says who is on it, when it likes."""

    def __init__(self, path: Path, said: Callable[[Collection[int]], Tenancy]) -> None:
        super().__init__(path, "gpu:GPU-1")
        self.said = said

    def tenancy(self, run_pids: Collection[int]) -> Tenancy:
        return self.said(run_pids)


class Family:
    """The run's processes: two ranks."""

    pids = (11, 12)

    def add(self, pid: int) -> bool:
        return pid in self.pids

    def rank_of(self, pid: int) -> int | None:
        return {11: 0, 12: 1}.get(pid)

    def rank_cpu_ns(self) -> dict[int, int]:
        return {0: 5, 1: 6}


def test_who_is_on_a_board_is_known_at_the_next_word_of_use(tmp_path: Path) -> None:
    board: Sensor = Board(tmp_path / "b", lambda _: Tenancy(0.25, (12,), "by utilisation"))
    watch = UseWatch([board], Family(), HandClock())
    assert watch.use(1).share_ppm == {}
    watch.ask()
    wait_until(lambda: not watch._busy)
    use = watch.use(2)
    assert use.share_ppm == {"gpu:GPU-1": 250_000}
    assert use.rank_devices == {"gpu:GPU-1": [1]}
    assert use.how == {"gpu:GPU-1": "by utilisation"}
    assert use.rank_cpu_ns == {0: 5, 1: 6}
    watch.close()


def test_a18_a_board_that_does_not_say_who_is_on_it_becomes_unknown(tmp_path: Path) -> None:
    answers = threading.Event()
    answers.set()

    def said(_: Collection[int]) -> Tenancy:
        answers.wait()
        return Tenancy(1.0)

    clock = HandClock()
    watch = UseWatch([Board(tmp_path / "b", said)], Family(), clock)
    watch.use(clock.now_ns)
    watch.ask()
    wait_until(lambda: not watch._busy)
    answers.clear()
    assert watch.use(clock.now_ns).share_ppm == {"gpu:GPU-1": 1_000_000}
    assert watch.use(clock.now_ns + STALE_NS + NS_PER_S).share_ppm == {"gpu:GPU-1": None}
    answers.set()
    watch.close()


def test_a27_a_share_that_cannot_be_known_is_unknown_and_never_zero(tmp_path: Path) -> None:
    board = Board(tmp_path / "b", lambda _: Tenancy(Missing("MIG"), (), "MIG"))
    clock = HandClock()
    watch = UseWatch([board], None, clock)
    watch.use(clock.now_ns)
    watch.ask()
    wait_until(lambda: not watch._busy)
    assert watch.use(clock.now_ns).share_ppm == {"gpu:GPU-1": None}
    watch.close()


def test_d01_a_disk_that_stays_full_moves_the_journal_with_all_that_waits(tmp_path: Path) -> None:
    disk, clock = StubbornDisk(), HandClock()
    other = tmp_path / "other" / "journal"
    writer = JournalWriter(tmp_path / "journal", disk=disk)

    def elsewhere() -> Path:
        disk.error = 0
        return other

    thread = JournalThread(writer, clock, elsewhere=elsewhere)
    thread.put([note(1)])
    wait_until(lambda: thread.size_bytes > 0)
    disk.error = errno.EDQUOT
    thread.put([note(2)])
    wait_until(lambda: writer.trouble is not None and not thread._batches)
    clock.now_ns += s_to_ns(_writer.MOVE_AFTER_S) + 1
    thread.put([note(3)])
    wait_until(lambda: thread.path == other)
    thread.close(30)
    assert read_frames(other).frames == [note(1), note(2), note(3)]
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == [_writer.MOVED]


def test_d01_a_disk_that_is_full_at_the_end_loses_no_last_frames(tmp_path: Path) -> None:
    disk = StubbornDisk()
    other = tmp_path / "other" / "journal"

    def elsewhere() -> Path:
        disk.error = 0
        return other

    thread = JournalThread(
        JournalWriter(tmp_path / "journal", disk=disk), HandClock(), elsewhere=elsewhere
    )
    disk.error = errno.ENOSPC
    thread.put([note(1)])
    assert thread.close(30)
    assert read_frames(other).frames == [note(1)]


def test_d01_a_run_whose_ledger_is_full_goes_into_that_of_another_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()  # no ledger can be made below it
    monkeypatch.setenv("SUBMETER_HOME", str(tmp_path / "file"))
    order = Order(
        "20300101-000000-d01d", str(tmp_path), str(tmp_path / "file" / "ledger.db"), 0, 0, 1, 0, 0
    )
    run = Run(order.run_id, "measured", "failed", "2030-01-01T00:00:00Z", 3.4, exit_code=5)
    with shared_places_as_before():
        put_into_ledger(order, run)
        found, ledger = settled_run(order)
        assert (found.status, found.exit_code) == ("failed", 5)
        assert ledger is not None
        assert ledger.parent in temporary_homes()
