# SPDX-License-Identifier: Apache-2.0
"""Numbers that know their doubt: what is measured, what is modelled, and how far off it may be."""

import math
from collections.abc import Iterable
from enum import StrEnum
from typing import Final, Literal, Self

import msgspec

Shape = Literal["normal", "uniform"]
IntervalKind = Literal["bound", "propagated", "calibrated"]


class Basis(StrEnum):
    """Where a number comes from, best first."""

    MEASURED = "measured"
    DERIVED = "derived"
    MODELLED = "modelled"
    ASSUMED = "assumed"


WEAK_SHARE: Final = 0.2  # a basis that makes up more than this names the whole


class Missing(msgspec.Struct, frozen=True, tag="missing"):
    """A value that is not there, and why. Never a zero."""

    why: str

    def __str__(self) -> str:
        return f"missing: {self.why}"


class ErrorTerm(msgspec.Struct, frozen=True):
    """One independent source of doubt.

    Equal ``source_key`` add linearly over a sum, different ones in quadrature.
    """

    source_key: str
    relative_sd: float = 0.0
    absolute_sd: float = 0.0  # in the unit of the quantity
    shape: Shape = "normal"


class Spread(msgspec.Struct, frozen=True):
    """Standard deviation that one source of doubt gives to a quantity, in its unit.

    ``part`` is the amount that the doubt is a factor on, where that is not the whole: an overhead
    that may shrink to nothing takes no more than itself away.
    """

    source_key: str
    sd: float
    shape: Shape = "normal"
    part: float | None = None


class Quantity(msgspec.Struct, frozen=True, tag="quantity"):
    """A non-negative amount with its doubt, closed under sums and products.

    ``bound_low`` and ``bound_high`` (both >= 0, in the unit of the value) are hard: what reading
    and integration may have missed on either side. ``spreads`` are statistical: sensor gain,
    model, prior. ``basis`` splits the value itself; its amounts sum to it.
    """

    value: float
    bound_low: float = 0.0
    bound_high: float = 0.0
    spreads: tuple[Spread, ...] = ()
    basis: dict[Basis, float] = {}
    sources: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        value: float,
        *,
        basis: Basis,
        terms: Iterable[ErrorTerm] = (),
        bound_low: float = 0.0,
        bound_high: float = 0.0,
        source: str = "",
    ) -> Self:
        """Quantity of one *basis*, its *terms* turned into spreads."""
        spreads = tuple(
            Spread(t.source_key, abs(value) * t.relative_sd + t.absolute_sd, t.shape)
            for t in terms
        )
        return cls(
            value=value,
            bound_low=bound_low,
            bound_high=bound_high,
            spreads=_merged(spreads),
            basis={basis: value},
            sources=(source,) if source else (),
        )

    def scaled(self, factor: float) -> "Quantity":
        """Multiply by an exact *factor* >= 0; doubt and basis scale with it."""
        return Quantity(
            value=self.value * factor,
            bound_low=self.bound_low * factor,
            bound_high=self.bound_high * factor,
            spreads=tuple(
                Spread(
                    s.source_key,
                    s.sd * factor,
                    s.shape,
                    None if s.part is None else s.part * factor,
                )
                for s in self.spreads
            ),
            basis={b: v * factor for b, v in self.basis.items()},
            sources=self.sources,
        )

    def with_terms(self, terms: Iterable[ErrorTerm]) -> "Quantity":
        """Add doubt (of a split, of a factor); the value stays."""
        extra = tuple(
            Spread(t.source_key, abs(self.value) * t.relative_sd + t.absolute_sd, t.shape)
            for t in terms
        )
        return msgspec.structs.replace(self, spreads=_merged((*self.spreads, *extra)))

    @property
    def sd(self) -> float:
        """Standard deviation of all spreads together, in the unit of the value."""
        return math.hypot(*(s.sd for s in self.spreads))

    def figure(self, unit: str, *, level: float = 0.95, source: str = "") -> "Figure":
        """What a person is shown.

        Notes
        -----
        The spreads are combined in quadrature to ``s``; the interval is taken in the log domain,
        ``value * exp(+-k * sqrt(ln(1 + (s / value)^2)))``, so that it never crosses zero. The
        coverage factor ``k`` follows the kurtosis of the sum (see `coverage_factor`). Spreads on a
        part ``p`` of the value move only that part, between ``p * exp(+-k * s_p)``; per side, the
        logarithms of what the whole becomes are combined in quadrature. So with
        ``value = a + p`` the interval never leaves ``a`` for want of ``p``. The hard bounds are
        added outside.
        """
        low = high = self.value
        if self.spreads:
            k = coverage_factor(self.spreads, level=level)
            if self.value > 0:
                down, up = self._log_deviations(k)
                low, high = self.value * math.exp(-down), self.value * math.exp(up)
            else:
                high = self.value + k * self.sd
        total = sum(self.basis.values())
        shares = {b: v / total for b, v in self.basis.items() if v > 0} if total > 0 else {}
        return Figure(
            value=self.value,
            low=max(0.0, low - self.bound_low),
            high=high + self.bound_high,
            unit=unit,
            level=level,
            kind="propagated" if self.spreads else "bound",
            source=source or "; ".join(self.sources),
            basis_shares={b: shares[b] for b in Basis if b in shares},
        )

    def _log_deviations(self, k: float) -> tuple[float, float]:
        """How far the logarithm of the value may go down and up."""
        whole_sd = math.hypot(*(s.sd for s in self.spreads if s.part is None))
        whole = k * _log_sd(whole_sd, self.value)
        downs, ups = [whole], [whole]
        for s in self.spreads:
            if s.part is None or s.part <= 0:
                continue
            log_sd = _log_sd(s.sd, s.part)
            ratio = min(1.0, s.part / self.value)
            kept = 1.0 + ratio * math.expm1(-k * log_sd)
            downs.append(-math.log(kept) if kept > 0 else math.inf)
            ups.append(math.log1p(ratio * math.expm1(k * log_sd)))
        return math.hypot(*downs), math.hypot(*ups)


def total(parts: Iterable[Quantity]) -> Quantity:
    """Sum of *parts*: values exactly, equal sources of doubt linearly, bounds linearly."""
    rows = list(parts)
    basis: dict[Basis, float] = {}
    for row in rows:
        for name, amount in row.basis.items():
            basis[name] = basis.get(name, 0.0) + amount
    return Quantity(
        value=math.fsum(row.value for row in rows),
        bound_low=math.fsum(row.bound_low for row in rows),
        bound_high=math.fsum(row.bound_high for row in rows),
        spreads=_merged(s for row in rows for s in row.spreads),
        basis=basis,
        sources=tuple(dict.fromkeys(s for row in rows for s in row.sources)),
    )


def _log_sd(sd: float, value: float) -> float:
    """Deviation of the logarithm of *value*, which has a deviation of *sd*."""
    ratio = sd / value
    return math.sqrt(math.log1p(ratio * ratio))  # a square too large is infinite, no error


def _merged(spreads: Iterable[Spread]) -> tuple[Spread, ...]:
    by_key: dict[str, Spread] = {}
    for s in spreads:
        old = by_key.get(s.source_key)
        by_key[s.source_key] = s if old is None else _together(old, s)
    return tuple(by_key.values())


def _together(a: Spread, b: Spread) -> Spread:
    """One source of doubt seen twice: it adds linearly, and so do the parts that it is on."""
    part = None if a.part is None or b.part is None else a.part + b.part
    return Spread(a.source_key, a.sd + b.sd, a.shape, part)


# 97.5 % quantile, in standard deviations, of the symmetric beta distribution (Pearson type II)
# with this excess kurtosis: -1.2 is a uniform distribution, 0 a normal one. Regenerated and
# checked against scipy by tests/records/test_figures.py.
_KURTOSIS: Final = (-1.2, -1.0, -0.8, -0.6, -0.4, -0.2, 0.0)
_LEVELS: Final = {
    0.95: (1.6454, 1.7567, 1.8333, 1.8848, 1.9196, 1.9435, 1.9600),
    0.90: (1.5588, 1.6108, 1.6361, 1.6467, 1.6495, 1.6482, 1.6449),
}


def coverage_factor(spreads: Iterable[Spread], *, level: float = 0.95) -> float:
    """How many standard deviations hold *level* of a sum of independent errors.

    Notes
    -----
    The sum of independent symmetric errors with variances ``u_i^2`` and excess kurtosis ``g_i``
    (uniform -1.2, normal 0) has ``g = sum(g_i u_i^4) / (sum u_i^2)^2``. The quantile is that of
    the symmetric beta distribution of equal kurtosis, exact for one uniform error and for normal
    ones, and within 1 % between.

    References
    ----------
    .. [1] JCGM 100:2008 (GUM), 4.3.7 and annex G.
    """
    rows = list(spreads)
    whole = math.hypot(*(s.sd for s in rows))
    if level not in _LEVELS:
        msg = f"level must be one of {sorted(_LEVELS)}, got {level}"
        raise ValueError(msg)
    uniform = [s.sd / whole for s in rows if s.shape == "uniform"] if whole > 0 else []
    kurtosis = max(-1.2, -1.2 * math.fsum(r**4 for r in uniform))
    table = _LEVELS[level]
    place = (kurtosis - _KURTOSIS[0]) / 0.2
    i = min(int(place), len(table) - 2)
    return table[i] + (table[i + 1] - table[i]) * (place - i)


class Figure(msgspec.Struct, frozen=True, tag="figure"):
    """A number shown to a person: value, interval, unit, source and what it rests on."""

    value: float
    low: float
    high: float
    unit: str
    level: float = 0.95
    kind: IntervalKind = "propagated"
    source: str = ""
    basis_shares: dict[Basis, float] = {}

    @property
    def basis(self) -> Basis:
        """The weakest basis that makes up more than a fifth."""
        for basis in reversed(Basis):
            if self.basis_shares.get(basis, 0.0) > WEAK_SHARE:
                return basis
        return max(self.basis_shares, key=lambda b: self.basis_shares[b], default=Basis.ASSUMED)

    @property
    def kwh(self) -> float:
        """Energy in kilowatt-hours; only of a figure in joules."""
        from submeter.units import joule_to_kwh

        if self.unit != "J":
            msg = f"a figure in {self.unit} is not an energy"
            raise ValueError(msg)
        return joule_to_kwh(self.value)

    def to_dict(self) -> dict[str, object]:
        """Words of the JSON for this figure (schema 1)."""
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "level": self.level,
            "unit": self.unit,
            "basis": str(self.basis),
            "basis_shares": {str(b): round(v, 6) for b, v in self.basis_shares.items()},
            "kind": self.kind,
            "source": self.source,
        }

    def __str__(self) -> str:
        return f"{self.value:.3g} {self.unit} ({self.low:.3g} … {self.high:.3g}), {self.basis}"
