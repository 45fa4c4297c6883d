# SPDX-License-Identifier: Apache-2.0
"""Names given by others, made safe to print, and cells safe to open in a spreadsheet."""

import re
import unicodedata
from typing import Final

_ESCAPES: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|[\]PX^_].*?(?:\x07|\x1b\\|\x9c|$)"  # OSC, DCS, ...: titles, links, clipboard
    r"|[ -/]*[0-~])"
    r"|\x9b[0-?]*[ -/]*[@-~]",
    re.DOTALL,
)
_JOINERS: Final = frozenset("\u200c\u200d")  # hold scripts and emoji together, harmless
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def safe_text(text: str, *, most: int = 500) -> str:
    """*text* on one line, without what moves a cursor, turns the writing round or hides.

    Escape sequences, control characters, overrides of the writing direction and other invisible
    characters go, line ends become spaces, undecodable bytes a replacement mark; beyond *most*
    characters an ellipsis stands for the rest.
    """
    if text.isascii() and text.isprintable():
        kept = text
    else:
        kept = "".join(map(_safe, _ESCAPES.sub("", text)))
    return kept if len(kept) <= most else kept[: most - 1] + "…"


def is_storable(text: str) -> bool:
    """Whether *text* can be in a ledger at all; an argument of other bytes than UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _safe(char: str) -> str:
    if char.isprintable() or char in _JOINERS:
        return char
    kind = unicodedata.category(char)
    if char in "\n\r\t\x0b\x0c\x85" or kind in {"Zs", "Zl", "Zp"}:
        return " "
    return "\ufffd" if kind == "Cs" else ""


def safe_cell(text: str) -> str:
    """*text* for a cell of a CSV file, which no spreadsheet takes for a formula."""
    cell = safe_text(text)
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA) else cell
