# SPDX-License-Identifier: Apache-2.0
"""Programs whose planner died: they are continued if frozen, and their plan is gone on with.

A program that lost its parent can be paused and continued like any other, yet how it ends is told
only to the parent that it had: its exit code is not known here, and is said not to be.
"""

import os
import select
import time
from pathlib import Path
from typing import Final

from submeter.running.conducting import Conductor
from submeter.running.following import Do
from submeter.running.pausing import Guard, freeze, is_stopped, lives, thaw
from submeter.storing.waits import open_waits

__all__ = ["follow_adopted", "release"]

LOOK_EVERY_S: Final = 1.0


def release(home: Path) -> list[str]:
    """Continue the frozen programs under *home* whose planners are gone; a sentence for each."""
    said = []
    for wait in open_waits(home):
        state = wait.state
        if wait.locked or not state.pid or not lives(state.pid, state.pid_start):
            continue
        if is_stopped(state.pid):
            thaw(state.pid)
            said.append(
                f"process {state.pid} of the plan {wait.plan_id} was frozen by a planner that is "
                "gone: it was continued"
            )
    return said


def follow_adopted(conductor: Conductor, *, look_every_s: float = LOOK_EVERY_S) -> None:
    """Go on with the plan of a program that still lives, until it has ended.

    It is paused only by stopping it, if that was allowed: asked by signal it would end, and
    nobody would learn whether that was the pause.
    """
    pid, start = conductor.state.pid, conductor.state.pid_start
    conductor.note(f"process {pid} was still there and is followed; how it ends cannot be known")
    may_stop = conductor.order.pause_by == "stop"
    if not may_stop:
        conductor.refuses("its planner had died")
    guard: Guard | None = None
    if is_stopped(pid):
        thaw(pid)
    conductor.working_now(pid, resumed=False)
    try:
        while lives(pid, start):
            step = conductor.look()
            if step.do is Do.PAUSE and may_stop and guard is None:
                guard = Guard()
                conductor.pausing_now(frozen=True)
                freeze(pid, guard)
            elif step.do is Do.WORK and guard is not None:
                thaw(pid)
                guard.dismiss()
                guard = None
                conductor.working_now(pid, resumed=True)
            _wait_for_its_end(pid, look_every_s)
    finally:
        if guard is not None:
            thaw(pid)
            guard.dismiss()
    conductor.over()


def _wait_for_its_end(pid: int, most_s: float) -> None:
    try:
        fd = os.pidfd_open(pid)
    except (OSError, AttributeError):
        time.sleep(min(most_s, 0.1))
        return
    try:
        select.select([fd], [], [], most_s)
    finally:
        os.close(fd)
