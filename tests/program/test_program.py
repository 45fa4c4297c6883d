# SPDX-License-Identifier: Apache-2.0
"""What a program sees of measure, phase and log; each in an interpreter of its own."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.running.scripts import (
    environment,
    finish,
    folders,
    in_ledger,
    python_file,
    run_arguments,
    settled,
)

PYTHON = sys.executable
CALM = ["-W", "error"]  # any warning of ours would fail the program


def program(
    folder: Path, code: str, *, options: Sequence[str] = CALM
) -> "subprocess.CompletedProcess[bytes]":
    """Run *code* with its home in *folder*."""
    done = finish([PYTHON, *options, python_file(folder, code)], folder / "home")
    assert done.returncode == 0, done.stderr.decode()
    return done


def phases_of(folder: Path) -> dict[str, int]:
    return {p.path: p.count for p in settled(folder / "home").phases}


def test_measure_gives_figures_once_it_is_over(tmp_path: Path) -> None:
    done = program(
        tmp_path,
        """
import json, submeter
with submeter.measure("base", tags={"k": "v"}) as run:
    assert isinstance(run.energy, submeter.Missing), run.energy
    assert run.energy.why == "still running"
    with submeter.phase("train"):
        submeter.log(loss=0.5, samples=10, step=1)
        submeter.log(loss=0.25, samples=10, step=2)
assert isinstance(run.energy, submeter.Figure), run.energy
assert 0 < run.energy_devices.value <= run.energy_node.value <= run.energy.value
assert run.energy.kwh > 0
assert isinstance(run.run, submeter.Run)
assert "base" in str(run) and "<pre>" in run._repr_html_()
print(json.dumps(run.to_dict()))
""",
    )
    document = json.loads(done.stdout)
    assert document["run"]["name"] == "base"
    assert document["run"]["tags"] == {"k": "v"}
    assert document["metrics"] == {"loss": 0.25}
    assert document["work"] == {"samples": 20.0}
    assert [p["path"] for p in document["phases"]] == ["train"]
    assert done.stderr == b""
    assert in_ledger(tmp_path / "home") == [document["run"]["id"]]


def test_measure_decorates_with_and_without_a_name(tmp_path: Path) -> None:
    program(
        tmp_path,
        """
import submeter
@submeter.measure
def plain(x: int) -> int:
    return x + 1
@submeter.measure("named")
def other() -> int:
    return 5
assert plain.__name__ == "plain"
assert (plain(1), other()) == (2, 5)
""",
    )
    home = tmp_path / "home"
    assert len(folders(home)) == 2
    assert sorted(settled(home, ref).name for ref in ("last", "last~1")) == ["named", "plain"]


def test_c14_a_measure_within_another_is_part_of_it(tmp_path: Path) -> None:
    program(
        tmp_path,
        """
import submeter
with submeter.measure("outer") as outer:
    with submeter.measure("inner") as inner:
        assert inner.id == outer.id
    assert isinstance(outer.energy, submeter.Missing)
    assert isinstance(inner.energy, submeter.Missing)
assert isinstance(outer.energy, submeter.Figure)
assert inner.energy.value == outer.energy.value
""",
    )
    assert len(folders(tmp_path / "home")) == 1


def test_c14_within_submeter_run_a_measure_joins(tmp_path: Path) -> None:
    code = """
import os, submeter
with submeter.measure("inner") as run:
    with submeter.phase("train"):
        submeter.log(accuracy=0.5)
assert run.id == os.path.basename(os.environ["SUBMETER_RUN"])
assert isinstance(run.energy, submeter.Missing)
"""
    home = tmp_path / "home"
    argv = run_arguments(PYTHON, *CALM, python_file(tmp_path, code), options=("--name", "outer"))
    done = finish(argv, home)
    assert done.returncode == 0, done.stderr
    assert len(folders(home)) == 1
    run = settled(home)
    assert (run.name, run.metrics) == ("outer", {"accuracy": 0.5})
    assert [p.path for p in run.phases] == ["train"]


def test_without_a_run_phase_and_log_do_nothing(tmp_path: Path) -> None:
    done = program(
        tmp_path,
        """
import sys, submeter
with submeter.phase("train"), submeter.phase("x/\\n"):
    submeter.log(loss=float("nan"), junk=object(), samples=-1)
assert "msgspec" not in sys.modules
assert "submeter.collecting.phases" not in sys.modules
""",
    )
    assert done.stderr == b""
    assert not (tmp_path / "home").exists()


def test_a_run_that_is_over_is_not_joined(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert finish(run_arguments("true"), home).returncode == 0
    (folder,) = folders(home)
    before = sorted(p.name for p in folder.iterdir())
    env = environment(home, SUBMETER_RUN=str(folder))
    code = "import submeter\nwith submeter.phase('late'):\n    submeter.log(x=1)\n"
    done = finish([PYTHON, *CALM, python_file(tmp_path, code)], home, env=env)
    assert done.returncode == 0
    assert sorted(p.name for p in folder.iterdir()) == before
    missing = environment(home, SUBMETER_RUN=str(tmp_path / "nowhere"))
    assert finish([PYTHON, *CALM, python_file(tmp_path, code)], home, env=missing).returncode == 0


def test_phases_nest_and_decorate_every_kind_of_function(tmp_path: Path) -> None:
    program(
        tmp_path,
        """
import asyncio, submeter
@submeter.phase("plain")
def plain(depth): return depth and plain(depth - 1)
@submeter.phase("items")
def items():
    got = yield 1
    assert got == "sent"
    try:
        yield 2
    except KeyError:
        yield 3
    return "end"
@submeter.phase("later")
async def later():
    await asyncio.sleep(0)
    return 7
@submeter.phase("stream")
async def stream():
    for i in range(3):
        await asyncio.sleep(0)
        yield i
def through():
    result = yield from items()
    assert result == "end"
async def main():
    assert await later() == 7
    assert [i async for i in stream()] == [0, 1, 2]
with submeter.measure():
    with submeter.phase("outer"):
        plain(3)  # directly in itself: one path
        g = through()
        assert next(g) == 1 and g.send("sent") == 2 and g.throw(KeyError()) == 3
        assert list(g) == []
        again = submeter.phase("again")
        with again, submeter.phase("between"), again:
            pass
        asyncio.run(main())
""",
    )
    counts = phases_of(tmp_path)
    assert counts["outer"] == 1
    assert counts["outer/plain"] == 4
    assert counts["outer/items"] >= 1
    assert counts["outer/later"] == 1
    assert counts["outer/stream"] >= 1
    assert counts["outer/again"] == 1
    assert counts["outer/again/between/again"] == 1


def test_c07_an_error_in_a_phase_closes_it_and_comes_through(tmp_path: Path) -> None:
    code = """
import submeter
with submeter.measure():
    try:
        with submeter.phase("broken"):
            raise KeyError("inner")
    except KeyError:
        pass
    with submeter.phase("after"):
        raise ValueError("mine")
"""
    done = finish([PYTHON, python_file(tmp_path, code)], tmp_path / "home")
    assert done.returncode == 1
    assert done.stderr.count(b"Traceback") == 1
    assert done.stderr.rstrip().endswith(b"ValueError: mine")
    run = settled(tmp_path / "home")
    assert run.status == "failed"
    assert {p.path for p in run.phases} == {"broken", "after"}


def test_abandoned_and_crossed_phases_do_no_harm(tmp_path: Path) -> None:
    program(
        tmp_path,
        """
import gc, threading, submeter
def holding(name):
    with submeter.phase(name):
        yield
with submeter.measure():
    first, second = holding("first"), holding("second")
    next(first); next(second)
    first.close()          # not the innermost
    with submeter.phase("inside"):
        pass
    second.close()
    lost = holding("lost"); next(lost)
    ring = [lost]; ring.append(ring); del lost, ring
    gc.collect()
    elsewhere = holding("elsewhere"); next(elsewhere)
    thread = threading.Thread(target=elsewhere.close); thread.start(); thread.join()
    with submeter.phase("end"):
        pass
""",
    )
    counts = phases_of(tmp_path)
    assert counts["first/second/inside"] == 1
    assert counts["end"] == 1  # nothing is open around it any more


def test_c19_a_hundred_threads_count_right(tmp_path: Path) -> None:
    program(
        tmp_path,
        """
import threading, submeter
shared = submeter.phase("shared")
gate = threading.Barrier(100)
def work():
    gate.wait()
    for _ in range(20):
        with submeter.phase("outer"):
            with shared:
                pass
with submeter.measure():
    threads = [threading.Thread(target=work) for _ in range(100)]
    for t in threads: t.start()
    for t in threads: t.join()
    for _ in range(300):
        t = threading.Thread(target=lambda: submeter.phase("short").__enter__())
        t.start(); t.join()
""",
    )
    counts = phases_of(tmp_path)
    assert counts["outer"] == counts["outer/shared"] == 2000
    assert counts["short"] == 300


def test_c18_tasks_have_phases_of_their_own_below_their_creators(tmp_path: Path) -> None:
    program(
        tmp_path,
        """
import asyncio, submeter
async def one(name, other):
    with submeter.phase(name):
        await other.wait() if name == "a" else asyncio.sleep(0)
        other.set()
        with submeter.phase("inner"):
            await asyncio.sleep(0)
async def main():
    event = asyncio.Event()
    with submeter.phase("gather"):
        await asyncio.gather(one("a", event), one("b", event), asyncio.to_thread(blocking))
    for _ in range(3):
        await asyncio.gather(*(one("b", event) for _ in range(100)))
def blocking():
    with submeter.phase("thread"):
        pass
with submeter.measure():
    asyncio.run(main())
""",
    )
    counts = phases_of(tmp_path)
    assert counts["gather/a/inner"] == 1
    assert counts["gather/b/inner"] == 1
    assert counts["gather/thread"] == 1
    assert counts["b"] == counts["b/inner"] == 300


def test_c21_a_cell_that_runs_again_makes_a_run_of_its_own(tmp_path: Path) -> None:
    program(
        tmp_path,
        """
import submeter
cell = compile('''
with submeter.measure("cell") as run:
    with submeter.phase("train"):
        if interrupt: raise KeyboardInterrupt
''', "<cell>", "exec")
ids = []
for interrupt in (False, True, False):
    try:
        exec(cell)
    except KeyboardInterrupt:
        pass
    ids.append(run.id)
    assert isinstance(run.energy, submeter.Figure), run.energy
assert len(set(ids)) == 3
""",
    )
    home = tmp_path / "home"
    states = [settled(home, ref).status for ref in ("last", "last~1", "last~2")]
    assert states == ["finished", "stopped", "finished"]


def test_c21_a_run_left_open_ends_with_the_program(tmp_path: Path) -> None:
    done = program(tmp_path, "import submeter\nrun = submeter.measure('open').__enter__()\n")
    assert done.stderr == b""
    assert settled(tmp_path / "home").status == "finished"


def test_c17_ending_late_leaves_no_traceback(tmp_path: Path) -> None:
    done = program(
        tmp_path,
        """
import atexit, threading, submeter
class Late:
    def __del__(self):
        with submeter.phase("too late"):
            submeter.log(x=1)
late = Late()
def last():
    with submeter.phase("at exit"):
        submeter.log(y=2)
atexit.register(last)
run = submeter.measure("open").__enter__()
threading.Thread(target=lambda: submeter.log(z=3)).start()
""",
    )
    assert done.stderr == b""


def test_values_that_are_no_numbers_never_break_the_program(tmp_path: Path) -> None:
    program(
        tmp_path,
        """
import submeter
class Tensor:
    def item(self): return 0.75
class Many:
    def item(self): raise RuntimeError("only one element")
with submeter.measure():
    submeter.log(loss=float("nan"), accuracy=Tensor(), kind="cosine", many=Many(), big=10**400)
    submeter.log(loss=0.5, samples=float("nan"), tokens=3, step=7)
    submeter.log(loss=float("inf"), tokens=4)
""",
    )
    run = settled(tmp_path / "home")
    assert run.metrics == {"loss": 0.5, "accuracy": 0.75}
    assert run.work == {"tokens": 7.0}
    assert run.parameters["kind"] == "cosine"
    assert any("loss was nan" in note for note in run.notes)


def test_e02_an_interval_that_makes_no_sense_is_one_warning(tmp_path: Path) -> None:
    code = """
import submeter
with submeter.measure(interval_s=-1) as run: pass
with submeter.measure(interval_s=-1) as run: pass
assert isinstance(run.energy, submeter.Figure), run.energy
try:
    with submeter.measure(interval_s="fast", strict=True): pass
except ValueError as exc:
    assert "interval_s" in str(exc) and exc.remedy
else:
    raise SystemExit("strict did not raise")
"""
    done = finish([PYTHON, python_file(tmp_path, code)], tmp_path / "home")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(b"JoinWarning") == 1


def test_d06_without_a_collector_the_program_goes_on_after_one_warning(tmp_path: Path) -> None:
    code = """
import resource, submeter
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
for _ in range(3):
    with submeter.measure() as run:
        with submeter.phase("train"):
            submeter.log(loss=1.0)
    assert isinstance(run.energy, submeter.Missing), run.energy
print(run.energy.why)
"""
    argv = [PYTHON, python_file(tmp_path, code)]
    done = finish(argv, tmp_path / "home")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert done.stderr.count(b"JoinWarning") <= 1
    assert b"Traceback" not in done.stderr


def test_a_name_that_means_a_run_by_its_age_is_one_warning(tmp_path: Path) -> None:
    code = """
import submeter
with submeter.measure("last~1") as run:
    assert str(run.energy) == "missing: still running", run.energy
assert run.run.name == "", run.run
try:
    with submeter.measure("last", strict=True): pass
except ValueError as exc:
    assert exc.remedy
else:
    raise SystemExit("strict did not raise")
"""
    done = finish([PYTHON, python_file(tmp_path, code)], tmp_path / "home")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(b"JoinWarning") == 1


def test_a_program_is_told_when_its_budget_is_used_up(tmp_path: Path) -> None:
    done = program(
        tmp_path,
        """
import submeter, threading
heard = threading.Event()
with submeter.measure(forecast=True, budget="1e-9 kWh", on_budget=heard.set) as run:
    assert not run.over_budget
    while not heard.wait(0.02):
        sum(range(20_000))
    assert run.over_budget
assert run.run.status == "finished"
with submeter.measure() as other:
    pass
assert not other.over_budget
""",
    )
    assert "the budget of 1e-9 kWh (energy at the wall) is used up" in done.stderr.decode()


def test_e01_a_budget_that_makes_no_sense_is_one_warning_or_with_strict_an_error(
    tmp_path: Path,
) -> None:
    done = program(
        tmp_path,
        """
import submeter, warnings
from submeter.errors import UsageError
with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter("always")
    with submeter.measure(budget="2 bananas") as run:
        assert run.id
assert ["bananas" in str(w.message) for w in heard] == [True], heard
for wrong in ({"budget": 3}, {"budget": "2kWh", "on_budget": "stop"}):
    try:
        submeter.measure(**wrong, strict=True).__enter__()
    except UsageError as error:
        assert error.remedy
    else:
        raise SystemExit(1)
""",
    )
    assert not done.stderr
