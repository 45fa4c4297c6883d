# SPDX-License-Identifier: Apache-2.0
"""Search settings that use less: Optuna proposes, the meter judges, weak trials end early.

The first trial is the default setting, so that every figure has something to be told against.
All that the search used is counted, trials that failed or were stopped among it.
"""

import itertools
import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal, Protocol

import msgspec

from submeter.errors import UsageError
from submeter.records.figures import Figure, Missing
from submeter.records.searches import SearchTrial, TrialState, Value
from submeter.reducing.prospects import Known, Prospects
from submeter.reducing.quality import Condition
from submeter.reducing.spaces import Dimension
from submeter.reducing.stopping import Curve, Point, Reason, prospect_of_two, thinned
from submeter.reducing.studies import WORKER, is_alive, tell_violations, this_worker

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import Trial as Asked
    from optuna.trial import TrialState as State

Sampler = Literal["auto", "tpe", "random", "grid"]
MOST_POINTS: Final = 64  # of a curve that is kept
MOST_REPEATS: Final = 50  # proposals of settings that were tried: it knows nothing else
WORST: Final = 1e9  # violation of a condition on what is not known
FAILED_DEFAULT: Final = "the default setting failed"
NOT_METERED: Final = "not metered"


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What is searched, and within which limits."""

    space: tuple[Dimension, ...]
    default: dict[str, Value]
    conditions: tuple[Condition, ...] = ()
    maximise: str = ""  # a metric, if more of it at more energy is wanted as well
    max_slowdown_ratio: float | None = None
    budget_j: float | None = None
    trials: int = 30
    sampler: Sampler = "auto"
    seed: int = 0
    prune: bool = True


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one trial."""

    state: TrialState
    energy: Figure | Missing  # at the facility boundary [J]
    node_j: float  # as the curve counts it
    duration_s: float
    metrics: dict[str, float]
    run: str = ""
    why: str = ""


NOT_STARTED: Final = Outcome(
    state="stopped", energy=Figure(0.0, 0.0, 0.0, "J", source="not started"), node_j=0.0,
    duration_s=0.0, metrics={},
)  # fmt: skip


class GoesOn(Protocol):
    """Whether a trial should go on: "", or why not."""

    def __call__(
        self,
        node_j: float,
        time_s: float,
        metrics: Mapping[str, float],
        done_ratio: float | None = None,
        /,
    ) -> Reason:
        """Take energy of the node [J], time [s], metrics and the part done [1], as of now."""


RunOne = Callable[[int, dict[str, Value], GoesOn], Outcome]  # its first argument: the number


class Searching:
    """A search that goes on: asks, runs, judges, tells.

    Parameters
    ----------
    study
        Of Optuna.
    run_one
        Runs a setting.
    told
        Is told each trial that ended.
    """

    def __init__(
        self,
        task: Task,
        study: "Study",
        run_one: RunOne,
        told: Callable[[SearchTrial], None] = lambda _trial: None,
    ) -> None:
        self.task, self.study = task, study
        self._run_one, self._told = run_one, told
        self.ended = ""
        self._repeats = 0  # proposals in a row that were tried before
        self._trials: dict[int, SearchTrial] = {}  # that ended, of all workers, by number
        self._curves: dict[int, Curve] = {}
        self._prospects: tuple[int, Prospects] | None = None

    def go(self) -> list[SearchTrial]:
        """Run trials until they are enough, the budget is used up, or somebody interrupts."""
        default = dict(self.task.default)
        if not any(t.default for t in self.trials()):
            self.study.enqueue_trial(default, skip_if_exists=True)
        try:
            while not self._enough():
                self._one()
        except KeyboardInterrupt:
            self.ended = "interrupted"
        return self.trials()

    def trials(self) -> list[SearchTrial]:
        """All trials that ended, of all workers, in their order."""
        for frozen in self.study.get_trials(deepcopy=False):
            if frozen.number in self._trials or not frozen.state.is_finished():
                continue
            words = frozen.user_attrs.get("trial")
            if isinstance(words, str):
                self._trials[frozen.number] = msgspec.json.decode(words, type=SearchTrial)
                self._curves[frozen.number] = Curve(
                    (Point(*point) for point in frozen.user_attrs["curve"]),
                    finished=self._trials[frozen.number].state == "finished",
                )
        default = self._default()
        return [
            msgspec.structs.replace(t, kept=self._kept(t, default))
            for _, t in sorted(self._trials.items())
        ]

    def _default(self) -> SearchTrial | None:
        ended = (t for t in self._trials.values() if t.default and t.state == "finished")
        return next(ended, None)

    def _kept(self, trial: SearchTrial, default: SearchTrial | None) -> bool:
        return trial.state == "finished" and all(v <= 0 for v in self.violations(trial, default))

    def _enough(self) -> bool:
        done = self.trials()
        if len(done) >= self.task.trials:
            self.ended = f"{len(done)} trials"
        elif self._all_tried(done) or self._repeats >= MOST_REPEATS:
            self.ended = "every setting was tried"
        elif any(t.default and t.state == "failed" for t in done):
            self.ended = FAILED_DEFAULT
        elif self.task.budget_j is not None and done:
            spent = math.fsum(t.energy_j for t in done)
            ran = [t.energy_j for t in done if t.state == "finished" and t.energy_j > 0]
            least = min(ran, default=0.0) if not self.task.prune else 0.0
            if spent + least >= self.task.budget_j:
                self.ended = "the budget is used up"
        return bool(self.ended)

    def _all_tried(self, done: Sequence[SearchTrial]) -> bool:
        """Whether a space of choices has no setting left."""
        if any(d.kind != "choice" for d in self.task.space):
            return False
        seen = {tuple(sorted(t.settings.items())) for t in done}
        return len(seen) >= math.prod(len(d.choices) for d in self.task.space)

    def _one(self) -> None:
        from optuna.trial import TrialState as State

        self._propose()
        asked = self.study.ask()
        settings = {d.name: _suggested(asked, d) for d in self.task.space}
        asked.set_user_attr(WORKER, this_worker())
        same = self._same(settings, asked.number)
        if same is not None:  # a second one would tell nothing
            asked.set_user_attr("repeats", same)
            self._tell(asked, None, State.PRUNED)
            self._repeats += 1
            return
        self._repeats = 0
        dismissed = self._dismissed(settings)
        if dismissed:
            self._keep(asked, settings, NOT_STARTED, Curve(), dismissed)
            return
        curve = Curve()
        reason: list[Reason] = [""]

        def goes_on(
            node_j: float,
            time_s: float,
            metrics: Mapping[str, float],
            done_ratio: float | None = None,
        ) -> Reason:
            curve.add(Point(node_j, time_s, self._score(metrics), done_ratio))
            reason[0] = self._prospect(curve)
            return reason[0]

        try:
            outcome = _judged(self._run_one(asked.number, settings, goes_on))
        except BaseException:
            self._tell(asked, None, State.FAIL)
            raise
        if isinstance(outcome.energy, Figure):
            done = 1.0 if outcome.state == "finished" else None
            score = self._score(outcome.metrics)
            curve.add(Point(outcome.node_j, outcome.duration_s, score, done))
        self._keep(asked, settings, outcome, curve, reason[0])
        if outcome.state == "interrupted":
            raise KeyboardInterrupt

    def _propose(self) -> None:
        """Have that setting of a grid be the next which promises most for what it costs.

        At first that is any; then those that others say little of, are cheap or good.
        """
        grid = self._grid() if self.task.prune and not self.task.maximise else []
        if not grid or self._default() is None:
            return
        seen = [t.settings for t in self.trials()] + [
            t.params for t in self.study.get_trials(deepcopy=False) if t.state.name == "RUNNING"
        ]
        left = [s for s in grid if s not in seen]
        known = self.prospects()
        chosen = [s for s in left if not known.chance(s).reason] or left
        if chosen:
            self.study.enqueue_trial(max(chosen, key=known.promise))

    def _grid(self) -> list[dict[str, Value]]:
        """All settings, in an order by chance, where there are no more than trials."""
        task = self.task
        if task.sampler not in {"auto", "grid"} or any(d.kind != "choice" for d in task.space):
            return []
        if math.prod(len(d.choices) for d in task.space) > task.trials:
            return []
        names = [d.name for d in task.space]
        rows = itertools.product(*(d.choices for d in task.space))
        found: list[dict[str, Value]] = [dict(zip(names, row, strict=True)) for row in rows]
        random.Random(task.seed).shuffle(found)  # noqa: S311  # no secret
        return found

    def _dismissed(self, settings: Mapping[str, Value]) -> Reason:
        """Why a setting need not be begun, by all that is known; "" if it should."""
        if not self.task.prune or self.task.maximise or settings == self.task.default:
            return ""
        return self.prospects().chance(settings).reason

    def prospects(self) -> Prospects:
        """What the trials that ended say of others."""
        trials = self.trials()
        known = [t for t in trials if t.state in {"finished", "stopped"}]
        known = [t for t in known if self._curves[t.number].energy_j > 0]
        if self._prospects is None or self._prospects[0] != len(known):
            default, slow = self._default(), self.task.max_slowdown_ratio
            limit_s = None if slow is None or default is None else default.duration_s * (1 + slow)
            rows = [
                Known(
                    t.settings, self._curves[t.number], t.state == "finished", t.kept,
                    self._score(t.metrics), t.why == "dominated",
                )
                for t in known
            ]  # fmt: skip
            found = Prospects(
                rows, enough=self._floor(default), max_time_s=limit_s, trials=self.task.trials
            )
            self._prospects = len(known), found
        return self._prospects[1]

    def _same(self, settings: Mapping[str, Value], number: int) -> int | None:
        """Number of a trial of the same *settings*, ended or going on with another worker."""
        ended = next((t.number for t in self.trials() if t.settings == settings), None)
        if ended is not None:
            return ended
        return next(
            (
                t.number
                for t in self.study.get_trials(deepcopy=False)
                if t.number < number
                and t.state.name == "RUNNING"
                and t.params == settings
                and is_alive(str(t.user_attrs.get(WORKER, "")))
            ),
            None,
        )

    def _prospect(self, curve: Curve) -> Reason:
        trials = self.trials()
        budget_j = self.task.budget_j
        if budget_j is not None:
            spent = math.fsum(t.energy_j for t in trials)
            if spent + self._wall_ratio() * curve.energy_j > budget_j:
                return "budget"
        if not self.task.prune:
            return ""
        known = self.prospects()
        if self.task.maximise:
            return prospect_of_two(curve, list(self._curves.values()), max_time_s=known.max_time_s)
        return known.reason(curve)

    def _wall_ratio(self) -> float:
        """Energy at the wall over that of the node, of the trials so far."""
        ratios = [
            t.energy_j / self._curves[n].energy_j
            for n, t in self._trials.items()
            if self._curves[n].energy_j > 0
        ]
        return max(ratios, default=1.0)

    def _watched(self) -> Condition | None:
        """The condition whose metric is watched while a trial goes on."""
        return self.task.conditions[0] if self.task.conditions else None

    def _score(self, metrics: Mapping[str, float]) -> float | None:
        watched = self._watched()
        metric = self.task.maximise or (watched.metric if watched else "")
        value = metrics.get(metric)
        if value is None or not math.isfinite(value):
            return None
        higher = bool(self.task.maximise) or (watched is not None and watched.higher_is_better)
        return value if higher else -value

    def _floor(self, default: SearchTrial | None) -> float | None:
        """Score that keeps the first condition; None where none is asked for, or known yet."""
        watched = self._watched()
        if watched is None:
            return None
        sign = 1 if watched.higher_is_better else -1
        floors = [] if watched.bound is None else [sign * watched.bound]
        before = None if default is None else default.metrics.get(watched.metric)
        if watched.margin is not None and before is not None:
            floors.append(sign * before - watched.margin * _scale(watched, before))
        return max(floors, default=None)

    def _keep(
        self,
        asked: "Asked",
        settings: Mapping[str, Value],
        outcome: Outcome,
        curve: Curve,
        reason: Reason,
    ) -> None:
        """Tell Optuna, and keep what another worker has to know."""
        from optuna.trial import TrialState as State

        trial = SearchTrial(
            number=asked.number, settings=dict(settings), state=outcome.state,
            energy=outcome.energy, duration_s=outcome.duration_s, metrics=outcome.metrics,
            run=outcome.run, why=outcome.why or str(reason),
            default=settings == self.task.default,
        )  # fmt: skip
        default = trial if trial.default else self._default()
        broken = self.violations(trial, default)
        trial = msgspec.structs.replace(trial, kept=self._kept(trial, default))
        points = thinned(curve.points, MOST_POINTS)
        asked.set_user_attr("trial", msgspec.json.encode(trial).decode())
        asked.set_user_attr("curve", [list(p) for p in points])
        tell_violations(asked, broken)
        score = self._score(outcome.metrics)
        if outcome.state in {"failed", "interrupted"}:
            self._tell(asked, None, State.FAIL)
        elif outcome.state == "stopped" or (self.task.maximise and score is None):
            self._tell(asked, None, State.PRUNED)
        else:
            values = [outcome.node_j]
            values += [score] if self.task.maximise and score is not None else []
            self._tell(asked, values, State.COMPLETE)
        self._told(trial)

    def _tell(self, asked: "Asked", values: Sequence[float] | None, state: "State") -> None:
        """Tell Optuna how a trial ended."""
        try:
            self.study.tell(asked, values, state)
        except (RuntimeError, KeyError):
            # A grid that has no point left asks the study to stop, which works inside of
            # Study.optimize only. The trial itself has been kept by then.
            if not self.study.get_trials(deepcopy=False)[asked.number].state.is_finished():
                raise

    def violations(self, trial: SearchTrial, default: SearchTrial | None) -> tuple[float, ...]:
        """By how much *trial* misses each condition and the time allowed; at most 0 is kept."""
        broken = [_violation(c, trial, default) for c in self.task.conditions]
        slow = self.task.max_slowdown_ratio
        if slow is not None:
            known = default is not None and default.duration_s > 0
            broken.append(
                trial.duration_s / default.duration_s - 1 - slow
                if known and default is not None
                else WORST
            )
        return tuple(broken) or (0.0,)


def _judged(outcome: Outcome) -> Outcome:
    """*outcome*; that of a trial which finished but was not metered is a failure."""
    if outcome.state != "finished" or (isinstance(outcome.energy, Figure) and outcome.node_j > 0):
        return outcome
    why = outcome.energy.why if isinstance(outcome.energy, Missing) else "no energy was counted"
    return msgspec.structs.replace(outcome, state="failed", why=f"{NOT_METERED}: {why}")


def _scale(condition: Condition, before: float) -> float:
    """What a margin is a part of."""
    return abs(before) if condition.relative else 1.0


def _violation(condition: Condition, trial: SearchTrial, default: SearchTrial | None) -> float:
    value = trial.metrics.get(condition.metric)
    if value is None or not math.isfinite(value):
        return WORST
    sign = 1 if condition.higher_is_better else -1
    misses = []
    if condition.bound is not None:
        misses.append(sign * (condition.bound - value))
    if condition.margin is not None:
        before = None if default is None else default.metrics.get(condition.metric)
        if before is None:  # nothing to be not worse than, yet
            return WORST
        misses.append(sign * (before - value) - condition.margin * _scale(condition, before))
    return max(misses, default=0.0)


def _suggested(asked: "Asked", dimension: Dimension) -> Value:
    value: Value
    if dimension.kind == "choice":
        value = asked.suggest_categorical(dimension.name, list(dimension.choices))
    elif dimension.kind == "int":
        value = asked.suggest_int(
            dimension.name, int(dimension.low), int(dimension.high), log=dimension.log
        )
    else:
        value = asked.suggest_float(
            dimension.name, dimension.low, dimension.high, log=dimension.log
        )
    return value


def default_setting(space: Sequence[Dimension], given: Mapping[str, str]) -> dict[str, Value]:
    """The setting of today: as given, else the first choice, or the middle of a range."""
    unknown = next((n for n in given if n not in {d.name for d in space}), None)
    if unknown is not None:
        raise UsageError(f"nothing is called {unknown}", remedy=f"--set {unknown}=…")
    values: dict[str, Value] = {}
    for d in space:
        if d.name in given:
            values[d.name] = d.read(given[d.name])
        elif d.kind == "choice":
            values[d.name] = d.choices[0]
        else:
            middle = math.sqrt(d.low * d.high) if d.log else (d.low + d.high) / 2
            values[d.name] = round(middle) if d.kind == "int" else float(f"{middle:.3g}")
    return values
