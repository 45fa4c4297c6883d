# SPDX-License-Identifier: Apache-2.0
"""The bars of what a run amounts to: carbon, water, hardware, money. `make bars` prints them."""

import importlib
import json
import math
import re
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks import budgets, laws, offline
from benchmarks.outcomes import ROOT, Bar, Options, Outcome, absent, have, run_tests
from submeter.errors import SubmeterError, UsageError
from submeter.records.amounts import Amount
from submeter.records.devices import Device, DeviceKind
from submeter.records.figures import Basis, ErrorTerm, Missing, Quantity
from submeter.records.footprints import Footprint
from submeter.records.runs import DeviceEnergy, Run, Series

INTERVAL_RATIO = 0.05
FOOTPRINT_S = 0.2
SUMMARY_S = 0.15
CATALOG_BYTES = 4_000_000
SUM_RATIO = 1e-9
EXAMPLES = {"transformer", "bloom", "llama", "gpt3-water", "olmo2"}
COUNTRIES, REGIONS, ACCELERATORS = 200, 140, 300
ROOMS = ("circumstances", "grid", "catalog", "accounting", "providers")


def intervals(options: Options) -> Outcome:
    del options
    if not have("numpy"):
        return absent("numpy is not installed")
    found = importlib.import_module("benchmarks.intervals")
    rows = found.rows()
    worst = max(rows, key=lambda row: row.worst)
    figure = (
        f"{found.FOOTPRINTS} footprints, {len(rows)} figures, {found.DRAWS:,} draws each: the "
        f"worst end is off by {100 * worst.worst:.2f} % of the width (≤ 5), {worst.name}"
    )
    return Outcome(figure, worst.worst <= INTERVAL_RATIO)


def identities(options: Options) -> Outcome:
    del options
    named = {law: laws.tests_of(law) for law in laws.LAWS}
    told = ", ".join(f"{len(ids)} {law}" for law, ids in named.items())
    missing = [law for law, ids in named.items() if not ids]
    tally = run_tests(sorted({i for ids in named.values() for i in ids}))
    if missing or tally is None:
        return Outcome(f"no property says {', '.join(missing) or 'anything'}", False)
    whole = sum(1 for _ in laws.properties())
    return Outcome(f"{told}; of {whole} properties {tally.outcome.figure}", tally.outcome.cleared)


def published(options: Options) -> Outcome:
    runs = importlib.import_module("benchmarks.published")
    rows = runs.published()
    lost = [row.key for row in rows if not runs.reckoned_t(row).meets(row.printed_t)]
    figure = f"{len(rows) - len(lost)} of {len(rows)} within the rounding of their inputs"
    if lost:
        figure += f"; not {', '.join(lost)}"
    try:
        others = runs.not_in_table(options.data)
    except FileNotFoundError as exc:
        return Outcome(f"{figure} (list not compared: no {exc.filename})", not lost)
    if others:
        figure += f"; {'; '.join(others)}"
    return Outcome(figure, not lost and not others)


def examples(options: Options) -> Outcome:
    del options
    found = importlib.import_module("benchmarks.examples")
    said, other = set(), []
    for page in found.pages():
        text = page.read_text(encoding="utf-8")
        with found.alone():
            now = found.executed(text)
        said.add(page.stem)
        if now != text:
            other.append(page.stem)
    figure = f"{len(said) - len(other)} of {len(said)} print what stands on their page"
    lost = sorted(EXAMPLES - said)
    if other or lost:
        figure += f"; stale: {', '.join(other) or 'none'}; absent: {', '.join(lost) or 'none'}"
    return Outcome(figure, not other and not lost)


# --- names --------------------------------------------------------------------------------------


def told(what: str, misses: Iterable[str], total: int, least: int) -> Outcome:
    """How many of *total* things are found under all of their names."""
    lost = list(misses)  # each begins with what was not found
    figure = f"{total - len({m.split()[0] for m in lost})} of {total} {what} (at least {least})"
    if lost:
        figure += f"; not {'; '.join(lost[:5])}"
    return Outcome(figure, not lost and total >= least)


def leads(word: str, key: str, country: str) -> str:
    """How *word*, a name of the place *key*, leads there; "" if it does not.

    A name that several places have is refused with them named, and one that is also that of its
    country, or of a part of it, means that: Oregon is a state before it is a provider's region.
    """
    from submeter.catalog.regions import find_zone

    try:
        found = find_zone(word)
    except UsageError as exc:
        named = re.split(r"[ ,;]+", f"{exc} {exc.remedy}")
        parts = [w for w in named if country and w.startswith(f"{country}-")]
        return "shared" if key in named or parts else ""
    except SubmeterError:
        return ""
    if key in {found.cloud, "" if found.cloud else found.code}:
        return "alone"
    return "country" if found.country == country and not found.cloud else ""


def countries(options: Options) -> Outcome:
    del options
    from submeter.catalog.tables import rows

    names = {row["key"]: row for row in rows("place_names") if row["alpha3"]}
    grid = sorted({row["key"] for row in rows("grid") if len(row["key"]) == 2})
    lost, shared = [], []
    for code in grid:
        row = names[code]
        codes = (code, code.lower(), row["alpha3"], row["alpha3"].lower())
        lost += [f"{code} by {w!r}" for w in codes if leads(w, code, "") != "alone"][:1]
        how = leads(row["name"], code, "")
        lost += [] if how else [f"{code} by {row['name']!r}"]
        shared += [row["name"]] if how == "shared" else []
    made = told(
        "countries of the grid table by code, alpha-3 and name", lost, len(grid), COUNTRIES
    )
    alike = f"; asks which is meant: {', '.join(shared)}" if shared else ""
    return Outcome(made.figure + alike, made.cleared)


def clouds(options: Options) -> Outcome:
    del options
    from submeter.catalog.tables import rows

    regions = rows("cloud_regions")
    ids = [row["region"] for row in regions]
    lost = []
    ways: Counter[str] = Counter()
    for row in regions:
        key = row["key"]
        words = [key, key.upper(), key.replace("/", ":")]
        words += [row["region"]] if ids.count(row["region"]) == 1 else []
        lost += [f"{key} by {w!r}" for w in words if leads(w, key, "") != "alone"][:1]
        for word in {row["location"], *filter(None, row["aliases"].split(";"))}:
            how = leads(word, key, row["country"])
            ways[how] += 1
            lost += [] if how else [f"{key} by {word!r}"]
    made = told("cloud regions by key, id and alias", lost, len(regions), REGIONS)
    figure = (
        f"{made.figure}; of {ways.total()} locations and aliases {ways['alone']} lead to the "
        f"region, {ways['country']} to its country or state, {ways['shared']} ask which is meant"
    )
    return Outcome(figure, made.cleared)


def accelerators(options: Options) -> Outcome:
    del options
    from submeter.catalog.accelerators import match_accelerator
    from submeter.catalog.tables import rows

    known = rows("accelerators")
    lost = []
    for row in known:
        names = [row["key"], row["name"], *filter(None, row["aliases"].split(";"))]
        names += [alias["alias"] for alias in rows("device_names") if alias["key"] == row["key"]]
        for name in names:
            try:
                found = match_accelerator(name).key
            except SubmeterError as exc:
                found = str(exc)
            if found != row["key"]:
                lost.append(f"{row['key']} by {name!r}: {found}")
                break
    return told("accelerators by key, name and alias", lost, len(known), ACCELERATORS)


# --- what it costs ------------------------------------------------------------------------------


def a_day(options: Options) -> Outcome:
    del options
    zones = ("DE", "US-CAL-CISO", "aws/us-west-2", "52.5,13.4")
    costs = [budgets.footprint_cost(zone) for zone in zones]
    first, later = max(c.first_s for c in costs), max(c.next_s for c in costs)
    figure = (
        f"{1e3 * first:.0f} ms of CPU time (≤ 200) for the first in a process, which opens the "
        f"tables, {1e3 * later:.0f} ms for the next; the slowest of {len(zones)} places"
    )
    return Outcome(figure, first <= FOOTPRINT_S)


def ending(options: Options) -> Outcome:
    del options
    with tempfile.TemporaryDirectory() as home:
        cost_s = budgets.summary_cpu_s(Path(home))
    return Outcome(f"{1e3 * cost_s:.0f} ms of CPU time (≤ 150)", cost_s <= SUMMARY_S)


OPENED = """
import json, sys
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
import importlib
importlib.import_module(sys.argv[1])
print(json.dumps([path for path in opened if not path.endswith((".py", ".pyc", ".so"))]))
"""


def no_table(options: Options) -> Outcome:
    del options
    env = budgets.environment()
    told, bad = [], []
    for room in ROOMS:
        modules = [f"submeter.{room}"]
        modules += [
            f"submeter.{room}.{path.stem}"
            for path in sorted((budgets.SRC / "submeter" / room).glob("*.py"))
            if path.stem != "__init__"
        ]
        for module in modules:
            opened = json.loads(budgets.python(OPENED, env=env, arguments=[module]))
            data = [path for path in opened if "/submeter/" in path and "/data/" in path]
            bad += [f"{module}: {Path(path).name}" for path in data]
        told.append(f"{room} ({len(modules)})")
    figure = f"{len(bad)} tables opened by importing each module of {', '.join(told)}"
    return Outcome(f"{figure}{'; ' if bad else ''}{', '.join(bad[:5])}", not bad)


def catalog_size(options: Options) -> Outcome:
    del options
    if not have("hatchling"):
        return absent("hatchling is not installed")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            data = [
                i for i in archive.infolist() if i.filename.startswith("submeter/catalog/data/")
            ]
        whole_bytes = wheel.stat().st_size
    size_bytes, packed_bytes = sum(i.file_size for i in data), sum(i.compress_size for i in data)
    figure = (
        f"{size_bytes / 1e6:.2f} MB (≤ 4) in {len(data)} files, {packed_bytes / 1e6:.2f} MB of a "
        f"wheel of {whole_bytes / 1e6:.2f} MB"
    )
    return Outcome(figure, size_bytes <= CATALOG_BYTES)


# --- sums ---------------------------------------------------------------------------------------


def an_hour(zone: str) -> Run:
    """A run of two boards, a processor and the rest of the node in *zone*."""
    parts = [(f"gpu:{i}", DeviceKind.GPU, "NVIDIA H100 80GB HBM3") for i in range(2)]
    parts += [("cpu:0", DeviceKind.CPU, "Xeon"), ("rest:box", DeviceKind.REST, "rest")]
    energies = {
        i: Quantity.of(9e5, basis=Basis.MEASURED, terms=(ErrorTerm(i, 0.03),)) for i, _, _ in parts
    }
    return Run(
        "20261120-100000-abcd", "measured", "finished", "2026-11-20T10:00:00Z", 3600.0,
        devices=tuple(
            DeviceEnergy(Device(i, kind, name, "box"), energies[i], energies[i])
            for i, kind, name in parts
        ),
        series=Series(600.0, {"gpu:0": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}),
        place={"zone": zone},
    )  # fmt: skip


def gaps(made: Footprint) -> Iterator[float]:
    """How far each sum of a footprint is from its whole, as a ratio."""
    carbon, water = made.carbon, made.water
    for whole, parts in (
        (made.facility, [made.it, *made.parts.values()]),
        (carbon.location, [carbon.direct, carbon.upstream, carbon.loss]),
        (_plus(carbon.location, carbon.embodied), list(carbon.scopes.values())),
        (_plus(carbon.market, carbon.embodied), list(carbon.market_scopes.values())),
        (water.onsite_withdrawal, [water.onsite, water.discharge]),
    ):
        if isinstance(whole, Missing) or any(isinstance(p, Missing) for p in parts):
            continue
        total = math.fsum(p.value for p in parts if isinstance(p, Amount))
        value = whole.value if isinstance(whole, Amount) else whole
        yield abs(total - value) / value if value else abs(total)
    if made.doubts:
        yield abs(math.fsum(d.share_ratio for d in made.doubts) - 1)


def _plus(a: Amount | Missing, b: Amount | Missing) -> float | Missing:
    if isinstance(a, Missing):
        return a
    return a.value + (0.0 if isinstance(b, Missing) else b.value)


def sums(options: Options) -> Outcome:
    del options
    from submeter.catalog.regions import gazetteer
    from submeter.circumstances.reckoning import reckon

    places = (*gazetteer().codes, *gazetteer().clouds)
    count, worst, where = 0, 0.0, ""
    for zone in places:
        for gap in gaps(reckon(an_hour(zone))):
            count += 1
            if gap > worst:
                worst, where = gap, zone
    figure = f"{count} sums in {len(places)} places, the largest gap {worst:.1e} (≤ 1e-9)"
    return Outcome(f"{figure}{f' in {where}' if where else ''}", worst <= SUM_RATIO)


def no_network(options: Options) -> Outcome:
    del options
    why = offline.why_not()
    if why:
        return absent(f"no empty network namespace can be made here: {why}")
    tally = run_tests(offline.FOLDERS, under=offline.inside())
    if tally is None:
        return Outcome("the tests could not be run in an empty namespace", False)
    return tally.outcome


BARS = (
    Bar("closed form against Monte-Carlo: both ends within 5 % of the width", intervals),
    Bar("energy × factor: its laws hold as properties", identities),
    Bar("published runs reproduce their tonnes", published),
    Bar("worked examples of published runs are executed", examples),
    Bar("every country resolves", countries),
    Bar("cloud regions resolve", clouds),
    Bar("accelerators resolve", accelerators),
    Bar("full footprint of a day at 1 Hz with 8 boards", a_day),
    Bar("the summary at the end of `submeter run`, cold", ending),
    Bar("importing a room opens no table", no_table),
    Bar("catalog in the wheel", catalog_size),
    Bar("the parts sum to the whole", sums),
    Bar("the tests of this part pass without a network", no_network),
)
