# SPDX-License-Identifier: Apache-2.0
"""Meters a `FakeMachine` in virtual time: real sensors, real settlement, no waiting."""

from collections.abc import Sequence

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
from submeter.units import NS_PER_S, s_to_ns

UP_NS = 1000 * NS_PER_S  # the machine's time 0 on the monotonic clock
UTC_NS = 1_795_000_000 * NS_PER_S
READ_NS = 20_000  # half of what a read takes on a quiet machine


def metered(
    machine: FakeMachine, *, start_s: float, length_s: float, interval_s: float = 0.1
) -> Run:
    """A run of *length_s* from *start_s* on, read every *interval_s*."""
    machine.at(start_s)
    roots = Roots(sys=machine.sys, proc=machine.proc, nvml=bool(machine.boards))
    found = discover(roots, now_ns=lambda: _t(machine.t_s))
    try:
        return _settled(machine, found, start_s, length_s, interval_s)
    finally:
        found.close()


def _settled(
    machine: FakeMachine, found: Discovery, start_s: float, length_s: float, interval_s: float
) -> Run:
    settler = Settler()
    settler.feed(_head(found, start_s, interval_s))
    n = round(length_s / interval_s)
    second: list[float] = []
    for i in range(n + 1):
        t_s = start_s + min(length_s, i * interval_s)
        machine.at(t_s)
        second.append(t_s)
        _read(found.sensors, i == 0 or len(second) == 1)
        if i == 0:
            _flush(settler, found.sensors, second)
            settler.feed(Started(_t(start_s)))
        elif len(second) >= round(1 / interval_s) or i == n:
            _flush(settler, found.sensors, second)
            settler.feed(Use(_t(t_s)))
    settler.feed(End(_t(start_s + length_s), "finished", 0))
    return settler.finish()


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
