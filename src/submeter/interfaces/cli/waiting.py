# SPDX-License-Identifier: Apache-2.0
"""Plans that are waited for, as a list shows them beside the runs."""

from datetime import UTC, datetime
from pathlib import Path

from submeter.records.runs import Run, Status
from submeter.storing.waits import Wait, open_waits
from submeter.storing.wording import safe_text

__all__ = ["left_words", "waiting_runs"]


def waiting_runs(home: Path) -> list[Run]:
    """Runs that a plan has not started yet, or that stand still without a process.

    Their id is that of the plan. A program that runs or is frozen has a run of its own, which is
    listed instead.
    """
    return [_run(wait) for wait in open_waits(home) if _listed(wait)]


def left_words(home: Path) -> list[str]:
    """A line for each plan that nobody carries out any more, though it is not done."""
    return [
        f"{safe_text(wait.plan_id)}: nobody waits for it now"
        f"  → submeter run --resume-plan {safe_text(wait.plan_id)}"
        for wait in open_waits(home)
        if not wait.locked
    ]


def _listed(wait: Wait) -> bool:
    return wait.state.status == "waiting" or (wait.state.status == "paused" and not wait.locked)


def _run(wait: Wait) -> Run:
    status: Status = "paused" if wait.state.status == "paused" else "waiting"
    asked = datetime.fromtimestamp(wait.order.asked_s, UTC)
    return Run(
        id=wait.plan_id,
        origin="measured",
        status=status,
        started_utc=f"{asked:%Y-%m-%dT%H:%M:%SZ}",
        duration_s=0.0,
        name=wait.order.name,
        command=wait.order.command,
        project=wait.order.project or "",
        tags=dict(wait.order.tags),
        plan=wait.plan_id,
    )
