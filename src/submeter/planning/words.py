# SPDX-License-Identifier: Apache-2.0
"""What people write of time, power and data, as numbers: ``tomorrow 18:00``, ``1h30m``, ``3.2kW``.

No clock is read: *now* is given. What was understood can be written back in full with
`full_instant`, since half of all mistakes in plans are mistakes of the hour.
"""

import math
import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from submeter.errors import UsageError

DAY_S: Final = 86_400
LONGEST_S: Final = 366 * DAY_S  # of a plan
_UNITS_S: Final = {
    "s": 1, "sec": 1, "secs": 1, "second": 1, "seconds": 1,
    "m": 60, "min": 60, "mins": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hr": 3600, "hrs": 3600, "hour": 3600, "hours": 3600,
    "d": DAY_S, "day": DAY_S, "days": DAY_S,
    "w": 7 * DAY_S, "week": 7 * DAY_S, "weeks": 7 * DAY_S,
}  # fmt: skip
_PIECE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)\s*", re.ASCII)
_POWER: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kKMm]?)[wW]", re.ASCII)
_SCALE_W: Final = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6}
_DATA: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kKMGTP]i?)?B", re.ASCII)
_SCALE_BYTES: Final = {
    "": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15,
    "ki": 2.0**10, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50,
}  # fmt: skip
_ISO: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[t ](\d\d:\d\d(?::\d\d)?))?\s*(z|utc|[+-]\d\d:?\d\d)?", re.ASCII
)
_CLOCK: Final = re.compile(r"(\d{1,2})(?::(\d\d))?\s*(am|pm)?", re.ASCII)
_DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NAMED_CLOCKS: Final = {"noon": (12, 0), "midnight": (0, 0)}
_INSTANT_REMEDY: Final = (
    "write it like “tomorrow 18:00”, “Friday 09:00”, “08:00”, “in 12h” or “2026-11-24 06:00”"
)


def duration_s(words: str, what: str = "duration") -> float:
    """Length of time: ``8h``, ``90 min``, ``1h30m``, ``2 days``, ``45s`` [s].

    Raises
    ------
    UsageError
        If it is none, has no unit, is zero, or longer than a year.
    """
    said = words.strip().lower()
    pieces = _PIECE.findall(said)
    whole = "".join(found.group(0) for found in _PIECE.finditer(said))
    if not pieces or whole != said or any(unit not in _UNITS_S for _, unit in pieces):
        raise UsageError(
            f"“{words[:40]}” is no {what}",
            remedy="write it with its unit: 30s, 1h30m, 8h, 2d",
        )
    total = math.fsum(float(number) * _UNITS_S[unit] for number, unit in pieces)
    if not 0 < total <= LONGEST_S:
        raise UsageError(
            f"the {what} {words[:40]} is not between a second and a year",
            remedy="write it like 30s, 90min, 1h30m, 8h, 2d",
        )
    return total


def power_w(words: str) -> float:
    """Power at the wall: ``3.2kW``, ``500 W``, ``1.5 MW`` [W].

    Raises
    ------
    UsageError
        If it is none, or zero.
    """
    found = _POWER.fullmatch(words.strip())
    scale = _SCALE_W.get(found[2]) if found else None
    value = float(found[1]) * scale if found and scale else 0.0
    if not 0 < value <= 1e9:  # noqa: PLR2004  # a gigawatt is a power station
        raise UsageError(f"“{words[:40]}” is no power", remedy="write it like 3.2kW or 500W")
    return value


def data_bytes(words: str) -> float:
    """Amount of data: ``200GB``, ``1.5 TB``, ``500GiB`` [bytes].

    Raises
    ------
    UsageError
        If it is none.
    """
    found = _DATA.fullmatch(words.strip())
    if found is None:
        raise UsageError(
            f"“{words[:40]}” is no amount of data", remedy="write it like 200GB or 1.5TB"
        )
    return float(found[1]) * _SCALE_BYTES[found[2] or ""]


def clock_of(timezone: str) -> tzinfo:
    """Clock of an IANA time zone; UTC for "".

    Raises
    ------
    UsageError
        If there is no such zone.
    """
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    if not timezone:
        return UTC
    try:
        return ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f"there is no time zone {timezone[:60]!r}", remedy="write it like Europe/Berlin or UTC"
        ) from None


def instant_utc_s(words: str, now_utc_s: float, timezone: str) -> float:
    """Instant that people mean by *words*, by the clock of *timezone* [s since 1970 UTC].

    Parameters
    ----------
    words
        ``now``, ``in 12h``, ``08:00`` (the next time that the clock shows it), ``6pm``,
        ``today 18:00``, ``tomorrow 18:00``, ``Friday 09:00``, ``2026-11-24 06:00``, also with
        ``Z`` or an offset such as ``+01:00``, which goes before the time zone.
    now_utc_s
        What the clock says now [s since 1970 UTC].
    timezone
        IANA name such as ``Europe/Berlin``; UTC if "".

    Notes
    -----
    A length of time passes whatever clocks do: ``in 12h`` is twelve hours, in DST nights too. A
    time that the clock shows twice is the earlier one: nobody's deadline is missed by it.

    Raises
    ------
    UsageError
        If it is no instant, or one that the clock leaves out when it is put forward.
    """
    said = " ".join(words.strip().lower().split())
    if said == "now":
        return now_utc_s
    for begin in ("in ", "+"):
        if said.startswith(begin):
            return now_utc_s + duration_s(said.removeprefix(begin), "length of time")
    clock = clock_of(timezone)
    found = _ISO.fullmatch(said)
    if found:
        return _of_date(words, found, clock)
    now = datetime.fromtimestamp(now_utc_s, clock)
    day, _, rest = said.rpartition(" ") if not _CLOCK.fullmatch(said) else ("", "", said)
    if day and rest in {"am", "pm"}:
        day, _, number = day.rpartition(" ")
        rest = f"{number}{rest}"
    time_of_day = _time_of_day(rest)
    if time_of_day is None:
        raise _no_instant(words)
    day = day.removeprefix("on ").removesuffix(" at").strip()
    return _on_day(words, day, time_of_day, now, clock)


def full_instant(at_utc_s: float, timezone: str) -> str:
    """Instant in full, by the clock of *timezone*: ``Tue 2026-11-24 18:00 CET``."""
    return f"{datetime.fromtimestamp(at_utc_s, clock_of(timezone)):%a %Y-%m-%d %H:%M %Z}"


def _of_date(words: str, found: re.Match[str], clock: tzinfo) -> float:
    date, time, offset = found.groups()
    try:
        plain = datetime.fromisoformat(f"{date}T{time or '00:00'}")
        if offset:
            zone = "+00:00" if offset in {"z", "utc"} else offset
            return datetime.fromisoformat(f"{plain.isoformat()}{zone}").timestamp()
        return _exists(words, plain, clock)
    except (ValueError, OverflowError) as exc:
        if isinstance(exc, UsageError):
            raise
        raise _no_instant(words) from None


def _time_of_day(said: str) -> tuple[int, int] | None:
    """Hour and minute of ``18:00``, ``6pm``, ``6:30pm``, ``noon``; None if it is none."""
    if said in _NAMED_CLOCKS:
        return _NAMED_CLOCKS[said]
    found = _CLOCK.fullmatch(said)
    if found is None or (found[2] is None and found[3] is None):
        return None
    hour, minute = int(found[1]), int(found[2] or 0)
    if found[3]:
        if not 1 <= hour <= 12:  # noqa: PLR2004  # hours of half a day
            return None
        hour = hour % 12 + (12 if found[3] == "pm" else 0)
    return (hour, minute) if hour < 24 and minute < 60 else None  # noqa: PLR2004


def _on_day(
    words: str, day: str, time_of_day: tuple[int, int], now: datetime, clock: tzinfo
) -> float:
    """Time of day on the *day* that is meant: none said is the next time that it comes."""
    hour, minute = time_of_day
    today = datetime(now.year, now.month, now.day, hour, minute)  # noqa: DTZ001  # of the wall
    if day == "today":
        return _exists(words, today, clock)
    if day == "tomorrow":
        return _exists(words, today + timedelta(days=1), clock)
    if not day:
        at_utc_s = _exists(words, today, clock)
        if at_utc_s > now.timestamp():
            return at_utc_s
        return _exists(words, today + timedelta(days=1), clock)
    name = day.removeprefix("next ")
    meant = [i for i, full in enumerate(_DAYS) if len(name) >= 3 and full.startswith(name)]  # noqa: PLR2004
    if len(meant) != 1:
        raise _no_instant(words)
    ahead = (meant[0] - now.weekday()) % 7
    at_utc_s = _exists(words, today + timedelta(days=ahead), clock)
    if at_utc_s > now.timestamp():
        return at_utc_s
    return _exists(words, today + timedelta(days=ahead + 7), clock)


def _exists(words: str, plain: datetime, clock: tzinfo) -> float:
    """Instant of the wall's time *plain*, if the clock shows it at all; the first of two."""
    at_utc_s = plain.replace(tzinfo=clock, fold=0).timestamp()
    if datetime.fromtimestamp(at_utc_s, clock).replace(tzinfo=None, fold=0) != plain:
        raise UsageError(
            f"“{words[:40]}” is left out: clocks are put forward over {plain:%H:%M on %Y-%m-%d}",
            remedy="give a time an hour earlier or later",
        )
    return at_utc_s


def _no_instant(words: str) -> UsageError:
    return UsageError(f"“{words[:40]}” is no time", remedy=_INSTANT_REMEDY)
