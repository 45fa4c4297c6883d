# SPDX-License-Identifier: Apache-2.0
"""Plans and orders for the tests of carrying them out."""

from collections.abc import Sequence
from typing import Any

from submeter.records.figures import Missing
from submeter.records.plans import Job, Plan, Slice
from submeter.storing.waits import Order

H = 3600.0
T0 = 1_790_000_000.0  # an ordinary day; what VirtualClock begins with


def plan_of(
    slices: Sequence[tuple[float, float]],
    *,
    duration_s: float | None = None,
    base_s: float = T0,
    ident: str = "plan-20260921-000000-beef",
    zones: Sequence[str] = (),
    **job: Any,
) -> Plan:
    """Plan with *slices* given in seconds after *base_s*; the job fills them unless said."""
    length_s = sum(b - a for a, b in slices) if duration_s is None else duration_s
    spans = tuple(
        Slice(base_s + a, base_s + b, zones[i] if zones else "DE")
        for i, (a, b) in enumerate(slices)
    )
    end_s = max((s.end_s for s in spans), default=base_s)
    return Plan(
        id=ident,
        made_s=base_s,
        job=Job(
            duration_s=length_s,
            earliest_s=base_s,
            deadline_s=end_s,
            **{"interruptible": True, **job},
        ),
        zone="DE",
        signal="average",
        objective="carbon",
        slices=spans,
        expected_saving=Missing("made by a test"),
    )


def order_of(plan: Plan, *command: str, **more: Any) -> Order:
    return Order(
        plan=plan, command=command or ("true",), folder="/", asked_s=plan.made_s,
        name="test", **more,
    )  # fmt: skip
