# SPDX-License-Identifier: Apache-2.0
"""``submeter claim add|list|use|retire|release|undo``; ``claim TEXT`` is in claim_check."""

import math
from typing import Final, cast, get_args

import click
import msgspec

from submeter.errors import LedgerError, RunNotFoundError, UsageError
from submeter.interfaces.cli.claim_check import ClaimGroup, check
from submeter.interfaces.cli.keeping import called, ledger_at_hand
from submeter.interfaces.cli.lookup import complete_run
from submeter.records.claims import (
    ENERGY_KINDS,
    Allocation,
    Balance,
    Claim,
    ClaimKind,
    energy_words,
)
from submeter.records.figures import Missing
from submeter.records.runs import Run
from submeter.storing import places
from submeter.storing.certificates import (
    ClaimBook,
    open_claims,
    to_wh,
)
from submeter.storing.wording import safe_text
from submeter.units import G_PER_T, J_PER_WH

KINDS: Final[tuple[str, ...]] = get_args(ClaimKind)
_HEADS: Final = ("id", "kind", "zone", "year", "registry", "fuel", "bought", "left", "retired")


@click.group("claim", cls=ClaimGroup)
def claim() -> None:
    """Keep certificates, contracts and offsets; or check a public claim.

    No megawatt-hour counts twice: market-based carbon rests on what a run
    uses here; the location-based figure never changes by it. Offsets are
    shown apart, never subtracted.

    Any other first word begins a public claim, which is reckoned again:
    it holds, holds only if …, or cannot hold. `claim check` is the same.

    \b
    Examples:
      submeter claim "this training emitted as much as five cars"
      submeter claim --list
      submeter claim add --mwh 10 --kind GO --zone DE --year 2026 \\
                         --registry HKNR --fuel wind
      submeter claim use last
      submeter claim list
    """  # noqa: D301  # \b keeps click from refilling the examples


claim.add_command(check)


@claim.command("add")
@click.option("--kind", type=click.Choice(KINDS, case_sensitive=False), required=True,
              help="What it is; a contract for power is a PPA.")  # fmt: skip
@click.option("--mwh", "energy_mwh", help="Energy that it holds, in MWh.")
@click.option("--tonnes", "carbon_t", type=float, help="tCO2e of an offset, or avoided.")
@click.option("--zone", default="", help="Country that it was issued in, such as DE.")
@click.option("--year", type=click.IntRange(1990, 2200), required=True, help="Its vintage.")
@click.option("--registry", default="", help="Who tracks it.")
@click.option("--fuel", default="", help="What made the electricity: wind, solar, …")
@click.option("--id", "claim_id", default="", help="Its number; one is made if not given.")
@click.option("--note", default="", help="Anything else.")
def add(
    *,
    kind: str,
    energy_mwh: str | None,
    carbon_t: float | None,
    zone: str,
    year: int,
    registry: str,
    fuel: str,
    claim_id: str,
    note: str,
) -> None:
    """Enter a lot of certificates, a contract, an offset or avoided carbon."""
    from submeter.circumstances.picking import fuel_named

    of_energy = kind in ENERGY_KINDS
    if of_energy != (energy_mwh is not None) or of_energy == (carbon_t is not None):
        option = "--mwh 10" if of_energy else "--tonnes 2.5"
        raise UsageError(f"a claim of kind {kind} is given in one unit", remedy=option)
    entered = Claim(
        id=claim_id,
        kind=cast("ClaimKind", kind),
        zone=_country(zone),
        year=year,
        registry=registry,
        fuel=fuel_named(fuel) if fuel else "",
        energy_wh=to_wh(energy_mwh) if energy_mwh is not None else 0,
        carbon_g=0.0 if carbon_t is None else carbon_t * G_PER_T,
        note=note,
    )
    with open_claims() as book:
        kept = book.add(entered)
    click.echo(f"entered {_described(kept)}")
    click.echo("undo: submeter claim undo", err=True)


@claim.command("list")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")
def list_claims(*, as_json: bool) -> None:
    """List all claims with what is left of each, the oldest vintage first."""
    balances: tuple[Balance, ...] = ()
    runs: dict[str, tuple[Allocation, ...]] = {}
    if (places.home() / places.CLAIMS_FILE).exists():
        with open_claims() as book:
            balances = book.balances()
            runs = {run_id: book.of_run(run_id) for run_id in book.users()}
    if as_json:
        click.echo(msgspec.json.encode({"schema": 1, **_words(balances, runs)}))
        return
    if not balances:
        click.echo("no claim yet  → submeter claim add --help", err=True)
        return
    click.echo(_table(balances))
    for run_id, used in runs.items():
        parts = ", ".join(
            f"{energy_words(a.energy_wh)} of {safe_text(a.claim.id)}"
            + (f" (retired: {safe_text(a.statement)})" if a.is_retired else "")
            for a in used
        )
        click.echo(f"run {run_id}: {parts}")


@claim.command("use")
@click.argument("run", shell_complete=complete_run)
@click.option("--mwh", "energy_mwh", help="How much; all that the run used if not given.")
@click.option("--id", "claim_ids", multiple=True, help="Of this claim; may be given again.")
@click.option("--zone", help="Where the run was, if it does not say.")
def use(run: str, *, energy_mwh: str | None, claim_ids: tuple[str, ...], zone: str | None) -> None:
    """Let RUN use megawatt-hours of claims; no other run can use them then.

    Only claims of its market, and of its year or the one before, fit.
    """
    with ledger_at_hand([run]) as ledger:
        found = ledger.get(run)
    if found.origin != "measured":
        raise UsageError(
            f"{called(found)} is {found.origin}: claims are for electricity that was used",
            remedy="submeter list --origin measured",
        )
    used_wh = _used_wh(found)
    wanted_wh = None if energy_mwh is None else to_wh(energy_mwh)
    place = _market(found, zone)
    with open_claims() as book:
        fitting = _fitting(book, claim_ids, place, int(found.started_utc[:4]))
        book.use(found.id, wanted_wh, fitting, limit_wh=used_wh)
        now = book.of_run(found.id)
    for part in now:
        click.echo(f"{called(found)} uses {energy_words(part.energy_wh)} of "
                   f"{_described(part.claim)}")  # fmt: skip
    click.echo("undo: submeter claim undo", err=True)


@claim.command("retire")
@click.argument("run", shell_complete=complete_run)
@click.option("--statement", required=True, help="Reference of the registry's statement.")
def retire(run: str, *, statement: str) -> None:
    """Note that the registry has cancelled what RUN uses, for good."""
    with ledger_at_hand([run]) as ledger:
        found = ledger.get(run)
    with open_claims() as book:
        for part in book.retire(found.id, statement):
            click.echo(f"retired {energy_words(part.energy_wh)} of {_described(part.claim)}")


@claim.command("release")
@click.argument("run", shell_complete=complete_run)
def release(run: str) -> None:
    """Give back what RUN uses and is not retired; RUN may be gone by now."""
    run_id = run
    try:
        with ledger_at_hand([run]) as ledger:
            run_id = ledger.find(run)
    except RunNotFoundError:
        with open_claims() as book:
            if run not in book.users():
                raise
    with open_claims() as book:
        freed_wh = book.release(run_id)
    click.echo(f"released {energy_words(freed_wh)}")


@claim.command("undo")
def undo() -> None:
    """Take the last entry or use back; what is retired stays."""
    with open_claims() as book:
        click.echo(f"taken back: {book.undo()}")


def _country(word: str) -> str:
    """Country that *word* means or lies in; "" for no word."""
    from submeter.catalog.regions import find_zone

    if not word:
        return ""
    place = find_zone(word)
    if not place.country:
        raise UsageError(f"no claim is issued in all of {place.name}", remedy="--zone DE")
    return place.country


def _market(run: Run, asked: str | None) -> str:
    """Country whose market a run drew from: as asked, else as the run says, never guessed."""
    from submeter.grid.place import place_of

    zone = place_of(run.place, argument=asked)
    if zone.guessed or not zone.country:
        raise UsageError(f"the market where {called(run)} was is not known", remedy="--zone DE")
    return zone.country


def _used_wh(run: Run) -> int:
    """Energy of *run* at the facility, in whole watt-hours, the last one begun."""
    from submeter.running.reckoning import reckoned

    facility = reckoned(run).facility
    if isinstance(facility, Missing):
        raise LedgerError(
            f"what {called(run)} used is not known: {facility.why}",
            remedy="submeter show RUN, which says what is missing",
        )
    return math.ceil(facility.value / J_PER_WH)


def _fitting(book: ClaimBook, wanted: tuple[str, ...], zone: str, year: int) -> list[str]:
    """Ids of claims that may stand for electricity of *zone* and *year*; else says why none."""
    from submeter.accounting.market import refusal

    known = {b.claim.id: b.claim for b in book.balances()}
    for name in (n for n in wanted if n not in known):
        raise UsageError(f"there is no claim {safe_text(name)!r}", remedy="submeter claim list")
    chosen = [known[n] for n in wanted] or [c for c in known.values() if c.is_energy]
    said = {c.id: refusal(c, zone, year) for c in chosen}
    fitting = [name for name, why in said.items() if not why]
    refused = [why for why in said.values() if why]
    if wanted and refused:
        raise UsageError(safe_text("; ".join(refused)), remedy="submeter claim list")
    if not fitting:
        why = safe_text("; ".join(refused)) or "none is entered"
        raise UsageError(f"no claim fits: {why}", remedy="submeter claim add --help")
    return fitting


def _described(entered: Claim) -> str:
    amount = (
        energy_words(entered.energy_wh)
        if entered.is_energy
        else f"{entered.carbon_g / G_PER_T:g} tCO2e"
    )
    words = (entered.kind, entered.id, f"({amount},", entered.zone, f"{entered.year})")
    return safe_text(" ".join(w for w in words if w))


def _table(balances: tuple[Balance, ...]) -> str:
    from submeter.reporting.text import columns

    lines = [_HEADS, *(_line(balance) for balance in balances)]
    widths = [max(columns(line[i]) for line in lines) for i in range(len(_HEADS))]
    return "\n".join(
        "  ".join(c + " " * (w - columns(c)) for c, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _line(balance: Balance) -> tuple[str, ...]:
    entered = balance.claim
    words = (entered.id, entered.kind, entered.zone, str(entered.year), entered.registry,
             entered.fuel)  # fmt: skip
    if entered.is_energy:
        sizes = [
            energy_words(energy_wh) if energy_wh else "—"
            for energy_wh in (entered.energy_wh, balance.free_wh, balance.retired_wh)
        ]
    else:
        sizes = [f"{entered.carbon_g / G_PER_T:g} t", "apart", ""]
    return (*(safe_text(word) or "—" for word in words), *sizes)


def _words(
    balances: tuple[Balance, ...], runs: dict[str, tuple[Allocation, ...]]
) -> dict[str, object]:
    return {
        "claims": [
            {
                **msgspec.to_builtins(b.claim),
                "free_wh": b.free_wh,
                "used_wh": b.used_wh,
                "retired_wh": b.retired_wh,
            }
            for b in balances
        ],
        "runs": {
            run_id: [
                {"claim": a.claim.id, "energy_wh": a.energy_wh, "statement": a.statement or None}
                for a in used
            ]
            for run_id, used in runs.items()
        },
    }
