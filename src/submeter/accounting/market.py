# SPDX-License-Identifier: Apache-2.0
"""Market-based emissions: what contracts claim, always beside the location-based ones."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from submeter.accounting.carbon import Intensity, Located, location_based
from submeter.accounting.ratios import per_kwh
from submeter.records.amounts import Amount, sum_amounts
from submeter.records.claims import Allocation, Claim, energy_words
from submeter.records.factors import Factor
from submeter.records.figures import Missing
from submeter.units import G_PER_KG, J_PER_WH

Level = Literal["certificates or contracts", "supplier rate", "residual mix", "location factor"]
# Guarantees of origin are mutually recognised: Directive (EU) 2018/2001, article 19; in the EEA by
# its joint committee; in Switzerland through the hub of the AIB.
_EUROPE: Final = frozenset({
    "AT", "BE", "BG", "CH", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE",
    "IS", "IT", "LI", "LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK",
})  # fmt: skip
# One market by the RE100 Technical Criteria; elsewhere a country is its own.
_NORTH_AMERICA: Final = frozenset({"US", "CA"})
MARKETS: Final = (_EUROPE, _NORTH_AMERICA)
CO2_ALONE: Final = (
    "the residual mix counts CO2 alone, no methane or nitrous oxide, of stacks alone"
)
GREENHOUSE_GASES: Final = "the residual mix counts greenhouse gases, of stacks alone"
CLAIMED_TWICE: Final = "without a residual mix, what others have claimed is counted here again"
OLDEST_YEARS: Final = 1  # a guarantee of origin expires a year after generation, article 19(3)


class Backed(msgspec.Struct, frozen=True):
    """An allocation with the emissions of its source: direct, and of the whole life cycle.

    Where the source is not known, ``residual`` is what is left in the market of the claim.
    """

    allocation: Allocation
    direct: Intensity | Missing
    lifecycle: Intensity | Missing
    residual: Intensity | Missing | None = None


class Layer(msgspec.Struct, frozen=True):
    """Energy of a run that one level of the hierarchy answers for, and how."""

    level: Level
    ratio: float  # of the energy of the run
    words: str


class Market(msgspec.Struct, frozen=True):
    """Market-based emissions [gCO2e] in the parts of `Located`, and how they came about.

    ``refused`` says of each claim that was not taken why not.
    """

    located: Located
    layers: tuple[Layer, ...]
    refused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def how(self) -> str:
        """The layers in words."""
        return "; ".join(layer.words for layer in self.layers)


def refusal(claim: Claim, zone: str, year: int) -> str:
    """Why *claim* may not stand for electricity used in *zone* in *year*; "" if it may.

    *zone* is a country (ISO 3166-1 alpha-2) or a zone of one (``US-CA``).

    References
    ----------
    .. [1] GHG Protocol Scope 2 Guidance (2015), chapter 7: Scope 2 Quality Criteria.
    """
    called = f"{claim.kind} {claim.id}"
    if not claim.is_energy:
        return f"{called} is no claim on electricity: it is shown apart, never subtracted"
    here, there = (z.partition("-")[0].upper() for z in (zone, claim.zone))
    if not there or not here:
        return f"{called}: its market or that of the run is not known"
    if here != there and not any({here, there} <= market for market in MARKETS):
        return f"{called} is of the market of {there}, the electricity of that of {here}"
    if claim.year > year:
        return f"{called} is of {claim.year}, after the electricity was used ({year})"
    if claim.year < year - OLDEST_YEARS:
        return f"{called} is of {claim.year}: too old for electricity of {year}"
    return ""


def market_based(
    location: Located,
    claims: Sequence[Backed] = (),
    *,
    zone: str,
    year: int,
    supplier: Intensity | Missing | None = None,
    residual: Intensity | Missing | None = None,
) -> Market:
    """Emissions by what contracts claim [gCO2e].

    Parameters
    ----------
    location
        Location-based emissions of the same energy; they are left as they are.
    claims
        What the run uses of certificates and contracts; each is looked at by `refusal`.
    zone, year
        Where and when the electricity was used.
    supplier
        Rate of the supplier [gCO2e/kWh], direct, market-based.
    residual
        Residual mix [gCO2/kWh], direct, market-based. That of the AIB is CO2 alone.

    Notes
    -----
    Energy goes to the first level that has something for it: certificates or contracts, then the
    supplier's rate, then the residual mix, then the location factor. Claims beyond the energy
    used claim nothing. A claim whose source is not known falls to the residual mix of its own
    market, else to the location factor, for its part alone. Each level gives direct emissions;
    those upstream are the source's own for claims and the location's for all else, since neither
    suppliers nor residual mixes tell them. What the lines lose is always the location's: a
    certificate covers what was used.

    References
    ----------
    .. [1] GHG Protocol Scope 2 Guidance (2015), chapter 6, table 6.3.
    """
    rest, rest_notes = _rest(location, supplier, residual)
    notes: tuple[str, ...] = ()
    taken = [(b, refusal(b.allocation.claim, zone, year)) for b in claims]
    refused = tuple(why for _, why in taken if why)
    energy = location.energy
    if isinstance(energy, Missing) or energy.value <= 0:
        return Market(location, (), refused, notes)
    left = 1.0
    parts: list[_Part] = []
    for backed, why in taken:
        wanted = 0.0 if why else backed.allocation.energy_wh * J_PER_WH / energy.value
        ratio = min(left, wanted)
        if (wanted - ratio) * energy.value >= J_PER_WH:  # less is a watt-hour begun
            notes = (*notes, f"{_called(backed)} claims more than was used: the surplus is none")
        if ratio > 0:
            left = max(0.0, left - ratio)
            part, words = _claimed(location, energy, backed, ratio)
            parts.append(part)
            notes = (*notes, *_doubts(backed), *words)
    if left > 0 or not parts:
        parts.append(_shrunk(rest, left))
        notes = (*notes, *rest_notes)
    grid = _sum(part.grid for part in parts)
    located = msgspec.structs.replace(
        location,
        direct=_sum(part.direct for part in parts),
        upstream=_sum(part.upstream for part in parts),
        grid=grid,
        total=grid if isinstance(location.loss, Missing) else _sum((grid, location.loss)),
        factors=tuple(dict.fromkeys(f for part in parts for f in part.factors)),
    )
    layers = tuple(part.layer for part in parts)
    return Market(located, layers, refused, tuple(dict.fromkeys(notes)))


# --- words that stand beside and never enter a figure -------------------------------------------


def matching_claim(
    provider: str, annual: Factor | Missing, hourly: Factor | Missing
) -> tuple[str, ...]:
    """A provider's claim to match a year's energy, beside what was carbon-free hour by hour."""
    if isinstance(annual, Missing):
        return ()
    claim = f"{provider} claims to match {_percent(annual.value)} of a year's energy"
    claim += f" ({annual.year})" if annual.year else ""
    beside = (
        f"how much was carbon-free hour by hour is not told ({hourly.why})"
        if isinstance(hourly, Missing)
        else f"hour by hour {_percent(hourly.value)} was carbon-free"
        + (f" ({hourly.year})" if hourly.year else "")
    )
    return (f"{claim}; {beside}; neither is a factor here",)


def shown_apart(claims: Sequence[Claim]) -> tuple[str, ...]:
    """Offsets and avoided carbon in words: recorded, never subtracted."""
    words = []
    for claim in claims:
        if claim.is_energy:
            continue
        amount_kg = claim.carbon_g / G_PER_KG
        what = "offset" if claim.kind == "offset" else "avoided elsewhere"
        where = f", {claim.registry}" if claim.registry else ", no registry named"
        words.append(
            f"{what}: {amount_kg:.4g} kgCO2e{where}, vintage {claim.year} ({claim.id}); "
            "shown apart, never subtracted"
        )
    return tuple(words)


# --- inside -------------------------------------------------------------------------------------


class _Part(msgspec.Struct, frozen=True):
    """Emissions of the energy of one layer."""

    layer: Layer
    direct: Amount | Missing
    upstream: Amount | Missing
    grid: Amount | Missing
    factors: tuple[Factor, ...] = ()


def _rest(
    location: Located, supplier: Intensity | Missing | None, residual: Intensity | Missing | None
) -> tuple[_Part, tuple[str, ...]]:
    """What the whole energy brings where nothing is claimed for it."""
    if isinstance(supplier, Intensity):
        return _rated(location, supplier, "supplier rate"), ()
    if isinstance(residual, Intensity):
        carbon_alone = _CO2_ONLY in residual.factor.note
        note = CO2_ALONE if carbon_alone else GREENHOUSE_GASES
        return _rated(location, residual, "residual mix"), (note,)
    why = "" if residual is None else f" ({residual.why})"
    layer = Layer("location factor", 1.0, f"location factor: no residual mix is known{why}")
    part = _Part(layer, location.direct, location.upstream, location.grid, location.factors)
    return part, (CLAIMED_TWICE,)


def _rated(location: Located, rate: Intensity, level: Level) -> _Part:
    factor = rate.must_be(scope="direct", method="market", signal="average")
    energy = location.energy
    direct = energy if isinstance(energy, Missing) else per_kwh(energy, factor)
    words = f"{level} of {factor.value:.4g} g/kWh ({factor.source or factor.key})"
    return _Part(
        layer=Layer(level, 1.0, words),
        direct=direct,
        upstream=location.upstream,
        grid=_sum((direct, location.upstream)),
        factors=(factor, *location.factors),
    )


def _claimed(
    location: Located, energy: Amount, backed: Backed, ratio: float
) -> tuple[_Part, tuple[str, ...]]:
    """Emissions of *ratio* of the energy, which comes from the source of a claim, and notes."""
    if isinstance(backed.lifecycle, Missing):
        part, notes = _rest(location, None, backed.residual)
        words = f"{_called(backed)}, {backed.lifecycle.why}: {part.layer.words}"
        layer = msgspec.structs.replace(part.layer, words=words)
        note = f"{_called(backed)}: {backed.lifecycle.why}, so it is reckoned by the {layer.level}"
        return _shrunk(msgspec.structs.replace(part, layer=layer), ratio), (note, *notes)
    own = msgspec.structs.replace
    of_source: tuple[Intensity | Missing, ...] = (backed.lifecycle, backed.direct)
    # A source's own intensity is no contract's: the claim is what makes it market-based.
    lifecycle, direct = (
        i if isinstance(i, Missing) else own(i, kind=own(i.kind, method="location"))
        for i in of_source
    )
    found = location_based(energy.scaled(ratio), lifecycle, direct, _NO_LINES)
    words = f"{_called(backed)} for {_percent(ratio)}"
    layer = Layer("certificates or contracts", ratio, words)
    return _Part(layer, found.direct, found.upstream, found.grid, found.factors), ()


_CO2_ONLY: Final = "CO2 only"  # note of the catalog's rows by the AIB
_NO_LINES: Final = Missing("a claim covers what was used, not what the lines lose")


def _shrunk(part: _Part, ratio: float) -> _Part:
    """*ratio* of a part, worded as the rest that it then is."""
    if ratio >= 1:
        return part
    words = f"{part.layer.words} for {_percent(ratio)}"
    layer = msgspec.structs.replace(part.layer, ratio=ratio, words=words)
    direct, upstream, grid = (
        a if isinstance(a, Missing) else a.scaled(ratio)
        for a in (part.direct, part.upstream, part.grid)
    )
    return _Part(layer, direct, upstream, grid, part.factors)


def _sum(parts: Iterable[Amount | Missing]) -> Amount | Missing:
    """Sum of *parts*, which is not known where one is not."""
    rows = list(parts)
    lacking = next((row for row in rows if isinstance(row, Missing)), None)
    return lacking or sum_amounts(row for row in rows if isinstance(row, Amount))


def _doubts(backed: Backed) -> tuple[str, ...]:
    claim = backed.allocation.claim
    words = []
    if not backed.allocation.is_retired:
        words.append(f"{_called(backed)} is not retired in its registry yet: provisional")
    if not claim.registry:
        words.append(f"{_called(backed)} names no registry that tracks it")
    if not claim.fuel:
        words.append(f"{_called(backed)} does not name its source")
    return tuple(words)


def _called(backed: Backed) -> str:
    claim = backed.allocation.claim
    energy = energy_words(backed.allocation.energy_wh)
    fuel = f" of {claim.fuel}" if claim.fuel else ""
    return f"{claim.kind} {claim.id} ({energy}{fuel}, {claim.zone} {claim.year})"


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.3g} %"
