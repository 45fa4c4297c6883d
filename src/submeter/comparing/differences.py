# SPDX-License-Identifier: Apache-2.0
"""Two amounts beside each other: their ratio and their difference, shared doubts cancelled."""

import math
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from submeter.accounting.carbon import Difference, difference
from submeter.records.amounts import Amount
from submeter.records.factors import NORMAL_95
from submeter.records.figures import Missing
from submeter.records.intervals import coverage

LEVEL: Final = 0.95
_LARGEST_LOG: Final = 600.0


class Change(msgspec.Struct, frozen=True):
    """How one amount differs from another, with the 95 % interval of the ratio.

    Attributes
    ----------
    ratio, ratio_low, ratio_high
        After over before. ``ratio_high`` is infinite where *after* is only known to be more
        than its value, ``ratio_low`` is zero where *before* is.
    difference, difference_low, difference_high
        After minus before, in the unit of both; infinite ends as above.
    same
        Whether both are one and the same amount.
    """

    ratio: float
    ratio_low: float
    ratio_high: float
    difference: float
    difference_low: float
    difference_high: float
    same: bool = False

    @property
    def distinguishable(self) -> bool:
        """Whether the interval leaves out that both are equal."""
        return self.ratio_low > 1 or self.ratio_high < 1


class Known(msgspec.Struct, frozen=True):
    """An amount as far as it is known.

    ``least`` says that parts are missing, so that it is a lower bound; ``vague`` that nobody kept
    how far it may be off.
    """

    amount: Amount | Missing
    least: bool = False
    vague: bool = False


def change(before: Known, after: Known, *, log_sd: float = 0.0) -> Change | Missing:
    """How *after* differs from *before*, of one unit; doubts of equal key move both together.

    *log_sd* is a doubt of their ratio alone, such as that of a model between two loads.

    Returns
    -------
    Change or Missing
        `Missing` where either is, or where there is no ratio because one of them is nothing.

    Notes
    -----
    To first order in the logarithms, doubt ``k`` moves the ratio by
    ``sum_i s_ik a_i / a - sum_i s_ik b_i / b``. With ``u`` the root of the sum of their squares
    and ``z`` the quantile of `coverage`, half of the reach ``z u`` stands on either side, and the
    hard bounds add outside:

        high = (a exp(z u / 2) + bound) / (b exp(-z u / 2) - bound)

    so that the interval of the reversed order is exactly the inverse one.
    """
    old, new = before.amount, after.amount
    if isinstance(old, Missing):
        return old
    if isinstance(new, Missing):
        return new
    if before == after:
        return Change(1.0, 1.0, 1.0, 0.0, 0.0, 0.0, same=True)
    if old.value <= 0 or new.value <= 0:
        return Missing("there is no ratio to nothing")
    half = min(_reach(old, new, log_sd) / 2, _LARGEST_LOG)
    up, down = math.exp(half), math.exp(-half)
    ends = [(a.value * down - a.bound_low, a.value * up + a.bound_high) for a in (old, new)]
    (low_old, high_old), (low_new, high_new) = ((max(0.0, low), high) for low, high in ends)
    plain = _widened(difference(old, new), old, new, log_sd)
    vague = before.vague or after.vague
    falls, rises = before.least or vague, after.least or vague  # as far as one likes
    return Change(
        ratio=new.value / old.value,
        ratio_low=0.0 if falls else low_new / high_old,
        ratio_high=math.inf if rises or low_old <= 0 else high_new / low_old,
        difference=plain.value,
        difference_low=-math.inf if falls else plain.low,
        difference_high=math.inf if rises else plain.high,
    )


def renamed(amount: Amount, name: Callable[[str], str]) -> Amount:
    """*amount* with every key of doubt as *name* gives it; equal names of one term add."""
    return msgspec.structs.replace(
        amount,
        terms=tuple(
            msgspec.structs.replace(
                term,
                log_sds=_summed((name(key), sd) for key, sd in term.log_sds.items()),
                zeros=tuple(name(key) for key in term.zeros),
            )
            for term in amount.terms
        ),
        uniform=frozenset(name(key) for key in amount.uniform),
    )


# --- inside -------------------------------------------------------------------------------------


def _summed(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for key, sd in pairs:
        found[key] = found.get(key, 0.0) + sd
    return found


def _widened(plain: Difference, old: Amount, new: Amount, log_sd: float) -> Difference:
    """*plain* with a doubt of the ratio alone beside those of its sides."""
    if log_sd <= 0:
        return plain
    extra = NORMAL_95 * log_sd * math.sqrt(old.value * new.value)
    below, above = new.bound_low + old.bound_high, new.bound_high + old.bound_low
    low = math.hypot(plain.value - plain.low - below, extra) + below
    high = math.hypot(plain.high - plain.value - above, extra) + above
    return Difference(plain.value, plain.value - low, plain.value + high, plain.sign)


def _reach(before: Amount, after: Amount, log_sd: float) -> float:
    """Half width of the 95 % interval of the logarithm of the ratio."""
    moved: dict[str, float] = {}
    for sign, amount in ((1.0, after), (-1.0, before)):
        for term in amount.terms:
            part = sign * term.value / amount.value
            for key, sd in term.log_sds.items():
                moved[key] = moved.get(key, 0.0) + part * sd
            for key in term.zeros:
                moved[key] = moved.get(key, 0.0) + part
    whole = math.hypot(log_sd, *moved.values())
    if whole <= 0:
        return 0.0
    flat = before.uniform | after.uniform
    fourth = math.fsum((moved[key] / whole) ** 4 for key in flat if key in moved)
    return (coverage(-1.2 * fourth, LEVEL) if fourth else NORMAL_95) * whole
