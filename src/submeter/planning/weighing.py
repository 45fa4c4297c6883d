# SPDX-License-Identifier: Apache-2.0
"""Ways to run a job, weighed: what each costs by an objective, and over the paths of the grid."""

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np

from submeter.errors import InfeasibleError, UsageError
from submeter.forecasting.series import Series
from submeter.planning.cautious import Cautious, best_by_both
from submeter.planning.costs import Costs, Floats
from submeter.planning.courses import energies_kwh
from submeter.planning.elastic import elastic
from submeter.planning.outlooks import Outlook
from submeter.planning.scaling import Scaling
from submeter.planning.single import best
from submeter.records.figures import Basis, Figure, Missing
from submeter.records.plans import Job, Signal, Slice
from submeter.units import J_PER_KWH, S_PER_H

FLAT_RATIO: Final = 0.05  # range over mean under which a grid is called flat
_SHORTEST_S: Final = 300.0  # of a slot
_QUANTILES: Final = (0.025, 0.975)
_SAME: Final = 1e-9
_ROUNDING_RATIO: Final = 1e-9  # a saving below it is none
_QUANTITIES: Final = {"average": "carbon", "marginal": "carbon_marginal"}

Weights = Mapping[str, float]  # of an objective: carbon, cost, water
Allowed = Callable[[Costs], Costs]  # the same costs, work confined to some of their slots
Guard = Callable[[Job], tuple[bool, str]]  # whether waiting pays in back-tests, and the words


class Site(msgspec.Struct, frozen=True, eq=False):
    """A place that the job may run in, and what is expected there.

    ``outlooks`` are by name: ``average`` and ``marginal`` carbon, ``cost``, ``water``.
    ``queue_s`` passes there before any job begins; ``moving`` is what bringing the data there
    adds, by the names of outlooks; ``past`` are readings of its average carbon until now, where
    there are any, to back-test waiting on.
    """

    zone: str
    name: str
    outlooks: Mapping[str, Outlook]
    queue_s: float = 0.0
    moving: Mapping[str, float] = {}
    past: Series | None = None


class Question(msgspec.Struct, frozen=True, eq=False):
    """What is to be decided, and for whom."""

    id: str
    made_s: float
    job: Job
    objective: str
    weights: Weights
    signal: Signal = "average"
    allowed: Allowed | None = None
    step_s: float = float(S_PER_H)  # slots are no longer
    scaling: Scaling | None = None  # then the job may change its number of workers
    guard: Guard | None = None
    command: tuple[str, ...] = ()


class Choice(msgspec.Struct, frozen=True, eq=False):
    """What one way to run the job is expected to bring, against starting at once at home.

    ``saving_ratios`` has one value a path, ``by_quantity`` the paths of each quantity.
    """

    site: Site
    slices: tuple[Slice, ...]
    saving_ratio: float
    saving_ratios: Floats
    chance_worse: float
    by_quantity: Mapping[str, tuple[float, Floats]]


class Weighing:
    """Costs of sites on one grid of slots, and what schedules come to on it."""

    def __init__(self, question: Question, home: Site) -> None:
        self._question = question
        self._home = home
        steps = [o.step_s for n, o in home.outlooks.items() if n in self._names()]
        self._step_s = max(_SHORTEST_S, min([*steps, question.step_s]))
        self._start_s = math.floor(question.job.earliest_s / self._step_s) * self._step_s
        job = question.job
        end_s = max(job.deadline_s, job.earliest_s + job.duration_s)  # one worker may be too slow
        self._count = math.ceil((end_s - self._start_s) / self._step_s)
        self._grids: dict[tuple[str, str], Outlook] = {}
        self._rates = {  # per kWh of starting at once at home, above zero: what shares are of
            name: self._mean_rate(name) for name in self._names()
        }
        self._once = self._totals(home, self.at_once())

    # what is asked for

    def _names(self) -> list[str]:
        """Names of the outlooks that the objective weighs."""
        carbon = "marginal" if self._question.signal == "marginal" else "average"
        return [carbon if name == "carbon" else name for name in self._question.weights]

    def _weight(self, name: str) -> float:
        return self._question.weights["carbon" if name in _QUANTITIES else name]

    def grid(self, site: Site, name: str) -> Outlook:
        """Outlook *name* of *site* on the slots of the job's window."""
        key = (site.zone, name)
        if key not in self._grids:
            if name not in site.outlooks:
                raise UsageError(
                    f"nothing is known of the {_called(name)} of {site.name} by the hour",
                    remedy="give a series with --series, ask a provider with --live,"
                    " or leave it out of the objective",
                )
            self._grids[key] = site.outlooks[name].on(self._start_s, self._step_s, self._count)
        return self._grids[key]

    def _mean_rate(self, name: str) -> float:
        found = self.grid(self._home, name)
        drawn = self._energy(self.at_once())
        rate = abs(float(drawn @ found.mean)) / max(float(drawn.sum()), _SAME)
        # where starting at once brings nothing, shares are of the mean of the window
        return next((r for r in (rate, float(np.abs(found.mean).mean())) if r > _SAME), 1.0)

    def _single(self) -> bool:
        return len(self._question.weights) == 1

    def _per_kwh(self, site: Site) -> Floats:
        """Objective's cost per kWh in each slot; sums are in parts of starting at once."""
        if self._single():
            return self.grid(site, self._names()[0]).mean
        return np.asarray(
            sum(
                self._weight(name) / self._rates[name] * self.grid(site, name).mean
                for name in self._names()
            )
        )

    def _costs(self, per_kwh: Floats) -> Costs:
        made = Costs(self._start_s, self._step_s, per_kwh, "")
        return made if self._question.allowed is None else self._question.allowed(made)

    def may_begin(self) -> bool:
        """Whether starting at once is allowed at all."""
        costs = self._costs(np.zeros(self._count))
        if not costs.forbidden.size:
            return True
        drawn = energies_kwh(self._question.job, self.at_once(), costs)
        return not bool(np.any(drawn[costs.forbidden] > 0))

    # schedules

    def at_once(self, site: Site | None = None) -> tuple[Slice, ...]:
        """The job in one piece, from the first instant that it may begin."""
        job = self._question.job
        where = site or self._home
        begin_s = job.earliest_s + where.queue_s
        scaling = self._question.scaling
        workers = 1 if scaling is None else scaling.workers[0]
        return (Slice(begin_s, begin_s + job.duration_s, where.zone, workers),)

    def scheduled(self, site: Site) -> tuple[Slice, ...]:
        """The best slices in *site*."""
        job = self._queued(site)
        if self._question.signal == "both":
            return self._both(site, job).by_average.slices
        costs = self._costs(self._per_kwh(site))
        if self._question.scaling is not None:
            return elastic(costs, job, self._question.scaling, zone=site.zone).slices
        found = best(costs, job, zone=site.zone)
        if found.saving_ratio < _ROUNDING_RATIO and self.may_begin():
            return self.at_once(site)  # equal hours: rounding chooses none of them
        return found.slices

    def _queued(self, site: Site) -> Job:
        job = self._question.job
        made = msgspec.structs.replace(job, earliest_s=job.earliest_s + site.queue_s)
        if self._question.scaling is None:
            refuse_impossible(made)
        return made

    def _both(self, site: Site, job: Job) -> Cautious:
        """Least average carbon that costs no marginal carbon."""
        average, marginal = (
            self._costs(self.grid(site, name).mean) for name in ("average", "marginal")
        )
        return best_by_both(average, marginal, job, zone=site.zone)

    # what they come to

    def _energy(self, slices: tuple[Slice, ...]) -> Floats:
        slots = Costs(self._start_s, self._step_s, np.zeros(self._count), "")
        if self._question.scaling is not None:
            return scaled_kwh(self._question.scaling, slices, slots, self._question.job.idle_w)
        return energies_kwh(self._question.job, slices, slots)

    def _totals(self, site: Site, slices: tuple[Slice, ...]) -> dict[str, tuple[float, Floats]]:
        drawn = self._energy(slices)
        made = {}
        for name in site.outlooks:
            found = self.grid(site, name)
            moved = site.moving.get(name, 0.0)
            made[name] = (float(drawn @ found.mean) + moved, found.paths @ drawn + moved)
        return made

    def choice(self, site: Site, slices: tuple[Slice, ...]) -> Choice:
        """What *slices* in *site* come to against starting at once at home."""
        totals = self._totals(site, slices)
        saved, paths = 0.0, np.zeros(1)
        whole = math.fsum(abs(self._weight(name)) for name in self._names())
        work_kwh = float(self._energy(self.at_once()).sum())
        for name in self._names():
            part = self._weight(name) / whole
            ratio, ratios = saved_ratios(
                self._once[name], totals[name], self._rates[name] * work_kwh
            )
            saved, paths = saved + part * ratio, paths + part * ratios
        return Choice(
            site=site,
            slices=slices,
            saving_ratio=saved,
            saving_ratios=paths,
            chance_worse=float(np.mean(paths < -_SAME)),
            by_quantity=totals,
        )

    def figures(self, choice: Choice) -> dict[str, Figure | Missing]:
        """What *choice* brings, by quantity; per kWh where nobody knows the power."""
        unknown = self._question.job.power_w is None and not self._question.job.power_course_w
        made: dict[str, Figure | Missing] = {}
        for name, (mean, paths) in choice.by_quantity.items():
            base = choice.site.outlooks[name].unit.partition("/")[0]
            unit = f"{base}/kWh" if unknown else base
            low, high = interval(paths, mean)
            key = {"average": "carbon_g", "marginal": "carbon_marginal_g", "water": "water_l"}
            made[key.get(name, name)] = Figure(
                mean, low, high, unit, source=choice.site.outlooks[name].source,
                basis_shares={Basis.MODELLED: 1.0},
            )  # fmt: skip
        return made

    def marginal(self, chosen: Choice, now: Choice) -> Figure | Missing:
        """Saving by marginal intensity of what was *chosen*."""
        told = chosen.site.outlooks.get("marginal")
        if told is None or "marginal" not in now.by_quantity:
            return Missing(f"no marginal intensity is known for {chosen.site.name}")
        if not told.informed and chosen.site.zone == now.site.zone:
            return Missing("only its annual mean is known, which tells no hour from another")
        once = now.by_quantity["marginal"]
        if not once[0] > _SAME:
            return Missing("started at once it would bring none")
        value, ratios = saved_ratios(once, chosen.by_quantity["marginal"], once[0])
        low, high = interval(ratios, value)
        return Figure(value, low, high, "ratio", source=told.source,
                      basis_shares={Basis.MODELLED: 1.0})  # fmt: skip

    def caution(self, home: Site) -> float | None:
        """Saving by average intensity that heeding the marginal one gives up."""
        if self._question.signal != "both":
            return None
        return self._both(home, self._queued(home)).price_ratio

    def chart(self, site: Site) -> Outlook:
        """What was made small, over the window."""
        if self._single():
            return self.grid(site, self._names()[0])
        first = self.grid(site, self._names()[0])
        return msgspec.structs.replace(first, mean=self._per_kwh(site), unit="× starting at once")

    def flat(self, site: Site) -> bool:
        """Whether hours hardly differ."""
        values = self._per_kwh(site)
        return bool(np.ptp(values) <= FLAT_RATIO * abs(values.mean()))

    def informed(self, site: Site) -> bool:
        """Whether any of what is weighed tells hours apart."""
        return any(site.outlooks[name].informed for name in self._names())

    def source(self, site: Site) -> str:
        """What the plan rests on."""
        return "; ".join(dict.fromkeys(site.outlooks[name].source for name in self._names()))

    def notes(self, site: Site) -> tuple[str, ...]:
        """What is to be said of it."""
        return tuple(
            dict.fromkeys(note for name in self._names() for note in site.outlooks[name].notes)
        )


def scaled_kwh(
    scaling: Scaling, slices: tuple[Slice, ...], slots: Costs, idle_w: float = 0.0
) -> Floats:
    """Energy in each slot of a job that runs on several counts of workers, ``(n,)`` [kWh].

    Between its slices it draws *idle_w*.
    """
    power_w = {size.workers: size.power_w for size in scaling.sizes}
    drawn = [(piece.start_s, piece.end_s, power_w[piece.workers]) for piece in slices]
    drawn += [(a.end_s, b.start_s, idle_w) for a, b in pairwise(slices)]
    edges_s = slots.start_utc_s + slots.edges_s()
    made = np.zeros(slots.per_kwh.size)
    for begin_s, end_s, drawn_w in drawn:
        inside_s = np.minimum(edges_s[1:], end_s) - np.maximum(edges_s[:-1], begin_s)
        made += np.maximum(inside_s, 0.0) * (drawn_w / J_PER_KWH)
    return made


def refuse_impossible(job: Job) -> None:
    """Raise `InfeasibleError` for a job that does not fit into its window."""
    room_s = job.deadline_s - job.earliest_s
    if room_s <= 0:
        raise InfeasibleError(
            "the deadline is past before the job could begin", remedy="give a later deadline"
        )
    if job.duration_s > room_s + 1:
        raise InfeasibleError(
            f"{job.duration_s / S_PER_H:.4g} h of work do not fit into the"
            f" {room_s / S_PER_H:.4g} h until the deadline",
            remedy="give a later deadline, or less work",
        )


def saved_ratios(
    once: tuple[float, Floats], other: tuple[float, Floats], reference: float
) -> tuple[float, Floats]:
    """Share that *other* saves against *once*, each a mean and its paths; expected, by path [1].

    Notes
    -----
    ``(once - other) / reference``, *reference* above zero: prices may be negative, and earning
    more saves. A path's share is of what starting at once brings on it, unless that may be
    nothing or below, where it would tell nothing.
    """
    (mean_0, paths_0), (mean, paths) = once, other
    scale = paths_0 if float(paths_0.min()) > _SAME else reference
    return (mean_0 - mean) / reference, (paths_0 - paths) / scale


def interval(paths: Floats, value: float) -> tuple[float, float]:
    """95 % of *paths*, widened to hold the expectation, which need not be their median."""
    low, high = np.quantile(paths, _QUANTILES)
    return min(float(low), value), max(float(high), value)


def _called(name: str) -> str:
    return {"average": "carbon intensity", "marginal": "marginal intensity"}.get(name, name)
