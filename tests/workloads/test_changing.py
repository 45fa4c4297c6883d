# SPDX-License-Identifier: Apache-2.0
"""What a change of the model saves in operations and bytes, and what it does not save."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.errors import UsageError
from submeter.workloads.changing import compound_scaled, distilled, pruned, quantised
from submeter.workloads.describing import workload_of
from submeter.workloads.layers import PRECISIONS
from submeter.workloads.workloads import Operations, Workload, total

LANGUAGE = workload_of(model="llama-7b", tokens="1T", fused=False)
MIXTURE = workload_of(model="mixtral-8x7b", tokens="1T")
PICTURES = workload_of(cnn="resnet50", images="1.28M", precision="fp32")
SCALABLE = workload_of(cnn="efficientnet-b0", images="1M")
workloads = st.sampled_from([LANGUAGE, MIXTURE, PICTURES, SCALABLE])
shares = st.floats(0, 0.99)


def holds_together(work: Workload) -> bool:
    whole = total(work.parts.values())
    return all(
        getattr(work.operations, name) == pytest.approx(getattr(whole, name))
        for name in Operations.__struct_fields__
    )


@settings(deadline=None)
@given(workloads, st.sampled_from(sorted(PRECISIONS)), st.sampled_from(sorted(PRECISIONS)))
def test_quantising_changes_bytes_and_no_operation(work: Workload, a: str, b: str) -> None:
    one = quantised(work, a)
    assert one.operations.useful_flop == pytest.approx(work.operations.useful_flop)
    assert one.operations.executed_flop == pytest.approx(work.operations.executed_flop)
    assert one.precision == a
    assert holds_together(one)
    back = quantised(quantised(one, b), a)  # whatever the way, the same place
    assert back.operations.bytes_moved == pytest.approx(one.operations.bytes_moved)
    products = {
        p: quantised(work, p).operations.bytes_moved - work.parts["optimiser"].bytes_moved
        for p in (a, b)
    }
    assert products[a] / products[b] == pytest.approx(PRECISIONS[a] / PRECISIONS[b], rel=1e-6)


@settings(deadline=None)
@given(workloads, shares)
def test_a_mask_saves_nothing_and_says_so(work: Workload, share: float) -> None:
    masked = pruned(work, share, "mask")
    assert masked.operations == total(work.parts.values())
    assert masked.params == work.params
    assert "saves no operation" in masked.notes[-1]


@settings(deadline=None)
@given(workloads, shares, shares)
def test_channels_save_the_more_the_more_are_gone(work: Workload, a: float, b: float) -> None:
    low, high = sorted((a, b))
    little, much = (pruned(work, share, "channels") for share in (low, high))
    assert much.operations.useful_flop <= little.operations.useful_flop
    assert much.operations.bytes_moved <= little.operations.bytes_moved
    assert holds_together(much)
    kept = 1 - high
    saved = much.operations.useful_flop / work.operations.useful_flop
    assert kept**2 * (1 - 1e-9) <= saved <= kept * (1 + 1e-9)


@settings(deadline=None)
@given(workloads)
def test_two_of_four_saves_half_of_two_thirds_of_the_products_with_weights(work: Workload) -> None:
    sparse = pruned(work, 0.5, "2:4")
    assert holds_together(sparse)
    assert sparse.operations.bytes_moved == pytest.approx(work.operations.bytes_moved)
    for part, before in work.parts.items():
        after = sparse.parts[part]
        if part in ("feed-forward", "experts", "attention"):
            assert after.useful_flop == pytest.approx(before.useful_flop * 2 / 3)
            assert after.forward_flop == before.forward_flop / 2
        elif part in ("scores", "head", "embedding", "optimiser", "classifier", "router"):
            assert after == before
    said = " ".join(sparse.notes)
    assert "without sparse units nothing is saved" in said


def test_the_teacher_goes_forward_over_all_that_the_student_sees() -> None:
    student = workload_of(model="llama-7b", tokens="100B")
    teacher = workload_of(model="llama-65b", tokens="1.4T")
    taught = distilled(student, teacher)
    lesson = taught.parts["teacher"]
    forward = workload_of(model="llama-65b", tokens="100B").operations.forward_flop
    assert lesson.forward_flop == pytest.approx(forward)
    assert lesson.backward_flop == lesson.optimiser_flop == 0
    assert taught.operations.useful_flop == pytest.approx(student.operations.useful_flop + forward)
    assert taught.params == student.params
    assert holds_together(taught)
    assert "teacher's own training is not counted" in taught.notes[-1]
    with pytest.raises(UsageError, match="learns from tokens") as caught:
        distilled(student, PICTURES)
    assert caught.value.remedy


@pytest.mark.parametrize(("phi", "margin"), [(4, 0.2), (5, 0.05), (6, 0.05), (7, 0.05)])
def test_compound_scaling_comes_near_the_networks_that_were_built_by_it(
    phi: int, margin: float
) -> None:
    """B4 … B7 (Tan & Le 2019, table 2), but for the rounding of blocks and channels.

    B1 … B3 were built by less than their number says, and are counted by name.
    """
    built = workload_of(cnn=f"efficientnet-b{phi}", images="1M").operations.forward_flop
    scaled = compound_scaled(SCALABLE, phi).operations.forward_flop
    assert scaled == pytest.approx(built, rel=margin)


@settings(deadline=None)
@given(st.floats(-5, 5), st.floats(-5, 5))
def test_compound_scaling_composes(a: float, b: float) -> None:
    twice = compound_scaled(compound_scaled(SCALABLE, a), b)
    once = compound_scaled(SCALABLE, a + b)
    assert twice.operations.useful_flop == pytest.approx(once.operations.useful_flop)
    assert twice.params == pytest.approx(once.params)
    assert holds_together(once)


def test_one_step_doubles_the_operations_about() -> None:
    ratio = compound_scaled(SCALABLE, 1).operations.useful_flop / SCALABLE.operations.useful_flop
    assert ratio == pytest.approx(1.2 * 1.1**2 * 1.15**2)
    assert ratio == pytest.approx(2, rel=0.05)


@settings(deadline=None)
@given(workloads)
def test_no_change_speaks_of_joules_saved(work: Workload) -> None:
    for changed in (
        quantised(work, "fp8"),
        pruned(work, 0.5, "mask"),
        pruned(work, 0.5, "channels"),
        pruned(work, 0.5, "2:4"),
    ):
        assert changed.notes[: len(work.notes)] == work.notes
        new = " ".join(changed.notes[len(work.notes) :])
        assert new
        assert "joule" not in new.lower()
        assert "saves energy" not in new


@pytest.mark.parametrize(
    "call",
    [
        lambda: quantised(LANGUAGE, "int3"),
        lambda: pruned(LANGUAGE, 1.0, "channels"),
        lambda: pruned(LANGUAGE, -0.1, "mask"),
        lambda: pruned(LANGUAGE, float("nan"), "mask"),
        lambda: pruned(LANGUAGE, 0.5, "magic"),  # type: ignore[arg-type]
        lambda: pruned(LANGUAGE, 0.6, "2:4"),
        lambda: compound_scaled(LANGUAGE, 1),
        lambda: compound_scaled(SCALABLE, float("nan")),
        lambda: compound_scaled(SCALABLE, 100),
    ],
)
def test_nonsense_is_one_error_with_a_remedy(call: Any) -> None:
    with pytest.raises(UsageError) as caught:
        call()
    assert caught.value.remedy
