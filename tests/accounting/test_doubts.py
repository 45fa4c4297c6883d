# SPDX-License-Identifier: Apache-2.0
"""What dominates is named in words a reader knows, with the command that narrows it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.accounting.boundaries import declared_pue, with_overhead
from submeter.accounting.doubts import LEAST_SHARE, OTHERS, doubts
from submeter.catalog import pue_prior
from submeter.records.amounts import Amount, sum_amounts
from submeter.records.factors import Factor
from submeter.records.figures import Basis, ErrorTerm, Quantity
from submeter.records.places import Known, Zone
from submeter.settings import RULES

GRID = "grid/DE/average_lifecycle_production_g_per_kwh"
KEYS = [
    GRID,
    "grid_odbl/DE/average_lifecycle_consumption_g_per_kwh@2023 + grid_odbl/DE/x",
    "grid/DE/td_loss_ratio",
    "pue",
    "pue-prior",
    "facility/industry/uptime_average_largest_site/pue",
    "cloud/aws/eu-west-1/pue",
    "wue",
    "water/DE/ewif_l_per_kwh",
    "live/watttime/CAISO/marginal",
    "rapl-package",
    "rapl-dram",
    "nvml-gain:GPU-1",
    "nvml-gain:GPU-2",
    "cpu-model",
    "rest-model",
    "embodied/a100/total_g",
    "my own factor",
]


def doubtful(sds: dict[str, float], value: float = 100.0) -> Amount:
    terms = [ErrorTerm(key, sd) for key, sd in sds.items()]
    return Amount.of(Quantity.of(value, basis=Basis.MEASURED, terms=terms))


def zone(how: Known) -> Zone:
    return Zone("DE", "Germany", "country", how)


@given(st.dictionaries(st.sampled_from(KEYS), st.floats(0.0, 0.9), max_size=12))
def test_shares_sum_to_one_and_are_ranked(sds: dict[str, float]) -> None:
    found = doubts(doubtful(sds))
    if not any(sd > 1e-6 for sd in sds.values()):
        return
    assert math.fsum(d.share_ratio for d in found) == pytest.approx(1.0)
    named = [d for d in found if d.name != OTHERS]
    shares = [d.share_ratio for d in named]
    assert shares == sorted(shares, reverse=True)
    assert all(share >= LEAST_SHARE for share in shares)
    assert len({d.name for d in found}) == len(found)
    assert all(d.name == OTHERS for d in found[len(named) :])


def test_nothing_in_doubt_hangs_on_nothing() -> None:
    assert doubts(Amount.exact(5.0, Basis.MEASURED)) == ()
    assert doubts(sum_amounts([])) == ()


def test_sensors_of_one_kind_are_one_doubt() -> None:
    (found,) = doubts(doubtful({f"nvml-gain:GPU-{i}": 0.03 for i in range(8)}))
    assert (found.name, found.remedy) == ("device sensor", "")
    assert found.share_ratio == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("key", "name", "remedy"),
    [
        ("pue-prior", "PUE unknown", "submeter config set pue 1.3"),
        ("pue", "PUE as declared", ""),
        ("facility/industry/average/pue@2024", "PUE unknown", "submeter config set pue 1.3"),
        ("cloud/gcp/us-east1/pue", "PUE of the cloud region", "submeter config set pue 1.3"),
        ("cloud/gcp/us-east1/wue_l_per_kwh", "WUE of the site", None),
        ("facility/cooling/free_air/pue", "cooling", "submeter config set pue 1.3"),
        ("grid/DE/td_loss_ratio", "loss of the lines", ""),
        (GRID, "grid's year, not the hour", ""),
        ("live/electricity_maps/DE/lifecycle", "grid as its provider gives it", ""),
        ("generation/hydro/water_consumption_l_per_kwh", "water at the generators", ""),
        ("generation/coal/lifecycle_g_per_kwh", "emissions of each kind of generator", ""),
        ("cpu-power", "processor model", "submeter doctor"),
        ("dram-model", "memory model", "submeter doctor"),
        ("rest-model", "rest of node", "submeter doctor"),
        ("rapl-package", "device sensor", ""),
        ("embodied/h100/total_g", "embodied carbon", ""),
        ("embodied/lifetime/h", "life of the hardware", None),
        ("unseen:gpu:0", "time without readings", ""),
        ("my own factor", "my own factor", ""),
    ],
)
def test_each_source_has_a_name_and_what_narrows_it(
    key: str, name: str, remedy: str | None
) -> None:
    (found,) = doubts(doubtful({key: 0.2}))
    assert (found.key, found.name) == (key, name)
    assert found.remedy == remedy if remedy is not None else found.remedy


@pytest.mark.parametrize("key", KEYS)
def test_a_remedy_that_sets_something_sets_what_there_is(key: str) -> None:
    """Each command names a setting that exists, with a value that it takes."""
    for how in ("configuration", "time zone"):
        (found,) = doubts(doubtful({key: 0.2}), zone=zone(how))
        words = found.remedy.split()
        if words[1:3] == ["config", "set"]:
            assert RULES[words[3]].accept(RULES[words[3]].read(words[4])) is not None


def test_a_guessed_place_is_the_doubt_of_its_grid() -> None:
    amount = doubtful({GRID: 0.3})
    (found,) = doubts(amount, zone=zone("time zone"))
    assert (found.name, found.remedy) == ("place guessed", "submeter config set zone DE")
    row = Factor(GRID, 300.0, 200.0, 450.0, "g/kWh", year=2024)
    (found,) = doubts(amount, zone=zone("configuration"), factors=[row])
    assert found.name == "grid year 2024, not the hour"


def test_an_unknown_pue_dominates_a_measured_energy_and_declaring_it_helps() -> None:
    it = doubtful({"rapl-package": 0.03})
    unknown = sum_amounts((it, *with_overhead(it, pue_prior()).values()))
    assert doubts(unknown)[0].name == "PUE unknown"
    assert doubts(unknown)[0].share_ratio > 0.9
    declared = sum_amounts((it, *with_overhead(it, declared_pue(1.1)).values()))
    assert "PUE unknown" not in {d.name for d in doubts(declared)}
