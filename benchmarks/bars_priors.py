# SPDX-License-Identifier: Apache-2.0
"""Bars of the priors: what a training uses, predicted for laboratories that no fit has seen."""

from functools import cache

from benchmarks import fit_training, training_data, training_text
from benchmarks.outcomes import Bar, Options, Outcome
from submeter.estimating.validating import Summary


@cache
def _summaries() -> dict[str, Summary]:
    """Of device energy by what was given, each laboratory held out."""
    rows = training_data.table(training_data.ROWS)
    report = training_text.score(rows, fit_training.load(), "lab")
    return {one.given: one for one in report.overall if one.quantity == "device energy"}


def _error(given: str) -> Outcome:
    one = _summaries()[given]
    figure = f"{100 * one.median_error_ratio:.0f} % over {one.count} rows of {one.clusters} labs"
    return Outcome(figure, one.median_error_ratio <= training_text.MOST_ERROR[given])


def description(options: Options) -> Outcome:
    del options
    return _error("description")


def hours(options: Options) -> Outcome:
    del options
    return _error("device-hours")


def coverage(options: Options) -> Outcome:
    del options
    told = [
        f"{given} {100 * one.coverage_ratio:.0f} % ({100 * one.coverage_low:.0f} to "
        f"{100 * one.coverage_high:.0f} %, p = {one.p_value:.2f})"
        for given, one in _summaries().items()
    ]
    return Outcome("; ".join(told), all(one.passes for one in _summaries().values()))


def widths(options: Options) -> Outcome:
    del options
    told = [f"{given} {one.median_width_ratio:.1f}" for given, one in _summaries().items()]
    widest = max(one.median_width_ratio for one in _summaries().values())
    return Outcome("; ".join(told), widest <= training_text.MOST_WIDTH)


BARS = (
    Bar("device energy from a description, laboratory held out: ≤ 30 % (median)", description),
    Bar("device energy from device-hours, laboratory held out: ≤ 12 % (median)", hours),
    Bar("nominal 90 % intervals of device energy pass a binomial 95 % test", coverage),
    Bar("they are at most a factor of 4 wide in the median", widths),
)
