# SPDX-License-Identifier: Apache-2.0
"""Bars of explaining a run; the figures come from benchmarks/explaining.py."""

from benchmarks import explaining, long_explaining, scripted
from benchmarks.outcomes import Bar, Options, Outcome, absent, tests

CPU_S = 2.0


def branches(options: Options) -> Outcome:
    del options
    found = explaining.tree_of("seconds", scripted.LONG, 120.0)
    worst = max(found.rows, key=lambda r: abs(r.error))
    figure = (
        f"{len(found.rows)} branches, the worst {100 * worst.error:+.2f} % ({worst.device},"
        f" {worst.phase}); sums exactly: {found.exact}"
    )
    return Outcome(figure, found.exact and abs(worst.error) <= explaining.BAR)


def honest(options: Options) -> Outcome:
    del options
    rows = [row for tree in explaining.trees() for row in tree.rows]
    held = sum(row.holds for row in rows)
    return Outcome(f"{held} of {len(rows)} branches", held == len(rows))


def day(options: Options) -> Outcome:
    del options
    if not long_explaining.KEPT.is_file():
        return absent("python -m benchmarks.long_explaining --keep")
    k = long_explaining.kept()
    spent_s = float(k["explain_cpu_s"])
    figure = f"{spent_s:.2f} s CPU, {k['json_cpu_s']} s as JSON ({k['readings']} readings, kept)"
    return Outcome(figure, spent_s <= CPU_S)


BARS = (
    Bar("a scripted job on the fake machine: each branch within 2 %, each level exact", branches),
    Bar("their intervals hold the truth, also where phases last hundredths of a second", honest),
    Bar("any tree sums exactly (properties)", tests("any_run_sums or sum_to_their_whole")),
    Bar("explain of a day of 10⁶ readings with 200 layers: ≤ 2 s", day),
)
