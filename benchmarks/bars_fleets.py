# SPDX-License-Identifier: Apache-2.0
"""Bars of fleets and microgrids; the figures come from benchmarks/fleets.py and from tests."""

from benchmarks.outcomes import Bar, Options, Outcome, absent, have, run_tests

TESTS = "tests/planning/"


def thousand_jobs(options: Options) -> Outcome:
    if not have("numpy", "highspy"):
        return absent("numpy and highspy are not installed")
    from benchmarks import fleets

    said, good = [], True
    for load, seed in fleets.WORST.items():  # the draws with the widest gap of those on the page
        row = fleets.measured(options.data, load, seed)
        over = fleets.worst_overrun(row)
        said.append(
            f"load {load:.0%}: {len(row.plan.placed)} of 1 000 placed, "
            f"gap {100 * row.plan.gap_ratio:.2f} % (≤ 2), {row.wall_s:.0f} s (≤ 120), "
            f"{row.cpu_s:.0f} s of processor; fullest slot {over:.3f}"
        )
        whole = not row.plan.unplaced and over <= 1 + 1e-6
        good = good and whole and row.plan.gap_ratio <= 0.02 and row.wall_s <= 120
    return Outcome("; ".join(said), good)


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
