# SPDX-License-Identifier: Apache-2.0
"""Bars of counting a model's operations; the figures come from benchmarks/counting.py."""

from benchmarks.outcomes import Bar, Options, Outcome, absent, have


def hand_counts(options: Options) -> Outcome:
    del options
    if not have("torch"):
        return absent("torch is not installed")
    from benchmarks import counting

    rows = counting.cases()
    worst, escaped = counting.worst_error(rows), sum(row.not_counted for row in rows)
    figure = f"{len(rows)} counts, furthest from 1: {worst:.4f}; {escaped} operators escaped"
    return Outcome(figure, worst <= 0.01 and escaped == 0)


def large_model(options: Options) -> Outcome:
    del options
    if not have("torch"):
        return absent("torch is not installed")
    from benchmarks import counting

    large = counting.seventy_billion()
    figure = (
        f"{large.params / 1e9:.0f} billion parameters, {large.ratio:.3f} of the hand count: "
        f"{large.duration_s:.1f} s ({large.processor_s:.1f} s of processor), "
        f"{large.resident_bytes / 1e6:.0f} MB"
    )
    fits = large.duration_s <= 15 and large.resident_bytes <= 1e9
    return Outcome(figure, fits and abs(large.ratio - 1) <= 0.01)


BARS = (
    Bar("counted operations are 1.00 ± 0.01 of hand counts, useful and repeated", hand_counts),
    Bar("70 billion parameters, forward, backward, optimiser: ≤ 15 s, ≤ 1 GB", large_model),
)
