# SPDX-License-Identifier: Apache-2.0
"""What a training will use, asked from a program: `estimate`; and how files become a question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from submeter.estimating.asking import Answer, Question
    from submeter.records.amounts import Amount
    from submeter.records.figures import Figure, Missing
    from submeter.records.footprints import Footprint
    from submeter.records.runs import Run

__all__ = ["Prediction", "estimate"]

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

    def to_dict(self) -> dict[str, object]:
        """Words of the JSON, as ``submeter estimate --json`` writes them."""
        from submeter.reporting.estimates import estimate_document

        return estimate_document(self.question, self.answer)

    def __str__(self) -> str:
        from submeter.reporting.estimates import estimate_words

        return estimate_words(self.question, self.answer, 80)


def estimate(
    *,
    hardware: str = "",
    params: str | float | None = None,
    tokens: str | float | None = None,
    zone: str | None = None,
    **more: Any,
) -> Prediction:
    """Predict what a training will use, before it runs.

    Parameters
    ----------
    hardware
        What it runs on: ``h100-sxm:512``, ``8x a100``, ``cpu``.
    params, tokens
        Of a transformer: numbers, or words such as ``7B`` and ``2T``.
    zone
        Where: any word for a place; that of the settings, or of the time zone here, if None.
    more
        As the options of ``submeter estimate``, dashes as underscores: ``config`` (a path or the
        mapping itself), ``cnn``, ``images``, ``description``, ``gpu_hours``, ``precision``,
        ``mfu``, ``power``, ``pue``, ``cooling``, ``arrangement``, ``price``, ``at``,
        ``checkpoints``, ``evaluation``, ``restarts``, ``failed_trials``, ``name``.

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
    from submeter.estimating.asking import answer
    from submeter.running.reckoning import reckoned

    given = {"hardware": hardware, "params": params, "tokens": tokens, "zone": zone, **more}
    question = question_of(given)
    return Prediction(answer(question, reckoned), question)


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
        device_hours=None if hours is None else _count(hours),
        overheads=trials,
        place=_place(place),
        started_utc=started_at(began_s),
        run_id=new_run_id(int(now_s * 1e9)),
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
        raise UsageError(f"{place}: {exc.strerror}", remedy="check the path") from None
    except ValueError as exc:
        raise UsageError(f"{place} is no {kind}: {exc}", remedy="check the file") from None
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


def _place(asked: Mapping[str, Any]) -> dict[str, str]:
    """What a run here would record, and what is *asked* instead, checked."""
    from submeter.circumstances.sites import technology
    from submeter.grid.place import resolve_place
    from submeter.grid.timezone import machine_timezone
    from submeter.settings import load
    from submeter.settings.recording import recorded
    from submeter.settings.rules import accept

    place = {**recorded(load()), "timezone": machine_timezone()}
    zone = asked.get("region", asked.get("zone"))
    if zone is not None:
        found = resolve_place(argument=str(zone))
        place |= {"zone": str(zone), "zone_from": "argument"}
        place.pop("cloud", None)
        place["timezone"] = found.timezone or place["timezone"]
    if "cooling" in asked:
        technology(str(asked["cooling"]))
        place["cooling"] = str(asked["cooling"])
        for name in ("pue", "wue_l_per_kwh"):
            place.pop(name, None)
    for name, setting in (
        ("pue", "pue"), ("arrangement", "arrangement"), ("price", "electricity_price"),
    ):  # fmt: skip
        if name in asked:
            place[setting] = str(accept(setting, asked[name], words=isinstance(asked[name], str)))
    return place


def _count(value: Any) -> float:
    from submeter.workloads.counts import parse_count

    return parse_count(value) if isinstance(value, str) else float(value)


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
