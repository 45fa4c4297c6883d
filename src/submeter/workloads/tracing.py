# SPDX-License-Identifier: Apache-2.0
"""Watches torch compute, operator by operator.

Import it late: it needs torch. A `Tracer` sees each operator below autograd with its arguments
and result, knows which module called it (in the backward pass: which module made the node that
runs), and adds up rows. It changes nothing: hooks, modes and the profile function are gone when
it is left.
"""

import bisect
import inspect
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import FrameType, TracebackType
from typing import Any, NamedTuple, Self

import torch
from torch.nn import functional
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from submeter.workloads.answers import ASKING, answer_to, keep_answer
from submeter.workloads.operators import (
    Entry,
    look_up,
    moved_bytes,
    pointwise,
    size_bytes,
    tensors_of,
)
from submeter.workloads.tallies import Class, Cost, Phase, Row

CHECKPOINTS = ("/checkpoint.py", "\\checkpoint.py", "checkpointing.py")
AXES = 4  # batch, heads, positions, width
LEAF = 2**63  # nodes that accumulate gradients have no place in the order of the forward pass


class Failure(NamedTuple):
    """Where the first error came up."""

    module: str
    operator: str | None


class Tally:
    """Sum of the calls of one operator in one phase of one module."""

    __slots__ = ("calls", "columns", "duration_s", "kind")

    def __init__(self, kind: Class) -> None:
        self.kind = kind
        self.calls = 0
        self.columns = [0.0] * len(Cost.__struct_fields__)
        self.duration_s = 0.0

    def add(self, cost: Cost, took_s: float) -> None:
        self.calls += 1
        self.duration_s += took_s
        columns = self.columns
        columns[0] += cost.flop
        columns[1] += cost.recomputed_flop
        columns[2] += cost.maskable_flop
        columns[3] += cost.pointwise_flop
        columns[4] += cost.bytes_moved

    @property
    def cost(self) -> Cost:
        return Cost(*self.columns)


class Tracer(TorchDispatchMode):  # type: ignore[misc]
    """Counts every operator that runs while it is entered.

    Parameters
    ----------
    model
        Whose modules the operators belong to.
    timed
        Whether operators really run, so that their time means something.
    """

    supports_higher_order_operators = True

    def __init__(self, model: Any, *, timed: bool) -> None:
        super().__init__()
        self.timed = timed
        self.optimising = False
        self.failure: Failure | None = None
        self.why: dict[str, str] = {}
        self.owner_of = {id(m): name for name, m in model.named_modules()}
        self.recurrent = {
            name for name, m in model.named_modules() if isinstance(m, torch.nn.RNNBase)
        }
        self.param_owner: dict[int, str] = {}
        for name, module in model.named_modules():
            for param in module.parameters(recurse=False):
                self.param_owner.setdefault(id(param), name)
        self.stack = ["(outside)"]
        self.marks, self.marked = [-1], ["(outside)"]
        self.tallies: dict[tuple[str, Phase, str], Tally] = {}
        self.entries: dict[Any, Entry] = {}
        self.own = OwnFunctions(self)
        self.error: BaseException | None = None
        self.autocast: Any = None
        self.assumed: dict[str, float | bool] = {}  # by module: what was answered for content
        self._last_owner = "(optimiser)"

    # --- which module ----------------------------------------------------------------------------

    @contextmanager
    def watching(self) -> Iterator[Self]:
        """Enter everything that is needed, and leave no trace of it."""
        with ExitStack() as stack:
            before = register_module_forward_pre_hook(self._enter_module)
            stack.callback(before.remove)
            after = register_module_forward_hook(self._leave_module, always_call=True)
            stack.callback(after.remove)
            stack.enter_context(self.own)
            stack.enter_context(self)
            yield self

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """Everything from here on belongs to *name*."""
        self._push(name)
        try:
            yield
        finally:
            self._pop()

    def _push(self, name: str) -> None:
        self.stack.append(name)
        self._mark()

    def _pop(self) -> None:
        self.stack.pop()
        self._mark()

    def _mark(self) -> None:
        """From this number on, nodes of the graph belong to the innermost module."""
        self.marks.append(torch._C._autograd._get_sequence_nr())
        self.marked.append(self.stack[-1])

    def _enter_module(self, module: Any, args: Any) -> None:
        del args
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                self.autocast = torch.get_autocast_dtype(kind)
        self._push(self.owner_of.get(id(module), self.stack[-1]))

    def _leave_module(self, module: Any, args: Any, output: Any) -> None:
        del module, args, output
        error = sys.exc_info()[1]
        if error is not None and error is not self.error:  # the innermost hears of it first
            self.error, self.failure = error, Failure(self.stack[-1], None)
        self._pop()

    def here(self, phase: Phase) -> str:
        """Module that the operator running now belongs to."""
        if phase != "backward":
            return self.stack[-1]
        node = torch._C._current_autograd_node()
        if node is None:
            return self.stack[-1]
        number = node._sequence_nr()
        if number >= LEAF:
            return self.param_owner.get(id(getattr(node, "variable", None)), "(outside)")
        return self.marked[bisect.bisect_right(self.marks, number) - 1]

    def phase(self) -> Phase:
        if self.optimising:
            return "optimiser"
        if torch._C._current_graph_task_id() == -1:
            return "forward"
        if (torch.is_grad_enabled() or self.own.running) and recomputing():
            return "recomputation"
        return "backward"

    # --- which operator --------------------------------------------------------------------------

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        entry = self.entries.get(func)
        if entry is None:
            entry = self.entries[func] = look_up(func)
        if entry.dissolves:
            with self:
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        if not self.timed and entry.kind == "view":  # most calls of all, and they cost nothing
            return self.own.unwatched(func, args, kwargs)
        phase = self.phase()
        module = self.here(phase)
        begin_s = self._now_s(args)
        try:
            out = self._called(entry, module, func, args, kwargs)
        except Exception as error:
            self.error, self.failure = error, Failure(module, entry.name)
            raise
        took_s = self._now_s(args) - begin_s
        self.own.saw(entry.kind)
        if self.optimising:
            self._charge_optimiser(entry, args, kwargs, out, took_s)
        else:
            cost = self.cost(entry, args, kwargs, out, phase)
            self.charge(module, phase, entry.name, self._kind(entry, module), cost, took_s)
        return out

    def _called(
        self, entry: Entry, module: str, func: Any, args: Any, kwargs: dict[str, Any]
    ) -> Any:
        """Result of an operator; without content, what such a question is usually answered."""
        if self.timed:
            return self.own.unwatched(func, args, kwargs)
        if entry.plain == ASKING and (known := answer_to(args[0])) is not None:
            self.assumed.setdefault(module, known)
            return known
        if entry.plain == "_grouped_mm" and args[0].is_meta:
            return grouped_product(func, args, kwargs)
        out = self.own.unwatched(func, args, kwargs)
        keep_answer(entry.plain, args, out)
        return out

    def _now_s(self, args: Any) -> float:
        if not self.timed:
            return 0.0
        first = next(tensors_of(args), None)
        if first is not None and first.is_cuda:
            torch.cuda.synchronize(first.device)
        return time.perf_counter()

    def _kind(self, entry: Entry, module: str) -> Class:
        return "recurrent" if entry.kind == "matmul" and module in self.recurrent else entry.kind

    def cost(
        self, entry: Entry, args: Any, kwargs: dict[str, Any], out: Any, phase: Phase
    ) -> Cost:
        """Operations and bytes of one call."""
        moved = moved_bytes(entry, args, kwargs, out)
        if entry.formula is not None:
            found = entry.formula(args, kwargs, out)
            found = found.again() if phase == "recomputation" else found
            return Cost(
                found.flop, found.recomputed_flop, found.maskable_flop, 0.0, bytes_moved=moved
            )
        work = pointwise(entry, args, kwargs, out)
        return Cost(pointwise_flop=work, bytes_moved=moved)

    def charge(
        self, module: str, phase: Phase, name: str, kind: Class, cost: Cost, took_s: float
    ) -> None:
        key = (module, phase, name)
        tally = self.tallies.get(key)
        if tally is None:
            tally = self.tallies[key] = Tally(kind)
        tally.add(cost, took_s)

    def _charge_optimiser(
        self, entry: Entry, args: Any, kwargs: dict[str, Any], out: Any, took_s: float
    ) -> None:
        """To the module whose weights it updates; forms for many tensors are split by tensor."""
        if args and isinstance(args[0], tuple | list) and args[0]:
            count = len(args[0])
            for index in range(count):
                own = [a[index] if listed(a, count) else a for a in args]
                result = out[index] if listed(out, count) else own[0]
                self._charge_one(entry, own, kwargs, result, took_s / count)
            return
        self._charge_one(entry, args, kwargs, out, took_s)

    def _charge_one(
        self, entry: Entry, args: Any, kwargs: dict[str, Any], out: Any, took_s: float
    ) -> None:
        known = (self.param_owner.get(id(t)) for t in tensors_of(args))
        owner = next((name for name in known if name is not None), self._last_owner)
        self._last_owner = owner
        cost = self.cost(entry, args, kwargs, out, "optimiser")
        self.charge(owner, "optimiser", entry.name, entry.kind, cost, took_s)

    def owns(self, optimiser: Any) -> None:
        """Learn which module each tensor of the optimiser's state, and each gradient, is for."""
        for param, state in optimiser.state.items():
            owner = self.param_owner.get(id(param), "(optimiser)")
            for tensor in tree_leaves(list(state.values())):
                if isinstance(tensor, torch.Tensor) and tensor.dim():
                    self.param_owner[id(tensor)] = owner
            if param.grad is not None:
                self.param_owner[id(param.grad)] = owner

    def rows(self) -> list[Row]:
        return [
            Row(module, phase, name, t.kind, t.calls, t.cost, t.duration_s if self.timed else None)
            for (module, phase, name), t in self.tallies.items()
        ]


def grouped_product(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Result of a ragged product without content: torch takes only bfloat16 there."""
    dtype = args[0].dtype
    narrow = [a.to(torch.bfloat16) for a in args[:2]]
    narrow = [a if all(a.stride()) else a.contiguous() for a in narrow]  # of one number, repeated
    out = func(*narrow, *args[2:], **{k: v for k, v in kwargs.items() if k != "out_dtype"})
    return out.to(kwargs.get("out_dtype") or dtype)


def listed(value: Any, count: int) -> bool:
    """Whether *value* is a list with an item for each of *count* tensors."""
    return isinstance(value, tuple | list) and len(value) == count


def recomputing() -> bool:
    """Whether a forward pass is being done again: torch's checkpoint is on the stack.

    Called only where gradients are recorded inside a backward pass, which is either this or the
    derivative of a derivative.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename.endswith(CHECKPOINTS):
            return True
        frame = frame.f_back
    return False


class OwnFunctions(AbstractContextManager["OwnFunctions"]):
    """Notices when a user's own ``autograd.Function`` runs, and whether torch saw it compute.

    Such a function may hand its tensors to code that torch knows nothing of. Its code objects are
    recognised by the interpreter's profile function, set only if there are such classes at all.
    """

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self.running: list[list[Any]] = []
        self.partly: dict[tuple[str, str, Phase], list[float]] = {}
        self.codes: dict[Any, str] = {}
        self._before: Any = None

    def __enter__(self) -> Self:
        for cls in subclasses(torch.autograd.Function):
            for part in ("forward", "backward"):
                method = inspect.unwrap(getattr(cls, part))
                code = getattr(method, "__code__", None)
                if code is not None and not method.__module__.startswith("torch."):
                    self.codes[code] = cls.__name__
        if self.codes:
            self._before = sys.getprofile()
            sys.setprofile(self._notice)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.codes:
            sys.setprofile(self._before)

    def unwatched(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Call an operator; what torch does inside of it is not the user's."""
        if not self.codes:
            return func(*args, **kwargs)
        sys.setprofile(None)
        try:
            return func(*args, **kwargs)
        finally:
            sys.setprofile(self._notice)

    def saw(self, kind: Class) -> None:
        """An operator ran; inside a user's function it counts as what that function did."""
        if self.running and kind not in ("view", "creation", "move"):
            for record in self.running:
                record[0] += 1

    def _notice(self, frame: FrameType, event: str, given: Any) -> None:
        name = self.codes.get(frame.f_code)
        if name is None:
            return
        if event == "call":
            read = sum(map(size_bytes, tensors_of(list(frame.f_locals.values()))))
            self.running.append([0, read, self.tracer.timed and time.perf_counter()])
        elif event == "return" and self.running:
            seen, read, begin_s = self.running.pop()
            tracer = self.tracer
            phase = tracer.phase()
            where = tracer.here(phase)
            label = f"autograd.Function {name}"
            if seen:
                record = self.partly.setdefault((where, label, phase), [0.0, 0.0])
                record[0] += 1
                record[1] += read
                return
            tracer.why[label] = "it computes outside of torch's operators"
            took_s = time.perf_counter() - begin_s if tracer.timed else 0.0
            moved = read + sum(map(size_bytes, tensors_of(given)))
            tracer.charge(where, phase, label, "unknown", Cost(bytes_moved=moved), took_s)

    def rows(self) -> list[Row]:
        """Functions of which something was seen, with what went into them."""
        return [
            Row(where, phase, name, "unknown", int(calls), Cost(bytes_moved=read))
            for (where, name, phase), (calls, read) in self.partly.items()
        ]


def subclasses(cls: Any) -> Iterator[Any]:
    """All classes below *cls* that are not torch's own."""
    for child in cls.__subclasses__():
        yield from subclasses(child)
        if child.__module__.split(".")[0] not in ("torch", "functorch"):
            yield child


class FusedAttention(TorchFunctionMode):  # type: ignore[misc]
    """On the meta device, attention stays one operator, as accelerators run it.

    torch would take it apart there, and count the traffic of scores that no fused kernel writes.
    Where the user allows only the plain implementation (``sdpa_kernel(SDPBackend.MATH)``), or the
    shapes are such that fused kernels refuse them, it is taken apart.

    torch's own layers call the function from within another one, where modes are off, so its name
    is bound anew as long as this lasts; who imported the function itself is met by the mode.
    """

    def __enter__(self) -> Self:
        self._plain = functional.scaled_dot_product_attention

        def bound(*args: Any, **kwargs: Any) -> Any:
            return fused_attention(self._plain, args, kwargs)

        functional.scaled_dot_product_attention = bound
        super().__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        super().__exit__(*raised)
        functional.scaled_dot_product_attention = self._plain

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        if func is self._plain:
            return fused_attention(func, args, kwargs or {})
        return func(*args, **(kwargs or {}))


def fused_attention(plain: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Attention as one operator where a fused kernel would take it, otherwise as torch has it."""
    signature = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
    given = dict(zip(signature, args, strict=False)) | kwargs
    q, k, v = given["query"], given["key"], given["value"]
    mask: Any = given.get("attn_mask")
    cuda = torch.backends.cuda
    fused = (
        (cuda.flash_sdp_enabled() or cuda.mem_efficient_sdp_enabled())
        and all(t.is_meta and t.dim() == AXES and t.dtype == q.dtype for t in (q, k, v))
        and q.shape[0] == k.shape[0] == v.shape[0]
        and q.shape[-1] == k.shape[-1] == v.shape[-1]
        and k.shape[:3] == v.shape[:3]
        and (q.shape[1] == k.shape[1] or given.get("enable_gqa", False))
        and (mask is None or not mask.requires_grad)
    )
    if not fused:
        return plain(*args, **kwargs)
    if mask is not None and mask.dtype is not q.dtype:
        mask = torch.empty_like(mask, dtype=q.dtype)
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    causal, scale = bool(given.get("is_causal", False)), given.get("scale")
    return kernel(q, k, v, 0.0, causal, attn_mask=mask, scale=scale)[0]
