# SPDX-License-Identifier: Apache-2.0
"""Answers of providers on disk: what is past and settled for ever, the rest for minutes.

One file an answer: a line of JSON that says what was asked, when, and how the body hashes; then
the body. A file that does not hold together, or that answers another question, is as good as none.
"""

import contextlib
import os
import stat
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from submeter.providers.transport import LARGEST_TEXT_BYTES

QUOTA_BYTES: Final = 64 * 2**20
FRESH_S: Final = 600.0  # of answers about now or the future: providers renew them within 5–60 min
STALE_S: Final = 7 * 86_400.0  # older ones say nothing any more
_SUFFIX: Final = ".answer"
_VERSION: Final = 1


class Entry(msgspec.Struct, frozen=True):
    """A kept answer. *settled* ones do not change any more at the provider."""

    body: bytes
    stored_utc_s: float
    settled: bool

    def age_s(self, now_utc_s: float) -> float:
        """Time since the answer was given [s]; never negative, whatever the clock did."""
        return max(0.0, now_utc_s - self.stored_utc_s)

    def fresh(self, now_utc_s: float) -> bool:
        """Whether the answer can be used without asking again."""
        return self.settled or 0 <= now_utc_s - self.stored_utc_s <= FRESH_S


class _Head(msgspec.Struct, frozen=True):
    version: int
    question: str
    stored_utc_s: float
    settled: bool
    digest: str


class AnswerCache:
    """Private files below a folder of ours, each named after the question it answers.

    A *question* holds everything by which one request differs from another, and no secret.
    Nothing here ever raises for the disk's sake: a cache that cannot be written is no cache.
    """

    def __init__(self, folder: Path, *, quota_bytes: int = QUOTA_BYTES) -> None:
        self.folder = folder
        self._quota_bytes = quota_bytes

    def get(self, question: str) -> Entry | None:
        """Find the answer to *question*, fresh or not; None if there is none that holds."""
        try:
            raw = _read(self._path(question))
        except OSError:
            return None
        line, _, body = raw.partition(b"\n")
        try:
            head = msgspec.json.decode(line, type=_Head)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        holds = head.version == _VERSION and head.question == question
        if not holds or head.digest != _digest(_bare(head), body):
            return None
        return Entry(body, head.stored_utc_s, head.settled)

    def put(self, question: str, body: bytes, *, now_utc_s: float, settled: bool) -> None:
        """Keep *body* as the answer to *question*, and drop the oldest ones beyond the quota."""
        bare = _Head(_VERSION, question, now_utc_s, settled, "")
        head = msgspec.structs.replace(bare, digest=_digest(_bare(bare), body))
        data = msgspec.json.encode(head) + b"\n" + body
        if len(data) > self._quota_bytes:
            return
        path = self._path(question)
        part = path.with_suffix(f".{os.getpid()}-{os.urandom(4).hex()}.part")
        with contextlib.suppress(OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                _write_new(part, data)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
            self._tidy(path)

    def _path(self, question: str) -> Path:
        return self.folder / f"{sha256(question.encode()).hexdigest()[:40]}{_SUFFIX}"

    def _tidy(self, newest: Path) -> None:
        """Remove the oldest answers beyond the quota, and what a killed writer left behind."""
        found: list[tuple[float, int, Path]] = []
        for path in self.folder.iterdir():
            with contextlib.suppress(OSError):
                about = path.lstat()
                if path.suffix == _SUFFIX and path != newest:
                    found.append((about.st_mtime, about.st_size, path))
                elif path.suffix == ".part" and about.st_mtime < newest.stat().st_mtime - 3600:
                    path.unlink(missing_ok=True)
        room = self._quota_bytes - newest.stat().st_size
        for _, size, path in sorted(found, reverse=True):
            room -= size
            if room < 0:
                path.unlink(missing_ok=True)


def _bare(head: _Head) -> bytes:
    """Encode *head* without its digest, which covers the rest of it."""
    return msgspec.json.encode(msgspec.structs.replace(head, digest=""))


def _digest(head: bytes, body: bytes) -> str:
    return sha256(head + b"\n" + body).hexdigest()


def _read(path: Path) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(None, "not a regular file")
        return file.read(LARGEST_TEXT_BYTES + 2**20)


def _write_new(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
