# SPDX-License-Identifier: Apache-2.0
"""A quality that was asked for is kept, not kept, or not shown to be kept."""

import math
import random

import pytest

from submeter.errors import UsageError
from submeter.reducing.quality import judge, parse_condition


@pytest.mark.parametrize(
    ("words", "read"),
    [
        ("accuracy >= 0.97 ± 0.005", "accuracy >= 0.97 ± 0.005"),
        ("accuracy>=0.97+-0.005", "accuracy >= 0.97 ± 0.005"),
        ("loss <= 1.3", "loss <= 1.3"),
        ("val_loss ± 1%", "val_loss <= ± 1 %"),
        ("f1 ± .01", "f1 >= ± 0.01"),
        ("eval/acc ≥ 9e-1", "eval/acc >= 0.9"),
    ],
)
def test_conditions_are_read_as_people_write_them(words: str, read: str) -> None:
    found = parse_condition(words)
    sign = ">=" if found.higher_is_better else "<="
    told = str(found) if found.bound is not None else str(found).replace(" ±", f" {sign} ±")
    assert told == read


@pytest.mark.parametrize("words", ["", "accuracy", ">= 0.9", "accuracy == 0.9", "a >= b", "a b"])
def test_what_is_no_condition_is_refused_with_one_that_is(words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_condition(words)
    assert "accuracy >= 0.97" in str(caught.value.remedy)


A = [0.970, 0.972, 0.968, 0.971, 0.969, 0.970, 0.971, 0.970]


@pytest.mark.parametrize(
    ("condition", "shift", "verdict"),
    [
        ("accuracy ± 0.005", 0.0, "kept"),
        ("accuracy ± 0.005", -0.02, "not kept"),
        ("accuracy ± 0.0011", -0.001, "not shown"),
        ("accuracy >= 0.97", 0.0, "kept"),
        ("accuracy >= 0.98", 0.0, "not kept"),
        ("accuracy >= 0.96 ± 0.005", -0.02, "not kept"),
        ("accuracy ± 1%", 0.0, "kept"),
        ("error <= 0.98 ± 0.005", 0.0, "kept"),
        ("error ± 0.005", 0.02, "not kept"),
    ],
)
def test_verdicts(condition: str, shift: float, verdict: str) -> None:
    b = [x + shift + 0.0005 * (-1) ** i for i, x in enumerate(A)]
    found = judge(parse_condition(condition), list(A), list(b), "fixed")
    assert found.verdict == verdict, found.why


def test_a_metric_that_a_run_did_not_log_is_not_shown_to_be_kept() -> None:
    found = judge(parse_condition("accuracy ± 0.1"), [0.9, 0.9], [0.9, None], "fixed")
    assert found.verdict == "not shown"
    assert "1 of 2" in found.why


def test_a_quality_that_is_worse_by_the_margin_passes_at_most_once_in_twenty() -> None:
    chance = random.Random(3)  # noqa: S311
    passed = 0
    for _ in range(1000):
        a = [0.97 + chance.gauss(0, 0.002) for _ in range(8)]
        b = [0.965 + chance.gauss(0, 0.002) for _ in range(8)]
        found = judge(parse_condition("accuracy ± 0.005"), list(a), list(b), "fixed")
        passed += found.verdict == "kept"
    assert passed <= 65  # 50 expected, binomial 99 %


def test_a_metric_that_is_no_number_is_not_kept() -> None:
    found = judge(parse_condition("accuracy >= 0.5"), [0.9, 0.9], [math.nan, 0.9], "fixed")
    assert found.verdict == "not shown"
