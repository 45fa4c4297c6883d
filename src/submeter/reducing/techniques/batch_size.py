# SPDX-License-Identifier: Apache-2.0
"""The largest batch that fits, and the one that takes least energy a sample."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from submeter.errors import UsageError
from submeter.reducing.techniques.libraries import installed, library, quietly
from submeter.reducing.techniques.protocol import Applied, Method

Goal = Literal["efficient", "largest"]
REPEATS: Final = 3
START: Final = 1024  # from which accelerate comes down


class BatchSize(Method):
    """accelerate's `find_executable_batch_size` for memory, measuring for energy."""

    name = "batch_size"
    group = "better use of the machine"
    what = "Finds the largest batch that fits, or measures which takes least joules a sample."
    why = "Fixed costs of a step are shared by more samples; idle lanes are filled."
    price = "A few steps of measuring; another batch wants another learning rate."
    when_it_does_not_help = (
        "Batches above the gradient noise scale need more samples for the same loss: joules a "
        "sample fall and joules to the goal rise. See adaptive_batch."
    )
    needs = ()
    takes = "step"

    def apply(
        self,
        target: Any,
        *,
        sizes: Sequence[int] = (8, 16, 32, 64, 128, 256),
        goal: Goal = "efficient",
        energy_j: Callable[[], float] | None = None,
        repeats: int = REPEATS,
        **options: Any,
    ) -> Applied:
        """Find the batch for the training step *target*: a function of the batch size.

        Parameters
        ----------
        sizes
            To measure; for ``largest``, the highest is where the search comes down from.
        goal
            ``efficient`` (least energy a sample) or ``largest`` (that fits into memory).
        energy_j
            A meter's energy so far [J]; the CPU time of the process if None, to which the
            energy of a processor is near enough proportional to rank by.
        repeats
            Steps of each size that are measured, the least of which counts; one warms up.
        """
        self.no_more(options)
        if not callable(target) or not sizes or min(sizes) < 1:
            raise UsageError(
                "a batch is found by a function that does one training step of a given size",
                remedy="submeter.reduce.batch_size(lambda batch: train_step(batch))",
            )
        if goal == "largest":
            size = largest(target, max(sizes))
            notes = (f"{size} samples fit",)
            return Applied(self.name, size, notes=notes, found={"largest": size})
        meter = energy_j or time.process_time
        unit = "j" if energy_j else "cpu_s"
        found = {}
        for size in sorted(set(sizes)):
            spent = _least(target, size, meter, repeats)
            if spent is None:  # it does not fit, and larger ones will not either
                break
            found[size] = spent / size
        if not found:
            raise UsageError("no batch size fits into memory", remedy="give smaller sizes")
        best = min(found, key=found.__getitem__)
        told = {f"{unit}_per_sample_{size}": each for size, each in found.items()}
        notes = (f"{best} samples take least: {found[best]:.3g} {unit} each",)
        return Applied(self.name, best, notes=notes, found=told)


def largest(step: Callable[[int], Any], start: int = START) -> int:
    """Largest batch that *step* does without running out of memory, halving down from *start*."""
    if installed("accelerate"):
        with quietly():
            memory = library("accelerate.utils.memory")
            tried = []

            def attempt(batch_size: int) -> int:
                tried.append(batch_size)
                step(batch_size)
                return batch_size

            try:
                memory.find_executable_batch_size(
                    attempt, starting_batch_size=start, reduce_batch_size_fn=lambda: tried[-1] // 2
                )()
            except RuntimeError as exc:
                if "No executable batch size" not in str(exc):
                    raise
                raise UsageError("not even one sample fits", remedy="a smaller model") from exc
            return tried[-1]
    size = start
    while size >= 1:
        if _fits(step, size):
            return size
        size //= 2
    raise UsageError("not even one sample fits into memory", remedy="a smaller model or sample")


def _fits(step: Callable[[int], Any], size: int) -> bool:
    try:
        step(size)
    except (MemoryError, RuntimeError) as exc:
        if not isinstance(exc, MemoryError) and "memory" not in str(exc).lower():
            raise
        return False
    return True


def _least(
    step: Callable[[int], Any], size: int, meter: Callable[[], float], repeats: int
) -> float | None:
    if not _fits(step, size):
        return None
    spent = []
    for _ in range(max(1, repeats)):
        before = meter()
        step(size)
        spent.append(meter() - before)
    return min(spent)


TECHNIQUE = BatchSize()
