# SPDX-License-Identifier: Apache-2.0
"""Small files beside a run or the ledger: written whole or not at all, put aside, never lost."""

import contextlib
import os
import time
from pathlib import Path
from typing import Final

import msgspec

from submeter.records.runs import Run
from submeter.storing.documents import EDITS_SCHEMA, LARGEST_RUN_BYTES, Edits, encode_run
from submeter.storing.places import PRIVATE_FILE, PRIVATE_FOLDER

EDITS: Final = "edits.json"
RUN: Final = "run.json"
SIDES: Final = ("", "-wal", "-shm", "-journal")
_LARGEST_EDITS_BYTES: Final = 2**20


def write_whole(path: Path, content: bytes) -> None:
    """Write *content* so that a reader sees all of it or what was there before."""
    temporary = path.with_name(f".{path.name[:80]}-{os.getpid()}-{os.urandom(4).hex()}")
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    fd = os.open(temporary, flags, PRIVATE_FILE)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def write_run(folder: Path, run: Run) -> None:
    """Keep a run that has no journal as ``run.json`` in its folder."""
    folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    write_whole(folder / RUN, encode_run(run))


def discard(folder: Path) -> None:
    """Remove the folder of a run that never began, as far as that goes."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def write_edits(folder: Path, edits: Edits) -> None:
    """Keep the user's edits beside the run, if it has a folder."""
    if folder.is_dir():
        write_whole(folder / EDITS, msgspec.json.encode(edits))


def read_edits(folder: Path) -> Edits | None:
    """Edits kept beside a run, None if there are none or they cannot be read."""
    try:
        with (folder / EDITS).open("rb") as file:
            return decode_edits(file.read(_LARGEST_EDITS_BYTES))
    except OSError:
        return None


def decode_edits(document: bytes) -> Edits | None:
    """Edits from their JSON; None if they are damaged or of a newer kind."""
    try:
        edits = msgspec.json.decode(document, type=Edits)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return edits if edits.schema == EDITS_SCHEMA else None


def read_run(folder: Path) -> bytes | None:
    """Content of ``run.json``, if there is one."""
    try:
        with (folder / RUN).open("rb") as file:
            return file.read(LARGEST_RUN_BYTES + 1)
    except OSError:
        return None


def quarantine_copy(path: Path) -> Path | None:
    """Copy a damaged ledger aside, once; the copy's path, or None if that failed too."""
    import filecmp
    import shutil

    try:
        for copy in sorted(path.parent.glob(f"{path.name}.broken-*")):
            if not copy.name.endswith(SIDES[1:]) and filecmp.cmp(path, copy, shallow=False):
                return copy
        target = _free_name(path, "broken")
        for side in SIDES:
            with contextlib.suppress(FileNotFoundError):
                shutil.copy2(f"{path}{side}", f"{target}{side}")
    except OSError:
        return None
    return target


def quarantine(path: Path) -> Path | None:
    """Move a ledger aside with its log; its new path, None if there was none."""
    if not path.exists():
        return None
    target = _free_name(path, "old")
    for side in reversed(SIDES):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{side}").rename(f"{target}{side}")
    return target


def _free_name(path: Path, what: str) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    target = path.with_name(f"{path.name}.{what}-{stamp}")
    number = 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.{what}-{stamp}-{number}")
    return target
