# SPDX-License-Identifier: Apache-2.0
"""Everyday tasks as they really run: workers, rounds, the meter, what is kept."""

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from submeter.records.everyday import Everyday, phase_name
from submeter.records.figures import Quantity
from submeter.running.everyday import keeping
from submeter.running.everyday.bench import MODULE, measured, order_for, power_of
from submeter.running.everyday.crew import Crew, WorkerError
from submeter.running.everyday.load import SLOT_S, Busy, Used, live_cpu_s, used
from submeter.running.everyday.program import Order, Program
from submeter.running.everyday.sorting import KEY, RECORDS, WIDTH, Sorting, split
from submeter.running.everyday.sqlite import ORDERS, fitted
from submeter.running.everyday.tasks import IDLE, KEYS, task_class
from submeter.storing.ledger import open_ledger
from tests.comparing.looks import look

SHORT_S = 0.05
HERE = tuple(k for k in KEYS if k != IDLE and task_class(k).quick)
ELSEWHERE = tuple(k for k in KEYS if k != IDLE and not task_class(k).quick)


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    """Two workers; forked here, where no other thread of ours runs."""
    made = Crew(2)
    yield made
    made.end()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SUBMETER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SUBMETER_RUN", raising=False)
    return tmp_path / "home"


def order(*tasks: str, rounds: int = 2, workers: int = 2) -> Order:
    return Order(tasks, rounds, SHORT_S, SHORT_S, 4 * SHORT_S, SHORT_S, workers)


def said(crew: Crew, folder: Path, *tasks: str) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    Program(order(*tasks), crew, folder, lambda **words: lines.append(words)).run()
    json.dumps(lines)  # what is said can be written
    return lines


@pytest.mark.parametrize("key", HERE)
def test_each_task_does_its_rounds(key: str, crew: Crew, tmp_path: Path) -> None:
    lines = said(crew, tmp_path, key)
    assert [row["missing"] for row in lines if "missing" in row] == []
    rounds = [row for row in lines if "wall_s" in row]
    ways = task_class(key).ways
    assert [(r["way"], r["kind"], r["number"]) for r in rounds if r["kind"] == "one"] == [
        (way, "one", number) for number in (1, 2) for way in ways
    ]
    assert any(r["kind"] == "many" and r["workers"] == 2 for r in rounds) == (len(ways) == 1)
    assert any(r["kind"] == "paced" for r in rounds) == task_class(key).paced
    for row in rounds:
        assert row["units"] > 0
        assert row["begin_utc_s"] > 0
    assert not list(tmp_path.glob("*/port*.lock"))


@pytest.mark.parametrize("key", ELSEWHERE)
def test_what_is_installed_runs_and_ends(key: str, crew: Crew, tmp_path: Path) -> None:
    why = task_class(key).why_not()
    if why:
        pytest.skip(why)
    before = set(Path("/tmp").glob("pg-*"))  # noqa: S108
    lines = said(crew, tmp_path, key)
    assert [row["missing"] for row in lines if "missing" in row] == []
    assert all(row["units"] > 0 for row in lines if "wall_s" in row)
    assert set(Path("/tmp").glob("pg-*")) <= before  # noqa: S108


def test_what_is_not_installed_says_so(
    crew: Crew, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.setattr(Path, "glob", lambda *_: iter(()))
    lines = said(crew, tmp_path, "page", "postgres-query")
    told = {row["task"]: row["missing"] for row in lines if "missing" in row}
    assert set(told) == {"page", "postgres-query"}
    assert "not found" in told["postgres-query"]


def test_a_task_that_fails_is_told_and_the_next_one_runs(
    crew: Crew, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    lines: list[dict[str, Any]] = []
    program = Program(order("sort", "text"), crew, blocked, lambda **words: lines.append(words))
    monkeypatch.setattr(task_class("sort"), "prepare", lambda _task: {})  # there is no file
    program.run()
    missing = {row["task"]: row["missing"] for row in lines if "missing" in row}
    assert set(missing) == {"sort"}
    assert "FileNotFoundError" in missing["sort"]
    assert any(row["task"] == "text" and row.get("units", 0) > 0 for row in lines)


def test_a_worker_that_ended_is_an_error_and_no_wait(tmp_path: Path) -> None:
    own = Crew(1)
    try:
        own.all(1, "open", "text", str(tmp_path))
        with pytest.raises(WorkerError, match="no such command"):
            own.all(1, "dance")
        assert own.all(1, "close") == [None]
        own._workers[0].kill()
        own._workers[0].join()
        with pytest.raises(WorkerError, match="has ended"):
            own.all(1, "close")
        with pytest.raises(WorkerError, match="are lost"):
            own.all(1, "close")
    finally:
        own.end()


@pytest.mark.parametrize("active", [1, 2, 3])
def test_a_divided_job_sorts_all_records(active: int, tmp_path: Path) -> None:
    task = Sorting(tmp_path, active)
    task.prepare()
    for worker in range(active):
        task.part("work", worker, active)
    assert task.merge("work", active) == RECORDS
    rows = split((tmp_path / ("sorted" if active > 1 else "part-0")).read_bytes())
    assert len(rows) == RECORDS
    assert all(len(row) == WIDTH for row in rows)
    assert [row[:KEY] for row in rows] == sorted(row[:KEY] for row in rows)
    assert sorted(rows) == sorted(split((tmp_path / "given").read_bytes()))


def test_the_model_has_learnt_something(tmp_path: Path) -> None:
    task = task_class("prediction")(tmp_path, 1)
    told = task.prepare()
    assert float(str(told["accuracy"])) > float(str(told["accuracy_of_always_the_same"])) + 0.05
    assert ORDERS > 0


def test_a_known_separation_is_fitted() -> None:
    rows = [(float(x), 1.0, float(x > 50)) for x in range(100)]
    model = fitted(rows)
    assert model.weights[0] > 0
    assert model.weights[1] == 0.0  # a constant column tells nothing
    assert model.chance(90.0, 1.0) > 0.5 > model.chance(10.0, 1.0)


def proc_stat(folder: Path, pid: int, parent: int, ticks: tuple[int, int, int, int]) -> None:
    place = folder / str(pid)
    place.mkdir(parents=True, exist_ok=True)
    fields = ["S", str(parent), *["0"] * 9, *map(str, ticks), *["0"] * 20]
    (place / "stat").write_text(f"{pid} (a) b) {' '.join(fields)}\n")


def test_cpu_time_is_told_apart(tmp_path: Path) -> None:
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    (tmp_path / "stat").write_text("cpu  100 10 50 900 5 2 3 7 0 0\ncpu0 1 2 3\n")
    proc_stat(tmp_path, 10, 1, (20, 5, 0, 0))
    proc_stat(tmp_path, 11, 10, (30, 0, 4, 1))  # a child, with children that have ended
    proc_stat(tmp_path, 12, 11, (1, 1, 0, 0))
    proc_stat(tmp_path, 20, 1, (40, 0, 0, 0))  # somebody else's
    found = used(10, tmp_path)
    assert found.own_s == pytest.approx(62 * tick_s)
    assert found.busy_s == pytest.approx(165 * tick_s)
    assert found.stolen_s == pytest.approx(7 * tick_s)
    assert found.others_s == pytest.approx(103 * tick_s)
    assert found.since(found) == Used(0.0, 0.0, 0.0)


def test_own_work_is_not_that_of_others() -> None:
    before = used(os.getpid())
    begun = time.process_time()
    while time.process_time() - begun < 0.1:
        pass
    took = used(os.getpid()).since(before)
    assert took.own_s >= 0.08
    assert took.busy_s >= took.own_s - 0.03


def test_orders() -> None:
    full, quick = order_for(quick=False, workers=2), order_for(quick=True, workers=2)
    assert full.tasks == KEYS
    assert set(quick.tasks) == {IDLE, *HERE}
    assert full.planned_s < 150
    assert quick.planned_s < 14


def test_measured_under_the_meter(home: Path, tmp_path: Path) -> None:
    """The whole way: a metered run in the ledger, its phases, what they drew, what is kept."""
    heard: list[tuple[str, float]] = []
    asked = Order((IDLE, "text", "report"), 2, 0.6, 0.3, 0.0, 0.6, 2)
    found = measured(
        asked, quick=True, key="everyday-test", tell=lambda *w: heard.append(w), folder=tmp_path
    )
    assert not found.missing
    assert {r.task for r in found.rounds} == {IDLE, "text", "report"}
    for row in found.rounds:
        assert isinstance(row.energy, Quantity), row
        assert row.energy.value > 0
        assert row.busy
    working = [r for r in found.rounds if r.kind == "one"]
    for row in working:
        # two ways to look at one thing: slots of clocks, and the difference over the round
        mean = sum(row.busy) / len(row.busy)
        assert mean == pytest.approx(row.cpu_s / row.wall_s, rel=0.35)
    (rest,) = found.of(IDLE, kind="idle")
    assert sum(rest.busy) < 0.3 * len(rest.busy)
    assert heard
    assert all(0 <= ratio < 1 for _, ratio in heard)
    with open_ledger(home / "ledger.db") as ledger:
        (run,) = ledger.list(tags={"everyday": "1"})
        stored = ledger.get(run.id)
    assert run.id == found.run_id
    paths = {phase.path for phase in stored.phases}
    assert phase_name("report", "naive", "one", 2) in paths
    whole = power_of(stored)
    assert whole is not None
    assert len(whole.watts) == int(stored.duration_s)
    keeping.keep(found)
    assert keeping.kept(quick=True) == found
    assert keeping.kept(quick=False) is None


def refused(_task: str, _ratio: float) -> None:
    pytest.fail("nothing is to be measured")


def test_what_is_kept_is_not_measured_again(home: Path) -> None:
    assert keeping.kept(quick=False) is None
    path = keeping.keep(look())
    assert home in path.parents
    assert keeping.everyday(quick=False, again=False, tell=refused) == look()
    # the longer look serves for the short one
    assert keeping.everyday(quick=True, again=False, tell=refused) == look()
    assert oct(path.stat().st_mode & 0o777) == "0o600"


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema": 1}', b"\xff" * 10])
def test_what_cannot_be_read_is_not_kept(home: Path, content: bytes) -> None:
    assert str(home)
    keeping.keep(look()).write_bytes(content)
    assert keeping.kept(quick=False) is None


def test_another_machine_has_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = keeping.machine_key(quick=False)
    assert before != keeping.machine_key(quick=True)
    monkeypatch.setattr(platform, "python_version", lambda: "9.9.9")
    assert keeping.machine_key(quick=False) != before


def test_processors_in_use_are_seen_slot_by_slot() -> None:
    """A second of work, then none: the slots show both, children that have ended included."""
    work = "import time\nt = time.process_time()\nwhile time.process_time() - t < 0.4: pass"
    before = live_cpu_s(os.getpid())
    with Busy(os.getpid()) as busy:
        subprocess.run([sys.executable, "-S", "-c", work], check=True)
        worked = len(busy.slots)
        time.sleep(3 * SLOT_S)
    took_s = live_cpu_s(os.getpid()) - before
    assert took_s >= 0.38
    assert sum(busy.slots) * SLOT_S == pytest.approx(took_s, rel=0.3)
    assert sum(busy.slots[:worked]) > 5 * sum(busy.slots[worked + 1 :])


def test_a_process_that_is_gone_used_nothing(tmp_path: Path) -> None:
    assert live_cpu_s(2**22 + 1) == 0.0
    assert live_cpu_s(1, tmp_path) == 0.0


def test_the_server_ends_with_its_input() -> None:
    script = Path(keeping.__file__).with_name("web_server.py")
    with subprocess.Popen(
        [sys.executable, "-I", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        assert int(server.stdout.readline()) > 0
        server.stdin.close()
        assert server.wait(10) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_was_started_ends_with_the_program(number: signal.Signals, tmp_path: Path) -> None:
    """A web server waits for the end of its input, PostgreSQL for nobody: both are ended."""
    asked = Order(("http",), 1, 60.0, 1.0, 1.0, 1.0, 1)
    with subprocess.Popen(
        [sys.executable, "-m", MODULE, msgspec.json.encode(asked).decode()],
        stdout=subprocess.PIPE, env={**os.environ, "TMPDIR": str(tmp_path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    ) as program:  # fmt: skip
        assert program.stdout is not None
        for line in program.stdout:
            if b'"unit"' in line:  # the server is there
                break
        children = Path(f"/proc/{program.pid}/task/{program.pid}/children")
        pids = [int(pid) for pid in children.read_text().split()]
        assert len(pids) >= 2
        program.send_signal(number)
        assert program.wait(20) == 128 + number
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert not list(tmp_path.iterdir())


def test_a_look_is_a_record() -> None:
    assert msgspec.json.decode(msgspec.json.encode(look()), type=Everyday) == look()
