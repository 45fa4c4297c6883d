# SPDX-License-Identifier: Apache-2.0
"""Which known claim a sentence is, and which number it says."""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from submeter.comparing.claims.records import PublicClaim, Relation
from submeter.comparing.claims.saying import of_kind, said_number, spelled

NUMBER_WORD: Final = "{number}"
NEAR: Final = 3
LEAST: Final = 0.6  # part of a claim's words that a text must hold to be meant by them alone
_UP_TO_TWELVE: Final = "zero one two three four five six seven eight nine ten eleven twelve"
_COUNTS: Final = {word: float(n) for n, word in enumerate(_UP_TO_TWELVE.split())}
_WORDS: Final = _COUNTS | {"half": 0.5, "twenty": 20.0, "fifty": 50.0, "hundred": 100.0}
_LARGE: Final = {"thousand": 1e3, "million": 1e6, "billion": 1e9}
_NUMBER: Final = (
    r"(?P<number>\d(?:[\d ,  ]*\d)?(?:\.\d+)?|" + "|".join(_WORDS) + r")"
    r"(?: (?P<large>thousand|million|billion))?"
)
_SMALL: Final = (
    "a an the of to in on is are was were as and or for by at it its this that with one than be "
    "can has have from into per our my their much many"
)
_IDLE: Final = frozenset(_SMALL.split())


class Recognised(NamedTuple):
    """A known claim that a text means, and the number that it says instead.

    The value is in the unit of the claim. ``unread`` tells that the text has numbers of which none
    was understood as the claimed one. ``relation`` is what the text says of it, such as "at
    least"; None if it says nothing, and the claim's own counts.
    """

    claim: PublicClaim
    value: float | None
    unread: bool = False
    relation: Relation | None = None


def recognised(text: str, known: Iterable[PublicClaim]) -> Recognised | None:
    """Find which of *known* the *text* means: by the words it matches, else by most words.

    Of several that match, the one with most words is meant. None if none matches, or if several
    have as many words in common.
    """
    said = flat(spelled(text))
    rows = list(known)
    best: tuple[int, Recognised] | None = None
    for claim in rows:
        for pattern in claim.matches:
            found = _matched(pattern, said)
            size = len(pattern.split())
            if found is not None and (best is None or size > best[0]):
                best = size, _read(claim, found, said)
    if best is not None:
        return best[1]
    scored = sorted(((_alike(said, c), i) for i, c in enumerate(rows)), reverse=True)[:2]
    if scored and scored[0][0] >= LEAST and (len(scored) == 1 or scored[1][0] < scored[0][0]):
        return _read(rows[scored[0][1]], None, said)
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


def _read(claim: PublicClaim, found: re.Match[str] | None, said: str) -> Recognised:
    """Read the number of a pattern, else the only one of a text in a unit of the claimed kind."""
    value = None if found is None else number_in(found)
    if found is None or value is None:
        found = _only_number(claim, said)
        value = None if found is None else number_in(found)
    if found is None or value is None:
        told = set(re.findall(r"\d+(?:\.\d+)?", said))
        alike = [n for n in _numbers(said) if of_kind(said, n.end(), claim.unit)]
        return Recognised(claim, None, len(alike) > 1 or not told <= _digits(claim))
    end = found.end("large") if found["large"] else found.end("number")
    meant = said_number(said, found.start("number"), end, value, claim.unit)
    return Recognised(claim, meant.value, meant.value is None, meant.relation)


def _numbers(said: str) -> list[re.Match[str]]:
    return list(re.finditer(rf"\b{_NUMBER}", said))


def _only_number(claim: PublicClaim, said: str) -> re.Match[str] | None:
    """The only number of *said* that is a percentage as the claimed, or in its kind of unit."""
    if claim.unit == "%":
        rows = [n for n in _numbers(said) if said[n.end() :].lstrip().startswith("%")]
    else:
        rows = [n for n in _numbers(said) if of_kind(said, n.end(), claim.unit)]
    return rows[0] if len(rows) == 1 else None


def _digits(claim: PublicClaim) -> set[str]:
    """Numbers that stand in the words of a claim itself, such as the 3 of GPT-3."""
    return set(re.findall(r"\d+(?:\.\d+)?", flat(f"{claim.claim} {' '.join(claim.matches)}")))


def _matched(pattern: str, said: str) -> re.Match[str] | None:
    """Search the words of *pattern* in order, with others between them.

    What stands behind a number stands right behind it.
    """
    words = [w for piece in pattern.split() for w in _flat_piece(piece)]
    joined = ""
    for i, word in enumerate(words):
        between = r" ?" if i and words[i - 1] == NUMBER_WORD else r"(?:| .*? ?)\b"
        plain = re.escape(word) + (r"\w*" if word[-1].isalpha() else "")
        joined += (between if i else r"(?:|.* )") + (_NUMBER if word == NUMBER_WORD else plain)
    return re.match(joined, said)


def _flat_piece(piece: str) -> list[str]:
    return [piece] if piece == NUMBER_WORD else flat(piece).split()


def _alike(said: str, claim: PublicClaim) -> float:
    """Part of the telling words of *claim* that *said* holds."""
    own = {_stem(w) for w in flat(claim.claim).split()} - _IDLE
    told = {_stem(w) for w in said.split()}
    return len(own & told) / len(own) if own else 0.0


def _stem(word: str) -> str:
    return word[:-1] if word.endswith("s") and len(word) > 3 else word  # noqa: PLR2004
