# SPDX-License-Identifier: Apache-2.0
"""A search for the best power limit on a fake board whose curve it does not know.

    python benchmarks/actuator.py [--json]

Everything is real but the driver library: the collector reads counters, the program logs steps
and is slowed by the limit, the keeper sets limits through the official bindings. No board of the
machine is ever touched: the fake library is loaded in its place.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any, Final

from submeter.records.devices import DeviceKind
from submeter.records.figures import Quantity
from submeter.reducing.limits import Window, best
from submeter.storing.ledger import LEDGER_FILE, open_ledger
from submeter.testing import Board, FakeDriver, constant
from submeter.testing.compiling import find_compiler

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "power-limit.md"
BEGIN, END = "<!-- search: begin -->", "<!-- search: end -->"
NATURAL_W: Final = 380.0
HOST_W: Final = 100.0
STEP_S: Final = 0.04
MAX_SLOWDOWN_RATIO: Final = 0.05
# Limit [W]: how much longer a step takes. Below 325 W more than is allowed, though even less
# energy of the board: the best of the node is not the lowest.
CURVE: Final = {400: 1.0, 375: 1.0, 350: 1.01, 325: 1.035, 300: 1.09, 275: 1.3}
SHORT: Final = {400: 1.0, 375: 1.0, 350: 1.01, 325: 1.25}

# The program under the meter: steps as long as the limit makes them, until it is told to end.
PROGRAM: Final = """
import os, sys, time
import pynvml, submeter
curve, stop, most = {curve!r}, {stop!r}, time.monotonic() + {most_s!r}
pynvml.nvmlInit()
board = pynvml.nvmlDeviceGetHandleByIndex(0)
left, step, steps = {behind!r}, 0, open({log!r}, "w")
due_s = time.monotonic()
while left and time.monotonic() < most:
    limit_w = pynvml.nvmlDeviceGetPowerManagementLimit(board) // 1000
    due_s += {step_s!r} * curve[limit_w]  # by the clock, so that a late wake-up is no slower step
    time.sleep(max(0.0, due_s - time.monotonic()))
    step += 1
    submeter.log(step=step)
    print(time.monotonic(), limit_w, file=steps, flush=True)
    left -= os.path.exists(stop)
"""
# Who runs it, as the command line does, with windows as short as its steps.
RUNNER: Final = """
import sys, time
from pathlib import Path
from submeter.reducing.actuators.keeping import LimitKeeper
from submeter.reducing.actuators.nvml import PowerLimits
from submeter.reducing.actuators.seeking import Pace
from submeter.running.launcher import run_command
home, stop = Path({home!r}), Path({stop!r})
def say(words):
    print(words, flush=True)
    if words.startswith("limit found"):
        stop.write_text(repr(time.monotonic()))
keeper = LimitKeeper(PowerLimits(), home, None, max_slowdown_ratio={slowdown!r}, host_w={host_w!r},
                     pace=Pace(window_s={window_s!r}, cooldown_s=0.2, warm_up_s=0.5), say=say)
try:
    keeper.arm()
    outcome = run_command([sys.executable, {program!r}], attendant=keeper)
finally:
    keeper.close()
sys.exit(outcome.exit_code)
"""


def oracle_w(curve: dict[int, float]) -> float:
    """The best limit of *curve*, by who knows it [W]."""
    windows = [
        Window(w, STEP_S * slower, NATURAL_W * min(1.0, w / NATURAL_W))
        for w, slower in curve.items()
    ]
    return best(windows, host_w=HOST_W, max_slowdown_ratio=MAX_SLOWDOWN_RATIO).limit_w


def node_j_per_step(curve: dict[int, float], limit_w: int) -> float:
    """Energy of the node for a step under a limit, by who knows the curve [J]."""
    return (NATURAL_W * min(1.0, limit_w / NATURAL_W) + HOST_W) * STEP_S * curve[limit_w]


def searched(
    folder: Path, curve: dict[int, float], *, window_s: float, behind: int
) -> dict[str, Any]:
    """Run a program on a fake board with a search; what came of it, and the truth beside it."""
    board = Board(
        waveform=constant(NATURAL_W), natural_w=NATURAL_W, uuid=f"GPU-{uuid.uuid4()}",
        least_limit_w=float(min(curve)),
    )  # fmt: skip
    driver = FakeDriver(folder / "nvml.state", [board])
    epoch_ns = time.monotonic_ns()
    driver.go_live(epoch_ns)
    stop, program, home = folder / "found", folder / "train.py", folder / "home"
    log = folder / "steps"
    code = PROGRAM.format(
        curve=curve, stop=str(stop), step_s=STEP_S, behind=behind, log=str(log), most_s=120.0
    )
    program.write_text(code)
    runner = RUNNER.format(
        home=str(home), stop=str(stop), program=str(program), slowdown=MAX_SLOWDOWN_RATIO,
        host_w=HOST_W, window_s=window_s,
    )  # fmt: skip
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SUBMETER", "PYTHON"))}
    kept["CUDA_VISIBLE_DEVICES"] = board.uuid  # no other driver has a board of that name
    env = kept | driver.env() | {"SUBMETER_HOME": str(home), "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", runner], env=env, capture_output=True, text=True, check=False
    )
    if done.returncode or not stop.exists():  # the program gives up by itself
        raise RuntimeError(done.stdout + done.stderr)
    try:
        return _told(driver, home, curve, done.stdout, log, epoch_ns)
    finally:
        driver.close()


def _told(
    driver: FakeDriver, home: Path, curve: dict[int, float], said: str, log: Path, epoch_ns: int
) -> dict[str, Any]:
    with open_ledger(home / LEDGER_FILE, create=False) as ledger:
        run = ledger.get(ledger.list()[0].id)
    board = next(d for d in run.devices if d.device.kind is DeviceKind.GPU)
    rows = [line.split() for line in log.read_text().splitlines()]
    steps = [(float(t) - epoch_ns / 1e9, int(w)) for t, w in rows]
    full, found = max(curve), steps[-1][1]

    def node_j(limit_w: int, latest: int) -> float:
        """True energy of the node for each of the *latest* steps under a limit."""
        times = [t for t, w in steps if w == limit_w][-latest:]
        drawn_j = driver.energy_j(0, times[0], times[-1])
        return (drawn_j + HOST_W * (times[-1] - times[0])) / (len(times) - 1)

    saved = 1 - node_j(found, 20) / node_j(full, 20)
    foretold = 1 - node_j_per_step(curve, found) / node_j_per_step(curve, full)
    share = board.share
    return {
        "found_w": found,
        "oracle_w": oracle_w(curve),
        "limits_tried": len({w for _, w in steps}),
        "node_saving_ratio": saved,
        "foretold_saving_ratio": foretold,
        "restored": driver.limit_w(0) == full,
        "metered_j": share.value if isinstance(share, Quantity) else None,
        "true_j": driver.energy_j(0, steps[0][0] - STEP_S, steps[-1][0]),
        "said": said.splitlines(),
    }


def words(curve: dict[int, float], found: dict[str, Any]) -> str:
    """What the page says of a search."""
    full = max(curve)
    lines = [
        "| limit | a step takes | energy of the node for it |",
        "| ---: | ---: | ---: |",
    ]
    for limit_w, slower in curve.items():
        ratio = node_j_per_step(curve, limit_w) / node_j_per_step(curve, full)
        lines.append(f"| {limit_w} W | {slower:.3f} | {ratio:.3f} |")
    return "\n".join([
        *lines,
        "",
        f"At {MAX_SLOWDOWN_RATIO:.0%} slow-down allowed the search tried {found['limits_tried']} "
        f"limits and ended at {found['found_w']} W, the oracle's {found['oracle_w']:g} W.",
        f"The node then used {found['node_saving_ratio']:.1%} less for a step by the truth of the "
        f"fake board, foretold by its curve {found['foretold_saving_ratio']:.1%}.",
    ])  # fmt: skip


def main() -> None:
    """Search once, and write it into the page or print it."""
    parser = argparse.ArgumentParser(description="A search for a power limit on a fake board.")
    parser.add_argument("--json", action="store_true", help="print it, and leave the page")
    options = parser.parse_args()
    if find_compiler() is None:
        print("left as it is: the fake driver needs a C compiler")
        return
    with tempfile.TemporaryDirectory() as folder:
        found = searched(Path(folder), CURVE, window_s=2.0, behind=100)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    text = words(CURVE, found)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
