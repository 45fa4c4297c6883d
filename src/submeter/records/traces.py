# SPDX-License-Identifier: Apache-2.0
"""Traces over time: what was drawn when, and what the grid brought with it then."""

from typing import Literal

import msgspec

from submeter.records.factors import Verified

Shape = Literal["metered", "profile", "proxy profile", "flat", "forecast"]


class Kind(msgspec.Struct, frozen=True):
    """What an intensity tells. Two traces of different kinds are never mixed.

    ``signal`` average (for inventories) or marginal (effect of a decision); ``scope`` lifecycle or
    direct (stack emissions only); ``flow`` at the generators of the zone, or of what is consumed
    there with imports; ``method`` location- or market-based (GHG Protocol Scope 2).
    """

    signal: Literal["average", "marginal"] = "average"
    scope: Literal["lifecycle", "direct"] = "lifecycle"
    flow: Literal["production", "consumption"] = "production"
    method: Literal["location", "market"] = "location"

    def __str__(self) -> str:
        return f"{self.signal}, {self.scope}, {self.flow}, {self.method}-based"


class Trace(msgspec.Struct, frozen=True):
    """Values of a zone in slots of equal length: gCO2e/kWh, currency per kWh, or L/kWh.

    ``values[i]`` holds from ``start_utc_s + i * step_s`` on; None is a gap. ``low_ratio`` and
    ``high_ratio`` are a 95 % interval of the level of the whole trace relative to its values;
    ``key`` is the key of that doubt.
    """

    key: str
    zone: str
    unit: str
    start_utc_s: float
    step_s: float
    values: tuple[float | None, ...]
    low_ratio: float
    high_ratio: float
    kind: Kind | None = None  # of intensities only
    shape: Shape = "flat"
    source: str = ""
    year: int = 0
    licence: str = ""
    verified: Verified = "copy"
    notes: tuple[str, ...] = ()


class Load(msgspec.Struct, frozen=True):
    """When energy was drawn: energies of slots of equal length from an instant on [J]."""

    start_utc_s: float
    slot_s: float
    energies_j: tuple[float, ...]
