# SPDX-License-Identifier: Apache-2.0
"""What a program asks of a run that is over, or that others published: `footprint`, `compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from submeter.interfaces.comparing import Compared
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
    return reckoned(record_of(run), asked[0] if asked else AS_IT_WAS)


def record_of(run: Run | MeasuredRun | str) -> Run:
    """Give the record of *run*, or of the kept one that is called so.

    Raises
    ------
    UsageError
        If it has none yet.
    RunNotFoundError
        If none is called so.
    """
    from submeter.errors import UsageError
    from submeter.records.runs import Run

    if isinstance(run, str):
        from submeter.interfaces.cli.lookup import look_up

        return look_up(run).run
    found = run if isinstance(run, Run) else getattr(run, "run", None)
    if isinstance(found, Run):
        return found
    why = getattr(found, "why", f"a {type(run).__name__} is no run")
    raise UsageError(
        f"there is nothing to reckon with: {why}", remedy="ask when it is over, or by name"
    )


@overload
def compare(*, width: int = ..., **columns: Footprint | Run | MeasuredRun) -> str: ...
@overload
def compare(
    first: Run | MeasuredRun | str,
    second: Run | MeasuredRun | str,
    /,
    *others: Run | MeasuredRun | str,
    by: str | Sequence[str] = ...,
    same_work: bool = ...,
    metric: str = ...,
    target: float | None = ...,
) -> Compared: ...
def compare(*runs: Run | MeasuredRun | str, width: int = WIDTH, **given: Any) -> str | Compared:
    """Runs beside each other: what is different about them, and what that did.

    The first run is what the others are compared with; a kept run may be told by its id, its name
    or ``last``. Given by name instead, footprints stand
    side by side, each under its name (an underscore is written as a space), and what comes back
    is the table; a run is taken as it was.

    Parameters
    ----------
    by
        ``phase`` or ``device``: their energy split so. Or the name of a parameter, tag or
        argument: runs that say the same there are repetitions of each other.
    same_work
        Whether they are normalised by the work that they did and by the quality that they reached.
    metric, target
        Which quality, and how much of it.

    Raises
    ------
    UsageError
        If there is nothing to compare with.
    """
    from submeter.errors import UsageError

    if not runs:
        return _side_by_side(given, width)
    if len(runs) < 2:  # noqa: PLR2004  # here and there
        raise UsageError("one run has nothing beside it", remedy="compare(before, after)")
    from submeter.interfaces.comparing import compare_runs
    from submeter.running.reckoning import reckoned

    by = given.pop("by", ())
    ways = by.split(",") if isinstance(by, str) else by
    pairs = [(run, reckoned(run)) for run in map(record_of, runs)]
    return compare_runs(pairs, by=[way.strip() for way in ways if way.strip()], **given)


def _side_by_side(columns: Mapping[str, Footprint | Run | MeasuredRun], width: int) -> str:
    """Footprints side by side, each under its name; two of them with intervals and change."""
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
