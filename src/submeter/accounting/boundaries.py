# SPDX-License-Identifier: Apache-2.0
"""Nested boundaries of a run's energy: devices, node, it, facility."""

import math
from collections.abc import Iterable
from typing import Final, Protocol

from submeter.errors import UsageError
from submeter.records.devices import DeviceKind
from submeter.records.figures import Basis, ErrorTerm, Missing, Quantity, Spread, total
from submeter.records.runs import DeviceEnergy, Footprint, Run

NORMAL_95: Final = 1.959964  # half width of a normal 95 % interval in standard deviations
DECLARED_PUE_SD_RATIO: Final = 0.05  # of an annual, site-specific PUE; science.md 1.5
DECLARED_OVERHEAD_SD_RATIO: Final = 0.5
OVERHEAD_KEY: Final = "pue"
ONE_MACHINE: Final = "IT = node here: one machine, no fabric or storage counted"


class Factor(Protocol):
    """A cited number with its 95 % interval, such as a row of the catalog."""

    @property
    def value(self) -> float:
        """Best single number."""
        ...

    @property
    def low(self) -> float:
        """Lower end."""
        ...

    @property
    def high(self) -> float:
        """Upper end."""
        ...

    @property
    def source(self) -> str:
        """Where it is published."""
        ...


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
    ``node = devices + rest``; ``it = node`` (on a single machine there is no fabric or storage
    to add); ``facility = it + it * (PUE - 1)``. The doubt of a PUE is one of ``PUE - 1``, in the
    log domain, so that no interval reaches below ``PUE = 1``. Node meters (psys, BMC, plug) only
    reconcile and are never added.

    References
    ----------
    .. [1] ISO/IEC 30134-2:2016, Power usage effectiveness (PUE).
    """
    parts = [d for d in run.devices if d.device.kind is not DeviceKind.NODE]
    seen = [d for d in parts if d.device.kind is not DeviceKind.REST]
    rest = [d for d in parts if d.device.kind is DeviceKind.REST]
    devices = _known(seen, "no device of this run could be read or modelled")
    unknown = [f"{d.device.id}: {d.share.why}" for d in parts if isinstance(d.share, Missing)]
    covered = {d.device.host for d in rest}
    lacking = dict.fromkeys(d.device.host for d in seen if d.device.host not in covered)
    unknown += [f"rest of {host or 'the node'}: neither measured nor modelled" for host in lacking]
    node = _known(parts, "no device of this run could be read or modelled")
    several = len(run.hosts) > 1
    if several:
        unknown.append("fabric and storage between the hosts: not metered")
    notes = () if several else (ONE_MACHINE,)
    facility, source = with_overhead(node, pue)
    return Footprint(
        devices=devices,
        node=node,
        it=node,
        facility=facility,
        factors=(source,) if source else (),
        unknown=tuple(unknown),
        notes=notes,
    )


def with_overhead(it: Quantity | Missing, pue: Factor | float) -> tuple[Quantity | Missing, str]:
    """Energy *it* times PUE [J], and the source of that PUE."""
    overhead_ratio, terms, basis, source = _overhead(pue)
    if isinstance(it, Missing):
        return it, source
    if overhead_ratio == 0:
        return it, source
    amount = it.value * overhead_ratio
    # The overhead moves with the energy that it is a part of, so the doubt of that energy is
    # scaled along; its own doubt stays on its own part.
    carried = it.scaled(1 + overhead_ratio)
    own = Quantity(
        value=0.0,
        spreads=tuple(
            Spread(t.source_key, amount * t.relative_sd, t.shape, part=amount) for t in terms
        ),
        sources=(source,) if source else (),
    )
    both = total([carried, own])
    split = dict(it.basis)
    split[basis] = split.get(basis, 0.0) + amount
    return (
        Quantity(
            value=both.value,
            bound_low=both.bound_low,
            bound_high=both.bound_high,
            spreads=both.spreads,
            basis=split,
            sources=both.sources,
        ),
        source,
    )


def _overhead(pue: Factor | float) -> tuple[float, tuple[ErrorTerm, ...], Basis, str]:
    """PUE - 1, its doubt in the log domain, its basis and source."""
    if isinstance(pue, int | float):
        if not (math.isfinite(pue) and pue >= 1):
            raise UsageError(
                f"a PUE is 1 or more, not {pue}", remedy="submeter config set pue 1.3"
            )
        overhead_ratio = float(pue) - 1
        if overhead_ratio == 0:
            return 0.0, (), Basis.DERIVED, "PUE 1, declared"
        # A site that knows a PUE near 1 knows its overhead to better than a factor.
        sd_ratio = min(DECLARED_PUE_SD_RATIO * pue / overhead_ratio, DECLARED_OVERHEAD_SD_RATIO)
        term = ErrorTerm(OVERHEAD_KEY, relative_sd=sd_ratio)
        return overhead_ratio, (term,), Basis.DERIVED, f"PUE {pue:g}, declared"
    if not (1 <= pue.value <= pue.high and pue.low <= pue.value):
        raise UsageError(f"PUE {pue.value:g} ({pue.low:g} – {pue.high:g}) is not a valid factor")
    overhead_ratio = pue.value - 1
    if overhead_ratio == 0:
        return 0.0, (), Basis.ASSUMED, pue.source
    up = math.log((pue.high - 1) / overhead_ratio)
    down = math.log(overhead_ratio / (pue.low - 1)) if pue.low > 1 else up
    # The wider side serves for both: a prior must not look surer than its source.
    log_sd = max(up, down) / NORMAL_95
    term = ErrorTerm(OVERHEAD_KEY, relative_sd=math.sqrt(math.expm1(log_sd**2)))
    return overhead_ratio, (term,), Basis.ASSUMED, pue.source


def _known(parts: Iterable[DeviceEnergy], otherwise: str) -> Quantity | Missing:
    """Sum of the shares that are known."""
    rows = list(parts)
    known = [d.share for d in rows if isinstance(d.share, Quantity)]
    if known:
        return total(known)
    reasons = dict.fromkeys(d.share.why for d in rows if isinstance(d.share, Missing))
    return Missing("; ".join(reasons) or otherwise)
