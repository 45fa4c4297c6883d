# SPDX-License-Identifier: Apache-2.0
"""What the interval of a figure hangs on, in words a reader knows, and what would narrow it."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from submeter.records.amounts import Amount
from submeter.records.factors import Factor
from submeter.records.footprints import Doubt
from submeter.records.places import Zone

LEAST_SHARE: Final = 0.05  # of the variance; what makes up less is not named
OTHERS: Final = "others"
_SET_PUE: Final = "submeter config set pue 1.3"
_SET_ZONE: Final = "submeter config set zone DE"
_SET_WUE: Final = "submeter config set wue_l_per_kwh 0.5"
_SET_LIFE: Final = "submeter config set hardware_life_years 5"
_SET_PRICE: Final = "submeter config set electricity_price 0.25"
_ASK_DOCTOR: Final = "submeter doctor"
_FACTS_OF_GRIDS: Final = ("grid/", "grid_odbl/")
_INTENSITY: Final = "g_per_kwh"


class _Source(NamedTuple):
    """A family of sources of doubt: how its keys begin and end, its name, its cheapest remedy."""

    begin: str
    end: str
    name: str
    remedy: str = ""


_SOURCES: Final = (
    _Source("estimate/utilisation", "", "model FLOP utilisation", "submeter estimate --mfu 0.4"),
    _Source("estimate/bandwidth", "", "memory bandwidth reached"),
    _Source("estimate/power", "", "mean power of the devices", "submeter estimate --power 560W"),
    _Source("estimate/node", "", "rest of node"),
    _Source("estimate/shape", "", "shape of the model", "submeter estimate --config config.json"),
    _Source("estimate/overhead/fabric", "", "fabric between the nodes"),
    _Source("estimate/overhead/storage", "", "storage"),
    _Source("estimate/overhead/", "", "overheads"),
    _Source("accelerator_facts/", "tdp_w", "TDP of the device"),
    _Source("accelerator_facts/", "flop_per_s", "peak of the device"),
    _Source("pue-prior", "", "PUE unknown", _SET_PUE),
    _Source("pue", "", "PUE as declared"),
    _Source("cloud/", "/pue", "PUE of the cloud region", _SET_PUE),
    _Source("facility/cooling/", "", "cooling", _SET_PUE),
    _Source("facility/", "/pue", "PUE unknown", _SET_PUE),
    _Source("", "td_loss_ratio", "loss of the lines"),
    _Source("wue", "", "WUE as declared"),
    _Source("", "wue_l_per_kwh", "WUE of the site", _SET_WUE),
    _Source("facility/curve/", "", "WUE of the site", _SET_WUE),
    _Source("cooling/", "", "cooling", _SET_PUE),
    _Source("", "ewif_l_per_kwh", "water at the generators"),
    _Source("", "l_per_kwh", "water at the generators"),
    _Source("generation", _INTENSITY, "emissions of each kind of generator"),
    _Source("cloud/", _INTENSITY, "grid intensity of the cloud region"),
    _Source("live/", "", "grid as its provider gives it"),
    _Source("embodied/lifetime", "", "life of the hardware", _SET_LIFE),
    _Source("embodied/", "", "embodied carbon"),
    _Source("prices/", "", "price of electricity", _SET_PRICE),
    _Source("cpu-", "", "processor model", _ASK_DOCTOR),
    _Source("dram-model", "", "memory model", _ASK_DOCTOR),
    _Source("rest-model", "", "rest of node", _ASK_DOCTOR),
    _Source("rapl-", "", "device sensor"),
    _Source("nvml-gain", "", "device sensor"),
    _Source("split-by-cpu-time", "", "split by CPU time"),
    _Source("phase-split", "", "split by phase"),
    _Source("unseen", "", "time without readings"),
)


def doubts(
    amount: Amount, *, zone: Zone | None = None, factors: Iterable[Factor] = ()
) -> tuple[Doubt, ...]:
    """Share of the variance of *amount* by source of doubt, largest first; they sum to 1.

    Parameters
    ----------
    amount
        Any sum of products.
    zone
        Place of the run: one that was guessed is the first thing to make sure.
    factors
        The factors that went into *amount*, which know their year.

    Returns
    -------
    tuple of Doubt
        Each family of sources that makes up a twentieth or more, with the cheapest command that
        narrows it, and `OTHERS` together at the end. Nothing where nothing is in doubt.
    """
    years = {f.key: f.year for f in factors if f.year}
    found: dict[str, Doubt] = {}
    for key, share in amount.shares_of_variance().items():
        name, remedy = _words(key, zone, years.get(key, 0))
        old = found.get(name)
        found[name] = Doubt(
            key=old.key if old else key,
            name=name,
            share_ratio=share + (old.share_ratio if old else 0.0),
            remedy=remedy,
        )
    ranked = sorted(found.values(), key=lambda doubt: -doubt.share_ratio)
    named = [doubt for doubt in ranked if doubt.share_ratio >= LEAST_SHARE]
    few = sum(doubt.share_ratio for doubt in ranked[len(named) :])
    return (*named, *([Doubt(OTHERS, OTHERS, few)] if few > 0 else []))


def _words(key: str, zone: Zone | None, year: int) -> tuple[str, str]:
    """Name of the source of doubt *key*, and the command that narrows it."""
    first = key.partition(" + ")[0]  # several years of one grid are one doubt
    bare = first.partition("@")[0]
    if bare.startswith(_FACTS_OF_GRIDS) and bare.endswith(_INTENSITY):
        if zone is not None and zone.guessed:
            return "place guessed", _SET_ZONE
        return (f"grid year {year}, not the hour" if year else "grid's year, not the hour"), ""
    for source in _SOURCES:
        if bare.startswith(source.begin) and bare.endswith(source.end):
            return source.name, source.remedy
    return bare, ""
