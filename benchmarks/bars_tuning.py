# SPDX-License-Identifier: Apache-2.0
"""Bars of searching settings; the figures come from benchmarks/tuning.py and tuning_hidden.py."""

from benchmarks import tuning, tuning_hidden
from benchmarks.outcomes import Bar, Options, Outcome
from benchmarks.tuning_curves import SPACES

SEARCH_RATIO, SETTING_RATIO = 0.50, 0.70
NOISE_RATIO = 0.03  # of a run: what is found may use as much more, mean of the seeds
ROWS = [(e, t) for e in SPACES for t in tuning.SCORED[e]]


def search(options: Options) -> Outcome:
    del options
    found = {row: tuning.found(*row) for row in ROWS}
    figure = "; ".join(
        f"{e} {t}: {100 * f.spent_ratio:.0f} % (at most {100 * f.spent_ratio_most:.0f} %), "
        f"quality kept in {f.kept} of {len(tuning.SEEDS)}, the same setting in {f.same_best}, "
        f"{100 * f.more_ratio:.1f} % more energy (at most {100 * f.worst_ratio:.1f} %)"
        for (e, t), f in found.items()
    )
    cleared = all(
        f.spent_ratio <= SEARCH_RATIO
        and f.kept == len(tuning.SEEDS)
        and f.more_ratio <= NOISE_RATIO
        for f in found.values()
    )
    return Outcome(f"CPU time, recorded trainings: {figure}", cleared)


def setting(options: Options) -> Outcome:
    del options
    found = {row: tuning.found(*row).best_ratio for row in ROWS}
    figure = ", ".join(f"{e} {t} {100 * ratio:.0f} %" for (e, t), ratio in found.items())
    return Outcome(f"CPU time: {figure}", all(r <= SETTING_RATIO for r in found.values()))


def hidden(options: Options) -> Outcome:
    del options
    f = tuning_hidden.found()
    figure = (
        f"{f.same} of {f.searches} found the setting that uses least, "
        f"{100 * f.more_ratio:.1f} % more energy on the mean, with "
        f"{100 * f.spent_ratio:.0f} % of what the search without pruning used "
        f"(at most {100 * f.spent_ratio_most:.0f} %)"
    )
    return Outcome(figure, f.more_ratio <= NOISE_RATIO and f.spent_ratio <= SEARCH_RATIO)


BARS = (
    Bar("a search uses ≤ 50 % of one without pruning at equal best quality, ten seeds", search),
    Bar("the setting found uses ≤ 70 % of what the published default uses", setting),
    Bar("the tuner on a fake machine with hidden power per setting finds the least", hidden),
)
