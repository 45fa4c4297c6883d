# SPDX-License-Identifier: Apache-2.0
"""Whether the figures of a run that came from elsewhere can be those of a run at all."""

import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

import msgspec

from submeter.errors import LedgerError
from submeter.records.runs import RUN_SCHEMA, Run, Series
from submeter.storing.wording import safe_text

LARGEST: Final = 1e30  # of any figure in SI units: the Sun gives 4e26 J a second
LONGEST_S: Final = 20 * 366 * 86400.0  # of a run
LEAST_SLOT_S: Final = 1e-3
_FIRST_YEAR: Final = 1970  # an instant is kept as Unix time
_LAST_YEAR: Final = 9998
_LARGEST_WHOLE: Final = 2**63 - 1  # what the ledger can hold
_ROUNDING: Final = 1e-6  # what is left of a difference of sums is no negative energy
_LOGGED: Final = frozenset({"metrics", "metric_history"})  # anything that the training said
_SIGNED: Final = frozenset({"exit_code", "flags", "means", "series"})


def check_figures(run: Run, what: str = "a run") -> Run:
    """*run* if each of its figures can be one.

    Energies, their bounds and spreads, times and counts are finite, not negative and below
    1e30; the run began at an instant from 1970 on and took 20 years at most.
    What a training logged may be anything, as long as it is no absurd whole number.

    Raises
    ------
    LedgerError
        If one is not; it is named.
    """
    if not 1 <= run.schema <= RUN_SCHEMA:
        raise _refused(what, f"its schema is {run.schema}")
    for field in run.__struct_fields__:
        for path, number in _numbers(getattr(run, field), field):
            why = _wrong(number, field)
            if why:
                raise _refused(what, f"{path[:80]} is {why}")
    why = _wrong_time(run) or _wrong_series(run.series)
    if why:
        raise _refused(what, why)
    return run


def _wrong_time(run: Run) -> str:
    """What is wrong with when *run* was, if anything."""
    if not 0 <= run.duration_s <= LONGEST_S:
        return "its duration_s is longer than 20 years"
    try:
        began = datetime.fromisoformat(run.started_utc)
    except ValueError:
        return f"its started_utc {safe_text(run.started_utc[:40])!r} is no instant"
    if not _FIRST_YEAR <= began.year <= _LAST_YEAR:
        return f"its started_utc is not between the years {_FIRST_YEAR} and {_LAST_YEAR}"
    return ""


def _wrong_series(series: Series | None) -> str:
    """What is wrong with the time line of a run, if anything."""
    if series is None:
        return ""
    slots = max(map(len, series.devices.values()), default=1)
    if not LEAST_SLOT_S <= series.slot_s <= LONGEST_S / max(1, slots):
        return f"its series.slot_s {series.slot_s:g} is no length of a slot"
    if any(energy_j < -_ROUNDING for row in series.devices.values() for energy_j in row):
        return "its series holds energies below zero"
    return ""


def _wrong(number: float, field: str) -> str:
    if isinstance(number, int):
        if abs(number) > _LARGEST_WHOLE:
            return "too large"
    elif field not in _LOGGED:
        if not math.isfinite(number):
            return "not finite"
        if abs(number) >= LARGEST:
            return "too large"
    return "negative" if number < -_ROUNDING and field not in _LOGGED | _SIGNED else ""


def _numbers(value: object, path: str) -> Iterator[tuple[str, float]]:
    """All numbers in *value*, each with its place."""
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        yield path, value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _numbers(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(inner, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for i, inner in enumerate(value):
            yield from _numbers(inner, f"{path}.{i}")


def _refused(what: str, why: str) -> LedgerError:
    return LedgerError(f"{what} is refused: {why}", remedy="export it anew where it was metered")
