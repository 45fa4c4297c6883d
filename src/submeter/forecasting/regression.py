# SPDX-License-Identifier: Apache-2.0
"""Linear forecasts by lead time, each shrunk towards what holds in other zones.

For leads *a* (anchors) the deviation ``y`` from a base is fitted on features ``F``, both over the
spread of the series, by ridge regression towards coefficients ``b0`` of a pool of other zones::

    b = (S + n0 L)^-1 (r + n0 L b0),    S = sum F F',  r = sum F y,  L = mean F F' of the pool

so that the pool counts like *n0* hours of the zone's own past (a g-prior; Zellner 1986).
Between anchors coefficients are interpolated, never across a whole day, where features age.
The pool was made by ``benchmarks/fit_forecast.py``, from zones that are not scored.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import numpy as np

from submeter.forecasting.features import COUNT, Past
from submeter.forecasting.series import Floats, Ints

# Leads of the fits, in whole slots and hours: a lead given as day's end is the last slot of a day.
_ANCHORS_H: Final = (
    0, 1, 2, 3, 4, 6, 8, 10, 12, 15, 18, 21, 24, 30, 36, 42, 48, 60, 72, 84, 96, 120, 144,
    168, 192,
)  # fmt: skip
_DAYS_ENDS: Final = (24, 48, 72, 96, 120, 144, 168)
PRIOR_H: Final = 8_000.0  # the pool counts like this many hours
_RIDGE: Final = 1e-3  # keeps features that nearly say the same apart


def anchors(per_hour: int) -> Ints:
    """Leads that are fitted, in slots, ascending: a lead of 0 is the slot that begins now."""
    leads = [hours * per_hour for hours in _ANCHORS_H] + [h * per_hour - 1 for h in _DAYS_ENDS]
    leads[_ANCHORS_H.index(192)] -= 1
    return np.array(sorted(leads), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Pool:
    """Mean products of features and deviation in other zones, shape (anchors, p + 1, p + 1)."""

    products: Floats
    zones: tuple[str, ...] = ()

    def coefficients(self) -> Floats:
        """What holds in those zones, shape (anchors, p)."""
        return _solved(self._features(), self.products[:, :COUNT, COUNT])

    def shrunk(self, sums: Floats, prior_h: float = PRIOR_H) -> Floats:
        """Coefficients of a zone of which *sums* of products over hours are known."""
        features = self._features()
        told = sums[:, :COUNT, COUNT] + prior_h * np.einsum(
            "aij,aj->ai", features, self.coefficients()
        )
        return _solved(sums[:, :COUNT, :COUNT] + prior_h * features, told)

    def errors(self, sums: Floats, coefficients: Floats, prior_h: float = PRIOR_H) -> Floats:
        """Standard deviation of the error by anchor, over the spread of the series."""
        both = sums + prior_h * self.products
        square: Floats = (
            both[:, COUNT, COUNT]
            - 2 * np.einsum("ai,ai->a", coefficients, both[:, :COUNT, COUNT])
            + np.einsum("ai,aij,aj->a", coefficients, both[:, :COUNT, :COUNT], coefficients)
        )
        weight = both[:, COUNT - 1 - _SPREAD_FROM_END, COUNT - 1 - _SPREAD_FROM_END]
        return np.asarray(np.sqrt(np.maximum(square, 0) / np.maximum(weight, 1e-12)))

    def _features(self) -> Floats:
        plain = self.products[:, :COUNT, :COUNT]
        mean = np.einsum("aii->a", plain) / COUNT
        return np.asarray(plain + _RIDGE * mean[:, None, None] * np.eye(COUNT))


# The feature "spread" is 1 after scaling: its square counts samples.
_SPREAD_FROM_END: Final = 9


def _solved(left: Floats, right: Floats) -> Floats:
    return np.asarray(np.linalg.solve(left, right[..., None])[..., 0])


@cache
def pool() -> Pool:
    """The pool that comes with submeter."""
    with files("submeter.forecasting").joinpath("pool.npz").open("rb") as file:
        kept = np.load(file)
        packed, zones = kept["products"].astype(np.float64), tuple(kept["zones"].tolist())
    size = COUNT + 1
    rows, columns = np.triu_indices(size)
    products = np.zeros((len(packed), size, size))
    products[:, rows, columns] = packed
    products[:, columns, rows] = packed
    return Pool(products, zones)


def products(past: Past, first: int, last: int) -> Floats:
    """Sums of products over the slots *first* to *last* as targets, shape (anchors, p+1, p+1).

    Each target is looked at from all anchors; gaps, and what lies before the first reading,
    count nothing.
    """
    leads = anchors(past.per_hour)
    targets = np.arange(first, last, dtype=np.int64)
    ahead = np.broadcast_to(targets, (len(leads), len(targets)))
    made = ahead - leads[:, None]
    there = (made >= 1) & past.known[ahead]
    features, base, spread = past.look(np.maximum(made, 1).ravel(), np.maximum(ahead, 1).ravel())
    target = past.values[ahead.ravel()] - base
    rows = np.concatenate([features, target[:, None]], axis=1) / spread[:, None]
    rows = np.where(there.ravel()[:, None], rows, 0.0).reshape(len(leads), len(targets), -1)
    return np.asarray(np.matmul(rows.transpose(0, 2, 1), rows))


@cache
def weights(per_hour: int, leads: int) -> Floats:
    """Share that each anchor has in leads 0 to *leads* - 1, shape (leads, anchors)."""
    fitted = anchors(per_hour)
    lead = np.arange(leads)
    below = np.clip(np.searchsorted(fitted, lead, side="right") - 1, 0, len(fitted) - 1)
    above = np.minimum(below + 1, len(fitted) - 1)
    gap = np.maximum(fitted[above] - fitted[below], 1)
    share = np.where(above > below, np.clip((lead - fitted[below]) / gap, 0, 1), 0.0)
    made = np.zeros((leads, len(fitted)))
    np.add.at(made, (lead, below), 1 - share)
    np.add.at(made, (lead, above), share)
    return made
