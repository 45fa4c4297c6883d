# SPDX-License-Identifier: Apache-2.0
"""What may be turned: ``batch=16,32,64``, ``lr=log:1e-4..1e-1``, ``width=int:8..64``."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from submeter.errors import UsageError

Value = str | int | float
Kind = Literal["choice", "float", "int"]

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_PLACE: Final = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_.-]*)\}")
_RANGE: Final = re.compile(
    r"(?P<kinds>(?:(?:log|int):)*)(?P<low>[-+0-9.eE]+?)\.\.(?P<high>[-+0-9.eE]+)"
)
TECHNIQUE: Final = "technique."  # begin of the name of a thing that is turned by a technique
_REMEDY: Final = "write it as batch=16,32,64, dropout=0..0.5, lr=log:1e-4..1e-1 or width=int:8..64"


class Dimension(msgspec.Struct, frozen=True):
    """One thing that may be turned: choices, or a range (by its logarithm if *log*)."""

    name: str
    kind: Kind
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    def holds(self, value: Value) -> bool:
        """Whether *value* may be taken."""
        if self.kind == "choice":
            return str(value) in self.choices
        return not isinstance(value, str) and self.low <= value <= self.high

    def read(self, word: str) -> Value:
        """Value that *word* means, such as one of a default.

        Raises
        ------
        UsageError
            If this dimension does not hold it.
        """
        value: Value = word
        if self.kind != "choice":
            try:
                value = int(word) if self.kind == "int" else float(word)
            except ValueError:
                value = word
        if not self.holds(value):
            raise UsageError(f"{self.name} cannot be {word}", remedy=f"one of --set {self}")
        return value

    def __str__(self) -> str:
        if self.kind == "choice":
            return f"{self.name}={','.join(self.choices)}"
        words = ("log:" if self.log else "") + ("int:" if self.kind == "int" else "")
        return f"{self.name}={words}{self.low:g}..{self.high:g}"


def parse_dimension(words: str) -> Dimension:
    """Read one ``--set``.

    Raises
    ------
    UsageError
        If it is neither choices nor a range, or nothing lies in it.
    """
    name, equals, rest = words.partition("=")
    name, rest = name.strip(), rest.strip()
    if not equals or not _NAME.fullmatch(name) or not rest:
        raise UsageError(f"“{words}” says nothing that may be turned", remedy=_REMEDY)
    found = _RANGE.fullmatch(rest)
    if found is not None:
        return _range(name, words, found)
    if ".." in rest or rest.startswith(("log:", "int:")):
        raise UsageError(f"“{words}” is no range", remedy=_REMEDY)
    choices = tuple(dict.fromkeys(c.strip() for c in rest.split(",")))
    if "" in choices:
        raise UsageError(f"“{words}” has an empty choice", remedy=_REMEDY)
    return Dimension(name, "choice", choices)


def _range(name: str, words: str, found: "re.Match[str]") -> Dimension:
    kinds = found["kinds"].split(":")
    whole = "int" in kinds
    try:
        low, high = float(found["low"]), float(found["high"])
    except ValueError as exc:
        raise UsageError(f"“{words}” is no range", remedy=_REMEDY) from exc
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"nothing lies in “{words}”", remedy="give the smaller end first")
    if "log" in kinds and low <= 0:
        raise UsageError(f"“{words}” has no logarithm", remedy="both ends have to be positive")
    if whole and not (low.is_integer() and high.is_integer()):
        raise UsageError(f"“{words}” has ends that are no whole numbers", remedy=_REMEDY)
    return Dimension(name, "int" if whole else "float", (), low, high, "log" in kinds)


def parse_space(sets: Sequence[str]) -> tuple[Dimension, ...]:
    """All that may be turned, each once."""
    space = tuple(parse_dimension(words) for words in sets)
    names = [d.name for d in space]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise UsageError(f"{twice} is set twice", remedy="name all its values in one --set")
    return space


def technique_set(words: str) -> str:
    """``--set`` that ``--technique`` *words* mean: ``freeze=off,share:0.5``; no values: off, on.

    *off* comes first: it is the default.

    Raises
    ------
    UsageError
        If a program cannot be given that technique from outside, or a choice makes no sense.
    """
    from submeter.reducing.techniques.chosen import OFF, ON, check, parse_value

    name, _, rest = words.partition("=")
    choices = [c.strip() for c in rest.split(",")] if rest.strip() else [OFF, ON]
    for choice in choices:
        parse_value(name, choice)
    choices.sort(key=lambda c: c != OFF)
    return f"{TECHNIQUE}{check(name)}={','.join(choices)}"


def command_of(command: Sequence[str], values: Mapping[str, Value]) -> tuple[str, ...]:
    """*command* as it is run: filled, and told by ``env`` which techniques to take."""
    from submeter.reducing.techniques.chosen import OFF, ON, VARIABLE

    words = filled(command, values)
    turned = {
        n.removeprefix(TECHNIQUE): str(v) for n, v in values.items() if n.startswith(TECHNIQUE)
    }
    if not turned:
        return words
    told = " ".join(n if v == ON else f"{n}={v}" for n, v in turned.items() if v != OFF)
    return ("env", f"{VARIABLE}={told}", *words)


def filled(command: Sequence[str], values: Mapping[str, Value]) -> tuple[str, ...]:
    """*command* with ``{name}`` replaced by its value; ``{{`` and ``}}`` are braces."""

    def place(found: "re.Match[str]") -> str:
        if found[0] in {"{{", "}}"}:
            return found[0][0]
        value = values.get(found[1])
        return found[0] if value is None else written(value)

    return tuple(_PLACE.sub(place, word) for word in command)


def written(value: Value) -> str:
    """*value* as it stands in a command: no more digits than tell it apart."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def check_command(command: Sequence[str], space: Sequence[Dimension]) -> None:
    """Refuse a command that does not say where each value goes.

    Raises
    ------
    UsageError
        If something that may be turned stands nowhere, or a place is named that nothing fills.
    """
    places = {m[1] for word in command for m in _PLACE.finditer(word) if m[1]}
    names = {d.name for d in space}
    unused = sorted(n for n in names - places if not n.startswith(TECHNIQUE))
    if unused:
        raise UsageError(
            f"{unused[0]} may be turned, but the command does not take it",
            remedy=f"put {{{unused[0]}}} where its value belongs: --{unused[0]} {{{unused[0]}}}",
        )
    unknown = sorted(places - names)
    if unknown:
        raise UsageError(
            f"nothing fills {{{unknown[0]}}} in the command",
            remedy=f"--set {unknown[0]}=…, or write {{{{{unknown[0]}}}}} for braces",
        )
