# SPDX-License-Identifier: Apache-2.0
"""What a program asks of a run that is over, or that others published: `footprint`, `compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from submeter.interfaces.program import MeasuredRun
    from submeter.records.footprints import Footprint
    from submeter.records.runs import Run

__all__ = ["compare", "footprint"]

WIDTH = 80


def footprint(
    run: Run | MeasuredRun,
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

    *run* may be what `measure` gave, once it is over.

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
    return reckoned(_record(run), asked[0] if asked else AS_IT_WAS)


def _record(run: Run | MeasuredRun) -> Run:
    """Give the record of *run*.

    Raises
    ------
    UsageError
        If it has none yet.
    """
    from submeter.errors import UsageError
    from submeter.records.runs import Run

    found = run if isinstance(run, Run) else getattr(run, "run", None)
    if isinstance(found, Run):
        return found
    why = getattr(found, "why", f"a {type(run).__name__} is no run")
    raise UsageError(f"there is nothing to reckon with: {why}", remedy="footprint(run) after it")


def compare(*, width: int = WIDTH, **columns: Footprint | Run | MeasuredRun) -> str:
    """Footprints side by side, each under its name; two of them with intervals and change.

    A run is taken as it was.

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
        (name.replace("_", " "), msgspec.structs.replace(_made(given), notes=()))
        for name, given in columns.items()
    ]
    return "\n".join(line.rstrip() for line in side_by_side(named, width))


def _made(given: Footprint | Run | MeasuredRun) -> Footprint:
    from submeter.records.footprints import Footprint

    return given if isinstance(given, Footprint) else footprint(given)
