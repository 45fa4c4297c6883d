# SPDX-License-Identifier: Apache-2.0
"""Bars of searching settings; the figures come from benchmarks/tuning.py."""

from benchmarks import tuning
from benchmarks.outcomes import Bar, Options, Outcome
from benchmarks.tuning_curves import SPACES

SEARCH_RATIO, SETTING_RATIO = 0.50, 0.70


def search(options: Options) -> Outcome:
    del options
    found = {e: tuning.found(e) for e in SPACES}
    figure = "; ".join(
        f"{e} {100 * f.spent_ratio:.0f} % (at most {100 * f.spent_ratio_most:.0f} %), "
        f"an oracle {100 * f.bound_ratio:.0f} %, "
        f"the same setting in {f.same_best} of {len(tuning.SEEDS)}"
        for e, f in found.items()
    )
    cleared = all(
        f.spent_ratio <= SEARCH_RATIO and f.same_best == len(tuning.SEEDS) for f in found.values()
    )
    return Outcome(f"CPU time, recorded trainings: {figure}", cleared)


def setting(options: Options) -> Outcome:
    del options
    found = {e: tuning.found(e).best_ratio for e in SPACES}
    figure = ", ".join(f"{e} {100 * ratio:.0f} %" for e, ratio in found.items())
    return Outcome(f"CPU time: {figure}", all(r <= SETTING_RATIO for r in found.values()))


BARS = (
    Bar("a search uses ≤ 50 % of one without pruning and finds the same, ten seeds", search),
    Bar("the setting found uses ≤ 70 % of what the published default uses", setting),
)
