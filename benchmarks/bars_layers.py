# SPDX-License-Identifier: Apache-2.0
"""Bars of layer profiles; the figures come from benchmarks/layers.py."""

import time

from benchmarks import layers, layers_cost
from benchmarks.outcomes import Bar, Options, Outcome, absent

CLASS_RATIO, COST_RATIO, EXPLAIN_S = 0.15, 0.02, 2.0


def shares(options: Options) -> Outcome:
    del options
    if not layers.ROWS.is_file():
        return absent("python -m benchmarks.layers --measure")
    rows = layers.kept_rows()
    told = [r for r in rows if r.level == "class" and r.alone_ratio >= layers.LEAST_SHARE]
    figure = ", ".join(f"{r.case}: {r.name} {100 * r.error:+.1f} %" for r in told)
    return Outcome(f"CPU time: {figure}", layers.worst_class(rows) <= CLASS_RATIO)


def cost(options: Options) -> Outcome:
    del options
    if not layers_cost.COSTS.is_file():
        return absent("python -m benchmarks.layers --measure")
    costs = layers_cost.kept_costs()
    found = {
        case: layers_cost.cost_of([c for c in costs if c.case == case])
        for case in dict.fromkeys(c.case for c in costs)
    }
    figure = ", ".join(
        f"{case} {100 * mean:.2f} % (at most {100 * most:.2f} %)"
        for case, (mean, most) in found.items()
    )
    return Outcome(f"CPU time, pairs: {figure}", all(m <= COST_RATIO for _, m in found.values()))


def cheap(options: Options) -> Outcome:
    del options
    from submeter.explaining.layer_tree import pieces
    from submeter.explaining.layers import shares_of

    profile = layers.many(200)
    begin_s = time.process_time()
    pieces(shares_of([profile]))
    took_s = time.process_time() - begin_s
    return Outcome(f"{took_s:.3f} s of CPU time", took_s <= EXPLAIN_S / 4)


BARS = (
    Bar("layer shares agree with layers repeated alone within 15 % per class", shares),
    Bar("hooks of layers cost ≤ 2 % (paired, 95 %)", cost),
    Bar("the layers of a model of 200 are explained in a fraction of 2 s", cheap),
)
