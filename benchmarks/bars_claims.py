# SPDX-License-Identifier: Apache-2.0
"""Bars of public claims; the cases are those of docs/claims."""

from collections import Counter

from benchmarks import claims
from benchmarks.outcomes import Bar, Options, Outcome

LEAST = 30


def executed(options: Options) -> Outcome:
    del options
    answers = claims.answers()
    verdicts = Counter(a.verdict for a in answers)
    sums = sum(len(a.sums) for a in answers)
    told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    current = all(
        (claims.FOLDER / name).is_file()
        and (claims.FOLDER / name).read_text(encoding="utf-8") == text
        for name, text in claims.pages().items()
    )
    pages = "as executed" if current else "NOT as executed"
    figure = f"{len(answers)} claims, {sums} sums: {told}; pages {pages}"
    return Outcome(figure, len(answers) >= LEAST and current)


def sourced(options: Options) -> Outcome:
    del options
    numbers = [n for a in claims.answers() for n in a.numbers.values()]
    bare = [n for n in numbers if not n.source or not n.year]
    by_trust = Counter(n.verified for n in numbers)
    told = ", ".join(f"{count} {trust}" for trust, count in by_trust.most_common())
    return Outcome(f"{len(numbers)} numbers: {told}; {len(bare)} without source or year", not bare)


BARS = (
    Bar("thirty public claims are executed, their pages as they come out", executed),
    Bar("each number of a claim has its source and year", sourced),
)
