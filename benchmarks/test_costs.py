# SPDX-License-Identifier: Apache-2.0
"""What single operations cost: `make bench`. Figures are for people; budgets are in tests."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import submeter
from benchmarks.budgets import budget_machine
from submeter.metering.settle import Settler
from submeter.records.devices import Channel, Device, DeviceKind, Measures, Sensor
from submeter.records.frames import (
    FRAME_SCHEMA,
    End,
    Frame,
    Head,
    SensorHead,
    Started,
    Ticks,
    delta_encode,
    gappy_delta_encode,
)
from submeter.records.runs import Run
from submeter.sensors import Roots, discover
from submeter.storing.journal import JournalWriter, read_frames
from submeter.storing.ledger import Ledger, open_ledger
from submeter.units import NS_PER_S

START_NS = 1_000 * NS_PER_S
UTC_NS = 1_790_000_000 * NS_PER_S
HZ = 10


@pytest.fixture
def sensors(tmp_path: Path) -> Iterator[list[Sensor]]:
    """Those of a machine with one board and two zones."""
    with budget_machine(tmp_path / "machine") as machine:
        found = discover(Roots(sys=machine.sys, proc=Path("/proc"), nvml=True))
        try:
            yield found.sensors
        finally:
            found.close()


def sensor_of(sensors: list[Sensor], kind: DeviceKind) -> Sensor:
    return next(s for s in sensors if s.device.kind is kind)


def test_read_a_zone(benchmark: Any, sensors: list[Sensor]) -> None:
    counts = benchmark(sensor_of(sensors, DeviceKind.CPU).read)
    assert isinstance(counts[0], int)


def test_read_a_board(benchmark: Any, sensors: list[Sensor]) -> None:
    counts = benchmark(sensor_of(sensors, DeviceKind.GPU).read)
    assert isinstance(counts[0], int)


def test_a_phase_in_a_run(benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBMETER_HOME", str(tmp_path))

    def once() -> None:
        with submeter.phase("step"):
            pass

    with submeter.measure("bench"):
        benchmark(once)


def test_a_phase_without_a_run(benchmark: Any) -> None:
    def once() -> None:
        with submeter.phase("step"):
            pass

    benchmark(once)


def head(device: Device, channel: Channel) -> Head:
    return Head(
        schema=FRAME_SCHEMA,
        run_id="20260921-141320-beef",
        generation=0,
        host="bench",
        boot_id="boot",
        collector_pid=2,
        leader_pid=1,
        utc_ns=UTC_NS,
        t_ns=START_NS,
        interval_s=1 / HZ,
        devices=(device,),
        sensors=(SensorHead(device.id, (channel,)),),
    )


def second_of_ticks(second: int) -> Ticks:
    """Ten readings of a counter at 123.4 W."""
    first_ns = START_NS + second * NS_PER_S
    times = [first_ns + i * NS_PER_S // HZ for i in range(HZ)]
    counts: list[int | None] = [round(123.4 * (t - START_NS)) // 1000 for t in times]
    return Ticks(0, delta_encode(times), 20_000, [gappy_delta_encode(counts)])


def frames_of(duration_s: int) -> list[Frame]:
    device = Device("cpu:0", DeviceKind.CPU, "a processor", "bench", peak_w=400.0)
    channel = Channel("cpu:0", Measures.ENERGY, 1e-6, modulus=2**38, update_s=0.001)
    end_ns = START_NS + duration_s * NS_PER_S
    return [
        head(device, channel),
        Started(START_NS),
        *(second_of_ticks(i) for i in range(duration_s + 1)),
        End(end_ns, "finished", 0),
    ]


def settled(frames: list[Frame]) -> Run:
    settler = Settler()
    for frame in frames:
        settler.feed(frame)
    return settler.finish()


def test_settle_an_hour(benchmark: Any) -> None:
    run = benchmark.pedantic(settled, (frames_of(3600),), rounds=5)
    (device,) = run.devices
    assert device.drawn.value == pytest.approx(123.4 * 3600, rel=1e-3)


def test_append_a_second_to_a_journal(benchmark: Any, tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "journal")
    seconds = itertools.count()
    writer.append(*frames_of(0)[:1])
    benchmark(lambda: writer.append(second_of_ticks(next(seconds))))
    writer.close()


def test_read_an_hour_of_journal(benchmark: Any, tmp_path: Path) -> None:
    frames = frames_of(3600)
    writer = JournalWriter(tmp_path / "journal")
    writer.append(*frames)
    writer.close()
    content = benchmark(lambda: list(read_frames(tmp_path / "journal").frames))
    assert len(content) == len(frames)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(tmp_path / "ledger.db") as opened:
        yield opened


def runs() -> Iterator[Run]:
    for i in itertools.count():
        yield Run(
            id=f"20260921-{i:06d}-{i % 65536:04x}",
            origin="measured",
            status="finished",
            started_utc="2026-09-21T14:13:20Z",
            duration_s=60.0,
            name=f"run {i}",
            tags={"model": "resnet18"},
        )


def test_put_a_run_into_the_ledger(benchmark: Any, ledger: Ledger) -> None:
    some = runs()
    benchmark(lambda: ledger.put(next(some)))


def test_list_the_last_of_a_thousand_runs(benchmark: Any, ledger: Ledger) -> None:
    for run in itertools.islice(runs(), 1000):
        ledger.put(run)
    rows = benchmark(lambda: ledger.list(limit=20))
    assert len(rows) == 20
