# SPDX-License-Identifier: Apache-2.0
"""A training told by its model itself: what is called, with what, for how long.

torch is imported when something is counted, not before.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from submeter.errors import UsageError
from submeter.workloads.counts import parse_count, spelt
from submeter.workloads.tallies import Counted
from submeter.workloads.unseen import spread_ratio_of
from submeter.workloads.workloads import Operations, Workload, total

GIVEN: Final = ("model", "batch", "example_batch", "loss", "optimiser", "optimizer", "steps")
AMOUNTS: Final = ("steps", "samples", "images", "tokens")
ABOUT: Final = (*AMOUNTS, "batch", "epochs", "precision", "optimiser")
USUAL_OPTIMISER: Final = "adamw"
_KINDS: Final = {"": "float", "float": "float", "tokens": "int64", "int": "int64", "bool": "bool"}
_MOST_AXES: Final = 8
_EXAMPLE: Final = "--input 8x3x224x224, or --input 4x2048:tokens"


class Given(NamedTuple):
    """What is counted, and what it is fed."""

    model: Any
    batch: Any = None
    loss: Any = None
    optimiser: Any = None
    steps: float | None = None


class ModelSource:
    """Trainings of a model that is counted, by the words that are given beside it.

    Parameters
    ----------
    make
        A `torch.nn.Module`, or what makes one: a function that returns a model, a pair of a model
        and an example batch, or a mapping of ``model``, ``batch``, ``loss``, ``optimiser`` and
        ``steps``.
    name
        What it is called.
    given
        Batch, loss, optimiser and steps that go before those which *make* gives.
    inputs
        Shapes of an example batch, such as ``8x3x224x224`` or ``4x2048:tokens``.
    arguments
        Of *make*, by name.
    device
        Where it runs to be counted: ``meta``, where nothing is computed, or ``cpu``, ``cuda``.
    """

    def __init__(
        self,
        make: Any,
        *,
        name: str = "",
        given: Given | None = None,
        inputs: Sequence[str] = (),
        arguments: Mapping[str, Any] | None = None,
        device: str = "meta",
    ) -> None:
        self._make, self._inputs = make, tuple(inputs)
        self._given = given or Given(None)
        self._arguments = dict(arguments or {})
        self._device = device
        self._known: dict[tuple[object, ...], tuple[Counted, float | None]] = {}
        self.name = name or _called(make)

    def __call__(self, words: Mapping[str, Any]) -> Workload:
        """Training that *words* ask for: see `ABOUT`; others are arguments of what makes it.

        Raises
        ------
        UsageError
            If the model cannot be made or counted, or the words do not say how long it trains.
        """
        from submeter.workloads.counting import workload_of_model

        counted, own_steps = self._counted(words)
        steps, notes = steps_of(words, counted.work, own_steps)
        made = workload_of_model(counted, steps=steps, name=self.name)
        spread_ratio = spread_ratio_of(counted)
        if not counted.complete:
            names = ", ".join(dict.fromkeys(e.operator for e in counted.not_counted))
            notes.append(f"not counted, and up to {100 * (spread_ratio - 1):.2g} % more: {names}")
        made = msgspec.structs.replace(
            made,
            notes=(f"{self.name}: {spelt(made.params)} parameters", *notes, *counted.notes),
            spread_ratio=spread_ratio,
            details={
                "steps": steps,
                **{f"batch_{unit}": n for unit, n in counted.work.items() if unit == "samples"},
            },
        )
        return _in_precision(made, words.get("precision"))

    def counted(self, words: Mapping[str, Any]) -> Counted:
        """What one step of the training that *words* ask for was found to compute."""
        return self._counted(words)[0]

    def _counted(self, words: Mapping[str, Any]) -> tuple[Counted, float | None]:
        changed = {name: value for name, value in words.items() if name not in ABOUT}
        self._check(changed)
        batch, optimiser = words.get("batch"), words.get("optimiser")
        key = (str(batch), str(optimiser), *sorted((n, str(v)) for n, v in changed.items()))
        if key not in self._known:
            arguments = self._arguments | {n: value_of(v) for n, v in changed.items()}
            self._known[key] = self._count(arguments, batch, optimiser)
        return self._known[key]

    def _count(
        self, arguments: Mapping[str, Any], batch: Any, optimiser: Any
    ) -> tuple[Counted, float | None]:
        from submeter.workloads.counting import count, import_torch

        torch = import_torch()
        check_device(torch, self._device)
        with printing_elsewhere():
            given = made_by(torch, self._make, arguments, self._device, self._given)
            chosen = optimiser or given.optimiser or USUAL_OPTIMISER
            counted = count(
                given.model if isinstance(self._make, torch.nn.Module) else lambda: given.model,
                example_of(torch, given, self._inputs, batch, self.name),
                loss=given.loss,
                optimiser=None if chosen == "none" else chosen,
                device=self._device,
            )
        if not (optimiser or given.optimiser):
            noted = (*counted.notes, f"{USUAL_OPTIMISER} assumed")
            counted = msgspec.structs.replace(counted, notes=noted)
        return counted, given.steps

    def _check(self, changed: Mapping[str, Any]) -> None:
        if not changed:
            return
        known = parameters_of(self._make)
        for name in changed:
            if known is not None and name not in known:
                takes = f"it takes {', '.join(known)}" if known else "it takes no argument"
                raise UsageError(f"{self.name} has no argument {name!r}", remedy=takes)


def check_device(torch: Any, device: str) -> None:
    """Raise `UsageError` if nothing can run on *device* here."""
    try:
        torch.empty(1, device=device)
    except Exception as error:
        raise UsageError(
            f"“{device[:40]}” is no device here", remedy="--count-on cpu, or leave it out"
        ) from error


def value_of(word: Any) -> Any:
    """A number, a truth value or a string, as it is written in Python or as a count.

    Examples
    --------
    >>> value_of("80"), value_of("1e-3"), value_of("true"), value_of("7B"), value_of("gelu")
    (80, 0.001, True, 7000000000, 'gelu')
    """
    import ast

    if not isinstance(word, str):
        return word
    with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
        return ast.literal_eval(word)
    if word.lower() in ("true", "false"):
        return word.lower() == "true"
    if word[:1].isdigit():
        with contextlib.suppress(UsageError):
            number = parse_count(word)
            return int(number) if number == int(number) else number
    return word


def parameters_of(function: Any) -> tuple[str, ...] | None:
    """Names of what *function* takes; None if it takes anything, or nobody can say."""
    import inspect

    if hasattr(function, "named_modules") and not isinstance(function, type):
        return ()
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_KEYWORD for p in found):
        return None
    return tuple(p.name for p in found if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD))


def made_by(
    torch: Any, make: Any, arguments: Mapping[str, Any], device: str, beside: Given
) -> Given:
    """What *make* gives, made without memory where that is possible."""
    from submeter.workloads.counting import failed, named, said, undisturbed

    if isinstance(make, torch.nn.Module):
        return beside._replace(model=make)
    if not callable(make):
        raise UsageError(
            f"a {type(make).__name__} is neither a model nor a function that makes one",
            remedy="give a torch.nn.Module, or a function that returns one",
        )
    name = named(make)
    with undisturbed(torch, train=True):
        try:
            try:
                with torch.device(device):
                    found = make(**arguments)
            except Exception:
                if device != "meta":
                    raise
                found = make(**arguments)  # it may need real numbers
        except ModuleNotFoundError as error:
            raise UsageError(
                f"{name} needs {error.name!r}, which is not installed",
                remedy=f"install {error.name}",
            ) from error
        except SystemExit as error:
            raise UsageError(
                f"{name} ended the program instead of returning a model",
                remedy="leave out sys.exit, and what parses a command line",
            ) from error
        except UsageError:
            raise
        except Exception as error:
            raise failed(f"{name} failed: {said(error)}", None) from error
    return _sorted_out(torch, found, name, beside)


def _sorted_out(torch: Any, found: Any, name: str, beside: Given) -> Given:
    """What of *found* is the model and what the batch; what stands *beside* goes before it."""
    given = Given(found)
    if isinstance(found, Mapping):
        strange = [key for key in found if key not in GIVEN]
        if strange or "model" not in found:
            why = f"an unknown {strange[0]!r}" if strange else "no model"
            raise UsageError(
                f"{name} returned a mapping with {why}", remedy=f"it may hold {', '.join(GIVEN)}"
            )
        given = Given(
            found["model"],
            found.get("batch", found.get("example_batch")),
            found.get("loss"),
            found.get("optimiser", found.get("optimizer")),
            found.get("steps"),
        )
    elif isinstance(found, tuple) and len(found) == 2:  # noqa: PLR2004  # model and batch
        given = Given(*found)
    if not isinstance(given.model, torch.nn.Module):
        raise UsageError(
            f"{name} returned a {type(given.model).__name__}, and no torch.nn.Module",
            remedy="return the model, or (model, example_batch)",
        )
    told = {n: v for n, v in beside._asdict().items() if v is not None and n != "model"}
    return given._replace(**told)


def example_of(torch: Any, given: Given, inputs: Sequence[str], batch: Any, name: str) -> Any:
    """Example batch of *inputs* or of what was given, with *batch* samples if that is asked."""
    example = given.batch
    if inputs:
        floats = (p.dtype for p in given.model.parameters() if p.is_floating_point())
        dtype = next(floats, torch.float32)
        made = tuple(_input(torch, words, dtype) for words in inputs)
        example = made if len(made) > 1 else made[0]
    if example is None:
        raise UsageError(f"no example batch is given for {name}", remedy=_batch_remedy())
    return example if batch is None else resized(torch, example, _whole(batch))


def resized(torch: Any, example: Any, samples: int) -> Any:
    """Give *example* with so many *samples*: its first axis, in all tensors that share it."""
    from submeter.workloads.counting import leaves_of, mapped

    example = example() if callable(example) and not hasattr(example, "data_ptr") else example
    tensors = [t for t in leaves_of(example) if isinstance(t, torch.Tensor) and t.dim()]
    if not tensors:
        raise UsageError("the example batch holds no tensor", remedy=_batch_remedy())
    first = tensors[0].shape[0]

    def other(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or not value.dim() or value.shape[0] != first:
            return value
        return value.new_zeros((samples, *value.shape[1:]))

    return mapped(other, example)


def steps_of(
    words: Mapping[str, Any], work: Mapping[str, float], own: float | None
) -> tuple[float, list[str]]:
    """Steps of the training that *words* ask for, with *work* in each, and how that was read."""
    told = [name for name in AMOUNTS if words.get(name) is not None]
    if len(told) > 1:
        raise UsageError(
            f"{' and '.join(told)} are both given", remedy=f"keep one of {', '.join(AMOUNTS)}"
        )
    epochs = 1.0 if words.get("epochs") is None else parse_count(words["epochs"], what="epochs")
    in_one = ", ".join(f"{spelt(n)} {unit}" for unit, n in work.items())
    each = [f"a step is one batch over all devices: {in_one}"] if in_one else []
    if not told:
        if own is None:
            raise UsageError(
                "nobody says how long it trains",
                remedy="--steps 10000, or --samples, --tokens (with --epochs)",
            )
        return _positive(own) * epochs, each
    (name,) = told
    amount = parse_count(words[name], what=name)
    read = f"{spelt(amount)} {name}" + (f", {epochs:g} times" if epochs != 1 else "")
    if name == "steps":
        return amount * epochs, [read, *each]
    unit = "samples" if name == "images" else name
    if unit not in work:
        has = ", ".join(work) or "neither samples nor tokens"
        raise UsageError(f"the example batch holds {has}, not {unit}", remedy="--steps 10000")
    return amount * epochs / work[unit], [read, *each]


@contextlib.contextmanager
def printing_elsewhere() -> Iterator[None]:
    """Send what a person's code prints to stderr: stdout is for the answer."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def _in_precision(workload: Workload, precision: str | None) -> Workload:
    """The same with its products in another *precision*: as many operations, other bytes."""
    if precision is None:
        return workload
    from submeter.workloads.layers import PRECISIONS, precision_of

    new = precision_of(precision)
    if workload.precision not in PRECISIONS or new == workload.precision:
        return msgspec.structs.replace(workload, precision=new)
    ratio = PRECISIONS[new] / PRECISIONS[workload.precision]

    def change(part: str, o: Operations) -> Operations:
        kept = part == "optimiser"
        return o if kept else msgspec.structs.replace(o, bytes_moved=o.bytes_moved * ratio)

    parts = {part: change(part, o) for part, o in workload.parts.items()}
    note = f"counted in {workload.precision}, asked in {new}: {ratio:g} times the bytes"
    return msgspec.structs.replace(
        workload,
        precision=new,
        parts=parts,
        operations=total(parts.values()),
        notes=(*workload.notes, note),
    )


def _input(torch: Any, words: str, dtype: Any) -> Any:
    """An empty tensor of a shape and a kind in *words*."""
    shape, _, kind = words.strip().lower().replace("×", "x").partition(":")
    sizes = shape.split("x")
    fine = all(size.isdigit() and 0 < int(size) < 2**31 for size in sizes)
    if not fine or kind not in _KINDS or len(sizes) > _MOST_AXES:
        raise UsageError(f"“{words[:40]}” is no shape", remedy=_EXAMPLE)
    chosen = dtype if _KINDS[kind] == "float" else getattr(torch, _KINDS[kind])
    return torch.zeros([int(size) for size in sizes], dtype=chosen, device="meta")


def _whole(batch: Any) -> int:
    samples = parse_count(batch, what="batch") if isinstance(batch, str) else float(batch)
    if samples < 1 or samples != int(samples) or samples >= 2**31:
        raise UsageError(f"a batch of {batch} samples", remedy="--batch 32")
    return int(samples)


def _positive(steps: Any) -> float:
    return parse_count(steps, what="steps")


def _batch_remedy() -> str:
    return f"let the function return (model, example_batch), or give {_EXAMPLE}"


def _called(make: Callable[..., Any] | Any) -> str:
    return str(getattr(make, "__qualname__", type(make).__name__))
