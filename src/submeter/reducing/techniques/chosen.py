# SPDX-License-Identifier: Apache-2.0
"""Techniques that are chosen from outside of a program: by a search, or by who starts it.

``SUBMETER_TECHNIQUES="mixed_precision freeze=share:0.25"`` names them in the order in which they
are applied, each with its options. A program takes them by one line:
``model, optimiser, loader = submeter.reduce.from_environment(model, optimiser, loader)``.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from submeter.errors import UsageError
from submeter.reducing.techniques.protocol import Applied
from submeter.reducing.techniques.registry import technique

VARIABLE: Final = "SUBMETER_TECHNIQUES"
ON, OFF = "on", "off"
TARGETS: Final = {
    "model": "model", "DDP model": "model", "optimiser": "optimiser", "loader": "loader",
}  # fmt: skip
_REMEDY: Final = "write it as mixed_precision=off,on or freeze=off,share:0.25,share:0.5"


class Choice(NamedTuple):
    """A technique and its options."""

    name: str
    options: dict[str, Any]

    @property
    def takes(self) -> str:
        """What it is applied to: model, optimiser or loader."""
        return TARGETS[getattr(technique(self.name), "takes", "model")]


def check(name: str) -> str:
    """Name of the technique called *name*, if a program can be given it by one line.

    Raises
    ------
    UsageError
        If there is none, or it wants more of a program than a model, an optimiser or a loader.
    """
    found = technique(name)
    takes = getattr(found, "takes", "model")
    if takes not in TARGETS or not getattr(found, "by_itself", True):
        raise UsageError(
            f"{found.name} cannot be chosen from outside: the program has to do its part",
            remedy=f"give the program an option of it for --set; submeter techniques {name}",
        )
    return found.name


def parse_value(name: str, word: str) -> Choice | None:
    """Read ``on``, ``off`` (None) or options, ``kind:int8+…``.

    Raises
    ------
    UsageError
        If it is none of these.
    """
    if word == OFF:
        return None
    options: dict[str, Any] = {}
    for part in [] if word in {ON, ""} else word.split("+"):
        key, colon, value = part.partition(":")
        if not (key.isidentifier() and colon and value):
            raise UsageError(f"“{word}” is no choice of {name}", remedy=_REMEDY)
        options[key] = _value(value)
    return Choice(check(name), options)


def _value(word: str) -> Any:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(word, word)


def parse(words: str) -> list[Choice]:
    """Read what `VARIABLE` says.

    Raises
    ------
    UsageError
        If a technique in it is not known.
    """
    pairs = (word.partition("=") for word in words.split())
    found = (parse_value(name, value) for name, _, value in pairs)
    return [choice for choice in found if choice is not None]


def apply_to(
    targets: dict[str, Any],
    choices: Sequence[Choice],
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Applied]:
    """Apply those of *choices* whose targets are given; *targets* are what to use from now on.

    Parameters
    ----------
    targets
        By ``model``, ``optimiser``, ``loader``; changed in place.
    options
        By technique, what only the program can give: ``{"prune_channels": {"example": x}}``.

    Raises
    ------
    UsageError
        If a technique cannot be applied, or took parameters away that the optimiser still has.
    """
    done = []
    for choice in choices:
        takes = choice.takes
        if targets.get(takes) is None:
            continue
        more = (options or {}).get(choice.name, {})
        applied = technique(choice.name).apply(targets[takes], **{**more, **choice.options})
        targets[takes] = applied.target
        done.append(applied)
        if takes == "model":
            _check_optimiser(choice.name, applied.target, targets.get("optimiser"))
    return done


def _check_optimiser(name: str, model: Any, optimiser: Any) -> None:
    """Refuse an optimiser that would go on with parameters which the model has no longer."""
    if optimiser is None or not hasattr(model, "parameters"):
        return
    now = {id(p) for p in model.parameters()}
    held = [p for group in optimiser.param_groups for p in group["params"]]
    if any(id(p) not in now for p in held):
        raise UsageError(
            f"{name} replaces parameters that the optimiser already holds",
            remedy="model = submeter.reduce.from_environment(model), before the optimiser is made",
        )
