# SPDX-License-Identifier: Apache-2.0
"""``submeter estimate --probe 30s -- CMD``: run the real job briefly, and predict the whole."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from click.core import ParameterSource

from submeter.errors import CoverageError, UsageError
from submeter.interfaces.cli.run_budget import Screen, count_of

if TYPE_CHECKING:
    from submeter.running.launcher import Outcome
    from submeter.running.progress import Following
    from submeter.running.watching import View

__all__ = ["ProbingCommand", "probe", "probe_options"]

F = TypeVar("F", bound=Callable[..., Any])

PROBE_VARIABLE: Final = "SUBMETER_PROBE"  # tells the program that this is one, and how long
_COMMAND: Final = "submeter probed command"
_EXAMPLE: Final = "submeter estimate --probe 30s -- python train.py"
_LEAST_S: Final = 2.0
_NEEDS: Final = "log its steps: submeter.log(step=…, total_steps=…); or --steps COUNT"
_UNITS: Final = {"steps": "steps", "tokens": "tokens", "images": "samples"}
_HEEDED: Final = frozenset(
    {*_UNITS, "probe_s", "probe_steps", "epochs", "zone", "region", "save", "as_json"}
)


class ProbingCommand(click.Command):
    """A command that may be followed by another one behind ``--``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what stands behind ``--`` for the probe."""
        if "--" in args:
            at = args.index("--")
            ctx.meta[_COMMAND] = args[at + 1 :]
            args = args[:at]
        return super().parse_args(ctx, args)


def probe_options(command: F) -> F:
    """Add the options of a probe to *command*; those that it has already are left."""
    known = {param.name for param in getattr(command, "__click_params__", ())}
    option = click.option(
        "--probe", "probe_s", metavar="TIME", help="Run the real command for so long: 30s."
    )
    if "steps" not in known:
        steps = click.option(
            "--steps", "probe_steps", metavar="COUNT", help="Steps of the whole of a probe."
        )
        command = steps(command)
    return option(command)


def probed_command() -> list[str]:
    """What stands behind ``--``."""
    found = click.get_current_context().meta.get(_COMMAND)
    return list(found or ())


def refuse_beside_probe() -> None:
    """Refuse options that say nothing of a probe, instead of passing over them.

    Raises
    ------
    UsageError
        If one was typed.
    """
    context = click.get_current_context()
    for param in context.command.params:
        typed = context.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE
        if typed and isinstance(param, click.Option) and param.name not in _HEEDED:
            raise UsageError(
                f"{param.opts[0]} says nothing of a probe",
                remedy="leave it out, or describe the training instead of probing it",
            )


def probe(length: str, given: Mapping[str, Any], *, as_json: bool, save: str | None) -> None:
    """Probe the command behind ``--`` and say what the whole of it will use.

    Raises
    ------
    UsageError
        If there is no command, or the options make no sense with one.
    CoverageError
        If what was seen does not suffice.
    """
    from submeter.planning.words import duration_s

    argv = probed_command()
    length_s = duration_s(length, "length of a probe")
    if not argv:
        raise UsageError("there is no command to probe", remedy=_EXAMPLE)
    if length_s < _LEAST_S:
        raise UsageError(f"{length} is too short to see a step", remedy=_EXAMPLE)
    unit, total = _asked(given)
    if zone := given.get("zone") or given.get("region"):
        from submeter.grid.place import resolve_place

        resolve_place(argument=str(zone))  # before it runs: a record may be forgiven, a wish not
    outcome = _run(argv, length_s, given, quiet=as_json)
    view = _view(outcome, unit, total, given.get("epochs"))
    from submeter.records.figures import Missing
    from submeter.reporting.remaining import probe_document, probe_words

    if isinstance(view.ahead, Missing) or isinstance(view.whole, Missing):
        why = view.ahead.why if isinstance(view.ahead, Missing) else "nothing is known"
        raise CoverageError(f"the probe does not tell the whole: {why}", remedy=_NEEDS)
    if save is not None:
        from submeter.storing.ledger import open_ledger

        with open_ledger() as ledger:
            ledger.put(view.whole)
    if as_json:
        from submeter.reporting.words import to_json

        click.echo(to_json(probe_document(view)))
    else:
        import shutil

        width = max(60, min(100, shutil.get_terminal_size((80, 24)).columns))
        click.echo(probe_words(view, width))
        click.echo(f"  → what the probe itself used: submeter show {outcome.run_id}")
    if save is not None:
        click.echo(f"kept as {view.whole.id}", err=True)
        click.echo(f"undo: submeter rm {view.whole.id}", err=True)


def _asked(given: Mapping[str, Any]) -> tuple[str, float | None]:
    """In what the way is counted, and how long the whole is if that is said."""
    given = {**given, "steps": given.get("steps") or given.get("probe_steps")}
    said = [name for name in _UNITS if given.get(name) not in (None, "")]
    if len(said) > 1:
        raise UsageError("the whole is said in two units", remedy="give one of them")
    if not said:
        return "steps", None
    name = said[0]
    return _UNITS[name], count_of(str(given[name]), f"--{name}")


def _run(
    argv: Sequence[str], length_s: float, given: Mapping[str, Any], *, quiet: bool
) -> "Outcome":
    """Run *argv* for so long under the meter; what it writes goes to stderr."""
    from submeter.interfaces.cli.run import default_name
    from submeter.running.joined import RUN_VARIABLE, is_open
    from submeter.running.launcher import NOT_FOUND, run_command
    from submeter.running.watching import Probe, Watch

    outer = os.environ.get(RUN_VARIABLE)
    if outer and is_open(Path(outer)):
        raise UsageError("a probe is no part of another run", remedy=_EXAMPLE)
    screen = Screen()
    watch = Watch(screen.tell, probe=Probe(length_s))
    click.echo(f"submeter: probing for {length_s:g} s, then it is stopped with SIGTERM", err=True)
    zone = given.get("zone") or given.get("region")
    with _output_to_stderr(), _probed(length_s):
        outcome = run_command(
            list(argv),
            name=default_name(argv),
            tags={"probe": f"{length_s:g}s"},
            zone=zone,
            attendant=watch,
        )
    if not outcome.run_id:
        if outcome.notes:
            raise CoverageError(outcome.notes[0], remedy="submeter doctor")
        what = "not found" if outcome.exit_code == NOT_FOUND else "not executable"
        raise UsageError(f"{argv[0]}: {what}", remedy="check its path")
    if not watch.stopped and outcome.exit_code:
        raise CoverageError(
            f"the command failed with exit code {outcome.exit_code} while it was probed",
            remedy=f"submeter show {outcome.run_id}",
        )
    how = "stopped" if watch.stopped else "it ended by itself"
    if not quiet:
        click.echo(f"submeter: {how}; files that it wrote are left as they are", err=True)
    return outcome


def _view(outcome: "Outcome", unit: str, total: float | None, epochs: object) -> "View":
    """What the run of the probe tells of the whole."""
    from submeter.running.progress import followed
    from submeter.running.watching import view_of
    from submeter.storing.places import new_run_id

    assert outcome.folder is not None  # noqa: S101
    progress = followed(outcome.folder, unit)
    if total is None and epochs not in (None, ""):
        total = _of_epochs(progress, str(epochs))
    import time

    return view_of(progress, total, run_id=new_run_id(time.time_ns()), over=True)


def _of_epochs(progress: "Following", words: str) -> float:
    """Steps of so many epochs, of which one was seen from its beginning to its end."""
    epochs = count_of(words, "--epochs")
    if progress.by_epochs:
        return epochs
    steps = progress.steps
    if steps is None or steps.per_epoch is None:
        raise CoverageError(
            "the probe saw no epoch end",
            remedy="a longer --probe with submeter.log(step=…, epoch=…), or --steps COUNT",
        )
    return epochs * steps.per_epoch


@contextlib.contextmanager
def _output_to_stderr() -> Iterator[None]:
    """Let what the command writes to stdout go to stderr: stdout is for the prediction."""
    sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:  # there is none
        yield
        return
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


@contextlib.contextmanager
def _probed(length_s: float) -> Iterator[None]:
    """Tell the command by its environment that it is probed."""
    before = os.environ.get(PROBE_VARIABLE)
    os.environ[PROBE_VARIABLE] = f"{length_s:g}"
    try:
        yield
    finally:
        if before is None:
            del os.environ[PROBE_VARIABLE]
        else:
            os.environ[PROBE_VARIABLE] = before
