# SPDX-License-Identifier: Apache-2.0
"""Compressing text and reading JSON, as services do it all day."""

import json
import random
import zlib
from pathlib import Path
from typing import Final

from submeter.running.everyday.tasks import Batched

SEED: Final = 20262
ENTRIES: Final = 400
BYTES_PER_MB: Final = 1_000_000
_LEVEL: Final = 6
_TEXT: Final = "energy report of the machine that ran last night with a note on water and prices"
_WORDS: Final = _TEXT.split()


def document() -> list[dict[str, object]]:
    """Give a made-up document, always the same."""
    chance = random.Random(SEED)  # noqa: S311  # data, no secrets
    return [
        {
            "id": i,
            "name": " ".join(chance.choices(_WORDS, k=4)),
            "values": [round(chance.gauss(0, 1), 4) for _ in range(8)],
            "text": " ".join(chance.choices(_WORDS, k=25)),
            "done": chance.random() < 0.5,  # noqa: PLR2004  # either way
        }
        for i in range(ENTRIES)
    ]


class Texts(Batched):
    """A document is written as JSON, compressed, unpacked and read again; per MB of JSON."""

    key, unit = "text", "MB"

    def __init__(self, folder: Path, workers: int) -> None:
        super().__init__(folder, workers)
        self.rows: list[dict[str, object]] = []

    def prepare(self) -> dict[str, object]:
        size = len(json.dumps(document()).encode())
        return {"zlib": zlib.ZLIB_RUNTIME_VERSION, "document_bytes": size}

    def open(self, worker: int) -> None:
        del worker
        self.rows = document()

    def batch(self, way: str) -> float:
        del way
        text = json.dumps(self.rows).encode()
        packed = zlib.compress(text, _LEVEL)
        again = json.loads(zlib.decompress(packed))
        if len(again) != len(self.rows):
            return 0.0
        return len(text) / BYTES_PER_MB
