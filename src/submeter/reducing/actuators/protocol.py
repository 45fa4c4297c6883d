# SPDX-License-Identifier: Apache-2.0
"""What can be set on boards and put back: what an actuator is, whatever it sets."""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

__all__ = ["Actuator", "Kind", "LimitedBoard", "unit_of"]

Kind = Literal["power", "clock"]


def unit_of(kind: Kind) -> str:
    """W of power limits, MHz of clocks."""
    return "W" if kind == "power" else "MHz"


class LimitedBoard(msgspec.Struct, frozen=True, kw_only=True):
    """A board as an actuator sees it; numbers in the actuator's unit.

    Attributes
    ----------
    now
        What is set; None where the driver does not tell.
    why_not
        Why it is not to be set here, "" if it may be.
    """

    uuid: str
    name: str
    least: float
    most: float
    default: float | None
    now: float | None
    why_not: str = ""


class Actuator(Protocol):
    """Sets one kind of limit on boards, which are known by UUID.

    Every method may raise `ActuatorError`, whose words are for a person.
    """

    @property
    def kind(self) -> Kind:
        """What it sets: ``power`` [W] or ``clock`` [MHz]."""
        ...

    def boards(self) -> Sequence[LimitedBoard]:
        """Boards of the run, also those that may not be set."""
        ...

    def now(self, uuid: str) -> float | None:
        """What is set now; None where the driver does not tell."""
        ...

    def set(self, uuid: str, value: float) -> None:
        """Set the limit of a board."""
        ...

    def restore(self, uuid: str, before: float | None) -> None:
        """Put back what was there before, or let the board go where that is not known."""
        ...
