# SPDX-License-Identifier: Apache-2.0
"""A collector that was stopped or hangs holds up nobody, and the run keeps its true end."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from tests.running.scripts import (
    begun,
    finish,
    folders,
    heads,
    line_of,
    python_file,
    run_arguments,
    settled,
    until,
)

LONGEST_S = 12.0  # of 30 that a launcher waits for a slow disk

STOPPING = """
import os, signal, sys
from pathlib import Path
from submeter.records.frames import Head
from submeter.storing.journal import read_frames
folder = Path(os.environ["SUBMETER_RUN"])
heads = []
while not heads:  # they are written behind the first reading
    heads = [f for f in read_frames(folder / "journal").frames if isinstance(f, Head)]
os.kill(heads[0].collector_pid, signal.SIGSTOP)
"""


def test_a_stopped_collector_is_woken_at_the_commands_end(tmp_path: Path) -> None:
    code = python_file(tmp_path, STOPPING + "sys.exit(5)")
    start_s = time.monotonic()
    done = finish(run_arguments(sys.executable, code), tmp_path / "home")
    assert (done.returncode, done.stderr) == (5, b"")
    assert time.monotonic() - start_s < LONGEST_S
    run = settled(tmp_path / "home")
    assert (run.status, run.exit_code) == ("failed", 5)


def test_a_stopped_collector_is_woken_at_the_end_of_measure(tmp_path: Path) -> None:
    code = "import submeter\nwith submeter.measure():\n" + "".join(
        f"    {line}\n" for line in (STOPPING + "sys.exit(3)").splitlines()
    )
    done = finish([sys.executable, python_file(tmp_path, code)], tmp_path / "home")
    assert (done.returncode, done.stderr) == (3, b"")
    run = settled(tmp_path / "home")
    assert (run.status, run.exit_code) == ("failed", 3)


def test_a_collector_that_hangs_is_replaced_for_the_last_reading(tmp_path: Path) -> None:
    home = tmp_path / "home"
    code = python_file(
        tmp_path, "import sys; print(1, flush=True); sys.stdin.read(1); sys.exit(5)"
    )
    with begun(run_arguments(sys.executable, code), home) as process:
        assert line_of(process.stdout) == "1"
        (folder,) = folders(home)
        (head,) = until(lambda: heads(folder))
        over = threading.Event()

        def hold() -> None:
            while not over.wait(0.001):  # whoever wakes it, it sleeps again at once
                try:
                    os.kill(head.collector_pid, signal.SIGSTOP)
                except ProcessLookupError:
                    return

        holder = threading.Thread(target=hold)
        holder.start()
        start_s = time.monotonic()
        process.communicate(b"\n", timeout=60)
        took_s = time.monotonic() - start_s
        over.set()
        holder.join()
    assert process.returncode == 5
    assert took_s < LONGEST_S
    run = settled(home)
    assert (run.status, run.exit_code) == ("failed", 5)
