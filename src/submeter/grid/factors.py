# SPDX-License-Identifier: Apache-2.0
"""Annual factors of a zone: direct, upstream, loss, residual mix, margin, water, price.

Each is looked up for the zone itself, then for the keys that stand in for it, and where a place
was guessed or another place stands in, the interval is widened and the note says so.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from submeter.catalog.facts import fact, facts, has, history
from submeter.errors import CoverageError
from submeter.grid.spreads import (
    around_world_ratios,
    around_world_sd,
    drift_sd,
    inside_country_sd,
)
from submeter.records.factors import NORMAL_95, Factor
from submeter.records.figures import Missing
from submeter.records.places import Zone
from submeter.records.traces import Kind

LIFECYCLE: Final = "average_lifecycle_production_g_per_kwh"
CONSUMED: Final = "average_lifecycle_consumption_g_per_kwh"
DIRECT: Final = "average_direct_g_per_kwh"
WORLD: Final = "WORLD"
_AGGREGATES: Final = frozenset(
    {WORLD, "EU27", "AFRICA", "ASIA", "EUROPE", "NAMERICA", "OCEANIA", "LATAM"}
)
_SHARE: Final = "share_"
_NO_FUEL: Final = frozenset({"storage", "unknown"})  # what was in the store came from the others
_LEAST_KNOWN_RATIO: Final = 0.8  # of a mix; below, it says nothing
# Upstream of what burns, a difference of two figures: supply chains leak a half to twice as much.
_UPSTREAM_SPAN: Final = 2.0
DRY: Final = {"hydro": "hydro:without-reservoirs"}
RESIDUAL_KIND: Final = Kind(scope="direct", method="market")
MARGINAL_KIND: Final = Kind(signal="marginal", scope="direct")


def keys_of(zone: Zone) -> tuple[str, ...]:
    """Keys of the rows of *zone*, its own first; the last is the world."""
    return tuple(dict.fromkeys((zone.code, *zone.parents, WORLD)))


def direct_factor(zone: Zone, *, year: int | None = None) -> Factor:
    """Stack emissions of what is generated in *zone* [gCO2e/kWh].

    An official figure, else the shares of generation times what each fuel emits when it burns.
    """
    for code in keys_of(zone):
        if has("grid", code, DIRECT):
            return _placed(_aged(fact("grid", code, DIRECT), year, zone), zone, code)
        mixed = mix_of(code, "direct_g_per_kwh")
        if mixed is not None:
            return _placed(mixed, zone, code)
    raise _nothing(zone, "direct emissions")


def upstream_factor(zone: Zone, *, year: int | None = None) -> Factor:
    """Emissions before the generators run: fuel supply and building of plants [gCO2e/kWh].

    Notes
    -----
    Lifecycle less direct, where that is within what the mix allows. The two are of other years or
    scopes in some countries, where direct even exceeds lifecycle; then it is the shares of
    generation times the upstream factor of each fuel, and the interval holds what there is.
    """
    for code in keys_of(zone):
        mixed = mix_of(code, "upstream")
        if mixed is not None:
            return _placed(_aged(_reconciled(code, mixed), year, zone), zone, code)
    raise _nothing(zone, "generation shares")


def loss_ratio(zone: Zone) -> Factor:
    """Part of what is sent out that transmission and distribution lose [ratio]."""
    for code in keys_of(zone):
        if has("grid", code, "td_loss_ratio"):
            return _noted(fact("grid", code, "td_loss_ratio"), _stand_in(zone, code))
    raise _nothing(zone, "grid losses")


def residual_factor(zone: Zone) -> Factor | Missing:
    """Residual mix of *zone*: what is left when all claims are taken out [gCO2/kWh].

    Market-based (`RESIDUAL_KIND`): never to be mixed with a location-based figure.
    """
    quantity = "residual_mix_g_per_kwh"
    for code in _inland(zone):
        if has("grid", code, quantity):
            made = fact("grid", code, quantity)
            return _noted(made, str(RESIDUAL_KIND), _stand_in(zone, code))
    return Missing(f"no residual mix is published for {zone.name}")


def marginal(zone: Zone) -> tuple[Factor, ...]:
    """What one more kilowatt-hour emits, by each maker that says it [gCO2/kWh]; may be empty.

    Of `MARGINAL_KIND`. Makers mean different things by it (an operating margin of a year, a model
    of the plant that follows the load), so they are never averaged.
    """
    found: list[Factor] = []
    if zone.cloud and has("cloud", zone.cloud, "marginal_g_per_kwh"):
        found.append(fact("cloud", zone.cloud, "marginal_g_per_kwh"))
    for code in _inland(zone):
        if has("grid", code, "operating_margin_g_per_kwh"):
            made = fact("grid", code, "operating_margin_g_per_kwh")
            found.append(_noted(made, _stand_in(zone, code)))
            break
    words = str(MARGINAL_KIND)
    return tuple(msgspec.structs.replace(f, note=_joined(words, f.note)) for f in found)


def water_factor(zone: Zone, *, reservoirs: bool) -> Factor:
    """Water that generation in *zone* consumes, at the generator [L/kWh].

    Parameters
    ----------
    zone
        Place of the run.
    reservoirs
        Whether the evaporation of hydropower's reservoirs counts. The two are never mixed.
    """
    words = f"{'with' if reservoirs else 'without'} evaporation of reservoirs"
    for code in keys_of(zone):
        if reservoirs and has("water", code, "ewif_l_per_kwh"):
            return _noted(fact("water", code, "ewif_l_per_kwh"), words, _stand_in(zone, code))
        mixed = mix_of(code, "water_consumption_l_per_kwh", {} if reservoirs else DRY)
        if mixed is not None:
            return _noted(mixed, words, _stand_in(zone, code))
    raise _nothing(zone, "water of generation")


def withdrawal_factor(zone: Zone) -> Factor:
    """Water that generation in *zone* takes out, most of which goes back [L/kWh]."""
    for code in keys_of(zone):
        mixed = mix_of(code, "water_withdrawal_l_per_kwh")
        if mixed is not None:
            return _noted(mixed, _stand_in(zone, code))
    raise _nothing(zone, "water of generation")


def price_factor(zone: Zone, currency: str = "USD") -> Factor | Missing:
    """Price of electricity for a large customer without recoverable taxes, per kWh.

    Parameters
    ----------
    zone
        Place of the run.
    currency
        ``USD`` or ``EUR``; other prices are not kept here, and exchange rates neither.

    Notes
    -----
    That of the zone or its country, else the wholesale mean, which holds neither grid nor levies.
    """
    unit = f"{currency.lower()}_per_kwh"
    for quantity in (f"price_{unit}", f"wholesale_{unit}"):
        for code in _inland(zone):
            if has("prices", code, quantity):
                made = fact("prices", code, quantity)
                words = "wholesale: without grid and levies" if "wholesale" in quantity else ""
                return _noted(made, words, _stand_in(zone, code))
    return Missing(f"no price of electricity in {currency} is known for {zone.name}")


def shares_of(code: str) -> dict[str, Factor]:
    """Shares of generation by fuel, of the row *code* itself; empty where they are not known."""
    for table in ("grid", "grid_odbl"):
        found = {
            f.key.split("/")[2].removeprefix(_SHARE).removesuffix("_ratio"): f
            for f in facts(table, code)
            if f.key.split("/")[2].startswith(_SHARE)
        }
        fuels = {fuel: f for fuel, f in found.items() if fuel not in _NO_FUEL}
        if math.fsum(f.value for f in fuels.values()) >= _LEAST_KNOWN_RATIO:
            return fuels
    return {}


def mix_of(code: str, quantity: str, instead: Mapping[str, str] | None = None) -> Factor | None:
    """Shares of generation times a factor by fuel; None where the shares are not known.

    *quantity* is one of the table ``generation``, or ``upstream``; *instead* names the row that
    stands for a fuel.

    The doubts of the fuels are independent: each side of the interval adds up in quadrature.
    """
    shares = shares_of(code)
    if not shares:
        return None
    instead = instead or {}
    whole = math.fsum(s.value for s in shares.values())
    value, down, up = 0.0, [], []
    sources: dict[str, None] = {}
    for fuel, share in shares.items():
        one = _of_fuel(instead.get(fuel, fuel), quantity)
        part = share.value / whole
        value += part * one.value
        if part <= 0:
            continue
        down += [part * (one.value - one.low), one.value * (share.value - share.low) / whole]
        up += [part * (one.high - one.value), one.value * (share.high - share.value) / whole]
        sources |= {one.source: None, share.source: None}
    first = next(iter(shares.values()))
    return Factor(
        key=f"{first.key.split('/')[0]}/{code}/mix:{quantity}{':dry' if instead else ''}",
        value=value,
        low=max(0.0, value - math.hypot(*down)),
        high=value + math.hypot(*up),
        unit="L/kWh" if quantity.startswith("water") else "g/kWh",
        source="; ".join(dict.fromkeys(w for s in sources for w in s.split("; "))),
        year=first.year,
        licence=first.licence,
        verified="derived",
        note=f"generation shares of {code} times factors by fuel",
    )


def _of_fuel(fuel: str, quantity: str) -> Factor:
    if quantity != "upstream":
        return fact("generation", fuel, quantity)
    life = fact("generation", fuel, "lifecycle_g_per_kwh")
    direct = fact("generation", fuel, "direct_g_per_kwh")
    if direct.value <= 0:
        return life
    value = max(0.0, life.value - direct.value)
    return _with(life, value, value / _UPSTREAM_SPAN, value * _UPSTREAM_SPAN)


def _reconciled(code: str, mixed: Factor) -> Factor:
    """Upstream of the mix, checked against lifecycle less direct of the same place."""
    if not has("grid", code, LIFECYCLE) or not has("grid", code, DIRECT):
        return mixed
    life, direct = fact("grid", code, LIFECYCLE), fact("grid", code, DIRECT)
    left = life.value - direct.value
    if mixed.low <= left <= mixed.high and left > 0:
        made = _with(mixed, left, mixed.low, mixed.high)
        return msgspec.structs.replace(
            made, key=f"grid/{code}/upstream", note="lifecycle - direct"
        )
    words = (
        f"lifecycle {life.value:.0f} ({life.year}) less direct {direct.value:.0f} ({direct.year})"
        f" leaves {left:.0f} g/kWh, which the mix does not allow: other years or scopes"
    )
    low = mixed.low / _UPSTREAM_SPAN if left < mixed.low else mixed.low
    return _noted(_with(mixed, mixed.value, low, max(mixed.high, left)), words)


def _placed(made: Factor, zone: Zone, code: str) -> Factor:
    """Widen *made* where nobody said that the run is at *code* itself."""
    down, up = place_ratios(zone, code, "direct")
    words = _stand_in(zone, code)
    if down < up:
        words = _joined(words, "widened by what places scatter")
        made = as_wide_as(made, down, up)
    if zone.guessed:
        made = msgspec.structs.replace(made, verified="assumed")
    return _noted(made, words)


def as_wide_as(made: Factor, down: float, up: float) -> Factor:
    """*made* with an interval that reaches from *down* to *up* times its value at least.

    Not added to its own: the interval of a mean over many grids is partly this doubt already.
    """
    low, high = min(made.low, made.value * down), max(made.high, made.value * up)
    return _with(made, made.value, low, high)


def place_ratios(zone: Zone, code: str, scope: str) -> tuple[float, float]:
    """95 % interval of what *zone* is over *code*, low and high: both 1 where the user said so."""
    if code == WORLD:
        return around_world_ratios(scope)
    reach = math.exp(NORMAL_95 * place_sd(zone, code))
    return 1 / reach, reach


def place_sd(zone: Zone, code: str) -> float:
    """Doubt that *code* is the grid of *zone*: none where the user said so."""
    if code == WORLD:
        return around_world_sd()
    if zone.guessed or zone.kind == "coordinates" or code != zone.code:
        return inside_country_sd(zone.country)
    return 0.0


def yearly(zone: Zone) -> list[tuple[int, float]]:
    """Year and annual intensity of *zone*, or of the nearest in its country that has several."""
    for code in _inland(zone):
        known = history("grid_odbl", code, CONSUMED)
        if known:
            return [(f.year, f.value) for f in known]
    return []


def _aged(made: Factor, year: int | None, zone: Zone) -> Factor:
    """Widen *made* by the years between it and the run."""
    years = abs(year - made.year) if year and made.year else 0
    if not years or made.value <= 0:
        return made
    more = NORMAL_95 * drift_sd(yearly(zone), years)
    up = math.hypot(math.log(made.high / made.value), more)
    down = math.hypot(math.log(made.value / made.low), more) if made.low > 0 else math.inf
    words = f"of {made.year}, widened by {years} years of drift"
    return _noted(
        _with(made, made.value, made.value * math.exp(-down), made.value * math.exp(up)), words
    )


def _inland(zone: Zone) -> Iterator[str]:
    """Keys of *zone* that lie in its country: claims and markets do not reach beyond."""
    return (code for code in keys_of(zone) if code not in _AGGREGATES)


def _stand_in(zone: Zone, code: str) -> str:
    return "" if code == zone.code else f"{code} stands in for {zone.code}"


def _with(made: Factor, value: float, low: float, high: float) -> Factor:
    return msgspec.structs.replace(made, value=value, low=low, high=high)


def _noted(made: Factor, *words: str) -> Factor:
    return msgspec.structs.replace(made, note=_joined(made.note, *words))


def _joined(*words: str) -> str:
    return "; ".join(filter(None, words))


def _nothing(zone: Zone, what: str) -> CoverageError:
    return CoverageError(
        f"the catalog has no {what} for {zone.name}", remedy="submeter factors lists what there is"
    )
