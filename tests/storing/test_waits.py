# SPDX-License-Identifier: Apache-2.0
"""The state of a plan under way: whole or as it was before, whatever was cut, and one writer."""

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.errors import LedgerError, LedgerLockedError
from submeter.storing.waits import FOLDER, State, WaitFile, forget_old, open_waits, read_wait
from tests.running.plans import T0, order_of, plan_of

PLAN = plan_of([(0, 3600)])


def written(home: Path, count: int) -> Path:
    with WaitFile(home, PLAN.id) as file:
        file.write(order_of(PLAN, "echo", "…"))
        for i in range(count):
            file.write(State(at_s=T0 + i, status="running", worked_s=float(i), pid=i))
        return file.path


def test_c03_d07_a_file_cut_at_any_byte_says_what_was_whole(tmp_path: Path) -> None:
    path = written(tmp_path, 4)
    raw = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(raw) if byte == ord("\n")]
    for cut in range(len(raw) + 1):
        path.write_bytes(raw[:cut])
        wait = read_wait(path)
        # a line without its last line break is whole all the same
        whole = sum(end - 1 <= cut for end in ends)
        if whole == 0:
            assert wait is None
        else:
            assert wait is not None
            assert wait.state.worked_s == max(0, whole - 2)
            assert wait.state.status == ("waiting" if whole == 1 else "running")


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 10_000), byte=st.integers(1, 255), count=st.integers(1, 4))
def test_a_flipped_byte_loses_its_line_and_no_other(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int, count: int
) -> None:
    path = written(tmp_path_factory.mktemp("w"), count)
    raw = bytearray(path.read_bytes())
    raw[at % len(raw)] ^= byte
    path.write_bytes(raw)
    wait = read_wait(path)
    if wait is not None:
        assert wait.order == order_of(PLAN, "echo", "…")
        assert wait.state.worked_s in {float(i) for i in range(count)}


def test_what_follows_a_torn_tail_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, 2)
    path.write_bytes(path.read_bytes()[:-5])
    with WaitFile(tmp_path, PLAN.id) as file:
        assert file.wait is not None
        assert file.wait.state.worked_s == 0
        file.write(State(at_s=T0, status="paused", worked_s=9.0))
    wait = read_wait(path)
    assert wait is not None
    assert (wait.state.status, wait.state.worked_s) == ("paused", 9.0)


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with WaitFile(tmp_path, PLAN.id) as file:
        file.write(order_of(PLAN), State(at_s=T0, status="waiting", planner_pid=4711))
        with pytest.raises(LedgerLockedError, match="already by process 4711") as caught:
            WaitFile(tmp_path, PLAN.id)
        assert caught.value.remedy
        (wait,) = open_waits(tmp_path)
        assert wait.locked
    (wait,) = open_waits(tmp_path)
    assert not wait.locked
    WaitFile(tmp_path, PLAN.id).close()


def test_a_long_file_is_made_short_and_stays_locked(tmp_path: Path) -> None:
    path = written(tmp_path, 2000)
    long = path.stat().st_size
    with WaitFile(tmp_path, PLAN.id) as file:
        assert file.wait is not None
        assert path.stat().st_size < long / 100
        assert path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(LedgerLockedError):
            WaitFile(tmp_path, PLAN.id)
        file.write(State(at_s=T0, status="paused", worked_s=5000.0))
    wait = read_wait(path)
    assert wait is not None
    assert wait.state.worked_s == 5000
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("status", ["ended", "cancelled"])
def test_what_is_over_is_not_waited_for(tmp_path: Path, status: str) -> None:
    with WaitFile(tmp_path, PLAN.id) as file:
        file.write(
            order_of(PLAN), msgspec.convert({"type": "state", "at_s": T0, "status": status}, State)
        )
    assert open_waits(tmp_path) == []


@pytest.mark.parametrize("ident", ["", "../x", ".hidden", "a\nb", "a/b"])
def test_f02_an_id_is_no_path(tmp_path: Path, ident: str) -> None:
    with pytest.raises(LedgerError, match="is no id of a plan"):
        WaitFile(tmp_path, ident)


def test_d03_a_home_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "waits").write_text("a file")
    with pytest.raises(LedgerError, match="cannot be written") as caught:
        WaitFile(tmp_path, PLAN.id)
    assert caught.value.remedy


def test_d17_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "waits").mkdir()
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "waits" / f"{PLAN.id}.wait").symlink_to(target)
    with pytest.raises(LedgerError):
        WaitFile(tmp_path, PLAN.id)
    assert target.read_text() == "precious"


def test_files_of_plans_that_are_over_do_not_pile_up(tmp_path: Path) -> None:
    for number in range(6):
        with WaitFile(tmp_path, f"plan-{number}") as file:
            made = plan_of([(0, 1)], ident=f"plan-{number}")
            file.write(order_of(made), State(at_s=0, status="waiting"))
            if number != 1:
                file.write(State(at_s=1, status="ended"))
        os.utime(file.path, (number, number))
    forget_old(tmp_path, most=2)
    left = sorted(path.stem for path in (tmp_path / FOLDER).glob("*.wait"))
    assert left == ["plan-1", "plan-4", "plan-5"]  # what is not over is never forgotten
