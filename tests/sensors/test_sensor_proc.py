# SPDX-License-Identifier: Apache-2.0
"""The kernel's process tree: machine times, processors, and the run's processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from submeter.records import Missing
from submeter.sensors.proc import (
    MachineTimes,
    Place,
    ProcessTree,
    allowed_cpus,
    cpus,
    machine_times,
    memory_bytes,
    place_in,
    process_stat,
)
from tests.sensors.kernel_tree import Tree

TICK_NS = 10_000_000


def test_busy_time_leaves_out_idle_and_stolen_time_and_counts_guests_once(tree: Tree) -> None:
    tree.stat(user=1000, idle=9000, steal=400, guest=700)
    assert machine_times(tree.proc) == MachineTimes(busy=1333, steal=400, idle=9050)


def test_b10_stolen_time_is_told_apart_from_busy_time(tree: Tree) -> None:
    tree.stat(steal=0)
    before = machine_times(tree.proc)
    tree.stat(steal=50)
    after = machine_times(tree.proc)
    assert isinstance(before, MachineTimes)
    assert isinstance(after, MachineTimes)
    assert (after.busy - before.busy, after.steal - before.steal) == (0, 50)


def test_an_old_kernel_without_stolen_time_is_read(tree: Tree) -> None:
    tree.write("stat", "cpu 1 2 3 4\n")
    assert machine_times(tree.proc) == MachineTimes(busy=6, steal=0, idle=4)


@pytest.mark.parametrize("text", ["", "\n", "intr 1 2 3\n", "cpu a b c d\n", "cpu 1 2\n"])
def test_e04_a_masked_stat_is_missing(tree: Tree, text: str) -> None:
    tree.write("stat", text)
    times = machine_times(tree.proc)
    assert isinstance(times, Missing)
    assert str(tree.proc / "stat") in times.why


def test_e05_no_stat_is_missing(tree: Tree) -> None:
    assert isinstance(machine_times(tree.proc), Missing)


def test_processors_of_two_sockets(tree: Tree) -> None:
    tree.cpus(8, sockets=2, guest=True)
    found = cpus(tree.proc)
    assert found.model == "Intel(R) Xeon(R) Platinum 8358 CPU @ 2.60GHz"
    assert (found.vcpus, found.sockets, found.cores, found.hypervisor) == (8, 2, 8, True)


def test_processors_without_sockets_are_one(tree: Tree) -> None:
    tree.write("cpuinfo", "processor : 0\nBogoMIPS : 50\n\nprocessor : 1\nBogoMIPS : 50\n")
    found = cpus(tree.proc)
    assert (found.model, found.vcpus, found.sockets, found.cores) == ("", 2, 1, 2)


def test_e05_nothing_is_said_of_nothing(tree: Tree) -> None:
    assert (cpus(tree.proc).vcpus, memory_bytes(tree.proc)) == (0, 0)
    assert allowed_cpus(tree.proc) is None


def test_memory_is_in_bytes(tree: Tree) -> None:
    tree.memory(16_000_000)
    assert memory_bytes(tree.proc) == 16_384_000_000


def test_a_name_with_brackets_and_blanks_is_no_field(tree: Tree) -> None:
    tree.process(7, parent=3, own=5, waited=9, name="a) S 1 (b")
    stat = process_stat(str(tree.proc), 7)
    assert stat is not None
    assert (stat.parent, stat.own, stat.waited, stat.start) == (3, 5, 9, 100)


@pytest.mark.parametrize("text", ["", "7 (x", "7 (x) S 1 2 3"])
def test_a_torn_line_of_a_process_is_nobody(tree: Tree, text: str) -> None:
    tree.write("7/stat", text)
    assert process_stat(str(tree.proc), 7) is None


# -- the tree ---------------------------------------------------------------------------------


def used(tree: ProcessTree) -> int:
    """Ticks used so far."""
    return tree.update() // TICK_NS


def test_time_before_the_start_does_not_count(tree: Tree) -> None:
    tree.process(10, own=500)
    run = ProcessTree([10], tree.proc)
    assert used(run) == 0
    tree.process(10, own=530)
    assert used(run) == 30


def test_children_and_grandchildren_count_and_strangers_do_not(tree: Tree) -> None:
    tree.process(10)
    tree.process(90, own=1000)
    run = ProcessTree([10], tree.proc)
    tree.process(12, parent=11, own=4)  # listed before its parent may be
    tree.process(11, parent=10, own=3)
    tree.process(91, parent=90, own=1000)
    assert used(run) == 7
    assert sorted(run.pids) == [10, 11, 12]


def test_children_there_at_the_start_are_taken_in_without_their_past(tree: Tree) -> None:
    tree.process(10, own=5)
    tree.process(11, parent=10, own=700)
    run = ProcessTree([10], tree.proc)
    assert sorted(run.pids) == [10, 11]
    tree.process(11, parent=10, own=710)
    assert used(run) == 10


def test_a_child_that_was_waited_for_counts_once(tree: Tree) -> None:
    tree.process(10)
    run = ProcessTree([10], tree.proc)
    tree.process(11, parent=10, own=40)
    assert used(run) == 40
    tree.end(11)
    tree.process(10, waited=45)  # 5 more ticks that nobody saw
    assert used(run) == 45


def test_a_child_that_came_and_went_unseen_counts(tree: Tree) -> None:
    tree.process(10)
    run = ProcessTree([10], tree.proc)
    tree.process(10, waited=8)
    assert used(run) == 8


def test_a_child_that_nobody_waited_for_keeps_what_was_seen(tree: Tree) -> None:
    tree.process(10)
    run = ProcessTree([10], tree.proc)
    tree.process(11, parent=10, own=40)
    assert used(run) == 40
    tree.end(11)  # SIGCHLD ignored: its time goes nowhere
    assert used(run) == 40
    tree.process(10, own=1)
    assert used(run) == 41


def test_a_branch_that_ends_at_once_counts_once(tree: Tree) -> None:
    tree.process(10)
    run = ProcessTree([10], tree.proc)
    tree.process(11, parent=10, own=20)
    tree.process(12, parent=11, own=30)
    assert used(run) == 50
    tree.end(12)
    tree.end(11)
    tree.process(10, waited=52)
    assert used(run) == 52


def test_a_process_adopted_by_another_stays_in_the_run(tree: Tree) -> None:
    tree.process(10)
    run = ProcessTree([10], tree.proc)
    tree.process(11, parent=10)
    tree.process(12, parent=11, own=5)
    used(run)
    tree.end(11)
    tree.process(12, parent=1, own=9)
    tree.process(13, parent=12, own=100)
    assert used(run) == 109
    assert sorted(run.pids) == [10, 12, 13]


def test_a_process_id_given_away_anew_is_another_process(tree: Tree) -> None:
    tree.process(10)
    run = ProcessTree([10], tree.proc)
    tree.process(11, parent=10, own=40)
    assert used(run) == 40
    tree.process(11, parent=1, own=9000, start=777)
    assert used(run) == 40
    assert run.pids == (10,)


def test_the_end_of_the_root_keeps_its_time(tree: Tree) -> None:
    tree.process(10)
    run = ProcessTree([10], tree.proc)
    tree.process(10, own=25)
    assert used(run) == 25
    tree.end(10)
    assert used(run) == 25
    assert run.pids == ()


def test_the_collector_is_no_part_of_the_run(tree: Tree) -> None:
    tree.process(10)
    run = ProcessTree([10], tree.proc, exclude=[50])
    tree.process(50, parent=10, own=300)
    tree.process(51, parent=50, own=300)
    assert used(run) == 0
    assert not run.add(50)


def test_a_process_that_joins_later_brings_no_past(tree: Tree) -> None:
    tree.process(10)
    tree.process(80, own=900)
    run = ProcessTree([10], tree.proc)
    used(run)
    assert run.add(80)
    assert used(run) == 0
    tree.process(80, own=903)
    assert used(run) == 3


def test_while_no_process_id_is_given_away_none_is_looked_for(tree: Tree) -> None:
    tree.process(10)
    tree.write("loadavg", "0.20 0.18 0.12 1/80 10\n")
    run = ProcessTree([10], tree.proc)
    run.update()
    tree.process(11, parent=10, own=5)
    assert run.update() == 0  # the kernel says that there cannot be one
    tree.write("loadavg", "0.20 0.18 0.12 1/81 11\n")
    assert run.update() > 0
    assert sorted(run.pids) == [10, 11]


def test_without_a_look_for_newcomers_none_is_found_and_none_is_lost(tree: Tree) -> None:
    tree.process(10)
    run = ProcessTree([10], tree.proc)
    tree.process(11, parent=10, own=6)
    assert run.update(newcomers=False) == 0
    assert used(run) == 6


def test_a_root_that_is_not_there_was_never_seen(tree: Tree) -> None:
    run = ProcessTree([10], tree.proc)
    assert used(run) == 0
    assert not run.seen


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.data())
def test_time_never_falls_and_is_exact_while_everybody_is_waited_for(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    tree = Tree(tmp_path_factory.mktemp("law") / "machine")
    own, waited, parent = {10: 0}, {10: 0}, {10: 1}
    tree.process(10, start=10)
    run = ProcessTree([10], tree.proc)
    spent, last, fresh = 0, 0, 11
    for _ in range(data.draw(st.integers(1, 8))):
        for _ in range(data.draw(st.integers(0, 4))):
            deed = data.draw(st.sampled_from(["work", "fork", "end"]))
            pid = data.draw(st.sampled_from(sorted(own)))
            if deed == "work":
                ticks = data.draw(st.integers(0, 50))
                own[pid] += ticks
                spent += ticks
            elif deed == "fork":
                own[fresh], waited[fresh], parent[fresh] = 0, 0, pid
                fresh += 1
            elif pid != 10 and pid not in parent.values():
                boss = parent.pop(pid)
                waited[boss] += own.pop(pid) + waited.pop(pid)
                if (tree.proc / str(pid)).exists():
                    tree.end(pid)
        for pid, ticks in own.items():
            tree.process(pid, parent=parent[pid], own=ticks, waited=waited[pid], start=pid)
        now = used(run)
        assert now >= last
        assert now == spent
        last = now


# -- ranks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({}, None),
        ({"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}, Place(3, 1, 4)),
        ({"RANK": "0"}, Place(0)),
        ({"RANK": "three"}, None),
        ({"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "8"}, Place(2, None, 8)),
        ({"SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_NTASKS": "16"}, Place(5, 1, 16)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "1"}, None),  # one script of a batch job
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "2", "RANK": "9"}, Place(9)),
        ({"LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}, Place(1, 1, 2)),
    ],
)
def test_the_rank_is_what_the_launcher_left(environ: dict[str, str], place: Place | None) -> None:
    assert place_in(environ) == place


def test_time_goes_to_ranks_also_of_their_workers_and_their_last_moments(tree: Tree) -> None:
    tree.process(10)
    run = ProcessTree([10], tree.proc)
    for rank in (0, 1):
        environ = {"RANK": str(rank), "WORLD_SIZE": "2"}
        tree.process(20 + rank, parent=10, own=100 * (rank + 1), environ=environ)
        tree.process(30 + rank, parent=20 + rank, own=7, environ=environ)
    used(run)
    assert run.rank_cpu_ns() == {0: 107 * TICK_NS, 1: 207 * TICK_NS}
    assert run.rank_of(31) == 1
    assert run.rank_of(10) is None
    tree.end(31)
    tree.end(21)
    tree.process(10, own=50, waited=215)  # the launcher's own work has no rank
    used(run)
    assert run.rank_cpu_ns() == {0: 107 * TICK_NS, 1: 215 * TICK_NS}


def test_a_process_without_an_environment_is_of_its_parents_rank(tree: Tree) -> None:
    tree.process(10, environ={"RANK": "4", "WORLD_SIZE": "8", "LOCAL_RANK": "0"})
    run = ProcessTree([10], tree.proc)
    tree.process(11, parent=10)
    used(run)
    assert run.place_of(11) == Place(4, 0, 8)
    assert run.environ_of(11) == {}


def test_a_process_seen_between_fork_and_exec_is_looked_at_again(tree: Tree) -> None:
    tree.process(10)
    run = ProcessTree([10], tree.proc)
    tree.process(11, parent=10, environ={})
    used(run)
    assert run.rank_of(11) is None
    tree.process(11, parent=10, environ={"RANK": "2"})
    used(run)
    assert run.rank_of(11) == 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_a_real_child_that_works_is_counted(tmp_path: Path) -> None:
    run = ProcessTree([os.getpid()], exclude=[])
    before = run.update()
    code = "import time\nt = time.process_time()\nwhile time.process_time() - t < 0.3: pass"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    assert run.update() - before >= 280_000_000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_a_run_of_many_processes_keeps_few_files_open(tree: Tree) -> None:
    def held() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    before = held()
    for pid in range(10, 50):
        tree.process(pid, parent=10 if pid > 10 else 1)
    run = ProcessTree([10], tree.proc)
    run.update()
    assert held() == before + 40
    for pid in range(50, 310):
        tree.process(pid, parent=10)
    run.update()
    run.update()
    assert len(run.pids) == 300
    assert held() == before
    for pid in range(20, 310):
        tree.end(pid)
    run.update()
    run.update()
    assert held() == before + 10
    run.close()
    assert held() == before
