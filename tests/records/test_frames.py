# SPDX-License-Identifier: Apache-2.0
"""Frames go through their bytes unchanged."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from submeter.records import frames


@given(st.lists(st.integers(0, 2**63 - 1), max_size=30))
def test_deltas_give_the_series_back(series: list[int]) -> None:
    assert frames.delta_decode(frames.delta_encode(series)) == series


@given(st.lists(st.one_of(st.none(), st.integers(0, 2**63 - 1)), max_size=30))
def test_deltas_bridge_what_is_missing(series: list[int | None]) -> None:
    assert frames.gappy_delta_decode(frames.gappy_delta_encode(series)) == series


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=10))
def test_a_frame_survives_its_bytes(instants: list[int]) -> None:
    ticks = frames.Ticks(0, frames.delta_encode(instants), 5, [[1, None, 3]])
    coded = msgspec.msgpack.encode(ticks)
    assert msgspec.msgpack.decode(coded, type=frames.Frame) == ticks
