# SPDX-License-Identifier: Apache-2.0
"""Numbers of a claim, found: rows of the catalog, figures of a run, or what the record gives."""

from collections.abc import Mapping
from functools import cache

from submeter.catalog.claims import claim_records
from submeter.catalog.factors import cooling, factor
from submeter.catalog.facts import fact
from submeter.comparing.claims.judging import Known, declared
from submeter.comparing.claims.measures import measure
from submeter.comparing.claims.records import REMEDY, Number, PublicClaim, read_record
from submeter.errors import UsageError
from submeter.records.factors import Factor
from submeter.records.figures import Figure, Missing

_COOLING = "cooling/"
_PARTS = 3
_RUN_UNITS = {"energy": "J", "carbon": "g", "water": "L", "hours": "h"}


@cache
def known_claims() -> tuple[PublicClaim, ...]:
    """All claims that come with submeter, in the order of their ids."""
    return tuple(read_record(text, name) for name, text in claim_records().items())


def found_numbers(
    claim: PublicClaim, run: Mapping[str, Figure | Missing] | None = None
) -> dict[str, Known]:
    """Look up each number of *claim*.

    Parameters
    ----------
    run
        Figures of the run that the claim is about, by ``energy`` [J], ``carbon`` [g], ``water``
        [L], ``hours`` [h]; None if there is none.

    Raises
    ------
    UsageError
        If one wants a run and there is none.
    CoverageError
        If the catalog has no such row.
    """
    return {name: _found(name, number, run) for name, number in claim.numbers.items()}


def _found(name: str, number: Number, run: Mapping[str, Figure | Missing] | None) -> Known:
    if number.run:
        return _of_run(name, number, run)
    if number.fact:
        return _of_factor(number, _row(name, number.fact))
    if number.factor:
        key = number.factor
        own = key.startswith(_COOLING)
        return _of_factor(number, cooling(key.removeprefix(_COOLING)) if own else factor(key))
    return declared(number)


def _row(name: str, key: str) -> Factor:
    plain, _, year = key.partition("@")
    parts = plain.split("/")
    if len(parts) < _PARTS or (year and not year.isdecimal()):
        raise UsageError(
            f"{name}: “{key}” is no row of the catalog", remedy="write it as table/key/quantity"
        )
    table, row, quantity = parts[0], "/".join(parts[1:-1]), parts[-1]
    return fact(table, row, quantity, year=int(year) if year else None)


def _of_factor(number: Number, row: Factor) -> Known:
    return Known(
        row.value, row.low, row.high, number.unit or row.unit, row.source, row.year,
        row.verified, row.key, number.what,
    )  # fmt: skip


def _of_run(name: str, number: Number, run: Mapping[str, Figure | Missing] | None) -> Known:
    found = None if run is None else run.get(number.run)
    if found is None:
        raise UsageError(
            f"{name} is a figure of a run, and none is given",
            remedy="submeter claim FILE --run last",
        )
    if isinstance(found, Missing):
        raise UsageError(
            f"{number.run} of the run is not known: {found.why}", remedy="submeter show RUN"
        )
    own = _RUN_UNITS[number.run]
    unit = number.unit or own
    if measure(unit).kind != measure(own).kind:
        raise UsageError(f"{name} is in {unit}, and {number.run} is in {own}", remedy=REMEDY)
    ratio = measure(own).size / measure(unit).size
    ends = (found.value * ratio, found.low * ratio, found.high * ratio)
    words = f"the run, {found.basis}"
    return Known(*ends, unit, words, verified="derived", what=number.what)
