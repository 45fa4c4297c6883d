# SPDX-License-Identifier: Apache-2.0
"""No megawatt-hour is used twice: whoever asks, however many at once, whatever goes wrong."""

import contextlib
import multiprocessing
import sqlite3
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from submeter.errors import (
    InfeasibleError,
    LedgerError,
    LedgerLockedError,
    LedgerVersionError,
    UsageError,
)
from submeter.records.claims import Claim
from submeter.storing.certificates import (
    CLAIMS_SCHEMA,
    ClaimBook,
    open_claims,
    to_wh,
)
from submeter.storing.ledger import open_ledger
from tests.storing.runs import MakeRun
from tests.storing.test_ledger import as_nobody, open_to_others


def lot(energy_wh: int = 10**7, **changes: Any) -> Claim:
    words: dict[str, Any] = {
        "id": "", "kind": "GO", "zone": "DE", "year": 2026, "registry": "HKNR", "fuel": "wind",
        "energy_wh": energy_wh,
    }  # fmt: skip
    return Claim(**(words | changes))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "claims.db"


def test_what_is_bought_used_and_retired_adds_up(path: Path) -> None:
    with open_claims(path) as book:
        one, two = book.add(lot(1000)), book.add(lot(500, year=2025))
        assert (one.id, two.id) == ("go-de-2026-1", "go-de-2025-1")
        used = book.use("run-a", 1200, [two.id, one.id])
        assert [(a.claim.id, a.energy_wh) for a in used] == [(two.id, 500), (one.id, 700)]
        book.retire("run-a", "HKNR 4711")
        book.use("run-b", 100, [one.id])
        old, new = book.balances()
        assert (old.claim, old.free_wh, old.used_wh, old.retired_wh) == (two, 0, 0, 500)
        assert (new.claim, new.free_wh, new.used_wh, new.retired_wh) == (one, 200, 100, 700)
        assert [a.is_retired for a in book.of_run("run-a")] == [True, True]
        assert [a.is_retired for a in book.of_run("run-b")] == [False]
        assert book.users() == ("run-a", "run-b")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_more_than_is_left_is_refused_whole(path: Path) -> None:
    with open_claims(path) as book:
        claim = book.add(lot(1000))
        book.use("a", 900, [claim.id])
        with pytest.raises(InfeasibleError, match="100 Wh are left") as caught:
            book.use("b", 101, [claim.id, "no such claim"])
        assert caught.value.exit_code == 7
        assert book.of_run("b") == ()
        book.use("b", 100, [claim.id, claim.id])
        assert book.balances()[0].free_wh == 0


def test_a_certificate_entered_twice_counts_once(path: Path) -> None:
    with open_claims(path) as book:
        book.add(lot(id="EECS-1"))
        with pytest.raises(UsageError, match="entered already"):
            book.add(lot(id="EECS-1"))
        assert len(book.balances()) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"energy_wh": 0},
        {"energy_wh": -5},
        {"energy_wh": 10**16},
        {"zone": ""},
        {"registry": "\udcff"},
        {"kind": "offset"},
        {"kind": "offset", "energy_wh": 0},
        {"kind": "avoided", "energy_wh": 0, "carbon_g": float("nan")},
    ],
)
def test_claims_that_make_no_sense_are_refused(path: Path, changes: dict[str, Any]) -> None:
    with open_claims(path) as book:
        with pytest.raises(UsageError):
            book.add(lot(**changes))
        assert book.balances() == ()


def test_offsets_lie_in_the_same_account_and_hold_no_energy(path: Path) -> None:
    with open_claims(path) as book:
        offset = book.add(lot(0, kind="offset", registry="Verra", carbon_g=2e6, year=2023))
        with pytest.raises(InfeasibleError):
            book.use("a", 1, [offset.id])
        assert book.balances()[0].claim.carbon_g == 2e6


# --- taking back --------------------------------------------------------------------------------


def test_the_last_deed_is_taken_back_and_then_the_one_before(path: Path) -> None:
    with open_claims(path) as book:
        claim = book.add(lot(1000))
        book.use("a", 400, [claim.id])
        book.use("b", 600, [claim.id])
        assert book.undo() == "use by run b"
        assert book.balances()[0].free_wh == 600
        assert book.undo() == "use by run a"
        assert book.undo() == "claim go-de-2026-1"
        assert book.balances() == ()
        with pytest.raises(UsageError, match="nothing to take back"):
            book.undo()


def test_what_a_registry_has_cancelled_stays(path: Path) -> None:
    with open_claims(path) as book:
        claim = book.add(lot(1000))
        book.use("a", 400, [claim.id])
        with pytest.raises(UsageError, match="reference"):
            book.retire("a", "")
        book.retire("a", "HKNR 1")
        with pytest.raises(UsageError, match="not retired yet"):
            book.retire("a", "HKNR 2")
        with pytest.raises(UsageError, match="retired"):
            book.undo()
        assert book.release("a") == 0
        assert book.balances()[0].retired_wh == 400


def test_a_removed_run_gives_its_claims_back(tmp_path: Path, make_run: MakeRun) -> None:
    runs = make_run(1), make_run(2)
    with open_ledger(tmp_path / "ledger.db") as ledger:
        for run in runs:
            ledger.put(run)
        with open_claims(tmp_path / "claims.db") as book:
            claim = book.add(lot(1000))
            for run in runs:
                book.use(run.id, 300, [claim.id])
            book.retire(runs[1].id, "HKNR 1")
        for run in runs:
            ledger.remove(run.id)
    with open_claims(tmp_path / "claims.db") as book:
        (balance,) = book.balances()
        assert (balance.free_wh, balance.used_wh, balance.retired_wh) == (700, 0, 300)
        with pytest.raises(UsageError):  # the retired use is the last that is left
            book.undo()


def test_a_home_without_claims_is_left_without(tmp_path: Path, make_run: MakeRun) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        ledger.put(make_run(1))
        ledger.remove(make_run(1).id)
    assert not (tmp_path / "claims.db").exists()


# --- the file itself refuses --------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO allocations VALUES (9, 'c', 'x', 601, '', 2)",
        "INSERT INTO allocations VALUES (9, 'c', 'x', -1, '', 2)",
        "INSERT INTO allocations VALUES (9, 'nothing', 'x', 1, '', 2)",
        "UPDATE allocations SET energy_wh = 1001",
        "UPDATE claims SET energy_wh = 100",
        "DELETE FROM claims",
        "DELETE FROM allocations WHERE statement != ''",
    ],
)
def test_no_writer_can_make_a_balance_negative(path: Path, statement: str) -> None:
    with open_claims(path) as book:
        book.add(lot(1000, id="c"))
        book.use("a", 400, ["c"])
        book.retire("a", "HKNR 1")
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute("PRAGMA foreign_keys = ON")
        with pytest.raises(sqlite3.IntegrityError):
            db.execute(statement)
    finally:
        db.close()


def test_a_newer_layout_and_a_damaged_file_are_named(tmp_path: Path) -> None:
    newer = tmp_path / "newer.db"
    open_claims(newer).close()
    db = sqlite3.connect(newer)
    db.execute(f"PRAGMA user_version = {CLAIMS_SCHEMA + 1}")
    db.close()
    with pytest.raises(LedgerVersionError, match="newer submeter"):
        open_claims(newer)
    bad = tmp_path / "bad.db"
    bad.write_bytes(b"no database at all, but long enough to be read" * 100)
    with pytest.raises(LedgerError, match="is damaged"):
        open_claims(bad)
    assert bad.read_bytes().startswith(b"no database")


def test_a_held_file_is_waited_for_and_then_named(path: Path) -> None:
    with open_claims(path) as book:
        book.add(lot(1000, id="c"))
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with open_claims(path, busy_s=0.05) as book, pytest.raises(LedgerLockedError):
            book.use("a", 1, ["c"])
    finally:
        other.execute("ROLLBACK")
        other.close()


# --- several at once ----------------------------------------------------------------------------


def _use_some(path: Path, name: str, together: Any, done: Any) -> None:
    taken_wh = 0
    together.wait()
    for n in range(20):
        with (
            open_claims(path, busy_s=60.0) as book,
            contextlib.suppress(InfeasibleError),
        ):
            book.use(f"{name}-{n}", 70, ["c", "d"])
            taken_wh += 70
    done.put(taken_wh)


def test_many_processes_never_use_a_megawatt_hour_twice(path: Path) -> None:
    """Six processes ask for 8400 Wh of 5000 Wh in two lots: all that fits is given, once."""
    with open_claims(path) as book:
        book.add(lot(3000, id="c"))
        book.add(lot(2000, id="d"))
    context = multiprocessing.get_context("spawn")
    together, done = context.Barrier(6), context.Queue()
    workers = [
        context.Process(target=_use_some, args=(path, f"run{k}", together, done)) for k in range(6)
    ]
    for worker in workers:
        worker.start()
    taken_wh = sum(done.get(timeout=120) for _ in workers)
    for worker in workers:
        worker.join()
    assert [w.exitcode for w in workers] == [0] * 6
    assert taken_wh == 5000 // 70 * 70
    with open_claims(path) as book:
        balances = book.balances()
        assert sum(b.used_wh for b in balances) == taken_wh
        assert all(b.free_wh >= 0 for b in balances)
        assert sum(a.energy_wh for u in book.users() for a in book.of_run(u)) == taken_wh


def _use_for_one(path: Path, energy_wh: int | None, together: Any, done: Any) -> None:
    taken_wh = 0
    together.wait()
    for _ in range(10):
        with (
            open_claims(path, busy_s=60.0) as book,
            contextlib.suppress(UsageError),
        ):
            book.use("one", energy_wh, ["c"], limit_wh=1000)
            taken_wh += energy_wh or 1000
    done.put(taken_wh)


@pytest.mark.parametrize(("energy_wh", "most_wh"), [(70, 980), (None, 1000)])
def test_many_processes_never_claim_more_for_a_run_than_it_used(
    path: Path, energy_wh: int | None, most_wh: int
) -> None:
    """Four processes ask for the same run, of a lot that has plenty."""
    with open_claims(path) as book:
        book.add(lot(id="c"))
    context = multiprocessing.get_context("spawn")
    together, done = context.Barrier(4), context.Queue()
    args = (path, energy_wh, together, done)
    workers = [context.Process(target=_use_for_one, args=args) for _ in range(4)]
    for worker in workers:
        worker.start()
    taken_wh = sum(done.get(timeout=120) for _ in workers)
    for worker in workers:
        worker.join()
    with open_claims(path) as book:
        assert sum(a.energy_wh for a in book.of_run("one")) == taken_wh == most_wh


def test_what_a_run_may_use_in_all_is_kept_to(path: Path) -> None:
    with open_claims(path) as book:
        book.add(lot(id="c"))
        book.use("one", 600, ["c"], limit_wh=1000)
        with pytest.raises(UsageError, match="claims 600 Wh already: no more"):
            book.use("one", 401, ["c"], limit_wh=1000)
        book.use("one", None, ["c"], limit_wh=1000)
        assert sum(a.energy_wh for a in book.of_run("one")) == 1000
        for energy_wh in (None, 1):
            with pytest.raises(UsageError, match="no more can be claimed"):
                book.use("one", energy_wh, ["c"], limit_wh=1000)
        with pytest.raises(UsageError):
            book.use("two", None, ["c"])


def _use_for_ever(path: Path, done: Any) -> None:
    with open_claims(path) as book:
        n = 0
        while True:
            book.use(f"run-{n}", 3, ["c", "d"])
            done.send(n)
            n += 1


def test_a_killed_process_leaves_whole_uses_only(path: Path) -> None:
    with open_claims(path) as book:
        book.add(lot(50, id="c"))
        book.add(lot(10**9, id="d"))
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    worker = context.Process(target=_use_for_ever, args=(path, there))
    worker.start()
    while here.recv() < 40:
        pass
    worker.kill()
    worker.join()
    with open_claims(path) as book:
        uses = {run: sum(a.energy_wh for a in book.of_run(run)) for run in book.users()}
        assert len(uses) > 40
        assert set(uses.values()) == {3}
        assert sum(b.used_wh for b in book.balances()) == 3 * len(uses)


def test_d03_an_account_that_cannot_be_written_is_read(path: Path) -> None:
    with open_claims(path) as book:
        book.add(lot(1000, id="c"))
        book.use("a", 10, ["c"])
    path.chmod(0o444)
    open_to_others(path.parent, 0o555)

    def look() -> str:
        with open_claims(path) as book:
            said = str(book.of_run("a")[0].energy_wh)
            try:
                book.use("b", 1, ["c"])
            except LedgerError as exc:
                said += f" {exc}"
        return said

    said = as_nobody(look)
    path.parent.chmod(0o700)
    assert said.startswith("10 ")
    assert "cannot be used" in said


def _make(path: Path, together: Any) -> None:
    together.wait()
    with open_claims(path, busy_s=60.0) as book:
        book.balances()


def test_many_processes_make_the_same_file_at_once(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(4)
    workers = [context.Process(target=_make, args=(path, together)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [w.exitcode for w in workers] == [0] * 4


# --- any order of deeds -------------------------------------------------------------------------


class Account(RuleBasedStateMachine):
    """The account against a plain model of it: lots, uses, and what is retired."""

    lots = Bundle("lots")
    runs = st.sampled_from(["r1", "r2", "r3", "r4"])

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.book: ClaimBook = open_claims(Path(self.folder.name) / "claims.db")
        self.bought_wh: dict[str, int] = {}
        self.uses: list[tuple[str, str, int]] = []  # run, claim, Wh
        self.retired: set[str] = set()

    def free_wh(self, claim_id: str) -> int:
        return self.bought_wh[claim_id] - sum(e for _, c, e in self.uses if c == claim_id)

    @rule(target=lots, energy_wh=st.integers(1, 1000))
    def buy(self, energy_wh: int) -> str:
        claim = self.book.add(lot(energy_wh))
        self.bought_wh[claim.id] = energy_wh
        return claim.id

    @rule(run=runs, energy_wh=st.integers(1, 1500), chosen=st.lists(lots, max_size=3))
    def use(self, run: str, energy_wh: int, chosen: list[str]) -> None:
        if run in self.retired:
            return
        there = [c for c in dict.fromkeys(chosen) if c in self.bought_wh]
        if energy_wh > sum(self.free_wh(c) for c in there):
            with pytest.raises(InfeasibleError):
                self.book.use(run, energy_wh, chosen)
            return
        self.book.use(run, energy_wh, chosen)
        for claim_id in there:
            part = min(energy_wh, self.free_wh(claim_id))
            energy_wh -= part
            if part:
                self.uses.append((run, claim_id, part))

    @rule(run=runs)
    def retire(self, run: str) -> None:
        if run in self.retired or not any(r == run for r, _, _ in self.uses):
            with pytest.raises(UsageError):
                self.book.retire(run, "x")
        else:
            self.book.retire(run, "x")
            self.retired.add(run)

    @rule(run=runs)
    def release(self, run: str) -> None:
        own = [u for u in self.uses if u[0] == run and run not in self.retired]
        assert self.book.release(run) == sum(e for _, _, e in own)
        self.uses = [u for u in self.uses if u not in own]

    @rule(target=lots, claim_id=consumes(lots))
    def taken_back(self, claim_id: str) -> Any:
        """An entry is taken back only as the last deed, and comes again under a new name."""
        last = claim_id == next(reversed(self.bought_wh), None)
        if not last or any(c == claim_id for _, c, _ in self.uses):
            return claim_id
        before = {b.claim.id for b in self.book.balances()}
        with contextlib.suppress(UsageError):
            said = self.book.undo()
            if said == f"claim {claim_id}":
                del self.bought_wh[claim_id]
                return multiple()
            self.uses = [  # a use was the last deed
                (run, a.claim.id, a.energy_wh)
                for run in self.book.users()
                for a in self.book.of_run(run)
            ]
        assert {b.claim.id for b in self.book.balances()} == before
        return claim_id

    @invariant()
    def nothing_is_used_twice(self) -> None:
        if not hasattr(self, "book"):
            return
        balances = {b.claim.id: b for b in self.book.balances()}
        assert {i: b.claim.energy_wh for i, b in balances.items()} == self.bought_wh
        for claim_id, balance in balances.items():
            assert balance.free_wh == self.free_wh(claim_id) >= 0
        retired_wh = sum(e for r, _, e in self.uses if r in self.retired)
        assert sum(b.retired_wh for b in balances.values()) == retired_wh

    def teardown(self) -> None:
        if hasattr(self, "book"):
            self.book.close()
            self.folder.cleanup()


TestAccount = Account.TestCase
TestAccount.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)


# --- numbers as people write them ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "energy_wh"),
    [("10", 10_000_000), ("0.0142", 14_200), ("1e-6", 1), (".5", 500_000)],
)
def test_megawatt_hours_are_read_exactly(words: str, energy_wh: int) -> None:
    assert to_wh(words) == energy_wh


@pytest.mark.parametrize(
    "words", ["0", "-1", "1e-7", "nan", "inf", "ten", "", "1e99", "0.1234567"]
)
def test_no_numbers_of_megawatt_hours(words: str) -> None:
    with pytest.raises(UsageError, match="megawatt-hours"):
        to_wh(words)
