# SPDX-License-Identifier: Apache-2.0
"""Techniques in words: what each does, what others found, its price, whether it helps here."""

from collections.abc import Sequence
from typing import Final

from submeter.reporting.text import cut, fill
from submeter.reporting.words import JSON_SCHEMA

_NAME: Final = 24
_SAVES: Final = 20
_LABEL: Final = 12


def percent_range(low_ratio: float, high_ratio: float) -> str:
    """Range of a saving: ``−33 to 23 %``; negative is more."""
    low, high = (f"{100 * r:.3g}".replace("-", "−") for r in (low_ratio, high_ratio))
    return f"{high} %" if low == high else f"{low} to {high} %"


def expected_words(document: dict[str, object]) -> str:
    """What others found, short: the range and what it is of."""
    found = document["expected"]
    if not isinstance(found, dict) or "missing" in found:
        return "not published"
    low, high = float(found["low_ratio"]), float(found["high_ratio"])
    return f"{percent_range(low, high)} {found['unit']}"


def techniques_document(rows: Sequence[dict[str, object]]) -> dict[str, object]:
    """All of them, in the words of the JSON."""
    return {"schema": JSON_SCHEMA, "techniques": list(rows)}


def techniques_words(rows: Sequence[dict[str, object]], width: int = 80) -> str:
    """A line for each technique, by group."""
    lines: list[str] = []
    group = ""
    for row in rows:
        if row["group"] != group:
            group = str(row["group"])
            lines += ["", group] if lines else [group]
        room = max(10, width - _NAME - _SAVES - 2)
        helps = cut(str(row["here"]), room)
        lines.append(f"  {row['name']!s:<{_NAME - 2}}{expected_words(row):<{_SAVES}}  {helps}")
    return "\n".join(lines)


def technique_words(row: dict[str, object], width: int = 80) -> str:
    """Everything about one technique."""
    parts = [("what", row["what"]), ("why", row["why"]), ("expected", _expected_long(row))]
    parts += [("price", row["price"]), ("no help", row["when_it_does_not_help"])]
    parts += [("here", row["here"]), ("use", row["use"])]
    lines = [f"{row['name']}  ({row['group']})"]
    for name, words in parts:
        first, *others = fill(str(words).split(), width - _LABEL)
        lines.append(f"  {name:<{_LABEL - 2}}{first}")
        lines += [" " * _LABEL + line for line in others]
    return "\n".join(lines)


def _expected_long(row: dict[str, object]) -> str:
    found = row["expected"]
    short = expected_words(row)
    if not isinstance(found, dict):
        return short
    if "missing" in found:
        return str(found["missing"])
    return f"{short}: {found['scope']} ({found['source']}; {found['verified']})"
