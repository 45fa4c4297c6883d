# SPDX-License-Identifier: Apache-2.0
"""Each bar that this version has to clear, with its figure: `make bars`.

    python -m benchmarks.bars [--data DIR] [--clone] [--part meter|amounts|counting|proving]

First what is metered, then what it amounts to (benchmarks/bars_amounts.py). A bar is cleared (+),
missed (!) or not measured here (?), and then it says which input is absent.
"""

import argparse
import csv
import importlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import (
    bars_amounts,
    bars_counting,
    bars_probing,
    bars_proving,
    bars_techniques,
    bars_what_if,
    budgets,
    faults,
)
from benchmarks.outcomes import ROOT, Bar, Options, Outcome, absent, have, tests


def clone(options: Options) -> Outcome:
    """Both commands in a fresh clone with a space in its name and nothing cached."""
    if not options.clone:
        return absent("about ten minutes; say --clone")
    with tempfile.TemporaryDirectory(prefix="submeter bars ") as folder:
        place = Path(folder) / "a clone"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(place)], check=True)
        env = {k: v for k, v in os.environ.items() if not k.startswith(("VIRTUAL_", "PYTHON"))}
        env |= {"PIP_NO_CACHE_DIR": "1", "HOME": folder}
        took_s = {}
        for target in ("demo", "test"):
            start_s = time.monotonic()
            done = subprocess.run(
                ["make", target], cwd=place, env=env, capture_output=True, text=True, check=False
            )
            took_s[target] = time.monotonic() - start_s
            if done.returncode:
                return Outcome(
                    f"make {target} failed: {done.stdout[-300:]}{done.stderr[-300:]}", False
                )
        figure = f"demo {took_s['demo']:.0f} s (≤ 180), test {took_s['test']:.0f} s (≤ 900)"
        return Outcome(figure, took_s["demo"] <= 180 and took_s["test"] <= 900)


def worst(rows: list[Any], *, error: float, bound: float) -> Outcome:
    """The worst of rows of benchmarks/accuracy.py."""
    most = max(abs(r.error) for r in rows)
    widest = max(r.bound for r in rows)
    held = sum(r.holds for r in rows)
    figure = (
        f"error ≤ {100 * most:.3f} %, bound ≤ {100 * widest:.2f} %, "
        f"truth inside {held} of {len(rows)}"
    )
    return Outcome(figure, most <= error and widest <= bound and held == len(rows))


def machine_rows(kind: str) -> list[Any]:
    """Rows of one table of benchmarks/accuracy.py, made once."""
    if kind not in ROWS:
        module = importlib.import_module("benchmarks.accuracy")
        ROWS[kind] = list(getattr(module, f"{kind}_rows")())
    return ROWS[kind]


ROWS: dict[str, list[Any]] = {}


def zones(options: Options) -> Outcome:
    del options
    rows = [r for r in machine_rows("counter") if r.device.startswith("RAPL")]
    return worst(rows, error=0.001, bound=0.002)


def board_counters(length_s: float) -> Callable[[Options], Outcome]:
    def take(options: Options) -> Outcome:
        del options
        rows = [
            r
            for r in machine_rows("counter")
            if not r.device.startswith("RAPL") and r.length_s == length_s
        ]
        return worst(rows, error=0.001, bound=0.002)

    return take


def polled(options: Options) -> Outcome:
    del options
    return worst(machine_rows("polled"), error=0.02, bound=0.04)


def through_faults(options: Options) -> Outcome:
    del options
    return worst(machine_rows("fault"), error=float("inf"), bound=float("inf"))


def gain(options: Options) -> Outcome:
    del options
    ratio = importlib.import_module("benchmarks.accuracy").coverage(1000, 1)
    return Outcome(f"{100 * ratio:.1f} % of 1000 truths inside", 0.93 <= ratio <= 0.97)


def processor_models(options: Options) -> Outcome:
    page = ROOT / "docs" / "accuracy-cpu.md"
    if not page.is_file():
        return absent("docs/accuracy-cpu.md is not in this checkout")
    rows = re.findall(
        r"^\| (package|wall, [a-z ]+) \| [^|]+ \| \d+ \| (\d+) % \| [^|]+ \| ([\d.]+) \| (\d+) %",
        page.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    if not rows:
        return Outcome("docs/accuracy-cpu.md has no table of the two models", False)
    told = "; ".join(f"{n}: median error {e} %, width {w}, held {h} %" for n, e, w, h in rows)
    good = all(float(w) <= 4 and int(h) >= 90 for _, _, w, h in rows)
    good &= all(int(e) <= 20 for name, e, _, _ in rows if name.startswith("wall"))
    given = options.data.is_dir()
    again = "" if given else f"  (as written; not fitted again: no folder {options.data})"
    return Outcome(told + again, good)


def importing(options: Options) -> Outcome:
    del options
    cost_s = budgets.import_cpu_s()
    heavy = sorted(budgets.modules_after("import submeter") & budgets.HEAVY)
    loaded = f", loads {', '.join(heavy)}" if heavy else ""
    return Outcome(
        f"{1e3 * cost_s:.1f} ms of CPU time (≤ 30){loaded}", cost_s <= 0.03 and not heavy
    )


def phases(options: Options) -> Outcome:
    del options
    if not have("submeter.interfaces.program"):
        return absent("submeter.interfaces.program is not in this checkout")
    with tempfile.TemporaryDirectory() as home:
        cost = budgets.phase_cost(Path(home))
    figure = f"{cost.in_run_us:.1f} µs (≤ 20); without a run {cost.without_run_us:.1f} µs"
    return Outcome(figure, cost.in_run_us <= 20)


def blocking(options: Options) -> Outcome:
    del options
    if not have("submeter.interfaces.program"):
        return absent("submeter.interfaces.program is not in this checkout")
    with tempfile.TemporaryDirectory() as home:
        best = budgets.start_and_stop(Path(home))
    figure = f"start {1e3 * best.start_s:.0f} ms (≤ 100), stop {1e3 * best.stop_s:.0f} ms (≤ 50)"
    return Outcome(figure, best.start_s <= 0.1 and best.stop_s <= 0.05)


def collector(options: Options) -> Outcome:
    del options
    if not have("submeter.testing.machine", "submeter.running.collectors"):
        return absent("submeter.testing.machine or running.collectors is not in this checkout")
    loads = {}
    with tempfile.TemporaryDirectory() as folder:
        for hertz in (10, 1):
            place = Path(folder) / str(hertz)
            with (
                budgets.budget_machine(place / "machine") as machine,
                budgets.collecting(machine, place / "home", interval_s=1 / hertz) as pid,
            ):
                loads[hertz] = budgets.load_of(pid, interval_s=1 / hertz, watch_s=10.0)
    resident_mib = max(load.resident_bytes for load in loads.values()) / 2**20
    figure = (
        f"{100 * loads[10].own_ratio:.2f} % of a core at 10 Hz (≤ 0.5) beside "
        f"{100 * loads[10].waking_ratio:.2f} % that this machine charges for waking alone, "
        f"{100 * loads[1].own_ratio:.3f} % at 1 Hz (≤ 0.1) beside "
        f"{100 * loads[1].waking_ratio:.3f} %, {resident_mib:.0f} MiB (≤ 40)"
    )
    good = loads[10].own_ratio <= 0.005 and loads[1].own_ratio <= 0.001
    return Outcome(figure, good and resident_mib <= 40)


def slow_down(options: Options) -> Outcome:
    del options
    if not have("submeter.interfaces.program"):
        return absent("submeter.interfaces.program is not in this checkout")
    if not have("sklearn"):
        return absent("scikit-learn is not installed")
    found = importlib.import_module("benchmarks.overhead").measured_on_digits(
        pairs=80, block_s=0.3
    )
    return Outcome(str(found), found.wall.low_ratio <= 0.005 and found.cpu.low_ratio <= 0.005)


def boards(options: Options) -> Outcome:
    del options
    pages = sorted(p for p in (ROOT / "docs" / "measured").glob("*.md") if p.name != "README.md")
    if not pages:
        return absent("no board at hand; `make gpu-check` on a machine with one")
    return Outcome(", ".join(p.stem for p in pages), True)


def published_runs(options: Options) -> Outcome:
    bench = importlib.import_module("benchmarks.published")
    rows = bench.published()
    held = sum(bench.reckoned_t(row).meets(row.printed_t) for row in rows)
    figure = f"{held} of {len(rows)} inside what the rounding of their figures allows"
    if not bench.has_open_runs(options.data):
        return Outcome(f"{figure} (list not compared: no open runs beside it)", held == len(rows))
    lost = bench.not_in_table(options.data)
    return Outcome("; ".join((figure, *lost)), held == len(rows) and not lost)


def worked_examples(options: Options) -> Outcome:
    del options
    bench = importlib.import_module("benchmarks.examples")
    with bench.alone():
        same = [bench.executed(text) == text for text in map(bench.text_of, bench.pages())]
    return Outcome(f"{sum(same)} of {len(same)} print what they say", all(same) and len(same) >= 5)


def fault_ids(options: Options) -> Outcome:
    count, lacking = faults.named_after(), faults.untested()
    here = len(faults.THIS_PART) - len(lacking)
    figure = f"{here} of {len(faults.THIS_PART)} ids, {sum(count.values())} tests"
    if lacking:
        figure += f"; none for {', '.join(lacking)}"
    table = options.data.parent / "design" / "faults.csv"
    if not table.is_file():
        return Outcome(f"{figure} (list not compared: no {table})", not lacking)
    with table.open(encoding="utf-8", newline="") as stream:
        known = {row["id"] for row in csv.DictReader(stream) if row["id"][0] in "ABCDEG"}
    forgotten = sorted(known - faults.THIS_PART - faults.LATER.keys())
    if forgotten:
        figure += f"; not sorted: {', '.join(forgotten)}"
    return Outcome(figure, not lacking and not forgotten)


METER = (
    Bar("both commands pass in a fresh clone", clone),
    Bar("RAPL, 10 s: error ≤ 0.1 %, bound ≤ 0.2 % and true", zones),
    Bar("boards' counters, 10 s: the same", board_counters(10.0)),
    Bar("boards' counters, 60 s: the same", board_counters(60.0)),
    Bar("boards' counters, 120 s: the same", board_counters(120.0)),
    Bar("boards' counters, 600 s: the same", board_counters(600.0)),
    Bar("polled boards: error ≤ 2 %, bound ≤ 4 % and true", polled),
    Bar("resets, jumps, freezes, lost boards: the bound holds the truth", through_faults),
    Bar("with the gain drawn from its spread, 95 % intervals hold 93 to 97 %", gain),
    Bar("processor models: wall error ≤ 20 %, 95 % intervals hold ≥ 90 %", processor_models),
    Bar(
        "kill -9 of trainer, collector, both; journals torn and flipped anywhere",
        tests("c01 or c02 or c03 or c06 or c08 or d07"),
    ),
    Bar("import submeter", importing),
    Bar("a phase, entered and left", phases),
    Bar("start and stop block the caller", blocking),
    Bar("collector, one board and two zones", collector),
    Bar("a training step is not slowed down", slow_down),
    Bar("checked on a real board", boards),
    Bar("published runs reproduce their tonnes from energy, PUE and intensity", published_runs),
    Bar("five worked examples of published runs are executed", worked_examples),
    Bar("each fault of this part has a test", fault_ids),
    Bar("elsewhere than on Linux everything imports", tests("elsewhere or linux or platform")),
    Bar("migrations of the ledger keep a backup", tests("backup or migrat")),
    Bar(
        "bad input gets an error, a remedy and its exit code",
        tests("error or exit_code or e01 or e02"),
    ),
)
PARTS = {
    "meter": METER,
    "amounts": bars_amounts.BARS,
    "counting": bars_counting.BARS,
    "what-if": bars_what_if.BARS,
    "proving": bars_proving.BARS,
    "techniques": bars_techniques.BARS,
    "probing": bars_probing.BARS,
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Print each bar with its figure.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--clone", action="store_true", help="also try both commands in a clone")
    parser.add_argument("--part", choices=sorted(PARTS), help="only the bars of this part")
    given = parser.parse_args()
    options = Options(given.data.resolve(), given.clone)
    bars = [bar for name in ([given.part] if given.part else PARTS) for bar in PARTS[name]]
    missed = 0
    for bar in bars:
        try:
            outcome = bar.take(options)
        except Exception as exc:  # noqa: BLE001  # one bar that breaks must not hide the others
            outcome = Outcome(f"{type(exc).__name__}: {exc}", False)
        missed += outcome.cleared is False
        sign = {True: "+", False: "!", None: "?"}[outcome.cleared]
        print(f"{sign} {bar.text}\n    {outcome.figure}", flush=True)
    print(f"{missed} of {len(bars)} bars missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
