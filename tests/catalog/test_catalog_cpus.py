# SPDX-License-Identifier: Apache-2.0
"""Processors are found by exact name, by family, by vendor, or honestly not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.catalog import match_cpu
from submeter.catalog.names import normal_cpu
from submeter.catalog.tables import rows

EXACT = [  # as /proc/cpuinfo writes them; TDP of the vendor's data sheet [W]
    ("AMD EPYC 7742 64-Core Processor", 225, 128),
    ("AMD EPYC 9654 96-Core Processor", 360, 192),
    ("Intel(R) Xeon(R) Platinum 8480+", 350, None),
    ("Intel(R) Xeon(R) Platinum 8275CL CPU @ 3.00GHz", 240, 48),
    ("Intel(R) Xeon(R) Gold 6226R CPU @ 2.90GHz", 150, None),
    ("Intel(R) Xeon(R) CPU E5-2620 v3 @ 2.40GHz", 85, None),
    ("Intel(R) Xeon(R) CPU E3-1240 V2 @ 3.40GHz", 69, None),
    ("AMD Ryzen Threadripper 1950X 16-Core Processor", 180, 32),
]


@pytest.mark.parametrize(("name", "tdp_w", "threads"), EXACT)
def test_an_exact_name_gives_its_own_tdp(name: str, tdp_w: float, threads: int | None) -> None:
    row = match_cpu(name)
    assert (row.level, row.how) == ("model", "exact model")
    assert (row.tdp_w, row.tdp_low_w, row.tdp_high_w) == (tdp_w, tdp_w, tdp_w)
    assert row.tdp_log_sd == 0
    if threads is not None:
        assert row.threads == threads
        assert row.w_per_thread == tdp_w / threads
        assert row.w_per_thread_log_sd == 0


FAMILY = [
    ("AMD EPYC-Rome Processor", "amd-epyc-kvm-rome"),
    ("AMD EPYC-Milan Processor", "amd-epyc-kvm-milan"),
    ("Intel Xeon Processor (Skylake, IBRS)", "intel-xeon-kvm-skylake"),
    ("Intel Xeon Processor (Icelake)", "intel-xeon-kvm-ice-lake"),
    ("Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz", "intel-xeon-platinum-84xx-sapphire-rapids"),
    ("INTEL(R) XEON(R) PLATINUM 8581C CPU @ 2.30GHz", "intel-xeon-platinum-85xx-emerald-rapids"),
    ("Neoverse-N1", "arm-neoverse-cloud"),
    ("AWS Graviton9", "arm-neoverse-cloud"),
    ("AMD Ryzen 9 7950X 16-Core Processor", "amd-ryzen-desktop-7xxx"),
    ("AMD Ryzen 7 PRO 6850U with Radeon Graphics", "amd-ryzen-mobile-u"),
    ("13th Gen Intel(R) Core(TM) i9-13900K", "intel-core-desktop-k"),
]


@pytest.mark.parametrize(("name", "key"), FAMILY)
def test_an_unlisted_model_falls_to_its_family(name: str, key: str) -> None:
    row = match_cpu(name)
    assert (row.level, row.key) == ("family", key)
    assert row.tdp_low_w < row.tdp_high_w
    assert row.w_per_thread_log_sd >= 0.3


NUMBERED = [
    ("AMD EPYC", "AuthenticAMD", "25/17", None, "amd-epyc-9xx4-genoa-bergamo"),
    ("AMD EPYC", "AuthenticAMD", "25/1", None, "amd-epyc-7xx3-milan"),
    ("AMD EPYC", "AuthenticAMD", "23/49", None, "amd-epyc-7xx2-rome"),
    ("Intel(R) Xeon(R) CPU @ 2.20GHz", "GenuineIntel", "6/79", 0, "intel-xeon-e5-v4"),
    (
        "Intel(R) Xeon(R) CPU @ 2.00GHz",
        "GenuineIntel",
        "6/85",
        3,
        "intel-xeon-platinum-81xx-skylake-sp",
    ),
    (
        "Intel(R) Xeon(R) CPU @ 2.80GHz",
        "GenuineIntel",
        "6/85",
        7,
        "intel-xeon-platinum-82xx-cascade-lake",
    ),
    (
        "Intel(R) Xeon(R) Processor @ 2.00GHz",
        "GenuineIntel",
        "6/143",
        8,
        "intel-xeon-platinum-84xx-sapphire-rapids",
    ),
    ("", "0x41", "8/3340", None, "arm-neoverse-cloud"),
]


@pytest.mark.parametrize(("name", "vendor_id", "code", "stepping", "key"), NUMBERED)
def test_a_masked_name_is_told_by_its_numbers(
    name: str, vendor_id: str, code: str, stepping: int | None, key: str
) -> None:
    row = match_cpu(name, vendor_id=vendor_id, code=code, stepping=stepping)
    assert (row.level, row.key) == ("family", key)
    assert code in row.how


VENDOR = [
    ("Intel(R) Xeon(R) Processor @ 2.00GHz", "intel-xeon-cloud-masked-name-gcp"),
    ("Intel(R) Xeon(R) CPU @ 2.20GHz", "intel-xeon-cloud-masked-name-gcp"),
    ("AMD EPYC", "any-amd-epyc"),
    ("QEMU Virtual CPU version 2.5+", "any-virtual-cpu"),
    ("Common KVM processor", "any-virtual-cpu"),
]


@pytest.mark.parametrize(("name", "key"), VENDOR)
def test_a_masked_name_without_numbers_is_wider_than_any_family(name: str, key: str) -> None:
    row = match_cpu(name)
    assert (row.level, row.key) == ("vendor", key)
    assert row.w_per_thread_log_sd >= 0.3
    assert row.tdp_log_sd > 0.2


@pytest.mark.parametrize("name", ["", "Made-up 9000", "Apple M2"])
def test_an_unknown_name_is_any_processor_and_widest(name: str) -> None:
    row = match_cpu(name)
    assert row.level == "any"
    assert row.tdp_log_sd > 0.9
    assert row.how.startswith("any processor")


def test_masked_virtual_names_are_wider_than_the_family_they_may_be() -> None:
    genoa = match_cpu("AMD EPYC", vendor_id="AuthenticAMD", code="25/17")
    masked = match_cpu("AMD EPYC")
    assert masked.tdp_log_sd > genoa.tdp_log_sd
    assert masked.w_per_thread_log_sd > genoa.w_per_thread_log_sd
    assert match_cpu("").w_per_thread_log_sd > masked.w_per_thread_log_sd


@pytest.mark.parametrize("code", ["", "25", "x/y", "6/85/1", "9999/1"])
def test_numbers_that_say_nothing_are_passed_over(code: str) -> None:
    assert match_cpu("AMD EPYC", vendor_id="AuthenticAMD", code=code).level == "vendor"


@given(st.text(max_size=80))
def test_any_name_finds_a_row_whose_range_holds_its_tdp(name: str) -> None:
    row = match_cpu(name)
    assert row.tdp_low_w <= row.tdp_w <= row.tdp_high_w
    assert row.w_per_thread > 0
    assert row.how


@given(st.text(max_size=60))
def test_a_normal_name_is_normal_already(name: str) -> None:
    once = normal_cpu(name)
    assert once == once.strip()
    assert "  " not in once


def test_every_listed_name_is_found_under_itself() -> None:
    for row in rows("cpus"):
        found = match_cpu(row["key"])
        assert found.level == "model", row["key"]
        assert found.tdp_w == float(row["tdp_w"]), row["key"]
