# SPDX-License-Identifier: Apache-2.0
"""Search settings that use less: Optuna proposes, the meter judges, weak trials end early.

The first trial is the default setting, so that every figure has something to be told against.
All that the search used is counted, trials that failed or were stopped among it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from submeter.errors import SubmeterError, UsageError
from submeter.records.figures import Figure, Missing
from submeter.records.searches import SearchTrial, TrialState, Value
from submeter.reducing.quality import Condition
from submeter.reducing.spaces import Dimension
from submeter.reducing.stopping import Curve, Point, Reason, prospect

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial as Asked

Sampler = Literal["auto", "tpe", "random", "grid"]
MOST_POINTS: Final = 64  # of a curve that is kept
MOST_REPEATS: Final = 50  # proposals of settings that were tried: it knows nothing else
INSTALL: Final = "pip install 'submeter[tune]'"


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


# Given energy of the node so far [J], time [s] and metrics: "" to go on, or why not.
GoesOn = Callable[[float, float, Mapping[str, float]], Reason]
RunOne = Callable[[int, dict[str, Value], GoesOn], Outcome]  # its first argument: the number


def open_study(name: str, task: Task, storage: str | Path) -> "Study":
    """Study of that name, a new one or the one that is there.

    Parameters
    ----------
    storage
        A file of ours, or an address that Optuna understands (``postgresql://…``), which workers
        on other machines can join.
    """
    try:
        import optuna
    except ImportError as exc:
        raise UsageError("a search needs Optuna", remedy=INSTALL) from exc
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    kept: Any = storage
    if isinstance(storage, Path):
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        kept = JournalStorage(JournalFileBackend(str(storage)))
    directions: list[Literal["minimize", "maximize"]] = ["minimize"]
    directions += ["maximize"] if task.maximise else []
    try:
        return optuna.create_study(
            study_name=name, storage=kept, load_if_exists=True, directions=directions,
            sampler=_sampler(task),
        )  # fmt: skip
    except (ImportError, ValueError, OSError) as exc:
        raise UsageError(
            f"the search cannot be kept there: {exc}", remedy="see --storage"
        ) from exc


def _sampler(task: Task) -> Any:
    import warnings

    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import GridSampler, RandomSampler, TPESampler

    grid = {d.name: list(d.choices) for d in task.space if d.kind == "choice"}
    points = math.prod(len(c) for c in grid.values())
    fits = len(grid) == len(task.space) and points <= task.trials
    if task.sampler == "grid" and len(grid) < len(task.space):
        raise UsageError(
            "a grid needs choices everywhere", remedy="--sampler tpe, or lr=1e-4,1e-3"
        )
    if task.sampler == "grid" or (task.sampler == "auto" and fits):
        return GridSampler(grid, seed=task.seed)
    if task.sampler == "random":
        return RandomSampler(seed=task.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(seed=task.seed, constraints_func=_violations, multivariate=True)


def _violations(trial: "FrozenTrial") -> Sequence[float]:
    """How far a trial is from what was asked for; at most 0 is kept."""
    return tuple(trial.user_attrs.get("violations", (0.0,)))


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

    def go(self) -> list[SearchTrial]:
        """Run trials until they are enough, the budget is used up, or somebody interrupts."""
        if not self.study.get_trials(deepcopy=False):
            self.study.enqueue_trial(dict(self.task.default))
        try:
            while not self._enough():
                self._one()
        except KeyboardInterrupt:
            self.ended = "interrupted"
        return self.trials()

    def _enough(self) -> bool:
        done = self.trials()
        if len(done) >= self.task.trials:
            self.ended = f"{len(done)} trials"
        elif self._all_tried() or self._repeats >= MOST_REPEATS:
            self.ended = "every setting was tried"
        elif self.task.budget_j is not None and done:
            spent = math.fsum(t.energy_j for t in done)
            usual = min((t.energy_j for t in done if t.energy_j > 0), default=0.0)
            if spent + usual > self.task.budget_j:
                self.ended = "the budget is used up"
        return bool(self.ended)

    def _all_tried(self) -> bool:
        """Whether a space of choices has no setting left."""
        if any(d.kind != "choice" for d in self.task.space):
            return False
        seen = {tuple(sorted(t.settings.items())) for t in self.trials()}
        return len(seen) >= math.prod(len(d.choices) for d in self.task.space)

    def _one(self) -> None:
        from optuna.trial import TrialState as State

        asked = self.study.ask()
        settings = {d.name: _suggested(asked, d) for d in self.task.space}
        same = self._same_as_before(settings)
        if same is not None:
            asked.set_user_attr("repeats", same)
            self.study.tell(asked, state=State.PRUNED)
            self._repeats += 1
            return
        self._repeats = 0
        curve = Curve(points=[])
        reason: list[Reason] = [""]

        def goes_on(node_j: float, time_s: float, metrics: Mapping[str, float]) -> Reason:
            curve.points.append(Point(node_j, time_s, self._score(metrics)))
            reason[0] = self._prospect(curve, asked.number, node_j)
            return reason[0]

        try:
            outcome = self._run_one(asked.number, settings, goes_on)
        except BaseException:
            self.study.tell(asked, state=State.FAIL)
            raise
        curve.points.append(
            Point(outcome.node_j, outcome.duration_s, self._score(outcome.metrics))
        )
        self._keep(asked, settings, outcome, curve, reason[0])

    def _same_as_before(self, settings: Mapping[str, Value]) -> int | None:
        """Number of an earlier trial of the same *settings*: a second one would tell nothing."""
        return next((t.number for t in self.trials() if t.settings == settings), None)

    def _prospect(self, curve: Curve, number: int, node_j: float) -> Reason:
        if self.task.budget_j is not None:
            ratio = self._wall_ratio()
            spent = math.fsum(t.energy_j for t in self.trials())
            if spent + ratio * node_j > self.task.budget_j:
                return "budget"
        if not self.task.prune:
            return ""
        others = [c for n, c in self._curves().items() if n != number]
        kept = [t for t in self.trials() if t.kept]
        least = min((self._curves()[t.number].energy_j for t in kept), default=None)
        default = next((t for t in self.trials() if t.default and t.state == "finished"), None)
        slow = self.task.max_slowdown_ratio
        return prospect(
            curve,
            others,
            least_j=least,
            enough=self._floor(),
            max_time_s=None
            if slow is None or default is None
            else default.duration_s * (1 + slow),
            two_objectives=bool(self.task.maximise),
        )

    def _wall_ratio(self) -> float:
        """Energy at the wall over that of the node, of the trials so far."""
        ratios = [
            t.energy_j / c.energy_j
            for t in self.trials()
            if (c := self._curves().get(t.number)) is not None and c.energy_j > 0
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

    def _floor(self) -> float | None:
        watched = self._watched()
        if watched is None or self.task.maximise or watched.bound is None:
            return None
        return watched.bound if watched.higher_is_better else -watched.bound

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

        points = curve.points[:: max(1, len(curve.points) // MOST_POINTS)] + curve.points[-1:]
        trial = SearchTrial(
            number=asked.number, settings=dict(settings), state=outcome.state,
            energy=outcome.energy, duration_s=outcome.duration_s, metrics=outcome.metrics,
            run=outcome.run, why=outcome.why or str(reason),
            default=settings == self.task.default,
        )  # fmt: skip
        broken = self.violations(trial)
        trial = msgspec.structs.replace(
            trial, kept=outcome.state == "finished" and all(v <= 0 for v in broken)
        )
        asked.set_user_attr("trial", msgspec.json.encode(trial).decode())
        asked.set_user_attr("curve", [[p.energy_j, p.time_s, p.score] for p in points])
        asked.set_user_attr("violations", list(broken))
        if outcome.state == "finished":
            score = self._score(outcome.metrics)
            values = [outcome.node_j]
            values += [-math.inf if score is None else score] if self.task.maximise else []
            finite = all(map(math.isfinite, values))
            if finite:
                self.study.tell(asked, values)
            else:
                self.study.tell(asked, state=State.FAIL)
        else:
            self.study.tell(asked, state=State.FAIL if outcome.state == "failed" else State.PRUNED)
        self._told(trial)

    def violations(self, trial: SearchTrial) -> tuple[float, ...]:
        """By how much *trial* misses each condition and the time allowed; at most 0 is kept."""
        default = next((t for t in self.trials() if t.default), None)
        broken = [_violation(c, trial, default) for c in self.task.conditions]
        if self.task.max_slowdown_ratio is not None and default is not None:
            broken.append(trial.duration_s / default.duration_s - 1 - self.task.max_slowdown_ratio)
        return tuple(broken) or (0.0,)

    def trials(self) -> list[SearchTrial]:
        """All trials that ended, of all workers, in their order."""
        return [
            msgspec.json.decode(words, type=SearchTrial)
            for t in self.study.get_trials(deepcopy=False)
            if isinstance(words := t.user_attrs.get("trial"), str) and t.state.is_finished()
        ]

    def _curves(self) -> dict[int, Curve]:
        found = {}
        for trial in self.study.get_trials(deepcopy=False):
            rows = trial.user_attrs.get("curve")
            if rows is not None:
                points = [Point(float(e), float(t), s) for e, t, s in rows]
                found[trial.number] = Curve(points, finished=trial.state.name == "COMPLETE")
        return found


def _violation(condition: Condition, trial: SearchTrial, default: SearchTrial | None) -> float:
    value = trial.metrics.get(condition.metric)
    if value is None or not math.isfinite(value):
        return math.inf
    sign = 1 if condition.higher_is_better else -1
    misses = []
    if condition.bound is not None:
        misses.append(sign * (condition.bound - value))
    if condition.margin is not None and default is not None:
        before = default.metrics.get(condition.metric)
        if before is not None:
            margin = condition.margin * (abs(before) if condition.relative else 1)
            misses.append(sign * (before - value) - margin)
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


class NothingFoundError(SubmeterError):
    """No trial of a search ended with a result."""
