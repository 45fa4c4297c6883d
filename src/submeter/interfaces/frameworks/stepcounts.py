# SPDX-License-Identifier: Apache-2.0
"""Counts the operations of one real step of a training, while it is done.

Every operator of that step is seen below autograd with its arguments, by the formulas of
`submeter.workloads.operators`; nothing is run twice, no copy of the model is made. It costs some
ten microseconds an operator, once for each shape. Import it late: it needs torch.
"""

import contextlib
from typing import Any, Final

import torch
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.utils._python_dispatch import _get_current_dispatch_mode

from submeter.interfaces.frameworks.naming import Names
from submeter.records.layers import DATA, GRADIENTS, LOSS, OPTIMISER, LayerWork, Part
from submeter.workloads.operators import look_up
from submeter.workloads.tallies import PRODUCTS, Phase
from submeter.workloads.tracing import Tracer

__all__ = ["StepCounter", "cost_of_counting_s"]

PER_MODULE_S: Final = 1.5e-3  # of a module with what it calls, forward and backward
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
    """

    def __init__(self, model: Any, names: Names) -> None:
        super().__init__(model, timed=False)
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
        """Count no more; False if another mode lies over ours, so that it has to be asked again."""
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

    # --- as its base, but for what a real step needs ----------------------------------------------

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if self._handles:
            try:
                self._see(func, args, kwargs, out)
            except Exception:  # noqa: BLE001  # the step is the user's
                self.missed += 1
        return out

    def _see(self, func: Any, args: Any, kwargs: dict[str, Any], out: Any) -> None:
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
        self.charge(self.here(phase), phase, entry.name, entry.kind, cost, 0.0)

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

    def work(self) -> list[LayerWork]:
        """What was counted, by module, part and operator."""
        sums: dict[tuple[str, Part, str], list[float]] = {}
        for (module, phase, name), tally in self.tallies.items():
            part = _PARTS[phase]
            if phase == "optimiser":
                module = OPTIMISER  # noqa: PLW2901  # its time is not told by module
            if module in (DATA, LOSS, GRADIENTS):
                part = "step"
            row = sums.setdefault((module, part, name), [0.0] * 4)
            cost = tally.cost
            product = tally.kind in PRODUCTS
            row[0] += tally.calls
            row[1] += cost.executed_flop if product else 0.0
            row[2] += cost.pointwise_flop
            row[3] += cost.bytes_moved
        return [
            LayerWork(
                module, part, name, int(calls), flop, pointwise, moved,
                name.split(".")[0] in _COMMUNICATES,
            )
            for (module, part, name), (calls, flop, pointwise, moved) in sums.items()
        ]  # fmt: skip
