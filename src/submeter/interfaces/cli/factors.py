# SPDX-License-Identifier: Apache-2.0
"""``submeter factors QUERY``: where any number comes from, and whether yours are in order."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from submeter.errors import CoverageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from submeter.catalog.declaring import Checked
    from submeter.catalog.factors import Source
    from submeter.catalog.searching import Hit

SHOWN: Final = 8
SHOWN_IN_TABLE: Final = 30
SHOWN_PROBLEMS: Final = 50
_PROBLEMS_EXIT: Final = 2


@click.command("factors")
@click.argument("query", nargs=-1)
@click.option("--table", "as_table", is_flag=True, help="Show a table, a line for each row.")
@click.option("-n", "--limit", type=click.IntRange(min=1), help="Show at most so many.")
@click.option("--all", "show_all", is_flag=True, help="Show all that was found.")
@click.option("--check", is_flag=True, help="Check factors of your own, in settings or FILEs.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")
@click.pass_context
def factors(
    ctx: click.Context,
    query: tuple[str, ...],
    *,
    as_table: bool,
    limit: int | None,
    show_all: bool,
    check: bool,
    as_json: bool,
) -> None:
    """Show where any number of the catalog comes from.

    QUERY is some words, all of which a row must hold: of its id, the names of its place, device
    and quantity (germany, carbon intensity, price), unit, note or source. An exact id shows
    everything about that row. With --check, QUERY names files to be checked; else those of your
    settings are.

    \b
    Examples:
      submeter factors carbon intensity germany
      submeter factors grid/DE/td_loss_ratio
      submeter factors pue aws --table
      submeter factors --check my-factors.csv
    """  # noqa: D301  # \b keeps click from refilling the examples
    if check:
        ctx.exit(_check(query, as_json=as_json))
    from submeter.catalog.declaring import declared_overrides
    from submeter.catalog.overlay import use_overrides
    from submeter.settings import load

    with use_overrides(declared_overrides(load().declared)):
        if not query:
            _overview(as_json=as_json)
            return
        most = limit or (SHOWN_IN_TABLE if as_table else SHOWN)
        _show(query, most=None if show_all else most, as_table=as_table, as_json=as_json)


def _show(query: "Sequence[str]", *, most: int | None, as_table: bool, as_json: bool) -> None:
    """Print what *query* finds, at most so many rows."""
    from submeter.catalog.searching import exactly, search
    from submeter.reporting.factors import factor_blocks, factor_table, factors_document
    from submeter.reporting.words import to_json

    exact = exactly(query[0].strip()) if len(query) == 1 else None
    found = [exact.ident] if exact is not None else search(" ".join(query).split())
    if not found:
        raise _nothing(query)
    shown = [hit for hit in map(exactly, found[:most]) if hit is not None]
    more = len(found) - len(shown)
    if as_json:
        click.echo(to_json(factors_document(shown, _sources(shown), more=more)))
        return
    width = max(60, min(100, shutil.get_terminal_size((80, 24)).columns))
    if as_table:
        click.echo(factor_table(shown, width))
    elif len(found) == 1:
        click.echo(_details(shown[0], width))
    else:
        click.echo(factor_blocks(shown, width))
    if more:
        click.echo(f"… and {more} more: narrow it, or --all", err=True)


def _details(hit: "Hit", width: int) -> str:
    from submeter.catalog.searching import past_of, sources_of
    from submeter.reporting.factors import factor_details

    declared = hit.factor is not None and hit.factor.verified == "declared"
    sources = () if declared else sources_of(hit.ident)
    return factor_details(hit, sources, past_of(hit.ident), width)


def _sources(hits: "Sequence[Hit]") -> tuple["Source", ...]:
    from submeter.catalog.searching import sources_of

    found = {one.key: one for hit in hits for one in sources_of(hit.ident)}
    return tuple(found.values())


def _nothing(query: "Sequence[str]") -> CoverageError:
    from submeter.catalog.searching import nearby

    alike = nearby(query)
    return CoverageError(
        f"no factor and no source holds “{' '.join(query)[:120]}”",
        remedy=f"submeter factors {alike[0]}  (near: {', '.join(alike)})"
        if alike
        else "submeter factors shows what there is",
    )


def _overview(*, as_json: bool) -> None:
    """Print the tables there are, with their size."""
    from submeter.catalog.searching import sizes
    from submeter.reporting.text import table
    from submeter.reporting.words import to_json

    rows = sizes()
    if as_json:
        click.echo(to_json({"schema": 1, "tables": [{"name": n, "rows": c} for n, c in rows]}))
        return
    click.echo("\n".join(table([("table", "rows"), *((n, str(c)) for n, c in rows)], right=(1,))))
    click.echo("submeter factors germany lifecycle  finds rows by their words", err=True)


def _check(files: "Sequence[str]", *, as_json: bool) -> int:
    """Check *files*, or what the settings declare, and return the exit code."""
    from submeter.reporting.text import plain
    from submeter.reporting.words import to_json

    found = [_checked(Path(name)) for name in files] if files else [_checked(None)]
    problems = [problem for one in found for problem in one.problems]
    count = sum(len(one.overrides.factors) for one in found)
    if as_json:
        rows = [{"place": p.place, "what": p.what, "allowed": p.allowed} for p in problems]
        click.echo(to_json({"schema": 1, "overrides": count, "problems": rows}))
    else:
        for problem in problems[:SHOWN_PROBLEMS]:
            click.echo(plain(str(problem)))
        if len(problems) > SHOWN_PROBLEMS:
            click.echo(f"… and {len(problems) - SHOWN_PROBLEMS} more")
        if not problems:
            click.echo(f"{count} override{'' if count == 1 else 's'}, all good")
    return _PROBLEMS_EXIT if problems else 0


def _checked(path: Path | None) -> "Checked":
    from submeter.catalog.declaring import check_declared, check_file
    from submeter.settings import load
    from submeter.settings.loading import declared_file

    if path is None:
        return check_declared(load().declared)
    if path.suffix == ".toml":
        declared = declared_file(path)
        return check_declared([declared] if declared else [])
    if path.suffix == ".csv" or path.exists():
        return check_file(path)
    raise UsageError(f"there is no file {path}", remedy="submeter factors --check my-factors.csv")
