# SPDX-License-Identifier: Apache-2.0
"""A fleet's plan as a person reads it, and in JSON."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from submeter.reporting.numbers import write_ratio
from submeter.reporting.text import cut, fitted, plain

if TYPE_CHECKING:
    from submeter.planning.fleets import Fleet, FleetPlan, Placed

SCHEMA: Final = 1
_MOST: Final = 40  # rows of jobs on a terminal
UNITS: Final[Mapping[str, str]] = {"carbon": "gCO2e", "cost": "of the price's currency"}


def fleet_text(fleet: "Fleet", plan: "FleetPlan", objective: str, width: int) -> str:
    """What is planned: the sum first, then sites, then jobs, none wider than *width*."""
    unit = UNITS.get(objective, "weighted")
    energy_kwh = sum(float(p.energy_kwh.sum()) for p in plan.placed)
    above = f"{100 * plan.gap_ratio:.2f} %"
    late = " (time was up)" if plan.late else ""
    lines = [
        f"{len(plan.placed)} jobs on {len(fleet.sites)} sites",
        f"  {objective:9} {_number(plan.cost)} {unit}, at most {above} above the least possible"
        + late,
        f"  energy    {energy_kwh:,.4g} kWh of the jobs, before losses of the facilities",
        "",
    ]
    lines += fitted(_sites(fleet, plan), width, right=(1, 2, 3), spare=(3,))[0]
    lines.append("")
    rows: list[tuple[str, ...]] = [("job", "site", "from (UTC)", "to", "slices", "kWh")]
    rows += [_row(placed) for placed in plan.placed[:_MOST]]
    lines += fitted(rows, width, right=(4, 5), spare=(4, 5))[0]
    if len(plan.placed) > _MOST:
        lines.append(f"… and {len(plan.placed) - _MOST} more; all of them with --json")
    lines += [cut(f"no place: {plain(name)}", width) for name in plan.unplaced]
    return "\n".join(lines)


def fleet_document(fleet: "Fleet", plan: "FleetPlan", objective: str) -> dict[str, object]:
    """JSON words of *plan*."""
    return {
        "schema": SCHEMA,
        "objective": objective,
        "start_utc": _iso(fleet.start_s),
        "step_s": fleet.step_s,
        "cost": plan.cost,
        "bound": plan.bound,
        "gap_ratio": plan.gap_ratio,
        "rounds": plan.rounds,
        "columns": plan.columns,
        "late": plan.late,
        "unplaced": list(plan.unplaced),
        "jobs": [
            {
                "job": p.job,
                "site": p.site,
                "cost": p.cost,
                "energy_kwh": float(p.energy_kwh.sum()),
                "slices": [
                    {"start_utc": _iso(s.start_s), "end_utc": _iso(s.end_s)} for s in p.slices
                ],
            }
            for p in plan.placed
        ],
    }


def _sites(fleet: "Fleet", plan: "FleetPlan") -> Sequence[Sequence[str]]:
    rows = [("site", "jobs", "kWh", "fullest slot")]
    for site in fleet.sites:
        here = [p for p in plan.placed if p.site == site.name]
        fullest = "no limit"
        if site.capacity_kw is not None:
            used = [0.0] * fleet.slots
            for placed in here:
                for slot, kw in zip(placed.slots.tolist(), placed.power_kw.tolist(), strict=True):
                    used[slot] += kw
            shares = [u / c for u, c in zip(used, site.capacity_kw.tolist(), strict=True) if c > 0]
            fullest = write_ratio(max(shares, default=0.0))
        energy_kwh = sum(float(p.energy_kwh.sum()) for p in here)
        rows.append((plain(site.name, width=24), str(len(here)), f"{energy_kwh:,.4g}", fullest))
    return rows


def _row(placed: "Placed") -> tuple[str, ...]:
    begin, end = placed.slices[0].start_s, placed.slices[-1].end_s
    return (
        plain(placed.job, width=24),
        plain(placed.site, width=16),
        f"{datetime.fromtimestamp(begin, UTC):%a %d %b %H:%M}",
        f"{datetime.fromtimestamp(end, UTC):%a %d %b %H:%M}",
        str(len(placed.slices)),
        f"{float(placed.energy_kwh.sum()):.4g}",
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"  # noqa: PLR2004


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat()
