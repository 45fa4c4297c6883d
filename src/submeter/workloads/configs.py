# SPDX-License-Identifier: Apache-2.0
"""From the words in which a transformer is described to its shape.

Two vocabularies: a Hugging Face ``config.json`` and our own (`docs/estimating-input.md`). What a
configuration does not say but its ``model_type`` implies (biases, norms, gates) is in `STYLES`.
"""

from collections.abc import Mapping
from typing import Any, Final

from submeter.catalog.names import near
from submeter.errors import UsageError
from submeter.workloads.counts import parse_count
from submeter.workloads.transformers import Experts, Latent, TransformerShape

_BIASED: Final = {"attention_bias": True, "output_bias": True, "ffn_bias": True}
_RMS: Final = {"norm_params": 1, "gated": True, "tied": False}
_MASKED: Final = {"family": "encoder", "head": "masked", **_BIASED}

# What a model type implies, from the modelling code of transformers (4.x) of that name.
STYLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "llama": _RMS,
    "mistral": _RMS,
    "mixtral": _RMS,
    "qwen2": {**_RMS, "attention_bias": True},
    "qwen2_moe": {**_RMS, "attention_bias": True},
    "qwen3": {**_RMS, "head_norms": 2},
    "qwen3_moe": {**_RMS, "head_norms": 2},
    "gemma": {**_RMS, "tied": True},
    "gemma2": {**_RMS, "tied": True, "norms_per_layer": 4},
    "phi3": _RMS,
    "deepseek_v2": _RMS,
    "deepseek_v3": _RMS,
    "gpt2": {**_BIASED, "tied": True},
    "gpt_neox": {**_BIASED, "tied": False},
    "gptj": {"ffn_bias": True, "tied": False, "norms_per_layer": 1},
    "opt": {**_BIASED, "tied": True},
    "bloom": {**_BIASED, "tied": True, "norms_outside": 2},
    "palm": {**_RMS, "tied": True, "norms_per_layer": 1},
    "falcon": {"tied": True},
    "bert": {**_MASKED, "segments": 2, "pooler": True},
    "roberta": {**_MASKED, "segments": 1, "pooler": True},
    "distilbert": _MASKED,
    "t5": {"family": "encoder-decoder", "norm_params": 1, "bias_buckets": 32},
    "vit": {"family": "encoder", "tied": False, **_BIASED},
}
_LEARNED_POSITIONS: Final = {"gpt2": 0, "opt": 2, "bert": 0, "roberta": 0, "distilbert": 0}
_PLAIN_FFN: Final = {"gpt2", "gptj", "bloom", "falcon"}  # four times the width, unless it is said
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "layers": ("num_hidden_layers", "n_layer", "num_layers", "n_layers"),
    "width": ("hidden_size", "n_embd", "n_embed", "d_model", "dim"),
    "heads": ("num_attention_heads", "n_head", "num_heads", "n_heads"),
    "ffn": ("intermediate_size", "n_inner", "ffn_dim", "d_ff", "hidden_dim", "ffn_hidden_size"),
    "vocab": ("vocab_size",),
    "positions": ("max_position_embeddings", "n_positions", "n_ctx", "seq_length"),
    "kv_heads": ("num_key_value_heads", "num_kv_heads"),
    "head_width": ("head_dim", "d_kv"),
    "experts": ("num_local_experts", "num_experts", "n_routed_experts"),
}
NO_CONTEXT: Final = 512.0  # T5 and BERT were trained on so many; for who says nothing


class _Config:
    """A configuration under the names of any model type, which remembers what was missing."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self.missing: list[str] = []

    def find(self, field: str, default: float | None = None) -> float | None:
        """Give the number that is called *field* by us, or by any model type."""
        for key in _KEYS.get(field, (field,)):
            value = self.config.get(key)
            if value is not None:
                if isinstance(value, bool) or not isinstance(value, int | float | str):
                    raise UsageError(
                        f"{key} is {value!r} in the configuration, but it is a number",
                        remedy=f"give {key} as a number",
                    )
                return parse_count(value, what=key)
        return default

    def need(self, field: str) -> float:
        value = self.find(field)
        if value is None:
            self.missing.append(" or ".join(_KEYS.get(field, (field,))[:2]))
            return 1.0
        return value

    def check(self, model_type: str) -> None:
        if self.missing:
            raise UsageError(
                f"the configuration of a {model_type} lacks {', '.join(self.missing)}",
                remedy="give the whole config.json, or describe the model in TOML",
            )


def shape_of_config(config: Mapping[str, Any]) -> tuple[TransformerShape, float]:
    """Shape of the model of a Hugging Face configuration, and the longest context it allows.

    Parameters
    ----------
    config
        What ``config.json`` holds; a text model inside of it (``text_config``) is found.

    Raises
    ------
    UsageError
        If its ``model_type`` is none that we know, or if keys are missing: with all their names.
    """
    if not isinstance(config, Mapping):
        raise UsageError(
            "the configuration is no table of names and values",
            remedy="give what config.json holds",
        )
    inner = config.get("text_config")
    if isinstance(inner, Mapping) and inner.get("model_type") in STYLES:
        config = inner
    model_type = str(config.get("model_type", ""))
    if model_type not in STYLES:
        raise _unknown(model_type, config)
    found = _Config(config)
    fields = dict(STYLES[model_type])
    fields |= {name: found.need(name) for name in ("width", "heads")}
    fields["layers"] = int(found.need("layers"))
    fields["vocab"] = 1000.0 if model_type == "vit" else found.need("vocab")
    plain = 4 * fields["width"] if model_type in _PLAIN_FFN else None
    ffn = found.find("ffn", plain)
    fields["ffn"] = found.need("ffn") if ffn is None else ffn
    fields["kv_heads"] = found.find("kv_heads")
    fields["head_width"] = found.find("head_width")
    if isinstance(config.get("tie_word_embeddings"), bool):
        fields["tied"] = config["tie_word_embeddings"]
    _special(model_type, found, fields)
    found.check(model_type)
    return TransformerShape(**fields), _context(model_type, found, fields)


def _special(model_type: str, found: _Config, fields: dict[str, Any]) -> None:
    """What single model types call by names of their own."""
    config = found.config
    if model_type in _LEARNED_POSITIONS:
        fields["positions"] = int(found.need("positions")) + _LEARNED_POSITIONS[model_type]
    if model_type in ("llama", "qwen3", "qwen3_moe") and config.get("attention_bias"):
        fields |= {"attention_bias": True, "output_bias": True}
    if model_type == "llama" and config.get("mlp_bias"):
        fields["ffn_bias"] = True
    if model_type == "falcon":
        new = bool(config.get("new_decoder_architecture"))
        if config.get("multi_query", True) and not new:
            fields["kv_heads"] = 1.0
        fields["norms_per_layer"] = 1 if config.get("parallel_attn", True) and not new else 2
    if model_type == "t5":
        fields["encoder_layers"] = fields["layers"]
        fields["layers"] = int(found.find("num_decoder_layers") or fields["layers"])
        fields["gated"] = str(config.get("feed_forward_proj", "relu")).startswith("gated")
        fields["bias_buckets"] = int(found.find("relative_attention_num_buckets") or 32)
    if model_type == "vit":
        _picture(found, fields)
    _windows(model_type, found, fields)
    _latent(found, fields)
    _experts(model_type, found, fields)


def _picture(found: _Config, fields: dict[str, Any]) -> None:
    patch, side = found.need("patch_size"), found.need("image_size")
    fields["patch_numbers"] = patch**2 * (found.find("num_channels") or 3)
    fields["positions"] = int(side // patch) ** 2 + 1
    labels = found.config.get("id2label")
    if isinstance(labels, Mapping) and labels:
        fields["vocab"] = float(len(labels))


def _windows(model_type: str, found: _Config, fields: dict[str, Any]) -> None:
    config = found.config
    if config.get("sliding_window") is None or model_type not in (
        "mistral", "mixtral", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "gemma2", "phi3",
    ):  # fmt: skip
        return
    if model_type.startswith("qwen"):
        if not config.get("use_sliding_window"):
            return
        first_full = int(found.find("max_window_layers") or 0)
        fields["windowed_layers"] = max(fields["layers"] - first_full, 0)
        if not fields["windowed_layers"]:
            return
    if model_type == "gemma2":
        fields["windowed_layers"] = fields["layers"] // 2
    fields["window"] = found.find("sliding_window")


def _latent(found: _Config, fields: dict[str, Any]) -> None:
    if "kv_lora_rank" not in found.config:
        return
    fields["latent"] = Latent(
        q_rank=found.find("q_lora_rank"),
        kv_rank=found.need("kv_lora_rank"),
        nope=found.need("qk_nope_head_dim"),
        rope=found.need("qk_rope_head_dim"),
        value=found.need("v_head_dim"),
    )


def _experts(model_type: str, found: _Config, fields: dict[str, Any]) -> None:
    routed = found.find("experts")
    if routed is None:
        if "moe" in model_type or model_type == "mixtral":
            found.need("experts")
        return
    width = found.need("ffn" if model_type == "mixtral" else "moe_intermediate_size")
    shared = found.find("shared_expert_intermediate_size") or 0.0
    shared += int(found.config.get("n_shared_experts") or 0) * width
    fields["experts"] = Experts(
        routed=int(routed),
        active=int(found.need("num_experts_per_tok")),
        ffn=width,
        shared_ffn=shared,
        every=int(
            found.config.get("decoder_sparse_step") or found.config.get("moe_layer_freq") or 1
        ),
        first_dense=int(found.config.get("first_k_dense_replace") or 0),
        shared_gate="shared_expert_intermediate_size" in found.config,
        router_bias=model_type == "deepseek_v3",
    )


def _context(model_type: str, found: _Config, fields: Mapping[str, Any]) -> float:
    if model_type == "vit":
        return float(fields["positions"])
    scaling = found.config.get("rope_scaling")
    if isinstance(scaling, Mapping):
        before = scaling.get("original_max_position_embeddings")
        if isinstance(before, int):  # what it was trained with, before it was stretched
            return float(before)
    return found.find("positions") or NO_CONTEXT


def _unknown(model_type: str, config: Mapping[str, Any]) -> UsageError:
    absent = [
        " or ".join(_KEYS[field][:2])
        for field in ("layers", "width", "heads", "ffn", "vocab")
        if not any(key in config for key in _KEYS[field])
    ]
    close = near(model_type, STYLES)
    said = f"model_type “{model_type[:40]}” is not known" if model_type else "it has no model_type"
    lacks = f", and {', '.join(absent)} missing" if absent else ""
    meant = (
        f"if it is built like {' or '.join(close)}, say so in model_type; else " if close else ""
    )
    return UsageError(
        f"the configuration cannot be read: {said}{lacks}",
        remedy=f"{meant}describe the model in TOML (like = one of {', '.join(STYLES)})",
    )
