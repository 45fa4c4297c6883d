# SPDX-License-Identifier: Apache-2.0
"""Scoring any table of published trainings."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from benchmarks import training_data
from submeter.estimating.published_rows import _number, network_in, read
from submeter.estimating.validating import Scored, binomial_p, validate
from submeter.reporting.validation import validation_data, validation_text

ROW = {
    "id": "one", "source": "A 2024, table 1", "params": "7e9",
    "architecture": "dense-transformer", "dataset_tokens_or_samples": "2e12 tokens",
    "hardware": "NVIDIA H100-SXM5-80GB", "n_devices": "256", "device_hours": "80000",
    "energy_kwh": "48000", "energy_scope": "device-only (GPU)",
    "energy_basis": "measured GPU power", "pue": "1.1", "precision": "bf16",
}  # fmt: skip


def scored(**changed: str) -> dict[tuple[str, str], Scored]:
    report = validate([{**ROW, **changed}])
    return {(one.quantity, one.given): one for one in report.scored}


def test_a_row_gives_hours_and_energy_from_both() -> None:
    found = scored()
    assert set(found) == {
        ("device-hours", "description"),
        ("device energy", "description"),
        ("device energy", "device-hours"),
    }
    for one in found.values():
        assert one.low < one.predicted < one.high
    by_hours = found["device energy", "device-hours"]
    assert by_hours.width_ratio < found["device energy", "description"].width_ratio


def test_scopes_are_told_apart() -> None:
    device = scored()["device energy", "device-hours"].predicted
    with_pue = scored(energy_scope="GPU x PUE (no host)")["device energy", "device-hours"]
    node = scored(energy_scope="IT (whole node)")["node energy", "device-hours"]
    facility = scored(energy_scope="facility")["facility energy", "device-hours"]
    assert with_pue.predicted == pytest.approx(1.1 * device)
    assert node.predicted > device
    assert facility.predicted == pytest.approx(1.1 * node.predicted)
    unknown = scored(energy_scope="facility", pue="")["facility energy", "device-hours"]
    assert unknown.width_ratio > facility.width_ratio


def test_carbon_follows_where_intensity_is_given() -> None:
    found = scored(carbon_intensity_g_per_kwh="400", tco2e="20")
    energy = found["device energy", "description"]
    assert found["carbon", "description"].predicted == pytest.approx(0.4 * energy.predicted)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"energy_basis": "TDP x device-hours"}, "circular"),
        ({"energy_basis": "ML CO2 calculator"}, "circular"),
        ({"energy_basis": "reported by article; method not seen"}, "not measured"),
        ({"energy_kwh": ""}, "no energy"),
        ({"dataset_tokens_or_samples": ""}, "neither operations"),
        ({"hardware": ""}, "no hardware"),
        ({"hardware": "frobnicator 9"}, "no hardware is like"),
        ({"device_hours": "", "n_devices": "8"}, "no device-hours"),
        ({"run_kind": "NAS (hypothetical)"}, "extrapolated"),
        ({"energy_scope": "GPU x PUE", "pue": ""}, "PUE"),
    ],
)
def test_what_cannot_be_scored_is_listed_with_its_reason(
    changed: dict[str, str], reason: str
) -> None:
    report = validate([{**ROW, **changed}])
    assert any(reason in one.reason for one in report.excluded)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"params": "1e100"}, id="V1-size-beyond-reason"),
        pytest.param({"active_params": "2 T"}, id="V2-more-active-than-there-are"),
        pytest.param({"dataset_tokens_or_samples": "2e308 tokens"}, id="V3-overflow"),
        pytest.param({"energy_kwh": "1e-300"}, id="V4-underflow"),
        pytest.param({"device_hours": "1e300", "n_devices": "1e9"}, id="V5-more-than-there-are"),
        pytest.param({"architecture": "CNN", "model": "resnet50", "epochs": "1",
                      "dataset_tokens_or_samples": "5 images x . epochs"}, id="V6-no-digits"),
        pytest.param({"architecture": "CNN", "model": "resnet50", "epochs": "1",
                      "dataset_tokens_or_samples": "5 images",
                      "notes": "1..2 GFLOPs per forward pass"}, id="V7-two-points"),
    ],
)  # fmt: skip
def test_odd_figures_are_left_out_with_a_reason(changed: dict[str, str]) -> None:
    report = validate([{**ROW, **changed}, {**ROW, "id": "sound"}])
    assert {one.id for one in report.scored} >= {"sound"}
    named = {one.id for one in report.scored} | {one.id for one in report.excluded}
    assert "one" in named
    for one in report.scored:
        assert 0 < one.low <= one.high < math.inf
        assert math.isfinite(one.error_ratio)


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({}, "transformer"), ({"dataset_tokens_or_samples": ""}, "unknown"),
        ({"params": ""}, "unknown"), ({"model": "ResNet-50"}, "cnn"),
    ],
)  # fmt: skip
def test_without_an_architecture_the_rest_of_the_row_says_the_kind(
    changed: dict[str, str], kind: str
) -> None:
    assert read({**ROW, "architecture": "", **changed}).traits.kind == kind


def test_figures_of_parts_of_a_node_lie_between_its_devices_and_the_whole() -> None:
    device = scored(energy_scope="facility", pue="1.1")["facility energy", "device-hours"]
    parts = scored(energy_scope="facility (CPU+DRAM+GPU power x PUE)", pue="1.1")
    alone = 1.1 * scored()["device energy", "device-hours"].predicted
    between = parts["facility energy", "device-hours"]
    assert alone < between.predicted < device.predicted
    assert between.predicted**2 == pytest.approx(alone * device.predicted)


def test_the_same_run_told_twice_is_scored_once() -> None:
    twice = [{**ROW, "dup_group": "x"}, {**ROW, "id": "two", "dup_group": "x"}]
    report = validate(twice)
    assert {one.id for one in report.scored} == {"one"}
    assert any("same run" in one.reason for one in report.excluded)


@given(hits=st.integers(0, 60), more=st.integers(0, 60))
def test_binomial_p_is_that_of_scipy(hits: int, more: int) -> None:
    count = hits + more or 1
    hits = min(hits, count)
    assert binomial_p(hits, count, 0.9) == pytest.approx(
        binomtest(hits, count, 0.9).pvalue, rel=1e-6
    )


@settings(deadline=None, max_examples=40)
@given(params=st.floats(1e6, 1e12), tokens=st.floats(1e9, 1e13), more=st.floats(1.1, 50))
def test_predictions_rise_with_the_work(params: float, tokens: float, more: float) -> None:
    small = scored(params=f"{params}", dataset_tokens_or_samples=f"{tokens:.6e} tokens")
    large = scored(params=f"{params}", dataset_tokens_or_samples=f"{tokens * more:.6e} tokens")
    key = ("device energy", "description")
    assert large[key].predicted > small[key].predicted


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(ROW)), st.text(max_size=20)))
def test_any_words_in_a_row_are_scored_or_excluded(changed: dict[str, str]) -> None:
    report = validate([{**ROW, **changed}])
    assert report.scored or report.excluded
    for one in report.scored:
        assert math.isfinite(one.predicted)


def test_the_cited_rows_are_all_accounted_for() -> None:
    rows = training_data.table(training_data.ROWS)
    report = validate(rows)
    named = {one.id for one in report.scored} | {one.id for one in report.excluded}
    assert named == {row["id"] for row in rows}
    circular = {row["id"] for row in rows if "TDP" in row["energy_basis"]}
    assert not circular & {one.id for one in report.scored if "energy" in one.quantity}


def test_a_stated_precision_and_count_are_used() -> None:
    fp32, bf16 = (read({**ROW, "precision": p}).traits for p in ("fp32", "mixed bf16"))
    assert (fp32.precision, bf16.precision) == ("fp32", "bf16")
    assert read({**ROW, "n_devices": "", "wall_hours": "100"}).traits.count == 800


def test_words_and_data_say_the_same() -> None:
    report = validate([ROW, {**ROW, "id": "circle", "energy_basis": "TDP x hours"}])
    text, data = validation_text(report), validation_data(report)
    assert "one: device energy from description" in text
    assert "circular" in text
    again = json.loads(json.dumps(data))
    assert {row["id"] for row in again["scored"]} == {"one", "circle"}
    assert all("error_ratio" in row for row in data["scored"])


def test_nothing_to_score_is_said() -> None:
    text = validation_text(validate([{"id": "empty"}]))
    assert text.startswith("No row could be scored.")
    assert "no hardware is given" in text


@pytest.mark.parametrize(
    ("column", "words", "expected"),
    [
        ("params", "7B", 7e9), ("params", "1,024", 1024.0), ("n_devices", "512 GPUs", 512.0),
        ("params", "~6.7e9", 6.7e9), ("params", "1.5 million", 1.5e6), ("params", "-3", 0.0),
        ("params", "nan", 0.0), ("params", "x", 0.0), ("params", "", 0.0),
        ("energy_kwh", "12 MWh", 12_000.0), ("energy_kwh", "9,000", 9000.0),
    ],
)  # fmt: skip
def test_numbers_of_a_cell_are_read_as_people_write_them(
    column: str, words: str, expected: float
) -> None:
    assert _number({column: words}, column) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("words", "network"),
    [
        ("gaissa-mobilenet-v2-3070", "mobilenetv2"), ("gaissa-xception-3070", "xception"),
        ("mlperf-v4.0-smc-1n-resnet", "resnet50"), ("ResNet-152 on ImageNet", "resnet152"),
        ("nasnet_mobile classifier", "nasnetmobile"), ("EfficientNet-B4", "efficientnetb4"),
        ("RetinaNet with ResNet-50", ""), ("BERT", ""), ("resnet-9", ""),
    ],
)  # fmt: skip
def test_a_network_is_known_by_the_words_of_its_row(words: str, network: str) -> None:
    assert network_in(words) == network


def test_a_limit_tells_the_variant_of_a_device() -> None:
    """A limit of 250 W is that of the card of 250 W, not of the module of 300 W."""
    row = {"id": "run-pl250", "hardware": "NVIDIA V100", "n_devices": "1"}
    read_row = read(row)
    assert read_row.machine is not None
    assert read_row.machine.tdp_w.value == pytest.approx(250, rel=0.01)
    assert read_row.traits.cap_ratio == pytest.approx(1)


def test_without_devices_and_hours_operations_say_how_many() -> None:
    """As many as end within a month: a large model is not taken to train on one server."""
    row = {"id": "x", "hardware": "NVIDIA H100", "architecture": "transformer",
           "params": "7e9", "dataset_tokens_or_samples": "4e12 tokens"}  # fmt: skip
    machine = read(row).machine
    assert machine is not None
    assert 100 < machine.count < 1000
