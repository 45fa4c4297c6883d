# SPDX-License-Identifier: Apache-2.0
"""What a change of the model does to its operations and bytes, and what it does not.

Quantised, pruned, sparse, distilled, scaled: each gives another workload, whose notes say what a
machine must have for the change to save time and energy, and what others measured. Fewer
operations are never called fewer joules here.
"""

from collections.abc import Callable, Mapping
from typing import Final, Literal

import msgspec

from submeter.errors import UsageError
from submeter.workloads.layers import PRECISIONS, positive, precision_of
from submeter.workloads.workloads import Operations, Workload, total

Pruning = Literal["mask", "channels", "2:4"]

# Parts whose products are inputs times weights, which pruning thins on both sides; scores have no
# weights, and embedding, head, router and classifier keep one side.
_TWO_SIDED: Final = frozenset(
    {
        *("attention", "feed-forward", "experts", "convolution", "dense", "recurrent", "input"),
        "matmul",  # of a counted model
    }
)
_UNTOUCHED: Final = frozenset({"optimiser", "embedding"})
SPARSE_RATIO: Final = 0.5  # of the products, at two of four weights
# Tan & Le 2019, equation 3, section 4: depth, width, resolution of a step of compound scaling.
DEPTH_STEP, WIDTH_STEP, SIDE_STEP = 1.2, 1.1, 1.15


def quantised(workload: Workload, precision: str) -> Workload:
    """Give the same training with its products in another *precision*.

    Operations stay as many. Bytes of activations and weights go with the width of a number; the
    optimiser keeps its state in single precision.
    """
    new = precision_of(precision)
    ratio = PRECISIONS[new] / PRECISIONS[precision_of(workload.precision)]

    def change(part: str, o: Operations) -> Operations:
        if part == "optimiser":
            return o
        return msgspec.structs.replace(o, bytes_moved=o.bytes_moved * ratio)

    return _changed(
        workload, change, f"{workload.name}, {new}",
        f"{workload.precision} to {new}: as many operations, {ratio:g} times the bytes",
        f"time falls only where the machine has units for {new}; measured: from 33 % more energy "
        "(LLM.int8 in inference) to 34 % more throughput (8-bit floats in training)",
        precision=new,
    )  # fmt: skip


def pruned(workload: Workload, share_ratio: float, how: Pruning = "mask") -> Workload:
    """Give the training of the same model with a share of its weights pruned from the start.

    Parameters
    ----------
    share_ratio
        Of the weights (``mask``) or of the channels (``channels``) that are taken away; ½ for
        ``2:4``.
    how
        ``mask``: weights set to zero, which are multiplied like all others. ``channels``: rows
        and columns are gone, so that products fall with the square of what is kept. ``2:4``: two
        of four weights are zero, which sparse units skip in the forward pass and in the
        gradient of the input, not in that of the weights.
    """
    if not 0 <= share_ratio < 1:
        raise UsageError(
            f"a share of {share_ratio:g} cannot be pruned",
            remedy="give 0 or more, and less than 1",
        )
    if how == "mask":
        return _changed(
            workload, lambda _, o: o, f"{workload.name}, {share_ratio:.0%} masked",
            f"{share_ratio:.0%} of the weights are zero: a mask saves no operation and no byte, "
            "for zeros are multiplied as well",
        )  # fmt: skip
    if how == "channels":
        return _thinned(workload, 1.0 - share_ratio)
    if how == "2:4":
        return _two_of_four(workload, share_ratio)
    raise UsageError(f"“{how}” is no way of pruning", remedy="use mask, channels or 2:4")


def distilled(student: Workload, teacher: Workload) -> Workload:
    """Give the training of *student* with the forward pass of *teacher* on all of its data.

    Raises
    ------
    UsageError
        If the two count their work in different units, as images and tokens.
    """
    unit, seen = _one_work(student)
    other, taught = _one_work(teacher)
    if unit != other:
        raise UsageError(
            f"the student learns from {unit}, the teacher from {other}",
            remedy="describe both by the same unit of work",
        )
    ratio = seen / taught
    forward = teacher.operations.forward_flop * ratio
    passes = teacher.operations.useful_flop / teacher.operations.forward_flop
    still = teacher.parts.get("optimiser")
    moved = teacher.operations.bytes_moved - (still.bytes_moved if still else 0.0)
    lesson = Operations(forward, 0.0, bytes_moved=moved * ratio / passes)
    parts = {**student.parts, "teacher": lesson}
    share = forward / student.operations.useful_flop
    return msgspec.structs.replace(
        student,
        name=f"{student.name}, taught by {teacher.name}",
        parts=parts,
        operations=student.operations + lesson,
        notes=(
            *student.notes,
            f"forward pass of {teacher.name} on all {unit}: {share:.2g} times the student's own",
            "the teacher's own training is not counted; answers kept from an earlier pass save it",
        ),
    )


def compound_scaled(workload: Workload, phi: float) -> Workload:
    """Give a convolutional network scaled by *phi* steps of compound scaling.

    Depth 1.2, width 1.1, side 1.15 to the power of *phi*: operations grow by
    ``(1.2 · 1.1² · 1.15²)^φ``, about 2^φ, parameters by ``(1.2 · 1.1²)^φ``. The rounding of
    channels and blocks is left out; the eight published sizes are counted exactly by name.
    """
    if workload.kind != "cnn":
        raise UsageError(
            f"{workload.name} is no convolutional network",
            remedy="compound scaling is of depth, width and image side; give a network by name",
        )
    if not -10 <= phi <= 10:  # noqa: PLR2004  # beyond, the image has no pixel or the machine no end
        raise UsageError(f"{phi} steps of compound scaling", remedy="give from -10 to 10")
    depth, width, side = (step**phi for step in (DEPTH_STEP, WIDTH_STEP, SIDE_STEP))
    products, weights = depth * width**2 * side**2, depth * width**2
    activations = depth * width * side**2

    def change(part: str, o: Operations) -> Operations:
        if part == "optimiser":
            return o.times(weights)
        return Operations(
            o.forward_flop * products, o.backward_flop * products, o.recomputed_flop * products,
            o.optimiser_flop, o.bytes_moved * activations, o.elementwise_flop * activations,
        )  # fmt: skip

    details = dict(workload.details)
    if "image_side" in details:
        details["image_side"] *= side
    scaled = _changed(
        workload, change, f"{workload.name}, scaled by {phi:g}",
        f"scaled by {phi:g}: depth × {depth:.2f}, width × {width:.2f}, side × {side:.2f}",
        f"operations × {products:.2f}, bytes × {activations:.2f}: depthwise networks wait for "
        "memory, so that time and energy need not follow the operations",
        params_ratio=weights,
    )  # fmt: skip
    return msgspec.structs.replace(scaled, details=details)


def _thinned(workload: Workload, kept: float) -> Workload:
    positive(kept, "what is kept")

    def change(part: str, o: Operations) -> Operations:
        if part in _UNTOUCHED:
            return o.times(kept**2 if part == "optimiser" else kept)
        products = kept**2 if part in _TWO_SIDED else kept
        return Operations(
            o.forward_flop * products, o.backward_flop * products, o.recomputed_flop * products,
            o.optimiser_flop, o.bytes_moved * kept, o.elementwise_flop * kept,
        )  # fmt: skip

    return _changed(
        workload, change, f"{workload.name}, {1 - kept:.0%} of channels pruned",
        f"{kept:.0%} of the channels stay: {kept**2:.0%} of the products between them",
        "energy falls by less than operations do (180 pruned models, PruneEnergyAnalyzer), and "
        "narrow layers fill a machine less; what found the channels is not counted",
        params_ratio=kept**2,
    )  # fmt: skip


def _two_of_four(workload: Workload, share_ratio: float) -> Workload:
    if share_ratio != SPARSE_RATIO:
        raise UsageError(
            f"2:4 takes away one half, not {share_ratio:g}", remedy="give a share of 0.5"
        )

    def change(part: str, o: Operations) -> Operations:
        if part not in _TWO_SIDED:
            return o
        input_gradient = max(o.backward_flop - o.forward_flop, 0.0)
        return msgspec.structs.replace(
            o,
            forward_flop=o.forward_flop * SPARSE_RATIO,
            backward_flop=o.backward_flop - input_gradient * (1 - SPARSE_RATIO),
            recomputed_flop=o.recomputed_flop * SPARSE_RATIO,
        )

    return _changed(
        workload, change, f"{workload.name}, 2:4 sparse",
        "two of four weights are zero: sparse units skip half of the products with weights "
        "forward and for the input's gradient, none for the weights' own gradient",
        "on a machine without sparse units nothing is saved; published gains of a whole training "
        "are 1.06 to 1.3 times, and its energy was not measured",
    )  # fmt: skip


def _one_work(workload: Workload) -> tuple[str, float]:
    if len(workload.work) != 1:
        raise UsageError(
            f"{workload.name} counts its work in {len(workload.work)} units",
            remedy="describe it by one unit of work",
        )
    ((unit, amount),) = workload.work.items()
    return unit, amount


def _changed(
    workload: Workload,
    change: Callable[[str, Operations], Operations],
    name: str,
    *notes: str,
    precision: str | None = None,
    params_ratio: float = 1.0,
) -> Workload:
    whole: Mapping[str, Operations] = workload.parts or {workload.kind: workload.operations}
    parts = {part: change(part, o) for part, o in whole.items()}
    return msgspec.structs.replace(
        workload,
        name=name,
        params=workload.params * params_ratio,
        active_params=workload.active_params * params_ratio,
        operations=total(parts.values()),
        precision=precision or workload.precision,
        notes=(*workload.notes, *notes),
        parts=parts,
    )
