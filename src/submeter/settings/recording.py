# SPDX-License-Identifier: Apache-2.0
"""What is set when a run begins and stays with it: a later setting changes none of its figures."""

import contextlib
from collections.abc import Mapping
from typing import Final

import msgspec

from submeter.settings.loading import Loaded
from submeter.settings.rules import RULES, Settings, Value

RECORDED: Final = (
    "zone",
    "cloud",
    "pue",
    "arrangement",
    "cooling",
    "wue_l_per_kwh",
    "electricity_price",
    "currency",
    "carbon_price_per_t",
    "hardware_life_years",
    "wet_bulb_c",
)
ZONE_FROM: Final = "zone_from"


def recorded(loaded: Loaded) -> dict[str, str]:
    """Settings of *loaded* that say where a run is and on whose account, as words.

    What nobody set is left out. ``zone_from`` says who named the zone.
    """
    defaults = Settings()
    place = {
        key: str(value)
        for key in RECORDED
        if (value := getattr(loaded.settings, key)) != getattr(defaults, key)
    }
    if "zone" in place:
        origin = loaded.origin["zone"]
        first = origin.partition(" ")[0]
        place[ZONE_FROM] = {"argument": "argument", "flag": "argument"}.get(
            first, "environment" if first == "environment" else "configuration"
        )
    return place


def restored(place: Mapping[str, str]) -> Settings:
    """Settings as they were recorded in *place*; words that are not allowed are passed over."""
    found: dict[str, Value] = {}
    for key in RECORDED:
        with contextlib.suppress(KeyError, ValueError, OverflowError):
            rule = RULES[key]
            found[key] = rule.accept(rule.read(place[key]))
    return msgspec.convert(found, Settings)
