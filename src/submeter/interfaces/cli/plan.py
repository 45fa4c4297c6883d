# SPDX-License-Identifier: Apache-2.0
"""``submeter plan``: when and where a job is to run, and what that is expected to save."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from msgspec import structs

from submeter.errors import UsageError

if TYPE_CHECKING:
    from submeter.planning.deciding import Decision
    from submeter.planning.scaling import Scaling
    from submeter.planning.weighing import Question, Site
    from submeter.records.places import Zone
    from submeter.records.plans import Job, Plan
    from submeter.records.runs import Run
    from submeter.reporting.plans import Told

_EMIT: Final = ("slurm", "kubernetes", "at", "systemd")

_OPTIONS: Final = (
    click.option("--duration", metavar="LENGTH", help="How long the work takes: 8h, 90min, 2d."),
    click.option("--deadline", metavar="TIME",
                 help="When it has to be done: 'tomorrow 18:00', 'in 12h', 08:00."),
    click.option("--start", metavar="TIME", help="When it may begin; now if not given."),
    click.option("--zone", metavar="ZONE", help="Where it runs: DE, US-CAL-CISO, us-west-2."),
    click.option("--power", metavar="POWER", help="What it draws at the wall: 3.2kW."),
    click.option("--run", "like", metavar="RUN",
                 help="As long as a kept run, and with its measured course of power."),
    click.option("--estimate", "spec", metavar="FILE",
                 help="As long as a description in TOML is predicted to take."),
    click.option("--interruptible", is_flag=True, help="It may be paused."),
    click.option("--min-slice", metavar="LENGTH", help="Work between two pauses, at least: 30m."),
    click.option("--checkpoint-cost", metavar="LENGTH", help="Time to write its state: 90s."),
    click.option("--restart-cost", metavar="LENGTH", help="Time to be back at work: 60s."),
    click.option("--idle-power", metavar="POWER", help="What it draws while paused: 200W."),
    click.option("--objective", metavar="WHAT", default="carbon", show_default=True,
                 help="carbon, cost, water, or 0.7*carbon+0.3*cost."),
    click.option("--signal", type=click.Choice(["average", "marginal", "both"]),
                 default="average", show_default=True,
                 help="Of carbon; both heeds one without costing the other."),
    click.option("--price", metavar="PRICE",
                 help="Of a kilowatt-hour: 0.31, or 22:00-06:00=0.18,else=0.31."),
    click.option("--off-peak", metavar="HOURS", help="Only within these hours: 22:00-06:00."),
    click.option("--where", metavar="ZONES", help="Places that it may go to: DE,SE,US-CAL-CISO."),
    click.option("--data", metavar="SIZE", help="Data that would have to move: 200GB."),
    click.option("--queue", "queues", multiple=True, metavar="ZONE=LENGTH",
                 help="Wait in a place before a job begins: SE=2h."),
    click.option("--scale", metavar="COUNTS",
                 help="Numbers of workers that it may run on: 1,2,4,8."),
    click.option("--scaling", metavar="PROFILE",
                 help="How it scales: amdahl:0.95, or a CSV of workers,throughput,power_w."),
    click.option("--series", "files", multiple=True, metavar="FILE",
                 help="Forecast from this past series; of another place: FILE@SE."),
    click.option("--live", is_flag=True, help="Ask the provider of the settings."),
    click.option("--provider", metavar="NAME", help="Ask this provider, or csv:PATH."),
    click.option("--at", metavar="TIME", help="As if it were that time now."),
    click.option("--emit", type=click.Choice(_EMIT),
                 help="Write a job that begins then; the command after --."),
    click.option("--image", metavar="NAME", help="Container image, for kubernetes."),
    click.option("--backtest", metavar="FILE",
                 help="What waiting would have saved on this series, instead of a plan."),
    click.option("--scenario", metavar="NAME",
                 help="Of the back-test: semi-weekly, nightly, or a CSV of jobs."),
    click.option("--list", "listed", is_flag=True, help="List the plans that are kept."),
    click.option("--show", "shown", metavar="PLAN", help="Show a kept plan: last-plan, or an id."),
    click.option("--rm", "removed", metavar="PLAN", help="Forget a kept plan."),
    click.option("--solar", metavar="POWER", help="With panels of this peak power: 10kW."),
    click.option("--battery", metavar="ENERGY", help="With a battery of this size: 20kWh."),
    click.option("--battery-power", metavar="POWER", help="Most that goes in or out of it."),
    click.option("--grid-limit", metavar="POWER", help="Most that the grid supplies."),
    click.option("--sell-price", type=float, metavar="PRICE", help="For a kilowatt-hour sold."),
    click.option("--shed", "sheds", multiple=True, metavar="WHAT",
                 help="Import that much less then: '2kW 17:00-19:00'."),
    click.option("--fleet", metavar="FILE", help="Many jobs at once: a table of them."),
    click.option("--sites", metavar="FILE", help="Where a fleet may run, and how much there is."),
    click.option("--best-effort", is_flag=True, help="Place what can be placed of a fleet."),
    click.option("--time-limit", metavar="LENGTH",
                 help="Plan a fleet for no longer, even if the gap is wider than 2 %: 2min."),
    click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout."),
)  # fmt: skip


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command(
    "plan", context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False}
)
@_options
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- CMD…]")
def plan(
    *,
    as_json: bool,
    listed: bool,
    shown: str | None,
    removed: str | None,
    emit: str | None,
    image: str | None,
    backtest: str | None,
    scenario: str | None,
    fleet: str | None,
    sites: str | None,
    best_effort: bool,
    time_limit: str | None,
    **given: Any,
) -> None:
    """Say when and where a job brings least, and what that saves.

    Savings are against the same job started at once, by what is known of the hours ahead: month
    and hour of the place without a key, a provider's data with one. The plan is kept as
    last-plan.

    \b
    Examples:
      submeter plan --duration 8h --deadline "tomorrow 18:00" --zone DE
      submeter plan --run last --deadline "in 24h" --interruptible
      submeter plan --duration 8h --deadline 08:00 --where DE,SE,FR --data 200GB
      submeter plan --duration 8h --deadline 08:00 --emit slurm -- CMD
      submeter plan --backtest past.csv --scenario semi-weekly
      submeter plan --fleet jobs.csv --sites sites.toml
    """  # noqa: D301  # \b keeps click from refilling the examples
    if listed or shown or removed:
        _kept(shown, removed, as_json=as_json)
        return
    if backtest is not None or scenario is not None:
        _backtest(backtest, scenario, given["zone"], as_json=as_json)
        return
    if fleet or sites:
        from submeter.interfaces.cli.plan_fleet import fleet_plan

        fleet_plan(fleet, sites, objective=given["objective"], best_effort=best_effort,
                   time_limit=time_limit, as_json=as_json, width=_width())  # fmt: skip
        return
    if time_limit is not None:
        raise UsageError(
            "--time-limit is of planning a fleet", remedy="submeter plan --fleet … --sites …"
        )
    if any(given[name] for name in ("solar", "battery", "grid_limit", "sheds")):
        from submeter.interfaces.cli.plan_microgrid import microgrid_plan

        _refuse_unheeded(given, emit)
        microgrid_plan(given, as_json=as_json)
        return
    from submeter.interfaces.planning import needs_numbers

    needs_numbers()
    if emit is not None and as_json:
        raise UsageError("--emit writes a job and no JSON", remedy="leave one of the two out")
    made, told = decided(given)
    if emit is not None:
        _emit(emit, made.plan, image or "", told.clock)
    _keep(made.plan)
    if emit is not None:
        return
    if as_json:
        from submeter.reporting.plans import plan_document
        from submeter.reporting.words import to_json

        click.echo(to_json(plan_document(made)))
        return
    from submeter.reporting.plans import plan_text

    click.echo(plan_text(made, told, _width()))


# Options of one job that a plan of panels and a battery does not heed.
_UNHEEDED: Final = (
    "where", "data", "queues", "scale", "scaling", "files", "live", "provider", "off_peak", "like",
    "spec",
)  # fmt: skip


def _refuse_unheeded(given: dict[str, Any], emit: str | None) -> None:
    """Raise `UsageError` for an option that would have no effect beside panels or a battery."""
    words = {"queues": "queue", "files": "series", "like": "run", "spec": "estimate"}
    found = [name for name in _UNHEEDED if given[name]] + ["emit"] * (emit is not None)
    if given["signal"] != "average":
        found.append("signal")
    if found:
        option = "--" + words.get(found[0], found[0]).replace("_", "-")
        raise UsageError(
            f"{option} has no effect on a plan with panels or a battery",
            remedy=f"leave {option} out",
        )


def _keep(plan: "Plan") -> None:
    """Keep *plan*; where that cannot be done it is told all the same, and so is that."""
    from submeter.errors import LedgerError
    from submeter.storing.plans import keep

    try:
        keep(plan)
    except LedgerError as exc:
        click.echo(f"submeter: the plan is not kept: {exc}; {exc.remedy}", err=True)


def _backtest(path: str | None, scenario: str | None, zone: str | None, *, as_json: bool) -> None:
    if path is None:
        raise UsageError(
            "a scenario is of a back-test", remedy="submeter plan --backtest FILE --scenario …"
        )
    from submeter.interfaces.cli import plan_backtest
    from submeter.interfaces.planning import needs_numbers

    needs_numbers()
    plan_backtest.backtest(Path(path), scenario or "", as_json=as_json, zone=zone)


def decided(given: dict[str, Any]) -> "tuple[Decision, Told]":
    """Decision on what is asked, with all that clocks, settings and files know."""
    from submeter.catalog.declaring import declared_overrides
    from submeter.catalog.overlay import use_overrides
    from submeter.grid.place import resolve_place
    from submeter.grid.timezone import machine_timezone
    from submeter.interfaces.planning import clock_here, provider_of
    from submeter.planning.deciding import decide
    from submeter.reporting.impacts import place_words
    from submeter.reporting.plans import Told
    from submeter.running.foresight import nearby
    from submeter.settings import load

    loaded = load()
    words = [w.strip() for w in (given.get("where") or "").split(",") if w.strip()]
    zone = given.get("zone") or (words[0] if words else None)
    home = resolve_place(
        argument=zone,
        configured=loaded.settings.zone,
        origin=loaded.origin["zone"],
        timezone="" if zone or loaded.settings.zone else machine_timezone(),
    )
    clock = clock_here(home)
    now = _now(given.get("at"), clock)
    question = _question(given, now, clock, home)
    job = question.job
    span = (now, max(job.deadline_s, job.earliest_s + job.duration_s))
    with use_overrides(declared_overrides(loaded.declared)):
        if given.get("data") and job.power_w is None:
            raise UsageError(
                "what bringing data costs is weighed against the job, whose power is not known",
                remedy="give --power 3.2kW, or --run RUN",
            )
        sites = _sites(given, home, words, span)
        by_average = "carbon" in question.weights and question.signal != "marginal"
        if sites[0].past is not None and by_average:
            from submeter.running.series import guard_by

            question = structs.replace(question, guard=guard_by(sites[0].past))
        made = decide(question, sites, lambda: nearby(home, span))
    kept = structs.replace(  # who makes it anew keeps to them
        made.plan,
        hours=given.get("off_peak") or "",
        price=given.get("price") or "",
        series=_files_of(given, made.plan.zone, home.code),
        provider=provider_of(given, loaded.settings.provider),
    )
    made = structs.replace(made, plan=kept)
    notes = (home.note,) if home.note else ()
    size = ""
    if question.scaling is not None:
        first, *others = question.scaling.workers
        size = f" on {first}, or on {', '.join(map(str, others))} by {given['scaling']}"
    return made, Told(clock, place_words(home), work=size, notes=notes)


def _now(at: str | None, clock: str) -> float:
    """Instant that is now, or as if it were then [s since 1970 UTC]."""
    from submeter.planning.words import instant_utc_s

    now = time.time()
    return now if at is None else instant_utc_s(at, now, clock)


def _question(given: dict[str, Any], now_utc_s: float, clock: str, home: "Zone") -> "Question":
    from submeter.interfaces.planning import allowed_hours, job_of, weights_of
    from submeter.planning.weighing import Question
    from submeter.storing.plans import new_plan_id

    weights = weights_of(given["objective"])
    if given["signal"] != "average" and "carbon" not in weights:
        raise UsageError(
            f"--signal {given['signal']} is of carbon, which is no part of {given['objective']}",
            remedy="leave it out, or --objective carbon",
        )
    if given["signal"] == "both" and len(weights) > 1:
        raise UsageError(
            "--signal both heeds carbon alone", remedy="--objective carbon, or --signal average"
        )
    off_peak = given.get("off_peak")
    job = job_of(given, now_utc_s, clock, _about(given))
    return Question(
        id=new_plan_id(now_utc_s),
        made_s=now_utc_s,
        job=job,
        scaling=_scaling(given, job),
        objective=given["objective"],
        weights=weights,
        signal=given["signal"],
        allowed=None if off_peak is None else allowed_hours(off_peak, home),
        command=tuple(given.get("command") or ()),
    )


def _scaling(given: dict[str, Any], job: "Job") -> "Scaling | None":
    """How the job scales; None where its size is given."""
    from submeter.interfaces.planning import scaling_of

    scale, profile = given.get("scale"), given.get("scaling")
    if scale is None and profile is None:
        return None
    if scale is None or profile is None:
        raise UsageError(
            "several sizes of a job are planned by how it scales",
            remedy="--scale 1,2,4,8 --scaling amdahl:0.95",
        )
    if job.power_w is None:
        raise UsageError(
            "the power of the job is not known, and sizes differ by it",
            remedy="give --power 3.2kW for the first size, or --run RUN",
        )
    if given.get("min_slice"):
        raise UsageError(
            "--min-slice has no effect with --scale: how long a size is kept follows from what"
            " changing it costs",
            remedy="--checkpoint-cost 90s --restart-cost 60s, or leave --min-slice out",
        )
    if given["signal"] == "both":
        raise UsageError(
            "sizes are planned by one signal", remedy="--signal average, or leave --scale out"
        )
    return scaling_of(scale, profile, job.power_w)


def _about(given: dict[str, Any]) -> "Run | None":
    """Run whose length and power the job takes, kept or predicted."""
    if given.get("like") and given.get("spec"):
        raise UsageError("a run and an estimate are two jobs", remedy="--run, or --estimate")
    if given.get("like"):
        from submeter.interfaces.cli.lookup import look_up

        return look_up(given["like"]).run
    if given.get("spec"):
        from submeter.estimating.asking import answer
        from submeter.interfaces.estimating import question_of
        from submeter.running.reckoning import reckoned

        return answer(question_of({"description": given["spec"]}), reckoned).prediction.run
    return None


def _sites(
    given: dict[str, Any], home: "Zone", words: list[str], span: tuple[float, float]
) -> "list[Site]":
    """Home first, then the other places that the job may go to."""
    from submeter.grid.place import resolve_place
    from submeter.interfaces.planning import queues_of
    from submeter.planning.words import data_bytes
    from submeter.running.foresight import moved, offline_site
    from submeter.settings import load

    settings = load().settings
    price = given.get("price") or settings.electricity_price or ""
    queues = {
        resolve_place(argument=word).code: length_s
        for word, length_s in queues_of(given.get("queues") or ()).items()
    }
    places = {home.code: home}
    given = {**given, "home": home.code}
    for word in words:
        place = resolve_place(argument=word)
        places.setdefault(place.code, place)
    strange = set(queues) - set(places)
    if strange:
        raise UsageError(
            f"{', '.join(sorted(strange))} has a queue and is not among the places",
            remedy=f"--where {','.join([*places, *sorted(strange)])}",
        )
    sites = [
        offline_site(
            place,
            span,
            price=price if place is home else "",
            currency=settings.currency,
            queue_s=queues.get(code, 0.0),
        )
        for code, place in places.items()
    ]
    sites = [
        _informed(given, site, place, settings.provider, span)
        for site, place in zip(sites, places.values(), strict=True)
    ]
    size = data_bytes(given["data"]) if given.get("data") else 0.0
    return [sites[0], *(moved(site, sites[0], size) for site in sites[1:])]


def _informed(
    given: dict[str, Any], site: "Site", place: "Zone", configured: str, span: tuple[float, float]
) -> "Site":
    """*site* with what a provider says of it now, and, at home, what the files tell."""
    from submeter.interfaces.planning import provider_of

    provider = provider_of(given, configured)
    if given.get("live") and not provider:
        raise UsageError(
            "live data are wanted, and no provider is set",
            remedy="submeter config set provider uk-carbon-intensity, or --provider NAME",
        )
    from submeter.running.series import live_site, told_by, with_series

    if provider:
        site = live_site(site, place, provider, *span)
    for word in given.get("files") or ():
        path, _, zone = word.partition("@")
        if not zone and site.zone != given["home"]:
            continue
        if zone and _code(zone) != site.zone:
            continue
        site = with_series(site, told_by(Path(path), place), *span)
    return site


def _files_of(given: dict[str, Any], zone: str, home: str) -> tuple[str, ...]:
    """Files that tell of *zone*, wherever one will be when they are read again."""
    split = (word.partition("@") for word in given.get("files") or ())
    found = [path for path, _, place in split if (_code(place) if place else home) == zone]
    return tuple(str(Path(path).absolute()) for path in found)


def _code(word: str) -> str:
    from submeter.grid.place import resolve_place

    return resolve_place(argument=word).code


def _emit(kind: str, made: "Plan", image: str, clock: str) -> None:
    import os

    from submeter.grid.timezone import machine_timezone
    from submeter.reporting.handing import Hand, hand_over

    folder = "" if kind == "kubernetes" else os.getcwd()  # noqa: PTH109  # as the shell has it
    path = os.environ.get("PATH", "")
    hand = Hand(made.command, machine_timezone() or clock, folder, path, image)
    click.echo(hand_over(kind, made, hand), nl=False)


def _kept(shown: str | None, removed: str | None, *, as_json: bool) -> None:
    """List, show or forget plans that are kept."""
    from submeter.reporting.plans import kept_document, kept_text, plan_words, plans_text
    from submeter.reporting.words import to_json
    from submeter.storing import plans

    if removed is not None:
        gone = plans.remove(removed)
        click.echo(f"forgotten: {gone.id}")
        return
    if shown is not None:
        found = plans.find(shown)
        if as_json:
            click.echo(to_json(kept_document(found)))
        else:
            click.echo(kept_text(found, _clock_of(found), _width()))
        return
    kept = plans.plans()
    if as_json:
        click.echo(to_json({"schema": 1, "plans": [plan_words(p) for p in kept]}))
        return
    click.echo(plans_text(kept, [_clock_of(p) for p in kept]))


def _clock_of(kept: "Plan") -> str:
    """The clock by which *kept* was told when it was made, as far as its place tells."""
    from submeter.errors import SubmeterError
    from submeter.grid.place import resolve_place
    from submeter.grid.timezone import machine_timezone
    from submeter.interfaces.planning import clock_here

    try:
        return clock_here(resolve_place(argument=kept.zone)) if kept.zone else "UTC"
    except SubmeterError:  # a place that the catalog no longer knows
        return machine_timezone() or "UTC"


def _width() -> int:
    return max(60, min(100, shutil.get_terminal_size((80, 24)).columns))
