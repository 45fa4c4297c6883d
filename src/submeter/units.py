# SPDX-License-Identifier: Apache-2.0
"""Joules, watts, seconds, grams, litres: conversions happen here and nowhere else.

Inside submeter a quantity is a plain float in its SI unit, and the unit stands at the end of its
name (``energy_j``, ``duration_s``). Only this file knows a factor between two units.
"""

from typing import Final

J_PER_KWH: Final = 3.6e6  # exact: 1000 W x 3600 s
J_PER_WH: Final = 3.6e3  # exact
NS_PER_S: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000
UJ_PER_J: Final = 1_000_000
PPM: Final = 1_000_000
WH_PER_MWH: Final = 1_000_000
G_PER_KG: Final = 1_000
G_PER_T: Final = 1_000_000
S_PER_H: Final = 3600
H_PER_YEAR: Final = 8760  # of 365 days, as embodied and certificate accounts count it


def joule_to_kwh(energy_j: float) -> float:
    """Convert energy from joules to kilowatt-hours."""
    return energy_j / J_PER_KWH


def kwh_to_joule(energy_kwh: float) -> float:
    """Convert energy from kilowatt-hours to joules."""
    return energy_kwh * J_PER_KWH


def ns_to_s(duration_ns: int) -> float:
    """Convert a duration from nanoseconds to seconds."""
    return duration_ns / NS_PER_S


def s_to_ns(duration_s: float) -> int:
    """Convert a duration from seconds to whole nanoseconds."""
    return round(duration_s * NS_PER_S)
