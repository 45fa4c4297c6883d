# SPDX-License-Identifier: Apache-2.0
"""Meter five minutes of real training on an NVIDIA board and write down what the board showed.

    make gpu-check            (or: PYTHONPATH=src python3 -m benchmarks.gpu_check [--minutes 5])

It only reads: clocks, limits and modes stay as they are. Without a board it says so and passes.
"""

import argparse
import contextlib
import datetime as dt
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import board_series as series
from benchmarks.board_poll import Sample, ask, driver, read
from benchmarks.pairs import SlowDown, interleave, slow_down

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "measured"


class Board(NamedTuple):
    """The board that the training will use."""

    uuid: str
    name: str
    driver: str


class Findings(NamedTuple):
    """All that the page is made of."""

    board: Board
    idle: list[Sample]
    fast: list[Sample]
    long: list[Sample]
    overhead: SlowDown
    step_s: float
    run: dict[str, Any]
    steps: int
    tokens: int
    loss: float
    torch: str
    reference_j: float | None  # counter between the run's first and last second, read by us


def find_board() -> Board | str:
    """The first board that CUDA would use here, or why there is none."""
    try:
        pynvml = driver()
        pynvml.nvmlInit()
    except Exception as exc:  # noqa: BLE001  # whatever the driver says, it is the answer
        return f"no NVIDIA driver answers here ({exc})"
    try:
        wanted = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
        if wanted.startswith("GPU-"):
            board = pynvml.nvmlDeviceGetHandleByUUID(wanted)
        else:
            board = pynvml.nvmlDeviceGetHandleByIndex(int(wanted) if wanted.isdigit() else 0)
        uuid, name = pynvml.nvmlDeviceGetUUID(board), pynvml.nvmlDeviceGetName(board)
        return Board(uuid, name, pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError as exc:
        return f"the NVIDIA driver shows no board ({exc})"
    finally:
        pynvml.nvmlShutdown()


@contextlib.contextmanager
def polling(board: Board, watch_s: float, period_ms: float) -> Iterator[list[Sample]]:
    """Readings of *board*, taken beside what runs inside; filled when that is over."""
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples"
        command = [sys.executable, "-m", "benchmarks.board_poll", board.uuid]
        poller = subprocess.Popen([*command, str(watch_s), str(period_ms), str(path)], cwd=ROOT)
        try:
            yield samples
        finally:
            if poller.wait(timeout=watch_s + 60):
                raise RuntimeError("the board could not be polled")
            samples += read(path)


def metered(training: Any, duration_s: float) -> tuple[dict[str, Any], int]:
    """A run under the meter, in the words of the JSON, and its steps."""
    import submeter
    from benchmarks.small_transformer import TOKENS_PER_STEP

    with submeter.measure("gpu-check") as run:
        steps, _ = training.run_for(duration_s, time.perf_counter)
        submeter.log(loss=float(training.loss), tokens=steps * TOKENS_PER_STEP, steps=steps)
    return run.to_dict(), steps


def paired(training: Any, *, pairs: int, block_s: float) -> tuple[SlowDown, float]:
    """Slow-down of a step by the meter, and the undisturbed step [s]."""
    import submeter

    def off() -> float:
        time.sleep(0.3)  # the collector of the block before ends
        steps, took_s = training.run_for(block_s, time.perf_counter)
        return float(took_s / steps)

    def on() -> float:
        with submeter.measure("gpu-check-pair"):
            time.sleep(0.3)
            steps, took_s = training.run_for(block_s, time.perf_counter)
        return float(took_s / steps)

    on_s, off_s = interleave(on, off, pairs=pairs)
    return slow_down(on_s, off_s), sorted(off_s)[len(off_s) // 2]


def check(board: Board, minutes: float) -> Findings:
    """All measurements, in the order that keeps the board's context away from the idle one."""
    part_s = 60 * minutes / 300  # of a second of a five-minute check
    print(f"idle board, {20 * part_s:.0f} s")
    with polling(board, 20 * part_s, 10) as idle:
        pass

    import torch

    from benchmarks.small_transformer import TOKENS_PER_STEP, Training

    training = Training(torch)
    print(f"warming up, {20 * part_s:.0f} s")
    training.run_for(20 * part_s, time.perf_counter)
    print(f"how often the board refreshes its values, {20 * part_s:.0f} s")
    with polling(board, 20 * part_s, 1) as fast:
        training.run_for(20 * part_s + 2, time.perf_counter)
    print(f"training under the meter, {60 * part_s:.0f} s")
    with polling(board, 60 * part_s, 20) as long:
        before = board_counter(board)
        run, steps = metered(training, 60 * part_s)
        after = board_counter(board)
    print(f"blocks with and without the meter, {180 * part_s:.0f} s")
    overhead, step_s = paired(training, pairs=round(30 * min(1.0, part_s)) or 2, block_s=3.0)
    tokens = steps * TOKENS_PER_STEP
    return Findings(
        board=board,
        idle=idle,
        fast=fast,
        long=long,
        overhead=overhead,
        step_s=step_s,
        run=run,
        steps=steps,
        tokens=tokens,
        loss=float(training.loss),
        torch=str(torch.__version__),
        reference_j=None if before is None or after is None else (after - before) / 1e3,
    )


def board_counter(board: Board) -> int | None:
    """The board's counter now [mJ]."""
    pynvml = driver()
    pynvml.nvmlInit()
    try:
        handle = pynvml.nvmlDeviceGetHandleByUUID(board.uuid)
        counter_mj = ask(pynvml.nvmlDeviceGetTotalEnergyConsumption, handle)
        return None if counter_mj < 0 else counter_mj
    finally:
        pynvml.nvmlShutdown()


def figure(value: float | None, unit: str, digits: int = 4) -> str:
    return "not available" if value is None else f"{value:.{digits}g} {unit}"


def refresh(samples: list[Sample], name: str) -> str:
    times = [s.t_ns for s in samples]
    steps = series.update_steps(times, [getattr(s, name) for s in samples])
    if steps is None:
        return "too few changes to tell"
    return (
        f"{1e3 * steps.median_s:.1f} ms (5 to 95 %: {1e3 * steps.low_s:.1f} … "
        f"{1e3 * steps.high_s:.1f} ms; {steps.changes} changes)"
    )


def board_energy(run: dict[str, Any], board: Board) -> dict[str, Any]:
    """The run's figure of this board."""
    for device in run["devices"]:
        if device["id"] == f"gpu:{board.uuid}":
            energy: dict[str, Any] = device["drawn_energy"]
            return energy
    return {"missing": "the run does not know this board"}


def interval(energy: dict[str, Any]) -> str:
    if "missing" in energy:
        return f"missing: {energy['missing']}"
    low, high = energy["low"], energy["high"]
    return f"{energy['value']:.5g} J ({low:.5g} … {high:.5g}), {energy['basis']}"


def page(found: Findings) -> str:
    """The page of a board in Markdown."""
    board, counter_j = found.board, series.counter_j(found.long)
    integral_j = series.integral_j(found.long)
    gap = None if not counter_j or integral_j is None else 100 * (integral_j / counter_j - 1)
    ours = board_energy(found.run, board)
    off = None
    if found.reference_j and "value" in ours:
        off = 100 * (ours["value"] / found.reference_j - 1)
    per_token = None if "value" not in ours else 1e3 * ours["value"] / found.tokens
    wall = found.run["energy"]["facility"]
    wall_token = None if "value" not in wall else 1e3 * wall["value"] / found.tokens
    half_ms = max(s.half_ns for s in found.fast) / 1e6
    today = dt.datetime.now(dt.UTC).date()
    rows = [
        ("idle, before CUDA was touched", figure(series.mean_power_w(found.idle), "W")),
        ("mean while training", figure(series.mean_power_w(found.long), "W")),
        ("counter changes every", refresh(found.fast, "counter_mj")),
        ("power reading changes every", refresh(found.fast, "power_mw")),
        ("slowest read of both", f"{2 * half_ms:.2f} ms"),
        ("counter over the training", figure(counter_j, "J", 6)),
        ("power readings, integrated over the same time", figure(integral_j, "J", 6)),
        ("integral against counter", figure(gap, "%", 3)),
        ("submeter's figure of the board", interval(ours)),
        (
            "counter read around that run, start and stop included",
            figure(found.reference_j, "J", 6),
        ),
        ("submeter against it", figure(off, "%", 3)),
        ("step without the meter", f"{1e3 * found.step_s:.2f} ms"),
        ("meter on step time", str(found.overhead)),
        ("energy per token, board", figure(per_token, "mJ")),
        ("energy per token, at the wall of the facility", figure(wall_token, "mJ")),
    ]
    made = (
        f"Written by `make gpu-check` on {today}; driver {board.driver}, "
        f"torch {found.torch}, Python {platform.python_version()}, "
        f"Linux {platform.release()}."
    )
    trained = (
        "A transformer over bytes was trained on the source of Python's library: "
        f"{found.steps} steps and {found.tokens} tokens under the meter, "
        f"loss {found.loss:.3f} at the end of the check."
    )
    caution = (
        "The counter and the power readings come from the same sensor; that they agree says that "
        "nothing was lost, not that the sensor is right."
    )
    table = [f"| {name} | {value} |" for name, value in rows]
    head = [f"# {board.name}", "", made, trained, "", "| what | figure |", "| --- | --- |"]
    return "\n".join([*head, *table, "", caution, ""])


def write(found: Findings, folder: Path = PAGES) -> Path:
    """The page, and its row in the table of all boards."""
    slug = re.sub(r"[^a-z0-9]+", "-", found.board.name.lower()).strip("-")
    path = folder / f"{slug}.md"
    path.write_text(page(found), encoding="utf-8")
    index = folder / "README.md"
    text = index.read_text(encoding="utf-8")
    row = f"| {found.board.name} | [{slug}.md]({slug}.md) |\n"
    if row not in text:
        index.write_text(text.replace("<!-- boards:", row + "<!-- boards:"), encoding="utf-8")
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description="Meter a training on an NVIDIA board.")
    parser.add_argument("--minutes", type=float, default=5.0)
    options = parser.parse_args()
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # CUDA's order is then the driver's
    board = find_board()
    if isinstance(board, str):
        print(f"gpu-check: nothing was checked, because {board}")
        return 0
    try:
        import torch
    except ImportError as exc:
        print(f"gpu-check: found {board.name}; nothing was checked, because {exc}")
        return 0
    if not torch.version.cuda:
        print(f"gpu-check: found {board.name}; nothing was checked: this torch is without CUDA")
        return 0
    print(f"gpu-check: {board.name}, {options.minutes:g} minutes")
    with tempfile.TemporaryDirectory(prefix="submeter-gpu-check-") as home:
        os.environ["SUBMETER_HOME"] = home
        found = check(board, options.minutes)
    path = write(found)
    print(path.read_text(encoding="utf-8"))
    print(f"written: {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
