# SPDX-License-Identifier: Apache-2.0
"""A clock that moves only when told to, and the three times that it tells."""

import os

import pytest

from submeter.collecting.clock import Clock
from submeter.testing import VirtualClock
from submeter.units import NS_PER_S


def test_waiting_is_a_jump() -> None:
    clock = VirtualClock(5 * NS_PER_S)
    assert clock.wait_until(3605 * NS_PER_S) == []
    assert clock.monotonic_ns() == 3605 * NS_PER_S


def test_waiting_for_the_past_changes_nothing() -> None:
    clock = VirtualClock(5 * NS_PER_S)
    clock.wait_until(4 * NS_PER_S)
    assert clock.monotonic_ns() == 5 * NS_PER_S


def test_what_can_be_read_ends_the_wait_before_time_passes() -> None:
    clock = VirtualClock()
    before_ns = clock.monotonic_ns()
    reading, writing = os.pipe()
    try:
        assert clock.wait_until(before_ns + NS_PER_S, (reading,)) == []
        os.write(writing, b"x")
        assert clock.wait_until(before_ns + 9 * NS_PER_S, (reading,)) == [reading]
    finally:
        os.close(reading)
        os.close(writing)
    assert clock.monotonic_ns() == before_ns + NS_PER_S


def test_suspend_stops_monotonic_time_only() -> None:
    clock = VirtualClock(NS_PER_S, utc_ns=100 * NS_PER_S, asleep_ns=7)
    clock.suspend(8 * 3600)
    assert clock.monotonic_ns() == NS_PER_S
    assert clock.boottime_ns() == NS_PER_S + 7 + 8 * 3600 * NS_PER_S
    assert clock.utc_ns() == (100 + 8 * 3600) * NS_PER_S


def test_a_step_of_the_wall_clock_moves_nothing_else() -> None:
    clock = VirtualClock(NS_PER_S, utc_ns=100 * NS_PER_S)
    clock.step_wall(-3600)
    clock.advance(2)
    assert clock.utc_ns() == (102 - 3600) * NS_PER_S
    assert clock.monotonic_ns() == clock.boottime_ns() == 3 * NS_PER_S


def test_a_drifting_wall_clock_gains_in_proportion() -> None:
    clock = VirtualClock(0, utc_ns=0)
    clock.drift_wall(5e-4)
    clock.advance(1000)
    assert clock.utc_ns() == 1000 * NS_PER_S + NS_PER_S // 2
    assert clock.monotonic_ns() == 1000 * NS_PER_S


def test_followers_hear_of_each_move() -> None:
    clock = VirtualClock(0)
    heard: list[int] = []
    clock.on_move(heard.append)
    clock.advance(1)
    clock.wait_until(NS_PER_S)
    clock.suspend(5)
    clock.wait_until(3 * NS_PER_S)
    assert heard == [NS_PER_S, 3 * NS_PER_S]


def test_time_does_not_go_back() -> None:
    clock = VirtualClock()
    with pytest.raises(ValueError, match="go back"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="sleep"):
        clock.suspend(-1)


def test_it_is_a_clock_of_the_collector() -> None:
    clock: Clock = VirtualClock(0)  # checked by mypy as well
    assert clock.wait_until(7) == []
    assert clock.monotonic_ns() == clock.boottime_ns() == 7
