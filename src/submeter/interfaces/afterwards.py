# SPDX-License-Identifier: Apache-2.0
"""What a program asks of a run that is over, or that others published: `footprint`, `compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from submeter.records.footprints import Footprint
    from submeter.records.runs import Run

__all__ = ["compare", "footprint"]

WIDTH = 100


def footprint(
    run: Run,
    *,
    zone: str | None = None,
    at: str | None = None,
    pue: float | None = None,
    cooling: str | None = None,
    supply: str | None = None,
    arrangement: str | None = None,
    price: str | None = None,
) -> Footprint:
    """All that *run* amounts to, where and when it was, or as asked: offline, as `show` tells it.

    Parameters
    ----------
    zone, at, pue, cooling, supply, arrangement, price
        As if it were there, began then (ISO 8601, UTC), in such a facility, from such a supply,
        on whose account, at that price; as recorded where not given.

    Raises
    ------
    UsageError, CoverageError
        If what is asked for makes no sense.
    """
    from submeter.circumstances.reckoning import AS_IT_WAS
    from submeter.interfaces.cli.what_if import asked_of
    from submeter.running.reckoning import reckoned

    given = {
        "zones": (zone,) if zone else (),
        "at": at,
        "pue": pue,
        "cooling": cooling,
        "supply": supply,
        "arrangement": arrangement,
        "price": price,
    }
    asked = [question for _, question in asked_of(given)]
    return reckoned(run, asked[0] if asked else AS_IT_WAS)


def compare(*, width: int = WIDTH, **columns: Footprint) -> str:
    """Footprints side by side, each under its name; two of them with intervals and change.

    An underscore in a name is written as a space.

    Raises
    ------
    UsageError
        If there is nothing to compare with.
    """
    import msgspec

    from submeter.errors import UsageError
    from submeter.reporting.impacts import side_by_side

    if len(columns) < 2:  # noqa: PLR2004  # here and there
        raise UsageError("one footprint has nothing beside it", remedy="compare(a=…, b=…)")
    named = [
        (name.replace("_", " "), msgspec.structs.replace(made, notes=()))
        for name, made in columns.items()
    ]
    return "\n".join(line.rstrip() for line in side_by_side(named, width))
