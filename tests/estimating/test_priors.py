# SPDX-License-Identifier: Apache-2.0
"""Priors of utilisation, power and node share: laws, sources, and the bars they clear."""

import csv
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import fit_training, training_data, training_text
from benchmarks.training_spread import CALIBRATIONS
from submeter.catalog.tables import rows
from submeter.errors import CoverageError
from submeter.estimating.machines import machine_of
from submeter.estimating.priors import (
    Priors,
    Traits,
    energy_ratio,
    node_ratio,
    power_ratio,
    shipped,
    utilisation,
)
from submeter.estimating.validating import Report
from submeter.records.factors import Factor
from submeter.workloads.describing import workload_of

SHARED = Path(__file__).resolve().parents[3] / "shared"
KINDS = st.sampled_from(["transformer", "cnn", "recurrent", "other", "unknown"])
CLASSES = st.sampled_from(["datacentre", "card", "tpu", "cpu"])


def traits(**changed: Any) -> Traits:
    usual = Traits(
        kind="transformer", device_class="datacentre", precision="bf16", active_params=7e9
    )
    return msgspec.structs.replace(usual, **changed)


@given(
    kind=KINDS, device_class=CLASSES, count=st.integers(1, 100_000),
    params=st.floats(1e3, 1e13), traffic=st.floats(0, 1e3), cap=st.floats(0.1, 1),
    balance=st.floats(0, 1e4),
)  # fmt: skip
def test_every_prior_is_possible_and_has_its_value_inside(
    kind: str,
    device_class: str,
    count: int,
    params: float,
    traffic: float,
    cap: float,
    balance: float,
) -> None:
    asked = traits(
        kind=kind, device_class=device_class, count=count, active_params=params,
        traffic_ratio=traffic, cap_ratio=cap, balance=balance,
    )  # fmt: skip
    priors = shipped()
    for factor in (
        priors.utilisation(asked), priors.power_ratio(asked), priors.energy_ratio(asked),
        priors.node_ratio(asked),
    ):  # fmt: skip
        assert 0 < factor.low <= factor.value <= factor.high
        assert factor.verified == "assumed"
    assert priors.utilisation(asked).high <= 1
    assert priors.power_ratio(asked).high <= 1.15
    assert priors.node_ratio(asked).low >= 1


@settings(deadline=None)
@given(tokens=st.floats(1e6, 1e14), more=st.floats(1.01, 100))
def test_energy_rises_with_tokens(tokens: float, more: float) -> None:
    def energy_j(count: float) -> float:
        workload = workload_of(params=7e9, tokens=count)
        machine = machine_of("h100-sxm:64")
        peak = machine.peak_flop_per_s(workload.precision).value
        ideal_j = workload.operations.useful_flop / peak * machine.tdp_w.value
        return ideal_j * energy_ratio(workload, machine).value

    assert energy_j(tokens * more) > energy_j(tokens)


@given(low=st.floats(0.001, 1), high=st.floats(0.001, 1))
def test_power_does_not_fall_with_utilisation(low: float, high: float) -> None:
    low, high = sorted((low, high))
    priors = shipped()
    for asked in (traits(), traits(kind="cnn", traffic_ratio=3.0)):
        lesser = priors.power_ratio(asked, utilisation=low).value
        assert lesser <= priors.power_ratio(asked, utilisation=high).value


def test_less_known_is_wider() -> None:
    priors = shipped()
    known = priors.utilisation(traits())
    other = priors.utilisation(traits(kind="other"))
    processor = priors.utilisation(traits(device_class="cpu"))
    unsized_cnn = priors.utilisation(traits(kind="cnn"))
    sized_cnn = priors.utilisation(traits(kind="cnn", traffic_ratio=3.0))
    assert other.log_sd > known.log_sd
    assert processor.low / processor.value < known.low / known.value
    assert unsized_cnn.low / unsized_cnn.value < sized_cnn.low / sized_cnn.value
    assert priors.node_ratio(traits(device_class="tpu")).log_sd > 0


def test_hours_of_unnamed_work_are_usable_and_wider_than_those_of_a_known_model() -> None:
    """A draw from all trainings: not as wide as a recommender, which waits for its data."""
    unsaid, known, recommender = (
        shipped().power_ratio(traits(kind=kind, active_params=params))
        for kind, params in (("unknown", 0.0), ("transformer", 7e9), ("other", 0.0))
    )
    low = {name: one.low / one.value for name, one in
           (("unsaid", unsaid), ("known", known), ("other", recommender))}  # fmt: skip
    assert low["other"] < low["unsaid"] < low["known"]
    assert unsaid.high / unsaid.low < 3.5


def test_a_transformer_below_its_prior_may_draw_less() -> None:
    priors, asked = shipped(), traits(count=512)
    usual = priors.utilisation(asked).value
    at_prior, below = (priors.power_ratio(asked, utilisation=u) for u in (usual, usual / 3))
    assert below.value == pytest.approx(at_prior.value)
    assert below.low < 0.8 * at_prior.low
    assert priors.power_ratio(asked).low == pytest.approx(at_prior.low)


def test_a_class_of_devices_that_nobody_metered_is_a_draw_from_all_trainings() -> None:
    runs = fit_training.load()
    priors = training_text.without(fit_training.fit, runs, "lab")("Google")
    tpu, unsaid = traits(device_class="tpu"), traits(kind="unknown")
    assert priors.power_ratio(tpu).value == pytest.approx(priors.power_ratio(unsaid).value)
    assert priors.power_ratio(tpu).low < priors.power_ratio(traits()).low


def test_energy_ratio_is_power_over_utilisation() -> None:
    priors, asked = shipped(), traits(count=512)
    quotient = priors.power_ratio(asked).value / priors.utilisation(asked).value
    assert priors.energy_ratio(asked).value == pytest.approx(quotient)


def test_what_waits_for_memory_and_small_models_use_less_of_their_device() -> None:
    priors = shipped()
    waits, works = (
        priors.utilisation(traits(kind="cnn", traffic_ratio=r)).value for r in (10.0, 0.3)
    )
    small, large = (priors.utilisation(traits(active_params=p)).value for p in (5e7, 5e9))
    fast, slow = (priors.utilisation(traits(balance=b)).value for b in (300.0, 100.0))
    assert waits < works
    assert small < large
    assert fast < slow


def test_the_roofline_is_products_and_traffic_one_after_the_other() -> None:
    """Fitted over seven laboratories, both factors come out as one."""
    table = {row["key"]: float(row["value"]) for row in rows("training_priors")}
    assert table["images/products"] == pytest.approx(1, abs=0.1)
    assert table["images/traffic"] == pytest.approx(1, abs=0.1)


def test_a_node_is_in_less_doubt_than_its_parts_together() -> None:
    priors, asked = shipped(), traits()
    parts = math.hypot(priors.power_ratio(asked).log_sd, priors.node_ratio(asked).log_sd)
    assert priors.node_log_sd(asked) <= parts + 1e-6


def test_a_device_that_waits_draws_less() -> None:
    priors, asked = shipped(), traits(kind="cnn", traffic_ratio=3.0)
    roof = priors.utilisation(asked).value
    waiting = priors.power_ratio(asked, utilisation=roof / 4).value
    assert waiting < 0.7 * priors.power_ratio(asked, utilisation=roof).value
    assert priors.power_ratio(asked).value == pytest.approx(
        priors.power_ratio(asked, utilisation=roof).value
    )


def test_a_power_limit_caps_the_power() -> None:
    assert shipped().power_ratio(traits(cap_ratio=0.3)).value <= 0.3


def test_doors_take_a_workload_and_a_machine() -> None:
    workload, machine = workload_of(params="7B", tokens="2T"), machine_of("h100-sxm:512")
    assert 0.1 < utilisation(workload, machine).value < 0.6
    assert 0.4 < power_ratio(workload, machine).value <= 1.15
    assert 1 < node_ratio(machine).value < 3


def test_every_coefficient_is_within_its_leave_one_out_range_and_cites_its_source() -> None:
    factors = [msgspec.convert(row, Factor, strict=False) for row in rows("training_priors")]
    for factor in factors:
        assert factor.low <= factor.value <= factor.high
        assert "fit_training" in factor.source
        assert factor.year
        assert factor.licence


def test_a_missing_coefficient_is_named() -> None:
    with pytest.raises(CoverageError, match="training_priors"):
        Priors({}).utilisation(traits())


def test_the_shipped_coefficients_are_those_of_the_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_training, "CATALOG", tmp_path / "priors.csv")
    runs = fit_training.load()
    fit_training.write_catalog(fit_training.fit(runs), runs)
    with (tmp_path / "priors.csv").open(encoding="utf-8") as file:
        anew = {row["key"]: row for row in csv.DictReader(file)}
    assert list(anew) == [row["key"] for row in rows("training_priors")]
    for row in rows("training_priors"):
        for column in ("value", "low", "high"):
            made = float(anew[row["key"]][column])
            assert made == pytest.approx(float(row[column]), rel=1e-3, abs=1e-4), row["key"]


@pytest.mark.skipif(
    not (SHARED / "truth" / "open_runs.csv").is_file(),
    reason="the original tables are not in this checkout",
)
def test_the_reduced_tables_follow_from_the_originals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RUNS", "ROWS"):
        own = getattr(training_data, name)
        shutil.copy(own, tmp_path / f"shipped-{own.name}")
        monkeypatch.setattr(training_data, name, tmp_path / own.name)
    training_data.reduce(SHARED / "truth", SHARED / "data")
    for made in (training_data.RUNS, training_data.ROWS):
        assert made.read_text() == (tmp_path / f"shipped-{made.name}").read_text()


@pytest.fixture(scope="module")
def by_lab() -> Report:
    rows_ = training_data.table(training_data.ROWS)
    return training_text.score(rows_, fit_training.load(), "lab")


def test_the_page_says_which_bars_are_met(by_lab: Report) -> None:
    page = training_text.PAGE.read_text(encoding="utf-8")
    found = training_text.bars(by_lab)
    assert len(found) == 6
    assert all(f"{how} |" in page or f"*{how}* |" in page for how in CALIBRATIONS)
    for name, met, _ in found:
        (line,) = (line for line in page.splitlines() if line.startswith(f"| {name} |"))
        assert line.endswith("| met |" if met else "| **not met** |")


@pytest.mark.parametrize(
    ("given", "most", "count"), [("description", 0.30, 13), ("device-hours", 0.12, 17)]
)
def test_device_energy_is_near_and_its_intervals_hold_what_they_promise(
    by_lab: Report, given: str, most: float, count: int
) -> None:
    (one,) = (s for s in by_lab.overall if (s.quantity, s.given) == ("device energy", given))
    assert one.passes
    assert one.count >= count
    assert one.median_error_ratio <= most


def test_hours_of_published_trainings_are_held(by_lab: Report) -> None:
    (one,) = (s for s in by_lab.overall if s.quantity == "device-hours")
    assert one.passes
    assert one.clusters >= 10
    assert one.median_error_ratio < 0.4


def test_no_laboratory_is_in_the_fit_that_predicts_it() -> None:
    """Priors for a laboratory do not change when its own figures do."""
    runs = fit_training.load()
    changed = [replace(run, mfu=run.mfu / 2) if run.lab == "Meta" else run for run in runs]
    asked = traits()
    ours = training_text.without(fit_training.fit, runs, "lab")("Meta").utilisation(asked)
    theirs = training_text.without(fit_training.fit, changed, "lab")("Meta").utilisation(asked)
    assert ours.value == pytest.approx(theirs.value)
    seen = fit_training.fit(changed).priors.utilisation(asked)
    assert seen.value != pytest.approx(shipped().utilisation(asked).value, rel=1e-3)


def test_steps_of_megatron_and_runs_of_llmcarbon_stand_in_the_page() -> None:
    page = training_text.PAGE.read_text(encoding="utf-8")
    runs = fit_training.load()
    steps = training_text.step_times(runs)
    assert len(steps) == 8
    assert all(low <= float(row["step_s"]) <= high for row, _, low, high in steps)
    for row, step_s, _, _ in steps:
        assert f"| {row['model']} | {row['devices']} | {row['recomputation']} |" in page
        assert f"| {step_s:.3g} (" in page
    assert len(training_text.llmcarbon(runs)) == 5
