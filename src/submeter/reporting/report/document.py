# SPDX-License-Identifier: Apache-2.0
"""What a report is made of: headline figures, sections of text, tables and charts.

All words in it are plain text: whatever people called their runs is shown, never obeyed. Each
writer escapes for its own format.
"""

from typing import Any, Literal

import msgspec

Mark = Literal["", "measured", "derived", "modelled", "assumed"]


class Gauge(msgspec.Struct, frozen=True):
    """A value and its interval as parts of a bar, each from 0 to 1."""

    value: float
    low: float
    high: float


class Headline(msgspec.Struct, frozen=True):
    """One large figure with its interval drawn under it."""

    name: str
    value: str
    below: str
    tone: Literal["energy", "carbon", "water", "money"]
    gauge: Gauge | None = None


class Cell(msgspec.Struct, frozen=True):
    """A cell of a table: words, and a basis where it is a figure."""

    words: str
    basis: Mark = ""
    number: bool = False  # flush right


class Table(msgspec.Struct, frozen=True):
    """Rows under heads."""

    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


class Chart(msgspec.Struct, frozen=True):
    """A Vega-Lite specification, what it shows in words, and the numbers behind it."""

    name: str  # of its file, where it becomes one
    spec: dict[str, Any]
    says: str
    table: Table
    keys: tuple[tuple[str, str], ...] = ()  # colour and word of each kind of area


class Section(msgspec.Struct, frozen=True):
    """A titled part: paragraphs, then charts, then tables."""

    title: str
    text: tuple[str, ...] = ()
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    wide: bool = True  # else it may stand beside the next one
    folded: bool = False  # long matter that is opened when wanted


class Document(msgspec.Struct, frozen=True):
    """A report, before anybody wrote it down."""

    title: str
    about: str
    headlines: tuple[Headline, ...]
    lead: tuple[str, ...]  # one paragraph that says what matters
    sections: tuple[Section, ...]
    made_by: str
