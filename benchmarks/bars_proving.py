# SPDX-License-Identifier: Apache-2.0
"""Bars of proving a saving; the figures come from benchmarks/proving.py."""

from benchmarks import power_limit, proving
from benchmarks.outcomes import Bar, Options, Outcome, absent

FALSE_RATIO = 0.05


def peeking(options: Options) -> Outcome:
    del options
    worst = max(proving.false_savings(world, "always")[0] for world in proving.WORLDS)
    figure = f"at most {100 * worst:.1f} % of {proving.TRIALS} in {len(proving.WORLDS)} worlds"
    return Outcome(figure, worst <= FALSE_RATIO)


def true_saving(options: Options) -> Outcome:
    del options
    eight, fourteen = (proving.shown(proving.WORLDS[0], "fixed", n, 0.05) for n in (8, 14))
    figure = f"{100 * eight:.1f} % with 8 pairs, {100 * fourteen:.1f} % with 14"
    return Outcome(figure, eight >= 0.80 and fourteen >= 0.95)


def digits(options: Options) -> Outcome:
    del options
    found = proving.real_digits()
    return Outcome(f"shown: {found['shown']}; {found['why']}", found["shown"] is False)


def power_limits(options: Options) -> Outcome:
    if options.data is None:
        return absent("the curves of the data folder: --data DIR")
    traces = options.data.parent / "truth" / "traces"
    files = traces / "zeus_summary_power_v100.csv", traces / "zeus_summary_train.csv"
    if not all(f.exists() for f in files):
        return absent(f"{files[0]}")
    found = power_limit.document(*files)
    recovered, again, worst = (
        float(str(found[k]))
        for k in ("recovered_ratio", "recurring_recovered_ratio", "worst_job_ratio")
    )
    figure = (
        f"≥ {100 * recovered:.1f} % of the oracle's saving, worst job {100 * worst:+.3f} %; "
        f"recurring {100 * again:.0f} % of the joint optimum"
    )
    return Outcome(figure, recovered >= 0.95 and again >= 0.80 and worst >= -0.001)


BARS = (
    Bar("a program against itself, looked at after each pair: ≤ 5 % false savings", peeking),
    Bar("a true 5 % saving is shown: ≥ 80 % with 8 pairs, ≥ 95 % with 14", true_saving),
    Bar(
        "power limits on known curves: ≥ 95 % of the oracle, ≥ 80 % recurring, no job worse",
        power_limits,
    ),
    Bar("the digits example against itself is not shown to save", digits),
)
