# SPDX-License-Identifier: Apache-2.0
"""A training described in a TOML file: its table, checked word by word.

Four tables: ``model``, ``model.experts``, ``data``, ``training``. The words are those of
docs/estimating-input.md; a word that is not among them is an error that names the nearest.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from submeter.catalog.names import near
from submeter.errors import UsageError
from submeter.workloads.convolutions import CLASSES
from submeter.workloads.counts import parse_count, spelt, understood
from submeter.workloads.describing import Training, built, workload_of
from submeter.workloads.layers import Counted, precision_of
from submeter.workloads.operations import perceptron, recurrent
from submeter.workloads.shapes import completed, families_of
from submeter.workloads.transformers import Experts, TransformerShape
from submeter.workloads.workloads import Workload

TABLES: Final = ("name", "model", "data", "training")
_SHAPE: Final = {
    "layers": int, "encoder_layers": int, "width": float, "heads": float, "ffn": float,
    "vocab": float, "kv_heads": float, "head_width": float, "window": float,
    "windowed_layers": int, "positions": int, "gated": bool, "tied": bool,
}  # fmt: skip
_SIZE: Final = ("params", "active_params", "name", "family", "like", "experts")
_RECURRENT: Final = ("cell", "inputs", "hidden", "layers", "directions", "outputs", "vocab")
_IMAGES: Final = ("network", "classes")
WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "model": (*_SIZE, *_SHAPE, *_RECURRENT[:3], "directions", "outputs", *_IMAGES, "widths"),
    "experts": ("routed", "active", "ffn", "shared_ffn", "every", "first_dense", "capacity_ratio"),
    "data": (
        "tokens", "context", "target", "images", "image_side", "sequences", "steps", "samples",
    ),
    "training": Training.__struct_fields__,
}  # fmt: skip
_KINDS: Final = {
    "batch": (int, float, str), "epochs": (int, float, str), "fused": (bool,),
    "precision": (str,), "optimiser": (str,), "recomputation": (str,), "scores": (str,),
}  # fmt: skip


def workload_of_description(description: Mapping[str, Any], *, name: str = "") -> Workload:
    """Workload of the table of a TOML file.

    Raises
    ------
    UsageError
        For a table or a word that is not known, a value of the wrong kind, or one that lacks.
    """
    if not isinstance(description, Mapping):
        raise UsageError("the description is no table", remedy="give what the TOML file holds")
    _known_words(description, TABLES, "the description")
    model, data, how = (_table(description, word) for word in ("model", "data", "training"))
    training = _training(how)
    name = name or str(description.get("name", ""))
    if "network" in model:
        _fitting(model, _IMAGES, "a network")
        _fitting(data, ("images", "image_side"), "a network", of="data")
        side = data.get("image_side")
        return workload_of(
            name=name, cnn=_text(model, "network"), images=data.get("images"),
            image_side=None if side is None else _whole(data, "image_side"),
            classes=_whole(model, "classes") if "classes" in model else CLASSES,
            training=training,
        )  # fmt: skip
    if "cell" in model:
        return _recurrent(name, model, data, training)
    if "widths" in model:
        return _perceptron(name, model, data, training)
    return _transformer(name, model, data, training)


def _table(description: Mapping[str, Any], word: str) -> Mapping[str, Any]:
    found = description.get(word, {})
    if not isinstance(found, Mapping):
        raise UsageError(f"{word} is {found!r}, but it is a table", remedy=f"write [{word}]")
    _known_words(found, WORDS[word], f"[{word}]")
    return found


def _known_words(table: Mapping[str, Any], words: tuple[str, ...], where: str) -> None:
    for word in table:
        if word not in words:
            close = near(str(word), words)
            raise UsageError(
                f"{where} has no word “{str(word)[:40]}”",
                remedy=f"use {' or '.join(close) if close else ', '.join(words)}",
            )


def _fitting(
    table: Mapping[str, Any], words: tuple[str, ...], what: str, *, of: str = "model"
) -> None:
    for word in table:
        if word not in words:
            raise UsageError(
                f"{word} in [{of}] says nothing of {what}", remedy=f"use {', '.join(words)}"
            )


def _text(table: Mapping[str, Any], word: str) -> str:
    value = table[word]
    if not isinstance(value, str):
        raise UsageError(f"{word} is {value!r}, but it is a text", remedy=f'write {word} = "…"')
    return value


def _need(table: Mapping[str, Any], word: str, where: str) -> float:
    if word not in table:
        raise UsageError(f"[{where}] lacks {word}", remedy=f"write {word} = … into [{where}]")
    return parse_count(table[word], what=word)


def _whole(table: Mapping[str, Any], word: str) -> int:
    value = parse_count(table[word], what=word)
    if value != int(value):
        raise UsageError(
            f"{word} is {value:g}, but it is a whole number", remedy=f"write {word} = {value:.0f}"
        )
    return int(value)


def _flag(table: Mapping[str, Any], word: str) -> bool:
    value = table[word]
    if not isinstance(value, bool):
        raise UsageError(
            f"{word} is {value!r}, but it is yes or no", remedy=f"write {word} = true"
        )
    return value


def _training(how: Mapping[str, Any]) -> Training:
    for word, value in how.items():
        kinds = _KINDS[word]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            wanted = (
                "true or false" if bool in kinds else "a text" if len(kinds) == 1 else "a count"
            )
            raise UsageError(f"{word} is {value!r}, but it is {wanted}", remedy="see [training]")
    return Training(**how)


def _transformer(
    name: str, model: Mapping[str, Any], data: Mapping[str, Any], training: Training
) -> Workload:
    _fitting(model, (*_SIZE, *_SHAPE), "a transformer")
    words = ("tokens", "images", "context", "target")  # images: of a vision transformer
    _fitting(data, words, "a transformer", of="data")
    given = {word: data[word] for word in words if word in data}
    sized = {word: model[word] for word in ("params", "active_params") if word in model}
    if "name" in model:
        _fitting(model, ("name",), "a published model")
        return workload_of(name=name, model=_text(model, "name"), training=training, **given)
    if any(word in _SHAPE for word in model) or "experts" in model:
        sized.pop("active_params", None)
        shape, notes = _shape(model)
        work = workload_of(name=name, shape=shape, training=training, **given, **sized)
        return msgspec.structs.replace(work, notes=(*work.notes, *notes))
    if "params" not in model:
        raise UsageError(
            "[model] says neither its size nor its shape",
            remedy="write params, or layers, width and heads, or name, network, cell or widths",
        )
    family = _text(model, "family") if "family" in model else "decoder"
    return workload_of(name=name, family=family, training=training, **sized, **given)


def _shape(model: Mapping[str, Any]) -> tuple[TransformerShape, tuple[str, ...]]:
    like = _text(model, "like") if "like" in model else "llama"
    fields = dict(families_of(like))
    if "family" in model:
        fields["family"] = _text(model, "family")
    for word, kind in _SHAPE.items():
        if word in model:
            if kind is bool:
                fields[word] = _flag(model, word)
            else:
                fields[word] = _whole(model, word) if kind is int else _need(model, word, "model")
    if "experts" in model:
        fields["experts"] = _experts(model["experts"])
    needed = ("layers", "width") if "params" in model else ("layers", "width", "heads", "vocab")
    missing = [word for word in needed if word not in fields]
    if missing:
        raise UsageError(
            f"[model] lacks {', '.join(missing)}",
            remedy=f"write {', '.join(f'{word} = …' for word in missing)} into [model]",
        )
    if fields.get("family") == "encoder-decoder":
        fields.setdefault("encoder_layers", fields["layers"])
    if "params" in model:
        return completed(fields, parse_count(model["params"], what="params"))
    if "ffn" in fields:
        return TransformerShape(**fields), ()
    # a gated one has three matrices: as many weights as a plain one of four times the width
    fields["ffn"] = fields["width"] * (8 / 3 if fields.get("gated") else 4)
    return TransformerShape(**fields), (f"feed-forward of {fields['ffn']:.0f} assumed",)


def _experts(table: Any) -> Experts:
    if not isinstance(table, Mapping):
        raise UsageError(
            f"experts is {table!r}, but it is a table", remedy="write [model.experts]"
        )
    _known_words(table, WORDS["experts"], "[model.experts]")
    for word in ("routed", "active", "ffn"):
        _need(table, word, "model.experts")
    fields: dict[str, Any] = {
        word: _whole(table, word) for word in ("routed", "active", "every") if word in table
    }
    fields |= {w: parse_count(table[w], what=w) for w in ("ffn", "capacity_ratio") if w in table}
    if table.get("shared_ffn"):
        fields["shared_ffn"] = parse_count(table["shared_ffn"], what="shared_ffn")
    if table.get("first_dense"):
        fields["first_dense"] = _whole(table, "first_dense")
    return Experts(**fields)


def _recurrent(
    name: str, model: Mapping[str, Any], data: Mapping[str, Any], training: Training
) -> Workload:
    _fitting(model, _RECURRENT, "a recurrent network")
    _fitting(data, ("sequences", "steps"), "a recurrent network", of="data")
    sequences, steps = (_need(data, word, "data") for word in ("sequences", "steps"))
    epochs = parse_count(training.epochs, what="epochs")
    counted = recurrent(
        _text(model, "cell").lower(),  # type: ignore[arg-type]  # checked by what it calls
        sequences=sequences * epochs,
        steps=steps,
        inputs=_need(model, "inputs", "model"),
        hidden=_need(model, "hidden", "model"),
        layers=_whole(model, "layers") if "layers" in model else 1,
        directions=_whole(model, "directions") if "directions" in model else 1,
        outputs=_need(model, "outputs", "model") if "outputs" in model else 0.0,
        vocab=_need(model, "vocab", "model") if "vocab" in model else 0.0,
        batch_sequences=_batch(training),
        precision=training.precision or "fp32",
        optimiser=training.optimiser or "adam",
    )
    notes = (
        f"{_text(model, 'cell')} of {spelt(counted.params)} parameters",
        f"{understood(data['sequences'], sequences, 'sequences')} of {spelt(steps)} steps",
    )
    work = {"samples": sequences * epochs}
    return _other(name or _text(model, "cell"), "recurrent", counted, work, notes, training)


def _perceptron(
    name: str, model: Mapping[str, Any], data: Mapping[str, Any], training: Training
) -> Workload:
    _fitting(model, ("widths",), "a perceptron")
    _fitting(data, ("samples",), "a perceptron", of="data")
    if not isinstance(model["widths"], list | tuple):
        raise UsageError(
            f"widths is {model['widths']!r}, but it is a list",
            remedy="write widths = [784, 300, 10]",
        )
    widths = [parse_count(width, what="width") for width in model["widths"]]
    samples = _need(data, "samples", "data")
    epochs = parse_count(training.epochs, what="epochs")
    counted = perceptron(
        widths,
        samples=samples * epochs,
        batch_samples=_batch(training),
        precision=training.precision or "fp32",
        optimiser=training.optimiser or "adam",
    )
    said = " → ".join(spelt(width) for width in widths)
    notes = (
        f"perceptron {said}: {spelt(counted.params)} parameters",
        understood(data["samples"], samples, "samples"),
    )
    work = {"samples": samples * epochs}
    return _other(name or "perceptron", "other", counted, work, notes, training)


def _batch(training: Training) -> float | None:
    return None if training.batch is None else parse_count(training.batch, what="batch")


def _other(
    name: str, kind: str, counted: Counted, work: dict[str, float], notes: tuple[str, ...],
    training: Training,
) -> Workload:  # fmt: skip
    epochs = parse_count(training.epochs, what="epochs")
    said = list(notes)
    if epochs != 1:
        said.append(f"{epochs:g} epochs")
    said += [
        f"{w} assumed"
        for w, v in (("fp32", training.precision), ("adam", training.optimiser))
        if v is None
    ]
    return built(
        name, kind, counted, work=work, precision=precision_of(training.precision or "fp32"),
        notes=tuple(said),
    )  # fmt: skip
