# SPDX-License-Identifier: Apache-2.0
"""A question in the words of people, and its answer: words to workload and machine to prediction.

Pure: who asks has read the files, and says where and when.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from submeter.circumstances.reckoning import reckon
from submeter.errors import UsageError
from submeter.estimating.machines import Machine, machine_of
from submeter.estimating.overheads import Overheads, overheads_of
from submeter.estimating.predicting import Prediction, predict
from submeter.estimating.rates import Rates, rates_of
from submeter.records.footprints import Footprint
from submeter.records.runs import Run
from submeter.workloads.describing import workload_of
from submeter.workloads.workloads import Workload

OVERHEADS: Final = ("checkpoints", "evaluation", "restarts", "failed_trials")
_TABLES: Final = {  # of a description: where the words of options belong
    "model": ("params", "active_params"),
    "data": ("tokens", "context", "images", "image_side"),
    "training": ("precision", "batch", "epochs", "recomputation", "optimiser"),
}
SHORT_STEP_S: Final = 1e-3  # a hundred kernels of 10 µs each: what only starting them takes
PLACED: Final = {  # words of a question, and what a run records for them
    "zone": "zone",
    "pue": "pue",
    "cooling": "cooling",
    "arrangement": "arrangement",
    "price": "electricity_price",
}


class Question(msgspec.Struct, frozen=True):
    """What somebody wants to know.

    ``model`` are arguments of `submeter.workloads.describing.workload_of`; empty where the hours
    say all. ``place`` is what a run records, ``overheads`` arguments of `overheads_of`.
    ``source`` makes the workload of the words of ``model``, if it is no description but a model
    that is counted.
    """

    hardware: str
    model: dict[str, Any] = {}
    device_hours: float | None = None
    mfu: str | None = None
    power: str | None = None
    precision: str | None = None
    overheads: dict[str, float] = {}
    place: dict[str, str] = {}
    started_utc: str = "2026-01-01T00:00:00.000Z"
    run_id: str = "20260101-000000-0000"
    name: str = ""
    source: Callable[[Mapping[str, Any]], Workload] | None = None

    def placed(self, **words: str | None) -> "Question":
        """The same with other *words* for zone, pue, cooling, arrangement, price."""
        place = dict(self.place)
        for name, word in words.items():
            if word is not None:
                place[PLACED[name]] = str(word)
        if words.get("zone"):
            place["zone_from"] = "argument"
            place.pop("cloud", None)
        if words.get("cooling") and not words.get("pue"):
            place.pop("pue", None)
            place.pop("wue_l_per_kwh", None)
        return msgspec.structs.replace(self, place=place)

    def workload(self) -> Workload | None:
        """What the model asks for; None where only hours are known."""
        if not self.model and self.source is None:
            return None
        given = dict(self.model)
        if self.precision is not None:
            given["precision"] = self.precision
        if self.source is not None:
            return self.source(given)
        described = given.pop("description", None)
        if described is None:
            return workload_of(**given)
        return workload_of(description=_with(described, given))

    def rates(self, workload: Workload | None, machine: Machine) -> Rates:
        """How fast *machine* works on *workload*."""
        return rates_of(
            workload,
            machine,
            mfu=self.mfu,
            power=self.power,
            device_hours=self.device_hours,
            precision=self.precision or "",
        )

    def spent(self, count: int) -> Overheads:
        """Overheads on *count* devices."""
        return overheads_of(count, **self.overheads)


class Answer(msgspec.Struct, frozen=True):
    """A prediction with what was understood of the question."""

    prediction: Prediction
    workload: Workload | None
    machine: Machine
    rates: Rates


def _with(description: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """*description* with the words that were *given* beside it in their tables."""
    made = {name: dict(part) if isinstance(part, dict) else part
            for name, part in description.items()}  # fmt: skip
    for name, value in given.items():
        table = next((t for t, words in _TABLES.items() if name in words), "")
        if not table:
            raise UsageError(
                f"{name} beside a description says nothing", remedy="write it into the description"
            )
        made.setdefault(table, {})[name] = value
    return made


def _short_steps(workload: Workload | None, duration_s: float) -> str:
    """A warning where steps are shorter than what a program spends beside operations; or ""."""
    steps = workload.details.get("steps", 0.0) if workload is not None else 0.0
    if not steps or duration_s / steps >= SHORT_STEP_S:
        return ""
    return (
        f"a step would take {1e6 * duration_s / steps:.2g} µs, and starting its kernels takes"
        " longer: that is not in it, nor are Python and the loader; a probe tells"
    )


def answer(question: Question, reckoned: Callable[[Run], Footprint] = reckon) -> Answer:
    """Predict what *question* asks for.

    Raises
    ------
    UsageError, CoverageError
        If it makes no sense, or the catalog does not reach that far.
    """
    if not question.model and question.source is None and question.device_hours is None:
        raise UsageError(
            "neither a model nor hours are given",
            remedy="submeter estimate --params 7B --tokens 2T --hardware h100-sxm:512",
        )
    machine = machine_of(question.hardware)
    workload = question.workload()
    rates = question.rates(workload, machine)
    made = predict(
        workload,
        rates,
        device_hours=question.device_hours,
        overheads=question.spent(rates.count),
        place=question.place,
        started_utc=question.started_utc,
        run_id=question.run_id,
        name=question.name,
        reckoned=reckoned,
    )
    short = _short_steps(workload, made.duration.value)
    notes = tuple(dict.fromkeys((*made.notes, *machine.notes, rates.peak_flop_per_s.note, short)))
    notes = tuple(note for note in notes if note)
    run = msgspec.structs.replace(made.run, notes=notes)
    return Answer(msgspec.structs.replace(made, run=run, notes=notes), workload, machine, rates)


def understood(question: Question, found: Answer) -> Mapping[str, str]:
    """What was typed and how it was read, in full: for repeating back."""
    rates = found.rates
    said: dict[str, str] = {}
    said["hardware"] = f"{rates.count} × {rates.name}" + (
        f" in {rates.nodes} nodes" if rates.nodes > 1 else ""
    )
    if question.device_hours is not None:
        said["given"] = f"{question.device_hours:.6g} device-hours"
    zone = found.prediction.footprint.zone
    if zone is not None:
        said["place"] = zone.name
    return said
