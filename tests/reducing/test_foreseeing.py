# SPDX-License-Identifier: Apache-2.0
"""What a setting will use or reach, from what others did."""

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.reducing.foreseeing import SPARE, Effects, Foreseen, Value

Rows = list[tuple[dict[str, Value], float]]
BATCHES = (8, 16, 32, 64)


def log_j(batch: int, amp: str, power: float = 0.5, bend: float = 0.0) -> float:
    by_batch = power * math.log(batch) + bend * math.log(batch / 16) ** 2
    return 7.0 - by_batch - (0.5 if amp == "bf16" else 0.0)


def rows(power: float = 0.5, bend: float = 0.0, batches: tuple[int, ...] = BATCHES) -> Rows:
    pairs = itertools.product(batches, ("none", "bf16"))
    return [({"batch": str(b), "amp": a}, log_j(b, a, power, bend)) for b, a in pairs]


@given(
    st.floats(-2, 2), st.floats(-0.3, 0.3), st.integers(1, 512), st.sampled_from(["none", "bf16"])
)
def test_a_sum_of_effects_is_found(power: float, bend: float, batch: int, amp: str) -> None:
    """By the logarithm of a number, its square, and a choice: exactly, wherever one asks."""
    effects = Effects.of(rows(power, bend))
    assert effects is not None
    found = effects.foreseen({"batch": str(batch), "amp": amp})
    assert found is not None
    assert found.mean == pytest.approx(log_j(batch, amp, power, bend), abs=1e-4)


def test_it_is_as_often_right_as_it_says() -> None:
    """Of what is drawn with the same scatter, 5 % lies below what has a probability of 5 %."""
    rng, below, tries = random.Random(1), 0, 400  # noqa: S311  # no secret
    for _ in range(tries):
        noisy = [(s, y + rng.gauss(0, 0.2)) for s, y in rows()]
        effects = Effects.of(noisy)
        assert effects is not None
        found = effects.foreseen({"batch": "16", "amp": "none"})
        assert found is not None
        below += found.below(log_j(16, "none") + rng.gauss(0, 0.2)) < 0.05
    assert 0.02 * tries <= below <= 0.09 * tries


def test_farther_away_less_is_said() -> None:
    rng = random.Random(2)  # noqa: S311  # no secret
    effects = Effects.of([(s, y + rng.gauss(0, 0.1)) for s, y in rows()])
    assert effects is not None
    sds = []
    for batch in (16, 256, 4096):
        found = effects.foreseen({"batch": str(batch), "amp": "none"})
        assert found is not None
        sds.append(found.sd)
    assert sds[0] < sds[1] < sds[2]


@given(st.floats(-3, 3), st.floats(0.1, 2.0), st.integers(1, 30), st.floats(0.0, 4.0))
def test_below_is_a_distribution(mean: float, sd: float, freedom: int, off: float) -> None:
    found = Foreseen(mean, sd, freedom)
    assert found.below(mean - off) == pytest.approx(1 - found.below(mean + off))
    assert found.below(mean - off) <= 0.5 <= found.below(mean + off)


@pytest.mark.parametrize(
    ("settings", "seen"),
    [
        ({"batch": "8", "amp": "none"}, []),
        ({"batch": "8", "amp": "none"}, rows()[: SPARE + 2]),  # no more than there are effects
        ({"batch": "0", "amp": "none"}, rows()),  # has no logarithm
        ({"batch": "8", "amp": "fp8"}, rows()),  # nobody had it
    ],
)
def test_nothing_is_said_where_too_little_is_known(settings: dict[str, Value], seen: Rows) -> None:
    effects = Effects.of(seen)
    assert effects is None or effects.foreseen(settings) is None


def test_with_few_trials_numbers_have_no_bend() -> None:
    few = rows(batches=(8, 16, 32))
    effects = Effects.of(few)  # six trials: 1, batch and amp, not the square of batch
    assert effects is not None
    found = effects.foreseen({"batch": "64", "amp": "none"})
    assert found is not None
    assert found.mean == pytest.approx(log_j(64, "none"), abs=1e-4)
