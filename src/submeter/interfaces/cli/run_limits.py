# SPDX-License-Identifier: Apache-2.0
"""``submeter run --power-limit``: a limit of the boards for one command, given or searched for."""

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from submeter.errors import ActuatorError, UsageError

if TYPE_CHECKING:
    from submeter.reducing.actuators.keeping import LimitKeeper
    from submeter.reducing.actuators.protocol import Kind, LimitedBoard
    from submeter.running.attending import Attendant

__all__ = ["attended", "limit_in_words", "limit_options"]

F = TypeVar("F", bound=Callable[..., Any])

AUTO: Final = "auto"
_POWER: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(m?w|kw|watts?)?", re.IGNORECASE)
_CLOCK: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([mg]hz)?", re.IGNORECASE)
_RATIO: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(%)?")
_SIZES: Final = {"mw": 1e-3, "kw": 1e3, "ghz": 1e3}
_MOST_SLOWDOWN_RATIO: Final = 1.0


def limit_options(command: F) -> F:
    """Add the options of limits to *command*, which gets them by name."""
    options = [
        click.option(
            "--power-limit",
            metavar="WATTS",
            help="Of each board: 250W, or auto for the least energy of the node.",
        ),
        click.option("--lock-clock", metavar="MHZ", help="Of each board instead: 1200MHz."),
        click.option(
            "--max-slowdown",
            metavar="RATIO",
            default="5%",
            show_default=True,
            help="With auto: how much longer a step may take.",
        ),
        click.option(
            "--host-power",
            metavar="WATTS",
            help="With auto: what the node draws beside the devices that are read.",
        ),
        click.option(
            "--apply", is_flag=True, help="Set the limit; without it, say what would be set."
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def limit_in_words(words: str, kind: "Kind", option: str) -> float:
    """Limit in words: ``250W``, ``0.25 kW``, ``1200MHz`` [W or MHz].

    Raises
    ------
    UsageError
        If it is none.
    """
    found = (_POWER if kind == "power" else _CLOCK).fullmatch(words.strip())
    value = float(found[1]) * _SIZES.get((found[2] or "").lower(), 1.0) if found else 0.0
    if value <= 0:
        example = "250W or auto" if kind == "power" else "1200MHz"
        raise UsageError(f"“{words}” is no limit", remedy=f"{option} {example}")
    return value


def ratio_in_words(words: str) -> float:
    """Share in words: ``5%``, ``0.05``.

    Raises
    ------
    UsageError
        If it is none, or no slow-down that anybody would allow.
    """
    found = _RATIO.fullmatch(words.strip())
    ratio = (float(found[1]) / (100 if found[2] else 1)) if found else -1.0
    if not 0 <= ratio <= _MOST_SLOWDOWN_RATIO:
        raise UsageError(f"“{words}” is no slow-down", remedy="--max-slowdown 5%")
    return ratio


def _asked(given: Mapping[str, Any]) -> "tuple[Kind, float | None] | None":
    """What is to be limited, and to what; None for a search."""
    power, clock = given["power_limit"], given["lock_clock"]
    if power is None and clock is None:
        if given["apply"]:
            raise UsageError(
                "there is no limit to apply", remedy="submeter run --power-limit auto"
            )
        return None
    if power is not None and clock is not None:
        raise UsageError("either a power limit or a locked clock", remedy="--power-limit 250W")
    if given["when"] is not None or given["resume_plan"] is not None:
        raise UsageError(
            "a limit cannot be kept over a plan, which may wait and pause",
            remedy="submeter run --power-limit without --when",
        )
    if clock is not None:
        return "clock", limit_in_words(clock, "clock", "--lock-clock")
    if power.strip().lower() == AUTO:
        return "power", None
    return "power", limit_in_words(power, "power", "--power-limit")


@contextlib.contextmanager
def attended(
    given: Mapping[str, Any], command: tuple[str, ...], others: "Attendant | None"
) -> "Iterator[Attendant | None]":
    """Who attends the run of *command*: *others*, and who keeps its limits if that is asked for.

    What was set is put back at the end of the block, however it ends.

    Raises
    ------
    UsageError
        If an option makes no sense.
    ActuatorError
        If a limit cannot be set: then everything is as it was, and nothing was started.
    """
    asked = _asked(given)
    if asked is None or not command:
        yield others
        return
    slowdown_ratio = ratio_in_words(given["max_slowdown"])
    host = given["host_power"]
    host_w = None if host is None else limit_in_words(host, "power", "--host-power")
    _refuse_within_a_run()
    from submeter.reducing.actuators.keeping import LimitKeeper
    from submeter.reducing.actuators.nvml import open_actuator
    from submeter.running.attending import Together
    from submeter.storing import places

    kind, value = asked
    actuator = open_actuator(kind)
    if not given["apply"]:
        for line in would(list(actuator.boards()), kind, value, slowdown_ratio):
            _say(line)
        yield others
        return
    keeper = LimitKeeper(
        actuator, places.home(), value, max_slowdown_ratio=slowdown_ratio, host_w=host_w,
        words=Path(command[0]).name, say=_say,
    )  # fmt: skip
    with _kept(keeper):
        yield keeper if others is None else Together([keeper, others])


@contextlib.contextmanager
def _kept(keeper: "LimitKeeper") -> Iterator[None]:
    try:
        keeper.arm()
        yield
    finally:
        keeper.close()


def would(
    boards: "list[LimitedBoard]", kind: "Kind", value: float | None, slowdown_ratio: float
) -> list[str]:
    """What setting would do, and what it needs: nothing is set."""
    from submeter.reducing.actuators.control import usable
    from submeter.reducing.actuators.keeping import limit_range
    from submeter.reducing.actuators.nvml import rights
    from submeter.reducing.actuators.protocol import unit_of
    from submeter.reducing.actuators.seeking import candidates

    unit = unit_of(kind)
    try:
        usable(boards)
    except ActuatorError as exc:
        return [f"dry run: nothing could be set here: {exc}"]
    least, now = limit_range(boards)
    lines = []
    if value is None:
        tried = ", ".join(f"{w:g}" for w in candidates(least, now))
        lines.append(
            f"dry run: it would try {tried} W on {len(boards)} board(s), at most "
            f"{100 * slowdown_ratio:g} % slower, keep that of least energy of the node, and put "
            f"{now:g} W back at the end"
        )
    for board in boards if value is not None else ():
        assert value is not None  # noqa: S101
        if not board.least <= value <= board.most:
            lines.append(
                f"dry run: {board.name} allows {board.least:g} to {board.most:g} {unit}, not "
                f"{value:g} {unit}"
            )
        else:
            back = "let it go" if board.now is None else f"put {board.now:g} {unit} back"
            lines.append(
                f"dry run: it would set {board.name} to {value:g} {unit}, and {back} at the end"
            )
    lines += [needs] if (needs := rights()) else []
    return [*lines, "nothing is set without --apply"]


def _refuse_within_a_run() -> None:
    from submeter.running.joined import RUN_VARIABLE, is_open

    outer = os.environ.get(RUN_VARIABLE)
    if outer and is_open(Path(outer)):
        raise UsageError(
            "a run within a run does not set limits: they are those of the outer one",
            remedy="submeter run --power-limit auto --apply around the whole",
        )


def _say(words: str) -> None:
    """Write a line that nobody may be reading; called from the keeper's thread too."""
    from submeter.storing.wording import safe_text

    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"submeter: {safe_text(words)}\n")
        sys.stderr.flush()
