# SPDX-License-Identifier: Apache-2.0
"""What cannot be run here: published figures of everyday computing, rooms, and servers.

Every number is a row of the catalog and carries its source.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from submeter.catalog.factors import cooling
from submeter.catalog.facts import fact
from submeter.records.factors import Factor
from submeter.units import J_PER_KWH, J_PER_WH, S_PER_H

DAY_H: Final = 8.0  # of work
_KJ: Final = 1000.0


class Thing(NamedTuple):
    """Something that people do with computers or at home, and its energy [J]."""

    words: str
    each: Factor


class Room(NamedTuple):
    """A kind of room for computers, and its power usage effectiveness."""

    words: str
    kind: str  # ordinary, of large operators, for AI
    pue: Factor


class Consolidated(NamedTuple):
    """Little used servers, and the same work on fewer: power as parts of one at full load."""

    machines: int
    load_ratio: float
    idle: Factor
    before_ratio: float
    after_ratio: float
    left: int  # machines that do the work now

    @property
    def saved_ratio(self) -> float:
        """Part of the energy that is no longer used."""
        return 1 - self.after_ratio / self.before_ratio


_THINGS: Final = (
    ("a web search (2009)", "workloads", "web-search-google-2009", "energy_wh", J_PER_WH),
    ("a page of the web, seen", "workloads", "web-page-view", "energy_wh", J_PER_WH),
    ("a text prompt (median, 2025)", "workloads", "llm-gemini-prompt", "energy_wh", J_PER_WH),
    ("an image made by a model", "workloads", "img-gen", "energy_wh", J_PER_WH),
    ("an hour of video (IEA)", "workloads", "stream-hour-iea", "energy_wh_per_h", J_PER_WH),
    ("an hour of video (Carbon Trust)", "workloads", "stream-hour-carbontrust",
     "energy_wh_per_h", J_PER_WH),
    ("an hour of video call, laptop", "workloads", "call-hour-laptop-camera-on",
     "energy_wh_per_h", J_PER_WH),
    ("a laptop, eight hours", "workloads", "dev-laptop", "power_w", DAY_H * S_PER_H),
    ("a desktop without its screen, eight hours", "workloads", "dev-desktop", "power_w",
     DAY_H * S_PER_H),
    ("sorting 100 GB (record of 2010)", "workloads", "sort-100gb-2010", "energy_kj", _KJ),
    ("charging a smartphone", "equivalents", "smartphone_charge_energy", "energy_kwh", J_PER_KWH),
    ("boiling a litre of water", "equivalents", "kettle_litre_boil", "energy_kwh", J_PER_KWH),
    ("a kilometre in an electric car", "equivalents", "ev_km", "energy_kwh", J_PER_KWH),
    ("a household in the EU, a year", "equivalents", "household_electricity_year_EU",
     "energy_kwh", J_PER_KWH),
)  # fmt: skip
_ORDINARY, _LARGE, _AI = "ordinary", "large operators", "cooling for AI"
_ROOMS: Final = (
    ("average large site (Uptime 2024)", _ORDINARY, "industry/uptime_average_largest_site", 2024),
    ("room air conditioners", _ORDINARY, "cooling/crac_air_dx", None),
    ("chilled water and tower", _ORDINARY, "cooling/chilled_water_tower", None),
    ("free air", _LARGE, "cooling/free_air", None),
    ("Equinix, colocation", _LARGE, "fleet/equinix_fleet", None),
    ("AWS", _LARGE, "fleet/aws_fleet", None),
    ("Microsoft", _LARGE, "fleet/microsoft_fleet", None),
    ("Google", _LARGE, "fleet/google_fleet", None),
    ("Meta", _LARGE, "fleet/meta_fleet", None),
    ("cold plates, dry cooler", _AI, "cooling/direct_to_chip_dry_cooler", None),
    ("immersion, one phase", _AI, "cooling/immersion_single_phase", None),
)
ROOMS_CLAIM: Final = "Ordinary computing rooms have a lower PUE than data centres for AI."
ROOMS_ID: Final = "rooms-pue"


def things() -> tuple[Thing, ...]:
    """Everyday things with their energy [J]."""
    return tuple(
        Thing(words, fact(table, key, quantity).scaled(size, "J"))
        for words, table, key, quantity, size in _THINGS
    )


def rooms() -> tuple[Room, ...]:
    """Kinds of rooms with their PUE."""
    return tuple(_rooms())


def consolidated(machines: int = 4, *, load_ratio: float | None = None) -> Consolidated:
    """Reckon *machines* servers at the usual load of servers of one's own, and fewer instead.

    Parameters
    ----------
    load_ratio
        Part of full load; that of in-house servers in the catalog if not given.

    Notes
    -----
    A server at load u draws ``idle + (1 - idle) * u`` of its power at full load, idle being the
    median of the results of SPECpower of 2021. The same work fits on ``ceil(n * u)`` servers.
    """
    import math

    idle = fact("workloads", "idle-to-peak-2021", "level_ratio")
    if load_ratio is None:
        load_ratio = fact("workloads", "util-enterprise", "level_ratio").value
    work = machines * load_ratio
    left = max(1, math.ceil(work - 1e-9))
    return Consolidated(
        machines=machines,
        load_ratio=load_ratio,
        idle=idle,
        before_ratio=machines * idle.value + (1 - idle.value) * work,
        after_ratio=left * idle.value + (1 - idle.value) * work,
        left=left,
    )


def _rooms() -> Iterator[Room]:
    bare = cooling("home/pue_ratio")
    yield Room("a room that nobody cools", _ORDINARY, bare)
    for words, kind, key, year in _ROOMS:
        yield Room(words, kind, fact("facility", key, "pue", year=year))
