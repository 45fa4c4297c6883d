# SPDX-License-Identifier: Apache-2.0
"""A machine in a folder, whose energy is known in closed form.

`FakeMachine` stands in for /sys and /proc with powercap zones, processors, processes and control
groups, and brings boards of a fake NVIDIA driver. Its time is moved by hand (`FakeMachine.at`,
`FakeMachine.follow`) or runs with CLOCK_MONOTONIC (`FakeMachine.live`), so that a collector can
be run over it.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from submeter.testing.clock import VirtualClock
from submeter.testing.live import LiveDrive
from submeter.testing.nvml import Board, FakeDriver, board_of
from submeter.testing.procfs import Cgroup, Cgroups, FakeProc, FakeProcess, Processors
from submeter.testing.waveforms import Waveform, constant
from submeter.testing.zones import Zone
from submeter.units import ns_to_s

_NOTHING: Final = constant(0.0)


class MachineRoots(NamedTuple):
    """Folders that stand in for /sys and /proc, and whether there is an NVIDIA driver."""

    sys: Path
    proc: Path
    nvml: bool


class FakeMachine:
    """A scriptable machine in a folder.

    Parameters
    ----------
    path
        Folder for everything, made if absent.
    processors
        Processors and memory.
    cgroups
        Versions of control groups: v2, v1, hybrid or none.
    other_cores, steal_cores
        Processors kept busy by others, and taken by a hypervisor; watts are read as processors.
    hostname
        What the machine calls itself.

    Examples
    --------
    >>> import tempfile
    >>> machine = FakeMachine(Path(tempfile.mkdtemp()) / "machine")
    >>> zone = machine.add_package(constant(50.0), start_uj=0, unit_nj=1000)
    >>> machine.at(2.0)
    >>> int((machine.sys / "class/powercap/intel-rapl:0/energy_uj").read_text())
    100000000
    >>> machine.truth_j("cpu:0", 0.0, 2.0)
    100.0
    >>> machine.close()

    Notes
    -----
    Truth is the closed form of a device's waveform (`truth_j`). What the counters show differs
    from it by update periods, counts and the quirks in the script.
    """

    def __init__(
        self,
        path: Path,
        *,
        processors: Processors | None = None,
        cgroups: Cgroups = "v2",
        other_cores: Waveform = _NOTHING,
        steal_cores: Waveform = _NOTHING,
        hostname: str = "fake",
    ) -> None:
        self.path = path
        self.sys = path / "sys"
        self.proc = path / "proc"
        for folder in (self.sys, self.proc):
            folder.mkdir(parents=True)
        self.zones: list[Zone] = []
        self.boards: list[Board] = []
        self.processes = FakeProc(
            self.proc, self.sys, processors or Processors(), cgroups=cgroups,
            other_cores=other_cores, steal_cores=steal_cores, hostname=hostname,
        )  # fmt: skip
        self._truths: dict[str, Waveform] = {}
        self._driver: FakeDriver | None = None
        self._live: LiveDrive | None = None
        self._t_s = 0.0
        self.processes.at(0.0)

    # ---- what there is ----

    def add_package(
        self, waveform: Waveform, *, socket: int = 0, die: int | None = None, **quirks: Any
    ) -> Zone:
        """Add the package zone of a socket, or of one die of it.

        *quirks* are the keywords of `submeter.testing.zones.Zone`: range_uj, unit_nj, start_uj,
        update_s, gain, limit_w, mode.
        """
        label = f"package-{socket}" + ("" if die is None else f"-die-{die}")
        return self._add_zone("intel-rapl", label, waveform, f"cpu:{socket}", quirks)

    def add_dram(self, package: Zone, waveform: Waveform, **quirks: Any) -> Zone:
        """Add the memory zone below *package*, which does not contain it."""
        device_id = package.device_id.replace("cpu:", "dram:")
        return self._add_below(package, "dram", waveform, device_id, quirks)

    def add_part(self, package: Zone, label: str, waveform: Waveform, **quirks: Any) -> Zone:
        """Add a zone for a part of *package* that the package counts as well: core, uncore."""
        return self._add_below(package, label, waveform, "", quirks)

    def add_psys(self, waveform: Waveform, **quirks: Any) -> Zone:
        """Add the platform zone, which counts the packages again and more."""
        return self._add_zone("intel-rapl", "psys", waveform, "node:psys", quirks)

    def add_mmio_twin(self, package: Zone, **quirks: Any) -> Zone:
        """Add the second view of *package* through memory-mapped registers."""
        return self._add_zone("intel-rapl-mmio", package.label, package.waveform, "", quirks)

    def add_mirrored_die(self, package: Zone, *, socket: int = 0, die: int = 1) -> Zone:
        """Add a die that shows the very counter of *package* again."""
        quirks = {"range_uj": package.range_uj, "unit_nj": package.unit_nj,
                  "start_uj": package.start_uj, "gain": package.gain,
                  "update_s": ns_to_s(package.update_ns)}  # fmt: skip
        label = f"package-{socket}-die-{die}"
        return self._add_zone("intel-rapl", label, package.waveform, "", quirks)

    def add_board(
        self, waveform: Waveform | None = None, *, profile: str = "A100", **quirks: Any
    ) -> Board:
        """Add an NVIDIA board; the order of adding is the driver's index.

        *profile* is a key of `submeter.testing.nvml.PROFILES`, *quirks* are fields of
        `submeter.testing.Board`.
        """
        if self._driver is not None:
            raise RuntimeError("boards have to be added before the driver is used")
        self.boards.append(board_of(profile, waveform or constant(100.0), **quirks))
        return self.boards[-1]

    def add_process(self, pid: int, **about: Any) -> FakeProcess:
        """Add a process; *about* are the fields of `submeter.testing.procfs.FakeProcess`."""
        process = FakeProcess(pid, **about)
        self.processes.processes.append(process)
        self.update()
        return process

    def add_cgroup(self, path: str, *, own: bool = False, **limits: Any) -> None:
        """Add a control group and those above it.

        *limits* are quota_cores, cpuset and memory_bytes; *own* puts /proc/self into it.
        """
        self.processes.add_group(Cgroup(path, **limits))
        if own:
            self.processes.show_self(path)
        self.update()

    def set_truth(self, device_id: str, waveform: Waveform) -> None:
        """Say what a device without any counter draws."""
        self._truths[device_id] = waveform

    def driver(self, **quirks: Any) -> FakeDriver:
        """NVIDIA driver of the boards, made at the first call.

        *quirks* are init_code, init_s, version and cuda_version of `submeter.testing.FakeDriver`,
        and can only be given at the first call.
        """
        if self._driver is None:
            self._driver = FakeDriver(self.path / "nvml.state", self.boards, **quirks)
            self._driver.at(self._t_s)
        elif quirks:
            raise RuntimeError("the driver is in use already")
        return self._driver

    def _add_zone(
        self, control: str, label: str, waveform: Waveform, device_id: str, quirks: dict[str, Any]
    ) -> Zone:
        devices = self.sys / "devices/virtual/powercap" / control
        links = self.sys / "class/powercap"
        if not devices.exists():
            devices.mkdir(parents=True)
            links.mkdir(parents=True, exist_ok=True)
            (devices / "enabled").write_text("1\n")
            (links / control).symlink_to(os.path.relpath(devices, links))
        number = sum(1 for z in self.zones if z.parent is None and z.folder.parent == devices)
        folder = devices / f"{control}:{number}"
        return self._keep(Zone(folder, links, label, waveform, device_id=device_id, **quirks))

    def _add_below(
        self, parent: Zone, label: str, waveform: Waveform, device_id: str, quirks: dict[str, Any]
    ) -> Zone:
        number = sum(1 for zone in self.zones if zone.parent is parent)
        folder = parent.folder / f"{parent.folder.name}:{number}"
        links = self.sys / "class/powercap"
        return self._keep(
            Zone(folder, links, label, waveform, device_id=device_id, parent=parent, **quirks)
        )

    def _keep(self, zone: Zone) -> Zone:
        self.zones.append(zone)
        self.update()
        return zone

    # ---- what is true ----

    def device_ids(self) -> list[str]:
        """Names of the devices whose true energy is known."""
        zones = [zone.device_id for zone in self.zones if zone.device_id]
        if self.boards:
            self.driver()  # gives the boards their names
        boards = [f"gpu:{board.uuid}" for board in self.boards]
        return list(dict.fromkeys([*zones, *boards, *self._truths]))

    def truth_j(self, device_id: str, t0_s: float, t1_s: float) -> float:
        """Energy that a device really drew between two times of the machine [J].

        Parameters
        ----------
        device_id
            One of `device_ids`; dies of a socket are one device.
        t0_s, t1_s
            Times of the machine [s].
        """
        if device_id not in self.device_ids():
            raise KeyError(f"{device_id} is not one of {', '.join(self.device_ids())}")
        waves = [zone.waveform for zone in self.zones if zone.device_id == device_id]
        waves += [b.waveform for b in self.boards if f"gpu:{b.uuid}" == device_id]
        if device_id in self._truths:
            waves.append(self._truths[device_id])
        return sum(wave.energy_j(t0_s, t1_s) for wave in waves)

    def roots(self) -> MachineRoots:
        """Folders that stand in for /sys and /proc."""
        return MachineRoots(self.sys, self.proc, self._has_driver)

    def env(self) -> dict[str, str]:
        """Environment for child processes, so that they find the fake driver."""
        return self.driver().env() if self._has_driver else {}

    def installed(self) -> contextlib.AbstractContextManager[None]:
        """Make the fake driver that of this process while a ``with`` block lasts."""
        return self.driver().installed() if self._has_driver else contextlib.nullcontext()

    @property
    def _has_driver(self) -> bool:
        return bool(self.boards) or self._driver is not None

    # ---- time ----

    @property
    def t_s(self) -> float:
        """Time of the machine [s]."""
        return self._live.t_s() if self._live else self._t_s

    def at(self, t_s: float) -> None:
        """Move the machine to *t_s* [s]: every counter to what it shows then."""
        if self._live is not None:
            raise RuntimeError("the machine's time runs by itself now")
        self._t_s = t_s
        self._show(t_s)
        if self._has_driver:
            self.driver().at(t_s)

    def follow(self, clock: VirtualClock) -> None:
        """Keep the machine's time that of *clock*, 0 being the time that *clock* has now."""
        start_ns = clock.monotonic_ns()
        clock.on_move(lambda t_ns: self.at(ns_to_s(t_ns - start_ns)))
        self.at(0.0)

    @contextlib.contextmanager
    def live(self, *, period_s: float = 0.002) -> Iterator[LiveDrive]:
        """Let the machine's time run with CLOCK_MONOTONIC, in a process of its own.

        Parameters
        ----------
        period_s
            How often the files are written [s]. A counter is late by up to that much, and by
            what the scheduler adds; boards are not, they compute when they are asked.
        """
        if self._live is not None:
            raise RuntimeError("the machine's time runs by itself already")
        live = LiveDrive(self._t_s, period_s)
        try:
            live.start(self.zones, self.processes)
            self._live = live
            if self._has_driver:
                self.driver().go_live(live.epoch_ns)
            yield live
        finally:
            self._live = None
            self._t_s = live.stop()
            for zone in self.zones:
                zone.adopt(self._t_s)
            self.processes.adopt(self._t_s)
            self.at(self._t_s)

    def update(self) -> None:
        """Let what was changed in the script hold from now on; needed while the time runs.

        Faults may be written into the script of zones and boards at any time. With a time that is
        moved by hand the next `at` shows them.
        """
        if self._live is None:
            self._show(self._t_s)
        else:
            self._live.send(self.zones, self.processes)
        if self._driver is not None:
            self._driver.update()

    def close(self) -> None:
        """Let go of files, of the driver's state, and of readers that hang in a FIFO."""
        for zone in self.zones:
            zone.close()
        self.processes.close()
        if self._driver is not None:
            self._driver.close()

    def _show(self, t_s: float) -> None:
        for zone in self.zones:
            zone.at(t_s)
        self.processes.at(t_s)
