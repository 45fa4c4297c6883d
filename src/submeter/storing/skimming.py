# SPDX-License-Identifier: Apache-2.0
"""Reading a journal for a picture of it: every frame of a short one, each n-th of a long one.

Settling needs every reading. A picture of a day does not: counters bridge what is left out, so a
journal of a million readings is looked through in a second. What names things, occupancy and
events are always read.
"""

import contextlib
import mmap
import os
import struct
from binascii import crc32
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from submeter.records.frames import Frame
from submeter.storing.framing import HEADER_BYTES, MAGIC, MAX_PAYLOAD_BYTES, decode

READ_WHOLE_BYTES: Final = 5 << 19  # so much of readings is read, of whatever length the run was
METRICS_BYTES: Final = 1 << 20
READ_WINDOWS: Final = 10_000  # windows of occupancy; then each second one, each fourth, ...

_HEADER: Final = struct.Struct("<4sII")
_MAGIC: Final = int.from_bytes(MAGIC, "little")
# Magic and length; then, as a payload of MessagePack whose first key is "type" has them, the first
# letter of its kind and, of readings, the length of the next key and the place of the sensor.
_HEAD: Final = struct.Struct("<II11xB4xB6xB")
_SHORTEST: Final = 8  # of a payload that has a kind
_TICKS, _USE, _WINDOW, _METRIC = b"tuom"
_OFTEN: Final = frozenset({_TICKS, _USE, _METRIC})
_SENSOR_KEY: Final = 0xA6  # a string of six: "sensor"
_SMALL: Final = 0x80  # numbers below are one byte


class Skimmed(NamedTuple):
    """A frame, and how many of its kind it stands for."""

    frame: Frame
    weight: int


def skim(path: Path) -> Iterator[Skimmed]:
    """Frames of the journal or the marks at *path*, of a long one each n-th of those that repeat.

    Damage is stepped over, as in `submeter.storing.journal.read_frames`.

    Raises
    ------
    OSError
        If the file cannot be opened or read at all.

    Notes
    -----
    Readings of each sensor, words of use and metrics are thinned by the size of the file,
    occupancy by how many windows were seen. The last frame is always read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size_bytes = os.fstat(fd).st_size
        if not size_bytes:
            return
        with contextlib.closing(mmap.mmap(fd, size_bytes, access=mmap.ACCESS_READ)) as content:
            yield from _frames(content, size_bytes)
    finally:
        os.close(fd)


def _frames(content: mmap.mmap, size_bytes: int) -> Iterator[Skimmed]:
    turns = _Turns(size_bytes)
    head_of, at, last = _HEAD.unpack_from, 0, size_bytes - _HEAD.size
    seen, stride = [0] * _SMALL, turns.stride
    while 0 <= at <= last:
        magic, length, kind, key, sensor = head_of(content, at)
        end = at + HEADER_BYTES + length
        if magic != _MAGIC or length > MAX_PAYLOAD_BYTES or end > size_bytes:
            at = content.find(MAGIC, at + 1)
            continue
        weight = 1
        if kind == _TICKS and key == _SENSOR_KEY and sensor < _SMALL:
            turn = seen[sensor]
            seen[sensor] = turn + 1
            if turn % stride and end < size_bytes:
                at = end
                continue
            weight = stride
        elif length > _SHORTEST:
            weight = turns.weight(kind)
            if not weight and end < size_bytes:
                at = end
                continue
        if not _sound(content, at, end):
            at = content.find(MAGIC, at + 1)
            continue
        frame = decode(content[at + HEADER_BYTES : end])
        if frame is not None:
            yield Skimmed(frame, weight or 1)
        at = end
    while 0 <= at < size_bytes and end_of(content, at) <= size_bytes:  # too short for the above
        frame = decode(content[at + HEADER_BYTES : end_of(content, at)])
        if frame is None or not _sound(content, at, end_of(content, at)):
            return
        yield Skimmed(frame, 1)
        at = end_of(content, at)


def end_of(content: mmap.mmap, at: int) -> int:
    """Where the frame that begins at *at* ends; beyond the end of all if none begins there."""
    if len(content) - at < HEADER_BYTES or content[at : at + len(MAGIC)] != MAGIC:
        return len(content) + 1
    return at + HEADER_BYTES + int.from_bytes(content[at + 4 : at + 8], "little")


class _Turns:
    """Whose turn it is to be read, of what is not a reading."""

    def __init__(self, size_bytes: int) -> None:
        self.stride = max(1, -(-size_bytes // READ_WHOLE_BYTES))
        self._metric_stride = max(1, -(-size_bytes // METRICS_BYTES))
        self._seen: dict[int, int] = {}
        self._windows = self._window_turn = 0
        self._window_stride = 1

    def weight(self, kind: int) -> int:
        """How many frames the next one of this *kind* stands for; 0: leave it out."""
        if kind == _WINDOW:
            self._window_turn += 1
            if self._window_turn % self._window_stride:
                return 0
            self._windows += 1
            weight = self._window_stride
            if self._windows % READ_WINDOWS == 0:
                self._window_stride *= 2
            return weight
        if kind not in _OFTEN:
            return 1
        stride = self._metric_stride if kind == _METRIC else self.stride
        turn = self._seen.get(kind, 0)
        self._seen[kind] = turn + 1
        return 0 if turn % stride else stride


def _sound(content: mmap.mmap, at: int, end: int) -> bool:
    """Whether the checksum of a frame holds."""
    _, _, checksum = _HEADER.unpack_from(content, at)
    head = at + len(MAGIC)
    found = crc32(content[at + HEADER_BYTES : end], crc32(content[head : head + 4]))
    return int(checksum) == found
