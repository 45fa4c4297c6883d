# SPDX-License-Identifier: Apache-2.0
"""``submeter grid [ZONE]``."""

import os
import shutil
import time
from typing import TYPE_CHECKING, Final

import click

from submeter.errors import UsageError
from submeter.units import S_PER_H

if TYPE_CHECKING:
    from submeter.providers.asking import Scope
    from submeter.records.places import Zone
    from submeter.records.traces import Trace
    from submeter.settings import Settings

_MOST_H: Final = 8784


@click.command("grid")
@click.argument("zone", required=False)
@click.option("--live", is_flag=True, help="Ask the provider of the settings.")
@click.option("--provider", metavar="NAME", help="Ask this provider, or csv:PATH.")
@click.option(
    "--hours",
    type=click.IntRange(-_MOST_H, _MOST_H),
    default=24,
    show_default=True,
    help="Hours from now on; below zero, up to now.",
)
@click.option(
    "--scope",
    type=click.Choice(["lifecycle", "direct"]),
    help="Lifecycle or direct; what there is if not given.",
)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")
def grid(
    zone: str | None,
    *,
    live: bool,
    provider: str | None,
    hours: int,
    scope: "Scope | None",
    as_json: bool,
) -> None:
    """Show the carbon intensity of ZONE over time, its kind and its source.

    Offline unless a provider is asked for. Keys of providers are read from the environment only;
    when one fails, the offline figures stand in and a note says so.

    \b
    Examples:
      submeter grid DE
      submeter grid GB --provider uk-carbon-intensity
      submeter grid US-CAL-CISO --provider eia --hours -48
    """  # noqa: D301  # \b keeps click from refilling the examples
    from submeter.catalog.declaring import declared_overrides
    from submeter.catalog.overlay import use_overrides
    from submeter.grid.place import resolve_place
    from submeter.grid.timezone import machine_timezone
    from submeter.settings import load

    if hours == 0:
        raise UsageError("no hours are no time", remedy="submeter grid --hours 24")
    loaded = load()
    place = resolve_place(
        argument=zone,
        configured=loaded.settings.zone,
        origin=loaded.origin["zone"],
        timezone="" if zone or loaded.settings.zone else machine_timezone(),
    )
    with use_overrides(declared_overrides(loaded.declared)):
        trace = _trace(place, _asked(loaded.settings, provider, live=live), hours, scope)
    if as_json:
        from submeter.reporting.series import trace_document
        from submeter.reporting.words import to_json

        click.echo(to_json(trace_document(trace, place)))
        return
    from submeter.reporting.series import trace_text

    width = max(60, min(100, shutil.get_terminal_size((80, 24)).columns))
    first, _, others = trace_text(trace, place, width).partition("\n")
    bare = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    click.echo(first if bare else click.style(first, bold=True))
    click.echo(others)


def _asked(settings: "Settings", provider: str | None, *, live: bool) -> str:
    """Name of who is asked, "" for nobody."""
    if provider or not live:
        return provider or ""
    if not settings.provider:
        raise UsageError(
            "live data are wanted, and no provider is set",
            remedy="submeter config set provider uk-carbon-intensity, or --provider NAME",
        )
    return settings.provider


def _trace(zone: "Zone", provider: str, hours: int, scope: "Scope | None") -> "Trace":
    """Intensity around now, by *provider* if there is one, else offline."""
    from submeter.grid.traces import intensity
    from submeter.records.traces import Kind

    now = time.time()
    start = now if hours > 0 else now + hours * S_PER_H
    end = start + abs(hours) * S_PER_H

    def offline(kind: Kind | None) -> "Trace":
        return intensity(zone, start, end, kind=kind)

    if not provider:
        # Annual figures are lifecycle by themselves; of direct ones only production is known.
        return offline(Kind(scope="direct") if scope == "direct" else None)
    from submeter.providers.cache import AnswerCache
    from submeter.providers.live import live_or_offline
    from submeter.running.reckoning import ANSWERS
    from submeter.storing.places import home

    return live_or_offline(
        offline,
        provider,
        zone,
        start,
        end,
        cache=AnswerCache(home() / ANSWERS),
        scope=scope,
    )
