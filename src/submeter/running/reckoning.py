# SPDX-License-Identifier: Apache-2.0
"""What a run amounts to, with what only files and providers know: claims, and live grid data.

Accounting itself touches nothing; here it meets the account of claims and, where the user asks
for it, a provider of grid data.
"""

import contextlib
from pathlib import Path
from typing import Final

import msgspec

from submeter.accounting.boundaries import footprint as energies
from submeter.accounting.boundaries import within_facility
from submeter.catalog import pue_prior
from submeter.catalog.overlay import NONE, Overrides, use_overrides
from submeter.circumstances.reckoning import AS_IT_WAS, Asked, Known, TraceOf, reckon
from submeter.errors import ConfigError, CoverageError, LedgerError, SubmeterError
from submeter.grid.traces import intensity
from submeter.records.footprints import Footprint
from submeter.records.places import Zone
from submeter.records.runs import Run
from submeter.records.traces import Kind, Trace
from submeter.storing import places
from submeter.storing.wording import safe_text

ANSWERS: str = "grid"  # folder of kept answers of providers, in the home
_SHOWN: Final = 3  # factors that a note names
_LONGEST_WHY: Final = 200  # characters


def reckoned(
    run: Run,
    asked: Asked = AS_IT_WAS,
    *,
    home: Path | None = None,
    provider: str = "",
    overrides: Overrides | None = None,
) -> Footprint:
    """All that *run* amounts to where and when it was, or as *asked*.

    Parameters
    ----------
    home
        Where the account of claims and kept answers lie; the usual place if None.
    provider
        Who is asked for the intensity of those hours ("": nobody, the catalog tells).
    overrides
        Factors that go before the catalog; those that the settings declare if None. Where these
        are not in order, or nothing can be reckoned with them, none of them is used and a note
        says so: they never cost a program its result.
    """
    home = places.home() if home is None else home
    overrides, notes = _own_factors() if overrides is None else (overrides, ())
    known = known_of(run, home, provider)
    try:
        with use_overrides(overrides):
            found = reckon(run, asked, known)
    except Exception as exc:  # noqa: BLE001  # a program's result hangs on it
        if not overrides.factors:
            found = _energy_alone(run, asked, exc)
        else:
            found = reckoned(run, asked, home=home, provider=provider, overrides=NONE)
            keys = ", ".join(list(overrides.factors)[:_SHOWN])
            words = f"your own factors are not used: nothing can be reckoned with them ({keys})"
            notes = (*notes, f"{words}: {_why(exc)}")
    return msgspec.structs.replace(found, notes=(*found.notes, *notes)) if notes else found


def _energy_alone(run: Run, asked: Asked, exc: Exception) -> Footprint:
    """The energy of *run* where what was recorded of it spoils all that follows.

    What was asked for and makes no sense is the asker's to hear of, and raised again.
    """
    if asked != AS_IT_WAS:
        raise exc
    found = energies(run, 1.0 if within_facility(run) else pue_prior())
    words = f"nothing but its energy can be reckoned of what was recorded: {_why(exc)}"
    return msgspec.structs.replace(found, notes=(*found.notes, words))


def _why(exc: Exception) -> str:
    words = safe_text(str(exc), most=_LONGEST_WHY)
    return words if isinstance(exc, SubmeterError) else f"{type(exc).__name__} {words}".strip()


def _own_factors() -> tuple[Overrides, tuple[str, ...]]:
    """Factors that the settings declare, and what is to be said of them."""
    from submeter.settings import load

    declared = load(strict=False).declared
    if not declared:
        return NONE, ()
    from submeter.catalog.declaring import declared_overrides

    try:
        return declared_overrides(declared), ()
    except ConfigError as exc:
        return NONE, (f"your own factors are not used: {exc} ({exc.remedy})",)


def known_of(run: Run, home: Path, provider: str = "") -> Known:
    """What files and providers know of *run*."""
    trace_of = live(provider, home) if provider else intensity
    from submeter.storing.certificates import CLAIMS_FILE

    path = home / CLAIMS_FILE
    if not path.exists():
        return Known(trace_of=trace_of)
    from submeter.storing.certificates import open_claims

    with contextlib.suppress(LedgerError), open_claims(path) as account:
        # What others bought for a run of theirs is not in our account.
        mine = run.origin == "measured"
        others = tuple(b.claim for b in account.balances() if mine and not b.claim.is_energy)
        return Known(allocations=account.of_run(run.id), offsets=others, trace_of=trace_of)
    return Known(trace_of=trace_of)


def live(provider: str, home: Path) -> TraceOf:
    """Ask *provider* for the intensity of a span, kept answers first; the catalog if it fails.

    Where the provider does not reach (the place is unknown, or none of its own), the catalog tells
    in whatever kind it has, and a note says why. A key that is missing or refused stays an error:
    only the user can mend it.
    """
    from submeter.grid.weighting import repair
    from submeter.providers.cache import AnswerCache
    from submeter.providers.live import live_or_offline

    cache = AnswerCache(home / ANSWERS)

    def trace_of(zone: Zone, start_utc_s: float, end_utc_s: float) -> Trace:
        def offline(kind: Kind) -> Trace:
            return intensity(zone, start_utc_s, end_utc_s, kind=kind)

        try:
            return repair(
                live_or_offline(offline, provider, zone, start_utc_s, end_utc_s, cache=cache)
            )
        except CoverageError as exc:
            why = f"offline figures, of a kind of their own, because {exc}"
        found = intensity(zone, start_utc_s, end_utc_s)
        return msgspec.structs.replace(found, notes=(*found.notes, why))

    return trace_of
