# SPDX-License-Identifier: Apache-2.0
"""Opening, locking and writing a file that others may have laid traps for."""

import errno
import os
import stat
import time
from pathlib import Path
from typing import Final

from submeter.errors import LedgerError, LedgerLockedError

NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
HELD: Final = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})
_FLAGS: Final = (
    os.O_RDWR | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
)


class Disk:
    """The calls that a full, broken or vanished disk makes fail; a border for tests."""

    def write(self, fd: int, data: bytes) -> int:
        """Write some of *data*."""
        return os.write(fd, data)

    def fsync(self, fd: int) -> None:
        """Make what was written last."""
        os.fsync(fd)

    def truncate(self, fd: int, length: int) -> None:
        """Cut to *length* bytes."""
        os.ftruncate(fd, length)


def write_all(disk: Disk, fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        written = disk.write(fd, bytes(view) if len(view) < len(data) else data)
        if written <= 0:
            raise OSError(errno.EIO, "nothing was written")
        view = view[written:]


def open_or_make(path: Path) -> tuple[int, bool]:
    """Descriptor, and whether the file is new."""
    try:
        return os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600), True
    except FileExistsError:
        pass
    try:
        return os.open(path, _FLAGS), False
    except OSError as exc:
        if exc.errno in {errno.ELOOP, errno.EMLINK}:
            raise LedgerError(
                f"{path} is a symbolic link",
                remedy="remove it, or set SUBMETER_HOME to a folder of your own",
            ) from exc
        raise


def refuse_traps(fd: int, path: Path, *, ours: bool) -> None:
    """Refuse what somebody else may have laid where our journal should be."""
    about = os.fstat(fd)
    why = ""
    if not stat.S_ISREG(about.st_mode):
        why = "is not a regular file"
    elif not ours and about.st_nlink > 1:
        why = "has a second name (hard link)"
    elif not ours and about.st_uid != os.geteuid() and _anyone_may_write(path.parent):
        why = "belongs to another user"
    if why:
        raise LedgerError(
            f"{path} {why}", remedy="remove it, or set SUBMETER_HOME to a folder of your own"
        )


def _anyone_may_write(folder: Path) -> bool:
    return bool(folder.stat().st_mode & stat.S_IWOTH)


def lock_file(fd: int, path: Path) -> None:
    """Lock for the life of this process; heartbeats replace it where there are no locks."""
    import fcntl  # not everywhere, and only a collector locks

    for attempt in range(10):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            if exc.errno in NO_LOCKS:
                return
            if exc.errno not in HELD:
                raise
            # `is_live` holds a shared lock for microseconds
            time.sleep(0.002 * attempt)
        else:
            return
    raise LedgerLockedError(
        f"{path} is being written by another process", remedy="wait until that run has ended"
    )


def boot_id(proc_root: Path = Path("/proc")) -> str:
    """Name of this boot of the machine; empty where the kernel does not tell."""
    try:
        return (proc_root / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
