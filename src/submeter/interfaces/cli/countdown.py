# SPDX-License-Identifier: Apache-2.0
"""What is shown while a command waits or is paused, and the keys that are heard meanwhile.

On a terminal it is one line on stderr that counts down; elsewhere a line now and then. Keys are
heard only while the program does not run, so that none of its input is taken.
"""

import contextlib
import os
import select
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any, Final, TextIO

from submeter.records.figures import Figure
from submeter.reporting.numbers import write_duration
from submeter.reporting.text import cut, plain
from submeter.running.conducting import Conductor
from submeter.running.following import Next

__all__ = ["Countdown", "line_of", "waiting_line"]

KEY_S: Final = 0.25  # how soon a key is heard
LOG_EVERY_S: Final = 600.0
_START: Final = {"\r", "\n", "s", "S"}
_CANCEL: Final = {"q", "Q"}
_CLEAR: Final = "\r\x1b[K"
_DAY_S: Final = 86_400


class Countdown:
    """Tells a person how long is still waited, and hears whether that is too long.

    Parameters
    ----------
    timezone
        By whose clock times are written; UTC if "".
    error, keys
        Where lines go and keys come from; stderr and stdin if None.
    now_s
        A clock that never steps [s], for the lines of a log.
    """

    def __init__(
        self,
        timezone: str,
        *,
        error: TextIO | None = None,
        keys: TextIO | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timezone = timezone
        self._error = sys.stderr if error is None else error
        self._keys = sys.stdin if keys is None else keys
        self._now_s = now_s
        self._live = _is_terminal(self._error) and os.environ.get("TERM") != "dumb"
        self._hears = _is_terminal(self._keys)
        self._saved: list[Any] | None = None
        self._shown = False
        self._last = ""
        self._logged_s = -LOG_EVERY_S
        self._until_s: float | None = None
        self.tick_s = KEY_S if self._hears else (1.0 if self._live else 30.0)

    def tell(self, conductor: Conductor, step: Next) -> None:
        """Show what is waited for."""
        self._listen()
        words = waiting_line(conductor, step, self._timezone, keys=self._saved is not None)
        if self._live:
            line = cut(words, max(20, shutil.get_terminal_size((80, 24)).columns - 1))
            if line != self._last:
                self._write(_CLEAR + line)
            self._last, self._shown = line, True
            return
        due = self._now_s() - self._logged_s >= LOG_EVERY_S
        if due or step.until_s != self._until_s:
            self._logged_s, self._until_s = self._now_s(), step.until_s
            self._write(f"submeter: {words}\n")

    def key(self) -> str:
        """``start``, ``cancel`` or "", by the last key that was pressed and means something."""
        if self._saved is None:
            return ""
        found = ""
        with contextlib.suppress(OSError, ValueError):
            fd = self._keys.fileno()
            while select.select([fd], [], [], 0)[0]:
                pressed = os.read(fd, 64).decode("ascii", "replace")
                if not pressed:  # hung up
                    self._hears = False
                    break
                for one in pressed:
                    found = "start" if one in _START else "cancel" if one in _CANCEL else found
        return found

    def leave(self) -> None:
        """Take the line away, and give the terminal back as it was."""
        if self._shown:
            self._write(_CLEAR)
            self._shown, self._last = False, ""
        self._until_s = None
        saved, self._saved = self._saved, None
        if saved is not None:
            import termios

            with contextlib.suppress(termios.error, OSError, ValueError):
                termios.tcsetattr(self._keys.fileno(), termios.TCSADRAIN, saved)

    def _listen(self) -> None:
        """Have keys come one by one and unseen, if the terminal is ours just now."""
        if self._saved is not None or not self._hears:
            return
        import termios

        try:
            fd = self._keys.fileno()
            if os.tcgetpgrp(fd) != os.getpgrp():
                return  # in the background: asking would stop us
            saved = termios.tcgetattr(fd)
            mode = list(saved)
            mode[3] &= ~(termios.ICANON | termios.ECHO)
            termios.tcsetattr(fd, termios.TCSADRAIN, mode)
        except (termios.error, OSError, ValueError):
            self._hears = False
            return
        self._saved = saved

    def _write(self, words: str) -> None:
        try:
            self._error.write(words)
            self._error.flush()
        except (OSError, ValueError):  # nobody reads it any more
            self._live = False


def waiting_line(conductor: Conductor, step: Next, timezone: str, *, keys: bool) -> str:
    """Say what is waited for, how long, and which keys change it."""
    plan, state, now_s = conductor.plan, conductor.state, conductor.now_s
    paused = state.status == "paused"
    parts = ["paused" if paused else "waits"]
    if step.until_s is not None:
        left_s = max(0.0, step.until_s - now_s)
        at = line_of(step.until_s, now_s, timezone)
        parts[0] += f" until {at} (in {write_duration(left_s)})"
    if paused and plan.job.duration_s > 0:
        done = f"{write_duration(state.worked_s)} of {write_duration(plan.job.duration_s)}"
        parts.append(f"{done} done")
    saving = plan.expected_saving
    if not paused and isinstance(saving, Figure) and round(100 * saving.value):
        parts.append(f"{-100 * saving.value:+.0f} % {plain(plan.objective)} expected")
    if keys:
        parts.append("Enter goes on, q ends it" if paused else "Enter starts now, q cancels")
    return " · ".join(p.replace("+-", "−").replace("-", "−", 1) if "%" in p else p for p in parts)


def line_of(at_s: float, now_s: float, timezone: str) -> str:
    """Time of day of *at_s* by the clock of *timezone*, with its day if that is another one."""
    from datetime import datetime

    from submeter.planning.words import clock_of

    clock = clock_of(timezone)
    at, now = datetime.fromtimestamp(at_s, clock), datetime.fromtimestamp(now_s, clock)
    if at.date() == now.date():
        return f"{at:%H:%M}"
    return f"{at:%a %H:%M}" if 0 < at_s - now_s < 6 * _DAY_S else f"{at:%Y-%m-%d %H:%M}"


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False
