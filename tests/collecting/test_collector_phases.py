# SPDX-License-Identifier: Apache-2.0
"""From phase files to windows of occupancy."""

import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from submeter.collecting._head import Past
from submeter.collecting._windows import PhaseWatch
from submeter.collecting.clock import SystemClock
from submeter.collecting.phases import PhaseFile, ThreadClock
from submeter.records.frames import (
    Frame,
    Occupancy,
    PathName,
    Process,
)
from submeter.units import NS_PER_S
from tests.collecting.collector_rig import (
    TICK_NS,
    Rig,
)


class HandPhases:
    """A phase file of a process, its times set by hand."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, int, int, int]] = []

    def read(self, _now_ns: int) -> list[tuple[str, int, int, int]]:
        return list(self.rows)


def phase_rig(tmp_path: Path, readers: dict[int, HandPhases], past: Past | None = None) -> Any:
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
