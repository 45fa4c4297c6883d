# SPDX-License-Identifier: Apache-2.0
"""The words of the JSON for what a run amounts to: carbon, water, money, and their factors.

Documented in ``docs/json.md``, like those of a run.
"""

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from submeter.accounting.indicators import UNITS
from submeter.records.amounts import Amount
from submeter.records.figures import Missing, Quantity
from submeter.records.footprints import Footprint

GRAMS: Final = "gCO2e"
LITRES: Final = "L"


def footprint_words(footprint: Footprint) -> dict[str, object]:
    """All of *footprint* but its energies, as words of the JSON."""
    return {
        "zone": _zone(footprint),
        "arrangement": footprint.arrangement or missing("not said"),
        "carbon": _carbon(footprint),
        "water": _water(footprint),
        "cost": figure_words(footprint.money.electricity, footprint.money.currency),
        "cost_per": {
            name: figure_words(amount, footprint.money.currency)
            for name, amount in footprint.money.per.items()
        },
        "carbon_cost": figure_words(footprint.money.carbon, footprint.money.currency),
        "equivalents": [
            {
                "key": row.key,
                "text": row.text,
                "value": figure_words(row.value, "1"),
                "source": row.source,
            }
            for row in footprint.equivalents
        ],
        "indicators": {
            name: figure_words(amount, UNITS[name])
            for name, amount in footprint.indicators.items()
        },
        "doubts": [
            {"key": d.key, "name": d.name, "share_ratio": d.share_ratio, "remedy": d.remedy}
            for d in footprint.doubts
        ],
        "factors": [
            {name: _number(value) for name, value in msgspec.structs.asdict(factor).items()}
            for factor in footprint.factors
        ],
    }


def figure_words(quantity: Quantity | Amount | Missing, unit: str) -> dict[str, object]:
    """*quantity* as a figure in *unit*, or ``{"missing": why}``."""
    if isinstance(quantity, Missing):
        return missing(quantity.why)
    figure = quantity.figure(unit)
    if not all(math.isfinite(x) for x in (figure.value, figure.low, figure.high)):
        return missing("not a finite number")
    return figure.to_dict()


def missing(why: str) -> dict[str, object]:
    """Say that a value is not there, and why."""
    return {"missing": why or "not known"}


def _carbon(footprint: Footprint) -> dict[str, object]:
    carbon = footprint.carbon
    return {
        "location": figure_words(carbon.location, GRAMS),
        "market": figure_words(carbon.market, GRAMS),
        "marginal": figure_words(carbon.marginal, GRAMS),
        "embodied": figure_words(carbon.embodied, GRAMS),
        "direct": figure_words(carbon.direct, GRAMS),
        "upstream": figure_words(carbon.upstream, GRAMS),
        "loss": figure_words(carbon.loss, GRAMS),
        "scopes": _by_scope(carbon.scopes),
        "market_scopes": _by_scope(carbon.market_scopes),
        "market_how": carbon.market_how,
        "marginal_others": [figure_words(a, GRAMS) for a in carbon.marginal_others],
        "claims": list(carbon.claims),
        "offsets": list(carbon.offsets),
        "notes": list(carbon.notes),
    }


def _water(footprint: Footprint) -> dict[str, object]:
    water = footprint.water
    return {
        "onsite": figure_words(water.onsite, LITRES),
        "offsite": figure_words(water.offsite, LITRES),
        "offsite_without_reservoirs": figure_words(water.offsite_dry, LITRES),
        "onsite_withdrawal": figure_words(water.onsite_withdrawal, LITRES),
        "offsite_withdrawal": figure_words(water.offsite_withdrawal, LITRES),
        "potable": figure_words(water.potable, LITRES),
        "discharge": figure_words(water.discharge, LITRES),
        "stress": missing(water.stress.why) if isinstance(water.stress, Missing) else water.stress,
        "notes": list(water.notes),
    }


def _by_scope(grams: Mapping[str, Amount]) -> dict[str, object]:
    return {scope: figure_words(amount, GRAMS) for scope, amount in grams.items()}


def _zone(footprint: Footprint) -> dict[str, object]:
    zone = footprint.zone
    if zone is None:
        return missing("not reckoned")
    words = msgspec.structs.asdict(zone) | {"guessed": zone.guessed, "parents": list(zone.parents)}
    for name in ("latitude", "longitude"):
        if words[name] is None:
            words[name] = missing("not known")
    return words


def _number(value: object) -> object:
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)
