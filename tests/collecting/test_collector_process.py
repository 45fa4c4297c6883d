# SPDX-License-Identifier: Apache-2.0
"""The collector as a process: started, killed, resumed, left alone."""

import contextlib
import os
import random
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from submeter.collecting.clock import SystemClock
from submeter.collecting.order import Order
from submeter.records.frames import (
    End,
    Event,
    Head,
)
from submeter.storing.journal import read_frames
from tests.collecting.collector_rig import (
    instants,
)

PROGRAM = """
import sys
from pathlib import Path
sys.path[:0] = [{here!r}, {here!r} + "/src"]
from tests.collecting.collector_rig import FileMachine
from submeter.collecting.collector import main
main(sys.argv[1], discover=lambda order: FileMachine(Path(sys.argv[2]), sys.argv[3:]))
"""


class Child:
    """A real collector process."""

    started: ClassVar[list["Child"]] = []

    def __init__(self, folder: Path, *names: str, leader_pid: int | None = None) -> None:
        run = folder / "run"
        run.mkdir(exist_ok=True)
        clock = SystemClock()
        pid = os.getpid() if leader_pid is None else leader_pid
        order = Order(
            run_id="20260101-000000-abcd",
            folder=str(run),
            ledger=str(folder / "ledger.db"),
            leader_pid=pid,
            owner_pid=pid,
            interval_s=0.02,
            utc_ns=clock.utc_ns(),
            t_ns=clock.monotonic_ns(),
        )
        self.journal = run / "journal"
        (run / "order.json").write_bytes(msgspec.json.encode(order))
        program = PROGRAM.format(here=str(Path(__file__).parents[2]))
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, str(run / "order.json"), str(folder / "m"), *names],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(self)
        self.ready = self.line()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def wait_for(self, size_bytes: int) -> None:
        """Wait until the journal is larger."""
        while self.journal.stat().st_size <= size_bytes:
            assert self.process.poll() is None
            select.select([], [], [], 0.001)

    def stop(self) -> str:
        assert self.process.stdin is not None
        end = End(SystemClock().monotonic_ns(), "finished", 0)
        self.process.stdin.write(f"stop {msgspec.json.encode(end).decode()}\n")
        self.process.stdin.flush()
        assert self.line() == "ending"
        said = self.line()
        self.close()
        return said

    def close(self) -> None:
        with contextlib.suppress(ValueError):  # closed already
            self.process.communicate()


@pytest.fixture(autouse=True)
def no_child_stays() -> Iterator[None]:
    yield
    for child in Child.started:
        child.process.kill()
        child.close()
    Child.started.clear()


def test_c02_c03_a_collector_killed_at_any_moment_is_resumed(tmp_path: Path) -> None:
    order = random.Random(11)  # noqa: S311
    size_bytes = 0
    for generation in range(4):
        child = Child(tmp_path, "cpu:0", "dram:0")
        assert child.ready.startswith("ready ")
        child.wait_for(size_bytes)
        for _ in range(order.randrange(3)):
            child.wait_for(child.journal.stat().st_size)
        child.process.kill()
        child.close()
        content = read_frames(child.journal)
        assert content.lost_bytes == 0
        heads = [f for f in content.frames if isinstance(f, Head)]
        assert [h.generation for h in heads] == list(range(generation + 1))
        size_bytes = child.journal.stat().st_size
    child = Child(tmp_path, "gpu:GPU-1", "dram:0", "cpu:0")  # another machine answers first
    assert child.stop() == "settled finished"
    frames = read_frames(child.journal).frames
    heads = [f for f in frames if isinstance(f, Head)]
    assert heads[-1].generation == 4
    assert [s.device_id for s in heads[-1].sensors] == ["cpu:0", "dram:0", "gpu:GPU-1"]
    times = instants(frames)
    assert times == sorted(times)


def test_d16_a_second_collector_of_a_run_is_refused(tmp_path: Path) -> None:
    first = Child(tmp_path, "cpu:0")
    second = Child(tmp_path, "cpu:0")
    assert second.ready.startswith("unsettled ")
    assert "another process" in second.ready
    second.close()
    assert second.process.returncode == 0
    assert first.stop() == "settled finished"


def test_c01_the_process_of_a_killed_trainer_settles_and_ends(
    tmp_path: Path, sleeper: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    trainer = sleeper()
    child = Child(tmp_path, "cpu:0", leader_pid=trainer.pid)
    assert child.ready.startswith("ready ")
    assert child.process.stdin is not None
    child.process.stdin.write(f"started {SystemClock().monotonic_ns()} {trainer.pid}\n")
    child.process.stdin.flush()
    trainer.kill()
    trainer.wait()
    assert child.line() == "settled killed"
    child.close()
    assert child.process.returncode == 0


def test_a18_a_sensor_that_hangs_delays_neither_ready_nor_the_end(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    os.mkfifo(tmp_path / "m" / "cpu:1")
    child = Child(tmp_path, "cpu:0", "cpu:1")
    assert child.ready.startswith("ready ")
    assert child.stop() == "settled finished"
    frames = read_frames(child.journal).frames
    assert instants(frames, 0)
    assert instants(frames, 1) == []
    missing = [f for f in frames if isinstance(f, Event) and f.kind == "sensor-missing"]
    assert [e.sensor for e in missing] == [1]


def test_c06_the_collector_asks_the_oom_killer_to_take_others_first(tmp_path: Path) -> None:
    child = Child(tmp_path, "cpu:0")
    score = int(Path(f"/proc/{child.process.pid}/oom_score_adj").read_text())
    ours = int(Path("/proc/self/oom_score_adj").read_text())
    assert score in {min(ours, -500), ours}  # only the privileged may; nobody's score rises
    child.stop()


def test_c06_an_oom_kill_of_the_collector_is_resumed(tmp_path: Path) -> None:
    child = Child(tmp_path, "cpu:0")
    child.wait_for(0)
    child.process.kill()  # the kernel's own kill is the same signal
    child.close()
    again = Child(tmp_path, "cpu:0")
    assert again.stop() == "settled finished"


def test_the_collector_leaves_signals_as_they_are(tmp_path: Path) -> None:
    child = Child(tmp_path, "cpu:0")
    status = Path(f"/proc/{child.process.pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    # Python's own for SIGINT, and real-time ones of the C library
    assert caught & 0x7FFFFFFF & ~(1 << 1) == 0
    child.stop()


FULL = """
set -e
mount -t tmpfs -o nr_inodes={inodes},size=1m tmpfs "$1"
mkdir "$1/runs" "$1/runs/20260101-000000-abcd"
cp "$2" "$1/runs/20260101-000000-abcd/order.json"
i=0; while touch "$1/f$i" 2>/dev/null; do i=$((i+1)); done
mount --bind "$3" /var/tmp
export SUBMETER_HOME="$1"
shift 3
exec "$@"
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a file system")
def test_d02_without_inodes_the_journal_goes_elsewhere(tmp_path: Path) -> None:
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount")
    full, temporary = tmp_path / "full", tmp_path / "tmp"
    full.mkdir()
    temporary.mkdir()
    folder = full / "runs" / "20260101-000000-abcd"
    clock = SystemClock()
    order = Order(
        run_id=folder.name,
        folder=str(folder),
        ledger=str(tmp_path / "ledger.db"),
        leader_pid=os.getpid(),
        owner_pid=os.getpid(),
        interval_s=0.05,
        utc_ns=clock.utc_ns(),
        t_ns=clock.monotonic_ns(),
    )
    (tmp_path / "order.json").write_bytes(msgspec.json.encode(order))
    program = PROGRAM.format(here=str(Path(__file__).parents[2]))
    end = End(clock.monotonic_ns(), "finished", 0)
    shell = FULL.format(inodes=8)
    files = [str(f) for f in (full, tmp_path / "order.json", temporary)]
    words = [sys.executable, "-c", program, str(folder / "order.json"), str(tmp_path / "m"), "a"]
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", shell, "sh", *files, *words],
        input=f"stop {msgspec.json.encode(end).decode()}\n",
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["ready", "ending", "settled"]
    (moved,) = temporary.glob(f"*/runs/{folder.name}")
    assert isinstance(read_frames(moved / "journal").frames[0], Head)
    assert (moved / "order.json").exists()
