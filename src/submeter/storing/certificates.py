# SPDX-License-Identifier: Apache-2.0
"""One account of claims: certificates, contracts, offsets; no megawatt-hour is used twice.

The account is a file of its own beside the ledger, because the ledger is an index that may be
thrown away and rebuilt from the runs' folders, and what was bought is in none of them. Energy is
counted in whole watt-hours, so that sums are exact. The file itself refuses to hold more used
than bought, whoever writes to it.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from submeter.errors import (
    InfeasibleError,
    LedgerError,
    LedgerLockedError,
    LedgerVersionError,
    UsageError,
)
from submeter.records.claims import Allocation, Balance, Claim, energy_words
from submeter.storing import databases, places
from submeter.storing.wording import is_storable, safe_text
from submeter.units import WH_PER_MWH

CLAIMS_FILE: Final = "claims.db"
CLAIMS_SCHEMA: Final = 1
APPLICATION_ID: Final = 0x53554D43  # "SUMC", shown by file(1)
MOST_WH: Final = 10**15  # a thousand terawatt-hours: more than any lot

TABLES: Final = (
    """CREATE TABLE actions (
        id INTEGER PRIMARY KEY, verb TEXT NOT NULL, words TEXT NOT NULL, utc TEXT NOT NULL)""",
    """CREATE TABLE claims (
        id TEXT PRIMARY KEY NOT NULL, kind TEXT NOT NULL, zone TEXT NOT NULL,
        year INTEGER NOT NULL, registry TEXT NOT NULL, fuel TEXT NOT NULL,
        energy_wh INTEGER NOT NULL CHECK (energy_wh >= 0),
        carbon_g REAL NOT NULL CHECK (carbon_g >= 0), note TEXT NOT NULL,
        action INTEGER NOT NULL REFERENCES actions)""",
    """CREATE TABLE allocations (
        id INTEGER PRIMARY KEY, claim_id TEXT NOT NULL REFERENCES claims,
        run_id TEXT NOT NULL, energy_wh INTEGER NOT NULL CHECK (energy_wh > 0),
        statement TEXT NOT NULL, action INTEGER NOT NULL REFERENCES actions)""",
    "CREATE INDEX allocations_by_claim ON allocations (claim_id, energy_wh)",
    "CREATE INDEX allocations_by_run ON allocations (run_id)",
    """CREATE TRIGGER never_more_than_bought BEFORE INSERT ON allocations
       WHEN NEW.energy_wh > (SELECT energy_wh FROM claims WHERE id = NEW.claim_id) -
         (SELECT coalesce(sum(energy_wh), 0) FROM allocations WHERE claim_id = NEW.claim_id)
       BEGIN SELECT RAISE(ABORT, 'more than is left of the claim'); END""",
    """CREATE TRIGGER bought_stays BEFORE UPDATE OF id, energy_wh ON claims
       BEGIN SELECT RAISE(ABORT, 'what was bought stays'); END""",
    """CREATE TRIGGER used_stays BEFORE UPDATE OF claim_id, run_id, energy_wh ON allocations
       BEGIN SELECT RAISE(ABORT, 'what is used stays'); END""",
    """CREATE TRIGGER retired_stays BEFORE DELETE ON allocations WHEN OLD.statement != ''
       BEGIN SELECT RAISE(ABORT, 'what is retired stays'); END""",
)
# From each older layout to the next one; the first layout has none before it.
MIGRATIONS: Final[dict[int, Callable[[sqlite3.Connection], None]]] = {}

_COLUMNS: Final = "id, kind, zone, year, registry, fuel, energy_wh, carbon_g, note"
_PREFIXED: Final = ", ".join(f"claims.{name}" for name in _COLUMNS.split(", "))


class ClaimBook:
    """All claims of one home. Open it with `open_claims`, and close it, or use ``with``."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self.path = path

    def add(self, claim: Claim) -> Claim:
        """Enter *claim*; without an id it is given one, which is returned.

        Raises
        ------
        UsageError
            If a claim of this id is there already, or the claim makes no sense.
        """
        _check(claim)
        with self._writing() as db:
            named = claim if claim.id else msgspec.structs.replace(claim, id=self._new_id(claim))
            if db.execute("SELECT 1 FROM claims WHERE id = ?", (named.id,)).fetchone():
                raise UsageError(
                    f"a claim {safe_text(named.id)!r} is entered already: no certificate counts "
                    "twice",
                    remedy="submeter claim list",
                )
            action = self._act("add", named.id)
            row = (*msgspec.structs.astuple(named), action)
            db.execute(f"INSERT INTO claims ({_COLUMNS}, action) VALUES ({'?, ' * 9}?)", row)  # noqa: S608
        return named

    def balances(self) -> tuple[Balance, ...]:
        """Each claim with what is used and retired of it, the oldest vintage first."""
        query = f"""SELECT {_PREFIXED},
            coalesce(sum(a.energy_wh) FILTER (WHERE a.statement = ''), 0),
            coalesce(sum(a.energy_wh) FILTER (WHERE a.statement != ''), 0)
            FROM claims LEFT JOIN allocations AS a ON a.claim_id = claims.id
            GROUP BY claims.id ORDER BY claims.year, claims.action"""  # noqa: S608
        with _translated(self.path):
            rows = self._db.execute(query).fetchall()
        return tuple(Balance(Claim(*row[:-2]), *row[-2:]) for row in rows)

    def use(
        self,
        run_id: str,
        energy_wh: int | None,
        claim_ids: Sequence[str],
        *,
        limit_wh: int | None = None,
    ) -> tuple[Allocation, ...]:
        """Give *energy_wh* of the claims to a run, all of it or nothing, in the order given.

        Parameters
        ----------
        run_id, claim_ids
            Who uses, and of what.
        energy_wh
            How much; None for all that is left up to *limit_wh*.
        limit_wh
            What the run may use in all, with what it uses already: what it drew. It is looked at
            while nobody else can write, so that no two processes find the same room.

        Raises
        ------
        InfeasibleError
            If that much is not left of them; the message says how much is.
        UsageError
            If it goes beyond *limit_wh*, or is nothing.
        """
        if energy_wh is None and limit_wh is None:
            raise UsageError("all of what is not said", remedy="give an energy or a limit")
        if energy_wh is not None and energy_wh <= 0:
            raise UsageError(f"{energy_wh} Wh cannot be used", remedy="give more than nothing")
        if not run_id or not is_storable(run_id):
            raise UsageError("no run is named", remedy="submeter list")
        with self._writing() as db:
            energy_wh = self._within(run_id, energy_wh, limit_wh)
            chosen = dict.fromkeys(claim_ids)
            free = {b.claim.id: b for b in self.balances() if b.claim.id in chosen}
            held_wh = sum(free[i].free_wh for i in chosen if i in free)
            if held_wh < energy_wh:
                raise InfeasibleError(
                    f"{energy_words(energy_wh)} are asked for, {energy_words(held_wh)} "
                    "are left of the claims that fit",
                    remedy="submeter claim list; submeter claim add …",
                )
            action = self._act("use", run_id)
            left = energy_wh
            for claim_id in (i for i in chosen if i in free):
                part = min(left, free[claim_id].free_wh)
                if part > 0:
                    db.execute(
                        "INSERT INTO allocations (claim_id, run_id, energy_wh, statement, action) "
                        "VALUES (?, ?, ?, '', ?)",
                        (claim_id, run_id, part, action),
                    )
                    left -= part
        return tuple(a for a in self.of_run(run_id))

    def of_run(self, run_id: str) -> tuple[Allocation, ...]:
        """Return what a run uses, in the order in which it was given to it."""
        query = f"""SELECT {_PREFIXED}, a.run_id, a.energy_wh, a.statement
            FROM allocations AS a JOIN claims ON claims.id = a.claim_id
            WHERE a.run_id = ? ORDER BY a.id"""  # noqa: S608
        with _translated(self.path):
            rows = self._db.execute(query, (run_id,)).fetchall()
        return tuple(Allocation(Claim(*row[:-3]), *row[-3:]) for row in rows)

    def users(self) -> tuple[str, ...]:
        """Ids of all runs that use something."""
        with _translated(self.path):
            rows = self._db.execute("SELECT DISTINCT run_id FROM allocations ORDER BY run_id")
            return tuple(row[0] for row in rows)

    def retire(self, run_id: str, statement: str) -> tuple[Allocation, ...]:
        """Note that a registry has cancelled what a run uses, under its *statement*, for good."""
        if not statement or not is_storable(statement):
            raise UsageError(
                "a retirement needs the reference of the registry's statement",
                remedy="--statement REFERENCE",
            )
        with self._writing() as db:
            done = db.execute(
                "UPDATE allocations SET statement = ? WHERE run_id = ? AND statement = ''",
                (statement, run_id),
            ).rowcount
        if not done:
            raise UsageError(f"run {safe_text(run_id)} uses nothing that is not retired yet")
        return self.of_run(run_id)

    def release(self, run_id: str) -> int:
        """Give back what a run uses, in watt-hours; what is retired stays used for ever."""
        where = "WHERE run_id = ? AND statement = ''"
        with self._writing() as db:
            query = f"SELECT coalesce(sum(energy_wh), 0) FROM allocations {where}"  # noqa: S608
            (freed_wh,) = db.execute(query, (run_id,)).fetchone()
            db.execute(f"DELETE FROM allocations {where}", (run_id,))  # noqa: S608
            _forget_empty(db)
        return int(freed_wh)

    def undo(self) -> str:
        """Take the last entry or use back, and say in words what it was.

        Raises
        ------
        UsageError
            If there is none, or others build on it: it is used, or retired.
        """
        with self._writing() as db:
            last = db.execute("SELECT * FROM actions ORDER BY id DESC LIMIT 1").fetchone()
            if last is None:
                raise UsageError("there is nothing to take back", remedy="submeter claim list")
            action, verb, words, _utc = last
            whose = "SELECT count(*) FROM allocations WHERE action = ? AND statement != ''"
            if db.execute(whose, (action,)).fetchone()[0]:
                raise UsageError(
                    f"what run {safe_text(words)} uses is retired: no registry takes that back"
                )
            if verb == "use":
                db.execute("DELETE FROM allocations WHERE action = ?", (action,))
            else:  # an entry is the last action, so that nothing can be used of it
                db.execute("DELETE FROM claims WHERE action = ?", (action,))
            db.execute("DELETE FROM actions WHERE id = ?", (action,))
        what = f"claim {words}" if verb == "add" else f"use by run {words}"
        return safe_text(what)

    def close(self) -> None:
        """Close the file. Closing twice is no mistake."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- inside -------------------------------------------------------------------------------

    def _within(self, run_id: str, energy_wh: int | None, limit_wh: int | None) -> int:
        """How much is meant by *energy_wh*, if the run may use that on top of what it uses."""
        if limit_wh is None:
            return energy_wh or 0
        query = "SELECT coalesce(sum(energy_wh), 0) FROM allocations WHERE run_id = ?"
        before_wh = int(self._db.execute(query, (run_id,)).fetchone()[0])
        wanted_wh = max(0, limit_wh - before_wh) if energy_wh is None else energy_wh
        if before_wh + wanted_wh > limit_wh or not wanted_wh:
            raise UsageError(
                f"run {safe_text(run_id)} used {energy_words(limit_wh)} at the facility, and "
                f"claims {energy_words(before_wh)} already: no more can be claimed for it",
                remedy="give less, or nothing for all that is left",
            )
        return wanted_wh

    def _act(self, verb: str, words: str) -> int:
        query = "INSERT INTO actions (verb, words, utc) VALUES (?, ?, datetime('now'))"
        made = self._db.execute(query, (verb, words)).lastrowid
        if made is None:  # pragma: no cover  # an insertion has a row
            raise LedgerError(f"{self.path} did not take an entry")
        return made

    def _new_id(self, claim: Claim) -> str:
        words = (claim.kind, claim.zone, str(claim.year))
        stem = "-".join(word for word in words if word).lower()
        taken = {row[0] for row in self._db.execute("SELECT id FROM claims")}
        return next(name for n in range(1, len(taken) + 2) if (name := f"{stem}-{n}") not in taken)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with _translated(self.path), databases.transaction(self._db):
            yield self._db


def open_claims(path: Path | None = None, *, busy_s: float = databases.BUSY_S) -> ClaimBook:
    """Open the account of claims, made if need be; what cannot be written is only read.

    Raises
    ------
    LedgerLockedError, LedgerVersionError, LedgerError
        If it is held for too long, newer than we are, damaged, or not to be opened.
    """
    path = places.home() / CLAIMS_FILE if path is None else Path(path)
    if not os.path.exists(path):  # noqa: PTH110  # this one never raises
        databases.make_file(path)
    databases.refuse_traps(path)
    network = places.is_network(places.file_system(path.parent))

    def prepare(db: sqlite3.Connection) -> None:
        _prepare(db, path, network=network)

    with _translated(path):
        db = databases.connect(path, prepare, busy_s=busy_s)
        return ClaimBook(_read_only(path) if db is None else db, path)


def release_removed(home: Path, run_id: str) -> None:
    """Give back what a run used that was removed; what cannot be written stays used."""
    path = home / CLAIMS_FILE
    if path.exists():
        with contextlib.suppress(LedgerError, OSError), open_claims(path) as book:
            book.release(run_id)


def to_wh(energy_mwh: str) -> int:
    """Watt-hours of a number of megawatt-hours as people write it, exactly.

    Raises
    ------
    UsageError
        If it is no number above zero with at most six digits behind the point.
    """
    from decimal import Decimal

    try:
        exact = Decimal(energy_mwh) * WH_PER_MWH
    except ArithmeticError:  # no number, or one beyond what decimals hold
        exact = Decimal(-1)
    if not exact.is_finite() or not 0 < exact <= MOST_WH or exact != exact.to_integral_value():
        raise UsageError(
            f"{safe_text(energy_mwh)!r} is no number of megawatt-hours",
            remedy="give a number above 0, with at most six digits behind the point: 0.0142",
        )
    return int(exact)


def _check(claim: Claim) -> None:
    words = (claim.id, claim.kind, claim.zone, claim.registry, claim.fuel, claim.note)
    if not all(map(is_storable, words)):
        raise UsageError("a word of the claim is no UTF-8", remedy="write it anew")
    if claim.id and (claim.id != claim.id.strip() or not claim.id.isprintable()):
        raise UsageError(
            f"the id {safe_text(claim.id)!r} holds characters that nobody sees or can type",
            remedy="--id, with letters, digits and signs alone",
        )
    if claim.registry != safe_text(claim.registry):
        raise UsageError(
            f"the registry {safe_text(claim.registry)!r} holds characters that nobody sees",
            remedy="--registry, with letters, digits and signs alone",
        )
    if not claim.zone and claim.is_energy:
        raise UsageError("a claim on electricity needs its zone", remedy="--zone DE")
    if claim.is_energy and not 0 < claim.energy_wh <= MOST_WH:
        raise UsageError(f"a {claim.kind} of {claim.energy_wh} Wh makes no sense")
    if not claim.is_energy and (claim.energy_wh or not 0 < claim.carbon_g < float("inf")):
        raise UsageError(f"an {claim.kind} is counted in tonnes", remedy="--tonnes 2.5")


def _forget_empty(db: sqlite3.Connection) -> None:
    """Drop actions that have nothing left to take back."""
    db.execute(
        "DELETE FROM actions WHERE verb = 'use' AND id NOT IN (SELECT action FROM allocations)"
    )


def _prepare(db: sqlite3.Connection, path: Path, *, network: bool) -> None:
    """Make the tables, or bring older ones up to date; safe from many processes at once."""
    db.execute("PRAGMA foreign_keys = ON")
    version = databases.version_of(db)
    if version > CLAIMS_SCHEMA:
        raise LedgerVersionError(
            f"{path} was written by a newer submeter (layout {version}, ours {CLAIMS_SCHEMA})",
            remedy="pip install --upgrade submeter, or set SUBMETER_HOME to another folder",
        )
    databases.set_journal_mode(db, network=network)
    db.execute("PRAGMA synchronous = FULL")  # no journal stands behind this file
    if version == CLAIMS_SCHEMA:
        return
    with databases.transaction(db):
        version = databases.version_of(db)  # somebody else may have been faster
        while version < CLAIMS_SCHEMA:
            MIGRATIONS.get(version, _create)(db)
            version += 1
            db.execute(f"PRAGMA user_version = {version}")


def _read_only(path: Path) -> sqlite3.Connection:
    """Open *path* without writing anything beside it."""
    db, version = databases.connect_to_read(path)
    if version != CLAIMS_SCHEMA:
        db.close()
        raise LedgerVersionError(
            f"{path} is of another layout and cannot be written to bring it up to date",
            remedy="copy it to a folder of yours and set SUBMETER_HOME to that",
        )
    return db


def _create(db: sqlite3.Connection) -> None:
    for statement in TABLES:
        db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Errors of SQLite in our words."""
    try:
        yield
    except sqlite3.Error as exc:
        if databases.is_busy(exc):
            raise LedgerLockedError(
                f"another process has held {path} for too long", remedy="try again"
            ) from exc
        damaged = databases.is_damaged(exc)
        raise LedgerError(
            f"{path} {'is damaged' if damaged else 'cannot be used'}: {exc}",
            remedy=f"restore {path.name} from a copy: the registries know what was bought"
            if damaged
            else "mend the permissions or the space, or set SUBMETER_HOME to another folder",
        ) from exc
