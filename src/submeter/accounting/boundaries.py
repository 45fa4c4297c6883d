# SPDX-License-Identifier: Apache-2.0
"""Nested boundaries of a run's energy: devices, node, it, facility."""

import math
from collections.abc import Iterable
from typing import Final

import msgspec

from submeter.errors import UsageError
from submeter.records.amounts import Amount, sum_amounts
from submeter.records.devices import DeviceKind
from submeter.records.factors import NORMAL_95, Factor
from submeter.records.figures import Missing, Quantity
from submeter.records.footprints import Footprint
from submeter.records.runs import DeviceEnergy, Run

DECLARED_PUE_SD_RATIO: Final = 0.05  # of an annual, site-specific PUE; science.md 1.5
DECLARED_OVERHEAD_SD_RATIO: Final = 0.5
OVERHEAD_KEY: Final = "pue"
OVERHEAD: Final = "overhead"
SCOPE: Final = "energy_scope"  # key of the place of a published run
HOLDS_PUE: Final = frozenset({"facility", "device x pue"})
FABRIC: Final = "between the nodes"  # host of what belongs to IT but to no node
TOLD_TOGETHER: Final = "published with the whole node, not apart"
NOTHING: Final = "no device of this run could be read or modelled"
ONE_MACHINE: Final = "IT = node here: one machine, no fabric or storage counted"


def footprint(run: Run, pue: Factor | float) -> Footprint:
    """Energy of *run* at each boundary [J], of which facility is the headline.

    Parameters
    ----------
    run
        A run of any origin; only the run's shares of its devices are used.
    pue
        Power usage effectiveness, >= 1: a prior (assumed), or a number that somebody declared
        for the place where the run was.

    Returns
    -------
    Footprint
        Where some part is missing, each total holds what is known, and ``unknown`` names the
        rest: the totals are lower bounds then. `Missing` where nothing is known.

    Notes
    -----
    ``node = devices + rest``; ``it = node`` on a single machine, and what is between the nodes
    besides where a row has `FABRIC` for its host; ``facility = it + it * (PUE - 1)``. The doubt
    of a PUE is one of ``PUE - 1``, in the log domain, so that no interval reaches below
    ``PUE = 1``. Node meters (psys, BMC, plug) only reconcile and are never added.

    References
    ----------
    .. [1] ISO/IEC 30134-2:2016, Power usage effectiveness (PUE).
    """
    parts = [d for d in run.devices if d.device.kind is not DeviceKind.NODE]
    seen = [d for d in parts if d.device.kind is not DeviceKind.REST]
    rest = [d for d in parts if d.device.kind is DeviceKind.REST]
    published = run.place.get(SCOPE, "")
    devices = _known(seen, TOLD_TOGETHER if published else NOTHING)
    unknown = [f"{d.device.id}: {d.share.why}" for d in parts if isinstance(d.share, Missing)]
    covered = {d.device.host for d in rest}
    lacking = dict.fromkeys(d.device.host for d in seen if d.device.host not in covered)
    why = "not in the published energy" if published else "neither measured nor modelled"
    whose = (host if host and not published else "the node" for host in lacking)
    unknown += [f"rest of {host}: {why}" for host in whose]
    node = _known([d for d in parts if d.device.host != FABRIC], NOTHING)
    fabric = any(d.device.host == FABRIC for d in parts)
    it = _known(parts, NOTHING) if fabric else node
    several = len(run.hosts) > 1
    if several:
        unknown.append("fabric and storage between the hosts: not metered")
    if published == "node":
        unknown.append("fabric and storage between the nodes: not in the published energy")
    notes = () if several or published or fabric else (ONE_MACHINE,)
    factor = pue if isinstance(pue, Factor) else declared_pue(pue)
    if factor.high > 1:
        refuse_twice(run)
    overhead = with_overhead(it, factor)
    facility = it if isinstance(it, Missing) else sum_amounts((it, *overhead.values()))
    return Footprint(
        devices=devices,
        node=node,
        it=it,
        facility=facility,
        parts=overhead,
        factors=(factor,),
        unknown=tuple(unknown),
        notes=notes,
    )


def within_facility(run: Run) -> bool:
    """Whether the energy of *run* holds its facility's overhead, undivided."""
    return run.place.get(SCOPE) in HOLDS_PUE


def refuse_twice(run: Run) -> None:
    """Raise `UsageError` if the energy of *run* holds its facility's overhead already."""
    if within_facility(run):
        raise UsageError(
            f"the energy of {run.name} holds its PUE already: no other is applied to it",
            remedy="reckon it with a PUE of 1",
        )


def with_overhead(it: Amount | Missing, pue: Factor) -> dict[str, Amount]:
    """What a facility of this *pue* adds to the energy *it* [J]; nothing where it is 1."""
    if not 1 <= pue.low <= pue.value <= pue.high:
        raise UsageError(
            f"a PUE is 1 or more, not {pue.value:g} ({pue.low:g} – {pue.high:g})",
            remedy="submeter config set pue 1.3",
        )
    if isinstance(it, Missing) or pue.high == 1:
        return {}
    above_one = msgspec.structs.replace(
        pue, value=pue.value - 1, low=pue.low - 1, high=pue.high - 1
    )
    return {OVERHEAD: it.times(above_one)}


def declared_pue(pue: float) -> Factor:
    """PUE that somebody stated for the place, with the doubt of an annual, site-specific one."""
    if not (math.isfinite(pue) and pue >= 1):
        raise UsageError(f"a PUE is 1 or more, not {pue}", remedy="submeter config set pue 1.3")
    ratio = pue - 1
    # A site that knows a PUE near 1 knows its overhead to better than a factor.
    spread = math.exp(NORMAL_95 * _declared_log_sd(pue, ratio))
    return Factor(
        key=OVERHEAD_KEY,
        value=float(pue),
        low=1 + ratio / spread,
        high=1 + ratio * spread,
        unit="ratio",
        source=f"PUE {pue:g}, declared",
        verified="declared",
    )


def _declared_log_sd(pue: float, ratio: float) -> float:
    if ratio == 0:
        return 0.0
    sd_ratio = min(DECLARED_PUE_SD_RATIO * pue / ratio, DECLARED_OVERHEAD_SD_RATIO)
    return math.sqrt(math.log1p(sd_ratio**2))


def _known(parts: Iterable[DeviceEnergy], otherwise: str) -> Amount | Missing:
    """Sum of the shares that are known."""
    rows = list(parts)
    known = [d.share for d in rows if isinstance(d.share, Quantity)]
    if known:
        return sum_amounts(Amount.of(share) for share in known)
    reasons = dict.fromkeys(d.share.why for d in rows if isinstance(d.share, Missing))
    return Missing("; ".join(reasons) or otherwise)
