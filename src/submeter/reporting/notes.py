# SPDX-License-Identifier: Apache-2.0
"""What is to be said of a result, set apart: what is so of this run, and what of every run."""

import re
from collections.abc import Iterable
from typing import Final

from submeter.accounting.boundaries import ONE_MACHINE
from submeter.accounting.embodied import BOUNDARY, IDLE_IS_THE_OWNERS, NOT_IN_IT
from submeter.accounting.facility import NOT_ANNUAL
from submeter.accounting.footprints import LEFT_OUT, SLICE
from submeter.accounting.market import CLAIMED_TWICE, CO2_ALONE, GREENHOUSE_GASES
from submeter.accounting.water import OFFSITE_APART, ONSITE_IS
from submeter.records.footprints import Footprint
from submeter.reporting.text import plain

# They tell how is reckoned, and nothing of a run: whoever knows them need not read them again.
METHOD: Final = frozenset(
    {
        ONE_MACHINE, NOT_ANNUAL, ONSITE_IS, OFFSITE_APART, BOUNDARY, IDLE_IS_THE_OWNERS,
        NOT_IN_IT, CO2_ALONE, GREENHOUSE_GASES, CLAIMED_TWICE, SLICE, LEFT_OUT,
    }
)  # fmt: skip
_OF_ONE: Final = re.compile(r"(?P<who>\w+:\S*\d+): (?P<what>.+)")  # gpu:GPU-0: no figure …


def own_notes(footprint: Footprint) -> list[str]:
    """Notes about this run, those that several of its devices share said once."""
    devices: dict[str, list[str]] = {}
    for note in _said(footprint):
        if note not in METHOD:
            found = _OF_ONE.fullmatch(note)
            who, what = (found["who"], found["what"]) if found else ("", note)
            devices.setdefault(what, []).append(who)
    return [
        plain(what if not who[0] else f"{who[0]}{_more(len(who) - 1)}: {what}")
        for what, who in devices.items()
    ]


def method_words(footprint: Footprint) -> str:
    """How every run is reckoned, as far as it concerns this one: sentences of one paragraph."""
    notes = [note for note in _said(footprint) if note in METHOD]
    return plain(" ".join(f"{note[0].upper()}{note[1:]}." for note in notes))


def _said(footprint: Footprint) -> Iterable[str]:
    return dict.fromkeys((*footprint.notes, *footprint.carbon.notes, *footprint.water.notes))


def _more(count: int) -> str:
    return f" and {count} more" if count else ""
