# SPDX-License-Identifier: Apache-2.0
"""Hugging Face configurations give the released number of parameters, or one clear error."""

from typing import Any

import pytest

from submeter.errors import UsageError
from submeter.workloads.configs import STYLES, shape_of_config
from submeter.workloads.describing import workload_of
from submeter.workloads.shapes import params_of_shape
from submeter.workloads.transformers import layers_of

# Configurations as released, without what does not matter here, and parameters as released.
LLAMA = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008,
    "num_hidden_layers": 32, "num_attention_heads": 32, "vocab_size": 32000,
    "max_position_embeddings": 2048, "tie_word_embeddings": False,
}  # fmt: skip
GPT2: dict[str, Any] = {
    "model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024,
    "n_ctx": 1024, "vocab_size": 50257,
}  # fmt: skip
BERT = {
    "model_type": "bert", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "max_position_embeddings": 512, "type_vocab_size": 2,
    "vocab_size": 30522,
}  # fmt: skip
DEEPSEEK_V3 = {
    "model_type": "deepseek_v3", "hidden_size": 7168, "intermediate_size": 18432,
    "num_hidden_layers": 61, "num_attention_heads": 128, "num_key_value_heads": 128,
    "vocab_size": 129280, "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64, "v_head_dim": 128, "n_routed_experts": 256, "n_shared_experts": 1,
    "num_experts_per_tok": 8, "moe_intermediate_size": 2048, "first_k_dense_replace": 3,
    "moe_layer_freq": 1, "tie_word_embeddings": False, "max_position_embeddings": 163840,
    "rope_scaling": {"original_max_position_embeddings": 4096, "type": "yarn"},
}  # fmt: skip
CASES: list[tuple[str, dict[str, Any], float]] = [
    ("llama 7b", LLAMA, 6_738_415_616),
    (
        "llama 3.1 8b",
        LLAMA | {"intermediate_size": 14336, "num_key_value_heads": 8, "vocab_size": 128256},
        8_030_261_248,
    ),
    (
        "mistral 7b",
        LLAMA | {"model_type": "mistral", "intermediate_size": 14336, "num_key_value_heads": 8,
                 "sliding_window": 4096, "max_position_embeddings": 32768},
        7_241_732_096,
    ),
    (
        "mixtral 8x7b",
        LLAMA | {"model_type": "mixtral", "intermediate_size": 14336, "num_key_value_heads": 8,
                 "num_local_experts": 8, "num_experts_per_tok": 2, "sliding_window": None},
        46_702_792_704,
    ),
    ("gpt2", GPT2, 124_439_808),
    (
        "gpt-neox 20b",
        {"model_type": "gpt_neox", "hidden_size": 6144, "intermediate_size": 24576,
         "num_attention_heads": 64, "num_hidden_layers": 44, "vocab_size": 50432,
         "max_position_embeddings": 2048, "tie_word_embeddings": False},
        20_554_567_680,
    ),
    (
        "opt 125m",
        {"model_type": "opt", "hidden_size": 768, "ffn_dim": 3072, "num_attention_heads": 12,
         "num_hidden_layers": 12, "vocab_size": 50272, "max_position_embeddings": 2048},
        125_239_296,
    ),
    (
        "bloom 560m",
        {"model_type": "bloom", "n_embed": 1024, "n_layer": 24, "num_attention_heads": 16,
         "vocab_size": 250880, "seq_length": 2048},
        559_214_592,
    ),
    (
        "falcon 7b",
        {"model_type": "falcon", "hidden_size": 4544, "num_hidden_layers": 32,
         "num_attention_heads": 71, "vocab_size": 65024, "multi_query": True,
         "parallel_attn": True, "new_decoder_architecture": False},
        6_921_720_704,
    ),
    (
        "qwen2 7b",
        {"model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944,
         "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
         "vocab_size": 152064, "tie_word_embeddings": False, "sliding_window": 131072,
         "use_sliding_window": False, "max_position_embeddings": 32768},
        7_615_616_512,
    ),
    (
        "qwen3 0.6b",
        {"model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072, "head_dim": 128,
         "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8,
         "vocab_size": 151936, "tie_word_embeddings": True, "attention_bias": False},
        596_049_920,
    ),
    (
        "gemma 2b",
        {"model_type": "gemma", "hidden_size": 2048, "intermediate_size": 16384, "head_dim": 256,
         "num_hidden_layers": 18, "num_attention_heads": 8, "num_key_value_heads": 1,
         "vocab_size": 256000},
        2_506_172_416,
    ),
    (
        "gemma 2 2b",
        {"model_type": "gemma2", "hidden_size": 2304, "intermediate_size": 9216, "head_dim": 256,
         "num_hidden_layers": 26, "num_attention_heads": 8, "num_key_value_heads": 4,
         "vocab_size": 256000, "sliding_window": 4096},
        2_614_341_888,
    ),
    (
        "phi-3 mini",
        LLAMA | {"model_type": "phi3", "hidden_size": 3072, "intermediate_size": 8192,
                 "vocab_size": 32064, "num_key_value_heads": 32, "sliding_window": 2047},
        3_821_079_552,
    ),
    (
        "t5 base",
        {"model_type": "t5", "d_model": 768, "d_ff": 3072, "d_kv": 64, "num_heads": 12,
         "num_layers": 12, "vocab_size": 32128, "n_positions": 512,
         "relative_attention_num_buckets": 32},
        222_903_552,
    ),
    (
        "t5 v1.1 base",
        {"model_type": "t5", "d_model": 768, "d_ff": 2048, "d_kv": 64, "num_heads": 12,
         "num_layers": 12, "num_decoder_layers": 12, "vocab_size": 32128,
         "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
        247_577_856,
    ),
    ("deepseek v3", DEEPSEEK_V3, 671_026_419_200),
    (
        "deepseek v2 lite",
        DEEPSEEK_V3 | {"model_type": "deepseek_v2", "hidden_size": 2048, "q_lora_rank": None,
                       "intermediate_size": 10944, "num_hidden_layers": 27,
                       "num_attention_heads": 16, "vocab_size": 102400, "n_routed_experts": 64,
                       "n_shared_experts": 2, "num_experts_per_tok": 6,
                       "moe_intermediate_size": 1408, "first_k_dense_replace": 1},
        15_706_484_224,
    ),
    (
        "qwen1.5 moe a2.7b",
        {"model_type": "qwen2_moe", "hidden_size": 2048, "intermediate_size": 5632,
         "num_hidden_layers": 24, "num_attention_heads": 16, "num_key_value_heads": 16,
         "vocab_size": 151936, "tie_word_embeddings": False, "num_experts": 60,
         "num_experts_per_tok": 4, "moe_intermediate_size": 1408, "decoder_sparse_step": 1,
         "shared_expert_intermediate_size": 5632},
        14_315_784_192,
    ),
    (
        "vit b16",
        {"model_type": "vit", "hidden_size": 768, "intermediate_size": 3072,
         "num_hidden_layers": 12, "num_attention_heads": 12, "image_size": 224, "patch_size": 16},
        86_567_656,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("config", "params"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_parameters_are_the_released_ones(config: dict[str, Any], params: float) -> None:
    shape, _ = shape_of_config(config)
    assert params_of_shape(shape) == params


def test_a_masked_model_has_its_head_on_top() -> None:
    shape, context = shape_of_config(BERT)
    head = 768 * 768 + 3 * 768 + 30522  # dense, its bias, norm, and a bias for each word
    assert params_of_shape(shape) == 109_482_240 + head
    assert context == 512


@pytest.mark.parametrize(
    ("config", "active"),
    [(DEEPSEEK_V3, 37.6e9), (dict(CASES[3][1]), 12.9e9), (dict(CASES[18][1]), 2.7e9)],
)
def test_active_parameters_are_the_published_ones(config: dict[str, Any], active: float) -> None:
    work = workload_of(config=config, tokens="1T", context=4096)
    assert work.active_params == pytest.approx(active, rel=0.01)
    assert work.kind == "transformer"


def test_the_context_before_it_was_stretched_is_the_one_of_the_training() -> None:
    assert shape_of_config(DEEPSEEK_V3)[1] == 4096
    assert shape_of_config(LLAMA)[1] == 2048


def test_a_window_limits_the_scores_of_its_layers() -> None:
    gemma = next(c[1] for c in CASES if c[0] == "gemma 2 2b")
    shape, _ = shape_of_config(gemma)
    full, _ = shape_of_config({k: v for k, v in gemma.items() if k != "sliding_window"})
    scores = [
        sum(x.products_flop for x in layers_of(s, context_tokens=8192) if x.part == "scores")
        for s in (shape, full)
    ]
    assert scores[0] / scores[1] == pytest.approx(0.75)  # half of the layers see half


def test_a_language_model_inside_of_another_is_found() -> None:
    assert shape_of_config({"model_type": "llava", "text_config": LLAMA}) == shape_of_config(LLAMA)


def test_an_unknown_type_says_what_is_missing_and_what_is_near() -> None:
    with pytest.raises(
        UsageError, match=r"“lama” is not known, and .*num_hidden_layers"
    ) as caught:
        shape_of_config({"model_type": "lama", "hidden_size": 4})
    assert "llama" in (caught.value.remedy or "")
    with pytest.raises(UsageError, match="no model_type"):
        shape_of_config({})
    with pytest.raises(UsageError, match="no table"):
        shape_of_config([1])  # type: ignore[arg-type]


@pytest.mark.parametrize("model_type", sorted(set(STYLES) - {"palm"}))
def test_all_missing_keys_are_named_at_once(model_type: str) -> None:
    with pytest.raises(
        UsageError, match=r"lacks .*hidden_size.*, .*num_attention_heads"
    ) as caught:
        shape_of_config({"model_type": model_type})
    assert caught.value.remedy


@pytest.mark.parametrize("value", [-1, 0, "many", True, [], float("nan")])
def test_a_nonsensical_number_is_named(value: object) -> None:
    with pytest.raises(UsageError, match="hidden_size") as caught:
        shape_of_config(LLAMA | {"hidden_size": value})
    assert caught.value.remedy
