# SPDX-License-Identifier: Apache-2.0
"""Boards by the names that drivers report; what is unknown is wide, never a silent default."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.catalog import match_board
from submeter.catalog.tables import rows

BOARDS = [
    ("NVIDIA A100-SXM4-80GB", "Ampere GA100", 400),
    ("A100-SXM4-40GB", "Ampere GA100", 400),
    ("NVIDIA A100 80GB PCIe", "Ampere GA100", 300),
    ("Tesla V100-SXM2-16GB", "Volta", 300),
    ("Tesla P100-PCIE-16GB", "Pascal", 250),
    ("Tesla T4", "Turing", 70),
    ("NVIDIA H100 80GB HBM3", "Hopper", 700),
    ("NVIDIA H100 PCIe", "Hopper", 350),
    ("NVIDIA H200", "Hopper", 700),
    ("NVIDIA B200", "Blackwell", 1000),
    ("NVIDIA GeForce RTX 4090", "Ada", 450),
    ("NVIDIA GeForce RTX 3090", "Ampere GA10x", 350),
    ("NVIDIA L4", "Ada", 72),
]


@pytest.mark.parametrize(("name", "architecture", "tdp_w"), BOARDS)
def test_a_driver_s_name_finds_its_board(name: str, architecture: str, tdp_w: float) -> None:
    row = match_board(name)
    assert (row.how, row.architecture, row.tdp_w) == ("board", architecture, tdp_w)


def test_an_a100_sees_a_quarter_of_the_time() -> None:
    row = match_board("NVIDIA A100-PCIE-40GB")
    assert row.update_s == pytest.approx(0.1, rel=0.05)
    assert row.window_s == pytest.approx(0.025, rel=0.1)
    assert row.duty == pytest.approx(0.25, abs=0.02)
    assert row.gain.relative_sd * math.sqrt(3) >= 0.0578  # its own measured error is within


def test_a_hopper_averages_over_a_second_and_has_a_counter() -> None:
    row = match_board("NVIDIA H100 80GB HBM3")
    assert (row.window_s, row.duty, row.counter_update_s) == (1.0, 1.0, 0.1)


def test_a_board_before_volta_has_no_counter() -> None:
    assert match_board("Tesla P100-PCIE-16GB").counter_update_s == 0


def test_a_mig_instance_is_its_board() -> None:
    assert match_board("NVIDIA H100 80GB HBM3 MIG 1g.10gb") == match_board("NVIDIA H100 80GB HBM3")


def test_a_longer_name_keeps_the_architecture_but_not_the_tdp() -> None:
    row = match_board("NVIDIA GeForce RTX 4090 Special Edition")
    assert (row.how, row.architecture, row.tdp_w) == ("architecture", "Ada", None)


def test_a_new_board_of_a_known_line_gets_its_architecture() -> None:
    row = match_board("NVIDIA H200 Ultra 200GB")
    assert (row.how, row.architecture) == ("architecture", "Hopper")


def test_a_bare_ampere_gets_the_worst_of_both_of_its_chips() -> None:
    row = match_board("NVIDIA Prototype", architecture="Ampere")
    assert row.how == "architecture"
    assert row.duty == 0.25
    assert row.window_s == 1.0
    both = [match_board(n).gain.relative_sd for n in ("NVIDIA A30", "NVIDIA GeForce RTX 3090")]
    assert row.gain.relative_sd == max(both)


def test_an_unknown_board_is_the_widest_and_says_so() -> None:
    row = match_board("NVIDIA Made-up 1")
    assert (row.how, row.verified, row.tdp_w) == ("unknown", "assumed", None)
    since_turing = [
        match_board(n)
        for n in ("Tesla T4", "NVIDIA L4", "NVIDIA H200", "NVIDIA B200", "NVIDIA A100-SXM4-80GB")
    ]
    assert row.gain.relative_sd >= max(r.gain.relative_sd for r in since_turing)
    assert row.duty <= min(r.duty for r in since_turing)
    assert row.window_s >= max(r.window_s for r in since_turing)


@given(st.text(max_size=60), st.sampled_from(["", "Hopper", "Ampere", "Rubin", "ada"]))
def test_any_name_finds_a_usable_behaviour(name: str, architecture: str) -> None:
    row = match_board(name, architecture=architecture)
    assert row.update_s > 0
    assert 0 < row.duty <= 1
    assert row.gain.shape == "uniform"
    assert row.gain.relative_sd >= 0.05 / math.sqrt(3) - 1e-9


def test_every_listed_board_has_a_known_architecture() -> None:
    known = {row["key"] for row in rows("architectures")}
    assert {row["architecture"] for row in rows("boards")} <= known
