# SPDX-License-Identifier: Apache-2.0
"""Power limits and batch sizes replayed on measured curves: docs/power-limit.md.

    python benchmarks/power_limit.py POWER.csv TRAIN.csv [--json]

POWER has dataset, network, batch_size, optimizer, power_limit [W], time_per_epoch [s] and
average_power [W]; TRAIN has dataset, network, batch_size, optimizer, learning_rate, run,
target_metric and target_epoch (empty or nan where the target was not reached).

Each job is worked off under the search of `submeter.reducing.limits`, which pays for its windows,
and set against the highest limit and against an oracle that knew the curve from the start.
"""

import argparse
import csv
import json
import math
import random
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # called by its path
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from submeter.reducing import limits, recurring  # noqa: E402

HOST_SHARES: Final = (0.2, 0.3, 0.5)
SLOWDOWNS: Final = (0.0, 0.05, 0.10)
SEEDS: Final = 20
PAGE: Final = ROOT / "docs" / "power-limit.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
USUAL_EPOCHS: Final = 20.0  # of a job whose file of epochs does not know it
Key = tuple[str, str, str, int]  # dataset, network, optimizer, batch size


class Published(NamedTuple):
    """Target and batch size that a job is published with."""

    target: float
    batch: int


# You et al., Zeus, NSDI 2023: table 1 and section 6.1 (the defaults and targets of each job)
PUBLISHED: Final = {
    "cifar100": Published(0.60, 1024),
    "imagenet": Published(0.50, 256),
    "librispeech": Published(40.0, 192),
    "movielens-1m": Published(0.41, 1024),
    "sentiment140": Published(0.84, 128),
    "squad": Published(84.0, 32),
}


class Job(NamedTuple):
    """One configuration: its curve over limits, and epochs to the target by seed."""

    key: Key
    curve: tuple[limits.Window, ...]  # per epoch
    epochs: tuple[float, ...]  # by seed; nan where the target was not reached

    @property
    def full(self) -> limits.Window:
        return max(self.curve, key=lambda w: w.limit_w)


def read(power: Path, train: Path) -> list[Job]:
    """Jobs that both files know."""
    curves: dict[Key, list[limits.Window]] = defaultdict(list)
    for row in _rows(power):
        key = (row["dataset"], row["network"], row["optimizer"], int(row["batch_size"]))
        window = limits.Window(
            float(row["power_limit"]), float(row["time_per_epoch"]), float(row["average_power"])
        )
        curves[key].append(window)
    reached = _epochs(train)
    return [
        Job(key, tuple(sorted(curve, key=lambda w: w.limit_w)), reached.get(key, ()))
        for key, curve in sorted(curves.items())
    ]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _epochs(train: Path) -> dict[Key, tuple[float, ...]]:
    """Epochs to the target by seed: the published target, else the hardest that half reach."""
    rows: dict[tuple[str, str, str], dict[float, dict[int, list[float]]]] = {}
    for row in _rows(train):
        job = (row["dataset"], row["network"], row["optimizer"])
        epoch = float(row["target_epoch"] or "nan")
        targets = rows.setdefault(job, {})
        batches = targets.setdefault(float(row["target_metric"]), {})
        batches.setdefault(int(row["batch_size"]), []).append(epoch)
    found: dict[Key, tuple[float, ...]] = {}
    for job, targets in rows.items():
        target = PUBLISHED.get(job[0], Published(math.nan, 0)).target
        if target not in targets:
            target = _hardest(targets)
        for batch, epochs in targets[target].items():
            found[(*job, batch)] = tuple(epochs)
    return found


def _hardest(targets: dict[float, dict[int, list[float]]]) -> float:
    """The target that takes longest among those that half of all batch sizes always reach."""
    batches = max(len(by_batch) for by_batch in targets.values())

    def takes(target: float) -> float:
        done = [statistics.median(e) for e in targets[target].values() if _all_reached(e)]
        return statistics.median(done) if len(done) >= batches / 2 else -1.0

    return max(targets, key=takes)


def _all_reached(epochs: Iterable[float]) -> bool:
    return all(map(math.isfinite, epochs))


class Replayed(NamedTuple):
    """Node energies of one job [J] and how long it took [s]."""

    searched_j: float
    oracle_j: float
    full_j: float
    searched_s: float
    full_s: float


def replay(job: Job, host_share: float, slowdown: float, epochs: float) -> Replayed:
    """Work *job* off for *epochs* under the search, under the highest limit, and by the oracle."""
    full = job.full
    host_w = full.board_w * host_share / (1 - host_share)
    oracle = limits.best(job.curve, host_w=host_w, max_slowdown_ratio=slowdown)
    by_limit = {w.limit_w: w for w in job.curve}
    search = limits.Search(by_limit, host_w=host_w, max_slowdown_ratio=slowdown)
    left, energy_j, time_s = epochs, 0.0, 0.0
    each_s = limits.window_s(full.time_s * epochs)
    while left > 0:
        here = by_limit[search.limit_w]
        part = left if search.state == "settled" else min(left, each_s / here.time_s)
        left -= part
        energy_j += part * here.node_energy_j(host_w)
        time_s += part * here.time_s
        if search.state == "profiling":
            search.measured(here)
    return Replayed(
        energy_j,
        epochs * oracle.node_energy_j(host_w),
        epochs * full.node_energy_j(host_w),
        time_s,
        epochs * full.time_s,
    )


def limit_rows(jobs: Sequence[Job]) -> list[dict[str, float | None]]:
    """One row for each host share and slow-down: what was recovered of the oracle's saving."""
    usable = [(job, lasts(job, jobs)) for job in jobs]
    rows: list[dict[str, float | None]] = []
    for share in HOST_SHARES:
        for slowdown in SLOWDOWNS:
            done = [replay(job, share, slowdown, epochs) for job, epochs in usable]
            saved = [1 - r.searched_j / r.full_j for r in done]
            possible = [1 - r.oracle_j / r.full_j for r in done]
            slower = [r.searched_s / r.full_s - 1 for r in done]
            rows.append(
                {
                    "host_share": share,
                    "max_slowdown_ratio": slowdown,
                    "jobs": len(done),
                    "oracle_saving_ratio": statistics.fmean(possible),
                    "saving_ratio": statistics.fmean(saved),
                    "recovered_ratio": sum(saved) / sum(possible) if sum(possible) else None,
                    "worst_job_ratio": min(saved),
                    "worst_slowdown_ratio": max(slower),
                }
            )
    return rows


def lasts(job: Job, jobs: Sequence[Job]) -> float:
    """Epochs that *job* lasts: its own median, else that of its family."""
    own = [e for e in job.epochs if math.isfinite(e)]
    kin = [e for j in jobs if j.key[:3] == job.key[:3] for e in j.epochs if math.isfinite(e)]
    return statistics.median(own or kin or [USUAL_EPOCHS])


def families(jobs: Iterable[Job]) -> dict[tuple[str, str, str], list[Job]]:
    """Jobs by data set, network and optimiser: the batch sizes that a recurring job may have."""
    found: dict[tuple[str, str, str], list[Job]] = defaultdict(list)
    for job in jobs:
        if job.epochs:
            found[job.key[:3]].append(job)
    return {k: v for k, v in found.items() if len(v) > 1}


def default_of(family: Sequence[Job]) -> Job:
    """The published batch size, else the largest that always reaches the target."""
    published = PUBLISHED.get(family[0].key[0], Published(math.nan, 0)).batch
    found = next((j for j in family if j.key[3] == published and _all_reached(j.epochs)), None)
    reached = [j for j in family if _all_reached(j.epochs)]
    return found or max(reached, key=lambda j: j.key[3])


class Recurred(NamedTuple):
    """Mean node energy of a recurrence [J]."""

    learnt_j: float
    default_j: float
    optimum_j: float


def recur(family: Sequence[Job], host_share: float, seed: int) -> Recurred:
    """Run a job again and again, batch size and limit being learnt on the way."""
    default = default_of(family)
    host_w = default.full.board_w * host_share / (1 - host_share)
    by_batch = {j.key[3]: j for j in family}
    chance = random.Random(seed)  # noqa: S311
    chooser = recurring.Recurring(list(by_batch), default.key[3], seed=seed)
    times = 2 * len(family) * len(default.curve)  # as published
    per_epoch_j = {
        b: limits.best(j.curve, host_w=host_w, max_slowdown_ratio=math.inf).node_energy_j(host_w)
        for b, j in by_batch.items()
    }
    profiled: set[int] = set()
    total_j = 0.0
    for _ in range(times):
        choice = chooser.next()
        job = by_batch[choice.batch]
        epochs = chance.choice(job.epochs)
        cost_j = epochs * per_epoch_j[choice.batch]
        if choice.batch not in profiled and math.isfinite(epochs):
            cost_j += _profiling_j(job, host_w, epochs)
            profiled.add(choice.batch)
        reached = math.isfinite(cost_j) and cost_j <= choice.abandon_at_j
        if not reached:  # given up, and done again with what is known to work
            again = by_batch[chooser.best]
            finite = [e for e in again.epochs if math.isfinite(e)]
            redo_j = chance.choice(finite) * per_epoch_j[again.key[3]]
            total_j += min(choice.abandon_at_j, cost_j if math.isfinite(cost_j) else math.inf)
            total_j += redo_j
        else:
            total_j += cost_j
        chooser.took(choice.batch, cost_j, reached=reached)
    feasible = [j for j in family if _all_reached(j.epochs)]
    optimum = min(statistics.fmean(j.epochs) * per_epoch_j[j.key[3]] for j in feasible)
    full_j = statistics.fmean(default.epochs) * default.full.node_energy_j(host_w)
    return Recurred(total_j / times, full_j, optimum)


def _profiling_j(job: Job, host_w: float, epochs: float) -> float:
    """What the windows of a first run cost more than working under the best limit at once."""
    each_s = limits.window_s(job.full.time_s * epochs)
    least = limits.best(job.curve, host_w=host_w, max_slowdown_ratio=math.inf)
    return math.fsum(
        min(epochs, each_s / w.time_s) * (w.node_energy_j(host_w) - least.node_energy_j(host_w))
        for w in job.curve
    )


def recurring_rows(jobs: Sequence[Job]) -> list[dict[str, float | str | None]]:
    """One row for each job and host share: what was recovered of the joint optimum."""
    rows: list[dict[str, float | str | None]] = []
    for share in (0.0, *HOST_SHARES):
        for key, family in families(jobs).items():
            done = [recur(family, share, seed) for seed in range(SEEDS)]
            possible = 1 - done[0].optimum_j / done[0].default_j
            saved = statistics.fmean(1 - r.learnt_j / r.default_j for r in done)
            rows.append(
                {
                    "job": "/".join(key[:2]),
                    "host_share": share,
                    "optimum_saving_ratio": possible,
                    "saving_ratio": saved,
                    "recovered_ratio": saved / possible if possible > 0 else None,
                }
            )
    return rows


def document(power: Path, train: Path) -> dict[str, object]:
    """All rows, and the figures that the bars ask for."""
    jobs = read(power, train)
    if not jobs:
        raise SystemExit(f"{power}: no row that can be read")
    by_limit, by_job = limit_rows(jobs), recurring_rows(jobs)
    boards = [r["recovered_ratio"] for r in by_job if r["host_share"] == 0.0]
    known = [float(r) for r in boards if r is not None]
    recovered = [r["recovered_ratio"] for r in by_limit if r["recovered_ratio"] is not None]
    return {
        "power_limit": by_limit,
        "recurring": by_job,
        "recovered_ratio": min(recovered, default=None),
        "worst_job_ratio": min(r["worst_job_ratio"] or 0.0 for r in by_limit),
        "recurring_recovered_ratio": statistics.fmean(known) if known else None,
    }


def _told(ratio: float | None) -> str:
    return "nothing to save" if ratio is None else f"{ratio:.1%}"


def tables(found: dict[str, object]) -> str:
    """The rows as Markdown."""
    limit: list[dict[str, float]] = found["power_limit"]  # type: ignore[assignment]
    again: list[dict[str, float]] = found["recurring"]  # type: ignore[assignment]
    lines = [
        f"{limit[0]['jobs']} configurations; the search pays for its windows:",
        "",
        "| host's share of the node | slow-down allowed | oracle saves | search saves | of the "
        "oracle's | worst job |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {r['host_share']:.0%} | {r['max_slowdown_ratio']:.0%} | "
        f"{r['oracle_saving_ratio']:.2%} | {r['saving_ratio']:.2%} | "
        f"{_told(r['recovered_ratio'])} | {r['worst_job_ratio']:+.3%} |"
        for r in limit
    ]
    lines += [
        "",
        f"Recurring jobs, batch size and limit together, mean of {SEEDS} seeds:",
        "",
        "| job | host's share | optimum saves | learnt | of the optimum |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {r['job']} | {r['host_share']:.0%} | {r['optimum_saving_ratio']:.1%} | "
        f"{r['saving_ratio']:.1%} | {_told(r['recovered_ratio'])} |"
        for r in again
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Power limits and batch sizes on known curves.")
    parser.add_argument("power", type=Path, nargs="?")
    parser.add_argument("train", type=Path, nargs="?")
    parser.add_argument("--data", type=Path, help="folder of tables; writes docs/power-limit.md")
    parser.add_argument("--json", action="store_true", dest="as_json")
    options = parser.parse_args()
    if options.data is not None:
        traces = options.data.parent / "truth" / "traces"
        options.power = traces / "zeus_summary_power_v100.csv"
        options.train = traces / "zeus_summary_train.csv"
    if options.power is None or options.train is None:
        print("left as it is: no curves were given (POWER.csv TRAIN.csv, or --data DIR)")
        return 0
    found = document(options.power, options.train)
    if options.data is not None:
        page = PAGE.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{BEGIN}\n\n{tables(found)}\n\n{END}{after}", encoding="utf-8")
    print(json.dumps(found, indent=2) if options.as_json else tables(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
