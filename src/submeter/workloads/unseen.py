# SPDX-License-Identifier: Apache-2.0
"""How much of the time passes in what could not be counted, and how far that widens a count.

Where a real device ran the model, its clock says. On the meta device nothing passes, so the share
is between two readings: what could not be counted only moves its bytes, or it also computes as
much for each byte as the model's own products do.
"""

import math
from typing import Final

import msgspec

from submeter.workloads.tallies import PRODUCTS, Counted, Escaped, Row

# FLOP that devices do in the time of one byte of their memory: processors 10, an H100 300.
BALANCES_FLOP_PER_BYTE: Final = (10.0, 300.0)
MOST_SPREAD_RATIO: Final = 10.0  # beyond, the count says little; the note says so
CLOCK: Final = "by its clock"
BYTES: Final = "by bytes, at 10 to 300 FLOP a byte"


class Unseen(msgspec.Struct, frozen=True):
    """An operator that could not be counted, or not all of it, and its share of the time.

    Attributes
    ----------
    operator, modules, calls, why
        What it is, who called it how often, why it has no count.
    low_ratio, high_ratio
        Share of the time of the step.
    how
        How the share is known.
    partly
        Whether what torch saw of it is in the count.
    """

    operator: str
    modules: tuple[str, ...]
    calls: int
    why: str
    low_ratio: float
    high_ratio: float
    how: str
    partly: bool = False


def unseen(counted: Counted) -> tuple[Unseen, ...]:
    """What could not be counted, largest share first; empty if all was."""
    found = [
        Unseen(e.operator, e.modules, e.calls, e.why, *_share(counted, e), partly=e.partly)
        for e in counted.not_counted
    ]
    return tuple(sorted(found, key=lambda u: -u.high_ratio))


def spread_ratio_of(counted: Counted) -> float:
    """By what factor the work may be more or less than what was counted.

    Notes
    -----
    If a share *s* of the time is not in the count, the whole is ``1 / (1 - s)`` times the rest.
    """
    share = math.fsum(u.high_ratio for u in unseen(counted))
    return min(MOST_SPREAD_RATIO, 1 / (1 - share)) if share < 1 else MOST_SPREAD_RATIO


def _share(counted: Counted, escaped: Escaped) -> tuple[float, float, str]:
    """Least and largest share of the time, and how it is known."""
    if escaped.duration_ratio is not None and not escaped.partly:
        return escaped.duration_ratio, escaped.duration_ratio, f"{CLOCK} on {counted.device}"
    seen = [row for row in counted.rows if row.kind not in ("view", "unknown")]
    products = [row for row in seen if row.kind in PRODUCTS]
    product_bytes = math.fsum(row.cost.bytes_moved for row in products)
    product_flop = math.fsum(row.cost.executed_flop for row in products)
    intensity = product_flop / product_bytes if product_bytes else 0.0
    unknown = math.fsum(e.bytes_moved for e in counted.not_counted if not e.partly)
    ends: list[float] = []
    for balance in BALANCES_FLOP_PER_BYTE:
        known = math.fsum(_weight(row, balance) for row in seen)
        dense = max(1.0, intensity / balance)
        ends += [
            _part(escaped.bytes_moved, known + unknown),
            _part(escaped.bytes_moved * dense, known + unknown * dense),
        ]
    low = 0.0 if escaped.partly else min(ends)
    return low, max(ends), BYTES


def _weight(row: Row, balance: float) -> float:
    """Time of a row in that of one byte: computing and moving go on at once."""
    return max(row.cost.executed_flop / balance, row.cost.bytes_moved)


def _part(one: float, whole: float) -> float:
    return min(1.0, one / whole) if whole > 0 else 0.0
