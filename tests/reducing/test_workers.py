# SPDX-License-Identifier: Apache-2.0
"""Two workers on one search that PostgreSQL keeps: a real server of our own, on a socket."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from submeter.records.searches import SearchTrial
from submeter.reducing.findings import recommended
from submeter.reducing.quality import parse_condition
from submeter.reducing.spaces import Value, parse_space
from submeter.reducing.studies import close_study, open_study
from submeter.reducing.tuning import GoesOn, Outcome, Searching, Task, default_setting
from tests.reducing.landscape import SETS, WALL_RATIO, Landscape

USERS = ("postgres", "nobody")  # a server refuses to run as root


def program(name: str) -> str | None:
    """Path of a program of PostgreSQL, the newest; Debian keeps them out of the way."""
    kept = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(kept[-1]) if kept else shutil.which(name)


def other_user() -> str | None:
    """Somebody to run a server as, where we are root."""
    for name in USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    return None


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A database in a folder of its own, reached by a socket in it."""
    initdb, pg_ctl = program("initdb"), program("pg_ctl")
    if initdb is None or pg_ctl is None:
        pytest.skip("PostgreSQL is not installed here: apt-get install postgresql")
    pytest.importorskip("psycopg")
    user = other_user() if os.geteuid() == 0 else None
    if os.geteuid() == 0 and user is None:
        pytest.skip("PostgreSQL does not run as root, and there is nobody else")
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as name:  # a short path
        if user is not None:
            shutil.chown(name, user)

        def call(*words: str) -> None:
            subprocess.run(
                words, check=True, user=user, cwd=name, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120,
            )  # fmt: skip

        data = f"{name}/data"
        call(initdb, "-D", data, "-U", "submeter", "-A", "trust", "--no-sync", "-E", "UTF8")
        call(
            pg_ctl, "-D", data, "-w", "-s", "-l", f"{name}/log",
            "-o", f"-k {name} -c listen_addresses='' -F", "start",
        )  # fmt: skip
        try:
            yield f"postgresql://submeter@/postgres?host={name}"
        finally:
            call(pg_ctl, "-D", data, "-w", "-s", "-m", "immediate", "stop")


def task() -> Task:
    space = parse_space(SETS)
    return Task(
        space=space, default=default_setting(space, {}), trials=9,
        conditions=(parse_condition("accuracy >= 0.94"),), sampler="grid",
    )  # fmt: skip


def test_two_workers_join_one_search(address: str) -> None:
    world, both = Landscape(), threading.Barrier(2, timeout=120)
    found: dict[int, list[SearchTrial]] = {}

    def work(worker: int) -> None:
        met = False

        def run_one(number: int, settings: dict[str, Value], goes_on: GoesOn) -> Outcome:
            nonlocal met
            if not met:  # both are in the midst of a trial
                met = True
                both.wait()
            return world.run_one(number, settings, goes_on)

        asked = task()
        study = open_study("shared", asked, address)
        found[worker] = Searching(asked, study, run_one).go()
        close_study(study)

    study = open_study("shared", task(), address)
    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    trials = Searching(task(), study, world.run_one).trials()
    close_study(study)
    assert len({tuple(t.settings.values()) for t in trials}) == len(trials)
    assert len(world.ran) <= len(trials)  # those that must use more are not even started
    assert 9 <= len(trials) <= 10  # the other may be in the midst of one when it is enough
    assert sum(t.energy_j for t in trials) == pytest.approx(world.node_j * WALL_RATIO)
    assert sum(t.default for t in trials) == 1
    best = recommended(trials)
    assert best is not None
    assert best.energy_j <= min(t.energy_j for t in trials if t.kept)
