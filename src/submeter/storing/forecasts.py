# SPDX-License-Identifier: Apache-2.0
"""Forecasts that providers gave, kept until they are over and can be judged.

One file for each provider, zone and signal, in the folder ``forecasts`` beside the ledger. It is a
convenience: what cannot be read or written is as good as none, and nobody is told.
"""

import contextlib
import os
import re
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from submeter.storing.places import PRIVATE_FOLDER

__all__ = ["EVERY_S", "FOLDER", "MOST", "Given", "given", "keep"]

FOLDER: Final = "forecasts"
EVERY_S: Final = 3 * 3600.0  # those of the minutes between hardly differ
MOST: Final = 40
_MOST_BYTES: Final = 4 * 2**20
_STRANGE: Final = re.compile(r"[^A-Za-z0-9_-]+")


class Given(msgspec.Struct, frozen=True):
    """A forecast as it was given: values in equal slots, None where there is none.

    ``made_utc_s`` is when it was given, ``start_utc_s`` the begin of its first slot [s since 1970
    UTC], ``step_s`` the length of each [s].
    """

    made_utc_s: float
    start_utc_s: float
    step_s: float
    values: tuple[float | None, ...]


def given(home: Path, *about: str) -> list[Given]:
    """Forecasts that are kept *about* a provider, zone and signal, the earliest first."""
    try:
        with _path(home, about).open("rb") as file:
            raw = file.read(_MOST_BYTES)
        found = msgspec.json.decode(raw, type=list[Given])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return []
    return sorted((f for f in found if f.step_s > 0), key=lambda f: f.made_utc_s)


def keep(home: Path, forecast: Given, *about: str) -> None:
    """Keep *forecast*, unless one was kept shortly before; the oldest are let go of."""
    known = [f for f in given(home, *about) if f.made_utc_s <= forecast.made_utc_s]
    if not forecast.values or (known and forecast.made_utc_s - known[-1].made_utc_s < EVERY_S):
        return
    path = _path(home, about)
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.")
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(msgspec.json.encode([*known, forecast][-MOST:]))
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)


def _path(home: Path, about: tuple[str, ...]) -> Path:
    return home / FOLDER / f"{'.'.join(_STRANGE.sub('_', word) for word in about)}.json"
