# SPDX-License-Identifier: Apache-2.0
"""A run reckoned with live data: what the provider says, and what else if it does not reach."""

from pathlib import Path

import pytest

from submeter.circumstances.reckoning import reckon
from submeter.errors import ProviderRefusedError
from submeter.running.reckoning import reckoned
from tests.accounting.figures import known
from tests.circumstances.test_reckoned import RUN, placed

HOURS = "2026-11-23T12:00:00Z,{0}\n2026-11-23T13:00:00Z,{0}\n2026-11-23T14:00:00Z,{0}\n"


def provider(folder: Path, kind: str = "average, lifecycle, consumption", zone: str = "DE") -> str:
    path = folder / "mine.csv"
    path.write_text(
        f"# kind: {kind}\n# zone: {zone}\n# low_ratio: 1\n# high_ratio: 1\n"
        f"timestamp,value\n{HOURS.format(1000)}"
    )
    return f"csv:{path}"


def test_a_provider_tells_the_hours_of_the_run(tmp_path: Path) -> None:
    carbon = reckoned(RUN, home=tmp_path, provider=provider(tmp_path)).carbon
    grid_g = known(carbon.direct).value + known(carbon.upstream).value
    assert grid_g == pytest.approx(1.25e6)


@pytest.mark.parametrize("kind", ["average, direct, consumption", "marginal, direct, production"])
@pytest.mark.parametrize("place", ["here", "nowhere"])
def test_e13_a_provider_that_does_not_reach_leaves_the_offline_figures(
    tmp_path: Path, kind: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    run = RUN if place == "here" else placed(zone="WORLD")
    found = reckoned(run, home=tmp_path, provider=provider(tmp_path, kind, "FR"))
    assert found.carbon.location == reckon(run).carbon.location
    said = [n for n in (*found.notes, *found.carbon.notes) if "because" in n and "FR" in n]
    assert len(said) == 1
    assert "offline figures" in said[0]


def test_e13_a_file_with_too_many_gaps_leaves_the_offline_figures(tmp_path: Path) -> None:
    name = provider(tmp_path)
    path = Path(name.removeprefix("csv:"))
    path.write_text(path.read_text().replace("12:00:00Z,1000", "12:00:00Z,-1"))
    path.write_text(path.read_text().replace("13:00:00Z,1000", "13:00:00Z,-1"))
    found = reckoned(RUN, home=tmp_path, provider=name)
    assert known(found.carbon.location).value > 0


def test_a_key_that_is_missing_is_said_and_not_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SUBMETER_ELECTRICITYMAPS_TOKEN", raising=False)
    monkeypatch.delenv("SUBMETER_WATTTIME_USER", raising=False)
    with pytest.raises(ProviderRefusedError) as caught:
        reckoned(placed(zone="US-CAL-CISO"), home=tmp_path, provider="watttime")
    assert "SUBMETER_WATTTIME_USER" in str(caught.value.remedy)
