# SPDX-License-Identifier: Apache-2.0
"""Changes of a model and the outlook on spiking chips: ranges, never operations sold as joules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.errors import UsageError
from submeter.estimating.changes import Saving, saving_of, teacher_words
from submeter.estimating.machines import machine_of
from submeter.estimating.outlook import SPIKE_RATES, TIME_STEPS, energies, spiking
from submeter.workloads.describing import workload_of
from submeter.workloads.workloads import Workload

LLAMA = workload_of(params="7B", tokens="2T", precision="bf16")
RESNET = workload_of(cnn="resnet50", images="1.28M", epochs=90)


def saved(words: str, workload: Workload = LLAMA, hardware: str = "h100-sxm:8") -> Saving:
    def teacher(value: str) -> Workload:
        return workload_of(**teacher_words(value, dict(workload.work) | {"tokens": "2T"}))

    return saving_of(words, workload, machine_of(hardware), teacher)


@given(st.floats(0.01, 0.95))
def test_zeros_save_nothing_and_channels_something_between_nothing_and_all(share: float) -> None:
    mask, channels = saved(f"prune={share}"), saved(f"prune={share}:channels")
    assert mask.low_ratio == mask.high_ratio == mask.useful_ratio == mask.bytes_ratio == 1
    assert channels.low_ratio == channels.useful_ratio < 1
    assert channels.high_ratio == 1  # fewer operations may save no joule
    assert channels.params_ratio < 1


@pytest.mark.parametrize(
    ("words", "hardware", "low", "high"),
    [
        ("prune=2:4", "h100-sxm:8", 1 / 1.3, 1.0),
        ("prune=2:4", "v100:8", 1.0, 1.0),  # has no units for it
        ("prune=2:4", "a100:8", 1 / 1.3, 1.0),  # one of several, all of which have
        ("prune=2:4", "tpu-v4:8", 1.0, 1.0),
        ("precision=fp8", "h100-sxm:8", 0.5, 1.0),
        ("precision=int8", "h100-sxm:8", 0.5, 1.33),
        ("precision=fp32", "h100-sxm:8", 1.0, 14.8),
        ("precision=bf16", "h100-sxm:8", 1.0, 1.0),
        ("distil=70B", "h100-sxm:8", 1.0, 4.3),
    ],
)
def test_the_range_is_what_machines_and_measurements_allow(
    words: str, hardware: str, low: float, high: float
) -> None:
    found = saved(words, hardware=hardware)
    assert found.low_ratio == pytest.approx(low, rel=0.05)
    assert found.high_ratio == pytest.approx(high, rel=0.05)
    assert found.why


def test_what_a_machine_cannot_run_saves_bytes_at_most() -> None:
    found = saved("precision=fp8", hardware="v100:8")
    assert "no units" in found.why
    assert found.low_ratio == found.bytes_ratio < 1 == found.high_ratio


@given(st.floats(-3, 3))
def test_compound_scaling_is_between_bytes_and_operations(phi: float) -> None:
    found = saved(f"scale={phi}", RESNET)
    assert found.low_ratio == min(found.useful_ratio, found.bytes_ratio)
    assert found.high_ratio == max(found.useful_ratio, found.bytes_ratio)
    assert found.useful_ratio == pytest.approx((1.2 * 1.1**2 * 1.15**2) ** phi, rel=1e-6)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("foo", "no change of a model"),
        ("prune", "no change of a model"),
        ("prune=", "no change of a model"),
        ("shrink=2", "no change of a model"),
        ("prune=1.5", "cannot be pruned"),
        ("prune=-0.5:channels", "cannot be pruned"),
        ("prune=0.5:heads", "no way of pruning"),
        ("prune=half", "no share"),
        ("precision=bf17", "bf17"),
        ("scale=2", "no convolutional network"),
        ("scale=big", "no number of steps"),
        ("distil=70 TB", "70 TB"),
        ("distil=-7B", "-7B"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused(words: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        saved(words)
    assert caught.value.remedy


def test_percents_are_shares() -> None:
    assert saved("prune=50 %:channels").useful_ratio == saved("prune=0.5:channels").useful_ratio


# --- outlook ------------------------------------------------------------------------------------


@given(st.floats(1e9, 1e11), st.floats(1e9, 1e12))
def test_an_outlook_is_in_proportion_to_the_products(params: float, tokens: float) -> None:
    workload = workload_of(params=params, tokens=tokens)
    found = spiking(workload)
    assert found.products == workload.operations.useful_flop / 2
    assert found.operations_low == found.products * SPIKE_RATES[0] * TIME_STEPS[0]
    assert found.operations_high == found.products * SPIKE_RATES[1] * TIME_STEPS[1]
    assert found.energy_low_j < found.energy_high_j


def test_its_energies_are_those_of_chips_whose_source_was_read() -> None:
    known = energies()
    assert len(known) >= 8
    assert all(f.key.startswith("energy_per_op/syn-") and f.unit == "pJ/SOP" for f in known)
    found = spiking(LLAMA)
    assert found.energy_per_operation_low_j == pytest.approx(min(f.low for f in known) * 1e-12)
    assert found.energy_per_operation_high_j == pytest.approx(max(f.high for f in known) * 1e-12)
    assert found.chips == ("Tianjic", "SpiNNaker")
    assert found.sources
    assert any("no ranking" in note for note in found.notes)


def test_hours_alone_have_no_outlook() -> None:
    with pytest.raises(UsageError, match="only hours"):
        spiking(None)
