# SPDX-License-Identifier: Apache-2.0
"""A fleet out of two files: sites in TOML, jobs in CSV."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from submeter.errors import UsageError

if TYPE_CHECKING:
    from submeter.planning.fleets import Fleet, FleetJob, Site

NEEDED: Final = ("job", "duration", "deadline", "power")
KNOWN: Final = (
    *NEEDED, "start", "arrives", "gpus", "sites", "interruptible", "min_slice", "checkpoint_cost",
    "restart_cost", "idle_power",
)  # fmt: skip
_YES: Final = {
    **dict.fromkeys(("yes", "true", "1"), True),
    **dict.fromkeys(("no", "false", "0", ""), False),
}
_MOST_SLOTS: Final = 100_000


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another capacity within a time: a maintenance, a demand-response window."""

    start: str
    end: str
    power: str | None = None
    shed: str | None = None
    gpus: float | None = None


class SiteWords(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A ``[[site]]`` of the file."""

    name: str
    zone: str = ""
    carbon: float | str | None = None
    price: float | str | None = None
    power: str | None = None
    gpus: float | None = None
    pue: float = 1.0
    limit: tuple[Limit, ...] = ()


class SitesFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file: slots, and the sites on them."""

    start: str
    end: str
    site: tuple[SiteWords, ...]
    step: str = "1h"
    timezone: str = "UTC"


def read_fleet(jobs: Path, sites: Path, objective: str = "carbon") -> Fleet:
    """Fleet that the files *jobs* and *sites* describe; costs are those of *objective*.

    Raises
    ------
    UsageError
        If a file cannot be read or says something that makes no sense; it names the file and the
        line or the site.
    """
    from submeter.interfaces.planning import weights_of
    from submeter.planning.fleets import Fleet
    from submeter.planning.words import duration_s, instant_utc_s

    said = _sites_file(sites)
    step_s = duration_s(said.step, "step")
    start_s = instant_utc_s(said.start, 0.0, said.timezone)
    end_s = instant_utc_s(said.end, 0.0, said.timezone)
    slots = round((end_s - start_s) / step_s)
    if not 0 < slots <= _MOST_SLOTS:
        raise UsageError(
            f"{sites} plans from {said.start} to {said.end}, which is {slots} slots",
            remedy="give an end after the start"
            if slots <= 0
            else f"give an end nearer, or a longer step: {_MOST_SLOTS} slots at most",
        )
    span = (start_s, step_s, slots)
    made = tuple(
        _site(one, span, weights_of(objective), said.timezone, sites) for one in said.site
    )
    read = tuple(_jobs(jobs, span, said.timezone))
    if not read:
        raise UsageError(f"{jobs} has no job", remedy="give one a line, below the columns' names")
    return Fleet(start_s, step_s, made, read)


def _sites_file(path: Path) -> SitesFile:
    import tomllib

    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), SitesFile)
    except OSError as exc:
        raise UsageError(
            f"{path} cannot be read: {exc.strerror}", remedy="give an existing file: --sites PATH"
        ) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as exc:
        raise UsageError(
            f"{path} does not describe sites: {exc}", remedy="see docs/fleets.md for its words"
        ) from exc


def _site(
    said: SiteWords,
    span: tuple[float, float, int],
    weights: dict[str, float],
    timezone: str,
    path: Path,
) -> Site:
    from submeter.planning.fleets import Site
    from submeter.planning.slotted import capacity, weighted
    from submeter.planning.words import instant_utc_s, power_w

    start_s, step_s, slots = span
    if "water" in weights:
        raise UsageError("the water of sites is not planned for", remedy="--objective carbon")
    if not (math.isfinite(said.pue) and said.pue >= 1):
        raise UsageError(f"site {said.name} has a PUE of {said.pue:g}", remedy="give 1 or more")
    power, gpus = [], []
    for limit in said.limit:
        if limit.shed is not None and said.power is None:
            raise UsageError(
                f"site {said.name} sheds {limit.shed} of a power that is not given",
                remedy='give the site power = "40kW"',
            )
        begin_s, end_s = (instant_utc_s(w, 0.0, timezone) for w in (limit.start, limit.end))
        first = max(0, math.floor((begin_s - start_s) / step_s))
        last = max(first, math.ceil((end_s - start_s) / step_s))
        less, shed = (None if w is None else _power_kw(w) for w in (limit.power, limit.shed))
        power.append((first, last, less, shed))
        gpus.append((first, last, limit.gpus, None))
    most_kw = None if said.power is None else power_w(said.power) / 1e3
    given = {"carbon": said.carbon, "cost": said.price}
    costs = weighted(
        (weight, _series(given[name], name, said, span, path)) for name, weight in weights.items()
    )
    return Site(
        said.name, costs, capacity(most_kw, power, slots), capacity(said.gpus, gpus, slots),
        said.pue,
    )  # fmt: skip


def _power_kw(words: str) -> float:
    from submeter.planning.words import power_w

    return 0.0 if words.strip() in {"0", "0W", "0kW"} else power_w(words) / 1e3


def _series(
    given: float | str | None,
    quantity: str,
    said: SiteWords,
    span: tuple[float, float, int],
    path: Path,
) -> Any:
    """Values on the slots: a number, a file beside that of the sites, or those of the zone."""
    from submeter.planning.slotted import constant, resampled

    start_s, step_s, slots = span
    if isinstance(given, int | float):
        return constant(float(given), slots)
    if given is not None:
        from submeter.forecasting.reading import read_series

        found = read_series(path.parent / given).series
        return resampled(found.values, found.start_utc_s, found.step_s, span, given)
    if quantity == "carbon" and said.zone:
        from submeter.grid.place import resolve_place
        from submeter.grid.traces import intensity

        place = resolve_place(argument=said.zone, configured=None, origin="default", timezone="")
        trace = intensity(place, start_s, start_s + slots * step_s)
        return resampled(trace.values, trace.start_utc_s, trace.step_s, span, said.zone)
    word = "carbon" if quantity == "carbon" else "price"
    raise UsageError(
        f"site {said.name} says nothing of its {word}",
        remedy=f"give {word} = a number or a file" + (", or a zone" if word == "carbon" else ""),
    )


def _jobs(path: Path, span: tuple[float, float, int], timezone: str) -> list[FleetJob]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            names = [n.strip() for n in rows.fieldnames or ()]
            _check_columns(names, path)
            return [
                _job({k.strip(): (v or "").strip() for k, v in row.items() if k}, span, timezone,
                     f"{path}, line {rows.line_num}")
                for row in rows
            ]  # fmt: skip
    except OSError as exc:
        raise UsageError(
            f"{path} cannot be read: {exc.strerror}", remedy="give an existing file: --fleet PATH"
        ) from exc
    except (UnicodeDecodeError, csv.Error) as exc:
        raise UsageError(f"{path} is no CSV file", remedy="see docs/fleets.md") from exc


def _check_columns(names: list[str], path: Path) -> None:
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise UsageError(
            f"{path} has no column {missing[0]}", remedy=f"it needs {', '.join(NEEDED)}"
        )
    unknown = [name for name in names if name not in KNOWN]
    if unknown:
        raise UsageError(
            f"{path} has a column {unknown[0][:40]!r}, which means nothing here",
            remedy=f"columns are {', '.join(KNOWN)}",
        )


def _job(
    row: dict[str, str], span: tuple[float, float, int], timezone: str, where: str
) -> FleetJob:
    from submeter.planning.fleets import FleetJob
    from submeter.planning.words import duration_s, instant_utc_s, power_w
    from submeter.records.plans import Job

    start_s = span[0]

    def length(name: str) -> float:
        return duration_s(row[name], name) if row.get(name) else 0.0

    def instant(name: str) -> float | None:
        return instant_utc_s(row[name], start_s, timezone) if row.get(name) else None

    try:
        earliest, arrives = instant("start"), instant("arrives")
        pausing = _YES[row.get("interruptible", "").lower()]
        return FleetJob(
            name=row["job"],
            job=Job(
                duration_s=duration_s(row["duration"]),
                earliest_s=max(start_s, earliest or arrives or start_s),
                deadline_s=instant_utc_s(row["deadline"], start_s, timezone),
                power_w=power_w(row["power"]),
                interruptible=pausing,
                min_slice_s=length("min_slice"),
                checkpoint_s=length("checkpoint_cost"),
                restart_s=length("restart_cost"),
                idle_w=power_w(row["idle_power"]) if row.get("idle_power") else 0.0,
            ),
            gpus=float(row.get("gpus") or 0),
            sites=tuple(w for w in row.get("sites", "").replace(";", " ").split() if w),
            arrives_s=arrives,
        )
    except UsageError as exc:
        raise UsageError(f"{where}: {exc}", remedy=exc.remedy) from exc
    except KeyError as exc:
        raise UsageError(
            f"{where}: interruptible is {exc.args[0]!r}", remedy="give yes or no"
        ) from exc
    except ValueError as exc:
        raise UsageError(f"{where}: {row.get('gpus')!r} GPUs", remedy="give a number") from exc
