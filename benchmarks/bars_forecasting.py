# SPDX-License-Identifier: Apache-2.0
"""Bars of forecasts and back-tests; figures come from benchmarks/backtests.py."""

import numpy as np

from benchmarks.outcomes import Bar, Options, Outcome, absent, have, tests


def _lacking(options: Options) -> Outcome | None:
    if not have("numpy"):
        return absent("numpy is not installed")
    if not (options.data / "traces").is_dir():
        return absent(f"there is no {options.data / 'traces'}")
    return None


def published(options: Options) -> Outcome:
    if lacking := _lacking(options):
        return lacking
    from benchmarks import lets_wait_awhile

    found = lets_wait_awhile.rows(options.data)
    worst = lets_wait_awhile.worst(found)
    figure = f"{len(found)} rows, furthest {worst:.2f} points"
    return Outcome(figure, len(found) >= 6 and worst <= lets_wait_awhile.TOLERANCE)


def capture(options: Options) -> Outcome:
    if lacking := _lacking(options):
        return lacking
    from benchmarks import backtests

    main = [s for s in backtests.scored(options.data) if s.held.name in backtests.SCORED_NAMES]
    ratios = [s.free.capture_ratio for s in main]
    paid = [s.row("semi-weekly", "pauses of 90 s").outcome.capture_ratio for s in main]
    each = ", ".join(f"{s.held.zone} {r:.3f}" for s, r in zip(main, ratios, strict=True))
    figure = f"mean {np.mean(ratios):.3f} ({each}); with pauses of 90 s {np.mean(paid):.3f}"
    return Outcome(figure, float(np.mean(ratios)) >= 0.77 and min(ratios) >= 0.70)


def nights(options: Options) -> Outcome:
    if lacking := _lacking(options):
        return lacking
    from benchmarks import backtests

    savings = {
        f"{s.held.name} {row.way}": row.outcome.saving_ratio
        for s in backtests.scored(options.data)
        for row in s.report.rows
        if row.scenario == "nightly"
    }
    worst = min(savings, key=lambda name: savings[name])
    figure = f"{len(savings)} years and windows, lowest saving {savings[worst]:.4%} ({worst})"
    return Outcome(figure, savings[worst] >= 0)


def all_zones(options: Options) -> Outcome:
    if lacking := _lacking(options):
        return lacking
    from benchmarks import backtests

    found = backtests.scored(options.data)
    steep = [s for s in found if s.free.perfect_saving_ratio > backtests.SMALL]
    flat = [s.free.saving_ratio for s in found if s not in steep]
    ratios = [s.free.capture_ratio for s in steep]
    under = [s.held.name for s in steep if s.free.capture_ratio < 0.70]
    figure = (
        f"mean {np.mean(ratios):.3f} over {len(steep)} years where over 5 % could be saved, "
        f"{len(under)} of them under 0.70 ({', '.join(under) or 'none'}); "
        f"lowest saving in the other {len(flat)}: {min(flat):.2%}"
    )
    return Outcome(figure, not under and min(flat) >= -0.002)


def worse(options: Options) -> Outcome:
    if lacking := _lacking(options):
        return lacking
    from benchmarks import backtests

    shares = {s.held.name: s.free.worse_share for s in backtests.scored(options.data)}
    most = max(shares, key=lambda name: shares[name])
    return Outcome(f"at most {shares[most]:.1%} ({most})", shares[most] <= 0.12)


def quick(options: Options) -> Outcome:
    if lacking := _lacking(options):
        return lacking
    from benchmarks import backtests

    took = backtests.speed(options.data)
    figure = f"{1e3 * took.update_s:.0f} ms, {1e3 * took.slowest_update_s:.0f} ms at most"
    return Outcome(f"{figure}; learning a year {took.fit_s:.1f} s", took.slowest_update_s <= 0.05)


BARS = (
    Bar("published savings of Let's Wait Awhile, DE, GB, FR: within 0.3 points", published),
    Bar("captured on forecasts of the past, DE, GB, FR: ≥ 0.77, none under 0.70", capture),
    Bar("all whole years: ≥ 0.70 where over 5 % could be saved, ≥ −0.2 % else", all_zones),
    Bar("nightly: never worse than starting at once on a year's total", nights),
    Bar("single jobs made worse by over 1 %: ≤ 12 %", worse),
    Bar("a forecast update, half hours, 7 days: ≤ 50 ms", quick),
    Bar("forecasts know nothing later than their making", tests("what_comes_later or only_what")),
    Bar("series and jobs that cannot be used get one clear error", tests("error_of_a_series")),
)
