# SPDX-License-Identifier: Apache-2.0
"""The one counter function: every way in which a counter is known to misbehave."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from submeter.metering.counter import SENTINELS, CounterTrack, Stretch
from submeter.records.devices import Channel, Measures
from submeter.units import NS_PER_S, s_to_ns

MODULUS = 262_143_328_851  # an Intel package zone [uJ]
PEAK_W = 400.0


def track(*, modulus: int = MODULUS, peak_w: float | None = PEAK_W) -> CounterTrack:
    channel = Channel("cpu:0", Measures.ENERGY, 1e-6, modulus=modulus, peak_w=peak_w)
    return CounterTrack(channel)


def feed_all(counter: CounterTrack, readings: list[tuple[float, int | None]]) -> list[Stretch]:
    out: list[Stretch] = []
    for t_s, raw in readings:
        out += counter.feed(s_to_ns(t_s), 0, raw)
    return out + counter.close()


def known_j(stretches: list[Stretch]) -> float:
    return sum(s.energy_j for s in stretches if s.known)


@given(start=st.integers(0, MODULUS - 1), power_w=st.floats(1.0, 390.0))
def test_a01_a_single_wrap_is_never_lost(start: int, power_w: float) -> None:
    assume(start not in SENTINELS)  # as a first reading it cannot be told from a sign
    readings = [
        (t_s, (start + int(power_w * t_s * 1e6)) % MODULUS) for t_s in (0.0, 1.0, 2.0, 3.0)
    ]
    counter = track()
    got = known_j(feed_all(counter, [(t, r) for t, r in readings]))
    assert got == pytest.approx(int(power_w * 3e6) / 1e6, abs=2e-6)
    wrapped = start + int(power_w * 3e6) >= MODULUS
    assert counter.flags["wrap"] == int(wrapped)


def test_a01_time_for_two_wraps_is_a_hole_and_no_guess() -> None:
    counter = track()
    long_s = 2 * MODULUS / 1e6 / PEAK_W
    (hole,) = feed_all(counter, [(0.0, 1000), (long_s, 5_001_000)])
    assert not hole.known
    assert hole.low_j == pytest.approx(5.0)
    assert hole.high_j >= 2 * MODULUS / 1e6
    assert counter.flags["wraps_unknown"] == 1


def test_a03_a_fall_without_a_known_range_is_never_negative_and_never_a_wrap() -> None:
    counter = track(modulus=0)
    out = feed_all(
        counter, [(0.0, 900_000_000_000), (1.0, 500_000), (2.0, 100_500_000), (3.0, 200_500_000)]
    )
    assert all(s.energy_j >= 0 for s in out)
    assert counter.flags["wrap"] == 0
    assert counter.flags["reset"] == 1
    assert known_j(out) == pytest.approx(200.0)


def test_a04_a_reset_opens_a_new_epoch_with_a_bounded_hole() -> None:
    counter = track()
    out = feed_all(
        counter,
        [(0.0, 50_000_000_000), (1.0, 50_100_000_000), (2.0, 60_000_000), (3.0, 160_000_000)],
    )
    assert [s.known for s in out] == [True, False, True]
    hole = out[1]
    assert hole.why == "reset"
    assert hole.low_j == pytest.approx(60.0)
    assert hole.low_j <= 100.0 <= hole.high_j <= PEAK_W * 1.1
    assert counter.flags["wrap"] == 0


def test_a05_a_small_step_back_is_flagged_and_anchored_anew() -> None:
    counter = track()
    out = feed_all(
        counter,
        [
            (0.0, 50_000_000_000),
            (1.0, 50_100_000_000),
            (2.0, 50_099_000_000),
            (3.0, 50_199_000_000),
        ],
    )
    assert counter.flags["stepped_back"] == 1
    assert known_j(out) == pytest.approx(200.0)
    assert all(s.energy_j >= 0 for s in out)


def test_a06_a_frozen_counter_is_a_hole_and_not_zero_watts() -> None:
    counter = track()
    moving = [(t / 10, 1_000_000 + t * 10_000_000) for t in range(10)]
    frozen = [(1 + t / 10, moving[-1][1]) for t in range(30)]
    out = feed_all(counter, [*moving, *frozen])
    holes = [s for s in out if not s.known]
    assert holes
    assert {h.why for h in holes} == {"frozen"}
    assert all(h.high_j > 0 for h in holes)
    assert holes[-1].end.late_ns == s_to_ns(3.9)


def test_cpu_time_may_stand_still() -> None:
    counter = CounterTrack(Channel("use:h", Measures.RUN_TIME, 1e-9))
    assert feed_all(counter, [(float(t), 5) for t in range(10)]) == []


@pytest.mark.parametrize("absurd", [10**15, MODULUS - 1, 10**12])
def test_a09_an_absurd_reading_is_refused(absurd: int) -> None:
    counter = track(modulus=0)
    out = feed_all(
        counter, [(0.0, 1_000_000), (1.0, 101_000_000), (2.0, absurd), (3.0, 301_000_000)]
    )
    assert known_j(out) == pytest.approx(300.0)
    assert counter.flags["spike"] == 1


def test_a09_a_lasting_jump_opens_a_new_epoch() -> None:
    counter = track(modulus=0)
    out = feed_all(counter, [(0.0, 1_000_000), (1.0, 10**15), (2.0, 10**15 + 100_000_000)])
    assert [s.known for s in out] == [False, True]
    assert counter.flags["jumped"] == 1


@pytest.mark.parametrize("sentinel", sorted(SENTINELS))
def test_sentinel_values_are_no_readings(sentinel: int) -> None:
    counter = track(modulus=0, peak_w=None)
    out = feed_all(counter, [(0.0, 0), (1.0, sentinel), (2.0, 200_000_000)])
    assert known_j(out) == pytest.approx(200.0)
    assert counter.flags["sentinel"] == 1


def test_a_counter_that_has_come_to_such_a_value_is_read_as_it_is() -> None:
    sign = 2**31 - 1
    counter = track()
    out = feed_all(counter, [(0.0, sign - 100_000_000), (1.0, sign), (2.0, sign + 100_000_000)])
    assert known_j(out) == pytest.approx(200.0)
    assert counter.flags["sentinel"] == 0


def test_failed_reads_are_bridged_by_the_counter_itself() -> None:
    counter = track()
    out = feed_all(counter, [(0.0, 0), (1.0, None), (2.0, None), (3.0, 300_000_000)])
    assert known_j(out) == pytest.approx(300.0)
    assert counter.flags["missing"] == 2


def test_readings_out_of_order_are_left_out() -> None:
    counter = track()
    out = feed_all(counter, [(1.0, 100), (0.5, 50_000_000), (2.0, 100_000_100)])
    assert known_j(out) == pytest.approx(100.0)


@given(
    powers=st.lists(st.floats(0.5, 390.0), min_size=2, max_size=30),
    missing=st.sets(st.integers(1, 28)),
    start=st.integers(0, MODULUS - 1),
)
def test_splitting_a_window_conserves_energy(
    powers: list[float], missing: set[int], start: int
) -> None:
    assume(start not in SENTINELS)
    raw, readings = start, [(0.0, start)]
    for i, power_w in enumerate(powers):
        raw += int(power_w * 1e6)
        readings.append((float(i + 1), raw % MODULUS))
    holed = [
        (t, None if i in missing and i < len(readings) - 1 else r)
        for i, (t, r) in enumerate(readings)
    ]
    got = sum(s.energy_j for s in feed_all(track(), [(t, r) for t, r in holed]) if s.known)
    assert got == pytest.approx((raw - start) / 1e6, rel=1e-9)


@given(st.lists(st.one_of(st.none(), st.integers(-5, 2**64)), max_size=40))
def test_nothing_that_a_counter_may_say_makes_energy_negative_or_absurd(
    raws: list[int | None],
) -> None:
    counter = track()
    out = feed_all(counter, [(float(i), raw) for i, raw in enumerate(raws)])
    for s in out:
        assert 0 <= s.low_j <= s.energy_j <= s.high_j
        length_s = (s.end.late_ns - s.start.early_ns) / NS_PER_S
        assert s.energy_j <= PEAK_W * (length_s + 1e-9)


def test_what_is_still_said_had_come_up_within_one_update() -> None:
    channel = Channel("gpu:0", Measures.ENERGY, 1e-3, update_s=0.1, peak_w=600.0)
    counter = CounterTrack(channel)
    counter.feed(s_to_ns(10.030), 0, 5_000)  # came up between 9.930 and now
    for i in range(34):
        assert counter.feed(s_to_ns(10.032 + 0.002 * i), 0, 5_000) == []
    (stretch,) = counter.feed(s_to_ns(10.100), 0, 25_000)
    assert stretch.start.early_ns == s_to_ns(9.998)  # else it would have moved before 10.098
    assert stretch.start.late_ns == s_to_ns(10.030)
    assert stretch.start.t_ns == s_to_ns(9.999)
    assert (stretch.end.early_ns, stretch.end.late_ns) == (s_to_ns(10.098), s_to_ns(10.100))
