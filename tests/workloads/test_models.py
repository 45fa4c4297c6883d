# SPDX-License-Identifier: Apache-2.0
"""A training told by its model: words to steps, arguments and batches, and what was not seen."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.errors import UsageError
from submeter.workloads.models import Given, ModelSource, resized, steps_of, value_of
from submeter.workloads.tallies import Cost, Counted, Escaped, Row
from submeter.workloads.unseen import MOST_SPREAD_RATIO, spread_ratio_of, unseen

torch = pytest.importorskip("torch")

FLOP = st.floats(1e3, 1e15)
BYTES = st.floats(1e3, 1e12)


def counted(
    known_flop: float, known_bytes: float, hidden_bytes: float, *, partly: bool = False
) -> Counted:
    rows = [Row("a", "forward", "aten.mm", "matmul", 1, Cost(known_flop, 0, 0, 0, known_bytes))]
    if not partly:
        cost = Cost(bytes_moved=hidden_bytes)
        rows.append(Row("b", "forward", "mine.op", "unknown", 1, cost))
    hidden = Escaped("mine.op", ("b",), 1, hidden_bytes, 0.5, 0.5, None, "unknown", partly)
    return Counted(tuple(rows), (hidden,), 10, 10, "meta", train=True)


@given(FLOP, BYTES, BYTES)
def test_a_share_is_a_share_and_grows_with_the_bytes(
    flop: float, some: float, more: float
) -> None:
    (small,) = unseen(counted(flop, some, more))
    (large,) = unseen(counted(flop, some, 2 * more))
    assert 0 < small.low_ratio <= small.high_ratio <= 1
    assert large.low_ratio > small.low_ratio
    assert large.high_ratio > small.high_ratio
    assert 1 < spread_ratio_of(counted(flop, some, more)) <= MOST_SPREAD_RATIO


@given(FLOP, BYTES)
def test_what_is_as_dense_as_the_rest_takes_its_part_of_the_bytes(
    flop: float, size: float
) -> None:
    (found,) = unseen(counted(flop, size, size))
    assert found.low_ratio <= 0.5 <= found.high_ratio + 1e-9
    assert found.high_ratio == pytest.approx(0.5)


def test_what_was_seen_in_part_may_be_nothing_more() -> None:
    (found,) = unseen(counted(1e9, 1e6, 1e6, partly=True))
    assert found.low_ratio == 0 < found.high_ratio
    assert found.partly


def test_nothing_unseen_widens_nothing() -> None:
    row = Row("a", "forward", "aten.mm", "matmul", 1, Cost(1e9, 0, 0, 0, 1e6))
    whole = Counted((row,), (), 10, 10, "meta", train=True)
    assert unseen(whole) == ()
    assert spread_ratio_of(whole) == 1


def test_a_clock_goes_before_bytes() -> None:
    base = counted(1e9, 1e6, 1e6)
    timed = Escaped("mine.op", ("b",), 1, 1e6, 0.5, 0.5, 0.25, "unknown")
    (found,) = unseen(
        Counted(base.rows, (timed,), 10, 10, "cpu", train=True)
    )  # fmt: skip
    assert found.low_ratio == found.high_ratio == 0.25
    assert spread_ratio_of(Counted(base.rows, (timed,), 1, 1, "cpu", train=True)) == 1 / 0.75


@given(st.integers(1, 10**6), st.integers(1, 512), st.floats(0.5, 20))
def test_samples_and_steps_say_the_same(steps: int, samples: int, epochs: float) -> None:
    work = {"samples": float(samples), "tokens": samples * 128.0}
    by_steps, _ = steps_of({"steps": steps, "epochs": epochs}, work, None)
    by_samples, _ = steps_of({"samples": steps * samples, "epochs": epochs}, work, None)
    by_tokens, _ = steps_of({"tokens": float(steps * samples * 128), "epochs": epochs}, work, None)
    assert by_steps == pytest.approx(steps * epochs)
    assert by_samples == pytest.approx(by_steps)
    assert by_tokens == pytest.approx(by_steps)


@pytest.mark.parametrize(
    ("words", "own", "said"),
    [
        ({}, None, "nobody says"),
        ({"tokens": "2T"}, None, "not tokens"),
        ({"steps": "0"}, None, "not above zero"),
        ({"steps": "1", "samples": "2"}, None, "both given"),
        ({}, -3.0, "not above zero"),
        ({"steps": "1,5K"}, None, "ambiguous"),
    ],
)
def test_a_length_that_nobody_can_read_is_refused(
    words: dict[str, str], own: float | None, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        steps_of(words, {"samples": 8.0}, own)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("80", 80), ("-3", -3), ("1e-3", 1e-3), ("true", True), ("False", False), ("7B", 7e9),
        ("gelu", "gelu"), ("(3, 4)", (3, 4)), ("None", None), ("8x8", "8x8"), ("", ""), (5, 5),
    ],
)  # fmt: skip
def test_values_are_read_as_they_are_written(word: Any, value: Any) -> None:
    assert value_of(word) == value
    assert type(value_of(word)) is (int if value == 7e9 else type(value))


@given(st.integers(1, 16), st.integers(1, 64))
def test_a_batch_is_resized_in_all_that_shares_its_axis(before: int, after: int) -> None:
    weights = torch.ones(before + 1)
    made = resized(
        torch,
        {
            "x": torch.zeros(before, 3),
            "mask": torch.ones(before, 3, dtype=torch.bool),
            "w": weights,
        },
        after,
    )
    assert made["x"].shape == made["mask"].shape == (after, 3)
    assert made["mask"].dtype == torch.bool
    assert made["w"] is weights


def test_twice_the_batch_is_twice_the_work_of_a_step() -> None:
    source = ModelSource(lambda: torch.nn.Linear(8, 4), given=Given(None, torch.zeros(2, 8)))
    one, two = (source({"steps": 10, "batch": batch}) for batch in (2, 4))
    assert two.operations.useful_flop == 2 * one.operations.useful_flop
    same = source({"samples": 40, "batch": 4})
    assert same.operations.useful_flop == two.operations.useful_flop


def test_a_model_is_counted_once_for_equal_words() -> None:
    built = []

    def build(width: int = 8) -> Any:
        built.append(width)
        return torch.nn.Linear(width, 4), torch.zeros(2, width)

    source = ModelSource(build)
    for steps in (10, 20, 30):
        source({"steps": steps})
        source({"steps": steps, "width": "16"})
    assert built == [8, 16]


def test_another_precision_is_other_bytes_and_as_many_operations() -> None:
    source = ModelSource(lambda: torch.nn.Linear(8, 4), given=Given(None, torch.zeros(2, 8)))
    full, half = (source({"steps": 1, "precision": p}) for p in ("fp32", "bf16"))
    assert half.operations.useful_flop == full.operations.useful_flop
    assert half.precision == "bf16"
    kept = full.parts["optimiser"].bytes_moved
    wanted = (full.operations.bytes_moved - kept) / 2 + kept
    assert half.operations.bytes_moved == pytest.approx(wanted)
    assert math.fsum(p.bytes_moved for p in half.parts.values()) == pytest.approx(wanted)


def test_counting_leaves_random_numbers_as_they_were() -> None:
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)

    def build() -> Any:
        torch.rand(100)
        return torch.nn.Linear(8, 4), torch.zeros(2, 8)

    ModelSource(build)({"steps": 1})
    assert torch.equal(torch.rand(3), wanted)
