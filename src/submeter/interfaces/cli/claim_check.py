# SPDX-License-Identifier: Apache-2.0
"""``submeter claim TEXT|FILE``: whether what is said in public can be true, and when."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from submeter.errors import UsageError

if TYPE_CHECKING:
    from submeter.comparing.claims.records import PublicClaim
    from submeter.records.figures import Figure, Missing

CHECK: Final = "check"
_MOST_BYTES: Final = 2**20
_WIDEST: Final = 100


class ClaimGroup(click.Group):
    """The account of certificates; what is none of its verbs is a public claim to be checked."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Let an option of the check stand before its words, too."""
        helps = ctx.help_option_names
        if args and args[0].startswith("-") and args[0] not in helps:
            args = [CHECK, *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb of the account, else check what is said."""
        if args and self.get_command(ctx, args[0]) is None:
            _refuse_mistyped(args, self.list_commands(ctx))
            args = [CHECK, *args]
        return super().resolve_command(ctx, args)


def _refuse_mistyped(args: list[str], verbs: list[str]) -> None:
    """One word that is nearly a verb of the account is that verb, mistyped."""
    from difflib import get_close_matches

    word = args[0]
    if " " in word or Path(word).exists():
        return
    near = get_close_matches(word, verbs, n=1, cutoff=0.75)
    if near:
        raise UsageError(f"claim has no verb “{word}”", remedy=f"submeter claim {near[0]} --help")


@click.command(CHECK)
@click.argument("words", nargs=-1, metavar="TEXT|FILE")
@click.option("--run", "run_ref", help="Run that the claim is about, for records that use one.")
@click.option("--list", "show_all", is_flag=True, help="List all claims that are known.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")
def check(*, words: tuple[str, ...], run_ref: str | None, show_all: bool, as_json: bool) -> None:
    """Reckon a public claim again: it holds, holds only if …, or cannot hold.

    TEXT is a sentence that means a claim that is known (its own number
    counts), FILE a record of your own in TOML.

    \b
    Examples:
      submeter claim "this training emitted as much as five cars"
      submeter claim "100 % renewable" --json
      submeter claim ours.toml --run last
      submeter claim --list
    """  # noqa: D301  # \b keeps click from refilling the examples
    from submeter.comparing.claims.finding import found_numbers, known_claims
    from submeter.comparing.claims.judging import judge
    from submeter.reporting.claims import answer_document, answer_words, list_words
    from submeter.reporting.words import to_json

    if show_all:
        answers = [judge(c, found_numbers(c)) for c in known_claims()]
        if as_json:
            rows = [answer_document(answer) for answer in answers]
            click.echo(to_json({"schema": 1, "claims": rows}))
        else:
            click.echo(list_words([(a.claim.id, a.claim.claim, a.verdict) for a in answers]))
        return
    claim, value, note = _asked(words)
    figures = None if run_ref is None else _figures(run_ref)
    answer = judge(claim, found_numbers(claim, figures), value=value)
    if as_json:
        click.echo(to_json(answer_document(answer)))
        return
    if note:
        click.echo(note, err=True)
    width = min(_WIDEST, shutil.get_terminal_size((80, 24)).columns)
    click.echo(answer_words(answer, width))


def _asked(words: tuple[str, ...]) -> "tuple[PublicClaim, float | None, str]":
    """The claim that is meant, the number that was said instead of its own, and a note."""
    import msgspec

    from submeter.comparing.claims.finding import known_claims
    from submeter.comparing.claims.formulas import short
    from submeter.comparing.claims.recognising import nearest, recognised
    from submeter.comparing.claims.records import read_record
    from submeter.storing.wording import safe_text

    text = " ".join(words).strip()
    if not text:
        raise UsageError("there is no claim to check", remedy='submeter claim "five cars"')
    if text.endswith(".toml") or (len(words) == 1 and _is_file(text)):
        return read_record(_content(text), Path(text).stem), None, ""
    by_id = next((c for c in known_claims() if c.id == text), None)
    if by_id is not None:
        return by_id, None, ""
    found = recognised(text, known_claims())
    if found is None:
        near = [c.id for c in nearest(text, known_claims())]
        ways = f"near it: {', '.join(near)}; " if near else ""
        raise UsageError(
            f"“{safe_text(text)}” is no claim that is known",
            remedy=f"{ways}submeter claim --list, or give a record in TOML",
        )
    note = f"taken as: {found.claim.claim} ({found.claim.id})"
    claim = found.claim
    relation = claim.relation if found.relation is None else found.relation
    if found.value is not None and (found.value, relation) != (claim.value, claim.relation):
        words_of_it = "" if found.relation is None else f"{relation} "
        unit = "" if claim.unit == "1" else f" {claim.unit}"
        note += f", with your {words_of_it}{short(found.value)}{unit}"
    if found.unread:
        note += (
            f"; the number is that claim's {short(found.claim.value)}, yours was not understood"
        )
    return msgspec.structs.replace(claim, relation=relation), found.value, note


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


def _content(name: str) -> str:
    try:
        with Path(name).open("rb") as file:
            return file.read(_MOST_BYTES).decode()
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is no text"
        raise UsageError(f"{name} cannot be read: {why}", remedy="give its path") from exc


def _figures(ref: str) -> "Mapping[str, Figure | Missing]":
    """What a run amounts to, as records of claims name it."""
    from submeter.interfaces.cli.lookup import look_up
    from submeter.records.amounts import Amount
    from submeter.records.figures import Figure, Missing
    from submeter.running.reckoning import reckoned
    from submeter.units import S_PER_H

    run = look_up(ref).run
    made = reckoned(run)

    def figure(amount: Amount | Missing, unit: str) -> Figure | Missing:
        return amount if isinstance(amount, Missing) else amount.figure(unit)

    hours = run.duration_s / S_PER_H
    return {
        "energy": figure(made.facility, "J"),
        "carbon": figure(made.carbon.location, "g"),
        "water": figure(made.water.onsite, "L"),
        "hours": Figure(hours, hours, hours, "h"),
    }
