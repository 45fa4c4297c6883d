# SPDX-License-Identifier: Apache-2.0
"""Bars of comparisons: what they cost, how often they err, and their laws."""

from benchmarks import comparing
from benchmarks.outcomes import Bar, Options, Outcome, absent, run_tests
from submeter.comparing.runs import MODEL_SLOPE

LEVEL, SLACK = 0.95, 0.017  # of 2000 simulated pairs: three and a half standard deviations


def twenty(options: Options) -> Outcome:
    del options
    found = comparing.costs()
    figure = "; ".join(f"{name}: {spent.processor_s:.2f} s" for name, spent in found.items())
    return Outcome(
        f"{figure} of processor", all(spent.processor_s <= 1 for spent in found.values())
    )


def errors(options: Options) -> Outcome:
    del options
    rows = comparing.errors()
    worst = max(abs(row.held - LEVEL) for row in rows)
    figure = (
        f"intervals hold the true ratio in {min(r.held for r in rows):.1%} to "
        f"{max(r.held for r in rows):.1%}; false alarms {rows[0].found:.1%}; a difference of "
        f"{rows[-1].true_ratio - 1:.1%} is found in {rows[-1].found:.1%}"
    )
    near = worst <= SLACK and rows[0].found <= 1 - LEVEL + SLACK
    return Outcome(figure, near and rows[-1].found >= LEVEL - SLACK)


def families(options: Options) -> Outcome:
    del options
    if not comparing.KEPT.is_file():
        return absent(f"{comparing.KEPT.name}; python -m benchmarks.comparing --measure")
    from submeter.comparing.families import DATA_SETS, FAMILIES, result_of
    from submeter.records.figures import Missing

    found = [result_of(run) for run in comparing.kept()]
    known = [r for r in found if not isinstance(r, Missing) and not isinstance(r.whole, Missing)]
    figure = f"{len(known)} metered trainings, each with energies of search and of training"
    return Outcome(figure, len(known) == len(DATA_SETS) * len(FAMILIES))


def laws(options: Options) -> Outcome:
    del options
    done = run_tests(["tests/comparing", "-k", "beside_itself or reversed_order"])
    return absent("pytest wrote no report") if done is None else done.outcome


def slope(options: Options) -> Outcome:
    del options
    found = comparing.model_slope()
    figure = f"{found:.3f} over eight machines, {MODEL_SLOPE:g} in the code"
    return Outcome(figure, abs(found - MODEL_SLOPE) < 0.01)


BARS = (
    Bar("compare of 20 runs: ≤ 1 s of processor, whole process", twenty),
    Bar("intervals of two independent meters hold the true ratio in 95 %", errors),
    Bar("how much a model errs between two loads is what was metered", slope),
    Bar("families of models at equal protocol on two data sets, each training metered", families),
    Bar("a run beside itself changed nothing; the reversed order gives inverse ratios",
        laws),
)  # fmt: skip
