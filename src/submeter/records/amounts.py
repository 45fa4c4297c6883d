# SPDX-License-Identifier: Apache-2.0
"""Amounts: sums of products of uncertain factors, exact in value, with their interval.

A `Quantity` is what metering knows of one device. An `Amount` is what accounting makes of many of
them: devices summed, times overhead, times grams per kilowatt-hour. It keeps every term apart, so
that a doubt which several terms share moves them together, and independent ones partly cancel.
"""

import math
from collections.abc import Iterable
from typing import Final

import msgspec

from submeter.records.factors import Factor
from submeter.records.figures import Basis, Figure, Quantity
from submeter.records.intervals import Row, interval

_NOTHING: Final = 100.0  # a value that its deviation exceeds as often is as good as zero
_rank: Final = list(Basis).index


class Term(msgspec.Struct, frozen=True):
    """One product: ``value * prod_k exp(log_sds[k] * Z_k)``, or a doubt about zero.

    ``zeros`` names the variables of a term ``value * prod |Z|``, which is nothing at best estimate
    and ``value`` per standard deviation: a factor of zero may be a little more.
    """

    value: float
    basis: Basis
    log_sds: dict[str, float] = {}
    zeros: tuple[str, ...] = ()


class Amount(msgspec.Struct, frozen=True, tag="amount"):
    """A non-negative amount in any unit, closed under sums and products with factors.

    ``bound_low`` and ``bound_high`` are hard and add outside the interval. ``uniform`` are the
    keys whose variable is uniform (a tolerance), all others are normal.
    """

    terms: tuple[Term, ...]
    bound_low: float = 0.0
    bound_high: float = 0.0
    uniform: frozenset[str] = frozenset()
    sources: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Value and interval; the terms, of which there may be hundreds, are left out."""
        return f"Amount({self})"

    def __str__(self) -> str:
        """Value and 95 % interval, without a unit: an amount does not know its own."""
        return self.written()

    def written(self, per_unit: float = 1.0) -> str:
        """Value and 95 % interval in a unit that is *per_unit* of this one: ``12 (10 – 15)``."""
        figure = self.figure("")
        value, low, high = (_short(x / per_unit) for x in (figure.value, figure.low, figure.high))
        return value if low == high else f"{value} ({low} – {high})"

    @classmethod
    def of(cls, quantity: Quantity) -> "Amount":
        """Take a metered *quantity*; each of its doubts becomes a factor on it.

        A doubt with a standard deviation ``s`` about a value ``v`` gets ``sqrt(ln(1 + (s/v)^2))``
        in the log domain, so that no interval crosses zero. Where ``v`` is nothing beside ``s``,
        it may be a little more.
        """
        value, doubts = quantity.value, [s for s in quantity.spreads if s.sd > 0]
        split = {b: v for b, v in quantity.basis.items() if v > 0}
        most = max(
            split,
            key=split.__getitem__,
            default=max(quantity.basis, default=Basis.ASSUMED, key=_rank),
        )
        rest = value - math.fsum(split.values())  # a rounding, or all of it
        split[most] = split.get(most, 0.0) + rest
        sds = {s.source_key: _log_sd(s.sd, value) for s in doubts if s.sd <= _NOTHING * value}
        terms = [Term(v, b, sds) for b, v in split.items()]
        terms += [
            Term(s.sd, most, zeros=(s.source_key,)) for s in doubts if s.source_key not in sds
        ]
        return cls(
            terms=_merged(terms),
            bound_low=quantity.bound_low,
            bound_high=quantity.bound_high,
            uniform=frozenset(s.source_key for s in quantity.spreads if s.shape == "uniform"),
            sources=quantity.sources,
        )

    @classmethod
    def exact(cls, value: float, basis: Basis, source: str = "") -> "Amount":
        """Take a number without doubt, such as one that was published."""
        return cls(terms=(Term(value, basis),), sources=(source,) if source else ())

    @property
    def value(self) -> float:
        """Best estimate, the sum of the terms."""
        return math.fsum(t.value for t in self.terms if not t.zeros)

    @property
    def basis(self) -> dict[Basis, float]:
        """The value split by what it rests on."""
        split: dict[Basis, float] = {}
        for term in self.terms:
            if not term.zeros:
                split[term.basis] = split.get(term.basis, 0.0) + term.value
        return split

    def scaled(self, ratio: float) -> "Amount":
        """Multiply by an exact *ratio* >= 0, such as a change of unit."""
        return msgspec.structs.replace(
            self,
            terms=tuple(msgspec.structs.replace(t, value=t.value * ratio) for t in self.terms),
            bound_low=self.bound_low * ratio,
            bound_high=self.bound_high * ratio,
        )

    def times(self, factor: Factor) -> "Amount":
        """Multiply by an uncertain *factor*; the result rests on the weaker of both.

        Notes
        -----
        A factor above zero multiplies each term by ``exp(log_sd * Z)`` of its own key. A factor of
        zero that may be a little more gives terms ``value * zero_sd * |Z|``.
        """
        made = [t for term in self.terms for t in _product(term, factor)]
        source = (factor.source,) if factor.source else ()
        top = factor.value if factor.value > 0 else factor.high
        return Amount(
            terms=_merged(made),
            bound_low=self.bound_low * factor.value,
            bound_high=self.bound_high * top,
            uniform=self.uniform,
            sources=tuple(dict.fromkeys((*self.sources, *source))),
        )

    def shares_of_variance(self) -> dict[str, float]:
        """Part of the variance by key of doubt, to first order, largest first; sums to 1."""
        sds: dict[str, float] = {}
        for term in self.terms:
            for key, sd in term.log_sds.items():
                sds[key] = sds.get(key, 0.0) + term.value * sd
            for key in term.zeros:
                sds[key] = sds.get(key, 0.0) + term.value
        largest = max(sds.values(), default=0.0)
        squares = {key: (sd / largest) ** 2 for key, sd in sds.items() if sd > 0}
        whole = math.fsum(squares.values())
        ranked = sorted(squares.items(), key=lambda row: -row[1])
        return {key: square / whole for key, square in ranked if square > 0}

    def figure(self, unit: str, *, level: float = 0.95, source: str = "") -> Figure:
        """What a person is shown.

        Notes
        -----
        The interval holds the sum of the terms with probability *level* (see `interval`), and the
        value in any case: what may only be more begins at it. The hard bounds are added outside.
        """
        rows = [Row(t.value, t.log_sds, t.zeros) for t in self.terms]
        low, high = interval(rows, uniform=self.uniform, level=level)
        whole, split = self.value, self.basis
        shares = {b: split[b] / whole for b in Basis if split.get(b, 0.0) > 0} if whole > 0 else {}
        return Figure(
            value=whole,
            low=max(0.0, min(low, whole) - self.bound_low),
            high=max(high, whole) + self.bound_high,
            unit=unit,
            level=level,
            kind="propagated" if any(t.log_sds or t.zeros for t in self.terms) else "bound",
            source=source or "; ".join(self.sources),
            basis_shares=shares,
        )


def sum_amounts(parts: Iterable[Amount]) -> Amount:
    """Sum of *parts*: values exactly, terms with the same doubt together, bounds linearly."""
    rows = list(parts)
    return Amount(
        terms=_merged(t for row in rows for t in row.terms),
        bound_low=math.fsum(row.bound_low for row in rows),
        bound_high=math.fsum(row.bound_high for row in rows),
        uniform=frozenset(k for row in rows for k in row.uniform),
        sources=tuple(dict.fromkeys(s for row in rows for s in row.sources)),
    )


def _product(term: Term, factor: Factor) -> list[Term]:
    basis = max(term.basis, factor.basis, key=_rank)
    if factor.value > 0:
        sds = dict(term.log_sds)
        if factor.log_sd > 0:
            sds[factor.key] = sds.get(factor.key, 0.0) + factor.log_sd
        return [Term(term.value * factor.value, basis, sds, term.zeros)]
    made = [Term(0.0, basis)]
    if factor.zero_sd > 0:
        zeros = (*term.zeros, factor.key)
        made.append(Term(term.value * factor.zero_sd, basis, term.log_sds, zeros))
    return made


def _merged(terms: Iterable[Term]) -> tuple[Term, ...]:
    """Terms of equal doubt and basis as one."""
    by_doubt: dict[tuple[object, ...], Term] = {}
    for term in terms:
        key = (term.basis, term.zeros, frozenset(term.log_sds.items()))
        old = by_doubt.get(key)
        by_doubt[key] = (
            term if old is None else msgspec.structs.replace(old, value=old.value + term.value)
        )
    return tuple(by_doubt.values())


def _short(number: float) -> str:
    """*number* at four digits, without an exponent up to the millions."""
    rounded = float(f"{number:.4g}")
    return f"{rounded:.0f}" if 1e4 <= rounded < 1e7 else f"{rounded:g}"  # noqa: PLR2004  # as said


def _log_sd(sd: float, value: float) -> float:
    """Deviation of the logarithm of *value*, which has a deviation of *sd*."""
    ratio = sd / value
    return math.sqrt(math.log1p(ratio * ratio))
