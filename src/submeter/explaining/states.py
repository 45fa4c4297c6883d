# SPDX-License-Identifier: Apache-2.0
"""What a device is kept for while a phase is open, told by the phase's name.

Names are words that people and frameworks use for the parts of a training. The innermost one that
is known decides: ``train/eval/data`` waits for data.
"""

import re
from typing import Final

from submeter.records.explanations import State

_EVALUATION: Final = "eval evaluate evaluation valid validate validation val test testing"
_CHECKPOINT: Final = "checkpoint checkpoints checkpointing ckpt save saving snapshot"
_COMPILE: Final = "compile compiling compilation trace tracing jit"
_DATA: Final = """
    data load loader loading dataloader fetch prefetch augment collate decode tokenise tokenize
    next+batch read+batch input+pipeline
"""
_PEERS: Final = """
    allreduce all+reduce reduce+scatter allgather all+gather broadcast sync synchronise
    synchronize barrier comm communicate communication nccl gloo mpi peers
"""
_KNOWN: Final[tuple[tuple[State, str], ...]] = (
    ("evaluation", _EVALUATION),
    ("checkpoint", _CHECKPOINT),
    ("compile", _COMPILE),
    ("waiting for data", _DATA),
    ("waiting for peers", _PEERS),
)
# Beside these, a word for waiting says nothing: a data-parallel step, the forward of a loader.
_WORK: Final = frozenset({
    "train", "training", "fit", "forward", "backward", "step", "optimiser", "optimizer", "update",
    "loss", "parallel",
})  # fmt: skip
_ALSO_WORK: Final[frozenset[State]] = frozenset({"evaluation", "checkpoint", "compile"})
_SPLIT: Final = re.compile(r"[^0-9A-Za-z]+|(?<=[a-z0-9])(?=[A-Z])")
_NAMES: Final = tuple(
    (state, tuple(frozenset(name.split("+")) for name in names.split())) for state, names in _KNOWN
)


def state_of(path: str) -> State:
    """State that the innermost telling part of *path* says; ``busy`` if none does.

    >>> state_of("train/data_loading"), state_of("train/forward"), state_of("epoch 3/save")
    ('waiting for data', 'busy', 'checkpoint')
    """
    for part in reversed(path.split("/")):
        words = frozenset(w.lower() for w in _SPLIT.split(part) if w)
        working = bool(words & _WORK)
        for state, names in _NAMES:
            if any(name <= words for name in names) and (state in _ALSO_WORK or not working):
                return state
        if working:
            return "busy"
    return "busy"
