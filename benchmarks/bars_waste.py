# SPDX-License-Identifier: Apache-2.0
"""Bars of waste; the figures come from benchmarks/wasteful.py, as stored."""

from benchmarks import wasteful, wasteful_runs
from benchmarks.outcomes import Bar, Options, Outcome, absent, tests

MOST_ALARMS = 1
LEAST_CLEAN = 20
_ABSENT = f"{wasteful.TABLE.name}; python -m benchmarks.wasteful --measure"


def planted(options: Options) -> Outcome:
    """Each planted waste is found in every run, and priced within the tolerance."""
    del options
    if not wasteful.TABLE.is_file():
        return absent(_ABSENT)
    rows = [r for r in wasteful.stored() if r.key]
    kinds = {r.name for r in rows}
    missed = [f"{r.name} (seed {r.seed})" for r in rows if r.found_j <= 0]
    off = [f"{r.name} (seed {r.seed})" for r in rows if r.found_j > 0 and not r.good]
    worst = max(
        (abs(r.error_ratio) for r in rows if r.found_j > 0 and r.key not in wasteful.BY_INTERVAL),
        default=0.0,
    )
    figure = (
        f"{len(rows) - len(missed)} of {len(rows)} runs of {len(kinds)} kinds found, price off by "
        f"{100 * worst:.1f} % at most (≤ {100 * wasteful.TOLERANCE:.0f} %; fp32 by its interval)"
    )
    if missed or off:
        figure += f"; not found: {', '.join(missed) or 'none'}; off: {', '.join(off) or 'none'}"
    return Outcome(figure, kinds == set(wasteful_runs.PLANTED) and not missed and not off)


def clean(options: Options) -> Outcome:
    """Alarms of runs that waste nothing."""
    del options
    if not wasteful.TABLE.is_file():
        return absent(_ABSENT)
    rows = [r for r in wasteful.stored() if not r.key]
    alarmed = [r for r in rows if r.others]
    told = "".join(f"; seed {r.seed}: {r.others}" for r in alarmed)
    figure = f"{len(alarmed)} of {len(rows)} clean runs{told}"
    return Outcome(figure, len(alarmed) <= MOST_ALARMS and len(rows) >= LEAST_CLEAN)


def once(options: Options) -> Outcome:
    """All wastes of a run together, over its energy."""
    del options
    if not wasteful.TABLE.is_file():
        return absent(_ABSENT)
    most = max(r.sum_ratio for r in wasteful.stored())
    return Outcome(f"at most {100 * most:.2f} % of the run's energy", most <= 1 + 1e-9)


BARS = (
    Bar("planted waste is found and priced in all of 12 scripted runs, of five seeds", planted),
    Bar("in 20 clean ones at most one false alarm is raised", clean),
    Bar("wastes of a run sum to no more than its energy", once),
    Bar("the same of any run, as a law", tests("at_most_its_energy or never_get_more")),
)
