# SPDX-License-Identifier: Apache-2.0
"""What was seen while a run lasted, over time: its journal as plain, bounded data.

A `Run` holds totals. Here stands what its explanation needs besides: who drew how much when, in
which phases, how busy, and what happened meanwhile. Series are cut into equal slots from the start
of the run on, at most `MOST_SLOTS` of them; a value that nobody read is None, never zero.
"""

import math
from typing import Final

import msgspec

from submeter.records.devices import DeviceKind
from submeter.records.runs import MetricPoint, Pause

MOST_SLOTS: Final = 1024
MOST_INTERVALS: Final = 4096
MOST_POINTS: Final = 2000  # of metrics, and of work
OUTSIDE: Final = ""  # the path of time in no phase

Series = tuple[float | None, ...]


class DeviceCourse(msgspec.Struct, frozen=True, kw_only=True):
    """A device over time, as drawn: of a shared one the run's part is less (`Run.devices`).

    Attributes
    ----------
    mean_w, peak_w, low_w
        Mean power of each slot, and the highest and lowest of the readings in it [W]. A counter
        gives the mean power between two readings.
    utilisation_ratio, clock_hz, temperature_c, cap_w
        Mean of the readings in each slot; empty if the device does not tell.
    throttled_ratio
        Part of each slot in which the board held its clocks back, by cause: ``power``,
        ``thermal``, ``brake``; empty if the device does not tell.
    """

    device_id: str
    kind: DeviceKind
    name: str = ""
    idle_w: float | None = None
    peak_power_w: float | None = None  # most that it can draw
    mean_w: Series = ()
    peak_w: Series = ()
    low_w: Series = ()
    utilisation_ratio: Series = ()
    clock_hz: Series = ()
    temperature_c: Series = ()
    cap_w: Series = ()
    throttled_ratio: dict[str, Series] = {}


class PhaseCourse(msgspec.Struct, frozen=True, kw_only=True):
    """How long a path was the innermost open phase of one process, slot by slot.

    Attributes
    ----------
    wall_s, cpu_s
        Time in it, and CPU time of its thread meanwhile, per slot [s].
    count
        Entries per slot.
    """

    path: str
    pid: int
    rank: int | None = None
    wall_s: tuple[float, ...] = ()
    cpu_s: tuple[float, ...] = ()
    count: tuple[int, ...] = ()

    @property
    def duration_s(self) -> float:
        """Time in it [s]."""
        return math.fsum(self.wall_s)

    @property
    def entries(self) -> int:
        """How often it was entered."""
        return sum(self.count)


class Interval(msgspec.Struct, frozen=True):
    """A stretch in which a path filled most of each grain; short phases in turn make none."""

    pid: int
    path: str
    start_s: float
    end_s: float
    rank: int | None = None


class Meeting(msgspec.Struct, frozen=True):
    """A device while a path was open (``""``: no phase), over the whole run.

    ``idle_s`` and ``idle_j`` are the part in which it did nothing: of a board by its power, of
    processors and memory by the CPU time of the run. Energies are of the device as drawn [J].
    Where the grain of reading holds several paths, its energy is divided by time, so that for
    short phases `Run.phases` tells better; utilisation is read every five seconds only.
    """

    device_id: str
    path: str
    duration_s: float
    energy_j: float
    idle_s: float = 0.0
    idle_j: float = 0.0
    utilisation_ratio: float | None = None


class Stretch(msgspec.Struct, frozen=True):
    """A stretch in which a device did nothing, at least a few grains long."""

    device_id: str
    start_s: float
    end_s: float
    energy_j: float
    path: str = OUTSIDE  # that filled most of it


class RankCourse(msgspec.Struct, frozen=True):
    """CPU time of a rank per slot [s], and the boards that it held."""

    rank: int
    cpu_s: tuple[float, ...] = ()
    devices: tuple[str, ...] = ()


class WorkPoint(msgspec.Struct, frozen=True):
    """Work done until an instant, all processes together."""

    elapsed_s: float
    totals: dict[str, float]


class Gap(msgspec.Struct, frozen=True):
    """A stretch in which a device was not read."""

    device_id: str
    start_s: float
    end_s: float


class Happening(msgspec.Struct, frozen=True):
    """An event of the journal, from the start of the run on [s]."""

    at_s: float
    kind: str
    text: str = ""
    device_id: str = ""
    number: float | None = None


class Observations(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of a run over time.

    Attributes
    ----------
    slot_s, slots
        Length [s] and number of the slots of every series.
    grain_s
        Resolution at which intervals, meetings and stretches were made [s].
    complete
        Whether a journal was read; without one only the run's own series stands here.
    """

    duration_s: float
    slot_s: float
    slots: int
    grain_s: float = 0.0
    start_utc_s: float = 0.0
    devices: tuple[DeviceCourse, ...] = ()
    phases: tuple[PhaseCourse, ...] = ()
    intervals: tuple[Interval, ...] = ()
    meetings: tuple[Meeting, ...] = ()
    stretches: tuple[Stretch, ...] = ()
    ranks: tuple[RankCourse, ...] = ()
    run_cores: Series = ()  # processors that the run's processes kept busy, mean of each slot
    machine_cores: Series = ()  # the same, of all processes
    cores: float | None = None  # of the machine, as the system counts them
    metrics: tuple[MetricPoint, ...] = ()
    work: tuple[WorkPoint, ...] = ()
    gaps: tuple[Gap, ...] = ()
    pauses: tuple[Pause, ...] = ()
    events: tuple[Happening, ...] = ()
    complete: bool = True
    notes: tuple[str, ...] = ()

    def device(self, device_id: str) -> DeviceCourse | None:
        """Course of a device."""
        return next((d for d in self.devices if d.device_id == device_id), None)

    def meeting(self, device_id: str, path: str) -> Meeting | None:
        """A device while *path* was open."""
        return next(
            (m for m in self.meetings if m.device_id == device_id and m.path == path), None
        )
