# SPDX-License-Identifier: Apache-2.0
"""One stack of open phases for each thread and task, in whatever order they close."""

import signal
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.collecting import phases
from submeter.collecting.phases import OTHER_PHASES, PhaseFile, PhaseReader
from submeter.running.tracker import Open, Tracker


@pytest.fixture
def tracker(tmp_path: Path) -> Tracker:
    return Tracker(PhaseFile.create(tmp_path / "phases.1"))


def rows(tracker: Tracker) -> dict[str, tuple[int, int]]:
    reader = PhaseReader(tracker.file.path)
    return {path: (wall, count) for path, wall, _, count in reader.read(time.monotonic_ns())}


@settings(max_examples=100, deadline=None)
@given(data=st.data(), steps=st.integers(1, 40))
def test_the_innermost_entry_that_is_still_open_counts_in_any_order_of_exits(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, steps: int
) -> None:
    tracker = Tracker(PhaseFile.create(tmp_path_factory.mktemp("phases") / "phases.1"))
    entries: list[Open] = []
    model: list[tuple[Open, str]] = []  # what is open, outermost first, with its path
    counts: dict[str, int] = {}
    for _ in range(steps):
        closes = data.draw(st.booleans())
        if model and closes:
            entry, _ = model.pop(data.draw(st.integers(0, len(model) - 1)))
            tracker.leave(entry)
        else:
            above = model[-1][1] if model else ""
            name = data.draw(st.sampled_from("abc"))
            path = above if above.split("/")[-1] == name else f"{above}/{name}".lstrip("/")
            made = tracker.enter(name, None)
            assert made is not None
            assert made.node.path == path
            entries.append(made)
            model.append((made, path))
            counts[path] = counts.get(path, 0) + 1
        stack = entries[0].stack
        assert stack.lane is not None
        top = None if stack.lane.open_at == 0 else stack.lane.open_at
        if model:
            assert top == stack.lane.slots[model[-1][0].node.index]
        else:
            assert top is None
    assert {p: c for p, (_, c) in rows(tracker).items()} == counts


def test_c19_more_threads_at_once_than_lanes_lose_no_time(tracker: Tracker) -> None:
    many = phases.MAX_LANES + 20
    gate = threading.Barrier(many)

    def work() -> None:
        entry = tracker.enter("work", None)
        gate.wait()
        assert entry is not None
        tracker.leave(entry)

    threads = [threading.Thread(target=work) for _ in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = rows(tracker)
    assert seen["work"][1] + seen[OTHER_PHASES][1] == many
    assert seen[OTHER_PHASES][0] > 0


def test_a_signal_in_the_middle_of_a_step_does_no_harm(tracker: Tracker) -> None:
    def interrupt(*_: object) -> None:
        inner = tracker.enter("inner", None)
        if inner is not None:
            tracker.leave(inner)

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
    try:
        for _ in range(20_000):
            entry = tracker.enter("outer", None)
            assert entry is None or entry.node.path == "outer"
            if entry is not None:
                tracker.leave(entry)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    seen = rows(tracker)
    assert seen["outer"][1] == 20_000
    assert set(seen) <= {"outer", "inner", "outer/inner"}


def test_an_exit_from_another_thread_takes_effect_at_the_next_step(tracker: Tracker) -> None:
    entry = tracker.enter("held", None)
    assert entry is not None
    thread = threading.Thread(target=tracker.leave, args=(entry,))
    thread.start()
    thread.join()
    after = tracker.enter("after", None)
    assert after is not None
    assert after.node.path == "after"
