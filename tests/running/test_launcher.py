# SPDX-License-Identifier: Apache-2.0
"""A command under ``submeter run`` is, for itself and for its caller, as if it ran alone."""

import os
import pty
import resource
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from submeter.records.frames import End
from submeter.running import launcher
from submeter.running.recovery import read_order
from tests.running.scripts import (
    PATIENCE_S,
    begun,
    environment,
    finish,
    folders,
    frames,
    has_gone,
    heads,
    in_ledger,
    line_of,
    python_file,
    run_arguments,
    settled,
    shared_places_as_before,
    until,
)

PYTHON = sys.executable


@pytest.mark.parametrize("code", [0, 1, 3, 255])
def test_the_exit_code_passes_through(tmp_path: Path, code: int) -> None:
    done = finish(run_arguments("sh", "-c", f"exit {code}"), tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", b"")
    run = settled(tmp_path)
    assert run.exit_code == code
    assert run.status == ("failed" if code else "finished")


def test_a_missing_command_is_127_and_leaves_no_run(tmp_path: Path) -> None:
    done = finish(run_arguments("no-such-command"), tmp_path)
    assert done.returncode == 127
    assert done.stderr.startswith(b"error: no-such-command: not found\ntry:")
    assert folders(tmp_path) == []


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_cannot_be_executed_is_126_and_leaves_no_run(tmp_path: Path, kind: str) -> None:
    thing = tmp_path / "thing"
    if kind == "file":
        thing.write_text("#!/bin/sh\n")
    else:
        thing.mkdir()
    done = finish(run_arguments(str(thing)), tmp_path / "home")
    assert done.returncode == 126
    assert b"not executable" in done.stderr
    assert folders(tmp_path / "home") == []


def test_a_script_that_names_no_interpreter_runs_as_in_a_shell(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text('echo "$1"; exit 4\n')
    script.chmod(0o755)
    done = finish(run_arguments(str(script), "two words"), tmp_path / "home")
    assert (done.returncode, done.stdout) == (4, b"two words\n")


def test_input_and_output_pass_byte_for_byte(tmp_path: Path) -> None:
    data = os.urandom(1 << 20)
    done = finish(run_arguments("cat"), tmp_path, stdin=data)
    assert done.stdout == data


def test_open_files_of_the_caller_reach_the_command(tmp_path: Path) -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as reader:
        try:
            subprocess.run(
                run_arguments("sh", "-c", f"echo through >/dev/fd/{write}"),
                env=environment(tmp_path),
                pass_fds=[write],
                check=True,
            )
        finally:
            os.close(write)
        assert reader.read() == b"through\n"


def test_the_environment_gains_one_variable_and_no_more(tmp_path: Path) -> None:
    plain = finish(["env", "-0"], tmp_path).stdout.split(b"\0")
    metered = finish(run_arguments("env", "-0"), tmp_path).stdout.split(b"\0")
    (added,) = set(metered) - set(plain)
    assert added == b"SUBMETER_RUN=" + os.fsencode(folders(tmp_path)[0])
    assert not set(plain) - set(metered)


@pytest.mark.parametrize("ignored", [[], [signal.SIGINT, signal.SIGHUP]])
def test_the_command_inherits_signals_as_they_were(
    tmp_path: Path, ignored: list[signal.Signals]
) -> None:
    def ignore() -> None:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)

    def sets(argv: list[str]) -> dict[str, int]:
        done = finish(argv, tmp_path, prepare=ignore)
        assert done.returncode == 0
        rows = (line.split(":") for line in done.stdout.decode().splitlines())
        # 32 and 33 belong to the C library, which sets them on its own
        return {name: int(bits, 16) & ~(3 << 31) for name, bits in rows}

    look = ["grep", "-E", "Sig(Blk|Ign|Cgt)", "/proc/self/status"]
    assert sets(run_arguments(*look)) == sets(look)


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGSEGV, "killed"),
        (signal.SIGABRT, "killed"),
        (signal.SIGKILL, "killed"),
        (signal.SIGTERM, "stopped"),
    ],
)
def test_c08_dies_by_the_signal_that_the_command_died_of(
    tmp_path: Path, number: signal.Signals, status: str
) -> None:
    done = finish(run_arguments("sh", "-c", f"kill -{number.name[3:]} $$"), tmp_path)
    assert done.returncode == -number
    assert settled(tmp_path).status == status


def test_c08_os_exit_is_an_end_like_any_other(tmp_path: Path) -> None:
    code = "import os, submeter\nsubmeter.phase('train').__enter__()\nos._exit(9)\n"
    done = finish(run_arguments(PYTHON, python_file(tmp_path, code)), tmp_path / "home")
    assert done.returncode == 9
    run = settled(tmp_path / "home")
    assert run.status == "failed"
    assert [p.path for p in run.phases] == ["train"]


TRAPS = """
import os, signal, sys
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT):
    signal.signal(number, lambda n, _: os.write(1, signal.Signals(n).name.encode() + b"\\n"))
print("ready", flush=True)
sys.stdin.read()
"""


def test_signals_sent_to_the_launcher_reach_the_command(tmp_path: Path) -> None:
    argv = run_arguments(PYTHON, python_file(tmp_path, TRAPS))
    with begun(argv, tmp_path / "home") as process:
        assert line_of(process.stdout) == "ready"
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT):
            process.send_signal(number)
            assert line_of(process.stdout) == number.name
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0


def test_orphans_of_the_command_stay_below_the_launcher(tmp_path: Path) -> None:
    script = "sh -c 'sleep 60 & echo $!'; read line"
    with begun(run_arguments("sh", "-c", script), tmp_path) as process:
        orphan = int(line_of(process.stdout))
        try:
            status = Path(f"/proc/{orphan}/status")
            until(lambda: f"PPid:\t{process.pid}\n" in status.read_text() or None)
        finally:
            os.kill(orphan, signal.SIGKILL)
        until(lambda: not status.exists() or None, "the launcher did not reap the orphan")
        assert process.poll() is None
        process.communicate(b"\n")
        assert process.returncode == 0


def test_c02_a_dead_collector_is_replaced_and_the_run_goes_on(tmp_path: Path) -> None:
    with begun(run_arguments("cat"), tmp_path) as process:
        folder = until(lambda: next(iter(folders(tmp_path)), None))
        first = until(lambda: next(iter(heads(folder)), None))
        os.kill(first.collector_pid, signal.SIGKILL)
        second = until(lambda: next(iter(heads(folder)[1:]), None))
        assert second.generation == 1
        assert process.poll() is None
        out, err = process.communicate(b"through")
        assert (process.returncode, out, err) == (0, b"through", b"")
    run = settled(tmp_path)
    assert run.status == "finished"
    assert any("collector" in note or "restart" in note for note in run.notes)


def test_c02_a_collector_killed_at_the_very_end_costs_no_result(tmp_path: Path) -> None:
    # the command itself kills the collector and ends at once
    code = """
import os, signal
from pathlib import Path
from submeter.storing.journal import read_frames
from submeter.records.frames import Head
folder = Path(os.environ["SUBMETER_RUN"])
while True:
    heads = [f for f in read_frames(folder / "journal").frames if isinstance(f, Head)]
    if heads: break
os.kill(heads[-1].collector_pid, signal.SIGKILL)
"""
    done = finish(run_arguments(PYTHON, python_file(tmp_path, code)), tmp_path / "home")
    assert done.returncode == 0
    assert settled(tmp_path / "home").status == "finished"


def test_c01_the_run_of_a_killed_command_is_settled_as_killed(tmp_path: Path) -> None:
    with begun(run_arguments("sh", "-c", "echo $$; read line"), tmp_path) as process:
        os.kill(int(line_of(process.stdout)), signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL
    run = settled(tmp_path)
    assert (run.status, run.exit_code) == ("killed", None)


def test_c01_a_killed_launcher_leaves_the_command_alone_and_the_run_is_kept(
    tmp_path: Path,
) -> None:
    with begun(run_arguments("sh", "-c", "echo $$; read line; echo on"), tmp_path) as process:
        command = int(line_of(process.stdout))
        process.kill()
        process.wait(30)
        assert not has_gone(command)
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.close()
        assert line_of(process.stdout) == "on"
        until(lambda: has_gone(command) or None)
    until(lambda: in_ledger(tmp_path) or None, "the collector did not settle the run")
    ended = [f for f in frames(folders(tmp_path)[0]) if isinstance(f, End)]
    assert [e.status for e in ended] == ["killed"]


def test_c01_a_launcher_killed_the_instant_its_command_began_leaves_a_run(tmp_path: Path) -> None:
    code = """
import os, signal
from submeter.running import launcher
from submeter.running.recovery import read_order
spawn = launcher._spawn
def killed(*words):
    spawn(*words)
    os.kill(os.getpid(), signal.SIGKILL)
launcher._spawn = killed
launcher.run_command(["true"])
"""
    finish([PYTHON, python_file(tmp_path, code)], tmp_path / "home")
    until(lambda: in_ledger(tmp_path / "home") or None, "the collector did not settle the run")
    assert settled(tmp_path / "home").status == "killed"


def test_behind_a_command_the_collector_may_await_a_slow_counter(tmp_path: Path) -> None:
    finish(run_arguments("true"), tmp_path)
    order = read_order(folders(tmp_path)[0])
    assert order is not None
    assert order.patient


def test_within_a_run_the_inner_launcher_makes_no_second_one(tmp_path: Path) -> None:
    inner = run_arguments("sh", "-c", "exit 6")
    done = finish(run_arguments(*inner), tmp_path)
    assert done.returncode == 6
    assert len(folders(tmp_path)) == 1


def test_d06_a_file_size_limit_stops_the_metering_and_not_the_command(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    argv = run_arguments("sh", "-c", "echo out; exit 5", options=())
    done = finish(argv, tmp_path, prepare=limit)
    assert (done.returncode, done.stdout) == (5, b"out\n")
    assert b"Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 2


def test_d03_a_home_that_cannot_be_made_is_named_with_the_place_taken_instead(
    tmp_path: Path,
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    argv = run_arguments("sh", "-c", "exit 5", options=())
    with shared_places_as_before():
        done = finish(argv, blocked / "home")
    assert done.returncode == 5
    assert os.fsencode(blocked / "home") in done.stderr
    assert b"Traceback" not in done.stderr


def test_no_module_of_the_users_folder_takes_the_place_of_pythons(tmp_path: Path) -> None:
    for name in ("random", "struct", "msgspec", "typing", "selectors"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('shadowed')\n")
    env = environment(tmp_path / "home")
    done = subprocess.run(
        run_arguments("true"), env=env, cwd="/", capture_output=True, check=False
    )
    assert done.returncode == 0
    # the collector is started from the folder that holds them
    code = f"import os; os.chdir({str(tmp_path)!r}); from submeter.running.launcher import"
    code += " run_command; o = run_command(['true']); print(o.settled, o.exit_code, *o.notes)"
    (tmp_path / "elsewhere").mkdir()
    done = finish([PYTHON, python_file(tmp_path / "elsewhere", code)], tmp_path / "home")
    assert done.stdout == b"finished 0\n", done.stderr


def test_find_command_knows_what_a_shell_would_say(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("")
    assert launcher.find_command("sh") == 0
    assert launcher.find_command(str(plain)) == launcher.NOT_EXECUTABLE
    assert launcher.find_command(str(tmp_path / "none")) == launcher.NOT_FOUND
    assert launcher.find_command("none\0such") == launcher.NOT_FOUND


# --- on a terminal ----------------------------------------------------------------------------

SHELL = """
# a shell with job control, as small as it gets: one job in the foreground
import os, signal, sys
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpgrp())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
while True:
    _, status = os.waitpid(job, os.WUNTRACED)
    os.tcsetpgrp(0, os.getpgrp())
    if not os.WIFSTOPPED(status):
        break
    print("shell: stopped", signal.Signals(os.WSTOPSIG(status)).name, flush=True)
    input()
    os.tcsetpgrp(0, job)
    os.killpg(job, signal.SIGCONT)
print("shell: ended", os.waitstatus_to_exitcode(status), flush=True)
"""

PROGRAM = """
import os, select, signal, sys
interrupts, wake = os.pipe()
os.set_blocking(wake, False)
signal.set_wakeup_fd(wake)
signal.signal(signal.SIGINT, lambda *_: None)
times = 0
print("program: ready", sys.stdin.isatty(), sys.stdout.isatty(), flush=True)
while True:
    ready, _, _ = select.select([0, interrupts], [], [])
    if interrupts in ready:
        os.read(interrupts, 1)
        times += 1
        print("program: interrupted", times, flush=True)
        if times == 2:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
    else:
        line = os.read(0, 4096).decode().strip()
        print("program:", line, flush=True)
        if line == "bye":
            sys.exit(7)
"""


class Terminal:
    """A terminal with a shell whose foreground job is a metered program."""

    def __init__(self, folder: Path) -> None:
        shell = python_file(folder, SHELL, "shell.py")
        program = python_file(folder, PROGRAM, "program.py")
        argv = [PYTHON, shell, *run_arguments(PYTHON, program)]
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(argv[0], argv, environment(folder / "home"))
        self.seen = ""

    def expect(self, words: str) -> None:
        while words not in self.seen:
            ready, _, _ = select.select([self.fd], [], [], PATIENCE_S)
            assert ready, f"no {words!r} in {self.seen!r}"
            try:
                more = os.read(self.fd, 4096)
            except OSError:  # the other end is closed
                more = b""
            assert more, f"no {words!r} in {self.seen!r}"
            self.seen += more.decode()
        self.seen = self.seen.partition(words)[2]

    def type(self, keys: bytes) -> None:
        os.write(self.fd, keys)

    def close(self) -> None:
        os.close(self.fd)
        os.waitpid(self.pid, 0)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_c05_ctrl_c_once_and_twice_go_to_the_program_alone(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.expect("program: ready True True")
    terminal.type(b"\x03")
    terminal.expect("program: interrupted 1")
    terminal.type(b"still here\n")
    terminal.expect("program: still here")
    terminal.type(b"\x03")
    terminal.expect("program: interrupted 2")
    terminal.expect(f"shell: ended {-signal.SIGINT}")
    terminal.close()
    assert settled(tmp_path / "home").status == "stopped"


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_the_launcher_stops_and_continues_with_the_program(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.expect("program: ready")
    terminal.type(b"\x1a")
    terminal.expect("shell: stopped SIGTSTP")
    terminal.type(b"\n")
    terminal.type(b"again\n")
    terminal.expect("program: again")
    terminal.type(b"\x1a")
    terminal.expect("shell: stopped SIGTSTP")
    terminal.type(b"\n")
    terminal.type(b"bye\n")
    terminal.expect("shell: ended 7")
    terminal.close()
    assert settled(tmp_path / "home").exit_code == 7


def test_as_process_number_one_it_reaps_forwards_and_passes_the_exit_code_on(
    tmp_path: Path,
) -> None:
    inside = ["unshare", "--pid", "--fork", "--mount-proc"]
    if finish([*inside, "true"], tmp_path).returncode != 0:
        pytest.skip("this machine lets nobody make a process namespace")
    script = "(true &); (true &); exit 3"
    assert finish([*inside, *run_arguments("sh", "-c", script)], tmp_path).returncode == 3
    assert settled(tmp_path).exit_code == 3
    killed = finish([*inside, *run_arguments("sh", "-c", "kill -TERM $$")], tmp_path)
    assert killed.returncode == 128 + signal.SIGTERM
    assert settled(tmp_path).status == "stopped"


def test_a_command_of_any_bytes_runs_and_is_metered(tmp_path: Path) -> None:
    script = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.sh")
    Path(script).write_text('#!/bin/sh\nprintf "%s %s" "$1" "$CUDA_VISIBLE_DEVICES"; exit 3\n')
    Path(script).chmod(0o755)
    env = environment(tmp_path / "home", CUDA_VISIBLE_DEVICES="\udcff")
    for options in (["--quiet"], ["--project", "\udcfe"]):
        done = finish(run_arguments(script, "\udcfd", options=options), tmp_path / "home", env=env)
        assert (done.returncode, done.stdout) == (3, b"\xfd \xff")
        run = settled(tmp_path / "home")
        assert run.exit_code == 3
        assert run.command[1] == "\\xfd"
