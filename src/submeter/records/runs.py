# SPDX-License-Identifier: Apache-2.0
"""The Run: one record, whether it was measured, predicted, replayed or published."""

from typing import Literal

import msgspec

from submeter.records.devices import Device
from submeter.records.figures import Missing, Quantity

RUN_SCHEMA = 1
NO_END = "ended without a word: killed, or the machine went down"  # a note of such a run

Origin = Literal["measured", "predicted", "replayed", "published"]
Status = Literal["waiting", "running", "paused", "finished", "failed", "killed", "stopped"]


class Host(msgspec.Struct, frozen=True):
    """A machine that took part."""

    name: str
    machine: dict[str, str] = {}


class DeviceEnergy(msgspec.Struct, frozen=True):
    """What a device drew while the run lasted, and the run's share of it."""

    device: Device
    drawn: Quantity | Missing
    share: Quantity | Missing
    method: str = ""  # "energy counter", "power, integrated", "model: ..."
    share_how: str = ""
    flags: dict[str, int] = {}  # wraps, resets, rejected readings, gaps, ...
    means: dict[
        str, float
    ] = {}  # utilisation_ratio, temperature_c, clock_hz, cap_w, throttled_ratio


class PhaseEnergy(msgspec.Struct, frozen=True):
    """Energy of one exclusive leaf path: time in it and in no child of it."""

    path: str
    count: int
    duration_s: float
    energy: Quantity | Missing
    devices: dict[str, float] = {}  # device id -> J
    joint_with: tuple[str, ...] = ()  # not separable from these; energy and devices are joint


class RankEnergy(msgspec.Struct, frozen=True):
    """Energy of one rank of a distributed run."""

    rank: int
    host: str
    energy: Quantity | Missing


class MetricPoint(msgspec.Struct, frozen=True):
    """One logged point of the learning curve."""

    elapsed_s: float
    values: dict[str, float]
    step: int | None = None


class Series(msgspec.Struct, frozen=True):
    """Energy per slot of equal length, the run's share, from the start of the run [J]."""

    slot_s: float
    devices: dict[str, list[float]] = {}


class Pause(msgspec.Struct, frozen=True):
    """A stretch of a run in which its work stood still, while its devices drew on.

    ``start_s`` counts from the start of the run [s]; ``restart_s`` is the time that the work took
    to be where it had been, as declared [s].
    """

    start_s: float
    duration_s: float
    restart_s: float = 0.0
    over: bool = True


class Run(msgspec.Struct, frozen=True):
    """Which devices drew what, in which phases, with what result."""

    id: str
    origin: Origin
    status: Status
    started_utc: str  # ISO 8601 with Z
    duration_s: float
    name: str = ""
    exit_code: int | None = None
    command: tuple[str, ...] = ()
    user: str = ""
    project: str = ""
    parent: str = ""
    attempt: int = 1
    tags: dict[str, str] = {}
    hosts: tuple[Host, ...] = ()
    devices: tuple[DeviceEnergy, ...] = ()
    phases: tuple[PhaseEnergy, ...] = ()
    outside_phases: Quantity | Missing = Missing("not computed")
    unattributed: Quantity | Missing = Missing("not computed")
    ranks: tuple[RankEnergy, ...] = ()
    metrics: dict[str, float] = {}
    metric_history: tuple[MetricPoint, ...] = ()
    work: dict[str, float] = {}
    series: Series | None = None
    place: dict[str, str] = {}
    code: dict[str, str] = {}
    parameters: dict[str, str] = {}
    interval_s: float = 0.0
    gaps_s: float = 0.0  # time bridged by interpolation
    notes: tuple[str, ...] = ()
    plan: str = ""  # id of the plan that it was run by
    asked_utc: str = ""  # when it could have been started at once, ISO 8601 with Z
    pauses: tuple[Pause, ...] = ()
    schema: int = RUN_SCHEMA
