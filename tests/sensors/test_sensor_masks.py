# SPDX-License-Identifier: Apache-2.0
"""CUDA_VISIBLE_DEVICES, in all forms that CUDA takes, against boards told by UUID."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.sensors.masks import Board, resolve_mask

A, B, C = "GPU-8932f937-d72c", "GPU-8932aaaa-0001", "GPU-1b2c3d4e-ffff"
SAME = [Board(A, "A100"), Board(B, "A100"), Board(C, "A100", instances=("MIG-77aa-1", "MIG-77bb"))]
MIXED = [Board(A, "T4", 40), Board(B, "A100", 120), Board(C, "H100", 200)]


@pytest.mark.parametrize(
    ("mask", "uuids"),
    [
        (None, None),
        ("", ()),
        ("-1", ()),
        ("NoDevFiles", ()),
        ("0", (A,)),
        ("2,0", (C, A)),
        (" 1 , 2 ", (B, C)),
        ("0,-1,1", (A,)),  # CUDA stops at the first entry that it does not know
        ("0,7,1", (A,)),
        ("0,0", (A,)),
        (A, (A,)),
        (f"{C},{A}", (C, A)),
        ("GPU-1b2c", (C,)),
        ("gpu-1b2c", ()),
        ("GPU-8932", ()),  # fits two boards
        ("GPU-8932F937", (A,)),
        ("GPU-dead", ()),
        ("MIG-77aa-1", (C,)),
        ("MIG-77b", (C,)),
        ("MIG-77", (C,)),  # both instances are of one board
        (f"MIG-{B}/3/0", (B,)),
        ("MIG-GPU-dead/3/0", ()),
        ("MIG-dead", ()),
    ],
)
def test_a25_a_mask_is_resolved_as_cuda_does(
    mask: str | None, uuids: tuple[str, ...] | None
) -> None:
    assert resolve_mask(mask, SAME).uuids == uuids


def test_a25_numbers_count_the_fastest_board_first() -> None:
    found = resolve_mask("0,1", MIXED)
    assert found.uuids == (C, B)
    assert "fastest first" in found.notes[0]


def test_a25_numbers_count_by_pci_address_when_told_so() -> None:
    found = resolve_mask("0,1", MIXED, device_order="PCI_BUS_ID")
    assert found.uuids == (A, B)
    assert found.notes == ()


def test_a25_numbers_of_boards_of_unknown_speed_say_that_they_are_taken_by_address() -> None:
    boards = [Board(A, "T4"), Board(B, "H100", 200)]
    found = resolve_mask("0", boards)
    assert found.uuids == (A,)
    assert "speed unknown" in found.notes[0]


def test_a25_uuids_need_no_order() -> None:
    assert resolve_mask(f"{A},{B}", MIXED).notes == ()


def test_an_entry_that_names_no_board_is_told() -> None:
    assert resolve_mask("0,GPU-dead", SAME).notes == (
        "CUDA_VISIBLE_DEVICES names no board with 'GPU-dead'",
    )


@given(st.text(max_size=30))
def test_any_text_gives_known_boards_once_each(mask: str) -> None:
    uuids = resolve_mask(mask, SAME).uuids
    assert uuids is not None
    assert len(set(uuids)) == len(uuids)
    assert set(uuids) <= {A, B, C}


@given(st.permutations(range(3)), st.integers(0, 3))
def test_the_order_of_the_mask_is_kept(order: list[int], n: int) -> None:
    mask = ",".join(str(i) for i in order[:n])
    assert resolve_mask(mask, SAME).uuids == tuple(SAME[i].uuid for i in order[:n])
