# SPDX-License-Identifier: Apache-2.0
"""Names as people, kernels and drivers write them, in the form under which tables list them.

One function for each sort of name, and nowhere else: `fold` for places and any other words,
`normal_cpu` for processors, `normal_board` for boards and chips. Each gives its own results back
unchanged.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

# Letters that Unicode takes for letters of their own, not for accented ones.
_LETTERS: Final = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"}
)
_SEPARATORS: Final = re.compile(r"[\W_]+")
_APOSTROPHES: Final = re.compile(r"(?<=\w)['’ʼ`.](?=\w)")
_CPU_NOISE: Final = (
    (re.compile(r"\((r|tm|c)\)|®|™"), ""),
    (re.compile(r"@.*$|\bwith radeon.*$|\bw/ radeon.*$"), ""),
    (re.compile(r"\b\d+(st|nd|rd|th) gen\b"), ""),
    (re.compile(r"\b(\d+|two|quad|six|eight|twelve|sixteen)-core\b"), ""),
    (re.compile(r"\b(cpu|processor)\b"), ""),
    (re.compile(r"\s+"), " "),
)
_BOARD_NOISE: Final = (
    (re.compile(r"\((r|tm|c)\)|®|™"), ""),
    (re.compile(r"\(.*?\)"), ""),
    (re.compile(r"[-_/\s\[\]()]+"), " "),
    (re.compile(r"\b(nvidia|tesla|geforce|graphics device)\b"), ""),
    (re.compile(r"\b(advanced micro devices(,? inc\.?)?|amd|ati|radeon instinct|instinct)\b"), ""),
    (re.compile(r"\b(intel|google|aws|amazon|habana|apple)\b"), ""),
    (re.compile(r"(?<=\d) (?=[gm]i?b\b)"), ""),
    (re.compile(r"\s+"), " "),
)
_MOST: Final = 200  # characters; what is longer is no name


def fold(word: str) -> str:
    """*word* without case, accents and punctuation, its parts set apart by single spaces.

    Examples
    --------
    >>> fold("Côte d'Ivoire")
    'cote divoire'
    >>> fold("US-CAL-CISO")
    'us cal ciso'
    >>> fold("U.S.A.")
    'usa'
    """
    text, before = word[:_MOST], ""
    if text.isascii():
        return _SEPARATORS.sub(" ", _APOSTROPHES.sub("", text.lower())).strip()
    while text != before:  # folding one letter may bring forth another to fold
        before = text
        bare = _APOSTROPHES.sub("", text.casefold())
        apart = unicodedata.normalize("NFKD", bare.translate(_LETTERS))
        plain = "".join(c for c in apart if not unicodedata.combining(c))
        text = _SEPARATORS.sub(" ", plain).strip()[:_MOST]
    return text


def normal_cpu(name: str) -> str:
    """*name* of a processor without marks, frequency and filler words, in lower case.

    Examples
    --------
    >>> normal_cpu("Intel(R) Xeon(R) CPU E5-2620 v3 @ 2.40GHz")
    'intel xeon e5-2620 v3'
    >>> normal_cpu("AMD EPYC 7742 64-Core Processor")
    'amd epyc 7742'
    """
    return _stripped(name, _CPU_NOISE)


def normal_board(name: str) -> str:
    """*name* of a board or chip as drivers say it, without maker and brand, in lower case.

    Examples
    --------
    >>> normal_board("NVIDIA A100-SXM4-80GB")
    'a100 sxm4 80gb'
    >>> normal_board("Tesla V100-SXM2-16GB")
    'v100 sxm2 16gb'
    >>> normal_board("AMD Instinct MI300X")
    'mi300x'
    """
    return _stripped(name, _BOARD_NOISE)


def near(word: str, names: Iterable[str], *, most: int = 4) -> tuple[str, ...]:
    """Those of *names* that somebody who wrote *word* may have meant, the nearest first.

    Names that begin with the word or hold it come before those that only look alike.
    """
    from difflib import get_close_matches  # only who missed pays for it

    wanted = fold(word)
    folded: dict[str, str] = {}
    for name in names:
        folded.setdefault(fold(name), name)
    if not wanted:
        return ()
    holding = sorted((n for n in folded if wanted in n), key=lambda n: (n.find(wanted), len(n)))
    alike = get_close_matches(wanted, folded, n=most, cutoff=0.6)
    return tuple(folded[n] for n in dict.fromkeys((*holding[:most], *alike)))[:most]


def _stripped(name: str, noise: tuple[tuple[re.Pattern[str], str], ...]) -> str:
    text, before = name.lower(), ""
    while text != before:
        before = text
        for pattern, replacement in noise:
            text = pattern.sub(replacement, text)
        text = text.strip(" ,")
    return text
