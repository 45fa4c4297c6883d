# SPDX-License-Identifier: Apache-2.0
"""What a search found, in words and as JSON."""

import shlex
import textwrap
from collections.abc import Sequence
from typing import Final

from submeter.records.figures import Figure, Missing
from submeter.records.searches import SearchResult, SearchTrial
from submeter.reporting.numbers import MISSING, write, write_duration, write_percent
from submeter.reporting.text import cut, fitted, plain
from submeter.reporting.words import JSON_SCHEMA

MOST_ROWS: Final = 12


def search_words(found: SearchResult, width: int = 80) -> str:
    """The recommended setting first, then what it rests on, at most *width* columns wide."""
    lines = [*_wrapped(_answer(found), width), *_table(found, width)]
    lines += _wrapped(_cost(found), width)
    for note in found.notes:
        lines += _wrapped(f"note: {note}", width)
    return "\n".join([*lines, *_next(found)])


def _wrapped(words: str, width: int) -> list[str]:
    return textwrap.wrap(plain(words), width, subsequent_indent="  ")


def _answer(found: SearchResult) -> str:
    best = _best(found)
    if best is None:
        return f"No setting kept what was asked for ({found.ended})."
    setting = _setting(best)
    if best.default:
        return f"The default setting uses least: {setting}."
    saving = found.saving_ratio
    if saving is None:
        return f"Least energy: {setting}, {write(best.energy)}; {found.saving_why}."
    price = "at no more time and no less quality" if found.free else f"for {found.bought_with}"
    return (
        f"{setting} used {write_percent(saving)} less than the default, {write(best.energy)} "
        f"a run, {price} (one run of each: to be proven)."
    )


def _best(found: SearchResult) -> SearchTrial | None:
    return next((t for t in found.trials if t.number == found.best), None)


def _setting(trial: SearchTrial) -> str:
    from submeter.reducing.spaces import written

    return " ".join(f"{k}={written(v)}" for k, v in trial.settings.items())


def _table(found: SearchResult, width: int) -> list[str]:
    metrics = _metrics(found)
    rows = [["", "setting", "energy", "time", *metrics, ""]]
    shown = [t for t in found.trials if t.pareto or t.default or t.number == found.best]
    for t in sorted(shown, key=lambda t: t.energy_j)[:MOST_ROWS]:
        mark = "→" if t.number == found.best else "·" if t.pareto else ""
        cells = [f"{t.metrics[m]:.4g}" if m in t.metrics else MISSING for m in metrics]
        what = "default" if t.default else ""
        rows.append(
            [mark, plain(_setting(t), width=44), write(t.energy), write_duration(t.duration_s),
             *cells, what if t.kept or not what else "default, not kept"]
        )  # fmt: skip
    lines, _ = fitted(rows, width - 2, right=range(2, 4 + len(metrics)), spare=(3,))
    return [cut(f"  {line}", width) for line in lines]


def _metrics(found: SearchResult) -> list[str]:
    """Metrics that were asked about, else those that all finished trials logged."""
    asked = [c.split(" ", 1)[0] for c in found.conditions]
    if "maximise " in found.minimise:
        asked.append(found.minimise.rpartition("maximise ")[2])
    done = [set(t.metrics) for t in found.trials if t.state == "finished"]
    return list(dict.fromkeys(asked)) or sorted(set.intersection(*done) if done else ())[:2]


def _cost(found: SearchResult) -> str:
    states = [t.state for t in found.trials]
    words = f"{len(states)} trials, {states.count('stopped')} stopped early; {found.ended}. "
    if isinstance(found.energy, Missing):
        return words + f"What the search used is not known: {found.energy.why}."
    words += f"The search used {write(found.energy)} in {write_duration(found.duration_s)}"
    if found.payback_uses is None:
        return words + "."
    return words + f": paid back after {max(1, round(found.payback_uses))} runs."


def _next(found: SearchResult) -> list[str]:
    best = _best(found)
    if best is None or best.default:
        return [f"  → submeter tune --show {found.id}"]
    default = next((t for t in found.trials if t.default), None)
    lines = [f"  → {plain(shlex.join(found.best_command))}"]
    if default is not None:
        lines.append(f"  → submeter tune --prove {found.id}   runs both in pairs")
    return lines


def trial_words(trial: SearchTrial, space: Sequence[str] = ()) -> str:
    """One trial in a line, for a log."""
    del space
    ended = trial.why or trial.state
    return f"trial {trial.number}  {_setting(trial)}  {write(trial.energy)}  {ended}"


def search_document(found: SearchResult) -> dict[str, object]:
    """The words of the JSON (schema 1)."""
    return {
        "schema": JSON_SCHEMA,
        "id": found.id, "name": found.name, "made_utc": found.made_utc, "ended": found.ended,
        "command": list(found.command), "space": list(found.space),
        "minimise": found.minimise, "conditions": list(found.conditions),
        "best": None if found.best is None else _trial(_required(found)),
        "best_command": list(found.best_command),
        "saving_ratio": found.saving_ratio, "saving_why": found.saving_why, "proven": False,
        "free": found.free, "bought_with": found.bought_with,
        "energy": _figure(found.energy),
        "stopped_energy_j": found.stopped_energy_j,
        "duration_s": found.duration_s,
        "payback_uses": found.payback_uses,
        "budget_j": found.budget_j,
        "trials": [_trial(t) for t in found.trials],
        "notes": list(found.notes),
    }  # fmt: skip


def _required(found: SearchResult) -> SearchTrial:
    best = _best(found)
    assert best is not None  # noqa: S101
    return best


def _trial(trial: SearchTrial) -> dict[str, object]:
    return {
        "number": trial.number, "settings": trial.settings, "state": trial.state,
        "why": trial.why, "energy": _figure(trial.energy), "duration_s": trial.duration_s,
        "metrics": trial.metrics, "run": trial.run, "kept": trial.kept, "pareto": trial.pareto,
        "default": trial.default,
    }  # fmt: skip


def _figure(value: Figure | Missing) -> dict[str, object]:
    return {"missing": value.why} if isinstance(value, Missing) else value.to_dict()
