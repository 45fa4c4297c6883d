# SPDX-License-Identifier: Apache-2.0
"""Attention whose work grows more slowly than the square of the length."""

from typing import Any, Final, Literal

from submeter.errors import UsageError
from submeter.reducing.techniques.libraries import library, quietly
from submeter.reducing.techniques.machine import machine_of
from submeter.reducing.techniques.protocol import Applied, Method
from submeter.reducing.techniques.prune_channels import counted

Kind = Literal["window", "lsh", "nystrom"]
KINDS: Final = ("window", "lsh", "nystrom")


class EfficientAttention(Method):
    """A sliding window in the model that is there; Reformer and Nyströmformer as new ones."""

    name = "efficient_attention"
    group = "less work"
    what = (
        "Causal attention over a sliding window inside a model as it is, or a Reformer (LSH) or "
        "Nyströmformer of its shape (transformers)."
    )
    why = "Work in proportion to the length times the window, not to its square."
    price = "What lies beyond the window is seen through several layers, or not at all."
    when_it_does_not_help = (
        "Sequences that are not several windows long; LSH and Nyström cost more than exact "
        "attention below some thousand tokens."
    )

    def apply(
        self, target: Any, *, kind: Kind = "window", window: int = 128, **options: Any
    ) -> Applied:
        """Bound the attention of *target*.

        Parameters
        ----------
        target
            For ``window`` a model that attends by ``scaled_dot_product_attention`` with
            ``is_causal``; for the others a mapping of ``layers``, ``width``, ``heads``,
            ``vocabulary`` and ``context``.
        kind
            ``window``, ``lsh`` (Reformer) or ``nystrom``.
        window
            Positions that are seen; for ``lsh`` the length of a chunk, for ``nystrom`` the
            number of landmarks.
        """
        self.no_more(options)
        if kind not in KINDS or window < 1:
            raise UsageError(f"{kind} is no attention", remedy=f"kind: {', '.join(KINDS)}")
        if kind == "window":
            return self._windowed(target, window)
        fit = self.checked(None)
        model = _built(dict(target), kind, window)
        notes = (f"{kind}: a new model of {counted(model)} parameters",)
        return Applied(
            self.name, model, fit=fit, notes=notes, found={"parameters": counted(model)}
        )

    def _windowed(self, model: Any, window: int) -> Applied:
        fit = self.checked(model, machine_of(model))
        torch = library("torch")
        plain, own = model.forward, "forward" in vars(model)
        exact = torch.nn.functional.scaled_dot_product_attention
        found = {"calls": 0.0, "products_ratio": 1.0}

        def attend(func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            del types
            named = dict(kwargs or {})
            causal = named.get("is_causal") and named.get("attn_mask") is None
            if func is not exact or not causal or args[0].shape[-2] <= 2 * window:
                return func(*args, **named)
            found["calls"] += 1
            found["products_ratio"] = 4 * window / args[0].shape[-2]
            query, key, value = args[:3]
            return windowed(query, key, value, window, dropout_p=named.get("dropout_p", 0.0))

        mode = type(
            "Window",
            (library("torch.overrides").TorchFunctionMode,),
            {"__torch_function__": lambda _, *given: attend(*given)},
        )

        def forward(*given: Any, **named: Any) -> Any:
            with mode():
                return plain(*given, **named)

        def back() -> Any:
            if own:
                model.forward = plain
            else:
                del model.forward
            return model

        model.forward = forward
        applied = Applied(
            self.name, model, back=back, fit=fit, notes=(f"sees the last {window} positions",)
        )
        applied.found = found
        return applied


def windowed(query: Any, key: Any, value: Any, window: int, *, dropout_p: float = 0.0) -> Any:
    """Causal attention over the last *window* positions, itself included.

    The rows are cut into blocks of *window*; each attends to its own and the one before, masked:
    ``2 n w`` products a head instead of ``n²``. Shapes ``(…, n, d)``.
    """
    torch = library("torch")
    functional = torch.nn.functional
    length = query.shape[-2]
    extra = -length % window
    query, key, value = (functional.pad(x, (0, 0, 0, extra)) for x in (query, key, value))
    blocks = query.shape[-2] // window

    def cut(x: Any) -> Any:
        return x.unflatten(-2, (blocks, window))

    def with_last(x: Any) -> Any:
        own = cut(x)
        before = functional.pad(own, (0, 0, 0, 0, 1, 0))[..., :-1, :, :]
        return torch.cat([before, own], -2)

    rows = torch.arange(window, device=query.device)[:, None]
    columns = torch.arange(2 * window, device=query.device)[None] - window
    seen = (columns <= rows) & (columns > rows - window)
    first = seen & (columns >= 0)  # nothing stands before the first block
    mask = torch.stack([first, *[seen] * (blocks - 1)])
    mixed = functional.scaled_dot_product_attention(
        cut(query), with_last(key), with_last(value), attn_mask=mask, dropout_p=dropout_p
    )
    return mixed.flatten(-3, -2)[..., :length, :]


def _built(shape: dict[str, int], kind: Kind, window: int) -> Any:
    wanted = {"layers", "width", "heads", "vocabulary", "context"}
    if set(shape) != wanted:
        raise UsageError(
            f"{kind} wants the shape of a model: {', '.join(sorted(wanted))}",
            remedy="efficient_attention({'layers': 2, 'width': 64, …}, kind='lsh')",
        )
    transformers = library("transformers")
    width, heads, context = shape["width"], shape["heads"], shape["context"]
    with quietly():
        if kind == "nystrom":
            return transformers.NystromformerForMaskedLM(
                transformers.NystromformerConfig(
                    vocab_size=shape["vocabulary"], hidden_size=width,
                    num_hidden_layers=shape["layers"], num_attention_heads=heads,
                    intermediate_size=4 * width, max_position_embeddings=context,
                    num_landmarks=window, segment_means_seq_len=context,
                )
            )  # fmt: skip
        rows = next(n for n in range(int(context**0.5), 0, -1) if context % n == 0)
        return transformers.ReformerModelWithLMHead(
            transformers.ReformerConfig(
                vocab_size=shape["vocabulary"], hidden_size=width, num_attention_heads=heads,
                attention_head_size=width // heads, feed_forward_size=4 * width, is_decoder=True,
                attn_layers=[("lsh", "local")[i % 2] for i in range(shape["layers"])],
                axial_pos_shape=[rows, context // rows], axial_pos_embds_dim=[width // 2] * 2,
                max_position_embeddings=context, lsh_attn_chunk_length=window,
                local_attn_chunk_length=window, num_buckets=None, hash_seed=0,
            )
        )  # fmt: skip


TECHNIQUE = EfficientAttention()
