# SPDX-License-Identifier: Apache-2.0
"""Bars of everyday computing; the rows come from benchmarks/everyday.py --measure."""

from benchmarks import everyday
from benchmarks.everyday import REPEATS_RATIO
from benchmarks.outcomes import Bar, Options, Outcome, absent, tests
from submeter.comparing.everyday import costs, quiet_words
from submeter.records.figures import Figure
from submeter.reporting.everyday import arithmetic

LONGEST_S = 180.0


def repeats(options: Options) -> Outcome:
    del options
    kept = everyday.rows()
    if not kept:
        return absent("nothing is kept: python -m benchmarks.everyday --measure 3")
    found = everyday.repeats(kept, quiet=True)
    loud = len({(r.task, r.way) for r in kept}) - len(found)
    if not found:
        every = everyday.repeats(kept, quiet=False)
        worst = max(every, key=lambda r: r.energy_ratio)
        return absent(
            f"the machine was not quiet in any two looks; over all of them at most "
            f"{100 * worst.energy_ratio:.0f} % apart ({worst.task})"
        )
    worst = max(found, key=lambda r: r.energy_ratio)
    figure = (
        f"{len(found)} tasks in at least two quiet looks: at most "
        f"{100 * worst.energy_ratio:.1f} % apart ({worst.task}), CPU time at most "
        f"{100 * max(r.cpu_ratio for r in found):.1f} %; {loud} were never quiet twice"
    )
    return Outcome(figure, worst.energy_ratio <= REPEATS_RATIO)


def by_hand(options: Options) -> Outcome:
    del options
    look = everyday.last_look()
    if look is None:
        return absent("nothing is kept: python -m benchmarks.everyday --measure 3")
    rows = [c for c in costs(look) if isinstance(c.each, Figure)]
    lines = "\n".join(arithmetic(look))
    told = [c for c in rows if c.words in lines]
    off = max(
        abs(c.energy_j / c.units * c.per / c.each.value - 1)
        for c in rows if isinstance(c.each, Figure)
    )  # fmt: skip
    figure = f"{len(told)} of {len(rows)} sums on the page; {off:.1e} between sum and figure"
    return Outcome(figure, len(told) == len(rows) and off < 1e-9)


def length(options: Options) -> Outcome:
    del options
    look = everyday.last_look()
    if look is None:
        return absent("nothing is kept: python -m benchmarks.everyday --measure 3")
    loud = quiet_words(costs(look))
    figure = f"{look.wall_s:.0f} s for {len(look.units)} tasks" + (f" ({loud})" if loud else "")
    if look.wall_s > LONGEST_S and loud:
        return Outcome(f"not measured on a quiet machine: {figure}", None)
    return Outcome(figure, look.wall_s <= LONGEST_S)


BARS = (
    Bar("everyday tasks repeat within 10 % in joules on a quiet machine", repeats),
    Bar("each figure can be checked by hand from the page", by_hand),
    Bar("all everyday tasks take at most three minutes", length),
    Bar("a machine that is not quiet is said to be none", tests("not_quiet")),
)
