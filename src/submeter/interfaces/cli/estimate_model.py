# SPDX-License-Identifier: Apache-2.0
"""Options of ``submeter estimate module:function``: a model that is counted, not described."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from submeter.errors import UsageError

if TYPE_CHECKING:
    from submeter.workloads.models import ModelSource

_OPTIONS: Final = (
    click.option("--steps", metavar="COUNT", help="Steps of the whole training, of a model."),
    click.option("--samples", metavar="COUNT", help="Samples of one epoch, of a model."),
    click.option("--set", "arguments", multiple=True, metavar="NAME=VALUE",
                 help="An argument of the function that makes the model: layers=80."),
    click.option("--input", "inputs", multiple=True, metavar="SHAPE",
                 help="Example batch of a model: 8x3x224x224, or 4x2048:tokens."),
    click.option("--optimiser", metavar="NAME", help="adamw, adam, sgd, …; adamw if not said."),
    click.option("--by", type=click.Choice(("module", "operator", "phase", "kind")),
                 help="Table of where the operations of a model are."),
    click.option("--count-on", "device", metavar="DEVICE",
                 help="Run it to count it: cpu or cuda; nothing is computed if not said."),
)  # fmt: skip
_ONLY: Final = {
    "steps": "--steps", "samples": "--samples", "arguments": "--set", "inputs": "--input",
    "by": "--by", "device": "--count-on",
}  # fmt: skip


def model_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a model that is counted."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def names_a_model(description: str | None) -> bool:
    """Whether *description* is ``module:function`` or ``file.py:function``, not a file."""
    if not description or description.lower().endswith(".toml"):
        return False
    module, colon, function = description.rpartition(":")
    return bool(colon and module and function) and "/" not in function and "\\" not in function


def take_model(given: dict[str, Any]) -> "ModelSource | None":
    """Model that the options name, those that only it has taken out of *given*.

    Raises
    ------
    UsageError
        If it is not found, or options speak of a model and none is named.
    """
    description = given.get("description")
    said = {name: given.pop(name, None) for name in ("arguments", "inputs", "by", "device")}
    if description and description.endswith(".py"):
        raise UsageError(
            f"{description} names no function",
            remedy=f"submeter estimate {description}:build_model",
        )
    if not names_a_model(description):
        said |= {name: given.get(name) for name in ("steps", "samples")}
        for name, option in _ONLY.items():
            if said[name]:
                raise UsageError(
                    f"{option} is about a model that is counted, and none is named",
                    remedy=f"submeter estimate mymodel:build_model {option} …",
                )
        return None
    from submeter.workloads.building import load_builder
    from submeter.workloads.counting import import_torch
    from submeter.workloads.models import ModelSource, printing_elsewhere

    given.pop("description")
    import_torch()
    with printing_elsewhere():
        make = load_builder(str(description))
    return ModelSource(
        make,
        name=str(description).rpartition("/")[2],
        inputs=said["inputs"] or (),
        arguments=arguments_of(said["arguments"] or ()),
        device=said["device"] or "meta",
    )


def arguments_of(words: tuple[str, ...]) -> dict[str, Any]:
    """Arguments of *words* such as ``layers=80``."""
    from submeter.workloads.models import value_of

    found: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name.isidentifier():
            raise UsageError(f"“{word[:40]}” sets nothing", remedy="--set layers=80")
        if name in found:
            raise UsageError(f"{name} is set twice", remedy=f"--set {name}={value}")
        found[name] = value_of(value.strip())
    return found
