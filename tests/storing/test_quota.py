# SPDX-License-Identifier: Apache-2.0
"""Raw readings go by a stated quota, the oldest first; runs never do."""

from pathlib import Path

import msgspec
import pytest

from submeter.records import Run
from submeter.storing import places
from submeter.storing.ledger import open_ledger
from submeter.storing.quota import keep_quota, trim_journals
from submeter.storing.rebuilding import rebuild
from tests.storing.runs import MakeRun

JOURNAL_BYTES = 40_960


@pytest.fixture
def home(tmp_path: Path, make_run: MakeRun) -> Path:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        for n in range(6):
            run = make_run(n)
            folder = places.run_folder(tmp_path, run.id)
            folder.mkdir(parents=True)
            (folder / "journal").write_bytes(b"\x01" * JOURNAL_BYTES)
            (folder / "order.json").write_bytes(b"{}")
            if n != 2:  # the third was never settled
                ledger.put(run)
    return tmp_path


def with_journal(home: Path) -> list[int]:
    return sorted(int(p.parent.name[-4:], 16) for p in home.glob("runs/*/journal"))


def test_d20_the_oldest_readings_go_until_the_rest_fits(home: Path, make_run: MakeRun) -> None:
    with open_ledger(home / "ledger.db") as ledger:
        assert trim_journals(ledger, 0) == []
        assert trim_journals(ledger, 5 * JOURNAL_BYTES) == []
        assert with_journal(home) == [0, 1, 2, 3, 4, 5]
        spared = make_run(1).id
        gone = trim_journals(ledger, 3 * JOURNAL_BYTES, spare=[spared])
        assert gone == [make_run(0).id, make_run(3).id]
        assert with_journal(home) == [1, 2, 4, 5]
        trim_journals(ledger, 1)
        assert with_journal(home) == [2]
        assert [r.id for r in ledger.list()] == [make_run(n).id for n in (5, 4, 3, 1, 0)]


def test_a_run_without_its_readings_is_still_rebuilt(home: Path, make_run: MakeRun) -> None:
    with open_ledger(home / "ledger.db") as ledger:
        ledger.tag(make_run(0).id, {"seen": "yes"})
        trim_journals(ledger, 1)
    (home / "ledger.db").write_bytes(b"")

    def settle(folder: Path) -> Run:
        return msgspec.structs.replace(make_run(2), id=folder.name)

    rebuild(home, settle)
    with open_ledger(home / "ledger.db") as ledger:
        assert len(ledger.list()) == 6
        assert ledger.get(make_run(0).id).tags == {"lr": "0.1", "seen": "yes"}


def test_the_quota_is_kept_in_one_sentence_and_never_in_the_way(
    home: Path, make_run: MakeRun
) -> None:
    path = home / "ledger.db"
    assert keep_quota(home / "none.db", 1) == keep_quota(path, 0) == ""
    assert "raw readings of 4 old runs went" in keep_quota(path, 1, spare=[make_run(5).id])
    assert with_journal(home) == [2, 5]
    assert keep_quota(path, 1, spare=[make_run(5).id]) == ""
    path.write_bytes(b"no ledger")
    assert keep_quota(path, 1) == ""


def test_readings_of_a_damaged_run_stay(home: Path, make_run: MakeRun) -> None:
    with open_ledger(home / "ledger.db") as ledger:
        ledger._db.execute(
            "UPDATE documents SET document = '{}' WHERE run_id = ?", (make_run(0).id,)
        )
        trim_journals(ledger, 1)
    assert with_journal(home) == [0, 2]
