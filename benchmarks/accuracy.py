# SPDX-License-Identifier: Apache-2.0
"""How wrong we are, on machines whose energy is known in closed form: docs/accuracy.md.

Run with ``python -m benchmarks.accuracy``; ``--check`` only says whether the bars are cleared.
"""

import argparse
import math
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.rig import metered
from submeter.catalog.boards import match_board
from submeter.records.figures import Missing, Quantity
from submeter.records.runs import Run
from submeter.testing import Board, FakeMachine
from submeter.testing.waveforms import Waveform, burst, constant, ramp, square

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "accuracy.md"
START_S: Final = 5.0373  # of no sensor's period a multiple
COUNTER_ERROR: Final = 0.001
COUNTER_BOUND: Final = 0.002
BOARD_BOUND_FROM_S: Final = 120.0  # shorter runs of boards are shown with the bound that they have
POLLED_ERROR: Final = 0.02
POLLED_BOUND: Final = 0.04
COVERAGE_S: Final = 600.0  # long enough that the ends of a run do not hide the gain
RAPL_RANGE_UJ: Final = 262_143_328_850


def fast(length_s: float) -> dict[str, Waveform]:
    """Loads of all speeds."""
    return {
        "constant 180 W": constant(180.0),
        "square 2 Hz": square(0.5, 60.0, 300.0),
        "square 0.3 s": square(0.3, 60.0, 300.0),
        "ramp 60–300 W": ramp(START_S, START_S + length_s, 60.0, 300.0),
        "50 ms bursts": burst(60.0, 300.0, length_s=0.05, every_s=0.4),
    }


def slow(length_s: float) -> dict[str, Waveform]:
    """Loads slower than any board's averaging window."""
    return {
        "constant 180 W": constant(180.0),
        "square 20 s": square(20.0, 60.0, 300.0),
        "ramp 60–300 W": ramp(START_S, START_S + length_s, 60.0, 300.0),
    }


class Row(NamedTuple):
    """One device in one scenario."""

    scenario: str
    device: str
    length_s: float
    truth_j: float
    value_j: float
    low_j: float
    high_j: float
    note: str = ""

    @property
    def error(self) -> float:
        """Relative error."""
        return self.value_j / self.truth_j - 1

    @property
    def bound(self) -> float:
        """Wider side of the hard bound, relative to the truth."""
        return max(self.value_j - self.low_j, self.high_j - self.value_j) / self.truth_j

    @property
    def holds(self) -> bool:
        """Whether the bound holds the truth, to one count of a sensor."""
        slack_j = 1e-3 + 1e-9 * self.truth_j
        return self.low_j - slack_j <= self.truth_j <= self.high_j + slack_j


Build = Callable[[FakeMachine], None]


def rows_of(
    scenario: str, build: Build, *, length_s: float, until_s: dict[str, float] | None = None
) -> Iterator[Row]:
    """Meter a machine; *until_s* says when a device is lost, and its truth ends."""
    with tempfile.TemporaryDirectory() as folder:
        machine = FakeMachine(Path(folder) / "machine")
        build(machine)
        with machine.installed():
            run = metered(machine, start_s=START_S, length_s=length_s)
        for device in run.devices:
            name = device.device.id
            drawn = device.drawn
            if name.startswith(("rest:", "node:")) or not isinstance(drawn, Quantity):
                continue
            if name not in machine.device_ids():
                continue
            end_s = (until_s or {}).get(name, START_S + length_s)
            yield Row(
                scenario,
                _label(name, device.device.name, device.method),
                length_s,
                machine.truth_j(name, START_S, end_s),
                drawn.value,
                drawn.value - drawn.bound_low,
                drawn.value + drawn.bound_high,
                ", ".join(f"{k} {v}" for k, v in sorted(device.flags.items())),
            )
        machine.close()


def _label(device_id: str, name: str, method: str) -> str:
    if device_id.startswith("gpu:"):
        return f"{name.removeprefix('NVIDIA ').split('-')[0]}, {method}"
    return "RAPL package" if device_id.startswith("cpu:") else "RAPL dram"


def packages(wave: Waveform) -> Build:
    """Two sockets that both wrap within the first seconds, with memory."""

    def build(machine: FakeMachine) -> None:
        for socket in (0, 1):
            zone = machine.add_package(
                wave, socket=socket, range_uj=RAPL_RANGE_UJ, start_uj=RAPL_RANGE_UJ - 900_000_000
            )
            machine.add_dram(zone, wave * 0.25)

    return build


def boards(wave: Waveform, n: int, **quirks: Any) -> Build:
    """*n* boards, refreshed out of step with each other."""

    def build(machine: FakeMachine) -> None:
        for i in range(n):
            machine.add_board(wave, counter_phase_s=0.013 * i, **quirks)

    return build


def counter_rows() -> Iterator[Row]:
    """Counters under loads of all speeds."""
    for name, wave in fast(10.0).items():
        yield from rows_of(name, packages(wave), length_s=10.0)
    for length_s in (10.0, 60.0, 120.0, 600.0):
        for name, wave in fast(length_s).items():
            yield from rows_of(name, boards(wave, 1), length_s=length_s)
    yield from rows_of("8 boards, square 2 Hz", boards(square(0.5, 60, 300), 8), length_s=120.0)


def polled_rows() -> Iterator[Row]:
    """Boards that tell power only, under loads slower than their window."""
    for name, wave in slow(60.0).items():
        yield from rows_of(name, boards(wave, 1, profile="P100"), length_s=60.0)
        yield from rows_of(name, boards(wave, 1, energy_code=3), length_s=60.0)
    for name, wave in slow(120.0).items():
        mean = boards(wave, 1, profile="RTX 3090", energy_code=3, instant_code=3)
        yield from rows_of(f"{name}, 1 s mean", mean, length_s=120.0)


def fault_rows() -> Iterator[Row]:
    """Counters and boards that misbehave."""

    def with_reset(machine: FakeMachine) -> None:
        zone = machine.add_package(constant(180.0))
        zone.reset(60.0)

    def with_step_back(machine: FakeMachine) -> None:
        zone = machine.add_package(constant(180.0))
        zone.step_back(60.0, 50_000_000)

    def with_jump(machine: FakeMachine) -> None:
        zone = machine.add_package(constant(180.0))
        zone.jump(60.0, 9_000_000_000_000, until_s=60.05)

    def with_failed_reads(machine: FakeMachine) -> None:
        zone = machine.add_package(constant(180.0))
        zone.fail(60.0, until_s=75.0)

    def with_freeze(machine: FakeMachine) -> None:
        machine.add_board(constant(180.0), frozen_at_s=60.0, frozen_until_s=90.0)

    def with_lost_board(machine: FakeMachine) -> None:
        machine.add_board(constant(180.0), lost_at_s=60.0)
        machine.add_board(constant(180.0))

    yield from rows_of("counter reset (A04)", with_reset, length_s=120.0)
    yield from rows_of("counter steps back 50 J (A05)", with_step_back, length_s=120.0)
    yield from rows_of("absurd reading (A09)", with_jump, length_s=120.0)
    yield from rows_of("15 s of failed reads (A13)", with_failed_reads, length_s=120.0)
    yield from rows_of("counter frozen for 30 s (A06)", with_freeze, length_s=600.0)
    last_read_s = START_S + math.floor((60.0 - START_S) / 0.1) * 0.1
    lost = {"gpu:" + _first_uuid(with_lost_board): last_read_s}
    yield from rows_of(
        "board lost after 55 s (A23)", with_lost_board, length_s=600.0, until_s=lost
    )


def _first_uuid(build: Build) -> str:
    with tempfile.TemporaryDirectory() as folder:
        machine = FakeMachine(Path(folder) / "machine")
        build(machine)
        machine.driver()  # gives the boards their names
        return machine.boards[0].uuid


def coverage(n_runs: int, n_boards: int, *, seed: int = 20261123) -> float:
    """Part of *n_runs* whose 95 % interval holds the truth, gains drawn from their spread."""
    rng = random.Random(seed)  # noqa: S311 - a simulation
    half_width = match_board(Board().name).gain.relative_sd * math.sqrt(3)  # uniform
    held = 0
    for _ in range(n_runs):
        gains = [1 + rng.uniform(-half_width, half_width) for _ in range(n_boards)]

        def build(machine: FakeMachine, gains: list[float] = gains) -> None:
            for i, gain in enumerate(gains):
                machine.add_board(square(0.5, 60.0, 300.0), gain=gain, counter_phase_s=0.013 * i)

        with tempfile.TemporaryDirectory() as folder:
            machine = FakeMachine(Path(folder) / "machine")
            build(machine)
            with machine.installed():
                run = metered(
                    machine,
                    start_s=START_S,
                    length_s=COVERAGE_S,
                    interval_s=10.0,
                    closely=False,  # a thousand times; the ends are nothing beside the gain
                )
            truth_j = math.fsum(
                machine.truth_j(f"gpu:{b.uuid}", START_S, START_S + COVERAGE_S)
                for b in machine.boards
            )
            machine.close()
        held += _holds(run, truth_j)
    return held / n_runs


def _holds(run: Run, truth_j: float) -> bool:
    from submeter.records.figures import total

    parts = [d.drawn for d in run.devices if d.device.id.startswith("gpu:")]
    known = [p for p in parts if not isinstance(p, Missing)]
    figure = total(known).figure("J")
    return figure.low <= truth_j <= figure.high


def failures(rows: list[Row], *, error: float, bound: float) -> list[str]:
    """What misses the bars."""
    out = []
    for row in rows:
        where = f"{row.scenario}, {row.device}, {row.length_s:g} s"
        if not row.holds:
            out.append(f"{where}: the bound does not hold the truth")
        if abs(row.error) > error:
            out.append(f"{where}: error {100 * row.error:+.3f} %")
        if row.bound > bound:
            out.append(f"{where}: bound {100 * row.bound:.3f} %")
    return out


def judged(rows: list[Row]) -> list[Row]:
    """Rows that the bar for bounds is about: a run long enough for its sensor.

    A board's counter moves every 100 ms. Where it stood between two moves is known to what it
    moved by: 0.2 % of a run of 10 s is 20 ms. Errors are judged in all rows.
    """
    return [r for r in rows if r.device.startswith("RAPL") or r.length_s >= BOARD_BOUND_FROM_S]


def table(rows: list[Row]) -> str:
    """Markdown table."""
    lines = [
        "| load or fault | device | run | truth | error | bound | holds | seen |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- | --- |",
    ]
    lines += [
        f"| {r.scenario} | {r.device} | {r.length_s:g} s | {r.truth_j:.0f} J | "
        f"{100 * r.error:+.3f} % | ±{100 * r.bound:.3f} % | {'yes' if r.holds else '**no**'} | "
        f"{r.note} |"
        for r in dict.fromkeys(rows)
    ]
    return "\n".join(lines)


def page(
    counter: list[Row], polled: list[Row], faults: list[Row], shares: dict[int, float]
) -> str:
    """Whole page."""
    covered = "\n".join(f"| {n} | {100 * share:.1f} % |" for n, share in shares.items())
    return f"""# How accurate it is

*Made by `make figures` (`python -m benchmarks.accuracy`); do not edit.*

A simulated machine draws power along a curve whose energy is known in closed form.
The real sensors read its counters (a powercap tree, and a driver library behind the real
bindings) and the real settlement makes a run of them.
*Error* is value over truth less one.
*Bound* is what reading and integration may have missed at most, the gain of the sensor apart;
it has to hold the truth in every row.

## Counters

A RAPL counter moves every millisecond, and is right from the shortest run on.
A board's counter moves every 100 ms.
The collector reads it every 2 ms at both ends of a run, until it has moved, and so knows when.
What was drawn between two moves is exact; what an end cuts off of the last one is not:
[why, and how much](design.md#where-a-run-ends-between-two-moves-of-a-counter).
The simulated counter moves at even steps, which is why the errors are so small; one that does not
is off by more, and by no more than the bound.
The bar of 0.1 % error holds from 10 s on for both.
That of 0.2 % bound holds for RAPL from 10 s on and for boards from 120 s on;
shorter runs are shown with the doubt that they have.
`submeter run` awaits the last move. `measure` does not keep its caller waiting for it, and its
bound at the end is as wide as the counter's ceiling for a tenth of a second.

{table(counter)}

## Boards without a counter

Power is read ten times a second and integrated, shifted by half of the board's own averaging
window; these loads are slower than it. A load that is faster, and in step with the readings, looks
like another load: neither the figure nor its bound can then be trusted, and only a counter helps.

{table(polled)}

## Faults

What is known to happen to counters, with the identifiers of the list of faults.
A hole is filled by the power on both of its sides, and the bound takes everything that the
counter does not rule out.

{table(faults)}

## Nominal intervals

Each board's gain is drawn from its published spread (uniform, as wide as the catalog has it) in
1 000 simulated runs of ten minutes.
A 95 % interval has to hold the truth in 93 to 97 % of them.

| boards | 95 % intervals that hold the truth |
| ---: | ---: |
{covered}

## Processors without a counter

Two models that are never pooled, each judged on machines or processor families that its fit had
not seen; [how they were fitted, and every group](accuracy-cpu.md).

{models()}
"""


def models() -> str:
    """Summary of the processor models, from the page that their fit writes."""
    lines = (ROOT / "docs" / "accuracy-cpu.md").read_text(encoding="utf-8").splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("| model |"))
    last = next(i for i in range(first, len(lines)) if not lines[i].startswith("|"))
    return "\n".join(lines[first:last])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--runs", type=int, default=1000)
    options = parser.parse_args()
    counter, polled, faults = list(counter_rows()), list(polled_rows()), list(fault_rows())
    shares = {n: coverage(options.runs, n) for n in (1, 2, 8)}
    bad = failures(judged(counter), error=math.inf, bound=COUNTER_BOUND)
    bad += failures(counter, error=COUNTER_ERROR, bound=math.inf)
    bad += failures(polled, error=POLLED_ERROR, bound=POLLED_BOUND)
    bad += failures(faults, error=math.inf, bound=math.inf)
    bad += [f"{n} boards: {s:.3f} covered" for n, s in shares.items() if not 0.93 <= s <= 0.97]
    if not options.check:
        PAGE.write_text(page(counter, polled, faults, shares), encoding="utf-8")
        print(f"wrote {PAGE.relative_to(ROOT)}")
    print("\n".join(bad) or "every bar is cleared")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
