# SPDX-License-Identifier: Apache-2.0
"""Whatever happens to the ledger, the runs come back from their folders, with their tags."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
)

from submeter.errors import LedgerError, LedgerLockedError, RunNotFoundError
from submeter.records import Run
from submeter.storing import places
from submeter.storing.ledger import Ledger, open_ledger
from submeter.storing.rebuilding import rebuild, salvage
from tests.storing.runs import MakeRun
from tests.storing.runs import make_run as _make_run

RUNS = 12


def settle_from_file(folder: Path) -> Run:
    """Stand in for metering's settling: here a journal holds the run's JSON."""
    try:
        return msgspec.json.decode((folder / "journal").read_bytes(), type=Run)
    except msgspec.DecodeError as exc:
        raise LedgerError(f"no head in {folder.name}") from exc


def with_journal(home: Path, run: Run) -> Run:
    folder = places.run_folder(home, run.id)
    folder.mkdir(parents=True)
    (folder / "journal").write_bytes(msgspec.json.encode(run))
    return run


@pytest.fixture(scope="module")
def full_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve runs, half with a journal, one tagged: tags in the ledger and beside the run."""
    home = tmp_path_factory.mktemp("full")
    with open_ledger(home / "ledger.db") as ledger:
        for n in range(RUNS):
            run = _make_run(n, notes=("x" * 3000,))
            ledger.put(with_journal(home, run) if n % 2 else run)
        ledger.tag(_make_run(3).id, {"seen": "yes"}, name="third")
        ledger.tag(_make_run(4).id, {"seen": "yes"}, ["lr"])
        ledger._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return home


def assert_all_there(home: Path) -> None:
    with open_ledger(home / "ledger.db", create=False) as ledger:
        assert [r.id for r in ledger.list()][::-1] == [_make_run(n).id for n in range(RUNS)]
        assert ledger.get("third").id == _make_run(3).id
        assert ledger.get(_make_run(3).id).tags == {"lr": "0.1", "seen": "yes"}
        assert ledger.get(_make_run(4).id).tags == {"seen": "yes"}
        assert ledger.check() == []


SIZE = st.floats(0, 1, exclude_max=True)


@given(cut=SIZE)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_d10_a_ledger_cut_at_any_byte_is_rebuilt(full_home: Path, cut: float) -> None:
    with tempfile.TemporaryDirectory() as name:
        home = Path(name) / "home"
        shutil.copytree(full_home, home)
        path = home / "ledger.db"
        os.truncate(path, int(path.stat().st_size * cut))
        old = path.read_bytes()
        rebuilt = rebuild(home, settle_from_file)
        assert rebuilt.failed == {}
        assert rebuilt.quarantined is not None
        assert rebuilt.quarantined.read_bytes() == old
        assert_all_there(home)


@given(place=SIZE, length=st.integers(1, 20_000), what=st.binary(min_size=1, max_size=3))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_d10_a_ledger_overwritten_anywhere_is_rebuilt(
    full_home: Path, place: float, length: int, what: bytes
) -> None:
    with tempfile.TemporaryDirectory() as name:
        home = Path(name) / "home"
        shutil.copytree(full_home, home)
        path = home / "ledger.db"
        raw = bytearray(path.read_bytes())
        start = int(len(raw) * place)
        end = min(len(raw), start + length)
        raw[start:end] = (what * length)[: end - start]
        path.write_bytes(raw)
        rebuild(home, settle_from_file)
        assert_all_there(home)


def test_what_only_the_old_ledger_holds_is_salvaged(full_home: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(full_home, home)
    shutil.rmtree(home / "runs")
    assert len(salvage(home / "ledger.db").runs) == RUNS
    rebuilt = rebuild(home, settle_from_file)
    assert (len(rebuilt.settled), len(rebuilt.salvaged)) == (0, RUNS)
    assert_all_there(home)


def test_tags_of_the_old_ledger_are_kept_where_the_folder_has_none(
    full_home: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(full_home, home)
    for edits in home.rglob("edits.json"):
        edits.unlink()
    rebuild(home, settle_from_file)
    assert_all_there(home)


def test_salvage_reads_on_both_sides_of_a_bad_page(full_home: Path, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    raw = bytearray((full_home / "ledger.db").read_bytes())
    where = raw.index(_make_run(6).id.encode() + b'","origin')
    page = where // 4096 * 4096
    raw[page : page + 4096] = os.urandom(4096)
    path.write_bytes(raw)
    found = salvage(path).runs
    assert _make_run(0).id in found
    assert _make_run(RUNS - 1).id in found
    assert all(found[k].id == k for k in found)


def test_a_live_run_is_left_to_its_collector_and_a_broken_one_is_named(tmp_path: Path) -> None:
    good, live, bad = (with_journal(tmp_path, _make_run(n)) for n in range(3))
    (tmp_path / "runs" / bad.id / "journal").write_bytes(b"{")
    (tmp_path / "runs" / "empty").mkdir()
    (tmp_path / "runs" / ".import-1").mkdir()
    rebuilt = rebuild(tmp_path, settle_from_file, is_live=lambda j: j.parent.name == live.id)
    assert rebuilt.settled == (good.id,)
    assert rebuilt.live == (live.id,)
    assert set(rebuilt.failed) == {bad.id, "empty"}
    assert "no head" in rebuilt.failed[bad.id]
    assert rebuilt.quarantined is None
    assert (tmp_path / "runs" / bad.id / "journal").read_bytes() == b"{"


def test_only_one_rebuilds_at_a_time(tmp_path: Path) -> None:
    with_journal(tmp_path, _make_run(1))

    def settle(folder: Path) -> Run:
        with pytest.raises(LedgerLockedError):
            rebuild(tmp_path, settle_from_file)
        return settle_from_file(folder)

    assert rebuild(tmp_path, settle).settled == (_make_run(1).id,)


def test_a_rebuild_that_dies_leaves_the_old_ledger(full_home: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(full_home, home)

    def dies(_: Path) -> Run:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild(home, dies)
    assert_all_there(home)
    assert not [p for p in home.iterdir() if p.name.startswith((".ledger", ".salvage"))]


class LedgerMachine(RuleBasedStateMachine):
    """The ledger against a dictionary; at any time it is killed, rebuilt or opened twice."""

    refs = Bundle("refs")

    def __init__(self) -> None:
        super().__init__()
        self.top = Path(tempfile.mkdtemp())
        self.lives = 0
        self.home = self.top / "0"
        self.model: dict[str, Run] = {}
        self.ledger: Ledger = open_ledger(self.home / "ledger.db")

    @rule(
        target=refs,
        number=st.integers(0, 40),
        status=st.sampled_from(["finished", "killed"]),
        name=st.sampled_from(["", "a", "b"]),
        journal=st.booleans(),
    )
    def put(self, number: int, status: str, name: str, *, journal: bool) -> Any:
        run = _make_run(number, status=status, name=name)
        if run.id in self.model:
            return multiple()
        if journal:
            with_journal(self.home, run)
        self.ledger.put(run)
        self.model[run.id] = run
        return run.id

    @rule(ref=refs)
    def put_again(self, ref: str) -> None:
        if ref in self.model:
            self.ledger.put(self.model[ref])

    @rule(
        ref=refs,
        key=st.sampled_from(["lr", "k"]),
        value=st.text("abc ", max_size=3),
        remove=st.sampled_from([(), ("lr",), ("k", "none")]),
    )
    def tag(self, ref: str, key: str, value: str, remove: tuple[str, ...]) -> None:
        if ref not in self.model:
            return
        run = self.model[ref]
        tags = {k: v for k, v in run.tags.items() if k not in remove} | {key: value}
        self.model[ref] = msgspec.structs.replace(run, tags=tags)
        assert self.ledger.tag(ref, {key: value}, remove) == self.model[ref]

    @rule(ref=consumes(refs))
    def remove(self, ref: str) -> None:
        if ref in self.model:
            assert self.ledger.remove(ref) == self.model.pop(ref)
        else:
            with pytest.raises(RunNotFoundError):
                self.ledger.remove(ref)

    @rule(ref=refs)
    def get(self, ref: str) -> None:
        if ref in self.model:
            assert self.ledger.get(ref) == self.model[ref]

    @rule()
    def killed(self) -> None:
        """Go on with the files as they lie now, log included; nothing was closed."""
        self.lives += 1
        after = self.top / str(self.lives)
        shutil.copytree(self.home, after, ignore=shutil.ignore_patterns("*-shm"))
        self.ledger.close()
        self.home = after
        self.ledger = open_ledger(after / "ledger.db")

    @rule()
    def closed_and_opened(self) -> None:
        self.ledger.close()
        self.ledger = open_ledger(self.home / "ledger.db", create=False)

    @rule(destroy=st.booleans())
    def rebuilt(self, *, destroy: bool) -> None:
        self.ledger.close()
        if destroy:
            (self.home / "ledger.db").write_bytes(b"gone")
        assert rebuild(self.home, settle_from_file).failed == {}
        self.ledger = open_ledger(self.home / "ledger.db", create=False)

    @invariant()
    def lists_what_was_put(self) -> None:
        rows = self.ledger.list()
        assert {r.id: (r.name, r.status, r.tags) for r in rows} == {
            k: (v.name, v.status, v.tags) for k, v in self.model.items()
        }
        assert [r.started_utc for r in rows] == sorted((r.started_utc for r in rows), reverse=True)
        for name in ("a", "b"):
            fits = [r.id for r in rows if r.name == name]
            if fits:
                assert self.ledger.find(name) == fits[0]

    def teardown(self) -> None:
        said = self.ledger.check()
        self.ledger.close()
        shutil.rmtree(self.top)
        assert said == []


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)


def test_the_run_of_a_predicted_run_outlives_its_ledger(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(1, origin="predicted", metrics={"loss": float("inf")})
    with open_ledger(tmp_path / "ledger.db") as ledger:
        ledger.put(run)
    (tmp_path / "ledger.db").unlink()
    rebuild(tmp_path, settle_from_file)
    with open_ledger(tmp_path / "ledger.db") as ledger:
        assert ledger.get("last") == run
