# SPDX-License-Identifier: Apache-2.0
"""What a setting will use, from what others used."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.reducing.foreseeing import SPARE, Value, foreseen_least_j

Rows = list[tuple[dict[str, Value], float]]


def used_j(batch: int, amp: str, power: float = 0.5) -> float:
    return 1000.0 * math.pow(batch, -power) * (0.6 if amp == "bf16" else 1.0)


def rows(batches: tuple[int, ...] = (8, 16, 32), power: float = 0.5) -> Rows:
    pairs = itertools.product(batches, ("none", "bf16"))
    return [({"batch": str(b), "amp": a}, used_j(b, a, power)) for b, a in pairs]


@given(st.floats(-2, 2), st.integers(1, 512), st.sampled_from(["none", "bf16"]))
def test_a_product_of_powers_is_found(power: float, batch: int, amp: str) -> None:
    found = foreseen_least_j({"batch": str(batch), "amp": amp}, rows(power=power))
    assert found == pytest.approx(used_j(batch, amp, power), rel=1e-3)


@given(st.lists(st.floats(-0.3, 0.3), min_size=6, max_size=6))
def test_where_it_scatters_less_is_said(errors: list[float]) -> None:
    noisy = [(s, e * (1 + d)) for (s, e), d in zip(rows(), errors, strict=True)]
    for settings, energy_j in noisy:
        assert foreseen_least_j(settings, noisy) <= 1.5 * energy_j


@pytest.mark.parametrize(
    ("settings", "seen"),
    [
        ({"batch": "8", "amp": "none"}, []),
        ({"batch": "8", "amp": "none"}, rows()[: SPARE + 2]),  # no more than there are effects
        ({"batch": "0", "amp": "none"}, rows()),  # has no logarithm
    ],
)
def test_nothing_is_said_where_too_little_is_known(settings: dict[str, Value], seen: Rows) -> None:
    assert foreseen_least_j(settings, seen) == 0
