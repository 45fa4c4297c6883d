# SPDX-License-Identifier: Apache-2.0
"""What `submeter.measure` says of its own end: forecasts, and whether a budget is used up.

A `Watch` works beside the program, in a thread of its own process, as it does in the launcher of
``submeter run``. It only speaks: what the program does about a budget is its own decision.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from submeter.running import joined

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from submeter.running.measuring import Session
    from submeter.running.watching import Told, View, Watch

__all__ = ["begin_watch", "take_watch"]

EVERY_S = 60.0
COLUMNS = 120


def take_watch(options: dict[str, Any]) -> Watch | None:
    """Who watches a run with these options, which are taken out of *options*; None if nobody.

    What makes no sense is one warning, or with ``strict`` an error.

    Raises
    ------
    UsageError
        If an option makes no sense, with ``strict``.
    """
    said = {name: options.pop(name) for name in ("forecast", "budget", "on_budget")}
    from submeter.errors import UsageError

    try:
        return _watch(said)
    except UsageError as exc:
        if options["strict"]:
            raise
        joined.once(f"{exc}; it is left out")
        return None


def _watch(said: Mapping[str, Any]) -> Watch:
    from submeter.errors import UsageError
    from submeter.estimating.budgets import budget_of
    from submeter.running.watching import Watch

    words, act = said["budget"], said["on_budget"]
    if words is not None and not isinstance(words, str):
        raise UsageError(f"a budget of {words!r} has no unit", remedy='budget="2kWh"')
    if act is not None and not callable(act):
        raise UsageError(f"on_budget={act!r} cannot be called", remedy="give a function")
    return Watch(
        _tell,
        every_s=EVERY_S if said["forecast"] else None,
        budget=None if words is None else budget_of(words),
        reached=lambda: _call(act),
    )


def begin_watch(watch: Watch, session: Session) -> None:
    """Let *watch* begin, unless the run is another's, who then watches it."""
    from submeter.running.attending import Command

    if not session.owns or session.folder is None:
        return
    own = os.getpid()
    watch.attend(session.folder, Command(lambda: own))


def _tell(said: View | Told) -> None:
    """A line on stderr; nobody may be reading."""
    from submeter.running.watching import Told

    if isinstance(said, Told):
        line = said.words
    else:
        from submeter.reporting.remaining import forecast_line

        line = forecast_line(said, COLUMNS)
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"submeter: {line}\n")
        sys.stderr.flush()


def _call(act: Callable[[], object] | None) -> None:
    """Call what the program gave; what it raises is its own, and ends nothing of ours."""
    if act is None:
        return
    try:
        act()
    except Exception as exc:  # noqa: BLE001  # the caller's function is not ours
        joined.once(f"on_budget failed: {type(exc).__name__}: {exc}")
