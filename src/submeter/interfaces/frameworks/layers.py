# SPDX-License-Identifier: Apache-2.0
"""``with submeter.layers(model):`` and ``submeter run --layers``: where a training step goes.

The former says which model; the latter finds the program's own without a change to it. torch
loads, at the end of its own import, what installed packages offer as ``torch.backends``. The
folder `DOOR` offers such a package, and ``run --layers`` puts it on ``PYTHONPATH``: a program that
never imports torch pays nothing, one that does is asked nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from submeter.errors import UsageError
from submeter.records.layers import BUDGET_RATIO

if TYPE_CHECKING:
    from types import TracebackType

    from submeter.interfaces.frameworks.sampling import Sampler
    from submeter.records.figures import Missing
    from submeter.records.layers import LayerProfile

__all__ = ["DOOR", "VARIABLE", "Layers", "ask_for_layers", "layers", "start_in_run"]

DOOR: Final = Path(__file__).parent / "door"
VARIABLE: Final = "SUBMETER_LAYERS"

_active: list[Sampler] = []  # at most one in a process


def layers(model: Any, *, budget_ratio: float = BUDGET_RATIO) -> Layers:
    """Look at the layers of *model* while it is trained; used as a context manager.

    Parameters
    ----------
    model
        A ``torch.nn.Module``. Nothing is attached to it: it may be copied, saved and wrapped.
    budget_ratio
        Most that looking may cost, of the time of the steps, above 0 and at most 0.2 [1]. Which
        steps are looked at follows from it.

    Returns
    -------
    Layers
        Its `profile` says what was seen; within a run it is kept beside that, and ``submeter
        explain --layers`` shows where the joules went.

    Raises
    ------
    UsageError
        If *model* is no module of torch's, or the budget makes no sense.

    Examples
    --------
    >>> with submeter.measure("baseline"), submeter.layers(model):  # doctest: +SKIP
    ...     train(model)
    """
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(model, torch.nn.Module):
        raise UsageError(
            f"a {type(model).__name__} is no torch.nn.Module, so it has no layers to look at",
            remedy="submeter.layers(model), with the model that is trained",
        )
    if not 0.0 < budget_ratio <= 0.2:  # noqa: PLR2004  # a fifth
        raise UsageError(
            f"budget_ratio = {budget_ratio!r} is not allowed", remedy="a share such as 0.02"
        )
    return Layers(model, budget_ratio)


class Layers:
    """What `layers` gives: entered, it looks; afterwards it knows."""

    def __init__(self, model: Any, budget_ratio: float) -> None:
        self._model = model
        self._budget_ratio = budget_ratio
        self._sampler: Sampler | None = None
        self._own = False

    def __enter__(self) -> Self:
        if _active:  # of submeter run --layers, or another one around this
            self._sampler = _active[0]
            self._sampler.names.learn(self._model)
            return self
        from submeter.interfaces.frameworks.sampling import Sampler

        self._sampler = Sampler(self._model, budget_ratio=self._budget_ratio)
        self._own = True
        _active.append(self._sampler)
        self._sampler.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._own and self._sampler is not None:
            _active.clear()
            self._sampler.close()

    @property
    def profile(self) -> LayerProfile | Missing:
        """What was seen so far; why nothing, if so."""
        from submeter.records.figures import Missing

        if self._sampler is None:
            return Missing("not entered: with submeter.layers(model): …")
        profile = self._sampler.profile()
        if not profile.times:
            return Missing(profile.trouble or "no step was sampled; are there ten of them?")
        return profile

    def __str__(self) -> str:
        from submeter.records.figures import Missing

        profile = self.profile
        if isinstance(profile, Missing):
            return f"layers: {profile.why}"
        from submeter.explaining.layers import shares_of
        from submeter.reporting.layers import layer_words

        return layer_words(shares_of([profile]))


def start_in_run() -> None:
    """Look at the layers of this process, whatever they are; called while torch is imported.

    It does nothing outside a run, and never raises.
    """
    from submeter.running.joined import RUN_VARIABLE

    if _active or not os.environ.get(RUN_VARIABLE):
        return
    from submeter.interfaces.frameworks.sampling import Sampler

    sampler = Sampler()
    _active.append(sampler)
    sampler.start()


def ask_for_layers(environment: MutableMapping[str, str]) -> None:
    """Change *environment* so that programs started with it look at their layers."""
    environment[VARIABLE] = "1"
    before = environment.get("PYTHONPATH")
    if str(DOOR) not in (before or "").split(os.pathsep):
        environment["PYTHONPATH"] = str(DOOR) + (os.pathsep + before if before else "")
