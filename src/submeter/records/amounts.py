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

_ORDER: Final = {basis: i for i, basis in enumerate(Basis)}


class Term(msgspec.Struct, frozen=True):
    """One product: ``value * prod_k exp(log_sds[k] * Z_k)``, or a doubt about zero.

    ``zero`` names the variable of a term ``value * |Z|``, which is nothing at best estimate and
    ``value`` per standard deviation: a factor of zero may be a little more.
    """

    value: float
    basis: Basis
    log_sds: dict[str, float] = {}
    zero: str = ""


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

    @classmethod
    def of(cls, quantity: Quantity) -> "Amount":
        """Take a metered *quantity*; its doubts become factors on its parts."""
        whole = {
            s.source_key: _log_sd(s.sd, quantity.value)
            for s in quantity.spreads
            if s.part is None and s.sd > 0 and quantity.value > 0
        }
        parts = [s for s in quantity.spreads if s.part and s.sd > 0 and quantity.value > 0]
        left = 1.0
        terms: list[Term] = []
        for s in parts:
            ratio = min(left, (s.part or 0.0) / quantity.value)
            left -= ratio
            own = {**whole, s.source_key: _log_sd(s.sd, s.part or 0.0)}
            terms += [Term(v * ratio, b, own) for b, v in quantity.basis.items() if v > 0]
        if left > 0:
            terms += [Term(v * left, b, whole) for b, v in quantity.basis.items() if v > 0]
        if quantity.value <= 0:
            terms = [
                Term(s.sd, Basis.MEASURED, zero=s.source_key) for s in quantity.spreads if s.sd > 0
            ] or [Term(0.0, b) for b in quantity.basis]
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
        return math.fsum(t.value for t in self.terms if not t.zero)

    @property
    def basis(self) -> dict[Basis, float]:
        """The value split by what it rests on."""
        split: dict[Basis, float] = {}
        for term in self.terms:
            if not term.zero:
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
            if term.zero:
                sds[term.zero] = sds.get(term.zero, 0.0) + term.value
        whole = math.fsum(sd * sd for sd in sds.values())
        ranked = sorted(sds.items(), key=lambda row: -row[1])
        return {key: sd * sd / whole for key, sd in ranked if sd > 0}

    def figure(self, unit: str, *, level: float = 0.95, source: str = "") -> Figure:
        """What a person is shown.

        Notes
        -----
        Mean and variance of the sum are those of its model, exactly; the interval is that of the
        log-normal distribution with the same two (Fenton and Wilkinson). The hard bounds are added
        outside.
        """
        low, high = _interval(self, level)
        split = self.basis
        whole = math.fsum(split.values())
        shares = {b: split[b] / whole for b in Basis if split.get(b, 0.0) > 0} if whole > 0 else {}
        return Figure(
            value=self.value,
            low=max(0.0, low - self.bound_low),
            high=high + self.bound_high,
            unit=unit,
            level=level,
            kind="propagated" if any(t.log_sds or t.zero for t in self.terms) else "bound",
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
    basis = max(term.basis, factor.basis, key=lambda b: _ORDER[b])
    if factor.value > 0:
        sds = dict(term.log_sds)
        if factor.log_sd > 0:
            sds[factor.key] = sds.get(factor.key, 0.0) + factor.log_sd
        return [Term(term.value * factor.value, basis, sds, term.zero)]
    made = [Term(0.0, basis)]
    if factor.zero_sd > 0 and not term.zero:  # twice nothing is nothing
        made.append(Term(term.value * factor.zero_sd, basis, term.log_sds, factor.key))
    return made


def _merged(terms: Iterable[Term]) -> tuple[Term, ...]:
    """Terms of equal doubt and basis as one."""
    by_doubt: dict[tuple[object, ...], Term] = {}
    for term in terms:
        key = (term.basis, term.zero, frozenset(term.log_sds.items()))
        old = by_doubt.get(key)
        by_doubt[key] = (
            term if old is None else msgspec.structs.replace(old, value=old.value + term.value)
        )
    return tuple(by_doubt.values())


def _log_sd(sd: float, value: float) -> float:
    """Deviation of the logarithm of *value*, which has a deviation of *sd*."""
    ratio = sd / value
    return math.sqrt(math.log1p(ratio * ratio))


_Z: Final = {0.95: 1.959964, 0.90: 1.644854}


def _interval(amount: Amount, level: float) -> tuple[float, float]:
    """Ends of the interval, bounds apart."""
    terms = [t for t in amount.terms if t.value > 0]
    means = [_moment(amount, t) for t in terms]
    mean = math.fsum(means)
    if mean <= 0:
        return 0.0, 0.0
    square = math.fsum(_moment(amount, a, b) for a in terms for b in terms)
    variance = math.log(max(1.0, square / mean**2))
    middle = math.log(mean) - variance / 2
    reach = _Z[level] * math.sqrt(variance)
    return math.exp(middle - reach), math.exp(middle + reach)


def _moment(amount: Amount, *terms: Term) -> float:
    """Expectation of the product of *terms*."""
    sds: dict[str, float] = {}
    zeros: dict[str, int] = {}
    for term in terms:
        for key, sd in term.log_sds.items():
            sds[key] = sds.get(key, 0.0) + sd
        if term.zero:
            zeros[term.zero] = zeros.get(term.zero, 0) + 1
    moment = math.prod(t.value for t in terms)
    for key, sd in sds.items():
        reach = math.sqrt(3.0) * sd
        moment *= math.sinh(reach) / reach if key in amount.uniform else math.exp(sd * sd / 2)
    for power in zeros.values():
        moment *= math.sqrt(2 / math.pi) if power == 1 else 1.0
    return moment
