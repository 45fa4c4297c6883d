# SPDX-License-Identifier: Apache-2.0
"""What if another kind of plant had supplied the energy: ``--supply wind``."""

from typing import Final

import msgspec

from submeter.catalog.facts import fact
from submeter.errors import CoverageError, UsageError
from submeter.grid.factors import DRY, keys_of, mix_of
from submeter.grid.place import WORLD
from submeter.records.factors import Factor
from submeter.records.places import Zone

SUPPLIES: Final = ("wind", "solar", "hydro", "nuclear", "mix")
_LIFECYCLE: Final = "lifecycle_g_per_kwh"
_DIRECT: Final = "direct_g_per_kwh"
_WATER: Final = "water_consumption_l_per_kwh"


class Supply(msgspec.Struct, frozen=True):
    """Factors of a way to supply a kilowatt-hour, at the generator.

    ``water`` is with the evaporation of reservoirs, ``water_dry`` without.
    """

    word: str
    lifecycle: Factor
    direct: Factor
    water: Factor
    water_dry: Factor
    note: str


def supply(word: str, zone: Zone = WORLD) -> Supply:
    """Factors of one kind of plant, or with ``mix`` of all that generate in *zone*.

    Raises
    ------
    UsageError
        If *word* is none of `SUPPLIES`.

    Notes
    -----
    A what-if: a plant that follows the load through night and calm needs storage or another
    plant beside it, and neither is in these factors.
    """
    asked = word.strip().lower()
    if asked not in SUPPLIES:
        raise UsageError(
            f"there is no supply {word[:40]!r}", remedy=f"give one of {', '.join(SUPPLIES)}"
        )
    if asked == "mix":
        return _of_zone(zone)
    return Supply(
        word=asked,
        lifecycle=fact("generation", asked, _LIFECYCLE),
        direct=fact("generation", asked, _DIRECT),
        water=fact("generation", asked, _WATER),
        water_dry=fact("generation", DRY.get(asked, asked), _WATER),
        note=f"as if {asked} alone had supplied it, without storage or back-up",
    )


def _of_zone(zone: Zone) -> Supply:
    for code in keys_of(zone):
        found = [mix_of(code, quantity) for quantity in (_LIFECYCLE, _DIRECT, _WATER)]
        lifecycle, direct, water = found
        dry = mix_of(code, _WATER, DRY)
        if lifecycle and direct and water and dry:
            note = f"generation shares of {code}, times factors by fuel"
            return Supply("mix", lifecycle, direct, water, dry, note)
    raise CoverageError(
        f"the catalog has no generation shares for {zone.name}",
        remedy="name a source such as wind, or another zone",
    )
