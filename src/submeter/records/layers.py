# SPDX-License-Identifier: Apache-2.0
"""Where a training step spends its time: by module, forward and backward, as it was sampled.

A profile is what one process saw of itself. It holds sums over the sampled steps, never single
steps, so it stays small however long the training is. Time and operations stand apart: time comes
from many steps, operations from one.
"""

import math
from typing import Final, Literal

import msgspec

LAYERS_SCHEMA: Final = 1
BUDGET_RATIO: Final = 0.02  # most that looking may cost of the time of the steps, unless asked

Part = Literal["forward", "backward", "recomputation", "evaluation", "step"]
OperatorClass = Literal["compute", "memory", "communication", "waiting"]
CLASSES: Final[tuple[OperatorClass, ...]] = ("compute", "memory", "communication", "waiting")

# Parts of a step that belong to no module; they make it whole.
DATA: Final = "(data)"  # from the end of a step to the next forward pass
LOSS: Final = "(loss)"  # from the forward to the backward pass
GRADIENTS: Final = "(gradients)"  # from the backward pass to the optimiser: exchange, clipping
OPTIMISER: Final = "(optimiser)"
BRACKETS: Final = (DATA, LOSS, GRADIENTS, OPTIMISER)


class LayerTime(msgspec.Struct, frozen=True):
    """Time of one module in one part of the step, without that of the modules inside it.

    Attributes
    ----------
    module
        Path of the module, ``blocks.0.up``; the empty one is the model itself. Names in brackets
        stand for parts of the step that belong to no module.
    kind
        Class of the module, ``Linear``.
    calls
        How often, in all sampled steps.
    wall_s
        Elapsed time [s].
    busy_s
        CPU time of all threads of the process, or time of the accelerator's stream [s].
    sd_s
        Standard deviation of the mean of ``busy_s`` over the sampled steps [s].
    """

    module: str
    part: Part
    kind: str = ""
    calls: int = 0
    wall_s: float = 0.0
    busy_s: float = 0.0
    sd_s: float = 0.0


class LayerWork(msgspec.Struct, frozen=True):
    """Operations of one kind that a module does in one part of one step.

    Attributes
    ----------
    flop
        Of products: matrices, convolutions, attention, recurrent cells [FLOP].
    pointwise_flop
        Element-wise, and reductions [FLOP].
    bytes_moved
        If each operator reads its inputs and writes its outputs once [B].
    busy_s
        Time that it took in the steps in which operators were counted, as one step's [s]; it
        divides the time of its module, of which more steps are known.
    communicates
        Whether it exchanges with other processes.
    """

    module: str
    part: Part
    operator: str
    calls: float = 0.0
    flop: float = 0.0
    pointwise_flop: float = 0.0
    bytes_moved: float = 0.0
    busy_s: float = 0.0
    communicates: bool = False


class LayerSpec(msgspec.Struct, frozen=True):
    """How to make a layer like this one, and what it was given: to repeat it alone."""

    module: str
    kind: str
    arguments: dict[str, int | float | bool | str | list[int]] = {}
    shape: tuple[int, ...] = ()
    dtype: str = "float32"


class Steps(msgspec.Struct, frozen=True):
    """Steps that were seen and what the sampled ones cost more.

    Attributes
    ----------
    seen, sampled, counted
        Steps of the training; those with hooks; those in which operations were counted.
    wall_s, busy_s
        Mean of a step without hooks [s].
    extra_s
        What a sampled step takes more, as the medians tell [s] of the same kind as `busy_s`.
    total_s
        Time of all steps together [s].
    hooks_s
        Time spent in the hooks themselves, by their own clock [s].
    spent_s
        What hooks and counting have cost in all, as far as can be told [s].
    """

    seen: int = 0
    sampled: int = 0
    counted: int = 0
    wall_s: float = 0.0
    busy_s: float = 0.0
    extra_s: float = 0.0
    total_s: float = 0.0
    hooks_s: float = 0.0
    spent_s: float = 0.0

    @property
    def overhead_ratio(self) -> float:
        """What the hooks cost of all the time of the steps [1]."""
        return self.spent_s / self.total_s if self.total_s > 0 else 0.0


class LayerProfile(msgspec.Struct, frozen=True, kw_only=True):
    """What a process saw of its layers.

    Attributes
    ----------
    model
        Class of the outermost module.
    clock
        What ``busy_s`` is: ``processor`` (CPU time) or ``accelerator`` (time on its stream).
    device
        Where the model was: ``cpu``, ``cuda:0``.
    phase
        Path of the phase in which the forward pass ran; empty if in none.
    shapes
        How many different shapes of input were seen.
    trouble
        Why no more was seen, if so.
    """

    pid: int
    model: str = ""
    clock: Literal["processor", "accelerator"] = "processor"
    device: str = "cpu"
    phase: str = ""
    rank: int | None = None
    threads: int = 0
    version: str = ""  # of torch
    shapes: int = 0
    steps: Steps = Steps()
    times: tuple[LayerTime, ...] = ()
    work: tuple[LayerWork, ...] = ()
    specs: tuple[LayerSpec, ...] = ()
    trouble: str = ""
    notes: tuple[str, ...] = ()
    schema: int = LAYERS_SCHEMA

    @property
    def busy_s(self) -> float:
        """Time of all rows of training together [s]; evaluations stand apart."""
        return math.fsum(row.busy_s for row in self.times if row.part != "evaluation")


class ClassPower(msgspec.Struct, frozen=True):
    """Power while operators of one class run, per second of ``busy_s``.

    Attributes
    ----------
    power_w
        Mean, above what is drawn at rest [W].
    sd_ratio
        Its relative standard deviation [1].
    layers
        How many layers it was fitted on.
    """

    operators: OperatorClass
    power_w: float
    sd_ratio: float
    layers: int = 0
    source: str = ""


class Repeated(msgspec.Struct, frozen=True):
    """A layer that was repeated alone until its energy was resolved.

    Attributes
    ----------
    forward_s, backward_s
        Busy time of one call [s].
    busy_s
        Of all calls together [s].
    energy_j
        Of all calls together [J], where it could be told.
    """

    kind: str
    shape: tuple[int, ...]
    operators: OperatorClass
    calls: int
    forward_s: float
    backward_s: float
    busy_s: float
    energy_j: float | None = None


class LayerCalibration(msgspec.Struct, frozen=True, kw_only=True):
    """What repeating layers alone told of a machine; ``how`` says what the energy rests on."""

    machine: str
    device: str
    made_utc: str
    clock: Literal["processor", "accelerator"] = "processor"
    threads: int = 0
    version: str = ""
    powers: tuple[ClassPower, ...] = ()
    layers: tuple[Repeated, ...] = ()
    how: str = ""
    schema: int = LAYERS_SCHEMA
