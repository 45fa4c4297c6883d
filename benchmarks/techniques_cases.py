# SPDX-License-Identifier: Apache-2.0
"""What is compared for benchmarks/techniques.py: work as it is, and with one technique in it.

Each case makes two functions of a seed that do the work and return its quality. What is made once
(a trained teacher, a compiled model, tokens) is made before and told where it matters.
"""

import contextlib
import os
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from examples import digits_cnn, language_model, sentences, tabular
from submeter import reduce

Work = Callable[[int], float]
EPOCHS = 6
PRICE_PER_KWH = 3000.0  # accuracy: one hundredth for 3.3 mWh
WATTS = 28.0  # for the energy that the early stopping sees; the tables' energies are metered


class Case(NamedTuple):
    """A comparison; ``quality`` is "" where the work has none."""

    technique: str
    words: str
    quality: str
    make: Callable[[], tuple[Work, Work]]


def digits(
    seed: int,
    *,
    epochs: int = EPOCHS,
    batch: int = 64,
    before: Callable[[nn.Module], Any] | None = None,
    at: int = 0,
    change: Callable[[nn.Module], Any] | None = None,
    data: Any = None,
    stop: Callable[[], Any] | None = None,
) -> float:
    """Train the digits example, *change* made after epoch *at*; accuracy on what is held out."""
    torch.manual_seed(seed)
    train, held_out = digits_cnn.digits(seed)
    train = train if data is None else data(train)
    model = digits_cnn.network()
    if before is not None:
        before(model)
    optimiser = torch.optim.Adadelta(model.parameters())
    stopper = stop() if stop is not None else None
    for epoch in range(1, epochs + 1):
        digits_cnn.epoch_of(model, optimiser, train, batch)
        for group in optimiser.param_groups:
            group["lr"] *= 0.7
        if change is not None and epoch == at:
            change(model)
            rate = optimiser.param_groups[0]["lr"]
            optimiser = torch.optim.Adadelta(model.parameters(), lr=rate)
        if stopper is not None and stopper.update(digits_cnn.accuracy_of(model, held_out)):
            break
    return digits_cnn.accuracy_of(model, held_out)


def digits_case(**options: Any) -> Callable[[], tuple[Work, Work]]:
    return lambda: (digits, lambda seed: digits(seed, **options))


@cache
def corpus() -> Any:
    return language_model.corpus(1)


def asked(**changed: Any) -> Namespace:
    given = language_model.options(["--params", "0.1M", "--context", "64", "--batch", "16"])
    for name, value in {"steps": 40, "warmup": 5, "amp": False, **changed}.items():
        setattr(given, name, value)
    return given


def language(
    seed: int,
    given: Namespace,
    change: Callable[[nn.Module], Any] | None = None,
    sizes: Any = None,
) -> float:
    """Train the language model example; the loss held out [nat per byte]."""
    torch.manual_seed(seed)
    given.seed = seed
    model = language_model.LanguageModel(
        *language_model.shape_for(given.params, given.context), given.context
    )
    if change is not None:
        change(model)
    random = torch.Generator().manual_seed(seed)
    optimiser = language_model.optimiser_for(model, given)
    schedule = sizes(given.steps) if sizes is not None else None
    for step in range(given.steps):
        x, y = language_model.batch_of(corpus()[0], given, random)
        if schedule is not None:
            x, y = schedule.resized(x), schedule.resized(y)
            schedule.advance()
        for group in optimiser.param_groups:
            group["lr"] = language_model.learning_rate(step, given)
        loss = language_model.loss_of(model, x, y, given)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    return held_out(model, given)


def held_out(model: nn.Module, given: Namespace, rows: int = 16) -> float:
    model.eval()
    x, y = language_model.batch_of(
        corpus()[1],
        Namespace(**{**vars(given), "batch": rows}),
        torch.Generator().manual_seed(7),
    )
    with torch.no_grad():
        loss = float(language_model.loss_of(model, x, y, given))
    model.train()
    return loss


def mixed_precision() -> tuple[Work, Work]:
    given = asked(params=0.8e6, steps=4)
    return (
        lambda seed: language(seed, given),
        lambda seed: language(seed, given, reduce.mixed_precision),
    )


def attention() -> tuple[Work, Work]:
    given = asked(context=1024, batch=2, steps=6)
    return (
        lambda seed: language(seed, given),
        lambda seed: language(seed, given, lambda m: reduce.efficient_attention(m, window=64)),
    )


def progressive() -> tuple[Work, Work]:
    given = asked(context=128, steps=20)

    def sizes(steps: int) -> Any:
        return reduce.progressive_size(
            [], steps=steps, kind="sequence", start_ratio=0.25, multiple=8
        ).target

    return (lambda seed: language(seed, given), lambda seed: language(seed, given, sizes=sizes))


def to_target(seed: int, *, adaptive: bool, target: float = 3.5) -> float:
    """Train until the loss held out is *target*; the loss then. Batches of 64, as published."""
    torch.manual_seed(seed)
    given = asked(batch=64 if not adaptive else 8)
    given.seed = seed
    model = language_model.LanguageModel(*language_model.shape_for(1e5, 64), 64)
    accumulator = None
    if adaptive:
        accumulator = reduce.adaptive_batch(model, micro_batch=8, least=2, most=8).target
    random = torch.Generator().manual_seed(seed)
    optimiser = language_model.optimiser_for(model, given)
    loss, since, samples = 9.0, 0, 0
    while loss > target and samples < 20_000:
        x, y = language_model.batch_of(corpus()[0], given, random)
        language_model.loss_of(model, x, y, given).backward()
        since += given.batch
        samples += given.batch
        if accumulator is None or accumulator.after_backward():
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            if since >= 128:
                since, loss = 0, held_out(model, given, 32)
    return loss


def adaptive() -> tuple[Work, Work]:
    return (
        lambda seed: to_target(seed, adaptive=False),
        lambda seed: to_target(seed, adaptive=True),
    )


@cache
def encoder() -> tuple[Any, Any, Any]:
    """The sentence encoder, tokens to encode, and tokens to teach with."""
    model, tokeniser = sentences.loaded()
    words = sentences.sentences(800)
    return (
        model,
        sentences.batches(words[:96], tokeniser, 32),
        sentences.batches(words[96:], tokeniser, 16),
    )


def encoding(change: Callable[[nn.Module], Any]) -> tuple[Work, Work]:
    import copy

    model, tokens, _ = encoder()
    reference = sentences.encoded(model, tokens)
    changed = copy.deepcopy(model)
    changed = change(changed) or changed

    def work(used: nn.Module) -> float:
        return sentences.similarity(reference, sentences.encoded(used, tokens)).cosine

    return (lambda _: work(model), lambda _: work(changed))


def quantised(kind: str) -> Callable[[], tuple[Work, Work]]:
    return lambda: encoding(lambda m: reduce.quantise(m, kind=kind).target)


def distilled() -> tuple[Work, Work]:
    model, _, taught = encoder()
    student, _ = sentences.distilled(model, taught, 3, 30)
    return encoding(lambda _: student)


def rounding(seed: int, *, aware: bool) -> float:
    """Train a network of linear layers on digits, to be used in 4 bits; its accuracy there."""
    torch.manual_seed(seed)
    train, held = digits_cnn.digits(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    applied = reduce.quantisation_aware(model) if aware else None
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(10):
        digits_cnn.epoch_of(model, optimiser, train, 64)
    if applied is not None:
        applied.also["convert"]()
    else:
        reduce.quantise(model, kind="int4_weights")
    return digits_cnn.accuracy_of(model, held)


def doubled(data: Any) -> Any:
    """Digits of which the first 400 stand there twice."""
    images, labels = data
    return torch.cat([images, images[:400]]), torch.cat([labels, labels[:400]])


def single(data: Any) -> Any:
    images, labels = doubled(data)
    kept = reduce.deduplicate(images).target
    return images[kept], labels[kept]


def pruned_data(data: Any) -> Any:
    images, labels = data
    kept = reduce.prune_data(images, labels=labels.tolist(), share=0.6, which="hard").target
    return images[kept], labels[kept]


def table_rows(share: float) -> Work:
    """Boosted trees over *share* of the rows of a table, by one thread; their accuracy."""
    from threadpoolctl import threadpool_limits

    def work(seed: int) -> float:
        with (
            Path(os.devnull).open("w", encoding="utf-8") as nowhere,
            contextlib.redirect_stdout(nowhere),
            threadpool_limits(1),
        ):
            return tabular.main(["--seed", str(seed), "--keep", str(share)])

    return work


def efficient_batch() -> tuple[Work, Work]:
    train, _ = digits_cnn.digits(1)
    model = digits_cnn.network()

    def step(batch: int) -> None:
        model(train[0][:batch]).sum().backward()

    batch = reduce.batch_size(step, sizes=(16, 32, 64, 128, 256, 512), repeats=5).target
    return (digits, lambda seed: digits(seed, batch=batch))


class Images(TensorDataset):  # type: ignore[misc]
    """Digits with a little work for each, as data sets have."""

    def __getitem__(self, index: int) -> Any:
        image, label = super().__getitem__(index)
        return image + 0.01 * torch.rand(1), label


def loaders() -> tuple[Work, Work]:
    data = Images(*digits_cnn.digits(1)[0])
    given = DataLoader(data, batch_size=64, num_workers=2)
    chosen = reduce.loader(given, workers=(0, 2), batches=10).target

    def work(loader: Any) -> float:
        model = digits_cnn.network()
        for _ in range(2):
            for images, _ in loader:
                model(images).sum().backward()
        return 0.0

    return (lambda _: work(given), lambda _: work(chosen))


def idle() -> tuple[Work, Work]:
    train, _ = digits_cnn.digits(1)

    def slow() -> Iterator[torch.Tensor]:
        for rows in torch.arange(len(train[0])).split(64):
            time.sleep(0.02)  # storage that answers after 20 ms
            yield train[0][rows]

    def work(batches: Any) -> float:
        model = digits_cnn.network()
        for images in batches:
            for _ in range(4):
                model(images).sum().backward()
        return 0.0

    return (lambda _: work(slow()), lambda _: work(reduce.remove_idle(slow()).target))


def compiled() -> tuple[Work, Work]:
    given = asked(batch=16)
    model = language_model.LanguageModel(*language_model.shape_for(1e5, 64), 64)
    x, y = language_model.batch_of(corpus()[0], given, torch.Generator().manual_seed(1))

    def work(used: Any, steps: int = 30) -> float:
        for _ in range(steps):
            loss = language_model.loss_of(used, x, y, given)
            loss.backward()
        return 0.0

    applied = reduce.compile(model)
    work(applied.target, 1)
    return (lambda _: work(model), lambda _: work(applied.target))


def scaled() -> tuple[Work, Work]:
    large, small = (reduce.compound_scaling(phi, labels=10) for phi in (-4, -8))

    def work(applied: Any) -> float:
        size = int(applied.found["image_size"])
        images = torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(1))
        for _ in range(3):
            applied.target(images).logits.sum().backward()
        return 0.0

    return (lambda _: work(large), lambda _: work(small))


def stopping() -> Any:
    return reduce.early_stopping(
        PRICE_PER_KWH, energy_j=lambda: WATTS * time.process_time(), epochs=14
    ).target


EXAMPLE = torch.zeros(2, 1, 8, 8)
CASES = (
    Case("mixed_precision", "language model 0.8 M, bf16, 4 steps", "loss", mixed_precision),
    Case("quantise", "sentence encoder, int8", "cosine", quantised("int8")),
    Case("quantise", "sentence encoder, int8 weights", "cosine", quantised("int8_weights")),
    Case("quantisation_aware", "digits in 4 bits, against rounding after training", "accuracy",
         lambda: (lambda s: rounding(s, aware=False), lambda s: rounding(s, aware=True))),
    Case("early_stopping", "digits CNN, 14 epochs, 3000 accuracy a kWh", "accuracy",
         lambda: (lambda s: digits(s, epochs=14),
                  lambda s: digits(s, epochs=14, stop=stopping))),
    Case("prune_channels", "digits CNN, half of the channels after epoch 2 of 6", "accuracy",
         digits_case(at=2, change=lambda m: reduce.prune_channels(m, example=EXAMPLE))),
    Case("prune_masks", "digits CNN, 80 % masked after epoch 2 of 6", "accuracy",
         digits_case(at=2, change=lambda m: reduce.prune_masks(m, ratio=0.8))),
    Case("sparsity_2_4", "digits CNN, after epoch 2 of 6", "accuracy",
         digits_case(at=2, change=reduce.sparsity_2_4)),
    Case("distil", "sentence encoder in use, 3 layers for 6", "cosine", distilled),
    Case("depthwise_separable", "digits CNN, 6 epochs", "accuracy",
         digits_case(before=reduce.depthwise_separable)),
    Case("compound_scaling", "EfficientNet φ −8 against −4, 3 steps", "", scaled),
    Case("efficient_attention", "language model, window 64 of 1024, 6 steps", "loss", attention),
    Case("progressive_size", "language model, rows from a quarter of 128", "loss", progressive),
    Case("freeze", "digits CNN, convolutions frozen after epoch 2 of 6", "accuracy",
         digits_case(at=2, change=lambda m: reduce.freeze(m, names=r"^[02]\."))),
    Case("deduplicate", "digits CNN, 22 % of the images there twice", "accuracy",
         lambda: (lambda s: digits(s, data=doubled), lambda s: digits(s, data=single))),
    Case("prune_data", "digits CNN, 60 % of the images", "accuracy",
         digits_case(data=pruned_data)),
    Case("prune_data", "boosted trees on a table, 60 % of the rows", "accuracy",
         lambda: (table_rows(1.0), table_rows(0.6))),
    Case("batch_size", "digits CNN, most efficient batch for 64, same epochs", "accuracy",
         efficient_batch),
    Case("adaptive_batch", "language model 0.1 M to the same loss, against 64", "loss", adaptive),
    Case("loader", "digits, against 2 workers", "", loaders),
    Case("compile", "language model 0.1 M, 30 steps after compiling", "", compiled),
    Case("channels_last", "digits CNN, 6 epochs", "accuracy",
         digits_case(before=reduce.channels_last)),
    Case("remove_idle", "digits, storage that answers after 20 ms", "", idle),
)  # fmt: skip
