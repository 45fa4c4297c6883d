# SPDX-License-Identifier: Apache-2.0
"""Frames of a run on a machine whose power is known in closed form."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from submeter.metering.settle import Settler
from submeter.records.devices import Channel, Device, DeviceKind, Measures
from submeter.records.figures import Basis, ErrorTerm, Quantity
from submeter.records.frames import (
    End,
    Frame,
    Head,
    Occupancy,
    Occupied,
    PathName,
    SensorHead,
    Started,
    Ticks,
    Use,
    delta_encode,
    gappy_delta_encode,
)
from submeter.records.runs import Run
from submeter.units import NS_PER_S, s_to_ns

T0_NS = 5_000 * NS_PER_S
UTC_NS = 1_795_000_000 * NS_PER_S

Energy = Callable[[float], float]  # total energy [J] at a time [s]


def constant(power_w: float) -> Energy:
    return lambda t_s: power_w * t_s


def square(period_s: float, low_w: float, high_w: float) -> Energy:
    def total_j(t_s: float) -> float:
        whole, part_s = divmod(t_s, period_s)
        half_s = period_s / 2
        part_j = high_w * min(part_s, half_s) + low_w * max(0.0, part_s - half_s)
        return whole * half_s * (low_w + high_w) + part_j

    return total_j


@dataclass
class Counter:
    """A device with an energy counter."""

    device_id: str
    total_j: Energy
    scale: float = 1e-6
    modulus: int = 0
    update_s: float = 0.001
    peak_w: float = 600.0
    first_raw: int = 0
    raw: Callable[[float, int], int | None] = lambda _t, raw: raw  # quirk: (time, good) -> seen
    idle_w: float | None = None
    terms: tuple[ErrorTerm, ...] = ()
    kind: DeviceKind = DeviceKind.CPU
    measures: Measures = Measures.ENERGY

    def channel(self) -> Channel:
        return Channel(
            self.device_id,
            self.measures,
            self.scale,
            modulus=self.modulus,
            update_s=self.update_s,
            peak_w=self.peak_w if self.measures is Measures.ENERGY else None,
            terms=self.terms,
        )

    def read(self, t_s: float) -> int | None:
        seen_s = t_s if not self.update_s else (t_s // self.update_s) * self.update_s
        counts = self.first_raw + int(self.total_j(max(0.0, seen_s)) / self.scale)
        if self.modulus:
            counts %= self.modulus
        return self.raw(t_s, counts)


@dataclass
class Polled:
    """A device that tells power only: a mean over a window, refreshed now and then."""

    device_id: str
    total_j: Energy
    update_s: float = 0.1
    window_s: float = 0.1
    peak_w: float = 600.0
    kind: DeviceKind = DeviceKind.GPU
    measures: Measures = Measures.POWER
    basis: Basis = Basis.MEASURED
    idle_w: float | None = None

    def channel(self) -> Channel:
        return Channel(
            self.device_id,
            self.measures,
            1e-3,
            update_s=self.update_s,
            window_s=self.window_s,
            peak_w=self.peak_w,
            basis=self.basis,
        )

    def read(self, t_s: float) -> int | None:
        seen_s = (t_s // self.update_s) * self.update_s if self.update_s else t_s
        window_s = self.window_s or 1e-4
        power_w = (self.total_j(seen_s) - self.total_j(seen_s - window_s)) / window_s
        return round(power_w * 1000)


@dataclass
class Story:
    """A run from 0 s to ``length_s`` on these devices, read every ``interval_s``."""

    sources: list[Counter | Polled]
    length_s: float = 10.0
    interval_s: float = 0.1
    offset_s: float = 1000.37  # the machine has been up for a while
    # phases: list of (path, start, end) in seconds
    spans: list[tuple[str, float, float]] = field(default_factory=list)
    uses: Callable[[float], Mapping[str, int | None]] = lambda _t: {}
    how: dict[str, str] = field(default_factory=dict)
    ended: bool = True
    restart_at_s: float | None = None
    silent: Callable[[float], bool] = lambda _t: False  # no ticks at all at such times

    def instants(self) -> list[float]:
        n = round(self.length_s / self.interval_s)
        ticks = [i * self.interval_s for i in range(n + 1)]
        ticks[-1] = self.length_s
        return [t for t in ticks if not self.silent(t)]

    def head(self, generation: int = 0) -> Head:
        devices = {
            s.device_id: Device(
                s.device_id, s.kind, s.device_id, "h", peak_w=s.peak_w, idle_w=s.idle_w
            )
            for s in self.sources
            if s.measures not in {Measures.BUSY_TIME, Measures.RUN_TIME}
        }
        return Head(
            schema=1,
            run_id="20261123-000000-0000",
            generation=generation,
            host="h",
            boot_id="b",
            collector_pid=1,
            leader_pid=2,
            utc_ns=UTC_NS,
            t_ns=T0_NS,
            interval_s=self.interval_s,
            devices=tuple(devices.values()),
            sensors=tuple(SensorHead(s.device_id, (s.channel(),)) for s in self.sources),
        )

    def frames(self) -> Iterable[Frame]:
        yield self.head()
        instants = self.instants()
        restarted = self.restart_at_s is None
        for name in dict.fromkeys(path for path, _, _ in self.spans):
            yield PathName(self._index(name), 7, name)
        second: list[float] = []
        last_s = 0.0
        yield from self._ticks([instants[0]])
        yield Started(T0_NS)
        for t in instants[1:]:
            if not restarted and self.restart_at_s is not None and t > self.restart_at_s:
                restarted = True
                yield self.head(1)
            second.append(t)
            if self.spans:
                yield self._occupancy(last_s, t)
                last_s = t
            if t - second[0] >= 1.0 - 1e-9 or t == instants[-1]:
                yield from self._ticks(second)
                yield Use(self._t(t), share_ppm=dict(self.uses(t)), how=dict(self.how))
                second = []
        if self.ended:
            yield End(self._t(self.length_s), "finished", 0)

    def settle(self) -> Run:
        settler = Settler()
        for frame in self.frames():
            settler.feed(frame)
        return settler.finish()

    def truth_j(self, device_id: str) -> float:
        source = next(s for s in self.sources if s.device_id == device_id)
        return source.total_j(self.offset_s + self.length_s) - source.total_j(self.offset_s)

    def _index(self, path: str) -> int:
        return list(dict.fromkeys(p for p, _, _ in self.spans)).index(path)

    def _t(self, t_s: float) -> int:
        return T0_NS + s_to_ns(t_s)

    def _ticks(self, times: list[float]) -> Iterable[Frame]:
        for i, source in enumerate(self.sources):
            raw = [source.read(self.offset_s + t) for t in times]
            yield Ticks(
                i,
                delta_encode([self._t(t) for t in times]),
                20_000,
                [gappy_delta_encode(raw)],
            )

    def _occupancy(self, start_s: float, end_s: float) -> Occupancy:
        rows = []
        for path in dict.fromkeys(p for p, _, _ in self.spans):
            inside = [
                (max(a, start_s), min(b, end_s))
                for p, a, b in self.spans
                if p == path and a < end_s and b > start_s
            ]
            wall_s = sum(b - a for a, b in inside)
            count = sum(1 for p, a, _ in self.spans if p == path and start_s <= a < end_s)
            if wall_s > 0 or count:
                rows.append(Occupied(self._index(path), s_to_ns(wall_s), s_to_ns(wall_s), count))
        return Occupancy(self._t(end_s), rows)


def drawn(run: Run, device_id: str) -> Quantity:
    quantity = next(d.drawn for d in run.devices if d.device.id == device_id)
    assert isinstance(quantity, Quantity), quantity
    return quantity


def holds(quantity: Quantity, truth_j: float) -> bool:
    """Whether the hard bound holds the truth (to rounding of the counter)."""
    slack_j = 1e-6 + 1e-9 * truth_j
    return (
        quantity.value - quantity.bound_low - slack_j
        <= truth_j
        <= quantity.value + quantity.bound_high + slack_j
    )
