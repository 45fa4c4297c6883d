# SPDX-License-Identifier: Apache-2.0
"""Plans: what is to be run, when and where it is to run, and what that is expected to bring.

Instants are seconds since 1970 UTC. A plan is made by the room ``planning``, carried out by
``running``, and told by ``reporting``; none of them needs the inside of another.
"""

from typing import Literal

import msgspec

from submeter.records.figures import Figure, Missing

Signal = Literal["average", "marginal", "both"]


class Job(msgspec.Struct, frozen=True):
    """Work that may wait.

    Attributes
    ----------
    duration_s
        Time that the work itself takes, without pauses [s].
    earliest_s, deadline_s
        It may start at the one and has to have ended at the other [s since 1970 UTC].
    power_w
        Mean power at the wall while it works [W]; None if nobody knows, then plans compare means.
    power_course_w
        Power over the course of the work, in steps of equal length over ``duration_s`` [W];
        empty if it is taken to be even.
    interruptible
        Whether it may be paused.
    min_slice_s
        It works at least this long between pauses [s].
    checkpoint_s, restart_s
        What a pause adds: time to write the state and to be back at work [s], at working power.
    idle_w
        Power that stays on while it is paused [W].
    """

    duration_s: float
    earliest_s: float
    deadline_s: float
    power_w: float | None = None
    power_course_w: tuple[float, ...] = ()
    interruptible: bool = False
    min_slice_s: float = 0.0
    checkpoint_s: float = 0.0
    restart_s: float = 0.0
    idle_w: float = 0.0


class Slice(msgspec.Struct, frozen=True):
    """A stretch of uninterrupted work: from, to [s since 1970 UTC], where, on how many workers."""

    start_s: float
    end_s: float
    zone: str = ""
    workers: int = 1


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """When and where a job is to run, against starting it at once.

    Attributes
    ----------
    id
        Name under which ``submeter run --when ID`` finds it.
    made_s
        When it was made; forecasts in it know nothing later [s since 1970 UTC].
    objective
        What was made small, as it was asked for (``carbon``, ``0.7*carbon+0.3*cost``).
    expected_saving
        Share saved against starting at once, by that objective, on the forecast [1].
    chance_worse
        Probability of doing worse than starting at once [1].
    expected, at_once
        What plan and start at once are forecast to bring, by quantity
        (``carbon_g``, ``cost``, ``water_l``, per kWh where the job's power is unknown).
    worthwhile
        Whether waiting is advised; if not, the slices start at once and ``instead`` names
        what would help.
    """

    id: str
    made_s: float
    job: Job
    zone: str
    signal: Signal
    objective: str
    slices: tuple[Slice, ...]
    expected_saving: Figure | Missing
    chance_worse: float | None = None
    expected: dict[str, Figure | Missing] = {}
    at_once: dict[str, Figure | Missing] = {}
    worthwhile: bool = True
    instead: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    hours: str = ""  # of each day in which it may work, by the clock of the zone: 22:00-06:00
    price: str = ""  # of a kilowatt-hour, as it was written; that of the settings if ""
    series: tuple[str, ...] = ()  # files that the forecast was made from
    provider: str = ""  # who was asked for it; "" if nobody was
    source: str = ""  # of the forecast, and what it was made from
    notes: tuple[str, ...] = ()
