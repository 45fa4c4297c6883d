# SPDX-License-Identifier: Apache-2.0
"""Which power usage effectiveness holds for a run: the declared one, else the cited prior."""

import contextlib

import msgspec

from submeter.accounting.boundaries import footprint
from submeter.catalog import pue_prior
from submeter.records.factors import Factor
from submeter.records.footprints import Footprint
from submeter.records.runs import Run
from submeter.settings import RULES, Settings

PLACE_KEY = "pue"


def pue_for(settings: Settings) -> Factor | float:
    """PUE that somebody declared in *settings*, else the prior of the catalog: for new runs."""
    return pue_prior() if settings.pue is None else settings.pue


def pue_of(run: Run) -> Factor | float:
    """PUE that was declared when *run* began, else the prior; later settings change nothing."""
    word = run.place.get(PLACE_KEY, "")
    with contextlib.suppress(ValueError, OverflowError):
        declared = RULES[PLACE_KEY].accept(float(word))
        if isinstance(declared, int | float):
            return declared
    return pue_prior()


def reckoned(run: Run, pue: float | None = None) -> Footprint:
    """Energy of *run* at each boundary with its own PUE, or with *pue* where that is asked for."""
    if pue is None:
        return footprint(run, pue_of(run))
    own = run.place.get(PLACE_KEY)
    words = f"reckoned with PUE {pue:g} as asked; the run's own is " + (own or "the prior")
    amount = footprint(run, pue)
    return msgspec.structs.replace(amount, notes=(*amount.notes, words))
