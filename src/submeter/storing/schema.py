# SPDX-License-Identifier: Apache-2.0
"""Tables of the ledger, and how a ledger of an older layout becomes one of this."""

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from submeter.errors import LedgerError, LedgerVersionError
from submeter.records.runs import Run
from submeter.storing import databases
from submeter.storing.documents import (
    Edits,
    RunRow,
    checksum,
    decode_run,
    encode_run,
    order_key,
    row_of,
)

LEDGER_SCHEMA: Final = 1
APPLICATION_ID: Final = 0x53554D31  # "SUM1", shown by file(1)

TABLES: Final = (
    """CREATE TABLE runs (
        id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, origin TEXT NOT NULL,
        status TEXT NOT NULL, exit_code INTEGER, started_utc TEXT NOT NULL,
        duration_s REAL NOT NULL, devices_j REAL, node_j REAL, basis TEXT NOT NULL,
        incomplete INTEGER NOT NULL, project TEXT NOT NULL, user TEXT NOT NULL,
        figures TEXT NOT NULL, order_key TEXT NOT NULL)""",
    "CREATE INDEX runs_by_time ON runs (order_key, id)",
    "CREATE INDEX runs_by_name ON runs (name, order_key)",
    # Apart from the rows, so that a list never pages through documents.
    """CREATE TABLE documents (
        run_id TEXT PRIMARY KEY NOT NULL, checksum INTEGER NOT NULL, document BLOB NOT NULL)""",
    """CREATE TABLE tags (
        run_id TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
        PRIMARY KEY (run_id, key)) WITHOUT ROWID""",
    "CREATE INDEX tags_by_value ON tags (key, value)",
    "CREATE TABLE edits (run_id TEXT PRIMARY KEY NOT NULL, document BLOB NOT NULL)",
    # What a migration could not read is kept, not dropped.
    "CREATE TABLE unreadable (run_id TEXT, document BLOB, why TEXT NOT NULL)",
)
ROW_COLUMNS: Final = (
    "id, name, origin, status, exit_code, started_utc, duration_s, devices_j, node_j, basis, "
    "incomplete, project, user, figures"
)


def write_run(db: sqlite3.Connection, run: Run, document: bytes) -> None:
    """Put *run* into all tables; call it inside a transaction."""
    row = row_of(run)
    db.execute(
        f"INSERT OR REPLACE INTO runs ({ROW_COLUMNS}, order_key) VALUES ({'?, ' * 14}?)",  # noqa: S608
        (*row_values(row), order_key(run.started_utc)),
    )
    db.execute(
        "INSERT OR REPLACE INTO documents VALUES (?, ?, ?)",
        (run.id, checksum(document), document),
    )
    db.execute("DELETE FROM tags WHERE run_id = ?", (run.id,))
    db.executemany(
        "INSERT INTO tags VALUES (?, ?, ?)", [(run.id, k, v) for k, v in run.tags.items()]
    )


def write_edits(db: sqlite3.Connection, run_id: str, edits: Edits) -> None:
    """Keep the user's *edits* of a run."""
    db.execute("INSERT OR REPLACE INTO edits VALUES (?, ?)", (run_id, msgspec.json.encode(edits)))


def row_values(row: RunRow) -> tuple[object, ...]:
    """Values of a row in the order of `ROW_COLUMNS`."""
    *columns, incomplete, project, user, figures, _tags = (
        getattr(row, name) for name in RunRow.__struct_fields__
    )
    return (*columns, int(incomplete), project, user, bytes(figures).decode())


def prepare(db: sqlite3.Connection, path: Path, *, network: bool) -> None:
    """Make the tables, or bring older ones up to date; safe from many processes at once.

    Raises
    ------
    LedgerVersionError
        If a newer submeter wrote this ledger.
    """
    version = databases.version_of(db)
    if version > LEDGER_SCHEMA:
        raise LedgerVersionError(
            f"{path} was written by a newer submeter (layout {version}, ours {LEDGER_SCHEMA})",
            remedy="pip install --upgrade submeter, or set SUBMETER_HOME to another folder",
        )
    databases.set_journal_mode(db, network=network)
    # The journals are the truth: on a local disk the last rows may go with the power.
    db.execute(f"PRAGMA synchronous = {'FULL' if network else 'NORMAL'}")
    if version == LEDGER_SCHEMA:
        return
    if not _is_empty(db):
        backup(db, path, version)
    with databases.transaction(db):
        version = databases.version_of(db)  # somebody else may have been faster
        if version == 0 and _is_empty(db):
            create(db)
        else:
            while version < LEDGER_SCHEMA:
                MIGRATIONS[version](db)
                version += 1
                db.execute(f"PRAGMA user_version = {version}")


def create(db: sqlite3.Connection) -> None:
    """Make the tables of this layout."""
    for statement in TABLES:
        db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {LEDGER_SCHEMA}")


def backup(db: sqlite3.Connection, path: Path, version: int) -> Path:
    """Copy the ledger, as it is before a migration, to a file of its own."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    target = path.with_name(f"{path.name}.v{version}-{stamp}-{os.urandom(2).hex()}")
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    copy = sqlite3.connect(target)
    try:
        db.backup(copy)
    finally:
        copy.close()
    return target


def _is_empty(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None


def _from_0(db: sqlite3.Connection) -> None:
    """Layout 0 had one table ``runs (id, document)`` of JSON texts, without checksums."""
    old = db.execute("SELECT id, document FROM runs").fetchall()
    db.execute("ALTER TABLE runs RENAME TO runs_0")
    create(db)
    for run_id, text in old:
        raw = text.encode() if isinstance(text, str) else bytes(text or b"")
        try:
            run = decode_run(raw, f"run {run_id}")
        except LedgerError as exc:
            db.execute("INSERT INTO unreadable VALUES (?, ?, ?)", (run_id, raw, str(exc)))
        else:
            write_run(db, run, encode_run(run))
    db.execute("DROP TABLE runs_0")


MIGRATIONS: Final[dict[int, Callable[[sqlite3.Connection], None]]] = {0: _from_0}
