# SPDX-License-Identifier: Apache-2.0
"""Where the interval of a sum of products is known exactly, and what it may never do."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, halfnorm, norm

from submeter.records import intervals
from submeter.records.intervals import Row, coverage, half_normal, interval

Z95 = float(norm.ppf(0.975))
KEYS = ["a", "b", "c", "d"]
values = st.floats(1e-3, 1e9)


def rows(most_sd: float, *, low: float = 1e-3, high: float = 1e9) -> st.SearchStrategy[list[Row]]:
    """Up to eight products of up to four doubts, some of them about zero."""
    row = st.builds(
        Row,
        st.floats(low, high),
        st.dictionaries(st.sampled_from(KEYS), st.floats(0.0, most_sd), max_size=4),
        st.lists(st.sampled_from(["y", "z"]), max_size=2, unique=True).map(tuple),
    )
    return st.lists(row, min_size=1, max_size=8)


@given(values, st.floats(0.01, 3.0))
def test_one_log_normal_is_exact(value: float, log_sd: float) -> None:
    low, high = interval([Row(value, {"a": log_sd})])
    assert low == pytest.approx(value * math.exp(-Z95 * log_sd), rel=1e-3 * log_sd)
    assert high == pytest.approx(value * math.exp(Z95 * log_sd), rel=1e-3 * log_sd)


@given(values, st.lists(st.floats(0.01, 1.0), min_size=4, max_size=4))
def test_a_product_of_log_normals_is_one(value: float, sds: list[float]) -> None:
    product = interval([Row(value, dict(zip(KEYS, sds, strict=True)))])
    assert product == pytest.approx(interval([Row(value, {"a": math.hypot(*sds)})]))


@given(st.lists(st.tuples(values, st.floats(0.01, 1.5)), min_size=1, max_size=6), values)
def test_a_sum_of_functions_of_one_variable_is_exact(
    parts: list[tuple[float, float]], floor: float
) -> None:
    """All that one doubt moves, however much each, moves together; a constant stays."""
    found = interval([Row(floor, {}), *(Row(v, {"a": sd}) for v, sd in parts)])
    k = coverage(0.0)
    for end, side in zip(found, (-k, k), strict=True):
        assert end == pytest.approx(floor + sum(v * math.exp(side * sd) for v, sd in parts))


@given(values, st.floats(0.001, 0.3))
def test_one_tolerance_is_exact(value: float, log_sd: float) -> None:
    found = interval([Row(value, {"a": log_sd})], uniform={"a"})
    reach = 0.95 * math.sqrt(3) * log_sd
    assert found == pytest.approx((value * math.exp(-reach), value * math.exp(reach)), rel=1e-3)


@given(values, st.floats(0.0, 1e6))
def test_a_doubt_about_zero_is_half_normal(value: float, floor: float) -> None:
    low, high = interval([Row(floor, {}), Row(value, {}, ("z",))])
    assert low == pytest.approx(floor + value * halfnorm.ppf(0.025), rel=1e-3)
    assert high == pytest.approx(floor + value * halfnorm.ppf(0.975), rel=1e-4)


@pytest.mark.parametrize("n", [2, 4, 16, 100])
def test_many_small_doubts_become_normal(n: int) -> None:
    low, high = interval([Row(1.0, {f"k{i}": 0.03}) for i in range(n)])
    assert high - low == pytest.approx(2 * Z95 * 0.03 * math.sqrt(n), rel=2e-3)
    assert low + high == pytest.approx(2 * n, rel=2e-3)


@pytest.mark.parametrize("z", [-7.0, -3.0, -1.96, 0.0, 0.01, 1.0, 1.96, 5.0])
def test_the_half_normal_of_equal_probability(z: float) -> None:
    assert half_normal(z) == pytest.approx(float(halfnorm.isf(norm.sf(z))), rel=1e-5)


@given(rows(1.0), st.floats(1e-6, 1e6))
def test_a_scaled_sum_has_the_scaled_interval(parts: list[Row], ratio: float) -> None:
    low, high = interval(parts)
    scaled = interval(row._replace(value=row.value * ratio) for row in parts)
    assert scaled == pytest.approx((low * ratio, high * ratio), rel=1e-9)


@given(rows(1.0), values)
def test_a_constant_shifts_the_interval(parts: list[Row], constant: float) -> None:
    low, high = interval(parts)
    shifted = interval([*parts, Row(constant, {})])
    assert shifted == pytest.approx((low + constant, high + constant), rel=1e-12)


@given(rows(1.0), st.floats(0.01, 1.0))
def test_a_doubt_that_all_share_never_narrows(parts: list[Row], log_sd: float) -> None:
    alone = interval(parts)
    shared = interval(r._replace(log_sds={**r.log_sds, "all": log_sd}) for r in parts)
    slack = 0.05 * (alone[1] - alone[0])  # what the interval itself may be off
    assert shared[0] <= alone[0] + slack + 1e-9 * alone[0]
    assert shared[1] >= alone[1] - slack - 1e-9 * alone[1]


@given(rows(1.0))
def test_rows_of_equal_doubt_are_one(parts: list[Row]) -> None:
    halves = [row._replace(value=row.value / 2) for row in parts]
    assert interval([*halves, *reversed(halves)]) == pytest.approx(interval(parts), rel=1e-9)


@given(rows(1.0))
def test_a_lower_level_is_narrower(parts: list[Row]) -> None:
    (low, high), (inner_low, inner_high) = interval(parts), interval(parts, level=0.90)
    assert low * (1 - 1e-12) <= inner_low <= inner_high <= high * (1 + 1e-12)


@given(rows(5.0, low=1e-12, high=1e18))
def test_absurd_doubts_stay_finite_and_in_order(parts: list[Row]) -> None:
    low, high = interval(parts)
    assert 0 <= low <= high < math.inf


@pytest.mark.parametrize("log_sd", [math.inf, 1e300, 1e-300, 0.0])
def test_no_deviation_is_too_odd(log_sd: float) -> None:
    low, high = interval([Row(1.0, {"a": log_sd}), Row(2.0, {"b": 0.1}, ("z",))])
    assert 0 <= low <= high < math.inf


def test_nothing_has_no_interval() -> None:
    assert interval([]) == (0.0, 0.0)
    assert interval([Row(0.0, {"a": 1.0})]) == (0.0, 0.0)


@pytest.mark.parametrize("level", [0.95, 0.90])
def test_coverage_factors_are_the_quantiles_of_the_symmetric_beta(level: float) -> None:
    for kurtosis, k in zip(intervals._KURTOSIS[:-1], intervals._LEVELS[level][:-1], strict=True):
        a = (-6 / kurtosis - 3) / 2
        sd = beta.std(a, a, loc=-1, scale=2)
        assert k == pytest.approx(beta.ppf((1 + level) / 2, a, a, loc=-1, scale=2) / sd, abs=1e-4)


def test_the_coverage_of_one_uniform_error_is_exact() -> None:
    assert coverage(-1.2) / math.sqrt(3) == pytest.approx(0.95, abs=1e-3)


def test_a_level_that_is_not_tabled_is_refused() -> None:
    with pytest.raises(ValueError, match="level"):
        interval([Row(1.0, {"a": 0.1})], level=0.5)
