# SPDX-License-Identifier: Apache-2.0
"""How wide the interval of a run on this machine would be, before there is one."""

from collections.abc import Sequence
from typing import Final

import msgspec

from submeter.records.devices import Channel, Device, DeviceKind, Measures
from submeter.records.figures import Basis, ErrorTerm, Missing, Quantity, total
from submeter.records.runs import DeviceEnergy, Run
from submeter.units import S_PER_H

LOAD_RATIO: Final = 0.5  # of a device's peak: between idle and full, as a training is over time
COUNTER_TERM: Final = ErrorTerm("rapl-package", 0.03)
_POWERS: Final = frozenset({Measures.ENERGY, Measures.POWER, Measures.MEAN_POWER})


class Load(msgspec.Struct, frozen=True):
    """A device under a typical load [W], and the channel that would tell its energy."""

    device: Device
    channel: Channel
    power_w: float


def typical_loads(
    channels: Sequence[tuple[Device, Channel]], now_w: dict[str, float]
) -> list[Load]:
    """Load of each device that has a channel of power or energy: half its peak, or what it draws.

    Parameters
    ----------
    channels
        Every channel of the machine with its device, the best one of a device first.
    now_w
        Power by device id, as it is just now.
    """
    loads: dict[str, Load] = {}
    for device, channel in channels:
        if channel.measures not in _POWERS or device.kind in {DeviceKind.NODE, DeviceKind.REST}:
            continue
        half_w = LOAD_RATIO * (device.peak_w or 0.0)
        power_w = max(half_w, now_w.get(device.id, 0.0))
        if power_w > 0:
            loads.setdefault(device.id, Load(device, channel, power_w))
    return list(loads.values())


def typical_run(
    loads: Sequence[Load], rest: tuple[Device, Channel] | None, rest_ratio: float | Missing
) -> Run:
    """One hour of *loads*, with the rest of the node as a part of them.

    Its energies carry the doubt that sensors and models of these channels have, so that its
    footprint has the interval that a real run here would have.
    """
    parts = [
        DeviceEnergy(x.device, energy, energy)
        for x in loads
        for energy in [_energy(x.power_w * S_PER_H, x.channel)]
    ]
    if rest is not None:
        device, channel = rest
        share: Quantity | Missing
        if isinstance(rest_ratio, Missing):
            share = rest_ratio
        else:
            devices = total(p.share for p in parts if isinstance(p.share, Quantity))
            share = _energy(devices.value * rest_ratio, channel)
        parts.append(DeviceEnergy(device, share, share))
    return Run(
        id="typical",
        origin="predicted",
        status="finished",
        started_utc="",
        duration_s=S_PER_H,
        devices=tuple(parts),
    )


def counted(loads: Sequence[Load], kind: DeviceKind) -> list[Load]:
    """Take *loads* as if devices of *kind* had an energy counter."""
    return [
        msgspec.structs.replace(
            x,
            channel=msgspec.structs.replace(
                x.channel, basis=Basis.MEASURED, terms=(COUNTER_TERM,), measures=Measures.ENERGY
            ),
        )
        if x.device.kind is kind
        else x
        for x in loads
    ]


def _energy(energy_j: float, channel: Channel) -> Quantity:
    return Quantity.of(energy_j, basis=channel.basis, terms=channel.terms, source=channel.source)
