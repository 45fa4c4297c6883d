# SPDX-License-Identifier: Apache-2.0
"""Whoever meets an error of ours is told what to do next."""

import ast
from pathlib import Path

import pytest

from submeter import errors

SOURCE = Path(errors.__file__).parent
OURS = {
    name
    for name, thing in vars(errors).items()
    if isinstance(thing, type) and issubclass(thing, errors.SubmeterError)
}
ROOMS = ("accounting", "circumstances", "grid", "providers")
FILES = [
    *(path for room in ROOMS for path in sorted((SOURCE / room).glob("*.py"))),
    SOURCE / "storing" / "certificates.py",
    SOURCE / "interfaces" / "cli" / "claim.py",
]


def without_remedy(text: str) -> list[int]:
    """Lines of *text* on which one of our errors is made without a remedy."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in OURS
        and not any(given.arg == "remedy" for given in node.keywords)
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_error_says_what_to_try(path: Path) -> None:
    assert without_remedy(path.read_text(encoding="utf-8")) == []


def test_an_error_without_a_remedy_is_seen() -> None:
    bad = "def f():\n    raise UsageError('x')\nraise CoverageError('y', remedy='z')\n"
    assert without_remedy(bad) == [2]
