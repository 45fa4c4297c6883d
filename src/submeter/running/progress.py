# SPDX-License-Identifier: Apache-2.0
"""How far a run has come: its logged steps, and what it had used by each instant.

Read from its journal and from what its processes log, while both are being written. Each look
reads only what is new, and the memory does not grow with the length of the run.
"""

import contextlib
import copy
import math
import os
from pathlib import Path
from typing import Final

from submeter.errors import LedgerError
from submeter.estimating.courses import Course, Mark, Stretch
from submeter.estimating.remaining import NEIGHBOURS_RATIO
from submeter.metering._result import Result
from submeter.metering.settle import Settler
from submeter.records.devices import DeviceKind
from submeter.records.frames import (
    TOTAL_STEPS,
    Frame,
    Head,
    Metric,
    Occupancy,
    PathName,
    Started,
)
from submeter.records.runs import Run
from submeter.storing.framing import Scan, decode
from submeter.units import ns_to_s

__all__ = ["Following", "Progress", "Steps", "followed"]

MOST_POINTS: Final = 4096
MOST_STRETCHES: Final = 4096
UNITS: Final = ("steps", "samples", "tokens")
EPOCH: Final = "epoch"
TOTAL_EPOCHS: Final = "total_epochs"


class Steps:
    """What one process logged of its way."""

    def __init__(self, unit: str = "steps") -> None:
        self.marks: list[tuple[int, float]] = []  # monotonic instant [ns], done
        self.total: float | None = None
        self._unit = unit
        self._zero_based: bool | None = None
        self._epoch: float | None = None
        self._epoch_ends: list[float] = []  # steps done when a new one began
        self._first_epoch: float | None = None
        self.epochs: list[tuple[int, float]] = []  # as the marks, of a program that says no steps
        self.total_epochs: float | None = None
        self._stride, self._seen = 1, 0

    def take(self, metric: Metric) -> None:
        """Take the next logged point."""
        with contextlib.suppress(KeyError, ValueError):
            self.total = _whole(float(metric.text[TOTAL_STEPS]), self.total)
        done = self._done(metric)
        epoch = metric.values.get(EPOCH)
        if epoch is not None and not math.isfinite(epoch):
            epoch = None
        if epoch is not None and done is not None:
            if self._epoch is not None and epoch > self._epoch:
                self._epoch_ends.append(self.marks[-1][1] if self.marks else done)
                del self._epoch_ends[:-MOST_POINTS]
            self._epoch = epoch
        if epoch is not None and not self.marks:
            self._take_epoch(metric.t_ns, epoch)
        self.total_epochs = _whole(metric.values.get(TOTAL_EPOCHS), self.total_epochs)
        if done is None or (self.marks and done == self.marks[-1][1]):
            return
        self._seen += 1
        if self._seen % self._stride == 0:
            self.marks.append((metric.t_ns, done))
        if len(self.marks) > MOST_POINTS:
            del self.marks[1::2]
            self._stride *= 2

    def _take_epoch(self, t_ns: int, epoch: float) -> None:
        """Keep that *epoch* was said, which is when it is done; the first may be 0 or 1."""
        if self._first_epoch is None:
            self._first_epoch = epoch
        done = epoch + (self._first_epoch == 0)
        if not self.epochs or done > self.epochs[-1][1]:
            self.epochs.append((t_ns, done))
            del self.epochs[:-MOST_POINTS]

    def _done(self, metric: Metric) -> float | None:
        if self._unit == "steps" and metric.step is not None:
            if self._zero_based is None:  # the first one is said when it is done
                self._zero_based = metric.step == 0
            return float(metric.step + int(self._zero_based))
        done = metric.work.get(self._unit)
        return done if done is not None and math.isfinite(done) else None

    @property
    def per_epoch(self) -> float | None:
        """Steps of an epoch, if the end of one was seen."""
        ends = self._epoch_ends
        if not ends:
            return None
        return ends[-1] - ends[-2] if len(ends) > 1 else ends[0]


def _whole(said: float | None, before: float | None) -> float | None:
    """Length of the whole that was *said*; what is none leaves that of *before*."""
    return said if said is not None and math.isfinite(said) and said > 0 else before


class _Recording(Result):
    """A result that also keeps what was used by when."""

    def __init__(self) -> None:
        super().__init__()
        self.points: list[tuple[float, float]] = [(0.0, 0.0)]

    def add_slot(self, device_id: str, at_s: float, length_s: float, energy_j: float) -> None:
        super().add_slot(device_id, at_s, length_s, energy_j)
        end_s, (last_s, used_j) = at_s + length_s, self.points[-1]
        if end_s > last_s:
            self.points.append((end_s, used_j + energy_j))
            if len(self.points) > MOST_POINTS:
                del self.points[1:-1:2]
        else:  # another device over the same time, or one that came late
            self.points[-1] = (last_s, used_j + energy_j)


class Progress:
    """Folds the frames of a run into its way so far.

    Parameters
    ----------
    unit
        What the way is counted in: steps, samples or tokens.
    """

    def __init__(self, unit: str = "steps") -> None:
        self.started_ns: int | None = None
        self.unit = unit
        self._settler = Settler()
        self._recording = _Recording()
        self._settler.result = self._recording
        self._processes: dict[int, Steps] = {}
        self._loose: dict[int, Frame] = {}  # last ones, which may still be written over
        self._paths: dict[int, str] = {}
        self._window_ns: int | None = None
        self._unseen_neighbours = False
        self._stretches: dict[str, list[tuple[int, int]]] = {}

    def feed(self, frame: Frame) -> None:
        """Take the next frame of the journal."""
        if isinstance(frame, Started) and self.started_ns is None:
            self.started_ns = self._window_ns = frame.t_ns
        elif isinstance(frame, Head):
            boards = any(d.kind is DeviceKind.GPU for d in frame.devices)
            self._unseen_neighbours = bool(frame.machine.get("virtualisation")) and not boards
        elif isinstance(frame, PathName):
            self._paths[frame.index] = frame.path
        elif isinstance(frame, Occupancy):
            self._see(frame)
        self._settler.feed(frame)

    def feed_marks(self, pid: int, frames: list[Frame]) -> None:
        """Take what process *pid* logged; the last frame comes again with the next ones."""
        for frame in frames:
            if isinstance(frame, Metric):
                self._processes.setdefault(pid, Steps(self.unit)).take(frame)
        if frames:
            self._settler.feed_marks(pid, frames[:-1])
            self._loose[pid] = frames[-1]

    def _see(self, window: Occupancy) -> None:
        """Keep which phases were open when; windows that follow each other as one stretch."""
        start_ns = self._window_ns if self._window_ns is not None else window.t_ns
        self._window_ns = window.t_ns
        for row in window.rows:
            if row.wall_ns <= 0 or row.path not in self._paths:
                continue
            known = self._stretches.setdefault(self._paths[row.path], [])
            if known and known[-1][1] >= start_ns:
                known[-1] = (known[-1][0], window.t_ns)
            else:
                known.append((start_ns, window.t_ns))
            del known[:-MOST_STRETCHES]

    @property
    def steps(self) -> Steps | None:
        """What the process logged that came furthest; None if no process logged a step."""
        rows = [p for p in self._processes.values() if p.marks]
        return max(rows, key=lambda p: len(p.marks), default=None)

    @property
    def neighbours_ratio(self) -> float:
        """Doubt by neighbours on the same processors; 0 where a board sets the pace."""
        return NEIGHBOURS_RATIO if self._unseen_neighbours else 0.0

    @property
    def by_epochs(self) -> bool:
        """Whether the way is told in epochs, since no process logged a step."""
        return self.unit == "steps" and self.steps is None and bool(self._epochs())

    def _epochs(self) -> list[tuple[int, float]]:
        return max((p.epochs for p in self._processes.values()), key=len, default=[])

    @property
    def total(self) -> float | None:
        """Steps of the whole training (or epochs, `by_epochs`), if the program said so."""
        if self.by_epochs:
            said = (p.total_epochs for p in self._processes.values())
            return next((total for total in said if total is not None), None)
        return next((p.total for p in self._processes.values() if p.total is not None), None)

    def _rows(self) -> list[tuple[int, float]]:
        found = self.steps
        return self._epochs() if self.by_epochs else [] if found is None else found.marks

    @property
    def done_ratio(self) -> float | None:
        """Part of the whole that is done [1]; None unless the program says how long it is."""
        rows, total = self._rows(), self.total
        return min(1.0, rows[-1][1] / total) if rows and total else None

    def marks(self) -> list[Mark]:
        """Logged steps since the run began."""
        rows = self._rows()
        if self.started_ns is None:
            return []
        start_ns = self.started_ns
        return [Mark(ns_to_s(t - start_ns), done) for t, done in rows if t >= start_ns]

    def stretches(self) -> list[Stretch]:
        """Time in phases since the run began."""
        start_ns = self.started_ns or 0
        return [
            Stretch(path, ns_to_s(a - start_ns), ns_to_s(b - start_ns))
            for path, rows in self._stretches.items()
            for a, b in rows
        ]

    def energy(self) -> Course:
        """Energy of the devices that are read, the run's share, over its time [J]."""
        t_s, used_j = zip(*self._recording.points, strict=True)
        return Course(t_s, used_j)

    def so_far(self) -> Run:
        """The run as far as it is known.

        Raises
        ------
        LedgerError
            If it has just begun.
        """
        settler = copy.deepcopy(self._settler)
        for pid, frame in self._loose.items():
            settler.feed_marks(pid, [frame])
        return settler.finish()


class Following(Progress):
    """A `Progress` that reads the files of a run as they grow.

    Parameters
    ----------
    folder
        The run's folder.
    unit
        As of `Progress`.
    """

    def __init__(self, folder: Path, unit: str = "steps") -> None:
        super().__init__(unit)
        self.folder = folder
        self._read_to: dict[str, int] = {}

    def look(self) -> None:
        """Read what is new; what cannot be read now is read later."""
        for frame in self._new("journal", keeps=True):
            self.feed(frame)
        try:
            names = sorted(os.listdir(self.folder))  # noqa: PTH208  # no object for each file
        except OSError:
            return
        for name in names:
            kind, _, number = name.partition(".")
            if kind == "marks" and number.isdecimal():
                self.feed_marks(int(number), self._new(name, keeps=False))

    def _new(self, name: str, *, keeps: bool) -> list[Frame]:
        """Frames of file *name* behind those that were read before.

        The last frame of a file that does not keep it may be written over: it is read again.
        """
        try:
            fd = os.open(self.folder / name, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return []
        try:
            frames: list[Frame] = []
            behind = last_at = self._read_to.get(name, 0)
            scan = Scan(fd, start=behind)
            for payload in scan:
                last_at, behind = behind, scan.good_end
                frame = decode(payload)
                if frame is not None:
                    frames.append(frame)
            self._read_to[name] = behind if keeps else last_at
        except OSError:
            return []
        finally:
            os.close(fd)
        return frames


def followed(folder: Path, unit: str = "steps") -> Following:
    """Progress of the run in *folder* as of now.

    Raises
    ------
    LedgerError
        If nothing of it can be read.
    """
    found = Following(folder, unit)
    found.look()
    if found.started_ns is None:
        raise LedgerError(f"run {folder.name} has just begun", remedy="wait a second")
    return found
