# SPDX-License-Identifier: Apache-2.0
"""Which boards a run may use, by ``CUDA_VISIBLE_DEVICES``, told by UUID.

CUDA counts boards in an order of its own, so that a number in the mask is not the driver
library's number. A mask is read from the left; the first entry that names no board ends it.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

NUMBERED: Final = "numbers of CUDA_VISIBLE_DEVICES are taken"


class Board(msgspec.Struct, frozen=True):
    """What is needed to find a board in a mask. Boards are listed in PCI order."""

    uuid: str  # "GPU-..."
    name: str = ""
    speed: int | None = None  # cores times highest clock, by which CUDA's default order sorts
    instances: tuple[str, ...] = ()  # UUIDs of its MIG instances, "MIG-..."


class Mask(msgspec.Struct, frozen=True):
    """Boards of a run; ``uuids`` None: no mask, all of them."""

    uuids: tuple[str, ...] | None
    notes: tuple[str, ...] = ()


def resolve_mask(
    mask: str | None, boards: Sequence[Board], *, device_order: str | None = None
) -> Mask:
    """Boards that *mask* lets through.

    Parameters
    ----------
    mask
        ``CUDA_VISIBLE_DEVICES``: numbers, UUIDs or beginnings of them, MIG instances in the
        forms ``MIG-<uuid>`` and ``MIG-GPU-<uuid>/<gi>/<ci>``. None: not set.
    boards
        Boards of the machine in PCI order.
    device_order
        ``CUDA_DEVICE_ORDER``; None is CUDA's default, the fastest board first.
    """
    if mask is None:
        return Mask(None)
    ordered, notes = _cuda_order(boards, device_order)
    found: list[str] = []
    numbered = False
    for entry in (e.strip() for e in mask.split(",")):
        uuid = _board_of(entry, ordered)
        if uuid is None:
            if entry not in ("", "-1", "NoDevFiles"):
                notes.append(f"CUDA_VISIBLE_DEVICES names no board with {entry!r}")
            break
        numbered = numbered or entry.isdecimal()
        if uuid not in found:
            found.append(uuid)
    return Mask(
        tuple(found), tuple(notes) if numbered else tuple(n for n in notes if "names" in n)
    )


def _cuda_order(
    boards: Sequence[Board], device_order: str | None
) -> tuple[list[Board], list[str]]:
    if device_order == "PCI_BUS_ID" or len({b.name for b in boards}) <= 1:
        return list(boards), []
    speeds = [b.speed for b in boards]
    if any(s is None for s in speeds):
        return list(boards), [f"boards differ, speed unknown: {NUMBERED} in PCI order"]
    fastest_first = sorted(boards, key=lambda b: -(b.speed or 0))
    why = "as CUDA does without CUDA_DEVICE_ORDER=PCI_BUS_ID"
    return fastest_first, [f"boards differ: {NUMBERED} fastest first, {why}"]


def _board_of(entry: str, ordered: Sequence[Board]) -> str | None:
    if entry.isdecimal():
        return ordered[int(entry)].uuid if int(entry) < len(ordered) else None
    if entry.startswith("MIG-GPU-"):
        parent = entry.removeprefix("MIG-").partition("/")[0]
        return _only([b.uuid for b in ordered if _begins(b.uuid, parent)])
    if entry.startswith("MIG-"):
        return _only([b.uuid for b in ordered for i in b.instances if _begins(i, entry)])
    if entry.startswith("GPU-"):
        return _only([b.uuid for b in ordered if _begins(b.uuid, entry)])
    return None


def _begins(uuid: str, prefix: str) -> bool:
    return uuid.lower().startswith(prefix.lower())


def _only(found: Sequence[str]) -> str | None:
    """Take the one board found; None if there is none or the prefix fits several."""
    return found[0] if len(set(found)) == 1 else None
