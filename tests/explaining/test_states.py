# SPDX-License-Identifier: Apache-2.0
"""What names of phases say."""

import pytest

from submeter.explaining.states import state_of

CASES = {
    "train": "busy",
    "train/forward": "busy",
    "train/backward": "busy",
    "optimizer_step": "busy",
    "train/data": "waiting for data",
    "data_loading": "waiting for data",
    "DataLoader": "waiting for data",
    "next_batch": "waiting for data",
    "train/allreduce": "waiting for peers",
    "all_reduce": "waiting for peers",
    "gradient_sync": "waiting for peers",
    "barrier": "waiting for peers",
    "save_checkpoint": "checkpoint",
    "ckpt": "checkpoint",
    "evaluate": "evaluation",
    "validation_step": "evaluation",
    "epoch 3/val": "evaluation",
    "val/forward": "busy",
    "eval/data": "waiting for data",
    "compile": "compile",
    "train/jit-trace": "compile",
    "train_data_parallel": "busy",
    "process_batch": "busy",
    "reduce_lr": "busy",
    "": "busy",
    "Épargne/сохранить": "busy",
}


@pytest.mark.parametrize(("path", "state"), CASES.items())
def test_state_of(path: str, state: str) -> None:
    assert state_of(path) == state
