# SPDX-License-Identifier: Apache-2.0
"""``submeter replay RUN``: the same energy in another place, time or facility."""

from typing import TYPE_CHECKING, Any

import click

from submeter.errors import UsageError
from submeter.interfaces.cli.lookup import complete_run, look_up
from submeter.interfaces.cli.what_if import asked_of, what_if_options

if TYPE_CHECKING:
    from submeter.circumstances.reckoning import Asked
    from submeter.records.runs import Run


@click.command("replay")
@click.argument("run", default="last", shell_complete=complete_run)
@what_if_options
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")
@click.option("--save", metavar="NAME", help="Keep the replayed run in the ledger as NAME.")
def replay(run: str, *, as_json: bool, save: str | None, **given: Any) -> None:
    """Reckon the measured energy of RUN over another place, time or facility.

    What was drawn when stays as it was measured; what the grid and the facility bring with it is
    that of the place and time asked for. Shown side by side with the run as it was.

    \b
    Examples:
      submeter replay last --zone SE
      submeter replay digits --zone SE --zone PL --zone us-west-2
      submeter replay last --at "2026-01-10 02:00" --pue 1.1
      submeter replay last --zone SE --cooling immersion --save in-sweden
    """  # noqa: D301  # \b keeps click from refilling the examples
    asked = asked_of(given)
    if not asked:
        raise UsageError(
            "nothing is asked for that differs from the run", remedy="submeter replay --zone SE"
        )
    found = look_up(run).run
    if save is not None and len(asked) > 1:
        raise UsageError("several zones make no one run", remedy="submeter replay with one --zone")
    kept = _save(found, asked[0][1], save) if save is not None else ""  # before anything is said
    tell(found, asked, as_json=as_json)
    if kept:
        click.echo(f"kept as {kept}", err=True)
        click.echo(f"undo: submeter rm {kept} --yes", err=True)


def tell(
    run: "Run", asked: "list[tuple[str, Asked]]", *, as_json: bool, provider: str = ""
) -> None:
    """Write *run* as it was beside what is *asked*."""
    import shutil

    from submeter.reporting.replays import replay_document, replay_words
    from submeter.reporting.words import to_json
    from submeter.running.reckoning import reckoned

    here = reckoned(run, provider=provider)
    there = [(name, reckoned(run, question, provider=provider)) for name, question in asked]
    if as_json:
        click.echo(to_json(replay_document(run, here, there)))
        return
    width = max(60, min(120, shutil.get_terminal_size((80, 24)).columns))
    click.echo(replay_words(run, here, there, width))


def _save(run: "Run", question: "Asked", name: str) -> str:
    """Put the replayed run into the ledger, and give its id."""
    import time

    from submeter.circumstances.reckoning import replayed
    from submeter.storing.documents import check_name
    from submeter.storing.ledger import open_ledger
    from submeter.storing.places import new_run_id

    check_name(name, "submeter replay --save in-sweden")
    made = replayed(run, question, run_id=new_run_id(time.time_ns()), name=name)
    with open_ledger() as ledger:
        ledger.put(made)
    return str(made.id)
