# SPDX-License-Identifier: Apache-2.0
"""Laws of what a run amounts to: hypothesis properties, found in the tests by their names."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("records", "accounting", "circumstances", "grid")

LAWS = {
    "linear in energy": re.compile(r"linear|scales_everything|scaled_(?:sum|amount)"),
    "monotone in each factor": re.compile(
        r"monotone|pushes_one_way|test_more_|test_a_higher_|grows_with|never_narrows"
    ),
    "location-based unchanged by certificates": re.compile(r"never_(?:change_)?the_location"),
    "parts sum to the whole": re.compile(
        r"sum_to_(?:the_whole|one|all)|sum_exactly|make_up_the_facility|each_gram_is_in_one_scope"
        r"|is_consumed_and_discharged|two_halves"
    ),
}


def properties(tests: Path = ROOT / "tests") -> Iterator[tuple[Path, str]]:
    """Test functions of these rooms that hypothesis draws examples for."""
    for room in ROOMS:
        for path in sorted((tests / room).glob("test_*.py")):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.FunctionDef) and any(map(_given, node.decorator_list)):
                    yield path, node.name


def _given(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith("given")


def tests_of(law: str) -> list[str]:
    """Ids under which pytest knows the tests of a *law*."""
    return [
        f"{path.relative_to(ROOT).as_posix()}::{name}"
        for path, name in properties()
        if LAWS[law].search(name)
    ]
