# SPDX-License-Identifier: Apache-2.0
"""Power limits and locked clocks of NVIDIA boards: the one place that writes to a device.

The room of sensors reads and never writes. What is written is written here, by the driver's
library alone, after `intents` have been kept.
"""

import os
import platform
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from submeter.errors import ActuatorError
from submeter.reducing.actuators.protocol import Kind, LimitedBoard
from submeter.running.pausing import tree
from submeter.sensors.boards import discover_boards
from submeter.sensors.nvml import NvmlSensor, words

if TYPE_CHECKING:
    from submeter.sensors.nvml import Driver

__all__ = ["ClockLocks", "PowerLimits", "open_actuator", "rights"]

_NO_PERMISSION: Final = 4
_NEVER: Final = frozenset({3, 13})
# A limit slows everybody on the board, so those are refused where somebody else works too.
_FREE: Final = frozenset({"alone", "idle", "by allocation"})
_CAP_SYS_ADMIN: Final = 21
AS_ROOT: Final = 'sudo -E env "PATH=$PATH" submeter run --power-limit … --apply -- …'


class _Nvml:
    """Boards of the driver, and how to ask it for anything.

    Parameters
    ----------
    masked
        Only boards that ``CUDA_VISIBLE_DEVICES`` gives to the run.
    """

    def __init__(self, *, masked: bool = True) -> None:
        found = discover_boards(
            host=platform.node(),
            visible_devices=os.environ.get("CUDA_VISIBLE_DEVICES") if masked else None,
            device_order=os.environ.get("CUDA_DEVICE_ORDER"),
        )
        self._sensors = {s.uuid: s for s in found.sensors if s.in_mask}
        self.why = "; ".join(f.text for f in found.findings) if not self._sensors else ""
        self._driver: Driver | None = found.driver
        self._api: Any = None
        if self._driver is not None:
            import pynvml

            self._api = pynvml

    def _handle(self, uuid: str) -> Any:
        assert self._driver is not None  # noqa: S101  # no board was found without it
        self._driver.ensure()
        return self._api.nvmlDeviceGetHandleByUUID(uuid)

    def _call(self, uuid: str, doing: str, call: Callable[[Any, Any], Any]) -> Any:
        """Answer of the driver about a board.

        Raises
        ------
        ActuatorError
            If it refuses, with what it says and what can be done.
        """
        if self._driver is None:
            raise ActuatorError(
                f"{doing}: {self.why or 'no board was found'}", remedy="submeter doctor"
            )
        try:
            return call(self._api, self._handle(uuid))
        except self._driver.errors as exc:
            code = getattr(exc, "value", 13)
            name = self._sensors[uuid].device.name if uuid in self._sensors else "board"
            remedy = "submeter doctor says what the board answers"
            if code == _NO_PERMISSION:
                remedy = f"as root, or ask who runs this machine: {AS_ROOT}"
            elif code in _NEVER:
                remedy = "submeter run without it: the driver sets this on other boards only"
            raise ActuatorError(f"{doing} of {name} {uuid}: {words(exc)}", remedy=remedy) from exc

    def _why_not(self, sensor: NvmlSensor) -> str:
        if sensor.mig:
            return "MIG is on: its limit is that of all instances"
        if sensor.tenancy(()).how in _FREE:  # usually nobody is there, and /proc is long
            return ""
        mine = {os.getpid(), *tree(os.getpid())}
        if sensor.tenancy(mine).how in _FREE:
            return ""
        others = sensor.computing()  # a desktop's windows do not count
        if others is None:
            return "the driver does not tell who works on it"
        return "somebody else works on it" if others - mine else ""

    def close(self) -> None:
        """Let go of the driver's library."""
        if self._driver is not None:
            self._driver.close()


class PowerLimits(_Nvml):
    """Power limits of boards [W]; whole watts, which every driver keeps as they are."""

    kind: Kind = "power"

    def boards(self) -> Sequence[LimitedBoard]:
        """Boards of the run with what the driver allows."""
        return [self._seen(uuid, sensor) for uuid, sensor in self._sensors.items()]

    def _seen(self, uuid: str, sensor: NvmlSensor) -> LimitedBoard:
        try:
            least_mw, most_mw = self._call(
                uuid,
                "the range of the power limit",
                lambda api, h: api.nvmlDeviceGetPowerManagementLimitConstraints(h),
            )
            now_w = self.now(uuid)
        except ActuatorError as exc:
            return LimitedBoard(uuid=uuid, name=sensor.device.name, least=0.0, most=0.0,
                                default=None, now=None, why_not=str(exc))  # fmt: skip
        try:
            default_w = self._call(
                uuid,
                "the default power limit",
                lambda api, h: api.nvmlDeviceGetPowerManagementDefaultLimit(h) / 1e3,
            )
        except ActuatorError:
            default_w = None
        return LimitedBoard(
            uuid=uuid, name=sensor.device.name, least=least_mw / 1e3, most=most_mw / 1e3,
            default=default_w, now=now_w, why_not=self._why_not(sensor),
        )  # fmt: skip

    def now(self, uuid: str) -> float:
        """Limit of a board now [W]."""
        return float(
            self._call(
                uuid,
                "the power limit",
                lambda api, h: api.nvmlDeviceGetPowerManagementLimit(h) / 1e3,
            )
        )

    def set(self, uuid: str, value: float) -> None:
        """Set the limit of a board to *value* [W]."""
        self._call(
            uuid,
            f"a power limit of {value:g} W",
            lambda api, h: api.nvmlDeviceSetPowerManagementLimit(h, round(value * 1e3)),
        )

    def restore(self, uuid: str, before: float | None) -> None:
        """Set the limit that was there before [W]."""
        if before is not None:
            self.set(uuid, before)


class ClockLocks(_Nvml):
    """Locked clocks of boards [MHz]. The driver does not tell what is locked: only let go."""

    kind: Kind = "clock"

    def boards(self) -> Sequence[LimitedBoard]:
        """Boards of the run with the clocks that they know."""
        found = []
        for uuid, sensor in self._sensors.items():
            why_not, clocks_mhz = "", [0]
            try:
                clocks_mhz = self._call(uuid, "the clocks", _clocks_mhz) or [0]
            except ActuatorError as exc:
                why_not = str(exc)
            least, most = float(min(clocks_mhz)), float(max(clocks_mhz))
            found.append(
                LimitedBoard(
                    uuid=uuid,
                    name=sensor.device.name,
                    least=least,
                    most=most,
                    default=None,
                    now=None,
                    why_not=why_not or self._why_not(sensor),
                )
            )
        return found

    def now(self, uuid: str) -> None:
        """Nothing: the driver tells the clock, not whether it is locked."""
        del uuid

    def set(self, uuid: str, value: float) -> None:
        """Lock the clock of a board to *value* [MHz] at most and at least."""
        mhz = round(value)
        self._call(
            uuid,
            f"a clock lock of {mhz} MHz",
            lambda api, h: api.nvmlDeviceSetGpuLockedClocks(h, mhz, mhz),
        )

    def restore(self, uuid: str, before: float | None) -> None:
        """Let the clock go."""
        del before
        self._call(
            uuid, "letting the clock go", lambda api, h: api.nvmlDeviceResetGpuLockedClocks(h)
        )


def _clocks_mhz(api: Any, handle: Any) -> list[int]:
    memory_mhz = max(api.nvmlDeviceGetSupportedMemoryClocks(handle))
    return [int(c) for c in api.nvmlDeviceGetSupportedGraphicsClocks(handle, memory_mhz)]


def open_actuator(kind: Kind, *, masked: bool = True) -> PowerLimits | ClockLocks:
    """Actuator of the boards of this machine.

    Parameters
    ----------
    kind
        What is to be set.
    masked
        Only boards that ``CUDA_VISIBLE_DEVICES`` gives to the run.
    """
    return PowerLimits(masked=masked) if kind == "power" else ClockLocks(masked=masked)


def rights(status: str | None = None) -> str:
    """What setting a limit needs, and whether this process has it; "" where it has.

    The driver decides in the end: in a container it may refuse all the same.
    """
    if status is None:
        try:
            with open("/proc/self/status", encoding="ascii", errors="replace") as file:  # noqa: PTH123
                status = file.read()
        except OSError:
            status = ""
    for line in status.splitlines():
        if line.startswith("CapEff:") and int(line.split()[1], 16) >> _CAP_SYS_ADMIN & 1:
            return ""
    return "setting a limit needs root (CAP_SYS_ADMIN), which this process has not"
