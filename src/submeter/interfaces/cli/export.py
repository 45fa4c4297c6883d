# SPDX-License-Identifier: Apache-2.0
"""``submeter export RUN…``."""

from pathlib import Path

import click

from submeter.errors import LedgerError, UsageError
from submeter.interfaces.cli.keeping import at_the_wall, ledger_at_hand, write_size
from submeter.interfaces.cli.lookup import complete_run
from submeter.storing.ledger import Ledger


@click.command("export")
@click.argument("runs", nargs=-1, metavar="[RUN]...", shell_complete=complete_run)
@click.option("--all", "take_all", is_flag=True, help="Take all runs.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="File to write.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["archive", "csv", "json"]),
    help="Whole runs in one archive (default), or their totals; by the ending of --out.",
)
@click.option("--no-journal", is_flag=True, help="Leave raw readings out of the archive.")
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
def export(
    runs: tuple[str, ...],
    *,
    take_all: bool,
    out: Path | None,
    form: str | None,
    no_journal: bool,
    force: bool,
) -> None:
    """Write RUNs to one archive file, or their totals as CSV or JSON.

    \b
    Examples:
      submeter export last                          cluster: one file …
      submeter import submeter-20261123-….tar.gz    … laptop: read it
      submeter export --all --format csv > runs.csv
    """  # noqa: D301  # \b keeps click from refilling the examples
    if not runs and not take_all:
        raise UsageError("no run is named", remedy="submeter export last, or --all")
    form = form or {".csv": "csv", ".json": "json"}.get(out.suffix if out else "", "archive")
    with ledger_at_hand(runs) as ledger:
        ids = [r.id for r in ledger.list()] if take_all else [ledger.find(r) for r in runs]
        if form != "archive":
            _write_totals(ledger, ids, form, out, force=force)
            return
        from submeter.storing.exchange import export_runs

        out = out or Path(f"submeter-{ids[0] if len(ids) == 1 else f'{len(ids)}-runs'}.tar.gz")
        done = export_runs(ids, out, ledger=ledger, force=force, journals=not no_journal)
    many = "1 run" if len(done.runs) == 1 else f"{len(done.runs)} runs"
    click.echo(done.path)
    click.echo(f"{many}, {write_size(done.bytes)}  → submeter import {done.path.name}", err=True)
    for name in done.left_out:
        click.echo(f"left out: {name} (not a plain file)", err=True)


def _write_totals(
    ledger: Ledger, ids: list[str], form: str, out: Path | None, *, force: bool
) -> None:
    from submeter.storing.folders import write_whole
    from submeter.storing.tables import rows_csv, rows_json

    by_id = {row.id: row for row in ledger.list()}
    rows = [by_id[run_id] for run_id in dict.fromkeys(ids)]
    walls = at_the_wall(ledger, rows)
    content = rows_csv(rows, walls).encode() if form == "csv" else rows_json(rows, walls) + b"\n"
    if out is None:
        click.echo(content, nl=False)
        return
    if out.exists() and not force:
        raise UsageError(f"{out} is there already", remedy="--force, or another name")
    try:
        write_whole(out, content)
    except OSError as exc:
        raise LedgerError(
            f"{out} cannot be written: {exc.strerror or exc}", remedy="choose another place"
        ) from exc
    click.echo(out)
