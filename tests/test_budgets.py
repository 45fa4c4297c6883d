# SPDX-License-Identifier: Apache-2.0
"""What submeter may cost. Budgets are those of docs/design.md; how they are taken: benchmarks/."""

from pathlib import Path

import pytest

from benchmarks import budgets

IMPORT_S = 0.030
PHASE_US = 20.0
IDLE_PHASE_US = 4.0
START_S = 0.100
STOP_S = 0.050
CORE_RATIO_10_HZ = 0.005
CORE_RATIO_1_HZ = 0.001
SUMMARY_S = 0.150
RESIDENT_BYTES = 40 * 2**20


def test_importing_costs_little() -> None:
    cost_s = budgets.import_cpu_s()
    assert cost_s <= IMPORT_S, f"{1e3 * cost_s:.1f} ms"


def test_a_heavy_import_would_be_seen() -> None:
    assert "asyncio" in budgets.modules_after("import asyncio") & budgets.HEAVY
    assert budgets.import_cpu_s("import asyncio", tries=3) > 0.003


def test_importing_loads_nothing_heavy() -> None:
    assert budgets.modules_after("import submeter") & budgets.HEAVY == set()


def test_phase_and_log_without_a_run_load_nothing_heavy(tmp_path: Path) -> None:
    code = "import submeter\nwith submeter.phase('a'): submeter.log(loss=1.0)"
    assert budgets.modules_after(code, tmp_path) & budgets.HEAVY == set()
    assert list(tmp_path.iterdir()) == [], "a phase without a run wrote something"


def test_measuring_loads_nothing_heavy_into_the_training(tmp_path: Path) -> None:
    code = "import submeter\nwith submeter.measure('m'):\n  with submeter.phase('a'): pass"
    loaded = budgets.modules_after(code, tmp_path)
    assert loaded & (budgets.HEAVY - {"sqlite3"}) == set()


def test_the_collector_loads_nothing_heavy() -> None:
    loaded = budgets.modules_after("import submeter.collecting.collector")
    assert loaded & budgets.HEAVY_FOR_A_COLLECTOR == set()


def test_a_phase_costs_little(tmp_path: Path) -> None:
    cost = budgets.phase_cost(tmp_path)
    assert cost.in_run_us <= PHASE_US, cost
    assert cost.without_run_us <= IDLE_PHASE_US, cost


@pytest.mark.slow
def test_start_and_stop_hardly_block(tmp_path: Path) -> None:
    best = budgets.start_and_stop(tmp_path)
    for _ in range(4):  # wall time: a busy machine gets more tries, not a larger budget
        if best.start_s <= START_S and best.stop_s <= STOP_S:
            break
        again = budgets.start_and_stop(tmp_path)
        best = budgets.Blocking(min(best.start_s, again.start_s), min(best.stop_s, again.stop_s))
    assert best.start_s <= START_S, best
    assert best.stop_s <= STOP_S, best


@pytest.mark.slow
def test_the_summary_at_the_end_of_a_run_costs_little(tmp_path: Path) -> None:
    cost_s = budgets.summary_cpu_s(tmp_path)
    for _ in range(3):  # a busy machine gets more tries, not a larger budget
        if cost_s <= SUMMARY_S:
            break
        cost_s = min(cost_s, budgets.summary_cpu_s(tmp_path))
    assert cost_s <= SUMMARY_S, f"{1e3 * cost_s:.1f} ms"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("interval_s", "allowed_ratio"), [(0.1, CORE_RATIO_10_HZ), (1.0, CORE_RATIO_1_HZ)]
)
def test_the_collector_costs_little(
    tmp_path: Path, interval_s: float, allowed_ratio: float
) -> None:
    with (
        budgets.budget_machine(tmp_path / "machine") as machine,
        budgets.collecting(machine, tmp_path / "home", interval_s=interval_s) as pid,
    ):
        load = budgets.load_of(
            pid, interval_s=interval_s, watch_s=5.0, windows=12, enough_ratio=allowed_ratio
        )
    assert load.resident_bytes <= RESIDENT_BYTES, load
    assert load.own_ratio <= allowed_ratio, load
