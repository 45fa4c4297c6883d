# SPDX-License-Identifier: Apache-2.0
"""``submeter config show | set | unset``."""

from typing import Final

import click

from submeter.settings import RULES, Change, load, set_value, unset_value
from submeter.settings.rules import unknown

CONFIG_SCHEMA: Final = 1


@click.group("config", invoke_without_command=True)
@click.pass_context
def config(ctx: click.Context) -> None:
    """Show or set settings, with the place that each comes from.

    An argument goes before a flag, a flag before the environment (SUBMETER_…), that before
    submeter.toml or [tool.submeter] of pyproject.toml, that before the user's file.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(show)


@config.command("show")
@click.argument("key", required=False, type=str)
@click.option("--origin", is_flag=True, help="Show the place of defaults, too, and the meaning.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")
def show(key: str | None = None, *, origin: bool = False, as_json: bool = False) -> None:
    """Show the value of KEY, or all settings, and where they come from."""
    if key is not None and key not in RULES:
        raise unknown(key)
    loaded = load()
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    keys = list(RULES) if key is None else [key]
    values = {k: getattr(loaded.settings, k) for k in keys}
    if as_json:
        import msgspec

        shown_values = {k: {"missing": "not set"} if v is None else v for k, v in values.items()}
        rows = {k: {"value": v, "origin": loaded.origin[k]} for k, v in shown_values.items()}
        click.echo(msgspec.json.encode({"schema": CONFIG_SCHEMA, "settings": rows}))
        return
    wide = max(map(len, keys))
    shown = {k: "—" if v in (None, "") else str(v) for k, v in values.items()}
    wide_value = max(map(len, shown.values()))
    for k, word in shown.items():
        place = loaded.origin[k]
        if origin:
            place += f"  ({RULES[k].meaning}: {RULES[k].allowed})"
        elif place == "default":
            place = ""
        click.echo(f"{k:{wide}}  {word:{wide_value}}  {place}".rstrip())


@config.command("set")
@click.argument("key")
@click.argument("value")
@click.option("--project", is_flag=True, help="Write the project's file, not the user's.")
def set_(key: str, value: str, *, project: bool) -> None:
    """Set KEY to VALUE in the user's settings file."""
    _make_sense(key, value)
    _say(set_value(key, value, project=project))


@config.command("unset")
@click.argument("key")
@click.option("--project", is_flag=True, help="Write the project's file, not the user's.")
def unset(key: str, *, project: bool) -> None:
    """Take KEY out of the user's settings file."""
    _say(unset_value(key, project=project))


def _make_sense(key: str, value: str) -> None:
    """Refuse words that the settings themselves cannot know to mean nothing.

    Raises
    ------
    SubmeterError
        If *value* names no place, technology or price.
    """
    if key in {"zone", "cloud"}:
        from submeter.catalog.regions import find_zone

        find_zone(value)
    elif key == "cooling":
        from submeter.circumstances.sites import technology

        technology(value)
    elif key == "electricity_price":
        from submeter.accounting.money import parse_tariff

        parse_tariff(value, "USD")


def _say(change: Change) -> None:
    what = f"{change.key} = {change.after}" if change.after is not None else f"{change.key} unset"
    click.echo(f"{what}  in {change.path}", err=True)
    loaded = load(strict=False)
    place = loaded.origin.get(change.key, "")
    if change.after is not None and not place.startswith(str(change.path)):
        click.echo(f"but {place} goes before it", err=True)
    click.echo(f"undo: {change.undo}", err=True)
