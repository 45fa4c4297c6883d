# SPDX-License-Identifier: Apache-2.0
"""What a training program calls: `measure`, `phase`, `log`.

Only `measure` starts a run, and inside ``submeter run`` it joins that one. `phase` and `log`
belong to whatever run there is; without one they do nothing. None of them raises, whatever
happens to the metering, unless asked to by ``strict=True``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Self, TypeVar, overload

from submeter.running import joined

if TYPE_CHECKING:
    from types import TracebackType

    from submeter.records.amounts import Amount
    from submeter.records.figures import Figure, Missing
    from submeter.records.footprints import Footprint
    from submeter.records.runs import Run
    from submeter.running.measuring import Session
    from submeter.running.tracker import Open
    from submeter.running.watching import Watch

__all__ = ["MeasuredRun", "log", "measure", "phase"]

P = ParamSpec("P")
R = TypeVar("R")

_here: Final = joined.state()
_SHOWN: Final = 40  # characters of a name in a warning


def _words(name: object) -> str:
    """A name that is no text, as text; a caller's mistake is no reason to end a training."""
    try:
        text = str(name)
    except Exception as exc:  # noqa: BLE001  # the type is not ours
        text = ""
        joined.once(f"a name of type {type(name).__name__} has no text: {type(exc).__name__}")
    if not isinstance(name, (str, int, float)):
        joined.once(f"the name {text[:_SHOWN]!r} is no text but of type {type(name).__name__}")
    return text


class phase:  # noqa: N801  # reads as a statement: with submeter.phase("train")
    """A part of the training, by name; a context manager and a decorator.

    Parameters
    ----------
    name
        What the part is called. Phases may be nested, and opened again and again, from any
        thread and any asyncio task; time in an inner one belongs to that, and the times of
        several threads in one phase add up.

    Examples
    --------
    >>> with phase("train"), phase("forward"):
    ...     pass
    """

    __slots__ = ("_last", "_name")

    def __init__(self, name: str) -> None:
        self._name = name if type(name) is str else _words(name)
        self._last: Open | None = None

    def __enter__(self) -> Self:
        member = _here.member if _here.looked else joined.current()
        if member is not None and member.tracker is not None:
            self._last = member.tracker.enter(self._name, self)
            if member.check is not None:
                member.check_now_and_then()
        return self

    def __exit__(self, *_: object) -> None:
        member = _here.member
        if member is not None and member.tracker is not None:
            member.tracker.leave_by(self, self._last)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Make every call of *function* such a phase."""
        from submeter.interfaces.decorating import decorated

        return decorated(function, lambda: phase(self._name))


def log(
    *,
    step: int | None = None,
    samples: float | None = None,
    tokens: float | None = None,
    steps: float | None = None,
    total_steps: float | None = None,
    **metrics: object,
) -> None:
    """Note how the training goes: its quality, and how much work was done.

    Parameters
    ----------
    step
        Number of the present step, when it is done.
    samples, tokens, steps
        How many were worked through since the last call; they add up.
    total_steps
        Steps of the whole training: said once, it lets a forecast tell the end.
    metrics
        Numbers (or one with ``item()``), or words; what is not finite is left out, with a note.
    """
    member = _here.member if _here.looked else joined.current()
    if member is None:
        return
    try:
        given = {"samples": samples, "tokens": tokens, "steps": steps}
        work = {name: amount for name, amount in given.items() if amount is not None}
        if total_steps is not None:
            from submeter.records.frames import TOTAL_STEPS

            if 0 < (whole := float(total_steps)) < float("inf"):
                metrics[TOTAL_STEPS] = f"{whole:.15g}"
            else:
                joined.once(f"total_steps={whole:g} is no length of a training: left out")
        member.log(metrics, None if step is None else int(step), work)
    except Exception as exc:  # noqa: BLE001  # what a caller's tensor raises is not ours
        joined.once(f"a logged value was left out: {type(exc).__name__}: {exc}")


class MeasuredRun:
    """What `measure` gives: the run, and its energy once it is over.

    Energies are figures [J], or `Missing` with the reason as long as there are none.
    """

    def __init__(self, session: Session, watch: Watch | None = None) -> None:
        self._session = session
        self._watch = watch

    @property
    def id(self) -> str:
        """Id of the run in the ledger, "" if there is none."""
        return self._session.run_id

    @property
    def over_budget(self) -> bool:
        """Whether the budget given to `measure` is used up."""
        return self._watch is not None and self._watch.over_budget

    @property
    def run(self) -> Run | Missing:
        """The whole record."""
        return self._session.result()

    @property
    def energy(self) -> Figure | Missing:
        """Energy of the facility [J], with its cooling and losses: the headline."""
        return self._at("facility")

    @property
    def energy_node(self) -> Figure | Missing:
        """Energy of the machine [J]: devices, board, fans, supply."""
        return self._at("node")

    @property
    def energy_devices(self) -> Figure | Missing:
        """Energy of the devices that sensors see [J]."""
        return self._at("devices")

    @property
    def carbon(self) -> Figure | Missing:
        """Location-based emissions of its electricity [gCO2e]."""
        return self._figure(lambda made: made.carbon.location, "gCO2e")

    @property
    def carbon_embodied(self) -> Figure | Missing:
        """Its share of what making the hardware emitted [gCO2e]."""
        return self._figure(lambda made: made.carbon.embodied, "gCO2e")

    @property
    def water_onsite(self) -> Figure | Missing:
        """Water consumed on the site [L]."""
        return self._figure(lambda made: made.water.onsite, "L")

    @property
    def water_offsite(self) -> Figure | Missing:
        """Water consumed at the generators, with the evaporation of reservoirs [L]."""
        return self._figure(lambda made: made.water.offsite, "L")

    @property
    def water_offsite_without_reservoirs(self) -> Figure | Missing:
        """Water consumed at the generators, without the evaporation of reservoirs [L]."""
        return self._figure(lambda made: made.water.offsite_dry, "L")

    def to_dict(self) -> dict[str, object]:
        """The run in the words of the JSON (schema 1)."""
        from submeter.records.figures import Missing

        run = self.run
        if isinstance(run, Missing):
            return {"schema": 1, "run": {"id": self.id, "missing": run.why}}
        from submeter.reporting.words import run_document

        return dict(run_document(run, self._footprint(run)))

    def __str__(self) -> str:
        from submeter.records.figures import Missing

        energy = self.energy
        name = self._session.name or self.id or "run"
        if isinstance(energy, Missing):
            return f"{name}: {energy.why}"
        from submeter.reporting.numbers import with_interval

        return f"{name}: {with_interval(energy)} at the wall, {energy.basis}"

    def __repr__(self) -> str:
        return f"<MeasuredRun {self}>"

    def _repr_html_(self) -> str:
        """Show the summary, for a notebook."""
        from html import escape

        from submeter.records.figures import Missing

        run = self.run
        if isinstance(run, Missing):
            return f"<pre>{escape(str(self))}</pre>"
        from submeter.reporting.summary import summary

        return f"<pre>{escape(summary(run, self._footprint(run)))}</pre>"

    def _at(self, boundary: str) -> Figure | Missing:
        return self._figure(lambda made: getattr(made, boundary), "J")

    def _figure(
        self, pick: Callable[[Footprint], Amount | Missing], unit: str
    ) -> Figure | Missing:
        """One amount of the footprint as a figure."""
        from submeter.records.figures import Missing

        run = self.run
        if isinstance(run, Missing):
            return run
        amount = pick(self._footprint(run))
        return amount if isinstance(amount, Missing) else amount.figure(unit)

    def _footprint(self, run: Run) -> Footprint:
        from submeter.running.reckoning import reckoned

        return reckoned(run)


class Measurement:
    """`measure` with its arguments: a context manager and a decorator, usable again."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self._name = name
        self._options = options
        self._open: list[MeasuredRun] = []

    def __enter__(self) -> MeasuredRun:
        """Start the run, or join the one that this process is in."""
        run = _begin(self._name, self._options)
        self._open.append(run)
        return run

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the run if it was started here."""
        if self._open:
            _finish(self._open.pop(), error)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Make every call of *function* a run."""
        from submeter.interfaces.decorating import decorated

        name = self._name or getattr(function, "__name__", "")
        return decorated(function, lambda: Measurement(name, self._options), whole=True)


@overload
def measure(name: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def measure(
    name: str | None = None,
    *,
    tags: Mapping[str, str] | None = None,
    interval_s: float | None = None,
    project: str | None = None,
    zone: str | None = None,
    forecast: bool = False,
    budget: str | None = None,
    on_budget: Callable[[], object] | None = None,
    strict: bool = False,
) -> Measurement: ...


def measure(
    name: str | Callable[P, R] | None = None,
    *,
    tags: Mapping[str, str] | None = None,
    interval_s: float | None = None,
    project: str | None = None,
    zone: str | None = None,
    forecast: bool = False,
    budget: str | None = None,
    on_budget: Callable[[], object] | None = None,
    strict: bool = False,
) -> Measurement | Callable[P, R]:
    """Meter what this program does, as a context manager or a decorator.

    Parameters
    ----------
    name
        What the run is called.
    tags
        Words to find it by.
    interval_s
        Time between two readings [s], 0.01 to 60; what is configured if None.
    project
        Project that it belongs to; what is configured if None.
    zone
        Where its electricity comes from: a country, a grid zone, a cloud region; what is
        configured if None.
    forecast
        Say on stderr, once a minute, what the whole will use; it needs `log` with ``step`` and
        ``total_steps``.
    budget
        ``2kWh``, ``500g``, ``10L``, ``5EUR``: say when it will not do, and when it is used up.
    on_budget
        Called once in a thread when the budget is used up; `MeasuredRun.over_budget` tells the
        same to a loop, which may then write a checkpoint and end.
    strict
        Raise what keeps us from metering. Otherwise that is one warning, and the program goes on.

    Returns
    -------
    Measurement
        Gives a `MeasuredRun` when entered. Within a run, of ``submeter run`` or of another
        `measure`, it joins that: name, tags and options given here are then not used, and the
        energy is `Missing` as long as the outer run goes on. Nothing is printed at the end:
        ``print(run)`` does.

    Raises
    ------
    UsageError
        If an argument makes no sense, with *strict*.

    Examples
    --------
    >>> with measure("baseline") as run:  # doctest: +SKIP
    ...     train()
    >>> run.energy.kwh  # doctest: +SKIP
    0.00054
    """
    options = {
        "tags": tags,
        "interval_s": interval_s,
        "project": project,
        "zone": zone,
        "forecast": forecast,
        "budget": budget,
        "on_budget": on_budget,
        "strict": strict,
    }
    if callable(name):
        return Measurement("", options)(name)
    return Measurement("" if name is None else _words(name), options)


_lock: Final = threading.RLock()
_session: list[Session] = []  # the one that this process has open, if any


def _begin(name: str, options: Mapping[str, Any]) -> MeasuredRun:
    from submeter.running.measuring import begin

    with _lock:
        if _session and _session[0].belongs_here:
            _session[0].depth += 1
            return MeasuredRun(_session[0])
        given = _checked(options)
        watch = _watch_taken(given)
        _session[:] = [begin(_checked_name(name, options), **given)]
        if watch is not None:
            from submeter.interfaces.foreseeing import begin_watch

            begin_watch(watch, _session[0])
        return MeasuredRun(_session[0], watch)


def _watch_taken(given: dict[str, Any]) -> Watch | None:
    """Who watches the run; the options of that are taken out of *given*."""
    if not given["forecast"] and given["budget"] is None:  # nothing more is imported
        for name in ("forecast", "budget", "on_budget"):
            del given[name]
        return None
    from submeter.interfaces.foreseeing import take_watch

    return take_watch(given)


def _finish(run: MeasuredRun, error: BaseException | None) -> None:
    with _lock:
        session = run._session  # noqa: SLF001
        if session.depth:
            session.depth -= 1
            return
        if _session and _session[0] is session:
            _session.clear()
        if run._watch is not None:  # noqa: SLF001
            run._watch.leave()  # noqa: SLF001
        status, exit_code, reason = _outcome(error)
        try:
            session.end(status, exit_code, reason)
        except Exception as exc:  # noqa: BLE001  # the user's own error must come through
            joined.once(f"the run was not ended properly: {type(exc).__name__}: {exc}")


def _outcome(error: BaseException | None) -> tuple[str, int | None, str]:
    """Status, exit code and reason of a run that ended with *error*."""
    if error is None or isinstance(error, GeneratorExit):
        return "finished", None, ""
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        # what the process returns: of a number that fits no C long, as of -1
        code = code & 0xFF if -(1 << 63) <= code < 1 << 63 else 0xFF
        return ("failed" if code else "finished"), code, ""
    if isinstance(error, KeyboardInterrupt):
        return "stopped", None, "interrupted"
    return "failed", None, type(error).__name__


def _checked_name(name: str, options: Mapping[str, Any]) -> str:
    """*name*, or none where it would mean a run by its age; then refused if that is strict."""
    if not name.startswith("last"):
        return name
    from submeter.errors import UsageError
    from submeter.storing.documents import check_name

    try:
        check_name(name, 'submeter.measure("baseline")')
    except UsageError as exc:
        if options["strict"]:
            raise
        joined.once(f"{exc}; the run has no name")
        return ""
    return name


def _checked_zone(zone: str | None, *, strict: bool) -> str | None:
    """*zone*, or none where it names no place; then refused if that is strict."""
    if zone is None:
        return None
    from submeter.catalog.regions import find_zone
    from submeter.errors import SubmeterError

    try:
        find_zone(str(zone))
    except SubmeterError as exc:
        if strict:
            raise
        joined.once(f"{exc}; {exc.remedy or 'it is left out'}")
        return None
    return str(zone)


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """*options* with what makes no sense left out, or refused if they are strict."""
    given = dict(options)
    if given["tags"] is not None and not isinstance(given["tags"], Mapping):
        words = f"tags of type {type(given['tags']).__name__} are not allowed"
        if given["strict"]:
            from submeter.errors import UsageError

            raise UsageError(words, remedy='give tags={"key": "value"}')
        joined.once(f"{words}; they are left out")
        given["tags"] = None
    given["zone"] = _checked_zone(given["zone"], strict=bool(given["strict"]))
    interval_s = given["interval_s"]
    if interval_s is None:
        return given
    if isinstance(interval_s, (int, float)) and 0.01 <= interval_s <= 60:  # noqa: PLR2004
        return given
    from submeter.errors import UsageError

    words = f"interval_s = {interval_s!r} is not allowed"
    if given["strict"]:
        raise UsageError(words, remedy="give interval_s seconds from 0.01 to 60")
    joined.once(f"{words}; the configured one is used")
    given["interval_s"] = None
    return given
