# SPDX-License-Identifier: Apache-2.0
"""``submeter rm RUN…``."""

import shutil
import sys
from pathlib import Path

import click

from submeter.errors import LedgerError, RunNotFoundError, UsageError
from submeter.interfaces.cli.keeping import called, ledger_at_hand, write_size
from submeter.interfaces.cli.lookup import complete_run
from submeter.storing import places
from submeter.storing.documents import check_id
from submeter.storing.ledger import Ledger


@click.command("rm")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=complete_run)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
def rm(runs: tuple[str, ...], *, yes: bool, dry_run: bool) -> None:
    """Remove RUNs from the ledger, with their journals.

    There is no way back but an archive made before: submeter export RUN.

    \b
    Examples:
      submeter rm last
      submeter rm 20261123-142501-3f9a digits --yes
    """  # noqa: D301  # \b keeps click from refilling the examples
    with ledger_at_hand(runs) as ledger:
        # All are found before the first one goes, so that last, last~1 mean what they say.
        found = dict.fromkeys(_find(ledger, ref) for ref in runs)
        sizes = {run_id: _size_bytes(places.run_folder(ledger.home, run_id)) for run_id in found}
        lines = [f"{_called(ledger, i)}, {write_size(size)}" for i, size in sizes.items()]
        if dry_run:
            click.echo("\n".join(f"would remove {line}" for line in lines))
            return
        if not yes:
            _confirm(lines)
        for run_id, line in zip(sizes, lines, strict=True):
            if ledger.has(run_id):
                ledger.remove(run_id)
            else:
                shutil.rmtree(places.run_folder(ledger.home, run_id))
            click.echo(f"removed {line}")


def _find(ledger: Ledger, ref: str) -> str:
    """Id of a run in the ledger, or of a folder that nothing could be settled from."""
    try:
        return ledger.find(ref)
    except RunNotFoundError:
        from submeter.running.recovery import is_over

        try:
            folder = places.run_folder(ledger.home, check_id(ref))
        except LedgerError:
            folder = None
        if folder is None or not folder.is_dir() or folder.is_symlink():
            raise
        if not is_over(folder):
            raise LedgerError(
                f"run {ref} is still being metered", remedy="stop it first, then remove it"
            ) from None
        return ref


def _called(ledger: Ledger, run_id: str) -> str:
    if not ledger.has(run_id):
        return f"{run_id} (not settled)"
    try:
        return called(ledger.get(run_id))
    except LedgerError:
        return f"{run_id} (damaged)"


def _confirm(lines: list[str]) -> None:
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to be asked whether runs may go", remedy="add --yes")
    click.echo("\n".join(lines), err=True)
    what = "this run" if len(lines) == 1 else f"these {len(lines)} runs"
    click.confirm(f"Remove {what} for good?", abort=True, err=True)


def _size_bytes(folder: Path) -> int:
    if folder.is_symlink() or not folder.is_dir():
        return 0
    return sum(f.lstat().st_size for f in folder.rglob("*") if not f.is_dir())
