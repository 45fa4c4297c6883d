# SPDX-License-Identifier: Apache-2.0
"""How the words of ``submeter plan`` become a job, a question and places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from submeter.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from submeter.planning.scaling import Scaling
    from submeter.planning.weighing import Allowed, Site
    from submeter.records.places import Zone
    from submeter.records.plans import Job, Plan
    from submeter.records.runs import Run

_LEAST_COURSE: Final = 8  # steps of a measured course below which its mean says as much
_MOST_COURSE: Final = 240


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
        If it is none.
    """
    from submeter.planning.objectives import Objective

    weights = Objective.of(words).weights
    total = sum(weight for _, weight in weights)
    return {name: weight / total for name, weight in weights}


def clock_here(zone: Zone) -> str:
    """Time zone that people mean: that of this machine if it names a place, else of *zone*."""
    from submeter.grid.timezone import machine_timezone

    own = machine_timezone()
    return own if "/" in own and not own.startswith("Etc/") else zone.timezone or "UTC"


def clock_for(zone: str | None) -> str:
    """The clock of `clock_here` for the words of a *zone*; that of this machine without."""
    from submeter.grid.place import resolve_place
    from submeter.grid.timezone import machine_timezone

    return clock_here(resolve_place(argument=zone)) if zone else machine_timezone() or ""


def allowed_hours(words: str, zone: Zone) -> Allowed:
    """Confine work to hours of the day such as ``22:00-06:00``, by the clock of *zone*.

    Raises
    ------
    UsageError
        If they are no hours, or the clock of the zone is not known.
    """
    from submeter.planning.objectives import Hours, only_in
    from submeter.planning.words import clock_of

    hours = Hours.of(words)
    if not zone.timezone:
        raise UsageError(
            f"the clock of {zone.name} is not known", remedy="name a zone or country within it"
        )
    clock = clock_of(zone.timezone)
    return lambda costs: only_in(costs, hours, clock)


def scaling_of(counts: str, profile: str, worker_w: float) -> Scaling:
    """How a job scales: on which numbers of workers, by Amdahl's law or a measured table.

    Parameters
    ----------
    counts
        Such as ``1,2,4,8``; the first is what the duration is told for.
    profile
        ``amdahl:0.95``, the share of the work that workers divide; or a CSV file with the columns
        ``workers,throughput`` and maybe ``power_w``.
    worker_w
        Power of the job on the first count [W]; each further worker adds as much as one of these,
        where the table does not say.

    Raises
    ------
    UsageError
        If they make no sense.
    """
    from submeter.planning.scaling import Scaling

    try:
        workers = tuple(int(word) for word in counts.split(","))
    except ValueError:
        raise UsageError(
            f"“{counts[:40]}” are no numbers of workers", remedy="--scale 1,2,4,8"
        ) from None
    if min(workers) < 1 or list(workers) != sorted(set(workers)):
        raise UsageError(
            f"numbers of workers rise from 1 on, unlike {counts[:40]}", remedy="--scale 1,2,4,8"
        )
    each_w = worker_w / workers[0]
    law, colon, share = profile.partition(":")
    if law.lower() == "amdahl" and colon:
        try:
            ratio = float(share)
        except ValueError:
            raise UsageError(
                f"“{share[:40]}” is no share of the work", remedy="--scaling amdahl:0.95"
            ) from None
        return Scaling.amdahl(workers, parallel_ratio=ratio, worker_w=each_w)
    rows = _profile_rows(profile)
    missing = [n for n in workers if n not in rows]
    if missing:
        raise UsageError(
            f"{profile} says nothing of {missing[0]} workers", remedy="leave them out of --scale"
        )
    return Scaling(
        workers,
        tuple(rows[n][0] for n in workers),
        tuple(rows[n][1] or each_w * n for n in workers),
    )


def _profile_rows(path: str) -> dict[int, tuple[float, float | None]]:
    """Throughput and power [W] by number of workers."""
    import csv
    from pathlib import Path

    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            table = list(csv.DictReader(file))
        return {
            int(row["workers"]): (
                float(row["throughput"]),
                float(row["power_w"]) if row.get("power_w") else None,
            )
            for row in table
        }
    except OSError as exc:
        raise UsageError(
            f"{path}: {exc.strerror}", remedy="--scaling amdahl:0.95, or a file"
        ) from None
    except (KeyError, ValueError, TypeError, csv.Error):
        raise UsageError(
            f"{path} is no scaling profile",
            remedy="give columns workers,throughput and, if known, power_w",
        ) from None


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


def provider_of(given: Mapping[str, Any], configured: str) -> str:
    """Who is asked, wherever that will be when it is asked again; "" if nobody is."""
    from pathlib import Path

    said = str(given.get("provider") or (configured if given.get("live") else ""))
    path = said.removeprefix("csv:")
    return said if path == said else f"csv:{Path(path).absolute()}"


def made_anew(
    plan: Plan, now_utc_s: float, remaining: Job, provider: str, *, kept: bool = False
) -> Plan:
    """*plan* for what remains of its job, by what *provider* ("": none) and its files say now.

    With *kept* the provider is not asked: its kept answers are read.

    Raises
    ------
    SubmeterError
        If they tell nothing new: then the plan that there is knows more than another would.
    """
    from msgspec import structs

    from submeter.grid.place import resolve_place
    from submeter.planning.deciding import decide
    from submeter.planning.weighing import Question
    from submeter.running.series import guard_by

    place = resolve_place(argument=plan.zone)
    site = _told_anew(plan, place, (now_utc_s, remaining.deadline_s), provider, kept=kept)
    weights = weights_of(plan.objective)
    guarded = site.past is not None and "carbon" in weights and plan.signal != "marginal"
    question = Question(
        id=plan.id,
        made_s=now_utc_s,
        job=remaining,
        objective=plan.objective,
        weights=weights,
        signal=plan.signal,
        allowed=allowed_hours(plan.hours, place) if plan.hours else None,
        step_s=900.0 if plan.hours else 3600.0,
        guard=guard_by(site.past) if guarded and site.past is not None else None,
        command=plan.command,
    )
    made = decide(question, [site]).plan
    return structs.replace(
        made, hours=plan.hours, price=plan.price, series=plan.series, provider=plan.provider
    )


def _told_anew(
    plan: Plan, place: Zone, span: tuple[float, float], provider: str, *, kept: bool
) -> Site:
    """Site of *plan*, whose carbon is told by a provider or by files."""
    from pathlib import Path

    from submeter.errors import ProviderDownError
    from submeter.running.foresight import offline_site
    from submeter.running.series import live_site, told_by, with_series
    from submeter.settings import load

    settings = load().settings
    offline = offline_site(
        place, span, price=plan.price or settings.electricity_price or "",
        currency=settings.currency,
    )  # fmt: skip
    site = offline
    if provider:
        since_s = plan.made_s if kept else None
        site = live_site(offline, place, provider, *span, kept_since_utc_s=since_s)
    failures = [
        note.partition("because ")[2]
        for outlook in site.outlooks.values()
        for note in outlook.notes
        if note.startswith("offline figures, because")
    ]
    for path in plan.series:
        site = with_series(site, told_by(Path(path), place), *span)
    wanted = {"average": ["average"], "marginal": ["marginal"]}.get(
        plan.signal, ["average", "marginal"]
    )
    for name in wanted if "carbon" in weights_of(plan.objective) else []:
        told, before = site.outlooks.get(name), offline.outlooks.get(name)
        same = told is None or (before is not None and told.source == before.source)
        if same and (failures or told is None or told.source not in plan.source):
            raise ProviderDownError(
                failures[0] if failures else f"nothing new is told of the {name} intensity"
            )
    return site
