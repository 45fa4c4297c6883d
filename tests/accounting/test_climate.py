# SPDX-License-Identifier: Apache-2.0
"""Weather decides what free cooling costs: wet bulbs, ramps, towers, and hours of a run."""

import datetime as dt
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.accounting.climate import (
    DRY_BULB_C,
    RELATIVE_HUMIDITY_RATIO,
    WET_BULB_C,
    Ramp,
    Weather,
    mean_over,
    month,
    tower_curve_l_per_kwh,
    tower_wue,
    wet_bulb_c,
)
from submeter.accounting.facility import facility_total
from submeter.catalog import factors
from submeter.circumstances import sites
from submeter.errors import CoverageError, UsageError
from submeter.records.amounts import Amount
from submeter.records.factors import Factor
from submeter.records.figures import Basis
from submeter.records.traces import Load

KWH = 3.6e6
wet_bulbs = st.floats(*WET_BULB_C)
LATENT = factors.cooling("water/evaporated_l_per_kwh")


def saturation_pa(at_c: float) -> float:
    """Vapour pressure over water (Magnus formula, WMO coefficients)."""
    return 611.2 * math.exp(17.62 * at_c / (243.12 + at_c))


def true_wet_bulb_c(dry_c: float, humidity_ratio: float) -> float:
    """Root of the psychrometer equation at sea level, by bisection."""
    vapour_pa = humidity_ratio * saturation_pa(dry_c)
    low, high = dry_c - 45, dry_c
    for _ in range(60):
        middle = (low + high) / 2
        pressed = saturation_pa(middle) - 6.53e-4 * 101_325 * (dry_c - middle)
        low, high = (middle, high) if pressed < vapour_pa else (low, middle)
    return (low + high) / 2


@given(dry=st.floats(0, 50), humidity=st.floats(0.2, 0.99))
def test_the_formula_follows_the_psychrometer(dry: float, humidity: float) -> None:
    assert wet_bulb_c(dry, humidity) == pytest.approx(true_wet_bulb_c(dry, humidity), abs=1.3)


@pytest.mark.parametrize(
    ("dry", "humidity", "wet"),
    [(20.0, 0.50, 13.7), (30.0, 0.50, 22.3), (35.0, 0.80, 31.9), (10.0, 0.80, 8.2)],
)
def test_wet_bulbs_of_a_psychrometric_chart(dry: float, humidity: float, wet: float) -> None:
    assert wet_bulb_c(dry, humidity) == pytest.approx(wet, abs=0.4)


def test_the_worked_example_of_the_formula() -> None:
    assert wet_bulb_c(20.0, 0.5) == pytest.approx(13.7, abs=0.01)  # Stull (2011), section 2


def test_the_formula_is_off_by_a_third_of_a_kelvin_on_the_whole() -> None:
    grid = [(dry, humidity / 100) for dry in range(0, 51, 2) for humidity in range(20, 100, 3)]
    off_c = [abs(wet_bulb_c(*air) - true_wet_bulb_c(*air)) for air in grid]
    assert sum(off_c) / len(off_c) < 0.35


@given(dry=st.floats(-5, 49), more=st.floats(0.1, 1.0), humidity=st.floats(0.3, 0.9))
def test_warmer_and_moister_air_has_a_higher_wet_bulb(
    dry: float, more: float, humidity: float
) -> None:
    assert wet_bulb_c(dry + more, humidity) > wet_bulb_c(dry, humidity)
    assert wet_bulb_c(dry, humidity + 0.09) > wet_bulb_c(dry, humidity)


@pytest.mark.parametrize(
    ("dry", "humidity"),
    [(-20.1, 0.5), (50.1, 0.5), (20.0, 0.04), (20.0, 0.995), (math.nan, 0.5), (20.0, math.nan)],
)
def test_air_outside_of_the_formula_is_refused(dry: float, humidity: float) -> None:
    with pytest.raises(CoverageError):
        wet_bulb_c(dry, humidity)
    assert DRY_BULB_C == (-20.0, 50.0)
    assert RELATIVE_HUMIDITY_RATIO == (0.05, 0.99)


# Evaluated by hand from the published polynomial: T = 50, 68, 32 F with six cycles.
@pytest.mark.parametrize(
    ("wet", "litres"),
    [(10.0, 1.2 * 2.6), (20.0, 1.2 * 3.70592), (0.0, 1.2 * 0.84608), (-20.0, 0.05)],
)
def test_the_tower_curve_is_the_published_one(wet: float, litres: float) -> None:
    assert tower_curve_l_per_kwh(wet, 6) == pytest.approx(litres, rel=1e-4)


@given(wet=wet_bulbs, more=st.floats(0, 5), cycles=st.floats(1.5, 15))
def test_towers_take_more_water_when_it_is_warmer(wet: float, more: float, cycles: float) -> None:
    warmer = min(wet + more, WET_BULB_C[1])
    assert tower_curve_l_per_kwh(warmer, cycles) >= tower_curve_l_per_kwh(wet, cycles) - 1e-12
    cold, hot = (
        tower_wue(t, cycles=cycles, heat_ratio=1.3, evaporated=LATENT) for t in (wet, warmer)
    )
    assert hot.value >= cold.value - 1e-12
    assert hot.high >= cold.high - 1e-12


@given(wet=wet_bulbs, cycles=st.floats(1.5, 15), heat=st.floats(1.0, 2.0))
def test_a_tower_evaporates_no_more_than_its_heat_allows(
    wet: float, cycles: float, heat: float
) -> None:
    made = tower_wue(wet, cycles=cycles, heat_ratio=heat, evaporated=LATENT)
    evaporated = made.value * (cycles - 1) / cycles
    assert evaporated <= heat * LATENT.value * (1 + 1e-12)
    assert made.low <= made.value <= made.high
    assert made.high >= tower_curve_l_per_kwh(wet, cycles)


def test_a_tower_without_blow_down_is_refused() -> None:
    with pytest.raises(UsageError):
        tower_curve_l_per_kwh(10.0, 1.0)


@pytest.mark.parametrize("wet", [-30.5, 35.5, math.nan, math.inf])
def test_weather_that_no_site_has_is_refused(wet: float) -> None:
    with pytest.raises(CoverageError):
        tower_curve_l_per_kwh(wet, 6)
    with pytest.raises(CoverageError):
        ramp().at(wet)


def ramp() -> Ramp:
    cold, hot = factors.cooling("airside/pue_cold_ratio"), factors.cooling("airside/pue_hot_ratio")
    return Ramp(cold, hot, -4.0, 22.0)


@given(wet=wet_bulbs, more=st.floats(0, 10))
def test_a_pue_never_falls_when_it_gets_warmer(wet: float, more: float) -> None:
    cold, warm = ramp().at(wet), ramp().at(min(wet + more, WET_BULB_C[1]))
    for end in ("low", "value", "high"):
        assert getattr(cold, end) <= getattr(warm, end) + 1e-12
    assert 1 < cold.low <= cold.value <= cold.high


def test_a_ramp_that_falls_is_refused() -> None:
    made = ramp()
    with pytest.raises(UsageError):
        Ramp(made.hot, made.cold, -4.0, 22.0)
    with pytest.raises(UsageError):
        Ramp(made.cold, made.hot, 22.0, -4.0)


# Lei and Masanet (2022), large sites, airside economiser and adiabatic cooling: 5th and 95th
# percentile of the annual PUE and WUE by climate zone, with the mean wet-bulb temperature there.
@pytest.mark.parametrize(
    ("zone", "wet", "pue", "wue"),
    [
        ("8", -4.0, (1.0768, 1.1743), (0.043, 0.225)),
        ("5A", 6.0, (1.0999, 1.2130), (0.203, 0.712)),
        ("3A", 13.0, (1.1319, 1.2511), (0.408, 1.147)),
        ("1A", 22.0, (1.1688, 1.3416), (0.773, 2.361)),
    ],
)
def test_economisers_meet_the_simulated_climates(
    zone: str, wet: float, pue: tuple[float, float], wue: tuple[float, float]
) -> None:
    models = sites.weather_models(sites.technology("evaporative"))
    assert pue[0] <= models[sites.PUE](wet).value <= pue[1], zone
    assert wue[0] <= models[sites.WUE](wet).value <= wue[1], zone


@given(utc_s=st.floats(-6e10, 2e11))
def test_months_are_those_of_the_calendar(utc_s: float) -> None:
    here = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=math.floor(utc_s))
    assert month(utc_s) == here.month


def utc(text: str) -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()


MONTHS = (0.0, 1.0, 4.0, 8.0, 12.0, 15.0, 18.0, 17.0, 13.0, 9.0, 4.0, 1.0)


def test_a_run_in_july_costs_more_than_one_in_january() -> None:
    year = Weather(MONTHS, monthly=True, source="means of a mild place")
    here = sites.facility_for(cooling="evaporative")
    made = {
        day: sites.by_weather(here, "evaporative", Load(utc(day), 3600.0, (1.0,) * 24), year)
        for day in ("2026-01-10", "2026-07-10")
    }
    january, july = made.values()
    it = Amount.exact(KWH, Basis.MEASURED)
    assert facility_total(it, january).value < facility_total(it, july).value
    assert january.wue is not None
    assert july.wue is not None
    assert january.wue.value < july.wue.value
    assert july.wue_is == "withdrawal"
    assert any("means of a mild place" in note for note in july.notes)
    assert "means of a mild place" in (july.pue.note if july.pue else "")


@given(
    energies=st.lists(st.floats(0, 1e6), min_size=1, max_size=48).filter(lambda e: sum(e) > 1),
    temperatures=st.lists(wet_bulbs, min_size=48, max_size=48),
    times=st.floats(1e-3, 1e3),
)
def test_means_weigh_by_energy(
    energies: list[float], temperatures: list[float], times: float
) -> None:
    weather = Weather(tuple(temperatures), start_utc_s=1000.0, step_s=900.0)
    load = Load(1000.0, 900.0, tuple(energies))
    mean = mean_over(load, weather, ramp().at)
    values = [ramp().at(t).value for t in temperatures[: len(energies)]]
    by_hand = sum(e * v for e, v in zip(energies, values, strict=True)) / sum(energies)
    assert mean.value == pytest.approx(by_hand, rel=1e-9)
    assert mean.low <= mean.value <= mean.high
    scaled = Load(1000.0, 900.0, tuple(e * times for e in energies))
    assert mean_over(scaled, weather, ramp().at).value == pytest.approx(mean.value, rel=1e-9)


def test_the_weather_of_a_slot_is_that_of_its_middle() -> None:
    halves = Weather((0.0, 10.0), start_utc_s=0.0, step_s=1800.0)
    mean = mean_over(Load(0.0, 3600.0, (1.0,)), halves, ramp().at)
    assert mean.value == pytest.approx(ramp().at(10.0).value)


def test_gaps_where_nothing_is_drawn_do_not_matter() -> None:
    weather = Weather((5.0, None, 7.0), start_utc_s=0.0, step_s=3600.0)
    mean = mean_over(Load(0.0, 3600.0, (1.0, 0.0, 1.0)), weather, ramp().at)
    assert mean.value == pytest.approx(ramp().at(6.0).value)
    with pytest.raises(CoverageError):
        mean_over(Load(0.0, 3600.0, (1.0, 1.0, 1.0)), weather, ramp().at)


@pytest.mark.parametrize(
    "weather",
    [
        Weather((5.0,), start_utc_s=0.0, step_s=60.0),
        Weather((5.0,) * 3, start_utc_s=7200.0, step_s=3600.0),
        Weather((5.0,) * 11, monthly=True),
        Weather((), monthly=True),
    ],
)
def test_weather_that_does_not_cover_the_run_is_refused(weather: Weather) -> None:
    with pytest.raises(CoverageError):
        mean_over(Load(0.0, 3600.0, (1.0, 1.0)), weather, ramp().at)


def test_a_load_of_nothing_has_no_weather() -> None:
    with pytest.raises(UsageError):
        mean_over(Load(0.0, 3600.0, (0.0,)), Weather((5.0,)), ramp().at)


def test_declared_and_published_figures_stay_whatever_the_weather() -> None:
    year = Weather(MONTHS, monthly=True)
    load = Load(utc("2026-07-10"), 3600.0, (1.0,))
    for here in (sites.facility_for(pue=1.2, wue=0.3), sites.facility_for(cloud="aws/us-west-2")):
        made = sites.by_weather(here, "evaporative", load, year)
        assert (made.pue, made.wue, made.kind) == (here.pue, here.wue, here.kind)
        assert any("whatever the weather" in note for note in made.notes)
    stated = sites.facility_for(wue=0.3, cooling="evaporative")
    assert sites.by_weather(stated, "evaporative", load, year).wue == stated.wue


def test_towers_without_economiser_follow_the_weather_in_water_only() -> None:
    here = sites.facility_for(cooling="chilled water")
    load = Load(utc("2026-07-10"), 3600.0, (1.0,))
    made = sites.by_weather(here, "chilled water", load, Weather(MONTHS, monthly=True))
    assert made.plant == here.plant
    assert made.wue != here.wue


def test_dry_technologies_have_no_model_of_the_weather() -> None:
    here = sites.facility_for(cooling="immersion")
    with pytest.raises(CoverageError, match="immersion"):
        sites.by_weather(here, "immersion", Load(0.0, 1.0, (1.0,)), Weather(MONTHS, monthly=True))


def test_a_factor_by_weather_keeps_its_key_so_that_its_doubt_is_shared() -> None:
    a, b = (ramp().at(t) for t in (0.0, 20.0))
    assert isinstance(a, Factor)
    assert a.key == b.key
