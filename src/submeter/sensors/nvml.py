# SPDX-License-Identifier: Apache-2.0
"""NVIDIA boards through the driver's management library (NVML). CUDA is never touched.

Boards are known by UUID. A handle is only good for one initialisation of the library in one
process, so it is looked up again after a fork, after the driver was loaded again and after a
board was lost.
"""

import os
import threading
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from submeter.catalog import match_board
from submeter.records import Channel, Device, DeviceKind, ErrorTerm, Measures, Missing
from submeter.records.devices import Tenancy
from submeter.sensors.nvml_calls import FAST, POWER_NOW, SLOW, Call, Way, enforced_limit
from submeter.units import NS_PER_S

LIBRARY: Final = "libnvidia-ml.so.1"
SLOW_NS: Final = 5 * NS_PER_S  # utilisation, temperature, clock, cap, throttling: for means only
RETRY_FIRST_NS: Final = NS_PER_S
RETRY_LONGEST_NS: Final = 30 * NS_PER_S
RETRY_BESIDE_OTHERS_NS: Final = 300 * NS_PER_S  # starting the library again holds up the others
CEILING_RATIO: Final = 1.5
RECENT_US: Final = 2_000_000  # the first list of samples reaches back before the run
INITIAL_PID_NAMESPACE: Final = "pid:[4026531836]"  # PROC_PID_INIT_INO of the kernel

# NVML return codes (nvml.h): the words we use, and what they mean for a handle.
UNINITIALIZED: Final = 1
WORDS: Final = {
    UNINITIALIZED: "driver library not initialised",
    3: "not supported by this board",
    4: "no permission",
    9: "NVIDIA driver not loaded",
    10: "driver did not answer in time",
    12: "NVIDIA driver library not found",
    13: "not known to this driver",
    15: "GPU is lost",
    16: "GPU requires a reset",
    17: "the operating system has blocked the driver",
    18: "driver and its library are of different versions",
    28: "GPU not found",
    999: "unknown driver error",
}
UNSUPPORTED: Final = frozenset({2, 3, 4, 13})  # an answer for ever
HANDLE_LOST: Final = frozenset({1, 2, 6, 9, 15, 16, 17, 18, 28})
FAILURES_IN_A_ROW: Final = 3  # of another kind, then the handle is looked up again too


def words(exc: Exception) -> str:
    """Say what the driver says, with its code."""
    code = getattr(exc, "value", 13)
    return f"{WORDS.get(code, str(exc))} (NVML error {code})"


def _code(exc: Exception) -> int:
    # A mismatch of versions has no code: a function is missing from the library.
    return int(getattr(exc, "value", 13))


class Behaviour(msgspec.Struct, frozen=True):
    """How a board's power sensor behaves: see `submeter.records.Channel` for the words."""

    update_s: float
    window_s: float
    duty: float
    counter_update_s: float
    gain_sd_ratio: float
    peak_w: float | None


# What field 186 shows on boards whose power reading is a mean over a second (Yang, Adamek,
# Armour, SC24): window [s] and the part of the time that it sees.
INSTANT: Final = {"Ampere GA10x": (0.1, 1.0), "Ada": (0.1, 1.0)}
INSTANT_ELSEWHERE: Final = (0.025, 0.25)
LONG_WINDOW_S: Final = 0.5


def behaviour(name: str, *, instant: bool) -> Behaviour:
    """Look a board up in the catalog, for the power at an instant or as given by default."""
    row = match_board(name)
    window_s, duty = row.window_s, row.duty
    if instant and window_s > LONG_WINDOW_S:
        window_s, duty = INSTANT.get(row.architecture, INSTANT_ELSEWHERE)
    return Behaviour(
        update_s=row.update_s,
        window_s=window_s,
        duty=duty,
        counter_update_s=row.counter_update_s or row.update_s,
        gain_sd_ratio=row.gain.relative_sd,
        peak_w=row.tdp_w,
    )


class Driver:
    """The library, initialised once per process and again when asked for."""

    def __init__(self, api: Any) -> None:
        self.api = api
        self.errors = (api.NVMLError, getattr(api, "NVMLLibraryMismatchError", api.NVMLError))
        self.generation = 0
        self.attached: set[str] = set()
        self._pid = 0
        self._lock = threading.Lock()

    def ensure(self) -> int:
        """Initialise if this process has not; which initialisation this is.

        Raises
        ------
        pynvml.NVMLError
            If the library refuses.
        """
        if os.getpid() != self._pid:
            forked = self._pid != 0
            if forked:
                self._lock = threading.Lock()  # another thread of the parent may have held it
            with self._lock:
                self._begin(again=forked)
        return self.generation

    def restart(self, generation: int) -> None:
        """Shut the library down and initialise it, unless somebody did since *generation*."""
        with self._lock:
            if self.generation == generation:
                self._begin(again=True)

    def _begin(self, *, again: bool) -> None:
        if again:
            self._end()
        self.attached.clear()
        self.api.nvmlInit()
        self._pid = os.getpid()
        self.generation += 1

    def _end(self) -> None:
        try:
            self.api.nvmlShutdown()
        except self.errors:
            return  # it was down already

    def close(self) -> None:
        """Shut the library down."""
        with self._lock:
            if self._pid == os.getpid():
                self._end()
                self._pid = 0


class NvmlSensor:
    """One board: energy counter and power at each read, the rest every five seconds.

    Parameters
    ----------
    driver
        The library.
    uuid
        The board.
    host
        Name of the machine.
    in_mask
        Whether the run may use this board.
    proc_root
        Where the kernel's process tree is mounted, to know the namespace of process ids.
    now_ns
        Clock.

    Raises
    ------
    pynvml.NVMLError
        If the board cannot be looked up, or is lost already.
    """

    def __init__(
        self,
        driver: Driver,
        uuid: str,
        *,
        host: str,
        in_mask: bool = True,
        proc_root: Path = Path("/proc"),
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.uuid = uuid
        self.in_mask = in_mask
        self._driver = driver
        self._now_ns = now_ns
        self._proc_root = proc_root
        self._generation = driver.ensure()
        self._handle: Any = driver.api.nvmlDeviceGetHandleByUUID(uuid)
        driver.attached.add(uuid)
        self._why = Missing("")
        self._retry_ns = 0
        self._tries = 0
        self._failures = 0
        self._slow_due_ns = 0
        self._seen_us = 0  # time stamp of the last utilisation sample of a process
        self.mig = self._asked(lambda api, h: api.nvmlDeviceGetMigMode(h)[0]) == 1
        self._device = self._described(host)
        self._fast: list[Call] = []
        self._slow: list[Call] = []
        self._channels = (*self._probe(FAST, self._fast), *self._probe(SLOW, self._slow))
        self._held: list[int | Missing] = []

    @property
    def device(self) -> Device:
        """The board."""
        return self._device

    @property
    def channels(self) -> Sequence[Channel]:
        """Energy, power, utilisation, temperature, clock, cap, throttling: what it has of it."""
        return self._channels

    def _asked(self, call: Callable[[Any, Any], Any]) -> Any | None:
        """Answer of the driver, None if it has none."""
        try:
            return call(self._driver.api, self._handle)
        except self._driver.errors:
            return None

    def _described(self, host: str) -> Device:
        limits_mw = self._asked(
            lambda api, h: api.nvmlDeviceGetPowerManagementLimitConstraints(h)[1]
        ) or self._asked(enforced_limit)
        name = self._asked(lambda api, h: api.nvmlDeviceGetName(h))
        return Device(
            id=f"gpu:{self.uuid}",
            kind=DeviceKind.GPU,
            name=str(name or "NVIDIA board"),
            host=host,
            peak_w=limits_mw / 1e3 if limits_mw else None,
        )

    def _probe(
        self,
        wanted: Sequence[Way],
        calls: list[Call],
    ) -> list[Channel]:
        """Channels that this board has: a call counts as had unless it is not supported."""
        channels: list[Channel] = []
        for measures, scale, ways in wanted:
            for source, way in ways:
                call = way() if isinstance(way, type) else way
                try:
                    call(self._driver.api, self._handle)
                except self._driver.errors as exc:
                    if _code(exc) in UNSUPPORTED:
                        continue
                    if _code(exc) in HANDLE_LOST:
                        raise
                calls.append(call)
                channels.append(self._channel(measures, scale, source))
                break
        return channels

    def _channel(self, measures: Measures, scale: float, source: str) -> Channel:
        known = behaviour(self._device.name, instant=source == POWER_NOW)
        metered = measures in (Measures.ENERGY, Measures.POWER)
        update_s = known.counter_update_s if measures is Measures.ENERGY else known.update_s
        peak_w = self._device.peak_w or known.peak_w
        return Channel(
            device_id=self._device.id,
            measures=measures,
            scale=scale,
            update_s=update_s if metered else 1.0,
            window_s=known.window_s if measures is Measures.POWER else 0.0,
            duty=known.duty if measures is Measures.POWER else 1.0,
            peak_w=CEILING_RATIO * peak_w if metered and peak_w else None,
            terms=(ErrorTerm(f"nvml-gain:{self.uuid}", known.gain_sd_ratio, shape="uniform"),)
            if metered
            else (),
            source=source,
        )

    def read(self) -> Sequence[int | Missing]:
        """Raw counts of all channels; `Missing` with the driver's words while it fails."""
        now_ns = self._now_ns()
        if not self._attached(now_ns):
            return (self._why,) * len(self._channels)
        api, values = self._driver.api, list[int | Missing]()
        for call in self._fast:
            try:
                values.append(call(api, self._handle))
                self._failures = 0
            except self._driver.errors as exc:
                values.append(self._failed(exc, now_ns))
                if self._handle is None:
                    rest = len(self._channels) - len(values)
                    return (*values, *(self._why,) * rest)
        self._tries = 0
        if now_ns >= self._slow_due_ns:
            self._slow_due_ns = now_ns + SLOW_NS
            self._held = [self._slow_read(call) for call in self._slow]
        return (*values, *self._held)

    def _slow_read(self, call: Call) -> int | Missing:
        try:
            return call(self._driver.api, self._handle)
        except self._driver.errors as exc:
            return Missing(words(exc))

    def _failed(self, exc: Exception, now_ns: int) -> Missing:
        """Remember why; give the handle up if it is no good any more."""
        self._why = Missing(words(exc))
        self._failures += 1
        if _code(exc) in HANDLE_LOST or self._failures >= FAILURES_IN_A_ROW:
            self._give_up(now_ns)
        return self._why

    def _give_up(self, now_ns: int) -> None:
        self._handle = None
        self._driver.attached.discard(self.uuid)
        self._failures = 0
        longest_ns = RETRY_BESIDE_OTHERS_NS if self._driver.attached else RETRY_LONGEST_NS
        self._retry_ns = now_ns + min(RETRY_FIRST_NS << min(self._tries, 20), longest_ns)
        self._tries += 1

    def _attached(self, now_ns: int) -> bool:
        """Whether there is a handle of this process and of the library's present life."""
        if self._handle is None and now_ns < self._retry_ns:
            return False
        driver = self._driver
        try:
            generation = driver.ensure()
            if self._handle is not None and generation == self._generation:
                return True
            # The first try asks for the handle only, as long as that spares other boards.
            alone = self._tries > 1 or not driver.attached
            if self._handle is None and alone and generation == self._generation:
                driver.restart(generation)
            self._handle = driver.api.nvmlDeviceGetHandleByUUID(self.uuid)
            self._generation = driver.generation
        except driver.errors as exc:
            self._why = Missing(words(exc))
            self._give_up(now_ns)
            return False
        driver.attached.add(self.uuid)
        self._slow_due_ns = now_ns
        return True

    def tenancy(self, run_pids: Collection[int]) -> Tenancy:
        """Who is on the board now, and what part of its work is the run's.

        Parameters
        ----------
        run_pids
            All processes of the run.
        """
        if not self.in_mask:
            return Tenancy(0.0, (), "not in this run's mask")
        if not self._attached(self._now_ns()):
            return Tenancy(self._why, (), "board not readable")
        compute = self._processes("Compute")
        if compute is None:
            return Tenancy(Missing("processes on the board cannot be listed"))
        everyone = compute | (self._processes("Graphics") or set())
        return self._shared(compute, everyone, everyone.intersection(run_pids))

    def computing(self) -> set[int] | None:
        """Processes that compute on the board now; None if the driver does not tell."""
        return self._processes("Compute") if self._attached(self._now_ns()) else None

    def _shared(self, compute: set[int], everyone: set[int], mine: set[int]) -> Tenancy:
        pids = tuple(sorted(mine))
        if everyone and mine == everyone:
            return Tenancy(1.0, pids, "alone")
        if self.mig:
            why = Missing("MIG is on: the board's power is not split by instance")
            return Tenancy(why, pids, "MIG")
        if not everyone:
            return Tenancy(1.0, (), "idle")
        if mine:
            return self._split(mine, compute | mine, everyone, pids)
        # Inside a container the driver tells process ids of the host, which name nobody here;
        # the board was given to the container.
        hidden = self._in_nested_namespace()
        return Tenancy(1.0, (), "by allocation") if hidden else Tenancy(0.0, (), "others only")

    def _split(
        self, mine: set[int], compute: set[int], everyone: set[int], pids: tuple[int, ...]
    ) -> Tenancy:
        busy = self._work_by_process()
        total = sum(busy.get(pid, 0) for pid in everyone)
        if total > 0:
            return Tenancy(sum(busy.get(pid, 0) for pid in mine) / total, pids, "by utilisation")
        # A desktop's window system is not half of the work, so only computing counts by heads.
        return Tenancy(len(mine) / len(compute), pids, "equal parts")

    def _processes(self, kind: str) -> set[int] | None:
        for version in ("", "_v2"):
            name = f"nvmlDeviceGet{kind}RunningProcesses{version}"
            try:
                rows = getattr(self._driver.api, name)(self._handle)
            except self._driver.errors as exc:
                if _code(exc) == 13:  # noqa: PLR2004
                    continue
                return None
            return {int(row.pid) for row in rows}
        return None

    def _work_by_process(self) -> dict[int, int]:
        """Sum of utilisation samples since the last call, by process id; empty if there is none.

        The driver keeps a ring of samples, one about every sixth of a second.
        """
        try:
            rows = self._driver.api.nvmlDeviceGetProcessUtilization(self._handle, self._seen_us)
        except self._driver.errors:
            return {}
        work: dict[int, int] = {}
        self._seen_us = max((int(row.timeStamp) for row in rows), default=self._seen_us)
        for row in rows:
            recent = self._seen_us - int(row.timeStamp) < RECENT_US
            if recent and int(row.smUtil) <= 100:  # noqa: PLR2004 - beyond are sentinels
                work[int(row.pid)] = work.get(int(row.pid), 0) + int(row.smUtil)
        return work

    def _in_nested_namespace(self) -> bool:
        try:
            here = os.readlink(self._proc_root / "self" / "ns" / "pid")  # noqa: PTH115
        except OSError:
            return False
        return here != INITIAL_PID_NAMESPACE

    def close(self) -> None:
        """Let go of the board; the library itself belongs to the driver."""
        self._handle = None
        self._why = Missing("closed")
        self._driver.attached.discard(self.uuid)
        self._retry_ns = 1 << 63
