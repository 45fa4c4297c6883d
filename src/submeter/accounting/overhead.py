# SPDX-License-Identifier: Apache-2.0
"""Which power usage effectiveness holds for a run: the declared one, else the cited prior."""

from submeter.accounting.boundaries import Factor
from submeter.catalog import pue_prior
from submeter.settings import Settings


def pue_for(settings: Settings) -> Factor | float:
    """PUE that somebody declared in *settings*, else the prior of the catalog."""
    return pue_prior() if settings.pue is None else settings.pue
