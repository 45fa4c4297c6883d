# SPDX-License-Identifier: Apache-2.0
"""Bars of fleets and microgrids; the figures come from benchmarks/fleets.py and from tests."""

from benchmarks.outcomes import Bar, Options, Outcome, absent, have, run_tests

TESTS = "tests/planning/"


def thousand_jobs(options: Options) -> Outcome:
    if not have("numpy", "highspy"):
        return absent("numpy and highspy are not installed")
    from benchmarks import fleets

    rows = fleets.kept()
    worst = [
        max((r for r in rows.values() if r.load == load), key=lambda r: r.gap_ratio)
        for load in fleets.LOADS
    ]
    said = [
        f"kept table: {sum(r.holds for r in rows.values())} of {len(rows)} draws hold; widest gap"
        + ", ".join(f" {100 * r.gap_ratio:.2f} % at {r.load:.0%}" for r in worst)
        + f"; at most {max(r.cpu_s for r in rows.values()):.0f} s"
    ]
    good = all(r.holds for r in rows.values())
    if not (options.data / "traces").is_dir():
        return Outcome("; ".join([*said, "no traces here to measure anew"]), good)
    row = fleets.measured(options.data, worst[-1].load, worst[-1].seed)
    said.append(
        f"the hardest of them now: {row.placed} of 1 000 placed, gap {100 * row.gap_ratio:.2f} %"
        f" (≤ 2), {row.cpu_s:.0f} s of processor (≤ 120); fullest slot {row.fullest_ratio:.3f}"
    )
    return Outcome("; ".join(said), good and row.holds)


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
