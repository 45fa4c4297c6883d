# SPDX-License-Identifier: Apache-2.0
"""Counts the operations of one real step of a training, while it is done.

Every operator of that step is seen below autograd with its arguments, by the formulas of
`submeter.workloads.operators`; nothing is run twice, no copy of the model is made. It costs some
ten microseconds an operator, once for each shape. Import it late: it needs torch.
"""

import contextlib
from collections.abc import Sequence
from typing import Any, Final

import torch
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.utils._python_dispatch import _get_current_dispatch_mode

from submeter.interfaces.frameworks.clocks import Clock
from submeter.interfaces.frameworks.naming import Names
from submeter.records.layers import DATA, GRADIENTS, LOSS, OPTIMISER, LayerWork, Part
from submeter.workloads.operators import look_up
from submeter.workloads.tallies import PRODUCTS, Phase
from submeter.workloads.tracing import Tally, Tracer

__all__ = ["StepCounter", "cost_of_counting_s", "mean_of"]

PER_MODULE_S: Final = 0.8e-3  # of a module with what it calls, forward and backward
_PARTS: Final[dict[Phase, Part]] = {
    "forward": "forward", "backward": "backward",
    "recomputation": "recomputation", "optimiser": "step",
}  # fmt: skip
_COMMUNICATES: Final = ("c10d", "_c10d_functional", "_dtensor")


def cost_of_counting_s(model: Any) -> float:
    """About how long counting a step of *model* takes [s]."""
    return 0.02 + PER_MODULE_S * sum(1 for _ in model.modules())


class StepCounter(Tracer):
    """A `Tracer` over a step that really runs: what it cannot count is left uncounted.

    Parameters
    ----------
    model
        The outermost module.
    names
        What its modules are called.
    clock
        What each operator is timed by.
    """

    def __init__(self, model: Any, names: Names, clock: Clock) -> None:
        super().__init__(model, timed=False)
        self.clock = clock
        self.spans: list[tuple[Tally, Any, Any]] = []
        self.owner_of = {id(m): names.of(m)[0] for m in model.modules()}
        self.param_owner = {}
        for module in model.modules():
            for param in module.parameters(recurse=False):
                self.param_owner.setdefault(id(param), self.owner_of[id(module)])
        self.stack = [DATA]
        self.marks, self.marked = [-1], [LOSS]
        self.missed = 0
        self.evaluated = False
        self._depth = 0
        self._went_back = False
        self._handles: list[Any] = []
        self._on = False
        self._last_owner = OPTIMISER

    @staticmethod
    def possible() -> bool:
        """Whether no other mode is on, which would have to be left in turn."""
        return _get_current_dispatch_mode() is None

    def begin(self) -> None:
        """Count from now on."""
        self._handles = [
            register_module_forward_pre_hook(self._enter_module),
            register_module_forward_hook(self._leave_module, always_call=True),
        ]
        self.__enter__()
        self._on = True

    def end(self) -> bool:
        """Count no more; False if another mode lies over ours, and it has to be asked again."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        if self._on:
            if _get_current_dispatch_mode() is not self:
                return False
            self.__exit__(None, None, None)
            self._on = False
        return True

    def optimising_now(self, optimiser: Any) -> None:
        """The optimiser begins: what follows is its work, by the module whose weights it has."""
        self.optimising = True
        self.owns(optimiser)

    # --- as its base, but for what a real step needs ---------------------------------------------

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        if not self._handles:
            return func(*args, **kwargs)
        begin = self.clock.now()
        out = func(*args, **kwargs)
        try:
            self._see(func, args, kwargs, out, begin, self.clock.now())
        except Exception:  # noqa: BLE001  # the step is the user's
            self.missed += 1
        return out

    def _see(
        self, func: Any, args: Any, kwargs: dict[str, Any], out: Any, begin: Any, end: Any
    ) -> None:
        entry = self.entries.get(func)
        if entry is None:
            entry = self.entries[func] = look_up(func)
        if entry.kind == "view":
            return
        phase = self.phase()
        if phase == "backward":
            self._went_back = True
        elif phase == "forward" and self._went_back and not self._depth:
            self.stack[0] = GRADIENTS
        if phase == "optimiser":
            self._charge_optimiser(entry, args, kwargs, out, 0.0)
            return
        cost = self.cost(entry, args, kwargs, out, phase)
        module = self.here(phase)
        self.charge(module, phase, entry.name, entry.kind, cost, 0.0)
        self.spans.append((self.tallies[module, phase, entry.name], begin, end))

    def _enter_module(self, module: Any, args: Any) -> None:
        with contextlib.suppress(Exception):
            if not self._depth and not torch.is_grad_enabled():
                self.evaluated = True
            self._depth += 1
            super()._enter_module(module, args)

    def _leave_module(self, module: Any, args: Any, output: Any) -> None:
        del module, args, output
        with contextlib.suppress(Exception):
            if self._depth:
                self._depth -= 1
                if not self._depth and torch._C._current_graph_task_id() == -1:  # noqa: SLF001
                    self.stack[0] = LOSS
                self._pop()

    def ready(self) -> bool:
        """Whether the times of the operators can be told."""
        return not self.spans or self.clock.ready(self.spans[-1][2])

    def work(self) -> list[LayerWork]:
        """What was counted, by module, part and operator."""
        for tally, begin, end in self.spans:
            tally.duration_s += self.clock.span_s(begin, end)[1]
        self.clock.free([reading for span in self.spans for reading in span[1:]])
        self.spans = []
        sums: dict[tuple[str, Part, str], list[float]] = {}
        for (module, phase, name), tally in self.tallies.items():
            place, part = module, _PARTS[phase]
            if phase == "optimiser":
                place = OPTIMISER  # its time is not told by module
            if place in (DATA, LOSS, GRADIENTS):
                part = "step"
            row = sums.setdefault((place, part, name), [0.0] * 5)
            cost = tally.cost
            row[0] += tally.calls
            row[1] += cost.executed_flop if tally.kind in PRODUCTS else 0.0
            row[2] += cost.pointwise_flop
            row[3] += cost.bytes_moved
            row[4] += tally.duration_s
        return [work_of((place, part, name), row) for (place, part, name), row in sums.items()]


def mean_of(counts: Sequence[Sequence[LayerWork]]) -> list[LayerWork]:
    """Mean of several counted steps."""
    sums: dict[tuple[str, Part, str], list[float]] = {}
    for count in counts:
        for work in count:
            key = work.module, work.part, work.operator
            row = sums.setdefault(key, [0.0] * 5)
            own = work.calls, work.flop, work.pointwise_flop, work.bytes_moved, work.busy_s
            for at, amount in enumerate(own):
                row[at] += amount / len(counts)
    return [work_of(key, row) for key, row in sums.items()]


def work_of(key: tuple[str, Part, str], row: Sequence[float]) -> LayerWork:
    """Work of an operator of a module in a part, from its sums."""
    communicates = key[2].split(".")[0] in _COMMUNICATES
    calls, flop, pointwise_flop, bytes_moved, busy_s = row
    return LayerWork(*key, calls, flop, pointwise_flop, bytes_moved, busy_s, communicates)
