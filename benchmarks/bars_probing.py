# SPDX-License-Identifier: Apache-2.0
"""Bars of probes and forecasts; the figures come from benchmarks/probing.py."""

import statistics

from benchmarks.outcomes import Bar, Options, Outcome, absent


def on_the_fake_machine(options: Options) -> Outcome:
    del options
    from benchmarks import probing

    scores = probing.scored(probing.on_fake_machine(probing.SCORED), "energy")
    said, good = [], True
    for horizon, words in (("probe", "30 s"), ("tenth", "a tenth")):
        rows = [row for row in scores if row.horizon == horizon]
        held = sum(row.held for row in rows)
        errors = sorted(abs(row.error_ratio) for row in rows)
        nine = errors[round(0.9 * len(errors)) - 1]
        said.append(f"{words}: nine in ten within {100 * nine:.1f} %, {held} of {len(rows)} held")
        good &= nine <= 0.1 and probing.plausible(held, len(rows))
    return Outcome("; ".join(said), good)


def measured(beginning: str, horizon: str) -> "tuple[list[float], int]":
    """Errors in CPU time of trainings that were measured before, and how many were held."""
    from benchmarks import probing

    rows = [
        row
        for row in probing.kept()
        if row.job.startswith(beginning) and row.horizon == horizon and row.quantity == "CPU time"
    ]
    return [row.error_ratio for row in rows], sum(row.held for row in rows)


def ten_minutes(options: Options) -> Outcome:
    del options
    probes, _ = measured("ten minutes", "probe")
    tenths, _ = measured("ten minutes", "tenth")
    if not probes or not tenths:
        return absent("not measured here yet: python -m benchmarks.probing --ten")
    shown = ", ".join(f"{100 * e:+.1f} %" for e in probes)
    figure = f"CPU time: by probes {shown}; by a tenth {100 * tenths[0]:+.1f} % (as kept)"
    return Outcome(figure, max(abs(e) for e in (*probes, *tenths)) <= 0.1)


def varied_trainings(options: Options) -> Outcome:
    del options
    from benchmarks import probing

    bare = probing.trainings(probing.kept())
    if len(bare) < 2:
        return absent("not measured here yet: python -m benchmarks.probing --real 30")
    rows = probing.by_the_others(bare)
    held = sum(row.held for row in rows)
    errors = sorted(abs(row.error_ratio) for row in rows)
    within = sum(error <= 0.1 for error in errors)
    figure = (
        f"{len(rows)} trainings in CPU time: {held} held, with the doubt by neighbours that the "
        f"others ask for ({sum(row.held for row in bare)} without it); median error "
        f"{100 * statistics.median(errors):.1f} %, {within} within 10 % (as kept)"
    )
    nine = errors[max(0, round(0.9 * len(errors)) - 1)]
    return Outcome(figure, len(rows) >= 30 and nine <= 0.1 and probing.plausible(held, len(rows)))


BARS = (
    Bar(
        "30 s and a tenth foretell energy within 10 %, 30 jobs of hidden power",
        on_the_fake_machine,
    ),
    Bar("30 s and a tenth foretell the ten-minute language model within 10 %", ten_minutes),
    Bar("a tenth foretells 30 varied trainings within 10 %, intervals hold", varied_trainings),
)
