# SPDX-License-Identifier: Apache-2.0
"""What modules are called, whatever they are wrapped in, and how to make one like them."""

import weakref
from typing import Any, Final

from submeter.records.layers import LayerSpec

__all__ = ["Names", "plain_name", "spec_of"]

# Parts of a path that wrappers put in, none of which the program's author wrote.
WRAPPERS: Final = {
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "OptimizedModule": "_orig_mod",
    "FullyShardedDataParallel": "_fsdp_wrapped_module",
    "CheckpointWrapper": "_checkpoint_wrapped_module",
}
_ALWAYS: Final = frozenset(WRAPPERS.values()) - {"module"}
_ARGUMENTS: Final = {
    "Linear": ("in_features", "out_features"),
    "Embedding": ("num_embeddings", "embedding_dim"),
    "LayerNorm": ("normalized_shape",),
    "RMSNorm": ("normalized_shape",),
    "BatchNorm1d": ("num_features",),
    "BatchNorm2d": ("num_features",),
    "GroupNorm": ("num_groups", "num_channels"),
    "Conv1d": ("in_channels", "out_channels", "kernel_size", "stride", "padding", "groups"),
    "Conv2d": ("in_channels", "out_channels", "kernel_size", "stride", "padding", "groups"),
    "MaxPool2d": ("kernel_size", "stride", "padding"),
    "AvgPool2d": ("kernel_size", "stride", "padding"),
    "Dropout": ("p",),
    "ReLU": (),
    "GELU": (),
    "SiLU": (),
    "Tanh": (),
    "Sigmoid": (),
    "LSTM": ("input_size", "hidden_size", "num_layers", "batch_first"),
    "GRU": ("input_size", "hidden_size", "num_layers", "batch_first"),
}
_BIASED: Final = frozenset({"Linear", "Conv1d", "Conv2d"})


class Names:
    """Names of the modules below each outermost one; none is kept alive by it."""

    def __init__(self, model: Any = None) -> None:
        self._of: dict[int, tuple[str, str]] = {}
        self._alive: dict[int, weakref.ref[Any]] = {}
        self._prefixes: dict[str, int] = {}
        self._first: weakref.ref[Any] | None = None
        self.model = ""  # class of the first model with weights
        if model is not None:
            self.learn(model)

    @property
    def first(self) -> Any:
        """The model whose modules have plain names; None before it is known, or gone."""
        return None if self._first is None else self._first()

    def of(self, module: Any, around: str = "") -> tuple[str, str]:
        """Path and class of *module*, which was called inside *around*."""
        key = id(module)
        found = self._of.get(key)
        if found is not None:
            alive = self._alive.get(key)
            if alive is not None and alive() is module:
                return found
        kind = type(module).__name__
        return (f"{around}.{kind}" if around else kind), kind

    def knows(self, module: Any) -> bool:
        """Whether *module* was named, and is not another one at the same place in memory."""
        alive = self._alive.get(id(module))
        return alive is not None and alive() is module

    def learn(self, root: Any) -> None:
        """Name all modules below *root*; those of the first model with weights plainly."""
        if self.knows(root):
            return
        prefix = self._prefix(root)
        for name, module in root.named_modules():
            path = plain_name(root, name)
            whole = ".".join(filter(None, (prefix, path)))
            key = id(module)
            if not self.knows(module):
                self._of[key] = (whole, type(module).__name__)
                self._alive[key] = weakref.ref(module)

    def _prefix(self, root: Any) -> str:
        """``""`` for the first model with weights, and for copies and wrappers of it."""
        first = self.first
        kind = type(inner(root)).__name__
        if getattr(root, "_is_replica", False):  # of DataParallel: made anew at each call
            return ""
        if first is None and self._first is None and has_weights(root):
            self._first = weakref.ref(root)
            self.model = kind
            return ""
        if first is not None and (inner(first) is inner(root)):
            return ""
        count = self._prefixes[kind] = self._prefixes.get(kind, 0) + 1
        return kind if count == 1 else f"{kind}#{count}"


def has_weights(module: Any) -> bool:
    """Whether *module* holds any parameter."""
    return next(iter(module.parameters()), None) is not None


def inner(module: Any) -> Any:
    """Give what is inside all wrappers."""
    for _ in range(8):
        attribute = WRAPPERS.get(type(module).__name__)
        held = None if attribute is None else getattr(module, attribute, None)
        if held is None:
            return module
        module = held
    return module


def plain_name(root: Any, name: str) -> str:
    """*name* below *root* without what wrappers put in."""
    parts = name.split(".") if name else []
    if parts and WRAPPERS.get(type(root).__name__) == parts[0]:
        parts = parts[1:]
    return ".".join(part for part in parts if part not in _ALWAYS)


def spec_of(name: str, module: Any, args: Any) -> LayerSpec | None:
    """How to make a layer like *module*, if it is one of torch's own; None otherwise."""
    kind = type(module).__name__
    wanted = _ARGUMENTS.get(kind)
    if wanted is None or not type(module).__module__.startswith("torch.nn"):
        return None
    first = args[0] if args else None
    shape, dtype = getattr(first, "shape", None), getattr(first, "dtype", None)
    if shape is None or dtype is None:
        return None
    arguments: dict[str, int | float | bool | str | list[int]] = {}
    for word in wanted:
        value = getattr(module, word)
        if isinstance(value, (tuple, list)):
            arguments[word] = [int(part) for part in value]
        elif value is not None:
            arguments[word] = value
    if kind in _BIASED:
        arguments["bias"] = module.bias is not None
    return LayerSpec(
        module=name,
        kind=kind,
        arguments=arguments,
        shape=tuple(int(n) for n in shape),
        dtype=str(dtype).removeprefix("torch."),
    )
