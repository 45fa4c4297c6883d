# SPDX-License-Identifier: Apache-2.0
"""Bars of proving a saving; the figures come from benchmarks/proving.py."""

from benchmarks import proving
from benchmarks.outcomes import Bar, Options, Outcome

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


BARS = (
    Bar("a program against itself, looked at after each pair: ≤ 5 % false savings", peeking),
    Bar("a true 5 % saving is shown: ≥ 80 % with 8 pairs, ≥ 95 % with 14", true_saving),
    Bar("the digits example against itself is not shown to save", digits),
)
