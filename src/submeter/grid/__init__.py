# SPDX-License-Identifier: Apache-2.0
"""What electricity brings with it, then and there: carbon, water, price, each with its kind.

It never decides, and offline it never asks anybody. Read ``place.py`` first (where a run is),
then ``traces.py`` (intensity over time), ``weighting.py`` (a load over a trace gives one factor),
``factors.py`` (what is known by year only), and ``live.py`` (who is asked when that is wanted).
"""

from submeter.grid.place import machine_timezone, place_of, resolve_place
from submeter.grid.traces import intensity
from submeter.grid.weighting import mix, repair, weighted

__all__ = [
    "intensity",
    "machine_timezone",
    "mix",
    "place_of",
    "repair",
    "resolve_place",
    "weighted",
]
