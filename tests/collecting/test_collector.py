# SPDX-License-Identifier: Apache-2.0
"""The collector's loop: ticks, clocks, faults, memory; words of its owner and deaths."""

import os
import select
import subprocess
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from submeter.collecting._settling import BATCH
from submeter.records.frames import (
    End,
    Frame,
    Head,
    Started,
    Use,
)
from submeter.storing.journal import paced_interval_s
from submeter.units import NS_PER_MS, NS_PER_S
from tests.collecting.collector_rig import (
    HOUR_NS,
    TICK_NS,
    YEAR_2026_NS,
    Rig,
    instants,
)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


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
    rig.ticks(10 * BATCH)  # more frames than are settled at once
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
            while rig.journal._batches:  # the disk's time is not compressed
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
    rig.say(f"started {rig.clock.now_ns} {trainer.pid}")
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
