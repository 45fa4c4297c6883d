# SPDX-License-Identifier: Apache-2.0
"""Dividing windows among phases: sums, oracles, and what cannot be told apart."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from submeter.metering.separate import (
    OUTSIDE,
    Occupation,
    Separator,
    invert,
    non_negative_least_squares,
)
from submeter.metering.shares import SHARE_RELATIVE_SD

windows = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from("abcd"), st.floats(0.0, 0.1), max_size=4),
        st.floats(0.0, 100.0),
    ),
    min_size=1,
    max_size=60,
)


@given(windows)
@settings(deadline=None)
def test_g05_every_split_sums_to_what_was_drawn(
    rows: list[tuple[dict[str, float], float]],
) -> None:
    separator = Separator(by_cpu_time=True)
    for occupied, energy_j in rows:
        leaves = {p: Occupation(s, s) for p, s in occupied.items()}
        separator.add(0.1, leaves, {"cpu:0": energy_j, "dram:0": energy_j / 10})
    splits = separator.finish()
    drawn_j = math.fsum(e for _, e in rows)
    got = {d: math.fsum(s.devices.get(d, 0.0) for s in splits.values()) for d in ("cpu:0",)}
    assert got["cpu:0"] == pytest.approx(drawn_j, rel=1e-9, abs=1e-9)
    assert all(e >= 0 for s in splits.values() for e in s.devices.values())
    assert math.fsum(s.energy_j for s in splits.values()) == pytest.approx(
        1.1 * drawn_j, rel=1e-9, abs=1e-9
    )


@given(
    st.integers(1, 6).flatmap(
        lambda n: st.tuples(
            st.lists(
                st.lists(st.floats(0, 1), min_size=n, max_size=n), min_size=n + 2, max_size=20
            ),
            st.lists(st.floats(0, 500), min_size=n, max_size=n),
        )
    )
)
@settings(deadline=None, max_examples=60)
def test_least_squares_agree_with_scipy(
    problem: tuple[list[list[float]], list[float]],
) -> None:
    x = np.array(problem[0])
    y = x @ np.array(problem[1])
    ours = non_negative_least_squares((x.T @ x).tolist(), (x.T @ y).tolist())
    _, norm = nnls(x, y)
    mine = float(np.linalg.norm(x @ np.array(ours) - y))
    assert mine <= norm + 1e-3 * (1 + float(np.linalg.norm(y)))


@given(st.lists(st.lists(st.floats(-1, 1), min_size=3, max_size=3), min_size=6, max_size=9))
def test_the_inverse_is_one(rows: list[list[float]]) -> None:
    x = np.array(rows)
    gram = x.T @ x + np.eye(3)
    inverse = invert(gram.tolist())
    assert inverse is not None
    assert np.allclose(gram @ np.array(inverse), np.eye(3), atol=1e-8)


def test_a_singular_matrix_has_no_inverse() -> None:
    assert invert([[1.0, 1.0], [1.0, 1.0]]) is None
    assert invert([[0.0]]) is None


def test_leaves_side_by_side_share_by_cpu_time_or_by_wall_time() -> None:
    both = {"load": Occupation(0.1, 0.03), "train": Occupation(0.1, 0.09)}
    for by_cpu_time, expected in ((True, 0.25), (False, 0.5)):
        separator = Separator(by_cpu_time=by_cpu_time)
        for _ in range(50):
            separator.add(0.1, both, {"d": 10.0})
        splits = separator.finish()
        assert splits["load"].energy_j == pytest.approx(500 * expected, rel=0.01)
        assert splits["load"].joint_with == ()
        part = expected * (1 - expected)
        assert splits["load"].sd_j == pytest.approx(500 * SHARE_RELATIVE_SD * part, rel=0.01)


def test_windows_without_a_device_leave_nothing_behind() -> None:
    separator = Separator(by_cpu_time=False)
    separator.add(0.1, {"a": Occupation(0.1), "b": Occupation(0.1)}, {})
    assert separator.finish() == {}


def test_leaves_that_sleep_side_by_side_share_by_time() -> None:
    separator = Separator(by_cpu_time=True)
    for i in range(50):
        jitter_s = 1e-4 * (i % 3)
        asleep = {"a": Occupation(0.1, jitter_s), "b": Occupation(0.1, 2e-4 - jitter_s)}
        separator.add(0.1, asleep, {"d": 10.0})
    splits = separator.finish()
    assert splits["a"].energy_j == pytest.approx(splits["b"].energy_j)


def test_g01_a_leaf_that_the_fit_gives_nothing_is_not_a_sure_zero() -> None:
    separator = Separator(by_cpu_time=True)
    for i in range(40):
        blink_s = 0.02 if i == 20 else 0.0
        leaves = {"train": Occupation(0.1 - blink_s, 0.1), "blink": Occupation(blink_s, 0.0)}
        separator.add(0.1, leaves, {"d": 7.0 if i == 20 else 10.0 + i % 2})
    blink = separator.finish()["blink"]
    assert blink.sd_j > 0


def test_many_leaves_stay_in_bounded_memory_and_still_sum() -> None:
    separator = Separator(by_cpu_time=True)
    for i in range(3000):
        names = {f"p{(i * k) % 200}": Occupation(0.02, 0.02) for k in (1, 3, 7)}
        separator.add(0.1, names, {"cpu:0": 5.0})
    splits = separator.finish()
    assert math.fsum(s.energy_j for s in splits.values()) == pytest.approx(15_000, rel=1e-9)
    assert len(separator._mixes) <= 513


def test_energy_without_time_is_outside() -> None:
    separator = Separator(by_cpu_time=True)
    separator.add(0.0, {"a": Occupation(1.0)}, {"cpu:0": 3.0})
    assert separator.finish()[OUTSIDE].energy_j == 3.0
