# SPDX-License-Identifier: Apache-2.0
"""Read one board's counter and power as fast as it is worth, in a process of its own.

    python -m benchmarks.board_poll UUID SECONDS PERIOD_MS FILE

Each line of FILE: start and end of the read on the monotonic clock [ns], counter [mJ], power [mW];
-1 for what the board does not have.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple


class Sample(NamedTuple):
    """One pair of readings of a board."""

    t_ns: int
    half_ns: int
    counter_mj: int
    power_mw: int


def driver() -> Any:
    """The vendor's bindings, which carry no types."""
    import pynvml

    return pynvml


def ask(function: Callable[[Any], Any], board: Any) -> int:
    """A value of *board*; -1 if it has none."""
    try:
        return int(function(board))
    except driver().NVMLError:
        return -1


def poll(uuid: str, watch_s: float, period_s: float) -> list[tuple[int, int, int, int]]:
    pynvml = driver()
    pynvml.nvmlInit()
    rows = []
    try:
        board = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        end_ns = time.monotonic_ns() + round(watch_s * 1e9)
        due_ns = time.monotonic_ns()
        while due_ns < end_ns:
            before_ns = time.monotonic_ns()
            counter_mj = ask(pynvml.nvmlDeviceGetTotalEnergyConsumption, board)
            power_mw = ask(pynvml.nvmlDeviceGetPowerUsage, board)
            rows.append((before_ns, time.monotonic_ns(), counter_mj, power_mw))
            due_ns += round(period_s * 1e9)
            time.sleep(max(0.0, (due_ns - time.monotonic_ns()) / 1e9))
    finally:
        pynvml.nvmlShutdown()
    return rows


def read(path: Path) -> list[Sample]:
    """What `poll` wrote to a file."""
    samples = []
    for line in path.read_text().splitlines():
        before_ns, after_ns, counter_mj, power_mw = map(int, line.split())
        middle_ns = (before_ns + after_ns) // 2
        samples.append(Sample(middle_ns, (after_ns - before_ns) // 2, counter_mj, power_mw))
    return samples


def main() -> None:
    uuid, watch_s, period_ms, path = sys.argv[1:]
    rows = poll(uuid, float(watch_s), float(period_ms) / 1e3)
    Path(path).write_text("".join(f"{a} {b} {c} {d}\n" for a, b, c, d in rows))


if __name__ == "__main__":
    main()
