# SPDX-License-Identifier: Apache-2.0
"""Forked, spawned, launched and killed processes around a measurement."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from submeter.records.frames import End, Process
from submeter.storing.journal import read_frames
from tests.running.scripts import (
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
    settled,
    until,
)

PYTHON = sys.executable


def started(tmp_path: Path, code: str) -> list[str]:
    return [PYTHON, python_file(tmp_path, code)]


WAITING = """
import sys, submeter
with submeter.measure("waiting") as run:
    with submeter.phase("train"):
        submeter.log(loss=1.0, samples=3)
        print(run.id, flush=True)
        line = sys.stdin.readline()
        submeter.log(loss=0.5, samples=4)
print(type(run.energy).__name__, flush=True)
"""


def test_c01_a_killed_trainer_is_settled_as_killed_by_its_collector(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with begun(started(tmp_path, WAITING), home) as process:
        run_id = line_of(process.stdout)
        process.kill()
        process.wait(30)
        until(lambda: in_ledger(home) or None, "nobody settled the run")
    run = settled(home)
    assert (run.id, run.status) == (run_id, "killed")
    assert run.metrics == {"loss": 1.0}
    assert run.work == {"samples": 3.0}
    assert [p.path for p in run.phases] == ["train"]


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
def test_c08_a_crash_is_settled_as_killed(tmp_path: Path, number: signal.Signals) -> None:
    home = tmp_path / "home"
    code = WAITING.replace(
        "line = sys.stdin.readline()", f"import os; os.kill(os.getpid(), {number})"
    )
    assert finish(started(tmp_path, code), home).returncode == -number
    until(lambda: in_ledger(home) or None, "nobody settled the run")
    assert settled(home).status == "killed"


def test_c08_a_null_pointer_in_a_library_is_settled_as_killed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    code = WAITING.replace("line = sys.stdin.readline()", "import ctypes; ctypes.string_at(0)")
    assert finish(started(tmp_path, code), home).returncode == -signal.SIGSEGV
    until(lambda: in_ledger(home) or None, "nobody settled the run")
    assert settled(home).status == "killed"


def test_c02_a_dead_collector_is_started_again_at_the_next_log(tmp_path: Path) -> None:
    home = tmp_path / "home"
    code = """
import sys, submeter
with submeter.measure() as run:
    print("on", flush=True)
    for line in sys.stdin:
        submeter.log(loss=float(line))
        print("logged", flush=True)
assert isinstance(run.energy, submeter.Figure), run.energy
"""
    with begun(started(tmp_path, code), home) as process:
        assert process.stdin is not None
        assert line_of(process.stdout) == "on"
        (folder,) = folders(home)
        first = until(lambda: next(iter(heads(folder)), None))
        os.kill(first.collector_pid, signal.SIGKILL)
        until(lambda: has_gone(first.collector_pid) or None)

        def replaced() -> bool:
            assert process.stdin is not None
            process.stdin.write(b"0.5\n")
            process.stdin.flush()
            assert line_of(process.stdout) == "logged"
            return len(heads(folder)) > 1

        until(lambda: replaced() or None, "the collector was not started again")
        process.stdin.close()
        assert process.wait(30) == 0
    run = settled(home)
    assert (run.status, run.metrics) == ("finished", {"loss": 0.5})


def test_c02_a_collector_that_died_unseen_costs_no_result(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with begun(started(tmp_path, WAITING), home) as process:
        line_of(process.stdout)
        (folder,) = folders(home)
        head = until(lambda: next(iter(heads(folder)), None))
        os.kill(head.collector_pid, signal.SIGKILL)
        until(lambda: has_gone(head.collector_pid) or None)
        out, err = process.communicate(b"\n")
        assert (out, err) == (b"Figure\n", b"")
    assert settled(home).status == "finished"


@pytest.mark.parametrize("leave", ["os._exit(0)", "sys.exit(0)", "raise KeyError"])
def test_c09_a_forked_child_neither_writes_into_nor_ends_the_parents_run(
    tmp_path: Path, leave: str
) -> None:
    home = tmp_path / "home"
    code = f"""
import os, sys, submeter
with submeter.measure() as run:
    with submeter.phase("parent"):
        pid = os.fork()
        if pid == 0:
            sys.stderr = open(os.devnull, "w")
            {leave}
        os.waitpid(pid, 0)
    assert isinstance(run.energy, submeter.Missing)
    submeter.log(after=1)
assert isinstance(run.energy, submeter.Figure), run.energy
"""
    done = finish(started(tmp_path, code), home)
    assert done.returncode == 0, done.stderr
    (folder,) = folders(home)
    assert len(list(folder.glob("phases.*"))) == 1
    assert len([f for f in frames(folder) if isinstance(f, End)]) == 1
    run = settled(home)
    assert (run.status, run.metrics) == ("finished", {"after": 1.0})
    assert {p.path: p.count for p in run.phases} == {"parent": 1}


def test_c09_a_forked_child_joins_as_a_process_of_its_own(tmp_path: Path) -> None:
    home = tmp_path / "home"
    code = """
import os, submeter
with submeter.measure():
    with submeter.phase("parent"):
        pid = os.fork()
        if pid == 0:
            with submeter.phase("child"):
                submeter.log(samples=5)
            with submeter.measure() as joined:
                pass
            assert isinstance(joined.energy, submeter.Missing)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        submeter.log(samples=2)
"""
    done = finish(started(tmp_path, code), home)
    assert done.returncode == 0, done.stderr
    run = settled(home)
    assert {p.path for p in run.phases} == {"parent", "child"}
    assert run.work == {"samples": 7.0}
    assert len(folders(home)) == 1


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_c10_workers_cost_no_collector_and_join_when_they_say_something(
    tmp_path: Path, method: str
) -> None:
    home = tmp_path / "home"
    code = f"""
import multiprocessing, os, pathlib, submeter
def quiet(i): return i * i
def loud(i):
    with submeter.phase("load"):
        submeter.log(samples=1)
    return i
if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    with submeter.measure() as run:
        with context.Pool(3) as pool:
            assert pool.map(quiet, range(8)) == [i * i for i in range(8)]
            folder = pathlib.Path(os.environ["SUBMETER_RUN"])
            assert len(list(folder.glob("phases.*"))) == 1
            assert pool.map(loud, range(6)) == list(range(6))
            pool.close(); pool.join()
"""
    done = finish(started(tmp_path, code), home)
    assert done.returncode == 0, done.stderr
    (folder,) = folders(home)
    assert len(heads(folder)) == 1
    run = settled(home)
    assert run.work == {"samples": 6.0}
    assert {p.path: p.count for p in run.phases} == {"load": 6}


RANK = """
import os, sys, submeter
with submeter.measure("ranks") as run:
    with submeter.phase("train"):
        submeter.log(samples=1)
    print(run.id, flush=True)
    sys.stdin.readline()
"""


def ranks(tmp_path: Path, launcher: dict[str, str]) -> list[str]:
    """Arguments of a launcher with two ranks; its first rank can be told from the second."""
    rank = python_file(tmp_path, RANK, "rank.py")
    code = f"""
import os, subprocess, sys
launched = dict(os.environ, **{launcher!r})
key = "SLURM_PROCID" if "SLURM_JOB_ID" in launched else "RANK"
children = []
for number in range(2):
    launched[key] = launched["LOCAL_RANK"] = str(number)
    launched["WORLD_SIZE"] = "2"
    child = subprocess.Popen(
        [sys.executable, {rank!r}], env=launched, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    children.append(child)
    print(child.pid, child.stdout.readline().decode().strip(), flush=True)
for child in reversed(children):  # the owner of the run last
    sys.stdin.readline()
    child.communicate(b"\\n")
sys.exit(max(abs(c.returncode) for c in children))
"""
    return [PYTHON, python_file(tmp_path, code, "launcher.py")]


LAUNCHERS = [
    {"TORCHELASTIC_RUN_ID": "job", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"},
    {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "2"},
    {"MASTER_ADDR": "localhost", "MASTER_PORT": "29501"},
]


@pytest.mark.parametrize("launcher", LAUNCHERS, ids=["torchrun", "srun", "by hand"])
def test_c14_ranks_of_one_launcher_share_one_run(tmp_path: Path, launcher: dict[str, str]) -> None:
    home = tmp_path / "home"
    with begun(ranks(tmp_path, launcher), home) as process:
        ids = {line_of(process.stdout).split()[1] for _ in range(2)}
        process.communicate(b"\n\n")
        assert process.returncode == 0
    assert len(ids) == 1
    (folder,) = folders(home)
    assert len(heads(folder)) == 1
    assert settled(home).work == {"samples": 2.0}
    said = [f for m in folder.glob("marks.*") for f in read_frames(m).frames]
    assert {f.rank for f in said if isinstance(f, Process)} == {0, 1}


def test_c13_the_run_outlives_the_rank_that_began_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with begun(ranks(tmp_path, LAUNCHERS[0]), home) as process:
        first, _ = line_of(process.stdout).split()
        second, _ = line_of(process.stdout).split()
        os.kill(int(first), signal.SIGKILL)
        (folder,) = folders(home)
        seen = len(frames(folder))
        until(lambda: len(frames(folder)) > seen + 2 or None, "the collector went with the rank")
        assert not has_gone(int(second))
        assert in_ledger(home) == []
        process.communicate(b"\n\n")
    until(lambda: in_ledger(home) or None)
    assert len(heads(folder)) == 1


def test_c14_processes_side_by_side_without_a_launcher_have_runs_of_their_own(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    with (
        begun(started(tmp_path, WAITING), home) as one,
        begun(started(tmp_path, WAITING), home) as two,
    ):
        ids = {line_of(one.stdout), line_of(two.stdout)}
        for process in (one, two):
            out, _ = process.communicate(b"\n")
            assert out == b"Figure\n"
    assert len(ids) == 2
    assert sorted(in_ledger(home)) == sorted(ids)


def test_closed_standard_files_do_not_confuse_the_pipes(tmp_path: Path) -> None:
    home = tmp_path / "home"
    code = """
import os
for fd in (0, 1, 2): os.close(fd)
import submeter
with submeter.measure() as run: pass
os._exit(0 if isinstance(run.energy, submeter.Figure) else 3)
"""
    argv = started(tmp_path, code)
    assert subprocess.run(argv, env=environment(home), check=False).returncode == 0


def test_the_collector_holds_none_of_the_programs_files(tmp_path: Path) -> None:
    home = tmp_path / "home"
    code = WAITING.replace(
        "import sys, submeter",
        "import os, sys, submeter\nheld = os.open(os.devnull, os.O_RDONLY)\n"
        "for fd in range(50, 60): os.dup2(held, fd, inheritable=True)",
    )
    with begun(started(tmp_path, code), home) as process:
        line_of(process.stdout)
        head = until(lambda: next(iter(heads(folders(home)[0])), None))
        held = set()
        for place in Path(f"/proc/{head.collector_pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # it opens and closes files as it reads
                held.add(str(place.readlink()))
        assert held
        assert os.devnull not in held
        assert os.getsid(head.collector_pid) == head.collector_pid
        process.communicate(b"\n")
