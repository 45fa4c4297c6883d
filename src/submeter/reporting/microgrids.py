# SPDX-License-Identifier: Apache-2.0
"""What panels, battery and grid do for a job, as a person reads it, and in JSON."""

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Final

from submeter.reporting.series import blocks
from submeter.reporting.text import table

if TYPE_CHECKING:
    from submeter.planning.microgrids import Account, Dispatch, Supply

SCHEMA: Final = 1
_WIDTH: Final = 64
_NO_PRICE: Final = "no price was given"


def dispatch_text(
    supply: "Supply", made: "Dispatch", clock: str, place: str, *, priced: bool = True
) -> str:
    """When the job works, and what the plan amounts to beside starting at once.

    What is not there (panels, a battery, a price) has no line.
    """
    from zoneinfo import ZoneInfo

    zone: tzinfo = ZoneInfo(clock) if clock else UTC
    lines = [f"panels, battery and grid · {place}"]
    for begin_s, end_s in _stretches(supply, made.work[0].tolist()):
        begin, end = (datetime.fromtimestamp(s, zone) for s in (begin_s, end_s))
        lines.append(f"  work      {begin:%a %d %b %H:%M} – {end:%a %d %b %H:%M}")
    for word, series in (
        ("sun", made.flows.solar_kw), ("load", made.flows.load_kw),
        ("bought", made.flows.bought_kw), ("battery", made.flows.stored_kwh),
    ):  # fmt: skip
        if series.any():
            lines.append(f"  {word:9} {blocks(series.tolist(), _WIDTH)}")
    planned, at_once = made.account, made.at_once
    absent = set() if priced else {"cost"}
    absent |= set() if made.capacity_kwh else {"lost in the battery", "battery's wear, apart"}
    absent |= set() if supply.solar_kw.any() else {"sold", "curtailed", "own use of the sun"}
    rows = [("", "planned", "at once")]
    rows += [
        (f"  {word}", _cell(a, unit), _cell(b, unit))
        for word, unit, a, b in (
            ("carbon", "g", planned.carbon_g, at_once.carbon_g),
            ("cost", "", planned.cost, at_once.cost),
            ("bought", "kWh", planned.bought_kwh, at_once.bought_kwh),
            ("sold", "kWh", planned.sold_kwh, at_once.sold_kwh),
            ("curtailed", "kWh", planned.curtailed_kwh, at_once.curtailed_kwh),
            ("lost in the battery", "kWh", planned.lost_kwh, at_once.lost_kwh),
            ("own use of the sun", "%", planned.self_consumption_ratio,
             at_once.self_consumption_ratio),
            ("own share of the load", "%", planned.self_sufficiency_ratio,
             at_once.self_sufficiency_ratio),
            ("battery's wear, apart", "g", planned.wear_g, at_once.wear_g),
        )
        if word not in absent
    ]  # fmt: skip
    lines += ["", *table(rows, right=(1, 2))]
    if not priced:
        lines.append(f"cost is not known: {_NO_PRICE} (--price 0.31)")
    lines.append("carbon of the grid's hours by profile; sun under an average sky: a model, no")
    lines.append("forecast of the weather. At once: sun first, then the battery, then the grid.")
    return "\n".join(lines)


def dispatch_document(
    supply: "Supply", made: "Dispatch", *, priced: bool = True
) -> dict[str, object]:
    """JSON words of a dispatch."""
    flows = made.flows
    return {
        "schema": SCHEMA,
        "start_utc": datetime.fromtimestamp(supply.start_s, UTC).isoformat(),
        "step_s": supply.step_s,
        "battery_kwh": made.capacity_kwh,
        "planned": _words(made.account, priced=priced),
        "at_once": _words(made.at_once, priced=priced),
        "work": [row.tolist() for row in made.work],
        "flows": {
            name: getattr(flows, name).tolist()
            for name in (
                "solar_kw", "load_kw", "into_kw", "out_kw", "bought_kw", "sold_kw",
                "curtailed_kw", "stored_kwh",
            )
        },
    }  # fmt: skip


def _words(account: "Account", *, priced: bool) -> dict[str, object]:
    from dataclasses import fields

    found = {field.name: getattr(account, field.name) for field in fields(account)}
    found["cost"] = account.cost if priced else None
    why = {
        "self_consumption_ratio": "no sun",
        "self_sufficiency_ratio": "no load",
        "cost": _NO_PRICE,
    }
    return {k: {"missing": why[k]} if v is None else v for k, v in found.items()}


def _stretches(supply: "Supply", work: Sequence[float]) -> list[tuple[float, float]]:
    """Stretches of slots with work [s since 1970 UTC]."""
    found: list[tuple[float, float]] = []
    for slot, share in enumerate(work):
        if share <= 1e-6:  # noqa: PLR2004  # what a solver leaves of zero
            continue
        begin_s = supply.start_s + slot * supply.step_s
        if found and found[-1][1] == begin_s:
            begin_s = found.pop()[0]
        found.append((begin_s, supply.start_s + (slot + 1) * supply.step_s))
    return found


def _cell(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    if unit == "%":
        return f"{100 * value:.0f} %"
    kilo = unit == "g" and abs(value) >= 1000  # noqa: PLR2004
    shown, unit = (value / 1000, "kg") if kilo else (value, unit)
    small = abs(shown) < 5e-4  # noqa: PLR2004  # what a solver leaves of zero
    written = f"{0.0 if small else shown:.4g}"
    return f"{written} {unit}".rstrip()
