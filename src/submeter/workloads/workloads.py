# SPDX-License-Identifier: Apache-2.0
"""What a training asks of a machine: operations, bytes, and how we know.

One fused multiply-add counts as two FLOP, as in datasheets. *Useful* operations are
the matrix products that the training needs; *executed* ones include what is computed a second
time because its result was not kept, the optimiser's steps, and what works element by element.
"""

import math
from collections.abc import Iterable
from typing import Literal

import msgspec

from submeter.errors import UsageError

Kind = Literal["transformer", "cnn", "recurrent", "other"]


class Operations(msgspec.Struct, frozen=True):
    """Operations and memory traffic of a whole training, or of a part of it.

    Attributes
    ----------
    forward_flop, backward_flop
        Matrix products of the forward and the backward passes [FLOP].
    recomputed_flop
        Matrix products that nobody needs [FLOP]: forward work done again in the backward pass
        because activations were not kept, slots of experts that hold no token.
    optimiser_flop
        Of the optimiser's steps [FLOP].
    bytes_moved
        Between the accelerator's memory and its cores, at least [B].
    elementwise_flop
        Norms, softmax, activation functions, forward and backward, about [FLOP]. They run on
        vector units and wait for memory; peaks and utilisations are about matrix products.
    """

    forward_flop: float
    backward_flop: float
    recomputed_flop: float = 0.0
    optimiser_flop: float = 0.0
    bytes_moved: float = 0.0
    elementwise_flop: float = 0.0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(
                    f"{name} is {value}, but a count of operations is a finite number from 0",
                    remedy="give positive counts",
                )

    @property
    def useful_flop(self) -> float:
        """What a utilisation (MFU) is reckoned from: forward and backward products [FLOP]."""
        return self.forward_flop + self.backward_flop

    @property
    def executed_flop(self) -> float:
        """All that the machine does [FLOP]."""
        again = self.recomputed_flop + self.optimiser_flop
        return self.useful_flop + again + self.elementwise_flop

    def __add__(self, other: "Operations") -> "Operations":
        return Operations(*(getattr(self, n) + getattr(other, n) for n in self.__struct_fields__))

    def times(self, factor: float) -> "Operations":
        """Give *factor* times as much of everything."""
        return Operations(*(getattr(self, n) * factor for n in self.__struct_fields__))


NOTHING = Operations(0.0, 0.0)


def total(parts: Iterable[Operations]) -> Operations:
    """Sum of all *parts*."""
    return sum(parts, start=NOTHING)


class Workload(msgspec.Struct, frozen=True):
    """A training, described by what it computes.

    Attributes
    ----------
    name
        For people.
    kind
        Family of its layers.
    params, active_params
        Parameters, and those of them that one token or sample meets.
    work
        Units of work done in the whole training: ``{"tokens": 2e12}``, ``{"samples": 1.2e6}``.
    operations
        Of the whole training.
    precision
        Of the matrix products: ``bf16``, ``fp16``, ``fp32``, ``tf32``, ``fp8``, …
    notes
        What was understood, and what was assumed, in words.
    parts
        The same operations by part (attention, feed-forward, …); they sum to ``operations``.
    spread_ratio
        By what factor the true operations may differ because the shape was inferred: the 95 %
        interval is from ``1 / spread_ratio`` to ``spread_ratio`` times; 1 if the shape is known.
    details
        Numbers of the shape: ``layers``, ``width``, ``context_tokens``, ``batch_samples``, ….
    """

    name: str
    kind: Kind
    params: float
    active_params: float
    work: dict[str, float]
    operations: Operations
    precision: str = "bf16"
    notes: tuple[str, ...] = ()
    parts: dict[str, Operations] = {}
    spread_ratio: float = 1.0
    details: dict[str, float] = {}

    def __post_init__(self) -> None:
        for name, value in (("params", self.params), ("active_params", self.active_params)):
            if not (math.isfinite(value) and value > 0):
                raise UsageError(
                    f"{name} is {value}, but a model has a positive number of parameters",
                    remedy="give a count such as 7e9 or 7B",
                )
        if self.active_params > self.params:
            raise UsageError(
                f"{self.active_params:g} active parameters are more than all {self.params:g}",
                remedy="give at most as many active parameters as there are",
            )
