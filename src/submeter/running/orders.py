# SPDX-License-Identifier: Apache-2.0
"""What a new run is told about itself: where it is kept, who asked, from which code."""

import contextlib
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from submeter.collecting.order import Order
from submeter.storing.places import new_run_id, run_folder, writable_home
from submeter.storing.redaction import redact_command, redact_text
from submeter.storing.wording import safe_text

if TYPE_CHECKING:
    import subprocess

__all__ = ["CodeState", "code_state", "new_order", "versions"]

LEDGER_FILE: Final = "ledger.db"
_HEX: Final = re.compile(r"[0-9a-f]{40,64}")
_GIT_BYTES: Final = 4 << 20  # of packed references
_MOST_TAGS: Final = 64
_NAME_CHARS: Final = 200
_TOLD: Final = ("torch", "jax", "tensorflow", "transformers", "sklearn", "numpy")


def new_order(
    *,
    name: str = "",
    command: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
    interval_s: float | None = None,
    project: str | None = None,
    zone: str | None = None,
    leader_pid: int,
    code: Callable[[], dict[str, str]] = dict,
) -> Order:
    """Order of a new run in a new folder; `Order.notes` holds what did not go as set.

    Raises
    ------
    OSError
        If no folder for it can be made anywhere.
    """
    from submeter.grid.timezone import machine_timezone
    from submeter.settings import load
    from submeter.settings.recording import recorded

    loaded = load(strict=False, arguments={"zone": zone})
    home, elsewhere = writable_home()
    utc_ns = time.time_ns()
    place = {key: _text(word) for key, word in recorded(loaded).items()}
    timezone = machine_timezone()
    if timezone:  # what the clock tells of the place, where nobody said it
        place["timezone"] = _text(timezone)
    visible_devices = os.environ.get("CUDA_VISIBLE_DEVICES")
    order = Order(
        run_id="",
        folder="",
        ledger=str(home / LEDGER_FILE),
        leader_pid=leader_pid,
        owner_pid=os.getpid(),
        interval_s=loaded.settings.interval_s if interval_s is None else interval_s,
        utc_ns=utc_ns,
        t_ns=time.monotonic_ns(),
        name=safe_text(str(name), most=_NAME_CHARS),
        command=tuple(redact_command([_text(word) for word in command])),
        tags={
            safe_text(str(k), most=_NAME_CHARS): redact_text(safe_text(str(v)))
            for k, v in list((tags or {}).items())[:_MOST_TAGS]
        },
        user=_user(),
        project=safe_text(str(loaded.settings.project if project is None else project)),
        attempt=_attempt(),
        place=place,
        code=code(),
        visible_devices=None if visible_devices is None else _text(visible_devices),
        notes=tuple(_text(n) for n in (*loaded.warnings, elsewhere) if n),
    )
    # last of all, so that none is left behind should the rest fail
    run_id, folder = _new_folder(home, utc_ns)
    return msgspec.structs.replace(order, run_id=run_id, folder=str(folder))


def _new_folder(home: Path, utc_ns: int) -> tuple[str, Path]:
    for _ in range(16):
        run_id = new_run_id(utc_ns)
        folder = run_folder(home, run_id)
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            continue
        return run_id, folder
    msg = f"no free name for a run in {home}"
    raise FileExistsError(msg)


def _text(said: str) -> str:
    r"""*said* as text that JSON can hold: bytes that are not UTF-8 are shown as ``\xff``."""
    try:
        return os.fsencode(said).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a character that no byte stands for
        return said.encode("utf-8", "backslashreplace").decode()


def _user() -> str:
    try:
        import pwd

        return _text(pwd.getpwuid(os.getuid()).pw_name)
    except (ImportError, KeyError, AttributeError):
        return safe_text(os.environ.get("USER", ""))


def _attempt() -> int:
    """Which start of the same job this is, by its scheduler; 1 for the first."""
    for key in ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT"):
        with contextlib.suppress(KeyError, ValueError):
            return 1 + max(0, int(os.environ[key]))
    return 1


def versions() -> dict[str, str]:
    """Versions of Python and of those libraries that this process has loaded by now."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in _TOLD:
        version = getattr(sys.modules.get(name), "__version__", "")
        if isinstance(version, str) and version:
            found[name] = _text(version)
    return found


class CodeState:
    """State of the user's code; whether it was changed is still being asked."""

    def __init__(self, commit: str = "", asked: "subprocess.Popen[bytes] | None" = None) -> None:
        self.commit = commit
        self.asked = asked

    def known(self, wait_s: float = 0.02) -> dict[str, str]:
        """Commit, and whether files differ from it if that is known within *wait_s*."""
        found = {"commit": self.commit} if self.commit else {}
        asked, self.asked = self.asked, None
        if asked is None:
            return found
        import subprocess

        try:
            out, _ = asked.communicate(timeout=wait_s)
        except subprocess.TimeoutExpired:
            asked.kill()
            asked.communicate()
        else:
            if asked.returncode == 0:
                found["dirty"] = "yes" if out.strip() else "no"
        return found


def code_state(start: Path | None = None) -> CodeState:
    """State of the repository around *start* (the working folder), without waiting for it.

    The commit is read from the repository's files. Whether files were changed only git can say:
    it is asked now and answers while other things are done.
    """
    try:
        here = Path.cwd() if start is None else start
        found = next((p for p in (here, *here.parents) if (p / ".git").exists()), None)
        if found is None:
            return CodeState()
        commit = _commit(found / ".git")
    except (OSError, ValueError):
        return CodeState()
    if not commit:
        return CodeState()
    import subprocess  # 10 ms that only a repository has to pay for

    git = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(found)]
    try:
        asked = subprocess.Popen(
            [*git, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:  # no git here
        return CodeState(commit)
    return CodeState(commit, asked)


def _commit(dot_git: Path) -> str:
    folder = dot_git
    if dot_git.is_file():  # a work tree or a submodule points to its folder
        folder = dot_git.parent / dot_git.read_text().removeprefix("gitdir:").strip()
    head = (folder / "HEAD").read_text().strip()
    if not head.startswith("ref:"):
        return head if _HEX.fullmatch(head) else ""
    ref = head.removeprefix("ref:").strip()
    common = folder
    with contextlib.suppress(OSError):
        common = folder / (folder / "commondir").read_text().strip()
    for place in (folder, common):
        with contextlib.suppress(OSError):
            commit = (place / ref).read_text().strip()
            return commit if _HEX.fullmatch(commit) else ""
    with (common / "packed-refs").open() as packed:
        for line in packed.read(_GIT_BYTES).splitlines():
            commit, _, name = line.partition(" ")
            if name.strip() == ref and _HEX.fullmatch(commit):
                return commit
    return ""
