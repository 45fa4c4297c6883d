# SPDX-License-Identifier: Apache-2.0
"""NVIDIA boards of this machine: looked for, told apart by the run's mask, described."""

import math
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from submeter.records import Device, Measures
from submeter.sensors.findings import Finding
from submeter.sensors.masks import Board, Mask, resolve_mask
from submeter.sensors.nvml import LIBRARY, Driver, NvmlSensor, words

UNIFORM_95: Final = 0.95 * math.sqrt(3)  # half of a 95 % interval over its sd, if uniform
REMEDIES: Final = {
    9: "sudo modprobe nvidia",
    18: "restart the machine, so that the driver matches its library",
}


class Boards(msgspec.Struct):
    """What was found."""

    devices: list[Device] = []
    sensors: list[NvmlSensor] = []
    findings: list[Finding] = []
    mask: tuple[str, ...] | None = None  # device ids the run may use; None: no mask
    driver: Driver | None = None


def discover_boards(
    *,
    host: str,
    proc_root: Path = Path("/proc"),
    visible_devices: str | None = None,
    device_order: str | None = None,
    now_ns: Callable[[], int] = time.monotonic_ns,
) -> Boards:
    """Boards that the driver shows, each with a sensor, and why some have none."""
    api = _bindings()
    if isinstance(api, Finding):
        return Boards(findings=[api], mask=None if visible_devices is None else ())
    driver = Driver(api)
    try:
        driver.ensure()
        count = int(api.nvmlDeviceGetCount())
    except driver.errors as exc:
        remedy = REMEDIES.get(getattr(exc, "value", 0), "")
        finding = Finding("GPU", "refused", words(exc), remedy)
        return Boards(findings=[finding], mask=None if visible_devices is None else ())
    found = Boards(driver=driver)
    rows, failed = _listed(driver, count)
    mask = resolve_mask(visible_devices, rows, device_order=device_order)
    if mask.uuids is not None:
        found.mask = tuple(f"gpu:{u}" for u in mask.uuids)
    for row in rows:
        try:
            sensor = NvmlSensor(
                driver,
                row.uuid,
                host=host,
                in_mask=mask.uuids is None or row.uuid in mask.uuids,
                proc_root=proc_root,
                now_ns=now_ns,
            )
        except driver.errors as exc:
            driver.attached.discard(row.uuid)
            failed.append(Finding("GPU", "refused", f"{row.name} {row.uuid}: {words(exc)}"))
            continue
        found.sensors.append(sensor)
        found.devices.append(sensor.device)
    found.findings = [*_described(found.sensors, mask), *failed]
    if not count:
        found.findings.append(Finding("GPU", "absent", "NVIDIA driver without a board"))
    return found


def _bindings() -> Any | Finding:
    """Load the official bindings where they help, or say why not."""
    if sys.platform.startswith("linux"):
        import ctypes

        try:
            ctypes.CDLL(LIBRARY)
        except OSError as exc:
            if "No such file" in str(exc):
                return Finding("GPU", "absent", "NVIDIA driver library not found")
            return Finding("GPU", "refused", f"NVIDIA driver library cannot be loaded: {exc}")
    try:
        import pynvml
    except ImportError:
        return Finding(
            "GPU", "absent", "Python package nvidia-ml-py not found", "pip install nvidia-ml-py"
        )
    return pynvml


def _listed(driver: Driver, count: int) -> tuple[list[Board], list[Finding]]:
    """Boards in the driver's order, which is that of their PCI addresses."""
    api = driver.api
    rows: list[Board] = []
    failed: list[Finding] = []
    for index in range(count):
        try:
            handle = api.nvmlDeviceGetHandleByIndex(index)
            uuid = str(api.nvmlDeviceGetUUID(handle))
        except driver.errors as exc:
            failed.append(Finding("GPU", "refused", f"board {index}: {words(exc)}"))
            continue
        rows.append(
            Board(
                uuid=uuid,
                name=_asked(driver, api.nvmlDeviceGetName, handle) or "NVIDIA board",
                speed=_speed(driver, handle),
                instances=_instances(driver, handle),
            )
        )
    return rows, failed


def _asked(driver: Driver, call: Any, *arguments: Any) -> Any | None:
    try:
        return call(*arguments)
    except driver.errors:
        return None


def _speed(driver: Driver, handle: Any) -> int | None:
    api = driver.api
    cores = _asked(driver, api.nvmlDeviceGetNumGpuCores, handle)
    clock_mhz = _asked(driver, api.nvmlDeviceGetMaxClockInfo, handle, api.NVML_CLOCK_SM)
    return cores * clock_mhz if cores and clock_mhz else None


def _instances(driver: Driver, handle: Any) -> tuple[str, ...]:
    """UUIDs of the board's MIG instances."""
    api = driver.api
    mode = _asked(driver, api.nvmlDeviceGetMigMode, handle)
    if not mode or mode[0] != 1:
        return ()
    found: list[str] = []
    for index in range(_asked(driver, api.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
        instance = _asked(driver, api.nvmlDeviceGetMigDeviceHandleByIndex, handle, index)
        if instance is not None:
            uuid = _asked(driver, api.nvmlDeviceGetUUID, instance)
            found += [str(uuid)] if uuid else []
    return tuple(found)


def _gain_sd_ratio(sensor: NvmlSensor) -> float:
    return max((t.relative_sd for c in sensor.channels for t in c.terms), default=0.0)


def _described(sensors: list[NvmlSensor], mask: Mask) -> list[Finding]:
    """One line for all boards of a name that are known in the same way."""
    lines = Counter(
        (s.device.name, any(c.measures is Measures.ENERGY for c in s.channels), s.mig)
        for s in sensors
        if any(c.measures in (Measures.ENERGY, Measures.POWER) for c in s.channels)
    )
    findings = []
    for (name, counter, mig), n in lines.items():
        text = f"{n} × {name}" if n > 1 else name
        text += ", energy counter" if counter else ", power readings, integrated"
        text += ", MIG on: shared between instances" if mig else ""
        interval = UNIFORM_95 * _gain_sd_ratio(next(s for s in sensors if s.device.name == name))
        findings.append(Finding("GPU", "measured", text, interval_ratio=interval))
    findings += [
        Finding("GPU", "absent", f"{s.device.name} {s.uuid} tells neither energy nor power")
        for s in sensors
        if not any(c.measures in (Measures.ENERGY, Measures.POWER) for c in s.channels)
    ]
    if mask.uuids is not None and sensors:
        used = len(mask.uuids)
        text = f"CUDA_VISIBLE_DEVICES gives {used} of {len(sensors)} boards to the run"
        findings.append(Finding("GPU", "measured", "; ".join((text, *mask.notes))))
    return findings
