# SPDX-License-Identifier: Apache-2.0
"""Runs whose processes are all gone before they were settled, and how they still get there."""

import contextlib
import os
from pathlib import Path
from typing import Final

import msgspec

from submeter.collecting.order import Order
from submeter.errors import LedgerError, RunNotFoundError
from submeter.records.frames import End
from submeter.records.runs import Run
from submeter.running.collectors import ORDER_FILE
from submeter.running.orders import LEDGER_FILE

__all__ = ["is_over", "read_order", "settle_orphans", "settled_run"]

_SLACK_S: Final = 2.0  # start times are known to a hundredth of a second, the boot's to one
_PROC: Final = Path("/proc")


def read_order(folder: Path) -> Order | None:
    """Order of the run in *folder*; None if there is none that can be read."""
    try:
        return msgspec.json.decode((folder / ORDER_FILE).read_bytes(), type=Order)
    except (OSError, msgspec.DecodeError):
        return None


def is_over(folder: Path, *, proc_root: Path = _PROC) -> bool:
    """Whether nobody meters the run in *folder* any more.

    A run goes on while its collector lives, and also between the death of a collector and the
    start of the next one: as long as the process lives that would start it.
    """
    from submeter.storing.journal import is_live

    if is_live(folder / "journal"):
        return False
    order = read_order(folder)
    if order is None:
        return True
    try:
        written_s = (folder / ORDER_FILE).stat().st_mtime
    except OSError:
        return True
    return not _lives(order.owner_pid, written_s, proc_root) or _has_ended(folder)


def _has_ended(folder: Path) -> bool:
    """Whether the journal says that the run has ended, though its owner lives on."""
    from submeter.storing.journal import read_frames

    try:
        frames = read_frames(folder / "journal").frames
    except OSError:
        return False
    return any(isinstance(f, End) for f in frames[-64:])


def _lives(pid: int, known_s: float, proc_root: Path) -> bool:
    """Whether process *pid*, known at wall-clock time *known_s*, still lives.

    A process that started later, or before a reboot, is another one with the same number.
    """
    try:
        # behind the name in brackets, which may hold anything: field 3 on
        fields = (proc_root / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
        boot = (proc_root / "stat").read_bytes().partition(b"\nbtime ")[2].split()[0]
        started_s = int(boot) + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except FileNotFoundError:
        return False
    except (OSError, ValueError, IndexError):
        return _answers(pid)
    return fields[0] not in (b"Z", b"X") and started_s <= known_s + _SLACK_S


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def settled_run(order: Order, end: End | None = None) -> tuple[Run, Path | None]:
    """Run of *order*, which is over, and the ledger that holds it; None if none takes it.

    It is settled from its journal if nobody has done that yet.

    Parameters
    ----------
    order
        The run's order.
    end
        How it ended, if that is known here; used where nobody settled the run.

    Raises
    ------
    LedgerError, OSError, ValueError
        If nobody put it into a ledger and its journal cannot be settled.
    """
    from submeter.collecting._settling import journal_of, put_into_ledger
    from submeter.metering.settle import settle_folder
    from submeter.storing.ledger import open_ledger
    from submeter.storing.places import other_homes

    named = [Path(order.ledger)] if order.ledger else []
    for path in (*named, *(home / LEDGER_FILE for home in other_homes())):
        with (
            contextlib.suppress(LedgerError, OSError),
            open_ledger(path, create=False) as ledger,
        ):
            return ledger.get(order.run_id), path
    run = settle_folder(Path(order.folder), journal=journal_of(order), end=end)
    try:
        return run, put_into_ledger(order, run)
    except (LedgerError, OSError):
        return run, None


def settle_orphans(home: Path) -> list[Run]:
    """Settle the runs under *home* that ended without being settled, into its ledger.

    Live runs are left alone, and so is what cannot be settled: its journal stays. Returns what
    was settled now.

    Raises
    ------
    LedgerError
        If the ledger cannot be opened.
    """
    from submeter.storing.ledger import open_ledger

    folders = _folders(home)
    if not folders:
        return []
    settled: list[Run] = []
    with open_ledger(home / LEDGER_FILE) as ledger:
        known = {row.id for row in ledger.list()}
        for folder in folders:
            if folder.name not in known and is_over(folder):
                run = _settle(folder)
                if run is None:
                    continue
                try:
                    ledger.get(run.id)  # its own collector may just have come first
                except RunNotFoundError:
                    ledger.put(run)
                    settled.append(run)
    return settled


def _folders(home: Path) -> list[Path]:
    try:
        return sorted(p for p in (home / "runs").iterdir() if (p / "journal").is_file())
    except OSError:
        return []


def _settle(folder: Path) -> Run | None:
    from submeter.metering.settle import settle_folder

    try:
        return settle_folder(folder)
    except (LedgerError, OSError, ValueError):
        return None
