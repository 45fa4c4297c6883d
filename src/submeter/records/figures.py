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
    """Standard deviation that one source of doubt gives to a quantity, in its unit."""

    source_key: str
    sd: float
    shape: Shape = "normal"


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
            spreads=tuple(Spread(s.source_key, s.sd * factor, s.shape) for s in self.spreads),
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
        """What a person is shown: as of the `Amount` of this quantity, one way for all."""
        from submeter.records.amounts import Amount

        return Amount.of(self).figure(unit, level=level, source=source)


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


def _merged(spreads: Iterable[Spread]) -> tuple[Spread, ...]:
    by_key: dict[str, Spread] = {}
    for s in spreads:
        old = by_key.get(s.source_key)
        by_key[s.source_key] = s if old is None else Spread(s.source_key, old.sd + s.sd, old.shape)
    return tuple(by_key.values())


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
