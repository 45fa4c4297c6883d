# SPDX-License-Identifier: Apache-2.0
"""Techniques around the model: stopping, data, batches, loaders, nodes."""

import math
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from submeter import reduce
from submeter.errors import InfeasibleError, UsageError
from submeter.reducing.techniques.adaptive_batch import NoiseScale
from submeter.reducing.techniques.batch_size import largest
from submeter.reducing.techniques.curves import ahead
from submeter.reducing.techniques.early_stopping import Stopper
from submeter.reducing.techniques.node_count import consolidated
from tests.reducing.models import network

CURVES: list[Callable[[float], float]] = [
    lambda t: 0.95 - 0.5 * t**-0.7,
    lambda t: 0.9 - 0.6 * math.exp(-t / 5),
    lambda t: 0.8 - 0.3 * t**-1.2,
    lambda t: 0.99 - 0.4 * math.exp(-t / 12),
]


def test_the_interval_of_a_curve_holds_what_comes() -> None:
    chance, held, whole = random.Random(3), 0, 0  # noqa: S311  # no secret
    for _ in range(60):
        for curve in CURVES:
            seen = chance.choice((8, 12, 20))
            later = chance.choice((1, 3, 6))
            values = [curve(t) + chance.gauss(0, 0.004) for t in range(1, seen + later + 1)]
            course = ahead(values[:seen], later)
            assert course is not None
            low, high = course.interval(0.9)
            held += low <= values[-1] <= high
            whole += 1
    assert 0.82 <= held / whole <= 0.98  # 240 of them: ± 0.04
    assert ahead([1.0, 2.0, 3.0], 1) is None


def test_a_flat_curve_is_forecast_flat() -> None:
    course = ahead([0.5] * 10, 5)
    assert course is not None
    assert course.mean == pytest.approx(0.5)


def stopped(price: float, better: str = "higher", epochs: int = 60) -> tuple[int, Stopper]:
    used = [0.0]
    stopper = reduce.early_stopping(
        price, energy_j=lambda: used[0], better=better, epochs=epochs
    ).target
    chance = random.Random(1)  # noqa: S311  # no secret
    for epoch in range(1, epochs + 1):
        used[0] += 3600.0  # a watt-hour an epoch
        value = 0.95 - 0.6 * math.exp(-epoch / 6) + chance.gauss(0, 0.002)
        if stopper.update(value if better == "higher" else -value):
            return epoch, stopper
    return epochs, stopper


def test_a_dearer_price_stops_earlier_and_no_price_never() -> None:
    cheap, middle, dear = (stopped(p)[0] for p in (0.05, 1.0, 10.0))
    assert cheap > middle > dear >= 5
    assert stopped(0.0)[0] == 60
    assert stopped(1.0, "lower")[0] == middle
    _, stopper = stopped(1.0)
    last = stopper.looks[-1]
    # what the curve really brings in the best of the next epochs is worth less than the price
    left = [
        0.6 * (math.exp(-last.epoch / 6) - math.exp(-(last.epoch + h) / 6)) / h for h in (1, 5)
    ]
    assert max(left) / 0.001 < 1.0
    assert 0 <= last.gain_per_kwh <= last.gain_high_per_kwh < 1.0
    assert stopper.best_epoch > 10


def test_a_curve_that_still_climbs_is_not_stopped() -> None:
    used = [0.0]
    stopper = reduce.early_stopping(1.0, energy_j=lambda: used[0]).target
    for epoch in range(1, 40):
        used[0] += 3600.0
        assert not stopper.update(0.01 * epoch)


def test_stopping_asks_for_a_price_and_a_run() -> None:
    with pytest.raises(UsageError, match="price"):
        reduce.early_stopping("accuracy")
    with pytest.raises(UsageError, match="no run"):
        reduce.early_stopping(1.0)


def test_without_energy_or_numbers_nothing_is_stopped() -> None:
    stopper = reduce.early_stopping(1e9, energy_j=lambda: 0.0).target
    assert not any(stopper.update(0.5) for _ in range(6))
    assert "no energy" in stopper.looks[-1].why
    lost = reduce.early_stopping(1e9, energy_j=lambda: 0.0).target
    assert not any(lost.update(math.nan) for _ in range(6))


@given(st.lists(st.text(max_size=3), max_size=30))
def test_what_is_kept_are_the_first_of_equal_examples(texts: list[str]) -> None:
    kept = reduce.deduplicate(texts).target
    assert [texts[i] for i in kept] == list(dict.fromkeys(texts))


def test_near_copies_are_found_by_likeness_and_shape_is_no_copy() -> None:
    torch.manual_seed(0)
    rows = torch.randn(20, 16)
    double = torch.cat([rows, rows[:5], rows[5:8] + 0.01 * torch.randn(3, 16)])
    assert reduce.deduplicate(double).target == [*range(20), 25, 26, 27]
    assert reduce.deduplicate(double, likeness=0.99).target == list(range(20))
    assert reduce.deduplicate([torch.zeros(4), torch.zeros(2, 2), b"a", (b"a", 1)]).found == {
        "examples": 4, "kept": 4,
    }  # fmt: skip


@pytest.mark.parametrize("which", ["hard", "easy"])
def test_data_are_kept_by_class_and_hardness(which: str) -> None:
    torch.manual_seed(0)
    labels = [i % 2 for i in range(40)]
    rows = torch.randn(40, 3) + torch.tensor(labels)[:, None] * 10
    kept = reduce.prune_data(rows, labels=labels, share=0.25, which=which).target
    assert [sum(labels[i] == c for i in kept) for c in (0, 1)] == [5, 5]
    own = torch.stack([rows[i] for i in range(40) if labels[i] == 0])
    far = (own - own.mean(0)).norm(dim=1)
    chosen = {i // 2 for i in kept if labels[i] == 0}
    order = far.argsort(descending=which == "hard").tolist()
    assert chosen == set(order[:5])
    scored = reduce.prune_data(rows, share=0.1, scores=list(range(40)), which=which).target
    assert scored == ([36, 37, 38, 39] if which == "hard" else [0, 1, 2, 3])


def test_sizes_grow_by_the_schedule_and_end_full() -> None:
    batches = [(torch.randn(2, 1, 8, 8), torch.zeros(2))] * 4
    made = reduce.progressive_size(batches, steps=4, stages=3, start_ratio=0.5).target
    sizes = []
    for images, labels in made:
        sizes.append(images.shape[-1])
        assert labels.shape == (2,)
        made.advance()
    assert sizes == [4, 4, 6, 8]
    rows = reduce.progressive_size(
        [{"ids": torch.zeros(2, 32)}], steps=2, kind="sequence", multiple=8
    ).target
    assert next(iter(rows))["ids"].shape == (2, 16)


def test_the_most_efficient_batch_is_measured_and_the_largest_found() -> None:
    used = [0.0]

    def step(batch: int) -> None:
        if batch > 64:
            raise RuntimeError("CUDA out of memory.")
        used[0] += 10 + batch + batch**2 / 40  # joules: a fixed part, and one that grows

    applied = reduce.batch_size(step, sizes=(4, 16, 32, 64, 128), energy_j=lambda: used[0])
    assert applied.target == 16
    assert applied.found["j_per_sample_16"] == pytest.approx((10 + 16 + 6.4) / 16)
    assert set(applied.found) == {f"j_per_sample_{b}" for b in (4, 16, 32, 64)}
    assert reduce.batch_size(step, goal="largest", sizes=(512,)).target == 64

    def broken(batch: int) -> None:
        raise RuntimeError(f"shape {batch}")

    with pytest.raises(RuntimeError, match="shape"):
        reduce.batch_size(broken)

    def never(batch: int) -> None:
        raise MemoryError(f"out of memory at {batch}")

    with pytest.raises(UsageError):
        reduce.batch_size(never)
    with pytest.raises((UsageError, MemoryError)):
        largest(never, 4)


def test_the_noise_scale_is_that_of_a_gradient_whose_noise_is_known() -> None:
    chance = torch.Generator().manual_seed(0)
    size, sigma2, signal2 = 400, 25.0, 4.0
    gradient = torch.full((size,), math.sqrt(signal2 / size))
    noise = NoiseScale(smoothing=0.99)
    for _ in range(400):
        small = [
            gradient + torch.randn(size, generator=chance) * math.sqrt(sigma2 / size / 8)
            for _ in range(4)
        ]
        whole = torch.stack(small).mean(0)
        mean2 = sum(float(g.square().sum()) for g in small) / 4
        noise.update(8, mean2, 32, float(whole.square().sum()))
    assert noise.samples == pytest.approx(sigma2 / signal2, rel=0.1)
    assert math.isnan(NoiseScale().samples)


def test_accumulated_gradients_are_the_mean_and_their_count_follows_the_noise() -> None:
    model = network(8)
    accumulator = reduce.adaptive_batch(model, micro_batch=4, least=2, most=6).target
    x, y = torch.randn(8, 8), torch.randn(8, 16)
    due = False
    for part in (slice(0, 4), slice(4, 8)):
        (model(x[part]) - y[part]).square().mean().backward()
        due = accumulator.after_backward()
    assert due
    got = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    (model(x) - y).square().mean().backward()
    for a, p in zip(got, model.parameters(), strict=True):
        assert torch.allclose(a, p.grad, atol=1e-6)
    assert accumulator.micro_batches == min(6, max(2, round(accumulator.noise.samples / 4)))
    accumulator.noise = NoiseScale()
    accumulator.noise.update(4, 100.0, 8, 51.0)  # nearly all noise
    accumulator._choose()
    assert accumulator.batch == 24


def test_a_loader_is_made_anew_with_the_workers_that_were_fastest() -> None:
    data = TensorDataset(torch.arange(40.0))
    given_loader = DataLoader(data, batch_size=4, shuffle=True, drop_last=True)
    threads = torch.get_num_threads()
    applied = reduce.loader(given_loader, workers=(0,), threads=1)
    seen = torch.cat([batch[0] for batch in applied.target])
    assert sorted(seen.tolist()) == list(range(40))
    assert applied.target.num_workers == 0
    assert "no gain on this device" in applied.notes[-1] or torch.cuda.is_available()
    assert applied.undo() is given_loader
    assert torch.get_num_threads() == threads
    with pytest.raises(UsageError):
        reduce.loader([1, 2])


def test_batches_are_fetched_ahead_in_order_and_errors_come_through() -> None:
    working, fetched = threading.Event(), []

    def source() -> Iterator[int]:
        for i in range(5):
            if i == 1:
                assert working.wait(10)  # only goes on once the first batch is worked on
            fetched.append(i)
            yield i

    class Batches:
        def __iter__(self) -> Iterator[int]:
            return source()

        def __len__(self) -> int:
            return 5

    made = reduce.remove_idle(Batches(), ahead=2).target
    got = []
    for batch in made:
        working.set()
        got.append(batch)
    assert got == fetched == list(range(5))
    assert len(made) == 5
    assert made.fetched_s > 0

    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("of the data")

    with pytest.raises(ValueError, match="of the data"):
        list(reduce.remove_idle(broken()).target)
    before = threading.active_count()
    for one in reduce.remove_idle(range(100)).target:
        if one == 3:
            break
    assert threading.active_count() == before


def test_nodes_are_chosen_by_measured_scaling() -> None:
    scaling = {1: (100.0, 400.0), 2: (180.0, 800.0), 4: (280.0, 1600.0)}
    applied = reduce.node_count(scaling, work=1e6)
    assert applied.target == 1
    assert applied.found["energy_j_4"] == pytest.approx(1e6 / 280 * 1600)
    assert reduce.node_count(scaling, work=1e6, deadline_s=6000).target == 2
    assert [s.workers for s in applied.also["front"]] == [1, 2, 4]
    with pytest.raises(InfeasibleError):
        reduce.node_count(scaling, work=1e6, deadline_s=10)
    with pytest.raises(UsageError):
        reduce.node_count({})


@given(st.lists(st.floats(0, 1), max_size=40))
def test_consolidation_keeps_every_load_and_no_node_overflows(loads: list[float]) -> None:
    nodes = consolidated(loads)
    assert sorted(i for node in nodes for i in node) == list(range(len(loads)))
    assert all(sum(loads[i] for i in node) <= 1 + 1e-6 for node in nodes)
    assert len(nodes) <= 11 / 9 * max(1, math.ceil(sum(loads) * 2)) + 1


def test_a_model_without_gradients_is_refused() -> None:
    with pytest.raises(UsageError):
        reduce.adaptive_batch(nn.Linear(2, 2), least=1)


def test_compiling_tells_when_it_has_paid() -> None:
    applied: Any = reduce.compile(network(), backend="eager")
    applied.target(torch.randn(2, 64))
    assert applied.found["compile_s"] > 0
    applied.found["compile_s"] = 30.0
    assert applied.also["until_paid"](0.05, 0.02) == pytest.approx(1000)
    assert applied.also["until_paid"](0.02, 0.05) == math.inf


def test_the_energy_of_a_run_is_read_while_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    import submeter

    monkeypatch.setenv("SUBMETER_HOME", str(tmp_path / "home"))
    with submeter.measure("stopping") as run:
        stopper = reduce.early_stopping(1e12, patience=1).target
        until_s = time.process_time() + 8
        stop = False
        while not stop and time.process_time() < until_s:
            end_s = time.process_time() + 0.1
            while time.process_time() < end_s:
                sum(range(1000))
            stop = stopper.update(0.5 + 1e-6 * len(stopper.looks))
        read_j = stopper._used_j[-1]
    energy = run.energy_devices
    assert stop
    assert isinstance(energy, submeter.Figure)
    assert 0 < read_j <= energy.value


def test_a_trainer_is_stopped_through_its_callback() -> None:
    from transformers import TrainerControl, TrainerState

    used = [0.0]
    stopper = reduce.early_stopping(10.0, energy_j=lambda: used[0], patience=1).target
    callback, control = stopper.transformers_callback("eval_accuracy"), TrainerControl()
    for epoch in range(1, 30):
        used[0] += 3600.0
        metrics = {"eval_accuracy": 0.9 - 0.5 * math.exp(-epoch / 2)}
        callback.on_evaluate(None, TrainerState(), control, metrics=metrics)
        if control.should_training_stop:
            break
    assert 4 <= len(stopper.looks) < 29
    with pytest.raises(UsageError, match="lightning"):
        stopper.lightning_callback("accuracy")
