# SPDX-License-Identifier: Apache-2.0
"""What layers rest on, in words."""

import pytest

from submeter.explaining.layers import LayerShares
from submeter.reporting.layers import how_words


@pytest.mark.parametrize(
    ("seen", "overhead_ratio", "enough"),
    [(4, 2.88, "576"), (20, 0.93, "930"), (10_000, 0.009, "")],
)
def test_steps_too_few_to_carry_a_look_are_told_how_many_would(
    seen: int, overhead_ratio: float, enough: str
) -> None:
    found = LayerShares(shares=(), sampled=1, seen=seen, overhead_ratio=overhead_ratio)
    told = [line for line in how_words(found) if "too few" in line or "so few" in line]
    assert len(told) == bool(enough)
    assert all(f"over {enough} of them it would be 2 %" in line for line in told)
