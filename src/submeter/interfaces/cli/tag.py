# SPDX-License-Identifier: Apache-2.0
"""``submeter tag RUN [KEY=VALUE …]``."""

import shlex

import click

from submeter.interfaces.cli.keeping import called, ledger_at_hand, pairs
from submeter.interfaces.cli.lookup import complete_run
from submeter.records.runs import Run
from submeter.storing.documents import check_name
from submeter.storing.wording import safe_text


@click.command("tag")
@click.argument("run", shell_complete=complete_run)
@click.argument("tags", nargs=-1, callback=pairs, metavar="[KEY=VALUE]...")
@click.option("-r", "--remove", multiple=True, metavar="KEY", help="Remove a tag.")
@click.option("--name", help="Give the run another name.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")
def tag(
    run: str, *, tags: dict[str, str], remove: tuple[str, ...], name: str | None, as_json: bool
) -> None:
    """Add or remove tags of RUN, or show them.

    \b
    Examples:
      submeter tag last lr=0.1 baseline=yes
      submeter tag digits --remove baseline
    """  # noqa: D301  # \b keeps click from refilling the examples
    if name is not None:
        check_name(name, f"submeter tag {safe_text(run)} --name baseline")
    with ledger_at_hand([run]) as ledger:
        before = ledger.get(run)
        for key in (k for k in remove if k not in before.tags):
            click.echo(f"there is no tag {safe_text(key)} to remove", err=True)
        remove = tuple(k for k in remove if k in before.tags)
        changes = bool(tags or remove or name is not None)
        after = ledger.tag(before.id, tags, remove, name=name) if changes else before
    if as_json:
        import msgspec

        words = {"schema": 1, "run": {"id": after.id, "name": after.name, "tags": after.tags}}
        click.echo(msgspec.json.encode(words))
    else:
        shown = "  ".join(safe_text(f"{k}={v}") for k, v in sorted(after.tags.items()))
        click.echo(f"{called(after)}  {shown or 'no tags'}")
    if changes:
        click.echo(f"undo: {undo(before, after)}", err=True)


def undo(before: Run, after: Run) -> str:
    """Command that takes a change of tags back."""
    words = ["submeter", "tag", before.id]
    words += [f"{k}={v}" for k, v in before.tags.items() if after.tags.get(k) != v]
    for key in after.tags:
        if key not in before.tags:
            words += ["--remove", key]
    if before.name != after.name:
        words += ["--name", before.name]
    return shlex.join(words)
