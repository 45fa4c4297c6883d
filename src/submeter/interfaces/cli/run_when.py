# SPDX-License-Identifier: Apache-2.0
"""``submeter run --when …``: when a command is to run, in words, and how it may be paused."""

import os
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
import msgspec

if TYPE_CHECKING:
    from submeter.records.plans import Job, Plan
    from submeter.running.attending import Attendant
    from submeter.running.conducting import Replan
    from submeter.running.launcher import Outcome
    from submeter.storing.waits import Order, Wait

__all__ = ["asks", "carry_out", "when_options"]

F = TypeVar("F", bound=Callable[..., Any])

_LAST: Final = "last-plan"
_BEST: Final = re.compile(
    r"(?P<what>clean(?:est)?|cheap(?:est)?|green(?:est)?)(?:\s*,?\s*(?P<rest>.*))?",
    re.IGNORECASE,
)
_BY: Final = re.compile(r"(?:and\s+)?(?:done|finished|ready)?\s*(?:by|before|until)\s+(?P<at>.+)")
_WITHIN: Final = re.compile(r"(?:and\s+)?(?:done\s+)?within\s+(?P<length>.+)")
_OBJECTIVES: Final = {"clean": "carbon", "green": "carbon", "cheap": "cost"}
_EXAMPLE: Final = "submeter run --when 22:30 -- python train.py"


_OPTIONS: Final = (
    click.option(
        "--when",
        metavar="WORDS",
        help="Wait: a time (22:30, “in 2h”), a plan’s id, last-plan, or “cleanest, done by "
        "08:00”.",
    ),
    click.option(
        "--resume-plan",
        metavar="[ID]",
        is_flag=False,
        flag_value=_LAST,
        help="Go on with a plan whose waiting was ended.",
    ),
    click.option("--duration", metavar="TIME", help="How long the command works: 8h."),
    click.option("--interruptible", is_flag=True, help="It may be paused and resumed."),
    click.option(
        "--pause-by",
        type=click.Choice(["signal", "stop"]),
        default="signal",
        show_default=True,
        help="Ask it for a checkpoint, or stop its processes where they are.",
    ),
    click.option(
        "--pause-signal",
        metavar="NAME",
        default="USR1",
        show_default=True,
        help="The signal that asks it.",
    ),
    click.option(
        "--pause-within",
        metavar="TIME",
        default="5min",
        show_default=True,
        help="It has so long for its checkpoint.",
    ),
    click.option("--min-slice", metavar="TIME", help="It works at least so long at a time."),
    click.option("--checkpoint-cost", metavar="TIME", help="What each pause adds: 90s."),
    click.option("--restart-cost", metavar="TIME", help="Time to be back at work: 60s."),
    click.option("--power", metavar="POWER", help="What it draws at the wall: 3.2kW."),
    click.option("--idle-power", metavar="POWER", help="What it draws while paused: 200W."),
    click.option("--objective", metavar="WHAT", help="carbon, cost, 0.7*carbon+0.3*cost."),
    click.option("--live", is_flag=True, help="Plan anew as the provider of the settings says."),
    click.option(
        "--series",
        "files",
        multiple=True,
        metavar="FILE",
        help="Forecast from this past series, and plan anew as it grows.",
    ),
    click.option(
        "--signal",
        type=click.Choice(["average", "marginal", "both"]),
        help="Of carbon; average if not given.",
    ),
)


def when_options(command: F) -> F:
    """Add the options of waiting and pausing to *command*, which gets them by name."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OF_WAITING: Final = (
    "duration", "interruptible", "min_slice", "checkpoint_cost", "restart_cost", "power",
    "idle_power", "objective", "signal", "live", "files",
)  # fmt: skip


_OF_PLANS: Final = tuple(name for name in _OF_WAITING if name != "live")


def _option(name: str) -> str:
    return "--series" if name == "files" else f"--{name.replace('_', '-')}"


def _refuse(given: Mapping[str, Any], names: Sequence[str], why: str) -> None:
    """Raise `UsageError` for an option that would have no effect."""
    from submeter.errors import UsageError

    for name in names:
        if given[name]:
            word = _option(name)
            raise UsageError(f"{word} has no effect: {why}", remedy=f"leave {word} out")


def asks(given: Mapping[str, Any]) -> bool:
    """Whether a command is to wait; the options of waiting alone are a mistake.

    Raises
    ------
    UsageError
        If there are some without ``--when``.
    """
    if given["when"] is not None or given["resume_plan"] is not None:
        return True
    for name in _OF_WAITING:
        if given[name]:
            from submeter.errors import UsageError

            raise UsageError(
                f"{_option(name)} says how a command waits, and there is no --when",
                remedy=_EXAMPLE,
            )
    return False


def carry_out(
    words: Sequence[str],
    given: Mapping[str, Any],
    *,
    attendant: "Attendant | None" = None,
    **about: Any,
) -> "Outcome":
    """Wait for the time that *given* asks for, and run the command *words* then.

    *about* is the run's name, tags, project, zone and interval between readings.

    Raises
    ------
    SubmeterError
        If the time, the plan or the command make no sense.
    """
    import time

    from submeter.interfaces.cli.countdown import Countdown
    from submeter.interfaces.planning import clock_for
    from submeter.running.adopting import release
    from submeter.running.conducting import Replanner
    from submeter.running.planned import run_planned, signals_held
    from submeter.storing.places import writable_home

    home = writable_home()[0]
    for said in release(home):
        click.echo(f"submeter: {said}", err=True)
    timezone, now_s = clock_for(about["zone"]), time.time()
    with signals_held():  # planning loads numpy, which begins threads
        order, replan = _asked(words, given, about, now_s, timezone, home)
    if Path(order.folder).is_dir():
        os.chdir(order.folder)
    _say_what(order, now_s, timezone)
    teller = Countdown(timezone)
    try:
        return run_planned(
            order,
            home,
            replanner=Replanner(replan, signs=signs_of(order)),
            teller=teller,
            attendant=attendant,
        )
    except UnicodeEncodeError:
        from submeter.errors import UsageError

        raise UsageError(
            "the command holds bytes that are no text, and cannot be kept while it waits",
            remedy="put it into a script, and run that",
        ) from None


def _asked(
    words: Sequence[str],
    given: Mapping[str, Any],
    about: Mapping[str, Any],
    now_s: float,
    timezone: str,
    home: Path,
) -> "tuple[Order, Replan | None]":
    """What is to be carried out: as it was begun before, or as it is asked for now."""
    if given["resume_plan"] is not None:
        order = _resumed(given["resume_plan"], words, home)
        return order, replan_of(order.plan, live=order.live or given["live"])
    plan, replan = _plan_of(given, now_s, timezone, about["zone"], home)
    made = _order(plan, words, given, now_s)
    found = _begun_before(plan.id, words, home)
    if found is not None:
        return msgspec.structs.replace(found.order, command=made.command), replan
    return msgspec.structs.replace(made, **about), replan


def _order(plan: "Plan", words: Sequence[str], given: Mapping[str, Any], now_s: float) -> "Order":
    from submeter.planning.words import duration_s
    from submeter.storing.waits import Order

    return Order(
        plan=plan,
        command=tuple(words),
        folder=str(Path.cwd()),
        asked_s=now_s,
        words=given["when"],
        live=given["live"],
        pause_by=given["pause_by"],
        pause_signal=signal_name(given["pause_signal"]),
        pause_within_s=duration_s(given["pause_within"], "time for the checkpoint"),
    )


def signal_name(said: str) -> str:
    """Full name of the signal that *said* means: USR1, SIGUSR1 or 10.

    Raises
    ------
    UsageError
        If there is none, or a program cannot handle it.
    """
    from submeter.errors import UsageError

    word = said.strip().upper()
    try:
        number = (
            int(word) if word.isdecimal() else signal.Signals[f"SIG{word.removeprefix('SIG')}"]
        )
        found = signal.Signals(number)
    except (KeyError, ValueError):
        raise UsageError(
            f"there is no signal “{said[:30]}”",
            remedy="--pause-signal USR1, or another of kill -l",
        ) from None
    if found in {signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT, signal.SIGCHLD}:
        raise UsageError(
            f"{found.name} cannot ask for a checkpoint",
            remedy="--pause-signal USR1, or --pause-by stop",
        )
    return found.name


# --- when ---------------------------------------------------------------------------------------


def _plan_of(
    given: Mapping[str, Any], now_s: float, timezone: str, zone: str | None, home: Path
) -> "tuple[Plan, Replan | None]":
    """Plan that *given* means, and how to make it anew."""
    from submeter.errors import UsageError
    from submeter.planning.words import instant_utc_s
    from submeter.storing.plans import find, plan_ids

    words = given["when"].strip()
    if words == _LAST or words.startswith("plan-") or words in plan_ids(home):
        plan = find(words, home)
        _refuse(given, _OF_PLANS, f"the plan {plan.id} says that already")
        return plan, replan_of(plan, live=given["live"])
    best = _BEST.fullmatch(words)
    if best:
        return _planned(best, given, now_s, timezone, zone, home)
    try:
        at_s = instant_utc_s(words, now_s, timezone)
    except UsageError as exc:
        raise UsageError(
            str(exc),
            remedy="--when 22:30, “in 2h”, last-plan, “cleanest, done by 08:00”",
        ) from None
    _refuse(given, _OF_PLANS[1:], "a time was given, and nothing is planned")
    if at_s < now_s:
        raise UsageError(f"“{words[:40]}” is in the past", remedy=_EXAMPLE)
    return fixed_plan(at_s, now_s, _job_words(given)), None


def fixed_plan(at_s: float, now_s: float, lengths: Mapping[str, float]) -> "Plan":
    """Plan that starts at *at_s*, whatever the grid does then."""
    from submeter.records.figures import Missing
    from submeter.records.plans import Job, Plan, Slice
    from submeter.storing.plans import new_plan_id

    duration_s = lengths.get("duration_s", 0.0)
    end_s = at_s + max(duration_s, 1.0)
    return Plan(
        id=new_plan_id(now_s),
        made_s=now_s,
        job=Job(duration_s=duration_s, earliest_s=now_s, deadline_s=end_s),
        zone="",
        signal="average",
        objective="",
        slices=(Slice(at_s, end_s),),
        expected_saving=Missing("a time was given, and no forecast asked for"),
    )


def _job_words(given: Mapping[str, Any]) -> dict[str, float]:
    from submeter.planning.words import duration_s

    names = {
        "duration": "duration_s",
        "min_slice": "min_slice_s",
        "checkpoint_cost": "checkpoint_s",
    }
    return {
        field: duration_s(given[name], name.replace("_", " "))
        for name, field in names.items()
        if given[name]
    }


# --- plans that were begun ----------------------------------------------------------------------


def _begun_before(plan_id: str, words: Sequence[str], home: Path) -> "Wait | None":
    """The same plan, if it was begun before and not ended; another command for it is refused."""
    from submeter.errors import UsageError
    from submeter.storing.waits import open_waits

    found = next((w for w in open_waits(home) if w.plan_id == plan_id), None)
    if found is not None and words and tuple(words) != found.order.command and not found.locked:
        raise UsageError(
            f"the plan {plan_id} was begun with another command",
            remedy=f"submeter run --resume-plan {plan_id} goes on with that one",
        )
    return found


def _resumed(said: str, words: Sequence[str], home: Path) -> "Order":
    """Order of the plan to go on with: the one *said*, or the only one, or the latest."""
    from submeter.errors import PlanNotFoundError, UsageError
    from submeter.storing.waits import open_waits

    waits = open_waits(home)
    free = [w for w in waits if not w.locked]
    if said != _LAST:
        free = [w for w in waits if said in {w.plan_id, w.plan_id.removeprefix("plan-")}]
    if not free:
        raise PlanNotFoundError(
            "there is no plan to go on with" if said == _LAST else f"no plan “{said[:60]}” waits",
            remedy="submeter list --status waiting",
        )
    order = free[-1].order
    if words and tuple(words) != order.command:
        raise UsageError(
            f"the plan {order.plan.id} was begun with another command",
            remedy="leave the command out: it is kept with the plan",
        )
    return order


def _say_what(order: "Order", now_s: float, timezone: str) -> None:
    """Repeat what was understood."""
    from submeter.planning.words import full_instant

    first = order.plan.slices[0].start_s if order.plan.slices else now_s
    if first > now_s:
        at = full_instant(first, timezone)
        click.echo(f"submeter: starts {at}, plan {order.plan.id}", err=True)


# --- planning -----------------------------------------------------------------------------------


def _planned(
    best: "re.Match[str]",
    given: Mapping[str, Any],
    now_s: float,
    timezone: str,
    zone: str | None,
    home: Path,
) -> "tuple[Plan, Replan | None]":
    """Plan for words such as “cleanest, done by 08:00”, kept like one of ``submeter plan``."""
    from submeter.errors import UsageError
    from submeter.interfaces.cli.plan import decided
    from submeter.interfaces.planning import needs_numbers
    from submeter.storing.plans import keep

    needs_numbers()
    if not given["duration"]:
        raise UsageError(
            "how long the command works is not said, and no best time is known without",
            remedy=f"submeter run --when “{best[0][:40]}” --duration 8h -- …",
        )
    objective = given["objective"] or _OBJECTIVES[best["what"].lower().removesuffix("est")]
    asked = {
        **given,
        "zone": zone,
        "deadline": _deadline(best["rest"] or "", now_s, timezone),
        "objective": objective,
        "signal": given["signal"] or "average",
    }
    plan = decided(asked)[0].plan
    if not plan.worthwhile:
        click.echo(f"submeter: {' '.join(plan.instead)}", err=True)
    keep(plan, home)
    return plan, replan_of(plan, live=given["live"])


def _deadline(rest: str, now_s: float, timezone: str) -> str:
    """Words for the end of the window in “, done by 08:00” or “within 12h”."""
    from submeter.errors import UsageError

    said = " ".join(rest.strip(" ,").split())
    within, by = _WITHIN.fullmatch(said), _BY.fullmatch(said)
    if within:
        return f"in {within['length']}"
    if by is None:
        raise UsageError(
            f"until when is not said in “{said[:40]}”" if said else "until when is not said",
            remedy="--when “cleanest, done by 08:00”, or “cleanest within 12h”",
        )
    from submeter.planning.words import instant_utc_s

    instant_utc_s(by["at"], now_s, timezone)
    return str(by["at"])


def replan_of(plan: "Plan", *, live: bool) -> "Replan | None":
    """What makes *plan* anew from each new reading, for what is left.

    Readings are those of the files and the provider that the plan was made from; with *live* the
    provider is asked, else its kept answers are read, whoever asked for them. None where nothing
    new can be known: without both, or of a plan that no forecast was made for, or of one on more
    workers than a machine is.

    Raises
    ------
    UsageError
        If live data are wanted, and no provider is set.
    """
    if not (live or plan.series or plan.provider) or not plan.objective or not plan.zone:
        return None
    if any(piece.workers > 1 for piece in plan.slices):
        return None
    provider = plan.provider
    if live and not provider:
        from submeter.settings import load

        provider = load().settings.provider
        if not provider:
            from submeter.errors import UsageError

            raise UsageError(
                "live data are wanted, and no provider is set",
                remedy="submeter config set provider uk-carbon-intensity",
            )

    def replan(now_s: float, remaining: "Job") -> "Plan":
        from submeter.interfaces.planning import made_anew

        kept = bool(provider) and not live and not provider.startswith("csv:")
        return made_anew(plan, now_s, remaining, provider, kept=kept)

    return replan


def signs_of(order: "Order") -> "Callable[[], object] | None":
    """What tells that there are new readings for the plan of *order*, at no cost."""
    plan = order.plan
    asks = order.live and not plan.provider.startswith("csv:")
    provider = "" if asks else plan.provider
    if not (plan.series or provider):
        return None
    from submeter.running.series import signs

    return lambda: signs(plan.series, provider)
