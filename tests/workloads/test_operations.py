# SPDX-License-Identifier: Apache-2.0
"""Operations of a training: hand counts, published counts, and laws."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.errors import UsageError
from submeter.workloads.convolutions import image_layers, network_of, networks, side_of
from submeter.workloads.layers import (
    OPTIMISERS,
    PRECISIONS,
    Counted,
    params_of,
    precision_of,
)
from submeter.workloads.operations import (
    cnn,
    mixture_of_experts,
    perceptron,
    recurrent,
    transformer,
)
from submeter.workloads.shapes import known_shape, params_of_shape
from submeter.workloads.transformers import Experts, TransformerShape, layers_of, pairs
from submeter.workloads.workloads import Operations, Workload, total

# The small GPT of peers' counters: width 256, 4 layers, vocabulary 1000, 2 sequences of 512.
SMALL = TransformerShape(layers=4, width=256, heads=4, ffn=1024, vocab=1000)
TOKENS, LENGTH = 1024.0, 512.0


def small(**given_: Any) -> Counted:
    return transformer(SMALL, **({"tokens": TOKENS, "context_tokens": LENGTH} | given_))


def test_the_hand_count_of_a_small_gpt() -> None:
    assert small().operations.forward_flop == pytest.approx(9.114e9, rel=1e-4)
    assert small().operations.backward_flop == 2 * small().operations.forward_flop


@pytest.mark.parametrize(("tied", "ratio"), [(True, 0.765), (False, 0.823)])
def test_six_operations_a_parameter_and_token_miss_the_scores(tied: bool, ratio: float) -> None:  # noqa: FBT001
    shape = msgspec.structs.replace(SMALL, tied=tied)
    six = 6 * params_of_shape(shape) * TOKENS
    counted = transformer(shape, tokens=TOKENS, context_tokens=LENGTH)
    assert six / counted.operations.useful_flop == pytest.approx(ratio, abs=0.002)


def megatron_flop(b: float, t: float, layers: int, d: float, v: float) -> float:
    """Narayanan et al. 2021, appendix, without recomputation."""
    return 3 * (24 * b * t * layers * d**2 + 4 * b * t**2 * layers * d + 2 * b * t * d * v)


@settings(deadline=None)
@given(
    st.integers(1, 100),
    st.integers(1, 200).map(lambda n: 64 * n),
    st.integers(1, 300_000),
    st.integers(1, 10_000),
    st.floats(1, 1e6),
)
def test_a_plain_decoder_follows_the_formula_of_megatron(
    layers: int, d: int, v: int, t: int, b: float
) -> None:
    shape = TransformerShape(layers=layers, width=d, heads=d / 64, ffn=4 * d, vocab=v)
    counted = transformer(shape, tokens=b * t, context_tokens=t)
    assert counted.operations.useful_flop == pytest.approx(megatron_flop(b, t, layers, d, v))


@pytest.mark.parametrize(
    ("model", "tokens", "published_flop", "scores"),
    [
        ("gpt3-175b", 300e9, 3.14e23, False),  # Brown et al. 2020, table D.1: six a parameter
        ("gpt3-13b", 300e9, 2.31e22, False),
        ("gpt3-1.3b", 300e9, 2.38e21, False),
        ("palm-540b", 780e9, 2.56e24, True),  # Chowdhery et al. 2022, table 21
        ("llama3-405b", 15.6e12, 3.8e25, False),  # Llama team 2024, section 1
        ("bloom-176b", 366e9, 3.87e23, False),  # six a parameter
    ],
)
def test_published_totals(
    *, model: str, tokens: float, published_flop: float, scores: bool
) -> None:
    known = known_shape(model)
    counted = transformer(known.shape, tokens=tokens, context_tokens=known.context_tokens)
    whole = counted.operations.useful_flop
    left_out = 0.0 if scores else counted.parts["scores"].useful_flop
    assert whole - left_out == pytest.approx(published_flop, rel=0.015)


# Parameters and GMAC of one image: the tables of torchvision 0.15 (its "GFLOPS" are MACs), which
# agree with the papers where those print them. EfficientNet-B2 was evaluated there at 288 pixels.
NETWORKS = {
    "resnet18": (11_689_512, 1.81, 224), "resnet34": (21_797_672, 3.66, 224),
    "resnet50": (25_557_032, 4.09, 224), "resnet101": (44_549_160, 7.80, 224),
    "resnet152": (60_192_808, 11.51, 224), "resnext50": (25_028_904, 4.23, 224),
    "resnext101": (88_791_336, 16.41, 224), "wideresnet50": (68_883_240, 11.40, 224),
    "wideresnet101": (126_886_696, 22.75, 224), "vgg11": (132_863_336, 7.61, 224),
    "vgg13": (133_047_848, 11.31, 224), "vgg16": (138_357_544, 15.47, 224),
    "vgg19": (143_667_240, 19.63, 224), "alexnet": (61_100_840, 0.714, 224),
    "mobilenetv2": (3_504_872, 0.301, 224), "googlenet": (6_624_904, 1.498, 224),
    "densenet121": (7_978_856, 2.83, 224), "densenet161": (28_681_000, 7.73, 224),
    "densenet169": (14_149_480, 3.36, 224), "densenet201": (20_013_928, 4.29, 224),
    "shufflenetv2": (2_278_604, 0.145, 224), "inceptionv3": (23_834_568, 5.71, 299),
    "xception": (22_855_952, 8.4, 299),  # Keras, without statistics; Chollet 2017
    "efficientnetb0": (5_288_548, 0.386, 224), "efficientnetb1": (7_794_184, 0.687, 240),
    "efficientnetb2": (9_109_994, 1.09, 288), "efficientnetb3": (12_233_232, 1.83, 300),
    "efficientnetb4": (19_341_616, 4.39, 380), "efficientnetb5": (30_389_784, 10.27, 456),
    "efficientnetb6": (43_040_704, 19.07, 528), "efficientnetb7": (66_347_960, 37.75, 600),
}  # fmt: skip


# Of these only rounded figures are published: Zoph et al. 2018, table 3.
ROUNDED = {"nasnetmobile": (5.3e6, 0.564, 224)}


@pytest.mark.parametrize("name", ROUNDED)
def test_networks_published_in_round_figures_are_near_them(name: str) -> None:
    params, gmac, side = ROUNDED[name]
    layers = image_layers(name, image_side=side)
    assert params_of(layers) == pytest.approx(params, rel=0.01)
    assert sum(layer.products_flop for layer in layers) / 2e9 == pytest.approx(gmac, rel=0.015)


@pytest.mark.parametrize("name", [one for one in networks() if one not in ROUNDED])
def test_networks_have_the_published_parameters_and_products(name: str) -> None:
    params, gmac, side = NETWORKS[name]
    layers = image_layers(name, image_side=side)
    assert params_of(layers) == params
    macs = sum(layer.products_flop for layer in layers) / 2
    assert macs / 1e9 == pytest.approx(gmac, rel=0.006)


def test_the_first_convolution_needs_no_gradient_of_its_input() -> None:
    one = cnn("resnet50", images=1).operations
    first = image_layers("resnet50")[0].products_flop
    assert first == 2 * 7 * 7 * 3 * 64 * 112 * 112
    assert one.backward_flop == pytest.approx(2 * one.forward_flop - first, rel=1e-12)


def test_a_depthwise_convolution_has_one_filter_a_channel() -> None:
    depthwise = [layer for layer in image_layers("mobilenetv2") if layer.part == "depthwise"]
    assert depthwise[0].products_flop == 2 * 9 * 32 * 112 * 112
    assert depthwise[0].params == 9 * 32 + 2 * 32
    assert len(depthwise) == 17


@pytest.mark.parametrize("cell", [("lstm", 4), ("gru", 3), ("rnn", 1)])
def test_hand_counts_of_recurrent_networks(cell: tuple[Any, int]) -> None:
    name, gates = cell
    counted = recurrent(name, sequences=8, steps=35, inputs=200, hidden=300, layers=2)
    macs = 8 * 35 * gates * 300 * ((200 + 300) + (300 + 300))
    assert counted.operations.forward_flop == 2 * macs
    # the data's gradient is not needed
    saved = 2 * 8 * 35 * gates * 300 * 200
    assert counted.operations.backward_flop == 2 * 2 * macs - saved
    weights = gates * 300 * ((200 + 300) + (300 + 300))
    assert counted.params == weights + 2 * 2 * gates * 300


def test_reading_both_ways_doubles_a_layer_and_widens_the_next() -> None:
    one = recurrent("lstm", sequences=1, steps=10, inputs=64, hidden=64)
    both = recurrent("lstm", sequences=1, steps=10, inputs=64, hidden=64, directions=2)
    assert both.operations.forward_flop == 2 * one.operations.forward_flop
    deep = recurrent("lstm", sequences=1, steps=10, inputs=64, hidden=64, layers=2, directions=2)
    assert deep.params == 2 * (4 * 64 * 128 + 512) + 2 * (4 * 64 * (128 + 64) + 512)


def test_an_embedding_asks_for_the_gradient_of_the_first_layer() -> None:
    words = recurrent("lstm", sequences=4, steps=9, inputs=32, hidden=64, vocab=1000, outputs=1000)
    assert words.operations.backward_flop == 2 * words.operations.forward_flop
    assert words.params == 32_000 + 4 * 64 * 96 + 512 + 65_000


def test_the_hand_count_of_a_perceptron() -> None:
    counted = perceptron([784, 300, 10], samples=60_000, batch_samples=100, optimiser="sgd")
    assert counted.params == 784 * 300 + 300 + 300 * 10 + 10
    assert counted.operations.forward_flop == 60_000 * 2 * (784 * 300 + 300 * 10)
    assert counted.operations.backward_flop == 60_000 * 2 * (784 * 300 + 2 * 300 * 10)
    assert counted.operations.optimiser_flop == 600 * 2 * counted.params


def test_steps_of_the_optimiser_by_hand() -> None:
    step = small(batch_tokens=TOKENS, optimiser="adamw", precision="bf16").parts["optimiser"]
    n = params_of_shape(SMALL)
    assert step.optimiser_flop == 16 * n
    # gradient 2; weight and two moments in single precision read and written; weight in bf16
    assert step.bytes_moved == n * (2 + 2 * 3 * 4 + 2)
    full = small(batch_tokens=TOKENS, optimiser="sgd", precision="fp32").parts["optimiser"]
    assert full.bytes_moved == n * (4 + 2 * 4)


@pytest.mark.parametrize(
    ("word", "flop", "state_bytes"),
    [  # state: moments read and written beside the weight
        ("SGD with momentum", 4, 2 * 4),
        ("sgd_nesterov", 6, 2 * 4),
        ("RMSprop", 9, 2 * 4),
        ("lion", 11, 2 * 4),
        ("LAMB", 20, 4 * 4),
        ("adafactor", 14, 0),
        ("AdamW-8bit", 20, 4 * 1),
    ],
)
def test_optimisers_as_people_write_them(word: str, flop: float, state_bytes: float) -> None:
    step = small(batch_tokens=TOKENS, optimiser=word, precision="bf16").parts["optimiser"]
    n = params_of_shape(SMALL)
    assert step.optimiser_flop == flop * n
    assert step.bytes_moved == n * (2 + 2 * 4 + 2 + state_bytes)


@settings(deadline=None)
@given(st.integers(1, 400), st.none() | st.integers(1, 500))
def test_pairs_of_tokens_are_those_that_a_mask_leaves(tokens: int, window: int | None) -> None:
    wide = tokens if window is None else window
    met = sum(1 for q in range(tokens) for k in range(tokens) if q - wide < k <= q)
    assert pairs(tokens, window=window, causal=True) == met
    assert pairs(tokens, window=window, causal=False) == tokens * min(wide, tokens)


@pytest.mark.parametrize("length", [1, 2, 512, 4096])
def test_a_causal_mask_leaves_a_little_more_than_half_of_the_scores(length: int) -> None:
    full, causal = (
        small(tokens=length, context_tokens=length, scores=way).parts["scores"].forward_flop
        for way in ("full", "causal")
    )
    assert causal / full == pytest.approx((length + 1) / (2 * length))


def test_an_encoder_has_no_mask_and_a_decoder_of_two_meets_its_source() -> None:
    encoder = msgspec.structs.replace(SMALL, family="encoder")
    counts = [
        transformer(encoder, tokens=1024, context_tokens=512, scores=s).operations.useful_flop
        for s in ("full", "causal")
    ]
    assert counts[0] == counts[1]
    both = msgspec.structs.replace(SMALL, family="encoder-decoder", encoder_layers=4)
    got = transformer(both, tokens=512 + 128, context_tokens=512, target_tokens=128)
    d, f, s, t = 256, 1024, 512, 128
    encoder_flop = 4 * (2 * s * (4 * d * d + 2 * d * f) + 4 * s * s * d)
    decoder_flop = 4 * (2 * t * (4 * d * d + 2 * d * f) + 4 * t * t * d)
    cross_flop = 4 * (2 * t * 2 * d * d + 2 * s * 2 * d * d + 4 * t * s * d)
    head_flop = 2 * t * d * 1000
    assert got.operations.forward_flop == encoder_flop + decoder_flop + cross_flop + head_flop


def test_grouped_queries_save_projections_not_scores() -> None:
    grouped = msgspec.structs.replace(SMALL, kv_heads=1.0)
    a, b = small(), transformer(grouped, tokens=TOKENS, context_tokens=LENGTH)
    assert a.parts["scores"].forward_flop == b.parts["scores"].forward_flop
    saved = 4 * TOKENS * 2 * 256 * 2 * 192  # layers, tokens, FMA, width, keys and values
    assert a.operations.forward_flop - b.operations.forward_flop == saved


shapes = st.builds(
    TransformerShape,
    layers=st.integers(1, 60),
    width=st.integers(1, 64).map(lambda n: 64.0 * n),
    heads=st.integers(1, 64).map(float),
    head_width=st.sampled_from([None, 32.0, 64.0, 128.0]),
    kv_heads=st.none() | st.integers(1, 8).map(float),
    ffn=st.integers(1, 20_000).map(float),
    vocab=st.integers(1, 300_000).map(float),
    gated=st.booleans(),
    tied=st.booleans(),
    norm_params=st.sampled_from([1, 2]),
    window=st.none() | st.integers(1, 5000).map(float),
)
lengths = st.integers(1, 5000).map(float)
ways = st.sampled_from(["none", "selective", "full"])


@settings(deadline=None)
@given(shapes, lengths, st.floats(1, 1e13), st.floats(1.0, 1e4))
def test_operations_are_linear_in_tokens(
    shape: TransformerShape, length: float, tokens: float, more: float
) -> None:
    one, many = (
        transformer(shape, tokens=n, context_tokens=length, batch_tokens=length).operations
        for n in (tokens, tokens * more)
    )
    for name in Operations.__struct_fields__:
        assert getattr(many, name) == pytest.approx(getattr(one, name) * more, rel=1e-9)


@settings(deadline=None)
@given(shapes, lengths, st.sampled_from(["layers", "width", "ffn", "vocab", "heads", "window"]))
def test_more_of_anything_is_never_less_work(
    shape: TransformerShape, length: float, what: str
) -> None:
    value = getattr(shape, what)
    if value is None:
        return
    shape = msgspec.structs.replace(shape, head_width=shape.head_of)
    wider = msgspec.structs.replace(shape, **{what: value + 1})
    a, b = (transformer(s, tokens=1e6, context_tokens=length).operations for s in (shape, wider))
    assert a.useful_flop <= b.useful_flop
    assert a.executed_flop <= b.executed_flop


@settings(deadline=None)
@given(shapes, lengths, ways, st.booleans(), st.sampled_from(["full", "causal"]))
def test_parts_sum_to_the_whole_and_recomputation_is_never_useful(
    shape: TransformerShape,
    length: float,
    way: str,
    fused: bool,  # noqa: FBT001
    scores: str,
) -> None:
    how: dict[str, Any] = {"tokens": 1e6, "context_tokens": length, "scores": scores}
    got = transformer(shape, recomputation=way, fused=fused, **how)  # type: ignore[arg-type]
    assert got.operations == total(got.parts.values())
    plain = transformer(shape, fused=False, **how)
    assert got.operations.useful_flop == plain.operations.useful_flop
    assert plain.operations.recomputed_flop == 0
    assert got.operations.executed_flop >= plain.operations.executed_flop
    if way == "full" and not fused:
        again = sum(got.parts[p].forward_flop for p in ("attention", "scores", "feed-forward"))
        assert got.operations.recomputed_flop == pytest.approx(again)


def test_what_recomputation_does_again() -> None:
    scores = small().parts["scores"].forward_flop
    by = {
        (fused, way): small(recomputation=way, fused=fused).operations.recomputed_flop
        for fused in (False, True)
        for way in ("none", "selective", "full")
    }
    blocks = small().operations.forward_flop - small().parts["head"].forward_flop
    assert by[False, "none"] == 0
    assert by[True, "none"] == scores / 2  # the backward pass of a fused kernel: queries by keys
    assert by[False, "selective"] == by[True, "selective"] == scores
    assert by[False, "full"] == blocks
    assert by[True, "full"] == blocks + scores / 2


@settings(deadline=None)
@given(shapes, lengths, st.integers(1, 64))
def test_a_mixture_with_all_experts_active_is_a_dense_model_of_that_width(
    shape: TransformerShape, length: float, n: int
) -> None:
    experts = Experts(routed=n, active=n, ffn=shape.ffn)
    mixed = mixture_of_experts(shape, experts, tokens=1e6, context_tokens=length)
    wide = msgspec.structs.replace(shape, ffn=shape.ffn * n)
    dense = transformer(wide, tokens=1e6, context_tokens=length)
    router = mixed.parts["router"]
    assert mixed.active_params == mixed.params
    assert mixed.operations.useful_flop - router.useful_flop == pytest.approx(
        dense.operations.useful_flop
    )
    assert mixed.params == pytest.approx(dense.params + shape.layers * shape.width * n)


@settings(deadline=None)
@given(st.integers(1, 64), st.floats(0.1, 8.0))
def test_capacity_pads_and_drops(active: int, capacity: float) -> None:
    def counted(ratio: float | None, **how: Any) -> Operations:
        experts = Experts(routed=64, active=active, ffn=512, capacity_ratio=ratio)
        said = {"tokens": 1e6, "context_tokens": 512, "fused": False} | how
        mixed = mixture_of_experts(SMALL, experts, **said)
        return mixed.parts["experts"]

    even, got = counted(None), counted(capacity)
    slots = min(capacity, 64 / active)
    assert got.forward_flop == pytest.approx(even.forward_flop * min(slots, 1))
    # an empty slot goes forward, and backward for its weights and for its input
    padded = even.forward_flop * max(slots - 1, 0)
    assert got.recomputed_flop == pytest.approx(3 * padded)
    again = counted(capacity, recomputation="full")
    assert again.recomputed_flop == pytest.approx(4 * padded + got.forward_flop)


def test_shared_experts_and_dense_layers_count() -> None:
    experts = Experts(routed=8, active=2, ffn=128, shared_ffn=256, first_dense=1, every=1)
    mixed = mixture_of_experts(SMALL, experts, tokens=TOKENS, context_tokens=LENGTH)
    d = 256
    assert mixed.parts["feed-forward"].forward_flop == 1 * TOKENS * 4 * d * 1024
    assert mixed.parts["experts"].forward_flop == 3 * TOKENS * 4 * d * (2 * 128 + 256)
    assert mixed.parts["router"].forward_flop == 3 * TOKENS * 2 * d * 8
    assert mixed.params - mixed.active_params == 3 * 2 * d * 128 * 6


@settings(deadline=None)
@given(st.sampled_from(sorted(PRECISIONS)), st.sampled_from(sorted(OPTIMISERS)))
def test_precision_and_optimiser_change_bytes_never_products(precision: str, rule: str) -> None:
    one = small(precision=precision, optimiser=rule).operations
    assert one.useful_flop == small().operations.useful_flop
    moved = {p: small(precision=p, optimiser=rule).operations.bytes_moved for p in PRECISIONS}
    assert moved["fp8"] < moved["bf16"] < moved["fp32"] < moved["fp64"]


def test_a_fused_kernel_spares_the_scores_their_way_through_memory() -> None:
    assert small(fused=True).operations.bytes_moved < small(fused=False).operations.bytes_moved


@pytest.mark.parametrize(
    "call",
    [
        lambda: small(tokens=0),
        lambda: small(tokens=math.nan),
        lambda: small(tokens=math.inf),
        lambda: small(context_tokens=-1),
        lambda: small(batch_tokens=0),
        lambda: small(precision="fp7"),
        lambda: small(optimiser="magic"),
        lambda: small(recomputation="half"),
        lambda: small(scores="most"),
        lambda: cnn("resnet51", images=1),
        lambda: cnn("resnet50", images=1, image_side=8),
        lambda: cnn("resnet50", images=-1),
        lambda: recurrent("xlstm", sequences=1, steps=1, inputs=1, hidden=1),  # type: ignore[arg-type]
        lambda: recurrent("lstm", sequences=1, steps=1, inputs=1, hidden=1, directions=3),
        lambda: perceptron([5], samples=1),
        lambda: perceptron([5, 0], samples=1),
        lambda: Experts(routed=4, active=5, ffn=1),
        lambda: Experts(routed=4, active=2, ffn=1, every=0),
        lambda: Operations(-1.0, 0.0),
        lambda: Operations(1.0, math.nan),
        lambda: Workload("x", "other", 0, 0, {}, Operations(1, 1)),
        lambda: Workload("x", "other", 1, 2, {}, Operations(1, 1)),
    ],
)
def test_nonsense_is_one_error_with_a_remedy(call: Any) -> None:
    with pytest.raises(UsageError) as caught:
        call()
    assert caught.value.remedy


def test_names_are_read_as_people_write_them() -> None:
    assert network_of("EfficientNet-B0") == network_of("efficientnet_b0") == "efficientnetb0"
    assert network_of("wide_resnet50_2") == "wideresnet50"
    assert side_of("efficientnet_b7") == 600
    assert precision_of("torch.bfloat16") == "bf16"


def test_layers_of_a_vision_transformer() -> None:
    """ViT-B/16: 86,567,656 parameters and 17.56 GMAC an image (torchvision 0.15)."""
    shape = TransformerShape(
        layers=12, width=768, heads=12, ffn=3072, vocab=1000, family="encoder", tied=False,
        positions=197, patch_numbers=768, attention_bias=True, output_bias=True, ffn_bias=True,
    )  # fmt: skip
    layers = layers_of(shape, context_tokens=197)
    assert params_of(layers) == 86_567_656
    assert sum(x.products_flop for x in layers) / 2e9 == pytest.approx(17.56, rel=0.001)
