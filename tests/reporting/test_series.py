# SPDX-License-Identifier: Apache-2.0
"""A trace over time, drawn: from the least to the most, whatever the values are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.reporting.series import blocks


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ((0.0, 0.0, 0.0), "▄▄▄"),  # a grid without carbon
        ((0.0, None, 0.0), "▄·▄"),
        ((0.0, 1.0), "▁█"),
        ((-1.0, 0.0, 1.0), "▁▅█"),  # prices
        ((5.0,), "▄"),
        ((None, None), "··"),
    ],
)
def test_the_least_is_lowest_and_what_is_flat_is_half_high(
    values: tuple[float | None, ...], drawn: str
) -> None:
    assert blocks(values, 8) == drawn


@given(st.lists(st.none() | st.floats(-1e6, 1e6), min_size=1, max_size=60), st.integers(1, 30))
def test_any_series_is_drawn_within_its_width(values: list[float | None], width: int) -> None:
    drawn = blocks(values, width)
    assert 1 <= len(drawn) <= width
    assert set(drawn) <= set("▁▂▃▄▅▆▇█·")
