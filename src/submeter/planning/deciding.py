# SPDX-License-Identifier: Apache-2.0
"""From what is expected of the grid to a plan: when, where, what it saves, and how sure that is.

Nothing is asked and nothing waited for: the instant, the outlooks and what back-tests say of
waiting are given. Savings are against the same job started at once at home.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from submeter.errors import UsageError
from submeter.planning.outlooks import Outlook
from submeter.planning.weighing import (
    Choice,
    Question,
    Site,
    Weighing,
    interval,
    refuse_impossible,
)
from submeter.records.figures import Basis, Figure, Missing
from submeter.records.plans import Job, Plan
from submeter.units import S_PER_H

# Least saving that is worth a wait: under it a plan is noise, whatever its sign.
LEAST_SAVING_RATIO: Final = 0.01
# Where doing worse is nearly as likely as not, an expected saving is no advice. A profile is not
# back-tested on what the grid does now, and its expectations are too high where shapes have
# changed since. Of seven bounds that were tried this is the highest at which waiting by it has
# not cost in any zone of other years; at 0.25 it has in two of six, GB and ERCO. It was chosen on
# the zones on which it is tabled (benchmarks/plan_honesty.py).
MOST_CHANCE_WORSE: Final = 0.4
MOST_CHANCE_UNTESTED: Final = 0.2
_LITTLE_SLACK: Final = 0.25  # of the work: little to choose from
_SURE: Final = 0.1  # chance of doing worse, of a place that is named


class Decision(msgspec.Struct, frozen=True, eq=False):
    """A plan, and what a reader of it wants to see besides.

    Attributes
    ----------
    chart
        Signal that was made small, over the window of the job.
    best_here
        The best time at home, also where it is not advised.
    marginal_ratio
        Saving by marginal intensity of what is advised, with its interval; missing where no hours
        of it are known.
    caution_ratio
        Saving by average intensity that is given up so that no move costs marginal carbon.
    others
        Other places that were asked about, at their best times; home first.
    """

    plan: Plan
    chart: Outlook
    at_once: Choice
    best_here: Choice
    chosen: Choice
    marginal_ratio: Figure | Missing
    caution_ratio: float | None = None
    others: tuple[Choice, ...] = ()


def decide(
    question: Question,
    sites: Sequence[Site],
    elsewhere: Callable[[], Sequence[Site]] = lambda: (),
) -> Decision:
    """Plan of the job of *question* in one of *sites*, the first of which is home.

    Parameters
    ----------
    sites
        Places that the job may go to.
    elsewhere
        Gives places that are only named where waiting at home does not help.

    Raises
    ------
    InfeasibleError
        If the job does not fit between its earliest start and its deadline.
    CoverageError
        If what is known does not reach to the deadline.
    UsageError
        If an objective is asked for of which nothing is known.
    """
    job = question.job
    if question.scaling is None:  # more workers may fit what one does not
        refuse_impossible(job)
    home, *away = sites
    _refuse_unknown_hours(question, home, alone=not away)
    weighing = Weighing(question, home)
    now = weighing.choice(home, weighing.at_once())
    here = weighing.choice(home, weighing.scheduled(home))
    fitting = [site for site in away if site.queue_s <= _slack_s(job)]
    others = sorted(
        (weighing.choice(site, weighing.scheduled(site)) for site in fitting),
        key=lambda choice: -choice.saving_ratio,
    )
    wanted = max([here, *others], key=lambda choice: choice.saving_ratio)
    why_not = _why_not(question, wanted, weighing) if weighing.may_begin() else ""
    chosen = now if why_not else wanted
    instead: tuple[str, ...] = ()
    if why_not:
        moves = [weighing.choice(s, weighing.at_once(s)) for s in elsewhere() if _told(s, home)]
        instead = (why_not, *_instead([*others, *moves]))
    plan = Plan(
        id=question.id,
        made_s=question.made_s,
        job=job,
        zone=chosen.site.zone,
        signal=question.signal,
        objective=question.objective,
        slices=chosen.slices,
        expected_saving=_ratio_figure(chosen, weighing.source(home)),
        chance_worse=chosen.chance_worse,
        expected=weighing.figures(chosen),
        at_once=weighing.figures(now),
        worthwhile=not why_not,
        instead=instead,
        command=question.command,
        source=weighing.source(chosen.site),
        notes=(*_too_late(away, job), *weighing.notes(chosen.site)),
    )
    return Decision(
        plan=plan,
        chart=weighing.chart(chosen.site),
        at_once=now,
        best_here=here,
        chosen=chosen,
        marginal_ratio=weighing.marginal(chosen, now),
        caution_ratio=weighing.caution(home),
        others=tuple(choice for choice in (here, *others) if choice is not chosen and away),
    )


def _slack_s(job: Job) -> float:
    return job.deadline_s - job.earliest_s - job.duration_s


def _too_late(away: Sequence[Site], job: Job) -> list[str]:
    """Places that were asked for and in which the job cannot be done in time."""
    return [
        f"left out {site.zone}: behind a queue of {site.queue_s / S_PER_H:.3g} h the job does not"
        " fit before its deadline"
        for site in away
        if site.queue_s > _slack_s(job)
    ]


def _told(site: Site, home: Site) -> bool:
    """Whether all is known of *site* that is of home, in the same units."""
    known = site.outlooks
    return all(n in known and known[n].unit == told.unit for n, told in home.outlooks.items())


def _refuse_unknown_hours(question: Question, home: Site, *, alone: bool) -> None:
    """Raise `UsageError` where marginal carbon is asked for, and nothing tells its hours apart."""
    told = home.outlooks.get("marginal")
    heeded = question.signal == "both" or (question.signal == "marginal" and alone)
    if heeded and (told is None or not told.informed):
        raise UsageError(
            f"no marginal intensity of {home.name} is known by the hour",
            remedy="give one with --series FILE, or plan by --signal average",
        )


def _why_not(question: Question, wanted: Choice, weighing: Weighing) -> str:
    """Why waiting is not advised; "" if it is."""
    job = question.job
    percent = f"{100 * wanted.saving_ratio:.1f} %"
    if wanted.saving_ratio < LEAST_SAVING_RATIO:
        if not weighing.informed(wanted.site):
            return (
                "Waiting gains nothing that is known: only an annual figure is, "
                "and it tells no hour from another."
            )
        if weighing.flat(wanted.site):
            return f"Waiting gains {percent} here (the grid is flat)."
        if _slack_s(job) < _LITTLE_SLACK * job.duration_s:
            return f"Waiting gains {percent} here (there is little slack)."
        return f"Waiting gains {percent} here."
    tested = question.guard is not None
    if wanted.chance_worse > (MOST_CHANCE_WORSE if tested else MOST_CHANCE_UNTESTED):
        return (
            f"Waiting may gain {percent}, but does worse in"
            f" {100 * wanted.chance_worse:.0f} of 100 cases."
        )
    if question.guard is not None and wanted.slices[0].start_s > job.earliest_s:
        pays, words = question.guard(job)
        if not pays:
            return words
    return ""


def _instead(moves: Sequence[Choice]) -> tuple[str, ...]:
    """What would help: the one place that would gain most, if any does for sure."""
    sure = [m for m in moves if m.saving_ratio > LEAST_SAVING_RATIO and m.chance_worse < _SURE]
    if not sure:
        return ()
    found = max(sure, key=lambda move: move.saving_ratio)
    return (f"Running in {found.site.zone} would gain {100 * found.saving_ratio:.0f} %.",)


def _ratio_figure(choice: Choice, source: str) -> Figure:
    low, high = interval(choice.saving_ratios, choice.saving_ratio)
    return Figure(
        choice.saving_ratio, low, high, "ratio", source=source,
        basis_shares={Basis.MODELLED: 1.0},
    )  # fmt: skip
