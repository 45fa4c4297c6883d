# SPDX-License-Identifier: Apache-2.0
"""A whole footprint: parts sum, each factor pushes one way, and only what is asked changes."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from submeter.accounting.footprints import amounts_to
from submeter.circumstances.reckoning import Asked, Known, circumstances_of, reckon, replayed
from submeter.errors import SubmeterError, UsageError
from submeter.records.amounts import Amount
from submeter.records.claims import Allocation, Claim
from submeter.records.devices import Device, DeviceKind
from submeter.records.figures import Basis, ErrorTerm, Missing, Quantity
from submeter.records.footprints import Footprint
from submeter.records.places import Zone
from submeter.records.runs import DeviceEnergy, Host, Run, Series
from submeter.records.traces import Kind, Trace
from submeter.units import J_PER_KWH

BOARD = "NVIDIA H100 80GB HBM3"
MACHINE = {"cpu_model": "Intel(R) Xeon(R) Platinum 8480+", "vcpus": "224", "sockets": "2"}
# Every place that the tables know something of: a country, a part of one, a cloud, coordinates.
PLACES = ("DE", "SE", "IN", "US-CAL-CISO", "aws/us-west-2", "52.5,13.4", "NP", "TM", "EE", "WORLD")


def energy(energy_j: float, key: str) -> Quantity:
    return Quantity.of(energy_j, basis=Basis.MEASURED, terms=(ErrorTerm(key, 0.03),))


def a_run(energy_j: float = 3.6e6, boards: int = 2, **place: str) -> Run:
    parts = [(f"gpu:{i}", DeviceKind.GPU, BOARD) for i in range(boards)]
    parts += [("cpu:0", DeviceKind.CPU, "Xeon"), ("rest:box", DeviceKind.REST, "rest")]
    share_j = energy_j / len(parts)
    return Run(
        id="20261120-100000-abcd",
        origin="measured",
        status="finished",
        started_utc="2026-11-20T10:00:00Z",
        duration_s=7200.0,
        hosts=(Host("box", MACHINE),),
        devices=tuple(
            DeviceEnergy(Device(i, kind, name, "box"), energy(share_j, i), energy(share_j, i))
            for i, kind, name in parts
        ),
        series=Series(600.0, {"gpu:0": [float(i + 1) for i in range(12)]}),
        place=place or {"zone": "DE"},
    )


def known(amount: Amount | Missing) -> Amount:
    assert isinstance(amount, Amount), amount
    return amount


def values(made: Footprint) -> dict[str, float]:
    """Every amount of a footprint that is known."""
    found = {
        "facility": made.facility,
        "location": made.carbon.location,
        "market": made.carbon.market,
        "marginal": made.carbon.marginal,
        "onsite": made.water.onsite,
        "offsite": made.water.offsite,
        "dry": made.water.offsite_dry,
        "cost": made.money.electricity,
    }
    return {name: a.value for name, a in found.items() if isinstance(a, Amount)}


@pytest.mark.parametrize("zone", PLACES)
def test_parts_sum_to_the_whole_everywhere(zone: str) -> None:
    made = reckon(a_run(zone=zone))
    carbon = made.carbon
    wall, it = known(made.facility), known(made.it)
    assert wall.value == pytest.approx(it.value + sum(p.value for p in made.parts.values()))
    location = known(carbon.location)
    parts = [a for a in (carbon.direct, carbon.upstream, carbon.loss) if isinstance(a, Amount)]
    assert location.value == pytest.approx(sum(a.value for a in parts), rel=1e-9)
    embodied = known(carbon.embodied)
    scopes = sum(a.value for a in carbon.scopes.values())
    assert scopes == pytest.approx(location.value + embodied.value, rel=1e-9)
    by_market = sum(a.value for a in carbon.market_scopes.values())
    assert by_market == pytest.approx(known(carbon.market).value + embodied.value, rel=1e-9)
    assert math.fsum(d.share_ratio for d in made.doubts) == pytest.approx(1)


@pytest.mark.parametrize("zone", PLACES)
def test_every_figure_holds_its_value_and_its_sources(zone: str) -> None:
    made = reckon(a_run(zone=zone))
    assert made.factors
    for factor in made.factors:
        assert factor.low <= factor.value <= factor.high, factor.key
        assert factor.source, factor.key
    for name, value in values(made).items():
        assert math.isfinite(value), name
        assert value >= 0, name
    figure = known(made.carbon.location).figure("gCO2e")
    assert figure.low < figure.value < figure.high
    assert figure.source


@given(ratio=st.floats(1e-6, 1e6), zone=st.sampled_from(PLACES))
def test_all_that_hangs_on_energy_is_linear_in_it(ratio: float, zone: str) -> None:
    once, more = (
        values(reckon(a_run(1e6, zone=zone))),
        values(reckon(a_run(1e6 * ratio, zone=zone))),
    )
    assert once.keys() == more.keys()
    for name, value in once.items():
        assert more[name] == pytest.approx(value * ratio, rel=1e-9), name


@given(low=st.floats(1.0, 3.0), step=st.floats(0.0, 2.0))
def test_more_overhead_is_more_of_everything_but_the_water_on_site(
    low: float, step: float
) -> None:
    less, more = (values(reckon(a_run(), Asked(pue=p))) for p in (low, low + step))
    for name, value in less.items():
        assert more[name] >= value * (1 - 1e-12), name
    assert more["onsite"] == less["onsite"]  # a WUE is per energy of IT


@given(ratio=st.floats(1.0, 10.0), which=st.sampled_from(["lifecycle", "loss", "price"]))
def test_each_factor_pushes_one_way(ratio: float, which: str) -> None:
    run = a_run()
    around = circumstances_of(run)
    if which == "lifecycle":
        assert not isinstance(around.lifecycle, Missing)
        grown = structs.replace(around.lifecycle, factor=around.lifecycle.factor.scaled(ratio))
        after = structs.replace(around, lifecycle=grown)
    elif which == "loss":
        assert not isinstance(around.loss, Missing)
        after = structs.replace(around, loss=around.loss.scaled(1 + (ratio - 1) / 10))
    else:
        assert not isinstance(around.price, Missing)
        after = structs.replace(around, price=around.price.scaled(ratio))
    before_g, after_g = values(amounts_to(run, around)), values(amounts_to(run, after))
    for name, value in before_g.items():
        assert after_g[name] >= value * (1 - 1e-12), name
    moved = {"lifecycle": "location", "loss": "location", "price": "cost"}[which]
    if ratio > 1.01:
        assert after_g[moved] > before_g[moved]


@given(bought_wh=st.integers(0, 10_000), fuel=st.sampled_from(["wind", "hydro", "", "coal"]))
def test_certificates_move_the_market_and_never_the_location(bought_wh: int, fuel: str) -> None:
    run = a_run()
    claim = Claim("c1", "GO", "DE", 2026, registry="HKNR", fuel=fuel, energy_wh=bought_wh)
    bare = reckon(run)
    backed = reckon(run, known=Known(allocations=(Allocation(claim, run.id, bought_wh),)))
    assert known(backed.carbon.location) == known(bare.carbon.location)
    assert backed.carbon.scopes == bare.carbon.scopes
    market = known(backed.carbon.market)
    assert market.value >= 0
    if fuel == "wind" and bought_wh * 3600 >= known(bare.facility).value:
        assert market.value < known(bare.carbon.market).value


def test_offsets_stand_apart_and_are_never_subtracted() -> None:
    offset = Claim("o1", "offset", "BR", 2024, registry="Verra", carbon_g=1e9)
    made = reckon(a_run(), known=Known(offsets=(offset,)))
    assert values(made) == values(reckon(a_run()))
    assert any("Verra" in words and "2024" in words for words in made.carbon.offsets)


def test_what_is_not_covered_is_listed() -> None:
    words = " ".join(reckon(a_run()).carbon.notes)
    assert "refrigerants" in words
    assert "diesel" in words


def test_a_later_setting_changes_nothing_that_was_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = values(reckon(a_run()))
    monkeypatch.setenv("SUBMETER_PUE", "3")
    monkeypatch.setenv("SUBMETER_ZONE", "PL")
    assert values(reckon(a_run())) == before


@pytest.mark.parametrize(
    "place",
    [
        {"zone": "Atlantis"},
        {"pue": "0.5"},
        {"cooling": "prayer"},
        {"arrangement": "borrowed"},
        {"electricity_price": "cheap"},
        {"cloud": "aws/moon-1"},
        {"timezone": "Mars/Olympus"},
        {"currency": "gold"},
        {"zone": "\x1b[31m"},
    ],
)
def test_what_was_recorded_is_never_an_error(place: dict[str, str]) -> None:
    made = reckon(structs.replace(a_run(), place=place))
    assert isinstance(made.facility, Amount)
    assert isinstance(made.carbon.location, Amount)


@pytest.mark.parametrize(
    "asked",
    [
        Asked(zone="Atlantis"),
        Asked(cooling="prayer"),
        Asked(supply="coal-fired dreams"),
        Asked(pue=0.5),
        Asked(price="cheap"),
        Asked(solar_kw=-1.0),
        Asked(solar_kw=5.0),  # nobody knows where the world's mean lies under the sun
    ],
)
def test_what_is_asked_for_and_makes_no_sense_is_an_error_with_a_remedy(asked: Asked) -> None:
    with pytest.raises(SubmeterError) as caught:
        reckon(a_run(timezone="UTC"), asked)
    assert caught.value.remedy


def test_a_place_that_nobody_told_is_called_a_guess_and_is_wider() -> None:
    told, guessed = reckon(a_run(zone="DE")), reckon(a_run(timezone="Europe/Berlin"))
    assert guessed.zone is not None
    assert guessed.zone.guessed
    assert guessed.zone.code == "DE"
    wide = known(guessed.carbon.location).figure("gCO2e")
    narrow = known(told.carbon.location).figure("gCO2e")
    assert wide.high / wide.low > narrow.high / narrow.low
    assert wide.basis is Basis.ASSUMED
    assert narrow.value == pytest.approx(wide.value)


def test_a_run_of_which_nothing_is_known_amounts_to_nothing_known() -> None:
    run = structs.replace(a_run(), devices=())
    made = reckon(run)
    assert isinstance(made.facility, Missing)
    assert isinstance(made.carbon.location, Missing)
    assert isinstance(made.carbon.market, Missing)
    assert values(made) == {}


def test_another_hour_of_the_year_is_another_intensity() -> None:
    noon = reckon(a_run(zone="DE"), Asked(at_utc_s=1_782_043_200.0))  # 2026-06-21, 12:00
    night = reckon(a_run(zone="DE"), Asked(at_utc_s=1_768_003_200.0))  # 2026-01-10, 00:00
    assert known(noon.carbon.location).value < 0.8 * known(night.carbon.location).value
    assert known(noon.facility) == known(night.facility)


def test_panels_and_a_battery_leave_less_to_the_grid() -> None:
    at = Asked(zone="52.5,13.4", at_utc_s=1_782_032_400.0)  # a morning in June
    bare = reckon(a_run(), at)
    panels = reckon(a_run(), structs.replace(at, solar_kw=0.2))
    stored = reckon(a_run(), structs.replace(at, solar_kw=0.2, battery_kwh=1.0))
    assert known(bare.facility).value == known(panels.facility).value
    grams = [known(m.carbon.location).value for m in (stored, panels, bare)]
    assert grams[0] <= grams[1] < grams[2]


def test_a_replayed_run_is_a_run_of_its_own_and_says_whose_child_it_is() -> None:
    run = a_run()
    asked = Asked(zone="SE", at_utc_s=1_768_003_200.0, pue=1.1)
    made = replayed(run, asked, run_id="20261124-000000-beef", name="in-sweden")
    assert (made.origin, made.parent, made.name) == ("replayed", run.id, "in-sweden")
    assert made.started_utc == "2026-01-10T00:00:00.000Z"
    assert values(reckon(made)) == pytest.approx(values(reckon(run, asked)))


HOME = {"zone": "DE", "arrangement": "home"}
DESK = {"timezone": "Europe/Berlin", "arrangement": "home"}
SITE = {"zone": "DE", "pue": "1.2", "electricity_price": "0.5", "wue_l_per_kwh": "1.0"}
COLD = {"zone": "DE", "cooling": "free air", "wet_bulb_c": "0,1,4,8,12,15,18,17,13,9,4,1"}


@pytest.mark.parametrize(
    "place", [SITE, COLD, DESK, HOME, {"cloud": "aws/us-west-2"}, {}], ids=str
)
@pytest.mark.parametrize(
    "asked",
    [
        Asked(zone="SE"),
        Asked(zone="aws/us-west-2"),
        Asked(zone="SE", cooling="immersion"),
        Asked(pue=1.3),
        Asked(arrangement="own site"),
        Asked(supply="wind"),
        Asked(at_utc_s=1.7e9, price="0.2"),
        Asked(zone="52.5,13.4", solar_kw=0.1, battery_kwh=0.5),
    ],
    ids=str,
)
def test_what_is_kept_of_a_replay_is_what_it_showed(place: dict[str, str], asked: Asked) -> None:
    run = structs.replace(a_run(), place=place)
    shown = reckon(run, asked)
    made = replayed(run, asked, run_id="20261124-000000-beef", name="kept")
    kept = reckon(made)
    assert values(kept) == pytest.approx(values(shown))
    assert kept.arrangement == shown.arrangement
    again = replayed(made, Asked(pue=1.5), run_id="20261124-000000-feed", name="twice")
    assert known(reckon(again).it).value == pytest.approx(known(shown.it).value)


def test_at_home_there_is_no_plant_to_exchange() -> None:
    for place, asked in (
        (HOME, Asked(cooling="immersion")),
        (SITE, Asked(cooling="immersion", arrangement="home")),
    ):
        with pytest.raises(UsageError, match="no cooling plant"):
            reckon(structs.replace(a_run(), place=place), asked)
    moved = reckon(
        structs.replace(a_run(), place=HOME), Asked(arrangement="own site", cooling="immersion")
    )
    assert moved.arrangement == "own site"
    assert "cooling" in moved.parts
    rented = reckon(structs.replace(a_run(), place=HOME), Asked(zone="aws/us-west-2"))
    assert rented.arrangement == "cloud customer"


def test_a_day_of_eight_boards_at_one_hertz_takes_less_than_a_fifth_of_a_second() -> None:
    seconds = {f"gpu:{i}": [250.0] * 86_400 for i in range(8)}
    run = structs.replace(a_run(8e7, boards=8), duration_s=86_400.0, series=Series(1.0, seconds))
    reckon(run)
    began_s = time.process_time()
    made = reckon(run)
    assert time.process_time() - began_s <= 0.2
    assert known(made.facility).value > 8e7


def test_half_the_energy_of_a_kilowatt_hour_at_a_known_factor_is_exact() -> None:
    run = a_run(0.5 * J_PER_KWH)
    around = circumstances_of(run, Asked(pue=1.0))
    assert not isinstance(around.lifecycle, Missing)
    bare = structs.replace(around, loss=Missing("left out"))
    made = amounts_to(run, bare)
    assert known(made.carbon.location).value == pytest.approx(0.5 * around.lifecycle.factor.value)


@pytest.mark.parametrize(
    ("kind", "moved", "still"),
    [
        (Kind(flow="consumption"), "location", "marginal"),
        (Kind(signal="marginal", scope="direct"), "marginal", "location"),
        (Kind(scope="direct", flow="consumption"), "direct", "marginal"),
    ],
)
def test_g09_what_a_provider_tells_stands_where_its_kind_belongs(
    kind: Kind, moved: str, still: str
) -> None:
    def told(zone: Zone, start_utc_s: float, end_utc_s: float) -> Trace:
        hours = int((end_utc_s - start_utc_s) / 3600) + 2
        start = start_utc_s // 3600 * 3600
        return Trace(
            "live/test", zone.code, "gCO2e/kWh", start, 3600.0, (77.0,) * hours, 0.9, 1.1,
            kind=kind, shape="metered", source="a provider", verified="live",
        )  # fmt: skip

    run = a_run()
    offline, live = reckon(run).carbon, reckon(run, known=Known(trace_of=told)).carbon
    assert getattr(live, moved) != getattr(offline, moved)
    assert getattr(live, still) == getattr(offline, still)
    wall_kwh = known(reckon(run).facility).value / J_PER_KWH
    if moved == "marginal":
        assert known(live.marginal).value == pytest.approx(77.0 * wall_kwh)
        assert known(offline.marginal) in live.marginal_others
