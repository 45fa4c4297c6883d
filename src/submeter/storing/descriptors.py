# SPDX-License-Identifier: Apache-2.0
"""Descriptors that we hold in somebody else's process, where anybody may close them.

A program that becomes a daemon closes all numbers it can think of, ours among them, and the next
file that it opens gets one of those. So a number alone says nothing: before each use the file
behind it is compared with the one that it stood for.
"""

import contextlib
import os
from pathlib import Path
from typing import Final

__all__ = ["Held"]

_AGAIN: Final = os.O_RDWR | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)


class Held:
    """A descriptor that is used and closed only as long as it is ours.

    Parameters
    ----------
    fd
        An open descriptor, which belongs to this from now on; -1 for none.

    Raises
    ------
    OSError
        If *fd* is not open.
    """

    __slots__ = ("_file", "_number")

    def __init__(self, fd: int = -1) -> None:
        self._number = fd
        self._file = None if fd < 0 else _file(fd)

    @property
    def fd(self) -> int:
        """The descriptor; -1 once it was closed, by us or by anybody."""
        if self._number >= 0:
            try:
                same = _file(self._number) == self._file
            except OSError:
                same = False
            if not same:
                self._number = -1
        return self._number

    @property
    def lost(self) -> bool:
        """Whether somebody else closed it."""
        return self._file is not None and self.fd < 0

    def reopen(self, path: Path) -> bool:
        """Whether the same file was opened again at *path*, after the loss of its descriptor."""
        try:
            fd = os.open(path, _AGAIN)
        except OSError:
            return False
        if _file(fd) != self._file:
            os.close(fd)
            return False
        self._number = fd
        return True

    def close(self) -> None:
        """Close it if it is still ours."""
        fd, self._number, self._file = self.fd, -1, None
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)


def _file(fd: int) -> tuple[int, int]:
    about = os.fstat(fd)
    return about.st_dev, about.st_ino
