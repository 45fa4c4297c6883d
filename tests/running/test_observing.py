# SPDX-License-Identifier: Apache-2.0
"""A journal over time: what it drew, in which phase, how busy, and never more than fits."""

import math
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.scripted import LONG, PID, SHORT, Job, Phase, scripted
from submeter.records.devices import Channel, Measures
from submeter.records.frames import Event, Frame, Metric, Occupancy, Process, Ticks
from submeter.records.observations import MOST_INTERVALS, MOST_SLOTS, Observations
from submeter.records.runs import Pause
from submeter.running.grains import Grid, Level
from submeter.running.observing import NO_JOURNAL, observed
from submeter.storing.framing import MAGIC, encode
from submeter.storing.skimming import READ_WHOLE_BYTES, skim
from submeter.units import NS_PER_S

T0_NS = 1000 * NS_PER_S


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return scripted(tmp_path_factory.mktemp("job"), LONG, length_s=60.0)


@pytest.fixture(scope="module")
def seen(job: Job) -> Observations:
    return observed(job.run, job.folder)


def drawn_j(seen: Observations, kind: str) -> float:
    device = next(d for d in seen.devices if d.kind == kind)
    ends = [min((i + 1) * seen.slot_s, seen.duration_s) for i in range(seen.slots)]
    return math.fsum(
        w * (end - i * seen.slot_s)
        for i, (w, end) in enumerate(zip(device.mean_w, ends, strict=True))
        if w is not None
    )


@pytest.mark.parametrize("kind", ["gpu", "cpu"])
def test_power_over_time_adds_up_to_what_was_drawn(
    job: Job, seen: Observations, kind: str
) -> None:
    drawn = next(d.drawn for d in job.run.devices if d.device.kind == kind)
    assert drawn_j(seen, kind) == pytest.approx(drawn.value, rel=0.02)  # type: ignore[union-attr]


def test_peaks_are_kept_and_lie_above_the_mean(seen: Observations) -> None:
    board = next(d for d in seen.devices if d.kind == "gpu")
    assert max(w for w in board.peak_w if w is not None) == pytest.approx(350.0, rel=0.02)
    for low, mean, peak in zip(board.low_w, board.mean_w, board.peak_w, strict=True):
        if mean is not None:
            assert low is not None
            assert peak is not None
            assert low <= mean <= peak


def test_phases_over_time_last_as_long_as_in_the_run(job: Job, seen: Observations) -> None:
    for row in job.run.phases:
        courses = [p for p in seen.phases if p.path == row.path]
        assert sum(p.duration_s for p in courses) == pytest.approx(row.duration_s, rel=0.01)
        assert sum(p.entries for p in courses) == row.count


def test_intervals_follow_the_script(seen: Observations) -> None:
    names = [i.path for i in seen.intervals]
    cycle = [p.path for p in LONG if p.path]
    first = names.index("train/data")
    assert names[first : first + 10] == (cycle * 3)[:10]
    assert all(i.pid == PID for i in seen.intervals)
    whole = [i for i in seen.intervals if i.path == "train/backward" and 5 < i.start_s < 50]
    for interval in whole:
        assert interval.end_s - interval.start_s == pytest.approx(5.107, abs=0.12)


def test_a_journal_that_is_gone_leaves_the_series(job: Job, tmp_path: Path) -> None:
    found = observed(job.run, tmp_path)
    assert not found.complete
    assert found.notes == (NO_JOURNAL,)
    series = job.run.series
    assert series is not None
    energies = next(e for ident, e in series.devices.items() if ident.startswith("gpu"))
    assert drawn_j(found, "gpu") == pytest.approx(math.fsum(energies), rel=1e-6)


def test_ranks_events_work_and_pauses_are_told(job: Job, tmp_path: Path) -> None:
    content = (job.folder / "journal").read_bytes()
    note = Event(T0_NS + 10 * NS_PER_S, "suspended", "slept", number=1e9)
    (tmp_path / "journal").write_bytes(content + encode(note))
    marks: list[Frame] = [Process(PID, T0_NS, rank=3, world_size=4)]
    marks += [
        Metric(T0_NS + (6 + i) * NS_PER_S, {"loss": 1.0 / i}, i, {"samples": 32.0 * i})
        for i in range(1, 5)
    ]
    (tmp_path / f"marks.{PID}").write_bytes(b"".join(map(encode, marks)))
    run = msgspec.structs.replace(job.run, pauses=(Pause(5.0, 3.0),))
    found = observed(run, tmp_path)
    assert {p.rank for p in found.phases} == {3}
    assert [e.kind for e in found.events] == ["suspended"]
    assert [w.totals for w in found.work] == [{"samples": 32.0 * i} for i in range(1, 5)]
    assert found.pauses == (Pause(5.0, 3.0),)


def test_silence_of_a_sensor_is_a_gap(job: Job, tmp_path: Path) -> None:
    first, last = T0_NS + 15 * NS_PER_S, T0_NS + 25 * NS_PER_S
    with (tmp_path / "journal").open("wb") as file:
        for frame, _ in skim(job.folder / "journal"):
            if not (isinstance(frame, Ticks) and first < frame.t_ns[0] < last):
                file.write(encode(frame))
    found = observed(job.run, tmp_path)
    assert {g.device_id[:3] for g in found.gaps} >= {"gpu", "cpu"}
    assert all(g.end_s - g.start_s == pytest.approx(10.0, abs=1.5) for g in found.gaps)


def test_a_board_that_does_nothing_is_seen(tmp_path: Path) -> None:
    phases = (Phase("train", 6.0, 300.0, 60.0), Phase("wait", 4.0, 60.0, 60.0))
    job = scripted(tmp_path, phases, length_s=30.0)
    found = observed(job.run, job.folder)
    waits = [m for m in found.meetings if m.device_id.startswith("gpu")]
    idle = {m.path: m.idle_s / m.duration_s for m in waits}
    assert idle["wait"] > 0.9
    assert idle["train"] < 0.1
    stretches = [s for s in found.stretches if s.device_id.startswith("gpu")]
    assert [s.path for s in stretches] == ["wait"] * len(stretches)
    assert math.fsum(s.energy_j for s in stretches) == pytest.approx(3 * 4 * 60.0, rel=0.1)


# -- bounds ---------------------------------------------------------------------------------


def test_a_damaged_journal_is_read_as_far_as_it_goes(job: Job, tmp_path: Path) -> None:
    content = bytearray((job.folder / "journal").read_bytes())
    for at in range(len(content) // 3, len(content), 997):
        content[at] ^= 0xFF
    (tmp_path / "journal").write_bytes(bytes(content))
    found = observed(job.run, tmp_path)
    assert found.complete
    assert found.slots <= MOST_SLOTS


def test_short_phases_make_no_flood_of_intervals(tmp_path: Path) -> None:
    job = scripted(tmp_path, SHORT, length_s=20.0)
    found = observed(job.run, job.folder)
    assert len(found.intervals) <= MOST_INTERVALS
    total = {r.path: r.duration_s for r in job.run.phases}
    for course in found.phases:
        assert course.duration_s == pytest.approx(total[course.path], rel=0.01)


def test_of_a_long_journal_each_nth_reading_is_read(job: Job, tmp_path: Path) -> None:
    frames = [encode(f) for f, _ in skim(job.folder / "journal") if isinstance(f, Ticks)]
    windows = [encode(f) for f, _ in skim(job.folder / "journal") if isinstance(f, Occupancy)]
    one = b"".join(frames)
    copies = 3 * READ_WHOLE_BYTES // len(one) + 1
    path = tmp_path / "journal"
    path.write_bytes(one * copies + b"".join(windows))
    began_s = time.process_time()
    read = list(skim(path))
    spent_s = time.process_time() - began_s
    ticks = [r for r in read if isinstance(r.frame, Ticks)]
    assert len(ticks) == pytest.approx(len(frames) * copies / 4, rel=0.02)
    assert {r.weight for r in ticks} == {4}
    assert sum(isinstance(r.frame, Occupancy) for r in read) == len(windows)
    assert spent_s < 3.0


def test_words_that_look_like_frames_are_stepped_over(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    good = encode(Event(1, "note", "here"))
    path.write_bytes(MAGIC + b"\xff" * 40 + good + MAGIC + good[4:-1] + good)
    assert [r.frame for r in skim(path)] == [Event(1, "note", "here")] * 2


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-10, 130), st.integers(0, 60), st.floats(0, 1e6)), max_size=20),
    st.integers(1, 40),
)
def test_grains_lose_nothing_that_lies_in_the_run(
    rows: list[tuple[int, int, float]], grain: int
) -> None:
    grid = Grid(0, 100, grain)
    into = grid.zeros()
    inside = []
    for begin, length, amount in rows:
        grid.spread(into, begin, begin + length, amount)
        overlap = max(0, min(begin + length, 100) - max(begin, 0))
        inside.append(amount * overlap / length if length else 0.0)
    assert math.fsum(into) == pytest.approx(math.fsum(inside), rel=1e-9, abs=1e-6)


def test_power_holds_between_readings_and_not_over_gaps() -> None:
    channel = Channel("cpu:0", Measures.MEAN_POWER, 1.0)
    level = Level(Grid(0, 100, 10), channel)
    level.take([5, 25], [3, 4], 30)
    level.take([75, 85], [5, 6], 30)
    assert level.held() == [3.0, 3.0, 4.0, None, None, None, None, 5.0, 6.0, None]
