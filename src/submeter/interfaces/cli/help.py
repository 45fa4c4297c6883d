# SPDX-License-Identifier: Apache-2.0
"""``submeter help [VERB]``."""

import click


@click.command("help")
@click.argument("verb", required=False)
@click.pass_context
def help_(ctx: click.Context, verb: str | None) -> None:
    """Show the help of VERB, or of submeter.

    \b
    Examples:
      submeter help
      submeter help show
    """  # noqa: D301  # \b keeps click from refilling the examples
    group = ctx.parent
    if group is None or not isinstance(group.command, click.Group):
        click.echo(ctx.get_help())
        return
    if verb is None:
        click.echo(group.get_help())
        return
    name, command, _rest = group.command.resolve_command(group, [verb])
    if command is not None:
        with click.Context(command, info_name=name, parent=group) as inner:
            click.echo(command.get_help(inner))
