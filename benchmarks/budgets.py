# SPDX-License-Identifier: Apache-2.0
"""What submeter costs: importing it, a phase, start and stop, the collector beside the training.

The figures are CPU time where they can be, and the best of several tries, because a busy machine
makes everything slower and nothing faster. Tests compare them with the budgets, `make bars`
prints them.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

SRC = Path(__file__).resolve().parents[1] / "src"

HEAVY = frozenset(
    {
        "numpy", "scipy", "torch", "sklearn", "pandas", "rich", "click", "asyncio",
        "importlib.metadata", "pynvml", "sqlite3", "multiprocessing", "logging.config",
        "concurrent.futures", "http", "ssl", "urllib.request",
    }
)  # fmt: skip
HEAVY_FOR_A_COLLECTOR = HEAVY - {"pynvml", "sqlite3", "concurrent.futures"}


def environment(home: Path | None = None) -> dict[str, str]:
    """Environment of a child that finds this checkout and no run of anybody else."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("SUBMETER_", "PYTHON"))}
    env["PYTHONPATH"] = str(SRC)
    if home is not None:
        env["SUBMETER_HOME"] = str(home)
    return env


def python(
    code: str,
    *,
    env: Mapping[str, str],
    arguments: Sequence[str] = (),
    timeout_s: float = 120,
) -> str:
    """What a fresh interpreter prints when it runs *code*."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=dict(env),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"child ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def import_cpu_s(statement: str = "import submeter", *, tries: int = 15) -> float:
    """CPU time that *statement* adds to a bare interpreter, best against best [s]."""
    env = environment()
    report = "import time; print(time.process_time())"
    bare, loaded = [], []
    for _ in range(tries):
        bare.append(float(python(report, env=env)))
        loaded.append(float(python(f"{statement}; {report}", env=env)))
    return min(loaded) - min(bare)


def modules_after(statement: str, home: Path | None = None) -> set[str]:
    """Modules that *statement* loads and a bare interpreter does not."""
    env = environment(home)
    report = "import sys; print(' '.join(sys.modules))"
    return set(python(f"{statement}\n{report}", env=env).split()) - set(
        python(report, env=env).split()
    )


PHASES = """
import json, time
import submeter
def cost_us(n=4000, tries=9):
    best = float("inf")
    for _ in range(tries):
        start = time.thread_time_ns()
        for _ in range(n):
            with submeter.phase("step"):
                pass
        best = min(best, time.thread_time_ns() - start)
    return best / n / 1e3
def empty_us(n=4000, tries=9):
    best = float("inf")
    for _ in range(tries):
        start = time.thread_time_ns()
        for _ in range(n):
            pass
        best = min(best, time.thread_time_ns() - start)
    return best / n / 1e3
idle = cost_us()
with submeter.measure("phases"):
    with submeter.phase("train"):
        active = cost_us()
print(json.dumps({"idle": idle - empty_us(), "active": active - empty_us()}))
"""


class PhaseCost(NamedTuple):
    """CPU time of the calling thread for one phase, entered and left."""

    without_run_us: float
    in_run_us: float


def phase_cost(home: Path) -> PhaseCost:
    """CPU time of entering and leaving a phase, without and within a run [us]."""
    found = json.loads(python(PHASES, env=environment(home)))
    return PhaseCost(found["idle"], found["active"])


STARTS = """
import json, sys, time
import submeter
start_s, stop_s = [], []
for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 8):
    meter = submeter.measure("start")
    a = time.perf_counter()
    meter.__enter__()
    b = time.perf_counter()
    time.sleep(0.3)
    c = time.perf_counter()
    meter.__exit__(None, None, None)
    d = time.perf_counter()
    start_s.append(b - a)
    stop_s.append(d - c)
print(json.dumps({"start": min(start_s), "stop": min(stop_s)}))
"""


class Blocking(NamedTuple):
    """How long the caller waits, best of several."""

    start_s: float
    stop_s: float


def start_and_stop(home: Path) -> Blocking:
    """Wall time that ``measure`` blocks its caller for [s]."""
    found = json.loads(python(STARTS, env=environment(home)))
    return Blocking(found["start"], found["stop"])


DAY = """
import json, math, sys, time
from submeter.circumstances.reckoning import reckon
from submeter.records.devices import Device, DeviceKind
from submeter.records.figures import Basis, ErrorTerm, Quantity
from submeter.records.runs import DeviceEnergy, Host, Run, Series
def part(i, kind, name):
    share = Quantity.of(4e7, basis=Basis.MEASURED, terms=(ErrorTerm(i, 0.03),))
    return DeviceEnergy(Device(i, kind, name, "box"), share, share)
boards = [f"gpu:{i}" for i in range(8)]
def power_w(t_s, i):
    return 500 + 100 * math.sin(t_s / 1000 + i)
series = {b: [power_w(t, i) for t in range(86_400)] for i, b in enumerate(boards)}
run = Run(
    "20261120-100000-abcd", "measured", "finished", "2026-11-20T10:00:00Z", 86_400.0,
    hosts=(Host("box", {"cpu_model": "Intel(R) Xeon(R) Platinum 8480+", "vcpus": "224"}),),
    devices=(
        *(part(b, DeviceKind.GPU, "NVIDIA H100 80GB HBM3") for b in boards),
        part("cpu:0", DeviceKind.CPU, "Xeon"), part("rest:box", DeviceKind.REST, "rest"),
    ),
    series=Series(1.0, series), place={"zone": sys.argv[1]},
)
took = []
for _ in range(2):
    start = time.process_time()
    reckon(run)
    took.append(time.process_time() - start)
print(json.dumps(took))
"""


class FootprintCost(NamedTuple):
    """CPU time of a footprint: the first of a process, which opens its tables, and the next."""

    first_s: float
    next_s: float


def footprint_cost(zone: str, *, tries: int = 3) -> FootprintCost:
    """CPU time of the whole footprint of a day at 1 Hz with eight boards in *zone* [s]."""
    found = [json.loads(python(DAY, env=environment(), arguments=[zone])) for _ in range(tries)]
    return FootprintCost(*(min(column) for column in zip(*found, strict=True)))


ENDING = """
import os, sys
pid = os.fork()
if not pid:
    words = ["run", *sys.argv[1:], "--", sys.executable, "-c", "import time; time.sleep(0.2)"]
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os.execv(sys.executable, [sys.executable, "-m", "submeter", *words])
_, status, used = os.wait4(pid, 0)
assert status == 0, status
print(used.ru_utime + used.ru_stime)
"""


def summary_cpu_s(home: Path, zone: str = "DE", *, tries: int = 6) -> float:
    """CPU time that the summary at the end of ``submeter run`` costs, cold [s].

    Best against best of runs with it and with ``--quiet``.
    """
    env = environment(home)
    told, quiet = [], []
    for _ in range(tries):
        place = ["--zone", zone]
        quiet.append(float(python(ENDING, env=env, arguments=[*place, "--quiet"])))
        told.append(float(python(ENDING, env=env, arguments=place)))
    return min(told) - min(quiet)


class Load(NamedTuple):
    """What a running process costs: part of one core, and memory of its own."""

    core_ratio: float
    resident_bytes: int
    waking_ratio: float = 0.0  # of it, what a process is charged that only wakes as often

    @property
    def own_ratio(self) -> float:
        """Part of one core that goes into work."""
        return self.core_ratio - self.waking_ratio


def cpu_time_s(pid: int) -> float:
    """CPU time that all threads of *pid* have used so far [s]."""
    total_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            total_ns += int((task / "schedstat").read_text().split()[0])
    return total_ns / 1e9


def resident_bytes(pid: int) -> int:
    """Memory of *pid* that is in RAM now, at its highest so far [bytes]."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/{pid}/status has no VmHWM")


def load_of(
    pid: int, *, interval_s: float, watch_s: float, windows: int = 3, enough_ratio: float = 0.0
) -> Load:
    """Load of *pid*, a collector at *interval_s*, and of a process that only wakes as often.

    Both are watched in the same windows of *watch_s*, since neighbours on the machine take caches
    and clock from both; the calmest window of each counts. After three windows no more are taken
    once the difference is at most *enough_ratio*.
    """
    best = [float("inf"), float("inf")]
    with only_waking(interval_s) as waking_pid:
        for window in range(windows):
            if window > 2 and best[0] - best[1] <= enough_ratio:
                break
            pids = (pid, waking_pid)
            before_s, start_s = [cpu_time_s(p) for p in pids], time.monotonic()
            time.sleep(watch_s)  # the watched processes work meanwhile
            watched_s = time.monotonic() - start_s
            for i, p in enumerate(pids):
                best[i] = min(best[i], (cpu_time_s(p) - before_s[i]) / watched_s)
    return Load(best[0], resident_bytes(pid), best[1])


# What a meter cannot do without, and nothing else: a thread that wakes at each tick, one that is
# told to read, and one that appends a second's bytes and syncs them.
WAKES = """
import os, select, sys, tempfile, threading, time
from _queue import SimpleQueue
interval_s = float(sys.argv[1])
file, poll = tempfile.TemporaryFile(), select.poll()
poll.register(0)
read, write = SimpleQueue(), SimpleQueue()
def reader():
    while True:
        read.get()
def writer():
    while data := write.get():
        os.write(file.fileno(), data)
        os.fsync(file.fileno())
for work in (reader, writer):
    threading.Thread(target=work, daemon=True).start()
print("ready", flush=True)
tick_s = synced_s = time.monotonic()
while not poll.poll(max(0.0, 1e3 * (tick_s - time.monotonic()))):
    tick_s += interval_s
    read.put(None)
    if tick_s - synced_s >= 1:
        synced_s = tick_s
        write.put(bytes(700))
"""


@contextlib.contextmanager
def only_waking(interval_s: float) -> Iterator[int]:
    """A process that wakes and syncs like a collector and does nothing else; yields its pid.

    It is what the machine charges for waking: next to nothing on bare metal, and in a small
    virtual machine as much as the budget of the collector.
    """
    command = [sys.executable, "-I", "-c", WAKES, str(interval_s)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.communicate()


@contextlib.contextmanager
def variables(extra: Mapping[str, str]) -> Iterator[None]:
    """Environment variables that children inherit while this lasts."""
    before = {name: os.environ.get(name) for name in extra}
    os.environ.update(extra)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def budget_machine(folder: Path) -> Iterator[Any]:
    """One board and two zones under a changing load, as long as this lasts."""
    from submeter.testing.machine import FakeMachine
    from submeter.testing.waveforms import constant, square

    machine = FakeMachine(folder)
    package = machine.add_package(square(0.5, 60.0, 180.0))
    machine.add_dram(package, constant(12.0))
    machine.add_board(square(0.5, 100.0, 350.0))
    try:
        with machine.installed(), variables(machine.env()), machine.live(period_s=0.01):
            yield machine
    finally:
        machine.close()


def order_for(machine: Any, home: Path, *, interval_s: float) -> Any:
    """An order to meter this very process on *machine* (a `submeter.testing.FakeMachine`)."""
    from submeter.collecting.order import Order
    from submeter.storing.places import new_run_id, run_folder

    run_id = new_run_id(time.time_ns())
    folder = run_folder(home, run_id)
    folder.mkdir(parents=True, exist_ok=True)
    return Order(
        run_id=run_id,
        folder=str(folder),
        ledger=str(home / "ledger.db"),
        leader_pid=os.getpid(),
        owner_pid=os.getpid(),
        interval_s=interval_s,
        utc_ns=time.time_ns(),
        t_ns=time.monotonic_ns(),
        name="budget",
        sys_root=str(machine.sys),
        proc_root="/proc",
    )


@contextlib.contextmanager
def collecting(machine: Any, home: Path, *, interval_s: float) -> Iterator[int]:
    """A real collector at work on *machine*; yields its pid."""
    from submeter.records.frames import End
    from submeter.running.collectors import start_collector

    handle = start_collector(order_for(machine, home, interval_s=interval_s))
    handle.started(time.monotonic_ns(), os.getpid())
    try:
        yield handle.pid
    finally:
        handle.stop(End(time.monotonic_ns(), "finished", 0))
        handle.wait_settled(10)
