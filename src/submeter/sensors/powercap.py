# SPDX-License-Identifier: Apache-2.0
"""RAPL energy counters of Intel and AMD processors through the powercap tree.

A package zone holds its sub-zones core and uncore, psys may hold the package, an mmio zone is
the same package seen through another register, and on some processors each die shows the counter
of the whole package. So that no joule counts twice: package and dram zones are devices, psys is
a node that only reconciles, everything else is dropped.
"""

import os
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from submeter.records import Channel, Device, DeviceKind, ErrorTerm, Measures, Missing
from submeter.sensors.findings import Finding
from submeter.sensors.kernel_files import READ_ONLY, KeptFile
from submeter.units import NS_PER_MS, NS_PER_S, UJ_PER_J

POWERCAP: Final = "class/powercap"
REMEDY: Final = "submeter doctor --fix rapl"
MIRROR_LOOKS: Final = 12
MIRROR_PAUSE_S: Final = 0.005
MIRROR_DISAGREES: Final = 3
FAR_APART_UJ: Final = 10 * UJ_PER_J  # two views of one counter are never that far apart
UPDATE_S: Final = 0.001  # Intel SDM vol. 3B, 15.10.3: energy status is updated about every 1 ms
RETRY_FIRST_NS: Final = 100 * NS_PER_MS
RETRY_LONGEST_NS: Final = 5 * NS_PER_S
# A limit may be raised while a run lasts, so that a ceiling never stands below these.
CEILING_W: Final = {DeviceKind.CPU: 250.0, DeviceKind.DRAM: 100.0, DeviceKind.NODE: 1000.0}
UNLIMITED_W: Final = {DeviceKind.CPU: 1000.0, DeviceKind.DRAM: 400.0, DeviceKind.NODE: 4000.0}
MOST_CREDIBLE_W: Final = 2000.0  # some firmware reports 4095 W or more for "no limit"

_TOP = re.compile(r"intel-rapl(?:-mmio)?:\d+$")
_SUB = re.compile(r"intel-rapl(?:-mmio)?:\d+:\d+$")
_PACKAGE = re.compile(r"package-(\d+)(?:-die-(\d+))?$")


class Zone(msgspec.Struct, frozen=True):
    """A folder of the powercap tree with an energy counter in it."""

    path: Path
    key: str  # folder name: "intel-rapl:0:1"
    name: str  # its own words: "package-0", "package-0-die-1", "dram", "psys"
    kind: DeviceKind
    socket: int
    die: int | None = None

    @property
    def mmio(self) -> bool:
        """Whether this is the second view of a package, through memory-mapped registers."""
        return self.key.startswith("intel-rapl-mmio")

    @property
    def counter(self) -> Path:
        """File that holds the energy so far [uJ]."""
        return self.path / "energy_uj"


def _word(path: Path) -> str | None:
    """Content of a small file, stripped; None if it cannot be read (or would block)."""
    try:
        fd = os.open(path, READ_ONLY)
    except OSError:
        return None
    try:
        return os.read(fd, 256).decode("ascii", "replace").strip()
    except OSError:
        return None
    finally:
        os.close(fd)


def _number(path: Path) -> int | None:
    text = _word(path)
    return int(text) if text is not None and text.isdecimal() else None


def _folders(root: Path, pattern: re.Pattern[str]) -> list[Path]:
    try:
        names = [n for n in os.listdir(root) if pattern.match(n)]  # noqa: PTH208
    except OSError:
        return []
    return [root / n for n in sorted(names, key=_natural)]


def _natural(name: str) -> tuple[str, tuple[int, ...]]:
    head, *numbers = name.split(":")
    return head, tuple(int(n) for n in numbers)


def find_zones(sys_root: Path) -> list[Zone]:
    """Zones that count energy of their own: packages (dies), dram, psys; nothing else."""
    root = sys_root / POWERCAP
    tops = _folders(root, _TOP) or [
        z for control in ("intel-rapl", "intel-rapl-mmio") for z in _folders(root / control, _TOP)
    ]
    flat = _folders(root, _SUB)
    zones: list[Zone] = []
    for order, top in enumerate(tops):
        name = _word(top / "name") or ""
        zone = _top_zone(top, name, order)
        if zone is None:
            continue
        zones.append(zone)
        subs = {p.name: p for p in flat if p.name.rpartition(":")[0] == top.name}
        subs.update((p.name, p) for p in _folders(top, _SUB))
        zones.extend(
            Zone(
                path=sub,
                key=key,
                name="dram",
                kind=DeviceKind.DRAM,
                socket=zone.socket,
                die=zone.die,
            )
            for key, sub in subs.items()
            if _word(sub / "name") == "dram" and zone.kind is DeviceKind.CPU
        )
    return _without_mmio_twins(zones)


def _top_zone(path: Path, name: str, order: int) -> Zone | None:
    if match := _PACKAGE.match(name):
        socket, die = int(match[1]), None if match[2] is None else int(match[2])
        return Zone(path, path.name, name, DeviceKind.CPU, socket, die)
    if name == "psys":
        return Zone(path, path.name, name, DeviceKind.NODE, 0)
    if name == "dram":
        return Zone(path, path.name, name, DeviceKind.DRAM, order)
    return None


def _without_mmio_twins(zones: Sequence[Zone]) -> list[Zone]:
    """Keep an mmio zone only where no other zone shows the same part."""
    seen = {(z.kind, z.socket) for z in zones if not z.mmio}
    return [z for z in zones if not z.mmio or (z.kind, z.socket) not in seen]


def mirrored(
    zones: Sequence[Zone],
    read: Callable[[Zone], int | None],
    pause: Callable[[float], None],
) -> list[Zone]:
    """Dies that show the counter of another die of their socket.

    Notes
    -----
    A die is a mirror if its count lies between two reads of the other die around it, before and
    after the counter moved on. A counter that does not move within 60 ms proves nothing, and its
    die is kept.
    """
    found: list[Zone] = []
    for socket in {z.socket for z in zones}:
        first, *others = [z for z in zones if z.socket == socket]
        found += [z for z in others if _same_counter(first, z, read, pause)]
    return found


def _same_counter(
    a: Zone, b: Zone, read: Callable[[Zone], int | None], pause: Callable[[float], None]
) -> bool:
    start: int | None = None
    disagreed = 0
    for look in range(MIRROR_LOOKS):
        if look:
            pause(MIRROR_PAUSE_S)
        before, between, after = read(a), read(b), read(a)
        if before is None or between is None or after is None:
            return False
        if abs(between - before) > FAR_APART_UJ:
            return False
        if not before <= between <= after:
            disagreed += 1  # once may be chance: read just between the updates of both
            if disagreed == MIRROR_DISAGREES:
                return False
        elif start is not None and before != start:
            return True
        else:
            start = before
    return False


class RaplSensor:
    """The energy counter of one zone.

    The file stays open. It is opened again when the zone went away and came back, with growing
    pauses while it fails.
    """

    def __init__(
        self,
        zone: Zone,
        device: Device,
        channel: Channel,
        *,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.zone = zone
        self._device = device
        self._channels = (channel,)
        self._file = KeptFile(os.fspath(zone.counter))
        self._now_ns = now_ns
        self._why = Missing("not read yet")
        self._retry_ns = 0
        self._pause_ns = RETRY_FIRST_NS

    @property
    def device(self) -> Device:
        """The processor, its memory or the node."""
        return self._device

    @property
    def channels(self) -> Sequence[Channel]:
        """One energy counter."""
        return self._channels

    def read(self) -> Sequence[int | Missing]:
        """Energy so far, in counts, or why it is missing."""
        if not self._file.is_open and self._now_ns() < self._retry_ns:
            return (self._why,)
        try:
            value = int(self._file.read(32))
        except (OSError, ValueError) as exc:
            self._give_up(exc)
            return (self._why,)
        self._pause_ns = RETRY_FIRST_NS
        return (value,)

    def _give_up(self, exc: OSError | ValueError) -> None:
        self.close()
        words = exc.strerror if isinstance(exc, OSError) else "no number in it"
        self._why = Missing(f"{self.zone.key}: {words or 'cannot be read'}")
        self._retry_ns = self._now_ns() + self._pause_ns
        self._pause_ns = min(2 * self._pause_ns, RETRY_LONGEST_NS)

    def close(self) -> None:
        """Let go of the file; a later read opens it again."""
        self._file.close()


def discover_zones(
    sys_root: Path,
    *,
    machine: Mapping[str, str],
    host: str,
    pause: Callable[[float], None] = time.sleep,
    now_ns: Callable[[], int] = time.monotonic_ns,
) -> tuple[list[Device], list[RaplSensor], list[Finding]]:
    """Devices and sensors of the RAPL zones that this user may read, and what was found."""
    zones = find_zones(sys_root)
    refused: list[Zone] = []
    broken: list[tuple[Zone, str]] = []
    good: list[Zone] = []
    for zone in zones:
        why = _cannot_read(zone)
        if why is None:
            good.append(zone)
        elif isinstance(why, PermissionError):
            refused.append(zone)
        else:
            broken.append((zone, why.strerror or "cannot be read"))

    def count(zone: Zone) -> int | None:
        return _number(zone.counter)

    mirrors = [
        z
        for kind in (DeviceKind.CPU, DeviceKind.DRAM)
        for z in mirrored([z for z in good if z.kind is kind], count, pause)
    ]
    good = [z for z in good if z not in mirrors]
    dead = _standing_still(good, count, pause) if machine.get("virtualisation") else []
    broken += [(z, "counter stands at zero in this guest") for z in dead]
    good = [z for z in good if z not in dead]
    devices, sensors = _sensors(good, machine, host, now_ns)
    findings = [*_findings(sensors, refused, broken, mirrors), *_uncounted(sensors, machine)]
    return devices, sensors, findings


def _cannot_read(zone: Zone) -> OSError | None:
    try:
        fd = os.open(zone.counter, READ_ONLY)
    except OSError as exc:
        return exc
    try:
        os.pread(fd, 32, 0)
    except PermissionError as exc:
        return exc
    except OSError:
        return None  # there, and allowed: it may answer later, the sensor says why it does not
    finally:
        os.close(fd)
    return None


def _standing_still(
    zones: Sequence[Zone],
    count: Callable[[Zone], int | None],
    pause: Callable[[float], None],
) -> list[Zone]:
    """Zones of a guest whose counter is a constant zero: the host answers but does not count."""
    zero = [z for z in zones if count(z) == 0]
    if zero:
        pause(0.02)
    return [z for z in zero if count(z) == 0]


def _sensors(
    zones: Sequence[Zone], machine: Mapping[str, str], host: str, now_ns: Callable[[], int]
) -> tuple[list[Device], list[RaplSensor]]:
    parts = Counter((z.kind, z.socket) for z in zones)
    numbers: Counter[tuple[DeviceKind, int]] = Counter()
    devices: list[Device] = []
    sensors: list[RaplSensor] = []
    for zone in zones:
        place = (zone.kind, zone.socket)
        device_id = "node:psys" if zone.kind is DeviceKind.NODE else f"{zone.kind}:{zone.socket}"
        name = _device_name(zone, machine)
        if parts[place] > 1:  # a socket of several dies, each with a counter of its own
            die = numbers[place] if zone.die is None else zone.die
            device_id, name = f"{device_id}.{die}", f"{name}, die {die}"
            numbers[place] += 1
        limit_w = _limit_w(zone.path)
        device = Device(device_id, zone.kind, name, host, peak_w=limit_w)
        devices.append(device)
        channel = _channel(zone, device_id, limit_w, machine)
        sensors.append(RaplSensor(zone, device, channel, now_ns=now_ns))
    return devices, sensors


def _device_name(zone: Zone, machine: Mapping[str, str]) -> str:
    if zone.kind is DeviceKind.NODE:
        return "platform (psys)"
    if zone.kind is DeviceKind.DRAM:
        return f"memory of socket {zone.socket}"
    return machine.get("cpu_model") or f"processor {zone.socket}"


def _limit_w(zone: Path) -> float | None:
    """Highest of the power limits that a zone knows [W]; None if it knows none."""
    limits_w = [
        uw / UJ_PER_J
        for n in range(3)
        for what in ("max_power_uw", "power_limit_uw")
        if (uw := _number(zone / f"constraint_{n}_{what}"))
    ]
    credible = [w for w in limits_w if 1.0 <= w <= MOST_CREDIBLE_W]
    return max(credible, default=None)


def _channel(
    zone: Zone, device_id: str, limit_w: float | None, machine: Mapping[str, str]
) -> Channel:
    range_uj = _number(zone.path / "max_energy_range_uj")
    peak_w = (
        UNLIMITED_W[zone.kind] if limit_w is None else max(1.5 * limit_w, CEILING_W[zone.kind])
    )
    return Channel(
        device_id=device_id,
        measures=Measures.ENERGY,
        scale=1 / UJ_PER_J,
        modulus=range_uj + 1 if range_uj else 0,
        update_s=UPDATE_S,
        peak_w=peak_w,
        terms=(_gain(zone.kind, machine),),
        source=f"RAPL {zone.name} ({zone.key})",
    )


def _gain(kind: DeviceKind, machine: Mapping[str, str]) -> ErrorTerm:
    """Gain of RAPL: see the default budget of docs/accuracy.md."""
    if kind is DeviceKind.DRAM:
        return ErrorTerm("rapl-dram", 0.05)
    server = machine.get("cpu_vendor") == "GenuineIntel" and "Xeon" in machine.get("cpu_model", "")
    if kind is DeviceKind.NODE:
        return ErrorTerm("rapl-psys", 0.05 if server else 0.10)
    return ErrorTerm("rapl-package", 0.03 if server else 0.10)


def _findings(
    sensors: Sequence[RaplSensor],
    refused: Sequence[Zone],
    broken: Sequence[tuple[Zone, str]],
    mirrors: Sequence[Zone],
) -> list[Finding]:
    part = {DeviceKind.CPU: "CPU", DeviceKind.DRAM: "DRAM", DeviceKind.NODE: "node"}
    findings: list[Finding] = []
    for kind, name in part.items():
        mine = [s for s in sensors if s.zone.kind is kind]
        if mine:
            text = f"RAPL {', '.join(s.zone.name for s in mine)}, energy counter"
            dropped = ", ".join(z.name for z in mirrors if z.kind is kind)
            if dropped:
                text += f" ({dropped} shows the same counter and is left out)"
            gain = mine[0].channels[0].terms[0].relative_sd
            findings.append(Finding(name, "measured", text, interval_ratio=1.96 * gain))
        shut = [z for z in refused if z.kind is kind]
        if shut:
            text = f"{shut[0].counter} is readable by root only"
            findings.append(Finding(name, "refused", text, REMEDY))
        findings += [
            Finding(name, "absent", f"{zone.counter}: {why}")
            for zone, why in broken
            if zone.kind is kind
        ]
    return findings


def _uncounted(sensors: Sequence[RaplSensor], machine: Mapping[str, str]) -> list[Finding]:
    """Sockets without a counter, where others have one: neither measured nor modelled."""
    counted = {s.zone.socket for s in sensors if s.zone.kind is DeviceKind.CPU}
    sockets = int(machine.get("sockets", "0"))
    if not 0 < len(counted) < sockets:
        return []
    text = f"{sockets - len(counted)} of {sockets} sockets without a counter, not metered"
    return [Finding("CPU", "absent", text)]
