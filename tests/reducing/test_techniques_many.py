# SPDX-License-Identifier: Apache-2.0
"""Processes that train together over gloo: what they exchange is less, and their weights agree."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
WORKER = """
import json, os, sys
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from submeter import reduce

rank, count, store = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(1)
distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=count)
torch.manual_seed(0)
truth = torch.randn(32, 8)
found = {}
for way in ("none", "bf16", "fp16", "int8", "powersgd", "local_sgd", "undone"):
    torch.manual_seed(1)
    plain = nn.Linear(32, 8)
    optimiser = torch.optim.SGD(plain.parameters(), lr=0.5)
    model, applied = plain, None
    if way == "local_sgd":
        applied = reduce.local_sgd(optimiser, every=4)
        optimiser = applied.target
    else:
        model = DistributedDataParallel(plain)
        applied = reduce.gradient_compression(model, kind="int8" if way == "undone" else way)
    if way == "undone":
        applied.undo()
    torch.manual_seed(10 + rank)
    for _ in range(40):
        x = torch.randn(16, 32)
        loss = (model(x) - x @ truth).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    if way == "local_sgd":
        state = {"sent": applied.also["bytes_sent"](), "plain": 0, "gains": applied.fit.gains}
    else:
        exchange = applied.also["exchange"]
        state = {"sent": exchange.bytes_sent, "plain": exchange.bytes_plain}
        state["gains"] = applied.fit.gains
        if way == "powersgd":
            state["torch"] = list(exchange.powersgd.compression_stats())
    weights = [torch.empty_like(plain.weight) for _ in range(count)]
    distributed.all_gather(weights, plain.weight.detach())
    state["apart"] = max(float((w - weights[0]).abs().max()) for w in weights)
    state["loss"] = float(loss.detach())
    state["weight"] = plain.weight.detach().flatten().tolist()
    found[way] = state
if rank == 0:
    print(json.dumps(found), flush=True)
distributed.barrier()
distributed.destroy_process_group()
os._exit(0)  # a thread of gloo that still runs now and then aborts an orderly end
"""
BYTES = 4 * (32 * 8 + 8) * 40  # of all gradients, in 32 bits


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("processes")
    program = folder / "worker.py"
    program.write_text(WORKER)
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", program, str(rank), "2", f"file://{folder}/store"],
            env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    said = [process.communicate(timeout=120) for process in started]
    assert not any(process.returncode for process in started), said[0][1] + said[1][1]
    return json.loads(said[0][0].splitlines()[-1])


@pytest.mark.parametrize(
    ("way", "share"), [("none", 1.0), ("bf16", 0.5), ("fp16", 0.5), ("int8", 0.26), ("undone", 1)]
)
def test_the_bytes_counted_are_those_of_the_way(found: Any, way: str, share: float) -> None:
    assert found[way]["plain"] == BYTES
    assert found[way]["sent"] == pytest.approx(share * BYTES, rel=0.02)
    assert found[way]["gains"]


def test_powersgd_sends_two_thin_matrices_as_torch_counts_them(found: Any) -> None:
    # two steps in full, then rank 2 of 32 x 8 and the bias as it is
    assert found["powersgd"]["sent"] == 4 * (2 * 264 + 38 * (2 * (32 + 8) + 8))
    _, before, after = found["powersgd"]["torch"]
    assert before == 38 * 264
    assert found["powersgd"]["sent"] == 4 * (2 * 264 + after)


@pytest.mark.parametrize("way", ["bf16", "fp16", "int8", "powersgd", "undone"])
def test_processes_agree_and_learn_as_without(found: Any, way: str) -> None:
    assert found[way]["apart"] == 0
    assert found[way]["loss"] < 0.05
    off = max(
        abs(a - b) for a, b in zip(found[way]["weight"], found["none"]["weight"], strict=True)
    )
    assert off < (1e-6 if way == "undone" else 0.15)


def test_local_sgd_averages_once_in_a_period(found: Any) -> None:
    assert found["local_sgd"]["sent"] == BYTES // 4
    assert 0 < found["local_sgd"]["apart"] < 0.1  # three steps after the last average
    assert found["local_sgd"]["loss"] < 0.05
