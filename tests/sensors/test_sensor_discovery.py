# SPDX-License-Identifier: Apache-2.0
"""What is found on whole machines, and how it is said."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from submeter.records import DeviceKind, Measures
from submeter.sensors import Discovery, Finding, Roots, discover
from submeter.testing import Board, FakeMachine, constant
from tests.sensors.kernel_tree import Tree


def said(found: Discovery, part: str) -> list[Finding]:
    return [f for f in found.findings if f.part == part]


def kinds(found: Discovery) -> list[DeviceKind]:
    return [d.kind for d in found.devices]


def test_a_server_with_everything(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path)
    package = machine.add_package(constant(100.0))
    machine.add_dram(package, constant(10.0))
    machine.add_part(package, "core", constant(80.0))
    machine.add_mmio_twin(package)
    machine.add_psys(constant(200.0))
    machine.add_board(constant(300.0))
    try:
        with machine.installed():
            sys_root, proc_root, nvml = machine.roots()
            found = discover(Roots(sys_root, proc_root, nvml))
            assert [d.id for d in found.devices if d.kind is not DeviceKind.REST] == [
                f"gpu:{machine.boards[0].uuid}",
                "cpu:0",
                "dram:0",
                "node:psys",
            ]
            machine.at(0.0)
            before = [list(s.read()) for s in found.sensors]
            machine.at(10.0)
            after = [list(s.read()) for s in found.sensors]
            used = {}
            for sensor, a, b in zip(found.sensors, before, after, strict=True):
                channel = sensor.channels[0]
                if channel.measures is Measures.ENERGY:
                    assert isinstance(a[0], int)
                    assert isinstance(b[0], int)
                    used[sensor.device.kind] = (b[0] - a[0]) * channel.scale
            assert used == {
                DeviceKind.GPU: pytest.approx(3000, rel=1e-4),
                DeviceKind.CPU: pytest.approx(1000, rel=1e-4),
                DeviceKind.DRAM: pytest.approx(100, rel=1e-4),
                DeviceKind.NODE: pytest.approx(2000, rel=1e-4),
            }
            assert {f.part for f in found.findings if f.state == "measured"} == {
                "GPU",
                "CPU",
                "DRAM",
                "node",
            }
            found.close()
    finally:
        machine.close()


def test_a_guest_without_counters_is_modelled_and_says_why(tree: Tree) -> None:
    tree.cpus(2, guest=True)
    tree.memory()
    tree.stat()
    found = discover(tree.roots())
    (cpu,) = said(found, "CPU")
    assert cpu.state == "modelled"
    assert cpu.text.endswith("; no power counter in this guest")
    assert cpu.remedy == "ask the host to pass RAPL through: docs/guests.md"
    assert cpu.interval_ratio is not None
    assert kinds(found) == [DeviceKind.CPU, DeviceKind.DRAM, DeviceKind.REST]
    assert found.use is not None
    assert found.machine["virtualisation"] == "virtual machine"


def test_metal_without_the_module_says_which_one(tree: Tree) -> None:
    tree.cpus(8, sockets=2)
    tree.stat()
    (cpu,) = said(discover(tree.roots()), "CPU")
    assert cpu.state == "modelled"
    assert cpu.remedy == "sudo modprobe intel_rapl_msr"


def test_what_a_counter_tells_is_not_modelled_too(tree: Tree) -> None:
    tree.cpus(8)
    tree.memory()
    tree.stat()
    tree.zone("intel-rapl:0", "package-0")
    found = discover(tree.roots())
    assert [f.state for f in said(found, "CPU")] == ["measured"]
    assert [f.state for f in said(found, "DRAM")] == ["modelled"]
    assert len([s for s in found.sensors if s.device.kind is DeviceKind.CPU]) == 1


def test_a11_a_refused_counter_becomes_a_model_that_names_it(tree: Tree) -> None:
    tree.cpus(8)
    tree.stat()
    zone = tree.zone("intel-rapl:0", "package-0")
    (zone / "energy_uj").unlink()
    (zone / "energy_uj").symlink_to("/proc/sys/vm/compact_memory")  # nobody may read it
    refused, modelled = said(discover(tree.roots()), "CPU")
    assert (refused.state, modelled.state) == ("refused", "modelled")
    assert refused.text == f"{zone}/energy_uj is readable by root only"
    assert refused.remedy == "submeter doctor --fix rapl"
    assert modelled.text.endswith(refused.text)


def test_a28_a_dead_counter_of_an_amd_guest_gives_way_to_a_model(tree: Tree) -> None:
    tree.cpus(4, guest=True, vendor="AuthenticAMD", model="AMD EPYC 7763 64-Core Processor")
    tree.stat()
    tree.zone("intel-rapl:0", "package-0", energy_uj=0)
    dead, modelled = said(discover(tree.roots()), "CPU")
    assert (dead.state, modelled.state) == ("absent", "modelled")
    assert "stands at zero" in dead.text


def test_a_socket_without_a_counter_is_told(tree: Tree) -> None:
    tree.cpus(8, sockets=2)
    tree.stat()
    tree.zone("intel-rapl:0", "package-0")
    measured, absent = said(discover(tree.roots()), "CPU")
    assert measured.state == "measured"
    assert absent.text == "1 of 2 sockets without a counter, not metered"


def test_e04_a_masked_stat_costs_the_share_only(tree: Tree) -> None:
    tree.cpus(8)
    tree.write("stat", "")
    tree.zone("intel-rapl:0", "package-0")
    tree.write("self/cgroup", "")
    found = discover(tree.roots())
    assert any("share of the processors unknown" in f.text for f in said(found, "CPU"))
    assert found.use is not None
    assert [s.read() for s in found.sensors if s.device.id == "cpu:0"] == [(5_000_000,)]


def test_e05_without_proc_and_sys_nothing_raises(tmp_path: Path) -> None:
    nowhere = Roots(tmp_path / "sys", tmp_path / "proc", nvml=False)
    found = discover(nowhere)
    assert found.use is None
    assert [s.device.kind for s in found.sensors if s.device.kind is DeviceKind.DRAM] == []
    assert {f.state for f in found.findings} <= {"absent", "modelled", "assumed"}
    assert found.cpu_allocation_ratio == 1.0
    for sensor in found.sensors:
        sensor.read()
    found.close()


def test_e07_a_quota_is_the_runs_part_of_the_machine(tree: Tree) -> None:
    tree.cpus(4)
    tree.memory(16 * 1024 * 1024)
    tree.write("fs/cgroup/cgroup.controllers", "cpu memory\n")
    tree.write("self/cgroup", "0::/job\n")
    tree.write("fs/cgroup/job/cpu.max", "10000 100000\n")
    tree.write("fs/cgroup/job/memory.max", f"{4 * 2**30}\n")
    found = discover(tree.roots())
    assert found.cpu_allocation_ratio == pytest.approx(0.1 / 4)
    assert found.memory_allocation_ratio == 0.25
    assert found.machine["cgroup"] == "v2"


def test_an_affinity_is_an_allotment_too(tree: Tree) -> None:
    tree.cpus(8)
    tree.write("self/status", "Name:\tpython\nCpus_allowed_list:\t0-1\n")
    assert discover(tree.roots()).cpu_allocation_ratio == 0.25


@pytest.mark.parametrize(
    ("firmware", "guest", "called"),
    [
        ("QEMU", True, "KVM"),
        ("Amazon EC2", True, "Amazon EC2"),
        ("Amazon EC2", False, "Amazon EC2"),  # ARM: no flag
        ("Dell Inc.", False, ""),
        ("Microsoft Corporation", False, ""),  # a laptop of that maker
        ("Somebody", True, "virtual machine"),
    ],
)
def test_a_guest_is_told_from_metal(tree: Tree, firmware: str, guest: bool, called: str) -> None:  # noqa: FBT001
    tree.cpus(2, guest=guest)
    tree.write("class/dmi/id/sys_vendor", firmware)
    assert discover(tree.roots()).machine.get("virtualisation", "") == called


def test_metal_in_a_cloud_is_metal(tree: Tree) -> None:
    tree.cpus(2)
    tree.write("class/dmi/id/sys_vendor", "Amazon EC2")
    tree.write("class/dmi/id/product_name", "c7g.metal")
    assert "virtualisation" not in discover(tree.roots()).machine


def test_a25_the_mask_of_the_run_is_told_by_device(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path)
    for _ in range(3):
        machine.boards.append(Board())
    try:
        with machine.installed():
            sys_root, proc_root, nvml = machine.roots()
            found = discover(Roots(sys_root, proc_root, nvml), visible_devices="2,0")
            ids = [f"gpu:{b.uuid}" for b in machine.boards]
            assert found.gpu_mask == (ids[2], ids[0])
            assert "gives 2 of 3 boards" in said(found, "GPU")[1].text
            found.close()
    finally:
        machine.close()


FILES = (
    "stat",
    "cpuinfo",
    "meminfo",
    "self/cgroup",
    "self/status",
    "sys/kernel/hostname",
    "class/powercap/intel-rapl:0/name",
    "class/powercap/intel-rapl:0/energy_uj",
    "class/powercap/intel-rapl:0/max_energy_range_uj",
    "class/powercap/intel-rapl:0/constraint_0_power_limit_uw",
    "class/dmi/id/sys_vendor",
    "fs/cgroup/cgroup.controllers",
    "fs/cgroup/cpu.max",
    "fs/cgroup/memory.max",
)
NOISE = st.binary(max_size=60) | st.text("0123456789 -.,:/cpuMemTotalpackage\n").map(str.encode)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(st.dictionaries(st.sampled_from(FILES), NOISE))
def test_whatever_the_files_hold_nothing_raises(noise: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tree = Tree(Path(folder) / "machine")
        tree.cpus()
        tree.memory()
        tree.stat()
        tree.zone("intel-rapl:0", "package-0")
        for path, content in noise.items():
            tree.write(path, "").write_bytes(content)
        found = discover(tree.roots())
        for sensor in found.sensors:
            sensor.read()
        found.close()
        assert 0 < found.cpu_allocation_ratio <= 1
        assert 0 < found.memory_allocation_ratio <= 1


ELSEWHERE = """
import sys
sys.platform = "darwin"
import os
del os.O_NONBLOCK, os.sysconf, os.uname
import platform
platform.system = lambda: "Darwin"
from pathlib import Path
from submeter.sensors import Roots, discover
import submeter.sensors.discovery as d
gone = Path(sys.argv[1])
d.Path = lambda p: gone if str(p) == "/proc" else Path(p)
found = discover(Roots(sys=gone, proc=gone, nvml=False))
print(*(f"{f.part}: {f.text}" for f in found.findings), sep="\\n")
"""


def test_elsewhere_than_on_linux_it_says_what_is_missing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(tmp_path / "gone")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert "node: Darwin shows no processor time and no energy counter to us" in done.stdout


def test_the_bindings_are_not_loaded_where_there_is_no_driver() -> None:
    if Path("/proc/driver/nvidia").exists():
        pytest.skip("there is a real driver here")
    code = "import sys, submeter.sensors as s; s.discover(); print(sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    loaded = set(done.stdout.replace("'", "").strip("[]\n").split(", "))
    assert "submeter.sensors.nvml" in loaded
    assert not loaded & {"pynvml", "asyncio", "rich", "click", "importlib.metadata", "numpy"}
