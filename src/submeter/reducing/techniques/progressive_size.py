# SPDX-License-Identifier: Apache-2.0
"""Small images or short sequences first, full ones at the end."""

from collections.abc import Iterator
from typing import Any, Final, Literal

from submeter.errors import UsageError
from submeter.reducing.techniques.libraries import library
from submeter.reducing.techniques.protocol import Applied, Method

Kind = Literal["image", "sequence"]
_IMAGE_DIMENSIONS: Final = 4


class Progressive:
    """Batches of a loader, made smaller by a schedule; call `advance` after each step or epoch."""

    def __init__(
        self,
        batches: Any,
        kind: Kind,
        *,
        start_ratio: float,
        stages: int,
        steps: int,
        multiple: int,
    ) -> None:
        self._batches, self._kind = batches, kind
        self._start, self._stages, self._steps = start_ratio, stages, steps
        self._multiple = multiple
        self.step = 0

    @property
    def ratio(self) -> float:
        """Size now, as a share of the full one [1]: a staircase up to 1."""
        stage = min(self._stages - 1, self.step * self._stages // max(1, self._steps))
        return self._start + (1 - self._start) * stage / max(1, self._stages - 1)

    def advance(self) -> None:
        """One step (or epoch) of the schedule is done."""
        self.step += 1

    def resized(self, batch: Any) -> Any:
        """*batch* at the size of now; tensors that are no images or sequences stay."""
        if self.ratio >= 1:
            return batch
        if isinstance(batch, dict):
            return {k: self.resized(v) for k, v in batch.items()}
        if isinstance(batch, (tuple, list)):
            return type(batch)(self.resized(v) for v in batch)
        dimensions = getattr(batch, "ndim", 0)
        if self._kind == "image":
            return self._smaller(batch) if dimensions == _IMAGE_DIMENSIONS else batch
        return batch[:, : self._length(batch.shape[1])] if dimensions > 1 else batch

    def __iter__(self) -> Iterator[Any]:
        for batch in self._batches:
            yield self.resized(batch)

    def __len__(self) -> int:
        return len(self._batches)

    def _length(self, full: int) -> int:
        if full <= self._multiple:
            return full
        return min(
            full, max(self._multiple, round(full * self.ratio / self._multiple) * self._multiple)
        )

    def _smaller(self, images: Any) -> Any:
        functional = library("torch.nn.functional")
        size = tuple(self._length(n) for n in images.shape[-2:])
        return functional.interpolate(images, size=size, mode="area")


class ProgressiveSize(Method):
    """A schedule of sizes around any loader."""

    name = "progressive_size"
    group = "less work"
    what = "Training starts with small images or short sequences and ends with full ones."
    why = "Coarse features are learnt at a fraction of the operations."
    price = "A schedule to choose; regularisation should grow with the size (EfficientNetV2)."
    when_it_does_not_help = (
        "Networks tied to one size; images so small already that detail is all there is."
    )
    takes = "loader"

    def apply(
        self,
        target: Any,
        *,
        steps: int = 0,
        kind: Kind = "image",
        start_ratio: float = 0.5,
        stages: int = 4,
        multiple: int = 2,
        **options: Any,
    ) -> Applied:
        """Wrap the batches of *target*.

        Parameters
        ----------
        steps
            After how many calls of ``advance()`` the schedule ends.
        kind
            ``image`` (last two dimensions shrink) or ``sequence`` (the second is cut).
        start_ratio, stages
            Size at the start as a share of the full one [1], and steps of the staircase.
        multiple
            Sizes are multiples of this.
        """
        self.no_more(options)
        if steps < 1 or not 0 < start_ratio <= 1 or stages < 1:
            raise UsageError(
                "a schedule of sizes wants its steps, and a start between 0 and 1",
                remedy="submeter.reduce.progressive_size(loader, steps=epochs)",
            )
        fit = self.checked(None)
        made = Progressive(
            target, kind, start_ratio=start_ratio, stages=stages, steps=steps, multiple=multiple
        )
        notes = (f"{kind} sizes from {100 * start_ratio:.0f} % in {stages} stages",)
        return Applied(self.name, made, back=lambda: target, fit=fit, notes=notes)


TECHNIQUE = ProgressiveSize()
