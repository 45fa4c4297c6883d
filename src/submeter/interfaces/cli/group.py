# SPDX-License-Identifier: Apache-2.0
"""The lazy group of verbs, and what starts it."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from submeter.interfaces.cli.failures import INTERRUPTED_EXIT, report_failure

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Verb(NamedTuple):
    """Where a verb lives, and its line in ``submeter --help``."""

    place: str  # module:command, below this package
    words: str
    section: str


_METER, _LESS, _LOOK, _KEEP, _SETUP = "Meter", "Use less", "Look", "Keep", "Set up"

VERBS: Final = {
    "run": Verb("run:run", "Meter a command: submeter run -- python train.py", _METER),
    "estimate": Verb("estimate:estimate", "Predict what a training will use.", _METER),
    "plan": Verb("plan:plan", "Say when and where a job brings least.", _METER),
    "prove": Verb("prove:prove", "Show that one way uses less than another.", _LESS),
    "tune": Verb("tune:tune", "Find settings that use less.", _LESS),
    "savings": Verb("prove:savings", "List the savings that were shown.", _LESS),
    "limits": Verb("limits:limits", "Show power limits of boards; put them back.", _LESS),
    "techniques": Verb("techniques:techniques", "List ways to use less, and explain one.", _LESS),
    "list": Verb("list:list_runs", "List the runs in the ledger.", _LOOK),
    "show": Verb("show:show", "Show what a run used, and how sure that is.", _LOOK),
    "explain": Verb("explain:explain", "Say why a run used so much, and what to try.", _LOOK),
    "report": Verb("report:report", "Write what a run used as a document.", _LOOK),
    "compare": Verb("compare:compare", "Show what changed between runs, and what it did.", _LOOK),
    "factors": Verb("factors:factors", "Show where any number comes from.", _LOOK),
    "replay": Verb("replay:replay", "Reckon a run over another place or time.", _LOOK),
    "grid": Verb("grid:grid", "Show the carbon intensity of a zone over time.", _LOOK),
    "tag": Verb("tag:tag", "Add or remove tags of a run.", _KEEP),
    "rm": Verb("rm:rm", "Remove runs and their journals.", _KEEP),
    "export": Verb("export:export", "Write runs to one archive file.", _KEEP),
    "claim": Verb("claim:claim", "Check a public claim; keep certificates.", _KEEP),
    "import": Verb("import_:import_runs", "Read runs from an archive file.", _KEEP),
    "doctor": Verb(
        "doctor:doctor", "Say what can be measured here, and how to open more.", _SETUP
    ),
    "sensors": Verb("sensors:sensors", "Read each sensor of this machine once.", _SETUP),
    "config": Verb("config:config", "Show or set settings, with their origin.", _SETUP),
    "completion": Verb("completion:completion", "Print completion for a shell.", _SETUP),
    "help": Verb("help:help_", "Show the help of a verb.", _SETUP),
}

# What people guess, each with the verb that they mean.
ALIASES: Final = {
    "ls": "list",
    "runs": "list",
    "history": "list",
    "summary": "show",
    "remove": "rm",
    "delete": "rm",
    "check": "doctor",
    "sensor": "sensors",
    "factor": "factors",
    "catalog": "factors",
    "settings": "config",
    "exec": "run",
    "predict": "estimate",
    "why": "explain",
    "schedule": "plan",
    "when": "plan",
    "diff": "compare",
}

# They say what was left, or need nothing of the home.
_RESTORE_NOTHING: Final = frozenset({"limits", "help", "completion"})

COMPLETE: Final = "_SUBMETER_COMPLETE"  # set by the shell's completion

HELP: Final = """Meter the energy of AI training.

\b
  submeter run -- python train.py    meter a training
  submeter show                      what the last run used, how surely
  submeter doctor                    what can be measured on this machine
"""


class LazyGroup(click.Group):
    """A group that imports a verb's module only when that verb is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in the order of the map."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import *cmd_name*, or the verb that it is an alias of."""
        del ctx
        verb = VERBS.get(ALIASES.get(cmd_name, cmd_name))
        if verb is None:
            return None
        module, _, name = verb.place.partition(":")
        command: click.Command = getattr(import_module(f"{__package__}.{module}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; an unknown one names the nearest that exists."""
        from submeter.errors import UsageError

        asked = args[0]
        command = self.get_command(ctx, asked)
        if command is None and not asked.startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(asked, [*VERBS, *ALIASES], n=1)
            best = ALIASES.get(near[0], near[0]) if near else "--help"
            raise UsageError(f"there is no verb “{asked}”", remedy=f"submeter {best}")
        name, found, rest = super().resolve_command(ctx, args)
        return (ALIASES.get(name, name) if name else name), found, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs by section without importing them."""
        del ctx
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, verb in VERBS.items():
            sections.setdefault(verb.section, []).append((name, verb.words))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl(rows, col_max=14)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list["CompletionItem"]:
        """Complete verbs from the map, options as usual."""
        from click.shell_completion import CompletionItem

        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [
            CompletionItem(n, help=v.words) for n, v in VERBS.items() if n.startswith(incomplete)
        ]


def _version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:  # noqa: FBT001
    if not wanted or ctx.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version  # 35 ms: only when asked

    try:
        number = version("submeter")
    except PackageNotFoundError:
        number = "(not installed)"
    click.echo(f"submeter {number}")
    ctx.exit()


@click.group(cls=LazyGroup, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option(
    "--version",
    "-V",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version.",
)
def submeter(*, debug: bool) -> None:
    """Meter the energy of AI training."""
    del debug  # read by main(), which outlives the context


def _restore_limits(verb: str) -> None:
    """Put back the limits of boards that a crash has left; usually that is one look for a file."""
    if verb in _RESTORE_NOTHING:
        return
    from pathlib import Path

    from submeter.storing.places import home

    try:
        folder = home() / "limits"  # as in submeter.reducing.actuators.intents
        if not any(Path(name).suffix == ".intents" for name in os.listdir(folder)):  # noqa: PTH208
            return
    except OSError:
        return
    from submeter.reducing.actuators.restoring import restore_left
    from submeter.storing.wording import safe_text

    try:
        rows = restore_left(folder.parent)
    except Exception as exc:  # noqa: BLE001  # the verb is what was asked for
        click.echo(f"submeter: limits were not restored: {safe_text(str(exc))}", err=True)
        return
    for row in rows:
        if row.how != "as before":
            words = f"left by a crash, {row.how}: {safe_text(row.words)}"
            click.echo(f"submeter: limit of {safe_text(row.name)}, {words}", err=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    argv
        Arguments without the program's name; those of the process if None.
    """
    code = _main(argv)
    if argv is None:
        _leave_threads(code)
    return code


def _leave_threads(code: int) -> None:
    """End the process at once if somebody's module left threads that it would wait for.

    Only a model that is counted runs code of others inside this process.
    """
    import threading

    left = [t for t in threading.enumerate() if t is not threading.main_thread() and not t.daemon]
    if not left or "estimate" not in sys.argv:
        return
    sys.stdout.flush()
    click.echo(f"submeter: a thread of the model still runs, {left[0].name}: left", err=True)
    sys.stderr.flush()
    os._exit(code)


def _main(argv: Sequence[str] | None) -> int:
    """Run the command line, and tell what fails in two lines."""
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        # A terminal without ± and – still gets its numbers.
        sys.stdout.reconfigure(errors="replace")
    args = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    own = args[: next((i for i, a in enumerate(args) if not a.startswith("-")), len(args))]
    debug = "--debug" in own or bool(os.environ.get("SUBMETER_DEBUG"))
    try:
        wanted = os.environ.get(COMPLETE)
        if wanted:
            from click.shell_completion import shell_complete

            return shell_complete(submeter, {}, "submeter", COMPLETE, wanted)
        if args[len(own) :]:
            _restore_limits(args[len(own)])
        # Not submeter.main(): that has its own words for an interrupt and a broken pipe.
        with submeter.make_context("submeter", args) as ctx:
            returned = submeter.invoke(ctx)
        sys.stdout.flush()
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT
    except Exception as exc:  # noqa: BLE001  # the border to a person: two lines, no traceback
        return report_failure(exc, debug=debug)
    return returned if isinstance(returned, int) else 0
