# SPDX-License-Identifier: Apache-2.0
"""Where the catalog's figures are from: key, title, year, licence, address.

``data/sources.csv`` beside this file is written by hand. The licence is that of the original.
Where the figure was read in somebody's republication, the title says so; of works under licences
that ask more of copies (AGPL, CC BY-SA, none at all) only single facts were taken.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.catalog_cited import Cited
from benchmarks.catalog_rules import read, write_attributes

LISTED = Path(__file__).parent / "data" / "sources.csv"
FIELDS = ["key", "title", "year", "licence", "url"]


def make(out: Path, cited: Cited) -> None:
    """Write all sources: those listed, and those that rows named in words."""
    write_attributes(out / "sources.csv", FIELDS, [*read(LISTED), *cited.rows()])
