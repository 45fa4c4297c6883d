# SPDX-License-Identifier: Apache-2.0
"""Once a second: which process used what, and who is on the boards."""

import contextlib
import threading
from _queue import SimpleQueue
from collections import deque
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from submeter.collecting.clock import Clock
from submeter.records.devices import Sensor, Tenancy
from submeter.records.figures import Missing
from submeter.records.frames import Process, Use
from submeter.units import NS_PER_S, PPM

ASK_NS = 19 * NS_PER_S // 10  # at every second word of use: tenants change seldom
STALE_NS = 10 * NS_PER_S  # a board that does not say who is on it for so long: unknown


class Tree(Protocol):
    """What this needs of `submeter.sensors.proc.ProcessTree`."""

    def add(self, pid: int) -> bool:
        """Take a process in."""
        ...

    @property
    def pids(self) -> Collection[int]:
        """Processes of the run."""
        ...

    def rank_of(self, pid: int) -> int | None:
        """Rank of a process."""
        ...

    def rank_cpu_ns(self) -> dict[int, int]:
        """CPU time by rank."""
        ...


@runtime_checkable
class Shared(Protocol):
    """A sensor whose device can be shared with others."""

    def tenancy(self, run_pids: Collection[int]) -> Tenancy:
        """Who is on it."""
        ...


@runtime_checkable
class Follows(Protocol):
    """A sensor that looks at the run's processes."""

    def watch(self, tree: Tree) -> None:
        """Look at the processes of *tree* from now on, and at once."""
        ...


class UseWatch:
    """Asks boards who is on them, in a thread: a board that hangs must not delay a tick.

    Parameters
    ----------
    sensors
        All sensors; those that have no ``tenancy`` are left alone.
    tree
        The run's processes.
    clock
        Where the time comes from.
    """

    def __init__(self, sensors: Sequence[Sensor], tree: Tree | None, clock: Clock) -> None:
        self._shared = [(s.device.id, s) for s in sensors if isinstance(s, Shared)]
        self._tree = tree
        self._clock = clock
        self._asked: SimpleQueue[tuple[int, ...] | None] = SimpleQueue()
        self._known: dict[str, tuple[int, Tenancy]] = {}  # when it was said, and what
        self._waiting: deque[tuple[int, ...]] = deque()  # what `ask` will ask
        self._busy = False
        self._ask_at_ns = 0  # no sooner than this, once there is an answer
        self._thread: threading.Thread | None = None

    def use(self, t_ns: int) -> Use:
        """Return what is known at *t_ns*; `ask` sees to what will be known at the next call."""
        pids = tuple(self._tree.pids) if self._tree is not None else ()
        if self._shared and not self._busy and t_ns >= self._ask_at_ns:
            self._ask_at_ns = t_ns + ASK_NS if self._known else 0
            self._prepare(pids)
        share_ppm: dict[str, int | None] = {}
        how: dict[str, str] = {}
        rank_devices: dict[str, list[int]] = {}
        for device_id, (said_ns, tenancy) in list(self._known.items()):
            ratio = tenancy.run_share_ratio
            unknown = isinstance(ratio, Missing) or t_ns - said_ns > STALE_NS
            share_ppm[device_id] = None if unknown else round(float(ratio) * PPM)  # type: ignore[arg-type]
            how[device_id] = tenancy.how
            if ranks := self._ranks(tenancy.pids):
                rank_devices[device_id] = ranks
        rank_cpu_ns = self._tree.rank_cpu_ns() if self._tree is not None else {}
        return Use(t_ns, rank_cpu_ns, share_ppm, rank_devices, how)

    def add(self, pid: int) -> None:
        """Take a process, and what descends from it, into the run."""
        if self._tree is not None:
            self._tree.add(pid)

    def process(self, pid: int, t_ns: int) -> Process:
        """Frame of a process that joined."""
        if self._tree is None:
            return Process(pid, t_ns)
        self._tree.add(pid)
        place_of = getattr(self._tree, "place_of", None)
        place = place_of(pid) if place_of is not None else None
        if place is None:
            return Process(pid, t_ns, rank=self._tree.rank_of(pid))
        return Process(pid, t_ns, place.rank, place.local_rank, place.world_size)

    def ask(self) -> None:
        """Have the thread ask what the last call of `use` found due, if it did."""
        with contextlib.suppress(IndexError):
            self._asked.put(self._waiting.popleft())

    def close(self) -> None:
        """End the thread, when it can."""
        self._asked.put(None)

    def _ranks(self, pids: Collection[int]) -> list[int]:
        if self._tree is None:
            return []
        ranks = (self._tree.rank_of(pid) for pid in pids)
        return sorted({r for r in ranks if r is not None})

    def _prepare(self, pids: tuple[int, ...]) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._work, name="submeter-use", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no thread to be had: shares stay unknown
                return
            self._thread = thread
        self._busy = True
        self._waiting.append(pids)

    def _work(self) -> None:
        while (pids := self._asked.get()) is not None:
            for device_id, sensor in self._shared:
                try:
                    tenancy = sensor.tenancy(pids)
                except Exception as exc:  # noqa: BLE001 - a plug-in's fault must not end this
                    tenancy = Tenancy(Missing(f"{type(exc).__name__}: {exc}"))
                self._known[device_id] = (self._clock.monotonic_ns(), tenancy)
            self._busy = False


def process_tree(order_pids: Collection[int], proc_root: Path, own_pid: int) -> Tree | None:
    """Return the processes of the run, without ourselves."""
    from submeter.sensors.proc import ProcessTree

    return ProcessTree(order_pids, proc_root, exclude=(own_pid,))
