# SPDX-License-Identifier: Apache-2.0
"""Devices, the channels a sensor reads of them, and what one read brings."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from submeter.records.figures import Basis, ErrorTerm, Missing


class DeviceKind(StrEnum):
    """Part of a machine that draws power; each joule belongs to exactly one device."""

    GPU = "gpu"
    CPU = "cpu"
    DRAM = "dram"
    REST = "rest"
    NODE = "node"  # reconciles only: psys, BMC, plug


class Device(msgspec.Struct, frozen=True):
    """One device, named so that the name stays true across reboots and masks.

    ``id`` is ``gpu:GPU-<uuid>``, ``cpu:<socket>``, ``dram:<socket>``, ``rest:<host>`` or
    ``node:<what>``.
    """

    id: str
    kind: DeviceKind
    name: str
    host: str
    peak_w: float | None = None  # most that it can draw for a second, ceiling for readings
    idle_w: float | None = None  # drawn when nothing runs, if known


class Measures(StrEnum):
    """What a channel measures, and with that how its values become energy."""

    ENERGY = "energy"  # a counter: differences are energy
    POWER = "power"  # power at an instant, or over the device's own window before it
    MEAN_POWER = "mean_power"  # mean power since the previous reading of this channel
    BUSY_TIME = "busy_time"  # a counter: CPU time of the whole machine
    RUN_TIME = "run_time"  # a counter: CPU time of the run's processes
    REST_RATIO = "rest_ratio"  # rest of the node, as a part of all other devices' energy
    STEAL_TIME = "steal_time"  # a counter: time the hypervisor took away
    UTILISATION = "utilisation"
    TEMPERATURE = "temperature"
    CLOCK = "clock"
    CAP = "cap"
    THROTTLE = "throttle"


class Channel(msgspec.Struct, frozen=True):
    """One stream of raw integers from a device and how to read them.

    ``scale`` turns a raw count into the SI unit (J, W, s; ratio, degrees C, Hz, W for the
    others): a RAPL zone in microjoules has 1e-6. ``modulus`` is the number of counts after which
    a counter starts again, 0 if it never does or none is known. ``update_s`` is how often the
    device refreshes the value, ``window_s`` over how long a power reading is averaged, ``duty``
    the part of the time that the averaging sees. ``modelled`` powers carry basis and terms of
    their model.
    """

    device_id: str
    measures: Measures
    scale: float
    modulus: int = 0
    update_s: float = 0.0
    window_s: float = 0.0
    duty: float = 1.0
    peak_w: float | None = None  # ceiling of plausible power; beyond it a reading is refused
    basis: Basis = Basis.MEASURED
    terms: tuple[ErrorTerm, ...] = ()
    source: str = ""


class Reading(msgspec.Struct, frozen=True):
    """One read of one sensor: raw counts, one per channel, at a monotonic instant.

    ``half_ns`` is half of the time that the read took; the values belong to some instant within
    ``t_ns`` - ``half_ns`` and ``t_ns`` + ``half_ns``.
    """

    t_ns: int
    half_ns: int
    values: tuple[int | Missing, ...]


class Sensor(Protocol):
    """Reads one device (or one part of it) without integrating, writing or estimating silently.

    ``read`` returns one raw count per channel, in the order of ``channels``; what is absent just
    now is `Missing`. It never raises for a device that died: it returns `Missing` with the
    vendor's words, and may recover at a later call.
    """

    @property
    def device(self) -> Device: ...

    @property
    def channels(self) -> Sequence[Channel]: ...

    def read(self) -> Sequence[int | Missing]: ...

    def close(self) -> None: ...


class Tenancy(msgspec.Struct, frozen=True):
    """Who is on a shared device now.

    ``run_share_ratio`` is the part of the device's work done by the run (1: alone on it, 0: only
    others), `Missing` where it cannot be known. ``pids`` are the run's own processes on it.
    """

    run_share_ratio: float | Missing
    pids: tuple[int, ...] = ()
    how: str = ""  # "alone", "idle", "by utilisation", "equal parts", "not in this run's mask"
