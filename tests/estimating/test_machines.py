# SPDX-License-Identifier: Apache-2.0
"""The hardware of a training, from a few words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.errors import CoverageError, UsageError
from submeter.estimating.machines import PRECISIONS, machine_of, machines_of, precision_of


@pytest.mark.parametrize(
    ("words", "key", "count", "per_node", "tdp_w", "peak"),
    [
        ("h100-sxm:512", "nvidia-h100-sxm5-80gb", 512, 8, 700, 989e12),
        ("512 x h100-sxm", "nvidia-h100-sxm5-80gb", 512, 8, 700, 989e12),
        ("a100-sxm4-80gb:8", "nvidia-a100-sxm4-80gb", 8, 8, 400, 312e12),
        ("tpu-v4:64", "google-tpu-v4", 64, 4, 192, 275e12),
        ("amd mi250x:6", "amd-mi250x", 6, 4, 500, 383e12),
        ("rtx 3070", "nvidia-rtx-3070", 1, 1, 220, 40.63e12),
        ("2 h100-sxm", "nvidia-h100-sxm5-80gb", 2, 2, 700, 989e12),
        ("NVIDIA V100-SXM2-32GB:8", "nvidia-v100-sxm2-32gb", 8, 8, 300, 125e12),
    ],
)
def test_reads_name_and_count(
    words: str, key: str, count: int, per_node: int, tdp_w: float, peak: float
) -> None:
    machine = machine_of(words)
    assert (machine.accelerator.key, machine.count, machine.per_node) == (key, count, per_node)
    assert machine.tdp_w.value == pytest.approx(tdp_w)
    assert machine.peak_flop_per_s("bf16").value == pytest.approx(peak, rel=1e-3)


@pytest.mark.parametrize(
    ("words", "precision", "runs_in"),
    [
        ("v100-sxm2-32gb", "bf16", "fp16"),
        ("google tpu v3", "fp16", "bf16"),
        ("a100-sxm4-80gb", "fp8", "bf16"),
        ("h100-sxm", "fp8", "fp8"),
        ("nvidia p40", "bf16", "fp32"),
        ("cpu", "bf16", "fp32"),
        ("h100-sxm", "bfloat16", "bf16"),
    ],
)
def test_a_precision_without_units_of_its_own_runs_in_the_next_and_says_so(
    words: str, precision: str, runs_in: str
) -> None:
    machine = machine_of(words)
    assert machine.runs_in(precision) == runs_in
    note = machine.peak_flop_per_s(precision).note
    assert ("is not listed" in note) == (runs_in != precision_of(precision))


def test_a_name_of_several_is_their_family_and_wider_than_one() -> None:
    family, one = machine_of("a100"), machine_of("a100-sxm4-80gb")
    assert not family.known
    assert family.notes
    assert family.tdp_w.low <= 250
    assert family.tdp_w.high >= 400
    assert family.tdp_w.log_sd > one.tdp_w.log_sd


def test_from_eight_devices_on_a_name_of_several_is_the_server_module() -> None:
    machine = machine_of("a100:8")
    assert machine.tdp_w.value == pytest.approx(400)
    assert "from 8 devices on" in machine.notes[0]


@pytest.mark.parametrize(
    "words",
    [
        "",
        ":4",
        "h100:0",
        "h100:-1",
        "h100:many",
        "h100:8:8",
        "h100:1e99",
        "frobnicator 9",
        "2 h100:8",
    ],
)
def test_nonsense_is_one_clear_error(words: str) -> None:
    with pytest.raises(UsageError):
        machine_of(words)


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(UsageError, match="no precision"):
        machine_of("h100-sxm").peak_flop_per_s("fp3")


def test_a_list_of_machines() -> None:
    assert [m.device_class for m in machines_of("v100, tpu-v4:4,cpu,rtx 3090")] == [
        "datacentre", "tpu", "cpu", "card",
    ]  # fmt: skip
    with pytest.raises(UsageError):
        machines_of(" , ")


def test_a_processor_has_a_wide_rate_by_its_tdp() -> None:
    one = machine_of("Intel Xeon Platinum 8175M:2")
    assert one.count == 2
    peak = one.peak_flop_per_s("fp32")
    # 24 cores × 2.5 GHz × 64 FLOP per cycle = 3.84 TFLOP/s
    assert peak.low <= 3.84e12 <= peak.high
    assert machine_of("cpu").peak_flop_per_s("fp32").log_sd > peak.log_sd


@given(count=st.integers(1, 100_000), name=st.sampled_from(["h100-sxm", "v100", "tpu-v4", "cpu"]))
def test_nodes_hold_all_devices(count: int, name: str) -> None:
    machine = machine_of(f"{name}:{count}")
    assert (machine.nodes - 1) * machine.per_node < count <= machine.nodes * machine.per_node


@given(precision=st.sampled_from(PRECISIONS), name=st.sampled_from(["h100-sxm", "mi250x", "a100"]))
def test_every_precision_has_a_rate_or_is_refused(precision: str, name: str) -> None:
    machine = machine_of(name)
    try:
        peak = machine.peak_flop_per_s(precision)
    except CoverageError:
        assert precision == "fp64"
    else:
        assert 0 < peak.low <= peak.value <= peak.high
