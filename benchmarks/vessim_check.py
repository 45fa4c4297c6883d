# SPDX-License-Identifier: Apache-2.0
"""The rule of thumb of `submeter.planning.microgrids` against Vessim on the same traces.

Vessim is no dependency: ``python -m benchmarks.vessim_check --vessim PYTHON`` runs it in the
interpreter PYTHON that has it (``pip install vessim==0.16.0`` in an environment of its own).
Battery without losses, since Vessim's simple one has none; sun first, then battery, then grid.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.outcomes import ROOT
from submeter.grid.microgrid import clear_sky_w_per_m2
from submeter.planning.microgrids import Battery, Floats, Supply, account, rule_of_thumb

PAGE = ROOT / "docs" / "microgrid.md"
BEGIN, END = "<!-- made by benchmarks/vessim_check.py: begin -->", "<!-- end of vessim_check -->"
CAPACITY_KWH, C_RATE, CHARGED = 20.0, 0.5, 0.3
THEIRS = """
import json, sys
import pandas as pd
import vessim as vs
given = json.load(open(sys.argv[1]))
index = pd.date_range("2024-06-10", periods=len(given["solar"]) + 1, freq="h")
def trace(values):
    series = pd.Series([1000 * v for v in [*values, values[-1]]], index=index)
    return vs.Trace(series, anchor="2024-06-10 00:00:00")
grid = vs.Environment(sim_start="2024-06-10 00:00:00", step_size=3600)
battery = vs.SimpleBattery("battery", capacity=1000 * given["capacity_kwh"],
                           initial_soc=given["charged"], c_rate=given["c_rate"])
grid.add_microgrid(
    actors=[
        vs.Producer("solar", trace(given["solar"])), vs.Consumer("load", trace(given["load"])),
    ],
    dispatchables=[battery, vs.GridConnection()], name="site",
)
recorder = vs.Recorder()
grid.add_controller(recorder)
grid.run(until=3600 * len(given["solar"]))
rows = [state["site"] for _, state in sorted(recorder.log.items())]
json.dump({
    "grid": [row["p_grid"] / 1000 for row in rows],
    "battery": [row["dispatch_states"]["battery"]["current_power"] / 1000 for row in rows],
}, open(sys.argv[2], "w"))
"""


def supply_of(days: int) -> Supply:
    """Sun of Berlin in June under clouds that come and go; a load that a training makes."""
    rng = np.random.default_rng(0)
    start_s = 1717977600.0  # 2024-06-10 00:00 UTC
    hours = np.arange(24 * days)
    sky = np.array([clear_sky_w_per_m2(start_s + (h + 0.5) * 3600, 52.5, 13.4) for h in hours])
    cover = np.clip(0.5 + np.cumsum(rng.normal(0, 0.15, len(hours))), 0, 1)
    solar_kw: Floats = 10 * 0.8 / 1000 * sky * (1 - 0.75 * cover**3.4)
    busy = rng.random(len(hours)).cumsum() % 7 < 3
    load_kw = np.where(busy, 3.2, 0.4).astype(np.float64)
    flat = np.ones(len(hours), dtype=np.float64)
    return Supply(start_s, 3600.0, solar_kw, 300 * flat, 0.3 * flat, 0.08 * flat, load_kw)


def theirs(python: str, supply: Supply) -> dict[str, list[float]]:
    """Flows by Vessim [kW]."""
    with tempfile.TemporaryDirectory() as folder:
        given, told = Path(folder) / "given.json", Path(folder) / "told.json"
        given.write_text(
            json.dumps({
                "solar": supply.solar_kw.tolist(), "load": supply.load_kw.tolist(),
                "capacity_kwh": CAPACITY_KWH, "c_rate": C_RATE, "charged": CHARGED,
            }),
            encoding="utf-8",
        )  # fmt: skip
        subprocess.run([python, "-c", THEIRS, str(given), str(told)], check=True)
        made: dict[str, list[float]] = json.loads(told.read_text(encoding="utf-8"))
        return made


def compared(python: str, days: int = 14) -> tuple[str, float]:
    """A table in Markdown, and the largest difference of any hour [kW]."""
    supply = supply_of(days)
    battery = Battery(
        CAPACITY_KWH, CAPACITY_KWH * C_RATE, efficiency_ratio=1.0,
        self_discharge_ratio_per_day=0.0, charged_ratio=CHARGED,
    )  # fmt: skip
    ours = rule_of_thumb(supply, battery, supply.load_kw)
    other = theirs(python, supply)
    grid, stored = np.array(other["grid"]), np.array(other["battery"])
    rows = {
        "bought": (
            account(ours, supply, battery).bought_kwh, float(np.clip(-grid, 0, None).sum()),
        ),
        "sold or curtailed": (
            float((ours.sold_kw + ours.curtailed_kw).sum()), float(np.clip(grid, 0, None).sum()),
        ),
        "into the battery": (float(ours.into_kw.sum()), float(np.clip(stored, 0, None).sum())),
        "out of the battery": (float(ours.out_kw.sum()), float(np.clip(-stored, 0, None).sum())),
    }  # fmt: skip
    ours_grid = ours.sold_kw + ours.curtailed_kw - ours.bought_kw
    worst = max(
        float(np.abs(ours_grid - grid).max()),
        float(np.abs(ours.into_kw - ours.out_kw - stored).max()),
    )
    lines = [
        f"{days} days of hours, 10 kW of panels in Berlin in June, 20 kWh of battery:",
        "",
        "| energy | submeter | Vessim 0.16.0 |",
        "| --- | --- | --- |",
        *(f"| {name} | {a:.3f} kWh | {b:.3f} kWh |" for name, (a, b) in rows.items()),
        "",
        f"The largest difference of any flow in any hour is {1e3 * worst:.1g} W.",
    ]
    return "\n".join(lines), worst


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare energy flows with Vessim.")
    parser.add_argument("--vessim", required=True, help="interpreter that has vessim 0.16.0")
    parser.add_argument("--write", action="store_true", help="put the table into the page")
    options = parser.parse_args()
    made, worst = compared(options.vessim)
    print(made)
    if options.write:
        text = PAGE.read_text(encoding="utf-8")
        head, rest = text.split(BEGIN)
        PAGE.write_text(f"{head}{BEGIN}\n{made}\n{END}{rest.split(END, 1)[1]}", encoding="utf-8")
    assert worst < 1e-6, worst


if __name__ == "__main__":
    main()
