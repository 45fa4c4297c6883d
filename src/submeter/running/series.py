# SPDX-License-Identifier: Apache-2.0
"""Series of the hours until now, from files and providers, as outlooks for plans."""

import math
from pathlib import Path
from typing import Final

import msgspec

from submeter.errors import CoverageError, ProviderError, ProviderRefusedError, UsageError
from submeter.forecasting.guarding import guard_on
from submeter.forecasting.providing import Contest, as_given, contest
from submeter.forecasting.reading import read_series
from submeter.forecasting.series import Series
from submeter.planning.outlooks import Outlook, foreseen
from submeter.planning.weighing import Guard, Site
from submeter.providers.cache import AnswerCache
from submeter.providers.csv_file import parse
from submeter.providers.live import fetch
from submeter.providers.series import GRAMS
from submeter.records.places import Zone
from submeter.records.plans import Job
from submeter.records.traces import Trace
from submeter.running.reckoning import ANSWERS
from submeter.storing import forecasts
from submeter.storing.places import home as usual_home

PAST_S: Final = 42 * 86_400.0  # asked of a provider: six weeks, so that weekdays tell themselves
CSV: Final = "csv:"
_LARGEST_BYTES: Final = 64 * 2**20
_MOST_HOLES_RATIO: Final = 0.1
_OF_OURS: Final = "timestamp,"  # begins the columns of a file with a unit and a kind


class Told(msgspec.Struct, frozen=True, eq=False):
    """What a file tells: the name of the signal, and its values."""

    name: str
    series: Series
    notes: tuple[str, ...] = ()
    ahead: bool = False  # it holds forecasts of its maker


def told_by(path: Path, zone: Zone) -> Told:
    """Signal in a file of the user's own, by what it says of itself.

    Either a table with ``timestamp_utc`` and ``ci_gco2e_per_kwh`` (average intensity), gzipped or
    not; or ``timestamp,value`` below lines such as ``# kind: marginal, direct, production`` or
    ``# unit: EUR/kWh``.

    Raises
    ------
    UsageError
        If it cannot be read, has holes that cannot be filled, or is in a unit that nothing is
        planned by.
    CoverageError
        If it holds nothing.
    """
    clock = zone.timezone or "UTC"
    head = _head(path)
    columns = next((line for line in head if not line.startswith("#")), "")
    if not columns.replace(" ", "").lower().startswith(_OF_OURS):
        found = read_series(path, timezone=clock, zone=zone.code)
        return _without_holes(Told("average", found.series, found.notes), path)
    unit = next(
        (line.partition(":")[2].strip() for line in head
         if line.startswith("#") and line[1:].partition(":")[0].strip().lower() == "unit"),
        GRAMS,
    )  # fmt: skip
    name = _named(unit)
    text = path.read_text(encoding="utf-8-sig")
    trace = parse(text, zone=zone.code, name=path.name, unit=unit if name != "carbon" else GRAMS)
    if name == "carbon":
        name = "average" if trace.kind is None else trace.kind.signal
    return _without_holes(
        Told(name, Series.of(trace, clock), trace.notes, trace.shape == "forecast"), path
    )


def _head(path: Path) -> list[str]:
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UsageError(f"{path} is no file", remedy="give a file of readings, not a pipe")
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise UsageError(f"{path.name} is larger than 64 MiB", remedy="give a part of it")
        with path.open("rb") as file:
            raw = file.read(4096)
    except OSError as exc:
        raise UsageError(
            f"{path} cannot be read: {exc.strerror or exc}", remedy="check its path and rights"
        ) from exc
    return raw.decode("utf-8-sig", "replace").splitlines()


def _named(unit: str) -> str:
    """Signal of a unit: carbon, cost or water."""
    mass, _, per = unit.replace(" per ", "/").partition("/")
    if per.strip() in {"kWh", "MWh"}:
        if mass.strip().split("CO")[0].strip() in {"g", "kg", "t"}:
            return "carbon"
        if mass.strip() in {"L", "l"} and per.strip() == "kWh":
            return "water"
        if len(mass.strip()) == 3 and mass.strip().isupper() and per.strip() == "kWh":  # noqa: PLR2004
            return "cost"
    raise UsageError(
        f"a series in {unit[:40]!r} is nothing that is planned by",
        remedy="give g/kWh, EUR/kWh (or another currency) or L/kWh",
    )


def _without_holes(told: Told, path: Path) -> Told:
    """Refuse a series of which a tenth or more is missing; few holes the forecast bridges."""
    values = told.series.values
    holes = sum(1 for value in values.tolist() if math.isnan(value))
    if holes > _MOST_HOLES_RATIO * len(values):
        raise UsageError(
            f"{path.name} has holes: {holes} of {len(values)} slots have no value",
            remedy="fill them, or give a series with fewer",
        )
    return told


def with_series(site: Site, told: Told, now_utc_s: float, end_utc_s: float) -> Site:
    """*site*, one of its signals foreseen from a series.

    Raises
    ------
    CoverageError
        If the past of the series is too short or too old.
    """
    made = foreseen(told.series, now_utc_s, end_utc_s, ahead=told.ahead)
    made = msgspec.structs.replace(made, zone=site.zone, notes=told.notes)
    past = told.series.until(now_utc_s) if told.name == "average" else site.past
    outlooks = {**site.outlooks, told.name: made}
    return msgspec.structs.replace(site, outlooks=outlooks, past=past)


def guard_by(past: Series) -> Guard:
    """Hold back where waiting with such jobs has not paid in the last weeks of *past*."""
    back_tested = guard_on(past)

    def guard(job: Job) -> tuple[bool, str]:
        pays, words = back_tested(job)
        return pays, f"{words[0].upper()}{words[1:]}."

    return guard


def live_site(
    site: Site,
    zone: Zone,
    provider: str,
    now_utc_s: float,
    end_utc_s: float,
    *,
    kept_since_utc_s: float | None = None,
) -> Site:
    """*site* by what a provider says of it now; as it was, with a note, where that fails.

    With *kept_since_utc_s* nobody is asked: by the answers that are kept to the questions of that
    instant, whoever asked them since.

    Raises
    ------
    ProviderRefusedError
        If a key is missing or refused: only the user can mend that.
    """
    cache = AnswerCache(usual_home() / ANSWERS)
    since_utc_s = (now_utc_s if kept_since_utc_s is None else kept_since_utc_s) - PAST_S
    kept = kept_since_utc_s is not None
    try:
        trace = fetch(provider, zone, since_utc_s, end_utc_s, cache=cache, kept=kept)
        return _by_trace(site, zone, trace, (now_utc_s, end_utc_s), provider, kept=kept)
    except ProviderRefusedError:
        raise
    except (ProviderError, CoverageError) as exc:
        average = site.outlooks["average"]
        noted = _noted(average, f"offline figures, because {exc}")
        return msgspec.structs.replace(site, outlooks={**site.outlooks, "average": noted})


def _by_trace(
    site: Site,
    zone: Zone,
    trace: Trace,
    span_utc_s: tuple[float, float],
    provider: str,
    *,
    kept: bool,
) -> Site:
    name = "average" if trace.kind is None else trace.kind.signal
    series, notes = Series.of(trace, zone.timezone or "UTC"), trace.notes
    ahead = trace.shape == "forecast"
    if ahead and not provider.startswith(CSV):  # a file of the user's own is believed
        about = (usual_home(), provider, zone.code, name)
        result = judged(series, span_utc_s[0], *about, new=not kept)
        ahead, notes = result.provider_wins, (*notes, result.words)
    made = foreseen(series, *span_utc_s, ahead=ahead)
    words = f"{made.source}; {trace.source}" if trace.source else made.source
    made = msgspec.structs.replace(made, zone=site.zone, notes=notes, source=words)
    past = series.until(span_utc_s[0]) if name == "average" else site.past
    return msgspec.structs.replace(site, outlooks={**site.outlooks, name: made}, past=past)


def judged(series: Series, now_utc_s: float, home: Path, *about: str, new: bool = True) -> Contest:
    """Judge forecasts that were kept under *home*, and keep that which *series* holds ahead.

    *about* are provider, zone and signal. One that is not *new* was kept by whoever asked for it.
    """
    earlier = [
        as_given(f.made_utc_s, f.start_utc_s, f.step_s, f.values)
        for f in forecasts.given(home, *about)
    ]
    past = series.until(now_utc_s)
    told = series.values[len(past.values) :].tolist()
    if new:
        values = tuple(None if math.isnan(value) else value for value in told)
        made = forecasts.Given(now_utc_s, past.end_utc_s, series.step_s, values)
        forecasts.keep(home, made, *about)
    return contest(past, [f for f in earlier if f.made_utc_s <= now_utc_s])


def signs(files: tuple[str, ...], provider: str) -> tuple[tuple[int, int], ...]:
    """What tells that files, or the kept answers of *provider*, are others than before.

    Size and time of each change; of the folder of answers where nobody asks by himself.
    """
    paths = [Path(name) for name in files]
    if provider.startswith(CSV):
        paths.append(Path(provider.removeprefix(CSV)))
    elif provider:
        paths.append(usual_home() / ANSWERS)
    found = []
    for path in paths:
        try:
            about = path.stat()
            found.append((about.st_size, about.st_mtime_ns))
        except OSError:
            found.append((-1, 0))
    return tuple(found)


def _noted(outlook: Outlook, note: str) -> Outlook:
    return msgspec.structs.replace(outlook, notes=(*outlook.notes, note))
