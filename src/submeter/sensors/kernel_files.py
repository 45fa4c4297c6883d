# SPDX-License-Identifier: Apache-2.0
"""Small files that the kernel makes up when they are read."""

import os
from typing import Final

# A FIFO in place of a file must not hold us, and no child inherits what we have open.
READ_ONLY: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


class KeptFile:
    """A file that stays open between reads, which halves what a read costs.

    It is opened again where it fails, and where it was replaced: a file that was removed and made
    anew (a zone, a process) leaves us a dead one that never changes.

    Parameters
    ----------
    path
        The file.
    """

    __slots__ = ("_fd", "_last", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = -1
        self._last = b""

    @property
    def is_open(self) -> bool:
        """Whether a file is held."""
        return self._fd >= 0

    def read(self, size_bytes: int) -> bytes:
        """Content from the beginning, at most *size_bytes* of it.

        Raises
        ------
        OSError
            If the file cannot be opened or read, also after it was opened again.
        """
        if self._fd >= 0:
            try:
                data = os.pread(self._fd, size_bytes, 0)
            except OSError:
                return self._anew(size_bytes)
            if data != self._last or os.fstat(self._fd).st_nlink > 0:
                self._last = data
                return data
        return self._anew(size_bytes)

    def _anew(self, size_bytes: int) -> bytes:
        self.close()
        self._fd = os.open(self.path, READ_ONLY)
        try:
            self._last = os.pread(self._fd, size_bytes, 0)
        except OSError:
            self.close()
            raise
        return self._last

    def close(self) -> None:
        """Let go of the file; a later read opens it again."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)
