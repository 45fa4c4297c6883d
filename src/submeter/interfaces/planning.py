# SPDX-License-Identifier: Apache-2.0
"""How the words of ``submeter plan`` become a job, a question and places."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from submeter.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from submeter.planning.weighing import Allowed
    from submeter.records.places import Zone
    from submeter.records.plans import Job
    from submeter.records.runs import Run

_LEAST_COURSE: Final = 8  # steps of a measured course below which its mean says as much
_MOST_COURSE: Final = 240
_TERM: Final = re.compile(r"(?:(\d+(?:\.\d+)?|\.\d+)\s*[*·x]\s*)?(carbon|cost|water)", re.ASCII)


def needs_numbers() -> None:
    """Refuse to plan where the extra is not installed.

    Raises
    ------
    ConfigError
        If numpy is missing; the remedy says how to get it.
    """
    from importlib.util import find_spec

    if find_spec("numpy") is None:
        raise ConfigError(
            "planning needs numpy, which is not installed", remedy="pip install 'submeter[plan]'"
        )


def weights_of(words: str) -> dict[str, float]:
    """Objective such as ``carbon`` or ``0.7*carbon+0.3*cost``: weights by quantity, of sum 1.

    Raises
    ------
    UsageError
        If it is none, or all its weights are zero.
    """
    made: dict[str, float] = {}
    for part in words.lower().split("+"):
        found = _TERM.fullmatch(part.strip())
        if found is None or found[2] in made:
            raise UsageError(
                f"“{words[:60]}” is no objective",
                remedy="--objective carbon, cost, water, or 0.7*carbon+0.3*cost",
            )
        made[found[2]] = float(found[1] or 1.0)
    total = sum(made.values())
    if total <= 0:
        raise UsageError(f"“{words[:60]}” weighs nothing", remedy="give a weight above 0")
    return {name: weight / total for name, weight in made.items() if weight > 0}


def clock_here(zone: Zone) -> str:
    """Time zone that people mean: that of this machine if it names a place, else of *zone*."""
    from submeter.grid.timezone import machine_timezone

    own = machine_timezone()
    return own if "/" in own and not own.startswith("Etc/") else zone.timezone or "UTC"


def allowed_hours(words: str, zone: Zone) -> Allowed:
    """Which slots lie wholly within hours of the day such as ``22:00-06:00``, by the clock there.

    Raises
    ------
    UsageError
        If they are no hours, or the clock of the zone is not known.
    """
    from datetime import datetime

    from submeter.planning.words import DAY_S, clock_of, window_s

    begin_s, end_s = window_s(words)
    if not zone.timezone:
        raise UsageError(
            f"the clock of {zone.name} is not known", remedy="name a zone or country within it"
        )
    clock = clock_of(zone.timezone)

    def inside(at_utc_s: float) -> bool:
        local = datetime.fromtimestamp(at_utc_s, clock)
        of_day_s = local.hour * 3600 + local.minute * 60 + local.second
        return (of_day_s - begin_s) % DAY_S < (end_s - begin_s) % DAY_S

    def allowed(start_utc_s: float, step_s: float, count: int) -> list[bool]:
        first = [start_utc_s + i * step_s for i in range(count)]
        return [inside(at) and inside(at + step_s - 1) for at in first]

    return allowed


def queues_of(given: tuple[str, ...]) -> dict[str, float]:
    """Waiting times such as ``SE=2h``, by the word for the place [s].

    Raises
    ------
    UsageError
        If one is none.
    """
    from submeter.planning.words import duration_s

    made = {}
    for words in given:
        zone, equals, length = words.partition("=")
        if not equals or not zone.strip():
            raise UsageError(f"“{words[:40]}” is no queue", remedy="--queue SE=2h")
        made[zone.strip()] = duration_s(length, "queue")
    return made


def job_of(given: Mapping[str, Any], now_utc_s: float, clock: str, about: Run | None) -> Job:
    """Job that the options describe; *about* is a run whose length and power it takes.

    Raises
    ------
    UsageError
        If something is missing or makes no sense.
    """
    from submeter.planning.words import duration_s, full_instant, instant_utc_s, power_w
    from submeter.records.plans import Job

    said = {name: value for name, value in given.items() if value is not None}
    if "duration" in said:
        length_s = duration_s(said["duration"])
    elif about is not None and about.duration_s > 0:
        length_s = about.duration_s
    else:
        raise UsageError(
            "how long the work takes is not said", remedy="submeter plan --duration 8h …"
        )
    if "deadline" not in said:
        raise UsageError(
            "no deadline is said", remedy="submeter plan … --deadline 'tomorrow 18:00'"
        )
    deadline_s = instant_utc_s(said["deadline"], now_utc_s, clock)
    if deadline_s <= now_utc_s:
        raise UsageError(
            f"the deadline {full_instant(deadline_s, clock)} is past:"
            f" it is {full_instant(now_utc_s, clock)}",
            remedy="give a later one, such as 'tomorrow 18:00'",
        )
    begin_s = now_utc_s
    if "start" in said:
        begin_s = max(now_utc_s, instant_utc_s(said["start"], now_utc_s, clock))
    course, mean = ((), None) if about is None else course_of(about)
    return Job(
        duration_s=length_s,
        earliest_s=begin_s,
        deadline_s=deadline_s,
        power_w=power_w(said["power"]) if "power" in said else mean,
        power_course_w=() if "power" in said else course,
        interruptible=bool(said.get("interruptible")),
        min_slice_s=_seconds(said, "min_slice"),
        checkpoint_s=_seconds(said, "checkpoint_cost"),
        restart_s=_seconds(said, "restart_cost"),
        idle_w=power_w(said["idle_power"]) if "idle_power" in said else 0.0,
    )


def course_of(run: Run) -> tuple[tuple[float, ...], float | None]:
    """Power at the wall over the course of *run* [W], and its mean; nothing where it is unknown.

    Notes
    -----
    The course of the devices, scaled so that its mean is that of the facility.
    """
    from submeter.grid.loads import load_of
    from submeter.records.amounts import Amount
    from submeter.running.reckoning import reckoned

    facility = reckoned(run).facility
    if not isinstance(facility, Amount) or facility.value <= 0 or run.duration_s <= 0:
        return (), None
    mean = facility.value / run.duration_s
    energies = load_of(run).energies_j
    if len(energies) < _LEAST_COURSE or sum(energies) <= 0:
        return (), mean
    count = min(_MOST_COURSE, len(energies))
    bins = [0.0] * count
    for i, energy_j in enumerate(energies):  # each slot over the steps that it lies in
        first, last = i * count / len(energies), (i + 1) * count / len(energies)
        whole = int(first)
        inside = min(1.0, (whole + 1 - first) / (last - first))
        bins[whole] += energy_j * inside
        if inside < 1 and whole + 1 < count:
            bins[whole + 1] += energy_j * (1 - inside)
    scale = mean * count / sum(bins)
    return tuple(part * scale for part in bins), mean


def _seconds(said: Mapping[str, Any], name: str) -> float:
    from submeter.planning.words import duration_s

    return duration_s(said[name], name.replace("_", " ")) if name in said else 0.0
