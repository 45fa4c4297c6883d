# SPDX-License-Identifier: Apache-2.0
"""``submeter tune``: find settings that use less at the quality that is asked for."""

import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from submeter.errors import SubmeterError, UsageError
from submeter.interfaces.cli.failures import INTERRUPTED_EXIT

if TYPE_CHECKING:
    import re

    from submeter.records.figures import Missing
    from submeter.records.runs import Run
    from submeter.records.searches import SearchResult, SearchTrial, TrialState, Value
    from submeter.reducing.tuning import GoesOn, Outcome, RunOne, Searching, Task

_EXAMPLE: Final = "submeter tune --set batch=16,32,64 -- python train.py --batch {batch}"
_BAR: Final = 30


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--set", "sets", multiple=True, metavar="NAME=VALUES",
              help="What may be turned: 16,32,64, 0..0.5, log:1e-4..1e-1, int:8..64.")  # fmt: skip
@click.option("--technique", "techniques", multiple=True, metavar="NAME[=VALUES]",
              help="A technique to turn: mixed_precision, freeze=off,share:0.5.")  # fmt: skip
@click.option("--default", "defaults", multiple=True, metavar="NAME=VALUE",
              help="Setting of today; else the first choice, the middle of a range.")  # fmt: skip
@click.option("--minimise", "--minimize", type=click.Choice(["energy"]), default="energy",
              help="What is to be little.")  # fmt: skip
@click.option("--maximise", "--maximize", default="", metavar="METRIC",
              help="A metric that may cost more energy: gives a Pareto set.")  # fmt: skip
@click.option("--keep", "conditions", multiple=True, metavar="CONDITION",
              help='Quality that is asked for: "accuracy >= 0.97".')  # fmt: skip
@click.option("--max-slowdown", metavar="RATIO",
              help="Most time over that of the default: 5% or 0.05.")  # fmt: skip
@click.option("--budget", metavar="ENERGY", help="Energy of the whole search, such as 0.2kWh.")
@click.option("--trials", type=click.IntRange(1, 100_000), default=30, show_default=True,
              help="Most trials.")  # fmt: skip
@click.option("--sampler", type=click.Choice(["auto", "tpe", "random", "grid"]), default="auto",
              help="How settings are proposed; auto: a grid where it fits.")  # fmt: skip
@click.option("--no-pruning", is_flag=True, help="Let weak trials run to their end.")
@click.option("--read", "patterns", multiple=True, metavar="METRIC=REGEX",
              help="Read a metric from the output of a program that logs none.")  # fmt: skip
@click.option("--storage", metavar="ADDRESS",
              help="postgresql://… that workers on other machines join; else a file.")  # fmt: skip
@click.option("--name", default="", help="What the search is called; the same name joins it.")
@click.option("--resume", metavar="ID", help="Go on with an earlier search: its id, or last.")
@click.option("--show", metavar="ID", help="Show what an earlier search found.")
@click.option("--prove", "proves", metavar="ID", help="Run its setting and the default in pairs.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of what is proposed.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="-- CMD…")
def tune(
    *,
    sets: tuple[str, ...],
    techniques: tuple[str, ...],
    defaults: tuple[str, ...],
    minimise: str,
    maximise: str,
    conditions: tuple[str, ...],
    max_slowdown: str | None,
    budget: str | None,
    trials: int,
    sampler: str,
    no_pruning: bool,
    patterns: tuple[str, ...],
    storage: str | None,
    name: str,
    resume: str | None,
    show: str | None,
    proves: str | None,
    seed: int,
    as_json: bool,
    command: tuple[str, ...],
) -> int:
    """Find settings that use less energy at the quality that is asked for.

    Each trial is a metered run of the command with {name} filled in; the first is the default.
    Trials without prospect are stopped, and all that the search used is counted. Ctrl-C keeps
    what was found.

    \b
    Examples:
      submeter tune --set batch=16,32,64,128 --set lr=log:1e-4..1e-1 \\
        --keep "accuracy >= 0.97" --max-slowdown 5% --budget 0.2kWh \\
        -- python train.py --batch {batch} --lr {lr}
      submeter tune --set lr=1e-3,4e-3 --technique mixed_precision \\
        -- python train.py --lr {lr}
      submeter tune --resume last
      submeter tune --prove last
    """  # noqa: D301  # \b keeps click from refilling the examples
    from submeter.reducing.spaces import technique_set
    from submeter.storing import searches

    del minimise  # energy, so far
    words = command[1:] if command[:1] == ("--",) else command
    sets = (*sets, *map(technique_set, techniques))
    if show:
        _tell(searches.find(show), as_json=as_json)
        return 0
    if proves:
        _prove(searches.find(proves), as_json=as_json)
        return 0
    earlier = searches.find(resume) if resume else None
    if earlier is not None:
        words = words or earlier.command
        sets = sets or earlier.space
        conditions = conditions or earlier.conditions
        name = name or earlier.name
        defaults = defaults or _defaults_of(earlier)
        if not maximise and "maximise " in earlier.minimise:
            maximise = earlier.minimise.rpartition("maximise ")[2]
    if not words or not sets:
        raise UsageError("say what may be turned, and the command that takes it", remedy=_EXAMPLE)
    task = _task(
        words, sets, defaults, conditions, maximise, max_slowdown, budget,
        trials=trials, sampler=sampler, prune=not no_pruning, seed=seed,
    )  # fmt: skip
    return _search(task, words, name, storage, patterns, earlier, as_json=as_json)


def _defaults_of(earlier: "SearchResult") -> tuple[str, ...]:
    default = next((t for t in earlier.trials if t.default), None)
    return () if default is None else tuple(f"{k}={v}" for k, v in default.settings.items())


def _task(
    words: Sequence[str],
    sets: Sequence[str],
    defaults: Sequence[str],
    conditions: Sequence[str],
    maximise: str,
    max_slowdown: str | None,
    budget: str | None,
    *,
    trials: int,
    sampler: str,
    prune: bool,
    seed: int,
) -> "Task":
    import msgspec

    from submeter.reducing.quality import parse_condition
    from submeter.reducing.spaces import check_command, parse_space
    from submeter.reducing.tuning import Task, default_setting
    from submeter.running.launcher import find_command

    space = parse_space(sets)
    check_command(words, space)
    if find_command(words[0]):
        raise UsageError(f"{words[0]}: not found, or not executable", remedy="check its path")
    given = {}
    for word in defaults:
        key, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"“{word}” is no setting", remedy="--default batch=64")
        given[key.strip()] = value.strip()
    asked = tuple(parse_condition(c) for c in conditions)
    fields: dict[str, object] = {
        "space": space, "default": default_setting(space, given), "conditions": asked,
        "maximise": maximise, "max_slowdown_ratio": _ratio(max_slowdown),
        "budget_j": _budget_j(budget), "trials": trials, "sampler": sampler, "prune": prune,
        "seed": seed,
    }  # fmt: skip
    return msgspec.convert(fields, Task, from_attributes=True)


def _ratio(word: str | None) -> float | None:
    if word is None:
        return None
    try:
        value = float(word.rstrip("% ")) / (100 if word.rstrip().endswith("%") else 1)
    except ValueError as exc:
        raise UsageError(f"“{word}” is no slow-down", remedy="--max-slowdown 5%") from exc
    if not 0 <= value < float("inf"):
        raise UsageError(f"a slow-down of {word} makes no sense", remedy="--max-slowdown 5%")
    return value


def _budget_j(word: str | None) -> float | None:
    if word is None:
        return None
    from submeter.estimating.budgets import budget_of

    budget = budget_of(word)
    if budget.kind != "energy":
        raise UsageError("the budget of a search is an energy", remedy="--budget 0.2kWh")
    return budget.limit


def _search(
    task: "Task",
    words: Sequence[str],
    name: str,
    storage: str | None,
    patterns: Sequence[str],
    earlier: "SearchResult | None",
    *,
    as_json: bool,
) -> int:
    from submeter.interfaces.cli.prove import utc_now
    from submeter.reducing.findings import result
    from submeter.reducing.studies import close_study, open_study
    from submeter.reducing.tuning import FAILED_DEFAULT, Searching
    from submeter.running.trials import compiled
    from submeter.storing import searches
    from submeter.storing.places import new_run_id

    read = compiled(patterns)
    search_id = earlier.id if earlier else new_run_id(time.time_ns())
    made_utc = earlier.made_utc if earlier else utc_now()
    folder = searches.search_folder(search_id)
    study = open_study(name or search_id, task, storage or folder / searches.STUDY)
    if earlier is not None and earlier.trials and not study.get_trials(deepcopy=False):
        raise UsageError(
            f"the trials of search {search_id} are kept elsewhere", remedy="repeat --storage"
        )
    teller = _Teller(task, quiet=as_json)

    def found_so_far() -> "SearchResult":
        return result(
            search_id, name, made_utc, words, task, searching.trials(), ended=searching.ended
        )

    def told(trial: "SearchTrial") -> None:
        teller.trial(trial, searching)
        searches.keep(found_so_far())

    searching = Searching(task, study, _runner(search_id, words, name, folder, read, teller), told)
    try:
        searching.go()
        found = found_so_far()
    finally:
        teller.end()
        close_study(study)
    searches.keep(found)
    if not found.trials:
        raise SubmeterError("no trial ended", remedy=f"submeter tune --resume {search_id}")
    failed = next((t for t in found.trials if t.default and t.state == "failed"), None)
    if searching.ended == FAILED_DEFAULT and failed is not None:
        raise SubmeterError(
            f"the default setting failed: {failed.why}", remedy=f"see {folder}/*.log"
        )
    _tell(found, as_json=as_json)
    return INTERRUPTED_EXIT if searching.ended == "interrupted" else 0


def _runner(
    search_id: str,
    words: Sequence[str],
    name: str,
    folder: Path,
    patterns: "dict[str, re.Pattern[str]]",
    teller: "_Teller",
) -> "RunOne":
    from submeter.reducing.spaces import command_of, written
    from submeter.running.trials import SoFar, last_words, metered, run_tagged

    def run_one(number: int, settings: "Mapping[str, Value]", goes_on: "GoesOn") -> "Outcome":
        teller.started(number)
        why: list[str] = [""]

        def watch(so_far: SoFar) -> bool:
            why[0] = goes_on(
                _node_j(so_far.run), so_far.run.duration_s, so_far.metrics, so_far.done_ratio
            )
            return not why[0]

        key = f"{search_id}/{number}-{time.time_ns()}"
        output = folder / f"{number:04}.log"
        try:
            trial = metered(
                command_of(words, settings), key=key, output=output, name=name or "tune",
                tags={"search": search_id, **{k: written(v) for k, v in settings.items()}},
                patterns=patterns, watch=watch,
            )  # fmt: skip
        except KeyboardInterrupt:  # what it used counts all the same
            return _outcome(run_tagged(key), {}, "interrupted", "")
        if trial.stopped:
            return _outcome(trial.run, trial.metrics, "stopped", why[0])
        failed = ""
        if trial.exit_code != 0:
            said = last_words(trial.output).splitlines()[-1:]
            failed = f"exit code {trial.exit_code}: {' '.join(said)}"
        failed = failed or _not_applied(trial.run, settings)
        return _outcome(trial.run, trial.metrics, "failed" if failed else "finished", failed)

    return run_one


def _not_applied(run: "Run | Missing", settings: "Mapping[str, Value]") -> str:
    """Which technique the program was told to use and did not; "" if it did."""
    from submeter.interfaces.reducing import APPLIED
    from submeter.records.figures import Missing
    from submeter.reducing.spaces import TECHNIQUE
    from submeter.reducing.techniques.chosen import OFF

    if isinstance(run, Missing):
        return ""
    turned = (
        n.removeprefix(TECHNIQUE) for n, v in settings.items() if v != OFF and TECHNIQUE in n
    )
    left = [n for n in turned if APPLIED + n not in run.parameters]
    if not left:
        return ""
    return f"{left[0]} was not applied: does it call submeter.reduce.from_environment(…)?"


def _outcome(
    run: "Run | Missing", metrics: "dict[str, float]", state: "TrialState", why: str
) -> "Outcome":
    """What a trial used and reached."""
    from submeter.records.amounts import Amount
    from submeter.records.figures import Figure, Missing
    from submeter.reducing.tuning import Outcome
    from submeter.running.reckoning import reckoned

    if isinstance(run, Missing):
        return Outcome(
            state=state, energy=run, node_j=0.0, duration_s=0.0, metrics=metrics, why=why
        )
    facility = reckoned(run).facility
    energy: Figure | Missing = facility.figure("J") if isinstance(facility, Amount) else facility
    return Outcome(
        state=state, energy=energy, node_j=_node_j(run), duration_s=run.duration_s,
        metrics=metrics, run=run.id, why=why,
    )  # fmt: skip


def _node_j(run: "Run") -> float:
    """Energy of the node so far [J]; 0 before anything is known."""
    from submeter.accounting.boundaries import footprint
    from submeter.records.amounts import Amount

    node = footprint(run, 1.0).node
    return node.value if isinstance(node, Amount) else 0.0


def _tell(found: "SearchResult", *, as_json: bool) -> None:
    from submeter.reporting.searches import search_document, search_words
    from submeter.reporting.words import to_json

    width = min(100, shutil.get_terminal_size((80, 24)).columns)
    click.echo(to_json(search_document(found)) if as_json else search_words(found, width))


def _prove(found: "SearchResult", *, as_json: bool) -> None:
    """Hand the default and the best setting over to ``submeter prove``."""
    from submeter.interfaces.cli.prove import prove
    from submeter.reducing.spaces import command_of

    default = next((t for t in found.trials if t.default), None)
    best = next((t for t in found.trials if t.number == found.best), None)
    if default is None or best is None or best is default:
        raise UsageError("there are no two settings to compare", remedy="submeter tune --show ID")
    words = [w for c in found.conditions for w in ("--keep", c)]
    a, b = (command_of(found.command, t.settings) for t in (default, best))
    words += ["--json"] if as_json else []
    prove.main([*words, "--", *a, "---", *b], standalone_mode=False)


class _Teller:
    """Says how far the search is: a line that changes on a terminal, a line a trial in a log."""

    def __init__(self, task: "Task", *, quiet: bool) -> None:
        self._task = task
        self._quiet = quiet or sys.stderr is None
        self._terminal = not self._quiet and sys.stderr.isatty()
        self._best = ""

    def started(self, number: int) -> None:
        """A trial began."""
        if self._terminal:
            done = _BAR * min(number, self._task.trials) // self._task.trials
            bar = "━" * done + "╸" * (done < _BAR) + " " * (_BAR - done - 1)
            sys.stderr.write(f"\r\x1b[Ktrial {number} of {self._task.trials} {bar}  {self._best}")
            sys.stderr.flush()

    def trial(self, trial: "SearchTrial", searching: "Searching") -> None:
        """A trial ended."""
        from submeter.reducing.findings import recommended
        from submeter.reporting.numbers import write
        from submeter.reporting.searches import trial_words

        best = recommended(searching.trials())
        if best is not None:
            self._best = f"least {write(best.energy)}"
        if not self._quiet and not self._terminal:
            click.echo(trial_words(trial), err=True)

    def end(self) -> None:
        """Take the line away."""
        if self._terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
