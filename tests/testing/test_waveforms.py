# SPDX-License-Identifier: Apache-2.0
"""Energy in closed form agrees with power, added up finely."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.testing import burst, constant, square
from submeter.testing.waveforms import Waveform, ramp, step

watts = st.floats(0, 700)
times = st.floats(-3, 8)
lengths = st.floats(0.01, 5)
simple = st.one_of(
    st.builds(constant, watts),
    st.builds(square, st.floats(0.05, 3), watts, watts, duty_ratio=st.floats(0, 1)),
    st.builds(
        lambda start, length, a, b: ramp(start, start + length, a, b), times, lengths, watts, watts
    ),
    st.builds(step, times, watts, watts),
    st.builds(burst, watts, watts),
)
waveforms = st.lists(simple, min_size=1, max_size=4).map(
    lambda waves: Waveform(tuple(part for wave in waves for part in wave.parts))
)
POINTS = 4000


@settings(deadline=None)
@given(wave=waveforms, start_s=times, length_s=lengths)
def test_energy_is_the_integral_of_power(wave: Waveform, start_s: float, length_s: float) -> None:
    width_s = length_s / POINTS
    middles = start_s + (np.arange(POINTS) + 0.5) * width_s
    summed_j = sum(wave.power_w(float(t)) for t in middles) * width_s
    # each edge is missed by at most half a width times its height; the fastest has 2 per 0.05 s
    edges = sum(2 * length_s / 0.05 + 2 for _ in wave.parts)
    assert wave.energy_j(start_s, start_s + length_s) == pytest.approx(
        summed_j, abs=edges * 700 * width_s + 1e-6
    )


@given(wave=waveforms, start_s=times, first_s=lengths, second_s=lengths)
def test_splitting_a_window_conserves_energy(
    wave: Waveform, start_s: float, first_s: float, second_s: float
) -> None:
    middle_s, end_s = start_s + first_s, start_s + first_s + second_s
    parts_j = wave.energy_j(start_s, middle_s) + wave.energy_j(middle_s, end_s)
    assert wave.energy_j(start_s, end_s) == pytest.approx(parts_j, abs=1e-8)
    assert wave.energy_j(end_s, start_s) == pytest.approx(-parts_j, abs=1e-8)


@given(wave=waveforms, other=waveforms, t_s=times, by_s=times, ratio=st.floats(0, 3))
def test_sums_shifts_and_scales(
    wave: Waveform, other: Waveform, t_s: float, by_s: float, ratio: float
) -> None:
    end_s = t_s + 2.5
    both_j = wave.energy_j(t_s, end_s) + other.energy_j(t_s, end_s)
    assert (wave + other).energy_j(t_s, end_s) == pytest.approx(both_j, abs=1e-8)
    assert (ratio * wave).energy_j(t_s, end_s) == pytest.approx(
        ratio * wave.energy_j(t_s, end_s), abs=1e-8
    )
    later_j = wave.shifted(by_s).energy_j(t_s + by_s, end_s + by_s)
    assert later_j == pytest.approx(wave.energy_j(t_s, end_s), abs=1e-8)


def test_known_energies() -> None:
    assert constant(50).energy_j(0, 10) == 500
    assert square(0.5, 100, 300).energy_j(0, 10) == pytest.approx(2000)
    assert square(1, 0, 100, duty_ratio=0.25).energy_j(0.5, 1.5) == pytest.approx(25)
    assert burst(50, 400).energy_j(0, 4) == pytest.approx(4 * 50 + 10 * 0.05 * 350)
    assert ramp(2, 4, 0, 100).energy_j(0, 10) == pytest.approx(100 + 600)
    assert step(3, 10, 20).energy_j(0, 5) == pytest.approx(30 + 40)


def test_power_at_an_edge_is_the_one_behind_it() -> None:
    wave = square(2, 10, 20)
    assert [wave.power_w(t) for t in (-0.5, 0, 0.99, 1, 1.99, 2)] == [10, 20, 20, 10, 10, 20]
    assert step(3, 10, 20).power_w(3) == 20


@pytest.mark.parametrize(
    "make",
    [
        lambda: constant(math.nan),
        lambda: square(0, 1, 2),
        lambda: square(1, 1, 2, duty_ratio=1.5),
        lambda: burst(1, 2, length_s=0.5, every_s=0.4),
        lambda: ramp(2, 1, 0, 5),
        lambda: ramp(0, math.inf, 0, 5),
    ],
)
def test_nonsense_is_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match="must"):
        make()
