# SPDX-License-Identifier: Apache-2.0
"""Which known claim a sentence is, and which number it says."""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from submeter.comparing.claims.records import PublicClaim

NUMBER_WORD: Final = "{number}"
NEAR: Final = 3
LEAST: Final = 0.6  # part of a claim's words that a text must hold to be meant by them alone
_COUNTS: Final = {
    w: float(n)
    for n, w in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905
    )
}
_WORDS: Final = _COUNTS | {"half": 0.5, "twenty": 20.0, "fifty": 50.0, "hundred": 100.0}
_LARGE: Final = {"thousand": 1e3, "million": 1e6, "billion": 1e9}
_NUMBER: Final = (
    r"(?P<number>\d[\d ,  ]*(?:\.\d+)?|" + "|".join(_WORDS) + r")"
    r"(?: (?P<large>thousand|million|billion))?"
)
_IDLE: Final = frozenset(
    "a an the of to in on is are was were as and or for by at it its this that with one than be "
    "can has have from into per our my their much many".split()  # noqa: SIM905
)


class Recognised(NamedTuple):
    """A known claim that a text means, and the number that it says instead."""

    claim: PublicClaim
    value: float | None


def recognised(text: str, known: Iterable[PublicClaim]) -> Recognised | None:
    """Find which of *known* the *text* means: by the words it matches, else by most words.

    None if none, or if several by words alone.
    """
    said = flat(text)
    rows = list(known)
    for claim in rows:
        for pattern in sorted(claim.matches, key=len, reverse=True):
            found = _matched(pattern, said)
            if found is not None:
                return Recognised(claim, number_in(found))
    scored = sorted(((_alike(said, c), i) for i, c in enumerate(rows)), reverse=True)[:2]
    if scored and scored[0][0] >= LEAST and (len(scored) == 1 or scored[1][0] < scored[0][0]):
        return Recognised(rows[scored[0][1]], None)
    return None


def nearest(text: str, known: Iterable[PublicClaim]) -> list[PublicClaim]:
    """Known claims that share most words with *text*, the nearest first."""
    said = flat(text)
    scored = [(_alike(said, c), -i, c) for i, c in enumerate(known)]
    return [c for score, _, c in sorted(scored, key=lambda r: r[:2], reverse=True)[:NEAR] if score]


def flat(text: str) -> str:
    """*text* in small letters, without punctuation, one space between words."""
    small = text.casefold().replace("₂", "2").replace("’", "'").replace("per cent", "%")
    return " ".join(re.sub(r"[^\w%.,' ]|(?<!\d)[.,]|[.,](?!\d)", " ", small).split())


def number_in(found: re.Match[str]) -> float | None:
    """The number that a match says; None if its pattern has none."""
    if "number" not in found.re.groupindex or found["number"] is None:
        return None
    word = found["number"]
    count = _WORDS.get(word)
    value = float(re.sub(r"[^\d.]", "", word)) if count is None else count
    return value * _LARGE.get(found["large"] or "", 1.0)


def _matched(pattern: str, said: str) -> re.Match[str] | None:
    """Search the words of *pattern* in order, with others between them."""
    pieces = [
        _NUMBER if piece == NUMBER_WORD else rf"{re.escape(piece)}\w*" if piece[-1].isalpha()
        else re.escape(piece)
        for piece in pattern.casefold().split()
    ]  # fmt: skip
    joined = ""
    for i, piece in enumerate(pieces):
        after_number = i > 0 and pattern.split()[i - 1] == NUMBER_WORD
        gap = r" ?" if after_number else r"(?:.*?\b|\b)"
        joined += (gap if i else r"(?:^|.*?[ ])") + piece
    return re.match(joined, said)


def _alike(said: str, claim: PublicClaim) -> float:
    """Part of the telling words of *claim* that *said* holds."""
    own = {_stem(w) for w in flat(claim.claim).split()} - _IDLE
    told = {_stem(w) for w in said.split()}
    return len(own & told) / len(own) if own else 0.0


def _stem(word: str) -> str:
    return word[:-1] if word.endswith("s") and len(word) > 3 else word  # noqa: PLR2004
