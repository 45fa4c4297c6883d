# SPDX-License-Identifier: Apache-2.0
"""What never began is no run: no energy is told of a command that did not start."""

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.running.scripts import begun, finish, folders, in_ledger, python_file, until

# stands still once the collector is ready, before the command is started
PREPARED = """
import sys
from submeter.running import launcher
launch = launcher._Launch(["true"])
launch.prepare(name="", tags=None, interval_s=None, project=None)
print("ready", flush=True)
sys.stdin.read()
"""
INTERRUPTED = """
import os, signal
from submeter.running import launcher
from submeter.running.collectors import CollectorHandle
launch = launcher._Launch(["true"])
signal.setitimer(signal.ITIMER_REAL, 0.05)
signal.signal(signal.SIGALRM, signal.default_int_handler)
while True:
    launch.prepare(name="", tags=None, interval_s=None, project=None)
    launch._discard()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_launcher_killed_before_its_command_leaves_no_run(tmp_path: Path, number: int) -> None:
    home = tmp_path / "home"
    with begun([sys.executable, python_file(tmp_path, PREPARED)], home) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        (folder,) = folders(home)
        os.kill(process.pid, number)
        process.wait()
        until(lambda: not folder.exists())
    assert in_ledger(home) == []


def test_a_launcher_interrupted_while_it_prepares_leaves_no_run(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = finish([sys.executable, python_file(tmp_path, INTERRUPTED)], home)
    assert b"KeyboardInterrupt" in done.stderr
    assert folders(home) == []
    assert in_ledger(home) == []


def test_a_command_that_the_system_refuses_leaves_no_run(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    home = tmp_path / "home"
    code = [sys.executable, "-m", "submeter", "run", "--", str(program)]
    assert finish(code, home).returncode == 127
    assert folders(home) == []
    assert in_ledger(home) == []
