# SPDX-License-Identifier: Apache-2.0
"""``submeter show [RUN]``."""

import os
import shutil
from typing import TYPE_CHECKING, Any

import click

from submeter.errors import LedgerError, UsageError
from submeter.interfaces.cli.lookup import complete_run, look_up
from submeter.interfaces.cli.replay import tell
from submeter.interfaces.cli.what_if import asked_of, what_if_options
from submeter.records.footprints import Footprint
from submeter.reporting.tables import WAYS, details
from submeter.reporting.words import only, run_document, to_json

if TYPE_CHECKING:
    from submeter.running.watching import View


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
@click.option("--live", is_flag=True, help="Ask the provider that is set for those hours.")
@what_if_options
def show(run: str, *, as_json: bool, by: tuple[str, ...], live: bool, **given: Any) -> None:
    """Show what RUN used, and how sure that is.

    RUN is an id or its beginning, a name (its latest run), last, or last~2 for the one two before
    it. A run that still goes on is shown as far as it is known. With another zone, time or
    facility it is shown beside what it would amount to there.

    \b
    Examples:
      submeter show
      submeter show digits --by phase
      submeter show last~1 --json
      submeter show last --zone SE --cooling immersion
    """  # noqa: D301  # \b keeps click from refilling the examples
    from submeter.reporting.carried import carried_document, carried_words
    from submeter.running.carried import carried_out
    from submeter.running.reckoning import reckoned
    from submeter.settings import load
    from submeter.storing.places import home

    asked = asked_of(given)
    settings = load().settings  # what is wrong in the settings is said here, too
    provider = settings.provider if live else ""
    if live and not provider:
        raise UsageError(
            "no provider of grid data is set",
            remedy="submeter config set provider uk-carbon-intensity",
        )
    found = look_up(run)
    if asked:
        tell(found.run, asked, as_json=as_json, provider=provider)
        return
    amount = reckoned(found.run, provider=provider)
    carried = carried_out(found.run, amount, home(), provider)
    view = forecast_of(found.run.id) if found.live else None
    if as_json:
        document = run_document(found.run, amount)
        if carried is not None:
            document["plan"] = carried_document(carried, found.run)
        if view is not None:
            from submeter.reporting.remaining import forecast_document

            document["forecast"] = forecast_document(view)
        click.echo(to_json(document if by == WAYS else only(document, by)))
        return
    width = min(100, shutil.get_terminal_size((80, 24)).columns)
    width = max(width, 60)
    plan = () if carried is None else carried_words(carried, width)
    said = details(found.run, amount, by=by, width=width, plan=plan)
    first, _, others = said.partition("\n")
    # click takes the style away again where stdout is no terminal.
    bare = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    click.echo(first if bare else click.style(first, bold=True))
    if view is not None and isinstance(view.ahead, Footprint):
        from submeter.reporting.remaining import forecast_line

        click.echo(f"  forecast  {forecast_line(view, width - 12)}")
    click.echo(others)


def forecast_of(run_id: str) -> "View | None":
    """What is forecast of a run that goes on; None if nothing can be read of it."""
    from submeter.running.progress import followed
    from submeter.running.watching import view_of
    from submeter.storing.places import home, run_folder

    try:
        return view_of(followed(run_folder(home(), run_id)))
    except (LedgerError, OSError):
        return None
