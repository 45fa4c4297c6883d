# SPDX-License-Identifier: Apache-2.0
"""Everyday tasks are measured once a machine: kept by what would change their figures."""

import contextlib
import hashlib
import os
import platform
import socket
import sqlite3
import time
import zlib
from pathlib import Path
from typing import Final

import msgspec

from submeter.errors import LedgerError
from submeter.records.everyday import EVERYDAY_SCHEMA, Everyday
from submeter.running.everyday.bench import Tell, measured, order_for
from submeter.running.everyday.tasks import KEYS
from submeter.storing import places
from submeter.storing.folders import write_whole

FOLDER: Final = "everyday"
TASKS_VERSION: Final = 1  # goes up with each change of what a task does
_MOST_BYTES: Final = 16 * 2**20


def machine_key(*, quick: bool) -> str:
    """Key of this machine with the versions that a figure hangs on."""
    words = (
        TASKS_VERSION, EVERYDAY_SCHEMA, quick, socket.gethostname(), platform.machine(),
        _processor(), os.cpu_count(), sorted(os.sched_getaffinity(0)),
        platform.python_version(), sqlite3.sqlite_version, zlib.ZLIB_RUNTIME_VERSION, KEYS,
    )  # fmt: skip
    return hashlib.sha256(repr(words).encode()).hexdigest()[:16]


def kept(*, quick: bool, home: Path | None = None) -> Everyday | None:
    """What was measured on this machine before; None if nothing that still applies."""
    path = _path(machine_key(quick=quick), home)
    try:
        with path.open("rb") as file:
            found = msgspec.json.decode(file.read(_MOST_BYTES), type=Everyday)
    except (OSError, ValueError, msgspec.DecodeError):
        return None
    return found if found.schema == EVERYDAY_SCHEMA and found.rounds else None


def keep(found: Everyday, home: Path | None = None) -> Path:
    """Keep *found* for this machine, whole or not at all.

    Raises
    ------
    LedgerError
        If the folder cannot be written.
    """
    path = _path(machine_key(quick=found.quick), home)
    try:
        path.parent.mkdir(mode=places.PRIVATE_FOLDER, parents=True, exist_ok=True)
        write_whole(path, msgspec.json.encode(found))
    except OSError as exc:
        raise LedgerError(
            f"{path} cannot be written: {exc.strerror or exc}",
            remedy="set SUBMETER_HOME to a folder of your own",
        ) from exc
    return path


def everyday(*, quick: bool, again: bool, tell: Tell, home: Path | None = None) -> Everyday:
    """Everyday tasks of this machine: as kept, or measured now.

    Parameters
    ----------
    again
        Measure them now whatever is kept.
    """
    found = None if again else kept(quick=quick, home=home)
    if found is None and quick and not again:
        found = kept(quick=False, home=home)  # better than a quick look
    if found is not None:
        return found
    import tempfile

    key = f"{FOLDER}-{places.new_run_id(time.time_ns())}"
    with tempfile.TemporaryDirectory(prefix="submeter-everyday-") as name:
        made = measured(order_for(quick=quick), quick=quick, key=key, tell=tell, folder=Path(name))
    with contextlib.suppress(LedgerError):  # the figures are there; they are not kept
        keep(made, home)
    return made


def _path(key: str, home: Path | None) -> Path:
    return (places.home() if home is None else home) / FOLDER / f"{key}.json"


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = [line for line in text.splitlines() if line.startswith(("model name", "CPU part"))]
    return found[0] if found else ""
