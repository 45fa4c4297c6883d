# SPDX-License-Identifier: Apache-2.0
"""Panels and a battery: energy is conserved, and the sun stands where it stands."""

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.errors import UsageError
from submeter.grid.microgrid import Microgrid, clear_sky_w_per_m2, supplied
from submeter.records.traces import Load
from submeter.units import kwh_to_joule

NOON_S = datetime(2026, 6, 21, 12, tzinfo=UTC).timestamp()

loads = st.builds(
    Load,
    start_utc_s=st.floats(0, 2e9),
    slot_s=st.sampled_from([60.0, 900.0, 3600.0, 10800.0]),
    energies_j=st.lists(st.floats(0, 1e9), min_size=1, max_size=48).map(tuple),
)
systems = st.builds(
    Microgrid,
    panel_kw=st.floats(0, 1e3),
    battery_kwh=st.floats(0, 1e3),
    latitude=st.floats(-90, 90),
    longitude=st.floats(-180, 180),
    efficiency_ratio=st.floats(0.5, 1),
    battery_kw=st.one_of(st.just(math.inf), st.floats(0, 500)),
    charged_ratio=st.floats(0, 1),
)


@given(load=loads, system=systems)
def test_energy_is_conserved(load: Load, system: Microgrid) -> None:
    made = supplied(load, system)
    size_j = sum(load.energies_j) + made.solar_j + kwh_to_joule(system.battery_kwh) + 1
    for whole, grid, own in zip(
        load.energies_j, made.grid.energies_j, made.own.energies_j, strict=True
    ):
        assert grid + own == pytest.approx(whole, abs=1e-9 * size_j)
    # All that was generated is used, spilled, lost, or still there.
    used = sum(made.own.energies_j)
    left = made.solar_j - made.spilled_j - made.lost_j - made.stored_j
    assert left == pytest.approx(used, rel=1e-9, abs=1e-9 * size_j)


@given(load=loads, system=systems)
def test_nothing_is_negative_and_the_battery_stays_in_its_range(
    load: Load, system: Microgrid
) -> None:
    made = supplied(load, system)
    full_j = kwh_to_joule(system.battery_kwh)
    assert all(0 <= g <= e for g, e in zip(made.grid.energies_j, load.energies_j, strict=True))
    assert min(made.own.energies_j) >= 0
    assert all(0 <= c <= full_j for c in made.charge_j)
    assert min(made.solar_j, made.spilled_j, made.lost_j) >= -1e-6
    assert (made.grid.start_utc_s, made.grid.slot_s) == (load.start_utc_s, load.slot_s)


@given(load=loads, system=systems, more=st.floats(0, 1e3))
def test_more_panels_never_draw_more_from_the_grid(
    load: Load, system: Microgrid, more: float
) -> None:
    from msgspec import structs

    larger = structs.replace(system, panel_kw=system.panel_kw + more)
    one, other = supplied(load, system), supplied(load, larger)
    assert sum(other.grid.energies_j) <= sum(one.grid.energies_j) * (1 + 1e-9) + 1e-3


def test_without_panels_and_battery_the_grid_supplies_all() -> None:
    load = Load(NOON_S, 3600.0, (1.0, 2.0, 3.0))
    assert supplied(load, Microgrid(0, 0, 48, 11)).grid == load


def test_a_battery_carries_the_day_into_the_night() -> None:
    day = Load(datetime(2026, 6, 21, tzinfo=UTC).timestamp(), 3600.0, (3.6e6,) * 24)  # 1 kW
    bare = supplied(day, Microgrid(10, 0, 48, 11))
    stored = supplied(day, Microgrid(10, 15, 48, 11))
    assert sum(stored.grid.energies_j) < sum(bare.grid.energies_j)
    assert bare.grid.energies_j[-2] == stored.own.energies_j[-2] == 3.6e6  # 22 h UTC


def test_a_full_battery_gives_what_its_efficiency_leaves() -> None:
    night = Load(datetime(2026, 12, 21, tzinfo=UTC).timestamp(), 3600.0, (3.6e7,))
    made = supplied(night, Microgrid(1, 1, 48, 11, efficiency_ratio=0.81, charged_ratio=1))
    assert made.own.energies_j[0] == pytest.approx(0.9 * 3.6e6)  # the way out only
    assert made.charge_j == (0.0,)


@pytest.mark.parametrize(
    ("at", "latitude", "expected"),
    [  # 1098 cos z exp(-0.059 / cos z), z from latitude and a declination of 23.45 degrees
        ("2026-06-21T12:00", 23.45, 1098 * math.exp(-0.059)),
        ("2026-06-21T12:00", 53.45, 1098 * 0.8660 * math.exp(-0.059 / 0.8660)),
        ("2026-06-21T00:00", 23.45, 0.0),
        ("2026-12-21T12:00", 80.0, 0.0),  # polar night
    ],
)
def test_the_sun_stands_where_it_should(at: str, latitude: float, expected: float) -> None:
    at_s = datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp()
    assert clear_sky_w_per_m2(at_s, latitude, 0.0) == pytest.approx(expected, rel=0.002)


def test_noon_comes_four_minutes_earlier_per_degree_east() -> None:
    for longitude in (-120.0, 0.0, 90.0):
        hours = [i / 60 for i in range(24 * 60)]
        day_s = datetime(2026, 6, 13, tzinfo=UTC).timestamp()  # equation of time: zero
        best = max(hours, key=lambda h: clear_sky_w_per_m2(day_s + h * 3600, 40, longitude))
        assert best == pytest.approx(12 - longitude / 15, abs=2 / 60)


@pytest.mark.parametrize(
    "wrong",
    [
        {"panel_kw": -1}, {"panel_kw": math.nan}, {"battery_kwh": math.inf},
        {"efficiency_ratio": 0}, {"efficiency_ratio": 1.1}, {"charged_ratio": 2},
        {"latitude": 91}, {"longitude": math.nan}, {"battery_kw": math.nan},
    ],
)  # fmt: skip
def test_a_system_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    given = {"panel_kw": 1, "battery_kwh": 1, "latitude": 48, "longitude": 11} | wrong
    with pytest.raises(UsageError):
        supplied(Load(NOON_S, 60.0, (1.0,)), Microgrid(**given))
