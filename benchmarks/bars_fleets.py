# SPDX-License-Identifier: Apache-2.0
"""Bars of fleets and microgrids; the figures come from benchmarks/fleets.py and from tests."""

from benchmarks.outcomes import Bar, Options, Outcome, absent, have, run_tests

TESTS = "tests/planning/"


def thousand_jobs(options: Options) -> Outcome:
    if not have("numpy", "highspy"):
        return absent("numpy and highspy are not installed")
    from benchmarks import fleets

    row = fleets.measured(options.data, 0.35)
    over = fleets.worst_overrun(row)
    figure = (
        f"{len(row.plan.placed)} of 1 000 placed, gap {100 * row.plan.gap_ratio:.2f} % (≤ 2), "
        f"{row.wall_s:.0f} s (≤ 120), {row.cpu_s:.0f} s of processor; fullest slot {over:.3f}"
    )
    whole = not row.plan.unplaced and over <= 1 + 1e-6
    return Outcome(figure, whole and row.plan.gap_ratio <= 0.02 and row.wall_s <= 120)


def plain_model(options: Options) -> Outcome:
    del options
    tally = run_tests([f"{TESTS}test_fleets.py"])
    return tally.outcome if tally else absent("pytest is not installed")


def every_joule(options: Options) -> Outcome:
    del options
    tally = run_tests([f"{TESTS}test_microgrids.py"])
    return tally.outcome if tally else absent("pytest is not installed")


BARS = (
    Bar("1 000 jobs, 5 sites, a week of hours: ≤ 120 s to a 2 % gap", thousand_jobs),
    Bar("a fleet's plan: limits hold, the plain model agrees, infeasible says why", plain_model),
    Bar("a microgrid: every joule is booked once, by a slow, obvious simulation", every_joule),
)
