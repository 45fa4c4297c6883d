# SPDX-License-Identifier: Apache-2.0
"""A description becomes a workload, says back what it understood, or is refused."""

import math
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.errors import UsageError
from submeter.workloads.describing import Training, workload_of
from submeter.workloads.descriptions import WORDS
from submeter.workloads.operations import cnn, perceptron, recurrent, transformer
from submeter.workloads.shapes import known_shape
from submeter.workloads.transformers import Experts, TransformerShape
from submeter.workloads.workloads import Workload, total

PAGE = Path(__file__).parents[2] / "docs" / "estimating-input.md"


def told(text: str) -> Workload:
    return workload_of(description=tomllib.loads(text))


def test_parameters_and_tokens_are_enough_and_are_said_back() -> None:
    work = workload_of(params="7B", tokens="2 T")
    assert work.params == pytest.approx(7e9)
    assert work.work == {"tokens": 2e12}
    assert work.operations.useful_flop / (6 * 7e9 * 2e12) == pytest.approx(1.05, abs=0.1)
    assert work.notes[:2] == ("7B parameters = 7 000 000 000", "2 T tokens = 2 000 000 000 000")
    said = " · ".join(work.notes)
    for word in ("inferred from the size", "assumed", "bf16", "adamw", "a step"):
        assert word in said
    assert work.spread_ratio > workload_of(params="7B", tokens="2T", context=4096).spread_ratio > 1


def test_a_published_model_has_its_own_shape_and_no_spread() -> None:
    work = workload_of(model="GPT-3 175B", tokens="300B")
    known = known_shape("gpt3-175b")
    counted = transformer(known.shape, tokens=300e9, context_tokens=2048)
    assert work.operations == counted.operations
    assert work.spread_ratio == 1
    assert "Brown" in " ".join(work.notes)


def test_active_parameters_make_the_operations_and_all_are_stepped() -> None:
    mixed = workload_of(params="47B", active_params="13B", tokens="1T", context=4096)
    dense = workload_of(params="13B", tokens="1T", context=4096)
    assert mixed.params == pytest.approx(47e9)
    assert mixed.active_params == pytest.approx(13e9)
    assert mixed.operations.useful_flop == pytest.approx(dense.operations.useful_flop)
    a, b = mixed.parts["optimiser"].optimiser_flop, dense.parts["optimiser"].optimiser_flop
    assert a / b == pytest.approx(47 / 13)


def test_a_size_beside_a_shape_that_has_another_is_told() -> None:
    config = {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12,
              "n_positions": 1024, "vocab_size": 50257}  # fmt: skip
    assert "not 7e+09" in " ".join(workload_of(params="7B", config=config, tokens=1e9).notes)
    assert "the shape has" not in " ".join(
        workload_of(params="124M", config=config, tokens=1e9).notes
    )


def test_a_network_by_name_and_its_images() -> None:
    work = workload_of(cnn="ResNet-50", images="1.28M", epochs=90, precision="fp16", batch=512)
    counted = cnn("resnet50", images=1.28e6 * 90, precision="fp16", batch_images=512)
    assert work.operations == counted.operations
    assert work.work == {"samples": 1.28e6 * 90}
    assert work.precision == "fp16"
    assert work.details == {"image_side": 224.0, "batch_samples": 512.0}
    assert work.notes[1] == "1.28M images = 1 280 000, 90 epochs"


def test_a_vision_transformer_learns_from_images() -> None:
    config = {"model_type": "vit", "hidden_size": 768, "intermediate_size": 3072,
              "num_hidden_layers": 12, "num_attention_heads": 12, "image_size": 224,
              "patch_size": 16}  # fmt: skip
    work = workload_of(config=config, images=1000, optimiser="none")
    assert work.work == {"samples": 1000}
    assert work.operations.forward_flop / 2e9 / 1000 == pytest.approx(17.56, rel=1e-3)
    named = workload_of(model="vit-base", images=1000, optimiser="none")
    assert named.operations == work.operations
    with pytest.raises(UsageError, match="tokens says nothing"):
        workload_of(config=config, tokens=1000)
    with pytest.raises(UsageError, match="images is missing"):
        workload_of(config=config)


def test_an_encoder_and_a_decoder_have_two_lengths() -> None:
    work = workload_of(
        params="11B", tokens="1T", family="encoder-decoder", context=512, target=114
    )
    even = workload_of(params="11B", tokens="1T", family="encoder-decoder", context=512)
    assert "targets of 114 tokens" in " ".join(work.notes)
    assert "assumed, as the source" in " ".join(even.notes)
    # a token meets one of the two stacks: half of six operations a parameter
    assert work.operations.useful_flop / (6 * 11e9 * 1e12) == pytest.approx(0.55, abs=0.07)


@settings(deadline=None)
@given(
    st.floats(1e6, 1e13), st.floats(1e6, 1e14), st.sampled_from(["none", "selective", "full"]),
    st.floats(1, 100),
)  # fmt: skip
def test_parts_sum_to_the_whole_whatever_is_told(
    params: float, tokens: float, way: str, epochs: float
) -> None:
    work = workload_of(params=params, tokens=tokens, recomputation=way, epochs=epochs)
    assert work.operations == total(work.parts.values())
    assert work.params == pytest.approx(params, rel=1e-6)
    assert work.work["tokens"] == tokens * epochs
    plain = workload_of(params=params, tokens=tokens, epochs=epochs)
    assert work.operations.useful_flop == plain.operations.useful_flop


def test_how_it_is_trained_may_be_given_as_one() -> None:
    how = Training(precision="fp8", recomputation="full", batch="4M")
    one = workload_of(params="7B", tokens="2T", training=how)
    same = workload_of(params="7B", tokens="2T", precision="fp8", recomputation="full", batch="4M")
    assert one == same
    assert one.precision == "fp8"
    assert "executed, but not useful" in " ".join(one.notes)


@pytest.mark.parametrize(
    ("given_", "why"),
    [
        ({}, "told by nothing"),
        ({"params": "7B"}, "tokens is missing"),
        ({"tokens": "2T"}, "told by nothing"),
        ({"params": "-7B", "tokens": "2T"}, "above zero"),
        ({"params": "7B", "tokens": "-2T"}, "above zero"),
        ({"params": "7B", "tokens": math.nan}, "finite"),
        ({"params": "7B", "tokens": "2T", "active_params": "8B"}, "more than all"),
        ({"params": "7B", "tokens": "2T", "cnn": "resnet50"}, "told by params and cnn"),
        ({"params": "7B", "tokens": "2T", "images": 5}, "says nothing"),
        ({"params": "7B", "tokens": "2T", "family": "tree"}, "no family"),
        ({"params": "7B", "tokens": "2T", "target": 5}, "has one sequence"),
        ({"params": "7B", "tokens": "2T", "precision": "fp7"}, "no precision"),
        ({"params": "7B", "tokens": "2T", "epochs": 0}, "above zero"),
        ({"params": "7B", "tokens": "2T", "batch": "lots"}, "batch"),
        ({"params": "7B", "tokens": "2T", "speed": 5}, "speed says nothing"),
        ({"cnn": "resnet50"}, "images is missing"),
        ({"cnn": "resnet50", "images": 5, "tokens": 5}, "tokens says nothing"),
        ({"cnn": "resnet-51", "images": 5}, "no network"),
        ({"model": "llama-8b", "tokens": "1T"}, "no model whose shape"),
        ({"description": {}, "tokens": "1T", "params": 5}, "stands alone"),
    ],
)
def test_nonsense_is_one_error_with_a_remedy(given_: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=re.escape(why)) as caught:
        workload_of(**given_)
    assert caught.value.remedy


def test_a_shape_in_toml() -> None:
    work = told(
        """
        name = "mine"
        [model]
        like = "mixtral"
        layers = 8
        width = 512
        heads = 8
        ffn = 2048
        vocab = "32k"
        [model.experts]
        routed = 8
        active = 2
        ffn = 1024
        shared_ffn = 512
        [data]
        tokens = "10B"
        context = 1024
        [training]
        precision = "bf16"
        optimiser = "adamw"
        scores = "causal"
        recomputation = "full"
        batch = "0.5M"
        epochs = 2
        """
    )
    shape = TransformerShape(
        layers=8, width=512, heads=8, ffn=2048, vocab=32000, norm_params=1, gated=True,
        tied=False, experts=Experts(routed=8, active=2, ffn=1024, shared_ffn=512),
    )  # fmt: skip
    counted = transformer(
        shape, tokens=20e9, context_tokens=1024, scores="causal", recomputation="full",
        batch_tokens=0.5e6,
    )  # fmt: skip
    assert work.name == "mine"
    assert work.operations == counted.operations
    assert work.work == {"tokens": 20e9}


def test_the_rest_of_a_shape_follows_from_its_size() -> None:
    rest = "[data]\ntokens = 1e12\ncontext = 2048\n"
    part = told(
        f'[model]\nparams = "6738415616"\nlayers = 32\nwidth = 4096\nvocab = 32000\n{rest}'
    )
    whole = workload_of(model="llama-7b", tokens="1T")
    assert part.params == pytest.approx(whole.params)
    assert part.operations.useful_flop == pytest.approx(whole.operations.useful_flop)
    assert part.details["ffn"] == pytest.approx(11008)
    said = " ".join(part.notes)
    assert "32 heads assumed" in said
    assert "feed-forward of 11008 assumed" in said
    bare = told(f"[model]\nparams = 1e9\nlayers = 16\nwidth = 2048\n{rest}")
    assert bare.params == pytest.approx(1e9)
    assert "vocabulary of" in " ".join(bare.notes)


def test_recurrent_networks_and_perceptrons_in_toml() -> None:
    lstm = told(
        '[model]\ncell = "LSTM"\ninputs = 200\nhidden = 300\nlayers = 2\n'
        '[data]\nsequences = "1k"\nsteps = 35\n[training]\nepochs = 3\n'
    )
    counted = recurrent("lstm", sequences=3000, steps=35, inputs=200, hidden=300, layers=2)
    assert lstm.operations == counted.operations
    assert lstm.kind == "recurrent"
    plain = told("[model]\nwidths = [784, 300, 10]\n[data]\nsamples = 60000\n")
    assert plain.operations == perceptron([784, 300, 10], samples=60_000).operations
    assert plain.params == 784 * 300 + 300 + 3010
    assert plain.kind == "other"
    assert "fp32 assumed" in plain.notes
    named = told('[model]\nname = "llama-7b"\n[data]\ntokens = "1T"\n')
    assert named.operations == workload_of(model="llama-7b", tokens="1T").operations
    seen = told('[model]\nname = "vit-base"\n[data]\nimages = "1M"\n')
    assert seen.operations == workload_of(model="vit-base", images=1e6).operations
    sized = told('[model]\nparams = "1B"\nfamily = "encoder"\n[data]\ntokens = "1T"\n')
    assert sized.operations == workload_of(params="1B", family="encoder", tokens=1e12).operations


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "neither its size nor its shape"),
        ("[modl]\nparams = 5", "no word “modl”"),
        ("[model]\nparam = 5", "no word “param”"),
        ("model = 5", "it is a table"),
        ('[model]\nparams = "7B"', "tokens is missing"),
        ("[model]\nparams = true\n[data]\ntokens = 5", "params"),
        ("[model]\nlayers = 2\n[data]\ntokens = 5", "lacks width, heads, vocab"),
        ("[model]\nlayers = 2.5\nwidth=8\nheads=2\nvocab=5\n[data]\ntokens = 5", "whole number"),
        ('[model]\nlayers = 2\nwidth=8\nheads=2\nvocab=5\ngated="yes"\n[data]\ntokens = 5', "yes"),
        ('[model]\nlayers = 2\nlike = "lama"\n[data]\ntokens = 5', "no model type"),
        ('[model]\nparams = "7B"\n[model.experts]\nrouted = 8', "lacks active"),
        ("[model]\nparams = 5\nexperts = 3", "experts is 3"),
        ('[model]\nnetwork = "resnet50"\n[data]\ntokens = 5', "says nothing of a network"),
        ("[model]\nnetwork = 50\n[data]\nimages = 5", "it is a text"),
        ('[model]\ncell = "lstm"\nhidden = 5\n[data]\nsequences = 5\nsteps = 5', "lacks inputs"),
        ('[model]\ncell = "x"\ninputs = 5\nhidden = 5\n[data]\nsequences = 5\nsteps = 5', "cell"),
        ("[model]\nwidths = 5\n[data]\nsamples = 5", "it is a list"),
        ("[model]\nwidths = [5]\n[data]\nsamples = 5", "no layer"),
        ("[model]\nwidths = [5, 2]\n", "lacks samples"),
        ('[model]\nparams = 5\n[data]\ntokens = 5\n[training]\nfused = "no"', "true or false"),
        ("[model]\nparams = 5\n[data]\ntokens = 5\n[training]\nprecision = 16", "a text"),
        ("[model]\nparams = 5\n[data]\ntokens = 5\n[training]\nbatch = true", "a count"),
        ("[model]\nparams = 5\nwidths = [1, 2]\n[data]\nsamples = 5", "nothing of a perceptron"),
    ],
)  # fmt: skip
def test_a_description_is_checked_word_by_word(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=re.escape(why)) as caught:
        told(text)
    assert caught.value.remedy


def test_the_page_names_each_word_and_its_examples_work() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for words in WORDS.values():
        for word in words:
            assert f"`{word}`" in page, word
    examples = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert len(examples) >= 4
    for example in examples:
        assert told(example).operations.useful_flop > 0


def test_a_description_takes_no_longer_than_it_should(benchmark: Any) -> None:
    workload_of(params="7B", tokens="2T")  # the table is read once
    work = benchmark(workload_of, params="70B", tokens="15T", context=8192)
    assert work.operations.useful_flop > 0
