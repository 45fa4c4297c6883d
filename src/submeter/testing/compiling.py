# SPDX-License-Identifier: Apache-2.0
"""Turn the C of the fake driver library into one, once."""

import contextlib
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from submeter.errors import SubmeterError

__all__ = ["SONAME", "compile_library", "find_compiler"]

SONAME: Final = "libnvidia-ml.so.1"


def find_compiler() -> str | None:
    """Return the C compiler that would be used, or None if there is none."""
    wanted = (os.environ.get("CC", ""), "cc", "gcc", "clang")
    return next(filter(None, map(shutil.which, filter(None, wanted))), None)


def compile_library(cache: Path | None = None) -> Path:
    """Compile the fake driver library, unless that was done before.

    Parameters
    ----------
    cache
        Folder for the result; default: a private one under the folder for temporary files.

    Returns
    -------
    Path
        ``libnvidia-ml.so.1`` in a folder of its own.

    Raises
    ------
    SubmeterError
        If there is no C compiler, or it fails.
    """
    source = Path(__file__).with_name("nvml.c")
    key = hashlib.sha256(source.read_bytes() + sys.platform.encode()).hexdigest()[:16]
    library = (cache or _private_cache()) / key / SONAME
    if library.exists():
        return library
    compiler = find_compiler()
    if compiler is None:
        raise SubmeterError(
            "the fake NVIDIA library is made from C, and there is no C compiler (cc, gcc, clang)",
            remedy="install one, for example with `apt install gcc libc6-dev`, or name it in CC",
        )
    library.parent.mkdir(parents=True, exist_ok=True)
    made = library.with_name(f"{SONAME}.{os.getpid()}")
    command = [compiler, "-std=gnu11", "-O2", "-shared", "-fPIC", f"-Wl,-soname,{SONAME}",
               "-o", str(made), str(source), "-lm"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SubmeterError(
            f"{compiler} could not compile {source.name}: {done.stderr.strip()[-500:]}",
            remedy="install the C library's headers, for example with `apt install libc6-dev`",
        )
    made.replace(library)  # whole or not at all, also when two do it at once
    return library


def _private_cache() -> Path:
    """Return a folder that nobody else can put a library into."""
    user = os.getuid()
    folder = Path(tempfile.gettempdir()) / f"submeter-testing-{user}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o022:
        return folder
    return Path(tempfile.mkdtemp(prefix="submeter-testing-"))
