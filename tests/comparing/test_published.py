# SPDX-License-Identifier: Apache-2.0
"""Trainings of the catalog: each makes a run, at its own boundary and by its own factors."""

import pytest

from submeter.catalog.facts import fact, has
from submeter.catalog.tables import rows
from submeter.comparing.published import FACTS, RUNS, names, published
from submeter.errors import CoverageError, UsageError
from submeter.records.amounts import Amount
from submeter.records.figures import Missing
from submeter.running.reckoning import reckoned
from submeter.units import G_PER_T, J_PER_KWH

KEYS = [row["key"] for row in rows(RUNS)]


def test_there_are_fifty_and_each_has_an_energy() -> None:
    assert len(names()) >= 50
    assert all(has(FACTS, key, "energy_kwh") for key in KEYS)


@pytest.mark.parametrize("key", KEYS)
def test_each_is_a_run_that_can_be_reckoned(key: str) -> None:
    told = published(key)
    made = told.made or reckoned(told.run)
    assert told.run.origin == "published"
    assert isinstance(made.facility, Amount)
    assert made.facility.value > 0
    assert any(note.startswith(f"{told.run.name}: energy is") for note in told.run.notes)
    assert any("not published" in note for note in told.run.notes)


@pytest.mark.parametrize(
    "key",
    [k for k in KEYS if has(FACTS, k, "emissions_t") and has(FACTS, k, "reported_g_per_kwh")],
)
def test_the_printed_tonnes_lie_in_the_interval_of_ours(key: str) -> None:
    made = published(key).made
    assert made is not None
    assert isinstance(made.carbon.location, Amount)
    figure = made.carbon.location.figure("gCO2e")
    printed = fact(FACTS, key, "emissions_t")
    assert figure.low <= printed.high * G_PER_T
    assert figure.high * 1.001 >= printed.low * G_PER_T


def test_bloom_is_the_large_one_and_its_ceiling_is_an_interval_downwards() -> None:
    told = published("BLOOM")
    assert told.run.duration_s == pytest.approx(1_082_990 / 384 * 3600)
    energy = fact(FACTS, "bloom", "energy_kwh")
    assert energy.value * J_PER_KWH == pytest.approx(433_196 * J_PER_KWH)
    assert energy.low == pytest.approx(energy.value / 2)
    assert energy.high == energy.value
    assert told.lacking[:2] == ("PUE", "water")
    assert published("bloom").run.id == published("Bloom").run.id


@pytest.mark.parametrize("words", ["LLaMA 7B", "llama1-7b", "llama-7b", "LLAMA-7B"])
def test_names_are_understood_in_any_spelling(words: str) -> None:
    assert published(words).run.name == "LLaMA-7B"


def test_several_that_fit_are_named_and_none_has_near_ones() -> None:
    with pytest.raises(UsageError, match="olmo-60m"):
        published("olmo")
    with pytest.raises(CoverageError) as refused:
        published("bloon-3b")
    assert "bloom-3b" in (refused.value.remedy or "")
    with pytest.raises(CoverageError):
        published("")


def test_what_was_not_published_is_missing_and_no_zero() -> None:
    made = published("bloom").made
    assert made is not None
    assert isinstance(made.water.offsite, Missing)
    untimed = published("olmo-60m")
    assert untimed.run.duration_s == 0
    assert "how long it took" in untimed.lacking
