# SPDX-License-Identifier: Apache-2.0
"""Layers of recurrent networks and of plain perceptrons."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Literal, NamedTuple

from submeter.errors import UsageError
from submeter.workloads.layers import Layer, positive

Cell = Literal["lstm", "gru", "rnn"]


class _Gates(NamedTuple):
    gates: int
    elementwise_flop: float  # of one hidden number and step, forward


# Each gate sums two products and two biases: 3. Sigmoid 4, hyperbolic tangent 1. LSTM (Hochreiter
# & Schmidhuber 1997; Gers et al. 2000): three sigmoids, two tangents, cell 3, output 1. GRU (Cho
# et al. 2014): two sigmoids, one tangent, reset 1, blend 4. Elman: one tangent.
_CELLS: Final = {
    "lstm": _Gates(4, 4 * 3 + 3 * 4 + 2 + 3 + 1),
    "gru": _Gates(3, 3 * 3 + 2 * 4 + 1 + 1 + 4),
    "rnn": _Gates(1, 3 + 1),
}


def recurrent_layers(
    cell: Cell,
    *,
    inputs: float,
    hidden: float,
    layers: int = 1,
    steps: float,
    directions: int = 1,
    outputs: float = 0.0,
    vocab: float = 0.0,
) -> tuple[Layer, ...]:
    """All layers of a recurrent network for one sequence.

    Parameters
    ----------
    inputs, hidden
        Numbers in one step of the sequence; numbers in the state.
    steps
        Length of a sequence.
    directions
        2 if it is read backwards as well.
    outputs
        Of a dense layer behind each step; 0 for none.
    vocab
        Of an embedding in front; 0 if the data are numbers, whose gradient nobody needs.

    Notes
    -----
    Each gate multiplies the input and the state: ``2 g h (i + h)`` a step, for g gates. Two
    biases a gate, as cuDNN has them.
    """
    if cell not in _CELLS:
        raise UsageError(f"“{cell}” is no recurrent cell", remedy="use lstm, gru or rnn")
    if directions not in (1, 2):
        raise UsageError(f"a sequence has no {directions} directions", remedy="give 1 or 2")
    for value, name in ((inputs, "inputs"), (hidden, "hidden"), (steps, "steps")):
        positive(value, name)
    gates, flop = _CELLS[cell]
    made, before = [], inputs
    if vocab:
        made.append(
            Layer("embedding", 0.0, positive(vocab, "vocab") * inputs, None, inputs * steps,
                  inputs * steps, repeat="never")
        )  # fmt: skip
    for n in range(int(positive(layers, "layers"))):
        wide = gates * hidden
        one = Layer(
            "input", 2 * before * wide * steps, (before + 1) * wide, None,
            before * steps, wide * steps, input_gradient=bool(n or vocab),
        )  # fmt: skip
        again = Layer(
            "recurrent", 2 * hidden * wide * steps, (hidden + 1) * wide, None,
            hidden * steps, (wide + hidden) * steps, flop * hidden * steps,
        )  # fmt: skip
        made += [one.times(directions), again.times(directions)]
        before = hidden * directions
    if outputs:
        made.append(_dense(before, positive(outputs, "outputs"), steps, part="head"))
    return tuple(made)


def perceptron_layers(widths: Sequence[float]) -> tuple[Layer, ...]:
    """All layers of a multi-layer perceptron for one sample: inputs, hidden, …, outputs."""
    if len(widths) < 2:  # noqa: PLR2004
        raise UsageError(
            f"a perceptron of {len(widths)} widths has no layer",
            remedy="give inputs and outputs at least, such as 784, 300, 10",
        )
    for width in widths:
        positive(width, "width")
    return tuple(
        _dense(a, b, 1.0, part="dense", first=not n) for n, (a, b) in enumerate(pairwise(widths))
    )


def _dense(a: float, b: float, rows: float, *, part: str, first: bool = False) -> Layer:
    return Layer(
        part, 2 * a * b * rows, a * b + b, None, a * rows, b * rows, b * rows,
        input_gradient=not first,
    )  # fmt: skip
