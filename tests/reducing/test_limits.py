# SPDX-License-Identifier: Apache-2.0
"""Power limits that are best for the node, and batch sizes learnt from recurring jobs."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import power_limit
from submeter.errors import UsageError
from submeter.reducing.limits import Search, Window, best
from submeter.reducing.recurring import Recurring

LIMITS_W = (100.0, 150.0, 200.0, 250.0, 300.0)


def curve(compute_share: float) -> list[Window]:
    """A board whose work slows down below what it would draw, as far as it hangs on the clock."""
    windows = []
    for limit in LIMITS_W:
        clock = min(1.0, (limit / 280) ** 0.5)
        time_s = 1 - compute_share + compute_share / clock
        windows.append(Window(limit, time_s, min(limit, 280.0)))
    return windows


curves = st.lists(st.tuples(st.floats(0.1, 10), st.floats(10, 300)), min_size=1, max_size=7).map(
    lambda rows: [Window(100.0 + 25 * i, t, w) for i, (t, w) in enumerate(rows)]
)


@given(curves, st.floats(0, 500), st.floats(0, 0.3))
def test_the_best_is_never_worse_than_the_highest_and_never_too_slow(
    windows: list[Window], host_w: float, slowdown: float
) -> None:
    full = max(windows, key=lambda w: w.limit_w)
    found = best(windows, host_w=host_w, max_slowdown_ratio=slowdown)
    assert found.node_energy_j(host_w) <= full.node_energy_j(host_w)
    assert found.time_s <= full.time_s * (1 + slowdown) or found == full


@given(curves, st.floats(0, 300))
def test_more_slowdown_never_costs_energy(windows: list[Window], host_w: float) -> None:
    energies = [
        best(windows, host_w=host_w, max_slowdown_ratio=s).node_energy_j(host_w)
        for s in (0.0, 0.05, 0.1, 0.5)
    ]
    assert energies == sorted(energies, reverse=True)


def test_a_heavier_host_wants_a_higher_limit() -> None:
    chosen = [
        best(curve(0.9), host_w=host_w, max_slowdown_ratio=1.0).limit_w
        for host_w in (0.0, 100.0, 300.0, 3000.0)
    ]
    assert chosen == sorted(chosen)
    assert chosen[0] < chosen[-1]


@pytest.mark.parametrize("slowdown", [0.0, 0.05, 0.1])
def test_the_search_settles_on_what_an_oracle_would_take(slowdown: float) -> None:
    windows = {w.limit_w: w for w in curve(0.6)}
    search = Search(LIMITS_W, host_w=80.0, max_slowdown_ratio=slowdown)
    tried = []
    while search.state == "profiling":
        tried.append(search.limit_w)
        search.measured(windows[search.limit_w])
    assert tried == sorted(tried, reverse=True)
    oracle = best(list(windows.values()), host_w=80.0, max_slowdown_ratio=slowdown)
    assert search.limit_w == oracle.limit_w


def test_limits_that_are_far_too_slow_are_not_tried() -> None:
    windows = {w.limit_w: w for w in curve(1.0)}
    search = Search(LIMITS_W, host_w=0.0, max_slowdown_ratio=0.0)
    tried = 0
    while search.state == "profiling":
        tried += 1
        search.measured(windows[search.limit_w])
    assert tried < len(LIMITS_W)


@pytest.mark.parametrize(("limits", "host_w"), [((), 0.0), ((100.0,), -1.0), ((0.0,), 1.0)])
def test_nonsense_is_refused(limits: tuple[float, ...], host_w: float) -> None:
    with pytest.raises(UsageError):
        Search(limits, host_w=host_w)


def test_a_recurring_job_finds_its_batch_size_and_leaves_a_bad_one_alone() -> None:
    truth = {16: 500.0, 32: 90.0, 64: 60.0, 128: 70.0, 256: 100.0, 512: 400.0}
    chance = random.Random(2)  # noqa: S311
    chooser = Recurring(list(truth), 256, seed=1)
    taken = []
    for _ in range(60):
        choice = chooser.next()
        cost = truth[choice.batch] * chance.lognormvariate(0, 0.05)
        chooser.took(choice.batch, cost, reached=cost <= choice.abandon_at_j)
        taken.append(choice.batch)
    assert chooser.best == 64
    assert taken.count(64) > 40
    assert taken.count(512) <= 1
    assert taken.count(16) <= 1


def test_a_default_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError):
        Recurring([16, 32], 64)


def test_any_files_of_that_form_are_replayed(tmp_path: Path) -> None:
    power, train = tmp_path / "power.csv", tmp_path / "train.csv"
    rows = ["dataset,network,batch_size,optimizer,power_limit,time_per_epoch,average_power"]
    epochs = ["dataset,network,batch_size,optimizer,learning_rate,run,target_metric,target_epoch"]
    for batch in (32, 64, 128):
        rows += [
            f"mine,net,{batch},sgd,{w.limit_w},{100 * w.time_s * (1 + 16 / batch)},{w.board_w}"
            for w in curve(0.05)
        ]
        epochs += [f"mine,net,{batch},sgd,0.1,{seed},0.9,{10 + seed}" for seed in range(3)]
    epochs.append("mine,net,128,sgd,0.1,3,0.9,nan")
    power.write_text("\n".join(rows))
    train.write_text("\n".join(epochs))
    found = power_limit.document(power, train)
    assert float(str(found["recovered_ratio"])) > 0.95
    assert float(str(found["worst_job_ratio"])) > -0.001
    assert "net" in power_limit.tables(found)
