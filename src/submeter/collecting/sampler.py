# SPDX-License-Identifier: Apache-2.0
"""Reads all sensors at a tick, and waits for none that does not answer.

No sensor is read by the thread that keeps the ticks. Quick ones share a lane, one thread that
reads them one after the other. A sensor that takes long gets a lane of its own and is read as
often as it can be; one that hangs keeps the lane it hangs in, and the others get a new one.
"""

import contextlib
import threading
from _queue import Empty, SimpleQueue  # "queue" would load more than is needed
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from submeter.collecting.clock import Clock
from submeter.records.devices import Measures, Reading, Sensor
from submeter.records.figures import Missing
from submeter.records.frames import Event
from submeter.units import NS_PER_MS, NS_PER_S, ns_to_s, s_to_ns

QUICK_RATIO: Final = 0.5  # part of the interval that all quick sensors together may take
SLOW_READS: Final = 2  # one alone may be the machine's fault (a starved thread)
QUICK_READS: Final = 50  # so often in a row, and a slow sensor is quick again
LEISURELY: Final = frozenset({Measures.BUSY_TIME, Measures.STEAL_TIME, Measures.RUN_TIME})
LEISURE_NS: Final = NS_PER_S // 2  # processor time counts in 10 ms and is divided once a second
NOT_DUE: Final = "not due yet"  # a sensor that looks less often than it is asked says this
MOST_EVENTS: Final = 200  # of one sensor; one that comes and goes for a month says no more
_GRACE_NS: Final = 20 * NS_PER_MS  # for threads that were starved together with us
_SILENT_S: Final = 1.0  # a slow sensor is missing after this, or five times its usual time
_STALE_NS: Final = 5 * NS_PER_S  # a read that hung this long says nothing about any instant

Order = deque[int]
Then = Callable[[], None] | None
Answers = SimpleQueue["Lane"]  # a lane is put here when it has done what it was asked


def read_sensor(sensor: Sensor, clock: Clock) -> Reading:
    """One read, its instant in the middle of the time it took.

    A sensor that raises, which it must not, counts as missing.
    """
    before_ns = clock.monotonic_ns()
    try:
        values = tuple(sensor.read())
    except Exception as exc:  # noqa: BLE001 - a plug-in's fault must not end the run's metering
        why = Missing(f"{type(exc).__name__}: {exc}")
        values = (why,) * len(sensor.channels)
    after_ns = clock.monotonic_ns()
    return Reading((before_ns + after_ns) // 2, (after_ns - before_ns + 1) // 2, values)


def _not_due(reading: Reading) -> bool:
    return all(isinstance(v, Missing) and v.why == NOT_DUE for v in reading.values)


class Lane:
    """A thread that reads some sensors when told to."""

    def __init__(self, sensors: Sequence[Sensor], clock: Clock, out: Answers) -> None:
        self.busy = 0  # readings still to come
        self.asked_ns = 0
        self.rest: list[int] = []
        self.done: deque[tuple[int, Reading]] = deque()
        self._asked: tuple[int, ...] = ()
        self._sensors = sensors
        self._clock = clock
        self._out = out
        self._order: Order = deque()
        self._orders: SimpleQueue[tuple[Order, Then] | None] = SimpleQueue()
        # a daemon: one that hangs must not keep the process from ending
        self._thread = threading.Thread(target=self._work, name="submeter-lane", daemon=True)
        self._thread.start()

    def ask(self, indexes: Sequence[int], then: Then = None) -> None:
        """Read the sensors at *indexes*, in this order, and call *then* in this thread."""
        self._asked = tuple(indexes)
        self._order = deque(indexes)
        self.busy = len(indexes)
        self.asked_ns = self._clock.monotonic_ns()
        self._orders.put((self._order, then))

    def take_back(self) -> int:
        """Take back what was not begun, to `rest`; the sensor that was begun last."""
        rest: list[int] = []
        with contextlib.suppress(IndexError):
            while True:
                rest.append(self._order.pop())
        self.busy -= len(rest)
        self.rest = rest[::-1]
        return self._asked[len(self._asked) - len(rest) - 1]

    @property
    def alive(self) -> bool:
        """Whether the thread can still answer."""
        return self._thread.is_alive()

    def leave(self) -> None:
        """End the thread, when it can."""
        self._orders.put(None)

    def _work(self) -> None:
        while (told := self._orders.get()) is not None:
            order, then = told
            with contextlib.suppress(IndexError):  # done, or taken back
                while True:
                    index = order.popleft()
                    self.done.append((index, read_sensor(self._sensors[index], self._clock)))
            self._out.put(self)  # once an order: each waking of the other thread costs
            if then is not None:
                then()


class Sampler:
    """All sensors of a machine, read together.

    Parameters
    ----------
    sensors
        In the order in which readings name them.
    clock
        Where the time comes from.
    interval_s
        Time between two ticks [s]; may be changed.
    """

    def __init__(self, sensors: Sequence[Sensor], clock: Clock, interval_s: float) -> None:
        self._sensors = list(sensors)
        self.interval_s = interval_s
        self._clock = clock
        self._out: Answers = SimpleQueue()
        self._events: list[Event] = []
        self._event_counts = [0] * len(self._sensors)
        self._quick: list[int] = []
        self._quick_lane: Lane | None = None
        self._slow: dict[int, Lane] = {}
        self._inline: list[int] = []  # where there is no thread to be had
        self._steady: set[int] = set()  # quick sensors whose last read was quick
        self._slow_reads = [0] * len(self._sensors)
        self._quick_reads = [QUICK_READS] * len(self._sensors)  # quick if the first read is
        self._leisurely = {
            i for i, s in enumerate(self._sensors) if {c.measures for c in s.channels} <= LEISURELY
        }
        self._leisure_ns = 0  # when those are read next
        self._usual_ns = [0] * len(self._sensors)
        self._told_slow: set[int] = set()
        self._silent: set[int] = set()
        self._why: dict[tuple[int, int], str] = {}
        self._begun = False
        self._ahead: list[tuple[int, Reading]] = []  # read before they were asked for

    @property
    def interval_s(self) -> float:
        """Time between two ticks [s]."""
        return self._interval_s

    @interval_s.setter
    def interval_s(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._limit_ns = s_to_ns(QUICK_RATIO * interval_s) // max(1, len(self._sensors))

    def sample(self, *, wait_s: float = 0.0, behind: bool = False) -> list[tuple[int, Reading]]:
        """Read every sensor that is ready to be.

        Parameters
        ----------
        wait_s
            How long to wait for slow sensors too [s]; not done at a tick, but the first call
            waits for an interval, since nobody knows yet which are slow.
        behind
            Give the readings that `ask_ahead` asked for, and ask for none: that saves this
            thread a waking.

        Returns
        -------
        list of (int, Reading)
            By sensor: of quick ones this tick's reading (or the last one's), of slow ones
            whatever has come since the last call. None from a sensor that hangs.
        """
        if not self._begun:
            self._begin()
            wait_s = max(wait_s, self.interval_s)
        if wait_s:
            self._leisure_ns = 0
        for index, lane in self._slow.items():
            if not lane.busy or not lane.alive:
                self._ask_slow(index, lane)
        got, self._ahead = self._ahead, []
        got += [(i, read_sensor(self._sensors[i], self._clock)) for i in self._inline]
        self._await_quick(got)
        if not behind or wait_s:
            self._ask_quick(got)
            self._await_quick(got)
        if self._slow:
            self._gather_slow(got, wait_s)
            self._look_for_silent(wait_s)
            got.sort(key=lambda row: (row[0], row[1].t_ns))
        return self._kept(got)

    def sample_now(self, indexes: Sequence[int]) -> list[tuple[int, Reading]]:
        """Read those of the sensors at *indexes* that are quick, at once."""
        got, self._ahead = self._ahead, []
        self._await_quick(got)
        order = [i for i in indexes if i in self._quick]
        if order:
            lane = self._quick_lane = self._quick_lane or self._new_lane()
            if lane is not None:
                lane.ask(order)
                self._await_quick(got)
        return self._kept(got)

    def _kept(self, got: list[tuple[int, Reading]]) -> list[tuple[int, Reading]]:
        """Those readings that say something; what is missing is told once."""
        kept = []
        for index, reading in got:
            # this runs ten times a second for months, and nearly always nothing is missing
            if self._why or any(type(v) is Missing for v in reading.values):
                if _not_due(reading):
                    continue
                self._look_at(index, reading)
            kept.append((index, reading))
        return kept

    def ask_ahead(self, then: Then = None) -> bool:
        """Have quick sensors read now, for the next `sample`; their thread calls *then* at last.

        Returns
        -------
        bool
            Whether it will; False if there is nothing to read, or no thread for it.
        """
        self._ask_quick(self._ahead, then)
        lane = self._quick_lane
        return lane is not None and lane.busy > 0

    def take_events(self) -> list[Event]:
        """Return what happened to sensors since the last call."""
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        """End the lanes that can be ended, and close the sensors that are not being read."""
        hanging = {i for i, lane in self._slow.items() if lane.busy}
        for lane in (self._quick_lane, *self._slow.values()):
            if lane is not None:
                lane.leave()
        for index, sensor in enumerate(self._sensors):
            if index not in hanging:
                sensor.close()

    # -- reading ------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Read each sensor in a lane of its own once, so that none makes the others wait."""
        self._begun = True
        for index in range(len(self._sensors)):
            lane = self._new_lane()
            if lane is None:
                self._inline.append(index)
            else:
                self._slow[index] = lane

    def _new_lane(self) -> Lane | None:
        try:
            return Lane(self._sensors, self._clock, self._out)
        except (RuntimeError, MemoryError):  # no thread to be had
            return None

    def _ask_quick(self, got: list[tuple[int, Reading]], then: Then = None) -> None:
        now_ns = self._clock.monotonic_ns()
        order = self._quick
        if now_ns < self._leisure_ns:
            order = [i for i in order if i not in self._leisurely]
        else:
            self._leisure_ns = now_ns + LEISURE_NS
        if not order:
            return
        lane = self._quick_lane = self._quick_lane or self._new_lane()
        if lane is None:
            got += [(i, read_sensor(self._sensors[i], self._clock)) for i in order]
        else:
            lane.ask(order, then)

    def _await_quick(self, got: list[tuple[int, Reading]]) -> None:
        """Take what the quick lane was asked for; who hangs in it for an interval leaves it."""
        while (lane := self._quick_lane) is not None and lane.busy:
            left_ns = lane.asked_ns + s_to_ns(self.interval_s) - self._clock.monotonic_ns()
            if self._collect(got, max(left_ns, _GRACE_NS)):
                continue
            hangs, rest = lane.take_back(), lane.rest
            self._drain(lane, got)
            if lane.busy:
                self._set_aside(lane, hangs)
                lane = self._quick_lane = self._new_lane() if rest else None
            if lane is None:
                got += [(i, read_sensor(self._sensors[i], self._clock)) for i in rest]
            elif rest:
                lane.ask(rest)

    def _ask_slow(self, index: int, lane: Lane) -> None:
        """Read a slow sensor; its thread may have died of a lack of memory."""
        living = lane if lane.alive else self._new_lane()
        if living is not None:
            self._slow[index] = living
            living.ask((index,))

    def _gather_slow(self, got: list[tuple[int, Reading]], wait_s: float) -> None:
        deadline_ns = self._clock.monotonic_ns() + s_to_ns(wait_s)
        while True:
            left_ns = 0
            if wait_s and any(n.busy for i, n in self._slow.items() if i not in self._silent):
                left_ns = max(0, deadline_ns - self._clock.monotonic_ns())
            if not self._collect(got, left_ns):
                return

    def _collect(self, got: list[tuple[int, Reading]], wait_ns: int) -> bool:
        """Take one lane's answers; False if none came in time."""
        try:
            lane = self._out.get(timeout=ns_to_s(wait_ns)) if wait_ns else self._out.get_nowait()
        except Empty:
            return False
        self._drain(lane, got)
        return True

    def _drain(self, lane: Lane, got: list[tuple[int, Reading]]) -> None:
        while lane.done:
            index, reading = lane.done.popleft()
            lane.busy -= 1
            took_ns = 2 * reading.half_ns
            if took_ns <= self._limit_ns and index in self._steady:
                got.append((index, reading))
                continue
            if index in self._silent:
                self._silent.discard(index)
                self._tell(index, "sensor-back", f"answered after {ns_to_s(took_ns):.1f} s")
            if took_ns < _STALE_NS:
                got.append((index, reading))
            self._judge(index, took_ns)

    # -- lanes --------------------------------------------------------------------------------

    def _set_aside(self, lane: Lane, index: int) -> None:
        """Leave its lane to a sensor that hangs."""
        self._quick.remove(index)
        self._steady.discard(index)
        self._slow[index] = lane
        self._silent.add(index)
        self._quick_reads[index] = 0
        self._tell(index, "sensor-missing", f"no answer for {self.interval_s:g} s")

    def _judge(self, index: int, took_ns: int) -> None:
        """Let slow sensors change into a lane of their own and quick ones back."""
        self._usual_ns[index] = took_ns
        self._steady.discard(index)
        if took_ns > self._limit_ns:
            self._slow_reads[index] += 1
            self._quick_reads[index] = 0
            if self._slow_reads[index] >= SLOW_READS:
                self._slow_down(index, took_ns)
        else:
            self._slow_reads[index] = 0
            self._quick_reads[index] += 1
            if index in self._slow and self._quick_reads[index] > QUICK_READS:
                self._slow.pop(index).leave()
                self._quick = sorted((*self._quick, index))
            if index in self._quick:
                self._steady.add(index)

    def _slow_down(self, index: int, took_ns: int) -> None:
        if index in self._quick:
            lane = self._new_lane()
            if lane is None:
                return
            self._quick.remove(index)
            self._slow[index] = lane
        if index not in self._told_slow:
            self._told_slow.add(index)
            took_s = ns_to_s(took_ns)
            self._tell(index, "sensor-slow", f"a read takes {took_s:.3f} s", number=took_s)

    # -- what is said -------------------------------------------------------------------------

    def _look_for_silent(self, waited_s: float) -> None:
        now_ns = self._clock.monotonic_ns()
        for index, lane in self._slow.items():
            if not lane.busy or index in self._silent:
                continue
            patience_ns = max(s_to_ns(_SILENT_S), 5 * self._usual_ns[index])
            first = not self._usual_ns[index] and waited_s >= self.interval_s
            if first or now_ns - lane.asked_ns > patience_ns:
                self._silent.add(index)
                silent_s = max(ns_to_s(now_ns - lane.asked_ns), waited_s)
                self._tell(index, "sensor-missing", f"no answer for {silent_s:.1f} s")

    def _look_at(self, index: int, reading: Reading) -> None:
        """Say when a channel goes missing, why, and when it is back."""
        for place, value in enumerate(reading.values):
            key = (index, place)
            if isinstance(value, Missing):
                if value.why != NOT_DUE and self._why.get(key) != value.why:
                    self._why[key] = value.why
                    what = self._sensors[index].channels[place].measures
                    self._tell(index, "sensor-missing", f"{what}: {value.why}", at=reading)
            elif self._why and key in self._why:
                del self._why[key]
                what = self._sensors[index].channels[place].measures
                self._tell(index, "sensor-back", str(what), at=reading)

    def _tell(
        self,
        index: int,
        kind: str,
        text: str,
        *,
        number: float | None = None,
        at: Reading | None = None,
    ) -> None:
        self._event_counts[index] += 1
        if self._event_counts[index] > MOST_EVENTS:
            return
        t_ns = self._clock.monotonic_ns() if at is None else at.t_ns
        self._events.append(Event(t_ns=t_ns, kind=kind, text=text, sensor=index, number=number))
