# SPDX-License-Identifier: Apache-2.0
"""Meters a `FakeMachine` in virtual time: real sensors, real settlement, no waiting."""

from collections.abc import Sequence

from submeter.collecting._edges import EDGE_STEP_NS, edge_watch_ns
from submeter.metering.settle import Settler
from submeter.records.devices import Sensor
from submeter.records.figures import Missing
from submeter.records.frames import (
    End,
    Head,
    SensorHead,
    Started,
    Ticks,
    Use,
    delta_encode,
    gappy_delta_encode,
)
from submeter.records.runs import Run
from submeter.sensors import Discovery, Roots, discover
from submeter.testing import FakeMachine
from submeter.units import NS_PER_S, ns_to_s, s_to_ns

UP_NS = 1000 * NS_PER_S  # the machine's time 0 on the monotonic clock
UTC_NS = 1_795_000_000 * NS_PER_S
READ_NS = 20_000  # half of what a read takes on a quiet machine


def metered(
    machine: FakeMachine,
    *,
    start_s: float,
    length_s: float,
    interval_s: float = 0.1,
    closely: bool = True,
) -> Run:
    """A run of *length_s* from *start_s* on, read every *interval_s*, at its ends *closely*."""
    machine.at(start_s)
    roots = Roots(sys=machine.sys, proc=machine.proc, nvml=bool(machine.boards))
    found = discover(roots, now_ns=lambda: _t(machine.t_s))
    try:
        ticks = [min(length_s, i * interval_s) for i in range(round(length_s / interval_s) + 1)]
        instants = _close_at_ends(ticks, found.sensors) if closely else ticks
        return _settled(machine, found, start_s, length_s, interval_s, instants)
    finally:
        found.close()


def _settled(
    machine: FakeMachine,
    found: Discovery,
    start_s: float,
    length_s: float,
    interval_s: float,
    instants: Sequence[float],
) -> Run:
    settler = Settler()
    settler.feed(_head(found, start_s, interval_s))
    second: list[float] = []
    for i, at_s in enumerate(instants):
        t_s = start_s + at_s
        machine.at(t_s)
        second.append(t_s)
        _read(found.sensors, len(second) == 1)
        if i == 0:
            _flush(settler, found.sensors, second)
            settler.feed(Started(_t(start_s)))
        elif at_s == instants[-1] or (at_s < length_s and t_s - second[0] > 1 - 1.5 * interval_s):
            _flush(settler, found.sensors, second)
            settler.feed(Use(_t(t_s)))
    settler.feed(End(_t(start_s + length_s), "finished", 0))
    return settler.finish()


def _close_at_ends(ticks: Sequence[float], sensors: Sequence[Sensor]) -> list[float]:
    """*ticks*, and what the collector of ``submeter run`` reads beside them."""
    step_s, watch_s = ns_to_s(EDGE_STEP_NS), ns_to_s(edge_watch_ns(sensors))
    close = [i * step_s for i in range(1, int(watch_s / step_s) + 1)]
    end_s = ticks[-1]
    return sorted({*ticks, *(t for t in close if t < end_s), *(end_s + t for t in close)})


def _t(t_s: float) -> int:
    return UP_NS + s_to_ns(t_s)


def _head(found: Discovery, start_s: float, interval_s: float) -> Head:
    return Head(
        schema=1,
        run_id="20261123-000000-0000",
        generation=0,
        host="fake",
        boot_id="fake",
        collector_pid=1,
        leader_pid=2,
        utc_ns=UTC_NS,
        t_ns=_t(start_s),
        interval_s=interval_s,
        devices=found.devices,
        sensors=tuple(SensorHead(s.device.id, tuple(s.channels)) for s in found.sensors),
    )


_rows: dict[int, list[list[int | None]]] = {}


def _read(sensors: Sequence[Sensor], fresh: bool) -> None:  # noqa: FBT001
    for place, sensor in enumerate(sensors):
        values = sensor.read()
        if fresh:
            _rows[place] = [[] for _ in values]
        for column, value in zip(_rows[place], values, strict=True):
            column.append(None if isinstance(value, Missing) else value)


def _flush(settler: Settler, sensors: Sequence[Sensor], second: list[float]) -> None:
    instants = delta_encode([_t(t_s) for t_s in second])
    for place in range(len(sensors)):
        coded = [gappy_delta_encode(column) for column in _rows[place]]
        settler.feed(Ticks(place, list(instants), READ_NS, coded))
    second.clear()
