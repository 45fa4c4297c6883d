# SPDX-License-Identifier: Apache-2.0
"""What electricity costs: flat, by the hours of a tariff, or by a series of prices."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Final

import msgspec

from submeter.accounting.ratios import exactly, per_kwh
from submeter.errors import CoverageError, UsageError
from submeter.records.amounts import Amount
from submeter.records.factors import Factor
from submeter.records.figures import Missing
from submeter.records.footprints import Money
from submeter.records.traces import Load
from submeter.units import G_PER_T, S_PER_H

DAY_S: Final = 24 * S_PER_H
# Clocks of all zones in use stand a multiple of a quarter of an hour from UTC, and change on one.
QUARTER_S: Final = S_PER_H // 4
ENERGY_ALONE: Final = "demand and standing charges, taxes that follow no kilowatt-hour: not in it"
CARBON_APART: Final = (
    "the price of carbon is shown apart and not added: where generators pay for theirs, it is a "
    "part of the price of electricity already"
)
_WINDOW: Final = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})=(\d+(?:\.\d+)?)", re.ASCII)
_REST: Final = re.compile(r"else=(\d+(?:\.\d+)?)", re.IGNORECASE | re.ASCII)
_FLAT: Final = re.compile(
    r"([€$£]|[a-z]{3})?(\d+(?:\.\d+)?)([€$£]|[a-z]{3})?(?:(?:/|per)kwh)?",
    re.IGNORECASE | re.ASCII,
)
_SIGNS: Final = {"€": "EUR", "$": "USD", "£": "GBP"}
_QUALITY: Final = re.compile(
    r"(?:^|[^a-z])(?:acc|accuracy|f1|auc|auroc|bleu|map|score|precision|recall|reward)"
    r"(?:[^a-z]|$)",
    re.IGNORECASE,
)
_REMEDY: Final = 'write it like "22:00-06:00=0.18,else=0.31", or as one price'


class Window(msgspec.Struct, frozen=True):
    """A stretch of each day by the local clock, with the price that holds in it per kWh."""

    start_s: int  # since midnight
    end_s: int  # since midnight, after the start, at most a day
    price_per_kwh: float


class Tariff(msgspec.Struct, frozen=True):
    """Prices by the local clock, which cover each day without a gap; one window is flat."""

    windows: tuple[Window, ...]
    currency: str
    words: str

    @property
    def is_flat(self) -> bool:
        """Whether the hour makes no difference."""
        return len({window.price_per_kwh for window in self.windows}) == 1


def parse_tariff(words: str, currency: str) -> Tariff:
    """Read a price per kWh, or a tariff such as ``22:00-06:00=0.18,else=0.31``.

    Raises
    ------
    UsageError
        If it is neither, two windows overlap, or part of the day has no price.
    """
    said = "".join(words.split())
    if found := _FLAT.fullmatch(said):
        before, price, after = found.groups()
        unit = _SIGNS.get(before or after or "", (before or after or "").upper())
        return Tariff((Window(0, DAY_S, float(price)),), unit or currency, words.strip())
    rest: float | None = None
    windows: list[Window] = []
    for part in said.split(","):
        if found := _REST.fullmatch(part):
            if rest is not None:
                raise _wrong(words, "it says else twice")
            rest = float(found[1])
        elif found := _WINDOW.fullmatch(part):
            windows += _stretches(words, found.groups())
        else:
            raise _wrong(words, f"{part!r} is no window of a day with a price")
    return Tariff(_whole_day(words, windows, rest), currency, words.strip())


def tariff_price(
    tariff: Tariff, load: Load | Missing, utc_offset_s: Callable[[float], float] | Missing
) -> Factor | Missing:
    """Mean price of *tariff* over a load, weighted by energy [currency/kWh].

    Parameters
    ----------
    load
        When energy was drawn; a flat tariff does not need it.
    utc_offset_s
        How far the local clock is ahead of UTC at an instant, in seconds.

    Notes
    -----
    ``sum_w E_w p_w / sum_w E_w`` with ``E_w`` the energy drawn in window ``w``, taken as even
    within a slot of the load. Clocks may change between any two quarters of an hour.
    """
    if tariff.is_flat:
        return _stated(tariff, tariff.windows[0].price_per_kwh)
    if isinstance(load, Missing):
        return load
    if isinstance(utc_offset_s, Missing):
        return utc_offset_s
    if not load.energies_j or load.slot_s <= 0:
        raise CoverageError("a tariff by hours needs to know when energy was drawn")
    sums = [0.0, *accumulate(load.energies_j)]
    end_s = load.start_utc_s + load.slot_s * len(load.energies_j)
    by_time = sums[-1] <= 0
    paid: list[float] = []
    weights: list[float] = []
    for begin_s, stop_s, price in _priced(tariff, load.start_utc_s, end_s, utc_offset_s):
        if by_time:
            weight = stop_s - begin_s
        else:
            weight = _until(load, sums, stop_s) - _until(load, sums, begin_s)
        paid.append(weight * price)
        weights.append(weight)
    prices = [window.price_per_kwh for window in tariff.windows]
    mean = math.fsum(paid) / math.fsum(weights)
    return _stated(tariff, min(max(mean, min(prices)), max(prices)))  # rounding stays inside


def electricity_cost(facility: Amount | Missing, price: Factor | Missing) -> Amount | Missing:
    """*facility* energy [J] times a price per kWh, in the currency of the price."""
    if isinstance(facility, Missing):
        return facility
    if isinstance(price, Missing):
        return price
    if price.value < 0:
        return Missing(f"the mean price was {price.value:g} {price.unit}: use was paid for")
    return per_kwh(facility, price)


def carbon_cost(carbon: Amount | Missing, price: Factor | Missing) -> Amount | Missing:
    """*carbon* [gCO2e] times a price per tonne, in the currency of the price."""
    if isinstance(carbon, Missing):
        return carbon
    return price if isinstance(price, Missing) else carbon.times(price.scaled(1 / G_PER_T))


def cost(
    facility: Amount | Missing,
    price: Factor | Missing,
    *,
    carbon: Amount | Missing | None = None,
    carbon_price: Factor | Missing | None = None,
) -> Money:
    """Cost of the electricity of a run, and beside it that of its carbon at a price.

    Raises
    ------
    UsageError
        If the two prices are in different currencies: none is turned into another here.
    """
    electricity = electricity_cost(facility, price)
    currency = "" if isinstance(price, Missing) else currency_of(price)
    if carbon is None or carbon_price is None:
        return Money(electricity=electricity, currency=currency, notes=(ENERGY_ALONE,))
    if isinstance(carbon_price, Factor):
        other = currency_of(carbon_price)
        if currency and other != currency:
            raise UsageError(
                f"electricity is priced in {currency} and carbon in {other}: sums need one",
                remedy=f"give both prices in {currency}",
            )
        currency = other
    return Money(
        electricity=electricity,
        carbon=carbon_cost(carbon, carbon_price),
        currency=currency,
        notes=(ENERGY_ALONE, CARBON_APART),
    )


def cost_per(cost: Amount | Missing, units: float, what: str) -> Amount | Missing:
    """*cost* for each of *units*: a sample, a thousand tokens, a point of accuracy."""
    if isinstance(cost, Missing):
        return cost
    if not math.isfinite(units) or units <= 0:
        return Missing(f"a run of {units:g} {what} has no cost for each")
    return cost.scaled(1 / units)


def cost_of_work(
    cost: Amount | Missing, work: Mapping[str, float], metrics: Mapping[str, float]
) -> dict[str, Amount]:
    """*cost* for each unit of the *work* done, and of the quality reached.

    Of the *metrics* only those count of which more is better, by their name; a cost for each unit
    of loss would tell nothing.
    """
    good = {name: value for name, value in metrics.items() if _QUALITY.search(name)}
    found = {name: cost_per(cost, units, name) for name, units in (*work.items(), *good.items())}
    return {name: amount for name, amount in found.items() if isinstance(amount, Amount)}


def currency_of(price: Factor) -> str:
    """Currency of a price, the part of its unit before the stroke."""
    return price.unit.partition("/")[0]


# --- inside -------------------------------------------------------------------------------------


def _stated(tariff: Tariff, price_per_kwh: float) -> Factor:
    unit = f"{tariff.currency}/kWh"
    return exactly("price/tariff", price_per_kwh, unit, f"tariff {tariff.words}, declared")


def _wrong(words: str, why: str) -> UsageError:
    return UsageError(f"{words!r} is no tariff: {why}", remedy=_REMEDY)


def _stretches(words: str, parts: Sequence[str]) -> list[Window]:
    """One window, or two where it goes over midnight."""
    from_h, from_min, to_h, to_min = (int(part) for part in parts[:4])
    price = float(parts[4])
    start_s, end_s = from_h * S_PER_H + from_min * 60, to_h * S_PER_H + to_min * 60
    if max(from_min, to_min) > 59 or start_s >= DAY_S or end_s > DAY_S:  # noqa: PLR2004
        raise _wrong(words, "a day has the hours 00:00 to 24:00")
    if start_s == end_s:
        raise _wrong(words, "a window without length says nothing")
    if start_s < end_s:
        return [Window(start_s, end_s, price)]
    late = [Window(start_s, DAY_S, price)]
    return [Window(0, end_s, price), *late] if end_s > 0 else late


def _whole_day(words: str, windows: list[Window], rest: float | None) -> tuple[Window, ...]:
    """All windows in order, with *rest* in the gaps."""
    ordered = sorted(windows, key=lambda w: w.start_s)
    if any(a.end_s > b.start_s for a, b in pairwise(ordered)):
        raise _wrong(words, "two windows overlap")
    marks = [0, *(s for w in ordered for s in (w.start_s, w.end_s)), DAY_S]
    gaps = [(a, b) for a, b in zip(marks[::2], marks[1::2], strict=True) if a < b]
    if gaps and rest is None:
        raise _wrong(words, "part of the day has no price; add else=0.31")
    filled = [Window(a, b, rest) for a, b in gaps if rest is not None]
    return tuple(sorted((*ordered, *filled), key=lambda w: w.start_s))


def _priced(
    tariff: Tariff, begin_s: float, end_s: float, utc_offset_s: Callable[[float], float]
) -> list[tuple[float, float, float]]:
    """Stretches from *begin_s* to *end_s* (UTC), each with the price that holds in it."""
    found: list[tuple[float, float, float]] = []
    at_s = begin_s
    while at_s < end_s:
        stop_s = min(end_s, (math.floor(at_s / QUARTER_S) + 1) * QUARTER_S)
        offset_s = utc_offset_s(at_s)
        midnight_s = math.floor((at_s + offset_s) / DAY_S) * DAY_S - offset_s
        for window in tariff.windows:
            low = max(at_s, midnight_s + window.start_s)
            high = min(stop_s, midnight_s + window.end_s)
            if low < high:
                found.append((low, high, window.price_per_kwh))
        at_s = stop_s
    return found


def _until(load: Load, sums: list[float], utc_s: float) -> float:
    """Energy of *load* drawn before an instant [J]."""
    place = min(max((utc_s - load.start_utc_s) / load.slot_s, 0.0), float(len(load.energies_j)))
    whole = min(int(place), len(load.energies_j) - 1)
    return sums[whole] + (place - whole) * load.energies_j[whole]
