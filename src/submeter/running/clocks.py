# SPDX-License-Identifier: Apache-2.0
"""The local clock of a place, for tariffs by hours."""

from collections.abc import Callable

from submeter.records.figures import Missing


def utc_offset(timezone: str) -> Callable[[float], float] | Missing:
    """How far the clock of an IANA *timezone* is ahead of UTC at an instant [s]."""
    from datetime import datetime
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    if not timezone:
        return Missing("the local clock is not known: no time zone was given")
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return Missing(f"the local clock is not known: no time zone is called {timezone!r}")

    def offset_s(utc_s: float) -> float:
        ahead = datetime.fromtimestamp(utc_s, zone).utcoffset()
        return 0.0 if ahead is None else ahead.total_seconds()

    return offset_s
