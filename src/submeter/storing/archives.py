# SPDX-License-Identifier: Apache-2.0
"""Archives of runs: read as if an enemy had packed them, written to equal bytes for equal runs.

Layout: ``manifest.json`` first, then ``<run id>/<file>``: flat folders of regular files.
"""

import contextlib
import gzip
import io
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import msgspec

from submeter.errors import LedgerError, SubmeterError, UsageError

ARCHIVE_SCHEMA: Final = 1
MANIFEST: Final = "manifest.json"
MOST_FILES: Final = 100_000
LARGEST_MANIFEST_BYTES: Final = 32 * 2**20
MOST_BYTES: Final = 20 * 2**30  # unpacked
_FREE_BYTES: Final = 64 * 2**20  # so much may be packed as tightly as one likes ...
_TIGHTEST: Final = 200  # ... beyond it, journals never shrink to less than a 200th
_LARGEST_READ_BYTES: Final = 2**20
_MEMBER: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,99})/([A-Za-z0-9][A-Za-z0-9._-]{0,99})")
_LINK_BITS: Final = 16  # of a zip's external attributes, above which a Unix mode stands


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """A file of a run in an archive."""

    bytes: int
    crc32: int


class RunEntry(msgspec.Struct, frozen=True):
    """A run in an archive."""

    id: str
    files: dict[str, FileEntry]


class Manifest(msgspec.Struct, frozen=True):
    """First file of an archive: all that must be in it, and no more may be."""

    runs: list[RunEntry]
    kind: str = "submeter runs"
    schema: int = ARCHIVE_SCHEMA


class Member(msgspec.Struct, frozen=True):
    """One file of an archive while it is read."""

    run_id: str
    name: str
    stream: IO[bytes]
    size_bytes: int


_Raw = tuple[str, int, IO[bytes]]  # a member before it is trusted: name, size, content


def member_name(name: str) -> tuple[str, str]:
    """Run id and file name of a member; refuses whatever could leave the folder."""
    found = _MEMBER.fullmatch(name)
    if found is None:
        raise refused(f"it holds the path {name[:100]!r}")
    return found[1], found[2]


def refused(why: str) -> LedgerError:
    """Error for an archive that is not unpacked."""
    return LedgerError(
        f"the archive is refused: {why}", remedy="make it with `submeter export`; nothing was read"
    )


# --- writing ----------------------------------------------------------------------------------


class ArchiveWriter:
    """Packs files into a ``.tar.gz``, ``.tgz`` or ``.zip``."""

    def __init__(self, file: IO[bytes], suffix: str) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) if suffix == ".zip" else None
        self._gzip = None if self._zip else gzip.GzipFile("", "wb", 6, file, mtime=0)
        self._tar = (
            tarfile.open(fileobj=self._gzip, mode="w", format=tarfile.GNU_FORMAT)  # noqa: SIM115
            if self._gzip
            else None
        )

    def add(self, name: str, stream: IO[bytes], size_bytes: int) -> None:
        """Pack *size_bytes* of *stream* as *name*."""
        if self._tar is not None:
            info = tarfile.TarInfo(name)
            info.size, info.mode = size_bytes, 0o600
            self._tar.addfile(info, stream)
        elif self._zip is not None:
            entry = zipfile.ZipInfo(name)  # dated 1980, like all others
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (stat.S_IFREG | 0o600) << _LINK_BITS
            with self._zip.open(entry, "w", force_zip64=size_bytes > 2**31) as target:
                left = size_bytes
                while left and (chunk := stream.read(min(left, _LARGEST_READ_BYTES))):
                    target.write(chunk)
                    left -= len(chunk)

    def close(self) -> None:
        """Write the end of the archive."""
        for part in (self._tar, self._gzip, self._zip):
            if part is not None:
                part.close()


def archive_suffix(path: Path) -> str:
    """``.zip`` or ``.tar.gz``, by the name of *path*."""
    name = path.name.lower()
    if name.endswith(".zip"):
        return ".zip"
    if name.endswith((".tar.gz", ".tgz")):
        return ".tar.gz"
    raise UsageError(
        f"{path.name} does not say what kind of archive it is",
        remedy="end the name in .tar.gz, .tgz or .zip",
    )


# --- reading ----------------------------------------------------------------------------------


def read_archive(file: IO[bytes], *, most_bytes: int = MOST_BYTES) -> Iterator[Manifest | Member]:
    """Yield the manifest, then each member; its stream must be read before the next is asked for.

    Raises
    ------
    LedgerError
        If it is no archive, damaged, or holds anything but the flat files of its manifest.
    """
    packed_bytes = file.seek(0, io.SEEK_END)
    file.seek(0)
    is_zip = file.read(2) == b"PK"
    file.seek(0)
    members = _zip_members(file) if is_zip else _tar_members(file, most_bytes)
    with _reading():
        manifest = _manifest(members, packed_bytes, most_bytes)
        yield manifest
        expected = {
            (run.id, name): entry for run in manifest.runs for name, entry in run.files.items()
        }
        for name, size_bytes, stream in members:
            key = member_name(name)
            entry = expected.pop(key, None)
            if entry is None or entry.bytes != size_bytes:
                raise refused(f"{name} is not as its manifest says")
            yield Member(*key, stream, size_bytes)
        if expected:
            raise refused(f"{len(expected)} files of its manifest are missing")


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Whatever goes wrong while an archive is read means that it is refused."""
    try:
        yield
    except SubmeterError:
        raise
    except (
        tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError,
        RuntimeError, ValueError,
    ) as exc:  # fmt: skip
        raise refused(f"it is damaged or no archive ({exc or type(exc).__name__})") from exc


def copy_checked(member: Member, target: IO[bytes], entry: FileEntry) -> None:
    """Copy a member to *target*; refuses more, fewer or other bytes than its manifest says."""
    crc, left = 0, entry.bytes
    while True:
        with _reading():
            chunk = member.stream.read(min(left + 1, _LARGEST_READ_BYTES))
        left -= len(chunk)
        if not chunk or left < 0:
            break
        crc = zlib.crc32(chunk, crc)
        target.write(chunk)
    if left or crc != entry.crc32:
        raise refused(f"{member.run_id}/{member.name} is damaged")


def _manifest(members: Iterator[_Raw], packed_bytes: int, most_bytes: int) -> Manifest:
    first = next(members, None)
    if first is None or first[0] != MANIFEST or first[1] > LARGEST_MANIFEST_BYTES:
        raise refused("it does not begin with a manifest")
    try:
        manifest = msgspec.json.decode(first[2].read(LARGEST_MANIFEST_BYTES), type=Manifest)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
        raise refused(f"its manifest is not readable ({exc})") from exc
    if manifest.kind != Manifest.__struct_defaults__[0]:
        raise refused("it holds something else than runs")
    if manifest.schema > ARCHIVE_SCHEMA:
        raise LedgerError(
            f"the archive was made by a newer submeter (schema {manifest.schema})",
            remedy="pip install --upgrade submeter",
        )
    if manifest.schema < 1:
        raise refused(f"its schema is {manifest.schema}")
    if not manifest.runs:
        raise refused("no run is in it")
    files = [(run.id, name, f) for run in manifest.runs for name, f in run.files.items()]
    for run_id, name, entry in files:
        member_name(f"{run_id}/{name}")
        if entry.bytes < 0:
            raise refused("a size in its manifest is negative")
    if len({run.id for run in manifest.runs}) < len(manifest.runs):
        raise refused("a run is in it twice")
    unpacked_bytes = sum(entry.bytes for _, _, entry in files)
    if len(files) > MOST_FILES or unpacked_bytes > most_bytes:
        raise refused(f"{len(files)} files of {unpacked_bytes} bytes are too much")
    if unpacked_bytes > max(_FREE_BYTES, packed_bytes * _TIGHTEST):
        raise refused(f"{packed_bytes} bytes would become {unpacked_bytes}")
    return manifest


class _Bounded(io.RawIOBase):
    """A stream of which no header can take much memory, nor a seek much time."""

    def __init__(self, inner: IO[bytes], most_bytes: int) -> None:
        self._inner = inner
        self._most_bytes = most_bytes

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LARGEST_MANIFEST_BYTES + 1024:
            raise refused("a header in it is too large")
        return self._inner.read(size)

    def tell(self) -> int:
        return self._inner.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or offset > self._most_bytes + MOST_FILES * 1024:
            raise refused("it is too large")
        return self._inner.seek(offset)


def _tar_members(file: IO[bytes], most_bytes: int) -> Iterator[_Raw]:
    with gzip.GzipFile(fileobj=file) as unpacked:
        bounded = _Bounded(unpacked, most_bytes)  # type: ignore[arg-type]
        with tarfile.open(fileobj=bounded, mode="r:") as tar:
            for info in tar:
                if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
                    raise refused(f"{info.name[:100]!r} is not a regular file")
                if info.size > most_bytes:
                    raise refused(f"{info.name[:100]!r} is too large")
                stream = tar.extractfile(info)
                if stream is None:
                    raise refused(f"{info.name[:100]!r} cannot be read")
                yield info.name, info.size, stream


def _zip_members(file: IO[bytes]) -> Iterator[_Raw]:
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        if len(infos) > MOST_FILES:
            raise refused(f"{len(infos)} files are too much")
        for info in infos:
            kind = stat.S_IFMT(info.external_attr >> _LINK_BITS)
            if info.is_dir() or kind not in {0, stat.S_IFREG}:
                raise refused(f"{info.filename[:100]!r} is not a regular file")
            with archive.open(info) as stream:
                yield info.filename, info.file_size, stream
