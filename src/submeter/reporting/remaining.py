# SPDX-License-Identifier: Apache-2.0
"""What a run in progress, or a probe, says of the whole: one line, a few lines, or a document."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from submeter.estimating.remaining import Outlook, unseen_of
from submeter.estimating.whole import KEY, NAMES, left_of
from submeter.records.amounts import Amount
from submeter.records.figures import Missing
from submeter.records.footprints import Footprint
from submeter.reporting.estimates import NINE_IN_TEN, in_time
from submeter.reporting.footprint_words import figure_words, missing
from submeter.reporting.impacts import GRAMS, LITRES
from submeter.reporting.numbers import (
    interval,
    with_interval,
    write,
    write_count,
    write_duration,
    write_ratio,
)
from submeter.reporting.text import cut, fill, plain
from submeter.reporting.words import JSON_SCHEMA, run_document
from submeter.running.watching import View

__all__ = ["forecast_document", "forecast_line", "probe_document", "probe_words"]

_TREND_RATIO: Final = 0.005  # below it a step is said to stay as it is
_NARROW: Final = 60
_ARTICLES: Final = {"step": "a step", "epoch": "an epoch"}


def forecast_line(view: View, width: int = 100) -> str:
    """One line of how far a run has come and how it is forecast to end."""
    way = _way(view)
    if not isinstance(view.ahead, Footprint) or not isinstance(view.duration, Amount):
        why = view.ahead.why if isinstance(view.ahead, Missing) else "no forecast"
        so_far = _figure(view.footprint.facility, "J")
        return cut(f"{way} · {so_far} so far · {plain(why)}", width)
    pieces = [way, f"ends {_end(view)}", f"{_figure(view.footprint.facility, 'J')} so far"]
    pieces.append(f"{_figure(view.ahead.facility, 'J', ends=True)} in the end")
    pieces += _beside(view.ahead)
    trend = _trend(view)
    if trend:
        pieces.append(trend)
    line = pieces[0]
    for piece in pieces[1:]:
        if len(line) + 3 + len(piece) > max(width, _NARROW):
            break
        line += f" · {piece}"
    return cut(line, width)


def forecast_document(view: View) -> dict[str, Any]:
    """Words of the JSON for the forecast of a run that goes on."""
    return {
        "done": view.done,
        "total": missing("not said") if view.total is None else view.total,
        "elapsed_s": view.elapsed_s,
        "whole": _amounts(view.ahead, view.duration),
        "left": _amounts(view.rest, left_of(view.time))
        if isinstance(view.time, Outlook)
        else missing(view.time.why),
        "end_utc": _end_words(view),
        **_hangs_on(view),
    }


def probe_words(view: View, width: int = 80) -> str:
    """What a probe says of the whole, for people."""
    if not isinstance(view.ahead, Footprint) or not isinstance(view.duration, Amount):
        raise TypeError(view.ahead)
    time = in_time(view.duration.figure("s", level=NINE_IN_TEN))
    head = f"About {with_interval(time)}"
    wall = view.ahead.facility
    if isinstance(wall, Amount):
        head += f" and {with_interval(wall.figure('J', level=NINE_IN_TEN))}"
    lines = [f"{head}, 9 in 10."]
    embodied = view.ahead.carbon.embodied
    money = view.ahead.money
    said = [
        _said("carbon", view.ahead.carbon.location, GRAMS, " location-based"),
        _said("water", view.ahead.water.offsite, LITRES, " at the generators"),
        _said("embodied", embodied, GRAMS, ""),
        _said("electricity", money.electricity, money.currency, ""),
    ]
    lines += _row("", [words for words in said if words], width)
    lines += _row("seen", _seen(view), width)
    lines += _row("hangs on", _drivers(view), width)
    return "\n".join(cut(line, width) for line in lines)


def probe_document(view: View) -> dict[str, Any]:
    """Words of the JSON for a prediction from a probe: those of a run, and two more."""
    if not isinstance(view.ahead, Footprint) or isinstance(view.whole, Missing):
        raise TypeError(view.whole)
    wall = view.ahead.facility
    assert isinstance(view.duration, Amount)  # noqa: S101
    return {
        **run_document(view.whole, view.ahead),
        "prediction": {
            "duration": figure_words(view.duration, "s"),
            "nine_in_ten": {
                "duration": view.duration.figure("s", level=NINE_IN_TEN).to_dict(),
                "energy": wall.figure("J", level=NINE_IN_TEN).to_dict()
                if isinstance(wall, Amount)
                else missing(wall.why),
            },
            "bound": "as probed",
        },
        "probe": {
            "run": view.so_far.id,
            "done": view.done,
            "total": missing("not said") if view.total is None else view.total,
            "elapsed_s": view.elapsed_s,
            **_hangs_on(view),
        },
        "schema": JSON_SCHEMA,
    }


# --- inside -------------------------------------------------------------------------------------


def _way(view: View) -> str:
    if view.total is None:
        return f"{view.unit} {write_count(view.done)}, {write_duration(view.elapsed_s)}"
    ratio = view.done / view.total if view.total > 0 else 1.0
    return (
        f"{view.unit} {write_count(view.done)} of {write_count(view.total)} ({write_ratio(ratio)})"
    )


def _end(view: View) -> str:
    """When it ends by the clock on the wall, and how sure that is."""
    if not isinstance(view.time, Outlook):
        return ""
    low_s, high_s = view.time.interval()
    ends = [_clock(view, at_s) for at_s in (view.time.value, low_s, high_s)]
    if ends[1] == ends[2]:
        return ends[0]
    return f"{ends[0]} ({ends[1]} – {ends[2]})"


def _clock(view: View, at_s: float) -> str:
    left_s = max(0.0, at_s - view.elapsed_s)
    then = datetime.fromtimestamp(view.now_utc_s + left_s, UTC).astimezone()
    now = datetime.fromtimestamp(view.now_utc_s, UTC).astimezone()
    return f"{then:%H:%M}" if then.date() == now.date() else f"{then:%d %b %H:%M}"


def _end_words(view: View) -> object:
    if not isinstance(view.time, Outlook):
        return missing(view.time.why)
    left_s = max(0.0, view.time.value - view.elapsed_s)
    then = datetime.fromtimestamp(view.now_utc_s + left_s, UTC)
    return f"{then:%Y-%m-%dT%H:%M:%S}Z"


def _beside(ahead: Footprint) -> list[str]:
    """Carbon, water and money in short."""
    rows = (
        (ahead.carbon.location, GRAMS),
        (ahead.water.offsite, LITRES),
        (ahead.money.electricity, ahead.money.currency),
    )
    return [_figure(amount, unit) for amount, unit in rows if isinstance(amount, Amount)]


def _trend(view: View) -> str:
    found = view.energy if isinstance(view.energy, Outlook) else view.time
    if not isinstance(found, Outlook) or abs(found.trend_ratio) < _TREND_RATIO:
        return ""
    word = "rising" if found.trend_ratio > 0 else "falling"
    return f"{_ARTICLES[view.unit]} {word} {write_ratio(abs(found.trend_ratio))} a doubling"


def _figure(amount: Amount | Missing, unit: str, *, ends: bool = False) -> str:
    if isinstance(amount, Missing):
        return write(amount)
    figure = amount.figure(unit, level=NINE_IN_TEN)
    return with_interval(figure) if ends else write(figure)


def _said(name: str, amount: Amount | Missing, unit: str, after: str) -> str:
    if isinstance(amount, Missing):
        return ""
    figure = amount.figure(unit, level=NINE_IN_TEN)
    return f"{name} {write(figure)}{after} {interval(figure)}".rstrip()


def _seen(view: View) -> list[str]:
    """What the steps looked like."""
    found = view.time
    if not isinstance(found, Outlook):
        return []
    said = [f"{write_count(view.done)} of {write_count(found.total)} {view.unit}s"]
    said.append(f"{write(found.per_step, 's')} {_ARTICLES[view.unit]}")
    if found.settled_after:
        said.append(f"steady after {write_count(found.settled_after)}")
    for pause in found.pauses:
        often = (
            f"every {write_count(round(pause.every))} {view.unit}s"
            if pause.every
            else "now and then"
        )
        said.append(f"{plain(pause.name)} {write(pause.cost, 's')} {often}")
    added = unseen_of(found) / found.left if found.left > 0 else 0.0
    if not found.pauses and added >= _TREND_RATIO:
        percent = write_ratio(added)
        said.append(f"no evaluation or checkpoint seen: {percent} is added to the rest for them")
    trend = _trend(view)
    return [*said, trend] if trend else said


def _drivers(view: View) -> list[str]:
    """What the interval of the energy hangs on, by its part of the variance."""
    if not isinstance(view.ahead, Footprint) or not isinstance(view.ahead.facility, Amount):
        return []
    shares = view.ahead.facility.shares_of_variance()
    own = {NAMES[key]: part for key, part in shares.items() if key in NAMES}
    others = sum(part for key, part in shares.items() if key not in NAMES)
    named = {**own, "the meter, the machine around it and its building": others}
    ranked = sorted(named.items(), key=lambda row: -row[1])
    return [f"{name}, {write_ratio(part)}" for name, part in ranked[:3] if part >= 0.05]  # noqa: PLR2004


def _hangs_on(view: View) -> dict[str, Any]:
    """The steps, the pauses and the doubts of an outlook."""
    return {
        name: missing(found.why)
        if isinstance(found, Missing)
        else {
            "per_step": found.per_step,
            "trend_ratio": found.trend_ratio,
            "settled_after": found.settled_after,
            "pauses": [_pause(msgspec.structs.asdict(pause)) for pause in found.pauses],
            "sd_by_source": {f"{KEY}/{key}": sd for key, sd in found.sds.items()},
        }
        for name, found in (("steps_s", view.time), ("steps_j", view.energy))
    }


def _pause(told: dict[str, Any]) -> dict[str, Any]:
    return told | {"every": missing("no rhythm") if told["every"] is None else told["every"]}


def _amounts(footprint: Footprint | Missing, duration: Amount | Missing) -> dict[str, Any]:
    if isinstance(footprint, Missing):
        return missing(footprint.why)
    rows = {
        "energy": (footprint.facility, "J"),
        "carbon": (footprint.carbon.location, "g"),
        "water": (footprint.water.offsite, LITRES),
        "cost": (footprint.money.electricity, footprint.money.currency),
        "duration": (duration, "s"),
    }
    return {name: figure_words(amount, unit) for name, (amount, unit) in rows.items()}


def _row(label: str, pieces: Sequence[str], width: int) -> list[str]:
    if not pieces:
        return []
    indent = f"  {label:<11}" if label else "  "
    body = fill(pieces, width - len(indent), between=" · ")
    return [(indent if i == 0 else " " * len(indent)) + line for i, line in enumerate(body)]
