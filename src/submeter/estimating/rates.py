# SPDX-License-Identifier: Apache-2.0
"""How fast a machine works on a training and what it draws: what people say, else the priors."""

import math
import re
from typing import Final

import msgspec

from submeter.errors import UsageError
from submeter.estimating import priors
from submeter.estimating.machines import Machine
from submeter.records.devices import DeviceKind
from submeter.records.factors import NORMAL_95, Factor
from submeter.units import S_PER_H
from submeter.workloads.workloads import Workload

UTILISATION: Final = "estimate/utilisation"  # how the keys of doubts begin
POWER: Final = "estimate/power"
NODE: Final = "estimate/node"
MOST_POWER_RATIO: Final = 1.5
NOT_NEEDED: Final = Factor(
    "estimate/utilisation/none", 1.0, 1.0, 1.0, "ratio", source="not needed"
)
DECLARED_LOG_SD: Final = 0.025  # of a figure that somebody states without an interval
_STATED: Final = re.compile(
    r"\s*([0-9.]+(?:e-?\d+)?)\s*(?:(?:-|–|\.\.)\s*([0-9.]+(?:e-?\d+)?))?\s*(%|k?w)?\s*",
    re.IGNORECASE,
)


class Rates(msgspec.Struct, frozen=True):
    """How fast a machine works on a training, and what it draws; what a prediction rests on.

    ``utilisation`` is useful operations over peak, ``power_ratio`` mean power over TDP, and
    ``node_ratio`` the rest of the node over its devices. ``whole_run`` says that utilisation and
    power are those of whole runs, overheads within. ``with_utilisation_sd`` is the deviation of
    the logarithm that the utilisation gives to the energy, where power follows it.
    """

    key: str
    name: str
    count: int
    per_node: int
    peak_flop_per_s: Factor
    tdp_w: Factor
    utilisation: Factor
    power_ratio: Factor
    node_ratio: Factor
    memory_bytes_per_s: Factor | None = None
    with_utilisation_sd: float | None = None
    whole_run: bool = True
    kind: DeviceKind = DeviceKind.GPU

    @property
    def nodes(self) -> int:
        """Machines that hold the accelerators, the last one perhaps in part."""
        return -(-self.count // self.per_node)


def declared(name: str, value: float, unit: str, *, low: float = 0, high: float = 0) -> Factor:
    """Give what somebody stated: an interval if they gave one, else within a twentieth.

    Raises
    ------
    UsageError
        For what is not positive.
    """
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"{name} {value:g} is not positive", remedy="give it as 0.4 or 0.3-0.5")
    spread = math.exp(NORMAL_95 * DECLARED_LOG_SD)
    return Factor(
        name, value, low or value / spread, high or value * spread, unit, source="as given",
        verified="declared",
    )  # fmt: skip


def rates_of(
    workload: Workload | None,
    machine: Machine,
    *,
    mfu: str | float | None = None,
    power: str | float | None = None,
    device_hours: float | None = None,
    precision: str = "",
) -> Rates:
    """Rates of *machine* on *workload*.

    Parameters
    ----------
    mfu
        Useful operations over peak: ``0.38``, ``38 %``, or an interval ``0.3-0.46``.
    power
        Mean power of a device: a ratio of its TDP (``0.8``), watts (``560 W``), or an interval.
    device_hours
        Of all devices, where they are known: the utilisation follows from them.
    precision
        In which it works, where there is no *workload* that says so.

    Raises
    ------
    UsageError, CoverageError
        If what is said makes no sense, or the device is not fast in that precision.
    """
    told = workload.precision if workload else precision or "bf16"
    row, peak = machine.accelerator, machine.peak_flop_per_s(told)
    known = None
    if mfu is not None:
        utilisation = _ratio("mfu", mfu)
        known = utilisation.value
    elif workload is None:
        utilisation = NOT_NEEDED
    else:
        utilisation = priors.utilisation(workload, machine)
        utilisation = _named(utilisation, f"{UTILISATION}/{row.key}/{told}")
    if device_hours and workload is not None:
        whole = peak.value * device_hours * S_PER_H
        known = min(1.0, workload.operations.useful_flop / whole)
        utilisation = declared(UTILISATION, known, "ratio")
    power_ratio, with_utilisation = _drawn(
        workload, machine, known, power, told, utilisation.value
    )
    return Rates(
        key=row.key if row.how == "name" else row.name,
        name=row.name,
        count=machine.count,
        per_node=machine.per_node,
        peak_flop_per_s=peak,
        tdp_w=machine.tdp_w,
        utilisation=utilisation,
        power_ratio=power_ratio,
        with_utilisation_sd=with_utilisation,
        node_ratio=_above_one(priors.node_ratio(machine), machine.device_class),
        memory_bytes_per_s=machine.memory_bandwidth,
        whole_run=mfu is None,
        kind=DeviceKind.CPU if machine.device_class == "cpu" else DeviceKind.GPU,
    )


def _drawn(
    workload: Workload | None,
    machine: Machine,
    known: float | None,
    power: str | float | None,
    precision: str,
    expected: float,
) -> tuple[Factor, float | None]:
    """Mean power over TDP, and the deviation that the utilisation gives to the energy.

    Where the utilisation is a prior, power follows it: low comes with low, so that the energy is
    less in doubt than their quotient would be.
    """
    row = machine.accelerator
    if power is not None:
        return _power(power, machine.tdp_w), None
    key = f"{POWER}/{row.key}"
    if workload is None:
        traits = priors.Traits("unknown", machine.device_class, precision, machine.count)
        return _named(priors.shipped().power_ratio(traits, utilisation=known), key), None
    if known is not None:
        return _named(priors.power_ratio(workload, machine, utilisation=known), key), None
    alone = _named(priors.power_ratio(workload, machine, utilisation=expected), key)
    both = priors.energy_ratio(workload, machine).log_sd
    return alone, math.sqrt(max(0.0, both**2 - alone.log_sd**2))


def _above_one(node: Factor, device_class: str) -> Factor:
    """Rest of the node over its devices, of the whole *node* over them."""
    return msgspec.structs.replace(
        node, key=f"{NODE}/{device_class}", value=max(0.0, node.value - 1),
        low=max(0.0, node.low - 1), high=max(0.0, node.high - 1),
    )  # fmt: skip


def stated(name: str, words: str | float) -> tuple[Factor, str]:
    """Give a number or interval of *words*, and the unit behind it.

    Raises
    ------
    UsageError
        If it is none.
    """
    found = _STATED.fullmatch(str(words))
    try:
        if found is None:
            raise ValueError  # noqa: TRY301  # said below, once
        unit = (found[3] or "").lower()
        scale = {"%": 0.01, "kw": 1000.0}.get(unit, 1.0)
        low = float(found[1]) * scale
        high = low if found[2] is None else float(found[2]) * scale
    except ValueError:
        raise UsageError(
            f"{name} “{str(words)[:40]}” is no number", remedy=f"--{name} 0.4, or --{name} 0.3-0.5"
        ) from None
    if found[2] is None:
        return declared(name, low, "ratio"), unit
    if not 0 < low <= high:
        raise UsageError(f"{name} {low:g} – {high:g} is no interval", remedy=f"--{name} 0.3-0.5")
    return declared(name, math.sqrt(low * high), "ratio", low=low, high=high), unit


def _ratio(name: str, words: str | float) -> Factor:
    found, unit = stated(name, words)
    if unit.endswith("w") or found.value > 1:
        raise UsageError(
            f"{name} {found.value:g} is more than all of the peak", remedy=f"--{name} 0.4"
        )
    return msgspec.structs.replace(found, high=min(1.0, found.high))


def _power(words: str | float, tdp_w: Factor) -> Factor:
    """Mean power over TDP; watts are exact where the TDP is not."""
    found, unit = stated("power", words)
    watts = unit.endswith("w")
    ratio = found.scaled(1 / tdp_w.value, "ratio") if watts else found
    if not 0.01 <= ratio.value <= MOST_POWER_RATIO:  # noqa: PLR2004  # nothing idles below
        raise UsageError(
            f"power “{str(words)[:40]}” is {ratio.value:.3g} of the TDP, {tdp_w.value:.4g} W",
            remedy="--power 0.8 of the TDP, or --power 560W of each device",
        )
    return ratio


def _named(factor: Factor, key: str) -> Factor:
    """*factor* with a *key* of its own: other devices are off in ways of their own."""
    return msgspec.structs.replace(factor, key=key)
