# SPDX-License-Identifier: Apache-2.0
"""Processes that train together over gloo: bytes, CPU time and loss of each way to exchange.

    python -m benchmarks.techniques_many

Each count of processes is started once and goes through all ways, one after the other, so that
starting is in none of them. Bytes are counted in the hook, at each process.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "benchmarks" / "data" / "techniques_exchange.csv"
WAYS = ("none", "bf16", "fp16", "int8", "powersgd", "local_sgd")
COUNTS = (1, 2, 4)
STEPS = 24
PERIOD = 8


class Row(NamedTuple):
    """One way with so many processes; sums over them, the loss of the first."""

    processes: int
    way: str
    bytes_sent: float
    bytes_plain: float
    cpu_s: float
    time_s: float
    loss: float


def worker(rank: int, count: int, store: str) -> None:
    import torch
    from torch import distributed
    from torch.nn.parallel import DistributedDataParallel

    from benchmarks.techniques_cases import asked, corpus, held_out
    from examples import language_model
    from submeter import reduce

    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=count)
    given = asked(batch=64 // count)
    corpus()
    found = []
    for way in WAYS if count > 1 else ("none",):
        torch.manual_seed(1)
        plain = language_model.LanguageModel(*language_model.shape_for(1e5, 64), 64)
        optimiser: Any = language_model.optimiser_for(plain, given)
        model: Any = plain
        if way == "local_sgd":
            applied = reduce.local_sgd(optimiser, every=PERIOD)
            optimiser = applied.target
        else:
            model = DistributedDataParallel(plain)
            applied = reduce.gradient_compression(model, kind=way)
        random = torch.Generator().manual_seed(100 + rank)
        distributed.barrier()
        cpu_s, started_s = time.process_time(), time.perf_counter()
        for _ in range(STEPS):
            x, y = language_model.batch_of(corpus()[0], given, random)
            loss = language_model.loss_of(model, x, y, given)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        cpu_s, time_s = time.process_time() - cpu_s, time.perf_counter() - started_s
        plain_bytes = sum(p.numel() * 4 for p in plain.parameters()) * STEPS
        if way == "local_sgd":
            sent = applied.also["bytes_sent"]()
        else:
            sent = applied.also["exchange"].bytes_sent
        here = torch.tensor([sent, plain_bytes, cpu_s], dtype=torch.float64)
        distributed.all_reduce(here)
        loss_now = held_out(plain, given)
        if rank == 0:
            sent, plain_bytes, cpu_s = here.tolist()
            found.append(Row(count, way, sent, plain_bytes, cpu_s, time_s, loss_now))
    if rank == 0:
        print(json.dumps(found))
    distributed.destroy_process_group()


def measured(count: int) -> list[Row]:
    """Start *count* processes; what they found."""
    with tempfile.TemporaryDirectory() as folder:
        store = f"file://{folder}/store"
        command = [sys.executable, "-m", "benchmarks.techniques_many"]
        env = {**os.environ, "OMP_NUM_THREADS": "1", "WORLD_SIZE": str(count)}
        started = [
            subprocess.Popen(
                [*command, str(rank), str(count), store],
                cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for rank in range(count)
        ]  # fmt: skip
        ended = [process.communicate(timeout=300) for process in started]
    if any(process.returncode for process in started):
        raise SystemExit("\n".join(err[-2000:] for _, err in ended))
    return [Row(*row) for row in json.loads(ended[0][0].splitlines()[-1])]


def keep(rows: list[Row]) -> None:
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Row._fields)
        for row in rows:
            writer.writerow([row[0], row[1], *(f"{x:.6g}" for x in row[2:])])


def stored() -> list[Row]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return [
            Row(int(r["processes"]), r["way"], *(float(r[k]) for k in Row._fields[2:]))
            for r in csv.DictReader(file)
        ]


def words(rows: list[Row], j_per_cpu_s: float) -> list[str]:
    """The table for the page."""
    lines = [
        "| processes | exchange | bytes sent | of plain | CPU time | Δ modelled energy | loss |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        plain = next(r for r in rows if r.processes == row.processes and r.way == "none")
        sent = row.bytes_sent if row.processes > 1 else 0.0
        share = f"{100 * row.bytes_sent / plain.bytes_sent:.1f} %" if row.processes > 1 else "–"
        change = 100 * (row.cpu_s / plain.cpu_s - 1)
        energy = f"{change:+.0f} % ({row.cpu_s * j_per_cpu_s:.0f} J)".replace("-", "−")
        lines.append(
            f"| {row.processes} | {row.way} | {sent / 1e6:.2f} MB | {share} | {row.cpu_s:.2f} s "
            f"| {energy} | {row.loss:.3f} |"
        )
    return lines


if __name__ == "__main__":
    if len(sys.argv) > 3:
        worker(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
    else:
        every = [row for count in COUNTS for row in measured(count)]
        keep(every)
        print("\n".join(words(every, 28.0)))
