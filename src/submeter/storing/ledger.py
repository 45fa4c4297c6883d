# SPDX-License-Identifier: Apache-2.0
"""The ledger: one SQLite file, an index over the runs' folders, rebuilt from them if need be."""

import contextlib
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from submeter.errors import (
    LedgerError,
    LedgerLockedError,
    LedgerVersionError,
    RunNotFoundError,
    UsageError,
)
from submeter.records.runs import Run
from submeter.storing import databases, folders, places, schema
from submeter.storing.documents import (
    Edits,
    RunRow,
    check_id,
    check_tags,
    checksum,
    decode_run,
    encode_run,
    row_of,
)
from submeter.storing.wording import is_storable, safe_text

Rows = list[RunRow]  # inside the class, "list" is a method
Sentences = list[str]
Bound = list[str | int]
LEDGER_FILE: Final = "ledger.db"
_LEAST_ROOM_BYTES: Final = 64 * 1024  # the log beside a ledger and its index take about this
_LAST: Final = re.compile(r"last(?:~(\d{1,9}))?")
_REBUILD: Final = "submeter doctor --rebuild"
_BY_TIME: Final = "SELECT id FROM runs ORDER BY order_key DESC, id DESC LIMIT 1"
_BY_NAME: Final = "SELECT id FROM runs WHERE name = ? ORDER BY order_key DESC, id DESC LIMIT 1"
_NEAR: Final = 5  # names shown when a run is not found


class Ledger:
    """All runs of one home. Open it with `open_ledger`, close it, or use it in a ``with``.

    ``note`` says what a reader should know about how it was opened ("" if nothing).
    """

    def __init__(self, db: sqlite3.Connection, path: Path, *, note: str = "") -> None:
        self._db = db
        self.path = path
        self.note = note

    @property
    def home(self) -> Path:
        """Folder that holds this ledger and the runs."""
        return self.path.parent

    def put(self, run: Run) -> None:
        """Store *run*, or store it anew; what the user edited meanwhile stays edited.

        A run without a journal is also kept in its folder, so that the ledger can be rebuilt.

        Raises
        ------
        LedgerError
            If the ledger cannot be written; the journal still holds the run.
        """
        check_id(run.id)
        folder = places.run_folder(self.home, run.id)
        with self._writing() as db:
            edits = self._edits(run.id) or folders.read_edits(folder)
            if edits is not None:
                schema.write_edits(db, run.id, edits)
            else:
                edits = Edits()
            schema.write_run(db, edited := edits.applied(run), encode_run(edited))
        ours = self.path.name == LEDGER_FILE  # elsewhere "runs" may be anybody's folder
        if ours and not (folder / "journal").exists():
            with contextlib.suppress(OSError):  # the ledger holds it
                folders.write_run(folder, run)

    def get(self, ref: str) -> Run:
        """Run by id, ``last``, ``last~2``, name (its latest), or the beginning of an id.

        Raises
        ------
        RunNotFoundError
            If there is none, or several ids begin so; the message says what is near.
        LedgerError
            If the stored run is damaged.
        """
        return self._document(self.find(ref))

    def find(self, ref: str) -> str:
        """Id of the run that *ref* means; see `get`."""
        if not ref:  # an unset variable of a script must not mean some run without a name
            raise RunNotFoundError("no run is named", remedy="submeter list")
        if not is_storable(ref):
            raise self._not_found(safe_text(ref))
        with _translated(self.path):
            if self.has(ref):
                return ref
            last = _LAST.fullmatch(ref)
            if last:
                row = self._db.execute(f"{_BY_TIME} OFFSET ?", (int(last[1] or 0),)).fetchone()
            else:
                row = self._db.execute(_BY_NAME, (ref,)).fetchone()
            if row is not None:
                return str(row[0])
            below = "SELECT id FROM runs WHERE id >= ? AND id < ? ORDER BY id LIMIT 6"
            begin = self._db.execute(below, (ref, ref + "\U0010ffff")).fetchall()
        if len(begin) == 1:
            return str(begin[0][0])
        if begin:
            raise RunNotFoundError(
                f"{safe_text(ref)} begins more than one id: {', '.join(r[0] for r in begin)}",
                remedy="give more of the id",
            )
        raise self._not_found(ref)

    def has(self, run_id: str) -> bool:
        """Whether a run of exactly this id is stored."""
        with _translated(self.path):
            found = self._db.execute("SELECT 1 FROM runs WHERE id = ?", (run_id,)).fetchone()
        return found is not None

    def list(
        self,
        *,
        limit: int | None = None,
        tags: Mapping[str, str] | None = None,
        name: str | None = None,
        project: str | None = None,
        status: str | None = None,
        origin: str | None = None,
        user: str | None = None,
    ) -> Rows:
        """Rows of the runs that fit all that is given, the latest first."""
        if limit is not None and limit < 0:
            raise UsageError(f"a limit of {limit} makes no sense", remedy="give 0 or more")
        fixed = {
            "name": name,
            "project": project,
            "status": status,
            "origin": origin,
            "user": user,
        }
        wanted = {k: v for k, v in fixed.items() if v is not None}  # our words, never the caller's
        if not all(map(is_storable, (*wanted.values(), *(tags or {}), *(tags or {}).values()))):
            return []
        where = [f"{column} = ?" for column in wanted]
        given: Bound = [*wanted.values()]
        for key, value in (tags or {}).items():
            where.append("id IN (SELECT run_id FROM tags WHERE key = ? AND value = ?)")
            given += [key, value]
        condition = f"WHERE {' AND '.join(where)} " if where else ""
        chosen = f"FROM runs {condition}ORDER BY order_key DESC, id DESC LIMIT ?"
        given.append(-1 if limit is None else limit)
        with _translated(self.path):
            found = self._db.execute(f"SELECT {schema.ROW_COLUMNS} {chosen}", given).fetchall()
            query = f"SELECT * FROM tags WHERE run_id IN (SELECT id {chosen})"  # noqa: S608
            by_run: dict[str, dict[str, str]] = {}
            for run_id, key, value in self._db.execute(query, given):
                by_run.setdefault(run_id, {})[key] = value
        return [_row(values, by_run.get(values[0], {})) for values in found]

    def tag(
        self,
        ref: str,
        add: Mapping[str, str] | None = None,
        remove: Iterable[str] = (),
        *,
        name: str | None = None,
    ) -> Run:
        """Change the tags (or the name) of a run and return it; kept over a rebuild."""
        add = check_tags(add or {})
        run_id = self.find(ref)
        with self._writing() as db:
            edits = (self._edits(run_id) or Edits()).merged(add, remove, name)
            run = edits.applied(self._document(run_id))
            check_tags(run.tags)
            schema.write_edits(db, run_id, edits)
            schema.write_run(db, run, encode_run(run))
        with contextlib.suppress(OSError):  # the ledger holds them
            folders.write_edits(places.run_folder(self.home, run_id), edits)
        return run

    def remove(self, ref: str) -> Run:
        """Take a run out of the ledger, with its journal and all that its folder holds."""
        run_id = self.find(ref)
        try:
            run = self._document(run_id)
        except LedgerError:  # damaged: what the row says is all there is
            run = _run_of_row(self._row(run_id))
        folder = places.run_folder(self.home, run_id)
        gone = folder.with_name(f".removed-{run_id}-{os.getpid()}-{time.monotonic_ns()}")
        try:
            folder.rename(gone)
        except FileNotFoundError:
            pass
        except OSError as exc:
            raise LedgerError(
                f"{safe_text(str(folder))} cannot be removed: {exc.strerror}",
                remedy="mend the permissions; nothing was removed",
            ) from exc
        with self._writing() as db:
            for table, column in (
                ("runs", "id"),
                ("documents", "run_id"),
                ("tags", "run_id"),
                ("edits", "run_id"),
            ):
                db.execute(f"DELETE FROM {table} WHERE {column} = ?", (run_id,))  # noqa: S608
        import shutil

        from submeter.storing.certificates import release_removed

        if self.path.name == LEDGER_FILE:
            release_removed(self.home, run_id)

        for rest in folder.parent.glob(".removed-*"):
            shutil.rmtree(rest, ignore_errors=True)
        return run

    def edits(self, run_id: str) -> Edits | None:
        """Return what the user changed in a run after it ended."""
        with _translated(self.path):
            return self._edits(run_id)

    def check(self) -> Sentences:
        """Each damage found, a sentence each: pages, checksums, rows that do not fit."""
        found: Sentences = []
        try:
            with _translated(self.path):
                for (said,) in self._db.execute("PRAGMA integrity_check(20)"):
                    if said != "ok":
                        found.append(f"{self.path}: {said}")
                ids = [r[0] for r in self._db.execute("SELECT id FROM runs ORDER BY id")]
                query = "SELECT run_id FROM documents WHERE run_id NOT IN (SELECT id FROM runs)"
                found += [f"run {r[0]} has no row" for r in self._db.execute(query)]
                query = "SELECT run_id, why FROM unreadable"
                found += [f"run {r[0]} was left aside: {r[1]}" for r in self._db.execute(query)]
        except LedgerError as exc:
            return [*found, str(exc)]
        for run_id in ids:
            try:
                run = self._document(run_id)
                stored = self._row(run_id)
            except LedgerError as exc:
                found.append(str(exc))
                continue
            if schema.row_values(stored) != schema.row_values(row_of(run)):
                found.append(f"the row of run {run_id} does not fit its document")
            elif stored.tags != run.tags:
                found.append(f"the tags of run {run_id} do not fit its document")
        return found

    def close(self) -> None:
        """Close the file. Closing twice is no mistake."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- inside -------------------------------------------------------------------------------

    def _document(self, run_id: str) -> Run:
        query = "SELECT checksum, document FROM documents WHERE run_id = ?"
        with _translated(self.path):
            row = self._db.execute(query, (run_id,)).fetchone()
        if row is None:
            raise LedgerError(f"run {run_id} has lost its document", remedy=_REBUILD)
        document = row[1].encode() if isinstance(row[1], str) else bytes(row[1] or b"")
        if checksum(document) != row[0]:
            raise LedgerError(
                f"run {run_id} is damaged: its checksum does not fit", remedy=_REBUILD
            )
        return decode_run(document, f"run {run_id}")

    def _row(self, run_id: str) -> RunRow:
        query = f"SELECT {schema.ROW_COLUMNS} FROM runs WHERE id = ?"  # noqa: S608
        with _translated(self.path):
            values = self._db.execute(query, (run_id,)).fetchone()
            tags = self._db.execute("SELECT key, value FROM tags WHERE run_id = ?", (run_id,))
            return _row(values, dict(tags.fetchall()))

    def _edits(self, run_id: str) -> Edits | None:
        row = self._db.execute("SELECT document FROM edits WHERE run_id = ?", (run_id,)).fetchone()
        return None if row is None else folders.decode_edits(bytes(row[0]))

    def _not_found(self, ref: str) -> RunNotFoundError:
        import difflib

        query = "SELECT id, name FROM runs ORDER BY order_key DESC LIMIT 1000"
        words: dict[str, None] = {}
        for run_id, name in self._db.execute(query):
            words.setdefault(name)
            words.setdefault(run_id)
        if not words:
            return RunNotFoundError("no run is stored yet", remedy="submeter run -- COMMAND")
        near = difflib.get_close_matches(ref, [w for w in words if w], n=_NEAR)
        shown = f"; near: {', '.join(map(safe_text, near))}" if near else ""
        return RunNotFoundError(
            f"no run is called {safe_text(ref)!r}{shown}", remedy="submeter list"
        )

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with _translated(self.path), databases.transaction(self._db):
            yield self._db


def open_ledger(
    path: Path | None = None,
    *,
    create: bool = True,
    busy_s: float = databases.BUSY_S,
    file_system: Callable[[Path], str] = places.file_system,
) -> Ledger:
    """Open the ledger, made or brought up to date if need be.

    Parameters
    ----------
    path
        The file; that of the home if None.
    create
        Whether a missing one is made.
    busy_s
        How long another process may hold it before we give up.
    file_system
        Says what kind of file system holds a path; on a network one no shared memory is used.

    Raises
    ------
    LedgerLockedError, LedgerVersionError, LedgerError
        If it is held for too long, newer than we are, or missing, damaged, not to be opened.
        A damaged file is copied aside first.
    """
    path = places.home() / LEDGER_FILE if path is None else Path(path)
    if not os.path.exists(path):  # noqa: PTH110  # this one never raises
        if not create:
            raise LedgerError(f"there is no ledger at {path}", remedy="submeter run -- COMMAND")
        databases.make_file(path)
    databases.refuse_traps(path)
    network = places.is_network(file_system(path.parent))

    def prepare(db: sqlite3.Connection) -> None:
        schema.prepare(db, path, network=network)

    with _translated(path):
        db = databases.connect(path, prepare, busy_s=busy_s)
        return _open_read_only(path) if db is None else Ledger(db, path)


def _open_read_only(path: Path) -> Ledger:
    """Open *path* without writing anything beside it; rows of a foreign log are not seen."""
    db, version = databases.connect_to_read(path)
    if version != schema.LEDGER_SCHEMA:
        db.close()
        raise LedgerVersionError(
            f"{path} has layout {version} and cannot be written to bring it up to date",
            remedy="copy it to a folder of yours and set SUBMETER_HOME to that",
        )
    return Ledger(db, path, note=f"{path} cannot be written; it is only read")


def _row(values: tuple[object, ...], tags: dict[str, str]) -> RunRow:
    *columns, incomplete, project, user, figures = values
    row = dict(zip(schema.ROW_COLUMNS.split(", "), columns, strict=False))
    return RunRow(
        **row,  # type: ignore[arg-type]
        incomplete=bool(incomplete),
        project=str(project),
        user=str(user),
        figures=msgspec.Raw(str(figures)),
        tags=tags,
    )


def _run_of_row(row: RunRow) -> Run:
    return Run(
        id=row.id,
        origin=row.origin,
        status=row.status,
        started_utc=row.started_utc,
        duration_s=row.duration_s,
        name=row.name,
        notes=("the stored document was damaged",),
    )


def _disk_is_full(path: Path) -> str:
    """Say what the disk of *path* has none left of; "" if it has."""
    try:
        found = os.statvfs(path.parent)
    except (OSError, ValueError):
        return ""
    if found.f_blocks and found.f_bavail * found.f_frsize < _LEAST_ROOM_BYTES:
        return "no room left"
    return "no inodes left" if found.f_files and not found.f_favail else ""


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Errors of SQLite in our words; a damaged file is copied aside."""
    try:
        yield
    except UnicodeDecodeError as exc:  # a damaged schema may not even be text
        copy = folders.quarantine_copy(path)
        raise LedgerError(
            f"{path} is damaged; a copy is kept as {copy.name if copy else 'nothing'}",
            remedy=f"{_REBUILD}    (the runs themselves are in {path.parent / 'runs'})",
        ) from exc
    except sqlite3.Error as exc:
        if databases.is_busy(exc):
            raise LedgerLockedError(
                f"another process has held {path} for too long",
                remedy="try again; if it stays so: fuser " + str(path),
            ) from exc
        if databases.is_damaged(exc) or "no such table" in str(exc):
            copy = folders.quarantine_copy(path)
            raise LedgerError(
                f"{path} is damaged ({exc}); a copy is kept as {copy.name if copy else 'nothing'}",
                remedy=f"{_REBUILD}    (the runs themselves are in {path.parent / 'runs'})",
            ) from exc
        name = getattr(exc, "sqlite_errorname", "") or ""
        full = _disk_is_full(path)
        if full and name.startswith(("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN")):
            raise LedgerError(
                f"{path} cannot be used: the disk of {path.parent} is full ({full})",
                remedy=f"free some space there (df -h {path.parent}): nothing is lost, no rebuild",
            ) from exc
        remedy = {
            "SQLITE_FULL": "free some space, then run any submeter command: nothing is lost",
            "SQLITE_READONLY": "mend the permissions, or set SUBMETER_HOME to another folder",
        }.get(name, _REBUILD if name.startswith("SQLITE_IOERR") else "submeter doctor")
        raise LedgerError(f"{path} cannot be used: {exc}", remedy=remedy) from exc
