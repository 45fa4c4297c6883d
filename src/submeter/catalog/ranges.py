# SPDX-License-Identifier: Apache-2.0
"""What a factor of one quantity and unit can be at all: the fence around what users declare.

The ranges are wide, for what is unusual is no error. They keep out what accounting cannot
reckon with (a grid that loses all, a share of more than all) and what is a slip of the unit.
What the catalog itself says always lies within.
"""

from typing import Final, NamedTuple

from submeter.records.factors import Factor


class Range(NamedTuple):
    """Least and most that a factor can be, in its own unit, and why."""

    least: float
    most: float
    why: str


_RATIO: Final = Range(0.0, 1.0, "a ratio is from 0 to 1, not in per cent")
_PUE: Final = Range(1.0, 10.0, "a PUE is at least 1, and no site has more than 10")
_MANY: Final = 1e12  # no row of the catalog has a figure above 1e8
# By the beginning or the end of the quantity's name; the first that fits holds.
_BY_NAME: Final = (
    ("td_loss_ratio", Range(0.0, 0.9, "a grid loses a part of what is sent out, 0 to 0.9")),
    ("cycles_ratio", Range(1.01, 1000.0, "cycles of concentration are more than 1")),
    ("server_fans_ratio", Range(0.0, 0.9, "fans draw a part of a server's power, 0 to 0.9")),
    ("psu-efficiency", Range(0.1, 1.0, "an efficiency is from 0.1 to 1")),
    ("rest-ratio", Range(0.0, 10.0, "the rest of a node is from 0 to 10 times what is metered")),
    ("rest-ratio-gpu", Range(0.0, 10.0, "the rest of a node is from 0 to 10 times that")),
    ("-sd", Range(0.0, 2.0, "a standard deviation of the logarithm is from 0 to 2")),
    ("stress_category", Range(0.0, 5.0, "categories are from 0 to 5")),
)
_LIFECYCLE: Final = Range(0.1, 5000.0, "a lifecycle intensity is from 0.1 to 5000 g/kWh")
_PARTS: Final = ("share_", "cfe_", "carbon_free", "renewable")
_BY_UNIT: Final = {
    "g/kWh": Range(0.0, 5000.0, "an intensity is from 0 to 5000 g/kWh"),
    "L/kWh": Range(0.0, 500.0, "water is from 0 to 500 L/kWh"),
    "USD/kWh": Range(-10.0, 100.0, "a price is from -10 to 100 per kWh"),
    "EUR/kWh": Range(-10.0, 100.0, "a price is from -10 to 100 per kWh"),
    "C": Range(-60.0, 60.0, "a temperature is from -60 to 60 °C"),
    "W": Range(0.0, 1e6, "a power is from 0 to 1e6 W"),
    "W/GB": Range(0.0, 100.0, "memory draws from 0 to 100 W/GB"),
    "TDP": Range(0.0, 10.0, "a part of the TDP is from 0 to 10"),
    "a": Range(0.1, 100.0, "a life is from 0.1 to 100 years"),
}


def range_of(catalogued: Factor) -> Range:
    """What can stand in the place of *catalogued*.

    Its own interval always can; where no range is known of its quantity or unit, it is not
    negative and at most 1e12.
    """
    known = _named(catalogued)
    least, most = min(known.least, catalogued.low), max(known.most, catalogued.high)
    return Range(least, most, known.why)


def _named(catalogued: Factor) -> Range:
    key = catalogued.key.partition("@")[0]
    quantity = key.rpartition("/")[2]
    for end, known in _BY_NAME:
        if quantity.endswith(end):
            return known
    if quantity.startswith("pue"):
        return _PUE
    if quantity.startswith("average_lifecycle"):
        return _LIFECYCLE
    if quantity.startswith(_PARTS) or (quantity.endswith("_ratio") and _of_site(key)):
        return _RATIO
    negative = f"{quantity} is never negative, and at most {_MANY:g}"
    return _BY_UNIT.get(catalogued.unit) or Range(0.0, _MANY, negative)


def _of_site(key: str) -> bool:
    """Whether ratios of this table are parts of a whole; a workload's may be any."""
    return key.partition("/")[0] in {"cooling", "facility", "cloud", "grid", "grid_odbl"}
