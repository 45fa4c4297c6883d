# SPDX-License-Identifier: Apache-2.0
"""The states of a limit that is held: idle, armed, profiling, settled, restored.

Between any two calls of the driver there is a line on the disk from which the way back is known.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from submeter.errors import ActuatorError
from submeter.reducing.actuators.claims import Claims, claim
from submeter.reducing.actuators.guardian import Guardian
from submeter.reducing.actuators.intents import Intended, IntentFile, Kept, read_kept
from submeter.reducing.actuators.protocol import Actuator, LimitedBoard, unit_of
from submeter.reducing.actuators.restoring import PutBack, is_same, put_back, restore_left

__all__ = ["Control", "State", "TakenError", "usable"]

State = Literal["idle", "armed", "profiling", "settled", "restored"]
NEXT: Final[dict[State, frozenset[State]]] = {
    "idle": frozenset({"armed", "restored"}),
    "armed": frozenset({"profiling", "settled", "restored"}),
    "profiling": frozenset({"profiling", "settled", "restored"}),
    "settled": frozenset({"settled", "restored"}),
    "restored": frozenset({"restored"}),
}


class TakenError(ActuatorError):
    """Somebody else has set a limit that we hold."""


def usable(boards: Sequence[LimitedBoard]) -> list[LimitedBoard]:
    """Boards that may be set.

    Raises
    ------
    ActuatorError
        If there is none, or one that must be left out: a run on many boards is as slow as its
        slowest, so that they are set together or not at all.
    """
    if not boards:
        raise ActuatorError("there is no board whose limit could be set", remedy="submeter doctor")
    barred = next((b for b in boards if b.why_not), None)
    if barred is not None:
        raise ActuatorError(
            f"{barred.name} {barred.uuid} is not set: {barred.why_not}",
            remedy="CUDA_VISIBLE_DEVICES with the boards that are the run's alone",
        )
    return list(boards)


class Control:
    """Holds one kind of limit on some boards, from arming to restoring.

    Parameters
    ----------
    actuator
        Sets and tells limits.
    home
        The folder of the ledger, where intents are kept.
    words
        For what, said to others who ask.
    guarded
        Whether a process of its own puts limits back if this one is killed.
    """

    def __init__(
        self, actuator: Actuator, home: Path, *, words: str = "", guarded: bool = True
    ) -> None:
        self.state: State = "idle"
        self.boards: list[LimitedBoard] = []
        self.outcome: list[PutBack] = []
        self._actuator = actuator
        self._home = home
        self._words = words
        self._guarded = guarded
        self._claims: Claims | None = None
        self._file: IntentFile | None = None
        self._guardian: Guardian | None = None
        self._lock = threading.RLock()
        self._held: dict[str, float] = {}  # what we have set, by board

    def arm(self) -> list[LimitedBoard]:
        """Claim the boards and keep what is set on them; nothing is set yet.

        Raises
        ------
        ActuatorError
            If a board may not be set or is held by somebody else, or intents cannot be kept.
        """
        self._to("armed")
        try:
            restore_left(self._home)
            names = [b.uuid for b in usable(self._actuator.boards())]
            self._claims = claim(names)
            # only now nobody else of ours can change them
            self.boards = usable(self._actuator.boards())
            self._file = IntentFile(self._home, self._actuator.kind, self.boards, self._words)
            if self._guarded:
                self._guardian = Guardian(self._file.path, [*self._claims.fds, self._file.fd])
        except BaseException:
            self.restore()
            raise
        return self.boards

    def profile(self, value: float) -> None:
        """Set *value* on all boards to see what it does."""
        with self._lock:
            self._apply(value, "profiling")

    def settle(self, value: float) -> None:
        """Set *value* on all boards for the rest of the run."""
        with self._lock:
            self._apply(value, "settled")

    def _apply(self, value: float, state: Literal["profiling", "settled"]) -> None:
        """Set all boards or none: whatever fails puts all of them back.

        Raises
        ------
        TakenError
            If somebody else has set one of them meanwhile.
        ActuatorError
            If the driver refuses, or the intent cannot be kept.
        """
        self._to(state)
        assert self._file is not None  # noqa: S101  # armed
        try:
            self.check()
            for board in self.boards:
                self._allow(board, value)
            self._file.intend(Intended({b.uuid: value for b in self.boards}, state))
            for board in self.boards:
                self._actuator.set(board.uuid, value)
            for board in self.boards:
                self._see(board, value)
                self._held[board.uuid] = value
            self._file.made()
        except BaseException:
            self.restore()
            raise

    def check(self) -> None:
        """See that what is set is still what we set.

        Raises
        ------
        TakenError
            If it is not.
        ActuatorError
            If a board does not answer.
        """
        unit = unit_of(self._actuator.kind)
        for board in self.boards:
            expected = self._held.get(board.uuid, board.now)
            now = self._actuator.now(board.uuid)
            if expected is not None and now is not None and not is_same(now, expected):
                raise TakenError(
                    f"somebody else has set {board.name} {board.uuid} to {now:g} {unit}: it is "
                    "left at that, and no limit is set by us any more",
                    remedy="submeter limits",
                )

    def restore(self) -> list[PutBack]:
        """Put everything back, whatever the state; may be called again.

        What cannot be put back now stays kept, and is put back by the next start.
        """
        with self._lock:
            if self.state != "restored":
                self._to("restored")
                self._put_back()
                if self._guardian is not None:
                    self._guardian.close()
                if self._claims is not None:
                    self._claims.close()
        return self.outcome

    def _put_back(self) -> None:
        if self._file is None:
            return
        kept = read_kept(self._file.path)
        if kept is None:  # spoilt under our hands: what we know ourselves still holds
            kept = self._remembered()
        if kept.intended:
            self.outcome = put_back(self._actuator, kept)
        if all(row.done for row in self.outcome):
            self._file.remove()
        else:
            self._file.close()

    def _remembered(self) -> Kept:
        assert self._file is not None  # noqa: S101
        intended = (Intended(dict(self._held), "settled"),) if self._held else ()
        return Kept(self._file.path, self._file.armed, intended, made=True)

    def _to(self, state: State) -> None:
        if state not in NEXT[self.state]:
            msg = f"limits that are {self.state} cannot become {state}"
            raise RuntimeError(msg)
        self.state = state

    def _allow(self, board: LimitedBoard, value: float) -> None:
        if board.least <= value <= board.most:
            return
        unit = unit_of(self._actuator.kind)
        raise ActuatorError(
            f"{board.name} allows {board.least:g} to {board.most:g} {unit}, not {value:g} {unit}",
            remedy=f"a limit from {board.least:g} to {board.most:g} {unit}",
        )

    def _see(self, board: LimitedBoard, value: float) -> None:
        """See that the driver took *value*."""
        now = self._actuator.now(board.uuid)
        if now is None or is_same(now, value):
            return
        unit = unit_of(self._actuator.kind)
        raise ActuatorError(
            f"the driver was given {value:g} {unit} for {board.name} and says {now:g} {unit}",
            remedy="submeter limits",
        )
