# SPDX-License-Identifier: Apache-2.0
"""A program that closes our descriptors keeps its own files whole, and its run."""

import sys
from pathlib import Path

from submeter.records.frames import Metric
from submeter.storing.journal import read_frames
from tests.running.scripts import (
    environment,
    finish,
    folders,
    in_ledger,
    python_file,
    run_arguments,
    settled,
    until,
)

CODE = """
import os, sys, submeter
measured = submeter.measure("closed")
run = measured.__enter__() if "measure" in sys.argv else None
submeter.log(loss=1)
os.closerange(3, 4096)
with open(sys.argv[1], "wb", buffering=0) as mine:
    others = [open(sys.argv[1] + str(n), "wb", buffering=0) for n in range(20)]
    mine.write(b"C" * 100_000)
    submeter.log(loss=2)
    with submeter.phase("late"):
        pass
    submeter.log(loss=3)
    if run is not None:
        measured.__exit__(None, None, None)
        assert isinstance(run.energy, submeter.Figure), run.energy
    os.fstat(mine.fileno())
    for other in others:
        os.fstat(other.fileno())
"""


def files_are_whole(folder: Path) -> None:
    assert (folder / "mine").read_bytes() == b"C" * 100_000
    assert [p.stat().st_size for p in folder.glob("mine?*")] == [0] * 20


def test_logging_after_all_files_were_closed_writes_into_none_of_the_program(
    tmp_path: Path,
) -> None:
    code, mine = python_file(tmp_path, CODE), str(tmp_path / "mine")
    done = finish(run_arguments(sys.executable, code, mine), tmp_path / "home")
    assert (done.returncode, done.stderr) == (0, b"")
    files_are_whole(tmp_path)
    (folder,) = folders(tmp_path / "home")
    (marks,) = folder.glob("marks.*")
    points = [f for f in read_frames(marks).frames if isinstance(f, Metric)]
    assert points[-1].values == {"loss": 3.0}


def test_a_measured_program_that_closed_our_pipes_is_settled_all_the_same(tmp_path: Path) -> None:
    code, mine = python_file(tmp_path, CODE), str(tmp_path / "mine")
    home = tmp_path / "home"
    done = finish([sys.executable, code, mine, "measure"], home)
    assert (done.returncode, done.stderr) == (0, b"")
    files_are_whole(tmp_path)
    run = settled(home)
    assert (run.status, run.metrics) == ("finished", {"loss": 3.0})


def test_a_program_that_closed_our_pipes_and_went_away_is_settled(tmp_path: Path) -> None:
    code = (
        "import os, submeter\nsubmeter.measure().__enter__()\nos.closerange(3, 4096)\nos._exit(3)"
    )
    home = tmp_path / "home"
    done = finish([sys.executable, python_file(tmp_path, code)], home, env=environment(home))
    assert done.returncode == 3
    until(lambda: in_ledger(home))
    assert settled(home).status == "killed"
