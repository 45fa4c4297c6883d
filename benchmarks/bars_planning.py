# SPDX-License-Identifier: Apache-2.0
"""Bars of planning; the figures come from benchmarks/planning.py and from named tests."""

from benchmarks.outcomes import Bar, Options, Outcome, absent, have, tests


def year_of_slots(options: Options) -> Outcome:
    if not have("numpy"):
        return absent("numpy is not installed")
    from benchmarks import planning

    found = planning.rows(options.data)
    slow = planning.slowest_with_costs(found)
    years = " and ".join(dict.fromkeys(row.year for row in found))
    figure = f"{1e3 * slow.took_s:.0f} ms at most ({slow.year}: {slow.job}); years: {years}"
    return Outcome(figure, slow.took_s <= 0.1)


BARS = (
    Bar("8 h job, a year of 5-minute slots (105 120), with costs: ≤ 100 ms", year_of_slots),
    Bar(
        "one job: equal to a mixed-integer programme and to all schedules tried",
        tests("mixed_integer_programme or all_schedules_tried"),
    ),
    Bar(
        "elastic job: equal to a linear programme for any profile",
        tests("linear_programme_of_any_profile or marginal_allocation"),
    ),
)
