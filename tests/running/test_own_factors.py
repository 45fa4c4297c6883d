# SPDX-License-Identifier: Apache-2.0
"""Factors that the settings declare reach what a run amounts to, and bad ones never cost it."""

from pathlib import Path

import msgspec
import pytest

from submeter.catalog.declaring import declared_overrides
from submeter.catalog.facts import fact
from submeter.catalog.overlay import NONE
from submeter.records.amounts import Amount
from submeter.records.footprints import Footprint
from submeter.records.runs import Run
from submeter.running.reckoning import reckoned
from submeter.settings import Declared
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


def tripled() -> dict[str, float]:
    return {f"{t}/DE/{q}": 3 * fact(t, "DE", q).value for t, q in QUANTITIES}


def test_carbon_is_three_times_as_much_with_three_times_the_factor(place: Path) -> None:
    plain = location_g(reckoned(a_run()))
    lines = "".join(f'"{ident}" = {value!r}\n' for ident, value in tripled().items())
    (place / "submeter.toml").write_text(f"[factors]\n{lines}")
    assert location_g(reckoned(a_run())) == pytest.approx(3 * plain)
    assert location_g(reckoned(a_run(), overrides=NONE)) == pytest.approx(plain)
    (place / "submeter.toml").unlink()
    assert location_g(reckoned(a_run())) == pytest.approx(plain)


def test_overrides_that_are_passed_need_no_file() -> None:
    plain = location_g(reckoned(a_run()))
    mine = declared_overrides([Declared(Path("x"), dict(tripled()), {}, ())])
    assert location_g(reckoned(a_run(), overrides=mine)) == pytest.approx(3 * plain)


def test_factors_that_are_not_in_order_are_not_used_and_a_note_says_so(place: Path) -> None:
    plain = reckoned(a_run())
    (place / "submeter.toml").write_text('[factors]\n"grid/DE/nothing" = 1\n')
    amount = reckoned(a_run())
    assert location_g(amount) == location_g(plain)
    (note,) = set(amount.notes) - set(plain.notes)
    assert note.startswith("your own factors are not used: ")
    assert "submeter.toml:2" in note
    assert "--check" in note
