# SPDX-License-Identifier: Apache-2.0
"""Pause and resume examples/pausing.py by a plan, and write what came of it to docs/waiting.md.

    python -m benchmarks.pausing [--check]

The planner's clock is moved from one slice of the plan to the next, so that nothing is waited
for. The weights must be those of the same training without a pause, to the last bit.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from benchmarks.outcomes import ROOT
from submeter.records.figures import Missing
from submeter.records.plans import Job, Plan, Slice
from submeter.records.runs import Run
from submeter.storing.ledger import open_ledger
from submeter.storing.waits import Order

PAGE: Final = ROOT / "docs" / "waiting.md"
BLOCK: Final = re.compile(r"(?<=<!-- pausing -->\n).*?(?=<!-- end -->)", re.DOTALL)
H: Final = 3600.0
T0: Final = 1_790_000_000.0
GAPS: Final = (2.0, 6.0)  # hours at which the plan pauses
BACK: Final = (4.0, 8.0)  # and at which it goes on
BATCHES: Final = 12  # after so many it is to be paused


class Measured(NamedTuple):
    """Digests of the weights, and the run that was paused."""

    whole: str
    paused: str
    pauses: int
    run: Run


def measured() -> Measured:
    """Train without a pause and with two of them."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        alone = subprocess.run(
            [sys.executable, str(ROOT / "examples" / "pausing.py"), "--tell"],
            cwd=place, env=_environment(place), capture_output=True, text=True, check=True,
        )  # fmt: skip
        paused = _paused(place)
        with open_ledger(place / "home" / "ledger.db") as ledger:
            run = ledger.get("last")
    whole = alone.stdout.split()[-1]
    return Measured(whole, paused, len(run.pauses), run)


def _paused(place: Path) -> str:
    """Train the same by a plan with two gaps; the digest of its weights."""
    order, clock, kept = place / "order.json", place / "clock", place / "pausing.pt"
    order.write_bytes(msgspec.json.encode(_order(place)))
    _set(clock, 0.0)
    planner = [str(ROOT / "tests" / "running" / "planner.py"), str(place / "home")]
    with subprocess.Popen(
        [sys.executable, *planner, str(order), str(clock)],
        cwd=place, env=_environment(place), stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        told, last, gaps = 0, "", list(zip(GAPS, BACK, strict=True))
        for line in process.stdout:
            last, told = line, told + 1
            if gaps and told % BATCHES == 0:
                away, back = gaps.pop(0)
                written_ns = kept.stat().st_mtime_ns if kept.exists() else 0
                _move(process.pid, clock, away)
                while not kept.exists() or kept.stat().st_mtime_ns == written_ns:
                    time.sleep(0.01)
                _move(process.pid, clock, back)
        if process.wait():
            raise RuntimeError("the paused training failed")
    return last.split()[-1]


def _order(place: Path) -> Order:
    spans = [(0.0, GAPS[0]), (BACK[0], GAPS[1]), (BACK[1], 24.0)]
    slices = tuple(Slice(T0 + a * H, T0 + b * H) for a, b in spans)
    job = Job(H, T0, T0 + 24 * H, interruptible=True)
    plan = Plan(
        id="plan-example", made_s=T0, job=job, zone="", signal="average", objective="",
        slices=slices, expected_saving=Missing("none was forecast"),
    )  # fmt: skip
    program = str(ROOT / "examples" / "pausing.py")
    command = (sys.executable, program, "--tell", "--pace", "0.05")
    return Order(plan=plan, command=command, folder=str(place), asked_s=T0, name="pausing")


def _move(pid: int, clock: Path, hour: float) -> None:
    _set(clock, hour)
    os.kill(pid, signal.SIGCONT)


def _set(clock: Path, hour: float) -> None:
    fresh = clock.with_suffix(".new")
    fresh.write_text(f"{T0 + hour * H}")
    fresh.replace(clock)


def _environment(place: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SUBMETER")}
    return kept | {"SUBMETER_HOME": str(place / "home"), "PYTHONPATH": str(ROOT / "src")}


def words(found: Measured) -> str:
    """What the page says of it."""
    same = "the same to the last bit" if found.whole == found.paused else "NOT the same"
    return (
        "```\n"
        f"without a pause          weights {found.whole}\n"
        f"paused {found.pauses} times by a plan  weights {found.paused}   {same}\n"
        "```\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Pause and resume a training by a plan.")
    parser.add_argument("--check", action="store_true", help="write nothing")
    given = parser.parse_args()
    found = measured()
    text = words(found)
    print(text, end="")
    if not given.check and PAGE.is_file():
        PAGE.write_text(BLOCK.sub(lambda _: text, PAGE.read_text("utf-8")), "utf-8")
    return 0 if found.whole == found.paused and found.pauses else 1


if __name__ == "__main__":
    sys.exit(main())
