# SPDX-License-Identifier: Apache-2.0
"""The mapped file of phases: what its writer counts, a reader sees, whatever happens."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.collecting import phases
from submeter.collecting.phases import (
    OTHER_PHASES,
    PhaseFile,
    PhaseReader,
    ThreadClock,
    clean_name,
)

Rows = dict[str, tuple[int, int, int]]


def rows(reader: PhaseReader, now_ns: int | None = None) -> Rows:
    at = time.monotonic_ns() if now_ns is None else now_ns
    return {path: (wall, cpu, count) for path, wall, cpu, count in reader.read(at)}


@pytest.fixture
def file(tmp_path: Path) -> PhaseFile:
    return PhaseFile.create(tmp_path / "phases.1")


def test_time_goes_to_the_innermost_open_path_alone(file: PhaseFile) -> None:
    lane = file.new_lane(ThreadClock())
    assert lane is not None
    train = file.node(file.root, "train")
    forward = file.node(train, "forward")
    before_ns = time.monotonic_ns()
    lane.move_to(train.index)
    lane.move_to(forward.index)
    lane.move_to(train.index, entries=0)
    lane.move_to(None)
    whole_ns = time.monotonic_ns() - before_ns
    seen = rows(PhaseReader(file.path))
    assert seen["train"][2] == 1
    assert seen["train/forward"][2] == 1
    assert 0 < seen["train"][0] + seen["train/forward"][0] <= whole_ns


def test_an_open_path_counts_up_to_now(file: PhaseFile) -> None:
    lane = file.new_lane(ThreadClock())
    assert lane is not None
    lane.move_to(file.node(file.root, "train").index)
    reader = PhaseReader(file.path)
    first_ns = rows(reader, lane.since_ns + 1_000)["train"][0]
    later_ns = rows(reader, lane.since_ns + 5_000)["train"][0]
    assert (first_ns, later_ns) == (1_000, 5_000)
    assert rows(reader, lane.since_ns - 1)["train"][0] == 0  # never negative


def test_cpu_time_of_an_open_path_comes_from_the_kernel_and_never_falls(file: PhaseFile) -> None:
    lane = file.new_lane(ThreadClock())
    assert lane is not None
    lane.move_to(file.node(file.root, "train").index)
    reader = PhaseReader(file.path)
    seen = [rows(reader)["train"][1]]
    until_ns = time.thread_time_ns() + 30_000_000
    while time.thread_time_ns() < until_ns:
        seen.append(rows(reader)["train"][1])
    lane.move_to(None)
    seen.append(rows(reader)["train"][1])
    assert seen == sorted(seen)
    assert seen[-1] >= 30_000_000


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.sampled_from(["a", "b", "c", None]), max_size=30))
def test_counts_and_closed_times_are_those_of_a_plain_dictionary(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str | None]
) -> None:
    path = tmp_path_factory.mktemp("phases") / "phases.1"
    file = PhaseFile.create(path)
    lane = file.new_lane(ThreadClock())
    assert lane is not None
    wall: dict[str, int] = {}
    count: dict[str, int] = {}
    now: str | None = None
    for step in [*steps, None]:
        since_ns = lane.since_ns
        lane.move_to(None if step is None else file.node(file.root, step).index)
        if now is not None:
            wall[now] = wall.get(now, 0) + lane.since_ns - since_ns
        if step is not None:
            count[step] = count.get(step, 0) + 1
        now = step
    seen = rows(PhaseReader(path))
    assert {p: r[0] for p, r in seen.items()} == {p: wall.get(p, 0) for p in count}
    assert {p: r[2] for p, r in seen.items()} == count


def test_lanes_side_by_side_add_up(file: PhaseFile) -> None:
    node = file.node(file.root, "load")
    first, second = file.new_lane(ThreadClock()), file.new_lane(ThreadClock())
    assert first is not None
    assert second is not None
    first.move_to(node.index)
    second.move_to(node.index)
    now_ns = second.since_ns + 1_000
    wall_ns, _, count = rows(PhaseReader(file.path), now_ns)["load"]
    assert wall_ns == (now_ns - first.since_ns) + 1_000
    assert count == 2


def test_cpu_time_of_a_thread_is_never_counted_in_two_lanes(file: PhaseFile) -> None:
    clock = ThreadClock()
    one, two = file.new_lane(clock), file.new_lane(clock)
    assert one is not None
    assert two is not None
    start_ns = time.thread_time_ns()
    one.move_to(file.node(file.root, "one").index)
    two.move_to(file.node(file.root, "two").index)
    sum(range(200_000))
    two.move_to(None)
    one.move_to(None)
    used_ns = time.thread_time_ns() - start_ns
    seen = rows(PhaseReader(file.path))
    assert seen["one"][1] + seen["two"][1] <= used_ns


def test_c19_lanes_of_dead_threads_serve_new_ones_and_keep_their_sums(file: PhaseFile) -> None:
    def work() -> None:
        lane = file.new_lane(ThreadClock())
        assert lane is not None
        lane.move_to(file.node(file.root, "work").index)
        lane.move_to(None)

    for _ in range(3 * phases.MAX_LANES):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert file.lanes < 5
    reader = PhaseReader(file.path)
    assert rows(reader)["work"][2] == 3 * phases.MAX_LANES
    assert not reader.overflowed


def test_more_lanes_than_room_are_flagged_and_still_counted(file: PhaseFile) -> None:
    clock = ThreadClock()
    lanes = [file.new_lane(clock) for _ in range(phases.MAX_LANES + 3)]
    assert lanes[-1] is None
    file.add_other(1_000)
    reader = PhaseReader(file.path)
    assert reader.overflowed
    assert rows(reader)[OTHER_PHASES] == (1_000, 0, 1)


def test_more_paths_than_room_go_to_one_that_says_so(file: PhaseFile) -> None:
    lane = file.new_lane(ThreadClock())
    assert lane is not None
    for number in range(4000):
        lane.move_to(file.node(file.root, f"step {number}").index)
    lane.move_to(None)
    reader = PhaseReader(file.path)
    seen = rows(reader)
    assert reader.overflowed
    assert seen[OTHER_PHASES][2] > 0
    assert sum(count for _, _, count in seen.values()) == 4000
    assert file.path.stat().st_size == phases.FILE_BYTES


@given(st.text(max_size=400))
def test_f21_a_name_is_one_printable_part_of_a_path(name: str) -> None:
    cleaned = clean_name(name)
    assert cleaned
    assert cleaned.isprintable()
    assert "/" not in cleaned
    assert len(cleaned) <= phases.MAX_NAME


def test_a_phase_directly_in_itself_is_one(file: PhaseFile) -> None:
    fit = file.node(file.root, "fit")
    assert file.node(fit, "fit") is fit
    assert file.node(file.node(fit, "inner"), "fit").path == "fit/inner/fit"


def test_a_reader_keeps_what_it_saw_while_the_writer_is_at_work(file: PhaseFile) -> None:
    lane = file.new_lane(ThreadClock())
    assert lane is not None
    lane.move_to(file.node(file.root, "train").index)
    reader = PhaseReader(file.path)
    now_ns = lane.since_ns + 1_000
    before = rows(reader, now_ns)
    assert set(before) == {"train"}
    file.words[lane.at] += 1  # an update has begun ...
    file.words[lane.at + 3] = 0  # ... and tears the state
    again = rows(reader, now_ns)
    assert set(again) == {"train"}
    for i in (0, 2):  # time and entries; CPU time is the thread's own and goes on meanwhile
        assert again["train"][i] == before["train"][i]
    late = rows(PhaseReader(file.path), now_ns)  # who never saw it whole takes what there is
    assert set(late) == {"train"}


def _killed_while(work: Callable[[PhaseFile], None], path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            work(PhaseFile.create(path))
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_c01_what_was_counted_survives_kill_9(tmp_path: Path) -> None:
    def work(file: PhaseFile) -> None:
        lane = file.new_lane(ThreadClock())
        assert lane is not None
        train = file.node(file.root, "train")
        for _ in range(100):
            lane.move_to(train.index)
            lane.move_to(None)
        lane.move_to(file.node(train, "forward").index)

    _killed_while(work, tmp_path / "phases.1")
    seen = rows(PhaseReader(tmp_path / "phases.1"))
    assert seen["train"][2] == 100
    assert seen["train/forward"][2] == 1
    assert seen["train/forward"][0] > 0


def test_what_is_no_phase_file_is_refused(tmp_path: Path) -> None:
    short = tmp_path / "phases.1"
    short.write_bytes(b"SUBMPH")
    with pytest.raises(ValueError, match="shorter"):
        PhaseReader(short)
    blank = tmp_path / "phases.2"
    blank.write_bytes(bytes(phases.FILE_BYTES))
    with pytest.raises(ValueError, match="not a phase file"):
        PhaseReader(blank)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_c03_flipped_bytes_never_stop_a_reader(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("phases") / "phases.1"
    file = PhaseFile.create(path)
    lane = file.new_lane(ThreadClock())
    assert lane is not None
    for name in "abc":
        lane.move_to(file.node(file.root, name).index)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 20))):
        at = data.draw(
            st.integers(24, 200)
            | st.integers(24, 17_000)
            | st.integers(phases.FILE_BYTES - 32_768, phases.FILE_BYTES - 32_000)
        )
        raw[at] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(raw))
    rows(PhaseReader(path))


def test_d17_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_bytes(b"x")
    (tmp_path / "phases.1").symlink_to(target)
    with pytest.raises(FileExistsError):
        PhaseFile.create(tmp_path / "phases.1")
    assert target.read_bytes() == b"x"


def test_d01_a_full_disk_fails_at_the_start_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        PhaseFile.create(tmp_path / "phases.1")
    assert not (tmp_path / "phases.1").exists()
