# SPDX-License-Identifier: Apache-2.0
"""Scores of predictions in words, and as data for ``--json``."""

from collections import Counter
from typing import Any

import msgspec

from submeter.estimating.validating import Report, Scored, Summary


def validation_text(report: Report) -> str:
    """Say how far off the predictions are: in all, by hardware, row by row, and what is left out.

    Errors are predicted over published less one; intervals are meant to hold ``report.level``.
    """
    if not report.scored:
        lines = ["No row could be scored."]
    else:
        lines = [
            *_summaries("In all", report.overall),
            *_summaries("By hardware", report.by_hardware),
            *_rows(report.scored),
        ]
    return "\n".join([*lines, *_excluded(report)]).rstrip() + "\n"


def validation_data(report: Report) -> dict[str, Any]:
    """Report as plain data; each row with its error and whether its interval holds."""
    found: dict[str, Any] = msgspec.to_builtins(report)
    for row, scored in zip(found["scored"], report.scored, strict=True):
        row["error_ratio"] = scored.error_ratio
        row["covered"] = scored.covered
    return found


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.0f} %"


def _summaries(title: str, summaries: tuple[Summary, ...]) -> list[str]:
    lines = [title]
    for one in summaries:
        verdict = "passes" if one.passes else "fails"
        lines.append(
            f"  {one.group}, {one.quantity} from {one.given}: {one.count} rows, median error "
            f"{_percent(one.median_error_ratio)}; {_percent(one.coverage_ratio)} held "
            f"({_percent(one.coverage_low)} to {_percent(one.coverage_high)}; {verdict} the "
            f"binomial test, p = {one.p_value:.2g}); width {one.median_width_ratio:.1f}"
        )
    return [*lines, ""]


def _rows(scored: tuple[Scored, ...]) -> list[str]:
    lines = ["Row by row"]
    for one in scored:
        held = "held" if one.covered else "NOT held"
        lines.append(
            f"  {one.id}: {one.quantity} from {one.given}: {one.predicted:.3g} {one.unit} "
            f"({one.low:.3g} to {one.high:.3g}), published {one.published:.4g}, "
            f"error {100 * one.error_ratio:+.0f} %, {held}"
        )
    return [*lines, ""]


def _excluded(report: Report) -> list[str]:
    if not report.excluded:
        return []
    reasons = Counter((one.quantity, one.given, one.reason) for one in report.excluded)
    lines = ["Left out"]
    for (quantity, given, reason), count in sorted(reasons.items()):
        ids = ", ".join(
            one.id
            for one in report.excluded
            if (one.quantity, one.given, one.reason) == (quantity, given, reason)
        )
        lines.append(f"  {quantity} from {given}, {count}: {reason}: {ids}")
    return lines
