# SPDX-License-Identifier: Apache-2.0
"""``submeter list``."""

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import click
import msgspec

from submeter.errors import LedgerError
from submeter.interfaces.cli.keeping import at_the_wall, pairs, settle_first
from submeter.interfaces.cli.lookup import live_runs
from submeter.interfaces.cli.waiting import left_words, waiting_runs
from submeter.records.figures import Figure
from submeter.storing import places
from submeter.storing.documents import RunRow, order_key, row_of
from submeter.storing.ledger import LEDGER_FILE, open_ledger

STATUSES: Final = ("waiting", "running", "paused", "finished", "failed", "killed", "stopped")
ORIGINS: Final = ("measured", "predicted", "replayed", "published")
_MARKS: Final = {"measured": "", "derived": "", "modelled": " ~", "assumed": " ?"}
_LONGEST_NAME: Final = 20
_HEADS: Final = ("started (local)", "name", "status", "time", "node energy", "id")


class _Figures(msgspec.Struct):
    node: Figure


@click.command("list")
@click.option("-n", "--limit", type=click.IntRange(min=0), default=20, show_default=True,
              help="Show at most so many, the latest first.")  # fmt: skip
@click.option("--all", "show_all", is_flag=True, help="Show all.")
@click.option("--tag", "tags", multiple=True, callback=pairs, metavar="KEY=VALUE",
              help="Only runs with this tag; several must all fit.")  # fmt: skip
@click.option("--name", help="Only runs of this name.")
@click.option("--project", help="Only runs of this project.")
@click.option("--status", type=click.Choice(STATUSES), help="Only runs in this state.")
@click.option("--origin", type=click.Choice(ORIGINS), help="Only runs of this origin.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")
def list_runs(
    *,
    limit: int,
    show_all: bool,
    tags: dict[str, str],
    name: str | None,
    project: str | None,
    status: str | None,
    origin: str | None,
    as_json: bool,
) -> None:
    """List the runs, also those that go on or wait for their plan, the latest first.

    Times are local. What waits has the id of its plan.

    \b
    Examples:
      submeter list
      submeter list --tag lr=0.1 --status finished
      submeter list --all --json
    """  # noqa: D301  # \b keeps click from refilling the examples
    home = places.home()
    settle_first(home)
    wanted: dict[str, str | None] = {
        "name": name, "project": project, "status": status, "origin": origin,
    }  # fmt: skip
    rows: list[RunRow] = []
    latest = ""
    walls: dict[str, dict[str, object]] = {}
    with contextlib.ExitStack() as stack:
        ledger = None
        if (home / LEDGER_FILE).exists():
            ledger = stack.enter_context(open_ledger(home / LEDGER_FILE, create=False))
            rows = ledger.list(tags=tags, name=name, project=project, status=status, origin=origin)
            latest = max((row.started_utc for row in ledger.list(limit=1)), default="")
            if ledger.note:
                click.echo(ledger.note, err=True)
        live = {run.id: run for run in (*live_runs(home, ledger), *waiting_runs(home))}
        rows += [row for row in map(row_of, live.values()) if _fits(row, wanted, tags)]
        rows.sort(key=lambda row: (order_key(row.started_utc), row.id), reverse=True)
        shown = rows if show_all else rows[:limit]
        if as_json:
            walls = at_the_wall(ledger, shown, live)
    if as_json:
        from submeter.storing.tables import rows_json

        click.echo(rows_json(shown, walls))
        return
    if rows:
        if shown:
            click.echo(table(shown))
        if len(shown) < len(rows):
            click.echo(f"… {len(rows) - len(shown)} more: submeter list --all", err=True)
    elif latest:
        click.echo("no run fits", err=True)
    else:
        click.echo("no run yet  → submeter run -- python train.py", err=True)
    for words in left_words(home):
        click.echo(words, err=True)
    for other in places.other_homes():
        click.echo(elsewhere(other, since=latest), err=True, nl=False)


def _fits(row: RunRow, wanted: Mapping[str, str | None], tags: Mapping[str, str]) -> bool:
    """Whether a run that goes on is one of those asked for."""
    fields = all(word is None or getattr(row, key) == word for key, word in wanted.items())
    return fields and all(row.tags.get(key) == word for key, word in tags.items())


def table(rows: Iterable[RunRow]) -> str:
    """Table of *rows*, a line each, as wide as it has to be."""
    from submeter.reporting.numbers import write_instant
    from submeter.reporting.text import columns, cut, plain

    lines = [
        (
            write_instant(row.started_utc, zone=False),
            cut(plain(row.name) or "—", _LONGEST_NAME),
            row.status if row.origin == "measured" else row.origin,
            _took(row),
            _energy(row),
            row.id,
        )
        for row in rows
    ]
    widths = [max(columns(line[i]) for line in (_HEADS, *lines)) for i in range(len(_HEADS))]
    return "\n".join(
        "  ".join(c + " " * (w - columns(c)) for c, w in zip(line, widths, strict=True)).rstrip()
        for line in (_HEADS, *lines)
    )


def _took(row: RunRow) -> str:
    """How long the run was; a publication may not tell."""
    from submeter.reporting.numbers import MISSING, write_duration

    told = row.origin == "measured" or row.duration_s > 0
    return write_duration(row.duration_s) if told else MISSING


def _energy(row: RunRow) -> str:
    """Energy of the node with its mark; at least so much where a device is missing."""
    from submeter.reporting.numbers import write

    if row.node_j is None:
        return write(None)
    figure = msgspec.json.decode(row.figures, type=_Figures).node
    return f"{'≥ ' if row.incomplete else ''}{write(figure)}{_MARKS.get(row.basis, '')}"


def elsewhere(home: Path, *, since: str = "") -> str:
    """Line about runs that went to a place of need, "" unless one is later than *since*."""
    try:
        with open_ledger(home / LEDGER_FILE, create=False) as ledger:
            rows = ledger.list()
    except LedgerError:
        return ""
    if not rows or rows[0].started_utc <= since:
        return ""
    return f"{len(rows)} more in {home}: SUBMETER_HOME={home} submeter list\n"
