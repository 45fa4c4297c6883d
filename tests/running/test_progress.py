# SPDX-License-Identifier: Apache-2.0
"""How far a run has come, read from files that still grow."""

from pathlib import Path

import pytest

from benchmarks.probing_jobs import PROCESS, UP_NS, Job, Piece, Watched
from submeter.collecting.marks import MarksWriter
from submeter.errors import LedgerError
from submeter.estimating.remaining import NEIGHBOURS_RATIO, Outlook
from submeter.records.devices import Device, DeviceKind
from submeter.records.figures import Missing
from submeter.records.frames import TOTAL_STEPS, Frame, Head, Metric, Process
from submeter.running.progress import Following, Progress, Steps, followed
from submeter.running.watching import forecast
from submeter.storing.journal import JournalWriter
from submeter.units import NS_PER_S


class Written(Progress):
    """A progress that only writes down what it is fed."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._journal = JournalWriter(folder / "journal")
        self._now_ns = UP_NS
        self._writer = MarksWriter(
            folder / f"marks.{PROCESS}", Process(PROCESS, UP_NS), now_ns=lambda: self._now_ns
        )

    def feed(self, frame: Frame) -> None:
        self._journal.append(frame)

    def feed_marks(self, pid: int, frames: list[Frame]) -> None:
        del pid
        for frame in frames:
            assert isinstance(frame, Metric)
            self._now_ns = frame.t_ns
            self._writer.log({"loss": 1.0, **frame.text}, step=frame.step, work={"tokens": 64})


def job(steps: int = 60, step_s: float = 0.5) -> Job:
    """Steps at 100 W, an evaluation at 40 W after every tenth."""
    pieces, t_s = [Piece("load", 0.0, 2.0, 20.0, 0)], 2.0
    for done in range(1, steps + 1):
        pieces.append(Piece("train", t_s, t_s + step_s, 100.0, done))
        t_s += step_s
        if done % 10 == 0:
            pieces.append(Piece("evaluate", t_s, t_s + 2.0, 40.0, done))
            t_s += 2.0
    return Job(pieces, steps, with_phases=True)


def test_looking_again_and_again_tells_the_same_as_looking_once(tmp_path: Path) -> None:
    following = Following(tmp_path)
    following.look()
    assert following.started_ns is None
    with Watched(job(), progress=Written(tmp_path)) as watched:
        for t_s in (1.0, 1.5, 7.0, 7.25, 20.0, 33.0):
            watched.until(t_s)
            following.look()
            following.look()
    once = followed(tmp_path)
    assert following.energy().totals == once.energy().totals
    assert following.stretches() == once.stretches()
    assert following.so_far().devices == once.so_far().devices
    assert following.marks()[-1] == once.marks()[-1]
    assert set(once.marks()) <= set(following.marks())


def test_energy_steps_and_pauses_are_those_of_the_job(tmp_path: Path) -> None:
    made = job()
    with Watched(made, progress=Written(tmp_path)) as watched:
        watched.until(33.0)
    progress = followed(tmp_path)
    assert progress.total == 60
    marks = progress.marks()
    assert [m.done for m in marks] == list(range(1, len(marks) + 1))
    assert marks[9].t_s == pytest.approx(2.0 + 10 * 0.5)
    assert marks[10].t_s == pytest.approx(2.0 + 10 * 0.5 + 2.0 + 0.5)
    evaluations = [s for s in progress.stretches() if s.path == "evaluate"]
    assert len(evaluations) == 4
    course = progress.energy()
    package_j = 2 * 20 + 10 * 0.5 * 100 + 2 * 40
    dram_j = 9.0 * 8
    assert course.at(9.0) == pytest.approx(package_j + dram_j, rel=0.02)
    assert progress.so_far().metrics == {"loss": 1.0}
    assert progress.so_far().parameters[TOTAL_STEPS] == "60"
    assert progress.so_far().work["tokens"] == 64 * len(marks)


def test_tokens_may_stand_for_steps(tmp_path: Path) -> None:
    with Watched(job(), progress=Written(tmp_path)) as watched:
        watched.until(10.0)
    done = [m.done for m in followed(tmp_path, "tokens").marks()]
    assert done == [64.0 * (i + 1) for i in range(len(done))]


@pytest.mark.parametrize(
    ("machine", "boards", "doubt"),
    [
        ({"virtualisation": "KVM"}, 0, NEIGHBOURS_RATIO),
        ({"virtualisation": "KVM"}, 1, 0.0),  # the board sets the pace
        ({"virtualisation": ""}, 0, 0.0),
        ({}, 0, 0.0),
    ],
)
def test_neighbours_are_doubted_where_they_cannot_be_seen(
    machine: dict[str, str], boards: int, doubt: float
) -> None:
    devices = [Device("cpu:0", DeviceKind.CPU, "a processor", "host")]
    devices += [Device(f"gpu:{n}", DeviceKind.GPU, "a board", "host") for n in range(boards)]
    head = Head(1, "run", 0, "host", "boot", 1, 2, 0, UP_NS, 1.0, machine=machine,
                devices=tuple(devices))  # fmt: skip
    progress = Progress()
    progress.feed(head)
    assert progress.neighbours_ratio == doubt


def test_a_run_that_has_just_begun_says_so(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="just begun"):
        followed(tmp_path)


def point(step: int, t_s: float = 0.0, **values: float) -> Metric:
    return Metric(UP_NS + round(t_s * NS_PER_S), values, step)


def test_steps_that_are_counted_from_zero_are_done_when_they_are_logged() -> None:
    zero, one = Steps(), Steps()
    for step in range(5):
        zero.take(point(step, step))
        one.take(point(step + 1, step))
    assert [d for _, d in zero.marks] == [d for _, d in one.marks] == [1, 2, 3, 4, 5]


def test_the_steps_of_an_epoch_are_known_once_one_ended() -> None:
    steps = Steps()
    for step in range(1, 26):
        steps.take(point(step, step, epoch=float((step - 1) // 10)))
        assert steps.per_epoch == (None if step <= 10 else 10)


def test_memory_does_not_grow_with_the_run() -> None:
    steps = Steps()
    for step in range(1, 50_000):
        steps.take(point(step, step))
    assert len(steps.marks) < 5000
    assert steps.marks[0][1] == 1
    assert steps.marks[-1][1] > 49_900


def epochs_alone(*, first: int = 1, **values: float) -> Progress:
    progress = Progress()
    progress.started_ns = UP_NS
    for n in range(6):
        said = {"epoch": float(first + n), "loss": 1.0, **values}
        metric = Metric(UP_NS + round(3.0 * (n + 1) * NS_PER_S), said)
        progress._processes.setdefault(1, Steps()).take(metric)
    return progress


@pytest.mark.parametrize("first", [0, 1])
def test_a_program_that_logs_epochs_alone_is_counted_by_them(first: int) -> None:
    progress = epochs_alone(first=first, total_epochs=20.0)
    assert progress.by_epochs
    assert progress.total == 20
    assert progress.marks() == [(3.0 * n, n) for n in range(1, 7)]
    energy, time_left = forecast(progress)
    assert isinstance(energy, Missing)  # nothing was metered
    assert isinstance(time_left, Outlook)
    assert time_left.value == pytest.approx(60, rel=0.05)


def test_steps_go_before_epochs() -> None:
    progress = epochs_alone()
    assert progress.total is None
    progress._processes[1].take(point(1, 30.0, epoch=7.0))
    assert not progress.by_epochs
    assert [mark.done for mark in progress.marks()] == [1]


@pytest.mark.parametrize("said", ["inf", "nan", "0", "-5", "many"])
def test_a_whole_that_is_none_leaves_what_was_said_before(said: str) -> None:
    steps = Steps()
    steps.take(Metric(UP_NS, {}, 1, text={TOTAL_STEPS: "400"}))
    steps.take(Metric(UP_NS + NS_PER_S, {}, 2, text={TOTAL_STEPS: said}))
    assert steps.total == 400


@pytest.mark.parametrize("said", [float("inf"), float("nan"), 0.0, -5.0])
def test_epochs_of_no_finite_number_are_not_said(said: float) -> None:
    progress = epochs_alone(total_epochs=said)
    assert progress.total is None
    progress._processes[1].take(Metric(UP_NS + 30 * NS_PER_S, {"epoch": said}, None))
    assert progress.marks() == [(3.0 * n, n) for n in range(1, 7)]


def test_tokens_that_are_no_number_are_no_way() -> None:
    tokens = Steps("tokens")
    for amount in (64.0, float("nan"), 128.0):
        tokens.take(Metric(UP_NS, {}, None, work={"tokens": amount}))
    assert [done for _, done in tokens.marks] == [64.0, 128.0]
