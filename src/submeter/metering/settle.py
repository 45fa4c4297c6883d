# SPDX-License-Identifier: Apache-2.0
"""From a journal's frames to a Run: the only place where totals are computed.

`Settler` is fed with frames as they are written, or again from a journal after a crash; both
ways give the same Run. Its memory does not grow with the length of the run.
"""

from collections import deque
from pathlib import Path
from typing import Final

import msgspec

from submeter.errors import LedgerError
from submeter.metering import shares
from submeter.metering._meters import DeviceMeter
from submeter.metering._result import Result
from submeter.metering.curve import CounterCurve
from submeter.metering.separate import Occupation, Separator
from submeter.records.devices import Channel, DeviceKind, Measures
from submeter.records.frames import (
    End,
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
    delta_decode,
    gappy_delta_decode,
)
from submeter.records.runs import Run
from submeter.units import PPM, ns_to_s, s_to_ns

PATIENCE_S: Final = 3.0  # how long a block waits for a device that is late
TIME_COUNTERS: Final = frozenset({Measures.BUSY_TIME, Measures.RUN_TIME})


class Settler:
    """Folds frames into a Run.

    Notes
    -----
    Time is cut into blocks of about a second, at the words of use. A block is settled once every
    device's curve reaches its end, or after ``PATIENCE_S``. Within a block the windows of
    occupancy divide the run's share among phases. Device energy is always the difference of one
    cumulative curve, so that no cut loses or doubles a joule.
    """

    def __init__(self) -> None:
        self.head: Head | None = None
        self._generation = 0
        self.result = Result()
        self._meters: dict[str, DeviceMeter] = {}
        self._channels: list[list[tuple[DeviceMeter | None, Channel]]] = []
        self._time_curves: dict[Measures, CounterCurve] = {}
        self._paths: dict[int, PathName] = {}
        self._counts: dict[str, int] = {}
        self._wall_ns: dict[str, int] = {}
        self._started: Started | None = None
        self._end: End | None = None
        self._early: list[Ticks] = []
        self._words: deque[Use] = deque()
        self._windows: deque[Occupancy] = deque()
        self._now_ns = 0
        self._settled_ns: int | None = None
        self._window_ns: int | None = None
        self._carry_j: dict[str, float] = {}
        self._separators = {
            "processors": Separator(by_cpu_time=True),
            "boards": Separator(by_cpu_time=False),
        }
        self._use = Use(0)
        self._last_use = shares.Use(0.0)

    def feed(self, frame: Frame) -> None:
        """Take the next frame, in the order of the journal."""
        match frame:
            case Head():
                self._take_head(frame)
            case Started():
                self._take_start(frame)
            case Ticks():
                if self._started is None and frame.t_ns:
                    self._early.append(frame)
                else:
                    self._take_ticks(frame)
            case Occupancy():
                self._windows.append(frame)
                self._count(frame)
            case PathName():
                self._paths[frame.index] = frame
            case Use():
                self._words.append(frame)
                self._advance()
            case Process():
                self.result.processes[frame.pid] = frame
            case Metric():
                self.result.take_metric(frame)
            case Event():
                self.result.events.append(frame)
                del self.result.events[:-1000]
            case End():
                self._end = frame

    def feed_marks(self, pid: int, frames: list[Frame]) -> None:
        """Take what one process logged: its metrics, and the work that it counted."""
        for frame in frames:
            if isinstance(frame, Metric):
                self.result.take_metric(frame, pid=pid)
            elif isinstance(frame, Event):
                self.feed(frame)
            elif isinstance(frame, Process):
                # what a process says of itself is surer than what was seen of it from outside
                seen = self.result.processes.get(frame.pid, frame)
                self.result.processes[frame.pid] = seen if frame.rank is None else frame

    def finish(self) -> Run:
        """Settle what is left and give the Run. Call once.

        Raises
        ------
        LedgerError
            If no head was fed: there is no run in these frames.
        """
        if self.head is None:
            raise LedgerError(
                "this journal has no readable head, so its run cannot be settled",
                remedy="submeter doctor --rebuild skips it and says which one it was",
            )
        if self._started is None:
            self._take_start(Started(self.head.t_ns))
        assert self._started is not None  # noqa: S101
        for meter in self._meters.values():
            meter.finish_curves()
        for curve in self._time_curves.values():
            curve.close()
        end_ns = self._end.t_ns if self._end is not None else self._now_ns
        end_ns = max(end_ns, self._started.t_ns)
        self._settle_rest(end_ns)
        for meter in self._meters.values():
            late_j = meter.close(end_ns)
            if late_j:
                self._share(meter, late_j, 0.0, self._last_use)
        self._close_windows(end_ns)
        return self.result.run(
            head=self.head,
            start_ns=self._started.t_ns,
            end_ns=end_ns,
            end=self._end,
            meters=self._meters,
            separators=self._separators,
            counts=self._counts,
            wall_ns=self._wall_ns,
        )

    # --- frames ------------------------------------------------------------------------------

    def _take_head(self, head: Head) -> None:
        if self.head is None:
            self.head = head
        elif head.generation != self._generation:  # not a head that was written again
            self.result.restarts += 1
            for known in self._meters.values():
                known.break_here()
        self._generation = head.generation
        for device in head.devices:
            if device.id not in self._meters:
                self._meters[device.id] = DeviceMeter(device)
        for sensor in head.sensors[len(self._channels) :]:
            self._channels.append([self._wire(channel) for channel in sensor.channels])

    def _wire(self, channel: Channel) -> tuple[DeviceMeter | None, Channel]:
        """Where the readings of a channel go: to a device's meter, or None for the others."""
        if channel.measures in TIME_COUNTERS:
            self._time_curves.setdefault(channel.measures, CounterCurve(channel))
            return None, channel
        if channel.measures is Measures.REST_RATIO:
            self.result.rest_channel = channel
            return None, channel
        meter = self._meters.get(channel.device_id)
        if meter is not None:
            meter.add_channel(channel)
        return meter, channel

    def _take_start(self, started: Started) -> None:
        if self._started is not None:
            return
        self._started = started
        early, self._early = self._early, []
        for ticks in early:
            self._take_ticks(ticks)

    def _take_ticks(self, ticks: Ticks) -> None:
        if not 0 <= ticks.sensor < len(self._channels):
            self.result.unreadable_frames += 1
            return
        instants = delta_decode(ticks.t_ns)
        for (meter, channel), coded in zip(
            self._channels[ticks.sensor], ticks.values, strict=False
        ):
            readings = zip(instants, gappy_delta_decode(coded), strict=False)
            if channel.measures is Measures.REST_RATIO:
                for _, raw in readings:
                    if raw is not None:
                        self.result.rest_ratio = raw * channel.scale
            elif meter is not None:
                for t_ns, raw in readings:
                    meter.feed(channel, t_ns, ticks.half_ns, raw)
            elif channel.measures in self._time_curves:
                curve = self._time_curves[channel.measures]
                for t_ns, raw in readings:
                    curve.feed(t_ns, ticks.half_ns, raw)
        if instants:
            self._now_ns = max(self._now_ns, instants[-1])
        self._advance()

    def _count(self, window: Occupancy) -> None:
        for row in window.rows:
            name = self._paths.get(row.path)
            if name is not None:
                self._counts[name.path] = self._counts.get(name.path, 0) + row.count
                self._wall_ns[name.path] = self._wall_ns.get(name.path, 0) + row.wall_ns

    # --- blocks ------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Settle the blocks whose devices have all been heard."""
        if self._started is None:
            return
        while len(self._words) > 1:  # the last word may lie behind the end of the run
            until_ns = self._words[0].t_ns
            reached = self._reached_ns()
            late = self._now_ns - until_ns > s_to_ns(PATIENCE_S)
            if not late and (reached is None or reached < until_ns):
                return
            self._use = self._words.popleft()
            self._settle_until(until_ns)

    def _reached_ns(self) -> int | None:
        ends = [m.covers_ns() for m in self._meters.values() if m.main is not None]
        known = [e for e in ends if e is not None]
        return min(known) if known else self._now_ns

    def _settle_rest(self, end_ns: int) -> None:
        """Settle what is left until the end; what was looked at later ended there too."""
        self._windows = deque(
            w if w.t_ns <= end_ns else msgspec.structs.replace(w, t_ns=end_ns)
            for w in self._windows
        )
        while self._words:
            self._use = self._words.popleft()
            self._settle_until(min(self._use.t_ns, end_ns))
        self._settle_until(end_ns)
        for meter in self._counted():
            late_j = meter.take(end_ns, 0.0)  # known only after its last block was settled
            if late_j:
                self._share(meter, late_j, 0.0, self._last_use)

    def _settle_until(self, until_ns: int) -> None:
        """Settle one block, from where the last one ended."""
        assert self._started is not None  # noqa: S101
        if self._settled_ns is None:
            self._settled_ns = self._window_ns = self._started.t_ns
            for meter in self._meters.values():
                meter.skip(self._started.t_ns)
            for curve in self._time_curves.values():
                curve.take(self._started.t_ns)
        if until_ns <= self._settled_ns:
            return
        use = self._last_use = self._used(until_ns)
        while self._windows and self._windows[0].t_ns <= until_ns:
            window = self._windows.popleft()
            if window.t_ns > self._settled_ns:
                self._draw(window.t_ns, use)
            self._close_windows(window.t_ns, window)
        self._draw(until_ns, use)

    def _used(self, until_ns: int) -> shares.Use:
        assert self._settled_ns is not None  # noqa: S101
        seconds: dict[Measures, float | None] = {}
        length_s = ns_to_s(until_ns - self._settled_ns)
        for measures in TIME_COUNTERS:
            curve = self._time_curves.get(measures)
            taken = curve.take(until_ns) if curve is not None else None
            seen = curve is not None and curve.last_reading_ns is not None
            seconds[measures] = taken.energy_j if taken is not None and seen else None
        self.result.take_use(self._use)
        return shares.Use(length_s, seconds[Measures.BUSY_TIME], seconds[Measures.RUN_TIME])

    def _draw(self, until_ns: int, use: shares.Use) -> None:
        """Energy of every device from the last cut until now, and the run's share of it."""
        assert self._settled_ns is not None  # noqa: S101
        length_s = ns_to_s(until_ns - self._settled_ns)
        ratio = length_s / use.length_s if use.length_s > 0 else 0.0
        part = shares.Use(
            length_s,
            None if use.busy_s is None else use.busy_s * ratio,
            None if use.run_s is None else use.run_s * ratio,
        )
        for meter in self._counted():
            self._share(meter, meter.take(until_ns, length_s), length_s, part)
        self._settled_ns = until_ns

    def _counted(self) -> list[DeviceMeter]:
        """Meters of devices that are read; the rest of the node follows them."""
        return [
            m
            for m in self._meters.values()
            if m.device.kind is not DeviceKind.REST and m.main is not None
        ]

    def _share(self, meter: DeviceMeter, drawn_j: float, length_s: float, use: shares.Use) -> None:
        assert self.head is not None  # noqa: S101
        device, sd_j = meter.device, 0.0
        if device.kind is DeviceKind.NODE:
            return
        if device.kind is DeviceKind.GPU:
            share_j = drawn_j * self._board_ratio(meter)
        elif device.kind is DeviceKind.DRAM:
            share_j = drawn_j * self.head.memory_allocation_ratio
            meter.how["by allocation"] += 1
        else:
            share_j, sd_j = shares.processor_share_j(
                drawn_j,
                use,
                idle_w=device.idle_w or 0.0,
                allocation_ratio=self.head.cpu_allocation_ratio,
            )
            alone = shares.use_ratio(use)
            meter.how["whole, use unknown" if alone is None else "by CPU time"] += 1
        meter.share_j += share_j
        meter.share_sd_j += sd_j
        self._carry_j[device.id] = self._carry_j.get(device.id, 0.0) + share_j
        if self._settled_ns is not None and self._started is not None:
            at_s = ns_to_s(self._settled_ns - self._started.t_ns)
            self.result.add_slot(device.id, at_s, length_s, share_j)
        self.result.add_rank(device, share_j)

    def _board_ratio(self, meter: DeviceMeter) -> float:
        assert self.head is not None  # noqa: S101
        device_id, mask = meter.device.id, self.head.gpu_mask
        if mask is not None and device_id not in mask:
            meter.how["not in the run's mask"] += 1
            return 0.0
        ppm = self._use.share_ppm.get(device_id)
        if ppm is None:
            meter.how["whole, use unknown"] += 1
            return 1.0
        meter.how[self._use.how.get(device_id, "by use")] += 1
        return min(1.0, max(0.0, ppm / PPM))

    def _close_windows(self, t_ns: int, window: Occupancy | None = None) -> None:
        """Divide what was drawn since the last window among the phases that filled it."""
        assert self._window_ns is not None  # noqa: S101
        length_s = ns_to_s(t_ns - self._window_ns)
        if length_s <= 0 and not any(self._carry_j.values()):
            return
        occupied: dict[str, Occupation] = {}
        for row in window.rows if window is not None else ():
            name = self._paths.get(row.path)
            if name is None:
                self.result.unreadable_frames += 1
                continue
            leaf = occupied.setdefault(name.path, Occupation())
            leaf.wall_s += ns_to_s(row.wall_ns)
            leaf.cpu_s += ns_to_s(row.cpu_ns)
        boards = {d: e for d, e in self._carry_j.items() if d.startswith("gpu:")}
        others = {d: e for d, e in self._carry_j.items() if d not in boards}
        self._separators["boards"].add(length_s, occupied, boards)
        self._separators["processors"].add(length_s, occupied, others)
        self._carry_j.clear()
        self._window_ns = max(self._window_ns, t_ns)


def settle_folder(folder: Path, *, journal: Path | None = None, end: End | None = None) -> Run:
    """Settle the run in *folder* from its journal and the marks of its processes.

    Parameters
    ----------
    folder
        The run's folder.
    journal
        Where the journal is if it had to be moved.
    end
        How the run ended if its journal does not say that.

    Raises
    ------
    LedgerError
        If there is no journal, or none of its heads can be read.
    """
    from submeter.storing.journal import read_frames

    journal = journal or folder / "journal"
    if not journal.is_file():
        raise LedgerError(f"{folder} holds no journal", remedy="submeter list shows what there is")
    content = read_frames(journal)
    settler = Settler()
    for frame in content.frames:
        settler.feed(frame)
    if end is not None:
        settler.feed(end)
    feed_marks(settler, folder)
    settler.result.lost_bytes += content.lost_bytes
    return settler.finish()


def feed_marks(settler: Settler, folder: Path) -> None:
    """Give the settler what the run's processes logged."""
    from submeter.storing.journal import read_frames

    for path in sorted(folder.glob("marks.*")):
        pid = path.suffix[1:]
        if pid.isdigit():
            settler.feed_marks(int(pid), list(read_frames(path).frames))
