# SPDX-License-Identifier: Apache-2.0
"""How far off submeter is on machines whose energy is known in closed form.

    python -m benchmarks.accuracy            writes the table of docs/accuracy.md

Real sensors read a `submeter.testing.FakeMachine` in virtual time, with late and slow reads, and
the journal's frames are settled as after any run. Truth is the integral of each device's
waveform.
"""

import argparse
import math
import random
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from submeter.metering.settle import Settler
from submeter.records.devices import Sensor
from submeter.records.figures import Missing, Quantity, total
from submeter.records.frames import (
    FRAME_SCHEMA,
    End,
    Frame,
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
from submeter.testing.clock import VirtualClock
from submeter.testing.machine import FakeMachine
from submeter.testing.waveforms import Waveform, burst, constant, ramp, square
from submeter.units import NS_PER_S, ns_to_s, s_to_ns

PAGE = Path(__file__).resolve().parents[1] / "docs" / "accuracy.md"
BEGIN = "<!-- table of known machines: begin (made by benchmarks/accuracy.py) -->"
END = "<!-- table of known machines: end -->"
SEED = 20261123
UNKNOWN_GAIN = {"rapl": 0.03, "board": 0.05}  # normal sd; half width of a uniform
GAINS = (
    "With the gain of each sensor drawn from its published spread "
    "(boards uniform within ±5 %, packages normal with 3 %),"
)

COUNTER_RATIO, COUNTER_BOUND_RATIO = 0.001, 0.002
POLLED_RATIO, POLLED_BOUND_RATIO = 0.02, 0.04


class Column:
    """Readings of one sensor until the next frame."""

    def __init__(self, index: int, sensor: Sensor) -> None:
        self.index, self.sensor = index, sensor
        self.clear()

    def clear(self) -> None:
        self.t_ns: list[int] = []
        self.half_ns = 0
        self.values: list[list[int | None]] = [[] for _ in self.sensor.channels]

    def read(self, t_ns: int, half_ns: int) -> None:
        counts = self.sensor.read()
        self.t_ns.append(t_ns)
        self.half_ns = max(self.half_ns, half_ns)
        for series, count in zip(self.values, counts, strict=True):
            series.append(None if isinstance(count, Missing) else count)

    def frame(self) -> Ticks:
        values = [gappy_delta_encode(series) for series in self.values]
        ticks = Ticks(self.index, delta_encode(self.t_ns), self.half_ns, values)
        self.clear()
        return ticks


def head_of(found: Discovery, clock: VirtualClock, interval_s: float) -> Head:
    return Head(
        schema=FRAME_SCHEMA,
        run_id="20260921-141320-acc0",
        generation=0,
        host="fake",
        boot_id="boot",
        collector_pid=2,
        leader_pid=1,
        utc_ns=clock.utc_ns(),
        t_ns=clock.monotonic_ns(),
        interval_s=interval_s,
        machine=dict(found.machine),
        devices=found.devices,
        sensors=tuple(SensorHead(s.device.id, tuple(s.channels)) for s in found.sensors),
    )


def frames(
    found: Discovery,
    clock: VirtualClock,
    *,
    duration_s: float,
    interval_s: float,
    chance: random.Random,
) -> Iterable[Frame]:
    """What a collector writes: readings from just before the start to just after the end.

    Ticks come up to 5 ms late, one in fifty up to 60 ms, and reads take up to a millisecond.
    """
    columns = [Column(i, sensor) for i, sensor in enumerate(found.sensors)]

    def read_all() -> None:
        for column in columns:
            half_ns = chance.randrange(10_000, 500_000)
            clock.wait_until(clock.monotonic_ns() + half_ns)
            column.read(clock.monotonic_ns(), half_ns)
            clock.wait_until(clock.monotonic_ns() + half_ns)

    yield head_of(found, clock, interval_s)
    read_all()
    clock.advance(0.0013)
    start_ns = clock.monotonic_ns()
    yield Started(start_ns)
    end_ns = start_ns + s_to_ns(duration_s)
    due_ns, written_ns = start_ns, start_ns
    while (due_ns := due_ns + s_to_ns(interval_s)) < end_ns:
        late_s = chance.uniform(0, 0.060 if chance.random() < 0.02 else 0.005)
        clock.wait_until(min(due_ns + s_to_ns(late_s), end_ns))
        read_all()
        if clock.monotonic_ns() - written_ns >= NS_PER_S:
            written_ns = clock.monotonic_ns()
            yield from (column.frame() for column in columns)
            yield Use(written_ns)
    clock.wait_until(end_ns)
    ended_ns = clock.monotonic_ns()
    clock.advance(0.0009)
    read_all()
    yield from (column.frame() for column in columns)
    yield Use(clock.monotonic_ns())
    yield End(max(end_ns, ended_ns), "finished", 0)


class Known(NamedTuple):
    """A settled run and the true energy of its devices over the same time [J]."""

    run: Run
    truths: dict[str, float]


def metered(
    machine: FakeMachine,
    *,
    duration_s: float = 10.0,
    interval_s: float = 0.1,
    before_s: float = 100.0,
    seed: int = SEED,
) -> Known:
    """Meter *machine* for *duration_s* of its time, *before_s* after its start."""
    clock = VirtualClock()
    machine.follow(clock)
    clock.advance(before_s)
    zero_ns = clock.start_ns
    chance = random.Random(seed)  # noqa: S311
    with machine.installed():
        roots = machine.roots()
        found = discover(Roots(sys=roots.sys, proc=roots.proc, nvml=roots.nvml))
        settler, span_ns = Settler(), [0, 0]
        try:
            for frame in frames(
                found, clock, duration_s=duration_s, interval_s=interval_s, chance=chance
            ):
                settler.feed(frame)
                if isinstance(frame, Started):
                    span_ns[0] = frame.t_ns
                elif isinstance(frame, End):
                    span_ns[1] = frame.t_ns
        finally:
            found.close()
    t0_s, t1_s = (ns_to_s(t - zero_ns) for t in span_ns)
    truths = {name: machine.truth_j(name, t0_s, t1_s) for name in machine.device_ids()}
    return Known(settler.finish(), truths)


class Scenario(NamedTuple):
    """A machine, and which of its devices are judged by which bar."""

    name: str
    build: Callable[[FakeMachine], None]
    polled: bool = False


class Row(NamedTuple):
    """The worst device of a scenario."""

    scenario: str
    devices: int
    energy_j: float
    error_ratio: float
    bound_ratio: float
    held: bool
    polled: bool

    def good(self) -> bool:
        error, bound = (
            (POLLED_RATIO, POLLED_BOUND_RATIO)
            if self.polled
            else (COUNTER_RATIO, COUNTER_BOUND_RATIO)
        )
        return self.held and abs(self.error_ratio) <= error and self.bound_ratio <= bound


WAVES: tuple[tuple[str, Waveform], ...] = (
    ("constant 150 W", constant(150.0)),
    ("square, 2 Hz, 60 and 240 W", square(0.5, 60.0, 240.0)),
    ("square, 0.3 s, 60 and 240 W", square(0.3, 60.0, 240.0)),
    ("ramp, 60 to 240 W in 8 s", ramp(101.0, 109.0, 60.0, 240.0)),
    ("bursts of 50 ms, 60 and 240 W", burst(60.0, 240.0, length_s=0.05, every_s=0.4)),
)

SLOW_WAVES: tuple[tuple[str, Waveform], ...] = (
    ("constant 150 W", constant(150.0)),
    ("square, 4 s, 60 and 240 W", square(4.0, 60.0, 240.0)),
    ("ramp, 60 to 240 W in 8 s", ramp(101.0, 109.0, 60.0, 240.0)),
)


def zones(wave: Waveform) -> Callable[[FakeMachine], None]:
    def build(machine: FakeMachine) -> None:
        machine.add_dram(machine.add_package(wave), wave * 0.2)

    return build


def board(wave: Waveform, profile: str = "A100") -> Callable[[FakeMachine], None]:
    def build(machine: FakeMachine) -> None:
        machine.add_board(wave, profile=profile)

    return build


def wrapping(machine: FakeMachine) -> None:
    machine.add_package(square(0.5, 60.0, 240.0), range_uj=400_000_000, limit_w=270.0)


def resetting(machine: FakeMachine) -> None:
    machine.add_package(square(0.5, 60.0, 240.0)).reset(104.03)


def eight(machine: FakeMachine) -> None:
    for i in range(8):
        machine.add_board(
            square(0.5, 60.0, 200.0 + 10 * i).shifted(0.03 * i), counter_phase_s=0.0125 * i
        )


SCENARIOS = (
    *(Scenario(f"RAPL: {name}", zones(wave)) for name, wave in WAVES),
    *(Scenario(f"board's counter: {name}", board(wave)) for name, wave in WAVES),
    Scenario("RAPL wraps four times", wrapping),
    Scenario("RAPL starts again from 0", resetting),
    Scenario("eight boards", eight),
    *(
        Scenario(f"{kind}, polled: {name}", board(wave, kind), polled=True)
        for kind in ("P100",)
        for name, wave in SLOW_WAVES
    ),
)


def judged(scenario: Scenario, *, duration_s: float) -> Row:
    """Meter *scenario*'s machine and compare its worst device with the truth."""
    with tempfile.TemporaryDirectory(prefix="submeter-accuracy-") as folder:
        machine = FakeMachine(Path(folder) / "machine")
        try:
            scenario.build(machine)
            known = metered(machine, duration_s=duration_s)
        finally:
            machine.close()
    worst: Row | None = None
    seen = 0
    for device in known.run.devices:
        truth_j = known.truths.get(device.device.id)
        if truth_j is None:
            continue
        seen += 1
        row = compared(scenario, device.drawn, truth_j)
        if worst is None or abs(row.error_ratio) > abs(worst.error_ratio) or not row.held:
            worst = row
    if worst is None or seen < len(known.truths):
        raise RuntimeError(f"{scenario.name}: {seen} of {len(known.truths)} devices were found")
    return worst._replace(devices=seen)


def compared(scenario: Scenario, drawn: Quantity | Missing, truth_j: float) -> Row:
    if isinstance(drawn, Missing):
        return Row(scenario.name, 1, truth_j, -1.0, math.inf, held=False, polled=scenario.polled)
    low_j, high_j = drawn.value - drawn.bound_low, drawn.value + drawn.bound_high
    slack_j = 1e-9 * truth_j
    return Row(
        scenario.name,
        1,
        truth_j,
        drawn.value / truth_j - 1,
        max(drawn.bound_low, drawn.bound_high) / truth_j,
        held=low_j - slack_j <= truth_j <= high_j + slack_j,
        polled=scenario.polled,
    )


def table(rows: Sequence[Row]) -> str:
    lines = [
        "| scenario | devices | true energy of the worst | its error | bound | truth inside |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        error = f"{100 * row.error_ratio:+.3f} %".replace("-", "−")
        lines.append(
            f"| {row.scenario} | {row.devices} | {row.energy_j:.1f} J | {error} "
            f"| ±{100 * row.bound_ratio:.3f} % | {'yes' if row.held else 'NO'} |"
        )
    return "\n".join(lines)


def all_rows(duration_s: float = 10.0) -> list[Row]:
    return [judged(scenario, duration_s=duration_s) for scenario in SCENARIOS]


def verdict() -> tuple[str, bool]:
    """The worst errors over all scenarios, and whether each bar is cleared."""
    rows = all_rows()
    told = []
    for name, polled in (("counters", False), ("polled", True)):
        some = [r for r in rows if r.polled is polled]
        error = max(abs(r.error_ratio) for r in some)
        bound = max(r.bound_ratio for r in some)
        held = sum(r.held for r in some)
        told.append(
            f"{name}: error ≤ {100 * error:.3f} %, bound ≤ {100 * bound:.2f} %, "
            f"truth inside {held} of {len(some)}"
        )
    return "; ".join(told), all(row.good() for row in rows)


def covered(truths: int = 1000, *, seed: int = SEED) -> tuple[int, int]:
    """How many of simulated truths with unknown gains lie inside their 95 % interval."""
    chance = random.Random(seed)  # noqa: S311
    inside = 0
    for i in range(truths):
        with tempfile.TemporaryDirectory(prefix="submeter-accuracy-") as folder:
            machine = FakeMachine(Path(folder) / "machine")
            try:
                span = UNKNOWN_GAIN["board"]
                machine.add_board(
                    square(0.5, 60.0, 240.0),
                    gain=1 / (1 + chance.uniform(-span, span)),
                    counter_phase_s=chance.uniform(0, 0.1),
                )
                rapl = 1 / (1 + chance.gauss(0, UNKNOWN_GAIN["rapl"]))
                machine.add_package(constant(chance.uniform(60, 200)), gain=rapl)
                known = metered(machine, duration_s=10.0, interval_s=0.5, seed=seed + i)
            finally:
                machine.close()
        drawn = [d.drawn for d in known.run.devices if d.device.id in known.truths]
        whole = total(q for q in drawn if isinstance(q, Quantity)).figure("J")
        inside += whole.low <= math.fsum(known.truths.values()) <= whole.high
    return inside, truths


def gain_verdict() -> tuple[str, bool]:
    """How often nominal 95 % intervals hold the truth."""
    inside, truths = covered()
    ratio = inside / truths
    return f"{100 * ratio:.1f} % of {truths} truths inside", 0.93 <= ratio <= 0.97


def main() -> int:
    parser = argparse.ArgumentParser(description="Errors on machines with known energy.")
    parser.add_argument("--truths", type=int, default=1000)
    options = parser.parse_args()
    rows = all_rows()
    long = all_rows(60.0)
    inside, truths = covered(options.truths)
    held = f"{100 * inside / truths:.1f} % of {truths} simulated truths"
    text = "\n\n".join(
        (
            "Runs of 10 s, read ten times a second:",
            table(rows),
            "The same for runs of 60 s:",
            table(long),
            f"{GAINS} the 95 % interval of the devices' energy holds {held}.",
        )
    )
    page = PAGE.read_text(encoding="utf-8")
    begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    PAGE.write_text(f"{page[:begin]}\n\n{text}\n\n{page[end:]}", encoding="utf-8")
    print(text)
    return 0 if all(row.good() for row in (*rows, *long)) else 1


if __name__ == "__main__":
    sys.exit(main())
