# SPDX-License-Identifier: Apache-2.0
"""Control groups of all kinds: quota, set of processors, memory, and the time used."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.records import Missing
from submeter.sensors.cgroups import (
    Limits,
    count_cpus,
    cpu_allocation_ratio,
    find_groups,
    limits,
    memory_allocation_ratio,
    run_time_ns,
)
from tests.sensors.kernel_tree import Tree

GIB = 2**30
NO_LIMIT_V1 = "9223372036854771712"


def v2(tree: Tree, path: str, **files: str) -> None:
    tree.write("fs/cgroup/cgroup.controllers", "cpuset cpu memory\n")
    tree.write("self/cgroup", f"0::/{path}\n")
    for name, text in files.items():
        tree.write(f"fs/cgroup/{path}/{name.replace('_', '.', 1)}".replace("//", "/"), text + "\n")


def found(tree: Tree) -> Limits:
    return limits(find_groups(tree.sys, tree.proc))


def test_e07_version_2_quota_of_ten_percent(tree: Tree) -> None:
    v2(tree, "job", cpu_max="10000 100000", memory_max=str(2 * GIB))
    limit = found(tree)
    assert limit == Limits(cpus=0.1, memory_bytes=2 * GIB, version="v2")
    assert cpu_allocation_ratio(limit, vcpus=4) == pytest.approx(0.025)
    assert memory_allocation_ratio(limit, memory_bytes=8 * GIB) == 0.25


def test_e07_version_1_quota_of_ten_percent(tree: Tree) -> None:
    tree.write("self/cgroup", "3:memory:/job\n2:cpuset:/job\n1:cpu,cpuacct:/job\n")
    cpu = "fs/cgroup/cpu,cpuacct/job"
    tree.write(f"{cpu}/cpu.cfs_quota_us", "10000\n")
    tree.write(f"{cpu}/cpu.cfs_period_us", "100000\n")
    tree.write("fs/cgroup/cpuset/job/cpuset.cpus", "0-1,4\n")
    tree.write("fs/cgroup/memory/job/memory.limit_in_bytes", f"{GIB}\n")
    limit = found(tree)
    assert limit == Limits(cpus=0.1, cpuset=3, memory_bytes=GIB, version="v1")
    assert cpu_allocation_ratio(limit, vcpus=8) == pytest.approx(0.0125)


def test_e07_hybrid_takes_the_limits_where_they_are(tree: Tree) -> None:
    tree.write("self/cgroup", "2:cpu,cpuacct:/job\n1:name=systemd:/\n0::/job\n")
    tree.write("fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "250000\n")
    tree.write("fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n")
    tree.write("fs/cgroup/unified/job/cgroup.controllers", "\n")
    assert found(tree) == Limits(cpus=2.5, version="hybrid")


@pytest.mark.parametrize("mount", ["cpu", "cpuacct,cpu"])
def test_e07_version_1_may_be_mounted_under_another_name(tree: Tree, mount: str) -> None:
    tree.write("self/cgroup", "1:cpu,cpuacct:/job\n")
    tree.write(f"fs/cgroup/{mount}/job/cpu.cfs_quota_us", "50000\n")
    tree.write(f"fs/cgroup/{mount}/job/cpu.cfs_period_us", "100000\n")
    assert found(tree).cpus == 0.5


def test_e07_without_control_groups_everything_is_allotted(tree: Tree) -> None:
    limit = found(tree)
    assert limit == Limits()
    assert cpu_allocation_ratio(limit, vcpus=4) == 1.0
    assert memory_allocation_ratio(limit, memory_bytes=GIB) == 1.0


def test_e07_no_limit_in_all_its_spellings(tree: Tree) -> None:
    v2(tree, "job", cpu_max="max 100000", memory_max="max")
    assert found(tree) == Limits(version="v2")
    tree.write("self/cgroup", "2:memory:/job\n1:cpu:/job\n")
    tree.write("fs/cgroup/cpu/job/cpu.cfs_quota_us", "-1\n")
    tree.write("fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n")
    tree.write("fs/cgroup/memory/job/memory.limit_in_bytes", f"{NO_LIMIT_V1}\n")
    assert found(tree) == Limits(version="v1")


def test_an_ancestors_tighter_limit_holds(tree: Tree) -> None:
    v2(tree, "slice", cpu_max="100000 100000", memory_max=str(GIB))
    v2(tree, "slice/job", cpu_max="400000 100000", memory_max=str(4 * GIB))
    assert found(tree) == Limits(cpus=1.0, memory_bytes=GIB, version="v2")


def test_in_a_container_the_path_of_the_host_is_not_mounted(tree: Tree) -> None:
    v2(tree, "", cpu_max="50000 100000")
    tree.write("self/cgroup", "0::/kubepods/pod1/abc\n")
    assert found(tree) == Limits(cpus=0.5, version="v2")
    tree.write("self/cgroup", "0::/../../other\n")
    assert found(tree).cpus == 0.5


def test_a_nearer_set_of_processors_wins(tree: Tree) -> None:
    v2(tree, "slice", **{"cpuset_cpus.effective": "0-7"})
    v2(tree, "slice/job", **{"cpuset_cpus.effective": "2-3"})
    assert found(tree).cpuset == 2


def test_the_scheduler_may_allow_less_than_the_group() -> None:
    assert cpu_allocation_ratio(Limits(cpus=8.0), vcpus=16, affinity=4) == 0.25
    assert cpu_allocation_ratio(Limits(cpus=32.0), vcpus=16, affinity=16) == 1.0
    assert cpu_allocation_ratio(Limits(cpus=1.0), vcpus=0) == 1.0


@pytest.mark.parametrize(
    ("text", "n"),
    [("0", 1), ("0-3", 4), ("0-1,8-9,15", 5), ("", 0), ("a-b", 0), ("1-", 1), ("3-1", 0)],
)
def test_a_list_of_processors_is_counted(text: str, n: int) -> None:
    assert count_cpus(text) == n


@given(st.sets(st.integers(0, 300), min_size=1))
def test_any_set_of_processors_is_counted(numbers: set[int]) -> None:
    assert count_cpus(",".join(str(n) for n in sorted(numbers))) == len(numbers)


@given(
    cpus=st.none() | st.floats(0.01, 1000),
    cpuset=st.none() | st.integers(1, 1000),
    vcpus=st.integers(0, 512),
)
def test_the_allotted_part_is_a_part(cpus: float | None, cpuset: int | None, vcpus: int) -> None:
    assert 0 < cpu_allocation_ratio(Limits(cpus=cpus, cpuset=cpuset), vcpus=vcpus) <= 1


def test_time_used_by_a_group_of_either_version(tree: Tree) -> None:
    v2(tree, "job", cpu_stat="usage_usec 1500\nuser_usec 1000")
    assert run_time_ns(find_groups(tree.sys, tree.proc)) == 1_500_000
    tree.write("self/cgroup", "1:cpu,cpuacct:/job\n")
    tree.write("fs/cgroup/cpu,cpuacct/job/cpuacct.usage", "777\n")
    assert run_time_ns(find_groups(tree.sys, tree.proc)) == 777


def test_the_root_group_is_the_machine_and_no_run(tree: Tree) -> None:
    v2(tree, "", cpu_stat="usage_usec 1500")
    assert isinstance(run_time_ns(find_groups(tree.sys, tree.proc)), Missing)
