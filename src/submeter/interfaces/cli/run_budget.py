# SPDX-License-Identifier: Apache-2.0
"""``submeter run --forecast`` and ``--budget``: what a running job is forecast to use, and may."""

import contextlib
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from submeter.errors import UsageError

if TYPE_CHECKING:
    from submeter.running.watching import Told, View, Watch

__all__ = ["budget_options", "watch_of"]

F = TypeVar("F", bound=Callable[..., Any])

_ON_TERMINAL_S: Final = 5.0
_IN_LOG_S: Final = 60.0
_ERASE: Final = "\r\x1b[K"


def budget_options(command: F) -> F:
    """Add the options of forecasts and budgets to *command*, which gets them by name."""
    options = [
        click.option("--forecast", is_flag=True, help="Say what it will use, while it runs."),
        click.option(
            "--steps", metavar="COUNT", help="Of the whole, if it does not log total_steps."
        ),
        click.option("--budget", metavar="AMOUNT", help="2kWh, 500g, 10L or 5EUR: warn, or more."),
        click.option(
            "--on-budget",
            type=click.Choice(["warn", "signal", "stop"]),
            default="warn",
            show_default=True,
            help="When it is used up: only say so, send a signal, or stop at a checkpoint.",
        ),
        click.option(
            "--budget-signal",
            metavar="NAME",
            default="USR1",
            show_default=True,
            help="The signal; sent only to a program that catches it.",
        ),
        click.option(
            "--grace",
            metavar="TIME",
            default="60s",
            show_default=True,
            help="A stop waits so long for the next checkpoint.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def watch_of(given: Mapping[str, Any]) -> "Watch | None":
    """Who watches a run with these options; None if nothing is asked for.

    Raises
    ------
    UsageError
        If an option makes no sense.
    """
    if not given["forecast"] and given["budget"] is None:
        if given["on_budget"] != "warn":
            raise UsageError("there is no budget", remedy="submeter run --budget 2kWh -- …")
        return None
    from submeter.estimating.budgets import budget_of
    from submeter.planning.words import duration_s
    from submeter.running.watching import Watch

    budget = None if given["budget"] is None else budget_of(given["budget"])
    screen = Screen()
    return Watch(
        screen.tell,
        every_s=screen.every_s if given["forecast"] else None,
        total=None if given["steps"] is None else count_of(given["steps"], "--steps"),
        budget=budget,
        on_budget=given["on_budget"],
        number=signal_of(given["budget_signal"]),
        grace_s=duration_s(given["grace"], "grace"),
        left=screen.clear,
    )


class Screen:
    """Where a watch speaks: one line that is written again on a terminal, lines in a file."""

    def __init__(self) -> None:
        self.terminal = sys.stderr is not None and sys.stderr.isatty()
        self.every_s = _ON_TERMINAL_S if self.terminal else _IN_LOG_S
        self._shown = False

    def tell(self, said: "View | Told") -> None:
        """Write what the watch says; nobody may be reading."""
        from submeter.running.watching import Told

        if isinstance(said, Told):
            self.clear()
            self._write(f"submeter: {said.words}\n")
            return
        from submeter.reporting.remaining import forecast_line

        # Colours and cursor stay with the program: its next line writes over ours.
        columns = shutil.get_terminal_size((100, 24)).columns
        line = forecast_line(said, max(40, min(160, columns - 11)))
        self._write(f"{_ERASE}submeter: {line}\r" if self.terminal else f"submeter: {line}\n")
        self._shown = self.terminal

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            self._write(_ERASE)
            self._shown = False

    @staticmethod
    def _write(text: str) -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(text)
            sys.stderr.flush()


def signal_of(name: str) -> int:
    """Signal called *name*: USR1, SIGUSR1.

    Raises
    ------
    UsageError
        If there is none, or it cannot be caught.
    """
    word = name.upper().removeprefix("SIG")
    try:
        found = signal.Signals[f"SIG{word}"]
    except KeyError:
        raise UsageError(f"there is no signal {name}", remedy="--budget-signal USR1") from None
    if found in {signal.SIGKILL, signal.SIGSTOP}:
        raise UsageError(f"{found.name} cannot be caught", remedy="--on-budget stop")
    return int(found)


def count_of(words: str, option: str) -> float:
    """Count in words, such as ``20000``, ``20k``, ``2e4``.

    Raises
    ------
    UsageError
        If it is none.
    """
    sizes = {"k": 1e3, "m": 1e6, "b": 1e9}
    text = words.strip().replace("_", "").replace(" ", "")
    size = sizes.get(text[-1:].lower(), 1.0)
    try:
        value = float(text[:-1] if size > 1 else text) * size
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UsageError(f"“{words}” is no count", remedy=f"{option} 20000")
    return value
