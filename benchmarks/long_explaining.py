# SPDX-License-Identifier: Apache-2.0
"""What explaining a day costs: a million readings, 200 layers, in CPU time.

Run with ``python -m benchmarks.long_explaining --keep``; making the day takes longer than
explaining it, so its figures are kept in ``data/explaining.csv``. The journal is made, not
measured: eight boards and four processors, read once a second, in phases.
"""

import argparse
import csv
import gc
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from submeter.metering.settle import settle_folder
from submeter.records.devices import Channel, Device, DeviceKind, Measures
from submeter.records.frames import (
    End,
    Frame,
    Head,
    Occupancy,
    Occupied,
    PathName,
    Process,
    SensorHead,
    Started,
    Ticks,
    Use,
)
from submeter.records.layers import LayerProfile, LayerTime, Steps
from submeter.records.runs import Run
from submeter.storing import places
from submeter.storing.framing import encode
from submeter.storing.layers import keep
from submeter.storing.ledger import open_ledger
from submeter.units import NS_PER_S, s_to_ns

KEPT: Final = Path(__file__).parent / "data" / "explaining.csv"
DAY_S: Final = 86_400
BOARDS: Final = 8
SOCKETS: Final = 4
LAYERS: Final = 200
CYCLE_S: Final = 600
UTC_NS: Final = 1_795_000_000 * NS_PER_S
T0_NS: Final = 1_000 * NS_PER_S
PATHS: Final = ("train", "train/data", "evaluate", "save checkpoint")


class Day(NamedTuple):
    """A run of a day in a home of its own."""

    home: Path
    run: Run
    readings: int
    journal_bytes: int


def made(home: Path, *, seconds: int = DAY_S) -> Day:
    """A run of *seconds*, twelve sensors read once a second, in the ledger of *home*."""
    run_id = places.new_run_id(UTC_NS)
    folder = home / "runs" / run_id
    folder.mkdir(parents=True)
    with (folder / "journal").open("wb") as file:
        for frame in _frames(run_id, seconds):
            file.write(encode(frame))
    keep(folder, _profile())
    run = settle_folder(folder)
    with open_ledger(home / "ledger.db") as ledger:
        ledger.put(run)
    size_bytes = (folder / "journal").stat().st_size
    return Day(home, run, seconds * (BOARDS + SOCKETS), size_bytes)


def again(home: Path) -> Day:
    """The day that was made in *home* before."""
    with open_ledger(home / "ledger.db") as ledger:
        run = ledger.get("last")
    size_bytes = (home / "runs" / run.id / "journal").stat().st_size
    return Day(home, run, round(run.duration_s) * (BOARDS + SOCKETS), size_bytes)


def cpu_s(day: Day, *options: str) -> float:
    """CPU time of ``submeter explain`` as a process, start and all [s]."""
    env = {**os.environ, "SUBMETER_HOME": str(day.home), "COLUMNS": "80"}
    before = os.times()
    command = [sys.executable, "-m", "submeter", "explain", day.run.id, *options]
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    own = after.children_user - before.children_user
    return own + after.children_system - before.children_system


def _frames(run_id: str, seconds: int) -> "list[Frame]":
    gc.disable()
    head = _head(run_id)
    frames: list[Frame] = [head, Process(7, T0_NS, rank=0)]
    frames += [PathName(i, 7, path) for i, path in enumerate(PATHS)]
    frames.append(Started(T0_NS))
    counts = [0] * (BOARDS + SOCKETS)
    for second in range(1, seconds + 1):
        place = second % CYCLE_S
        phase = 2 if place < 30 else 3 if place < 40 else 0
        power_w = (320, 0, 180, 80)[phase]
        t_ns = T0_NS + second * NS_PER_S
        for i in range(BOARDS + SOCKETS):
            board = i < BOARDS
            watts = power_w + 3 * ((second * (i + 7)) % 11) if board else 90 + second % 17
            counts[i] += watts * (1000 if board else 1_000_000)
            values: list[list[int | None]] = [[counts[i]]]
            if board:
                busy = 98 if phase in {0, 2} else 0
                values += [[watts * 1000], [busy], [61], [1410], [400_000], [0]]
            frames.append(Ticks(i, [t_ns + i * 1000], 20_000, values))
        rows = [Occupied(phase, NS_PER_S, NS_PER_S, int(place in {0, 30, 40}))]
        if phase == 0:
            rows = [
                Occupied(0, s_to_ns(0.9), s_to_ns(0.8), 2),
                Occupied(1, s_to_ns(0.1), 0, 2),
            ]
        frames.append(Occupancy(t_ns, rows))
        frames.append(Use(t_ns, {0: second * NS_PER_S}))
    frames.append(End(T0_NS + seconds * NS_PER_S, "finished", 0))
    gc.enable()
    return frames


def _head(run_id: str) -> Head:
    devices, sensors = [], []
    for i in range(BOARDS):
        ident = f"gpu:GPU-{i}"
        devices.append(Device(ident, DeviceKind.GPU, "NVIDIA A100-SXM4-80GB", "h", peak_w=400.0))
        kinds = (
            (Measures.ENERGY, 1e-3), (Measures.POWER, 1e-3), (Measures.UTILISATION, 1e-2),
            (Measures.TEMPERATURE, 1.0), (Measures.CLOCK, 1e6), (Measures.CAP, 1e-3),
            (Measures.THROTTLE, 1.0),
        )  # fmt: skip
        channels = tuple(Channel(ident, m, scale, update_s=0.1) for m, scale in kinds)
        sensors.append(SensorHead(ident, channels))
    for i in range(SOCKETS):
        ident = f"cpu:{i}"
        devices.append(Device(ident, DeviceKind.CPU, "EPYC 7763", "h", peak_w=300.0))
        sensors.append(SensorHead(ident, (Channel(ident, Measures.ENERGY, 1e-6),)))
    return Head(
        schema=1, run_id=run_id, generation=0, host="h", boot_id="b", collector_pid=1,
        leader_pid=7, utc_ns=UTC_NS, t_ns=T0_NS, interval_s=1.0, name="day",
        devices=tuple(devices), sensors=tuple(sensors),
    )  # fmt: skip


def _profile() -> LayerProfile:
    rows = [
        LayerTime(f"blocks.{i // 4}.part{i % 4}", part, "Linear", 10, 0.001 * (1 + i % 5), 0.001)
        for i in range(LAYERS)
        for part in ("forward", "backward")
    ]
    return LayerProfile(
        pid=7, model="Net", clock="accelerator", device="cuda:0", phase="train",
        steps=Steps(seen=1000, sampled=10, total_s=100.0), times=tuple(rows),
    )  # fmt: skip


def kept() -> dict[str, str]:
    """What `--keep` kept: figures of the day, by name."""
    with KEPT.open(encoding="utf-8") as file:
        return {row["name"]: row["value"] for row in csv.DictReader(file)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=DAY_S)
    parser.add_argument("--keep", action="store_true", help=f"keep the figures in {KEPT.name}")
    parser.add_argument("--home", type=Path, help="make the day here, or take the one that is")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="submeter-day-") as folder:
        home = options.home or Path(folder)
        day = again(home) if (home / "ledger.db").exists() else made(home, seconds=options.seconds)
        found = {
            "readings": f"{day.readings}",
            "journal_mb": f"{day.journal_bytes / 1e6:.0f}",
            "layers": f"{LAYERS}",
        }
        for name, words in (("explain", ()), ("json", ("--json",)), ("timeline", ("--timeline",))):
            found[f"{name}_cpu_s"] = (
                f"{statistics.median(cpu_s(day, *words) for _ in range(5)):.2f}"
            )
    for name, value in found.items():
        print(f"{name:16} {value}")
    if options.keep:
        with KEPT.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([("name", "value"), *found.items()])


if __name__ == "__main__":
    main()
