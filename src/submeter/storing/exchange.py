# SPDX-License-Identifier: Apache-2.0
"""Runs from one ledger to another: from the cluster to the laptop, ids and journals with them."""

import contextlib
import io
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Literal

import msgspec

from submeter.errors import LedgerError, UsageError
from submeter.records.runs import Run
from submeter.storing import archives, folders, places
from submeter.storing.archives import ArchiveWriter, FileEntry, Manifest, Member, RunEntry
from submeter.storing.checking import check_figures
from submeter.storing.documents import decode_run, encode_run
from submeter.storing.ledger import Ledger

OnConflict = Literal["refuse", "keep", "replace"]
_CHUNK_BYTES = 2**20
LAYERS = "layers.*"  # as submeter.storing.layers names them


class Exported(msgspec.Struct, frozen=True):
    """What was packed; ``left_out`` names files that cannot be carried over."""

    path: Path
    runs: tuple[str, ...]
    bytes: int
    left_out: tuple[str, ...] = ()


class Imported(msgspec.Struct, frozen=True):
    """What came of an archive's runs: new, known before, replaced, or ours kept."""

    runs: tuple[Run, ...]
    new: tuple[str, ...]
    known: tuple[str, ...]
    replaced: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


def export_runs(
    refs: Iterable[str], out: Path, *, ledger: Ledger, force: bool = False, journals: bool = True
) -> Exported:
    """Pack runs with all that their folders hold into one archive.

    Parameters
    ----------
    refs
        Runs, as `Ledger.get` understands them; the same run twice is packed once.
    out
        The archive; its name ends in ``.tar.gz``, ``.tgz`` or ``.zip``.
    force
        Whether a file that is there may be overwritten.
    journals
        Whether journals go along; without them an archive is small, but nothing can be settled
        from it again.

    Raises
    ------
    RunNotFoundError, LedgerError
        Nothing is written then.
    """
    suffix = archives.archive_suffix(out)
    if out.exists() and not force:
        raise UsageError(f"{out} is there already", remedy="--force, or another name")
    ids = list(dict.fromkeys(ledger.find(ref) for ref in refs))
    if not ids:
        raise UsageError("no run is named", remedy="submeter export last")
    try:
        return _pack(ids, out, suffix, ledger, journals=journals)
    except OSError as exc:
        raise LedgerError(
            f"{out} cannot be written: {exc.strerror or exc}", remedy="choose another place"
        ) from exc


def import_runs(path: Path, *, ledger: Ledger, on_conflict: OnConflict = "refuse") -> list[Run]:
    """Take the runs of an archive into *ledger* and return them; see `import_archive`."""
    return list(import_archive(path, ledger=ledger, on_conflict=on_conflict).runs)


def import_archive(
    path: Path,
    *,
    ledger: Ledger,
    on_conflict: OnConflict = "refuse",
    most_bytes: int = archives.MOST_BYTES,
) -> Imported:
    """Take the runs of an archive into *ledger*, all or none; a second time changes nothing.

    Parameters
    ----------
    path
        The archive.
    on_conflict
        What to do with a run that is here with another content: refuse the whole archive, keep
        ours, or replace ours. Tags and names that were edited here are always kept.
    most_bytes
        Most that may come out of the archive.

    Raises
    ------
    LedgerError
        If the archive is damaged, hostile or in conflict with a run that is here.
    """
    runs_home = ledger.home / "runs"
    try:
        runs_home.mkdir(mode=places.PRIVATE_FOLDER, parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=runs_home, prefix=".import-"))
    except OSError as exc:
        raise LedgerError(
            f"{runs_home} cannot be written: {exc.strerror}", remedy="set SUBMETER_HOME"
        ) from exc
    try:
        with _opened(path) as file:
            ids = _unpack(file, staging, most_bytes)
        return _take_in(ids, staging, ledger, on_conflict)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _pack(ids: list[str], out: Path, suffix: str, ledger: Ledger, *, journals: bool) -> Exported:
    entries: list[RunEntry] = []
    inline: dict[tuple[str, str], bytes] = {}
    left_out: list[str] = []
    for run_id in ids:
        inline[run_id, folders.RUN] = encode_run(ledger.get(run_id))
        edits = ledger.edits(run_id)
        if edits is not None:
            inline[run_id, folders.EDITS] = msgspec.json.encode(edits)
        files = {
            name: FileEntry(len(content), zlib.crc32(content))
            for (owner, name), content in inline.items()
            if owner == run_id
        }
        folder = places.run_folder(ledger.home, run_id)
        for file in sorted(folder.iterdir()) if folder.is_dir() else ():
            if file.name in files or file.name.startswith("."):
                continue
            if not journals and not file.match(LAYERS):  # small, and no raw readings
                continue
            try:
                archives.member_name(f"{run_id}/{file.name}")
            except LedgerError:
                left_out.append(f"{run_id}/{file.name}")
                continue
            if file.is_symlink() or not file.is_file():
                left_out.append(f"{run_id}/{file.name}")
                continue
            files[file.name] = _measured(file)
        entries.append(RunEntry(run_id, files))
    fd, name = tempfile.mkstemp(dir=out.absolute().parent, prefix=f".{out.name[:100]}-")
    try:
        with os.fdopen(fd, "wb") as target:
            _write_archive(target, suffix, Manifest(entries), inline, ledger.home)
            size_bytes = target.tell()
        Path(name).replace(out)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
    return Exported(out, tuple(ids), size_bytes, tuple(left_out))


def _write_archive(
    target: IO[bytes],
    suffix: str,
    manifest: Manifest,
    inline: dict[tuple[str, str], bytes],
    home: Path,
) -> None:
    writer = ArchiveWriter(target, suffix)
    document = msgspec.json.encode(manifest)
    writer.add(archives.MANIFEST, io.BytesIO(document), len(document))
    for run in manifest.runs:
        for name, entry in run.files.items():
            content = inline.get((run.id, name))
            with (
                io.BytesIO(content)
                if content is not None
                else (places.run_folder(home, run.id) / name).open("rb")
            ) as stream:
                writer.add(f"{run.id}/{name}", stream, entry.bytes)
    writer.close()
    target.flush()
    os.fsync(target.fileno())


def _measured(path: Path) -> FileEntry:
    size_bytes = crc = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            size_bytes += len(chunk)
            crc = zlib.crc32(chunk, crc)
    return FileEntry(size_bytes, crc)


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else exc
        raise LedgerError(f"{path} cannot be read: {why}", remedy="name an archive") from exc


def _unpack(file: IO[bytes], staging: Path, most_bytes: int) -> list[str]:
    """Unpack into *staging*, one folder a run; return the runs' ids."""
    manifest = Manifest([])
    entries: dict[tuple[str, str], FileEntry] = {}
    for part in archives.read_archive(file, most_bytes=most_bytes):
        if isinstance(part, Manifest):
            manifest = part
            entries = {(r.id, n): f for r in part.runs for n, f in r.files.items()}
            needed_bytes = sum(f.bytes for f in entries.values())
            if needed_bytes > shutil.disk_usage(staging).free:
                raise LedgerError(
                    f"the archive needs {needed_bytes} bytes of disk, there are fewer",
                    remedy="free some space",
                )
            for run in part.runs:
                (staging / run.id).mkdir(mode=places.PRIVATE_FOLDER)
        else:
            _unpack_file(part, staging, entries[part.run_id, part.name])
    return [run.id for run in manifest.runs]


def _unpack_file(member: Member, staging: Path, entry: FileEntry) -> None:
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    target = staging / member.run_id / member.name
    try:
        fd = os.open(target, flags, places.PRIVATE_FILE)
        with os.fdopen(fd, "wb") as file:
            archives.copy_checked(member, file, entry)
    except OSError as exc:
        raise LedgerError(
            f"{target} cannot be written: {exc.strerror or exc}", remedy="free some space"
        ) from exc


def _take_in(ids: list[str], staging: Path, ledger: Ledger, on_conflict: OnConflict) -> Imported:
    runs: dict[str, Run] = {}
    fate: dict[str, str] = {}
    for run_id in ids:
        document = folders.read_run(staging / run_id)
        if document is None:
            raise archives.refused(f"run {run_id} has no {folders.RUN}")
        what = f"run {run_id}"
        runs[run_id] = check_figures(decode_run(document, what), what)
        if runs[run_id].id != run_id:
            raise archives.refused(f"run {run_id} says that it is {runs[run_id].id[:100]!r}")
        fate[run_id] = _fate(runs[run_id], ledger, on_conflict)
    conflicts = [run_id for run_id, what in fate.items() if what == "refuse"]
    if conflicts:
        shown = ", ".join(conflicts[:3]) + (" …" if len(conflicts) > 3 else "")  # noqa: PLR2004
        raise LedgerError(
            f"here is another run of the same id: {shown}; nothing was imported",
            remedy="--on-conflict keep (ours stays) or --on-conflict replace",
        )
    for run_id, what in fate.items():
        if what in {"new", "replace"}:
            _settle_in(runs[run_id], staging / run_id, ledger)
    return Imported(
        runs=tuple(ledger.get(run_id) for run_id in ids),
        **{
            name: tuple(k for k, v in fate.items() if v == what)
            for name, what in (
                ("new", "new"),
                ("known", "known"),
                ("replaced", "replace"),
                ("kept", "keep"),
            )
        },
    )


def _fate(run: Run, ledger: Ledger, on_conflict: OnConflict) -> str:
    if not ledger.has(run.id):
        # A folder without a row is a run that goes on here, or has not been settled yet.
        there = places.run_folder(ledger.home, run.id).exists()
        return on_conflict if there and on_conflict != "keep" else "refuse" if there else "new"
    try:
        ours = ledger.get(run.id)
    except LedgerError:  # damaged here: what comes is better
        return "replace"
    return "known" if _core(ours) == _core(run) else on_conflict


def _core(run: Run) -> bytes:
    """Encode what two copies of a run must have in common: all but what a user may edit."""
    return encode_run(msgspec.structs.replace(run, tags={}, name=""))


def _settle_in(run: Run, staged: Path, ledger: Ledger) -> None:
    folder = places.run_folder(ledger.home, run.id)
    aside = folder.with_name(f".replaced-{run.id}-{time.monotonic_ns()}")
    had_one = False
    try:
        with contextlib.suppress(FileNotFoundError):
            folder.rename(aside)
            had_one = True
        staged.rename(folder)
        ledger.put(run)
    except BaseException as exc:
        shutil.rmtree(folder, ignore_errors=True)
        if had_one:
            aside.rename(folder)
        if isinstance(exc, OSError) and not isinstance(exc, LedgerError):
            raise LedgerError(
                f"{folder} cannot be written: {exc.strerror}", remedy="mend its permissions"
            ) from exc
        raise
    shutil.rmtree(aside, ignore_errors=True)
