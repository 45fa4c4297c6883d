# SPDX-License-Identifier: Apache-2.0
"""A new ledger from the runs' folders, and what can still be read of the old one."""

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from submeter.errors import LedgerError, LedgerLockedError, SubmeterError
from submeter.records.runs import Run
from submeter.storing import folders, places, schema
from submeter.storing.checking import check_figures
from submeter.storing.documents import Edits, checksum, decode_run, encode_run
from submeter.storing.ledger import LEDGER_FILE, open_ledger


class Salvage(msgspec.Struct, frozen=True):
    """What could be read of an old ledger."""

    runs: dict[str, Run] = {}
    edits: dict[str, Edits] = {}


class Rebuilt(msgspec.Struct, frozen=True):
    """What a rebuild brought together.

    ``settled`` runs came from their folders, ``salvaged`` ones only from the old ledger;
    ``failed`` names each folder that gave no run, and why; ``quarantined`` is the old file.
    """

    settled: tuple[str, ...]
    salvaged: tuple[str, ...]
    live: tuple[str, ...]
    failed: dict[str, str]
    quarantined: Path | None


def rebuild(
    home: Path,
    settle: Callable[[Path], Run],
    *,
    is_live: Callable[[Path], bool] = lambda _: False,
) -> Rebuilt:
    """Build the ledger of *home* anew; the old one is put aside, never deleted.

    Parameters
    ----------
    home
        Folder with ``ledger.db`` and ``runs``.
    settle
        Turns the folder of a run with a journal into its run.
    is_live
        Whether a journal is still written to; such a run is left to its collector.

    Raises
    ------
    LedgerError
        If the new ledger cannot be written; the old one is then as it was.
    """
    path = home / LEDGER_FILE
    with _alone(home):
        old = salvage(path)
        settled: dict[str, Run] = {}
        live: list[str] = []
        failed: dict[str, str] = {}
        for folder in _run_folders(home):
            if is_live(folder / "journal"):
                live.append(folder.name)
                continue
            try:
                run = _run_of(folder, settle)
            except (SubmeterError, OSError, ValueError) as exc:
                failed[folder.name] = str(exc)
            else:
                settled[run.id] = run
        rest = {k: v for k, v in old.runs.items() if k not in settled}
        new = home / f".{LEDGER_FILE}.new-{os.getpid()}"
        try:
            _fill(new, [*settled.values(), *rest.values()], old, home)
            quarantined = folders.quarantine(path)
            new.rename(path)
        except OSError as exc:
            raise LedgerError(
                f"the new ledger cannot be written: {exc.strerror or exc}",
                remedy="free some space or mend the permissions; the old one is untouched",
            ) from exc
        finally:
            for side in folders.SIDES:
                with contextlib.suppress(OSError):
                    Path(f"{new}{side}").unlink()
    failed = {k: v for k, v in failed.items() if k not in rest}
    return Rebuilt(tuple(settled), tuple(rest), tuple(live), failed, quarantined)


def salvage(path: Path) -> Salvage:
    """Every run and edit of a ledger, however damaged, whose own checksum or form is right."""
    runs: dict[str, Run] = {}
    edits: dict[str, Edits] = {}
    if not path.is_file():
        return Salvage()
    with tempfile.TemporaryDirectory(prefix=".salvage-", dir=path.parent) as folder:
        copy = Path(folder) / "old.db"  # reading a damaged file may write to it
        for side in folders.SIDES[:2]:
            with contextlib.suppress(OSError):
                shutil.copyfile(f"{path}{side}", f"{copy}{side}")
        db = sqlite3.connect(copy, isolation_level=None)
        try:
            for run_id, crc, document in _rows(db, "documents", "run_id, checksum, document"):
                with contextlib.suppress(LedgerError, TypeError, ValueError):
                    raw = bytes(document)  # type: ignore[call-overload]
                    if checksum(raw) == crc:
                        runs[str(run_id)] = decode_run(raw)
            for run_id, document in _rows(db, "edits", "run_id, document"):
                with contextlib.suppress(TypeError, ValueError):
                    found = folders.decode_edits(bytes(document))  # type: ignore[call-overload]
                    if found is not None:
                        edits[str(run_id)] = found
            if not runs:
                for run_id, document in _rows(db, "runs", "id, document"):  # layout 0
                    with contextlib.suppress(LedgerError):
                        runs[str(run_id)] = decode_run(str(document).encode())
        finally:
            db.close()
    return Salvage(runs, edits)


def _rows(db: sqlite3.Connection, table: str, columns: str) -> Iterator[tuple[object, ...]]:
    """Rows of a damaged *table*: forwards to the first bad page, then backwards to the last."""
    seen: set[object] = set()
    for direction in ("ASC", "DESC"):
        # a damaged schema may not even be text
        with contextlib.suppress(sqlite3.Error, UnicodeDecodeError):
            query = f"SELECT rowid, {columns} FROM {table} ORDER BY rowid {direction}"  # noqa: S608
            for rowid, *values in db.execute(query):
                if rowid not in seen:
                    seen.add(rowid)
                    yield tuple(values)


def _run_folders(home: Path) -> list[Path]:
    try:
        found = sorted((home / "runs").iterdir())
    except OSError:
        return []
    return [f for f in found if not f.name.startswith(".") and f.is_dir() and not f.is_symlink()]


def _run_of(folder: Path, settle: Callable[[Path], Run]) -> Run:
    """Run of a folder: from its journal, else as it was handed to us."""
    if (folder / "journal").exists():
        try:
            return settle(folder)
        except (SubmeterError, OSError, ValueError):
            if not (folder / folders.RUN).exists():
                raise
    document = folders.read_run(folder)
    if document is None:
        raise LedgerError("it holds no journal", remedy="submeter rm")
    what = f"run {folder.name}"
    return check_figures(decode_run(document, what), what)


def _fill(new: Path, runs: list[Run], old: Salvage, home: Path) -> None:
    with open_ledger(new) as ledger:
        db = ledger._db  # noqa: SLF001  # one transaction for all of them
        db.execute("BEGIN IMMEDIATE")
        for run in runs:
            edits = folders.read_edits(places.run_folder(home, run.id)) or old.edits.get(run.id)
            if edits is not None:
                schema.write_edits(db, run.id, edits)
                run = edits.applied(run)  # noqa: PLW2901
            schema.write_run(db, run, encode_run(run))
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One rebuild of a home at a time; the lock goes with the process."""
    import fcntl  # not everywhere

    try:
        home.mkdir(mode=places.PRIVATE_FOLDER, parents=True, exist_ok=True)
        fd = os.open(home / ".rebuild.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise LedgerError(
            f"{home} cannot be written: {exc.strerror}", remedy="mend its permissions"
        ) from exc
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise LedgerLockedError(
                f"another process is rebuilding the ledger in {home}", remedy="wait for it"
            ) from exc
        except OSError:  # a file system without locks: we are alone as far as we can know
            pass
        yield
    finally:
        os.close(fd)
