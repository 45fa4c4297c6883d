# SPDX-License-Identifier: Apache-2.0
"""Accelerators by any of their names; unknown ones get a family that is wide and says so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.catalog.accelerators import (
    Finder,
    accelerator_fact,
    family_of,
    match_accelerator,
)
from submeter.catalog.facts import fact, has
from submeter.catalog.instances import Instances, match_instance
from submeter.catalog.tables import rows
from submeter.errors import CoverageError, UsageError

ACCELERATORS = rows("accelerators")
KEYS = [row["key"] for row in ACCELERATORS]

DRIVERS = [
    ("NVIDIA H100 80GB HBM3", "nvidia-h100-sxm5-80gb"),
    ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", "nvidia-h100-sxm5-80gb"),
    ("NVIDIA A100-SXM4-80GB MIG 3g.40gb", "nvidia-a100-sxm4-80gb"),
    ("H100 PCIe", "nvidia-h100-pcie-80gb"),
    ("h100-sxm", "nvidia-h100-sxm5-80gb"),
    ("h100_nvl", "nvidia-h100-nvl-94gb"),
    ("Tesla V100-SXM2-16GB", "nvidia-v100-sxm2-16gb"),
    ("NVIDIA A100 80GB PCIe", "nvidia-a100-pcie-80gb"),
    ("a100 80gb sxm", "nvidia-a100-sxm4-80gb"),
    ("Tesla T4", "nvidia-t4"),
    ("t4", "nvidia-t4"),
    ("NVIDIA GeForce RTX 4090", "nvidia-rtx-4090"),
    ("rtx 4090", "nvidia-rtx-4090"),
    ("RTX4090".replace("X4", "X 4"), "nvidia-rtx-4090"),
    ("NVIDIA GeForce RTX 4090 Laptop GPU", "nvidia-rtx-4090-laptop"),
    ("NVIDIA H200", "nvidia-h200-sxm"),
    ("NVIDIA B200", "nvidia-b200"),
    ("NVIDIA TITAN X (Pascal)", "nvidia-titan-x-pascal"),
    ("AMD Instinct MI250X", "amd-mi250x"),
    ("mi300x", "amd-mi300x"),
    ("Advanced Micro Devices, Inc. [AMD/ATI] AMD Instinct MI300X OAM", "amd-mi300x"),
    ("Intel(R) Data Center GPU Max 1550", "intel-max-1550"),
    ("TPU v4", "google-tpu-v4"),
    ("tpu-v5p", "google-tpu-v5p"),
    ("Trillium", "google-tpu-v6e"),
    ("trainium 2", "aws-trainium2"),
    ("Gaudi2", "intel-gaudi2"),
    ("Apple M2 Max", "apple-m2-max"),
]


@pytest.mark.parametrize(("name", "key"), DRIVERS)
def test_names_of_drivers_and_people_find_one_row(name: str, key: str) -> None:
    row = match_accelerator(name)
    assert (row.key, row.how, row.members, row.note) == (key, "name", (key,), "")


def test_every_accelerator_resolves_by_key_name_and_each_alias() -> None:
    assert len(ACCELERATORS) >= 300
    for row in ACCELERATORS:
        for name in (row["key"], row["name"], *filter(None, row["aliases"].split(";"))):
            for spelling in (name, name.lower(), name.upper(), f" {name} "):
                assert match_accelerator(spelling).key == row["key"], spelling


def test_every_further_alias_leads_to_an_accelerator() -> None:
    for row in rows("device_names"):
        assert match_accelerator(row["alias"]).key == row["key"]


@pytest.mark.parametrize(
    ("name", "variants"),
    [
        ("h100", {"nvidia-h100-sxm5-80gb", "nvidia-h100-pcie-80gb", "nvidia-h100-nvl-94gb",
                  "nvidia-h100-sxm5-96gb"}),
        ("A100", {"nvidia-a100-sxm4-40gb", "nvidia-a100-sxm4-80gb", "nvidia-a100-pcie-40gb",
                  "nvidia-a100-pcie-80gb"}),
        ("a100 80gb", {"nvidia-a100-sxm4-80gb", "nvidia-a100-pcie-80gb"}),
        ("Gaudi3", {"intel-gaudi3-oam", "intel-gaudi3-pcie"}),
        ("m4", {"nvidia-m4", "apple-m4"}),
    ],
)  # fmt: skip
def test_a_short_name_is_refused_with_its_variants(name: str, variants: set[str]) -> None:
    with pytest.raises(UsageError) as failure:
        match_accelerator(name)
    assert f"{len(variants)} accelerators" in str(failure.value)
    assert all(key in str(failure.value) for key in variants)
    assert set(family_of(name).members) == variants


def test_many_variants_are_counted_not_listed() -> None:
    with pytest.raises(UsageError, match=r"and \d+ more"):
        match_accelerator("quadro")


@pytest.mark.parametrize(
    ("name", "architecture", "by"),
    [
        ("NVIDIA H100 Ultra 120GB", "", "the model h100"),
        ("GRID A100-10C", "", "the model a100"),
        ("NVIDIA GeForce RTX 4095", "", "the architecture Ada"),
        ("NVIDIA Prototype", "Hopper", "the architecture Hopper"),
        ("AMD Instinct MI999X", "", "the series mi of AMD"),
        ("NVIDIA Thing 96GB", "", "the vendor NVIDIA and about 96 GB"),
        ("Google Something", "", "the vendor Google"),
        ("FooChip 3000", "", "nothing but"),
        ("", "", "nothing but"),
    ],
)
def test_an_unknown_device_gets_its_family_and_says_so(
    name: str, architecture: str, by: str
) -> None:
    row = match_accelerator(name, architecture=architecture)
    assert row.how == "family"
    assert by in row.note
    tdp = accelerator_fact(row, "tdp_w")
    own = [fact("accelerator_facts", key, "tdp_w") for key in row.members
           if has("accelerator_facts", key, "tdp_w")]  # fmt: skip
    assert tdp.verified == "assumed"
    assert tdp.high / tdp.low >= 1.3**2 - 1e-9
    assert all(tdp.low <= one.value * (1 + 1e-9) for one in own)
    assert all(tdp.high >= one.value * (1 - 1e-9) for one in own)
    assert row.key in tdp.key


def test_a_family_is_wider_than_its_member_and_the_unknown_is_widest() -> None:
    exact, model, any_gpu = (
        accelerator_fact(match_accelerator(name), "tdp_w")
        for name in ("NVIDIA H100 80GB HBM3", "NVIDIA H100 Ultra", "FooChip")
    )
    assert exact.high / exact.low < model.high / model.low < any_gpu.high / any_gpu.low


def test_what_is_not_known_of_a_known_device_is_that_of_its_kin_and_says_so() -> None:
    key = next(k for k in KEYS if not has("accelerator_facts", k, "tdp_w"))
    row = match_accelerator(key)
    prior = accelerator_fact(row, "tdp_w")
    assert (row.how, prior.verified) == ("name", "assumed")
    assert "family:" in prior.key
    assert prior.high / prior.low > 1.5


def test_a_quantity_that_no_device_has_is_refused() -> None:
    with pytest.raises(CoverageError, match="flavour"):
        accelerator_fact(match_accelerator("t4"), "flavour")


def test_one_member_alone_is_taken_with_a_factor_of_two() -> None:
    row = match_accelerator("nvidia-t4")
    lone = family_of("NVIDIA T4 Extra")
    assert lone.members == (row.key,)
    prior = accelerator_fact(lone, "tdp_w")
    assert prior.high / prior.value == pytest.approx(2)


@given(st.text(max_size=60), st.sampled_from(["", "Hopper", "Rubin", "ada"]))
def test_any_name_finds_rows_or_is_refused_with_choices(name: str, architecture: str) -> None:
    try:
        row = match_accelerator(name, architecture=architecture)
    except UsageError:
        assert len(family_of(name).members) > 1
        return
    assert row.members
    assert set(row.members) <= set(KEYS)
    assert (row.how == "name") == (row.members == (row.key,))


def test_an_alias_of_two_rows_is_refused_never_the_first_taken() -> None:
    row = {"vendor": "V", "kind": "gpu", "architecture": "", "year": "", "aliases": "Both"}
    finder = Finder([{**row, "key": "v-a", "name": "Aa"}, {**row, "key": "v-b", "name": "Bb"}])
    assert finder.find("both") == ("v-a", "v-b")


def test_every_instance_resolves_by_key_and_both_ways_to_name_its_provider() -> None:
    table = rows("instances")
    assert len(table) >= 200
    for row in table:
        joined = (row["key"], f"{row['provider']}:{row['instance']}", row["instance"].upper())
        for name in joined:
            found = match_instance(name)
            assert (found.key, found.accelerator) == (row["key"], row["accelerator"])
        assert match_accelerator(row["accelerator"]).key == row["accelerator"]


def test_an_instance_is_found_as_people_write_it() -> None:
    assert match_instance("p4d.24xlarge").accelerator == "nvidia-a100-sxm4-40gb"
    for name in ("Standard_ND96asr_A100_v4", "ND96asr A100 v4", "azure/ND96asr_A100_v4"):
        assert match_instance(name).provider == "azure"


def test_an_unknown_instance_has_no_default() -> None:
    with pytest.raises(CoverageError) as failure:
        match_instance("p4d")
    assert "p4d.24xlarge" in (failure.value.remedy or "")
    with pytest.raises(CoverageError):
        match_instance("")


def test_an_instance_of_two_clouds_is_refused() -> None:
    row = {"instance": "big", "accelerator": "", "host_cpu": ""}
    both = Instances([{**row, "key": f"{p}/big", "provider": p} for p in ("a", "b")])
    with pytest.raises(UsageError, match="a, b"):
        both.find("big")
    assert both.find("b big").provider == "b"
