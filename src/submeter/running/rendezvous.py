# SPDX-License-Identifier: Apache-2.0
"""How ranks that a launcher started side by side on one machine find one run for them all.

The first that comes makes the run and writes its folder into a small locked file; the others
read it there. The file's name comes from what the launcher calls this start of the job.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

__all__ = ["Meeting", "launch_key", "meet"]

FOLDER: Final = "joins"
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def launch_key(env: Mapping[str, str]) -> str:
    """Say what the launcher calls this start of its job; "" if there is just one process.

    A restarted job is another start: it gets another run, tagged with its attempt.
    """
    words: tuple[str, ...]
    if env.get("TORCHELASTIC_RUN_ID"):
        words = ("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "MASTER_ADDR", "MASTER_PORT")
    elif env.get("SLURM_STEP_ID") and _more_than_one(env, "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"):
        words = ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT")
    elif env.get("OMPI_COMM_WORLD_RANK") and _more_than_one(env, "OMPI_COMM_WORLD_SIZE"):
        words = ("PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid", "MASTER_ADDR", "MASTER_PORT")
    elif env.get("RANK") and env.get("MASTER_ADDR") and env.get("MASTER_PORT"):
        words = ("MASTER_ADDR", "MASTER_PORT")
    else:
        return ""
    return "\n".join(f"{w}={env.get(w, '')}" for w in words)


def _more_than_one(env: Mapping[str, str], *names: str) -> bool:
    return any(env.get(n, "1") != "1" for n in names)


class Meeting:
    """What the ranks of a start agree on, while this process holds its lock."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @property
    def folder(self) -> Path | None:
        """Folder of the run that somebody else made."""
        raw = os.pread(self._fd, 1 << 16, 0)
        return Path(os.fsdecode(raw)) if raw else None

    def propose(self, folder: Path) -> None:
        """Make *folder* the run of all."""
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, os.fsencode(folder), 0)


@contextlib.contextmanager
def meet(home: Path, key: str) -> Iterator[Meeting]:
    """Hold the place where the ranks of start *key* on this machine meet.

    The lock goes with the process that holds it, so a rank that dies here holds up nobody.

    Raises
    ------
    OSError
        If *home* cannot be written or knows no locks.
    """
    import fcntl  # only on Linux, and only ranks need it
    import hashlib

    with contextlib.suppress(OSError):
        key += "\n" + _BOOT_ID.read_text().strip()
    key += f"\n{os.uname().nodename}\n{os.getuid()}"
    folder = home / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
    fd = os.open(path, flags, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield Meeting(fd)
    finally:
        os.close(fd)
