# SPDX-License-Identifier: Apache-2.0
"""A run's share of a processor."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.metering.shares import Use, processor_share_j, use_ratio

seconds = st.floats(0, 1e5)


@given(
    drawn_j=st.floats(0, 1e9),
    busy_s=st.one_of(st.none(), seconds),
    run_s=st.one_of(st.none(), seconds),
    idle_w=st.floats(0, 500),
    allocation=st.floats(0, 1),
    length_s=st.floats(0, 1e5),
)
def test_g05_a_share_is_never_more_than_what_was_drawn(
    *,
    drawn_j: float,
    busy_s: float | None,
    run_s: float | None,
    idle_w: float,
    allocation: float,
    length_s: float,
) -> None:
    share_j, sd_j = processor_share_j(
        drawn_j, Use(length_s, busy_s, run_s), idle_w=idle_w, allocation_ratio=allocation
    )
    assert 0 <= share_j <= drawn_j * (1 + 1e-12)
    assert sd_j >= 0


@pytest.mark.parametrize(
    ("use", "ratio"),
    [
        (Use(1.0, 2.0, 1.0), 0.5),
        (Use(1.0, 0.0, 0.0), 1.0),
        (Use(1.0, 1.0, 1.5), 1.0),
        (Use(1.0, None, 1.0), None),
        (Use(1.0, 1.0, None), None),
    ],
)
def test_the_part_of_the_busy_time(use: Use, ratio: float | None) -> None:
    assert use_ratio(use) == ratio


def test_e04_unseen_use_counts_by_allocation_and_says_how_doubtful() -> None:
    share_j, sd_j = processor_share_j(100.0, Use(1.0), idle_w=10.0, allocation_ratio=0.5)
    assert share_j == 50.0
    assert sd_j > 0
