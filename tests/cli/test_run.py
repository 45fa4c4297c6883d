# SPDX-License-Identifier: Apache-2.0
"""``submeter run`` at a terminal: one summary, nothing in between, and the command's own end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from submeter.interfaces.cli.run import default_name
from tests.running.scripts import (
    environment,
    finish,
    folders,
    frames,
    python_file,
    run_arguments,
    settled,
    shared_places_as_before,
)

PYTHON = sys.executable


def test_the_summary_is_at_the_end_on_stderr_alone(tmp_path: Path) -> None:
    code = """
import sys, submeter
print("mine"); print("mine too", file=sys.stderr)
with submeter.phase("train"):
    sum(range(3_000_000))
    submeter.log(accuracy=0.9, samples=3)
"""
    argv = run_arguments(
        PYTHON, python_file(tmp_path, code), options=("--name", "digits", "--tag", "k=v=w")
    )
    done = finish(argv, tmp_path / "home")
    assert done.returncode == 0
    assert done.stdout == b"mine\n"
    said = done.stderr.decode().splitlines()
    assert said[0] == "mine too"
    summary = [line for line in said[1:] if line]
    assert summary[0].startswith("digits · finished in")
    assert any("train" in line for line in summary)
    assert any("accuracy" in line for line in summary)
    assert len(summary) <= 15
    run = settled(tmp_path / "home", "digits")
    assert run.tags == {"k": "v=w"}


def test_quiet_says_nothing(tmp_path: Path) -> None:
    done = finish(run_arguments("true"), tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_options_behind_the_command_are_the_commands(tmp_path: Path) -> None:
    done = finish(run_arguments("echo", "--name", "x", "--help", "--"), tmp_path)
    assert done.stdout == b"--name x --help --\n"
    bare = [PYTHON, "-m", "submeter", "run", "-q", "echo", "--tag"]
    assert finish(bare, tmp_path).stdout == b"--tag\n"


def test_interval_and_project_reach_the_run(tmp_path: Path) -> None:
    argv = run_arguments("true", options=("-q", "--interval", "0.5", "--project", "p"))
    assert finish(argv, tmp_path).returncode == 0
    run = settled(tmp_path)
    assert (run.interval_s, run.project) == (0.5, "p")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--"],
        ["--tag", "novalue", "--", "true"],
        ["--interval", "0", "--", "true"],
        ["--interval", "nan", "--", "true"],
        ["--interval", "often", "--", "true"],
        ["--no-such-option", "--", "true"],
    ],
    ids=lambda words: " ".join(words) or "nothing",
)
def test_wrong_usage_is_two_lines_and_exit_code_2(tmp_path: Path, words: list[str]) -> None:
    done = finish([PYTHON, "-m", "submeter", "run", *words], tmp_path)
    assert done.returncode == 2, done.stderr
    error, remedy = done.stderr.decode().splitlines()
    assert error.startswith("error: ")
    assert remedy.startswith("try:   ")
    assert folders(tmp_path) == []


def test_f19_secrets_on_the_command_line_are_in_no_file(tmp_path: Path) -> None:
    argv = run_arguments("echo", "--api-key", "hunter2secret", "https://me:hunter3secret@x.y/")
    done = finish(argv, tmp_path)
    assert b"hunter2secret" in done.stdout  # the command itself gets what it was given
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert b"hunter2secret" not in path.read_bytes(), path
            assert b"hunter3secret" not in path.read_bytes(), path
            assert path.stat().st_mode & 0o077 == 0, path


def test_a_closed_stderr_costs_the_summary_alone(tmp_path: Path) -> None:
    argv = ["sh", "-c", 'exec "$@" 2>&-', "sh", *run_arguments("sh", "-c", "exit 4", options=())]
    assert finish(argv, tmp_path).returncode == 4
    assert settled(tmp_path).exit_code == 4


def test_c05_nobody_reading_the_summary_does_not_change_the_end(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            run_arguments("sh", "-c", "exit 4", options=()),
            env=environment(tmp_path),
            stderr=write,
            check=False,
        )
    finally:
        os.close(write)
    assert done.returncode == 4


@pytest.mark.parametrize("name", [b"new\nline", b"\xff\xfe", b"x" * 200, b"q'\"\\"])
def test_d19_odd_paths_of_the_home_work(tmp_path: Path, name: bytes) -> None:
    home = os.fsdecode(os.fsencode(tmp_path) + b"/" + name)
    env = environment(Path(home), LC_ALL="C.UTF-8")
    with shared_places_as_before():
        done = finish(run_arguments("sh", "-c", "exit 3", options=()), Path(home), env=env)
    assert done.returncode == 3
    assert b"Traceback" not in done.stderr
    assert done.stderr  # either the summary, or where things went instead


def test_the_last_reading_comes_after_the_commands_end(tmp_path: Path) -> None:
    assert finish(run_arguments("true"), tmp_path).returncode == 0
    kinds = [type(f).__name__ for f in frames(folders(tmp_path)[0])]
    assert kinds[0] == "Head"
    assert kinds.index("Started") < kinds.index("End")
    assert kinds[-1] == "End"
    assert "Ticks" in kinds


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("python train.py", "train"),
        ("/usr/bin/python3.11 -u /home/me/fine-tune.py --lr 1", "fine-tune"),
        ("python -m pkg.train --x", "pkg.train"),
        ("python -c pass", "python"),
        ("python", "python"),
        ("torchrun --nproc-per-node 2 train.py --config a.py", "train"),
        ("accelerate launch train.py", "train"),
        ("bash run.sh", "run"),
        ("./train --lr 1", "train"),
        ("/opt/bin/trainer.bin", "trainer.bin"),
    ],
)
def test_a_run_without_a_name_is_called_after_its_script(words: str, name: str) -> None:
    assert default_name(words.split()) == name
