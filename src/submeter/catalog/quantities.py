# SPDX-License-Identifier: Apache-2.0
"""Quantities of the catalog in the words of people, and those that people mean most often."""

import re
from functools import cache
from typing import Final

# Of several that fit some words, these come first: what an account of a run is reckoned with.
_FOREMOST: Final = (
    "average_lifecycle_consumption_g_per_kwh",
    "average_lifecycle_production_g_per_kwh",
    "residual_mix_g_per_kwh",
    "pue",
    "tdp_w",
    "wue_l_per_kwh",
    "ewif_l_per_kwh",
    "price_usd_per_kwh",
    "price_eur_per_kwh",
    "average_direct_g_per_kwh",
    "operating_margin_g_per_kwh",
    "lifecycle_g_per_kwh",
    "td_loss_ratio",
    "embodied_kg",
    "idle_w",
    "memory_gb",
)
_INTENSITY: Final = "carbon intensity co2 emissions emission factor electricity"
_WORDS: Final = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"^average_\w+_g_per_kwh$", f"{_INTENSITY} grid mix"),
        (r"^(lifecycle|direct)_g_per_kwh$", f"{_INTENSITY} fuel generation"),
        (r"^residual_mix_", f"{_INTENSITY} market based"),
        (r"^(operating_margin|marginal)_", f"{_INTENSITY} marginal"),
        (r"^provider_g_", f"{_INTENSITY} provider cloud"),
        (r"^(price|wholesale)_\w+_per_kwh$", "price cost tariff of electricity power"),
        (r"^price_\w+_per_h$", "price cost rent hourly"),
        (r"^pue$", "power usage effectiveness facility overhead"),
        (r"^wue_", "water usage effectiveness on site onsite intensity consumption cooling"),
        (r"^ewif_", "water intensity consumption off site offsite electricity"),
        (r"^water_", "water intensity electricity"),
        (r"^stress_", "water stress baseline"),
        (r"^tdp_w$", "thermal design power board watts"),
        (r"^idle_w$", "idle power watts"),
        (r"^td_loss_", "transmission distribution losses lines grid"),
        (r"^(carbon_free|renewable|cfe)_", "clean share of electricity"),
        (r"^share_\w+_ratio$", "generation mix share of electricity"),
        (r"embodied_", "embodied carbon co2 emissions manufacturing hardware"),
        (r"^lifetime_", "life years service"),
    )
)


@cache
def plain_words(quantity: str) -> str:
    """What people call a *quantity*, in lower case: ``water intensity consumption …``."""
    return " ".join(words for pattern, words in _WORDS if pattern.search(quantity))


def foremost(quantity: str) -> int:
    """Place of a *quantity* among those that people mean most often; all others share the last."""
    return _FOREMOST.index(quantity) if quantity in _FOREMOST else len(_FOREMOST)
