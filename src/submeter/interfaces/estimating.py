# SPDX-License-Identifier: Apache-2.0
"""What a training will use, asked from a program: `estimate`; and how files become a question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, overload

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from submeter.estimating.asking import Answer, Question
    from submeter.estimating.varying import Axis, Table
    from submeter.records.amounts import Amount
    from submeter.records.figures import Figure, Missing
    from submeter.records.footprints import Footprint
    from submeter.records.places import Zone
    from submeter.records.runs import Run
    from submeter.workloads.tallies import Counted

__all__ = ["Prediction", "Predictions", "estimate"]

MOST_BYTES: Final = 1_000_000  # of a description: a configuration has a few kilobytes
_ABOUT_HARDWARE: Final[tuple[str, ...]] = ("hardware", "gpu_hours", "mfu", "power", "precision")
_ABOUT_PLACE: Final[tuple[str, ...]] = ("zone", "region", "pue", "cooling", "arrangement", "price")
_ABOUT_TRIALS: Final[tuple[str, ...]] = ("checkpoints", "evaluation", "restarts", "failed_trials")


_TABLES: Final = {  # of a description, besides those of the model
    "machine": _ABOUT_HARDWARE[:-1],
    "place": (*_ABOUT_PLACE, "at"),
    "overheads": _ABOUT_TRIALS,
}


class Prediction(msgspec.Struct, frozen=True):
    """What a training will use; ``str()`` says it as ``submeter estimate`` does."""

    answer: Answer
    question: Question

    @property
    def run(self) -> Run:
        """The predicted run, which everything takes that takes a measured one."""
        return self.answer.prediction.run

    @property
    def footprint(self) -> Footprint:
        """All that it amounts to."""
        return self.answer.prediction.footprint

    @property
    def duration(self) -> Figure:
        """How long it takes [s]."""
        return self.answer.prediction.duration.figure("s")

    @property
    def energy(self) -> Figure | Missing:
        """Energy at the wall [J]."""
        return _figure(self.footprint.facility, "J")

    @property
    def carbon(self) -> Figure | Missing:
        """Location-based operational emissions [gCO2e]."""
        return _figure(self.footprint.carbon.location, "gCO2e")

    @property
    def water(self) -> Figure | Missing:
        """Water consumed at the generators [L]."""
        return _figure(self.footprint.water.offsite, "L")

    @property
    def cost(self) -> Figure | Missing:
        """Price of the electricity."""
        return _figure(self.footprint.money.electricity, self.footprint.money.currency)

    @property
    def counted(self) -> Counted | None:
        """One step of the model by module, phase and operator; None if it was described."""
        from submeter.reporting.counted import counted_of

        return counted_of(self.question)

    def to_dict(self) -> dict[str, object]:
        """Words of the JSON, as ``submeter estimate --json`` writes them."""
        from submeter.reporting.counted import with_count
        from submeter.reporting.estimates import estimate_document

        return with_count(self.question, estimate_document(self.question, self.answer))

    def __str__(self) -> str:
        from submeter.reporting.counted import count_words
        from submeter.reporting.estimates import estimate_words

        said = estimate_words(self.question, self.answer, 80), count_words(self.question, 80)
        return "\n\n".join(words for words in said if words)


class Predictions(msgspec.Struct, frozen=True):
    """One prediction for each hardware; ``str()`` is their table, Pareto points marked."""

    each: tuple[Prediction, ...]
    table: Table

    def __len__(self) -> int:
        return len(self.each)

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self.each)

    def __getitem__(self, index: int) -> Prediction:
        return self.each[index]

    def to_dict(self) -> dict[str, object]:
        """Words of the JSON, as ``submeter estimate --vary hardware=… --json`` writes them."""
        from submeter.reporting.estimates import table_document

        return table_document(self.table)

    def __str__(self) -> str:
        from submeter.reporting.estimates import table_words

        return table_words(self.table, 100)


@overload
def estimate(
    model: Any = None, example_batch: Any = None, *, hardware: str = "", **more: Any
) -> Prediction: ...


@overload
def estimate(
    model: Any = None, example_batch: Any = None, *, hardware: Sequence[str], **more: Any
) -> Predictions: ...


def estimate(
    model: Any = None,
    example_batch: Any = None,
    *,
    hardware: str | Sequence[str] = "",
    **more: Any,
) -> Prediction | Predictions:
    """Predict what a training will use, before it runs.

    Parameters
    ----------
    model
        A `torch.nn.Module`, or a function that makes one or (model, example batch): its
        operations are counted, and nothing is computed. Or the name of a published model.
    example_batch
        What one step is fed, over all devices: a tensor, a tuple of arguments, a mapping of named
        ones, or a function that makes it.
    hardware
        What it runs on: ``h100-sxm:512``, ``8x a100``, ``cpu``; a list compares several.
    more
        As the options of ``submeter estimate``, dashes as underscores. Of a model: ``steps``, or
        ``samples``, ``tokens`` (with ``epochs``), ``loss``, ``optimiser``, ``arguments`` of the
        function, ``device`` that it is run on to be counted. Of a description: ``params`` and
        ``tokens`` as numbers or words such as ``7B`` and ``2T``, ``config`` (a path or the
        mapping itself), ``cnn``, ``images``, ``description``, ``gpu_hours``. Of both: ``zone``
        (that of the settings, or of the time zone here, if None), ``precision``, ``mfu``,
        ``power``, ``pue``, ``cooling``, ``arrangement``, ``price``, ``at``, ``checkpoints``,
        ``evaluation``, ``restarts``, ``failed_trials``, ``name``.

    Returns
    -------
    Prediction or Predictions
        Several if *hardware* is a list.

    Raises
    ------
    UsageError, CoverageError
        If it makes no sense, or the catalog does not reach that far.

    Examples
    --------
    >>> import submeter
    >>> made = submeter.estimate(params="7B", tokens="2T", hardware="h100-sxm:512", zone="SE")
    >>> made.energy.low < made.energy.value < made.energy.high
    True
    """
    from submeter.errors import UsageError
    from submeter.estimating.asking import answer
    from submeter.running.reckoning import reckoned

    several = not isinstance(hardware, str) and hasattr(hardware, "__iter__")
    wanted = list(hardware) if several else [hardware]
    if not all(isinstance(name, str) for name in wanted):
        raise UsageError(
            f"hardware “{str(hardware)[:40]}” is no name", remedy='hardware="a100:8", or a list'
        )
    names = [str(name) for name in dict.fromkeys(wanted)]
    given = {**more, "hardware": names[0] if names else ""}
    if example_batch is not None and (model is None or isinstance(model, str)):
        raise UsageError(
            "an example batch is of a model that is counted, and none is given",
            remedy="submeter.estimate(model, example_batch, steps=10_000, hardware='a100:8')",
        )
    if isinstance(model, str):
        given["model"] = model
    elif model is not None:
        given["source"] = _source(model, example_batch, given)
    question = question_of(given)
    if not several:
        return Prediction(answer(question, reckoned), question)
    from submeter.estimating.varying import Axis, vary

    bare = msgspec.structs.replace(question, hardware=names[0].partition(":")[0])  # no count
    table = vary(bare, (Axis("hardware", tuple(names)),), reckoned)
    each = [msgspec.structs.replace(question, hardware=name) for name in names]
    return Predictions(tuple(Prediction(answer(q, reckoned), q) for q in each), table)


def _source(model: Any, example_batch: Any, given: dict[str, Any]) -> Any:
    """What counts *model*; words that only it has are taken out of *given*."""
    from submeter.workloads.models import Given, ModelSource

    optimiser = given.get("optimiser")
    beside = Given(
        None,
        example_batch,
        given.pop("loss", None),
        None if optimiser is None or isinstance(optimiser, str) else given.pop("optimiser"),
    )
    return ModelSource(
        model,
        given=beside,
        arguments=given.pop("arguments", None),
        device=given.pop("device", None) or "meta",
    )


def question_of(given: Mapping[str, Any]) -> Question:
    """Question of options or arguments; None or "" is what nobody said.

    Files are read here, the settings are asked for the place, and the clock for the start.

    Raises
    ------
    UsageError, ConfigError, CoverageError
        If something is not understood.
    """
    import time

    from submeter.errors import UsageError
    from submeter.estimating.asking import Question
    from submeter.grid.loads import started_at
    from submeter.interfaces.cli.what_if import instant_utc_s
    from submeter.storing.places import new_run_id

    said = {name: value for name, value in given.items() if value not in (None, "")}
    if "description" in said:
        said = _described(said.pop("description"), said)
    if isinstance(said.get("config"), str) or hasattr(said.get("config"), "read_text"):
        said["config"] = read_json(said["config"])
    source = said.pop("source", None)
    hardware = said.pop("hardware", "")
    if not hardware:
        raise UsageError(
            "no hardware is named", remedy="submeter estimate … --hardware h100-sxm:512"
        )
    now_s = time.time()
    at = said.pop("at", None)
    began_s = now_s if at is None else instant_utc_s(str(at))
    place = {name: said.pop(name) for name in _ABOUT_PLACE if name in said}
    trials = {name: _plain(name, said.pop(name)) for name in _ABOUT_TRIALS if name in said}
    about = {name: said.pop(name) for name in _ABOUT_HARDWARE[1:] if name in said}
    hours = about.pop("gpu_hours", None)
    return Question(
        hardware=str(hardware),
        name=str(said.pop("name", "")),
        model=said,
        device_hours=None if hours is None else _count(hours, "gpu-hours"),
        overheads=trials,
        place=_place(place),
        started_utc=started_at(began_s),
        run_id=new_run_id(int(now_s * 1e9)),
        source=source,
        **{name: str(word) for name, word in about.items()},
    )


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a configuration such as Hugging Face's ``config.json``."""
    import json

    return _mapping(path, json.loads, "JSON")


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a description in TOML."""
    import tomllib

    return _mapping(path, tomllib.loads, "TOML")


def _mapping(path: str | Path, read: Any, kind: str) -> dict[str, Any]:
    from pathlib import Path

    from submeter.errors import UsageError

    place = Path(path)
    if place.is_dir():
        place = place / "config.json"
    try:
        if place.stat().st_size > MOST_BYTES:
            raise UsageError(f"{place} is too large for a description", remedy="give another")
        found = read(place.read_text(encoding="utf-8"))
    except OSError as exc:
        number = kind == "TOML" and (place.name[:1].isdigit() or len(place.name) == 1)
        remedy = "a count stands behind its option: --params 7B" if number else "check the path"
        raise UsageError(f"{place}: {exc.strerror}", remedy=remedy) from None
    except ValueError as exc:
        raise UsageError(f"{place} is no {kind}: {exc}", remedy="check the file") from None
    except RecursionError:
        raise UsageError(f"{place} is nested too deep", remedy="check the file") from None
    if not isinstance(found, dict):
        raise UsageError(f"{place} holds no mapping", remedy="check the file")
    return found


def _described(description: Any, said: Mapping[str, Any]) -> dict[str, Any]:
    """What a TOML description says, options before it.

    Its tables ``machine``, ``place`` and ``overheads`` have the words of the options; the others
    are the model's.
    """
    from submeter.errors import UsageError

    table = dict(description) if isinstance(description, dict) else read_toml(description)
    own: dict[str, Any] = {}
    for name, words in _TABLES.items():
        part = table.pop(name, {})
        if not isinstance(part, dict):
            raise UsageError(f"{name} is no table", remedy=f"write [{name}] above its words")
        for key, value in part.items():
            word = key.replace("-", "_")
            if word not in words:
                raise UsageError(
                    f"“{key[:40]}” says nothing of the {name}", remedy=f"use {', '.join(words)}"
                )
            own[word] = value
    if {"zone", "region"} & said.keys():
        own = {word: value for word, value in own.items() if word not in ("zone", "region")}
    return {**own, **({"description": table} if table else {}), **said}


def check_places(axes: Sequence[Axis]) -> None:
    """See that every place, PUE, cooling, arrangement and price of *axes* means something.

    What a run recorded may be forgiven there; what somebody asks for may not.

    Raises
    ------
    UsageError, CoverageError, ConfigError
        For the first that does not.
    """
    for axis in axes:
        if axis.name in _ABOUT_PLACE:
            for word in axis.values:
                _place_word(axis.name, word)
        if axis.name == "price":
            _one_currency(axis.values)


def _one_currency(prices: Sequence[str]) -> None:
    """Refuse prices in several currencies: a table has one."""
    from submeter.accounting.money import parse_tariff
    from submeter.errors import UsageError
    from submeter.settings import load
    from submeter.settings.recording import recorded

    usual = recorded(load()).get("currency", "USD")
    found = sorted({parse_tariff(price, usual).currency for price in prices})
    if len(found) > 1:
        raise UsageError(
            f"prices in {' and '.join(found)} stand in no one column",
            remedy=f"give all of them in {found[0]}",
        )


def _place_word(name: str, word: Any) -> Zone | None:
    """Check what is said of the place; the zone, if it is one."""
    from submeter.accounting.money import parse_tariff
    from submeter.circumstances.sites import technology
    from submeter.grid.place import resolve_place
    from submeter.settings.rules import accept

    if name in ("zone", "region"):
        return resolve_place(argument=str(word))
    if name == "cooling":
        technology(str(word))
    else:
        setting = "electricity_price" if name == "price" else name
        accept(setting, word, words=isinstance(word, str))
        if name == "price":
            parse_tariff(str(word), "USD")  # whatever the currency: its words are looked at
    return None


def _place(asked: Mapping[str, Any]) -> dict[str, str]:
    """What a run here would record, and what is *asked* instead, checked."""
    from submeter.grid.timezone import machine_timezone
    from submeter.settings import load
    from submeter.settings.recording import recorded
    from submeter.settings.rules import accept

    place = {**recorded(load()), "timezone": machine_timezone()}
    zone = asked.get("region", asked.get("zone"))
    if zone is not None:
        found = _place_word("zone", zone)
        place |= {"zone": str(zone), "zone_from": "argument"}
        place.pop("cloud", None)
        place["timezone"] = (found and found.timezone) or place["timezone"]
    if "cooling" in asked:
        _place_word("cooling", asked["cooling"])
        place["cooling"] = str(asked["cooling"])
        for name in ("pue", "wue_l_per_kwh"):
            place.pop(name, None)
    for name, setting in (
        ("pue", "pue"), ("arrangement", "arrangement"), ("price", "electricity_price"),
    ):  # fmt: skip
        if name in asked:
            _place_word(name, asked[name])
            place[setting] = str(accept(setting, asked[name], words=isinstance(asked[name], str)))
    return place


def _count(value: Any, what: str) -> float:
    from submeter.workloads.counts import parse_count

    return parse_count(value, what=what)


def _plain(name: str, value: Any) -> float:
    from submeter.errors import UsageError

    try:
        return float(value)
    except (TypeError, ValueError):
        raise UsageError(
            f"{name.replace('_', '-')} “{str(value)[:40]}” is no number",
            remedy=f"--{name.replace('_', '-')} 0.02 for two per cent of the steps' time",
        ) from None


def _figure(amount: Amount | Missing, unit: str) -> Figure | Missing:
    from submeter.records.amounts import Amount

    return amount.figure(unit) if isinstance(amount, Amount) else amount
