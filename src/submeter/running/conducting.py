# SPDX-License-Identifier: Apache-2.0
"""A plan while it is carried out: its clocks, its newest version, and what is kept of it.

Nothing here waits, reads a device or sends a signal: `Conductor` is asked what to do, told what
was done, and writes both down first. Its clock is a parameter.
"""

import os
import threading
from collections.abc import Callable
from typing import Final

import msgspec

from submeter.collecting.clock import Clock, Stamp, stamp, stepped_ns, suspended_ns
from submeter.errors import SubmeterError
from submeter.records.plans import Job, Plan
from submeter.running.following import (
    Do,
    Next,
    Standing,
    check_can_be_carried_out,
    next_step,
    remaining_job,
)
from submeter.running.pausing import boot_id, lives, start_tick
from submeter.storing.waits import Order, State, WaitFile
from submeter.units import ns_to_s

__all__ = ["Conductor", "Replan", "Replanner"]

REPLAN_EVERY_S: Final = 900.0  # readings of grids come every 5 to 60 minutes
NEWS_EVERY_S: Final = 10.0  # between two looks at whether files have changed
KEEP_EVERY_S: Final = 60.0  # so much accounted work a killed planner may forget
Replan = Callable[[float, Job], Plan]
Signs = Callable[[], object]


class Replanner:
    """Makes the plan anew beside the waiting, so that a provider that hangs holds nothing up.

    Parameters
    ----------
    replan
        Gives a plan for what is left, from an instant [s since 1970 UTC] on; None: the first
        plan stays. What it raises is said and leaves the plan as it is.
    aside
        Do it in a thread; without, within `ask`.
    signs
        Gives something that is another when there are new readings, at next to no cost.
    """

    def __init__(
        self, replan: Replan | None, *, aside: bool = True, signs: Signs | None = None
    ) -> None:
        self._replan = replan
        self._aside = aside
        self._signs = signs
        self._read = self._last = None if signs is None else signs()
        self._busy: threading.Thread | None = None
        self._found: Plan | None = None
        self.failure = ""

    def ask(self, now_s: float, job: Job) -> None:
        """Begin to plan anew unless that goes on already."""
        if self._replan is None or (self._busy is not None and self._busy.is_alive()):
            return
        if not self._aside:
            self._plan(now_s, job)
            return
        self._busy = threading.Thread(target=self._plan, args=(now_s, job), daemon=True)
        self._busy.start()

    def news(self) -> bool:
        """Whether there are new readings, and whoever writes them is done."""
        if self._signs is None:
            return False
        before, self._last = self._last, self._signs()
        if self._last == self._read or self._last != before:
            return False
        self._read = self._last
        return True

    def take(self) -> Plan | None:
        """Give the new plan, once."""
        found, self._found = self._found, None
        return found

    def _plan(self, now_s: float, job: Job) -> None:
        assert self._replan is not None  # noqa: S101
        try:
            plan = self._replan(now_s, job)
            check_can_be_carried_out(plan)
        except (SubmeterError, OSError, ValueError, ArithmeticError, LookupError) as exc:
            self.failure = str(exc) or type(exc).__name__
        except Exception as exc:  # noqa: BLE001  # whatever it is, the plan that we have stands
            self.failure = f"{type(exc).__name__}: {exc}"
        else:
            self.failure = ""
            self._found = plan


class Conductor:
    """One plan, from its first waiting to the end of its program.

    Parameters
    ----------
    order
        What was asked for.
    clock
        The three clocks.
    file
        Where it is kept; it may hold the state that another left.
    replanner
        Makes the plan anew.
    """

    def __init__(self, order: Order, clock: Clock, file: WaitFile, replanner: Replanner) -> None:
        check_can_be_carried_out(order.plan)
        self.order = order
        self.clock = clock
        self.notes: list[str] = []
        self._file = file
        self._replanner = replanner
        self._boot = boot_id()
        self._stamp: Stamp | None = stamp(clock)
        self._began_ns: int | None = None  # of this stretch of work
        self._counted_ns = 0  # until when its work is in the state
        self._owed_s = 0.0  # of what follows that is no work: being back at work after a pause
        self._asked_ns = clock.monotonic_ns()
        self._looked_ns = self._asked_ns
        self._kept_ns = self._asked_ns
        self._now = False  # asked to start at once
        self._refused = ""  # why it is not paused any more
        held = file.wait.state if file.wait is not None else None
        if held is None or held.status in {"ended", "cancelled"}:
            held = State(at_s=self.now_s, status="waiting")
        elif not lives(held.pid, held.pid_start):  # what it had not saved went with it
            held = msgspec.structs.replace(held, worked_s=held.saved_s, pid=0, frozen=False)
            held = msgspec.structs.replace(held, status="paused" if held.saved_s else "waiting")
        self.state = held
        self._keep(held.status, order, planner_pid=os.getpid())

    # --- what is so ---------------------------------------------------------------------------

    @property
    def plan(self) -> Plan:
        """The newest plan."""
        return self.order.plan

    @property
    def now_s(self) -> float:
        """Wall-clock time [s since 1970 UTC]."""
        return ns_to_s(self.clock.utc_ns())

    @property
    def stretch_s(self) -> float:
        """Time since the program was last started or resumed [s]; 0 while it is not at work."""
        if self._began_ns is None:
            return 0.0
        return ns_to_s(self.clock.monotonic_ns() - self._began_ns)

    @property
    def worked_s(self) -> float:
        """Work done until now [s]."""
        if self._began_ns is None:
            return self.state.worked_s
        return self.state.worked_s + max(0.0, self._uncounted_s - self._owed_s)

    @property
    def _uncounted_s(self) -> float:
        return ns_to_s(self.clock.monotonic_ns() - self._counted_ns)

    @property
    def working(self) -> bool:
        """Whether the program is at work."""
        return self._began_ns is not None

    @property
    def remaining(self) -> Job:
        """What is left to be done."""
        return remaining_job(self.plan.job, self.worked_s, self.now_s)

    def look(self) -> Next:
        """What is to be done now; notices clocks that jumped, and makes the plan anew in time."""
        jumped = self._clocks_jumped()
        now_ns = self.clock.monotonic_ns()
        if jumped or ns_to_s(now_ns - self._asked_ns) >= REPLAN_EVERY_S or self._news(now_ns):
            self._asked_ns = now_ns
            if not self.working or (self.plan.job.interruptible and not self._refused):
                self._replanner.ask(self.now_s, self.remaining)
        self._take_plan()
        if self.working and ns_to_s(now_ns - self._kept_ns) >= KEEP_EVERY_S:
            self._keep("running")
        if self._file.trouble is not None:
            self._keep(self.state.status)
        if self._now:
            return Next(Do.WORK, None, "asked to")
        standing = Standing(self.working, self.worked_s, self.stretch_s, not self._refused)
        return next_step(self.plan, standing, self.now_s)

    # --- what was done ------------------------------------------------------------------------

    def start_now(self) -> None:
        """Somebody asks to start, or go on, at once; it is then worked to the end."""
        self._now = True

    def set_run(self, run_id: str) -> None:
        """The program belongs to this run of the ledger."""
        if run_id and run_id not in self.state.run_ids:
            self.state = msgspec.structs.replace(self.state, run_ids=(*self.state.run_ids, run_id))

    def working_now(self, pid: int, *, resumed: bool) -> None:
        """The program, process *pid*, is at work from now on."""
        self._began_ns = self._counted_ns = self.clock.monotonic_ns()
        self._owed_s = self.plan.job.restart_s if resumed else 0.0
        self._keep(
            "running",
            pid=pid,
            pid_start=start_tick(pid),
            boot_id=self._boot,
            frozen=False,
            resumes=self.state.resumes + resumed,
        )

    def pausing_now(self, *, frozen: bool = False, saved: bool = False) -> None:
        """It is about to be paused; written first, so that no frozen program is unknown."""
        worked_s, self._began_ns = self.worked_s, None
        saved_s = worked_s if saved else self.state.saved_s
        self._keep("paused", worked_s=worked_s, saved_s=saved_s, frozen=frozen)

    def ended_for_now(self) -> None:
        """The program has left its checkpoint and ended; there is no process any more."""
        self._keep("paused", pid=0, pid_start=0, frozen=False, saved_s=self.state.worked_s)

    def refuses(self, why: str) -> None:
        """The program cannot be paused, and goes on."""
        self._refused = why
        self.note(f"not paused: {why}")

    def over(self, *, cancelled: bool = False) -> None:
        """The program has ended for good, or nobody wants it any more."""
        worked_s, self._began_ns = self.worked_s, None
        self._keep("cancelled" if cancelled else "ended", worked_s=worked_s, pid=0, frozen=False)

    def note(self, text: str) -> None:
        """Keep a sentence for the reader of the result."""
        if text not in self.notes:
            self.notes.append(text)

    # --- inside -------------------------------------------------------------------------------

    def _keep(self, status: str, *orders: Order, **changes: object) -> None:
        if self._began_ns is not None:
            changes["worked_s"] = self.worked_s
            self._owed_s = max(0.0, self._owed_s - self._uncounted_s)
            self._counted_ns = self.clock.monotonic_ns()
        self.state = msgspec.structs.replace(self.state, status=status, at_s=self.now_s, **changes)
        self._kept_ns = self.clock.monotonic_ns()
        self._file.write(*orders, self.state)
        if self._file.trouble is not None:
            self.note(f"how far the plan is cannot be kept just now: {self._file.trouble}")

    def _clocks_jumped(self) -> bool:
        before, after = self._stamp, stamp(self.clock)
        if after is None:
            return False
        if before is None:
            self._stamp = after
            return False
        slept_ns, stepped = suspended_ns(before, after), stepped_ns(before, after)
        if not slept_ns and not stepped:
            return False
        self._stamp = after
        if slept_ns:
            self.note(f"the machine slept for {ns_to_s(slept_ns):.0f} s")
        if stepped:
            self.note(f"the wall clock was set by {ns_to_s(stepped):+.0f} s")
        return True

    def _news(self, now_ns: int) -> bool:
        if ns_to_s(now_ns - self._looked_ns) < NEWS_EVERY_S:
            return False
        self._looked_ns = now_ns
        return self._replanner.news()

    def _take_plan(self) -> None:
        if self._replanner.failure:
            self.note(f"the plan stands as it was made before: {self._replanner.failure}")
            self._replanner.failure = ""
        plan = self._replanner.take()
        if plan is None:
            return
        # the job as it was asked for, of which worked_s is taken off
        whole = msgspec.structs.replace(plan, id=self.plan.id, job=self.plan.job)
        if whole.slices != self.plan.slices:
            self.order = msgspec.structs.replace(self.order, plan=whole)
            self._keep(self.state.status, self.order)
