# SPDX-License-Identifier: Apache-2.0
"""Published transformers have the published number of parameters; sizes alone give a range."""

import csv
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.catalog.tables import DATA
from submeter.errors import UsageError
from submeter.workloads.operations import transformer
from submeter.workloads.shapes import (
    SMALL_PARAMS,
    Known,
    families_of,
    inferred,
    is_dense_language,
    known_shape,
    known_shapes,
    params_of_shape,
    spread_ratio_of,
)
from submeter.workloads.transformers import TransformerShape

ROUNDED = ("gpt3-", "opt-175b", "palm-540b")  # whose papers print two or three digits


def test_the_table_is_complete_and_says_whence() -> None:
    with (DATA / "model_shapes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len({row["key"] for row in rows}) == len(known_shapes()) >= 50
    assert rows == sorted(rows, key=lambda row: row["key"])
    for row in rows:
        assert row["verified"] in {"copy", "recall"}, row["key"]
        assert row["source"], row["key"]
        assert re.fullmatch(r"20[12]\d", row["year"]), row["key"]


@pytest.mark.parametrize("known", known_shapes(), ids=lambda k: k.key)
def test_parameters_are_the_published_ones(known: Known) -> None:
    found = params_of_shape(known.shape)
    printed = known.key.startswith(ROUNDED)
    assert found == pytest.approx(known.params, rel=0.013 if printed else 0.01)
    if not printed and known.like not in {"bert", "roberta"}:  # released without their head
        assert found == known.params


def series(known: Known) -> str:
    return known.key.split("-")[0].rstrip("0123456789.")


def others(known: Known) -> tuple[Known, ...]:
    """Published models of other series; T5 alone has an encoder and a decoder."""
    return tuple(
        k
        for k in known_shapes()
        if k.shape != known.shape and (known.like == "t5" or series(k) != series(known))
    )


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize("told", [True, False])
def test_the_stated_spread_holds_for_models_inferred_from_other_series(
    *, small: bool, told: bool
) -> None:
    errors = []
    for known in known_shapes():
        if is_dense_language(known.shape) and (known.params < SMALL_PARAMS) == small:
            shape, of = inferred(known.params, known.shape.family, among=others(known))
            length = known.context_tokens if told else of.context_tokens
            flop = [
                transformer(s, tokens=1e9, context_tokens=c).operations.useful_flop
                for s, c in ((shape, length), (known.shape, known.context_tokens))
            ]
            errors.append(abs(math.log(flop[0] / flop[1])))
    spread = math.log(spread_ratio_of(1e8 if small else 1e9, context_told=told))
    assert len(errors) > 10
    assert sum(error <= spread for error in errors) >= 0.95 * len(errors)
    assert max(errors) > 0.7 * spread, "the spread is wider than the models ask for"


@settings(deadline=None)
@given(st.floats(5e7, 1e13), st.sampled_from(["decoder", "encoder", "encoder-decoder"]))
def test_an_inferred_shape_has_the_size_that_was_told(params: float, family: str) -> None:
    shape, _ = inferred(params, family)  # type: ignore[arg-type]
    assert params_of_shape(shape) == pytest.approx(params, rel=1e-9)
    assert shape.family == family


def test_a_name_is_found_however_it_is_written() -> None:
    assert known_shape("LLaMA 7B").key == known_shape("llama_7b").key == "llama-7b"
    with pytest.raises(UsageError, match="no model whose shape") as caught:
        known_shape("lama-7b")
    assert "llama-7b" in (caught.value.remedy or "")
    with pytest.raises(UsageError, match="no model type"):
        families_of("lama")


@pytest.mark.parametrize(
    "bad",
    [
        {"layers": 0},
        {"width": -1.0},
        {"heads": math.nan},
        {"vocab": math.inf},
        {"kv_heads": 0.0},
        {"window": -5.0},
        {"norm_params": 3},
        {"family": "encoder-decoder"},
    ],
)
def test_an_impossible_shape_is_refused(bad: dict[str, object]) -> None:
    good: dict[str, object] = {
        "layers": 2,
        "width": 64.0,
        "heads": 4.0,
        "ffn": 256.0,
        "vocab": 9.0,
    }
    with pytest.raises(UsageError) as caught:
        TransformerShape(**(good | bad))  # type: ignore[arg-type]
    assert caught.value.remedy
