# SPDX-License-Identifier: Apache-2.0
"""A planner whose clock the test moves: ``planner.py HOME ORDER.json CLOCK``.

CLOCK holds the wall-clock time [s since 1970 UTC] at which the planner is to think it is; it goes
on from there. A test that has moved it sends SIGCONT, so that the planner looks again.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from submeter.running.conducting import Replanner
from submeter.running.launcher import die_like
from submeter.running.planned import run_planned
from submeter.storing.waits import Order
from submeter.units import s_to_ns


class FileClock:
    """Monotonic and boot time are real; the wall clock is what the file says."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._text = ""
        self._base_ns = 0

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def boottime_ns(self) -> int:
        return time.monotonic_ns()

    def utc_ns(self) -> int:
        text = self._path.read_text()
        if text != self._text:
            self._text, self._base_ns = text, time.monotonic_ns()
        return s_to_ns(float(text)) + time.monotonic_ns() - self._base_ns

    def wait_until(self, t_ns: int, fds: Sequence[int] = ()) -> list[int]:
        raise NotImplementedError


def main() -> None:
    home, order, clock = (Path(word) for word in sys.argv[1:4])
    outcome = run_planned(
        msgspec.json.decode(order.read_bytes(), type=Order),
        home,
        replanner=Replanner(None),
        clock=FileClock(clock),
    )
    for note in outcome.notes:
        sys.stderr.write(f"note: {note}\n")
    die_like(outcome)


if __name__ == "__main__":
    main()
