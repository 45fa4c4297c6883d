# SPDX-License-Identifier: Apache-2.0
"""NVIDIA boards, through the real bindings and a fake driver library."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from submeter.records import Measures, Missing
from submeter.records.devices import Tenancy
from submeter.sensors.boards import Boards, discover_boards
from submeter.sensors.nvml import NvmlSensor
from submeter.testing import Board, BoardProcess, FakeDriver, board_of, constant
from tests.sensors.kernel_tree import Tree

ALL = [
    Measures.ENERGY,
    Measures.POWER,
    Measures.UTILISATION,
    Measures.TEMPERATURE,
    Measures.CLOCK,
    Measures.CAP,
    Measures.THROTTLE,
]


class Machine:
    """Boards behind a driver, and one clock for both."""

    def __init__(self, driver: FakeDriver, proc: Path) -> None:
        self.driver = driver
        self.proc = proc
        self.t_s = 0.0
        self.found = Boards()

    def look(self, mask: str | None = None, *, order: str | None = None) -> Boards:
        self.found = discover_boards(
            host="here", proc_root=self.proc, visible_devices=mask, device_order=order
        )
        for sensor in self.found.sensors:
            sensor._now_ns = self.now_ns
        return self.found

    def now_ns(self) -> int:
        return round(self.t_s * 1e9)

    def at(self, t_s: float) -> None:
        self.t_s = t_s
        self.driver.at(t_s)

    def read(self, t_s: float, board: int = 0) -> dict[Measures, int | Missing]:
        self.at(t_s)
        sensor = self.found.sensors[board]
        return dict(zip((c.measures for c in sensor.channels), sensor.read(), strict=True))


MakeMachine = Callable[..., Machine]


@pytest.fixture
def machine(tmp_path: Path, tree: Tree) -> Iterator[MakeMachine]:
    made: list[Machine] = []
    stack = []

    def make(*boards: Board, init_code: int = 0) -> Machine:
        driver = FakeDriver(tmp_path / "driver", boards, init_code=init_code)
        installed = driver.installed()
        installed.__enter__()
        stack.append(installed)
        made.append(Machine(driver, tree.proc))
        return made[-1]

    yield make
    for each in made:
        for sensor in each.found.sensors:
            sensor.close()
        if each.found.driver is not None:
            each.found.driver.close()
    for installed in stack:
        installed.__exit__(None, None, None)
    for each in made:
        each.driver.close()


def kinds(sensor: NvmlSensor) -> list[Measures]:
    return [c.measures for c in sensor.channels]


def test_a_board_tells_everything_in_the_agreed_order(machine: MakeMachine) -> None:
    m = machine(board_of("A100", constant(300.0)))
    (sensor,) = m.look().sensors
    assert kinds(sensor) == ALL
    assert sensor.device.id == f"gpu:{m.driver.boards[0].uuid}"
    assert sensor.device.peak_w == 400
    energy, power, *_ = sensor.channels
    assert energy.peak_w == power.peak_w == 600
    assert energy.scale == power.scale == 1e-3
    assert energy.terms == power.terms
    assert energy.terms[0].shape == "uniform"
    assert sensor.device.id.removeprefix("gpu:") in energy.terms[0].source_key
    values = m.read(10.0)
    assert values[Measures.ENERGY] == 123_456_789 + 3_000_000
    assert values[Measures.POWER] == 300_000
    assert values[Measures.CAP] == 400_000
    assert values[Measures.TEMPERATURE] == 55


@pytest.mark.parametrize(
    ("profile", "instant_code", "window_s", "duty", "way"),
    [
        ("A100", 0, 0.025, 0.25, "186"),
        ("A100", 3, 0.025, 0.25, "nvmlDeviceGetPowerUsage"),
        ("RTX 3090", 0, 0.1, 1.0, "186"),
        ("RTX 3090", 3, 1.0, 1.0, "nvmlDeviceGetPowerUsage"),
        ("H100", 0, 0.025, 0.25, "186"),
        ("P100", 0, 0.01, 0.5, "186"),
    ],
)
def test_the_power_channel_says_how_it_was_read_and_what_that_averages(
    machine: MakeMachine, profile: str, instant_code: int, window_s: float, duty: float, way: str
) -> None:
    m = machine(board_of(profile, constant(100.0), instant_code=instant_code))
    (sensor,) = m.look().sensors
    (power,) = [c for c in sensor.channels if c.measures is Measures.POWER]
    assert way in power.source
    assert power.window_s == pytest.approx(window_s, rel=0.1)
    assert power.duty == pytest.approx(duty, abs=0.04)


def test_a26_without_an_energy_counter_power_is_read(machine: MakeMachine) -> None:
    m = machine(board_of("P100", constant(120.0)))
    found = m.look()
    (sensor,) = found.sensors
    assert kinds(sensor) == ALL[1:]
    assert m.read(1.0)[Measures.POWER] == 120_000
    assert "power readings, integrated" in found.findings[0].text
    assert found.findings[0].state == "measured"


def test_a_board_that_tells_no_energy_at_all_is_absent(machine: MakeMachine) -> None:
    m = machine(Board(energy_code=3, power_code=3, instant_code=3))
    (finding,) = m.look().findings
    assert finding.state == "absent"
    assert "neither energy nor power" in finding.text


def test_eight_boards_are_told_by_uuid(machine: MakeMachine) -> None:
    m = machine(*(board_of("A100", constant(100.0 + n)) for n in range(8)))
    found = m.look()
    assert [d.id for d in found.devices] == [f"gpu:{b.uuid}" for b in m.driver.boards]
    assert found.findings[0].text == "8 × NVIDIA A100-SXM4-80GB, energy counter"
    m.at(1.0)
    assert [s.read()[1] for s in found.sensors] == [100_000 + 1000 * n for n in range(8)]


def test_what_changes_slowly_is_asked_for_every_five_seconds(machine: MakeMachine) -> None:
    m = machine(board_of("A100", constant(300.0)))
    m.look()
    m.read(0.0)
    before = m.driver.calls()[os.getpid()].calls
    for tick in range(1, 10):
        assert m.read(tick / 10)[Measures.TEMPERATURE] == 55
    assert m.driver.calls()[os.getpid()].calls - before == 9 * 2
    m.driver.boards[0].temperature_c = 71
    m.driver.update()
    assert m.read(4.95)[Measures.TEMPERATURE] == 55
    assert m.read(5.05)[Measures.TEMPERATURE] == 71


# -- absent, refused -------------------------------------------------------------------------

LOOK = """
import sys
from submeter.sensors.boards import discover_boards
found = discover_boards(host="here")
for f in found.findings:
    print(f.state, f.text, f.remedy, sep="|")
print(len(found.sensors), "pynvml" in sys.modules)
"""


def looked(**env: str) -> list[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SUBMETER", "LD_LIBRARY"))}
    done = subprocess.run(
        [sys.executable, "-c", LOOK],
        capture_output=True,
        text=True,
        check=True,
        env={**clean, "PYTHONPATH": os.pathsep.join(sys.path), **env},
    )
    assert not done.stderr
    return done.stdout.splitlines()


def test_a21_without_the_driver_library_there_is_one_line_and_no_bindings(tmp_path: Path) -> None:
    if Path("/proc/driver/nvidia").exists():
        pytest.skip("there is a real driver here")
    assert looked(LD_LIBRARY_PATH=str(tmp_path)) == [
        "absent|NVIDIA driver library not found|",
        "0 False",
    ]


def test_a22_a_library_that_is_none_is_left_out_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "libnvidia-ml.so.1").write_text("no library at all")
    finding, loaded = looked(LD_LIBRARY_PATH=str(tmp_path))
    assert finding.startswith("refused|NVIDIA driver library cannot be loaded: ")
    assert loaded == "0 False"


@pytest.mark.parametrize(
    ("code", "text", "remedy"),
    [
        (9, "NVIDIA driver not loaded (NVML error 9)", "sudo modprobe nvidia"),
        (
            18,
            "driver and its library are of different versions (NVML error 18)",
            "restart the machine, so that the driver matches its library",
        ),
    ],
)
def test_a22_a_driver_that_refuses_is_left_out_with_its_reason(
    tmp_path: Path, code: int, text: str, remedy: str
) -> None:
    driver = FakeDriver(tmp_path / "driver", [Board()], init_code=code)
    assert looked(**driver.env()) == [f"refused|{text}|{remedy}", "0 True"]
    driver.close()


def test_a_driver_without_boards_says_so(machine: MakeMachine) -> None:
    (finding,) = machine().look().findings
    assert (finding.state, finding.text) == ("absent", "NVIDIA driver without a board")


def test_a23_a_board_that_is_lost_at_the_start_leaves_the_others(machine: MakeMachine) -> None:
    m = machine(Board(lost_at_s=0.0), Board())
    m.at(1.0)
    found = m.look()
    assert [s.uuid for s in found.sensors] == [m.driver.boards[1].uuid]
    assert any("GPU is lost (NVML error 15)" in f.text for f in found.findings)


# -- lost and found --------------------------------------------------------------------------


def test_a23_a_lost_board_is_missing_while_the_others_go_on(machine: MakeMachine) -> None:
    m = machine(Board(lost_at_s=3.0), Board())
    m.look()
    assert m.read(2.9)[Measures.ENERGY] == 123_456_789 + 290_000
    inits = m.driver.calls()[os.getpid()].inits
    for tick in range(30, 600):
        lost, other = m.read(tick / 10, 0), m.read(tick / 10, 1)
        assert set(lost.values()) == {Missing("GPU is lost (NVML error 15)")}
        assert other[Measures.POWER] == 100_000
    # Growing pauses: 1, 2, 4, 8, 16, 32 s; the first of them spares the others.
    assert 1 <= m.driver.calls()[os.getpid()].inits - inits <= 6


def test_a23_a_lost_board_that_comes_back_is_read_again(machine: MakeMachine) -> None:
    m = machine(Board(lost_at_s=3.0, lost_until_s=10.0))
    m.look()
    seen = [m.read(tick / 10)[Measures.ENERGY] for tick in range(400)]
    good = [n for n, value in enumerate(seen) if not isinstance(value, Missing)]
    back = min(n for n in good if n >= 30)
    assert 100 <= back <= 200
    assert good == [*range(30), *range(back, 400)]
    assert seen[399] == 123_456_789 + 3_990_000


def test_a24_after_a_driver_reload_handles_are_made_anew(machine: MakeMachine) -> None:
    m = machine(Board(reload_at_s=2.0), Board(uuid="GPU-other", reload_at_s=2.0))
    m.look()
    before = m.read(1.9)[Measures.ENERGY]
    assert m.read(2.0)[Measures.ENERGY] == Missing("GPU requires a reset (NVML error 16)")
    m.read(2.0, 1)
    after = [m.read(2 + tick / 10)[Measures.ENERGY] for tick in range(1, 40)]
    counted = [v for v in after if isinstance(v, int)]
    assert isinstance(before, int)
    assert counted, "the board never came back"
    assert max(counted) < before  # the driver counts from 0 again; what that means is told later
    assert counted == sorted(counted)
    others = [m.read(6 + tick / 10, 1)[Measures.POWER] for tick in range(40)]
    assert others[-1] == 100_000


def test_a24_a_driver_that_is_gone_for_a_while_is_no_error(machine: MakeMachine) -> None:
    m = machine(Board(reload_at_s=2.0))
    m.look()
    m.read(1.0)
    m.driver.set_init_code(9)
    reasons = {v.why for t in range(20, 80) for v in m.read(t / 10).values() if type(v) is Missing}
    assert reasons == {
        "GPU requires a reset (NVML error 16)",
        "NVIDIA driver not loaded (NVML error 9)",
    }
    m.driver.set_init_code(0)
    assert m.read(60.0)[Measures.POWER] == 100_000


def test_a_closed_sensor_stays_closed(machine: MakeMachine) -> None:
    m = machine(Board())
    found = m.look()
    (sensor,) = found.sensors
    sensor.close()
    assert found.driver is not None
    found.driver.close()
    assert set(m.read(1e6).values()) == {Missing("closed")}


def test_c11_a_forked_child_initialises_for_itself(machine: MakeMachine) -> None:
    m = machine(Board())
    m.look()
    m.read(1.0)
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        values = list(m.read(2.0).values())
        os.write(into, repr(values[0]).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(out, 64)) == 123_456_789 + 200_000
    assert m.driver.calls()[child].inits == 1
    assert m.driver.calls()[os.getpid()].inits == 1
    assert m.read(3.0)[Measures.ENERGY] == 123_456_789 + 300_000
    os.close(out)
    os.close(into)


def test_c11_cuda_is_never_loaded(machine: MakeMachine) -> None:
    before = cuda_libraries()  # a framework that another test imported may bring its own
    m = machine(Board())
    m.look("0")
    m.read(1.0)
    m.found.sensors[0].tenancy({1})
    assert cuda_libraries() <= before


def cuda_libraries() -> set[str]:
    """Files of CUDA's driver and runtime that this process has mapped."""
    rows = (line.split() for line in Path("/proc/self/maps").read_text().splitlines())
    return {row[-1] for row in rows if "libcuda" in row[-1].rpartition("/")[2]}


# -- whose board ------------------------------------------------------------------------------


def shared(make: MakeMachine, *processes: BoardProcess, **quirks: Any) -> Callable[..., Tenancy]:
    m = make(Board(processes=list(processes), **quirks))
    m.look()
    m.at(1.0)
    return lambda *pids: m.found.sensors[0].tenancy(set(pids))


def test_a_board_with_the_run_alone_is_wholly_the_runs(machine: MakeMachine) -> None:
    ask = shared(machine, BoardProcess(10), BoardProcess(11))
    assert ask(10, 11, 12) == Tenancy(1.0, (10, 11), "alone")


def test_an_idle_board_is_by_allocation_the_runs(machine: MakeMachine) -> None:
    assert shared(machine)(10) == Tenancy(1.0, (), "idle")


def test_a_board_of_others_is_not_the_runs(machine: MakeMachine) -> None:
    assert shared(machine, BoardProcess(99))(10) == Tenancy(0.0, (), "others only")


def test_a_shared_board_is_split_by_utilisation(machine: MakeMachine) -> None:
    ask = shared(machine, BoardProcess(10, sm_ratio=0.6), BoardProcess(99, sm_ratio=0.2))
    assert ask(10) == Tenancy(0.75, (10,), "by utilisation")


def test_a_shared_board_without_new_samples_is_split_by_heads(machine: MakeMachine) -> None:
    ask = shared(machine, BoardProcess(10), BoardProcess(11), BoardProcess(99))
    ask(10, 11)
    assert ask(10, 11) == Tenancy(2 / 3, (10, 11), "equal parts")


def test_a_window_system_is_no_half_of_the_work(machine: MakeMachine) -> None:
    ask = shared(
        machine, BoardProcess(10, sm_ratio=0.0), BoardProcess(7, sm_ratio=0.0, graphics=True)
    )
    assert ask(10) == Tenancy(1.0, (10,), "equal parts")


def test_processes_that_cannot_be_listed_leave_the_share_unknown(machine: MakeMachine) -> None:
    ask = shared(machine, BoardProcess(10), processes_code=4)
    assert isinstance(ask(10).run_share_ratio, Missing)


def test_a27_under_mig_a_board_shared_with_others_has_no_known_share(machine: MakeMachine) -> None:
    ask = shared(machine, BoardProcess(10, mig=0), BoardProcess(99, mig=1), mig_instances=2)
    tenancy = ask(10)
    assert isinstance(tenancy.run_share_ratio, Missing)
    assert "MIG" in tenancy.run_share_ratio.why
    assert tenancy.pids == (10,)


def test_a27_under_mig_the_only_user_has_the_whole_board(machine: MakeMachine) -> None:
    ask = shared(machine, BoardProcess(10, mig=0), mig_instances=2)
    assert ask(10) == Tenancy(1.0, (10,), "alone")


def test_a27_under_mig_energy_is_read_and_utilisation_left_out(machine: MakeMachine) -> None:
    m = machine(Board(mig_instances=2))
    found = m.look()
    assert kinds(found.sensors[0]) == [c for c in ALL if c is not Measures.UTILISATION]
    assert "MIG on" in found.findings[0].text


def test_a_container_sees_process_ids_of_the_host(machine: MakeMachine, tree: Tree) -> None:
    m = machine(Board(processes=[BoardProcess(4_000_001)]))
    m.look()
    m.at(1.0)
    namespace = tree.proc / "self/ns/pid"
    namespace.parent.mkdir(parents=True)
    namespace.symlink_to("pid:[4026532999]")
    assert m.found.sensors[0].tenancy({10}) == Tenancy(1.0, (), "by allocation")
    namespace.unlink()
    namespace.symlink_to("pid:[4026531836]")
    assert m.found.sensors[0].tenancy({10}) == Tenancy(0.0, (), "others only")


def test_a25_a_board_outside_the_mask_is_metered_and_not_the_runs(machine: MakeMachine) -> None:
    m = machine(Board(), Board(processes=[BoardProcess(10)]))
    found = m.look("0")
    assert found.mask == (f"gpu:{m.driver.boards[0].uuid}",)
    m.at(1.0)
    shares = [s.tenancy({10}) for s in found.sensors]
    assert [s.how for s in shares] == ["idle", "not in this run's mask"]
    assert shares[1].run_share_ratio == 0.0


@pytest.mark.parametrize("mask", ["", "-1", "NoDevFiles"])
def test_a25_a_mask_that_hides_everything(machine: MakeMachine, mask: str) -> None:
    m = machine(Board())
    assert m.look(mask).mask == ()


def test_a25_mig_instances_in_the_mask_name_their_board(machine: MakeMachine) -> None:
    m = machine(Board(), Board(mig_instances=3))
    board = m.driver.boards[1]
    assert m.look(board.mig_uuids[2]).mask == (f"gpu:{board.uuid}",)
    assert m.look(f"MIG-{board.uuid}/2/0").mask == (f"gpu:{board.uuid}",)
