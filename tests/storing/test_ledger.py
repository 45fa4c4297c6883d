# SPDX-License-Identifier: Apache-2.0
"""The ledger keeps what it is given, finds it again, and names what is damaged."""

import math
import multiprocessing
import os
import sqlite3
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from submeter.errors import (
    LedgerError,
    LedgerLockedError,
    LedgerVersionError,
    RunNotFoundError,
    UsageError,
)
from submeter.records import Missing, Run
from submeter.records.runs import MetricPoint
from submeter.storing import places
from submeter.storing.ledger import Ledger, open_ledger
from submeter.storing.schema import LEDGER_SCHEMA
from tests.storing.runs import MakeRun


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with open_ledger(path) as opened:
        yield opened


def mode_of(path: Path) -> str:
    db = sqlite3.connect(path)
    try:
        return str(db.execute("PRAGMA journal_mode").fetchone()[0])
    finally:
        db.close()


# --- put, get, list ---------------------------------------------------------------------------


def test_what_is_put_is_what_is_got_also_by_another_process_later(
    path: Path, make_run: MakeRun
) -> None:
    run = make_run(1)
    with open_ledger(path) as ledger:
        ledger.put(run)
        ledger.put(run)
    with open_ledger(path, create=False) as again:
        assert again.get(run.id) == run
        assert len(again.list()) == 1
        assert again.check() == []


def test_a_run_is_found_by_id_beginning_name_and_place_from_the_end(
    ledger: Ledger, make_run: MakeRun
) -> None:
    runs = [make_run(n, name=name) for n, name in ((100, "a"), (3, "b"), (200, "a"), (7, "2026"))]
    for run in runs:
        ledger.put(run)
    assert ledger.get("last") == ledger.get("last~0") == runs[2]
    assert [ledger.get(f"last~{n}") for n in (1, 2, 3)] == [runs[0], runs[3], runs[1]]
    assert ledger.get("a") == runs[2]
    assert ledger.get(runs[0].id[:-1]) == runs[0]
    assert ledger.get("2026") == runs[3]  # a full name before the beginning of an id
    for ref, said in (
        ("last~4", "last~4"),
        ("20261123-00", "more than one"),
        ("", "no run"),
        ("x", "no run"),
    ):
        with pytest.raises(RunNotFoundError, match=said) as caught:
            ledger.get(ref)
        assert caught.value.remedy


def test_an_empty_reference_is_no_run_without_a_name(ledger: Ledger, make_run: MakeRun) -> None:
    ledger.put(make_run(1, name=""))
    for look in (ledger.get, ledger.remove, ledger.tag):
        with pytest.raises(RunNotFoundError, match="no run is named"):
            look("")


def test_a_run_not_found_is_answered_with_what_is_near(ledger: Ledger, make_run: MakeRun) -> None:
    with pytest.raises(RunNotFoundError, match="no run is stored yet"):
        ledger.get("last")
    ledger.put(make_run(1, name="baseline\x1b[31m"))
    with pytest.raises(RunNotFoundError, match=r"near: baseline$"):
        ledger.get("basline")


@pytest.mark.parametrize(
    "ref", ["' OR 1=1 --", "%", "*", "_", "\x00", "last~", "last~-1", "../..", "a" * 100_000, "ü"]
)
def test_f05_no_reference_is_taken_for_a_command(
    ledger: Ledger, make_run: MakeRun, ref: str
) -> None:
    ledger.put(make_run(1))
    with pytest.raises(RunNotFoundError):
        ledger.get(ref)
    assert (
        ledger.list(project=ref) == ledger.list(tags={ref: ref}) == ledger.list(status=ref) == []
    )
    assert len(ledger.list()) == 1


def test_a_list_is_the_latest_first_and_filtered(ledger: Ledger, make_run: MakeRun) -> None:
    for n in range(10):
        ledger.put(
            make_run(
                n,
                status="failed" if n % 2 else "finished",
                project=f"p{n % 3}",
                tags={"n": str(n), "odd": str(n % 2)},
            )
        )
    assert [r.tags["n"] for r in ledger.list(limit=3)] == ["9", "8", "7"]
    assert [r.tags["n"] for r in ledger.list(status="failed", project="p0")] == ["9", "3"]
    assert [r.tags["n"] for r in ledger.list(tags={"odd": "0", "n": "4"})] == ["4"]
    assert ledger.list(limit=0) == []
    assert ledger.list(origin="predicted") == []
    with pytest.raises(UsageError):
        ledger.list(limit=-1)


def test_a_row_has_the_totals_of_node_and_devices(ledger: Ledger, make_run: MakeRun) -> None:
    run = make_run(0)
    none = msgspec.structs.replace(run.devices[0], share=Missing("lost"))
    ledger.put(run)
    ledger.put(make_run(1, devices=(none, *run.devices[1:])))
    ledger.put(make_run(2, devices=()))
    nothing, partly, whole = ledger.list()
    assert (whole.devices_j, whole.node_j, whole.incomplete) == (120.0, 150.0, False)
    assert (partly.devices_j, partly.node_j, partly.incomplete) == (20.0, 50.0, True)
    assert (nothing.devices_j, nothing.node_j, nothing.basis) == (None, None, "")
    assert whole.basis == "measured"  # 30 of 150 J are assumed: not more than a fifth
    figures = msgspec.json.decode(whole.figures)
    assert figures["node"]["value"] == 150.0
    assert figures["node"]["low"] < 150.0 < figures["node"]["high"]
    assert msgspec.json.decode(nothing.figures)["node"] == {"missing": "no device was metered"}


def test_starts_with_and_without_fractions_are_ordered(ledger: Ledger, make_run: MakeRun) -> None:
    starts = ["2026-11-23T10:00:00Z", "2026-11-23T10:00:00.5Z", "2026-11-23T10:00:01Z"]
    for n in (2, 0, 1):
        ledger.put(make_run(n, started_utc=starts[n]))
    assert [r.started_utc for r in ledger.list()] == starts[::-1]


def test_f10_values_that_json_has_no_word_for_come_back(ledger: Ledger, make_run: MakeRun) -> None:
    run = make_run(
        1,
        metrics={"loss": math.nan, "best": -math.inf},
        metric_history=(MetricPoint(1.0, {"loss": math.inf}),),
        command=("python", "caf\udce9.py"),
    )
    ledger.put(run)
    got = ledger.get(run.id)
    assert math.isnan(got.metrics["loss"])
    assert got.metrics["best"] == -math.inf
    assert got.metric_history[0].values == {"loss": math.inf}
    assert got.command == ("python", "caf\\udce9.py")
    assert ledger.check() == []


@pytest.mark.parametrize("run_id", ["../evil", "/etc", "", ".", "a/b", "a\x00b", "x" * 101])
def test_f02_an_id_is_never_a_path(ledger: Ledger, make_run: MakeRun, run_id: str) -> None:
    with pytest.raises(LedgerError):
        ledger.put(make_run(1, id=run_id))
    assert ledger.list() == []


# --- tags -------------------------------------------------------------------------------------


def test_tags_and_names_are_edited_and_stay_edited(ledger: Ledger, make_run: MakeRun) -> None:
    run = make_run(1)
    ledger.put(run)
    tagged = ledger.tag("last", {"good": "yes"}, ["lr"], name="mine")
    assert (tagged.tags, tagged.name) == ({"good": "yes"}, "mine")
    ledger.put(run)  # settled once more
    assert ledger.get("mine").tags == {"good": "yes"}
    (places.run_folder(ledger.home, run.id) / "edits.json").unlink()
    ledger.put(run)  # also where the folder has lost them
    assert ledger.get("mine").tags == {"good": "yes"}
    ledger.tag("mine", {"lr": "0.2"}, ["good", "never"])
    assert ledger.get("last").tags == ledger.list()[0].tags == {"lr": "0.2"}
    assert ledger.check() == []


@pytest.mark.parametrize(
    "tags", [{"": "x"}, {"a=b": "x"}, {"k": "\x1b[2J"}, {"k": "v" * 501}, {"k" * 65: "v"},
     {"k": "\u202egpj"}, {f"k{n}": "v" for n in range(64)}]
)  # fmt: skip
def test_f11_tags_that_cannot_be_used_change_nothing(
    ledger: Ledger, make_run: MakeRun, tags: dict[str, str]
) -> None:
    ledger.put(make_run(1))
    with pytest.raises(UsageError):
        ledger.tag("last", tags)
    assert ledger.get("last") == make_run(1)


def test_remove_takes_the_folder_too(ledger: Ledger, make_run: MakeRun) -> None:
    run = make_run(1)
    ledger.put(run)
    folder = places.run_folder(ledger.home, run.id)
    (folder / "journal").write_bytes(b"x")
    assert ledger.remove("last") == run
    assert list(folder.parent.iterdir()) == []
    assert ledger.list() == []
    with pytest.raises(RunNotFoundError):
        ledger.remove(run.id)


def test_remove_follows_no_link_out_of_the_folder(
    ledger: Ledger, make_run: MakeRun, tmp_path: Path
) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("kept")
    run = make_run(1)
    ledger.put(run)
    (places.run_folder(ledger.home, run.id) / "link").symlink_to(tmp_path / "precious")
    ledger.remove(run.id)
    assert (tmp_path / "precious" / "file").read_text() == "kept"


# --- several at once --------------------------------------------------------------------------


def _put_some(path: Path, run: Run, start: int, count: int) -> None:
    for n in range(start, start + count):
        with open_ledger(path) as ledger:
            ledger.put(msgspec.structs.replace(run, id=f"20261123-000000-{n:04x}"))


def test_d16_many_processes_put_at_once_without_loss(path: Path, make_run: MakeRun) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_put_some, args=(path, make_run(0), 10 * k, 10)) for k in range(8)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [w.exitcode for w in workers] == [0] * 8
    with open_ledger(path) as ledger:
        assert len(ledger.list()) == 80
        assert ledger.check() == []


def _make_some(folder: Path, count: int, together: Any) -> None:
    for n in range(count):
        together.wait()
        open_ledger(folder / f"{n}.db", busy_s=30.0).close()


def test_d16_many_processes_make_the_same_ledger_at_once(tmp_path: Path) -> None:
    """About one in a thousand met a change to the log that SQLite does not wait for."""
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(6)
    workers = [context.Process(target=_make_some, args=(tmp_path, 20, together)) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [w.exitcode for w in workers] == [0] * 6


def test_d12_a_ledger_held_by_another_is_waited_for_and_then_named(
    path: Path, make_run: MakeRun
) -> None:
    with open_ledger(path) as ledger:
        ledger.put(make_run(1))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN IMMEDIATE")
    other.execute("UPDATE runs SET name = name")
    try:
        with pytest.raises(LedgerLockedError) as caught, open_ledger(path, busy_s=0.05) as ledger:
            ledger.put(make_run(2))
        assert str(path) in str(caught.value)
        assert caught.value.exit_code == 6
    finally:
        other.execute("ROLLBACK")
        other.close()
    with open_ledger(path) as ledger:
        ledger.put(make_run(2))
        assert len(ledger.list()) == 2


def test_d12_a_ledger_read_by_another_while_it_is_made_is_waited_for(
    path: Path, make_run: MakeRun
) -> None:
    """SQLite does not wait by itself when a reader is in the way of the change to a log."""
    make_layout_0(path, [make_run(1)])
    reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM runs").fetchone() == (2,)
    with pytest.raises(LedgerLockedError):
        open_ledger(path, busy_s=0.05)
    leaving = threading.Timer(0.2, lambda: reader.execute("COMMIT"))
    leaving.start()
    with open_ledger(path, busy_s=60.0) as ledger:
        assert ledger.get("last") == make_run(1)
    leaving.join()
    reader.close()


def test_a_reader_is_not_held_up_by_a_writer(path: Path, make_run: MakeRun) -> None:
    with open_ledger(path) as ledger:
        ledger.put(make_run(1))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with open_ledger(path, busy_s=0.0) as reader:
            assert len(reader.list()) == 1
        other.execute("ROLLBACK")
        other.close()


# --- places it has to live in -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("ext4", "wal"),
        ("", "wal"),
        ("nfs4", "delete"),
        ("lustre", "delete"),
        ("fuse.sshfs", "delete"),
    ],
)
def test_d14_no_shared_memory_on_a_network_file_system(
    path: Path, make_run: MakeRun, kind: str, mode: str
) -> None:
    with open_ledger(path, file_system=lambda _: kind) as ledger:
        ledger.put(make_run(1))
        assert mode_of(path) == mode
        assert path.with_name("ledger.db-shm").exists() == (mode == "wal")
    with open_ledger(path, file_system=lambda _: "nfs"):
        assert mode_of(path) == "delete"  # also one that came from a local disk


def test_f19_the_file_is_private(path: Path, make_run: MakeRun) -> None:
    before = os.umask(0)
    try:
        with open_ledger(path) as ledger:
            ledger.put(make_run(1))
            files = [p for p in path.parent.rglob("*") if p.is_file()]
            assert {stat.S_IMODE(f.stat().st_mode) for f in files} == {0o600}
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    finally:
        os.umask(before)


@pytest.mark.parametrize("name", ["with space", "line\nfeed", "ü?#%", "-x", "a" * 255])
def test_d19_odd_paths_work(tmp_path: Path, make_run: MakeRun, name: str) -> None:
    with open_ledger(tmp_path / name / "ledger.db") as ledger:
        ledger.put(make_run(1))
    with open_ledger(tmp_path / name / "ledger.db", create=False) as ledger:
        assert ledger.get("last") == make_run(1)


@pytest.mark.parametrize("name", ["a" * 256, "nul\x00", "file/below"])
def test_d19_impossible_paths_are_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="cannot be made") as caught:
        open_ledger(tmp_path / name / "ledger.db")
    assert "SUBMETER_HOME" in str(caught.value.remedy)


def test_no_ledger_is_made_when_none_is_wanted(path: Path) -> None:
    with pytest.raises(LedgerError, match="there is no ledger"):
        open_ledger(path, create=False)
    assert not path.parent.exists()


def test_d17_a_link_laid_in_a_shared_folder_is_not_followed(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    target = tmp_path / "target"
    (shared / "ledger.db").symlink_to(target)  # dangling: open(2) would make the target
    with pytest.raises(LedgerError):
        open_ledger(shared / "ledger.db")
    assert not target.exists()
    if os.geteuid() == 0:
        (shared / "other.db").write_bytes(b"")
        os.chown(shared / "other.db", 12345, 12345)
        with pytest.raises(LedgerError, match="somebody else"):
            open_ledger(shared / "other.db")


def as_nobody(call: Any) -> str:
    """Result of *call* in a child that root's rights do not help."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            said = str(call())
        except BaseException as exc:  # noqa: BLE001
            said = f"{type(exc).__name__}: {exc}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


def open_to_others(folder: Path, mode: int) -> None:
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(mode if parent == folder else parent.stat().st_mode | 0o055)


def test_d03_a_read_only_ledger_is_read_and_says_so(path: Path, make_run: MakeRun) -> None:
    with open_ledger(path) as ledger:
        ledger.put(make_run(1))
    path.chmod(0o444)
    open_to_others(path.parent, 0o555)

    def use() -> str:
        with open_ledger(path) as ledger:
            said = f"{ledger.get('last').id} {ledger.note} "
            try:
                ledger.put(make_run(2))
            except LedgerError as exc:
                return said + str(exc) + str(exc.remedy)
        return said

    said = as_nobody(use)
    path.parent.chmod(0o700)
    assert said.startswith(make_run(1).id)
    assert "only read" in said
    assert "SUBMETER_HOME" in said


# --- versions ---------------------------------------------------------------------------------


def make_layout_0(path: Path, runs: list[Run]) -> None:
    """Write a ledger as it was before layouts were numbered."""
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE runs (id TEXT PRIMARY KEY, document TEXT NOT NULL)")
    rows = [(run.id, msgspec.json.encode(run).decode()) for run in runs]
    db.executemany("INSERT INTO runs VALUES (?, ?)", rows)
    db.execute("INSERT INTO runs VALUES ('broken', '{')")
    db.commit()
    db.close()


def test_a_ledger_of_layout_0_is_brought_up_to_date_and_kept(
    path: Path, make_run: MakeRun
) -> None:
    runs = [make_run(n) for n in range(3)]
    make_layout_0(path, runs)
    before = path.read_bytes()
    with open_ledger(path) as ledger:
        assert [ledger.get(r.id) for r in runs] == runs
        assert len(ledger.list(tags={"lr": "0.1"})) == 3
        (said,) = ledger.check()
        assert "broken" in said
    (kept,) = path.parent.glob("ledger.db.v0-*")
    db = sqlite3.connect(kept)
    assert db.execute("SELECT count(*) FROM runs").fetchone() == (4,)
    db.close()
    assert len(before) == kept.stat().st_size
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    with open_ledger(path):
        assert len(list(path.parent.glob("ledger.db.v0-*"))) == 1


def test_a_migration_that_fails_leaves_the_ledger_as_it_was(
    path: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_layout_0(path, [make_run(1)])

    def dies(db: sqlite3.Connection) -> None:
        db.execute("DROP TABLE runs")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(sys.modules["submeter.storing.schema"].MIGRATIONS, 0, dies)
        with pytest.raises(KeyboardInterrupt):
            open_ledger(path)
    with open_ledger(path) as ledger:
        assert ledger.get("last") == make_run(1)


def test_a_newer_ledger_is_left_alone(path: Path) -> None:
    open_ledger(path).close()
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {LEDGER_SCHEMA + 1}")
    db.close()
    with pytest.raises(LedgerVersionError, match="newer submeter") as caught:
        open_ledger(path)
    assert "upgrade" in str(caught.value.remedy)


# --- damage -----------------------------------------------------------------------------------


def test_a_flipped_byte_of_a_run_is_seen_and_named(path: Path, make_run: MakeRun) -> None:
    with open_ledger(path) as ledger:
        for n in range(3):
            ledger.put(make_run(n, name=f"run-{n}", notes=(f"flip-me-{n}",)))
        ledger._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"flip-me-1")] ^= 1
    path.write_bytes(raw)
    with open_ledger(path) as ledger:
        with pytest.raises(LedgerError, match=f"{make_run(1).id} is damaged"):
            ledger.get("run-1")
        assert [make_run(1).id in said for said in ledger.check()] == [True]
        assert ledger.get("run-2").name == "run-2"
        assert ledger.remove("run-1").id == make_run(1).id
        assert ledger.check() == []


def test_a_row_that_does_not_fit_its_document_is_named(ledger: Ledger, make_run: MakeRun) -> None:
    for n in range(2):
        ledger.put(make_run(n))
    ledger._db.execute("UPDATE runs SET node_j = 1 WHERE id = ?", (make_run(0).id,))
    ledger._db.execute("DELETE FROM tags WHERE run_id = ?", (make_run(1).id,))
    said = ledger.check()
    assert len(said) == 2
    assert make_run(0).id in said[0]
    assert make_run(1).id in said[1]


def test_d10_a_destroyed_header_is_copied_aside_once_and_explained(
    path: Path, make_run: MakeRun
) -> None:
    with open_ledger(path) as ledger:
        ledger.put(make_run(1))
    raw = path.read_bytes()
    path.write_bytes(os.urandom(100) + raw[100:])
    damaged = path.read_bytes()
    for _ in range(2):
        with pytest.raises(LedgerError, match="damaged") as caught:
            open_ledger(path)
        assert "submeter doctor --rebuild" in str(caught.value.remedy)
    (copy,) = path.parent.glob("ledger.db.broken-*")
    assert copy.read_bytes() == path.read_bytes() == damaged


def test_a_disk_that_is_full_is_named_and_the_ledger_stays_whole(
    path: Path, make_run: MakeRun
) -> None:
    with open_ledger(path) as ledger:
        ledger.put(make_run(1))
        pages = ledger._db.execute("PRAGMA page_count").fetchone()[0]
        ledger._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(LedgerError, match="full") as caught:
            ledger.put(make_run(2, notes=("x" * 100_000,)))
        assert "free some space" in str(caught.value.remedy)
        assert ledger.get("last") == make_run(1)
        assert ledger.check() == []
