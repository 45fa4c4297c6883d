# SPDX-License-Identifier: Apache-2.0
"""Faults that this version has to stand, by the ids that its tests are named after."""

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1] / "tests"

THIS_PART = frozenset(
    {
        "A01", "A03", "A04", "A05", "A06", "A09", "A11", "A13", "A14", "A18", "A19", "A21",
        "A22", "A23", "A24", "A25", "A26", "A27", "A33",
        "B02", "B03", "B04", "B06", "B07", "B08", "B10",
        "C01", "C02", "C03", "C05", "C06", "C07", "C08", "C09", "C10", "C11", "C13", "C14",
        "C17", "C18", "C19", "C21", "C25",
        "D01", "D02", "D03", "D05", "D06", "D07", "D10", "D12", "D14", "D15", "D16", "D17",
        "D19", "D20",
        "E01", "E02", "E03", "E04", "E05", "E07", "E09", "E11", "E13", "E15", "E17",
        "G01", "G05", "G06", "G08", "G09",
    }
)  # fmt: skip

LATER = {
    "A28": "boards of other makers are not read yet",
    "A29": "no setting of a device is changed yet",
    "A31": "management controllers are not read yet",
    "A32": "wall meters are not read yet",
    "E12": "a name server that hangs is waited for as long as the system does",
    "G07": "resumed trainings are not joined yet",
    "G10": "savings come later",
}

NAMED = re.compile(r"^ *(?:async )?def test_((?:[a-g]\d\d_)+)", re.MULTILINE)


def named_after(folder: Path = TESTS) -> dict[str, int]:
    """How many test functions are named after each fault."""
    count: dict[str, int] = {}
    for path in sorted(folder.rglob("test_*.py")):
        for ids in NAMED.findall(path.read_text(encoding="utf-8")):
            for name in ids.upper().strip("_").split("_"):
                count[name] = count.get(name, 0) + 1
    return count


def untested(folder: Path = TESTS) -> list[str]:
    """Faults of this part that no test is named after."""
    return sorted(THIS_PART - named_after(folder).keys())
