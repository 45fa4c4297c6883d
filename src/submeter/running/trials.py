# SPDX-License-Identifier: Apache-2.0
"""Runs that we start ourselves, one after the other: to prove, to tune, to compare.

Each is a ``submeter run`` in a process of its own, as a user would type it, so that no trial can
spoil the next one's readings, and each stands in the ledger like any other run.
"""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from submeter.errors import SubmeterError, UsageError
from submeter.records.figures import Missing
from submeter.records.runs import Run
from submeter.running.joined import RUN_VARIABLE
from submeter.storing import places
from submeter.storing.ledger import LEDGER_FILE, open_ledger

TRIAL_TAG: Final = "trial"
LOOK_S: Final = 0.5
GRACE_S: Final = 2.0
LATEST: Final = 32  # runs among which one that has just begun is looked for
_TAIL_LINES: Final = 4
_TAIL_BYTES: Final = 4096
_PIECE_BYTES: Final = 65536
_LINE_ENDS: Final = re.compile(rb"[\r\n]")  # bars of progress return to the begin of theirs


class Trial(msgspec.Struct, frozen=True):
    """What became of one start of a command."""

    run: Run | Missing
    exit_code: int
    output: Path
    metrics: dict[str, float] = {}  # logged by the program, or read from its output
    stopped: bool = False  # by who watched it


class SoFar(msgspec.Struct, frozen=True):
    """How far a trial that goes on has come."""

    run: Run
    metrics: dict[str, float]
    done_ratio: float | None = None  # part of the whole, if the program says how long it is


def metered(
    argv: Sequence[str],
    *,
    key: str,
    output: Path,
    name: str = "",
    tags: Mapping[str, str] | None = None,
    project: str | None = None,
    patterns: Mapping[str, re.Pattern[str]] | None = None,
    watch: Callable[[SoFar], bool] | None = None,
) -> Trial:
    """Run *argv* under the meter to its end, and give its run.

    Parameters
    ----------
    argv
        The command and its arguments.
    key
        Tag by which the run is found again; no other run may have it.
    output
        File that takes what the program says.
    name, tags, project
        How the run is called and found.
    patterns
        By metric, what to look for in the output of a program that logs nothing; the last match
        counts, its first group is the number.
    watch
        Looks at how far it has come about twice a second (`LOOK_S`), and says whether to go on;
        if not, the program is asked to end (SIGTERM).
    """
    words = [sys.executable, "-m", "submeter", "run", "--quiet", "--tag", f"{TRIAL_TAG}={key}"]
    words += ["--name", name] if name else []
    words += ["--project", project] if project else []
    for tag, value in (tags or {}).items():
        words += ["--tag", f"{tag}={value}"]
    environment = {k: v for k, v in os.environ.items() if k != RUN_VARIABLE}
    with output.open("wb") as file:
        child = subprocess.Popen(
            [*words, "--", *argv],
            stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env=environment,
        )  # fmt: skip
        said = Said(output, patterns or {})
        stopped = watch is not None and _watched(child, key, said, watch)
        code = _ended(child)
    run = run_tagged(key)
    if code < 0:
        code = 128 - code
    logged = {} if isinstance(run, Missing) else run.metrics
    return Trial(run, code, output, {**said.look(ended=True), **logged}, stopped)


def _watched(
    child: "subprocess.Popen[bytes]",
    key: str,
    said: "Said",
    watch: Callable[[SoFar], bool],
) -> bool:
    """Look at a trial until it ends; whether it was asked to end before."""
    from submeter.running.progress import Following

    following: Following | None = None
    while True:
        try:
            child.wait(LOOK_S)
        except subprocess.TimeoutExpired:
            pass
        except KeyboardInterrupt:
            _interrupted(child)
            raise
        else:
            return False
        folder = _folder_tagged(key) if following is None else following.folder
        if folder is None:
            continue
        following = following or Following(folder)
        try:
            following.look()
            run = following.so_far()
        except SubmeterError:  # it has just begun
            continue
        metrics = {**said.look(), **run.metrics}
        if not watch(SoFar(run, metrics, following.done_ratio)):
            child.terminate()
            return True


def _folder_tagged(key: str) -> Path | None:
    """Folder of the run of a trial; it is among the latest."""
    from submeter.running.recovery import read_order

    try:
        folders = sorted((places.home() / "runs").iterdir(), reverse=True)[:LATEST]
    except OSError:
        return None
    for folder in folders:
        order = read_order(folder)
        if order is not None and order.tags.get(TRIAL_TAG) == key:
            return folder
    return None


def _ended(child: "subprocess.Popen[bytes]") -> int:
    """Exit code of *child*; an interrupt reaches it too, and is waited for."""
    try:
        return child.wait()
    except KeyboardInterrupt:
        _interrupted(child)
        raise


def _interrupted(child: "subprocess.Popen[bytes]") -> None:
    """Let a trial end after an interrupt: of a terminal it had its own, else it is asked to."""
    try:
        child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        child.terminate()
        child.wait()


def run_tagged(key: str) -> Run | Missing:
    """Run of the trial of that key, if it has been settled."""
    path = places.home() / LEDGER_FILE
    try:
        with open_ledger(path, create=False) as ledger:
            rows = ledger.list(tags={TRIAL_TAG: key}, limit=1)
            return ledger.get(rows[0].id) if rows else Missing("the run was not metered")
    except SubmeterError as exc:
        return Missing(str(exc))


def compiled(words: Sequence[str]) -> dict[str, re.Pattern[str]]:
    """Read ``accuracy=Accuracy: ([0-9.]+)``: metrics, and where the output tells them.

    Raises
    ------
    UsageError
        If one has no name, no group, or is no regular expression.
    """
    remedy = "write it as accuracy='Accuracy: ([0-9.]+)'"
    patterns: dict[str, re.Pattern[str]] = {}
    for word in words:
        name, equals, pattern = word.partition("=")
        try:
            found = re.compile(pattern)
        except re.error as exc:
            raise UsageError(f"“{pattern}” cannot be searched for: {exc}", remedy=remedy) from exc
        if not (name.strip() and equals) or found.groups < 1:
            raise UsageError(f"“{word}” does not say which number is meant", remedy=remedy)
        patterns[name.strip()] = found
    return patterns


class Said:
    """Metrics in what a program says, read as it grows: each look reads only what is new.

    Parameters
    ----------
    output
        File that takes what it says.
    patterns
        As of `metered`.
    """

    def __init__(self, output: Path, patterns: Mapping[str, re.Pattern[str]]) -> None:
        self._output, self._patterns = output, patterns
        self._read_to = 0  # bytes
        self._begun = b""  # a line whose end is still to come
        self._values: dict[str, float] = {}

    def look(self, *, ended: bool = False) -> dict[str, float]:
        """Metrics so far; a last line without its end counts once the program has *ended*."""
        if not self._patterns:
            return {}
        try:
            with self._output.open("rb") as file:
                file.seek(self._read_to)
                while piece := file.read(_PIECE_BYTES):
                    self._read_to += len(piece)
                    *lines, self._begun = _LINE_ENDS.split(self._begun + piece)
                    for line in lines:
                        self._take(line)
                    self._begun = self._begun[-_PIECE_BYTES:]
        except OSError:
            return dict(self._values)
        if ended:
            self._take(self._begun)
        return dict(self._values)

    def _take(self, line: bytes) -> None:
        words = line.decode("utf-8", errors="replace")
        for name, pattern in self._patterns.items():
            for found in pattern.finditer(words):
                with contextlib.suppress(TypeError, ValueError):
                    self._values[name] = float(found[1])


def last_words(output: Path) -> str:
    """End of what a program said, for an error about it."""
    try:
        with output.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join([line for line in lines if line.strip()][-_TAIL_LINES:])
