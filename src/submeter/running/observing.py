# SPDX-License-Identifier: Apache-2.0
"""What a finished run's journal tells over time, read once and kept in bounds."""

import contextlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import accumulate
from pathlib import Path
from typing import Final

from submeter.records.devices import Channel, Device, DeviceKind, Measures
from submeter.records.frames import (
    Event,
    Frame,
    Head,
    Metric,
    Occupancy,
    PathName,
    Process,
    Started,
    Ticks,
    Use,
    gappy_delta_decode,
)
from submeter.records.observations import (
    MOST_POINTS,
    MOST_SLOTS,
    DeviceCourse,
    Gap,
    Happening,
    Observations,
    RankCourse,
    WorkPoint,
)
from submeter.records.observations import Series as Course
from submeter.records.runs import Run
from submeter.running.grains import Counted, Grid, Level
from submeter.running.meetings import (
    Occupations,
    Picture,
    idle_below,
    meetings_of,
    stretches_of,
)
from submeter.running.wiring import ENERGIES, TIMES, Sink, Wire, course_of, folded
from submeter.storing.skimming import Skimmed, skim
from submeter.units import NS_PER_S, ns_to_s, s_to_ns

_MOST_EVENTS: Final = 1000
_SHORTEST_GAP_S: Final = 1.0
_SHOWN_GAP_S: Final = 3.0  # at the end: longer than the last frame takes
UNKNOWN: Final = "what happened when is not known"
NO_JOURNAL: Final = f"its readings are not kept any more: {UNKNOWN}"


def observed(run: Run, folder: Path) -> Observations:
    """Read the journal in *folder* once: *run* over time, as pure data.

    Parameters
    ----------
    run
        The settled run.
    folder
        Its folder; where it holds no journal any more, only the run's own series is told.

    Returns
    -------
    Observations
        Bounded whatever the length of the run; ``complete`` is False without a journal.

    Notes
    -----
    Power, phases and flags are put into grains (`Grid.of`), then folded into slots that keep the
    peaks. Of a journal beyond eight MiB each n-th frame of readings is read (`skim`): counters
    bridge the rest, and time in phases is scaled to what the run knows of each path.
    """
    reading = _Reading(run)
    try:
        for frame, weight in skim(folder / "journal"):
            reading.feed(frame, weight)
    except OSError:
        return from_series(run)
    for path in sorted(folder.glob("marks.*")):
        if path.suffix[1:].isdigit():
            with contextlib.suppress(OSError):
                reading.feed_marks(int(path.suffix[1:]), skim(path))
    return reading.finish() if reading.begun else from_series(run)


def from_series(run: Run) -> Observations:
    """What a run that has no journal tells over time: its energy per slot."""
    note = NO_JOURNAL if run.origin == "measured" else f"it was {run.origin}: {UNKNOWN}"
    series = run.series
    kinds = {d.device.id: d.device for d in run.devices}
    slot_s = series.slot_s if series is not None else max(run.duration_s, 1e-9)
    rows = {} if series is None else series.devices
    slots = max((len(r) for r in rows.values()), default=0)
    courses = []
    for device_id, energies in rows.items():
        device = kinds.get(device_id)
        if device is None:
            continue
        ends = [min((i + 1) * slot_s, max(run.duration_s, i * slot_s)) for i in range(slots)]
        lengths = [max(end - i * slot_s, 0.0) for i, end in enumerate(ends)]
        mean_w = tuple(
            energies[i] / length if i < len(energies) and length > 1e-9 else None  # noqa: PLR2004
            for i, length in enumerate(lengths)
        )
        courses.append(
            DeviceCourse(
                device_id=device_id, kind=device.kind, name=device.name, idle_w=device.idle_w,
                peak_power_w=device.peak_w, mean_w=mean_w, peak_w=mean_w, low_w=mean_w,
            )
        )  # fmt: skip
    return Observations(
        duration_s=run.duration_s, slot_s=slot_s, slots=slots, grain_s=slot_s,
        start_utc_s=_utc_s(run), devices=tuple(courses), metrics=run.metric_history,
        pauses=run.pauses, complete=False, notes=(note,),
    )  # fmt: skip


class _Reading:
    """A journal that is being looked through."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._early: list[Ticks] = []
        self._grid: Grid | None = None
        self._heads: list[Head] = []
        self._channels: list[tuple[Wire, tuple[Channel, ...], tuple[Sink | None, ...]]] = []
        self.devices: dict[str, Wire] = {}
        self._times: dict[Measures, Counted] = {}
        self._occupied: Occupations | None = None
        self._names: dict[int, tuple[int, str]] = {}
        self._interval_s = run.interval_s or 0.1
        self._weight = 1  # readings that one which is read stands for
        self._events: list[Event] = []
        self._ranks: dict[int, tuple[int, int]] = {}  # rank -> last instant and CPU time
        self._rank_cpu: dict[int, list[tuple[int, int, int]]] = {}
        self._rank_devices: dict[str, set[int]] = {}
        self._processes: dict[int, int | None] = {}
        self._work: list[tuple[int, int, dict[str, float]]] = []
        self._cores: float | None = None

    @property
    def begun(self) -> bool:
        """Whether a head was read: without one, readings have no names."""
        return bool(self._heads)

    # -- frames ----------------------------------------------------------------------------------

    def feed(self, frame: Frame, weight: int) -> None:
        """Take the next frame, which stands for *weight* of them."""
        match frame:
            case Ticks():
                self._take(frame, weight)
            case Occupancy() if self._occupied is not None:
                self._occupied.take(frame, weight)
            case Use():
                self._use(frame)
            case PathName():
                self._names[frame.index] = (frame.pid, frame.path)
            case Process() if frame.rank is not None or frame.pid not in self._processes:
                self._processes[frame.pid] = frame.rank
            case Event():
                self._event(frame)
            case Metric():
                self._work.append((frame.t_ns, 0, frame.work))
            case Head():
                self._head(frame)
            case Started():
                self._begin(frame.t_ns)
            case _:  # an end is the run's; the others came too early, or say nothing new
                pass

    def feed_marks(self, pid: int, frames: Iterable[Skimmed]) -> None:
        """Take what a process said of itself."""
        for frame, _ in frames:
            if isinstance(frame, Metric) and frame.work:
                self._work.append((frame.t_ns, pid, frame.work))
            elif isinstance(frame, (Process, Event)):
                self.feed(frame, 1)

    def _head(self, head: Head) -> None:
        self._heads.append(head)
        known = {d.id: d for h in self._heads for d in h.devices}
        if self._grid is not None:
            self._wire(known)
        words = head.machine.get("vcpus", "")
        if words.isdecimal() and int(words) > 0:
            self._cores = float(words)

    def _begin(self, start_ns: int | None = None) -> None:
        """The run's span is known: wire the sensors and take what came before."""
        if self._grid is not None or not self._heads:
            return
        start_ns = self._heads[0].t_ns if start_ns is None else start_ns
        self._grid = Grid.of(start_ns, self._run.duration_s, self._interval_s)
        self._occupied = Occupations(self._grid, self._names)
        self._wire({d.id: d for h in self._heads for d in h.devices})
        early, self._early = self._early, []
        for ticks in early:
            self._take(ticks, 1)

    def _wire(self, known: dict[str, Device]) -> None:
        assert self._grid is not None  # noqa: S101
        for head in self._heads:
            for sensor in head.sensors[len(self._channels) :]:
                device = known.get(sensor.device_id)
                if device is None:
                    kind, host = DeviceKind.NODE, head.host
                    device = Device(sensor.device_id, kind, sensor.device_id, host)
                wire = self.devices.get(device.id)
                if wire is None:
                    wire = self.devices[device.id] = Wire(self._grid, device)
                for channel in sensor.channels:
                    wire.add(channel)
                    if channel.measures in TIMES:
                        self._times.setdefault(channel.measures, wire.counted[channel.measures])
                sinks = tuple(wire.sink(channel) for channel in sensor.channels)
                self._channels.append((wire, sensor.channels, sinks))

    def _take(self, ticks: Ticks, weight: int) -> None:
        if self._grid is None:
            self._early.append(ticks)
            return
        if not 0 <= ticks.sensor < len(self._channels):
            return
        place = self._channels[ticks.sensor]
        if not ticks.t_ns:
            return
        self._weight = max(self._weight, weight)
        wire, channels, sinks = place
        gap_s = max(_SHORTEST_GAP_S, 3 * self._interval_s) * weight + (weight > 1)
        gap_ns = s_to_ns(gap_s)
        if self._grid.coarse:
            t_ns = sum(ticks.t_ns)
            at = self._grid.place(t_ns)
            for sink, coded in zip(sinks, ticks.values, strict=False):
                if sink is not None:
                    sink(t_ns, at, coded, gap_ns)
            return
        times = list(accumulate(ticks.t_ns))
        for channel, coded in zip(channels, ticks.values, strict=False):
            values: list[int | None] = (
                gappy_delta_decode(coded) if None in coded else list(accumulate(coded))
            )
            n = min(len(times), len(values))
            longer_ns = max(gap_ns, 5 * NS_PER_S) if channel.measures in TIMES else gap_ns
            wire.take(channel.measures, times[:n], values[:n], longer_ns)

    def _use(self, use: Use) -> None:
        for rank, cpu_ns in use.rank_cpu_ns.items():
            before = self._ranks.get(rank)
            self._ranks[rank] = (use.t_ns, cpu_ns)
            if before is not None and cpu_ns > before[1] and use.t_ns > before[0]:
                rows = self._rank_cpu.setdefault(rank, [])
                rows.append((before[0], use.t_ns, cpu_ns - before[1]))
            elif before is None:
                self._rank_cpu.setdefault(rank, [])
        for device_id, ranks in use.rank_devices.items():
            self._rank_devices.setdefault(device_id, set()).update(ranks)

    def _event(self, event: Event) -> None:
        if event.kind == "rate-changed" and event.number:
            self._interval_s = event.number
        if len(self._events) < _MOST_EVENTS:
            self._events.append(event)

    # -- what became of it -----------------------------------------------------------------------

    def finish(self) -> Observations:
        """All of it in slots."""
        self._begin()
        grid = self._grid
        assert grid is not None  # noqa: S101
        assert self._occupied is not None  # noqa: S101
        factor = -(-grid.n // MOST_SLOTS)
        slots = grid.by(factor)
        ranks = {pid: rank for pid, rank in self._processes.items() if rank is not None}
        self._occupied.scale({p.path: (p.duration_s, p.count) for p in self._run.phases})
        drawing = [w for w in self.devices.values() if self._draws(w)]
        pictures = [self._picture(wire, ranks) for wire in drawing]
        return Observations(
            duration_s=self._run.duration_s,
            slot_s=ns_to_s(slots.grain_ns),
            slots=slots.n,
            grain_s=ns_to_s(grid.grain_ns),
            start_utc_s=_utc_s(self._run),
            devices=tuple(
                course_of(w, p, slots, factor) for w, p in zip(drawing, pictures, strict=True)
            ),
            phases=self._occupied.courses(slots, factor, ranks),
            intervals=self._occupied.intervals(ranks),
            meetings=meetings_of(pictures, self._occupied),
            stretches=stretches_of(pictures, self._occupied),
            ranks=self._rank_courses(slots),
            run_cores=self._rate(Measures.RUN_TIME, slots, factor),
            machine_cores=self._rate(Measures.BUSY_TIME, slots, factor),
            cores=self._cores,
            metrics=self._run.metric_history,
            work=_work_points(self._work, grid),
            gaps=tuple(self._gaps(drawing)),
            pauses=self._run.pauses,
            events=tuple(self._happenings()),
        )

    def _draws(self, wire: Wire) -> bool:
        if wire.device.kind in {DeviceKind.NODE, DeviceKind.REST}:
            return False
        return any(m in wire.counted or m in wire.levels for m in ENERGIES)

    def _picture(self, wire: Wire, ranks: dict[int, int]) -> Picture:
        """A device by the grain: energy, seconds, and whether it did nothing."""
        assert self._grid is not None  # noqa: S101
        energy, seconds = wire.joules()
        level = wire.levels.get(Measures.UTILISATION)
        busy: list[float | None] | None = None
        cores: list[float | None] | None = None
        if level is not None and any(level.count):
            busy = [level.mean(i) for i in range(self._grid.n)]
        elif wire.device.kind is not DeviceKind.GPU and Measures.RUN_TIME in self._times:
            time = self._times[Measures.RUN_TIME]
            cores = [
                a / ns_to_s(int(c)) if c > 0 else None
                for a, c in zip(time.amount, time.covered_ns, strict=True)
            ]
        holders = self._rank_devices.get(wire.device.id, set())
        pids = frozenset(pid for pid, rank in ranks.items() if rank in holders)
        rest_w = None
        if cores is None:
            read = [i for i, s in enumerate(seconds) if s > 0]
            told = None if busy is None else [busy[i] for i in read]
            rest_w = idle_below(wire.device, [energy[i] / seconds[i] for i in read], told)
        return Picture(wire.device, energy, seconds, busy, cores, rest_w, pids)

    def _rate(self, measures: Measures, slots: Grid, factor: int) -> Course:
        time = self._times.get(measures)
        if time is None or not any(time.covered_ns):
            return ()
        amount, covered = folded(time.amount, factor), folded(time.covered_ns, factor)
        return tuple(
            amount[i] / ns_to_s(int(covered[i])) if covered[i] > 0 else None
            for i in range(slots.n)
        )

    def _rank_courses(self, slots: Grid) -> tuple[RankCourse, ...]:
        rows = []
        for rank, steps in sorted(self._rank_cpu.items()):
            cpu = slots.zeros()
            for t0_ns, t1_ns, used_ns in steps:
                slots.spread(cpu, t0_ns, t1_ns, used_ns / NS_PER_S)
            held = tuple(sorted(d for d, ranks in self._rank_devices.items() if rank in ranks))
            rows.append(RankCourse(rank, tuple(cpu), held))
        return tuple(rows)

    def _gaps(self, drawing: Sequence[Wire]) -> Iterable[Gap]:
        grid = self._grid
        assert grid is not None  # noqa: S101
        for wire in drawing:
            main: Counted | Level | None = wire.counted.get(Measures.ENERGY)
            main = main or next((wire.levels[m] for m in ENERGIES if m in wire.levels), None)
            if main is None:
                continue
            spans = list(main.gaps)
            last_ns = main.last_ns if isinstance(main, Level) else main.last and main.last[0]
            silence_s = (_SHOWN_GAP_S + 3 * self._interval_s) * self._weight
            if last_ns and grid.end_ns - last_ns > s_to_ns(silence_s):
                spans.append((last_ns, grid.end_ns))
            for t0_ns, t1_ns in spans:
                start_s = max(0.0, ns_to_s(t0_ns - grid.start_ns))
                end_s = min(self._run.duration_s, ns_to_s(t1_ns - grid.start_ns))
                if end_s > start_s:
                    yield Gap(wire.device.id, start_s, end_s)

    def _happenings(self) -> Iterable[Happening]:
        grid = self._grid
        assert grid is not None  # noqa: S101
        for event in sorted(self._events, key=lambda e: e.t_ns):
            device = ""
            if event.sensor is not None and 0 <= event.sensor < len(self._channels):
                place = self._channels[event.sensor]
                device = place[0].device.id
            at_s = min(max(0.0, ns_to_s(event.t_ns - grid.start_ns)), self._run.duration_s)
            yield Happening(at_s, event.kind, event.text, device, event.number)


def _work_points(
    rows: list[tuple[int, int, dict[str, float]]], grid: Grid
) -> tuple[WorkPoint, ...]:
    """Totals over all processes, thinned; the last point stays."""
    latest: dict[int, dict[str, float]] = {}
    sums: dict[str, float] = {}
    points = []
    for t_ns, pid, work in sorted(rows, key=lambda row: row[0]):
        before = latest.get(pid, {})
        for name, amount in work.items():
            sums[name] = sums.get(name, 0.0) + amount - before.get(name, 0.0)
        latest[pid] = {**before, **work}
        points.append((max(0.0, ns_to_s(t_ns - grid.start_ns)), dict(sums)))
    stride = -(-len(points) // MOST_POINTS) or 1
    kept = [p for i, p in enumerate(points) if i % stride == 0 or i == len(points) - 1]
    return tuple(WorkPoint(t, totals) for t, totals in kept)


def _utc_s(run: Run) -> float:
    try:
        return datetime.fromisoformat(run.started_utc).timestamp()
    except ValueError:
        return 0.0
