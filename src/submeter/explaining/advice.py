# SPDX-License-Identifier: Apache-2.0
"""What is worth trying, in the run's own terms: kilowatt-hours, kilograms, money, per cent.

The rules are rows of the catalog (``advice``): which wastes an action cures and to what part, what
it costs, which technique or setting does it. An action that would not help here is withheld, and
says why. Nothing here is claimed: each action names the command that would show it.
"""

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from submeter.catalog.tables import rows
from submeter.explaining.use import quality_of
from submeter.explaining.waste import Found
from submeter.explaining.waste_case import plain_name, words_of
from submeter.records.amounts import Amount
from submeter.records.devices import DeviceKind
from submeter.records.explanations import Action, Waste, Withheld
from submeter.records.factors import Factor
from submeter.records.figures import Basis, Figure, Missing, Quantity
from submeter.records.footprints import Footprint
from submeter.records.runs import Run

MOST: Final = 5
NOTHING: Final = "nothing"  # to prove: the run need not have been
_NEAR_LIMIT: Final = 0.6  # mean power of a board over its limit, from which on a lower one saves
_CERTAIN: Final = 1e-6


class Advice(msgspec.Struct, frozen=True):
    """At most five actions, the one that saves most first, and those that are withheld."""

    actions: tuple[Action, ...] = ()
    withheld: tuple[Withheld, ...] = ()


class _Saving(msgspec.Struct, frozen=True):
    """Part of the run that an action saves, at best and at most, with the doubts about it."""

    ratio: float
    most_ratio: float
    factors: tuple[Factor, ...]

    def of(self, amount: Amount | Missing, unit: str) -> Figure | Missing:
        """The saving of *amount*, never more than the action could cure of it."""
        if isinstance(amount, Missing):
            return amount
        made = amount.scaled(self.ratio)
        for factor in self.factors:
            made = made.times(factor)
        figure, most = made.figure(unit), self.most_ratio * amount.figure(unit).high
        return msgspec.structs.replace(figure, high=max(figure.value, min(figure.high, most)))


def advise(run: Run, footprint: Footprint, found: Found) -> Advice:
    """What to try with *run*.

    Parameters
    ----------
    run, footprint
        The run, and what it amounts to.
    found
        Its wastes, of `waste.find_waste`.

    Returns
    -------
    Advice
        Ranked by expected saving of energy at the wall. Where several actions cure one waste,
        the best of each comes first: their savings do not add up.
    """
    table = rows("advice")
    wastes = {w.key: w for w in found.wastes}
    made: list[tuple[str, Action]] = []
    withheld: list[Withheld] = []
    for row in table:
        saving = _saving(row, run, wastes, found)
        if isinstance(saving, str):
            withheld.append(Withheld(row["key"], row["text"], saving, row["source"]))
            continue
        cured = next((w for w in row["wastes"].split(";") if w in wastes), "")
        made.append((cured, _action(row, run, footprint, saving, wastes)))
    chosen = _chosen(made)
    for _, action in made:
        if action not in chosen:
            withheld.append(Withheld(action.key, action.text, "others save more", action.source))
    return Advice(tuple(chosen), tuple(withheld))


def _chosen(made: Sequence[tuple[str, Action]]) -> list[Action]:
    """Best of each waste first, then what else there is room for; ranked."""
    ranked = sorted(made, key=lambda row: -_value(row[1]))
    first: dict[str, Action] = {}
    for cured, action in ranked:
        first.setdefault(cured or action.key, action)
    chosen = list(first.values())[:MOST]
    for _, action in ranked:
        if len(chosen) < MOST and action not in chosen:
            chosen.append(action)
    return sorted(chosen, key=lambda a: -_value(a))


def _value(action: Action) -> float:
    return action.saving.value if isinstance(action.saving, Figure) else 0.0


def _saving(
    row: Mapping[str, str], run: Run, wastes: Mapping[str, Waste], found: Found
) -> _Saving | str:
    """What the action of *row* saves here, or why it is withheld."""
    keys = [k for k in row["wastes"].split(";") if k]
    low, value, high = (float(row[c]) for c in ("low", "value", "high"))
    cure = Factor(
        f"advice/{row['key']}", 1.0, low / value, high / value, "1", source=row["source"],
        verified="derived" if row["verified"] == "derived" else "recall",
    )  # fmt: skip
    if not keys:
        why = _hot(run)
        return why or _Saving(value, high, (cure,))
    here = [wastes[k] for k in keys if k in wastes]
    shares = [w.share_ratio for w in here if isinstance(w.share_ratio, float)]
    if not shares:
        return "; ".join(dict.fromkeys(found.silent.get(k, "not looked for") for k in keys))
    ends = [found.doubts.get(w.key, (1.0, 1.0)) for w in here]
    doubts = [_doubt(w.key, *end) for w, end in zip(here, ends, strict=True)]
    most = high * math.fsum(s * end[1] for s, end in zip(shares, ends, strict=True))
    factors = (cure, *filter(None, doubts))
    return _Saving(value * math.fsum(shares), min(1.0, most), factors)


def _doubt(key: str, low: float, high: float) -> Factor | None:
    if low >= 1 - _CERTAIN and high <= 1 + _CERTAIN:
        return None
    return Factor(f"waste/{key}", 1.0, low, high, "1", verified="derived")


def _hot(run: Run) -> str:
    """Why limiting the boards' power would not pay; "" if it might."""
    boards = [d for d in run.devices if d.device.kind is DeviceKind.GPU]
    if not boards:
        return "no board was the run's"
    for board in boards:
        cap_w = board.means.get("cap_w", 0.0)
        most_w = board.device.peak_w or 0.0
        if not isinstance(board.drawn, Quantity) or run.duration_s <= 0 or cap_w <= 0:
            return "the limit of its boards is not known"
        if most_w and cap_w < 0.95 * most_w:  # a driver rounds
            return f"its boards are limited already, to {cap_w:.0f} of {most_w:.0f} W"
        power_w = board.drawn.value / run.duration_s
        if power_w < _NEAR_LIMIT * cap_w:
            return f"its boards draw {power_w:.0f} of {cap_w:.0f} W: a limit would not bite"
    return ""


def _action(
    row: Mapping[str, str],
    run: Run,
    footprint: Footprint,
    saving: _Saving,
    wastes: Mapping[str, Waste],
) -> Action:
    money = footprint.money
    words = words_of(run)
    setting, now = _setting(row, words)
    text = row["text"] + (f" ({setting} is {now} now)" if now else "")
    return Action(
        key=row["key"],
        text=text,
        saving=saving.of(footprint.facility, "J"),
        saving_ratio=saving.of(Amount.exact(1.0, Basis.DERIVED), "1"),
        carbon=saving.of(footprint.carbon.location, "gCO2e"),
        money=saving.of(money.electricity, money.currency),
        price=row["price"],
        technique=row["technique"],
        setting=setting,
        prove=_prove(row, run, setting, words),
        wastes=tuple(k for k in row["wastes"].split(";") if k in wastes),
        source=row["source"],
    )


def _setting(row: Mapping[str, str], words: Mapping[str, str]) -> tuple[str, str]:
    """Name of the setting, as the run calls it where it does, and its value now."""
    names = [n for n in row["setting"].split(";") if n]
    known = next((n for n in names if n in words), "")
    return (known, words[known]) if known else (next(iter(names), ""), "")


def _prove(row: Mapping[str, str], run: Run, setting: str, words: Mapping[str, str]) -> str:
    """Command that would show the saving: the run's own, and the same with the change."""
    if row["given"] == NOTHING:
        return ""
    if not row["option"]:
        return f"submeter prove {run.id} vs last"
    command = list(run.command) or ["python", "train.py"]
    changed = list(command)
    given = _given(row, words)
    place = next(
        (i for i, w in enumerate(command)
         if w.startswith("-") and plain_name(w.lstrip("-").partition("=")[0]) == setting),
        None,
    )  # fmt: skip
    if place is None:
        changed += [row["option"], given]
    elif "=" in command[place]:
        changed[place] = f"{command[place].partition('=')[0]}={given}"
    else:
        changed[place + 1 : place + 2] = [given]
    metric, _ = quality_of(run)
    keep = f" --keep {shlex.quote(f'{metric} ± 1%')}" if metric and row["price"] else ""
    return f"submeter prove{keep} -- {shlex.join(command)} --- {shlex.join(changed)}"


def _given(row: Mapping[str, str], words: Mapping[str, str]) -> str:
    """Value to try: where a number is set now, twice to eight times as much, or the row's own."""
    names = [n for n in row["setting"].split(";") if n]
    now = next((words[n] for n in names if words.get(n, "").isdecimal()), "")
    if row["key"] == "larger-batch" and now:
        return str(8 * int(now))
    if row["key"] in {"loader-workers", "prefetch"} and now:
        return str(max(2, 2 * int(now)))
    return row["given"]
