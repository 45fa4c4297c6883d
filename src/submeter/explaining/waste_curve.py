# SPDX-License-Identifier: Apache-2.0
"""Energy after the best epoch: training on when nothing gets better any more."""

import math
import re
import statistics
from collections.abc import Sequence
from typing import Final

from submeter.explaining.use import quality_of
from submeter.explaining.waste_book import Claim, Silence
from submeter.explaining.waste_case import Case, percent, rule
from submeter.records.runs import MetricPoint

_HELD_OUT: Final = re.compile(r"val|test|eval|dev", re.IGNORECASE)
_LEAST_POINTS: Final = 8
_MOST_POINTS: Final = 60  # a curve with more is a course of steps: means of neighbours count
_RISING: Final = 2.0  # standard errors of the slope behind the best


def after_best(case: Case) -> Claim | Silence:
    """Everything behind the best evaluation and the patience to see that it was the best."""
    key = "after-best"
    metric, higher = quality_of(case.run)
    points = [p for p in case.run.metric_history if metric and metric in p.values]
    if len(points) < _LEAST_POINTS:
        return Silence(key, "too few values of a quality were logged to see a best one")
    if len(points) > _MOST_POINTS and not _HELD_OUT.search(metric):
        return Silence(key, f"{metric} is of the data that were trained on, step by step")
    points = _thinned(points, metric)
    values = [p.values[metric] if higher else -p.values[metric] for p in points]
    best = max(range(len(values)), key=lambda i: values[i])
    patience = round(rule("patience").value)
    stop = best + patience
    behind = len(points) - 1 - stop
    if behind < rule("after-best-ratio").value * len(points):
        return Silence(key, f"the best {metric} came at {percent((best + 1) / len(points))} of it")
    if _rising(values[best + 1 :]):
        return Silence(key, f"{metric} was getting better again at the end")
    start_s = points[stop].elapsed_s
    sooner_s = points[min(best + round(rule("patience").low), stop)].elapsed_s
    later_s = points[min(best + round(rule("patience").high), len(points) - 1)].elapsed_s
    whole_s = max(case.run.duration_s - start_s, 1e-9)
    shown = points[best].values[metric]
    return Claim(
        key=key, name="after the best epoch",
        cells=case.part(case.within(start_s, case.run.duration_s)),
        why=f"{metric} was best ({shown:.4g}) after {points[best].elapsed_s:.0f} s; the "
        f"{behind} evaluations behind {patience} of patience brought nothing better",
        detail={"best": shown, "best_s": points[best].elapsed_s, "start_s": start_s,
                "evaluations_behind": float(behind)},
        low_ratio=(case.run.duration_s - later_s) / whole_s,
        high_ratio=(case.run.duration_s - sooner_s) / whole_s,
    )  # fmt: skip


def _thinned(points: Sequence[MetricPoint], metric: str) -> list[MetricPoint]:
    """Means of neighbours where there are many points, each at the end of its group."""
    stride = -(-len(points) // _MOST_POINTS)
    if stride == 1:
        return list(points)
    groups = [points[i : i + stride] for i in range(0, len(points), stride)]
    return [
        MetricPoint(g[-1].elapsed_s, {metric: statistics.fmean(p.values[metric] for p in g)})
        for g in groups
    ]


def _rising(values: Sequence[float]) -> bool:
    """Whether the straight line through *values* rises beyond its standard error."""
    n = len(values)
    if n < 4:  # noqa: PLR2004  # too few for a slope with an error
        return False
    xs = list(range(n))
    slope, start = statistics.linear_regression(xs, values)
    left = math.fsum((v - start - slope * x) ** 2 for x, v in zip(xs, values, strict=True))
    mean = (n - 1) / 2
    error = math.sqrt(left / (n - 2) / math.fsum((x - mean) ** 2 for x in xs))
    return slope > _RISING * error and slope > 0
