# SPDX-License-Identifier: Apache-2.0
"""Who can be asked about the grid: built-in providers and plug-ins, in one table of names.

It asks nobody by itself: `submeter.providers.live` does. Read ``asking.py`` first (what a provider
is). Plug-ins are entry points of the group ``submeter.grid``: callables that return a provider.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final

from submeter.catalog.names import near
from submeter.errors import PluginError, SubmeterError, UsageError
from submeter.providers.asking import Ask, Getter, Provider, Request

__all__ = ["BUILT_IN", "GROUP", "Ask", "Getter", "Provider", "Request", "find"]

GROUP: Final = "submeter.grid"
BUILT_IN: Final = {
    "electricity-maps": "electricity_maps:ElectricityMaps",
    "watttime": "watttime:WattTime",
    "uk-carbon-intensity": "uk_carbon_intensity:UkCarbonIntensity",
    "entsoe": "entsoe:Entsoe",
    "eia": "eia:Eia",
    "csv": "csv_file:CsvFile",
}
_MEMBERS: Final = ("name", "requires", "register", "kind", "place", "fetch")


def find(name: str) -> Provider:
    """Make the provider *name*; ``csv:PATH`` is a file of the user's own.

    Raises
    ------
    UsageError
        If nobody goes by that name; the remedy names the nearest.
    PluginError
        If a plug-in goes by it and cannot be loaded.
    """
    word, colon, path = name.partition(":")
    if word == "csv":
        if not path:
            raise UsageError("a CSV file is asked for, but not which", remedy="csv:intensity.csv")
        from submeter.providers.csv_file import CsvFile

        return CsvFile(Path(path))
    if word in BUILT_IN and not colon:
        module, _, thing = BUILT_IN[word].partition(":")
        make: Callable[[], Provider] = getattr(import_module(f"{__package__}.{module}"), thing)
        return make()
    return _plug_in(name)


def _plug_in(name: str) -> Provider:
    from importlib.metadata import entry_points  # 35 ms: only when a name is not ours

    found = entry_points(group=GROUP, name=name)
    if not found:
        names = [*BUILT_IN, *(point.name for point in entry_points(group=GROUP))]
        alike = near(name, names, most=1)
        raise UsageError(
            f"there is no provider {name[:60]!r}",
            remedy=f"did you mean {alike[0]}?" if alike else f"providers are {', '.join(names)}",
        )
    point = next(iter(found))
    whose = point.dist.name if point.dist is not None else point.value
    try:
        made = point.load()()
    except SubmeterError:
        raise
    except Exception as exc:  # a plug-in may raise anything
        raise PluginError(
            f"the provider {name} of {whose} does not load: {type(exc).__name__}",
            remedy=f"update or remove {whose}",
        ) from exc
    lacking = [member for member in _MEMBERS if not hasattr(made, member)]
    if lacking:
        raise PluginError(
            f"the provider {name} of {whose} has no {lacking[0]}", remedy=f"update {whose}"
        )
    provider: Provider = made
    return provider
