# SPDX-License-Identifier: Apache-2.0
"""A run as if its site were cooled otherwise: fans inside IT go, the site's own losses stay."""

import pytest

from submeter.accounting.circumstances import Asked, circumstances_of, reckon
from submeter.accounting.sites import plant_of
from submeter.errors import CoverageError, UsageError
from submeter.records.amounts import Amount
from submeter.records.devices import Device, DeviceKind
from submeter.records.figures import Basis, Missing, Quantity
from submeter.records.runs import DeviceEnergy, Host, Run

KWH = 3.6e6


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


def test_from_home_to_a_data_centre_no_fans_are_known() -> None:
    made = circumstances_of(run(arrangement="home"), Asked(zone="SE", cooling="immersion"))
    assert made.it_ratio is None
    assert made.facility.kind == "cooling"
