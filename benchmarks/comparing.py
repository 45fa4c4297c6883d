# SPDX-License-Identifier: Apache-2.0
"""What comparing costs, how often it errs, and the examples of docs/comparing.md made anew.

    python -m benchmarks.comparing [--costs | --errors | --measure WHAT]

``--measure families`` trains and meters the families of models on this machine (some minutes),
``--measure batches`` a small network at two sizes of batch, three times each; their runs are kept
in benchmarks/data/{model_families,compared_batches}.jsonl, from which the page is made.
"""

import argparse
import csv
import itertools
import json
import math
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.what_if import environment
from submeter.accounting.boundaries import footprint
from submeter.catalog import fitted
from submeter.comparing.differences import Change
from submeter.comparing.families import TAG
from submeter.comparing.runs import Column, compare_columns
from submeter.records.devices import Device, DeviceKind
from submeter.records.figures import Basis, ErrorTerm, Quantity
from submeter.records.runs import DeviceEnergy, Host, MetricPoint, PhaseEnergy, Run, Series
from submeter.storing.documents import decode_run, encode_run
from submeter.storing.ledger import open_ledger

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "comparing.md"
KEPT = ROOT / "benchmarks" / "data" / "model_families.jsonl"
KEPT_BATCHES = ROOT / "benchmarks" / "data" / "compared_batches.jsonl"
POWERS = ROOT / "benchmarks" / "data" / "cpu_package_power.csv"
BEGIN, END = "<!-- begin: benchmarks/comparing.py -->", "<!-- end: benchmarks/comparing.py -->"
TWENTY = 20
PAIRS = 2000
SD = 0.03  # of each meter's gain
SEED = 20261124
BOARD = "NVIDIA A100-SXM4-80GB"
HOST = "a-virtual-machine"
BATCHES = tuple(f"batch{size}-{seed}" for size in (64, 256) for seed in (1, 2, 3))
EXAMPLES = (
    ("Two runs", ("digits-linear", "digits-trees")),
    ("Where in them", ("digits-linear", "digits-trees", "--by", "phase")),
    ("Many runs", tuple(f"cancer-{f}" for f in ("linear", "neighbours", "trees", "boosting",
                                                "support", "network"))),
    ("Repetitions", (*BATCHES, "--by", "batch")),
    ("The same work", (BATCHES[0], BATCHES[3], "--same-work")),
    ("Beside a published training", ("digits-boosting", "--published", "BLOOM")),
    ("Families of models", ("--models",)),
    ("The same work over hardware", ("--hardware", "v100,a100,h100,tpu-v4,cpu,neuromorphic",
                                     "--work", "params=7B tokens=2T zone=SE count=512")),
)  # fmt: skip


class Spent(NamedTuple):
    """What one process took."""

    wall_s: float
    processor_s: float
    out: str


def submeter(home: Path, *arguments: str) -> Spent:
    """Run ``submeter`` on *home* in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "submeter", *arguments],
        env=environment(str(home)), cwd=home, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(time.monotonic() - begun_s, used_s, done.stdout)


# --- what it costs ------------------------------------------------------------------------------


def a_run(number: int, *, energy_j: float, gain_sd_ratio: float = SD, host: str = "box") -> Run:
    """A run of four boards with a learning curve, phases and power over time."""

    def metered(value: float, key: str) -> Quantity:
        terms = (ErrorTerm(key, gain_sd_ratio),)
        return Quantity.of(value, basis=Basis.MEASURED, terms=terms, source="energy counter")

    def row(ident: str, kind: DeviceKind, share: Quantity) -> DeviceEnergy:
        name = BOARD if kind is DeviceKind.GPU else ident
        return DeviceEnergy(Device(ident, kind, name, host), share, share, method="counter")

    boards = tuple(
        row(f"gpu:GPU-{host}-{i}", DeviceKind.GPU, metered(energy_j / 5, f"nvml-gain:{host}-{i}"))
        for i in range(4)
    )
    others = (
        row("cpu:0", DeviceKind.CPU, metered(0.15 * energy_j, "rapl-package")),
        row(f"rest:{host}", DeviceKind.REST, metered(0.05 * energy_j, "rest-model")),
    )
    return Run(
        id=f"20261124-{10 + number // 60:02}{number % 60:02}00-{number:04x}",
        name=f"run-{number}",
        origin="measured",
        status="finished",
        exit_code=0,
        started_utc=f"2026-11-24T{10 + number // 60:02}:{number % 60:02}:00Z",
        duration_s=3600.0,
        command=("python", "train.py", "--lr", f"{0.01 * (number + 1):g}", "--batch", "256"),
        tags={"data": "imagenet", "lr": f"{0.01 * (number + 1):g}"},
        hosts=(Host(host, {"cpu_model": "a processor", "vcpus": "64"}),),
        devices=(*boards, *others),
        phases=tuple(
            PhaseEnergy(f"epoch/{name}", 90, 360.0, metered(energy_j / 10, "rapl-package"))
            for name in "abcdefghij"
        ),
        metrics={"accuracy": 0.7 + 0.001 * number, "loss": 1.2},
        metric_history=tuple(MetricPoint(1.8 * i, {"loss": 5 / (i + 1)}, i) for i in range(2000)),
        work={"samples": 1.2e8},
        series=Series(1.0, {b.device.id: [energy_j / 5 / 3600] * 3600 for b in boards}),
        place={"zone": "DE", "zone_from": "argument"},
        interval_s=0.1,
    )  # fmt: skip


def costs(tries: int = 3) -> dict[str, Spent]:
    """Least that a comparison of twenty runs takes, as a whole process."""
    asked = {
        "a table": (),
        "JSON": ("--json",),
        "by phase": ("--by", "phase"),
        "the same work": ("--same-work",),
    }
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with open_ledger(home / "ledger.db") as ledger:
            for i in range(TWENTY):
                ledger.put(a_run(i, energy_j=1e6 * (1 + 0.05 * i)))
        names = [f"run-{i}" for i in range(TWENTY)]
        return {
            name: min(
                (submeter(home, "compare", *names, *words) for _ in range(tries)),
                key=lambda s: s.processor_s,
            )
            for name, words in asked.items()
        }


# --- how often it errs --------------------------------------------------------------------------


class Errors(NamedTuple):
    """Of pairs of runs on two machines, with a true ratio of their energies."""

    true_ratio: float
    held: float  # part of the intervals that hold it
    found: float  # part in which a difference is said to be there, with the right sign


def errors(count: int = PAIRS) -> list[Errors]:
    """Simulated pairs of machines whose meters each have a gain of their own."""
    chance = random.Random(SEED)  # noqa: S311  # of a simulation
    sd = SD * math.sqrt(2) * _weight()
    shifts = (0.0, 1.0, 1.959964, 1.959964 + 0.841621, 1.959964 + 1.644854)
    return [_errors(math.exp(shift * sd), count, chance) for shift in shifts]


def _weight() -> float:
    """How much the gains of one machine move its energy, over that of one gain."""
    return math.sqrt(4 * 0.2**2 + 0.15**2 + 0.05**2)


def _errors(true: float, count: int, chance: random.Random) -> Errors:
    held = found = 0
    for _ in range(count):
        before, after = (
            _as_read(a_run(i, energy_j=1e6 * ratio, host=host), chance)
            for i, (ratio, host) in enumerate(((1.0, "here"), (true, "there")))
        )
        made = compare_columns([before, after])
        change = made.rows[0].changes[1]
        assert isinstance(change, Change)
        held += change.ratio_low <= true <= change.ratio_high
        found += change.ratio_low > 1 if true > 1 else change.distinguishable
    return Errors(true, held / count, found / count)


def _as_read(run: Run, chance: random.Random) -> Column:
    """What meters with gains of their own say of *run*."""
    devices = []
    for row in run.devices:
        assert isinstance(row.share, Quantity)
        read = row.share.scaled(math.exp(SD * chance.gauss(0, 1)))
        devices.append(msgspec.structs.replace(row, share=read, drawn=read))
    bare = msgspec.structs.replace(run, devices=tuple(devices), series=None, metric_history=())
    return Column(run.name, (bare,), (footprint(bare, 1.0),))


# --- models of processors at two loads -----------------------------------------------------------


def model_slope() -> float:
    """How far ratios of powers at two loads are from the model's, over the model's logarithm.

    Root mean square over machines, of all pairs of loads in one series of
    ``cpu_package_power.csv``: the doubt that `submeter.comparing.runs.MODEL_SLOPE` stands for.
    """
    idle, dynamic, exponent = (
        fitted(f"cpu-package-{name}").value for name in ("idle-ratio", "dynamic-ratio", "exponent")
    )
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with POWERS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["use"] == "fit":
                load, power_w = float(row["load_ratio"]), float(row["power_w"])
                model = math.log(float(row["tdp_w"]) * (idle + dynamic * load**exponent))
                place = found.setdefault((row["machine"], row["series"]), [])
                place.append((model, math.log(power_w)))
    squares: dict[str, list[tuple[float, float]]] = {}
    for (machine, _), points in found.items():
        for (model, log_w), (other, other_log_w) in itertools.combinations(points, 2):
            step = other - model
            off = other_log_w - log_w - step
            squares.setdefault(machine, []).append((off * off, step * step))
    ratios = [
        math.fsum(off for off, _ in rows) / math.fsum(step for _, step in rows)
        for rows in squares.values()
    ]
    return math.sqrt(math.fsum(ratios) / len(ratios))


# --- families of models -------------------------------------------------------------------------


def measure(what: str) -> None:
    """Train and meter here, and keep the runs without what names the machine."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if what == "families":
            print(submeter(home, "compare", "--models").out)
        else:
            for name in BATCHES:
                size, seed = name.removeprefix("batch").split("-")
                train = ("--batch", size, "--seed", seed, "--threads", "1")
                submeter(
                    home, "run", "--quiet", "--name", name, "--tag", "data=digits", "--",
                    sys.executable, str(ROOT / "examples" / "digits_cnn.py"), *train,
                )  # fmt: skip
        with open_ledger(home / "ledger.db") as ledger:
            runs = [ledger.get(row.id) for row in ledger.list()]
    path = KEPT if what == "families" else KEPT_BATCHES
    with path.open("w", encoding="utf-8") as file:
        for run in sorted(runs, key=lambda r: r.id):
            file.write(encode_run(_plain(run)).decode() + "\n")


def _plain(run: Run) -> Run:
    """*run* as it may be shown: without names of machine, user and folders."""
    told = ("cpu_model", "vcpus", "memory_bytes", "virtualisation", "os")
    machine = {k: v for k, v in run.hosts[0].machine.items() if k in told}
    name = run.hosts[0].name

    def row(one: DeviceEnergy) -> DeviceEnergy:
        device = msgspec.structs.replace(
            one.device, id=one.device.id.replace(name, HOST), host=HOST,
            name=one.device.name.replace(name, HOST),
        )  # fmt: skip
        return msgspec.structs.replace(one, device=device)

    phases = tuple(
        msgspec.structs.replace(
            p, devices={d.replace(name, HOST): value for d, value in p.devices.items()}
        )
        for p in run.phases
    )
    series = run.series
    if series is not None:
        named = {d.replace(name, HOST): joules for d, joules in series.devices.items()}
        series = msgspec.structs.replace(series, devices=named)
    words = [word.rpartition("/")[2] if word.startswith("/") else word for word in run.command[1:]]
    return msgspec.structs.replace(
        run, user="", hosts=(Host(HOST, machine),), command=("python", *words),
        devices=tuple(map(row, run.devices)), phases=phases, code={}, series=series, ranks=(),
    )  # fmt: skip


def kept(*paths: Path) -> list[Run]:
    """Runs that were metered, from the tables; those of families if none is named."""
    lines = [line for path in paths or (KEPT,) for line in path.read_text("utf-8").splitlines()]
    return [decode_run(line.encode()) for line in lines]


def families_words() -> str:
    """What ``compare --models`` says of the kept runs."""
    from submeter.comparing.families import FULL, Result, result_of
    from submeter.reporting.families import families_words

    found = [result_of(run) for run in kept() if run.tags.get(TAG) == FULL.word]
    return families_words([r for r in found if isinstance(r, Result)], FULL, (), 80)


# --- the page -----------------------------------------------------------------------------------


def examples() -> str:
    """Commands and what they print, as Markdown."""
    parts = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with open_ledger(home / "ledger.db") as ledger:
            for run in kept(KEPT, KEPT_BATCHES):
                ledger.put(run)
        for title, arguments in EXAMPLES:
            words = " ".join(f'"{a}"' if "," in a or " " in a else a for a in arguments)
            models = "--models" in arguments
            out = families_words() if models else submeter(home, "compare", *arguments).out
            parts.append(f"### {title}\n\n```\n$ submeter compare {words}\n{out.rstrip()}\n```\n")
    return "\n".join(parts)


def errors_table(rows: Sequence[Errors]) -> str:
    """How often it errs, as Markdown."""
    lines = [
        "### How often it errs",
        "",
        f"Two machines, each with six meters whose gains are off by {SD:.0%} (one standard "
        "deviation) independently;",
        f"{PAIRS} simulated pairs of runs for each true ratio (`python -m benchmarks.comparing`).",
        "",
        "| true ratio | intervals that hold it | said to differ |",
        "| ---: | ---: | ---: |",
        *(f"| {r.true_ratio:.3f} | {r.held:.1%} | {r.found:.1%} |" for r in rows),
        "",
    ]
    return "\n".join(line.replace("%", " %") for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Examples of docs/comparing.md, and costs.")
    parser.add_argument("--costs", action="store_true", help="print what comparisons cost instead")
    parser.add_argument("--errors", action="store_true", help="print how often they err instead")
    parser.add_argument("--measure", choices=("families", "batches"), help="meter anew first")
    options = parser.parse_args()
    if options.costs:
        print(json.dumps({n: [s.wall_s, s.processor_s] for n, s in costs().items()}, indent=2))
        return
    if options.errors:
        print(errors_table(errors()))
        return
    if options.measure:
        measure(options.measure)
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    made = f"{errors_table(errors())}\n{examples()}"
    PAGE.write_text(f"{head}{BEGIN}\n\n{made}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
