# SPDX-License-Identifier: Apache-2.0
"""Whether a change kept the quality: a floor or a ceiling, and how much worse is allowed.

Not worse is something to be shown, too: the interval of the difference has to stay within the
margin (a test of non-inferiority), a difference that was merely not found is not enough.
"""

import math
import re
import statistics
from collections.abc import Sequence
from typing import Final

import msgspec

from submeter.errors import UsageError
from submeter.records.figures import Figure, Missing
from submeter.records.proofs import Quality, QualityVerdict
from submeter.reducing import evidence

ONE_SIDED: Final = 0.90  # level of a two-sided interval whose one end errs once in twenty
_NUMBER: Final = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_ASKED: Final = re.compile(
    rf"\s*(?P<metric>[^\s<>=]+)\s*(?:(?P<sign>>=|<=|≥|≤|>|<)\s*(?P<bound>{_NUMBER}))?"
    rf"\s*(?:(?:±|\+/?-)\s*(?P<margin>{_NUMBER})\s*(?P<percent>%)?)?\s*"
)
_REMEDY: Final = 'write it as "accuracy >= 0.97 ± 0.005", "loss <= 1.3" or "accuracy ± 1%"'


class Condition(msgspec.Struct, frozen=True):
    """``metric >= bound ± margin``; for a ceiling, less is better."""

    metric: str
    higher_is_better: bool
    bound: float | None = None
    margin: float | None = None  # in the metric's unit, or of the baseline's value
    relative: bool = False

    def __str__(self) -> str:
        sign = ">=" if self.higher_is_better else "<="
        floor = "" if self.bound is None else f" {sign} {self.bound:g}"
        scale, unit = (100, " %") if self.relative else (1, "")
        margin = "" if self.margin is None else f" ± {self.margin * scale:g}{unit}"
        return f"{self.metric}{floor}{margin}"


def parse_condition(words: str) -> Condition:
    """Read ``accuracy >= 0.97 ± 0.005``.

    Raises
    ------
    UsageError
        If it cannot be read as one metric, one bound and one margin.
    """
    found = _ASKED.fullmatch(words)
    if found is None or (found["bound"] is None and found["margin"] is None):
        raise UsageError(f"“{words}” is no condition on a metric", remedy=_REMEDY)
    margin = None if found["margin"] is None else float(found["margin"])
    if margin is not None and margin < 0:
        raise UsageError(f"a margin of {margin:g} is none: it must be positive", remedy=_REMEDY)
    relative = found["percent"] is not None
    falling = {"loss", "error", "perplexity", "rmse", "mae", "mse", "wer", "bpb"}
    parts = set(re.split(r"[^a-z]+", found["metric"].lower()))
    higher = found["sign"] in {">=", "≥", ">"} if found["sign"] else not parts & falling
    return Condition(
        found["metric"],
        higher,
        None if found["bound"] is None else float(found["bound"]),
        None if margin is None else margin / (100 if relative else 1),
        relative,
    )


def judge(
    condition: Condition,
    baseline: Sequence[float | None],
    changed: Sequence[float | None],
    mode: evidence.Mode,
) -> Quality:
    """Whether *changed* kept *condition* beside *baseline*, both in the order of the pairs."""
    pairs = [
        (a, b)
        for a, b in zip(baseline, changed, strict=False)
        if a is not None and b is not None and math.isfinite(a) and math.isfinite(b)
    ]
    asked = str(condition)
    values = [b for b in changed if b is not None and math.isfinite(b)]
    if not pairs or len(values) < len(changed):
        why = f"{condition.metric} was logged in {len(values)} of {len(changed)} runs"
        return Quality(condition.metric, None, None, Missing(why), "not shown", asked, why=why)
    a_mean = statistics.fmean(a for a, _ in pairs)
    b_mean = statistics.fmean(values)
    margin = condition.margin
    if margin is not None and condition.relative:
        margin *= abs(a_mean)
    found = evidence.of_pairs([b - a for a, b in pairs], mode, level=ONE_SIDED)
    verdict, why = _verdict(condition, margin, b_mean, values, found)
    figure: Figure | Missing = Missing("one pair says nothing of how much they scatter")
    if math.isfinite(found.low) and math.isfinite(found.high):
        figure = Figure(
            found.mean, found.low, found.high, "1", level=ONE_SIDED, kind="calibrated",
            source=f"{found.pairs} pairs",
        )  # fmt: skip
    return Quality(condition.metric, a_mean, b_mean, figure, verdict, asked, margin, why)


def _verdict(
    condition: Condition,
    margin: float | None,
    b_mean: float,
    values: Sequence[float],
    found: evidence.Evidence,
) -> tuple[QualityVerdict, str]:
    sign = 1 if condition.higher_is_better else -1
    if condition.bound is not None and sign * (b_mean - condition.bound) < 0:
        reached = sum(sign * (v - condition.bound) >= 0 for v in values)
        word = "below" if sign > 0 else "above"
        return "not kept", (
            f"mean {b_mean:.4g} is {word} {condition.bound:g} ({reached} of {len(values)} runs "
            "reach it)"
        )
    if margin is None:
        return "kept", f"mean {b_mean:.4g} reaches {condition.bound:g}"
    worst = found.low if sign > 0 else -found.high
    best = found.high if sign > 0 else -found.low
    if worst > -margin:
        return "kept", f"not worse (margin {margin:.4g})"
    if best < -margin:
        return "not kept", f"worse by more than {margin:.4g}"
    return "not shown", f"the difference may be worse than the margin of {margin:.4g}"
