# SPDX-License-Identifier: Apache-2.0
"""What stands in where no counter answers: models of processors, memory and the rest of a node.

Each says that it is a model and how far off it may be. The coefficients are rows of the catalog
(``fitted.csv``, ``factors.csv``), their errors stand in ``docs/accuracy.md``. The package model
and the wall model are two models, never pooled: the first speaks of what RAPL would have said,
the second of what a meter at the plug would have.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from submeter.catalog import CpuRow, factor, fitted, match_cpu
from submeter.records.devices import Channel, Device, DeviceKind, Measures, Sensor
from submeter.records.factors import NORMAL_95, Factor
from submeter.records.figures import Basis, ErrorTerm, Missing
from submeter.sensors import proc
from submeter.sensors.findings import Finding
from submeter.units import PPM

MW_PER_W: Final = 1000
BYTES_PER_GB: Final = 10**9
PEAK_TO_TDP_RATIO: Final = 2.0  # turbo limits stay below; a reading beyond it is refused
ARM_LINE: Final = re.compile(r"^CPU (implementer|architecture|part)\s*: (\S+)$", re.MULTILINE)
FIRST_READING: Final = Missing("first reading: a mean needs a second one")


# --- The models ----------------------------------------------------------------------------


def package_power_ratio(load_ratio: float) -> float:
    """Power of a processor package under *load_ratio*, as a ratio of its TDP.

    Parameters
    ----------
    load_ratio
        Busy part of its hardware threads' time, 0 to 1.

    Notes
    -----
    ``P / TDP = idle + dynamic * load ** exponent``, coefficients ``cpu-package-*`` of the
    catalog. It rises monotonically, from the idle ratio to their sum. Fitted to means over 30 s:
    a load that is on and off in turns within that time draws less than this formula, taken at
    each instant, says at half load; that is within the interval.

    References
    ----------
    .. [1] CodeCarbon, CPU load against RAPL, January 2025; Teads turbostress campaign, 2021.
    """
    dynamic = fitted("cpu-package-dynamic-ratio").value
    exponent = fitted("cpu-package-exponent").value
    load = min(1.0, max(0.0, load_ratio))
    dynamic_ratio: float = dynamic * load**exponent
    return fitted("cpu-package-idle-ratio").value + dynamic_ratio


class Server(msgspec.Struct, frozen=True):
    """What the wall model knows of a server."""

    tdp_w: float  # of one package
    chips: int
    year: int  # of its coming to market
    amd: bool = False
    front_side_bus: bool = False  # memory controller outside of the processor, before 2009
    memory_buffers: bool = False  # Xeon 7500 and E7


def wall_power_w(server: Server, *, full_load: bool) -> float:
    """Power of a whole server at the wall, idle or under full load [W].

    Notes
    -----
    ``log P`` is linear in log TDP, log number of packages, the year with its square and a change
    of slope in 2017, and three marks of the platform; coefficients ``server-wall-*`` of the
    catalog. Its log-sd is `wall_log_sd`.

    References
    ----------
    .. [1] SPECpower_ssj2008 published results, Standard Performance Evaluation Corporation.
    """
    year = (server.year - 2012) / 5
    features = {
        "constant": 1.0,
        "log-tdp": math.log(server.tdp_w / 100),
        "log-chips": math.log(server.chips),
        "front-side-bus": float(server.front_side_bus),
        "memory-buffers": float(server.memory_buffers),
        "amd": float(server.amd),
        "year": year,
        "year-squared": year**2,
        "since-2017": max(0.0, year - 1),
    }
    state = "full" if full_load else "idle"
    rows = {name: fitted(f"server-wall-{state}-{name}").value for name in features}
    return math.exp(math.fsum(rows[name] * features[name] for name in features))


def wall_log_sd(*, full_load: bool) -> float:
    """Give the log-sd of `wall_power_w`, on CPU families that were not fitted."""
    return fitted(f"server-wall-{'full' if full_load else 'idle'}-log-sd").value


def relative_sd(log_sd: float) -> float:
    """Relative standard deviation of what is log-normal with *log_sd*."""
    return math.sqrt(math.expm1(log_sd**2))


def interval_ratio(log_sds: Sequence[float]) -> float:
    """Half of the width of a 95 % interval, as a ratio of the value, of independent factors."""
    half = NORMAL_95 * math.sqrt(math.fsum(s**2 for s in log_sds))
    return math.sinh(half)


# --- Sensors --------------------------------------------------------------------------------


class CpuModel(msgspec.Struct, frozen=True):
    """The processors of a machine, or a guest's part of them, as the package model sees them."""

    row: CpuRow
    tdp_w: float  # of all packages, or of the guest's vCPUs
    log_sds: dict[str, float]  # source of doubt -> log-sd

    @property
    def terms(self) -> tuple[ErrorTerm, ...]:
        """The doubts as error terms of energy."""
        return tuple(ErrorTerm(key, relative_sd=relative_sd(s)) for key, s in self.log_sds.items())

    @property
    def idle_w(self) -> float:
        """Power when nothing runs [W]."""
        return self.tdp_w * package_power_ratio(0.0)


def cpu_model(
    row: CpuRow, *, packages: int, vcpus: int, virtualised: bool, cpu_fraction: float = 1.0
) -> CpuModel:
    """Gather what the package model needs to know of a machine.

    Parameters
    ----------
    row
        The processor, see `submeter.catalog.match_cpu`.
    packages
        Sockets of the machine; not used for a guest.
    vcpus
        Hardware threads that the machine, or the guest, has.
    virtualised
        A guest is billed TDP per hardware thread of its socket for each of its vCPUs, idle
        included; what its neighbours do is theirs.
    cpu_fraction
        Part of the processors that is to be modelled, 0 to 1.
    """
    doubts = {"cpu-model": fitted("cpu-package-log-sd").value}
    if virtualised:
        tdp_w = row.w_per_thread * max(1, vcpus)
        if row.w_per_thread_log_sd > 0:
            doubts["cpu-share"] = row.w_per_thread_log_sd
    else:
        tdp_w = row.tdp_w * max(1, packages)
        if row.tdp_log_sd > 0:
            doubts["cpu-tdp"] = row.tdp_log_sd
    return CpuModel(row, tdp_w * cpu_fraction, doubts)


def idle_power_w(machine: dict[str, str], proc_root: Path) -> float:
    """Power of all counted packages when nothing runs, as the model has it [W].

    It does not enter their energy; it says which part of that is shared by allocation.
    """
    packages = int(machine.get("sockets") or 1)
    row = describe_cpu(machine, proc_root)
    return cpu_model(row, packages=packages, vcpus=0, virtualised=False).idle_w


class CpuModelSensor:
    """Mean power of the processors since the last read, from their busy time.

    Parameters
    ----------
    model
        The processors.
    device
        The device that stands for them.
    proc_root
        Where the kernel's process tree is mounted.

    Notes
    -----
    Load is busy time over all time, where time that the hypervisor took away is not busy: during
    it, somebody else's work ran. Where less than a tick has passed, the last mean holds on.
    """

    def __init__(self, model: CpuModel, device: Device, *, proc_root: Path) -> None:
        self._device = device
        self._proc_root = str(proc_root)
        self._tdp_w = model.tdp_w
        self._last: proc.MachineTimes | None = None
        self._held_mw: int | None = None
        self._channels = (
            Channel(
                device.id,
                Measures.MEAN_POWER,
                1 / MW_PER_W,
                update_s=1 / proc.ticks_per_s(),
                peak_w=device.peak_w,
                basis=Basis.MODELLED,
                terms=model.terms,
                source=f"package power by load, {model.row.name} ({model.row.how})",
            ),
        )

    @property
    def device(self) -> Device:
        """All packages of the machine, or the guest's part of its socket."""
        return self._device

    @property
    def channels(self) -> Sequence[Channel]:
        """One: mean power since the last read, in milliwatts."""
        return self._channels

    def read(self) -> Sequence[int | Missing]:
        """Mean power since the last read [mW], or why it is missing."""
        times = proc.machine_times(self._proc_root)
        if isinstance(times, Missing):
            return (times,)
        last = self._last
        if last is None:
            self._last = times
            return (FIRST_READING,)
        busy = times.busy - last.busy
        # Waiting for input and output may run backwards (kernel, proc_stat); busy must not.
        whole = busy + times.idle - last.idle + times.steal - last.steal
        if busy < 0:
            self._last, self._held_mw = times, None
            return (Missing("busy time ran backwards: another machine's, or its counters reset"),)
        if whole <= 0:
            return (FIRST_READING if self._held_mw is None else self._held_mw,)
        self._last = times
        power_w = self._tdp_w * package_power_ratio(busy / whole)
        self._held_mw = round(power_w * MW_PER_W)
        return (self._held_mw,)

    def close(self) -> None:
        """Nothing is kept open."""


class _Constant:
    """A sensor that always says the same, because its model knows nothing that changes."""

    def __init__(self, device: Device, channel: Channel, raw: int) -> None:
        self._device = device
        self._channels = (channel,)
        self._raw = raw

    @property
    def device(self) -> Device:
        """Part of the machine that it stands for."""
        return self._device

    @property
    def channels(self) -> Sequence[Channel]:
        """The one channel."""
        return self._channels

    def read(self) -> Sequence[int | Missing]:
        """Raw count of the channel; always the same."""
        return (self._raw,)

    def close(self) -> None:
        """Nothing is kept open."""


class DramModelSensor(_Constant):
    """Power of the memory: what is installed times a prior, whatever it does.

    Parameters
    ----------
    memory_bytes
        Memory of the machine, or of the guest.
    device
        The device that stands for it.
    prior
        Power per gigabyte [W/GB].
    """

    def __init__(self, memory_bytes: int, device: Device, prior: Factor) -> None:
        channel = Channel(
            device.id,
            Measures.MEAN_POWER,
            1 / MW_PER_W,
            peak_w=device.peak_w,
            basis=Basis.MODELLED,
            terms=(ErrorTerm("dram-model", relative_sd=relative_sd(prior.log_sd)),),
            source=f"{prior.value:g} W/GB installed",
        )
        super().__init__(
            device, channel, round(memory_bytes / BYTES_PER_GB * prior.value * MW_PER_W)
        )


class RestModelSensor(_Constant):
    """Board, fans, disks and the supply's loss, as a part of what all other devices draw.

    Parameters
    ----------
    device
        The device that stands for them.
    prior
        The ratio, with its interval.
    """

    def __init__(self, device: Device, prior: Factor) -> None:
        channel = Channel(
            device.id,
            Measures.REST_RATIO,
            1 / PPM,
            basis=Basis.ASSUMED,
            terms=(ErrorTerm("rest-model", relative_sd=relative_sd(prior.log_sd)),),
            source=f"{100 * prior.value:.0f} % of all other devices",
        )
        super().__init__(device, channel, round(prior.value * PPM))


# --- Putting them together -------------------------------------------------------------------

Part = tuple[Device, Sensor, Finding]


def model_sensors(
    machine: dict[str, str],
    *,
    have_cpu: bool,
    have_dram: bool,
    cpu_fraction: float,
    memory_bytes: int,
    vcpus: int,
    virtualised: bool,
    proc_root: Path,
    host: str,
    have_gpu: bool = False,
) -> tuple[list[Device], list[Sensor], list[Finding]]:
    """Devices, sensors and findings for every part that nothing measures.

    Parameters
    ----------
    machine
        ``cpu_model``, ``cpu_vendor``, ``cpu_family``, ``cpu_stepping`` and ``sockets`` as far as
        they are known.
    have_cpu, have_dram
        Whether a counter answers for all packages, for all memory.
    cpu_fraction
        Part of the processors that is to be modelled, 0 to 1.
    memory_bytes
        Memory of the machine; 0 if unknown.
    vcpus
        Hardware threads of the machine, or of the guest.
    virtualised
        Whether this is a guest.
    proc_root
        Where the kernel's process tree is mounted.
    host
        Name of the machine.
    have_gpu
        Whether it has boards: the rest of such a node is less well known.
    """
    parts: list[Part] = []
    if not have_cpu:
        row = describe_cpu(machine, proc_root)
        model = cpu_model(
            row,
            packages=int(machine.get("sockets") or 1),
            vcpus=vcpus,
            virtualised=virtualised,
            cpu_fraction=cpu_fraction,
        )
        share_of = vcpus if virtualised else None
        parts.append(_cpu_part(model, share_of, int(machine.get("sockets") or 1), proc_root, host))
    findings = []
    if not have_dram and memory_bytes > 0:
        parts.append(_dram_part(memory_bytes, host))
    elif not have_dram:
        findings.append(Finding("DRAM", "absent", f"{proc_root}/meminfo does not say how much"))
    parts.append(_rest_part(host, have_gpu=have_gpu))
    devices = [device for device, _, _ in parts]
    sensors = [sensor for _, sensor, _ in parts]
    return devices, sensors, [*(finding for _, _, finding in parts), *findings]


def describe_cpu(machine: dict[str, str], proc_root: Path) -> CpuRow:
    """Find the catalog's row for the processor of *machine*."""
    stepping = machine.get("cpu_stepping") or proc.cpus(proc_root).stepping
    vendor_id, code = machine.get("cpu_vendor", ""), machine.get("cpu_family", "")
    if not vendor_id:
        vendor_id, code = _arm_numbers(proc_root)
    return match_cpu(
        machine.get("cpu_model", ""),
        vendor_id=vendor_id,
        code=code,
        stepping=int(stepping) if stepping.isdecimal() else None,
    )


def _arm_numbers(proc_root: Path) -> tuple[str, str]:
    """Read implementer and ``architecture/part`` of an ARM core, which has no other name."""
    try:
        text = (proc_root / "cpuinfo").read_text(errors="replace")
    except OSError:
        return "", ""
    found = dict(ARM_LINE.findall(text))
    try:
        part = int(found["part"], 16)
        return found["implementer"], f"{found['architecture']}/{part}"
    except (KeyError, ValueError):
        return "", ""


def _cpu_part(
    model: CpuModel, vcpus: int | None, packages: int, proc_root: Path, host: str
) -> Part:
    row = model.row
    if vcpus is not None:
        name = f"{vcpus} vCPU of {row.name}"
    else:
        name = row.name if packages == 1 else f"{packages} x {row.name}"
    peak_w = model.tdp_w * PEAK_TO_TDP_RATIO * row.tdp_high_w / row.tdp_w
    device = Device("cpu:0", DeviceKind.CPU, name, host, peak_w=peak_w, idle_w=model.idle_w)
    sensor = CpuModelSensor(model, device, proc_root=proc_root)
    log_sds = list(model.log_sds.values())
    text = f"modelled {interval_text(log_sds)}, {name} ({row.how})"
    interval = interval_ratio(log_sds)
    return device, sensor, Finding("CPU", "modelled", text, interval_ratio=interval)


def _dram_part(memory_bytes: int, host: str) -> Part:
    prior = factor("dram-w-per-gb")
    size_gb = memory_bytes / BYTES_PER_GB
    peak_w = size_gb * prior.high * PEAK_TO_TDP_RATIO
    device = Device("dram:0", DeviceKind.DRAM, f"{size_gb:.0f} GB", host, peak_w=peak_w)
    text = f"modelled {interval_text([prior.log_sd])}, {size_gb:.0f} GB at {prior.value:g} W/GB"
    finding = Finding("DRAM", "modelled", text, interval_ratio=interval_ratio([prior.log_sd]))
    return device, DramModelSensor(memory_bytes, device, prior), finding


def _rest_part(host: str, *, have_gpu: bool) -> Part:
    prior = factor("rest-ratio-gpu" if have_gpu else "rest-ratio")
    device = Device(f"rest:{host}", DeviceKind.REST, "rest of the node", host)
    text = (
        f"assumed {100 * prior.value:.0f} % of all other devices "
        f"({100 * prior.low:.0f} … {100 * prior.high:.0f} %)"
    )
    finding = Finding("rest", "assumed", text, interval_ratio=interval_ratio([prior.log_sd]))
    return device, RestModelSensor(device, prior), finding


def interval_text(log_sds: Sequence[float]) -> str:
    """Write a 95 % interval in words, such as ``−50 … +100 %``."""
    half = NORMAL_95 * math.sqrt(math.fsum(s**2 for s in log_sds))
    return f"−{-100 * math.expm1(-half):.0f} … +{100 * math.expm1(half):.0f} %"
