# SPDX-License-Identifier: Apache-2.0
"""``submeter import FILE…``."""

from pathlib import Path

import click

from submeter.interfaces.cli.keeping import called
from submeter.records.runs import Run
from submeter.storing import places
from submeter.storing.exchange import OnConflict, import_archive
from submeter.storing.ledger import LEDGER_FILE, open_ledger


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--on-conflict",
    type=click.Choice(["refuse", "keep", "replace"]),
    default="refuse",
    show_default=True,
    help="What to do with a run that is here with another content.",
)
def import_runs(files: tuple[Path, ...], *, on_conflict: OnConflict) -> None:
    """Read runs from archives that submeter export has written.

    Ids stay as they are; what is here already changes nothing.

    \b
    Examples:
      submeter import runs.tar.gz
      submeter import runs.tar.gz --on-conflict replace
    """  # noqa: D301  # \b keeps click from refilling the examples
    home, elsewhere = places.writable_home()
    if elsewhere:
        click.echo(elsewhere, err=True)
    with open_ledger(home / LEDGER_FILE) as ledger:
        for file in files:
            done = import_archive(file, ledger=ledger, on_conflict=on_conflict)
            by_id: dict[str, Run] = {run.id: run for run in done.runs}
            for what, ids in (("imported", done.new), ("replaced", done.replaced)):
                for run_id in ids:
                    click.echo(f"{what} {called(by_id[run_id])}")
            for what, ids in (("here already", done.known), ("ours kept", done.kept)):
                if ids:
                    click.echo(f"{what}: {', '.join(ids)}", err=True)
