# SPDX-License-Identifier: Apache-2.0
"""Every factor of units.py against pint."""

from collections.abc import Callable

import pint
import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter import units

REGISTRY: pint.UnitRegistry = pint.UnitRegistry()


@pytest.mark.parametrize(
    ("ours", "source", "target"),
    [
        (units.joule_to_kwh, "joule", "kilowatt_hour"),
        (units.kwh_to_joule, "kilowatt_hour", "joule"),
    ],
)
@given(x=st.floats(0, 1e12))
def test_conversions_agree_with_pint(
    ours: Callable[[float], float], source: str, target: str, x: float
) -> None:
    assert ours(x) == pytest.approx(REGISTRY.Quantity(x, source).to(target).magnitude)


@pytest.mark.parametrize(
    ("factor", "source", "target"),
    [
        (units.NS_PER_S, "second", "nanosecond"),
        (units.NS_PER_MS, "millisecond", "nanosecond"),
        (units.UJ_PER_J, "joule", "microjoule"),
    ],
)
def test_factors_agree_with_pint(factor: int, source: str, target: str) -> None:
    assert factor == pytest.approx(REGISTRY.Quantity(1.0, source).to(target).magnitude)


@given(st.integers(0, 10**15))
def test_nanoseconds_come_back(duration_ns: int) -> None:
    assert units.s_to_ns(units.ns_to_s(duration_ns)) == pytest.approx(duration_ns, abs=1)
