# SPDX-License-Identifier: Apache-2.0
"""Factors that the settings declare reach what a run amounts to, and bad ones never cost it."""

from pathlib import Path

import msgspec
import pytest

from submeter.catalog.declaring import declared_overrides
from submeter.catalog.facts import fact
from submeter.catalog.overlay import NONE, Overrides
from submeter.catalog.searching import exactly
from submeter.records.amounts import Amount
from submeter.records.footprints import Footprint
from submeter.records.runs import Run
from submeter.running.reckoning import reckoned
from submeter.settings import Declared
from submeter.units import J_PER_KWH
from tests.reporting.examples import digits

QUANTITIES = (
    ("grid", "average_lifecycle_production_g_per_kwh"),
    ("grid_odbl", "average_lifecycle_consumption_g_per_kwh"),
)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUBMETER_USER_CONFIG", str(tmp_path / "user.toml"))
    monkeypatch.setenv("SUBMETER_HOME", str(tmp_path / "home"))
    return tmp_path


def a_run() -> Run:
    return msgspec.structs.replace(digits(), place={"zone": "DE", "pue": "1.2"})


def location_g(amount: Footprint) -> float:
    assert isinstance(amount.carbon.location, Amount), amount.carbon.location
    return amount.carbon.location.value


def declared(g_per_kwh: float) -> dict[str, float]:
    return {f"{t}/DE/{q}": g_per_kwh for t, q in QUANTITIES}


def overrides_of(factors: dict[str, float]) -> Overrides:
    return declared_overrides([Declared(Path("x"), dict(factors), {}, ())])


def expected_g(amount: Footprint, g_per_kwh: float) -> float:
    """A grid that is declared holds at every hour; what the lines lose comes on top."""
    assert isinstance(amount.facility, Amount)
    lost = fact("grid", "DE", "td_loss_ratio").value
    return amount.facility.value / J_PER_KWH * g_per_kwh / (1 - lost)


def test_a_declared_grid_is_taken_as_it_is(place: Path) -> None:
    plain = location_g(reckoned(a_run()))
    lines = "".join(f'"{ident}" = {value!r}\n' for ident, value in declared(300.0).items())
    (place / "submeter.toml").write_text(f"[factors]\n{lines}")
    mine = reckoned(a_run())
    assert location_g(mine) == pytest.approx(expected_g(mine, 300.0))
    used = next(f for f in mine.factors if f.key.endswith(QUANTITIES[1][1]))
    assert (used.value, used.low, used.high) == pytest.approx((300.0, 300.0, 300.0))
    assert location_g(reckoned(a_run(), overrides=NONE)) == pytest.approx(plain)
    (place / "submeter.toml").unlink()
    assert location_g(reckoned(a_run())) == pytest.approx(plain)


def test_overrides_that_are_passed_need_no_file() -> None:
    mine = declared_overrides([Declared(Path("x"), dict(declared(99.0)), {}, ())])
    made = reckoned(a_run(), overrides=mine)
    assert location_g(made) == pytest.approx(expected_g(made, 99.0))


def test_factors_that_are_not_in_order_are_not_used_and_a_note_says_so(place: Path) -> None:
    plain = reckoned(a_run())
    (place / "submeter.toml").write_text('[factors]\n"grid/DE/nothing" = 1\n')
    amount = reckoned(a_run())
    assert location_g(amount) == location_g(plain)
    (note,) = set(amount.notes) - set(plain.notes)
    assert note.startswith("your own factors are not used: ")
    assert "submeter.toml:2" in note
    assert "--check" in note


@pytest.mark.parametrize(
    ("ident", "value"),
    [
        ("grid/DE/td_loss_ratio", 1.0),
        ("grid/DE/td_loss_ratio", 1.5),
        ("grid_odbl/DE/average_lifecycle_consumption_g_per_kwh", 0.0),
        ("cooling/air/server_fans_ratio", 1.0),
        ("cooling/tower/cycles_ratio", 1.0),
        ("factors/pue-prior", 1e308),
    ],
)
def test_factors_that_nothing_can_be_reckoned_with_never_cost_the_result(
    place: Path, ident: str, value: float
) -> None:
    told = {"zone": "DE", "cooling": "cold plate"} if "pue" not in ident else {"zone": "DE"}
    run = msgspec.structs.replace(digits(), place=told)
    catalogued = exactly(ident)
    assert catalogued is not None
    assert catalogued.factor is not None
    own = msgspec.structs.replace(catalogued.factor, value=value, low=value, high=value)
    plain = location_g(reckoned(run, overrides=NONE))
    slipped = reckoned(run, overrides=Overrides({own.key: own}))  # past the check
    assert location_g(slipped) >= 0
    (place / "submeter.toml").write_text(f'[factors]\n"{ident}" = {value!r}\n')
    checked = reckoned(run)
    assert location_g(checked) == plain
    assert any("your own factors are not used" in note for note in checked.notes)


def test_what_reckoning_refuses_with_own_factors_is_reckoned_without_and_said() -> None:
    lossy = msgspec.structs.replace(fact("grid", "DE", "td_loss_ratio"), value=1.5, high=1.5)
    amount = reckoned(a_run(), overrides=Overrides({lossy.key: lossy}))
    plain = reckoned(a_run(), overrides=NONE)
    assert location_g(amount) == location_g(plain)
    (note,) = set(amount.notes) - set(plain.notes)
    assert note.startswith("your own factors are not used")
    assert lossy.key in note
