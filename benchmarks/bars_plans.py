# SPDX-License-Identifier: Apache-2.0
"""Bars of `submeter plan`: bad input, jobs handed over, and savings that are never forecasts."""

import shutil

from benchmarks.outcomes import Bar, Options, Outcome, absent, run_tests

_PLAN = "tests/cli/test_plan.py"
_HANDING = "tests/reporting/test_handing.py"
_REALISED = "tests/planning/test_realised.py"
_DECIDING = "tests/planning/test_deciding.py"


def _tests(*arguments: str, said: str = "") -> Outcome:
    found = run_tests(arguments)
    if found is None:
        return absent("the tests could not be collected")
    outcome = found.outcome
    return Outcome(f"{outcome.figure}{said}", outcome.cleared)


def handed_over() -> Outcome:
    """Golden texts and what reads them; which real programs were there is part of the figure."""
    real = [name for name in ("systemd-analyze", "kubectl", "sh") if shutil.which(name)]
    return _tests(_HANDING, said=f"; read by {', '.join(real)}")


def profiles_never_cost(options: Options) -> Outcome:
    """What plans by profiles alone bring on years that no profile has seen."""
    from benchmarks import plan_honesty

    rows = plan_honesty.measured(options.data)
    if not rows:
        return absent(f"no traces in {options.data}")
    figure = ", ".join(f"{row.zone} {100 * row.brought:+.1f} %" for row in rows)
    return Outcome(f"realised as advised: {figure}", plan_honesty.never_costs(rows))


BARS = (
    Bar("plans by profiles alone cost no zone anything on years not seen", profiles_never_cost),
    Bar(
        "bad input (past deadline, too long, unknown zone, holes, wrong unit): one clear error",
        lambda _: _tests(_PLAN, "-k", "bad_input or cannot_be_read or holes or long_ago or extra"),
    ),
    Bar("--emit slurm|kubernetes|at|systemd: each text is validated", lambda _: handed_over()),
    Bar(
        "where waiting does not help it says so and names what would",
        lambda _: _tests(_DECIDING, "-k", "help or told_apart or coin or guard or named"),
    ),
    Bar("realised saving, never the forecast one", lambda _: _tests(_REALISED)),
)
