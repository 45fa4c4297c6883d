# SPDX-License-Identifier: Apache-2.0
"""The bars of docs/accuracy.md, on machines whose energy is known in closed form."""

from math import inf

import pytest

from benchmarks import accuracy


def test_counters_are_right_to_a_tenth_of_a_percent() -> None:
    rows = list(accuracy.counter_rows())
    judged = accuracy.judged(rows)
    assert len({r.scenario for r in judged}) == 6
    assert min(r.length_s for r in rows) == 10
    assert accuracy.failures(rows, error=accuracy.COUNTER_ERROR, bound=inf) == []
    assert accuracy.failures(judged, error=inf, bound=accuracy.COUNTER_BOUND) == []


def test_a26_boards_without_a_counter_are_right_to_two_percent() -> None:
    rows = list(accuracy.polled_rows())
    assert len(rows) == 9
    assert accuracy.failures(rows, error=accuracy.POLLED_ERROR, bound=accuracy.POLLED_BOUND) == []


def test_a04_a05_a06_a09_a13_a23_bounds_hold_the_truth_through_every_fault() -> None:
    rows = list(accuracy.fault_rows())
    assert len(rows) == 7
    assert [r for r in rows if not r.holds] == []


@pytest.mark.slow
def test_nominal_intervals_keep_their_word_in_a_thousand_runs() -> None:
    assert 0.93 <= accuracy.coverage(1000, 1) <= 0.97
