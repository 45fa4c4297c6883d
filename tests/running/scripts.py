# SPDX-License-Identifier: Apache-2.0
"""Real programs, started, talked to and killed by the tests of this folder and its neighbours."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TypeVar

from submeter.errors import LedgerError
from submeter.records.frames import Frame, Head
from submeter.records.runs import Run
from submeter.storing.journal import read_frames
from submeter.storing.ledger import open_ledger
from submeter.storing.places import temporary_homes

T = TypeVar("T")

SOURCE = Path(__file__).parents[2] / "src"
PATIENCE_S = 30.0


def environment(home: Path, **more: str) -> dict[str, str]:
    """What a program of a test sees: its own home, our source, nothing of an outer run."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SUBMETER", "PYTHON"))}
    return kept | {"SUBMETER_HOME": str(home), "PYTHONPATH": str(SOURCE)} | more


def run_arguments(*command: str, options: Sequence[str] = ("--quiet",)) -> list[str]:
    return [sys.executable, "-m", "submeter", "run", *options, "--", *command]


def python_file(folder: Path, code: str, name: str = "train.py") -> str:
    path = folder / name
    path.write_text(code)
    return str(path)


def finish(
    argv: Sequence[str],
    home: Path,
    *,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    prepare: Callable[[], None] | None = None,
    cwd: Path | None = None,
) -> "subprocess.CompletedProcess[bytes]":
    """Run *argv* to its end."""
    return subprocess.run(
        argv,
        env=environment(home) if env is None else env,
        input=stdin,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
        preexec_fn=prepare,
        cwd=cwd,
    )


@contextlib.contextmanager
def begun(
    argv: Sequence[str], home: Path, *, env: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """*argv* running; ended at the latest with the block."""
    with subprocess.Popen(
        argv,
        env=environment(home) if env is None else env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(stream: IO[bytes] | None) -> str:
    """Next line of a program's output."""
    assert stream is not None
    return stream.readline().decode().rstrip("\n")


def until(what: Callable[[], T | None], why: str = "") -> T:
    """Ask again and again until there is an answer."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        found = what()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(why or "it did not happen")


def folders(home: Path) -> list[Path]:
    runs = home / "runs"
    return sorted(runs.iterdir()) if runs.is_dir() else []


def frames(folder: Path) -> list[Frame]:
    journal = folder / "journal"
    return list(read_frames(journal).frames) if journal.is_file() else []


def heads(folder: Path) -> list[Head]:
    return [f for f in frames(folder) if isinstance(f, Head)]


def settled(home: Path, ref: str = "last") -> Run:
    with open_ledger(home / "ledger.db") as ledger:
        return ledger.get(ref)


def in_ledger(home: Path) -> list[str]:
    if not (home / "ledger.db").exists():
        return []
    with open_ledger(home / "ledger.db") as ledger:
        return [row.id for row in ledger.list()]


@contextlib.contextmanager
def shared_places_as_before() -> Iterator[None]:
    """Take out again what a run leaves in the shared temporary folders for want of a home."""
    homes = temporary_homes()
    before = {home: set(folders(home)) for home in homes}
    there = {home for home in homes if home.exists()}
    try:
        yield
    finally:
        for home in homes:
            for folder in set(folders(home)) - before[home]:
                with contextlib.suppress(LedgerError), open_ledger(home / "ledger.db") as ledger:
                    ledger.remove(folder.name)
                shutil.rmtree(folder, ignore_errors=True)
            if home not in there:
                shutil.rmtree(home, ignore_errors=True)


def has_gone(pid: int) -> bool:
    """Whether the process is no more, or a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in "ZX"
