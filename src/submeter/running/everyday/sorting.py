# SPDX-License-Identifier: Apache-2.0
"""Sorting records of 100 bytes by their first ten, as one job that is divided and merged."""

import random
from pathlib import Path
from typing import Final

from submeter.running.everyday.tasks import Joint

RECORDS: Final = 40_000  # of a job
WIDTH: Final = 100
KEY: Final = 10
SEED: Final = 20261


def records(count: int) -> list[bytes]:
    """Give made-up records, always the same."""
    chance = random.Random(SEED)  # noqa: S311  # data, no secrets
    return [chance.randbytes(KEY) + b"%090d" % i for i in range(count)]


class Sorting(Joint):
    """A job of 40 000 records, from file to file: each worker its part, one of them merges."""

    key, unit = "sort", "record"

    @property
    def _given(self) -> Path:
        return self.folder / "given"

    def prepare(self) -> dict[str, object]:
        self._given.write_bytes(b"".join(records(RECORDS)))
        return {"records": RECORDS, "record_bytes": WIDTH}

    def part(self, way: str, worker: int, active: int) -> None:
        del way
        begin, end = (RECORDS * i // active for i in (worker, worker + 1))
        with self._given.open("rb") as file:
            file.seek(begin * WIDTH)
            rows = split(file.read((end - begin) * WIDTH))
        rows.sort()
        (self.folder / f"part-{worker}").write_bytes(b"".join(rows))

    def merge(self, way: str, active: int) -> float:
        del way
        if active == 1:
            return float(RECORDS)
        rows = split(b"".join((self.folder / f"part-{i}").read_bytes() for i in range(active)))
        rows.sort()  # of runs that are in order: they are merged, not sorted again
        (self.folder / "sorted").write_bytes(b"".join(rows))
        return float(len(rows))


def split(content: bytes) -> list[bytes]:
    """Records of *content*."""
    return [content[at : at + WIDTH] for at in range(0, len(content), WIDTH)]
