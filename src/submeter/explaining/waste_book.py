# SPDX-License-Identifier: Apache-2.0
"""Whose fault a joule was: claims on the energy of a run, each joule granted once.

The run's energy at the wall is laid out by device and slot of time. A detector claims joules of
these cells; they are granted in order, and a later claim gets what an earlier one left.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from submeter.records.devices import DeviceKind
from submeter.records.figures import Quantity
from submeter.records.observations import Observations
from submeter.records.runs import Run

Cells = dict[str, list[float]]  # device id -> energy at the wall in each slot [J]
_ROUNDS: Final = 4
_UNCOUNTED: Final = frozenset({DeviceKind.REST, DeviceKind.NODE})


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What a detector found.

    Attributes
    ----------
    cells
        Joules at the wall that it holds for wasted, by device and slot.
    low_ratio, high_ratio
        The rule's own doubt: what the price may be, over what is claimed [1].
    """

    key: str
    name: str
    cells: Mapping[str, Sequence[float]]
    why: str
    detail: dict[str, float] = {}
    places: tuple[str, ...] = ()
    source: str = ""
    low_ratio: float = 1.0
    high_ratio: float = 1.0


class Silence(msgspec.Struct, frozen=True):
    """Why a detector found nothing."""

    key: str
    why: str


class Book:
    """What of the run's energy nobody has claimed yet."""

    def __init__(self, cells: Mapping[str, Sequence[float]]) -> None:
        self.left: Cells = {device: list(row) for device, row in cells.items()}

    def grant(self, claim: Claim) -> float:
        """Take what is left of the claimed joules out of the book, and give their sum [J]."""
        granted = []
        for device, row in claim.cells.items():
            left = self.left.get(device, [])
            for i, asked in enumerate(row[: len(left)]):
                got = min(max(asked, 0.0), left[i])
                left[i] -= got
                granted.append(got)
        return math.fsum(granted)


def cells_of(run: Run, seen: Observations, whole_j: float) -> Cells:
    """The energy *whole_j* at the wall by device and slot [J].

    Notes
    -----
    What the node and the facility add follows the devices in proportion to the run's shares. In
    time each device is laid out by its power; where that was not read, by its mean.
    """
    shares = {
        d.device.id: d.share.value
        for d in run.devices
        if d.device.kind not in _UNCOUNTED and isinstance(d.share, Quantity) and d.share.value > 0
    }
    total_j = math.fsum(shares.values())
    if total_j <= 0 or whole_j <= 0:
        return {}
    lengths = slot_lengths_s(run, seen)
    return {
        device: laid_out(whole_j * share_j / total_j, _weights(device, seen, lengths))
        for device, share_j in shares.items()
    }


def slot_lengths_s(run: Run, seen: Observations) -> list[float]:
    """Lengths of the slots [s]; one for all where nothing was seen over time."""
    if seen.slots < 1 or seen.slot_s <= 0:
        return [max(run.duration_s, 1e-9)]
    return [
        min(seen.slot_s, max(1e-9, seen.duration_s - i * seen.slot_s)) for i in range(seen.slots)
    ]


def _weights(device_id: str, seen: Observations, lengths: Sequence[float]) -> list[float]:
    course = seen.device(device_id)
    power_w = () if course is None else course.mean_w[: len(lengths)]
    known = [w for w in power_w if w is not None and w >= 0]
    if not known or math.fsum(known) <= 0:
        return list(lengths)
    mean_w = math.fsum(known) / len(known)
    padded = [*power_w, *[None] * (len(lengths) - len(power_w))]
    return [
        (mean_w if w is None else max(w, 0.0)) * s for w, s in zip(padded, lengths, strict=True)
    ]


def laid_out(amount_j: float, weights: Sequence[float]) -> list[float]:
    """*amount_j* in proportion to *weights*."""
    whole = math.fsum(weights)
    if whole <= 0:
        return [0.0] * len(weights)
    return [amount_j * w / whole for w in weights]


def filled(amount_j: float, weights: Sequence[float], most: Sequence[float]) -> list[float]:
    """*amount_j* by *weights*, no place above what it holds; what does not fit goes on."""
    out = [0.0] * len(weights)
    left_j = amount_j
    for _ in range(_ROUNDS):
        open_ = [w if most[i] - out[i] > 0 else 0.0 for i, w in enumerate(weights)]
        if left_j <= 0 or math.fsum(open_) <= 0:
            break
        for i, more in enumerate(laid_out(left_j, open_)):
            out[i] += min(more, most[i] - out[i])
        left_j = amount_j - math.fsum(out)
    return out


def summed(cells: Iterable[Sequence[float]]) -> float:
    """All cells together [J]."""
    return math.fsum(math.fsum(row) for row in cells)
