# SPDX-License-Identifier: Apache-2.0
"""Series and limits brought to the slots of a plan."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from submeter.errors import UsageError

Floats = npt.NDArray[np.float64]
Span = tuple[float, float, int]  # start [s since 1970 UTC], length of a slot [s], slots


def constant(value: float, slots: int) -> Floats:
    """*value* in each slot, shape (slots,)."""
    return np.full(slots, value, dtype=np.float64)


def series(values: Sequence[float]) -> Floats:
    """*values* as an array, one for each slot."""
    return np.array(values, dtype=np.float64)


def weighted(parts: Iterable[tuple[float, Floats]]) -> Floats:
    """Sum of series times their weights, shape (slots,)."""
    total: Floats = np.sum([weight * values for weight, values in parts], axis=0)
    return total


def resampled(
    values: Sequence[float | None] | Floats, start_s: float, step_s: float, span: Span, name: str
) -> Floats:
    """Means over the slots of *span* of a series with its own start and step, shape (slots,).

    Raises
    ------
    UsageError
        If the series *name* does not cover the span.
    """
    begin_s, slot_s, slots = span
    known = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    parts = max(1, round(slot_s / step_s))
    offsets_s = (np.arange(parts) + 0.5) * slot_s / parts
    at = begin_s + np.arange(slots)[:, None] * slot_s + offsets_s
    index = np.floor((at - start_s) / step_s).astype(int)
    if (index < 0).any() or (index >= len(known)).any():
        raise UsageError(
            f"{name} does not cover the whole plan",
            remedy="give a longer series, or plan a shorter time",
        )
    means: Floats = known[index].mean(axis=1)
    return means


def capacity(
    most: float | None,
    limits: Iterable[tuple[int, int, float | None, float | None]],
    slots: int,
) -> Floats | None:
    """What there is in each slot, shape (slots,); None if nothing limits it.

    Parameters
    ----------
    most
        In all slots; None for no limit.
    limits
        First and last slot (half-open), the most there, and what is taken away there.
    """
    made = np.full(slots, np.inf if most is None else most, dtype=np.float64)
    for first, last, less, shed in limits:
        part = made[first:last]
        if less is not None:
            part = np.minimum(part, less)
        if shed is not None:
            part = np.maximum(0.0, part - shed)
        made[first:last] = part
    return made if np.isfinite(made).any() else None
