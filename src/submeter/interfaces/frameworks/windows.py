# SPDX-License-Identifier: Apache-2.0
"""One step of a training, timed part by part: who is at work is changed at each door of a module.

The whole step is cut into spans without gaps: from the end of one optimiser step to the end of the
next, everything between belongs to a module or to one of `BRACKETS`. In the forward pass the
innermost module that is running owns the time. For the backward pass the nodes of the graph at
which ownership changes are marked while they are made: the node of what a module gave belongs to
it, the node of what it was given to whom made that. A mark that the engine comes to ends one span
and begins the next. Nodes between two marks are run one after the other, latest made first.

Only torch's global hooks are used: nothing is ever attached to the program's own modules, which
may be copied, pickled or compiled at any time. Import it late: it needs torch.
"""

import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import torch
from torch.autograd import Variable
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)

from submeter.interfaces.frameworks.clocks import Clock
from submeter.interfaces.frameworks.naming import Names
from submeter.records.layers import DATA, GRADIENTS, LOSS, OPTIMISER, Part

__all__ = ["Lane", "Window"]

MOST_ROOTS: Final = 512  # outermost calls of one step, before it is given up
MOST_EVALUATIONS: Final = 4  # among them without gradients: more are an evaluation, or a rollout
MOST_TENSORS: Final = 16  # of one module's arguments or results that are marked
NO_GRAPH: Final = -1

Owner = tuple[str, str, Part]  # module, its class, part of the step
Span = tuple[Owner, Any, Any]

_task: Final = torch._C._current_graph_task_id  # noqa: SLF001  # as torch's own ModuleTracker

_DATA: Final[Owner] = (DATA, "", "step")
_LOSS: Final[Owner] = (LOSS, "", "step")
_GRADIENTS: Final[Owner] = (GRADIENTS, "", "step")
_OPTIMISER: Final[Owner] = (OPTIMISER, "", "step")
_EVALUATION: Final[Owner] = ("(evaluation)", "", "evaluation")


class Lane:
    """Time of one thread, cut into spans; the backward pass of its losses with it."""

    __slots__ = ("calls", "last", "marked", "owner", "rest", "spans", "stack", "tasks")

    def __init__(self, owner: Owner, reading: Any) -> None:
        self.owner = owner
        self.rest = owner  # who owns what no module does
        self.last = reading
        self.spans: list[Span] = []
        self.stack: list[tuple[Owner, int, Owner]] = []  # owner, id of the module, owner before
        self.calls: dict[Owner, int] = {}
        self.marked: set[Any] = set()
        self.tasks: dict[int, Owner] = {}  # backward passes that go on, and who ran before

    def turn(self, owner: Owner, reading: Any) -> None:
        """End the span that goes on at *reading*; from now on time is *owner*'s."""
        self.spans.append((self.owner, self.last, reading))
        self.owner = owner


class Window:
    """Hooks for one step, and what they saw.

    Parameters
    ----------
    names
        What modules are called.
    clock
        What to time by.
    fail
        Called with any exception of ours; the program never sees one.
    training_roots
        Ids of outermost modules that were trained before: one of them that runs without
        gradients is being evaluated.
    inspect
        Called for each call of a module, with its path, the module and its arguments; None once
        enough was seen.
    """

    def __init__(
        self,
        names: Names,
        clock: Clock,
        fail: Callable[[BaseException], None],
        training_roots: set[int],
        inspect: Callable[[str, Any, Any], None] | None = None,
    ) -> None:
        self.names = names
        self.clock = clock
        self.fail = fail
        self.training_roots = training_roots
        self.inspect = inspect
        self.thread: int | None = None
        self.open = False
        self.cut = False  # taken off before the step was over
        self.went_back = False
        self.roots = self.evaluations = 0
        self.adopts = False
        self.hooks_s = 0.0
        self.shape: tuple[Any, ...] = ()
        self.trained: set[int] = set()  # outermost modules that ran with gradients
        self.lanes: dict[int, Lane] = {}
        self.on_root: Callable[[], None] | None = None  # told of the first outermost call
        self.on_cut: Callable[[], None] | None = None
        self._main: Lane | None = None
        self._handles: list[Any] = []
        self._nodes: list[Any] = []

    # --- on and off ------------------------------------------------------------------------------

    def begin(self, *, adopt: bool = False) -> None:
        """Put the hooks on, from now on; with *adopt* it begins with the first outermost call."""
        self.adopts = adopt
        if not adopt:
            self.thread = threading.get_ident()
            self._main = self.lanes[self.thread] = Lane(_DATA, self.clock.now())
        self.open = True
        self._handles = [
            register_module_forward_pre_hook(self._enter),
            register_module_forward_hook(self._leave, always_call=True),
        ]

    def end(self) -> None:
        """Take every hook off, those of the graph too, and end the last span."""
        if not self.open:
            return
        self.open = False
        for handle in self._handles:
            handle.remove()
        lane = self._main
        if lane is not None and not self.cut:
            lane.turn(lane.owner, self.clock.now())
        for handle in self._nodes:
            handle.remove()
        self._handles, self._nodes = [], []

    def spans(self) -> Iterator[Span]:
        """All spans of all lanes."""
        for lane in list(self.lanes.values()):
            yield from lane.spans

    def calls(self) -> dict[Owner, int]:
        """How often each owner was called."""
        sums: dict[Owner, int] = {}
        for lane in self.lanes.values():
            for owner, count in lane.calls.items():
                sums[owner] = sums.get(owner, 0) + count
        return sums

    def optimising(self) -> None:
        """The optimiser begins."""
        lane = self._main
        if lane is None or not self.open or threading.get_ident() != self.thread:
            return
        begin = self.clock.now()
        lane.turn(_OPTIMISER, begin)
        lane.rest = _OPTIMISER
        lane.last = self.clock.again(begin)

    # --- forward ---------------------------------------------------------------------------------

    def _lane(self, module: Any) -> Lane | None:
        """Lane of this thread; None where another thread does something of its own."""
        ident = threading.get_ident()
        if ident == self.thread:
            return self._main
        if self.thread is None:  # adopted: the first one to come
            self.thread = ident
            self._main = self.lanes[ident] = Lane(_LOSS, self.clock.now())
            return self._main
        if _task() != NO_GRAPH:  # a checkpoint recomputes on the engine's own thread
            return self._main
        if getattr(module, "_is_replica", False) or ident in self.lanes:
            lane = self.lanes.get(ident)
            if lane is None:
                lane = self.lanes[ident] = Lane(_LOSS, self.clock.now())
            return lane
        return None

    def _enter(self, module: Any, args: Any) -> None:
        if not self.open:
            return
        try:
            lane = self._lane(module)
            if lane is None:
                return
            begin = self.clock.now()
            around = lane.stack[-1][0] if lane.stack else None
            back = around is None and _task() != NO_GRAPH
            if around is None and not back:
                self._root(module, args, lane)
            name, kind = self.names.of(module, around[0] if around else "")
            owner: Owner = (name, kind, self._part(module, around, back=back))
            before = lane.owner
            lane.turn(owner, begin)
            lane.stack.append((owner, id(module), before))
            lane.calls[owner] = lane.calls.get(owner, 0) + 1
            if around is not None and args:
                self._mark(args, lane, around)
            if self.inspect is not None:
                self.inspect(name, module, args)
            self._resume(lane, begin)
        except Exception as exc:  # noqa: BLE001  # whatever it is, the training goes on
            self.fail(exc)

    def _leave(self, module: Any, args: Any, output: Any) -> None:
        del args
        if not self.open:
            return
        try:
            lane = self._lane(module)
            if lane is None or not lane.stack:
                return
            begin = self.clock.now()
            key, at = id(module), len(lane.stack) - 1
            while at >= 0 and lane.stack[at][1] != key:
                at -= 1
            if at < 0:  # it began before the hooks were on
                return
            owner, _, before = lane.stack[at]
            del lane.stack[at:]
            if output is not None:
                self._mark(output, lane, owner)
            lane.turn(before, begin)
            if not lane.stack and _task() == NO_GRAPH:
                self._root_done(lane, owner)
            self._resume(lane, begin)
        except Exception as exc:  # noqa: BLE001
            self.fail(exc)

    def _resume(self, lane: Lane, begin: Any) -> None:
        """Go on with time after what we did since *begin*."""
        lane.last = self.clock.again(begin)
        if lane.last is not begin:
            self.hooks_s += self.clock.span_s(begin, lane.last)[1]

    def _root(self, module: Any, args: Any, lane: Lane) -> None:
        """An outermost module begins."""
        self.names.learn(module)
        self.roots += 1
        if self.roots == 1 or not self.shape:
            self.shape = tuple(tuple(getattr(a, "shape", ())) for a in args)
            if self.on_root is not None:
                self.on_root()
        if lane.owner is _GRADIENTS:  # no optimiser came: the next part of a batch was fetched
            lane.owner = _DATA

    def _root_done(self, lane: Lane, owner: Owner) -> None:
        if owner[2] == "evaluation":
            lane.owner = _EVALUATION
            self.evaluations += 1
        else:
            lane.owner = lane.rest = _OPTIMISER if lane.rest is _OPTIMISER else _LOSS
        if self.adopts or self.evaluations > MOST_EVALUATIONS or self.roots > MOST_ROOTS:
            self.stop_early()

    def stop_early(self) -> None:
        """Take the hooks off now: what follows is no training step."""
        self.cut = True
        self.end()
        if self.on_cut is not None:
            self.on_cut()

    def _part(self, module: Any, around: Owner | None, *, back: bool) -> Part:
        """Part of the step; without gradients a model is evaluated, unless it is never trained.

        A teacher that is asked in each step belongs to the training.
        """
        if back:
            return "recomputation"
        if around is not None:
            return around[2]
        if torch.is_grad_enabled() and module.training:
            self.trained.add(id(module))
            return "forward"
        if self.adopts or (id(module) in self.training_roots and not torch.is_grad_enabled()):
            return "evaluation"
        return "forward"

    # --- backward --------------------------------------------------------------------------------

    def _mark(self, held: Any, lane: Lane, owner: Owner) -> None:
        """Have the engine tell us when it comes to the nodes of the tensors in *held*."""
        if owner[2] == "evaluation":
            return
        back: Owner = (owner[0], owner[1], "backward")
        for count, tensor in enumerate(tensors_in(held)):
            if count >= MOST_TENSORS:
                return
            node = tensor.grad_fn if tensor.requires_grad else None
            if node is None:
                continue
            number = node._sequence_nr()  # noqa: SLF001  # one for each node that a thread makes
            key = number if _task() == NO_GRAPH else (number, threading.get_ident())
            if key in lane.marked:
                continue
            lane.marked.add(key)
            self._nodes.append(node.register_prehook(functools.partial(self._came_to, lane, back)))

    def _came_to(self, lane: Lane, owner: Owner, grads: Any) -> None:
        """Take note that the engine is about to run a node that was marked."""
        del grads
        if not self.open:
            return
        try:
            begin = self.clock.now()
            task = _task()
            if task not in lane.tasks:
                lane.tasks[task] = lane.owner
                Variable._execution_engine.queue_callback(  # noqa: SLF001  # as torch's own do
                    functools.partial(self._went_back, lane, task)
                )
                self.went_back = True
            lane.turn(owner, begin)
            self._resume(lane, begin)
        except Exception as exc:  # noqa: BLE001
            self.fail(exc)

    def _went_back(self, lane: Lane, task: int) -> None:
        """A backward pass is over."""
        if not self.open:
            return
        try:
            begin = self.clock.now()
            before = lane.tasks.pop(task, _LOSS)
            outermost = not lane.tasks and not lane.stack
            if outermost:
                before = _OPTIMISER if lane.rest is _OPTIMISER else _GRADIENTS
            lane.turn(before, begin)
            self._resume(lane, begin)
        except Exception as exc:  # noqa: BLE001
            self.fail(exc)


def tensors_in(held: Any) -> Iterator[Any]:
    """Tensors of arguments or results: alone, in tuples, lists, mappings, or records of them."""
    if isinstance(held, torch.Tensor):
        yield held
    elif isinstance(held, (tuple, list)):
        for part in held:
            yield from tensors_in(part)
    elif isinstance(held, dict):
        for part in held.values():
            yield from tensors_in(part)
