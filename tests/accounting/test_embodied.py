# SPDX-License-Identifier: Apache-2.0
"""Embodied carbon by reserved hours: linear, counted once, and never beside itself."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.accounting.embodied import (
    Hardware,
    accelerator_share,
    cpu_share,
    embodied_by_hours,
    purchase,
    with_lifetime,
    with_second_use,
)
from submeter.accounting.ratios import spanning
from submeter.errors import UsageError
from submeter.records.amounts import sum_amounts
from submeter.records.factors import Factor
from submeter.records.figures import Missing
from tests.accounting.figures import factor, known

HOUR_S = 3600.0


def kg(key: str, low: float, high: float) -> Factor:
    ends = [Factor(f"{key}-{n}", v, v, v, "kgCO2e", source=key) for n, v in enumerate((low, high))]
    return spanning(key, ends)


ACCELERATOR = kg("h100", 164.0, 273.0)  # vendor's carbon footprint, ADEME
HOST = kg("host", 2500.0, 6000.0)  # BLOOM study, Boavizta's model of a DGX
LIFETIME = Factor("lifetime", 5 * 8760.0, 3 * 8760.0, 6 * 8760.0, "h", source="filings")


def hgx(reserved: float = 8.0, **changes: Any) -> Hardware:
    words: dict[str, Any] = {
        "name": "H100", "lifetime": LIFETIME, "accelerators": reserved,
        "accelerator": ACCELERATOR, "host": HOST,
        "host_ratio": accelerator_share(reserved, 8),
    }  # fmt: skip
    return Hardware(**(words | changes))


def total_g(*hardware: Hardware, reserved_s: float = HOUR_S, **words: Any) -> float:
    return known(embodied_by_hours(hardware, reserved_s, **words).total).value


def test_an_accelerator_hour_is_within_the_range_of_published_ones() -> None:
    """0.0047 to 0.0286 kg over sources of other boundaries, lives and utilisation."""
    found = known(embodied_by_hours([hgx(1.0)], HOUR_S).total)
    expected = 1000 * (ACCELERATOR.value + HOST.value / 8) / (5 * 8760)
    assert found.value == pytest.approx(expected)
    shown = found.figure("g")
    assert 4.7 < shown.low < found.value < shown.high < 2 * 28.6
    assert shown.high > 28.6


@given(st.floats(0, 1e9), st.floats(0, 100), st.floats(0, 1e4))
def test_linear_in_hours_and_in_pieces(reserved_s: float, times: float, pieces: float) -> None:
    one = total_g(hgx(), reserved_s=reserved_s)
    assert total_g(hgx(), reserved_s=reserved_s * times) == pytest.approx(one * times)
    single = total_g(hgx(1.0), reserved_s=reserved_s)
    assert total_g(hgx(pieces), reserved_s=reserved_s) == pytest.approx(single * pieces)


@given(st.floats(1.0, 3.0))
def test_monotone_in_each_factor(more: float) -> None:
    base = total_g(hgx())
    bigger = {
        name: Factor(f.key, f.value * more, f.low, f.high * more, f.unit)
        for name, f in (("accelerator", ACCELERATOR), ("host", HOST), ("lifetime", LIFETIME))
    }
    assert total_g(hgx(accelerator=bigger["accelerator"])) >= base
    assert total_g(hgx(host=bigger["host"])) >= base
    assert total_g(hgx(lifetime=bigger["lifetime"])) <= base


def test_the_parts_sum_to_the_whole_and_runs_that_share_a_host_to_the_host() -> None:
    found = embodied_by_hours([hgx(8), hgx(2)], HOUR_S)
    parts = known(found.accelerators).value + known(found.hosts).value
    assert known(found.total).value == pytest.approx(parts)
    shares = [total_g(hgx(n)) for n in (1, 3, 4)]
    assert math.fsum(shares) == pytest.approx(total_g(hgx(8)))
    over_life_kg = total_g(hgx(8), reserved_s=LIFETIME.value * HOUR_S) / 1000
    assert over_life_kg == pytest.approx(8 * ACCELERATOR.value + HOST.value)


def test_utilisation_is_counted_once_and_who_bears_idle_hours_is_said() -> None:
    half = Factor("reserved", 0.5, 0.4, 0.6, "ratio")
    owner = embodied_by_hours([hgx()], HOUR_S)
    runs = embodied_by_hours([hgx()], HOUR_S, idle="runs", reserved_ratio=half)
    assert known(runs.total).value == pytest.approx(2 * known(owner.total).value)
    assert any("borne by the owner" in note for note in owner.notes)
    assert any("borne by the runs: reserved 50 %" in note for note in runs.notes)
    for words in ({"idle": "runs"}, {"reserved_ratio": half}):
        with pytest.raises(UsageError, match="idle hours that runs bear"):
            total_g(hgx(), **words)
    with pytest.raises(UsageError, match="no part of a life"):
        total_g(hgx(), idle="runs", reserved_ratio=factor("r", 1.0, spread=1.5, unit="ratio"))


def test_hosts_without_accelerators_go_by_processors() -> None:
    server = Hardware("server", LIFETIME, host=HOST, host_ratio=cpu_share(16, 64))
    found = embodied_by_hours([server], HOUR_S)
    assert known(found.total).value == pytest.approx(1000 * HOST.value / 4 / LIFETIME.value)
    assert isinstance(found.accelerators, Missing)
    for wrong in ((1, 0), (-1, 8), (math.nan, 8), (1, math.inf)):
        with pytest.raises(UsageError, match="no share"):
            cpu_share(*wrong)


def test_an_accelerator_that_nobody_knows_has_a_wide_prior_per_hour() -> None:
    published = [Factor(f"p{v}", v, v, v, "kgCO2e/h") for v in (0.0047, 0.0286)]
    prior = spanning("embodied/family", published, wider=2.0)
    unknown = Hardware("mystery", LIFETIME, accelerators=4.0, per_h=prior)
    found = embodied_by_hours([unknown], 10 * HOUR_S)
    shown = known(found.total).figure("g")
    assert shown.value == pytest.approx(40 * math.sqrt(4.7 * 28.6))
    assert shown.basis == "assumed"
    assert shown.low < 40 * 4.7 < 40 * 28.6 < shown.high
    assert isinstance(found.hosts, Missing)


def test_what_is_not_known_is_missing() -> None:
    assert isinstance(embodied_by_hours([], HOUR_S).total, Missing)
    blank = Hardware("x", LIFETIME, accelerators=1.0)
    assert isinstance(embodied_by_hours([blank], HOUR_S).total, Missing)
    board = embodied_by_hours([hgx(host=None)], HOUR_S)
    assert known(board.total).value < total_g(hgx())
    assert "H100: nothing is known of its host" in board.notes


@pytest.mark.parametrize("reserved_s", [-1.0, math.nan, math.inf])
def test_hours_that_make_no_sense(reserved_s: float) -> None:
    with pytest.raises(UsageError):
        embodied_by_hours([hgx()], reserved_s)
    with pytest.raises(UsageError):
        embodied_by_hours([hgx(accelerators=reserved_s)], HOUR_S)


def test_the_whole_purchase_is_the_other_view_and_never_summed() -> None:
    bought = purchase([hgx()])
    assert bought.whole.value / 1000 == pytest.approx(8 * ACCELERATOR.value + HOST.value)
    found = embodied_by_hours([hgx()], HOUR_S)
    whole_kg = bought.whole.value / 1000
    told = next(note for note in found.notes if "in its year" in note)
    told_kg = float(told.partition(" be ")[2].partition(" kgCO2e")[0].replace(" ", ""))
    assert told_kg == pytest.approx(whole_kg, rel=0.05)
    by_hours = known(found.total)
    with pytest.raises(UsageError, match="never summed"):
        sum_amounts([by_hours, bought])  # type: ignore[list-item]
    with pytest.raises(UsageError, match="nothing that was bought"):
        purchase([])


def test_a_longer_life_and_a_second_use_spread_the_same_grams() -> None:
    five, ten = (with_lifetime(hgx(), years) for years in (5, 10))
    assert total_g(five) == pytest.approx(2 * total_g(ten))
    assert total_g(with_second_use(five, 5)) == pytest.approx(total_g(ten))
    assert any("what if" in note for note in with_second_use(five, 5).notes)
    for wrong in (0, -1, math.nan):
        with pytest.raises(UsageError):
            with_lifetime(hgx(), wrong)
        with pytest.raises(UsageError):
            with_second_use(hgx(), wrong)
