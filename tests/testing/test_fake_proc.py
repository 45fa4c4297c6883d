# SPDX-License-Identifier: Apache-2.0
"""The fake /proc and its control groups."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from submeter.testing import FakeMachine, constant, square
from submeter.testing.procfs import USER_HZ, Cgroups, Processors


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[FakeMachine]:
    machine = FakeMachine(
        tmp_path / "machine",
        processors=Processors(sockets=2, cores_per_socket=2, threads_per_core=2),
        other_cores=constant(0.5),
        steal_cores=constant(0.25),
    )
    yield machine
    machine.close()


def cpu_ticks(machine: FakeMachine, name: str = "cpu") -> list[int]:
    for line in (machine.proc / "stat").read_text().splitlines():
        words = line.split()
        if words[0] == name:
            return [int(word) for word in words[1:]]
    raise AssertionError(f"no line {name}")


def stat(machine: FakeMachine, pid: int) -> list[str]:
    """Fields behind the name, which may hold anything; [0] is the state, field 3."""
    return (machine.proc / str(pid) / "stat").read_text().rpartition(") ")[2].split()


def test_the_machine_says_what_it_is(machine: FakeMachine) -> None:
    info = (machine.proc / "cpuinfo").read_text()
    assert info.count("processor\t:") == 8
    assert info.count("physical id\t: 1") == 4
    assert "hypervisor" not in info
    assert "MemTotal:       67108864 kB" in (machine.proc / "meminfo").read_text()
    assert (machine.sys / "devices/system/cpu/online").read_text() == "0-7\n"
    package = machine.sys / "devices/system/cpu/cpu2/topology/physical_package_id"
    assert package.read_text() == "1\n"
    assert (machine.proc / "sys/kernel/hostname").read_text() == "fake\n"


def test_busy_and_stolen_time_are_what_was_used(machine: FakeMachine) -> None:
    machine.add_process(100, cores=square(1, 0, 4))
    machine.at(0)
    before = cpu_ticks(machine)
    machine.at(50)
    used = [after - old for after, old in zip(cpu_ticks(machine), before, strict=True)]
    busy_s = (0.5 + 2) * 50
    assert used[0] + used[2] == busy_s * USER_HZ
    assert used[7] == 0.25 * 50 * USER_HZ
    assert sum(used) == pytest.approx(8 * 50 * USER_HZ, abs=1)
    each = [cpu_ticks(machine, f"cpu{n}") for n in range(8)]
    assert sum(line[0] + line[2] for line in each) == pytest.approx(busy_s * USER_HZ, abs=8)
    assert machine.processes.busy_s(50) == busy_s


def test_the_time_of_ended_children_is_their_parents(machine: FakeMachine) -> None:
    machine.add_process(100, cores=constant(1))
    machine.add_process(101, ppid=100, cores=constant(2), start_s=1, end_s=5)
    machine.add_process(102, ppid=101, cores=constant(1), start_s=2, end_s=4)
    machine.at(4.5)
    assert not (machine.proc / "102").exists()
    child = stat(machine, 101)
    assert [int(child[i]) for i in (11, 12)] == [630, 70]
    assert int(child[13]) + int(child[14]) == 200
    machine.at(6)
    parent = stat(machine, 100)
    assert int(parent[11]) + int(parent[12]) == 600
    assert int(parent[13]) + int(parent[14]) == 800 + 200
    assert (machine.proc / "100/task/100/children").read_text() == ""


def test_orphans_go_to_init_and_zombies_stay(machine: FakeMachine) -> None:
    machine.add_process(100, end_s=5)
    machine.add_process(101, ppid=100)
    machine.add_process(102, ppid=1, end_s=5, reaped=False)
    assert (machine.proc / "100/task/100/children").read_text() == "101 "
    assert stat(machine, 101)[1] == "100"
    machine.at(6)
    assert stat(machine, 101)[1] == "1"
    zombie = stat(machine, 102)
    assert zombie[0] == "Z"
    assert int(zombie[11]) + int(zombie[12]) == 500


def test_a_process_shows_its_words(machine: FakeMachine) -> None:
    machine.add_process(
        7, comm="a b) (c", argv=("python", "x y.py"), environ={"RANK": "3"}, start_s=2, threads=9
    )
    assert not (machine.proc / "7").exists()
    machine.at(2)
    fields = stat(machine, 7)
    assert len(fields) == 50
    assert fields[17] == "9"
    assert fields[19] == str(40_002 * USER_HZ)
    assert (machine.proc / "7/environ").read_bytes() == b"RANK=3\0"
    assert (machine.proc / "7/cmdline").read_bytes() == b"python\0x y.py\0"


def test_a_masked_file_is_empty_and_stays_so(machine: FakeMachine) -> None:
    machine.processes.mask("stat")
    machine.at(5)
    assert (machine.proc / "stat").read_bytes() == b""


@pytest.mark.parametrize("version", ["v2", "v1", "hybrid", "none"])
def test_control_groups_of_every_version(tmp_path: Path, version: Cgroups) -> None:
    machine = FakeMachine(tmp_path / "machine", cgroups=version, other_cores=constant(1))
    machine.add_cgroup("/slurm/job_7", quota_cores=0.1, cpuset="2-3", memory_bytes=2**30, own=True)
    machine.add_process(9, cores=constant(0.1), cgroup="/slurm/job_7/step_0")
    machine.at(100)
    root = machine.sys / "fs/cgroup"
    own = (machine.proc / "self/cgroup").read_text()
    mounts = (machine.proc / "self/mountinfo").read_text()
    group = root / ("unified" if version == "hybrid" else "") / "slurm/job_7"
    if version in ("v2", "hybrid"):
        assert "0::/slurm/job_7\n" in own
        assert "cgroup2" in mounts
        assert "usage_usec 000000010000000\n" in (group / "cpu.stat").read_text()
    if version == "v2":
        assert (group / "cpu.max").read_text() == "10000 100000\n"
        assert (group.parent / "cpu.max").read_text() == "max 100000\n"
        assert (group / "memory.max").read_text() == f"{2**30}\n"
        assert (group / "cpuset.cpus.effective").read_text() == "2-3\n"
    if version in ("v1", "hybrid"):
        assert "2:cpu,cpuacct:/slurm/job_7\n" in own
        assert (root / "cpu/slurm/job_7/cpu.cfs_quota_us").read_text() == "10000\n"
        assert (root / "cpu/cpu.cfs_quota_us").read_text() == "-1\n"
        assert int((root / "cpuacct/slurm/job_7/cpuacct.usage").read_text()) == 10_000_000_000
        assert (root / "memory/slurm/job_7/memory.limit_in_bytes").read_text() == f"{2**30}\n"
        assert (root / "cpuset/slurm/job_7/cpuset.cpus").read_text() == "2-3\n"
    if version == "none":
        assert own == ""
        assert not root.exists()
    machine.close()
