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
launch = launcher.Launch(["true"])
launch.prepare(name="", tags=None, interval_s=None, project=None, zone=None)
launch._let_in()
print("ready", flush=True)
sys.stdin.read()
"""
# is interrupted again and again, each time at another instant of preparing or of clearing away
INTERRUPTED = """
import os, signal, time
from submeter.running import launcher
pid, left, tries = os.getpid(), 0, 25
for i in range(tries):
    launch = launcher.Launch(["true"])
    if os.fork() == 0:
        time.sleep(0.15 * i / tries)
        os.kill(pid, signal.SIGINT)
        os._exit(0)
    try:
        while True:
            launch.prepare(name="", tags=None, interval_s=None, project=None, zone=None)
            launch._discard()
            launch._let_in()
    except KeyboardInterrupt:
        left += 1
    os.wait()
print(left)
"""
# the interrupt comes when the collector is ready, and the command is not yet started
AT_THE_LAST_INSTANT = """
import os, signal
from submeter.running import launcher
if signal.getsignal(signal.SIGNAL) is signal.SIG_IGN:  # as below nohup
    signal.signal(signal.SIGNAL, signal.SIG_DFL)
prepare = launcher.Launch.prepare
def interrupted(self, **words):
    prepare(self, **words)
    os.kill(os.getpid(), signal.SIGNAL)
launcher.Launch.prepare = interrupted
launcher.run_command(["touch", "began"])
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
    assert (done.stdout, done.stderr) == (b"25\n", b"")
    assert folders(home) == []
    assert in_ledger(home) == []


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_launcher_asked_to_stop_before_its_command_does_not_start_it(
    tmp_path: Path, name: str
) -> None:
    home = tmp_path / "home"
    code = python_file(tmp_path, AT_THE_LAST_INSTANT.replace("SIGNAL", name))
    done = finish([sys.executable, code], home, cwd=tmp_path)
    assert done.returncode == -getattr(signal, name)
    assert not (tmp_path / "began").exists()
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
