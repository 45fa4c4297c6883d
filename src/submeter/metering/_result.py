# SPDX-License-Identifier: Apache-2.0
"""What a settlement collects beside energy, and how it becomes a Run."""

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from submeter.metering._meters import DeviceMeter
from submeter.metering.separate import OUTSIDE, Separator, Split, linked
from submeter.records.devices import Channel, Device, DeviceKind
from submeter.records.figures import ErrorTerm, Missing, Quantity, total
from submeter.records.frames import End, Event, Head, Metric, Process, Use
from submeter.records.runs import (
    NO_END,
    DeviceEnergy,
    Host,
    MetricPoint,
    Pause,
    PhaseEnergy,
    RankEnergy,
    Run,
    Series,
    Status,
)
from submeter.units import NS_PER_S, ns_to_s

MAX_SLOTS: Final = 1200
MAX_POINTS: Final = 2000
MAX_CURVES: Final = 64  # sets of names that are thinned apart
SILENT_S: Final = 3.0  # a device silent for so long at the end is said to be
SHOWN_HOLE_S: Final = 0.05
SANE_UTC_NS: Final = 1_577_836_800 * NS_PER_S  # 2020-01-01: a clock before that was never set
STATUSES: Final[dict[str, Status]] = {
    "finished": "finished",
    "failed": "failed",
    "killed": "killed",
    "stopped": "stopped",
}

_Point = tuple[int, int | None, dict[str, float]]  # instant, step, values


class _Thinned:
    """Points of equal names, every n-th of them."""

    __slots__ = ("points", "seen", "stride")

    def __init__(self) -> None:
        self.points: list[_Point] = []
        self.seen, self.stride = 0, 1

    def take(self, point: _Point) -> None:
        """Keep every n-th."""
        self.seen += 1
        if self.seen % self.stride == 0:
            self.points.append(point)

    def thin(self) -> None:
        """Leave out every second one, now and from now on."""
        del self.points[1::2]
        self.stride *= 2


class Result:
    """Processes, metrics, ranks, slots and notes of a run that is being settled."""

    def __init__(self) -> None:
        self.processes: dict[int, Process] = {}
        self.events: list[Event] = []
        self.restarts = 0
        self.unreadable_frames = 0
        self.lost_bytes = 0
        self.rest_channel: Channel | None = None
        self.rest_ratio: float | None = None
        self.metrics: dict[str, float] = {}
        self.parameters: dict[str, str] = {}
        self._curves: dict[frozenset[str], _Thinned] = {}
        self._work: dict[int, dict[str, float]] = {}
        self._slot_s = 1.0
        self._slots: dict[str, list[float]] = {}
        self._rank_cpu_ns: dict[int, int] = {}
        self._rank_weight: dict[int, float] = {}
        self._rank_devices: dict[str, list[int]] = {}
        self._rank_j: dict[int, float] = {}
        self._unranked_j = 0.0

    # --- what was logged ---------------------------------------------------------------------

    def take_metric(self, metric: Metric, *, pid: int = 0) -> None:
        """Keep the last value of each metric, a thinned history and the work done."""
        finite = {k: v for k, v in metric.values.items() if math.isfinite(v)}
        self.metrics.update(finite)
        self.parameters.update(metric.text)
        if metric.work:
            self._work[pid] = dict(metric.work)
        if finite:
            self._keep_point((metric.t_ns, metric.step, finite))

    def _keep_point(self, point: _Point) -> None:
        """Keep it; where there are too many, thin the names that were logged most often.

        An evaluation once an epoch is not left out for the losses of thousands of steps.
        """
        names = frozenset(point[2])
        if names not in self._curves and len(self._curves) >= MAX_CURVES:
            names = frozenset()
        self._curves.setdefault(names, _Thinned()).take(point)
        if sum(len(c.points) for c in self._curves.values()) > MAX_POINTS:
            max(self._curves.values(), key=lambda c: len(c.points)).thin()

    # --- ranks and slots ---------------------------------------------------------------------

    def take_use(self, use: Use) -> None:
        """CPU time that each rank used since the last word."""
        self._rank_weight = {
            rank: max(0, cpu_ns - self._rank_cpu_ns.get(rank, 0))
            for rank, cpu_ns in use.rank_cpu_ns.items()
        }
        self._rank_cpu_ns.update(use.rank_cpu_ns)
        self._rank_devices = use.rank_devices
        for rank in use.rank_cpu_ns:
            self._rank_j.setdefault(rank, 0.0)

    def add_rank(self, device: Device, share_j: float) -> None:
        """Divide the run's share of a device among its ranks: boards by holder, else CPU time."""
        if device.kind is DeviceKind.GPU:
            weight = dict.fromkeys(self._rank_devices.get(device.id, ()), 1.0)
        else:
            weight = dict(self._rank_weight)
        whole = math.fsum(weight.values())
        if whole <= 0:
            self._unranked_j += share_j
            return
        for rank, part in weight.items():
            self._rank_j[rank] = self._rank_j.get(rank, 0.0) + share_j * part / whole

    def add_slot(self, device_id: str, at_s: float, length_s: float, energy_j: float) -> None:
        """Add energy to the time line; slots double in length as the run grows."""
        while (at_s + length_s) / self._slot_s >= MAX_SLOTS:
            self._slot_s *= 2
            for row in self._slots.values():
                if len(row) % 2:
                    row.append(0.0)
                row[:] = [a + b for a, b in zip(row[::2], row[1::2], strict=True)]
        row = self._slots.setdefault(device_id, [])
        first = int(at_s / self._slot_s)
        last = max(first, math.ceil((at_s + length_s) / self._slot_s) - 1)
        row.extend([0.0] * (last + 1 - len(row)))
        for i in range(first, last + 1):
            begin = max(at_s, i * self._slot_s)
            end = min(at_s + length_s, (i + 1) * self._slot_s)
            part = (end - begin) / length_s if length_s > 0 else 1.0
            row[i] += energy_j * part

    # --- the run -----------------------------------------------------------------------------

    def run(
        self,
        *,
        head: Head,
        start_ns: int,
        end_ns: int,
        end: End | None,
        meters: Mapping[str, DeviceMeter],
        separators: Mapping[str, Separator],
        counts: Mapping[str, int],
        wall_ns: Mapping[str, int],
    ) -> Run:
        """The settled Run."""
        devices = self._devices(meters)
        shares = {d.device.id: d.share for d in devices if isinstance(d.share, Quantity)}
        phases, outside = self._phases(meters, shares, separators, counts, wall_ns)
        return Run(
            id=head.run_id,
            origin="measured",
            status=STATUSES.get(end.status, "failed") if end is not None else "killed",
            exit_code=None if end is None else end.exit_code,
            started_utc=_iso(self._utc_ns(head, start_ns)),
            duration_s=ns_to_s(end_ns - start_ns),
            name=head.name,
            command=head.command,
            user=head.user,
            project=head.project,
            parent=head.parent,
            attempt=head.attempt,
            tags=dict(head.tags),
            hosts=(Host(head.host, dict(head.machine)),),
            devices=devices,
            phases=phases,
            outside_phases=outside,
            unattributed=_unattributed(devices),
            ranks=self._ranks(head.host, shares),
            metrics=dict(self.metrics),
            metric_history=tuple(
                MetricPoint(max(0.0, ns_to_s(t - start_ns)), values, step)
                for t, step, values in sorted(
                    (p for c in self._curves.values() for p in c.points), key=lambda p: p[0]
                )
            ),
            work=_summed(self._work.values()),
            series=Series(self._slot_s, self._slots),
            place=dict(head.place),
            code=dict(head.code),
            parameters=dict(self.parameters),
            interval_s=head.interval_s,
            gaps_s=max((m.hole_s for m in meters.values()), default=0.0),
            notes=tuple(self._notes(meters, end, end_ns)),
            **self._planned(start_ns, end_ns),
        )

    def _planned(self, start_ns: int, end_ns: int) -> dict[str, Any]:
        """The plan that it was run by, and the pauses that this brought."""
        found: dict[str, Any] = {}
        pauses: list[Pause] = []
        began_ns: int | None = None
        for event in sorted(self.events, key=lambda e: e.t_ns):
            if event.kind == "plan":
                asked_ns = 0 if event.number is None else int(event.number * NS_PER_S)
                found = {"plan": event.text, "asked_utc": _iso(asked_ns) if asked_ns else ""}
            elif event.kind == "paused" and began_ns is None:
                began_ns = event.t_ns
            elif event.kind == "resumed" and began_ns is not None:
                pauses.append(_pause(began_ns, event.t_ns, start_ns, event.number or 0.0))
                began_ns = None
        if began_ns is not None:
            last = _pause(began_ns, max(began_ns, end_ns), start_ns, 0.0)
            pauses.append(msgspec.structs.replace(last, over=False))
        return {**found, "pauses": tuple(pauses)} if pauses else found

    def _devices(self, meters: Mapping[str, DeviceMeter]) -> tuple[DeviceEnergy, ...]:
        rows = []
        for meter in meters.values():
            if meter.device.kind is DeviceKind.REST:
                continue
            drawn = meter.drawn()
            share: Quantity | Missing = drawn
            if meter.device.kind is DeviceKind.NODE:
                share = Missing("reconciles the sum of the devices, not part of it")
            elif isinstance(drawn, Quantity):
                ratio = meter.share_j / meter.drawn_j if meter.drawn_j > 0 else 1.0
                share = drawn.scaled(ratio)
                if meter.share_sd_j > 0:
                    split = ErrorTerm("split-by-cpu-time", absolute_sd=meter.share_sd_j)
                    share = share.with_terms((split,))
            rows.append(
                DeviceEnergy(
                    device=meter.device,
                    drawn=drawn,
                    share=share,
                    method=meter.method(),
                    share_how=" then ".join(how for how, _ in meter.how.most_common(2)),
                    flags=meter.flags(),
                    means=meter.means(),
                )
            )
        rest = next((m.device for m in meters.values() if m.device.kind is DeviceKind.REST), None)
        if rest is not None:
            rows.append(self._rest(rest, rows))
        return tuple(rows)

    def _rest(self, device: Device, others: list[DeviceEnergy]) -> DeviceEnergy:
        channel, ratio = self.rest_channel, self.rest_ratio
        if channel is None or ratio is None:
            why = Missing("no ratio for the rest of the node")
            return DeviceEnergy(device, why, why)

        def part(quantities: list[Quantity]) -> Quantity | Missing:
            if not quantities:
                return Missing("nothing that it could be a part of")
            whole = total(quantities).scaled(ratio)
            return msgspec.structs.replace(
                whole.with_terms(channel.terms),
                basis={channel.basis: whole.value},
                sources=(channel.source,) if channel.source else (),
            )

        counted = [d for d in others if d.device.kind is not DeviceKind.NODE]
        return DeviceEnergy(
            device=device,
            drawn=part([d.drawn for d in counted if isinstance(d.drawn, Quantity)]),
            share=part([d.share for d in counted if isinstance(d.share, Quantity)]),
            method=f"{ratio:.2f} of the other devices' energy",
        )

    def _phases(
        self,
        meters: Mapping[str, DeviceMeter],
        shares: Mapping[str, Quantity],
        separators: Mapping[str, Separator],
        counts: Mapping[str, int],
        wall_ns: Mapping[str, int],
    ) -> tuple[tuple[PhaseEnergy, ...], Quantity | Missing]:
        if not shares:
            return (), Missing("no device was metered")
        splits = _merged_splits(separators)
        resolution_s = max((m.resolution_s() for m in meters.values()), default=0.0)
        device_j = math.fsum(
            s.energy_j for s in splits.values()
        )  # without the rest of the node, which follows the others
        rest = {i: q for i, q in shares.items() if i.startswith("rest:")}
        rows = []
        told: dict[tuple[str, ...], float] = {}  # groups that cannot be told apart, once each
        for path in sorted((p for p in wall_ns if p), key=lambda p: -wall_ns[p]):
            split = splits.get(path, Split({}))
            group = tuple(sorted((path, *split.joint_with)))
            whole = _together([splits.get(p, Split({})) for p in group])
            parts = _parts(whole, shares, rest, device_j)
            energy = total(parts.values())
            if split.sd_j > 0:
                ratio = energy.value / whole.energy_j if whole.energy_j > 0 else 1.0
                sd_j = split.sd_j * ratio
                key = "phase-split:" + "+".join(group)
                energy = energy.with_terms((ErrorTerm(key, absolute_sd=sd_j),))
            duration_s = ns_to_s(wall_ns[path])
            if ns_to_s(sum(wall_ns.get(p, 0) for p in group)) < resolution_s:
                energy = _below_resolution(energy, meters, 2 * resolution_s)
            told[group] = energy.value
            rows.append(
                PhaseEnergy(
                    path=path,
                    count=counts.get(path, 0),
                    duration_s=duration_s,
                    energy=energy,
                    devices={d: q.value for d, q in parts.items()},
                    joint_with=split.joint_with,
                )
            )
        outside = total(_parts(splits.get(OUTSIDE, Split({})), shares, rest, device_j).values())
        run_j = math.fsum(q.value for q in shares.values())
        left_j = run_j - math.fsum(told.values())
        return tuple(rows), _with_value(outside, max(0.0, left_j))

    def _ranks(self, host: str, shares: Mapping[str, Quantity]) -> tuple[RankEnergy, ...]:
        if not self._rank_j or not shares:
            return ()
        run = total(shares.values())
        even_j = self._unranked_j / len(self._rank_j)
        whole_j = math.fsum(self._rank_j.values()) + self._unranked_j
        return tuple(
            RankEnergy(rank, host, run.scaled((energy_j + even_j) / whole_j if whole_j else 0.0))
            for rank, energy_j in sorted(self._rank_j.items())
        )

    def _utc_ns(self, head: Head, t_ns: int) -> int:
        """Wall clock at *t_ns*; a clock that was set only later dates the run afterwards."""
        offset_ns = head.utc_ns - head.t_ns
        if head.utc_ns < SANE_UTC_NS:
            for event in self.events:
                if event.kind == "clock-stepped" and event.number is not None:
                    offset_ns = int(event.number)
        return offset_ns + t_ns

    def _notes(self, meters: Mapping[str, DeviceMeter], end: End | None, end_ns: int) -> list[str]:
        notes = []
        if self.restarts:
            notes.append(f"the collector was restarted {_times(self.restarts)}")
        for meter in meters.values():
            notes += _meter_notes(meter, end_ns)
        shown = {"suspended", "clock-stepped", "frames-lost", "journal-moved", "note"}
        notes += dict.fromkeys(e.text or e.kind for e in self.events if e.kind in shown)
        if self.lost_bytes:
            notes.append(f"{self.lost_bytes} bytes of the journal were damaged and left out")
        if self.unreadable_frames:
            notes.append(f"{self.unreadable_frames} frames named things never introduced")
        if end is None:
            notes.append(NO_END)
        elif end.reason:
            notes.append(end.reason)
        return notes


def _pause(began_ns: int, ended_ns: int, start_ns: int, restart_s: float) -> Pause:
    return Pause(max(0.0, ns_to_s(began_ns - start_ns)), ns_to_s(ended_ns - began_ns), restart_s)


def _meter_notes(meter: DeviceMeter, end_ns: int) -> list[str]:
    """What a reader should know of one device."""
    name = meter.device.name or meter.device.id
    notes = []
    silent_s = meter.last_good_s_before(end_ns)
    if meter.main is not None and silent_s > SILENT_S and meter.drawn_j > 0:
        notes.append(f"{name}: no reading in the last {silent_s:.0f} s, not counted there")
    if meter.hole_s >= SHOWN_HOLE_S:
        notes.append(f"{name}: {meter.hole_s:.1f} s interpolated")
    flags = meter.flags()
    if "counter_and_power_disagree_percent" in flags:
        percent = flags["counter_and_power_disagree_percent"]
        notes.append(f"{name}: integrated power is {percent:+d} % off its counter")
    notes.extend(
        f"{name}: counter {word.replace('_', ' ')} {_times(flags[word])}"
        for word in ("reset", "stepped_back", "jumped", "frozen", "wraps_unknown")
        if word in flags
    )
    if "whole, use unknown" in meter.how and meter.drawn_j > 0:
        notes.append(f"{name}: others could not be seen, counted whole")
    return notes


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"


def _iso(utc_ns: int) -> str:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=utc_ns // 1000)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _summed(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    out: dict[str, float] = {}
    for row in rows:
        for key, amount in row.items():
            out[key] = out.get(key, 0.0) + amount
    return out


def _with_value(quantity: Quantity, value: float) -> Quantity:
    if quantity.value > 0:
        return msgspec.structs.replace(quantity.scaled(value / quantity.value), value=value)
    return msgspec.structs.replace(quantity, value=value)


def _merged_splits(separators: Mapping[str, Separator]) -> dict[str, Split]:
    """Processors and boards together; leaves that one of them cannot tell apart stay joint."""
    merged: dict[str, Split] = {}
    links: list[tuple[str, set[str]]] = []
    for separator in separators.values():
        for path, split in separator.finish().items():
            known = merged.setdefault(path, Split({}))
            known.devices.update(split.devices)
            known.sd_j = math.hypot(known.sd_j, split.sd_j)
            links.append((path, set(split.joint_with)))
    for group in linked(links):
        for path in group:
            merged[path].joint_with = tuple(sorted(group - {path}))
    return merged


def _together(splits: list[Split]) -> Split:
    devices: dict[str, float] = {}
    for split in splits:
        for device, energy_j in split.devices.items():
            devices[device] = devices.get(device, 0.0) + energy_j
    return Split(devices)


def _parts(
    split: Split,
    shares: Mapping[str, Quantity],
    rest: Mapping[str, Quantity],
    device_j: float,
) -> dict[str, Quantity]:
    """A leaf's part of every device, the rest of the node following the others."""
    parts = {d: _part(shares[d], energy_j) for d, energy_j in split.devices.items() if d in shares}
    if device_j > 0:
        ratio = split.energy_j / device_j
        parts |= {i: q.scaled(ratio) for i, q in rest.items()}
    return parts


def _part(whole: Quantity, value: float) -> Quantity:
    return whole.scaled(value / whole.value) if whole.value > 0 else whole.scaled(0.0)


def _below_resolution(
    energy: Quantity, meters: Mapping[str, DeviceMeter], reach_s: float
) -> Quantity:
    """Nothing finer than "at most so much": the interval begins at zero."""
    peak_w = math.fsum(m.device.peak_w or 0.0 for m in meters.values())
    high_j = max(energy.value, peak_w * reach_s)
    return msgspec.structs.replace(
        energy, bound_low=energy.value, bound_high=high_j - energy.value
    )


def _unattributed(devices: tuple[DeviceEnergy, ...]) -> Quantity | Missing:
    parts = [
        _part(d.drawn, d.drawn.value - d.share.value)
        for d in devices
        if isinstance(d.drawn, Quantity) and isinstance(d.share, Quantity)
    ]
    return total(parts) if parts else Missing("no device was metered")
