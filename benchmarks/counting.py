# SPDX-License-Identifier: Apache-2.0
"""Counted operations over hand counts, case by case, and what counting a large model costs.

python -m benchmarks.counting [--large]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
ADDRESS_SPACE_BYTES = 8 << 30  # torch maps its libraries; resident memory is what is judged

# Shape of Llama 2 70B: 80 layers, width 8192, 64 heads on 8 of keys, feed-forward 28672, context
# of 4096, 32000 words (https://arxiv.org/abs/2307.09288, and the model's config.json).
D, LAYERS, HEADS, KEY_HEADS, FEED, WORDS, CONTEXT = 8192, 80, 64, 8, 28672, 32000, 4096


class Case(NamedTuple):
    """Counted over counted by hand; 1.0 where both are zero."""

    name: str
    device: str
    forward_ratio: float
    backward_ratio: float
    recomputed_ratio: float
    not_counted: int


class Large(NamedTuple):
    """What counting 70 billion parameters came to and cost, in a process of its own."""

    params: float
    ratio: float
    duration_s: float
    processor_s: float
    resident_bytes: float


def ratio(found: float, wanted: float) -> float:
    return found / wanted if wanted else float(found == 0) or float("inf")


def cases() -> list[Case]:
    from submeter.workloads.counting import count
    from tests.workloads.hand_counts import CASES

    rows = []
    for name, case in CASES.items():
        for device in case.devices:
            build = case.build if device == "meta" else case.build()
            counted = count(build, case.batch, train=case.train, device=device)
            rows.append(
                Case(
                    name,
                    device,
                    ratio(counted.total("forward").flop, case.forward),
                    ratio(counted.total("backward").flop, case.backward),
                    ratio(counted.total().recomputed_flop, case.again),
                    len(counted.not_counted),
                )
            )
    return rows


def worst_error(rows: list[Case]) -> float:
    """Largest distance of a ratio from 1."""
    return max(abs(r - 1) for row in rows for r in row[2:5])


def llama_flop() -> float:
    """Products of one sequence, forward: 2 T Σ weights + 4 T² d a layer [FLOP]."""
    keys = D * KEY_HEADS // HEADS
    weights = LAYERS * (2 * D * D + 2 * D * keys + 3 * D * FEED) + D * WORDS
    return 2.0 * CONTEXT * weights + LAYERS * 4.0 * CONTEXT * CONTEXT * D


def count_llama() -> dict[str, float]:
    """Run in a process of its own: build, count, and say what it took."""
    import time

    begin_s = time.monotonic()
    import torch

    from benchmarks.llama import Llama
    from submeter.workloads.counting import count

    shape = (D, LAYERS, HEADS, KEY_HEADS, FEED, WORDS)
    tokens = torch.zeros(1, CONTEXT, dtype=torch.long)
    counted = count(lambda: Llama(*shape), tokens, optimiser="adamw")
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "params": float(counted.params),
        "ratio": counted.total().flop / (3 * llama_flop()),
        "duration_s": time.monotonic() - begin_s,
        "processor_s": used.ru_utime + used.ru_stime,
        "resident_bytes": used.ru_maxrss * 1024.0,
    }


def seventy_billion() -> Large:
    """Count a Llama of 70 billion parameters, forward, backward and AdamW, in limited memory."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.counting", "--only-large"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return Large(**json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description="Counted operations over hand counts.")
    parser.add_argument("--only-large", action="store_true", help=argparse.SUPPRESS)
    if parser.parse_args().only_large:
        print(json.dumps(count_llama()))
        return
    print(f"{'case':42} {'device':6} {'forward':>8} {'backward':>8} {'again':>8}  escaped")
    rows = cases()
    for row in rows:
        figures = " ".join(f"{r:8.3f}" for r in row[2:5])
        print(f"{row.name:42} {row.device:6} {figures}  {row.not_counted}")
    print(f"worst: {worst_error(rows):.4f} of {len(rows)} counts")
    large = seventy_billion()
    print(
        f"{large.params / 1e9:.1f} billion parameters: {large.ratio:.4f} of the hand count in "
        f"{large.duration_s:.1f} s ({large.processor_s:.1f} s of processor time), "
        f"{large.resident_bytes / 1e6:.0f} MB resident"
    )


if __name__ == "__main__":
    main()
