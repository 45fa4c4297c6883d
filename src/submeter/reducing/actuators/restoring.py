# SPDX-License-Identifier: Apache-2.0
"""Put limits back: at the end of who set them, behind a crash, at the next start.

What is on a board now is compared with what was set by us. What somebody else has set since is
left alone and said.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from submeter.errors import ActuatorError
from submeter.reducing.actuators.claims import claim
from submeter.reducing.actuators.intents import (
    Kept,
    intent_paths,
    is_held,
    read_kept,
    remove,
    taken_over,
)
from submeter.reducing.actuators.protocol import Actuator, Kind, unit_of

__all__ = ["PutBack", "held_now", "is_same", "put_back", "restore_kept", "restore_left"]

SAME: Final = 1.0  # W or MHz: drivers round

How = Literal["restored", "as before", "left alone", "failed"]


class PutBack(msgspec.Struct, frozen=True):
    """What became of the limit of one board."""

    uuid: str
    name: str
    how: How
    words: str

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.how != "failed"


def is_same(a: float, b: float) -> bool:
    """Whether two limits are the same but for a driver's rounding."""
    return abs(a - b) < SAME


def put_back(actuator: Actuator, kept: Kept) -> list[PutBack]:
    """Put back what *kept* says was on its boards; each board for itself, never raising."""
    found = []
    for board in kept.armed.boards:
        try:
            how, words = _put_one_back(actuator, kept, board.uuid, board.value)
        except ActuatorError as exc:
            how, words = "failed", str(exc)
        except Exception as exc:  # noqa: BLE001  # the other boards still have to be put back
            how, words = "failed", f"{type(exc).__name__}: {exc}"
        found.append(PutBack(board.uuid, board.name, how, words))
    return found


def _put_one_back(
    actuator: Actuator, kept: Kept, uuid: str, before: float | None
) -> tuple[How, str]:
    unit = unit_of(actuator.kind)
    ours = kept.ours(uuid)
    if before is None:
        # not told by the driver, neither then nor now: what we locked is let go
        if not ours:
            return "as before", "was never set"
        actuator.restore(uuid, None)
        return "restored", "the clock is let go"
    now = actuator.now(uuid)
    if now is None or is_same(now, before):
        return "as before", f"{before:g} {unit}"
    if not any(is_same(now, value) for value in ours):
        return "left alone", f"somebody else has set {now:g} {unit} meanwhile: left alone"
    actuator.restore(uuid, before)
    after = actuator.now(uuid)
    if after is None or not is_same(after, before):
        raise ActuatorError(f"the driver did not take {before:g} {unit} back: it says {after}")
    return "restored", f"{now:g} {unit} → {before:g} {unit}"


Opening = Callable[[Kind], Actuator]


def _opened(kind: Kind) -> Actuator:
    from submeter.reducing.actuators.nvml import open_actuator

    return open_actuator(kind, masked=False)


def restore_kept(path: Path, opening: Opening = _opened) -> list[PutBack]:
    """Put back what one file of intents names, and take the file away when all is done.

    The boards must be claimed by the caller or by who hands over to it.
    """
    kept = read_kept(path)
    if kept is None:
        return []
    if not kept.intended:  # nothing was set yet
        remove(path)
        return []
    actuator = opening(kept.armed.kind)
    if kept.rebooted:
        # With the machine the driver began anew, and its limits; a home that machines share may
        # also hold what another one of them has to put back.
        if {b.uuid for b in kept.armed.boards} <= {b.uuid for b in actuator.boards()}:
            remove(path)
        return []
    found = put_back(actuator, kept)
    if all(row.done for row in found):
        remove(path)
    return found


def restore_left(home: Path, opening: Opening = _opened) -> list[PutBack]:
    """Put back what those left who could not do it themselves; usually there is nothing.

    Files of who still lives, or whose boards somebody else sets now, are left alone.

    Parameters
    ----------
    home
        The folder of the ledger.
    opening
        Makes the actuator of a kind.
    """
    found: list[PutBack] = []
    for path in intent_paths(home):
        kept = read_kept(path)
        if kept is None:
            continue
        with taken_over(path) as had:
            if had:
                found += _restore_claimed(kept, opening)
    return found


def _restore_claimed(kept: Kept, opening: Opening) -> list[PutBack]:
    try:
        claims = claim(board.uuid for board in kept.armed.boards)
    except ActuatorError:
        return []  # somebody sets them now, out of another home
    try:
        return restore_kept(kept.path, opening)
    finally:
        claims.close()


def held_now(home: Path) -> Sequence[tuple[Kept, bool]]:
    """Limits that are held or were left by anybody under *home*, and whether they are held."""
    rows = ((read_kept(path), is_held(path)) for path in intent_paths(home))
    return [(kept, held) for kept, held in rows if kept is not None]
