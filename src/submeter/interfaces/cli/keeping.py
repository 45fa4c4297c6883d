# SPDX-License-Identifier: Apache-2.0
"""The ledger as the verbs that keep runs want it: up to date, and with words for what is odd."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import click

from submeter.errors import LedgerError, RunNotFoundError, SubmeterError
from submeter.records.runs import Run
from submeter.storing import places
from submeter.storing.documents import RunRow
from submeter.storing.ledger import LEDGER_FILE, Ledger, open_ledger
from submeter.storing.wording import safe_text


@contextlib.contextmanager
def ledger_at_hand(refs: Iterable[str] = (), *, home: Path | None = None) -> Iterator[Ledger]:
    """Open the ledger after settling what ended unsettled; *refs* must not mean a live run.

    Raises
    ------
    LedgerError
        If one of *refs* is still being metered.
    RunNotFoundError
        If no run was ever stored here.
    """
    from submeter.interfaces.cli.lookup import refuse_live

    home = places.home() if home is None else home
    refs = list(refs)
    settle_first(home)
    path = home / LEDGER_FILE
    if not path.exists():
        for ref in refs:
            refuse_live(ref, home, None)
        raise RunNotFoundError("there is no run yet", remedy="submeter run -- python train.py")
    with open_ledger(path, create=False) as ledger:
        if ledger.note:
            click.echo(ledger.note, err=True)
        for ref in refs:
            refuse_live(ref, home, ledger)
        yield ledger


def settle_first(home: Path) -> None:
    """Settle what ended unsettled; what cannot be written can still be looked at."""
    from submeter.running.recovery import settle_orphans

    with contextlib.suppress(SubmeterError, OSError):
        settle_orphans(home)


def at_the_wall(
    ledger: Ledger | None, rows: Iterable[RunRow], live: Mapping[str, Run] | None = None
) -> dict[str, dict[str, object]]:
    """Energy of the facility of each run, in the words of the JSON, each with its own PUE."""
    from submeter.reporting.footprint_words import missing
    from submeter.reporting.words import energy_figure
    from submeter.running.reckoning import reckoned

    words: dict[str, dict[str, object]] = {}
    for row in rows:
        run = (live or {}).get(row.id)
        try:
            if run is None and ledger is not None:
                run = ledger.get(row.id)
        except LedgerError as exc:
            words[row.id] = missing(str(exc))
            continue
        words[row.id] = (
            missing("not stored") if run is None else energy_figure(reckoned(run).facility)
        )
    return words


def called(run: Run) -> str:
    """Name and id of a run, as a sentence needs them."""
    return f"{safe_text(run.name)} ({run.id})" if run.name else run.id


def pairs(_ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """Read ``key=value`` words."""
    out: dict[str, str] = {}
    for word in given:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{word!r} is not key=value")
        out[key] = value
    return out


def write_size(size_bytes: int) -> str:
    """Size of a file for people: ``812 B``, ``1.1 MB``."""
    from submeter.reporting.numbers import write

    if size_bytes < 1000:  # noqa: PLR2004
        return f"{size_bytes} B"
    size, unit = next(
        (size_bytes / s, u)
        for s, u in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
        if size_bytes >= s
    )
    return f"{write(size, '', digits=2)} {unit}"
