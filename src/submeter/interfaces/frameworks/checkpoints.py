# SPDX-License-Identifier: Apache-2.0
"""A PyTorch training that can be paused: its whole state in one file, and back to the last bit.

``submeter run --when`` asks for a pause by a signal. Between two batches the training then writes
its checkpoint and ends with `PAUSED_EXIT`; started again with the same command it goes on where
it was. What is kept: every object that is given and has ``state_dict``, the states of all random
number generators, and the position in the loader.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from submeter.errors import UsageError
from submeter.storing.lines import sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType, TracebackType

__all__ = ["PAUSED_EXIT", "Checkpoint", "checkpointing"]

PAUSED_EXIT: Final = 75  # sysexits.h, EX_TEMPFAIL: try again later
PAUSE_VARIABLE: Final = "SUBMETER_PAUSE_SIGNAL"
_FORMAT: Final = 1


def checkpointing(
    path: str | os.PathLike[str], *, pause_signal: str | None = None, **parts: Any
) -> Checkpoint:
    """Checkpoint of a training at *path*, read if it is there; used as a context manager.

    Parameters
    ----------
    path
        The file. It is written when the training is asked to pause, and removed when the block
        ends without an exception: what is trained is then yours to save.
    pause_signal
        Name of the signal that asks; ``SUBMETER_PAUSE_SIGNAL``, else ``SIGUSR1``.
    parts
        What is to be kept, by a name of your own: model, optimiser, schedule, scaler: anything
        with ``state_dict()`` and ``load_state_dict()``.

    Raises
    ------
    UsageError
        If a part has no state, the file is of another training, or the training runs on several
        ranks (they would not pause at the same step).

    Examples
    --------
    >>> with submeter.checkpointing("run.pt", model=model, optimizer=optimizer) as kept:  # doctest: +SKIP
    ...     for epoch, (x, y) in kept.batches(loader, epochs=3):
    ...         train_one_step(x, y)
    """  # noqa: E501  # an example of one line
    return Checkpoint(Path(path), pause_signal, parts)


class Checkpoint:
    """What `checkpointing` gives: state that comes back, and batches that can be left.

    ``values`` is a dictionary of numbers and words of your own, kept with the rest. ``resumed``
    says whether a file was read.
    """

    def __init__(self, path: Path, pause_signal: str | None, parts: Mapping[str, Any]) -> None:
        name = pause_signal or os.environ.get(PAUSE_VARIABLE) or "SIGUSR1"
        try:
            self._number = signal.Signals[name]
        except KeyError:
            raise UsageError(f"there is no signal {name}", remedy="SIGUSR1 is usual") from None
        for key, part in parts.items():
            if not (hasattr(part, "state_dict") and hasattr(part, "load_state_dict")):
                raise UsageError(
                    f"{key} has no state_dict() and load_state_dict()",
                    remedy="keep plain numbers and words in .values",
                )
        self.path = path
        self.values: dict[str, Any] = {}
        self.resumed = False
        self._parts = dict(parts)
        self._asked = False
        self._epoch = 0
        self._done = 0  # batches of this epoch
        self._at_epoch: dict[str, Any] | None = None  # generators when this epoch began
        self._came_back: dict[str, Any] | None = None  # and when it was left
        self._was: Any = None
        self._sign = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Self:
        _one_rank()
        if self._sign:
            self._was = signal.signal(self._number, self._ask)
        self._restore()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._sign and self._was is not None:
            signal.signal(self._number, self._was)
        if kind is None:
            self.path.unlink(missing_ok=True)

    @property
    def asked(self) -> bool:
        """Whether a pause is asked for; `batches` sees to it between two batches."""
        return self._asked

    def batches(self, loader: Iterable[Any], *, epochs: int = 1) -> Iterator[tuple[int, Any]]:
        """Pairs of epoch and batch, from where the training was left to the last epoch.

        Between two batches a pause that was asked for is taken: the checkpoint is written and
        the program ends with `PAUSED_EXIT`.

        Notes
        -----
        An epoch that was left in its middle is begun again with the generators as they were at
        its beginning, so that the loader shuffles alike; the batches that were done are fetched
        and dropped, and the generators set to where they were when it was left. Every batch and
        every random number that follows is the one that would have come.
        """
        while self._epoch < epochs:
            if self._came_back is not None and self._at_epoch is not None:
                _set_generators(self._at_epoch, loader)
            else:
                self._at_epoch = _generators(loader)
            batches = iter(loader)
            for _ in range(self._done):
                next(batches)
            if self._came_back is not None and self._done:
                _set_generators(self._came_back, loader)
            self._came_back = None
            for batch in batches:
                self._done += 1
                yield self._epoch, batch
                if self._asked:
                    self._pause(loader)
            self._epoch, self._done = self._epoch + 1, 0

    def save(self, loader: Iterable[Any] | None = None) -> None:
        """Write the checkpoint now: whole or not at all, and synced before it takes its name.

        Within the loop over `batches` it counts the present batch as done: call it after the
        step.

        Raises
        ------
        OSError
            If it cannot be written; one that was there before stays.
        """
        import torch

        state = {
            "format": _FORMAT,
            "parts": {name: part.state_dict() for name, part in self._parts.items()},
            "values": self.values,
            "epoch": self._epoch,
            "done": self._done,
            "at_epoch": self._at_epoch,
            "generators": _generators(loader),
        }
        fresh = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            with fresh.open("wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
        sync_folder(self.path.parent)

    def _pause(self, loader: Iterable[Any]) -> None:
        """Write the checkpoint and end; what cannot be written is no reason to end."""
        try:
            self.save(loader)
        except OSError as exc:
            self._asked = False
            print(  # noqa: T201  # the training goes on, and somebody ought to know why
                f"submeter: not paused: {self.path} cannot be written: {exc}", file=sys.stderr
            )
            return
        raise SystemExit(PAUSED_EXIT)

    def _restore(self) -> None:
        import torch

        if not self.path.exists():
            return
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            matches = state["format"] == _FORMAT and set(state["parts"]) == set(self._parts)
        except Exception as exc:
            raise UsageError(
                f"{self.path} is no checkpoint of ours: {exc}", remedy="remove it to begin anew"
            ) from exc
        if not matches:
            raise UsageError(
                f"{self.path} keeps {', '.join(sorted(state['parts']))},"
                f" not {', '.join(sorted(self._parts))}",
                remedy="remove it to begin anew",
            )
        for name, part in self._parts.items():
            part.load_state_dict(state["parts"][name])
        self.values = dict(state["values"])
        self._epoch, self._done = state["epoch"], state["done"]
        self._at_epoch, self._came_back = state["at_epoch"], state["generators"]
        _set_generators(state["generators"], None)
        self.resumed = True

    def _ask(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._asked = True


def _one_rank() -> None:
    if int(os.environ.get("WORLD_SIZE") or 1) > 1:
        raise UsageError(
            "a training on several ranks would not pause at the same step on all of them",
            remedy="submeter run --pause-by stop, or a checkpoint of your framework's own",
        )


def _generators(loader: Iterable[Any] | None) -> dict[str, Any]:
    """States of all generators of random numbers, as tensors, numbers and words."""
    import torch

    version, words, gauss = random.getstate()
    states: dict[str, Any] = {
        "python": [version, list(words), gauss],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states["cuda"] = torch.cuda.get_rng_state_all()
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        kind, keys, position, has_gauss, cached = numpy.random.get_state()
        states["numpy"] = [kind, keys.tolist(), position, has_gauss, cached]
    for name, generator in _of_loader(loader):
        states[name] = generator.get_state()
    return states


def _set_generators(states: Mapping[str, Any], loader: Iterable[Any] | None) -> None:
    import torch

    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    torch.set_rng_state(states["torch"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"])
    numpy = sys.modules.get("numpy")
    if numpy is not None and "numpy" in states:
        kind, keys, position, has_gauss, cached = states["numpy"]
        array = numpy.array(keys, dtype=numpy.uint32)
        numpy.random.set_state((kind, array, position, has_gauss, cached))
    for name, generator in _of_loader(loader):
        if name in states:
            generator.set_state(states[name])


def _of_loader(loader: Iterable[Any] | None) -> list[tuple[str, Any]]:
    """Generators of the loader's own, by name; its sampler may hold another one."""
    found: list[tuple[str, Any]] = []
    for name in ("generator", "sampler.generator", "batch_sampler.generator"):
        held: Any = loader
        for word in name.split("."):
            held = getattr(held, word, None)
        if held is not None and all(held is not other for _, other in found):
            found.append((name, held))
    return found
