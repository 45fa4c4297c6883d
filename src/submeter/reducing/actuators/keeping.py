# SPDX-License-Identifier: Apache-2.0
"""Who keeps the limits of a run: armed before its command starts, restored when that is over."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from submeter.errors import ActuatorError
from submeter.reducing.actuators.control import Control
from submeter.reducing.actuators.protocol import Actuator, LimitedBoard, unit_of
from submeter.reducing.actuators.restoring import PutBack
from submeter.reducing.actuators.seeking import Pace, Seeker, candidates
from submeter.running.attending import Command
from submeter.running.progress import Following
from submeter.units import ns_to_s

__all__ = ["LimitKeeper", "limit_range", "limited"]

LOOK_S: Final = 0.5
_CHECK_S: Final = 5.0  # between two looks at whether somebody else has set something
_JOIN_S: Final = 5.0

Say = Callable[[str], None]


def limit_range(boards: list[LimitedBoard]) -> tuple[float, float]:
    """Lowest limit that all of *boards* allow, and the lowest that is set on one of them now."""
    least = max(b.least for b in boards)
    return least, min(b.most if b.now is None else b.now for b in boards)


class LimitKeeper:
    """An attendant of a run that holds limits: a given one, or the best that it finds.

    Parameters
    ----------
    actuator
        Sets and tells limits.
    home
        Where intents are kept.
    value
        Limit of each board; searched for if None.
    max_slowdown_ratio, host_w, pace
        Of the search: as of `Seeker`.
    say
        Is given what a person is to know; called from the thread of the keeper too.
    """

    def __init__(
        self,
        actuator: Actuator,
        home: Path,
        value: float | None,
        *,
        max_slowdown_ratio: float = 0.0,
        host_w: float | None = None,
        pace: Pace | None = None,
        words: str = "",
        guarded: bool = True,
        say: Say = lambda _: None,
    ) -> None:
        self.control = Control(actuator, home, words=words, guarded=guarded)
        self.seeker: Seeker | None = None
        self._unit = unit_of(actuator.kind)
        self._value = value
        self._slowdown, self._host_w, self._pace = max_slowdown_ratio, host_w, pace
        self._say = say
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._progress: Following | None = None
        self._checked_s = 0.0

    # --- before and behind ------------------------------------------------------------------

    def arm(self) -> None:
        """Claim the boards and set the first limit; what is refused is refused here.

        Raises
        ------
        ActuatorError
            If it cannot be: then everything is as it was.
        """
        boards = self.control.arm()
        if self._value is not None:
            self.control.settle(self._value)
            self._say(f"limit of {_names(boards)}: {self._value:g} {self._unit}")
            return
        least_w, now_w = limit_range(boards)
        limits_w = candidates(least_w, now_w)
        self.seeker = Seeker(
            limits_w, max_slowdown_ratio=self._slowdown, host_w=self._host_w, pace=self._pace
        )
        self.control.profile(limits_w[0])  # what is set now: only a right that lacks is seen here
        self._say(
            f"looking for the best limit of {_names(boards)} from {limits_w[0]:g} W down to "
            f"{limits_w[-1]:g} W, at most {100 * self._slowdown:g} % slower"
        )

    def close(self) -> list[PutBack]:
        """Restore; may be called again."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(timeout=_JOIN_S)
            self._thread = None
        first = self.control.state != "restored"
        rows = self.control.restore()
        if first:
            self._tell(rows)
        return rows

    def _tell(self, rows: list[PutBack]) -> None:
        for row in rows:
            if row.how == "restored":
                self._say(f"limit of {row.name} restored: {row.words}")
            elif row.how == "left alone":
                self._say(f"limit of {row.name}: {row.words}")
            elif row.how == "failed":
                self._say(
                    f"limit of {row.name} {row.uuid} is not restored yet ({row.words}); the next "
                    "start does it, or: submeter limits --restore"
                )

    # --- as an attendant --------------------------------------------------------------------

    def attend(self, folder: Path, command: Command) -> None:
        """Begin to look at the run."""
        del command
        self._progress = Following(folder)
        self._thread = threading.Thread(target=self._work, name="submeter-limits", daemon=True)
        self._thread.start()

    def leave(self) -> str:
        """End: the command is over, and everything is put back."""
        if self.seeker is not None and not self.seeker.settled and not self._over.is_set():
            self._say(
                "the search for a limit did not come to its end: "
                + (self.seeker.words() if self.seeker.windows else "too few steps were logged")
            )
        self.close()
        return ""

    def _work(self) -> None:
        while not self._over.wait(LOOK_S):
            try:
                self.look(time.monotonic())
            except ActuatorError as exc:
                self._give_up(str(exc))
                return
            except Exception as exc:  # noqa: BLE001  # the command is what counts
                self._give_up(f"{type(exc).__name__}: {exc}")
                return

    def _give_up(self, why: str) -> None:
        if self._over.is_set():  # the command has just ended, and all is put back
            return
        self._over.set()
        self._say(why)
        self._tell(self.control.restore())

    def look(self, now_s: float) -> None:
        """See how the run goes, and set what is to be set, at *now_s* of the monotonic clock.

        Raises
        ------
        ActuatorError
            If something cannot be set, or is not as we set it.
        """
        if now_s - self._checked_s >= _CHECK_S:
            self._checked_s = now_s
            self.control.check()
        seeker, progress = self.seeker, self._progress
        if seeker is None or seeker.settled or progress is None:
            return
        progress.look()
        if progress.started_ns is None:
            return
        at_s = now_s - ns_to_s(progress.started_ns)
        if seeker.look(progress):
            if seeker.settled:
                self.control.settle(seeker.limit_w)
                self._say(f"limit found: {seeker.words()}")
            else:
                self.control.profile(seeker.limit_w)
                seeker.changed(at_s)
        elif at_s > seeker.pace.patience_s and not progress.marks():
            raise ActuatorError(
                "no limit is looked for: the program logs no steps (submeter.log(step=…))"
            )


@contextmanager
def limited(
    value: float, *, home: Path | None = None, actuator: Actuator | None = None
) -> Iterator[list[LimitedBoard]]:
    """Hold a power limit of *value* [W] on the boards of this process while a block lasts.

    It is put back at the end of the block, also by a process that watches over it if this one is
    killed, and else at the next start of ``submeter``.

    Raises
    ------
    ActuatorError
        If it cannot be set: then everything is as it was.

    Examples
    --------
    >>> with limited(250.0):  # doctest: +SKIP
    ...     train()
    """
    from submeter.reducing.actuators.nvml import open_actuator
    from submeter.storing.places import home as usual

    used = open_actuator("power") if actuator is None else actuator
    control = Control(used, usual() if home is None else home, words="a Python program")
    try:
        boards = control.arm()
        control.settle(value)
        yield boards
    finally:
        control.restore()


def _names(boards: list[LimitedBoard]) -> str:
    first = boards[0].name
    return first if len(boards) == 1 else f"{len(boards)} boards ({first})"
