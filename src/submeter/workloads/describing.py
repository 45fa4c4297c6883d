# SPDX-License-Identifier: Apache-2.0
"""From a description to a workload, with everything that was understood said back in words."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from submeter.errors import UsageError
from submeter.workloads.configs import NO_CONTEXT, shape_of_config
from submeter.workloads.convolutions import CLASSES, network_of, side_of
from submeter.workloads.counts import parse_count, spelt, understood
from submeter.workloads.layers import Counted, Recomputation, precision_of
from submeter.workloads.operations import (
    IMAGES_A_STEP,
    tokens_a_step,
    transformer,
)
from submeter.workloads.operations import (
    cnn as count_cnn,
)
from submeter.workloads.shapes import (
    inferred,
    known_shape,
    params_of_shape,
    spread_ratio_of,
)
from submeter.workloads.transformers import Family, Scores, TransformerShape
from submeter.workloads.workloads import NOTHING, Workload

Count = str | float  # as people type it
DISAGREEING_RATIO: Final = 1.1  # told and reckoned parameters further apart are worth a word
FAMILIES: Final = ("decoder", "encoder", "encoder-decoder")


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """How it is trained: what changes operations and bytes, whatever the model."""

    precision: str | None = None
    optimiser: str | None = None
    recomputation: Recomputation = "none"
    scores: Scores = "full"
    fused: bool = True
    batch: Count | None = None
    epochs: Count = 1.0


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """Shape of a transformer, and how it is known."""

    shape: TransformerShape
    context_tokens: float
    notes: tuple[str, ...]
    name: str
    spread_ratio: float = 1.0
    idle_params: float = 0.0  # of experts that a token does not meet
    target_tokens: float | None = None


def workload_of(
    *,
    name: str = "",
    params: Count | None = None,
    active_params: Count | None = None,
    tokens: Count | None = None,
    model: str | None = None,
    config: Mapping[str, Any] | None = None,
    shape: TransformerShape | None = None,
    family: str = "decoder",
    context: Count | None = None,
    target: Count | None = None,
    cnn: str | None = None,
    images: Count | None = None,
    image_side: int | None = None,
    classes: int = CLASSES,
    description: Mapping[str, Any] | None = None,
    training: Training | None = None,
    **changed: Any,
) -> Workload:
    """Take a training as it was described.

    Parameters
    ----------
    params, active_params, tokens
        Counts as people type them (``7B``, ``2e12``). The shape is inferred from the size, and
        its doubt is in ``spread_ratio``. With experts, the parameters that one token meets.
    model, config, shape
        Instead of ``params``: the name of a published model, the table of a Hugging Face
        ``config.json``, or a shape. With a vision transformer ``images`` stands for ``tokens``.
    family
        Of a model of which only the size is told: decoder, encoder, encoder-decoder.
    context, target
        Tokens of a sequence; of an encoder-decoder, of its source and its target.
    cnn, images, image_side, classes
        A convolutional network by name, images of one epoch, their side [pixel].
    description
        Instead of all others: the table of a TOML file (`docs/estimating-input.md`).
    training, **changed
        How it is trained; single fields of `Training` may be given by name: ``precision``,
        ``optimiser``, ``batch`` (tokens or images of one step), ``epochs``, ``recomputation``,
        ``scores``, ``fused``.

    Raises
    ------
    UsageError
        With one remedy, for anything that makes no sense or says too little or too much.

    Examples
    --------
    >>> work = workload_of(params="7B", tokens="2T", context=4096)
    >>> work.notes[0], work.notes[1]
    ('7B parameters = 7 000 000 000', '2T tokens = 2 000 000 000 000')
    """
    how = _training(training, changed)
    if description is not None:
        from submeter.workloads.descriptions import workload_of_description

        others = (params, active_params, tokens, model, config, shape, context, cnn, images)
        if any(other is not None for other in others):
            raise UsageError(
                "a description in TOML stands alone", remedy="write the rest into the description"
            )
        return workload_of_description(description, name=name)
    ways = {"params": params, "model": model, "config": config, "shape": shape, "cnn": cnn}
    _one_of(ways)
    if cnn is not None:
        _none_of(
            {"tokens": tokens, "context": context, "active_params": active_params}, "a network"
        )
        return _convolutional(name, cnn, images, image_side, classes, how)
    told = _told(params, active_params, model, config, shape, family)
    told = _with_context(told, context, target)
    return _transformed(name, told, params, active_params, tokens, images, how)


def built(
    name: str,
    kind: Any,
    counted: Counted,
    *,
    work: dict[str, float],
    precision: str,
    notes: tuple[str, ...],
    spread_ratio: float = 1.0,
    details: dict[str, float] | None = None,
) -> Workload:
    """Workload of what was *counted*."""
    return Workload(
        name=name,
        kind=kind,
        params=counted.params,
        active_params=counted.active_params,
        work=work,
        operations=counted.operations,
        precision=precision,
        notes=notes,
        parts=counted.parts,
        spread_ratio=spread_ratio,
        details=details or {},
    )


def _training(training: Training | None, changed: Mapping[str, Any]) -> Training:
    known = Training.__struct_fields__
    strange = [word for word in changed if word not in known]
    if strange:
        raise UsageError(
            f"{strange[0]} says nothing of a training", remedy=f"use {', '.join(known)}"
        )
    return msgspec.structs.replace(training or Training(), **changed)


def _one_of(ways: Mapping[str, object]) -> None:
    given = [word for word, value in ways.items() if value is not None]
    if "params" in given and len(given) == 2 and "cnn" not in given:  # noqa: PLR2004
        return  # the size beside a shape is compared with it
    if len(given) != 1:
        said = " and ".join(given) if given else "nothing"
        raise UsageError(
            f"the model is told by {said}, but one of {', '.join(ways)} is needed",
            remedy="give params and tokens, or a config, or the name of a network and its images",
        )


def _none_of(given: Mapping[str, object], what: str) -> None:
    for word, value in given.items():
        if value is not None:
            raise UsageError(f"{word} says nothing of {what}", remedy=f"leave {word} out")


def _told(
    params: Count | None,
    active_params: Count | None,
    model: str | None,
    config: Mapping[str, Any] | None,
    shape: TransformerShape | None,
    family: str,
) -> _Told:
    if config is not None:
        read, longest = shape_of_config(config)
        kind = str(config.get("model_type", "transformer"))
        note = f"sequences of {spelt(longest)} tokens assumed, the longest of the configuration"
        return _Told(shape=read, context_tokens=longest, notes=(note,), name=kind)
    if model is not None:
        known = known_shape(model)
        note = f"sequences of {spelt(known.context_tokens)} tokens, as {known.name} was trained"
        shaped = f"shape of {known.name}: {known.source}"
        return _Told(
            shape=known.shape, context_tokens=known.context_tokens, notes=(shaped, note),
            name=known.name,
        )  # fmt: skip
    if shape is not None:
        longest = float(shape.positions) or NO_CONTEXT * 4
        note = f"sequences of {spelt(longest)} tokens assumed"
        return _Told(shape=shape, context_tokens=longest, notes=(note,), name="transformer")
    return _inferred(params, active_params, family)


def _inferred(params: Count | None, active_params: Count | None, family: str) -> _Told:
    if family not in FAMILIES:
        raise UsageError(
            f"“{str(family)[:40]}” is no family of transformers",
            remedy=f"use {', '.join(FAMILIES)}",
        )
    every = parse_count(params or 0, what="params")
    met = every if active_params is None else parse_count(active_params, what="active_params")
    if met > every:
        raise UsageError(
            f"{spelt(met)} active parameters are more than all {spelt(every)}",
            remedy="give at most as many active_params as params",
        )
    kind: Family = family  # type: ignore[assignment]
    shape, known = inferred(met, kind)
    ratio = spread_ratio_of(met, context_told=False)
    like = f"{shape.layers} layers of width about {shape.width:.0f}"
    return _Told(
        shape=shape,
        context_tokens=known.context_tokens,
        notes=(
            f"shape inferred from the size, as of {known.name}: {like}",
            f"sequences of {spelt(known.context_tokens)} tokens assumed, as for {known.name}",
        ),
        name=f"{params} parameters",
        spread_ratio=ratio,
        idle_params=every - met,
    )


def _with_context(told: _Told, context: Count | None, target: Count | None) -> _Told:
    both = told.shape.family == "encoder-decoder"
    if target is not None and not both:
        _none_of({"target": target}, f"a {told.shape.family}: it has one sequence")
    if context is not None:
        length = parse_count(context, what="context")
        spread = told.spread_ratio
        if spread > 1:
            spread = spread_ratio_of(params_of_shape(told.shape), context_told=True)
        told = msgspec.structs.replace(
            told,
            context_tokens=length,
            notes=(*told.notes[:-1], f"sequences of {spelt(length)} tokens"),
            spread_ratio=spread,
        )
    if both:
        length = told.context_tokens if target is None else parse_count(target, what="target")
        how = "" if target is not None else " assumed, as the source"
        note = f"targets of {spelt(length)} tokens{how}; tokens are those of source and target"
        told = msgspec.structs.replace(told, target_tokens=length, notes=(*told.notes, note))
    return told


def _transformed(
    name: str,
    told: _Told,
    params: Count | None,
    active_params: Count | None,
    tokens: Count | None,
    images: Count | None,
    how: Training,
) -> Workload:
    work, once, notes = _work(told, tokens, images)
    if params is not None:
        notes.insert(0, understood(params, parse_count(params, what="params"), "parameters"))
    if active_params is not None:
        met = parse_count(active_params, what="active_params")
        notes.insert(1, understood(active_params, met, "active parameters"))
    epochs = parse_count(how.epochs, what="epochs")
    if epochs != 1:
        notes.append(f"{epochs:g} epochs")
        work = {unit: n * epochs for unit, n in work.items()}
    everything = once * epochs
    precision = precision_of(how.precision or "bf16")
    a_sample = told.context_tokens + (told.target_tokens or 0.0)
    batch, said = _batch(told, how, everything, a_sample)
    counted = transformer(
        told.shape,
        tokens=everything,
        context_tokens=told.context_tokens,
        target_tokens=told.target_tokens,
        batch_tokens=batch,
        precision=precision,
        optimiser=how.optimiser or "adamw",
        recomputation=how.recomputation,
        scores=how.scores,
        fused=how.fused,
    )
    counted = _with_idle(counted, told.idle_params)
    notes += [*told.notes, said, *_assumed(how, "bf16", "adamw"), *_disagreement(params, counted)]
    shape = told.shape
    details = {
        "layers": float(shape.layers + shape.encoder_layers), "width": shape.width,
        "heads": shape.heads, "ffn": shape.ffn, "vocab": shape.vocab,
        "context_tokens": told.context_tokens, "batch_tokens": batch,
    }  # fmt: skip
    return built(
        name or told.name, "transformer", counted, work=work, precision=precision,
        notes=tuple(notes), spread_ratio=told.spread_ratio, details=details,
    )  # fmt: skip


def _work(
    told: _Told, tokens: Count | None, images: Count | None
) -> tuple[dict[str, float], float, list[str]]:
    """Work of one epoch, the tokens in it, and what was understood."""
    if told.shape.patch_numbers:
        _none_of({"tokens": tokens}, "a vision transformer")
        if images is None:
            raise UsageError("the number of images is missing", remedy="give images")
        seen = parse_count(images, what="images")
        return {"samples": seen}, seen * told.context_tokens, [understood(images, seen, "images")]
    _none_of({"images": images}, "a language model")
    if tokens is None:
        raise UsageError(
            "the number of tokens is missing", remedy="give tokens, such as tokens=2T"
        )
    count = parse_count(tokens, what="tokens")
    return {"tokens": count}, count, [understood(tokens, count, "tokens")]


def _batch(told: _Told, how: Training, tokens: float, a_sample: float) -> tuple[float, str]:
    unit, tokens_of = ("images", a_sample) if told.shape.patch_numbers else ("tokens", 1.0)
    if how.batch is not None:
        batch = parse_count(how.batch, what="batch")
        return batch * tokens_of, f"{spelt(batch)} {unit} a step"
    if unit == "images":
        batch = min(IMAGES_A_STEP * a_sample, tokens)
    else:
        batch = tokens_a_step(params_of_shape(told.shape) + told.idle_params, tokens)
    return batch, f"{spelt(batch / tokens_of)} {unit} a step assumed; only the optimiser minds"


def _with_idle(counted: Counted, idle_params: float) -> Counted:
    """Add parameters of experts that no token meets: they are stepped, not multiplied."""
    if not idle_params:
        return counted
    every = counted.params + idle_params
    parts = dict(counted.parts)
    step = parts.get("optimiser")
    if step is not None:
        parts["optimiser"] = step.times(every / counted.params)
    parts.setdefault("experts", NOTHING)
    return Counted(every, counted.active_params, parts)


def _assumed(how: Training, precision: str, optimiser: str) -> list[str]:
    said = []
    if how.precision is None:
        said.append(f"{precision} assumed")
    if how.optimiser is None:
        said.append(f"{optimiser} assumed")
    if how.recomputation != "none":
        said.append(f"{how.recomputation} recomputation: executed, but not useful")
    return said


def _disagreement(params: Count | None, counted: Counted) -> list[str]:
    if params is None:
        return []
    told = parse_count(params, what="params")
    ratio = counted.params / told
    if 1 / DISAGREEING_RATIO < ratio < DISAGREEING_RATIO:
        return []
    return [f"the shape has {counted.params:.3g} parameters, not {told:.3g}: the shape counts"]


def _convolutional(
    name: str,
    cnn: str,
    images: Count | None,
    image_side: int | None,
    classes: int,
    how: Training,
) -> Workload:
    listed = network_of(cnn)
    if images is None:
        raise UsageError("the number of images is missing", remedy="give images of one epoch")
    one = parse_count(images, what="images")
    epochs = parse_count(how.epochs, what="epochs")
    batch = min(IMAGES_A_STEP, one) if how.batch is None else parse_count(how.batch, what="batch")
    precision = precision_of(how.precision or "fp32")
    counted = count_cnn(
        listed,
        images=one * epochs,
        image_side=image_side,
        classes=classes,
        batch_images=batch,
        precision=precision,
        optimiser=how.optimiser or "momentum",
        recomputation=how.recomputation,
    )
    side = side_of(listed) if image_side is None else image_side
    sized = "" if image_side is not None else f", the size {listed} was published for"
    notes = [
        f"{cnn} read as {listed}: {spelt(counted.params)} parameters",
        understood(images, one, "images") + (f", {epochs:g} epochs" if epochs != 1 else ""),
        f"images of {side} × {side}{sized}",
        f"{spelt(batch)} images a step" + (" assumed" if how.batch is None else ""),
        *_assumed(how, "fp32", "momentum"),
    ]
    return built(
        name or listed, "cnn", counted, work={"samples": one * epochs}, precision=precision,
        notes=tuple(notes), details={"image_side": float(side), "batch_samples": batch},
    )  # fmt: skip
