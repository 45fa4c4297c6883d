# SPDX-License-Identifier: Apache-2.0
"""Runs that nobody settled are settled at the next start; live ones are left alone."""

import os
import signal
import sys
from pathlib import Path

from submeter.running.recovery import is_over, settle_orphans
from submeter.storing.journal import is_live
from tests.running.scripts import (
    begun,
    folders,
    heads,
    in_ledger,
    line_of,
    run_arguments,
    settled,
    until,
)

PYTHON = sys.executable


def test_c01_a_run_whose_processes_were_all_killed_is_listed_as_killed(tmp_path: Path) -> None:
    with begun(run_arguments("sh", "-c", "echo $$; read line"), tmp_path) as process:
        command = int(line_of(process.stdout))
        (folder,) = folders(tmp_path)
        head = until(lambda: next(iter(heads(folder)), None))
        assert not is_over(folder)
        assert settle_orphans(tmp_path) == []
        process.kill()  # first, or it would start another collector
        process.wait(30)
        os.kill(head.collector_pid, signal.SIGKILL)
        os.kill(command, signal.SIGKILL)
        # its threads hold the journal's lock until the last of them is gone
        until(lambda: is_over(folder) or None)
    assert in_ledger(tmp_path) == []
    assert [r.id for r in settle_orphans(tmp_path)] == [folder.name]
    assert settled(tmp_path).status == "killed"
    assert settle_orphans(tmp_path) == []


def test_a_run_between_two_collectors_is_not_over(tmp_path: Path) -> None:
    with begun(run_arguments("sh", "-c", "echo $$; read line"), tmp_path) as process:
        line_of(process.stdout)
        (folder,) = folders(tmp_path)
        head = until(lambda: next(iter(heads(folder)), None))
        os.kill(process.pid, signal.SIGSTOP)  # the launcher cannot start the next one
        os.kill(head.collector_pid, signal.SIGKILL)
        until(lambda: (not is_live(folder / "journal")) or None)
        assert not is_over(folder)
        assert settle_orphans(tmp_path) == []
        os.kill(process.pid, signal.SIGCONT)
        process.communicate(b"\n")
        assert process.returncode == 0
    assert settled(tmp_path).status == "finished"


def test_what_cannot_be_settled_stays_and_stops_nothing(tmp_path: Path) -> None:
    for name, journal in (("a", b""), ("b", os.urandom(5000)), ("c", None)):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        if journal is not None:
            (folder / "journal").write_bytes(journal)
    assert settle_orphans(tmp_path) == []
    assert (tmp_path / "runs" / "b" / "journal").stat().st_size == 5000


def test_a_home_without_runs_is_not_made(tmp_path: Path) -> None:
    assert settle_orphans(tmp_path / "none") == []
    assert not (tmp_path / "none").exists()
