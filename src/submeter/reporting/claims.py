# SPDX-License-Identifier: Apache-2.0
"""What became of a public claim, in words, as JSON, and as a page."""

import textwrap
from typing import Any, Final

from submeter.comparing.claims.formulas import short
from submeter.comparing.claims.judging import Answer, Known, Sum, Verdict
from submeter.comparing.claims.measures import measure
from submeter.reporting.text import fill, plain

SCHEMA: Final = 1
_SIGNS: Final = {"yes": "✓", "within doubt": "≈", "no": "✗"}
_INDENT: Final = "  "
_SYMBOLS: Final = frozenset({"J", "L", "g", "s", "m"})
_NEAR, _WHOLE = 99.0, 100.0  # [%]


def verdict_words(answer: Answer) -> str:
    """The verdict with its conditions, as one sentence."""
    beyond = any(s.beyond for s in answer.sums)
    more = ", by best estimates whose intervals reach beyond it" if beyond else ""
    if answer.verdict != "holds only if":
        return f"{answer.verdict}{more}."
    if answer.conditions:
        return "holds only if " + "; or ".join(answer.conditions) + f"{more}."
    doubted = "; or ".join(answer.in_doubt)
    return f"holds only if {doubted}, and the figures lie at an end of their doubt."


def answer_words(answer: Answer, width: int = 80) -> str:
    """The claim, its verdict, each sum and each number with its source."""
    claim = answer.claim
    lines = _wrapped(f"“{plain(claim.claim)}”", width)
    said = f"{plain(claim.said_by)}" if claim.said_by else ""
    claimed = f"{claim.relation} {short(answer.value)} {_unit(claim.unit, answer.value)}".rstrip()
    lines += _wrapped(f"{plain(claim.quantity)}: said to be {claimed}", width, _INDENT)
    lines += _wrapped(said, width, _INDENT) if said else []
    verdict = plain(verdict_words(answer))
    lines += ["", *_wrapped(verdict[:1].upper() + verdict[1:], width), ""]
    for row in answer.sums:
        lines += _sum_lines(row, width)
    lines += ["", *_source_lines(answer, width)]
    if claim.note:
        lines += ["", *_wrapped(plain(claim.note), width)]
    return "\n".join(lines)


def answer_document(answer: Answer) -> dict[str, Any]:
    """The same in the words of the JSON."""
    claim = answer.claim
    return {
        "schema": SCHEMA,
        "claim": {
            "id": claim.id, "text": claim.claim, "said_by": claim.said_by, "year": claim.year,
            "quantity": claim.quantity, "relation": claim.relation, "value": answer.value,
            "unit": claim.unit, "within_ratio": claim.within,
        },
        "verdict": answer.verdict,
        "words": verdict_words(answer),
        "boundaries": [
            {
                "name": row.boundary.name, "meets": row.meets, "formula": row.boundary.formula,
                "arithmetic": row.arithmetic, "value": row.value, "low": row.low,
                "high": row.high, "unit": row.unit, "beyond": row.beyond,
                "numbers": list(row.uses),
            }
            for row in answer.sums
        ],
        "numbers": {name: _number_words(row) for name, row in answer.numbers.items()},
        "note": claim.note,
    }  # fmt: skip


def list_words(rows: list[tuple[str, str, Verdict]]) -> str:
    """Known claims as a table: id, verdict, text."""
    from submeter.reporting.text import table

    return "\n".join(table([(id_, verdict, text) for id_, text, verdict in rows]))


def answer_page(answer: Answer, record: str) -> str:
    """A page in Markdown: the verdict, the sums as a table, the sources, the record itself."""
    claim = answer.claim
    rows = [
        f"| {row.boundary.name} | {row.arithmetic} | {result_words(row)} | {row.meets} |"
        for row in answer.sums
    ]
    sources = [
        f"| `{name}` | {_value_words(row)} | "
        f"{row.what + ': ' if row.what else ''}{row.source} | {row.year or ''} | {row.verified} |"
        for name, row in answer.numbers.items()
    ]
    verdict = verdict_words(answer)
    value = f"{short(claim.value)} {_unit(claim.unit, claim.value)}".rstrip()
    about = claim.relation == "about"
    factor = f" (taken as such up to a factor of {claim.within:g})" if about else ""
    parts = [
        f"# “{claim.claim}”",
        f"Said by: {claim.said_by}." if claim.said_by else "",
        f"**{verdict[0].upper()}{verdict[1:]}**",
        f"Claimed: {claim.quantity}, {claim.relation} {value}{factor}.",
        "\n".join(("| it holds only if … | sum | result | meets the claim |",
                   "| --- | --- | ---: | --- |", *rows)),
        claim.note,
        "\n".join(("| number | value | what, and where from | year | |",
                   "| --- | ---: | --- | ---: | --- |", *sources)),
        "The record:",
        f"```toml\n{record.rstrip()}\n```",
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def result_words(row: Sum) -> str:
    """Result of a sum with its interval and unit: ``4.97 (4.5 – 5.5) car``."""
    value, low, high = (_rounded(x, row.unit) for x in (row.value, row.low, row.high))
    ends = f" ({low} – {high})" if row.low < row.high and low != high else ""
    return f"{value}{ends} {_unit(row.unit, row.value)}".rstrip()


# --- inside -------------------------------------------------------------------------------------


def _rounded(value: float, unit: str) -> str:
    """Three digits; two behind the point of a percentage near the whole."""
    near = unit == "%" and _NEAR < value <= _WHOLE
    return f"{value:.2f}" if near else short(float(f"{value:.3g}"))


def _unit(unit: str, value: float = 1.0) -> str:
    """A unit behind a number: nothing for a plain one, cars for five of them."""
    counted = unit.isalpha() and measure(unit).kind == ((unit, 1),) and unit not in _SYMBOLS
    return "" if unit == "1" else f"{unit}s" if counted and value != 1 else unit


def _ends(row: Known) -> str:
    return f" ({short(row.low)} – {short(row.high)})" if row.low < row.high else ""


def _sum_lines(row: Sum, width: int) -> list[str]:
    sign = _SIGNS[row.meets]
    head = _wrapped(f"{sign} {plain(row.boundary.name)}", width, _INDENT)
    reckoned = f"{row.arithmetic} = {result_words(row)}"
    more = _wrapped(plain(row.boundary.says), width, _INDENT * 2) if row.boundary.says else []
    return [*head, *_wrapped(plain(reckoned), width, _INDENT * 2), *more]


def _source_lines(answer: Answer, width: int) -> list[str]:
    lines = ["numbers"]
    for name, row in answer.numbers.items():
        what = f", {plain(row.what)}" if row.what else ""
        value = _value_words(row)
        year = f" {row.year}" if row.year and str(row.year) not in row.source else ""
        key = f" [{row.key}]" if row.key else ""
        words = f"{name} = {value}{what}: {plain(row.source)}{year}, {row.verified}{key}"
        lines += _wrapped(words, width, _INDENT)
    return lines


def _value_words(row: Known) -> str:
    return f"{short(row.value)}{_ends(row)} {_unit(row.unit, row.value)}".rstrip()


def _number_words(row: Known) -> dict[str, Any]:
    return {
        "value": row.value, "low": row.low, "high": row.high, "unit": row.unit, "what": row.what,
        "source": row.source, "year": row.year, "verified": row.verified, "key": row.key,
    }  # fmt: skip


def _wrapped(words: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(
        words, width, initial_indent=indent, subsequent_indent=indent + _INDENT * bool(indent),
        break_long_words=False, break_on_hyphens=False,
    ) or fill([words], width)  # fmt: skip
