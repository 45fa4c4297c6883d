# SPDX-License-Identifier: Apache-2.0
"""Real small disks: full, without inodes, made read-only while in use."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PRELUDE = """
import msgspec, os, subprocess, sys
from pathlib import Path
from submeter.errors import LedgerError
from submeter.storing import places
from submeter.storing.ledger import open_ledger
from tests.storing.runs import make_run
disk, spare = Path(sys.argv[1]), Path(sys.argv[2])
env = {"SUBMETER_HOME": str(disk / "home")}
"""


def on_a_disk(tmp_path: Path, options: str, code: str) -> str:
    """What *code* prints in a mount namespace of its own with a tmpfs; skips where none may be."""
    disk, spare = tmp_path / "disk", tmp_path / "spare"
    disk.mkdir()
    spare.mkdir()
    script = tmp_path / "script.py"
    script.write_text(PRELUDE + textwrap.dedent(code))
    words = f'mount -t tmpfs -o {options} none "$1" || exit 99; exec "$3" "$4" "$1" "$2"'
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    try:
        done = subprocess.run(
            [*unshare, "sh", "-c", words, "sh", disk, spare, sys.executable, script],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        )
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if done.returncode == 99 or "unshare:" in done.stderr:
        pytest.skip(f"no mounts here: {done.stderr.strip()}")
    assert done.stderr == ""
    return done.stdout


def test_d01_a_disk_full_at_start_is_left_for_another(tmp_path: Path) -> None:
    said = on_a_disk(
        tmp_path,
        "size=64k",
        """
        (disk / "filler").write_bytes(bytes(16 * 4096 - 4096))
        home, why = places.writable_home(env, parents=[disk, spare])
        print(home.parent == spare, "cannot be written" in why or "is full" in why)
        """,
    )
    assert said == "True True\n"


def test_d01_a_disk_that_fills_up_loses_nothing_that_was_stored(tmp_path: Path) -> None:
    said = on_a_disk(
        tmp_path,
        "size=400k",
        """
        stored = []
        with open_ledger(disk / "home" / "ledger.db") as ledger:
            for n in range(1000):
                try:
                    ledger.put(make_run(n, notes=("x" * 3000,)))
                except LedgerError as exc:
                    print(exc.remedy)
                    break
                stored.append(n)
        (disk / "home" / "runs" / make_run(0).id / "run.json").unlink()
        with open_ledger(disk / "home" / "ledger.db") as ledger:
            print(len(stored) > 5, ledger.check() == [])
            ids = [make_run(n).id for n in stored]
            print([ledger.get(i).id for i in ids] == ids)
        """,
    )
    remedy, whole, same = said.splitlines()
    assert "free some space" in remedy
    assert (whole, same) == ("True True", "True")


def test_d02_a_disk_without_inodes_is_left_for_another(tmp_path: Path) -> None:
    said = on_a_disk(
        tmp_path,
        "nr_inodes=3",
        """
        (disk / "home").mkdir()
        (disk / "last").write_bytes(b"")
        home, why = places.writable_home(env, parents=[disk, spare])
        print(home.parent == spare, "No space left" in why)
        try:
            open_ledger(disk / "home" / "ledger.db")
        except LedgerError as exc:
            print("cannot be made" in str(exc))
        """,
    )
    assert said == "True True\nTrue\n"


def test_d03_a_disk_made_read_only_while_in_use(tmp_path: Path) -> None:
    said = on_a_disk(
        tmp_path,
        "size=4m",
        """
        with open_ledger(disk / "home" / "ledger.db") as ledger:
            ledger.put(make_run(1))
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with open_ledger(disk / "home" / "ledger.db") as ledger:
            print(ledger.get("last") == make_run(1), "only read" in ledger.note)
            for write in (lambda: ledger.put(make_run(2)), lambda: ledger.tag("last", {"a": "b"}),
                          lambda: ledger.remove("last")):
                try:
                    write()
                except LedgerError as exc:
                    print("cannot be" in str(exc), bool(exc.remedy))
            print(ledger.list()[0].id == make_run(1).id)
        home, why = places.writable_home(env, parents=[disk, spare])
        print(home.parent == spare, "Read-only" in why)
        """,
    )
    assert said.split() == ["True"] * 11


def test_d01_reading_on_a_full_disk_names_the_disk_and_advises_no_rebuild(tmp_path: Path) -> None:
    said = on_a_disk(
        tmp_path,
        "size=256k",
        """
        with open_ledger(disk / "home" / "ledger.db") as ledger:
            ledger.put(make_run(1))
        try:
            with (disk / "filler").open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
        except OSError:
            pass
        try:
            open_ledger(disk / "home" / "ledger.db").list()
            print("True True True")
        except LedgerError as exc:
            print("is full" in str(exc), "free some space" in exc.remedy, "--rebuild" not in exc.remedy)
        """,
    )
    assert said == "True True True\n"
