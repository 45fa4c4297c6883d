# SPDX-License-Identifier: Apache-2.0
"""A small process that puts limits back when who set them dies without doing it.

It waits for the end of a pipe that only its parent holds. It is in a session of its own, so that
neither Ctrl-C nor a closed terminal ends it with its parent, and it holds the claims of the
boards until it has done its work.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from submeter.errors import ActuatorError
from submeter.reducing.actuators.restoring import restore_kept
from submeter.running.collectors import import_paths

__all__ = ["Guardian", "main"]

PAUSES_S: Final = (0.2, 1.0, 5.0, 20.0)  # between the tries where the driver does not answer
_END_S: Final = 5.0
_CODE: Final = (
    "import sys; sys.path.extend({paths!a});"
    "from submeter.reducing.actuators.guardian import main; main({path!a})"
)


class Guardian:
    """The process, as who started it sees it.

    Parameters
    ----------
    path
        File of intents.
    fds
        What it is to hold open: the claims of the boards and the lock of the file.

    Raises
    ------
    ActuatorError
        If it cannot be started: then nothing should be set.
    """

    def __init__(self, path: Path, fds: Sequence[int]) -> None:
        code = _CODE.format(paths=import_paths(), path=str(path))
        env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=env,
                pass_fds=fds,
                start_new_session=True,
            )
        except OSError as exc:
            raise ActuatorError(
                f"nobody can watch over the limits ({exc.strerror or exc}), so none is set",
                remedy="make room for one more process",
            ) from exc
        assert self._process.stdout is not None  # noqa: S101
        if not self._process.stdout.readline():  # it is there, or it never will be
            self.close()
            raise ActuatorError(
                "the process that watches over the limits did not start, so none is set",
                remedy="submeter doctor",
            )

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def close(self) -> None:
        """Let it end: it sees that nothing is left to do, or does it."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)


def main(path: str) -> None:
    """Wait for the end of the parent, then put back what it left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # asked to leave are the others; this is short
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    with contextlib.suppress(OSError):
        while os.read(0, 64):
            pass
    for pause_s in (*PAUSES_S, None):
        if not Path(path).exists() or all(row.done for row in restore_kept(Path(path))):
            return
        if pause_s is not None:
            time.sleep(pause_s)
