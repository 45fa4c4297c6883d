# SPDX-License-Identifier: Apache-2.0
"""Where submeter keeps its files, and where it goes when that place cannot be written."""

import contextlib
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

PRIVATE_FOLDER: Final = 0o700
PRIVATE_FILE: Final = 0o600
CLAIMS_FILE: Final = "claims.db"  # the account of certificates, in the home
_PROBE_BYTES: Final = 65_536  # about what an empty ledger takes, with its log


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# File systems whose locks or shared memory cannot be trusted between hosts.
NETWORK_SYSTEMS: Final = _words(
    """
    9p afs beegfs ceph cifs davfs gfs2 glusterfs gpfs lustre ncpfs nfs nfs4 ocfs2 orangefs
    panfs pvfs2 prl_fs smb2 smb3 smbfs vboxsf virtiofs vmhgfs wekafs
    """
)
_LOCAL_FUSE: Final = frozenset({"fuse.fuse-overlayfs", "fuse.ntfs", "fuse.ntfs-3g", "fuseblk"})


def home(env: Mapping[str, str] | None = None) -> Path:
    """Folder that holds the ledger and the runs: ``SUBMETER_HOME``, or the user's data folder.

    It need not exist or be writable. Without any home it is the private folder in the shared
    temporary one.
    """
    given = (os.environ if env is None else env).get("SUBMETER_HOME")
    if given:
        with contextlib.suppress(RuntimeError, OSError):  # ~ of nobody, or no working folder
            return Path(given).expanduser().absolute()
        return Path(given)
    import platformdirs

    try:
        path = platformdirs.user_data_path("submeter", appauthor=False)
    except (RuntimeError, KeyError):  # an account without an entry, and no HOME
        return temporary_homes()[0]
    return path if path.is_absolute() else temporary_homes()[0]


def temporary_homes(parents: Sequence[Path] | None = None) -> list[Path]:
    """Private folders to fall back to, one in each shared temporary folder, best first."""
    if parents is None:
        # /var/tmp outlives a reboot; /dev/shm is there when every disk is full.
        names = ("/var/tmp", os.environ.get("TMPDIR") or "/tmp", "/dev/shm")  # noqa: S108
        parents = list(dict.fromkeys(Path(n) for n in names))
    owner = os.getuid() if hasattr(os, "getuid") else "user"
    return [parent / f"submeter-{owner}" for parent in parents]


def writable_home(
    env: Mapping[str, str] | None = None, *, parents: Sequence[Path] | None = None
) -> tuple[Path, str]:
    """Folder to write to now, and "" or a sentence that says where things go instead and why.

    It never raises. If no place can be written, the home is returned with a sentence that says
    so; what is written there will fail then, and the training goes on.

    Parameters
    ----------
    env
        Environment; the process's own if None.
    parents
        Shared folders to fall back to; those of the system if None.
    """
    first = home(env)
    fallbacks = temporary_homes(parents)
    why = why_not_writable(first, shared=first in fallbacks)
    if not why:
        return first, ""
    for place in fallbacks:
        if place != first and not why_not_writable(place, shared=True):
            return place, f"{_shown(first)} {why}; runs are kept in {place} instead"
    return first, f"{_shown(first)} {why}, and no other place can be written: nothing is kept"


def why_not_writable(folder: Path, *, shared: bool = False) -> str:
    """Why nothing can be kept in *folder* ("" if it can), which is made if it is missing.

    With *shared*, its parent is open to others, so that the folder must be ours alone.
    """
    try:
        os.fspath(folder).encode("utf-8")  # orders and the ledger name it in JSON
        if shared:
            make_private(folder)
        else:
            folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        name = folder / f".probe-{os.getpid()}-{os.urandom(4).hex()}"
        fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, PRIVATE_FILE)
        try:
            if os.write(fd, bytes(_PROBE_BYTES)) < _PROBE_BYTES:
                return "is full"
        finally:
            os.close(fd)
            name.unlink()
    except UnicodeEncodeError:
        return "is not valid UTF-8"
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else None
        return f"cannot be written ({reason or exc})"
    return ""


def make_private(folder: Path) -> None:
    """Make *folder* in a shared place, or see that the one there is ours and closed to others.

    Raises
    ------
    OSError
        If it is a link, belongs to somebody else, or cannot be made.
    """
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=PRIVATE_FOLDER)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if found.st_uid != os.geteuid():
            raise PermissionError(None, "it belongs to somebody else")
        if stat.S_IMODE(found.st_mode) & 0o077:
            os.fchmod(fd, PRIVATE_FOLDER)
    finally:
        os.close(fd)


def other_homes(env: Mapping[str, str] | None = None) -> list[Path]:
    """Fallback folders of ours that hold runs now, apart from the home itself."""
    first = home(env)
    found = []
    for place in temporary_homes():
        with contextlib.suppress(OSError):
            here = place.lstat()
            ours = stat.S_ISDIR(here.st_mode) and here.st_uid == os.geteuid()
            if place != first and ours and (place / "runs").is_dir():
                found.append(place)
    return found


def new_run_id(now_utc_ns: int) -> str:
    """Make a run id ``YYYYMMDD-HHMMSS-xxxx`` for an instant (UTC) and four random digits."""
    from datetime import UTC, datetime

    now = datetime.fromtimestamp(now_utc_ns // 1_000_000_000, UTC)
    return f"{now:%Y%m%d-%H%M%S}-{os.urandom(2).hex()}"


def run_folder(home: Path, run_id: str) -> Path:
    """Folder of one run. It is not made."""
    return home / "runs" / run_id


def file_system(path: Path, *, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """Kind of file system that holds *path* (``ext4``, ``nfs4``), "" if it cannot be known."""
    try:
        place = os.path.realpath(path)
        rows = mounts.read_bytes().splitlines()
    except (OSError, ValueError):
        return ""
    best, kind = -1, ""
    for row in rows:
        before, _, after = row.partition(b" - ")
        fields = before.split()
        if len(fields) < 5 or not after:  # noqa: PLR2004  # proc(5): the fifth is the mount point
            continue
        point = os.fsdecode(_unescape(fields[4]))
        inside = place == point or place.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:  # of equal ones the later mount is on top
            best, kind = len(point), os.fsdecode(after.split()[0])
    return kind


def is_network(kind: str) -> bool:
    """Whether a *kind* of file system is shared between hosts."""
    return kind in NETWORK_SYSTEMS or (kind.startswith("fuse.") and kind not in _LOCAL_FUSE)


def _unescape(field: bytes) -> bytes:
    r"""Undo ``\040`` and the like (octal, proc(5))."""
    first, *rest = field.split(b"\\")
    return first + b"".join(bytes([int(part[:3], 8)]) + part[3:] for part in rest)


FileSystem = Callable[[Path], str]


def _shown(path: Path) -> str:
    from submeter.storing.wording import safe_text

    return safe_text(os.fspath(path))
