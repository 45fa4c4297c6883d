# SPDX-License-Identifier: Apache-2.0
"""A published energy stands at the boundary that was published, and nowhere else."""

import math
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.accounting.boundaries import footprint as energies
from submeter.accounting.footprints import amounts_to
from submeter.accounting.published import Scope, as_published, published_run
from submeter.circumstances.reckoning import Asked, circumstances_of, reckon, replayed
from submeter.errors import UsageError
from submeter.records.amounts import Amount
from submeter.records.figures import Basis, Missing
from submeter.records.runs import Run
from submeter.units import G_PER_T, J_PER_KWH

SCOPES = get_args(Scope)
EXCLUDE_PUE = ("device", "node", "it")
energies_kwh = st.floats(1e-3, 1e9)
pues = st.floats(1.0, 3.0)
intensities = st.floats(1e-3, 2000.0)


def run_of(scope: Any = "facility", **given_: Any) -> Run:
    values: dict[str, Any] = {
        "name": "a run",
        "energy_kwh": 1000.0,
        "zone": "SE",
        "started": "2023-05",
    } | given_
    return published_run(scope=scope, **values)


def kwh(amount: Amount | Missing) -> float:
    assert isinstance(amount, Amount), amount
    return amount.value / J_PER_KWH


@pytest.mark.parametrize(
    ("scope", "devices_kwh", "node_kwh", "facility_kwh"),
    [
        ("device", 1000, 1000, 1200),
        ("device x pue", 1000 / 1.2, 1000 / 1.2, 1000),
        ("node", None, 1000, 1200),
        ("it", None, 1000, 1200),
        ("facility", None, 1000 / 1.2, 1000),
    ],
)
def test_each_boundary_with_its_pue(
    scope: Scope, devices_kwh: float | None, node_kwh: float, facility_kwh: float
) -> None:
    made = reckon(run_of(scope, pue=1.2))
    assert kwh(made.facility) == pytest.approx(facility_kwh)
    assert kwh(made.it) == pytest.approx(node_kwh)
    if devices_kwh is None:
        assert isinstance(made.devices, Missing)
    else:
        assert kwh(made.devices) == pytest.approx(devices_kwh)
    lacks_node = any("rest of the node" in words for words in made.unknown)
    assert lacks_node == scope.startswith("device")


@given(st.sampled_from(SCOPES), energies_kwh, pues, intensities)
def test_the_publications_own_factors_give_its_own_tonnes(
    scope: Scope, energy_kwh: float, pue: float, g_per_kwh: float
) -> None:
    run = run_of(scope, energy_kwh=energy_kwh, pue=pue)
    location = as_published(run, intensity_g_per_kwh=g_per_kwh).carbon.location
    assert isinstance(location, Amount)
    factor = pue if scope in EXCLUDE_PUE else 1.0
    assert location.value == pytest.approx(energy_kwh * factor * g_per_kwh, rel=1e-9)
    figure = location.figure("gCO2e")
    assert figure.low == pytest.approx(figure.high), "as printed is without doubt"


@given(energies_kwh, pues)
def test_an_energy_that_was_divided_comes_back_without_doubt(
    energy_kwh: float, pue: float
) -> None:
    facility = reckon(run_of("facility", energy_kwh=energy_kwh, pue=pue)).facility
    assert kwh(facility) == pytest.approx(energy_kwh, rel=1e-9)
    assert isinstance(facility, Amount)
    figure = facility.figure("J")
    assert figure.low == pytest.approx(figure.high, rel=1e-9)


@pytest.mark.parametrize("scope", ["facility", "device x pue"])
@pytest.mark.parametrize(
    "again",
    [
        lambda run: reckon(run, Asked(pue=1.2)),
        lambda run: reckon(run, Asked(cooling="immersion")),
        lambda run: replayed(run, Asked(pue=1.2), run_id="20230501-000000-0000", name="again"),
        lambda run: as_published(run, intensity_g_per_kwh=400, pue=1.2),
        lambda run: energies(run, 1.2),
        lambda run: amounts_to(run, circumstances_of(run_of("it", pue=1.2))),
    ],
    ids=["what-if", "cooling", "replay", "as published", "energies", "composition"],
)
def test_no_pue_goes_onto_an_energy_that_holds_one(scope: Scope, again: Any) -> None:
    run = run_of(scope)
    with pytest.raises(UsageError):
        again(run)
    made = reckon(run)
    assert kwh(made.facility) == pytest.approx(1000)
    assert any("holds the facility already" in note for note in made.notes)


def test_a_facility_whose_pue_is_known_can_be_moved_into_another() -> None:
    moved = reckon(run_of("facility", pue=1.25), Asked(pue=1.5))
    assert kwh(moved.facility) == pytest.approx(1000 / 1.25 * 1.5)
    assert isinstance(moved.facility, Amount)
    assert moved.facility.figure("J").low < moved.facility.value, "a stated PUE has its doubt"


def test_it_may_be_in_another_place() -> None:
    here, there = reckon(run_of()), reckon(run_of(), Asked(zone="PL"))
    assert isinstance(here.carbon.location, Amount)
    assert isinstance(there.carbon.location, Amount)
    assert there.carbon.location.value > 5 * here.carbon.location.value


def test_on_site_water_goes_by_the_energy_of_the_machines() -> None:
    run = run_of("facility", pue=1.25, wue_l_per_kwh=2.0)
    told = as_published(run, intensity_g_per_kwh=0, water_l_per_kwh=3.0).water
    assert isinstance(told.onsite, Amount)
    assert isinstance(told.offsite, Amount)
    assert told.onsite.value == pytest.approx(1000 / 1.25 * 2.0)
    assert told.offsite.value == pytest.approx(1000 * 3.0)


def test_what_is_not_published_is_missing() -> None:
    made = as_published(run_of(), intensity_g_per_kwh=400)
    for amount in (made.carbon.embodied, made.carbon.market, made.carbon.loss, made.water.onsite,
                   made.water.offsite, made.money.electricity):  # fmt: skip
        assert isinstance(amount, Missing), amount


def test_claims_stand_beside_and_take_nothing_off() -> None:
    plain = as_published(run_of(), intensity_g_per_kwh=400, embodied_t=2.0)
    claimed = as_published(
        run_of(), intensity_g_per_kwh=400, embodied_t=2.0, claims=("all of it matched",)
    )
    assert claimed.carbon.claims == ("all of it matched",)
    assert claimed.carbon.location == plain.carbon.location
    assert isinstance(claimed.carbon.embodied, Amount)
    assert claimed.carbon.embodied.value == pytest.approx(2.0 * G_PER_T)


@pytest.mark.parametrize("lacking", [{}, {"hours": 0.0}, {"devices": 0}, {"device": ""}], ids=str)
def test_hardware_needs_hours_boards_and_their_name(lacking: dict[str, Any]) -> None:
    told = {"hours": 100.0, "devices": 16, "device": "NVIDIA A100-SXM4-80GB"}
    embodied = reckon(run_of("node", **(told | lacking))).carbon.embodied
    assert isinstance(embodied, Missing if lacking else Amount)


@given(st.floats(1.0, 5000.0), st.integers(1, 20000))
def test_embodied_goes_by_board_hours(hours: float, boards: int) -> None:
    def embodied_g(h: float, n: int) -> float:
        run = run_of("node", hours=h, devices=n, device="NVIDIA A100-SXM4-80GB")
        found = reckon(run).carbon.embodied
        assert isinstance(found, Amount)
        return found.value

    assert embodied_g(hours, boards) == pytest.approx(hours * boards * embodied_g(1.0, 1))


def test_an_interval_of_the_energy_is_that_of_all_that_follows() -> None:
    exact, wide = run_of("it", pue=1.0), run_of("it", pue=1.0, low_kwh=800, high_kwh=1100)
    told = [as_published(run, intensity_g_per_kwh=500).carbon.location for run in (exact, wide)]
    assert all(isinstance(amount, Amount) for amount in told)
    figures = [amount.figure("gCO2e") for amount in told if isinstance(amount, Amount)]
    assert figures[0].low == figures[0].high == figures[1].value
    # the wider side, a fifth, serves for both; 95 % of it, in the logarithm as all factors
    reach = math.exp(0.95 * 0.2)
    assert figures[1].low == pytest.approx(500_000 / reach, rel=0.005)
    assert figures[1].high == pytest.approx(500_000 * reach, rel=0.005)


@pytest.mark.parametrize(
    ("started", "began"),
    [
        ("2022", "2022-01-01T00:00:00.000Z"),
        ("2022-03", "2022-03-01T00:00:00.000Z"),
        ("2022-03-11", "2022-03-11T00:00:00.000Z"),
    ],
)
def test_when_it_began(started: str, began: str) -> None:
    assert run_of(started=started).started_utc == began


@pytest.mark.parametrize(
    "wrong",
    [
        {"scope": "rack"},
        {"energy_kwh": 0.0},
        {"energy_kwh": float("nan")},
        {"energy_kwh": float("inf")},
        {"low_kwh": 1001.0},
        {"high_kwh": 999.0},
        {"pue": 0.9},
        {"pue": float("nan")},
        {"started": "last spring"},
        {"started": "2022-13"},
        {"wue_l_per_kwh": -1.0},
        {"basis": "guessed"},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        run_of(**({"scope": "it"} | wrong))


@pytest.mark.parametrize("word", ["5", "many", None, True, b"5", [5.0]], ids=repr)
@pytest.mark.parametrize(
    "name",
    ["energy_kwh", "low_kwh", "high_kwh", "pue", "wue_l_per_kwh", "hours", "devices"],
)
def test_what_is_no_number_is_refused_by_its_name(name: str, word: Any) -> None:
    given: dict[str, Any] = {"energy_kwh": 5.0, name: word}
    if word is None and name not in ("energy_kwh", "hours", "devices"):
        published_run(name="a run", scope="it", **given)
        return
    with pytest.raises(UsageError, match=f"{name} is a number, not"):
        published_run(name="a run", scope="it", **given)


@pytest.mark.parametrize("number", [-1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["hours", "devices"])
def test_no_run_holds_less_than_nothing(name: str, number: float) -> None:
    given: dict[str, Any] = {name: number}
    with pytest.raises(UsageError, match=name):
        published_run(name="a run", energy_kwh=5, scope="it", **given)


@pytest.mark.parametrize("scope", SCOPES)
def test_a_replay_keeps_boundary_and_hardware(scope: Scope) -> None:
    run = run_of(scope, hours=100.0, devices=16, device="NVIDIA A100-SXM4-80GB")
    again = replayed(run, Asked(zone="PL"), run_id="20230501-000000-0000", name="in Poland")
    kept, asked = reckon(again), reckon(run, Asked(zone="PL"))
    assert again.origin == "replayed"
    for part in ("it", "facility"):
        assert getattr(kept, part) == getattr(asked, part)
    assert kept.carbon.embodied == reckon(run).carbon.embodied
    assert kept.unknown == reckon(run).unknown


@pytest.mark.parametrize("scope", SCOPES)
def test_a_published_run_is_a_run(scope: Scope) -> None:
    run = run_of(scope, pue=1.1, source="somebody 2023", basis="measured")
    assert run.origin == "published"
    assert "somebody 2023" in run.notes
    assert run.id == run_of(scope).id != run_of(scope, name="another").id
    assert msgspec.json.decode(msgspec.json.encode(run), type=Run) == run
    made = reckon(run)
    assert isinstance(made.it, Amount)
    assert set(made.it.basis) == {Basis.MEASURED}
