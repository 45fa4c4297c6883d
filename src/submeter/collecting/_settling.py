# SPDX-License-Identifier: Apache-2.0
"""Turns what a collector wrote into a run of the ledger, at once where it can."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from submeter.collecting.order import Order
from submeter.records.frames import Frame
from submeter.records.runs import Run
from submeter.storing.journal import JournalWriter

if TYPE_CHECKING:
    from submeter.metering.settle import Settler

LEDGER_FILE: Final = "ledger.db"
BATCH: Final = 64  # frames; a few seconds' worth, settled within milliseconds at the end


class LiveSettling:
    """Settles while the run goes on; where that fails, from the journal at its end.

    Parameters
    ----------
    folder
        The run's folder.
    live
        Whether this collector sees the run from its first frame on.
    """

    def __init__(self, folder: Path, *, live: bool = True) -> None:
        self.why_not = "" if live else "the collector was restarted"
        self._folder = folder
        self._settler: Settler | None = None
        self._unfed: list[Frame] = []  # in the order of the journal

    @property
    def live(self) -> bool:
        """Whether all frames so far are settled."""
        return not self.why_not

    def load(self) -> None:
        """Import what settles; left for later because the first reading must not wait for it."""
        from submeter.metering.settle import Settler

        if self.live:
            self._settler = Settler()

    def feed(self, frame: Frame) -> None:
        """Take the next frame, to be settled with others: a cold cache makes each turn dear."""
        if not self.live:
            return
        self._unfed.append(frame)
        if len(self._unfed) >= BATCH:
            self._settle()

    def _settle(self) -> None:
        if self._settler is None:
            return
        unfed, self._unfed = self._unfed, []
        try:
            for frame in unfed:
                self._settler.feed(frame)
        except Exception as exc:  # noqa: BLE001 - sampling goes on, and the journal has it all
            self.drop(f"{type(exc).__name__}: {exc}")

    def drop(self, why: str) -> None:
        """Forget all of it, to have the memory back; the journal gives the totals."""
        self.why_not = self.why_not or why
        self._settler = None
        self._unfed = []

    def run(self, journal: Path) -> Run:
        """Give the run.

        Parameters
        ----------
        journal
            Where the journal is by now.

        Raises
        ------
        LedgerError
            If nothing can be settled.
        """
        from submeter.metering.settle import feed_marks, settle_folder

        if self._settler is None:
            self.load()
        self._settle()
        if self._settler is None:
            return settle_folder(self._folder, journal=journal)
        feed_marks(self._settler, self._folder)
        return self._settler.finish()


def put_into_ledger(order: Order, run: Run) -> Path:
    """Put *run* into the ledger that the order names, else into that of another home; its path.

    Raises
    ------
    LedgerError
        If that cannot be done anywhere, or no ledger is named.
    """
    from submeter.errors import LedgerError
    from submeter.storing.ledger import open_ledger
    from submeter.storing.places import temporary_homes, why_not_writable

    if not order.ledger:
        raise LedgerError("there is no ledger", remedy="submeter doctor --rebuild")
    try:
        with contextlib.closing(open_ledger(Path(order.ledger))) as ledger:
            ledger.put(run)
            return Path(order.ledger)
    except (LedgerError, OSError):
        for home in temporary_homes():
            path = home / LEDGER_FILE
            if path == Path(order.ledger) or why_not_writable(home, shared=True):
                continue
            with (
                contextlib.suppress(LedgerError, OSError),
                contextlib.closing(open_ledger(path)) as ledger,
            ):
                ledger.put(run)
                return path
        raise


def discard_run(order: Order, journal: Path) -> None:
    """Remove what there is of a run that never began."""
    from submeter.storing.folders import discard

    for folder in dict.fromkeys((journal.parent, Path(order.folder))):
        discard(folder)


def journal_of(order: Order) -> Path:
    """Path of the run's journal, which an earlier collector may have had to move."""
    from submeter.storing.places import other_homes, run_folder

    moved = [run_folder(home, order.run_id) / "journal" for home in other_homes()]
    return next((path for path in moved if path.is_file()), Path(order.folder) / "journal")


def journal_elsewhere(order: Order) -> Path | None:
    """Path for the journal in the next place that can be written; None if there is none."""
    from submeter.storing.places import run_folder, writable_home

    home, _ = writable_home()
    folder = run_folder(home, order.run_id)
    if folder == Path(order.folder):
        return None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # the order goes along, so that the run is found and settled there after a crash
        moved = msgspec.structs.replace(order, folder=str(folder), ledger=str(home / LEDGER_FILE))
        (folder / "order.json").write_bytes(msgspec.json.encode(moved))
    except OSError:
        return None
    return folder / "journal"


def open_journal(order: Order, path: Path) -> JournalWriter:
    """Writer of the journal at *path*, or in the next place that can be written."""
    try:
        return JournalWriter(path)
    except OSError:
        other = journal_elsewhere(order)
        if other is None:
            raise
        return JournalWriter(other)
