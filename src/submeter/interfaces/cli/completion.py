# SPDX-License-Identifier: Apache-2.0
"""``submeter completion SHELL``."""

import click

from submeter.interfaces.cli.group import COMPLETE


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print completion of verbs, options and runs for SHELL.

    \b
    Put one of these lines where your shell starts:
      bash  eval "$(submeter completion bash)"        ~/.bashrc
      zsh   eval "$(submeter completion zsh)"         ~/.zshrc
      fish  submeter completion fish | source         ~/.config/fish/config.fish
    """  # noqa: D301
    from click.shell_completion import get_completion_class

    of_shell = get_completion_class(shell)
    if of_shell is None:  # pragma: no cover  # click has these three since 8.0
        raise click.UsageError(f"no completion for {shell}")
    made = of_shell(ctx.find_root().command, {}, "submeter", COMPLETE)
    # Not made.source(): that starts bash to ask for its version.
    click.echo(made.source_template % made.source_vars())
