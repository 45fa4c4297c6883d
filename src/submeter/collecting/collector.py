# SPDX-License-Identifier: Apache-2.0
"""The collector: a small process beside the training that reads, writes down, and settles.

It is started with the path of an order, says ``ready``, and from then on listens on its standard
input. It outlives whoever started it as long as the metered process lives, and settles the run
either way. It installs no signal handler, opens no connection and never touches a board's
compute side.
"""

import contextlib
import gc
import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from submeter.collecting import _settling
from submeter.collecting._columns import Column
from submeter.collecting._edges import EDGE_STEP_NS, START_NS, EdgeWatch
from submeter.collecting._head import Machine, Past, make_head, place_sensors, read_past
from submeter.collecting._pids import Watched
from submeter.collecting._settling import LiveSettling, put_into_ledger
from submeter.collecting._use import Follows, Tree, UseWatch, process_tree
from submeter.collecting._windows import PhaseWatch
from submeter.collecting._writer import JournalThread
from submeter.collecting.clock import Clock, ClockWatch, Stamp, SystemClock, stamp
from submeter.collecting.order import Order
from submeter.collecting.sampler import Sampler
from submeter.errors import LedgerError
from submeter.records.devices import Reading
from submeter.records.frames import (
    End,
    Event,
    Frame,
    Head,
    Started,
)
from submeter.storing.journal import paced_interval_s
from submeter.units import NS_PER_S, s_to_ns

FLUSH_NS: Final = NS_PER_S
LAST_WAIT_S: Final = 0.25  # for the last reading of slow sensors
DISK_WAIT_S: Final = 10.0  # for the journal's last frames; the ledger gets the run all the same
CLOSE_WAIT_S: Final = 1.0
_FAULT_EVENT_NS: Final = 60 * NS_PER_S
_UNSAID: Final = "the process ended without a word"
_OOM_SCORE: Final = "-500"  # killing us would free next to nothing


class Collector:
    """One run's loop: ticks, flushes, words from the owner, deaths.

    Parameters
    ----------
    order
        What to meter.
    machine
        Sensors and devices.
    clock
        Where the time comes from.
    journal
        Where frames go.
    settling
        Makes the run of the frames.
    past
        What the journal holds of a collector before this one.
    tree
        The run's processes.
    owner_fd
        Where the owner's words come from; -1 for none.
    reply
        Sends the owner a line.
    pace
        Interval for the interval asked for [s] and the journal's size.
    behind
        Take readings a tick after they were asked for; not with a clock that jumps. The threads
        then work one after the other: ticks first, then the reader, who wakes the journal.
    """

    def __init__(
        self,
        order: Order,
        machine: Machine,
        clock: Clock,
        journal: JournalThread,
        *,
        settling: LiveSettling,
        past: Past | None = None,
        tree: Tree | None = None,
        phases: PhaseWatch | None = None,
        owner_fd: int = -1,
        reply: Callable[[str], None] = lambda _: None,
        pace: Callable[[float, int], float] = paced_interval_s,
        behind: bool = False,
    ) -> None:
        self.end: End | None = None
        self.faults = 0
        self._order = order
        self._machine = machine
        self._clock = clock
        self._journal = journal
        self._settling = settling
        self._tree = tree
        self._past = past or Past()
        self._owner_fd = owner_fd
        self._reply = reply
        self._pace = pace
        self._behind = behind
        self._sampler = Sampler(machine.sensors, clock, order.interval_s)
        heads, self._places = place_sensors(
            self._past.head.sensors if self._past.head else (), machine.sensors
        )
        self._anchor = stamp(clock) or Stamp(
            clock.monotonic_ns(), clock.utc_ns(), clock.boottime_ns()
        )
        self.head: Head = make_head(order, machine, self._past, self._anchor, heads)
        self._columns = [Column(len(s.channels)) for s in machine.sensors]
        self._clocks = ClockWatch(clock, self._anchor)
        self._edges = EdgeWatch(machine.sensors)
        self._use = UseWatch(machine.sensors, tree, clock)
        self._phases = phases or PhaseWatch(
            Path(order.folder), names=self._past.names, seen=self._past.seen
        )
        self._batch: list[Frame] = []
        self._words = b""
        self._leader: Watched | None = None
        self._owner: Watched | None = None
        self._joined: dict[int, Watched] = {}
        self._polled: list[int] | None = None  # None: to be gathered again
        self._unpolled = False
        self._unwoken = False  # threads have work that they were not yet told of
        self._owner_gone = False
        self._began = self._past.started is not None or bool(self._past.pids - {order.owner_pid})
        self._finished = False
        self._tick_ns = 0  # the next tick
        self._flushed_ns = 0
        self._looked_ns = 0
        self._fault_said_ns = 0

    # -- from start to end ----------------------------------------------------------------------

    def begin(self) -> None:
        """Write the head, read every sensor once, and tell the owner."""
        self._write(self.head)
        if self.head.generation == 0:
            for note in self._order.notes:
                self._write(Event(self.head.t_ns, "note", note))
        if self._order.owner_pid > 0:
            self._owner = Watched(self._order.owner_pid)
        if self._order.leader_pid > 0:
            self._leader = Watched(self._order.leader_pid)
        self._follow_tree()
        self._read()
        now_ns = self._looked_ns = self._clock.monotonic_ns()
        self._flush(now_ns)
        self._tick_ns = now_ns + s_to_ns(self._sampler.interval_s)
        if self.head.generation == 0:
            self._edges.begin(now_ns, wait_ns=START_NS)
        self._reply(f"ready {now_ns}")

    def run(self) -> None:
        """Tick until there is a reason to end, and read a last time. Never raises."""
        while not self._finished:
            try:
                self.step()
            except Exception as exc:  # noqa: BLE001 - the one loop that must go on
                self._fault(exc)

    def step(self) -> None:
        """Wait for the next tick, or for words or deaths before it, and deal with it."""
        if self.end is not None:
            self._finished = True
            self._read_last()
            return
        next_ns, now_ns = self._tick_ns, self._clock.monotonic_ns()
        if self._edges.active(now_ns):
            next_ns = min(next_ns, now_ns + EDGE_STEP_NS)
        readable = self._clock.wait_until(next_ns, self._fds())
        if readable or self._unpolled:
            if self._owner_fd in readable:
                self._hear()
            self._look_for_deaths(readable)
        now_ns = self._clock.monotonic_ns()
        if self.end is not None:
            return
        if now_ns < self._tick_ns:  # woken early
            if self._edges.active(now_ns):
                self._take(self._sampler.sample_now(self._edges.indexes))
            return
        interval_ns = s_to_ns(self._sampler.interval_s)
        # ticks that were slept through are left out, and the later ones keep their beat
        self._tick_ns += (1 + (now_ns - self._tick_ns) // interval_ns) * interval_ns
        if self._unwoken:  # who should have done it hangs
            self._wake()
        self._read()
        self._look()
        if now_ns - self._flushed_ns >= FLUSH_NS - interval_ns // 2:
            self._flush(self._looked_ns, wake=not self._behind)
            self._adapt()
        if self._behind and not self._sampler.ask_ahead(self._wake if self._unwoken else None):
            self._wake()

    def settle(self) -> str:
        """Write the end, settle, and put the run into the ledger; what to tell the owner."""
        if self.end is not None:
            self._write(self.end)
        self._hand_over()
        self._use.close()
        self._journal.close(DISK_WAIT_S)
        for event in self._journal.take_events():
            self._settling.feed(event)
        if not self._began and self.end is not None and self.end.reason == _UNSAID:
            _settling.discard_run(self._order, self._journal.path)
            return "unsettled the metered work never began"
        try:
            run = self._settling.run(self._journal.path)
            put_into_ledger(self._order, run)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the owner is told, and the journal stays
            return f"unsettled {exc}"
        return f"settled {run.status}"

    def close(self) -> None:
        """Let go of sensors and descriptors."""
        self._sampler.close()
        for watched in (self._owner, self._leader, *self._joined.values()):
            if watched is not None:
                watched.close()

    # -- a tick ---------------------------------------------------------------------------------

    def _read_last(self) -> None:
        self._follow_tree()  # the processes are read only when due; now they are
        self._read(wait_s=LAST_WAIT_S)
        self._read_tail()
        self._look()
        for frame in self._phases.finish():
            self._write(frame)
        self._flush(self._looked_ns)

    def _read_tail(self) -> None:
        """Read on until each counter that moves seldom has moved, if nobody waits for us."""
        if self.end is None or not (self._order.patient or self._owner_gone):
            return
        self._edges.begin(self.end.t_ns)
        moved = False
        while not moved and self._edges.active(now_ns := self._clock.monotonic_ns()):
            rows = self._sampler.sample_now(self._edges.indexes)
            self._take(rows)
            moved = self._edges.all_moved(rows)
            self._clock.wait_until(now_ns + EDGE_STEP_NS)

    def _follow_tree(self) -> None:
        if self._tree is not None:
            for sensor in self._machine.sensors:
                if isinstance(sensor, Follows):
                    sensor.watch(self._tree)

    def _read(self, *, wait_s: float = 0.0) -> None:
        self._take(self._sampler.sample(wait_s=wait_s, behind=self._behind))

    def _take(self, rows: Sequence[tuple[int, Reading]]) -> None:
        for index, reading in rows:
            self._columns[index].add(reading)
        for event in self._sampler.take_events():
            place = None if event.sensor is None else self._places[event.sensor]
            self._write(msgspec.structs.replace(event, sensor=place))

    def _look(self) -> None:
        """See which phases were open since the last look, and who joined."""
        now_ns = self._looked_ns = self._clock.monotonic_ns()
        frames = self._phases.look(now_ns)
        for pid in self._phases.take_new_pids():
            self._joined[pid] = Watched(pid)
            self._polled = None
            self._began = self._began or pid != self._order.owner_pid
            if pid not in self._past.pids:
                self._write(self._use.process(pid, now_ns))
        for frame in frames:
            self._write(frame)

    def _flush(self, now_ns: int, *, wake: bool = True) -> None:
        """Hand over what has gathered; words of use come last, since they close a block."""
        self._flushed_ns = now_ns
        for event in self._clocks.check():
            self._write(event)
        for column, place in zip(self._columns, self._places, strict=True):
            ticks = column.take(place)
            if ticks is not None:
                self._write(ticks)
        for frame in self._phases.flush():
            self._write(frame)
        for event in self._journal.take_events():
            self._write(event)
        self._write(self._use.use(now_ns))
        self._hand_over()
        self._unwoken = True
        if wake:
            self._wake()

    def _wake(self) -> None:
        """Tell the threads of their work; called again, or by two threads, it does no harm."""
        self._unwoken = False
        self._use.ask()
        self._journal.wake()

    def _hand_over(self) -> None:
        batch, self._batch = self._batch, []
        self._journal.put(batch, wake=False)
        for frame in batch:
            self._settling.feed(frame)

    def _adapt(self) -> None:
        interval_s = self._pace(self._order.interval_s, self._journal.size_bytes)
        if interval_s != self._sampler.interval_s:
            text = f"one reading every {interval_s:g} s, since the journal has grown large"
            now_ns = self._clock.monotonic_ns()
            self._write(Event(now_ns, "rate-changed", text, number=interval_s))
            self._sampler.interval_s = interval_s
            self._tick_ns = now_ns + s_to_ns(interval_s)

    def _write(self, frame: Frame) -> None:
        self._batch.append(frame)

    # -- words and deaths -----------------------------------------------------------------------

    def _fds(self) -> list[int]:
        if self._polled is None:
            watched = [w for w in (self._owner, self._leader, *self._joined.values()) if w]
            self._polled = [w.fd for w in watched if w.fd >= 0]
            # without descriptors the dead must be looked for at every tick
            self._unpolled = any(w.fd < 0 and w.died_ns is None for w in watched)
            if self._owner_fd >= 0:
                self._polled.append(self._owner_fd)
        return self._polled

    def _hear(self) -> None:
        try:
            said = os.read(self._owner_fd, 1 << 16)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if not said:
            self._owner_fd = -1
            self._owner_gone = True
            return
        *lines, self._words = (self._words + said).split(b"\n")
        for line in lines:
            try:
                self._obey(line)
            except (ValueError, msgspec.DecodeError) as exc:
                text = f"the owner said what is not understood: {exc}"
                self._write(Event(self._clock.monotonic_ns(), "note", text))

    def _obey(self, line: bytes) -> None:
        word, _, rest = line.partition(b" ")
        if word == b"started":
            t_ns, pid = (int(n) for n in rest.split())
            self._start(t_ns, pid)
        elif word == b"stop":
            self.end = msgspec.json.decode(rest, type=End)
            self._reply("ending")

    def _start(self, t_ns: int, pid: int) -> None:
        if self._past.started is None:
            self._past.started = Started(t_ns)
            self._write(self._past.started)
        self._began = True
        if pid > 0 and (self._leader is None or self._leader.pid != pid):
            if self._leader is not None:
                self._leader.close()
            self._leader = Watched(pid)
        if pid > 0 and pid != os.getpid():
            self._use.add(pid)
            self._follow_tree()

    def _look_for_deaths(self, readable: Sequence[int]) -> None:
        fds = list(readable)
        self._polled = None
        for pid, watched in list(self._joined.items()):
            if watched.look(self._clock, fds):
                # a last look, then no further: what it left open ended with it
                for frame in self._phases.look(self._clock.monotonic_ns()):
                    self._write(frame)
                self._phases.leave(pid)
                del self._joined[pid]
        if self._owner is not None and self._owner.look(self._clock, fds):
            # forked children may hold the pipe open, so that it never ends
            self._owner_gone = True
        leader = self._leader
        if leader is not None and leader.look(self._clock, fds) and self._owner_gone:
            self._end_as_killed(leader.died_ns)
        elif leader is None and self._owner_gone:
            self._end_as_killed(None)

    def _end_as_killed(self, died_ns: int | None) -> None:
        if self._owner_fd >= 0:
            os.set_blocking(self._owner_fd, False)
            self._hear()  # its last word may lie in the pipe
        if self.end is None:
            now_ns = self._clock.monotonic_ns()
            self.end = End(died_ns or now_ns, "killed", reason=_UNSAID)

    def _fault(self, exc: Exception) -> None:
        """Count what should not happen, say it once a minute, and go on with the next tick."""
        self.faults += 1
        if isinstance(exc, MemoryError):
            self._settling.drop("memory ran out")
        now_ns = self._clock.monotonic_ns()
        if self._tick_ns <= now_ns:
            self._tick_ns = now_ns + s_to_ns(self._sampler.interval_s)
        if not self._fault_said_ns or now_ns - self._fault_said_ns > _FAULT_EVENT_NS:
            self._fault_said_ns = now_ns
            text = f"{type(exc).__name__}: {exc}"
            self._write(Event(now_ns, "note", text, number=float(self.faults)))


def main(order_path: str, *, discover: Callable[[Order], Machine] | None = None) -> None:
    """Meter the run that the order at *order_path* describes, from its start to the ledger.

    *discover* finds the machine's sensors; by default those that the order's roots hold.
    Lines on standard output: ``ready <t_ns>``, ``ending`` once it has heard of the end, then
    ``settled <status>`` or ``unsettled <why>``.
    Lines on standard input: ``started <t_ns> <pid>``, ``stop <End as JSON>``.
    """
    order = msgspec.json.decode(Path(order_path).read_bytes(), type=Order)
    _be_kept_from_the_oom_killer()
    gc.set_threshold(20_000)  # little of ours is cyclic, and each look is made with cold caches
    clock = SystemClock()
    try:
        journal_path = _settling.journal_of(order)
        past = read_past(journal_path)
        journal = JournalThread(
            _settling.open_journal(order, journal_path),
            clock,
            elsewhere=lambda: _settling.journal_elsewhere(order),
        )
    except (LedgerError, OSError) as exc:
        _reply(f"unsettled {exc}")
        return
    machine = (discover or _discover)(order)
    roots = [order.leader_pid] if order.leader_pid > 0 else []
    tree = process_tree(roots, Path(order.proc_root), os.getpid())
    settling = LiveSettling(Path(order.folder), live=past.head is None)
    collector = Collector(
        order,
        machine,
        clock,
        journal,
        settling=settling,
        past=past,
        tree=tree,
        owner_fd=0,
        reply=_reply,
        behind=True,
    )
    collector.begin()
    settling.load()
    collector.run()
    _reply(collector.settle())
    # a driver that hangs must not keep this process, whose work is done
    closing = threading.Thread(target=_close, args=(collector, machine), daemon=True)
    closing.start()
    closing.join(CLOSE_WAIT_S)


def _close(collector: Collector, machine: Machine) -> None:
    collector.close()
    machine.close()


def _discover(order: Order) -> Machine:
    from submeter.sensors import Roots, discover

    roots = Roots(sys=Path(order.sys_root), proc=Path(order.proc_root), nvml=order.nvml)
    return discover(roots, visible_devices=order.visible_devices)


def _be_kept_from_the_oom_killer() -> None:
    """Ask for a lower score; only the privileged may, and nothing depends on it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE, encoding="ascii")


def _reply(line: str) -> None:
    """Send the owner a line; it may be gone."""
    text = " ".join(line.split())
    with contextlib.suppress(OSError):
        os.write(sys.stdout.fileno(), text.encode("utf-8", "replace") + b"\n")
