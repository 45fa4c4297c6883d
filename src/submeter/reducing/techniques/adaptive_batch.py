# SPDX-License-Identifier: Apache-2.0
"""As many micro-batches a step as the noise of the gradient calls for.

The gradient noise scale ``B = tr(Σ) / |G|²`` is the batch at which the noise of the gradient is
as large as the gradient (McCandlish, Kaplan, Amodei et al. 2018, arXiv:1812.06162, appendix A.1):
well below it a doubled batch nearly halves the steps, well above it samples are wasted. It grows
while the loss falls, so a training is best begun with small batches and ended with large ones.

Of gradients of two sizes of batch, b < B, unbiased:
``|G|² = (B |g_B|² - b |g_b|²) / (B - b)``, ``tr(Σ) = (|g_b|² - |g_B|²) / (1/b - 1/B)``.
Both are averaged over steps before the division, for the ratio of single ones is heavy-tailed.
"""

import math
from typing import Any, Final

from submeter.errors import UsageError
from submeter.reducing.techniques.libraries import library
from submeter.reducing.techniques.machine import machine_of
from submeter.reducing.techniques.protocol import Applied, Method

SMOOTHING: Final = 0.9  # of the past in the averages


class NoiseScale:
    """Averages what gradients of two batch sizes say of the noise scale."""

    def __init__(self, smoothing: float = SMOOTHING) -> None:
        self._smoothing = smoothing
        self._signal = self._noise = self._weight = 0.0

    def update(self, small: int, small_norm2: float, large: int, large_norm2: float) -> None:
        """Take squared norms of the mean gradient over *small* and over *large* samples."""
        if large <= small:
            return
        signal = (large * large_norm2 - small * small_norm2) / (large - small)
        noise = (small_norm2 - large_norm2) / (1 / small - 1 / large)
        keep = self._smoothing
        self._signal = keep * self._signal + (1 - keep) * signal
        self._noise = keep * self._noise + (1 - keep) * noise
        self._weight = keep * self._weight + (1 - keep)

    @property
    def samples(self) -> float:
        """The noise scale [samples]; nan before anything was seen, inf where noise is all."""
        if not self._weight:
            return math.nan
        return max(0.0, self._noise) / self._signal if self._signal > 0 else math.inf


class Accumulator:
    """Counts micro-batches and says when to step; the gradients stand in ``p.grad`` as a sum.

    ``after_backward()`` after each ``loss.backward()``: when it gives True, ``p.grad`` is the mean
    over all samples since the last step, and it is time for ``optimizer.step()``.
    """

    def __init__(self, model: Any, micro: int, least: int, most: int, ratio: float) -> None:
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._micro, self._least, self._most, self._ratio = micro, least, most, ratio
        self.noise = NoiseScale()
        self.micro_batches = least
        self.done = 0
        self._sum = 0.0  # of squared norms of the micro-batches' gradients
        self._before: list[Any] | None = None

    @property
    def batch(self) -> int:
        """Samples of a step now."""
        return self.micro_batches * self._micro

    def after_backward(self) -> bool:
        """Take the gradient that was added; True when the step is due."""
        torch = library("torch")
        grads = [p.grad for p in self._parameters if p.grad is not None]
        with torch.no_grad():
            before = self._before
            # torch's own optimisers subtract lists of tensors like this
            own = grads if before is None else torch._foreach_sub(grads, before)  # noqa: SLF001
            self._sum += _norm2(own, torch)
            self.done += 1
            if self.done < self.micro_batches:
                self._before = [g.clone() for g in grads]
                return False
            for g in grads:
                g.div_(self.done)
            whole = _norm2(grads, torch)
        self.noise.update(self._micro, self._sum / self.done, self.done * self._micro, whole)
        self._choose()
        self.done, self._sum, self._before = 0, 0.0, None
        return True

    def _choose(self) -> None:
        wanted = self.noise.samples * self._ratio / self._micro
        if not math.isnan(wanted):
            self.micro_batches = int(min(self._most, max(self._least, round(min(wanted, 1e9)))))


class AdaptiveBatch(Method):
    """Accumulation steered by the gradient noise scale."""

    name = "adaptive_batch"
    by_itself = False
    group = "better use of the machine"
    what = "Accumulates micro-batches up to the gradient noise scale, measured on the way."
    why = "Fewer samples for the same loss while the gradient is clear: early on."
    price = "More optimiser steps early; two norms a micro-batch; batches that change in size."
    when_it_does_not_help = (
        "Devices that only large batches fill, unless the micro-batch does; trainings whose "
        "batch is below the noise scale anyway."
    )

    def apply(
        self,
        target: Any,
        *,
        micro_batch: int = 16,
        least: int = 2,
        most: int = 16,
        ratio: float = 1.0,
        **options: Any,
    ) -> Applied:
        """Give an `Accumulator` for model *target*.

        Parameters
        ----------
        micro_batch
            Samples of one backward pass.
        least, most
            Micro-batches of a step; two at least, for one says nothing of the noise.
        ratio
            Batch over noise scale [1].
        """
        self.no_more(options)
        if micro_batch < 1 or not 2 <= least <= most or ratio <= 0:  # noqa: PLR2004
            raise UsageError(
                "a step has two micro-batches at least, and no more at least than at most",
                remedy="micro_batch=16, least=2, most=16",
            )
        fit = self.checked(target, machine_of(target))
        made = Accumulator(target, micro_batch, least, most, ratio)
        notes = (f"{least * micro_batch} to {most * micro_batch} samples a step",)
        return Applied(self.name, made, back=lambda: target, fit=fit, notes=notes)


def _norm2(tensors: Any, torch: Any) -> float:
    return float(sum(torch.sum(t.float() ** 2) for t in tensors))


TECHNIQUE = AdaptiveBatch()
