# SPDX-License-Identifier: Apache-2.0
"""Operations of torch's operators, from the shapes that go in and come out.

torch keeps formulas of its own (``torch.utils.flop_counter``); they are used wherever they are
right. The table here adds what is missing there (attention and recurrent layers as processors run
them, fused layers, bilinear and grouped products), replaces what is wrong (the backward pass of
grouped convolutions), and tells operations needed from operations done (fused attention computes
its scores again in the backward pass).

A formula takes the operator's arguments and its result, and gives a `Cost`. Nothing here imports
torch: tensors are whatever has a ``shape``.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from submeter.workloads.tallies import Class, Cost

MATRIX = 2  # axes of one

Formula = Callable[[Sequence[Any], dict[str, Any], Any], Cost]


class Known(NamedTuple):
    """Class of an operator and its formula."""

    kind: Class
    formula: Formula


def words(text: str) -> frozenset[str]:
    """Give the words of *text*."""
    return frozenset(text.split())


def argument(args: Sequence[Any], kwargs: dict[str, Any], index: int, name: str) -> Any:
    """Give an argument that may be given by place or by name."""
    return args[index] if len(args) > index else kwargs.get(name)


def numel(tensor: Any) -> int:
    """Elements of a tensor."""
    return math.prod(tensor.shape)


# --- matrix products -----------------------------------------------------------------------------


def contracted(left: int) -> Formula:
    """Two per output element and contracted index; *left* is the argument that holds that axis."""

    def formula(args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Cost:
        del kwargs
        return Cost(flop=2.0 * numel(out) * args[left].shape[-1])

    return formula


def linear(args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Cost:
    """Y = X Wᵀ: 2 · rows · W."""
    del kwargs
    return Cost(flop=2.0 * numel(out) * args[0].shape[-1])


def linear_backward(args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Cost:
    """(input, grad, weight, mask): as much as the forward pass for each gradient asked for."""
    del kwargs, out
    grad, weight, mask = args[1], args[2], args[3]
    return Cost(flop=2.0 * numel(grad) * weight.shape[-1] * (bool(mask[0]) + bool(mask[1])))


def addbmm(args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Cost:
    """Sum of b products (n × k)(k × m): 2 · b · n · k · m."""
    del kwargs
    return Cost(flop=2.0 * numel(args[1]) * out.shape[-1])


def trilinear(args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Cost:
    """Bilinear layers, y_o = x₁ᵀ W_o x₂: two per element of the three tensors broadcast together.

    The smaller second contraction (one part in the width of x₁) is left out.
    """
    del out
    shapes = []
    for index in range(3):
        sizes = list(args[index].shape)
        for axis in sorted(argument(args, kwargs, 3 + index, f"expand{index + 1}")):
            sizes.insert(axis, 1)
        shapes.append(sizes)
    return Cost(flop=2.0 * math.prod(max(axis) for axis in zip(*shapes, strict=True)))


def grouped_mm(args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Cost:
    """Ragged batches of products: each row of the left meets one matrix of the right."""
    del kwargs
    left, right = args[0], args[1]
    if (
        len(left.shape) == len(right.shape) == MATRIX
    ):  # the contracted axis is ragged: sum over groups
        return Cost(flop=2.0 * numel(left) * right.shape[-1])
    return Cost(flop=2.0 * numel(out) * left.shape[-1])


# --- convolutions --------------------------------------------------------------------------------


def convolved(shapes: tuple[Any, Any, Any], transposed: bool) -> float:  # noqa: FBT001
    """Operations of one convolution: 2 · N · positions · weights.

    *shapes* are of the input, the weights (out, in / groups, kernel…) and the output; a
    transposed convolution visits each position of its input instead of its output. Products with
    padding count, as is usual.
    """
    x, w, y = shapes
    positions: int = math.prod((x if transposed else y)[2:])
    weights: int = math.prod(w)
    return 2.0 * int(x[0]) * positions * weights


def convolution(args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Cost:
    """(input, weight, bias, stride, padding, dilation, transposed, …)."""
    transposed = bool(argument(args, kwargs, 6, "transposed"))
    return Cost(flop=convolved((args[0].shape, args[1].shape, out.shape), transposed))


def convolution_backward(args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Cost:
    """As much as forward for each of the gradients asked for; groups need no other formula."""
    del out
    transposed = bool(argument(args, kwargs, 7, "transposed"))
    mask = argument(args, kwargs, 10, "output_mask")
    one = convolved((args[1].shape, args[2].shape, args[0].shape), transposed)
    return Cost(flop=one * (bool(mask[0]) + bool(mask[1])))


def plain_convolution(args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Cost:
    """(input, weight, …), never transposed."""
    del kwargs
    out = out[0] if isinstance(out, tuple | list) else out
    return Cost(flop=convolved((args[0].shape, args[1].shape, out.shape), transposed=False))


# --- attention -----------------------------------------------------------------------------------


def masked_ratio(queries: int, keys: int) -> float:
    """Share of the (query, key) pairs that a causal mask from the upper left forbids."""
    seen = min(queries, keys)
    allowed = seen * (seen + 1) / 2 + max(queries - keys, 0) * keys
    return 1.0 - allowed / (queries * keys)


def attention(causal_at: int) -> Formula:
    """Q Kᵀ and P V: 2 · B · H · T · S · (d_k + d_v); grouped queries share keys, not products."""

    def formula(args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Cost:
        del out
        q, k, v = (t.shape for t in args[:3])
        flop = 2.0 * math.prod(q[:-1]) * k[-2] * (q[-1] + v[-1])
        causal = argument(args, kwargs, causal_at, "is_causal")
        return Cost(flop=flop, maskable_flop=flop * masked_ratio(q[-2], k[-2]) if causal else 0.0)

    return formula


def attention_backward(causal_at: int) -> Formula:
    """dP, dV, dQ and dK are needed; Q Kᵀ is computed once more since scores were not kept."""

    def formula(args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Cost:
        del out
        q, k, v = (t.shape for t in args[1:4])
        pairs = 2.0 * math.prod(q[:-1]) * k[-2]
        needed, again = pairs * (2 * q[-1] + 2 * v[-1]), pairs * q[-1]
        causal = argument(args, kwargs, causal_at, "is_causal")
        masked = masked_ratio(q[-2], k[-2]) if causal else 0.0
        return Cost(flop=needed, recomputed_flop=again, maskable_flop=(needed + again) * masked)

    return formula


def native_attention(args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Cost:
    """nn.MultiheadAttention in one piece: three projections, attention, one projection."""
    del kwargs, out
    q, k, v, width = args[0].shape, args[1].shape, args[2].shape, args[3]
    return Cost(flop=whole_attention(q, k, v, width))


def whole_attention(q: Any, k: Any, v: Any, width: int) -> float:
    """Four square projections, Q Kᵀ and P V [FLOP]."""
    rows: list[int] = [math.prod(shape[:-1]) for shape in (q, k, v)]
    projected = 2.0 * width * width * (sum(rows) + rows[0])
    return projected + 4.0 * rows[0] * int(k[-2]) * width


def encoder_layer(args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Cost:
    """nn.TransformerEncoderLayer in one piece: attention, and two matrices of the feed-forward."""
    del kwargs, out
    x, width = args[0].shape, args[1]
    feed_weights = (t for t in args[13:] if len(getattr(t, "shape", ())) == MATRIX)
    widest = next(feed_weights).shape[0]
    feed = 4.0 * math.prod(x[:-1]) * width * widest
    return Cost(flop=whole_attention(x, x, x, width) + feed)


# --- recurrent layers ----------------------------------------------------------------------------


def onednn_rnn(args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Cost:
    """One layer and direction, T steps of B: 2 · T · B · (W_ih + W_hh)."""
    del kwargs, out
    x, w_ih, w_hh = args[0].shape, args[1], args[2]
    return Cost(flop=2.0 * x[0] * x[1] * (numel(w_ih) + numel(w_hh)))


def onednn_rnn_backward(args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Cost:
    """As much for the weights' gradients, and for those of states and inputs.

    The kernel always computes the gradients of its input and of its first state; where nobody
    asked for them, they are executed but not useful.
    """
    del kwargs, out
    x, w_ih, w_hh, state = args[0], args[1], args[2], args[5]
    steps, batch = x.shape[0], x.shape[1]
    one_ih, one_hh = 2.0 * batch * numel(w_ih), 2.0 * batch * numel(w_hh)
    useful = steps * (one_ih + one_hh)  # the weights
    useful += one_hh * (steps if state.requires_grad else steps - 1)
    useful += one_ih * steps if x.requires_grad else 0.0
    return Cost(flop=useful, recomputed_flop=2 * steps * (one_ih + one_hh) - useful)


def cudnn_rnn(times: float) -> Formula:
    """All layers at once: each token meets each weight matrix, *times* over."""

    def formula(args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Cost:
        del kwargs, out
        x, weights = args[0], args[1]
        tokens = math.prod(x.shape[:-1])  # packed sequences come as one axis of tokens
        matrices = sum(numel(w) for w in weights if len(w.shape) >= MATRIX)
        return Cost(flop=2.0 * tokens * matrices * times)

    return formula


ATEN: dict[str, Known] = {
    # torch's own formulas cover mm, bmm, addmm, baddbmm, _scaled_mm and padded flash kernels
    "linear": Known("matmul", linear),
    "mkldnn_linear": Known("matmul", linear),
    "linear_backward": Known("matmul", linear_backward),
    "dot": Known("matmul", lambda a, _k, _o: Cost(flop=2.0 * numel(a[0]))),
    "vdot": Known("matmul", lambda a, _k, _o: Cost(flop=2.0 * numel(a[0]))),
    "mv": Known("matmul", lambda a, _k, _o: Cost(flop=2.0 * numel(a[0]))),
    "addmv": Known("matmul", lambda a, _k, _o: Cost(flop=2.0 * numel(a[1]))),
    "addr": Known("matmul", lambda _a, _k, o: Cost(flop=2.0 * numel(o))),
    "addbmm": Known("matmul", addbmm),
    "_addmm_activation": Known("matmul", contracted(1)),
    "_int_mm": Known("matmul", contracted(0)),
    "_grouped_mm": Known("matmul", grouped_mm),
    "_scaled_grouped_mm": Known("matmul", grouped_mm),
    "_trilinear": Known("matmul", trilinear),
    "convolution": Known("convolution", convolution),
    "_convolution": Known("convolution", convolution),
    "convolution_overrideable": Known("convolution", convolution),
    "convolution_backward": Known("convolution", convolution_backward),
    "convolution_backward_overrideable": Known("convolution", convolution_backward),
    "mkldnn_convolution": Known("convolution", plain_convolution),
    "cudnn_convolution": Known("convolution", plain_convolution),
    "_slow_conv2d_forward": Known("convolution", plain_convolution),
    "slow_conv3d_forward": Known("convolution", plain_convolution),
    "_conv_depthwise2d": Known("convolution", plain_convolution),
    "conv_depthwise3d": Known("convolution", plain_convolution),
    "_scaled_dot_product_flash_attention": Known("attention", attention(4)),
    "_scaled_dot_product_flash_attention_for_cpu": Known("attention", attention(4)),
    "_scaled_dot_product_cudnn_attention": Known("attention", attention(6)),
    "_scaled_dot_product_efficient_attention": Known("attention", attention(6)),
    "_scaled_dot_product_fused_attention_overrideable": Known("attention", attention(5)),
    "_scaled_dot_product_flash_attention_backward": Known("attention", attention_backward(11)),
    "_scaled_dot_product_flash_attention_for_cpu_backward": Known(
        "attention", attention_backward(7)
    ),
    "_scaled_dot_product_cudnn_attention_backward": Known("attention", attention_backward(14)),
    "_scaled_dot_product_efficient_attention_backward": Known("attention", attention_backward(11)),
    "_scaled_dot_product_fused_attention_overrideable_backward": Known(
        "attention", attention_backward(14)
    ),
    "_native_multi_head_attention": Known("attention", native_attention),
    "_transformer_encoder_layer_fwd": Known("attention", encoder_layer),
    "mkldnn_rnn_layer": Known("recurrent", onednn_rnn),
    "mkldnn_rnn_layer_backward": Known("recurrent", onednn_rnn_backward),
    "_cudnn_rnn": Known("recurrent", cudnn_rnn(1.0)),
    "_cudnn_rnn_backward": Known("recurrent", cudnn_rnn(2.0)),
    "miopen_rnn": Known("recurrent", cudnn_rnn(1.0)),
    "miopen_rnn_backward": Known("recurrent", cudnn_rnn(2.0)),
}

# Operations per element of the result where it is not one.
POINTWISE_FLOP: dict[str, int] = {
    "lerp": 3, "addcmul": 3, "addcdiv": 3, "gelu": 8, "gelu_backward": 14, "silu": 4,
    "silu_backward": 7, "sigmoid": 3, "sigmoid_backward": 3, "tanh_backward": 3, "softplus": 3,
}  # fmt: skip

# Known to be element-wise although torch does not tag them so.
POINTWISE = words(
    """
    native_dropout native_dropout_backward _fused_dropout _fused_rms_norm _fused_rms_norm_backward
    gelu gelu_backward silu silu_backward glu glu_backward hardtanh_backward elu_backward
    threshold_backward hardswish_backward hardsigmoid_backward leaky_relu_backward mish_backward
    log_sigmoid_forward log_sigmoid_backward softplus_backward softshrink_backward
    hardshrink_backward rrelu_with_noise rrelu_with_noise_backward _prelu_kernel
    _prelu_kernel_backward logit_backward sigmoid_backward tanh_backward celu_backward
    native_layer_norm native_layer_norm_backward native_batch_norm native_batch_norm_backward
    _native_batch_norm_legit _native_batch_norm_legit_no_training _batch_norm_with_update
    _batch_norm_no_update batch_norm_backward cudnn_batch_norm cudnn_batch_norm_backward
    native_group_norm native_group_norm_backward _weight_norm_interface
    _weight_norm_interface_backward _softmax _softmax_backward_data _safe_softmax _log_softmax
    _log_softmax_backward_data _masked_softmax _masked_softmax_backward mse_loss_backward
    smooth_l1_loss_backward huber_loss_backward binary_cross_entropy binary_cross_entropy_backward
    nll_loss_forward nll_loss_backward nll_loss2d_forward nll_loss2d_backward soft_margin_loss
    soft_margin_loss_backward multi_margin_loss multi_margin_loss_backward
    _thnn_fused_lstm_cell _thnn_fused_lstm_cell_backward_impl _thnn_fused_gru_cell
    _thnn_fused_gru_cell_backward upsample_nearest1d upsample_nearest1d_backward
    upsample_nearest2d upsample_nearest2d_backward upsample_nearest3d upsample_nearest3d_backward
    _upsample_nearest_exact2d _upsample_nearest_exact2d_backward upsample_linear1d
    upsample_linear1d_backward upsample_bilinear2d upsample_bilinear2d_backward
    _upsample_bilinear2d_aa _upsample_bilinear2d_aa_backward upsample_bicubic2d
    upsample_bicubic2d_backward upsample_trilinear3d upsample_trilinear3d_backward
    grid_sampler_2d grid_sampler_2d_backward grid_sampler_3d grid_sampler_3d_backward
    cumsum cumprod logcumsumexp cummax cummin renorm _fused_adamw _fused_adam _fused_sgd
    _amp_foreach_non_finite_check_and_unscale _amp_update_scale bernoulli equal is_same_size
    _euclidean_dist normal mse_loss smooth_l1_loss huber_loss addcmul addcdiv lerp floor_divide
    """
)
REDUCTIONS = words(
    """
    sum mean prod amax amin aminmax max min argmax argmin all any var std var_mean std_mean
    linalg_vector_norm norm logsumexp count_nonzero median nanmedian nansum
    avg_pool1d avg_pool2d avg_pool2d_backward avg_pool3d avg_pool3d_backward
    _adaptive_avg_pool2d _adaptive_avg_pool2d_backward _adaptive_avg_pool3d
    _adaptive_avg_pool3d_backward adaptive_max_pool2d adaptive_max_pool2d_backward
    adaptive_max_pool3d adaptive_max_pool3d_backward max_pool2d_with_indices
    max_pool2d_with_indices_backward max_pool3d_with_indices max_pool3d_with_indices_backward
    mkldnn_max_pool2d fractional_max_pool2d _embedding_bag _embedding_bag_forward_only
    _embedding_bag_backward _embedding_bag_dense_backward trace
    """
)
MOVES = words(
    """
    copy _to_copy clone cat stack contiguous index index_put _unsafe_index _unsafe_index_put
    _index_put_impl masked_select masked_scatter masked_fill where fill zero constant_pad_nd
    reflection_pad1d reflection_pad1d_backward reflection_pad2d reflection_pad2d_backward
    replication_pad1d replication_pad1d_backward replication_pad2d replication_pad2d_backward
    roll flip repeat repeat_interleave tril triu index_copy index_fill scatter scatter_add
    scatter_reduce index_add gather index_select embedding embedding_dense_backward
    embedding_renorm take take_along_dim put select_backward slice_backward select_scatter
    slice_scatter diagonal_scatter diagonal_backward as_strided_scatter new_zeros sort topk
    argsort unique_dim _unique2 searchsorted bucketize im2col col2im pixel_shuffle
    pixel_unshuffle channel_shuffle nonzero unfold_backward value_selecting_reduction_backward
    split_with_sizes_copy split_copy _local_scalar_dense _pin_memory _pack_padded_sequence
    _pack_padded_sequence_backward _reshape_copy resize set _copy_from _foreach_copy
    _chunk_cat kthvalue histc isin one_hot _resize_output is_nonzero item as_strided_
    """
)
CREATIONS = words(
    """
    empty empty_like empty_strided new_empty new_empty_strided zeros zeros_like ones ones_like
    new_ones full full_like new_full arange linspace logspace eye scalar_tensor rand rand_like
    randn randn_like randint randint_like randperm uniform normal_ random exponential
    bernoulli_ tril_indices triu_indices _efficientzerotensor
    """
)
VIEWS = words(
    """
    detach alias view _unsafe_view expand lift_fresh lift reshape _reshape_alias unsafe_split
    unsafe_split_with_sizes unsafe_chunk is_pinned sym_size sym_stride sym_numel
    sym_storage_offset size stride numel dim storage_offset is_contiguous device layout
    _has_compatible_shallow_copy_type _version requires_grad retain_grad to t
    """
)
# Operators that touch only what they pick or place, not the whole table they are given.
PICKING = frozenset({"embedding", "index", "_unsafe_index", "index_select", "gather", "take"})
EMPTY = frozenset({"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"})
