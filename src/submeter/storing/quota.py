# SPDX-License-Identifier: Apache-2.0
"""How much disk raw readings may keep: the oldest go first, their runs stay."""

import contextlib
from collections.abc import Collection
from pathlib import Path

from submeter.errors import LedgerError
from submeter.storing import folders, places
from submeter.storing.ledger import Ledger, open_ledger

_RAW = ("journal", "phases.*", "marks.*")


def trim_journals(ledger: Ledger, quota_bytes: int, *, spare: Collection[str] = ()) -> list[str]:
    """Remove raw readings of the oldest settled runs until all together fit the quota.

    Each run itself stays, in the ledger and as ``run.json``; only settling it anew is not
    possible any more. What is not settled, damaged or named in *spare* is left alone.

    Parameters
    ----------
    ledger
        The ledger whose home is looked after.
    quota_bytes
        Most that all raw readings may take [bytes]; 0 for no limit.
    spare
        Ids that keep their journals, such as that of the run that has just ended.

    Returns
    -------
    list of str
        Ids of the runs whose raw readings went, oldest first.
    """
    if quota_bytes <= 0:
        return []
    oldest_first = [row.id for row in reversed(ledger.list())]
    sizes = {i: _raw_bytes(places.run_folder(ledger.home, i)) for i in oldest_first}
    left_bytes = sum(sizes.values())
    gone: list[str] = []
    for run_id in oldest_first:
        if left_bytes <= quota_bytes:
            break
        if not sizes[run_id] or run_id in spare:
            continue
        with contextlib.suppress(LedgerError, OSError):
            folder = places.run_folder(ledger.home, run_id)
            folders.write_run(folder, ledger.get(run_id))
            for path in _raw(folder):
                path.unlink()
            left_bytes -= sizes[run_id]
            gone.append(run_id)
    return gone


def keep_quota(path: Path, quota_bytes: int, *, spare: Collection[str] = ()) -> str:
    """Trim the journals beside the ledger at *path* and say so; it never raises of our own.

    Returns
    -------
    str
        What went and how to keep it next time; "" if nothing did.
    """
    try:
        with open_ledger(path, create=False, busy_s=0.0) as ledger:
            gone = trim_journals(ledger, quota_bytes, spare=spare)
    except (LedgerError, OSError):  # another time
        return ""
    if not gone:
        return ""
    many = "1 old run" if len(gone) == 1 else f"{len(gone)} old runs"
    return (
        f"raw readings of {many} went, to keep within journal_quota_bytes; "
        "to keep all: submeter config set journal_quota_bytes 0"
    )


def _raw(folder: Path) -> list[Path]:
    return [path for pattern in _RAW for path in folder.glob(pattern)]


def _raw_bytes(folder: Path) -> int:
    total_bytes = 0
    for path in _raw(folder):
        with contextlib.suppress(OSError):
            total_bytes += path.lstat().st_blocks * 512  # phases are sparse
    return total_bytes
