# SPDX-License-Identifier: Apache-2.0
"""What is logged is kept at once, and the file of it stays small."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.collecting.marks import KEPT_PER_AGE, SHORTEST_GAP_NS, MarksWriter
from submeter.records.frames import Event, Metric, Process
from submeter.storing.journal import read_frames
from submeter.units import NS_PER_S


class Time:
    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns


def writer(path: Path, now: Time) -> MarksWriter:
    return MarksWriter(path, Process(7, now.ns, rank=1), now_ns=now)


def points(path: Path) -> list[Metric]:
    content = read_frames(path)
    assert (content.lost_bytes, content.torn_tail_bytes) == (0, 0)
    assert content.frames[0] == Process(7, 0, rank=1)
    return [f for f in content.frames if isinstance(f, Metric)]


def test_the_first_frame_says_who_writes(tmp_path: Path) -> None:
    writer(tmp_path / "marks.7", Time())
    assert points(tmp_path / "marks.7") == []


def test_every_point_is_in_the_file_when_log_returns(tmp_path: Path) -> None:
    now, path = Time(), tmp_path / "marks.7"
    marks = writer(path, now)
    for step in range(50):
        now.ns += 1_000_000
        marks.log({"loss": 50.0 - step}, step=step, work={"samples": 2})
        last = points(path)[-1]
        assert last == Metric(now.ns, {"loss": 50.0 - step}, step, {"samples": 2.0 * (step + 1)})


def test_close_points_are_thinned_to_ten_a_second(tmp_path: Path) -> None:
    now, path = Time(), tmp_path / "marks.7"
    marks = writer(path, now)
    for step in range(10_000):
        now.ns += 1_000_000
        marks.log({"loss": 1.0}, step=step)
    assert len(points(path)) <= 10 * 10 + 2


def test_a_day_of_logging_every_step_stays_small(tmp_path: Path) -> None:
    now, path = Time(), tmp_path / "marks.7"
    marks = writer(path, now)
    day_ns = 24 * 3600 * NS_PER_S
    step = 0
    while now.ns < day_ns:
        # each step would be 0.1 s; later ones are skipped where none of them would be kept
        now.ns += max(SHORTEST_GAP_NS, now.ns // KEPT_PER_AGE)
        marks.log({"loss": 1.0 / (step + 1), "lr": 3e-4}, step=step, work={"tokens": 4096})
        step += 1
    assert step > 20_000
    assert path.stat().st_size < 10_000_000


def test_a_rare_value_among_frequent_ones_is_kept(tmp_path: Path) -> None:
    now, path = Time(), tmp_path / "marks.7"
    marks = writer(path, now)
    for step in range(300):
        now.ns += 1_000_000
        marks.log({"loss": 1.0}, step=step)
        if step % 100 == 50:
            marks.log({"accuracy": step / 300}, step=step)
    seen = [p.values["accuracy"] for p in points(path) if "accuracy" in p.values]
    assert list(dict.fromkeys(seen)) == [50 / 300, 150 / 300, 250 / 300]


@settings(max_examples=100, deadline=None)
@given(
    calls=st.lists(
        st.tuples(
            st.integers(0, 300_000_000),
            st.dictionaries(
                st.sampled_from("abc"), st.floats(allow_nan=False, width=32), max_size=3
            ),
            st.integers(0, 100),
        ),
        max_size=40,
    )
)
def test_last_values_and_total_work_are_never_lost(
    tmp_path_factory: pytest.TempPathFactory,
    calls: list[tuple[int, dict[str, float], int]],
) -> None:
    now, path = Time(), tmp_path_factory.mktemp("marks") / "marks.7"
    marks = writer(path, now)
    last: dict[str, float] = {}
    for wait_ns, values, samples in calls:
        now.ns += wait_ns
        marks.log(values, work={"samples": samples})
        last.update({k: v for k, v in values.items() if abs(v) != float("inf")})
    seen: dict[str, float] = {}
    for point in points(path):
        seen.update(point.values)
    assert seen == last
    if calls:
        assert points(path)[-1].work["samples"] == sum(c[2] for c in calls)


def test_f10_values_that_are_not_finite_are_left_out_and_said_once(tmp_path: Path) -> None:
    now, path = Time(), tmp_path / "marks.7"
    marks = writer(path, now)
    for value in (float("nan"), float("inf"), 10**400, 0.5):
        marks.log({"loss": value, "big": True}, work={"tokens": -1.0})
    notes = [f.text for f in read_frames(path).frames if isinstance(f, Event)]
    assert len(notes) == 2
    assert any(n.startswith("loss was nan") for n in notes)
    assert any(n.startswith("tokens was -1") for n in notes)
    assert points(path)[-1].values == {"loss": 0.5, "big": 1.0}
    assert points(path)[-1].work == {}


def test_words_are_kept_as_words_and_tensors_as_their_number(tmp_path: Path) -> None:
    class Tensor:
        def item(self) -> float:
            return 0.25

    path = tmp_path / "marks.7"
    marks = writer(path, Time())
    marks.log({"schedule": "cosine", "loss": Tensor(), "shape": (1, 2)})
    (point,) = points(path)
    assert point.values == {"loss": 0.25}
    assert point.text == {"schedule": "cosine", "shape": "(1, 2)"}


def test_d01_a_disk_that_is_full_for_a_while_costs_only_that_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, path = Time(), tmp_path / "marks.7"
    marks = writer(path, now)
    really = os.pwrite

    def full(fd: int, data: bytes, offset: int) -> int:
        really(fd, data[:5], offset)  # some of it goes through
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        marks.log({"loss": 1.0}, work={"samples": 1})
        assert marks.trouble is not None
    now.ns += NS_PER_S
    marks.log({"loss": 0.5}, work={"samples": 1})
    assert marks.trouble is None
    (point,) = points(path)
    assert (point.values, point.work) == ({"loss": 0.5}, {"samples": 2.0})
