# SPDX-License-Identifier: Apache-2.0
"""Opening and writing an SQLite file that other processes use, too, in a folder of anybody."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from submeter.errors import LedgerError
from submeter.storing import places
from submeter.storing.wording import safe_text

BUSY_S: Final = 5.0  # so long another process may hold the file before we give up


def make_file(path: Path) -> None:
    """Make *path* and its folder, for the user alone, and through no link."""
    try:
        path.parent.mkdir(mode=places.PRIVATE_FOLDER, parents=True, exist_ok=True)
        flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(path, flags, places.PRIVATE_FILE))
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else exc
        raise LedgerError(
            f"the ledger {safe_text(str(path))} cannot be made: {why}",
            remedy="set SUBMETER_HOME to a folder that can be written",
        ) from exc


def refuse_traps(path: Path) -> None:
    """In a shared folder somebody may lay a link, or a file of his own, where ours goes."""
    try:
        found = path.lstat()
    except OSError:
        return
    shared = path.parent.stat().st_mode & 0o002
    if shared and found.st_uid != os.geteuid():
        raise LedgerError(
            f"{path} belongs to somebody else, in a folder that anybody may write to",
            remedy="set SUBMETER_HOME to a folder of yours",
        )


def connect(
    path: Path, prepare: Callable[[sqlite3.Connection], None], *, busy_s: float
) -> sqlite3.Connection | None:
    """Connect to *path* and *prepare* its tables; None if it can be read but not written.

    Raises
    ------
    sqlite3.Error
        If it cannot be used, or others hold it for longer than *busy_s*.
    """
    give_up = time.monotonic() + busy_s
    while True:
        db = sqlite3.connect(path, timeout=busy_s, isolation_level=None)
        try:
            prepare(db)
        except sqlite3.OperationalError as exc:
            db.close()
            if _is_read_only(exc) and os.access(path, os.R_OK):
                return None
            # Changing the journal mode does not wait by itself for others who do the same.
            if not is_busy(exc) or time.monotonic() >= give_up:
                raise
            time.sleep(0.01)
        except BaseException:
            db.close()
            raise
        else:
            return db


def connect_to_read(path: Path) -> tuple[sqlite3.Connection, int]:
    """Connection that writes nothing beside *path*, and the version of its layout.

    What stands in a log of somebody else is not seen.
    """
    from urllib.parse import quote

    address = f"file:{quote(os.fsencode(path.absolute()))}?mode=ro&immutable=1"
    db = sqlite3.connect(address, uri=True, isolation_level=None)
    try:
        return db, version_of(db)
    except BaseException:
        db.close()
        raise


def set_journal_mode(db: sqlite3.Connection, *, network: bool) -> None:
    """Write ahead, but on a *network* file system, which has no shared memory."""
    wanted = "delete" if network else "wal"
    if db.execute("PRAGMA journal_mode").fetchone()[0] != wanted:
        db.execute(f"PRAGMA journal_mode = {wanted}")


def version_of(db: sqlite3.Connection) -> int:
    """Version of the layout of the tables; 0 for an empty file."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All of what is written meanwhile, or nothing of it."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # a full disk has rolled back by itself
            db.execute("ROLLBACK")
        raise


def is_busy(exc: sqlite3.Error) -> bool:
    """Whether another process holds the file."""
    return _name(exc).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def is_damaged(exc: sqlite3.Error) -> bool:
    """Whether what stands in the file is no database, or a broken one."""
    return _name(exc).startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def _is_read_only(exc: sqlite3.Error) -> bool:
    return _name(exc).startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM"))


def _name(exc: sqlite3.Error) -> str:
    return getattr(exc, "sqlite_errorname", "") or ""
