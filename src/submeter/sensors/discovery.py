# SPDX-License-Identifier: Apache-2.0
"""Which sensors this machine has, and what is measured, refused, modelled or assumed."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from submeter.records import Device, DeviceKind
from submeter.records.devices import Sensor
from submeter.sensors import boards, cgroups, models, powercap, proc
from submeter.sensors.findings import Finding
from submeter.sensors.nvml import Driver
from submeter.sensors.use import UseSensor

VENDORS: Final = {  # words of the firmware that tell a hypervisor, and what we call it
    "KVM": "KVM",
    "QEMU": "KVM",
    "VMware": "VMware",
    "VirtualBox": "VirtualBox",
    "Xen": "Xen",
    "Microsoft Corporation": "Hyper-V",
    "Amazon EC2": "Amazon EC2",
    "Google": "Google Compute Engine",
    "Firecracker": "Firecracker",
}


class Roots(msgspec.Struct, frozen=True):
    """Where the kernel's trees are mounted; a folder can stand in for each."""

    sys: Path = Path("/sys")
    proc: Path = Path("/proc")
    nvml: bool = True  # whether to ask the NVIDIA driver


class Discovery(msgspec.Struct):
    """What was found on this machine."""

    devices: tuple[Device, ...]
    sensors: list[Sensor]
    findings: list[Finding]
    machine: dict[str, str]
    cpu_allocation_ratio: float = 1.0
    memory_allocation_ratio: float = 1.0
    gpu_mask: tuple[str, ...] | None = None  # device ids the run may use; None: no mask
    driver: Driver | None = None

    @property
    def use(self) -> UseSensor | None:
        """The sensor of processor time; give it the run's processes with ``watch``."""
        return next((s for s in self.sensors if isinstance(s, UseSensor)), None)

    def close(self) -> None:
        """Close every sensor and the driver library."""
        for sensor in self.sensors:
            sensor.close()
        if self.driver is not None:
            self.driver.close()
            self.driver = None


def discover(
    roots: Roots = Roots(),  # noqa: B008 - immutable
    *,
    visible_devices: str | None = None,
    device_order: str | None = None,
    now_ns: Callable[[], int] = time.monotonic_ns,
) -> Discovery:
    """Look for every sensor; never raises for what is absent, refused or broken.

    Parameters
    ----------
    roots
        Where to look.
    visible_devices
        ``CUDA_VISIBLE_DEVICES`` of the run; None: not set.
    device_order
        ``CUDA_DEVICE_ORDER`` of the run; None: as in this process's environment.
    now_ns
        Monotonic clock by which sensors wait before they try again [ns].
    """
    host = _host(roots)
    machine = describe_machine(roots, host)
    linux = roots.proc != Path("/proc") or sys.platform.startswith("linux")
    found = Discovery((), [], [], machine)
    if roots.nvml:
        order = device_order or os.environ.get("CUDA_DEVICE_ORDER")
        gpu = boards.discover_boards(
            host=host,
            proc_root=roots.proc,
            visible_devices=visible_devices,
            device_order=order,
            now_ns=now_ns,
        )
        found.findings += gpu.findings
        found.sensors += gpu.sensors
        found.devices += tuple(gpu.devices)
        found.gpu_mask, found.driver = gpu.mask, gpu.driver
    else:
        found.findings.append(Finding("GPU", "absent", "not asked for"))
    devices, zones, findings = powercap.discover_zones(
        roots.sys, machine=machine, host=host, now_ns=now_ns
    )
    found.devices += tuple(_with_idle(devices, machine, roots))
    found.sensors += zones
    found.findings += findings
    groups = cgroups.find_groups(roots.sys, roots.proc)
    allowed = cgroups.limits(groups)
    vcpus, memory = int(machine.get("vcpus", "0")), int(machine.get("memory_bytes", "0"))
    found.cpu_allocation_ratio = cgroups.cpu_allocation_ratio(
        allowed, vcpus=vcpus, affinity=proc.allowed_cpus(roots.proc)
    )
    found.memory_allocation_ratio = cgroups.memory_allocation_ratio(allowed, memory_bytes=memory)
    machine["cgroup"] = allowed.version
    _add_models(found, roots, host)
    if linux:
        _add_use(found, roots, host, now_ns)
    else:
        text = f"{_system()[0]} shows no processor time and no energy counter to us"
        found.findings.append(Finding("node", "absent", text))
    return found


def _with_idle(
    devices: Sequence[Device], machine: dict[str, str], roots: Roots
) -> Iterator[Device]:
    """Give counted packages an idle power, which is shared by allocation and not by use."""
    packages = sum(1 for d in devices if d.kind is DeviceKind.CPU)
    for device in devices:
        if device.kind is DeviceKind.CPU:
            idle_w = models.idle_power_w(machine, roots.proc) / packages
            yield msgspec.structs.replace(device, idle_w=idle_w)
        else:
            yield device


def _add_use(found: Discovery, roots: Roots, host: str, now_ns: Callable[[], int]) -> None:
    times = proc.machine_times(roots.proc)
    sensor = UseSensor(host, proc_root=roots.proc, sys_root=roots.sys, now_ns=now_ns)
    if isinstance(times, proc.MachineTimes):
        found.sensors.append(sensor)
        return
    if (roots.proc / "self").exists() or (roots.proc / "1").exists():
        # The machine's part is hidden, but the run's own processes may be seen.
        found.sensors.append(sensor)
    text = f"share of the processors unknown: {times.why}"
    found.findings.append(Finding("CPU", "absent", text))


def _add_models(found: Discovery, roots: Roots, host: str) -> None:
    """Models for what no counter tells."""
    machine = found.machine
    kinds = {s.device.kind for s in found.sensors}
    devices, sensors, findings = models.model_sensors(
        machine,
        have_cpu=DeviceKind.CPU in kinds,
        have_dram=DeviceKind.DRAM in kinds,
        have_gpu=DeviceKind.GPU in kinds,
        cpu_fraction=1.0,  # of a guest, its processors are all that is modelled
        memory_bytes=int(machine.get("memory_bytes", "0")),
        vcpus=int(machine.get("vcpus", "0")),
        virtualised=bool(machine.get("virtualisation")),
        proc_root=roots.proc,
        host=host,
    )
    found.devices += tuple(devices)
    found.sensors += sensors
    why, remedy = _why_no_counter(found, roots)
    found.findings += [
        msgspec.structs.replace(f, text=f"{f.text}; {why}", remedy=f.remedy or remedy)
        if f.part == "CPU" and f.state == "modelled"
        else f
        for f in findings
    ]


def _why_no_counter(found: Discovery, roots: Roots) -> tuple[str, str]:
    """Say why the processors have no counter, and what would give them one."""
    refused = next((f for f in found.findings if (f.part, f.state) == ("CPU", "refused")), None)
    if refused is not None:
        return refused.text, ""  # its remedy stands beside it
    if found.machine.get("virtualisation"):
        return (
            "no power counter in this guest",
            "ask the host to pass RAPL through: docs/guests.md",
        )
    if not (roots.sys / powercap.POWERCAP).is_dir():
        return f"no {roots.sys / powercap.POWERCAP}", "sudo modprobe intel_rapl_msr"
    return "no RAPL zone that answers", ""


def _host(roots: Roots) -> str:
    name = _line(roots.proc / "sys" / "kernel" / "hostname")
    return name or _system()[1] or "localhost"


def _system() -> tuple[str, str, str]:
    """Operating system, name of the machine and release of the kernel."""
    if hasattr(os, "uname"):
        told = os.uname()
        return told.sysname, told.nodename, told.release
    import platform  # takes longer to load than all of us

    return platform.system(), platform.node(), platform.release()


def _processor() -> str:
    """Say what Python knows of the processor where there is no /proc."""
    import platform

    return platform.processor() or platform.machine()


def describe_machine(roots: Roots, host: str) -> dict[str, str]:
    """Processor, memory, kernel and hypervisor, in words; what is not known is left out."""
    cpus = proc.cpus(roots.proc)
    memory = proc.memory_bytes(roots.proc)
    system, _, release = _system()
    facts = {
        "host": host,
        "os": system,
        "kernel": _line(roots.proc / "sys" / "kernel" / "osrelease") or release,
        "boot_id": _line(roots.proc / "sys" / "kernel" / "random" / "boot_id"),
        "cpu_model": cpus.model or ("" if cpus.vcpus else _processor()),
        "cpu_vendor": cpus.vendor,
        "cpu_family": cpus.family,
        "cpu_stepping": cpus.stepping,
        "sockets": str(cpus.sockets or ""),
        "cores": str(cpus.cores or ""),
        "vcpus": str(cpus.vcpus or os.cpu_count() or ""),
        "memory_bytes": str(memory or ""),
        "virtualisation": _hypervisor(roots, flagged=cpus.hypervisor),
    }
    return {key: value for key, value in facts.items() if value}


def _hypervisor(roots: Roots, *, flagged: bool) -> str:
    """Name of the hypervisor; empty on bare metal."""
    firmware = " ".join(
        _line(roots.sys / "class" / "dmi" / "id" / name)
        for name in ("sys_vendor", "product_name", "bios_vendor")
    )
    named = next((ours for theirs, ours in VENDORS.items() if theirs in firmware), "")
    metal = "metal" in firmware.lower()
    if flagged:
        return named or "virtual machine"
    # Where the processor has no such flag (ARM), only the firmware tells.
    return "" if metal or named in ("Hyper-V", "Google Compute Engine") else named


def _line(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
