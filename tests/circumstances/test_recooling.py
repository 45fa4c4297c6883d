# SPDX-License-Identifier: Apache-2.0
"""A run as if its site were cooled otherwise: fans inside IT go, the site's own losses stay."""

import pytest

from submeter.circumstances.reckoning import Asked, circumstances_of, reckon
from submeter.circumstances.sites import plant_of
from submeter.errors import ConfigError, CoverageError, UsageError
from submeter.records.amounts import Amount
from submeter.records.devices import Device, DeviceKind
from submeter.records.figures import Basis, Missing, Quantity
from submeter.records.runs import DeviceEnergy, Host, Run
from submeter.settings.rules import accept

KWH = 3.6e6
MONTHS = "0,1,4,8,12,15,18,17,13,9,4,1"


def run(**place: str) -> Run:
    gpu = Device("gpu:0", DeviceKind.GPU, "", "box")
    share = Quantity.of(KWH, basis=Basis.MEASURED)
    return Run(
        id="r", origin="measured", status="finished", started_utc="2026-11-23T16:00:00Z",
        duration_s=3600.0, hosts=(Host("box"),), devices=(DeviceEnergy(gpu, share, share),),
        place={"zone": "DE", **place},
    )  # fmt: skip


def value(amount: Amount | Missing) -> float:
    assert isinstance(amount, Amount), amount
    return amount.value


def test_immersion_takes_the_fans_out_of_it_and_the_rest_follows() -> None:
    made, here = reckon(run(pue="1.3"), Asked(cooling="immersion")), reckon(run(pue="1.3"))
    assert value(here.it) == pytest.approx(KWH)
    assert value(made.it) == pytest.approx(0.92 * KWH)
    assert value(made.facility) == pytest.approx(
        value(made.it) + sum(part.value for part in made.parts.values())
    )
    assert value(made.facility) < value(here.facility) * 0.9
    ratio = value(made.facility) / value(here.facility)
    assert value(made.carbon.location) == pytest.approx(value(here.carbon.location) * ratio)
    assert any("% of the cooling is" in note for note in made.notes)


def test_what_is_asked_wins_over_what_a_region_publishes() -> None:
    here = run(zone="aws/eu-central-1")
    asked = circumstances_of(here, Asked(cooling="free air")).facility
    assert asked.kind == "cooling"
    assert asked.plant is not None
    assert asked.plant.cooling == plant_of("free air").cooling


def test_the_same_fans_leave_it_alone() -> None:
    made = circumstances_of(run(cooling="chiller"), Asked(cooling="free air"))
    assert made.it_ratio is None
    assert circumstances_of(run(cooling="chiller")).it_ratio is None


def test_another_place_with_another_cooling_is_another_site() -> None:
    made = circumstances_of(run(pue="1.6"), Asked(zone="SE", cooling="immersion"))
    assert made.zone.code == "SE"
    assert made.facility.plant == plant_of("immersion")
    assert made.it_ratio is not None
    assert made.it_ratio.value == pytest.approx(0.92)


def test_an_asked_pue_holds_and_the_fans_go_all_the_same() -> None:
    made = reckon(run(pue="1.6"), Asked(pue=1.05, cooling="immersion"))
    assert value(made.facility) == pytest.approx(0.92 * KWH * 1.05)


def test_a_home_has_no_plant_and_an_unknown_cooling_no_model() -> None:
    with pytest.raises(UsageError, match="home"):
        reckon(run(arrangement="home"), Asked(cooling="immersion"))
    with pytest.raises(CoverageError, match="cooling"):
        reckon(run(), Asked(cooling="penguins"))


def test_a_recorded_cooling_that_nobody_knows_is_no_error() -> None:
    made = circumstances_of(run(cooling="penguins", wet_bulb_c=MONTHS)).facility
    assert made.kind == "industry"


def test_from_home_to_a_data_centre_no_fans_are_known() -> None:
    made = circumstances_of(run(arrangement="home"), Asked(zone="SE", cooling="immersion"))
    assert made.it_ratio is None
    assert made.facility.kind == "cooling"


def test_weather_that_is_told_moves_pue_and_water_of_its_hours() -> None:
    told = run(cooling="evaporative", wet_bulb_c=MONTHS)
    winter, summer = (
        reckon(told, Asked(at_utc_s=at)) for at in (1_768_003_200.0, 1_783_641_600.0)
    )  # 10 January and 10 July 2026
    for made in (winter, summer):
        assert any("declared" in note for note in made.notes)
    assert value(winter.facility) < value(summer.facility)
    assert value(winter.water.onsite) < value(summer.water.onsite)


@pytest.mark.parametrize(
    ("place", "asked"),
    [
        ({"cooling": "immersion"}, Asked()),
        ({}, Asked()),
        ({"cooling": "evaporative"}, Asked(zone="SE")),
        ({"cooling": "evaporative", "pue": "1.2", "wue_l_per_kwh": "0.4"}, Asked()),
    ],
)
def test_weather_changes_nothing_where_it_does_not_govern(
    place: dict[str, str], asked: Asked
) -> None:
    with_it = circumstances_of(run(**place, wet_bulb_c=MONTHS), asked).facility
    without = circumstances_of(run(**place), asked).facility
    assert (with_it.pue, with_it.plant, with_it.wue) == (without.pue, without.plant, without.wue)


@pytest.mark.parametrize(
    "word", ["1,2,3", "a,b", "0,1,4,8,12,15,18,17,13,9,4,99", "", "nan" + ",1" * 11]
)
def test_months_that_are_none_are_refused(word: str) -> None:
    with pytest.raises(ConfigError, match="wet_bulb_c"):
        accept("wet_bulb_c", word)


def test_twelve_months_are_taken() -> None:
    assert accept("wet_bulb_c", MONTHS.replace(",", ", ")) == MONTHS
