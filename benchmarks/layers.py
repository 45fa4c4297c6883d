# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: SLF001  # the sampler is looked into
"""Layer profiles against layers repeated alone, and what the hooks cost: docs/layers.md.

    python -m benchmarks.layers --measure   train, repeat, compare: minutes of CPU time, kept
    python -m benchmarks.layers             write the page from what is kept

The training is examples/language_model.py's, on one thread, as it is: nothing in it knows of
layers. Each layer, and each operator that a module calls itself, is then called again and again
with the shapes that one real step gave it, forward and backward. Everything is CPU time.
"""

import argparse
import contextlib
import csv
import gc
import importlib.util
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import submeter
from benchmarks.layers_cost import COSTS, Cost, cost_of, kept_costs, measured_costs
from benchmarks.outcomes import ROOT
from submeter.explaining.layers import shares_of
from submeter.records.layers import LayerProfile

ROWS = ROOT / "benchmarks" / "data" / "layers.csv"
PAGE = ROOT / "docs" / "layers.md"
CASES = (  # model, parameters, batch, context, steps of a round
    ("language model, 0.8 M", 0.8e6, 16, 256, 10),
    ("language model, 0.2 M", 0.2e6, 16, 128, 32),
)
ROUNDS = 5  # training and repeating in turn, so that both meet the same neighbours
LEAST_S = 0.16  # a round
LEAST_SHARE = 0.01  # what is less is not told


class Row(NamedTuple):
    """One class, or one kind of module, of one case."""

    case: str
    level: str  # class or kind
    name: str
    profile_s: float  # CPU time a step, by the sampled hooks
    alone_s: float  # by repeating its layers alone
    profile_ratio: float
    alone_ratio: float

    @property
    def error(self) -> float:
        """How far the share is off that of the layers alone, relative to it."""
        return self.profile_ratio / self.alone_ratio - 1.0


def kept_rows() -> list[Row]:
    with ROWS.open(newline="") as file:
        return [
            Row(r["case"], r["level"], r["name"],
                *(float(r[k]) for k in ("profile_s", "alone_s", "profile_ratio", "alone_ratio")))
            for r in csv.DictReader(file)
        ]  # fmt: skip


# --- the training --------------------------------------------------------------------------------


class Training:
    """The example's model, data and steps."""

    def __init__(self, params: float, batch: int, context: int) -> None:
        import torch

        spec = importlib.util.spec_from_file_location(
            "language_model", ROOT / "examples" / "language_model.py"
        )
        assert spec is not None
        assert spec.loader is not None
        self.example: Any = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = self.example
        spec.loader.exec_module(self.example)
        torch.set_num_threads(1)
        torch.manual_seed(1)
        given = self.given = self.example.options([
            "--params", str(params), "--batch", str(batch), "--context", str(context),
            "--threads", "1", "--device", "cpu",
        ])  # fmt: skip
        self.data = self.example.corpus(1)[0]
        layers, width = self.example.shape_for(given.params, given.context)
        self.model = self.example.LanguageModel(layers, width, given.context)
        self.optimiser = self.example.optimiser_for(self.model, given)
        self.random = torch.Generator().manual_seed(1)

    def batch(self) -> tuple[Any, Any]:
        found: tuple[Any, Any] = self.example.batch_of(self.data, self.given, self.random)
        return found

    def step(self) -> None:
        import torch

        x, y = self.batch()
        loss = self.example.loss_of(self.model, x, y, self.given)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()


@contextlib.contextmanager
def resting(sampler: Any) -> Iterator[None]:
    """No hooks meanwhile: what is repeated alone is no step."""
    from torch.optim import optimizer

    for handle in sampler._handles:
        handle.remove()
    window, sampler._window = sampler._window, None
    if window is not None:
        window.cut = True
        window.end()
    if sampler._counter is not None:
        sampler._counter.end()
        sampler._counter = None
    yield
    gc.collect()  # gigabytes of inputs, which would else be let go of in some step
    sampler._last = None
    sampler._handles = [
        optimizer.register_optimizer_step_pre_hook(sampler._before),
        optimizer.register_optimizer_step_post_hook(sampler._after),
    ]


# --- the same, alone -----------------------------------------------------------------------------


class Part(NamedTuple):
    """CPU time that one kind of thing takes in a step."""

    kind: str
    operators: str
    busy_s: float


def leaf_parts(training: Training) -> Iterator[Part]:
    """Modules that hold no others, each shape repeated once."""
    from submeter.interfaces.frameworks.repeating import alone

    for (kind, _), (count, job) in captured_leaves(training).items():
        found = alone(job, least_s=LEAST_S)
        yield Part(kind, job.operators, count * (found.forward[1] + found.backward[1]))


def captured_leaves(training: Training) -> dict[Any, tuple[int, Any]]:
    import torch

    from submeter.explaining.layers import class_by_name
    from submeter.interfaces.frameworks.repeating import Job, copies_of

    found: dict[Any, tuple[int, Any]] = {}

    def saw(module: Any, args: Any) -> None:
        kind = type(module).__name__
        key = (kind, (tuple(args[0].shape), str(module)))
        count, job = found.get(key, (0, None))
        if job is None:
            inputs = [tuple(like(a) for a in args) for _ in range(copies_of(*args))]
            job = Job(kind, tuple(args[0].shape), class_by_name(kind), module, inputs)
        found[key] = (count + 1, job)

    def like(value: Any) -> Any:
        copy = value.detach().clone()
        return copy.requires_grad_() if copy.is_floating_point() else copy

    leaves = [m for m in training.model.modules() if not list(m.children())]
    handles = [m.register_forward_pre_hook(saw) for m in leaves]
    with torch.enable_grad():
        training.step()
    for handle in handles:
        handle.remove()
    return found


def own_parts(training: Training) -> Iterator[Part]:
    """Operators that modules with others inside call themselves, and the loss."""
    from submeter.interfaces.frameworks.repeating import Job, alone

    for (kind, name, _), (count, call, inputs) in captured_calls(training).items():
        heavy = name in ("linear", "scaled_dot_product_attention")
        job = Job(name, (), "compute" if heavy else "memory", call, inputs)
        found = alone(job, least_s=LEAST_S / 3)
        yield Part(kind, job.operators, count * (found.forward[1] + found.backward[1]))


def captured_calls(  # noqa: C901  # one look at one forward pass
    training: Training,
) -> dict[Any, tuple[int, Any, list[Any]]]:
    """Calls of torch's functions outside leaf modules, with inputs of their shapes."""
    import torch
    from torch.overrides import TorchFunctionMode, resolve_name

    from submeter.interfaces.frameworks.repeating import copies_of

    inside: list[Any] = []
    found: dict[Any, tuple[int, Any, list[Any]]] = {}
    uses: dict[int, list[Any]] = {}  # who is used twice gets its gradients summed

    class Seeing(TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            kwargs = kwargs or {}
            out = func(*args, **kwargs)
            kind = inside[-1] if inside else "(loss)"
            tensors = [a for a in args if isinstance(a, torch.Tensor)]
            name = (resolve_name(func) or str(func)).rpartition(".")[2]
            works = isinstance(out, torch.Tensor) and out.requires_grad and out.grad_fn is not None
            if works:
                for tensor in tensors:
                    if tensor.grad_fn is not None:
                        uses.setdefault(id(tensor), []).append(tensor)
            if kind is not None and works and tensors and not name.startswith("__get"):
                keep(kind, name, func, args, kwargs, tensors)
            return out

    def keep(kind: str, name: str, func: Any, args: Any, kwargs: Any, tensors: list[Any]) -> None:
        key = (kind, name, tuple((tuple(t.shape), t.stride()) for t in tensors))
        if key in found:
            count, call, inputs = found[key]
            found[key] = (count + 1, call, inputs)
            return
        places = [i for i, a in enumerate(args) if isinstance(a, torch.Tensor)]

        def again(*given: Any) -> Any:
            own = list(args)
            for place, tensor in zip(places, given, strict=True):
                own[place] = tensor
            return func(*own, **kwargs)

        found[key] = (
            1, again, [tuple(strided(t) for t in tensors) for _ in range(copies_of(*tensors))]
        )  # fmt: skip

    def strided(tensor: Any) -> Any:
        fresh = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype)
        fresh.copy_(tensor.detach())
        return fresh.requires_grad_(tensor.requires_grad)

    hooks = []
    for module in training.model.modules():
        kind = type(module).__name__ if list(module.children()) else None
        hooks.append(module.register_forward_pre_hook(lambda *_, k=kind: inside.append(k)))
        hooks.append(module.register_forward_hook(lambda *_: inside.pop() and None))
    x, y = training.batch()
    with Seeing():
        training.example.loss_of(training.model, x, y, training.given)
    for hook in hooks:
        hook.remove()
    for tensors in uses.values():
        for again in tensors[1:]:
            shape = tuple(again.shape)
            count, _, inputs = found.get(("sum", "sum", shape), (0, None, []))
            if not inputs:
                inputs = [(torch.randn(shape), torch.randn(shape))
                          for _ in range(copies_of(again, again))]  # fmt: skip
            found["sum", "sum", shape] = (count + 1, torch.add, inputs)
    return found


def rest_parts(training: Training) -> Iterator[Part]:
    """What surrounds the model: data, clipping, the optimiser."""
    import torch

    training.step()
    model = training.model

    def clip() -> None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)

    yield Part("(gradients)", "memory", repeated(clip))
    yield Part("(optimiser)", "memory", repeated(training.optimiser.step))
    yield Part("(data)", "waiting", repeated(training.batch))


def repeated(call: Callable[[], object], least_s: float = LEAST_S / 3) -> float:
    """CPU time of one call [s]."""
    call()
    begin_s, calls = time.process_time(), 0
    while time.process_time() - begin_s < least_s or calls < 5:
        call()
        calls += 1
    return (time.process_time() - begin_s) / calls


# --- measuring -----------------------------------------------------------------------------------


def measured_case(case: str, params: float, batch: int, context: int, steps: int) -> Iterator[Row]:
    training = Training(params, batch, context)
    rounds: list[list[Part]] = []
    with submeter.layers(training.model) as found:
        for _ in range(ROUNDS):
            for _ in range(steps):
                training.step()
            with resting(found._sampler):
                parts = [*leaf_parts(training), *own_parts(training), *rest_parts(training)]
            rounds.append(parts)
    parts = [
        Part(same[0].kind, same[0].operators, statistics.fmean(p.busy_s for p in same))
        for same in zip(*rounds, strict=True)
    ]
    assert isinstance(found.profile, LayerProfile), found.profile
    print(found.profile.steps)
    shares = shares_of([found.profile])
    profile = [(s.operators, s.kind or s.module, s.busy_s) for s in shares.shares]
    whole_s, alone_s = math.fsum(p[2] for p in profile), math.fsum(p.busy_s for p in parts)
    print(f"{case}: {whole_s:.3f} s a step by profile, {alone_s:.3f} s alone")
    for level, at in (("class", 0), ("kind", 1)):
        for name in dict.fromkeys(str(p[at]) for p in profile):
            own_s = math.fsum(p[2] for p in profile if p[at] == name)
            other_s = math.fsum(
                p.busy_s for p in parts if (p.operators if at == 0 else p.kind) == name
            )
            if other_s > 0:
                yield Row(case, level, name, own_s, other_s, own_s / whole_s, other_s / alone_s)


def write(path: Path, heads: tuple[str, ...], rows: list[Any]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(heads)
        writer.writerows([f"{v:.6g}" if isinstance(v, float) else v for v in row] for row in rows)


def many(count: int) -> Any:
    """A profile of *count* layers, as large as such ones are."""
    from submeter.records.layers import LayerProfile, LayerTime, LayerWork, Part, Steps

    parts: tuple[Part, Part] = ("forward", "backward")
    names = [f"blocks.{n // 10}.layer{n % 10}" for n in range(count)]
    return LayerProfile(
        pid=1,
        model="Net",
        steps=Steps(seen=10_000, sampled=200),
        times=tuple(
            LayerTime(name, part, "Linear", 200, 1.0 + n, 1.0 + n, 0.1)
            for n, name in enumerate(names)
            for part in parts
        ),
        work=tuple(
            LayerWork(name, part, f"aten.op{op}", 1, (1e9 + n) * (op == 0), 1e6, 1e7 * (1 + op),
                      1e-3 * (1 + op))
            for n, name in enumerate(names)
            for part in parts
            for op in range(5)
        ),
    )  # fmt: skip


# --- the page ------------------------------------------------------------------------------------


def page(text: str) -> str:
    """*text* with its figures made anew from what is kept."""
    begin, end = "<!-- figures: begin -->", "<!-- figures: end -->"
    head, _, rest = text.partition(begin)
    tail = rest.partition(end)[2]
    return f"{head}{begin}\n\n{tables()}\n\n{end}{tail}"


def tables() -> str:
    rows, costs = kept_rows(), kept_costs()
    lines = [
        "| training | part | share by its hooks | share of the same alone | off by |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for row in rows:
        if max(row.profile_ratio, row.alone_ratio) < LEAST_SHARE:
            continue
        name = f"*{row.name}-bound*" if row.level == "class" else f"`{row.name}`"
        lines.append(
            f"| {row.case} | {name} | {100 * row.profile_ratio:.1f} % | "
            f"{100 * row.alone_ratio:.1f} % | {100 * row.error:+.0f} % |"
        )
    lines += [
        "",
        "| training | blocks | cost of the hooks | at most (95 %) |",
        "| --- | ---: | ---: | ---: |",
    ]
    for case in dict.fromkeys(c.case for c in costs):
        own = [c for c in costs if c.case == case]
        mean, most = cost_of(own)
        lines.append(f"| {case} | {len(own)} | {100 * mean:.2f} % | {100 * most:.2f} % |")
    return "\n".join(lines)


def worst_class(rows: list[Row]) -> float:
    """Largest error of a class of operators that makes up a hundredth or more."""
    return max(abs(r.error) for r in rows if r.level == "class" and r.alone_ratio >= LEAST_SHARE)


def main() -> int:
    parser = argparse.ArgumentParser(description="Layer profiles against layers alone.")
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--only", choices=["shares", "cost"], help="measure one of them")
    parser.add_argument("--case", default="", help="measure the shares of this one alone")
    options = parser.parse_args()
    if options.measure:
        if options.only != "cost":
            cases = [c for c in CASES if options.case in c[0]]
            kept = [r for r in kept_rows() if options.case not in r.case] if options.case else []
            rows = [r for case in cases for r in measured_case(*case)]
            write(ROWS, Row._fields, sorted([*rows, *kept], key=lambda r: r.case, reverse=True))
        if options.only != "shares":
            write(COSTS, Cost._fields, list(measured_costs(Training(0.2e6, 4, 128))))
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
