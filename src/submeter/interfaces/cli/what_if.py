# SPDX-License-Identifier: Apache-2.0
"""Options that ask what a run would amount to elsewhere, at another time, in another facility."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from submeter.circumstances.reckoning import Asked

_OPTIONS: Final = (
    click.option("--zone", "zones", multiple=True, metavar="ZONE",
                 help="As if it were there: DE, US-CAL-CISO, us-west-2; may be given again."),
    click.option("--at", metavar="TIME", help="As if it began then: '2026-01-10 02:00' (UTC)."),
    click.option("--pue", type=float, metavar="RATIO", help="As if the facility had this PUE."),
    click.option("--cooling", metavar="NAME", help="As if it were cooled so, such as immersion."),
    click.option("--supply", metavar="SOURCE",
                 help="As if all power came from wind, solar, hydro, nuclear or mix."),
    click.option("--solar", "solar_kw", type=float, metavar="KW",
                 help="As if panels of this peak power stood before the meter."),
    click.option("--battery", "battery_kwh", type=float, metavar="KWH",
                 help="As if a battery of this size stood beside the panels."),
    click.option("--arrangement", metavar="WHOSE",
                 help="As if the machines were: own site, colocation, cloud customer, home."),
    click.option("--price", metavar="PRICE",
                 help="As if power cost this per kWh: 0.31, or 22:00-06:00=0.18,else=0.31."),
)  # fmt: skip


def what_if_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of another place, time or facility."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def asked_of(given: Mapping[str, Any]) -> "list[tuple[str, Asked]]":
    """What-ifs that the options ask for, each with its name: one for each zone; none without.

    Raises
    ------
    UsageError, CoverageError
        If an option makes no sense.
    """
    from submeter.circumstances.reckoning import Asked
    from submeter.settings.rules import accept

    one = {name: value for name, value in given.items() if value is not None and name != "zones"}
    zones = given.get("zones", ())
    told = {name: word.strip() for name, word in one.items() if isinstance(word, str)}
    _refuse_empty([*told.items(), *(("zone", zone.strip()) for zone in zones)])
    if not one and not zones:
        return []
    checks = (("pue", "pue"), ("arrangement", "arrangement"), ("price", "electricity_price"))
    for name, setting in checks:
        if name in one:
            one[name] = accept(setting, one[name])
    if "at" in one:
        one["at_utc_s"] = instant_utc_s(one.pop("at"))
    words = ", ".join(_word(name, given[name]) for name in given if name in _NAMES and given[name])
    return [
        (_called(zone, "" if len(zones) > 1 else words), Asked(zone=zone or None, **one))
        for zone in (zones or ("",))
    ]


def _refuse_empty(given: Iterable[tuple[str, str]]) -> None:
    """Raise `UsageError` for an option that was given without a word."""
    from submeter.errors import UsageError

    for name, value in given:
        if not value:
            raise UsageError(f"--{name} is empty", remedy=f"leave --{name} out, or say which")


def instant_utc_s(word: str) -> float:
    """Instant of an ISO 8601 *word*, in UTC where it names no zone [s since 1970].

    Raises
    ------
    UsageError
        If it is none.
    """
    from datetime import UTC, datetime

    from submeter.errors import UsageError

    try:
        found = datetime.fromisoformat(word.strip())
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise UsageError(
            f"“{word[:40]}” is no time", remedy="give it as 2026-01-10 or '2026-01-10 02:00'"
        ) from None


_NAMES: Final = {
    "at": "{}",
    "pue": "PUE {}",
    "cooling": "{}",
    "supply": "{}",
    "solar_kw": "{:g} kW solar",
    "battery_kwh": "{:g} kWh battery",
    "arrangement": "{}",
    "price": "at {}",
}


def _called(zone: str, words: str) -> str:
    return ", ".join(filter(None, (zone, words))) or "as asked"


def _word(name: str, value: object) -> str:
    return _NAMES[name].format(value)
