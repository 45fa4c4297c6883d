# SPDX-License-Identifier: Apache-2.0
"""Searches on a machine with hidden power per setting; no processes, the real Optuna."""

import itertools
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from submeter.errors import UsageError
from submeter.records.figures import Figure, Missing
from submeter.records.searches import SearchTrial
from submeter.reducing.findings import pareto, payback, recommended, result
from submeter.reducing.quality import parse_condition
from submeter.reducing.spaces import Value, parse_space
from submeter.reducing.studies import open_study, this_worker
from submeter.reducing.tuning import (
    FAILED_DEFAULT,
    GoesOn,
    Outcome,
    RunOne,
    Searching,
    Task,
    default_setting,
)
from tests.reducing.landscape import SETS, WALL_RATIO, Landscape

FLOOR = 0.94


def task_of(sets: tuple[str, ...] = SETS, **fields: Any) -> Task:
    space = parse_space(sets)
    given: dict[str, Any] = {
        "trials": 24,
        "conditions": (parse_condition(f"accuracy >= {FLOOR}"),),
    }
    given["default"] = default_setting(space, {})
    return Task(space=space, **{**given, **fields})


def searched(
    path: Path, task: Task, run_one: RunOne, name: str = "s"
) -> tuple[Searching, list[SearchTrial]]:
    search = Searching(task, open_study(name, task, path / "study.log"), run_one)
    return search, search.go()


def best_of_all(world: Landscape, floor: float = FLOOR) -> tuple[dict[str, Value], float]:
    space = parse_space(SETS)
    rows = [dict(zip((d.name for d in space), r, strict=True))
            for r in itertools.product(*(d.choices for d in space))]  # fmt: skip
    kept = [r for r in rows if world.truth(r)[2] >= floor]
    best = min(kept, key=world.energy_j)
    return dict(best), world.energy_j(best)


def test_a_grid_finds_the_best_and_pruning_finds_the_same_with_less(tmp_path: Path) -> None:
    spent = {}
    for prune in (False, True):
        world = Landscape()
        (tmp_path / str(prune)).mkdir()
        search, trials = searched(tmp_path / str(prune), task_of(prune=prune), world.run_one)
        best = recommended(trials)
        assert best is not None
        assert (best.settings, best.energy_j / WALL_RATIO) == best_of_all(world)
        assert search.ended == "24 trials"
        assert len({tuple(t.settings.values()) for t in trials}) == 24
        assert math.fsum(t.energy_j for t in trials) == pytest.approx(world.node_j * WALL_RATIO)
        assert trials[0].default
        spent[prune] = world.node_j
    assert spent[True] < 0.85 * spent[False]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_proposals_do_not_run_twice(tmp_path: Path, sampler: Any, seed: int) -> None:
    world = Landscape()
    search, trials = searched(
        tmp_path, task_of(sampler=sampler, trials=12, seed=seed), world.run_one
    )
    ran = [tuple(s.values()) for s in world.ran]
    assert len(ran) == len(set(ran)) <= 12  # those that must use more are not even started
    assert len({tuple(t.settings.values()) for t in trials}) == len(trials) == 12
    assert search.ended == "12 trials"
    assert recommended(trials) is not None


def test_ranges(tmp_path: Path) -> None:
    sets = ("batch=int:16..128", "amp=none,bf16", "lr=log:1e-4..1")
    world = Landscape()
    default: dict[str, Value] = {"batch": 16, "amp": "none", "lr": 0.01}
    _, trials = searched(tmp_path, task_of(sets, trials=20, default=default), world.run_one)
    best = recommended(trials)
    assert best is not None
    assert world.truth(best.settings)[2] >= FLOOR
    assert best.energy_j < trials[0].energy_j


@pytest.mark.parametrize("points", [1, 2, 3])
def test_small_grids_end_by_themselves(tmp_path: Path, points: int) -> None:
    batches = ",".join(["16", "32", "64"][:points])
    sets = (f"batch={batches}", "amp=none", "lr=0.01")
    for name, sampler in (("a", "auto"), ("b", "grid"), ("c", "tpe")):
        world = Landscape()
        task = task_of(sets, trials=9, sampler=sampler)
        search, trials = searched(tmp_path, task, world.run_one, name)
        assert len(trials) == points
        assert search.ended == "every setting was tried"


def test_the_budget_ends_it(tmp_path: Path) -> None:
    world = Landscape()
    whole_j = world.energy_j(task_of().default) * WALL_RATIO
    search, trials = searched(tmp_path, task_of(budget_j=2.5 * whole_j), world.run_one)
    assert search.ended == "the budget is used up"
    spent = math.fsum(t.energy_j for t in trials)
    assert 1.5 * whole_j < spent < 2.7 * whole_j
    assert trials[-1].state == "stopped"


def test_nobody_may_be_much_slower_than_the_default(tmp_path: Path) -> None:
    world = Landscape()
    task = task_of(default={"batch": "128", "amp": "none", "lr": "0.01"}, max_slowdown_ratio=0.1)
    task = msgspec.structs.replace(task, conditions=())
    _, trials = searched(tmp_path, task, world.run_one)
    limit_s = 1.1 * trials[0].duration_s
    best = recommended(trials)
    assert best is not None
    assert best.duration_s <= limit_s
    assert any(t.why == "too slow" for t in trials)
    assert not any(t.kept and t.duration_s > limit_s for t in trials)


def test_a_margin_is_one_from_the_default(tmp_path: Path) -> None:
    world = Landscape()
    task = task_of(
        conditions=(parse_condition("accuracy ± 1%"),),
        default={"batch": "16", "amp": "none", "lr": "0.01"},
    )
    _, trials = searched(tmp_path, task, world.run_one)
    best = recommended(trials)
    assert best is not None
    floor = 0.99 * trials[0].metrics["accuracy"]
    assert best.settings == best_of_all(world, floor)[0]
    assert any(t.why == "behind" for t in trials)


def test_two_objectives_keep_the_front(tmp_path: Path) -> None:
    fronts, spent = [], []
    for prune in (True, False):
        (tmp_path / str(prune)).mkdir()
        task = task_of(maximise="accuracy", conditions=(), prune=prune)
        world = Landscape()
        _, trials = searched(tmp_path / str(prune), task, world.run_one)
        front = pareto(trials, task)
        fronts.append({tuple(t.settings.values()) for t in trials if t.number in front})
        spent.append(world.node_j)
    assert fronts[0] == fronts[1]
    assert spent[0] < spent[1]


def failing(world: Landscape, fails: Callable[[dict[str, Value]], bool]) -> RunOne:
    def run_one(number: int, settings: dict[str, Value], goes_on: GoesOn) -> Outcome:
        if fails(settings):
            return Outcome(
                state="failed", energy=Missing("not metered"), node_j=0.0, duration_s=0.0,
                metrics={}, why="exit code 1: out of memory",
            )  # fmt: skip
        return world.run_one(number, settings, goes_on)

    return run_one


def test_trials_that_fail_are_told_and_the_others_go_on(tmp_path: Path) -> None:
    world = Landscape()
    task = task_of()
    search, trials = searched(tmp_path, task, failing(world, lambda s: s["batch"] == "128"))
    failed = [t for t in trials if t.state == "failed"]
    assert failed
    assert all(t.settings["batch"] == "128" for t in failed)
    assert recommended(trials) is not None
    found = result("id", "", "now", ["x"], task, trials, ended=search.ended)
    told = f"{len(failed)} trials failed, the first: exit code 1: out of memory"
    assert found.notes[0] == told


def unmetered(world: Landscape, lost: Callable[[dict[str, Value]], bool]) -> RunOne:
    def run_one(number: int, settings: dict[str, Value], goes_on: GoesOn) -> Outcome:
        outcome = world.run_one(number, settings, goes_on)
        if not lost(settings) or outcome.state != "finished":
            return outcome
        return msgspec.structs.replace(outcome, energy=Missing("no counter"), node_j=0.0)

    return run_one


def test_what_was_not_metered_failed_and_uses_nothing_less(tmp_path: Path) -> None:
    """A trial that finished without a figure is no trial of 0 J: it beats nobody."""
    world = Landscape()
    best = best_of_all(world)[0]
    task = task_of()
    search, trials = searched(tmp_path, task, unmetered(world, lambda s: s == best))
    lost = next(t for t in trials if t.settings == best)
    assert (lost.state, lost.kept, lost.why) == ("failed", False, "not metered: no counter")
    least = recommended(trials)
    assert least is not None
    assert least.energy_j > 0
    assert least.settings != best
    told = search.study.get_trials(deepcopy=False)
    assert all(t.values is None or t.values[0] > 0 for t in told)
    found = result("id", "", "now", ["x"], task, trials, ended=search.ended)
    assert isinstance(found.energy, Figure)
    assert found.energy.source == "23 of 24 trials, at the wall"
    assert "what 1 of 24 trials used is not known, and not counted" in found.notes


def test_a_default_that_was_not_metered_ends_it(tmp_path: Path) -> None:
    search, trials = searched(tmp_path, task_of(), unmetered(Landscape(), lambda _: True))
    assert (search.ended, len(trials)) == (FAILED_DEFAULT, 1)
    assert trials[0].why == "not metered: no counter"


@pytest.mark.parametrize("seed", range(4))
def test_who_knows_how_much_is_done_is_stopped_earlier(tmp_path: Path, seed: int) -> None:
    spent = {}
    for tells in (False, True):
        (tmp_path / str(tells)).mkdir()
        world = Landscape(tells=tells)
        _, trials = searched(tmp_path / str(tells), task_of(seed=seed), world.run_one)
        best = recommended(trials)
        assert best is not None
        assert best.settings == best_of_all(world)[0]
        spent[tells] = world.node_j
    assert spent[True] < spent[False]


def test_a_default_that_fails_ends_it(tmp_path: Path) -> None:
    search, trials = searched(tmp_path, task_of(), failing(Landscape(), lambda _: True))
    assert (search.ended, len(trials)) == (FAILED_DEFAULT, 1)


def test_an_interrupt_keeps_what_was_found_and_it_goes_on_from_there(tmp_path: Path) -> None:
    world = Landscape()
    count = iter(range(99))

    def run_one(number: int, settings: dict[str, Value], goes_on: GoesOn) -> Outcome:
        outcome = world.run_one(number, settings, goes_on)
        if next(count) == 4:
            return msgspec.structs.replace(outcome, state="interrupted")
        return outcome

    search, trials = searched(tmp_path, task_of(), run_one)
    assert search.ended == "interrupted"
    assert [t.state == "interrupted" for t in trials] == [False] * 4 + [True]
    again, more = searched(tmp_path, task_of(), world.run_one)
    assert [t.number for t in more[:5]] == [t.number for t in trials]
    assert again.ended == "24 trials"
    assert math.fsum(t.energy_j for t in more) == pytest.approx(world.node_j * WALL_RATIO)


def test_two_workers_share_what_they_found(tmp_path: Path) -> None:
    """In turns, each with a connection of its own: neither repeats the other's trials."""
    world, task = Landscape(), task_of(sampler="random")
    workers = [
        Searching(task, open_study("s", task, tmp_path / "study.log"), world.run_one)
        for _ in range(2)
    ]
    for turn in range(8):
        worker = workers[turn % 2]
        worker.task = msgspec.structs.replace(task, trials=turn + 1)
        worker.ended = ""
        worker.go()
    assert len(world.ran) == len({tuple(s.values()) for s in world.ran}) <= 8
    assert len(workers[0].trials()) == 8
    assert workers[0].trials() == workers[1].trials()


def test_a_setting_that_another_worker_runs_is_left_to_it(tmp_path: Path) -> None:
    """Unless that worker is dead: then its trial never ends, and somebody else has to."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host = this_worker().rpartition(":")[0]
    for name, worker, ran in (
        ("a", this_worker(), 1), ("b", "elsewhere:1", 1), ("c", f"{host}:{gone.pid}", 2),
    ):  # fmt: skip
        task = task_of(("batch=16,32", "amp=none", "lr=0.01"))
        study = open_study(name, task, tmp_path / "study.log")
        study.enqueue_trial({"batch": "32", "amp": "none", "lr": "0.01"})
        asked = study.ask()
        for dimension in task.space:
            asked.suggest_categorical(dimension.name, list(dimension.choices))
        asked.set_user_attr("worker", worker)
        world = Landscape()
        Searching(task, study, world.run_one).go()
        assert len(world.ran) == ran


def test_another_space_under_the_same_name_is_refused(tmp_path: Path) -> None:
    task = task_of()
    open_study("s", task, tmp_path / "study.log")
    with pytest.raises(UsageError, match="something else"):
        open_study("s", task_of(("batch=16,32",)), tmp_path / "study.log")


@pytest.mark.parametrize(
    "storage", ["nonsense://x", "postgresql://127.0.0.1:1/none", "no/such/folder/study.log"]
)
def test_a_place_that_keeps_nothing_is_one_error(storage: str) -> None:
    with pytest.raises(UsageError, match="cannot be kept there"):
        open_study("s", task_of(), storage)


def test_a_look_decodes_no_trial_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking costs the same however many trials there were: n trials are decoded n times."""
    decoded = []
    real = msgspec.json.decode
    monkeypatch.setattr(
        msgspec.json,
        "decode",
        lambda *a, **k: decoded.append(1) or real(*a, **k),  # type: ignore[func-returns-value]
    )
    searched(tmp_path, task_of(), Landscape().run_one)
    assert len(decoded) <= 24


def trial(number: int, energy_j: float, time_s: float, score: float, **more: Any) -> SearchTrial:
    return SearchTrial(
        number=number, settings={"batch": str(number)}, state="finished", kept=True,
        energy=Figure(energy_j, energy_j, energy_j, "J"), duration_s=time_s,
        metrics={"accuracy": score}, **more,
    )  # fmt: skip


def test_what_is_free_and_what_is_bought() -> None:
    task = task_of(("batch=0,1,2,3",))
    default = trial(0, 100.0, 10.0, 0.95, default=True)
    cases = [
        (trial(1, 60.0, 9.0, 0.95), True, ""),
        (trial(1, 60.0, 12.0, 0.95), False, "20 % more time"),
        (trial(1, 60.0, 12.0, 0.945), False, "20 % more time and accuracy 0.95 → 0.945"),
        (trial(1, 60.0, 9.0, 0.97), True, ""),
    ]
    for best, free, price in cases:
        found = result("id", "", "now", ["x", "{batch}"], task, [default, best], ended="")
        assert (found.free, found.bought_with) == (free, price)
        assert found.saving_ratio == pytest.approx(0.4)
        assert found.best_command == ("x", "1")
        assert found.payback_uses == pytest.approx(160 / 40)
    assert payback(default, default, Figure(1, 1, 1, "J")) is None
