# SPDX-License-Identifier: Apache-2.0
"""``submeter techniques``: ways to use less, what others found, and whether they help here."""

import shutil
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from submeter.reducing.techniques import Machine, Technique


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")
def techniques(*, name: str | None, as_json: bool) -> None:
    """List ways to use less, or explain one: what it saves, its price, whether it helps here.

    What is expected is what others published, negative where it can cost more; of what (energy,
    time, bytes) is said. Nothing is claimed of your training: submeter prove shows it.

    \b
    Examples:
      submeter techniques
      submeter techniques mixed_precision
      submeter techniques quantise --json
    """  # noqa: D301  # \b keeps click from refilling the examples
    from submeter.reducing.techniques import NAMES, technique
    from submeter.reducing.techniques.machine import here
    from submeter.reporting.techniques import (
        technique_words,
        techniques_document,
        techniques_words,
    )
    from submeter.reporting.words import to_json

    machine = here()
    chosen = [technique(name)] if name else [technique(one) for one in NAMES]
    rows = [_row(one, machine) for one in chosen]
    width = max(60, min(100, shutil.get_terminal_size((80, 24)).columns))
    if as_json:
        click.echo(to_json(techniques_document(rows)))
    elif name:
        click.echo(technique_words(rows[0], width))
    else:
        click.echo(techniques_words(rows, width))
        click.echo("submeter techniques NAME  tells more; submeter prove shows a saving", err=True)


def _row(one: "Technique", machine: "Machine") -> dict[str, object]:
    from submeter.reducing.techniques.registry import scope_of

    fit, expected = one.applies_to(None, machine), one.expected
    found: dict[str, object] = {"missing": scope_of(one.name)}
    if expected is not None:
        found = expected._asdict()
    return {
        "name": one.name,
        "group": one.group,
        "what": one.what,
        "why": one.why,
        "expected": found,
        "price": one.price,
        "when_it_does_not_help": one.when_it_does_not_help,
        "applies": fit.applies,
        "gains": fit.gains,
        "here": fit.words,
        "use": f"submeter.reduce.{one.name}({getattr(one, 'takes', 'model')}, …)",
    }
