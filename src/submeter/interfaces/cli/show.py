# SPDX-License-Identifier: Apache-2.0
"""``submeter show [RUN]``."""

import os
import shutil

import click

from submeter.errors import UsageError
from submeter.interfaces.cli.lookup import complete_run, look_up
from submeter.reporting.tables import WAYS, details
from submeter.reporting.words import only, run_document, to_json


def _ways(_ctx: click.Context, _param: click.Parameter, given: str | None) -> tuple[str, ...]:
    """Check the words of ``--by``."""
    if given is None:
        return WAYS
    asked = tuple(dict.fromkeys(w.strip() for w in given.split(",") if w.strip()))
    wrong = [w for w in asked if w not in WAYS]
    if wrong or not asked:
        raise UsageError(
            f"“{wrong[0] if wrong else given}” is no way to split a run",
            remedy=f"submeter show --by {','.join(WAYS)}",
        )
    return asked


@click.command("show")
@click.argument("run", default="last", shell_complete=complete_run)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")
@click.option(
    "--by",
    callback=_ways,
    metavar="WAYS",
    help="Split by device, phase, rank or metric only; several with commas.",
)
@click.option("--pue", type=float, metavar="RATIO", help="Reckon with this PUE, only for now.")
def show(run: str, *, as_json: bool, by: tuple[str, ...], pue: float | None) -> None:
    """Show what RUN used, and how sure that is.

    RUN is an id or its beginning, a name (its latest run), last, or last~2 for the one two before
    it. A run that still goes on is shown as far as it is known.

    \b
    Examples:
      submeter show
      submeter show digits --by phase
      submeter show last~1 --json
      submeter show last --pue 1.2
    """  # noqa: D301  # \b keeps click from refilling the examples
    from submeter.accounting.overhead import reckoned
    from submeter.settings import load
    from submeter.settings.rules import accept

    if pue is not None:
        accept("pue", pue)
    load()  # what is wrong in the settings is said here, too
    found = look_up(run)
    amount = reckoned(found.run, pue)
    if as_json:
        document = run_document(found.run, amount)
        click.echo(to_json(document if by == WAYS else only(document, by)))
        return
    width = min(100, shutil.get_terminal_size((80, 24)).columns)
    first, _, others = details(found.run, amount, by=by, width=max(width, 60)).partition("\n")
    # click takes the style away again where stdout is no terminal.
    bare = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    click.echo(first if bare else click.style(first, bold=True))
    click.echo(others)
