# SPDX-License-Identifier: Apache-2.0
"""Watch a run while it goes on: forecast its end, keep it within a budget, end a probe.

It works in a thread beside the launcher, reads what the run has written, and never touches the
command but by the signal that the user asked for. Its own work is bounded: what a look costs is
paid back by waiting a hundred times as long for the next one.
"""

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import msgspec

from submeter.errors import SubmeterError
from submeter.estimating.budgets import Budget, spent_of
from submeter.estimating.courses import Course
from submeter.estimating.remaining import Outlook, outlook
from submeter.estimating.whole import rest_run, whole_run
from submeter.grid.loads import started_at
from submeter.records.amounts import Amount
from submeter.records.figures import Missing
from submeter.records.footprints import Footprint
from submeter.records.runs import Run
from submeter.running.attending import Command, Member
from submeter.running.progress import Following, Progress
from submeter.running.reckoning import reckoned
from submeter.units import ns_to_s

__all__ = ["Action", "Probe", "View", "Watch", "forecast", "view_of"]

Action = Literal["warn", "signal", "stop"]
LOOK_S: Final = 1.0
PATIENCE_S: Final = 30.0  # until it is said that there is nothing to forecast from
MOST_PAUSE_S: Final = 300.0
WARN_RATIO: Final = 0.8
COST_RATIO: Final = 100.0  # of a view's CPU time until the next one
LEAST_STEPS: Final = 12  # that a probe waits for
LEAST_EPOCHS: Final = 5  # ... where epochs alone are logged
LONGEST_PROBES: Final = 10.0  # ... for so many times its length at most
GRACE_S: Final = 60.0
KILL_S: Final = 15.0
CHECKPOINT: Final = ("checkpoint", "save")


class View(msgspec.Struct, frozen=True):
    """A run that goes on, as far as it is known, and as it is forecast to end.

    ``whole`` and the outlooks are missing with the reason where nothing can be forecast.
    """

    so_far: Run
    footprint: Footprint  # of what it used so far
    elapsed_s: float
    done: float
    total: float | None
    energy: Outlook | Missing
    time: Outlook | Missing
    whole: Run | Missing
    ahead: Footprint | Missing  # of the whole
    rest: Footprint | Missing  # of what is still to come
    duration: Amount | Missing
    now_utc_s: float = 0.0
    unit: Literal["step", "epoch"] = "step"  # what is counted, if no other was asked for


class Probe(msgspec.Struct, frozen=True):
    """So long the command is let run, and which share of its way is known by then."""

    length_s: float


class Told(msgspec.Struct, frozen=True):
    """Something that the user is to know once."""

    words: str


Tell = Callable[["View | Told"], None]


def forecast(
    progress: Progress, total: float | None = None
) -> tuple[Outlook | Missing, Outlook | Missing]:
    """Outlooks of energy [J] and time [s] of a run that came as far as *progress*."""
    marks = progress.marks()
    total = progress.total if total is None else total
    if not marks:
        unit = progress.unit
        why = Missing(
            "no step was logged: submeter.log(step=…, total_steps=…)"
            if unit == "steps"
            else f"no {unit} were logged: submeter.log({unit}=…) beside each step"
        )
        return why, why
    if total is None:
        unit = "epochs" if progress.by_epochs else "steps"
        why = Missing(
            f"how many {unit} there will be was not said: log(total_{unit}=…), or --steps"
        )
        return why, why
    energy = progress.energy()
    stretches = progress.stretches()
    end_s = max(energy.end_s, marks[-1].t_s)
    beside = progress.neighbours_ratio
    time_left = outlook(marks, Course.of_time(end_s), total, stretches, neighbours_ratio=beside)
    if energy.totals[-1] <= 0:
        return Missing("no device was metered yet"), time_left
    return outlook(marks, energy, total, stretches, neighbours_ratio=beside), time_left


def view_of(
    progress: Progress, total: float | None = None, *, run_id: str = "", over: bool = False
) -> View:
    """What is known of a run and its end.

    Parameters
    ----------
    progress
        How far it has come.
    total
        Steps of the whole; what the program says if None.
    run_id
        Of the predicted run; the run's own if "".
    over
        Whether it goes on no more, so that it keeps its status.

    Raises
    ------
    LedgerError
        If it has just begun.
    """
    so_far = progress.so_far()
    if not over:
        so_far = msgspec.structs.replace(so_far, status="running", exit_code=None)
    energy, time_left = (_ended(x) if over else x for x in forecast(progress, total))
    marks = progress.marks()
    whole: Run | Missing
    ahead: Footprint | Missing
    rest: Footprint | Missing
    duration: Amount | Missing
    if isinstance(energy, Outlook) and isinstance(time_left, Outlook):
        made = whole_run(so_far, energy, time_left, run_id=run_id or so_far.id, name=so_far.name)
        whole, ahead, duration = made.run, reckoned(made.run), made.duration
        now_utc = started_at(time.time())
        rest = reckoned(rest_run(so_far, energy, time_left, started_utc=now_utc))
    else:
        why = energy if isinstance(energy, Missing) else time_left
        assert isinstance(why, Missing)  # noqa: S101
        whole = ahead = rest = duration = why
    return View(
        so_far=so_far,
        footprint=reckoned(so_far),
        elapsed_s=max(so_far.duration_s, progress.energy().end_s),
        done=marks[-1].done if marks else 0.0,
        total=progress.total if total is None else total,
        energy=energy,
        time=time_left,
        whole=whole,
        ahead=ahead,
        rest=rest,
        duration=duration,
        now_utc_s=time.time(),
        unit="epoch" if progress.by_epochs else "step",
    )


def _ended(found: Outlook | Missing) -> Outlook | Missing:
    """*found* of a run that is over: if all its steps were done, nothing is to come."""
    if isinstance(found, Missing) or found.done < found.total:
        return found
    return msgspec.structs.replace(found, value=found.spent, sds={})


class Watch:
    """An attendant of a run: see the module.

    Parameters
    ----------
    tell
        Is given a `View` from time to time, and a `Told` when something is to be said; called
        from the thread of the watch.
    every_s
        Time between two views [s]; None for none.
    total
        Steps of the whole; what the program says if None.
    budget, on_budget, number, grace_s
        The budget, what is done when it is used up, with which signal, and how long a stop waits
        for the next checkpoint [s].
    probe
        Ends the command when it has been seen for so long.
    reached
        Called once, when the budget is used up.
    left
        Called when the command is over.
    """

    def __init__(
        self,
        tell: Tell,
        *,
        every_s: float | None = None,
        total: float | None = None,
        budget: Budget | None = None,
        on_budget: Action = "warn",
        number: int = signal.SIGTERM,
        grace_s: float = GRACE_S,
        probe: Probe | None = None,
        reached: Callable[[], None] = lambda: None,
        left: Callable[[], None] = lambda: None,
    ) -> None:
        self._tell = tell
        self._every_s = every_s
        self._total = total
        self._budget = budget
        self._on_budget = on_budget
        self._number = number
        self._grace_s = grace_s
        self._probe = probe
        self._reached = reached
        self._left = left
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._command: Command | None = None
        self._below: list[Member] = []  # what the command had started when it was stopped
        self._why = ""
        self.progress: Following | None = None
        self._view_at_s = 0.0  # the next view, on the monotonic clock
        self._per_joule: float | None = None  # of what the budget counts
        self._said: set[str] = set()
        self._limit_s: float | None = None  # when the budget was used up
        self._stopped_s: float | None = None

    @property
    def stopped(self) -> bool:
        """Whether the command was stopped here."""
        return bool(self._why)

    @property
    def over_budget(self) -> bool:
        """Whether the budget is used up."""
        return self._limit_s is not None

    # --- as an attendant --------------------------------------------------------------------

    def attend(self, folder: Path, command: Command) -> None:
        """Begin to watch."""
        self.progress = Following(folder)
        self._command = command
        self._thread = threading.Thread(target=self._work, name="submeter-watch", daemon=True)
        self._thread.start()

    def leave(self) -> str:
        """End; why the command was stopped, if it was."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)
        self._left()
        if self._below:
            self._end_rest()
        return self._why

    def _work(self) -> None:
        while not self._over.wait(LOOK_S):
            try:
                self.look(time.monotonic())
            except SubmeterError as exc:  # it has just begun
                self._once(f"not forecast yet: {exc}", shown=False)
            except Exception as exc:  # noqa: BLE001  # the command is what counts
                self._once(f"watching this run failed: {type(exc).__name__}: {exc}")

    # --- a look -----------------------------------------------------------------------------

    def look(self, now_s: float) -> None:
        """See how far the run has come, and do what is due at *now_s* on the monotonic clock."""
        progress = self.progress
        assert progress is not None  # noqa: S101
        progress.look()
        if progress.started_ns is None:
            return
        elapsed_s = now_s - ns_to_s(progress.started_ns)
        if self._probe is not None:
            self._end_probe(self._probe, progress, elapsed_s)
            return
        if self._every_s is not None or self._budget is not None:
            self._view_when_due(progress, now_s)
        if self._budget is not None:
            self._keep(self._budget, progress, now_s)

    def _view_when_due(self, progress: Following, now_s: float) -> None:
        if now_s < self._view_at_s:
            return
        began_s = time.thread_time()
        view = view_of(progress, self._total)
        if self._budget is not None:
            self._forecast_budget(self._budget, view, progress)
        early = isinstance(view.ahead, Missing) and view.elapsed_s < PATIENCE_S
        if self._every_s is not None and not early:
            self._tell(view)
        cost_s = time.thread_time() - began_s
        pause_s = 0.0 if early or self._every_s is None else self._every_s
        self._view_at_s = now_s + max(pause_s, min(MOST_PAUSE_S, COST_RATIO * cost_s))

    # --- a budget ---------------------------------------------------------------------------

    def _forecast_budget(self, budget: Budget, view: View, progress: Following) -> None:
        """Learn what a joule of the devices counts, and warn of what is forecast."""
        spent = spent_of(budget, view.footprint)
        if isinstance(spent, Missing):
            self._once(f"the budget of {budget.words} is not watched: {spent.why}")
            return
        metered_j = progress.energy().totals[-1]
        if metered_j > 0:
            self._per_joule = spent.value / metered_j
        if isinstance(view.ahead, Missing):
            return
        whole = spent_of(budget, view.ahead)
        if isinstance(whole, Amount) and whole.value > budget.limit:
            ratio = whole.value / budget.limit
            self._once(
                f"the budget of {budget.words} will not do: {ratio:.2g} times as much is forecast",
                key="forecast beyond",
            )

    def _keep(self, budget: Budget, progress: Following, now_s: float) -> None:
        if self._per_joule is None:
            return
        ratio = progress.energy().totals[-1] * self._per_joule / budget.limit
        if WARN_RATIO <= ratio < 1:
            self._once(
                f"{100 * ratio:.0f} % of the budget of {budget.words} is used up",
                key="most of it",
            )
        if ratio < 1:
            return
        if self._limit_s is None:
            self._limit_s = now_s
            self._at_limit(budget)
            self._reached()
        if self._on_budget == "stop" and self._stopped_s is None:
            waited = now_s - self._limit_s >= self._grace_s
            if waited or self._checkpointed(progress):
                self._stop(budget, now_s, at_once=waited)

    def _at_limit(self, budget: Budget) -> None:
        words = f"the budget of {budget.words} ({budget.said}) is used up"
        if self._on_budget == "stop":
            words += f"; it is stopped after its next checkpoint, or in {self._grace_s:g} s"
        elif self._on_budget == "signal":
            words += f"; {self._signal()}"
        self._once(words)

    def _signal(self) -> str:
        """Signal the command, if it would not die of it; what was done, in words."""
        name = signal.Signals(self._number).name
        if self._command is None or not self._command.catches(self._number):
            return f"it does not catch {name}, which would end it, so none was sent"
        sent = self._command.send(self._number)
        return f"{name} was sent" if sent else "it has just ended"

    def _checkpointed(self, progress: Following) -> bool:
        """Whether a checkpoint was finished since the budget was used up."""
        if progress.started_ns is None or self._limit_s is None:
            return False
        limit_s = self._limit_s - ns_to_s(progress.started_ns)
        known_s = progress.energy().end_s
        return any(
            path.rpartition("/")[2].lower().startswith(CHECKPOINT) and limit_s < end_s < known_s
            for path, _, end_s in progress.stretches()
        )

    def _stop(self, budget: Budget, now_s: float, *, at_once: bool) -> None:
        self._stopped_s = now_s
        if self._ask_to_end():
            self._why = f"stopped: the budget of {budget.words} was used up"
            after = f"{self._grace_s:g} s without a checkpoint" if at_once else "its checkpoint"
            self._once(f"stopped with SIGTERM after {after}")

    # --- a probe ----------------------------------------------------------------------------

    def _end_probe(self, probe: Probe, progress: Following, elapsed_s: float) -> None:
        if self._stopped_s is not None:
            if elapsed_s - self._stopped_s >= KILL_S and self._command is not None:
                self._once(f"it did not end within {KILL_S:g} s of SIGTERM and was killed")
                self._command.send(signal.SIGKILL)
            return
        if elapsed_s < probe.length_s:
            return
        count, by_epochs = len(progress.marks()), progress.by_epochs
        enough = count >= (LEAST_EPOCHS if by_epochs else LEAST_STEPS)
        if not enough and elapsed_s < LONGEST_PROBES * probe.length_s:
            unit = "epochs" if by_epochs else "steps"
            words = f"{count} logged {unit} in {elapsed_s:.0f} s are too few; it is let run on"
            self._once(words, key="on")
            return
        self._stopped_s = elapsed_s
        if self._ask_to_end():
            self._why = f"probed for {elapsed_s:.0f} s, then stopped with SIGTERM"

    # --- an end -----------------------------------------------------------------------------

    def _ask_to_end(self) -> bool:
        """Ask the command's first process to end; it knows best what to do with the others."""
        if self._command is None:
            return False
        self._below = self._command.below()
        return self._command.send(signal.SIGTERM)

    def _end_rest(self) -> None:
        """End what a command left behind that was asked to end: a shell dies before its child."""
        assert self._command is not None  # noqa: S101
        end_s = time.monotonic() + KILL_S
        left = self._command.signal_those(self._below, signal.SIGTERM)
        while left and time.monotonic() < end_s:
            time.sleep(0.05)
            left = self._command.signal_those(left, 0)
        if left and self._probe is None:  # a budget never kills: a checkpoint may be half written
            number = f"{len(left)} process{'es' if len(left) > 1 else ''}"
            self._once(f"{number} that it had started did not end within {KILL_S:g} s of SIGTERM")
            return
        self._command.signal_those(left, signal.SIGKILL)

    # --- words ------------------------------------------------------------------------------

    def _once(self, words: str, *, key: str = "", shown: bool = True) -> None:
        if (key or words) in self._said:
            return
        self._said.add(key or words)
        if shown:
            self._tell(Told(words))
