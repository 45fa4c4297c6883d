# SPDX-License-Identifier: Apache-2.0
"""Which run a word means: one in the ledger, or one that is being metered now."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import click
from click.shell_completion import CompletionItem
from msgspec import structs

from submeter.errors import LedgerError, RunNotFoundError, SubmeterError
from submeter.records.runs import NO_END, Run, Status
from submeter.running.recovery import is_over, read_order, settle_orphans
from submeter.storing import places
from submeter.storing.ledger import Ledger, open_ledger
from submeter.units import NS_PER_S

_LAST: Final = re.compile(r"last(?:~(\d{1,9}))?")
_MOST_COMPLETED: Final = 50
_SO_FAR: Final = "so far: energy, phases and work are each known up to an instant of their own"


class Found(NamedTuple):
    """A run, and whether it still goes on."""

    run: Run
    live: bool


def look_up(ref: str, home: Path | None = None) -> Found:
    """Find the run that *ref* means: an id or its beginning, a name, ``last`` or ``last~2``.

    Runs that ended without being settled are settled first, so that they are found too.

    Raises
    ------
    RunNotFoundError
        If there is none.
    """
    return _looked_up([ref], home)[0]


def look_up_all(refs: Sequence[str], home: Path | None = None) -> list[Run]:
    """Runs that *refs* mean, as `look_up` finds them, with one look at the home."""
    return [found.run for found in _looked_up(refs, home)]


def _looked_up(refs: Sequence[str], home: Path | None) -> list[Found]:
    if not refs:
        return []
    home = places.home() if home is None else home
    with contextlib.suppress(SubmeterError, OSError):  # what cannot be written can be looked at
        settle_orphans(home)
    path = home / "ledger.db"
    with contextlib.ExitStack() as stack:
        ledger = stack.enter_context(open_ledger(path)) if path.exists() else None
        live = list(_live(home, ledger))
        return [_found(ref, live, ledger) for ref in refs]


def _found(ref: str, live: list[Path], ledger: Ledger | None) -> Found:
    place = _LAST.fullmatch(ref)
    if place:
        return _by_age(int(place[1] or 0), live, ledger)
    folder = next((f for f in live if _means(ref, f)), None)
    if folder is not None:
        return Found(_so_far(folder), live=True)
    if ledger is None:
        raise _no_run()
    return Found(ledger.get(ref), live=False)


def complete_run(
    _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names and ids of the latest runs, for the completion of a shell."""
    try:
        with open_ledger(create=False) as ledger:
            rows = ledger.list(limit=_MOST_COMPLETED)
    except (SubmeterError, OSError):
        return []
    words = {"last": "the latest run"}
    for row in rows:
        words.setdefault(row.name or row.id, row.started_utc)
        words.setdefault(row.id, row.name or row.started_utc)
    return [CompletionItem(w, help=h) for w, h in words.items() if w.startswith(incomplete)]


def _live(home: Path, ledger: Ledger | None) -> Iterator[Path]:
    """Folders of runs that still go on, latest first; ids begin with their time."""
    try:
        folders = sorted((home / "runs").iterdir(), reverse=True)
    except OSError:
        return
    for folder in folders:
        settled = ledger is not None and ledger.has(folder.name)
        if not settled and (folder / "journal").exists() and not is_over(folder):
            yield folder


def _by_age(age: int, live: list[Path], ledger: Ledger | None) -> Found:
    """Find the run *age* places before the latest one."""
    rows = [] if ledger is None else ledger.list(limit=age + 1)
    ids = sorted([(f.name, True) for f in live] + [(r.id, False) for r in rows], reverse=True)
    if not ids:
        raise _no_run()
    if age >= len(ids):
        raise RunNotFoundError(
            f"there are only {len(ids)} runs", remedy=f"submeter show last~{len(ids) - 1}"
        )
    run_id, is_live = ids[age]
    if is_live:
        return Found(_so_far(next(f for f in live if f.name == run_id)), live=True)
    if ledger is None:  # pragma: no cover  # a row comes from a ledger
        raise _no_run()
    return Found(ledger.get(run_id), live=False)


def _means(ref: str, folder: Path) -> bool:
    if folder.name == ref or (ref and folder.name.startswith(ref)):
        return True
    order = read_order(folder)
    return order is not None and bool(order.name) and order.name == ref


def _so_far(folder: Path) -> Run:
    """Settle what is known of a run that still goes on."""
    from submeter.metering.settle import settle_folder

    try:
        run = settle_folder(folder)
    except LedgerError as exc:
        raise LedgerError(
            f"run {folder.name} has just begun: nothing is known of it yet", remedy="wait a second"
        ) from exc
    # Words of phases come at once, readings in batches: a phase may look longer than the run.
    phases = tuple(
        structs.replace(p, duration_s=min(p.duration_s, run.duration_s)) if p.count <= 1 else p
        for p in run.phases
    )
    notes = (*(n for n in run.notes if n != NO_END), _SO_FAR)
    paused = bool(run.pauses) and not run.pauses[-1].over
    status: Status = "paused" if paused else "running"
    return structs.replace(run, status=status, exit_code=None, phases=phases, notes=notes)


def live_runs(home: Path, ledger: Ledger | None) -> list[Run]:
    """Runs under *home* that still go on, as far as they are known, the latest first."""
    return [_at_least(folder) for folder in _live(home, ledger)]


def refuse_live(ref: str, home: Path, ledger: Ledger | None) -> None:
    """Refuse to change or pack a run that still goes on.

    Raises
    ------
    LedgerError
        If *ref* means such a run.
    """
    live = list(_live(home, ledger))
    if not live:
        return
    place = _LAST.fullmatch(ref)
    if place:
        rows = [] if ledger is None else ledger.list(limit=int(place[1] or 0) + 1)
        ids = sorted([*(f.name for f in live), *(r.id for r in rows)], reverse=True)
        meant = ids[int(place[1] or 0)] if int(place[1] or 0) < len(ids) else ""
        folder = next((f for f in live if f.name == meant), None)
    else:
        folder = next((f for f in live if _means(ref, f)), None)
    if folder is not None:
        raise LedgerError(
            f"run {folder.name} is still being metered", remedy="wait for its end, or stop it"
        )


def _at_least(folder: Path) -> Run:
    """Give the run in *folder*, if need be without any figure: it has just begun."""
    try:
        return _so_far(folder)
    except LedgerError:
        pass
    order = read_order(folder)
    began = datetime.fromtimestamp(0 if order is None else order.utc_ns // NS_PER_S, UTC)
    run = Run(
        id=folder.name,
        origin="measured",
        status="running",
        started_utc=f"{began:%Y-%m-%dT%H:%M:%SZ}",
        duration_s=0.0,
    )
    if order is None:
        return run
    return structs.replace(
        run, name=order.name, tags=order.tags, project=order.project, user=order.user
    )


def _no_run() -> RunNotFoundError:
    return RunNotFoundError("there is no run yet", remedy="submeter run -- python train.py")
