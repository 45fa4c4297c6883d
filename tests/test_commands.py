# SPDX-License-Identifier: Apache-2.0
"""The commands of a fresh clone: what they say on machines that lack something."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = ("sh", "rm", "mktemp", "id", "tail", "cat", "awk", "dirname", "touch", "make", "env")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder of programs like that of a very bare machine: no Python, no compiler, no apt."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found is not None, name
        (folder / name).symlink_to(found)
    return folder


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def run(*command: str, path: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": str(path), "HOME": str(path), **extra}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def make_venv(path: Path, folder: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    return run("sh", "scripts/make-venv", str(folder), path=path, **extra)


def test_without_python_it_says_which_was_looked_for(bare: Path, tmp_path: Path) -> None:
    done = make_venv(bare, tmp_path / "env")
    assert done.returncode == 1
    assert "no Python 3.11 or newer" in done.stderr
    assert "try:" in done.stderr
    assert not (tmp_path / "env").exists()


def test_an_old_python_is_not_taken(bare: Path, tmp_path: Path) -> None:
    program(bare, "python3", "exit 1")  # whatever is asked, the answer is no
    assert "no Python 3.11 or newer" in make_venv(bare, tmp_path / "env").stderr


def test_a_python_without_ensurepip_names_the_package(bare: Path, tmp_path: Path) -> None:
    program(
        bare,
        "python3",
        'case "$2" in *ensurepip*) exit 1;; *version_info\\[:2\\]*) echo 3.12;; esac',
    )
    done = make_venv(bare, tmp_path / "env")
    assert done.returncode == 1
    assert "apt-get install python3.12-venv" in done.stderr


def test_a_python_that_can_is_preferred_to_one_that_cannot(bare: Path, tmp_path: Path) -> None:
    program(bare, "python3.13", 'case "$2" in *ensurepip*) exit 1;; esac')
    program(bare, "python3", f'exec {sys.executable} "$@"')
    folder = tmp_path / "an environment"
    done = make_venv(bare, folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "bin" / "python").exists()


def test_python_can_be_chosen(bare: Path, tmp_path: Path) -> None:
    done = make_venv(bare, tmp_path / "env", PYTHON="/nowhere/python3.12")
    assert done.returncode == 1
    assert "/nowhere/python3.12" in done.stderr


def test_without_a_compiler_it_says_so(bare: Path) -> None:
    done = run("sh", "scripts/check-compiler", path=bare)
    assert done.returncode == 1
    assert "no working C compiler" in done.stderr
    assert "apt-get install gcc" in done.stderr


def test_a_compiler_that_does_not_work_is_none(bare: Path) -> None:
    program(bare, "cc", "exit 1")
    assert run("sh", "scripts/check-compiler", path=bare).returncode == 1


def test_a_compiler_that_works_is_enough(bare: Path) -> None:
    found = shutil.which("cc") or shutil.which("gcc")
    assert found is not None, "make check asks for a compiler before the tests run"
    path = Path(os.pathsep.join([str(bare), os.environ["PATH"]]))
    done = run("sh", "scripts/check-compiler", path=path, CC=found)
    assert done.returncode == 0, done.stderr


def test_without_torch_the_check_of_a_board_says_so_and_passes(bare: Path) -> None:
    program(
        bare, "python3", 'case "$2" in *version_info*) exit 0;; esac; echo no torch >&2; exit 1'
    )
    done = run("sh", "scripts/gpu-check", path=bare, PYTHON="python3")
    assert done.returncode == 0, done.stderr
    assert "nothing was checked" in done.stdout
    assert "python3: no torch" in done.stdout


def test_without_a_board_the_check_says_so_and_passes() -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "CUDA_VISIBLE_DEVICES": "99"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu_check"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "nothing was checked" in done.stdout


def test_help_names_each_command(bare: Path) -> None:
    done = run("make", path=bare)
    assert done.returncode == 0, done.stderr
    for name in ("demo", "test", "check", "bars", "figures", "gpu-check"):
        assert f"make {name} " in done.stdout
