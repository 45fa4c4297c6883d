# SPDX-License-Identifier: Apache-2.0
"""Small files that are rewritten in place, as a kernel's pseudo files seem to be."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

# Reading these fails for everybody, root too: the memory of a process at address 0 (EIO), and a
# sysctl that can only be written (EACCES; sysctl permissions know no override for root).
EIO_SOURCE: Final = "/proc/self/mem"
EACCES_SOURCE: Final = "/proc/sys/vm/compact_memory"


class Cell:
    """A file whose content changes in one write, so that no reader sees half of it.

    Content of constant length keeps the file's identity: a reader that holds it open sees each
    new value. Numbers are therefore written with leading zeros.
    """

    def __init__(self, path: Path, *, mode: int = 0o444) -> None:
        self.path = path
        self.mode = mode
        self._fd = -1
        self._length = -1

    def write(self, content: bytes) -> None:
        """Put *content* in, in place."""
        if self._fd < 0:
            self._open()
        os.pwrite(self._fd, content, 0)
        if len(content) != self._length:
            os.ftruncate(self._fd, len(content))
            self._length = len(content)

    def _open(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.path.chmod(0o600)  # its owner has to write what is for reading only
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.fchmod(self._fd, self.mode)
        self._length = -1

    def renew(self, content: bytes) -> None:
        """Put a new file with *content* in the place of the old one, whatever that is now."""
        self.drop()
        beside = self.path.with_name(f".{self.path.name}.new")
        beside.write_bytes(content)
        beside.chmod(self.mode)
        with self._writer():
            beside.replace(self.path)

    def blank(self) -> None:
        """Empty the file, for those that still hold it open, and let go of it."""
        if self._fd < 0:
            with contextlib.suppress(OSError):
                os.truncate(self.path, 0)
        else:
            os.ftruncate(self._fd, 0)
        self.drop()

    def link_to(self, target: str) -> None:
        """Put a symbolic link to *target* in the place of the file."""
        self.drop()
        beside = self.path.with_name(f".{self.path.name}.new")
        beside.symlink_to(target)
        beside.replace(self.path)

    def fifo(self) -> None:
        """Put a FIFO without writer in the place of the file: opening it to read hangs."""
        self.drop()
        beside = self.path.with_name(f".{self.path.name}.new")
        os.mkfifo(beside)
        beside.replace(self.path)

    def release(self) -> None:
        """Let whoever hangs in opening the FIFO go on, to an end of file."""
        with self._writer():
            pass

    @contextlib.contextmanager
    def _writer(self) -> Iterator[None]:
        """Be the writer that those who hang in a FIFO wait for; nothing where there is none."""
        fd = -1
        with contextlib.suppress(OSError):
            if stat.S_ISFIFO(self.path.lstat().st_mode):
                fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            yield
        finally:
            if fd >= 0:
                os.close(fd)

    def drop(self) -> None:
        """Let go of the file; the next write opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def __getstate__(self) -> tuple[Path, int]:
        return self.path, self.mode

    def __setstate__(self, state: tuple[Path, int]) -> None:
        self.path, self.mode = state
        self._fd = self._length = -1
