# SPDX-License-Identifier: Apache-2.0
"""Who has which phase open: one stack for each thread and for each task of an event loop.

A task opens its phases below the one that was open where it was created; a thread starts anew.
Exits may come out of order (abandoned generators) or from elsewhere (garbage collection): an
exit marks its entry, and the innermost entry that is not marked is what counts.
"""

import contextvars
import sys
import threading
import time
import weakref
from typing import Any

from submeter.collecting.phases import Lane, Node, PhaseFile, ThreadClock

__all__ = ["Open", "Tracker"]


class Open:
    """One entry into a phase, until it is closed."""

    __slots__ = ("closed", "node", "outer", "owner", "stack")

    def __init__(self, stack: "_Stack", node: Node, outer: "Open | None", owner: object) -> None:
        self.stack = stack
        self.node = node
        self.outer = outer
        self.owner = owner
        self.closed = False


class _Stack:
    """Open entries of one thread or task, and the lane that counts them."""

    __slots__ = ("__weakref__", "born_in", "lane", "resting", "since_ns", "task", "top", "tracker")

    def __init__(
        self,
        tracker: "Tracker",
        lane: Lane | None,
        task: "weakref.ref[Any] | None" = None,
        born_in: Open | None = None,
    ) -> None:
        self.tracker = tracker
        self.lane = lane
        self.task = task
        self.born_in = born_in
        self.top: Open | None = None
        self.since_ns = 0  # of the outermost entry, where there is no lane to count it
        self.resting = Open(
            self, tracker.file.root, None, None
        )  # stands in the context when nothing is open


class _ThreadState(threading.local):
    """What a thread needs; made at its first phase."""

    def __init__(self) -> None:
        self.clock = ThreadClock()
        self.stack: _Stack | None = None


class Tracker:
    """Opens and closes phases of this process in one `PhaseFile`."""

    def __init__(self, file: PhaseFile) -> None:
        self.file = file
        self._here: contextvars.ContextVar[Open | None] = contextvars.ContextVar(
            "submeter-phase", default=None
        )
        self._threads = _ThreadState()

    def enter(self, name: object, owner: object, *, entries: int = 1) -> Open | None:
        """Open phase *name* here; None if this moment does not allow it."""
        clock = self._threads.clock
        if clock.busy:
            return None
        clock.busy = True
        try:
            stack = self._stack()
            outer = stack.top
            if outer is not None and outer.closed:
                outer = stack.top = _innermost(outer)
            node = self.file.node(self._above(stack) if outer is None else outer.node, name)
            entry = Open(stack, node, outer, owner)
            lane = stack.lane
            if lane is not None:
                lane.move_to(node.index, entries=entries)
            elif outer is None:
                stack.since_ns = time.monotonic_ns()
            stack.top = entry
            self._here.set(entry)
            return entry
        finally:
            clock.busy = False

    def leave(self, entry: Open) -> None:
        """Close *entry*, from wherever this is called."""
        entry.closed = True
        stack = entry.stack
        clock = self._threads.clock
        if clock.busy or stack.top is not entry:
            return  # not the innermost: nothing changes until that is closed
        lane = stack.lane
        if lane is not None and lane.clock is not clock:
            return  # from another thread: the owner's next step sees the mark
        clock.busy = True
        try:
            top = stack.top = _innermost(entry)
            if lane is not None:
                lane.move_to(None if top is None else top.node.index, entries=0)
            elif top is None:
                self.file.add_other(time.monotonic_ns() - stack.since_ns)
            self._here.set(stack.resting if top is None else top)
        finally:
            clock.busy = False

    def leave_by(self, owner: object, last: Open | None = None) -> None:
        """Close the innermost entry here that *owner* made, else *last*, made elsewhere."""
        entry = self._stack().top
        while entry is not None:
            if entry.owner is owner and not entry.closed:
                self.leave(entry)
                return
            entry = entry.outer
        if last is not None and not last.closed and last.stack.tracker is self:
            self.leave(last)

    def times_here(self) -> tuple[str, int, dict[int, int]]:
        """Path that is open here, its number, and how long each path was so far, by number [ns].

        Of this thread or task alone, the innermost open path each time; what is open counts up
        to now.
        """
        stack = self._stack()
        top = None if stack.top is None else _innermost(stack.top)
        lane = stack.lane
        walls = {} if lane is None else lane.walls_ns()
        return ("", -1, walls) if top is None else (top.node.path, top.node.index, walls)

    def _above(self, stack: _Stack) -> Node:
        """Below which path the outermost phase of *stack* opens."""
        here = self._here.get()
        if here is not None and (here.stack is stack or here is here.stack.resting):
            here = here.stack.born_in
        here = None if here is None else _innermost(here)
        return self.file.root if here is None else here.node

    def _stack(self) -> _Stack:
        asyncio = sys.modules.get("asyncio")
        if asyncio is not None:
            try:
                loop = asyncio._get_running_loop()  # noqa: SLF001  # the public one raises: slow
                task = None if loop is None else asyncio.current_task(loop)
            except AttributeError:  # another thread is just importing it
                task = None
            if task is not None:
                return self._stack_of(task)
        state = self._threads
        stack = state.stack
        if stack is None:
            lane = self.file.new_lane(state.clock)
            stack = state.stack = _Stack(self, lane)
        return stack

    def _stack_of(self, task: Any) -> _Stack:
        here = self._here.get()
        if here is not None and here.stack.task is not None and here.stack.task() is task:
            return here.stack
        lane = self.file.new_lane(self._threads.clock)
        stack = _Stack(self, lane, weakref.ref(task), here)
        if lane is not None:
            held = lane
            task.add_done_callback(lambda _: self._end_of(held))
        self._here.set(stack.resting)
        return stack

    def _end_of(self, lane: Lane) -> None:
        clock = self._threads.clock
        was, clock.busy = clock.busy, True
        try:
            self.file.release(lane)
        finally:
            clock.busy = was


def _innermost(entry: Open) -> Open | None:
    """*entry* or the nearest one around it that is still open."""
    found: Open | None = entry
    while found is not None and found.closed:
        found = found.outer
    return found
