# SPDX-License-Identifier: Apache-2.0
"""The sensor of processor time: machine, hypervisor and run, read as often as it is cheap."""

from submeter.records import Measures, Missing
from submeter.sensors import NOT_DUE, ProcessTree, UseSensor
from tests.sensors.kernel_tree import Tree


class Clocks:
    """Time and CPU time that are moved by hand; each look costs ``cost_ns``."""

    def __init__(self, cost_ns: int = 0) -> None:
        self.now_ns = 0
        self.cost_ns = cost_ns
        self._spent_ns = 0

    def time_ns(self) -> int:
        return self.now_ns

    def spent_ns(self) -> int:
        self._spent_ns += self.cost_ns
        return self._spent_ns


def sensor(tree: Tree, clocks: Clocks, *roots: int) -> UseSensor:
    made = UseSensor(
        "here",
        proc_root=tree.proc,
        sys_root=tree.sys,
        now_ns=clocks.time_ns,
        cost_ns=clocks.spent_ns,
    )
    if roots:
        made.watch(ProcessTree(roots, tree.proc))
    return made


def test_b10_busy_stolen_and_run_time_are_three_counters(tree: Tree) -> None:
    tree.stat(user=1000, steal=40)
    tree.process(10)
    use = sensor(tree, Clocks(), 10)
    assert [c.measures for c in use.channels] == [
        Measures.BUSY_TIME,
        Measures.STEAL_TIME,
        Measures.RUN_TIME,
    ]
    assert {c.scale for c in use.channels} == {0.01}
    assert use.read() == (1333, 40, 0)
    tree.stat(user=1100, steal=90)
    tree.process(10, own=60)
    assert use.read() == (1433, 90, 60)


def test_e04_a_masked_stat_leaves_the_runs_own_time(tree: Tree) -> None:
    tree.write("stat", "")
    tree.process(10)
    use = sensor(tree, Clocks(), 10)
    tree.process(10, own=12)
    busy, steal, run = use.read()
    assert isinstance(busy, Missing)
    assert "is empty" in busy.why
    assert steal == busy
    assert run == 12


def test_e05_without_proc_everything_is_missing_with_a_reason(tree: Tree) -> None:
    use = sensor(tree, Clocks(), 10)
    values = use.read()
    assert all(isinstance(v, Missing) and v.why for v in values)


def test_hidden_processes_are_replaced_by_their_control_group(tree: Tree) -> None:
    tree.stat()
    tree.write("fs/cgroup/cgroup.controllers", "cpu\n")
    tree.write("fs/cgroup/job/cpu.stat", "usage_usec 2500000\n")
    tree.write("self/cgroup", "0::/job\n")
    use = sensor(tree, Clocks(), 10)
    assert use.read()[2] == 250


def test_without_a_run_only_the_machine_is_told(tree: Tree) -> None:
    tree.stat()
    assert sensor(tree, Clocks()).read()[2] == Missing("no run is watched")


def reads(use: UseSensor, clocks: Clocks, seconds: int) -> list[bool]:
    """Whether each of ten reads a second looked."""
    looked = []
    for _ in range(10 * seconds):
        values = use.read()
        looked.append(values[0] is not NOT_DUE)
        clocks.now_ns += 100_000_000
    return looked


def test_a_cheap_look_is_taken_at_every_read(tree: Tree) -> None:
    tree.stat()
    clocks = Clocks(cost_ns=10_000)  # 0.01 % of the tenth of a second until the next
    assert all(reads(sensor(tree, clocks), clocks, 2))


def test_a_dear_look_is_taken_seldom_enough_to_cost_a_small_part(tree: Tree) -> None:
    tree.stat()
    clocks = Clocks(cost_ns=80_000)
    looked = reads(sensor(tree, clocks), clocks, 10)
    assert sum(looked) == 13  # 0.08 ms each, in 10 s: 0.01 %


def test_however_dear_a_look_is_taken_every_two_seconds(tree: Tree) -> None:
    tree.stat()
    clocks = Clocks(cost_ns=50_000_000)
    assert sum(reads(sensor(tree, clocks), clocks, 10)) == 5


def test_a_look_that_was_interrupted_once_says_nothing_of_the_next(tree: Tree) -> None:
    tree.stat()
    clocks = Clocks(cost_ns=10_000)
    use = sensor(tree, clocks)
    reads(use, clocks, 1)
    clocks.cost_ns = 90_000_000
    use.read()
    clocks.cost_ns = 10_000
    clocks.now_ns += 100_000_000
    assert use.read()[0] is not NOT_DUE


def test_new_processes_are_looked_for_every_other_second(tree: Tree) -> None:
    tree.stat()
    tree.process(10)
    clocks = Clocks()
    use = sensor(tree, clocks, 10)
    use.read()
    tree.process(11, parent=10, own=5)
    runs = []
    for _ in range(21):
        clocks.now_ns += 100_000_000
        runs.append(use.read()[2])
    assert runs == [0] * 19 + [5, 5]
