# SPDX-License-Identifier: Apache-2.0
"""Where a run draws its electricity, and how that is known."""

from typing import Literal

import msgspec

ZoneKind = Literal["country", "subregion", "cloud region", "coordinates", "world"]
Known = Literal["argument", "configuration", "environment", "cloud region", "time zone", "world"]


class Zone(msgspec.Struct, frozen=True):
    """A place on the grid.

    ``code`` is the key of its rows in the catalog (``DE``, ``US-CAL-CISO``, ``WORLD``);
    ``parents`` are the keys that stand in where it has no row, the nearest first (``US``,
    ``WORLD``). ``how`` says who named it; what the time zone of the machine says is guessed.
    """

    code: str
    name: str
    kind: ZoneKind
    how: Known
    country: str = ""  # ISO 3166-1 alpha-2
    parents: tuple[str, ...] = ()
    cloud: str = ""  # provider/region, such as aws/us-west-2
    timezone: str = ""  # IANA, where the zone lies in one
    latitude: float | None = None
    longitude: float | None = None
    note: str = ""

    @property
    def guessed(self) -> bool:
        """Whether nobody said that the run is here."""
        return self.how in {"time zone", "world"}
