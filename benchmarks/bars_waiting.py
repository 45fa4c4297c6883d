# SPDX-License-Identifier: Apache-2.0
"""Bars of carrying a plan out: pausing, and whatever may happen while it is waited."""

from benchmarks.outcomes import Bar, Options, Outcome, absent, have, run_tests

_CONDUCTING = "tests/running/test_conducting.py"
_PLANNED = "tests/running/test_planned.py"


def bit_equal(options: Options) -> Outcome:
    del options
    if not have("torch"):
        return absent("torch is not installed")
    from benchmarks import pausing

    found = pausing.measured()
    figure = (
        f"examples/pausing.py, paused {found.pauses} times by a plan: weights {found.paused}, "
        f"uninterrupted {found.whole}; "
    )
    tests = run_tests(["tests/program/test_checkpointing.py"])
    if tests is None:
        return Outcome(f"{figure}the tests could not be collected", False)
    figure += tests.outcome.figure
    same = found.paused == found.whole and found.pauses > 0
    return Outcome(figure, same and bool(tests.outcome.cleared))


def _tests(*arguments: str) -> Outcome:
    found = run_tests(arguments)
    return absent("the tests could not be collected") if found is None else found.outcome


BARS = (
    Bar("a paused and resumed PyTorch training ends bit-equal (CPU, fixed seeds)", bit_equal),
    Bar(
        "kill -9 of the waiting planner loses nothing",
        lambda _: _tests(_PLANNED, _CONDUCTING, "-k", "kill or killed or again or guard"),
    ),
    Bar(
        "clock jumps, DST nights and provider outages are survived",
        lambda _: _tests(
            _CONDUCTING, "-k", "clock or slept or nights or provider or jump or nobody_sets"
        ),
    ),
)
