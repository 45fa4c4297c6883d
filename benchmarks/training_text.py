# SPDX-License-Identifier: Apache-2.0
"""Tables of docs/estimating.md, from the fits and the scores of what they had not seen."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import training_data
from benchmarks.training_spread import CALIBRATIONS
from submeter.estimating.machines import machine_of
from submeter.estimating.priors import Priors, Traits, balance
from submeter.estimating.published_rows import LIMIT, read
from submeter.estimating.validating import Report, Scored, Summary, validate
from submeter.records.factors import NORMAL_95, Factor

if TYPE_CHECKING:
    from benchmarks.fit_training import Fit, Run

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "estimating.md"
START, END = (
    "<!-- begin: benchmarks/fit_training.py -->",
    "<!-- end: benchmarks/fit_training.py -->",
)
NORMAL_90 = 1.644854
# The bars: median error, and width in the median.
MOST_ERROR = {"description": 0.30, "device-hours": 0.12}
MOST_WIDTH = 4.0


def without(
    fit: Callable[..., Fit], runs: Sequence[Run], what: str, how: str = CALIBRATIONS[0]
) -> Callable[[str], Priors]:
    """Priors that never saw runs of one laboratory, or of one hardware."""

    @cache
    def held_out(group: str) -> Priors:
        return fit([run for run in runs if getattr(run, what) != group], how).priors

    return held_out


def score(
    rows: Sequence[dict[str, str]], runs: Sequence[Run], what: str, how: str = CALIBRATIONS[0]
) -> Report:
    """Score published *rows*, each by priors that never saw its laboratory (or hardware)."""
    from benchmarks.fit_training import fit

    held_out = without(fit, runs, what, how)

    def priors(row: object) -> Priors:
        assert isinstance(row, dict)
        if what == "lab":
            return held_out(row["lab"])
        machine = read(row).machine
        return held_out(machine.accelerator.key if machine else "")

    return validate(rows, priors=priors, cluster=lambda row: row["lab"])


def write(found: Fit, runs: Sequence[Run]) -> None:
    """Put the tables between the marks of docs/estimating.md."""
    rows = training_data.table(training_data.ROWS)
    by_lab, by_hardware = score(rows, runs, "lab"), score(rows, runs, "hardware")
    parts = [
        *_coefficients(found),
        *_between(found),
        *_coverage(by_lab, by_hardware),
        *_bars(by_lab),
        *_variants(rows, runs),
        *_unsaid(rows, runs),
        *_by_hardware(by_lab),
        *_steps(runs),
        *_llmcarbon(runs),
        *_each(by_lab),
        *_excluded(by_lab),
    ]
    text = PAGE.read_text(encoding="utf-8")
    head, tail = text[: text.index(START)], text[text.index(END) :]
    PAGE.write_text(f"{head}{START}\n\n" + "\n".join(parts) + f"\n{tail}", encoding="utf-8")


def _table(head: str, lines: list[str]) -> list[str]:
    columns = head.count("|") - 1
    return [head, "|" + " --- |" * columns, *lines, ""]


def _percent(ratio: float, *, signed: bool = False) -> str:
    text = f"{100 * ratio:+.0f} %" if signed else f"{100 * ratio:.0f} %"
    return text.replace("-", "−")


def _coefficients(found: Fit) -> list[str]:
    lines = []
    for name, model in (
        ("utilisation", found.utilisation), ("1 / utilisation on images", found.images),
        ("power ratio", found.power),
        ("node ratio", found.node),
    ):  # fmt: skip
        labs = {run.lab for run, _, _ in model.residuals}
        terms = ", ".join(
            f"{n} {v:+.3f}" for n, v in zip(model.names, model.values, strict=True)
        ).replace("-", "−")
        sds = ", ".join(
            f"{n.removeprefix('log-sd').removeprefix('-') or 'all'} {v:.2f}"
            for n, v in model.sds.items() if n.startswith("log-sd")
        )  # fmt: skip
        lines.append(f"| {name} | {len(model.residuals) // 2} | {len(labs)} | {terms} | {sds} |")
    return ["### Coefficients", "", *_table(
        "| model | configurations | laboratories | coefficients | spread of the logarithm |",
        lines,
    )]  # fmt: skip


def between(residuals: Sequence[tuple[Run, str, float]]) -> tuple[int, float, float]:
    """Laboratories, and the deviation of their means and of runs within one.

    Of residuals of runs whose laboratory was left out: no description tells the first apart.
    """
    labs: dict[str, list[float]] = defaultdict(list)
    for run, scheme, error in residuals:
        if scheme == "lab":
            labs[run.lab].append(error)
    means = [statistics.fmean(errors) for errors in labs.values()]
    within = [statistics.pstdev(errors) for errors in labs.values() if len(errors) > 1]
    return len(labs), math.sqrt(statistics.fmean(m * m for m in means)), statistics.fmean(within)


def _between(found: Fit) -> list[str]:
    lines = []
    for name, model in (
        ("utilisation of language models", found.utilisation),
        ("utilisation of networks on images", found.images),
        ("power ratio", found.power),
    ):
        labs, among, within = between(model.residuals)
        # Two sides of 90 %, were this all the doubt there is.
        factor = math.exp(2 * NORMAL_90 * among)
        lines.append(f"| {name} | {labs} | {among:.2f} | {within:.2f} | {factor:.1f} |")
    return ["### What laboratories differ by, and no description tells", "", *_table(
        "| of | laboratories | between them (log) | within one (log) "
        "| 90 % interval of this alone, high over low |", lines
    )]  # fmt: skip


def _coverage(by_lab: Report, by_hardware: Report) -> list[str]:
    lines = [
        _summary(scheme, one)
        for scheme, report in (("laboratory", by_lab), ("hardware", by_hardware))
        for one in report.overall
    ]
    return ["### Errors and coverage of 90 % intervals on what was held out", "", *_table(
        "| held out | quantity | given | rows | labs | median error | held "
        "| 95 % interval of that | binomial p | median width |", lines
    )]  # fmt: skip


def _variants(rows: Sequence[dict[str, str]], runs: Sequence[Run]) -> list[str]:
    lines = [
        _summary(f"*{how}*" if how == CALIBRATIONS[0] else how, one)
        for how in sorted(CALIBRATIONS)
        for one in score(rows, runs, "lab", how).overall
        if one.quantity in ("device energy", "device-hours", "carbon")
    ]
    return ["### The three calibrations, laboratory held out", "", *_table(
        "| calibration | quantity | given | rows | labs | median error | held "
        "| 95 % interval of that | binomial p | median width |", lines
    )]  # fmt: skip


OF_THE_WORK = (
    "model", "params", "active_params", "total_train_flops", "dataset_tokens_or_samples",
    "architecture",
)  # fmt: skip


def hours_alone(rows: Sequence[dict[str, str]], runs: Sequence[Run], what: str) -> Summary:
    """Device energy from hours of which nobody says what they were spent on."""
    plain = [
        row | dict.fromkeys(OF_THE_WORK, "") | {"id": f"run-{i}{_limit(row['id'])}"}
        for i, row in enumerate(rows)
    ]  # fmt: skip
    overall = score(plain, runs, what).overall
    return next(one for one in overall if one.quantity == "device energy")


def _limit(words: str) -> str:
    found = LIMIT.search(words)
    return found[0] if found else ""


def _unsaid(rows: Sequence[dict[str, str]], runs: Sequence[Run]) -> list[str]:
    lines = [
        _summary(words, hours_alone(rows, runs, what))
        for words, what in (("laboratory", "lab"), ("hardware", "hardware"))
    ]
    return ["### Device-hours of work that nobody names", "", *_table(
        "| held out | quantity | given | rows | labs | median error | held "
        "| 95 % interval of that | binomial p | median width |", lines
    )]  # fmt: skip


def _summary(first: str, one: Summary) -> str:
    return (
        f"| {first} | {one.quantity} | {one.given} | {one.count} | {one.clusters} "
        f"| {_percent(one.median_error_ratio)} | {_percent(one.coverage_ratio)} "
        f"| {_percent(one.coverage_low)} … {_percent(one.coverage_high)} "
        f"| {one.p_value:.2g} | {one.median_width_ratio:.1f} |"
    )


def bars(report: Report) -> list[tuple[str, bool, str]]:
    """Each bar of device energy: what it asks, whether it is met, and the figure."""
    found = []
    for one in report.overall:
        if one.quantity != "device energy":
            continue
        most = MOST_ERROR[one.given]
        name = f"device energy from {one.given}"
        found += [
            (f"{name}: median error at most {_percent(most)}", one.median_error_ratio <= most,
             _percent(one.median_error_ratio)),
            (f"{name}: 90 % intervals pass the binomial test", one.passes,
             f"{_percent(one.coverage_ratio)} held, p = {one.p_value:.2g}"),
            (f"{name}: at most a factor of 4 wide", one.median_width_ratio <= MOST_WIDTH,
             f"{one.median_width_ratio:.1f}"),
        ]  # fmt: skip
    return found


def _bars(report: Report) -> list[str]:
    lines = [
        f"| {name} | {figure} | {'met' if met else '**not met**'} |"
        for name, met, figure in bars(report)
    ]
    return ["### Bars", "", *_table("| bar | figure | |", lines)]


def _by_hardware(report: Report) -> list[str]:
    lines = [
        _summary(one.group, one) for one in report.by_hardware if "carbon" not in one.quantity
    ]
    return ["### By hardware, laboratory held out", "", *_table(
        "| hardware | quantity | given | rows | labs | median error | held "
        "| 95 % interval of that | binomial p | median width |", lines
    )]  # fmt: skip


def step_times(runs: Sequence[Run]) -> list[tuple[dict[str, str], float, float, float]]:
    """Each published step with ours, its low and high of 90 % [s], NVIDIA held out."""
    from benchmarks.fit_training import fit

    priors = without(fit, runs, "lab")("NVIDIA")
    found = []
    for row in training_data.table(training_data.HERE / "step_times.csv"):
        machine = machine_of(f"nvidia-a100-sxm4-80gb:{row['devices']}")
        n, width, length = (float(row[k]) for k in ("layers", "width", "sequence"))
        shape = 1 + length / (6 * width) + float(row["vocabulary"]) / (12 * n * width)
        flop = 72 * float(row["batch"]) * length * n * width**2 * shape
        traits = Traits(
            kind="transformer", device_class="datacentre", precision="fp16",
            count=machine.count, active_params=float(row["params"]), steady=True,
            balance=balance(machine, "fp16"),
        )  # fmt: skip
        mfu = priors.utilisation(traits)
        step_s = flop / machine.count / machine.peak_flop_per_s("fp16").value / mfu.value
        reach = _reach(mfu)
        found.append((row, step_s, step_s / reach, step_s * reach))
    return found


def _reach(factor: Factor) -> float:
    return math.exp(math.log(factor.value / factor.low) * NORMAL_90 / NORMAL_95)


def _steps(runs: Sequence[Run]) -> list[str]:
    lines = []
    for row, step_s, low, high in step_times(runs):
        known = float(row["step_s"])
        lines.append(
            f"| {row['model']} | {row['devices']} | {row['recomputation']} | {known:g} "
            f"| {step_s:.3g} ({low:.3g} … {high:.3g}) "
            f"| {_percent(step_s / known - 1, signed=True)} |"
        )
    return [
        "### The eight published steps of Megatron models", "",
        "On A100 80 GB, NVIDIA's runs held out. Calculon, which simulates tensor, pipeline and",
        "data parallelism, is off by 3.7 % in the mean and 8.9 % at most. The prior knows neither",
        "the cut of the model nor what is computed again.", "",
        *_table(
            "| model | devices | recomputation | published [s] | ours, 90 % [s] | error |", lines
        ),
    ]  # fmt: skip


def llmcarbon(runs: Sequence[Run]) -> list[tuple[dict[str, str], float, float, float, float]]:
    """Each of five runs: ours from a description with low and high, and from hours [MWh]."""
    from benchmarks.fit_training import fit

    held_out = without(fit, runs, "lab")
    found = []
    for row in training_data.table(training_data.HERE / "llmcarbon.csv"):
        machine = machine_of(f"{row['hardware']}:{row['devices']}")
        params, active = float(row["params"]), float(row["active_params"])
        traits = Traits(
            kind="transformer", device_class=machine.device_class, precision="fp16",
            count=machine.count, active_params=active, moe=active < 0.9 * params,
            balance=balance(machine, "fp16"),
        )  # fmt: skip
        priors = held_out(row["lab"])
        ratio, node = priors.energy_ratio(traits), priors.node_ratio(traits)
        peak = machine.peak_flop_per_s("fp16").value
        flop, pue = float(row["zetta_flop"]) * 1e21, float(row["pue"])
        mwh = flop / peak * machine.tdp_w.value * ratio.value * node.value * pue / 3.6e9
        seconds = machine.count * float(row["days"]) * 86400
        power = priors.power_ratio(traits, utilisation=flop / seconds / peak)
        given = seconds * machine.tdp_w.value * power.value * node.value * pue / 3.6e9
        reach = math.exp(NORMAL_90 * priors.described_node_log_sd(traits))
        found.append((row, mwh, mwh / reach, mwh * reach, given))
    return found


def _llmcarbon(runs: Sequence[Run]) -> list[str]:
    lines = []
    for row, mwh, low, high, given in llmcarbon(runs):
        known = float(row["energy_mwh"])
        errors = (
            float(row["llmcarbon_error_ratio"]), float(row["blind_error_ratio"]),
            mwh / known - 1, given / known - 1,
        )  # fmt: skip
        shown = " | ".join(_percent(error, signed=True) for error in errors)
        lines.append(
            f"| {row['model']} | {known:g} | {mwh:.3g} ({low:.3g} … {high:.3g}) | {shown} |"
        )
    return [
        "### The five trainings of LLMCarbon", "",
        "LLMCarbon is given the utilisation and the power of the very run that it predicts;",
        "*blind* is its formula with both from its other four runs. Ours are with all runs of the",
        "same laboratory held out.", "",
        *_table(
            "| model | published [MWh] | ours, 90 % [MWh] | LLMCarbon | LLMCarbon, blind "
            "| ours, from a description | ours, from device-hours |", lines
        ),
    ]  # fmt: skip


def _each(report: Report) -> list[str]:
    lines = [_line(one) for one in report.scored if one.quantity != "carbon"]
    return ["### Each row, laboratory held out", "", *_table(
        "| row | quantity | given | predicted | 90 % interval | published | error | held |", lines
    )]  # fmt: skip


def _line(one: Scored) -> str:
    return (
        f"| {one.id} | {one.quantity} [{one.unit}] | {one.given} | {one.predicted:.3g} "
        f"| {one.low:.3g} … {one.high:.3g} | {one.published:.4g} "
        f"| {_percent(one.error_ratio, signed=True)} | {'yes' if one.covered else 'no'} |"
    )


def _excluded(report: Report) -> list[str]:
    reasons: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for one in report.excluded:
        reasons[one.quantity, one.given, one.reason].append(one.id)
    lines = [
        f"| {quantity} | {given} | {reason} | {', '.join(ids)} |"
        for (quantity, given, reason), ids in sorted(reasons.items())
    ]
    return ["### Rows that could not be scored", "", *_table(
        "| quantity | given | reason | rows |", lines
    )]  # fmt: skip
