# SPDX-License-Identifier: Apache-2.0
"""Each sensor read twice, and what that says: values, rates, the time that a read takes."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import click
import msgspec

from submeter.records.devices import Channel, Device, Measures, Sensor
from submeter.records.figures import Missing
from submeter.sensors import Roots
from submeter.units import NS_PER_S

UNITS: Final = {
    Measures.ENERGY: "J",
    Measures.POWER: "W",
    Measures.MEAN_POWER: "W",
    Measures.BUSY_TIME: "s",
    Measures.RUN_TIME: "s",
    Measures.STEAL_TIME: "s",
    Measures.REST_RATIO: "",
    Measures.UTILISATION: "",
    Measures.TEMPERATURE: "°C",
    Measures.CLOCK: "Hz",
    Measures.CAP: "W",
    Measures.THROTTLE: "",
}
_RATES: Final = {
    Measures.ENERGY: "W",
    Measures.BUSY_TIME: "CPUs",
    Measures.RUN_TIME: "CPUs",
    Measures.STEAL_TIME: "CPUs",
}


class Look(msgspec.Struct, frozen=True):
    """One channel as it was read just now, in the SI unit of what it measures."""

    device: Device
    channel: Channel
    value: float | Missing
    rate: float | None  # of a counter, per second
    read_s: float  # time that the whole sensor took

    @property
    def unit(self) -> str:
        """Unit of the value."""
        return UNITS[self.channel.measures]

    @property
    def rate_unit(self) -> str:
        """Unit of the rate."""
        return _RATES.get(self.channel.measures, "")


def look_at(
    sensors: Sequence[Sensor],
    *,
    apart_s: float = 0.5,
    now_ns: Callable[[], int] = time.monotonic_ns,
    pause: Callable[[float], None] = time.sleep,
) -> list[Look]:
    """Read each of *sensors* twice, *apart_s* apart: values are the second, rates the difference.

    Powers since the last read (models) need both, and so do the rates of counters.
    """
    first = [_timed(s, now_ns) for s in sensors]
    pause(apart_s)
    looks: list[Look] = []
    for sensor, (before, began_ns, _took) in zip(sensors, first, strict=True):
        after, then_ns, took_ns = _timed(sensor, now_ns)
        elapsed_s = (then_ns - began_ns) / NS_PER_S
        for i, channel in enumerate(sensor.channels):
            looks.append(
                Look(
                    sensor.device,
                    channel,
                    _scaled(after[i], channel),
                    _rate(before[i], after[i], channel, elapsed_s),
                    took_ns / NS_PER_S,
                )
            )
    return looks


def roots_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say where the kernel's trees are mounted."""
    folder = click.Path(path_type=Path)
    for option in (
        click.option("--no-gpu", is_flag=True, help="Do not ask the NVIDIA driver."),
        click.option("--proc-root", type=folder, default="/proc", hidden=True),
        click.option("--sys-root", type=folder, default="/sys", hidden=True),
    ):
        command = option(command)
    return command


def roots(sys_root: Path, proc_root: Path, *, no_gpu: bool) -> Roots:
    """Where to look, as the options say."""
    return Roots(sys=sys_root, proc=proc_root, nvml=not no_gpu)


def _timed(sensor: Sensor, now_ns: Callable[[], int]) -> tuple[Sequence[int | Missing], int, int]:
    began_ns = now_ns()
    values = sensor.read()
    ended_ns = now_ns()
    return values, (began_ns + ended_ns) // 2, ended_ns - began_ns


def _scaled(raw: int | Missing, channel: Channel) -> float | Missing:
    return raw if isinstance(raw, Missing) else raw * channel.scale


def _rate(
    before: int | Missing, after: int | Missing, channel: Channel, elapsed_s: float
) -> float | None:
    if channel.measures not in _RATES or elapsed_s <= 0:
        return None
    if isinstance(before, Missing) or isinstance(after, Missing):
        return None
    grown = after - before
    if grown < 0:
        if not channel.modulus:
            return None  # a reset, not a rate
        grown %= channel.modulus
    return grown * channel.scale / elapsed_s
