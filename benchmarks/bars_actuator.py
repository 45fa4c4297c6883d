# SPDX-License-Identifier: Apache-2.0
"""Bars of limits that are set on boards: of fake ones, in benchmarks/actuator.py and the tests."""

import tempfile
from pathlib import Path

from benchmarks import actuator
from benchmarks.outcomes import ROOT, Bar, Options, Outcome, absent, run_tests
from submeter.testing.compiling import find_compiler

_TESTS = ROOT / "tests" / "reducing" / "test_actuators.py"


def searching(options: Options) -> Outcome:
    del options
    if find_compiler() is None:
        return absent("a C compiler for the fake driver")
    with tempfile.TemporaryDirectory() as folder:
        found = actuator.searched(Path(folder), actuator.CURVE, window_s=2.0, behind=100)
    figure = (
        f"found {found['found_w']} W, the oracle {found['oracle_w']:g} W; the node uses "
        f"{100 * found['node_saving_ratio']:.1f} % less for each step, foretold "
        f"{100 * found['foretold_saving_ratio']:.1f} %"
    )
    near = abs(found["node_saving_ratio"] - found["foretold_saving_ratio"]) < 0.01
    return Outcome(figure, found["found_w"] == found["oracle_w"] and near and found["restored"])


def crashing(options: Options) -> Outcome:
    del options
    found = run_tests([str(_TESTS)])
    return Outcome("the tests could not be collected", False) if found is None else found.outcome


BARS = (
    Bar("a search on a fake board ends at the oracle's limit, its node uses less", searching),
    Bar(
        "a crash at any point leaves limits restored by the next start; without rights nothing is "
        "half-set",
        crashing,
    ),
)
